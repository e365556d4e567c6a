"""Data that has changed since the graph was built: derivatives of the old data are refused, or all is computed again.

A node's number and partials are those of the moment at which it was made. `value` comes before, and calls what is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from micrograd.engine import modes
from micrograd.engine.anomaly import refuse_backward
from micrograd.engine.value import Value, local_numbers, topological_order
from micrograd.primitives import RULES


def recompute(output: Value) -> Value:
    """`output`, after data and partials of it and all below it are set to what they are for the data that leaves have now."""
    made = [(node, node.rule) for node in topological_order(output) if node.rule is not None]
    for node, rule in made:
        if rule.partials is None:
            raise RuntimeError(f"cannot recompute {node!r}: how {node.op!r} was computed is not in the rule book")
    with modes.inside(recording=True):
        for node, rule in made:
            fresh = rule(*node.parents)
            node._data, node._dx, node._dy = fresh._data, fresh._dx, fresh._dy
    return output


def refuse_stale(node: Value, parents: tuple[Any, ...], local: tuple[Any, ...], wanted: list[bool]) -> None:
    """RuntimeError where data below a node have changed since it was made."""
    rule: Any = node.rule
    numbers = [p if p.__class__ is float else p._data for p in parents]
    now, then = [rule.on_floats(numbers)], [node._data]
    if rule.compiled:
        local = rule.local(numbers, now[0], wanted)
    partials = node._dx if node._x.__class__ is tuple else (node._dx, node._dy)
    for d, d_then, want in zip(local, partials, wanted):  # noqa: B905 (a single operand has an empty second slot)
        if want:
            now.append(d._data if isinstance(d, Value) else d)
            then.append(d_then)
    if now != then and any(a != b and (a == a or b == b) for a, b in zip(now, then, strict=True)):
        raise RuntimeError(
            f"data below {node!r} ({node.op}) has changed since the graph was built, and its derivatives are those of the "
            "values of that time: call recompute() on the output first"
        )


def refuse_anomaly(order: Sequence[Value], adjoint: dict[Value, float]) -> None:
    """What detect_anomaly() refuses of a backward pass: data that have changed since a node was made, and nan or inf.

    RuntimeError where data below one of the nodes have changed, of rows in the rule book alone; else FloatingPointError.
    """
    for node in order:
        if (rule := node.rule) is not None and rule is RULES.get(rule.name):
            parents = node.parents
            data = tuple([p._data for p in parents])
            local = local_numbers(rule, parents, data, rule.on_floats(data))
            refuse_stale(node, parents, local, [not p.is_constant for p in parents])
    refuse_backward(order, adjoint)
