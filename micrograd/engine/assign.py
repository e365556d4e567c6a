"""Attributes set as one, and gradients added once, whatever other threads do."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from threading import Lock
from typing import Any

from micrograd.engine.modes import open_blocks, write

_SLOTS = {"data": "_data", "grad": "_grad"}  # .data and .grad themselves run Python code
adding = Lock()  # held while gradients are added: reading, adding and writing are three steps to a thread


def assign(objects: Collection[Any], names: Collection[str], values: Collection[Any]) -> None:
    """Set the attribute of each object, all of them or none: neither an interrupt nor another thread comes in between.

    CPython handles interrupts and switches threads between the instructions of Python code. Setting plain attributes or slots
    here runs no such instruction.

    >>> from micrograd import Value
    >>> a, b = Value(1.0), Value(2.0)
    >>> assign((a, b), ("data", "data"), (3.0, 4.0))
    >>> a.data, b.data
    (3.0, 4.0)
    """
    if open_blocks:
        for x, name in zip(objects, names, strict=True):
            if name in ("data", "grad"):
                write(x, f".{name}")
    slots = [_SLOTS.get(name, name) for name in names]
    deque(map(setattr, objects, slots, values), maxlen=0)


def zero_gradients(leaves: Iterable[Any]) -> None:
    """Set `.grad` of each leaf to 0, as one."""
    leaves = [*leaves]
    assign(leaves, ["grad"] * len(leaves), [0.0] * len(leaves))


def add_gradients(gradients: Iterable[float], leaves: Iterable[Any]) -> None:
    """Add to `.grad` of leaves, as many as there are gradients: each once, whichever threads add to the same leaves."""
    with adding:
        for g, leaf in zip(gradients, leaves, strict=False):  # much of the time of small networks
            try:
                leaf._grad += g
            except AttributeError:  # the slot is empty at first
                leaf._grad = g
