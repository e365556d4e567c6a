"""Arrays of positions: whether they are views with constant strides, over which shape, and whether pairs of them form grids.

`vectorise` calls this with the positions of the operands of many instructions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from micrograd.tape.scheduling.schedule import Operand

Array = np.ndarray[Any, Any]
Slots = tuple[int, ...]


def table(rows: list[Slots]) -> Array:
    """Rows of one length as an array; for many short rows three times as fast as np.array."""
    return np.fromiter(chain.from_iterable(rows), np.int64).reshape(len(rows), -1)


SHORT = 64  # for up to so many numbers, lists of plain integers are quicker than NumPy


def run_of(space: str, base: int, shape: tuple[int, ...]) -> Operand:
    """Consecutive positions, the last axis fastest."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return Operand(space, base, tuple(reversed(strides)))


def operand_of(space: str, positions: Array) -> Operand:
    """An array of positions as a view, if it has one constant stride per axis, else as a gather."""
    strides = strides_of(positions.ravel().tolist() if positions.size <= SHORT else positions.ravel(), positions.shape)
    if strides is not None:
        return Operand(space, int(positions[(0,) * positions.ndim]), strides)
    return Operand(space, 0, None, np.ascontiguousarray(positions))


def strides_of(flat: Any, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The strides of positions, a flat list or array, over the axes of a shape; None if they are not constant."""
    strides, size = [], len(flat)
    first = flat[0]
    for n in shape:
        size //= n
        strides.append(int(flat[size] - first) if n > 1 else 0)
    if len(flat) == 1:
        return tuple(strides)
    if flat.__class__ is list:
        expected = [first]
        for n, step in zip(shape, strides, strict=True):
            expected = [at + k * step for at in expected for k in range(n)]
        return tuple(strides) if flat == expected else None
    found = Operand("", int(first), tuple(strides)).positions(shape)
    return tuple(strides) if (found == flat.reshape(shape)).all() else None


def shape_of(columns: list[Array]) -> tuple[tuple[int, ...], list[tuple[int, ...]]] | None:
    """A shape of at most three axes over which each of these columns has constant strides, and the strides; None if none."""
    n = len(columns[0])
    flat: list[Any] = [column.tolist() for column in columns] if n <= SHORT else list(columns)
    cuts: list[int] = []
    size = 1
    while size < n:
        if len(cuts) == 3:
            return None
        run = min([n // size, *[_even(column[::size]) for column in flat]])
        if (n // size) % run:
            return None
        size *= run
        cuts.append(run)
    shape = tuple(reversed(cuts)) or (1,)
    strides = [found for column in flat if (found := strides_of(column, shape)) is not None]
    return (shape, strides) if len(strides) == len(flat) else None


def _even(heads: Any) -> int:
    """How many of these numbers, from the first on, have equal differences."""
    step = heads[1] - heads[0]
    if heads.__class__ is list:
        return next((i for i in range(2, len(heads)) if heads[i] - heads[i - 1] != step), len(heads))
    breaks = np.flatnonzero(np.diff(heads) != step)
    return int(breaks[0]) + 1 if len(breaks) else len(heads)


def split(keys: Array) -> list[Array]:
    """Groups of equal rows of `keys`, each as an array of the numbers of these rows, in order of first appearance."""
    if len(keys) <= SHORT:
        rows: dict[Any, list[int]] = {}
        for i, key in enumerate(map(tuple, keys.tolist()) if keys.ndim > 1 else keys.tolist()):
            rows.setdefault(key, []).append(i)
        return [np.array(found) for found in rows.values()]
    if (keys == keys[0]).all():
        return [np.arange(len(keys))]
    groups, _ = distinct(keys)
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def sorted_by(positions: Array) -> Array:
    """An order of rows of positions: by the column with the most different ones, then by the others from the last on."""
    if len(positions) <= SHORT:
        columns = positions.T.tolist()
        counts = [len(set(column)) for column in columns]
        primary = columns.pop(counts.index(max(counts)))
        keys = [*zip(primary, *reversed(columns), strict=True)]
        return np.array(sorted(range(len(keys)), key=keys.__getitem__))
    primary = int(np.argmax([len(np.unique(column)) for column in positions.T]))
    return np.lexsort([*[positions[:, j] for j in range(positions.shape[1]) if j != primary], positions[:, primary]])


def distinct(rows: Array) -> tuple[Array, Array]:
    """A number for each row, equal for equal rows and in order of first appearance; and for each number its first row."""
    if rows.shape[1] == 1 and len(rows) > SHORT:
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
    """The numbers of pairs (x, y) that form whole grids, every x with every y, by their size; and those that form none.

    A grid of size (m, n) is an array of this shape: m different x, n different y. Pairs are given by the numbers of x and of y.
    """
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
    starts = np.concatenate([[0], np.flatnonzero(np.diff(of_pair[order])) + 1, [len(order)]])
    loose = np.diff(starts) == 1  # for each component: a single pair is no grid
    for k in np.flatnonzero(~loose).tolist():
        pairs = order[starts[k] : starts[k + 1]]
        xs, i = np.unique(x_id[pairs], return_inverse=True)
        ys, j = np.unique(y_id[pairs], return_inverse=True)
        m, n = len(xs), len(ys)
        cell = i * n + j
        if m * n == len(pairs) and len(np.unique(cell)) == len(pairs):
            grids.setdefault((m, n), []).append(pairs[np.argsort(cell)].reshape(m, n))
        else:
            loose[k] = True
    return grids, order[np.repeat(loose, np.diff(starts))]


def stars_of(x_id: Array, y_id: Array, pairs: Array) -> list[Array]:
    """Pairs that form no grid, as two grids of one row or one column each; an empty list if they cannot be split like this.

    Gaussian elimination has such pairs: a row and a column that share their corner.
    """
    found: list[Array] = []
    while len(pairs) and len(found) < 2:
        counts = [np.bincount(ids[pairs]) for ids in (x_id, y_id)]
        row = bool(counts[0].max() >= counts[1].max())
        one = (x_id if row else y_id)[pairs] == np.argmax(counts[not row])
        found.append(pairs[one].reshape((1, -1) if row else (-1, 1)))
        pairs = pairs[~one]
    return found if not len(pairs) and min(grid.size for grid in found) > 1 else []


def sorted_grid(grid: Array, x: Array, y: Array) -> Array:
    """A grid of pair numbers with its rows and columns in the order of the positions of their operands."""
    return grid[np.argsort(x[:, 0], kind="stable")][:, np.argsort(y[:, 0], kind="stable")]


def squeezed(shape: tuple[int, ...], terms: int, operands: list[Operand]) -> tuple[tuple[int, ...], tuple[Operand, ...]]:
    """Shape and operands without axes of length 1, but with at least one axis."""
    keep = [a for a, n in enumerate(shape) if n > 1] or [0]

    def kept(o: Operand) -> Operand:
        if o.strides is not None:
            return Operand(o.space, o.base, (*[o.strides[a] for a in keep], *o.strides[len(shape) :]))
        assert o.index is not None
        drop = tuple(a for a in range(len(shape)) if a not in keep)
        return Operand(o.space, 0, None, o.index.squeeze(drop))

    return tuple(shape[a] for a in keep), tuple(map(kept, operands))


def fitted(columns: Sequence[tuple[str, Array]]) -> tuple[tuple[int, ...], list[Operand]]:
    """A shape for consecutive instructions, and their operands: as many as possible as views over it, the others as gathers."""
    flat = [positions for _, positions in columns]
    chosen = list(range(len(flat)))
    found = shape_of(flat)
    if found is None:
        chosen = []
        for i, positions in enumerate(flat):
            more = shape_of([*(flat[j] for j in chosen), positions])
            if more is not None:
                found = more
                chosen.append(i)
    shape, strides = found or ((len(flat[0]),), [])
    of = dict(zip(chosen, strides, strict=True))
    return shape, [
        Operand(space, int(positions[0]), of[i]) if i in of else Operand(space, 0, None, positions.reshape(shape).copy())
        for i, (space, positions) in enumerate(columns)
    ]


def with_terms(columns: list[tuple[str, Array]], terms: int) -> tuple[tuple[int, ...], list[Operand]]:
    """Like `fitted`, for operands that may have a second axis over terms."""
    heads = [(s, p if p.ndim == 1 else p[:, 0]) for s, p in columns]
    shape, views = fitted(heads)
    operands = []
    for (space, positions), head in zip(columns, views, strict=True):
        if positions.ndim == 1:
            operands.append(head)
            continue
        step = int(positions[0, 1] - positions[0, 0]) if terms > 1 else 0
        if head.strides is not None and (terms == 1 or (np.diff(positions, axis=1) == step).all()):
            operands.append(Operand(space, head.base, (*head.strides, step)))
        else:
            operands.append(Operand(space, 0, None, positions.reshape(*shape, terms)))
    return shape, operands
