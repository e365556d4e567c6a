"""Calls in blocks of samples, for arguments or results that lie on a disk: each takes no more memory than a block.

`jit` hands over a call whose arguments lie on a disk, or whose results are to be written to arrays given as `out`. Each block
is a call of its own.
"""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from micrograd.tape.calling.partial_sums import Forest, merged, subtrees
from micrograd.tape.recording.arguments import Chunked, axes_of, check_axis, is_chunked
from micrograd.trees import flatten, kind_of, leaves_of, of_parts, parts_of, plain_array, steps, unflatten

Array = np.ndarray[Any, Any]
BYTES = 32 << 20  # bytes of arguments and results in a block, roughly
_NEVER = {np.ndarray, float, int, list, tuple, str, bool, type(None)}  # classes of what never lies on a disk
FEWEST = 256  # the fewest samples in a block


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

    ValueError or TypeError, before anything is written, if `out` does not fit.
    """
    sources = _Sources(args, named, in_axes)
    n = sources.n
    held = _mapped(out, _Held)
    targets = [x.array for x in leaves_of(held) if hasattr(x.array, "shape")]
    for x in targets:
        if not isinstance(getattr(x, "dtype", None), np.dtype):
            raise TypeError(f"out must have arrays of NumPy's own types, got a {type(x).__name__}: pass np.asarray(out)")
    places: list[Any] = []
    shape: Any = None
    with _bar(n, progress) as done:
        for start, end in _cuts(n, sources.bytes + sum(_width(x, 0) for x in targets), sources.chunks):
            part = slice(start, end)
            results = run(*sources.part(start, end))
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


def summed(
    run: Callable[[list[Any], dict[str, Any]], tuple[Any, Array]],
    unit: Callable[[list[Any], dict[str, Any]], int],
    args: Sequence[Any],
    named: Mapping[str, Any],
    in_axes: Any,
) -> tuple[Any, Array, int]:
    """The structure of the results, their sums over all samples, and how many samples there are; computed block by block.

    `run(args, named)` gives structure and sums of one block. `unit(args, named)` gives how many samples make up a leaf of the
    tree of sums (see `partial_sums`). Blocks are whole subtrees of that tree, so in exact mode the bits are those of one run.
    """
    sources = _Sources(args, named, in_axes)
    n, together = sources.n, unit(*sources.part(0, min(1, sources.n)))
    most = max(BYTES // max(1, sources.bytes), sources.chunks, together)
    size, units = together << (most // together).bit_length() - 1, -(-n // together)
    while True:  # again from the start, if a block brings new parameters, which the sums before it lack
        forest: Forest = {}
        for start in range(0, max(1, n), size):
            out, sums = run(*sources.part(start, min(start + size, n)))
            if n <= size:
                return out, sums, n
            if forest and len(sums) != len(next(iter(forest.values()))):
                break
            ((level, number, *_),) = subtrees(start // together, -(-(min(start + size, n) - start) // together), units)
            forest = merged([forest, {(level, number): sums}], units)
            for x in sources.arrays:
                _let_go(x)
        else:
            (total,) = forest.values()
            return out, total, n


def first(args: Sequence[Any], named: Mapping[str, Any], in_axes: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments with the first sample alone, or with no sample if there is none."""
    sources = _Sources(args, named, in_axes)
    return sources.part(0, min(1, sources.n))


def any_on_disk(args: Sequence[Any], named: Mapping[str, Any]) -> bool:
    """Whether one of the arguments, or an array in a dict or dataclass among them, is read piece by piece."""
    if not named and _NEVER.issuperset(map(type, args)):
        return False
    return any(map(_holds_some, args)) or any(map(_holds_some, named.values()))


def _holds_some(x: Any) -> bool:
    if x.__class__ in _NEVER or on_disk(x):
        return x.__class__ not in _NEVER
    kind = kind_of(x)
    return kind is not None and kind[0] not in ("list", "tuple") and any(map(_holds_some, parts_of(x, kind)))


