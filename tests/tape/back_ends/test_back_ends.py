"""Every back end against the engine: random programs, awkward arrays, few and no samples."""

import importlib
import importlib.util
import math
import platform

import numpy as np
import pytest
from programs import program
from truth import CASES

import micrograd as mg
from micrograd import Value
from micrograd.primitives import RULES, Primitive
from micrograd.tape import jit
from micrograd.tape.back_ends import numpy

EXACT = ["reference"]
BACK_ENDS = ["reference", "numpy"]
if importlib.util.find_spec("llvmlite") and importlib.util.find_spec("micrograd.tape.back_ends.llvm.program"):
    BACK_ENDS.append("llvm")


def eager(function, xs, leaves):
    for p in leaves:
        p.grad = 0.0
    out = function([mg.constant(x) for x in xs])
    if not isinstance(out, Value):
        return float(out), [0.0] * len(leaves)
    out.backward()
    return out.data, [p.grad for p in leaves]


def same(a, b):
    """Equal numbers, nan equal to nan, and zeros of either sign equal."""
    return np.array_equal(np.asarray(a, float), np.asarray(b, float), equal_nan=True)


def close(a, b, rtol=1e-9, atol=1e-9):
    return np.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True)


@pytest.mark.parametrize("backend", EXACT)
@pytest.mark.parametrize("seed", range(150))
def test_values_and_gradients_equal_the_engine_s_to_the_bit(backend, seed):
    function, inputs, leaves = program(seed)
    f = jit(function, wrt=leaves, backend=backend)
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(3, inputs))
    for x in samples.tolist():
        value, gradient = eager(function, x, leaves)
        theta = [p.data for p in leaves]
        assert same(f(x), value)
        v, g = f.value_and_grad(theta, x, in_axes=None)
        assert same(v, value)
        assert same(g, gradient)
    assert same(f.map(samples), [eager(function, x, leaves)[0] for x in samples.tolist()])


@pytest.mark.parametrize("backend", BACK_ENDS)
@pytest.mark.parametrize("seed", range(20))
def test_values_and_gradients_are_close_to_the_engine_s_on_smooth_programs(backend, seed):
    function, inputs, leaves = program(1000 + seed, smooth=True)
    f = jit(function, wrt=leaves, backend=backend)
    samples = np.random.default_rng(seed).normal(size=(19, inputs))
    values, gradients = zip(*[eager(function, x, leaves) for x in samples.tolist()], strict=True)
    assert close(f.map(samples), values)
    v, g = f.value_and_grad([p.data for p in leaves], samples, reduction="sum")
    assert close(v, math.fsum(values))
    assert close(g, np.sum(gradients, axis=0), rtol=1e-8)


EDGES = [-math.inf, -1000.0, -730.0, -2.5, -1.0, -0.5, 0.0, 1e-300, 0.5, 1.0, 2.0, 3.7, 710.0, math.inf, math.nan]


@pytest.mark.parametrize("backend", BACK_ENDS)
@pytest.mark.parametrize("rule", [r for r in RULES.values() if not r.variadic], ids=lambda r: r.name)
def test_every_primitive_follows_the_rule_book_at_its_edges(backend, rule):
    arity = len(rule.partials)
    whole = next(case.whole for case in CASES if case.rule is rule)
    counts = [x for x in EDGES if x % 1.0 == 0.0]
    grid = np.array(np.meshgrid(*[counts] * whole, *[EDGES] * (arity - whole))).reshape(arity, -1)
    f = jit(lambda *xs: rule(*xs), backend=backend)
    found = f.map(*grid)
    expected = [rule.on_floats(args) for args in grid.T.tolist()]
    for args, a, b in zip(grid.T.tolist(), found, expected, strict=True):
        assert same(a, b) or math.isclose(a, b, rel_tol=1e-14), f"{rule.name}{tuple(args)} = {b}, {backend} gives {a}"


