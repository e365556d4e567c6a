"""Derivatives as functions: structures, nesting to any order, both modes, sparsity, SciPy, and what is refused."""

import doctest
import gc
import math
import random
import re
import subprocess
import sys
from collections import OrderedDict, defaultdict, namedtuple
from itertools import pairwise
from pathlib import Path

import mpmath
import numpy as np
import pytest
from scipy import integrate, optimize, sparse

import micrograd as mg
from micrograd import (
    MLP,
    Value,
    adjoints,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    no_grad,
    primitive,
    topological_order,
    value_and_grad,
    vjp,
)
from micrograd.functional import run, transforms
from micrograd.primitives import RULES
from micrograd.tape import jit

Point = namedtuple("Point", "x y")


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(transforms).attempted >= 8
    assert doctest.testmod(transforms).failed == 0


def test_importing_the_package_does_not_import_numpy_or_scipy():
    program = """
import sys, micrograd
assert micrograd.hessian(lambda p: p["a"] * p["b"][0] ** 2)({"a": 2.0, "b": (3.0,)})["b"][0]["b"][0] == 4.0
assert not {"numpy", "scipy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


# -- structures


def product(tree):
    """A function of every number in a structure that distinguishes them: Σ i xᵢ² with i from 1."""
    return mg.sum([(i + 1) * x * x for i, x in enumerate(flat(tree))])


def flat(tree):
    if isinstance(tree, dict):
        return [x for e in tree.values() for x in flat(e)]
    if isinstance(tree, (list, tuple)):
        return [x for e in tree for x in flat(e)]
    return list(tree.ravel()) if isinstance(tree, np.ndarray) else [] if tree is None else [tree]


STRUCTURES = [
    3.0,
    [1.0, 2.0],
    (1.0, [2.0, (3.0,)]),
    {"a": 1.0, "b": [2.0, {"c": 3.0}]},
    Point(1.0, [2.0, 3.0]),
    np.array([1.0, 2.0, 3.0]),
    np.array(2.0),
    np.arange(6.0).reshape(2, 3),
    np.arange(6, dtype=np.float32).reshape(3, 2).T,
    {"w": np.ones((2, 2)), "b": [np.float64(3.0), None]},
    [],
    np.zeros((0, 3)),
]


@pytest.mark.parametrize("tree", STRUCTURES, ids=repr)
def test_a_gradient_has_the_structure_of_its_argument(tree):
    g = grad(product)(tree)
    assert jax_structure(g) == jax_structure(tree)
    assert flat(g) == [2.0 * (i + 1) * float(x) for i, x in enumerate(flat(tree))]
    assert all(isinstance(x, float) for x in flat(g))
    assert hvp(product, (tree,), (tree,)) is not None
    assert flat(hvp(product, (tree,), (tree,))) == flat(g)  # the Hessian times x of a quadratic form is its gradient at x
    out, pull = vjp(product, tree)
    assert out == value_and_grad(product)(tree)[0]
    assert flat(pull(0.5)) == [0.5 * x for x in flat(g)]
    assert jvp(product, (tree,), (tree,)) == (out, pytest.approx(2 * out, rel=1e-15))


def jax_structure(tree):
    if isinstance(tree, dict):
        return type(tree), {k: jax_structure(v) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree), [jax_structure(v) for v in tree]
    return ("array", tree.shape) if isinstance(tree, np.ndarray) else None if tree is None else "number"


def test_other_dictionaries_keep_their_kind():
    g = grad(lambda d: d["a"] * d["b"])(OrderedDict(b=2.0, a=3.0))
    assert type(g) is OrderedDict and list(g.items()) == [("b", 3.0), ("a", 2.0)]
    g = grad(lambda d: d["a"] * d["b"])(defaultdict(list, a=2.0, b=3.0))
    assert type(g) is defaultdict and g.default_factory is list and g["a"] == 3.0


def test_argnums_and_keywords():
    def f(x, y, *, scale=1.0):
        return scale * x * y**3

    assert grad(f)(2.0, 3.0) == 27.0
    assert grad(f, 1)(2.0, 3.0, scale=2.0) == 2 * 54.0
    assert grad(f, argnums=(1, 0))(2.0, 3.0) == (54.0, 27.0)
    assert grad(f, -1)(2.0, 3.0) == 54.0
    assert grad(f, (0,))(2.0, 3.0) == (27.0,)
    assert grad(f, [0, -1])(2.0, 3.0) == (27.0, 54.0)
    assert value_and_grad(f, np.int64(1))(2.0, 3.0) == (54.0, 54.0)
    assert hessian(f, (0, 1))(2.0, 3.0) == ((0.0, 27.0), (27.0, 36.0))
    assert jacobian(f, (0, 1))(2.0, 3.0) == (27.0, 54.0)
    assert hvp(f, (2.0, 3.0), (1.0, 10.0)) == (270.0, 27.0 + 360.0)


def test_arguments_that_are_not_differentiated_come_through_as_they_are():
    words, model = ["a", None, {1}], object()
    seen = []
    assert grad(lambda x, *rest, key: (seen.append((rest, key)), x * x)[1])(3.0, words, 7, key=model) == 6.0
    assert seen[0][0][0] is words and seen[0][0][1] == 7 and seen[0][1] is model


def test_has_aux():
    def f(x):
        y = x[0] * x[1]
        return y * y, {"y": y, "name": "product", "both": np.array([y, x[0]], dtype=object), "none": None}

    for g, aux in (grad(f, has_aux=True)([2.0, 3.0]), value_and_grad(f, has_aux=True)([2.0, 3.0])[::-1]):
        aux = aux[1] if isinstance(aux, tuple) else aux
        assert g == [36.0, 24.0]
        assert aux["y"] == 6.0 and isinstance(aux["y"], float)
        assert aux["name"] == "product" and aux["none"] is None
        assert aux["both"].dtype == float and aux["both"].tolist() == [6.0, 2.0]
    assert value_and_grad(f, has_aux=True)([2.0, 3.0])[0][0] == 36.0
    assert jacobian(f, has_aux=True)([2.0, 3.0])[0] == [36.0, 24.0]
    h, aux = hessian(f, has_aux=True)([2.0, 3.0])
    assert h == [[18.0, 24.0], [24.0, 8.0]] and aux["y"] == 6.0
    assert jvp(f, ([2.0, 3.0],), ([1.0, 0.0],), has_aux=True)[:2] == (36.0, 36.0)
    out, pull, aux = vjp(f, [2.0, 3.0], has_aux=True)
    assert (out, pull(1.0), aux["y"]) == (36.0, ([36.0, 24.0],), 6.0)


def test_jacobians_of_arrays_have_the_shape_of_output_and_input():
    a = np.arange(6.0).reshape(2, 3) / 8  # exact, so that equal is meant
    x = np.array([0.3, -0.2, 0.5])
    assert np.array_equal(jacobian(lambda x: a @ x)(x), a)
    assert np.array_equal(jacobian(lambda y: a.T @ y)(x[:2]), a.T)
    j = jacobian(lambda w: np.tanh(w @ x))(a)
    assert j.shape == (2, 2, 3)
    expected = np.einsum("i,ij,k->ijk", 1 - np.tanh(a @ x) ** 2, np.eye(2), x)
    assert np.allclose(j, expected, rtol=1e-15, atol=0)
    h = hessian(lambda w: (w * w * w).sum())(a)
    assert h.shape == (2, 3, 2, 3) and np.array_equal(h.reshape(6, 6), np.diag(6 * a.ravel()))
    assert hessian(lambda x: x * x)(x).shape == (3, 3, 3)


def test_jacobians_of_mixed_structures():
    def f(p, s):
        return {"v": p["x"] * s, "n": [p["x"][0] * p["k"], s]}

    x = np.array([2.0, 3.0])
    j = jacobian(f, (0, 1))({"x": x, "k": 5.0}, 7.0)
    by_p, by_s = j["v"]
    assert np.array_equal(by_p["x"], 7 * np.eye(2)) and np.array_equal(by_p["k"], [0, 0]) and np.array_equal(by_s, x)
    (first, second), (dfirst, dsecond) = zip(*j["n"], strict=True)
    assert first["x"].tolist() == [5.0, 0.0] and first["k"] == 2.0
    assert second["x"].tolist() == [0.0, 0.0] and second["k"] == 0.0
    assert (dfirst, dsecond) == (0.0, 1.0)


# -- orders and nesting


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize(
    ("f", "truth"),
    [
        (lambda x: mg.exp(-x * x) * mg.sin(3 * x), lambda x: mpmath.exp(-x * x) * mpmath.sin(3 * x)),
        (lambda x: mg.tanh(x) / (1 + x**2), lambda x: mpmath.tanh(x) / (1 + x**2)),
        (lambda x: mg.log(1 + mg.exp(x)) ** 1.5, lambda x: mpmath.log(1 + mpmath.exp(x)) ** 1.5),
        (lambda x: mg.atan2(x, 2.0) * mg.erf(x), lambda x: mpmath.atan(x / 2) * mpmath.erf(x)),
    ],
)
def test_derivatives_of_any_order_agree_with_fifty_digits(f, truth, order):
    with mpmath.workdps(50):
        expected = float(mpmath.diff(truth, mpmath.mpf(0.7), order))
    reverse = forward = f
    for _ in range(order):
        reverse = grad(reverse)
        forward = along(forward)
    assert reverse(Value(0.7)).data == pytest.approx(expected, rel=200 * 2**-52)
    assert forward(Value(0.7)).data == pytest.approx(expected, rel=200 * 2**-52)


def along(f):
    return lambda x: jvp(f, (x,), (1.0,))[1]


MODES = {
    "grad": grad,
    "jvp": along,
    "vjp": lambda f: lambda x: vjp(f, x)[1](1.0)[0],
    "jacobian": jacobian,
    "value_and_grad": lambda f: lambda x: value_and_grad(f)(x)[1],
    "array": lambda f: lambda x: grad(lambda a: f(a[0]) * 1.0)(np.array([x]))[0],
}


@pytest.mark.parametrize("inner", MODES.values(), ids=MODES)
@pytest.mark.parametrize("outer", MODES.values(), ids=MODES)
def test_no_confusion_of_perturbations(outer, inner):
    assert outer(lambda x: x * inner(lambda y: x + y)(1.0))(1.0) == 1.0  # not 2: Siskind and Pearlmutter's example
    assert outer(lambda x: inner(lambda y: x * y)(x))(2.0) == 1.0  # the inner derivative is x
    assert outer(lambda x: x * inner(lambda y: x * y * y)(x * x))(2.0) == 4 * 2 * 2.0**3  # x (2 x y) at y = x² is 2 x⁴
    assert outer(lambda x: inner(lambda y: x * x)(x))(3.0) == 0.0
    assert outer(lambda x: inner(lambda y: y)(x) * x)(3.0) == 1.0
    assert outer(inner(lambda x: x * x * x))(2.0) == 12.0


@pytest.mark.parametrize("first", MODES.values(), ids=MODES)
@pytest.mark.parametrize("second", [grad, along], ids=["grad", "jvp"])
@pytest.mark.parametrize("third", [grad, along], ids=["grad", "jvp"])
def test_three_levels_that_close_over_each_other(first, second, third):
    # d/dx x³ d/dy (x y² d/dz (x y z² at z = y) at y = x): 2 x y² inside, then 2 x² y⁴ → 8 x² y³, → 8 x⁸, → 64 x⁷
    f = third(lambda x: x**3 * second(lambda y: x * y**2 * first(lambda z: x * y * z**2)(y))(x))
    assert f(1.5) == pytest.approx(64 * 1.5**7, rel=1e-14)


def test_tangents_and_cotangents_are_differentiable():
    def f(x):
        return [x[0] ** 2 * x[1], mg.sin(x[1])]

    x = [2.0, 3.0]
    assert grad(lambda v: jvp(f, (x,), (v,))[1][0])([1.0, 1.0]) == [12.0, 4.0]
    assert grad(lambda c: vjp(f, x)[1](c)[0][0])([1.0, 1.0]) == [12.0, 0.0]
    assert grad(lambda p: vjp(f, p)[1]([1.0, 0.0])[0][0])(x) == [6.0, 4.0]
    assert grad(lambda p: hvp(lambda q: q[0] ** 3 * q[1], (p,), ([1.0, 0.0],))[0])(x) == [18.0, 12.0]


def test_a_pullback_can_be_used_again_and_inside_other_derivatives():
    out, pull = vjp(lambda x, y: [x * y, x], 2.0, 3.0)
    assert out == [6.0, 2.0]
    assert [pull([1.0, 0.0]), pull([0.0, 1.0]), pull([1.0, 0.0])] == [(3.0, 2.0), (1.0, 0.0), (3.0, 2.0)]
    assert grad(lambda c: pull([c * c, 0.0])[0])(5.0) == 30.0
    assert pull([1.0, 0.0]) == (3.0, 2.0)


def test_the_same_value_passed_twice_counts_twice():
    v = Value(3.0)
    assert [float(g) for g in grad(lambda x, y: x * x * y, (0, 1))(v, v)] == [18.0, 9.0]
    assert [float(g) for g in grad(lambda p: p[0] * p[0] * p[1])([v, v])] == [18.0, 9.0]
    assert float(jvp(lambda x, y: x * x * y, (v, v), (1.0, 0.0))[1]) == 18.0
    assert grad(lambda x: grad(lambda a, b: a * a * b)(x, x))(3.0) == 12.0


def test_what_a_function_closes_over_is_constant_for_it_and_stays_differentiable():
    w = Value(3.0)
    g = grad(lambda x: w * x * x)(2.0)
    assert isinstance(g, Value) and g.data == 12.0
    g.backward()
    assert w.grad == 4.0
    with no_grad():
        assert grad(lambda x: w * x * x)(2.0) == 12.0
        assert hessian(lambda x: w * x[0] * x[0])([2.0]) == [[6.0]]
        assert type(value_and_grad(lambda x: (w * x, w), has_aux=True)(w)[0][1]) is float
    x = Value(2.0)
    assert float(grad(lambda y: x * y * x)(x)) == 4.0  # not 12: inside, y is not x
    out, pull = vjp(lambda x: w * x, 2.0)
    assert [type(e) for e in (out, *pull(1.0))] == [Value, Value]
    with no_grad():
        assert pull(1.0) == (3.0,)


def test_a_function_may_close_over_a_network_whose_weights_learn_from_its_derivative():
    model = MLP(1, [4, 1], activation="tanh", seed=1)
    slope = grad(lambda x: model([x]))(0.3)
    (slope - 1.0).__pow__(2).backward()
    for p in model.parameters():
        before = p.data
        p.data = before + 1e-6
        up = (grad(lambda x: model([x]))(0.3).data - 1.0) ** 2
        p.data = before - 1e-6
        down = (grad(lambda x: model([x]))(0.3).data - 1.0) ** 2
        p.data = before
        assert p.grad == pytest.approx((up - down) / 2e-6, abs=1e-8)


def test_values_in_values_out():
    x, y = Value(2.0, label="x"), Value(3.0)
    g = grad(lambda p: p[0] * p[1] ** 2)([x, y])
    assert [e.data for e in g] == [9.0, 12.0]
    assert adjoints(g[1], [x, y]) == {x: 6.0, y: 4.0}
    array = grad(lambda a: (a * a).sum())(np.array([x, y]))
    assert array.dtype == object and adjoints(array[0], [x, y]) == {x: 2.0, y: 0.0}
    value, tangent = jvp(lambda a: a * a, (x,), (y,))
    assert adjoints(value, [x, y]) == {x: 4.0, y: 0.0} and adjoints(tangent, [x, y]) == {x: 6.0, y: 4.0}
    assert x.grad == y.grad == 0.0  # nothing is changed
    c = mg.constant(2.0)
    assert grad(lambda a: a**3)(c).data == 12.0 and not [
        n for n in topological_order(grad(lambda a: a**3)(c)) if n.rule is None
    ]


def test_no_grad_outside_is_ignored_and_inside_is_respected():
    with no_grad():
        assert grad(lambda x: x**3)(2.0) == 12.0
        assert grad(grad(lambda x: x**3))(2.0) == 12.0
        assert grad(lambda x: x**3)(Value(2.0)) == 12.0
        assert jvp(lambda x: x**3, (Value(2.0),), (Value(1.0),)) == (8.0, 12.0)
        assert vjp(lambda x: x**3, Value(2.0))[1](Value(1.0)) == (12.0,)

    def half_hidden(x):
        with no_grad():
            y = x * x
        return y * x

    assert grad(half_hidden)(3.0) == 9.0


def test_a_long_history_of_the_argument_is_not_walked():
    visits = 0

    def partial(x, out):
        nonlocal visits
        visits += 1
        return 2 * x

    square = primitive("visited_square", "visited_square(x)", lambda x: x * x, partial)
    try:
        x = Value(1.0)
        for _ in range(50):
            x = square(x)
        visits = 0
        grad(lambda y: y * y * y)(x)
        hessian(lambda y: y * y * y)(x)
        assert visits == 0
    finally:
        del RULES["visited_square"]


def test_unrolled_gradient_descent_differentiates_through_its_steps():
    def trained(rate):
        x = 1.0
        for _ in range(20):
            x = x - rate * grad(lambda x: x**2 + 0.1 * x**4)(x)
        return x

    h = 1e-6
    assert grad(trained)(0.1) == pytest.approx((trained(0.1 + h) - trained(0.1 - h)) / (2 * h), rel=1e-7)


def test_graphs_are_freed_by_reference_counting_alone():
    def work():
        hessian(tridiagonal)(np.linspace(0, 1, 5))
        grad(lambda x: x * grad(lambda y: x * y * y)(x))(3.0)
        vjp(lambda x: [x * x], 2.0)[1]([1.0])
        hvp(tridiagonal, ([1.0, 2.0],), ([1.0, 0.0],))

    work()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(20):
            work()
        assert len(gc.get_objects()) - before < 20
    finally:
        gc.enable()


# -- the two modes and the structure


STEPS = {
    "+": lambda a, b: a + b,
    "*": lambda a, b: a * b,
    "-": lambda a, b: a - 2 * b,
    "/": lambda a, b: a / (2 + b * b),
    "s": lambda a, b: mg.sin(a) * b,
    "t": lambda a, b: mg.tanh(a + b),
}


def programs(seed, n):
    """A smooth function run(x, m) of a list of n numbers with m outputs, made at random, and a place to run it."""
    dice = random.Random(seed)
    steps = [(dice.choice([*STEPS]), dice.random(), dice.random()) for _ in range(12)]

    def run(x, m):
        values = [*x]
        for op, i, j in steps:
            a, b = values[int(i * len(values))], values[int(j * len(values))]
            values.append(STEPS[op](a, b))
        return values[-m:]

    return run, [dice.uniform(-1, 1) for _ in range(n)]


@pytest.mark.parametrize("seed", range(25))
def test_forward_and_reverse_agree(seed):
    run, x = programs(seed, 4)
    tall, wide = jacobian(lambda x: run(x, 7))(x), jacobian(lambda x: run(x, 3))(x)
    for i, row in enumerate(tall[-3:]):
        assert row == pytest.approx(wide[i], rel=1e-13, abs=1e-14)
        assert row == pytest.approx(grad(lambda x, i=i: run(x, 3)[i])(x), rel=1e-13, abs=1e-14)
    v, c = [0.3, -1.0, 0.7, 0.2], [1.0, -0.5, 0.25]
    tangent = jvp(lambda x: run(x, 3), (x,), (v,))[1]
    (cotangent,) = vjp(lambda x: run(x, 3), x)[1](c)
    assert math.fsum(map(float.__mul__, c, tangent)) == pytest.approx(math.fsum(map(float.__mul__, cotangent, v)), abs=1e-13)
    h = hessian(lambda x: run(x, 1)[0])(x)
    assert np.allclose(h, np.transpose(h), rtol=1e-12, atol=1e-13)
    assert np.allclose(hvp(lambda x: run(x, 1)[0], (x,), (v,)), np.array(h) @ v, rtol=1e-12, atol=1e-13)
    backwards = [grad(lambda x, i=i: grad(lambda x: run(x, 1)[0])(x)[i])(x) for i in range(4)]
    assert np.allclose(h, backwards, rtol=1e-12, atol=1e-13)


def test_jacobian_picks_its_mode_by_shape(monkeypatch):
    used = []
    for name in ("pushed", "pulled"):
        mode = getattr(transforms, name)
        monkeypatch.setattr(transforms, name, lambda *args, mode=mode, name=name: used.append(name) or mode(*args))
    jacobian(lambda x: [x[0], x[1], x[0] * x[1]])([1.0, 2.0])
    jacobian(lambda x: [x[0] * x[1]])([1.0, 2.0])
    assert used == ["pushed", "pulled"]
    for mode in ("forward", "reverse"):
        assert jacobian(lambda x: [x[0] * x[1], x[1]], mode=mode)([1.0, 2.0]) == [[2.0, 1.0], [0.0, 1.0]]
    assert used[2:] == ["pushed", "pulled"]
    with pytest.raises(ValueError, match=r"jacobian: mode is .* got 'backward'"):
        jacobian(identity, mode="backward")


def tridiagonal(x):
    return mg.sum([100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2 for a, b in pairwise(x)])


def test_a_banded_hessian_costs_in_proportion_to_its_band(monkeypatch):
    carried, push = [], run._push_numbers

    def counted(order, tangents):
        push(order, tangents)
        carried.append(sum(map(len, tangents.values())))

    monkeypatch.setattr(run, "_push_numbers", counted)
    for n in (20, 40, 80):
        hessian(tridiagonal)([0.5] * n)
    small, middle, large = carried
    assert large - middle == 2 * (middle - small)  # linear, where every node with every input would be quadratic


def test_what_the_output_does_not_depend_on_is_not_visited():
    seen = []
    spy = primitive("spied", "spied(x)", lambda x: x * x, lambda x, out: (seen.append(x), 2 * x)[1])
    try:

        def f(x):
            unused = spy(x[0]) * spy(x[1])  # noqa: F841
            return x[0] * x[1] + spy(3.0)

        for derivative in (hessian(f), jacobian(jacobian(f)), grad(lambda x: grad(f)(x)[0])):
            seen.clear()
            derivative([2.0, 3.0])
            assert all(isinstance(x, float) for x in seen)  # recorded on the way forward, never taken up as a graph
    finally:
        del RULES["spied"]


def test_sparse_hessians_hold_what_the_graph_connects():
    def f(x):
        return x[0] * x[3] ** 2 + mg.sin(x[1]) + 5 * x[2] + x[1] * 0.0

    x = [1.0, 2.0, 3.0, 0.0]
    h = hessian(f, sparse=True)(x)
    assert sparse.issparse(h) and h.format == "csr" and h.shape == (4, 4) and h.dtype == float
    assert set(zip(*h.nonzero(), strict=True)) == {(1, 1), (3, 3)}  # nonzero() drops the zeros ...
    entries = set(zip(*sparse.coo_array(h).coords, strict=True))
    assert entries == {(0, 3), (3, 0), (3, 3), (1, 1)}  # ... which stay entries: at another point they are not zero
    assert np.array_equal(h.toarray(), hessian(f)(x))
    assert hessian(lambda x: 3.0 * x[0], sparse=True)(x).nnz == 0
    assert hessian(lambda x: 3.0, sparse=True)(x).shape == (4, 4)


@pytest.mark.parametrize(("n", "m"), [(3, 5), (5, 3), (4, 4)])
def test_sparse_jacobians_in_both_modes(n, m):
    def f(x):
        return [x[i % n] * x[(i + 1) % n] for i in range(m)]

    x = [float(i) for i in range(n)]
    j = jacobian(f, sparse=True)(x)
    assert j.nnz == 2 * m and np.array_equal(j.toarray(), jacobian(f)(x))
    a, aux = jacobian(lambda x: (f(x), "aux"), sparse=True, has_aux=True)(np.array(x))
    assert aux == "aux" and np.array_equal(a.toarray(), j.toarray())


def test_sparsity_of_a_large_banded_hessian():
    n = 300
    h = hessian(tridiagonal, sparse=True)(np.linspace(-1, 1, n))
    assert h.nnz == 3 * n - 2
    assert np.allclose(h.toarray(), optimize.rosen_hess(np.linspace(-1, 1, n)), rtol=1e-14)


# -- compiled


def test_transforms_compose_with_jit():
    def f(x):
        return mg.tanh(x[0] * x[1]) + x[1] ** 3 if x[0] > 0 else x[0] * x[1] ** 2

    def directional(x):
        return jvp(f, (x,), ([1.0, x[0]],))[1]

    for derivative in (grad(f), value_and_grad(f), hessian(f), jacobian(hessian(f)), directional):
        compiled = jit(derivative, backend="reference")  # whose bits are the engine's; the others may contract
        for x in ([0.3, 0.4], [0.5, -0.7], [-0.2, 1.5], [1.0, 1.0]):
            assert compiled(x) == derivative(x)


# -- SciPy, as it is


def rosenbrock(x):
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize("x", [np.array([-1.2, 1.0]), np.linspace(-2, 2, 50)], ids=["2", "50"])
def test_rosenbrock_has_scipys_exact_derivatives(x):
    for f in (rosenbrock, optimize.rosen, tridiagonal):
        value, g = value_and_grad(f)(x)
        assert value == pytest.approx(optimize.rosen(x), rel=1e-15 * len(x))
        assert g.dtype == float and np.allclose(g, optimize.rosen_der(x), rtol=1e-13, atol=1e-12)
        assert np.allclose(hessian(f)(x), optimize.rosen_hess(x), rtol=1e-14, atol=0)
    p = np.cos(np.arange(len(x)))
    assert np.allclose(hvp(rosenbrock, (x,), (p,)), optimize.rosen_hess_prod(x, p), rtol=1e-13, atol=1e-11)


EXACT = {"hess": optimize.rosen_hess, "hessp": optimize.rosen_hess_prod}
OURS = {
    "hess": hessian(rosenbrock),
    "hessp": lambda x, p: hvp(rosenbrock, (x,), (p,)),
    "sparse": hessian(rosenbrock, sparse=True),
}


@pytest.mark.parametrize("n", [2, 50])
@pytest.mark.parametrize(
    ("method", "second"),
    [("BFGS", None), ("L-BFGS-B", None), ("CG", None), ("Newton-CG", "hess"), ("Newton-CG", "hessp"), ("trust-exact", "hess"),
     ("trust-ncg", "hessp"), ("trust-krylov", "hess"), ("dogleg", "hess"), ("trust-constr", "sparse"), ("SLSQP", None)],
)  # fmt: skip
def test_minimize_takes_the_same_steps_as_with_exact_derivatives(n, method, second):
    # The classical start in 2 dimensions (dogleg wants a convex one), and one near enough in 50: on the long way through the
    # valley from the classical one, hundreds of steps would make any difference in a last place a difference in their number.
    x0 = np.linspace(0.8, 1.2, n) if n > 2 or method == "dogleg" else np.array([-1.2, 1.0])
    ours = {second.replace("sparse", "hess"): OURS[second]} if second else {}
    theirs = {name: EXACT[name] for name in ours}
    if second == "sparse":
        theirs = {"hess": lambda x: sparse.csr_array(optimize.rosen_hess(x))}
    options = {"maxiter": 25} if (method, n) == ("CG", 50) else {}  # it needs 200, and then the same holds for it
    a = optimize.minimize(value_and_grad(rosenbrock), x0, jac=True, method=method, options=options, **ours)
    b = optimize.minimize(optimize.rosen, x0, jac=optimize.rosen_der, method=method, options=options, **theirs)
    assert (a.success, a.status) == (b.success, b.status)
    assert abs(a.nit - b.nit) <= (0 if second else 1), (a.nit, b.nit)
    assert np.allclose(a.x, b.x, rtol=0, atol=1e-6 if second else 1e-4)


def test_lists_go_to_scipy_as_well():
    x0 = [-1.2, 1.0]
    a = optimize.minimize(value_and_grad(tridiagonal), x0, jac=True, hess=hessian(tridiagonal), method="trust-exact")
    b = optimize.minimize(optimize.rosen, [-1.2, 1.0], jac=optimize.rosen_der, hess=optimize.rosen_hess, method="trust-exact")
    assert (a.nit, a.success) == (b.nit, True) and np.allclose(a.x, 1.0)


def test_scipy_minimizes_through_a_network_inside_no_grad():
    model = MLP(2, [4, 1], activation="tanh", seed=1)

    def miss(x):
        return (model(list(x)) - 0.3) ** 2

    with no_grad():
        found = optimize.minimize(value_and_grad(miss), [1.0, 2.0], jac=True, hess=hessian(miss), method="trust-exact")
    assert found.success and model(list(found.x)).data == pytest.approx(0.3, abs=1e-4)


def powell(x):
    """Powell's singular function as equations; its Jacobian is singular at the root."""
    return [x[0] + 10 * x[1], 5**0.5 * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, 10**0.5 * (x[0] - x[3]) ** 2]


