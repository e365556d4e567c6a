"""Functions composed of primitives: as numbers and as Values, with NumPy, recorded, and against mpmath."""

import math
import random

import numpy as np
import pytest
from mpmath import mp

import micrograd as mg
from micrograd import Value, jit

# NumPy's function, the same on a float, and where it is defined
UFUNCS = [
    ("floor", math.floor, 2.5), ("ceil", math.ceil, -2.5), ("trunc", math.trunc, -2.5), ("rint", round, 2.5),
    ("arcsinh", math.asinh, 0.5), ("arccosh", math.acosh, 1.5), ("arctanh", math.atanh, 0.5),
    ("log2", math.log2, 8.0), ("log10", math.log10, 1000.0), ("exp2", math.exp2, 0.5), ("cbrt", math.cbrt, -2.0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "truth", "x"), UFUNCS)
def test_numpy_finds_them_on_values_and_on_arrays_of_values(name, truth, x):
    function = getattr(np, name)
    for found in (function(Value(x)), function(np.array([Value(x)]))[0]):
        assert isinstance(found, Value) and found.data == truth(x)


@np.errstate(all="ignore")
def test_remainders_and_quotients_have_the_numbers_of_floats():
    rng = random.Random(1)
    f = {backend: jit(lambda x, y: [x // y, x % y], backend=backend) for backend in ("reference", "numpy", "llvm")}
    for _ in range(300):
        x, y = (rng.choice([rng.uniform(-9, 9), float(rng.randint(-9, 9)), rng.choice([0.1, 1e-300, -1e300])]) for _ in "xy")
        if y:
            v, w = Value(x), Value(y)
            for found in (
                divmod(v, w),
                divmod(v, y),
                divmod(x, w),
                (v // w, v % w),
                (np.floor_divide(v, w), np.remainder(v, w)),
            ):
                assert [repr(float(u)) for u in found] == [repr(u) for u in divmod(x, y)], (x, y)
            for g in f.values():
                assert [repr(float(u)) for u in g(x, y)] == [repr(u) for u in divmod(x, y)], (x, y)
    x, y = Value(-7.0), Value(2.0)
    (x % y).backward()
    assert (x.grad, y.grad) == (1.0, 4.0)
    assert math.isnan((x % 0.0).data) and (x // 0.0).data == -math.inf


def test_whole_numbers():
    rng = random.Random(2)
    for x in [0.5, 1.5, -0.5, -2.5, 0.49999999999999994, 2.0**52 + 1, -0.0, *[rng.uniform(-1e3, 1e3) for _ in range(200)]]:
        v = Value(x)
        found = [math.floor(v), math.ceil(v), math.trunc(v), round(v), round(v, 1), round(v, -2)]
        assert [u.data for u in found] == [
            math.floor(x),
            math.ceil(x),
            math.trunc(x),
            round(x),
            np.round(x, 1),
            np.round(x, -2),
        ]
        assert [mg.floor(x), mg.ceil(x), mg.trunc(x), mg.round(x), mg.round(x, 1), mg.round(x, -2)] == [u.data for u in found]
        for u in found:
            u.backward()
        assert v.grad == 0.0
    for end in (math.inf, -math.inf, math.nan):
        assert all(np.array_equal(f(end), end, equal_nan=True) for f in (mg.floor, mg.ceil, mg.trunc, mg.round))


def test_numpy_on_arrays_of_values():
    data = [[0.5, -1.5], [2.0, 0.25]]
    X = np.array([[Value(x) for x in row] for row in data])
    numbers = np.array(data)
    for f in (np.mean, np.var, np.std, np.prod, lambda a: np.hypot(a, a).sum(), lambda a: np.clip(a, -1.0, 1.0).sum()):
        assert f(X).data == pytest.approx(f(numbers), rel=1e-15)
    assert [v.data for v in np.cumsum(X)] == np.cumsum(numbers).tolist()


# the function, what it is of a list of mpmath's numbers, as a list
COMPOSED = {
    "softmax": (mg.softmax, lambda xs: [mp.exp(x) / mp.fsum([mp.exp(y) for y in xs]) for x in xs]),
    "log_softmax": (mg.log_softmax, lambda xs: [x - mp.log(mp.fsum([mp.exp(y) for y in xs])) for x in xs]),
    "gelu": (mg.gelu, lambda xs: [x * mp.ncdf(x) for x in xs]),
    "silu": (mg.silu, lambda xs: [x / (1 + mp.exp(-x)) for x in xs]),
    "elu": (lambda xs: mg.elu(xs, 1.5), lambda xs: [x if x > 0 else mp.mpf(1.5) * mp.expm1(x) for x in xs]),
    "leaky_relu": (lambda xs: mg.leaky_relu(xs, 0.125), lambda xs: [x if x > 0 else x / 8 for x in xs]),
    "clip": (lambda xs: mg.clip(xs, -0.5, 1.0), lambda xs: [min(max(x, mp.mpf(-0.5)), mp.mpf(1)) for x in xs]),
    "cumsum": (mg.cumsum, lambda xs: [mp.fsum(xs[: i + 1]) for i in range(len(xs))]),
    "logaddexp": (lambda xs: [mg.logaddexp(xs[0], xs[1])], lambda xs: [mp.log(mp.exp(xs[0]) + mp.exp(xs[1]))]),
    "mean": (lambda xs: [mg.mean(xs)], lambda xs: [mp.fsum(xs) / len(xs)]),
    "var": (lambda xs: [mg.var(xs, 1)], lambda xs: [mp.fsum([(x - mp.fsum(xs) / len(xs)) ** 2 for x in xs]) / (len(xs) - 1)]),
    "std": (lambda xs: [mg.std(xs)], lambda xs: [mp.sqrt(mp.fsum([(x - mp.fsum(xs) / len(xs)) ** 2 for x in xs]) / len(xs))]),
    "norm": (lambda xs: [mg.norm(xs)], lambda xs: [mp.sqrt(mp.fsum([x * x for x in xs]))]),
    "prod": (lambda xs: [mg.prod(xs)], lambda xs: [mp.fprod(xs)]),
}
POINT = [0.7, -1.3, 0.25, 2.5]


@pytest.mark.parametrize("name", COMPOSED)
def test_composed_functions_and_their_derivatives(name):
    """Of lists and arrays, eagerly, at second order and compiled: the derivatives of the truth by differences in 60 digits."""
    f, truth = COMPOSED[name]

    def total(xs, g=f):  # a number, in which each entry has a weight of its own
        return mg.sum([(k + 1.0) * y for k, y in enumerate(g(xs))])

    with mp.workdps(60):

        def exact(xs):
            return mp.fsum([(k + 1) * y for k, y in enumerate(truth(xs))])

        def slope(g, i):
            def moved(xs, by):
                return g([x + (j == i) * by for j, x in enumerate(xs)])

            return lambda xs: (moved(xs, h) - moved(xs, -h)) / (2 * h)

        h, at = mp.mpf(10) ** -12, [mp.mpf(x) for x in POINT]
        value, first = float(exact(at)), [float(slope(exact, i)(at)) for i in range(4)]
        second = [[float(slope(slope(exact, i), j)(at)) for j in range(4)] for i in range(4)]
    close = {"rel": 1e-13, "abs": 1e-14}
    assert total(POINT) == pytest.approx(value, **close)
    for given in (POINT, np.array(POINT)):
        assert mg.grad(total)(given) == pytest.approx(first, **close)
        for backend in ("reference", "numpy", "llvm"):
            assert jit(mg.value_and_grad(total), backend=backend)(given)[1] == pytest.approx(first, **close)
    assert np.array(mg.hessian(total)(POINT)) == pytest.approx(np.array(second), **close)
    values = f([Value(x) for x in POINT])
    array = f(np.array([Value(x) for x in POINT]))
    assert [v.data for v in array] == [v.data for v in values] == list(f(POINT))


def test_rows_nested_lists_and_arrays():
    rows = [[1.0, 2.0], [3.0, 5.0]]
    for f in (mg.softmax, mg.log_softmax, mg.cumsum, mg.gelu, mg.silu):
        wanted = [f(row) for row in rows]
        assert f(rows) == wanted and isinstance(f(np.array(rows)), np.ndarray)
        assert f(np.array(rows)).tolist() == wanted
        assert [[v.data for v in row] for row in f(np.array([[Value(x) for x in row] for row in rows]))] == wanted
    assert mg.mean(rows) == mg.mean(np.array(rows)) == 2.75
    assert mg.var(rows) == np.var(rows) and mg.prod(rows) == 30.0 and mg.norm([[3.0], [4.0]]) == 5.0
    assert mg.gelu(np.float64(1.0)) == mg.gelu(np.array([1.0])).item() == mg.gelu(1.0)
    assert (mg.clip(2.0, high=1.0), mg.clip(2.0, 3.0), mg.clip(2.0), mg.silu([])) == (1.0, 3.0, 2.0, [])
    for f, message in ((mg.mean, "mean needs at least 1 value, got none"), (mg.softmax, "at least one value")):
        with pytest.raises(ValueError, match=message):
            f([])
    with pytest.raises(ValueError, match="var needs at least 2 values, got 1"):
        mg.var([1.0], ddof=1)


def test_tails_are_kept():
    with mp.workdps(40):
        for x in (-0.3, -3.0, -12.7, -30.1, -36.9):
            phi = mp.exp(-(mp.mpf(x) ** 2) / 2) / mp.sqrt(2 * mp.pi)
            true = x * mp.ncdf(x), mp.ncdf(x) + x * phi, (2 - mp.mpf(x) ** 2) * phi
            found = mg.gelu(x), mg.grad(mg.gelu)(x), mg.hessian(mg.gelu)(x)
            assert found == pytest.approx(list(map(float, true)), rel=3e-15)
    assert mg.logaddexp(-1000.0, -1001.0) == pytest.approx(-1000 + math.log1p(math.exp(-1)), rel=1e-15)
    assert mg.softmax([0.0, 1e308]) == [0.0, 1.0]


@pytest.mark.parametrize("size", [2.0**600, 2.0**-600, 2.0**1000, 2.0**-1000])
def test_lengths_and_deviations_hold_wherever_their_results_do(size):
    """Their squares overflow, or vanish. All but the power of two is as for numbers of a usual size, to the second order."""
    xs = [1.0, 3.5, -4.25]
    large = [x * size for x in xs]
    for f in (mg.norm, mg.std):
        slope = mg.grad(f)(xs)
        assert f(large) == f(xs) * size and mg.grad(f)(large) == slope
        assert mg.hessian(f)(large) == [[x / size for x in row] for row in mg.hessian(f)(xs)]
        for backend in ("reference", "numpy", "llvm"):
            assert jit(f, backend=backend)(large) == pytest.approx(f(large), rel=1e-15)
            assert jit(mg.grad(f), backend=backend)(large) == pytest.approx(slope, rel=1e-15)


@pytest.mark.parametrize("large", [0.0, 1e3, -1e6, 1e12])
def test_softmax_keeps_its_digits_as_the_numbers_grow(large):
    xs = [large + 0.75, large + 1.5, large - 2.25, large + 1.625]
    with mp.workdps(40):
        exps = [mp.exp(mp.mpf(x) - mp.mpf(xs[1])) for x in xs]
        p = [e / mp.fsum(exps) for e in exps]
        softmax, logs = [float(x) for x in p], [float(mp.log(x)) for x in p]
        slope = [float(x * ((i == 1) - p[1])) for i, x in enumerate(p)]
    assert mg.softmax(xs) == pytest.approx(softmax, rel=1e-15) and mg.log_softmax(xs) == pytest.approx(logs, rel=1e-15)
    f = lambda x: mg.softmax([xs[0], x, *xs[2:]])  # noqa: E731
    assert mg.jacobian(f)(xs[1]) == pytest.approx(slope, rel=2e-15)
    assert jit(mg.jacobian(f))(xs[1]) == pytest.approx(slope, rel=2e-15)
    slopes = mg.jacobian(mg.softmax)
    compiled = jit(slopes, backend="reference", precision="exact")
    rows = [xs, *np.random.default_rng(0).normal(size=(9, 4)).tolist()]
    assert [compiled(row) for row in rows] == [slopes(row) for row in rows]  # that nothing flows through the largest
    elsewhere = jit(mg.softmax)
    elsewhere([0.25, 0.5, 1.0, 2.0])  # recorded where another one is the largest
    assert elsewhere(xs) == pytest.approx(softmax, rel=1e-15)


def test_digits_are_whole_and_may_be_many():
    """1.5 digits gave 2.6879 for 2.675, and 400 an OverflowError of Python's."""
    for digits in (1.5, "a", Value(1.0)):
        for rounded in (mg.round, round):
            with pytest.raises(TypeError, match="round needs a whole number of digits, got"):
                rounded(Value(2.675), digits)
    with np.errstate(all="ignore"):
        for x, digits in ((2.675, 400), (2.675, -400), (2.675, 308), (2.675, np.int64(1)), (1e300, 10)):
            assert np.array_equal(mg.round(x, digits), np.round(x, digits), equal_nan=True)
