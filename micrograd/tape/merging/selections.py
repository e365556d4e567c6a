"""Instructions of many paths, with equal ones merged, and selections between results of different paths.

`merge` and `joins` write them, and make a tape of them at the end. The docstring of `joins` has an example.

A decision is one comparison of the function, the same on all paths that come to it; decisions are numbered. A selection is
`where(c, one, zero)`: c is the slot of a decision's comparison, which holds 1.0 or 0.0. A selection is open if one of its two
sides is ANYTHING. It selects nothing: it says that the other side matters only where the decision has this outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import NamedTuple

from micrograd.primitives import RULES, Primitive
from micrograd.tape.tape import Instruction, Tape, constant_key

_WHERE, _ADD, _SUB = (RULES[name] for name in ("where", "add", "sub"))
SUMS = {_ADD, _SUB}
TERMS = 64  # sums of more terms are not aligned
ANYTHING = -1  # in the place of a slot: any number will do, because no path is known on this side of a comparison
Always = tuple[tuple[int, bool], ...]  # outcomes that always hold: decisions, each with whether its comparison is 1.0
Term = tuple[int, Always, bool]  # a term of a sum: its slot, what always holds where it matters, whether it is subtracted


class Part(NamedTuple):
    """A part of the tree of comparisons, as instructions."""

    trace: dict[int, int]  # by decision, the slot of its comparison, from the first decision to the last
    always: Always  # the decisions that have the same outcome on all known paths of this part, in the same order
    outputs: list[int]


class Code:
    """Instructions, with equal ones merged. Slots below `first` are inputs and leaves; constants have negative slots."""

    def __init__(self, first: int):
        self.first = first
        self.instructions: list[Instruction] = []
        self.decisions: dict[int, int] = {}  # for the slot of a selection, the number of its decision
        self.shared = set[int]()  # slots that are used more than once on a path: they are not taken apart as parts of a sum
        self.numbers: list[float] = []
        self._known: dict[Instruction, int] = {}
        self._slots: dict[object, int] = {}
        self.nothing = self.number(-0.0), self.number(0.0)  # changes nothing when it is added; when it is subtracted
        self._sources: list[tuple[int, int]] = []  # for each instruction, as bits, the inputs and leaves that it depends on

    def add(self, rule: Primitive, *operands: int) -> int:
        """The slot of an instruction, which is added if it is new."""
        key = (rule, operands)
        if key not in self._known:
            self._known[key] = self.first + len(self.instructions)
            self.instructions.append(key)
        return self._known[key]

    def number(self, x: float) -> int:
        """The slot of a constant."""
        key = constant_key(x)
        if key not in self._slots:
            self.numbers.append(x)
            self._slots[key] = ANYTHING - len(self.numbers)
        return self._slots[key]

    def selected(self, decision: int, slot: int, one: int, zero: int) -> int:
        """The slot of a selection between `one` and `zero`."""
        found = self.add(_WHERE, slot, one, zero)
        self.decisions.setdefault(found, decision)
        return found

    def opened(self, decision: int, condition: int, slot: int, one: bool) -> int:
        """An open selection: `slot` matters only if the comparison `condition` has the outcome `one`."""
        return self.selected(decision, condition, *((slot, ANYTHING) if one else (ANYTHING, slot)))

    def resolved(self, slot: int, always: Always, trace: dict[int, int]) -> tuple[int, Always]:
        """What is left of a slot where `always` holds, and what always holds where that matters.

        A selection by a decision in `always` comes to one of its sides. An open selection comes to the side that matters,
        and its outcome always holds below; it comes to ANYTHING if `always` says otherwise. `trace` is that of the part of the
        tree: selections by comparisons of other parts are not decided.
        """
        while (decision := self.decisions.get(slot)) is not None:
            condition, one, zero = self.at(slot)[1]
            known = next((holds for d, holds in always if d == decision), None)
            if trace.get(decision) != condition:
                known = None
                if ANYTHING not in (one, zero):
                    break
            elif ANYTHING in (one, zero):
                if known is None:
                    always = (*always, (decision, one != ANYTHING))
                elif known != (one != ANYTHING):
                    return ANYTHING, ()
            elif known is None:
                break
            slot = one if zero == ANYTHING or (known and one != ANYTHING) else zero
        return slot, always

    def at(self, slot: int) -> tuple[Primitive | None, tuple[int, ...]]:
        """The instruction of a slot."""
        return self.instructions[slot - self.first] if slot >= self.first else (None, ())

    def sources(self, slot: int) -> tuple[int, int]:
        """On which inputs and leaves a slot depends, as bits of one number; and how many operations lie between at most."""
        none = (0, 0)
        for _, operands in self.instructions[len(self._sources) :]:
            own = self.first + len(self._sources) in self.decisions
            below = [self._sources[i - self.first] if i >= self.first else (1 << i, 0) if i >= 0 else none for i in operands]
            height = max(high for _, high in below[own:]) + (not own)
            self._sources.append((reduce(or_, [bits for bits, _ in below]), height))
        return self._sources[slot - self.first] if slot >= self.first else (1 << slot, 0) if slot >= 0 else none

    def terms(self, slot: int, always: Always, trace: dict[int, int]) -> tuple[list[Term], list[int]]:
        """The terms of a sum from first to last, and the slots of the partial sums up to each."""
        terms: list[Term] = []
        sums: list[int] = []
        while len(terms) <= TERMS:
            slot, always = self.resolved(slot, always, trace)
            sums.append(slot)
            rule, operands = self.at(slot)
            if rule not in SUMS or (terms and slot in self.shared):
                break
            x, y = operands
            if rule is _ADD and self.at(x)[0] not in SUMS and self.at(y)[0] in SUMS:
                x, y = y, x
            terms.append((y, always, rule is _SUB))
            slot = x
        terms.append((slot, always, False))
        return terms[::-1], sums[::-1]

    def tape(self, inputs: int, leaves: int, outputs: Sequence[int]) -> Tape:
        """The tape with those outputs, without selections between a number and ANYTHING or the same number."""
        base, first = inputs + leaves, inputs + leaves + len(self.numbers)
        to: list[int] = []
        kept: dict[Instruction, int] = {}

        def place(slot: int) -> int:
            return to[slot - base] if slot >= base else slot if slot >= 0 else base + ANYTHING - 1 - slot

        for at, (rule, operands) in enumerate(self.instructions, base):
            if ANYTHING in operands:
                to.append(place(next((x for x in operands[1:] if x != ANYTHING), operands[0])))
                continue
            own = tuple(map(place, operands))
            if at in self.decisions and own[1] == own[2]:
                to.append(own[1])
            else:
                to.append(kept.setdefault((rule, own), first + len(kept)))
        return Tape(inputs, leaves, list(self.numbers), [*kept], [place(i) for i in outputs])
