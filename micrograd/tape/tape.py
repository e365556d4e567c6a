"""The tape: a recorded computation as a flat list of instructions over numbered slots.

`record` writes a tape, `passes` rewrite it, `schedule` groups it into vector instructions, and the `reference` back end
runs it as it stands. Slots are numbered

    0 .. inputs-1          the numbers of the arguments, flattened from left to right
    .. + leaves            the captured leaves (the parameters), in the order of the parameter vector theta
    .. + len(constants)    the constants
    .. + len(instructions) the result of each instruction, in order

and an instruction is a primitive with the slots of its operands, all smaller than the slot of its own result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from micrograd.primitives import Primitive

Array = np.ndarray[Any, Any]
Instruction = tuple[Primitive, tuple[int, ...]]


def constant_key(x: float) -> Any:
    """A key that is equal for equal constants: all nans are one constant, 0.0 and -0.0 are two."""
    return x if x == x and x != 0.0 else (x != x, math.copysign(1.0, x))


@dataclass(frozen=True)
class Guard:
    """A comparison of slots `x` and `y` by the method `name`, such as "__lt__": its result in the recording, and its line."""

    name: str
    x: int
    y: int
    result: bool
    line: str


@dataclass
class Tape:
    """A computation over slots. `outputs` are slots too, in the order in which results are wanted."""

    inputs: int
    leaves: int
    constants: list[float]
    instructions: list[Instruction]
    outputs: list[int]
    guards: list[Guard] = field(default_factory=list)

    @property
    def first(self) -> int:
        """The slot of the first instruction's result."""
        return self.inputs + self.leaves + len(self.constants)

    def lookups(self) -> list[tuple[int, int]]:
        """Pairs (input, n): each input that is the index of a `take`, and the length of its table."""
        found = {(operands[0], len(operands) - 1): None for rule, operands in self.instructions if rule.name == "take"}
        return list(found)

    def operands(self) -> tuple[Array, Array]:
        """Where the operands of each instruction begin in the list of all operands (and where that ends), and the list.

        Both are of type `np.intp`, the one that NumPy takes as indices on every machine: in a browser it has 32 bits.
        """
        every = [operands for _, operands in self.instructions]
        starts = np.cumsum([0, *map(len, every)], dtype=np.intp)
        return starts, np.fromiter(chain.from_iterable(every), np.intp, starts[-1])

    def kinds(self) -> Array:
        """A number for each instruction, equal for instructions of the same primitive with as many operands."""
        rules, every = zip(*self.instructions, strict=True) if self.instructions else ((), ())
        numbers, n = {rule: i for i, rule in enumerate(dict.fromkeys(rules))}, len(rules)
        counts = np.fromiter(map(len, every), np.int64, n)
        return counts * len(numbers) + np.fromiter(map(numbers.__getitem__, rules), np.int64, n)

    def levels(self) -> list[int]:
        """For each instruction, how many instructions there are on the longest way that ends with it."""
        first = self.first
        levels = [0] * first
        level_of, leave = levels.__getitem__, levels.append
        for _, operands in self.instructions:
            if len(operands) == 2:  # as most have
                x, y = level_of(operands[0]), level_of(operands[1])
                leave(1 + (x if x > y else y))
            else:
                leave(1 + max(map(level_of, operands)))
        return levels[first:]

    def name(self, slot: int) -> str:
        """How a slot is printed: an input x0, a leaf p0, a constant by its number, a result %0."""
        for letter, count in (("x", self.inputs), ("p", self.leaves)):
            if slot < count:
                return f"{letter}{slot}"
            slot -= count
        return repr(self.constants[slot]) if slot < len(self.constants) else f"%{slot - len(self.constants)}"

    def __str__(self) -> str:
        names = self.name
        lines = [f"tape of {self.inputs} inputs, {self.leaves} leaves, {len(self.instructions)} instructions"]
        for i, (rule, operands) in enumerate(self.instructions):
            shown = ", ".join(map(names, operands[:8])) + (f", ... {len(operands) - 8} more" if len(operands) > 8 else "")
            lines.append(f"  %{i} = {rule.name}({shown})")
        lines += [f"  if {names(g.x)} {g.name} {names(g.y)} is {g.result}" for g in self.guards]
        outputs = [names(slot) for slot in self.outputs[:16]] + (["..."] if len(self.outputs) > 16 else [])
        return "\n".join([*lines, f"  return {', '.join(outputs)}"])