class _Sources:
    """The arguments of a call, to be cut into blocks: its arrays, how many samples they have, how many bytes a sample has."""

    def __init__(self, args: Sequence[Any], named: Mapping[str, Any], in_axes: Any):
        self.axes = axes_of(in_axes, args, named)
        self.lengths: dict[str, int] = {}
        self.arrays: list[Any] = []
        self.bytes = 0
        self.chunks = 1  # samples that lie together on the disk
        self.args = [self.taken(x, axis, f"argument {i}") for i, (x, axis) in enumerate(zip(args, self.axes, strict=False))]
        self.named = {name: self.taken(x, self.axes[len(args)], f"argument {name}") for name, x in named.items()}
        self.n = next(iter(self.lengths.values()), 1)
        for where, length in self.lengths.items():
            if length != self.n:
                raise ValueError(f"{where} has {length} samples, and another argument has {self.n}")

    def part(self, start: int, end: int) -> tuple[list[Any], dict[str, Any]]:
        """The arguments with some of the samples."""
        part, whole, last = slice(start, end), not start and end == self.n, self.axes[len(self.args)] if self.named else None
        args = [_cut(x, axis, part, whole) for x, axis in zip(self.args, self.axes, strict=False)]
        return args, {name: _cut(x, last, part, whole) for name, x in self.named.items()}

    def taken(self, x: Any, axis: int | None, where: str) -> Any:
        """An argument with lists of samples as arrays; what lies on a disk stays there. Chunked for a Dask collection."""
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
            return x  # it is no array of samples: the call will raise an error
        check_axis(x, axis, where)
        self.lengths[where] = x.shape[axis]
        self.arrays.append(x)
        self.bytes += _width(x, axis)
        chunks = getattr(x, "chunks", None)
        if isinstance(chunks, tuple) and len(chunks) == x.ndim:
            self.chunks = max(self.chunks, int(chunks[axis]))
        return x


def _kind_of(x: Any) -> Any:
    """Like `trees.kind_of`, but what lies on a disk is a leaf, whatever its class."""
    return None if on_disk(x) else kind_of(x)


def _mapped(tree: Any, change: Callable[[Any], Any]) -> Any:
    """Like `trees.mapped`, with these leaves."""
    kind = _kind_of(tree)
    if kind is None:
        return None if tree is None else change(tree)
    return of_parts(kind, [_mapped(part, change) for part in parts_of(tree, kind)])


class _Held:
    """A leaf of `out`: an array to be written to, wrapped so that `trees` takes arrays of any library for leaves."""

    def __init__(self, array: Any):
        self.array = array


def _width(x: Any, axis: int) -> int:
    """The bytes of one sample."""
    return math.prod([int(d) for i, d in enumerate(x.shape) if i != axis]) * int(np.dtype(x.dtype).itemsize)


def _cuts(n: int, width: int, together: int) -> Iterator[tuple[int, int]]:
    """Where blocks start and end. No block has fewer than FEWEST samples, if there are that many: few would be slow."""
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
    """The arrays that take the results: new ones, or those in `held`; ValueError or TypeError if these do not fit."""
    shapes = [(n, *x.shape[1:]) if isinstance(x, np.ndarray) else None for x in found]
    if held is None:
        return [np.empty(shape, x.dtype) if shape else x for shape, x in zip(shapes, found, strict=True)]
    leaves, theirs = flatten(held)
    there = [getattr(x.array, "shape", None) for x in leaves]
    if theirs != structure or there != shapes:
        raise ValueError(f"out must be of the results' structure, with arrays of the shapes {shapes}, got {there}")
    for x, target in zip(found, leaves, strict=True):
        if isinstance(x, np.ndarray) and not np.can_cast(x.dtype, target.array.dtype, "same_kind"):
            raise TypeError(f"out must have arrays of floats, got one of {target.array.dtype}, where results would be cut off")
    return [x.array for x in leaves]


def _let_go(x: Any) -> None:
    """Free the memory of a memory map in this process; what was written to it is in the file, or on the way there."""
    if isinstance(x, np.memmap) and x.mode != "c" and sys.platform == "linux":
        with suppress(AttributeError, ValueError, OSError):
            x._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


@contextmanager
def _bar(n: int, progress: bool) -> Iterator[Callable[[int], object]]:
    """A function to be told how many more samples are done. It moves a bar, if one is wanted and tqdm is installed."""
    if progress:
        with suppress(ImportError):
            from tqdm import tqdm

            with tqdm(total=n, unit=" samples", unit_scale=True) as bar:
                yield bar.update
            return
    yield lambda count: None
