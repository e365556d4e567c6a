"""The schedule: the array program that was written as a tape of scalars.

`vectorise` makes it from a tape, and back ends run it. Instructions of one primitive that do not depend on one another become
one **vector instruction**. Results get positions such that operands are strided views where possible, gathers elsewhere. A
layer of scalar neurons becomes one matrix product, and its weight and bias gradient one product over the samples.

What a back end needs to know, exactly:

**Spaces.** Every number lives at a position in one of three spaces.

    shared   one number for all samples: positions 0 .. leaves-1 are the parameter vector theta; then come fixed inputs,
             constants, and results that depend on no varying input. Computed once per call.
    rows     one number per sample: position r is a row of n numbers, one for each sample.
    totals   only with `reduce`: one number per output of the tape, in the tape's order: its sum over the samples.

**Before the code runs**, a back end puts theta at shared[0:leaves]; each field f of the arguments, in order, at
`fields[f].base` and the positions after it (a varying field of width w fills w rows, one column of the argument each);
the numbers of `constants` (pairs position, number) into shared; and the numbers of `filled` (pairs row, number) into
rows, the same for all samples. It then runs `code` in order: first all instructions whose results are shared, then the
others. Vectors without a primitive (rule None) copy numbers: out[i] = operand[i], for example from shared to rows.

**A vector instruction** `Vector(rule, shape, terms, operands, out, over)` stands for a loop over all indices i of `shape`
(one to three axes). `terms` is 0 for a primitive with a fixed number of arguments:

    out[i] = rule(operands[0][i], operands[1][i], ...)

For one with any number of arguments there is one more axis, k from 0 to terms-1: the last axis of the operands written with k:

    sum, logsumexp, others   (x[i,k],)                       out[i] = rule(x[i,0], x[i,1], ...)
    dot                      (x[i,k], y[i,k], start[i])      out[i] = start[i] + x[i,0] y[i,0] + x[i,1] y[i,1] + ...
    take                     (index[i], table[i,k])          out[i] = table[i, index[i]]

With `over`, the rule is sum or dot, without start, the result belongs to totals and is summed over the samples:

    sum   (x[i,k],)           out[i] = Σ_samples (x[i,0] + x[i,1] + ...)
    dot   (x[i,k], y[i,k])    out[i] = Σ_samples (x[i,0] y[i,0] + x[i,1] y[i,1] + ...)

with the order of `reference.total` over samples; terms are added from left to right within each sample. (An x in shared
is added once for each sample.) Every total is written exactly once.

**An operand** `Operand(space, base, strides, index)` is a view, position(i) = base + Σ i_a strides_a, with one stride per
axis (0 along an axis on which it does not depend, so a product of matrices shows as zeros in the strides); or, where
`strides` is None, a gather, position(i) = index[i], with an array `index` that broadcasts to the shape. A result's
positions are always distinct, and in rows and shared they are one run from `base` with the last axis fastest.

Results are never overwritten, so vector instructions may run in any order that keeps operands before results.

**A loop** `Repeat(steps, arriving, work, leaving)` is an item of the code like a vector. It runs three lists of vector
instructions, in this order, `steps` times: `arriving` copies what the step reads into positions of its body, `work` computes
there, and `leaving` copies out the results that are needed later, and to where the next step expects them those that it goes on
with. In step t, an operand or a result with a `step` lies at position(i) + t step. Only in these copies (rule None, from any
space to rows, or from shared to shared) do results have strides of their own, and only positions of the body are overwritten,
step by step. The work of a step may contain loops, whose steps are counted from 0 each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from micrograd.primitives import RULES, Primitive

SHARED, ROWS, TOTALS = "shared", "rows", "totals"
SUM, DOT, TAKE = (RULES[name] for name in ("sum", "dot", "take"))
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Operand:
    """Where the numbers of a vector lie: base and strides for a view, or an array of positions for a gather."""

    space: str
    base: int
    strides: tuple[int, ...] | None
    index: Array | None = None
    step: int = 0  # in a loop: how far it moves from one step to the next

    def positions(self, shape: tuple[int, ...]) -> Array:
        """The position of every element, as an array of `shape`."""
        if self.strides is None:
            assert self.index is not None
            return np.broadcast_to(self.index, shape)
        steps = np.ogrid[tuple(map(slice, shape))]
        return np.broadcast_to(sum((s * i for s, i in zip(self.strides, steps, strict=True)), np.int64(self.base)), shape)


@dataclass(frozen=True)
class Vector:
    """One vector instruction; see the module's docstring for what each field says."""

    rule: Primitive | None
    shape: tuple[int, ...]
    terms: int
    operands: tuple[Operand, ...]
    out: Operand
    over: bool = False

    @property
    def size(self) -> int:
        """How many scalar results it stands for."""
        return int(np.prod(self.shape))

    count = 1  # it is one vector instruction


