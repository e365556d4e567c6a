"""The schedule of a loop: its body, which is scheduled once, and the copies from step to step.

`roll` has found the loop. `vectorise` schedules what comes before and after it, and the body by the same rules. A function of
1,000 numbers,

    def f(xs):
        h = Value(0.0)
        for x in xs:
            h = (h * w + x).tanh()
        return h

has the numbers in the rows r[0] to r[999], w in s[0], and this schedule:

    r[1001] = s[1]                        h before the first step, which is 0
    for t in 0 .. 999:
        r[1000] = r[0 + t]                arriving: the x of this step
        r[1002] = s[0] @ r[1001] + r[1000]  work: the body
        r[1003] = tanh(r[1002])
        r[1001] = r[1003]                 leaving: h goes to where the next step expects it

If h of each step is needed later, as by the gradient, another copy leaves: `r[1004 + t] = r[1003]`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd.tape.scheduling.memory import SPACES, Places, copies_of
from micrograd.tape.scheduling.roll import Loop, Stride
from micrograd.tape.scheduling.schedule import ROWS, SHARED, Repeat, Vector

Array = np.ndarray[Any, Any]


def of_rows(v: Vector | Repeat) -> bool:
    """Whether the results are rows or sums over them, and not shared: all of these run after everything that is shared."""
    return v.out.space != SHARED if isinstance(v, Vector) else any(map(of_rows, v.body))


class Steps:
    """The schedule of a loop, in up to two parts: the instructions that all samples share, then those that vary with them.

    The body of a part works on positions of its own, the same in every step. A step begins with copies of what it reads to
    these positions. It ends with copies: results that are needed outside the loop go to positions of that step alone, and
    results that the next step reads go to where that step expects them.
    """

    def __init__(self, places: Places, loop: Loop, reads: tuple[Array, Array], schedule: Callable[..., None]):
        self.places, self.loop, self.reads, self.schedule = places, loop, reads, schedule
        self.first = places.tape.first + loop.start  # the slot of the first step's first result
        self.body = loop.body(places.tape)
        varies = places.varies[self.first : self.first + loop.period].copy()
        for rows in (False, True):
            members = np.flatnonzero(varies == rows).tolist()
            if members:
                self._part(members, rows)

    def _back(self, slot: int, stride: Stride) -> tuple[int, int]:
        """The instruction of the body whose result an operand is, and from how many steps back; (-1, 0) if it is of none."""
        if not self.loop.reads_itself(slot, stride, self.first):
            return -1, 0
        back, m = divmod(slot - self.first, self.loop.period)
        return m, -back

    def _part(self, members: list[int], rows: bool) -> None:
        """Schedule the instructions of the body with these numbers as a Repeat of their own."""
        it, loop, first, space = self.places, self.loop, self.first, SPACES[int(rows)]
        mine, every = set(members), np.arange(loop.steps)
        kept, lasting = self._needed(mine)
        # What does a step read from outside its body: from the step before, from earlier steps, from outside the loop?
        # Operands are known by their slot in the first step and their stride.
        carried: dict[tuple[int, Stride], int] = {}  # operands from one step before: the instruction that made them
        read: dict[tuple[int, Stride], int] = {}  # all other operands from outside a step: the slot of their copy in the body
        early: dict[int, int] = {}  # instructions whose results are read more than one step later: at most how many steps
        for slot, stride in dict.fromkeys(operand for m in members for operand in self.body[m][1] if operand[1]):
            own, back = self._back(slot, stride)
            if own not in mine or back > 1:
                read[slot, stride] = -1
            elif back == 1:
                carried[slot, stride] = own
            if own in mine and back > 1:
                early[own] = max(back, early.get(own, 0))
        # Results that are read from further back have positions also for the steps before the first one.
        ahead = max(early.values(), default=0)
        kept_at = {own: it.room(ahead + loop.steps, rows) + ahead for own in early}
        for own, back in early.items():
            before = np.arange(-back, 0)
            it.copy(first + own + loop.period * before, kept_at[own] + before, rows)
        arriving = self._arriving(read, kept_at, rows)
        handed = it.grow(len(carried), rows)
        it.copy(np.array([slot for slot, _ in carried], np.int64), it.where[handed], rows)
        slots = dict(zip(carried, handed.tolist(), strict=True)) | read
        # Schedule the body once, with the copies in the place of what it reads.
        outer, it.code = it.code, []
        wanted = [first + m for m in dict.fromkeys([*kept, *lasting, *early, *carried.values()])]
        step = [(first + m, self.body[m][0], tuple([slots.get(o, o[0]) for o in self.body[m][1]])) for m in members]
        self.schedule(it, step, wanted)
        work, it.code = it.code, outer
        at = it.where[first : first + loop.period].copy()
        # Then the results leave: to positions of the step alone, and to where the next step expects them.
        others = sorted((m for m in kept if m not in early), key=lambda m: int(at[m]))
        row = it.room(loop.steps * len(others), rows)  # for the others in `kept`: those of one step side by side
        leaving: list[Vector] = []
        places, along = np.array([kept_at[m] for m in early], np.int64), row + np.arange(len(others))
        leaving += copies_of(space, at[[*early]], space, places, to_step=1)
        leaving += copies_of(space, at[others], space, along, to_step=len(others))
        leaving += copies_of(space, at[list(carried.values())], space, it.where[handed])
        it.code.append(Repeat(loop.steps, arriving, work, leaving))
        # Outside the loop, the slots of all steps stand there.
        for m, place in kept_at.items():
            it.put_at(first + m + loop.period * every, place + every)
        it.put_at(
            (first + np.array(others, np.int64) + loop.period * every[:, None]).ravel(),
            row + np.arange(loop.steps * len(others)),
        )
        for m in lasting:
            it.where[first + m + loop.period * (loop.steps - 1)] = at[m]

    def _needed(self, mine: set[int]) -> tuple[list[int], list[int]]:
        """The instructions whose results of several steps are needed outside, and those of which only the last step's is."""
        loop, (starts, flat) = self.loop, self.reads
        others = np.concatenate([flat[: starts[loop.start]], flat[starts[loop.end] :]])
        others = others[(others >= self.first) & (others < self.first + loop.period * loop.steps)] - self.first
        several = set((others[others // loop.period < loop.steps - 1] % loop.period).tolist())
        for m, (_, operands) in enumerate(self.body):
            if m not in mine:
                several.update(own for own, _ in (self._back(*operand) for operand in operands))
        last = set((others % loop.period).tolist()) - several
        return sorted(several & mine), sorted(last & mine)

    def _arriving(self, read: dict[tuple[int, Stride], int], kept_at: dict[int, int], rows: bool) -> list[Vector]:
        """Copies of what each step reads to positions of the body, whose slots are entered in `read`."""
        it, every = self.places, np.arange(self.loop.steps)
        groups: dict[tuple[str, int], list[tuple[int, tuple[int, Stride]]]] = {}
        irregular: dict[str, list[tuple[Array, tuple[int, Stride]]]] = {}
        for slot, stride in read:
            own, back = self._back(slot, stride)
            if own in kept_at:
                space, positions = SPACES[int(rows)], kept_at[own] - back + every
            else:
                space, positions = it.placed(np.array(stride) if isinstance(stride, tuple) else slot + stride * every)
            moves = np.diff(positions)
            if (moves != moves[0]).any():
                irregular.setdefault(space, []).append((positions, (slot, stride)))
            else:
                groups.setdefault((space, int(moves[0])), []).append((int(positions[0]), (slot, stride)))
        for space, tables in irregular.items():  # copied before the loop, into the order in which steps read them
            base = it.room(len(tables) * len(every), space == ROWS)
            from_all = np.concatenate([positions for positions, _ in tables])
            before = it.before if rows and space == SHARED else it.code  # copies within shared come before all rows
            before += copies_of(space, from_all, space, base + np.arange(len(from_all)))
            groups.setdefault((space, 1), []).extend([(base + i * len(every), key) for i, (_, key) in enumerate(tables)])
        code: list[Vector] = []
        for (space, step), entries in groups.items():
            entries.sort()
            new = it.grow(len(entries), rows)
            read.update(zip([key for _, key in entries], new.tolist(), strict=True))
            code += copies_of(space, np.array([at for at, _ in entries]), SPACES[int(rows)], it.where[new], step)
        return code