@pytest.mark.parametrize("backend", BACK_ENDS)
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_the_partial_of_a_power_is_right_where_y_less_one_is_no_float_and_at_the_ends_of_the_range(backend, precision):
    """The row is the one of floats, to the bit in exact mode; the sweep in test_primitives compares that with the truth."""
    if (backend, precision) == ("numpy", "exact"):
        pytest.skip("NumPy rounds in its own way")
    rng = np.random.default_rng(5)
    tiny = 10.0 ** rng.uniform(-300, 300, 300), rng.uniform(-1, 1, 300)
    huge = rng.choice((1, -1), 300) * (1 + 10.0 ** rng.uniform(-15.5, -10, 300)), np.rint(10.0 ** rng.uniform(14, 18, 300))
    odd = np.array(np.meshgrid([0.0, -0.0, 1.0, -1.0, 5e-324, -math.inf], [0.1, 2.0**54, 1e300, math.inf, math.nan])).reshape(
        2, -1
    )
    base = 2.0 ** rng.uniform(-1074, 1023, 300)
    ends = base, rng.choice((-1074, -1022, 1024), 300) / np.log2(base) + rng.uniform(-1, 3, 300)
    x, y = np.concatenate([tiny, huge, odd, ends], axis=1)
    for rule, n in ((RULES["power_less"], 1.0), (RULES["power_less"], 2.0), (RULES["power_log"], 0.0)):
        for c in (y, np.zeros(x.shape)):
            found = jit(lambda *args, rule=rule: rule(*args), backend=backend, precision=precision).map(
                np.full(x.shape, n), c, x, y
            )
            expected = [rule(n, *args) for args in zip(c.tolist(), x.tolist(), y.tolist(), strict=True)]
            if precision == "exact":
                assert same(found, expected)
            np.testing.assert_allclose(found, expected, rtol=4e-16 if precision == "exact" else 4e-15, atol=1e-320)


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_powers_with_an_exponent_that_is_a_number_take_the_same_way_at_the_same_base(backend):
    """Beside every bound at which the root is multiplied twice instead, and at the ends: in exact mode to the bit."""
    ends = [0.0, -0.0, 5e-324, -5e-324, 1e-310, 1.7e308, 1.0, -1.0, 1.5, -2.5, math.inf, -math.inf, math.nan]
    for y in (
        2.3,
        0.1,
        -7.7,
        17.0,
        -33.5,
        300.3,
        0.9158,
        1.9158,
        0.8728,
        1.8737,
        0.0,
        2.0**54,
        1e300,
        -1e-300,
        math.inf,
        math.nan,
    ):
        for n in (0.0, 1.0, 2.0):
            reach = 650.0 / abs(y - n) if y != n else 1.0
            near = [math.exp(s * min(reach, 709.7)) for s in (1.0, -1.0)]
            beside = [x + k * math.ulp(x) for x in near for k in range(-40, 41)]
            x = np.array([*ends, *beside, *(-x for x in near)])
            for rule, c in ((RULES["power_less"], y), (RULES["power_log"], 1.0)):
                expected = [rule(n, c, each, y) for each in x.tolist()]
                for precision in ("fast", "exact")[: 1 + (backend != "numpy")]:
                    f = jit(lambda z, rule=rule, n=n, c=c, y=y: rule(n, c, z, y), backend=backend, precision=precision)
                    if precision == "exact":
                        assert same(f.map(x), expected), (rule, n, y)
                    np.testing.assert_allclose(f.map(x), expected, rtol=6e-15, atol=1e-320, err_msg=f"{rule} {n} {y}")


def test_numpy_works_out_many_samples_in_pieces_that_fit_the_cache():
    rng = np.random.default_rng(0)
    X, y = rng.uniform(-0.1, 3.0, (30_000, 2)), rng.uniform(-3.0, 3.0, 30_000)
    f = jit(mg.grad(lambda xs, y: mg.sum([x**y for x in xs])), backend="numpy")
    few = [f.map(X[at : at + 1000], y[at : at + 1000]) for at in range(0, 30_000, 1000)]
    np.testing.assert_allclose(f.map(X, y), np.concatenate(few), rtol=1e-15)


def without_spelling(rule):
    """The back ends that would call into Python for every number of a primitive: 40 to 140 times as slow."""
    found = []
    if not rule.in_math and "_each" in getattr(numpy.spelled(rule), "__qualname__", ""):
        found.append("numpy")  # C's own functions go number by number, without Python's
    if "llvm" in BACK_ENDS:
        machine, spellings = (importlib.import_module(f"micrograd.tape.back_ends.llvm.{n}") for n in ("machine", "spellings"))
        in_c = spellings.from_library(rule) and (platform.system() != "Linux" or rule not in machine.lacking("double", False))
        if not (rule.name in spellings.SPELLINGS or in_c):
            found.append("llvm")
    return found


