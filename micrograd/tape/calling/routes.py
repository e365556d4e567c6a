"""Routes: from the inputs of a call to its results, without another look at what was recorded.

A route belongs to a path and is kept with it, so it ends when that is forgotten. It may assume that the inputs are those of a
call of the path's structure, or arrays of the same numbers that its program takes as well. `calls` looks for the path at every
call; `latest_call` keeps the route that the latest call took.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from micrograd.tape.back_ends import Program
from micrograd.tape.calling.branches import are_of_known_paths, may_sum_together, worth_merging
from micrograd.tape.recording.arguments import Call, check_column
from micrograd.tape.recording.parameters import Array
from micrograd.tape.recording.recordings import Path, Recordings
from micrograd.tape.recording.results import arrays_of, reader, widths_of

_REAL = np.dtype(np.float64)


class Route(NamedTuple):
    """`run` gives the results for inputs, theta and a number of samples; None if a sample takes a path not known yet."""

    run: Callable[..., Any]
    parameters: int  # how many there are in theta
    program: Any  # which it runs


Find = Callable[[Recordings, Call, list[Path]], Route | None]  # given a call and the paths of its structure


def _kept(make: Find) -> Find:
    """What gives the route that `make` makes, made once for as many paths and parameters."""

    def route(recordings: Recordings, call: Call, paths: list[Path]) -> Route | None:
        state = len(paths), paths[0].sufficed, len(recordings.parameters)
        kept = paths[0].routes.get(make)
        if kept is None or kept[0] != state:
            kept = paths[0].routes[make] = state, make(recordings, call, paths)
        return kept[1]

    return route


def direct(recordings: Recordings) -> bool:
    """Whether programs take arrays of any shape with the samples first; others want each sample flat."""
    return recordings.back_end.make_direct is not None


@_kept
def of_sums(recordings: Recordings, call: Call, paths: list[Path]) -> Route | None:
    """The route of reduced calls, whose `run` is also told whether to give means.

    If the function compares values, there is one once the known paths have sufficed for a call and one program sums them all.
    """
    path, count = paths[0], len(recordings.parameters)
    program: Any = None
    if path.tape.guards:
        if path.sufficed == len(paths) and may_sum_together(recordings, paths):
            program, count = recordings.merged(paths, call, True, True, True)
        if program is None:
            return None
        run = program.prepared() if direct(recordings) else _averaged(program)

        def summed(*given: Any) -> Array | None:
            found: Array = run(*given)
            return found[:-1] if are_of_known_paths(found) else None

        return Route(summed, count, program)
    program = recordings.program(path, call, True)
    run = _on_all(program.prepared() if direct(recordings) else _averaged(program), path, call, count)
    spread = run if path.uses_all(count) else lambda *given: path.spread(run(*given), count)
    return Route(spread, count, program)


def _averaged(program: Program) -> Any:
    """What `prepared` of a direct program gives, for one that gives no means."""

    def run(inputs: Sequence[Array], theta: Array, n: int, mean: bool) -> Array:
        total = program(inputs, theta, n)
        if mean and n > 1:
            total /= n
        return total

    return run


@_kept
def of_map(recordings: Recordings, call: Call, paths: list[Path]) -> Route | None:
    """The route of maps, whose results are an array for each part of what the function returns.

    If it compares values, there is one once the known paths have sufficed for a call.
    """
    path, count, out = paths[0], len(recordings.parameters), paths[0].out
    program: Any = None
    if path.tape.guards:
        if path.sufficed == len(paths):
            program, count = recordings.merged(paths, call, True)

        def selected(inputs: Sequence[Any], theta: Array, n: int) -> list[Array] | None:
            found = program(inputs, theta, n)
            return arrays_of(out, n, found[:-1]) if (found[-1] >= 0.0).all() else None

        return None if program is None else Route(selected, count, program)
    widths = widths_of(out)
    if direct(recordings) and 0 not in widths:  # then the program writes the arrays itself
        program = recordings.grouped(path, call, widths)
        run = _on_all(program, path, call, count)
        return Route(lambda inputs, theta, n: arrays_of(out, n, None, run(inputs, theta, n)), count, program)
    program = recordings.program(path, call, False)
    numbers = _on_all(program, path, call, count)
    return Route(lambda inputs, theta, n: arrays_of(out, n, numbers(inputs, theta, n)), count, program)


@_kept
def of_one(recordings: Recordings, call: Call, paths: list[Path]) -> Route | None:
    """The route of single evaluations.

    If the path `asks`, the last output of the program is no result, but says whether the others are.
    """
    path, count = paths[0], len(recordings.parameters)
    program: Any
    if path.asks:
        program, count = recordings.merged(worth_merging(paths), call, True)
    else:
        program = recordings.program(path, call, False)
    if program is None:
        return None
    run = program.prepared() if direct(recordings) else lambda inputs, theta, n: program(inputs, theta, n).reshape(-1)
    run, read = run if path.asks else _on_all(run, path, call, count), reader(path.out)

    def results(inputs: Sequence[Any], theta: Array, n: int) -> Any:
        numbers = run(inputs, theta, n)
        if path.asks and not numbers[-1] >= 0.0:
            return None
        return read(numbers if numbers.dtype is _REAL else numbers.astype(_REAL))

    return Route(results, count, program)


def _on_all(run: Any, path: Path, call: Call, count: int) -> Any:
    """`run`, which computes a path, with its indices checked, and given the whole of theta."""
    places = [(*call.place(i), length) for i, length in path.lookups]  # field, column there, length of the table
    lookups = [(field, call.fields[field][0], column, length) for field, column, length in places]

    def checked(inputs: Sequence[Any], theta: Array, *rest: Any) -> Any:
        for field, width, column, length in lookups:
            check_column(inputs[field].reshape(-1, width)[:, column], length)
        return run(inputs, path.own(theta), *rest)

    return checked if lookups or not path.uses_all(count) else run
