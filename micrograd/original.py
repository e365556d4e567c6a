"""The names of the original micrograd, for code written for it: `_prev`, `_op`, `_backward`. `Value` inherits them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Original:
    """Properties of a Value as the original micrograd calls them."""

    __slots__ = ()

    @property
    def _prev(self: Any) -> set[Any]:
        return set(self.parents)

    @property
    def _op(self: Any) -> str:
        words = self.rule.written.split() if self.parents else [""]
        return words[1] if len(words) == 3 and len(words[1]) <= 2 else {"relu": "ReLU"}.get(self.op, self.op)

    @property
    def _backward(self: Any) -> Callable[[], None]:
        def propagate() -> None:
            for parent, local in zip(self.parents, self.partials, strict=True):
                parent.grad += local * self.grad

        return propagate

    @_backward.setter
    def _backward(self: Any, propagate: Callable[[], None]) -> None:
        """Read the partials off a hand-written closure: what it adds to each parent's grad for an upstream of 1."""
        nodes = dict.fromkeys((self, *self.parents))
        before = [node.grad for node in nodes]
        for node in nodes:
            node.grad = float(node is self)
        propagate()
        local = {parent: parent.grad for parent in self.parents}
        self._dx = tuple(local.pop(parent, 0.0) for parent in self.parents)
        for node, grad in zip(nodes, before, strict=True):
            node.grad = grad
