"""Derivatives of roots that a solver finds, and of functions whose graph is not kept."""

import copy
import importlib
import math
import os
import pickle
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import optimize

import micrograd as mg
from micrograd import MLP, Value, adjoints, checkpoint, grad, hessian, implicit, jacobian, jit, no_grad


def kepler(mean, e):
    return optimize.brentq(lambda E: E - e * math.sin(E) - mean, -10.0, 10.0, xtol=1e-15)


anomaly = implicit(lambda E, mean, e: E - e * mg.sin(E) - mean, kepler)


def test_first_and_second_derivatives_of_keplers_equation():
    mean, e = 1.0, 0.3
    E = anomaly(mean, e)
    d = 1 / (1 - e * math.cos(E))
    assert isinstance(E, float) and abs(E - e * math.sin(E) - mean) < 1e-15
    assert grad(anomaly, (0, 1))(mean, e) == pytest.approx((d, math.sin(E) * d), rel=1e-14)
    (hmm, hme), (hem, _) = hessian(anomaly, (0, 1))(mean, e)
    assert hmm == pytest.approx(-e * math.sin(E) * d**3, rel=1e-13) and hme == pytest.approx(hem, rel=1e-13)
    assert hme == pytest.approx((math.cos(E) - e) * d**3, rel=1e-12)


def test_systems_of_equations_in_structures():
    def circle_and_line(y, p):
        return [y[0] ** 2 + y[1] ** 2 - p["r"] ** 2, y[0] - p["k"] * y[1]]

    def solve(p):
        return optimize.root(lambda y: circle_and_line(y, p), [1.0, 1.0], tol=1e-14).x

    meet = implicit(circle_and_line, solve)
    at = {"r": 2.0, "k": 1.5}
    root = math.sqrt(1 + 1.5**2)
    assert meet(at) == pytest.approx([3.0 / root, 2.0 / root], rel=1e-14)
    j = jacobian(meet)(at)
    assert j["r"] == pytest.approx([1.5 / root, 1 / root], rel=1e-13)
    assert j["k"] == pytest.approx([2 / root**3, -2 * 1.5 / root**3], rel=1e-13)
    second = hessian(lambda k: meet({"r": 2.0, "k": k})[0])(1.5)
    assert second == pytest.approx(-6 * 1.5 / root**5, rel=1e-11)


def test_what_the_equation_closes_over_is_differentiated():
    w, x = Value(3.0, label="w"), Value(2.0)
    y = implicit(lambda y, x: w * y - x * x, lambda x: x * x / w.data)(x)
    assert y.data == pytest.approx(4 / 3) and adjoints(y, [w, x]) == pytest.approx({w: -4 / 9, x: 4 / 3})


def test_what_is_no_root_is_refused():
    with pytest.raises(TypeError, match=r"implicit: f takes y and then the parameters; .* 1 positional argument but 2"):
        implicit(lambda y: y * y - 2.0, lambda p: p)(Value(2.0))
    with pytest.raises(TypeError, match=r"implicit: solve takes the parameters; .* 0 positional arguments but 1"):
        implicit(lambda y, p: y * y - p, lambda: 1.0)(Value(2.0))
    with pytest.raises(ValueError, match=r"gave 1, which is no root of f: Newton's step there is 1\.5"):
        implicit(lambda y, p: y * y - p, lambda p: 1.0)(Value(-2.0))
    with pytest.raises(ValueError, match="∂f/∂y has no inverse at the root 0"):
        implicit(lambda y, p: y * y * p, lambda p: 0.0)(Value(1.0))
    with pytest.raises(ValueError, match="as many numbers as y has, 1, got 2"):
        implicit(lambda y, p: [y, p], lambda p: 0.0)(1.0)
    with pytest.raises(TypeError, match="implicit needs a solver, a function, got float"):
        implicit(lambda y, p: y - p, 1.0)


