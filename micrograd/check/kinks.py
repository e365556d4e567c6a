"""Which branches a graph takes, and the names of the kinks that lie between two points where they differ.

The rule book writes branches as primitives (step, sign, where and the comparisons), so its rows say where a kink is. An `if` in
Python shows in other operations or other plain numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from micrograd.engine import Value, topological_order
from micrograd.formula.symbol import Symbol, applied, partial

Branches = list[tuple[Any, ...]]  # for each node: its operation, its plain numbers, and the branches that its row takes


def branches(out: Value) -> Branches:
    """The operations below `out` in order, with the branches that their values and their partial derivatives take."""
    return [branch(node) for node in topological_order(out) if node.rule is not None]


def branch(node: Value) -> tuple[Any, ...]:
    """The operation of a node, its plain numbers, and the branches that its row takes in value and partials."""
    rule = node.rule
    assert rule is not None
    if rule.partials is None:
        return (rule.name, ())
    numbers = tuple([p.data for p in node.parents if p.is_constant])
    args = tuple([Symbol(p.data, "x") for p in node.parents])
    out = Symbol(node.data, "x")
    taken: list[float] = []
    if rule.is_flat or rule.name == "where":
        taken += _choices(applied(rule, args))
    operands = () if rule.variadic else range(len(args))
    for i in operands:
        if not node.parents[i].is_constant and (local := partial(rule, args, out, i)) is not None:
            taken += _choices(local)
    return rule.name, numbers, *taken


def _choices(s: Symbol) -> Iterator[float]:
    """The branches that a formula takes: the values of its flat operations and of the conditions of its choices."""
    pending = [s]
    while pending:
        s = pending.pop()
        if s.rule is not None:
            if s.rule.is_flat:
                yield s.number
            elif s.rule.name == "where":
                yield 1.0 if s.args[0].number > 0.0 else 0.0
            pending.extend(s.args)


def kinks(left: Branches, here: Branches, right: Branches, out: Value) -> str:
    """The kinks at or beside a point, named; "" where there are none.

    Given are the branches on its left, at the point itself, where the graph of `out` was made, and on its right. Plain numbers
    that differ at all three were computed from the argument, and tell of no branch.
    """
    if left == right == here:
        return ""
    for part in (slice(1), slice(2)):  # operations, then plain numbers too
        a, b, c = [[taken[part] for taken in side] for side in (left, here, right)]
        if a == c != b:
            return "another way at the point itself, by an `if` in Python"
        if a != c and (b in (a, c) or part.stop == 1):
            return "another way on each side, by an `if` in Python"
    nodes = [node for node in topological_order(out) if node.rule is not None]
    found = []
    for node, *taken in zip(nodes, left, here, right, strict=True):
        if not taken[0][2:] == taken[1][2:] == taken[2][2:]:
            called = f"{node.op} at {', '.join([f'{p.data:.4g}' for p in node.parents])}"
            found.append(f"{called} ({node.label})" if node.label else called)
    return ", ".join([*found[:3], *([f"{len(found) - 3} more"] if len(found) > 3 else [])])
