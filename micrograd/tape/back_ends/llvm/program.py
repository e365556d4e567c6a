"""The LLVM back end: a schedule compiled to the machine, samples in the lanes of its vectors.

`schedule` comes before; from there on, in this folder,

    plan       the schedule in the words of this back end: kernels (operands.py) for a Target (target.py)
    module     what becomes a loop nest (loops.py; for one sample one_sample.py, and terms.py for long sums), what a loop over
               steps (recurrences.py; fused.py for rows of neighbours) and what straight-line code (straight.py): text,
               function by function (function.py, spellings.py), with arguments and results (arrays.py), whether one
               of these is nan (nans.py), and the doors to it (driver.py)
    code       that text as machine code, for this machine and its mathematics library (machine.py)
    program    this file: versions of the code for few and many samples, called with memory of its own (frames.py), quickly
               compiled first and optimised once that pays

Results agree with the reference back end bit for bit with `exact`. Otherwise a product and the sum that it goes into may
be rounded once instead of twice (a fused multiply-add), long sums are added in parts, and exp, log, sin, ... come from the
platform's library for vectors (glibc's libmvec, within 4 units in the last place; softplus, made of two of them, within 6)
where there is one.
Either way the sum over the samples is the same for any number of threads; in float64 it is added in the one order that
`reference.total` defines.
"""

from __future__ import annotations

import ctypes
import math
import struct
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from micrograd.tape.back_ends.llvm import machine, threads
from micrograd.tape.back_ends.llvm.code import OPTIMISED, QUICK, Code, compiled, making
from micrograd.tape.back_ends.llvm.code import check as check
from micrograd.tape.back_ends.llvm.code import trouble as trouble
from micrograd.tape.back_ends.llvm.frames import LARGE, Frame, Single, room
from micrograd.tape.back_ends.llvm.module import LOOPED, in_one, vectors, written
from micrograd.tape.back_ends.llvm.plan import MANY, Plan
from micrograd.tape.back_ends.llvm.target import CHUNK, NANS, THETA_AT, Target
from micrograd.tape.tape import Tape
from micrograd.tape.vectorise import scheduled

Array = np.ndarray[Any, Any]
NEAR = 98304  # bytes of a block of samples that stay close to the processor,
NEAREST = 24576  # the same for straight-line code, whose every value comes and goes once,
FAR = 8 << 20  # and bytes that a block may take for the sake of sums that are not kept lane by lane,
WAITING = 16 << 20  # or of loops, whose every step waits for the one before it: they are run on some vectors side by side
SHORT = 32  # samples in a block of the version for calls that would not fill half of a longer one
STREAMED = 16 << 20  # bytes of results from which on stores are non-temporal: the caches could not hold them
ALONE = 16  # single results up to which each has an array of its own
SINGLE = 64  # sums over samples from which on one sample has code of its own, without accumulators
TURNS = 16  # in which a thread takes its part of the samples: one that is held up leaves the rest to the others
WORTH = 2_000_000  # operations times samples from which on a call is shared among threads
LEAST, LETTER = 0.01, 1e-6  # seconds that LLVM takes to optimise any code, and for each character of its text,
OPERATION = 3e-10  # and that an operation on one sample takes, where there are many samples,
CALL = 3e-6  # and a call beside its code


@dataclass(frozen=True)
class Version:
    """Code for one way of taking samples, and frames for it that are not in use."""

    target: Target
    code: Code
    direct: bool
    idle: list[Frame]
    all: Callable[[int], None]
    trial: Trial | None = None  # of code that is not optimised


class Trial:
    """Calls of quickly compiled code, timed until they have taken as long as optimising it is going to.

    However many calls there will be, that is at most about twice the time of whichever is better, with optimising or without.
    """

    def __init__(self, run: Callable[[int], None], price: float, program: Program):
        self.run, self.left, self.program = run, price, weakref.ref(program)

    def all(self, address: int) -> None:
        start = perf_counter()
        self.run(address)
        self.spend(perf_counter() - start)

    def spend(self, seconds: float) -> None:
        self.left -= seconds + CALL
        if self.left < 0.0 and (program := self.program()):
            program.retire(self)


