// Formulas: what a rule gives when it is called on symbols, written as text or as MathML (as formula/symbol.py and text.py do).

const SUM = 1, PRODUCT = 2, POWER = 3, ATOM = 4;  // precedences of a written formula

// A symbol is { name, value }, { op, args, value }, or a literal { value }.
const SYMBOLIC = rulesOf(Object.fromEntries(Object.keys(RULES).map(name => [name, (...args) => applied(name, args)])));

function applied(op, args) {
	const symbols = args.map(asSymbol), literal = symbols.map(s => !s.op && !s.name);
	const value = FLOATS[op](...symbols.map(s => s.value)), one = k => literal[k] && symbols[k].value === 1;
	if (literal.every(Boolean) || op === "pow" && literal[1] && symbols[1].value === 0) return { value };
	if (op === "power_less" && literal[1] && literal[3] && symbols[1].value && ordinary(symbols[3].value)) return applied("mul", [symbols[1], applied("pow", [symbols[2], symbols[3].value - symbols[0].value])]);
	if (op === "mul" && (one(0) || one(1))) return symbols[one(0) ? 1 : 0];
	if ((op === "pow" || op === "div") && one(1)) return symbols[0];
	if (op === "where" && !(symbols[0].value !== symbols[0].value)) return symbols[symbols[0].value > 0 ? 1 : 2];
	return { op, args: symbols, value };
}

const symbolOf = n => n.kind === "constant" && !n.text.length ? { value: n.data } : { name: n.name, value: n.data };

// The partial derivative of a node by its operand k, as the rule book writes it; null where the page has no rule.
function partialOf(n, k) {
	const partials = SYMBOLIC[n.op];
	if (!partials || n.frozen) return null;
	const xs = n.operands.map(symbolOf), out = { name: n.name, value: n.data };
	return asSymbol(!partials.map ? partials(xs, out)[k] : partials[k].call ? partials[k](...xs, out) : partials[k]);
}
const asSymbol = s => typeof s === "number" ? { value: s } : s;
const expressionOf = n => ({ op: n.op, args: n.operands.map(symbolOf), value: n.data });
const equation = (n, numbers = false) => write(expressionOf(n), TEXT, numbers);

function shorten(x) {
	if (!finite(x)) return x !== x ? "nan" : x > 0 ? "∞" : "−∞";
	const a = abs(x), s = a && (a < 1e-4 || a >= 1e5) ? x.toExponential(3).replace(/\.?0*e\+?/, "e") : +x.toPrecision(4) + "";
	return s.replace(/-/g, "−");
}
const brief = x => shorten(x).length < 9 ? shorten(x) : x.toExponential(1).replace(/\.0e/, "e").replace("e+", "e").replace(/-/g, "−");  // for little room
const pieces = text => text.map ? text : text.name ? pieces(text.name) : [[text, 0]];  // [text, level] of a label, or of the name of a node
const LOW = "₀₁₂₃₄₅₆₇₈₉", HIGH = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const raised = text => /^−?\d+$/.test(text) ? text.replace("−", "⁻").replace(/\d/g, d => HIGH[d]) : null;
const plain = text => pieces(text).map(([t, level]) => !level ? t : level < 0 && /^\d+$/.test(t) ? t.replace(/\d/g, d => LOW[d])
	: level < 0 ? "_" + t : raised(t) ?? (/^\[\d+\]$/.test(t) ? "⁽" + raised(t.slice(1, -1)) + "⁾" : "^" + t)).join("");

const TEXT = {
	row: (...parts) => parts.join(""),
	number: shorten,
	name: plain,
	sign: s => s,
	dot: " · ",
	sup: (base, text) => raised(text) ? base + raised(text) : base + "^" + (/^[\wα-ω.]+$/.test(text) ? text : `(${text})`),
	fraction: null,  // on one line
	root: s => "√" + (/^[\wα-ω.]+$/.test(s) ? s : `(${s})`),
	word: w => w,
	sum: l => `Σ_${l} `,
};

