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
from micrograd.tape.recording.parameters import Array
from micrograd.tape.recording.recordings import Path, Recordings
from micrograd.tape.recording.results import Place, filled, put_together

KEPT = 2  # evaluations whose short ways are kept, such as one on floats and one on an array
_NOTHING, _ARRAY, _FLOAT64, _AXES = np.zeros(0), np.ndarray, np.float64, {int, type(None)}


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
    plain = all(x.__class__ is float or x.__class__ is _FLOAT64 for x in args)
    if straight and plain and (path.asks or path.uses_all(count)):
        number, compares, single, finish = len(args), path.asks, route.program.single, _finish(path.out, path.asks)

        def of_floats(args: Sequence[Any]) -> Any:
            if len(args) != number:
                return None
            for x in args:
                if x.__class__ is not float and x.__class__ is not _FLOAT64:
                    return None
            if not unchanged():
                return None
            held = floats() if count else ()
            if len(held) != count:
                return None
            numbers = single(args, held)
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


# -- what takes arguments of certain types and shapes

Take = Callable[[Sequence[Any]], tuple[Sequence[Any], int] | None]  # the inputs and their number of samples; or None


def _taker(args: Sequence[Any], in_axes: Any, axes: Sequence[int | None], direct: bool) -> Take | None:
    """What takes arguments like these; None if only a `Call` does.

    Arrays have their samples first. What is the same for all samples is an array, a number, or a list, tuple or dict of floats.
    The caller looks whether `in_axes` is the same object as before, so here it must be one that never changes.
    """
    if (
        in_axes is not None
        and in_axes.__class__ is not int
        and (in_axes.__class__ is not tuple or {*map(type, in_axes)} - _AXES)
    ):
        return None
    kinds: list[Any] = []
    for x, axis in zip(args, axes):  # noqa: B905 (there is one more axis, for arguments by name)
        kind = _shared(x) if axis is None else _varying(x) if axis == 0 else None
        if kind is None:
            return None
        kinds.append(kind)
    return _of_samples(kinds) if direct and all(axis == 0 for axis in axes) else _of_any(kinds, direct)


def _of_samples(kinds: Sequence[Any]) -> Take:
    """What takes arrays over samples as they are, for a direct program: in the quickest way, as this is most usual."""
    number, latest = len(kinds), kinds[0][2][0] if kinds else 1

    def take(args: Sequence[Any]) -> tuple[Sequence[Any], int] | None:
        if len(args) != number:
            return None
        n = latest
        for x, (_, dtype, shape, _) in zip(args, kinds):  # noqa: B905 (a small function's time is this loop's)
            if x.__class__ is not _ARRAY or x.dtype is not dtype:
                return None
            if x.shape != shape:
                n = -1
        if n < 0:  # of another number of samples, unless the shapes differ in more
            shapes = [(n, *kind[2][1:]) for n in args[0].shape[:1] for kind in kinds]
            if [x.shape for x in args] != shapes:
                return None
            n = len(args[0])
        return args, n

    return take


def _of_any(kinds: Sequence[Any], direct: bool) -> Take:
    """What takes all kinds of arguments, and gives them flat unless the program is a direct one."""
    number = len(kinds)

    def take(args: Sequence[Any]) -> tuple[Sequence[Any], int] | None:
        if len(args) != number:
            return None
        inputs: list[Any] = []
        n = -1
        for x, (cls, kind, form, width) in zip(args, kinds):  # noqa: B905 (a small function's time is this loop's)
            if x.__class__ is not cls and not (cls is float and x.__class__ is _FLOAT64):
                return None
            if width is not None:
                if x.dtype is not kind or not x.ndim or x.shape[1:] != form[1:] or -1 < n != len(x):
                    return None
                n = len(x)
                inputs.append(x if direct else x.reshape(n, width))
            elif cls is _ARRAY:
                if x.shape != form or x.dtype is not kind:
                    return None
                inputs.append(x if direct else x.reshape(-1))
            elif cls is float or (cls is int and abs(x) < 1 << 63):
                inputs.append(np.array([x]))
            elif cls is int:  # too large for an array of integers
                return None
            elif cls is dict:
                values = x.values()
                if tuple(x) != form or countOf(map(type, values), float) != len(form):
                    return None
                inputs.append(np.frombuffer(kind(*values)))
            elif len(x) == form == countOf(map(type, x), float):
                inputs.append(np.frombuffer(kind(*x)))
            else:
                return None
        return inputs, 1 if n < 0 else n

    return take


def _varying(x: Any) -> tuple[Any, Any, Any, int | None] | None:
    """What an array over samples has to be like: its class, type and shape, whose first number may change; and the width.

    None for another argument, also for an array of objects: it may hold None the next time.
    """
    if x.__class__ is _ARRAY and x.ndim and x.dtype.kind in "fiub":
        return _ARRAY, x.dtype, x.shape, prod(x.shape[1:])
    return None


def _shared(x: Any) -> tuple[Any, Any, Any, int | None] | None:
    """What an argument has to be like that is the same for all samples; None if only a `Call` takes it.

    Its class; then of an array type and shape, of a list, tuple or dict of floats what packs them, and their number or keys.
    """
    cls = x.__class__
    if cls is _ARRAY and x.ndim and x.dtype.kind in "fiu":
        return cls, x.dtype, x.shape, None
    if cls is float or cls is _FLOAT64:
        return float, None, None, None
    if cls is int:
        return cls, None, None, None
    if (cls is list or cls is tuple) and x and countOf(map(type, x), float) == len(x):
        return cls, Struct(f"{len(x)}d").pack, len(x), None
    if cls is dict and x and countOf(map(type, x.values()), float) == len(x):
        return cls, Struct(f"{len(x)}d").pack, tuple(x), None
    return None
