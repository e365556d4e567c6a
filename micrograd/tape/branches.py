"""Branches: each sample of a call runs on the tape of the path that its own comparisons decide.

`recordings` comes before, and keeps the paths met so far. Here their guards are evaluated, samples that decide otherwise go
on to the next path, and one that no path fits is recorded.
"""

from __future__ import annotations

import numpy as np

from micrograd.tape.arguments import Call
from micrograd.tape.parameters import Array
from micrograd.tape.recordings import Path, Recordings

PATHS = 64  # paths through branches that one structure may take
_COMPARE = {
    "__lt__": np.less, "__le__": np.less_equal, "__gt__": np.greater, "__ge__": np.greater_equal,
    "__eq__": np.equal, "__ne__": np.not_equal,
}  # fmt: skip


def run(recordings: Recordings, call: Call, gradient: bool, theta: Array, reduce: bool) -> Array:
    """The results of a function that compares values: each sample's of its own path."""
    paths, parameters = recordings.paths(call, gradient), recordings.parameters
    if not reduce and call.n and (results := _at_once(recordings, paths, call, theta)) is not None:
        return results
    samples, theta = _sorted_by_path(recordings, paths, call, gradient, theta)
    found: Array | None = None
    for i in sorted(samples, key=lambda i: paths[i].decisions):  # sums do not depend on which path was met first
        path, rows = paths[i], np.sort(np.concatenate(samples[i]))
        inputs = call.rows(rows)
        call.check_lookups(path.lookups, inputs)
        part = recordings.program(path, call, reduce)(inputs, path.own(theta), len(rows))
        part = path.spread(part, len(parameters)) if gradient else part
        if reduce:
            found = part if found is None else found + part
        else:
            if found is None:
                found = np.zeros((len(part), call.n), part.dtype)
            found[:, rows] = part
    if found is None:
        count = 1 + len(parameters) if gradient else len(paths[0].tape.outputs)
        found = np.zeros((count, *(() if reduce else (0,))), parameters.dtype)
    return found


def _at_once(recordings: Recordings, paths: list[Path], call: Call, theta: Array) -> Array | None:
    """The results of all samples, where the paths known suffice: a program for each that gives results and decisions.

    Samples that decide otherwise go on to the next path. None where one is met that no path fits.
    """
    found: Array | None = None
    left, inputs = np.arange(call.n), call.inputs
    for path in paths[:]:
        deciding = None if path.lookups else recordings.deciding(path, call)
        if deciding is None:
            return None
        program, count = deciding
        part = program(inputs, path.own(theta), len(left))
        holds = part[-1] == count
        if found is None:
            found = np.empty((len(part) - 1, call.n), part.dtype)
        if holds.all():
            found[:, left] = part[:-1]
            return found
        found[:, left[holds]] = part[:-1, holds]
        left = left[~holds]
        inputs = call.rows(left)
    return None


def _sorted_by_path(
    recordings: Recordings, paths: list[Path], call: Call, gradient: bool, theta: Array
) -> tuple[dict[int, list[Array]], Array]:
    """The samples of each path by its number; theta, longer where a path met now has brought parameters."""
    samples: dict[int, list[Array]] = {}
    left = np.arange(call.n)
    k = 0
    while len(left):
        forced = False
        if k == len(paths):
            with recordings.making:
                if k < len(paths):
                    continue  # another thread has met one meanwhile
                with recordings.parameters.holding(theta):
                    path = recordings.record(call, int(left[0]), gradient)
                same = [i for i, p in enumerate(paths) if p.decisions == path.decisions]
                if not same:
                    _add(recordings, paths, path)
            if same:  # decided differently by rounding alone
                samples.setdefault(same[0], []).append(left[:1])
                left = left[1:]
                continue
            forced = True
        path = paths[k]
        theta = recordings.parameters.grown(theta)
        pairs = recordings.program(path, call, False, guards=True)(call.rows(left), path.own(theta), len(left))
        holds = _decided(path, pairs)
        if forced:
            holds[0] = True
        if holds.any():
            samples.setdefault(k, []).append(left[holds])
        left = left[~holds]
        k += 1
    return samples, theta


def _decided(path: Path, pairs: Array) -> Array:
    """Which samples decide all comparisons of a path as it does; `pairs` are what it compares, two rows for each."""
    groups = path.programs.get("guards")
    if groups is None:  # one comparison of arrays for each kind
        kinds = dict.fromkeys(g.name for g in path.tape.guards)
        guards = [(name, [(i, g.result) for i, g in enumerate(path.tape.guards) if g.name == name]) for name in kinds]
        groups = [(_COMPARE[name], *np.array(found).T[:, :, None]) for name, found in guards]
        groups = [(compare, 2 * places[:, 0], results != 0) for compare, places, results in groups]
        path.programs["guards"] = groups
    holds = np.ones(pairs.shape[1], bool)
    for compare, places, results in groups:
        holds &= (compare(pairs[places], pairs[places + 1]) == results).all(axis=0)
    return holds


def _add(recordings: Recordings, paths: list[Path], path: Path) -> None:
    """Keep one more path; RuntimeError where there are too many, TypeError where it returns another structure."""
    if len(paths) == PATHS:
        lines = [a[0] for a, b in zip(path.decisions, paths[-1].decisions, strict=False) if a != b]
        where = lines[0] if lines else path.decisions[-1][0]
        raise RuntimeError(
            f"{recordings.owner!r} took more than {PATHS} paths through comparisons of values, the latest at {where}: "
            "make the choice part of the graph with where(condition, a, b), maximum, minimum or take"
        )
    if repr(path.out) != repr(paths[0].out):
        raise TypeError(f"{recordings.owner!r} returns different structures on different paths; return the same one on all")
    paths.append(path)
