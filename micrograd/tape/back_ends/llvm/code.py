"""Machine code: LLVM compiles the text of a module, ctypes calls it, and it is kept by its text, also on disk (`cache`).

Equal programs share their code, and code that was compiled lately is kept after its owner is gone: a network that is built
again is not compiled again. Code of both levels computes the same bits: QUICK is compiled in a third of the time, OPTIMISED
mostly runs a little faster. llvmlite is imported here and in `machine` alone, and only when something is compiled.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import sys
import threading
import weakref
from collections import OrderedDict
from typing import Any

import numpy as np

from micrograd.tape.back_ends.llvm import cache, machine
from micrograd.tape.back_ends.llvm.function import called
from micrograd.tape.back_ends.llvm.target import DATA
from micrograd.tape.back_ends.llvm.threads import compiler

MAPS = 256  # how many pieces of memory LLVM may need to map
QUICK, OPTIMISED = 0, 2  # LLVM's levels; level 1 takes as long as 2


@functools.cache
def trouble() -> str:
    """Why nothing can be compiled here; empty if it can."""
    try:
        import llvmlite.binding as llvm
    except ImportError:
        return "llvmlite is not installed (it comes with the extra `jit` of micrograd-engine)"
    if llvm.llvm_version_info[0] < 20:
        version = ".".join(map(str, llvm.llvm_version_info))
        return f"this llvmlite has LLVM {version}, which is too old: llvmlite 0.45 or newer is needed"
    probe = np.zeros(3)[1:]
    if platform.python_implementation() != "CPython" or _pointer_at(id(probe) + DATA).value != probe.ctypes.data:
        return "this interpreter keeps the numbers of arrays where compiled code does not look for them"
    try:
        compiled("\n".join(f"define void @{name}() {{ ret void }}" for name in ("run", "share", "all")), QUICK)
    except (OSError, RuntimeError) as error:
        return f"LLVM cannot compile for this machine: {error}"
    return ""


def check() -> None:
    """ImportError that says why, if nothing can be compiled here."""
    if reason := trouble():
        raise ImportError(f'no compiled code: {reason}; backend="numpy" works everywhere')


_pointer_at = ctypes.c_void_p.from_address


making = threading.RLock()  # held while code is made: another thread that wants the same waits for it
using_llvm = threading.RLock()  # held while LLVM works, by the thread in which it works
KEPT, KEPT_TEXT = 64, 16 << 20  # the most pieces of code that are kept if nobody holds them, and characters of their texts
_alive: weakref.WeakValueDictionary[str, Code] = weakref.WeakValueDictionary()
_latest: OrderedDict[str, tuple[Code, int]] = OrderedDict()


def compiled(text: str, level: int = OPTIMISED) -> Code:
    """The code of a module. If there is code of the same text already, or optimised code on disk, it is used."""
    with making:
        for better in dict.fromkeys((OPTIMISED, level)):
            key = _key(text, better)
            code = _alive.get(key)
            kept = None if code or "inttoptr" in text else cache.read(key)  # a text with addresses is for this process alone
            if code or kept or better == level:
                break
        if code is None:
            try:
                job = compiler().submit(Code, text, key, better, kept)
            except RuntimeError as error:
                raise MemoryError(f'{error}, and compiling needs one: backend="numpy" does not') from error
            code = _alive[key] = job.result()
        _latest[key] = code, len(text)
        _latest.move_to_end(key)
        if code.level == OPTIMISED:
            _latest.pop(_key(text, QUICK), None)
        while len(_latest) > 1 and (len(_latest) > KEPT or sum(size for _, size in _latest.values()) > KEPT_TEXT):
            _latest.popitem(last=False)
    return code


def _key(text: str, level: int) -> str:
    """The key of code: a hash of the text, the level, the machine, and the versions of micrograd and llvmlite."""
    import llvmlite

    name, features, _, _ = machine.host()
    about = [sys.modules["micrograd"].__version__, llvmlite.__version__, sys.platform, platform.machine(), name, features]
    return hashlib.blake2b("\n".join([*about, str(level), text]).encode(), digest_size=32).hexdigest()


class Code:
    """A compiled module; its memory is freed with this object."""

    def __init__(self, text: str, key: str, level: int, kept: bytes | None):
        import llvmlite.binding as llvm

        name, features, _, _ = machine.host()
        self.level = level
        made: list[bytes] = []
        with using_llvm:
            for function, lanes, real in called(text):
                place = machine.addresses(real, True)[function, lanes]
                llvm.add_symbol(f"lib.{function}.{lanes}.{real}", place)
            size = 0 if kept else len(text)
            needed, left = 48e6 + 12 * size, machine.memory_left()  # measured: 32 MB, and 7 bytes for each character
            if needed > left:  # LLVM would end the process; likewise below
                raise MemoryError(
                    f"compiling needs about {needed / 1e6:,.0f} MB, and this process may take {max(left, 0.0) / 1e6:,.0f} MB "
                    'more: backend="numpy" needs none of it'
                )
            if (maps := machine.maps_left()) < MAPS:
                raise MemoryError(
                    f"compiling needs up to {MAPS} maps of memory, and this process may have {maps:,.0f} more: let go of other "
                    "compiled functions, or raise vm.max_map_count"
                )
            context = llvm.create_context()
            module = llvm.parse_assembly("" if kept else text, context)
            to = llvm.Target.from_default_triple().create_target_machine(cpu=name, features=features, opt=level)
            engine = llvm.create_mcjit_compiler(module, to)
            if kept:
                engine.add_object_file(llvm.ObjectFileRef.from_data(kept))
            elif "inttoptr" not in text:
                engine.set_object_cache(lambda _, content: made.append(content), lambda _: None)
            engine.finalize_object()
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
        self.run = kind(engine.get_function_address("run"))  # ctypes calls it without holding the interpreter's lock
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        self.share = kind(engine.get_function_address("share"))
        self.all = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.get_function_address("all"))
        weakref.finalize(self, _freed, engine, context)
        for content in made:
            cache.write(key, content)
        made.clear()  # the engine keeps the list alive


def _freed(engine: Any, context: Any) -> None:
    """Free compiled code, and only then the context it was made in: the garbage collector would follow no order."""
    with using_llvm:
        engine.close()
        context.close()


if hasattr(os, "register_at_fork"):  # a fork waits for LLVM, else the child would have locks held by threads that it lacks
    for lock in (using_llvm, making):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
