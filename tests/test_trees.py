"""trees: what is an argument, taken apart and put together, and that grad, jit and gradcheck take the same ones."""

import collections
import copy
import dataclasses
import gc
import weakref
from array import array
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

import micrograd as mg
from micrograd import Value, grad, gradcheck, jit
from micrograd.trees import flatten, leaves_of, mapped, paths, unflatten


class Pair(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass(frozen=True)
class Line:
    slope: Any
    offset: Any = 0.0

    def __post_init__(self):
        assert not isinstance(self.slope, Value), "what checks numbers is not called with Values"


@dataclasses.dataclass
class Bare:
    slope: Any
    offset: Any


BARE = Bare(0.0, 0.0)


class Column:
    """An array of another library."""

    def __init__(self, numbers, **more):
        self.numbers = np.array(numbers)
        self.__dict__.update(more)

    def __array__(self, dtype=None, copy=None):
        return self.numbers


class Lent:
    """An array that is only lent, by DLPack."""

    def __init__(self, numbers):
        self.numbers = np.array(numbers)

    def __dlpack__(self, **options):
        return self.numbers.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.numbers.__dlpack_device__()


def squares(tree):
    """The sum of the squares of whatever there is."""
    return mg.sum([x * x for leaf in leaves_of(tree) for x in (leaf.ravel() if isinstance(leaf, np.ndarray) else [leaf])])


TAKEN = {  # by all three, with the gradient in the argument's own structure
    "float": (3.0, 6.0),
    "NumPy scalar": (np.float32(1.5), 3.0),
    "Fraction": (Fraction(1, 2), 1.0),
    "list": ([1.0, 2.0], [2.0, 4.0]),
    "mixed list": ([1.0, [np.float64(2.0), Fraction(3)]], [2.0, [4.0, 6.0]]),
    "tuple": ((1.0, 2.0), (2.0, 4.0)),
    "named tuple": (Pair(1.0, [2.0]), Pair(2.0, [4.0])),
    "dict": ({"a": 1.0, (1, 2): 2.0}, {"a": 2.0, (1, 2): 4.0}),
    "ordered dict": (collections.OrderedDict(b=1.0, a=2.0), collections.OrderedDict(b=2.0, a=4.0)),
    "default dict": (collections.defaultdict(list, a=[1.0]), collections.defaultdict(list, a=[2.0])),
    "dataclass": (Line(1.0, 2.0), {"slope": 2.0, "offset": 4.0}),
    "array": (np.array([[1.0, 2.0]]), np.array([[2.0, 4.0]])),
    "array of no dimension": (np.array(3.0), np.array(6.0)),
    "array of objects": (np.array([1.0, 2.0], object), np.array([2.0, 4.0])),
    "unmasked array": (np.ma.masked_array([1.0, 2.0]), np.array([2.0, 4.0])),
    "array of another library": (Column([1.0, 2.0]), np.array([2.0, 4.0])),
    "array lent by another library": (Lent([1.0, 2.0]), np.array([2.0, 4.0])),
    "deque": (collections.deque([1.0, 2.0]), np.array([2.0, 4.0])),
    "array of the standard library": (array("d", [1.0, 2.0]), np.array([2.0, 4.0])),
    "with None": ([1.0, None], [2.0, None]),
    "nested": ({"a": [1.0, Pair(2.0, (np.array([3.0]),))]}, {"a": [2.0, Pair(4.0, (np.array([6.0]),))]}),
}
COUNTED = {  # jit takes them as they are, and nothing is differentiated by them
    "int": 2,
    "NumPy integer": np.int64(2),
    "array of integers": np.array([1, 2]),
    "range": range(1, 3),
    "bool": True,
    "array of bools": np.array([True, False]),
}


class Elsewhere:
    """An array of another library that it does not give away."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")


class OfItsOwnType:
    """An array of a type that NumPy has not."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Got unsupported ScalarType BFloat16\nand more")


REFUSED = {  # by all three
    "array of a type of its own": (OfItsOwnType(), r"cannot read: Got unsupported ScalarType BFloat16: pass x\.float\(\)$"),
    "array with a gradient of its own": (Elsewhere(), r"is a Elsewhere that NumPy cannot read: .*Use tensor\.detach"),
    "set": ({1.0}, "got set"),
    "generator": ((x for x in [1.0]), "got generator"),
    "bytes": (b"ab", "real numbers|got bytes"),
    "deque of text": (collections.deque("ab"), "real numbers"),
    "complex": (1j, "complex"),
    "object": (SimpleNamespace(), "got SimpleNamespace"),
    "masked array": (np.ma.masked_array([1.0, 2.0], mask=[0, 1]), r"masked array, and 1 of its 2 .*filled"),
    "structured array": (np.zeros(2, [("a", float), ("b", float)]), r"fields a, b: pass one, x\['a'\]"),
    "dates": (np.array(["2024-01-01"], "datetime64[D]"), "turn times into numbers"),
    "array with None": (np.array([1.0, None]), r"missing entries \(None\)"),
    "array of text": (np.array(["a"]), "real numbers"),
    "column with gaps": (Column([1.0, np.nan], null_count=lambda: 1), "Column with 1 missing"),
    "inside": ({"a": [1.0, np.ma.masked_array([1.0], mask=[1])]}, r"\['a'\]\[1\] is a masked array"),
}


