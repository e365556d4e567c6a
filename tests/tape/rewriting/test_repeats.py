"""Equal operations merged before differentiation: fewer of them, the same derivatives, the same every time."""

import itertools
import random

import numpy as np
import pytest

import micrograd as mg
from micrograd import Value, custom_derivative, grad, jit
from micrograd.primitives import RULES
from micrograd.tape.recording.record import Recording
from micrograd.tape.rewriting.passes import optimised
from micrograd.tape.rewriting.repeats import merged


def determinant(rows):
    """By minors, each of which is computed anew wherever it occurs."""
    if len(rows) == 1:
        return rows[0][0]
    terms = [(-1.0) ** j * x * determinant([row[:j] + row[j + 1 :] for row in rows[1:]]) for j, x in enumerate(rows[0])]
    return mg.sum(terms)


def tape_of(function, count, merges, wrt=None):
    recording = Recording(function, [0.3 + 0.1 * i for i in range(count)], lambda out: [out], wrt, merges=merges)
    return optimised(recording.tape(recording.gradient()))


def test_a_determinant_by_minors_is_differentiated_once_for_each_minor():
    n = 6
    a = np.random.default_rng(0).normal(size=(n, n))
    truth = np.linalg.inv(a).T * np.linalg.det(a)
    w = [Value(x) for x in a.ravel()]
    function = lambda s: determinant([w[i * n : i * n + n] for i in range(n)]) * s  # noqa: E731
    few, many = (len(tape_of(lambda xs: function(xs[0]), 1, merges).instructions) for merges in (True, False))
    assert few < 0.2 * many
    fast, exact = jit(function, wrt=w), jit(function, wrt=w, precision="exact")
    np.testing.assert_allclose(fast.value_and_grad(a.ravel(), [1.0])[1], truth.ravel(), rtol=1e-11)
    eager = mg.adjoints(function(1.0))
    assert exact.value_and_grad(a.ravel(), [1.0])[1].tolist() == [eager[v] for v in w]
    of_matrix = lambda m: determinant([list(row) for row in m])  # noqa: E731
    np.testing.assert_allclose(jit(grad(of_matrix))(a), truth, rtol=1e-11)  # inside a transform too


def random_program(seed):
    """Operations on a small pool, of which many come again; with detached copies, literals of either sign and own rules."""
    rng = random.Random(seed)
    leaves = [Value(rng.uniform(0.2, 1.0)) for _ in range(3)]
    own = custom_derivative(lambda x: x * x, lambda x, out: 3.0 * x)  # not its derivative, so that one sees which is taken
    kinds = rng.choices(range(8), (6, 6, 6, 0.5, 0.5, 4, 2, 4), k=12)
    plan = [(kind, rng.randrange(6), rng.randrange(6)) for kind in kinds]

    def function(xs):
        total = 0.0
        for turn in range(4):
            pool = [*xs, *leaves, leaves[0] * 1.0]
            for kind, i, j in plan:
                a, b = pool[-1 - i % 3], pool[j]
                pool.append(
                    [
                        lambda a, b: a * b,
                        lambda a, b: a + b,
                        lambda a, b: mg.sin(a) * 0.5,
                        lambda a, b: a.detach() * b,
                        lambda a, b: own(a),
                        lambda a, b: mg.where(a - b, a, b * 2.0),
                        lambda a, b: mg.atan2(a * -0.0, -1.0) + mg.atan2(a * 0.0, -1.0),
                        lambda a, b: mg.dot([a, b], [b, leaves[1]], start=a),
                    ][kind](a, b)
                )
            total = total + pool[-1] * own(pool[-2] + turn) * (turn + 1.0)
        return total

    return function, leaves


