"""Where the results of a tape's instructions are kept: each slot gets a space and a position there, vector by vector.

`vectorise` and `steps` ask for places and add vector instructions; `schedule` says what spaces are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd.primitives import Primitive
from micrograd.tape.scheduling.positions import fitted, run_of
from micrograd.tape.scheduling.schedule import ROWS, SHARED, Field, Operand, Repeat, Vector
from micrograd.tape.tape import Tape

Array = np.ndarray[Any, Any]
SPACES = (SHARED, ROWS)


class Places:
    """The space and position of each slot, the vector that it belongs to, and the vector instructions so far."""

    def __init__(self, tape: Tape, fields: list[Field]):
        if sum(f.width for f in fields) != tape.inputs:
            raise ValueError(f"the fields must cover the tape's {tape.inputs} inputs, got {[f.width for f in fields]}")
        self.tape, self.fields = tape, fields
        slots = tape.first + len(tape.instructions)
        self.where = np.full(slots, -1, np.int64)  # the position of each slot
        self.varies = np.zeros(slots, bool)  # whether it varies with the samples: its space is then ROWS, else SHARED
        self.owner = np.zeros(slots, np.int64)  # the number of the vector, or field, that it is part of
        self.shared = self.rows = self.vectors = 0  # how many positions, and vectors, there are so far
        self.filled: list[tuple[int, float]] = []
        self.code: list[Vector | Repeat] = []
        self.before = self.code  # gets the copies of shared numbers to rows; while a loop is scheduled, the code before it
        self.copies: dict[int, int] = {}  # for slots in shared that also have a row: that row
        self.ones_after: dict[int, int] = {}  # slots whose vector is to be followed by rows of ones, and by how many
        self.ones_at: set[int] = set()  # these rows

    def inside(self, tape: Tape, sources: Sequence[int], rows: bool) -> Places:
        """Places for the tape of a part, whose first slots are the slots `sources` here; `leave` ends the part."""
        inner = Places(tape, [Field(tape.inputs, rows)])
        inner.where[: len(sources)], inner.varies[: len(sources)] = self.where[sources], self.varies[sources]
        inner.owner[: len(sources)], inner.varies[tape.first :] = self.owner[sources], rows
        inner.shared, inner.rows, inner.vectors = self.shared, self.rows, self.vectors
        inner.filled, inner.code, inner.before = self.filled, self.code, self.before
        return inner

    def leave(self, inner: Places, slots: Sequence[int]) -> None:
        """End a part: the outputs of its tape are the slots `slots` here, and its positions are taken."""
        self.shared, self.rows, self.vectors = inner.shared, inner.rows, inner.vectors
        outputs = inner.tape.outputs
        self.where[slots], self.owner[slots] = inner.where[outputs], inner.owner[outputs]

    def place(self, slots: Array, rows: bool) -> int:
        """Give slots the next positions of a space, in order, as one vector; returns the first position."""
        base = self.rows if rows else self.shared
        self.where[slots] = np.arange(base, base + len(slots))
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
        """Give places to theta, the fields of the arguments and the constants."""
        tape = self.tape
        self.place(np.arange(tape.inputs, tape.inputs + tape.leaves), False)
        at = 0
        for i, f in enumerate(self.fields):
            self.fields[i] = Field(f.width, f.varying, self.place(np.arange(at, at + f.width), f.varying))
            at += f.width
        order = sorted(range(len(tape.constants)), key=lambda i: tape.constants[i])  # then 0, 1, 2, ... can be a strided view
        self.place(np.array(order, np.int64) + tape.inputs + tape.leaves, False)

    def row_of(self, slots: Array) -> Array:
        """Positions in rows of any slots; shared ones get a row, filled with their number."""
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
                self.before.append(Vector(None, shape, 0, (operand,), run_of(ROWS, base, shape)))
        positions = self.where[flat]
        for j in np.flatnonzero(~self.varies[flat]).tolist():
            positions[j] = self.copies[int(flat[j])]
        return positions.reshape(slots.shape)

    def placed(self, slots: Array) -> tuple[str, Array]:
        """Space and positions of slots that together make one operand: of shared slots among varying ones, their rows."""
        varies = self.varies[slots]
        if varies.all():
            return ROWS, self.where[slots]
        if not varies.any():
            return SHARED, self.where[slots]
        return ROWS, self.row_of(slots)

    # -- for loops

    def room(self, count: int, rows: bool) -> int:
        """Set aside the next `count` positions of a space; returns the first."""
        base = self.rows if rows else self.shared
        if rows:
            self.rows += count
        else:
            self.shared += count
        return base

    def grow(self, count: int, rows: bool) -> Array:
        """New slots, numbered after those of the tape, at consecutive positions."""
        new = len(self.where) + np.arange(count)
        self.where = np.append(self.where, np.zeros(count, np.int64))
        self.varies = np.append(self.varies, np.full(count, rows))
        self.owner = np.append(self.owner, np.zeros(count, np.int64))
        self.put_at(new, self.room(count, rows) + np.arange(count))
        return new

    def put_at(self, slots: Array, positions: Array) -> None:
        """Set the positions of slots, as one vector."""
        self.vectors += 1
        self.where[slots], self.owner[slots] = positions, self.vectors

    def copy(self, slots: Array, to: Array, rows: bool) -> None:
        """Add copies of the numbers of slots to other positions."""
        for space in SPACES[: 1 + rows]:
            some = self.varies[slots] == (space == ROWS)
            self.code += copies_of(space, self.where[slots[some]], SPACES[int(rows)], to[some])


def copies_of(space: str, at: Array, to_space: str, to: Array, step: int = 0, to_step: int = 0) -> list[Vector]:
    """Copies of the numbers at some positions to others: one for each run with constant strides, or one gather if many."""
    order = np.argsort(to, kind="stable")
    at, to = at[order], to[order]
    code: list[Vector] = []
    i = 0
    while i < len(at):
        j, a, b = i + 1, 0, 1
        if j < len(at):
            a, b = int(at[j] - at[i]), int(to[j] - to[i])
            while j < len(at) and at[j] - at[j - 1] == a and to[j] - to[j - 1] == b:
                j += 1
        operand = Operand(space, int(at[i]), (a,), step=step)
        code.append(Vector(None, (j - i,), 0, (operand,), Operand(to_space, int(to[i]), (b,), step=to_step)))
        i = j
    if len(code) > 4 and not step and not to_step and (np.diff(to) == to[1] - to[0]).all():
        out = Operand(to_space, int(to[0]), (int(to[1] - to[0]),))
        return [Vector(None, (len(to),), 0, (Operand(space, 0, None, np.ascontiguousarray(at)),), out)]
    return code
