"""Functions whose graph is not kept: what stays of a call is one local derivative for each input and output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from micrograd.engine import Value, adjoints, attach, constant, node_of, topological_order
from micrograd.engine.modes import current, enable_grad
from micrograd.primitives import Primitive
from micrograd.trees import has_value, like, numbers, plain_arrays

P = ParamSpec("P")
R = TypeVar("R")


def checkpoint(f: Callable[P, R]) -> Callable[P, R]:
    """`f`, whose graph is taken apart as soon as it was recorded: for chains that outgrow memory.

    Each number that f returns becomes one node over the Values that f takes and the leaves that it closes over, with the
    derivatives of f as its local ones: forward and backward through f are done at once, one pass backward for each output.
    Higher derivatives run f again. Where a function is recorded by jit, it is just f.

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

    @wraps(f)
    def checkpointed(*args: Any) -> Any:
        mode = current()
        if mode.observer is not None or not mode.recording:
            return f(*args)  # type: ignore[call-arg]
        held = [plain_arrays(arg, f"checkpoint, argument {i}") if has_value(arg) else arg for i, arg in enumerate(args)]
        return _Call(f, held).result()

    return checkpointed  # type: ignore[return-value]


class _Call:
    """One call: the arguments of f with leaves of their own in the place of Values, and what f gave on them."""

    def __init__(self, f: Callable[..., Any], args: Sequence[Any]):
        self.f, self.args = f, args
        self.places = [i for i, arg in enumerate(args) if has_value(arg)]
        given = [x for i in self.places for x in numbers(args[i], f"checkpoint, argument {i}", integers=True)]
        self.given = [x if isinstance(x, Value) else constant(x) for x in given]
        self.inputs: list[Value] = [x for x in dict.fromkeys(self.given) if not x.is_constant]
        self.captured: list[Value] = []  # leaves that f closes over
        self.kept: dict[int, tuple[float, tuple[float, ...]]] = {}  # of the first run: value and derivatives, by output

    def run(self, values: Sequence[Any]) -> tuple[Any, list[Value], list[Any]]:
        """f on fresh leaves for `values`: these leaves, its output, and the numbers in it."""
        leaves = [x if isinstance(x, Value) and x.is_constant else Value(x) for x in values]
        of = dict(zip(self.inputs, leaves, strict=True))
        fresh, args = iter([of.get(x, x) for x in self.given]), list(self.args)
        for i in self.places:
            args[i] = like(args[i], fresh)
        with enable_grad():
            out = self.f(*args)
        return out, leaves, numbers(out, "checkpoint, what the function returns", integers=True)

    def result(self) -> Any:
        out, leaves, found = self.run([x.data for x in self.inputs])
        own = set(leaves)
        below = topological_order(*[x for x in found if isinstance(x, Value)])
        self.captured = [node for node in below if node.rule is None and node not in own]
        parents = (*self.inputs, *self.captured)
        values = []
        for i, x in enumerate(found):
            if isinstance(x, Value) and parents:
                gradient = adjoints(x)
                self.kept[i] = x.data, tuple([gradient.get(leaf, 0.0) for leaf in (*leaves, *self.captured)])
                values.append(node_of(self.rule(i), parents))
            else:
                values.append(x)
        self.kept.clear()
        return like(out, iter(values))

    def rule(self, i: int) -> Primitive:
        """The row of one output: its value, and its derivatives by the inputs and the captured leaves."""
        count = len(self.inputs)
        name = getattr(self.f, "__name__", "f").strip("<>")

        def value(*xs: float) -> float:
            if i in self.kept:
                return self.kept[i][0]
            x = self.run(xs[:count])[2][i]
            return x.data if isinstance(x, Value) else x

        def partials(xs: Sequence[Any], out: Any) -> tuple[Any, ...]:
            if i in self.kept:
                return self.kept[i][1]
            graph = any(isinstance(x, Value) for x in xs)
            _, leaves, found = self.run([x.data if isinstance(x, Value) else x for x in xs[:count]])
            if not isinstance(found[i], Value):
                return (0.0,) * len(xs)
            wanted = [*leaves, *self.captured]
            derivatives = adjoints(found[i], wanted, create_graph=graph)
            for leaf, x in zip(leaves, xs[:count], strict=True):
                if isinstance(x, Value):
                    attach(leaf, x)
            return tuple([derivatives[leaf] for leaf in wanted])

        return Primitive(f"checkpoint_{name}", f"{name}(xs)", value, partials, lambda *_: float("nan"), True)
