// The textbook's picture of a network: neurons in columns, weights as the lines between them, with the numbers of the graph.

class Network {
	// `network` lists the neurons of each layer, each as [zs, as]: the indices of its nodes z and a in every call of the network.
	constructor(graph, { network, call = 1 }, room, sample) {
		Object.assign(this, { graph, room, sample, found: network, calls: network[0][0][0].length });
		const menu = sample.querySelector("select"), page = sample.closest("[data-micrograd]").micrograd;
		menu.replaceChildren(...Array.from({ length: this.calls }, (_, k) => make("option", {}, k + 1)));
		sample.lastChild.textContent = ` of ${this.calls}`;
		menu.onchange = () => { this.take(+menu.value); page.arrange(); };
		this.take(menu.value = call);
	}

	// Takes the numbers of one call of the network, on one sample.
	take(call) {
		const { nodes } = this.graph;
		this.call = call;
		this.layers = this.found.map(layer => layer.map(([zs, as]) => {
			const z = nodes[zs[call - 1]], half = z.operands.length >> 1;
			return { z, a: nodes[as[call - 1]], bias: z.operands.at(-1), weights: z.operands.slice(0, half), inputs: z.operands.slice(half, -1) };
		}));
		this.inputs = this.layers[0][0].inputs;
		this.nodes = new Set(this.layers.flat().flatMap(n => [n.z, n.a, ...n.weights]));
		this.place();
	}

	place() {
		const columns = [this.inputs, ...this.layers], tallest = most(columns.map(c => c.length)), roomy = tallest <= 6;
		this.roomy = roomy;
		this.labelled = roomy && this.layers.every(layer => layer.length * layer[0].weights.length <= 12);
		this.radius = roomy ? 30 : tallest <= 20 ? 13 : 8;
		const step = roomy ? 116 : 2 * this.radius + (tallest <= 20 ? 14 : 5), gap = max(this.labelled ? 210 : 150, min(300, (this.room - 160) / columns.length));
		const height = max(tallest * step, 190) + 56;
		this.spots = new Map();
		this.lines = [];
		columns.forEach((column, c) => column.forEach((neuron, k) => {
			const spot = { x: 60 + c * gap, y: 34 + (height - 56) * (k + 0.5) / column.length, neuron: neuron.z ? neuron : null, node: neuron.z ? neuron.a : neuron, layer: c };
			this.spots.set(spot.node, spot);
		}));
		this.layers.forEach(layer => layer.forEach(n => n.weights.forEach((w, j) => {
			const from = this.spots.get(n.inputs[j]), to = this.spots.get(n.a);
			if (from) this.lines.push({ weight: w, from, to });
		})));
		const { output } = this.graph;
		this.loss = this.spots.has(output) ? null : { x: 60 + columns.length * gap, y: 34 + (height - 56) / 2, node: output };
		this.extent = [60 + (columns.length - (this.loss ? 0 : 1)) * gap + 90, height];
	}

	// Puts the label of each weight on its line, as far as possible from other labels and from the names of neurons.
	placeLabels() {
		const names = [...this.spots.values()].flatMap(s => [[s.x, s.y], [s.x, s.y - this.radius - 9], [s.x, s.y + this.radius + 18]]);
		for (const l of [...this.lines, ...this.lines, ...this.lines]) {  // three rounds: in the first, later labels have no place yet
			const taken = [...names, ...this.lines.flatMap(other => other.at && other !== l ? [other.at] : [])];
			const places = Array.from({ length: 19 }, (_, k) => 0.19 + 0.034 * k).map(f => [l.from.x + (l.to.x - l.from.x) * f, l.from.y + (l.to.y - l.from.y) * f, abs(f - 0.5)]);
			const free = ([x, y, off]) => min(...taken.map(([u, v]) => max(abs(x - u) / 2.6, abs(y - v))), 40) - 8 * off;
			l.at = places.reduce((a, b) => free(b) > free(a) ? b : a);
		}
	}

