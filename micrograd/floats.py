"""Plain floats: what may stand in for one, and values of rows that take more than one call. There is no calculus in here."""

import math
from numbers import Real
from typing import Any

inf, nan = math.inf, math.nan


def number(x: Any) -> float:
    """`x` as a float: int, float, bool, Fraction or NumPy scalar; TypeError for everything else."""
    kind = type(x).__name__
    if isinstance(x, (float, int, Real)) or (type(x).__module__ == "numpy" and kind.startswith("bool")):
        return float(x)
    if isinstance(x, str):
        what, advice = repr(x), "convert it first, for example with float()"
    elif isinstance(x, complex):
        what, advice = repr(x), "Values are real; take its .real, .imag or abs()"
    elif hasattr(x, "shape"):
        advice = "make one of each element: [Value(e) for e in array]" if len(x.shape) else "take its .item()"
        what, advice = f"of shape {x.shape}", f"a Value is one number; {advice}"
    elif hasattr(x, "grad"):
        what, advice = repr(x), "a Value cannot hold a Value; use it as it is, or v.detach() for a constant copy"
    else:
        what, advice = repr(x)[:60] if x is not None else "", "pass an int, a float or a Value"
    raise TypeError(f"expected a number, got {kind} {what}".rstrip() + f": {advice}")


def divided(x: float, y: float) -> float:  # only reached where y is zero
    return nan if x == 0.0 or x != x else math.copysign(inf, x) * math.copysign(1.0, y)


def power(x: float, y: float) -> float:
    odd = y == math.floor(y) and y % 2.0 == 1.0
    if x < 0.0 and y != math.floor(y):
        return nan
    if x == 0.0:  # y < 0: a pole
        return math.copysign(inf, x) if odd else inf
    return -inf if x < 0.0 and odd else inf  # overflow


def added(*xs: float) -> float:
    total = -0.0  # so that nothing is added to the first: 0.0 + -0.0 is 0.0
    for x in xs:
        total += x
    return total


def dotted(*args: float) -> float:
    total = args[-1]
    for x, y in zip(args, args[len(args) // 2 : -1]):  # noqa: B905 (the inner loop of networks: the first half, then the second)
        total += x * y
    return total


def log_sum_exp(*xs: float) -> float:
    top = max(xs)
    if math.isinf(top):
        return nan if any(x != x for x in xs) else top
    return top + math.log(added(*[math.exp(x - top) for x in xs]))
