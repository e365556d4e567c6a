"""jit: a function on Values, recorded once for each structure of its arguments and replayed over arrays.

`record`, `passes` and a back end come before; this is what a user calls. It takes arguments apart into arrays of numbers,
finds or makes the tape for their structure, checks the comparisons that the recording decided, and puts results together.
"""

from __future__ import annotations

import copy
import gc
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, update_wrapper
from importlib import import_module
from importlib.util import find_spec
from numbers import Real
from operator import itemgetter
from types import MethodType
from typing import Any, overload

import numpy as np

from micrograd.engine import Value, adjoints, as_values
from micrograd.engine.modes import current, open_blocks
from micrograd.tape.passes import optimised, swept
from micrograd.tape.record import Recording, held_by
from micrograd.tape.tape import Tape

Array = np.ndarray[Any, Any]
Spec = Any  # a hashable description of the structure of an argument; see _taken_apart
_NOTHING = np.zeros(0)
STRUCTURES = 32  # structures of arguments whose tapes are kept, the latest ones
PATHS = 64  # paths through branches that one structure may take
BACK_ENDS = {
    "numpy": "micrograd.tape.back_ends.numpy",
    "reference": "micrograd.tape.back_ends.reference",
    "llvm": "micrograd.tape.back_ends.llvm.program",
}
_COMPARE = {
    "__lt__": np.less, "__le__": np.less_equal, "__gt__": np.greater, "__ge__": np.greater_equal,
    "__eq__": np.equal, "__ne__": np.not_equal,
}  # fmt: skip


@overload
def jit(
    fn: Callable[..., Any],
    wrt: Iterable[Value] | None = None,
    backend: str | None = None,
    dtype: Any = np.float64,
    precision: str = "fast",
) -> Jitted: ...
@overload
def jit(
    fn: None = None,
    wrt: Iterable[Value] | None = None,
    backend: str | None = None,
    dtype: Any = np.float64,
    precision: str = "fast",
) -> Callable[[Callable[..., Any]], Jitted]: ...
def jit(
    fn: Callable[..., Any] | None = None,
    wrt: Iterable[Value] | None = None,
    backend: str | None = None,
    dtype: Any = np.float64,
    precision: str = "fast",
) -> Any:
    """`fn` compiled: a callable that records `fn` on Values once and replays it over arrays.

    What `fn` closes over stays live: the leaves it uses are its parameters, read at every call, in the order of their
    first use, or as listed in `wrt`. Arguments are numbers, arrays, and lists, tuples and dicts of them; an integer is an
    open index for take(), a bool, a string or None part of the structure. `backend` is "numpy", "llvm" or "reference";
    `dtype` float64 or float32; `precision` "exact" for the bits of the reference back end, or "fast": compiled code may round
    a product and the sum that it goes into once instead of twice, and takes elementary functions for vectors, which are
    within 4 units in the last place. Numbers that `fn` reads anywhere but in its arguments and in Values are recorded as
    they are at its first call.

    As a decorator, `@jit` or with options `@jit(backend="numpy")`, it takes methods too: each object has a compiled one of
    its own.

    >>> from micrograd import Value
    >>> w = Value(3.0)
    >>> f = jit(lambda x: w * x, backend="numpy")
    >>> f(2.0), f.map([1.0, 2.0]).tolist()
    (6.0, [3.0, 6.0])
    """
    if fn is None:
        return partial(jit, wrt=wrt, backend=backend, dtype=dtype, precision=precision)
    return Jitted(fn, wrt, backend, dtype, precision)


def back_end(name: str | None, precision: str = "fast") -> Any:
    """What makes programs of tapes: the back end called `name`; where that is None, the fastest that works here."""
    if precision not in ("fast", "exact"):
        raise ValueError(f"precision must be 'fast' or 'exact', got {precision!r}")
    exact = precision == "exact"
    if name is None:
        compiled = bool(find_spec("llvmlite")) and not import_module(BACK_ENDS["llvm"]).trouble()
        name = "llvm" if compiled else "reference" if exact else "numpy"
    if name not in BACK_ENDS:
        raise ValueError(f"unknown back end {name!r}: use {', '.join(map(repr, BACK_ENDS))} or None for the fastest installed")
    if exact and name == "numpy":
        raise ValueError('the NumPy back end rounds in its own way: use backend="llvm" or "reference" for precision="exact"')
    module = import_module(BACK_ENDS[name])
    if name == "llvm":
        module.check()
    return partial(module.Program, exact=True) if exact and name == "llvm" else module.Program


