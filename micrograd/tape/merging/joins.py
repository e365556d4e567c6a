"""Joining the two sides of a comparison: the results of one side where it is 1.0, those of the other where it is 0.0.

A function with two ifs

    def f(x, y):
        a = 2 * x if x > 0 else 3 * x
        return a + y if y > a else a

has four paths, and `recordings` has a tape of each:

    x > 0     y > a       2 * x + y
    x > 0     y <= a      2 * x
    x <= 0    y > a       3 * x + y
    x <= 0    y <= a      3 * x

Joined, they are one tape, which gives each sample the result of its own path:

    %0 = greater(x0, 0.0)
    %1 = where(%0, 2.0, 3.0)
    %2 = mul(%1, x0)
    %3 = greater(x1, %2)
    %4 = where(%3, x1, -0.0)
    %5 = add(%2, %4)

The comparisons are called decisions: x > 0 is decision 0, y > a is decision 1. They make a tree: decision 0 has two sides, and
each of them goes on to decision 1, which is later. `merge` has a `Join` made of each decision, the latest first:

1. Decision 1 where x > 0. Its sides give 2 * x + y and 2 * x. This is a pair of slots, and one slot is wanted for it. One
   selection would do, where(y > 2 * x, 2 * x + y, 2 * x). But both are sums (one has a single term), and sums are aligned term
   by term. The term 2 * x is on both sides. The term y has no partner: it is paired with -0.0, which changes no bit of a sum.
   The pair of y and -0.0 becomes a selection, so the result is 2 * x + where(y > 2 * x, y, -0.0).
2. Decision 1 where x <= 0. In the same way the result is 3 * x + where(y > 3 * x, y, -0.0).
3. Decision 0. Its sides are the results of 1 and 2, again sums of two terms. Of the pair of 2 * x and 3 * x, both are products,
   so their operands are joined in pairs: 2 and 3 become a selection, x and x are one slot already. Both second terms are
   selections by decision 1, so their operands are joined in pairs too, and so are the slots of their comparisons.

If both sides do the same operations on different numbers, as here, the numbers are selected and the operations done once. So n
independent ifs, which make 2ⁿ paths, become n selections.

A path may be missing, say the fourth, because no sample has taken it. The tape is the same then. For where x <= 0, all paths
have y > a, and the part of the tree there says so (`Part.always`); its result is 3 * x + y. The join of decision 0 has to pair
y with where(y > 2 * x, y, -0.0), which has both outcomes. For y <= a there is nothing to pair -0.0 with, and ANYTHING stands in
that place: any number will do, because `merge` does not use results of paths that are not known. So the pair of -0.0 and
ANYTHING is -0.0, and nothing needs to be selected by decision 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from micrograd.primitives import RULES, Primitive
from micrograd.tape.merging.alignment import aligned
from micrograd.tape.merging.selections import ANYTHING, SUMS, TERMS, Always, Code, Part, Term

_WHERE, _ADD, _SUB, _NEG = (RULES[name] for name in ("where", "add", "sub", "neg"))
SELECTIONS = 8  # the most selections of operands that may replace one selection between two results
PRICE = 3  # a selection costs as much as so many operations
DEEP = 4  # operations below a result of one side that are looked for among those of both

Pair = tuple[int, Always, int, Always]  # a slot of each side, each with the outcomes that always hold where it matters


class _Plan(NamedTuple):
    """How a pair becomes one slot: it is one already, or one operation on joined operands, or a selection between the two."""

    pair: Pair  # as `Code.resolved` gives it
    made: int | None = None  # the slot, if both are one already
    rule: Primitive | None = None  # else the operation; None for a selection between the two
    below: Sequence[Pair] = ()  # the operands of the operation
    minus: Sequence[bool] | None = None  # for a sum: which terms are subtracted
    decision: int | None = None  # for a selection by a later decision: that decision
    claims: Sequence[tuple[int, int, bool]] = ()  # and what always holds for operands: operand, decision, outcome


class _Cost(NamedTuple):
    """What it takes to join a pair. These are sets: what the operands have in common counts once."""

    selections: frozenset[Pair]  # the pairs between which there is a selection
    once: frozenset[object]  # operations that are done once for both sides: not all of these, if they are many


class Join:
    """Joins two parts of the tree at a decision: side 0 is taken where the comparison is 1.0, side 1 where it is 0.0."""

    def __init__(self, code: Code, decision: int, slot: int, one: Part, zero: Part):
        self.code, self.decision, self.slot, self.sides = code, decision, slot, (one, zero)
        self.traces = one.trace, zero.trace
        self.conditions: dict[int, Pair] = {}  # for later decisions, the slots of their comparisons
        self.always: Always = ()  # what always holds in both parts
        self.plans: dict[Pair, _Plan] = {}
        self.costs: dict[Pair, _Cost] = {}
        self.made: dict[Pair, int] = {}
        self.used: dict[tuple[int, int], list[tuple[Always, Pair]]] = {}  # by side and slot, pairs that are sure to be made

    def part(self, default: dict[int, int]) -> Part:
        """Both parts in one. If only one of them comes to a decision, the other has the slot in `default` for it."""
        one, zero = self.sides
        order, before = _in_one_order([*one.trace], [*zero.trace]), [_before(part) for part in self.sides]
        if order is None:  # then what always holds is forgotten: it is told of decisions that come before
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
        """For each pair a slot that holds the first if the comparison is 1.0, the second if it is 0.0."""
        for pair in wanted:
            self._decide(pair)
        self._note_used(wanted)
        return [self._make(pair) for pair in wanted]

    def _decide(self, pair: Pair) -> None:
        """Find the plan of a pair, and what it costs, after those of the pairs that its plan needs."""
        stack = [pair]
        while stack:
            at = stack[-1]
            if at in self.costs:
                stack.pop()
                continue
            if (plan := self.plans.get(at)) is None:
                plan = self.plans[at] = self._plan(at)
            if missing := [p for p in plan.below if p not in self.costs]:
                stack += missing
                continue
            self.costs[at] = self._cost(at, plan)

    def _make(self, pair: Pair) -> int:
        """The slot of a pair. Its instructions are added after those of the pairs that its plan needs."""
        stack, waiting = [pair], {pair}
        while stack:
            at = stack[-1]
            if at in self.made:
                waiting.discard(stack.pop())
                continue
            plan = self.plans.get(at) or self._plan(at)
            if plan.made is None and at in self.costs and at in self.costs[at].selections:
                plan = self._selected_by_later(plan.pair)
            elif ANYTHING in plan.pair[::2]:
                plan = plan._replace(below=self._instead(plan.pair, waiting))
            if missing := [p for p in plan.below if p not in self.made]:
                stack += missing
                waiting |= {*missing}
                continue
            self.made[at] = made = plan.made if plan.made is not None else self._made(plan)
            if made not in self.code.shared and not self.code.shared.isdisjoint((at[0], at[2])):
                self.code.shared.add(made)
        return self.made[pair]

    def _cost(self, at: Pair, plan: _Plan) -> _Cost:
        """What a pair takes. If the operation of its plan takes too many selections, it is one selection between the two."""
        if plan.made is not None or ANYTHING in plan.pair[::2]:
            return _Cost(frozenset(), frozenset())
        if plan.rule is not None:
            nothing = {*self.code.nothing}
            selections = frozenset[Pair]().union(*(self.costs[p].selections for p in plan.below))
            if len(selections) <= SELECTIONS:
                once = frozenset[object]().union(*(self.costs[p].once for p in plan.below))
                if len(once) < PRICE * SELECTIONS:
                    own = PRICE if plan.rule is _WHERE else 1
                    if plan.minus is not None:
                        own = sum(nothing.isdisjoint((p[0], p[2])) for p in plan.below) - 1
                    once |= {(at, i) for i in range(own)}
                if PRICE * (len(selections) - 1) <= len(once):
                    return _Cost(selections, once)
        return _Cost(frozenset([at]), frozenset())

    def _made(self, plan: _Plan) -> int:
        """The slot of a pair whose operands are made."""
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

    def _selected_by_later(self, pair: Pair) -> _Plan:
        """The plan of a selection between two slots: by a later decision, if that has one outcome here and the other there.

        Other pairs may be selected by it too.
        """
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
            if at not in self.costs[at].selections:
                stack += plan.below
            self.used.setdefault((0, a), []).append((of_a, at))
            self.used.setdefault((1, b), []).append((of_b, at))

    def _instead(self, pair: Pair, waiting: set[Pair]) -> list[Pair]:
        """For a pair of a slot and ANYTHING: another pair with this slot that is sure to be made, if there is one."""
        a, of_a, b, of_b = pair
        candidates, always = (self.used.get((1, b), ()), of_b) if a == ANYTHING else (self.used.get((0, a), ()), of_a)
        return next(([at] for holds, at in candidates if at not in waiting and {*holds} <= {*always}), [])

    def _anew(self, slot: int, always: Always, side: int, deep: int) -> int:
        """What a slot of one side holds, computed again from operands that are joined already, if some are.

        On this side these hold the same numbers, and other results are computed from them as well. `deep` says how many
        operations below the slot are looked at.
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

    def _resolved(self, pair: Pair) -> Pair:
        """A pair after the selections that are decided for it."""
        return *self.code.resolved(*pair[:2], self.traces[0]), *self.code.resolved(*pair[2:], self.traces[1])

    def _plan(self, pair: Pair) -> _Plan:
        """How a pair becomes one slot, what it costs left aside: the first of these ways that fits."""
        a, of_a, b, of_b = pair = self._resolved(pair)
        if a == b:
            return _Plan(pair, made=a)
        if ANYTHING in (a, b):
            return _Plan(pair)
        (rule, xs), (other, ys) = self.code.at(a), self.code.at(b)
        below = [(x, of_a, y, of_b) for x, y in zip(xs, ys, strict=False)]
        d, e = self.code.decisions.get(a), self.code.decisions.get(b)
        if d is not None and d == e:
            return self._selection(pair, d, [(xs[0], (), ys[0], ()), *below[1:]])
        for side in (0, 1):
            if plan := self._beside_known(pair, side):
                return plan
        if d is not None and e is not None:
            return _Plan(pair)
        if (rule in SUMS or other in SUMS) and (sums := _side_by_side(self.code, self.traces, pair)):
            return _Plan(pair, rule=_ADD, below=sums[0], minus=sums[1])
        if rule is not None and rule is other and len(xs) == len(ys):
            return _Plan(pair, rule=rule, below=below)
        return _Plan(pair)

    def _beside_known(self, pair: Pair, side: int) -> _Plan | None:
        """The plan if one side has a selection by a decision of which the other side always has one outcome; else None.

        The slot of the other side is paired with what is selected for that outcome, and ANYTHING with the other one.
        """
        slot, always, other, of_other = pair[2:] + pair[:2] if side else pair
        decision = self.code.decisions.get(slot)
        if decision is None or (known := dict(of_other).get(decision)) is None:
            return None
        (condition, one, zero), rest = self.code.at(slot)[1], _without(of_other, decision)
        beside_one, beside_zero = (other, ANYTHING) if known else (ANYTHING, other)
        below = [
            (condition, (), self.traces[1 - side][decision], ()),
            (one, always, beside_one, rest),
            (zero, always, beside_zero, rest),
        ]
        return self._selection(pair, decision, [p[2:] + p[:2] for p in below] if side else below)

    def _selection(self, pair: Pair, decision: int, below: list[Pair]) -> _Plan:
        """The plan of a selection by a later decision. `below` are the pairs of its comparison and of what it selects.

        What always holds on both sides for one of these is kept as a claim.
        """
        condition = self.conditions.get(decision, below[0])
        if condition[::2] != below[0][::2]:
            condition = below[0]
        claims = []
        for i in (1, 2):
            a, of_a, b, of_b = self._resolved(below[i])
            if ANYTHING not in (a, b):
                claims += [(i, *x) for x in of_a if x in of_b and x not in self.always and x[0] in self.conditions]
        below = [condition, *below[1:], *[self.conditions[d] for _, d, _ in claims]]
        return _Plan(pair, rule=_WHERE, below=below, decision=decision, claims=claims)