def test_every_primitive_of_the_book_is_spelled_for_arrays_and_for_the_machine():
    """A row that is added gets its spellings, or this fails."""
    fixed = [case for case in CASES if not case.rule.variadic]
    assert {case.name for case in fixed if without_spelling(case.rule)} == {case.name for case in fixed if case.called}
    assert {rule.name for rule in RULES.values() if rule.variadic} == {"sum", "dot", "logsumexp", "norm", "take"}


def test_a_row_without_spellings_is_found():
    row = Primitive("sinc", "sinc(x)", lambda x: math.sin(x) / x, (lambda x, out: (mg.cos(x) - out) / x,), lambda x: 1.0, False)
    assert without_spelling(row) == [name for name in ("numpy", "llvm") if name in BACK_ENDS]


@pytest.mark.parametrize("backend", BACK_ENDS)
@pytest.mark.parametrize("rule", [mg.sum, mg.logsumexp, mg.norm])
def test_n_ary_primitives_follow_the_rule_book_at_their_edges(backend, rule):
    grid = np.array(np.meshgrid(EDGES, EDGES, EDGES)).reshape(3, -1).T
    grid = grid[~np.isnan(grid).any(axis=1)]
    found = jit(lambda xs: rule(xs), backend=backend).map(grid)
    expected = [rule(row) for row in grid.tolist()]
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize("backend", BACK_ENDS)
@pytest.mark.parametrize(
    "f",
    [
        lambda x: mg.sum(x),
        lambda x: mg.dot(x[:2], x[2:4], x[4]),
        lambda x: mg.dot([x[0], 1e200, x[1]], [1e200, x[2], -1e200], x[3]),
        lambda x: x[0] * 1e200 + x[1] * x[2] - x[3] * x[4],
        lambda x: mg.logsumexp(x),
        lambda x: mg.norm(x),
    ],
    ids=["sum", "dot", "dot with constants", "chain", "logsumexp", "norm"],
)
def test_sums_of_huge_tiny_and_infinite_operands_are_the_engine_s(backend, f):
    """Values, first and second derivatives. In fast mode LLVM does not round a product before it adds it."""
    rng = np.random.default_rng(6)
    ends = [1e200, -1e200, 1e-200, 1e308, -1.7e308, 5e-324, 1e-320, 1e160, math.inf, -math.inf, math.nan, 0.0, 1.0]
    X = rng.choice([*ends, *rng.normal(size=10)], size=(100, 5))
    precision = "fast" if backend == "numpy" else "exact"
    for function in (f, mg.grad(f), mg.hessian(f)):
        found = jit(function, backend=backend, precision=precision).map(X)
        expected = np.array([np.array(function(x), float) for x in X.tolist()])
        np.testing.assert_allclose(found, expected, rtol=1e-13 if precision == "fast" else 0.0)


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_awkward_arrays(backend):
    w = [Value(0.5), Value(-1.5)]
    f = jit(lambda x: mg.tanh(mg.dot(w, x)), backend=backend)
    X = np.random.default_rng(0).normal(size=(50, 2))
    expected = np.tanh(X @ [0.5, -1.5])
    frozen = X.copy()
    frozen.flags.writeable = False
    for array in (
        X,
        np.asfortranarray(X),
        np.repeat(X, 2, axis=0)[::2],
        np.hstack([X, X])[:, 1:3][:, ::-1],
        frozen,
        X[::-1][::-1],
    ):
        assert close(f.map(array), expected)
    assert close(f.map(X.astype(np.float32)), expected, rtol=1e-5, atol=1e-6)
    assert close(f.map(X.tolist()), expected)
    assert close(f.map(X[:1]), expected[:1])
    assert f.map(X[:0]).shape == (0,)
    assert close(f.map(np.broadcast_to([1.0, 2.0], (4, 2))), np.full(4, np.tanh(-2.5)))
    assert close(f.map(X[0], in_axes=None), expected[:1])


