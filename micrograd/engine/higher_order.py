"""Adjoints that are graphs themselves, and so can be differentiated again.

`engine.adjoints` comes here for create_graph=True. The rules are those of the book, called on Values instead of floats.
`functional` builds forward mode of the same two pieces, `local_graph` and `accumulated`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Any, NamedTuple

from micrograd.engine.choices import unbounded
from micrograd.engine.lines import line
from micrograd.engine.modes import current, unwatch, watch
from micrograd.engine.stale import refuse_stale
from micrograd.engine.value import Value, as_values, constant, node_of, topological_order
from micrograd.primitives import CONSTANT, RULES, Primitive, abs, dot, maximum, where

DOT, MUL = RULES["dot"], RULES["mul"]


class Dependents(NamedTuple):
    """A watch over what depends on some leaves while a function runs: no number is read off it, for that loses a derivative."""

    name: str
    leaves: list[Value]

    def holds(self, value: Value) -> bool:
        return not set(topological_order(value)).isdisjoint(self.leaves)

    def frozen(self, value: Value, how: str) -> None:
        raise TypeError(
            f"{self.name}: a value was turned into a plain number by {how}, at {line()}: its derivative would be lost. Use "
            "Values and the functions of micrograd (exp, log, where, take, ...), and arrays with dtype=object; where only the "
            "number is meant, write x.detach().data"
        )


def adjoint_graph(
    output: Value, wrt: tuple[Value, ...] | None, gated: bool | None = None, fresh: Sequence[Value] = ()
) -> dict[Value, Value]:
    """What `adjoints(output, wrt, create_graph=True)` gives, without zeros for what is not below `output`.

    Same nodes, same order, same numbers as for floats; several contributions to one node become one `dot`.
    `gated` is as in `modes.Mode`, which holds where it is None. `fresh` is the topological order where the graph was built just
    now, so that nobody can have changed data below it, for derivatives that become a tape: nobody reads their numbers.
    """
    order = fresh or topological_order(output)
    wild = unbounded(order, gated)
    arrived: dict[Value, list[Any]] = {}  # pairs, or where there are gates triples
    targets = set(order if wrt is None else wrt)
    for node in order:
        x = node._x
        if x.__class__ is not tuple:
            if x in arrived or node in targets or node._y in arrived:
                arrived[node] = []
        elif node in targets or not arrived.keys().isdisjoint(x):
            arrived[node] = []
    adjoint: dict[Value, Value] = {}
    seed = constant(1.0)
    checked = not fresh and current().observer is None  # what is recorded for a tape is computed again, from leaves
    numbers: dict[Any, Value] | None = None if checked else {}  # a tape has each constant once
    for node in reversed(order):
        terms = arrived.pop(node, None)
        if terms is None:
            continue
        gate = None
        if node is output:
            g = seed
        elif not terms:  # only through operands that no derivative depends on
            adjoint[node] = constant(0.0)
            continue
        elif wild:
            g, gate = gathered(terms, seed)
            gate = gate if node in wild else None  # what is below is finite, and so is 0 times it
        else:
            g = accumulated(terms, seed, numbers, read=not fresh)
        adjoint[node] = g
        if node._x is not None and (wild or checked or not _pass_on_quickly(node, g, arrived)):
            _pass_on(node, g, gate, arrived, bool(wild), checked)
    return adjoint


def _pass_on_quickly(node: Value, g: Value, arrived: dict[Value, list[Any]]) -> bool:
    """`_pass_on` for most nodes, written out for speed. False where nothing was done, because the node needs `_pass_on`."""
    rule: Any = node.rule
    x, y, partials, to_y = node._x, node._y, rule.partials, None
    if x.__class__ is tuple or rule.own:
        return False
    to_x = arrived.get(x) if x.__class__ is not float else None
    a = x if x.__class__ is float or x.rule is not CONSTANT else x._data
    try:
        if len(partials) == 2:
            to_y = arrived.get(y) if y.__class__ is not float else None
            b = y if y.__class__ is float or y.rule is not CONSTANT else y._data
            dx, dy = partials
            local_x = None if to_x is None else dx(a, b, node) if callable(dx) else dx
            local_y = None if to_y is None else dy(a, b, node) if callable(dy) else dy
        else:
            (dx,) = partials
            local_x = None if to_x is None else dx(a, node) if callable(dx) else dx
    except (ArithmeticError, ValueError):
        return False
    if to_x is not None and (local_x.__class__ is not float or local_x != 0.0 or not rule.leaves_out(0, local_x)):
        to_x.append((g, local_x))
    if to_y is not None and (local_y.__class__ is not float or local_y != 0.0 or not rule.leaves_out(1, local_y)):
        to_y.append((g, local_y))
    return True


def _pass_on(node: Value, g: Value, gate: Value | None, arrived: dict[Value, list[Any]], wild: bool, checked: bool) -> None:
    """Give the operands of a node their contributions: its adjoint and a partial, and in a `wild` graph a gate."""
    x, rule = node._x, node.rule
    assert rule is not None
    parents: Any = x if x.__class__ is tuple else (x, node._y)[: len(rule.partials)]  # numbers as they are
    into = [None if parent.__class__ is float else arrived.get(parent) for parent in parents]
    wanted = [terms is not None for terms in into]
    if True not in wanted:
        return
    for i, (terms, local) in enumerate(zip(into, local_graph(node, parents, wanted, checked))):  # noqa: B905
        if terms is not None and not (local.__class__ is float and local == 0.0 and rule.leaves_out(i, local)):
            terms.append((g, local, chosen(rule, local, gate)) if wild else (g, local))


def chosen(rule: Primitive, local: Any, gate: Value | None = None) -> Value | None:
    """The gate of an operand with that partial: > 0 where chosen operands lead to it, else 0; None where they always do.

    `gate` is the gate of the node itself.
    """
    if not (rule.chooses and isinstance(local, Value)):
        return gate
    if gate is None:
        return abs(local)
    return 1 - (1 - gate) ** abs(local)  # the smaller one, but 0 where one is 0 and the other nan: nan**0 and 1**nan are 1


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


def accumulated(
    terms: list[tuple[Value, Any]], seed: Value, numbers: dict[Any, Value] | None = None, read: bool = True
) -> Value:
    """Σ t * local over the pairs in `terms`, as one node; a factor that is exactly one is left out, as is `seed`, a 1.

    `numbers`, where given, holds the constants made so far, by number: nodes share them. Unless the node's own number will be
    `read`, it is not computed.
    """
    if len(terms) > 1:
        adjoints_, factors = zip(*terms, strict=True)
        if numbers is None:
            return node_of(DOT, (*adjoints_, *as_values(factors), constant(0.0)))
        operands = list(adjoints_)
        for x in (*factors, 0.0):
            if x.__class__ is float:
                key = x or str(x)  # zeros have signs
                if key not in numbers:
                    numbers[key] = constant(x)
                x = numbers[key]
            operands.append(x)
        return node_of(DOT, tuple(operands)) if read else _unread(DOT, tuple(operands))
    t, local = terms[0]
    if t is seed:
        return local if isinstance(local, Value) else constant(local)
    if local.__class__ is float and local in (1.0, -1.0):
        return t if local == 1.0 else -t
    return t * local if read or local.__class__ not in (Value, float) else _unread(MUL, t, local)


def _unread(rule: Primitive, x: Any, y: Any = 0.0) -> Value:
    """A node without its number and partials."""
    node: Value = object.__new__(Value)
    node._data, node.rule = nan, rule
    node._x, node._dx, node._y, node._dy = x, nan, y, 0.0
    return node


def local_graph(node: Value, parents: tuple[Any, ...], wanted: list[bool], checked: bool = True) -> tuple[Any, ...]:
    """The partials of a node as Values (numbers where constant), from the same row that gave the floats.

    Among `parents` may be plain numbers. RuntimeError where data have changed since the node was made, where that is `checked`.
    """
    rule = node.rule
    assert rule is not None
    if rule.partials is None:
        raise RuntimeError(f"{node!r} has a hand-written _backward: its derivative is a number, not a graph; use primitive()")
    args = [p if p.__class__ is float else p._data if p.rule is CONSTANT else p for p in parents]
    token = (
        watch(Dependents(f"a partial derivative of {rule.name}", [p for p in parents if p.__class__ is not float]))
        if rule.own
        else None
    )
    try:
        if len(args) == 2 and not rule.variadic:
            (x, y), (dx, dy), (want_x, want_y) = args, rule.partials, wanted
            local: tuple[Any, ...] = (
                (dx(x, y, node) if callable(dx) else dx) if want_x else 0.0,
                (dy(x, y, node) if callable(dy) else dy) if want_y else 0.0,
            )
        else:
            local = rule.local(tuple(args), node, wanted)
    except (ArithmeticError, ValueError):  # 1 / 0: Values follow IEEE where Python's floats raise
        local = rule.local(as_values(parents), node, wanted)
    finally:
        if token is not None:
            unwatch(token)
    if checked:
        refuse_stale(node, parents, local, wanted)
    return local
