"""Graphs for the tests of drawings: an expression, a neuron, networks over one sample and many, random graphs, chains."""

import random

from micrograd import MLP, Neuron, Value, maximum, mse, sum


def example():
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    c = a * b + a**2
    c.label = "c"
    return c


def square():
    a = Value(3.0, label="a")
    return a * a


def neuron():
    x = [Value(v, label=f"x_{k}") for k, v in enumerate([1.0, -2.0, 0.5], start=1)]
    return Neuron(3, activation="tanh", rng=random.Random(1))(x)


def network(samples=1, hidden=(3,), activation="tanh", seed=1):
    model, rng = MLP(2, [*hidden, 1], activation=activation, seed=seed), random.Random(2)
    outputs = [model([rng.uniform(-1, 1), rng.uniform(-1, 1)]) for _ in range(samples)]
    loss = mse(outputs, [1.0 if k % 2 else -1.0 for k in range(samples)])
    loss.label = "L"
    return loss


def recurrent(steps=8):
    model = MLP(2, [4, 1], activation="tanh", seed=1)
    state = Value(0.0, label="h")
    for t in range(steps):
        state = model([state, 0.1 * t])
    return state


def tangled(size, seed):
    """A graph of about `size` operations on a few leaves, with long edges, forks, kinks and zeros."""
    rng = random.Random(seed)
    values = [Value(rng.uniform(-2, 2), label="abcdefgh"[k % 8]) for k in range(max(3, size // 8))]
    operations = [
        lambda x, y: x + y, lambda x, y: x * y, lambda x, y: x - y, lambda x, y: x.tanh(), lambda x, y: x * 0.5,
        lambda x, y: x / (y * y + 1), maximum, lambda x, y: x.relu(),
    ]  # fmt: skip
    while len(values) < size:
        values.append(rng.choice(operations)(rng.choice(values[-12:]), rng.choice(values[-25:])))
    used = {parent for value in values for parent in value.parents}
    return sum([value for value in values if value not in used])


def chain(length):
    x, b = Value(0.5, label="x"), Value(0.25, label="b")
    for _ in range(length):
        x = x * 0.999 + b
    return x


def hostile():
    labels = [
        "<script>alert('x')</script>", '"quoted" & {braces} | \\n', "two\nlines\tand\0null", "😀 日本語", "x" * 10_000,
        "lone \ud800 surrogate", "]]>", "W_{<b>}^{&}", "`tick` ${js} </style>", "a_{b}_{c", "%n \\N \\G", "#quot;",
    ]  # fmt: skip
    return sum([Value(float(k), label=label) ** 2 for k, label in enumerate(labels)])