const MATHML = "http://www.w3.org/1998/Math/MathML";
function element(tag, ...inside) {
	const e = document.createElementNS(MATHML, tag);
	e.append(...inside);
	return e;
}
const MARKUP = {
	row: (...parts) => element("mrow", ...parts.map(p => typeof p === "string" ? MARKUP.sign(p) : p)),
	number: x => element("mn", shorten(x)),
	name: text => {
		const [[base], ...rest] = pieces(text), mi = t => element("mi", t);
		const [low, high] = [-1, 1].map(sign => rest.filter(p => p[1] * sign > 0).map(p => p[0]).join(""));
		return element(low ? high ? "msubsup" : "msub" : high ? "msup" : "mrow", element(/^[\d−]/.test(base) ? "mn" : "mi", base), ...[low, high].filter(Boolean).map(mi));
	},
	sign: s => element("mo", s.trim()),
	dot: "\u22c5",
	sup: (base, top) => element("msup", base, typeof top === "string" ? element("mn", top) : top),
	fraction: (a, b) => element("mfrac", a, b),
	root: s => element("msqrt", s),
	word: w => element("mi", w),
	sum: l => element("msub", element("mo", "∑"), element("mi", l)),
};

// A symbol as text (kit TEXT) or MathML (kit MARKUP); with `numbers`, each name is replaced by its number.
function write(s, kit, numbers = false) {
	const held = (s, level) => {
		const [out, holds] = form(s);
		return holds >= level ? out : closed(s);
	};
	const closed = s => kit.row("(", form(s)[0], ")");
	const negative = s => (numbers || !s.name) && !s.op && s.value < 0 || s.op === "neg";
	const after = s => negative(s) ? closed(s) : held(s, PRODUCT);  // what follows a sign
	const list = (args, each) => args.length > 5 ? [...args.slice(0, 3).map(each), kit.sign("…"), each(args.at(-1))] : args.map(each);
	const joined = (parts, sign) => kit.row(...parts.flatMap((p, k) => k ? [kit.sign(sign), p] : [p]));
	const called = (name, args) => [kit.row(kit.word(name), "(", joined(list(args, a => form(a)[0]), ", "), ")"), ATOM];
	const compared = (sign, x, y) => [kit.row("[", form(x)[0], kit.sign(sign), form(y)[0], "]"), ATOM];
	const power = (x, n) => {
		const text = n.op || n.name && !numbers ? null : shorten(n.value), top = kit === TEXT ? text ?? form(n)[0] : form(n)[0];
		return [kit.sup(held(x, ATOM), top), POWER];
	};
	const less = (n, x, y) => applied("pow", [x, n.value ? applied("sub", [y, n]) : y]);
	const share = x => {  // of a softmax: its exponents are shifted for numerical stability, which the formula leaves out
		const exp = x => rules.exp(x)[0], parts = [exp(x), kit.row(kit === TEXT ? "Σ " : "∑", exp({ op: "", name: "xᵢ" }))];
		return [kit.fraction ? kit.fraction(...parts) : parts.join(" / "), PRODUCT];
	};
	const rules = {
		add: (x, y) => [kit.row(held(x, SUM), kit.sign(" + "), after(y)), SUM],
		sub: (x, y) => [kit.row(held(x, SUM), kit.sign(" − "), negative(y) || y.op === "add" || y.op === "sub" ? closed(y) : held(y, PRODUCT)), SUM],
		mul: (x, y) => x === y || x.name && x.name === y.name && !numbers ? power(x, { value: 2 })
			: !numbers && x.op === "exp" && y.op === "div" && y.args[1].op === "sum" ? share(x.args[0].args[0])
			: [kit.row(negative(x) ? after(x) : held(x, PRODUCT), kit.sign(kit.dot), negative(y) ? after(y) : held(y, POWER)), PRODUCT],
		div: (x, y) => kit.fraction ? [kit.fraction(form(x)[0], form(y)[0]), ATOM] : [kit.row(held(x, PRODUCT), " / ", negative(y) ? after(y) : held(y, POWER)), PRODUCT],
		neg: x => [kit.row(kit.sign("−"), negative(x) ? after(x) : held(x, PRODUCT)), PRODUCT],
		pow: (x, y) => power(x, y),
		exp: x => kit === TEXT ? called("exp", [x]) : [kit.sup(kit.word("e"), form(x)[0]), POWER],
		sqrt: x => [kit.root(form(x)[0]), ATOM],
		abs: x => [kit.row("|", form(x)[0], "|"), ATOM],
		power_less: (n, c, x, y) => form(applied("mul", [c, less(n, x, y)])),
		power_log: (n, c, x, y) => form(applied("mul", [c, applied("mul", [less(n, x, y), { ...applied("log", [x]), op: "log", args: [x] }])])),
		direction: (x, y) => rules.div(x, { op: "hypot", args: [x, y] }),
		inverted: (x, y) => rules.div(x, { op: "add", args: [x, y].map(t => ({ op: "pow", args: [t, { value: 2 }] })) }),
		exp_minus_square: x => rules.exp({ op: "neg", args: [{ op: "pow", args: [x, { value: 2 }] }] }),
		one_minus_square: x => [kit.row(kit.number(1), kit.sign(" − "), power(x, { value: 2 })[0]), SUM],
		mod: (x, y) => [kit.row(held(x, PRODUCT), kit.sign(" mod "), held(y, POWER)), PRODUCT],
		floordiv: (x, y) => [kit.row("⌊", rules.div(x, y)[0], "⌋"), ATOM],
		floor: x => [kit.row("⌊", form(x)[0], "⌋"), ATOM],
		step: x => compared(" > ", x, { value: 0 }),
		greater: (x, y) => compared(" > ", x, y),
		less: (x, y) => compared(" < ", x, y),
		equal: (x, y) => compared(" = ", x, y),
		sum: (...xs) => [joined(list(xs, after), " + "), SUM],
		dot: (...xs) => {
			const half = xs.length >> 1, start = xs[2 * half], terms = list(xs.slice(0, half).map((x, k) => [x, xs[k + half]]), ([x, y]) => rules.mul(x, y)[0]);
			return [joined(start.op || start.name || start.value ? [...terms, after(start)] : terms, " + "), SUM];
		},
	};
	function form(s) {
		if (!s.op) return s.name && !numbers ? [kit.name(s), ATOM] : [kit.number(s.value), s.value < 0 ? PRODUCT : ATOM];
		return rules[s.op]?.(...s.args) ?? called(s.op, s.args);
	}
	return form(s)[0];
}

