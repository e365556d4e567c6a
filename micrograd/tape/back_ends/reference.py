"""The reference back end: the definition of what a tape computes.

It runs one sample after the other, one instruction after the other, each by the rule book's own value on floats. So it gives
bit for bit what the engine computes on Values. The sum over samples is defined here too. Every other back end is compared with
this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd.tape.tape import Tape

Array = np.ndarray[Any, Any]
LANES = 8  # how many partial sums there are within a block
BLOCK = 256  # samples in a block: a multiple of LANES, the same on every machine


def run(tape: Tape, inputs: Sequence[float], leaves: Sequence[float]) -> list[float]:
    """The outputs of a tape for one sample."""
    slots: list[Any] = [*inputs, *leaves, *tape.constants]
    put, get = slots.append, slots.__getitem__
    for rule, operands in tape.instructions:
        put(rule.on_floats([*map(get, operands)]))
    return [slots[i] for i in tape.outputs]


@np.errstate(over="ignore", invalid="ignore")
def total(samples: Array) -> Array:
    """The sum over the first axis, in the one order that is defined.

    Samples are cut into blocks of 256. A block has 8 partial sums, its lanes, which start from 0.0: sample i is added to lane
    i mod 8. Then the lanes are added pairwise, ((0+1)+(2+3))+((4+5)+(6+7)). The sums of the blocks are added pairwise too,
    neighbours first, until one is left; the last of an odd number is taken over into the next round.
    """
    n, width = len(samples), samples.shape[1:]
    sums = []
    for at in range(0, max(n, 1), BLOCK):
        lanes = np.zeros((LANES, *width), samples.dtype)
        for i in range(at, min(at + BLOCK, n), LANES):
            part = samples[i : min(i + LANES, n)]
            lanes[: len(part)] += part
        while len(lanes) > 1:
            lanes = lanes[0::2] + lanes[1::2]
        sums.append(lanes[0])
    return paired(sums)


@np.errstate(over="ignore", invalid="ignore")
def paired(sums: list[Array]) -> Array:
    """The sum of the blocks' sums in the order of `total`: neighbours first."""
    while len(sums) > 1:
        pairs = [a + b for a, b in zip(sums[0::2], sums[1::2], strict=False)]
        sums = pairs + sums[len(sums) & ~1 :]
    found: Array = sums[0]
    return found


class Program:
    """A tape ready to be run over samples.

    `fields` says how the inputs arrive: for each array, in order, how many numbers a sample has (its width), and whether they
    vary from sample to sample or are the same for all. With `reduce`, the outputs are summed over the samples.
    """

    def __init__(self, tape: Tape, fields: Sequence[tuple[int, bool]], reduce: bool, dtype: Any = np.float64):
        self.tape, self.fields, self.reduce, self.dtype = tape, tuple(fields), reduce, np.dtype(dtype)

    def __call__(self, inputs: Sequence[Array], leaves: Array, n: int) -> Array:
        """The outputs for n samples, of shape (outputs, n), or (outputs,) with `reduce`.

        `inputs` has an array for each field: of shape (n, width) where it varies, else (width,).
        """
        columns = [
            np.broadcast_to(np.asarray(x, np.float64), (n, width)) for x, (width, _) in zip(inputs, self.fields, strict=True)
        ]
        samples = np.concatenate(columns, axis=1).tolist() if columns else [[]] * n
        fixed = leaves.tolist()
        found = np.array([run(self.tape, sample, fixed) for sample in samples], np.float64)
        found = found.reshape(n, len(self.tape.outputs)).astype(self.dtype)
        return total(found) if self.reduce else np.ascontiguousarray(found.T)
