"""Results that lie in the order in which they are given: the same bits, and rows and columns that need no tables."""

import importlib.util
import random

import numpy as np
import pytest
from programs import factored, matrix

import micrograd as mg
from micrograd.primitives import RULES
from micrograd.tape.tape import Tape

if importlib.util.find_spec("llvmlite") is None:
    pytest.skip("llvmlite is not installed", allow_module_level=True)

from micrograd.tape.back_ends import reference
from micrograd.tape.back_ends.llvm import homes, versions
from micrograd.tape.back_ends.llvm.plan import Plan
from micrograd.tape.back_ends.llvm.program import Program


@pytest.fixture
def always(monkeypatch):
    """Homes wherever there may be any, also where these are no better."""
    found = []

    def planned(schedule, groups):
        found.append(homes.homes(schedule))
        return Plan(schedule, groups, found[-1])

    monkeypatch.setattr(homes, "MANY_RESULTS", 1)
    monkeypatch.setattr(homes, "runs", lambda slots: [])
    monkeypatch.setattr(versions, "planned", planned)
    return found


def layers(rng, inputs):
    """Some vectors of one kind each, their negatives, and outputs among which are any slots, some twice, in any order."""
    slots, code = inputs + 2, []
    for _ in range(rng.randrange(3, 9)):
        name, low = rng.choice(["mul", "sub", "neg", "tanh", "dot", "neg", "sum"]), max(0, slots - rng.randrange(20, 60))
        begin, step, many = rng.randrange(low, slots), rng.choice([1, 1, -1, 2, 0]), rng.randrange(1, 20)
        count = {"dot": 7, "sum": 3, "neg": 1, "tanh": 1}.get(name, 2)
        moves = [rng.choice([0, 1, 1, step]) for _ in range(count)]
        code += [(RULES[name], tuple((begin + 3 * k + i * move) % slots for k, move in enumerate(moves))) for i in range(many)]
        slots += many
    outputs = [*rng.sample(range(slots), rng.randrange(2, slots)), slots - 1, slots - 1, 0, inputs]
    if rng.random() < 0.5:
        outputs = sorted(outputs, reverse=rng.random() < 0.5)
    return Tape(inputs, 0, [0.5, -1.5], code, outputs)


@pytest.mark.parametrize("seed", range(40))
def test_the_bits_are_the_reference_s(seed, always):
    rng = random.Random(seed)
    tape = layers(rng, 30)
    x = np.random.default_rng(seed).normal(size=30)
    for n in (1, 3):
        expected = reference.Program(tape, [(30, False)], False)([x], np.zeros(0), n)
        found = Program(tape, [(30, False)], False, exact=True)([x], np.zeros(0), n)
        np.testing.assert_array_equal(found, expected)
    split = [2, 1, len(tape.outputs) - 3][:: rng.choice([1, -1])]
    grouped = Program(tape, [(20, False), (10, True)], False, exact=True, groups=split)
    X = np.random.default_rng(seed).normal(size=(5, 10))
    expected = reference.Program(tape, [(20, False), (10, True)], False)([x[:20], X], np.zeros(0), 5)
    np.testing.assert_array_equal(np.column_stack(grouped([x[:20], X], np.zeros(0), 5)).T, expected)
    assert always[0] is not None and not (always[0].to == np.arange(len(always[0].to))).all()


def test_functions_of_functions_of_functions_of_results_keep_their_places(always):
    n = 40
    code = [(RULES["mul"], (i, (i + 1) % n)) for i in range(n)]
    for layer, name in enumerate(("neg", "tanh", "sin", "neg"), 1):
        code += [(RULES[name], (layer * n + i,)) for i in range(n)]
    code.append((RULES["sum"], tuple(range(4 * n, 6 * n))))
    tape = Tape(n, 0, [], code, [*(n + 7 * i % n for i in range(n)), 6 * n])
    x = [np.random.default_rng(0).normal(size=n)]
    expected = reference.Program(tape, [(n, False)], False)(x, np.zeros(0), 1)
    np.testing.assert_array_equal(Program(tape, [(n, False)], False, exact=True)(x, np.zeros(0), 1), expected)
    assert always[0] is not None


def test_results_of_programs_with_loops_have_no_homes(always):
    def f(xs):
        state, total = [xs[0], xs[1]], xs[0] * 0.0
        for x in xs:
            state = [mg.sin(state[1] + x), state[0] * x]
            total = total + state[0]
        return total

    x = np.random.default_rng(0).normal(size=120)
    value, slopes = mg.jit(mg.value_and_grad(f), backend="llvm", precision="exact")(x)
    expected, expected_slopes = mg.jit(mg.value_and_grad(f), backend="reference")(x)
    assert value == expected and np.array_equal(slopes, expected_slopes) and always == [None]


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_a_factorisation_fetches_few_numbers_one_by_one(precision, monkeypatch):
    n = 20
    f, x, plans = mg.value_and_grad(factored(n)), matrix(n), []
    old = versions.planned
    monkeypatch.setattr(versions, "LEAST_INTERPRETED", 10**9)
    monkeypatch.setattr(versions, "planned", lambda *given: plans.append(old(*given)) or plans[-1])
    value, gradient = mg.jit(f, backend="llvm", precision=precision)(x)
    if precision == "exact":
        expected, slopes = mg.jit(f, backend="reference")(x)
        assert value == expected and np.array_equal(gradient, slopes)
    np.testing.assert_allclose(gradient.reshape(n, n), np.linalg.inv(x.reshape(n, n)).T, rtol=1e-12, atol=1e-16)
    (plan,) = plans
    singly = Plan(plan.schedule).singly
    assert (plan.homes is not None and 2 * plan.singly < singly) == (precision == "fast")
    if plan.homes is not None:
        written = [slot for it in plan.before for slot in it.out.listed(it.shape)]
        assert len(written) == len({*written})
        assert {*plan.homes.to[[at for _, at in plan.schedule.outputs]].tolist()} <= {*written}
