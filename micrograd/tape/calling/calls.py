"""From a call to its program: which recording answers it, at which theta, and what its results are.

`jit` comes before: it is what a user calls. A call just like the latest goes straight to its program (`latest_call`). Any
other is taken apart (`arguments`), recorded if its structure is new (`recordings`), and run. If the function compares values,
each sample runs on the tape of its own path (`branches`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from micrograd.elementwise import one_of
from micrograd.engine import Value, adjoints, as_values
from micrograd.engine.modes import current
from micrograd.tape.back_ends import BackEnd
from micrograd.tape.calling import blocks, branches, latest_call, routes
from micrograd.tape.recording.arguments import Call, Chunked, ValueAmong, axes_of
from micrograd.tape.recording.parameters import Array, Parameters
from micrograd.tape.recording.recordings import EACH, Path, Recordings
from micrograd.tape.recording.results import arrays_of, numbers_of, reader


def over_chunks() -> Any:
    """The package for calls over Dask collections; ImportError, which says what to install, if Dask is missing."""
    return import_module("micrograd.scale")


class Calls:
    """All calls of one function. `owner` is what messages call it."""

    def __init__(self, fn: Callable[..., Any], parameters: Parameters, back_end: BackEnd, owner: Any):
        self.fn, self.parameters, self.owner = fn, parameters, owner
        self.recordings = Recordings(fn, parameters, back_end, owner)
        self.sent: dict[Any, Any] = {}  # for `scale`: what it has sent to workers
        # short ways for calls like the latest ones; other threads may be reading these, so each is replaced and never changed
        self.quick: tuple[tuple[latest_call.OfOne, Any], ...] = ()  # of evaluations, each with the structure of its arguments
        self.latest: latest_call.OfSums | None = None  # of a reduced call
        self.mapped: latest_call.OfMap | None = None  # of a map

    def refuse_inside(self, what: str) -> None:
        """TypeError while another function is recorded."""
        if current().observer is not None:
            raise TypeError(
                f"{self.owner!r}: {what} gives numbers, and another function is being recorded, whose tape would keep those of "
                "this one run: call the function itself on Values"
            )

    def renew(self, held: bool = True) -> None:
        """Forget all recordings if something outside the arguments has changed; `held` as in `Recordings.current`."""
        self.parameters.restore_order()
        if not self.recordings.current(held):
            with self.recordings.making:
                if self.recordings.outdated():
                    self.quick, self.latest, self.mapped = (), None, None

    def _keep(self, since: int, **ways: Any) -> None:
        """Keep short ways, unless another thread has forgotten the recordings they use: `forgotten` was `since` before."""
        with self.recordings.making:
            if since == self.recordings.forgotten:
                vars(self).update(ways)

    def one(self, args: Sequence[Any], named: Mapping[str, Any], theta: Array | None = None) -> Any:
        """The results of one evaluation; None if a Value is among the arguments."""
        self.renew()
        since = self.recordings.forgotten
        try:
            call = Call(args, [None] * (len(args) + 1), named)
        except ValueAmong:
            return None
        path, route, results = self._along(routes.of_one, call, False, theta)
        if results is None:
            found = self._run(call, False, theta, False)[:, 0]
            results = reader(path.out)(found.astype(np.float64, copy=False))
        if route is not None and not named and theta is None:
            quick = latest_call.of_one(self.recordings, args, path, route)
            if quick is not None:
                others = [x for x in self.quick if x[1] != call.key]
                self._keep(since, quick=((quick, call.key), *others[: latest_call.KEPT - 1]))
        return results

    def many(
        self, args: Sequence[Any], named: Mapping[str, Any], in_axes: Any, theta: Array | None = None
    ) -> tuple[Any, list[Array]]:
        """The structure of the results, and in order one array over the samples for each number, list or array in it."""
        self.refuse_inside("map")
        self.renew()
        since = self.recordings.forgotten
        call = Call(args, axes := axes_of(in_axes, args, named), named)
        path, route, arrays = self._along(routes.of_map, call, False, theta)
        if arrays is None:
            arrays = arrays_of(path.out, call.n, self._run(call, False, theta, False))
        if route is not None and not named:
            self._keep(since, mapped=latest_call.of_map(self.recordings, args, in_axes, axes, path, route) or self.mapped)
        return path.out, arrays

    def reduced_each(
        self,
        theta: Array | None,
        args: Sequence[Any],
        named: Mapping[str, Any],
        reduction: str,
        in_axes: Any,
        gradient: Any = EACH,
    ) -> tuple[Any, Array]:
        """The structure of the results, and the means or sums of their values and then of their gradients.

        They are taken at `theta`, or, if that is None, at what the parameters hold.
        """
        self.refuse_inside("a gradient of it")
        if blocks.any_on_disk(args, named):
            return self._in_blocks(theta, args, named, reduction, in_axes, gradient)
        self.renew(held=theta is None)
        since = self.recordings.forgotten
        call = Call(args, axes := axes_of(in_axes, args, named), named)
        path, route, total = self._along(routes.of_sums, call, gradient, theta, is_mean(reduction, call.n))
        if total is None:
            total = self._run(call, gradient, theta, True)
            averaged(total, reduction, call.n)
        if route is not None and not named:
            self._keep(since, latest=latest_call.of_sums(self.recordings, args, in_axes, axes, path, route) or self.latest)
        return path.out, total

    def again(
        self, theta: Array | None, args: Sequence[Any], named: Mapping[str, Any], reduction: str, in_axes: Any
    ) -> Array | None:
        """What `reduced_now` gives, if this is a call just like the latest; None if it is another."""
        latest = self.latest
        return None if latest is None or latest.many else latest.run(theta, args, named, reduction, in_axes)

    def _in_blocks(
        self, theta: Array | None, args: Sequence[Any], named: Mapping[str, Any], reduction: str, in_axes: Any, gradient: Any
    ) -> tuple[Any, Array]:
        """As `reduced_each`, over arrays that lie on a disk."""
        averaged(np.zeros(1), reduction, 1)  # raises if there is no such reduction

        def run(args: Any, named: Any) -> tuple[Any, Array]:
            now = None if theta is None else self.parameters.grown(theta)  # an earlier block may have brought new parameters
            return self.reduced_each(now, args, named, "sum", in_axes, gradient)

        def unit(args: Any, named: Any) -> int:
            _, paths = self.recorded(args, named, in_axes, gradient, theta is None)
            if theta is not None:
                self.parameters.checked(theta)
            return branches.unit(self.recordings, paths)

        out, total, n = blocks.summed(run, unit, args, named, in_axes)
        averaged(total, reduction, n)
        return out, total

    def reduced_now(
        self, theta: Array | None, args: Sequence[Any], named: Mapping[str, Any], reduction: str, in_axes: Any
    ) -> Array:
        """The mean or sum of the one value and its gradient, as numbers also for Dask collections."""
        try:
            return self.reduced_each(theta, args, named, reduction, in_axes, True)[1]
        except Chunked:
            pass
        found: Array = over_chunks().reduced_now(self, theta, args, named, reduction, in_axes)
        return found

    def prepared(self, args: Sequence[Any], named: Mapping[str, Any], in_axes: Any) -> None:
        """Record a reduced call like this, unless one has been recorded already."""
        try:
            if blocks.any_on_disk(args, named):
                args, named = blocks.first(args, named, in_axes)
            self.recorded(args, named, in_axes, True, held=False)
            return
        except Chunked:
            pass
        over_chunks().recorded(self, args, named, in_axes, True, held=False)

    def recorded(
        self, args: Sequence[Any], named: Mapping[str, Any], in_axes: Any, gradient: Any, held: bool = True
    ) -> tuple[Call, list[Path]]:
        """A call taken apart, and the paths known for its structure; `held` as in `Recordings.current`."""
        self.renew(held)
        call = Call(args, axes_of(in_axes, args, named), named)
        return call, self.recordings.paths(call, gradient)

    def schedule(self, args: Sequence[Any], named: Mapping[str, Any], in_axes: Any, gradient: bool) -> str:
        """The programs for arguments like these, as text."""
        call, paths = self.recorded(args, named, in_axes, gradient and EACH)
        return "\n".join(str(self.recordings.program(path, call, gradient)) for path in paths)

    def _along(self, find: routes.Find, call: Call, gradient: Any, theta: Array | None, *mean: bool) -> tuple[Path, Any, Any]:
        """The first path, a route if there is one, and the results if that leads to them."""
        paths = self.recordings.paths(call, gradient)
        route = find(self.recordings, call, paths)
        if route is None or current().anomaly:  # `_run` says where an operation is not finite
            return paths[0], route, None
        theta = self.parameters.theta() if theta is None else self.parameters.checked(theta)
        known = len(theta) == route.parameters
        return paths[0], route, route.run(call.inputs, theta, call.n, *mean) if known else None

    def _run(self, call: Call, gradient: Any, theta: Array | None, reduce: bool) -> Array:
        """The results: of shape (results, n), or with `reduce` their sums over samples.

        With `gradient`, the results are one value and its derivatives with respect to each of the parameters; if it is EACH,
        they are all values and then the derivatives of each.
        """
        path = self.recordings.paths(call, gradient)[0]
        if path.lookups and not path.tape.guards:
            call.check_lookups(path.lookups, call.inputs)
        theta = self.parameters.theta() if theta is None else self.parameters.checked(theta)
        if path.tape.guards or (path.asks and call.n == 1 and not reduce):  # for single samples, what `latest_call` takes too
            found = branches.run(self.recordings, call, gradient, theta, reduce)
        else:
            found = self.recordings.program(path, call, reduce)(call.inputs, path.own(theta), call.n)
            if gradient:
                found = path.spread(found, len(self.parameters))
        if current().anomaly and not np.isfinite(found).all():
            self._refuse(call, gradient, theta)
        return found

    def _refuse(self, call: Call, gradient: Any, theta: Array) -> None:
        """Run the function itself on each sample: raises FloatingPointError where an operation is not finite."""
        with self.parameters.holding(theta):
            for i in range(call.n):
                values = [x if isinstance(x, int) else Value(x) for x in call.sample(i)]
                out = as_values(numbers_of(call.applied(self.fn, values)))
                for value in out if gradient else ():
                    adjoints(value)
        raise FloatingPointError(
            f"{self.owner!r}: every operation is finite on every sample, but the sum over the samples, or the rounding of "
            "compiled code, is not"
        )


def averaged(total: Array, reduction: str, n: int) -> None:
    """Turn a sum over n samples into what `reduction` asks for, in place."""
    if is_mean(reduction, n) and n > 1:
        total /= n


def is_mean(reduction: str, n: int) -> bool:
    """Whether a mean is asked for, and not a sum; ValueError if it is neither, or if there are no samples to take a mean of."""
    if not one_of(reduction, ("mean", "sum")):
        raise ValueError(f"reduction must be 'mean' or 'sum', got {reduction!r}")
    if reduction == "mean" and n == 0:
        raise ValueError("the mean of zero samples is undefined: pass at least one, or reduction='sum'")
    return reduction == "mean"