@dataclass(frozen=True)
class Repeat:
    """A loop of `steps` steps; see the module's docstring."""

    steps: int
    arriving: list[Vector]
    work: list[Vector | Repeat]
    leaving: list[Vector]

    @property
    def body(self) -> list[Vector | Repeat]:
        """The vector instructions of one step, and the loops in it."""
        return [*self.arriving, *self.work, *self.leaving]

    @property
    def count(self) -> int:
        """How many vector instructions are written in it."""
        return sum(v.count for v in self.body)

    @property
    def size(self) -> int:
        """How many scalar results it stands for."""
        return self.steps * sum(v.size for v in self.work)


@dataclass(frozen=True)
class Field:
    """Consecutive inputs that arrive as one array, of shape (n, width) if `varying`, else (width,); the first is at `base`."""

    width: int
    varying: bool
    base: int = -1


@dataclass
class Schedule:
    """A tape as vector instructions over three spaces; see the module's docstring."""

    leaves: int
    fields: list[Field]
    shared: int  # the number of positions in each space
    rows: int
    constants: list[tuple[int, float]]
    filled: list[tuple[int, float]]
    code: list[Vector | Repeat]
    outputs: list[tuple[str, int]]  # the space and position of each output; with `reduce`, (TOTALS, its number)
    reduce: bool

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """The schedule, one line for each vector instruction, as a person would write array code."""
        many = sum(v.count for v in self.code)
        yield (
            f"schedule of {many} vector instructions ({sum(v.size for v in self.code):,} scalar results); "
            f"shared {self.shared:,}, rows {self.rows:,}"
        )
        names = {SHARED: "s", ROWS: "r", TOTALS: "total"}

        def shown(o: Operand, shape: tuple[int, ...]) -> str:
            far = str(abs(o.step)) if abs(o.step) > 1 else ""
            moves = f" {'+' if o.step > 0 else '-'} {far}t" if o.step else ""
            if o.strides is None:
                assert o.index is not None
                return f"{names[o.space]}[gather {'×'.join(map(str, o.index.shape))}{moves}]"
            axes = [(n, s) for n, s in zip(shape, o.strides, strict=True) if s and n > 1]
            if not axes:
                return f"{names[o.space]}[{o.base}{moves}]"
            runs = ", ".join(f"{n}" + (f"·{s}" if s != 1 else "") for n, s in axes)
            return f"{names[o.space]}[{o.base}{moves} + {runs}]"

        def written(v: Vector) -> str:
            full = (*v.shape, v.terms)
            if v.rule is None:
                text = shown(v.operands[0], v.shape)
            elif not v.terms:
                text = f"{v.rule.name}({', '.join(shown(o, v.shape) for o in v.operands)})"
            elif v.rule is DOT:
                x, y = (shown(o, full) for o in v.operands[:2])
                text = f"{x} @ {y}" + (f" + {shown(v.operands[2], v.shape)}" if len(v.operands) > 2 else "")
            elif v.rule is TAKE:
                text = f"take({shown(v.operands[0], v.shape)}, {shown(v.operands[1], full)})"
            else:
                text = f"{v.rule.name}({shown(v.operands[0], full)})"
            over = "Σ samples " if v.over else ""
            return f"{'×'.join(map(str, v.shape)):>12}  {shown(v.out, v.shape)} = {over}{text}"

        def line_by_line(code: Sequence[Vector | Repeat], depth: int = 0) -> Iterator[str]:
            for v in code:
                if isinstance(v, Vector):
                    yield f"{'  ' * depth}  {written(v)}"
                else:
                    yield f"{'  ' * depth}{'':>14}  for t in 0 .. {v.steps - 1:,}:"
                    yield from line_by_line(v.body, depth + 1)

        yield from line_by_line(self.code)
