"""Levels: instructions that wait for others of their kind give the same numbers in fewer vector instructions."""

import math

import numpy as np
import pytest
from programs import factored, matrix, program
from tapes import interpreted, recorded

import micrograd as mg
from micrograd.tape.back_ends import reference
from micrograd.tape.scheduling import levels
from micrograd.tape.scheduling.levels import earliest, waiting
from micrograd.tape.scheduling.vectorise import analysed, scheduled


def slopes(n):
    """The tape of the sum of its derivatives."""
    return recorded(lambda x: mg.sum(mg.grad(factored(n))(list(x))), matrix(n).tolist(), gradient=False)[0]


@pytest.fixture
def always(monkeypatch):
    """Wait wherever that is possible, also where it makes no fewer groups."""
    monkeypatch.setattr(levels, "MANY_GROUPS", 0)
    monkeypatch.setattr(levels, "SMALL_GROUP", math.inf)
    monkeypatch.setattr(levels, "FEWER", 0)


@pytest.mark.parametrize("reduce", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_instructions_that_wait_compute_what_the_tape_does(seed, reduce, always):
    function, inputs, leaves = program(seed)
    tape, _ = recorded(function, [0.3] * inputs, wrt=leaves)
    rng = np.random.default_rng(seed)
    fields, theta = [(inputs - 1, True), (1, False)], np.array([p.data for p in leaves])
    arrays = [rng.normal(size=(11, inputs - 1)), rng.normal(size=1)]
    found = interpreted(scheduled(tape, fields, reduce), arrays, theta, 11)
    np.testing.assert_array_equal(found, reference.Program(tape, fields, reduce)(arrays, theta, 11))


@pytest.mark.parametrize("seed", range(6))
def test_in_each_group_some_instruction_cannot_wait_any_longer(seed, always):
    """A group is of one kind, and of what all samples share, or of what varies."""
    function, inputs, leaves = program(seed)
    tape, _ = recorded(function, [0.3] * inputs, wrt=leaves)
    it = analysed(tape, [(inputs - 1, True), (1, False)], False)
    early, first = tape.levels(), tape.first
    found = it.levels or waiting(tape, early, it.places.varies)
    assert found is not None
    latest = [max(early)] * len(found)
    for k in reversed(range(len(found))):
        for x in tape.instructions[k][1]:
            if x >= first:
                latest[x - first] = min(latest[x - first], latest[k] - 1)
    groups = {}
    for k, (rule, xs) in enumerate(tape.instructions):
        groups.setdefault((found[k], rule, len(xs), bool(it.places.varies[first + k])), []).append(latest[k])
    assert all(min(group) == key[0] for key, group in groups.items())


@pytest.mark.parametrize("varying", [False, True])
def test_operands_come_first_and_elimination_has_a_few_groups_a_row(varying):
    n = 20
    tape = slopes(n)
    found = analysed(tape, [(n * n, varying)], False).levels
    assert found is not None
    level_of = dict(enumerate(found, tape.first))
    early = earliest([(slot, *one) for slot, one in enumerate(tape.instructions, tape.first)])
    for level, soonest, (_, operands) in zip(found, early, tape.instructions, strict=True):
        assert level >= soonest and all(level_of.get(x, 0) < level for x in operands)
    groups, of_earliest = (
        len({(level, rule, len(xs)) for level, (rule, xs) in zip(each, tape.instructions, strict=True)})
        for each in (found, early)
    )
    assert groups <= 8 * n < of_earliest / 2


def test_regular_code_does_not_wait(monkeypatch):
    monkeypatch.setattr(levels, "MANY_GROUPS", 0)
    model = mg.MLP(5, [7, 6, 1], seed=1)
    tape, _ = recorded(lambda x: model(x) ** 2, [0.3] * 5)
    monkeypatch.setattr(levels, "SMALL_GROUP", math.inf)
    assert waiting(tape, tape.levels(), np.ones(tape.first + len(tape.instructions), bool)) is None


def test_chains_of_different_kinds_do_not_wait(monkeypatch):
    """On each level there is one instruction of each kind, now and later."""
    monkeypatch.setattr(levels, "MANY_GROUPS", 0)

    def chains(x):
        a, b, c = x[0].sin(), x[0].tanh(), x[0].exp()
        for _ in range(9):
            a, b, c = a.sin(), b.tanh(), c.exp()
        return mg.sum([a, b, c])

    tape, _ = recorded(chains, [0.3], gradient=False)
    count = len(tape.instructions)
    assert count == 31 and waiting(tape, tape.levels(), np.ones(tape.first + count, bool)) is None


def test_what_has_large_groups_already_does_not_wait(always, monkeypatch):
    layer = [mg.Value(0.1 * i) for i in range(40)]
    tape, _ = recorded(lambda x: mg.sum([mg.tanh(w * x[0]) for w in layer]), [0.3], wrt=layer)
    early, varies = tape.levels(), np.ones(tape.first + len(tape.instructions), bool)
    assert waiting(tape, early, varies) is not None
    monkeypatch.setattr(levels, "SMALL_GROUP", 2)
    assert waiting(tape, early, varies) is None


@pytest.mark.parametrize("varying", [False, True])
def test_a_row_and_a_column_are_products_with_one_vector_each(varying):
    """Where they share a corner too; in the gradient once the terms of each entry are in the order of the rows."""
    n = 20
    tape = slopes(n)
    space, loose = "r" if varying else "s", []
    for exact in (True, False):
        lines = [line for line in str(scheduled(tape, [(n * n, varying)], False, exact)).splitlines() if " @ " in line]
        loose.append(sum(line.count("gather") > 1 and f"{space}[gather 1×" not in line for line in lines))
    assert loose[1] < 4 < n // 2 < loose[0]


@pytest.mark.parametrize("how", [{"precision": "exact"}, {}])
def test_a_factorisation_and_its_gradient(how):
    n = 20
    f, x = mg.value_and_grad(factored(n)), matrix(n)
    expected, gradient = mg.jit(f, backend="reference")(x)
    value, found = mg.jit(f, backend="llvm", **how)(x)
    if how:
        assert value == expected and np.array_equal(found, gradient)
    np.testing.assert_allclose(value, np.linalg.slogdet(x.reshape(n, n))[1], rtol=1e-14)
    np.testing.assert_allclose(found.reshape(n, n), np.linalg.inv(x.reshape(n, n)).T, rtol=1e-12, atol=1e-16)
    many = np.stack([x, 2.0 * x, x + 0.01])
    assert np.array_equal(mg.jit(f, backend="llvm", **how).map(many)[1][0], found) or not how
