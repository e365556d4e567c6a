"""Branches: each sample of a call runs on the tape of the path that its own comparisons decide.

`recordings` comes before, and keeps the paths met so far. If these suffice for all samples, one program may compute all of
them and select (`merge`). Otherwise the samples are sorted by path first: the comparisons of a path, its guards, are evaluated
for all samples; those that decide otherwise go on to the next path, and if no path fits a sample, its own is recorded.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from micrograd.tape.back_ends.reference import BLOCK, paired, total
from micrograd.tape.recording.arguments import Call
from micrograd.tape.recording.nonfinite import has_nan
from micrograd.tape.recording.parameters import Array
from micrograd.tape.recording.recordings import Path, Recordings

PATHS = 64  # the most paths for one structure of arguments,
MOST = 4096  # or so many if one program can compute all of them and select
MANY_SUMS = 2048  # with more sums over the samples than this, there is no room for the results of single samples:
SPAN = 1 << 14  # each path is summed by itself, for so many samples at a time
ROOM = 1 << 21  # the most results of single samples that are kept at a time
_COMPARE = {
    "__lt__": np.less, "__le__": np.less_equal, "__gt__": np.greater, "__ge__": np.greater_equal,
    "__eq__": np.equal, "__ne__": np.not_equal,
}  # fmt: skip


def run(recordings: Recordings, call: Call, gradient: Any, theta: Array, reduce: bool) -> Array:
    """The results of a function that compares values: each sample's of its own path, or their sum over the samples.

    The sum is that of `reference.total` over all samples, whatever their paths. With very many sums there is no room for the
    results of each sample: then each path is summed by itself within a span of samples, and the paths' sums are added.
    Unless bits must be exact, one program sums all paths also then, once they are known.
    """
    paths, parameters = recordings.paths(call, gradient), recordings.parameters
    many = reduce and unit(recordings, paths) != BLOCK
    together = not reduce or may_sum_together(recordings, paths)
    if call.n and together and (results := _at_once(recordings, paths, call, gradient, theta, reduce)) is not None:
        return results
    samples = None
    while samples is None:
        samples, theta = _sorted_by_path(recordings, paths, call, gradient, theta, together)
        if call.n > len(paths) > 1 and together:  # rather than a program for each path
            paths[0].sufficed = len(paths)
            if (results := _at_once(recordings, paths, call, gradient, theta, reduce)) is not None:
                return results
    count = paths[0].values * (1 + len(parameters)) if gradient else len(paths[0].tape.outputs)
    # each path with its samples, in an order that does not depend on which path was met first
    parts = [(paths[i], np.sort(np.concatenate(samples[i]))) for i in sorted(samples, key=lambda i: paths[i].decisions)]

    def among(at: int, end: int) -> list[tuple[Path, Array]]:
        """The paths that some samples from `at` to `end` take, each with these samples."""
        spans = [(path, rows[slice(*np.searchsorted(rows, [at, end]))]) for path, rows in parts]
        return [(path, rows) for path, rows in spans if len(rows)]

    def found(path: Path, rows: Array, reduce: bool) -> Array:
        """The results of some samples of a path, or their sum; with a gradient, by all parameters."""
        inputs = call.rows(rows)
        call.check_lookups(path.lookups, inputs)
        part = recordings.program(path, call, reduce)(inputs, path.own(theta), len(rows))
        return path.spread(part, len(parameters)) if gradient else part

    def of_each(at: int, end: int) -> Array:
        """The results of each sample from `at` to `end`."""
        results = np.zeros((count, end - at), parameters.dtype)
        for path, rows in among(at, end):
            results[:, rows - at] = found(path, rows, False)
        return results

    if not reduce:
        return of_each(0, call.n)
    if len(parts) <= 1:
        return found(*parts[0], True) if parts else np.zeros(count, parameters.dtype)
    if many:
        spans = ([found(*part, True) for part in among(at, at + SPAN)] for at in range(0, call.n, SPAN))
        return paired([sum(own[1:], own[0]) for own in spans])
    span = BLOCK * max(1, 2 ** int(math.log2(1 + ROOM // (BLOCK * count))))
    return paired([total(of_each(at, min(at + span, call.n)).T) for at in range(0, call.n, span)])


def path_of(recordings: Recordings, call: Call, gradient: Any, theta: Array) -> Path:
    """The path of the one sample of a call, recorded if it is new."""
    paths = recordings.paths(call, gradient)
    if not paths[0].tape.guards:
        return paths[0]
    samples, _ = _sorted_by_path(recordings, paths, call, gradient, theta)
    assert samples is not None
    return paths[next(iter(samples))]


def unit(recordings: Recordings, paths: list[Path]) -> int:
    """How many samples make up one leaf of the tree of sums: a block, or a span if each path is summed by itself."""
    return SPAN if paths[0].tape.guards and paths[0].values * len(recordings.parameters) > MANY_SUMS else BLOCK


def may_sum_together(recordings: Recordings, paths: list[Path]) -> bool:
    """Whether one program may sum all paths: exact bits must not depend on which paths are known."""
    return unit(recordings, paths) == BLOCK or not recordings.back_end.keeps_signs


def are_of_known_paths(sums: Array) -> bool:
    """Whether sums by one program of several paths hold: no sample took another path, and nothing that it left out was nan."""
    return bool(sums[-1] == 0.0) and not has_nan(sums)


def worth_merging(paths: list[Path]) -> list[Path]:
    """The paths for which one program is worth making: all known ones if the latest call met no new one, else the first."""
    return paths if paths[0].sufficed == len(paths) else paths[:1]


def _at_once(recordings: Recordings, paths: list[Path], call: Call, gradient: bool, theta: Array, reduce: bool) -> Array | None:
    """The results of all samples, or their sum, if the known paths suffice; None if they do not fit some sample.

    They come from one program for all paths; or from one program for each path, where samples that decide otherwise go on to
    the next.
    """
    known, groups = len(paths), [worth_merging(paths)]
    groups += [[path] for path in paths[1:]] if len(groups[0]) < len(paths) else []
    found: Array | None = None
    left, inputs = np.arange(call.n), call.inputs
    for group in groups:
        program, count = recordings.merged(group, call, True, gradient, reduce)
        if program is None:
            return None
        theta = recordings.parameters.grown(theta)[:count]
        if reduce:
            sums: Array = program(inputs, theta, call.n)
            if not are_of_known_paths(sums):
                return None
            paths[0].sufficed = known
            return sums[:-1]
        part = program(inputs, theta, len(left))
        holds = part[-1] >= 0.0
        if gradient and has_nan(part):
            holds &= ~np.isnan(part).any(axis=0)
        if found is None:
            if holds.all():
                paths[0].sufficed = known
                return part[:-1]  # type: ignore[no-any-return]
            found = np.empty((len(part) - 1, call.n), part.dtype)
        found[:, left[holds]] = part[:-1, holds]
        left = left[~holds]
        if not len(left):
            paths[0].sufficed = known
            return found
        inputs = call.rows(left)
    return None


def _sorted_by_path(
    recordings: Recordings, paths: list[Path], call: Call, gradient: Any, theta: Array, together: bool = False
) -> tuple[dict[int, list[Array]] | None, Array]:
    """The samples of each path, by the number of the path; and theta, which is longer if a new path brought parameters.

    As long as that pays, one program of the known paths tells which path each sample takes. Of the samples that take none of
    them, one is recorded for each way in which the comparisons come out, and the next program knows their paths too. What is
    left then goes from path to path. If all samples may be run `together`, and the first path's comparisons have led to all
    other paths, so that these most likely suffice, there are None.
    """
    samples: dict[int, list[Array]] = {}
    left, known = np.arange(call.n), len(paths)
    found = dict[tuple[tuple[str, bool], ...], int]()  # paths by their decisions

    def met(row: int) -> bool:
        """Record the path of a sample; returns whether it is a new one."""
        with recordings.making:
            with recordings.parameters.holding(theta):
                path = recordings.record(call, row, gradient)
            found.update((paths[i].decisions, i) for i in range(len(found), len(paths)))
            if new := path.decisions not in found:
                _add(recordings, paths, path, bool(gradient))
                found[path.decisions] = len(paths) - 1
            samples.setdefault(found[path.decisions], []).append(np.array([row]))
            return new

    odd = left[:0]  # samples that compare a nan
    while len(left) and (known == 1 or len(worth_merging(paths)) == known or len(paths) > known):
        among = paths[:]
        program, count = recordings.merged(among, call, False)
        if program is None:
            break
        outputs = program(call.rows(left), recordings.parameters.grown(theta)[:count], len(left))
        numbers, compared = outputs[0], outputs[1:]
        for i in np.unique(numbers[numbers >= 0.0]).astype(int).tolist():
            samples.setdefault(i, []).append(left[numbers == i])
        odd, new = np.append(odd, left[np.isnan(numbers)]), numbers < 0.0
        left, likely = _different_first(left[new], compared[:, new])
        again = 0  # how many of the samples recorded now took a path that was known already
        for tried, row in enumerate(left[: max(likely, len(among))].tolist(), 1):
            again += not met(row)
            if 2 * again > tried + 1:
                break
        else:
            tried = min(len(left), max(likely, len(among)))
        left = left[tried:]
        if together and len(among) == 1 and len(left) and tried >= likely and not again and call.n > len(paths):
            return None, recordings.parameters.grown(theta)
    left = np.sort(np.append(odd, left))
    k = 0
    while len(left):
        if k == len(paths):
            met(int(left[0]))
            left = left[1:]
            continue
        holds = _taking(recordings, paths[k], call, left, theta)
        if holds.any():
            samples.setdefault(k, []).append(left[holds])
        left = left[~holds]
        k += 1
    if len(paths) == known:
        paths[0].sufficed = known
    return samples, recordings.parameters.grown(theta)


def _different_first(rows: Array, compared: Array) -> tuple[Array, int]:
    """Some samples in another order: first one for each way in which their comparisons come out; and how many these are."""
    first = np.sort(np.unique(compared, axis=1, return_index=True)[1])
    return np.concatenate([rows[first], np.delete(rows, first)]), len(first)


def _taking(recordings: Recordings, path: Path, call: Call, rows: Array, theta: Array) -> Array:
    """Which of some samples take a path.

    A comparison may need a function of the user's that raises for some samples. These count as taking another path: they may
    have decided an earlier comparison otherwise. If they have not, their own path raises the same error.
    """
    compared = recordings.program(path, call, False, guards=True)
    try:
        pairs = compared(call.rows(rows), path.own(recordings.parameters.grown(theta)), len(rows))
    except Exception:
        if len(rows) == 1:
            return np.zeros(1, bool)
        return np.concatenate([_taking(recordings, path, call, half, theta) for half in np.array_split(rows, 2)])
    return _decided(path, pairs)


def _decided(path: Path, pairs: Array) -> Array:
    """Which samples decide all comparisons of a path as it does; `pairs` has two rows of operands for each comparison."""
    if path.compared is None:  # one comparison of arrays for each kind
        kinds = dict.fromkeys(g.name for g in path.tape.guards)
        guards = [(name, [(i, g.result) for i, g in enumerate(path.tape.guards) if g.name == name]) for name in kinds]
        groups = [(_COMPARE[name], *np.array(found).T[:, :, None]) for name, found in guards]
        groups = [(compare, 2 * places[:, 0], results != 0) for compare, places, results in groups]
        path.compared = groups
    holds = np.ones(pairs.shape[1], bool)
    for compare, places, results in path.compared:
        holds &= (compare(pairs[places], pairs[places + 1]) == results).all(axis=0)
    return holds


def _add(recordings: Recordings, paths: list[Path], path: Path, gradient: bool) -> None:
    """Keep one more path; RuntimeError if there are too many, TypeError if it returns another structure than the others."""
    asked = len(paths) in (PATHS, 8 * PATHS, MOST)  # to ask takes as long as to record the paths
    if asked and (len(paths) >= MOST or recordings.one_tape(paths, True, gradient, len(recordings.parameters)) is None):
        lines = [a[0] for a, b in zip(path.decisions, paths[-1].decisions, strict=False) if a != b]
        where = lines[0] if lines else path.decisions[-1][0]
        raise RuntimeError(
            f"{recordings.owner!r} took more than {len(paths)} paths through comparisons of values, and one program of all of "
            f"them would be too much; the latest at {where}: "
            "make the choice part of the graph with where(condition, a, b), maximum, minimum or take"
        )
    if repr(path.out) != repr(paths[0].out):
        raise TypeError(f"{recordings.owner!r} returns different structures on different paths; return the same one on all")
    paths.append(path)
