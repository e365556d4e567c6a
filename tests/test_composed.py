"""Functions composed of primitives: as numbers and as Values, with NumPy, recorded, and against mpmath."""

import math
import random

import numpy as np
import pytest

import micrograd as mg
from micrograd import Value, jit

# NumPy's function, the same on a float, and where it is defined
UFUNCS = [
    ("floor", math.floor, 2.5), ("ceil", math.ceil, -2.5), ("trunc", math.trunc, -2.5), ("rint", round, 2.5),
    ("arcsinh", math.asinh, 0.5), ("arccosh", math.acosh, 1.5), ("arctanh", math.atanh, 0.5),
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
