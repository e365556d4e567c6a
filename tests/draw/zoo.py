"""Graphs of daily use: what people draw. A dictionary of functions that each make one output."""

import itertools
import math
import random

from micrograd import (
    MLP,
    Layer,
    Value,
    adjoints,
    binary_cross_entropy,
    cross_entropy,
    dot,
    erf,
    exp,
    hinge,
    log,
    logsumexp,
    maximum,
    mse,
    sigmoid,
    softplus,
    sqrt,
    sum,
    tanh,
    where,
)


def leaves(names, *numbers):
    return [Value(x, label=name) for name, x in zip(names.split(), numbers, strict=True)]


def readme():
    x, w = leaves("x w", 0.5, 3.0)
    z = w * x - 1
    a = z.tanh()
    loss = (a - 1) ** 2 + 0.01 * w**2
    z.label, a.label, loss.label = "z", "a", "L"
    return loss


def lecture():
    """The neuron of the lecture on the original micrograd."""
    x1, x2, w1, w2, b = leaves("x1 x2 w1 w2 b", 2.0, 0.0, -3.0, 1.0, 6.8813735870195432)
    n = x1 * w1 + x2 * w2 + b
    n.label = "n"
    out = n.tanh()
    out.label = "o"
    return out


def lecture_spelled_out():
    """Its tanh out of exp."""
    x1, x2, w1, w2, b = leaves("x1 x2 w1 w2 b", 2.0, 0.0, -3.0, 1.0, 6.8813735870195432)
    e = (2 * (x1 * w1 + x2 * w2 + b)).exp()
    return (e - 1) / (e + 1)


def lecture_loss(samples=4):
    """Max-margin loss with its L2 term, as the original's demo writes it."""
    model = MLP(2, [4, 1], seed=1)
    X, y = points(samples, 2), [1.0 if k % 2 else -1.0 for k in range(samples)]
    scores = [model(x) for x in X]
    losses = [(1 + -t * s).relu() for s, t in zip(scores, y, strict=True)]
    return sum(losses) * (1.0 / len(losses)) + 1e-4 * sum([p * p for p in model.parameters()])


def points(count, width, seed=3):
    rng = random.Random(seed)
    return [[rng.uniform(-1, 1) for _ in range(width)] for _ in range(count)]


def polynomial():
    (x,) = leaves("x", 1.5)
    return 3 * x**4 - 2 * x**3 + x**2 - 5 * x + 7


def horner(degree=6):
    (x,) = leaves("x", 0.5)
    y = Value(1.0, label="c_0")
    for k in range(1, degree + 1):
        y = y * x + Value(1.0 / k, label=f"c_{k}")
    return y


def rosenbrock(count=4):
    x = [Value(v, label=f"x_{k}") for k, v in enumerate([-1.2, 1.0, 0.5, 0.8][:count], start=1)]
    return sum([100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x)])


def products(count):
    """a*b + c, over and over."""
    x = Value(0.5, label="x")
    for k in range(count):
        x = x * Value(0.9, label=f"a_{k}") + Value(0.1, label=f"b_{k}")
    return x


def recurrence(steps):
    h, w, u = leaves("h_0 w u", 0.1, 0.8, 0.5)
    for t in range(steps):
        h = (w * h + u * (0.1 * t)).tanh()
    return (h - 1) ** 2


def vector_rnn(steps, width=2):
    rng = random.Random(1)
    w = [[Value(rng.uniform(-1, 1), label=f"W_{{{i}{j}}}") for j in range(width)] for i in range(width)]
    u = [Value(rng.uniform(-1, 1), label=f"u_{i}") for i in range(width)]
    h = [Value(0.0, label=f"h_{i}") for i in range(width)]
    for t in range(steps):
        h = [tanh(dot(w[i], h) + u[i] * (0.3 * t - 1)) for i in range(width)]
    return sum([x * x for x in h])


def layer_rnn(steps):
    cell, out = Layer(3, 2, activation="tanh", rng=random.Random(1)), Layer(2, 1, activation="linear", layer=2)
    h = [Value(0.0, label="h_1"), Value(0.0, label="h_2")]
    for t in range(steps):
        h = cell([*h, 0.1 * t])
    return out(h)


def lstm(steps=1):
    rng = random.Random(2)
    gates = {g: [Value(rng.uniform(-1, 1), label=f"{n}_{g}") for n in "wub"] for g in "fiog"}
    h, c = Value(0.0, label="h"), Value(0.0, label="c")
    for t in range(steps):
        x = 0.5 + 0.1 * t
        f, i, o, g = [w * x + u * h + b for w, u, b in gates.values()]
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
    return h


