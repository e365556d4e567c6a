"""What LLVM's assembly is written for: the machine's vectors and registers, and where numbers lie in memory.

Comes first in this folder. A varying slot holds one number per sample of a block, side by side; a shared slot holds one
number for all samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from micrograd.tape.back_ends import reference

ROWS, SHARED, THETA = "rows", "shared", "theta"  # the arrays that numbers live in
PARAMETERS = (ROWS, SHARED, "totals", "tables", THETA, "frame")  # what every function is given; the last leads to the others
# entries of the frame that are new for each call: the parameters, results, the number of samples, what sums are divided by,
# whether a result is nan, and the arrays of the arguments
THETA_AT, OUT, COUNT, DIVISOR, NANS, ARRAYS = 4, 5, 6, 7, 8, 9
DATA = 16  # where, in the object of an array, the pointer to its numbers lies
CHUNK = reference.BLOCK  # samples whose sums stand by themselves


@dataclass(frozen=True)
class Target:
    """What code is written for: `lanes` numbers per vector, `block` samples at a time, how exact."""

    lanes: int
    block: int
    real: str = "double"  # LLVM's name
    exact: bool = False
    registers: int = 16  # registers of the machine, and how many numbers one of them holds
    width: int = 4
    library: Mapping[tuple[str, int], str] = field(default_factory=dict)  # how functions of (name, lanes) are called
    single: bool = False  # there is one sample: its part of a sum over the samples is the sum
    streamed: bool = False  # straight-line code stores its results non-temporally, to arrays that begin at a cache line
    telling: bool = False  # the code tells whether one of its results is nan
    # where there is one sample, whether the tape alone settles the bits, and not how numbers come to lie: long sums are added
    # in parts by the order of their terms, and every number goes through the library's functions for vectors
    by_tape: bool = False

    @cached_property
    def size(self) -> int:
        return 8 if self.real == "double" else 4

    @cached_property
    def wider(self) -> Target:
        """The same target, with as many lanes as elements of one sample are taken at once."""
        return replace(self, lanes=8 if self.exact else max(8, self.width))

    @cached_property
    def once(self) -> Target:
        """The same target for numbers that all samples share."""
        return replace(self, lanes=1, block=1, single=False, streamed=False)

    @cached_property
    def pitch(self) -> int:
        """Numbers from one slot to the next: rows of a power of two would fall into the same few sets of the cache."""
        return self.block + (self.lanes if self.block * self.size >= 512 else 0)

    @cached_property
    def sums(self) -> int:
        """How many sums over vectors are kept in registers at once."""
        return max(2, self.registers // (2 * max(1, self.lanes // self.width)))

    @cached_property
    def attributes(self) -> str:
        """The attributes of every function: vectors spilled from registers begin at a line of the cache, and cross none."""
        return "nounwind" if self.lanes == 1 else f"nounwind alignstack({self.width * self.size})"

    @cached_property
    def suffix(self) -> str:
        """What LLVM's names for operations on one number end in."""
        return "f64" if self.real == "double" else "f32"

    @cached_property
    def vector(self) -> str:
        return self.real if self.lanes == 1 else f"<{self.lanes} x {self.real}>"
