"""The rule book as JavaScript: values and partial derivatives of its rows, printed for the page in the browser.

`symbol` comes before: a partial called on symbols is a formula, and here a formula becomes text that a browser runs. So no
derivative is written down again. The partials are printed as a function of the operations that they call. With operations on
numbers they give numbers; with operations on the page's formulas they give formulas.

Values are spelled once in `_VALUES`, as in every back end. What JavaScript's Math lacks stands in functions.js.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any

from micrograd.formula.symbol import Symbol, partial
from micrograd.primitives import RULES, Primitive

_VALUES = {
    "abs": "Math.abs",
    "floor": "Math.floor",
    "exp2": "x => 2 ** x",
    "add": "(x, y) => x + y",
    "sub": "(x, y) => x - y",
    "mul": "(x, y) => x * y",
    "div": "(x, y) => x / y",
    "neg": "x => -x",
    "pow": "(x, y) => x === 1 || (x === -1 && abs(y) === Infinity) ? 1 : x ** y",  # as in C; JavaScript's power is nan there
    "digamma": "digamma",
    "polygamma": "polygamma",
    "direction": "direction",
    "exp_minus_square": "gaussian",
    "inverted": "inverted",
    "ndtr": "x => erfc(-x * sqrt(0.5)) / 2",
    "power_less": "powerLess",
    "power_log": "(n, c, x, y) => x >= 0 ? powerLess(n, c, x, y, log(x)) : NaN",
    "mod": "mod",
    "floordiv": "floordiv",
    "round": "roundToEven",
    "sigmoid": "x => x < -709 ? exp(x) : 1 / (1 + exp(-x))",
    "relu": "x => x <= 0 ? 0 : x",
    "softplus": "x => max(x, 0) + Math.log1p(exp(-abs(x)))",
    "sign": "x => x > 0 ? 1 : x < 0 ? -1 : x",
    "step": "x => x > 0 ? 1 : x <= 0 ? 0 : x",
    "maximum": "(x, y) => x >= y ? x : y > x ? y : NaN",
    "minimum": "(x, y) => x <= y ? x : y < x ? y : NaN",
    "greater": "(x, y) => x > y ? 1 : x <= y ? 0 : NaN",
    "less": "(x, y) => x < y ? 1 : x >= y ? 0 : NaN",
    "equal": "(x, y) => x === y ? 1 : x !== x || y !== y ? NaN : 0",
    "where": "(c, a, b) => c > 0 ? a : c <= 0 ? b : NaN",
    "sum": "(...xs) => added(xs)",
    "dot": "(...xs) => dotted(xs)",
    "logsumexp": "(...xs) => logSumExp(xs)",
    "norm": "(...xs) => length(xs)",
    "take": "(i, ...xs) => i in xs ? xs[i] : NaN",
}
_CALLED = re.compile(r"\$(\w+)")
_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0, 3.25, 1e-9, 40.0, -700.0)  # where formulas of user-defined rows are compared


def functions(script: str | None = None) -> str:
    """The functions of functions.js: all of them, or those that `script` calls."""
    pieces = files(__package__).joinpath("functions.js").read_text(encoding="utf-8").split("\n\n")
    needed = [script is None or piece.startswith("const {") for piece in pieces]
    for k, piece in reversed([*enumerate(pieces)] if script is not None else []):  # a function stands below those that it calls
        names = re.findall(r"^(?:function|const) (\w+)", piece, re.MULTILINE)
        needed[k] |= any(re.search(rf"\b{name}\b", str(script)) for name in names)
        script = f"{script}{piece}" if needed[k] else script
    return "\n\n".join([piece for piece, wanted in zip(pieces, needed, strict=True) if wanted]) + "\n"


def printed(rows: Iterable[Primitive] = (), ops: Iterable[str] | None = None) -> str:
    """The built-in rows and the user-defined `rows`, as JavaScript; with `ops` only those named there, and what they call.

    `FLOATS` has the values by name, and inherits those of Math. `rulesOf(operations)` has the partial derivatives by name: one
    function for a variadic row, else a list with a number, or a function of operands and output, for each operand. `RULES` is
    `rulesOf(FLOATS)`. ValueError for a row that cannot be printed, of which `printable` is False.
    """
    built_in = [row for row in RULES.values() if not row.own]
    texts = {row.name: _row(row) for row in (*built_in, *rows)}
    needed = list(texts if ops is None else dict.fromkeys([op for op in ops if op in texts]))
    for name in needed:
        needed += sorted({op for op in _CALLED.findall(" ".join(texts[name])) if op not in needed})
    kept = [(_key(name), *texts[name]) for name in texts if name in needed]
    called = sorted({op for *_, partials in kept for op in _CALLED.findall(partials)})
    values = "".join(
        [
            f"\t{name if value == name else f'{name}: ' + value.replace('$', 'FLOATS.')},\n"
            for name, value, _ in kept
            if value != f"Math.{name}"
        ]
    )
    rules = "".join([f"\t{name}: {partials.replace('$', '')},\n" for name, _, partials in kept])
    return (
        f"const FLOATS = {{\n\t__proto__: Math,\n{values}}};\n"
        f"const rulesOf = ({{ {', '.join(called)} }}) => ({{\n{rules}}});\nconst RULES = rulesOf(FLOATS);\n"
    )


def listed(s: object) -> Any:
    """A formula as JSON can hold it: a number, the name of a symbol, or [operation, operands...].

    >>> listed(Symbol(2.0, "x") ** 2)
    ['pow', 'x', 2.0]
    """
    if not isinstance(s, Symbol):
        return s
    return [s.rule.name, *map(listed, s.args)] if s.rule is not None else s.number if s.name is None else s.name


def printable(row: Primitive) -> bool:
    """Whether value and partials of the row are formulas. A user-defined row that uses `if` or `math` is none."""
    try:
        _row(row)
    except ValueError:
        return False
    return True


def _row(row: Primitive) -> tuple[str, str]:
    """Value and partials as JavaScript, with a $ before each operation that they call."""
    if row.partials is None:
        raise ValueError(f"{row.name!r} has no rule: its derivative was written by hand")
    if row.variadic:
        return _value(row, 0), _many(row)
    count = len(row.partials)
    names = _names(row, count)
    return _value(row, count), f"[{', '.join([_partial(row, names, k) for k in range(count)])}]"


def _key(name: str) -> str:
    """The name as a key of an object; as a string where it is no plain word, which cannot end the HTML around it."""
    return name if re.fullmatch("[a-zA-Z][a-zA-Z0-9_]*", name) else f"[{json.dumps(name)}]".replace("<", "\\u003c")


def _function(names: list[str], text: str) -> str:
    """The function of these arguments, without those at the end that are not used."""
    while names and not re.search(rf"\b{names[-1]}\b", text):
        names = names[:-1]
    return f"{names[0]} => {text}" if len(names) == 1 else f"({', '.join(names)}) => {text}"


def _names(row: Primitive, count: int) -> list[str]:
    """The names of a row's arguments: as it is written, c, a and b for where(c, a, b), else x and y, else x0, x1, ..."""
    match = re.search(r"\(([a-z](?:, [a-z])*)\)$", row.written)
    names = match[1].split(", ") if match else ["x", "y"]
    return names if len(names) == count else [f"x{k}" for k in range(count)]


