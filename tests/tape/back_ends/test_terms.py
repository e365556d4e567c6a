"""Long sums in compiled code where no bits are promised: the terms in any order, each once."""

import importlib.util
import math
import random
from fractions import Fraction

import numpy as np
import pytest
from recurrences import cell
from tapes import recorded

import micrograd as mg
from micrograd import Value, jit

if importlib.util.find_spec("llvmlite") is None:
    pytest.skip("llvmlite is not installed", allow_module_level=True)

from micrograd.primitives import RULES
from micrograd.tape.back_ends import reference
from micrograd.tape.back_ends.llvm.program import Program
from micrograd.tape.back_ends.llvm.terms import many_terms, runs_of
from micrograd.tape.tape import Tape


def places(rng, n, terms):
    """Numbers of inputs, as the tables of sums have them: runs up, down, askew, of one number, or in no order."""
    kind, found = rng.choice(["runs", "blocks", "random", "constant"]), []
    if kind == "blocks":  # rows of a matrix, from the last to the first
        width = rng.randrange(3, 30)
        found = [(row * width + k) % n for row in reversed(range(terms // width + 1)) for k in range(width)]
    while len(found) < terms:
        at, step = rng.randrange(n), {"runs": rng.choice([-3, -1, 1, 1, 2]), "constant": 0}.get(kind, rng.randrange(n))
        found += [(at + k * step) % n for k in range(rng.randrange(1, 90))]
    return found[:terms]


@pytest.mark.parametrize("seed", range(24))
def test_every_term_counts_once(seed):
    rng = random.Random(seed)
    n, terms = 97, rng.choice([64, 65, 100, 257, 1000])
    numbers = np.random.default_rng(seed).normal(size=n)
    x, y = places(rng, n, terms), places(rng, n, terms)
    dotted, weights = seed % 3 != 0, [0.5, -2.0, 3.0]
    tape = Tape(n, 0, weights, [], [])
    if seed % 4 == 1:
        y = [n] * terms  # one constant
    operands = (*x, *y, n + 1) if dotted else tuple(x)
    tape.instructions.append((RULES["dot" if dotted else "sum"], operands))
    tape.outputs.append(tape.first)
    found = Program(tape, [(n, False)], False)([numbers], np.zeros(0), 1)[0, 0]
    every = [*map(Fraction, [*numbers.tolist(), *weights])]
    products = [every[i] * every[j] for i, j in zip(x, y, strict=True)] if dotted else [every[i] for i in x]
    exactly = sum(products) + (every[n + 1] if dotted else 0)
    assert abs(Fraction(float(found)) - exactly) <= terms * Fraction(2) ** -52 * sum(map(abs, products))
    exact = Program(tape, [(n, False)], False, exact=True)([numbers], np.zeros(0), 1)
    assert exact == reference.Program(tape, [(n, False)], False)([numbers], np.zeros(0), 1)


@pytest.mark.parametrize(
    ("many", "terms", "over_terms"), [(3, 64, True), (5, 127, False), (5, 128, True), (8, 200, True), (9, 200, False)]
)
def test_some_sums_of_many_terms_have_lanes_over_these(many, terms, over_terms):
    numbers = np.random.default_rng(many).normal(size=2 * terms + many)
    sums = [(RULES["dot"], (*range(i, terms + i), *range(terms + many, 2 * terms + many), len(numbers))) for i in range(many)]
    tape = Tape(len(numbers), 0, [0.5], sums, [len(numbers) + 1 + i for i in range(many)])
    programs = [Program(tape, [(len(numbers), False)], False, exact=exact) for exact in (False, True)]
    found, exact = (program([numbers], np.zeros(0), 1)[:, 0] for program in programs)
    np.testing.assert_array_equal(
        exact, reference.Program(tape, [(len(numbers), False)], False)([numbers], np.zeros(0), 1)[:, 0]
    )
    for i in range(many):
        products = numbers[i : terms + i] * numbers[terms + many :]
        assert abs(found[i] - math.fsum([0.5, *products])) <= terms * 2.0**-52 * np.abs(products).sum()
    (kernel,) = programs[0].plan.before
    assert many_terms(kernel, programs[0].target(0)) == over_terms
    assert not many_terms(kernel, programs[1].target(0))


@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_comes_through_whole_and_broken_vectors(odd):
    x = np.ones(101)
    f = jit(lambda v: mg.dot(list(v), [2.0] * 101) + mg.dot(list(v), list(v), start=1.0))
    for at in (0, 99, 100):
        x[:] = 1.0
        x[at] = odd
        expected = odd * 2 + odd * odd
        assert f(x) == expected or (expected != expected and math.isnan(f(x)))
    w = Value(odd)
    assert math.isnan(jit(lambda v: mg.dot(list(v), [w] * 101))(np.zeros(101)))
    assert jit(lambda v: mg.dot(list(v), [w] * 101))(np.ones(101)) == odd or math.isnan(odd)


@pytest.mark.parametrize("seed", range(40))
def test_runs_hold_the_terms_that_they_are_made_of(seed):
    rng = random.Random(seed)
    slots = np.array([places(rng, 97, rng.choice([2, 3, 64, 65])) for _ in range(1)] * rng.choice([1, 2]))
    apart = np.array([[at + k for at in (0, 100, 250) for k in range(20)]])  # runs of one length in steps of two
    for given in (slots, slots[:, np.lexsort(slots[::-1])], np.append(slots, [[1000]] * len(slots), axis=1), apart):
        found = [
            [first + run * apart + k * step for run in range(one.many) for k in range(one.length)]
            for one in runs_of(given)
            for first, apart, step in zip(one.firsts, one.apart, one.steps, strict=True)
        ]
        rows = [[x for part in found[i :: len(given)] for x in part] for i in range(len(given))]
        assert not found or rows == given.tolist()
    up = np.arange(64) + 100 * np.arange(2)[:, None]
    alone = [np.append(up, at, axis=1) for at in ([[70], [170]], [[70], [165]])]
    assert [[(one.many, one.length, one.firsts, one.steps) for one in runs_of(given)] for given in alone] == [
        [(1, 64, (0, 100), (1, 1)), (1, 1, tuple(given[:, -1].tolist()), (0, 0))] for given in alone
    ]


def test_runs_that_follow_one_another_are_one_piece():
    rows, up = np.arange(50) + 60 * np.arange(40)[:, None], np.arange(2000)
    (piece,) = runs_of(np.stack([up, rows[::-1].ravel()]))
    assert (piece.many, piece.length, piece.apart, piece.steps) == (40, 50, (50, -60), (1, 1))
    assert not runs_of(np.random.default_rng(0).permutation(2000)[None])


def test_loops_run_on_several_vectors_of_samples_however_many_rows_they_keep():
    """A step waits for the one before it, so there must be something else to do meanwhile."""
    tape, _ = recorded(cell(2000), [0.1] * 2000)
    program = Program(tape, [(2000, True)], True)
    assert program._blocks[0] >= 4 * 8
