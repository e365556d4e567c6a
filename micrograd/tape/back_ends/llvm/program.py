"""The LLVM back end: a schedule compiled to the machine, samples in the lanes of its vectors.

`schedule` comes before; from there on, in this folder,

    plan       the schedule in the words of this back end: kernels (operands.py) for a Target (target.py)
    module     what becomes a loop nest (loops.py; for one sample one_sample.py, and terms.py for long sums), what a loop over
               steps (recurrences.py; fused.py for rows of neighbours) and what straight-line code (straight.py): text,
               function by function (function.py, spellings.py), with arguments and results (arrays.py), whether one
               of these is nan (nans.py), and the doors to it (driver.py)
    code       that text as machine code, for this machine and its mathematics library (machine.py)
    versions   the tape interpreted first (bytecode.py, interpreter.py), or quickly compiled, and optimised once that pays;
               code for few samples and for many
    program    this file: calls of them, with memory of their own (frames.py)

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
ALONE = 16  # single results up to which each has an array of its own
TURNS = 16  # in which a thread takes its part of the samples: one that is held up leaves the rest to the others
WORTH = 2_000_000  # operations times samples from which on a call is shared among threads
empty, contiguous = np.empty, np.ascontiguousarray
_EMPTY = np.empty(0)


class Program(Versions):
    """A tape compiled for this machine; the same arguments and results as `reference.Program`.

    `exact` gives the reference back end's bits. Calls of much work are shared among `threads`: where not given, as many as
    OMP_NUM_THREADS says and this process may run at once. Any number of threads may call it: each call has a frame of its own.
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
        given = len(fields) + len(groups)  # a call's arrays
        self._enter = struct.Struct(f"=3Q{'d' if self.dtype.itemsize == 8 else 'f4x'}{1 + given}Q").pack_into

    def __call__(self, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Any:
        """The outputs for n samples, of shape (outputs, n), or (outputs,) with `reduce`: the sums, or the `mean`.

        With `groups`, a list of arrays instead, each of as many outputs as it says: of shape (n,) for one, else (n, outputs).
        """
        if 0 < n <= CHUNK and not self.groups:
            found = self.prepared(n, mean)(inputs, leaves)
            return found if n > 1 or self.reduce else found.reshape(-1, 1)
        which = self.which(n)
        version = self._versions[which]
        if version is None:
            which, version = self.version(n)
        if n > CHUNK and version.trial and n * self.each(version) > version.trial.left:
            self.retire(version.trial)
            which, version = self.version(n)
        dtype = self.dtype
        leaves = contiguous(leaves, dtype)
        arrays = [contiguous(x, dtype) for x in inputs]  # compiled code finds the numbers in the arrays' objects
        frame = self._frame(version)
        results: list[Array] = []
        if self.groups:
            out = _EMPTY
            results = self._room(n, which == 3)
            arrays += results
        elif not self.reduce:
            out = (empty if n * self._bytes < LARGE else room)((*self._shape, n), dtype)
        else:
            out = empty((-(-n // CHUNK), *self._shape), dtype) if n else np.zeros(self._shape, dtype)
        self._enter(frame.pointers, THETA_AT * 8, id(leaves), id(out), n, 1.0, 0, *map(id, arrays))
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
            nan = self.twin is not None and math.isnan(out.item(out.argmax()))  # infinities of either sign may have met
            if mean:
                out /= n
        if self._callbacks and (error := machine.failures.take()):
            raise error
        made = results or out
        return made if not nan or self.twin is None else self.twin.mended(made, inputs, leaves, n, mean)

    def prepared(self, n: int, mean: bool = False) -> Callable[[Sequence[Any], Array], Array]:
        """The outputs for n samples as a function of inputs and leaves: for many calls of a small function in a row.

        As a call gives them, but flat where there is one sample.
        """
        if not 0 < n <= CHUNK:
            return lambda inputs, leaves: self(inputs, leaves, n, mean)
        versions, dtype, enter, twin = self._versions, self.dtype, self._enter, self.twin
        shape = self._shape if self.reduce or n == 1 else (*self._shape, n)
        made = empty if math.prod(shape) * dtype.itemsize < LARGE else room
        callbacks, many = self._callbacks, mean and n > 1
        first = self.which(n)
        latest = first, versions[first]

        def run(inputs: Sequence[Any], leaves: Array) -> Array:
            nonlocal latest
            which, version = latest  # as one: other threads may call this too
            if version is None or version is not versions[which]:  # not made as yet, or optimised meanwhile
                latest = which, version = self.version(n)
            leaves = contiguous(leaves, dtype)
            arrays = [contiguous(x, dtype) for x in inputs]  # compiled code finds the numbers in the arrays' objects
            try:
                frame = version.idle.pop()
            except IndexError:
                frame = self._frame(version)
            out: Array = made(shape, dtype)
            divisor = n if many and not version.direct else 1.0
            enter(frame.pointers, THETA_AT * 8, id(leaves), id(out), n, divisor, 0, *map(id, arrays))
            version.all(frame.address)
            nan = twin is not None and frame.pointers[NANS]
            version.idle.append(frame)
            if many and version.direct:
                out /= n
            if callbacks and (error := machine.failures.take()):
                raise error
            return twin.mended(out, inputs, leaves, n, mean) if nan and twin is not None else out

        return run

    def _room(self, n: int, lined: bool) -> list[Array]:
        """An array for each group of results; many single ones are rows of one array."""
        singles = self.groups.count(1)
        if singles <= ALONE or lined:
            return [room((n, width) if width > 1 else (n,), self.dtype, lined) for width in self.groups]
        rows = iter(room((singles, n), self.dtype))
        return [room((n, width), self.dtype) if width > 1 else next(rows) for width in self.groups]

    def single(self, args: Sequence[float], leaves: Sequence[float]) -> list[float]:
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
            if isinstance(version.plan, Bytecode):  # which has a row for every number
                frame.rows[:] = first.rows
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