class Twin(Protocol):
    """What computes once more results that are nan, where a nan may come from what was not chosen."""

    def mended(self, found: Any, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Any:
        """The results of a call with numbers in the places of nans."""

    def mended_numbers(self, found: list[float], args: tuple[float, ...], leaves: Array) -> list[float]:
        """The same for the results of `single`."""


empty, contiguous = np.empty, np.ascontiguousarray
_EMPTY = np.empty(0)


class Program:
    """A tape compiled for this machine; the same arguments and results as `reference.Program`.

    `exact` gives the reference back end's bits. Calls of much work are shared among `threads`: where not given, as many as
    OMP_NUM_THREADS says and this process may run at once. Of five versions, each is compiled when it is first needed: up to
    three samples one by one, sums of a single one, short blocks of all lanes for some, long ones for many, and long ones
    whose results are stored non-temporally. Any number of threads may call it: each call has a frame of its own.
    """

    def __init__(
        self,
        tape: Tape,
        fields: Sequence[tuple[int, bool]],
        reduce: bool,
        dtype: Any = np.float64,
        exact: bool = False,
        threads: int | None = None,
        groups: Sequence[int] = (),
    ):
        self.dtype, self.reduce, self.exact, self.threads = np.dtype(dtype), reduce, exact, threads
        if self.dtype not in (np.dtype(np.float64), np.dtype(np.float32)):
            raise TypeError(f"compiled code works on float64 or float32, got {self.dtype}")
        if exact and self.dtype != np.dtype(np.float64):
            raise ValueError("exact means the bits of the reference back end, which is float64; got float32")
        self.twin: Twin | None = None  # what mends results that are nan; set before the first call
        self._real = "double" if self.dtype.itemsize == 8 else "float"  # LLVM's name
        self.schedule = it = scheduled(tape, fields, reduce)
        self.plan, self.groups = Plan(it, groups), tuple(groups)
        plan = self.plan
        self._tables = np.concatenate([*self.plan.tables, np.zeros(1, np.int32)])
        self._cost = sum(i.work for i in self.plan.work) + sum(int(np.prod(i.shape)) * i.terms for i in self.plan.totals)
        self._versions: list[Version | None] = [None] * 5
        self._retired: list[Target] = []  # for which there was quickly compiled code until it had run for long
        self._callbacks: dict[str, Any] = {}  # what compiled code calls: as long as that lives, so must these
        self._blocks = self.blocks()
        self._short = self._blocks[0] // 2
        self._streamed = math.inf  # samples from which on results are stored non-temporally
        if any(groups) and in_one(plan, self.target(self._blocks[0])):
            self._streamed = STREAMED / (sum(groups) * self.dtype.itemsize)
        self._singles: list[Single] = []
        self._shape = (plan.sums,) if reduce else (len(it.outputs),)
        self._bytes = len(it.outputs) * self.dtype.itemsize  # of the results of a sample
        given = len(it.fields) + len(groups)  # a call's arrays
        self._enter = struct.Struct(f"=3Q{'d' if self.dtype.itemsize == 8 else 'f4x'}{1 + given}Q").pack_into

    def __str__(self) -> str:
        return str(self.schedule)

    def target(self, block: int, streamed: bool = False, single: bool = False) -> Target:
        """What code is written for: how many samples at a time, in how many lanes; one number at a time where that is 0."""
        size, real = self.dtype.itemsize, self._real
        _, _, width, registers = machine.host()
        width //= size
        library = {(name, lanes): f"@lib.{name}.{lanes}.{real}" for name, lanes in machine.addresses(real, not self.exact)}
        lacking = {(rule, len(rule.partials)): rule.name for rule in machine.lacking(real, self.exact)}
        for (primitive, arguments), name in (self.plan.own | lacking).items():
            if name not in self._callbacks:
                self._callbacks[name] = machine.callback(primitive, arguments, real)
            library[name, 1] = f"inttoptr (i64 {machine.address(self._callbacks[name])} to ptr)"
        lanes, telling = 8 if self.exact else max(8, width), self.twin is not None
        if not block:
            lanes, block = 1, 1
        return Target(lanes, block, real, self.exact, registers, width, library, single, streamed, telling)

    def blocks(self) -> tuple[int, int]:
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

    def version(self, which: int, n: int) -> Version:
        """The code for single numbers (0), short calls (1), long ones (2), or with large results (3); sums of one sample (4).

        It is compiled when it is first needed, for a call with n samples: quickly, unless that call is long itself. What has
        been retired is optimised; its results have the same bits.
        """
        with making:
            found = self._versions[which]
            if found is None:
                block = (0, *self._blocks[::-1], self._blocks[0], 0)[which]
                twin = self._versions[3 - which] if which in (1, 2) and self._blocks[0] == self._blocks[1] else None
                if twin is None:
                    t = self.target(block, which == 3, which == 4)
                    text = written(self.plan, t)
                    price = LEAST + LETTER * len(text)
                    retired = t in self._retired
                    try:
                        code = compiled(text, OPTIMISED if retired or n * self._cost * OPERATION > price else QUICK)
                    except MemoryError:
                        if not retired:
                            raise
                        code, price = compiled(text, QUICK), math.inf
                    trial = Trial(code.all, price, self) if code.level == QUICK else None
                    twin = Version(t, code, self.plan.direct(t), [], (trial or code).all, trial)
                found = self._versions[which] = twin
            return found

    def retire(self, trial: Trial) -> None:
        """Have the next call optimise the code of a trial; calls under way end with what they have."""
        for which, version in enumerate(self._versions):
            if version is not None and version.trial is trial:
                self._retired.append(version.target)
                self._versions[which] = None
                if which == 0:
                    self._singles = []

    def __call__(self, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Any:
        """The outputs for n samples, of shape (outputs, n), or (outputs,) with `reduce`: the sums, or the `mean`.

        With `groups`, a list of arrays instead, each of as many outputs as it says: of shape (n,) for one, else (n, outputs).
        """
        if n <= 3:
            which = 4 if n == 1 and self.plan.sums > SINGLE else 0
        else:
            which = 1 if n <= self._short else 2 if n < self._streamed else 3
        version = self._versions[which] or self.version(which, n)
        if n > CHUNK and version.trial and n * self._cost * OPERATION > version.trial.left:
            self.retire(version.trial)
            version = self.version(which, n)
        dtype = self.dtype
        leaves = contiguous(leaves, dtype)
        arrays = [contiguous(x, dtype) for x in inputs]  # compiled code finds the numbers in the arrays' objects
        try:
            frame = version.idle.pop()
        except IndexError:
            frame = self._frame(version)
        divisor, after = 1.0, mean and n > 1
        results: list[Array] = []
        if self.groups:
            out = _EMPTY
            results = self._room(n, which == 3)
            arrays += results
        elif not self.reduce:
            out = (np.empty if n * self._bytes < LARGE else room)((*self._shape, n), dtype)
        elif n <= CHUNK:
            out = empty(self.plan.sums, dtype) if n else np.zeros(self._shape, dtype)
            if after and not version.direct:
                divisor, after = n, False
        else:
            out = np.empty((-(-n // CHUNK), *self._shape), dtype)
        self._enter(frame.pointers, THETA_AT * 8, id(leaves), id(out), n, divisor, 0, *map(id, arrays))
        many = 1 if n <= CHUNK else self.threads or (threads.available() if n * self._cost > WORTH else 1)
        if many > 1:
            start = perf_counter()
            self._shared_among(many, version, frame, n, (arrays, leaves, out))
            if version.trial:
                version.trial.spend(perf_counter() - start)
        else:
            version.all(frame.address)
        nan = self.twin is not None and frame.pointers[NANS]
        version.idle.append(frame)
        if self.reduce and n > CHUNK:
            out = together(out)
            nan = self.twin is not None and math.isnan(out.item(out.argmax()))  # infinities of either sign may have met
        if after:
            out /= n
        if self._callbacks and (error := machine.failures.take()):
            raise error
        found = results or out
        return found if not nan or self.twin is None else self.twin.mended(found, inputs, leaves, n, mean)

    def _room(self, n: int, lined: bool) -> list[Array]:
        """An array for each group of results; many single ones are rows of one array."""
        singles = self.groups.count(1)
        if singles <= ALONE or lined:
            return [room((n, width) if width > 1 else (n,), self.dtype, lined) for width in self.groups]
        rows = iter(room((singles, n), self.dtype))
        return [room((n, width), self.dtype) if width > 1 else next(rows) for width in self.groups]

    def single(self, args: tuple[float, ...], leaves: Array) -> list[float]:
        """The outputs for one sample, of a program whose every input is a number that does not vary."""
        singles = self._singles
        try:
            single = singles.pop()
        except IndexError:
            version = self.version(0, 1)
            frame = Frame(self.plan, version.target, self.dtype, self._tables)
            single = Single(frame, version.all, len(args), len(self.schedule.outputs))
        single.pack(single.numbers, 0, *args)
        if leaves is not single.leaves:
            single.leaves, single.pointers[THETA_AT] = leaves, id(leaves)
        single.all(single.address)
        out: list[float] = single.out[:]
        singles.append(single)
        if self._callbacks and (error := machine.failures.take()):
            raise error
        return out if self.twin is None else self.twin.mended_numbers(out, args, leaves)

    def _frame(self, version: Version) -> Frame:
        try:
            return version.idle.pop()
        except IndexError:
            return Frame(self.plan, version.target, self.dtype, self._tables)

    def _shared_among(self, many: int, version: Version, first: Frame, n: int, arrays: Any) -> None:
        """Run the chunks of a call in threads, each in a frame of its own and taking the next as soon as it is done."""
        share, chunks = version.code.share, -(-n // CHUNK)
        span, following = max(1, chunks // (TURNS * many)) * CHUNK, ctypes.c_int64(0)
        version.code.run(first.address, 0, 0, 1)

        def work(frame: Frame, *held: Any) -> BaseException | None:  # to the end, though an interrupt ends the call meanwhile
            share(frame.address, ctypes.byref(following), span)
            return machine.failures.take()

        others = [self._frame(version) for _ in range(min(many, chunks) - 1)]
        for frame in others:
            for i in (1, *range(THETA_AT, len(first.pointers))):
                frame.pointers[i] = first.pointers[i]
        waiting = []
        with suppress(RuntimeError):  # where the system gives no threads, this one does it all
            waiting = [threads.workers().submit(work, frame, first, version, arrays, self) for frame in others]
        error = work(first)
        for job in waiting:  # those that have not begun by now would find nothing left
            if not job.cancel():
                error = error or job.result()
        for frame in others:
            frame.pointers[1] = frame.shared.ctypes.data
            first.pointers[NANS] |= frame.pointers[NANS]
            version.idle.append(frame)
        machine.failures.first = error


@np.errstate(over="ignore", invalid="ignore")
def together(sums: Array) -> Array:
    """The sum of the chunks' sums, neighbours first, an odd one waiting: the order of `reference.total`."""
    while len(sums) > 1:
        even = len(sums) & ~1
        sums = np.concatenate([sums[0:even:2] + sums[1:even:2], sums[even:]])
    total: Array = sums[0]
    return total
