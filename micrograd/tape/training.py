"""training(): a block of steps in which parameters and the optimiser's state live in flat arrays.

`jit` opens the block; `calls` gives loss and gradient at the flat vector, and the optimiser's own rule moves it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd.engine.modes import after_step
from micrograd.tape.calls import Calls
from micrograd.tape.parameters import Array, blocks


class Training:
    """The block of `Jitted.training`: called on a batch, it makes one step and returns the loss before it."""

    def __init__(self, calls: Calls, optimiser: Any, reduction: str, in_axes: Any):
        self.calls, self.optimiser, self.reduction, self.in_axes = calls, optimiser, reduction, in_axes
        self._order: tuple[int, Array | None] | None = None
        if not hasattr(optimiser, "parameters") or not hasattr(optimiser, "advance"):
            raise TypeError(f"training needs an optimiser, such as SGD(parameters, lr=0.1), got {optimiser!r}")
        self.data: Array | None = None
        self._ahead = False  # of what the Values hold

    def __enter__(self) -> Training:
        optimiser, dtype = self.optimiser, self.calls.parameters.dtype
        self.calls.renew()
        self.data = np.array([p.data for p in optimiser.parameters], dtype)
        self.state = tuple(np.array(column, dtype) for column in zip(*optimiser.state, strict=True))
        blocks.append(self)
        return self

    def __call__(self, *args: Any, **named: Any) -> float:
        if self.data is None:
            raise RuntimeError("training is a block, and steps are made inside: with f.training(optimiser) as step: step(X, y)")
        ready = self.calls.prepared(args, named, self.reduction, self.in_axes)
        if ready and self._places() is None:
            total = self.calls.reduced(self.data, args, named, self.reduction, self.in_axes)
            gradient = total[1:]
        else:
            total, gradient = self._reduced(args, named)
        optimiser = self.optimiser
        self.data, self.state = optimiser.advance(self.data, gradient, self.state)
        optimiser.steps += 1
        self._ahead = True
        for told in after_step:
            told(self, float(total[0]))
        return float(total[0])

    def _reduced(self, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Array, Array]:
        """The loss with the gradient of the function's parameters, and the gradient of the optimiser's."""
        places = self._places()
        assert self.data is not None
        if self.calls.recordings.branching():
            self.write_data()  # which a path that is met now, and what is new on it, is recorded with
        theta = self.data if places is None else self._theta(places)
        total = self.calls.reduced(theta, args, named, self.reduction, self.in_axes)
        places = self._places()
        if places is None:
            return total, total[1:]
        gradient = np.zeros_like(self.data)
        known = places >= 0
        gradient[places[known]] = total[1 : 1 + len(places)][known]
        return total, gradient

    def _places(self) -> Array | None:
        """Where each of the function's parameters stands in the optimiser's vector (-1: nowhere); None for the same order."""
        mine = self.calls.parameters.values
        if self._order is None or self._order[0] != self.calls.parameters.version:
            own = {p: i for i, p in enumerate(self.optimiser.parameters)}
            places = np.array([own.get(p, -1) for p in mine], np.int64)
            if len(mine) and not (places >= 0).any():
                owner = self.calls.owner
                raise ValueError(f"none of the {len(own)} parameters of the optimiser is one that {owner!r} uses")
            same = len(places) == len(own) and bool((places == np.arange(len(own))).all())
            self._order = (self.calls.parameters.version, None if same else places)
        return self._order[1]

    def _theta(self, places: Array) -> Array:
        theta = self.calls.parameters.held()
        assert self.data is not None
        known = places >= 0
        theta[known] = self.data[places[known]]
        return theta

    def sync(self) -> None:
        """Write parameters and state back to the Values and the optimiser."""
        self.write_data()
        if self.state:
            self.optimiser.state = list(zip(*[column.tolist() for column in self.state], strict=True))

    def write_data(self) -> None:
        """Write the parameters alone, where they have moved since."""
        if self._ahead:
            assert self.data is not None
            for p, x in zip(self.optimiser.parameters, self.data.tolist(), strict=True):
                p.data = x
            self._ahead = False

    def __exit__(self, *exception: Any) -> None:
        self.sync()
        self.data = None
        blocks.remove(self)