@pytest.mark.parametrize("backend", BACK_ENDS)
@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9, 255, 256, 257, 1000])
def test_sums_over_any_number_of_samples(backend, n):
    w = Value(0.3)
    f = jit(lambda x, y: (w * x - y) ** 2, backend=backend)
    x, y = np.random.default_rng(n).normal(size=(2, n))
    v, g = (
        f.value_and_grad([0.3], x, y, reduction="sum")
        if n
        else (f.map(x, y).sum(), f.value_and_grad([0.3], x, y, reduction="sum")[1])
    )
    assert close(v, ((0.3 * x - y) ** 2).sum()) and close(g, [(2 * (0.3 * x - y) * x).sum()])


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_outputs_that_are_inputs_leaves_constants_and_repeated(backend):
    p = Value(4.0)

    def function(x, y, unused):
        return {"in": x, "leaf": p, "constant": 3.0, "twice": [x * p, x * p], "pair": (y, None)}

    f = jit(function, backend=backend)
    assert f(1.0, 2.0, 5.0) == {"in": 1.0, "leaf": 4.0, "constant": 3.0, "twice": [4.0, 4.0], "pair": (2.0, None)}
    out = f.map(np.array([1.0, 2.0]), 7.0, 0.0, in_axes=(0, None, None))
    assert out["in"].tolist() == [1.0, 2.0] and out["leaf"].tolist() == [4.0, 4.0]
    assert out["twice"].tolist() == [[4.0, 4.0], [8.0, 8.0]] and out["pair"][0].tolist() == [7.0, 7.0]


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_deep_chains_and_wide_sums(backend):
    a = Value(0.999)

    def deep(x):
        for _ in range(3000):
            x = x * a
        return x

    f = jit(deep, backend=backend)
    assert math.isclose(f(1.0), 0.999**3000, rel_tol=1e-10)
    _, g = f.value_and_grad([0.999], np.ones(3))
    assert math.isclose(g[0], 3000 * 0.999**2999, rel_tol=1e-9)

    ws = [Value(i * 0.001) for i in range(3000)]
    wide = jit(lambda x: sum(w * x for w in ws), backend=backend)
    assert math.isclose(wide(2.0), sum(i * 0.002 for i in range(3000)), rel_tol=1e-12)
    _, g = wide.value_and_grad(wide.theta(), np.array([1.0, 2.0]))
    assert close(g, np.full(3000, 1.5))


@pytest.mark.parametrize("backend", BACK_ENDS)
@pytest.mark.parametrize("loss", ["hinge", "cross_entropy", "binary_cross_entropy", "mse"])
def test_networks_equal_the_engine(backend, loss):
    model = mg.MLP(3, [5, 4, 3 if loss == "cross_entropy" else 1], activation="tanh", seed=2)
    criterion = getattr(mg, loss)
    f = jit(lambda x, t: criterion(model(x), t), backend=backend)
    rng = np.random.default_rng(1)
    X = rng.normal(size=(20, 3))
    t = (
        rng.integers(0, 3, 20)
        if loss == "cross_entropy"
        else rng.choice([-1, 1], 20)
        if loss == "hinge"
        else rng.integers(0, 2, 20)
    )
    value = f.backward(X, t)
    found = [p.grad for p in model.parameters()]
    model.zero_grad()
    total = criterion([model(x) for x in X.tolist()], t.tolist())
    total.backward()
    assert close(value, total.data, 1e-13, 0) and close(found, [p.grad for p in model.parameters()], 1e-11, 1e-13)
    f.backward(X, t)
    assert close([p.grad for p in model.parameters()], 2 * np.array(found), 1e-11, 1e-13), "gradients accumulate"


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_float32(backend):
    model = mg.MLP(3, [8, 1], seed=3)
    X = np.random.default_rng(0).normal(size=(30, 3))
    narrow, wide = (jit(model, backend=backend, dtype=d) for d in (np.float32, np.float64))
    found = narrow.map(X)
    assert found.dtype == np.float32
    assert close(found, wide.map(X), 1e-5, 1e-5)


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_one_sum_for_several_outputs(backend):
    """Parameters with the same gradient, and products that differ in their start alone."""
    a, b, c = Value(1.0), Value(2.0), Value(0.5)
    f = jit(lambda x: ((a + b) * x + c) ** 2, backend=backend)
    assert math.isclose(f.backward(np.arange(4.0)), 36.25) and a.grad == b.grad == 22.5 and c.grad == 10.0
    g = jit(lambda x, y: [mg.dot([x, y], [y, x], start=s) for s in (1.0, 2.0)], backend=backend)
    assert g.map(np.ones(3), np.arange(3.0)).tolist() == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    shared = [Value(0.1), Value(0.2)]
    biases = [Value(float(i)) for i in range(3)]
    h = jit(lambda x: [mg.dot(shared, x, start=s) for s in biases], backend=backend)
    assert close(h.map(np.ones((2, 2))), [[0.3, 1.3, 2.3]] * 2)


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_a_table_of_one_constant(backend):
    w = Value(7.0)
    assert jit(lambda i: mg.take([5.0, 5.0], i), backend=backend)(1) == 5.0
    assert jit(lambda i: mg.take([5.0, 5.0], i) * w, backend=backend).map([0, 1, 1] * 9).tolist() == [35.0] * 27
    assert jit(lambda i: mg.take([5.0] * 90, i) * w, backend=backend).map([0, 1, 80] * 9).tolist() == [35.0] * 27