def plain(tree):
    tree = dataclasses.asdict(tree) if dataclasses.is_dataclass(tree) else tree
    return mapped(tree, lambda leaf: leaf.tolist() if isinstance(leaf, np.ndarray) else leaf)


@pytest.mark.parametrize(("argument", "expected"), TAKEN.values(), ids=TAKEN)
def test_transforms_compiled_functions_and_checks_take_the_same_arguments(argument, expected):
    gradient = grad(squares)(argument)
    assert plain(gradient) == plain(expected) and type(plain(gradient)) is type(plain(expected))
    f = jit(lambda x: (squares(x), grad(squares)(x)), backend="reference")
    for _ in range(2):
        value, compiled = f(copy.copy(argument))
        assert plain(compiled) == plain(gradient) and value == sum(np.square([r.analytic / 2 for r in report(argument)]))
    assert len(f.recorded) == 1
    assert gradcheck(squares, argument)
    mg.assert_gradients(squares, argument)


@pytest.mark.parametrize(("argument", "expected"), TAKEN.values(), ids=TAKEN)
def test_all_transforms_take_the_same_arguments(argument, expected):
    expected = plain(expected)
    value, gradient = mg.value_and_grad(squares)(argument)
    assert plain(gradient) == plain(mg.jacobian(squares)(argument)) == expected
    assert plain(mg.vjp(squares, argument)[1](1.0)[0]) == plain(mg.hvp(squares, (argument,), (argument,))) == expected
    assert mg.jvp(squares, (argument,), (argument,)) == (value, 2 * value)
    out, pull = mg.vjp(lambda x: x, argument)
    assert plain(pull(argument)[0]) == plain(out)
    total = sum(x for leaf in leaves_of(plain(mg.hessian(squares)(argument))) for x in np.ravel(leaf))
    assert total == 2 * len(report(argument))


def report(argument):
    return gradcheck(squares, argument).rows


@pytest.mark.parametrize("argument", COUNTED.values(), ids=COUNTED)
def test_integers_are_for_counting(argument):
    assert jit(lambda x, n: squares(n) * x)(1.0, argument) == np.sum(np.square(argument))
    for function in (
        lambda: grad(squares)(argument),
        lambda: jit(grad(squares), backend="reference")(argument),
        lambda: gradcheck(squares, argument),
        lambda: mg.jacobian(squares)(argument),
        lambda: mg.hessian(squares)(argument),
        lambda: mg.jvp(squares, (argument,), (argument,)),
        lambda: mg.hvp(squares, (argument,), (argument,)),
        lambda: mg.vjp(squares, argument),
    ):
        with pytest.raises(TypeError, match="a derivative is with respect to real numbers"):
            function()


