"""The LLVM back end: a schedule compiled to machine code, with samples in the lanes of the processor's vectors.

`schedule` comes before; from there on, in this folder,

    plan       the schedule as kernels (operands.py), loops of kernels, and sums over the samples, for a Target (target.py);
               it decides where the results of a call lie while that runs (homes.py)
    module     writes LLVM's assembly, function by function (function.py, spellings.py). It decides what becomes a loop nest
               (loops.py; for one sample one_sample.py, and terms.py for long sums), what a loop over steps (recurrences.py;
               fused.py for rows of neighbours), and what straight-line code (straight.py). It adds the copies of arguments
               and results (arrays.py), the look for nan among them (nans.py), and the entry points (driver.py)
    code       compiles that text, for this machine and its mathematics library (machine.py), and keeps machine code (cache.py)
    versions   first interprets the tape (bytecode.py, interpreter.py) or compiles it quickly, and optimises once that pays;
               it has versions for few samples and for many
    program    this file: runs the versions, in frames of memory (frames.py), and in several threads (threads.py)

With `exact`, results have the bits of the reference back end. Otherwise a product and the sum that it goes into may be rounded
once instead of twice (a fused multiply-add), long sums are added in parts, and exp, log, sin, ... come from the platform's
library for vectors, if there is one (glibc's libmvec, within 4 units in the last place; softplus, made of two of them, within
6). Either way the sum over the samples is the same for any number of threads; in float64 it is added in the one order that
`reference.total` defines.
"""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any

import numpy as np

from micrograd.tape.back_ends.llvm import machine, threads
from micrograd.tape.back_ends.llvm.bytecode import Bytecode
from micrograd.tape.back_ends.llvm.code import check as check
from micrograd.tape.back_ends.llvm.code import trouble as trouble
from micrograd.tape.back_ends.llvm.frames import LARGE, Frame, Single, room
from micrograd.tape.back_ends.llvm.target import CHUNK, NANS, THETA_AT
from micrograd.tape.back_ends.llvm.versions import Version, Versions
from micrograd.tape.tape import Tape

Array = np.ndarray[Any, Any]
ALONE = 16  # up to so many single results, each has an array of its own
TURNS = 16  # a thread takes its share of the samples in so many parts: if it is held up, others take the rest
WORTH = 2_000_000  # from so many operations times samples on, a call is shared among threads
empty, contiguous = np.empty, np.ascontiguousarray
_EMPTY = np.empty(0)
_LEAVES_AT = THETA_AT * 8  # byte of the frame's pointers at which a call's own arguments begin


