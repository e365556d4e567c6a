"""Terms that all samples share, in sums over the samples, are computed once: Σ (v + s) = Σ v + n s.

`recordings` makes programs through here. With a penalty in a loss, or a prior, the gradient of each parameter is a sum of a
term that varies with the samples and a term of parameters alone. Apart, the first is part of a product of matrices, and the
second costs next to nothing. This is done only where exact bits are not asked for, because it rounds differently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, cast

import numpy as np

from micrograd.primitives import RULES, Primitive
from micrograd.tape.back_ends import Direct, Fields, Make, Program
from micrograd.tape.rewriting.passes import swept
from micrograd.tape.tape import Tape

Array = np.ndarray[Any, Any]
MANY_SUMS = 256  # from so many sums on, their shared terms are worth a program of their own
_ADD, _MUL, _SUM, _DOT = (RULES[name] for name in ("add", "mul", "sum", "dot"))


def summed(make: Make, tape: Tape, fields: Fields, dtype: Any) -> Program:
    """The program of a tape whose outputs are summed over the samples; if many have shared terms, with these apart."""
    parts = split(tape)
    if parts is None:
        return make(tape, fields, True, dtype)
    varying, shared, at = parts
    return SplitSums(make(varying, fields, True, dtype), make(shared, (), False, dtype), at)


class SplitSums:
    """A program of sums over the samples, and one of the terms that all samples share in the sums numbered `at`."""

    def __init__(self, program: Program, shared: Program, at: Array):
        self.program, self.shared = cast("Direct", program), cast("Direct", shared)  # a mean is asked of direct ones alone
        self.at = at

    def __str__(self) -> str:
        return f"{self.program}\nonce, and not for each sample:\n{self.shared}"

    def __call__(self, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Array:
        found: Array = self.program(inputs, leaves, n, mean) if mean else self.program(inputs, leaves, n)
        if n:
            found[self.at] += self.shared((), leaves, 1)[:, 0] * (1 if mean else n)
        return found

    def prepared(self) -> Callable[..., Array]:
        """The same as a function for many calls; only of direct programs."""
        program, shared = self.program.prepared(), self.shared.prepared()

        def run(inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Array:
            found = program(inputs, leaves, n, mean)
            found[self.at] += shared((), leaves, 1) * (1 if mean else n)
            return found

        return run


def split(tape: Tape) -> tuple[Tape, Tape, Array] | None:
    """The tape without the terms that all samples share, a tape of these, and the outputs they belong to; None if few."""
    if len(tape.outputs) < MANY_SUMS:
        return None
    first, low = tape.first, tape.inputs
    varies = [True] * low + [False] * (first - low)
    varies_at = varies.__getitem__
    for _, operands in tape.instructions:
        varies.append(any(map(varies_at, operands)))
    nought = {low + tape.leaves + i for i, x in enumerate(tape.constants) if x == 0.0}
    code, outputs = list(tape.instructions), list(tape.outputs)
    shared: dict[int, int] = {}  # by the number of the output, the slot of its shared terms

    def total(rule: Primitive, terms: list[tuple[int, ...]], start: int) -> int:
        """The slot of a sum of these terms: numbers, or pairs of factors."""
        if len(terms) == 1 and rule is not _DOT:
            return terms[0][0]
        operands = tuple(chain(*zip(*terms, strict=True)))
        code.append(
            (rule, operands) if rule is not _DOT else (_MUL, operands) if len(terms) == 1 else (_DOT, (*operands, start))
        )
        return first + len(code) - 1

    for i, slot in enumerate(tape.outputs):
        rule, operands = tape.instructions[slot - first] if slot >= first else (None, ())
        if rule is _DOT and operands[-1] in nought:
            half = len(operands) // 2
            terms: list[tuple[int, ...]] = list(zip(operands[:half], operands[half:-1], strict=True))
        elif rule is _SUM or rule is _ADD:
            rule, terms = _SUM, [(x,) for x in operands]
        else:
            continue
        own, others = ([term for term in terms if any(map(varies_at, term)) == each] for each in (True, False))
        if own and others:
            outputs[i], shared[i] = total(rule, own, operands[-1]), total(rule, others, operands[-1])
    if len(shared) < MANY_SUMS:
        return None
    whole = replace(tape, instructions=code, outputs=outputs, guards=[])
    once = swept(replace(whole, outputs=list(shared.values())))
    alone = [(rule, tuple([x - low for x in operands])) for rule, operands in once.instructions]
    once = replace(once, inputs=0, instructions=alone, outputs=[x - low for x in once.outputs])
    return swept(whole), once, np.array(list(shared))
