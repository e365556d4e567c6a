"""The factors of backpropagation as arrays, and Values by their names."""

import copy

import numpy as np
import pytest

from micrograd import MLP, Layer, Module, Value, constant, mse


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear", lambda z: z * z.sigmoid()])
def test_the_arrays_multiply_to_the_gradients(activation):
    model = copy.deepcopy(MLP(2, [3, 4, 2], activation=activation, seed=1))
    loss = mse([*model([0.5, -1.0])], [1.0, 0.0])
    loss.backward()
    trace = model.trace(loss)
    for layer, after, made in zip(trace, [*trace[1:], None], model.layers, strict=True):
        expected = [[w.grad for w in neuron.w] for neuron in made.neurons]
        np.testing.assert_allclose(np.outer(layer.inputs, layer.delta).T, expected, rtol=1e-15)
        assert list(layer.delta) == [neuron.b.grad for neuron in made.neurons]
        np.testing.assert_allclose(layer.inputs @ layer.W + layer.b, layer.z, rtol=1e-14)
        if after is not None:
            np.testing.assert_allclose(after.W @ after.delta * layer.slope, layer.delta, rtol=1e-12, atol=1e-15)
            assert list(after.inputs) == list(layer.a)


def test_many_calls_and_stacks_of_layers():
    class Stack(Module):
        def __init__(self):
            self.first, self.rest = Layer(2, 3, activation="tanh"), [Layer(3, 1, nonlin=False)]

        def __call__(self, x):
            return self.rest[0](self.first(x))

    stack, samples = Stack(), [[0.5, 1.0], [2.0, -1.0], [1.0, 0.0]]
    loss = mse([stack(x) for x in samples], [1.0, 0.0, 2.0])
    loss.backward()
    trace = stack.trace(loss)
    assert trace[0].z.shape == (3, 3) and trace[1].delta.shape == (3, 1) and trace[0].inputs.tolist() == samples
    np.testing.assert_allclose(
        (trace[0].inputs.T @ trace[0].delta).T, [[w.grad for w in n.w] for n in stack.first.neurons], rtol=1e-14
    )
    assert "mean of 3 calls" in repr(trace)


def test_what_cannot_be_traced_is_said():
    model = MLP(2, [2], seed=1)
    with pytest.raises(TypeError, match="has several outputs"):
        model.trace([1.0, 2.0])
    with pytest.raises(ValueError, match="does not depend on all of"):
        model.trace(Value(2.0) * 3)


def test_every_name_that_is_printed_leads_to_its_value():
    model = MLP(2, [3, 2], activation="tanh", seed=1)
    out = model([0.5, -1.0])
    loss = (out[0] - 1) ** 2 + (out[1] + 1) ** 2
    w = model.layers[0].neurons[1].w[0]
    assert loss["W_12^[1]"] is loss["W_{12}^{[1]}"] is loss["W₁₂⁽¹⁾"] is w and loss["loss"] is loss
    assert loss["z_2^[2]"] is out[1] and loss["a_1^[0]"].data == 0.5
    labels = {node.label for node in loss.draw().graph.values if node is not None and node.label}
    assert all(loss[label].label == label for label in labels)
    unnamed = Value(2.0) * 3 + 1
    assert unnamed["v2"].op == "mul" and "v2" in str(unnamed.explain(unnamed["v1"]))
    with pytest.raises(KeyError, match=r"nothing here is called 'z_9\^\[2\]': there are z_"):
        loss["z_9^[2]"]
    with pytest.raises(TypeError, match="not iterable"):
        iter(loss)
    assert np.array([loss, w]).shape == (2,)


def test_a_constant_is_found_by_the_variable_that_holds_it():
    c, x = constant(3.0), Value(2.0, label="x")
    out = x * c + constant(1.0, "one")
    assert out["c"] is c and out["one"].data == 1.0 and out.find("3") == []


def test_values_of_one_name_are_told_apart():
    model = MLP(2, [2, 1], seed=1)
    both = model([0.5, 1.0]) + model([2.0, 1.0])
    assert both.find("z_1^[2]") == [both["z_1^[2](1)"], both["z_1^[2](2)"]] and both.find("nothing") == []
    with pytest.raises(KeyError, match=r"2 Values are called 'z_1\^\[2\]': take one by z_1\^\[2\]\(1\)"):
        both["z_1^[2]"]
    with pytest.raises(TypeError, match="got int 0"):
        both[0]
