"""The graph below a value as a NetworkX graph, for its algorithms and layouts. NetworkX is imported only when it is used."""

from __future__ import annotations

from typing import Any

from micrograd.engine import Value, adjoints, topological_order


def to_networkx(output: Value) -> Any:
    """A networkx.MultiDiGraph with an edge from each operand to what is computed from it.

    Nodes are numbered in the order of the graph, and carry `value` (the Value itself), `label`, `op`, `data` and `grad` (the
    derivative of `output` by it). Edges carry `operand` (its number, from 0) and `local` (the local partial derivative).
    Constants are left out. ImportError without NetworkX.

    >>> x = Value(2.0, label="x")
    >>> to_networkx(x * x).number_of_edges()  # doctest: +SKIP
    2
    """
    try:
        import networkx
    except ImportError:
        raise ImportError("this needs NetworkX: python -m pip install networkx") from None
    if not isinstance(output, Value):
        raise TypeError(f"to_networkx needs a Value, got {type(output).__name__} {output!r}")
    graph = networkx.MultiDiGraph()
    order = topological_order(output) or [output]
    place = {node: i for i, node in enumerate(order)}
    grad = adjoints(output) if not output.is_constant else {output: 1.0}
    for node, i in place.items():
        graph.add_node(i, value=node, label=str(node.label), op=node.op, data=node.data, grad=grad[node])
    for node, i in place.items():
        for operand, (parent, local) in enumerate(zip(node.parents, node.partials, strict=True)):
            if parent in place:
                graph.add_edge(place[parent], i, operand=operand, local=local)
    return graph
