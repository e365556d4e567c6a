"""Branches: functions that compare values, whose paths are merged into one program once they are known."""

import math
import random

import numpy as np
import pytest

import micrograd as mg
from micrograd import Value, jit
from micrograd.tape.back_ends import NAMES, reference
from micrograd.tape.calling import branches
from micrograd.tape.merging import merge


def piecewise(seed, w):
    """A random function with comparisons, some of them inside branches, some over what other branches have left."""
    rng = random.Random(seed)
    plan = [(rng.choice("<>lg=!"), rng.uniform(-1, 1), rng.randrange(5), rng.randrange(3)) for _ in range(rng.randrange(2, 5))]

    def holds(kind, x, y):
        return {"<": x < y, ">": x > y, "l": x <= y, "g": x >= y, "=": x == y, "!": x != y}[kind]

    def f(x, y):
        total = x * w[0]
        for kind, bound, what, nested in plan:
            if holds(kind, total, y * bound):
                total = (total * y, mg.sin(total) + w[1], total - 1.0, mg.sqrt(x * x + 1.0) * total, total * total)[what]
                if nested == 0 and y > bound:
                    total = total + w[2] * y
            elif nested == 1:
                total = mg.log(total * total + 1e-300) if x > 0.0 else -total
            else:
                total = total + bound
        return total

    return f


@pytest.mark.parametrize("seed", range(3))
def test_merged_paths_give_the_bits_of_the_engine(seed, monkeypatch):
    """Values and sums with gradients, by each way that there is to run paths, and whatever was met before."""
    w = [Value(0.7), Value(-1.3), Value(0.2)]
    f = piecewise(seed, w)
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-3, 4, (2, 300)) / 2.0  # many ties
    values, gradients = [], []
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        out = f(Value(a), Value(b))
        found = mg.adjoints(out, w)
        values.append(out.data)
        gradients.append([found[v] for v in w])
    expected = reference.total(np.column_stack([values, gradients]))
    theta = np.array([v.data for v in w])
    for backend, together in (("llvm", True), ("llvm", False), ("reference", True), ("reference", False)):
        with monkeypatch.context() as patched:
            if not together:
                patched.setattr(merge, "SMALL_TAPE", 0)
                patched.setattr(merge, "GROWTH", 0)
                patched.setattr(branches, "ROOM", 0)
            fast = jit(f, wrt=w, backend=backend, precision="exact")
            for few in (5, 300, 300):
                assert np.array_equal(fast.map(x[:few], y[:few]), values[:few])
                value, gradient = fast.value_and_grad(theta, x[-few:], y[-few:], reduction="sum")
            assert np.array_equal([value, *gradient], expected), "in the order of the samples, whatever their paths"
            for a, b, value in list(zip(x.tolist(), y.tolist(), values, strict=True))[:6]:
                assert fast(a, b) == value and fast([a][0], b) == value


def test_what_another_path_computes_reaches_nothing():
    w = Value(2.0)

    def f(x):
        if x > 0.0:
            return mg.log(x) * w + mg.sqrt(x)
        return (w * x if x < -1.0 else mg.exp(-1000.0 * x) * w) if x != 0.0 else w

    fast = jit(f, wrt=[w], backend="llvm", precision="exact")
    x = np.array([1.0, -3.0, 0.0, -2.0, 4.0, -0.001])
    for _ in range(3):
        assert np.array_equal(fast.map(x), [f(v).data if isinstance(v, Value) else v for v in map(Value, x.tolist())])
        value, gradient = fast.value_and_grad([2.0], x[:5], reduction="sum")
        assert math.isfinite(value) and gradient.tolist() == [math.log(4.0) - 5.0 + 1.0]
    assert math.isnan(fast.map([1.0, math.nan, 1.0])[1]) and fast(1.0) == 1.0


def sums(f, w, X):
    """The sum of a function's values over samples, and of its derivatives, by the engine."""
    found = [(out.data, *[mg.adjoints(out, w)[v] for v in w]) for out in (f(*map(Value, row)) for row in X.tolist())]
    return np.sum(found, axis=0)


