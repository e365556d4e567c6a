"""Loops: one loop, and nests of loops over the elements of a vector instruction and over samples.

`loop` writes one, and nests are made of it. In a nest, a tile of results is kept in registers. For one sample, `one_sample` has
loop nests with elements in the lanes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from micrograd.tape.back_ends.llvm.function import Function
from micrograd.tape.back_ends.llvm.operands import Index, Kernel, Total, View, turned, turned_view
from micrograd.tape.back_ends.llvm.spellings import OF_LARGEST, larger, spell
from micrograd.tape.back_ends.llvm.target import ROWS

FEW_TERMS = 4  # up to so many terms, a sum is written without a loop over the terms,
UNROLLED = 32  # and up to so many terms a sum over the samples
CHAINS = 4  # how many sums a loop over terms adds to in turn, so that no addition waits for the one before it


@contextmanager
def loop(
    f: Function, count: int | str, step: int, carried: list[tuple[str, str]]
) -> Iterator[tuple[Index, list[str], list[str]]]:
    """Write a loop from 0 to `count`, whose body is what the block of the `with` statement writes.

    `carried` are LLVM's type and the first value of what goes from step to step. The block gets the counter, the names of
    these values, and a list in which it puts the names of their next values; after the loop, the list has the last ones.
    """
    head, after, before = f.label(), f.label(), f.block
    f.do(f"br label %{head}")
    f.start(head)
    i = f"%i{f.counter}"
    slot = len(f.lines)
    values = []
    for _ in carried:
        f.counter += 1
        values.append(f"%v{f.counter}")
    results = list(values)
    f.addresses.append({})
    yield Index(((i, 1),)), values, results
    f.addresses.pop()
    phis = [f"  {i} = phi i64 [ 0, %{before} ], [ {i}.next, %{f.block} ]"]
    for name, (kind, first), last in zip(values, carried, results, strict=True):
        phis.append(f"  {name} = phi {kind} [ {first}, %{before} ], [ {last}, %{f.block} ]")
    f.lines[slot:slot] = phis
    f.do(f"{i}.next = add nuw nsw i64 {i}, {step}")
    more = f.new(f"icmp ult i64 {i}.next, {count}")
    f.do(f"br i1 {more}, label %{head}, label %{after}")
    f.start(after)


def loop_that_may_be_empty(f: Function, count: str, body: Callable[[str, str], str], first: str = "null") -> None:
    """Write a loop from 0 to `count`, which may be 0.

    An address goes from step to step, beginning with `first`. The body gets the counter and the address, and gives the next
    address; without `first` there is none.
    """
    head, inside, after, before = f.label(), f.label(), f.label(), f.block
    f.do(f"br label %{head}")
    f.start(head)
    i, at, slot = f"%i{f.counter}", f"%at{f.counter}", len(f.lines)
    f.do(f"br i1 {f.new(f'icmp ult i64 {i}, {count}')}, label %{inside}, label %{after}")
    f.start(inside)
    f.addresses.append({})
    following = body(i, at)
    f.addresses.pop()
    f.do(f"{i}.next = add nuw nsw i64 {i}, 1")
    f.do(f"br label %{head}")
    phis = [f"  {i} = phi i64 [ 0, %{before} ], [ {i}.next, %{f.block} ]"]
    phis += [f"  {at} = phi ptr [ {first}, %{before} ], [ {following}, %{f.block} ]"] if first != "null" else []
    f.lines[slot:slot] = phis
    f.start(after)


def nest(
    f: Function, shape: Sequence[int], tiles: Sequence[int], body: Callable[[list[Index], list[int]], None], at: Any = ()
) -> None:
    """Write loops over the tiles of `shape`, with `body(first position, extent)` for each; the rest of an axis is one too."""
    depth = len(at)
    if depth == len(shape):
        body([i for i, _ in at], [n for _, n in at])
        return
    n, tile = shape[depth], min(tiles[depth], shape[depth])
    whole = n - n % tile
    if whole == tile:
        nest(f, shape, tiles, body, (*at, (Index(), tile)))
    elif whole:
        with loop(f, whole, tile, []) as (i, _, _):
            nest(f, shape, tiles, body, (*at, (i, tile)))
    if n % tile:
        nest(f, shape, tiles, body, (*at, (Index((), whole), n % tile)))


def positions(first: Sequence[Index], extent: Sequence[int]) -> Iterator[tuple[Index, ...]]:
    """Every element of a tile."""
    for offset in np.ndindex(*extent):
        yield tuple(i + int(o) for i, o in zip(first, offset, strict=True))


def over_samples(f: Function, unroll: int, body: Callable[[list[Index]], object]) -> None:
    """Write a loop over the samples of a block; `body` is given where `unroll` vectors of samples begin."""
    step = unroll * f.target.lanes
    if f.target.block == step:
        body([Index((), u * f.target.lanes) for u in range(unroll)])
        return
    with loop(f, f.target.block, step, []) as (s, _, _):
        body([s + u * f.target.lanes for u in range(unroll)])


def vectors_at_once(f: Function, most: int) -> int:
    """How many vectors of a block are worked on at once: a power of two, at most `most`, that divides their number."""
    vectors, n = f.target.block // f.target.lanes, 1
    while n * 2 <= most and vectors % (n * 2) == 0:
        n *= 2
    return n


def write_elementwise(f: Function, it: Kernel) -> None:
    """One primitive on every element, in loops."""
    u = vectors_at_once(f, 4)
    tiles = [1] * len(it.shape)
    if tiles:
        tiles[-1] = max(1, 4 // u)

    def samples(places: list[Index]) -> None:
        def tile(first: list[Index], extent: list[int]) -> None:
            for at in positions(first, extent):
                slots = [f.located(a, at) for a in it.args]
                out = f.located(it.out, at)
                for s in places:
                    f.store(it.out, out, s, spell(f, it.name, *[f.load(a, i, s) for a, i in zip(it.args, slots, strict=True)]))

        nest(f, it.shape, tiles, tile)

    over_samples(f, u, samples)


def write_sum(f: Function, it: Kernel) -> None:
    """start + Σ x y or Σ x for every element: a tile of sums at a time, the terms from left to right."""
    dotted = it.name == "dot"
    u = vectors_at_once(f, 4 if f.target.sums >= 16 else 1)
    tiles = [1] * len(it.shape)
    if tiles:
        tiles[-1] = max(1, f.target.sums // u)

    def samples(places: list[Index]) -> None:
        def tile(first: list[Index], extent: list[int]) -> None:
            spots = list(positions(first, extent))
            zero = f.number(-0.0)  # the first term is added to this: a zero keeps its sign
            begin = []
            for at in spots:
                if not dotted:
                    begin += [zero] * len(places)
                    continue
                slot = f.located(it.args[2], at)
                if it.args[2].place == ROWS or it.args[2].value is not None:
                    begin += [f.load(it.args[2], slot, s) for s in places]
                else:
                    begin += [f.load(it.args[2], slot, Index())] * len(places)

            def term(j: Index, sums: Sequence[str]) -> list[str]:
                seen: dict[Any, str] = {}

                def fetch(arg: View, at: tuple[Index, ...], s: Index) -> str:
                    i = f.located(arg, (*at, j))
                    key = (id(arg), i, s if arg.place == ROWS else None)
                    if key not in seen:
                        seen[key] = f.load(arg, i, s)
                    return seen[key]

                out = []
                for n, at in enumerate(spots):
                    for m, s in enumerate(places):
                        total, x = sums[n * len(places) + m], fetch(it.args[0], at, s)
                        out.append(f.multiply_add(x, fetch(it.args[1], at, s), total) if dotted else f.two("fadd", total, x))
                return out

            if it.terms <= FEW_TERMS:
                sums = begin
                for k in range(it.terms):
                    sums = term(Index((), k), sums)
            else:
                with loop(f, it.terms, 1, [(f.target.vector, b) for b in begin]) as (j, values, results):
                    results[:] = term(j, values)
                sums = results
            for n, at in enumerate(spots):
                out = f.located(it.out, at)
                for m, s in enumerate(places):
                    f.store(it.out, out, s, sums[n * len(places) + m])

        nest(f, it.shape, tiles, tile)

    over_samples(f, u, samples)


def write_total(f: Function, it: Total, direct: int) -> None:
    """Sums over the samples of a block, a tile of them at a time, added to the accumulators, which have a number for each lane.

    If `direct`, which is the number of sums, is not 0, a block is a chunk, and the sums go straight to the array of sums.
    """
    t = f.target
    array = f.sums(direct) if direct else ""
    if len(it.shape) > 1 and it.shape[-1] > it.shape[-2]:  # the longer axis becomes the outer loop: its operand is read once
        it = Total(turned(it.shape), it.terms, *(a and turned_view(a, len(it.shape)) for a in (it.out, it.x, it.y)))  # type: ignore[arg-type]
    tiles = [1] * len(it.shape)
    if len(tiles) > 1:
        tiles[-2:] = [2, 2] if t.sums < 8 else [2, 4] if t.sums < 16 else [4, 4]
    elif tiles:
        tiles[0] = min(8, t.sums)

    def tile(first: list[Index], extent: list[int]) -> None:
        spots = list(positions(first, extent))
        rows = [f.located(it.out, at) * ((1 if direct else t.lanes) * t.size) for at in spots]
        begin = [f.number(0.0)] * len(rows)
        if not direct:
            begin = [f.new(f"load {t.vector}, ptr {f.address('totals', row)}, align {t.size}") for row in rows]

        def plus(total: str, at: tuple[Index, ...], s: Index, seen: dict[Any, str]) -> str:
            def fetch(arg: View) -> str:
                i = f.located(arg, at)
                key = (id(arg), i, s)
                if key not in seen:
                    seen[key] = f.load(arg, i, s)
                return seen[key]

            x = fetch(it.x)
            return f.two("fadd", total, x) if it.y is None else f.multiply_add(x, fetch(it.y), total)

        def added(sums: Sequence[str], s: Index) -> list[str]:
            """The sums with the terms of one vector of samples."""
            found, seen = list(sums), dict[Any, str]()
            for j in range(it.terms):
                found = [plus(total, (*at, Index((), j)), s, seen) for total, at in zip(found, spots, strict=True)]
            return found

        def apart(places: Sequence[Index]) -> list[list[str]]:
            """The sums over the terms of some vectors of samples: from left to right if `exact`, as defined, else in parts."""
            parts = 1 if t.exact else max(1, CHAINS // (len(places) * len(spots)))
            many, every = it.terms - it.terms % parts, [(s, at) for s in places for at in spots]

            def terms(values: Sequence[str], k: Index, parts: int) -> list[str]:
                seen: dict[Any, str] = {}
                pairs = [(k + p, *one) for p in range(parts) for one in every]
                return [plus(total, (*at, j), s, seen) for total, (j, s, at) in zip(values, pairs, strict=False)]

            zeros = [(t.vector, f.number(0.0))] * (parts * len(every))
            with loop(f, many, parts, zeros) as (k, values, results):
                results[:] = terms(values, k, parts)
            found = results
            for j in range(many, it.terms):
                found = [*terms(found, Index((), j), 1), *found[len(every) :]]
            while len(found) > len(every):
                half = len(found) // 2
                found = [f.two("fadd", a, b) for a, b in zip(found[:half], found[half:], strict=True)]
            return [found[i : i + len(spots)] for i in range(0, len(found), len(spots))]

        def over(places: Sequence[Index], sums: Sequence[str]) -> list[str]:
            if it.terms > UNROLLED:
                groups = apart(places)
            elif t.exact and it.terms > 1:
                groups = [added([f.number(0.0)] * len(sums), s) for s in places]
            else:
                for s in places:
                    sums = added(sums, s)
                return list(sums)
            for own in groups:
                sums = [f.two("fadd", total, one) for total, one in zip(sums, own, strict=True)]
            return list(sums)

        u = vectors_at_once(f, max(1, CHAINS // len(spots))) if it.terms > UNROLLED else 1
        if t.block == u * t.lanes:
            sums = over([Index((), k * t.lanes) for k in range(u)], begin)
        else:
            with loop(f, t.block, u * t.lanes, [(t.vector, b) for b in begin]) as (s, values, results):
                results[:] = over([s + k * t.lanes for k in range(u)], values)
            sums = results
        if not direct:
            for total, row in zip(sums, rows, strict=True):
                f.do(f"store {t.vector} {total}, ptr {f.address('totals', row)}, align {t.size}")
            return
        for total, row in zip(over_lanes(f, sums), rows, strict=True):
            f.do(f"store {t.real} {total}, ptr {f.address(array, row)}, align {t.size}")

    nest(f, it.shape, tiles, tile)


def over_lanes(f: Function, vectors: Sequence[str], divisor: str = "") -> list[str]:
    """The sum over the lanes of each vector, neighbours first; as many vectors as there are lanes are added at once.

    If a `divisor` is given, a vector with one number in all lanes, the sums are divided by it.
    """
    t, found = f.target, list[str]()
    if t.lanes == 1:
        return [f.new(f"fdiv {t.real} {x}, {divisor}") if divisor else x for x in vectors]
    for start in range(0, len(vectors), t.lanes):
        group = list(vectors[start : start + t.lanes])
        many, pairs = len(group), t.lanes
        while pairs > 1:
            pairs //= 2
            group += group[-1:] * (len(group) % 2 if len(group) > 1 else 1)
            even, odd = (range(k, 2 * t.lanes, 2) for k in (0, 1))
            group = [
                f.new(f"fadd {t.vector} {f.shuffle(a, b, t.lanes, even)}, {f.shuffle(a, b, t.lanes, odd)}")
                for a, b in zip(group[::2], group[1::2], strict=True)
            ]
        if divisor:
            group = [f.new(f"fdiv {t.vector} {group[0]}, {divisor}")]
        found += [f.new(f"extractelement {t.vector} {group[0]}, i64 {i}") for i in range(many)]
    return found


def write_of_largest(f: Function, it: Kernel) -> None:
    """A primitive that looks at its largest operand first, for every element."""
    row = OF_LARGEST[it.name]

    def samples(places: list[Index]) -> None:
        def tile(first: list[Index], extent: list[int]) -> None:
            for at in positions(first, extent):

                def fetch(j: Index, at: tuple[Index, ...] = at) -> str:
                    return f.load(it.args[0], f.located(it.args[0], (*at, j)), places[0])

                with loop(f, it.terms, 1, [(f.target.vector, f.number(-math.inf))]) as (j, (top,), out):
                    out[0] = larger(f, top, row.size(f, fetch(j)))
                shift = row.begin(f, out[0])
                with loop(f, it.terms, 1, [(f.target.vector, f.number(0.0))] * row.sums) as (j, sums, out):
                    out[:] = [f.two("fadd", a, b) for a, b in zip(sums, row.terms(f, fetch(j), shift), strict=True)]
                f.store(it.out, f.located(it.out, at), places[0], row.end(f, shift, out))

        nest(f, it.shape, [1] * len(it.shape), tile)

    over_samples(f, 1, samples)


def write_take(f: Function, it: Kernel) -> None:
    """table[index] for every element, lane by lane."""

    def samples(places: list[Index]) -> None:
        def tile(first: list[Index], extent: list[int]) -> None:
            for at in positions(first, extent):
                index = f.load(it.args[0], f.located(it.args[0], at), places[0])
                f.store(it.out, f.located(it.out, at), places[0], chosen(f, it, index, at, places[0]))

        nest(f, it.shape, [1] * len(it.shape), tile)

    over_samples(f, 1, samples)


def chosen(f: Function, it: Kernel, index: str, at: tuple[Index, ...], s: Index) -> str:
    """The entries of a table that the lanes of `index` choose; an index beyond the table chooses its last entry."""
    t, table = f.target, it.args[1]
    if table.value is not None:  # one constant in all places
        return f.number(table.value)
    out = "poison"
    for lane in range(t.lanes):
        one = index if t.lanes == 1 else f.new(f"extractelement {t.vector} {index}, i64 {lane}")
        whole = f.new(f"call i64 @llvm.fptoui.sat.i64.{t.suffix}({t.real} {one})")
        k = f.new(f"call i64 @llvm.umin.i64(i64 {whole}, i64 {it.terms - 1})")
        slot = f.located(table, (*at, Index(((k, 1),))))
        bytes_at = f.lanes_at(slot, s + lane) if table.place == ROWS else slot * t.size
        value = f.new(f"load {t.real}, ptr {f.address(table.place, bytes_at)}, align {t.size}")
        out = value if t.lanes == 1 else f.new(f"insertelement {t.vector} {out}, {t.real} {value}, i64 {lane}")
    return out


WRITERS: dict[str, Callable[[Function, Kernel], None]] = {  # for primitives of any number of operands; see also `spell_one`
    "sum": write_sum,
    "dot": write_sum,
    **dict.fromkeys(OF_LARGEST, write_of_largest),
    "take": write_take,
}