// ∂L/∂x, as one fraction
const derivative = (of, by, kit) => kit.fraction
	? kit.fraction(kit.row(kit.sign("∂"), kit.name(of)), kit.row(kit.sign("∂"), kit.name(by))) : `∂${plain(of)}/∂${plain(by)}`;

// A line of an equation whose sign is not "="
const signed = (sign, ...sides) => Object.assign(sides, { sign });
const spoken = ([left, first, ...more], k, lines) => [`${left} ${lines?.[k].sign ?? "="} ${first}`, ...more].join(" = ").trim();

// Equations below each other as MathML, each a list of equal sides; as text in a browser without MathML.
function mathematics(lines) {
	if (typeof MathMLElement === "undefined") return make("div", {}, ...lines(TEXT).map(line => make("p", {}, spoken(line, 0, [line]))));
	const cell = (...inside) => element("mtd", ...inside), table = fill(element("mtable"), { displaystyle: true }, lines(MARKUP).map(line => {
		const [left, ...sides] = line;
		return element("mtr", cell(left), cell(element("mrow", ...sides.flatMap((side, k) => [fill(element("mo", !k && line.sign || "="), { form: "infix" }), side]))));
	}));
	return fill(element("math", table), { display: "block", alttext: lines(TEXT).map(spoken).join("; ") });
}
