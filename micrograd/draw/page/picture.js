// The picture of the graph: which boxes there are, and what they show now.

const SVG = "http://www.w3.org/2000/svg";
function fill(e, attributes = {}, inside = []) {  // `attributes` that are a text are the class
	if (attributes.trim) attributes = { class: attributes };
	for (const k in attributes) if (attributes[k] !== undefined) e.setAttribute(k, attributes[k]);
	e.append(...inside);
	return e;
}
const on = (e, names, act, options) => { for (const name of names.split(" ")) e.addEventListener(name, act, options); };
const make = (tag, attributes, ...inside) => fill(document.createElement(tag), attributes, inside);
const draw = (parent, tag, attributes) => parent.appendChild(fill(document.createElementNS(SVG, tag), attributes));
const letters = (text, tag = "i") => make(tag, {}, ...pieces(text).map(([t, level]) => level ? make(level < 0 ? "sub" : "sup", {}, t) : t));
const pen = document.createElement("canvas").getContext("2d");
function wide(text, size, weight = "") {
	pen.font = `${weight} ${size}px Arial, Helvetica, 'Liberation Sans', 'DejaVu Sans', sans-serif`;
	return pieces(text).reduce((sum, [t, level]) => sum + pen.measureText(t).width * (level ? 0.7 : 1), 0) * 1.04;
}
function writeAt(parent, text, x, y, style, anchor = "start") {
	const t = draw(parent, "text", { x, y, class: style, "text-anchor": anchor }), rise = [4, 0, -5];
	let at = 0;
	for (const [piece, level] of pieces(text)) {
		if (!level && !at) t.append(piece);
		else draw(t, "tspan", { dy: rise[level + 1] - at, class: level ? "mg-script" : "" }).textContent = piece;
		at = rise[level + 1];
	}
	return t;
}
function say(e, text) { if (e.textContent !== text) e.textContent = text; }
function dress(e, style) { if (e.getAttribute("class") !== style) e.setAttribute("class", style); }

class Picture {
	constructor(graph, svg, signs, down) {
		Object.assign(this, { graph, svg, signs, wanted: down });
		for (const n of graph.nodes) n.consumers = [];
		for (const n of graph.operations) for (const p of n.operands) p.consumers.push(n);
	}

	around(k) {  // the numbers of the groups around, the innermost first
		const found = [];
		for (; k >= 0; k = this.graph.groups[k].parent) found.push(k);
		return found;
	}
	foldOf(n) { return this.around(n.group).filter(k => !this.graph.groups[k].open).at(-1) ?? -1; }
	// Whether a number is written inside the operation that uses it, as in x + 1
	inside(n) {
		return n.kind === "constant" && !n.text.length && this.foldOf(n) < 0 && n.consumers.length > 0
			&& n.consumers.every(c => c.parents.length < 4 && this.foldOf(c) < 0 && c.operands.some(p => p !== n && p.kind !== "constant"));
	}

	collect() {
		const { graph } = this, { nodes, groups } = graph, byFold = new Map(), found = new Map();
		let boxes = [];
		for (const n of nodes) {
			n.box = null;
			if (this.inside(n)) continue;
			const fold = this.foldOf(n);
			let b = byFold.get(fold);
			if (fold < 0 || !b) {
				boxes.push(b = { fold, node: fold < 0 ? n : null, members: [], ins: [], outs: [], id: boxes.length });
				if (fold >= 0) byFold.set(fold, b);
			}
			b.members.push(n);
			n.box = b;
		}
		for (const n of nodes) n.operands.forEach((p, k) => {
			const from = p.box, to = n.box;
			if (!from || from === to) return;
			const single = from.fold < 0 && to.fold < 0, key = `${from.id},${to.id},${single ? k : ""}`;
			let e = found.get(key);
			if (!e) {
				found.set(key, e = { from, to, port: to.ins.length, all: [], live: false });
				from.outs.push(e);
				to.ins.push(e);
			}
			e.all.push([n, k]);
			e.live ||= p.counts;
		});
		const order = new Set(), seen = new Set(), stack = [graph.output.box];  // postorder from the output: sources first
		while (stack.length) {
			const b = stack.at(-1), next = seen.has(b) ? [] : b.ins.map(e => e.from).filter(f => !seen.has(f));
			seen.add(b);
			if (next.length) stack.push(...next.reverse());
			else order.add(stack.pop());
		}
		this.boxes = [...order];
		this.edges = [...found.values()].filter(e => order.has(e.from) && order.has(e.to));
		this.boxes.forEach((b, k) => { b.id = k; this.measure(b); });
	}

