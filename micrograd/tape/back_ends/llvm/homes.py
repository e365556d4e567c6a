"""Homes: the results of a call lie in memory in the order in which they are returned, and not in that of computing them.

`plan` uses this. The order of returning is regular: derivatives by the entries of a matrix form a matrix, and later derivatives
read its rows and columns. They may be computed in an irregular order, here a row and there a column; if they also lay in that
order, rows and columns could not be read as vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from micrograd.tape.back_ends.llvm.operands import Kernel, View, runs
from micrograd.tape.back_ends.llvm.target import SHARED
from micrograd.tape.back_ends.llvm.terms import Runs, runs_of
from micrograd.tape.scheduling import schedule
from micrograd.tape.scheduling.positions import operand_of
from micrograd.tape.scheduling.schedule import Schedule, Vector

Array = np.ndarray[Any, Any]
MANY_RESULTS = 64  # with fewer results, it is not tried
PARTS = 4  # the results of one vector instruction may consist of so many views
LAYERS = 3  # how many copies of the order there are: for the results, for functions of one result, for functions of those


@dataclass(frozen=True)
class Homes:
    """The new positions of shared numbers, by the old ones, and how many positions there are.

    The results of some vector instructions cannot be written there directly. For these, by their number in the code, `copies`
    has the old and the new positions between which they are copied.
    """

    to: Array
    count: int
    copies: dict[int, tuple[Array, Array]]

    def copied(self, number: int) -> list[Kernel]:
        """The copies that follow a vector instruction."""
        if number not in self.copies:
            return []
        old, new = self.copies[number]
        shape = (len(old),)
        parts = split(shape, [View(SHARED, 0, (1,), places) for places in (new, old)])
        return [Kernel("copy", part, out, (source,)) for part, (out, source) in parts]


def homes(it: Schedule) -> Homes | None:
    """Homes for the results of a schedule; None if they lie in order anyway, or not all are shared, or there are loops.

    A number that is a function of one such result, for example its negative, gets a position in the same order.
    """
    outputs = np.array([at for space, at in it.outputs if space == schedule.SHARED], np.int64)
    code = [v for v in it.code if isinstance(v, Vector)]
    if len(outputs) < MANY_RESULTS or len(outputs) < len(it.outputs) or len(code) < len(it.code) or runs(outputs):
        return None
    many, to, own = len(outputs), np.arange(it.shared), np.full(it.shared, -1)
    own[outputs[::-1]] = np.arange(many)[::-1]  # if a number is returned twice, its first place counts
    taken = np.zeros(LAYERS * many + 1, bool)
    taken[-1] = True
    copies: dict[int, tuple[Array, Array]] = {}
    for number, v in enumerate(code):
        if v.out.space != schedule.SHARED or v.rule is None:
            continue
        old = v.out.positions(v.shape).ravel()
        new = own[old]
        if len(v.operands) == 1 and not v.terms and v.operands[0].space == schedule.SHARED:
            beside = to[v.operands[0].positions(v.shape).ravel()] - it.shared
            new = np.where((new < 0) & (beside >= 0), np.minimum(beside + many, LAYERS * many), new)
        some = (new >= 0) & ~taken[new]
        if not some.any():
            continue
        taken[new[some]], new = True, new + it.shared
        whole = bool(some.all()) and operand_of("", new.reshape(v.shape)).strides is not None
        if not whole and not (some.all() and not v.terms and len(parts_of(new)) in range(1, PARTS + 1)):
            copies[number] = old[some], new[some]
        to[old[some]] = new[some]
    return Homes(to, it.shared + LAYERS * many, copies)


def parts_of(*slots: Array) -> list[Runs]:
    """Some rows of slots as runs that they have in common; an empty list if these are too many."""
    if len(slots[0]) > 1:
        return runs_of(np.array(slots, np.int64))
    still = (0,) * len(slots)
    return [Runs(1, 1, tuple(int(x[0]) for x in slots), still, still)]


def split(shape: tuple[int, ...], views: list[View]) -> list[tuple[tuple[int, ...], list[View]]]:
    """Views over a shape, split into parts in which no view needs a table, if these parts are few."""
    out: list[tuple[tuple[int, ...], list[View]]] = []
    for part in parts_of(*[view.every(shape) for view in views if view.value is None]):
        along = iter(zip(part.firsts, part.apart, part.steps, strict=True))
        of_part = []
        for view in views:
            first, apart, step = next(along) if view.value is None else (0, 0, 0)
            of_part.append(View(view.place, first, (apart, step), None, view.value, numbers=view.numbers))
        out.append(((part.many, part.length), of_part))
    return out or [(shape, views)]
