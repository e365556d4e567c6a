"""Several attributes set as one: what optimisers, loaded weights and blocks of training write back with."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any


def assign(objects: Iterable[Any], names: Iterable[str], values: Iterable[Any]) -> None:
    """Set the attribute of each object, all of them or none: neither an interrupt nor another thread comes in between.

    CPython looks for interrupts, and lets other threads run, between the instructions of Python code. Here there are none,
    as long as the attributes are plain ones, or slots.

    >>> from micrograd import Value
    >>> a, b = Value(1.0), Value(2.0)
    >>> assign((a, b), ("data", "data"), (3.0, 4.0))
    >>> a.data, b.data
    (3.0, 4.0)
    """
    deque(map(setattr, [*objects], [*names], [*values]), maxlen=0)
