"""The data from which code is written: indices, views of slots, and kernels, which are vector instructions on views."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from micrograd.tape.back_ends.llvm.target import SHARED

LONG_RUN = 64  # runs of neighbours are copied one by one if they have at least so many on average
Array = np.ndarray[Any, Any]


@dataclass(unsafe_hash=True, slots=True)  # not frozen: that would take three times as long to make
class Index:
    """An integer in the code that is written: a sum of loop counters, or other values, times numbers, plus a number."""

    terms: tuple[tuple[str, int], ...] = ()
    offset: int = 0

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.terms, self.offset + other)
        if not (self.terms and other.terms):
            return Index(self.terms or other.terms, self.offset + other.offset)
        terms = dict(self.terms)
        for name, by in other.terms:
            terms[name] = terms.get(name, 0) + by
        return Index(tuple(sorted((n, by) for n, by in terms.items() if by)), self.offset + other.offset)

    def __mul__(self, by: int) -> Index:
        terms = tuple([(n, b * by) for n, b in self.terms]) if by and self.terms else ()
        return Index(terms, self.offset * by)


@dataclass(frozen=True, eq=False)
class View:
    """Where the elements of one operand lie: a strided view of slots, a gather by a table, or one constant."""

    place: str = SHARED
    base: int = 0
    strides: tuple[int, ...] = ()
    table: Array | None = None  # the slots of a gather, flat; strides are then those of the table
    value: float | None = None
    table_at: int = -1  # where the table begins among all tables
    step: int = 0  # in a loop: how far it moves from one step to the next
    numbers: Mapping[int, float] = field(default_factory=dict)  # what slots of constants hold, if some are among its slots
    beyond: tuple[int, ...] = ()  # for a gather: the strides, from the table's slot on, along axes for which it has one entry

    @property
    def count(self) -> int:
        """How many slots its table has."""
        return 0 if self.table is None else len(self.table)

    def slots(self, shape: Sequence[int]) -> Array:
        """The slots of all elements, sorted and without repetitions."""
        moves = [by != 0 or any(self.beyond[a : a + 1]) for a, by in enumerate(self.strides)]
        found: Array = np.unique(self.every([n if moving else min(n, 1) for n, moving in zip(shape, moves, strict=False)]))
        return found

    def along(self, axis: int) -> int | None:
        """The distance of neighbours along an axis; None if each has an entry in the table."""
        if self.table is None:
            return self.strides[axis]
        return None if self.strides[axis] else self.beyond[axis] if self.beyond else 0

    def every(self, shape: Sequence[int]) -> Array:
        """The slots of all elements, in order."""
        if math.prod(shape) == 1:
            return np.array([self.base if self.table is None else self.table[self.base]])
        at, past = np.array(self.base), np.array(0)
        for n, by in zip(shape, self.strides, strict=False):
            at = at[..., None] + np.arange(n) * by
        for n, by in zip(shape, self.beyond, strict=False):
            past = past[..., None] + np.arange(n) * by
        found: Array = at.ravel() if self.table is None else self.table[at.ravel()] + past.ravel()
        return found

    def listed(self, shape: Sequence[int]) -> list[int]:
        """The slots of all elements, in order, as a list."""
        if math.prod(shape) == 1:
            return [self.base if self.table is None else int(self.table[self.base])]
        if len(shape) == 1 and self.table is None:
            return [self.base + self.strides[0] * i for i in range(shape[0])]
        return self.every(shape).tolist()  # type: ignore[no-any-return]

    def slot(self, position: Sequence[int]) -> int:
        """The slot of one element."""
        at = self.base + sum(i * s for i, s in zip(position, self.strides, strict=True))
        if self.table is None:
            return at
        return int(self.table[at]) + sum(i * s for i, s in zip(position, self.beyond, strict=False))


@dataclass(frozen=True, eq=False)
class Kernel:
    """One vector instruction: `name` on every element of `shape`; reductions (sum, dot, logsumexp) run over `terms`."""

    name: str
    shape: tuple[int, ...]
    out: View
    args: tuple[View, ...]
    terms: int = 0

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def work(self) -> int:
        return self.elements * max(1, self.terms)


@dataclass(frozen=True, eq=False)
class KernelLoop:
    """A loop of kernels, as `schedule.Repeat`: the copies before the work of a step, the work, and the copies after it."""

    steps: int
    arriving: Sequence[Kernel]
    body: Sequence[Kernel | KernelLoop]
    leaving: Sequence[Kernel]

    @property
    def work(self) -> int:
        return self.steps * sum(it.work for it in (*self.arriving, *self.body, *self.leaving))


@dataclass(frozen=True, eq=False)
class Total:
    """For every element of `shape`, a sum over the samples of Σ x, or of Σ x y, with so many `terms`, in accumulators."""

    shape: tuple[int, ...]
    terms: int
    out: View
    x: View
    y: View | None = None


def runs(*slots: Array) -> list[tuple[int, int]]:
    """The runs in which all of these slots go up by one, as pairs (start, end); an empty list if they are short."""
    edges = np.flatnonzero(np.any([np.diff(each) != 1 for each in slots], axis=0)) + 1
    if len(edges) >= len(slots[0]) // LONG_RUN:
        return []
    return [*zip([0, *edges.tolist()], [*edges.tolist(), len(slots[0])], strict=True)]


def turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-2], shape[-1], shape[-2])


def turned_view(x: View, axes: int) -> View:
    strides, beyond = ((*turned(each[:axes]), *each[axes:]) if each else () for each in (x.strides, x.beyond))
    return replace(x, strides=strides, beyond=beyond)
