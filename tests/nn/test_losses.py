"""Losses against closed forms, at extremes, and with targets that do not fit."""

import math

import numpy as np
import pytest
from mpmath import mp
from ulps import off

from micrograd import (
    MLP,
    Value,
    adjoints,
    binary_cross_entropy,
    cosine_similarity,
    cross_entropy,
    gradcheck,
    hessian,
    hinge,
    huber,
    jit,
    kl_divergence,
    l1,
    mse,
    nll,
)  # fmt: skip

PREDICTIONS = [0.3, -1.7, 2.5, 1.0]
SIGNS = [1, -1, -1, 1]
CLASSES = [0, 1, 1, 0]


def closed_form(loss, predictions, targets):
    def sigmoid(z):
        return 1 / (1 + mp.exp(-z))

    terms = {
        mse: lambda p, t: (p - t) ** 2,
        hinge: lambda s, t: max(mp.mpf(0), 1 - t * s),
        binary_cross_entropy: lambda z, t: -t * mp.log(sigmoid(z)) - (1 - t) * mp.log(1 - sigmoid(z)),
    }
    exact = [(mp.mpf(p), t) for p, t in zip(predictions, targets, strict=True)]
    return sum(terms[loss](p, t) for p, t in exact) / len(exact)


def slope(loss, p, t):
    """∂/∂p of one term."""
    if loss is mse:
        return 2 * (p - t)
    if loss is hinge:
        return -t if t * p < 1 else -t / 2 if t * p == 1 else 0.0
    return 1 / (1 + math.exp(-p)) - t


@pytest.mark.parametrize("loss, targets", [(mse, [0.5, -2, 0, 1.5]), (hinge, SIGNS), (binary_cross_entropy, [1, 0, 0.25, 1])])
def test_losses_are_the_mean_of_their_terms(loss, targets):
    values = [Value(p) for p in PREDICTIONS]
    out = loss(values, targets)
    with mp.workdps(50):
        assert off(out.data, closed_form(loss, PREDICTIONS, targets)) <= 4
    assert loss(PREDICTIONS, targets) == out.data  # on floats, too
    assert loss(np.array(PREDICTIONS), np.array(targets)) == out.data
    gradient = adjoints(out)
    for v, p, t in zip(values, PREDICTIONS, targets, strict=True):
        assert gradient[v] == pytest.approx(slope(loss, p, t) / 4, rel=1e-14, abs=1e-16)
    single = loss(Value(0.3), targets[0])
    assert single.data == loss([0.3], [targets[0]])


def test_cross_entropy_is_the_surprise_of_the_right_class():
    logits = [[0.1, -2.0, 0.7], [3.0, 3.0, -1.0]]
    values = [[Value(z) for z in row] for row in logits]
    out = cross_entropy(values, [2, 0])
    with mp.workdps(50):
        truth = [mp.log(sum(mp.exp(mp.mpf(z)) for z in row)) - mp.mpf(row[t]) for row, t in zip(logits, [2, 0], strict=True)]
        assert off(out.data, sum(truth) / 2) <= 4
    assert cross_entropy(logits, [2, 0]) == cross_entropy(np.array(logits), np.array([2, 0])) == out.data
    gradient = adjoints(out)
    for row, numbers, t in zip(values, np.array(logits), [2, 0], strict=True):
        softmax = np.exp(numbers) / np.exp(numbers).sum()
        for k, v in enumerate(row):
            assert gradient[v] == pytest.approx((softmax[k] - (k == t)) / 2, rel=1e-13)
    assert cross_entropy(values[0], 2).data == cross_entropy([values[0]], [2]).data


def test_no_loss_overflows_or_loses_its_gradient_where_it_is_most_wrong():
    z = Value(-1000.0)
    out = binary_cross_entropy(z, 1.0)
    assert (out.data, adjoints(out)[z]) == (1000.0, -1.0)
    z = Value(1000.0)
    out = binary_cross_entropy([z], [0])
    assert (out.data, adjoints(out)[z]) == (1000.0, 1.0)
    row = [Value(1000.0), Value(-1000.0)]
    out = cross_entropy(row, 1)
    assert out.data == 2000.0 and [adjoints(out)[v] for v in row] == [1.0, -1.0]


