"""Adjoints that are graphs themselves, and so can be differentiated again.

`engine.adjoints` comes here for create_graph=True. The rules are those of the book, called on Values instead of floats.
`functional` builds forward mode of the same two pieces, `local_graph` and `accumulated`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from micrograd.engine.choices import LARGE, TAME, is_tame
from micrograd.engine.modes import current
from micrograd.engine.value import Value, constant, topological_order
from micrograd.primitives import CONSTANT, Primitive, abs, dot, maximum, minimum, where


def adjoint_graph(output: Value, wrt: tuple[Value, ...] | None, gated: bool | None = None) -> dict[Value, Value]:
    """What `adjoints(output, wrt, create_graph=True)` gives, without zeros for what is not below `output`.

    Same nodes, same order, same numbers as for floats; several contributions to one node become one `dot`.
    `gated` is as in `modes.Mode`, which holds where it is None.
    """
    order = topological_order(output)
    wild = unbounded(order, gated)
    arrived: dict[Value, list[tuple[Value, Any, Value | None]]] = {}
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
        gate = None
        if node is output:
            adjoint[node] = seed
        elif terms := arrived[node]:
            adjoint[node], gate = gathered(terms, seed)
        else:  # only through operands that no derivative depends on
            adjoint[node] = constant(0.0)
            continue
        if node._x is None:
            continue
        parents, rule, g = node.parents, node.rule, adjoint[node]
        wanted = [parent in arrived for parent in parents]
        if True not in wanted:
            continue
        assert rule is not None
        gate = gate if node in wild else None  # what is below is finite, and so is 0 times it
        for i, (parent, local, want) in enumerate(zip(parents, local_graph(node, parents, wanted), wanted, strict=True)):
            if want and not rule.leaves_out(i, local):
                arrived[parent].append((g, local, chosen(rule, local, gate) if wild else None))
    return adjoint


# Where a choice lets nothing through, its 0 must not meet an infinity: neither now, nor in a derivative of the derivative,
# nor when the graph is replayed on other numbers. So what is reached through choices alone is multiplied inside
# where(gate, ..., 0), which has no edge either where the gate is shut. A graph without poles or overflow needs no gates.


def unbounded(order: Sequence[Value], gated: bool | None = None) -> set[Value]:
    """The nodes that have, in some derivative, an infinity or nan of their own or below them; none where nothing chooses.

    With `gated`, or where the mode says so, all; where it is False, none.
    """
    gated = current().gated if gated is None else gated
    if gated is not None:
        return set(order) if gated else set()
    found: set[Value] = set()
    if not any(rule is not None and rule.chooses for rule in {node.rule for node in order}):
        return found
    for node in order:
        rule, x = node.rule, node._x
        if not -LARGE < node._data < LARGE:
            found.add(node)
        elif rule is not None and (found or rule.name not in TAME):
            y = node._y
            by = y if y.__class__ is float else y._data if y.rule is CONSTANT else None
            if not (is_tame(rule.name, by) and found.isdisjoint(x if x.__class__ is tuple else (x, y))):
                found.add(node)
    return found


def chosen(rule: Primitive, local: Any, gate: Value | None = None) -> Value | None:
    """What is > 0 where an operand of that partial is reached through chosen operands, else 0; None for always.

    `gate` says so of the node itself.
    """
    if not (rule.chooses and isinstance(local, Value)):
        return gate
    return abs(local) if gate is None else minimum(gate, abs(local))  # type: ignore[no-any-return]


def gathered(terms: list[tuple[Value, Any, Value | None]], seed: Value) -> tuple[Value, Value | None]:
    """The sum of the contributions to a node, and the gate of the node."""
    gates = [gate for _, _, gate in terms if gate is not None]
    if not gates:
        return accumulated([(t, local) for t, local, _ in terms], seed), None
    products = [
        (product if gate is None else where(gate, product, 0.0))
        for t, local, gate in terms
        for product in [accumulated([(t, local)], seed)]
    ]
    total = products[0] if len(products) == 1 else dot(products, [1.0] * len(products))
    if len(gates) < len(terms):
        return total, None
    gate = gates[0]
    for other in gates[1:]:
        gate = maximum(gate, other)
    return total, gate


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
