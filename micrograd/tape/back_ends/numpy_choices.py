"""Comparisons and selections in the NumPy back end: a comparison keeps a mask of booleans for the selections by it.

Without the mask, each selection would have to compare the result, 1.0 or 0.0 for each sample, with 0.0 again. If a nan is
compared, the result is nan, and so is what is selected by it: a comparison looks for nans, and selections do so only after one
has been seen.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import Any

import numpy as np

from micrograd.primitives import RULES
from micrograd.tape.scheduling.schedule import ROWS, Vector

Array = np.ndarray[Any, Any]
Step = tuple[Callable[..., Any], tuple[Any, ...]]
_COMPARE = {RULES["greater"]: np.greater, RULES["less"]: np.less, RULES["equal"]: np.equal}
_WHERE = RULES["where"]
CHOICES = {*_COMPARE, _WHERE}


class Choices:
    """The masks of one plan. A mask has the same place in an array of booleans as the numbers it belongs to have in `rows`."""

    def __init__(self, rows: Array):
        self.rows = rows
        self.masks: Array | None = None
        self.known = set[int]()  # the rows for which a step makes the mask before; in a loop, a step reads only its own masks
        self.nan = [False]  # whether a nan has been compared in this run

    def steps(self, v: Vector, operands: list[Array], out: Array) -> list[Step]:
        """The steps of a comparison or selection with a result for each sample."""
        if v.rule is not _WHERE:
            self.known.update(v.out.positions(v.shape).ravel().tolist())
            return [(_compare, (_COMPARE[v.rule], *operands, self._mask(out), out, self.nan))]  # type: ignore[index]
        condition, place = operands[0], v.operands[0]
        steps: list[Step] = []
        if place.space == ROWS and place.strides is not None:
            mask, rows = self._mask(condition), {*place.positions(v.shape).ravel().tolist()}
            made = rows <= self.known
            self.known |= rows
        else:
            mask, made = np.empty(condition.shape, bool), False
        if not made:
            steps.append((_hold, (condition, np.zeros(condition.shape, condition.dtype), mask, self.nan)))
        return [*steps, (_select, (mask, *operands, out, self.nan))]

    def _mask(self, numbers: Array) -> Array:
        """The mask for some numbers, which are a view of `rows`."""
        if self.masks is None:
            self.masks = np.empty(self.rows.shape, bool)
        item = self.rows.itemsize
        at = (numbers.__array_interface__["data"][0] - self.rows.__array_interface__["data"][0]) // item
        return np.ndarray(numbers.shape, bool, self.masks, at, tuple([step // item for step in numbers.strides]))


def _compare(compare: Any, x: Array, y: Array, mask: Array, out: Array, nan: list[bool]) -> None:
    compare(x, y, mask)
    np.copyto(out, mask)
    if isnan(x.item(x.argmax())) or isnan(y.item(y.argmax())):  # argmax finds a nan if there is one
        nan[0] = True
        np.copyto(out, np.nan, where=np.isnan(x) | np.isnan(y))


def _hold(condition: Array, zeros: Array, mask: Array, nan: list[bool]) -> None:
    np.greater(condition, zeros, mask)
    if isnan(condition.item(condition.argmax())):
        nan[0] = True


def _select(mask: Array, condition: Array, x: Array, y: Array, out: Array, nan: list[bool]) -> None:
    np.copyto(out, np.where(mask, x, y))
    if nan[0]:
        np.copyto(out, np.nan, where=np.isnan(condition))
