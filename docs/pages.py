"""The living pages beside this file: `python docs/pages.py` writes neuron.html, network.html and training.html."""

import math
import random
from pathlib import Path

from micrograd import MLP, SGD, Value, binary_cross_entropy, jit, mse, record
from micrograd.draw.explore import Exploration


def neuron() -> Exploration:
    """A neuron and what it is trained to give."""
    x = [Value(v, label=f"x_{k}") for k, v in enumerate((0.5, -1.0), start=1)]
    w = [Value(v, label=f"w_{k}") for k, v in enumerate((1.5, 0.8), start=1)]
    b = Value(0.2, label="b")
    z = w[0] * x[0] + w[1] * x[1] + b
    z.label = "z"
    a = z.tanh()
    a.label = "a"
    loss = (a - 1) ** 2
    loss.label = "L"
    return loss.draw().explore()


def network() -> Exploration:
    """MLP(2, [3, 1]) with its loss on one sample."""
    model = MLP(2, [3, 1], activation="tanh", seed=1)
    loss = mse([model([0.5, -1.0])], [1.0])
    loss.label = "L"
    return loss.draw().explore().showing(view="network")


def training() -> Exploration:
    """Two moons, learned step by step."""
    rng = random.Random(4)
    points, targets = [], []
    for k in range(80):
        angle, moon = rng.uniform(0, math.pi), k % 2
        x, y = (math.cos(angle), math.sin(angle)) if moon else (1 - math.cos(angle), 0.5 - math.sin(angle))
        points.append([x + rng.gauss(0, 0.12), y + rng.gauss(0, 0.12)])
        targets.append(float(moon))
    model = MLP(2, [4, 4, 1], activation="tanh", seed=3)
    loss = jit(lambda x, t: binary_cross_entropy(model(x), t))

    def sample() -> Value:
        found = binary_cross_entropy(model(points[0]), targets[0])
        found.label = "L"
        return found

    with (
        record(model, sample, data=(points, targets)) as run,
        loss.training(SGD(model.parameters(), 0.3, momentum=0.9)) as step,
    ):
        for _ in range(300):
            step(points, targets)
    return run.explore()


PAGES = {"neuron": neuron, "network": network, "training": training}

if __name__ == "__main__":
    for name, make in PAGES.items():
        make().save(Path(__file__).with_name(f"{name}.html"))