def test_derivatives_of_every_order_and_calls_of_the_solver_from_compiled_code():
    assert grad(grad(grad(anomaly)))(1.0, 0.3) == pytest.approx(third_of_kepler(1.0, 0.3), rel=1e-12)
    meet = implicit(lambda y, p: [y[0] * y[1] - p, y[0] - 2.0 * y[1]], lambda p: [math.sqrt(2.0 * p), math.sqrt(0.5 * p)])
    for order, expected in enumerate([2.0**0.5 / 2, -(2.0**0.5) / 4, 3 * 2.0**0.5 / 8, -15 * 2.0**0.5 / 16], 1):
        f = lambda p: meet(p)[0]  # noqa: E731
        for _ in range(order):
            f = grad(f)
        assert f(1.0) == pytest.approx(expected, rel=1e-13)
    for backend in ("reference", "numpy", "llvm"):
        means = np.array([1.0, 2.0])
        np.testing.assert_array_equal(
            jit(anomaly, backend=backend).map(means, 0.3, in_axes=(0, None)), [kepler(m, 0.3) for m in means]
        )
        assert jit(hessian(anomaly, (0, 1)), backend=backend)(1.0, 0.3)[0] == pytest.approx(
            hessian(anomaly, (0, 1))(1.0, 0.3)[0]
        )


def third_of_kepler(mean, e):
    E = kepler(mean, e)
    d, c, s = 1 / (1 - e * math.cos(E)), e * math.cos(E), e * math.sin(E)
    return 3 * s * s * d**5 - c * d**4


# -- checkpoints


def segment(state, w, k):
    a, b = state
    for _ in range(k):
        a, b = a + 0.1 * mg.tanh(w * b), b - 0.1 * mg.sin(a) * w
    return (a, b)


def chain(step, a, b, w, steps, k=10):
    state = (a, b)
    for _ in range(steps):
        state = step(state, w, k)
    return state[0] * state[1]


def test_a_checkpoint_has_the_derivatives_of_its_function():
    for order in (1, 2):
        kept, taken = (
            jacobian_of_order(order, lambda a, b, w, s=s: chain(s, a, b, w, 3)) for s in (segment, checkpoint(segment))
        )
        assert taken == pytest.approx(kept, rel=1e-12)
    model = MLP(2, [3, 1], activation="tanh", seed=1)
    x = [Value(0.3), Value(-0.5)]
    kept, taken = (adjoints((f(x) - 1.0) ** 2, [*model.parameters(), *x]) for f in (model, checkpoint(model)))
    assert taken == pytest.approx(kept, rel=1e-13)


def jacobian_of_order(order, f):
    at = (0.4, -0.7, 1.1)
    if order == 1:
        return [*grad(f, (0, 1, 2))(*at)]
    return [x for row in hessian(f, (0, 1, 2))(*at) for x in row]


def test_a_checkpoint_keeps_one_node_for_each_output():
    peaks, sizes = [], []
    for step in (segment, checkpoint(segment)):
        a, b, w = Value(0.4), Value(-0.7), Value(1.1)
        tracemalloc.start()
        out = chain(step, a, b, w, 60, 40)
        out.backward()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append(len(mg.topological_order(out)))
        assert math.isfinite(w.grad)
    assert sizes[1] < 150 and sizes[0] > 100 * sizes[1]
    assert peaks[0] > 10 * peaks[1], peaks


def test_a_checkpoint_keeps_no_derivatives():
    size, calls = 30, 20
    weights = [[Value(0.01 * (i - j)) for i in range(size)] for j in range(size)]
    step = checkpoint(lambda x: [mg.tanh(mg.dot(row, x)) for row in weights])
    x = [Value(0.1 * i) for i in range(size)]
    step(x)
    tracemalloc.start()
    for _ in range(calls):
        x = step(x)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < calls * size * (size + 1) * size * 8 / 10  # what a table of derivatives for each call would take
    sum(x).backward()
    assert all(math.isfinite(w.grad) for row in weights for w in row)


