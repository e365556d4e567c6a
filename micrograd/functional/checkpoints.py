"""Functions whose graph is not kept: a node for each output stays, and derivatives are computed when they are asked for."""

from __future__ import annotations

import inspect
from array import array
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar, cast
from weakref import ref

from micrograd.engine import Value, adjoints, attach, constant, primal
from micrograd.engine.modes import current
from micrograd.functional.whole import Found, Frame, Later, Row, Segment, WholeFunction, number_of

P = ParamSpec("P")
R = TypeVar("R")


def checkpoint(f: Callable[P, R]) -> Callable[P, R]:
    """`f`, but its graph is dropped as soon as it has been recorded, and recorded again on the way back.

    For chains that outgrow memory: each number that f returns becomes one node over the Values that f takes and those that it
    closes over. backward() runs f again, with one pass through its graph for each output. One such graph is kept: until all
    outputs of the call have been asked for, or another call comes next, or the nodes of this one are gone. So f has to give the
    same again: RuntimeError where it does not, as with random numbers of its own. Higher derivatives run f once more. Where a
    function is recorded by jit, it is just f: contributions are added in the order of the whole graph, which may round
    otherwise than the sum for each call.

    >>> from micrograd import Value, checkpoint
    >>> step = checkpoint(lambda x, w: (x * w + 1.0) * x)
    >>> x, w = Value(2.0), Value(3.0)
    >>> y = step(x, w)
    >>> y.backward()
    >>> len(y.parents), x.grad, w.grad
    (2, 13.0, 4.0)
    """
    if not callable(f):
        raise TypeError(f"checkpoint needs a function, got {type(f).__name__} {f!r}: pass the function itself, not its result")
    return cast("Callable[P, R]", Checkpoint(f))


def _by_name(f: Callable[..., Any]) -> tuple[str, ...]:
    """The parameters that a function takes by name alone; none where it takes any others so too, or does not tell."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return ()
    any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return () if any_name else tuple([p.name for p in parameters if p.kind is p.KEYWORD_ONLY])


class Checkpoint(WholeFunction):
    """What `checkpoint` returns; see there."""

    where = "checkpoint"
    masked = True  # f gets plain numbers where it got plain numbers, and constants where it got constants

    def __init__(self, f: Callable[..., Any]):
        super().__init__(f)
        self.by_name = _by_name(f)
        last = len(self.by_name)
        self.f = (lambda *args: f(*args[:-last], **dict(zip(self.by_name, args[-last:], strict=True)))) if last else f
        self.kept: Any = None  # the latest run for derivatives: whose it is, weakly, the run, and the outputs asked for

    def __call__(self, *args: Any, **named: Any) -> Any:
        mode = current()
        if mode.observer is not None or not mode.recording:
            return self.__wrapped__(*args, **named)  # type: ignore[attr-defined]
        return super().__call__(*self.placed(args, named)) if self.by_name else super().__call__(*args, **named)

    def placed(self, args: Sequence[Any], named: dict[str, Any]) -> tuple[Any, ...]:
        """The arguments of a call in their places; those by name alone, given or not, come last."""
        if not self.by_name:
            return super().placed(args, named)
        bound = self.bound(args, named)
        bound.apply_defaults()
        return (*bound.args, *[bound.arguments[name] for name in self.by_name])

    def segment(self, frame: Frame, xs: Sequence[Any]) -> Segment:
        """f on leaves for the numbers of its arguments."""
        kinds: dict[Any, Any] = {None: float, False: constant, True: Value}
        args = [kinds[kind](number_of(x)) for x, kind in zip(xs[: frame.size], frame.mask, strict=True)]
        return Segment(self, self.f, frame.args(args), args)

    def again(self, frame: Frame, xs: Sequence[Any]) -> Segment:
        """The segment of an earlier call, whose numbers were `xs`; RuntimeError where it closes over other numbers now."""
        segment = self.segment(frame, xs)
        now, then = (array("d", map(number_of, some)).tobytes() for some in (segment.copies, xs[frame.size :]))
        if now != then:
            raise frame.changed()
        return segment

    def result(self, row: Row, segment: Segment, out: Any) -> Value:
        """One result of a segment; RuntimeError unless it is the number that it was before."""
        x = segment.results[row.i] if row.i < len(segment.results) else None
        if not isinstance(x, Value) or primal(x) != number_of(out) == number_of(out):
            raise row.frame.changed()
        return x

    def run(self, frame: Frame, xs: Sequence[float]) -> Found:
        return self.segment(frame, xs).found()

    def partials(self, row: Row, xs: Sequence[Any], out: Any) -> Any:
        if out.__class__ is float:
            return Later(row, xs, out)
        segment = self.again(row.frame, xs)
        own = [*segment.leaves, *segment.copies]
        leaves = [leaf for leaf in own if isinstance(leaf, Value) and not leaf.is_constant]
        found = adjoints(self.result(row, segment, out), leaves, create_graph=True)
        for leaf, x in zip(own, xs, strict=True):
            if isinstance(x, Value) and leaf in found:
                attach(leaf, x)
        return tuple([found.get(leaf, 0.0) for leaf in own])

    def computed(self, row: Row, xs: Sequence[float], out: float) -> tuple[float, ...]:
        """The derivatives as numbers. The outputs of one call that come one after the other share one run."""
        frame = row.frame
        kept = self.kept  # which another thread may replace meanwhile
        if kept is None or kept[0]() is not xs:
            kept = self.kept = ref(xs, self._gone), self.again(frame, xs), set[int]()
        _, segment, asked = kept
        asked.add(row.i)
        if len(asked) == len(segment.found().nodes) and self.kept is kept:
            self.kept = None
        found = adjoints(self.result(row, segment, out))
        return tuple([found.get(leaf, 0.0) for leaf in (*segment.leaves, *segment.copies)])

    def _gone(self, whose: Any) -> None:
        if (kept := self.kept) is not None and kept[0] is whose:
            self.kept = None

    def made_of(self) -> tuple[Any, ...]:
        return (self.__wrapped__,)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"<{self.name} with checkpoints>"
