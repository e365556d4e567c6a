"""jit: what is recorded, what stays open, what is refused, and training on flat arrays."""

import copy
import math
import pickle
import random
import sys
import threading
from contextlib import nullcontext
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

import micrograd as mg
from micrograd import SGD, Adam, Value
from micrograd.tape import jit, load, save
from micrograd.tape.back_ends import NAMES
from micrograd.tape.calling import branches
from micrograd.tape.merging import merge
from micrograd.tape.recording.parameters import open_trainings
from micrograd.tape.recording.recordings import STRUCTURES

W = Value(3.0, label="w")


def line(x):
    return W * x + 1.0


def test_parameters_are_read_at_every_call_and_gradients_accumulate():
    w = Value(2.0)
    f = jit(lambda x: w * x)
    assert f(3.0) == 6.0
    w.data = 5.0
    assert f(3.0) == 15.0
    assert f.backward([1.0, 2.0]) == 7.5 and w.grad == 1.5
    assert f.backward([1.0, 2.0], reduction="sum") == 15.0 and w.grad == 4.5
    assert f.parameters == [w]


def test_parameters_come_in_order_of_first_use_or_as_listed():
    a, b, c = Value(1.0, label="a"), Value(2.0, label="b"), Value(3.0, label="c")
    f = jit(lambda x: mg.dot([c, a], [x, x]) + b)
    f(1.0)
    assert f.parameters == [c, a, b]
    f = jit(lambda x: (chosen := mg.where(x, a, 2.0), b * chosen)[1])  # `a` is the second operand, and used first
    assert f(1.0) == 2.0 and f.parameters == [a, b]
    f = jit(lambda x: c * x, wrt=[a, b, c])
    _, g = f.value_and_grad([1.0, 2.0, 3.0], [4.0])
    assert g.tolist() == [0.0, 0.0, 4.0]
    with pytest.raises(ValueError, match="not in wrt"):
        jit(lambda x: c * x, wrt=[a])(1.0)
    model = mg.MLP(3, [4, 2], seed=0)
    f = jit(model)
    f([1.0, 2.0, 3.0])
    assert f.parameters == model.parameters()


def test_results_keep_the_function_s_structure():
    f = jit(lambda x, y: {"a": [x, [x * y]], "b": (y, None, "text"), "c": np.array([[x, y]])})
    out = f(2.0, 3.0)
    assert out["a"] == [2.0, [6.0]] and out["b"] == (3.0, None, "text") and out["c"].tolist() == [[2.0, 3.0]]
    model = mg.MLP(2, [3, 3], seed=0)
    X = np.random.default_rng(0).normal(size=(5, 2))
    assert jit(model).map(X).shape == (5, 3)
    np.testing.assert_allclose(jit(model).map(X), [[v.data for v in model(x)] for x in X.tolist()])
    with pytest.raises(TypeError, match="no number"):
        jit(lambda x: None)(1.0)


def test_arguments_may_be_nested_and_shared_by_all_samples():
    f = jit(lambda p, x: p["w"][0] * x[0] + p["w"][1] * x[1] + p["b"])
    p = {"w": [1.0, 2.0], "b": 0.5}
    assert f(p, [10.0, 20.0]) == 50.5
    assert f.map(p, np.array([[1.0, 0.0], [0.0, 1.0]]), in_axes=(None, 0)).tolist() == [1.5, 2.5]
    assert f.map({"w": np.ones((2, 2)), "b": np.zeros(2)}, np.eye(2)).tolist() == [1.0, 1.0]
    assert jit(lambda x: x[0] - x[1]).map(np.array([[1.0, 2.0], [5.0, 7.0]]), in_axes=1).tolist() == [-4.0, -5.0]
    with pytest.raises(ValueError, match="samples"):
        jit(lambda x, y: x).map([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="leading axis"):
        jit(line).map(1.0)
    with pytest.raises(TypeError, match=r"argument 1 must be made of real numbers, got Reader <.*Reader object"):
        jit(lambda x, y: x)(1.0, Reader())
    with pytest.raises(TypeError, match=r"argument 0 must be made of real numbers, got Value Value\(data=3.0"):
        jit(lambda x: x).map([W])
    with pytest.raises(TypeError, match="real numbers"):
        jit(line)(1j)


def test_recorded_again_when_the_structure_changes_and_only_then():
    runs = []
    ran = runs.append  # a list that a function names is watched

    def total(x, flag=None):
        ran(len(x))
        return mg.sum(x) if flag else mg.sum(x) * 2

    f = jit(total, backend="numpy")
    assert f([1.0, 2.0]) == 6.0 and f([3.0, 4.0]) == 14.0 and f([1.0, 2.0, 3.0]) == 12.0 and f([1.0, 2.0], True) == 3.0
    assert runs == [2, 3, 2]
    for n in range(1, STRUCTURES + 20):
        f([1.0] * n)
    assert len(f.recorded) == STRUCTURES
    runs.clear()
    f([1.0] * (STRUCTURES + 19))
    f([1.0] * 2)
    assert runs == [2], "the latest are kept"


def test_comparisons_become_guards_and_samples_find_their_own_tape():
    w = Value(2.0)

    def f(x):
        if x > 1.0:
            return w * x
        if not x:
            return x + 7.0
        return x * x - w if x == -1.0 else -x

    x = np.array([3.0, -1.0, 0.0, 0.5, 2.0, -1.0, -5.0, 0.0])
    for backend in ("reference", "numpy"):
        compiled = jit(f, backend=backend)
        expected = [float(f(v)) if not isinstance(f(v), Value) else f(v).data for v in x.tolist()]
        assert compiled.map(x).tolist() == expected
        assert [compiled(v) for v in x.tolist()] == expected
        value, gradient = compiled.value_and_grad([2.0], x, reduction="sum")
        assert math.isclose(value, math.fsum(expected)) and gradient.tolist() == [3.0]
        again = jit(f, wrt=[w], backend=backend)
        for i in (6, 3, 0, 1):
            again.value_and_grad([2.0], x[i : i + 1])
        assert again.value_and_grad([2.0], x, reduction="sum")[0] == value, "which path came first does not matter"
        assert compiled.map(x[:0]).tolist() == []


def test_paths_may_use_parameters_in_different_orders():
    a, b = Value(2.0), Value(5.0)
    f = jit(lambda x: mg.tanh(a * x) * b if x > 0.0 else b * x + a)
    x = np.array([1.0, -1.0])
    expected = [math.tanh(2.0) * 5.0, -3.0]
    np.testing.assert_allclose(f.map(x), expected, rtol=1e-14)
    value, gradient = f.value_and_grad([2.0, 5.0], x, reduction="sum")
    assert math.isclose(value, sum(expected)) and f.parameters == [a, b]
    np.testing.assert_allclose(gradient, [5.0 * (1 - math.tanh(2.0) ** 2) + 1.0, math.tanh(2.0) - 1.0], rtol=1e-13)


@pytest.mark.parametrize("backend", [None, "numpy", "reference"])
def test_structures_may_use_parameters_in_different_orders(backend):
    a, b = Value(2.0), Value(5.0)
    f = jit(lambda x, flip: b * x - mg.tanh(a) if flip else mg.tanh(a) * x - b, backend=backend)
    x = np.array([1.0, -1.0, 3.0])
    t = math.tanh(2.0)
    for flip, expected in ((False, t * x - 5.0), (True, 5.0 * x - t)):
        for _ in range(2):  # a second call may go a shorter way
            assert f(1.0, flip) == pytest.approx(expected[0], rel=1e-14)
            np.testing.assert_allclose(f.map(x, flip, in_axes=(0, None)), expected, rtol=1e-14)
            value, gradient = f.value_and_grad([2.0, 5.0], x, flip, in_axes=(0, None))
            slopes = [-(1 - t * t), 1.0] if flip else [1 - t * t, -1.0]
            assert value == pytest.approx(expected.mean(), rel=1e-13)
            np.testing.assert_allclose(gradient, slopes, rtol=1e-13)
    assert f.parameters == [a, b]


@pytest.mark.parametrize("backend", [None, "numpy", "reference"])
def test_one_structure_after_another_finds_its_own_parameters(backend):
    a, b = Value(2.0), Value(5.0)
    f = jit(lambda xs: mg.tanh(a) * xs[0] - b if len(xs) == 1 else b * xs[0] - mg.tanh(a), backend=backend)
    g = jit(lambda *xs: mg.tanh(a) * xs[0] - b if len(xs) == 1 else b * xs[0] - mg.tanh(a), backend=backend)
    t, x = math.tanh(2.0), np.array([1.0, 2.0])
    for _ in range(2):
        assert g(3.0) == pytest.approx(t * 3.0 - 5.0) and g(3.0, 1.0) == pytest.approx(15.0 - t)
        np.testing.assert_allclose(g.map(x, x), 5.0 * x - t, rtol=1e-14)
        np.testing.assert_allclose(f.value_and_grad([2.0, 5.0], x[:, None])[1], [(1 - t * t) * 1.5, -1.0], rtol=1e-13)
        np.testing.assert_allclose(f.value_and_grad([2.0, 5.0], np.stack([x, x], axis=1))[1], [-(1 - t * t), 1.5], rtol=1e-13)


@pytest.mark.parametrize("how", ["too many", "too large together"])
def test_more_paths_than_allowed_name_the_line(how, monkeypatch):
    if how == "too many":
        monkeypatch.setattr(branches, "MOST", branches.PATHS)  # 4,096 take a while
    else:
        monkeypatch.setattr(merge, "SMALL_TAPE", 0)
        monkeypatch.setattr(merge, "GROWTH", 0)

    def f(x):
        n = 0
        while x > n:  # the line
            n += 1
        return x * n if x > -1.0 else x  # which is not where they part

    assert jit(f, backend="numpy").map(np.arange(20.0)).tolist() == [v * v for v in range(20)]
    with pytest.raises(RuntimeError, match="the line") as caught:
        jit(f, backend="numpy").map(np.arange(branches.PATHS + 10.0))
    assert "where(" in str(caught.value)
    if how == "too many":  # although one program could compute them all
        signs = np.array(list(np.ndindex(*[2] * 7))) - 0.5
        with pytest.raises(RuntimeError, match=f"more than {branches.PATHS} paths"):
            jit(lambda *xs: sum(x if x > 0.0 else -x for x in xs), backend="numpy").map(*signs.T)


def test_paths_that_return_different_structures_are_refused():
    f = jit(lambda x: (x, x) if x > 0.0 else x)
    for x in ([1.0, -1.0], [-1.0, 1.0]):
        with pytest.raises(TypeError, match="returns different structures on different paths"):
            f.map(x)


@pytest.mark.parametrize(
    ("function", "arguments", "advice"),
    [
        (lambda x: float(x) * x, (1.0,), "float"),
        (lambda x: x * math.exp(x), (1.0,), "exp"),
        (lambda x: x * math.frexp(x * 2)[0], (1.0,), "plain number"),
        (lambda x: x * int(x), (1.0,), "take"),
        (lambda x: [1.0, 2.0][x + 0] * x, (1.0,), "take"),
        (lambda x, i: [1.0, 2.0][i] * x, (1.0, 1), "take"),
        (lambda x, n: sum(x for _ in range(n)), (1.0, 3), "close over"),
        (lambda x, i: [x, x][int(i)], (1.0, 1), "take"),
        (lambda x: x * x.data, (1.0,), r"by \.data while recording, at .*test_jit"),
        (lambda x: x if mg.tanh(x - 2.0).data > 0 else -x, (1.0,), r"\.data"),
        (lambda x: (x.detach().data + x) * x, (1.0,), r"\.data"),
        (lambda x, i: x * i.data, (1.0, 1), r"\.data"),
        (lambda x: ((x * x).backward(), x.grad)[1], (1.0,), "create_graph=True"),
        (lambda x: x * mg.adjoints(x * x, x)[x], (1.0,), "create_graph=True"),
    ],
)
def test_freezing_a_traced_value_is_an_error_that_says_what_to_do(function, arguments, advice):
    with pytest.raises(TypeError, match=advice):
        jit(function)(*arguments)


def times_w(x):
    return x * W.data


class Reader(mg.Module):
    def __init__(self):
        self.parts = {"w": [Value(2.0)]}

    def __call__(self, x):
        return self.parts["w"][0].data * x


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * W if W.data > 0.0 else x,
        lambda x: x * W.grad,
        lambda x: times_w(x),
        mg.grad(lambda x: x * x * W.data),
        partial(lambda reader, x: reader(x), Reader()),
        Reader().__call__,
        lambda x, reader=Reader(): reader(x),  # noqa: B008
        (lambda reader: lambda x: reader(x))(Reader()),
        jit(times_w),
    ],
)
@pytest.mark.parametrize("wrt", [None, [W]])
def test_numbers_of_what_a_function_holds_on_to_are_not_to_be_read_while_recording(function, wrt):
    f = jit(function, wrt=wrt)
    with pytest.raises(TypeError, match=r"by \.(data|grad) while recording, at .*test_jit.*Values"):
        f(1.0)
    assert W.__class__ is Value and W.data == 3.0