def compiled_sums(fast, w, X):
    value, gradient = fast.value_and_grad([v.data for v in w], *X.T, reduction="sum")
    return [value, *gradient]


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("seed", range(3))
def test_derivatives_of_many_paths_are_those_of_their_results_in_one(backend, seed):
    w = [Value(0.7), Value(-1.3), Value(0.2)]
    f, X = piecewise(seed, w), np.random.default_rng(seed).integers(-3, 4, (200, 2)) / 2.0 + 0.125
    fast = jit(f, wrt=w, backend=backend)
    for few in (5, 200, 200):
        assert np.allclose(compiled_sums(fast, w, X[:few]), sums(f, w, X[:few]), rtol=1e-10)
    (paths,) = fast.recorded.values()
    assert len(paths) > 2 and all(path.is_derivable for path in paths)


def test_derivatives_of_ifs_on_what_the_ifs_before_have_left_cost_what_those_of_selections_do():
    w = [Value(0.7), Value(-0.3)]

    def f(x, y):
        t = x * w[0]
        for k in range(6):
            t = t * 0.7 + y * w[0] if t > y * (k - 2) * 0.3 else t * 1.1 - w[1] * x
        return t

    X = np.random.default_rng(0).normal(size=(1000, 2))
    fast = jit(f, wrt=w, backend="numpy")
    assert np.allclose(compiled_sums(fast, w, X), sums(f, w, X))
    (paths,) = fast.recorded.values()
    tape = fast._calls.recordings.one_tape(paths, True, True, 2)
    assert len(paths) > 15 and len(tape.instructions) < 200


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("kind", ["detach", "no_grad", "own"])
def test_derivatives_that_do_not_follow_from_the_results_stay_those_of_each_path(backend, kind):
    own = mg.primitive(f"twice_if_large_{backend}_{kind}", "f(x)", lambda x: x, lambda x, out: 2.0 if x > 1.0 else 1.0)
    w = [Value(1.5)]

    def held(x):
        if kind == "no_grad":
            with mg.no_grad():
                return x * 1.0
        return own(x) if kind == "own" else x.detach()

    def f(x):
        a = x * w[0]
        return held(a) * a if x > 0.0 else held(a) + a * a

    X = np.array([[1.0], [-1.0], [0.5], [-2.0], [3.0]])
    fast = jit(f, wrt=w, backend=backend)
    for _ in range(3):
        assert np.allclose(compiled_sums(fast, w, X), sums(f, w, X))


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_what_another_path_computes_reaches_no_derivative(backend, monkeypatch):
    """A pole does not, in the one program; where a product overflows, the path is run by itself."""
    w = [Value(2.0)]

    def f(x):
        return mg.sqrt(x) * w[0] + mg.log(x * w[0]) if x > 0.0 else x * w[0]

    def large(x):
        return x * x * w[0] if x < 1.0 else mg.sin(w[0])

    X = np.array([[1.0], [-1.0], [0.0], [-2.0], [4.0]])
    fast = jit(f, wrt=w, backend=backend)
    compiled_sums(fast, w, X), compiled_sums(fast, w, X)
    with monkeypatch.context() as patched:
        patched.setattr(branches, "_sorted_by_path", None)
        assert np.allclose(compiled_sums(fast, w, X), sums(f, w, X))
    fast, X = jit(large, wrt=w, backend=backend), np.array([[0.5], [1e200], [-3.0], [2.0]])
    for _ in range(3):
        assert np.allclose(compiled_sums(fast, w, X), sums(large, w, X))


@pytest.mark.parametrize("many", [branches.MANY_SUMS, 1])
def test_paths_have_parameters_of_their_own(many, monkeypatch):
    """In one program, and one by one, as where there is no room for the results of single samples."""
    monkeypatch.setattr(branches, "MANY_SUMS", many)
    w, v = Value(2.0), Value(3.0)
    f = jit(lambda x: w * x if x > 1.0 else v * x * x if x > 0.0 else w * v, backend="llvm")
    assert f.map([2.0, 0.5, -1.0]).tolist() == [4.0, 0.75, 6.0]
    for _ in range(3):
        value, gradient = f.value_and_grad([2.0, 3.0], [2.0, 0.5, -1.0, 3.0], reduction="sum")
        assert (value, gradient.tolist()) == (4.0 + 0.75 + 6.0 + 6.0, [5.0 + 3.0, 0.25 + 2.0])


def thirds(w, x, y):
    return w[0] * x if x > 0.5 else mg.sin(w[1] * x) if x > -0.5 else w[0] * w[1] * x * x


def quarters(w, x, y):
    if x > 0.0:
        return w[0] * x if y > 0.0 else w[1] * y
    return mg.sin(w[0] * w[1] * x)  # where two samples may take one path, and differ in what another one compares


