"""NumPy's functions of Values: those for which it asks no method too, and what it does with arrays beside a Value."""

import io
import math
import operator
import re
from pathlib import Path

import numpy as np
import pytest

import micrograd as mg
from micrograd import Value, grad, jit

X, Y = 1.5, -0.75
FUNCTIONS = {u for u in map(np.__dict__.get, dir(np)) if isinstance(u, np.ufunc) and u.nout == 1}
MAY_CHOOSE = {"heaviside", "fmax", "fmin"}  # a number of NumPy's, and then they give it
REFUSED = {  # integers, bits, texts and dates, or parts of numbers: no derivative is meant
    "copysign", "nextafter", "signbit", "spacing", "ldexp", "isnat", "bitwise_and", "bitwise_or", "bitwise_xor",
    "bitwise_count", "invert", "left_shift", "right_shift",
}  # fmt: skip


@pytest.mark.parametrize("ufunc", sorted(FUNCTIONS, key=lambda u: u.__name__), ids=lambda u: u.__name__)
def test_every_function_of_numpy_gives_of_values_what_it_gives_of_numbers(ufunc):
    """Or an error of one line; none gives a number where a derivative is meant."""
    if ufunc.signature is not None or ufunc.nin > 2 or ufunc.__name__.startswith(("logical", "gcd", "lcm")):
        pytest.skip("of vectors, of what is true in Python, of whole numbers")
    name, args = ufunc.__name__, (X if ufunc is np.arccosh else 0.5 if ufunc in (np.arcsin, np.arccos, np.arctanh) else X, Y)
    args = args[: ufunc.nin] if name not in ("power", "float_power") else (X, Y)
    try:
        expected = ufunc(*args)
    except TypeError:
        expected = None
    for at in range(ufunc.nin):
        given = [Value(x) if i == at else np.float64(x) for i, x in enumerate(args)]
        if expected is None or name in REFUSED or name.startswith(("str", "is_")):
            with pytest.raises((TypeError, AttributeError)):
                ufunc(*given)
            continue
        found = ufunc(*given)
        if not isinstance(expected, (bool, np.bool_)) and name not in MAY_CHOOSE:
            assert isinstance(found, Value), name
        assert float(found) == pytest.approx(float(expected), rel=1e-15), name


def test_what_is_true_in_python_is_true_to_logical_functions():
    for x in (0.0, 2.0):
        assert np.logical_not(Value(x)) is (not x)
        for y in (0.0, 1.0):
            for f in (np.logical_and, np.logical_or, np.logical_xor):
                assert f(Value(x), Value(y)) is f(Value(x), y) is f(x, Value(y)) is bool(f(x, y))
    found = np.logical_and(np.array([Value(1.0), Value(0.0)]), Value(2.0))
    assert found.tolist() == [True, False] and found.dtype == bool


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_is_multiplied_from_either_side():
    v, matrix = Value(2.0), np.matrix([[1.0, 3.0]])
    for product in (matrix * v, v * matrix, np.multiply(matrix, v)):
        assert isinstance(product, np.matrix) and [x.data for x in product.flat] == [2.0, 6.0]
    assert [x.data for x in (matrix / v).flat] == [0.5, 1.5]


def test_derivatives_go_through_them_in_every_mode():
    def f(x, y):
        return (
            np.logaddexp(x, y) + np.heaviside(x, 0.5) * np.float64(3.0) * y + np.deg2rad(x) + np.float_power(x, y) + np.fabs(y)
        )

    wanted = [math.exp(X) / (math.exp(X) + math.exp(Y)) + math.pi / 180 + Y * X ** (Y - 1)]
    wanted.append(math.exp(Y) / (math.exp(X) + math.exp(Y)) + 3.0 + X**Y * math.log(X) - 1.0)
    for g in (grad(f, (0, 1)), jit(grad(f, (0, 1)))):
        assert list(g(X, Y)) == pytest.approx(wanted, rel=1e-14)
    assert grad(lambda x: np.logaddexp2(x, 1.0))(1.0) == 0.5
    assert grad(lambda x: np.hypot(3.0, x) + np.arctan2(np.float64(1.0), x))(4.0) == 4.0 / 5.0 - 1.0 / 17.0
    assert grad(lambda x: np.maximum(x, x.detach()) * 2.0)(4.0) == 1.0  # half at a tie, as everywhere