def test_hinge_shares_its_kink():
    s = Value(1.0)
    assert adjoints(hinge(s, 1))[s] == -0.5


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: mse([1.0, 2.0], [1.0]),
            "mse needs one target for each prediction, and at least one; got a list of 2 and a list of 1",
        ),
        (lambda: hinge([1.0], [1.0, 1.0]), "hinge needs .* got a list of 1 and a list of 2"),
        (lambda: binary_cross_entropy([], []), "binary_cross_entropy needs .* got a list of 0 and a list of 0"),
        (lambda: mse([1.0, 2.0], 1.0), "mse needs .* got a list of 2 and 1.0, no list"),
        (lambda: mse(Value(1.0), [1.0]), "mse needs .* got Value.*, no list, and a list of 1"),
        (lambda: cross_entropy([], 0), r"cross_entropy needs a list of logits, one for each class; got \[\]"),
        (lambda: cross_entropy(Value(1.0), 0), "cross_entropy needs a list of logits, one for each class; got Value"),
        (lambda: mse([[1.0, 2.0]], [[1.0]]), "mse needs .* got a list of 2 and a list of 1"),
        (lambda: mse([[1.0, 2.0]], [1.0]), "mse needs .* got a list of 2 and 1.0, no list"),
        (lambda: cross_entropy([[1.0, 2.0]], [0, 1]), "cross_entropy needs .* got a list of 1 and a list of 2"),
        (lambda: cross_entropy([[1.0, 2.0]], 1), "cross_entropy needs .* got a list of 1 and 1, no list"),
        (lambda: cross_entropy([1.0, 2.0], [1]), r"an int from 0 to 1, as target, got \[1\]"),
        (lambda: cross_entropy([1.0, 2.0], 2), "an int from 0 to 1, as target, got 2"),
        (lambda: cross_entropy([1.0, 2.0], -1), "an int from 0 to 1, as target, got -1"),
        (lambda: cross_entropy([1.0, 2.0], 0.5), "an int from 0 to 1, as target, got 0.5"),
        (lambda: hinge([1.0, 2.0], [1, 0]), "hinge needs -1 or 1 as target, got 0: for classes 0 and 1, 2"),
        (lambda: hinge(Value(1.0), np.float64(0.5)), "hinge needs -1 or 1 as target, got .*0.5"),
        (lambda: binary_cross_entropy([1.0], [-1]), "needs a target from 0 to 1, got -1: for classes -1 and 1, "),
        (lambda: binary_cross_entropy([1.0], [math.nan]), "needs a target from 0 to 1, got nan"),
        (lambda: cross_entropy([1.0, 2.0], "1"), "an int from 0 to 1, as target, got '1'"),
    ],
)
def test_targets_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_rows_of_predictions_are_averaged_over_all():
    rows, targets = [[Value(1.0), Value(2.0)], [Value(-1.0), Value(0.5)]], np.array([[0.0, 2.0], [1.0, 0.0]])
    out = mse(rows, targets)
    assert out.data == (1.0 + 0.0 + 4.0 + 0.25) / 4
    assert [adjoints(out)[v] for v in rows[0] + rows[1]] == [0.5, 0.0, -1.0, 0.25]


def test_a_value_is_no_class():
    with pytest.raises(TypeError, match="is no index and no int"):
        cross_entropy([1.0, 2.0], Value(1.0))


def test_a_network_learns_by_every_loss():
    xs, ys = [[-1.0, 0.5], [1.0, 0.3], [0.2, -1.0]], [1, 0, 1]
    for loss, targets, outputs in (
        (mse, ys, 1),
        (hinge, [2 * y - 1 for y in ys], 1),
        (binary_cross_entropy, ys, 1),
        (cross_entropy, ys, 2),
    ):
        net = MLP(2, [4, outputs], activation="tanh", seed=0)
        losses = []
        for _ in range(30):
            out = loss([net(x) for x in xs], targets)
            net.zero_grad()
            out.backward()
            for p in net.parameters():
                p.data -= 0.1 * p.grad
            losses.append(out.data)
        assert losses[-1] < 0.6 * losses[0], loss.__name__


ROWS, CLASSES_OF_ROWS = [[-0.3, -1.9, -2.2], [-2.0, -0.2, -3.1]], [0, 2]
PROBABILITIES = [[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]]
PAIRS = [
    (mse, PREDICTIONS, SIGNS), (l1, PREDICTIONS, SIGNS), (huber, PREDICTIONS, SIGNS), (hinge, PREDICTIONS, SIGNS),
    (binary_cross_entropy, PREDICTIONS, CLASSES), (cross_entropy, ROWS, CLASSES_OF_ROWS), (nll, ROWS, CLASSES_OF_ROWS),
    (kl_divergence, ROWS, PROBABILITIES), (cosine_similarity, ROWS, PROBABILITIES),
]  # fmt: skip