def gru():
    rng = random.Random(2)
    gates = {g: [Value(rng.uniform(-1, 1), label=f"{n}_{g}") for n in "wu"] for g in "rzn"}
    h, x = leaves("h x", 0.4, 0.5)
    r, z = [sigmoid(gates[g][0] * x + gates[g][1] * h) for g in "rz"]
    n = tanh(gates["n"][0] * x + gates["n"][1] * (r * h))
    return (1 - z) * n + z * h


def attention(count=3, width=2):
    rng = random.Random(4)
    q = [Value(rng.uniform(-1, 1), label=f"q_{i}") for i in range(width)]
    k = [[Value(rng.uniform(-1, 1), label=f"k_{{{t}{i}}}") for i in range(width)] for t in range(count)]
    v = [Value(rng.uniform(-1, 1), label=f"v_{t}") for t in range(count)]
    scores = [dot(q, row) / math.sqrt(width) for row in k]
    weights = softmax(scores)
    return dot(weights, v)


def softmax(xs):
    total = logsumexp(xs)
    return [exp(x - total) for x in xs]


def soft_max():
    return softmax(leaves("x_1 x_2 x_3", 1.0, 2.0, 3.0))[0]


def batch_norm(count=4):
    x = [Value(v, label=f"x_{k}") for k, v in enumerate(random.Random(5).sample(range(10), count), start=1)]
    gamma, beta = leaves(r"gamma beta", 1.5, 0.1)
    mean = sum(x) / count
    var = sum([(v - mean) ** 2 for v in x]) / count
    return sum([(gamma * (v - mean) / sqrt(var + 1e-5) + beta) ** 2 for v in x])


def layer_norm():
    x = leaves("x_1 x_2 x_3", 1.0, 2.0, 4.0)
    mean = sum(x) / 3
    return (x[0] - mean) / sqrt(sum([(v - mean) ** 2 for v in x]) / 3 + 1e-5)


def residual(blocks=2, width=3):
    model = [Layer(width, width, activation="tanh", rng=random.Random(k), layer=k + 1) for k in range(blocks)]
    x = [Value(0.3 * k - 0.4, label=f"x_{k}") for k in range(width)]
    for layer in model:
        x = [a + b for a, b in zip(x, layer(x), strict=True)]
    return sum(x)


def normal(x):
    return 0.5 * (1 + erf(x / math.sqrt(2)))


def black_scholes():
    s, k, r, sigma, t = leaves("S K r sigma T", 100.0, 105.0, 0.05, 0.2, 1.0)
    d1 = (log(s / k) + (r + sigma**2 / 2) * t) / (sigma * sqrt(t))
    d2 = d1 - sigma * sqrt(t)
    d1.label, d2.label = "d_1", "d_2"
    return s * normal(d1) - k * exp(-r * t) * normal(d2)


def newton(steps):
    a, x = leaves("a x_0", 2.0, 1.0)
    for _ in range(steps):
        x = x - (x * x - a) / (2 * x)
    return x


def euler(steps):
    y, k = leaves("y_0 k", 1.0, 0.5)
    for _ in range(steps):
        y = y + 0.1 * (-k * y)
    return y


def pendulum(steps):
    angle, speed, g = leaves("angle speed g", 0.5, 0.0, 9.81)
    for _ in range(steps):
        speed = speed - 0.01 * g * angle.sin()
        angle = angle + 0.01 * speed
    return angle


def second_order():
    x, y = leaves("x y", 0.7, 1.3)
    return adjoints(tanh(x * y) * x, [x], create_graph=True)[x]


def third_order():
    (x,) = leaves("x", 0.7)
    out = x**3 * exp(x)
    for _ in range(2):
        out = adjoints(out, [x], create_graph=True)[x]
    return out


def mlp(nin, nouts, samples=1, loss=mse, activation="tanh", **options):
    model = MLP(nin, nouts, activation=activation, seed=1, **options)
    out = [model(x) for x in points(samples, nin)]
    made = loss(out, [float(k % 2) for k in range(samples)]) if nouts[-1] == 1 else cross_entropy(
        out, [k % nouts[-1] for k in range(samples)])  # fmt: skip
    made.label = "L"
    return made


def single(nin, nouts, activation="tanh"):
    """One sample, the loss written by hand."""
    loss = (MLP(nin, nouts, activation=activation, seed=1)(points(1, nin)[0]) - 1.0) ** 2
    loss.label = "L"
    return loss


def gaussian():
    x, m, s = leaves("x mu sigma", 1.0, 0.5, 0.8)
    return -0.5 * ((x - m) / s) ** 2 - log(s) - 0.5 * math.log(2 * math.pi)


