// The cards of the step and of the chosen value, whose gradient is a sum over paths.

const paragraph = (...inside) => make("p", {}, ...inside);
const quiet = (...text) => make("span", "mg-quiet", ...text);
const aside = (...text) => paragraph(quiet(...text));
const red = x => make("b", { class: "mg-g", title: x }, shorten(x));
const symbol = n => letters(n);
const product = (kit, ...factors) => kit.row(...factors.flatMap((f, k) => k ? [kit.sign(kit.dot), f] : [f]));
const bracketed = (kit, x) => x < 0 ? kit.row("(", kit.number(x), ")") : kit.number(x);

// Fills a card: its heading, and what is inside
const tell = (card, heading, ...inside) => card.replaceChildren(make("h3", {}, ...[heading].flat()), ...inside);

function tellStep(page, card) {
	const { graph, at } = page, count = graph.operations.length, L = graph.output;
	if (!page.stepped) return card.replaceChildren(...page.intro ??= [...card.childNodes]);
	if (at === 0) return tell(card, "Forward", paragraph("Only the leaves have values yet. ", quiet("→ takes a step.")));
	if (at <= count) {
		const n = graph.operations[at - 1], expression = expressionOf(n);
		const start = at < count ? [] : [paragraph("The output is there. Backward starts with ", mathematics(kit => [[derivative(L, L, kit), kit.number(1)]]))];
		return tell(card, `Forward, step ${at} of ${count}`, mathematics(kit => [
			[kit.name(n), write(expression, kit)], ["", write(expression, kit, true)], ["", kit.number(n.data)]]), ...start);
	}
	const n = graph.operations[2 * count - at], lines = [];
	const operands = n.operands.map((p, k) => [p, k]).filter(([p]) => p.counts);
	for (const [p, k] of operands.slice(0, 6)) {
		if (page.seen.hidden(p) || page.seen.hides(n, k)) continue;
		const rule = partialOf(n, k), local = n.locals[k] ?? 0;
		lines.push(mathematics(kit => [
			signed("+=", derivative(L, p, kit), product(kit, derivative(L, n, kit), derivative(n, p, kit))),
			["", product(kit, bracketed(kit, n.grad), bracketed(kit, local))], ["", kit.number(times(n.grad, local))]]));
		if (rule && (rule.op || rule.name)) lines.push(mathematics(kit => [[derivative(n, p, kit), write(rule, kit), kit.number(local)]]));
		lines.push(aside("now ", shorten(p.grad), graph.final(p) ? ": final ✓" : `: ${page.picture.share(p)}`));
	}
	if (operands.length > 6) lines.push(aside(`… and ${operands.length - 6} more operands`));
	if (!operands.length) lines.push(paragraph("Its operands are constants."));
	tell(card, `Backward, step ${at - count} of ${count}`, paragraph(symbol(n), " hands its gradient on, times the local derivatives:"), ...lines);
}

function tellChosen(page, card) {
	const { graph } = page, n = page.looked ?? page.chosen, fold = page.fold, L = graph.output;
	if (fold >= 0) {
		const group = graph.groups[fold];
		return tell(card, letters(group.text, "b"), paragraph(`Stands for ${group.tag}.`), aside("Click it, or press Enter, to unfold it."));
	}
	if (!n) return tell(card, "Gradient", aside("Point at a box to read its gradient."));
	const state = page.seen, inside = [];
	if (!n.leaf) inside.push(mathematics(kit => [[kit.name(n), write(expressionOf(n), kit), kit.number(n.data)]]));
	else {
		inside.push(paragraph(quiet("value "), shorten(n.data)));
		if (page.values.ends.has(n)) inside.push(page.values.ends.get(n));
	}
	if (!n.counts) inside.push(aside("A constant: it has no gradient."));
	else if (page.at < graph.end && !(state.backward && graph.final(n))) {
		inside.push(aside(state.backward ? `Its gradient is not complete yet: ${page.picture.share(n)}.` : "There is no gradient yet."));
	} else if (state.hidden(n)) inside.push(paragraph("Its gradient is what you are asked for."));
	else {
		const inNetwork = page.asNetwork && page.network.derivation(n);
		if (inNetwork) {
			inside.push(...inNetwork.map(mathematics));
			const { calls } = page.network;
			if (calls > 1) inside.push(paragraph("All ", calls, " samples add up to ", mathematics(kit => [[derivative(L, n, kit), kit.number(n.full)]])));
		} else inside.push(...gradientOf(page, n, L));
	}
	for (const k of page.asNetwork ? [] : page.picture.around(n.group)) inside.push(button("fold " + plain(graph.groups[k].text), () => page.foldUp(k)), " ");
	return tell(card, [letters(n, "b"), n.leaf ? quiet(" " + n.kind) : ""], ...inside);
}

