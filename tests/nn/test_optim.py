"""Optimisers against the recurrences of their papers, written here in NumPy, and with bad input."""

import gc
import sys

import numpy as np
import pytest

from micrograd import MLP, SGD, Adam, AdamW, Value
from micrograd.nn.optim import Optimiser

RNG = np.random.default_rng(0)
START, GRADIENTS = RNG.normal(size=3), RNG.normal(size=(20, 3))


def sgd(lr, momentum=0.0, weight_decay=0.0):
    """Polyak's heavy ball, as in PyTorch: the first step is the plain gradient."""
    x, velocity = START.copy(), None
    for g in GRADIENTS:
        g = g + weight_decay * x
        velocity = g if velocity is None else momentum * velocity + g
        x = x - lr * velocity
    return x


def adam(lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    """Algorithm 1 of Kingma and Ba; with `decoupled`, line 12 of algorithm 2 of Loshchilov and Hutter."""
    x, m, v = START.copy(), np.zeros(3), np.zeros(3)
    for t, g in enumerate(GRADIENTS, 1):
        before = x
        if not decoupled:
            g = g + weight_decay * x
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        x = x - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        if decoupled:
            x = x - lr * weight_decay * before
    return x


CASES = [
    (SGD, sgd, {"lr": 0.1}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (SGD, sgd, {"lr": 0.05, "momentum": 0.5, "weight_decay": 0.1}),
    (Adam, adam, {}),
    (Adam, adam, {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3}),
    (Adam, adam, {"lr": 0.1, "weight_decay": 0.1}),
    (AdamW, lambda **k: adam(**{"weight_decay": 0.01, **k}, decoupled=True), {}),
    (AdamW, lambda **k: adam(**k, decoupled=True), {"lr": 0.1, "weight_decay": 0.3}),
]


@pytest.mark.parametrize("optimiser, reference, options", CASES)
def test_twenty_steps_follow_the_paper(optimiser, reference, options):
    parameters = [Value(x) for x in START]
    steps = optimiser(iter(parameters), **options)
    for gradient in GRADIENTS:
        for p, g in zip(parameters, gradient, strict=True):
            p.grad = float(g)
        steps.step()
    np.testing.assert_allclose([p.data for p in parameters], reference(**options), rtol=1e-13)
    steps.zero_grad()
    assert [p.grad for p in parameters] == [0.0] * 3
    assert all(type(p.data) is float for p in parameters)


@pytest.mark.parametrize("optimiser, reference, options", CASES)
def test_the_rule_works_on_arrays_as_on_floats(optimiser, reference, options):
    steps = optimiser([Value(0.0)], **options)
    data, state = START, steps.initial()
    for gradient in GRADIENTS:
        steps.steps += 1
        data, state = steps.update(data, gradient, state)
    np.testing.assert_allclose(data, reference(**options), rtol=1e-13)


def test_every_parameter_has_a_state_of_its_own_and_values_carry_none():
    a, b = Value(1.0), Value(1.0)
    steps = SGD([a, b], lr=1.0, momentum=0.5)
    a.grad, b.grad = 1.0, 2.0
    steps.step()
    steps.step()
    assert (a.data, b.data) == (1 - 1 - 1.5, 1 - 2 - 3.0)
    before = sys.getsizeof(a)
    gc.collect()
    assert not hasattr(a, "__dict__") and sys.getsizeof(a) == before


def test_the_learning_rate_may_change_between_steps():
    a = Value(1.0)
    steps = SGD([a], lr=1.0)
    a.grad = 1.0
    steps.step()
    steps.lr = 0.5
    steps.step()
    assert a.data == -0.5


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: SGD(MLP(1, [1]).parameters), TypeError, r"SGD needs a list of Values, got method .*pass \.parameters\(\)"),
        (lambda: SGD(Value(1.0)), TypeError, r"SGD needs a list of Values, got Value Value\(data=1.0.*a list of Values"),
        (lambda: Adam([Value(1.0)], lr=float("nan")), ValueError, "lr must be a finite number and not negative, got nan"),
        (lambda: SGD([Value(1.0)], lr=float("inf")), ValueError, "lr must be a finite number and not negative, got inf"),
        (lambda: SGD([Value(1.0)], lr="0.1"), TypeError, "expected a number, got str '0.1'"),
        (lambda: SGD([]), ValueError, "SGD needs at least one parameter, got none"),
        (lambda: Adam([1.0]), TypeError, "Adam needs Values as parameters, got float 1.0"),
        (lambda: SGD([Value(1.0)], lr=-1.0), ValueError, "lr must be a finite number and not negative, got -1.0"),
        (lambda: AdamW([Value(1.0)], weight_decay=-0.1), ValueError, "weight_decay must be .* not negative, got -0.1"),
        (lambda: SGD([Value(1.0)], weight_decay=float("nan")), ValueError, "weight_decay must be a finite number .*got nan"),
        (lambda: Adam([Value(1.0)], eps=-1e-8), ValueError, "eps must be a finite number and not negative, got -1e-08"),
        (lambda: SGD([Value(1.0)], momentum=1.0), ValueError, r"momentum must be in \[0, 1\), got 1.0"),
        (lambda: Adam([Value(1.0)], betas=(0.9, 1.0)), ValueError, r"betas must be in \[0, 1\), got \(0.9, 1.0\)"),
        (lambda: SGD([Value(1.0) * 2]), ValueError, "SGD needs leaves as parameters, got Value.*made by 'mul'"),
        (lambda: Adam([w := Value(1.0, label="w"), w]), ValueError, "Adam got a parameter twice: Value.*label='w'"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_an_optimiser_without_a_rule_says_so():
    with pytest.raises(NotImplementedError):
        Optimiser([Value(1.0)], lr=0.1)
