"""Loop nests for one sample: the lanes hold neighbouring elements of a vector instruction, since there are no other samples.

Every element is computed by the same operations in the same order as in `loops`, so in exact code the bits are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from micrograd.tape.back_ends.llvm.arrays import masked, transposed
from micrograd.tape.back_ends.llvm.function import Function
from micrograd.tape.back_ends.llvm.loops import FEW_TERMS, loop, nest, over_lanes
from micrograd.tape.back_ends.llvm.operands import Index, Kernel, Total, View
from micrograd.tape.back_ends.llvm.spellings import OF_LARGEST, larger, spell
from micrograd.tape.back_ends.llvm.target import DIVISOR
from micrograd.tape.scheduling.positions import operand_of


def writer(it: Kernel, lanes: int) -> Callable[[Function, Kernel], None] | None:
    """The function that writes an instruction with elements in the lanes; None if these are not neighbours."""
    if it.name in OF_LARGEST:
        x = it.args[0]
        whole = x.table is None and x.strides[-1] == 1
        return write_of_largest if whole and it.terms >= 2 * lanes else None
    wide = it.out.table is None and len(it.shape) > 0 and 2 * it.shape[-1] >= lanes
    if not wide or it.name == "take":
        return None
    return write_sum if it.terms else write_elementwise


def side_by_side(out: View, shape: tuple[int, ...], lanes: int) -> bool:
    """Whether enough results are neighbours along the last axis."""
    return out.table is None and len(shape) > 0 and out.strides[len(shape) - 1] == 1 and 2 * shape[-1] >= lanes


def fetch(f: Function, arg: View, at: Sequence[Index], axis: int, count: int) -> str:
    """A vector with `count` elements from `at` on along an axis."""
    t = f.target
    if arg.value is not None:
        return f.number(arg.value)
    found, step = arg, arg.along(axis)
    if step is None and not (arg.step or any(i.terms for i in at)):  # its slots are known
        slots = [f.located(arg, [i + k if a == axis else i for a, i in enumerate(at)]).offset for k in range(count)]
        by = slots[1] - slots[0] if count > 1 else 0
        if by in (0, 1, -1) and slots == [slots[0] + k * by for k in range(count)]:
            found, step = View(arg.place, slots[0], tuple([by if a == axis else 0 for a in range(len(at))])), by
            at = [Index()] * len(at)
    if step == 0:
        return f.splat(f.new(f"load {t.real}, ptr {f.address(arg.place, f.located(found, at) * t.size)}, align {t.size}"))
    if step in (1, -1):
        first = f.located(found, at)
        value = loaded(f, f.address(arg.place, (first if step == 1 else first + (1 - count)) * t.size), count)
        turned = [*reversed(range(count)), *range(count, t.lanes)]
        return value if step == 1 else f.shuffle(value, "poison", t.lanes, turned)
    out = "poison"
    for k in range(count):
        slot = f.located(arg, [i + k if a == axis else i for a, i in enumerate(at)])
        one = f.new(f"load {t.real}, ptr {f.address(arg.place, slot * t.size)}, align {t.size}")
        out = f.new(f"insertelement {t.vector} {out}, {t.real} {one}, i64 {k}")
    return out


def loaded(f: Function, place: str, count: int, others: float = 0.0) -> str:
    """A vector with `count` numbers from memory; the other lanes hold `others`."""
    t = f.target
    if count == t.lanes:
        return f.new(f"load {t.vector}, ptr {place}, align {t.size}")
    rest = f"{masked(f, count)}, {t.vector} {f.number(others)}"
    return f.new(f"call {t.vector} @llvm.masked.load.v{t.lanes}{t.suffix}.p0(ptr {place}, i32 {t.size}, {rest})")


def put(f: Function, place: str, value: str, count: int) -> None:
    """Store the first `count` numbers of a vector."""
    t = f.target
    if count == t.lanes:
        f.do(f"store {t.vector} {value}, ptr {place}, align {t.size}")
        return
    where = f"{t.vector} {value}, ptr {place}, i32 {t.size}, {masked(f, count)}"
    f.do(f"call void @llvm.masked.store.v{t.lanes}{t.suffix}.p0({where})")


def put_at(f: Function, out: View, at: Sequence[Index], value: str, count: int) -> None:
    """Store `count` numbers of a vector as neighbours along the last axis of a result, whose slots may lie apart."""
    t = f.target
    if out.strides[len(at) - 1] == 1 or count == 1:
        put(f, f.address(out.place, f.located(out, at) * t.size), value, count)
        return
    for k in range(count):
        one = f.new(f"extractelement {t.vector} {value}, i64 {k}")
        slot = f.located(out, [*at[:-1], at[-1] + k])
        f.do(f"store {t.real} {one}, ptr {f.address(out.place, slot * t.size)}, align {t.size}")


def vectors(f: Function, first: Sequence[Index], extent: Sequence[int]) -> list[tuple[list[Index], int]]:
    """The vectors of a tile along its last axis: where each begins, and how many numbers it has."""
    n = f.target.lanes
    return [([*first[:-1], first[-1] + k], min(n, extent[-1] - k)) for k in range(0, extent[-1], n)]


def tile_of(f: Function, shape: tuple[int, ...], many: int) -> list[int]:
    """The shape of a tile: `many` vectors of neighbours along the last axis."""
    return [1] * (len(shape) - 1) + [many * f.target.lanes]


def write_elementwise(f: Function, it: Kernel) -> None:
    """One primitive on every element."""
    axis = len(it.shape) - 1

    def tile(first: list[Index], extent: list[int]) -> None:
        for at, count in vectors(f, first, extent):
            value = spell(f, it.name, *[fetch(f, arg, at, axis, count) for arg in it.args])
            put_at(f, it.out, at, value, count)

    nest(f, it.shape, tile_of(f, it.shape, 1 if any(apart(arg, axis) for arg in it.args) else 4), tile)


def write_sum(f: Function, it: Kernel) -> None:
    """start + Σ x y or Σ x for every element; an operand whose neighbours are terms is transposed, block by block."""
    t, axis, dotted = f.target, len(it.shape) - 1, it.name == "dot"
    n, factors = t.lanes, it.args[: 1 + dotted]
    aslant = [arg for arg in factors if turns(arg, axis)] if it.terms >= n else []

    def tile(first: list[Index], extent: list[int]) -> None:
        groups = vectors(f, first, extent)
        begin = [fetch(f, it.args[2], at, axis, count) if dotted else f.number(-0.0) for at, count in groups]

        def added(sums: Sequence[str], xs: Sequence[Sequence[str]]) -> list[str]:
            """One more term in each sum: x y, or x."""
            return [f.multiply_add(x[0], x[1], s) if dotted else f.two("fadd", s, *x) for s, x in zip(sums, xs, strict=True)]

        def term(j: Index, sums: Sequence[str]) -> list[str]:
            seen: dict[int, str] = {}  # factors that all sums share

            def one(arg: View, at: list[Index], count: int) -> str:
                if moves(arg, axis):
                    return fetch(f, arg, [*at, j], axis, count)
                if id(arg) not in seen:
                    seen[id(arg)] = fetch(f, arg, [*at, j], axis, count)
                return seen[id(arg)]

            return added(sums, [[one(arg, at, count) for arg in factors] for at, count in groups])

        def block(j: Index, sums: Sequence[str], many: int = n) -> list[str]:
            """Add as many terms as there are lanes, or fewer."""
            columns = {
                (id(arg), i): transposed(f, [row(arg, at, min(r, count - 1), j, many) for r in range(n)])
                for i, (at, count) in enumerate(groups)
                for arg in aslant
            }
            out = list(sums)
            for k in range(many):
                shared = {id(arg): fetch(f, arg, [*groups[0][0], j + k], axis, n) for arg in factors if not moves(arg, axis)}
                xs = []
                for i, (at, count) in enumerate(groups):
                    xs.append(
                        [
                            columns[id(arg), i][k]
                            if (id(arg), i) in columns
                            else shared.get(id(arg)) or fetch(f, arg, [*at, j + k], axis, count)
                            for arg in factors
                        ]
                    )
                out = added(out, xs)
            return out

        def row(arg: View, at: list[Index], r: int, j: Index, many: int) -> str:
            slot = f.located(arg, [*at[:-1], at[-1] + r, j])
            return loaded(f, f.address(arg.place, slot * t.size), many)

        sums, done = begin, 0
        if aslant:
            done = it.terms - it.terms % n
            with loop(f, done, n, [(t.vector, b) for b in begin]) as (j, values, results):
                results[:] = block(j, values)
            sums = results
            if it.terms - done > 1:
                sums, done = block(Index((), done), sums, it.terms - done), it.terms
        elif it.terms > FEW_TERMS:
            done = it.terms
            with loop(f, done, 1, [(t.vector, b) for b in begin]) as (j, values, results):
                results[:] = term(j, values)
            sums = results
        for k in range(done, it.terms):
            sums = term(Index((), k), sums)
        for (at, count), total in zip(groups, sums, strict=True):
            put_at(f, it.out, at, total, count)

    many = 2 if aslant else 1 if any(apart(arg, axis) for arg in it.args) else max(2, t.sums // 2)
    nest(f, it.shape, tile_of(f, it.shape, many), tile)


def moves(arg: View, axis: int) -> bool:
    """Whether an operand differs along an axis."""
    return arg.value is None and arg.along(axis) != 0


def apart(arg: View, axis: int) -> bool:
    """Whether elements along an axis are not in adjacent slots: they are then fetched one by one, which takes much code."""
    return arg.value is None and arg.along(axis) not in (-1, 0, 1)


def turns(arg: View, axis: int) -> bool:
    """Whether the terms of an operand, and not its elements along the axis, are neighbours."""
    return moves(arg, axis) and arg.table is None and arg.strides[axis] != 1 and arg.strides[-1] == 1


def write_of_largest(f: Function, it: Kernel) -> None:
    """A primitive that looks at its largest operand first, with terms in the lanes; in exact code they are added one by one."""
    t, (x,), n, row = f.target, it.args, f.target.lanes, OF_LARGEST[it.name]
    whole = it.terms - it.terms % n

    def tile(at: list[Index], extent: list[int]) -> None:
        def part(j: Index, count: int = n) -> str:
            return loaded(f, f.address(x.place, f.located(x, [*at, j]) * t.size), count, row.nothing)

        rest = it.terms - whole
        with loop(f, whole, n, [(t.vector, f.number(-math.inf))]) as (j, (top,), out):
            out[0] = larger(f, top, row.size(f, part(j)))
        top = larger(f, out[0], row.size(f, part(Index((), whole), rest))) if rest else out[0]
        by = n
        while by > 1:
            by //= 2
            top = larger(f, top, f.shuffle(top, "poison", n, [i ^ by for i in range(n)]))

        shift = row.begin(f, top)

        def added(sums: Sequence[str], j: Index, count: int = n) -> list[str]:
            total, *others = row.terms(f, part(j, count), shift)
            found = [f.two("fadd", a, b) for a, b in zip(sums[1:], others, strict=True)]
            if not t.exact:
                return [f.two("fadd", sums[0], total), *found]
            by_one = sums[0]
            for k in range(count):
                one = f.new(f"extractelement {t.vector} {total}, i64 {k}")
                by_one = f.new(f"fadd {t.real} {by_one}, {one}")
            return [by_one, *found]

        start = [(t.vector, f.number(0.0))] * row.sums
        if t.exact:
            start[0] = (t.real, "0.0")
        with loop(f, whole, n, start) as (j, sums, out):
            out[:] = added(sums, j)
        found = added(out, Index((), whole), rest) if rest else out
        own = found[:1] if t.exact else []
        totals = [f.splat(total) for total in [*own, *over_lanes(f, found[len(own) :])]]
        put(f, f.address(it.out.place, f.located(it.out, at) * t.size), row.end(f, shift, totals), 1)

    nest(f, it.shape, [1] * len(it.shape), tile)


def write_total(f: Function, it: Total, direct: int) -> None:
    """The terms of one sample in sums over the samples, added to the accumulators.

    If `direct`, which is the number of sums, is not 0, it is the only sample, and they go straight to the array of sums.
    """
    t, axis = f.target, len(it.shape) - 1
    array = f.sums(direct) if direct else "totals"

    def tile(first: list[Index], extent: list[int]) -> None:
        groups = vectors(f, first, extent)
        places = [f.address(array, f.located(it.out, at) * t.size) for at, _ in groups]
        sums = [f.number(0.0) if direct else loaded(f, place, n) for place, (_, n) in zip(places, groups, strict=True)]
        apart = t.exact and it.terms > 1  # the terms of a sample are added first, as it is defined

        def term(j: Index, sums: Sequence[str]) -> list[str]:
            out = []
            for total, (at, count) in zip(sums, groups, strict=True):
                x = fetch(f, it.x, [*at, j], axis, count)
                if it.y is None:
                    out.append(f.two("fadd", total, x))
                else:
                    out.append(f.multiply_add(x, fetch(f, it.y, [*at, j], axis, count), total))
            return out

        found: Any = [f.number(0.0)] * len(groups) if apart else sums
        if it.terms <= FEW_TERMS:
            for k in range(it.terms):
                found = term(Index((), k), found)
        else:
            with loop(f, it.terms, 1, [(t.vector, one) for one in found]) as (j, values, found):
                found[:] = term(j, values)
        if apart:
            found = [f.two("fadd", total, own) for total, own in zip(sums, found, strict=True)]
        for place, total, (_, count) in zip(places, found, groups, strict=True):
            put(f, place, total, count)

    nest(f, it.shape, tile_of(f, it.shape, 4), tile)


def parts(it: Total) -> list[Total]:
    """Sums that are neighbours but for the last of each row (a bias after its weights), split into these and the last ones."""
    if it.out.table is None or not it.shape or it.shape[-1] < 2 or it.x.beyond or (it.y and it.y.beyond):
        return [it]
    n, axis = it.shape[-1] - 1, len(it.shape) - 1
    sides = operand_of(it.out.place, it.out.every(it.shape).reshape(it.shape)[..., :-1])
    if sides.strides is None:
        return [it]
    last = [None if x is None else replace(x, base=x.base + n * x.strides[axis]) for x in (it.out, it.x, it.y)]
    assert last[0] is not None and last[1] is not None
    whole = Total((*it.shape[:-1], n), it.terms, View(it.out.place, sides.base, sides.strides), it.x, it.y)
    return [whole, Total((*it.shape[:-1], 1), it.terms, last[0], last[1], last[2])]


def write_finish(f: Function, many: int) -> None:
    """Write every accumulator, divided by the frame's divisor, to the array of sums."""
    t, array = f.target, f.sums(many)
    divisor = f.splat(f.new(f"load {t.real}, ptr {f.address('frame', Index((), DIVISOR * 8))}, align 8"))

    def tile(first: list[Index], extent: list[int]) -> None:
        for (at,), count in vectors(f, first, extent):
            value = loaded(f, f.address("totals", at * t.size), count)
            put(f, f.address(array, at * t.size), f.new(f"fdiv {t.vector} {value}, {divisor}"), count)

    nest(f, (many,), tile_of(f, (many,), 4), tile)
