// The page: its state, the actions of the user, and what is repainted after them.

class Page {
	constructor(root, D) {
		root.micrograd = this;
		Object.assign(this, { root, D, at: 0, chosen: null, looked: null, fold: -1, litPath: null, question: null, dirty: false, timer: 0 });
		root.insertAdjacentHTML("beforeend", D.page);
		this.find = what => root.querySelector(what);
		this.svg = this.find(".mg-view svg");
		this.card = name => this.find(`[data-card=${name}]`);
		this.slider = this.find("[data-step]");
		this.moves = new Set();
		this.values = new Values(this, this.card("values"));
		this.view = new View(this.find(".mg-view"), this.svg, () => this.picture?.state && !this.asNetwork && this.picture.show(this.view.rectangle()));
		this.find("img").remove();
		const nodes = D.nodes.map(([kind, text, op, data, group, parents, locals]) => ({
			kind: D.kinds[kind], text: D.texts[text], op: D.ops[op], data: +data, group, parents, locals: locals?.map(Number), frozen: D.frozen.includes(D.ops[op]) }));
		const groups = D.groups.map(([text, tag, parent, open, parts]) => ({ text: D.texts[text], tag, parent, open, parts }));
		this.listen();
		this.first = new Graph(nodes, groups);
		this.load(this.first, D.down ?? null);
		if (D.through?.length) this.light(new Set(D.through.flatMap(i => [...this.graph.above(this.graph.nodes[i])])));
		if (D.training) new Training(this, this.card("training"), D.training);
		if (D.guess) this.toggle("guess");
		if (D.expression !== undefined) new Field(this, this.find(".mg-field"), D);
		this.follow();
	}

	load(graph, down = null) {
		this.graph = graph;
		this.chosen = this.looked = this.litPath = this.question = null;
		this.fold = -1;
		this.moves = new Set(movable(graph));
		this.values.shown = AT_ONCE;
		this.picture = new Picture(graph, this.svg, this.D.signs, down);
		this.network = graph === this.first && this.D.network ? new Network(graph, this.D, this.root.clientWidth, this.find("[data-sample]")) : null;
		this.at = graph.end;
		this.slider.max = this.at;
		this.stepped = false;
		this.chosen = graph.nodes.find(n => n.leaf && n.counts) ?? null;
		this.find("[data-act=network]").hidden = !this.network;
		this.values.build();
		for (const name of ["descend", "guess"]) if (this[name]) this.toggle(name), this.toggle(name);
		this.asNetwork = Boolean(this.network && this.D.view === "network");
		this.arrange();
	}

	// -- the state, and painting it

	state() {
		const { graph, at, question } = this, count = graph.operations.length, target = question && (question.operand ?? question.node), above = target ? this.above ??= graph.above(target) : null;
		const now = at > count ? graph.operations[2 * count - at] : at ? graph.operations[at - 1] : null;
		const rank = this.rank ??= new Map(graph.operations.map((n, k) => [n, k]));
		return this.seen = {
			now: at === 2 * count || !now ? null : now, chosen: this.chosen, backward: at >= count,
			got: new Set(now && at > count && at < 2 * count ? now.operands.filter(n => n.counts) : []),
			known: n => n.leaf || rank.get(n) < at,
			hidden: n => Boolean(above) && (n === target || !above.has(n)),
			hides: (n, k) => Boolean(question) && (question.port === k && question.node === n),
			lit: this.litPath ?? (this.looked ?? this.chosen ? this.reach(this.looked ?? this.chosen) : null),
		};
	}

	reach(n) {  // what lights up for a value: its paths to the output; null for the output, whose paths are the whole graph
		return n.counts && n !== this.graph.output ? this.graph.above(n) : null;
	}

	arrange(focus = -1) {
		this.rank = this.above = null;
		const box = this.find(".mg-view"), before = this.picture.boxes && this.active;
		this.find("[data-act=network]").textContent = this.asNetwork ? "graph" : "network";
		this.find("[data-sample]").hidden = !this.asNetwork || this.network.calls < 2;
		for (const b of this.root.querySelectorAll("[data-act=foldall], [data-act=unfold]")) b.hidden = this.asNetwork || !this.graph.groups.length;
		if (this.asNetwork) {
			this.root.classList.remove("mg-side");
			this.network.render(this.svg, this);
			this.view.set(this.network.extent);
			return this.refresh();
		}
		const room = this.root.clientWidth;
		this.picture.render(room);
		this.root.classList.toggle("mg-side", this.picture.down && room - this.picture.extent[0] > 380);
		this.find(".mg-body").style.setProperty("--picture", max(this.picture.extent[0] + 20, 0.46 * room) + "px");
		this.view.set(this.picture.extent);
		const { boxes } = this.picture;
		this.active = boxes.find(b => focus >= 0 && this.picture.around(b.node ? b.node.group : b.fold).includes(focus))
			?? boxes.find(b => before && b.node === before.node && b.fold === before.fold) ?? this.chosen?.box ?? boxes.at(-1);
		this.active.g.setAttribute("tabindex", 0);
		this.refresh();
		if (focus >= 0) this.active.g.focus({ preventScroll: true });
		else if (!before && this.chosen?.box) this.view.reveal(this.chosen.box);
		return null;
	}

