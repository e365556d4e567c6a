"""What runs tapes: `reference` defines the results, `numpy` runs array code, `llvm` machine code.

A back end is a module with a class `Program`, made of a tape, of the fields in which its inputs arrive, and of whether the
outputs are summed over the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]
NAMES = {
    "numpy": "micrograd.tape.back_ends.numpy",
    "reference": "micrograd.tape.back_ends.reference",
    "llvm": "micrograd.tape.back_ends.llvm.program",
}


class Program(Protocol):
    """A tape made ready to be run over samples; see `reference.Program`, which defines arguments and results."""

    def __call__(self, inputs: Sequence[Array], leaves: Array, n: int) -> Array:
        """The outputs for n samples, of shape (outputs, n), or (outputs,) where they are summed."""


class Direct(Program, Protocol):
    """A program that takes a call's arrays as they are, in any shape with the samples first."""

    def __call__(self, inputs: Sequence[Any], leaves: Array, n: int, mean: bool = False) -> Any:
        """As for every program, or the mean; with `groups`, a list of arrays with the samples first."""

    def single(self, args: tuple[float, ...], leaves: Array) -> list[float]:
        """The outputs for one sample of plain numbers."""


Maker = Callable[..., Program]  # (tape, fields, reduce, dtype) and, where it `makes_direct`, groups


def back_end(name: str | None, precision: str = "fast", threads: int | None = None) -> Maker:
    """What makes programs of tapes: the back end called `name`; where that is None, the fastest that works here."""
    if precision not in ("fast", "exact"):
        raise ValueError(f"precision must be 'fast' or 'exact', got {precision!r}")
    if threads is not None and (threads.__class__ is not int or threads < 1):
        raise ValueError(f"threads must be a whole number from 1 on, or None for as many as there are, got {threads!r}")
    exact = precision == "exact"
    if name is None:
        compiled = bool(find_spec("llvmlite")) and not import_module(NAMES["llvm"]).trouble()
        name = "llvm" if compiled else "reference" if exact else "numpy"
    if name not in NAMES:
        raise ValueError(f"unknown back end {name!r}: use {', '.join(map(repr, NAMES))} or None for the fastest installed")
    if exact and name == "numpy":
        raise ValueError('the NumPy back end rounds in its own way: use backend="llvm" or "reference" for precision="exact"')
    module = import_module(NAMES[name])
    if name == "llvm":
        module.check()
    program: Maker = module.Program
    return partial(program, exact=exact, threads=threads) if name == "llvm" and (exact or threads) else program


def makes_direct(maker: Maker) -> bool:
    """Whether a back end's programs are `Direct`."""
    return bool(getattr(getattr(maker, "func", maker), "direct", False))


def keeps_signs(maker: Maker) -> bool:
    """Whether a back end's programs have the bits of the tape, to the sign of every zero."""
    return bool(getattr(maker, "keywords", {}).get("exact")) or getattr(maker, "__module__", "") == NAMES["reference"]
