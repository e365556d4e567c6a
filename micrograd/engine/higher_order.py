"""Adjoints that are graphs themselves, and so can be differentiated again.

`engine.adjoints` comes here for create_graph=True. The rules are those of the book, called on Values instead of floats.
`functional` builds forward mode of the same two pieces, `local_graph` and `accumulated`.
"""

from __future__ import annotations

from typing import Any

from micrograd.engine.value import Value, constant, topological_order
from micrograd.primitives import CONSTANT, dot


def adjoint_graph(output: Value, wrt: tuple[Value, ...] | None) -> dict[Value, Value]:
    """What `adjoints(output, wrt, create_graph=True)` gives, without zeros for what is not below `output`.

    Same nodes, same order, same numbers as for floats; several contributions to one node become one `dot`.
    """
    order = topological_order(output)
    arrived: dict[Value, list[tuple[Value, Any]]] = {}
    needed, targets = arrived.keys(), set(order if wrt is None else wrt)
    for node in order:
        x = node._x
        if node in targets or not needed.isdisjoint(x if x.__class__ is tuple else (x, node._y)):
            arrived[node] = []
    adjoint: dict[Value, Value] = {}
    seed = constant(1.0)
    for node in reversed(order):
        if node not in arrived:
            continue
        adjoint[node] = g = seed if node is output else accumulated(arrived[node], seed)
        if node._x is None:
            continue
        parents = node.parents
        wanted = [parent in arrived for parent in parents]
        if True in wanted:
            for parent, local, want in zip(parents, local_graph(node, parents, wanted), wanted, strict=True):
                if want:
                    arrived[parent].append((g, local))
    return adjoint


def accumulated(terms: list[tuple[Value, Any]], seed: Value) -> Value:
    """Σ t * local over the pairs in `terms`, as one node; a factor that is exactly one is left out, as is `seed`, a 1."""
    if len(terms) > 1:
        return dot([t for t, _ in terms], [local for _, local in terms])  # type: ignore[no-any-return]
    t, local = terms[0]
    if t is seed:
        return local if isinstance(local, Value) else constant(local)
    if local.__class__ is float and local in (1.0, -1.0):
        return t if local == 1.0 else -t
    return t * local  # type: ignore[no-any-return]


def local_graph(node: Value, parents: tuple[Value, ...], wanted: list[bool]) -> tuple[Any, ...]:
    """The partials of a node as Values (numbers where constant), from the same row that gave the floats."""
    rule = node.rule
    assert rule is not None
    if rule.partials is None:
        raise RuntimeError(f"{node!r} has a hand-written _backward: its derivative is a number, not a graph; use primitive()")
    try:
        local = rule.local(tuple([p._data if p.rule is CONSTANT else p for p in parents]), node, wanted)
    except (ArithmeticError, ValueError):  # 1 / 0: Values follow IEEE where Python's floats raise
        local = rule.local(parents, node, wanted)
    now, then = [rule.on_floats([p._data for p in parents])], [node._data]
    partials = node._dx if node._x.__class__ is tuple else (node._dx, node._dy)
    for d, d_then, want in zip(local, partials, wanted):  # noqa: B905 (a single operand has an empty second slot)
        if want:
            now.append(d._data if isinstance(d, Value) else d)
            then.append(d_then)
    if now != then and any(a != b and (a == a or b == b) for a, b in zip(now, then, strict=True)):
        raise RuntimeError(
            f"data below {node!r} ({node.op}) has changed since the graph was built, and create_graph differentiates "
            "at the values of that time: call recompute() on the output first"
        )
    return local
