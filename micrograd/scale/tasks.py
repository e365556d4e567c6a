"""Calls over Dask collections as graphs of tasks: one for each chunk, and a tree that merges their sums.

The function, and what is the same for all chunks of a call, such as theta, are one node of the graph, which all tasks read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate
from operator import getitem
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph
from dask.layers import ArrayBlockwiseDep

from micrograd.engine.modes import current, inside
from micrograd.scale.arguments import Arguments, check_sizes, filled
from micrograd.scale.pickling import PickledFunction, pickled
from micrograd.tape.calling import branches
from micrograd.tape.calling.calls import Calls, averaged
from micrograd.tape.calling.partial_sums import Forest, merged, subtrees
from micrograd.tape.recording.record import OnOnes
from micrograd.tape.recording.recordings import EACH, Path
from micrograd.tape.recording.results import put_together, with_gradients
from micrograd.tape.recording.watch import places_of, values_at

Array = np.ndarray[Any, Any]
NOTHING = np.empty(0, object)
MERGED = 8  # how many forests a task merges


def mapped(
    calls: Calls,
    args: Sequence[Any],
    named: Mapping[str, Any],
    in_axes: Any,
    theta: Array | None,
    out: Any = None,
    progress: bool = False,
) -> Any:
    """The function over the samples: in the place of each number it returns, a lazy Dask array."""
    if out is not None:
        raise ValueError("out cannot take the results for Dask arrays, which are lazy: use .compute(), or .to_zarr(path)")
    if progress:
        raise ValueError("progress cannot show what Dask computes later: use dask.diagnostics.ProgressBar()")
    calls.refuse_inside("map")
    given = Arguments(args, named, in_axes)
    function, paths = _recorded(calls, given, False, True)
    given.make_lazy()
    shared = Shared(given, calls.parameters.theta() if theta is None else calls.parameters.checked(theta))
    tree, shapes = paths[0].out, list[tuple[int, ...]]()
    put_together(tree, lambda _: shapes.append(()), lambda _, shape: shapes.append(shape), lists_are_arrays=True)
    name = f"map-{tokenize(function, shared, [x.name for x in (*given.arrays, *given.wholes)])}"
    alone = len(shapes) == 1
    work, ndim = (_mapped_alone, 1 + len(shapes[0])) if alone else (_mapped, 1)
    chunks = _over_chunks(name, work, function, shared, given, [(k,) for k in given.chunks], ndim)
    arrays = []
    for i, shape in enumerate(shapes):
        sizes, own, zeros = (given.chunks, *[(d,) for d in shape]), f"{name}-{i}", (0,) * len(shape)
        if alone and len(sizes) == chunks.ndim:  # this saves a task for each chunk, and Dask can fuse it with later ones
            arrays.append(da.Array(chunks.dask, name, sizes, dtype=shared.theta.dtype))  # type: ignore[no-untyped-call]
            continue
        layer = {(own, k, *zeros): key if alone else (getitem, key, i) for k, key in enumerate(_keys(chunks))}
        arrays.append(_array(chunks, own, layer, sizes, shared.theta.dtype))
    rest = iter(arrays)
    return put_together(tree, lambda _: next(rest), lambda _, shape: next(rest), lists_are_arrays=True)


def value_and_grad(
    calls: Calls, theta: Array, args: Sequence[Any], named: Mapping[str, Any], reduction: str, in_axes: Any
) -> tuple[Any, Any]:
    """The value and its gradient as lazy Dask arrays; of several results, in their structure."""
    out, total = _reduced(calls, theta, args, named, reduction, in_axes, EACH)
    if len(total) == 1 + len(theta):
        return total[0], total[1:]
    return with_gradients(out, total, len(theta), lambda value: value)


def reduced(
    calls: Calls, theta: Array | None, args: Sequence[Any], named: Mapping[str, Any], reduction: str, in_axes: Any
) -> Any:
    """The mean or sum of the value and the gradient, as one lazy Dask array; without `theta`, at what the parameters hold."""
    return _reduced(calls, theta, args, named, reduction, in_axes, True)[1]


def _reduced(
    calls: Calls,
    theta: Array | None,
    args: Sequence[Any],
    named: Mapping[str, Any],
    reduction: str,
    in_axes: Any,
    gradient: Any,
) -> tuple[Any, Any]:
    """The structure of the results, and the means or sums of their values and then of their gradients."""
    chunks, given, units, shared, path = _sums(calls, theta, args, named, in_axes, _summed, gradient)
    n, keys = int(sum(given.chunks)), _keys(chunks)
    averaged(np.zeros(1), reduction, n)  # raises if there is no such reduction, or for the mean of no samples
    layer: dict[Any, Any] = {}
    own, level = f"total-{tokenize(chunks.name, reduction)}", 0
    while len(keys) > MERGED:
        level += 1
        groups = [keys[i : i + MERGED] for i in range(0, len(keys), MERGED)]
        keys = [(f"{own}-part", level, i) for i in range(len(groups))]
        layer.update({key: (merged, group, units) for key, group in zip(keys, groups, strict=True)})
    layer[own, 0] = (_finished, keys, units, n, reduction)
    size = path.values * (1 + len(shared.theta))
    return path.out, _array(chunks, own, layer, ((size,),), shared.theta.dtype)


def _sums(
    calls: Calls, theta: Array | None, args: Sequence[Any], named: Mapping[str, Any], in_axes: Any, work: Any, gradient: Any
) -> tuple[Any, Arguments, int, Shared, Path]:
    """The sums of each chunk as a lazy collection, and what else belongs to them.

    Returns (what `work` gives for each chunk, the arguments, the number of units of samples, what all chunks share, the first
    path). A unit is a leaf of the tree of sums, see `partial_sums`.
    """
    given = Arguments(args, named, in_axes)
    given.check_known()
    function, paths = _recorded(calls, given, gradient, theta is None)
    if calls.recordings.back_end.keeps_signs:  # exact bits: the order of the sum must not depend on the chunks
        unit = branches.unit(calls.recordings, paths)
        given.align_to(unit)
        starts = accumulate(given.chunks[:-1], initial=0)
        places = [(int(at) // unit, max(1, -(-int(k) // unit))) for at, k in zip(starts, given.chunks, strict=True)]
        units = max(1, -(-int(sum(given.chunks)) // unit))
    else:  # each chunk is one unit
        places, unit, units = [(k, 1) for k in range(len(given.chunks))], int(max(given.chunks)), len(given.chunks)
    given.make_lazy()
    shared = Shared(given, calls.parameters.theta() if theta is None else calls.parameters.checked(theta))
    name = f"{work.__name__[1:]}-{tokenize(function, shared, [x.name for x in (*given.arrays, *given.wholes)])}"
    further = [(int(k), *place, units, unit) for k, place in zip(given.chunks, places, strict=True)]
    return _over_chunks(name, work, function, shared, given, further), given, units, shared, paths[0]


def reduced_now(
    calls: Calls, theta: Array | None, args: Sequence[Any], named: Mapping[str, Any], reduction: str, in_axes: Any
) -> Array:
    """What `reduced` gives, computed now. New parameters, of paths met on the way, come last, in the function's order."""
    found: Array
    try:
        found = reduced(calls, theta, args, named, reduction, in_axes).compute()
        return found
    except NewParameters:
        pass
    chunks, *_ = _sums(calls, theta, args, named, in_axes, _new_in, True)
    name = f"{chunks.name}-all"
    new = _array(chunks, name, {(name, 0): (_new_in_all, _keys(chunks))}, ((math.nan,),), np.int64).compute()
    calls.parameters.numbers(values_at(calls.fn, new.tolist()))
    theta = None if theta is None else calls.parameters.grown(theta)
    found = reduced(calls, theta, args, named, reduction, in_axes).compute()
    return found


