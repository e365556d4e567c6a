// Upgrades a picture to one in which backward is stepped through, on the engine's numbers and in its order.
(() => {
for (const root of document.querySelectorAll("[data-micrograd]:not([data-step])")) {
	start(root, JSON.parse(root.querySelector("script").textContent));
}

function start(root, D) {
root.dataset.step = 0;
const N = D.nodes.map(([kind, text, op, data, group, parents, locals]) => ({
	kind: D.kinds[kind], text: D.texts[text], op: D.ops[op], data: +data, group, parents, locals: locals.map(Number) }));
const groups = D.groups.map(([text, tag, parent, open, parts]) => ({ text: D.texts[text], tag, parent, open, parts }));
const last = N.length - 1, steps = [], uses = N.map(() => []);
const around = k => k < 0 ? [] : [k, ...around(groups[k].parent)];
let unnamed = 0;
for (const n of N) {
	n.counts = n.kind !== "constant" && n.kind !== "input";
	n.name = n.text.length ? n.text : n.kind === "constant" ? short(n.data) : "v" + ++unnamed;
}
for (let i = last; i >= 0; i--) {
	if (N[i].parents.length) steps.push(i);
	N[i].parents.forEach((p, k) => N[p].counts && uses[p].push([i, k]));
}

// -- the backward pass up to a step, and the paths from each value to the output

let step = 0, grad, arrived;
function pass(until) {
	grad = new Float64Array(N.length);
	arrived = new Int32Array(N.length);
	grad[last] = 1;
	for (const i of steps.slice(0, step = until)) N[i].parents.forEach((p, k) => {
		if (N[p].counts) { grad[p] += grad[i] * N[i].locals[k]; arrived[p]++; }
	});
}
pass(steps.length);
const full = grad;
pass(0);
const total = i => uses[i].length, final = i => arrived[i] === total(i);
const size = path => path.product === path.product ? Math.abs(path.product) : Infinity;
let paths;
function findPaths() {  // their number, the sum of their products, and the three largest
	paths = N.map(() => ({ count: 0n, sum: 0, top: [] }));
	paths[last] = { count: 1n, sum: 1, top: [{ product: 1 }] };
	for (let i = last - 1; i >= 0; i--) for (const [c, k] of uses[i]) {
		const mine = paths[i], rest = paths[c], local = N[c].locals[k];
		mine.count += rest.count;
		mine.sum += rest.sum * local;
		mine.top = [...mine.top, ...rest.top.map(r => ({ product: r.product * local, local, to: c, rest: r }))]
			.sort((a, b) => size(b) - size(a)).slice(0, 3);
	}
}

// -- the page; labels become text, never markup

root.insertAdjacentHTML("beforeend", D.page);
const find = what => root.querySelector(what), svg = find(".mg-view svg"), slider = find("input"), view = find(".mg-view");
const [told, info] = find(".mg-panels").children, playing = find("[data-act=play]");
root.querySelector("img").style.display = "none";
slider.max = steps.length;
if (!groups.length) root.querySelectorAll("[data-act*=fold]").forEach(b => b.remove());

function short(x) {
	if (!Number.isFinite(x)) return x !== x ? "nan" : x > 0 ? "∞" : "−∞";
	const a = Math.abs(x), s = a && (a < 1e-4 || a >= 1e4) ? x.toExponential(3).replace(/\.?0*e/, "e") : +x.toPrecision(4) + "";
	return s.replace(/-/g, "−");
}
function fill(e, attrs, inside) {
	for (const k in attrs) e.setAttribute(k, attrs[k]);
	e.append(...inside);
	return e;
}
const make = (tag, attrs, ...inside) => fill(document.createElement(tag), attrs, inside);
const draw = (parent, tag, attrs) => parent.appendChild(fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attrs, []));
const pieces = text => typeof text === "string" ? [[text, 0]] : text;
const plain = text => pieces(text).map(([t, level]) => ["_", "", "^"][level + 1] + t).join("");
const math = (text, tag = "i") => make(tag, {}, ...pieces(text).map(([t, level]) => level ? make(level < 0 ? "sub" : "sup", {}, t) : t));
const sym = i => math(N[i].name), g = i => make("span", {}, "g[", sym(i), "]"), p = (...inside) => make("p", {}, ...inside);
const red = x => make("b", { class: "mg-g", title: x }, short(x)), quiet = (...text) => make("span", { class: "mg-quiet" }, ...text);
const where = i => quiet(around(N[i].group).map(k => plain(groups[k].text)).reverse().join(" / "));
const share = i => final(i) ? `all ${total(i)} arrived: final ✓` : `${arrived[i]} arrived, ${total(i) - arrived[i]} pending`;

function tell() {
	if (!step) return told.replaceChildren(p("The pass starts at the output: ", g(last), " = ", red(1), "."),
		p(quiet(told.dataset.hint)));
	const i = steps[step - 1], n = N[i];
	told.replaceChildren(p(make("b", {}, `Step ${step}: `), sym(i), ` (${n.op}) hands on `, g(i), " = ", red(grad[i]), " ", where(i)),
		make("ul", {}, ...n.parents.map((q, k) => N[q].counts && make("li", {}, g(q), " += ", g(i), " · local = ",
			`${short(grad[i])} · ${short(n.locals[k])} = `, red(grad[i] * n.locals[k]), "; now ", g(q), " = ", red(grad[q]), " ",
			quiet(`(${share(q)})`))).filter(Boolean)));
}

function inform(b) {
	const inside = [], n = N[b?.node], g = groups[b?.fold];
	if (!b) inside.push(quiet(info.dataset.hint));
	else if (g) inside.push(p(math(b.text, "b"), ` stands for ${b.members.length} values.`),
		p(quiet("Click it, or press Enter, to unfold it.")));
	else inside.push(p(math(n.name, "b"), ` ${n.op || n.kind}, value `, short(n.data), " ", where(b.node)));
	if (n?.counts) {
		if (!paths) findPaths();
		const { count, sum, top } = paths[b.node], many = count > 3n;
		inside.push(p("∂", sym(last), "/∂", sym(b.node), " = ", make("span", { class: "mg-sum", "data-sum": sum, "data-paths": count },
			count > 1n ? top.map(t => short(t.product)).join(" + ") + (many ? " + …" : "") + " = " : "", red(sum))),
		p(`${count.toLocaleString("en")} path${count > 1n ? "s lead" : " leads"} to the output` + (many ? "; the three largest products:" : ":")),
		make("ul", {}, ...top.filter(t => t.rest).map(t => {
			const li = make("li", {}, sym(b.node)), locals = [];
			for (let at = t; at.rest; at = at.rest) {
				locals.push(short(at.local));
				if (locals.length < 5 || !at.rest.rest) li.append(" → ", locals.length > 5 ? "… → " : "", sym(at.to));
			}
			if (locals.length > 5) locals.splice(4, locals.length - 5, "…");
			li.append(": " + locals.join(" · ") + " = ", red(t.product));
			return li;
		})));
	} else if (n) inside.push(p("A constant: no gradient."));
	for (const k of b ? around(g ? g.parent : n.group) : []) {
		const chip = make("button", { type: "button" }, "fold ", plain(groups[k].text));
		chip.onclick = () => fold(k);
		inside.push(chip, " ");
	}
	info.replaceChildren(...inside);
}

// -- the boxes, and where they go: the layout of layout.py

const most = list => list.reduce((a, b) => Math.max(a, b), 0);

let boxes, edges, columns, extent, active;
const pen = document.createElement("canvas").getContext("2d");
function wide(text, size) {
	pen.font = size + "px Arial, Helvetica, 'Liberation Sans', 'DejaVu Sans', sans-serif";
	return pen.measureText(plain(text)).width * 1.04;
}

function collect() {
	const byFold = new Map(), found = new Map();
	boxes = [];
	N.forEach((n, i) => {
		const fold = around(n.group).filter(k => !groups[k].open).at(-1) ?? -1;
		let b = byFold.get(fold);
		if (fold < 0 || !b) {
			boxes.push(b = { fold, node: fold < 0 ? i : -1, members: [], ins: [], outs: [], id: boxes.length });
			if (fold >= 0) byFold.set(fold, b);
		}
		b.members.push(i);
		n.box = b;
	});
	N.forEach((n, i) => n.parents.forEach((q, k) => {
		const from = N[q].box, to = n.box, key = [from.id, to.id, from.fold < 0 && to.fold < 0 ? k : ""].join();
		if (from === to) return;
		let e = found.get(key);
		if (!e) {
			found.set(key, e = { from, to, port: to.ins.length, all: [], flow: 0 });
			from.outs.push(e);
			to.ins.push(e);
		}
		e.all.push([i, k]);
		if (!N[q].counts) return;
		e.live = 1;
		e.flow += Math.abs(full[i] * n.locals[k]);
	}));
	edges = [...found.values()];
	const order = new Set(), seen = new Set(), stack = [N[last].box];  // postorder from the output: sources first
	while (stack.length) {
		const b = stack.at(-1), next = seen.has(b) ? [] : b.ins.map(e => e.from).filter(f => !seen.has(f));
		seen.add(b);
		if (next.length) stack.push(...next.reverse());
		else order.add(stack.pop());
	}
	boxes = [...order];
	for (const b of boxes) {
		const n = N[b.node], f = groups[b.fold];
		b.kind = f ? "fold" : n.kind;
		b.bare = n?.kind === "constant" && !n.text.length;
		b.text = f ? f.text : b.bare ? "" : n.name;
		b.tag = f ? f.tag : b.bare ? "" : n.op || n.kind;
		const below = f ? 110 : wide(short(n.data), 11.5) + (n.counts && 105);
		b.w = b.bare ? below + 20 : Math.max(wide(b.text, 14) + wide(b.tag, 10) + 14, below) + 22;
		const pitch = f ? Math.min(15, 32 / b.ins.length) : 15;
		b.h = Math.max(b.bare ? 24 : 42, b.ins.length * pitch + 4);
		b.ports = b.ins.map((_, k) => (k - (b.ins.length - 1) / 2) * pitch);
	}
}

function layout() {
	for (const b of [...boxes].reverse()) b.rank = most(b.outs.map(e => e.to.rank + 1));
	const end = most(boxes.map(b => b.rank)), items = [];
	const add = (box, column, h) => { const item = { box, column, h, ins: [], outs: [] }; items.push(item); return item; };
	const join = (a, b, shift, part) => { a.outs.push({ o: b, shift, part }); b.ins.push({ o: a, shift: -shift, part: 0 }); };
	for (const b of boxes) b.item = add(b, b.column = end - b.rank, b.h);
	for (const b of boxes) {  // a long edge passes each column in a slot
		b.slots = [b.item];
		for (let c = b.column + 1; c < most(b.outs.map(e => e.to.column)); c++) {
			b.slots.push(add(null, c, 0));
			join(b.slots.at(-2), b.slots.at(-1), 0, 0);
		}
		for (const e of b.outs) join(b.slots[e.to.column - b.column - 1], e.to.item, e.to.ports[e.port], (e.port + 0.5) / e.to.ins.length - 0.5);
	}
	columns = Array.from({ length: end + 1 }, () => ({ items: [], room: 0, label: 14 }));
	const stack = [boxes.at(-1).item];
	while (stack.length) {  // the first order: from the output to the leaves, port by port
		const item = stack.pop();
		if (item.place >= 0) continue;
		item.place = columns[item.column].items.push(item) - 1;
		stack.push(...item.ins.map(i => i.o).reverse());
	}
	const sweep = (times, act) => { for (let t = 0; t < times; t++) for (const c of t % 2 ? columns : [...columns].reverse()) act(c.items, t); };
	sweep(items.length < 900 ? 9 : 3, (list, t) => {  // fewer crossings: each to the mean of its neighbours
		for (const item of list) {
			const near = t % 2 ? item.ins : item.outs;
			item.want = near.length ? near.reduce((sum, i) => sum + i.o.place + i.part, 0) / near.length : item.place;
		}
		list.sort((a, b) => a.want - b.want).forEach((item, k) => { item.place = k; });
	});
	for (const { items: list } of columns) {
		let y = 0;
		list.forEach((item, k) => {
			const above = list[k - 1];
			if (k) y += (above.h + item.h) / 2 + (above.box && item.box ? 18 : above.box || item.box ? 11 : 7);
			item.floor = y;
		});
		for (const item of list) item.y = item.floor - y / 2;
	}
	sweep(10, (list, t) => {  // least squares under that order: pool adjacent violators
		const pools = [];
		for (const item of list) {
			let sum = 0, weight = 0, near = t % 2 ? item.ins : item.outs;
			if (t > 7 || !near.length) near = [...item.ins, ...item.outs];
			for (const { o, shift } of near) {
				const w = 1 + (item.box ? 0 : 3) + (o.box ? 0 : 3);
				weight += w;
				sum += w * (o.y + shift);
			}
			let pool = { mean: (weight ? sum / weight : item.y) - item.floor, weight: weight || 0.1, list: [item] };
			while (pools.length && pools.at(-1).mean > pool.mean) {
				const other = pools.pop(), w = other.weight + pool.weight;
				pool = { mean: (other.mean * other.weight + pool.mean * pool.weight) / w, weight: w, list: other.list.concat(pool.list) };
			}
			pools.push(pool);
		}
		for (const pool of pools) for (const item of pool.list) item.y = pool.mean + item.floor;
	});
	const top = -most(items.map(i => i.h / 2 - i.y)) - 14;
	for (const item of items) {
		const c = columns[item.column];
		item.y -= top;
		if (item.box) c.room = Math.max(c.room, item.box.w);
	}
	for (const e of edges) {
		const [[i, k]] = e.all, c = columns[e.to.column];
		e.text = e.all.length > 1 ? e.to.ins.length < 4 ? "×" + e.all.length : "" : e.live ? short(N[i].locals[k]) : "";
		if (e.text) c.label = Math.max(c.label, wide(e.text, 10) + 16);
	}
	let x = -20;
	for (const c of columns) {
		c.from = x += 34 + Math.min(9 * c.items.length, 90);
		c.to = x += c.label + c.room;
	}
	extent = [x + 14, most(items.map(i => i.y + i.h / 2)) + 14];
	for (const b of boxes) {
		const c = columns[b.column];
		if (!b.bare) b.w = c.room;
		b.x = c.to - c.room / 2;
		b.y = b.item.y;
	}
	for (const e of edges) {
		let x = columns[e.from.column].to, y = e.from.y;
		e.d = `M${e.from.x + e.from.w / 2} ${y}H${x}`;
		const over = (c, to, until) => {
			const half = (x + c.from) / 2;
			e.d += `C${half} ${y} ${half} ${to} ${c.from} ${to}H${x = until}`;
			y = to;
		};
		for (const s of e.from.slots.slice(1, e.to.column - e.from.column)) over(columns[s.column], s.y, columns[s.column].to);
		over(columns[e.to.column], e.y = e.to.y + e.to.ports[e.port], e.x = e.to.x - e.to.w / 2);
	}
}

// -- drawing

function arrange(chosen) {
	const old = active;
	collect();
	layout();
	svg.replaceChildren();
	const under = draw(svg, "g", { "aria-hidden": true });
	const biggest = most(edges.map(e => e.flow).filter(isFinite));
	for (const e of edges) {
		const dense = e.to.fold >= 0 && e.to.ins.length > 4, finite = e.flow < Infinity,
			weight = 0.9 + 2.6 * (finite ? Math.sqrt(e.flow / biggest || 0) : 1);
		e.line = draw(under, "path", { d: e.d + (dense ? "" : "l-5-3m5 3l-5 3"), "stroke-width": weight * (dense ? 0.6 : 1) });
		e.style = "mg-edge" + (finite ? e.live && !e.flow ? " mg-zero" : "" : " mg-nan");
		write(under, e.text, e.x - 9, e.y - 3, "mg-local", "end");
	}
	boxes.forEach(drawBox);
	active = boxes.find(b => around(b.fold < 0 ? N[b.node].group : b.fold).includes(chosen))
		|| boxes.find(b => old && b.node === old.node && b.fold === old.fold) || boxes.at(-1);
	active.g.setAttribute("tabindex", 0);
	fit(false);
	paint();
	if (chosen >= 0) active.g.focus({ preventScroll: true });
}

function write(parent, text, x, y, style, anchor = "start") {
	const t = draw(parent, "text", { x, y, class: style, "text-anchor": anchor }), rise = [4, 0, -5];
	let at = 0;
	for (const [piece, level] of pieces(text)) {
		draw(t, "tspan", { dy: rise[level + 1] - at, class: level ? "mg-script" : "" }).textContent = piece;
		at = rise[level + 1];
	}
	return t;
}

function drawBox(b) {
	const { w, h, kind } = b, x = b.x - w / 2, y = b.y - h / 2, folded = b.fold >= 0;
	b.g = draw(svg, "g", { tabindex: -1, role: folded ? "button" : "img" });
	b.g.dataset[folded ? "fold" : "node"] = folded ? plain(b.text) : b.node;
	const rect = (x, y, width, height, rx = { leaf: 0, constant: 10, input: 16 }[kind] ?? 5) =>
		draw(b.g, "rect", { class: "mg-out", x, y, width, height, rx });
	if (b === N[last].box) rect(x - 3, y - 3, w + 6, h + 6);
	if (folded) rect(x + 4, y + 4, w - 4, h - 4);
	if (kind === "parameter") draw(b.g, "path", { class: "mg-out", d: `M${x + w} ${y}h${8 - w}l-8 8v${h - 16}l8 8h${w - 8}z` });
	else rect(x, y, folded ? w - 4 : w, folded ? h - 4 : h);
	if (kind === "leaf") rect(x, y, 5, h).classList.add("mg-stripe");
	const left = x + (b.fold < 0 && kind !== "operation" ? 14 : 9), right = x + w - (folded ? 13 : 9);
	write(b.g, b.text, left, b.y - 5, "mg-label");
	write(b.g, b.tag, right, b.y - 5, "mg-tag", "end");
	if (b.bare) write(b.g, short(N[b.node].data), b.x, b.y + 4, "mg-value", "middle");
	else if (!folded) write(b.g, short(N[b.node].data), left, b.y + 14, "mg-value");
	b.note = write(b.g, "", right, b.y + 14, "mg-grad", "end");
}

function paint() {
	const now = step ? steps[step - 1] : last, got = new Set(step ? N[now].parents.filter(q => N[q].counts).map(q => N[q].box) : []);
	for (const b of boxes) {
		const counted = b.members.filter(i => N[i].counts), ready = counted.filter(final).length, i = b.node, n = N[i];
		const done = counted.length && ready === counted.length, mark = done ? " ✓" : "";
		b.note.textContent = !counted.length ? n ? "" : "constants" : !n ? `${ready} of ${counted.length} final${mark}`
			: done ? `∂ ${short(grad[i])} ✓` : arrived[i] ? `∂ ${short(grad[i])} (${arrived[i]} of ${total(i)})` : `∂ 0 of ${total(i)}`;
		if (n?.counts) b.g.dataset.grad = grad[i];
		b.g.setAttribute("class", `mg-box mg-${b.kind}` + (done ? " mg-final" : "") + (b === N[now].box ? " mg-now" : got.has(b) ? " mg-got" : ""));
		b.g.setAttribute("aria-label", `${plain(b.text)} ${b.tag}, ` + (n ? "value " + short(n.data) : "folded, " + b.note.textContent)
			+ (n?.counts ? `, gradient ${short(grad[i])}, ${share(i)}` : ""));
	}
	for (const e of edges) {
		const style = !e.live ? "" : step && e.all.some(([i]) => i === now) ? " mg-flows" : e.all.every(([i]) => i > now) ? " mg-sent" : "";
		e.line.setAttribute("class", e.style + style);
	}
	slider.value = step;
	find("output").value = `step ${step} of ${steps.length}`;
	slider.setAttribute("aria-valuetext", `step ${step}: ${plain(N[now].name)}`);
	root.dataset.step = step;
	tell();
	reveal(N[now].box);
}

const go = to => paint(pass(Math.max(0, Math.min(steps.length, to))));
let timer = 0;
function play() {
	if (!timer && step === steps.length) go(0);
	timer = timer ? clearInterval(timer) : setInterval(() => { go(step + 1); if (step === steps.length) play(); }, 800);
	told.setAttribute("aria-live", timer ? "off" : "polite");
	playing.textContent = timer ? "pause" : "play";
}

// -- moving

const fold = k => arrange(k, groups[k].open = 0);
function unfold(...list) {
	const more = list.reduce((sum, k) => sum + groups[k].parts - 1, boxes.length);
	if (more > 2000) return told.replaceChildren(p("Too many boxes: unfold one at a time."));
	for (const k of list) groups[k].open = 1;
	arrange(list.length === 1 ? list[0] : -1);
}
let box, fitted;
const scale = () => box.w / view.clientWidth, show = () => svg.setAttribute("viewBox", [box.x, box.y, box.w, box.h].join(" "));
function fit(all = true) {
	const [w, h] = extent, width = view.clientWidth || 800, least = Math.max(w / width, 0.8);
	const height = Math.max(150, Math.min(h / Math.min(least, 2), 560));
	fitted = Math.max(least, h / height);
	svg.style.height = height + "px";
	const by = all ? fitted : Math.min(fitted, 2);  // at first, wide pictures show their output's end
	box = { x: (w - width * by) / 2, y: (h - height * by) / 2, w: width * by, h: height * by };
	show();
}
function zoom(by, x = box.x + box.w / 2, y = box.y + box.h / 2) {
	by = Math.max(0.2 / scale(), Math.min(by, 2 * fitted / scale()));
	box = { x: x - (x - box.x) * by, y: y - (y - box.y) * by, w: box.w * by, h: box.h * by };
	show();
}
function reveal(b) {  // move the view so that this box is in it
	const within = (at, half, from, length) => Math.min(Math.max(from, at + half - length), at - half);
	box.x = within(b.x, b.w / 2 + 9, box.x, box.w);
	box.y = within(b.y, b.h / 2 + 9, box.y, box.h);
	show();
}
const boxAt = target => { const e = target.closest(".mg-box"); return e && boxes.find(b => b.g === e); };
svg.addEventListener("wheel", ev => {  // scrolling stays the page's; with Ctrl, or pinching, it zooms
	if (!ev.ctrlKey && !ev.metaKey) return;
	ev.preventDefault();
	const r = svg.getBoundingClientRect();
	zoom(ev.deltaY < 0 ? 0.9 : 1.1, box.x + (ev.clientX - r.left) * scale(), box.y + (ev.clientY - r.top) * scale());
}, { passive: false });
let drag, dragged;
svg.onpointerdown = ev => { drag = { x: ev.clientX, y: ev.clientY, from: box }; dragged = false; };
svg.onpointermove = ev => {
	const dx = ev.clientX - drag?.x, dy = ev.clientY - drag?.y;
	if (!drag || !dragged && Math.hypot(dx, dy) < 5) return;
	if (!dragged) svg.setPointerCapture(ev.pointerId);
	dragged = true;
	box = { ...box, x: drag.from.x - dx * scale(), y: drag.from.y - dy * scale() };
	show();
};
svg.onpointerup = svg.onpointercancel = () => { drag = null; };
svg.onclick = ev => { const b = boxAt(ev.target); if (b && !dragged && b.fold >= 0) unfold(b.fold); };
svg.onpointerover = ev => { const b = boxAt(ev.target); if (b && !drag) inform(b); };
root.addEventListener("focusin", ev => {
	const b = boxAt(ev.target);
	if (!b) return;
	active.g.setAttribute("tabindex", -1);
	active = b;
	b.g.setAttribute("tabindex", 0);
	inform(b);
	reveal(b);
});
slider.oninput = () => go(+slider.value);
const acts = { first: () => go(0), back: () => go(step - 1), on: () => go(step + 1), end: () => go(steps.length), play,
	in: () => zoom(0.8), out: () => zoom(1.25), fit: () => fit(), foldall: () => { for (const g of groups) g.open = 0; arrange(); },
	unfold: () => unfold(...boxes.map(b => b.fold).filter(k => k >= 0)) };
root.addEventListener("click", ev => acts[ev.target.dataset?.act]?.());
const keys = { ArrowLeft: acts.back, ArrowRight: acts.on, Home: acts.first, End: acts.end, "+": acts.in, "-": acts.out, 0: acts.fit };
root.addEventListener("keydown", ev => {
	const b = boxAt(ev.target), to = by => boxes[boxes.indexOf(b) + by]?.g.focus({ preventScroll: true });
	const open = () => b.fold >= 0 && unfold(b.fold), inner = b && (b.fold < 0 ? N[b.node].group : groups[b.fold].parent);
	const act = b && { ArrowDown: () => to(1), ArrowUp: () => to(-1), Enter: open, " ": open, f: () => inner >= 0 && fold(inner) }[ev.key]
		|| keys[ev.key];
	if (!act || ev.altKey || ev.ctrlKey || ev.metaKey || ev.target === slider) return;
	ev.preventDefault();
	ev.stopPropagation();
	act();
});

// -- light or dark, as what is behind is

const dark = matchMedia("(prefers-color-scheme: dark)");
function theme() {
	let e = root, isDark = dark.matches;
	while (e = e.parentElement) {
		const [r, g, b, a = 1] = getComputedStyle(e).backgroundColor.match(/[\d.]+/g);
		if (a > 0.5) { isDark = 0.3 * r + 0.59 * g + 0.11 * b < 128; break; }
	}
	root.classList.toggle("mg-dark", isDark);
}
theme();
dark.addEventListener("change", theme);
new MutationObserver(theme).observe(document.body, { attributes: true });
let width = view.clientWidth;
new ResizeObserver(() => { if (width !== view.clientWidth) { width = view.clientWidth; fit(); } }).observe(view);
arrange();
inform();
}
})();