	measure(b) {
		const n = b.node, group = this.graph.groups[b.fold];
		b.kind = group ? "fold" : n.kind;
		b.bare = n?.kind === "constant" && !n.text.length;
		b.text = group ? group.text : b.bare ? "" : n.name;
		b.tag = group ? group.tag : b.bare ? "" : !n.leaf ? "= " + this.formula(n) : n.kind;
		const top = b.bare ? 0 : wide(b.text, 13, "bold") + wide(b.tag, 10.5) + 8;
		b.w = max(top, group ? 96 : b.bare ? wide(shorten(n.data), 11.5) : n.counts ? 120 : 60) + (n && n.leaf ? 27 : 20);
		const crowded = group && b.ins.length > 4, pitch = this.down ? 54 : crowded ? 32 / b.ins.length : 15;
		b.h = b.bare ? 24 : 42;
		if (this.down) b.w = max(b.w, group ? 0 : b.ins.length * pitch + 4);
		else b.h = max(b.h, b.ins.length * pitch + 4);
		const step = this.down && group ? min(pitch, (b.w - 10) / b.ins.length) : pitch;
		b.ports = b.ins.map((_, k) => (k - (b.ins.length - 1) / 2) * step);
		for (const e of b.ins) {
			e.dense = crowded;
			e.room = crowded ? 0 : e.all.length > 1 ? 24 : e.live ? 36 : 0;
		}
	}

	formula(n) {
		const text = equation(n);
		return wide(text, 10.5) < 110 ? text : RULES[n.op] ? this.signs[n.op] ?? n.op : n.op;
	}

	// Gives each box its place, and each edge and trunk its path; returns width and height.
	place() {
		const { boxes, edges, down } = this, margin = 14, widest = [];
		const links = edges.map(({ from, to, port, room, live }) => ({ source: from.id, target: to.id, port, label: down ? room ? 13 : 8 : room ? room + 8 : 14, strength: live - 1 }));
		const column = columns(boxes.length, links), even = b => !down && !b.bare;
		boxes.forEach((b, k) => { if (even(b)) widest[column[k]] = max(widest[column[k]] ?? 0, b.w); });
		boxes.forEach((b, k) => { if (even(b)) b.w = widest[column[k]]; });
		const made = arrange(boxes.map(({ w, h, ports }) => down ? { along: h, across: w, ports } : { along: w, across: h, ports }), links, column, down ? 12 : GAP);
		const turned = ([along, across]) => (down ? [across, along] : [along, across]).map(x => x + margin);
		const at = (...point) => turned(point).map(round).join(" ");
		const path = points => points.slice(1).reduce((d, [x, y], k) => {
			const [x0, y0] = points[k], half = (x0 + x) / 2;
			return d + (k % 2 ? `C${at(half, y0)} ${at(half, y)} ` : "L") + at(x, y);
		}, "M" + at(...points[0]));
		boxes.forEach((b, k) => { [b.x, b.y] = turned(made.middles[k]); });
		edges.forEach((e, k) => { [[e.x, e.y], e.d] = [turned(made.routes[k][3]), path(made.routes[k])]; });
		this.trunks = made.trunks;
		for (const piece of made.trunks) piece.d = path(piece.points);
		return turned([made.along + margin, made.across + margin]);
	}

