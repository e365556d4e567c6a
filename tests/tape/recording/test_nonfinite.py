"""What was not chosen has no edge: infinities and nans there reach no derivative, eagerly, at any order, and compiled."""

import math
import pickle
import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import micrograd as mg
from micrograd import Value, adjoints, exp, grad, hessian, hvp, jit, jvp, log, maximum, minimum, relu, sign, sqrt, where
from micrograd.tape.back_ends.reference import total
from micrograd.tape.recording.nonfinite import Gated, Twin


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
    "greater than an argument": (lambda x: sqrt(mg.greater(1.0, x)) + x, 2.0, 1.0, 0.0),
    "the size of a negative": (lambda x: abs(log(x)) + where(x, x, sqrt(-x)), 0.5, -1.0, 4.0),
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
def test_no_samples_have_no_derivatives(backend):
    compiled = jit(grad(near), backend=backend)
    assert compiled.map(np.zeros(0)).tolist() == compiled.map(np.zeros(1))[1:].tolist() == compiled.map(np.zeros(0)).tolist()


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
    twin = Twin(lambda: lambda *_: np.array([2.0, 3.0, 4.0]))
    gated = Gated(lambda *_: np.array([1.0, np.nan, np.inf]), twin)
    assert gated([], np.zeros(0), 3).tolist() == [1.0, 3.0, math.inf]
    several = Twin(lambda: lambda *_: [np.array([2.0]), np.array([3.0])])
    assert [x.tolist() for x in several.mended([np.array([1.0]), np.array([np.nan])], [], np.zeros(0), 1)] == [[1.0], [3.0]]
    assert math.isnan(Gated(lambda *_: np.array(np.nan), Twin(lambda: None))([], np.zeros(0), 1))


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


OPERATIONS = {  # of three operands and a number, choices among them
    "x + y": lambda x, y, z, c: x + y,
    "x * y": lambda x, y, z, c: x * y,
    "x - z": lambda x, y, z, c: x - z,
    "where": lambda x, y, z, c: where(x, y, z),
    "maximum": lambda x, y, z, c: maximum(x, y),
    "minimum": lambda x, y, z, c: minimum(x, y),
    "relu": lambda x, y, z, c: relu(x),
    "clip": lambda x, y, z, c: maximum(minimum(x, 1.0), -1.0),
    "dot": lambda x, y, z, c: mg.dot([x, y], [z, mg.constant(c)], x),
    "c * x": lambda x, y, z, c: c * x,
    "tanh": lambda x, y, z, c: mg.tanh(x),
    "sqrt": lambda x, y, z, c: sqrt(x),
    "x / y": lambda x, y, z, c: x / y,
    "exp": lambda x, y, z, c: exp(x),
    "x ** 2": lambda x, y, z, c: x**2,
    "if": lambda x, y, z, c: y if x > 0.0 else z,
}
OPERANDS = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e200, -1e200, 1e-200, math.inf, -math.inf, math.nan]


def random_program(r):
    """A function of two numbers with choices in it, and points among moderate, huge and infinite ones."""
    steps = [
        (OPERATIONS[r.choice([*OPERATIONS])], [r.randrange(i) for _ in range(3)], r.choice([1e200, 2.0, -0.5, 0.0]))
        for i in range(2, r.randint(4, 9))
    ]

    def program(*xs):
        values = [*xs]
        for operation, places, c in steps:
            values.append(operation(*[values[i] for i in places], c))
        return values[-1] + 0.25 * values[-2]

    points = [[r.choice(OPERANDS) if r.random() < 0.6 else r.uniform(-2.0, 2.0) for _ in range(2)] for _ in range(4)]
    return program, [[1.5, 0.5], *points]


def gradient_by_scale(f, w, point):
    """Value and derivative of f(w x, w y) by w, eagerly."""
    w = Value(w)
    out = f(*[w * x for x in point])
    return [out.data, adjoints(out).get(w, 0.0)] if isinstance(out, Value) else [out, 0.0]


@pytest.mark.parametrize(
    ("backend", "precision", "count"), [("reference", "fast", 60), ("llvm", "exact", 15), ("numpy", "fast", 30)]
)
def test_random_programs_have_the_same_derivatives_compiled_where_operands_are_huge_infinite_or_nan(backend, precision, count):
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    same = np.testing.assert_array_equal if backend != "numpy" else lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9)
    for seed in range(count):
        program, points = random_program(random.Random(seed))
        gradient = grad(program, argnums=(0, 1))
        eager = np.array([gradient(*point) for point in points])
        compiled = jit(gradient, backend=backend, precision=precision)
        for _ in range(2):  # the second time each goes the quick way
            same(np.array([compiled(*point) for point in points]), eager)
            same(np.array([compiled(*point) for point in reversed(points)])[::-1], eager)
        same(np.array(jit(gradient, backend=backend, precision=precision).map(*np.array(points).T)).T, eager)
        w = Value(1.0)
        scaled = jit(lambda x, y, program=program, w=w: program(w * x, w * y), wrt=[w], backend=backend, precision=precision)
        with np.errstate(all="ignore"):
            expected = total(np.array([gradient_by_scale(program, 1.0, point) for point in points]))
        for _ in range(2):
            value, (slope,) = scaled.value_and_grad([1.0], *np.array(points).T, reduction="sum")
            same(np.array([value, slope]), expected)


