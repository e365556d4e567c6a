"""The LLVM back end: a schedule compiled to the machine, samples in the lanes of its vectors.

`schedule` comes before, `assembly` spells the code; this file decides what becomes a loop and what straight-line code,
finds the machine and its mathematics library, keeps the compiled code, and calls it. llvmlite is imported here alone, and
only when something is compiled.

Results agree with the reference back end bit for bit with `exact`. Otherwise a product and the sum that it goes into may
be rounded once instead of twice (a fused multiply-add), and exp, log, sin, ... come from the platform's library for
vectors (glibc's libmvec, within 4 units in the last place; softplus, made of two of them, within 6) where there is one.
Either way the sum over the samples is the same for any number of threads; in float64 it is added in the one order that
`reference.total` defines.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import math
import os
import platform
import struct
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from micrograd.primitives import RULES, Primitive
from micrograd.tape import schedule
from micrograd.tape.back_ends.llvm import assembly
from micrograd.tape.back_ends.llvm.assembly import (
    ARRAYS,
    CHUNK,
    COUNT,
    DATA,
    DIVISOR,
    FROM_LIBRARY,
    OUT,
    ROWS,
    SHARED,
    SPELLINGS,
    THETA,
    WRITERS,
    Function,
    Instruction,
    Operand,
    Operation,
    Rows,
    Target,
    Total,
)
from micrograd.tape.schedule import Schedule, Vector, scheduled
from micrograd.tape.tape import Tape

Array = np.ndarray[Any, Any]

LONGEST = 200  # operations in one function: LLVM's time is quadratic in the length of a block
WHOLE = 400  # operations up to which arguments, work and results of a vector of samples are one function
LOOPED = 64  # operations from which on an instruction is a loop rather than straight-line code
CROWDED = 150_000  # operations in straight-line code from which on only short instructions stay there
MANY = 2048  # sums over the samples from which on they are better not kept lane by lane
NEAR = 98304  # bytes of a block of samples that stay close to the processor,
NEAREST = 24576  # the same for straight-line code, whose every value comes and goes once,
FAR = 8 << 20  # and bytes that a block may take for the sake of sums that are not kept lane by lane
SHORT = 32  # samples in a block of the version for calls that would not fill half of a longer one
STREAMED = 16 << 20  # bytes of results from which on they are written past the caches, which they would not fit into
TURNS = 16  # in which a thread takes its part of the samples: one that is held up leaves the rest to the others
WORTH = 2_000_000  # operations times samples from which on a call is shared among threads


# -- the machine


@functools.cache
def trouble() -> str:
    """Why compiled code cannot be had here; empty where it can."""
    try:
        import llvmlite.binding as llvm
    except ImportError:
        return "llvmlite is not installed (it comes with the extra `jit` of micrograd-engine)"
    if llvm.llvm_version_info[0] < 20:
        return f"llvmlite {'.'.join(map(str, llvm.llvm_version_info))} is too old: 0.45 or newer is needed"
    probe = np.zeros(3)[1:]
    if platform.python_implementation() != "CPython" or _pointer_at(id(probe) + DATA).value != probe.ctypes.data:
        return "this interpreter keeps the numbers of arrays where compiled code does not look for them"
    try:
        Code("\n".join(f"define void @{name}() {{ ret void }}" for name in ("run", "share", "all")))
    except (OSError, RuntimeError) as error:
        return f"LLVM cannot compile for this machine: {error}"
    return ""


def check() -> None:
    """ImportError that says why, where compiled code cannot be had here."""
    if reason := trouble():
        raise ImportError(f'no compiled code: {reason}; backend="numpy" works everywhere')


_pointer_at = ctypes.c_void_p.from_address


@functools.cache
def machine() -> tuple[str, str, int, int]:
    """The processor's name and features as LLVM calls them, the bytes of its vectors, the number of its registers."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    name, flat = llvm.get_host_cpu_name(), features.flatten()
    if features.get("avx512f") and features.get("avx512dq") and features.get("avx512vl"):
        return name, flat, 64, 32
    if features.get("avx2"):
        return name, flat, 32, 16
    return name, flat, 16, 32 if platform.machine() in ("arm64", "aarch64") else 16


