"""The docstrings that help() shows for rows of the rule book: what a row is, its derivatives, its conventions.

`symbol` and `text` come before: the derivatives are the row's own partials, called on symbols. Only the words are written here.
"""

from __future__ import annotations

from typing import NamedTuple

from micrograd.formula.symbol import Symbol, applied, partial
from micrograd.formula.text import Text
from micrograd.primitives import Primitive

WORDS = {  # what the name alone does not say, and the conventions at kinks, ties and the ends of a domain
    "pow": "x to the power y. 0 ** 0 is 1, with derivative 0 in x; at x = 0 the derivatives are the limits, where these exist. "
    "A negative number to a power that is not whole is nan, never complex.",
    "exp": "e to the power x; inf where it overflows.",
    "log": "The natural logarithm: -inf at 0, nan below.",
    "log1p": "log(1 + x), exact for small x.",
    "expm1": "exp(x) - 1, exact for small x.",
    "sqrt": "The square root: nan below 0; the derivative at 0 is inf.",
    "atan2": "The angle of the point (x, y), from -π to π; the derivatives at (0, 0) are nan.",
    "tanh": "The hyperbolic tangent. The derivative is exactly 0 from |x| = 19.1 on.",
    "sigmoid": "1 / (1 + exp(-x)). The derivative is exactly 0 from x = 36.8 on.",
    "relu": "x above 0, else 0; nan stays nan. The derivative is 1 above 0, and 0 at 0 and below: nothing flows back there.",
    "softplus": "log(1 + exp(x)), a smooth relu that does not overflow.",
    "abs": "x without its sign. The derivative at 0 is 0.",
    "sign": "1 above 0, -1 below, 0 at 0. The derivative is 0 everywhere.",
    "step": "1 above 0, else 0. The derivative is 0 everywhere.",
    "maximum": "The larger of two, nan where one is nan. "
    "The derivative is 1 for the larger, 0 for the other, half to each at a tie.",
    "minimum": "The smaller of two, nan where one is nan. "
    "The derivative is 1 for the smaller, 0 for the other, half to each at a tie.",
    "lgamma": "log |Γ(x)|, the logarithm of (x - 1)!; inf at 0, -1, -2, ...",
    "digamma": "The derivative of log Γ(x); nan at -1, -2, ..., infinite at 0.",
    "polygamma": "The derivative of order n of digamma(x), n a whole number from 0 on, else nan.",
    "erf": "The error function, 2/√π times the integral of exp(-t²) from 0 to x.",
    "ndtr": "Φ(x), the distribution function of the normal distribution: how probable a number up to x is.",
    "greater": "1 where x > y, else 0; nan where one is nan. The derivative is 0 everywhere.",
    "less": "1 where x < y, else 0; nan where one is nan. The derivative is 0 everywhere.",
    "equal": "1 where x = y, else 0; nan where one is nan. The derivative is 0 everywhere.",
}


class _Letter(NamedTuple):
    text: str


def described(row: Primitive) -> str:
    """The docstring of a row: how it is written, its entry in `WORDS`, its derivatives."""
    lines = [f"{row.written}: a number for numbers, a Value for Values."]
    if words := WORDS.get(row.name):
        lines.append(words)
    if not row.variadic and row.partials:
        letters = {"atan2": "yx", "power_less": "ncxy", "power_log": "ncxy"}.get(row.name, "xyz"[: len(row.partials)])
        args = tuple([Symbol(0.5 + i, _Letter(letter)) for i, letter in enumerate(letters)])
        out = applied(row, args)
        found = [partial(row, args, out, i) for i in range(len(args))]
        rows = [f"    ∂/∂{x} = {Text()(d)}" for x, d in zip(letters, found, strict=True) if d is not None]
        lines.append("\n".join(["By the rule book:", "", *rows]))
    return "\n\n".join(lines)
