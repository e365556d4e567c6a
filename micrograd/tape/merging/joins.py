"""Joining the two sides of a comparison: the results of one side where it is 1.0, those of the other where it is 0.0.

`merge` uses it for each comparison at which paths part, from the last ones to the first. If both sides do the same operations
on different numbers, the numbers are selected and the operations done once: so n independent ifs, which make 2ⁿ paths, become n
selections. Sums are aligned term by term. A term that only one side has is paired with -0.0, which changes no bit.

If no path is known on one side of a later comparison, results may be anything there. Each part of the tree of comparisons
knows which of them always have the same outcome in it (`Part.always`). If the other part has both outcomes of such a
comparison, a result of this part needs no selection by it: for the outcome without a path, any number will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from micrograd.primitives import RULES, Primitive
from micrograd.tape.merging.alignment import aligned
from micrograd.tape.merging.selections import ANYTHING, SUMS, TERMS, Always, Code, Part, Term

_WHERE, _ADD, _SUB, _NEG = (RULES[name] for name in ("where", "add", "sub", "neg"))
FEW = 8  # the most selections of operands that may replace one selection between two results
PRICE = 3  # a selection costs as much as so many operations
DEEP = 4  # operations below a result of one side that are looked for among those of both

Pair = tuple[int, Always, int, Always]  # two slots, one on each side, each with what always holds where it matters


class _Plan(NamedTuple):
    """How a pair becomes one slot."""

    pair: Pair  # as `settled` gives it
    made: int | None = None  # the slot, if both are one already
    rule: Primitive | None = None  # else the operation; None for a selection between the two
    below: Sequence[Pair] = ()  # the operands of that operation
    minus: Sequence[bool] | None = None  # for a sum: which terms are subtracted
    decision: int | None = None  # for a selection by a later comparison: its decision
    claims: Sequence[tuple[int, int, bool]] = ()  # and what always holds for operands: operand, decision, outcome


class Join:
    """Joins two parts of the tree at a decision."""

    def __init__(self, code: Code, decision: int, slot: int, one: Part, zero: Part):
        self.code, self.decision, self.slot, self.sides = code, decision, slot, (one, zero)
        self.traces = one.trace, zero.trace
        self.conditions: dict[int, Pair] = {}  # for later decisions, the slots of their comparisons
        self.always: Always = ()  # what always holds in both parts
        self.plans: dict[Pair, _Plan] = {}
        self.chosen: dict[Pair, tuple[frozenset[Pair], frozenset[object]]] = {}  # for each pair, see `_chosen`
        self.made: dict[Pair, int] = {}
        self.used: dict[tuple[int, int], list[tuple[Always, Pair]]] = {}  # by side and slot, pairs that are sure to be made

    def part(self, default: dict[int, int]) -> Part:
        """Both parts in one. If only one of them comes to a decision, the other has the slot in `default` for it."""
        one, zero = self.sides
        order, before = _in_one_order([*one.trace], [*zero.trace]), [_before(part) for part in self.sides]
        if order is None:
            order = [*dict.fromkeys([*one.trace, *zero.trace])]
            before, (one, zero) = [{}, {}], (one._replace(always=()), zero._replace(always=()))
        self.always = tuple([x for x in one.always if x in zero.always])
        for d in order:
            slots = [part.trace.get(d, default[d]) for part in self.sides]
            self.conditions[d] = (slots[0], before[0].get(d, ()), slots[1], before[1].get(d, ()))
        pairs = [(x, one.always, y, zero.always) for x, y in zip(one.outputs, zero.outputs, strict=True)]
        found = self._joined([*self.conditions.values(), *pairs])
        trace = {self.decision: self.slot} | dict(zip(order, found, strict=False))
        return Part(trace, self.always, found[len(order) :])

    def _joined(self, wanted: list[Pair]) -> list[int]:
        """For each pair a slot that holds the first if the comparison is 1.0, the second if it is 0.0.

        A pair is joined in one of two ways. If both are results of one primitive, or sums, their operands are joined in pairs,
        and it is applied once. If that would take too many selections, or they are of two primitives, one selection joins the
        pair.
        """
        for pair in wanted:  # first decide which way each pair is joined, operands before results
            stack = [pair]
            while stack:
                at = stack[-1]
                if at in self.chosen:
                    stack.pop()
                    continue
                if (plan := self.plans.get(at)) is None:
                    plan = self.plans[at] = self._plan(at)
                if missing := [p for p in plan.below if p not in self.chosen]:
                    stack += missing
                    continue
                self.chosen[at] = self._chosen(at, plan)
        self._note_used(wanted)
        for pair in wanted:  # then add the instructions, in the same order
            stack, waiting = [pair], {pair}
            while stack:
                at = stack[-1]
                if at in self.made:
                    waiting.discard(stack.pop())
                    continue
                plan = self.plans.get(at) or self._plan(at)
                if plan.made is None and at in self.chosen.get(at, ((),))[0]:
                    plan = self._apart_by_later(plan.pair)
                elif ANYTHING in plan.pair[::2]:
                    plan = plan._replace(below=self._instead(plan.pair, waiting))
                if missing := [p for p in plan.below if p not in self.made]:
                    stack += missing
                    waiting |= {*missing}
                    continue
                self.made[at] = made = plan.made if plan.made is not None else self._made(plan)
                if made not in self.code.shared and not self.code.shared.isdisjoint((at[0], at[2])):
                    self.code.shared.add(made)
        return [self.made[pair] for pair in wanted]

    def _chosen(self, at: Pair, plan: _Plan) -> tuple[frozenset[Pair], frozenset[object]]:
        """The selections that a pair takes, and the operations done once for both sides: not all of these, if they are many."""
        if plan.made is not None or ANYTHING in plan.pair[::2]:
            return frozenset(), frozenset()
        if plan.rule is not None:
            nothing = {*self.code.nothing}
            selections = frozenset[Pair]().union(*(self.chosen[p][0] for p in plan.below))
            if len(selections) <= FEW:
                shared = frozenset[object]().union(*(self.chosen[p][1] for p in plan.below))
                if len(shared) < PRICE * FEW:
                    once = PRICE if plan.rule is _WHERE else 1
                    if plan.minus is not None:
                        once = sum(nothing.isdisjoint((p[0], p[2])) for p in plan.below) - 1
                    shared |= {(at, i) for i in range(once)}
                if PRICE * (len(selections) - 1) <= len(shared):
                    return selections, shared
        return frozenset([at]), frozenset()

    def _made(self, plan: _Plan) -> int:
        code, below = self.code, [self.made[p] for p in plan.below]
        if plan.rule is None:
            a, of_a, b, of_b = plan.pair
            if ANYTHING in (a, b):
                made = below[0] if below else self._anew(a, of_a, 0, DEEP) if b == ANYTHING else self._anew(b, of_b, 1, DEEP)
                a, b = [x if x == ANYTHING else made for x in (a, b)]
            return code.selected(self.decision, self.slot, self._within(a, of_a, 0), self._within(b, of_b, 1))
        if plan.decision is not None:
            for (i, decision, one), condition in reversed([*zip(plan.claims, below[3:], strict=True)]):
                below[i] = code.opened(decision, condition, below[i], one)
            return code.selected(plan.decision, *below[:3])
        if plan.minus is None:
            return code.add(plan.rule, *below)
        total = below[0]
        for term, minus in zip(below[1:], plan.minus[1:], strict=True):
            total = code.add(_SUB if minus else _ADD, total, term)
        return total

    def _apart_by_later(self, pair: Pair) -> _Plan:
        """A selection between two slots: by a later decision where that parts them too, as others may."""
        a, of_a, b, of_b = pair
        later = [(d, one) for d, one in of_a if (d, not one) in of_b and self.conditions.get(d) in self.made]
        if not later:
            return _Plan(pair)
        decision, one = later[-1]
        sides = (a, _without(of_a, decision), ANYTHING, ()), (ANYTHING, (), b, _without(of_b, decision))
        return self._selection(pair, decision, [self.conditions[decision], *(sides if one else sides[::-1])])

    def _note_used(self, wanted: list[Pair]) -> None:
        """Note which pairs are sure to be made, by the slots of each side."""
        used, stack = set[Pair](), [*wanted]
        while stack:
            at = stack.pop()
            plan = self.plans[at]
            a, of_a, b, of_b = plan.pair
            if at in used or ANYTHING in (a, b):
                continue
            used.add(at)
            if at not in self.chosen[at][0]:
                stack += plan.below
            self.used.setdefault((0, a), []).append((of_a, at))
            self.used.setdefault((1, b), []).append((of_b, at))

    def _instead(self, pair: Pair, waiting: set[Pair]) -> list[Pair]:
        """For a pair of a slot and ANYTHING: another pair with this slot that is sure to be made, if there is one."""
        a, of_a, b, of_b = pair
        candidates, always = (self.used.get((1, b), ()), of_b) if a == ANYTHING else (self.used.get((0, a), ()), of_a)
        return next(([at] for holds, at in candidates if at not in waiting and {*holds} <= {*always}), [])

    def _anew(self, slot: int, always: Always, side: int, deep: int) -> int:
        """What a slot of one side holds, computed from what has been made of its operands and of any of the other side.

        That comes to the same there, and is what other results are computed from.
        """
        for holds, pair in self.used.get((side, slot), ()):
            if pair in self.made and {*holds} <= {*always}:
                return self.made[pair]
        rule, operands = self.code.at(slot)
        if rule is None or not deep or slot in self.code.decisions:
            return slot
        return self.code.add(rule, *[self._anew(x, always, side, deep - 1) for x in operands])

    def _within(self, slot: int, always: Always, side: int) -> int:
        """A slot of one side, with open selections by the decisions that always hold for it, but not for both parts."""
        trace = self.traces[side]
        for decision, one in reversed(always) if slot != ANYTHING else ():
            if (decision, one) not in self.always:
                slot = self.code.opened(decision, trace[decision], slot, one)
        return slot

    def _plan(self, pair: Pair) -> _Plan:
        a, of_a = self.code.settled(*pair[:2], self.traces[0])
        b, of_b = self.code.settled(*pair[2:], self.traces[1])
        pair = a, of_a, b, of_b
        if a == b:
            return _Plan(pair, made=a)
        if ANYTHING in (a, b):
            return _Plan(pair)
        (rule, xs), (other, ys) = self.code.at(a), self.code.at(b)
        d, e = self.code.decisions.get(a), self.code.decisions.get(b)
        if d is not None or e is not None:
            if d == e and d is not None:
                below = [self._condition(d, xs[0], ys[0]), (xs[1], of_a, ys[1], of_b), (xs[2], of_a, ys[2], of_b)]
                return self._selection(pair, d, below)
            if d is not None and (known := dict(of_b).get(d)) is not None:
                rest = _without(of_b, d)
                one, zero = (b, ANYTHING) if known else (ANYTHING, b)
                below = [self._condition(d, xs[0], self.traces[1][d]), (xs[1], of_a, one, rest), (xs[2], of_a, zero, rest)]
                return self._selection(pair, d, below)
            if e is not None and (known := dict(of_a).get(e)) is not None:
                rest = _without(of_a, e)
                one, zero = (a, ANYTHING) if known else (ANYTHING, a)
                below = [self._condition(e, self.traces[0][e], ys[0]), (one, rest, ys[1], of_b), (zero, rest, ys[2], of_b)]
                return self._selection(pair, e, below)
            if d is not None and e is not None:
                return _Plan(pair)
        if (rule in SUMS or other in SUMS) and (sums := self._side_by_side(pair)):
            below, minus = sums
            return _Plan(pair, rule=_ADD, below=below, minus=minus)
        if rule is not None and rule is other and len(xs) == len(ys):
            return _Plan(pair, rule=rule, below=[(x, of_a, y, of_b) for x, y in zip(xs, ys, strict=True)])
        return _Plan(pair)

    def _selection(self, pair: Pair, decision: int, below: list[Pair]) -> _Plan:
        """The plan of a selection by a later decision between two pairs; for each, what always holds on both sides is kept."""
        claims = []
        for i in (1, 2):
            a, of_a = self.code.settled(*below[i][:2], self.traces[0])
            b, of_b = self.code.settled(*below[i][2:], self.traces[1])
            if ANYTHING not in (a, b):
                claims += [(i, *x) for x in of_a if x in of_b and x not in self.always and x[0] in self.conditions]
        return _Plan(
            pair, rule=_WHERE, below=[*below, *[self.conditions[d] for _, d, _ in claims]], decision=decision, claims=claims
        )

    def _condition(self, decision: int, x: int, y: int) -> Pair:
        """The pair of the comparisons of two selections by one decision."""
        known = self.conditions.get(decision)
        return known if known is not None and (x, y) == (known[0], known[2]) else (x, (), y, ())

    def _side_by_side(self, pair: Pair) -> tuple[list[Pair], list[bool]] | None:
        """Pairs of the terms of two sums, and which are subtracted; None if they are too long or too different."""
        (xs, sums), (ys, others) = self.code.terms(*pair[:2], self.traces[0]), self.code.terms(*pair[2:], self.traces[1])
        if len(xs) > TERMS or len(ys) > TERMS or len(xs) != len(sums) or len(ys) != len(others):
            return None
        begun = {slot: place for place, slot in enumerate(others)}
        if (both := max([k for k, slot in enumerate(sums) if slot in begun], default=-1)) >= 0:  # after a common partial sum
            start: Term = (sums[both], (), False)
            xs, ys = [start, *xs[both + 1 :]], [start, *ys[begun[sums[both]] + 1 :]]
        if (places := aligned(xs, ys, self._apart)) is None:
            return None
        (added, taken), found, minus = self.code.nothing, list[Pair](), list[bool]()
        for i, j in places:
            less = xs[i][2] if i is not None else j is not None and ys[j][2]
            nothing = taken if less else added
            x, of_x, _ = xs[i] if i is not None else (nothing, pair[1], less)
            y, of_y, other = ys[j] if j is not None else (nothing, pair[3], less)
            if less and not other:
                x, less = self.code.add(_NEG, x), False
            elif other and not less:
                y = self.code.add(_NEG, y)
            found.append((x, of_x, y, of_y))
            minus.append(less)
        return found, minus

    def _apart(self, x: Term, y: Term) -> float:
        """The cost of joining two terms; a selection between a term and nothing costs 1."""
        (a, of_a), (b, of_b) = self.code.settled(*x[:2], self.traces[0]), self.code.settled(*y[:2], self.traces[1])
        if a == b:
            return 0.0 if x[2] == y[2] else 1.0
        code = self.code
        d, e = code.decisions.get(a), code.decisions.get(b)
        if d is not None and (d == e or d in dict(of_b)):
            return 0.25
        if e is not None and e in dict(of_a):
            return 0.25
        (p, high), (q, low) = code.sources(a), code.sources(b)
        alike = (p & q).bit_count() / (p | q).bit_count() if p | q else 0.0
        return 1.5 - 0.75 * alike - 0.25 * (code.at(a)[0] is code.at(b)[0]) + 0.05 * min(abs(high - low), 4)


def _without(always: Always, decision: int) -> Always:
    return tuple([x for x in always if x[0] != decision])


def _before(part: Part) -> dict[int, Always]:
    """For each decision of a part, the earlier ones that always have the same outcome."""
    found: dict[int, Always] = {}
    at = 0
    for decision in part.trace:
        found[decision] = part.always[:at]
        if at < len(part.always) and part.always[at][0] == decision:
            at += 1
    return found


def _in_one_order(one: list[int], zero: list[int]) -> list[int] | None:
    """The decisions of both in one order that agrees with the order of each; None if there is none."""
    if [d for d in one if d in zero] != [d for d in zero if d in one]:
        return None
    found: list[int] = []
    rest = iter(one)
    both = {*one}
    for decision in zero:
        if decision in both:
            for d in rest:
                found.append(d)
                if d == decision:
                    break
        else:
            found.append(decision)
    return [*found, *rest]
