"""Arguments and results: from arrays whose rows are samples to slots whose lanes are, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from micrograd.tape.back_ends.llvm.function import Function
from micrograd.tape.back_ends.llvm.loops import nest, over_lanes, over_samples, unrolled
from micrograd.tape.back_ends.llvm.operands import Index, View
from micrograd.tape.back_ends.llvm.target import ARRAYS, COUNT, DIVISOR, ROWS, SHARED, Target


def transposed(f: Function, rows: list[str]) -> list[str]:
    """As many vectors as they have lanes, with rows and lanes exchanged."""
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
    """An array from outside: its number in the frame, and the slots from `base` on that its columns fill."""

    number: int
    base: int
    width: int


def write_single_rows(f: Function, it: Rows) -> None:
    """Copies of `count` rows, number by number; the lanes that are left repeat the last row."""
    t = f.target
    array = f.pointer(ARRAYS + it.number)
    last = f.new("sub i64 %count, 1")
    with f.loop(t.block, 1, []) as (s, _, _):
        row = f.new(f"add i64 %first, {f.new(f'call i64 @llvm.umin.i64(i64 {s.terms[0][0]}, i64 {last})')}")
        with f.loop(it.width, 1, []) as (i, _, _):
            source = f.address(array, Index(((row, it.width * t.size),)) + i * t.size)
            value = f.new(f"load {t.real}, ptr {source}, align {t.size}")
            f.do(f"store {t.real} {value}, ptr {f.address(ROWS, f.lanes_at(i + it.base, s))}, align {t.size}")


def tiles_of(width: int, lanes: int) -> list[int]:
    """The first columns of the tiles that rows are turned round in, each of as many as one has lanes; the last may overlap."""
    return list(dict.fromkeys([*range(0, width - lanes + 1, lanes), max(0, width - lanes)]))


def masked(f: Function, width: int) -> str:
    """The operand that says that only the first `width` lanes are loaded or stored."""
    n = f.target.lanes
    return f"<{n} x i1> <{', '.join(f'i1 {int(i < width)}' for i in range(n))}>"


def columns_in(f: Function, it: Rows, array: str, column: Index, s: Index) -> list[str]:
    """The vectors of the columns from `column` on, up to as many as one has lanes, of the rows from place `s` on."""
    t, width, n = f.target, it.width, f.target.lanes
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
    """Copies of a whole block of rows, tile by tile of vectors turned round."""
    t, width, n = f.target, it.width, f.target.lanes
    if n == 1:
        write_single_rows(f, it)
        return
    array = f.pointer(ARRAYS + it.number)

    def samples(places: list[Index]) -> None:
        def tile(at: list[Index], _: list[int]) -> None:
            for k, value in enumerate(columns_in(f, it, array, at[0], places[0])):
                to = f.address(ROWS, f.lanes_at(at[0] + (it.base + k), places[0]))
                f.do(f"store {t.vector} {value}, ptr {to}, align {t.size}")

        if width > n:
            nest(f, [width - width % n], [n], tile)
        if width % n or width == n:
            tile([Index((), max(0, width - n))], [])

    over_samples(f, 1, samples)


def write_no_tail(f: Function, slots: View) -> None:
    """Zeros for the lanes beyond `count` of the slots in a table, so that they add nothing to sums over the samples."""
    t = f.target
    left = f.new(f"sub i64 {t.block}, %count")
    with f.loop(slots.count, 1, []) as (i, _, _):
        slot = f.located(slots, [i])
        with f.loop(left, 1, []) as (s, _, _):
            at = f.address(ROWS, f.lanes_at(slot, s + Index((("%count", 1),))))
            f.do(f"store {t.real} 0.0, ptr {at}, align {t.size}")


def write_filled(f: Function, slots: View, x: float) -> None:
    """The same number for all samples, in each of the slots in a table."""
    with f.loop(slots.count, 1, []) as (i, _, _):
        slot = f.located(slots, [i])

        def samples(places: list[Index]) -> None:
            for s in places:
                f.store(slots, slot, s, f.number(x))

        over_samples(f, unrolled(f, 4), samples)


def write_clear(f: Function, numbers: int) -> None:
    """Zeros in the accumulators: a whole number of vectors of them."""
    t = f.target
    with f.loop(numbers, t.lanes, []) as (i, _, _):
        f.do(f"store {t.vector} zeroinitializer, ptr {f.address('totals', i * t.size)}, align {t.size}")


def write_finish(f: Function, many: int) -> None:
    """The sum over the lanes of every accumulator, divided, into the array of sums."""
    t, array = f.target, f.sums(many)
    divisor = f.splat(f.new(f"load {t.real}, ptr {f.address('frame', Index((), DIVISOR * 8))}, align 8"))

    def tile(first: list[Index], extent: list[int]) -> None:
        spots = [first[0] + k for k in range(extent[0])]
        step = t.lanes * t.size
        vectors = [f.new(f"load {t.vector}, ptr {f.address('totals', i * step)}, align {t.size}") for i in spots]
        for i, value in zip(spots, over_lanes(f, vectors, divisor), strict=True):
            f.do(f"store {t.real} {value}, ptr {f.address(array, i * t.size)}, align {t.size}")

    nest(f, [many], [t.lanes], tile)


def column_start(number: int, t: Target, count: str) -> Index:
    """Where this block's part of a row of an array of results begins."""
    return Index((("%first", t.size), (count, number * t.size)) if number else (("%first", t.size),))


