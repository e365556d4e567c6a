"""Functions of numbers take lists and arrays, and give the like: each row of the book, and what is composed of them."""

import numpy as np
import pytest
from truth import CASES

import micrograd as mg
from micrograd import Value, adjoints, grad, jit
from micrograd.primitives import RULES

ROWS = [case for case in CASES if not case.rule.variadic]
COMPOSED = [mg.ceil, mg.trunc, mg.round, mg.gelu, mg.silu, mg.elu, mg.leaky_relu, mg.clip, mg.logaddexp]
FUNCTIONS = [pytest.param(case.rule, case.inside(0.25, -0.5, 0.75), id=case.name) for case in ROWS]
FUNCTIONS += [pytest.param(f, [0.25, -0.5][: 1 + (f is mg.logaddexp)], id=f.__name__) for f in COMPOSED]


def data(xs):
    return [data(x) for x in xs] if isinstance(xs, (list, np.ndarray)) else x.data if isinstance(x := xs, Value) else x


@pytest.mark.parametrize(("f", "at"), FUNCTIONS)
def test_lists_and_arrays_give_the_like_with_the_bits_of_each_number(f, at):
    first, *rest = at
    alone, other = f(*at), f(first * 1.5, *rest)
    assert f([first, first * 1.5], *rest) == f((first, first * 1.5), *rest) == [alone, other]
    assert f([[first], [first * 1.5, first]], *rest) == [[alone], [other, alone]]
    assert f([], *rest) == []
    array = f(np.array([[first, first * 1.5]]), *rest)
    assert array.dtype == float and array.tolist() == [[alone, other]]
    assert f(np.zeros((0, 3)), *rest).shape == (0, 3)
    for many in ([Value(first), Value(first * 1.5)], [Value(first), first * 1.5]):
        found = f(many, *rest)
        assert isinstance(found, list) and data(found) == [alone, other]
        found = f(np.array(many), *rest)
        assert found.dtype == object and data(found) == [alone, other]
    if rest:  # several, and one number with all
        for make in (list, np.array):
            assert data(f(*[make([x, x]) for x in at])) == [alone, alone]
            assert data(f(first, *[make([x, x]) for x in rest])) == [alone, alone]
            assert data(f(Value(first), *[make([x, x]) for x in rest])) == [alone, alone]
            assert data(f(make([first, first]), *[Value(x) for x in rest])) == [alone, alone]


def test_derivatives_go_through_eagerly_and_compiled():
    def f(xs, y):
        return mg.sum([*mg.exp(xs), *mg.maximum(xs, y), *mg.where(xs, y, mg.sin(xs))])

    for xs in ([0.5, -1.5], np.array([0.5, -1.5])):
        expected = [mg.grad(lambda x: mg.exp(x) + mg.maximum(x, 0.25) + mg.where(x, 0.25, mg.sin(x)))(float(x)) for x in xs]
        assert list(grad(f)(xs, 0.25)) == list(jit(grad(f))(xs, 0.25)) == expected
    ys = mg.logaddexp([Value(1.0), Value(2.0)], x := Value(0.5))
    assert adjoints(mg.sum(ys))[x] == grad(lambda x: mg.logaddexp(1.0, x) + mg.logaddexp(2.0, x))(0.5)


def test_where_chooses_lists_at_once_by_one_number_and_entries_by_a_list():
    assert mg.where(True, [1.0, 2.0], [3.0, 4.0]) == [1.0, 2.0]
    assert mg.where([1.0, -1.0], [1.0, 2.0], [3.0, 4.0]) == [1.0, 4.0]
    assert mg.where(np.array([True, False]), 1.0, 2.0).tolist() == [1.0, 2.0]


class Column:
    """As one of Polars', of which one entry is missing."""

    def __len__(self):
        return 2

    def __array__(self, dtype=None, copy=None):
        return np.array([1.0, np.nan])

    def null_count(self):
        return 1


MASKED = np.ma.masked_array([1.0, 2.0], [0, 1])
CYCLE = []
CYCLE.append(CYCLE)


