"""What detect_anomaly() refuses: the first number that is nan or infinite, forward or backward, with the line that wrote it.

`value` comes here while such a block is open.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from micrograd.engine.lines import line
from micrograd.primitives import Primitive


def refuse_forward(rule: Primitive, data: Sequence[float], out: float) -> None:
    """FloatingPointError where the value of an operation is nan or inf."""
    if not math.isfinite(out):
        raise FloatingPointError(f"{_called(rule, data)} = {out}, at {line()}")


def refuse_backward(order: Sequence[Any], adjoint: dict[Any, float]) -> None:
    """FloatingPointError where a contribution is nan or inf: the first in the order of the backward pass."""
    total, reached = dict.fromkeys(adjoint, 0.0), {order[-1]}
    for node in reversed(order):
        if node not in reached:
            continue
        for i, (parent, local) in enumerate(zip(node.parents, node.partials, strict=True)):
            if parent not in adjoint or node.rule.leaves_out(i, local):
                continue
            reached.add(parent)
            product = adjoint[node] * local
            total[parent] += product
            if not math.isfinite(total[parent]):
                called = _called(node.rule, [p._data for p in node.parents])
                where = f", at {node.note.line}" if node.note is not None and node.note.line else ""
                raise FloatingPointError(
                    f"backward through operand {i} of {called} = {node._data}: upstream "
                    f"{adjoint[node]} * local {local} = {product}, for an adjoint of {total[parent]}{where}"
                )


def _called(rule: Primitive, data: Sequence[float]) -> str:
    shown = [f"{x!r}" for x in data[:8]] + (["..."] if len(data) > 8 else [])
    return f"{rule.name}({', '.join(shown)})"
