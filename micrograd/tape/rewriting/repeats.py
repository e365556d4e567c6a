"""Common subexpressions: equal operations on equal operands are merged in a graph before it is differentiated.

`record` does this where exact bits are not asked for. An operation that was written k times has k adjoints, and each of them
is multiplied on its way down; merged, it has one adjoint, their sum. `passes` merge too, but after differentiation, when the
order of these sums is settled.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from operator import is_
from typing import Any

from micrograd.engine import Value, general, operands, primal
from micrograd.engine.modes import inside
from micrograd.primitives import CONSTANT
from micrograd.tape.tape import constant_key

ONE_IN = 8  # a graph stays as it is if no more than one in so many operations would go


def merged(outputs: Sequence[Value], order: Sequence[Value], kept: Container[Value]) -> list[Value] | None:
    """The outputs of a graph in which equal operations are merged; None if few are equal.

    `order` is all that is below them, parents before consumers. No node is changed: those whose operands have been merged are
    made anew. Nodes in `kept` stay, with all that is below them, and are merged with no other.
    """
    place: dict[Value, int] = {}  # for each node, the place in `order` of the first one that is equal
    literal: dict[Any, int] = {}  # for each plain number, a negative place
    known: dict[Any, int] = {}  # places by operation and places of the operands
    others = 0  # nodes that are no operations, or kept

    def place_of(x: float) -> int:
        return literal.setdefault(constant_key(x), -1 - len(literal))

    for i, node in enumerate(order):
        used = operands(node)
        if len(used) == 2 and not (kept and node in kept):
            x, y = used
            first = place[x] if x.__class__ is not float else literal.get(x) or place_of(x)
            second = place[y] if y.__class__ is not float else literal.get(y) or place_of(y)
            place[node] = known.setdefault((node.rule, first, second), i)
        elif used and not (kept and node in kept):
            place[node] = known.setdefault((node.rule, *map(place.__getitem__, used)), i)
        else:
            others += 1
            place[node] = place_of(primal(node)) if node.rule is CONSTANT else i
    operations = len(order) - others
    if ONE_IN * (operations - len(known)) <= operations:
        return None
    made: dict[Value, Value] = {}
    with inside(recording=True, anomaly=False, observer=None):
        for i, node in enumerate(order):
            used, at = operands(node), place[node]
            if used and at != i:
                made[node] = made[order[at]]
                continue
            new = [x if x.__class__ is float else made[x] for x in used]
            same = node in kept or all(map(is_, new, used))
            made[node] = node if same else general(node.rule, new)  # type: ignore[arg-type]
    return [made[node] for node in outputs]
