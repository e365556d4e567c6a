"""Arrays of positions: as views with constant strides, as shapes over which they have them, and as grids of pairs.

`scheduler` asks, for the positions of the operands of many instructions at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from micrograd.tape.schedule import Operand

Array = np.ndarray[Any, Any]
Slots = tuple[int, ...]


def table(rows: list[Slots]) -> Array:
    """Rows of one length as an array: for many short ones three times as fast as np.array."""
    return np.fromiter(chain.from_iterable(rows), np.int64).reshape(len(rows), -1)


def run_of(space: str, base: int, shape: tuple[int, ...]) -> Operand:
    """Consecutive positions, the last axis fastest."""
    steps = np.cumprod([1, *shape[:0:-1]])[::-1]
    return Operand(space, base, tuple(int(s) for s in steps))


def operand_of(space: str, positions: Array, view: bool = True) -> Operand:
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


def shape_of(columns: list[Array]) -> tuple[int, ...] | None:
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
    return shape if all(operand_of("", column.reshape(shape)).strides is not None for column in columns) else None


def split(keys: Array) -> list[Array]:
    """The rows of `keys` that are equal, as arrays of their numbers, in order of first appearance."""
    if (keys == keys[0]).all():
        return [np.arange(len(keys))]
    groups, _ = distinct(keys)
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def distinct(rows: Array) -> tuple[Array, Array]:
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


def grids_of(x_id: Array, y_id: Array) -> tuple[dict[tuple[int, int], list[Array]], Array]:
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


def sorted_grid(grid: Array, x: Array, y: Array) -> Array:
    """A grid of pair numbers with its rows and columns in the order of the positions of their operands."""
    return grid[np.argsort(x[:, 0], kind="stable")][:, np.argsort(y[:, 0], kind="stable")]


def squeezed(shape: tuple[int, ...], terms: int, operands: list[Operand]) -> tuple[tuple[int, ...], tuple[Operand, ...]]:
    """Shape and operands without the axes of length 1; one axis stays."""
    keep = [a for a, n in enumerate(shape) if n > 1] or [0]

    def kept(o: Operand) -> Operand:
        if o.strides is not None:
            return Operand(o.space, o.base, (*[o.strides[a] for a in keep], *o.strides[len(shape) :]))
        assert o.index is not None
        drop = tuple(a for a in range(len(shape)) if a not in keep)
        return Operand(o.space, 0, None, o.index.squeeze(drop))

    return tuple(shape[a] for a in keep), tuple(map(kept, operands))


def fitted(columns: Sequence[tuple[str, Array]]) -> tuple[tuple[int, ...], list[Operand]]:
    """A shape for a run of instructions, and their operands as views where one shape can make them views."""
    flat = [positions for _, positions in columns]
    chosen = list(range(len(flat)))
    shape = shape_of(flat)
    if shape is None:
        chosen = []
        for i, positions in enumerate(flat):
            found = shape_of([*(flat[j] for j in chosen), positions])
            if found is not None:
                shape = found
                chosen.append(i)
    shape = shape or (len(flat[0]),)
    return shape, [
        operand_of(space, positions.reshape(shape), view=i in chosen) for i, (space, positions) in enumerate(columns)
    ]


def with_terms(columns: list[tuple[str, Array]], terms: int) -> tuple[tuple[int, ...], list[Operand]]:
    """Like `fitted`, for operands some of which have a second axis over terms."""
    heads = [(s, p if p.ndim == 1 else p[:, 0]) for s, p in columns]
    shape, views = fitted(heads)
    operands = []
    for (space, positions), head in zip(columns, views, strict=True):
        if positions.ndim == 1:
            operands.append(head)
            continue
        steps = np.diff(positions, axis=1)
        if head.strides is not None and (steps == steps[0, 0] if steps.size else np.array(True)).all():
            operands.append(Operand(space, head.base, (*head.strides, int(steps[0, 0]) if steps.size else 0)))
        else:
            operands.append(Operand(space, 0, None, positions.reshape(*shape, terms)))
    return shape, operands
