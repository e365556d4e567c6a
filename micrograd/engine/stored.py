"""How a node is stored, for whoever walks or makes nodes outside the engine: nobody else reads its slots.

`value` comes before, and says there what the slots hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any

from micrograd import primitives
from micrograd.engine import modes
from micrograd.engine.modes import Note
from micrograd.engine.value import Value
from micrograd.primitives import Primitive

primal: Callable[[Value], float] = attrgetter("_data")  # the number of a Value, read without telling an observer


def primals(values: Iterable[Value]) -> list[float]:
    """The numbers of Values, read without telling an observer: in half the time that `primal` of each takes."""
    return [v._data for v in values]


def operands(node: Value) -> tuple[Any, ...]:
    """The operands as the node stores them: unlike in `.parents`, plain numbers are floats. A leaf has none."""
    x = node._x
    if x.__class__ is tuple:
        return x
    if x is None:
        return ()
    return (x,) if len(node.rule.partials) == 1 else (x, node._y)  # type: ignore[union-attr]


def leaves_and_numbers(nodes: Iterable[Value]) -> Iterator[Any]:
    """The leaves among nodes, constants too, and the plain numbers among their operands, as floats."""
    for node in nodes:
        x = node._x
        if x is None:
            yield node
        elif x.__class__ is float:
            yield x
        elif x.__class__ is not tuple and node._y.__class__ is float and node.rule.takes == 2:  # type: ignore[union-attr]
            yield node._y


def edges(node: Value) -> Iterable[tuple[Any, float]]:
    """Each of the `operands` with its local partial derivative."""
    x = node._x
    return zip(x, node._dx) if x.__class__ is tuple else zip(operands(node), (node._dx, node._dy))  # noqa: B905 (an unused _dy)


def computed(rule: Primitive, data: float, parents: tuple[Value, ...], partials: Any, note: Note | None) -> Value:
    """The node of a result whose number and partials have been computed elsewhere."""
    node: Value = object.__new__(Value)
    node._data, node.rule, node.note = data, rule, note
    node._x, node._dx, node._y, node._dy = parents, partials, 0.0, 0.0
    return node


def attach(leaf: Value, source: Any) -> None:
    """Turn a leaf into a copy of `source`, a Value or a float, once the graph above it no longer needs a leaf there.

    Written as source * 1.0: exact for every number, and the sign of zero.
    """
    leaf.rule, leaf._x, leaf._dx, leaf._y, leaf._dy = primitives.mul, source, 1.0, 1.0, 0.0
    if modes.open_blocks and (scope := modes.current().scope):
        leaf.note = Note(scope=scope)