@pytest.mark.parametrize("seed", range(60))
def test_exact_means_the_sign_of_every_zero_too(seed):
    """Random functions at zeros of either sign: the bits of the eager engine."""
    function, inputs, leaves = program(seed)
    rng = np.random.default_rng(seed)
    ways = [{"backend": "reference"}]
    if "llvm" in BACK_ENDS and seed < 6:
        ways.append({"backend": "llvm", "precision": "exact"})
    compiled = [jit(lambda x: function(x), wrt=leaves, **way) for way in ways]
    for _ in range(4):
        x = rng.choice([0.0, -0.0, 1.0, -1.0], inputs).tolist()
        for leaf, number in zip(leaves, rng.choice([0.0, -0.0, 1.0], len(leaves)).tolist(), strict=True):
            leaf.data = number
        expected, _ = eager(function, x, leaves)
        for f in compiled:
            found = f(x)
            assert same(found, expected)
            assert found != found or math.copysign(1.0, found) == math.copysign(1.0, expected)


def test_zeros_keep_their_signs_where_they_matter():
    for way in ({}, {"backend": "reference"}, {"backend": "numpy"}):
        assert jit(lambda x: mg.atan2(x + 0.0, -1.0), **way)(-0.0) == math.pi
        assert jit(lambda x: 1 / (0.0 - x), **way)(0.0) == math.inf
        assert jit(lambda x: 1 / (x - 0.0), **way)(-0.0) == -math.inf
        if way != {"backend": "numpy"}:  # whose sums start from 0.0
            assert jit(lambda x: 1 / mg.sum([x, x, x]), **way)(-0.0) == -math.inf


@pytest.mark.parametrize("exponent", [0.5, -0.5, 1.5, 2.5, -1.0, 0.0, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("x", [-math.inf, math.inf, -0.0, 0.0, -1.0, 4.0])
def test_powers_of_one_exponent_for_all_samples_are_the_eager_ones_where_a_square_root_is_another(x, exponent):
    """-inf ** 0.5 is inf, and -0.0 ** 0.5 is 0.0."""
    for f in (lambda x: x**exponent, mg.grad(lambda x: x**exponent)):
        right = jit(f, backend="reference")(x)
        compiled = jit(f, backend="numpy")
        for found in (compiled(x), *compiled.map([x, x])):
            assert repr(float(found)) == repr(float(right))
    free, exact = (jit(lambda x, y: x**y, backend=name) for name in ("numpy", "reference"))
    for found in (free(x, exponent), *free.map([x, x], [exponent, exponent])):
        assert repr(float(found)) == repr(float(exact(x, exponent)))


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize(
    "f",
    [
        lambda a, b, w: a - b * a - b * b,
        lambda a, b, w: a + (0 - b) * a + b * b,
        lambda a, b, w: a - w * a + w * b,
        lambda a, b, w: a * b + b * b - b * a,
        lambda a, b, w: b * b * 0.5 + a * b - b * a + b * b,
        lambda a, b, w: [a - b * a - b * b, b - b * b - b * b],
        lambda a, b, w: a - b * a - b * b - b * b - a * 0.5 - b * b - b * b - b * b - b * b,
    ],
)
def test_short_sums_of_products_are_added_from_the_start_on(backend, f):
    """What cancels is gone at its place: a - b a is nothing before the rest comes."""
    w = Value(1.0)
    right, compiled = jit(lambda a, b: f(a, b, w), backend="reference"), jit(lambda a, b: f(a, b, w), backend=backend)
    assert np.array_equal(compiled(1e16, 1.0), right(1e16, 1.0))
    a, b = np.array([1e16, 3e16, 5.0]), np.array([1.0, 1.0, 2.0])
    assert np.array_equal(compiled.map(a, b), right.map(a, b))