@pytest.mark.parametrize("seed", range(30))
def test_merged_programs_compute_what_they_did(seed):
    function, leaves = random_program(seed)
    xs = np.random.default_rng(seed).uniform(0.3, 1.0, size=(5, 2))
    theta = [p.data for p in leaves]
    fast, exact = (jit(function, wrt=leaves, backend="llvm", precision=p) for p in ("fast", "exact"))
    found, expected = fast.value_and_grad(theta, xs), exact.value_and_grad(theta, xs)
    assert found[0] == pytest.approx(expected[0], rel=1e-11)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-10, atol=1e-12)
    eager = [mg.adjoints(function([Value(x) for x in row])) for row in xs.tolist()]
    np.testing.assert_allclose(found[1], [sum(g.get(p, 0.0) for g in eager) / 5 for p in leaves], rtol=1e-10, atol=1e-12)
    one, two = (tape_of(function, 2, True, leaves) for _ in range(2))
    assert str(one) == str(two), "the same every time"
    assert all(rule.name in RULES for rule, _ in one.instructions), "what can be compiled of rules of one's own still is"


def test_graphs_with_few_equal_operations_stay_and_no_node_is_changed():
    a, b = Value(1.0), Value(2.0)
    outputs = [mg.sin(a * k) * b for k in range(1, 20)]
    assert merged(outputs, mg.engine.all_below(*outputs), {}) is None
    twice = [mg.sin(a * b + 1.0) * (a * b), mg.sin(a * b + 1.0) * 2.0]
    parents = [v.parents for v in twice]
    fewer = merged(twice, mg.engine.all_below(*twice), {})
    assert [v.data for v in fewer] == [v.data for v in twice] and [v.parents for v in twice] == parents
    assert len(mg.topological_order(*fewer)) == 7 and len(mg.topological_order(*twice)) == 11
    assert fewer[0].parents[0] is fewer[1].parents[0]


def test_zeros_of_both_signs_and_nans_are_told_apart():
    a = Value(1.0)
    b = Value(2.0)
    outputs = [a / 0.0, a / -0.0, a / 0.0, a * float("nan"), a * float("nan"), a - b, b - a]
    fewer = merged(outputs, mg.engine.all_below(*outputs), {})
    assert [v.data for v in fewer[-2:]] == [-1.0, 1.0], "the order of operands counts"
    assert fewer[0] is fewer[2] and fewer[0].data == -fewer[1].data == float("inf") and fewer[3] is fewer[4]


@pytest.mark.parametrize("many", [False, True])
def test_calls_of_a_function_of_ones_own_that_give_other_numbers_stay_apart(many):
    """Such as those of one that draws a mask: here the factors 2, 3, 4, ..."""
    factors = itertools.count(2.0)
    own = custom_derivative(lambda x, *more: x * next(factors), lambda x, *more: (1.0,) + (0.0,) * (len(more) - 1))
    w = Value(1.0)
    f = jit(lambda x: own(x * w, *[x] * many) * own(x * w, *[x] * many), wrt=[w])
    value, (slope,) = f.value_and_grad([1.0], [1.0])
    assert value < (slope / 2.0) ** 2  # so the two factors whose product and sum these are differ


@pytest.mark.parametrize("mode", [mg.no_grad, mg.detect_anomaly])
def test_the_mode_of_a_call_does_not_reach_what_is_merged(mode):
    """Here an infinity on the way, through which nothing flows."""
    w = Value(1.0)
    f = jit(lambda x: w * (mg.sign(mg.exp(x * w)) + mg.sign(mg.exp(x * w + 1.0)) + mg.sign(mg.exp(x * w + 2.0))), wrt=[w])
    with mode():
        assert [f.value_and_grad([1.0], [x])[1].tolist() for x in (1000.0, 1.0)] == [[3.0], [3.0]]


def test_a_graph_is_made_anew_only_for_a_derivative():
    recording = Recording(lambda xs: mg.sum([mg.sin(xs[0]) * mg.sin(xs[0])] * 9), [0.3], lambda out: [out], None, merges=True)
    recording.tape()
    assert recording.results[0] is recording.out, "the passes merge what is run"
    recording.leaves.append(recording.inputs[0])
    recording.gradient()
    assert recording.results[0] is not recording.out
