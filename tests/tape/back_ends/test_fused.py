"""Loops over rows of neighbours, for one sample: vectors of elements through a whole step, with the reference's bits."""

import importlib.util
import random

import numpy as np
import pytest
from tapes import recorded

import micrograd as mg
from micrograd import Value

if importlib.util.find_spec("llvmlite") is None:
    pytest.skip("llvmlite is not installed", allow_module_level=True)

from micrograd.tape.back_ends import reference
from micrograd.tape.back_ends.llvm import module
from micrograd.tape.back_ends.llvm.program import Program


def bar(seed):
    """A function of cells that change together, step after step, how many numbers it takes, and its parameters."""
    rng = random.Random(seed)
    cells, steps = rng.choice([16, 21, 24, 33, 50]), rng.randint(20, 30)
    leaves = [Value(rng.uniform(-0.3, 0.3)) for _ in range(2)]
    each = [Value(rng.uniform(-0.3, 0.3)) for _ in range(cells)] if rng.random() < 0.5 else []
    around = rng.sample(["left", "right", "far", "mirror", "first", "drive", "tanh", "few"], rng.randint(1, 3))
    swept = rng.random() < 0.3  # one quantity after the other

    def run(xs):
        u, v, total = list(xs[:cells]), [0.5 * x for x in xs[:cells]], 0.0
        for t in range(steps):
            new = []
            for i in range(cells):
                near = [u[k % cells] for k in range(i, i + 4)]
                terms = {
                    "left": u[max(i - 1, 0)] - u[i], "right": u[min(i + 1, cells - 1)] * leaves[1], "tanh": mg.tanh(u[i]),
                    "far": u[(i + 7) % cells] * 0.1, "mirror": u[cells - 1 - i] * v[i], "first": u[0] * 0.01,
                    "drive": xs[cells + t] * u[i], "few": mg.sum(near) * 0.1,
                }  # fmt: skip
                change = sum([terms[name] for name in around], start=u[i] * 0.0)
                new.append(u[i] + (each[i] if each else leaves[0]) * change)
            if swept:
                v = [a - 0.1 * b for a, b in zip(v, new, strict=True)]
            u = new
            total = total + u[0]
        return mg.dot(u, v) + total

    return run, cells + steps, [*leaves, *each]


@pytest.mark.parametrize("seeds", [(1, 2, 3, 4), (5, 6, 8, 9)], ids=str)  # all but 4 and 8 have loops of that kind
def test_cells_of_a_bar_have_the_reference_s_bits(seeds, monkeypatch):
    taken = []
    write = module.write_fused
    monkeypatch.setattr(module, "write_fused", lambda f, *args: taken.append(f.name) or write(f, *args))
    for seed in seeds:
        function, inputs, leaves = bar(seed)
        tape, _ = recorded(function, [0.3] * inputs, wrt=leaves)
        rng, theta = np.random.default_rng(seed), np.array([p.data for p in leaves])
        fields, n = [(inputs, seed % 3 == 0)], 1 + (seed % 3 == 0)
        arrays = [rng.normal(size=(n, inputs) if fields[0][1] else inputs)]
        expected = reference.Program(tape, fields, False)(arrays, theta, n)
        np.testing.assert_array_equal(Program(tape, fields, False, exact=True)(arrays, theta, n), expected)
    assert len(taken) >= 3, "the code that is tested here was hardly used"


ROWS = {  # cell i of n after step t, of the states before, latest last, and of rows of inputs; and whether a step is fused
    "row 1 beside that of the step": (lambda u, xs, t, i, n: u[-1][i] * xs[n + i] + xs[n * t + i], True),
    "the row of the step twice": (lambda u, xs, t, i, n: (u[-1][i] + xs[n * t + i]) * xs[n * t + i] - u[-1][(i + 3) % n], True),
    "cells of some steps before": (lambda u, xs, t, i, n: u[-1][i] * (u[-3][0] if i < 9 else u[-4][9]), False),
    "a logsumexp": (lambda u, xs, t, i, n: mg.logsumexp([u[-1][i], u[-1][(i + 1) % n], xs[i]]) * 0.3, False),
    "sums of nine": (lambda u, xs, t, i, n: mg.sum([u[-1][(i + k) % n] for k in range(9)]) * xs[i], False),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_move_and_rows_that_stay_are_told_apart(name, monkeypatch):
    n, steps, taken, write, (cell, fused) = 32, 70, [], module.write_fused, ROWS[name]
    monkeypatch.setattr(module, "write_fused", lambda f, *args: taken.append(f.name) or write(f, *args))

    def run(xs):
        u = [list(xs[:n])] * 4
        for t in range(steps):
            u.append([mg.sin(cell(u, xs, t, i, n)) for i in range(n)])
        return mg.sum(u[-1])

    tape, _ = recorded(run, [0.3] * (n * steps))
    x = [np.random.default_rng(0).normal(size=n * steps)]
    expected = reference.Program(tape, [(n * steps, False)], False)(x, np.zeros(0), 1)
    np.testing.assert_array_equal(Program(tape, [(n * steps, False)], False, exact=True)(x, np.zeros(0), 1), expected)
    assert bool(taken) == fused
