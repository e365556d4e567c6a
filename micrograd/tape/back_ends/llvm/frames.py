"""Memory of calls: the frame that compiled code gets, and arrays for results."""

from __future__ import annotations

import ctypes
import math
import struct
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd.tape.back_ends.llvm.target import ARRAYS, COUNT, DATA, DIVISOR, OUT, THETA_AT, Target

Array = np.ndarray[Any, Any]


def aligned(numbers: int, dtype: Any) -> Array:
    """An array of zeros that starts at a line of the cache."""
    array = np.zeros(numbers + 64 // dtype.itemsize, dtype)
    first = -array.ctypes.data % 64 // array.itemsize
    return array[first : first + numbers]


class Frame:
    """The memory of one call: rows for a block of samples, shared numbers, accumulators, and the pointers to all of these."""

    def __init__(self, plan: Any, t: Target, dtype: Any, tables: Array):
        self.rows = aligned(max(plan.rows * t.pitch, len(plan.shown) * t.block if t.streamed else 0), dtype)
        self.totals = aligned(plan.sums * t.lanes, dtype)
        self.shared = aligned(plan.shared, dtype)
        for at, x in plan.constants:
            self.shared[at] = x
        for at, x in plan.filled:
            self.rows[at * t.pitch : (at + 1) * t.pitch] = x
        self.tables = tables
        self.pointers = (ctypes.c_uint64 * plan.arrays)()
        self.address = ctypes.addressof(self.pointers)
        struct.pack_into("d" if dtype.itemsize == 8 else "f", self.pointers, DIVISOR * 8, 1.0)
        for i, array in enumerate((self.rows, self.shared, self.totals, tables)):
            self.pointers[i] = array.ctypes.data


class Room(threading.local):
    """Memory of large results that nobody holds any more, for each thread: fresh pages would cost more than filling them."""

    def __init__(self) -> None:
        self.idle: list[Array] = []


idle_room = Room()
LARGE, KEPT = 1 << 20, 4  # from so many bytes on, memory is used again; and how many pieces of it are kept


def room(shape: tuple[int, ...], dtype: Any, lined: bool = False) -> Array:
    """An array to write results to. A large one lies in memory of earlier results that nobody holds any more, if there is some.

    It begins at a line of the cache if it is large, or if `lined`.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE and not lined:
        return np.empty(shape, dtype)
    idle = idle_room.idle
    fitting = [i for i, piece in enumerate(idle) if size + 64 <= len(piece) <= 2 * size + 64]
    piece = idle.pop(fitting[0]) if fitting else np.empty(size + 64, np.uint8)
    # this object owns the memory: it is freed when the array and all views of it are gone
    owner: Any = (ctypes.c_char * len(piece)).from_buffer(piece.data)
    weakref.finalize(owner, _put_back, idle, piece).atexit = False
    return np.ndarray(shape, dtype, buffer=owner, offset=-piece.ctypes.data % 64)


def _put_back(idle: list[Array], piece: Array) -> None:
    idle.append(piece)
    del idle[:-KEPT]


class Single:
    """For `Program.single`: the memory of one call on plain numbers, which needs no arrays, and the code that runs on it."""

    def __init__(self, frame: Frame, run: Callable[[int], None], inputs: int, leaves: int, outputs: int):
        kind = ctypes.c_double if frame.rows.itemsize == 8 else ctypes.c_float
        self.frame, self.all, self.address = frame, run, frame.address
        self.numbers = (kind * (inputs + leaves))()  # those of the arguments, followed by the parameters
        self.out = (kind * outputs)()
        self.pack = struct.Struct(f"{inputs + leaves}{kind._type_}").pack_into
        starts = [ctypes.addressof(self.numbers) + i * ctypes.sizeof(kind) for i in range(inputs + 1)]
        self._stands = [_Stand(b"", start) for start in (*starts, ctypes.addressof(self.out))]
        *places, theta, out = map(ctypes.addressof, self._stands)
        frame.pointers[ARRAYS : ARRAYS + inputs] = places
        frame.pointers[THETA_AT], frame.pointers[OUT], frame.pointers[COUNT] = theta, out, 1


class _Stand(ctypes.Structure):
    """Stands in for an array's object: it has a pointer to numbers at the same byte."""

    _fields_ = (("before", ctypes.c_char * DATA), ("data", ctypes.c_void_p))
