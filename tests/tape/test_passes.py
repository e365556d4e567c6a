"""Rewriting keeps every bit, also where a number is infinite, nan or a zero with a sign."""

import math

import pytest

import micrograd as mg
from micrograd import Value, adjoints, grad, jit

EDGES = (0.0, -0.0, 1.0, -2.5, math.inf, -math.inf, math.nan, 1e308, 5e-324)
FUNCTIONS = {
    "maximum": mg.maximum,
    "minimum": mg.minimum,
    "x - c": lambda x, c: x - c,
    "c - x": lambda x, c: c - x,
    "x + c": lambda x, c: x + c,
    "x * c": lambda x, c: x * c,
    "x / c": lambda x, c: x / c,
    "c / x": lambda x, c: c / x,
    "x ** c": lambda x, c: x**c,
    "two of one": lambda x, c: (x + c) * (c + x) - (x - c) * (x - c),
}


def same(a, b):
    """Equal up to the sign of zero; nan equals nan."""
    return a == b or (a != a and b != b)


@pytest.mark.parametrize("backend", ["reference", "numpy"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_constants_at_the_edges_are_folded_to_the_engines_bits(name, backend):
    f = FUNCTIONS[name]
    for c in EDGES:
        value, slope = jit(lambda x, c=c: f(x, c), backend=backend), jit(grad(lambda x, c=c: f(x, c)), backend=backend)
        for x in EDGES:
            leaf = Value(x)
            out = f(leaf, c)
            expected = adjoints(out, leaf)[leaf] if isinstance(out, Value) and not out.is_constant else 0.0
            assert same(value(x), out.data), (x, c)
            assert same(slope(x), expected), (x, c)
