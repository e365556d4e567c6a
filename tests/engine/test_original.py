"""Programs in the style of the original micrograd and of its lecture run unchanged.

Numbers in comments and assertions that are called the original's were printed by the original, version 0.1.0.
"""

import copy
import math
import pickle
import random

import pytest

from micrograd.engine import Value, adjoints
from micrograd.nn import MLP, Layer, Module, Neuron
from micrograd.tape import jit


def test_its_arithmetic_gives_its_numbers():
    x = Value(-4.0)
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    y = h + q + q * x
    y.backward()
    assert (y.data, x.grad) == (-20.0, 46.0)  # the original's


def test_its_longer_expression_gives_its_numbers():
    a = Value(-4.0)
    b = Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    g.backward()
    assert f"{g.data:.4f}" == "24.7041"
    numbers = (24.70408163265306, 138.83381924198252, 645.5772594752186)  # the original's
    assert (g.data, a.grad, b.grad) == pytest.approx(numbers, rel=1e-15)


def test_its_training_loop_takes_the_same_steps():
    random.seed(1337)
    model = MLP(2, [4, 4, 1])
    assert [p.data for p in model.parameters()][:3] == [0.23550571390294128, 0.06653114721000164, 0]  # the original's
    xs = [[random.uniform(-2, 2) for _ in range(2)] for _ in range(8)]
    ys = [random.choice([-1, 1]) for _ in xs]
    seen = []
    for k in range(3):
        inputs = [list(map(Value, xrow)) for xrow in xs]
        scores = list(map(model, inputs))
        losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(ys, scores, strict=True)]
        data_loss = sum(losses) * (1.0 / len(losses))
        reg_loss = 1e-4 * sum(p * p for p in model.parameters())
        total_loss = data_loss + reg_loss
        accuracy = [(yi > 0) == (scorei.data > 0) for yi, scorei in zip(ys, scores, strict=True)]
        assert len(accuracy) == 8
        model.zero_grad()
        total_loss.backward()
        learning_rate = 1.0 - 0.9 * k / 100
        for p in model.parameters():
            p.data -= learning_rate * p.grad
        seen.append(total_loss.data)
    assert seen == pytest.approx([1.081883951310436, 0.8776945815007244, 0.722637206523923], rel=1e-14)  # the original's


def test_its_classes_of_networks_keep_their_shape_and_their_words():
    model = MLP(3, [4, 4, 1])
    assert len(model.parameters()) == 41 and all(isinstance(p, Value) for p in model.parameters())
    assert repr(model.layers[2]) == "Layer of [LinearNeuron(4)]" and repr(Neuron(2)) == "ReLUNeuron(2)"
    assert Neuron(2, nonlin=False).nonlin is False and isinstance(model, Module) and len(Layer(2, 3).neurons) == 3


def test_what_a_neuron_does_may_be_set_later():
    neuron = Neuron(1, activation="tanh")
    neuron.w[0].data = 2.0
    compiled = jit(lambda x: neuron([x]))
    assert neuron([1.0]).data == compiled(1.0) == math.tanh(2.0) and neuron.activation == "tanh"
    neuron.nonlin = False
    assert neuron([1.0]).data == compiled(1.0) == 2.0 and neuron.activation == "linear"
    neuron.nonlin = 1
    assert neuron([1.0]).data == compiled(1.0) == math.tanh(2.0)
    neuron.activation = "relu"
    assert neuron([1.0]).data == compiled(1.0) == 2.0 and repr(neuron) == "ReLUNeuron(1)"
    linear = Neuron(1, nonlin=False)
    linear.nonlin = True
    linear.w[0].data = -2.0
    assert linear([1.0]).data == 0.0 and linear.activation == "relu"
    with pytest.raises(ValueError, match="unknown activation 'nosuch'"):
        neuron.activation = "nosuch"


def test_modules_written_for_it_work():
    class Neuron(Module):
        def __init__(self, nin, nonlin=True):
            self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
            self.b = Value(0)
            self.nonlin = nonlin

        def __call__(self, x):
            act = sum((wi * xi for wi, xi in zip(self.w, x, strict=True)), self.b)
            return act.tanh() if self.nonlin else act

        def parameters(self):
            return [*self.w, self.b]

    n = Neuron(2)
    out = n([1.0, -2.0])
    out.backward()
    assert n.w[1].grad == -2.0 * n.w[0].grad == -2.0 * n.b.grad != 0.0
    n.zero_grad()
    assert [p.grad for p in n.parameters()] == [0, 0, 0]


def lecture_neuron():
    """The neuron of two inputs of the lecture, step by step, with labels."""
    x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
    w1, w2 = Value(-3.0, label="w1"), Value(1.0, label="w2")
    b = Value(6.8813735870195432, label="b")
    x1w1 = x1 * w1
    x1w1.label = "x1*w1"
    x2w2 = x2 * w2
    x2w2.label = "x2*w2"
    x1w1x2w2 = x1w1 + x2w2
    x1w1x2w2.label = "x1*w1 + x2*w2"
    n = x1w1x2w2 + b
    n.label = "n"
    return n, [x1, w1, x2, w2]


