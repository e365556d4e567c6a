"""Short ways: a call just like the latest, with arguments of the same types and shapes, goes straight to its route.

Arrays over samples may have another number of these. Without short ways a small function would spend half of its time on
taking its arguments apart. Each is a function that gives the result; or None where the call is another one, where something
outside has changed, or where another thread has found more parameters. `calls` then takes the long way, which also says what
is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from operator import countOf, itemgetter
from struct import Struct
from typing import Any

import numpy as np

from micrograd.engine.modes import open_blocks
from micrograd.tape.calling.routes import Route, direct
from micrograd.tape.recording.arguments import MOST
from micrograd.tape.recording.parameters import Array
from micrograd.tape.recording.recordings import Path, Recordings
from micrograd.tape.recording.results import Place, filled, put_together

KEPT = 2  # evaluations whose short ways are kept, such as one on floats and one on an array
_NOTHING, _ARRAY, _FLOAT64 = np.zeros(0), np.ndarray, np.float64
_AXES, _NUMBERS, _FLOATS = {int, type(None)}, {float, int, list}, {float, np.float64}


class OfSums:
    """The short way of reduced calls. `run` gives the sums or means."""

    __slots__ = ("many", "out", "run")

    def __init__(self, run: Callable[[Array | None, Sequence[Any], Mapping[str, Any], str, Any], Array | None], path: Path):
        self.run, self.out, self.many = run, path.out, path.values > 1  # the structure of the results; whether they are several


def of_sums(
    recordings: Recordings, args: Sequence[Any], in_axes: Any, axes: Sequence[int | None], path: Path, route: Route
) -> OfSums | None:
    """The short way for calls like the reduced call just made, if there is one."""
    watch, take = recordings.watch, _taker(args, in_axes, axes, direct(recordings))
    if watch is None or take is None:
        return None
    parameters, values, go, count = recordings.parameters, recordings.parameters.values, route.run, route.parameters
    unchanged, directly_unchanged, shape, latest = watch.unchanged, watch.directly_unchanged, (count,), in_axes

    def run(theta: Array | None, args: Sequence[Any], named: Mapping[str, Any], reduction: str, in_axes: Any) -> Array | None:
        if named or open_blocks or in_axes is not latest or (taken := take(args)) is None:
            return None
        inputs, n = taken
        mean = reduction == "mean"
        if not n or (not mean and reduction != "sum"):
            return None
        if not (unchanged() if theta is None else directly_unchanged()):
            return None
        if theta is None:
            theta = parameters.theta()
        return go(inputs, theta, n, mean) if theta.shape == shape and count == len(values) else None

    return OfSums(run, path)


OfMap = Callable[[Sequence[Any], Any], Any]  # the results, given the arguments and in_axes; or None


def of_map(
    recordings: Recordings, args: Sequence[Any], in_axes: Any, axes: Sequence[int | None], path: Path, route: Route
) -> OfMap | None:
    """The short way for calls like the map just made, if there is one."""
    watch, take = recordings.watch, _taker(args, in_axes, axes, direct(recordings))
    if watch is None or take is None:
        return None
    unchanged, parameters, latest, out, go = watch.unchanged, recordings.parameters, in_axes, path.out, route.run
    count = route.parameters

    def run(args: Sequence[Any], in_axes: Any) -> Any:
        if in_axes is not latest or (taken := take(args)) is None or not unchanged():
            return None
        theta = parameters.theta() if count else _NOTHING
        arrays = go(taken[0], theta, taken[1]) if len(theta) == count else None
        return None if arrays is None else filled(out, arrays)

    return run


OfOne = Callable[[Sequence[Any]], Any]  # the results, given the arguments; or None


def of_one(recordings: Recordings, args: Sequence[Any], path: Path, route: Route) -> OfOne | None:
    """The short way for calls like the single evaluation just made, if there is one."""
    watch, parameters, straight, go, count = recordings.watch, recordings.parameters, direct(recordings), *route[:2]
    if watch is None:
        return None
    unchanged, theta, floats = watch.unchanged, parameters.theta, parameters.floats
    if straight and _FLOATS.issuperset(map(type, args)) and (path.asks or path.uses_all(count)):
        number, compares, single, finish = len(args), path.asks, route.program.single, _finish(path.out, path.asks)

        def of_floats(args: Sequence[Any]) -> Any:
            if len(args) != number:
                return None
            for x in args:
                if x.__class__ is not float and x.__class__ is not _FLOAT64:
                    return None
            if not unchanged():
                return None
            if not count:
                numbers = single(args)
            elif len(held := floats()) == count:
                numbers = single(args, held)
            else:
                return None
            return finish(numbers) if not compares or numbers[-1] >= 0.0 else None

        return of_floats
    take = _taker(args, None, [None] * len(args), straight)
    if take is None:
        return None

    def of_arguments(args: Sequence[Any]) -> Any:
        if (taken := take(args)) is None or not unchanged():
            return None
        held = theta() if count else _NOTHING
        return go(taken[0], held, 1) if len(held) == count else None

    return of_arguments


def _finish(out: Any, compares: bool) -> Callable[[list[float]], Any]:
    """A function that makes the results of the list of all outputs, the last of which is no result if the path `asks`."""
    if isinstance(out, Place):
        return itemgetter(out)
    if type(out) is tuple and all(x.__class__ is Place for x in out) and [*out] == [Place(i) for i in range(len(out))]:
        return tuple if not compares else lambda numbers: tuple(numbers[:-1])
    array = lambda numbers, ids, shape: np.array([numbers[i] for i in ids]).reshape(shape)  # noqa: E731
    return lambda numbers: put_together(out, numbers.__getitem__, partial(array, numbers))


# -- what takes arguments that are like those of the latest call

Take = Callable[[Sequence[Any]], tuple[Sequence[Any], int] | None]  # the inputs and their number of samples; or None
Read = Callable[[Any], Any]  # the numbers of one argument as an array, `_NOTHING` if it has none; None if it is another one


def _taker(args: Sequence[Any], in_axes: Any, axes: Sequence[int | None], direct: bool) -> Take | None:
    """What takes arguments like these, in any number of samples, which come first; None if only a `Call` does.

    The caller looks whether `in_axes` is the same object as before, so here it must be one that never changes.
    """
    if type(in_axes) not in _AXES and (in_axes.__class__ is not tuple or not _AXES.issuperset(map(type, in_axes))):
        return None
    if direct and in_axes is not None and {*axes} == {0} and all(map(_has_numbers, args)):
        return _of_samples(args)
    readers: list[tuple[Read, bool]] = []
    for x, axis in zip(args, axes):  # noqa: B905 (there is one more axis, for arguments by name)
        read = _shared(x, direct) if axis is None else _varying(x, direct) if axis == 0 else None
        if read is None:
            return None
        readers.append((read, axis == 0))
    number = len(readers)

    def take(args: Sequence[Any]) -> tuple[Sequence[Any], int] | None:
        if len(args) != number:
            return None
        inputs: list[Array] = []
        n = -1
        for x, (read, varies) in zip(args, readers):  # noqa: B905 (a small function's time is this loop's)
            if (array := read(x)) is None or (varies and -1 < n != len(array)):
                return None
            if varies:
                n = len(array)
            if array is not _NOTHING:
                inputs.append(array)
        return inputs, 1 if n < 0 else n

    return take


def _of_samples(args: Sequence[Array]) -> Take:
    """The same for arrays over samples alone, which a direct program takes as they are: the most usual, in the quickest way."""
    number, latest = len(args), len(args[0]) if args else 1
    signature = [(x.shape, x.dtype) for x in args]

    def take(args: Sequence[Any]) -> tuple[Sequence[Any], int] | None:
        if len(args) != number:
            return None
        n = latest
        for x, (shape, dtype) in zip(args, signature):  # noqa: B905 (a small function's time is this loop's)
            if x.__class__ is not _ARRAY or x.dtype is not dtype:
                return None
            if x.shape != shape:
                n = -1
        if n < 0:  # of another number of samples, unless the shapes differ in more
            if [x.shape for x in args] != [(n, *shape[1:]) for n in args[0].shape[:1] for shape, _ in signature]:
                return None
            n = len(args[0])
        return args, n

    return take


def _has_numbers(x: Any) -> bool:
    """Whether this is an array over samples whose type allows numbers alone: one of objects may hold None the next time."""
    return x.__class__ is _ARRAY and x.ndim > 0 and x.dtype.kind in "fiub"


def _varying(x: Any, direct: bool) -> Read | None:
    """What reads arrays over samples, or lists of numbers, like x: of the same type, and with samples of the same shape."""
    cls = x.__class__
    array = _listed(x) if cls is list else x
    if not _has_numbers(array):
        return None
    dtype, shape, width = array.dtype, array.shape[1:], prod(array.shape[1:])

    def read(x: Any) -> Any:
        if x.__class__ is not cls or (cls is list and (x := _listed(x)) is None):
            return None
        if x.dtype is not dtype or not x.ndim or x.shape[1:] != shape:
            return None
        return x if direct else x.reshape(len(x), width)

    return read


def _listed(x: list[Any]) -> Any:
    """The array of a list of numbers or of such lists, made as a `Call` makes it; None if there is anything else among them."""
    if not _NUMBERS.issuperset(map(type, x)):
        return None
    try:
        return np.asarray(x)
    except ValueError:  # rows of several lengths
        return None


def _shared(x: Any, direct: bool) -> Read | None:
    """What reads arguments like x that are the same for all samples.

    These are arrays of the same type and shape, numbers, lists, tuples and dicts of as many floats, and the same texts, truth
    values and None.
    """
    cls = x.__class__
    if cls is _ARRAY and x.ndim and x.dtype.kind in "fiu":
        dtype, shape = x.dtype, x.shape

        def of_array(x: Any) -> Any:
            if x.__class__ is not _ARRAY or x.shape != shape or x.dtype is not dtype:
                return None
            return x if direct else x.reshape(-1)

        return of_array
    if cls is float or cls is _FLOAT64:
        return lambda x: np.array([x]) if x.__class__ is float or x.__class__ is _FLOAT64 else None
    if cls is int:  # below what no array holds
        return lambda x: np.array([x]) if x.__class__ is int and abs(x) < MOST else None
    if cls is str or cls is bool or x is None:
        return lambda y: _NOTHING if y.__class__ is cls and y == x else None
    if (cls is list or cls is tuple) and x and countOf(map(type, x), float) == len(x):
        length, pack = len(x), Struct(f"{len(x)}d").pack

        def of_list(x: Any) -> Any:
            if x.__class__ is cls and len(x) == length == countOf(map(type, x), float):
                return np.frombuffer(pack(*x))
            return None

        return of_list
    if cls is dict and x and countOf(map(type, x.values()), float) == len(x):
        keys, pack_values = tuple(x), Struct(f"{len(x)}d").pack

        def of_dict(x: Any) -> Any:
            if x.__class__ is dict and tuple(x) == keys and countOf(map(type, x.values()), float) == len(keys):
                return np.frombuffer(pack_values(*x.values()))
            return None

        return of_dict
    return None
