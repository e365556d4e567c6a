"""Compiled derivatives below an operand that was not chosen: a second tape, run only if the first gives nan.

The tape of a derivative multiplies what was not chosen by 0. That adds nothing, unless the other factor is infinite or nan:
then the result is nan. A second, gated tape, in which such products are left out, computes it again. So in the usual case all
that this costs is one look at the results for nan.
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
    """Whether a tape of derivatives has a choice, such as `where`, or what a derivative leaves of one, such as `step`."""
    return any(rule.chooses or rule.is_flat for rule in {rule for rule, _ in tape.instructions})


class Twin:
    """A program of the gated tape, for results of another program that are nan; `make` makes it when it is first needed."""

    def __init__(self, make: Callable[[], Program | None]):
        self.make = make
        self._other: list[Direct | None] = []  # empty until `make` has been called

    def mended(self, found: Any, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Any:
        """The results `found` of the first program, with those of the gated one in the places of nans."""
        if self.other is None:
            return found
        again = self.other(inputs, leaves, n, mean) if mean else self.other(inputs, leaves, n)
        if found.__class__ is list:
            return [np.where(np.isnan(x), y, x) for x, y in zip(found, again, strict=True)]
        return np.where(np.isnan(found), again.reshape(found.shape), found)

    def mended_numbers(self, found: list[float], args: Sequence[float], leaves: Sequence[float]) -> list[float]:
        """The same for one sample of plain numbers; mostly none of them is nan."""
        total = sum(found)  # nan if one of them is, or if there are infinities of both signs
        if total == total or self.other is None:
            return found
        return [y if isnan(x) else x for x, y in zip(found, self.other.single(args, leaves), strict=True)]

    @property
    def other(self) -> Direct | None:
        """The program of the gated tape; None if there is no such tape."""
        if not self._other:
            self._other.append(cast("Direct | None", self.make()))
        return self._other[0]


class Gated:
    """A program that does not report nan among its results by itself, and its twin."""

    def __init__(self, program: Program, twin: Twin):
        self.program = cast("Direct", program)  # a mean, or a single sample, is asked of a direct one alone
        self.twin = twin

    def __str__(self) -> str:
        return str(self.program)

    def __call__(self, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Any:
        found = self.program(inputs, leaves, n, mean) if mean else self.program(inputs, leaves, n)
        return self.twin.mended(found, inputs, leaves, n, mean) if has_nan(found) else found

    def single(self, args: Sequence[float], leaves: Sequence[float] = ()) -> list[float]:
        """The outputs for one sample of plain numbers."""
        return self.twin.mended_numbers(self.program.single(args, leaves), args, leaves)


def gated(program: Program, twin: Twin) -> Program:
    """A program that has its twin compute nans again: the same one if it can report them, else one that looks for them."""
    if not hasattr(program, "twin"):
        return Gated(program, twin)
    program.twin = twin
    return program


def has_nan(found: Array) -> bool:
    """Whether an array has a nan: then argmax finds one, which is the quickest way to look."""
    return found.size > 0 and isnan(found.item(found.argmax()))


def gated_twin(tape: Tape, record: Callable[[], Tape]) -> Tape | None:
    """The tape in which products with what was not chosen are left out; None if it is the same tape, or takes another path.

    An error that the function raises in this second run is passed on: a nan would not say why it is there.
    """
    twin = record()
    if twin.instructions == tape.instructions:
        return None
    decided, again = ([(g.line, g.result) for g in each.guards] for each in (tape, twin))
    return twin if decided == again else None
