"""Versions of a program: for few and for many samples, first interpreted, then compiled quickly, and optimised once that pays.

`program` runs them.
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
from micrograd.tape.back_ends.llvm.module import LOOPED, in_one, least_vectors, written
from micrograd.tape.back_ends.llvm.plan import MANY_SUMS, Plan, planned
from micrograd.tape.back_ends.llvm.target import CHUNK, Target
from micrograd.tape.rewriting.differences import with_differences_as_dots
from micrograd.tape.scheduling.schedule import Schedule
from micrograd.tape.scheduling.vectorise import analysed, schedule_of, unrolled
from micrograd.tape.tape import Tape

Array = np.ndarray[Any, Any]
# How many bytes a block of samples may take:
NEAR = 98304  # in code with loops or sums, so that it stays in the caches next to the processor,
NEAREST = 24576  # in straight-line code, which writes and reads every value about once,
FAR = 8 << 20  # if a block is a chunk, because there are too many sums for accumulators of a vector each,
WAITING = 16 << 20  # in loops over steps, which have to work on several vectors at once, since each step waits for the last
LEAST_INTERPRETED = 128  # a tape of fewer instructions is compiled at once
SHORT = 32  # samples in a block of the version for calls that would not fill half of a longer one
STREAMED = 16 << 20  # from so many bytes of results on, stores are non-temporal: the caches could not hold the results
SINGLE = 64  # with more sums over the samples, calls with one sample have code of their own, without accumulators
# What takes how many seconds, roughly, to decide what pays:
LEAST, LETTER = 0.01, 1e-6  # optimising any code, and each character of its text
OPERATION = 3e-10  # one operation on one sample, if there are many samples
INTERPRETED = 1e-9  # the same if it is interpreted
CALL = 3e-6  # a call, besides what its code takes


@dataclass(frozen=True)
class Version:
    """Code for calls with certain numbers of samples, and frames for it that are not in use."""

    target: Target
    code: Code
    plan: Plan | Bytecode
    tables: Array
    cost: int  # operations on a sample
    direct: bool  # whether sums go straight to their array, not divided for a mean
    idle: list[Frame]
    all: Callable[[int], None]
    trial: Trial | None = None  # if the code is not optimised


class Trial:
    """Times the calls of quickly compiled code, or of the interpreter, until they have taken as long as optimising will.

    So, however many calls there will be, all together takes at most about twice as long as the best choice would have taken.
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
    """Computes results that are nan once more, because the nan may come from what was not chosen; see `recording.nonfinite`."""

    def mended(self, found: Any, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Any:
        """The results of a call with numbers in the places of nans."""

    def mended_numbers(self, found: list[float], args: Sequence[float], leaves: Sequence[float]) -> list[float]:
        """The same for the results of `single`."""


class Versions:
    """Five versions of a program, each made when it is first needed; `which` says for which calls.

    Up to three samples are taken one by one; for a single one with many sums there is a version without accumulators. Some
    samples are taken in short blocks, many in long ones, and large results are stored past the caches.
    """

    def __init__(
        self, tape: Tape, fields: Sequence[tuple[int, bool]], reduce: bool, dtype: Any, exact: bool, groups: Sequence[int]
    ):
        self.dtype, self.reduce, self.exact, self.groups = dtype, reduce, exact, tuple(groups)
        if self.dtype not in (np.dtype(np.float64), np.dtype(np.float32)):
            raise TypeError(f"compiled code works on float64 or float32, got {self.dtype}")
        if exact and self.dtype != np.dtype(np.float64):
            raise ValueError("exact means the bits of the reference back end, which is float64; got float32")
        if not exact:
            tape = with_differences_as_dots(tape)
        self.twin: Twin | None = None  # what mends results that are nan; set before the first call
        self._real = "double" if self.dtype.itemsize == 8 else "float"  # LLVM's name
        self._of = tape, fields, reduce, exact
        self._versions: list[Version | None] = [None] * 5
        self._retired: list[Target] = []  # for these, quickly compiled code has run so long that optimising pays
        self._callbacks: dict[str, Any] = {}  # functions that compiled code calls: they must live as long as it does
        self._singles: list[Single] = []
        self._single = 4 if reduce and len(tape.outputs) > SINGLE else 0  # the version for one sample
        # versions 1 and 2 are for up to so many samples; inf as long as the tape is interpreted, or if there is no such version
        self._short, self._streamed = math.inf, math.inf
        self.bytecode: Bytecode | None = None  # if the tape is interpreted
        interprets = len(tape.instructions) >= LEAST_INTERPRETED
        it = unrolled(*self._of[:3]) if exact and interprets else analysed(*self._of)
        if interprets:
            self.bytecode = Bytecode.of(it, self.groups, exact, self._real)
        self._analysis = [] if exact and interprets else [it]  # emptied by scheduling, which uses it up
        self._by_tape = self.bytecode is not None and self.bytecode.by_tape
        self._long = False  # whether it has been interpreted for as long as compiling with optimisation takes

    def __str__(self) -> str:
        return str(self.schedule)

    @cached_property
    def schedule(self) -> Schedule:
        with making:
            return schedule_of(self._analysis.pop() if self._analysis else analysed(*self._of))

    @cached_property
    def plan(self) -> Plan:
        return planned(self.schedule, self.groups)

    @cached_property
    def _tables(self) -> Array:
        return np.concatenate([*self.plan.tables, np.zeros(1, np.int32)])

    @cached_property
    def _cost(self) -> int:
        plan = self.plan
        return sum(i.work for i in plan.work) + sum(int(np.prod(i.shape)) * i.terms for i in plan.totals)

    def target(self, block: int, streamed: bool = False, single: bool = False, own: Any = None) -> Target:
        """The target for blocks of so many samples; if that is 0, for code that takes samples one by one.

        `own` are the user's own primitives; by default, those of the plan.
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
        """How many samples a block has in the version for long calls, and how many in that for short ones."""
        lanes = max(8, machine.host()[2] // self.dtype.itemsize)
        bytes_each = self.plan.rows * self.dtype.itemsize
        if self.plan.sums > MANY_SUMS and bytes_each * CHUNK <= FAR:
            return CHUNK, SHORT
        near = NEAR if self.plan.sums or any(it.work >= LOOPED for it in self.plan.work) else NEAREST
        block = CHUNK
        least = least_vectors(self.plan) * lanes
        most = WAITING if least > lanes else 1 << 20  # bytes, for a block that has only as many vectors as its loops need
        while block > lanes and bytes_each * block > (near if block > max(least, 2 * lanes) else most):
            block //= 2
        return block, block if block <= 2 * SHORT else SHORT

    def which(self, n: int) -> int:
        """The number of the version for n samples.

        0: up to three, one by one. 1: a short call. 2: a long one. 3: one with large results. 4: many sums of a single sample.
        """
        if n <= 3:
            return self._single if n == 1 else 0
        return 1 if n <= self._short else 2 if n < self._streamed else 3

    def version(self, n: int, which: int | None = None) -> tuple[int, Version]:
        """The number of the version for n samples, and the version.

        A new one is interpreted, if that gives the same bits. Else it is compiled: quickly at first; with optimisation if this
        call itself is long, or if quick code for the same target has been retired. Both give the same bits.
        """
        with making:
            bytecode = self.bytecode  # another thread may set it to None
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
        """The interpreter, if it is sure to give the bits of compiled code; else None."""
        bytecode, single = self.bytecode, which in (0, 4)
        if bytecode is None or (single and not bytecode.for_one):
            return None
        lanes = self.target(8, own={}).lanes
        t = self.target(0 if single else lanes, own={})
        code, tables = bytecode.code(t)
        trial = Trial(code.all, bytecode.price, self)
        return Version(t, code, bytecode, tables, bytecode.work, False, [], trial.all, trial)

    def _compiled(self, which: int, n: int) -> Version:
        """The version of this number, compiled: quickly, unless optimising pays for this call of n samples already."""
        block = (0, *self._blocks[::-1], self._blocks[0], 0)[which]
        same = self._versions[3 - which] if which in (1, 2) and self._blocks[0] == self._blocks[1] else None
        if same is not None:
            return same
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
        """End a trial: the next call optimises the code, or compiles what was interpreted. Calls under way are not affected."""
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
        """From now on, compile."""
        bytecode, self.bytecode = self.bytecode, None
        self._versions[:] = [v if v is not None and v.plan is not bytecode else None for v in self._versions]
        if self._versions[0] is None:
            self._singles = []

    def each(self, version: Version) -> float:
        """The seconds that a sample takes, if there are many."""
        return version.cost * INTERPRETED if isinstance(version.plan, Bytecode) else self._cost * OPERATION
