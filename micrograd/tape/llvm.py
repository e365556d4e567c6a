"""The LLVM back end: a schedule compiled to the machine, samples in the lanes of its vectors.

`schedule` comes before, `assembly` spells the code; this file decides what becomes a loop and what straight-line code,
finds the machine and its mathematics library, keeps the compiled code, and calls it. llvmlite is imported here alone, and
only when something is compiled.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from micrograd.tape import assembly
from micrograd.tape.assembly import (
    FROM_LIBRARY,
    PARAMETERS,
    VARYING,
    WRITERS,
    Function,
    Instruction,
    Operation,
    Rows,
    Target,
    Total,
)

LONGEST = 200  # operations in one function: LLVM's time is quadratic in the length of a block
LOOPED = 64  # elements from which on an instruction is a loop rather than straight-line code


@functools.cache
def machine() -> tuple[str, str, int, int]:
    """The processor's name and features as LLVM calls them, its vectors' bytes, and the number of its registers."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    names = features.flatten()
    if features.get("avx512f") and features.get("avx512dq"):
        return llvm.get_host_cpu_name(), names, 64, 32
    if features.get("avx2"):
        return llvm.get_host_cpu_name(), names, 32, 16
    return llvm.get_host_cpu_name(), names, 16, 32 if platform.machine() in ("arm64", "aarch64") else 16


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
    size, suffix = (8, "") if real == "double" else (4, "f")
    found: dict[tuple[str, int], int] = {}
    widths = [(16, "n" if platform.machine() in ("arm64", "aarch64") else "b"), (32, "d"), (64, "e")]
    for name in (*FROM_LIBRARY, "pow", "atan2"):
        found[name, 1] = _address(scalar, name + suffix)
        if vectors and vector is not None:
            for width, letter in widths:
                symbol = f"_ZGV{letter}N{width // size}{'vv' if name in ('pow', 'atan2') else 'v'}_{name}{suffix}"
                if width <= machine()[2] and hasattr(vector, symbol):
                    found[name, width // size] = _address(vector, symbol)
    return found


def _address(library: Any, name: str) -> int:
    address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    assert address is not None
    return address


def target(real: str, exact: bool, lanes: int, block: int) -> Target:
    """What code is written for on this machine."""
    _, _, width, registers = machine()
    size = 8 if real == "double" else 4
    return Target(lanes, block, real, exact, registers, width // size, addresses(real, not exact))


@dataclass
class Plan:
    """What is compiled: where samples come from and go, the work in between, the sums over the samples."""

    slots: int
    inputs: list[Rows]
    work: list[Instruction]
    totals: list[Total]
    outputs: list[Rows]
    sums: int = 0  # how many sums over the samples there are

    def accumulators(self, t: Target) -> int:
        """Numbers in the accumulators of one call."""
        lines = self.sums if t.exact or self.sums <= MANY else -(-self.sums // t.lanes)
        return lines * t.lanes


def functions(plan: Plan, t: Target, direct: bool) -> tuple[list[Function], list[Function]]:
    """The functions of a plan: the work, and the sums over the samples."""
    number = 0

    def fresh(name: str) -> Function:
        nonlocal number
        number += 1
        return Function(f"{name}{number}", t)

    work: list[Function] = []
    read_later = _read_by_others(plan)
    straight: list[Operation] = []
    cost = 0
    small = sum(it.work for it in plan.work if it.work < LOOPED)
    looped = LOOPED if small <= 4000 else 8
    pieces: list[list[Operation] | Instruction] = []
    for it in plan.work:
        if it.work >= looped:
            if straight:
                pieces.append(straight)
                straight, cost = [], 0
            pieces.append(it)
            continue
        for one in assembly.operations(it):
            straight.append(one)
            cost += one.cost
            if cost >= LONGEST:
                pieces.append(straight)
                straight, cost = [], 0
    if straight:
        pieces.append(straight)
    home: dict[int, int] = {}
    outside: set[int] = set(read_later)
    for n, piece in enumerate(pieces):
        if isinstance(piece, Instruction):
            outside.update(_slots_read(piece))
            continue
        for one in piece:
            for arg in one.args:
                if isinstance(arg, tuple) and arg[0] == VARYING and home.get(arg[1], n) != n:
                    outside.add(arg[1])
            home[one.out] = n
    for piece in pieces:
        if isinstance(piece, Instruction):
            f = fresh(piece.name)
            WRITERS.get(piece.name, assembly.write_elementwise)(f, piece)
        else:
            f = fresh("line")
            assembly.write_straight(f, piece, outside.__contains__)
        work.append(f)
    totals = []
    for total in plan.totals:
        totals.append(fresh("total"))
        assembly.write_total(totals[-1], total, direct)
    return work, totals


def _slots_read(it: Instruction) -> set[int]:
    read: set[int] = set()
    for one in assembly.operations(it):
        read.update(arg[1] for arg in one.args if isinstance(arg, tuple) and arg[0] == VARYING)
    return read


def _read_by_others(plan: Plan) -> set[int]:
    return _read_by_totals(plan) | {slot for rows in plan.outputs for slot in rows.slots}


def _read_by_totals(plan: Plan) -> set[int]:
    read: set[int] = set()
    for total in plan.totals:
        for arg in (total.x, total.y):
            if arg is not None and arg.value is None and arg.place == VARYING:
                read.update(arg.slot(at, total.shape) for at in np.ndindex(*total.shape))
    return read


MANY = 2048  # sums over the samples from which on they are accumulated without lanes


def written(plan: Plan, t: Target) -> str:
    """A plan as one module of assembly, with `run` as its door."""
    direct = plan.sums > MANY and not t.exact
    work, totals = functions(plan, t, direct)
    inward, part_in, outward, part_out = [], [], [], []
    for group, part, rows, to_lanes in ((inward, part_in, plan.inputs, True), (outward, part_out, plan.outputs, False)):
        for it in rows:
            if not it.slots:
                continue
            group.append(Function(f"rows{it.number}", t))
            assembly.write_rows(group[-1], it, to_lanes)
            part.append(Function(f"row{it.number}", t))
            assembly.write_single_rows(part[-1], it, to_lanes)
    every = [*inward, *part_in, *work, *totals, *outward, *part_out]
    if plan.totals:
        every += [Function(name, t) for name in ("no_tail", "clear", "finish")]
        assembly.write_no_tail(every[-3], sorted(_read_by_totals(plan)))
        assembly.write_clear(every[-2], plan.accumulators(t))
        assembly.write_finish(every[-1], plan.sums, direct)
    names = [[f.name for f in group] for group in (inward, part_in, work, totals, outward, part_out)]
    return "\n".join([assembly.preamble(t), *(f.text() for f in every), assembly.write_driver(t, *names)])


class Code:
    """Compiled functions; the memory they lie in is freed with this object."""

    def __init__(self, text: str):
        import llvmlite.binding as llvm

        name, features, _, _ = machine()
        self._context = llvm.create_context()
        module = llvm.parse_assembly(text, self._context)
        tm = llvm.Target.from_default_triple().create_target_machine(cpu=name, features=features, opt=2)
        self._engine = llvm.create_mcjit_compiler(module, tm)
        self._engine.finalize_object()
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
        self.run = kind(self._engine.get_function_address("run"))  # called without the interpreter's lock


class Frame:
    """The memory of one call: slots of a block, accumulators, and the pointers that compiled code starts from."""

    def __init__(self, plan: Plan, t: Target, shared: Any, tables: Any):
        real = np.float64 if t.real == "double" else np.float32
        self._lanes = aligned(plan.slots * t.pitch, real)
        self._totals = aligned(plan.accumulators(t), real)
        self._kept = shared, tables
        self.pointers = (ctypes.c_uint64 * (assembly.ARRAYS + len(plan.inputs) + len(plan.outputs)))()
        self.address = ctypes.addressof(self.pointers)
        for i, array in ((0, self._lanes), (1, shared), (3, self._totals), (4, tables)):
            self.pointers[i] = address_of(array)


def aligned(numbers: int, real: Any) -> Any:
    """An array of zeros that starts at a line of the cache."""
    array = np.zeros(numbers + 64 // np.dtype(real).itemsize, real)
    first = -array.ctypes.data % 64 // array.itemsize
    return array[first : first + numbers]


def address_of(array: Any) -> int:
    """Where the numbers of an array lie; the field itself is read, as NumPy's own way takes nearly a microsecond."""
    return _field(id(array) + 16).value or 0


def _slowly(array: Any) -> int:
    return int(array.ctypes.data)


_field = ctypes.c_void_p.from_address
_probe = np.zeros(3)[1:]
if platform.python_implementation() != "CPython" or address_of(_probe) != _slowly(_probe):
    address_of = _slowly
