"""The arguments of a call on Dask collections: arrays with the same chunks of samples, and what is the same for all chunks."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.array.core import normalize_chunks
from dask.base import compute, get_scheduler, tokenize
from dask.layers import ArrayChunkShapeDep

from micrograd.tape.recording.arguments import axes_of, check_axis, is_chunked
from micrograd.trees import kind_of, mapped, of_parts, parts_of, plain_array, steps

Array = np.ndarray[Any, Any]
LARGE = 1 << 20  # from so many bytes on, a NumPy array is sent to a cluster by itself, and only once
ADVICE = "call x.compute_chunk_sizes() first, or make the array with df.to_dask_array(lengths=True)"


class Chunk:
    """Stands in for an argument: for the samples of the array with this number, or for all of it if it is `whole`."""

    def __init__(self, number: int, whole: bool = False):
        self.number, self.whole = number, whole

    def __dask_tokenize__(self) -> Any:
        return self.number  # whether it is whole is part of the function's token, by the structure of its arguments


class Arguments:
    """The arguments of a call, with a `Chunk` in the place of each array.

    `arrays` have their samples along the first axis, with the same chunks; `wholes` are one chunk each. Some may be NumPy
    arrays until `make_lazy` makes Dask arrays of them. `chunks` are the numbers of samples, nan if they are not known.
    """

    def __init__(self, args: Sequence[Any], named: Mapping[str, Any], in_axes: Any):
        axes = axes_of(in_axes, args, named)
        self.arrays: list[Any] = []
        self.wholes: list[Any] = []
        self.names: list[str] = []
        self.args = [self._taken(x, axis, f"argument {i}") for i, (x, axis) in enumerate(zip(args, axes, strict=False))]
        self.named = {name: self._taken(x, axes[len(args)], f"argument {name}") for name, x in named.items()}
        self.in_axes = in_axes
        if in_axes is not None:
            self.in_axes = 0 if isinstance(in_axes, int) else tuple(None if a is None else 0 for a in in_axes)
        self.chunks: tuple[float, ...] = (1,)
        if self.arrays:
            self._align()

    @property
    def known(self) -> bool:
        """Whether the numbers of samples are known."""
        return not any(map(math.isnan, self.chunks))

    def check_known(self) -> None:
        """ValueError if the numbers of samples are not known."""
        if not self.known:
            raise ValueError(f"{self.names[0]} has chunks of unknown sizes, and a sum needs the place of each sample: {ADVICE}")

    def _taken(self, x: Any, axis: int | None, where: str) -> Any:
        if axis is None:
            return mapped(x, lambda leaf: self._whole(leaf, where))
        kind = kind_of(x)
        if kind is None or kind[0] in ("list", "tuple"):
            return self._samples(x, axis, where)
        parts = list(parts_of(x, kind))
        ways = zip(parts, steps(kind, len(parts)), strict=True)
        return of_parts(kind, [self._taken(part, axis, where + step) for part, step in ways])

    def _whole(self, x: Any, where: str) -> Any:
        if is_chunked(x):
            x = _array(x, where)
            if any(map(math.isnan, x.shape)):
                raise ValueError(f"{where} has chunks of unknown sizes: {ADVICE}")
            x = x.rechunk(-1) if x.ndim and x.npartitions != 1 else x
        elif not isinstance(x, np.ndarray) or x.nbytes < LARGE or x.dtype.kind not in "fiu":
            return x  # small enough to be sent with the call
        self.wholes.append(x)
        return Chunk(len(self.wholes) - 1, True)

    def _samples(self, x: Any, axis: int, where: str) -> Any:
        if not is_chunked(x):
            if isinstance(x, (list, tuple)) and any(map(is_chunked, x)):
                raise TypeError(
                    f"{where} is a {type(x).__name__} of Dask arrays: make one of them, dask.array.stack(..., axis=1)"
                )
            x = plain_array(x)
            x = np.asarray(x) if isinstance(x, (list, tuple)) else x
            if not isinstance(x, np.ndarray) or not x.ndim:
                return x  # it is no array of samples: the call will raise an error
        else:
            x = _array(x, where)
            if not x.ndim:
                raise ValueError(f"{where} needs a leading axis of samples, got {x!r}: use in_axes=None for it")
        if axis:
            check_axis(x, axis, where)
            x = (da if is_chunked(x) else np).moveaxis(x, axis, 0)
        if any(map(math.isnan, x.shape[1:])):
            raise ValueError(f"{where} has chunks of unknown sizes beside those of samples: {ADVICE}")
        self.arrays.append(x)
        self.names.append(where)
        return Chunk(len(self.arrays) - 1)

    def _align(self) -> None:
        """Give all arrays the chunks of the largest Dask array; if there is none, those that Dask chooses by itself."""
        n = [len(x) if not is_chunked(x) else x.shape[0] for x in self.arrays]
        unknown = [math.isnan(k) for k in n]
        if any(unknown):
            which = self.names[unknown.index(True)]
            blocks = {x.numblocks[0] for x in self.arrays if is_chunked(x)}
            if not all(unknown) or len(blocks) > 1:
                raise ValueError(f"{which} has chunks of unknown sizes, which cannot be aligned with those of others: {ADVICE}")
            self.chunks = (math.nan,) * blocks.pop()
        else:
            for name, k in zip(self.names, n, strict=True):
                if k != n[0]:
                    raise ValueError(f"{name} has {k} samples, and another argument has {n[0]}")
            largest = max(self.arrays, key=lambda x: (is_chunked(x), x.nbytes))
            if is_chunked(largest):
                self.chunks = largest.chunks[0]
            else:  # only an array that comes whole is Dask's
                ways = ["auto", *[-1] * (largest.ndim - 1)]
                self.chunks = normalize_chunks(ways, largest.shape, dtype=np.dtype(float))[0]  # type: ignore[no-untyped-call]
        self.rechunk(self.chunks)

    def rechunk(self, chunks: tuple[float, ...]) -> None:
        """Give all Dask arrays these chunks along the samples, and a single one along other axes."""
        self.chunks = chunks
        for i, x in enumerate(self.arrays):
            if is_chunked(x) and (any(k != 1 for k in x.numblocks[1:]) or (self.known and x.chunks[0] != chunks)):
                along = {0: chunks} if self.known else {}
                x = _checked(x, self.names[i]) if self.known else x  # else chunks that are larger than said would be cut off
                self.arrays[i] = x.rechunk({**along, **dict.fromkeys(range(1, x.ndim), -1)}, method="tasks")

    def align_to(self, unit: int) -> None:
        """Move the ends of chunks to multiples of `unit` samples, but for the end of all."""
        ends = np.cumsum(self.chunks).astype(np.int64)
        n = int(ends[-1])
        ends = np.unique(np.concatenate([[0], (ends[:-1] + unit // 2) // unit * unit, [n]]).clip(0, n))
        chunks = tuple(np.diff(ends).tolist()) or (0,)
        if chunks != self.chunks:
            self.rechunk(chunks)

    def first(self) -> tuple[list[Any], dict[str, Any]] | None:
        """Arguments of the same structure with the first sample alone, which is computed now; None if there is none."""
        for k, count in enumerate(self.chunks):
            if count:  # it may be nan, for unknown
                given = [x.blocks[k] if is_chunked(x) else x[:1] for x in self.arrays]
                found = compute(*given, *self.wholes)  # type: ignore[no-untyped-call]
                arrays = [np.asarray(x)[:1] for x in found[: len(self.arrays)]]
                if not arrays or len(arrays[0]):
                    return filled(self.args, self.named, arrays, found[len(arrays) :])
        return None

    def like(self) -> tuple[list[Any], dict[str, Any]]:
        """Arguments of the same structure, without samples, and with ones for lazy arrays that come whole."""
        arrays = [np.empty((0, *map(int, x.shape[1:])), x.dtype) for x in self.arrays]
        return filled(self.args, self.named, arrays, [np.ones(x.shape, x.dtype) if is_chunked(x) else x for x in self.wholes])

    def make_lazy(self) -> None:
        """Make Dask arrays of NumPy arrays."""
        self.arrays = [x if is_chunked(x) else _lazy(x, (self.chunks, *x.shape[1:])) for x in self.arrays]
        self.wholes = [x if is_chunked(x) else _lazy(x, -1) for x in self.wholes]


def filled(
    args: Sequence[Any], named: Mapping[str, Any], arrays: Sequence[Array], wholes: Sequence[Array]
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments with arrays in the places of the `Chunk`s among them."""

    def change(leaf: Any) -> Any:
        if leaf.__class__ is not Chunk:
            return leaf
        return wholes[leaf.number] if leaf.whole else arrays[leaf.number]

    return [mapped(x, change) for x in args], {name: mapped(x, change) for name, x in named.items()}


