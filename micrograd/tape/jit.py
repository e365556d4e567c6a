"""jit: a function on Values, recorded once for each structure of its arguments and replayed over arrays.

This is what a user calls. `f.backward(X, t)` goes from here to `calls`, which finds the recording that answers it
(`recordings`, or `branches` where the function compares values) and runs the program that a back end made of its tape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial, update_wrapper
from typing import Any, Generic, TypeVar, overload

import numpy as np

from micrograd.engine import Value
from micrograd.engine.modes import current, open_blocks
from micrograd.tape.back_ends import back_end
from micrograd.tape.calling.blocks import any_on_disk, in_blocks
from micrograd.tape.calling.calls import Calls, over_chunks
from micrograd.tape.calling.nodes import Nodes
from micrograd.tape.decorator import Decorator
from micrograd.tape.recording.arguments import Chunked
from micrograd.tape.recording.parameters import Array, Parameters
from micrograd.tape.recording.results import count_of, filled, with_gradients
from micrograd.tape.recording.watch import places_of, values_at
from micrograd.tape.training import Training
from micrograd.trees import plain_arrays

R = TypeVar("R")


@overload
def jit(
    fn: Callable[..., R],
    wrt: Iterable[Value] | None = None,
    backend: str | None = None,
    dtype: Any = np.float64,
    precision: str = "fast",
    threads: int | None = None,
) -> Jitted[R]: ...
@overload
def jit(
    fn: None = None,
    wrt: Iterable[Value] | None = None,
    backend: str | None = None,
    dtype: Any = np.float64,
    precision: str = "fast",
    threads: int | None = None,
) -> Callable[[Callable[..., R]], Jitted[R]]: ...
def jit(
    fn: Callable[..., Any] | None = None,
    wrt: Iterable[Value] | None = None,
    backend: str | None = None,
    dtype: Any = np.float64,
    precision: str = "fast",
    threads: int | None = None,
) -> Any:
    """`fn` compiled: a callable that records `fn` on Values once and replays it over arrays.

    What `fn` closes over stays live: the leaves it uses are its parameters, read at every call, in the order of their
    first use, or as listed in `wrt`. Arguments, also by name, are numbers, arrays, and lists, tuples, dicts and dataclasses
    of them; an integer is an open index for take(), a bool, a string or None part of the structure. `backend` is "numpy",
    "llvm" or "reference"; `dtype` float64 or float32.

    With `precision="exact"`, results have the bits of the reference back end. With "fast", compiled code may round a product
    and its sum once instead of twice, use elementary functions for vectors, within 4 units in the last place, multiply a term
    that all samples share by their number instead of adding it for each, and add in another order: long sums, sums over
    samples, and contributions to a derivative.

    Numbers and Values that `fn` reads from its surroundings are watched: in globals, closures, defaults and attributes, and in
    the lists, dicts and arrays there. This covers what the code of `fn` reads, that of the functions it names, and that of
    methods that operators call, also by getattr() and vars(). When something has changed, the next call records again. Of an
    array of more than 32 KiB some 128 entries are compared, evenly spaced: enough to notice that it was filled anew, but not
    that one entry was set. A call that takes theta, or is a step of training, looks into lists of numbers; into other
    containers of numbers only if these have no more than 16 entries together. At most 10,000 objects are watched. What cannot
    be watched stays as it was recorded: random numbers, the time, files, context variables, what eval() and globals() find,
    what C code holds, and what `fn` has another thread read.

    Compiled code shares large calls among `threads`: as many as the variable OMP_NUM_THREADS says, or else as the process may
    use. The results do not depend on their number. Several threads may call one compiled function at the same time.

    Machine code is kept between processes, in `~/.cache/micrograd` or where the variable MICROGRAD_CACHE says ("off": nowhere).

    As a decorator, `@jit` or with options `@jit(backend="numpy")`, it takes methods too: each object gets a compiled function
    of its own. For a class method each class does; write `@jit` above `@classmethod`, or it can only be called.

    >>> from micrograd import Value
    >>> w = Value(3.0)
    >>> f = jit(lambda x: w * x, backend="numpy")
    >>> f(2.0), f.map([1.0, 2.0]).tolist()
    (6.0, [3.0, 6.0])
    """
    if fn is None:
        return partial(jit, wrt=wrt, backend=backend, dtype=dtype, precision=precision, threads=threads)
    return Jitted(fn, wrt, backend, dtype, precision, threads)


class Jitted(Decorator, Generic[R]):
    """What `jit` returns; see there."""

    def __init__(
        self,
        fn: Callable[..., Any],
        wrt: Iterable[Value] | None,
        backend: str | None,
        dtype: Any,
        precision: str = "fast",
        threads: int | None = None,
    ):
        of_class = isinstance(fn, classmethod)
        fn = fn.__func__ if isinstance(fn, classmethod) else fn
        if not callable(fn):
            raise TypeError(f"jit needs a function, got {type(fn).__name__} {fn!r}")
        try:
            self.dtype = np.dtype(dtype)
        except TypeError:
            raise TypeError(f"dtype must be float64 or float32, got {dtype!r:.60}") from None
        self.fn, self.backend, self.precision = fn, backend, precision
        update_wrapper(self, fn, updated=())
        super().__init__(of_class)
        if self.dtype not in (np.float64, np.float32):
            raise TypeError(f"dtype must be float64 or float32, got {self.dtype}")
        self._parameters = Parameters(wrt, self.dtype)
        self.threads = threads
        self._calls = Calls(fn, self._parameters, back_end(backend, precision, threads), self)
        self.recorded = self._calls.recordings.kept
        self._nodes = Nodes(self._calls.recordings, (backend, self.dtype, precision, threads))

    def options(self) -> tuple[Any, ...]:
        return self._parameters.listed, self.backend, self.dtype, self.precision, self.threads

    def __getstate__(self) -> Any:
        """The order of theta so far: where the function holds each parameter; None if `wrt` says it, or one is not held."""
        return None if self.wrt is not None else places_of(self.fn, self._parameters.values)

    def __setstate__(self, order: list[int]) -> None:
        self._parameters.later = lambda: values_at(self.fn, order)  # later: an object that holds this may not be complete yet

    @property
    def wrt(self) -> list[Value] | None:
        """The leaves that were listed when this was made."""
        return self._parameters.listed

    @overload
    def __call__(self, x: Value | Sequence[Value], /, *args: Any, **named: Any) -> R: ...
    @overload
    def __call__(self: Jitted[Value], *args: Any, theta: Any = None, **named: Any) -> float: ...
    @overload
    def __call__(self, *args: Any, theta: Any = None, **named: Any) -> Any: ...
    def __call__(self, *args: Any, theta: Any = None, **named: Any) -> Any:
        """The function's results, as floats in the structure in which it returns them; at `theta`, if it is given.

        Called on Values, it gives Values: each result is one node of the graph, whose derivatives the compiled code computes
        in the same run. `opened` shows what is inside. While another function is recorded, this is the plain function.
        """
        if theta is None and not named and not open_blocks:
            for quick, _ in self._calls.quick:
                found = quick(args)
                if found is not None:
                    return found
        if self._nodes.quick and theta is None and not named:
            found = self._nodes.called_again(args)
            if found is not None:
                return found
        if (method := self.bound_to(args)) is not None:
            return method(*args[1:], theta=theta, **named)
        found = None if current().observer is not None else self._calls.one(args, named, self._given(theta))
        if found is None:
            if theta is not None:
                raise TypeError(f"{self!r} takes theta only beside plain numbers: beside Values, leave it out")
            return self._nodes.called(args, named)
        return found

    def map(
        self, *args: Any, in_axes: Any = 0, theta: Any = None, out: Any = None, progress: bool = False, **named: Any
    ) -> Any:
        """The function over the leading axis of its arguments: in the place of each number it returns, an array.

        `in_axes` is the axis of the samples, or None ("the same for all"), for all arguments, or a sequence with one of these
        for each. A list of numbers that the function returns becomes an array of shape (samples, length). Arguments by name
        have their samples along the same axis as the others, or along the first if `in_axes` is a sequence. `theta` replaces
        the numbers that the parameters hold. `out`, an array or a structure of arrays, takes the results and is returned.

        Arguments that lie on a disk (np.memmap, Zarr) are read, and `out` is written, in blocks of some 32 MB. With `progress`
        every call goes in blocks, and shows a progress bar if tqdm is installed. If an argument is a Dask array, or columns of
        a Dask data frame, the results are Dask arrays of the same chunks.
        """
        if (
            (quick := self._calls.mapped) is not None
            and theta is None
            and out is None
            and not (progress or named or open_blocks)
        ):
            found = quick(args, in_axes)
            if found is not None:
                return found
        given = self._given(theta)
        try:
            if out is None and not progress and not any_on_disk(args, named):
                return self._mapped(args, named, in_axes, given)
            run = lambda args, named: self._mapped(args, named, in_axes, given)  # noqa: E731
            return in_blocks(run, args, named, in_axes, out, progress)
        except Chunked:
            pass
        return over_chunks().mapped(self._calls, args, named, in_axes, given, out, progress)

    def _mapped(self, args: Any, named: Any, in_axes: Any, theta: Array | None) -> Any:
        return filled(*self._calls.many(args, named, in_axes, theta))

    def _given(self, theta: Any) -> Array | None:
        return None if theta is None else self._vector(theta)

    def _vector(self, theta: Any) -> Array:
        try:
            array = np.asarray(theta if isinstance(theta, (np.ndarray, list, tuple)) else plain_arrays(theta, "theta"))
            if array.dtype.kind not in "fiubO":
                raise TypeError(f"got {array.dtype}")
            return array.astype(self.dtype, copy=False)
        except (TypeError, ValueError) as error:
            raise type(error)(f"theta must be a flat vector of the parameters' numbers: {error}") from None

    @overload
    def value_and_grad(
        self: Jitted[Value], theta: Any, *args: Any, reduction: str = "mean", in_axes: Any = 0, **named: Any
    ) -> tuple[float, Array]: ...
    @overload
    def value_and_grad(
        self, theta: Any, *args: Any, reduction: str = "mean", in_axes: Any = 0, **named: Any
    ) -> tuple[Any, Any]: ...
    def value_and_grad(
        self, theta: Any, *args: Any, reduction: str = "mean", in_axes: Any = 0, **named: Any
    ) -> tuple[Any, Any]:
        """(value, gradient) at the parameters `theta`, one flat vector in the order of `parameters`.

        The value is the mean (or, with reduction="sum", the sum) over the samples of what the function returns; the samples lie
        along the leading axis of the arguments. If these are Dask arrays, so are value and gradient, for
        `dask.compute(value, gradient)`; with precision="exact" their bits are those for NumPy arrays.

        If the function returns several numbers, value and gradient have the structure of what it returns, with the mean, or the
        gradient of the mean, in the place of each: a list of k numbers gives arrays of shape (k,) and (k, parameters).

        >>> from micrograd import Value, jit
        >>> w = Value(3.0)
        >>> f = jit(lambda x: [w * x, w * w * x], backend="numpy")
        >>> value, gradient = f.value_and_grad([3.0], [1.0, 2.0])
        >>> value.tolist(), gradient.tolist()
        ([4.5, 13.5], [[1.5], [9.0]])
        """
        if theta.__class__ is not np.ndarray or theta.dtype is not self.dtype:
            theta = self._vector(theta)
        latest, total = self._calls.latest, None
        if latest is not None:
            total = latest.run(theta, args, named, reduction, in_axes)
            if total is not None and not latest.many:
                return total.item(0), total[1:]
            out = latest.out
        if total is None:
            try:
                out, total = self._calls.reduced_each(theta, args, named, reduction, in_axes)
            except Chunked:
                return over_chunks().value_and_grad(self._calls, theta, args, named, reduction, in_axes)  # type: ignore[no-any-return]
        if len(total) == 1 + len(theta):
            return float(total[0]), total[1:]
        if (now := len(total) // count_of(out) - 1) != len(theta):
            raise ValueError(
                f"theta has {len(theta)} numbers, and these samples took a path with new parameters, now {now}: "
                "list the parameters in wrt where not all are used on every path"
            )
        return with_gradients(out, total, now, float)

    def backward(self, *args: Any, reduction: str = "mean", in_axes: Any = 0, **named: Any) -> float:
        """The mean (or sum) over the samples of what the function returns; adds its gradient to the parameters' `.grad`."""
        total = self._calls.again(None, args, named, reduction, in_axes)
        if total is None:
            total = self._calls.reduced_now(None, args, named, reduction, in_axes)
        numbers = iter(total.tolist())
        loss: float = next(numbers)
        self._parameters.add(numbers)
        return loss

    def training(self, optimiser: Any, reduction: str = "mean", in_axes: Any = 0) -> Training:
        """A block in which parameters and the optimiser's state live in flat arrays.

            with f.training(SGD(model.parameters(), lr=0.1)) as step:
                for X, y in batches:
                    loss = step(X, y)

        At its end, or at step.sync(), they are written back to the Values and the optimiser. Compiled functions called inside
        the block see the new parameters; code that reads the Values themselves still sees the old ones.
        """
        return Training(self._calls, optimiser, reduction, in_axes)

    @property
    def parameters(self) -> list[Value]:
        """The leaves that the function uses, in the order of theta; known once it has been recorded, or listed in `wrt`."""
        self._parameters.restore_order()
        return list(self._parameters.values)

    def theta(self) -> Array:
        """What the parameters hold now, as one flat vector."""
        return self._parameters.theta()

    def schedule(self, *args: Any, in_axes: Any = 0, gradient: bool = False, **named: Any) -> str:
        """The array program for arguments like these, as text: what the scheduler found in the scalar graph."""
        return self._calls.schedule(args, named, in_axes, gradient)