@pytest.mark.parametrize("fn", [thirds, quarters])
@pytest.mark.parametrize("backend", ["reference", "llvm"])
def test_sums_of_each_path_by_itself_have_the_same_bits_whatever_was_met_before(backend, fn, monkeypatch):
    monkeypatch.setattr(branches, "MANY_SUMS", 1)
    monkeypatch.setattr(branches, "SPAN", 64)
    w, theta, found = [Value(0.7), Value(-1.3)], [0.7, -1.3], set()
    for first in ([2.0], [1.0, 0.0], [0.0], [-1.0, 1.0, 0.0]):
        f, rng = jit(lambda x, y: fn(w, x, y), w, backend=backend, precision="exact"), np.random.default_rng(1)
        f.value_and_grad(theta, first, first)
        sums = []
        for _ in range(3):
            x, y = rng.normal(size=(2, 1000)) * 3.0
            x[:9], y[:9] = -0.7 - np.sqrt(np.arange(9.0)), [*[1.0] * 8, -1.0]
            value, gradient = f.value_and_grad(theta, x, y, reduction="sum")
            parts = [f.value_and_grad(theta, x[i : i + 64], y[i : i + 64], reduction="sum") for i in range(0, 1000, 64)]
            assert np.array_equal([value, *gradient], reference.paired([np.array([a, *b]) for a, b in parts]))
            sums += [value, *gradient]
        found.add(tuple(sums))
    assert len(found) == 1


@pytest.mark.parametrize("backend", ["reference", "llvm"])
def test_sums_over_single_samples_have_the_same_bits_however_many_of_these_there_is_room_for(backend, monkeypatch):
    monkeypatch.setattr(merge, "SMALL_TAPE", 0)
    monkeypatch.setattr(merge, "GROWTH", 0)
    w, found = [Value(0.7), Value(-1.3)], set()
    x, y = np.random.default_rng(0).normal(size=(2, 7 * reference.BLOCK + 9))
    for blocks in (0, 2, 5, 1000):
        monkeypatch.setattr(branches, "ROOM", blocks * reference.BLOCK * (1 + len(w)))
        f = jit(lambda x, y: quarters(w, x, y), w, backend=backend, precision="exact")
        value, gradient = f.value_and_grad([0.7, -1.3], x, y, reduction="sum")
        found.add((value, *gradient.tolist()))
    assert len(found) == 1


@pytest.mark.parametrize("backend", NAMES)
def test_paths_are_those_of_the_parameters_that_are_given(backend):
    """Not those of the numbers that the function would find."""

    def fn(w, x):
        return w * x * x if w * x > 1.0 else mg.sin(w * x) if w * x > -1.0 else w * 3.0

    found, x = Value(1.0), np.linspace(-3.0, 3.0, 40)
    for given in (-2.0, 0.5, 4.0):
        value, (slope,) = jit(lambda x: fn(found, x), [found], backend=backend).value_and_grad([given], x, reduction="sum")
        w = Value(given)
        out = mg.sum([fn(w, v) for v in x.tolist()])
        assert math.isclose(value, out.data, rel_tol=1e-12) and math.isclose(slope, mg.adjoints(out)[w], rel_tol=1e-12)


@pytest.mark.parametrize("many", [branches.MANY_SUMS, 1])
def test_a_sample_for_which_a_path_is_recorded_counts_once(many, monkeypatch):
    monkeypatch.setattr(branches, "MANY_SUMS", many)
    w = [Value(1.0), Value(2.0)]
    f = jit(lambda x: w[0] * 5.0 if x > 0.5 else w[1] * 3.0, w)
    for _ in range(2):
        value, gradient = f.value_and_grad([1.0, 2.0], [2.0, math.nan, 1.0], reduction="sum")
        assert (value, gradient.tolist()) == (5.0 + 6.0 + 5.0, [10.0, 3.0])


@pytest.mark.parametrize("backend", NAMES)
def test_a_comparison_that_raises_for_samples_of_other_paths_is_left_to_these(backend):
    own = mg.custom_derivative(lambda x: {1.0: 2.0, 3.0: 0.5}[x], lambda x, out: 1.0)
    f = jit(lambda x: (own(x) * 2.0 if own(x) > 1.0 else own(x)) if x > 0.0 else x, backend=backend)
    for x, expected in (([1.0, 3.0, -1.0, -2.0], [4.0, 0.5, -1.0, -2.0]), ([-1.0, 1.0, 3.0], [-1.0, 4.0, 0.5])):
        assert f.map(x).tolist() == expected
    with pytest.raises(KeyError, match=r"2\.0"):
        f.map([1.0, 2.0])


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("backend", NAMES)
def test_a_path_may_have_no_parameters(backend, listed):
    w = Value(2.0)
    f = jit(lambda x: x * 5.0 if x > 1.0 else w * x, [w] if listed else None, backend=backend)
    for times in range(1, 4):
        assert f.backward([3.0, 0.5], reduction="sum") == 16.0 and w.grad == 0.5 * times


