"""What was not chosen has no edge: infinities and nans there reach no derivative, eagerly, at any order, and compiled."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import micrograd as mg
from micrograd import Value, adjoints, exp, grad, hessian, hvp, jit, jvp, log, maximum, minimum, relu, sign, sqrt, where
from micrograd.tape.nonfinite import Gated


def near(x):
    """(exp(x) - 1) / x with its series at 0, where the quotient is nan."""
    return where(abs(x) - 1e-5, (exp(x) - 1) / x, 1 + x / 2 + x * x / 6)


CASES = {  # a function, where, its derivative there, and the second one
    "where": (lambda x: where(1 - x, x * x, sqrt(x)), 0.0, 0.0, 2.0),
    "a quotient": (near, 0.0, 0.5, 1 / 3),
    "relu": (lambda x: x * x + relu(-1 - sqrt(x)), 0.0, 0.0, 2.0),
    "maximum": (lambda x: x**3 + maximum(2.0, sqrt(x)), 0.0, 0.0, 0.0),
    "minimum": (lambda x: minimum(-2.0, log(1 + sqrt(x))) + x * x, 0.0, 0.0, 2.0),
    "below a choice": (lambda x: where(1 - x, x * x, sqrt(log(1 + x)) * sqrt(x)), 0.0, 0.0, 2.0),
    "a choice in a choice": (lambda x: where(1 - x, where(x + 1, 3 * x, sqrt(x)), 1 / x), 0.0, 3.0, 0.0),
    "sign": (lambda x: sqrt(sign(x)) + x * x, 0.0, 0.0, 2.0),
    "greater": (lambda x: sqrt(mg.greater(x, 1.0)) + x, 0.0, 1.0, 0.0),
    "the condition": (lambda x: where(sqrt(x) - 1, x, 2 * x * x), 0.0, 0.0, 4.0),
    "used twice": (lambda x: where(1 - x, sqrt(x + 4), sqrt(x)) + where(x - 1, sqrt(x), x), 0.0, 1.25, -1 / 32),
    "a quotient by zero": (lambda x: where(1 - x, x * x, x / 0.0), 0.0, 0.0, 2.0),
    "a large factor": (lambda x: where(1 - x, x * x, x * 1e200 * x * 1e200), 1e-300, 2e-300, 2.0),
    "a zero that is a number": (lambda x: sqrt(x) ** 2, 0.0, math.nan, math.nan),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_of_what_was_chosen(name):
    f, at, first, second = CASES[name]
    assert grad(f)(at) == pytest.approx(first, nan_ok=True)
    assert grad(grad(f))(at) == pytest.approx(second, nan_ok=True)
    assert jvp(f, (at,), (1.0,))[1] == pytest.approx(first, nan_ok=True)
    assert hessian(f)(at) == pytest.approx(second, nan_ok=True)
    assert hvp(f, (at,), (1.0,)) == pytest.approx(second, nan_ok=True)
    x = Value(at)
    graph = adjoints(f(x), x, create_graph=True)[x]
    assert graph.data == pytest.approx(first, nan_ok=True)
    assert adjoints(graph, x)[x] == pytest.approx(second, nan_ok=True)


@pytest.mark.parametrize("backend", ["reference", "numpy", None])
@pytest.mark.parametrize("name", CASES)
def test_compiled_derivatives_are_those_of_what_was_chosen(name, backend):
    f, at, first, second = CASES[name]
    assert jit(grad(f), backend=backend)(at) == pytest.approx(first, nan_ok=True)
    assert jit(hessian(f), backend=backend).map(np.array([at, 0.5])) == pytest.approx([second, hessian(f)(0.5)], nan_ok=True)
    w = Value(1.0)
    compiled = jit(lambda x: f(w * x), backend=backend)
    compiled.backward(np.array([0.7, at, 2.5]), reduction="sum")  # recorded where all is finite
    others = sum(x * grad(f)(x) for x in (0.7, 2.5))
    assert w.grad == pytest.approx(others + at * first, nan_ok=True)
    _, gradient = compiled.value_and_grad([0.0], np.array([0.7]))  # another theta, for which the product is at the edge
    assert gradient[0] == pytest.approx(0.7 * grad(f)(0.0), nan_ok=True)


LEAVES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e200, -1e200])
HARD = (lambda x: sqrt(x), lambda x: log(x), lambda x: 1 / x, lambda x: x**-0.5, lambda x: exp(x) * exp(x), lambda x: x / x)


@st.composite
def piecewise(draw):
    """A smooth function of two numbers that is chosen, beside ones that are not and may be infinite or nan, and the numbers."""
    at = draw(st.tuples(LEAVES, LEAVES))
    hard = draw(st.lists(st.tuples(st.sampled_from(HARD), st.sampled_from(HARD), st.integers(0, 1)), min_size=1, max_size=3))
    ways = draw(st.lists(st.sampled_from(["where", "else", "max", "min", "relu"]), min_size=len(hard), max_size=len(hard)))

    def chosen(v):
        return v[0] * 0.25 + mg.sin(v[1]) * v[0]

    def function(v):
        out = chosen(v)
        for (one, two, i), way in zip(hard, ways, strict=True):
            other = two(one(v[i]) * v[1 - i]) + one(v[1 - i] - v[1 - i])
            if way == "where":
                out = where(1.0 + 0.0 * mg.sin(v[0]), out, other)
            elif way == "else":
                out = where(mg.sin(v[0]) - 2.0, other, out)
            else:
                # only a finite operand can lose against another one: nan in is nan out
                other = where(mg.step(2.0 + mg.sin(v[1])), -1e300 if way != "min" else 1e300, other)
                out = maximum(out, other) if way == "max" else minimum(out, other) if way == "min" else out + relu(other)
        return out

    return chosen, function, list(at)


@settings(max_examples=150, deadline=None)
@given(piecewise())
def test_random_functions_have_the_derivatives_of_what_was_chosen(case):
    chosen, function, at = case
    expected = grad(chosen)(at)
    if not np.isfinite(expected).all() or not math.isfinite(chosen(at)):
        assume(False)
    assert grad(function)(at) == expected
    assert jit(grad(function), backend="reference")(at) == expected
    assert [jvp(function, (at,), (list(d),))[1] for d in ((1.0, 0.0), (0.0, 1.0))] == pytest.approx(expected)
    second = hessian(chosen)(at)
    if np.isfinite(second).all():
        np.testing.assert_allclose(hessian(function)(at), second)


def test_a_function_from_a_file_leaves_out_what_was_not_chosen(tmp_path):
    w = Value(1.0)
    f = jit(lambda x: where(1 - w * x, w * x, sqrt(x * w)), backend="reference")
    f.backward([4.0])
    mg.tape.save(f, str(tmp_path / "f.npz"))
    again = mg.tape.load(str(tmp_path / "f.npz"), backend="reference")
    mg.tape.save(again, str(tmp_path / "g.npz"))
    for name in ("f.npz", "g.npz"):
        assert mg.tape.load(str(tmp_path / name), backend="reference").value_and_grad([0.0], [2.0])[1] == [2.0]


def test_what_is_finite_stays_as_it_is_beside_what_is_not():
    """The gated program may round otherwise, so a sample's last bit would depend on the samples beside it."""
    gated = Gated(lambda *_: np.array([1.0, np.nan, np.inf]), lambda: lambda *_: np.array([2.0, 3.0, 4.0]))
    assert gated([], np.zeros(0), 3).tolist() == [1.0, 3.0, 4.0]
    several = Gated(lambda *_: [np.array([1.0]), np.array([np.nan])], lambda: lambda *_: [np.array([2.0]), np.array([3.0])])
    assert [x.tolist() for x in several([], np.zeros(0), 1)] == [[1.0], [3.0]]
    assert math.isnan(Gated(lambda *_: np.array(np.nan), lambda: None)([], np.zeros(0), 1))


@pytest.mark.parametrize("backend", ["reference", None])
def test_paths_that_parameters_decide_leave_out_what_was_not_chosen(backend):
    """What computes a result again is recorded on the path of that result, whatever the parameters hold by then."""
    w = Value(2.0)

    def f(x):
        y = where(1 - w * x, w * x + w, sqrt(w * x))
        return y if w > 1.0 else y * 3.0

    g = jit(f, backend=backend)
    for held in (2.0, 0.5, 2.0):
        w.data = held
        g.backward([4.0])
        w.data = 0.5
        for theta, slope in ((2.0, 1.0), (0.5, 3.0)):
            assert g.value_and_grad([theta], [0.0])[1].tolist() == [slope]
