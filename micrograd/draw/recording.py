"""Training over time: `with record(model, loss) as run:` keeps the weights step by step, and `run.explore()` shows them.

The page of `explore` shows one moment. The weights of all other moments are kept here, and the page computes everything else
from them: values, gradients, and the decision boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from micrograd.draw.explore import Exploration
from micrograd.draw.snapshot import Graph
from micrograd.engine import Value
from micrograd.engine.modes import after_step

_FRAMES, _NUMBERS = 200, 200_000  # moments at most, and weights at most in all moments together


class Recording:
    """The moments of a training run: `frames` of weights after some steps, the numbers of these `steps`, and `losses`.

    A loss is what the step reported, which is the loss before it; where steps report none, it is the loss after it.
    """

    def __init__(self, model: Any, loss: Callable[[], Value] | Value, data: tuple[Sequence[Any], Sequence[Any]] | None = None):
        if not callable(getattr(model, "parameters", None)):
            raise TypeError(f"record takes a model with .parameters(), got {type(model).__name__} {model!r:.60}")
        self.parameters: list[Value] = list(model.parameters())
        if not self.parameters:
            raise ValueError(f"there is nothing to record: {model!r} has no parameters")
        self._loss = loss.recompute if isinstance(loss, Value) else loss
        if not callable(self._loss):
            raise TypeError(f"record takes the loss as a Value or as a function that gives one, got {loss!r}")
        self.data = None if data is None else [[*map(float, x), float(t)] for x, t in zip(*data, strict=True)]
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.frames: list[list[float]] = []
        self._count, self._stride, self._by_hand = 0, 1, False
        self._latest: float | None = None
        self._most = max(2, min(_FRAMES, _NUMBERS // len(self.parameters)))
        self._keep()

    def __enter__(self) -> Recording:
        after_step.append(self._after)
        return self

    def __exit__(self, *exception: Any) -> None:
        after_step.remove(self._after)
        if not self.steps or self.steps[-1] != self._count:  # the last moment is always kept
            self._keep()

    def add(self, step: Any = None) -> None:
        """Keep this moment, after a step made by hand. `step` is its loss, or the `step` of a training() block, or None."""
        if not self._by_hand:  # the steps that the optimiser has reported by itself would count twice
            self._by_hand, self._count = True, 0
            del self.steps[1:], self.losses[1:], self.frames[1:]
        self._tick(step, step if isinstance(step, float) else None)

    def _after(self, step: Any, loss: float | None) -> None:
        if not self._by_hand:
            self._tick(step, loss)

    def _tick(self, step: Any, loss: float | None) -> None:
        self._count += 1
        if self._count == 1 and loss is not None:  # of the moment before the step
            self.losses[0] = loss
        self._latest = loss
        if self._count % self._stride:
            return
        if hasattr(step, "sync"):
            step.sync()
        self._keep()
        if len(self.frames) > self._most:  # drop every second one, and from here on keep only every second one
            self._stride *= 2
            kept = [k for k, count in enumerate(self.steps) if count % self._stride == 0]
            self.steps = [self.steps[k] for k in kept]
            self.losses = [self.losses[k] for k in kept]
            self.frames = [self.frames[k] for k in kept]

    def _keep(self) -> None:
        value = self._loss()
        if not isinstance(value, Value):
            raise TypeError(f"the loss must give a Value, whose graph is drawn, got {value!r}")
        self.steps.append(self._count)
        self.losses.append(value.data if self._latest is None else self._latest)
        self.frames.append([p.data for p in self.parameters])

    def explore(self) -> Exploration:
        """The page in which the run is played: the network, its loss, the gradients of its layers, the decision boundary."""
        from micrograd.draw import Drawing  # it imports this module

        drawing = Drawing(self._loss())
        graph: Graph = drawing.graph
        used = [k for k, p in enumerate(self.parameters) if p in graph.index]
        training = {
            "parameters": [graph.index[self.parameters[k]] for k in used],
            "frames": [[frame[k] for k in used] for frame in self.frames],
            "steps": self.steps,
            "losses": self.losses,
            "points": self.data,
        }
        return drawing.explore().showing(training=training, view="network")

    def __repr__(self) -> str:
        return f"<a training run of {self._count} steps, {len(self.frames)} of them kept; .explore()>"


def record(model: Any, loss: Callable[[], Value] | Value, data: tuple[Sequence[Any], Sequence[Any]] | None = None) -> Recording:
    """A recording of a training run, for a `with` block: the weights after each step of an optimiser, of 200 steps at most.

    `loss` gives the Value whose graph is drawn, such as the loss of one sample. `data`, points of two coordinates and their
    targets, is drawn into the picture of the decision boundary. Steps made by hand are kept by `run.add()`.

    >>> from micrograd import MLP, SGD, hinge
    >>> model = MLP(2, [3, 1], seed=1)
    >>> optimiser = SGD(model.parameters(), lr=0.1)
    >>> with record(model, lambda: hinge(model([0.5, -1.0]), 1.0)) as run:
    ...     for _ in range(10):
    ...         optimiser.zero_grad()
    ...         hinge(model([0.5, -1.0]), 1.0).backward()
    ...         optimiser.step()
    >>> run
    <a training run of 10 steps, 11 of them kept; .explore()>
    """
    return Recording(model, loss, data)