def test_short_ifs_that_become_selections_are_not_too_many_paths():
    """Seven choices in a row are 128 paths, and one program."""

    def f(x, *choices):
        for c in choices:
            x = x + c if c > 0.0 else x * c
        return x

    choices = np.random.default_rng(7).normal(size=(2000, 7))
    x = np.linspace(-1.0, 1.0, 2000)
    g = jit(f, backend="numpy")
    expected = [f(a, *row) for a, row in zip(x.tolist(), choices.tolist(), strict=True)]
    for _ in range(2):
        assert g.map(x, *choices.T).tolist() == expected
    (paths,) = g.recorded.values()
    assert len(paths) == 2**7


def independent(runs):
    """A function with an `if` on each of its arguments, which says in `runs` how often it was run."""

    def f(*xs):
        runs.append(1)
        total = 1.0
        for x in xs:
            total = total * 1.5 + x * x if x > 0.0 else total * 0.5 - mg.sin(x)
        return total

    return f


def test_independent_ifs_are_a_selection_each():
    f = independent([])
    g = jit(f, backend="reference")
    X = np.array(list(np.ndindex(2, 2, 2, 2, 2, 2))) * 2.0 - 1.25
    g.map(*X.T)
    (paths,) = g.recorded.values()
    tapes = [(path.tape, path.leaves) for path in paths]
    assert len(tapes) == 64 and len(merge.merged(tapes, 0, True).instructions) < 64
    several = tapes[3:10] + tapes[20:50]  # some paths are not known: what is met there belongs to none
    program = reference.Program(merge.merged(several, 0, True), [(1, True)] * 6, False)
    found, number = program([*X.T[:, :, None]], np.zeros(0), len(X))
    decisions = {tuple(g.result for g in tape.guards) for tape, _ in several}
    known = np.array([tuple((row > 0.0).tolist()) in decisions for row in X])
    assert known.sum() == len(several) and np.array_equal(number, np.where(known, 0.0, merge.ELSEWHERE))
    assert found[known].tolist() == [f(*row) for row in X[known].tolist()]


def test_a_function_that_also_decides_by_what_nobody_sees_is_run_path_by_path():
    turns = iter([True, False])

    def f(x):
        y = x * 2.0 if x > 0.0 else x
        return y if next(turns) is False else y * 3.0 if x > 1.0 else y * 5.0

    g = jit(f, backend="reference")
    for _ in range(3):
        assert g.map([2.0, 0.5]).tolist() == [12.0, 1.0]


def test_a_path_of_a_nan_is_not_taken_for_the_one_that_it_contradicts():
    f = jit(lambda x, y: -y if x < 0.0 else 2.0 * y if x >= 0.0 else 7.0 * y, backend="reference")
    for _ in range(3):
        assert f.map([-1.0, math.nan], [1.0, 1.0]).tolist() == [-1.0, 7.0]
    assert f.map([-1.0, 3.0, math.nan], [1.0, 1.0, 1.0]).tolist() == [-1.0, 2.0, 7.0]


@pytest.mark.parametrize(
    ("ifs", "known", "backend"),
    [(6, 20, "numpy"), (1, 2, "numpy"), (3, 8, "numpy"), (3, 6, "numpy"), (60, 5, "reference")],
)
def test_a_nan_and_a_number_beyond_a_bound_lead_elsewhere_whatever_paths_are_known(ifs, known, backend):
    def f(*xs):
        total = 1.0
        for x in xs:
            total = total * 1.5 + x * x if x <= 0.0 else total * 0.5 - 1.0
        return total

    rows = [[1.0 if (13 * i >> (k % 6)) & 1 else -1.0 for k in range(ifs)] for i in range(known)]
    *_, last = rows
    others = [[*last[:k], x, *last[k + 1 :]] for k in (0, -1 % ifs) for x in (math.nan, 2.0)]
    others.append([2.0, 2.0, *last[2:]][:ifs])
    g = jit(f, backend=backend)
    for X in (rows, rows, *[[other] * 2 for other in others], [*rows, *others]):
        assert np.array_equal(g.map(*np.array(X).T), [f(*row) for row in X], equal_nan=True)


