"""training(): a block of steps in which parameters and the optimiser's state live in flat arrays.

`jit` opens the block; `calls` gives loss and gradient at the flat vector, and the optimiser's own rule moves it.
"""

from __future__ import annotations

import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from micrograd.engine.assign import assign
from micrograd.engine.modes import after_step
from micrograd.tape.calling.calls import Calls
from micrograd.tape.recording.parameters import Array, open_trainings


class Exit:
    """`__exit__` of a block, as an object that the `with` statement holds until the block has ended.

    An interrupt may come before the first line of any function written in Python, `__exit__` too, which then does not run. The
    statement still drops the object that it has looked up, and a weak reference to that object closes the block.
    """

    def __get__(self, block: Training | None, owner: type[Training]) -> Any:
        if block is None:
            return owner._end
        held = partial(owner._end, block)
        block._held = weakref.ref(held, block._end)
        return held


class Training:
    """The block of `Jitted.training`: called on a batch, it makes one step and returns the loss from before the step."""

    def __init__(self, calls: Calls, optimiser: Any, reduction: str, in_axes: Any):
        self.calls, self.optimiser, self.reduction, self.in_axes = calls, optimiser, reduction, in_axes
        self._order: tuple[int, Array | None] | None = None
        if not hasattr(optimiser, "parameters") or not hasattr(optimiser, "advance"):
            raise TypeError(f"training needs an optimiser, such as SGD(parameters, lr=0.1), got {optimiser!r}")
        self._now: tuple[Array, Any, int] | None = None  # parameters, state and steps, replaced together; None outside
        self._written: Any = None  # the latest such tuple whose parameters have been written to the Values
        self._writing = threading.RLock()
        self._held: weakref.ref[Any] | None = None  # to what the `with` statement holds; None without such a statement

    @property
    def data(self) -> Array:
        """The parameters as they are now, in the optimiser's order."""
        if self._now is None:
            raise RuntimeError("training is a block, and steps are made inside: with f.training(optimiser) as step: step(X, y)")
        return self._now[0]

    def __enter__(self) -> Training:
        optimiser, dtype = self.optimiser, self.calls.parameters.dtype
        self.calls.renew()
        for block in [*open_trainings]:
            block.write_data()
        data = np.array([p.data for p in optimiser.parameters], dtype)
        state = tuple([np.array(column, dtype) for column in zip(*optimiser.state, strict=True)])
        self._now = self._written = (data, state, optimiser.steps)
        open_trainings.append(self)
        return self

    def __call__(self, *args: Any, **named: Any) -> float:
        data, order, total = self.data, self._order, None
        if order is not None and order[1] is None and order[0] == self.calls.parameters.version:
            total = self.calls.again(data, args, named, self.reduction, self.in_axes)
        total, gradient = (total, total[1:]) if total is not None else self._reduced(args, named)
        assert self._now is not None
        optimiser, steps = self.optimiser, self._now[2]
        optimiser.steps = steps
        self._now = (*optimiser.advance(data, gradient, self._now[1]), steps + 1)
        optimiser.steps = steps + 1
        for told in after_step:
            told(self, float(total[0]))
        return float(total[0])

    def _reduced(self, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Array, Array]:
        """The loss with the gradient of the function's parameters, and the gradient of the optimiser's."""
        self.calls.prepared(args, named, self.in_axes)
        places = self._places()
        if self.calls.recordings.branching():
            self.write_data()  # a new path may be recorded now, at these numbers
        theta = self.data if places is None else self._theta(places)
        total = self.calls.reduced_now(theta, args, named, self.reduction, self.in_axes)
        places = self._places()
        if places is None:
            return total, total[1:]
        gradient = np.zeros_like(self.data)
        known = places >= 0
        gradient[places[known]] = total[1 : 1 + len(places)][known]
        return total, gradient

    def _places(self) -> Array | None:
        """Where each of the function's parameters stands in the optimiser's vector (-1: nowhere); None if they are the same."""
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
        known = places >= 0
        theta[known] = self.data[places[known]]
        return theta

    def sync(self) -> None:
        """Write parameters, state and steps back to the Values and the optimiser: all of them, or none."""
        with self._writing:
            now, optimiser = self._now, self.optimiser
            if now is not None:
                columns = [column.tolist() for column in now[1]]
                state = list(zip(*columns, strict=True)) if columns else optimiser.state
                self._assign(now, (optimiser, optimiser), ("state", "steps"), (state, now[2]))

    def write_data(self) -> None:
        """Write the parameters to the Values, if they have changed; any thread may ask for it while the block is open."""
        with self._writing:
            if self._held is not None and self._held() is None:
                self._end()  # the statement has ended, and an interrupt kept `__exit__` from running
            elif self._now is not None and self._now is not self._written:
                self._assign(self._now)

    def _assign(self, now: Any, objects: Any = (), names: Any = (), values: Any = ()) -> None:
        parameters = self.optimiser.parameters
        data = ["data"] * len(parameters)
        assign((*parameters, *objects, self), (*data, *names, "_written"), (*now[0].tolist(), *values, now))

    def _end(self, *exception: Any) -> None:
        """End the block: write everything back, and raise an interrupt that comes meanwhile only after that."""
        interrupt: KeyboardInterrupt | None = None
        while self._now is not None or self in open_trainings:
            try:
                self._close()
            except KeyboardInterrupt as another:
                interrupt = another
        self._held = None
        if interrupt is not None:
            raise interrupt

    def _close(self) -> None:
        with self._writing:
            try:
                self.sync()
            except Exception:
                self._forget()
                raise
            self._forget()

    def _forget(self) -> None:
        self._now = None
        if self in open_trainings:
            open_trainings.remove(self)

    if TYPE_CHECKING:

        def __exit__(self, *exception: Any) -> None: ...

    else:
        __exit__ = Exit()
