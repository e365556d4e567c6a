"""The machine that this runs on: its processor and memory, its mathematics library, and callbacks into Python."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import math
import platform
import threading
from typing import Any

from micrograd.primitives import RULES, Primitive
from micrograd.tape.back_ends.llvm.spellings import from_library

OWN = ("hypot",)  # functions of the library that Python does not use for its own of that name


@functools.cache
def host() -> tuple[str, str, int, int]:
    """The processor's name and features as LLVM calls them, the bytes of its vectors, and how many registers hold vectors."""
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
    """How many bytes of memory this process may still take, as far as the system says; inf if it does not."""
    left = [math.inf]
    try:
        import resource

        with open("/proc/self/statm") as own, open("/proc/meminfo") as whole:
            pages = own.read().split()
            for limit, taken in ((resource.RLIMIT_AS, pages[0]), (resource.RLIMIT_DATA, pages[5])):
                if (most := resource.getrlimit(limit)[0]) != resource.RLIM_INFINITY:
                    left.append(most - int(taken) * resource.getpagesize())
            left += [1024.0 * int(line.split()[1]) for line in whole if line.startswith("MemAvailable:")]
    except (ImportError, OSError):
        pass
    return min(left)


def maps_left() -> float:
    """How many more pieces of memory this process may map; inf if the system does not say."""
    try:
        with open("/proc/sys/vm/max_map_count") as most, open("/proc/self/maps", "rb") as maps:
            return int(most.read()) - maps.read().count(b"\n")
    except OSError:
        return math.inf


@functools.cache
def libraries() -> tuple[Any, Any]:
    """The platform's mathematics library, and its vector mathematics library or None."""
    scalar = ctypes.CDLL(ctypes.util.find_library("m") or ctypes.util.find_library("ucrtbase") or "msvcrt")
    try:
        return scalar, ctypes.CDLL("libmvec.so.1")
    except OSError:
        return scalar, None


@functools.cache
def addresses(real: str, vectors: bool) -> dict[tuple[str, int], int]:
    """The addresses of the library's functions, by name and number of lanes; with `vectors`, also of those for vectors."""
    scalar, vector = libraries()
    size, ending = (8, "") if real == "double" else (4, "f")
    found: dict[tuple[str, int], int] = {}
    widths = [(16, "n" if platform.machine() in ("arm64", "aarch64") else "b"), (32, "d"), (64, "e")]
    for rule in filter(from_library, RULES.values()):
        name = rule.name
        if hasattr(scalar, name + ending):
            found[name, 1] = address(getattr(scalar, name + ending))
        for width, letter in widths if vectors and vector is not None else ():
            symbol = f"_ZGV{letter}N{width // size}{'v' * len(rule.partials)}_{name}{ending}"
            if width <= host()[2] and hasattr(vector, symbol):
                found[name, width // size] = address(getattr(vector, symbol))
    return found


def lacking(real: str, exact: bool) -> list[Primitive]:
    """The primitives whose functions the platform's library lacks; with `exact`, also those of which Python has other bits."""
    there = {name for name, _ in addresses(real, False)} - (set(OWN) if exact else set())
    return [rule for rule in RULES.values() if from_library(rule) and rule.name not in there]


def address(function: Any) -> int:
    found = ctypes.cast(function, ctypes.c_void_p).value
    assert found is not None
    return found


class Failures(threading.local):
    """The first error that a primitive raised when compiled code called it in this thread."""

    first: BaseException | None = None

    def take(self) -> BaseException | None:
        """The error raised since this was last called, or None."""
        found, self.first = self.first, None
        return found


failures = Failures()


def callback(primitive: Primitive, arguments: int, real: str) -> Any:
    """A function for compiled code to call: a primitive of the user's own, or one that the library lacks.

    Compiled code cannot handle exceptions: what is raised goes to `failures`, and the result is nan.
    """
    kind = ctypes.c_double if real == "double" else ctypes.c_float

    def call(*args: float) -> float:
        try:
            return primitive.on_floats(args)
        except BaseException as error:
            failures.first = failures.first or error
            return math.nan

    return ctypes.CFUNCTYPE(kind, *[kind] * arguments)(call)
