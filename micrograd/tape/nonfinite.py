"""Compiled derivatives below an operand that was not chosen: a second tape, run only where the first gives nan or inf.

The tape of a derivative multiplies what was not chosen by 0. That adds nothing, unless what stands there is infinite or
nan; then a result is not finite, and a tape whose products are gated by what was chosen computes it again. So the usual
case costs one look at the results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from micrograd.engine.choices import LARGE, is_tame
from micrograd.tape.back_ends import Program
from micrograd.tape.tape import Tape

Array = np.ndarray[Any, Any]


def may_matter(tape: Tape) -> bool:
    """Whether a tape chooses between operands, and computes something whose derivative may be infinite or nan."""
    rules = {rule for rule, _ in tape.instructions}
    if not any(rule.chooses or rule.is_flat for rule in rules):
        return False
    wild = {rule for rule in rules if not is_tame(rule.name, None)}
    low, numbers = tape.inputs + tape.leaves, tape.constants
    return not all(-LARGE < x < LARGE for x in numbers) or any(
        not (low <= operands[-1] < tape.first and is_tame(rule.name, numbers[operands[-1] - low]))
        for rule, operands in tape.instructions
        if rule in wild
    )


class Gated:
    """A program, and another one for results that are not finite; `make` makes the other when it is first needed."""

    def __init__(self, program: Program, make: Callable[[], Program | None]):
        self.program: Any = program
        self.make = make
        self._other: list[Any] = []  # once it has been made, or found to be none

    def __str__(self) -> str:
        return str(self.program)

    def __call__(self, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Any:
        args = (inputs, leaves, n, mean) if mean else (inputs, leaves, n)  # who asks for a mean knows that it is direct
        found = self.program(*args)
        many = isinstance(found, list)
        if all(np.isfinite(x).all() for x in (found if many else (found,))) or self.other is None:
            return found
        again = self.other(*args)
        return [_mended(x, y) for x, y in zip(found, again, strict=True)] if many else _mended(found, again)

    def single(self, args: tuple[float, ...], leaves: Array) -> list[float]:
        """The outputs for one sample of plain numbers."""
        found: list[float] = self.program.single(args, leaves)
        if all(x - x == 0.0 for x in found) or self.other is None:
            return found
        return [x if x - x == 0.0 else y for x, y in zip(found, self.other.single(args, leaves), strict=True)]

    @property
    def other(self) -> Any:
        """The other program; None where there is none."""
        if not self._other:
            self._other.append(self.make())
        return self._other[0]


def _mended(found: Array, again: Array) -> Array:
    return np.where(np.isfinite(found), found, again)


def gated_twin(tape: Tape, leaves: Sequence[int], record: Callable[[], tuple[Tape, Sequence[int]]]) -> Tape | None:
    """The tape whose products are gated by what was chosen; None where that is the same tape, or takes another path."""
    try:
        twin, used = record()
    except (ArithmeticError, ValueError, TypeError):  # what the function does outside Values may have changed
        return None
    if twin.instructions == tape.instructions or list(used) != list(leaves):
        return None
    decided, again = ([(g.line, g.result) for g in each.guards] for each in (tape, twin))
    return twin if decided == again else None
