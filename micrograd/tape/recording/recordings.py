"""Recordings of one function: for each structure of its arguments the tapes of its paths, and the programs made of them.

`record` and `passes` come before. A path is one way through the function's branches; `branches` finds each sample's own.
"""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from micrograd.engine import Value, primal
from micrograd.floats import raised
from micrograd.tape.back_ends import BackEnd, Direct, Program
from micrograd.tape.decorator import Decorator
from micrograd.tape.merging.merge import merged
from micrograd.tape.recording.arguments import Call
from micrograd.tape.recording.nonfinite import Twin, choosing, gated, gated_twin
from micrograd.tape.recording.parameters import Array, Parameters
from micrograd.tape.recording.record import NEEDS_ONE, Recording, differentiated
from micrograd.tape.recording.results import numbers_of, skeleton
from micrograd.tape.recording.shared_terms import summed
from micrograd.tape.recording.watch import Watch
from micrograd.tape.rewriting.passes import optimised
from micrograd.tape.tape import Tape
from micrograd.trees import is_array, kind_of, leaves_of

_all: weakref.WeakSet[Recordings] = weakref.WeakSet()


def _after_fork() -> None:
    """Make new locks in a child process, in which no thread is left to release a lock."""
    for recordings in _all:
        recordings.making = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
EACH = "each"  # as `gradient`: the gradients of each of several results; True stands for the gradient of the only one
STRUCTURES = 32  # of so many structures of arguments the tapes are kept, the latest ones
RESTLESS = 3  # recordings in a row during which something read has changed: then the function itself is taken to change it


@contextmanager
def _collector_paused() -> Iterator[None]:
    """A block without garbage collection.

    While a graph and its tape are made, none of their objects becomes garbage. The collector would search all of them again
    and again, which takes half of the time for 100,000 operations.
    """
    running = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if running:
            gc.enable()


@dataclass(frozen=True)
class Source:
    """What is needed to record a path again."""

    call: Call  # of one sample
    gradient: Any
    theta: Array  # what the parameters held, on which comparisons may depend