def test_a_row_of_ones_own_takes_lists():
    before = dict(RULES)
    try:
        cube = mg.primitive("cube_of_each", "cube(x)", lambda x: x * x * x, lambda x, out: 3 * x * x)
        assert cube([2.0, 3.0]) == [8.0, 27.0] and data(cube([Value(2.0)])) == [8.0]
    finally:
        RULES.clear()
        RULES.update(before)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.maximum([1.0], [1.0, 2.0]), ValueError, "maximum needs lists of one length, got 1 and 2 values"),
        (lambda: mg.logaddexp([1.0, 2.0], []), ValueError, "logaddexp needs lists of one length, got 0 and 2 values"),
        (lambda: mg.hypot(np.ones(2), np.ones(3)), ValueError, "could not be broadcast"),
        (lambda: mg.exp("ab"), TypeError, "got str 'ab'"),
        (lambda: mg.exp({"a": 1.0}), TypeError, "got dict"),
        (lambda: mg.exp([1.0, None]), TypeError, "got NoneType"),
        (
            lambda: mg.exp(np.ma.masked_array([1.0, 2.0], [0, 1])),
            TypeError,
            r"exp: .*1 of its 2 entries are masked: fill them in, x\.",
        ),
        (lambda: mg.maximum(0.5, np.ma.masked_array([1.0, 2.0], [0, 1])), TypeError, "maximum: an argument is a masked array"),
        (lambda: mg.gelu([np.ma.masked_array([1.0, 2.0], [0, 1])]), TypeError, "gelu: an argument is a masked array"),
        (lambda: mg.exp(np.zeros(2, [("a", float), ("b", int)])), TypeError, r"exp: .* fields a, b: pass one, x\['a'\]"),
        (lambda: mg.exp(Column()), TypeError, "exp: an argument is a Column with 1 missing entries: fill them in"),
        (lambda: mg.exp(CYCLE), ValueError, "a list contains itself"),
        (lambda: jit(lambda x: x[0])(CYCLE), ValueError, "a list contains itself"),
        (lambda: mg.grad(lambda x: x[0])(CYCLE), ValueError, "a list contains itself"),
        (lambda: mg.sum(MASKED), TypeError, r"an entry that is masked\): fill it in"),
        (lambda: mg.take(MASKED, 1), TypeError, r"an entry that is masked\): fill it in"),
        (lambda: mg.nll(MASKED, 1), TypeError, r"an entry that is masked\): fill it in"),
        (lambda: mg.nll([[0.5, 0.5]], np.ma.masked_array([1], [1])), ValueError, "needs the index of a class, .* got masked"),
        (lambda: mg.exp([Value(1.0), "x"]), TypeError, "got str 'x'"),
        (lambda: mg.sum([[1.0], [2.0]]), TypeError, "got list"),
        (lambda: Value(1.0) * [1.0], TypeError, "got list"),
    ],
)
def test_what_is_no_number_and_no_list_of_them_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("f", [mg.mean, mg.norm, mg.var, mg.std, mg.prod, mg.softmax, mg.log_softmax, mg.cumsum])
def test_functions_of_many_numbers_refuse_what_has_none(f):
    name = f.__name__
    for x, error, message in [
        (MASKED, TypeError, f"{name}: an argument is a masked array, and 1 of its 2 entries are masked"),
        (np.zeros(2, [("a", float), ("b", int)]), TypeError, f"{name}: .* fields a, b"),
        (Column(), TypeError, f"{name}: an argument is a Column with 1 missing entries"),
        (CYCLE, ValueError, "a list contains itself"),
        (3.0, TypeError, f"{name} needs a list of numbers, got float 3.0"),
        (Value(3.0), TypeError, f"{name} needs a list of numbers, got Value"),
        ("abc", TypeError, f"{name} needs a list of numbers, got str 'abc'"),
        ({"a": 1.0}, TypeError, f"{name} needs a list of numbers, got dict"),
        ({1.0, 2.0}, TypeError, f"{name} needs a list of numbers, got set"),
    ]:
        with pytest.raises(error, match=message):
            f(x)
    assert f(iter([1.0, 2.0])) == f([1.0, 2.0])


def test_bounds_given_by_name_go_along_with_the_numbers():
    assert mg.clip([0.5, 3.0], low=[0.0, 1.0], high=2.0) == [0.5, 2.0]
    assert mg.clip(np.array([0.5, 3.0]), low=np.array([0.0, 1.0]), high=2.0).tolist() == [0.5, 2.0]
    assert mg.leaky_relu([-1.0, -2.0], slope=[0.1, 0.2]) == [-0.1, -0.4]


def test_an_array_that_numpy_cannot_read_is_refused_in_one_line():
    class Tensor:
        shape = (2,)

        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.\nAnd more of it.")

        def __len__(self):
            return 2

    for f, name in ((mg.exp, "exp"), (mg.mean, "mean"), (mg.gelu, "gelu")):
        with pytest.raises(
            TypeError, match=rf"^{name}: an argument is a Tensor that NumPy cannot read: [^\n]* requires grad\.$"
        ):
            f(Tensor())