@contextmanager
def _collector_paused() -> Iterator[None]:
    """No garbage collection inside: of the objects that a graph and its tape are made of none is garbage before the end.

    The collector would look through all of them again and again, which is half of the time of 100,000 operations.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


@contextmanager
def _holding(parameters: list[Value], theta: Array) -> Iterator[None]:
    """A block in which the parameters hold the numbers of `theta`."""
    before = [p.data for p in parameters]
    try:
        for p, x in zip(parameters, theta.tolist(), strict=True):
            p.data = x
        yield
    finally:
        for p, x in zip(parameters, before, strict=True):
            p.data = x


@dataclass
class Path:
    """One way through a function's branches, as a tape; programs are made of it when first needed."""

    tape: Tape
    leaves: list[int]  # the function's parameters that it uses, by number
    out: Any  # the structure of the results
    lookups: list[tuple[int, int]]  # the inputs that are indices, and the lengths of their tables
    programs: dict[Any, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.in_order = self.leaves == list(range(len(self.leaves)))

    def uses_all(self, count: int) -> bool:
        """Whether its leaves are the function's parameters, all `count` of them, in their order."""
        return self.in_order and len(self.leaves) == count

    def own(self, theta: Array) -> Array:
        """Its leaves' part of the parameters."""
        return theta if self.uses_all(len(theta)) else theta[self.leaves]

    @property
    def decisions(self) -> tuple[tuple[str, bool], ...]:
        return tuple((g.line, g.result) for g in self.tape.guards)


@dataclass(frozen=True)
class _Latest:
    """The latest call that a program can take as it stands: arrays of these types and shapes, samples along the first axis."""

    program: Any
    signature: list[tuple[Any, tuple[int, ...]]]
    n: int
    count: int  # of parameters

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

    def run(self, args: Sequence[Any], theta: Array, reduction: str) -> Array:
        """The value and the gradient."""
        return self.program(args, theta, self.n, reduction == "mean")  # type: ignore[no-any-return]


class Jitted:
    """What `jit` returns; see there."""

    def __init__(
        self, fn: Callable[..., Any], wrt: Iterable[Value] | None, backend: str | None, dtype: Any, precision: str = "fast"
    ):
        if not callable(fn):
            raise TypeError(f"jit needs a function, got {type(fn).__name__} {fn!r}")
        self.fn, self.backend, self.dtype, self.precision = fn, backend, np.dtype(dtype), precision
        update_wrapper(self, fn, updated=())
        if self.dtype not in (np.float64, np.float32):
            raise TypeError(f"dtype must be float64 or float32, got {self.dtype}")
        if hasattr(wrt, "parameters"):
            raise TypeError(f"wrt lists the parameters of a function, got {wrt!r}: pass its .parameters()")
        self.wrt = None if wrt is None else list(dict.fromkeys([wrt] if isinstance(wrt, Value) else wrt))
        for p in self.wrt or ():
            if not isinstance(p, Value) or p.rule is not None:
                raise TypeError(f"wrt lists the parameters of a function, which are leaves: Value(...), got {p!r}")
        self._program = back_end(backend, precision)
        self._method = getattr(fn, "__qualname__", "")  # what it is called in a class
        self._leaves: dict[Value, int] = {p: i for i, p in enumerate(self.wrt or ())}
        self._parameters = list(self._leaves)
        self.recorded: OrderedDict[Any, list[Path]] = OrderedDict()
        self._lock = threading.RLock()
        self._latest: _Latest | None = None
        self._quick: tuple[list[type], int, Callable[[list[float]], Any], Any] | None = None

    # -- what one calls

    def __call__(self, *args: Any) -> Any:
        """The function's results, as floats in the structure in which it returns them.

        Called on Values (inside another function that is recorded or differentiated), it is the function itself.
        """
        quick = self._quick
        if quick is not None and quick[0] == [*map(type, args)] and quick[1] == len(self._parameters) and not open_blocks:
            return quick[2](quick[3](args, self.theta() if quick[1] else _NOTHING))
        if current().observer is not None or any(_has_value(x) for x in args):
            return self.fn(*args)
        call = _Call(args, [None] * len(args))
        out, found = self._run(call, False, None, False)
        self._remember(call, args, out)
        numbers = found[:, 0].tolist()
        return _put_together(out, lambda i: numbers[i], lambda ids, shape: np.array([numbers[i] for i in ids]).reshape(shape))

    def map(self, *args: Any, in_axes: Any = 0) -> Any:
        """The function over the leading axis of its arguments: in the place of each number it returns, an array.

        `in_axes` is 0 or None ("the same for all") for all arguments, or a sequence with one of these for each. A list
        of numbers that the function returns becomes an array of shape (samples, length).
        """
        self._refuse_inside("map")
        call = _Call(args, _axes(in_axes, args))
        arrays = None if current().anomaly else self._grouped(call)
        if arrays is not None:
            out, parts = arrays
            rest = iter(parts)
            whole = lambda ids, shape: next(rest).reshape(call.n, *shape)  # noqa: E731
            return _put_together(out, lambda i: next(rest), whole, lists_are_arrays=True)
        out, found = self._run(call, False, None, False)
        stacked = lambda ids, shape: np.ascontiguousarray(found[ids].T).reshape(call.n, *shape)  # noqa: E731
        return _put_together(out, lambda i: found[i], stacked, lists_are_arrays=True)

    def value_and_grad(self, theta: Any, *args: Any, reduction: str = "mean", in_axes: Any = 0) -> tuple[float, Array]:
        """(value, gradient) at the parameters `theta`, one flat vector in the order of `parameters`.

        The mean (or, with reduction="sum", the sum) over the leading axis of the arguments of what the function returns.
        """
        theta = np.asarray(theta, self.dtype)
        total = self._reduced(theta, args, reduction, in_axes)
        if len(total) != 1 + len(theta):
            raise ValueError(
                f"theta has {len(theta)} numbers, and these samples took a path with new parameters, now {len(total) - 1}: "
                "list the parameters in wrt where not all are used on every path"
            )
        return float(total[0]), total[1:]

    def backward(self, *args: Any, reduction: str = "mean", in_axes: Any = 0) -> float:
        """The mean (or sum) over the samples; adds its gradient into `.grad` of the parameters."""
        loss, *gradient = self._reduced(None, args, reduction, in_axes).tolist()
        for p, g in zip(self._parameters, gradient, strict=True):
            try:
                p._grad += g  # the slot behind .grad, which is empty at first: this loop is most of the time of small networks
            except AttributeError:
                p._grad = g
        return loss  # type: ignore[no-any-return]

    def training(self, optimiser: Any, reduction: str = "mean", in_axes: Any = 0) -> Training:
        """A block in which parameters and the optimiser's state live in flat arrays.

            with f.training(SGD(model.parameters(), lr=0.1)) as step:
                for X, y in batches:
                    loss = step(X, y)

        At its end, or at step.sync(), they are written back to the Values and the optimiser. Compiled functions that are
        called inside see the parameters as they are; what reads the Values themselves sees them as they were.
        """
        return Training(self, optimiser, reduction, in_axes)

    @property
    def parameters(self) -> list[Value]:
        """The leaves that the function uses, in the order of theta; known once it has been recorded, or listed in `wrt`."""
        return list(self._parameters)

    def theta(self) -> Array:
        """What the parameters hold now, as one flat vector."""
        for block in _blocks:
            block.write_data()
        return self.held()

    def held(self) -> Array:
        """What the parameters' Values hold: `theta`, but inside a block of training without what was learnt there."""
        return np.fromiter([p.data for p in self._parameters], self.dtype, len(self._parameters))

    def schedule(self, *args: Any, in_axes: Any = 0, gradient: bool = False) -> str:
        """The array program for arguments like these, as text: what the scheduler found in the scalar graph."""
        call = _Call(args, _axes(in_axes, args))
        paths = self._paths_for(call, gradient)
        return "\n".join(str(self._compiled(path, call, gradient)) for path in paths)

    def __set_name__(self, owner: type, name: str) -> None:
        self._method = f"{owner.__qualname__}.{name}"

    def __get__(self, instance: Any, owner: Any = None) -> Jitted:
        """Where a method is compiled: the function for one object, which is kept among that object's attributes."""
        if instance is None or isinstance(self.fn, staticmethod):
            return self
        if not hasattr(instance, "__dict__"):
            raise TypeError(
                f"{type(instance).__name__} has __slots__ and no place for its own {self!r}: add '__dict__' to them"
            )
        kept, name = instance.__dict__, f"jit({self._method})"
        found = kept.get(name)
        if found is None or found.fn.__func__ is not self.fn or found.fn.__self__ is not instance:
            found = Jitted(MethodType(self.fn, instance), self.wrt, self.backend, self.dtype, self.precision)
            found._method = self._method
            if isinstance(instance, type):  # of a class method
                setattr(instance, name, found)
            else:
                kept[name] = found
        return found  # type: ignore[no-any-return]

    def __reduce__(self) -> Any:
        fn, name = self.fn, self._method.rpartition(".")[2]
        if isinstance(fn, MethodType) and isinstance(getattr(type(fn.__self__), name, None), Jitted):
            return getattr, (fn.__self__, name)
        found: Any = sys.modules.get(getattr(fn, "__module__", None) or "")
        for part in getattr(fn, "__qualname__", "").split("."):
            found = getattr(found, part, None)
        if found is self:  # as a decorator: the name of the function is that of what it became
            return fn.__qualname__
        return Jitted, (fn, self.wrt, self.backend, self.dtype, self.precision)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Over what a copy of the function is of: a function is its own copy, and so are then the parameters in `wrt`."""
        reduced = self.__reduce__()
        if isinstance(reduced, str):
            return self
        make, (fn, *others) = reduced
        copied = copy.deepcopy(fn, memo)
        return make(copied, *(others if copied is fn else copy.deepcopy(others, memo)))

    def __repr__(self) -> str:
        return f"jit({getattr(self.fn, '__qualname__', self.fn)})"

    # -- recording

    def _refuse_inside(self, what: str) -> None:
        if current().observer is not None:
            raise TypeError(
                f"{self!r}: {what} gives numbers, and another function is being recorded, whose tape would keep those of this "
                "one run: call the function itself on Values"
            )

    def _paths_for(self, call: _Call, gradient: bool) -> list[Path]:
        key = (call.key, gradient)
        paths = self.recorded.get(key)
        if paths is None:
            paths = [self._record(call, 0, gradient)]
            self.recorded[key] = paths
            if len(self.recorded) > STRUCTURES:
                self.recorded.popitem(last=False)
        else:
            self.recorded.move_to_end(key)
        return paths

    @_collector_paused()
    def _record(self, call: _Call, sample: int, gradient: bool) -> Path:
        recording = Recording(
            lambda values: self.fn(*call.arguments(values)),
            call.sample(sample),
            _numbers_of,
            self.wrt,
            [*self._parameters, *held_by(self.fn)],
        )
        if not recording.results:
            raise TypeError(f"{self!r}: the function returned no number; does it lack a return?")
        for leaf in recording.leaves:
            if leaf not in self._leaves:
                self._leaves[leaf] = len(self._parameters)
                self._parameters.append(leaf)
        tape = optimised(recording.tape(gradient))
        ids = iter(range(len(recording.results)))
        leaves = [self._leaves[leaf] for leaf in recording.leaves]
        return Path(tape, leaves, _skeleton(recording.out, ids), tape.lookups())

    def _compiled(self, path: Path, call: _Call, reduce: bool, guards: bool = False) -> Any:
        key = (call.fields, reduce, guards)
        program = path.programs.get(key)
        if program is None:
            tape = path.tape
            with _collector_paused():
                if tape.guards:  # what they compare is of use to a program of their own, not to that of the results
                    outputs = [slot for g in tape.guards for slot in (g.x, g.y)] if guards else tape.outputs
                    tape = swept(Tape(tape.inputs, tape.leaves, tape.constants, tape.instructions, outputs))
                program = path.programs[key] = self._program(tape, call.fields, reduce, self.dtype)
        return program

    # -- running

    def _grouped(self, call: _Call) -> tuple[Any, list[Array]] | None:
        """The structure of the results and their arrays one by one, where the back end can make them so."""
        if not getattr(getattr(self._program, "func", self._program), "direct", False):
            return None
        with self._lock:
            path = self._paths_for(call, False)[0]
            if path.tape.guards:
                return None
            if path.lookups:
                call.check_lookups(path.lookups, call.inputs)
            widths: list[int] = []
            _put_together(path.out, lambda i: widths.append(1), lambda ids, _: widths.append(len(ids)), lists_are_arrays=True)
            if 0 in widths:
                return None
            key = (call.fields, "groups")
            program = path.programs.get(key)
            if program is None:
                program = path.programs[key] = self._program(path.tape, call.fields, False, self.dtype, groups=widths)
            theta = self.theta()
        return path.out, program(call.inputs, path.own(theta), call.n)

    def _remember(self, call: _Call, args: Sequence[Any], out: Any) -> None:
        """Keep the short way for calls on plain floats, where the program has one."""
        paths = self.recorded.get((call.key, False), ())
        if not args or any(x.__class__ is not float for x in args) or len(paths) != 1 or paths[0].tape.guards:
            return
        program = self._compiled(paths[0], call, False)
        if hasattr(program, "single") and paths[0].uses_all(len(self._parameters)):
            if isinstance(out, Place):
                finish: Callable[[list[float]], Any] = itemgetter(out.i)
            elif type(out) is tuple and [*out] == [Place(i) for i in range(len(out))]:
                finish = tuple
            else:
                array = lambda numbers, ids, shape: np.array([numbers[i] for i in ids]).reshape(shape)  # noqa: E731
                finish = lambda numbers: _put_together(out, numbers.__getitem__, partial(array, numbers))  # noqa: E731
            self._quick = ([float] * len(args), len(self._parameters), finish, program.single)

    def _reduced(self, theta: Array | None, args: Sequence[Any], reduction: str, in_axes: Any) -> Array:
        """The mean or sum of the value and the gradient; at what the parameters hold where `theta` is None."""
        self._refuse_inside("a gradient of it")
        latest = None if open_blocks else self._latest
        if latest is not None and latest.fits(theta, args, reduction, in_axes) and latest.count == len(self._parameters):
            return latest.run(args, self.theta() if theta is None else theta, reduction)
        call = _Call(args, _axes(in_axes, args))
        _, total = self._run(call, True, theta, True)
        _averaged(total, reduction, call.n)
        paths = self.recorded.get((call.key, True), ())
        if len(paths) == 1 and not paths[0].tape.guards and not paths[0].lookups and paths[0].uses_all(len(self._parameters)):
            program = self._compiled(paths[0], call, True)
            plain = in_axes == 0 and call.n > 0 and all(x.__class__ is np.ndarray for x in args)
            if plain and getattr(program, "direct", False):
                self._latest = _Latest(program, [(x.dtype, x.shape) for x in args], call.n, len(self._parameters))
        return total

    def _run(self, call: _Call, gradient: bool, theta: Array | None, reduce: bool) -> tuple[Any, Array]:
        """The structure of the results, and the results: of shape (results, n), or with `reduce` their sums over samples.

        With `gradient`, the results are the value and its derivative with respect to each of the parameters.
        """
        with self._lock:
            paths = self._paths_for(call, gradient)
            if paths[0].lookups and not paths[0].tape.guards:
                call.check_lookups(paths[0].lookups, call.inputs)
            if theta is None:
                theta = self.theta()
            elif theta.shape != (len(self._parameters),):
                advice = "list the parameters in wrt where not all are used on every path"
                if theta.shape == (0,):
                    advice = "theta() is empty until the function has been recorded: call it once before, or list them in wrt"
                raise ValueError(
                    f"theta must be a flat vector of the {len(self._parameters)} parameters, got one of shape {theta.shape}; "
                    f"{advice}"
                )
            if not paths[0].tape.guards:
                found = self._on_path(paths[0], call, theta, reduce, call.inputs, call.n)
                out, found = paths[0].out, self._spread(paths[0], found) if gradient else found
            else:
                out, found = self._branching(paths, call, gradient, theta, reduce)
            if current().anomaly and not np.isfinite(found).all():
                self._refuse(call, gradient, theta)
            return out, found

    def _refuse(self, call: _Call, gradient: bool, theta: Array) -> None:
        """FloatingPointError from the operation that is not finite, in the function itself, run sample by sample."""
        with _holding(self._parameters[: len(theta)], theta):
            for i in range(call.n):
                values = [x if isinstance(x, int) else Value(x) for x in call.sample(i)]
                out = as_values(_numbers_of(self.fn(*call.arguments(values))))  # type: ignore[arg-type]
                if gradient:
                    adjoints(out[0])
        raise FloatingPointError(f"{self!r}: a sum over the samples is not finite, or compiled code rounds to what is not")

    def _on_path(self, path: Path, call: _Call, theta: Array, reduce: bool, inputs: list[Array], n: int) -> Array:
        return self._compiled(path, call, reduce)(inputs, path.own(theta), n)  # type: ignore[no-any-return]

    def _spread(self, path: Path, found: Array) -> Array:
        """The value and the gradient of a path, with zeros for the parameters that it does not use."""
        if path.uses_all(len(self._parameters)):
            return found
        whole = np.zeros((1 + len(self._parameters), *found.shape[1:]), found.dtype)
        whole[0] = found[0]
        whole[1 + np.array(path.leaves, np.int64)] = found[1:]
        return whole

    def _branching(self, paths: list[Path], call: _Call, gradient: bool, theta: Array, reduce: bool) -> tuple[Any, Array]:
        """Like _run, for a function that compares values: every sample runs on the tape of its own path."""
        samples: dict[int, list[Array]] = {}
        left = np.arange(call.n)
        k = 0
        while len(left):
            forced = None
            if k == len(paths):
                forced = left[0]
                with _holding(self._parameters[: len(theta)], theta):
                    path = self._record(call, int(forced), gradient)
                same = [i for i, p in enumerate(paths) if p.decisions == path.decisions]
                if same:  # decided differently by rounding alone
                    samples.setdefault(same[0], []).append(left[:1])
                    left = left[1:]
                    continue
                if len(paths) == PATHS:
                    lines = [a[0] for a, b in zip(path.decisions, paths[-1].decisions, strict=False) if a != b]
                    where = lines[0] if lines else path.decisions[-1][0]
                    raise RuntimeError(
                        f"{self!r} took more than {PATHS} paths through comparisons of values, the latest at {where}: "
                        "make the choice part of the graph with where(condition, a, b), maximum, minimum or take"
                    )
                if _shape_of_tree(path.out) != _shape_of_tree(paths[0].out):
                    raise TypeError(f"{self!r} returns different structures on different paths; return the same one on all")
                paths.append(path)
            path = paths[k]
            theta = self._fitting(theta)
            pairs = self._compiled(path, call, False, guards=True)(call.rows(left), path.own(theta), len(left))
            holds = np.ones(len(left), bool)
            for i, g in enumerate(path.tape.guards):
                holds &= _COMPARE[g.name](pairs[2 * i], pairs[2 * i + 1]) == g.result
            if forced is not None:
                holds[0] = True
            if holds.any():
                samples.setdefault(k, []).append(left[holds])
            left = left[~holds]
            k += 1
        found: Array | None = None
        for i in sorted(samples, key=lambda i: paths[i].decisions):  # sums do not depend on which path was met first
            rows = np.sort(np.concatenate(samples[i]))
            call.check_lookups(paths[i].lookups, call.rows(rows))
            part = self._on_path(paths[i], call, theta, reduce, call.rows(rows), len(rows))
            part = self._spread(paths[i], part) if gradient else part
            if reduce:
                found = part if found is None else found + part
            else:
                if found is None:
                    found = np.zeros((len(part), call.n), part.dtype)
                found[:, rows] = part
        if found is None:
            count = 1 + len(self._parameters) if gradient else len(paths[0].tape.outputs)
            found = np.zeros((count, *(() if reduce else (0,))), self.dtype)
        return paths[0].out, found

    def _fitting(self, theta: Array) -> Array:
        """theta, or a longer one where a path met on the way has brought new parameters."""
        if len(theta) == len(self._parameters):
            return theta
        return np.concatenate([theta, np.array([p.data for p in self._parameters[len(theta) :]], theta.dtype)])


_blocks: list[Training] = []  # those that are open


class Training:
    """The block of `Jitted.training`: called on a batch, it makes one step and returns the loss before it."""

    def __init__(self, compiled: Jitted, optimiser: Any, reduction: str, in_axes: Any):
        self.compiled, self.optimiser, self.reduction, self.in_axes = compiled, optimiser, reduction, in_axes
        self._order: tuple[int, Array | None] | None = None
        if not hasattr(optimiser, "parameters") or not hasattr(optimiser, "update"):
            raise TypeError(f"training needs an optimiser, such as SGD(parameters, lr=0.1), got {optimiser!r}")
        self.data: Array | None = None
        self._ahead = False  # of what the Values hold

    def __enter__(self) -> Training:
        optimiser = self.optimiser
        self.data = np.array([p.data for p in optimiser.parameters], self.compiled.dtype)
        self.state = tuple(np.array(column, self.compiled.dtype) for column in zip(*optimiser.state, strict=True))
        _blocks.append(self)
        return self

    def __call__(self, *args: Any) -> float:
        f, optimiser = self.compiled, self.optimiser
        if self.data is None:
            raise RuntimeError("training is a block, and steps are made inside: with f.training(optimiser) as step: step(X, y)")
        latest = None if open_blocks else f._latest
        if latest is None or not latest.fits(None, args, self.reduction, self.in_axes):
            with f._lock:
                f._paths_for(_Call(args, _axes(self.in_axes, args)), True)
            latest = None
        if latest is not None and self._places() is None and latest.count == len(self.data):
            total = latest.run(args, self.data, self.reduction)
            gradient = total[1:]
        else:
            total, gradient = self._reduced(args)
        optimiser.steps += 1
        self.data, self.state = optimiser.update(self.data, gradient, self.state)
        self._ahead = True
        return float(total[0])

    def _reduced(self, args: tuple[Any, ...]) -> tuple[Array, Array]:
        """The loss with the gradient of the function's parameters, and the gradient of the optimiser's."""
        f, places = self.compiled, self._places()
        assert self.data is not None
        if any(path.tape.guards for paths in f.recorded.values() for path in paths):
            self.write_data()  # which a path that is met now, and what is new on it, is recorded with
        total = f._reduced(self.data if places is None else self._theta(places), args, self.reduction, self.in_axes)
        places = self._places()
        if places is None:
            return total, total[1:]
        gradient = np.zeros_like(self.data)
        known = places >= 0
        gradient[places[known]] = total[1 : 1 + len(places)][known]
        return total, gradient

    def _places(self) -> Array | None:
        """Where each of the function's parameters stands in the optimiser's vector (-1: nowhere); None for the same order."""
        mine = self.compiled._parameters
        if self._order is None or self._order[0] != len(mine):
            own = {p: i for i, p in enumerate(self.optimiser.parameters)}
            places = np.array([own.get(p, -1) for p in mine], np.int64)
            if len(mine) and not (places >= 0).any():
                raise ValueError(f"none of the {len(own)} parameters of the optimiser is one that {self.compiled!r} uses")
            same = len(places) == len(own) and bool((places == np.arange(len(own))).all())
            self._order = (len(mine), None if same else places)
        return self._order[1]

    def _theta(self, places: Array) -> Array:
        theta = self.compiled.held()
        assert self.data is not None
        known = places >= 0
        theta[known] = self.data[places[known]]
        return theta

    def sync(self) -> None:
        """Write parameters and state back to the Values and the optimiser."""
        self.write_data()
        if self.state:
            self.optimiser.state = list(zip(*[column.tolist() for column in self.state], strict=True))

    def write_data(self) -> None:
        """Write the parameters alone, where they have moved since."""
        if self._ahead:
            assert self.data is not None
            for p, x in zip(self.optimiser.parameters, self.data.tolist(), strict=True):
                p.data = x
            self._ahead = False

    def __exit__(self, *exception: Any) -> None:
        self.sync()
        self.data = None
        _blocks.remove(self)


# -- arguments: taken apart into arrays of numbers, and put together again from Values


class _Call:
    """The arguments of one call: their structure as a hashable key, and their numbers as arrays.

    `fields` lists (width, varying) for each array of `inputs`; varying ones have shape (n, width).
    """

    def __init__(self, args: Sequence[Any], axes: Sequence[int | None]):
        self.inputs: list[Array] = []
        fields: list[tuple[int, bool]] = []
        self.n = -1
        self.kinds: list[str] = []
        self.key = tuple(
            [self._taken_apart(x, axis, fields, f"argument {i}") for i, (x, axis) in enumerate(zip(args, axes, strict=True))]
        )
        self.fields = tuple(fields)
        if self.n < 0:
            self.n = 1

    def _taken_apart(self, x: Any, axis: int | None, fields: list[tuple[int, bool]], where: str) -> Spec:
        """The structure of one argument; its numbers go to `inputs`.

        ("number", kind), ("array", shape, kind), ("list", "tuple" or a class of named tuples, parts), ("dict", keys, parts)
        or ("static", x), where kind is "i" for integers and "f" for other numbers.
        """
        if axis is not None and not isinstance(x, dict):
            try:
                array = x if x.__class__ is np.ndarray else np.asarray(x)
            except ValueError as error:
                raise ValueError(f"{where} must have rows of one length: {error}") from None
            if array.ndim == 0 and (x is None or isinstance(x, (bool, str))):
                raise ValueError(f"{where} needs a leading axis of samples, got {x!r}: use in_axes=None for it")
            kind = _kind(array, where)
            if array.ndim == 0:
                raise ValueError(f"{where} needs a leading axis of samples, got the number {x!r}: use in_axes=None for it")
            if axis:
                array = np.moveaxis(array, axis, 0)
            n = len(array)
            if self.n >= 0 and n != self.n:
                raise ValueError(f"{where} has {n} samples, and another argument has {self.n}")
            self.n = n
            shape = array.shape[1:]
            width = 1
            for d in shape:
                width *= d
            self.inputs.append(array.reshape(n, width))
            fields.append((width, True))
            self.kinds.append(kind)
            return "array", shape, kind, True
        if isinstance(x, dict):
            keys = tuple(x)
            return "dict", keys, tuple([self._taken_apart(x[k], axis, fields, f"{where}[{k!r}]") for k in keys])
        if isinstance(x, (list, tuple)):
            name = "list" if isinstance(x, list) else type(x) if hasattr(x, "_fields") else "tuple"
            return name, tuple([self._taken_apart(e, axis, fields, f"{where}[{i}]") for i, e in enumerate(x)])
        if x is None or isinstance(x, (bool, np.bool_, str)):
            return "static", bool(x) if isinstance(x, np.bool_) else x
        if isinstance(x, Real) and not isinstance(x, (float, np.generic)) and not (isinstance(x, int) and abs(x) < 1 << 63):
            x = float(x)  # a Fraction, or an integer that no array holds
        array = np.asarray(x)
        kind = _kind(array, where)
        self.inputs.append(array.reshape(-1))
        fields.append((array.size, False))
        self.kinds.append(kind)
        return ("array", array.shape, kind, False) if array.ndim else ("number", kind)

    def sample(self, i: int) -> list[Any]:
        """The numbers of one sample, ints where integers; ones where there are no samples."""
        numbers: list[Any] = []
        for x, (width, varying), kind in zip(self.inputs, self.fields, self.kinds, strict=True):
            row = x[i] if varying and self.n else np.ones(width) if varying else x
            numbers += map(int if kind == "i" else float, row.tolist())
        return (
            numbers if self.n or 0 not in (len(x) for x in self.inputs) else [0 if isinstance(x, int) else x for x in numbers]
        )

    def rows(self, which: Array) -> list[Array]:
        """The inputs of some of the samples."""
        return [x[which] if varying else x for x, (_, varying) in zip(self.inputs, self.fields, strict=True)]

    def arguments(self, values: list[Value]) -> list[Any]:
        """The arguments with Values in the place of their numbers."""
        stream = iter(values)
        return [_with_values(spec, stream) for spec in self.key]

    def check_lookups(self, lookups: list[tuple[int, int]], inputs: list[Array]) -> None:
        """IndexError where an index among some inputs is outside its table."""
        columns = [(x, j) for x, (width, _) in zip(inputs, self.fields, strict=True) for j in range(width)] if lookups else []
        for i, n in lookups:
            x, j = columns[i]
            column = x[..., j]
            if column.size and not (column.min() >= 0 and column.max() < n):
                bad = column[(column < 0) | (column >= n)].flat[0] if column.ndim else column
                raise IndexError(f"take needs an index from 0 to {n - 1}, got {bad}")


def _with_values(spec: Spec, values: Iterator[Value]) -> Any:
    kind = spec[0]
    if kind == "number":
        return next(values)
    if kind == "array":
        shape = spec[1]
        if shape == ():
            return next(values)
        array = np.empty(shape, object)
        for at in np.ndindex(shape):
            array[at] = next(values)
        return array
    if kind == "static":
        return spec[1]
    if kind == "dict":
        return dict(zip(spec[1], [_with_values(part, values) for part in spec[2]], strict=True))
    parts = [_with_values(part, values) for part in spec[1]]
    return parts if kind == "list" else tuple(parts) if kind == "tuple" else kind(*parts)


def _kind(array: Array, where: str) -> str:
    kind = array.dtype.kind
    if kind == "f" or kind == "b":
        return "f"
    if kind in "iu":
        return "i"
    got = f"an array of {array.dtype}"
    if kind == "O" and array.size:
        first = next((x for x in array.flat if not isinstance(x, (int, float))), array.flat[0])
        got = f"{type(first).__name__} {first!r}"
    raise TypeError(f"{where} must be made of real numbers, got {got[:80]}")


def _axes(in_axes: Any, args: Sequence[Any]) -> Sequence[int | None]:
    if in_axes is None or isinstance(in_axes, int):
        return [in_axes] * len(args)
    if len(in_axes) != len(args):
        raise ValueError(f"in_axes needs one entry for each of the {len(args)} arguments, got {in_axes!r}")
    return in_axes  # type: ignore[no-any-return]


def _has_value(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_has_value, x))
    if isinstance(x, dict):
        return any(map(_has_value, x.values()))
    if isinstance(x, np.ndarray):
        return x.dtype == object and any(isinstance(e, Value) for e in x.flat)
    return isinstance(x, Value)


def _averaged(total: Array, reduction: str, n: int) -> None:
    """Turn a sum over n samples into what `reduction` asks for, in place."""
    if reduction == "mean":
        if n == 0:
            raise ValueError("there is no mean over no samples: pass at least one, or reduction='sum'")
        if n > 1:
            total /= n
    elif reduction != "sum":
        raise ValueError(f"reduction must be 'mean' or 'sum', got {reduction!r}")


# -- results: a structure whose numbers are replaced by their places in the tape's outputs


@dataclass(frozen=True)
class Place:
    i: int


def _numbers_of(out: Any) -> list[Any]:
    if isinstance(out, dict):
        return [x for part in out.values() for x in _numbers_of(part)]
    if isinstance(out, (list, tuple)):
        return [x for part in out for x in _numbers_of(part)]
    if isinstance(out, np.ndarray):
        return out.ravel().tolist()
    return [] if out is None or isinstance(out, str) else [out]


def _skeleton(out: Any, ids: Iterator[int]) -> Any:
    if isinstance(out, dict):
        return {key: _skeleton(part, ids) for key, part in out.items()}
    if isinstance(out, (list, tuple)):
        parts = [_skeleton(part, ids) for part in out]
        return parts if isinstance(out, list) else _tuple_like(out, parts)
    if isinstance(out, np.ndarray):
        return np.array([next(ids) for _ in range(out.size)], np.int64).reshape(out.shape)
    return out if out is None or isinstance(out, str) else Place(next(ids))


def _put_together(out: Any, one: Callable[[int], Any], many: Callable[..., Any], lists_are_arrays: bool = False) -> Any:
    """The structure with one(i) in the place of a number and many(ids, shape) in that of an array."""
    if isinstance(out, Place):
        return one(out.i)
    if isinstance(out, np.ndarray):
        return many(out.ravel(), out.shape)
    if isinstance(out, list):
        if lists_are_arrays and (shape := _regular(out)) is not None:
            return many([p.i for p in _places(out)], shape)
        return [_put_together(part, one, many, lists_are_arrays) for part in out]
    if isinstance(out, tuple):
        return _tuple_like(out, [_put_together(part, one, many, lists_are_arrays) for part in out])
    if isinstance(out, dict):
        return {key: _put_together(part, one, many, lists_are_arrays) for key, part in out.items()}
    return out


def _tuple_like(out: Any, parts: list[Any]) -> Any:
    """A tuple, named where `out` is."""
    return type(out)(*parts) if hasattr(out, "_fields") else tuple(parts)


def _regular(out: Any) -> tuple[int, ...] | None:
    """The shape of nested lists of numbers, None where they are of unequal lengths or hold anything else."""
    if isinstance(out, Place):
        return ()
    if not isinstance(out, list) or not out:
        return None
    shapes = {_regular(part) for part in out}
    (shape,) = shapes if len(shapes) == 1 else (None,)
    return None if shape is None else (len(out), *shape)


def _places(out: Any) -> list[Place]:
    return [out] if isinstance(out, Place) else [p for part in out for p in _places(part)]


def _shape_of_tree(out: Any) -> str:
    return repr(out)
