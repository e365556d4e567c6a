"""Differences of a number and a product, for code that rounds a product and its sum once.

The LLVM back end asks for it where no bits are promised. A dot with one product saves an operation there, for which a step of a
recurrence would wait. The difference of two products stays: x·x − y·y is 0 where x is y, and with one rounding less it is not.
"""

from __future__ import annotations

from typing import Any

from micrograd.primitives import RULES
from micrograd.tape.rewriting.passes import Constants, use_counts, with_constants
from micrograd.tape.tape import Instruction, Tape

_SUB, _MUL, _NEG, _DOT = (RULES[name] for name in ("sub", "mul", "neg", "dot"))


def with_differences_as_dots(tape: Tape) -> Tape:
    """The tape with a − b·c as a + (−b)·c, and b·c − a as (−a) + b·c, where a is no product, and b·c is used nowhere else.

    The same to the bit, as the tape defines a dot.
    """
    first, instructions = tape.first, tape.instructions
    differences = [k for k, (rule, _) in enumerate(instructions) if rule is _SUB]

    def product(slot: int) -> bool:
        return slot >= first and instructions[slot - first][0] is _MUL

    if not any(product(x) != product(y) for x, y in [instructions[k][1] for k in differences]):
        return tape
    uses = use_counts(tape)
    inside: dict[int, int] = {}  # by number of the difference, the slot of its product
    for k in differences:
        x, y = instructions[k][1]
        slot = x if product(x) else y
        if product(x) != product(y) and uses[slot] == 1:
            inside[k] = slot
    if not inside:
        return tape
    gone = {slot - first for slot in inside.values()}
    numbers, kept = Constants(tape), list[Instruction]()
    to = list(range(first))  # the new slot of each old one
    moved = to.__getitem__
    negated: dict[int, int] = {}  # where the negative of a slot stands

    def added(rule: Any, operands: tuple[int, ...]) -> int:
        kept.append((rule, operands))
        return first + len(kept) - 1

    def minus(x: int) -> int:
        if x not in negated:
            number = numbers.get(x)
            negated[x] = added(_NEG, (x,)) if number is None else numbers.slot(-number)
        return negated[x]

    for k, (rule, old) in enumerate(instructions):
        if k in gone:
            to.append(first)  # which nothing reads
        elif k in inside:
            b, c = map(moved, instructions[inside[k] - first][1])
            if inside[k] == old[1]:
                if b not in negated and (c in negated or c < first <= b):  # what is the same in all steps is negated once
                    b, c = c, b
                to.append(added(_DOT, (minus(b), c, to[old[0]])))
            else:
                to.append(added(_DOT, (b, c, minus(to[old[1]]))))
        elif rule is _NEG:
            to.append(minus(to[old[0]]))
        else:
            to.append(first + len(kept))
            if len(old) == 2:  # as most have
                x, y = old
                kept.append((rule, (to[x], to[y])))
            else:
                kept.append((rule, tuple(map(moved, old))))
    return with_constants(tape, numbers, kept, to)
