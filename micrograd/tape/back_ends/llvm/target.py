"""The target of LLVM's assembly: the machine's vectors and registers, and where numbers lie in memory.

It comes first in this folder. A slot in rows holds one number for each sample of a block, side by side; a slot in shared holds
one number for all samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from micrograd.tape.back_ends import reference

ROWS, SHARED, THETA = "rows", "shared", "theta"  # the arrays that hold the slots' numbers
PARAMETERS = (ROWS, SHARED, "totals", "tables", THETA, "frame")  # of every function: pointers to arrays, which the frame lists
# entries of the frame that are set for each call: the parameters, the results, the number of samples, what sums are divided
# by, whether a result is nan, and from the last on, the arrays of the arguments
THETA_AT, OUT, COUNT, DIVISOR, NANS, ARRAYS = 4, 5, 6, 7, 8, 9
DATA = 16  # the byte of an array's object at which the pointer to its numbers lies
CHUNK = reference.BLOCK  # samples in a chunk, whose sums are added to those of other chunks in a fixed order


@dataclass(frozen=True)
class Target:
    """What code is written for: `lanes` numbers per vector, `block` samples at a time, and so on."""

    lanes: int
    block: int
    real: str = "double"  # LLVM's name of the type of numbers
    exact: bool = False
    registers: int = 16  # how many vector registers the machine has,
    width: int = 4  # and how many numbers one of them holds
    library: Mapping[tuple[str, int], str] = field(default_factory=dict)  # LLVM's name of each function, by (name, lanes)
    single: bool = False  # calls have one sample, so that its terms are the sums over the samples
    streamed: bool = False  # straight-line code stores its results non-temporally, to arrays that begin at a cache line
    telling: bool = False  # the code reports whether one of its results is nan
    # For one sample: the bits depend on the tape alone, and not on where numbers lie. Long sums are added in parts in the order
    # of their terms, and all calls of the library go to its functions for vectors.
    by_tape: bool = False

    @cached_property
    def size(self) -> int:
        return 8 if self.real == "double" else 4

    @cached_property
    def wider(self) -> Target:
        """The same target with several lanes: for code that works on neighbouring elements of one sample."""
        return replace(self, lanes=8 if self.exact else max(8, self.width))

    @cached_property
    def once(self) -> Target:
        """The same target for numbers that all samples share."""
        return replace(self, lanes=1, block=1, single=False, streamed=False)

    @cached_property
    def pitch(self) -> int:
        """The distance from one slot in rows to the next, in numbers. A power of two would crowd a few sets of the cache."""
        return self.block + (self.lanes if self.block * self.size >= 512 else 0)

    @cached_property
    def sums(self) -> int:
        """How many vectors of sums are kept in registers at once."""
        return max(2, self.registers // (2 * max(1, self.lanes // self.width)))

    @cached_property
    def attributes(self) -> str:
        """The attributes of every function. The stack is aligned so that spilled vectors do not cross lines of the cache."""
        return "nounwind" if self.lanes == 1 else f"nounwind alignstack({self.width * self.size})"

    @cached_property
    def suffix(self) -> str:
        """What LLVM's names for operations on one number end in."""
        return "f64" if self.real == "double" else "f32"

    @cached_property
    def vector(self) -> str:
        return self.real if self.lanes == 1 else f"<{self.lanes} x {self.real}>"
