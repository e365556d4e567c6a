// Descend: SGD moves the ticked values down the gradient, and the loss is drawn step by step.

class Descend {
	constructor(page, card) {
		Object.assign(this, { page, card, running: 0 });
		this.rate = make("input", { type: "number", min: 0, step: "any", value: 0.1, "aria-label": "learning rate" });
		const slide = make("input", { type: "range", min: -4, max: 1, step: 0.01, value: -1, "aria-label": "learning rate, slider" });
		slide.oninput = () => { this.rate.value = +(10 ** slide.value).toPrecision(2); };
		this.rate.oninput = () => { slide.value = Math.log10(+this.rate.value || 1e-4); };
		this.momentum = make("input", { type: "checkbox" });
		this.run = button("run", () => this.toggle());
		this.told = make("p", { "aria-live": "polite" });
		this.curve = chart(card);
		tell(card, "Descend",
			make("div", "mg-row", make("label", {}, "rate "), slide, this.rate, make("label", {}, this.momentum, " momentum 0.9")),
			make("div", "mg-row", button("1 step", () => this.steps(1)), button("10 steps", () => this.steps(10)), this.run, button("back to the start", () => this.back())),
			this.curve, this.told);
		this.begin();
	}

	begin() {
		const { graph } = this.page;
		this.start = new Map(graph.nodes.filter(n => n.leaf).map(n => [n, n.data]));
		this.velocity = new Map();
		this.losses = [graph.output.data];
		this.show();
	}

	step() {
		const { graph, moves } = this.page, rate = +this.rate.value, momentum = this.momentum.checked ? 0.9 : 0;
		for (const p of moves) {
			const v = momentum ? momentum * (this.velocity.get(p) ?? 0) + p.full : p.full;
			this.velocity.set(p, v);
			p.data -= rate * v;
		}
		graph.forward();
		this.losses.push(graph.output.data);
	}

	steps(count) {
		if (this.losses.length === 1) this.start = new Map([...this.start.keys()].map(n => [n, n.data]));
		for (let k = 0; k < count; k++) this.step();
		this.page.changed();
		this.show();
	}

	toggle() {
		const go = () => {
			this.steps(1);
			this.running = finite(this.losses.at(-1)) && this.losses.length < 5000 ? requestAnimationFrame(go) : 0;
			this.run.textContent = this.running ? "pause" : "run";
		};
		if (this.running) this.running = cancelAnimationFrame(this.running) ?? 0;
		else go();
		this.run.textContent = this.running ? "pause" : "run";
	}

	back() {
		if (this.running) this.toggle();
		for (const [n, x] of this.start) n.data = x;
		this.page.changed();
		this.page.graph.forward();
		this.begin();
	}

	show() {
		const { losses, page } = this, L = page.graph.output;
		plot(this.curve, losses, plain(L));
		this.told.textContent = losses.length === 1 ? `${page.moves.size} values will move: ${[...page.moves].slice(0, 6).map(n => plain(n)).join(", ")}${page.moves.size > 6 ? ", …" : ""}.`
			: `${plain(L)} went from ${shorten(losses[0])} to ${shorten(losses.at(-1))} in ${losses.length - 1} ${losses.length === 2 ? "step" : "steps"}.`;
		if (!finite(losses.at(-1))) this.told.append(" It ran away: go back, and take a smaller rate.");
	}
}

const chart = card => draw(card, "svg", { class: "mg-curve", viewBox: "0 0 320 134", role: "img" });

// Draws a curve over steps, its greatest and least value at the side; a dot marks entry `mark`, or the last.
function plot(svg, list, name, mark = -1, end = list.length - 1) {
	const numbers = list.filter(finite), low = min(...numbers), high = max(...numbers), [w, h, left, top, bottom] = [320, 134, 52, 20, 22];
	const x = k => left + (w - left - 8) * k / max(list.length - 1, 1), y = v => high > low ? top + (h - top - bottom) * (high - v) / (high - low) : (h - bottom + top) / 2;
	svg.replaceChildren();
	draw(svg, "path", { class: "mg-axis", d: `M${left} ${top}V${h - bottom}H${w - 8}` });
	const text = (s, x, y, anchor) => writeAt(svg, s, x, y, "mg-tick", anchor);
	text(brief(high), left - 5, high > low ? top + 4 : y(high) + 4, "end");
	if (high > low) text(brief(low), left - 5, h - bottom + 3, "end");
	text("0", left, h - 7, "middle");
	if (list.length > 1) text(String(end), w - 8, h - 7, "end");
	text(name, left, top - 9, "middle");
	const every = max(1, floor(list.length / 640));
	const points = list.map((v, k) => [x(k), y(v)]).filter(([, v], k) => finite(v) && (k % every === 0 || k === list.length - 1));
	if (points.length > 1) draw(svg, "polyline", { class: "mg-line", points: points.map(p => p.map(round).join()).join(" ") });
	const at = mark < 0 ? points.at(-1) : [x(mark), y(list[mark])];
	if (at) draw(svg, "circle", { class: "mg-dot", cx: at[0], cy: at[1], r: 3.5 });
	fill(svg, { "aria-label": `${name} over ${end} steps, from ${shorten(list[0])} to ${shorten(list.at(-1))}` });
}