	render(svg, page) {
		svg.replaceChildren();
		const under = draw(svg, "g"), choose = (e, node, role) => {
			fill(e, { tabindex: 0, role });
			on(e, "click focus", () => page.choose(node));
			return e;
		};
		if (this.loss) for (const n of this.layers.at(-1)) {
			const s = this.spots.get(n.a);
			draw(under, "path", { class: "mg-edge mg-zero", d: `M${s.x} ${s.y}L${this.loss.x} ${this.loss.y}` });
		}
		for (const l of this.lines) {
			l.g = choose(draw(under, "g", "mg-weight"), l.weight, "img");
			const d = `M${l.from.x} ${l.from.y}L${l.to.x} ${l.to.y}`;
			draw(l.g, "path", { d, class: "mg-wide" });
			l.line = draw(l.g, "path", { d });
		}
		if (this.labelled) this.placeLabels();
		if (this.labelled) for (const l of this.lines) {
			l.label = writeAt(svg, "", l.at[0], l.at[1] - 2, "mg-halo mg-value", "middle");
			l.grad = writeAt(svg, "", l.at[0], l.at[1] + 10, "mg-halo mg-red", "middle");
		}
		for (const s of this.spots.values()) {
			s.g = choose(draw(svg, "g", "mg-neuron"), s.neuron ? s.neuron.z : s.node, "img");
			draw(s.g, "circle", { cx: s.x, cy: s.y, r: this.radius });
			if (!this.roomy) continue;
			writeAt(s.g, s.node, s.x, s.y - this.radius - 5, "mg-label", "middle");
			s.value = writeAt(s.g, "", s.x, s.y + 4, "mg-value", "middle");
			if (!s.neuron) continue;
			if (s.node !== s.neuron.z) s.z = writeAt(s.g, "", s.x, s.y + this.radius + 13, "mg-tag", "middle");
			s.delta = writeAt(s.g, "", s.x, s.y + this.radius + (s.z ? 26 : 13), "mg-red", "middle");
		}
		if (this.loss) {
			const { x, y, node } = this.loss, g = choose(draw(svg, "g", "mg-neuron"), node, "img");
			draw(g, "rect", { x: x - 46, y: y - 22, width: 92, height: 44, rx: 8 });
			writeAt(g, node, x, y - 4, "mg-label", "middle");
			this.loss.value = writeAt(g, "", x, y + 13, "mg-value", "middle");
			this.loss.g = g;
		}
	}

	paint(page) {
		const state = page.seen, gradient = (sign, n) => state.hidden(n) ? sign + " ?" : state.backward ? `${sign} ${brief(n.grad)}` : "", value = n => state.known(n) ? brief(n.data) : "…";
		const thick = this.lines.length > 80 ? 2 : 4.5, biggest = most(this.lines.map(l => abs(l.weight.data)).filter(finite)) || 1, chosen = page.chosen, factors = this.factors(chosen);
		for (const l of this.lines) {
			const w = l.weight.data, on = l.weight === chosen ? " mg-lit" : factors?.lines.has(l) ? " mg-flows" : "";
			l.line.setAttribute("stroke-width", (0.5 + thick * sqrt(abs(w) / biggest || 0)).toFixed(2));
			dress(l.line, (w < 0 ? "mg-minus" : "mg-plus") + on);
			if (l.label) {
				say(l.label, brief(w));
				say(l.grad, gradient("∂", l.weight));
				l.label.classList.toggle("mg-factor", Boolean(factors?.lines.has(l)));
			}
			fill(l.g, { "aria-label": `${plain(l.weight)} = ${shorten(w)}, gradient ${gradient("", l.weight)}` });
		}
		for (const s of this.spots.values()) {
			const { node, neuron } = s;
			const factor = factors?.spots.get(s);
			dress(s.g, "mg-neuron" + (node === chosen || neuron && neuron.z === chosen ? " mg-chosen" : factor ? " mg-lit" : ""));
			for (const part of ["value", "z", "delta"]) s[part]?.classList.toggle("mg-factor", factor === part);
			if (!this.roomy) s.g.firstChild.style.fill = `color-mix(in srgb, var(--${node.data < 0 ? "minus" : "plus"}) ${Math.round(85 * min(1, abs(node.data)) || 0)}%, var(--back))`;
			if (s.value) say(s.value, value(node));
			if (s.z) say(s.z, "z " + value(neuron.z));
			if (s.delta) say(s.delta, gradient("δ", neuron.z));
			fill(s.g, { "aria-label": `${plain(node)} = ${value(node)}` + (neuron ? `, z = ${value(neuron.z)}, ${gradient("δ =", neuron.z)}` : "") });
		}
		if (this.loss) {
			say(this.loss.value, value(this.loss.node));
			fill(this.loss.g, { "aria-label": `${plain(this.loss.node)} = ${value(this.loss.node)}` });
		}
	}