def test_whether_a_number_is_finite_is_asked_by_comparing_so_that_a_compiled_function_branches():
    for ask, wanted in (
        (np.isnan, [False, False, True]),
        (np.isinf, [False, True, False]),
        (np.isfinite, [True, False, False]),
    ):
        f = jit(lambda x, ask=ask: x * 2.0 if ask(x) else x * 3.0)
        for x, yes in zip((1.0, -math.inf, math.nan), wanted, strict=True):
            assert ask(Value(x)) is yes
            found = f(x)
            assert found == (2.0 if yes else 3.0) * x or (math.isnan(found) and math.isnan(x))


@pytest.mark.parametrize("name", ["arctan2", "maximum", "logaddexp", "logaddexp2", "float_power", "heaviside"])
def test_lists_are_arrays_and_an_array_without_axes_is_a_number(name):
    f, v = getattr(np, name), Value(2.0)
    for other in ([0.5, 3.0], (0.5, 3.0)):
        for found, wanted in ((f(v, other), f(2.0, other)), (f(other, v), f(other, 2.0))):
            assert isinstance(found, np.ndarray)
            assert [float(x) for x in found] == pytest.approx(wanted.tolist(), rel=1e-15)
    for other in (np.array(0.5), np.array(Value(0.5))):
        assert float(f(v, other)) == pytest.approx(float(f(2.0, 0.5)), rel=1e-15)
        assert float(f(other, v)) == pytest.approx(float(f(0.5, 2.0)), rel=1e-15)


