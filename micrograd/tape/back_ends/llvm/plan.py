"""A schedule in the words of this back end: kernels and views, arrays of arguments and results.

`schedule` comes before; `module` writes code of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd.primitives import Primitive
from micrograd.tape import schedule
from micrograd.tape.back_ends.llvm.arrays import Rows
from micrograd.tape.back_ends.llvm.operands import Kernel, Total, View
from micrograd.tape.back_ends.llvm.spellings import N_ARY, SPELLINGS, from_library
from micrograd.tape.back_ends.llvm.target import ARRAYS, CHUNK, OUT, ROWS, SHARED, THETA, Target
from micrograd.tape.schedule import Schedule, Vector

Array = np.ndarray[Any, Any]
MANY = 2048  # sums over the samples from which on they are better not kept lane by lane


class Plan:
    """A schedule in the words of `assembly`: what is computed once, what for every sample, and the sums over the samples."""

    def __init__(self, it: Schedule, groups: Sequence[int] = ()):
        self.schedule = it
        self.rows = it.rows
        self.numbers = dict(it.constants)
        self.tables: list[Array] = []
        self.table_size = 0
        self.copies_leaves = False  # some operand lies across the end of the parameters
        self.before: list[Kernel] = []
        self.work: list[Kernel] = []
        self.totals: list[Total] = []
        self.own: dict[tuple[Primitive, int], str] = {}  # names for primitives of the user's own, with so many arguments
        for vector in it.code:
            if vector.over:
                self.totals.append(self.total(vector))
            else:
                (self.before if vector.out.space == SHARED else self.work).append(self.instruction(vector))
        self.inputs = [Rows(i, f.base, f.width) for i, f in enumerate(it.fields) if f.varying and f.width]
        results = [(ROWS if space == schedule.ROWS else SHARED, at) for space, at in it.outputs if space != schedule.TOTALS]
        self.columns: dict[int, list[tuple[int, int]]] = {}  # by array of results: its rows, and the slots they show
        self.same: dict[int, list[tuple[int, int, str]]] = {}  # rows that are the same for all samples
        self.grouped: dict[int, list[int]] = {}  # the slots side by side in the rows of an array
        for number, width in [(ARRAYS + len(it.fields) + i, width) for i, width in enumerate(groups)] or [(OUT, len(results))]:
            own, results = results[:width], results[width:]
            if groups and width > 1:
                self.grouped[number] = [at if space == ROWS else self.spread(at) for space, at in own]
                continue
            self.columns[number] = [(i, at) for i, (space, at) in enumerate(own) if space == ROWS]
            fixed = [(i, at) for i, (space, at) in enumerate(own) if space == SHARED]
            self.same[number] = [(i, at, THETA if at < it.leaves else SHARED) for i, at in fixed]
        self.sums = len(it.outputs) if it.reduce else 0
        self.read = sorted(self.read_by_totals())
        self.tails = self.table(self.read)
        read, filled = set(self.read), dict[str, tuple[list[int], float]]()
        for at, x in it.filled:
            if at in read:
                filled.setdefault(repr(x), ([], x))[0].append(at)
        self.refilled = [(self.table(slots), x) for slots, x in filled.values()]

    def table(self, slots: Sequence[int]) -> View:
        """Rows, one after the other, as an operand."""
        return self.gather(ROWS, np.array(slots, np.int32), (1,))

    def gather(self, place: str, table: Array, strides: tuple[int, ...]) -> View:
        """An operand that finds its slots in a table."""
        self.tables.append(table)
        self.table_size += len(table)
        return View(place, 0, strides, table, table_at=self.table_size - len(table))

    def instruction(self, vector: Vector) -> Kernel:
        name = vector.rule.name if vector.rule is not None else "copy"
        args = tuple(self.operand(o, (*vector.shape, vector.terms)) for o in vector.operands)
        out = self.operand(vector.out, vector.shape)
        if vector.rule is not None and (
            name == "copy" or not (name in SPELLINGS or name in N_ARY or from_library(vector.rule))
        ):
            name = self.own.setdefault((vector.rule, vector.terms or len(args)), f"own{len(self.own)}")
        return Kernel(name, vector.shape, out, args, vector.terms)

    def operand(self, o: schedule.Operand, shape: tuple[int, ...]) -> View:
        """An operand as loads see it; a constant as a number."""
        strides = o.strides
        table = None
        if strides is None:
            assert o.index is not None
            table = np.ascontiguousarray(o.index, np.int32)
            steps = [0 if n == 1 else s // table.itemsize for n, s in zip(table.shape, table.strides, strict=True)]
            axes = len(steps)
            low, high = int(table.min(initial=2**31 - 1)), int(table.max(initial=-1))
            # an index array broadcasts to the shape of its operand: with the axis of terms, or without
            missing = (len(shape) if axes > len(shape) - 1 or axes == len(shape) else len(shape) - 1) - axes
            strides = (0,) * max(0, missing) + tuple(steps)
            table = table.ravel()
        else:
            reach = [s * (n - 1) for s, n in zip(strides, shape, strict=False)]
            low = o.base + sum(r for r in reach if r < 0)
            high = o.base + sum(r for r in reach if r > 0)
        place = ROWS if o.space == ROWS else SHARED
        if o.space == schedule.TOTALS:
            place = "totals"
        if place == SHARED:
            if low == high and low in self.numbers:
                return View(value=self.numbers[low], strides=strides)
            leaves = self.schedule.leaves
            if high < leaves:
                place = THETA
            elif low < leaves:
                self.copies_leaves = True
        if table is None:
            return View(place, o.base, strides)
        return self.gather(place, table, strides)

    def spread(self, at: int) -> int:
        """A new row that holds a shared number for every sample."""
        source = self.operand(schedule.Operand(schedule.SHARED, at, ()), ())
        self.work.append(Kernel("copy", (), View(ROWS, self.rows), (source,)))
        self.rows += 1
        return self.rows - 1

    def shown(self) -> list[int]:
        """The rows that are results."""
        return [at for pairs in self.columns.values() for _, at in pairs] + [at for it in self.grouped.values() for at in it]

    def total(self, vector: Vector) -> Total:
        """A sum over the samples, of operands that all have a number for each sample."""
        shape = (*vector.shape, vector.terms)
        xs = [self.operand(o, shape) for o in vector.operands]
        for i, x in enumerate(xs):
            if x.place != ROWS or x.value is not None:
                strides = tuple(int(np.prod(shape[k + 1 :])) for k in range(len(shape)))
                out = View(ROWS, self.rows, strides)
                self.work.append(Kernel("copy", shape, out, (x,)))
                self.rows += int(np.prod(shape))
                xs[i] = out
        return Total(vector.shape, vector.terms, self.operand(vector.out, vector.shape), xs[0], xs[1] if len(xs) > 1 else None)

    def direct(self, t: Target) -> bool:
        """Whether sums over the samples are too many to be kept lane by lane."""
        return t.block == CHUNK and self.sums > MANY

    def read_by_totals(self) -> set[int]:
        """The rows that sums over the samples read."""
        read: set[int] = set()
        for total in self.totals:
            for x in (total.x, total.y):
                if x is not None:
                    read.update(x.slots((*total.shape, total.terms)).tolist())
        return read