	// Lays the graph out from left to right, or from top to bottom where that is wanted, or where only that fits into `room`.
	render(room = Infinity) {
		const lay = down => {
			this.down = down;
			this.collect();
			return this.extent = this.place();
		};
		if (this.wanted === null) {
			const [right] = lay(false);
			if (right > room && lay(true)[0] > max(room, 0.6 * right)) lay(false);
		} else lay(this.wanted);
		const { svg, boxes } = this;
		svg.replaceChildren();
		const under = draw(svg, "g", { "aria-hidden": true });
		for (const piece of this.trunks) piece.line = draw(under, "path", { d: piece.d });
		for (const e of this.edges) {
			e.line = draw(under, "path", { d: e.d + (e.dense ? "" : this.down ? "l-3-5m3 5l3-5" : "l-5-3m5 3l-5 3") });
		}
		for (const b of boxes) {
			b.g = draw(svg, "g", { tabindex: -1, role: b.node ? "img" : "button", class: `mg-box mg-${b.kind}` });
			b.g.dataset[b.node ? "node" : "fold"] = b.node ? b.node.index : plain(b.text);
		}
		this.under = under;
		this.state = null;
		this.version = 0;
	}

	drawBox(b) {
		const { w, h, kind, node } = b, x = b.x - w / 2, y = b.y - h / 2, folded = !node;
		const rect = (x, y, width, height, rx = { leaf: 0, constant: 10, input: 16 }[kind] ?? 5) =>
			draw(b.g, "rect", { class: "mg-out", x, y, width, height, rx });
		if (b === this.graph.output.box) rect(x - 3, y - 3, w + 6, h + 6);
		if (folded) rect(x + 4, y + 4, w - 4, h - 4);
		if (kind === "parameter") draw(b.g, "path", { class: "mg-out", d: `M${x + w} ${y}h${8 - w}l-8 8v${h - 16}l8 8h${w - 8}z` });
		else rect(x, y, folded ? w - 4 : w, folded ? h - 4 : h);
		if (kind === "leaf") rect(x, y, 5, h).classList.add("mg-stripe");
		const left = x + (node && node.leaf ? 15 : 10), right = x + w - (folded ? 13 : 10);
		if (b.bare) return b.value = writeAt(b.g, "", b.x, b.y + 4, "mg-value", "middle");
		writeAt(b.g, b.text, left, b.y - 5, "mg-label");
		const operation = node && node.leaf === false;
		b.tagged = writeAt(b.g, b.tag, operation ? left + wide(b.text, 13, "bold") + 5 : right, b.y - 5, operation ? "mg-tag mg-formula" : "mg-tag", operation ? "start" : "end");
		if (!folded) b.value = writeAt(b.g, "", left, b.y + 14, "mg-value");
		return b.note = writeAt(b.g, "", folded ? left : right, b.y + 14, "mg-grad", folded ? "start" : "end");
	}

	// Shows a new state in the whole picture: which values are known, which gradients may be seen, what is marked.
	paint(state, seen) {
		this.version++;
		this.state = state;
		this.biggest = 0;
		for (const e of this.edges) {
			e.flow = 0;
			for (const [n, k] of e.all) e.flow += abs(times(n.full, n.locals[k]));
			if (e.flow < Infinity && e.flow > this.biggest) this.biggest = e.flow;
		}
		this.show(seen);
	}

	// Paints the part of the picture that is seen, where it has not been painted since the last change: a browser can hold some
	// thousand boxes, but not all the text in them.
	show([x, y, w, h]) {
		const within = b => this.boxes.length < 300 || b.x + b.w / 2 > x - 60 && b.x - b.w / 2 < x + w + 60 && b.y + b.h / 2 > y - 60 && b.y - b.h / 2 < y + h + 60;
		for (const b of this.boxes) {
			if (b.version === this.version || !within(b)) continue;
			b.version = this.version;
			if (!b.g.firstChild) this.drawBox(b);
			this.paintBox(b);
			for (const e of b.ins) this.paintEdge(e);
		}
		let on;
		for (const [k, piece] of [...this.trunks.entries()].reverse()) {  // what leaves a later trunk flows through this one too
			if (this.trunks[k + 1]?.points[0] !== piece.points.at(-1)) on = { flow: 0, lit: false, live: false };
			for (const e of piece.links.map(link => this.edges[link])) on = { flow: max(on.flow, e.flow), lit: on.lit || this.lit(e), live: on.live || e.live };
			this.paintLine(piece.line, on, on.lit ? " mg-lit" : "", 1);
		}
	}