def test_paths_have_terms_of_a_dot_in_common():
    def f(*xs):
        return mg.dot([x * x if x > 0.0 else 0.5 * x for x in xs], [mg.sin(x) if x > 0.0 else x for x in xs], start=xs[0])

    X = np.array(list(np.ndindex(2, 2, 2, 2, 2, 2))) * 2.0 - 1.25
    g = jit(f, backend="reference", precision="exact")
    assert g.map(*X.T).tolist() == [f(*map(Value, row)).data for row in X.tolist()]
    (paths,) = g.recorded.values()
    assert len(paths) == 64 and len(merge.merged([(path.tape, path.leaves) for path in paths], 0, True).instructions) < 64


def test_paths_have_sums_in_common_whatever_chains_they_would_be():
    """On some paths two differences follow one another, which would be a dot; on others they do not."""

    def f(*xs):
        total = xs[0] * 0.25
        for x in xs:
            total = total + x * x if x > 0.0 else total - 0.5 * x
        return total

    def selected(*xs):
        return xs[0] * 0.25 + mg.sum([mg.where(x, x * x, -0.5 * x) for x in xs])

    X = np.array(list(np.ndindex(2, 2, 2, 2, 2, 2))) * 2.0 - 1.25
    g, h = (jit(fn, backend="reference", precision="exact") for fn in (f, selected))
    assert g.map(*X.T).tolist() == [f(*map(Value, row)).data for row in X.tolist()]
    h.map(*X.T)
    (paths,), ((one,),) = g.recorded.values(), h.recorded.values()
    assert len(paths) == 64
    found = merge.merged([(path.tape, path.leaves) for path in paths], 0, True)
    assert len(found.instructions) < 2 * len(one.tape.instructions)


@pytest.mark.parametrize("kind", ["all alike", "some rare", "nan"])
def test_many_paths_take_few_runs_and_programs(kind):
    runs, rng = [], np.random.default_rng(3)
    f = independent(runs)
    X = rng.normal(size=(2000, 8))
    if kind != "all alike":
        X = np.where(rng.random(X.shape) < 0.02, abs(X), -abs(X))
    if kind == "nan":
        X[:, 0] = math.nan
    expected = [f(*row) for row in X.tolist()]
    runs.clear()
    g = jit(f, backend="numpy")
    for _ in range(2):
        np.testing.assert_allclose(g.map(*X.T), expected, rtol=1e-13)
    (paths,) = g.recorded.values()
    assert len(paths) > (250 if kind == "all alike" else 15)
    assert len(runs) < 3 * len(paths)
    if kind != "nan":  # which goes from path to path
        assert len(runs) == len(paths), "no path is recorded twice: a sample shows by its comparisons that another is like it"
        assert sum(len(path.programs) for path in paths) < (4 if kind == "all alike" else 6)


@pytest.mark.parametrize("many", [branches.MANY_SUMS, 1])
@pytest.mark.parametrize("sums", [False, True])
def test_one_program_of_all_paths_is_worth_making_once_they_have_sufficed(sums, many, monkeypatch):
    monkeypatch.setattr(branches, "MANY_SUMS", many)
    w = [Value(0.7), Value(-1.3)]
    f = jit(lambda x: thirds(w, x, x), w, backend="numpy")

    def call(x):
        return f.value_and_grad([0.7, -1.3], x) if sums else f.map(x)

    for first in (2.0, 0.0, -1.0):  # each is a path that was not known
        call([first])
    (paths,) = f.recorded.values()
    assert len(paths) == 3 and paths[0].sufficed < 3
    call([2.0, 0.0, -1.0])
    assert len(paths) == 3 and paths[0].sufficed == 3


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_a_comparison_that_rounding_decides_otherwise_takes_the_path_of_the_function(backend):
    """Single precision cannot see what the function itself, run on Values, does see."""
    f = jit(lambda x: 2.0 * x if x + 1e-9 > x else 3.0 * x, dtype=np.float32, backend=backend)
    assert f.map([1.0, 2.0, -1.0]).tolist() == [2.0, 4.0, -2.0] and f(1.0) == 2.0
    assert [len(paths) for paths in f.recorded.values()] == [1, 1], "what is recorded for a sample is a path that is known"


