"""map() in blocks of samples: over arrays that lie on a disk, into arrays that do, with as much memory as a block takes.

`jit` comes before, and hands over a call whose arguments are larger than what one wants in memory, or whose results go
somewhere. Each block is a call of its own.
"""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from micrograd.tape.arguments import Chunked, axes_of, is_chunked
from micrograd.trees import flatten, kind_of, leaves_of, of_parts, parts_of, plain_array, steps, unflatten

Array = np.ndarray[Any, Any]
BYTES = 32 << 20  # of arguments and results in a block
FEWEST = 256  # samples in a block


def on_disk(x: Any) -> bool:
    """Whether an argument is an array that is read piece by piece: a np.memmap, a Zarr array, an HDF5 data set."""
    cls = x.__class__
    if cls is np.ndarray or cls is float:
        return False
    return isinstance(x, np.memmap) or (hasattr(x, "chunks") and hasattr(x, "shape") and not hasattr(x, "__dask_graph__"))


def in_blocks(
    run: Callable[[list[Any], dict[str, Any]], Any],
    args: Sequence[Any],
    named: Mapping[str, Any],
    in_axes: Any,
    out: Any,
    progress: bool,
) -> Any:
    """The results of `run(args, named)` over all samples, put together or written to `out`, block by block.

    ValueError, before anything is written, where `out` does not fit.
    """
    axes = axes_of(in_axes, args, named)
    sources = _Sources()
    args = [sources.taken(x, axis, f"argument {i}") for i, (x, axis) in enumerate(zip(args, axes, strict=False))]
    named = {name: sources.taken(x, axes[len(args)], f"argument {name}") for name, x in named.items()}
    n = next(iter(sources.lengths.values()), 1)
    for where, length in sources.lengths.items():
        if length != n:
            raise ValueError(f"{where} has {length} samples, and another argument has {n}")
    held = _mapped(out, _Held)
    targets = [x.array for x in leaves_of(held) if hasattr(x.array, "shape")]
    places: list[Any] = []
    shape: Any = None
    with _bar(n, progress) as done:
        for start, end in _cuts(n, sources.bytes + sum(_width(x, 0) for x in targets), sources.chunks):
            part = slice(start, end)
            whole = not start and end == n
            taken = [_cut(x, axis, part, whole) for x, axis in zip(args, axes, strict=False)]
            results = run(taken, {name: _cut(x, axes[len(args)], part, whole) for name, x in named.items()})
            if whole and out is None:
                done(n)
                return results
            found, structure = flatten(results)
            if shape is None:
                shape, places = structure, _places(found, structure, n, held)
            for place, x in zip(places, found, strict=True):
                if isinstance(x, np.ndarray):
                    place[part] = x
            for x in (*sources.arrays, *targets):
                _let_go(x)
            done(end - start)
    return unflatten(shape, places) if out is None else out


class _Sources:
    """The arrays of samples among arguments: how long they are, and the bytes of a sample of each together."""

    def __init__(self) -> None:
        self.lengths: dict[str, int] = {}
        self.arrays: list[Any] = []
        self.bytes = 0
        self.chunks = 1  # samples that lie together on the disk

    def taken(self, x: Any, axis: int | None, where: str) -> Any:
        """An argument with arrays for what counts as one; what lies on a disk stays there. Chunked where Dask has it."""
        if axis is None:
            return _mapped(x, lambda leaf: np.asarray(leaf[...]) if on_disk(leaf) else leaf)
        kind = _kind_of(x)
        if kind is not None and kind[0] not in ("list", "tuple"):
            parts = list(parts_of(x, kind))
            ways = zip(parts, steps(kind, len(parts)), strict=True)
            return of_parts(kind, [self.taken(part, axis, where + step) for part, step in ways])
        if any(map(is_chunked, x if kind is not None else (x,))):
            raise Chunked
        if not on_disk(x):
            x = np.asarray(x) if isinstance(x, (list, tuple)) else plain_array(x)
        if not getattr(x, "ndim", 0):
            return x  # no array of samples, as the call will say
        self.lengths[where] = x.shape[axis]
        self.arrays.append(x)
        self.bytes += _width(x, axis)
        chunks = getattr(x, "chunks", None)
        if isinstance(chunks, tuple) and len(chunks) == x.ndim:
            self.chunks = max(self.chunks, int(chunks[axis]))
        return x


def _kind_of(x: Any) -> Any:
    """As `trees.kind_of`; what lies on a disk is a leaf, whatever class it is of."""
    return None if on_disk(x) else kind_of(x)


def _mapped(tree: Any, change: Callable[[Any], Any]) -> Any:
    """As `trees.mapped`, with such leaves."""
    kind = _kind_of(tree)
    if kind is None:
        return None if tree is None else change(tree)
    return of_parts(kind, [_mapped(part, change) for part in parts_of(tree, kind)])


class _Held:
    """A leaf of `out`."""

    def __init__(self, array: Any):
        self.array = array


def _width(x: Any, axis: int) -> int:
    """The bytes of one sample."""
    return math.prod([int(d) for i, d in enumerate(x.shape) if i != axis]) * int(np.dtype(x.dtype).itemsize)


def _cuts(n: int, width: int, together: int) -> Iterator[tuple[int, int]]:
    """Where blocks start and end. None is so short that compiled code would take its samples one by one."""
    size = max(FEWEST, BYTES // max(1, width) // FEWEST * FEWEST)
    if together > 1:
        size = max(size // together, 1) * together
    start = 0
    while start < n or not start:
        end = start + size if n - start - size >= FEWEST else n
        yield start, end
        if end == n:
            return
        start = end


def _cut(x: Any, axis: int | None, part: slice, whole: bool) -> Any:
    """Some samples of an argument."""
    kind = None if axis is None else _kind_of(x)
    if kind is not None and kind[0] not in ("list", "tuple"):
        return of_parts(kind, [_cut(inside, axis, part, whole) for inside in parts_of(x, kind)])
    if axis is None or (whole and not on_disk(x)) or not getattr(x, "ndim", 0):
        return x
    return np.asarray(x[(*[slice(None)] * (axis % x.ndim), part)])


def _places(found: list[Any], structure: Any, n: int, held: Any) -> list[Any]:
    """The arrays that take the results: new ones, or those that are held; ValueError where these do not fit."""
    shapes = [(n, *x.shape[1:]) if isinstance(x, np.ndarray) else None for x in found]
    if held is None:
        return [np.empty(shape, x.dtype) if shape else x for shape, x in zip(shapes, found, strict=True)]
    leaves, theirs = flatten(held)
    there = [getattr(x.array, "shape", None) for x in leaves]
    if theirs != structure or there != shapes:
        raise ValueError(f"out must be of the results' structure, with arrays of the shapes {shapes}, got {there}")
    return [x.array for x in leaves]


def _let_go(x: Any) -> None:
    """Have no page of a memory map in this process any more; what was written to it is in the file, or on the way there."""
    if isinstance(x, np.memmap) and x.mode != "c" and sys.platform == "linux":
        with suppress(AttributeError, ValueError, OSError):
            x._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


@contextmanager
def _bar(n: int, progress: bool) -> Iterator[Callable[[int], object]]:
    """What counts samples that are done: on a bar, where one is wanted and tqdm is installed."""
    if progress:
        with suppress(ImportError):
            from tqdm import tqdm

            with tqdm(total=n, unit=" samples", unit_scale=True) as bar:
                yield bar.update
            return
    yield lambda count: None
