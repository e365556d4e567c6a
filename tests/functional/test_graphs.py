"""Gradients of graphs in the structure of their Values, what stops gradients, and hooks that are told of them."""

import copy
import pickle

import numpy as np
import pytest

import micrograd as mg
from micrograd import MLP, Value, grad, gradients, hessian, jit, stop_gradient


def test_gradients_come_in_the_structure_of_the_values_and_change_nothing():
    model = MLP(2, [3, 1], seed=0)
    loss = (model([1.0, -2.0]) - 1.0) ** 2
    loss.backward()
    expected = [p.grad for p in model.parameters()]
    assert gradients(loss, model.parameters()) == expected == [p.grad for p in model.parameters()]
    a, b = Value(2.0), Value(3.0)
    out = a * a * b
    nested = gradients(out, {"a": a, "rest": (b, [Value(1.0)])})
    assert nested == {"a": 12.0, "rest": (4.0, [0.0])} and gradients(out, a) == 12.0 and gradients(out, []) == []
    array = gradients(out, np.array([[a], [b]]))
    assert array.dtype == float and array.tolist() == [[12.0], [4.0]]
    first = gradients(out, [a, b], create_graph=True)
    assert gradients(first[0], [a, b]) == [6.0, 4.0]
    for wrong in (2.0, [a, 2.0], mg.constant(1.0)):
        with pytest.raises(TypeError, match="in wrt"):
            gradients(out, wrong)


@pytest.mark.parametrize("backend", [None, "numpy", "reference"])
def test_stop_gradient_keeps_the_number_and_drops_the_derivative(backend):
    f = lambda x: stop_gradient(x * x) * x + stop_gradient({"k": [x]})["k"][0]  # noqa: E731
    assert grad(f)(3.0) == 9.0 and hessian(f)(3.0) == 0.0
    assert jit(f, backend=backend)(3.0) == 30.0 and jit(grad(f), backend=backend)(3.0) == 9.0
    straight_through = grad(lambda x: x + stop_gradient(mg.round(x) - x))
    assert straight_through(0.4) == 1.0
    assert stop_gradient(2.0) == 2.0 and stop_gradient("text") == "text"
    array = stop_gradient(np.array([Value(1.0), Value(2.0)]))
    assert array.shape == (2,) and all(v.is_constant for v in array)


def test_hooks_are_told_of_each_pass_from_the_output_to_the_leaves():
    x, told = Value(3.0), []
    square = x * x
    loss = 2 * square
    x.on_gradient(lambda g: told.append(("x", g)))
    stop = square.on_gradient(lambda g: told.append(("square", g)))
    loss.backward()
    assert told == [("square", 2.0), ("x", 12.0)]
    stop()
    stop()
    loss.backward()
    assert told[2:] == [("x", 12.0)] and x.grad == 24.0  # the adjoint of each pass, while .grad accumulates
    copy.deepcopy(loss).backward()
    assert told[3:] == [("x", 12.0)]
    pickle.loads(pickle.dumps(loss)).backward()
    gradients(loss, x)
    assert len(told) == 4


def test_a_value_may_have_several_hooks_and_one_function_twice():
    x, told = Value(3.0), []
    tell = told.append
    stop, _, _ = [x.on_gradient(hook) for hook in (tell, tell, lambda g: tell(-g))]
    (2 * x).backward()
    stop()
    (2 * x).backward()
    assert told == [2.0, 2.0, -2.0, 2.0, -2.0]


def test_a_hook_that_raises_leaves_all_gradients_set():
    x = Value(3.0)
    x.on_gradient(lambda g: 1 / 0)
    y = x * x
    with pytest.raises(ZeroDivisionError):
        y.backward()
    assert (x.grad, y.grad) == (6.0, 1.0)
    with pytest.raises(TypeError, match=r"needs a function of one number, got float 2\.0"):
        x.on_gradient(2.0)
