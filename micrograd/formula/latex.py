r"""Formulas as LaTeX: `1 - \tanh^{2}(u)`; and as Math, which holds text and LaTeX together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from micrograd.formula import text
from micrograd.formula.symbol import ATOM, POWER, PRODUCT, Symbol
from micrograd.formula.text import Text, clean

_KNOWN_TO_LATEX = ("sin", "cos", "tan", "sinh", "cosh", "tanh", "log", "exp")
_SPECIAL_IN_LATEX = {
    "asin": r"\arcsin",
    "acos": r"\arccos",
    "atan": r"\arctan",
    "sigmoid": r"\sigma",
    "maximum": r"\max",
    "minimum": r"\min",
    "digamma": r"\psi",
    "ndtr": r"\Phi",
}


def number(x: float, digits: int) -> str:
    """`x` with `digits` significant digits, as LaTeX; with 17 or more exactly."""
    mantissa, _, exponent = text.number(x, digits).partition("e")
    if exponent:
        mantissa += rf" \times 10^{{{int(exponent)}}}"
    return mantissa.replace("inf", r"\infty").replace("nan", r"\mathrm{nan}")


def words(text: str) -> str:
    r"""Plain words as they may stand in \mathrm{...}."""
    spelled = {" ": r"\ ", "_": r"\_", "%": r"\%", "#": r"\#", "$": r"\$", "&": "and", "{": r"\{", "}": r"\}",
               "\\": r"\backslash ", "^": r"\wedge ", "~": r"\sim "}  # fmt: skip
    return "".join([spelled.get(c, c) for c in text])


class Latex(Text):
    r"""Writes a Symbol as LaTeX: `1 - \tanh^{2}(u)`."""

    times, minus, opening, closing, dots = r" \cdot ", " - ", r"\left(", r"\right)", r"\ldots"

    def number(self, x: float) -> str:
        return number(x, self.digits)

    def name(self, s: Symbol) -> str:
        return str(s.name.latex)

    def negated(self, text: str) -> str:
        return "-" + text

    def called(self, name: str, power: str, args: Sequence[Symbol]) -> str:
        name = clean(name)
        known = f"\\{name}" if name in _KNOWN_TO_LATEX else _SPECIAL_IN_LATEX.get(name)
        name = known or rf"\mathrm{{{words(name)}}}"
        return f"{name}{f'^{{{power}}}' if power else ''}{self.opening}{self.arguments(args)}{self.closing}"

    def _share(self, x: Symbol) -> tuple[str, int]:
        return rf"\frac{{e^{{{self(x)}}}}}{{\sum_{{i}} e^{{x_{{i}}}}}}", POWER

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

    def _polygamma(self, n: Symbol, x: Symbol) -> tuple[str, int]:
        return rf"\psi^{{\left({self(n)}\right)}}{self.opening}{self(x)}{self.closing}", ATOM

    def _mod(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        return rf"{self.held(x, PRODUCT)} \bmod {self.held(y, POWER)}", PRODUCT

    def _floordiv(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        return rf"\left\lfloor {self._div(x, y)[0]} \right\rfloor", ATOM

    def _floor(self, x: Symbol) -> tuple[str, int]:
        return rf"\left\lfloor {self(x)} \right\rfloor", ATOM

    def _sqrt(self, x: Symbol) -> tuple[str, int]:
        return rf"\sqrt{{{self(x)}}}", ATOM

    def _abs(self, x: Symbol) -> tuple[str, int]:
        return rf"\left|{self(x)}\right|", ATOM


class Math(NamedTuple):
    """A piece of mathematics as text and as LaTeX."""

    text: str
    latex: str


def joined(separator: Math, parts: Sequence[Math]) -> Math:
    """The parts in a row, with the separator between them."""
    return Math(separator.text.join([p.text for p in parts]), separator.latex.join([p.latex for p in parts]))


def written_number(x: float, digits: int) -> Math:
    """A number as text and LaTeX, with `digits` significant digits; with 17 or more exactly."""
    return Math(text.number(x, digits), number(x, digits))


def spelled(s: Symbol, digits: int, numbers: bool = False) -> Math:
    """A formula as text and LaTeX; with `numbers`, each name is replaced by its number."""
    return Math(Text(digits, numbers)(s), Latex(digits, numbers)(s))
