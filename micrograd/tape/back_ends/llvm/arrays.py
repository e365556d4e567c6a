"""Arguments and results: copies from arrays, whose rows are samples, to slots, whose lanes are samples, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from micrograd.tape.back_ends.llvm.function import Function
from micrograd.tape.back_ends.llvm.loops import loop, nest, over_lanes, over_samples, vectors_at_once
from micrograd.tape.back_ends.llvm.nans import write_look, write_told
from micrograd.tape.back_ends.llvm.operands import Index, View, runs
from micrograd.tape.back_ends.llvm.target import COUNT, DIVISOR, ROWS, SHARED


def transposed(f: Function, rows: list[str]) -> list[str]:
    """Vectors, as many as they have lanes, with rows and lanes exchanged."""
    n, d = len(rows), 1
    while d < n:
        swapped = list(rows)
        for i in range(n):
            if not i & d:
                j = i | d
                swapped[i] = f.shuffle(rows[i], rows[j], n, [n + k - d if k & d else k for k in range(n)])
                swapped[j] = f.shuffle(rows[i], rows[j], n, [n + k if k & d else k + d for k in range(n)])
        rows, d = swapped, d * 2
    return rows


@dataclass(frozen=True)
class Rows:
    """Arguments: arrays of one width. `numbers` are their entries in the frame, `bases` the slots of their first columns."""

    numbers: View
    bases: View
    width: int
    count: int

    def each(self) -> Iterator[tuple[int, int]]:
        """The arrays one by one: number and base."""
        return ((self.numbers.slot((i,)), self.bases.slot((i,))) for i in range(self.count))


@dataclass(frozen=True)
class Columns:
    """Results that fill a row of an array each: the array's entry in the frame, the row, and the slot of the result.

    A result that is the same for all samples fills `repeats` rows, beginning with its own.
    """

    numbers: View
    rows: View
    slots: View
    count: int
    repeats: View | None = None

    def each(self) -> Iterator[tuple[int, int, int]]:
        """The results one by one: number, row and slot."""
        return ((self.numbers.slot((i,)), self.rows.slot((i,)), self.slots.slot((i,))) for i in range(self.count))


@dataclass(frozen=True)
class Grouped:
    """Arrays of results of one width, a row for each sample: their entries in the frame, and the slots of their columns."""

    numbers: View
    slots: View
    width: int
    count: int

    def each(self) -> Iterator[tuple[int, list[int]]]:
        """The arrays one by one: number and slots."""
        return ((self.numbers.slot((i,)), [self.slots.slot((i, k)) for k in range(self.width)]) for i in range(self.count))


def write_single_rows(f: Function, it: Rows) -> None:
    """Copy `count` rows, number by number; the remaining lanes repeat the last row."""
    t = f.target
    last = f.new("sub i64 %count, 1")

    def one(at: list[Index], extent: list[int]) -> None:
        array, base = f.pointer(f.located(it.numbers, at)), f.located(it.bases, at)
        if t.block == 1:
            copy(f, f.address(ROWS, base * t.size), f.address(array, Index((("%first", it.width * t.size),))), it.width)
            return
        with loop(f, t.block, 1, []) as (s, _, _):
            row = f.new(f"add i64 %first, {f.new(f'call i64 @llvm.umin.i64(i64 {s.terms[0][0]}, i64 {last})')}")
            with loop(f, it.width, 1, []) as (i, _, _):
                source = f.address(array, Index(((row, it.width * t.size),)) + i * t.size)
                value = f.new(f"load {t.real}, ptr {source}, align {t.size}")
                f.do(f"store {t.real} {value}, ptr {f.address(ROWS, f.lanes_at(i + base, s))}, align {t.size}")

    nest(f, [it.count], [1], one)


def tiles_of(width: int, lanes: int) -> list[int]:
    """The first column of each tile in which rows are transposed. A tile has as many columns as lanes; the last may overlap."""
    return list(dict.fromkeys([*range(0, width - lanes + 1, lanes), max(0, width - lanes)]))


def masked(f: Function, width: int) -> str:
    """The mask with which only the first `width` lanes are loaded or stored."""
    n = f.target.lanes
    return f"<{n} x i1> <{', '.join(f'i1 {int(i < width)}' for i in range(n))}>"


def columns_in(f: Function, width: int, array: str, column: Index, s: Index) -> list[str]:
    """The vectors of the columns from `column` on, at most as many as there are lanes, for the samples from `s` on."""
    t, n = f.target, f.target.lanes
    corner = Index((("%first", width * t.size),)) + s * (width * t.size) + column * t.size
    if width <= 2:
        ends = [f.address(array, corner + k * n * t.size) for k in range(width)]
        parts = [f.new(f"load {t.vector}, ptr {end}, align {t.size}") for end in ends]
        return parts if width == 1 else [f.shuffle(parts[0], parts[1], n, range(k, 2 * n, 2)) for k in range(2)]
    ends = [f.address(array, corner + k * width * t.size) for k in range(n)]
    load = f"load {t.vector}, ptr {{}}, align {t.size}"
    if width < n:
        what = f"ptr {{}}, i32 {t.size}, {masked(f, width)}, {t.vector} zeroinitializer"
        load = f"call {t.vector} @llvm.masked.load.v{n}{t.suffix}.p0({what})"
    return transposed(f, [f.new(load.format(end)) for end in ends])[:width]


def write_rows(f: Function, it: Rows) -> None:
    """Copy a whole block of rows, transposed tile by tile."""
    t, width, n = f.target, it.width, f.target.lanes
    if n == 1:
        write_single_rows(f, it)
        return

    def one(number: list[Index], extent: list[int]) -> None:
        array, base = f.pointer(f.located(it.numbers, number)), f.located(it.bases, number)

        def samples(places: list[Index]) -> None:
            def tile(at: list[Index], extent: list[int]) -> None:
                for k, value in enumerate(columns_in(f, width, array, at[0], places[0])):
                    to = f.address(ROWS, f.lanes_at(at[0] + base + k, places[0]))
                    f.do(f"store {t.vector} {value}, ptr {to}, align {t.size}")

            tiles(f, width, tile)

        over_samples(f, 1, samples)

    nest(f, [it.count], [1], one)


def tiles(f: Function, width: int, body: Callable[[list[Index], list[int]], None]) -> None:
    """Write a loop over tiles of as many columns as there are lanes; the last may overlap."""
    n = f.target.lanes
    if width > n:
        nest(f, [width - width % n], [n], body)
    if width % n or width == n:
        body([Index((), max(0, width - n))], [])


def write_no_tail(f: Function, slots: View) -> None:
    """Write zeros to the lanes beyond `count` of some slots, so that they add nothing to sums over the samples."""
    t = f.target
    left = f.new(f"sub i64 {t.block}, %count")
    with loop(f, slots.count, 1, []) as (i, _, _):
        slot = f.located(slots, [i])
        with loop(f, left, 1, []) as (s, _, _):
            at = f.address(ROWS, f.lanes_at(slot, s + Index((("%count", 1),))))
            f.do(f"store {t.real} 0.0, ptr {at}, align {t.size}")


def write_filled(f: Function, slots: View, numbers: View) -> None:
    """Fill each of some rows with a shared number."""
    with loop(f, slots.count, 1, []) as (i, _, _):
        slot, value = f.located(slots, [i]), f.load(numbers, f.located(numbers, [i]), Index())

        def samples(places: list[Index]) -> None:
            for s in places:
                f.store(slots, slot, s, value)

        over_samples(f, vectors_at_once(f, 4), samples)


def write_clear(f: Function, numbers: int) -> None:
    """Write zeros to the accumulators."""
    f.do(f"call void @llvm.memset.p0.i64(ptr %totals, i8 0, i64 {numbers * f.target.size}, i1 false)")


def copy(f: Function, to: str, source: str, numbers: int) -> None:
    """Copy some numbers from one address to another."""
    f.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {to}, ptr {source}, i64 {numbers * f.target.size}, i1 false)")


def write_finish(f: Function, many: int) -> None:
    """Write the sum over the lanes of every accumulator, divided by the frame's divisor, to the array of sums."""
    t, array = f.target, f.sums(many)
    divisor = f.splat(f.new(f"load {t.real}, ptr {f.address('frame', Index((), DIVISOR * 8))}, align 8"))

    def tile(first: list[Index], extent: list[int]) -> None:
        spots = [first[0] + k for k in range(extent[0])]
        step = t.lanes * t.size
        vectors = [f.new(f"load {t.vector}, ptr {f.address('totals', i * step)}, align {t.size}") for i in spots]
        for i, value in zip(spots, over_lanes(f, vectors, divisor), strict=True):
            f.do(f"store {t.real} {value}, ptr {f.address(array, i * t.size)}, align {t.size}")

    nest(f, [many], [t.lanes], tile)


