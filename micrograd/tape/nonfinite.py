"""Compiled derivatives below an operand that was not chosen: a second tape, run only where the first gives nan.

The tape of a derivative multiplies what was not chosen by 0. That adds nothing, unless what stands there is infinite or
nan; then a result is nan, and a tape whose products are gated by what was chosen computes it again. So the usual case
costs one look at the results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan
from typing import Any, cast

import numpy as np

from micrograd.tape.back_ends import Direct, Program
from micrograd.tape.tape import Tape

Array = np.ndarray[Any, Any]


def choosing(tape: Tape) -> bool:
    """Whether something is chosen on a tape of derivatives, by a choice or by what is left of one in its derivative."""
    return any(rule.chooses or rule.is_flat for rule in {rule for rule, _ in tape.instructions})


class Twin:
    """A program for what is nan among the results of another; `make` makes it when it is first needed."""

    def __init__(self, make: Callable[[], Program | None]):
        self.make = make
        self._other: list[Direct | None] = []  # once it has been made, or found to be none

    def mended(self, found: Any, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Any:
        """What a program has found, with the other's numbers in the places of nans."""
        if self.other is None:
            return found
        again = self.other(inputs, leaves, n, mean) if mean else self.other(inputs, leaves, n)
        if found.__class__ is list:
            return [np.where(np.isnan(x), y, x) for x, y in zip(found, again, strict=True)]
        return np.where(np.isnan(found), again.reshape(found.shape), found)

    def mended_numbers(self, found: list[float], args: Sequence[float], leaves: Sequence[float]) -> list[float]:
        """The same for one sample of plain numbers, of which none may be nan."""
        total = sum(found)  # nan where one of them is, or where there are infinities of either sign
        if total == total or self.other is None:
            return found
        return [y if isnan(x) else x for x, y in zip(found, self.other.single(args, leaves), strict=True)]

    @property
    def other(self) -> Direct | None:
        """The other program; None where there is none."""
        if not self._other:
            self._other.append(cast("Direct | None", self.make()))
        return self._other[0]


class Gated:
    """A program that does not tell of nan among its results, and its twin."""

    def __init__(self, program: Program, twin: Twin):
        self.program = cast("Direct", program)  # a mean, or a single sample, is asked of a direct one alone
        self.twin = twin

    def __str__(self) -> str:
        return str(self.program)

    def __call__(self, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Any:
        found = self.program(inputs, leaves, n, mean) if mean else self.program(inputs, leaves, n)
        return self.twin.mended(found, inputs, leaves, n, mean) if has_nan(found) else found

    def single(self, args: Sequence[float], leaves: Sequence[float]) -> list[float]:
        """The outputs for one sample of plain numbers."""
        return self.twin.mended_numbers(self.program.single(args, leaves), args, leaves)


def gated(program: Program, twin: Twin) -> Program:
    """A program whose nans its twin computes again: the program itself where it tells of them, else one that looks for them."""
    if not hasattr(program, "twin"):
        return Gated(program, twin)
    program.twin = twin
    return program


def has_nan(found: Array) -> bool:
    """By the largest number, which is a nan where there is one: the quickest look at an array."""
    return found.size > 0 and isnan(found.item(found.argmax()))


def gated_twin(tape: Tape, record: Callable[[], Tape]) -> Tape | None:
    """The tape whose products are gated by what was chosen; None where that is the same tape, or takes another path.

    What the function raises when it runs for it is raised: a nan would not say why it is there.
    """
    twin = record()
    if twin.instructions == tape.instructions:
        return None
    decided, again = ([(g.line, g.result) for g in each.guards] for each in (tape, twin))
    return twin if decided == again else None
