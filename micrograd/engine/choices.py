"""Backward where an operand was not chosen: what is below it is not reached, and nothing there is multiplied.

`value` comes here only when a derivative has come out as nan or infinite. Otherwise a zero of an operand
that was not chosen, times finite numbers, has added nothing, and the plain passes give the same numbers quicker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def chosen_edges(node: Any) -> Iterator[tuple[Any, float]]:
    """The parents of a node that were chosen, each with its local partial derivative."""
    for i, (parent, local) in enumerate(zip(node.parents, node.partials, strict=True)):
        if not node.rule.leaves_out(i, local):
            yield parent, local


def reached_from(output: Any, order: Sequence[Any]) -> set[Any]:
    """The nodes, those of `order` and their parents, that a path of chosen operands leads to."""
    reached = {output}
    for node in reversed(order):
        if node in reached:
            reached.update(parent for parent, _ in chosen_edges(node))
    return reached


def adjoints_of_chosen(order: Sequence[Any], output: Any) -> dict[Any, float]:
    """The adjoint of every node in `order`, 0.0 for those that `output` does not reach through chosen operands."""
    reached, adjoint = reached_from(output, order), dict.fromkeys(order, 0.0)
    adjoint[output] = 1.0
    for node in reversed(order):
        for parent, local in chosen_edges(node) if node in reached else ():
            if parent in adjoint:
                adjoint[parent] += adjoint[node] * local
    return adjoint