def _value(row: Primitive, count: int) -> str:
    if row.name in _VALUES and not row.own:
        return _VALUES[row.name]
    if row.in_math:  # JavaScript lacks some of these
        return row.name if re.search(rf"^(function|const) {row.name}\b", functions(), re.M) else f"Math.{row.name}"
    if row.variadic:
        raise ValueError(f"the value of {row.written} cannot be printed: it takes any number of operands")
    given: Callable[..., object] = getattr(row.value, "__wrapped__", row.value)
    names = _names(row, count)
    text = _agreed(row, count, lambda symbols: given(*symbols), lambda numbers, _: row.on_floats(numbers))
    return _function(names, text)


def _partial(row: Primitive, names: list[str], operand: int) -> str:
    rule = row.partials[operand]
    if not callable(rule):
        return _number(rule)
    count = len(names)

    def on_symbols(symbols: tuple[Symbol, ...]) -> object:
        out = Symbol(row.on_floats([s.number for s in symbols]), "out")
        return partial(row, symbols, out, operand)

    if row.own:
        text = _agreed(row, count, on_symbols, lambda numbers, out: float(rule(*numbers, out)))
    else:
        text = _written(on_symbols(_symbols(names, [0.5] * count)), row)
    return _function([*names, "out"], text) if not re.fullmatch(r"[\d.e-]+", text) else text


