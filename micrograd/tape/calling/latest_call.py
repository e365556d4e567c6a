"""Short ways: a call just like the latest, with arguments of the same types and shapes, goes straight to its program.

Arrays over samples may have another number of these. Without short ways a small function would spend half of its time on
taking its arguments apart. Each is a function that gives the result, or None where the call is another one, or something
outside has changed: `calls` then takes the long way, which also says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import countOf, itemgetter
from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from micrograd.engine.modes import open_blocks
from micrograd.tape.back_ends import Program
from micrograd.tape.calling.branches import worth_merging
from micrograd.tape.recording.arguments import Call, check_column
from micrograd.tape.recording.parameters import Array
from micrograd.tape.recording.recordings import Path, Recordings
from micrograd.tape.recording.results import Place, arrays_of, put_together, reader, widths_of

KEPT = 2  # evaluations whose short ways are kept, such as one on floats and one on an array
_NOTHING, _REAL, _ARRAY, _FLOAT64 = np.zeros(0), np.dtype(np.float64), np.ndarray, np.float64


class OfArrays(NamedTuple):
    """The short way for reduced calls on arrays of certain types and shapes, with any number of samples first."""

    # the sums or means, given theta (None for what the parameters hold), arguments, those by name, reduction, in_axes; or None
    run: Callable[[Array | None, Sequence[Any], Mapping[str, Any], str, Any], Array | None]
    out: Any  # the structure of the results
    many: bool  # whether there are several results


def of_arrays(recordings: Recordings, call: Call, args: Sequence[Any], in_axes: Any) -> OfArrays | None:
    """The short way for calls like the reduced call just made, if there is one."""
    path, watch = recordings.straight(call, True), recordings.watch
    if path is None or watch is None or in_axes != 0 or not call.n or not all(map(_of_numbers, args)):
        return None
    program: Any = recordings.program(path, call, True)
    direct = recordings.back_end.make_direct is not None  # whether the program takes arrays as they are, and gives means
    lookups = [(*call.place(i), length) for i, length in path.lookups]  # argument, column there, length of the table
    signature, number, latest = [(x.shape, x.dtype) for x in args], len(args), call.n
    parameters, count = recordings.parameters, len(recordings.parameters)
    sums, means = [program.prepared(mean) if direct else _reduced(program, mean) for mean in (False, True)]
    unchanged, directly_unchanged, shape, values = watch.unchanged, watch.directly_unchanged, (count,), parameters.values

    def run(theta: Array | None, args: Sequence[Any], named: Mapping[str, Any], reduction: str, in_axes: Any) -> Array | None:
        if named or open_blocks or in_axes.__class__ is not int or in_axes or len(args) != number or count != len(values):
            return None
        n = latest
        for x, (form, kind) in zip(args, signature):  # noqa: B905 (a small function's time is this loop's)
            if x.__class__ is not _ARRAY or x.dtype is not kind:
                return None
            if x.shape != form:
                n = 0
        if not n and not (n := _samples(args, signature)):
            return None
        mean = reduction == "mean"
        if not mean and reduction != "sum":
            return None
        if theta is None:
            if not unchanged():
                return None
            theta = parameters.theta()
            if len(theta) != count:
                return None
        elif theta.shape != shape or not directly_unchanged():
            return None
        for i, j, length in lookups:
            check_column(args[i].reshape(n, -1)[:, j], length)
        total: Array = means(args, theta, n) if mean else sums(args, theta, n)
        return total

    return OfArrays(run, path.out, path.values > 1)


def _of_numbers(x: Any) -> bool:
    """Whether this is an array whose type allows numbers alone. An array of objects may hold None the next time."""
    return x.__class__ is _ARRAY and x.dtype.kind in "fiub"


def _samples(args: Sequence[Array], signature: Sequence[tuple[tuple[int, ...], Any]]) -> int:
    """The number of samples in arrays that differ from a signature in nothing else; 0 if they do, or if there are none."""
    shapes = [(n, *form[1:]) for n in args[0].shape[:1] for form, _ in signature]
    return len(args[0]) if shapes == [x.shape for x in args] else 0


def _reduced(program: Program, mean: bool) -> Callable[[Sequence[Array], Array, int], Array]:
    """What `prepared` gives for a direct program, here for one that needs each sample flat and gives no means."""

    def run(args: Sequence[Array], theta: Array, n: int) -> Array:
        total = program([x.reshape(n, -1) for x in args], theta, n)
        if mean and n > 1:
            total /= n
        return total

    return run


OfMap = Callable[[Sequence[Any], Any], Any]  # the results, given the arguments and in_axes; or None


def of_map(recordings: Recordings, call: Call, args: Sequence[Any], in_axes: Any) -> OfMap | None:
    """The short way for calls like the map just made, if there is one."""
    paths, watch, latest = recordings.kept.get((call.key, False), []), recordings.watch, call.n
    compares = bool(paths) and bool(paths[0].tape.guards)
    path = paths[0] if compares and paths[0].sufficed == len(paths) else recordings.straight(call, False)
    if path is None or watch is None or in_axes != 0 or not latest or not all(map(_of_numbers, args)):
        return None
    widths, direct, out = widths_of(path.out), recordings.back_end.make_direct is not None and not compares, path.out
    if 0 in widths:
        return None
    program: Any
    if compares:
        program = recordings.merged(paths, call, True)[0]
    else:
        program = recordings.grouped(path, call, widths) if direct else recordings.program(path, call, False)
    if program is None:
        return None
    lookups = [] if compares else [(*call.place(i), length) for i, length in path.lookups]
    signature, parameters, count = [(x.shape, x.dtype) for x in args], recordings.parameters, len(recordings.parameters)
    unchanged, theta, alone = watch.unchanged, parameters.theta, out.__class__ is Place

    def run(args: Sequence[Any], in_axes: Any) -> Any:
        if in_axes.__class__ is not int or in_axes or len(args) != len(signature) or count != len(parameters.values):
            return None
        n = latest
        for x, (form, kind) in zip(args, signature):  # noqa: B905 (a small function's time is this loop's)
            if x.__class__ is not _ARRAY or x.dtype is not kind:
                return None
            if x.shape != form:
                n = 0
        if not n and not (n := _samples(args, signature)):
            return None
        if not unchanged():
            return None
        for i, j, length in lookups:
            check_column(args[i].reshape(n, -1)[:, j], length)
        inputs = args if direct else [x.reshape(n, -1) for x in args]
        held = theta() if count else _NOTHING
        if len(held) != count:
            return None
        found = program(inputs, held, n)
        if compares:
            if not (found[-1] >= 0.0).all():  # some samples take a path that is not known yet
                return None
            found = found[:-1]
        if alone:
            return found[0]
        rest = iter(arrays_of(out, n, None, found) if direct else arrays_of(out, n, found))
        return put_together(out, lambda _: next(rest), lambda *_: next(rest), lists_are_arrays=True)

    return run


Evaluation = Callable[[Sequence[Any]], Any]  # the results, given the arguments; or None


def of_evaluation(recordings: Recordings, call: Call, args: Sequence[Any], path: Path) -> Evaluation | None:
    """The short way for calls like the single evaluation just made, if there is one.

    It takes arrays of the same types and shapes, numbers, and lists, tuples and dicts of as many floats. It gives None also
    for a sample that takes a path which is not known yet.
    """
    program, watch = _single(recordings, call, path), recordings.watch
    if program is None or watch is None:
        return None
    parameters, count, compares = recordings.parameters, len(recordings.parameters), path.asks
    unchanged, theta, floats = watch.unchanged, parameters.theta, parameters.floats
    direct = recordings.back_end.make_direct is not None

    if direct and all(x.__class__ is float or x.__class__ is _FLOAT64 for x in args):
        number, single, finish = len(args), program.single, _finish(path.out, compares)

        def of_floats(args: Sequence[Any]) -> Any:
            if len(args) != number or count != len(parameters.values):
                return None
            for x in args:
                if x.__class__ is not float and x.__class__ is not _FLOAT64:
                    return None
            if not unchanged():
                return None
            held = floats() if count else ()
            if len(held) != count:  # another thread has found more parameters
                return None
            numbers = single(args, held)
            return finish(numbers) if not compares or numbers[-1] >= 0.0 else None

        return of_floats

    signature, read = [kind for kind in map(_kind_of, args) if kind], reader(path.out)
    if len(signature) < len(args):
        return None
    lookups = [] if compares else [(*call.place(i), n) for i, n in path.lookups]  # a program that compares checks them too
    run = program.prepared() if direct else lambda inputs, theta, n: program(inputs, theta, n).reshape(-1)

    def of_arguments(args: Sequence[Any]) -> Any:
        if len(args) != len(signature) or count != len(parameters.values):
            return None
        inputs = []
        for x, (cls, kind, size) in zip(args, signature):  # noqa: B905 (a small function's time is this loop's)
            if x.__class__ is not cls and not (cls is float and x.__class__ is _FLOAT64):
                return None
            if cls is _ARRAY:
                if x.shape != size or x.dtype is not kind:
                    return None
                inputs.append(x if direct else x.reshape(-1))
            elif cls is float or (cls is int and abs(x) < 1 << 63):
                inputs.append(np.array([x]))
            elif cls is int:  # too large for an array of integers
                return None
            elif cls is dict:
                values = x.values()
                if tuple(x) != size or countOf(map(type, values), float) != len(size):
                    return None
                inputs.append(np.frombuffer(kind(*values)))
            elif len(x) == size == countOf(map(type, x), float):
                inputs.append(np.frombuffer(kind(*x)))
            else:
                return None
        if not unchanged():
            return None
        for i, j, n in lookups:
            check_column(inputs[i].reshape(-1)[j], n)
        held = theta() if count else _NOTHING
        if len(held) != count:
            return None
        numbers = run(inputs, held, 1)
        if compares and not numbers[-1] >= 0.0:
            return None
        return read(numbers if numbers.dtype is _REAL else numbers.astype(_REAL))

    return of_arguments


def _kind_of(x: Any) -> tuple[Any, Any, Any] | None:
    """What an argument has to be like for the short way; None if there is none for it.

    Its class; then of an array type and shape, of a list, tuple or dict of floats what packs them, and their number or keys.
    """
    cls = x.__class__
    if cls is _ARRAY and x.ndim and x.dtype.kind in "fiu":
        return cls, x.dtype, x.shape
    if cls is float or cls is _FLOAT64:
        return float, None, None
    if cls is int:
        return cls, None, None
    if (cls is list or cls is tuple) and x and countOf(map(type, x), float) == len(x):
        return cls, Struct(f"{len(x)}d").pack, len(x)
    if cls is dict and x and countOf(map(type, x.values()), float) == len(x):
        return cls, Struct(f"{len(x)}d").pack, tuple(x)
    return None


def _single(recordings: Recordings, call: Call, path: Path) -> Any:
    """The program for evaluations whose first path this is, if it takes the whole of theta; else None."""
    if path.asks:
        return recordings.merged(worth_merging(recordings.kept.get((call.key, False), [path])), call, True)[0]
    return recordings.program(path, call, False) if path.uses_all(len(recordings.parameters)) else None


def _finish(out: Any, compares: bool) -> Callable[[list[float]], Any]:
    """A function that makes the results of the list of all outputs, the last of which is no result if the path `asks`."""
    if isinstance(out, Place):
        return itemgetter(out)
    if type(out) is tuple and all(x.__class__ is Place for x in out) and [*out] == [Place(i) for i in range(len(out))]:
        return tuple if not compares else lambda numbers: tuple(numbers[:-1])
    array = lambda numbers, ids, shape: np.array([numbers[i] for i in ids]).reshape(shape)  # noqa: E731
    return lambda numbers: put_together(out, numbers.__getitem__, partial(array, numbers))
