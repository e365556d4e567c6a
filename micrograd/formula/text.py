"""Formulas as text: `1 − tanh²(u)`. Where a formula has branches, the one that was taken is shown."""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Sequence

from micrograd import primitives
from micrograd.formula.symbol import ATOM, DIV, MUL, NEG, POWER, PRODUCT, SUM, Symbol

_TURNS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # marks that turn the direction of text
_SUPERSCRIPTS = str.maketrans("0123456789-()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁽⁾")
EXP = primitives.rule("exp")


def number(x: float, digits: int) -> str:
    """`x` with `digits` significant digits; with 17 or more exactly, so that float() of the text is `x`."""
    text = repr(float(x)) if digits >= 17 else format(x, f".{digits}g")
    return "0" if float(text) == 0.0 else re.sub(r"\.0$", "", text)


def superscript(text: str) -> str:
    """`text`, made of digits, minus and parentheses, raised."""
    return text.translate(_SUPERSCRIPTS)


def clean(text: str) -> str:
    """The text on one line and safe in any file: line ends, control characters and lone surrogates become visible signs."""
    if text.isprintable():
        return text
    text = re.sub("\r\n?|[\n\u2028\u2029]", "⏎", text)
    return "".join(
        chr(0x2400 + ord(c)) if ord(c) < 32 else "\ufffd" if unicodedata.category(c) in ("Cc", "Cs", "Cn") or c in _TURNS else c
        for c in text
    )


def identifier(name: str) -> str:
    """A function's name as the name of an operation: lambda for <lambda>, f where nothing is left."""
    return re.sub(r"\W+", "", name) or "f"


def wrapped(text: str, width: int = 96) -> str:
    """The text with long lines broken at spaces, and the rest indented by two: JupyterLab would break them inside words.

    No line begins with what follows an equals sign.
    """
    lines = []
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        held = line.replace(" = ", " =\0")
        broken = textwrap.fill(held, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        lines.append(broken.replace("\0", " "))
    return "\n".join(lines)


class Text:
    """Writes a Symbol as text: `1 − tanh²(u)`. With `numbers`, each name is replaced by its number."""

    times, minus, opening, closing, dots = " · ", " − ", "(", ")", "…"

    def __init__(self, digits: int = 4, numbers: bool = False):
        self.digits, self.numbers = digits, numbers

    def __call__(self, s: Symbol) -> str:
        return self.form(s)[0]

    # -- what text and LaTeX share

    def held(self, s: Symbol, level: int) -> str:
        """`s` as an operand: in brackets where it binds less tightly than `level`."""
        text, holds = self.form(s)
        return text if holds >= level else self.opening + text + self.closing

    def added(self, s: Symbol) -> str:
        """`s` as it stands after a plus or minus: in brackets where it begins with a minus."""
        s = s.taken
        if s.rule is MUL and s.args[0] is not s.args[1] and self(s).startswith(("-", "−")):
            return self.held(s.args[0], POWER) + self.times + self.held(s.args[1], POWER)
        text = self.held(s, PRODUCT)
        return self.opening + text + self.closing if text.startswith(("-", "−")) else text

    def form(self, s: Symbol) -> tuple[str, int]:
        """`s` written down, and its precedence."""
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
        """The first two and the last of a long list."""
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
        if y.rule is DIV and y.args[0].literal and y.args[0].number == 1.0:
            whole = y.args[1]
            if x.rule is EXP and len(whole.args) > 1 and any(x is part for part in whole.args) and not self.numbers:
                return self._share(x.args[0].args[0])  # a softmax, without the shift of its exponents
            return self._div(x, whole)
        return self.held(x, PRODUCT) + self.times + self.held(y, POWER), PRODUCT

    def _neg(self, x: Symbol) -> tuple[str, int]:
        return self.negated(self.held(x, POWER)), PRODUCT

    def _sum(self, *xs: Symbol) -> tuple[str, int]:
        return " + ".join(self.shortened([self.held(xs[0], SUM), *map(self.added, xs[1:])])), SUM

    def _dot(self, *args: Symbol) -> tuple[str, int]:
        n, start = len(args) // 2, args[-1]
        terms = [self.added(Symbol(math.nan, None, MUL, pair)) for pair in zip(args[:n], args[n:-1], strict=True)]
        return " + ".join([*self.shortened(terms), *([] if start.literal and start.number == 0 else [self.added(start)])]), SUM

    # -- what Latex overrides

    def number(self, x: float) -> str:
        return number(x, self.digits)

    def name(self, s: Symbol) -> str:
        return str(s.name.text)

    def negated(self, text: str) -> str:
        return "−" + text

    def called(self, name: str, power: str, args: Sequence[Symbol]) -> str:
        return f"{clean(name)}{superscript(power)}({self.arguments(args)})"

    def _share(self, x: Symbol) -> tuple[str, int]:
        return f"exp({self(x)}) / Σ exp(xᵢ)", PRODUCT

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

    def _mod(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        return f"{self.held(x, PRODUCT)} mod {self.held(y, POWER)}", PRODUCT

    def _floordiv(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        return f"⌊{self._div(x, y)[0]}⌋", ATOM

    def _floor(self, x: Symbol) -> tuple[str, int]:
        return f"⌊{self(x)}⌋", ATOM

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