def test_numbers_that_no_tape_would_freeze_may_be_read_while_recording():
    c = mg.constant(5.0)
    assert jit(lambda x: x * c.data * Value(2.0).data)(3.0) == 30.0


@pytest.mark.parametrize("make", [jit, mg.grad], ids=["jit", "grad"])
def test_int_of_a_traced_value_says_what_can_be_written_there(make):
    for f in (lambda x: x * int(x), lambda x: x * [1.0, 2.0, 3.0][x]):
        with pytest.raises(TypeError, match=r"is no index and no int: .* for the number trunc\(v\), which is a Value too$"):
            make(f)(2.0)


def test_a_traced_value_may_be_shown_and_its_own_gradient_taken():
    shown = []

    def f(x, i):
        y = x * x + i
        shown.extend([repr(x), f"{y}", f"{i}"])
        return y * mg.adjoints(y, x, create_graph=True)[x], mg.grad(mg.tanh)(x)

    assert jit(f, backend="reference")(2.0, 1) == (5.0 * 4.0, 1 - math.tanh(2.0) ** 2)
    assert shown == ["Value(open while recording)"] * 3


W = Value(3.0, label="w")


def test_two_threads_record_at_once_and_others_read_meanwhile():
    inside, go = threading.Event(), threading.Event()

    def slow(x):
        inside.set()
        assert go.wait(10)
        return W * x

    found = []
    thread = threading.Thread(target=lambda: found.append(jit(slow, backend="reference")(2.0)))
    thread.start()
    assert inside.wait(10)
    assert W.data == 3.0 and float(W) == 3.0 and type(W) is Value and (W * 2).data == 6.0
    assert jit(lambda x: W + x, backend="reference")(1.0) == 4.0
    with pytest.raises(TypeError, match="while recording"):
        jit(lambda x: x * W.data, backend="reference")(1.0)
    go.set()
    thread.join()
    assert found == [6.0]


def test_detached_values_stay_open_but_carry_no_gradient():
    w = Value(2.0)

    def f(x):
        y = w * x
        with mg.no_grad():
            z = y * 2.0
        return y.detach() * w + z

    compiled = jit(f)
    assert compiled(3.0) == 6.0 * 2.0 + 12.0 and compiled(5.0) == 10.0 * 2.0 + 20.0
    _, g = compiled.value_and_grad([2.0], [3.0, 5.0])
    assert g.tolist() == [8.0]


def test_values_made_inside_are_constants():
    w = Value(2.0)

    def f(x):
        total = Value(0.0)
        for _ in range(3):
            total += w * x
        return total

    compiled = jit(f)
    assert compiled(3.0) == 18.0 and compiled.parameters == [w]


@pytest.mark.parametrize("backend", ["reference", "numpy"])
def test_take_stays_open(backend):
    table = [[Value(10.0 * i + j) for j in range(3)] for i in range(4)]
    f = jit(lambda i, x: mg.sum(mg.take(table, i)) * x, wrt=[v for row in table for v in row], backend=backend)
    i, x = np.array([3, 0, 3]), np.array([1.0, 2.0, 3.0])
    assert f.map(i, x).tolist() == [93.0, 6.0, 279.0]
    assert f(2, 1.0) == 63.0
    _, g = f.value_and_grad(f.theta(), i, x, reduction="sum")
    assert g.reshape(4, 3).tolist() == [[2.0] * 3, [0.0] * 3, [0.0] * 3, [4.0] * 3]
    pick = jit(lambda i, x: mg.take([x, x * x, 7.0], i), backend=backend)
    assert pick.map([0, 1, 2], [3.0, 3.0, 3.0]).tolist() == [3.0, 9.0, 7.0]
    for bad in (-1, 3):
        with pytest.raises(IndexError, match=f"from 0 to 2, got {bad}"):
            pick.map([0, bad], [1.0, 1.0])
    runs = jit(lambda ids: mg.sum(mg.take([1.0, 10.0, 100.0], i) for i in ids), backend=backend)
    assert runs.map(np.array([[0, 2], [1, 1]])).tolist() == [101.0, 20.0] and len(runs.recorded) == 1


