"""Graphs as SymPy's and NetworkX's, and back."""

import math
import random

import pytest
from truth import CASES

import micrograd as mg
from micrograd import MLP, Value, adjoints, from_sympy, to_networkx, to_sympy, topological_order
from micrograd.primitives import HELPERS, RULES


def test_every_primitive_means_the_same_in_sympy():
    sympy = pytest.importorskip("sympy")
    rng = random.Random(4)
    for case in CASES:
        data = case.inside(*[rng.uniform(0.1, 0.9) for _ in case.domain])
        values = [Value(x, label=f"x_{i}") for i, x in enumerate(data)]
        out = case.rule(*values)
        at = {sympy.Symbol(v.label, real=True): v.data for v in values}
        assert float(to_sympy(out).subs(at)) == pytest.approx(out.data, rel=1e-12), case.name


def test_every_primitive_comes_back_from_sympy():
    pytest.importorskip("sympy")
    rng = random.Random(5)
    for case in CASES:
        for _ in range(3):
            data = case.inside(*[rng.uniform(0.1, 0.9) for _ in case.domain])
            values = [Value(x, label=f"x_{i}") for i, x in enumerate(data)]
            out = case.rule(*values)
            again = from_sympy(to_sympy(out), **{v.label: v for v in values})
            assert again.data == pytest.approx(out.data, rel=1e-12), case.name
            if case.name not in HELPERS:  # which have no derivative by the order
                wanted = adjoints(out, values)
                assert adjoints(again, values) == pytest.approx(wanted, rel=1e-9, abs=1e-12), case.name


def test_relations_and_choices_come_back():
    sympy = pytest.importorskip("sympy")
    y = sympy.Symbol("y", real=True)
    for data in (-1.5, 0.0, 2.0):
        x = Value(data)
        for relation, wanted in ((y >= 0, data >= 0), (y <= 0, data <= 0), (y > 0, data > 0), (y < 0, data < 0)):
            out = from_sympy(sympy.Piecewise((2 * y, relation), (sympy.ceiling(y) + 5, True)), y=x)
            assert out.data == (2 * data if wanted else math.ceil(data) + 5)
            assert adjoints(out, x)[x] == (2.0 if wanted else 0.0)
    assert math.isnan(from_sympy(sympy.Piecewise((y, y > 3)), y=Value(2.0)).data)


def test_derivatives_agree_and_expressions_come_back():
    sympy = pytest.importorskip("sympy")
    x, w = Value(0.5, label="x"), Value(3.0, label="w")
    L = ((w * x - 1).tanh() - 1) ** 2 + 0.01 * w**2 + (x / w).exp().sqrt()
    expression = to_sympy(L)
    at = {sympy.Symbol("x", real=True): 0.5, sympy.Symbol("w", real=True): 3.0}
    again = from_sympy(expression, x=x, w=w)
    assert again.data == pytest.approx(L.data, rel=1e-14)
    for v in (x, w):
        wanted = adjoints(L)[v]
        assert float(sympy.diff(expression, sympy.Symbol(v.label, real=True)).subs(at)) == pytest.approx(wanted, rel=1e-12)
        assert adjoints(again)[v] == pytest.approx(wanted, rel=1e-12)
    assert from_sympy(sympy.Integer(2)).data == 2.0
    for name, row in RULES.items():  # each function of one argument that both have by one name
        function = getattr(sympy, name, None)
        if row.in_math and isinstance(function, type) and len(row.partials) == 1:
            assert from_sympy(function(sympy.Symbol("y")), y=Value(0.5)).op == name
            assert to_sympy(row(Value(0.5, label="y"))) == function(sympy.Symbol("y", real=True))


def test_what_sympy_cannot_be_given():
    sympy = pytest.importorskip("sympy")
    a, b = Value(1.0, label="w"), Value(2.0, label="w")
    with pytest.raises(ValueError, match="two leaves are labelled 'w'"):
        to_sympy(a * b)
    with pytest.raises(ValueError, match="the symbol 'y' has no value"):
        from_sympy(sympy.Symbol("y") + 1)
    with pytest.raises(ValueError, match="gamma has no primitive"):
        from_sympy(sympy.gamma(sympy.Symbol("y")), y=a)
    with pytest.raises(TypeError, match="needs a Value"):
        to_sympy(2.0)
    assert str(to_sympy(Value(1.0) * Value(2.0))) == "x1*x2"


def test_networkx_has_every_edge_and_number():
    networkx = pytest.importorskip("networkx")
    net = MLP(2, [3, 1], seed=1)
    loss = (net([1.0, -0.5]) - 1.0) ** 2
    graph = to_networkx(loss)
    order, grads = topological_order(loss), adjoints(loss)
    assert len(graph) == len(order) and networkx.is_directed_acyclic_graph(graph)
    assert [graph.nodes[i]["grad"] for i in graph] == [grads[v] for v in order]
    for i, node in enumerate(order):  # the gradient is the sum over the edges out
        out = sum(graph.nodes[j]["grad"] * edge["local"] for _, j, edge in graph.out_edges(i, data=True))
        assert node is loss or out == pytest.approx(grads[node], rel=1e-12, abs=1e-15)
    a = Value(3.0)
    assert to_networkx(a * a).number_of_edges() == 2
    with pytest.raises(TypeError, match="needs a Value"):
        to_networkx(mg.sin)
