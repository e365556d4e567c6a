"""The names of the original micrograd, for code written for it: `_prev`, `_op`, `_backward`. `Value` inherits them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd.engine.modes import Note, current, open_blocks
from micrograd.primitives import handwritten


class Original:
    """Properties of a Value as the original micrograd calls them."""

    __slots__ = ()

    @property
    def _prev(self: Any) -> set[Any]:
        return set(self.parents)

    @property
    def _op(self: Any) -> str:
        words = self.rule.written.split() if self.parents else [""]
        between = words[1] if len(words) == 3 and len(words[1]) <= 2 else None
        op: str = between or {"relu": "ReLU", "custom": ""}.get(self.op, self.op)
        return op

    @property
    def _backward(self: Any) -> Callable[[], None]:
        def propagate() -> None:
            for parent, local in zip(self.parents, self.partials, strict=True):
                parent.grad += local * self.grad

        return propagate

    @_backward.setter
    def _backward(self: Any, propagate: Callable[[], None]) -> None:
        if self.parents:
            _take_over(self, propagate)


def made_of(node: Any, children: tuple[Any, ...], op: str) -> None:
    """Make a new Value the node of an operation that its caller wrote: no gradient flows through before `_backward` is set."""
    op = "" if op is None else str(op)
    node.rule, node._x, node._dx = handwritten(op), children, (0.0,) * len(children)
    if open_blocks and (scope := current().scope):
        node.note = Note(scope=scope)


def _take_over(node: Any, propagate: Callable[[], None]) -> None:
    """Read the partials off a hand-written closure: what it adds to each parent's grad for an upstream of 1."""
    once, twice = (_sent(node, propagate, upstream) for upstream in (1.0, 2.0))
    if any(2.0 * a != b and a == a for a, b in zip(once, twice, strict=True)):
        raise ValueError(f"the _backward of {node!r} is not proportional to its grad, so it is no derivative")
    node.rule, node._x, node._y = handwritten(node._op), node.parents, 0.0
    node._dx, node._dy = once, 0.0


def _sent(node: Any, propagate: Callable[[], None], upstream: float) -> tuple[float, ...]:
    """How much `propagate` adds to each parent's grad; a parent that stands there twice gets it at its first place."""
    before = {v: v.grad for v in (node, *node.parents)}
    for v in before:
        v.grad = 0.0
    node.grad = upstream
    try:
        propagate()
        sent = {parent: parent.grad for parent in node.parents}
    finally:
        for v, grad in before.items():
            v.grad = grad
    return tuple(sent.pop(parent, 0.0) for parent in node.parents)
