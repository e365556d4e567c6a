"""The parameters of a compiled function: the leaves that it uses, and the flat vector theta of what they hold.

A block of training keeps newer numbers than the Values do. Blocks that are open stand in `blocks`, and write what they
have learnt to the Values before anybody reads theta from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from micrograd.engine import Value, add_gradients

Array = np.ndarray[Any, Any]


class Block(Protocol):
    """An open block in which parameters live in flat arrays."""

    def write_data(self) -> None:
        """Write the parameters to their Values, where they have moved since."""


blocks: list[Block] = []


class Parameters:
    """The leaves of a function in the order of theta: that of `wrt`, or that in which recordings met them."""

    def __init__(self, wrt: Iterable[Value] | None, dtype: Any):
        if hasattr(wrt, "parameters"):
            raise TypeError(f"wrt lists the parameters of a function, got {wrt!r}: pass its .parameters()")
        self.listed = None if wrt is None else list(dict.fromkeys([wrt] if isinstance(wrt, Value) else wrt))
        for p in self.listed or ():
            if not isinstance(p, Value) or p.rule is not None:
                raise TypeError(f"wrt lists the parameters of a function, which are leaves: Value(...), got {p!r}")
        self.dtype = dtype
        self.values: list[Value] = list(self.listed or ())
        self.version = 0  # how often they have changed
        self._numbers = {p: i for i, p in enumerate(self.values)}

    def __len__(self) -> int:
        return len(self.values)

    def numbers(self, leaves: Sequence[Value], before: Sequence[int] = ()) -> list[int]:
        """The places of some leaves in theta; those that are new come behind the others.

        Where a recording before this one had other leaves in the places `before`, a new leaf takes the place of the one that it
        has replaced.
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
        """What the parameters hold, with what open blocks of training have learnt."""
        for block in blocks:
            block.write_data()
        return self.held()

    def held(self) -> Array:
        """What the Values hold: `theta`, but inside a block of training without what was learnt there."""
        return np.fromiter([p.data for p in self.values], self.dtype, len(self.values))

    def checked(self, theta: Array) -> Array:
        """`theta`, or ValueError where it is no vector with one number for each parameter."""
        if theta.shape == (len(self.values),):
            return theta
        advice = "list the parameters in wrt where not all are used on every path"
        if theta.shape == (0,):
            advice = "theta() is empty until the function has been recorded: call it once before, or list them in wrt"
        count = len(self.values)
        raise ValueError(f"theta must be a flat vector of the {count} parameters, got one of shape {theta.shape}; {advice}")

    def grown(self, theta: Array) -> Array:
        """`theta`, or a longer one where a path met on the way has brought new parameters."""
        if len(theta) == len(self.values):
            return theta
        return np.concatenate([theta, np.array([p.data for p in self.values[len(theta) :]], theta.dtype)])

    @contextmanager
    def holding(self, theta: Array) -> Iterator[None]:
        """A block in which the first parameters hold the numbers of `theta`."""
        values = self.values[: len(theta)]
        before = [p.data for p in values]
        try:
            for p, x in zip(values, theta.tolist(), strict=True):
                p.data = x
            yield
        finally:
            for p, x in zip(values, before, strict=True):
                p.data = x

    def add(self, gradient: list[float]) -> None:
        """Add a gradient into `.grad` of each."""
        add_gradients(self.values, gradient)