@pytest.mark.parametrize("of", [lambda i: -i, lambda i: i + 1, lambda i: 1 + i, lambda i: i * i])
def test_what_is_computed_of_an_integer_is_no_index(of):
    with pytest.raises(TypeError, match="is no index and no int"):
        jit(lambda i: mg.take([1.0, 2.0, 3.0], of(i)))(1)


def test_transforms_compose():
    w = Value(2.0)

    def f(x):
        return mg.sin(x[0]) * x[1] ** 2 * w

    X = np.random.default_rng(0).normal(size=(6, 2))
    with mg.no_grad():
        gradients, hessians = ([transform(f)(x) for x in X.tolist()] for transform in (mg.grad, mg.hessian))
    np.testing.assert_allclose(jit(mg.grad(f)).map(X), gradients, rtol=1e-13)
    np.testing.assert_allclose(jit(mg.hessian(f)).map(X), hessians, rtol=1e-13)
    assert jit(mg.grad(f))(X[0]).tolist() == pytest.approx(gradients[0], rel=1e-13)
    # what a function closes over is constant for grad(fn), and a parameter of what jit makes of it
    value, gradient = jit(mg.grad(lambda x: w * x**3)).value_and_grad([2.0], [3.0])
    assert (value, gradient.tolist()) == (54.0, [27.0])


def test_samples_in_blocks_give_what_one_block_gives():
    model = mg.MLP(3, [8, 1], activation="tanh", seed=0)
    f = jit(model, backend="numpy")
    X = np.random.default_rng(0).normal(size=(1000, 3))
    whole, (value, gradient) = f.map(X), f.value_and_grad([p.data for p in model.parameters()], X)
    for paths in f.recorded.values():
        for program in paths[0].programs.values():
            program.block = 64
    np.testing.assert_allclose(f.map(X), whole, rtol=1e-14)
    blocked = f.value_and_grad([p.data for p in model.parameters()], X)
    np.testing.assert_allclose(blocked[0], value, rtol=1e-13)
    np.testing.assert_allclose(blocked[1], gradient, rtol=1e-11, atol=1e-14)


def test_inside_other_functions_it_is_the_function_itself():
    f = jit(lambda x: x * x)
    x = Value(3.0)
    f(x).backward()
    assert x.grad == 6.0
    assert jit(lambda x: f(x) + 1.0)(3.0) == 10.0


@pytest.mark.parametrize("make", [lambda p: SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01), lambda p: Adam(p, lr=0.02)])
def test_training_on_flat_arrays_equals_training_values(make):
    rng = random.Random(0)
    X = [[rng.gauss(0, 1) for _ in range(2)] for _ in range(20)]
    y = [1.0 if a * b > 0 else -1.0 for a, b in X]
    eager, compiled, shuffled = (mg.MLP(2, [6, 1], activation="tanh", seed=4) for _ in range(3))
    losses = []
    optimiser = make(eager.parameters())
    for _ in range(30):
        loss = mg.hinge([eager(x) for x in X], y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.data)
    for model, parameters in ((compiled, compiled.parameters()), (shuffled, [*shuffled.parameters()[::-1], Value(1.0)])):
        f = jit(lambda x, t, model=model: mg.hinge(model(x), t))
        flat = make(parameters)
        with f.training(flat) as step:
            found = [step(X, y) for _ in range(15)]
            step.sync()
            middle = [p.data for p in model.parameters()]
            found += [step(X, y) for _ in range(15)]
        np.testing.assert_allclose(found, losses, rtol=1e-9)
        np.testing.assert_allclose([p.data for p in model.parameters()], [p.data for p in eager.parameters()], rtol=1e-9)
        assert middle != [p.data for p in model.parameters()] and flat.steps == 30
    np.testing.assert_allclose(np.array(make_state(flat))[:-1][::-1], make_state(optimiser), rtol=1e-8, atol=1e-15)


def make_state(optimiser):
    return [tuple(s) for s in optimiser.state]


def test_wrong_uses_are_told():
    f = jit(line, wrt=[W])
    with pytest.raises(ValueError, match="flat vector of the 1"):
        f.value_and_grad([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="the mean of zero samples is undefined"):
        f.backward([])
    with pytest.raises(ValueError, match="reduction"):
        f.backward([1.0], reduction="max")
    with pytest.raises(ValueError, match="in_axes"):
        f.map([1.0], in_axes=(0, 0))
    with pytest.raises(ValueError, match="back end"):
        jit(line, backend="fortran")
    with pytest.raises(TypeError, match="float64"):
        jit(line, dtype=np.int32)
    with pytest.raises(TypeError, match="needs a function"):
        jit(3.0)
    with pytest.raises(TypeError, match="one number"):
        jit(lambda x: [W * x, x]).backward([1.0])


def test_tapes_pickle():
    f = jit(lambda x, i: mg.take([x, W], i) * mg.sin(x) if x > 0.0 else x)
    f.map([1.0, -1.0], [0, 1])
    for paths in f.recorded.values():
        for path in paths:
            assert pickle.loads(pickle.dumps(path.tape)) == path.tape


class Line(mg.Module):
    def __init__(self, slope):
        self.slope = Value(slope)

    @jit
    def at(self, x):
        """The line at x."""
        return self.slope * x


class Raised(Line):
    @jit
    def at(self, x):
        return super().at(x) + 10.0


@jit
def squared(x):
    return x * x


class Pair(NamedTuple):
    x: Any
    y: Any


class Wrapper:
    """Its attributes are named like those of what jit makes."""

    fn, map = None, 3

    def __init__(self, fn):
        self.fn, self.dtype, self.training = fn, "f", True

    def __call__(self, x):
        return 2.0 * self.fn(x)


class Methods:
    def __init__(self, w):
        self.w = Value(w)

    square = jit(lambda self, x: x * x * self.w)
    cube = jit(lambda self, x: x * x * x * self.w)

    @jit
    def __hidden(self, x):
        return x + self.w

    def shown(self, x):
        return self.__hidden(x)

    @jit
    @staticmethod
    def twice(x):
        return x * 2.0


def test_a_compiled_function_called_while_another_is_recorded_stays_open():
    w = Value(3.0)
    inner = jit(lambda x: w * x)
    assert inner(2.0) == 6.0 == inner(2.0)
    outer = jit(lambda y: inner(2.0) * y)
    assert outer(1.0) == 6.0 and outer.parameters == [w]
    w.data = 5.0
    assert outer(1.0) == 10.0 and outer.backward([1.0]) == 10.0 and w.grad == 2.0


def test_what_is_compiled_keeps_its_attributes_to_itself():
    f = jit(Wrapper(lambda x: x + 1.0))
    assert f(3.0) == 8.0 and f.map([3.0]).tolist() == [8.0] and f.dtype == np.float64
    assert jit(jit(lambda x: x), dtype=np.float32).map(np.ones(1)).dtype == np.float32


def test_methods_of_one_class_keep_apart():
    it = Methods(2.0)
    square = it.square
    assert (square(3.0), it.cube(3.0), it.shown(3.0), it.twice(3.0), Methods.twice(3.0)) == (18.0, 54.0, 5.0, 6.0, 6.0)
    assert it.square is square and it.square.recorded
    other = copy.copy(it)
    other.w = Value(1.0)
    assert (other.square(3.0), other.shown(3.0)) == (9.0, 4.0) and it.square(3.0) == 18.0
    again = pickle.loads(pickle.dumps(it))
    assert (again.square(3.0), again.cube(3.0), again.shown(3.0)) == (18.0, 54.0, 5.0)
    assert again.square.parameters == [again.w]


def test_deep_copies_of_functions_over_wrt_work():
    f = copy.deepcopy(jit(lambda x: W * x, wrt=[W]))
    assert f(2.0) == 6.0 and f.parameters == [W]
    model = mg.MLP(2, [1], seed=0)
    f = jit(model, wrt=model.parameters())
    g = copy.deepcopy(f)
    g.parameters[-1].data += 1.0
    assert g([1.0, 2.0]) == f([1.0, 2.0]) + 1.0


def test_named_tuples_stay_named():
    f = jit(lambda p: Pair(p.x * p.y, [p.y]))
    assert f(Pair(2.0, 3.0)) == Pair(6.0, [3.0]) == f(Pair(2.0, 3.0))
    g = jit(lambda x: Pair(x, x * 2.0))
    assert [type(g(1.0)), type(g(1.0)), type(g.map([1.0]))] == [Pair] * 3 and g(1.0).y == 2.0


def test_tuples_of_arrays_and_numbers_come_back_from_every_call():
    f = jit(lambda x: (np.array([x * W, x]), x * x))
    for _ in range(3):
        array, number = f(1.5)
        assert array.tolist() == [4.5, 1.5] and number == 2.25


def test_integers_that_no_array_holds_are_numbers():
    assert jit(lambda x: x * 2.0)(10**20) == 2e20


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: jit(lambda x, s: x).map([1.0], "a"), "argument 1 needs a leading axis of samples, got 'a': use in_axes=None"),
        (lambda: jit(lambda x, s: x).map([1.0], None), "argument 1 needs a leading axis of samples, got None"),
        (lambda: jit(lambda x: x).map([[1.0, 2.0], [1.0]]), "argument 0 must have rows of one length"),
    ],
)
def test_arguments_that_hold_no_samples_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_wrt_is_not_a_model():
    with pytest.raises(TypeError, match=r"got MLP of .*pass its \.parameters\(\)"):
        jit(lambda x: x, wrt=mg.MLP(2, [1]))