@dataclass
class Path:
    """One way through a function's branches, as a tape; programs are made of it when first needed."""

    tape: Tape
    leaves: list[int]  # the function's parameters that it uses, by number
    out: Any  # the structure of the results
    lookups: list[tuple[int, int]]  # the inputs that are indices, and the lengths of their tables
    programs: dict[tuple[Any, ...], Program | None] = field(default_factory=dict)  # by what they give, of which paths
    routes: dict[Any, Any] = field(default_factory=dict)  # made by `routes` when they are needed
    # the guards grouped by kind of comparison, made by `branches` when it needs them
    compared: list[tuple[Callable[..., Array], Array, Array]] | None = None
    linear: Any = None  # the results with their derivatives, made by `nodes` when it needs them
    is_derivable: bool = False  # whether `record.differentiated` gives its derivatives, given its results
    operands: list[list[int]] = field(default_factory=list)  # for `nodes`: what each result is differentiated by
    sufficed: int = 0  # of the first path: how many paths were known when they last sufficed for a call
    record_gated: Callable[[], Tape] | None = None  # records the path again, with products gated by what was chosen
    source: Source | None = None  # what `record_gated` needs
    _gated: list[Tape | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.in_order = self.leaves == list(range(len(self.leaves)))

    def __getstate__(self) -> dict[str, Any]:
        """Everything but programs. In the place of `record_gated`, which cannot be pickled, stands the tape that it gives."""
        twin = [] if self.record_gated is None else [self.gated()]
        made: dict[str, Any] = {"programs": {}, "routes": {}, "compared": None, "linear": None}
        return {**vars(self), **made, "record_gated": None, "source": None if twin else self.source, "_gated": twin}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self._gated and (twin := self._gated[0]):
            self.record_gated = lambda: twin

    def beside_function(self) -> Path:
        """A copy to be pickled together with the function, which can record the gated tape again; see `Recordings.take_in`."""
        if self.source is None:
            return self
        return replace(self, programs={}, routes={}, compared=None, linear=None, record_gated=None, _gated=[])

    def gated(self) -> Tape | None:
        """The tape that does not multiply what was not chosen, recorded once; None if there is no such other tape."""
        if not self._gated and self.record_gated is not None:
            self._gated.append(gated_twin(self.tape, self.record_gated))
        return self._gated[0] if self._gated else None

    @property
    def asks(self) -> bool:
        """Whether results are valid for some samples only: `merge.merged` then adds an output that says for which."""
        return self.record_gated is not None or bool(self.tape.guards)

    @property
    def may_raise(self) -> bool:
        """Whether the tape calls a function of the user's, which may raise an error for some arguments."""
        return any(rule.beyond is raised for rule, _ in self.tape.instructions)

    def uses_all(self, count: int) -> bool:
        """Whether its leaves are the function's parameters, all `count` of them, in their order."""
        return self.in_order and len(self.leaves) == count

    def program(self, make: Callable[[Tape], Program]) -> Program:
        """A program of its tape; if choices matter, one that takes results which are nan from a program of the gated tape."""
        if self.record_gated is None:
            return make(self.tape)
        return gated(make(self.tape), Twin(lambda: None if (tape := self.gated()) is None else make(tape)))

    def own(self, theta: Array) -> Array:
        """The part of theta that holds its leaves."""
        return theta if self.uses_all(len(theta)) else theta[self.leaves]

    @property
    def values(self) -> int:
        """How many results there are, on a tape on which their gradients follow."""
        return len(self.tape.outputs) // (1 + len(self.leaves))

    def spread(self, found: Array, count: int) -> Array:
        """Values and their gradients by all `count` parameters: zeros for those that the path does not use."""
        if self.uses_all(count):
            return found
        k, shape = self.values, found.shape[1:]
        whole = np.zeros((k * (1 + count), *shape), found.dtype)
        whole[:k] = found[:k]
        whole[k:].reshape(k, count, *shape)[:, self.leaves] = found[k:].reshape(k, len(self.leaves), *shape)
        return whole

    @property
    def decisions(self) -> tuple[tuple[str, bool], ...]:
        return tuple((g.line, g.result) for g in self.tape.guards)


class Recordings:
    """What has been recorded of a function, and what makes programs of it."""

    def __init__(self, fn: Callable[..., Any], parameters: Parameters, back_end: BackEnd, owner: Any):
        self.fn, self.parameters, self.back_end, self.owner = fn, parameters, back_end, owner
        self.kept: OrderedDict[Any, list[Path]] = OrderedDict()
        self.watch: Watch | None = None  # of what the function has read outside its arguments
        self.making = threading.RLock()  # held while something is recorded or compiled; running a program needs no lock
        _all.add(self)
        self._before: dict[Any, list[int]] = {}  # by structure, the parameters of what was forgotten and will be recorded again
        self._restless = 0  # how many recordings in a row something read has changed in
        self.forgotten = 0  # how often all recordings have been forgotten

    def paths(self, call: Call, gradient: Any) -> list[Path]:
        """The paths known for the structure of a call; if there is none, the first one is recorded now.

        TypeError if `gradient` is True and there are several results.
        """
        key = (call.key, True if gradient == EACH else gradient)
        with self.making:
            paths = self.kept.get(key)
            if paths is None:
                paths = [self.record(call, 0, gradient, self._before.pop(key, ()))]
                self.kept[key] = paths
                if len(self.kept) > STRUCTURES:
                    self.kept.popitem(last=False)
            else:
                self.kept.move_to_end(key)
            if gradient is True and paths[0].values != 1:
                raise TypeError(NEEDS_ONE.format(paths[0].values))
            return paths

    def current(self, held: bool = True) -> bool:
        """Whether what was read outside the arguments is unchanged.

        It is checked less closely if theta is given to the call, and not `held` by the parameters (see `Watch`).
        """
        watch = self.watch
        return watch is None or (watch.unchanged() if held else watch.directly_unchanged())

    def outdated(self) -> bool:
        """Whether what was read outside the arguments no longer compares as before. It is watched anew then.

        If a closer look finds that something has changed, all recordings are forgotten.
        """
        if self.watch is None or self.watch.unchanged():
            return False
        same = self.watch.confirmed()
        self.watch = Watch(self.fn) if same else None
        if not same:
            self._before = {key: paths[0].leaves for key, paths in self.kept.items()}
            self.kept.clear()
            self.forgotten += 1
        return True

    def branching(self) -> bool:
        """Whether some structure's results depend on comparisons of values."""
        return any(path.tape.guards for paths in self.kept.values() for path in paths)

    def derivatives(self, recording: Recording, gradient: Any) -> Sequence[Value]:
        """What follows the results on a tape: with a `gradient`, the derivatives of each result by the leaves."""
        return recording.gradient(gradient == EACH) if gradient else ()

    @_collector_paused()
    def record(self, call: Call, sample: int, gradient: Any, before: Sequence[int] = ()) -> Path:
        """The path that one sample of a call takes."""
        if isinstance(self.owner, Decorator):
            self.owner.refuse_unbound()
        parameters, numbers, structure = self.parameters, call.sample(sample), copy(call)
        structure.inputs = []  # so that the data of this call are not kept alive
        watch = self.watch or Watch(self.fn)
        recording, tape, out = self._run(structure, numbers, gradient, parameters.listed)
        gates = recording.passes_choices and choosing(tape)
        if gates and recording.compares_nan:  # which may come from what was not chosen
            recording, tape, out = self._run(structure, numbers, gradient, parameters.listed, True)
            gates = False
        leaves = parameters.numbers(recording.leaves, before)
        self.watch = self._after(watch)
        path = Path(tape, leaves, out, tape.lookups(), is_derivable=recording.is_derivable, operands=recording.operands)
        if gates:
            structure = copy(structure)
            structure.inputs = [x.copy() for x in (call.rows(np.array([sample])) if call.n else call.inputs)]
            theta = np.array([*map(primal, parameters.values)] if tape.guards else ())
            path.source = Source(structure, gradient, theta)
            self.take_in(path)
        return path

    def _run(
        self, structure: Call, numbers: list[Any], gradient: Any, wrt: Any, gated: bool = False
    ) -> tuple[Recording, Tape, Any]:
        """A run of the function, its tape, and the structure of its results."""
        on_ones, exact = not structure.n, self.back_end.keeps_signs
        recording = Recording(
            lambda values: structure.applied(self.fn, values), numbers, numbers_of, wrt, gated, on_ones, not exact
        )
        out = recording.out
        if not recording.results and kind_of(out) is None and not any(map(is_array, leaves_of(out))):  # arrays may be empty
            raise TypeError(f"{self.owner!r}: the function returned no number; does it lack a return?")
        tapes = [recording.tape(self.derivatives(recording, gradient))]
        out = skeleton(recording.out, iter(range(len(recording.results))))
        recording.forget()
        return recording, optimised(tapes.pop(), exact), out

    def take_in(self, path: Path) -> None:
        """Set `record_gated` of a path, which records it again with this function, if it has a `source`."""
        source, parameters = path.source, self.parameters
        if source is None:
            return

        def record_gated() -> Tape:
            with self.making, parameters.holding(source.theta):
                numbers, wrt = source.call.sample(0), [parameters.values[i] for i in path.leaves]
                return self._run(source.call, numbers, source.gradient, wrt, True)[1]

        path.record_gated = record_gated

    def _after(self, watch: Watch) -> Watch:
        """The watch after a recording. If something that was read has changed meanwhile, the next call records again.

        Another thread may have changed it, or the function itself. A function in whose recordings this happens RESTLESS times
        in a row will always do so, and is not recorded again for it.
        """
        if watch.confirmed():
            self._restless = 0
            return watch if watch.unchanged() else Watch(self.fn)
        self._restless += 1
        if self._restless >= RESTLESS:
            return Watch(self.fn)
        watch.distrust()
        return watch

    def program(self, path: Path, call: Call, reduce: bool, guards: bool = False) -> Program:
        """What computes a path's outputs, or the operands of its `guards`, for arguments of the same fields as a call's."""
        key = (reduce, guards)
        program = path.programs.get(key)
        if program is None:
            with self.making, _collector_paused():
                program = path.programs.get(key)  # another thread may have made it meanwhile
                if program is None:
                    make, fields, dtype = self.back_end.make, call.fields, self.parameters.dtype

                    def made(tape: Tape) -> Program:
                        part = _part(tape, guards)
                        if reduce and not self.back_end.keeps_signs:
                            return summed(make, part, fields, dtype)
                        return make(part, fields, reduce, dtype)

                    program = path.programs[key] = self._program(path, made)
        return program

    def merged(
        self, paths: Sequence[Path], call: Call, results: bool, gradient: bool = False, reduce: bool = False
    ) -> tuple[Any, int]:
        """A program of the tape that `merge.merged` makes of several paths (None if it makes none), and the length of theta.

        That is the number of parameters known now: another thread may find more before the program runs.
        """
        paths, count = [*paths], len(self.parameters)
        key = ("merged", results, reduce, len(paths), count)
        programs = paths[0].programs
        if key not in programs:
            with self.making, _collector_paused():
                if key not in programs:
                    tape = self.one_tape(paths, results, gradient, count)
                    make, dtype = self.back_end.make, self.parameters.dtype
                    programs[key] = None if tape is None else make(tape, call.fields, reduce, dtype)
        return programs[key], count

    def one_tape(self, paths: Sequence[Path], results: bool, gradient: bool, count: int) -> Tape | None:
        """The tape of several paths; None if `merge.merged` makes none.

        There is none either if paths compare and call a function that may raise: it must not run for samples of other paths.
        Unless bits must be exact, the results of the paths are merged without the derivatives. These are then taken of the
        merged tape, as if each `if` had been a where(). Merged, they would not become as few: each path adds its
        contributions in an order of its own.
        """
        if any(path.tape.guards and path.may_raise for path in paths):
            return None
        exact, values = self.back_end.keeps_signs, paths[0].values
        if results and gradient and not exact and len(paths) > 1 and all(path.is_derivable for path in paths):
            tapes = [(replace(path.tape, outputs=path.tape.outputs[:values]), path.leaves) for path in paths]
            tape = merged(tapes, count, results)
            return None if tape is None else optimised(differentiated(tape, values))
        gates = results and not gradient and any(path.record_gated is not None for path in paths)
        return merged([(path.tape, path.leaves) for path in paths], count, results, gradient, gates, exact)

    def _program(self, path: Path, make: Callable[[Tape], Program]) -> Program:
        """What `path.program` gives. The lock is held for what is made now, and also for what is made when first needed."""

        def made(tape: Tape) -> Program:
            with self.making:
                return make(tape)

        return path.program(made)

    def grouped(self, path: Path, call: Call, widths: list[int]) -> Direct:
        """What computes a path's outputs as arrays of so many columns each; only for back ends of direct programs."""
        key = ("groups",)
        program = path.programs.get(key)
        if program is None:
            with self.making:
                program = path.programs.get(key)
                if program is None:
                    make, fields, dtype = self.back_end.make_direct, call.fields, self.parameters.dtype
                    assert make is not None
                    program = self._program(path, lambda tape: make(tape, fields, False, dtype, groups=widths))
                    path.programs[key] = program
        return cast("Direct", program)


def _part(tape: Tape, guards: bool) -> Tape:
    """The part of a tape that computes its results, or the part that computes what its `guards` compare."""
    if not tape.guards:
        return tape
    outputs = [slot for g in tape.guards for slot in (g.x, g.y)] if guards else tape.outputs
    return optimised(replace(tape, outputs=outputs, guards=[]), exact=True)
