"""Differences of a number and a product, for code that rounds a product and its sum once.

The LLVM back end asks for it where no bits are promised. A dot with one product saves an operation there, for which a step of a
recurrence would wait. The difference of two products stays: x·x − y·y is 0 where x is y, and with one rounding less it is not.
"""

from __future__ import annotations

from typing import Any

from micrograd.primitives import RULES
from micrograd.tape.passes import _Constants, _renumbered, swept, use_counts
from micrograd.tape.tape import Instruction, Tape

_SUB, _MUL, _NEG, _DOT = (RULES[name] for name in ("sub", "mul", "neg", "dot"))


def with_differences_as_dots(tape: Tape) -> Tape:
    """The tape with a − b·c as a + (−b)·c, and b·c − a as (−a) + b·c, where a is no product, and b·c is used nowhere else.

    The same to the bit, as the tape defines a dot.
    """
    first, instructions, uses = tape.first, tape.instructions, use_counts(tape)

    def product(slot: int) -> bool:
        return slot >= first and instructions[slot - first][0] is _MUL

    def factors(slot: int, other: int) -> tuple[int, ...]:
        """The factors of such a product."""
        return instructions[slot - first][1] if product(slot) and uses[slot] == 1 and not product(other) else ()

    if not any(rule is _SUB and (factors(*xs) or factors(*reversed(xs))) for rule, xs in instructions):
        return tape
    numbers, kept = _Constants(tape), list[Instruction]()
    to = list(range(first))  # the new slot of each old one
    negated: dict[int, int] = {}  # where the negative of a slot stands

    def added(rule: Any, operands: tuple[int, ...]) -> int:
        kept.append((rule, operands))
        return first + len(kept) - 1

    def minus(x: int) -> int:
        if x not in negated:
            number = numbers.get(x)
            negated[x] = added(_NEG, (x,)) if number is None else numbers.slot(-number)
        return negated[x]

    for rule, old in instructions:
        operands = tuple([to[i] for i in old])
        if rule is _NEG:
            to.append(minus(*operands))
        elif rule is _SUB and (pair := factors(old[1], old[0])):
            b, c = (to[i] for i in pair)
            if b not in negated and (c in negated or c < first <= b):  # what is the same in all steps is negated once
                b, c = c, b
            to.append(added(_DOT, (minus(b), c, operands[0])))
        elif rule is _SUB and (pair := factors(*old)):
            to.append(added(_DOT, (*[to[i] for i in pair], minus(operands[1]))))
        else:
            to.append(added(rule, operands))
    return swept(_renumbered(tape, numbers, kept, to))
