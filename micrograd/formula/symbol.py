"""Formulas: what the rule book gives when it is called on symbols, and how they are written.

A Symbol carries what it is called, or the primitive and the operands it is made of, and always its number. A row's partial
derivative called on Symbols gives a Symbol, so nothing here knows a derivative. A Writer turns one into text, LaTeX or
Python; where a formula has branches, text and LaTeX show the one that was taken, Python keeps them.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

from micrograd import primitives
from micrograd.primitives import Primitive, number

SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4  # how tightly a written formula holds together

ADD, SUB, MUL, DIV, NEG, POW = map(primitives.rule, ("add", "sub", "mul", "div", "neg", "pow"))
WHERE = primitives.rule("where")
CHOICE = Primitive("where", WHERE.written, WHERE.value, WHERE.partials, WHERE.beyond, False)  # written with both branches


class Math(NamedTuple):
    """A piece of mathematics in both spellings."""

    text: str
    latex: str


def joined(separator: Math, parts: Sequence[Math]) -> Math:
    """The parts in a row, with the separator between them."""
    return Math(separator.text.join([p.text for p in parts]), separator.latex.join([p.latex for p in parts]))


def _operator(rule: Primitive, reflected: bool = False) -> Any:
    def method(self: Symbol, other: Any) -> Symbol:
        return applied(rule, (other, self) if reflected else (self, other))

    return method


class Symbol:
    """A formula and its number. An atom has a `name`, a compound a `rule` and `args`, a literal nothing but its number."""

    __slots__ = ("args", "name", "number", "rule")

    def __init__(self, number: float, name: Any = None, rule: Primitive | None = None, args: tuple[Symbol, ...] = ()):
        self.number, self.name, self.rule, self.args = number, name, rule, args

    @property
    def literal(self) -> bool:
        return self.rule is None and self.name is None

    __add__, __radd__ = _operator(ADD), _operator(ADD, True)
    __sub__, __rsub__ = _operator(SUB), _operator(SUB, True)
    __mul__, __rmul__ = _operator(MUL), _operator(MUL, True)
    __truediv__, __rtruediv__ = _operator(DIV), _operator(DIV, True)
    __pow__, __rpow__ = _operator(POW), _operator(POW, True)

    def __neg__(self) -> Symbol:
        return applied(NEG, (self,))

    @staticmethod
    def __primitive__(rule: Primitive, args: Sequence[Any]) -> Symbol:
        return applied(rule, args)

    @property
    def taken(self) -> Symbol:
        """The formula with its outermost choice made: the branch that the numbers take."""
        s = self
        while s.rule is WHERE:
            c = s.args[0].number
            s = Symbol(math.nan) if c != c else s.args[1] if c > 0 else s.args[2]
        return s


def applied(rule: Primitive, args: Sequence[Any]) -> Symbol:
    """The formula rule(*args), for any mixture of symbols and numbers.

    It is tidied only where that changes no bit: numbers alone are worked out, a factor of 1 and a power of 1 or 0 go.
    """
    symbols = tuple([a if isinstance(a, Symbol) else Symbol(number(a)) for a in args])
    literal = [s.number if s.literal else None for s in symbols]
    out = rule.on_floats([s.number for s in symbols])
    if None not in literal or (rule is POW and literal[1] == 0.0):
        return Symbol(out)
    if rule is MUL and 1.0 in literal:
        return symbols[1 - literal.index(1.0)]
    if rule in (POW, DIV) and literal[1] == 1.0:
        return symbols[0]
    if rule is WHERE and literal[0] is not None and literal[0] == literal[0]:
        return symbols[1] if literal[0] > 0 else symbols[2]
    return Symbol(out, None, rule, symbols)


def partial(rule: Primitive, args: tuple[Symbol, ...], out: Symbol, operand: int) -> Symbol | None:
    """The partial derivative by one operand as the rule book writes it; None where its row takes numbers alone."""
    try:
        local = rule.local(args, out, [i == operand for i in range(len(args))])[operand]
        return local if isinstance(local, Symbol) else Symbol(number(local))
    except Exception:  # a row of the user's own may hold anything: math.cos(x), if x > 0, or no partials at all
        return None


def written_number(x: float, digits: int) -> Math:
    """`x` with so many significant digits; from 17 on, exactly: float() of the text is `x`."""
    text = repr(x) if digits >= 17 else format(x, f".{digits}g")
    text = "0" if float(text) == 0.0 else re.sub(r"\.0$", "", text)
    mantissa, _, exponent = text.partition("e")
    if exponent:
        mantissa += rf" \times 10^{{{int(exponent)}}}"
    return Math(text, mantissa.replace("inf", r"\infty").replace("nan", r"\mathrm{nan}"))


_SUPERSCRIPTS = str.maketrans("0123456789-()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁽⁾")
_KNOWN_TO_LATEX = ("sin", "cos", "tan", "sinh", "cosh", "tanh", "log", "exp")
_SPECIAL_IN_LATEX = {
    "asin": r"\arcsin",
    "acos": r"\arccos",
    "atan": r"\arctan",
    "sigmoid": r"\sigma",
    "maximum": r"\max",
    "minimum": r"\min",
}


def superscript(text: str) -> str:
    """`text`, made of digits, minus and parentheses, raised."""
    return text.translate(_SUPERSCRIPTS)


class Text:
    """Writes a Symbol as text: `1 − tanh²(u)`. With `numbers`, each name gives way to its number."""

    times, minus, opening, closing, dots = " · ", " − ", "(", ")", "…"

    def __init__(self, digits: int = 4, numbers: bool = False):
        self.digits, self.numbers = digits, numbers

    def __call__(self, s: Symbol) -> str:
        return self.form(s)[0]

    # -- what the two mathematical spellings share

    def held(self, s: Symbol, level: int) -> str:
        """`s` as an operand that must hold together at least as tightly as `level`."""
        text, holds = self.form(s)
        return text if holds >= level else self.opening + text + self.closing

    def added(self, s: Symbol) -> str:
        """`s` as it stands after a plus or minus: a negative number in brackets."""
        s = s.taken
        if s.rule is MUL and s.args[0] is not s.args[1] and self(s).startswith(("-", "−")):
            return self.held(s.args[0], POWER) + self.times + self.held(s.args[1], POWER)
        text = self.held(s, PRODUCT)
        return self.opening + text + self.closing if text.startswith(("-", "−")) else text

    def form(self, s: Symbol) -> tuple[str, int]:
        s = s.taken
        if s.rule is None:
            if s.name is None or self.numbers:
                return self.number(s.number), PRODUCT if s.number < 0 else ATOM
            return self.name(s), ATOM
        writer = getattr(self, f"_{s.rule.name}", None) if s.rule.partials is not None else None
        return writer(*s.args) if writer else (self.called(s.rule.name, "", s.args), ATOM)

    def arguments(self, args: Sequence[Symbol]) -> str:
        return ", ".join(self.shortened([self(a) for a in args]))

    def shortened(self, parts: list[str]) -> list[str]:
        return [*parts[:2], self.dots, parts[-1]] if len(parts) > 5 else parts

    def _add(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        return f"{self.held(x, SUM)} + {self.added(y)}", SUM

    def _sub(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        return self.held(x, SUM) + self.minus + self.added(y), SUM

    def _mul(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        if x is y:
            return self._pow(x, Symbol(2.0))
        if x.rule is NEG and x.args[0] is y:
            return self.negated(self._pow(y, Symbol(2.0))[0]), PRODUCT
        return self.held(x, PRODUCT) + self.times + self.held(y, POWER), PRODUCT

    def _neg(self, x: Symbol) -> tuple[str, int]:
        return self.negated(self.held(x, POWER)), PRODUCT

    def _sum(self, *xs: Symbol) -> tuple[str, int]:
        return " + ".join(self.shortened([self.held(xs[0], SUM), *map(self.added, xs[1:])])), SUM

    def _dot(self, *args: Symbol) -> tuple[str, int]:
        n, start = len(args) // 2, args[-1]
        terms = [self.added(Symbol(math.nan, None, MUL, pair)) for pair in zip(args[:n], args[n:-1], strict=True)]
        return " + ".join([*self.shortened(terms), *([] if start.literal and start.number == 0 else [self.added(start)])]), SUM

    # -- what is text

    def number(self, x: float) -> str:
        return written_number(x, self.digits).text

    def name(self, s: Symbol) -> str:
        return str(s.name.text)

    def negated(self, text: str) -> str:
        return "−" + text

    def called(self, name: str, power: str, args: Sequence[Symbol]) -> str:
        return f"{clean(name)}{superscript(power)}({self.arguments(args)})"

    def _div(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        return f"{self.held(x, PRODUCT)} / {self.held(y, POWER)}", PRODUCT

    def _pow(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        whole = y.literal and float(y.number).is_integer() and math.fabs(y.number) < 1e6
        power = str(int(y.number)) if whole else ""
        x = x.taken
        if whole and x.rule is not None and not self.numbers and not hasattr(self, f"_{x.rule.name}"):
            return self.called(x.rule.name, power, x.args), ATOM
        base = self.held(x, ATOM)
        if re.search(r"[\^⁾²³]", base) and not base.startswith("("):
            base = f"({base})"
        return (base + superscript(power) if whole else f"{base}^{self.held(y, ATOM)}"), POWER

    def _sqrt(self, x: Symbol) -> tuple[str, int]:
        return f"√{self.held(x, ATOM)}", POWER

    def _abs(self, x: Symbol) -> tuple[str, int]:
        return f"|{self(x)}|", ATOM

    def _step(self, x: Symbol) -> tuple[str, int]:
        return f"[{self(x)} > 0]", ATOM

    def _greater(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        return f"[{self(x)} > {self(y)}]", ATOM

    def _equal(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        return f"[{self(x)} = {self(y)}]", ATOM

    def _less(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        return f"[{self(x)} < {self(y)}]", ATOM


class Latex(Text):
    r"""Writes a Symbol as LaTeX: `1 - \tanh^{2}(u)`."""

    times, minus, opening, closing, dots = r" \cdot ", " - ", r"\left(", r"\right)", r"\ldots"

    def number(self, x: float) -> str:
        return written_number(x, self.digits).latex

    def name(self, s: Symbol) -> str:
        return str(s.name.latex)

    def negated(self, text: str) -> str:
        return "-" + text

    def called(self, name: str, power: str, args: Sequence[Symbol]) -> str:
        name = clean(name)
        if name in _KNOWN_TO_LATEX:
            name = "\\" + name
        name = _SPECIAL_IN_LATEX.get(name) or (name if name.startswith("\\") else rf"\mathrm{{{words(name)}}}")
        return f"{name}{f'^{{{power}}}' if power else ''}{self.opening}{self.arguments(args)}{self.closing}"

    def _div(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        return rf"\frac{{{self(x)}}}{{{self(y)}}}", POWER

    def _exp(self, x: Symbol) -> tuple[str, int]:
        return f"e^{{{self(x)}}}", POWER

    def _pow(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        x = x.taken
        if y.literal and x.rule is not None and not self.numbers and not hasattr(self, f"_{x.rule.name}"):
            return self.called(x.rule.name, self(y), x.args), ATOM
        base = self.held(x, ATOM)
        if "^" in base and not base.startswith(r"\left("):
            base = self.opening + base + self.closing
        return f"{base}^{{{self(y)}}}", POWER

    def _sqrt(self, x: Symbol) -> tuple[str, int]:
        return rf"\sqrt{{{self(x)}}}", ATOM

    def _abs(self, x: Symbol) -> tuple[str, int]:
        return rf"\left|{self(x)}\right|", ATOM


def words(text: str) -> str:
    r"""Plain words as they may stand in \mathrm{...}."""
    spelled = {" ": r"\ ", "_": r"\_", "%": r"\%", "#": r"\#", "$": r"\$", "&": "and", "{": r"\{", "}": r"\}"}
    return "".join([spelled.get(c, c) for c in text.replace("\\", "/").replace("^", "'").replace("~", "-")])


def clean(text: str) -> str:
    """The text without what no file may hold: line ends become ⏎, control characters and lone surrogates signs for them."""
    if text.isprintable():
        return text
    text = re.sub("\r\n?|[\n\u2028\u2029]", "⏎", text)
    return "".join(
        chr(0x2400 + ord(c)) if ord(c) < 32 else "\ufffd" if unicodedata.category(c) in ("Cc", "Cs", "Cn") else c for c in text
    )


def spelled(s: Symbol, digits: int, numbers: bool = False) -> Math:
    """A formula in both spellings."""
    return Math(Text(digits, numbers)(s), Latex(digits, numbers)(s))
