"""Rewriting tapes: the same numbers from fewer, larger instructions.

`record` comes before, with differentiation; `roll` and `vectorise` come after. Every rewrite keeps the bits of every result
(up to the sign of zero): constants are folded with the rule book's own values, only identities that are exact in
floating-point arithmetic are used, and chains of + and × become sum and dot in the order in which they were added. There is
one exception: where exact bits are not asked for, small powers become products.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from micrograd.primitives import RULES
from micrograd.tape.tape import Guard, Instruction, Tape, constant_key

_ADD, _SUB, _MUL, _DIV, _NEG, _POW = (RULES[name] for name in ("add", "sub", "mul", "div", "neg", "pow"))
_SUM, _DOT = RULES["sum"], RULES["dot"]
_ARITHMETIC = {_ADD, _SUB, _MUL}
_GREATER, _LESS, _SIGN = RULES["greater"], RULES["less"], RULES["sign"]


def optimised(tape: Tape, exact: bool = False) -> Tape:
    """An equivalent tape: constants folded, equal instructions merged, chains turned into sum and dot, dead code removed.

    With `exact`, results have the same bits, to the sign of every zero. Without, a sum of nothing but negative zeros may give
    0.0, and small whole powers are rounded as products. A tape with guards keeps its chains, and products and sums of
    constants: so paths have more instructions in common. They are for the tape that the paths are merged into.
    """
    held = [tape]  # the only reference, if the caller keeps none: each tape is freed once the next is made of it
    del tape
    held.append(_simplified(held.pop(), exact))
    if not held[0].guards:
        held.append(chained(held.pop()))
    return swept(held.pop())


class Constants:
    """The constants of a tape that is rewritten. New ones have negative slots until `with_constants` moves them."""

    def __init__(self, tape: Tape):
        self.first = tape.inputs + tape.leaves  # the slot of the first constant
        self.values = list(tape.constants)
        self.fresh: list[float] = []
        self.slots = set(range(self.first, tape.first))
        self.known: dict[Any, int] = {}
        for i, x in enumerate(self.values):
            self.known.setdefault(constant_key(x), self.first + i)

    def slot(self, x: float) -> int:
        """The slot of the number x: an old one, or -1, -2, ... for a new one."""
        found = self.known.get(constant_key(x))
        if found is None:
            self.fresh.append(x)
            found = self.known[constant_key(x)] = -len(self.fresh)
            self.slots.add(found)
        return found

    def get(self, slot: int) -> float | None:
        """The number in a slot, or None where the slot holds no constant."""
        if slot < 0:
            return self.fresh[-slot - 1]
        slot -= self.first
        return self.values[slot] if 0 <= slot < len(self.values) else None


def _simplified(tape: Tape, exact: bool) -> Tape:
    """Constants folded, exact identities applied and equal instructions merged, in one walk."""
    constants = Constants(tape)
    first = tape.first
    known: dict[Instruction, int] = {}
    to: list[int] = list(range(first))  # the new slot of each old one
    kept: list[Instruction] = []
    number = constants.get
    numbers, moved, leave, fold = constants.slots, to.__getitem__, to.append, not tape.guards
    operands: tuple[int, ...]
    simpler_with, without = _SIMPLER_EXACTLY if exact else _SIMPLER, _SIMPLER_WITHOUT_NUMBERS
    for rule, old in tape.instructions:
        if len(old) == 2:  # as most have
            x, y = old
            x, y = operands = moved(x), moved(y)
            plain = x >= first and y >= first  # results, as most are
        else:
            operands, half = tuple(map(moved, old)), len(old) // 2
            plain = rule is _DOT and half > 1 and operands[0] >= first and operands[half] >= first
        while True:
            if plain or (operands and numbers.isdisjoint(operands)):
                simplify = without.get(rule)
            elif (fold or rule not in _ARITHMETIC) and numbers.issuperset(operands):
                leave(constants.slot(rule.on_floats([number(i) for i in operands])))  # type: ignore[misc]
                break
            else:
                simplify = simpler_with.get(rule)
            simpler = simplify(operands, number, kept, first) if simplify is not None else None
            if simpler.__class__ is tuple:
                rule, wanted = simpler
                operands, plain = tuple([constants.slot(i) if i.__class__ is float else i for i in wanted]), False
                continue
            if simpler is not None:
                leave(constants.slot(simpler) if simpler.__class__ is float else simpler)
                break
            key, new = (rule, operands), first + len(kept)
            found = known.setdefault(key, new)
            if found == new:
                kept.append(key)
            leave(found)
            break
    return with_constants(tape, constants, kept, to)


def with_constants(tape: Tape, constants: Constants, kept: list[Instruction], to: list[int]) -> Tape:
    """The tape with new constants moved behind the old ones; `to` is the new slot of each old one."""
    instructions, grown, end = kept, len(constants.fresh), tape.first
    if grown:  # the slots of new numbers come last in the list, where negative numbers as indices find them
        new = [*range(end), *range(end + grown, end + grown + len(kept)), *reversed(range(end, end + grown))]
        moved = new.__getitem__
        instructions, to = [(rule, tuple(map(moved, operands))) for rule, operands in kept], [*map(moved, to)]
    guards = [Guard(g.name, to[g.x], to[g.y], g.result, g.line) for g in tape.guards]
    values = constants.values + constants.fresh
    return Tape(tape.inputs, tape.leaves, values, instructions, [to[i] for i in tape.outputs], guards)


Number = Callable[[int], float | None]


def _simpler_add(operands: tuple[int, ...], number: Number, kept: list[Instruction], first: int) -> Any:
    x, y = operands
    if _is_zero(number(x), -1.0):  # 0.0 + -0.0 is 0.0, so 0.0 + x is not x
        return y
    return x if _is_zero(number(y), -1.0) else None


def _is_zero(x: float | None, sign: float) -> bool:
    return x == 0.0 and math.copysign(1.0, x) == sign


def _simpler_sub(operands: tuple[int, ...], number: Number, kept: list[Instruction], first: int) -> Any:
    x, y = operands
    if x < first or y < first:  # -0.0 - y is -y; x - 0.0 stays, because in a loop the number may differ from step to step
        return (_NEG, (y,)) if _is_zero(number(x), -1.0) else None
    if kept[x - first][0] is _ADD and kept[y - first][0] in _ORDERS:
        # c + greater(a, b) - less(a, b), as in derivatives of maximum and minimum, is c + sign(a - b) for a finite number b
        (one, p), (second, (a, b)) = kept[x - first][1], kept[y - first]
        if p >= first and kept[p - first][1] == (a, b) and {kept[p - first][0], second} == _ORDERS:
            c, up = number(b), second is _LESS
            if c is not None and math.isfinite(c):
                difference = a if c == 0.0 else _kept(kept, first, (_SUB, (a, b)))
                sign = _kept(kept, first, (_SIGN, (difference,)))
                return (_ADD, (one, sign)) if up else (_SUB, (one, sign))
    return None


_ORDERS = {_GREATER, _LESS}


def _kept(kept: list[Instruction], first: int, instruction: Instruction) -> int:
    """The slot of one more instruction."""
    kept.append(instruction)
    return first + len(kept) - 1


def _simpler_mul(operands: tuple[int, ...], number: Number, kept: list[Instruction], first: int) -> Any:
    for x, y in (operands, operands[::-1]):
        c = number(x)
        if c == 1.0:
            return y
        if c == -1.0:
            return _NEG, (y,)
    return None


def _simpler_div(operands: tuple[int, ...], number: Number, kept: list[Instruction], first: int) -> Any:
    x, y = operands
    c = number(y)
    if c is None or c == 1.0:
        return None if c is None else x
    if abs(math.frexp(c)[0]) == 0.5 and 1e-300 < abs(c) < 1e300:  # a power of two, whose inverse is exact
        return _MUL, (x, 1.0 / c)
    return None


def _simpler_neg(operands: tuple[int, ...], number: Number, kept: list[Instruction], first: int) -> Any:
    (x,) = operands
    if x >= first and kept[x - first][0] is _NEG:
        return kept[x - first][1][0]
    return None


def _simpler_pow(operands: tuple[int, ...], number: Number, kept: list[Instruction], first: int) -> Any:
    x, y = operands
    power = number(y)
    return x if power == 1.0 else 1.0 if power == 0.0 else None  # which holds for nan and infinities too


def _simpler_power(operands: tuple[int, ...], number: Number, kept: list[Instruction], first: int) -> Any:
    """Small whole powers as products, which take a hundredth of the time, within 1.5 units in the last place."""
    x, y = operands
    power = number(y)
    if power == -1.0:
        return _DIV, (1.0, x)
    if power not in (2.0, 3.0, 4.0):
        return _simpler_pow(operands, number, kept, first)
    square = x if power == 2.0 else _kept(kept, first, (_MUL, (x, x)))
    return _MUL, (square, square if power != 3.0 else x)


def _simpler_sum(operands: tuple[int, ...], number: Number, kept: list[Instruction], first: int) -> Any:
    if len(operands) == 1:
        return operands[0]
    return (_ADD, operands) if len(operands) == 2 else None


def _simpler_dot(operands: tuple[int, ...], number: Number, kept: list[Instruction], first: int) -> Any:
    half = len(operands) // 2
    xs, ys, start = operands[:half], operands[half:-1], operands[-1]
    from_zero = number(start) == 0.0
    for these, others in ((xs, ys), (ys, xs)):
        if number(others[0]) == 1.0 and all(number(i) == 1.0 for i in others):
            return _SUM, these if from_zero else (start, *these)
    if half == 1 and from_zero:
        return _MUL, (xs[0], ys[0])
    if half == 2 and from_zero:
        for (a, b), signs in ((xs, (number(ys[0]), number(ys[1]))), (ys, (number(xs[0]), number(xs[1])))):
            if signs == (1.0, -1.0):
                return _SUB, (a, b)
            if signs == (-1.0, 1.0):
                return _SUB, (b, a)
    return None


def _simpler_dot_exactly(operands: tuple[int, ...], number: Number, kept: list[Instruction], first: int) -> Any:
    """The same, if the signs of zeros count: a dot that starts from 0.0 never gives -0.0, as a sum or product may."""
    if _is_zero(number(operands[-1]), -1.0):
        return _simpler_dot(operands, number, kept, first)
    return None


_SIMPLER: dict[Any, Callable[..., Any]] = {
    _ADD: _simpler_add, _SUB: _simpler_sub, _MUL: _simpler_mul, _NEG: _simpler_neg, _POW: _simpler_power,
    _SUM: _simpler_sum, _DOT: _simpler_dot, _DIV: _simpler_div,
}  # fmt: skip
_SIMPLER_EXACTLY = _SIMPLER | {_DOT: _simpler_dot_exactly, _POW: _simpler_pow}
# for instructions without a constant among the operands (of a dot of several products, among the first factors)
_SIMPLER_WITHOUT_NUMBERS = {rule: _SIMPLER[rule] for rule in (_SUB, _NEG, _SUM)}
_SIMPLER_WITHOUT_NUMBERS[_DOT] = lambda operands, *_: operands[0] if len(operands) == 1 else None


def chained(tape: Tape) -> Tape:
    """The tape with left-to-right chains of + as sum, and of + over × as dot. The instructions inside a chain become dead.

    Chains of − over ×, as in Gaussian elimination, become dot too: a − b·c − d·e is a + (−b)·c + (−d)·e, to the bit.
    """
    first, instructions, uses = tape.first, tape.instructions, use_counts(tape)
    inside = [False] * len(instructions)  # whether an instruction is a running total inside a longer chain
    differences = False  # whether there are chains of −
    for k, (rule, operands) in enumerate(instructions):
        if (rule is _ADD or rule is _SUB) and uses[first + k]:
            x = operands[0]
            if x >= first and uses[x] == 1 and instructions[x - first][0] is rule:
                inside[x - first] = True
                differences |= rule is _SUB
    numbers = Constants(tape)
    one, nought = numbers.slot(1.0), numbers.slot(-0.0)  # -0.0 + x is x, whatever the sign of a zero
    kept = list(instructions)
    negated: dict[int, int] = {}  # the slot of the negative of a slot
    to, twice = list(range(first + len(kept))), False

    def minus(x: int, at: int) -> int:
        """The slot of -x; where there is none yet, it is computed at slot `at`, whose own instruction is dead now."""
        found, number = negated.get(x), numbers.get(x)
        if number is not None:
            return numbers.slot(-number)
        if found is None:
            found = negated[x] = at
            kept[at - first] = (_NEG, (x,))
        return found

    for k, (rule, operands) in enumerate(instructions):
        if differences and rule is _NEG:
            to[first + k] = found = negated.setdefault(operands[0], first + k)
            twice |= found != first + k
        if not (rule is _ADD or rule is _SUB) or inside[k] or not uses[first + k]:
            continue
        terms = [operands[1]]
        x = operands[0]
        while x >= first and inside[x - first] and instructions[x - first][0] is rule and uses[x] == 1:
            x, y = instructions[x - first][1]
            terms.append(y)
        terms.append(x)
        terms.reverse()
        products = [i >= first and uses[i] == 1 and instructions[i - first][0] is _MUL for i in terms]
        many = sum(products)
        if rule is _SUB:
            if many >= 2 and len(terms) > 2 and all(products[1:]):
                xs, ys = zip(*[instructions[i - first][1] for i in terms[products[0] ^ 1 :]], strict=True)
                less = [minus(x, i) for x, i in zip(xs[products[0] :], terms[1:], strict=True)]
                kept[k] = (_DOT, (*xs[: products[0]], *less, *ys, nought if products[0] else terms[0]))
            continue
        if many >= 2 or (many == 1 and len(terms) == 2):
            # start + Σ xᵢyᵢ: the first term is the start where it is no product; a + b·c and b·c + a are the same sum
            if not products[0] or (len(terms) == 2 and not products[1]):
                i = products.index(False) if len(terms) == 2 else 0
                start = terms.pop(i)
                products.pop(i)
            else:
                start = nought
            if 2 * sum(products) >= len(terms):
                pairs = [
                    instructions[i - first][1] if product else (i, one) for i, product in zip(terms, products, strict=True)
                ]
                kept[k] = (_DOT, (*[x for x, _ in pairs], *[y for _, y in pairs], start))
                continue
            if start != nought:
                terms.insert(0, start)
        if len(terms) > 2:
            kept[k] = (_SUM, tuple(terms))
    if twice:  # a negative that a chain computes is computed once
        kept = [(rule, tuple([to[i] if i >= 0 else i for i in operands])) for rule, operands in kept]
    return with_constants(tape, numbers, kept, to)


def with_sorted_terms(tape: Tape) -> Tape:
    """The tape with the products in each dot sorted by their factors, the one with the lower slot first.

    It is used only where exact bits are not asked for. In adjoints, the dots for the numbers of one row often have their
    products in different orders; sorted, they can form a product of matrices.
    """
    by_length: dict[int, list[int]] = {}
    for k, (rule, operands) in enumerate(tape.instructions):
        if rule is _DOT:
            by_length.setdefault(len(operands), []).append(k)
    instructions = list(tape.instructions)
    for length, members in by_length.items():
        slots = np.array([instructions[k][1] for k in members])
        xs, ys = slots[:, : length // 2], slots[:, length // 2 : -1]
        order = np.lexsort((np.maximum(xs, ys), np.minimum(xs, ys)))
        factors = [np.take_along_axis(each, order, 1) for each in (xs, ys)]
        for k, row in zip(members, np.concatenate([*factors, slots[:, -1:]], axis=1).tolist(), strict=True):
            instructions[k] = _DOT, tuple(row)
    return replace(tape, instructions=instructions)


def use_counts(tape: Tape) -> list[int]:
    """How often each slot is used by instructions that are not dead. Outputs and operands of guards count as used twice."""
    first, instructions = tape.first, tape.instructions
    uses = [0] * (first + len(instructions))
    for i in tape.outputs:
        uses[i] += 2
    for g in tape.guards:
        uses[g.x] += 2
        uses[g.y] += 2
    at = first + len(instructions)
    for _, operands in reversed(instructions):
        at -= 1
        if uses[at]:
            for i in operands:
                uses[i] += 1
    return uses


def swept(tape: Tape) -> Tape:
    """The tape without instructions and constants that no output and no guard depends on."""
    first, at = tape.first, tape.first + len(tape.instructions)
    live = bytearray(at)
    new = [*range(at)]
    for i in tape.outputs:
        live[i] = 1
    for g in tape.guards:
        live[g.x] = live[g.y] = 1
    for _, operands in reversed(tape.instructions):
        at -= 1
        if live[at]:
            for i in operands:
                live[i] = 1
    low = tape.inputs + tape.leaves
    values: list[float] = []
    for i, x in enumerate(tape.constants):
        if live[low + i]:
            new[low + i] = low + len(values)
            values.append(x)
    at = low + len(values)
    kept: list[Instruction] = []
    renumbered = new.__getitem__
    for slot, (rule, operands) in enumerate(tape.instructions, first):
        if live[slot]:
            new[slot] = at
            at += 1
            if len(operands) == 2:  # as most have
                x, y = operands
                kept.append((rule, (new[x], new[y])))
            else:
                kept.append((rule, tuple(map(renumbered, operands))))
    guards = [Guard(g.name, new[g.x], new[g.y], g.result, g.line) for g in tape.guards]
    return Tape(tape.inputs, tape.leaves, values, kept, [new[i] for i in tape.outputs], guards)
