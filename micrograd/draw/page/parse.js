// Reads typed expressions by the grammar of parse.py: arithmetic, functions of the rule book, lists, assignments. No code is
// evaluated.

class ExpressionError extends Error {
	constructor(message, column = 0) { super(message); this.column = column; }
}
const ALIASES = { max: "maximum", min: "minimum", ln: "log" };
const OPERATORS = { "+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod", "**": "pow", "<": "less", ">": "greater" };
const OF_MANY = ["sum", "logsumexp", "dot"];
const known = () => Object.keys(RULES).filter(name => RULES[name].map && !HELPERS.includes(name) || OF_MANY.includes(name)).concat(Object.keys(COMPOSED), Object.keys(OF_LISTS)).sort();
const isFunction = name => Object.hasOwn(ALIASES, name) || known().includes(name);
const WORDS = ["import", "def", "for", "while", "if", "return", "from", "not", "None", "True", "False", "await", "yield"];
const fail = (message, at) => { throw new ExpressionError(message, at); };
const only = (what, at) => fail(`only arithmetic is read here, ${what}`, at);
const unreal = (what, at) => fail(`only real numbers and names are read here, not ${what}`, at);
const unread = (what, at) => fail(`cannot read the expression: ${what}`, at);
const unreadable = (what, at) => unread(`${what} (write 2*x for a product, x**2 for a power, sin(x) for a function)`, at);

// The functions of composed.py: those of numbers, with how many they take at most, and those of lists. They call the operations
// of `o`, as in o.add(x, y).
const ceil_ = (o, x) => o.neg(o.floor(o.neg(x))), average = (o, xs) => o.div(o.sum(...xs), xs.length);
const COMPOSED = {
	ceil: [1, ceil_],
	trunc: [1, (o, x) => o.where(x, o.floor(x), ceil_(o, x))],
	clip: [3, (o, x, low = null, high = null) => {
		const above = low === null ? x : o.maximum(x, low);
		return high === null ? above : o.minimum(above, high);
	}],
	gelu: [1, (o, x) => o.mul(x, o.ndtr(x))],
	silu: [1, (o, x) => o.mul(x, o.sigmoid(x))],
	elu: [2, (o, x, alpha = 1) => o.where(x, x, o.mul(alpha, o.expm1(x)))],
	leaky_relu: [2, (o, x, slope = 0.01) => o.where(x, x, o.mul(slope, x))],
	logaddexp: [2, (o, x, y) => o.logsumexp(x, y)],
};
const deviations = (o, xs, middle = average(o, xs)) => xs.map(x => o.sub(x, middle));
const OF_LISTS = {
	log_softmax(o, xs) {
		const most = max(...xs.map(worthOf)), shifted = xs.map(x => o.sub(x, most)), total = o.logsumexp(...shifted);
		return shifted.map(x => o.sub(x, total));
	},
	softmax: (o, xs) => OF_LISTS.log_softmax(o, xs).map(x => o.exp(x)),
	cumsum: (o, xs) => xs.reduce((sums, x) => [...sums, sums.length ? o.add(sums.at(-1), x) : x], []),
	mean: average,
	var: (o, xs, ds = deviations(o, xs)) => o.div(o.dot(...ds, ...ds, 0), xs.length),
	std: (o, xs) => o.div(o.norm(...deviations(o, xs)), sqrt(xs.length)),
	norm: (o, xs) => o.norm(...xs),
	prod: (o, xs) => xs.length ? xs.reduce((x, y) => o.mul(x, y)) : 1,
};
const isList = Array.isArray, worthOf = x => typeof x === "number" ? x : x.data;

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

