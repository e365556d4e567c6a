"""Back ends run tapes: `reference` defines the results, `numpy` runs array code, `llvm` machine code.

A back end is a module with a class `Program`. A program is made from a tape, the fields in which its inputs arrive, whether the
outputs are summed over the samples, and the type of its numbers. `back_end` finds a back end by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

import numpy as np

from micrograd.elementwise import one_of
from micrograd.tape.tape import Tape

Array = np.ndarray[Any, Any]
Fields = Sequence[tuple[int, bool]]  # for each array of inputs, how many numbers a sample has, and whether they vary
NAMES = ("numpy", "reference", "llvm")
LONG = 64  # from so many terms on, a sum may be added in another order than it is written in, unless bits are to be exact


class Program(Protocol):
    """A tape made ready to be run over samples; see `reference.Program`, which defines arguments and results."""

    def __call__(self, inputs: Sequence[Array], leaves: Array, n: int) -> Array:
        """The outputs for n samples, of shape (outputs, n), or (outputs,) where they are summed."""


class Direct(Program, Protocol):
    """A program that takes a call's arrays as they are, in any shape with the samples first."""

    def __call__(self, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Any:
        """As for every program, or with `mean` the mean; a program made with `groups` gives a list of arrays, samples first."""

    def prepared(self) -> Callable[..., Array]:
        """A function of inputs, leaves, n and `mean` that gives what a call does (flat for one sample), for many calls."""

    def single(self, args: Sequence[float], leaves: Sequence[float] = ()) -> list[float]:
        """The outputs for one sample of plain numbers."""


class Make(Protocol):
    """Makes a program from a tape; `dtype` is the type of its numbers."""

    def __call__(self, tape: Tape, fields: Fields, reduce: bool, dtype: Any, /) -> Program: ...


class MakeDirect(Protocol):
    """Makes a direct program; with `groups`, its outputs are arrays of so many columns each."""

    def __call__(self, tape: Tape, fields: Fields, reduce: bool, dtype: Any, /, *, groups: Sequence[int] = ()) -> Direct: ...


class BackEnd(NamedTuple):
    """A back end with the options that were asked for."""

    name: str
    make: Make
    make_direct: MakeDirect | None  # None if its programs are not direct
    keeps_signs: bool  # whether results have the bits of the reference back end, to the sign of every zero


def back_end(name: str | None, precision: str = "fast", threads: int | None = None) -> BackEnd:
    """The back end called `name`; if that is None, the fastest that works here.

    ValueError if the name, the precision or the number of threads is none; ImportError if LLVM is asked for and missing.
    """
    if not one_of(precision, ("fast", "exact")):
        raise ValueError(f"precision must be 'fast' or 'exact', got {precision!r}")
    if threads is not None and (threads.__class__ is not int or threads < 1):
        raise ValueError(f"threads must be a whole number from 1 on, or None for as many as there are, got {threads!r}")
    exact = precision == "exact"
    if name is None:
        compiled = bool(find_spec("llvmlite")) and not _module("llvm.program").trouble()
        name = "llvm" if compiled else "reference" if exact else "numpy"
    if not one_of(name, NAMES):
        raise ValueError(f"unknown back end {name!r}: use {', '.join(map(repr, NAMES))} or None for the fastest installed")
    if exact and name == "numpy":
        raise ValueError('the NumPy back end rounds in its own way: use backend="llvm" or "reference" for precision="exact"')
    if name == "llvm":
        module = _module("llvm.program")
        module.check()
        direct: MakeDirect = partial(module.Program, exact=exact, threads=threads)
        return BackEnd(name, direct, direct, exact)
    return BackEnd(name, _module(name).Program, None, name == "reference")


def _module(name: str) -> Any:
    return import_module(f"micrograd.tape.back_ends.{name}")  # now and not above: it may import what is not installed