def write_columns(f: Function, array_number: int, slots: Sequence[tuple[int, int]], part: bool) -> None:
    """The numbers of slots, each one after the other, as rows of an array of results: pairs of its row and the slot."""
    t = f.target
    array = f.pointer(array_number)
    count = f.new(f"load i64, ptr {f.address('frame', Index((), COUNT * 8))}, align 8")
    for number, slot in slots:
        start = column_start(number, t, count)
        if part:
            with f.loop("%count", 1, []) as (s, _, _):
                value = f.new(f"load {t.real}, ptr {f.address(ROWS, f.lanes_at(Index((), slot), s))}, align {t.size}")
                f.do(f"store {t.real} {value}, ptr {f.address(array, start + s * t.size)}, align {t.size}")
            continue

        def samples(places: list[Index], slot: int = slot, start: Index = start) -> None:
            for s in places:
                value = f.load(View(ROWS), Index((), slot), s)
                f.do(f"store {t.vector} {value}, ptr {f.address(array, start + s * t.size)}, align {t.size}")

        over_samples(f, unrolled(f, 4), samples)


def rows_out(f: Function, array: str, corner: Index, column: int, width: int, values: Sequence[str]) -> None:
    """Vectors of columns, from `column` on, into rows of `width` that begin at `corner`: as many rows as one has lanes."""
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


def write_rows_out(f: Function, number: int, slots: Sequence[int], part: bool) -> None:
    """The numbers of slots, side by side in the rows of an array: a whole block of rows, or `part` of one."""
    t, width, n = f.target, len(slots), f.target.lanes
    array = f.pointer(number)
    first = Index((("%first", width * t.size),))
    if part or n == 1:
        with f.loop("%count", 1, []) as (s, _, _):
            for column, slot in enumerate(slots):
                value = f.new(f"load {t.real}, ptr {f.address(ROWS, f.lanes_at(Index((), slot), s))}, align {t.size}")
                at = first + s * (width * t.size) + column * t.size
                f.do(f"store {t.real} {value}, ptr {f.address(array, at)}, align {t.size}")
        return

    def samples(places: list[Index]) -> None:
        for column in tiles_of(width, n):
            values = [f.load(View(ROWS), Index((), slot), places[0]) for slot in slots[column : column + n]]
            rows_out(f, array, first + places[0] * (width * t.size), column, width, values)

    over_samples(f, 1, samples)


def write_fixed(f: Function, number: int, base: int, width: int) -> None:
    """The numbers of an array that is the same for all samples, copied to where shared numbers are."""
    t = f.target
    array = f.pointer(number)
    with f.loop(width, 1, []) as (i, _, _):
        value = f.new(f"load {t.real}, ptr {f.address(array, i * t.size)}, align {t.size}")
        f.do(f"store {t.real} {value}, ptr {f.address(SHARED, (i + base) * t.size)}, align {t.size}")


def write_same(f: Function, array_number: int, slots: Sequence[tuple[int, int, str]]) -> None:
    """Shared numbers as rows of an array of results, the same for all samples: triples of row, slot and place."""
    t = f.target
    array = f.pointer(array_number)
    count = f.new(f"load i64, ptr {f.address('frame', Index((), COUNT * 8))}, align 8")
    for number, slot, place in slots:
        value = f.new(f"load {t.real}, ptr {f.address(place, Index((), slot * t.size))}, align {t.size}")
        some, none = f.label(), f.label()
        f.do(f"br i1 {f.new(f'icmp ugt i64 {count}, 0')}, label %{some}, label %{none}")
        f.start(some)
        with f.loop(count, 1, []) as (s, _, _):
            at = s * t.size + (Index(((count, number * t.size),)) if number else 0)
            f.do(f"store {t.real} {value}, ptr {f.address(array, at)}, align {t.size}")
        f.do(f"br label %{none}")
        f.start(none)
        f.addresses.append({})  # what was computed in a branch is not known after it
