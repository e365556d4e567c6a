"""Numerical derivatives of a function of one float, each with how far it may be off.

`verdicts` compares them with the engine's. Steps are tried from a quarter of the argument's size down to neighbouring floats,
with extrapolation, and the one whose slope is most certain is taken. Certainty is relative to the change of the function along
the step. So a function of size 1e-30 is judged like one of size 1. Steps longer than a wave of the function are noticed too,
because there the slopes of two steps differ by as much as the function changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

Function = Callable[[float], float]
EPSILON = 2.0**-52
RESOLVED = 1e-2  # a slope counts as found if its uncertainty is at most this share of the change along its step
SMALLEST = 2.0**-1074  # the smallest positive float, which underflow loses


class Slope(NamedTuple):
    """A numerical derivative (nan where no step gives one), its step, and how far it may be off (`doubt`)."""

    value: float
    step: float
    doubt: float

    def differs(self, analytic: float, tolerance: float) -> bool:
        """Whether `analytic` is farther away than the relative tolerance and the uncertainty together allow; nan is."""
        size = max(math.fabs(analytic), math.fabs(self.value))
        return not math.fabs(analytic - self.value) <= tolerance * size + 8.0 * self.doubt

    @property
    def sure(self) -> bool:
        """Whether it is certain enough to speak of agreement: to a hundredth of itself, or to 1e-6."""
        return self.doubt <= max(0.01 * math.fabs(self.value), 1e-6)


def finest(x: float) -> float:
    """The smallest step from `x` that is of use: to the neighbouring float, or 8e-25 from 0."""
    return math.ulp(x) if x else 2.0**-80


def steps(x: float, largest: float = math.inf) -> Iterator[float]:
    """Steps from `x`, each a quarter of the one before, from a quarter of its size or `largest` down to the finest.

    There are none from an infinity, nor from nan.
    """
    h = min(max(math.fabs(x), 1.0) / 4.0, largest)
    while math.isfinite(x) and h >= finest(x):
        yield h
        h /= 4.0


def slope(f: Function, x: float, size: float = 0.0, largest: float = math.inf) -> Slope:
    """The derivative of `f` at `x` by central differences, extrapolated, with no step larger than `largest`.

    `size` is that of the largest number from which f(x) is computed: its rounding is an error of f(x) too.
    """
    here = f(x)
    resolved: list[tuple[float, Slope]] = []  # each with its uncertainty as a share of the change
    flat: list[Slope] = []
    plain = value = bend = math.nan
    best, worse = math.inf, 0
    for h in steps(x, largest):
        low, high = x - h, x + h  # rounded to floats, so their distance is not just 2h
        left, right = f(low), f(high)
        before, plain = plain, (right - left) / (high - low)
        latest, value = value, plain + (plain - before) / 15.0  # the error falls with h², by 16 from step to step
        wider, bend = bend, math.fabs(left + right - 2.0 * here)
        if not math.isfinite(latest + value + bend):
            continue
        rounding = max(EPSILON * max(math.fabs(left), math.fabs(right), math.fabs(here), size), SMALLEST)
        doubt = math.fabs(value - latest) + rounding / h
        change = math.fabs(right - here) + math.fabs(left - here)
        if change <= 1e3 * rounding:
            flat.append(Slope(value, h, doubt + change / (high - low)))
        part = doubt * (high - low) / change if change > 0.0 else math.inf
        if bend > wider / 8.0 + 8.0 * rounding:  # it falls with h² too, unless a kink or a pole lies between
            part = math.inf
        if part <= RESOLVED:
            resolved.append((part, Slope(value, h, doubt)))
        best, worse = min(best, part), worse + 1 if part > 1e4 * best else 0
        if best <= 1e-6 and worse == 3:  # smaller steps have larger rounding errors
            break
    if resolved:
        bound = max(100.0 * min(resolved)[0], 1e-9)
        return min([s for part, s in resolved if part <= bound], key=lambda s: s.doubt)
    return min(flat, key=lambda s: s.doubt, default=Slope(math.nan, finest(x), math.inf))


class Side(NamedTuple):
    """A function on one side of a point: its limit there, and its slope; nan where none can be found."""

    limit: float
    slope: Slope


def beside(f: Function, x: float, sign: float) -> Side:
    """The limit and the slope of `f` on the right of `x` (`sign` 1) or on its left (-1); f(x) itself is not used."""
    size = max(math.fabs(x), 1.0)
    found = [Slope(math.nan, 0.0, math.inf)]
    plain = value = limit = math.nan
    falling = 0
    for h in steps(x, size / 64.0):
        near, far = x + sign * h, x + 2.0 * sign * h
        if h < 1e-9 * size or near == far:
            break
        a, b = f(near), f(far)
        before, plain = plain, (b - a) / (far - near)
        latest, value = value, plain + (plain - before) / 3.0  # the error falls with h, by 4 from step to step
        if not math.isfinite(latest + value):
            continue
        limit = a - value * (near - x)
        rounding = max(2.0 * EPSILON * max(math.fabs(a), math.fabs(b)), SMALLEST)
        doubt = math.fabs(value - latest) + rounding / h
        falling = falling + 1 if math.fabs(plain) < 0.6 * math.fabs(before) else 0  # to 0, as the slope of |x|**1.5
        if falling > 2 or doubt <= 0.1 * math.fabs(value) or math.fabs(b - a) <= 1e3 * rounding:
            found.append(Slope(value, h, doubt))
    return Side(limit, min(found, key=lambda s: s.doubt))
