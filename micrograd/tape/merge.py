"""Paths merged: one tape that computes the results of several paths, and selects those of the path that a sample takes.

`branches` comes here once a call has met no new path. What the paths have in common is computed once; the rest is computed for
every path and every sample, and chosen by the comparisons, which are part of the tape. Each number is that of its own path's
tape, bit for bit. An infinity on another path reaches nothing: a selection takes one number and leaves the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from micrograd.primitives import RULES, Primitive
from micrograd.tape.tape import Guard, Instruction, Tape, constant_key

_COUNTED = {  # a comparison as a primitive, and the result of the comparison for which that is 1.0
    "__lt__": ("less", True), "__le__": ("greater", False), "__gt__": ("greater", True), "__ge__": ("less", False),
    "__eq__": ("equal", True), "__ne__": ("equal", False),
}  # fmt: skip
_WHERE, _SUM, _SUB, _EQUAL, _LESS = (RULES[name] for name in ("where", "sum", "sub", "equal", "less"))
ELSEWHERE = -1.0  # the number of the path of a sample that takes none of them
SMALL, GROWTH = 2000, 4  # instructions that a merged tape may have, and how many times as many as its longest path


def merged(
    paths: Sequence[tuple[Tape, Sequence[int]]], leaves: int, results: bool, gradient: bool = False, reduce: bool = False
) -> Tape | None:
    """The tape of some paths, each a tape with the numbers of its leaves among all `leaves`.

    Its outputs are the results, where they are asked for, with a `gradient` that of each for all leaves, then the number of the
    path that the sample takes: ELSEWHERE for none of them, nan where it compares a nan. With `reduce`, in place of the number,
    what sums to 0.0 where every sample takes one of them. None where the paths do not compare the same in the same order, or
    where computing all of them for every sample would be too much.
    """
    code = _Code(paths, leaves, results, gradient)
    try:
        number, chosen = code.tree(list(range(len(paths))), 0)
    except _Unlike:
        return None
    if reduce:
        number = code.add(_LESS, number, code.number(0.0))
    longest = max(len(tape.instructions) for tape, _ in paths)
    if len(paths) > 1 and results and len(code.instructions) > max(SMALL, GROWTH * longest):
        return None
    return Tape(paths[0][0].inputs, leaves, code.numbers, code.instructions, [*chosen, number])


class _Unlike(Exception):
    """Two paths that have decided alike so far go on to different comparisons."""


class _Code:
    """The instructions of the paths, equal ones once, and the tree of their comparisons."""

    def __init__(self, paths: Sequence[tuple[Tape, Sequence[int]]], leaves: int, results: bool, gradient: bool):
        self.guards: list[list[Guard]] = [tape.guards for tape, _ in paths]
        self.instructions: list[Instruction] = []
        self._known: dict[Instruction, int] = {}
        self.numbers: list[float] = []
        self._slots: dict[Any, int] = {}
        self._base = paths[0][0].inputs + leaves
        counts = range(max(len(paths), *map(len, self.guards), 1) + 1)
        for x in (ELSEWHERE, *counts, *(x for tape, _ in paths for x in tape.constants)):
            if constant_key(x) not in self._slots:
                self._slots[constant_key(x)] = self._base + len(self.numbers)
                self.numbers.append(float(x))
        self.first = self._base + len(self.numbers)
        self.slots = [self._taken_in(*path) for path in paths]  # the new slot of each old one
        self.outputs: list[list[int]] = []
        for (tape, own), to in zip(paths, self.slots, strict=True):
            outputs = [to[i] for i in tape.outputs] if results else []
            if gradient and outputs:
                values, zero = len(outputs) // (1 + len(own)), self.number(0.0)
                of_leaf = [dict(zip(own, outputs[at:], strict=False)) for at in range(values, len(outputs), max(1, len(own)))]
                of_leaf = of_leaf or [{}] * values
                outputs[values:] = [row.get(i, zero) for row in of_leaf for i in range(leaves)]
            self.outputs.append(outputs)

    def add(self, rule: Primitive, *operands: int) -> int:
        """The slot of an instruction."""
        key = (rule, operands)
        if key not in self._known:
            self._known[key] = self.first + len(self.instructions)
            self.instructions.append(key)
        return self._known[key]

    def number(self, x: float) -> int:
        """The slot of a constant."""
        return self._slots[constant_key(x)]

    def _taken_in(self, tape: Tape, leaves: Sequence[int]) -> list[int]:
        to = [*range(tape.inputs), *(tape.inputs + i for i in leaves), *map(self.number, tape.constants)]
        for rule, operands in tape.instructions:
            to.append(self.add(rule, *[to[i] for i in operands]))
        return to

    def compared(self, path: int, depth: int) -> tuple[int, bool]:
        """The slot of a comparison of a path, and the result of the comparison for which there is a 1.0."""
        guard, to = self.guards[path][depth], self.slots[path]
        name, holds = _COUNTED[guard.name]
        return self.add(RULES[name], to[guard.x], to[guard.y]), holds

    def tree(self, members: list[int], depth: int) -> tuple[int, list[int]]:
        """The slots of the number and of the results of the paths that have decided alike up to `depth` comparisons."""
        path, ones, zeros = members[0], list[int](), list[int]()  # comparisons that all members decide alike
        while depth < len(self.guards[path]):
            here = {(g[depth].name, g[depth].line) if depth < len(g) else None for g in map(self.guards.__getitem__, members)}
            if len(here) > 1:
                raise _Unlike
            slot, holds = self.compared(path, depth)
            one = [m for m in members if self.guards[m][depth].result == holds]
            zero = [m for m in members if self.guards[m][depth].result != holds]
            depth += 1
            if one and zero:
                (number, outputs), (other, others) = self.tree(one, depth), self.tree(zero, depth)
                pairs = zip(outputs, others, strict=True)
                outputs = [a if a == b else self.add(_WHERE, slot, a, b) for a, b in pairs]
                return self._where_all(ones, zeros, self.add(_WHERE, slot, number, other)), outputs
            (ones if one else zeros).append(slot)
        if len(members) > 1:
            raise _Unlike
        return self._where_all(ones, zeros, self.number(path)), self.outputs[path]

    def _where_all(self, ones: list[int], zeros: list[int], number: int) -> int:
        """`number` where some comparisons are 1.0 and others 0.0, else ELSEWHERE."""
        totals = [slots[0] if len(slots) == 1 else self.add(_SUM, *slots) for slots in (ones, zeros) if slots]
        if not totals:
            return number
        count = self.add(_SUB, *totals) if len(totals) == 2 else totals[0]
        return self.add(_WHERE, self.add(_EQUAL, count, self.number(len(ones))), number, self.number(ELSEWHERE))