def memory_left() -> float:
    """Bytes that this process may still take, as far as the system says."""
    left = [math.inf]
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        with open("/proc/self/statm") as own, open("/proc/meminfo") as whole:
            if limit != resource.RLIM_INFINITY:
                left.append(limit - int(own.read().split()[0]) * resource.getpagesize())
            left += [1024.0 * int(line.split()[1]) for line in whole if line.startswith("MemAvailable:")]
    except (ImportError, OSError):
        pass
    return min(left)


@functools.cache
def libraries() -> tuple[Any, Any]:
    """The platform's mathematics library, and its library of functions of vectors or None."""
    scalar = ctypes.CDLL(ctypes.util.find_library("m") or ctypes.util.find_library("ucrtbase") or "msvcrt")
    try:
        return scalar, ctypes.CDLL("libmvec.so.1")
    except OSError:
        return scalar, None


@functools.cache
def addresses(real: str, vectors: bool) -> dict[tuple[str, int], int]:
    """Where the library's functions lie, by name and number of lanes; with those of vectors where wanted."""
    scalar, vector = libraries()
    size, ending = (8, "") if real == "double" else (4, "f")
    found: dict[tuple[str, int], int] = {}
    widths = [(16, "n" if platform.machine() in ("arm64", "aarch64") else "b"), (32, "d"), (64, "e")]
    for name in (*FROM_LIBRARY, "pow", "atan2"):
        if hasattr(scalar, name + ending):
            found[name, 1] = _address(getattr(scalar, name + ending))
        for width, letter in widths if vectors and vector is not None else ():
            symbol = f"_ZGV{letter}N{width // size}{'vv' if name in ('pow', 'atan2') else 'v'}_{name}{ending}"
            if width <= machine()[2] and hasattr(vector, symbol):
                found[name, width // size] = _address(getattr(vector, symbol))
    return found


def _lacking(real: str) -> list[Primitive]:
    """The primitives whose functions the platform's library does not have."""
    return [RULES[name] for name in (*FROM_LIBRARY, "pow", "atan2") if (name, 1) not in addresses(real, False)]


def _address(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address


def callback(primitive: Primitive, arguments: int, real: str, failures: list[BaseException]) -> Any:
    """A primitive of the user's own, or one that the library lacks, to be called from compiled code with so many numbers.

    Compiled code knows no exceptions: what is raised goes to `failures`, and the result is nan.
    """
    kind = ctypes.c_double if real == "double" else ctypes.c_float

    def call(*args: float) -> float:
        try:
            return primitive.on_floats(args)
        except BaseException as error:
            failures.append(error)
            return math.nan

    return ctypes.CFUNCTYPE(kind, *[kind] * arguments)(call)


# -- from the schedule to what is compiled


class Plan:
    """A schedule in the words of `assembly`: what is computed once, what for every sample, and the sums over the samples."""

    def __init__(self, it: Schedule, groups: Sequence[int] = ()):
        self.schedule = it
        self.rows = it.rows
        self.numbers = dict(it.constants)
        self.tables: list[Array] = []
        self.table_size = 0
        self.copies_leaves = False  # some operand lies across the end of the parameters
        self.before: list[Instruction] = []
        self.work: list[Instruction] = []
        self.totals: list[Total] = []
        self.own: dict[tuple[Primitive, int], str] = {}  # names for primitives of the user's own, with so many arguments
        for vector in it.code:
            if vector.over:
                self.totals.append(self.total(vector))
            else:
                (self.before if vector.out.space == SHARED else self.work).append(self.instruction(vector))
        self.inputs = [Rows(i, f.base, f.width) for i, f in enumerate(it.fields) if f.varying and f.width]
        results = [(ROWS if space == schedule.ROWS else SHARED, at) for space, at in it.outputs if space != schedule.TOTALS]
        self.columns: dict[int, list[tuple[int, int]]] = {}  # by array of results: its rows, and the slots they show
        self.same: dict[int, list[tuple[int, int, str]]] = {}  # rows that are the same for all samples
        self.grouped: dict[int, list[int]] = {}  # the slots side by side in the rows of an array
        for number, width in [(ARRAYS + len(it.fields) + i, width) for i, width in enumerate(groups)] or [(OUT, len(results))]:
            own, results = results[:width], results[width:]
            if groups and width > 1:
                self.grouped[number] = [at if space == ROWS else self.spread(at) for space, at in own]
                continue
            self.columns[number] = [(i, at) for i, (space, at) in enumerate(own) if space == ROWS]
            fixed = [(i, at) for i, (space, at) in enumerate(own) if space == SHARED]
            self.same[number] = [(i, at, THETA if at < it.leaves else SHARED) for i, at in fixed]
        self.sums = len(it.outputs) if it.reduce else 0
        self.read = sorted(self.read_by_totals())
        self.tails = self.table(self.read)
        read, filled = set(self.read), dict[str, tuple[list[int], float]]()
        for at, x in it.filled:
            if at in read:
                filled.setdefault(repr(x), ([], x))[0].append(at)
        self.refilled = [(self.table(slots), x) for slots, x in filled.values()]

    def table(self, slots: Sequence[int]) -> Operand:
        """Rows, one after the other, as an operand."""
        return self.gather(ROWS, np.array(slots, np.int32), (1,))

    def gather(self, place: str, table: Array, strides: tuple[int, ...]) -> Operand:
        """An operand that finds its slots in a table."""
        self.tables.append(table)
        self.table_size += len(table)
        return Operand(place, 0, strides, table, table_at=self.table_size - len(table))

    def instruction(self, vector: Vector) -> Instruction:
        name = vector.rule.name if vector.rule is not None else "copy"
        args = tuple(self.operand(o, (*vector.shape, vector.terms)) for o in vector.operands)
        out = self.operand(vector.out, vector.shape)
        if vector.rule is not None and (name == "copy" or (name not in SPELLINGS and name not in WRITERS)):
            name = self.own.setdefault((vector.rule, vector.terms or len(args)), f"own{len(self.own)}")
        return Instruction(name, vector.shape, out, args, vector.terms)

    def operand(self, o: schedule.Operand, shape: tuple[int, ...]) -> Operand:
        """An operand as loads see it; a constant as a number."""
        strides = o.strides
        table = None
        if strides is None:
            assert o.index is not None
            table = np.ascontiguousarray(o.index, np.int32)
            steps = [0 if n == 1 else s // table.itemsize for n, s in zip(table.shape, table.strides, strict=True)]
            axes = len(steps)
            low, high = int(table.min(initial=2**31 - 1)), int(table.max(initial=-1))
            # an index array broadcasts to the shape of its operand: with the axis of terms, or without
            missing = (len(shape) if axes > len(shape) - 1 or axes == len(shape) else len(shape) - 1) - axes
            strides = (0,) * max(0, missing) + tuple(steps)
            table = table.ravel()
        else:
            reach = [s * (n - 1) for s, n in zip(strides, shape, strict=False)]
            low = o.base + sum(r for r in reach if r < 0)
            high = o.base + sum(r for r in reach if r > 0)
        place = ROWS if o.space == ROWS else SHARED
        if o.space == schedule.TOTALS:
            place = "totals"
        if place == SHARED:
            if low == high and low in self.numbers:
                return Operand(value=self.numbers[low], strides=strides)
            leaves = self.schedule.leaves
            if high < leaves:
                place = THETA
            elif low < leaves:
                self.copies_leaves = True
        if table is None:
            return Operand(place, o.base, strides)
        return self.gather(place, table, strides)

    def spread(self, at: int) -> int:
        """A new row that holds a shared number for every sample."""
        source = self.operand(schedule.Operand(schedule.SHARED, at, ()), ())
        self.work.append(Instruction("copy", (), Operand(ROWS, self.rows), (source,)))
        self.rows += 1
        return self.rows - 1

    def shown(self) -> list[int]:
        """The rows that are results."""
        return [at for pairs in self.columns.values() for _, at in pairs] + [at for it in self.grouped.values() for at in it]

    def total(self, vector: Vector) -> Total:
        """A sum over the samples, of operands that all have a number for each sample."""
        shape = (*vector.shape, vector.terms)
        xs = [self.operand(o, shape) for o in vector.operands]
        for i, x in enumerate(xs):
            if x.place != ROWS or x.value is not None:
                strides = tuple(int(np.prod(shape[k + 1 :])) for k in range(len(shape)))
                out = Operand(ROWS, self.rows, strides)
                self.work.append(Instruction("copy", shape, out, (x,)))
                self.rows += int(np.prod(shape))
                xs[i] = out
        return Total(vector.shape, vector.terms, self.operand(vector.out, vector.shape), xs[0], xs[1] if len(xs) > 1 else None)

    def direct(self, t: Target) -> bool:
        """Whether sums over the samples are too many to be kept lane by lane."""
        return t.block == CHUNK and self.sums > MANY

    def read_by_totals(self) -> set[int]:
        """The rows that sums over the samples read."""
        read: set[int] = set()
        for total in self.totals:
            for x in (total.x, total.y):
                if x is not None:
                    read.update(x.slots((*total.shape, total.terms)).tolist())
        return read


def functions(work: Sequence[Instruction], wanted: Iterable[tuple[str, int]], t: Target, prefix: str) -> list[Function]:
    """The work as functions of bounded size: loops for long instructions, straight-line code for what lies between."""
    small = sum(it.work for it in work if it.work < LOOPED)
    looped = LOOPED if small <= CROWDED else 8
    pieces: list[list[Operation] | Instruction] = []
    straight: list[Operation] = []

    def cut() -> None:
        piece: list[Operation] = []
        cost = 0
        makers = {one.out: one for one in straight}
        used = {arg for one in straight for arg in one.args if arg in makers}
        for one in assembly.depth_first(makers, [out for out in makers if out not in used], set()):
            piece.append(one)
            cost += one.cost
            if cost >= LONGEST:
                pieces.append(piece)
                piece, cost = [], 0
        if piece:
            pieces.append(piece)
        straight.clear()

    for it in work:
        if not short(it, looped):
            cut()
            pieces.append(it)
        else:
            straight.extend(assembly.operations(it))
    cut()
    outside, home = set(wanted), dict[tuple[str, int], int]()
    for n, piece in enumerate(pieces):
        if isinstance(piece, Instruction):
            outside |= read_by(piece)
            continue
        for one in piece:
            outside.update(arg for arg in one.args if isinstance(arg, tuple) and home.get(arg, n) != n)
            home[one.out] = n
    found = []
    for n, piece in enumerate(pieces):
        f = Function(f"{prefix}{n}", t)
        if isinstance(piece, Instruction):
            WRITERS.get(piece.name, assembly.write_elementwise)(f, piece)
        else:
            assembly.write_straight(f, piece, outside.__contains__)
        found.append(f)
    return found


def short(it: Instruction, looped: int = LOOPED) -> bool:
    """Whether an instruction becomes straight-line code rather than a loop; one of the user's own always does."""
    own = it.name not in SPELLINGS and it.name not in WRITERS
    return own or (it.work < looped and it.name != "take")


def in_one(plan: Plan, t: Target) -> bool:
    """Whether all work for a vector of samples is so little that its numbers stay in registers from arguments to results."""
    across = sum(it.width for it in plan.inputs) + len(plan.shown())
    return (
        t.lanes > 1
        and not plan.sums
        and across <= WHOLE
        and sum(it.work for it in plan.work) <= WHOLE
        and all(map(short, plan.work))
    )


def read_by(it: Instruction) -> set[tuple[str, int]]:
    """The places that an instruction reads, parameters left out."""
    return {
        (a.place, slot)
        for a in it.args
        if a.value is None and a.place != THETA
        for slot in a.slots((*it.shape, it.terms)[: len(a.strides)]).tolist()
    }


def written(plan: Plan, t: Target) -> str:
    """A plan as one module of assembly, with `run` as its door."""
    once = Target(1, 1, t.real, t.exact, t.registers, t.width, t.library)
    needed = {place for it in plan.work for place in read_by(it)} if plan.before else ()
    before = functions(plan.before, [*((SHARED, at) for it in plan.same.values() for _, at, _ in it), *needed], once, "before")
    if plan.copies_leaves and plan.schedule.leaves:
        before.insert(0, Function("leaves", once))
        assembly.write_fixed(before[0], 2, 0, plan.schedule.leaves)
    for i, f in enumerate(plan.schedule.fields):
        if not f.varying and f.width:
            before.insert(0, Function(f"fixed{i}", once))
            assembly.write_fixed(before[0], ARRAYS + i, f.base, f.width)
    for number, same in plan.same.items():
        if same:
            before.append(Function(f"same{number}", once))
            assembly.write_same(before[-1], number, same)
    work = functions(plan.work, [(ROWS, at) for at in (*plan.read, *plan.shown())], t, "work")
    direct = plan.sums if plan.direct(t) else 0
    named: dict[str, Function] = {}

    def function(name: str, write: Callable[..., None], *args: Any) -> list[str]:
        f = named[name] = Function(name, t)
        write(f, *args)
        return [name]

    whole, part = [], []
    for it in plan.inputs:
        whole += function(f"rows{it.number}", assembly.write_rows, it)
        part += function(f"row{it.number}", assembly.write_single_rows, it)
    both = [f.name for f in work]
    whole, part = whole + both, part + both
    if plan.sums:
        if t.block > 1 and plan.read:
            part += function("notail", assembly.write_no_tail, plan.tails)
        totals = [function(f"total{i}", assembly.write_total, total, direct) for i, total in enumerate(plan.totals)]
        both = [name for names in totals for name in names]
        whole, part = whole + both, part + both
        for i, filled in enumerate(plan.refilled if t.block > 1 else ()):
            part += function(f"refill{i}", assembly.write_filled, *filled)
        if not direct:
            function("clear", assembly.write_clear, plan.sums * t.lanes)
            function("finish", assembly.write_finish, plan.sums)
    for number, pairs in plan.columns.items():
        if pairs:
            whole += function(f"columns{number}", assembly.write_columns, number, pairs, False)
            part += function(f"column{number}", assembly.write_columns, number, pairs, True)
    for number, slots in plan.grouped.items():
        whole += function(f"grouped{number}", assembly.write_rows_out, number, slots, False)
        part += function(f"group{number}", assembly.write_rows_out, number, slots, True)
    if in_one(plan, t):
        operations = [one for it in plan.work for one in assembly.operations(it)]
        whole = function("whole", assembly.write_whole, plan.inputs, operations, plan.columns, plan.grouped)
    driver = assembly.write_driver(t, [f.name for f in before], whole, part, bool(plan.sums) and not direct)
    every = [*before, *work, *named.values()]
    lanes = [assembly.lanes_function(t, *one) for one in sorted(set().union(*(f.by_lanes for f in every)))]
    return "\n".join([assembly.preamble(t), *lanes, *(f.text() for f in every), driver])


# -- compiled code


class Code:
    """A compiled module; the memory it lies in is freed with this object."""

    def __init__(self, text: str):
        import llvmlite.binding as llvm

        name, features, _, _ = machine()
        needed, left = 48e6 + 12 * len(text), memory_left()  # measured: 32 MB, and 7 for each of many
        if needed > left:  # LLVM would end the process
            raise MemoryError(
                f"compiling needs about {needed / 1e6:,.0f} MB, and this process may take {max(left, 0.0) / 1e6:,.0f} MB more: "
                'backend="numpy" needs none of it'
            )
        context = llvm.create_context()
        module = llvm.parse_assembly(text, context)
        to = llvm.Target.from_default_triple().create_target_machine(cpu=name, features=features, opt=2)
        engine = llvm.create_mcjit_compiler(module, to)
        engine.finalize_object()
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
        self.run = kind(engine.get_function_address("run"))  # called without the interpreter's lock
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        self.share = kind(engine.get_function_address("share"))
        self.all = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.get_function_address("all"))
        weakref.finalize(self, _freed, engine, context)


def _freed(engine: Any, context: Any) -> None:
    """Free compiled code, and only then what it was made in: the garbage collector would keep no order."""
    engine.close()
    context.close()


def aligned(numbers: int, dtype: Any) -> Array:
    """An array of zeros that starts at a line of the cache."""
    array = np.zeros(numbers + 64 // dtype.itemsize, dtype)
    first = -array.ctypes.data % 64 // array.itemsize
    return array[first : first + numbers]


class Frame:
    """The memory of one call: a block of samples, accumulators, and the pointers that compiled code starts from."""

    def __init__(self, plan: Plan, t: Target, dtype: Any, tables: Array):
        it = plan.schedule
        self.rows = aligned(max(plan.rows * t.pitch, len(plan.shown()) * t.block if t.streamed else 0), dtype)
        self.totals = aligned(plan.sums * t.lanes, dtype)
        self.shared = aligned(it.shared, dtype)
        for at, x in it.constants:
            self.shared[at] = x
        for at, x in it.filled:
            self.rows[at * t.pitch : (at + 1) * t.pitch] = x
        self.tables = tables
        self.pointers = (ctypes.c_uint64 * (ARRAYS + len(it.fields) + len(plan.columns) + len(plan.grouped)))()
        self.address = ctypes.addressof(self.pointers)
        self.divisor = (ctypes.c_double * 1 if dtype.itemsize == 8 else ctypes.c_float * 1).from_buffer(
            self.pointers, DIVISOR * 8
        )
        self.divisor[0] = 1.0
        for i, array in ((0, self.rows), (1, self.shared), (3, self.totals), (4, tables)):
            self.pointers[i] = array.ctypes.data


@dataclass(frozen=True)
class Version:
    """Code for one way of taking samples, and frames for it that are not in use."""

    target: Target
    code: Code
    direct: bool
    idle: list[Frame]


_EMPTY = np.empty(0)


class Program:
    """A tape compiled for this machine; the same arguments and results as `reference.Program`.

    `exact` gives the reference back end's bits. Calls of much work are shared among `threads`: where not given, as many as
    this process may run at once. Of four versions, each is compiled when it is first needed: one number at a time for up to
    three samples, short blocks of all lanes for some, long ones for many, and long ones whose results go past the caches.
    """

    direct = True  # takes arrays of any shape with the samples first, and divides by their number where asked

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
        self._real = "double" if self.dtype.itemsize == 8 else "float"  # LLVM's name
        self.schedule = it = scheduled(tape, fields, reduce)
        self.plan, self.groups = Plan(it, groups), tuple(groups)
        plan = self.plan
        self._tables = np.concatenate([*self.plan.tables, np.zeros(1, np.int32)])
        self._cost = sum(i.work for i in self.plan.work) + sum(int(np.prod(i.shape)) * i.terms for i in self.plan.totals)
        self._versions: list[Version | None] = [None, None, None, None]
        self._callbacks: dict[str, Any] = {}  # what compiled code calls: as long as that lives, so must these
        self._failures: list[BaseException] = []  # what they raised; so that it reaches the right caller:
        self._one_at_a_time = threading.RLock() if plan.own or _lacking(self._real) else nullcontext()
        self._blocks = self.blocks()
        self._short = self._blocks[0] // 2
        self._streamed = math.inf  # samples from which on results are written past the caches
        if any(groups) and in_one(plan, self.target(self._blocks[0])):
            self._streamed = STREAMED / (sum(groups) * self.dtype.itemsize)
        self._lock = threading.Lock()
        self._singles: list[Single] = []
        self._shape = (plan.sums,) if reduce else (len(it.outputs),)

    def __str__(self) -> str:
        return str(self.schedule)

    def target(self, block: int, streamed: bool = False) -> Target:
        """What code is written for: how many samples at a time, in how many lanes; one number at a time where that is 0."""
        size, real = self.dtype.itemsize, self._real
        _, _, width, registers = machine()
        width //= size
        library = dict(addresses(real, not self.exact))
        lacking = {(rule, len(rule.partials)): rule.name for rule in _lacking(real)}
        for (primitive, arguments), name in (self.plan.own | lacking).items():
            if name not in self._callbacks:
                self._callbacks[name] = callback(primitive, arguments, real, self._failures)
            library[name, 1] = _address(self._callbacks[name])
        if not block:
            return Target(1, 1, real, self.exact, registers, width, library)
        return Target(8 if self.exact else max(8, width), block, real, self.exact, registers, width, library, streamed)

    def blocks(self) -> tuple[int, int]:
        """How many samples are best worked on at a time, and how many in a version for short calls."""
        lanes = max(8, machine()[2] // self.dtype.itemsize)
        bytes_each = self.plan.rows * self.dtype.itemsize
        if self.plan.sums > MANY and bytes_each * CHUNK <= FAR:
            return CHUNK, SHORT
        near = NEAR if self.plan.sums or any(it.work >= LOOPED for it in self.plan.work) else NEAREST
        block = CHUNK
        while block > lanes and bytes_each * block > (near if block > 2 * lanes else 1 << 20):
            block //= 2
        return block, block if block <= 2 * SHORT else SHORT

    def version(self, which: int) -> Version:
        """The code for single numbers (0), short calls (1), long ones (2), or long ones with large results (3).

        It is compiled when it is first needed.
        """
        with self._lock:
            found = self._versions[which]
            if found is None:
                block = (0, *self._blocks[::-1], self._blocks[0])[which]
                twin = self._versions[3 - which] if which in (1, 2) and self._blocks[0] == self._blocks[1] else None
                if twin is None:
                    t = self.target(block, which == 3)
                    twin = Version(t, Code(written(self.plan, t)), self.plan.direct(t), [])
                found = self._versions[which] = twin
            return found

    def __call__(self, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Any:
        """The outputs for n samples, of shape (outputs, n), or (outputs,) with `reduce`: the sums, or the `mean`.

        With `groups`, a list of arrays instead, each of as many outputs as it says: of shape (n,) for one, else (n, outputs).
        """
        with self._one_at_a_time:
            return self._outputs(inputs, leaves, n, mean)

    def _outputs(self, inputs: Sequence[Any], leaves: Array, n: int, mean: bool) -> Any:
        which = 0 if n <= 3 else 1 if n <= self._short else 2 if n < self._streamed else 3
        version = self._versions[which] or self.version(which)
        frame = self._frame(version)
        dtype, pointers = self.dtype, frame.pointers
        leaves = np.ascontiguousarray(leaves, dtype)
        arrays = [np.ascontiguousarray(x, dtype) for x in inputs]  # compiled code finds the numbers in the arrays' objects
        pointers[2], pointers[COUNT] = id(leaves), n
        at = ARRAYS
        for array in arrays:
            pointers[at] = id(array)
            at += 1
        results: list[Array] = []
        if self.groups:
            out = _EMPTY
            for width in self.groups:
                results.append(room((n, width) if width > 1 else (n,), dtype, which == 3))
                pointers[at] = id(results[-1])
                at += 1
        elif not self.reduce:
            out = room((*self._shape, n), dtype)
        elif n <= CHUNK:
            out = np.empty(self._shape, dtype) if n else np.zeros(self._shape, dtype)
            if mean and not version.direct:
                frame.divisor[0], mean = n, False
        else:
            out = np.empty((-(-n // CHUNK), *self._shape), dtype)
        pointers[OUT] = id(out)
        threads = 1 if n <= CHUNK else self.threads or (available() if n * self._cost > WORTH else 1)
        if threads > 1:
            self._shared_among(threads, version, frame, n, (arrays, leaves, results, out))
        else:
            version.code.all(frame.address)
        if self.reduce:
            frame.divisor[0] = 1.0
            if n > CHUNK:
                out = together(out)
            if mean:
                out /= n
        version.idle.append(frame)
        if self._failures:
            self.fail()
        return results or out

    def fail(self) -> None:
        """Raise what a primitive of the user's own raised in compiled code."""
        error = self._failures[0]
        self._failures.clear()
        raise error

    def single(self, args: tuple[float, ...], leaves: Array) -> list[float]:
        """The outputs for one sample, of a program whose every input is a number that does not vary."""
        with self._one_at_a_time:
            try:
                single = self._singles.pop()
            except IndexError:
                single = Single(self, len(args))
            out = single(args, leaves)
            self._singles.append(single)
            if self._failures:
                self.fail()
            return out

    def _frame(self, version: Version) -> Frame:
        try:
            return version.idle.pop()
        except IndexError:
            return Frame(self.plan, version.target, self.dtype, self._tables)

    def _shared_among(self, threads: int, version: Version, first: Frame, n: int, arrays: Any) -> None:
        """Run the chunks of a call in threads, each in a frame of its own and taking the next as soon as it is done."""
        share, chunks = version.code.share, -(-n // CHUNK)
        span, following = max(1, chunks // (TURNS * threads)) * CHUNK, ctypes.c_int64(0)
        version.code.run(first.address, 0, 0, 1)

        def work(frame: Frame, *held: Any) -> None:  # until it is done, though an interrupt ended the call meanwhile
            share(frame.address, ctypes.byref(following), span)

        others = [self._frame(version) for _ in range(min(threads, chunks) - 1)]
        for frame in others:
            for i in (1, 2, *range(OUT, len(first.pointers))):
                frame.pointers[i] = first.pointers[i]
        waiting = [workers().submit(work, frame, first, version, arrays, self) for frame in others]
        work(first)
        for job in waiting:
            job.result()
        for frame in others:
            frame.pointers[1] = frame.shared.ctypes.data
            version.idle.append(frame)


class Room(threading.local):
    """Memory of large results, for each thread: fresh pages cost more than the results that are written there."""

    def __init__(self) -> None:
        self.kept: list[Array] = []


_room = Room()
LARGE, KEPT = 1 << 20, 4  # bytes from which on memory is used again, and how many pieces are kept


def room(shape: tuple[int, ...], dtype: Any, lined: bool = False) -> Array:
    """An array to write results to; where it is large, in memory of earlier results that nobody holds any more.

    It begins at a line of the cache where it is large, or `lined`.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE and not lined:
        return np.empty(shape, dtype)
    kept = _room.kept
    for i in range(len(kept)):
        piece = kept[i]
        if size + 64 <= len(piece) <= 2 * size + 64 and sys.getrefcount(piece) == 3:  # held by the list, `piece` and the call
            kept.append(kept.pop(i))
            break
    else:
        piece = np.empty(size + 64, np.uint8)
        kept.append(piece)
        del kept[:-KEPT]
    return np.ndarray(shape, dtype, buffer=piece, offset=-piece.ctypes.data % 64)


class Single:
    """A program for one sample of plain numbers: called on floats, without arrays on the way.

    One of these belongs to one call at a time; `Program.single` hands them out.
    """

    def __init__(self, program: Program, inputs: int):
        version = program.version(0)
        kind = ctypes.c_double if program.dtype.itemsize == 8 else ctypes.c_float
        self.frame = Frame(program.plan, version.target, program.dtype, program._tables)
        self.numbers = (kind * inputs)()
        self.out = (kind * len(program.schedule.outputs))()
        self.pack, self.all, self.address = (
            struct.Struct(f"{inputs}{kind._type_}").pack_into,
            version.code.all,
            self.frame.address,
        )
        starts = [ctypes.addressof(self.numbers) + i * ctypes.sizeof(kind) for i in range(inputs)]
        self._stands = [_Stand(b"", start) for start in (*starts, ctypes.addressof(self.out))]
        *places, out = map(ctypes.addressof, self._stands)
        self.pointers = self.frame.pointers
        for i, place in enumerate(places, ARRAYS):
            self.pointers[i] = place
        self.pointers[OUT], self.pointers[COUNT] = out, 1

    def __call__(self, args: tuple[float, ...], leaves: Array) -> list[float]:
        self.pack(self.numbers, 0, *args)
        self.pointers[2] = id(leaves)
        self.all(self.address)
        return self.out[:]


class _Stand(ctypes.Structure):
    """What stands for the object of an array where there is none: the pointer to its numbers, in the same place."""

    _fields_ = (("before", ctypes.c_char * DATA), ("data", ctypes.c_void_p))


@np.errstate(over="ignore", invalid="ignore")
def together(sums: Array) -> Array:
    """The sum of the chunks' sums, neighbours first, an odd one waiting: the order of `reference.total`."""
    while len(sums) > 1:
        even = len(sums) & ~1
        sums = np.concatenate([sums[0:even:2] + sums[1:even:2], sums[even:]])
    total: Array = sums[0]
    return total


def available() -> int:
    """How many threads this process may run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def workers() -> ThreadPoolExecutor:
    """The threads that compiled code is run in beside the caller's."""
    return ThreadPoolExecutor(max(1, available()), thread_name_prefix="micrograd")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=workers.cache_clear)  # a forked child has no threads but its own