def recorded(
    calls: Calls, args: Sequence[Any], named: Mapping[str, Any], in_axes: Any, gradient: bool, held: bool = True
) -> None:
    """Record a call like this, unless it has been; `held` as in `Calls.recorded`."""
    _recorded(calls, Arguments(args, named, in_axes), gradient, held)


def _recorded(calls: Calls, given: Arguments, gradient: Any, held: bool) -> tuple[PickledFunction, list[Path]]:
    like, named = given.like()
    try:
        call, paths = calls.recorded(like, named, given.in_axes, gradient, held)
    except OnOnes:  # a function that compares may need a real sample
        if (first := given.first()) is None:
            raise
        call, paths = calls.recorded(*first, given.in_axes, gradient, held)
    return pickled(calls, call.key, bool(gradient), paths), paths


class Shared:
    """What all chunks of a call share: the arguments with gaps for arrays, theta, and whether detect_anomaly() is on."""

    def __init__(self, given: Arguments, theta: Array):
        self.args, self.named, self.in_axes, self.theta = given.args, given.named, given.in_axes, theta
        self.names = given.names
        self.anomaly = current().anomaly

    def filled(self, arrays: Sequence[Array], part: slice = slice(None)) -> tuple[list[Any], dict[str, Any]]:
        """The arguments with arrays in their places: of those with samples this part of the chunk, and all of the others."""
        count = len(self.names)
        return filled(self.args, self.named, [x[part] for x in arrays[:count]], arrays[count:])

    def mode(self) -> AbstractContextManager[Any]:
        """The mode in which a chunk is computed: that of the call."""
        return inside(anomaly=True) if self.anomaly else nullcontext()

    def __dask_tokenize__(self) -> Any:
        return tokenize(self.args, self.named, self.theta, self.anomaly)  # the axes are part of the function's token

    def __repr__(self) -> str:
        return f"<what all chunks share, with theta of {len(self.theta)}>"


# -- the graph