def kl_divergence():
    p = softmax(leaves("a_1 a_2 a_3", 0.1, 0.5, -0.3))
    q = softmax(leaves("b_1 b_2 b_3", 0.2, -0.1, 0.4))
    return sum([a * log(a / b) for a, b in zip(p, q, strict=True)])


def logistic_regression(samples):
    w = leaves("w_1 w_2 b", 0.5, -0.3, 0.1)
    return binary_cross_entropy([dot(w[:2], x, w[2]) for x in points(samples, 2)], [float(k % 2) for k in range(samples)])


def linear_regression(samples):
    w, b = leaves("w b", 0.5, 0.1)
    return mse([w * x[0] + b for x in points(samples, 1)], [2 * x[0] + 1 for x in points(samples, 1)])


def kinematics():
    """The place of a hand on two arms."""
    a, b, one, two = leaves("a b theta_1 theta_2", 1.0, 0.8, 0.5, -0.3)
    x = a * one.cos() + b * (one + two).cos()
    y = a * one.sin() + b * (one + two).sin()
    return (x - 1.2) ** 2 + (y - 0.4) ** 2


def physics():
    m, v, h, g = leaves("m v h g", 2.0, 3.0, 1.5, 9.81)
    return 0.5 * m * v**2 + m * g * h


def nothing_flows():
    x, y = leaves("x y", -1.0, 2.0)
    return (x.relu() * y + maximum(x, y)) * where(x, y, 3.0)


def broken():
    x, y = leaves("x y", 0.0, 2.0)
    return (x.log() * y).tanh() + (y - 1) ** 2


ZOO = {
    "readme": readme, "lecture's neuron": lecture, "lecture, exp": lecture_spelled_out, "lecture's loss": lecture_loss,
    "polynomial": polynomial, "Horner": horner, "Rosenbrock 2": lambda: rosenbrock(2), "Rosenbrock 4": rosenbrock,
    "products 5": lambda: products(5), "products 30": lambda: products(30), "products 300": lambda: products(300),
    "recurrence 3": lambda: recurrence(3), "recurrence 10": lambda: recurrence(10), "recurrence 50": lambda: recurrence(50),
    "RNN 3": lambda: vector_rnn(3), "RNN 10": lambda: vector_rnn(10), "RNN 50": lambda: vector_rnn(50),
    "RNN of a layer": lambda: layer_rnn(10), "LSTM": lstm, "LSTM 10": lambda: lstm(10), "GRU": gru, "attention": attention,
    "attention 8": lambda: attention(8, 4), "softmax": soft_max, "batch norm": batch_norm, "layer norm": layer_norm,
    "residual": residual, "residual 6": lambda: residual(6, 4), "Black-Scholes": black_scholes, "Newton 1": lambda: newton(1),
    "Newton 3": lambda: newton(3), "Newton 10": lambda: newton(10), "Euler 5": lambda: euler(5),
    "Euler 100": lambda: euler(100), "pendulum 20": lambda: pendulum(20),
    "second order": second_order, "third order": third_order,
    "MLP 2-3-2": lambda: mlp(2, [3, 2]), "MLP 3-4-4-1": lambda: single(3, [4, 4, 1]),
    "MLP 2-16-16-1": lambda: single(2, [16, 16, 1]), "MLP 64-32-10": lambda: mlp(64, [32, 10]),
    "MLP, 10 points": lambda: mlp(2, [4, 1], 10), "MLP, 100 points": lambda: mlp(2, [16, 16, 1], 100, hinge01, "relu"),
    "MLP, 20 and relu": lambda: mlp(2, [16, 16, 1], 20, activation="relu"),
    "MLP of one neuron": lambda: mlp(2, [1]), "own activation": lambda: mlp(2, [3, 1], activation=lambda z: z * z.sigmoid()),
    "layers by hand": lambda: Layer(3, 1, layer=2)(Layer(2, 3)([0.5, -1.0])), "Gaussian": gaussian, "KL": kl_divergence,
    "logistic 1": lambda: logistic_regression(1), "logistic 10": lambda: logistic_regression(10),
    "logistic 100": lambda: logistic_regression(100), "linear 10": lambda: linear_regression(10), "kinematics": kinematics,
    "physics": physics, "softplus chain": lambda: softplus(softplus(softplus(Value(0.5, label="x")))),
    "nothing flows": nothing_flows, "broken": broken,
}  # fmt: skip


def hinge01(scores, targets):
    return hinge(scores, [2 * t - 1 for t in targets])
