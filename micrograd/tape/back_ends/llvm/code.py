"""Machine code: made of a module's text by LLVM, entered through ctypes, freed with its owner.

llvmlite is imported here and in `machine` alone, and only when something is compiled.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import platform
import weakref
from typing import Any

import numpy as np

from micrograd.tape.back_ends.llvm import machine
from micrograd.tape.back_ends.llvm.target import DATA


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


class Code:
    """A compiled module; the memory it lies in is freed with this object."""

    def __init__(self, text: str):
        import llvmlite.binding as llvm

        name, features, _, _ = machine.host()
        needed, left = 48e6 + 12 * len(text), machine.memory_left()  # measured: 32 MB, and 7 for each of many
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
