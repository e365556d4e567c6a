// Guess: a number is hidden, the reader types it, and a wrong one is compared with classic mistakes.

function random(seed) {  // mulberry32: the same questions for the same seed
	return () => {
		let t = seed += 0x6d2b79f5;
		t = Math.imul(t ^ t >>> 15, t | 1);
		t ^= t + Math.imul(t ^ t >>> 7, t | 61);
		return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
	};
}
const close = (x, y) => abs(x - y) <= 0.006 * abs(y) + 1e-12;  // so three digits are enough

// The gradients that a classic mistake (a walk of check/mistakes.py) gives, by the index of the node; [] where there are too many
// paths.
function mistaken({ nodes, operations, output }, walk) {
	const grad = nodes.map(() => 0), pending = [output], seen = new Set(pending);
	grad[output.index] = 1;
	const give = n => n.operands.forEach((p, k) => {
		if (!p.counts || walk === "once_per_parent" && n.parents.includes(p.index, k + 1)) return;
		const kept = walk === "overwriting" ? 0 : grad[p.index];
		grad[p.index] = kept + times(walk === "without_upstream" ? 1 : grad[n.index], n.locals[k]);
	});
	if (walk === "not_reversed") operations.forEach(give);
	else if (walk === "level_by_level") for (const n of pending) {
		give(n);
		pending.push(...new Set(n.operands.filter(p => !pending.includes(p))));
	} else if (walk === "each_time_reached" || walk === "when_first_reached") {
		seen.clear();
		for (let left = 20000; pending.length && left; left--) {
			const n = pending.pop();
			if (walk === "when_first_reached" && seen.has(n)) continue;
			seen.add(n);
			give(n);
			pending.push(...[...n.operands].reverse());
		}
	} else [...operations].reverse().forEach(give);
	return pending.length && walk === "each_time_reached" ? [] : grad;
}

// The value of a formula: a list [operation, formulas...], the index of an operand as a text, or a number.
const worth = (s, xs) => s.map ? FLOATS[s[0]](...s.slice(1).map(t => worth(t, xs))) : s.trim ? xs[s] : s;

// What a wrong local derivative looks like: a sentence, or "" where it is no classic mistake.
function slip({ op, operands, locals, full }, k, x, slips) {
	if (close(x, -locals[k])) return "The size is right: look at the sign.";
	if (close(x, full * locals[k])) return "That is already multiplied by the gradient from above: only the local derivative is asked for.";
	const [written, list] = slips[op] ?? ["", []], xs = operands.map(p => p.data), found = list.find(([, wrong]) => close(x, worth(wrong[k], xs)));
	return found ? `That is a classic mistake in ${written}: ${found[0]}.` : close(x, locals[1 - k]) ? "That is the local derivative by the other operand." : "";
}

// The same for a wrong gradient of a node.
function mistake(graph, n, x, mistakes) {
	const { uses } = n, only = uses.find(([c, k]) => close(x, times(c.full, c.locals[k])));
	if (close(x, -n.full)) return "The size is right: look at the sign.";
	const found = mistakes.find(([, walk]) => close(x, mistaken(graph, walk)[n.index]));
	if (found) return `That comes out where ${found[0]}: ${found[2]}.`;
	if (only) return `That is what comes through ${plain(only[0])} alone: ${plain(n)} is used ${uses.length} times, and all paths add up.`;
	return close(x, n.data) ? "That is the value, not the gradient." : "";
}

class Guess {
	constructor(page, card, { seed = floor(Math.random() * 1e9), count = 0 } = {}) {
		Object.assign(this, { page, card, count, dice: random(seed), asked: 0, right: 0, tried: false, question: null });
		this.next();
	}

	candidates() {
		const { graph } = this.page, usable = x => finite(x) && x !== 0, shown = n => this.page.shows(n);
		const gradients = graph.nodes.filter(n => n.counts && n.uses.length && usable(n.full) && shown(n)).map(n => ({ node: n }));
		const locals = graph.operations.filter(shown).flatMap(n => n.operands.map((p, k) => ({ node: n, port: k, operand: p }))
			.filter(({ port, operand: p }) => p.counts && usable(n.locals[port]) && shown(p) && partialOf(n, port)?.op));
		return [gradients, locals];
	}

	next() {
		const [gradients, locals] = this.candidates(), pool = locals.length && (!gradients.length || this.dice() < 0.3) ? locals : gradients;
		if (this.count && this.asked === this.count) return this.score();
		if (!pool.length) {
			this.question = null;
			return tell(this.card, "Guess", paragraph("There is nothing to guess here: unfold the graph."));
		}
		let at;
		do at = pool[floor(this.dice() * pool.length)]; while (pool.length > 1 && at.node === this.question?.node && at.port === this.question?.port);
		this.question = at;
		this.asked++;
		this.tried = this.solved = false;
		this.ask();
		return null;
	}

	ask() {
		const { page, question: { node, port, operand } } = this, [of, by] = operand ? [node, operand] : [page.graph.output, node];
		const input = make("input", { type: "text", inputmode: "text", autocomplete: "off", "aria-label": `∂${plain(of)}/∂${plain(by)}` }), verdict = make("p", { role: "status", class: "mg-verdict" });
		const next = button("next", () => this.next()), show = button("show", () => this.reveal());
		const form = make("form", "mg-row", mathematics(kit => [[derivative(of, by, kit), ""]]), input, make("button", {}, "check"), show, next);
		form.onsubmit = ev => { ev.preventDefault(); this.check(input.value); };
		this.verdict = verdict;
		tell(this.card, `Guess, question ${this.asked}${this.count ? " of " + this.count : ""}`,
			paragraph(operand ? "What is the local derivative of " : "What is the gradient of ", symbol(node), ...operand ? [" by ", symbol(operand)] : [],
				"? ", quiet("Three digits are enough.")), form, verdict, aside(`${this.right} right so far`));
		page.hide(this.question);
		page.choose(node);
		if (node.box && !page.asNetwork) page.view.reveal(node.box);
		input.focus({ preventScroll: true });
	}

	truth() {
		const { node, port } = this.question;
		return node.locals[port] ?? node.full;
	}

	check(text) {
		const x = Number(text.trim().replace(/^[−–]/, "-").replace(",", ".")), { node, port } = this.question;
		if (!text.trim() || x !== x) return this.tell("mg-wrong", "Type a number, such as −0.25.");
		if (close(x, this.truth())) {
			if (!this.tried && !this.solved) this.right++;
			this.tell("mg-right", `Right: ${shorten(this.truth())}.`);
			return this.open();
		}
		this.tried = true;
		const { graph, D } = this.page, like = port === undefined ? mistake(graph, node, x, D.mistakes) : slip(node, port, x, D.slips);
		return this.tell("mg-wrong", "Not yet. " + (like || "It is none of the classic mistakes."));
	}

	tell(style, text) {
		this.verdict.className = "mg-verdict " + style;
		this.verdict.textContent = text;
	}

	reveal() {
		this.tried = true;
		this.tell("", `It is ${shorten(this.truth())}.`);
		this.open();
	}

	open() {
		this.solved = true;
		this.page.hide(null);
		this.page.choose(this.question.node);
		this.card.querySelector("button:last-of-type").focus({ preventScroll: true });
	}

	score() {
		this.question = null;
		this.page.hide(null);
		tell(this.card, "Guess", make("p", "mg-score", `${this.right} of ${this.count} right at the first try.`),
			button("once more", () => { this.asked = this.right = 0; this.next(); }));
	}
}
