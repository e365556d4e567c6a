"""Straight-line code: the elements of many short vector instructions, one after the other, with values in registers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

from micrograd.tape.back_ends.llvm.arrays import (
    Columns,
    Grouped,
    Rows,
    column_start,
    columns_in,
    count_of,
    rows_out,
    tiles_of,
)
from micrograd.tape.back_ends.llvm.function import Function
from micrograd.tape.back_ends.llvm.loops import WRITERS, loop, over_samples
from micrograd.tape.back_ends.llvm.nans import seen_among, write_told
from micrograd.tape.back_ends.llvm.operands import Index, Kernel, View
from micrograd.tape.back_ends.llvm.spellings import spell_one
from micrograd.tape.back_ends.llvm.target import ROWS


@dataclass(frozen=True)
class Operation:
    """One primitive on single slots. An argument is (place, slot) or a number."""

    name: str
    out: tuple[str, int]
    args: tuple[Any, ...]

    @property
    def cost(self) -> int:
        return max(1, len(self.args) - 1) if self.name in WRITERS else 1


def operations(it: Kernel) -> Iterator[Operation]:
    """The elements of a vector instruction, one by one."""
    columns: list[list[Any]] = []
    for a in it.args:
        terms = it.terms if it.terms and len(a.strides) > len(it.shape) else 0
        many = it.elements * max(1, terms)
        slots = a.listed((*it.shape, terms) if terms else it.shape) if a.value is None else []
        found: list[Any] = [a.numbers.get(slot, (a.place, slot)) for slot in slots] or [a.value] * many
        columns += [found[j::terms] for j in range(terms)] if terms else [found]
    for slot, *args in zip(it.out.listed(it.shape), *columns, strict=True):
        yield Operation(it.name, (it.out.place, slot), tuple(args))


def depth_first(makers: Mapping[Any, Operation], roots: Iterable[Any], done: set[Any]) -> list[Operation]:
    """The operations that `roots` need and that are not in `done`, in depth-first order, so that few values are alive at once.

    `makers` are the operations by their results.
    """
    order: list[Operation] = []
    for root in roots:
        stack: list[tuple[Any, bool]] = [(root, False)]
        while stack:
            at, ready = stack.pop()
            if ready:
                order.append(makers[at])
            elif at in makers and at not in done:
                done.add(at)
                stack.append((at, True))
                stack.extend((a, False) for a in reversed(makers[at].args) if a.__class__ is tuple)
    return order


class Held:
    """The values in registers, by place and slot, for the samples from `s` on; each is loaded when it is first needed."""

    def __init__(self, f: Function, s: Index):
        self.f, self.s = f, s
        self.values: dict[Any, str] = {}
        self.arrive: dict[Any, Callable[[], None]] = {}  # for slots that do not lie in memory: functions that set their values

    def fetch(self, arg: Any) -> str:
        if not isinstance(arg, tuple):
            return self.f.number(arg)
        if arg in self.arrive and arg not in self.values:
            self.arrive[arg]()
        if arg not in self.values:
            place, slot = arg
            self.values[arg] = self.f.load(View(place), Index((), slot), self.s)
        return self.values[arg]

    def spell(self, one: Operation) -> str:
        args = one.args if one.name == "dot" else [self.fetch(a) for a in one.args]
        value = self.values[one.out] = spell_one(self.f, one.name, args, self.fetch)
        return value


def write_straight(f: Function, work: Sequence[Operation], wanted: Callable[[tuple[str, int]], bool]) -> None:
    """Write the operations one after the other; results that are `wanted` elsewhere are stored."""

    def samples(places: list[Index]) -> None:
        held = Held(f, places[0])
        for one in work:
            value = held.spell(one)
            if wanted(one.out):
                place, slot = one.out
                f.store(View(place), Index((), slot), places[0], value)

    over_samples(f, 1, samples)


def write_whole(
    f: Function, inputs: Sequence[Rows], work: Sequence[Operation], columns: Columns | None, grouped: Sequence[Grouped]
) -> None:
    """Write the whole way from the rows of the arguments to those of the results, with all values in registers.

    Streamed results are first collected, a block of rows at a time, and then copied to their array by whole lines of the
    cache.
    """
    t = f.target
    sources = [(base, it.width, f.pointer(Index((), number))) for it in inputs for number, base in it.each()]
    shown = [(f.pointer(Index((), number)), row, slot) for number, row, slot in columns.each()] if columns else []
    groups = {f.pointer(Index((), number)): slots for it in grouped for number, slots in it.each()}
    count = count_of(f) if columns else ""
    makers = {one.out: one for one in work}
    starts = {array: Index((("%first", len(slots) * t.size),)) for array, slots in groups.items()}
    staged = dict(zip(groups, accumulate([len(slots) * t.block * t.size for slots in groups.values()], initial=0)))  # noqa: B905
    past = f"align {t.lanes * t.size}, !nontemporal !1" if t.streamed else f"align {t.size}"

    # Shared results are copied before the loop: LLVM may end the process if one block of code transposes many equal vectors.
    shared = Held(f, Index())
    for one in work:
        if one.name == "copy":  # of a shared number
            shared.spell(one)

    def sample(s: Index, seen: str) -> str:
        """Write the results of the samples from `s` on; returns the vector `seen` with nan in lanes that have a nan."""
        held, done = Held(f, s), set[Any](shared.values)
        held.values.update(shared.values)

        def arrive(base: int, width: int, array: str, column: int) -> None:
            for k, value in enumerate(columns_in(f, width, array, Index((), column), s)):
                held.values.setdefault((ROWS, base + column + k), value)

        for base, width, array in sources:
            for column in tiles_of(width, t.lanes):
                for k in range(column, min(width, column + t.lanes)):
                    held.arrive.setdefault((ROWS, base + k), partial(arrive, base, width, array, column))

        def made(slots: Sequence[int]) -> list[str]:
            for one in depth_first(makers, [(ROWS, slot) for slot in slots], done):
                held.spell(one)
            return [held.fetch((ROWS, slot)) for slot in slots]

        for array, row, slot in shown:
            at = column_start(f, Index((), row), count) + Index((("%first", t.size),)) + s * t.size
            values = made([slot])
            seen = seen_among(f, values, seen) if t.telling else seen
            f.do(f"store {t.vector} {values[0]}, ptr {f.address(array, at)}, {past}")
        for array, slots in groups.items():
            width = len(slots)
            to, start = (ROWS, Index((), staged[array])) if t.streamed else (array, starts[array])
            for column in tiles_of(width, t.lanes):
                values = made(slots[column : column + t.lanes])
                seen = seen_among(f, values, seen) if t.telling else seen
                rows_out(f, to, start + s * (width * t.size), Index((), column), width, values)
        return seen

    if t.telling:
        with loop(f, t.block, t.lanes, [(t.vector, f.number(0.0))]) as (s, (seen,), out):
            out[0] = sample(s, seen)
        write_told(f, out[0])
    else:
        over_samples(f, 1, lambda places: sample(places[0], ""))
    for array, slots in groups.items() if t.streamed else ():
        with loop(f, len(slots) * t.block, t.lanes, []) as (i, _, _):
            line = f.address(ROWS, i * t.size + staged[array])
            value = f.new(f"load {t.vector}, ptr {line}, align {t.lanes * t.size}")
            f.do(f"store {t.vector} {value}, ptr {f.address(array, starts[array] + i * t.size)}, {past}")