	// The factors of the derivative by a weight W_jk: its line, the lines that bring δ back to k, and the spots of a_j, z_k, each δ_l.
	factors(n) {
		const line = this.lines.find(l => l.weight === n);
		if (!line) return null;
		const lines = new Set(this.lines.filter(l => l.from === line.to));
		return { line, lines, spots: new Map([[line.from, "value"], [line.to, lines.size ? "z" : "delta"], ...[...lines].map(l => [l.to, "delta"])]) };
	}

	// g′(z): the derivative of a neuron's output a by its z, along the nodes between them.
	slope({ z, a }) {
		const found = new Map([[a, 1]]);
		for (let i = a.index; i > z.index; i--) {
			const n = this.graph.nodes[i], g = found.get(n);
			if (g !== undefined) n.operands.forEach((p, k) => found.set(p, (found.get(p) ?? 0) + times(g, n.locals[k])));
		}
		return found.get(z) ?? 0;
	}

	// The equations of ∂L/∂W_jk = (Σ_l δ_l W_kl) g′(z_k) a_j, with symbols and with numbers; null where n is no weight in the picture.
	derivation(n) {
		const found = this.factors(n);
		if (!found) return null;
		const { line: { to, from }, lines } = found, L = this.graph.output, { neuron } = to, dash = neuron.a !== neuron.z, next = [...lines];
		const levels = node => pieces(node).slice(1), delta = (kit, node) => kit.name([["δ", 0], ...levels(node)]);
		const term = (kit, l, numbers) => product(kit, numbers ? bracketed(kit, l.to.neuron.z.full) : delta(kit, l.to.neuron.z), numbers ? bracketed(kit, l.weight.data) : kit.name(l.weight));
		const k = this.layers[to.layer - 1].indexOf(neuron) + 1, above = next.length && levels(next[0].weight).slice(1), sum = next.reduce((sum, l) => sum + times(l.to.neuron.z.full, l.weight.data), 0);
		const whole = kit => kit.row(kit.sum("l"), product(kit, kit.name([["δ", 0], ["l", -1], ...above]), kit.name([["W", 0], [k + "l", -1], ...above])));
		const upstream = (kit, numbers) => next.length > 1 ? numbers ? bracketed(kit, sum) : kit.row("(", whole(kit), ")") : next.length ? term(kit, next[0], numbers)
			: numbers ? bracketed(kit, neuron.a.full) : derivative(L, neuron.a, kit);
		const left = this.calls < 2 ? derivative.bind(null, L, n) : kit => kit.word("sample " + this.call);
		const terms = kit => next.slice(0, 6).map((l, j) => signed(j ? "+" : "=", j ? "" : whole(kit), term(kit, l, true)));
		return [kit => [
			[left(kit), product(kit, upstream(kit, false), ...dash ? [kit.row(kit.word("g′"), "(", kit.name(neuron.z), ")")] : [], kit.name(from.node))],
			["", product(kit, upstream(kit, true), ...dash ? [bracketed(kit, this.slope(neuron))] : [], bracketed(kit, from.node.data))],
			["", product(kit, delta(kit, neuron.z), kit.name(from.node)), kit.number(neuron.z.full * from.node.data)]],
			...next.length > 1 ? [kit => [...terms(kit), ...next.length > 6 ? [signed("+", "", kit.sign("…"))] : [], ["", kit.number(sum)]]] : []];
	}
}
