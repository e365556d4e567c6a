"""The order of a graph is part of the specification: parents before consumers, from left to right, for every kind of node."""

import pytest

import micrograd as mg
from micrograd import Value, topological_order
from micrograd.primitives import RULES


def visited(node, seen):
    """The postorder of a depth-first visit from left to right, as one would write it down."""
    if node in seen or node.is_constant:
        return []
    seen.add(node)
    return [n for parent in node.parents for n in visited(parent, seen)] + [node]


def operands(rule):
    """Operands for each place of a rule, each computed from a leaf of its own, and one that stands in two places."""
    count = 5 if rule.variadic else len(rule.partials)
    made = [Value(0.1 * (i + 1), label=f"x{i}") * 0.5 for i in range(count)]
    if rule.name == "take":  # the first one is an index
        return [2.0, *made[1:], made[1]]
    return [*made, made[0], made[1] * 2.0] if rule.variadic else made


@pytest.mark.parametrize("name", RULES)
def test_parents_of_every_rule_are_visited_from_left_to_right(name):
    rule = RULES[name]
    out = rule(*operands(rule)) + Value(1.0)
    assert topological_order(out) == visited(out, set())
    assert [n.label for n in topological_order(out) if n.label] == sorted([n.label for n in topological_order(out) if n.label])


def test_roots_are_visited_from_left_to_right():
    a, b = Value(1.0, label="a"), Value(2.0, label="b")
    first, second = b * 2.0, a * b
    assert topological_order(second, first, a) == [a, b, second, first]


def test_contributions_are_added_in_the_reverse_of_that_order():
    """1 is lost beside 1e16 where it comes first, and kept where the large ones have gone: the bits tell the order."""
    x = Value(1.0)
    paths = [x * 1.0, x * 1e16, x * -1e16]
    for order, expected in (([0, 1, 2], 1.0), ([1, 2, 0], 0.0), ([1, 0, 2], 0.0)):
        x.grad = 0.0
        mg.sum([paths[i] * 1.0 for i in order]).backward()
        assert x.grad == expected, order