def chosen_beside(w, x, y):
    return where(w * x, w * x, w * x * y)


@pytest.mark.parametrize("backend", ["reference", "numpy", None])
def test_an_infinite_input_beside_a_choice(backend, tmp_path):
    """No operation here gives an infinity from finite numbers: only what is passed in does."""
    w = Value(2.0)
    f = jit(lambda x, y: chosen_beside(w, x, y), backend=backend)
    for y in (1.0, math.inf):  # recorded on the first
        assert f.value_and_grad([2.0], [1.0, 3.0], [1.0, y])[1].tolist() == [2.0]
        assert f.value_and_grad([2.0], np.array([1.0, 3.0]), np.array([y, 1.0]))[1].tolist() == [2.0]
    f.backward([1.0], [math.inf])
    assert w.grad == 1.0
    with f.training(mg.SGD([w], lr=0.5)) as step:
        step([1.0], [math.inf])
    assert w.data == 1.5
    mg.tape.save(f, str(tmp_path / "f.npz"))
    assert mg.tape.load(str(tmp_path / "f.npz"), backend=backend).value_and_grad([2.0], [1.0], [math.inf])[1].tolist() == [1.0]
    assert jit(grad(grad(lambda x, y: where(x, x**3, x * x * y))), backend=backend).map([2.0], [math.inf]).tolist() == [12.0]


@pytest.mark.parametrize("backend", ["reference", "numpy", None])
def test_an_infinite_input_beside_a_choice_on_several_paths(backend):
    w = Value(2.0)
    f = jit(lambda x, y: chosen_beside(w, x, y) if x > 1.5 else 3.0 * chosen_beside(w, x, y), [w], backend=backend)
    for y in (1.0, 1.0, math.inf, math.inf):  # from the second call on by one program
        gradient = f.value_and_grad([2.0], np.array([1.0, 3.0]), np.array([y, 1.0]), reduction="sum")[1]
        assert gradient.tolist() == [3.0 + 3.0]


@pytest.mark.parametrize("backend", ["reference", None])
def test_an_infinite_operand_of_a_compiled_function_on_values(backend):
    f = jit(lambda x, y: where(x, x * x * x, x * x * y), backend=backend)
    for held in (1.0, math.inf):
        x, y = Value(2.0), Value(held)
        call = (x, y, f(x, y))
        for a, b, out in (call, pickle.loads(pickle.dumps(call))):
            assert [*adjoints(out, [a, b]).values()] == [12.0, 0.0]
            first = adjoints(out, a, create_graph=True)[a]
            assert adjoints(first, a)[a] == 12.0


def test_a_block_in_the_function_itself_looks_at_every_operation_while_it_is_recorded():
    def f(x):
        with mg.detect_anomaly():
            return 1.0 / (x * 1e300)

    assert jit(f, backend="reference")(2.0) == 1.0 / 2e300
    with pytest.raises(FloatingPointError, match=r"mul\(1e\+30, 1e\+300\) = inf"):
        jit(f, backend="reference")(1e30)


@pytest.mark.parametrize("error", [StopIteration, RuntimeError, KeyError, ValueError])
def test_what_a_function_raises_when_it_runs_a_second_time_is_raised_each_time(error):
    fails = iter([False, True, True, False])  # each run: the first records, the others when a nan is met

    def f(x, y):
        if next(fails):
            raise error("gone")
        return where(x, x * x, x * y)

    g = jit(grad(f), backend="reference")
    assert g(1.0, 2.0) == 2.0
    for _ in range(2):
        with pytest.raises(error, match="gone"):
            g(1.0, math.inf)
    assert g(1.0, math.inf) == 2.0


def test_a_path_is_recorded_again_at_the_numbers_that_it_was_recorded_at():
    """Though the array that brought them holds others by now."""

    def f(x):
        return where(x[0], x[0], x[0] * x[1]) if x[2] > 0.0 else 5.0 * x[0]

    g, x = jit(grad(f), backend="reference"), np.array([1.0, 2.0, 3.0])
    assert g(x).tolist() == [1.0, 0.0, 0.0]
    x[:] = 1.0, 2.0, -3.0
    assert g(x).tolist() == [5.0, 0.0, 0.0]
    assert g(np.array([1.0, math.inf, 3.0])).tolist() == [1.0, 0.0, 0.0]


def test_another_path_is_not_taken_for_the_one_that_gave_a_nan():
    signs = iter([1.0, -1.0])

    def f(x, y):
        return where(x, x, x * y) if x * next(signs) > 0.0 else where(x, 7.0 * x, x * y)

    g = jit(grad(f), backend="reference")
    assert g(1.0, 2.0) == 1.0  # recorded where all is finite
    assert math.isnan(g(1.0, math.inf))
