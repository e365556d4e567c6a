"""Values on floats that take more than one call: what rows of the rule book name as theirs. There is no calculus in here."""

import math

inf, nan = math.inf, math.nan


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