@pytest.mark.parametrize("precision", ["fast", "exact"])
@pytest.mark.parametrize("n", [3, 20, 300])
def test_a_deep_chain_is_compiled(precision, n):
    """Some 4,000 rows lie apart from each other, and the gradient is one sum of 1,000 products for each sample."""
    w = Value(3.0)

    def chain(x):
        for _ in range(1000):
            x = mg.tanh(w * x)
        return x

    X = np.linspace(0.1, 0.5, n)
    found = jit(chain, wrt=[w], precision=precision).value_and_grad([3.0], X)
    value, gradient = jit(chain, wrt=[w], backend="reference").value_and_grad([3.0], X)
    if precision == "exact":
        assert found == (value, gradient)
    assert found == (pytest.approx(value, rel=1e-12, abs=1e-13), pytest.approx(gradient, rel=1e-11))


def test_methods_are_compiled_for_each_object():
    low, high, raised = Line(2.0), Line(3.0), Raised(4.0)
    assert [line.at(2.0) for line in (low, high, raised)] == [4.0, 6.0, 18.0]
    assert low.at is low.at and low.at is not high.at and raised.at.map([1.0, 2.0]).tolist() == [14.0, 18.0]
    assert high.at.backward([5.0]) == 15.0 and high.slope.grad == 5.0
    assert raised.at.parameters == [raised.slope] and raised.state_dict() == {"slope": 4.0}
    assert Line.at.__doc__ == "The line at x." and repr(low.at) == "jit(Line.at)"

    class Slotted:
        __slots__ = ()
        at = Line.at

    with pytest.raises(TypeError, match="Slotted has __slots__"):
        Slotted().at(1.0)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_what_has_compiled_methods_can_be_copied(again):
    for line, found in ((Line(2.0), 10.0), (Raised(2.0), 20.0)):
        assert line.at(1.0) == found - 8.0
        other = again(line)
        other.slope.data = 10.0
        assert other.at(1.0) == found and line.at(1.0) == found - 8.0
        assert other.at.parameters == [other.slope]
    assert again(line.at)(1.0) == 12.0 and pickle.loads(pickle.dumps(squared)) is squared and again(squared)(3.0) == 9.0


def test_pickle_keeps_the_function_and_a_file_keeps_the_tape(tmp_path):
    f = jit(line)
    assert f(2.0) == 7.0
    assert pickle.loads(pickle.dumps(f))(2.0) == 7.0
    with pytest.raises(ValueError, match="recorded nothing"):
        save(jit(line), tmp_path / "nothing.npz")

    model = mg.MLP(2, [3, 2], activation="tanh", seed=0)
    g = jit(lambda x, t: mg.cross_entropy(model(x), t) if x[0] > 0.0 else {"a": x[1]}["a"] * 1.0)
    X, t = np.array([[1.0, 2.0], [-1.0, 0.5], [0.5, -2.0]]), np.array([0, 1, 1])
    expected, (v, gradient) = g.map(X, t), g.value_and_grad([p.data for p in model.parameters()], X, t)
    path = tmp_path / "compiled.npz"
    save(g, path)
    h = load(path)
    assert h.map(X, t).tolist() == expected.tolist()
    assert [p.data for p in h.parameters] == [p.data for p in g.parameters] and h.parameters[0].label == g.parameters[0].label
    v2, gradient2 = h.value_and_grad(h.theta(), X, t)
    assert v2 == v and gradient2.tolist() == gradient.tolist()
    with pytest.raises(RuntimeError, match="read from a file"):
        h.map(np.ones((2, 3)), t[:2])