def _side_by_side(code: Code, traces: Sequence[dict[int, int]], pair: Pair) -> tuple[list[Pair], list[bool]] | None:
    """Pairs of the terms of two sums, and which are subtracted; None if they are too long or too different.

    A term without a partner is paired with a zero that changes nothing. `traces` are those of the two sides.
    """
    (xs, sums), (ys, others) = code.terms(*pair[:2], traces[0]), code.terms(*pair[2:], traces[1])
    if len(xs) > TERMS or len(ys) > TERMS or len(xs) != len(sums) or len(ys) != len(others):
        return None
    begun = {slot: place for place, slot in enumerate(others)}
    if (both := max([k for k, slot in enumerate(sums) if slot in begun], default=-1)) >= 0:  # after a common partial sum
        start: Term = (sums[both], (), False)
        xs, ys = [start, *xs[both + 1 :]], [start, *ys[begun[sums[both]] + 1 :]]
    if (places := aligned(xs, ys, lambda x, y: _apart(code, traces, x, y))) is None:
        return None
    (added, taken), found, minus = code.nothing, list[Pair](), list[bool]()
    for i, j in places:
        less = xs[i][2] if i is not None else j is not None and ys[j][2]
        nothing = taken if less else added
        x, of_x, _ = xs[i] if i is not None else (nothing, pair[1], less)
        y, of_y, other = ys[j] if j is not None else (nothing, pair[3], less)
        if less and not other:
            x, less = code.add(_NEG, x), False
        elif other and not less:
            y = code.add(_NEG, y)
        found.append((x, of_x, y, of_y))
        minus.append(less)
    return found, minus


def _apart(code: Code, traces: Sequence[dict[int, int]], x: Term, y: Term) -> float:
    """The cost of joining two terms. A selection between a term and nothing costs 1.

    Two terms that are selections by one decision, or of which one is decided by what always holds for the other, are near each
    other. Others are the nearer the more inputs and leaves they have in common, and the more alike their operations are.
    """
    (a, of_a), (b, of_b) = code.resolved(*x[:2], traces[0]), code.resolved(*y[:2], traces[1])
    if a == b:
        return 0.0 if x[2] == y[2] else 1.0
    d, e = code.decisions.get(a), code.decisions.get(b)
    if (d is not None and (d == e or d in dict(of_b))) or (e is not None and e in dict(of_a)):
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