	lit(e) { return this.state.lit && e.all.some(([n, k]) => this.state.lit.has(n) && this.state.lit.has(n.operands[k])); }

	paintLine(line, { flow, live }, style, thin) {
		const share = flow < Infinity ? sqrt(flow / this.biggest || 0) : 1;
		const width = ((THINNEST + MORE * share) * thin).toFixed(2);
		if (line.getAttribute("stroke-width") !== width) line.setAttribute("stroke-width", width);
		dress(line, "mg-edge" + (!live ? "" : flow === Infinity || flow !== flow ? " mg-nan" : !flow ? " mg-zero" : " mg-sent") + style);
	}

	paintEdge(e) {
		const { state } = this, now = e.all.some(([n]) => n === state.now);
		const style = (this.lit(e) ? " mg-lit" : "") + (e.live && now ? " mg-flows" : "");
		this.paintLine(e.line, e, style, e.dense ? 0.6 : 1);
		if (!e.room) return;
		e.label ??= this.down ? writeAt(this.under, "", e.x + 5, e.y - 7, "mg-local") : writeAt(this.under, "", e.x - 9, e.y - 3, "mg-local", "end");
		const [n, k] = e.all[0], cut = n.locals[k] === null;
		say(e.label, e.all.length > 1 ? "×" + e.all.length : !e.live || !state.known(n) ? "" : state.hides(n, k) ? "?" : cut ? "" : brief(n.locals[k]));
		dress(e.label, "mg-local" + (this.lit(e) ? " mg-lit" : ""));
	}

	paintBox(b) {
		const { state, graph } = this, n = b.node, counted = b.members.filter(m => m.counts), ready = counted.filter(m => graph.final(m)).length;
		const done = state.backward && counted.length > 0 && ready === counted.length;
		if (b.value) say(b.value, state.known(n) ? brief(n.data) : "…");
		if (n && !n.leaf && b.tag.startsWith("= ")) say(b.tagged, "= " + this.formula(n));
		let note = "";
		if (!n) note = !counted.length ? "constants" : !state.backward ? `${b.members.length} values` : `${ready} of ${counted.length} final${done ? " ✓" : ""}`;
		else if (n.counts && state.hidden(n)) note = "∂ ?";
		else if (n.counts && state.backward) {
			const total = n.uses.length;
			note = done ? `∂ ${brief(n.grad)}` : n.arrived ? `∂ ${brief(n.grad)} (${n.arrived} of ${total})` : `∂ 0 of ${total}`;
			b.g.dataset.grad = n.grad;
		} else delete b.g.dataset.grad;
		if (b.note) say(b.note, note);
		dress(b.g, `mg-box mg-${b.kind}` + (done ? " mg-final" : "") + (n && n === state.now ? " mg-now" : n && state.got.has(n) ? " mg-got" : "")
			+ (state.lit && b.members.some(m => state.lit.has(m)) ? " mg-lit" : "") + (n && n === state.chosen ? " mg-chosen" : "")
			+ (n && state.known(n) && !finite(n.data) ? " mg-broken" : ""));
		const from = n && !n.leaf ? `, computed from ${n.operands.map(p => plain(p)).join(" and ")}` : "";
		const label = n ? `${plain(n)} ${n.leaf ? n.kind : b.tag}${from}, value ${state.known(n) ? shorten(n.data) : "not yet there"}`
			+ (!n.counts || !state.backward ? "" : state.hidden(n) ? ", gradient hidden" : `, gradient ${shorten(n.grad)}, ${this.share(n)}`)
			: `${plain(b.text)}, ${b.tag}, folded, ${note}`;
		if (b.spoken !== label) fill(b.g, { "aria-label": b.spoken = label });
	}

	share(n) {
		const total = n.uses.length;
		return n.arrived === total ? "final" : `${n.arrived} of ${total} contributions arrived`;
	}
}
