"""The schedule: few vector instructions for regular code, and exactly the tape's numbers for any code."""

import random
import time

import numpy as np
import pytest
from programs import program
from tapes import interpreted, recorded

import micrograd as mg
from micrograd import Value
from micrograd.primitives import RULES
from micrograd.tape.back_ends import reference
from micrograd.tape.scheduling.vectorise import scheduled
from micrograd.tape.tape import Tape


@pytest.mark.parametrize("reduce", [False, True])
@pytest.mark.parametrize("seed", range(60))
def test_a_schedule_computes_exactly_what_its_tape_does(seed, reduce):
    function, inputs, leaves = program(seed)
    tape, _ = recorded(function, [0.3] * inputs, wrt=leaves)
    rng = np.random.default_rng(seed)
    n = 11
    cut = rng.integers(0, inputs + 1)
    fields = [(int(cut), True), (int(inputs - cut), bool(rng.integers(2)))]
    arrays = [rng.normal(size=(n, w) if varying else w) for w, varying in fields]
    theta = np.array([p.data for p in leaves])
    found = interpreted(scheduled(tape, fields, reduce), arrays, theta, n)
    expected = reference.Program(tape, fields, reduce)(arrays, theta, n)
    np.testing.assert_array_equal(found, expected)


def network(nin, nouts, loss, example):
    model = mg.MLP(nin, nouts, seed=1)
    return recorded(lambda v: loss(model(v[:nin]), v[nin]), [0.3] * nin + [example])[0]


@pytest.mark.parametrize("reduce", [True])
@pytest.mark.parametrize(("nin", "nouts", "loss", "example"), [(3, [4, 4, 1], mg.hinge, 1.0), (4, [5, 3], mg.cross_entropy, 2)])
def test_a_network_s_schedule_computes_exactly_what_its_tape_does(nin, nouts, loss, example, reduce):
    tape = network(nin, nouts, loss, example)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(20, nin)), rng.integers(0, 2, size=(20, 1))]
    theta = rng.normal(size=tape.leaves)
    fields = [(nin, True), (1, True)]
    found = interpreted(scheduled(tape, fields, reduce), arrays, theta, 20)
    np.testing.assert_array_equal(found, reference.Program(tape, fields, reduce)(arrays, theta, 20))


@pytest.mark.parametrize("seen", [4, 2])
@pytest.mark.parametrize("biases", [(0, 1, 2), (0, 2), (1,), ()])
def test_some_neurons_of_a_layer_have_a_bias_and_others_none(biases, seen):
    """Only where all have one, and see all inputs, does its derivative come from a column of ones behind the inputs."""
    rng = np.random.default_rng(0)
    w = [[mg.Value(v) for v in row] for row in rng.normal(size=(3, 4))]
    b = {k: mg.Value(0.1 * k) for k in biases}

    def function(x):
        return mg.sum([mg.tanh(mg.dot(row[:seen], x[:seen]) + b.get(k, 0.0)) for k, row in enumerate(w)])

    leaves = [v for row in w for v in row] + list(b.values())
    tape, _ = recorded(function, [0.3] * 4, wrt=leaves)
    arrays, theta = [rng.normal(size=(20, 4))], np.array([v.data for v in leaves])
    found = interpreted(scheduled(tape, [(4, True)], True), arrays, theta, 20)
    np.testing.assert_array_equal(found, reference.Program(tape, [(4, True)], True)(arrays, theta, 20))


FINALS = {
    "a product": lambda v, w: v[0] * v[1],
    "a sum": lambda v, w: mg.sum(v[:3]),
    "a dot": lambda v, w: mg.dot(v[:2], v[2:4]),
    "a dot with a start": lambda v, w: mg.dot(v[:2], v[2:4], start=3.0),
    "a dot with a start that varies": lambda v, w: mg.dot(v[:2], v[2:4], start=v[4]),
    "weights that are used again": lambda v, w: mg.sum(
        [mg.tanh(mg.dot(w[i : i + 3], v[j : j + 3])) for i in (0, 3) for j in (0, 3)]
    ),
    "biases too": lambda v, w: mg.sum([mg.tanh(mg.dot(w[i : i + 3], v[j : j + 3], w[6 + i])) for i in (0, 3) for j in (0, 3)]),
}


@pytest.mark.parametrize("name", FINALS)
def test_what_is_summed_over_the_samples_at_last_is_what_the_tape_sums(name):
    tape, _ = recorded(lambda v: FINALS[name](v, WEIGHTS), [0.3] * 6, wrt=WEIGHTS)
    arrays, theta = [np.random.default_rng(0).normal(size=(20, 6))], np.array([w.data for w in WEIGHTS])
    found = interpreted(scheduled(tape, [(6, True)], True), arrays, theta, 20)
    np.testing.assert_array_equal(found, reference.Program(tape, [(6, True)], True)(arrays, theta, 20))


