"""Functions with a derivative rule of one's own."""

import copy
import math
import pickle

import numpy as np
import pytest

import micrograd as mg
from micrograd import Value, adjoints, custom_derivative, grad, hessian, implicit, jacobian, jit, to_code

BACK_ENDS = ("reference", "numpy", "llvm")


def root(x):
    return x**0.5


def slope(x, out):
    return 0.5 / out


def lengths(p, w):  # a simulator: plain Python alone
    return [math.hypot(p["x"], w), p["x"] * int(w)]


def lengths_partials(p, w, out):
    return [({"x": p["x"] / out[0]}, w / out[0]), ({"x": w}, p["x"])]


rounded = custom_derivative(round, lambda x, out: 1.0)
square_root = custom_derivative(root, slope)
simulated = custom_derivative(lengths, lengths_partials)


def test_the_rule_holds_eagerly_and_at_higher_order():
    x = Value(2.7, label="x")
    y = rounded(x) ** 2
    assert y.data == 9.0 and adjoints(y, x)[x] == 6.0 and rounded(2.7) == 3
    for order, f in ((1, grad(square_root)), (2, hessian(square_root)), (3, grad(grad(grad(square_root))))):
        expected = {1: 0.25, 2: -1 / 32, 3: 3 / 256}[order]
        assert f(4.0) == pytest.approx(expected, rel=1e-14)
    j = jacobian(simulated, (0, 1))({"x": 3.0}, 4.0)
    assert j[0][0]["x"] == pytest.approx(0.6) and j[0][1] == pytest.approx(0.8) and j[1] == ({"x": 4.0}, 3.0)
    second = hessian(lambda w: simulated({"x": 3.0}, w)[0])(4.0)
    assert second == pytest.approx(9 / 125, rel=1e-14)


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_it_compiles_what_can_be_compiled_and_calls_the_rest(backend):
    calls = []
    called = calls.append  # a list that a function names is watched

    def counted(x):
        called(x)
        return mg.exp(x) * 2.0

    w = Value(0.5, label="w")
    wrong = custom_derivative(counted, lambda x, out: 7.0 * x)  # not its derivative, so that one sees which is taken
    f = jit(lambda x: wrong(x * w), backend=backend)
    xs = np.linspace(-1.0, 1.0, 7)
    np.testing.assert_allclose(f.map(xs), 2 * np.exp(xs * 0.5), rtol=1e-14)
    seen = len(calls)
    _, g = f.value_and_grad([0.5], xs, reduction="sum")
    assert g == pytest.approx([float(np.sum(7.0 * xs * 0.5 * xs))], rel=1e-13)
    f.map(xs * 2)
    assert len(calls) <= seen + 3  # recorded for the gradient, and not called for the samples
    np.testing.assert_allclose(jit(grad(grad(square_root)), backend=backend).map([1.0, 4.0]), [-0.25, -1 / 32], rtol=1e-14)
    table = custom_derivative(lambda x: float(np.interp(x, [0.0, 1.0], [0.0, 3.0])), lambda x, out: 3.0)
    g = jit(lambda x: table(x) * w, backend=backend)
    np.testing.assert_allclose(g.map([0.25, 0.5]), [0.375, 0.75], rtol=1e-15)
    assert jit(grad(lambda x: table(x) ** 2), backend=backend)(0.5) == 9.0
    h = jit(lambda x: sum(simulated({"x": x}, w)), backend=backend)  # two rows, of which no formula is known
    w.data = 4.0
    assert h(3.0) == 17.0 and h.value_and_grad([4.0], [3.0])[1] == pytest.approx([0.8 + 3.0], rel=1e-15)


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_what_a_function_raises_is_raised_by_compiled_code_too(backend):
    refusing = custom_derivative(lambda x: math.sqrt(float(x)), lambda x, out: 0.5 / out)
    f = jit(lambda x: refusing(x) * 2.0, backend=backend)
    assert f.map([1.0, 4.0]).tolist() == [2.0, 4.0]
    for call in (lambda: f(-1.0), lambda: f.map([1.0, -1.0]), lambda: f.map(np.full(9, -1.0)), lambda: refusing(Value(-1.0))):
        with pytest.raises(ValueError, match=r"nonnegative|domain"):
            call()
    assert f(4.0) == 4.0
    root = implicit(lambda y, p: y * y - p, lambda p: p**0.5 if p < 5.0 else 7.0)
    with pytest.raises(ValueError, match=r"solve gave 7, which is no root of f"):
        jit(root, backend=backend).map([1.0, 9.0])


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_a_function_behind_an_if_is_called_for_the_samples_that_go_there(backend):
    entries = {1.0: 5.0, 2.0: 7.0}
    entry = custom_derivative(lambda x: entries[float(x)], lambda x, out: 3.0)
    f = jit(lambda x: entry(x) if x > 0.0 else x * 2.0, backend=backend)
    g = jit(lambda x: (x * 3.0 if entry(x) > 6.0 else x) if x > 0.0 else x * 2.0, backend=backend)
    xs = [1.0, -1.0, 2.0, -4.0, 1.0]
    for _ in range(2):  # also when all paths are known
        assert f.map(xs).tolist() == [5.0, -2.0, 7.0, -8.0, 5.0] and [f(x) for x in xs] == f.map(xs).tolist()
        assert g.map(xs).tolist() == [1.0, -2.0, 6.0, -8.0, 1.0] and [g(x) for x in xs] == g.map(xs).tolist()
        assert f(Value(2.0)).data == 7.0 and f(Value(-4.0)).data == -8.0
        assert f.value_and_grad([], xs, reduction="sum")[0] == 7.0
    for h in (f, g):
        with pytest.raises(KeyError, match=r"3\.0"):
            h.map([1.0, -1.0, 3.0])


