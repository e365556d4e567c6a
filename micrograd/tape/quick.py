"""Quick calls: what the latest call has found out, so that one just like it goes straight to its program.

Half of a small function's time would go into taking its arguments apart again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from micrograd.tape.arguments import Call, check_column
from micrograd.tape.back_ends import Direct, makes_direct
from micrograd.tape.parameters import Array
from micrograd.tape.recordings import Recordings
from micrograd.tape.results import Place, put_together


@dataclass(frozen=True)
class OfArrays:
    """The latest reduced call that a program took as it stood: arrays of these types and shapes, samples first."""

    program: Direct
    signature: list[tuple[Any, tuple[int, ...]]]
    n: int
    count: int  # of parameters
    lookups: list[tuple[int, int, int]]  # argument and column of an index, and the length of its table

    def fits(self, theta: Array | None, args: Sequence[Any], reduction: str, in_axes: Any) -> bool:
        """Whether a call is just like this one; if not, it takes the long way, which tells what is wrong."""
        if in_axes.__class__ is not int or in_axes != 0 or len(args) != len(self.signature):
            return False
        if theta is not None and theta.shape != (self.count,):
            return False
        for x, (dtype, shape) in zip(args, self.signature):  # noqa: B905 (a small function's time is this loop's)
            if x.__class__ is not np.ndarray or x.shape != shape or x.dtype is not dtype:
                return False
        return reduction == "mean" or reduction == "sum"

    def current(self, recordings: Recordings, held: bool) -> bool:
        """Whether the recording still holds; `held` as in `Recordings.current`."""
        return self.count == len(recordings.parameters.values) and recordings.current(held)

    def run(self, args: Sequence[Any], theta: Array, reduction: str) -> Array:
        """The value and the gradient."""
        for i, j, n in self.lookups:
            check_column(args[i].reshape(self.n, -1)[:, j], n)
        return self.program(args, theta, self.n, reduction == "mean")  # type: ignore[no-any-return]


@dataclass(frozen=True)
class OnArrays:
    """The latest single evaluation on arrays of these types and shapes."""

    program: Direct
    signature: list[tuple[Any, tuple[int, ...]]]
    count: int  # of parameters
    out: Any

    def run(self, recordings: Recordings, args: Sequence[Any]) -> Array | None:
        """The results of a call just like this one; None where it is another, or something has changed outside."""
        if len(args) != len(self.signature) or self.count != len(recordings.parameters.values):
            return None
        for x, (dtype, shape) in zip(args, self.signature):  # noqa: B905 (a small function's time is this loop's)
            if x.__class__ is not np.ndarray or x.shape != shape or x.dtype is not dtype:
                return None
        if not recordings.current():
            return None
        return self.program([x.reshape(-1) for x in args], recordings.parameters.theta(), 1)[:, 0]  # type: ignore[no-any-return]


def on_arrays(recordings: Recordings, call: Call, args: Sequence[Any], out: Any) -> OnArrays | None:
    """The quick way for the evaluation on arrays just made, where there is one."""
    if not args or any(x.__class__ is not np.ndarray or not x.ndim or x.dtype.kind != "f" for x in args):
        return None
    path = recordings.straight(call, False)
    if path is None or path.lookups or not makes_direct(recordings.maker):
        return None
    program: Any = recordings.program(path, call, False)
    return OnArrays(program, [(x.dtype, x.shape) for x in args], len(recordings.parameters), out)


OfFloats = tuple[list[type], int, Callable[[list[float]], Any], Callable[..., list[float]], int | None]
# for one call on plain floats: their types, how many parameters there are, what puts the results together, the program, and
# the number that is its last output where a path's comparisons are decided as it was recorded, None where there are none


def of_arrays(recordings: Recordings, call: Call, args: Sequence[Any], in_axes: Any) -> OfArrays | None:
    """The quick way for the reduced call just made, where there is one."""
    path = recordings.straight(call, True)
    if path is None or not makes_direct(recordings.maker):
        return None
    if in_axes != 0 or not call.n or any(x.__class__ is not np.ndarray for x in args):
        return None
    program: Any = recordings.program(path, call, True)
    lookups = [(*call.place(i), n) for i, n in path.lookups]
    return OfArrays(program, [(x.dtype, x.shape) for x in args], call.n, len(recordings.parameters), lookups)


def of_floats(recordings: Recordings, call: Call, args: Sequence[Any], out: Any) -> OfFloats | None:
    """The quick way for the call on plain floats just made, where there is one."""
    if not args or any(x.__class__ is not float for x in args) or not makes_direct(recordings.maker):
        return None
    paths = recordings.kept.get((call.key, False), ())
    if not paths or not paths[0].uses_all(len(recordings.parameters)):
        return None
    program: Any = None
    expected = None
    if paths[0].tape.guards:  # of several paths the first, which may be taken again
        program, expected = recordings.deciding(paths[0], call) or (None, None)
        if program is None:
            return None
    else:
        program = recordings.program(paths[0], call, False)
    if isinstance(out, Place):
        finish: Callable[[list[float]], Any] = itemgetter(out)
    elif type(out) is tuple and [*out] == [Place(i) for i in range(len(out))]:
        finish = tuple if expected is None else lambda numbers: tuple(numbers[:-1])
    else:
        array = lambda numbers, ids, shape: np.array([numbers[i] for i in ids]).reshape(shape)  # noqa: E731
        finish = lambda numbers: put_together(out, numbers.__getitem__, partial(array, numbers))  # noqa: E731
    return [float] * len(args), len(recordings.parameters), finish, program.single, expected