	// A value has changed: everything is computed and painted again, at the next frame.
	changed() {
		if (this.dirty) return;
		this.dirty = true;
		requestAnimationFrame(() => {
			this.dirty = false;
			this.graph.forward();
			this.refresh();
		});
	}

	refresh() {
		const { graph, at } = this, count = graph.operations.length;
		const steps = at < 2 * count ? max(0, at - count) : Infinity;
		if (graph.steps !== steps) graph.backward(steps);
		this.paint();
		this.values.show();
		this.slider.value = at;
		const text = at === 2 * count ? "all done" : at > count ? `backward ${at - count} of ${count}` : `forward ${at} of ${count}`;
		say(this.find("[data-at]"), text);
		this.slider.setAttribute("aria-valuetext", text);
		this.root.dataset.step = at;
		this.root.classList.toggle("mg-stepping", at < graph.end);
		tellStep(this, this.card("step"));
		tellChosen(this, this.card("chosen"));
		this.onrefresh?.();
	}

	shows(n) { return this.asNetwork ? this.network.nodes.has(n) : n.box?.node === n; }

	paint() {
		this.state();
		if (this.asNetwork) this.network.paint(this);
		else this.picture.paint(this.seen, this.view.rectangle());
	}

	go(to) {
		this.stepped = true;
		this.at = max(0, min(this.graph.end, to));
		this.refresh();
		const { now } = this.seen;
		if (now?.box && !this.asNetwork) this.view.reveal(now.box);
	}

	play() {
		const button = this.find("[data-act=play]");
		if (!this.timer && this.at === this.graph.end) this.go(0);
		this.timer = this.timer ? clearInterval(this.timer) : setInterval(() => {
			this.go(this.at + 1);
			if (this.at === this.graph.end) this.play();
		}, 900);
		this.card("step").setAttribute("aria-live", this.timer ? "off" : "polite");
		button.textContent = this.timer ? "pause" : "play";
	}

	choose(n) {
		if (this.chosen === n && !this.looked && this.fold < 0) return;
		this.chosen = n;
		this.looked = null;
		this.fold = -1;
		this.paint();
		if (n && n.leaf) this.values.choose(n);
		this.values.show();
		tellChosen(this, this.card("chosen"));
	}
	look(n, fold = -1) {
		if (this.looked === n && this.fold === fold) return;
		this.looked = n;
		this.fold = fold;
		this.paint();
		tellChosen(this, this.card("chosen"));
	}
	light(path) { this.litPath = path; this.paint(); }
	hide(question) { this.question = question; this.above = null; this.refresh(); }

	toggle(name) {
		const card = this.card(name), open = card.hidden;
		card.hidden = !open;
		this.find(`[data-act=${name}]`).setAttribute("aria-pressed", open);
		this.root.classList.toggle("mg-" + name, open);
		if (name === "descend" && !open && this.descend?.running) this.descend.toggle();
		this[name] = open ? name === "guess" ? new Guess(this, card, this.D.guess ?? {}) : new Descend(this, card) : null;
		if (name === "guess" && !open) this.hide(null);
	}

	reset() {
		this.graph.reset();
		this.descend?.begin();
		this.refresh();
	}

	// -- folding

	foldUp(k) { this.graph.groups[k].open = 0; this.arrange(k); }
	unfold(...list) {
		const { groups } = this.graph, more = list.reduce((sum, k) => sum + groups[k].parts - 1, this.picture.boxes.length);
		if (more > 6000) return this.card("step").replaceChildren(paragraph("Too many boxes: unfold one at a time."));
		for (const k of list) groups[k].open = 1;
		return this.arrange(list.length === 1 ? list[0] : -1);
	}

	// -- mouse, fingers, keys

	boxAt(target) {
		const g = target.closest?.(".mg-box");
		return g && !this.asNetwork ? this.picture.boxes.find(b => b.g === g) : null;
	}