@pytest.mark.parametrize(("argument", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_number_is_refused_everywhere(argument, message):
    for function, where in ((jit(squares), "argument 0"), (grad(squares), "grad, argument 0")):
        with pytest.raises(TypeError, match=f"^{where}.*{message}"):
            function(argument)
    with pytest.raises(TypeError, match=f"^tree.*{message}"):
        gradcheck(squares, argument)
    with pytest.raises((TypeError, ValueError), match=r"^argument 0"):
        jit(squares).map(argument)


def test_trees_are_taken_apart_and_put_together():
    tree = {"w": [1.0, (2.0, None)], "line": Line(3.0), "pair": Pair(4.0, np.ones(2))}
    leaves, structure = flatten(tree)
    assert leaves[:4] == [1.0, 2.0, 3.0, 0.0] and hash(structure)
    again = unflatten(structure, [10.0, *leaves[1:]])
    assert again["w"] == [10.0, (2.0, None)] and again["line"] == Line(3.0) and again["pair"].y is leaves[-1]
    assert [path for path, _ in paths(tree)] == ["['w'][0]", "['w'][1][0]", "['line'].slope", "['line'].offset",
        "['pair'].x", "['pair'].y"]  # fmt: skip


def test_arguments_may_be_named_and_have_defaults():
    w = Value(2.0)
    f = jit(lambda x, k=2.0, *, line=None: w * x * k + (line.slope if line else 0.0))
    assert f(3.0) == 12.0 and f(3.0, k=4.0) == 24.0 == f(x=3.0, k=4.0) and f(3.0, 5.0) == 30.0
    assert f(3.0, line=Line(7.0)) == 19.0 == f(3.0, line=Line(7.0))
    X, K = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    assert f.map(X, k=K).tolist() == [6.0, 16.0] == f.map(k=K, x=X).tolist()
    assert f.map(X, in_axes=(0,), k=K).tolist() == [6.0, 16.0]
    value, gradient = f.value_and_grad([2.0], X, k=K, reduction="sum")
    assert (value, gradient.tolist()) == (22.0, [11.0])
    assert f.backward(X, k=K, reduction="sum") == 22.0 and w.grad == 11.0
    with f.training(mg.SGD([w], lr=0.1)) as step:
        assert step(X, k=K) == 11.0 and step(X, K) < 11.0
    assert f(Value(3.0), k=4.0).data == f(3.0, k=4.0) == grad(f.fn)(1.0, k=4.0) * 3.0
    g = jit(lambda p: {"line": dataclasses.replace(BARE, slope=p.slope * 2.0, offset=[p.offset])})
    assert g(Line(1.0, 3.0)) == {"line": Bare(2.0, [3.0])}
    with pytest.raises(TypeError, match="argument k must be"):
        f(1.0, k={1.0})


def test_samples_may_come_in_named_tuples_and_dataclasses():
    f = jit(lambda p: p[0] * p[1] if isinstance(p, tuple) else p.slope + p.offset)
    assert f.map(Pair(np.array([1.0, 2.0]), np.array([3.0, 4.0]))).tolist() == [3.0, 8.0]
    assert f.map(Line(np.array([1.0, 2.0]), np.array([3.0, 4.0]))).tolist() == [4.0, 6.0]


def test_flatten_keeps_no_leaf_alive():
    gc.disable()
    try:
        x = np.zeros(3)
        held = weakref.ref(x)
        flatten({"a": [x]})
        del x
        assert held() is None
    finally:
        gc.enable()


def columns_and_tables(library):
    """What each library has for columns and tables: some of numbers, and some with an entry that is marked as missing."""
    data = {"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0]}
    gaps = {"a": [1.0, None, 3.0], "b": [4.0, 5.0, 6.0]}
    if library.__name__ == "pandas":
        kinds = ("Float64", "Int64")
        whole = [library.DataFrame(data).astype(kind) for kind in ("float64", "int64", "category", *kinds)]
        return [x["a"] for x in whole] + [x for x in whole if x.dtypes["a"] != "category"], [
            x for kind in kinds for x in (library.Series(gaps["a"], dtype=kind), library.DataFrame(gaps).astype(kind))
        ]
    if library.__name__ == "polars":
        return [library.Series(data["a"]), library.DataFrame(data)], [library.Series(gaps["a"]), library.DataFrame(gaps)]
    table = library.table
    return (
        [library.array(data["a"]), library.chunked_array([data["a"]]), table(data), table(data).to_batches()[0]],
        [library.array(gaps["a"]), table(gaps), table(gaps).to_batches()[0]],
    )


@pytest.mark.parametrize("name", ["pandas", "polars", "pyarrow"])
def test_columns_and_tables_are_arguments_of_compiled_functions(name):
    library = pytest.importorskip(name)
    w = Value(2.0)
    f, g = jit(lambda x: x * w), jit(lambda row: row[0] * w + row[1])
    whole, with_gaps = columns_and_tables(library)
    for x in whole:
        found, wanted = (g.map(x), [6.0, 9.0, 12.0]) if np.ndim(np.asarray(x)) == 2 else (f.map(x), [2.0, 4.0, 6.0])
        assert found.tolist() == wanted, x
    for x in with_gaps:
        with pytest.raises(TypeError, match=r"argument 0 .*missing entries"):
            (g if np.ndim(np.asarray(x)) == 2 else f).map(x)


@pytest.mark.parametrize("kind", [Column, Lent])
def test_the_vector_of_parameters_may_be_of_another_library(kind):
    w = Value(2.0)
    f = mg.jit(lambda x: x * w, wrt=[w])
    value, gradient = f.value_and_grad(kind([3.0]), kind([1.0, 2.0]))
    assert (value, gradient.tolist()) == (4.5, [1.5])
    assert f.map(kind([1.0, 2.0]), theta=kind([3.0])).tolist() == [3.0, 6.0] and f(2.0, theta=kind([5.0])) == 10.0


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_columns_of_a_data_frame_are_named_by_a_dict_and_rows_indexed_by_number(name):
    library = pytest.importorskip(name)
    frame = library.DataFrame({"a": [1.0, 2.0], "b": [3.0, 5.0]})
    product = jit(lambda row: row["a"] * row["b"])
    for f, at in (
        (product, "argument 0"),
        (jit(lambda k, *, row: k * row["a"]), "argument row"),
        (jit(lambda row: row.a), "argument 0"),
    ):
        args = {"row": frame} if at == "argument row" else {}
        with pytest.raises((IndexError, AttributeError), match=rf"^{at} is a data frame, x, .* pass a dict of columns"):
            f.map(np.ones(2), **args) if args else f.map(frame)
    assert product.map({name: frame[name] for name in frame.columns}).tolist() == [3.0, 10.0]
    assert jit(lambda row: row[0] * row[1]).map(frame).tolist() == [3.0, 10.0]
    with pytest.raises(IndexError, match=r"^only integers"):
        product.map(np.ones((2, 2)))
