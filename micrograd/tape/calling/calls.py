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

from micrograd.engine import Value, adjoints, as_values
from micrograd.engine.modes import current
from micrograd.tape.back_ends import BackEnd
from micrograd.tape.calling import blocks, branches, latest_call
from micrograd.tape.recording.arguments import Call, Chunked, ValueAmong, axes_of
from micrograd.tape.recording.parameters import Array, Parameters
from micrograd.tape.recording.recordings import EACH, Path, Recordings
from micrograd.tape.recording.results import arrays_of, numbers_of, reader, widths_of


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
        self.quick: dict[Any, latest_call.Evaluation] = {}  # of evaluations, by the structure of their arguments
        self.latest: latest_call.OfArrays | None = None  # of a reduced call
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
                    self.quick, self.latest, self.mapped = {}, None, None

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
        path, found = self._run(call, False, theta, False)
        if not named and theta is None:
            quick = latest_call.of_evaluation(self.recordings, call, args, path)
            if quick:
                others = [x for x in self.quick.items() if x[0] != call.key]
                self._keep(since, quick={call.key: quick, **dict(others[: latest_call.KEPT - 1])})
        return reader(path.out)(found[:, 0].astype(np.float64, copy=False))

    def many(
        self, args: Sequence[Any], named: Mapping[str, Any], in_axes: Any, theta: Array | None = None
    ) -> tuple[Any, list[Array]]:
        """The structure of the results, and in order one array over the samples for each number, list or array in it."""
        self.refuse_inside("map")
        self.renew()
        since = self.recordings.forgotten
        call = Call(args, axes_of(in_axes, args, named), named)
        grouped = None if current().anomaly else self._grouped(call, theta)
        if grouped is not None:
            out, arrays = grouped[0], arrays_of(grouped[0], call.n, None, grouped[1])
        else:
            path, found = self._run(call, False, theta, False)
            out, arrays = path.out, arrays_of(path.out, call.n, found)
        if not named:
            latest = latest_call.of_map(self.recordings, call, args, in_axes)
            if latest:
                self._keep(since, mapped=latest)
        return out, arrays

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
        call = Call(args, axes_of(in_axes, args, named), named)
        path, total = self._run(call, gradient, theta, True)
        averaged(total, reduction, call.n)
        if not named:
            latest = latest_call.of_arrays(self.recordings, call, args, in_axes)
            if latest:
                self._keep(since, latest=latest)
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

    def _run(self, call: Call, gradient: Any, theta: Array | None, reduce: bool) -> tuple[Path, Array]:
        """The first path, and the results: of shape (results, n), or with `reduce` their sums over samples.

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
        return path, found

    def _grouped(self, call: Call, theta: Array | None) -> tuple[Any, list[Array]] | None:
        """The structure of the results and one array for each part of it, if the back end writes these itself; else None."""
        if self.recordings.back_end.make_direct is None:
            return None
        path = self.recordings.paths(call, False)[0]
        if path.tape.guards:
            return None
        if path.lookups:
            call.check_lookups(path.lookups, call.inputs)
        widths = widths_of(path.out)
        if 0 in widths:
            return None
        program = self.recordings.grouped(path, call, widths)
        theta = self.parameters.theta() if theta is None else self.parameters.checked(theta)
        return path.out, program(call.inputs, path.own(theta), call.n)

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
    if reduction == "mean":
        if n == 0:
            raise ValueError("the mean of zero samples is undefined: pass at least one, or reduction='sum'")
        if n > 1:
            total /= n
    elif reduction != "sum":
        raise ValueError(f"reduction must be 'mean' or 'sum', got {reduction!r}")