def test_damaged_and_foreign_files_are_refused(tmp_path):
    f = jit(line)
    f(1.0)
    path = tmp_path / "f.npz"
    save(f, path)
    whole = path.read_bytes()
    bad = tmp_path / "bad.npz"
    for data in (b"", b"hello", whole[: len(whole) // 2], whole[:100] + b"\0" * 20 + whole[120:]):
        bad.write_bytes(data)
        with pytest.raises(ValueError, match="holds no compiled function"):
            load(bad)
    np.savez(bad, names=np.array(["a"]), data=np.array([1.0]))
    with pytest.raises(ValueError, match="holds no compiled function"):
        load(bad)
    with np.load(path) as file:
        arrays = dict(file)
    arrays["tape0_operands"] = arrays["tape0_operands"] + 100
    np.savez(bad, **arrays)
    with pytest.raises(ValueError, match="operands that it cannot have"):
        load(bad)


def test_tapes_print_readably():
    f = jit(line)
    f(1.0)
    (paths,) = f.recorded.values()
    assert str(paths[0].tape).splitlines() == [
        "tape of 1 inputs, 1 leaves, 1 instructions",
        "  %0 = dot(p0, x0, 1.0)",
        "  return %0",
    ]
    assert "vector instructions" in f.schedule(2.0, in_axes=None)


def test_branches_are_decided_by_theta_and_not_by_what_the_parameters_hold():
    w = Value(1.0)
    f = jit(lambda x: w * x if w > 0 else -w * x, backend="reference")
    for theta in ([1.0], [-1.0], [2.0], [-3.0]):
        value, gradient = f.value_and_grad(theta, [2.0])
        assert (value, gradient.tolist()) == (abs(theta[0]) * 2.0, [math.copysign(2.0, theta[0])])
    assert w.data == 1.0


@pytest.mark.parametrize("listed", [True, False])
def test_training_through_branches_is_what_the_engine_does(listed):
    """A leaky unit whose branch changes as it learns, and a parameter that only a later path has."""

    def run(step_of):
        w, v = Value(1.0), Value(5.0)
        optimiser = mg.SGD([w, v] if listed else [w], lr=0.1, weight_decay=0.5)
        step_of(lambda x: w * x if x > 0 else v * x * w, optimiser, [[1.0, 2.0], [1.0, -2.0], [-1.0, -2.0]])
        return w.data, v.data

    def eager(function, optimiser, batches):
        for xs in batches:
            optimiser.zero_grad()
            (mg.sum(function(Value(x)) for x in xs) / len(xs)).backward()
            optimiser.step()

    def compiled(function, optimiser, batches):
        with jit(function, backend="reference").training(optimiser) as step:
            for xs in batches:
                step(np.array(xs))

    assert np.allclose(run(compiled), run(eager), rtol=1e-14)


def test_theta_that_is_too_short_for_a_path_met_now_is_refused():
    w, v = Value(2.0), Value(3.0)
    f = jit(lambda x: w * x if x > 0 else v * x)
    assert f.value_and_grad([2.0], [1.0])[0] == 2.0
    with pytest.raises(ValueError, match="theta has 1 numbers, and these samples"):
        f.value_and_grad([2.0], [1.0, -1.0])


def test_lookups_are_checked_for_the_samples_whose_path_looks_up():
    f = jit(lambda x, i: mg.take([10.0, 20.0, 30.0], i) * x if x > 0 else x * 1)
    assert f.map([-1.0, 1.0], [7, 2]).tolist() == [-1.0, 30.0]
    for wrong in (7, 3, -1):
        with pytest.raises(IndexError, match=f"from 0 to 2, got {wrong}"):
            f.map([-1.0, 1.0], [0, wrong])
    two = jit(lambda x, i, j: mg.take([1.0, 2.0], i) * mg.take([1.0, 2.0], j) * x if x > 0 else x * 1)
    assert two.map([-1.0, 1.0], [7, 1], [0, 1]).tolist() == [-1.0, 4.0]
    for wrong in ((0, 7), (7, 0)):
        with pytest.raises(IndexError, match="from 0 to 1, got 7"):
            two.map([1.0], *[[i] for i in wrong])
    g = jit(lambda x, i: mg.take([10.0, 20.0, 30.0], i) * x if i < 3 else x * 1)
    assert g.map([1.0, 1.0], [0, 5]).tolist() == [10.0, 1.0]


def test_a_compiled_function_inside_another_is_the_function_itself():
    w, cell = Value(3.0), [None]
    inner = jit(lambda y: cell[0] * y * w)

    def outer(x):
        cell[0] = x
        return inner(2.0)

    f = jit(outer)
    assert [f(x) for x in (1.0, 2.0)] == [6.0, 12.0] and f.parameters == [w]
    for call in (lambda x: inner.map([1.0]), lambda x: inner.backward([1.0]), lambda x: inner.value_and_grad([1.0], [1.0])):
        with pytest.raises(TypeError, match="another function is being recorded"):
            jit(call)(1.0)


def test_wrt_lists_leaves_once_and_takes_a_single_one():
    a, b = Value(2.0), Value(3.0)
    f = jit(lambda x: a * x + b, wrt=[a, b, a])
    assert f(1.0) == 5.0 and f.parameters == [a, b]
    assert jit(lambda x: a * x, wrt=a).value_and_grad([5.0], [1.0])[0] == 5.0
    for wrong in ([a * 3], [1.0]):
        with pytest.raises(TypeError, match="leaves"):
            jit(lambda x: a * x, wrt=wrong)
    with pytest.raises(TypeError, match="wrt lists the parameters of a function, got 3: pass a list of Values"):
        jit(lambda x: a * x, wrt=3)


@pytest.mark.parametrize("theta", [{"a": 1.0}, [1j], [[1.0], [1.0, 2.0]], ["a"], np.array([1j])])
def test_a_theta_that_is_no_vector_of_numbers_is_called_by_its_name(theta):
    a = Value(2.0)
    f = jit(lambda x: a * x)
    for call in (lambda: f.value_and_grad(theta, [1.0]), lambda: f(1.0, theta=theta), lambda: f.map([1.0], theta=theta)):
        with pytest.raises((TypeError, ValueError), match="theta must be a flat vector"):
            call()


def test_fractions_are_numbers_and_text_is_part_of_the_structure():
    f = jit(lambda x, how: x * 2.0 if how == "twice" else x + 1.0)
    assert f(Fraction(1, 4), "twice") == 0.5 and f(Fraction(1, 4), "more") == 1.25


def test_training_says_how_it_is_used():
    f = jit(lambda x: x * 2.0)
    with pytest.raises(RuntimeError, match="training is a block"):
        f.training(mg.SGD([Value(1.0)], lr=0.1))([1.0])
    with pytest.raises(TypeError, match="optimiser"):
        f.training([Value(1.0)])
    w = Value(1.0)
    f = jit(lambda x: x * w)
    with f.training(mg.SGD([w], lr=0.1)) as step:
        step([1.0])
    with pytest.raises(RuntimeError, match="training is a block"):
        step([1.0])
    assert w.data == 0.9
    step.sync()
    with f.training(mg.SGD([Value(1.0)], lr=0.1)) as step, pytest.raises(ValueError, match="none of the 1 parameters"):
        step([1.0])


@pytest.mark.parametrize("others", [0, 1])
def test_compiled_functions_see_what_training_has_learnt_so_far(others):
    w, v = Value(1.0), Value(2.0)
    f, g = jit(lambda x: x * w), jit(lambda x: x * w * v)
    with f.training(Adam([v] * others + [w], lr=0.5)) as step:
        for _ in range(3):
            step([1.0])
            assert f(1.0) == f.map([1.0])[0] == g(1.0) / 2.0 == f.backward([1.0]) == w.data < 1.0
        step([1.0])
        assert step.data[-1] == g.theta()[0] == f(1.0)
    assert f(1.0) == w.data and not open_trainings


def test_a_block_inside_a_block_begins_with_what_the_outer_one_has_learnt():
    w = Value(1.0)
    f = jit(lambda x: x * w)
    with f.training(mg.SGD([w], lr=0.25)) as outer:
        outer([1.0])
        with f.training(mg.SGD([w], lr=0.5)) as inner:
            assert inner.data.tolist() == [0.75] and inner([1.0]) == 0.75
    assert not open_trainings


@pytest.mark.parametrize("backend", ["reference", "numpy", None])
def test_anomalies_of_compiled_functions_are_found_where_they_arise(backend):
    w = Value(1.0)
    f = jit(lambda x: mg.log(x * w), backend=backend)
    g = jit(lambda x: mg.sqrt(x * w), backend=backend)
    h = jit(lambda x, i: mg.take([x, 1.0 / x], i), backend=backend)
    X = np.array([3.0, 2.0, 0.0, -1.0])
    calls = [
        (lambda: f(-2.0), r"log\(-2.0\) = nan, at .*test_jit"),
        (lambda: f.map(X), r"log\(0.0\) = -inf, at .*test_jit"),
        (lambda: h.map(X, np.array([0, 1, 1, 0])), r"div\(1.0, 0.0\) = inf"),
        (lambda: f.backward(X), r"log\(0.0\) = -inf"),
        (lambda: g.backward(X[:3]), r"backward through operand 0 of sqrt\(0.0\) = 0.0.*local inf"),
        (lambda: f.value_and_grad(np.array([-1.0]), X[:1]), r"log\(-3.0\) = nan"),
    ]
    for call, _ in calls:
        call()
    w.grad = 0.0
    for call, message in calls:
        with mg.detect_anomaly(), pytest.raises(FloatingPointError, match=message):
            call()
    with mg.detect_anomaly():
        assert f.map(X[:2]).tolist() == pytest.approx(np.log(X[:2]).tolist()) and f(1.0) == 0.0
        with f.training(mg.SGD([w], lr=0.1)) as step, pytest.raises(FloatingPointError, match="log"):
            step(X)
        with pytest.raises(FloatingPointError, match="sum over the samples"):
            jit(lambda x: x * w, backend=backend).backward([1e308] * 600, reduction="sum")
    assert w.data == 1.0 and w.grad == 0.0


def test_theta_of_what_has_not_been_recorded_is_said_to_be_empty():
    f = jit(lambda x: W * x)
    with pytest.raises(ValueError, match=r"theta\(\) is empty until the function has been recorded"):
        f.value_and_grad(f.theta(), [1.0])
    assert f.value_and_grad(f.theta(), [1.0])[0] == 3.0


def test_jit_decorates_with_options_and_class_methods():
    @jit(backend="reference", precision="exact")
    def f(x):
        return x * x

    class Scaled:
        scale = Value(2.0)

        @classmethod
        @jit
        def of(cls, x):
            return cls.scale * x

        @jit
        @classmethod
        def over(cls, x):
            return cls.scale * x

    class Other(Scaled):
        scale = Value(5.0)

    assert f(3.0) == 9.0 and f.backend == "reference"
    for _ in range(2):
        assert Scaled.of(3.0) == 6.0 == Scaled().of(3.0) and Other.of(3.0) == 15.0
        assert Scaled.over(3.0) == 6.0 == Scaled().over(3.0) and Other.over(3.0) == 15.0
    assert Scaled.over is Scaled.over is not Other.over and Other.over.map([1.0, 2.0]).tolist() == [5.0, 10.0]
    assert Other.over.parameters == [Other.scale] and pickle.loads(pickle.dumps(OfClass.over)) is OfClass.over


class OfClass:
    @jit
    @classmethod
    def over(cls, x):
        return x * 2.0

    @classmethod
    @jit(backend="numpy")
    def below(cls, x=1.0):
        return x * 2.0


def test_a_class_method_above_jit_says_what_to_write_where_it_cannot_tell_its_class():
    """Since Python 3.13 classmethod makes a bound method of what it wraps, which knows its class in calls alone."""
    assert OfClass.below(3.0) == 6.0
    if sys.version_info < (3, 13):
        assert OfClass.below.map([1.0]).tolist() == [2.0]
    else:
        for call in (OfClass.below.map, OfClass.below.backward):
            with pytest.raises(TypeError, match="write @jit above @classmethod"):
                call([1.0])


def test_transforms_of_plain_numbers_stay_open_while_recording():
    v = Value(3.0)
    cases = [
        (lambda w: mg.grad(lambda x: x * x * w)(2.0), 12.0),
        (lambda w: mg.value_and_grad(lambda x: x * w)(2.0), (6.0, 3.0)),
        (lambda w: mg.jacobian(lambda x: x[0] * w * x[1])([2.0, 1.0]), [3.0, 6.0]),
        (lambda w: mg.jacobian(lambda x: [x * w, x])(2.0), [3.0, 1.0]),
        (lambda w: mg.vjp(lambda x: x * w, 2.0)[1](1.0)[0], 3.0),
        (lambda w: w * mg.grad(lambda x: x * x)(2.0), 12.0),
        (lambda w: w * mg.grad(lambda x: x * v)(2.0), 9.0),
        (lambda w: mg.hvp(lambda x: x**3 * w, (2.0,), (1.0,)), 36.0),
    ]
    for function, expected in cases:
        assert jit(function, backend="reference")(3.0) == expected


def test_a_file_keeps_the_precision_and_keys_of_every_kind(tmp_path):
    f = jit(lambda x: {(0, 1): mg.exp(x)}, precision="exact")
    expected = f(1.0)
    save(f, str(tmp_path / "f.npz"))
    g = load(str(tmp_path / "f.npz"))
    assert g.precision == "exact" and g(1.0) == expected


def test_classes_take_the_quick_way_and_are_checked_there():
    w = [Value(float(i)) for i in range(3)]
    f = jit(lambda x, i: mg.take([v * x[0] for v in w], i) * x[1], wrt=w)
    X, i = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([2, 1])
    for _ in range(3):
        assert f.value_and_grad([1.0, 2.0, 3.0], X, i, reduction="sum")[1].tolist() == [0.0, 12.0, 2.0]
    for bad in (-1, 3):
        with pytest.raises(IndexError, match=f"from 0 to 2, got {bad}"):
            f.value_and_grad([1.0, 2.0, 3.0], X, np.array([0, bad]))


rate = 2.0


@pytest.mark.parametrize("backend", ["llvm", "numpy", "reference"])
def test_a_map_like_the_latest_takes_the_quick_way_and_no_other_does(backend, monkeypatch):
    """Its results are those of a function that was never called; what has changed, or is called otherwise, is found out."""
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    w = [Value(float(i)) for i in range(3)]

    def function(x, i, k=1.0):
        return {"a": mg.take([v * x[0] for v in w], i) * rate, "b": [x[1], x[0] * k], "c": (x[0] + w[1],)}

    def fresh(*args, **named):
        return jit(function, backend=backend).map(*args, **named)

    def same(a, b):
        return all(np.array_equal(p, q) for p, q in zip([a["a"], a["b"], *a["c"]], [b["a"], b["b"], *b["c"]], strict=True))

    f, X, i = jit(function, backend=backend), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, -1.0]]), np.array([2, 1, 0])
    taken = []

    def call(*args, **named):
        quick = f._calls.mapped
        taken.append(quick is not None and not named and quick(args, 0) is not None)
        return f.map(*args, **named)

    for change in (lambda: None, lambda: setattr(w[1], "data", 7.0), lambda: X.__setitem__((0, 0), 9.0), lambda: i.fill(1)):
        change()
        assert same(call(X, i), fresh(X, i))
    assert taken == [False, True, True, True]
    monkeypatch.setitem(globals(), "rate", 5.0)
    assert same(call(X, i), fresh(X, i)) and not taken.pop()
    assert same(call(X, i), fresh(X, i)) and taken.pop()
    for n in (2, 0):  # of another number of samples
        assert same(call(X[:n], i[:n]), fresh(X[:n], i[:n])) and taken.pop()
    with pytest.raises(ValueError, match="argument 1 has 3 samples, and another argument has 2"):
        call(X[:2], i)
    others = [((X, i), {"k": np.full(3, 3.0)}), ((X.astype(int), i), {}), ((X.tolist(), i), {})]
    for args, named in others:
        assert same(call(*args, **named), fresh(*args, **named)) and not taken.pop()
    assert same(f.map(X, i, theta=[1.0, 2.0, 4.0]), jit(function, w, backend=backend).map(X, i, theta=[1.0, 2.0, 4.0]))
    assert same(f.map(X[:2], i[:2]), fresh(X[:2], i[:2])) and same(f.map(X[:2], i[:2], in_axes=(1, 0)), fresh(X[:2].T, i[:2]))
    with pytest.raises(IndexError, match="from 0 to 2, got 3"):
        call(X[:2], np.array([0, 3]))
    with mg.detect_anomaly(), pytest.raises(FloatingPointError):
        f.map(np.full((2, 2), 1e308), i[:2])
    with pytest.raises(TypeError, match="map gives numbers"):
        jit(lambda x: x * f.map(X[:2], i[:2])["a"][0], backend=backend)(1.0)


