"""What runs a tape for few and many samples: the interpreter first, then code, compiled quickly, and optimised once that pays.

`program` calls it.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from micrograd.tape.back_ends.llvm import machine
from micrograd.tape.back_ends.llvm.bytecode import Bytecode
from micrograd.tape.back_ends.llvm.code import OPTIMISED, QUICK, Code, compiled, making
from micrograd.tape.back_ends.llvm.frames import Frame, Single
from micrograd.tape.back_ends.llvm.module import LOOPED, in_one, vectors, written
from micrograd.tape.back_ends.llvm.plan import MANY, Plan
from micrograd.tape.back_ends.llvm.target import CHUNK, Target
from micrograd.tape.schedule import Schedule
from micrograd.tape.tape import Tape
from micrograd.tape.vectorise import schedule_of, settled

Array = np.ndarray[Any, Any]
# How many bytes a block of samples may take:
NEAR = 98304  # what stays close to the processor,
NEAREST = 24576  # for straight-line code, whose every value comes and goes once,
FAR = 8 << 20  # where sums are not kept lane by lane,
WAITING = 16 << 20  # for loops, whose every step waits for the one before it: they are run on some vectors side by side
LEAST_INTERPRETED = 128  # a tape of fewer instructions is compiled at once
SHORT = 32  # samples in a block of the version for calls that would not fill half of a longer one
STREAMED = 16 << 20  # from so many bytes of results on, stores are non-temporal: the caches could not hold them
SINGLE = 64  # from so many sums over the samples on, one sample has code of its own, without accumulators
# Seconds, roughly, by which it is decided what pays:
LEAST, LETTER = 0.01, 1e-6  # LLVM optimises: any code, and for each character of its text
OPERATION = 3e-10  # one operation on one sample, where there are many samples
INTERPRETED = 1e-9  # the same where it is interpreted
CALL = 3e-6  # a call, beside its code


@dataclass(frozen=True)
class Version:
    """Code for one way of taking samples, and frames for it that are not in use."""

    target: Target
    code: Code
    plan: Plan | Bytecode
    tables: Array
    cost: int  # operations on a sample
    direct: bool
    idle: list[Frame]
    all: Callable[[int], None]
    trial: Trial | None = None  # of code that is not optimised


class Trial:
    """Calls of quickly compiled code, or of the interpreter, timed until they have taken as long as optimising will.

    So, however many calls there will be, the whole takes at most about twice as long as the better choice would have taken.
    """

    def __init__(self, run: Callable[[int], None], price: float, versions: Versions):
        self.run, self.left, self.versions = run, price, weakref.ref(versions)

    def all(self, address: int) -> None:
        start = perf_counter()
        self.run(address)
        self.spend(perf_counter() - start)

    def spend(self, seconds: float) -> None:
        self.left -= seconds + CALL
        if self.left < 0.0 and (versions := self.versions()):
            versions.retire(self)


class Twin(Protocol):
    """What computes once more results that are nan, where a nan may come from what was not chosen."""

    def mended(self, found: Any, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Any:
        """The results of a call with numbers in the places of nans."""

    def mended_numbers(self, found: list[float], args: Sequence[float], leaves: Sequence[float]) -> list[float]:
        """The same for the results of `single`."""


class Versions:
    """The ways in which a tape is run: five versions, each made when it is first needed; `which` says for which calls.

    Up to three samples are taken one by one; a single one that is summed has a version of its own. Some samples go in short
    blocks, many in long ones, and large results are stored past the caches.
    """

    def __init__(
        self, tape: Tape, fields: Sequence[tuple[int, bool]], reduce: bool, dtype: Any, exact: bool, groups: Sequence[int]
    ):
        self.dtype, self.reduce, self.exact, self.groups = dtype, reduce, exact, tuple(groups)
        if self.dtype not in (np.dtype(np.float64), np.dtype(np.float32)):
            raise TypeError(f"compiled code works on float64 or float32, got {self.dtype}")
        if exact and self.dtype != np.dtype(np.float64):
            raise ValueError("exact means the bits of the reference back end, which is float64; got float32")
        self.twin: Twin | None = None  # what mends results that are nan; set before the first call
        self._real = "double" if self.dtype.itemsize == 8 else "float"  # LLVM's name
        self._of = tape, fields, reduce, exact
        self._settled = [it := settled(*self._of)]  # until it is scheduled, which uses it up
        self._versions: list[Version | None] = [None] * 5
        self._retired: list[Target] = []  # for which there was quickly compiled code until it had run for long
        self._callbacks: dict[str, Any] = {}  # what compiled code calls: as long as that lives, so must these
        self._singles: list[Single] = []
        self._single = 4 if reduce and len(tape.outputs) > SINGLE else 0  # the version for one sample
        self._short, self._streamed = math.inf, math.inf  # samples from which on versions for many are better, once there are
        self.bytecode: Bytecode | None = None  # of a tape that is interpreted
        if len(tape.instructions) >= LEAST_INTERPRETED:
            self.bytecode = Bytecode.of(it, self.groups, exact, self._real)
        self._by_tape = self.bytecode is not None and self.bytecode.by_tape
        self._long = False  # whether it has been interpreted for as long as compiling takes

    def __str__(self) -> str:
        return str(self.schedule)

    @cached_property
    def schedule(self) -> Schedule:
        with making:
            return schedule_of(self._settled.pop() if self._settled else settled(*self._of))  # once more after an interrupt

    @cached_property
    def plan(self) -> Plan:
        return Plan(self.schedule, self.groups)

    @cached_property
    def _tables(self) -> Array:
        return np.concatenate([*self.plan.tables, np.zeros(1, np.int32)])

    @cached_property
    def _cost(self) -> int:
        plan = self.plan
        return sum(i.work for i in plan.work) + sum(int(np.prod(i.shape)) * i.terms for i in plan.totals)

    def target(self, block: int, streamed: bool = False, single: bool = False, own: Any = None) -> Target:
        """What code is written for: how many samples at a time, in how many lanes; one number at a time where that is 0.

        `own` are primitives of the user's own, those of the plan where not given.
        """
        size, real = self.dtype.itemsize, self._real
        _, _, width, registers = machine.host()
        width //= size
        library = {(name, lanes): f"@lib.{name}.{lanes}.{real}" for name, lanes in machine.addresses(real, not self.exact)}
        if own is None:
            own = self.plan.own | {(rule, len(rule.partials)): rule.name for rule in machine.lacking(real, self.exact)}
        for (primitive, arguments), name in own.items():
            if name not in self._callbacks:
                self._callbacks[name] = machine.callback(primitive, arguments, real)
            library[name, 1] = f"inttoptr (i64 {machine.address(self._callbacks[name])} to ptr)"
        lanes, telling = 8 if self.exact else max(8, width), self.twin is not None
        if not block:
            lanes, block = 1, 1
        return Target(lanes, block, real, self.exact, registers, width, library, single, streamed, telling, self._by_tape)

    @cached_property
    def _blocks(self) -> tuple[int, int]:
        """How many samples are best worked on at a time, and how many in a version for short calls."""
        lanes = max(8, machine.host()[2] // self.dtype.itemsize)
        bytes_each = self.plan.rows * self.dtype.itemsize
        if self.plan.sums > MANY and bytes_each * CHUNK <= FAR:
            return CHUNK, SHORT
        near = NEAR if self.plan.sums or any(it.work >= LOOPED for it in self.plan.work) else NEAREST
        block = CHUNK
        least = vectors(self.plan) * lanes
        few = WAITING if least > lanes else 1 << 20
        while block > lanes and bytes_each * block > (near if block > max(least, 2 * lanes) else few):
            block //= 2
        return block, block if block <= 2 * SHORT else SHORT

    def which(self, n: int) -> int:
        """The number of the version for n samples.

        0: up to three, one by one. 1: a short call. 2: a long one. 3: one with large results. 4: sums of a single sample.
        """
        if n <= 3:
            return self._single if n == 1 else 0
        return 1 if n <= self._short else 2 if n < self._streamed else 3

    def version(self, n: int, which: int | None = None) -> tuple[int, Version]:
        """The number of the version for n samples, and the version.

        A new one is interpreted where that gives the same bits. Else it is compiled: quickly at first, with optimisation where
        this call is long itself, or where quick code for the same Target has been retired. Either code gives the same bits.
        """
        with making:
            bytecode = self.bytecode  # other threads may have it no more
            if bytecode is not None and n * bytecode.work * INTERPRETED > bytecode.price:
                self._interpret_no_more()
            if self.bytecode is None and self._short == math.inf:
                self._short = self._blocks[0] // 2
                if any(self.groups) and in_one(self.plan, self.target(self._blocks[0])):
                    self._streamed = STREAMED / (sum(self.groups) * self.dtype.itemsize)
            which = self.which(n) if which is None else which
            found = self._versions[which]
            if found is None:
                found = self._interpreted(which) or self._compiled(which, n)
                self._versions[which] = found
            return which, found

    def _interpreted(self, which: int) -> Version | None:
        """The interpreter, where that has surely the bits of compiled code."""
        bytecode, single = self.bytecode, which in (0, 4)
        if bytecode is None or (single and not bytecode.for_one):
            return None
        lanes = self.target(8, own={}).lanes
        t = self.target(0 if single else lanes, own={})
        code, tables = bytecode.code(t)
        trial = Trial(code.all, bytecode.price, self)
        return Version(t, code, bytecode, tables, bytecode.work, False, [], trial.all, trial)

    def _compiled(self, which: int, n: int) -> Version:
        block = (0, *self._blocks[::-1], self._blocks[0], 0)[which]
        twin = self._versions[3 - which] if which in (1, 2) and self._blocks[0] == self._blocks[1] else None
        if twin is not None:
            return twin
        t = self.target(block, which == 3, which == 4)
        text = written(self.plan, t)
        price = LEAST + LETTER * len(text)
        at_once = t in self._retired or self._long
        try:
            code = compiled(text, OPTIMISED if at_once or n * self._cost * OPERATION > price else QUICK)
        except MemoryError:
            if not at_once:
                raise
            code, price = compiled(text, QUICK), math.inf
        trial = Trial(code.all, price, self) if code.level == QUICK else None
        return Version(t, code, self.plan, self._tables, self._cost, self.plan.direct(t), [], (trial or code).all, trial)

    def retire(self, trial: Trial) -> None:
        """End a trial: the next call optimises code, or compiles what was interpreted. Calls under way end as they began."""
        for which, version in enumerate(self._versions):
            if version is not None and version.trial is trial:
                if version.plan is self.bytecode:
                    self._interpret_no_more()
                    self._long = True
                    break
                self._retired.append(version.target)
                self._versions[which] = None
                if which == 0:
                    self._singles = []

    def _interpret_no_more(self) -> None:
        """Have what comes compiled."""
        bytecode, self.bytecode = self.bytecode, None
        self._versions[:] = [v if v is not None and v.plan is not bytecode else None for v in self._versions]
        if self._versions[0] is None:
            self._singles = []

    def each(self, version: Version) -> float:
        """The seconds that a sample takes, where there are many."""
        return version.cost * INTERPRETED if isinstance(version.plan, Bytecode) else self._cost * OPERATION
