// A recorded training run, played in the picture, with the loss, the gradients of the layers and the decision boundary.

class Training {
	constructor(page, card, { parameters, frames, steps, losses, points }) {
		Object.assign(this, { page, card, frames, steps, losses, points, at: frames.length - 1, timer: 0 });
		this.parameters = parameters.map(i => page.graph.nodes[i]);
		card.hidden = false;
		this.slider = make("input", { type: "range", min: 0, max: frames.length - 1, "aria-label": "Step of the training" });
		this.slider.oninput = () => this.go(+this.slider.value);
		this.playing = button("play", () => this.play());
		this.told = make("output", {});
		const figures = make("div", "mg-figures");
		const figure = (title, child) => { figures.append(make("figure", {}, make("figcaption", {}, title), child)); return child; };
		this.curve = figure("Loss", chart(card));
		this.network = page.network;
		if (this.network) this.bars = figure("Gradients by layer, for this sample", chart(card));
		if (this.network?.inputs.length === 2) this.map = figure("Decision boundary", make("canvas", { class: "mg-map", width: 260, height: 260, role: "img" }));
		tell(card, "Training", make("div", "mg-row", this.playing, this.slider, this.told), figures);
		if (this.network) this.norms = this.gradients();
		if (this.map) this.prepare();
		page.onrefresh = () => this.draw();
		this.go(this.at);
	}

	set(k) {
		const { graph } = this.page;
		this.frames[k].forEach((x, j) => { this.parameters[j].data = +x; });
		graph.forward();
	}

	go(k) {
		this.at = k;
		this.set(k);
		this.page.refresh();
	}

	play() {
		if (!this.timer && this.at === this.frames.length - 1) this.go(0);
		this.timer = this.timer ? clearInterval(this.timer) : setInterval(() => {
			this.go(this.at + 1);
			if (this.at >= this.frames.length - 1) this.play();
		}, max(30, min(200, 8000 / this.frames.length)));
		this.playing.textContent = this.timer ? "pause" : "play";
	}

	gradients() {  // the root mean square of each layer in each frame; null where that takes too long
		const layers = this.network.layers.map(layer => layer.flatMap(n => [...n.weights, n.bias]));
		if (this.frames.length * this.page.graph.nodes.length > 2e6) return null;
		return this.frames.map((_, k) => {
			this.set(k);
			return layers.map(list => sqrt(list.reduce((sum, w) => sum + w.full ** 2, 0) / list.length));
		});
	}

	draw() {
		const { losses, steps, at } = this;
		this.slider.value = at;
		this.told.textContent = `step ${steps[at]}, loss ${shorten(losses[at])}`;
		this.slider.setAttribute("aria-valuetext", this.told.textContent);
		plot(this.curve, losses, "loss", at, steps.at(-1));
		if (this.norms) this.drawBars();
		if (this.map) this.drawMap();
	}

	drawBars() {
		const svg = this.bars, norms = this.norms[this.at], step = 92 / norms.length, high = Math.log10(most(this.norms.flat().filter(finite)) || 1);
		const length = x => 190 * max(0, min(1, 1 + (Math.log10(x) - high) / 6));  // six decades, for gradients differ by orders of magnitude
		svg.replaceChildren();
		norms.forEach((x, k) => {
			const y = 14 + k * step, tall = min(22, step - 6);
			writeAt(svg, `layer ${k + 1}`, 46, y + tall / 2 + 4, "mg-tick", "end");
			draw(svg, "rect", { class: "mg-bar-of", x: 52, y, width: max(1, length(x) || 0), height: tall, rx: 2 });
			writeAt(svg, shorten(x), 58 + (length(x) || 0), y + tall / 2 + 4, "mg-tick");
		});
		writeAt(svg, "√ of the mean square of ∂L/∂W and ∂L/∂b, logarithmic", 4, 124, "mg-tick");
		fill(svg, { "aria-label": norms.map((x, k) => `layer ${k + 1}: ${shorten(x)}`).join(", ") });
	}

	prepare() {  // the operations between the inputs and the network's output, which the map computes
		const { graph } = this.page, { inputs, layers } = this.network, output = layers.at(-1)[0].a, below = new Set([output]), inside = new Set(inputs);
		for (const n of below) for (const p of n.operands) below.add(p);
		this.program = graph.operations.filter(n => {
			return below.has(n) && n.operands.some(p => inside.has(p)) && inside.add(n);
		});
		this.output = output;
		this.inputs = inputs;
		this.grid = make("canvas", { width: 64, height: 64 });
		[this.across, this.up] = [0, 1].map(k => {
			const list = this.points?.map(p => p[k]) ?? [-2, 2], low = min(...list), high = max(...list), more = 0.12 * (high - low) || 1;
			return [low - more, high + more];
		});
		this.level = this.points && this.points.every(p => p[2] === 0 || p[2] === 1) && layers.at(-1)[0].a.op === "sigmoid" ? 0.5 : 0;
	}

	drawMap() {
		const { map: canvas, grid, inputs: [a, b] } = this, size = grid.width, paint = canvas.getContext("2d"), points = grid.getContext("2d"), all = [a, b, ...this.program], kept = all.map(n => n.data);
		const style = getComputedStyle(canvas), [plus, minus, ink, back] = ["plus", "minus", "ink", "back"].map(name => style.getPropertyValue("--" + name));
		const [left, right] = this.across, [low, high] = this.up;
		points.globalAlpha = 1;
		points.fillStyle = back;
		points.fillRect(0, 0, size, size);
		for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) {
			a.data = left + (right - left) * (i + 0.5) / size;
			b.data = high - (high - low) * (j + 0.5) / size;
			for (const n of this.program) n.data = FLOATS[n.op](...n.operands.map(p => p.data));
			const v = this.output.data - this.level;
			points.fillStyle = v > 0 ? plus : minus;
			points.globalAlpha = 0.07 + 0.4 * min(1, abs(v) * 0.8);
			points.fillRect(i, j, 1, 1);
		}
		paint.drawImage(grid, 0, 0, canvas.width, canvas.height);
		all.forEach((n, k) => { n.data = kept[k]; });
		paint.strokeStyle = back;
		for (const [x, y, t] of [...this.points ?? [], [a.data, b.data]]) {  // the sample that is drawn comes last
			paint.beginPath();
			paint.arc((x - left) / (right - left) * canvas.width, (high - y) / (high - low) * canvas.height, t === undefined ? 5 : 3, 0, 7);
			paint.fillStyle = t === undefined ? ink : t > 0 ? plus : minus;
			paint.fill();
			paint.lineWidth = t === undefined ? 2 : 0.7;
			paint.stroke();
		}
		fill(canvas, { "aria-label": `Where the output is above ${this.level} (blue) and below (orange); the sample drawn at ${shorten(a.data)}, ${shorten(b.data)}` });
	}
}
