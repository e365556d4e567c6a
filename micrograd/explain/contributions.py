"""The graph below an output as explanations read it: adjoints, contributions in the engine's order, and paths."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import Context
from functools import cached_property
from heapq import nsmallest
from typing import Any, NamedTuple

from micrograd.engine import Value, adjoints, topological_order
from micrograd.engine.choices import reached_from

STALE = (
    "Data has changed since this graph was built: leaves are shown as they are now, what was computed and the derivatives "
    "as they were. recompute() replays the graph."
)


def changed(node: Value) -> bool:
    """Whether the present data of the operands gives another value than the node has: it has changed since."""
    if node.rule is None or node.rule.partials is None or node.is_constant:
        return False
    now = node.rule.on_floats([p.data for p in node.parents])
    return now != node.data and (now == now or node.data == node.data)


def scope_of(node: Value) -> str:
    """The names of the `with scope(...)` blocks in which a node was made, outermost first: "cell / gate f"; "" for none."""
    return " / ".join([name for name, _ in getattr(node.note, "scope", ())])


class Term(NamedTuple):
    """One contribution to the adjoint of operand number `operand` of `consumer`: upstream · local = value."""

    consumer: Value
    operand: int
    upstream: float
    local: float
    value: float


class Graph:
    """The graph below `output`: its nodes in the engine's `order`, the `adjoint` of each, and the contributions to it."""

    def __init__(self, output: Value):
        self.output = output
        self.order = topological_order(output)
        self.adjoint: dict[Value, float] = Context().run(adjoints, output)  # in a new context, which has no detect_anomaly()
        self._positions: dict[Value, int] | None = None
        self._terms: dict[Value, list[tuple[Value, int, float]]] | None = None

    def terms(self, node: Value) -> list[Term]:
        """The engine's contributions to the adjoint of `node`, in the order in which it adds them."""
        if self._terms is None:
            self._terms = {n: [] for n in self.order}
            for consumer in reversed(self.order):
                for i, (parent, local) in enumerate(zip(consumer.parents, consumer.partials, strict=True)):
                    if parent in self._terms:
                        self._terms[parent].append((consumer, i, local))
        found = self._terms.get(node, [])
        return [Term(c, i, self.adjoint[c], local, self.passed(self.adjoint[c], c, i, local)) for c, i, local in found]

    def passed(self, g: float, consumer: Value, operand: int, local: float) -> float:
        """g · local; 0 where the operand was not chosen, or no path of chosen operands leads to the consumer: no edge."""
        closed = consumer.rule is not None and consumer.rule.leaves_out(operand, local)
        return 0.0 if closed or consumer not in self.reached else g * local

    @cached_property
    def reached(self) -> set[Value]:
        """The nodes to which a path of chosen operands leads."""
        return reached_from(self.output, self.order)

    def between(self, x: Value) -> list[Value]:
        """`x` and the nodes above it, in the engine's order: those that lie on a path from the output to `x`."""
        above = {x}
        return [n for n in self.order if n is x or (not above.isdisjoint(n.parents) and not above.add(n))]  # type: ignore[func-returns-value]

    def position(self, node: Value) -> int:
        """The place of a node in the engine's order; -1 for a constant."""
        if self._positions is None:
            self._positions = {n: i for i, n in enumerate(self.order)}
        return self._positions.get(node, -1)

    def shares(self, x: Value) -> dict[Value, float]:
        """How much of the derivative by `x` goes through each node above it: |∂output/∂node · ∂node/∂x|; inf for nan."""
        between = self.between(x)
        tangent = {x: 1.0}
        for node in between[1:]:
            tangent[node] = 0.0
            for parent, local in zip(node.parents, node.partials, strict=True):
                if parent in tangent and local != 0.0:
                    tangent[node] += local * tangent[parent]
        shares = {node: math.fabs(self.adjoint[node] * t) for node, t in tangent.items()}
        return {node: share if share == share else math.inf for node, share in shares.items()}


class Path:
    """One path from the output down to a node: its nodes, the local partial derivatives between them, their product."""

    def __init__(self, nodes: tuple[Value, ...], locals: tuple[float, ...], value: float, write: Callable[[Path], str]):
        self.nodes, self.locals, self.value, self._write = nodes, locals, value, write

    def __repr__(self) -> str:
        return self._write(self)


def largest_paths(graph: Graph, x: Value, k: int) -> list[tuple[float, tuple[Value, ...], tuple[float, ...]]]:
    """The `k` paths from the output to `x` with the largest |product|, largest first: (product, nodes, locals).

    Each node keeps the k best ways to reach it. That is enough: a way that is not among them at a node cannot be part of one of
    the k best further down. The work grows with k times the number of edges, however many paths there are.
    """
    between = graph.between(x)
    inside = set(between)
    if x not in graph.adjoint or k < 1:
        return []
    # A way: (minus the logarithm of |product|, order of arrival, product, node, local, the way to its consumer)
    ways: dict[Value, list[Any]] = {graph.output: [(0.0, 0, 1.0, graph.output, None, None)]}
    arrived = 0
    for node in reversed(between):
        here = nsmallest(k, ways.pop(node), key=lambda way: way[:2])
        if node is x:
            break
        for i, (parent, local) in enumerate(zip(node.parents, node.partials, strict=True)):
            if parent in inside:
                for way in here:
                    arrived += 1
                    product = graph.passed(way[2], node, i, local)
                    size = way[0] - _log(local)
                    if product != product or size != size:
                        size = -math.inf  # nan comes first, for it decides the sum
                    ways.setdefault(parent, []).append((size, arrived, product, parent, local, way))
    found = []
    for way in here:
        product, nodes, locals = way[2], [], []
        while way is not None:
            nodes.append(way[3])
            if way[4] is not None:
                locals.append(way[4])
            way = way[5]
        found.append((product, tuple(reversed(nodes)), tuple(reversed(locals))))
    return found


def _log(x: float) -> float:
    return math.log(math.fabs(x)) if x == x and x != 0.0 else -math.inf if x == 0.0 else math.inf


def count_paths(graph: Graph, x: Value) -> int:
    """How many paths lead from the output to `x`; an exact integer, however large."""
    between = graph.between(x)
    count = dict.fromkeys(between, 0)
    if graph.output not in count:
        return 0
    count[graph.output] = 1
    for node in reversed(between[1:]):
        here = count.pop(node)  # forgotten here, for it can have as many digits as the graph has nodes
        for parent in node.parents:
            if parent in count:
                count[parent] += here
    return count[x]