def count_of(f: Function) -> str:
    """How many samples the call has."""
    return f.new(f"load i64, ptr {f.address('frame', Index((), COUNT * 8))}, align 8")


def column_start(f: Function, row: Index, count: str) -> Index:
    """The byte at which a row of an array of results begins."""
    size = f.target.size
    if not row.terms:
        return Index(((count, row.offset * size),)) if row.offset else Index()
    return Index(((f.new(f"mul i64 {f.integer(row)}, {count}"), size),))


def write_columns(f: Function, it: Columns, part: bool) -> None:
    """Copy slots to rows of arrays of results, for a whole block of samples or `part` of one."""
    t, count = f.target, count_of(f)

    def one(at: list[Index], extent: list[int]) -> None:
        array, slot = f.pointer(f.located(it.numbers, at)), f.located(it.slots, at)
        start = column_start(f, f.located(it.rows, at), count) + Index((("%first", t.size),))
        if part:
            with loop(f, "%count", 1, []) as (s, _, _):
                value = f.new(f"load {t.real}, ptr {f.address(ROWS, f.lanes_at(slot, s))}, align {t.size}")
                f.do(f"store {t.real} {value}, ptr {f.address(array, start + s * t.size)}, align {t.size}")
            return

        def samples(places: list[Index]) -> None:
            for s in places:
                value = f.load(View(ROWS), slot, s)
                f.do(f"store {t.vector} {value}, ptr {f.address(array, start + s * t.size)}, align {t.size}")

        over_samples(f, vectors_at_once(f, 4), samples)

    nest(f, [it.count], [1], one)


