"""Finding loops: the steps of a recurrence in a tape of scalars.

`passes` come before, `vectorise` after. A function with a loop over time is recorded step after step, so a thousand steps
are a thousand times the same instructions, and so are their adjoints. `rolled` finds where a tape repeats itself. No
instruction is rewritten, so the tape stays the definition of what is computed, with the same bits. What comes after schedules
and compiles one step, the **body**, and so takes only the time for that. A long body may have loops inside, found likewise.

In a loop, instruction m of step t stands in the tape at `start + t * period + m`, and each of its operands is the slot
`first + t * stride` for some constants. The stride tells what the operand is:

    0             the same number in every step: a parameter, a constant, a result from before the loop
    period        a result of the loop itself, of this step or of an earlier one
    anything else a number of its own for each step: an element of the arguments, or what an earlier loop has computed, often
                  read backwards

The slots of operands from before the loop may also follow no rule, for example numbers of a closure, since equal ones are one
constant: then the tuple of these slots, step by step, stands in the place of the stride.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from micrograd.primitives import Primitive
from micrograd.tape.tape import Instruction, Tape

Array = np.ndarray[Any, Any]
Stride = int | tuple[int, ...]
SMALL_TAPE = 256  # a tape of fewer instructions is left as it is,
DEEP = 128  # and so is one with fewer vector instructions (see `groups`)
LEAST = 128  # fewer instructions make no loop
STEPS = 8  # fewer steps make no loop: they would save less in compiling than they cost in running
_WINDOWS = (4, 16, 64, 256, 1024, 4096, 16384)  # how many instructions are compared at once, to find the length of a step
_NEAR = 16  # an operand is near if it lies no more than so many windows back
_CANDIDATES = 6  # how many lengths of a step are tried for each window
_BASE = np.uint64(0x9E3779B97F4A7C15)  # of hashes


@dataclass(frozen=True)
class Loop:
    """A run of instructions of the tape that repeats: `steps` steps of `period` instructions each, from number `start` on."""

    start: int
    period: int
    steps: int
    disordered: bool = False  # whether the slots of some operands from before the loop have no constant stride

    @property
    def end(self) -> int:
        """The number of the first instruction after the loop."""
        return self.start + self.period * self.steps

    def body(self, tape: Tape) -> list[tuple[Primitive, list[tuple[int, Stride]]]]:
        """The instructions of a step: each a primitive, and for each operand its slot in the first step and its stride."""
        end = self.end if self.disordered else self.start + 2 * self.period
        every = [operands for _, operands in tape.instructions[self.start : end]]
        slots = np.fromiter(chain.from_iterable(every), np.int64).reshape((end - self.start) // self.period, -1)
        moves = np.diff(slots, axis=0)
        strides: list[Stride] = moves[0].tolist()
        for i in np.flatnonzero((moves != moves[0]).any(axis=0)).tolist():
            strides[i] = tuple(slots[:, i].tolist())
        rest = iter(strides)
        return [
            (rule, [(x, next(rest)) for x in operands]) for rule, operands in tape.instructions[self.start :][: self.period]
        ]

    def reads_itself(self, slot: int, stride: Stride, first: int) -> bool:
        """Whether an operand, with this slot in the first step and this stride, is in some step a result of the loop.

        `first` is the slot of the first step's first result. The stride alone does not tell: numbers from before the loop may
        lie as far apart as its steps.
        """
        return stride == self.period and slot + self.period * (self.steps - 1) >= first

    def varying(self, tape: Tape, varies: list[bool]) -> list[bool]:
        """Which instructions of the body vary from sample to sample; `varies` says the same of every slot before the loop."""
        first, body = tape.first + self.start, self.body(tape)
        found = [False] * self.period
        before = [False] * self.period  # those that vary because of what they read from outside the loop
        inside: list[list[int]] = []
        for m, (_, operands) in enumerate(body):
            own = []
            for slot, stride in operands:
                if isinstance(stride, tuple):
                    before[m] |= any(varies[each] for each in stride)
                elif self.reads_itself(slot, stride, first):
                    own.append((slot - first) % self.period)
                    before[m] |= any(varies[slot : first : self.period])
                elif stride:
                    end = slot + stride * self.steps
                    before[m] |= any(varies[slot : end if end >= 0 else None : stride])
                else:
                    before[m] |= varies[slot]
            inside.append(own)
        while True:
            after = [before[m] or any(found[i] for i in inside[m]) for m in range(self.period)]
            if after == found:
                return found
            found = after


def rolled(tape: Tape, levels: Sequence[int] | None = None) -> tuple[Tape, list[Loop]]:
    """The tape, its instructions perhaps in another order, and the loops in it, in order; none if they would save little.

    Only recurrences are loops: some instruction reads a result of an earlier step. Repetition without that, such as the neurons
    of a layer, is left to the scheduler, which makes vector instructions of it. `levels` are the tape's, if they are known.
    """
    if len(tape.instructions) < SMALL_TAPE:
        return tape, []
    code = Columns.of(tape, levels)
    straight = code.groups([])
    if straight < DEEP:
        return tape, []
    order, found = None, code.loops()
    cost, orders = code.groups(found), _orders(tape, code)
    while cost > max(straight // 20, DEEP // 2) and (other := next(orders, None)) is not None:
        moved = code.reordered(other)
        loops = moved.loops()
        if (lower := moved.groups(loops)) < cost:
            order, found, cost = other, loops, lower
        del moved  # its arrays are large
    if straight - cost < DEEP:
        return tape, []
    del code, orders
    return tape if order is None else reordered(tape, order), found


def reordered(tape: Tape, order: Array) -> Tape:
    """The same tape with its instructions in another order, in which operands still come first."""
    new = _places(tape.first, order).tolist()
    moved, instructions = new.__getitem__, list[Instruction]()
    for rule, operands in map(tape.instructions.__getitem__, order.tolist()):
        if len(operands) == 2:  # as most have
            x, y = operands
            instructions.append((rule, (new[x], new[y])))
        else:
            instructions.append((rule, tuple(map(moved, operands))))
    return replace(
        tape,
        instructions=instructions,
        outputs=[*map(moved, tape.outputs)],
        guards=[replace(g, x=new[g.x], y=new[g.y]) for g in tape.guards],
    )


def _places(first: int, order: Array) -> Array:
    """The new slot of each slot when the instructions are put into another order."""
    new = np.arange(first + len(order))
    new[first + order] = np.arange(first, len(new))
    return new


def _orders(tape: Tape, code: Columns) -> Iterator[Array]:
    """Other orders of the instructions in which to look for loops, each made when it is asked for.

    They help if later steps lack instructions that were merged with those of earlier ones (`prepared`), if the instructions of
    a step do not stand together (`by_level`), or if several recurrences stand one after the other (`by_operands`).
    """
    early = prepared(code)
    if early is not None:
        yield early
    height = heights(tape)
    if _come_again(code, height):
        yield by_level(height)
        yield by_operands(tape, height)


def prepared(code: Columns) -> Array | None:
    """The order in which instructions that work on parameters and constants alone come first.

    If each step computes such a number anew, the instructions of later steps have been merged with that of the first, so that
    steps look different. None if there is no such instruction that many steps read.
    """
    early = np.flatnonzero(code.fixed)
    uses = np.bincount(code.operands, minlength=code.first + len(code.fixed))[code.first + early]
    if max(uses, default=0) < STEPS:
        return None
    return np.concatenate([early, np.flatnonzero(~code.fixed)])


def by_level(height: Array) -> Array:
    """The order in which instructions come as late as their consumers allow, so that one step comes after another.

    Those of one level stay in their order. `height` is what `heights` gives.
    """
    return np.argsort(-height, kind="stable")


def by_operands(tape: Tape, height: Array) -> Array:
    """Like `by_level`, but those of one level are sorted by what they read. Each order makes other recurrences regular."""
    latest, first = by_level(height), tape.first
    new, order = list(range(first)) + [0] * len(latest), list[int]()
    moved = new.__getitem__
    for level in np.split(latest, np.flatnonzero(np.diff(height[latest])) + 1):
        every = [(k, *tape.instructions[k]) for k in level.tolist()]
        entries = [(rule.name, tuple(map(moved, operands)), k) for k, rule, operands in every]
        for _, _, k in sorted(entries):
            new[first + k] = first + len(order)
            order.append(k)
    return np.array(order)


def heights(tape: Tape) -> Array:
    """For each instruction, how many instructions follow it on the longest way to a result."""
    at = tape.first + len(tape.instructions)
    before = [0] * at  # the same for each slot
    for _, operands in reversed(tape.instructions):
        at -= 1
        height = before[at] + 1
        for i in operands:
            if before[i] < height:
                before[i] = height
    return np.array(before[tape.first :])


def _come_again(code: Columns, height: Array) -> bool:
    """Whether enough instructions lie on levels that come again: other levels have the same kinds of instructions, as often.

    If instructions are ordered by level, the steps of a loop consist of such levels.
    """
    kinds, sizes = code.kinds[by_level(height)], np.bincount(height)[:0:-1]
    powers = np.cumprod(np.full(kinds.max() + 1, _BASE))  # one for each kind: equal sums nearly always have equal terms
    sums = np.add.reduceat(powers[kinds], np.cumsum(sizes) - sizes)
    _, which, times = np.unique(sums, return_inverse=True, return_counts=True)
    return bool(sizes[times[which] >= STEPS // 2].sum() >= LEAST)


class Columns:
    """The instructions of a tape as arrays: kinds, levels, and operands, with where those of each instruction begin."""

    def __init__(self, inputs: int, first: int, kinds: Array, levels: Array, starts: Array, operands: Array):
        self.inputs, self.first = inputs, first
        self.kinds, self.levels, self.starts, self.operands = kinds, levels, starts, operands
        self.hashes: dict[tuple[int, bool], Array] = {}

    @classmethod
    def of(cls, tape: Tape, levels: Sequence[int] | None = None) -> Columns:
        """The columns of a tape; its levels are given if they are known already."""
        starts, operands = tape.operands()
        kinds = np.unique(tape.kinds(), return_inverse=True)[1].astype(np.int32)  # small, because long tapes need much memory
        every = np.array(levels or tape.levels(), np.int32)
        return cls(tape.inputs, tape.first, kinds, every, starts, operands.astype(np.int32))

    def reordered(self, order: Array) -> Columns:
        """The columns of the tape with its instructions in another order."""
        counts = np.diff(self.starts)[order]
        starts = np.concatenate([[0], np.cumsum(counts)])
        at = np.repeat(self.starts[order] - starts[:-1], counts) + np.arange(len(self.operands))
        operands = _places(self.first, order).astype(np.int32)[self.operands[at]]
        return Columns(self.inputs, self.first, self.kinds[order], self.levels[order], starts, operands)

    @cached_property
    def fixed(self) -> Array:
        """Which instructions work on parameters and constants alone."""
        inside = (self.operands >= self.inputs) & (self.operands < self.first)
        return np.logical_and.reduceat(inside, self.starts[:-1])

    def loops(self) -> list[Loop]:
        """The loops, in order, each as long as possible; they do not overlap."""
        found: list[Loop] = []
        gaps = [(len(self.kinds) if self.fixed.all() else int(np.argmin(self.fixed)), len(self.kinds))]
        while gaps:
            low, high = gaps.pop()
            if high - low < LEAST:
                continue
            best: Loop | None = None
            longer = 0.0  # how many instructions a loop must have to take the place of `best`
            for reads in (False, True):
                for period in self.periods(low, high, reads):
                    for loop in self.repeats(low, high, period, longer):
                        if loop.end - loop.start > longer:
                            best, longer = loop, 1.02 * (loop.end - loop.start)
                    if longer > high - low:
                        break
                if best is not None:
                    break
            if best is not None:
                found.append(best)
                gaps += [(low, best.start), (best.end, high)]
        self.hashes.clear()
        return sorted(found, key=lambda loop: loop.start)

    def groups(self, loops: list[Loop]) -> int:
        """Roughly how many vector instructions the scheduler would make: one for each kind of instruction at each level."""
        count, at = 0, 0
        for loop in [*loops, Loop(len(self.kinds), 1, 0)]:
            for low, high in ((at, loop.start), (loop.start, min(loop.start + loop.period, len(self.kinds)))):
                count += distinct(self.levels[low:high] * np.int64(1 + self.kinds.max()) + self.kinds[low:high])
            at = loop.end
        return count

    def periods(self, low: int, high: int, reads: bool) -> Iterator[int]:
        """Lengths that a step may have, between two instructions: the most frequent distances between equal windows.

        With `reads`, windows are equal only if they also read the same distances back, where these are near. This helps where
        steps look alike but read differently, because values move from one carried value to another: a loop then has to take
        several such steps as one.
        """
        tried: set[int] = set()
        for window in _WINDOWS:
            if 2 * window > high - low:
                return
            keys = self._windows(window, reads)[low : high - window + 1]
            bits = np.uint64(len(keys).bit_length())  # the lowest bits of a key are replaced by its place, to sort both at once
            ordered = np.sort(keys >> bits << bits | np.arange(len(keys), dtype=np.uint64))
            same = ordered[1:] >> bits == ordered[:-1] >> bits
            distances = (ordered[1:] - ordered[:-1])[same].astype(np.int64)
            distances = distances[distances <= (high - low) // STEPS]
            if not len(distances):  # then no longer window comes again either
                return
            times = np.bincount(distances)  # several times as quick as np.unique
            lengths = times.nonzero()[0]
            times = times[lengths]
            for period in lengths[np.argsort(-times, kind="stable")][:_CANDIDATES].tolist():
                if period not in tried:
                    tried.add(period)
                    yield period

    def _windows(self, window: int, reads: bool) -> Array:
        """A hash for each `window` consecutive kinds of instructions.

        With `reads`, it depends also on how far back the operands are, if that is near.
        """
        if (window, reads) not in self.hashes:
            found, size = (self.kinds.astype(np.uint64) + np.uint64(1)) * _BASE, 1
            if reads:
                counts = np.diff(self.starts)
                back = np.repeat(np.arange(self.first, self.first + len(counts)), counts) - self.operands
                back[back > _NEAR * window] = 0
                place = np.arange(1, len(back) + 1) - np.repeat(self.starts[:-1], counts)  # of the operand in its instruction
                found += np.add.reduceat(back * place, self.starts[:-1]).astype(np.uint64) * (_BASE >> np.uint64(7))
            while size < window:  # from runs of n to runs of 2 n
                factor = np.uint64(pow(int(_BASE), size, 1 << 64))
                found, size = found[:-size] * factor + found[size:] ^ found[size:] >> np.uint64(29), 2 * size
            self.hashes[window, reads] = found
        return self.hashes[window, reads]

    def repeats(self, low: int, high: int, period: int, longer: float) -> Iterator[Loop]:
        """The recurrences of this period between two instructions; those of up to `longer` instructions may be left out."""
        starts, listed = self.starts, self.operands
        least = max(STEPS * period, longer)
        for a, b in _runs(self.kinds[low + period : high] == self.kinds[low : high - period], max(least, LEAST) - period):
            a, b = low + a, low + b  # instruction i repeats at i + period, for i from a to b - 1
            at, size = starts[a], starts[a + period] - starts[a]
            operands = listed[at : starts[b + period]]
            strides = operands[size:] - operands[:-size]
            outside = operands < self.first + a
            regular = strides[size:] == strides[:-size]
            steady = regular | (outside[size:-size] & outside[: -2 * size] & outside[2 * size :])
            for alike in (regular, steady):  # a regular loop comes first, even if it leaves out a few steps
                same = np.add.reduceat(~alike, starts[a : b - period] - at) == 0 if b - period > a else np.zeros(0, bool)
                for c, d in _runs(same, least - 2 * period):
                    steps = (d - c + 2 * period) // period
                    first = starts[a + c] - at
                    ordered = regular[first:][: (steps - 2) * size].reshape(-1, size).all(axis=0)
                    loop = Loop(a + c, period, steps, not ordered.all())
                    if self._carries(loop, ordered & (strides[first:][:size] == period)):
                        yield loop

    def _carries(self, loop: Loop, own: Array) -> bool:
        """Whether a loop is a recurrence: steps read results of earlier steps, always from the same distance back.

        `own` says which operands of a step lie `period` slots after those of the step before, in all steps.
        """
        last = loop.end - loop.period
        operands = self.operands[self.starts[last] : self.starts[loop.end]]
        inside = operands >= self.first + loop.start
        return bool((own & (operands < self.first + last) & inside).any() and own[inside].all())


def _runs(flags: Array, least: float) -> Iterator[tuple[int, int]]:
    """The runs of True that are at least so long, as pairs of their start and end."""
    padded = np.zeros(len(flags) + 2, np.bool_)
    padded[1:-1] = flags
    edges = (padded[1:] != padded[:-1]).nonzero()[0].reshape(-1, 2)
    yield from edges[edges[:, 1] - edges[:, 0] >= least].tolist()


def distinct(numbers: Array) -> int:
    """How many different numbers, none negative, there are."""
    if numbers.max(initial=0) > 4 * len(numbers) + 1024:
        return len(np.unique(numbers))
    return int(np.count_nonzero(np.bincount(numbers)))  # several times as quick