def test_merged_paths_keep_signs_of_zero_apart_and_take_a_nan_where_the_function_does():
    f = jit(lambda x: mg.where(1.0, 0.0, x) if x > 0.0 else mg.where(1.0, -0.0, x), precision="exact")
    g = jit(lambda x: x[0] * 2.0 if x[0] > x[1] else x[1] * 3.0, backend="llvm")
    for _ in range(3):  # once no new path is met, all become one program
        assert np.signbit(f.map([1.0, -1.0])).tolist() == [False, True]
        assert [g([2.0, 1.0]), g([1.0, 2.0])] == [4.0, 6.0]
    assert g([math.nan, 1.0]) == 3.0 and math.isnan(g([1.0, math.nan]))


@pytest.mark.parametrize("start", [0.0, -0.0])
def test_dots_of_more_than_two_merged_paths_keep_the_sign_of_what_they_start_with(start):
    def f(x, y):
        z = mg.dot([x], [y], start=start)
        return z if y > 2.0 else z * 2.0 if y > 1.0 else z * 3.0

    x, y = [-0.0, 0.0] * 3, [3.0, 3.0, 1.5, 1.5, 0.5, 0.5]
    compiled = jit(f, backend="reference", precision="exact")
    for _ in range(3):
        assert [*map(repr, compiled.map(x, y).tolist())] == [repr(f(a, b)) for a, b in zip(x, y, strict=True)]


def test_a_call_like_the_latest_knows_of_parameters_that_another_structure_has_brought():
    w, v = Value(2.0), Value(5.0)
    f = jit(lambda x: w * x[0] if len(x) == 1 else w * x[0] + v * x[1], backend="llvm")
    X = np.array([[1.0], [2.0]])
    f.backward(X), f.backward(X), f.map(np.ones((3, 2))), f.backward(X)
    assert (w.grad, v.grad) == (4.5, 0.0)


@pytest.mark.parametrize("backend", sorted(NAMES))
def test_a_sample_that_takes_none_of_the_known_paths_is_not_outweighed_by_others(backend):
    """In sums, what tells of such samples is added over all of them: the numbers of their paths are 0, 1 and -1."""
    w = Value(2.0)
    f = lambda x: w * x if x > 0.0 else (w * w * x if x > -10.0 else w * w * w * x)  # noqa: E731
    compiled = jit(f, backend=backend)
    for _ in range(2):
        assert compiled.value_and_grad([2.0], [1.0, -1.0], reduction="sum")[1].tolist() == [1.0 - 4.0]
    assert compiled.value_and_grad([2.0], [-1.0, -20.0], reduction="sum")[1].tolist() == [-4.0 - 240.0]


def test_conditions_that_are_selected_themselves_part_paths_too():
    def f(a, b, c, d, e):
        r = b * e if e > 0 else b
        x, y, u, v = (b * c, d * b, c * d, e * d) if a > 0 else (b + d, c + e, d + b, b + e)
        return r * c if x - y > u * v else r

    columns = np.random.default_rng(3).normal(size=(5, 60))
    wanted = [f(*column) for column in columns.T]
    for backend in NAMES:
        compiled = jit(f, backend=backend)
        for _ in range(3):
            assert compiled.map(*columns) == pytest.approx(wanted, rel=1e-15)


@pytest.mark.parametrize("backend", NAMES)
def test_a_parameter_that_another_thread_meets_meanwhile_is_taken_along(backend, monkeypatch):
    w, v = Value(2.0), Value(3.0)
    f = jit(lambda x: x * w if x > 0 else x * v, backend=backend)
    positive, run = np.arange(1.0, 6.0), branches.run
    f.map(positive[:1])

    def meanwhile(*args):
        monkeypatch.setattr(branches, "run", run)
        f.map(-positive)
        return run(*args)

    monkeypatch.setattr(branches, "run", meanwhile)
    assert f.map(positive).tolist() == (2.0 * positive).tolist()


def test_paths_that_part_deeper_than_python_recurses_are_no_one_program(monkeypatch):
    f = jit(lambda x: x if x > 1 else -x, backend="reference")
    f.map(np.array([2.0, 0.0]))
    (paths,) = f.recorded.values()

    def too_deep(self, members, depth, known):
        raise RecursionError

    monkeypatch.setattr(merge._Tree, "part", too_deep)
    assert merge.merged([(path.tape, path.leaves) for path in paths], 0, True) is None