def powell_jacobian(x):
    a, b = 2 * (x[1] - 2 * x[2]), 2 * 10**0.5 * (x[0] - x[3])
    return np.array([[1, 10, 0, 0], [0, 0, 5**0.5, -(5**0.5)], [0, a, -2 * a, 0], [b, 0, 0, -b]])


@pytest.mark.parametrize("method", ["hybr", "lm"])
def test_root_of_powells_equations(method):
    x0 = [3.0, -1.0, 0.0, 1.0]
    a = optimize.root(powell, x0, jac=jacobian(powell), method=method)
    b = optimize.root(powell, x0, jac=powell_jacobian, method=method)
    assert (a.nfev, a.njev) == (b.nfev, b.njev)
    assert np.allclose(a.x, b.x, rtol=1e-9, atol=0) and np.abs(a.x).max() < 1e-3


def test_minimum_of_powells_function():
    def f(x):
        return mg.sum([e * e for e in powell(x)])

    x0 = np.array([3.0, -1.0, 0.0, 1.0])
    a = optimize.minimize(value_and_grad(f), x0, jac=True, hess=hessian(f), method="trust-exact")

    def second(x):
        j = powell_jacobian(x)
        extra = 2 * powell(x)[2] * 2 * np.outer([0, 1, -2, 0], [0, 1, -2, 0])
        return 2 * j.T @ j + extra + 2 * powell(x)[3] * 2 * 10**0.5 * np.outer([1, 0, 0, -1], [1, 0, 0, -1])

    b = optimize.minimize(f, x0, jac=lambda x: 2 * powell_jacobian(x).T @ powell(x), hess=second, method="trust-exact")
    assert a.success and (a.nit, a.nfev, a.nhev) == (b.nit, b.nfev, b.nhev) and a.fun < 1e-6