def _symbols(names: list[str], numbers: Iterable[float]) -> tuple[Symbol, ...]:
    return tuple([Symbol(x, name) for x, name in zip(numbers, names, strict=True)])


def _agreed(row: Primitive, count: int, on_symbols: Callable[..., object], on_floats: Callable[..., float]) -> str:
    """The formula of a user-defined row; ValueError unless it is the same, with the right number, at every point."""
    names, texts = _names(row, count), set()
    for numbers in itertools.islice(itertools.product(_POINTS, repeat=count), 400):
        try:
            found = on_symbols(_symbols(names, numbers))
            expected = on_floats(numbers, row.on_floats(numbers))
        except Exception as error:
            raise ValueError(f"{row.written} cannot be printed as a formula: {error}") from None
        texts.add(_written(found, row))
        number = found.number if isinstance(found, Symbol) else found
        if len(texts) > 1 or not (number == expected or (number != number and expected != expected)):
            raise ValueError(f"{row.written} cannot be printed as a formula: it is not the same one everywhere")
    return texts.pop()


def _many(row: Primitive) -> str:
    """The partials of a variadic row as one function: the pattern that they follow with 3, 5 and 7 operands."""
    seen = {n: _entries(row, n) for n in (3, 5, 7)}
    own = seen[5][1].replace("x1", "x")
    half = [*(f"x{k}" for k in range(2, 4)), *(f"x{k}" for k in range(2))]
    patterns: list[tuple[str, Callable[[int], list[str]]]] = [
        (f"(xs, out) => xs.map(x => {own})", lambda n: [re.sub(r"\bx\b", f"x{k}", own) for k in range(n)]),
    ]
    if seen[5][:4] == half:
        last = seen[5][4]
        patterns.append(
            (
                f"xs => [...xs.slice(xs.length >> 1, -1), ...xs.slice(0, xs.length >> 1), {last}]",
                lambda n: [*(f"x{(k + n // 2) % (n - 1)}" for k in range(n - 1)), last],
            )
        )
    first, next_ = seen[5][0], seen[5][1].replace("x0", "i").replace("0", "k")
    patterns.append(
        (
            f"([i, ...xs]) => [{first}, ...xs.map((_, k) => {next_})]",
            lambda n: [first, *(next_.replace("k", str(k)).replace("i", "x0", 1) for k in range(n - 1))],
        )
    )
    for text, expected in patterns:
        if all(entries == expected(n) for n, entries in seen.items()):
            return text
    raise ValueError(f"the partials of {row.written} follow no pattern that can be printed")


def _entries(row: Primitive, n: int) -> list[str]:
    symbols = _symbols([f"x{k}" for k in range(n)], [0.5] * n)
    try:
        return [_written(entry, row, n) for entry in row.partials(symbols, Symbol(0.5, "out"))]
    except Exception as error:
        raise ValueError(f"the partials of {row.written} cannot be printed: {error}") from None


def _written(s: object, row: Primitive, many: int = 0) -> str:
    """The formula as JavaScript, with a $ before each operation.

    Where an operation of a variadic row takes the same formula of each of its `many` operands, it takes a map of them instead.
    """
    if isinstance(s, (int, float)):
        return _number(s)
    if not isinstance(s, Symbol):
        raise ValueError(f"{row.written} cannot be printed: a partial derivative is no formula")
    if s.rule is not None:
        if s.rule.own:
            raise ValueError(f"{row.written} cannot be printed: it calls {s.rule.written}, which is no built-in row")
        args = [_written(a, row, many) for a in s.args]
        if many and args == [re.sub(r"\bx0\b", f"x{k}", args[0]) for k in range(many)]:
            args = ["...xs.map(t => " + re.sub(r"\bx0\b", "t", args[0]) + ")"]
        return f"${s.rule.name}({', '.join(args)})"
    return _number(s.number) if s.name is None else str(s.name)


def _number(x: float) -> str:
    if not math.isfinite(x):
        return "NaN" if x != x else "Infinity" if x > 0 else "-Infinity"
    return repr(float(x)).removesuffix(".0")
