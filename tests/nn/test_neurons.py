"""Networks: the textbook's derivation edge by edge, labels, weights, and what goes in wrong."""

import copy
import io
import math
import pickle
import random
import sys
import threading
import tracemalloc
from collections import deque
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

import micrograd
from micrograd import MLP, Layer, Module, Neuron, Value, adjoints, constant, cross_entropy, jit, no_grad, topological_order
from micrograd import sum as total
from micrograd.nn import Label

# The derivation in the notation of the textbook, in NumPy and independent of the engine. W[i][j, k] leads from neuron j of
# layer i - 1 to neuron k of layer i, b[i][k] is its bias; index 0 of W and b is not used, a[0] is the input.

G = {  # g and g', by name
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "linear": (lambda z: z, np.ones_like),
}


def squared_error(a, y):
    """L = Σ (a - y)², and ∂L/∂a."""
    return ((a - y) ** 2).sum(), 2 * (a - y)


def softmax_cross_entropy(a, t):
    """L = -log softmax(a)[t], and ∂L/∂a."""
    p = np.exp(a - a.max())
    p /= p.sum()
    return -np.log(p[t]), p - (np.arange(len(a)) == t)


def backpropagation(W, b, x, g, g_out, loss):
    """L, z, a, δ and the gradients for W and b: forward layer by layer, then δ from the last layer to the first."""
    last = len(W) - 1
    names = [None, *[g] * (last - 1), g_out]
    z, a = [None] * (last + 1), [x, *[None] * last]
    for i in range(1, last + 1):
        z[i] = a[i - 1] @ W[i] + b[i]
        a[i] = G[names[i]][0](z[i])
    L, dL_da = loss(a[last])
    delta = [None] * (last + 2)
    for i in range(last, 0, -1):
        if i < last:
            dL_da = W[i + 1] @ delta[i + 1]  # Σ_l δ_l^[i+1] W_kl^[i+1]
        delta[i] = dL_da * G[names[i]][1](z[i])
    dW = [None, *(np.outer(a[i - 1], delta[i]) for i in range(1, last + 1))]
    return L, z, a, delta, dW, delta


def close(x, y):
    return np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-13)


SHAPES = [  # inputs, and widths of one to four layers, from 1 to 17
    [1, 1], [3, 17], [2, 5, 1], [17, 1, 3], [4, 7, 2], [2, 3, 2, 3], [1, 16, 16, 1], [3, 1, 1, 2], [2, 4, 3, 5, 2],
    [5, 17, 2, 9, 4],
]  # fmt: skip