@pytest.mark.parametrize("backend", ["llvm", "numpy"])
def test_the_quick_way_of_a_reduced_call_takes_any_number_of_samples(backend):
    """Also from many to few, of which each is summed in its own way; but arrays must have the same number."""
    w, X, y = Value(2.0), np.arange(5000.0).reshape(2500, 2), np.arange(2500.0)
    f = jit(lambda x, t: (x[0] * w - t) * x[1], wrt=[w], backend=backend)
    f.value_and_grad([2.0], X, y)
    for n in (2500, 1, 2, 700, 2500, 3):
        for reduction in ("mean", "sum"):
            found = f._calls.latest.run(np.array([2.0]), (X[:n], y[:n]), {}, reduction, 0)
            value, gradient = jit(f.fn, wrt=[w], backend=backend).value_and_grad([2.0], X[:n], y[:n], reduction=reduction)
            assert np.array_equal(found, [value, *gradient])
    for args in ((X[:2], y[:3]), (X[:2, :1], y[:2]), (X[:0], y[:0]), (X[0, 0], y[:2]), (np.array(1.0), y[0])):
        assert f._calls.latest.run(np.array([2.0]), args, {}, "sum", 0) is None


def test_what_is_not_like_the_latest_call_does_not_take_the_quick_way():
    """Another theta, other axes, an argument by name: of arrays just like those of the call before."""
    w, X = Value(2.0), np.array([[1.0, 2.0], [3.0, 5.0]])
    f = jit(lambda x, k=1.0: (x[0] if k == 1.0 else x[1] * k) * w, wrt=[w], backend="llvm")
    first = f.value_and_grad([2.0], X)
    for _ in range(2):
        assert f.value_and_grad([2.0], X) == first == (4.0, [2.0])
        assert f.value_and_grad([2.0], X, k=np.array([2.0, 3.0]))[0] == 19.0
        with pytest.raises(ValueError, match="flat vector of the 1"):
            f.value_and_grad([2.0, 3.0], X)
    with f.training(mg.SGD([w], lr=0.0)) as step:
        assert [step(X), step(X), step(X, k=np.array([2.0, 3.0])), step(X)] == [4.0, 4.0, 19.0, 4.0]
    g = jit(lambda x: mg.sum(x.ravel()) * w, wrt=[w], backend="llvm")
    for axes, expected in ((0, 11.0), (0, 11.0), (None, 22.0), (0, 11.0), ((None,), 22.0)):
        assert g.value_and_grad([2.0], X, in_axes=axes)[0] == expected
    g.value_and_grad([2.0], X)
    with pytest.raises(TypeError, match="in_axes must be"):
        g.value_and_grad([2.0], X, in_axes=False)


def test_integers_that_no_array_holds_do_not_take_the_quick_way():
    f = jit(lambda x, i: mg.take([x, 2.0 * x], i), backend="llvm")
    g = jit(lambda i: i * 0.5, backend="llvm")
    for _ in range(2):
        assert f(3.0, 1) == 6.0 and g(7) == 3.5 and g(2**70) == 2.0**69
    with pytest.raises(TypeError, match="is no index"):
        f(3.0, 2**70)
    with pytest.raises(TypeError, match=r"use take\(values, i\) with an int, in jit an argument, as 1 and not 1\.0"):
        f(3.0, 1.0)


