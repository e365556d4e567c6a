"""Comparisons and selections in the NumPy back end, whose masks are shared among selections."""

import math

import numpy as np
import pytest

import micrograd as mg
from micrograd import Value, jit
from micrograd.primitives import equal, greater, less


def both(f, *columns, **options):
    """The maps of a function by the NumPy back end and by the reference one."""
    return [np.asarray(jit(f, backend=backend, **options).map(*columns)) for backend in ("numpy", "reference")]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_selections_by_one_condition_share_what_was_compared(dtype):
    """By all that one vector of comparisons gives, by some of it, and by numbers that are no results of comparisons."""

    def f(x, y, z):
        conditions = [greater(x, y), greater(y, z), greater(z, x), less(x, y), equal(y, z)]
        chosen = [mg.where(c, x * 2.0, y) for c in conditions] + [mg.where(c, z, 3.0) for c in conditions[1:3]]
        return [
            *chosen,
            mg.where(conditions[0] + x, y, z),
            mg.where(conditions[1] * 2.0, 1.0, x),
            mg.where(y, x, z),
            *conditions,
        ]

    columns = np.random.default_rng(0).integers(-3, 4, (3, 50)) * 0.5
    found, wanted = both(f, *columns, dtype=dtype)
    assert np.array_equal(found, wanted)
    columns[np.arange(3), [3, 20, 40]] = math.nan
    found, wanted = both(f, *columns, dtype=dtype)
    assert np.isnan(wanted).any() and np.array_equal(found, wanted, equal_nan=True)


def test_conditions_of_which_some_alone_were_compared_are_compared():
    """They are neighbours: results of comparisons, and others."""

    def f(x, y):
        return [mg.where(c, x, y) for c in (greater(x, y), x * y, less(x, y), x + y)]

    for seed in range(3):
        found, wanted = both(f, *np.random.default_rng(seed).normal(size=(2, 50)))
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("compare", [greater, less, equal])
def test_either_operand_may_be_a_nan(compare):
    for x, y in ((math.nan, 1.0), (1.0, math.nan)):
        found, wanted = both(lambda x, y: [compare(x, y), mg.where(compare(x, y), 1.0, 2.0)], [x, 1.0], [y, 2.0])
        assert np.isnan(wanted[0]).all() and np.array_equal(found, wanted, equal_nan=True)


def test_a_nan_of_one_call_is_none_of_the_next():
    f = jit(lambda x, y: mg.where(x, y, -y), backend="numpy")
    x, y = np.array([1.0, math.nan, -1.0]), np.arange(3.0)
    assert np.array_equal(f.map(x, y), [0.0, math.nan, -2.0], equal_nan=True)
    assert f.map(-np.ones(3), y).tolist() == [0.0, -1.0, -2.0]


def test_conditions_in_the_steps_of_a_loop_are_those_of_each_step():
    w = Value(0.3)

    def f(xs, start):
        state, seen = start, []
        for x in xs:
            state = mg.where(greater(state, x), state * 0.5 + w, state * 1.25 - x) + mg.where(x, 0.1, state * 0.1)
            seen.append(mg.where(state, x, state))
        return [state, mg.where(greater(state, 0.0), w, state), *seen]

    rng = np.random.default_rng(1)
    xs, start = rng.normal(size=(20, 60)), rng.normal(size=20)
    for nan in (False, True):
        if nan:
            xs[4, 30] = math.nan
        found, wanted = both(f, xs, start)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_a_condition_that_all_samples_share_selects_for_each():
    w = Value(1.0)
    f = jit(lambda x: mg.where(w, x, -x) + mg.where(greater(w, x), 1.0, 0.0), backend="numpy")
    for value, wanted in ((1.0, [1.0, 2.0]), (-1.0, [0.0, -2.0]), (math.nan, [math.nan, math.nan])):
        w.data = value
        assert np.array_equal(f.map([0.0, 2.0]), wanted, equal_nan=True)