def rows_out(f: Function, array: str, corner: Index, column: Index, width: int, values: Sequence[str]) -> None:
    """Store vectors of columns, from `column` on, in rows of `width` numbers from `corner` on: as many rows as lanes."""
    t, n = f.target, f.target.lanes
    if width == 2:
        for k in range(2):
            mixed = f.shuffle(values[0], values[1], n, [i // 2 + k * n // 2 + n * (i % 2) for i in range(n)])
            f.do(f"store {t.vector} {mixed}, ptr {f.address(array, corner + k * n * t.size)}, align {t.size}")
        return
    store = f"store {t.vector} {{}}, ptr {{}}, align {t.size}"
    if width < n:
        store = f"call void @llvm.masked.store.v{n}{t.suffix}.p0({t.vector} {{}}, ptr {{}}, i32 {t.size}, {masked(f, width)})"
    for k, row in enumerate(transposed(f, [*values, *[f.number(0.0)] * (n - len(values))])):
        f.do(store.format(row, f.address(array, corner + (column + k * width) * t.size)))


def write_rows_out(f: Function, it: Grouped, part: bool) -> None:
    """Copy slots to columns of arrays of results, for a whole block of samples or `part` of one."""
    t, width, n = f.target, it.width, f.target.lanes
    first = Index((("%first", width * t.size),))

    def one(at: list[Index], extent: list[int]) -> None:
        array = f.pointer(f.located(it.numbers, at))
        if part or n == 1:
            with loop(f, "%count", 1, []) as (s, _, _), loop(f, width, 1, []) as (column, _, _):
                slot = f.lanes_at(f.located(it.slots, [*at, column]), s)
                value = f.new(f"load {t.real}, ptr {f.address(ROWS, slot)}, align {t.size}")
                to = f.address(array, first + s * (width * t.size) + column * t.size)
                f.do(f"store {t.real} {value}, ptr {to}, align {t.size}")
            return

        def samples(places: list[Index]) -> None:
            def tile(column: list[Index], extent: list[int]) -> None:
                slots = [f.located(it.slots, [*at, column[0] + k]) for k in range(min(n, width))]
                values = [f.load(View(ROWS), slot, places[0]) for slot in slots]
                rows_out(f, array, first + places[0] * (width * t.size), column[0], width, values)

            tiles(f, width, tile)

        over_samples(f, 1, samples)

    nest(f, [it.count], [1], one)


def write_fixed(f: Function, it: Rows) -> None:
    """Copy the arrays that are the same for all samples to their shared slots."""
    t = f.target

    def one(at: list[Index], extent: list[int]) -> None:
        array, base = f.pointer(f.located(it.numbers, at)), f.located(it.bases, at)
        copy(f, f.address(SHARED, base * t.size), f"%{array}", it.width)

    nest(f, [it.count], [1], one)


def write_same(f: Function, it: Columns) -> None:
    """Fill rows of arrays of results with shared numbers; for a single sample, runs of them are copied at once."""
    t, count = f.target, count_of(f)
    assert it.repeats is not None
    repeats, some, none = it.repeats, f.label(), f.label()
    shape = (it.count,)
    numbers, rows, slots = it.numbers.every(shape), it.rows.every(shape), it.slots.every(shape)
    found = runs(rows + (numbers.astype(np.int64) << 32), slots) if (repeats.every(shape) == 1).all() else []
    if found:
        alone, several = f.label(), f.label()
        f.do(f"br i1 {f.new(f'icmp eq i64 {count}, 1')}, label %{alone}, label %{several}")
        f.start(alone)
        for first, end in found:
            array, start = f.pointer(Index((), int(numbers[first]))), Index((), int(rows[first]) * t.size)
            source = f.address(it.slots.place, Index((), int(slots[first]) * t.size))
            copy(f, f.address(array, start), source, end - first)
            if t.telling:
                write_look(f, it.slots.place, Index((), int(slots[first]) * t.size), end - first)
        f.do(f"br label %{none}")
        f.start(several)
    f.do(f"br i1 {f.new(f'icmp ugt i64 {count}, 0')}, label %{some}, label %{none}")
    f.start(some)

    def one(at: list[Index], extent: list[int]) -> None:
        array, value = f.pointer(f.located(it.numbers, at)), f.load(it.slots, f.located(it.slots, at), Index())
        if t.telling:
            write_told(f, value)
        start = column_start(f, f.located(it.rows, at), count)
        with loop(f, f.new(f"mul i64 {f.integer(f.located(repeats, at))}, {count}"), 1, []) as (s, _, _):
            f.do(f"store {t.real} {value}, ptr {f.address(array, start + s * t.size)}, align {t.size}")

    nest(f, [it.count], [1], one)
    f.do(f"br label %{none}")
    f.start(none)


def write_look_at_rows(f: Function, columns: Columns | None, grouped: Sequence[Grouped], part: bool) -> None:
    """Report if a result of a whole block of samples, or of `part` of one, is nan."""
    t = f.target
    total = count_of(f) if columns else ""

    def beside(width: int) -> int | str:
        if not part:
            return t.block * width
        return "%count" if width == 1 else f.new(f"mul i64 %count, {width}")

    def column(at: list[Index], extent: list[int]) -> None:
        assert columns is not None
        start = column_start(f, f.located(columns.rows, at), total) + Index((("%first", t.size),))
        write_look(f, f.pointer(f.located(columns.numbers, at)), start, beside(1))

    if columns is not None:
        nest(f, [columns.count], [1], column)
    for it in grouped:

        def rows(at: list[Index], extent: list[int], it: Grouped = it) -> None:
            start = Index((("%first", it.width * t.size),))
            write_look(f, f.pointer(f.located(it.numbers, at)), start, beside(it.width))

        nest(f, [it.count], [1], rows)
