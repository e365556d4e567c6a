"""Bytecode: a tape as a table of integers for the interpreter, and whether running it gives the bits of compiled code.

`vectorise.analysed` comes before, `interpreter` after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from itertools import chain
from typing import Any

import numpy as np

from micrograd.primitives import RULES, Primitive
from micrograd.tape.back_ends import LONG
from micrograd.tape.back_ends.llvm import module
from micrograd.tape.back_ends.llvm.code import Code
from micrograd.tape.back_ends.llvm.function import Function
from micrograd.tape.back_ends.llvm.fused import FEW
from micrograd.tape.back_ends.llvm.interpreter import (
    FIXED,
    FIXED_COUNT,
    HEAD,
    ONCE,
    RESULT_COUNT,
    RESULTS,
    SPREAD,
    SPREAD_COUNT,
    TOTAL_COUNT,
    TOTALS,
    VARYING,
    VARYING_COUNT,
    WORK,
    interpreter,
    known,
)
from micrograd.tape.back_ends.llvm.loops import UNROLLED
from micrograd.tape.back_ends.llvm.module import LOOPED
from micrograd.tape.back_ends.llvm.spellings import OF_LARGEST, spell
from micrograd.tape.back_ends.llvm.target import ARRAYS, OUT, THETA_AT, Target
from micrograd.tape.scheduling.levels import earliest
from micrograd.tape.scheduling.vectorise import Analysis

Array = np.ndarray[Any, Any]
WIDE = LOOPED  # from so many independent calls of the library on, compiled code for one sample may make them in vectors
NESTED = FEW  # the same in a step of a loop
CONTIGUOUS = 16  # the same for the terms of a logsumexp or a norm
LEAST, INSTRUCTION = 0.01, 3e-5  # seconds that compiling any tape takes, and each of its instructions
RARE = 8  # long sums are little work if there are at least so many instructions for each of their terms
ENDS = [-1, 0, 0, 0]  # stands after the last instruction
_DOT = RULES["dot"]


@cache
def calls_library(rule: Primitive) -> bool:
    """Whether the spelling of a primitive calls the mathematics library, in vectors where there are many independent ones."""
    if rule.variadic:
        return False  # a logsumexp of few terms is always computed alone
    f = Function(rule.name, Target(2, 2))
    spell(f, rule.name, *[f.number(0.5) for _ in rule.partials])
    return bool(f.by_lanes)


class Bytecode:
    """A tape as the interpreter's table, with what a frame needs to know of a plan; `groups` as for a program."""

    @classmethod
    def of(cls, it: Analysis, groups: Sequence[int], exact: bool, real: str) -> Bytecode | None:
        """The bytecode of a tape; None if the interpreter lacks one of its primitives, or its bits may differ."""
        used = {rule.name for rule, _ in it.places.tape.instructions}
        if not used.issubset(known(real, exact)):
            return None
        found = cls(it, groups, exact, real, used)
        return found if found.for_many else None

    def __init__(self, it: Analysis, groups: Sequence[int], exact: bool, real: str, names: Iterable[str]):
        places, tape = it.places, it.places.tape
        self.analysis, self.exact, self.real, self.names = it, exact, real, names
        self.reduce, self.groups, self.fields = it.reduce, groups, places.fields
        self.final = {} if exact else it.final  # exact sums add the value of each sample, computed first
        self.sums = len(tape.outputs) if it.reduce else 0
        self.rows = self.shared = tape.first + len(tape.instructions) + 1
        self.one = self.rows - 1  # the slot of 1.0, the second factor of terms that have only one
        low = tape.inputs + tape.leaves
        self.constants = [*zip(range(low, tape.first), tape.constants, strict=True), (self.one, 1.0)]
        self.arrays = ARRAYS + len(self.fields) + len(groups)
        self.shown: list[int] = []
        self.filled: list[tuple[int, float]] = []
        self.work = sum([max(1, len(operands) - 1) for _, operands in tape.instructions]) + self.sums
        self.for_one, self.for_many = self.same_bits()
        self.by_tape = not (self.for_one and self.for_many) and self.irregular()
        if self.by_tape:
            self.for_one = self.for_many = True
        self.price = LEAST + INSTRUCTION * len(tape.instructions)

    def same_bits(self) -> tuple[bool, bool]:
        """Whether results are sure to have the bits of compiled code, for calls with few samples and for others.

        Exact code has one order for everything. Otherwise compiled code for a single sample, and for numbers that all samples
        share, adds long sums in parts and calls the library for vectors of neighbours: its bits depend on where numbers lie.
        """
        if self.exact:
            return True, True
        if any(len(xs) > UNROLLED for xs, _ in self.final.values()):
            return False, False
        tape, varies = self.analysis.places.tape, self.analysis.places.varies
        first, found = tape.first, [True, True]
        long = [
            k
            for k, (rule, operands) in enumerate(tape.instructions)
            if len(operands) >= CONTIGUOUS
            and len(operands) // (2 if rule is _DOT else 1) >= (CONTIGUOUS if rule.name in OF_LARGEST else LONG)
        ]
        if long:
            found = [False, bool(varies[[first + k for k in long]].all())]
        library = set(filter(calls_library, {rule for rule, _ in tape.instructions}))
        if library:
            levels, rows = self.levels(), varies.tolist()[first:]
            size = sum([len(operands) if rule.variadic else 1 for rule, operands in tape.instructions])
            many = WIDE if size <= module.CROWDED else module.SHORTEST
            at = [k for k, (rule, _) in enumerate(tape.instructions) if rule in library and levels[k]]
            for i, alone in enumerate((at, [k for k in at if not rows[k]])):
                calls = Counter([(levels[k], tape.instructions[k][0]) for k in alone])
                found[i] &= all(count < (many if level > 0 else NESTED) for (level, _), count in calls.items())
        return found[0], found[1]

    def irregular(self) -> bool:
        """Whether `Target.by_tape` hardly slows compiled code: there are no loops, and long sums are little of the work."""
        if self.analysis.loops or any(len(xs) > UNROLLED for xs, _ in self.final.values()):
            return False
        instructions = self.analysis.places.tape.instructions
        counts = [(rule.name, len(operands) // (2 if rule is _DOT else 1)) for rule, operands in instructions if rule.variadic]
        if any(name in OF_LARGEST and count >= CONTIGUOUS for name, count in counts):
            return False
        return sum([count for _, count in counts if count >= LONG]) * RARE <= len(instructions)

    def levels(self) -> list[int]:
        """For each instruction its level in compiled code; after a loop, counting goes on.

        Those of the first step of a loop have a negative number, one for each loop; those of its other steps have 0.
        """
        if self.analysis.levels is not None:
            return self.analysis.levels
        tape, loops = self.analysis.places.tape, self.analysis.loops
        first, found, base = tape.first, list[int](), 0
        for number, loop in enumerate([*loops, None]):
            between = range(len(found), len(tape.instructions) if loop is None else loop.start)
            levels = earliest([(first + k, *tape.instructions[k]) for k in between], base)
            found += levels
            base = max([base, *levels])
            if loop is not None:
                found += [-1 - number] * loop.period + [0] * (loop.period * (loop.steps - 1))
        return found

    def code(self, t: Target) -> tuple[Code, Array]:
        """The interpreter for a target, and its table."""
        table, shares = self.table
        return interpreter(self.names, t, shares, self.reduce), table

    @cached_property
    def table(self) -> tuple[Array, bool]:
        """What the interpreter is to do, as integers, and whether some of it is done once for all samples."""
        places, tape = self.analysis.places, self.analysis.places.tape
        first, varies = tape.first, places.varies.tolist()
        codes = {RULES[name]: code for code, name in enumerate(known(self.real, self.exact))}
        once: list[int] = []
        work: list[int] = []
        read: list[Sequence[int]] = []  # by what is done for each vector of samples
        for slot, (rule, operands) in enumerate(tape.instructions, first):
            if slot - first in self.final:
                continue
            part = work if varies[slot] else once
            if varies[slot]:
                read.append(operands)
            if rule.variadic:
                part += (codes[rule], slot, slot, slot, len(operands) // 2 if rule is _DOT else len(operands), *operands)
            else:
                part += (codes[rule], slot, operands[0], operands[-1]) if len(operands) < 3 else (codes[rule], slot, *operands)
        totals: list[int] = []
        if self.reduce:
            for slot in tape.outputs:
                xs, ys = self.final.get(slot - first, ((slot,), ()))
                totals += (len(xs), *xs, *(ys or [self.one] * len(xs)))
                read += (xs, ys)
        else:
            read.append(tape.outputs)
        fixed, varying = [THETA_AT, tape.leaves, tape.inputs, *self.arguments(False)], self.arguments(True)
        shared = {slot for slot, rows in enumerate(varies) if not rows}
        spread = [*sorted(shared.intersection(chain.from_iterable(read))), self.one]
        results = [] if self.reduce else self.results()
        parts = [once + ENDS, work + ENDS, spread, fixed, varying, totals, results]
        starts = [HEAD, *(HEAD + np.cumsum([len(part) for part in parts])).tolist()]
        head = [0] * HEAD
        head[ONCE], head[WORK], head[SPREAD], head[FIXED], head[VARYING], head[TOTALS], head[RESULTS] = starts[:7]
        head[FIXED_COUNT], head[VARYING_COUNT] = len(fixed) // 3, len(varying) // 3
        head[SPREAD_COUNT], head[TOTAL_COUNT], head[RESULT_COUNT] = len(spread), self.sums, len(results) // 5
        return np.fromiter(chain(head, *parts), np.int64, starts[-1]), len(once) > 0

    def arguments(self, varying: bool) -> list[int]:
        """For each array of arguments: its entry in the frame, its width, and the slot of its first number."""
        found, slot = list[int](), 0
        for i, field in enumerate(self.fields):
            if field.width and field.varying == varying:
                found += (ARRAYS + i, field.width, slot)
            slot += field.width
        return found

    def results(self) -> list[int]:
        """For each result: its array's entry in the frame, where it lies there (row, stride, offset), and its slot."""
        outputs = self.analysis.places.tape.outputs
        if not self.groups:
            return [*chain.from_iterable((OUT, row, 1, 0, slot) for row, slot in enumerate(outputs))]
        found, at = list[int](), iter(outputs)
        for number, width in enumerate(self.groups, ARRAYS + len(self.fields)):
            for column in range(width):
                found += (number, 0, width, column, next(at))
        return found

    def direct(self, t: Target) -> bool:
        return False