@pytest.mark.parametrize("branch", [
    lambda x, w: x < w, lambda x, w: x <= w, lambda x, w: x > w, lambda x, w: x >= w, lambda x, w: x == w, lambda x, w: x != w,
])  # fmt: skip
@pytest.mark.parametrize("first", [0.0, 1.0, 2.0])
def test_single_calls_take_the_branch_that_python_takes(branch, first):
    w = Value(1.0)

    def f(x):
        y = (x * 2.0, w) if branch(x, w) else (x, x * 3.0)
        return y if x > -1.0 else (x - w, x)

    compiled = jit(f)
    for x in (first, first, 0.0, math.nan, 1.0, -2.0, 2.0, first):
        found = compiled(x)
        expected = tuple(v.data for v in f(Value(x)))
        assert found == expected or (math.isnan(x) and repr(found) == repr(expected))
    w.data = 2.0
    assert compiled(2.0) == tuple(v.data for v in f(Value(2.0))) and compiled(1.5) == tuple(v.data for v in f(Value(1.5)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_call_just_like_the_latest_gives_what_the_first_one_gave(dtype):
    def f(xs, pair, array, x):
        grown = x * 2.0 if x > 1.0 else x * 3.0
        return {
            "sum": mg.sum([a * b for a, b in zip(xs, array.ravel(), strict=True)]) + grown,
            "pair": [pair[1], pair[0]],
        }, array

    fast = jit(f, backend="llvm", dtype=dtype)
    for scale in (1.0, 0.25, 8.0):  # whose comparison goes this way, that way and this way again
        array = np.arange(4.0).reshape(2, 2).T * scale  # not in the order of memory
        arguments = [0.5, 1.5, scale, 2.0], (scale, 3.0), array, 2.0 * scale
        first = jit(f, backend="reference")(*arguments)
        for _ in range(3):
            got = fast(*arguments)
            assert got[0] == first[0] and got[1].tolist() == first[1].tolist() and got[1].dtype == np.float64
    # a list that is like the latest but for a number's kind, or its length, is another structure
    double = jit(lambda xs: [2 * x for x in xs] if len(xs) < 3 else xs[0] + xs[1] * xs[2], backend="llvm")
    assert [double(x) for x in ([1.0, 2.0], [3.0, 4.0], [1, 2.0], [True, 2.0], [1.0, 2.0])] == [
        [2.0, 4.0], [6.0, 8.0], [2.0, 4.0], [2, 4.0], [2.0, 4.0],
    ]  # fmt: skip
    assert [double(x) for x in ([1.0, 2.0, 3.0], [0, 2.0, 3.0], [1.0, 2.0, 3.0, 9.0])] == [7.0, 6.0, 7.0]
    got = double([Value(1.0), 2.0])
    assert isinstance(got[0], Value) and got[1] == 4.0
    w = Value(1.0)
    scaled = jit(lambda xs: mg.dot(xs, [w, w]), backend="llvm")
    before = scaled([1.0, 2.0]), scaled([1.0, 2.0])
    w.data = 10.0
    assert (*before, scaled([1.0, 2.0])) == (3.0, 3.0, 30.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_arrays_of_other_kinds_are_not_taken_for_the_latest(dtype):
    """Neither where the numbers are the same, nor where they are none."""
    w = Value(2.0)
    f = jit(lambda x: x[0] * w + x[1], wrt=[w], backend="llvm", dtype=dtype)
    X = np.arange(6.0).reshape(3, 2)
    for kind in (np.float64, np.float32, np.int64, np.float32, np.float64, ">f8", np.float16):
        value, gradient = f.value_and_grad([2.0], X.astype(kind))
        assert (value, gradient.tolist(), f(X[1].astype(kind))) == (7.0, [2.0], 7.0)
    for call in (lambda x: f.value_and_grad([2.0], x), lambda x: f(x[1])):
        for wrong in (X.astype(complex), X.astype("m8[s]"), X.astype(str)):
            call(X)
            with pytest.raises((TypeError, ValueError), match="argument 0"):
                call(wrong)


@pytest.mark.parametrize("transform", [
    lambda f: mg.hessian(lambda x: mg.sum(f(x)), sparse=True), lambda f: mg.jacobian(f, sparse=True, mode="forward"),
    lambda f: mg.jacobian(f, sparse=True, mode="reverse"),
])  # fmt: skip
def test_sparse_matrices_have_the_pattern_of_the_graph_in_compiled_code(transform, tmp_path):
    def f(x):
        return [x[0] * x[3] ** 2, mg.sin(x[1]) + 5 * x[2], x[4] * 0.0, x[0] / 3.0]

    x = np.array([1.0, 2.0, 3.0, 0.0, 4.0])
    expected = transform(f)(x)
    compiled = jit(transform(f), backend="llvm", precision="exact")
    compiled(x)
    save(compiled, str(tmp_path / "f.npz"))
    for found in (compiled(x), compiled(x), load(str(tmp_path / "f.npz"))(x), compiled.map(np.stack([x + 1.0, x]))[1]):
        assert type(found) is type(expected) and found.shape == expected.shape and found.has_canonical_format
        for name in ("data", "indices", "indptr"):
            assert np.array_equal(getattr(found, name), getattr(expected, name))
        assert np.array_equal((found @ np.ones(5)), expected @ np.ones(5))
        found.data[:] = 7.0
        found.indices[:] = 0  # one's own: the next call has the pattern again
    with np.load(tmp_path / "f.npz") as file:
        arrays = dict(file)
    arrays["about"] = np.array(str(arrays["about"]).replace(f", {expected.indices.tolist()}", f", {[99] * expected.nnz}"))
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match="holds no compiled function"):
        load(str(tmp_path / "bad.npz"))


@pytest.mark.parametrize("backend", sorted(NAMES))
def test_a_matrix_without_entries_is_a_result(backend, tmp_path):
    for f in (lambda x: 3.0 * x[0] + x[1], lambda x: 0.0):
        compiled = jit(mg.hessian(f, sparse=True), backend=backend)
        for found in (compiled(np.ones(2)), compiled(np.ones(2)), *compiled.map(np.ones((3, 2)))):
            assert found.format == "csr" and found.shape == (2, 2) and found.nnz == 0
        save(compiled, str(tmp_path / "f.npz"))
        assert load(str(tmp_path / "f.npz"))(np.ones(2)).nnz == 0
    assert jit(lambda x: (x[:0], "none"), backend=backend)(np.ones(2))[0].shape == (0,)
    empty = jit(lambda x: {"none": [], "no": ()}, backend=backend)
    for _ in range(2):
        assert empty(1.0) == {"none": [], "no": ()} == empty.map(np.ones(3))
    for nothing in (None, "text"):
        with pytest.raises(TypeError, match="returned no number"):
            jit(lambda x, out=nothing: out, backend=backend)(1.0)


def several(leaves, bends):
    """A function of several results, in structures, of which one bends where x changes its sign."""
    a, b, c = leaves

    def f(x):
        y = a * x + mg.tanh(b * x)
        z = (c * x * x if x > 0.0 else a + x) if bends else mg.maximum(c * x, b)
        return {"pair": [y, y * z], "one": z, "array": np.array([[x, y, c * 2.0]], object), "name": "f"}

    return f


@pytest.mark.parametrize("bends", [False, True])
@pytest.mark.parametrize("backend", sorted(NAMES))
def test_each_of_several_results_is_summed_over_samples_with_its_gradient(backend, bends, tmp_path):
    leaves = [Value(0.5), Value(-1.0), Value(2.0)]
    theta, xs = [p.data for p in leaves], np.random.default_rng(0).normal(size=700)
    exact = "fast" if backend == "numpy" else "exact"
    f = jit(several(leaves, bends), wrt=leaves, backend=backend, precision=exact)
    value, gradient = f.value_and_grad(theta, xs)
    assert value["pair"].shape == (2,) and gradient["pair"].shape == (2, 3) and gradient["array"].shape == (1, 3, 3)
    assert type(value["one"]) is float and gradient["one"].shape == (3,) and value["name"] == gradient["name"] == "f"
    parts = {"one": lambda out: out["one"], **{i: lambda out, i=i: out["pair"][i] for i in (0, 1)}}
    for name, part in parts.items():  # as if it had been alone
        v, g = (value["one"], gradient["one"]) if name == "one" else (value["pair"][name], gradient["pair"][name])
        alone = jit(lambda x, part=part: part(several(leaves, bends)(x)), wrt=leaves, backend=backend, precision=exact)
        expected = alone.value_and_grad(theta, xs)
        if exact == "exact":
            assert v == expected[0] and np.array_equal(g, expected[1])
        np.testing.assert_allclose([v, *g], [expected[0], *expected[1]], rtol=1e-12, atol=1e-15)
    _, by_total = f.value_and_grad(theta, xs, reduction="sum")
    np.testing.assert_allclose(by_total["array"] / 700, gradient["array"], rtol=1e-14)
    save(f, str(tmp_path / "f.npz"))
    for again in (f, load(str(tmp_path / "f.npz"), backend)):
        found, by = again.value_and_grad(theta, xs)
        np.testing.assert_allclose(by["pair"], gradient["pair"], rtol=1e-13)
        assert found["one"] == pytest.approx(value["one"], rel=1e-14)
    for refused in (
        lambda: f.backward(xs),
        lambda: step(xs),
        lambda: jit(several(leaves, bends), backend=backend).backward(xs),
    ):
        with f.training(SGD(leaves, lr=0.1)) as step, pytest.raises(TypeError, match="one number, got 6: return their sum, or"):
            refused()


def test_a_mean_of_several_results_is_what_jacobian_says():
    model, x = mg.MLP(2, [3, 2], activation="tanh", seed=3), np.random.default_rng(1).normal(size=(9, 2))
    parameters = model.parameters()
    f = jit(lambda x: model(x), wrt=parameters)
    value, gradient = f.value_and_grad(f.theta(), x)
    rows = [mg.sum([model(row)[k] for row in x]) / 9 for k in (0, 1)]
    np.testing.assert_allclose(value, [row.data for row in rows], rtol=1e-13)
    np.testing.assert_allclose(gradient, [mg.gradients(row, parameters) for row in rows], rtol=1e-11, atol=1e-15)
    assert np.array_equal(f.value_and_grad(f.theta(), x)[1], gradient)
    late = Value(2.0)
    g = jit(lambda x: [x * late if x > 0.0 else x, x])
    with pytest.raises(ValueError, match=r"theta has 0 numbers.*now 1"):
        g.value_and_grad([], [-1.0, 1.0])
    assert g.value_and_grad([2.0], [-1.0, 3.0])[1].tolist() == [[1.5], [0.0]]


def test_no_graph_is_held_while_its_tape_is_rewritten(monkeypatch):
    """Both together would take twice the memory; and a graph of adjoints has each of its constants once."""
    import gc

    from micrograd.tape.recording import recordings

    w, found, rewrite = Value(0.3), [], recordings.optimised

    def values():
        return [v for v in gc.get_objects() if isinstance(v, Value)]

    def optimised(tape, exact):
        found.append(len(values()))
        return rewrite(tape, exact)

    def grows(z):
        for _ in range(100):
            z = z + 0.1 * z
        return z * w

    def run(x):
        found.append(sum(v.is_constant for v in values()))
        dy = mg.grad(grows)(x)
        found.append(sum(v.is_constant for v in values()))
        return dy

    monkeypatch.setattr(recordings, "optimised", optimised)
    before = len(values())
    jit(run).value_and_grad([0.3], np.array([0.5]))
    assert found[-1] - before < 20
    assert found[1] - found[0] < 20


@pytest.mark.parametrize("kinds", [(int, np.int64), (int, np.uint8), (float, np.float64)])
def test_calls_on_integers_find_the_quick_way_and_look_at_indices(kinds):
    number, dtype = kinds
    table = [Value(5.0), Value(7.0), Value(11.0)]

    def f(x, i, k):
        return mg.take(table, i) * x[0] + x[1] * k if number is int else table[1] * x[0] + x[1] * k

    compiled = jit(f, backend="llvm")
    for shift in (0, 0, 1):
        x = np.array([2, 3 + shift], dtype)
        assert compiled(x, 1, number(4)) == 14.0 + 4.0 * (3 + shift)
    ((quick, _),) = compiled._calls.quick
    assert quick((np.array([2, 3], dtype), 2, number(4))) == (34.0 if number is int else 26.0)
    assert quick((np.array([2, 3, 4], dtype), 2, number(4))) is None
    if number is int:
        for call in (compiled, lambda *args: quick(args)):
            with pytest.raises(IndexError, match="from 0 to 2, got 3"):
                call(np.array([2, 3], dtype), 3, 4)
        assert compiled(np.array([2, 3], dtype), 1, 1 << 70) == 14.0 + 3.0 * 2.0**70


@pytest.mark.parametrize("backend", ["reference", "numpy", "llvm"])
@pytest.mark.parametrize("first", [0.25, np.float64(0.25)])
def test_numbers_of_numpy_take_the_quick_way_of_floats(backend, first, monkeypatch):
    """And floats that of NumPy's: whichever came first."""
    w = Value(3.0)
    f = jit(lambda x, y: [w * x, x - y], backend=backend)
    assert f(first, 2.0) == [0.75, -1.75]
    monkeypatch.setattr("micrograd.tape.calling.calls.Call", None)  # arguments are not taken apart any more
    for x in (0.5, np.float64(0.5)):
        found = f(x, 2.0)
        assert found == [1.5, -1.5] and [*map(type, found)] == [float, float]
    monkeypatch.undo()
    for number in (np.float32(0.5), np.array(0.5)):
        assert f(number, 2.0) == [1.5, -1.5]


@pytest.mark.parametrize("backend", ["reference", "numpy", "llvm"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_every_back_end_finds_the_quick_way_of_sums(backend, reduction, monkeypatch):
    w, b = Value(2.0), Value(-1.0)
    f = jit(lambda x, t: (mg.where(x[0] - x[1], w * x[0], b) - t) ** 2, wrt=[w, b], backend=backend)
    rng = np.random.default_rng(0)
    X, t = rng.normal(size=(5, 2)), rng.normal(size=5)
    first = f.value_and_grad([2.0, -1.0], X, t, reduction=reduction)
    monkeypatch.setattr("micrograd.tape.calling.calls.Call", None)  # arguments are not taken apart any more
    again = f.value_and_grad([2.0, -1.0], X, t, reduction=reduction)
    assert first[0] == again[0] and first[1].tolist() == again[1].tolist()
    assert f.backward(X, t, reduction=reduction) == first[0] and [w.grad, b.grad] == first[1].tolist()
    with f.training(mg.SGD([w, b], lr=0.0), reduction=reduction) as step:
        with pytest.raises(TypeError):
            step(X, t)  # which learns the order of parameters
        monkeypatch.undo()
        assert step(X, t) == first[0]
        monkeypatch.setattr("micrograd.tape.calling.calls.Call", None)
        assert step(X, t) == first[0]


@pytest.mark.parametrize("compares", [False, True])
@pytest.mark.parametrize("backend", [None, "numpy", "reference"])
def test_calls_like_the_latest_go_straight_to_the_program_of_every_back_end(backend, compares, monkeypatch):
    """The long way is the oracle: it is taken when a call is the first of its kind, and no more after."""
    w, table = Value(2.0), [Value(3.0), Value(5.0)]

    def function(x, k, xs, i, array, named):
        y = x * w + sum(xs) if compares and x > k else x - w
        z = named["a"] * (y if compares else mg.take(table, i)) - named["b"]
        return {"y": z * w, "all": array * y, "one": [mg.where(y, mg.log(x), x)]}

    samples = ((2.0, 0), (0.25, 1), (3.0, 1), (-1.0, 0))
    cases = [(x, 0.5, [1.0, x], i, np.array([[1.0, x], [i, 2.0]]), {"a": x, "b": 1.5}) for x, i in samples]
    compiled = jit(function, backend=backend)
    for _ in range(2):
        for case in cases:
            compiled(*case)
    long = []
    one = compiled._calls.one
    monkeypatch.setattr(compiled._calls, "one", lambda *args: long.append(args) or one(*args))
    for held in (2.0, -7.0):
        w.data = held
        for case in cases:
            found, expected = compiled(*case), jit(function, backend=backend)(*case)
            assert repr(found) == repr(expected)
    assert not long
    for others in ({"b": 1.5, "a": 2.0}, {"a": 2.0}, {"a": 2.0, "b": 1.5, "c": 0.0}, {"a": 1, "b": 1.5}):
        with pytest.raises(KeyError) if len(others) == 1 else nullcontext():
            compiled(*cases[0][:5], others)
    assert len(long) == 4


def test_an_array_of_objects_is_looked_at_in_every_call():
    """After a map of one that held numbers, a None in the next became nan, and a str an error of NumPy's."""
    w = Value(2.0)
    f = jit(lambda x: w * x * x)
    numbers, theta = np.array([1.0, 2], dtype=object), np.array([2.0])
    calls = (f.map, f.backward, lambda x: f.value_and_grad(theta, x))
    for wrong in (None, "a"):
        for call in calls:
            call(numbers), call(numbers)
            with pytest.raises(TypeError, match=r"argument 0 (is an array with missing entries|must be made of real numbers)"):
                call(np.array([1.0, wrong], dtype=object))


@pytest.mark.parametrize("x", [0.5, 1])
@pytest.mark.parametrize("block", [mg.no_grad, mg.detect_anomaly])
def test_derivatives_recorded_inside_a_block_are_those_recorded_outside(x, block):
    """Inside no_grad() their partials became numbers of the first call; detect_anomaly() refused the nan of an integer's."""
    w = Value(1.5)

    def function(x):
        return mg.tanh(x * w) * 0.25

    def found(f):
        return f.value_and_grad([0.75], [x + 1]), f(Value(x + 1.0)).partials

    f = jit(function, [w], backend="numpy")
    with block():
        f.value_and_grad([1.5], [x]), f(Value(x * 1.0))
    assert repr(found(f)) == repr(found(jit(function, [w], backend="numpy")))
