"""The NumPy back end: a schedule run as array code.

`schedule` comes before. The space of rows is one array, with the samples along its last axis, so a vector of results is a
block of memory and a layer one matrix product. Operands are views where possible, results go to their place by `out=`, and
the workspace for a number of samples is made once and used again. Samples are taken in blocks that fit the cache.

Results differ from the reference back end by rounding alone: NumPy's elementary functions may differ from the C library's in
the last bits, and matrix products and sums over samples are added in an order of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from micrograd.primitives import RULES
from micrograd.tape.back_ends import LONG
from micrograd.tape.back_ends.numpy_choices import CHOICES, Choices, Step
from micrograd.tape.back_ends.numpy_spellings import OF_LARGEST, spelled
from micrograd.tape.scheduling.schedule import ROWS, SHARED, TOTALS, Operand, Repeat, Schedule, Vector
from micrograd.tape.scheduling.vectorise import scheduled
from micrograd.tape.tape import Tape

Array = np.ndarray[Any, Any]

CACHE = 4 << 20  # bytes of workspace that a block of samples should need at most,
LARGE = 64 << 20  # or so many, if that allows more samples, up to 256: small blocks would slow matrix products down
KEPT = 256 << 20  # bytes of all workspaces that are kept, one for each number of samples seen lately
ROOM = 1 << 15  # if all products of a vector of sums are no more numbers, they are made in one call, and added in another
FEW_TERMS = 4  # up to so many terms, a single dot product of weights and rows is computed term by term
_SUM, _DOT, _TAKE = (RULES[name] for name in ("sum", "dot", "take"))


class Program:
    """A tape as array code; arguments and results are those of `reference.Program`."""

    def __init__(self, tape: Tape, fields: Sequence[tuple[int, bool]], reduce: bool, dtype: Any = np.float64):
        self.schedule = scheduled(tape, fields, reduce, exact=False)
        self.dtype = np.dtype(dtype)
        self.reduce = reduce
        row = max(self.schedule.rows, 1) * self.dtype.itemsize
        self.block = max(8, CACHE // row // 8 * 8, min(256, LARGE // row // 8 * 8))
        self._idle: dict[int, _Plan] = {}  # workspaces that no call is using

    def __call__(self, inputs: Sequence[Array], leaves: Array, n: int) -> Array:
        """The outputs for n samples, of shape (outputs, n), or (outputs,) with `reduce`."""
        if n == 0:
            return np.zeros((len(self.schedule.outputs), *(() if self.reduce else (0,))), self.dtype)
        with np.errstate(all="ignore"):
            if n <= self.block * 3 // 2:
                return self._run(inputs, leaves, n)
            size = self.block
            parts = (self._run(self._cut(inputs, at, size), leaves, min(size, n - at)) for at in range(0, n, size))
            if self.reduce:
                total = next(parts)
                for part in parts:
                    total += part
                return total
            out = np.empty((len(self.schedule.outputs), n), self.dtype)
            for at, part in zip(range(0, n, size), parts, strict=True):
                out[:, at : at + size] = part
            return out

    def _cut(self, inputs: Sequence[Array], at: int, size: int) -> list[Array]:
        return [x[at : at + size] if f.varying else x for x, f in zip(inputs, self.schedule.fields, strict=True)]

    def _run(self, inputs: Sequence[Array], leaves: Array, n: int) -> Array:
        """The outputs for n samples. No other call uses the workspace meanwhile."""
        plan = self._idle.pop(n, None) or _Plan(self.schedule, n, self.dtype)
        out = plan.run(inputs, leaves)
        self._idle.pop(n, None)
        self._idle[n] = plan  # the latest is the last
        while len(idle := list(self._idle.items())) > 1 and sum(p.rows.nbytes for _, p in idle) > KEPT:
            self._idle.pop(idle[0][0], None)
        return out

    def __str__(self) -> str:
        return str(self.schedule)


class _Plan:
    """A schedule laid out for n samples: its workspace, and for each vector instruction the calls that compute it."""

    def __init__(self, schedule: Schedule, n: int, dtype: np.dtype[Any]):
        self.schedule, self.n, self.dtype = schedule, n, dtype
        self.shared = np.zeros(schedule.shared, dtype)
        self.rows = np.zeros((schedule.rows, n), dtype)
        self.totals = np.zeros(len(schedule.outputs) if schedule.reduce else 0, dtype)
        for at, x in schedule.constants:
            self.shared[at] = x
        for row, x in schedule.filled:
            self.rows[row] = x
        self.room = np.empty(ROOM, dtype)
        self.ones = {row for row, x in schedule.filled if x == 1.0}
        self.constants = dict(schedule.constants)
        self.zeros: dict[tuple[int, ...], Array] = {}
        self.rectified: dict[Any, Array] = {}  # results of relu by their operand: step of the same is the sign of the result
        self.choices = Choices(self.rows)
        self.steps: list[Step] = []
        for vector in schedule.code:
            if isinstance(vector, Vector):
                self._compile(vector)
            else:
                self._repeat(vector)
        self.theta = self.shared[: schedule.leaves]
        found = enumerate(schedule.outputs)
        places = np.array([(i, at, space == ROWS) for i, (space, at) in found], np.int64).reshape(-1, 3)
        self.from_rows, self.from_shared = (places[places[:, 2] == kind, :2].T for kind in (1, 0))
        self.places = [
            (self.rows[f.base : f.base + f.width] if f.varying else self.shared[f.base : f.base + f.width], f.varying)
            for f in schedule.fields
        ]

    def run(self, inputs: Sequence[Array], leaves: Array) -> Array:
        """The outputs."""
        self.theta[:] = leaves
        for x, (place, varying) in zip(inputs, self.places, strict=True):
            place[:] = x.T if varying else x
        self.choices.nan[0] = False
        for function, args in self.steps:
            function(*args)
        if self.schedule.reduce:
            return self.totals.copy()
        out = np.empty((len(self.schedule.outputs), self.n), self.dtype)
        out[self.from_rows[0]] = self.rows[self.from_rows[1]]
        out[self.from_shared[0]] = self.shared[self.from_shared[1], None]
        return out

    # -- operands as arrays

    def _array(self, operand: Operand, shape: tuple[int, ...], rows: bool, terms: int = 0, full: bool = False) -> Array:
        """The operand as a view, or as a buffer that a step fills before it is used.

        Its axes are those of `shape` (of length 1 where the operand does not depend on an axis, unless `full`), then one for
        `terms`, if there are any, and with `rows` one for the samples (of length 1 if the operand is shared).
        """
        varying = operand.space == ROWS
        space = {SHARED: self.shared, ROWS: self.rows, TOTALS: self.totals}[operand.space]
        lengths = (*shape, terms) if terms else shape
        if operand.strides is None:
            assert operand.index is not None
            index = np.ascontiguousarray(np.broadcast_to(operand.index, lengths) if full else operand.index, np.intp)
            buffer = np.empty((*index.shape, self.n) if varying else index.shape, self.dtype)
            self.steps.append((np.take, (space, index, 0, buffer, "clip")))
            return buffer[..., None] if rows and not varying else buffer
        item = self.dtype.itemsize
        step = item * (self.n if varying else 1)
        strides = tuple(s * step for s in operand.strides)
        kept = tuple(n if full or s or a == len(shape) else 1 for a, (n, s) in enumerate(zip(lengths, strides, strict=True)))
        if rows:
            kept, strides = (*kept, self.n if varying else 1), (*strides, item)
        return np.ndarray(kept, self.dtype, space, operand.base * step, strides)

    def _compile(self, v: Vector) -> None:
        rows = v.out.space == ROWS
        if v.over:
            self._over_samples(v)
            return
        out = self._array(v.out, v.shape, rows)
        if v.rule is None:
            self.steps.append((np.copyto, (out, self._array(v.operands[0], v.shape, rows))))
        elif not v.terms:
            operands = [self._array(o, v.shape, rows) for o in v.operands]
            rule = v.rule
            if rows and rule in CHOICES:
                self.steps += self.choices.steps(v, operands, out)
                return
            function = spelled(rule)
            if rule.name == "pow" and (y := self._constant(v.operands[1])) is not None:
                if y in (2.0, -1.0):
                    function, operands = (np.square if y == 2.0 else np.reciprocal), operands[:1]
                elif y != 0.5:
                    function = np.power
            elif rule.name in ("relu", "step"):
                place = (v.operands[0].base, v.operands[0].strides, rows)
                known = self.rectified.get(place)
                if rule.name == "relu" and v.operands[0].strides is not None:
                    self.rectified[place] = out
                if rule.name == "step" and known is not None and known.shape == out.shape:
                    function, operands = np.sign, [known]
                else:
                    operands.append(self._zeros(out.shape))
            self.steps.append((function, (*operands, out)))
        elif v.rule is _DOT:
            self._dot(v, out, rows)
        elif v.rule is _TAKE:
            self._take(v, out, rows)
        else:
            x = self._array(v.operands[0], v.shape, rows, v.terms, full=True)
            axis = len(v.shape)
            if v.rule is _SUM:
                self.steps.append((np.add.reduce, (x, axis, None, out)))
            elif v.rule in OF_LARGEST:
                self.steps.append((OF_LARGEST[v.rule], (x, axis, out)))
            else:
                parts = np.moveaxis(x, axis, 0)
                self.steps.append((spelled(v.rule), (*parts, out)))

    def _repeat(self, loop: Repeat) -> None:
        """A loop as one step that runs the steps of its body; copies whose operands move get new arrays each time."""
        outer, self.steps = self.steps, []
        moving: list[tuple[int, Array, Array]] = []  # number of the copy among the steps, its targets, its sources
        for v in loop.body:
            if isinstance(v, Repeat):
                self._repeat(v)
            elif v.rule is None and (v.out.step or v.operands[0].step):
                rows = v.out.space == ROWS
                to, source = (self._moving(o, v.shape, rows, loop.steps) for o in (v.out, v.operands[0]))
                moving.append((len(self.steps), to, source))
                self.steps.append((np.copyto, ()))
            else:
                self._compile(v)
        outer.append((_repeated, (loop.steps, self.steps, moving)))
        self.steps = outer

    def _moving(self, operand: Operand, shape: tuple[int, ...], rows: bool, steps: int) -> Array:
        """The operand of a copy in a loop: an array with the steps along its first axis."""
        return self._array(replace(operand, strides=(operand.step, *operand.strides)), (steps, *shape), rows, full=True)  # type: ignore[misc]

    def _constant(self, operand: Operand) -> float | None:
        if operand.space == SHARED and operand.strides is not None and not any(operand.strides):
            return self.constants.get(operand.base)
        return None

    def _zeros(self, shape: tuple[int, ...]) -> Array:
        """An array of zeros: NumPy compares two arrays in half the time that it takes for an array and a number."""
        if shape not in self.zeros:
            self.zeros[shape] = np.zeros(shape, self.dtype)
        return self.zeros[shape]

    # -- products

    def _dot(self, v: Vector, out: Array, rows: bool) -> None:
        ox, oy, ostart = v.operands
        terms = v.terms
        start: Array | None = None
        short = terms < LONG
        one = math.prod(v.shape) == 1 and (short if ox.space == oy.space else terms <= FEW_TERMS)  # of a formula, not a layer
        if not one and rows and ox.space == SHARED and oy.space == ROWS and self._affine(v):
            terms += 1
        elif self._constant(ostart) != 0.0:
            start = self._array(ostart, v.shape, rows)
        x, y = self._array(ox, v.shape, rows, terms), self._array(oy, v.shape, rows, terms)
        axis = len(v.shape)
        matrices = None if one else _as_matrices(x, y, out, axis, rows)
        if matrices is not None:
            self.steps.append((np.matmul, matrices))
        elif short:
            self.steps += _in_order(x, y, start, out, axis, self.room)
            return
        else:
            self.steps += _einsum(x, y, out, axis)
        if start is not None:
            self.steps.append((np.add, (out, start, out)))

    def _affine(self, v: Vector) -> bool:
        """Whether the starts can be one more column of weights, whose inputs are rows of ones: biases behind their weights."""
        x, y, start = v.operands
        if x.strides is None or y.strides is None or start.strides is None or start.space != SHARED:
            return False
        if start.base != x.base + v.terms * x.strides[-1] or start.strides != x.strides[:-1]:
            return False
        behind = Operand(ROWS, y.base + v.terms * y.strides[-1], y.strides[:-1]).positions(v.shape)
        return self.ones.issuperset(np.unique(behind).tolist())

    def _take(self, v: Vector, out: Array, rows: bool) -> None:
        index, table = v.operands
        i = self._array(index, v.shape, rows)
        varying = table.space == ROWS
        positions = table.positions((*v.shape, v.terms)).astype(np.intp)
        space = (self.rows if varying else self.shared).reshape(-1)
        steps = np.diff(positions, axis=-1)
        even = steps.size == 0 or (steps == steps.flat[0]).all()
        heads = positions[..., 0] if even else None
        stride = int(steps.flat[0]) if steps.size else 0
        starts = np.arange(positions.size // v.terms).reshape(v.shape) * v.terms  # of tables among all positions
        samples = np.arange(self.n)

        def look_up() -> None:
            chosen = i.astype(np.intp)
            if rows:
                at = heads[..., None] + chosen * stride if heads is not None else chosen + starts[..., None]
            else:
                at = heads + chosen * stride if heads is not None else chosen + starts
            if heads is None:
                at = positions.take(at, mode="clip")
            if varying:
                at = at * self.n + samples
            np.take(space, at, 0, out, "clip")

        self.steps.append((look_up, ()))

    # -- sums over samples

    def _over_samples(self, v: Vector) -> None:
        axis = len(v.shape)
        out = self._array(v.out, v.shape, False) if v.out.strides is not None else np.empty(v.shape, self.dtype)
        x = self._array(v.operands[0], v.shape, True, v.terms, full=v.rule is _SUM)
        if v.rule is _SUM:
            if v.operands[0].space == SHARED:
                self.steps.append((_times, (x, axis, float(self.n), out)))
            elif v.terms == 1 and axis == 1:
                self.steps.append((np.add.reduce, (x.reshape(x.shape[0], -1), 1, None, out)))
            else:
                self.steps.append((np.add.reduce, (x, (axis, axis + 1), None, out)))
        else:
            y = self._array(v.operands[1], v.shape, True, v.terms)
            self.steps += _outer(x, y, out, axis) or _einsum(x, y, out, axis, over=True)
        if v.out.strides is None:
            self.steps.append((self.totals.__setitem__, (v.out.index, out)))


def _as_matrices(x: Array, y: Array, out: Array, axis: int, rows: bool) -> tuple[Array, Array, Array] | None:
    """The operands and the target of one matrix product (m, k) @ (k, n · samples); None if this is no such product."""
    if not rows:
        x, y, out = x[..., None], y[..., None], out[..., None]
    found = _sides(x, y, out.shape[:axis])
    if found is None or x.shape[-1] > 1 or (found[0] is not None and found[1] is not None and found[1] < found[0]):
        return None
    m, n = found
    M, N = (1 if a is None else out.shape[a] for a in (m, n))
    k, samples, item = x.shape[axis], out.shape[-1], out.itemsize
    if y.shape[-1] != samples:
        return None
    left = _strided(x, (M, k), (x.strides[m] if m is not None else item * k, x.strides[axis]))
    across = y.strides[n] if n is not None else item * samples
    if across == item * samples:
        right = _strided(y, (k, N * samples), (y.strides[axis], item))
        target = out.reshape(M, N * samples)
    elif samples == 1:
        right, target = _strided(y, (k, N), (y.strides[axis], across)), out.reshape(M, N)
    else:
        right = _strided(y, (N, k, samples), (across, y.strides[axis], item))
        target = _strided(out, (N, M, samples), (samples * item, N * samples * item, item))
    if left.strides[-1] < 0 or right.strides[-2] < 0:
        left, right = left[:, ::-1], right[..., ::-1, :]
    return left, right, target


def _outer(x: Array, y: Array, out: Array, axis: int) -> list[Step] | None:
    """The steps of a matrix product x yᵀ over terms and samples together; None if this is no such product."""
    found = _sides(x, y, out.shape)
    if found is None or x.shape[-1] != y.shape[-1]:
        return None
    if x.shape[axis] > 1 and x.strides[axis] < 0 and y.strides[axis] < 0:
        x, y = np.flip(x, axis), np.flip(y, axis)
    item, terms, samples = out.itemsize, x.shape[axis], x.shape[-1]
    flat, steps = [], list[Step]()
    for side, a in ((x, found[0]), (y, found[1])):
        if terms > 1 and side.strides[axis] != samples * item:  # terms that do not lie side by side
            scattered, side = side, np.empty(side.shape, side.dtype)
            steps.append((np.copyto, (side, scattered)))
        across = item * terms * samples if a is None else side.strides[a]
        flat.append(_strided(side, (1 if a is None else side.shape[a], terms * samples), (across, item)))
    across, along = (item if a is None else out.strides[a] for a in found)
    target = _strided(out, (len(flat[0]), len(flat[1])), (across, along))
    return [*steps, (np.matmul, (flat[0], flat[1].T, target))]


def _repeated(count: int, steps: list[Step], moving: list[tuple[int, Array, Array]]) -> None:
    """Run the steps of a body `count` times; each time those numbered in `moving` copy the next of the arrays given there."""
    steps = list(steps)
    for at in zip(*[zip(to, source) for _, to, source in moving]) if moving else [()] * count:  # noqa: B905 (of one length)
        for (i, _, _), pair in zip(moving, at):  # noqa: B905
            steps[i] = np.copyto, pair
        for function, args in steps:
            function(*args)


_strided = np.lib.stride_tricks.as_strided


def _sides(x: Array, y: Array, shape: tuple[int, ...]) -> tuple[int | None, int | None] | None:
    """The axis that x alone has, and the one that y alone has; None if either has several, or both have one in common."""
    m = [a for a, n in enumerate(shape) if n > 1 and x.shape[a] == n and y.shape[a] == 1]
    n = [a for a, n in enumerate(shape) if n > 1 and y.shape[a] == n and x.shape[a] == 1]
    if len(m) > 1 or len(n) > 1 or len(m) + len(n) != sum(n > 1 for n in shape):
        return None
    return (m[0] if m else None), (n[0] if n else None)


def _times(x: Array, axis: int, n: float, out: Array) -> None:
    np.multiply(np.add.reduce(x, (axis, axis + 1)), n, out)


def _in_order(x: Array, y: Array, start: Array | None, out: Array, axis: int, room: Array) -> list[Step]:
    """The steps of start + Σ_k x y from left to right, so that terms cancel where they do in the reference back end.

    Few numbers are multiplied in one call, into `room`, and added in another.
    """
    steps: list[Step] = []
    first, terms = int(start is not None), x.shape[axis]
    if terms > 2 and 1 < out.size <= room.size // (first + terms):  # NumPy adds rows of several numbers one after the other
        rows = room[: (first + terms) * out.size].reshape(-1, *out.shape)
        if start is not None:
            steps.append((np.copyto, (rows[0], start)))
        steps.append((np.multiply, (x, y, np.moveaxis(rows[first:], 0, axis))))
        return [*steps, (np.add.reduce, (rows, 0, None, out))]
    product, total = np.empty_like(out), start
    # NumPy takes four times as long for a single number where the result takes the place of an operand
    places = [out, out] if out.size > 1 else [np.empty_like(out), np.empty_like(out)]
    for k, (a, b) in enumerate(zip(np.moveaxis(x, axis, 0), np.moveaxis(y, axis, 0), strict=True), 1):
        place = out if k == terms else places[k % 2]
        if total is None:
            steps.append((np.multiply, (a, b, place)))
        else:
            steps += [(np.multiply, (a, b, product)), (np.add, (total, product, place))]
        total = place
    return steps


def _einsum(x: Array, y: Array, out: Array, axis: int, over: bool = False) -> list[Step]:
    """The steps of Σ_k x y for operands with any axes; with `over`, over the samples too."""
    letters = "abcdefgh"[:axis]
    tail = "ks" if x.ndim > axis + 1 else "k"

    def spelled(a: Array) -> tuple[str, Array]:
        keep = [i for i in range(a.ndim) if a.shape[i] > 1 or (i >= axis)]
        drop = tuple(i for i in range(a.ndim) if i not in keep)
        names = letters + tail
        if a.ndim > axis + 1 and a.shape[-1] == 1 and (x.shape[-1] > 1 or y.shape[-1] > 1):
            keep.remove(a.ndim - 1)
            drop += (a.ndim - 1,)
        return "".join(names[i] for i in keep), a.squeeze(drop)

    (sx, ax), (sy, ay) = spelled(x), spelled(y)
    present = [i for i in range(axis) if letters[i] in sx or letters[i] in sy]
    so = "".join(letters[i] for i in present) + ("s" if tail == "ks" and not over else "")
    # along an axis on which neither operand depends (only the starts differ, or outputs are equal), one sum serves for all
    first = out[tuple([slice(None) if i in present else slice(0, 1) for i in range(axis)])]
    target = first.squeeze(tuple(i for i in range(axis) if i not in present))
    if "s" in so and "s" not in sx + sy:
        so = so[:-1]
        target = target.squeeze(-1)
    steps: list[Step] = [(partial(np.einsum, f"{sx},{sy}->{so}", ax, ay, out=target), ())]
    return steps if first.shape == out.shape else [*steps, (np.copyto, (out, first))]
