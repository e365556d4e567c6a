"""The schedule: the array program in a tape of scalars, found again.

`passes` come before, the back ends after. Instructions of one primitive that do not depend on one another become one
**vector instruction**; results get positions such that operands are strided views where possible, gathers elsewhere. A
layer of scalar neurons is one matrix product again, and its weight and bias gradient one product over the samples.

What a back end needs to know, exactly:

**Spaces.** Every number lives at a position in one of three spaces.

    shared   one number for all samples: positions 0 .. leaves-1 are the parameter vector theta; then come fixed inputs,
             constants, and results that depend on no varying input. Computed once per call.
    rows     one number per sample: position r is a row of n numbers, one for each sample.
    totals   only with `reduce`: one number per output of the tape, in the tape's order: its sum over the samples.

**Before the code runs**, a back end puts theta at shared[0:leaves]; each field f of the arguments, in order, at
`fields[f].base` and following of its space (a varying field of width w fills w rows, one column of the argument each);
the numbers of `constants` (pairs position, number) into shared; and the numbers of `filled` (pairs row, number) into
rows, the same for all samples. It then runs `code` in order: first all instructions whose results are shared, then the
others. `spread` vectors (rule None) among them copy shared numbers into rows: out[i] = operand[i].

**A vector instruction** `Vector(rule, shape, terms, operands, out, over)` stands for a loop over all indices i of `shape`
(one to four axes). `terms` is 0 for a primitive with a fixed number of arguments:

    out[i] = rule(operands[0][i], operands[1][i], ...)

For one with any number of arguments there is one more axis, k from 0 to terms-1, the last axis of the operands marked k:

    sum, logsumexp, others   (x[i,k],)                       out[i] = rule(x[i,0], x[i,1], ...)
    dot                      (x[i,k], y[i,k], start[i])      out[i] = start[i] + x[i,0] y[i,0] + x[i,1] y[i,1] + ...
    take                     (index[i], table[i,k])          out[i] = table[i, index[i]]

With `over`, the rule is sum or dot, without start, the result belongs to totals and is summed over the samples:

    sum   (x[i,k],)           out[i] = Σ_samples (x[i,0] + x[i,1] + ...)
    dot   (x[i,k], y[i,k])    out[i] = Σ_samples (x[i,0] y[i,0] + x[i,1] y[i,1] + ...)

with the order of `reference.total` over samples; terms are added from left to right within each sample. (An x in shared
counts once for each sample.) Every total is written exactly once.

**An operand** `Operand(space, base, strides, index)` is a view, position(i) = base + Σ i_a strides_a, with one stride per
axis (0 along an axis on which it does not depend, so a product of matrices shows as zeros in the strides); or, where
`strides` is None, a gather, position(i) = index[i], with an array `index` that broadcasts to the shape. A result's
positions are always distinct, and in rows and shared they are one run from `base` with the last axis fastest.

Results are never overwritten, so vector instructions may run in any order that keeps operands before results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from micrograd.primitives import RULES, Primitive
from micrograd.tape.tape import Tape

SHARED, ROWS, TOTALS = "shared", "rows", "totals"
_SPACES = (SHARED, ROWS)
_SUM, _DOT, _MUL, _TAKE = (RULES[name] for name in ("sum", "dot", "mul", "take"))
Array = np.ndarray[Any, Any]
Slots = tuple[int, ...]


@dataclass(frozen=True)
class Operand:
    """Where the numbers of a vector lie: base and strides for a view, or an array of positions for a gather."""

    space: str
    base: int
    strides: tuple[int, ...] | None
    index: Array | None = None

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


@dataclass(frozen=True)
class Field:
    """A run of inputs that arrive as one array: (n, width) where varying, else (width,)."""

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
    code: list[Vector]
    outputs: list[tuple[str, int]]  # the space and position of each output; with `reduce`, (TOTALS, its number)
    reduce: bool
    lookups: list[tuple[int, int]] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """The schedule, one line for each vector instruction, as a person would write array code."""
        yield (
            f"schedule of {len(self.code)} vector instructions ({sum(v.size for v in self.code):,} scalar results); "
            f"shared {self.shared:,}, rows {self.rows:,}"
        )
        names = {SHARED: "s", ROWS: "r", TOTALS: "total"}

        def shown(o: Operand, shape: tuple[int, ...]) -> str:
            if o.strides is None:
                assert o.index is not None
                return f"{names[o.space]}[gather {'×'.join(map(str, o.index.shape))}]"
            axes = [(n, s) for n, s in zip(shape, o.strides, strict=True) if s and n > 1]
            if not axes:
                return f"{names[o.space]}[{o.base}]"
            return f"{names[o.space]}[{o.base} + " + ", ".join(f"{n}" + (f"·{s}" if s != 1 else "") for n, s in axes) + "]"

        for v in self.code:
            full = (*v.shape, v.terms)
            if v.rule is None:
                text = shown(v.operands[0], v.shape)
            elif not v.terms:
                text = f"{v.rule.name}({', '.join(shown(o, v.shape) for o in v.operands)})"
            elif v.rule is _DOT:
                x, y = (shown(o, full) for o in v.operands[:2])
                text = f"{x} @ {y}" + (f" + {shown(v.operands[2], v.shape)}" if len(v.operands) > 2 else "")
            elif v.rule is _TAKE:
                text = f"take({shown(v.operands[0], v.shape)}, {shown(v.operands[1], full)})"
            else:
                text = f"{v.rule.name}({shown(v.operands[0], full)})"
            over = "Σ samples " if v.over else ""
            yield f"  {'×'.join(map(str, v.shape)):>12}  {shown(v.out, v.shape)} = {over}{text}"


def scheduled(tape: Tape, fields: Iterable[tuple[int, bool]], reduce: bool) -> Schedule:
    """The schedule of a tape whose inputs arrive in `fields`, runs of (width, varying)."""
    return _Builder(tape, [Field(*f) for f in fields], reduce).build()


class _Builder:
    """The state of scheduling: where each slot lives, and the code so far."""

    def __init__(self, tape: Tape, fields: list[Field], reduce: bool):
        if sum(f.width for f in fields) != tape.inputs:
            raise ValueError(f"the fields must cover the tape's {tape.inputs} inputs, got {[f.width for f in fields]}")
        self.tape, self.fields, self.reduce = tape, fields, reduce
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

    def build(self) -> Schedule:
        tape = self.tape
        levels = self._levels()
        final = self._contractions() if self.reduce else {}
        self._place_sources()
        groups: dict[tuple[bool, int, Primitive, int], list[int]] = {}
        varies, first = self.varies.tolist(), tape.first
        for k, (rule, operands) in enumerate(tape.instructions):
            if k not in final:
                groups.setdefault((varies[first + k], levels[first + k], rule, len(operands)), []).append(k)
        for key in sorted(groups, key=lambda key: key[:2]):  # stable: within a level in the order of the tape
            self._vectorise(key[2], np.array(groups[key], np.int64))
        if self.reduce:
            self._reduce_samples(final)
            outputs = [(TOTALS, i) for i in range(len(tape.outputs))]
        else:
            outputs = [(_SPACES[int(self.varies[slot])], int(self.where[slot])) for slot in tape.outputs]
        low = tape.inputs + tape.leaves
        constants = [(int(self.where[low + i]), x) for i, x in enumerate(tape.constants)]
        return Schedule(
            tape.leaves, self.fields, self.shared, self.rows, constants, self.filled, self.code, outputs, self.reduce,
            tape.lookups(),
        )  # fmt: skip

    # -- what depends on what

    def _levels(self) -> list[int]:
        """The level of every slot: 0 for sources, else one more than the highest operand's. Also settles which slots vary."""
        tape = self.tape
        levels = [0] * tape.first
        varies = [f.varying for f in self.fields for _ in range(f.width)] + [False] * (tape.first - tape.inputs)
        level_of, varies_at = levels.__getitem__, varies.__getitem__
        for _, operands in tape.instructions:
            levels.append(1 + max(map(level_of, operands)))
            varies.append(any(map(varies_at, operands)))
        self.varies[:] = varies
        return levels

    def _contractions(self) -> dict[int, tuple[Slots, Slots]]:
        """The instructions that only feed sums over samples and can be part of them, as their pairs of factors.

        Notes on the way which rows want ones behind them: where a δ is summed by itself (a bias) and also times each of
        some numbers a_j (weights), both become one product with a row of ones as the last a.
        """
        tape, first = self.tape, self.tape.first
        used = bytearray(first + len(tape.instructions))
        for _, operands in tape.instructions:
            for i in operands:
                used[i] = 1
        for g in tape.guards:
            used[g.x] = used[g.y] = 1
        low = tape.inputs + tape.leaves
        nought = {low + i for i, x in enumerate(tape.constants) if x == 0.0}
        final: dict[int, tuple[Slots, Slots]] = {}
        alone: set[tuple[int, ...]] = set()
        varies = self.varies.tolist()
        varying = varies.__getitem__
        for slot in tape.outputs:
            k = slot - first
            if not varies[slot]:
                continue
            if k < 0 or used[slot]:
                alone.add((slot,))
                continue
            rule, operands = tape.instructions[k]
            if rule is _MUL and varies[operands[0]] and varies[operands[1]]:
                final[k] = (operands[:1], operands[1:])
            elif rule is _DOT and operands[-1] in nought and all(map(varying, operands[:-1])):
                half = len(operands) // 2
                final[k] = (operands[:half], operands[half:-1])
            elif rule is _SUM and all(map(varying, operands)):
                final[k] = (operands, ())
                alone.add(operands)
            else:
                alone.add((slot,))
        for k, (xs, ys) in final.items():
            if ys and xs not in alone and ys in alone:
                final[k] = xs, ys = ys, xs
            if ys and xs in alone:
                self.ones_after[ys[0]] = max(len(ys), self.ones_after.get(ys[0], 0))
        return final

    # -- positions

    def _place(self, slots: Array, rows: bool) -> int:
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

    def _place_sources(self) -> None:
        tape = self.tape
        self._place(np.arange(tape.inputs, tape.inputs + tape.leaves), False)
        at = 0
        for i, f in enumerate(self.fields):
            self.fields[i] = Field(f.width, f.varying, self._place(np.arange(at, at + f.width), f.varying))
            at += f.width
        order = sorted(range(len(tape.constants)), key=lambda i: tape.constants[i])  # 0, 1, 2, ... become a progression
        self._place(np.array(order, np.int64) + tape.inputs + tape.leaves, False)

    def _row_of(self, slots: Array) -> Array:
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
                (shape, (operand,)) = self._fitted([(SHARED, self.where[others])])
                base = self.rows
                self.rows += len(others)
                self.copies.update(zip(others.tolist(), range(base, self.rows), strict=True))
                self.code.append(Vector(None, shape, 0, (operand,), _run(ROWS, base, shape)))
        positions = self.where[flat]
        for j in np.flatnonzero(~self.varies[flat]).tolist():
            positions[j] = self.copies[int(flat[j])]
        return positions.reshape(slots.shape)

    def _placed(self, slots: Array) -> tuple[str, Array]:
        """Space and positions of slots that together make one operand."""
        varies = self.varies[slots]
        if varies.all():
            return ROWS, self.where[slots]
        if not varies.any():
            return SHARED, self.where[slots]
        return ROWS, self._row_of(slots)

    def _fitted(self, columns: Sequence[tuple[str, Array]]) -> tuple[tuple[int, ...], list[Operand]]:
        """A shape for a run of instructions, and their operands as views where one shape can make them views."""
        flat = [positions for _, positions in columns]
        chosen = list(range(len(flat)))
        shape = _shape_of(flat)
        if shape is None:
            chosen = []
            for i, positions in enumerate(flat):
                found = _shape_of([*(flat[j] for j in chosen), positions])
                if found is not None:
                    shape = found
                    chosen.append(i)
        shape = shape or (len(flat[0]),)
        return shape, [
            _operand(space, positions.reshape(shape), view=i in chosen) for i, (space, positions) in enumerate(columns)
        ]

    # -- vector instructions

    def _vectorise(self, rule: Primitive, ks: Array) -> None:
        """The instructions `ks`, of one primitive, one arity and one level, as vector instructions."""
        out = ks + self.tape.first
        operands = _table([self.tape.instructions[k][1] for k in ks.tolist()])
        if rule is _DOT:
            half = operands.shape[1] // 2
            self._dots(out, operands[:, :half], operands[:, half:-1], operands[:, -1])
        elif rule is _TAKE:
            self._many(rule, out, operands[:, 1:], operands[:, 0])
        elif rule.variadic:
            self._many(rule, out, operands, None)
        else:
            self._map(rule, out, operands)

    def _map(self, rule: Primitive, out: Array, operands: Array) -> None:
        for part in _split(self.varies[operands]):
            self._map_part(rule, out[part], operands[part])

    def _map_part(self, rule: Primitive, out: Array, operands: Array, whole: bool = False) -> None:
        positions = self.where[operands]
        order = np.zeros(1, np.int64)
        if len(out) > 1:
            distinct = [len(np.unique(column)) for column in positions.T]
            primary = int(np.argmax(distinct))
            keys = [positions[:, j] for j in range(positions.shape[1]) if j != primary]
            order = np.lexsort([*keys, positions[:, primary]])
        spaces = [_SPACES[int(v)] for v in self.varies[operands[0]]]
        shape, fitted = self._fitted([(s, p) for s, p in zip(spaces, positions[order].T, strict=True)])
        if not whole and any(o.strides is None for o in fitted):
            parts = _split(self.owner[operands])
            if 1 < len(parts) <= max(4, len(out) // 64):
                for part in parts:
                    self._map_part(rule, out[part], operands[part], whole=True)
                return
        rows = bool(self.varies[out[0]])
        base = self._place(out[order], rows)
        self.code.append(Vector(rule, shape, 0, tuple(fitted), _run(_SPACES[int(rows)], base, shape)))

    def _many(self, rule: Primitive, out: Array, xs: Array, index: Array | None) -> None:
        """Sums, lookups and other primitives over `terms` numbers each."""
        terms = xs.shape[1]
        mixed = self.varies[xs]
        kinds = np.where(mixed.all(axis=1), 2, np.where(mixed.any(axis=1), 1, 0))[:, None]
        if index is not None:
            kinds = np.concatenate([kinds, self.varies[index][:, None]], axis=1)
        for part in _split(kinds):
            space, positions = self._placed(xs[part])
            columns = [(space, positions)]
            keys = [positions[:, 0]]
            if index is not None:
                i_space, i_positions = self._placed(index[part])
                columns.insert(0, (i_space, i_positions))
                keys.insert(0, i_positions)
            order = np.lexsort(keys)
            shape, fitted = self._with_terms([(s, p[order]) for s, p in columns], terms)
            rows = bool(self.varies[out[part][0]])
            base = self._place(out[part][order], rows)
            self.code.append(Vector(rule, shape, terms, tuple(fitted), _run(_SPACES[int(rows)], base, shape)))

    def _with_terms(self, columns: list[tuple[str, Array]], terms: int) -> tuple[tuple[int, ...], list[Operand]]:
        """Like `_fitted`, for operands some of which have a second axis over terms."""
        heads = [(s, p if p.ndim == 1 else p[:, 0]) for s, p in columns]
        shape, fitted = self._fitted(heads)
        operands = []
        for (space, positions), head in zip(columns, fitted, strict=True):
            if positions.ndim == 1:
                operands.append(head)
                continue
            steps = np.diff(positions, axis=1)
            if head.strides is not None and (steps == steps[0, 0] if steps.size else np.array(True)).all():
                operands.append(Operand(space, head.base, (*head.strides, int(steps[0, 0]) if steps.size else 0)))
            else:
                operands.append(Operand(space, 0, None, positions.reshape(*shape, terms)))
        return shape, operands

    def _dots(self, out: Array, xs: Array, ys: Array, start: Array) -> None:
        mixed_x, mixed_y = (
            np.where(v.all(axis=1), 2, np.where(v.any(axis=1), 1, 0)) for v in (self.varies[xs], self.varies[ys])
        )
        swap = (mixed_y == 0) & (mixed_x > 0)  # numbers that all samples share stand on the left
        xs, ys = np.where(swap[:, None], ys, xs), np.where(swap[:, None], xs, ys)
        mixed_x, mixed_y = np.where(swap, mixed_y, mixed_x), np.where(swap, mixed_x, mixed_y)
        for part in _split(np.stack([mixed_x, mixed_y, self.varies[start]], axis=1)):
            self._dots_of_one_kind(out[part], xs[part], ys[part], start[part])

    def _dots_of_one_kind(self, out: Array, xs: Array, ys: Array, start: Array) -> None:
        """Dot products whose operands lie in the same spaces: as products of matrices where they form whole grids."""
        rows = bool(self.varies[out[0]])
        space = _SPACES[int(rows)]
        (x_space, x), (y_space, y) = self._placed(xs), self._placed(ys)
        s_space, s = self._placed(start)
        terms = x.shape[1]
        x_id, x_of = _distinct(x)
        y_id, y_of = _distinct(y)
        grids, loose = _grids(x_id, y_id)

        def operands_of(at: Array) -> list[Operand]:
            return [_operand(x_space, x[at[:, :, :1]]), _operand(y_space, y[at[:, :1, :]]), _operand(s_space, s[at])]

        def gathers(at: Array) -> bool:
            return any(o.strides is None for o in operands_of(at))

        alike: dict[Any, list[Array]] = {}  # grids of one size between the same vectors, such as the heads of an attention
        for size, found in grids.items():
            for g in found:
                owners = (self.owner[xs[g[0, 0], 0]], self.owner[ys[g[0, 0], 0]])
                alike.setdefault((size, *owners), []).append(g)
        for found in alike.values():
            at = np.stack([_sorted_grid(g, x[x_of[x_id[g[:, 0]]]], y[y_of[y_id[g[0]]]]) for g in found])
            at = at[np.argsort(x[at[:, 0, 0]][:, 0], kind="stable")]  # (grids, m, n) instructions
            batches = [at]
            if 1 < len(at) <= 8 and gathers(at):
                single = [at[i : i + 1] for i in range(len(at))]
                batches = batches if any(map(gathers, single)) else single
            for batch in batches:
                shape, squeezed = _squeezed(batch.shape, terms, operands_of(batch))
                base = self._place(out[batch.ravel()], rows)
                self.code.append(Vector(_DOT, shape, terms, squeezed, _run(space, base, shape)))
        if len(loose):
            order = loose[np.lexsort([y[loose, 0], x[loose, 0]])]
            shape, fitted = self._with_terms([(x_space, x[order]), (y_space, y[order]), (s_space, s[order])], terms)
            base = self._place(out[order], rows)
            self.code.append(Vector(_DOT, shape, terms, tuple(fitted), _run(space, base, shape)))

    # -- sums over samples

    def _reduce_samples(self, final: dict[int, tuple[Slots, Slots]]) -> None:
        """The totals: products summed over samples as products of matrices, everything else as plain sums."""
        tape, first = self.tape, self.tape.first
        products: dict[int, list[tuple[int, Slots, Slots]]] = {}
        for i, slot in enumerate(tape.outputs):
            xs, ys = final.get(slot - first) or ((slot,), ())
            products.setdefault(len(xs), []).append((i, xs, ys))
        for terms, entries in products.items():
            paired = [e for e in entries if e[2]]
            sums = [e for e in entries if not e[2]]
            taken: set[int] = set()
            if paired:
                taken = self._products_over_samples(terms, paired, sums)
            for varying in (True, False):
                rest = [e for e in sums if e[0] not in taken and bool(self.varies[e[1][0]]) == varying]
                if rest:
                    out = np.array([e[0] for e in rest])
                    positions = self.where[_table([e[1] for e in rest])]
                    order = np.lexsort([out]) if not varying else np.lexsort([positions[:, 0]])
                    columns = [(TOTALS, out[order]), (_SPACES[int(varying)], positions[order])]
                    shape, fitted = self._with_terms(columns, terms)
                    self.code.append(Vector(_SUM, shape, terms, (fitted[1],), fitted[0], over=True))

    def _products_over_samples(
        self, terms: int, paired: list[tuple[int, Slots, Slots]], sums: list[tuple[int, Slots, Slots]]
    ) -> set[int]:
        """Emit Σ over samples of Σ_k x y; returns the plain sums that became part of one, as a column of ones."""
        out = np.array([e[0] for e in paired])
        x = self.where[_table([e[1] for e in paired])]
        y = self.where[_table([e[2] for e in paired])]
        alone = {self.where[np.array(xs)].tobytes(): i for i, xs, _ in sums if self.varies[xs[0]]}
        x_id, x_of = _distinct(x)
        y_id, y_of = _distinct(y)
        grids, loose = _grids(x_id, y_id)
        taken: set[int] = set()
        for found in grids.values():
            for grid in found:
                at = _sorted_grid(grid, x[x_of[x_id[grid[:, 0]]]], y[y_of[y_id[grid[0]]]])
                X, Y, to = x[at[:, 0]], y[at[0]], out[at]
                ones = (
                    Y[-1, -1] + 1 + np.arange(terms) if terms == 1 else Y[-1] + (Y[-1, 0] - Y[-2, 0] if len(Y) > 1 else terms)
                )
                extra = [alone.get(row.tobytes(), -1) for row in X]
                if self.ones_at.issuperset(ones.tolist()) and min(extra) >= 0:
                    taken.update(extra)
                    Y, to = np.concatenate([Y, ones[None]]), np.concatenate([to, np.array(extra)[:, None]], axis=1)
                operands = [
                    _operand(ROWS, X[None, :, None]),
                    _operand(ROWS, Y[None, None]),
                    _operand(TOTALS, to[None, :, :, None]),
                ]
                shape, (ox, oy, oo) = _squeezed((1, *to.shape), terms, operands)
                total = (
                    Operand(TOTALS, oo.base, oo.strides[:-1]) if oo.strides is not None else _operand(TOTALS, to.reshape(shape))
                )
                self.code.append(Vector(_DOT, shape, terms, (ox, oy), total, over=True))
        if len(loose):
            order = loose[np.lexsort([y[loose, 0], x[loose, 0]])]
            columns = [(TOTALS, out[order]), (ROWS, x[order]), (ROWS, y[order])]
            shape, fitted = self._with_terms(columns, terms)
            self.code.append(Vector(_DOT, shape, terms, (fitted[1], fitted[2]), fitted[0], over=True))
        return taken


# -- arrays of positions


def _table(rows: list[Slots]) -> Array:
    """Rows of one length as an array: for many short ones three times as fast as np.array."""
    return np.fromiter(chain.from_iterable(rows), np.int64).reshape(len(rows), -1)


def _run(space: str, base: int, shape: tuple[int, ...]) -> Operand:
    """Consecutive positions, the last axis fastest."""
    steps = np.cumprod([1, *shape[:0:-1]])[::-1]
    return Operand(space, base, tuple(int(s) for s in steps))


def _operand(space: str, positions: Array, view: bool = True) -> Operand:
    """An array of positions as a view where one stride per axis makes it, else as a gather."""
    first = positions[(0,) * positions.ndim]
    if view and positions.size == 1:
        return Operand(space, int(first), (0,) * positions.ndim)
    if view:
        strides = tuple(
            int(positions[tuple(int(a == b) for b in range(positions.ndim))] - first) if n > 1 else 0
            for a, n in enumerate(positions.shape)
        )
        if (Operand(space, int(first), strides).positions(positions.shape) == positions).all():
            return Operand(space, int(first), strides)
    return Operand(space, 0, None, np.ascontiguousarray(positions))


def _shape_of(columns: list[Array]) -> tuple[int, ...] | None:
    """The axes, at most three, over which each of these runs of positions has constant strides; None where there are none."""
    n = len(columns[0])
    cuts: list[int] = []
    size = 1
    while size < n:
        if len(cuts) == 3:
            return None
        run = n // size
        for column in columns:
            heads = column[::size]
            breaks = np.flatnonzero(np.diff(heads) != heads[1] - heads[0])
            if len(breaks):
                run = min(run, int(breaks[0]) + 1)
        if (n // size) % run:
            return None
        size *= run
        cuts.append(run)
    shape = tuple(reversed(cuts)) or (1,)
    return shape if all(_operand("", column.reshape(shape)).strides is not None for column in columns) else None


def _split(keys: Array) -> list[Array]:
    """The rows of `keys` that are equal, as arrays of their numbers, in order of first appearance."""
    if (keys == keys[0]).all():
        return [np.arange(len(keys))]
    groups, _ = _distinct(keys)
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def _distinct(rows: Array) -> tuple[Array, Array]:
    """A number for each row, equal for equal rows and in order of first appearance; and one row of each number."""
    if rows.shape[1] == 1:
        _, first, ids = np.unique(rows[:, 0], return_index=True, return_inverse=True)
        order = np.argsort(first)
        return np.argsort(order)[ids], first[order]
    rows = np.ascontiguousarray(rows)
    known: dict[bytes, int] = {}
    data, width = rows.tobytes(), rows.itemsize * rows.shape[1]
    ids = np.array([known.setdefault(data[i : i + width], len(known)) for i in range(0, len(data), width)], np.int64)
    first = np.zeros(len(known), np.int64)
    first[ids[::-1]] = np.arange(len(ids))[::-1]
    return ids, first


def _grids(x_id: Array, y_id: Array) -> tuple[dict[tuple[int, int], list[Array]], Array]:
    """Pairs (x, y) as whole grids {(m, n): [array of pair numbers, (m, n)]}, and the pairs that are in none."""
    if len(x_id) == 1:
        return {}, np.zeros(1, np.int64)
    component = np.arange(x_id.max() + 1)
    while True:
        of_y = np.full(y_id.max() + 1, len(component))
        np.minimum.at(of_y, y_id, component[x_id])
        new = component.copy()
        np.minimum.at(new, x_id, of_y[y_id])
        if (new == component).all():
            break
        component = new
    of_pair = component[x_id]
    order = np.argsort(of_pair, kind="stable")
    grids: dict[tuple[int, int], list[Array]] = {}
    loose = []
    for pairs in np.split(order, np.flatnonzero(np.diff(of_pair[order])) + 1):
        xs, i = np.unique(x_id[pairs], return_inverse=True)
        ys, j = np.unique(y_id[pairs], return_inverse=True)
        m, n = len(xs), len(ys)
        cell = i * n + j
        if len(pairs) > 1 and m * n == len(pairs) and len(np.unique(cell)) == len(pairs):
            grids.setdefault((m, n), []).append(pairs[np.argsort(cell)].reshape(m, n))
        else:
            loose.append(pairs)
    return grids, np.concatenate(loose) if loose else np.empty(0, np.int64)


def _sorted_grid(grid: Array, x: Array, y: Array) -> Array:
    """A grid of pair numbers with its rows and columns in the order of the positions of their operands."""
    return grid[np.argsort(x[:, 0], kind="stable")][:, np.argsort(y[:, 0], kind="stable")]


def _squeezed(shape: tuple[int, ...], terms: int, operands: list[Operand]) -> tuple[tuple[int, ...], tuple[Operand, ...]]:
    """Shape and operands without the axes of length 1; one axis stays."""
    keep = [a for a, n in enumerate(shape) if n > 1] or [0]

    def squeezed(o: Operand) -> Operand:
        if o.strides is not None:
            return Operand(o.space, o.base, (*[o.strides[a] for a in keep], *o.strides[len(shape) :]))
        assert o.index is not None
        drop = tuple(a for a in range(len(shape)) if a not in keep)
        return Operand(o.space, 0, None, o.index.squeeze(drop))

    return tuple(shape[a] for a in keep), tuple(map(squeezed, operands))