def check_sizes(names: Sequence[str], arrays: Sequence[Array], n: float) -> None:
    """ValueError if a chunk does not have the n samples that its array states; n is nan if the array states none."""
    for name, x in zip(names, arrays, strict=False):
        if len(x) != n and not math.isnan(n):
            raise ValueError(
                f"{name} has a chunk of {len(x)} samples where its .chunks say {n}: tell Dask the sizes, as with "
                "map_blocks(..., chunks=...), or have it find them, x.compute_chunk_sizes()"
            )


def _checked(x: Any, name: str) -> Any:
    """The array with a check of the size of each chunk, when it is computed."""
    axes = tuple(range(x.ndim))
    how = {"name": f"checked-{tokenize(x.name, name)}", "dtype": x.dtype, "meta": x._meta, "align_arrays": False}
    return da.blockwise(_same, axes, x, axes, ArrayChunkShapeDep(x.chunks), axes, name, None, **how)  # type: ignore[no-untyped-call]


def _same(chunk: Array, shape: tuple[int, ...], name: str) -> Array:
    check_sizes([name], [chunk], shape[0])
    return chunk


def _array(x: Any, where: str) -> Any:
    """A Dask collection as a Dask array: itself, or the columns of a data frame."""
    if hasattr(x, "to_dask_array"):
        x = x.to_dask_array()
    if isinstance(getattr(x, "data", None), da.Array):  # of xarray
        x = x.data
    if not isinstance(x, da.Array):
        raise TypeError(
            f"{where} is a Dask {type(x).__name__}, of unknown shape: make it an array, dask.array.from_delayed(...)"
        )
    return x


