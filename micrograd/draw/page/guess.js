// Guess: a number is hidden, the reader types it, and a wrong one is compared with the mistakes that are made again and again.

function random(seed) {  // mulberry32: the same questions for the same seed
	return () => {
		let t = seed += 0x6d2b79f5;
		t = Math.imul(t ^ t >>> 15, t | 1);
		t ^= t + Math.imul(t ^ t >>> 7, t | 61);
		return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
	};
}
const close = (x, y) => Math.abs(x - y) <= 0.006 * Math.abs(y) + 1e-12;  // three digits are enough

// What a wrong gradient of a node looks like: a sentence, or "" where it is none of the classic mistakes.
function mistake(graph, n, x) {
	const contributions = graph.uses[n.index].map(([c, k]) => {
		const upstream = graph.nodes[c];
		return { name: plain(upstream.name), upstream: upstream.full, local: upstream.locals[k] ?? 0, product: times(upstream.full, upstream.locals[k]) };
	});
	const many = contributions.length > 1, add = list => list.reduce((a, b) => a + b, 0), last = contributions.at(-1), L = plain(graph.nodes[graph.last].name);
	if (!contributions.length) return "";
	if (close(x, -n.full)) return "The size is right: look at the sign.";
	if (many && close(x, last.product)) return `That is what arrives last, from ${last.name}: it was written over what had arrived before (=) where it should be added (+=).`;
	const only = many && contributions.find(c => close(x, c.product));
	if (only) return `That is what comes through ${only.name} alone: ${plain(n.name)} is used ${contributions.length} times, and all paths add up.`;
	if (close(x, add(contributions.map(c => c.local)))) return many ? "Those are the local derivatives added up: each has to be multiplied by the gradient that comes from above."
		: `That is the local derivative: multiply it by the gradient from above, ∂${L}/∂${last.name} = ${shorten(last.upstream)}.`;
	const bare = contributions.find(c => close(x, c.local));
	if (bare) return `That is the local derivative towards ${bare.name} alone: the gradient from above is forgotten${many ? ", and so are the other paths" : ""}.`;
	const handed = contributions.find(c => close(x, c.upstream));
	if (handed) return `That is the gradient of ${handed.name}, handed on as it is: multiply it by the local derivative ∂${handed.name}/∂${plain(n.name)}.`;
	if (many && close(x, contributions.reduce((p, c) => p * c.product, 1))) return "Contributions of several paths are added, not multiplied.";
	if (many && close(x, n.full / contributions.length)) return "That is the mean of the paths: they are added.";
	if (close(x, n.data)) return "That is the value, not the gradient.";
	return contributions.some(c => close(x, c.upstream * n.data)) ? `The derivative of a product by ${plain(n.name)} is the other factor, not ${plain(n.name)} itself.` : "";
}

class Guess {
	constructor(page, card, { seed = Math.floor(Math.random() * 1e9), count = 0 } = {}) {
		Object.assign(this, { page, card, count, dice: random(seed), asked: 0, right: 0, tried: false, question: null });
		this.next();
	}

	candidates() {
		const { graph } = this.page, usable = x => Number.isFinite(x) && x !== 0, shown = n => this.page.shows(n);
		const gradients = graph.nodes.filter(n => n.counts && graph.uses[n.index].length && usable(n.full) && shown(n)).map(n => ({ node: n }));
		const locals = graph.operations.filter(shown).flatMap(n => n.parents.map((p, k) => ({ node: n, port: k }))
			.filter(({ port }) => graph.nodes[n.parents[port]].counts && usable(n.locals[port]) && shown(graph.nodes[n.parents[port]]) && partialOf(graph, n, port)?.op));
		return [gradients, locals];
	}

	next() {
		const [gradients, locals] = this.candidates(), pool = locals.length && (!gradients.length || this.dice() < 0.3) ? locals : gradients;
		if (this.count && this.asked === this.count) return this.score();
		if (!pool.length) {
			this.question = null;
			return this.card.replaceChildren(make("h3", {}, "Guess"), paragraph("There is nothing to guess here: unfold a part of the graph, or draw another."));
		}
		let at;
		do at = pool[Math.floor(this.dice() * pool.length)]; while (pool.length > 1 && at.node === this.question?.node && at.port === this.question?.port);
		this.question = at;
		this.asked++;
		this.tried = this.solved = false;
		this.ask();
		return null;
	}

	ask() {
		const { page, question: { node, port } } = this, { graph } = page, L = graph.nodes[graph.last];
		const [of, by] = port === undefined ? [L, node] : [node, graph.nodes[node.parents[port]]];
		const input = make("input", { type: "text", inputmode: "text", autocomplete: "off", "aria-label": `∂${plain(of.name)}/∂${plain(by.name)}` }), verdict = make("p", { role: "status", class: "mg-verdict" });
		const next = page.values.button("next", () => this.next()), show = page.values.button("show", () => this.reveal());
		const form = make("form", { class: "mg-row" }, mathematics(kit => [[derivative(of.name, by.name, kit), ""]]), input, make("button", {}, "check"), show, next);
		form.onsubmit = ev => { ev.preventDefault(); this.check(input.value); };
		this.verdict = verdict;
		this.card.replaceChildren(make("h3", {}, `Guess, question ${this.asked}${this.count ? " of " + this.count : ""}`),
			paragraph(port === undefined ? "What is the gradient of " : "What is the local derivative of ", symbol(port === undefined ? node : of), ...port === undefined ? [] : [" by ", symbol(by)],
				"? ", quiet("Three digits are enough.")), form, verdict, paragraph(quiet(`${this.right} right so far`)));
		page.hide(this.question);
		page.choose(node);
		if (node.box && !page.asNetwork) page.view.reveal(node.box);
		input.focus({ preventScroll: true });
	}

	truth() {
		const { node, port } = this.question;
		return port === undefined ? node.full : node.locals[port];
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
		const like = port === undefined ? mistake(this.page.graph, node, x) : close(x, -this.truth()) ? "The size is right: look at the sign."
			: close(x, node.full * this.truth()) ? "That is already multiplied by the gradient from above: only the local derivative is asked for." : "";
		return this.tell("mg-wrong", "Not yet. " + (like || "It is none of the usual mistakes: write the local derivative first, then multiply."));
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
		this.card.replaceChildren(make("h3", {}, "Guess"), make("p", { class: "mg-score" }, `${this.right} of ${this.count} right at the first try.`),
			this.page.values.button("once more", () => { this.asked = this.right = 0; this.next(); }));
	}
}