@pytest.mark.parametrize("g", G)
@pytest.mark.parametrize("loss", ["squared error", "cross-entropy"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_derivation_edge_by_edge(shape, g, loss):
    nin, *nouts = shape
    last = len(nouts)
    rng = np.random.default_rng(shape)
    # with squared error, g at the output too, as the derivation has it; cross-entropy takes linear outputs
    g_out = g if loss == "squared error" else "linear"
    net = MLP(nin, nouts, activation=g, output=g_out, seed=len(shape))
    for p in net.parameters():
        p.data *= 0.5
        p.data += rng.normal() * 0.1
    x = rng.normal(size=nin)

    outputs = net(list(x))
    outputs = outputs if isinstance(outputs, list) else [outputs]
    if loss == "squared error":
        y = rng.normal(size=nouts[-1])
        L = total([(a - t) ** 2 for a, t in zip(outputs, y, strict=True)])
        reference = lambda a: squared_error(a, y)  # noqa: E731
    else:
        L = cross_entropy(outputs, nouts[-1] - 1)
        reference = lambda a: softmax_cross_entropy(a, nouts[-1] - 1)  # noqa: E731
    L.backward()

    W = [None, *(np.array([[w.data for w in neuron.w] for neuron in layer.neurons]).T for layer in net.layers)]
    b = [None, *(np.array([neuron.b.data for neuron in layer.neurons]) for layer in net.layers)]
    expected, z, a, delta, dW, db = backpropagation(W, b, x, g, g_out, reference)
    close(L.data, expected)

    node = {v.label: v for v in topological_order(L) if v.label}

    def index(*indices):
        return ("," if max(indices) > 9 else "").join(map(str, indices))

    for i in range(1, last + 1):
        for k in range(1, nouts[i - 1] + 1):
            neuron = net.layers[i - 1].neurons[k - 1]
            z_k = node[f"z_{index(k)}^[{i}]"]
            close(z_k.data, z[i][k - 1])
            close(z_k.grad, delta[i][k - 1])  # z_k.grad is δ_k
            close(neuron.b.grad, db[i][k - 1])  # ∂L/∂b_k = δ_k
            # the edges into z_k: ∂z_k/∂W_jk is a_j, ∂z_k/∂a_j is W_jk, ∂z_k/∂b_k is 1
            n = len(neuron.w)
            weights, inputs, bias = z_k.parents[:n], z_k.parents[n : 2 * n], z_k.parents[2 * n]
            assert all(p is q for p, q in zip(weights, neuron.w, strict=True)) and bias is neuron.b
            close(z_k.partials[:n], a[i - 1])
            close(z_k.partials[n:-1], W[i][:, k - 1])
            assert z_k.partials[-1] == 1.0
            for j, (w, a_j) in enumerate(zip(neuron.w, inputs, strict=True)):
                close(w.grad, dW[i][j, k - 1])  # ∂L/∂W_jk
                assert w.label == f"W_{index(j + 1, k)}^[{i}]"
                assert z_k.partials[j] == a_j.data and z_k.partials[n + j] == w.data  # exactly what stands at the other end
            name = g if i < last else g_out
            if name != "linear":  # the edge z_k → a_k carries g'(z_k)
                a_k = node[f"a_{index(k)}^[{i}]"]
                assert a_k.parents == (z_k,) and a_k.op == name
                close(a_k.data, a[i][k - 1])
                close(a_k.partials[0], G[name][1](z[i][k - 1]))
                if name == "sigmoid":
                    assert a_k.partials[0] == a_k.data * (1 - a_k.data)


# Labels and structure.


def test_labels_follow_the_textbook_and_know_their_place():
    net = MLP(12, [3, 1], activation="tanh", output="sigmoid", seed=0)
    w = net.layers[0].neurons[1].w[11]
    assert w.label == "W_12,2^[1]" and w.label.scope == ("layer 1", "neuron 2")
    assert net.layers[0].neurons[2].w[0].label == "W_13^[1]"
    assert net.layers[1].neurons[0].b.label == "b_1^[2]"
    out = net([0.1] * 12)
    assert out.label == "a_1^[2]" and out.label.scope == ("layer 2", "neuron 1")
    z = out.parents[0]
    assert z.label == "z_1^[2]"
    hidden = z.parents[3].parents[0]
    assert hidden.label == "z_1^[1]"
    inputs = hidden.parents[12:24]
    assert [v.label for v in inputs] == [f"a_{j}^[0]" for j in range(1, 13)]
    assert all(v.is_constant for v in inputs)


def test_a_label_goes_into_a_record_label_of_dot_as_it_is():
    """The lecture writes "{ %s | data %.4f | grad %.4f }" % (n.label, n.data, n.grad): braces would be syntax there."""
    net = MLP(11, [12, 1], seed=0)
    labels = [p.label for p in net.parameters()] + [v.label for v in topological_order(net([1.0] * 11))]
    assert all(f"{label:>12} {label}" and not set(str(label)) & set("{}<>|\\ ") for label in labels)
    w = net.layers[0].neurons[11].w[1].label
    assert (w, w.letter, w.indices, w.layer) == ("W_2,12^[1]", "W", (2, 12), 1)


def test_a_neuron_is_one_node_for_z_and_one_for_a():
    net = MLP(3, [4, 2], activation="tanh", seed=0)
    out = total(net([1.0, 2.0, 3.0]))
    made = [v for v in topological_order(out) if v.parents]
    assert [v.op for v in made] == ["dot", "tanh"] * 4 + ["dot"] * 2 + ["sum"]


def test_each_call_of_a_network_is_told_apart():
    net, other = MLP(1, [1], seed=0), MLP(1, [1], seed=0)
    first, second, third = net([1.0]), net([1.0]), other([1.0])
    assert first.note.network == second.note.network != third.note.network
    assert first.note.call < second.note.call


def test_inputs_that_are_values_keep_their_label_and_get_a_gradient():
    x = Value(0.5, label="height")
    net = MLP(2, [3, 1], activation="tanh", seed=1)
    out = net([x, 2.0])
    assert x.label == "height" and adjoints(out)[x] != 0.0
    assert adjoints(out)[x] == sum_over_paths(net, x.data)


def sum_over_paths(net, x):
    """∂out/∂x_1 of a network with one hidden layer of tanh, added in the engine's order."""
    gradient = 0.0
    contributions = []
    for k, neuron in enumerate(net.layers[0].neurons):
        z = neuron.b.data + neuron.w[0].data * x + neuron.w[1].data * 2.0
        a = np.tanh(z)
        contributions.append(net.layers[1].neurons[0].w[k].data * (1 - a * a) * neuron.w[0].data)
    for contribution in reversed(contributions):
        gradient += contribution
    return pytest.approx(gradient, rel=1e-13)


def test_labels_survive_copies_and_pickles():
    net = MLP(2, [2, 1], seed=3)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin.state_dict() == net.state_dict()
        label = twin.layers[0].neurons[1].w[0].label
        assert type(label) is Label and label == "W_12^[1]" and label.scope == ("layer 1", "neuron 2")
        assert twin([1.0, -2.0]).data == net([1.0, -2.0]).data
        assert set(twin.parameters()).isdisjoint(net.parameters())


def test_no_grad_gives_the_same_number_and_no_graph():
    net = MLP(2, [3, 1], activation="tanh", seed=0)
    with no_grad():
        out = net([1.0, 2.0])
    assert out.is_constant and not out.parents and out.data == net([1.0, 2.0]).data


# Activations.


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu", "softplus", "abs", "neg", "sin", "erf", "exp"])
def test_any_function_of_one_argument_in_the_rule_book_is_an_activation(name):
    net = MLP(2, [3, 1], activation=name, seed=0)
    assert net([0.1, 0.2]).parents[3].op == name


@pytest.mark.parametrize("name", ["gelu", "silu", "elu", "leaky_relu"])
def test_composed_functions_are_activations_by_name(name):
    model, twin = (MLP(2, [3, 2], activation=g, output=g, seed=1) for g in (name, getattr(micrograd, name)))
    x = [0.5, -1.5]
    assert [v.data for v in model(x)] == [v.data for v in twin(x)]
    np.testing.assert_array_equal(jit(model).map([x]), jit(twin).map([x]))
    assert pickle.loads(pickle.dumps(model))(x)[0].data == twin(x)[0].data


def test_a_callable_is_an_activation():
    net = MLP(1, [1, 1], activation=lambda z: z * z.sigmoid(), seed=0)
    silu = net([1.0]).parents[1]
    assert silu.op == "mul" and silu.label == "a_1^[1]" and silu.parents[0].label == "z_1^[1]"
    assert repr(MLP(1, [1], output=micrograd.tanh)) == repr(MLP(1, [1], output="tanh"))
    identity = MLP(1, [1], output=lambda z: z, seed=0)
    assert identity([1.0]).label == "z_1^[1]"
    hard = MLP(1, [1], output=lambda z: 1.0 if z > 0 else 0.0)
    with pytest.raises(TypeError, match=r"activation of <lambda>Neuron.* must give a Value, got float"):
        hard([1.0])


def test_reprs_say_what_a_network_is_made_of():
    assert repr(MLP(2, [2, 1])) == ("MLP of [Layer of [ReLUNeuron(2), ReLUNeuron(2)], Layer of [LinearNeuron(2)]]")
    assert repr(Neuron(3, activation="tanh")) == "TanhNeuron(3)"


# Weights.


def test_weights_come_from_random_or_from_a_seed_of_their_own():
    random.seed(7)
    net = MLP(3, [4, 1])
    random.seed(7)
    assert [p.data for layer in net.layers for n in layer.neurons for p in n.w] == [random.uniform(-1, 1) for _ in range(16)]
    state = random.getstate()
    assert MLP(3, [4, 1], seed=5).state_dict() == MLP(3, [4, 1], seed=5).state_dict() != MLP(3, [4, 1], seed=6).state_dict()
    assert random.getstate() == state


def test_parameters_are_found_wherever_they_are_and_once():
    class Model(Module):
        def __init__(self):
            self.net = MLP(1, [2], seed=0)
            self.scale = Value(2.0)
            self.table = {"up": Value(1.0), "down": (Value(2.0), [Value(3.0)])}
            self.again = self.net
            self.fixed = constant(4.0)
            self.made = self.scale * 2
            self.me = self  # a cycle

    model = Model()
    names = [name for name, _ in model.named_parameters()]
    assert names == [
        *(f"net.layers.0.neurons.{k}.{p}" for k in (0, 1) for p in ("w.0", "b")),
        "scale", "table.up", "table.down.0", "table.down.1.0",
    ]  # fmt: skip
    for p in model.parameters():
        p.grad = 1.0
    model.zero_grad()
    assert [p.grad for p in model.parameters()] == [0.0] * 8


def test_parameters_are_found_in_arrays_of_objects():
    class Model(Module):
        def __init__(self):
            self.w = np.array([[Value(10.0 * i + j) for j in range(3)] for i in range(2)])
            self.layers = np.array([Layer(1, 1), None], dtype=object)
            self.again = self.w.T
            self.one = np.array(Value(7.0), dtype=object)
            self.data = np.ones((2, 2))

    names = dict(Model().named_parameters())
    assert list(names) == [f"w.{i}.{j}" for i in (0, 1) for j in (0, 1, 2)] + [
        "layers.0.neurons.0.w.0", "layers.0.neurons.0.b", "one",
    ]  # fmt: skip
    assert [p.data for name, p in names.items() if name[0] == "w"] == [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]


def test_parameters_are_found_in_whatever_a_program_is_made_of():
    @dataclass
    class Scale:
        by: Value

    class Slotted:
        __slots__ = ("bias", "unset")

        def __init__(self):
            self.bias = Value(3.0)

    class Model(Module):
        shared = Value(4.0)
        rows = 2

        def __init__(self):
            self.queue = deque([Value(1.0)])
            self.scale, self.slotted = Scale(Value(2.0)), Slotted()
            self.space = SimpleNamespace(w=Value(5.0))
            self.rng = random.Random(1)  # Python's own objects are not searched
            self.f = jit(lambda x: x * self.scale.by)

    class Special(Model):
        __slots__ = ("extra",)

        def __init__(self):
            super().__init__()
            self.extra = Value(6.0)

    model = Special()
    model.f(2.0)
    expected = {"extra": 6.0, "queue.0": 1.0, "scale.by": 2.0, "slotted.bias": 3.0, "space.w": 5.0, "shared": 4.0}
    assert model.state_dict() == expected and list(model.state_dict()) == list(expected)
    model.load_state_dict({name: x + 1 for name, x in expected.items()})
    assert [p.data for p in model.parameters()] == [x + 1 for x in expected.values()]


def test_two_parameters_of_one_name_are_refused():
    model = Module()
    model.table = {0: Value(1.0), "0": Value(2.0)}
    for use in (model.state_dict, lambda: model.load_state_dict({"table.0": 3.0})):
        with pytest.raises(ValueError, match=r"two parameters are called 'table\.0', by keys that read alike"):
            use()
    assert [p.data for p in model.parameters()] == [1.0, 2.0]


@pytest.mark.parametrize("kind", [set, frozenset])
def test_parameters_in_a_set_are_refused(kind):
    model = Module()
    model.words, model.parts = kind(["a", "b"]), [kind()]
    assert model.parameters() == []
    for part in (Value(1.0), Neuron(1)):
        model.parts = [kind([part])]
        with pytest.raises(
            TypeError, match=rf"parts.0 is a {kind.__name__} with parameters, which has no order: make it a list"
        ):
            model.parameters()


def test_modules_may_be_nested_deeply():
    model = Module()
    model.last = Value(1.0)
    for _ in range(20_000):
        model, inner = Module(), model
        model.m = inner
    assert [p.data for p in model.parameters()] == [1.0]


def test_state_goes_through_a_file_without_pickle(tmp_path):
    net, twin = MLP(2, [3, 2], seed=1), MLP(2, [3, 2], seed=2)
    net.save(tmp_path / "weights.npz")
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as file:
        assert file["names"][0] == "layers.0.neurons.0.w.0" and file["data"].dtype == np.float64
    twin.load(tmp_path / "weights.npz")
    assert twin.state_dict() == net.state_dict()
    assert all(type(p.data) is float for p in twin.parameters())


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda state: state.pop("layers.0.neurons.1.b"), "nothing for parameter 'layers.0.neurons.1.b'"),
        (lambda state: state.update({"layers.7.b": 1.0}), "'layers.7.b', which is no parameter here"),
        (
            lambda state: state.update({"layers.0.neurons.1.w.0": "much"}),
            "parameter 'layers.0.neurons.1.w.0': .*got str 'much'",
        ),
        (lambda state: state.update({"layers.0.neurons.1.w.0": None}), "parameter 'layers.0.neurons.1.w.0': .*got NoneType"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(change, message):
    net = MLP(2, [3, 2], seed=1)
    before, state = net.state_dict(), MLP(2, [3, 2], seed=2).state_dict()
    change(state)
    with pytest.raises(ValueError, match=f"{message}.*nothing was changed"):
        net.load_state_dict(state)
    assert net.state_dict() == before


def test_a_network_of_another_shape_is_refused_by_its_first_difference():
    net = MLP(2, [3, 2], seed=1)
    before = net.state_dict()
    with pytest.raises(ValueError, match=r"nothing for parameter 'layers.0.neurons.2.w.0'"):
        net.load_state_dict(MLP(2, [2, 2]).state_dict())
    with pytest.raises(ValueError, match=r"has 'layers.0.neurons.3.w.0', which is no parameter here"):
        net.load_state_dict(MLP(2, [4, 2]).state_dict())
    assert net.state_dict() == before


def test_a_file_is_what_its_name_says(tmp_path):
    net = MLP(2, [1], seed=1)
    with pytest.raises(ValueError, match=r"saved as NumPy's \.npz, got '.*m\.json': end the name in \.npz, not \.json"):
        net.save(tmp_path / "m.json")
    net.save(tmp_path / "m")
    net.load(tmp_path / "m")


def bad_files(folder):
    """Files that hold no parameters, each with a word on what it is."""
    np.save(folder / "array.npy", np.ones(3))
    np.savez(folder / "other.npz", weights=np.ones(3))
    np.savez(folder / "lengths.npz", names=np.array(["a", "b"]), data=np.ones(3))
    np.savez(folder / "square.npz", names=np.array([["a", "b"]]), data=np.ones(1))
    np.savez(folder / "objects.npz", names=np.array(["a", None], dtype=object), data=np.ones(2))
    (folder / "text.npz").write_text("no weights here")
    (folder / "empty.npz").write_bytes(b"")
    (folder / "cut.npz").write_bytes((folder / "lengths.npz").read_bytes()[:100])
    (folder / "pickle.npz").write_bytes(pickle.dumps({"names": ["a"], "data": [1.0]}))
    return sorted(folder.iterdir())


def test_files_that_hold_no_parameters_are_refused_and_change_nothing(tmp_path):
    net = MLP(2, [1], seed=1)
    before = net.state_dict()
    for path in bad_files(tmp_path):
        with pytest.raises(ValueError, match=r"holds no saved parameters .*nothing was changed"):
            net.load(path)
        assert net.state_dict() == before
    large = tmp_path / "large.npz"
    MLP(64, [400, 400, 1]).save(large)
    with pytest.raises(ValueError, match="holds far more than the parameters here take; nothing was changed"):
        net.load(large)
    with pytest.raises(FileNotFoundError):
        net.load(tmp_path / "nowhere.npz")


# What goes in wrong.


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: MLP(2, [3, 1])([1.0, 2.0, 3.0]), "takes 2 inputs, got 3"),
        (lambda: MLP(2, [3, 1])(np.ones((5, 2))), r"takes 2 inputs, got 5: one sample at a time; .* jit\(model\)\.map\(X\)"),
        (lambda: MLP(2, [1], activation="nosuch"), "unknown activation 'nosuch'"),
        (lambda: Neuron(2, nonlin=False, activation="nosuch"), "unknown activation 'nosuch'"),
        (lambda: MLP(2, [1], init="xavier"), "unknown init 'xavier': use 'uniform', 'he', 'glorot'"),
        (lambda: MLP(2, [3, 1])([]), "takes 2 inputs, got 0"),
        (lambda: Layer(2, 3)([1.0]), r"ReLUNeuron\(2\) takes 2 inputs, got 1"),
        (lambda: Neuron(2)([1.0]), r"ReLUNeuron\(2\) takes 2 inputs, got 1"),
        (lambda: MLP(2, [3], output="softmax"), "unknown activation 'softmax': use 'linear', a function, or one of .*tanh"),
        (lambda: MLP(2, [3, 1], activation="add"), "unknown activation 'add'"),
        (lambda: MLP(2, [3, 1], activation=None), "unknown activation None"),
        (lambda: MLP(2, [3, 1], activation=["tanh", "relu"]), r"unknown activation \['tanh', 'relu'\]"),
        (lambda: MLP(2, [3, 1], activation=micrograd.atan2), "unknown activation 'atan2'"),
        (lambda: MLP(2, [3, 1])(5.0), "takes 2 inputs, got 1"),
        (lambda: MLP(2, []), r"a list of at least one layer's width, got nouts=\[\]"),
        (lambda: MLP(2, 3), "a list of at least one layer's width, got nouts=3"),
        (lambda: MLP(2, [3, 0, 1]), "a layer needs at least one neuron, got nout=0"),
        (lambda: MLP(0, [1]), "a neuron needs at least one input, got nin=0"),
        (lambda: Layer(2, -1), "a layer needs at least one neuron, got nout=-1"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_sizes_and_seeds_that_are_no_whole_numbers_are_refused():
    for make, message in (
        (lambda: MLP("2", [1]), "a neuron needs at least one input, a whole number, got nin='2'"),
        (lambda: MLP(2, [1.5]), r"a layer needs at least one neuron, a whole number, got nout=1\.5"),
        (lambda: Layer(2, True), "got nout=True"),
        (lambda: MLP(2, [1], seed="x"), "seed must be a whole number or None, got 'x'"),
        (
            lambda: MLP(2, [1])(1.0, 2.0),
            r"^this network takes its inputs as one list, f\(\[x1, x2, \.\.\.\]\), got 2 arguments",
        ),
        (lambda: Layer(2, 3)(1.0, 2.0), r"^ReLUNeuron\(2\) takes its inputs as one list"),
        (lambda: Neuron(2)(1.0, 2.0), r"^ReLUNeuron\(2\) takes its inputs as one list"),
        (lambda: Neuron(2)({1.0, 2.0}), r"^ReLUNeuron\(2\) needs a list of numbers, got set"),
        (lambda: MLP(2, [1])("ab"), "^this network needs a list of numbers, got str 'ab'"),
        (lambda: MLP(1, [1])(None), "expected a number, got NoneType"),
    ):
        with pytest.raises(TypeError, match=message):
            make()
    assert MLP(np.int64(2), np.array([3, 1]), seed=np.int64(4)).state_dict() == MLP(2, [3, 1], seed=4).state_dict()


def test_a_number_in_the_place_of_a_parameter_is_a_constant():
    net, same = (MLP(2, [3, 1], activation="tanh", seed=1) for _ in range(2))
    for model, put in ((net, lambda v, x: x), (same, lambda v, x: Value(x, label=v.label))):
        first, last = model.layers[0].neurons[0], model.layers[1].neurons[0]
        first.b, last.w[1] = put(first.b, 0.25), put(last.w[1], -2)
    x = [0.5, -1.0]
    out, other = net(x), same(x)
    out.backward()
    other.backward()
    assert out.data == other.data and len(net.parameters()) == len(same.parameters()) - 2
    grads = {p.label: p.grad for p in same.parameters()}
    assert all(p.grad == grads[p.label] != 0.0 for p in net.parameters())
    assert jit(net)(x) == pytest.approx(out.data, rel=1e-14)
    with no_grad():
        assert net(x).data == out.data
    net.layers[0].neurons[0].b = "0.25"
    with pytest.raises(TypeError, match=r"expected a number, got str '0\.25'"):
        net(x)


@pytest.mark.parametrize("init, bound", [("uniform", lambda m, n: 1), ("he", lambda m, n: (6 / m) ** 0.5),
                                         ("glorot", lambda m, n: (6 / (m + n)) ** 0.5)])  # fmt: skip
def test_weights_are_uniform_within_the_bound_of_their_layer(init, bound):
    net, plain = MLP(30, [50, 20], init=init, seed=1), MLP(30, [50, 20], seed=1)
    for layer, before, nin, nout in zip(net.layers, plain.layers, (30, 50), (50, 20), strict=True):
        w = np.array([[p.data for p in neuron.w] for neuron in layer.neurons])
        np.testing.assert_array_equal(w, bound(nin, nout) * np.array([[p.data for p in n.w] for n in before.neurons]))
        assert 0.98 * bound(nin, nout) < np.abs(w).max() <= bound(nin, nout)


def test_inputs_that_are_no_numbers_are_refused():
    with pytest.raises(TypeError, match="needs a list of numbers, got str 'a'"):
        MLP(1, [1])("a")
    with pytest.raises(TypeError, match=r"expected a number, got ndarray of shape \(3,\)"):
        MLP(2, [1])(np.ones((2, 3)))
    assert MLP(1, (2, 1), seed=0)(0.5).data == MLP(1, np.array([2, 1]), seed=0)([0.5]).data
    assert MLP(2, [1], seed=0)(np.ones(2)).data == MLP(2, [1], seed=0)([1, 1]).data


def test_weights_as_safetensors(tmp_path, monkeypatch):
    from micrograd import Module

    library = pytest.importorskip("safetensors.numpy")
    net, twin = MLP(3, [2, 1], seed=1), MLP(3, [2, 1], seed=2)
    path = tmp_path / "w.safetensors"
    net.save(path)
    held = library.load_file(path)
    assert held["layers.0.neurons.1.w"].tolist() == [p.data for p in net.layers[0].neurons[1].w]
    twin.load(path)
    assert twin.state_dict() == net.state_dict()

    class Odd(Module):  # names that look like those of a list and are none
        def __init__(self):
            self.a = {0: Value(1.0), 2: Value(math.nan)}
            self.b, self.c = Value(-0.0), {"d.0": Value(5.0), "d": Value(6.0)}

    odd, again = Odd(), Odd()
    odd.save(path)
    again.a[0].data = again.b.data = again.c["d"].data = 9.0
    again.load(path)
    assert repr(again.state_dict()) == repr(odd.state_dict())
    before = twin.state_dict()
    for content in (b"", b"no weights", path.read_bytes()[:-3]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="holds no saved parameters as save\\(\\) writes them; nothing was changed"):
            twin.load(path)
    net.save(path)
    with pytest.raises(ValueError, match="nothing was changed"):
        MLP(3, [3, 1]).load(path)
    path.write_bytes(bytes(2_000_000))
    with pytest.raises(ValueError, match="holds far more than the parameters here take; nothing was changed"):
        net.load(path)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"micrograd-engine\[safetensors\]"):
        twin.load(path)
    assert twin.state_dict() == before


@pytest.mark.parametrize("lies", [False, True])
def test_few_packed_bytes_that_stand_for_gigabytes_are_not_unpacked(tmp_path, lies):
    net, packed = MLP(3, [2, 1], seed=1), io.BytesIO()
    before = net.state_dict()
    np.savez_compressed(packed, names=np.array(list(before)), data=np.zeros(20_000_000))
    data = bytearray(packed.getvalue())
    if lies:  # the directory of the archive says of the last array that it is small
        directory = data.rindex(b"PK\x01\x02")
        data[directory + 24 : directory + 28] = (128 + 8 * len(before)).to_bytes(4, "little")
    (tmp_path / "w.npz").write_bytes(data)
    tracemalloc.start()
    with pytest.raises(ValueError, match="nothing was changed"):
        net.load(tmp_path / "w.npz")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    assert net.state_dict() == before
    np.savez_compressed(tmp_path / "w.npz", names=np.array(list(before)), data=np.arange(float(len(before))))
    net.load(tmp_path / "w.npz")
    assert list(net.state_dict().values()) == [*range(len(before))]


def test_a_damaged_file_of_weights_is_a_value_error_and_changes_nothing(tmp_path):
    """Cut, bytes changed, taken out and put in: what reads as a whole file reads as the right one."""
    rng, net, path = random.Random(0), MLP(3, [2, 1], seed=1), tmp_path / "w.npz"
    net.save(path)
    good, before, refused = path.read_bytes(), net.state_dict(), 0
    for _ in range(500):
        at, much = rng.randrange(len(good)), rng.randrange(1, 50)
        changes = good[:at], good[:at] + rng.randbytes(much) + good[at + much :], good[:at] + good[at + much :]
        path.write_bytes(rng.choice([*changes, good[:at] + rng.randbytes(much) + good[at:]]))
        try:
            net.load(path)
        except ValueError:
            refused += 1
        assert net.state_dict() == before
    assert refused > 400


def test_parameters_are_those_that_are_named_in_the_same_order():
    """parameters() writes no names, which is most of the time, unless a network says itself what its parameters are."""

    class Own(Module):
        shared = Value(7.0)

        def __init__(self):
            self.a, self.inside = Value(1.0), {"k": [Value(2.0), MLP(2, [3, 1]), self], "": (Value(3.0),)}
            self.array = np.array([Value(4.0), self.a, 5.0], object)

    class Fewer(Own):
        def named_parameters(self):
            return (pair for pair in super().named_parameters() if pair[0] != "a")

    for model in (Own(), Fewer()):
        named = dict(model.named_parameters())
        assert [*map(id, model.parameters())] == [*map(id, named.values())]
    assert len(Own().parameters()) - 1 == len(Fewer().parameters()) == 17
    assert [*named][:2] == ["inside.k.0", "inside.k.1.layers.0.neurons.0.w.0"] and [*named][-2:] == ["array.0", "shared"]
    for p in named.values():
        p.grad = 2.0
    model.zero_grad()
    assert all(p.grad == 0.0 for p in named.values()) and model.a.grad == 0.0


def test_parameters_are_found_while_another_thread_sets_attributes():
    """As a compiled method does, which leaves what it has compiled in its object."""
    model, found, before = MLP(3, [20, 1], seed=1), threading.Event(), sys.getswitchinterval()
    neuron = model.layers[0].neurons[0]

    def attributes():
        while not found.is_set():
            neuron.one_more = 1
            del neuron.one_more

    other = threading.Thread(target=attributes)
    sys.setswitchinterval(1e-6)
    other.start()
    try:
        assert {len(model.parameters()) for _ in range(300)} == {3 * 20 + 20 + 20 + 1}
    finally:
        sys.setswitchinterval(before)
        found.set()
        other.join()