def test_a_checkpoint_has_the_derivatives_of_what_it_closes_over():
    x, w = Value(0.7), Value(2.0)
    between = w * x
    for f in (
        lambda x: mg.tanh(between * x + w),  # a Value that has a graph of its own
        lambda x: grad(lambda z: (z * w) ** 3)(x) * x,
        lambda x: checkpoint(lambda z: z * z * Value(2.0))(x) * w + x,
        lambda x: w,
    ):
        kept, taken = f(x), checkpoint(f)(x)
        assert [*adjoints(taken, [x, w]).values()] == pytest.approx([*adjoints(kept, [x, w]).values()], rel=1e-14)
        first, again = (adjoints(v, w, create_graph=True)[w] for v in (kept, taken))
        assert [*adjoints(again, [x, w]).values()] == pytest.approx([*adjoints(first, [x, w]).values()], rel=1e-14)
    assert mg.topological_order(between)[-1] is between and between.parents == (w, x)
    y = checkpoint(lambda x: between * x)(x)
    x.data = 3.0
    assert y.recompute().data == 18.0 and adjoints(y, x)[x] == 12.0


def test_what_a_checkpoint_gives_must_stay():
    x, w = Value(2.0), Value(3.0)
    y = checkpoint(lambda x: x * w)(x)
    w.data = 4.0
    with pytest.raises(RuntimeError, match="f gives something else now than when it was called"):
        y.backward()
    y.recompute().backward()
    assert (x.grad, w.grad) == (4.0, 2.0)
    numbers = iter([0.1, 0.2])
    y = checkpoint(lambda x: x * next(numbers))(x)
    with pytest.raises(RuntimeError, match="random numbers do"):
        y.backward()
    with pytest.raises(TypeError, match=r"float\(\) or a function of math.*its derivative would be lost"):
        grad(checkpoint(lambda x: x * math.sin(x)))(1.0)


def test_threads_share_a_checkpoint():
    step = checkpoint(segment)

    def slopes(seed):
        a, b, w = Value(0.1 * seed), Value(-0.7), Value(1.1)
        for _ in range(20):
            out = chain(step, a, b, w, 3, 4)
            found = adjoints(out, [a, b, w])
        return [*found.values()]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(slopes, range(8)))
    assert found == [slopes(seed) for seed in range(8)]


@checkpoint
def squared(x):
    return [x * x, x * scale]


scale = Value(3.0, label="scale")


def test_nodes_of_checkpoints_and_roots_are_pickled():
    x = Value(2.0, label="x")
    model = MLP(1, [2, 1], activation="tanh", seed=1)
    for y in (squared(x)[0] * squared(x)[1], checkpoint(model)([x])):
        again = pickle.loads(pickle.dumps(y))
        grads = ([g for v, g in adjoints(out).items() if v.rule is None] for out in (y, again))
        assert next(grads) == next(grads) and again.data == y.data
    assert pickle.loads(pickle.dumps(squared)) is squared and copy.deepcopy(squared) is squared
    program = "import pickle, sys; y = pickle.load(sys.stdin.buffer); y.backward(); print(y.parents[0].parents[0].grad)"
    here = os.path.dirname(__file__)
    with_path = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}
    y = named().squared(x)[0] * 1.5
    ran = subprocess.run([sys.executable, "-c", program], input=pickle.dumps(y), capture_output=True, env=with_path, check=True)
    assert float(ran.stdout) == 6.0


def named():
    """This module, by the name under which another process finds it."""
    sys.path.insert(0, os.path.dirname(__file__))
    try:
        return importlib.import_module("test_roots")
    finally:
        del sys.path[0]


def test_a_checkpoint_takes_structures_plain_numbers_and_recomputes():
    step = checkpoint(lambda p, n, name: {"out": p["x"] * n + p["y"][0], "same": n, "name": 1.0})
    x, y = Value(2.0), Value(5.0)
    found = step({"x": x, "y": np.array([y], dtype=object)}, 3, name := "a")
    assert name == "a" and (found["out"].data, found["same"]) == (11.0, 3)
    assert adjoints(found["out"], [x, y]) == {x: 3.0, y: 1.0}
    x.data = 4.0
    assert found["out"].recompute().data == 17.0
    assert checkpoint(lambda x: x * 2)(3.0) == 6.0
    with no_grad():
        assert checkpoint(lambda x: x * 2)(x).is_constant
    assert jit(checkpoint(lambda x: x * 2.0))(3.0) == 6.0
    with pytest.raises(TypeError, match="checkpoint needs a function, got float"):
        checkpoint(1.0)