def test_a_number_of_more_digits_beside_a_value():
    x, v = np.longdouble(5.0), Value(3.0)
    found = [x + v, x - v, x * v, x / v, x**v, x % v, x // v]
    assert all(isinstance(out, Value) for out in found)
    assert [out.data for out in found] == [8.0, 2.0, 15.0, 5.0 / 3.0, 125.0, 2.0, 1.0]


def test_masked_arrays_and_records_are_arrays_or_refused_for_their_masks():
    v = Value(2.0)
    for array in (np.ma.masked_array([1.0, 3.0]), np.array([1.0, 3.0]).view(np.recarray)):
        assert [x.data for x in np.ravel(np.logaddexp(v, array))] == [np.logaddexp(2.0, 1.0), np.logaddexp(2.0, 3.0)]
    with pytest.raises(TypeError, match="entries are masked: fill them in"):
        np.logaddexp(v, np.ma.masked_array([1.0, 3.0], [0, 1]))


def test_arrays_beside_a_value():
    v, numbers = Value(2.0), np.array([1.0, 3.0])
    values = np.array([Value(1.0), Value(3.0)])
    for array in (numbers, values):
        for f in (np.multiply, np.maximum, np.logaddexp, np.float_power, np.hypot):
            found = f(array, v)
            assert found.dtype == object and found.shape == (2,)
            wanted = f(numbers, 2.0)
            assert [x.data for x in found] == pytest.approx(wanted.tolist(), rel=1e-15)
    total = (numbers * v + numbers**v).sum()
    total.backward()
    assert v.grad == pytest.approx(4.0 + 9.0 * math.log(3.0))
    assert (numbers < v).tolist() == [True, False] and (numbers < v).dtype == bool
    assert np.multiply.outer(values, v).shape == (2,)
    out = np.zeros(2, dtype=object)
    assert np.add(values, v, out=out) is out and out[0].data == 3.0
    with pytest.raises(TypeError, match="Cannot cast"):
        numbers += v
    assert numbers.tolist() == [1.0, 3.0]


def test_what_no_derivative_is_known_for_says_what_to_write():
    with pytest.raises(TypeError, match=r"np\.copysign takes neither a Value nor an array of them: .*where\(x, a, b\)"):
        np.copysign(Value(1.0), -1.0)
    with pytest.raises(TypeError, match=r"got complex.*Values are real"):
        np.complex128(1j) * Value(1.0)
    assert np.equal(np.complex128(2), Value(2.0)) is False  # as 2 + 0j == Value(2.0): what is no number equals none
    assert np.complex128(2) != Value(2.0)


def test_what_stands_in_the_documentation_for_arrays_of_values():
    a, b = np.array([Value(1.0), Value(math.inf)]), np.array([Value(2.0), Value(3.0)])
    assert [x.data for x in mg.logaddexp(a, b)] == [np.logaddexp(1.0, 2.0), math.inf]
    assert np.vectorize(math.isnan)(a).tolist() == [False, False]
    assert np.vectorize(math.isfinite)(a).tolist() == [True, False]
    assert mg.where(a, 1.0, 0.0).tolist() == [1.0, 1.0]
    assert [x.data for x in b**b] == [4.0, 27.0]


def test_arrays_of_no_dimensions_and_lists_beside_a_value():
    v, w = Value(2.0), Value(-3.0)
    assert (np.asarray(v) + w).data == -1.0 and (np.array(v, dtype=object) * w).data == -6.0
    assert np.maximum(np.array(1.0), v).data == 2.0 and np.hypot(np.array(1.5), v).data == 2.5
    assert (np.longdouble(2) * v).data == 4.0 and not np.array(v, dtype=object) < w
    for f, wanted in ((np.maximum, [2.0, 5.0]), (np.logaddexp2, np.logaddexp2([1.0, 5.0], 2.0)), (np.heaviside, [1.0, 1.0])):
        found = f([1.0, 5.0], v)
        assert isinstance(found, np.ndarray) and [float(x) for x in found] == pytest.approx(list(wanted), rel=1e-15)
    with pytest.raises(TypeError, match=r"np\.add cannot write into a Value"):
        np.add(1.0, 2.0, out=v)


def test_fmax_and_fmin_leave_out_a_nan():
    v = Value(2.0)
    assert np.fmax(v, np.nan) is v and np.fmin(np.nan, v) is v
    assert np.fmax(v, np.float64(3.0)).data == 3.0 and np.fmin(v, np.float64(3.0)).data == 2.0


@pytest.mark.parametrize(
    "x", [np.complex128(1j), np.array("a"), np.array(None), np.datetime64("2020"), np.array(10**400, dtype=object)]
)
def test_what_is_no_float_equals_no_value(x):
    assert not np.equal(x, Value(2.0)) and np.not_equal(x, Value(2.0))


def test_what_has_its_own_way_with_functions_of_numpy_keeps_it():
    da = pytest.importorskip("dask.array", reason="the extra `scale` has it")
    d, v = da.from_array(np.array([1.0, 5.0])), Value(2.0)
    for lazy, wanted in ((d * v, [2.0, 10.0]), (v * d, [2.0, 10.0]), (v - d, [1.0, -3.0]), (np.maximum(d, v), [2.0, 5.0])):
        assert isinstance(lazy, da.Array)
        assert [float(x) for x in lazy.compute()] == wanted


A, B = np.array([0.3, 1.7, 0.9, 2.2]), np.array([1.1, 0.4, 0.8, 1.9])
M, N = np.array([[2.0, 0.3], [0.4, 1.5]]), np.array([[1.2, -0.7], [0.6, 2.1]])
CALLS = {  # arguments, where they are not one array or two
    "arcsin": [(A / 3,)], "arccos": [(A / 3,)], "arctanh": [(A / 3,)], "arccosh": [(A + 1.1,)], "power": [(A, B)],
    "clip": [(A, 0.5, 1.8)], "partition": [(A, 2)], "where": [(A > 1.0, A, B)], "select": [([A > 1.0], [A], 0.5)],
    "choose": [([0, 1, 0, 1], [A, B])], "einsum": [("ij,jk->ik", M, N)], "cross": [(A[:3], B[:3])], "reshape": [(A, (2, 2))],
    "concatenate": [([A, B],)], "stack": [([A, B],)], "split": [(A, 2)], "repeat": [(A, 2)], "tile": [(A, 2)], "roll": [(A, 1)],
    "pad": [(A, 1)], "take": [(A, [0, 2])], "insert": [(A, 1, 5.0)], "delete": [(A, 1)], "linspace": [(A, B, 3)],
    "polyval": [(A, 1.3)], "linalg.matrix_power": [(M, 3)], "kron": [(A[:2], B[:2])], "percentile": [(A, 40)],
    "nanpercentile": [(A, 40)], "quantile": [(A, 0.4)], "nanquantile": [(A, 0.4)], "interp": [(0.5, A, B)],
    "polyfit": [(A, B, 1)], "linalg.solve": [(M, A[:2])], "linalg.lstsq": [(M, A[:2])],
    "ldexp": [(A, 2)], "polydiv": [(A, B[:2])], "append": [(A, B)],
}  # fmt: skip


def tables():
    """The names in the two tables of the page about NumPy and SciPy: those that are right, and those that raise."""
    page = (Path(mg.__file__).parents[1] / "docs" / "how-to" / "scipy.md").read_text(encoding="utf-8")
    right, refused = page.split("## NumPy's functions")[1].split("These raise an error")
    cells = [
        [line.split("|")[k] for line in part.splitlines() if line.startswith("|")][2:] for part, k in ((right, 2), (refused, 1))
    ]
    return [re.findall("`([a-z0-9_.]+)`", " ".join(found)) for found in cells]


def calls(name):
    """The function of NumPy, with arguments that it takes as numbers."""
    f = operator.attrgetter(name)(np)
    for args in CALLS.get(name, [(A,), (M,), (A, B), (M, N)]):
        if isinstance(f, np.ufunc) and len(args) > f.nin:  # another array would be written into
            continue
        try:
            with np.errstate(all="ignore"):
                flat(f(*args))
        except (TypeError, ValueError, IndexError, AttributeError, DeprecationWarning):
            continue
        yield f, args


def flat(found):
    return [x for part in found for x in flat(part)] if isinstance(found, (list, tuple)) else list(np.ravel(found))


def replaced(tree, make):
    """The arguments with make(x) for each number of an array of floats."""
    if isinstance(tree, (list, tuple)):
        return type(tree)(replaced(part, make) for part in tree)
    if not isinstance(tree, np.ndarray) or tree.dtype != float:
        return tree
    made = [make(x) for x in tree.ravel()]
    return np.array(made, dtype=object if isinstance(made[0], Value) else float).reshape(tree.shape)


@pytest.mark.parametrize("name", tables()[0])
def test_what_the_page_calls_right_has_values_and_derivatives(name):
    tried = 0
    for f, args in calls(name):
        tried += 1
        leaves, expected = [], flat(f(*args))
        found = flat(f(*replaced(args, lambda x, leaves=leaves: leaves.append(Value(x)) or leaves[-1])))
        assert [float(x) for x in found] == pytest.approx([float(x) for x in expected], rel=1e-12), args
        rows = [mg.adjoints(x) if isinstance(x, Value) else {} for x in found]
        for i, leaf in enumerate(leaves):
            sides = []
            for step in (1e-6, -1e-6):
                at = iter(range(len(leaves)))
                sides.append(flat(f(*replaced(args, lambda x, at=at, step=step, i=i: x + step * (next(at) == i)))))
            slopes = [(float(up) - float(down)) / 2e-6 for up, down in zip(*sides, strict=True)]
            assert [row.get(leaf, 0.0) for row in rows] == pytest.approx(slopes, rel=1e-5, abs=1e-7), args
    assert tried


@pytest.mark.parametrize("name", tables()[1])
def test_what_the_page_calls_refused_is_an_error_and_loses_no_derivative(name):
    tried = 0
    for f, args in calls(name):
        tried += 1
        for given in (replaced(args, Value), [x.tolist() if isinstance(x, np.ndarray) else x for x in replaced(args, Value)]):
            with pytest.raises((TypeError, AttributeError, ValueError)):
                f(*given)
    assert tried


def test_a_function_of_numpy_that_would_make_floats_of_values_is_named():
    a = [Value(x) for x in A]
    for f in (np.gradient, np.i0, np.roots, np.sort_complex, lambda a: np.linalg.qr(np.reshape(a, (2, 2)))):
        name = getattr(f, "__name__", "").replace("<lambda>", "qr")
        with pytest.raises((TypeError, ValueError)) as error:
            f(a)
        said = str(error.value.__cause__ or error.value)  # NumPy says of any error that it was "setting an array element"
        assert said.startswith(f"np.{name} makes a plain float of Value(") and "its derivative would be lost" in said
    for f in (np.percentile, np.quantile):
        with pytest.raises(AttributeError, match=rf"^a Value has no dtype: np\.{f.__name__} asks for it\. Ask for a list"):
            f(a, 0.5)
    (x,) = np.percentile(a, [50])
    assert x.data == np.percentile(A, 50) and mg.adjoints(x, a[2])[a[2]] == 0.5
    assert not hasattr(x, "dtype")


def test_numpy_makes_floats_of_values_where_it_is_told_to_or_nothing_is_lost():
    a = [Value(x) for x in A]
    assert np.array(a).astype(float).tolist() == np.array(a, dtype=float).tolist() == A.tolist()
    assert np.mean(a, dtype=float) == np.mean(A) and np.full(3, a[0], dtype=float).tolist() == [0.3] * 3
    text = io.StringIO()
    np.savetxt(text, np.array(a))
    assert np.loadtxt(io.StringIO(text.getvalue())).tolist() == A.tolist()
    assert np.gradient([x.detach() for x in a]).tolist() == np.gradient(A).tolist()
    with mg.no_grad():
        assert np.gradient(a).tolist() == np.gradient(A).tolist()


@pytest.mark.parametrize("x", [5.3, -5.3, 0.0, 7.0, math.inf, math.nan])
@pytest.mark.parametrize("y", [2.0, -2.0, 0.0, math.inf])
def test_fmod_is_that_of_c(x, y):
    with np.errstate(all="ignore"):
        expected = np.fmod(x, y)
        found = [np.fmod(Value(x), y), np.fmod(x, Value(y)), np.fmod(np.array([Value(x)]), y)[0]]
    assert [v.data for v in found] == pytest.approx([expected] * 3, rel=0, abs=0, nan_ok=True)