@pytest.mark.parametrize("loss, predictions, targets", PAIRS, ids=lambda x: getattr(x, "__name__", ""))
def test_reductions_are_of_the_losses_of_the_pairs(loss, predictions, targets):
    alone = [loss(p, t) for p, t in zip(predictions, targets, strict=True)]
    assert loss(predictions, targets, reduction="none") == alone
    assert loss(predictions, targets, reduction="sum") == pytest.approx(sum(alone), rel=1e-15)
    assert loss(predictions, targets) == pytest.approx(sum(alone) / len(alone), rel=1e-15)
    assert gradcheck(lambda *p: loss(p, targets) if np.ndim(predictions) == 1 else loss(list(p), targets), *predictions)
    out = jit(lambda p: loss(p, targets), backend="numpy")(predictions)
    assert out == pytest.approx(loss(predictions, targets), rel=1e-14)
    for wrong in ("average", None):
        with pytest.raises(ValueError, match=f"reduction must be 'mean', 'sum' or 'none', got {wrong!r}"):
            loss(predictions[0], targets[0], reduction=wrong)


def test_the_other_losses_against_their_definitions():
    p, t = np.array(PREDICTIONS), np.array(SIGNS)
    far = np.abs(p - t)
    assert l1(PREDICTIONS, SIGNS) == pytest.approx(far.mean(), rel=1e-15)
    for delta in (0.5, 1.0, 10.0):
        expected = np.where(far <= delta, far**2 / 2, delta * (far - delta / 2)).mean()
        assert huber(PREDICTIONS, SIGNS, delta) == pytest.approx(expected, rel=1e-14)
    kink = Value(1.0)
    assert adjoints(huber(kink, 0.0))[kink] == 1.0 and adjoints(huber(kink, 1.0))[kink] == 0.0
    curvature = hessian(lambda p: huber(p, 1.0))
    assert [curvature(at) for at in (1.0, 1.5, 0.25, 3.0)] == [1.0, 1.0, 1.0, 0.0]
    rows, q = np.array(ROWS), np.array(PROBABILITIES)
    assert nll(ROWS, CLASSES_OF_ROWS) == pytest.approx((0.3 + 3.1) / 2)
    expected = np.where(q > 0, q * (np.log(np.where(q > 0, q, 1)) - rows), 0).sum(axis=1).mean()
    assert kl_divergence(ROWS, PROBABILITIES) == pytest.approx(expected, rel=1e-14)
    for call in (lambda *p: kl_divergence([-math.inf, 0.0], p), jit(lambda *p: kl_divergence([-math.inf, 0.0], p))):
        assert call(0.0, 1.0) == 0.0
    x, p = Value(0.0), Value(0.0)
    for targets in ([0.0, 1.0], [p, Value(1.0)]):
        out = kl_divergence([x.log(), Value(-1.0)], targets)
        assert (out.data, adjoints(out, x)[x]) == (1.0, 0.0)
    expected = ((rows * q).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(q, axis=1)).mean()
    assert cosine_similarity(ROWS, PROBABILITIES) == pytest.approx(expected, rel=1e-14)
    zero = [Value(0.0), Value(0.0)]
    out = cosine_similarity(zero, [1.0, 0.0])
    assert out.data == 0.0 and all(math.isfinite(g) for g in adjoints(out, zero).values())


@pytest.mark.parametrize("size", [1e-140, 1e-9, 1e-7, 1e-5, 1.0, 1e75, 1e150])
def test_each_vector_counts_as_at_least_so_long(size):
    xs = [Value(3.0 * size), Value(4.0 * size)]
    for ys in ([1.0, 0.0], [5e-12, 0.0], [1e150, 0.0]):
        long, other = max(5.0 * size, 1e-8), max(ys[0], 1e-8)
        out = cosine_similarity(xs, ys)
        cosine = 3.0 * size / long * (ys[0] / other)
        assert out.data == pytest.approx(cosine, rel=1e-14)
        inner = 0.6 if 5.0 * size > 1e-8 else 0.0  # how much of a step along y is one along x
        slope = (ys[0] / other - inner * cosine) / long
        assert adjoints(out, xs)[xs[0]] == pytest.approx(slope, rel=1e-12)


def test_a_loss_of_one_row_has_no_empty_steps():
    row = [Value(0.5), Value(1.0)]
    out = cross_entropy([row], [1])
    assert out.op == "sub" and [v.op for v in out.parents] == ["logsumexp", ""]
    assert mse([Value(1.0)], [0.5]).op == "pow"


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: huber([1.0], [0.0], delta=0), "delta must be a positive number, got 0"),
        (lambda: nll([0.0, -1.0], 2), "nll needs the index of a class, an int from 0 to 1, as target, got 2"),
        (lambda: kl_divergence([0.0, -1.0], [0.5]), "one probability for each of 2 classes as target, got"),
        (lambda: kl_divergence([0.0, -1.0], [0.5, -0.5]), "probabilities from 0 to 1 as targets, got -0.5"),
        (lambda: cosine_similarity([1.0, 2.0], [1.0]), "dot needs two sequences of one length"),
    ],
)
def test_what_the_other_losses_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()