@pytest.mark.parametrize("backend", NAMES)
def test_lookups_that_only_some_paths_make_are_part_of_one_program(backend, monkeypatch):
    """Of tables in one piece and of scattered ones; an index that a path's table has not is an error on that path alone."""
    w = [Value(0.3), Value(-0.2), Value(1.1)]
    rows = [[1.0, 2.0], [Value(3.0), 0.2], [0.1, -1.0], [w[1], 0.6]]

    def f(x, i, j):
        bound = mg.take(w, i)
        if x > bound:
            u = mg.take([0.5, 1.5], j)
            return u * bound + x if u * x > 0.4 else mg.sin(u * x)
        if x < -0.5:
            p, q = mg.take(rows, j)
            return p * x - q * bound
        return x * x - bound

    rng = np.random.default_rng(0)
    x, i, j = rng.normal(size=200), rng.integers(0, 3, 200), rng.integers(0, 6, 200)
    fast, wrt = jit(f, backend=backend), [*w, rows[1][0]]
    slope = jit(f, backend=backend, wrt=wrt)

    def eager(*sample):
        try:
            return f(Value(sample[0]), *sample[1:])
        except IndexError:
            return None

    wanted = [eager(*sample) for sample in zip(x.tolist(), i.tolist(), j.tolist(), strict=True)]
    good = np.array([k for k, out in enumerate(wanted) if out is not None])
    bad = np.array([k for k, out in enumerate(wanted) if out is None])
    values, total = [wanted[k].data for k in good], mg.sum([wanted[k] for k in good])
    found = mg.adjoints(total, wrt)
    theta = np.array([v.data for v in wrt])
    for _ in range(3):
        assert fast.map(x[good], i[good], j[good]) == pytest.approx(values, rel=1e-12)
        value, gradient = slope.value_and_grad(theta, x[good], i[good], j[good], reduction="sum")
        assert value == pytest.approx(total.data) and gradient == pytest.approx([found[v] for v in wrt])
    singles = [(float(x[k]), int(i[k]), int(j[k])) for k in good[:40]]
    for known in (False, False, True):
        if known:
            monkeypatch.setattr(branches, "_sorted_by_path", None)  # which known paths need no more
        assert [fast(*sample) for sample in singles] == pytest.approx(values[:40], rel=1e-12)
    fast.map(x[good], i[good], j[good])
    slope.value_and_grad(theta, x[good], i[good], j[good])
    monkeypatch.undo()
    for k in bad[:10].tolist():
        some = np.append(good[:9], k)
        for call in (fast.map, lambda *args: slope.value_and_grad(theta, *args)):
            with pytest.raises(IndexError, match=f"take needs an index from 0 to ., got {j[k]}"):
                call(x[some], i[some], j[some])
        with pytest.raises(IndexError, match=f"got {j[k]}"):
            fast(float(x[k]), int(i[k]), int(j[k]))


def by_type(x, chosen):
    return x + (1.0 if isinstance(chosen, float) else 2.0)


def in_a_set(x, chosen):
    return x * 2.0 if chosen in {1.0, 3.0} else x


def as_a_key(x, chosen):
    return x + {0.0: 5.0, 1.0: 7.0}.get(chosen, 9.0)


def as_text(x, chosen):
    return x + len(f"{chosen!r}")


def caught(x, chosen):
    try:
        return x + 1.0 / (chosen - 1.0)
    except ZeroDivisionError:
        return x - 100.0


@pytest.mark.parametrize("told_apart", [by_type, in_a_set, as_a_key, as_text, caught])
def test_what_an_if_chooses_stays_what_it_is_in_plain_python(told_apart):
    """Also beside many ifs: what a selection between two floats gives has neither type, hash nor text of one."""

    def f(*xs):
        total = xs[0]
        for x in xs[1:4]:
            total = total + x if x > 0.0 else total * 0.5
        chosen = 0.0
        if xs[4] > 0.0:
            chosen = 1.0
        return told_apart(total, chosen)

    fast = jit(f, backend="reference")
    X = np.array(list(np.ndindex(1, 2, 2, 2, 2))) * 1.5 - 0.75
    for _ in range(3):
        assert fast.map(*X.T).tolist() == [f(*map(Value, row)).data for row in X.tolist()]


