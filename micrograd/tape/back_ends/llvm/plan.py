"""The plan: a schedule as kernels on views, and the arrays of arguments and results.

`schedule` comes before; `module` writes code from the plan. A kernel is a vector instruction whose operands are views: where
their numbers lie in one of the arrays that code works on. Shared results may get homes, positions in the order in which they
are returned (`homes`); all operands are then moved there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from micrograd.primitives import Primitive
from micrograd.tape.back_ends.llvm.arrays import Columns, Grouped, Rows
from micrograd.tape.back_ends.llvm.homes import Homes, homes, split
from micrograd.tape.back_ends.llvm.loops import WRITERS
from micrograd.tape.back_ends.llvm.one_sample import apart, turns
from micrograd.tape.back_ends.llvm.operands import Kernel, KernelLoop, Total, View
from micrograd.tape.back_ends.llvm.spellings import SPELLINGS, from_library
from micrograd.tape.back_ends.llvm.target import ARRAYS, CHUNK, OUT, ROWS, SHARED, THETA, Target
from micrograd.tape.back_ends.llvm.terms import runs_of
from micrograd.tape.scheduling import schedule
from micrograd.tape.scheduling.positions import operand_of
from micrograd.tape.scheduling.schedule import Repeat, Schedule, Vector
from micrograd.tape.scheduling.steps import of_rows

Array = np.ndarray[Any, Any]
MANY_SUMS = 2048  # from so many sums over the samples on, it is better not to have accumulators of a vector each


def copies(shape: tuple[int, ...], out: View, x: View) -> list[Kernel]:
    """Copies of an operand to consecutive slots; a gather from a few runs of slots as a copy of each run, with no table."""
    found: list[Kernel] = []
    at = out.base
    for it in runs_of(x.every(shape)[None].astype(np.int64)) if x.table is not None and out.strides[-1:] == (1,) else ():
        from_there = View(x.place, it.firsts[0], (it.apart[0], it.steps[0]))
        found.append(Kernel("copy", (it.many, it.length), View(out.place, at, (it.length, 1)), (from_there,)))
        at += it.many * it.length
    return found or [Kernel("copy", shape, out, (x,))]


def missing(axes: int, shape: tuple[int, ...]) -> int:
    """How many of the first axes of a shape an array with so many axes lacks; it may also lack the last one, for terms."""
    return max(0, (len(shape) if axes >= len(shape) else len(shape) - 1) - axes)


def beside_each_other(index: Array) -> tuple[Array, tuple[int, ...]]:
    """An array of slots reduced to one entry along each axis along which they have equal distances; and these, by axis."""
    beyond = [0] * index.ndim
    for axis, many in enumerate(index.shape):
        if many > 1:
            by = np.diff(index, axis=axis)
            if (by == by.flat[0]).all():
                index, beyond[axis] = index.take([0], axis), int(by.flat[0])
    return index, tuple(beyond) if any(beyond) else ()


def planned(it: Schedule, groups: Sequence[int] = ()) -> Plan:
    """The plan of a schedule; with homes for its results if with these not half as many numbers are fetched one by one."""
    plan = Plan(it, groups)
    if found := homes(it):
        other = Plan(it, groups, found)
        if 2 * other.singly < plan.singly:
            return other
    return plan


class Plan:
    """A schedule as kernels: `before`, what is computed once; `work`, for every sample; `totals`, the sums over the samples."""

    def __init__(self, it: Schedule, groups: Sequence[int] = (), homes: Homes | None = None):
        self.schedule, self.homes = it, homes
        self.rows = it.rows
        self.numbers = dict(it.constants)
        self.tables: list[Array] = []
        self.table_size = 0
        self.copies: dict[int, int] = {}  # for shared slots that are copied to a row, this row
        self.copies_leaves = False  # whether an operand has parameters and other shared numbers
        self.before: list[Kernel | KernelLoop] = []
        self.work: list[Kernel | KernelLoop] = []
        self.totals: list[Total] = []
        self.own: dict[tuple[Primitive, int], str] = {}  # names for the user's own primitives, by number of arguments too
        for number, vector in enumerate(it.code):
            if isinstance(vector, Repeat):
                (self.work if of_rows(vector) else self.before).append(self.loop(vector))
            elif vector.over:
                self.totals.append(self.total(vector))
            else:
                kernel = self.instruction(vector, stays=homes is not None and number in homes.copies)
                if vector.rule is None:
                    kernels = copies(kernel.shape, kernel.out, *kernel.args)
                elif kernel.out.table is None:
                    kernels = [kernel]
                else:
                    parts = split(kernel.shape, [kernel.out, *kernel.args])
                    kernels = [Kernel(kernel.name, shape, views[0], tuple(views[1:])) for shape, views in parts]
                kernels += homes.copied(number) if homes is not None else []
                (self.before if vector.out.space == SHARED else self.work).extend(kernels)
        self.fixed, self.inputs = (self.arguments(varying) for varying in (False, True))
        self.arrays = ARRAYS + len(it.fields) + len(groups)  # entries of the frame
        self.columns: Columns | None = None
        self.same: list[Columns] = []
        self.grouped: list[Grouped] = []
        self.shown: list[int] = []  # the rows that are results
        self.arrange(groups)
        self.sums = len(it.outputs) if it.reduce else 0
        self.read = sorted(self.read_by_totals())
        self.tails = self.table(self.read)
        read = set(self.read)
        self.filled = it.filled
        filled = [(at, x) for at, x in it.filled if at in read]
        end = homes.count if homes is not None else it.shared
        self.shared, self.constants = end + len(filled), list(it.constants)
        self.constants += [(end + i, x) for i, (_, x) in enumerate(filled)]
        self.refilled = (self.table([at for at, _ in filled]), View(SHARED, end, (1,))) if filled else None

    @property
    def singly(self) -> int:
        """How many shared numbers are fetched one by one."""
        kernels = [it for it in self.before if isinstance(it, Kernel) and it.shape]
        pairs = [(it, arg, len(it.shape) - 1) for it in kernels for arg in it.args]
        return sum(it.work for it, arg, axis in pairs if apart(arg, axis) and not turns(arg, axis))

    def arguments(self, varying: bool) -> list[Rows]:
        """The arrays of the arguments, those of one width together."""
        widths: dict[int, list[tuple[int, int]]] = {}
        for i, f in enumerate(self.schedule.fields):
            if f.width and f.varying == varying:
                widths.setdefault(f.width, []).append((ARRAYS + i, f.base))
        return [
            Rows(self.listed(numbers), self.listed(bases), width, len(numbers))
            for width, (numbers, bases) in ((width, zip(*pairs, strict=True)) for width, pairs in widths.items())
        ]

    def arrange(self, groups: Sequence[int]) -> None:
        """Find where results go: to the rows of one array, or to an array for each of `groups`."""
        it = self.schedule
        results = [(ROWS if space == schedule.ROWS else SHARED, at) for space, at in it.outputs if space != schedule.TOTALS]
        first = ARRAYS + len(it.fields)
        rows: list[tuple[int, int, int]] = []  # results that fill a row: number of the array, row, slot
        same: dict[str, list[list[int]]] = {}  # those that all samples share: number of the array, first row, how many, slot
        wide: dict[int, list[tuple[int, list[int]]]] = {}  # by width, arrays of several columns: number, slots
        for number, width in enumerate(groups, first) if groups else [(OUT, len(results))]:
            own, results = results[:width], results[width:]
            if groups and width > 1:
                wide.setdefault(width, []).append((number, self.spread(own)))
                continue
            for row, (space, at) in enumerate(own):
                if space == ROWS:
                    rows.append((number, row, at))
                    continue
                at = at if self.homes is None else int(self.homes.to[at])
                runs = same.setdefault(THETA if at < it.leaves else SHARED, [])
                if runs and runs[-1][0] == number and runs[-1][3] == at and runs[-1][1] + runs[-1][2] == row:
                    runs[-1][2] += 1
                else:
                    runs.append([number, row, 1, at])
        if rows:
            numbers, places, slots = zip(*rows, strict=True)
            self.shown += slots
            self.columns = Columns(self.listed(numbers), self.listed(places), self.listed(slots, ROWS), len(rows))
        for place, runs in same.items():
            numbers, places, repeats, slots = zip(*runs, strict=True)
            shown = self.listed(slots, place)
            self.same.append(Columns(self.listed(numbers), self.listed(places), shown, len(runs), self.listed(repeats)))
        for width, pairs in wide.items():
            self.shown += [slot for _, own in pairs for slot in own]
            beside = self.listed([own for _, own in pairs], ROWS)
            self.grouped.append(Grouped(self.listed([number for number, _ in pairs]), beside, width, len(pairs)))

    def listed(self, numbers: Any, place: str = "") -> View:
        """Integers, such as slots, as a view: with strides if these are constant, else with a table."""
        found = operand_of(place, np.array(numbers, np.int64))
        if found.strides is not None:
            return View(place, found.base, found.strides)
        assert found.index is not None
        table = np.ascontiguousarray(found.index, np.int32)
        return self.gather(place, table.ravel(), tuple(s // table.itemsize for s in table.strides))

    def table(self, slots: Sequence[int]) -> View:
        """Some rows, in order, as an operand."""
        return self.gather(ROWS, np.array(slots, np.int32), (1,))

    def gather(self, place: str, table: Array, strides: tuple[int, ...]) -> View:
        """An operand that reads its slots from a table."""
        self.tables.append(table)
        self.table_size += len(table)
        return View(place, 0, strides, table, table_at=self.table_size - len(table))

    def loop(self, it: Repeat) -> KernelLoop:
        """A loop with everything in its body."""
        arriving, leaving = ([self.instruction(v, it.steps) for v in part] for part in (it.arriving, it.leaving))
        work = [self.loop(v) if isinstance(v, Repeat) else self.instruction(v) for v in it.work]
        return KernelLoop(it.steps, arriving, work, leaving)

    def instruction(self, vector: Vector, steps: int = 1, stays: bool = False) -> Kernel:
        """A vector instruction as a kernel, in a loop of so many `steps`. If it `stays`, its results keep their positions."""
        name = vector.rule.name if vector.rule is not None else "copy"
        full = (*vector.shape, vector.terms)
        args = tuple(self.operand(self.moved(o, full), full, steps) for o in vector.operands)
        out = self.operand(vector.out if stays else self.moved(vector.out, vector.shape), vector.shape, steps)
        if vector.rule is not None and (
            name == "copy" or not (name in SPELLINGS or name in WRITERS or from_library(vector.rule))
        ):
            name = self.own.setdefault((vector.rule, vector.terms or len(args)), f"own{len(self.own)}")
        return Kernel(name, vector.shape, out, args, vector.terms)

    def moved(self, o: schedule.Operand, shape: tuple[int, ...]) -> schedule.Operand:
        """An operand at its new positions, if there are homes."""
        if self.homes is None or o.space != schedule.SHARED:
            return o
        own = shape[: len(o.strides)] if o.strides is not None else o.index.shape  # type: ignore[union-attr]
        found = operand_of(o.space, self.homes.to[o.positions(own)])
        if o.strides is None and found.strides is not None:
            return replace(found, strides=(0,) * missing(len(own), shape) + found.strides)
        return found

    def operand(self, o: schedule.Operand, shape: tuple[int, ...], steps: int = 1) -> View:
        """An operand as a view; if it is one constant, with its value."""
        strides = o.strides
        table, beyond = None, tuple[int, ...]()
        if strides is None:
            assert o.index is not None
            index, beyond = beside_each_other(o.index)
            table = np.ascontiguousarray(index, np.int32)
            along = [0 if n == 1 else s // table.itemsize for n, s in zip(table.shape, table.strides, strict=True)]
            before = (0,) * missing(len(along), shape)
            strides, beyond = before + tuple(along), before + beyond
            table = table.ravel()
            low, high = int(o.index.min(initial=2**31 - 1)), int(o.index.max(initial=-1))
        else:
            reach = [s * (n - 1) for s, n in zip((o.step, *strides), (steps, *shape), strict=False)]
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
            return View(place, o.base, strides, step=o.step, numbers=self.numbers if place == SHARED and not o.step else {})
        found = self.gather(place, table, strides)
        return replace(found, beyond=beyond, numbers=self.numbers if place == SHARED else {})

    def spread(self, results: Sequence[tuple[str, int]]) -> list[int]:
        """The rows of results; shared results get new rows, which hold their number for every sample."""
        shared = [at for space, at in results if space == SHARED]
        missing = [at for at in dict.fromkeys(shared) if at not in self.copies]
        if missing:
            source = self.moved(operand_of(schedule.SHARED, np.array(missing)), (len(missing),))
            self.work.append(
                Kernel("copy", (len(missing),), View(ROWS, self.rows, (1,)), (self.operand(source, (len(missing),)),))
            )
            self.copies.update(zip(missing, range(self.rows, self.rows + len(missing)), strict=True))
            self.rows += len(missing)
        return [at if space == ROWS else self.copies[at] for space, at in results]

    def total(self, vector: Vector) -> Total:
        """A sum over the samples. Operands that are shared are copied to rows, so that all have a number for each sample."""
        shape = (*vector.shape, vector.terms)
        xs = [self.operand(o, shape) for o in vector.operands]
        for i, x in enumerate(xs):
            if x.place != ROWS or x.value is not None:
                strides = tuple(int(np.prod(shape[k + 1 :])) for k in range(len(shape)))
                out = View(ROWS, self.rows, strides)
                self.work += copies(shape, out, x)
                self.rows += int(np.prod(shape))
                xs[i] = out
        return Total(vector.shape, vector.terms, self.operand(vector.out, vector.shape), xs[0], xs[1] if len(xs) > 1 else None)

    def direct(self, t: Target) -> bool:
        """Whether sums over the samples go straight to their array: for one sample, or many sums in blocks of a whole chunk."""
        return t.single or (t.block == CHUNK and self.sums > MANY_SUMS)

    def read_by_totals(self) -> set[int]:
        """The rows that sums over the samples read."""
        read: set[int] = set()
        for total in self.totals:
            for x in (total.x, total.y):
                if x is not None:
                    read.update(x.slots((*total.shape, total.terms)).tolist())
        return read
