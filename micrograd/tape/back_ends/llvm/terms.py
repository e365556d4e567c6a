"""A sum of many terms, for one sample, if its order is free: terms are in the lanes, in the order of their slots.

A sum from left to right is a chain, in which every addition waits for the one before it. Here terms are added to some vectors
of partial sums in turn, and these are then added pairwise, as sums over samples are. Terms that lie in runs need no table of
slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from micrograd.tape.back_ends import LONG
from micrograd.tape.back_ends.llvm.arrays import masked
from micrograd.tape.back_ends.llvm.function import Function
from micrograd.tape.back_ends.llvm.loops import loop, over_lanes
from micrograd.tape.back_ends.llvm.one_sample import fetch, put
from micrograd.tape.back_ends.llvm.operands import Index, Kernel, View
from micrograd.tape.back_ends.llvm.target import Target

Array = np.ndarray[Any, Any]
# The lanes hold the terms of a sum if there are fewer sums than FEW_SUMS, else neighbouring sums. From LONGER terms on, up to
# SOME_SUMS have their terms in the lanes: sums that share a vector wait for each other's terms.
FEW_SUMS, SOME_SUMS, LONGER = 4, 8, 2 * LONG
PARTS = 16  # the most groups of runs for which code is written
VECTORS = 4  # how many vectors of partial sums there are


def many_terms(it: Kernel, t: Target) -> bool:
    """Whether an instruction for one sample is a few sums of many terms, and their order is free."""
    long = not t.exact and it.name in ("sum", "dot") and it.terms >= LONG
    return long and (t.by_tape or it.elements < FEW_SUMS or (it.elements <= SOME_SUMS and it.terms >= LONGER))


@dataclass(frozen=True)
class Runs:
    """`many` runs of `length` terms. For each factor: the first slot, and the distances from run to run and within a run."""

    many: int
    length: int
    firsts: tuple[int, ...]
    apart: tuple[int, ...]
    steps: tuple[int, ...]


def runs_of(slots: Array) -> list[Runs]:
    """The terms as runs, from `slots` with a row for each factor and a column for each term; an empty list if too many."""
    count = slots.shape[1]
    moves = np.diff(slots, axis=1)
    edges = np.flatnonzero((moves[:, 1:] != moves[:, :-1]).any(axis=0)).tolist()  # the last of each run of equal moves
    single: list[tuple[int, int]] = []  # first and length
    at = 0
    for edge in [*edges, count - 2]:
        if edge < at:
            continue
        single.append((at, edge + 2 - at))
        at = edge + 2
        if len(single) > max(PARTS, count // 8):
            return []
    if at < count:
        single.append((at, count - at))
    found: list[Runs] = []
    for first, length in single:
        firsts = tuple(slots[:, first].tolist())
        steps = tuple(moves[:, first].tolist()) if length > 1 else (0,) * len(slots)
        if found and (before := found[-1]).length == length and before.steps == steps:
            apart = tuple([b - a - (before.many - 1) * m for a, b, m in zip(before.firsts, firsts, before.apart, strict=True)])
            if before.many == 1 or apart == before.apart:
                found[-1] = Runs(before.many + 1, length, before.firsts, apart, steps)
                continue
        found.append(Runs(1, length, firsts, (0,) * len(slots), steps))
        if len(found) > PARTS:
            return []
    return found


def slots_of(arg: View, at: Sequence[int], terms: int) -> Array:
    """The slots of the terms of one sum."""
    first, past = (sum(i * by for i, by in zip(at, each, strict=False)) for each in (arg.strides, arg.beyond))
    one = replace(arg, base=arg.base + first, strides=arg.strides[-1:], beyond=arg.beyond[-1:])
    return one.every((terms,)).astype(np.int64) + past


def pieces(it: Kernel, at: Sequence[int]) -> list[tuple[int, int, list[View]]]:
    """The terms of one sum as runs: how many, their length, and views of the factors; an empty list if they are too many."""
    factors = it.args[: 1 + (it.name == "dot")]
    slots = np.array([slots_of(arg, at, it.terms) for arg in factors if arg.value is None])
    found = runs_of(slots[:, np.lexsort(slots[::-1])])
    out = []
    for runs in found:
        along = iter(zip(runs.firsts, runs.apart, runs.steps, strict=True))
        views = []
        for arg in factors:
            if arg.value is not None:
                views.append(View(value=arg.value, strides=(0, 0)))
            else:
                first, apart, step = next(along)
                views.append(View(arg.place, first, (apart, step)))
        out.append((runs.many, runs.length, views))
    return out


def in_pairs(f: Function, sums: Sequence[str]) -> str:
    """The sum of all lanes of some vectors of partial sums, added pairwise."""
    while len(sums) > 1:
        sums = [f.two("fadd", a, b) for a, b in zip(sums[::2], sums[1::2], strict=True)]
    return over_lanes(f, sums)[0]


def write_terms(f: Function, it: Kernel) -> None:
    """Write Σ x, or start + Σ x y, one sum after the other."""
    t, n = f.target, f.target.lanes
    zeros = [f.number(0.0)] * VECTORS

    def added(total: str, views: Sequence[View], at: Sequence[Index], count: int) -> str:
        x = [fetch(f, view, at, len(at) - 1, count) for view in views]
        found = f.multiply_add(x[0], x[1], total) if len(x) > 1 else f.two("fadd", total, x[0])
        return found if count == n else f.new(f"select {masked(f, count)}, {t.vector} {found}, {t.vector} {total}")

    def run(views: Sequence[View], at: list[Index], length: int, sums: list[str]) -> list[str]:
        """The sums with the terms of one run added."""
        step, done = VECTORS * n, 0
        if length >= 4 * step:
            done = length - length % step
            with loop(f, done, step, [(t.vector, total) for total in sums]) as (j, values, out):
                out[:] = [added(total, views, [*at, j + k * n], n) for k, total in enumerate(values)]
            sums = out
        sums = list(sums)
        for k, first in enumerate(range(done, length, n)):
            sums[k % VECTORS] = added(sums[k % VECTORS], views, [*at, Index((), first)], min(n, length - first))
        return sums

    for at in np.ndindex(*it.shape):
        sums, place = zeros, [Index((), i) for i in at]
        parts = [] if t.by_tape else pieces(it, at)
        for many, length, views in parts:
            if many == 1:
                sums = run(views, [Index()], length, sums)
                continue
            with loop(f, many, 1, [(t.vector, total) for total in sums]) as (i, values, out):
                out[:] = run(views, [i], length, values)
            sums = out
        if not parts:
            sums = run(it.args[: 1 + (it.name == "dot")], place, it.terms, sums)
        total = f.splat(in_pairs(f, sums))
        if it.name == "dot":
            total = f.two("fadd", fetch(f, it.args[2], place, len(place) - 1, 1), total)
        put(f, f.address(it.out.place, f.located(it.out, place) * t.size), total, 1)