def robertson(t, y):
    """Robertson's stiff reaction: rates from 1e-2 to 1e7."""
    slow, fast, mixed = 0.04 * y[0], 3e7 * y[1] ** 2, 1e4 * y[1] * y[2]
    return [mixed - slow, slow - mixed - fast, fast]


@pytest.mark.parametrize("method", ["BDF", "Radau"])
def test_a_stiff_equation(method):
    def exact(t, y):
        return [[-0.04, 1e4 * y[2], 1e4 * y[1]], [0.04, -1e4 * y[2] - 6e7 * y[1], -1e4 * y[1]], [0, 6e7 * y[1], 0]]

    def solved(jac):
        return integrate.solve_ivp(robertson, (0, 1e4), [1.0, 0.0, 0.0], method=method, jac=jac, rtol=1e-6, atol=1e-10)

    for ours in (jacobian(robertson, argnums=1), jacobian(robertson, argnums=1, sparse=True)):
        a, b = solved(ours), solved(exact)
        assert a.success and (a.nfev, a.njev, a.nlu, a.t.size) == (b.nfev, b.njev, b.nlu, b.t.size)
        assert np.allclose(a.y, b.y, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("method", ["trf", "dogbox", "lm"])
def test_a_curve_fit(method):
    t = np.linspace(0, 4, 40)
    y = 2.5 * np.exp(-1.3 * t) + 0.5 + 0.01 * np.sin(37 * t)

    def residuals(p):
        return p[0] * np.exp(-p[1] * t) + p[2] - y

    def exact(p):
        e = np.exp(-p[1] * t)
        return np.stack([e, -p[0] * t * e, np.ones_like(t)], axis=1)

    a = optimize.least_squares(residuals, [1.0, 1.0, 0.0], jac=jacobian(residuals), method=method)
    b = optimize.least_squares(residuals, [1.0, 1.0, 0.0], jac=exact, method=method)
    assert a.success and (a.nfev, a.njev) == (b.nfev, b.njev) and np.allclose(a.x, b.x, rtol=1e-9)
    assert np.allclose(a.x, [2.5, 1.3, 0.5], atol=0.02)


# -- what is refused, and what is zero


@pytest.mark.parametrize("result", [3.0, 7, True, np.float64(2.0), np.array(2.0), mg.constant(4.0), Value(4.0)], ids=repr)
def test_a_function_that_does_not_depend_on_its_argument_has_gradient_zero(result):
    def f(x):
        return result

    assert [float(g) for g in grad(f)([2.0, 3.0])] == [0.0, 0.0]
    assert [float(g) for g in jvp(f, (2.0,), (1.0,))] == [float(f(0)), 0.0]
    assert float(vjp(f, 2.0)[1](1.0)[0]) == 0.0
    assert [[float(g) for g in row] for row in hessian(f)([2.0, 3.0])] == [[0.0, 0.0], [0.0, 0.0]]
    assert float(grad(grad(f))(2.0)) == 0.0
    assert [float(g) for g in jacobian(lambda x: [f(x)])([1.0, 2.0])[0]] == [0.0, 0.0]


def test_the_value_beside_a_zero_gradient_is_the_functions_own():
    assert value_and_grad(lambda x: 3)(1.0) == (3.0, 0.0)
    assert value_and_grad(lambda x, y: x, (0, 1))(2.0, 5.0) == (2.0, (1.0, 0.0))


def identity(x):
    return x


REFUSED = [
    (
        lambda: grad(lambda x: [x, x])(1.0),
        TypeError,
        r"grad needs .* one number, got a list of 2.*jacobian",
    ),
    (lambda: grad(lambda x: (x, x))(1.0), TypeError, "has_aux=True"),
    (lambda: grad(lambda x: 2 * x)(np.ones(3)), TypeError, r"grad needs .* one number, got an array of shape \(3,\)"),
    (lambda: value_and_grad(lambda x: {"a": x})(1.0), TypeError, "value_and_grad needs .* one number, got a dict of 1"),
    (lambda: hvp(lambda x: [x], (1.0,), (1.0,)), TypeError, "hvp needs a function that returns one number, got a list of 1"),
    (lambda: hessian(lambda x: 2 * x, sparse=True)(np.ones(3)), TypeError, "one number"),
    (lambda: grad(lambda x: None)(1.0), TypeError, "returned None; does it lack a return"),
    (lambda: grad(lambda x: "one")(1.0), TypeError, "grad, the function's output: expected a number, got str 'one'"),
    (lambda: grad(lambda x: 1j)(1.0), TypeError, "got complex 1j: Values are real"),
    (lambda: jacobian(lambda x: [x, {"a": "b"}])(1.0), TypeError, r"output\[1\]\['a'\]: expected a number, got str 'b'"),
    (lambda: grad(identity)(3), TypeError, r"argument 0: got int 3, and a derivative .* write 3\.0"),
    (lambda: grad(identity)(True), TypeError, "got bool True"),
    (lambda: grad(identity)([1.0, 2]), TypeError, r"argument 0\[1\]: got int 2"),
    (lambda: grad(identity)(np.arange(3)), TypeError, "array of floats"),
    (lambda: grad(identity)(np.int64(3)), TypeError, "got int64"),
    (lambda: jvp(identity, (3,), (1.0,)), TypeError, "jvp, argument 0: got int 3"),
    (lambda: vjp(identity, {"n": 3}), TypeError, r"vjp, argument 0\['n'\]: got int 3"),
    (lambda: grad(identity)("x"), TypeError, "grad, argument 0: expected a number, got str 'x'"),
    (lambda: grad(identity)(1j), TypeError, "got complex"),
    (lambda: grad(identity)(np.array([1j])), TypeError, "got complex"),
    (lambda: grad(identity, 1)(1.0), TypeError, "argnums=1 needs an argument 1, .* called with 1 positional argument$"),
    (lambda: grad(identity, (0, -3))(1.0, 2.0), TypeError, "needs an argument -3, .* with 2 positional arguments"),
    (lambda: grad(identity)(), TypeError, "argnums=0 needs an argument 0, .* with 0 positional"),
    (lambda: hessian(identity, 2)(1.0), TypeError, "hessian with argnums=2"),
    (lambda: hessian(identity)(1), TypeError, "hessian, argument 0: got int 1"),
    (lambda: hvp(identity, (1.0,), (1.0, 2.0)), TypeError, "hvp needs one tangent per primal"),
    (lambda: hvp(identity, 1.0, 1.0), TypeError, "hvp: primals must be a tuple"),
    (lambda: hvp(identity, (1.0,), ([1.0],)), TypeError, "hvp: tangents must have the structure of primals"),
    (lambda: grad(identity, (0, -1))(1.0), ValueError, "names an argument twice"),
    (lambda: grad(identity, "x")(1.0), TypeError, "argnums must be an int or a sequence of ints, got 'x'"),
    (lambda: grad(identity, 1.0)(1.0, 2.0), TypeError, "argnums must be an int"),
    (lambda: grad(identity, True)(1.0, 2.0), TypeError, "argnums must be an int"),
    (lambda: grad(identity(2.0)), TypeError, "grad needs a function, got float 2.0: pass the function itself"),
    (lambda: hessian(Value(1.0)), TypeError, "hessian needs a function, got Value"),
    (lambda: jvp(None, (1.0,), (1.0,)), TypeError, "jvp needs a function, got NoneType None"),
    (lambda: grad(identity, has_aux=True)(1.0), TypeError, "has_aux=True needs a function that returns a pair"),
    (lambda: jvp(identity, 1.0, 1.0), TypeError, r"primals must be a tuple with one entry per argument, got float"),
    (lambda: jvp(identity, (1.0,), (1.0, 2.0)), TypeError, "one tangent per primal, got 1 primals and 2 tangents"),
    (lambda: jvp(identity, (1.0,), ([1.0],)), TypeError, "tangents must have the structure of primals"),
    (lambda: jvp(sum, (np.ones(3),), (np.ones(2),)), TypeError, r"structure of primals, .*\(3,\).* got .*\(2,\)"),
    (lambda: vjp(identity, 1.0)[1]([1.0]), TypeError, "cotangents must have the structure of the output, number, got"),
    (lambda: jacobian(lambda x: Value(2.0) * x, sparse=True)(1.0), TypeError, "leave sparse out, or call this inside no_grad"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused_says_what_happened(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_integer_that_only_indexes_is_welcome_outside_argnums():
    assert grad(lambda x, i: x[i] ** i)([2.0, 3.0, 4.0], 2) == [0.0, 0.0, 8.0]


def test_the_wrapped_function_keeps_its_name_and_can_be_called_anywhere():
    assert grad(product).__name__ == "product" and "distinguishes" in grad(product).__doc__
    assert grad(lambda x: mg.where(x, x * x, -x))(-2.0) == -1.0
    with mg.detect_anomaly(), pytest.raises(FloatingPointError, match="log"):
        grad(lambda x: mg.log(x - 1.0))(0.5)


PAGE = Path(__file__).parents[2] / "docs" / "conventions.md"
ROW = r"^\| `([^`]+)`(?:, derivative of order (\d))? \| ([^|]+) \| ([^|;]+); ([^|]+) \|"


def test_the_page_of_conventions_says_what_is_answered():
    """Numbers to the ten digits of the page; a zero of either sign is 0 there."""
    names = {name: getattr(mg, name) for name in mg.__all__}
    page = PAGE.read_text("utf-8").replace("\N{MINUS SIGN}", "-")
    rows = re.findall(ROW, page, re.MULTILINE)
    assert len(rows) == page.count("\n| `") > 0
    for expression, order, place, value, derivatives in rows:
        at = {name: float(x) for name, x in (part.split(" = ") for part in place.split(", "))}

        def f(*xs, expression=expression, at=at):
            return eval(expression, {"__builtins__": {}, **names}, dict(zip(at, xs, strict=True)))

        lower = f
        for _ in range(int(order or 1) - 1):
            lower = grad(lower)
        found = [f(*map(mg.constant, at.values())).data, *grad(lower, tuple(range(len(at))))(*at.values())]
        written = [value, *derivatives.split(", ")]
        assert [f"{x or 0.0:.10g}" for x in found] == [w.strip() for w in written], f"{expression} at {place}"


def test_a_gradient_that_is_recorded_compares_no_values():
    compiled = mg.jit(mg.grad(lambda x, y: mg.sin(x * y) + mg.exp(-x) / (1 + y * y)), backend="reference")
    compiled(0.7, -1.3)
    (paths,) = compiled.recorded.values()
    assert not paths[0].tape.guards


@pytest.mark.parametrize(("f", "n", "faster"), [
    (lambda x: [mg.sum(x), *[v * 2.0 for v in x]], 6, "reverse"),  # more outputs than inputs, and none but one is of all
    (lambda x: [mg.sin(mg.sin(mg.sum(x))), *[v * x[0] for v in x[1:]]], 6, "reverse"),
    (lambda x: [mg.sin(mg.sin(mg.sin(x[0]))) * v for v in x], 4, "forward"),
])  # fmt: skip
def test_inside_jit_a_jacobian_takes_the_mode_with_fewer_products(f, n, faster):
    x, sizes = np.linspace(0.1, 0.5, n), {}
    for mode in ("forward", "reverse", None):
        compiled = mg.jit(jacobian(f, mode=mode), backend="reference")
        assert np.allclose(compiled(x), jacobian(f)(x), rtol=1e-14)
        (paths,) = compiled.recorded.values()
        sizes[mode] = len(paths[0].tape.instructions)
    assert sizes[None] == sizes[faster] == min(sizes.values())