// The statements of a text: { name, at, value }. `value` is a function from the values of names to the result; `name` is false
// where nothing is assigned.
function steps(text) {
	if (!text.trim()) fail("the expression is empty: write one such as tanh(a*b) + c", 0);
	if (text.includes("\0")) unread("source code cannot contain null bytes", 0);
	const list = tokens(text), opened = [], found = [];
	let k = 0;
	const is = (...kinds) => kinds.includes(list[k]?.kind), next = () => list[k++];
	const place = () => list[k]?.at ?? text.split("\n").at(-1).trimEnd().length;
	const wrong = () => opened.length && !list[k] ? unread(`'${opened.at(-1).kind}' was never closed`, opened.at(-1).at) : unreadable("invalid syntax", place());
	const all = items => names => items.map(item => item(names));
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
		const { kind, text, at } = list[k] ?? wrong();
		if (kind === "name" && WORDS.includes(text)) only(`not ${text}`, at);
		k++;
		if (kind === "number") return () => numberOf(text, at);
		if (kind === "name") return names => names.has(text) ? names.get(text) : text === "pi" ? PI : isFunction(text)
			? fail(`${text} is a function: write ${text}(...)`, at) : /^(math|np|numpy|mg|micrograd)$/.test(text)
			? fail(`functions are written without ${text}. before them, as sin(x)`, at)
			: fail(`unknown name '${text}': give it a value, ${text}=1.0`, at);
		if (kind === "string") return () => unreal(text, at);
		if (kind === "[") return all(inside("]"));
		if (kind === "(") {
			const items = inside(")");
			return items.length === 1 && list[k - 2].kind !== "," ? items[0] : all(items);
		}
		k--;
		return wrong();
	}
	function postfix() {
		const at = place();
		let name = is("name") && list[k].text, value = atom(), self = [];
		for (;;) {
			if (is("(")) {
				next();
				const called = name || only("not a call", at), args = all([...self, ...inside(")")]);
				value = names => call(called, args(names), at);
				[name, self] = ["", []];
			} else if (is(".")) {
				next();
				if (!is("name")) wrong();
				[name, self, value] = [next().text, [value], () => only("not an attribute", at)];
			} else if (is("[")) {
				next();
				const index = list[k] ?? wrong(), of = value, alone = list[k + 1]?.kind === "]" && /^\d+$/.test(index.text);
				if (!inside("]").length) wrong();
				[name, value] = ["", names => {
					const values = alone ? of(names) : fail("an index is a whole number from 0", index.at), i = +index.text;
					if (!isList(values)) fail("an index stands behind a list, and this is one number", at);
					return values[i] ?? fail(`a list of ${values.length} has no entry ${i}: count from 0`, at);
				}];
			} else return value;
		}
	}
	function factor() {
		const signs = [];
		while (is("+", "-", "~")) signs.unshift(next());
		const at = place(), base = postfix(), power = is("**") && next() && factor();
		return signs.length || power ? names => signs.reduce((x, sign) => sign.kind === "+" ? x : operation(sign, [x], sign.at),
			power ? node("pow", [base(names), power(names)], at) : base(names)) : base;
	}
	function binary(operand, ...signs) {  // a loop, for a sum may have 10,000 terms
		const at = place(), first = operand(), rest = [];
		while (is(...signs)) rest.push([next(), operand()]);
		return rest.length ? names => rest.reduce((x, [sign, y]) => operation(sign, [x, y(names)], at), first(names)) : first;
	}
	const term = () => binary(factor, "*", "/", "//", "%", "@"), bits = () => binary(() => binary(term, "+", "-"), "^", "&", "|");
	function comparison() {
		const at = place(), x = bits(), compares = () => is("<", ">", "==", "!=", "<=", ">=");
		const sign = compares() && next(), y = sign && bits();
		if (y && compares()) only("not a compare", at);
		if (list[k]?.text === "if") only("not if (use where(c, a, b))", at);
		return y ? names => operation(sign, [x(names), y(names)], at) : x;
	}
	while (k < list.length) {
		if (is(";")) { next(); continue; }
		const name = is("name") && list[k + 1]?.kind === "=" && next().text;
		if (name) next();
		const at = place(), items = [comparison()];
		while (!name && is(",")) { next(); if (list[k] && !is(";")) items.push(comparison()); }
		found.push({ name, at, value: items.length > 1 || !name && list[k - 1].kind === "," ? all(items) : items[0] });
		if (k < list.length && !is(";")) wrong();
	}
	return found;
}

