"""The latest call: what it has found out, so that one just like it goes straight to its program.

Half of a small function's time would go into taking its arguments apart again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import countOf, itemgetter
from struct import Struct
from typing import Any

import numpy as np

from micrograd.tape.arguments import Call, check_column
from micrograd.tape.back_ends import Direct
from micrograd.tape.branches import settled
from micrograd.tape.nonfinite import Gated
from micrograd.tape.parameters import Array, Parameters
from micrograd.tape.recordings import Path, Recordings
from micrograd.tape.results import Place, put_together, reader
from micrograd.tape.watch import Watch

_NOTHING, _REAL = np.zeros(0), np.dtype(np.float64)


@dataclass(frozen=True)
class OfArrays:
    """The latest reduced call that a program took as it stood: arrays of these types and shapes, samples first."""

    program: Direct
    gated: Gated | None  # whose first program that is, where results may be nan for the sake of what was not chosen
    signature: list[tuple[Any, tuple[int, ...]]]
    n: int
    count: int  # of parameters
    out: Any  # the structure of the results
    many: bool  # several of them
    lookups: list[tuple[int, int, int]]  # argument and column of an index, and the length of its table
    watch: Watch | None  # what has to be unchanged

    def fits(self, theta: Array | None, args: Sequence[Any], reduction: str, in_axes: Any, gradient: Any = True) -> bool:
        """Whether a call is just like this one; if not, it takes the long way, which tells what is wrong."""
        if in_axes.__class__ is not int or in_axes != 0 or len(args) != len(self.signature) or (self.many and gradient is True):
            return False
        if theta is not None and theta.shape != (self.count,):
            return False
        for x, (dtype, shape) in zip(args, self.signature):  # noqa: B905 (a small function's time is this loop's)
            if x.__class__ is not np.ndarray or x.shape != shape or x.dtype is not dtype:
                return False
        return reduction == "mean" or reduction == "sum"

    def current(self, parameters: Parameters, held: bool) -> bool:
        """Whether the recording still holds; `held` as in `Recordings.current`."""
        if self.count != len(parameters.values):
            return False
        watch = self.watch
        return watch is None or (watch.unchanged() if held else watch.directly_unchanged())

    def check_lookups(self, args: Sequence[Any]) -> None:
        """IndexError where an index lies outside its table."""
        for i, j, n in self.lookups:
            check_column(args[i].reshape(self.n, -1)[:, j], n)


@dataclass(frozen=True)
class OnArguments:
    """The latest single evaluation: on arrays of these types and shapes, lists and tuples of so many floats, and floats."""

    program: Direct
    signature: list[tuple[Any, Any, Any]]  # class; type and shape of an array, or what packs floats and how many
    count: int  # of parameters
    finish: Callable[[Array], Any]  # puts the results together
    compares: bool  # the last output then says whether these are the results
    watch: Watch | None  # what has to be unchanged

    def run(self, parameters: Parameters, args: Sequence[Any]) -> Any:
        """The results of a call just like this one; None where it is another, or something has changed outside."""
        if len(args) != len(self.signature) or self.count != len(parameters.values):
            return None
        inputs = []
        for x, (cls, kind, size) in zip(args, self.signature):  # noqa: B905 (a small function's time is this loop's)
            if x.__class__ is not cls:
                return None
            if cls is np.ndarray:
                if x.shape != size or x.dtype is not kind:
                    return None
                inputs.append(x)
            elif cls is float:
                inputs.append(np.array(x))
            elif len(x) == size == countOf(map(type, x), float):
                inputs.append(np.frombuffer(kind(*x)))
            else:
                return None
        if self.watch is not None and not self.watch.unchanged():
            return None
        numbers = self.program(inputs, parameters.theta() if self.count else _NOTHING, 1)[:, 0]
        if self.compares and not numbers[-1] >= 0.0:
            return None
        return self.finish(numbers if numbers.dtype is _REAL else numbers.astype(np.float64))


def on_arguments(recordings: Recordings, call: Call, args: Sequence[Any], path: Path) -> OnArguments | None:
    """The quick way for the evaluation just made, where there is one."""
    if path.lookups or all(x.__class__ is float for x in args):
        return None
    program = _single(recordings, call, path)
    if program is None:
        return None
    signature: list[tuple[Any, Any, Any]] = []
    for x in args:
        if x.__class__ is np.ndarray and x.ndim and x.dtype.kind == "f":
            signature.append((np.ndarray, x.dtype, x.shape))
        elif x.__class__ is float:
            signature.append((float, None, None))
        elif (x.__class__ is list or x.__class__ is tuple) and x and countOf(map(type, x), float) == len(x):
            signature.append((x.__class__, Struct(f"{len(x)}d").pack, len(x)))
        else:
            return None
    count, compares = len(recordings.parameters), path.asks
    return OnArguments(program, signature, count, reader(path.out), compares, recordings.watch)


def _single(recordings: Recordings, call: Call, path: Path) -> Any:
    """The program for evaluations whose first path this is, on all parameters; None where it is not direct."""
    if recordings.back_end.make_direct is None:
        return None
    if path.asks:
        return recordings.merged(settled(recordings.kept.get((call.key, False), [path])), call, True)[0]
    return recordings.program(path, call, False) if path.uses_all(len(recordings.parameters)) else None


OfFloats = tuple[list[type], int, Callable[[list[float]], Any], Callable[..., list[float]], bool, Watch | None]
# for one call on plain floats: their types, how many parameters there are, what puts the results together, the program,
# whether its last output says that these are the results, as where there are comparisons, and what has to be unchanged


def of_arrays(recordings: Recordings, call: Call, args: Sequence[Any], in_axes: Any) -> OfArrays | None:
    """The quick way for the reduced call just made, where there is one."""
    path = recordings.straight(call, True)
    if path is None or recordings.back_end.make_direct is None:
        return None
    if in_axes != 0 or not call.n or any(x.__class__ is not np.ndarray for x in args):
        return None
    program: Any = recordings.program(path, call, True)
    lookups = [(*call.place(i), n) for i, n in path.lookups]
    signature, count = [(x.dtype, x.shape) for x in args], len(recordings.parameters)
    gated = program if isinstance(program, Gated) else None
    program = gated.program if gated else program
    return OfArrays(program, gated, signature, call.n, count, path.out, path.values > 1, lookups, recordings.watch)


def of_floats(recordings: Recordings, call: Call, args: Sequence[Any], path: Path) -> OfFloats | None:
    """The quick way for the call on plain floats just made, where there is one."""
    if not args or any(x.__class__ is not float for x in args):
        return None
    program, out, compares = _single(recordings, call, path), path.out, path.asks
    if program is None:
        return None
    if isinstance(out, Place):
        finish: Callable[[list[float]], Any] = itemgetter(out)
    elif type(out) is tuple and all(x.__class__ is Place for x in out) and [*out] == [Place(i) for i in range(len(out))]:
        finish = tuple if not compares else lambda numbers: tuple(numbers[:-1])
    else:
        array = lambda numbers, ids, shape: np.array([numbers[i] for i in ids]).reshape(shape)  # noqa: E731
        finish = lambda numbers: put_together(out, numbers.__getitem__, partial(array, numbers))  # noqa: E731
    return [float] * len(args), len(recordings.parameters), finish, program.single, compares, recordings.watch