class Program(Versions):
    """A tape compiled for this machine; arguments and results are those of `reference.Program`.

    `exact` gives the reference back end's bits. Large calls are shared among `threads`: by default as many as OMP_NUM_THREADS
    says, or as this process may run at once. Any number of threads may call a program: each call has a frame of its own.
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
        super().__init__(tape, fields, reduce, np.dtype(dtype), exact, groups)
        self.threads = threads
        self._outputs = len(tape.outputs)
        self._shape, self._bytes = (self._outputs,), self._outputs * self.dtype.itemsize  # of the results of a sample
        given = len(fields) + len(groups)  # how many arrays a call has
        self._enter = struct.Struct(f"=3Q{'d' if self.dtype.itemsize == 8 else 'f4x'}{1 + given}Q").pack_into

    def __call__(self, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Any:
        """The outputs for n samples, of shape (outputs, n), or (outputs,) with `reduce`: the sums, or the `mean`.

        With `groups`, a list of arrays instead, one for each group: of shape (n,) for one output, else (n, outputs).
        """
        which = self.which(n)
        version = self._versions[which]
        if version is None:
            which, version = self.version(n)
        if n > CHUNK and version.trial and n * self.each(version) > version.trial.left:
            self.retire(version.trial)
            which, version = self.version(n)
        dtype = self.dtype
        leaves = contiguous(leaves, dtype)
        arrays = [contiguous(x, dtype) for x in inputs]  # compiled code reads where the numbers lie from the arrays' objects
        frame = self._frame(version)
        results: list[Array] = []
        if self.groups:
            out = _EMPTY
            results = self._room(n, which == 3)
            arrays += results
        elif not self.reduce:
            out = (empty if n * self._bytes < LARGE else room)((*self._shape, n), dtype)
        elif n <= CHUNK:
            out = (empty if self._bytes < LARGE else room)(self._shape, dtype) if n else np.zeros(self._shape, dtype)
        else:
            out = empty((-(-n // CHUNK), *self._shape), dtype)
        divides = mean and 1 < n <= CHUNK and not version.direct  # otherwise that is left to the end
        self._enter(frame.pointers, _LEAVES_AT, id(leaves), id(out), n, n if divides else 1.0, 0, *map(id, arrays))
        many = 1 if n <= CHUNK else self.threads or (threads.available() if n * version.cost > WORTH else 1)
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
            nan = self.twin is not None and math.isnan(out.item(out.argmax()))  # chunks may have infinities of both signs
        if mean and n > 1 and not divides:
            out /= n
        if self._callbacks and (error := machine.failures.take()):
            raise error
        made = results or out
        return made if not nan or self.twin is None else self.twin.mended(made, inputs, leaves, n, mean)

    def prepared(self) -> Callable[..., Array]:
        """A function that gives what a call does, but flat for one sample: for many calls of a small function."""
        versions, dtype, enter, twin, callbacks = self._versions, self.dtype, self._enter, self.twin, self._callbacks

        def ready(n: int, mean: bool) -> tuple[Any, ...]:
            """What all calls with n samples have in common."""
            which, version = self.version(n)
            shape: Any = self._shape if self.reduce or n == 1 else (*self._shape, n)
            made = empty if math.prod(shape) * dtype.itemsize < LARGE else room
            shape = shape[0] if made is empty and len(shape) == 1 else shape  # which NumPy is quicker to read
            divides = mean and n > 1
            return (
                n,
                mean,
                which,
                version,
                made,
                shape,
                n if divides and not version.direct else 1.0,
                divides and version.direct,
            )

        latest: tuple[Any, ...] = -1, *[None] * 7

        def run(inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Array:
            nonlocal latest
            if not 0 < n <= CHUNK:
                return self(inputs, leaves, n, mean)  # type: ignore[no-any-return]
            before, averaged, which, version, made, shape, divisor, late = latest  # in one read: other threads may set it
            if n != before or mean is not averaged or version is not versions[which]:  # or it was optimised meanwhile
                latest = _, _, which, version, made, shape, divisor, late = ready(n, mean)
            leaves = contiguous(leaves, dtype)
            arrays = [contiguous(x, dtype) for x in inputs]
            try:
                frame = version.idle.pop()
            except IndexError:
                frame = self._frame(version)
            out: Array = made(shape, dtype)
            enter(frame.pointers, _LEAVES_AT, id(leaves), id(out), n, divisor, 0, *map(id, arrays))
            version.all(frame.address)
            nan = twin is not None and frame.pointers[NANS]
            version.idle.append(frame)
            if late:
                out /= n
            if callbacks and (error := machine.failures.take()):
                raise error
            return twin.mended(out, inputs, leaves, n, mean) if nan and twin is not None else out

        return run

    def _room(self, n: int, lined: bool) -> list[Array]:
        """An array for each group of results; if there are many of one output, these are rows of one array."""
        singles = self.groups.count(1)
        if singles <= ALONE or lined:
            return [room((n, width) if width > 1 else (n,), self.dtype, lined) for width in self.groups]
        rows = iter(room((singles, n), self.dtype))
        return [room((n, width), self.dtype) if width > 1 else next(rows) for width in self.groups]

    def single(self, args: Sequence[float], leaves: Sequence[float] = ()) -> list[float]:
        """The outputs for one sample of plain numbers, of a program whose every input is a number that does not vary."""
        singles = self._singles
        try:
            single = singles.pop()
        except IndexError:
            _, version = self.version(1, 0)
            frame = Frame(version.plan, version.target, self.dtype, version.tables)
            single = Single(frame, version.all, len(args), len(leaves), self._outputs)
        single.pack(single.numbers, 0, *args, *leaves)
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
            return Frame(version.plan, version.target, self.dtype, version.tables)

    def _shared_among(self, many: int, version: Version, first: Frame, n: int, arrays: Any) -> None:
        """Run the chunks of a call in threads, each in a frame of its own; a thread takes the next chunks when it is done."""
        share, chunks = version.code.share, -(-n // CHUNK)
        span, following = max(1, chunks // (TURNS * many)) * CHUNK, ctypes.c_int64(0)
        version.code.run(first.address, 0, 0, 1)

        def work(frame: Frame, *held: Any) -> BaseException | None:  # `held`: kept alive, even if an interrupt ends the call
            share(frame.address, ctypes.byref(following), span)
            return machine.failures.take()

        others = [self._frame(version) for _ in range(min(many, chunks) - 1)]
        for frame in others:
            for i in (1, *range(THETA_AT, len(first.pointers))):
                frame.pointers[i] = first.pointers[i]
            if isinstance(version.plan, Bytecode):  # whose shared numbers lie in rows too
                frame.rows[:] = first.rows
        waiting = []
        with suppress(RuntimeError):  # if the system gives no threads, this one does all the work
            waiting = [threads.workers().submit(work, frame, first, version, arrays, self) for frame in others]
        error = work(first)
        for job in waiting:  # a job that has not begun yet would find nothing left to do
            if not job.cancel():
                error = error or job.result()
        for frame in others:
            frame.pointers[1] = frame.shared.ctypes.data
            first.pointers[NANS] |= frame.pointers[NANS]
            version.idle.append(frame)
        machine.failures.first = error


@np.errstate(over="ignore", invalid="ignore")
def together(sums: Array) -> Array:
    """The sum of the chunks' sums in the order of `reference.total`: neighbours first, the last of an odd number later."""
    while len(sums) > 1:
        even = len(sums) & ~1
        sums = np.concatenate([sums[0:even:2] + sums[1:even:2], sums[even:]])
    total: Array = sums[0]
    return total
