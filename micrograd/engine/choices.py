"""Backward where an operand was not chosen: what is below it is not reached, and nothing there is multiplied.

`value` and `higher_order` come here only when a derivative has come out as nan or infinite. Otherwise a zero of an operand
that was not chosen, times finite numbers, has added nothing, and the plain passes give the same numbers quicker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def adjoints_of_chosen(order: Sequence[Any], output: Any) -> dict[Any, float]:
    """The adjoint of every node in `order`, 0.0 for those that `output` does not reach through chosen operands."""
    adjoint = dict.fromkeys(order, 0.0)
    adjoint[output] = 1.0
    reached = {output}
    for node in reversed(order):
        if node not in reached or not node.parents:
            continue
        for i, (parent, local) in enumerate(zip(node.parents, node.partials, strict=True)):
            if local != 0.0 or not node.rule.leaves_out(i):
                reached.add(parent)
                if parent in adjoint:
                    adjoint[parent] += adjoint[node] * local
    return adjoint
