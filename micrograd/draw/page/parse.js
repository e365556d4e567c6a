// Expressions as text, by the grammar of parse.py: arithmetic on names, functions of the book, lists, steps. Nothing is evaluated.

class ExpressionError extends Error {
	constructor(message, column = 0) { super(message); this.column = column; }
}
const ALIASES = { max: "maximum", min: "minimum", ln: "log" };
const OPERATORS = { "+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod", "**": "pow", "<": "less", ">": "greater" };
const OF_MANY = ["sum", "logsumexp", "dot"];
const known = () => Object.keys(RULES).filter(name => RULES[name][0] || OF_MANY.includes(name)).sort();
const fail = (message, at) => { throw new ExpressionError(message, at); };
const only = (what, at) => fail(`only arithmetic is read here, ${what}`, at);
const unread = (what, at) => fail(`cannot read the expression: ${what}`, at);
const unreadable = (what, at) => unread(`${what} (write 2*x for a product, x**2 for a power, sin(x) for a function)`, at);

function tokens(text) {
	const found = [], pattern = /\s*(?:(\d[\d_]*\.?[\d_]*(?:[eE][+-]?\d+)?|\.\d[\d_]*(?:[eE][+-]?\d+)?)(j?)|([\p{L}_][\p{L}\p{N}_]*)|("[^"]*"|'[^']*')|(\*\*|\/\/|[<>=!]=|[-+*/%@^&|~<>=()[\],.;:]))/uy;
	let depth = 0;
	for (const [k, line] of text.split("\n").entries()) {
		if (k && !depth) found.push({ kind: ";", at: 0, line: k });
		pattern.lastIndex = 0;
		const end = line.replace(/\s*(#.*)?$/, "").length;
		while (pattern.lastIndex < end) {
			const from = pattern.lastIndex, m = pattern.exec(line);
			if (!m) unreadable("invalid syntax", from);
			const [, number, imaginary, name, string, sign] = m, at = pattern.lastIndex - (number ?? name ?? string ?? sign).length - (imaginary?.length ?? 0);
			if (sign === "(" || sign === "[") depth++;
			if (sign === ")" || sign === "]") depth--;
			found.push({ kind: number ? "number" : name ? "name" : string ? "string" : sign, text: number ? number + imaginary : name?.normalize("NFKC") ?? string, at, line: k });
		}
	}
	return found;
}

// The steps of a text as trees: { name?, tree }
function steps(text) {
	if (!text.trim()) fail("the expression is empty: write one such as tanh(a*b) + c", 0);
	if (text.includes("\0")) unread("source code cannot contain null bytes", 0);
	const list = tokens(text), opened = [];
	let k = 0;
	const is = (...kinds) => kinds.includes(list[k]?.kind), next = () => list[k++];
	const place = () => list[k]?.at ?? text.split("\n").at(-1).trimEnd().length;
	const wrong = () => opened.length && !list[k] ? unread(`'${opened.at(-1).kind}' was never closed`, opened.at(-1).at) : unreadable("invalid syntax", place());
	function inside(close) {
		const items = [], open = list[k - 1];
		opened.push(open);
		if (opened.length > 200) unread("too many nested parentheses", open.at);
		while (!is(close)) {
			items.push(comparison());
			if (is(",")) next();
			else if (!is(close)) wrong();
		}
		next();
		opened.pop();
		return items;
	}
	function atom() {
		const t = list[k];
		if (!t) wrong();
		k++;
		if (t.kind === "number") return { kind: "number", text: t.text, at: t.at };
		if (t.kind === "string") return { kind: "other", what: `only real numbers and names are read here, not ${t.text}`, at: t.at };
		if (t.kind === "name") {
			if (["import", "def", "class", "for", "while", "if", "return", "del", "from"].includes(t.text)) only("and steps such as d = a*b", t.at);
			if (["lambda", "not", "None", "True", "False", "await", "yield"].includes(t.text)) only(`not ${t.text}`, t.at);
			return { kind: "name", name: t.text, at: t.at };
		}
		if (t.kind === "[") return { kind: "list", args: inside("]"), at: t.at };
		if (t.kind === "(") {
			const items = inside(")");
			if (!items.length) return { kind: "list", args: [], at: t.at };
			return items.length === 1 && list[k - 2].kind !== "," ? items[0] : { kind: "list", args: items, at: t.at };
		}
		k--;
		return wrong();
	}
	function postfix() {
		let tree = atom();
		for (;;) {
			if (is("(")) {
				next();
				const args = inside(")");
				if (tree.kind === "attribute") tree = { kind: "call", name: tree.name, args: [tree.of, ...args], at: tree.at };
				else if (tree.kind === "name") tree = { kind: "call", name: tree.name, args, at: tree.at };
				else only("not a call", tree.at);
			} else if (is(".")) {
				next();
				if (!is("name")) wrong();
				tree = { kind: "attribute", of: tree, name: next().text, at: tree.at };
			} else if (is("[")) {
				next();
				inside("]");
				tree = { kind: "other", what: "only arithmetic is read here, not an index", at: tree.at };
			} else return tree;
		}
	}
	function factor() {
		const signs = [];
		while (is("+", "-", "~")) signs.push(next());
		let tree = postfix();
		if (is("**")) { next(); tree = { kind: "operator", op: "pow", args: [tree, factor()], at: tree.at }; }
		for (const sign of signs.reverse()) tree = sign.kind === "+" ? tree : { kind: "operator", op: sign.kind === "-" ? "neg" : "~", args: [tree], at: sign.at };
		return tree;
	}
	function binary(signs, operand) {
		let tree = operand();
		while (is(...signs)) {
			const sign = next();
			tree = { kind: "operator", op: OPERATORS[sign.kind] ?? sign.kind, args: [tree, operand()], at: tree.at, sign: sign.at };
		}
		return tree;
	}
	const term = () => binary(["*", "/", "//", "%", "@"], factor), sum = () => binary(["+", "-"], term), bits = () => binary(["^", "&", "|"], sum);
	function comparison() {
		let tree = bits();
		if (is("<", ">", "==", "!=", "<=", ">=")) {
			const sign = next();
			tree = { kind: "operator", op: OPERATORS[sign.kind] ?? sign.kind, args: [tree, bits()], at: tree.at };
			if (is("<", ">", "==", "!=", "<=", ">=")) only("not a compare", tree.at);
		}
		if (list[k]?.text === "if" && is("name")) only("not if (use where(c, a, b))", tree.at);
		return tree;
	}
	const found = [];
	while (k < list.length) {
		if (is(";")) { next(); continue; }
		if (is("name") && list[k + 1]?.kind === "=") {
			const { text: name } = next();
			next();
			found.push({ name, tree: comparison() });
		} else {
			let tree = comparison();
			if (is(",")) { const args = [tree]; while (is(",")) { next(); if (list[k] && !is(";")) args.push(comparison()); } tree = { kind: "list", args, at: tree.at }; }
			found.push({ tree });
		}
		if (k < list.length && !is(";")) wrong();
	}
	return found;
}

// What a text means: a number, or the last of the nodes { op, args, data, label } below it. `named` gives the names their leaves.
function meaning(text, named) {
	const names = new Map(Object.entries(named));
	let out;
	for (const { name, tree } of steps(text)) {
		out = evaluate(tree, names);
		if (name) {
			if (out.args && !out.label) out.label = name;
			names.set(name, out);
		}
		if (Array.isArray(out) && !name) fail("the result must be one number, not a list", tree.at);
	}
	return Array.isArray(out) ? fail("the result must be one number, not a list", 0) : out;
}

function evaluate(tree, names) {  // a sum may have 10,000 terms: no recursion along it
	const results = [], stack = [[tree, false]];
	while (stack.length) {
		const [t, ready] = stack.pop();
		if (!ready) {
			if (t.kind === "attribute") only("not an attribute", t.at);
			if (t.kind === "other") fail(t.what, t.at);
			stack.push([t, true], ...[...t.args ?? []].reverse().map(a => [a, false]));
		} else {
			const count = t.args?.length ?? 0;
			results.push(meant(t, results.splice(results.length - count, count), names));
		}
	}
	return results[0];
}

function meant(t, args, names) {
	if (t.kind === "list") return args;
	if (t.kind === "number") {
		if (t.text.endsWith("j")) fail(`only real numbers and names are read here, not ${t.text}`, t.at);
		const x = Number(t.text.replace(/_/g, ""));
		return finite(x) ? x : fail("this number is too large for a float", t.at);
	}
	if (t.kind === "name") {
		if (names.has(t.name)) return names.get(t.name);
		if (t.name === "pi") return Math.PI;
		if (Object.hasOwn(ALIASES, t.name) || known().includes(t.name)) fail(`${t.name} is a function: write ${t.name}(...)`, t.at);
		return fail(`unknown name '${t.name}': give it a value, ${t.name}=1.0`, t.at);
	}
	if (t.kind === "operator") {
		if (!Object.hasOwn(RULES, t.op)) fail(`this operator is not read here: ${t.op === "^" ? "for a power write **" : "use + - * / // % ** < >"}`, t.op === "^" ? t.sign : t.at);
		return node(t.op, args, t.at);
	}
	const name = Object.hasOwn(ALIASES, t.name) ? ALIASES[t.name] : t.name;
	if (name === "sum" || name === "logsumexp") {
		const values = args.length === 1 && Array.isArray(args[0]) ? args[0] : args;
		if (!values.length) return name === "sum" ? 0 : fail("logsumexp needs at least one value, got none", t.at);
		return node(name, values, t.at);
	}
	if (name === "dot") {
		const [xs, ys, start = 0] = args;
		if (args.length < 2 || args.length > 3 || !Array.isArray(xs) || !Array.isArray(ys)) fail("dot takes two lists, and perhaps a start: dot([a, b], [c, d], e)", t.at);
		if (xs.length !== ys.length) fail(`dot needs two sequences of one length, got ${xs.length} and ${ys.length} values`, t.at);
		return node("dot", [...xs, ...ys, start], t.at);
	}
	const row = Object.hasOwn(RULES, name) ? RULES[name] : null;
	if (!row?.[0]) fail(`unknown function '${name}': known are ${known().join(", ")}`, t.at);
	if (args.length !== row[0]) fail(`${row[1]} has ${row[0]} argument(s), got ${args.length}`, t.at);
	return node(name, args, t.at);
}

function node(op, args, at) {
	if (args.some(Array.isArray)) fail("expected a number, got list", at);
	const data = FLOATS[op](...args.map(a => typeof a === "number" ? a : a.data));
	return args.every(a => typeof a === "number") ? data : { op, args, data, label: "" };
}

// The graph below a result, in the engine's order: parents first and from left to right, a number right before what uses it.
function graphOf(result) {
	const nodes = [], index = new Map();
	const add = (n, op, parents, kind, text, data) => { index.set(n, nodes.length); nodes.push({ kind, text, op, data, group: -1, parents }); return nodes.length - 1; };
	const output = typeof result === "number" ? { label: "", data: result, number: true } : result, stack = [[output, false]];
	while (stack.length) {
		const [n, ready] = stack.pop();
		if (!ready && index.has(n)) continue;
		if (!n.args) add(n, "", [], n.number ? "constant" : "leaf", n.number ? "" : scripts(n.label), n.data);
		else if (ready) {
			if (index.has(n)) continue;
			const parents = n.args.map(a => typeof a === "number" ? add({}, "", [], "constant", "", a) : index.get(a));
			add(n, n.op, parents, "operation", scripts(n.label), n.data);
		} else stack.push([n, true], ...n.args.filter(a => typeof a !== "number").reverse().map(a => [a, false]));
	}
	return new Graph(nodes);
}
const scripts = name => { const m = /^(\p{L}+)_([^_]+)$/u.exec(name); return m ? [[m[1], 0], [m[2], -1]] : name; };

// The line in which one writes an expression of one's own. Names that are new become values, and keep theirs from before.
class Field {
	constructor(page, form, D) {
		form.hidden = false;
		const input = form.elements.expression, menu = form.querySelector("select"), trouble = form.querySelector("output");
		const held = {}, spelled = n => pieces(n.name).map(p => p[0]).join("_"), leaves = () => page.graph.nodes.filter(n => n.kind === "leaf");
		input.value = D.expression;
		for (const [k, [title]] of D.examples.entries()) menu.append(make("option", { value: k }, title));
		const open = () => {
			for (const n of leaves()) held[spelled(n)] = n.data;
			try {
				page.load(this.read(input.value, held));
				trouble.textContent = "";
				input.removeAttribute("aria-invalid");
			} catch (error) {
				if (!(error instanceof ExpressionError)) throw error;
				trouble.textContent = error.message;
				input.setAttribute("aria-invalid", true);
				if (document.activeElement === input) input.setSelectionRange(error.column, min(error.column + 1, input.value.length));
			}
		};
		form.onsubmit = ev => { ev.preventDefault(); open(); };
		menu.onchange = () => {
			const [, text, values] = D.examples[menu.value];
			Object.assign(held, values);
			input.value = text;
			for (const n of leaves()) n.data = values[spelled(n)] ?? n.data;
			open();
			menu.value = "";
		};
	}

	read(text, held) {
		const named = Object.create(null);
		for (let more = true; more;) {
			try {
				return graphOf(meaning(text, named));
			} catch (error) {
				const [, name] = /^unknown name '(.*)': give/.exec(error.message) ?? [];
				if (!name || name in named) throw error;
				named[name] = { label: name, data: Object.hasOwn(held, name) ? held[name] : 1 };
			}
		}
		return null;
	}
}