	listen() {
		const { root, svg } = this, at = ev => this.boxAt(ev.target);
		on(svg, "click", ev => {
			const b = at(ev);
			if (!b || this.view.dragged) return;
			if (b.fold >= 0) this.unfold(b.fold);
			else this.choose(b.node);
		});
		on(svg, "pointerover", ev => {
			const b = at(ev);
			if (b && ev.pointerType === "mouse" && !ev.buttons) this.look(b.node, b.fold);
		});
		on(svg, "pointerleave", () => { if (this.looked || this.fold >= 0) this.look(null); });
		on(root, "focusin", ev => {
			const b = at(ev);
			if (!b) return;
			this.active.g.setAttribute("tabindex", -1);
			this.active = b;
			b.g.setAttribute("tabindex", 0);
			if (b.node) this.choose(b.node);
			else this.look(null, b.fold);
			this.view.reveal(b);
		});
		this.slider.oninput = () => this.go(+this.slider.value);
		const end = () => this.graph.end;
		const acts = { first: () => this.go(0), back: () => this.go(this.at - 1), on: () => this.go(this.at + 1), end: () => this.go(end()), play: () => this.play(),
			in: () => this.view.zoom(1.25), out: () => this.view.zoom(0.8), fit: () => this.view.fit(), reset: () => this.reset(),
			foldall: () => { for (const g of this.graph.groups) g.open = 0; this.arrange(); }, unfold: () => this.unfold(...this.picture.boxes.map(b => b.fold).filter(k => k >= 0)),
			descend: () => this.toggle("descend"), guess: () => this.toggle("guess"), network: () => { this.asNetwork = !this.asNetwork; this.active = null; this.arrange(); } };
		on(root, "click", ev => acts[ev.target.dataset?.act]?.());
		const keys = { ArrowLeft: acts.back, ArrowRight: acts.on, Home: acts.first, End: acts.end, "+": acts.in, "-": acts.out, 0: acts.fit };
		const alone = root.parentElement === document.body && document.querySelectorAll("[data-micrograd]").length === 1;
		on(alone ? document : root, "keydown", ev => {
			if (ev.altKey || ev.ctrlKey || ev.metaKey || ev.target.closest?.("input, select, textarea, [contenteditable]")) return;
			const b = at(ev), { boxes } = this.picture, to = by => boxes[boxes.indexOf(b) + by]?.g.focus({ preventScroll: true });
			const open = () => b.fold >= 0 && this.unfold(b.fold), inner = b && (b.node ? b.node.group : this.graph.groups[b.fold].parent);
			const act = b && { ArrowDown: () => to(1), ArrowUp: () => to(-1), Enter: open, " ": open, f: () => inner >= 0 && this.foldUp(inner) }[ev.key] || keys[ev.key];
			if (!act) return;
			ev.preventDefault();
			ev.stopPropagation();
			act();
		});
		root.tabIndex = -1;
		on(root, "pointerdown", ev => { if (!ev.target.closest("input, button, select, [tabindex='0']")) root.focus({ preventScroll: true }); });
		on(window, "beforeprint", () => { if (!this.asNetwork) this.picture.show([-1e9, -1e9, 2e9, 2e9]); });
		this.swipes();
	}

	swipes() {  // on the picture, where it does not scroll sideways, and on the card of the step
		const box = this.find(".mg-view");
		for (const area of [box, this.card("step")]) {
			let start = null;
			on(area, "touchstart", ev => { start = ev.touches.length === 1 ? ev.touches[0] : null; }, { passive: true });
			on(area, "touchend", ev => {
				const end = ev.changedTouches[0];
				if (!start || area === box && box.scrollWidth > box.clientWidth + 2) return;
				const dx = end.clientX - start.clientX, dy = end.clientY - start.clientY;
				if (abs(dx) > 40 && abs(dy) < abs(dx) / 2) this.go(this.at + (dx < 0 ? 1 : -1));
			});
		}
	}

	// -- light or dark, as the background is

	follow() {
		const dark = matchMedia("(prefers-color-scheme: dark)");
		const theme = () => {
			let e = this.root, isDark = dark.matches;
			while (e = e.parentElement) {
				const [r, g, b, a = 1] = getComputedStyle(e).backgroundColor.match(/[\d.]+/g);
				if (a > 0.5) { isDark = 0.3 * r + 0.59 * g + 0.11 * b < 128; break; }
			}
			this.root.classList.toggle("mg-dark", isDark);
			this.onrefresh?.();
		};
		theme();
		on(dark, "change", theme);
		new MutationObserver(theme).observe(document.body, { attributes: true });
	}
}

// The leaves that descend moves at first: weights; where there are none, all but those called like an input or a target (x, y, t).
function movable(graph) {
	const leaves = graph.nodes.filter(n => n.leaf && n.counts && !graph.stuck(n)), weights = leaves.filter(n => n.kind === "parameter");
	const others = leaves.filter(n => !/^[xyt]\d*$/.test(pieces(n)[0][0]));
	return weights.length ? weights : others.length ? others : leaves;
}

for (const root of document.querySelectorAll("[data-micrograd]:not([data-step])")) {
	root.dataset.step = "";
	new Page(root, JSON.parse(root.querySelector("script").textContent));
}
