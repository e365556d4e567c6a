"""Merging paths: one tape that computes the results of several paths, and selects those of the path that a sample takes.

`branches` uses it once a call has met no new path. What the paths have in common is computed once. The rest is computed for
every path and every sample, and selected by the comparisons, which are part of the tape. If two paths go on after an `if` with
the same operations on different numbers, the numbers are selected and the operations done once: so n independent ifs, which
make 2ⁿ paths, become n selections. Every result has the bits of its own path's tape. An infinity on another path does no
harm: a selection takes one number and ignores the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial, reduce
from itertools import zip_longest
from typing import Any

from micrograd.primitives import RULES, Primitive
from micrograd.tape.passes import chained, swept
from micrograd.tape.tape import Guard, Instruction, Tape, constant_key

_COUNTED = {  # a comparison as a primitive, which gives 1.0 or 0.0; and whether 1.0 stands for True
    "__lt__": ("less", True), "__le__": ("greater", False), "__gt__": ("greater", True), "__ge__": ("less", False),
    "__eq__": ("equal", True), "__ne__": ("equal", False),
}  # fmt: skip
_WHERE, _SUM, _DOT, _ADD, _SUB, _MUL = (RULES[name] for name in ("where", "sum", "dot", "add", "sub", "mul"))
_EQUAL, _LESS = RULES["equal"], RULES["less"]
ELSEWHERE = -1.0  # in the place of a path's number, for a sample that takes none of the paths
# a merged tape has at most SMALL instructions, or GROWTH times as many as the longest path (taken to have at least 3 a path)
SMALL, GROWTH = 2000, 4
MANY = 1 << 16  # with more results, counted for every path, ANYTHING is not used
ANYTHING = -1  # in the place of a slot: any number will do, because no path is known on this side of a comparison
LONG = 17  # sums of more operands are not split into additions
FEW = 8  # the most selections of operands that may replace one selection between two results


def merged(
    paths: Sequence[tuple[Tape, Sequence[int]]], leaves: int, results: bool, gradient: bool = False, gates: bool = False
) -> Tape | None:
    """The tape of some paths, each of them a tape with the places of its leaves among all `leaves`.

    With `results`, its outputs are the results of the path that a sample takes, with a `gradient` followed by the derivatives
    of each by all leaves. Then comes one more output, which says which path that is: the number of the path, or with `results`
    0.0 for any path, so that its sum over the samples is 0.0 if each takes one of the paths. It is ELSEWHERE if the sample
    takes none of them, or if an index is outside its table. It is nan if a nan is compared, and, with `gates` (some result may
    have to be computed again by a gated tape), if a result is nan.

    None if the paths do not compare the same in the same order, or if computing all of them for every sample would be too
    much.
    """
    code = _Code(paths, leaves, results, gradient)
    try:
        number, chosen = code.tree(list(range(len(paths))), 0)
    except (_Unlike, RecursionError):  # the latter for a loop of many hundred steps with a path that ends at each
        return None
    if gates and chosen:
        total = code.add(_SUM, *chosen)
        number = code.add(_WHERE, code.add(_EQUAL, total, total), number, total)
    longest = max(3 * len(paths), *(len(tape.instructions) for tape, _ in paths))
    found = code.tape(paths[0][0].inputs, leaves, [*chosen, number])
    if len(paths) > 1 and results and len(found.instructions) > max(SMALL, GROWTH * longest):
        return None
    return found


class _Unlike(Exception):
    """Two paths whose decisions have been the same so far go on to different comparisons."""


class _Code:
    """The instructions of all paths, with equal ones merged, and the tree of their comparisons."""

    def __init__(self, paths: Sequence[tuple[Tape, Sequence[int]]], leaves: int, results: bool, gradient: bool):
        self.results, self.apart = results, len(paths) > 2
        self.guards: list[list[Guard]] = [tape.guards for tape, _ in paths]
        every = zip_longest(*([guard.result for guard in guards] for guards in self.guards))
        self.split = [{True, False} <= {*at} for at in every]  # at which comparisons paths part
        self.instructions: list[Instruction] = []
        self._known: dict[Instruction, int] = {}
        self._depths: dict[int, int] = {}  # for the slot of a comparison, how many come before it: a hint where to look first
        self.numbers: list[float] = []
        self._slots: dict[Any, int] = {}
        self._base = paths[0][0].inputs + leaves
        self.lookups = [tape.lookups() if results else [] for tape, _ in paths]
        most = max(len(guards) + 2 * len(lookups) for guards, lookups in zip(self.guards, self.lookups, strict=True))
        lengths = [float(n) for lookups in self.lookups for _, n in lookups]
        counts = range(max(len(paths), most, 1) + 1)
        for x in (ELSEWHERE, *counts, *lengths, *(x for tape, _ in paths for x in tape.constants)):
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
        """The slot of an instruction, which is added if it is new."""
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
            own = [to[i] for i in operands]
            to.append(self._apart(rule, own) if self.apart and rule in (_SUM, _DOT) else self.add(rule, *own))
        return to

    def _apart(self, rule: Primitive, operands: list[int]) -> int:
        """A short sum, or dot, as single additions: paths may have the first of them in common."""
        if len(operands) > LONG:
            return self.add(rule, *operands)
        half = len(operands) // 2
        terms = operands
        if rule is _DOT:
            products = [self.add(_MUL, x, y) for x, y in zip(operands[:half], operands[half:-1], strict=True)]
            terms = [*operands[-1:], *products] if operands[-1] != self._slots.get(constant_key(-0.0)) else products
        return reduce(partial(self.add, _ADD), terms)

    def compared(self, path: int, depth: int) -> tuple[int, bool]:
        """The slot of a comparison of a path, and which result of the comparison 1.0 stands for there."""
        guard, to = self.guards[path][depth], self.slots[path]
        name, holds = _COUNTED[guard.name]
        return self.add(RULES[name], to[guard.x], to[guard.y]), holds

    def tree(self, members: list[int], depth: int) -> tuple[int, list[int]]:
        """The slots of the number and of the results, for the paths `members`, whose first `depth` decisions are the same."""
        path, ones, zeros = members[0], list[int](), list[int]()  # slots of comparisons that all members decide alike
        sides = list[tuple[int, bool]]()  # of these, the comparisons that other paths decide in both ways
        while depth < len(self.guards[path]):
            here = {(g[depth].name, g[depth].line) if depth < len(g) else None for g in map(self.guards.__getitem__, members)}
            if len(here) > 1:
                raise _Unlike
            slot, holds = self.compared(path, depth)
            self._depths.setdefault(slot, depth)
            one = [m for m in members if self.guards[m][depth].result == holds]
            zero = [m for m in members if self.guards[m][depth].result != holds]
            depth += 1
            if self.split[depth - 1] and not (one and zero):
                sides.append((slot, bool(one)))
            if one and zero:
                (number, outputs), (other, others) = self.tree(one, depth), self.tree(zero, depth)
                if self.results:
                    number, *outputs = self.joined(slot, zip([number, *outputs], [other, *others], strict=True))
                    other = number  # the selection below still gives nan if a nan is compared
                return self._where_all(ones, zeros, self.add(_WHERE, slot, number, other)), self._on(sides, outputs)
            (ones if one else zeros).append(slot)
        if len(members) > 1:
            raise _Unlike
        for index, length in self.lookups[path]:
            i = self.slots[path][index]
            ones += [self.add(_LESS, self.number(-1.0), i), self.add(_LESS, i, self.number(float(length)))]
        return self._where_all(ones, zeros, self.number(0 if self.results else path)), self._on(sides, self.outputs[path])

    def _on(self, sides: list[tuple[int, bool]], outputs: list[int]) -> list[int]:
        """Selections between the outputs and ANYTHING: the outputs matter on one side of these comparisons only."""
        if len(outputs) * len(self.outputs) <= MANY:
            for slot, one in reversed(sides):
                outputs = [self.add(_WHERE, slot, *((i, ANYTHING) if one else (ANYTHING, i))) for i in outputs]
        return outputs

    def joined(self, slot: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
        """For each pair of results a slot that holds the first where a comparison is 1.0, the second where it is 0.0.

        A pair is joined in one of two ways. Where both are results of one primitive, its operands are joined in pairs, and it
        is applied once. Where that would take too many selections, or they are of two primitives, one selection joins the pair.
        """
        chosen: dict[
            tuple[int, int], tuple[frozenset[tuple[int, int]], int]
        ] = {}  # the pairs to select for it, and how far below
        parts: dict[tuple[int, int], tuple[Primitive | None, list[tuple[int, int]]]] = {}
        made: dict[tuple[int, int], int] = {}
        wanted = [*pairs]
        for pair in wanted:  # first decide which way each pair is joined, operands before results
            stack = [pair]
            while stack:
                a, b = at = stack[-1]
                if at in chosen:
                    stack.pop()
                    continue
                if a == b or ANYTHING in at:
                    chosen[at], made[at] = (frozenset(), 0), b if a == ANYTHING else a
                    continue
                parts[at] = _, below = self._parts(a, b)
                if missing := [p for p in below if p not in chosen]:
                    stack += missing
                    continue
                selected = frozenset[tuple[int, int]]().union(*(chosen[p][0] for p in below))
                depth = 1 + max((chosen[p][1] for p in below), default=0)
                shared = below and len(selected) <= min(depth + 1, FEW)
                chosen[at] = (selected, depth) if shared else (frozenset([at]), 0)
        for pair in wanted:  # then add the instructions, in the same order
            stack = [pair]
            while stack:
                at = stack[-1]
                if at in made:
                    stack.pop()
                    continue
                if at in chosen[at][0]:
                    made[at] = self.add(_WHERE, slot, *at)
                elif missing := [p for p in parts[at][1] if p not in made]:
                    stack += missing
                    continue
                else:
                    rule, below = parts[at]
                    own = [made[p] for p in below]
                    made[at] = self.add(rule, *own) if rule is not None else own[0]
                if depths := [self._depths[i] for i in at if i in self._depths]:
                    self._depths.setdefault(made[at], min(depths))
        return [made[pair] for pair in wanted]

    def _parts(self, a: int, b: int) -> tuple[Primitive | None, list[tuple[int, int]]]:
        """The primitive, and the pairs of operands, of two instructions of one kind.

        If they are not of one kind, but one of them is a selection with ANYTHING, None and the one pair that they may be
        replaced by. Else None and no pairs.
        """
        (rule, xs), (other, ys) = pair = [self._instruction(i) for i in (a, b)]
        open_ends = [operands for _, operands in pair if ANYTHING in operands]
        alike = rule is not None and rule is other and len(xs) == len(ys)
        if alike and (not open_ends or self._depths.get(xs[0], -1) == self._depths.get(ys[0], -2)):
            return rule, [*zip(xs, ys, strict=True)]
        if not open_ends:
            return None, []
        early = min(open_ends, key=lambda operands: self._depths[operands[0]])
        one = next(x for x in early[1:] if x != ANYTHING)
        return None, [(one, b) if early is xs else (a, one)]

    def _instruction(self, slot: int) -> tuple[Primitive | None, tuple[int, ...]]:
        return self.instructions[slot - self.first] if slot >= self.first else (None, ())

    def tape(self, inputs: int, leaves: int, outputs: list[int]) -> Tape:
        """The tape with those outputs, in which a selection between a number and ANYTHING is replaced by the number."""
        to, kept = [*range(self.first)], list[Instruction]()
        for rule, operands in self.instructions:
            if ANYTHING in operands:
                to.append(to[next(x for x in operands[1:] if x != ANYTHING)])
            else:
                to.append(self.first + len(kept))
                kept.append((rule, tuple([to[x] for x in operands])))
        found = Tape(inputs, leaves, self.numbers, kept, [to[i] for i in outputs])
        return swept(chained(found))

    def _where_all(self, ones: list[int], zeros: list[int], number: int) -> int:
        """`number` where some comparisons are 1.0 and others 0.0, else ELSEWHERE."""
        totals = [slots[0] if len(slots) == 1 else self.add(_SUM, *slots) for slots in (ones, zeros) if slots]
        if not totals:
            return number
        count = self.add(_SUB, *totals) if len(totals) == 2 else totals[0]
        return self.add(_WHERE, self.add(_EQUAL, count, self.number(len(ones))), number, self.number(ELSEWHERE))