def test_equal_calls_share_a_row_and_two_functions_of_one_name_do_not():
    a, b = (custom_derivative(lambda x, k=k: float(k) + round(x), lambda x, out: 1.0) for k in (1, 2))
    x = Value(0.2)
    assert a(x).rule is a(x).rule and a(x).rule is not b(x).rule
    assert jit(lambda x: a(x) + 10 * b(x))(0.2) == 21.0
    floor = custom_derivative(math.floor, lambda x, out: 1.0)
    assert jit(lambda x: floor(x) * 1.0).map([1.5, -1.5]).tolist() == [1.0, -2.0]


def test_drawings_explanations_code_copies_and_pickles_know_it():
    x = Value(4.0, label="x")
    y = square_root(x) * 3.0
    y.label = "y"
    assert "= root(4)" in str(y.explain(x)) and "root" in y.draw().svg and "0.75" in str(y.why(x))
    made = {}
    exec(to_code(y), made)
    value, gradient = made["f"](x=9.0)
    assert (value, gradient["x"]) == (9.0, 0.5)
    with pytest.raises(ValueError, match="to_code cannot write"):
        to_code(simulated({"x": x}, 2.0)[0])
    for again in (copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        (leaf,) = (v for v in mg.topological_order(again) if v.rule is None)
        leaf.data = 9.0
        assert again.recompute().data == 9.0 and adjoints(again, leaf)[leaf] == 0.5
    pair = pickle.loads(pickle.dumps(simulated({"x": x}, Value(3.0))))
    assert [v.data for v in pair] == [5.0, 12.0] and grad(lambda u: hessian(square_root)(u))(4.0) == pytest.approx(3 / 256)


def test_what_is_handed_on_as_it_is_has_no_partial():
    power = custom_derivative(lambda n, x: x**n, lambda n, x, out: ("not looked at", n * x ** (n - 1)))
    scaled = custom_derivative(lambda x, how, y: x * y, lambda x, how, y, out: (y, how, x))
    x, y = Value(3.0), Value(5.0)
    assert adjoints(power(2, x), x)[x] == 6.0 and grad(power, 1)(2, 3.0) == 6.0
    assert [adjoints(scaled(x, "by", y))[v] for v in (x, y)] == [5.0, 3.0]


def test_a_partial_may_be_made_of_another_result():
    powers = custom_derivative(lambda x: [x**2, x**3], lambda x, out: [2.0 * x, 3.0 * out[0]])
    assert grad(grad(lambda x: powers(x)[1]))(2.0) == 12.0 and grad(grad(lambda x: powers(x)[0]))(2.0) == 2.0


def test_arrays_and_what_is_no_number():
    def scaled(x, power, name):
        assert name == "a"
        return x**power

    f = custom_derivative(scaled, lambda x, power, name, out: (np.diag(power * x ** (power - 1)), None, None))
    np.testing.assert_array_equal(jacobian(lambda x: f(x, 2, "a"))(np.array([1.0, 3.0])), [[2.0, 0.0], [0.0, 6.0]])


def test_bad_rules_are_named():
    x, w = Value(1.0), Value(2.0, label="w")
    with pytest.raises(TypeError, match=r"closes over the Value w.*pass it as an argument"):
        custom_derivative(lambda x: x * w, lambda x, out: 1.0)(x)
    with pytest.raises(TypeError, match="custom_derivative needs a function, got float"):
        custom_derivative(1.0, lambda x, out: 1.0)
    with pytest.raises(TypeError, match="must be a tuple of 2, one for each argument, got a float"):
        custom_derivative(lambda x, y: x + y, lambda x, y, out: 1.0)(x, w)
    with pytest.raises(TypeError, match="must be 2 numbers for an argument of 2, got 1"):
        custom_derivative(lambda x: x[0], lambda x, out: [1.0])([x, w])
    with pytest.raises(TypeError, match="must be 2 entries, one for each that f returns, got 1"):
        jacobian(custom_derivative(lambda x: [x, 2.0 * x], lambda x, out: [1.0]))(1.0)
    with pytest.raises(TypeError, match="returned None; does it lack a return"):
        custom_derivative(lambda x: None, lambda x, out: 1.0)(x)
    with pytest.raises(TypeError, match=r"the partials of round take its arguments and then its result; .* 1 positional"):
        custom_derivative(round, lambda x: 1.0)(x).backward()
    with pytest.raises(TypeError, match=r"^unsupported operand"):  # an error inside is its own
        custom_derivative(round, lambda x, out: "a" - 1)(x).backward()