def _over_chunks(
    name: str,
    work: Any,
    function: PickledFunction,
    shared: Shared,
    given: Arguments,
    further: Sequence[tuple[float, ...]],
    ndim: int = 1,
) -> Any:
    """A Dask array whose chunk k is work([function, shared], further[k], *its arrays, *arrays that come whole).

    Dask fuses these tasks with those that make the chunks, as long as no axis of an argument is missing in the result. So the
    result has as many axes as the arrays, and at least `ndim`; along all axes but that of the samples it has a single block.
    """
    same = f"shared-{name}"  # this layer depends on the arrays that come whole: else Dask would compute them for each chunk
    graph = HighLevelGraph.from_collections(same, {(same,): (list, [function, shared])}, given.wholes)
    pairs: list[Any] = [da.Array(graph, same, (), meta=NOTHING), ()]  # type: ignore[no-untyped-call]
    pairs += [Places((given.chunks,), further), (0,)]  # axis 0 is that of samples
    for x in given.arrays:
        pairs += [x, tuple(range(x.ndim))]
    for x in given.wholes:
        pairs += [x, tuple(range(1, 1 + x.ndim))]
    axes = tuple(range(max(ndim, *(1 + max(of, default=0) for of in pairs[1::2]))))
    new = dict.fromkeys(set(axes).difference(*pairs[1::2]), 1)
    how = {"name": name, "new_axes": new, "align_arrays": False, "meta": NOTHING}
    return da.blockwise(work, axes, *pairs, **how)  # type: ignore[no-untyped-call]


class Places(ArrayBlockwiseDep):
    """What the task of each chunk gets besides its arrays."""

    def __init__(self, chunks: Any, values: Sequence[Any]):
        super().__init__(chunks)
        self.values = values

    def __getitem__(self, at: tuple[int, ...]) -> Any:
        return self.values[at[0]]


def _keys(chunks: Any) -> list[Any]:
    """The names of the tasks of what `_over_chunks` gives, in order."""
    return list(flatten(chunks.__dask_keys__()))  # type: ignore[no-untyped-call]


def _array(before: Any, name: str, layer: dict[Any, Any], chunks: Any, dtype: Any) -> Any:
    """The array that one more layer of a graph computes from another collection."""
    graph = HighLevelGraph.from_collections(name, layer, [before])
    return da.Array(graph, name, chunks, dtype=dtype)  # type: ignore[no-untyped-call]


# -- the tasks


def _mapped(same: list[Any], place: tuple[float], *arrays: Array) -> list[Array]:
    """The arrays of the results for one chunk, in order; `place` holds how many samples it has."""
    function, shared = same
    check_sizes(shared.names, arrays, *place)
    calls = function.calls()
    args, named = shared.filled(arrays)
    with shared.mode():
        found: list[Array] = calls.many(args, named, shared.in_axes, calls.parameters.grown(shared.theta))[1]
    _check_parameters(calls, shared)
    return found


def _mapped_alone(same: list[Any], place: tuple[float], *arrays: Array) -> Array:
    """What `_mapped` gives, as the array of the only result."""
    return _mapped(same, place, *arrays)[0]


def _summed(same: list[Any], place: tuple[int, int, int, int, int], *arrays: Array) -> Forest:
    """The sums of a chunk of n samples: `count` units of `unit` samples, from unit number `first` on, of `units` in all."""
    function, shared = same
    n, first, count, units, unit = place
    check_sizes(shared.names, arrays, n)
    calls = function.calls()
    forest: Forest = {}
    theta = calls.parameters.grown(shared.theta)  # longer if another chunk has brought parameters, which the check reports
    for level, number, start, end in subtrees(first, count, units):
        part = slice((start - first) * unit, (end - first) * unit)
        args, named = shared.filled(arrays, part)
        with shared.mode():
            forest[level, number] = calls.reduced_each(theta, args, named, "sum", shared.in_axes)[1]
        _check_parameters(calls, shared)
    return forest


def _finished(forests: list[Forest], units: int, n: int, reduction: str) -> Array:
    """The sum or mean over all samples."""
    ((_, total),) = merged(forests, units).items()
    averaged(total, reduction, n)
    return total


def _new_in(*chunk: Any) -> list[int]:
    """The places in the function of new parameters, which a chunk needs and theta lacks."""
    try:
        _summed(*chunk)
    except NewParameters as error:
        return error.places
    return []


def _new_in_all(parts: list[list[int]]) -> Array:
    return np.unique(np.concatenate([np.array(part, np.int64) for part in parts]))


class NewParameters(ValueError):
    """A chunk has taken a path with parameters that theta lacks; `places` says where the function holds them."""

    def __init__(self, message: str, places: list[int]):
        super().__init__(message, places)
        self.places = places

    def __str__(self) -> str:
        return str(self.args[0])


def _check_parameters(calls: Calls, shared: Shared) -> None:
    """NewParameters if a chunk has taken a path with parameters that theta lacks; ValueError if they cannot be found again."""
    new = calls.parameters.values[len(shared.theta) :]
    if new:
        message = (
            f"{calls.owner}: theta has {len(shared.theta)} numbers, and these samples took a path with new parameters, now "
            f"{len(calls.parameters)}: list the parameters in wrt where not all are used on every path"
        )
        places = places_of(calls.fn, new)
        raise ValueError(message) if places is None else NewParameters(message, places)
