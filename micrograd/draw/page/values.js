// The card of values: for each a slider, a number to type, and the range of the slider.

const AT_ONCE = 24;  // rows that are made at first; the others on request

function button(text, act) {
	const b = make("button", { type: "button" }, text);
	b.onclick = act;
	return b;
}

class Values {
	constructor(page, card) {
		Object.assign(this, { page, card, rows: new Map(), shown: AT_ONCE, constants: false });
		this.ranges = new WeakMap();
		this.ends = new WeakMap();
	}

	build() {
		const { page, card } = this, { graph } = page;
		const leaves = graph.nodes.filter(n => n.leaf && (n.counts || this.constants));
		const constants = graph.nodes.some(n => n.leaf && !n.counts);
		this.rows.clear();
		const list = this.list = make("div", "mg-values", ...leaves.slice(0, this.shown).map(n => this.row(n)));
		const more = leaves.length - this.shown;
		const buttons = [];
		if (more > 0) buttons.push(button(`show ${min(more, 4 * AT_ONCE)} more of ${more}`, () => { this.shown += 4 * AT_ONCE; this.build(); }));
		if (constants) buttons.push(button(this.constants ? "without constants" : "constants too", () => { this.constants = !this.constants; this.build(); }));
		tell(card, "Values", list, make("p", "mg-quiet mg-moves-only", "Ticked values move when you descend."), ...buttons);
		if (!leaves.length) list.append(make("p", "mg-quiet", "No value here has a gradient."));
	}

	range(n) {
		let range = this.ranges.get(n);
		if (!range) {
			const size = finite(n.start) ? max(1, 2 * abs(n.start)) : 1, unit = 10 ** floor(Math.log10(size));
			const end = [1, 2, 3, 4, 5, 6, 8, 10].find(k => k * unit >= size * 0.999) * unit;
			this.ranges.set(n, range = [-end, end]);
		}
		return range;
	}

	row(n) {
		const { page } = this, name = plain(n), range = this.range(n), stuck = page.graph.stuck(n);
		const input = (type, label, style) => make("input", { type, class: style, "aria-label": label, step: "any" });
		const slider = input("range", `${name}, slider`, "mg-slide"), number = input("number", name);
		const low = input("number", `least ${name}`, "mg-end"), high = input("number", `greatest ${name}`, "mg-end");
		const moves = make("input", { type: "checkbox", class: "mg-moves", "aria-label": `${name} moves when descending`, title: "moves when descending" });
		const grad = make("span", "mg-g");
		const row = make("div", "mg-value-row", moves, letters(n, "b"), slider, number, grad);
		this.ends.set(n, make("p", "mg-ends mg-quiet", "slider from ", low, " to ", high));
		const show = () => {
			const [from, to] = range;
			slider.min = low.value = from;
			slider.max = high.value = to;
			if (document.activeElement !== slider || +slider.value !== n.data) slider.value = n.data;
			if (document.activeElement !== number || +number.value !== n.data) number.value = +n.data.toPrecision(abs(n.data) < 0.01 ? 3 : 5);
			if (n.counts) {
				const state = page.seen;
				say(grad, state.hidden(n) ? "∂ ?" : state.backward ? "∂ " + brief(n.grad) : "");
			}
			row.classList.toggle("mg-chosen", page.chosen === n);
			moves.checked = page.moves.has(n);
		};
		const set = x => {
			if (!finite(x)) return;
			n.data = x;
			range[0] = min(range[0], x);
			range[1] = max(range[1], x);
			page.changed();
		};
		slider.oninput = () => set(+slider.value);
		number.oninput = () => number.value !== "" && set(+number.value);
		low.onchange = () => { if (+low.value < range[1]) range[0] = +low.value; show(); };
		high.onchange = () => { if (+high.value > range[0]) range[1] = +high.value; show(); };
		moves.onchange = () => { page.moves[moves.checked ? "add" : "delete"](n); };
		on(row, "focusin", () => page.choose(n));
		if (!n.counts) moves.remove();
		if (stuck) {
			for (const e of [slider, number, low, high, moves]) e.disabled = true;
			row.append(make("p", "mg-quiet", `${stuck.op} is no formula that the page can compute, so ${name} stays.`));
		}
		this.rows.set(n, Object.assign(show, { row }));
		return row;
	}

	// Scrolls to the row of a chosen leaf. It is made where it is missing: for a leaf beyond the first rows, or a constant.
	choose(n) {
		if (!this.rows.has(n)) this.list.append(this.row(n));
		const { card } = this, { offsetTop, offsetHeight } = this.rows.get(n).row;
		card.scrollTop = max(min(card.scrollTop, offsetTop - 8), offsetTop + offsetHeight + 8 - card.clientHeight);
	}

	show() { for (const show of this.rows.values()) show(); }
}