function gradientOf(page, n, L) {
	const { uses } = n;
	if (!uses.length) return [mathematics(kit => [[derivative(L, n, kit), kit.number(n === L ? 1 : 0)]])];
	const size = ([c, k]) => abs(times(c.full, c.locals[k])) || 0, most = [...uses].sort((a, b) => size(b) - size(a)).slice(0, 4), hidden = uses.length - most.length;
	const symbols = kit => most.map(([c, k]) => c === L ? derivative(c, n, kit) : product(kit, derivative(L, c, kit), derivative(c, n, kit)));
	const figures = kit => most.map(([c, k]) => c === L ? bracketed(kit, c.locals[k] ?? 0) : product(kit, bracketed(kit, c.full), bracketed(kit, c.locals[k] ?? 0)));
	const alike = most.length > 2 && new Set(symbols(TEXT)).size === 1;  // in several calls of one network the symbols are the same: they are written once
	const added = (kit, left, terms, width) => {
		const all = hidden || alike && left ? [...terms, kit.sign("…")] : terms;
		return width > 34 ? all.map((term, j) => signed(j ? "+" : "=", j ? "" : left, term))  // then each term has its own line
			: [[left, kit.row(...all.flatMap((term, j) => j ? [kit.sign(" + "), term] : [term]))]];
	};
	const once = kit => alike ? symbols(kit).slice(0, 1) : symbols(kit), length = terms => terms(TEXT).join("").replace(/∂|[₀-₉]/g, "").length;
	const lines = kit => [...added(kit, derivative(L, n, kit), once(kit), length(once)), ...uses.length > 1 || uses[0][0] !== L ? added(kit, "", figures(kit), length(figures)) : [], ["", kit.number(n.full)]];
	const rules = kit => most.map(([c, k]) => [c, k, partialOf(c, k)]).filter(([c, , rule], j, list) => rule && (rule.op || rule.name) && list.findIndex(([d, , other]) => plain(d) === plain(c) && other && write(other, TEXT) === write(rule, TEXT)) === j)
		.map(([c, k, rule]) => [derivative(c, n, kit), write(rule, kit), kit.number(c.locals[k] ?? 0)]);
	const out = [mathematics(lines)];
	if (rules(TEXT).length) out.push(mathematics(rules));
	const why = page.graph.why(n);
	if (why) out.push(make("p", "mg-why", why));
	return [...out, ...pathsOf(page, n)];
}

function pathsOf(page, n) {
	const { count, sum, top } = page.graph.paths(n), many = count > BigInt(top.length);
	const list = make("ul", {}, ...top.filter(t => t.rest).map(t => {
		const li = make("li", { tabindex: 0 }, symbol(n)), locals = [], path = new Set([n]);
		for (let at = t; at.rest; at = at.rest) {
			locals.push(shorten(at.local));
			path.add(at.to);
			if (locals.length < 5 || !at.rest.rest) li.append(" → ", locals.length > 5 ? "… → " : "", symbol(at.to));
		}
		if (locals.length > 5) locals.splice(4, locals.length - 5, "…");
		li.append(make("br"), locals.map(l => l.startsWith("−") && locals.length > 1 ? `(${l})` : l).join(" · "), ...locals.length > 1 ? [" = ", red(t.product)] : []);
		on(li, "pointerenter focus", () => page.light(path));
		on(li, "pointerleave blur", () => page.light(null));
		return li;
	}));
	const says = count === 1n ? "One path leads to the output:" : `${count.toLocaleString("en")} paths lead to the output` + (many ? "; the three largest products:" : ", whose products add up:");
	const total = make("span", { class: "mg-sum", "data-sum": sum, "data-paths": count },
		count > 1n ? top.map(t => shorten(t.product)).join(" + ").replace(/\+ −/g, "− ") + (many ? " + …" : "") + " = " : "", count > 1n ? red(sum) : "");
	return [paragraph(says), list, paragraph(total)];
}
