"""Learning rates that change from step to step: plain functions from the number of steps done to a rate.

Every optimiser takes one in the place of a number, eagerly and in a block of training; any function of one's own will do.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from micrograd.nn.arguments import whole
from micrograd.nn.optim import Rate, not_negative
from micrograd.primitives import number

Schedule = Callable[[int], float]


def constant_schedule(lr: float) -> Schedule:
    """The same rate at every step.

    >>> constant_schedule(0.1)(1000)
    0.1
    """
    rate = not_negative("lr", lr)
    return _named("constant_schedule", lambda step: rate)


def step_schedule(lr: float, every: int, factor: float = 0.1) -> Schedule:
    """`lr`, multiplied by `factor` after each `every` steps.

    >>> [step_schedule(1.0, every=2, factor=0.5)(i) for i in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    rate, by, n = not_negative("lr", lr), not_negative("factor", factor), count("every", every)
    return _named("step_schedule", lambda step: rate * by ** (step // n))


def cosine_schedule(lr: float, steps: int, end: float = 0.0) -> Schedule:
    """Half a wave of the cosine from `lr` to `end` (Loshchilov and Hutter, 2017), which is kept from step `steps` on.

    >>> [round(cosine_schedule(1.0, 4)(i), 4) for i in range(6)]
    [1.0, 0.8536, 0.5, 0.1464, 0.0, 0.0]
    """
    rate, last, n = not_negative("lr", lr), not_negative("end", end), count("steps", steps)
    return _named("cosine_schedule", lambda step: _cosine(rate, last, min(step, n) / n))


def warmup_schedule(lr: Rate, steps: int) -> Schedule:
    """A straight line up in `steps` steps, 1 / steps of the rate first; then `lr`, a number or a schedule of its own count.

    >>> [warmup_schedule(1.0, 4)(i) for i in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    n = count("steps", steps)
    after: Schedule = lr if callable(lr) else constant_schedule(lr)
    return _named("warmup_schedule", lambda step: after(0) * (step + 1) / n if step < n else after(step - n))


def one_cycle_schedule(lr: float, steps: int, up: float = 0.3, start: float = 25.0, end: float = 1e4) -> Schedule:
    """From lr / start up to `lr` in the fraction `up` of all steps, then down to lr / (start end) (Smith and Topin, 2018).

    Both ways are half waves of the cosine, as in PyTorch's OneCycleLR.

    >>> f = one_cycle_schedule(1.0, steps=10)
    >>> [round(f(i), 4) for i in (0, 2, 9)]
    [0.04, 1.0, 0.0]
    """
    rate, n = not_negative("lr", lr), count("steps", steps)
    first, last = rate / not_negative("start", start), rate / (start * not_negative("end", end))
    if not 0 < up < 1 or n < 2:
        raise ValueError(f"one_cycle_schedule needs 0 < up < 1 and at least two steps, got up={up!r} and steps={steps!r}")
    top = up * n - 1

    def at(step: int) -> float:
        if step <= top and top > 0:
            return _cosine(first, rate, step / top)
        return _cosine(rate, last, (min(step, n - 1) - top) / (n - 1 - top))

    return _named("one_cycle_schedule", at)


def _cosine(a: float, b: float, part: float) -> float:
    return b + (a - b) * (1 + math.cos(math.pi * part)) / 2


def count(name: str, n: int) -> int:
    """`n` as an int; ValueError where it is no whole number from 1 on."""
    if (found := whole(n)) is None or found < 1:
        raise ValueError(f"{name} must be a whole number from 1 on, got {n!r}")
    return found


def _named(name: str, f: Schedule) -> Schedule:
    def at(step: int) -> float:
        if not number(step, name) >= 0.0:
            raise ValueError(f"{name} takes the number of a step, from 0 on, got {step!r}")
        return f(step)

    at.__name__ = name  # which the repr of an optimiser shows
    return at