_sent: dict[Any, tuple[str, Any]] = {}  # by memory and chunks of a NumPy array: its token with the cluster's id, the Dask array


def _lazy(x: Array, chunks: Any) -> Any:
    """A NumPy array as a Dask array.

    A large one is sent to a cluster once, however many calls it is given to. The cluster keeps it as long as the array lives,
    or the array that it is a view of, and as long as it is not changed.
    """
    client: Any = getattr(get_scheduler(), "__self__", None)  # type: ignore[no-untyped-call]
    name = f"array-{tokenize(x, chunks)}"
    if x.nbytes < LARGE or not hasattr(client, "persist"):
        return da.from_array(x, chunks=chunks, name=name)  # type: ignore[no-untyped-call]
    owner = x
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    key, own = (id(owner), x.ctypes.data, x.shape, x.strides, x.dtype.str, chunks), f"{name} {client.id}"
    found = _sent.get(key)
    if found is None:
        weakref.finalize(owner, _sent.pop, key, None)
    if found is None or found[0] != own or any(future.cancelled() for future in _futures(found[1])):
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": 1 << 62}):  # the graph is large on purpose
            found = _sent[key] = own, da.from_array(x, chunks=chunks, name=name).persist()  # type: ignore[no-untyped-call]
    return found[1]


def _futures(x: Any) -> list[Any]:
    """The futures of an array that a cluster keeps."""
    return [task for task in dict(x.dask).values() if hasattr(task, "cancelled")]
