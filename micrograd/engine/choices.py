"""What was not chosen has no edge: what is below it is not reached, and nothing there is multiplied.

A zero of an operand that was not chosen, times finite numbers, adds nothing. So `value` takes the plain passes, and comes
here only when a derivative has come out as nan or infinite; and graphs of derivatives (`higher_order`, and the tape) leave
operands out only where operations that are not tame stand beside choices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from micrograd.engine.modes import current
from micrograd.primitives import CONSTANT

LARGE = 1e100  # size from which on a product of a few factors may overflow
TAME = frozenset({
    "add", "sub", "mul", "neg", "dot", "sum", "sin", "cos", "tanh", "atan", "erf", "sigmoid", "softplus", "relu", "abs", "sign",
    "step", "floor", "round", "asinh", "erfc", "maximum", "minimum", "greater", "less", "equal", "where", "take", "logsumexp",
    "ndtr", "one_minus_square", "exp_minus_square",
})  # fmt: skip


def is_tame(op: str, by: float | None) -> bool:
    """Whether value and derivatives are finite wherever the operands are, as long as no product overflows.

    `by` is the second operand where that is a fixed number.
    """
    if op in TAME:
        return True
    return by is not None and (by != 0.0 if op == "div" else op == "pow" and by > 0.0 and by % 1.0 == 0.0)


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


# Where a choice lets nothing through, its 0 must not meet an infinity: neither now, nor in a derivative of the derivative,
# nor when the graph is replayed on other numbers. So nodes that only choices lead to are multiplied inside
# where(gate, ..., 0), which has no edge where the gate is shut. A graph without poles or overflow needs no gates.


def chooses(order: Sequence[Any]) -> bool:
    """Whether one of the nodes chooses between its operands."""
    return any(rule is not None and rule.chooses for rule in {node.rule for node in order})


def unbounded(order: Sequence[Any], gated: bool | None = None) -> set[Any]:
    """The nodes of which some derivative may be infinite or nan, by their own rule or by that of a node below them.

    There are none where nothing chooses. With `gated` True these are all nodes, with False none; None leaves it to the mode.
    """
    mode = current()
    gated = mode.gated if gated is None else gated
    if gated:
        return set(order)
    found: set[Any] = set()
    if (gated is False and mode.observer is None) or not chooses(order):
        return found
    if mode.observer is not None:  # other numbers may be infinite where these are not
        mode.observer.passed_choices()
    if gated is False:
        return found
    for node in order:
        rule, x, y = node.rule, node._x, node._y
        # a number among the operands may be a factor of every further derivative
        fixed = y if y.__class__ is float else x if x.__class__ is float else 0.0
        if not (-LARGE < node._data < LARGE and -LARGE < fixed < LARGE):
            found.add(node)
        elif rule is not None and (found or rule.name not in TAME):
            by = y if y.__class__ is float else y._data if y.rule is CONSTANT else None
            if not (is_tame(rule.name, by) and found.isdisjoint(x if x.__class__ is tuple else (x, y))):
                found.add(node)
    return found