def test_a_side_that_raises_is_run_for_its_own_samples_alone():
    """Whether the function catches the error, or the call does."""
    zero = [0.0]

    def caught(x):
        try:
            found = x * (1.0 / zero[0]) if x > 0.0 else x + 1.0
        except ZeroDivisionError:
            found = x - 100.0
        return found

    def raising(*xs):
        total = sum(x if x > 0.0 else -x for x in xs[:3])
        return total / (1.0 if xs[3] > 0.0 else 2.0) + 1.0 / (1.0 if xs[3] > 0.0 else zero[0])

    X = np.array(list(np.ndindex(2, 2, 2, 2))) * 1.5 - 0.75
    fast, slow = jit(caught, backend="reference"), jit(raising, backend="reference")
    for _ in range(3):
        assert fast.map([-1.0, 2.0]).tolist() == [0.0, -98.0]
        some = X[X[:, 3] > 0.0]
        assert slow.map(*some.T).tolist() == [raising(*map(Value, row)).data for row in some.tolist()]
        with pytest.raises(ZeroDivisionError):
            slow.map(*X.T)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("many", [False, True])
def test_a_map_like_the_latest_takes_the_quick_way_through_known_paths(backend, many):
    w, table, bound = Value(0.5), [1.0, 2.0, 3.0], [0.0]

    def f(x, i):
        y = x * w if x > bound[0] else mg.take(table, i) - x
        if y > 10.0:
            y = mg.log(y)
        return (y, [x - w, y * y]) if many else y

    def flat(found):
        return np.stack([found[0], *found[1].T]) if many else found

    def expected(x, i):
        with mg.no_grad():
            return np.array([[*map(float, (y[0], *y[1]))] if many else float(y) for y in map(f, x.tolist(), i.tolist())]).T

    def right(found, x, i):
        np.testing.assert_allclose(flat(found), expected(x, i), rtol=1e-14)

    def check(x, i):
        right(fast.map(x, i), x, i)

    fast = jit(f, backend=backend)
    x, i = np.linspace(-3.0, 3.0, 50), np.arange(50) % 3
    check(x, i)
    check(x, i)
    right(fast._calls.mapped((x[::-1].copy(), i), 0), x[::-1], i)
    far = np.where(x > 2.5, 1e3, x)
    assert fast._calls.mapped((far, i), 0) is None  # a path that was not known
    check(far, i)
    check(far, i)
    right(fast._calls.mapped((far, i), 0), far, i)
    w.data = -2.0
    check(far, i)
    bound[0] = 1.0
    assert fast._calls.mapped((far, i), 0) is None
    check(far, i)
    for _ in range(2):
        with pytest.raises(IndexError, match="3"):
            fast.map(x, np.where(x < -2.5, 3, i))
        check(x, np.where(x > 2.5, 3, i))  # on a path that looks nothing up


@pytest.mark.parametrize(("backend", "many"), [*((name, False) for name in NAMES), ("numpy", True), ("llvm", True)])
def test_sums_like_the_latest_take_the_quick_way_through_known_paths(backend, many, monkeypatch):
    """Also where each path would be summed by itself for exact bits, because there are `many` sums."""
    monkeypatch.setattr(branches, "MANY_SUMS", 1 if many else branches.MANY_SUMS)
    w = [Value(0.5), Value(-1.5)]

    def f(x, y):
        z = x * w[0] if x > 0.0 else y * w[1]
        return z * z * w[0] if y > 1.0 else mg.sin(z)

    X = np.random.default_rng(0).normal(size=(50, 2))
    fast, theta = jit(f, wrt=w, backend=backend), np.array([0.5, -1.5])
    for _ in range(2):
        fast.value_and_grad(theta, *X.T)
    with monkeypatch.context() as patched:
        patched.setattr(branches, "run", None)
        for rows in (X, X[:1], X[:, ::-1].copy()):
            assert np.allclose(compiled_sums(fast, w, rows), sums(f, w, rows))
        value, gradient = fast.value_and_grad(theta, *X.T)
        assert np.allclose([value, *gradient], sums(f, w, X) / 50)
        fast.backward(*X.T, reduction="sum")
        assert np.allclose([v.grad for v in w], sums(f, w, X)[1:])
    X[7, 0] = math.nan  # which is not above 0
    assert np.allclose(compiled_sums(fast, w, X), sums(f, w, X))


def test_sums_of_a_path_not_known_yet_are_not_those_of_others():
    w = [Value(0.5)]

    def f(x):
        return x * w[0] if x < 1.0 else w[0] * w[0] if x < 2.0 else mg.sin(w[0])

    X, more = np.array([[0.5], [1.5]]), np.array([[0.5], [2.5]])
    fast = jit(f, wrt=w, backend="numpy")
    for rows in (X, X, more, more, X):
        assert np.allclose(compiled_sums(fast, w, rows), sums(f, w, rows))
