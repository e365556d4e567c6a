"""The parameters of a compiled function: the leaves that it uses, and the flat vector theta of what they hold.

A block of training has newer numbers than the Values hold. Open blocks are listed in `open_trainings`, and write their numbers
to the Values before anybody reads theta from these.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from struct import Struct
from typing import Any, Protocol

import numpy as np

from micrograd.elementwise import items_of
from micrograd.engine import Value, add_gradients, primals
from micrograd.engine.assign import assign
from micrograd.engine.modes import open_blocks

Array = np.ndarray[Any, Any]
FEW_PARAMETERS = 10  # up to so many parameters, NumPy's own loop over them is quicker than packing them
_REAL = np.dtype(np.float64)


@lru_cache(64)
def _packer(count: int) -> Callable[..., bytes]:
    """A function that packs so many floats into bytes."""
    return Struct(f"{count}d").pack


class OpenTraining(Protocol):
    """An open block of training, in which parameters live in flat arrays."""

    def write_data(self) -> None:
        """Write the parameters to their Values, if they have changed since this was last done."""


open_trainings: list[OpenTraining] = []
# `holding` lends the Values the numbers of some theta. The first entry counts: it is odd while they are lent. The second is
# the thread that has lent them, which holds the lock.
_lent = [0, 0]
_lending = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lending.acquire, after_in_parent=_lending.release, after_in_child=_lending.release)


class Parameters:
    """The leaves of a function in the order of theta: that of `wrt`, or that in which recordings met them."""

    def __init__(self, wrt: Iterable[Value] | None, dtype: Any):
        if hasattr(wrt, "parameters") or not isinstance(wrt, (Value, Iterable, type(None))):
            advice = "its .parameters()" if hasattr(wrt, "parameters") else "a list of Values"
            raise TypeError(f"wrt lists the parameters of a function, got {wrt!r}: pass {advice}")
        given = () if wrt is None else [wrt] if (found := items_of(wrt)) is None else found
        for p in given:
            if not isinstance(p, Value) or p.rule is not None:
                raise TypeError(f"wrt lists the parameters of a function, which are leaves: Value(...), got {p!r}")
        self.listed = None if wrt is None else list(dict.fromkeys(given))
        self.dtype = dtype
        self.values: list[Value] = list(self.listed or ())
        self.later: Callable[[], list[Value]] | None = None  # after unpickling: finds the first parameters when they are needed
        self.version = 0  # how often the list has changed
        self._numbers = {p: i for i, p in enumerate(self.values)}

    def __len__(self) -> int:
        return len(self.values)

    def restore_order(self) -> None:
        """Find the parameters in the order that a pickle has brought along, if that has not been done."""
        if self.later is not None:
            values, self.later = self.later(), None
            self.numbers(values)

    def numbers(self, leaves: Sequence[Value], before: Sequence[int] = ()) -> list[int]:
        """The places of some leaves in theta; new leaves come after the others.

        `before` are the places that an earlier recording gave for as many leaves. A leaf that has replaced one of those takes
        its place.
        """
        used = set(leaves)
        for i, leaf in enumerate(leaves):
            if leaf in self._numbers:
                continue
            place = before[i] if len(before) == len(leaves) and self.values[before[i]] not in used else len(self.values)
            self.values[place : place + 1] = [leaf]
            self._numbers = {p: i for i, p in enumerate(self.values)} if place < len(self._numbers) else self._numbers
            self._numbers[leaf] = place
            self.version += 1
        return [self._numbers[leaf] for leaf in leaves]

    def theta(self) -> Array:
        """What the parameters hold; those of open blocks of training, what they hold there."""
        return self._vector(self.floats())

    def floats(self) -> list[float]:
        """The same as a list of floats, not rounded to the type of theta; for few parameters it takes a third of the time."""
        if open_trainings or self.later is not None:
            self.restore_order()
            for block in [*open_trainings]:  # a copy: a block left open by an interrupt closes itself here
                block.write_data()
        return self._numbers_held()

    def held(self) -> Array:
        """What the Values themselves hold: inside a block of training, the numbers from before it or from its last sync."""
        return self._vector(self._numbers_held())

    def _numbers_held(self) -> list[float]:
        while True:
            before = _lent[0]
            numbers = [p.data for p in self.values] if open_blocks else primals(self.values)  # a recording refuses
            if before == _lent[0] and (before % 2 == 0 or _lent[1] == threading.get_ident()):
                return numbers
            time.sleep(0.0001)  # another thread is recording, and has lent the Values the numbers of another theta

    def _vector(self, numbers: list[float]) -> Array:
        """Numbers for all parameters as an array of theta's type."""
        if (count := len(numbers)) <= FEW_PARAMETERS:
            found = np.fromiter(numbers, _REAL, count)
        else:
            found = np.frombuffer(bytearray(_packer(count)(*numbers)))  # in half the time of fromiter
        return found if self.dtype is found.dtype else found.astype(self.dtype)

    def checked(self, theta: Array) -> Array:
        """`theta`; ValueError if it is no vector with one number for each parameter."""
        if theta.shape == (len(self.values),):
            return theta
        advice = "list the parameters in wrt where not all are used on every path"
        if theta.shape == (0,):
            advice = "theta() is empty until the function has been recorded: call it once before, or list them in wrt"
        count = len(self.values)
        raise ValueError(f"theta must be a flat vector of the {count} parameters, got one of shape {theta.shape}; {advice}")

    def grown(self, theta: Array) -> Array:
        """`theta`, extended by what the new parameters hold if a path recorded meanwhile has brought some."""
        if len(theta) == len(self.values):
            return theta
        return np.concatenate([theta, np.array([p.data for p in self.values[len(theta) :]], theta.dtype)])

    @contextmanager
    def holding(self, theta: Array) -> Iterator[None]:
        """A block in which the first parameters hold the numbers of `theta`."""
        values = self.values[: len(theta)]
        names = ["data"] * len(values)
        with _lending:
            outer, before = _lent[0] % 2 == 0, [p.data for p in values]
            try:
                if outer:
                    _lent[:] = _lent[0] + 1, threading.get_ident()
                assign(values, names, theta.tolist())
                yield
            finally:
                assign(values, names, before)
                if outer:
                    _lent[:] = _lent[0] + 1, 0

    def add(self, gradient: Iterable[float]) -> None:
        """Add a gradient into `.grad` of each; another thread may have found more parameters since; those take no part."""
        add_gradients(gradient, self.values)