@pytest.mark.parametrize("how", ["backward", "by hand", "node by node"])
def test_the_neuron_of_the_lecture(how):
    n, leaves = lecture_neuron()
    e = (2 * n).exp()
    o = (e - 1) / (e + 1) if how == "backward" else n.tanh()
    o.label = "o"
    if how == "backward":
        o.backward()
    elif how == "by hand":  # the sort and the loop as the lecture writes them
        topo, visited = [], set()

        def build_topo(v):
            if v not in visited:
                visited.add(v)
                for child in v._prev:
                    build_topo(child)
                topo.append(v)

        build_topo(o)
        o.grad = 1.0
        for node in reversed(topo):
            node._backward()
    else:
        o.grad = 1.0
        o._backward()
        n._backward()
        for parent in n._prev:
            parent._backward()
            for grandparent in parent._prev:
                grandparent._backward()
    assert o.data == pytest.approx(0.7071067811865476, rel=1e-15)
    assert [v.grad for v in leaves] == pytest.approx([-1.5, 1.0, 0.5, 0.0], rel=1e-14)


def test_its_way_to_walk_and_label_a_graph():
    n, _ = lecture_neuron()
    o = n.tanh()
    nodes, edges = set(), set()

    def build(v):
        if v not in nodes:
            nodes.add(v)
            for child in v._prev:
                edges.add((child, v))
                build(child)

    build(o)
    assert len(nodes) == 10 and len(edges) == 9
    shown = {"{ %s | data %.4f | grad %.4f }" % (v.label, v.data, v.grad) for v in nodes}  # noqa: UP031
    assert "{ x1*w1 | data -6.0000 | grad 0.0000 }" in shown
    assert sorted(v._op for v in nodes if v._op) == ["*", "*", "+", "+", "tanh"]
    a = Value(2.0)
    assert [v._op for v in (a - 1, -a, a / 2, a**2, a.relu(), a.exp(), a)] == ["-", "neg", "/", "**", "ReLU", "exp", ""]


# Operations written as the lecture writes them: a node with children and an op, and a closure for its backward.


def tanh(x):
    t = (math.exp(2 * x.data) - 1) / (math.exp(2 * x.data) + 1)
    out = Value(t, (x,), "tanh")

    def _backward():
        x.grad += (1 - t**2) * out.grad

    out._backward = _backward
    return out


def mul(a, b):
    out = Value(a.data * b.data, (a, b), "*")

    def _backward():
        a.grad += b.data * out.grad
        b.grad += a.data * out.grad

    out._backward = _backward
    return out


def test_operations_with_a_backward_of_their_own_take_part():
    x, w = Value(0.5, label="x"), Value(-1.5, label="w")
    out = mul(tanh(mul(x, w)), x) + w * 2
    out.backward()
    x2, w2 = Value(0.5), Value(-1.5)
    ((x2 * w2).tanh() * x2 + w2 * 2).backward()
    assert (x.grad, w.grad) == pytest.approx((x2.grad, w2.grad), rel=1e-15)
    x.grad = 7.0
    product = mul(x, x)  # both operands are one Value; and setting _backward leaves no trace
    assert (product._op, product.op, product.data, x.grad, product.grad) == ("*", "*", 0.25, 7.0, 0.0)
    product.backward()
    assert x.grad == 7.0 + 1.0


def test_a_node_without_a_backward_carries_data_and_picture_only():
    a, b = Value(1.0), Value(2.0)
    c = Value(3.0, (a, b), "+")
    assert c._prev == {a, b} and c._op == "+" and c.parents == (a, b)
    assert Value(3.0, (a, b))._op == "" and Value(3.0)._op == ""
    c.backward()
    assert (a.grad, b.grad) == (0.0, 0.0)


def test_a_backward_may_replace_that_of_an_ordinary_node():
    a, b = Value(3.0), Value(5.0)
    c = a * b

    def straight_through():
        a.grad += c.grad

    c._backward = straight_through
    assert (c.parents, c.partials, c._op) == ((a, b), (1.0, 0.0), "*")
    (c * 2).backward()
    assert (a.grad, b.grad) == (2.0, 0.0)
    leaf = Value(1.0)
    leaf._backward = lambda: None
    leaf.backward()
    assert leaf.grad == 1.0


def test_a_backward_that_is_no_derivative_is_refused():
    a = Value(3.0)
    out = Value(9.0, (a,), "square")

    def clipped():
        a.grad += max(-1.0, min(1.0, 6.0 * out.grad))

    with pytest.raises(ValueError, match="is not proportional to its grad"):
        out._backward = clipped

    def broken():
        a.grad += 6.0 * out.grad
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        out._backward = broken
    assert (a.grad, out.grad, out.partials) == (0.0, 0.0, (0.0,))


def test_what_cannot_be_done_with_a_hand_written_backward_says_so():
    x = Value(0.5)
    out = tanh(x) * 2
    with pytest.raises(RuntimeError, match=r"cannot recompute .*'tanh'"):
        out.recompute()
    with pytest.raises(RuntimeError, match=r"hand-written _backward: .* use primitive\(\)"):
        adjoints(out, create_graph=True)


def test_graphs_with_a_hand_written_backward_are_copied_and_pickled():
    x = Value(0.5)
    out = mul(tanh(x), x)
    for twin in (copy.deepcopy(out), *(pickle.loads(pickle.dumps(out, protocol)) for protocol in range(2, 6))):
        twin.backward()
        leaf = twin.parents[1]
        assert leaf is not x and twin._op == "*" and twin.parents[0]._op == "tanh" and leaf.grad != 0.0
    out.backward()
    assert leaf.grad == x.grad
