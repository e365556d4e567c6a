"""Where the results of a tape's instructions live: the space and the position of every slot, settled vector by vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd.primitives import Primitive
from micrograd.tape.positions import fitted, run_of
from micrograd.tape.schedule import ROWS, SHARED, Field, Operand, Vector
from micrograd.tape.tape import Tape

Array = np.ndarray[Any, Any]
SPACES = (SHARED, ROWS)


class Places:
    """The positions that slots have been given, the vector that each belongs to, and the vector instructions so far."""

    def __init__(self, tape: Tape, fields: list[Field]):
        if sum(f.width for f in fields) != tape.inputs:
            raise ValueError(f"the fields must cover the tape's {tape.inputs} inputs, got {[f.width for f in fields]}")
        self.tape, self.fields = tape, fields
        slots = tape.first + len(tape.instructions)
        self.where = np.full(slots, -1, np.int64)  # the position of each slot
        self.varies = np.zeros(slots, bool)  # and its space
        self.owner = np.zeros(slots, np.int64)  # the vector, or field, that it is part of
        self.shared = self.rows = self.vectors = 0
        self.filled: list[tuple[int, float]] = []
        self.code: list[Vector] = []
        self.copies: dict[int, int] = {}  # slots in shared that also have a row
        self.ones_after: dict[int, int] = {}  # slots behind whose vector rows of ones are wanted, and how many
        self.ones_at: set[int] = set()

    def place(self, slots: Array, rows: bool) -> int:
        """Give slots the next positions of a space, in order, as one vector; its base."""
        base = self.rows if rows else self.shared
        self.where[slots] = base + np.arange(len(slots))
        self.vectors += 1
        self.owner[slots] = self.vectors
        if not rows:
            self.shared += len(slots)
            return base
        self.rows += len(slots)
        if self.ones_after:
            count = max((self.ones_after.get(i, 0) for i in slots.tolist()), default=0)
            self.ones_at.update(range(self.rows, self.rows + count))
            for _ in range(count):
                self.filled.append((self.rows, 1.0))
                self.rows += 1
        return base

    def add(self, rule: Primitive | None, shape: tuple[int, ...], terms: int, operands: Sequence[Operand], out: Array) -> None:
        """One more vector instruction, whose results are the slots `out`."""
        rows = bool(self.varies[out[0]])
        base = self.place(out, rows)
        self.code.append(Vector(rule, shape, terms, tuple(operands), run_of(SPACES[int(rows)], base, shape)))

    def place_sources(self) -> None:
        """Places for theta, the fields of the arguments and the constants."""
        tape = self.tape
        self.place(np.arange(tape.inputs, tape.inputs + tape.leaves), False)
        at = 0
        for i, f in enumerate(self.fields):
            self.fields[i] = Field(f.width, f.varying, self.place(np.arange(at, at + f.width), f.varying))
            at += f.width
        order = sorted(range(len(tape.constants)), key=lambda i: tape.constants[i])  # 0, 1, 2, ... become a progression
        self.place(np.array(order, np.int64) + tape.inputs + tape.leaves, False)

    def row_of(self, slots: Array) -> Array:
        """Positions in rows of any slots: shared ones are given a row, filled with their number."""
        flat = slots.ravel()
        missing = [i for i in dict.fromkeys(flat[~self.varies[flat]].tolist()) if i not in self.copies]
        if missing:
            low = self.tape.inputs + self.tape.leaves
            numbers = [i for i in missing if low <= i < self.tape.first]
            for i in numbers:
                self.copies[i] = self.rows
                self.filled.append((self.rows, self.tape.constants[i - low]))
                self.rows += 1
            others = np.array([i for i in missing if i not in self.copies], np.int64)
            if len(others):
                (shape, (operand,)) = fitted([(SHARED, self.where[others])])
                base = self.rows
                self.rows += len(others)
                self.copies.update(zip(others.tolist(), range(base, self.rows), strict=True))
                self.code.append(Vector(None, shape, 0, (operand,), run_of(ROWS, base, shape)))
        positions = self.where[flat]
        for j in np.flatnonzero(~self.varies[flat]).tolist():
            positions[j] = self.copies[int(flat[j])]
        return positions.reshape(slots.shape)

    def placed(self, slots: Array) -> tuple[str, Array]:
        """Space and positions of slots that together make one operand."""
        varies = self.varies[slots]
        if varies.all():
            return ROWS, self.where[slots]
        if not varies.any():
            return SHARED, self.where[slots]
        return ROWS, self.row_of(slots)