def test_a_small_network_is_23_vector_instructions():
    schedule = scheduled(network(2, [16, 16, 1], mg.hinge, 1.0), [(2, True), (1, True)], True)
    assert len(schedule.code) <= 23
    assert not any(o.strides is None for v in schedule.code for o in (*v.operands, v.out)), "no gathers"
    products = [v for v in schedule.code if v.over and v.rule is RULES["dot"]]
    assert [v.shape for v in products] == [(16, 3), (16, 17), (17,)], "weights and biases of a layer are one product"


def test_784_128_10_is_19_vector_instructions():
    schedule = scheduled(network(784, [128, 10], mg.cross_entropy, 3), [(784, True), (1, True)], True)
    assert len(schedule.code) <= 19  # three of them divide the shares of the loss, exp(x - out), by their sum
    assert not any(o.strides is None for v in schedule.code for o in (*v.operands, v.out)), "no gathers"
    assert str(schedule).count("\n") == len(schedule.code)


WEIGHTS = [Value(0.1 * i) for i in range(24)]
SCATTERED = {  # of a key and the inputs; the keys, and how many vector instructions these are
    "sums": (lambda i, v: mg.sum(v[3 * i : 3 * i + 3]), range(8), 1),
    "products": (lambda i, v: v[i] * v[8 + i], range(8), 1),
    "dots": (lambda i, v: mg.dot(v[3 * i : 3 * i + 3], v[24 + 3 * i : 27 + 3 * i]), range(8), 1),
    "shared factors on either side": (
        lambda i, v: mg.dot(*(v[3 * i : 3 * i + 3], WEIGHTS[3 * i : 3 * i + 3])[:: 1 - 2 * (i % 2)]),
        range(8),
        1,
    ),
    "starts of two kinds": (
        lambda i, v: mg.dot(v[3 * i : 3 * i + 3], v[24 + 3 * i : 27 + 3 * i], v[48 + i] if i < 4 else WEIGHTS[i]),
        range(8),
        2,
    ),
    "of three vectors": (lambda i, v: (mg.sin, mg.exp, mg.tanh)[i // 3](v[i]) * v[(8, 20, 50)[i // 3] + i], range(9), 3 + 3),
    "heads of an attention": (
        lambda i, v: mg.dot(*[v[at + 4 * k : at + 4 * k + 4] for at, k in ((8 * i[0], i[1]), (64 + 8 * i[0], i[2]))]),
        [*np.ndindex(8, 2, 2)],
        1,
    ),
}


@pytest.mark.parametrize("name", SCATTERED)
def test_alike_instructions_in_any_order_read_views(name):
    function, keys, count = SCATTERED[name]
    keys = random.Random(1).sample([*keys], len(keys))
    tape, _ = recorded(lambda v: mg.sum([mg.sin(function(i, v)) for i in keys]), [0.5] * 128, gradient=False, wrt=WEIGHTS)
    *code, _ = scheduled(tape, [(128, True)], False).code
    assert len(code) == count + 1
    assert not any(o.strides is None for v in code for o in (*v.operands, v.out)), "no gathers but of the terms of the last sum"


def test_python_s_own_sum_and_products_become_dots_and_sums():
    w = [Value(float(i)) for i in range(5)]
    tape, _ = recorded(lambda v: sum(a * b for a, b in zip(w, v, strict=False)), [1.0] * 5, gradient=False)
    assert [rule.name for rule, _ in tape.instructions] == ["dot"]
    tape, _ = recorded(lambda v: sum(v), [1.0] * 5, gradient=False)
    assert [rule.name for rule, _ in tape.instructions] == ["sum"]
    tape, _ = recorded(lambda v: sum((a * b for a, b in zip(w, v, strict=False)), w[0]) + v[0], [1.0] * 5, gradient=False)
    assert [rule.name for rule, _ in tape.instructions] == ["dot"]


def test_equal_instructions_merge_and_constants_fold():
    tape, _ = recorded(
        lambda v: mg.exp(mg.sin(v[0] * v[1]) + mg.sin(v[0] * v[1]) ** (mg.constant(1.0) + 4)), [1.0, 2.0], gradient=False
    )
    assert [rule.name for rule, _ in tape.instructions] == ["mul", "sin", "pow", "add", "exp"]
    assert tape.constants == [5.0]


def chains(n: int) -> Tape:
    """An irregular tape of n instructions."""
    rng = np.random.default_rng(0)
    names = ["add", "mul", "sub", "maximum"]
    rules = [RULES[names[i]] for i in rng.integers(0, 4, n)]
    operands = (rng.random((n, 2)) ** 0.5 * np.arange(10, n + 10)[:, None]).astype(int).tolist()
    return Tape(10, 0, [], [(r, tuple(o)) for r, o in zip(rules, operands, strict=False)], [n + 9])


@pytest.mark.slow
def test_time_to_schedule_grows_linearly():
    times = {}
    for n in (300, 3000, 30_000, 300_000):
        tape = chains(n)
        start = time.perf_counter()
        scheduled(tape, [(10, True)], False)
        times[n] = time.perf_counter() - start
        print(n, times[n])
    assert times[300_000] < 40 * times[30_000] and times[30_000] < 40 * times[3000]
