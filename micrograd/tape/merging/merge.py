"""Merging paths: one tape that computes the results of several paths, and selects those of the path that a sample takes.

`branches` uses it once a call has met no new path. What the paths have in common is computed once. The rest is computed for
every path and every sample, and selected by the comparisons, which are part of the tape; `joins` joins the two sides of a
comparison, and its docstring has an example. Every result has the bits of its own path's tape. An infinity on another path does
no harm: a selection takes one number and ignores the other. Derivatives are results too where bits must be exact; else
`recordings` takes them of the merged tape.

The tape also tells which path a sample takes. The comparisons of all paths make a tree (see `joins`), and the outcomes of a
path's comparisons are its pattern: to tell the path is to find the pattern among those of the known paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import NamedTuple

from micrograd.primitives import RULES, Primitive
from micrograd.tape.merging.joins import Join
from micrograd.tape.merging.selections import Code, Part
from micrograd.tape.rewriting.passes import optimised, use_counts
from micrograd.tape.tape import Guard, Tape

_PRIMITIVES = {  # for a comparison: a primitive, which gives 1.0 or 0.0; the order of its operands; what 1.0 stands for
    "__lt__": ("greater", -1, True), "__le__": ("greater", 1, False), "__gt__": ("greater", 1, True),
    "__ge__": ("greater", -1, False), "__eq__": ("equal", 1, True), "__ne__": ("equal", 1, False),
}  # fmt: skip
_WHERE, _SUM, _DOT, _ADD, _SUB, _MUL = (RULES[name] for name in ("where", "sum", "dot", "add", "sub", "mul"))
_EQUAL, _GREATER, _TAKE = RULES["equal"], RULES["greater"], RULES["take"]
ELSEWHERE = -1.0  # in the place of a path's number, for a sample that takes none of the paths
SMALL_TAPE = 2000  # a merged tape may have so many instructions,
GROWTH = 4  # or so many times those of the longest path, which is taken to have at least 5 for each of the paths
LONG_SUM = 17  # sums of more operands are not split into additions
BITS = 52  # so many decisions, as bits, can be held exactly by one number
FEW_PATTERNS = 16  # up to so many patterns of decisions are compared one by one;
TABLE = 13  # more of them are looked up in a table, if it is for at most so many decisions


def merged(
    paths: Sequence[tuple[Tape, Sequence[int]]],
    leaves: int,
    results: bool,
    gradient: bool = False,
    gates: bool = False,
    exact: bool = True,
) -> Tape | None:
    """The tape of some paths, each of them a tape with the places of its leaves among all `leaves`.

    With `results`, its first outputs are the results of the path that a sample takes; with a `gradient`, the derivatives of
    each result by all leaves follow. The last output tells the path:

        a sample takes a known path      without `results` the number of the path; with `results` 0.0, whichever path it is,
                                         so that the sum over the samples is 0.0 if all of them take known paths
        it takes none of them            ELSEWHERE, or less if an index is outside its table too
        it compares a nan                nan; with `gates` also if a result is nan, which a gated tape may have to compute again

    Unless `exact`, a sum of nothing but negative zeros may be a positive one, or the other way round.

    Without `results`, whole numbers follow that hold the outcomes of all comparisons as bits, up to BITS in each. Samples that
    take no known path most likely take different ones if these numbers differ. From the comparison on that decides otherwise
    than on all known paths, they may hold anything.

    None if the paths do not compare the same in the same order, or if computing all of them for every sample would be too
    much.
    """
    tree = _Tree(paths, leaves, results, gradient, exact)
    try:
        part = tree.part(list(range(len(paths))), 0, {})
        number, chosen = tree.path_number(part), part.outputs[1:]
    except (_Unlike, RecursionError):  # the latter for a loop of many hundred steps with a path that ends at each
        return None
    code = tree.code
    if gates:
        total = code.add(_SUM, *chosen)
        number = code.add(_WHERE, code.add(_EQUAL, total, total), number, total)
    longest = max(5 * len(paths), *(len(tape.instructions) for tape, _ in paths))
    bits = [] if results else tree.wholes([*part.trace.values()])
    found = optimised(code.tape(paths[0][0].inputs, leaves, [*chosen, number, *bits]), exact=True)
    if len(paths) > 1 and results and len(found.instructions) > max(SMALL_TAPE, GROWTH * longest):
        return None
    return found


class _Unlike(Exception):
    """Two paths whose decisions have been the same so far go on to different comparisons."""


class _Decision(NamedTuple):
    """What identifies a comparison on all paths: its method, the line that wrote it, and how often that had run before."""

    name: str
    line: str
    nth: int


class _Tree:
    """The instructions of all paths, with equal ones merged, and the tree of their comparisons."""

    def __init__(self, paths: Sequence[tuple[Tape, Sequence[int]]], leaves: int, results: bool, gradient: bool, exact: bool):
        self.results, self.in_additions, self.exact = results, len(paths) > 2, exact
        self.guards: list[list[Guard]] = [tape.guards for tape, _ in paths]
        self.decisions: list[list[int]] = []  # for each path, the numbers of its decisions
        self.outcomes: list[set[bool]] = []  # for each decision, whether its comparison is 1.0, on all paths
        self._number_decisions()
        self.decided: list[dict[int, bool]] = [{} for _ in paths]  # for each path, by decision, whether its comparison is 1.0
        self.code = Code(paths[0][0].inputs + leaves)
        self.slots = [self._taken_in(*path) for path in paths]  # the new slot of each old one
        self.outputs: list[list[int]] = []  # for each path, whether its indices are inside their tables, and its results
        for (tape, own), to in zip(paths, self.slots, strict=True):
            outputs = [to[i] for i in tape.outputs] if results else []
            if gradient and outputs:  # the derivatives by leaves that the path does not use are 0
                values, zero = len(outputs) // (1 + len(own)), self.code.number(0.0)
                of_leaf = [dict(zip(own, outputs[at:], strict=False)) for at in range(values, len(outputs), max(1, len(own)))]
                of_leaf = of_leaf or [{}] * values
                outputs[values:] = [row.get(i, zero) for row in of_leaf for i in range(leaves)]
            self.outputs.append([self._in_tables(tape, to) if results else self.code.number(1.0), *outputs])

    def _number_decisions(self) -> None:
        """Give each comparison a number, the same on all paths that come to it."""
        numbers: dict[_Decision, int] = {}
        for guards in self.guards:
            often: dict[tuple[str, str], int] = {}
            own: list[int] = []
            for guard in guards:
                nth = often[guard.name, guard.line] = often.get((guard.name, guard.line), -1) + 1
                own.append(numbers.setdefault(_Decision(guard.name, guard.line, nth), len(numbers)))
                if own[-1] == len(self.outcomes):
                    self.outcomes.append(set())
                self.outcomes[own[-1]].add(guard.result == _PRIMITIVES[guard.name][2])
            self.decisions.append(own)

    def _taken_in(self, tape: Tape, leaves: Sequence[int]) -> list[int]:
        """Add the instructions of a path; returns the new slot of each old one."""
        add, number = self.code.add, self.code.number
        to = [*range(tape.inputs), *(tape.inputs + i for i in leaves), *map(number, tape.constants)]
        ends = {*tape.outputs}
        for (rule, operands), used in zip(tape.instructions, use_counts(tape)[tape.first :], strict=True):
            own = [to[i] for i in operands]
            to.append(self._in_additions(rule, own) if self.in_additions and rule in (_SUM, _DOT) else add(rule, *own))
            if used > (3 if len(to) - 1 in ends else 1):
                self.code.shared.add(to[-1])
        return to

    def _in_additions(self, rule: Primitive, operands: list[int]) -> int:
        """A short sum, or dot, as single additions: paths may have the first of them in common."""
        add = self.code.add
        if len(operands) > LONG_SUM:
            return add(rule, *operands)
        half = len(operands) // 2
        terms = operands
        if rule is _DOT:
            products = [add(_MUL, x, y) for x, y in zip(operands[:half], operands[half:-1], strict=True)]
            nothing = self.code.nothing[: 1 if self.exact else 2]
            terms = products if operands[-1] in nothing else [*operands[-1:], *products]
        return reduce(partial(add, _ADD), terms)

    def _in_tables(self, tape: Tape, to: list[int]) -> int:
        """A slot that holds 1.0 if all indices of a path are inside their tables, else 0.0."""
        add, number, inside = self.code.add, self.code.number, self.code.number(1.0)
        for index, length in tape.lookups():
            within = add(_MUL, add(_GREATER, to[index], number(-1.0)), add(_GREATER, number(float(length)), to[index]))
            inside = within if inside == number(1.0) else add(_MUL, inside, within)
        return inside

    def _compared(self, path: int, depth: int) -> tuple[int, bool]:
        """The slot of a comparison of a path, and which result of the comparison 1.0 stands for there."""
        guard, to = self.guards[path][depth], self.slots[path]
        name, order, holds = _PRIMITIVES[guard.name]
        return self.code.add(RULES[name], *(to[guard.x], to[guard.y])[::order]), holds

    def part(self, members: list[int], depth: int, known: dict[int, bool]) -> Part:
        """The part of the tree for the paths `members`, whose first `depth` decisions are the same.

        `known` says of the slots of their comparisons whether they are 1.0.
        """
        path, alike = members[0], list[tuple[int, int, bool]]()  # decisions with the same outcome for all members
        found = Part({}, (), self.outputs[path])
        while depth < len(self.guards[path]):
            here = {(g[depth].name, g[depth].line) if depth < len(g) else None for g in map(self.guards.__getitem__, members)}
            if len(here) > 1:
                raise _Unlike
            slot, holds = self._compared(path, depth)
            decision = self.decisions[path][depth]
            one = [m for m in members if self.guards[m][depth].result == holds]
            zero = [m for m in members if self.guards[m][depth].result != holds]
            depth += 1
            if slot in known:  # the same operands have been compared before
                if (one and zero) or known[slot] != bool(one):
                    raise _Unlike
                continue
            for members_alike, side in ((one, True), (zero, False)):
                for m in members_alike:
                    self.decided[m][decision] = side
            if one and zero:
                parts = self.part(one, depth, {**known, slot: True}), self.part(zero, depth, {**known, slot: False})
                found = self._joined(decision, slot, *parts)
                break
            known[slot] = bool(one)
            alike.append((decision, slot, bool(one)))
        else:
            if len(members) > 1:
                raise _Unlike
        trace = {decision: slot for decision, slot, _ in alike} | found.trace
        return Part(trace, (*((decision, side) for decision, _, side in alike), *found.always), found.outputs)

    def _default(self, decision: int) -> bool:
        """The outcome of a decision for paths that do not come to it: True if it is that on all others, else False."""
        return self.outcomes[decision] == {True}

    def _joined(self, decision: int, slot: int, one: Part, zero: Part) -> Part:
        """The two sides of a decision, joined to one part."""
        default = {d: self.code.number(float(self._default(d))) for part in (one, zero) for d in part.trace}
        return Join(self.code, decision, slot, one, zero).part(default)

    def path_number(self, part: Part) -> int:
        """The slot of the number that tells which path a sample takes; see `merged`."""
        add, number, trace = self.code.add, self.code.number, part.trace
        decisions = [d for d in trace if len(self.outcomes[d]) > 1]  # the others have one outcome on all known paths,
        ones, zeros = ([trace[d] for d in trace if self.outcomes[d] == {side}] for side in (True, False))  # 1.0 or 0.0
        patterns = {tuple([own.get(d, self._default(d)) for d in decisions]): m for m, own in enumerate(self.decided)}
        if len(patterns) < len(self.decided):
            raise _Unlike
        found = self._of_patterns([trace[d] for d in decisions], patterns)
        holds = [part.outputs[0]] if part.outputs[0] != number(1.0) else []
        if totals := [slots[0] if len(slots) == 1 else add(_SUM, *slots) for slots in (ones, zeros) if slots]:
            count = add(_SUB, *totals) if len(totals) == 2 else totals[0]  # as many as `ones` only if each is as it must be
            holds.append(add(_EQUAL, count, number(float(len(ones)))))
        for slot in holds:
            if self.results:
                found = add(_ADD, found, add(_SUB, slot, number(1.0)))
            else:
                found = add(_WHERE, slot, found, number(ELSEWHERE))
        return found

    def _of_patterns(self, slots: list[int], patterns: dict[tuple[bool, ...], int]) -> int:
        """The slot of a number that tells the path by its pattern: the path's own number, or 0.0 with results.

        `slots` are those of the comparisons, which hold 1.0 or 0.0. `patterns` are those of the known paths, with their
        numbers; any other gives ELSEWHERE. Read as binary digits, a pattern is a whole number (several, if it is long), which
        is compared with those of the known patterns, or looked up in a table.
        """
        add, number, n = self.code.add, self.code.number, len(slots)
        if not n:
            return number(0.0)
        if self.results and len(patterns) == 1 << n:  # all are known: 0.0, or nan if a comparison is nan
            return add(_MUL, slots[0] if n == 1 else add(_SUM, *slots), number(0.0))
        wholes = self.wholes(slots)
        values = {tuple([_value(bits[at : at + BITS]) for at in range(0, n, BITS)]): m for bits, m in patterns.items()}

        def alike(wanted: Sequence[int]) -> int:
            equal = [add(_EQUAL, whole, number(float(x))) for whole, x in zip(wholes, wanted, strict=True)]
            return reduce(partial(add, _MUL), equal)

        def total(xs: list[int]) -> int:
            return xs[0] if len(xs) == 1 else add(_SUM, *xs)

        # any pattern that is unknown is compared, if those are few
        if self.results and (1 << n) - len(patterns) <= min(FEW_PATTERNS, len(patterns)):
            others = [alike([x]) for x in range(1 << n) if (x,) not in values]
            return add(_SUB, number(0.0), total(others))
        if n <= TABLE and len(patterns) > FEW_PATTERNS:
            table = [number(ELSEWHERE)] * (1 << n)
            for (x,), m in values.items():
                table[x] = number(0.0 if self.results else float(m))
            return add(_ADD, add(_TAKE, wholes[0], *table), add(_MUL, wholes[0], number(0.0)))
        # of these terms, one is not 0 for a known pattern, and none for any other
        weights = [1.0 if self.results else m + 1.0 for m in values.values()]
        terms = [alike(x) if w == 1.0 else add(_MUL, number(w), alike(x)) for x, w in zip(values, weights, strict=True)]
        return add(_SUB, total(terms), number(1.0))

    def wholes(self, slots: list[int]) -> list[int]:
        """The slots of whole numbers whose binary digits are in these slots, the lowest first, up to BITS in each."""
        add, number, found = self.code.add, self.code.number, list[int]()
        for at in range(0, len(slots), BITS):
            bits = slots[at : at + BITS]
            powers = [number(float(1 << i)) for i in range(len(bits))]
            found.append(bits[0] if len(bits) == 1 else add(_DOT, *bits, *powers, number(0.0)))
        return found


def _value(bits: Sequence[bool]) -> int:
    return sum(1 << i for i, bit in enumerate(bits) if bit)