// The result of a text: a number, or a node { op, args, data, label }. `named` has the leaves by their names.
function meaning(text, named) {
	const names = new Map(Object.entries(named));
	let out, at = 0;
	for (const { name, value, ...step } of steps(text)) {
		out = value(names);
		at = step.at;
		if (!name) continue;
		if (out.args && !out.label) out.label = name;
		names.set(name, out);
	}
	return isList(out) ? fail("the result must be one number, not a list", at) : out;
}

function numberOf(text, at) {
	const x = Number(text.replace(/_/g, ""));
	return finite(x) ? x : text.endsWith("j") ? unreal(text, at) : fail("this number is too large for a float", at);
}

function operation({ kind, at: sign }, args, at) {
	const op = args.length > 1 ? OPERATORS[kind] : kind === "-" && "neg", power = kind === "^";
	return op ? node(op, args, at) : fail(`this operator is not read here: ${power ? "for a power write **" : "use + - * / // % ** < >"}`, power ? sign : at);
}

function call(called, args, at) {
	const name = Object.hasOwn(ALIASES, called) ? ALIASES[called] : called;
	if (name === "sum" || name === "logsumexp") {
		const values = args.length === 1 && isList(args[0]) ? args[0] : args;
		return values.length ? node(name, values, at) : name === "sum" ? 0 : fail("logsumexp needs at least one value, got none", at);
	}
	if (name === "dot") {
		const [xs, ys, start = 0] = args;
		if (args.length < 2 || args.length > 3 || !isList(xs) || !isList(ys)) fail("dot takes two lists, and perhaps a start: dot([a, b], [c, d], e)", at);
		if (xs.length !== ys.length) fail(`dot needs two sequences of one length, got ${xs.length} and ${ys.length} values`, at);
		return node("dot", [...xs, ...ys, start], at);
	}
	const o = new Proxy({}, { get: (_, op) => (...operands) => node(op, operands, at) });
	if (Object.hasOwn(OF_LISTS, name)) {
		const values = args.length === 1 && isList(args[0]) ? args[0] : args, ofRows = name.endsWith("softmax");
		if (!values.length && name !== "prod" && name !== "cumsum") fail(ofRows ? "log_softmax and softmax need at least one value, got none" : `${name} needs at least 1 value, got none`, at);
		return OF_LISTS[name](o, values);
	}
	const [most, made] = Object.hasOwn(COMPOSED, name) ? COMPOSED[name] : [], least = made ? made.length - 1 : known().includes(name) ? RULES[name].length : fail(`unknown function '${called}': known are ${known().join(", ")}`, at);
	if (args.length < least || args.length > (most ?? least)) fail(`${name} takes ${most > least ? `${least} to ${most} arguments` : `${least} argument(s)`}, got ${args.length}`, at);
	return made ? ofEach(name, (...operands) => made(o, ...operands), args, at) : node(name, args, at, name + ": ");
}

// f of each entry of lists; a number stands beside every entry.
function ofEach(name, f, args, at) {
	const [length, ...others] = new Set(args.filter(isList).map(list => list.length));
	if (others.length) fail(`${name} needs lists of one length, got ${[length, ...others].sort((a, b) => a - b).join(" and ")} values`, at);
	return length === undefined ? f(...args) : Array.from({ length }, (_, k) => ofEach(name, f, args.map(a => isList(a) ? a[k] : a), at));
}

function node(op, args, at, name = "") {
	if (args.some(isList)) fail(name + "expected a number, got list", at);
	const data = FLOATS[op](...args.map(worthOf));
	return args.every(a => typeof a === "number") ? data : { op, args, data, label: "" };
}

// The graph below a result in the engine's order: parents first, from left to right, a plain number just before its consumer.
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

// The line to type an expression into. A new name becomes a leaf; a name seen before keeps its number.
class Field {
	constructor(page, form, D) {
		form.hidden = false;
		const input = form.elements.expression, menu = form.querySelector("select"), trouble = form.querySelector("output");
		const held = {}, spelled = n => pieces(n).map(p => p[0]).join("_"), leaves = () => page.graph.nodes.filter(n => n.kind === "leaf");
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
