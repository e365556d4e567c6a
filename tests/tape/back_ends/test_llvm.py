"""The LLVM back end: the reference's bits where exact is asked for, stated errors elsewhere, and code that goes away."""

import ctypes
import gc
import importlib
import math
import os
import platform
import random
import re
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from programs import program
from truth import CASES

import micrograd as mg
from micrograd import Value, adjoints
from micrograd.primitives import RULES, primitive
from micrograd.tape import jit
from micrograd.tape.back_ends import back_end, reference
from micrograd.tape.tape import Tape

llvm = pytest.importorskip("micrograd.tape.back_ends.llvm.program")
code, frames, machine, module, versions = (
    importlib.import_module(f"micrograd.tape.back_ends.llvm.{name}")
    for name in ("code", "frames", "machine", "module", "versions")
)
if reason := llvm.trouble():
    pytest.skip(reason, allow_module_level=True)


def same(a, b):
    return np.array_equal(np.asarray(a, float), np.asarray(b, float), equal_nan=True)


def random_tape(rng, inputs, leaves, count):
    """Instructions of every kind on any slots, with outputs that are inputs, leaves, constants and results."""
    rules = [r for r in RULES.values() if r.name != "take"]
    constants = [0.5, -1.0, 2.0, 0.0]
    slots = inputs + leaves + len(constants)
    instructions = []
    for _ in range(count):
        rule = rng.choice(rules)
        arguments = rng.randrange(1, 6) if rule.variadic else len(rule.partials)
        arguments = 2 * arguments + 1 if rule.name == "dot" else arguments
        low = max(0, slots - 12) if rng.random() < 0.5 else 0
        instructions.append((rule, tuple(rng.randrange(low, slots) for _ in range(arguments))))
        slots += 1
    outputs = [rng.randrange(slots) for _ in range(6)] + [0, inputs, inputs + leaves, slots - 1]
    return Tape(inputs, leaves, constants, instructions, outputs)


@pytest.mark.parametrize("seed", range(16))
def test_exact_means_the_bits_of_the_reference(seed):
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    tape = random_tape(rng, 4, 3, rng.choice([5, 20, 60, 200]))
    fields = [(2, True), (1, False), (1, True)]
    n = [0, 1, 3, 4, 9, 31, 300, 600][seed % 8]
    inputs = [numbers.normal(size=(n, 2)), numbers.normal(size=1), numbers.normal(size=(n, 1))]
    theta = numbers.normal(size=3)
    for reduce in (False, True):
        expected = reference.Program(tape, fields, reduce)(inputs, theta, n)
        found = llvm.Program(tape, fields, reduce, exact=True)(inputs, theta, n)
        assert found.shape == expected.shape and same(found, expected)


@pytest.mark.parametrize("rule", [r for r in RULES.values() if not r.variadic], ids=lambda r: r.name)
def test_exact_means_python_s_value_of_every_primitive(rule):
    """Python computes hypot and lgamma in a way of its own."""
    numbers = np.random.default_rng(1).normal(size=(500, len(rule.partials))) * 3.0
    found = jit(lambda x: rule(*x), backend="llvm", precision="exact").map(numbers)
    assert same(found, [rule.on_floats(row) for row in numbers.tolist()])


@pytest.mark.parametrize("seed", range(12))
def test_exact_gradients_are_the_engine_s_to_the_bit(seed):
    function, inputs, leaves = program(seed)
    f = jit(function, wrt=leaves, backend="llvm", precision="exact")
    g = jit(function, wrt=leaves, backend="reference")
    X = np.random.default_rng(seed).normal(size=(11, inputs))
    theta = [p.data for p in leaves]
    for found, expected in zip(f.value_and_grad(theta, X), g.value_and_grad(theta, X), strict=True):
        assert same(found, expected)


def test_exact_sums_of_many_parameters_and_chunks():
    """More sums than are kept lane by lane, more samples than one chunk, a last block that is not whole."""
    model = mg.MLP(48, [48, 2], activation="tanh", seed=1)
    f, g = (
        jit(lambda x: mg.sum(model(x)), wrt=model.parameters(), backend=b, precision=p)
        for b, p in (("llvm", "exact"), ("reference", "fast"))
    )
    X = np.random.default_rng(0).normal(size=(265, 48))
    assert len(model.parameters()) > versions.MANY_SUMS
    for found, expected in zip(f.value_and_grad(f.theta(), X), g.value_and_grad(g.theta(), X), strict=True):
        assert same(found, expected)


@pytest.mark.parametrize("n", [1, 3])
def test_lanes_over_elements_give_the_reference_s_bits(n):
    """One sample: matrices by rows and by columns, sums, softmax, a convolution, of sizes that fill no vector."""
    rng = np.random.default_rng(0)
    model = mg.MLP(21, [19, 5, 17, 3], activation="tanh", seed=1)
    kernel = [Value(x) for x in rng.normal(size=5).tolist()]

    def function(x):
        smooth = [mg.dot(kernel, x[i : i + 5]) for i in range(17)]
        back = [mg.sum([mg.exp(s) * x[0], x[i], x[20 - i]]) for i, s in enumerate(smooth)]
        return mg.logsumexp([*model(x), *smooth, *back]) * mg.sum([*back, *[s * s for s in smooth]])

    wrt = [*model.parameters(), *kernel]
    f, g = (jit(function, wrt=wrt, backend=b, precision=p) for b, p in (("llvm", "exact"), ("reference", "fast")))
    X = rng.normal(size=(n, 21))
    for found, expected in zip(f.value_and_grad(f.theta(), X), g.value_and_grad(g.theta(), X), strict=True):
        assert same(found, expected)
    assert same(f(X[0]), g(X[0]))
    fast = jit(function, wrt=wrt, backend="llvm")
    np.testing.assert_allclose(fast.value_and_grad(f.theta(), X)[1], g.value_and_grad(f.theta(), X)[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_lanes_over_elements_find_what_a_table_names(seed):
    """Operands that repeat, run on, run back and jump, in vectors that are whole or not."""
    rng = random.Random(seed)
    n = rng.choice([22, 24, 29, 33, 70])

    def places():
        found = [0, 0]
        while len(found) < n:
            at, step, many = rng.randrange(n), rng.choice([-1, 0, 0, 1, 1, 2]), rng.randrange(1, 10)
            found += [(at + k * step) % n for k in range(many)]
        return found[:n]

    three = list(zip(places(), places(), places(), strict=True))

    def f(xs, ys):
        products = [mg.dot([xs[i] for i in at], ys[k : k + 3]) for k, at in enumerate(three)]
        return mg.sum([mg.tanh(p) for p in products]) * xs[0]

    fast, exact = (jit(mg.value_and_grad(f, (0, 1)), precision=precision) for precision in ("fast", "exact"))
    definition = jit(mg.value_and_grad(f, (0, 1)), backend="reference")
    X = np.random.default_rng(seed).normal(size=(2, n + 2))
    flat = lambda found: [found[0], *found[1][0], *found[1][1]]  # noqa: E731
    assert flat(exact(*X)) == flat(definition(*X))
    np.testing.assert_allclose(flat(fast(*X)), flat(definition(*X)), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("n", "many"), [(5, 13), (16, 13), (21, 13), (40, 13), (70, 3)])
@pytest.mark.parametrize("how", ["side by side", "backwards", "every other", "in no order", "one constant"])
def test_logsumexps_of_one_sample_are_shifted_by_the_largest_wherever_it_is(how, n, many):
    """The largest of 800 or -800 is the first, the last, or another term of a sum, and its others are far below or above."""
    size = 2 * n + many
    terms = {"side by side": range(n), "backwards": [*reversed(range(n))], "every other": range(0, 2 * n, 2),
             "in no order": [7 * i % (2 * n) for i in range(n)], "one constant": [size] * n}[how]  # fmt: skip
    sums = [(RULES["logsumexp"], tuple([at + k * (at < size) for at in terms])) for k in range(many)]
    tape = Tape(size, 0, [-5.0], sums, [*range(size + 1, size + 1 + many)])
    exact, fast = (llvm.Program(tape, [(size, False)], False, exact=exact) for exact in (True, False))
    definition = reference.Program(tape, [(size, False)], False)
    for top in (800.0, -800.0):
        for at in {terms[0], terms[n // 2], terms[-1]} - {size}:
            x = np.random.default_rng(n).normal(size=size) + min(top, 0.0)
            x[at] = top + 3.0
            expected = definition([x], np.zeros(0), 1)
            assert same(exact([x], np.zeros(0), 1), expected)
            np.testing.assert_allclose(fast([x], np.zeros(0), 1), expected, rtol=1e-14)


@pytest.mark.parametrize("n", [1, 3, 20])
@pytest.mark.parametrize("order", ["by columns", "backwards", "biases last", "in no order"])
def test_sums_over_the_samples_lie_in_the_order_of_the_parameters(order, n):
    model = mg.MLP(9, [12, 11], activation="tanh", seed=1)
    listed = model.parameters()
    wrt = {"by columns": [p for k in range(10) for p in listed[k : 120 : 10]] + listed[120:], "backwards": listed[::-1],
           "biases last": sorted(listed, key=lambda p: p.label.startswith("b")),
           "in no order": [listed[i * 101 % len(listed)] for i in range(len(listed))]}[order]  # fmt: skip
    assert {*wrt} == {*listed}
    X = np.random.default_rng(0).normal(size=(n, 9))
    exact, fast, definition = (
        jit(lambda x: mg.sum(model(x)), wrt=wrt, backend=back, precision=precision)
        for back, precision in (("llvm", "exact"), ("llvm", "fast"), ("reference", "fast"))
    )
    expected = definition.value_and_grad(definition.theta(), X)[1]
    assert same(exact.value_and_grad(exact.theta(), X)[1], expected)
    np.testing.assert_allclose(fast.value_and_grad(fast.theta(), X)[1], expected, rtol=1e-12, atol=1e-15)
    exact.backward(X)
    assert same([p.grad for p in wrt], expected)


@pytest.mark.parametrize("case", [case for case in CASES if not case.rule.variadic], ids=lambda case: case.name)
def test_every_primitive_is_within_its_ulps(case):
    f = jit(lambda *args: case.rule(*args), backend="llvm")
    if case.range is None:
        x = np.random.default_rng(0).normal(size=(len(case.rule.partials), 200)) * 3
        assert same(f.map(*x), [case.rule.on_floats(args) for args in x.T.tolist()])
        return
    for dtype in (np.float64, np.float32):
        X = case.arguments(400, dtype)
        error = case.worst(X, jit(f.fn, backend="llvm", dtype=dtype).map(*X).tolist())
        assert error <= case.compiled, f"{case.name} of {dtype.__name__} is off by {error:.2f} ulps"


ROW = r"^\| `(\w+)` \| .* \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$"


def test_the_page_of_accuracy_says_what_the_tests_hold():
    page = Path(__file__).parents[3] / "docs" / "accuracy.md"
    found = re.findall(ROW, page.read_text(encoding="utf-8"), re.MULTILINE)
    rows = {name: list(map(float, numbers)) for name, *numbers in found}
    held = {case.name: case for case in CASES if case.range is not None}
    assert rows.keys() == held.keys(), "run benchmarks/accuracy.py again"
    for name, (eager, compiled, single) in rows.items():
        largest = held[name].compiled if held[name].unit else max(3, held[name].ulps[0])  # of differences, as compiled
        assert eager <= largest and max(compiled, single) <= held[name].compiled, name


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_any_number_of_threads_gives_the_same_bits(dtype):
    model = mg.MLP(3, [8, 1], activation="tanh", seed=0)
    f = jit(lambda x: model(x) ** 2, wrt=model.parameters(), backend="llvm", dtype=dtype)
    X = np.random.default_rng(0).normal(size=(5000, 3)).astype(dtype)
    f.value_and_grad(model_theta(model), X)
    tape = next(iter(f.recorded.values()))[0].tape
    sums = [llvm.Program(tape, [(3, True)], True, dtype, threads=k)([X], model_theta(model), 5000) for k in (1, 2, 3, 7)]
    rows = [llvm.Program(tape, [(3, True)], False, dtype, threads=k)([X], model_theta(model), 5000) for k in (1, 2, 3, 7)]
    for found in (sums, rows):
        assert all(same(found[0], other) for other in found[1:])


def test_an_interrupt_leaves_the_other_threads_what_they_work_on(monkeypatch):
    """Ctrl-C ends a call while others may still read its arguments and write its results."""
    late = []

    class Executor:
        def submit(self, *job):
            late.append(job)
            return self

        def cancel(self):
            return False

        def result(self):
            raise KeyboardInterrupt

    def call(f, X):
        with pytest.raises(KeyboardInterrupt):
            f.map(X)
        return weakref.ref(X)

    f = jit(lambda x: mg.exp(x), backend="llvm")
    monkeypatch.setattr(llvm.threads, "available", lambda: 2)
    monkeypatch.setattr(llvm, "WORTH", 0)
    monkeypatch.setattr(llvm.threads, "workers", Executor)
    argument = call(f, np.arange(100_000) / 1e5)
    program = weakref.ref(programs(f)[0])
    del f
    gc.collect()
    (work, *what) = late.pop()
    assert argument() is not None and program() is not None
    work(*what)
    del work, what
    gc.collect()
    assert argument() is None and program() is None


def model_theta(model):
    return np.array([p.data for p in model.parameters()])


def test_one_function_called_from_several_threads():
    f = jit(lambda x, y: mg.exp(mg.sin(x) * y) + x, backend="llvm")
    expected = {k: f(0.1 * k, 0.5) for k in range(4)}
    X = np.linspace(0, 1, 3000)
    column = f.map(X, X)
    wrong = []

    def work(k):
        wrong.extend(k for _ in range(200) if f(0.1 * k, 0.5) != expected[k] or not np.array_equal(f.map(X, X), column))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.parametrize("n", [1, 2, 5, 40])
@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 16, 19, 150])
def test_rows_of_every_width_in_and_out(size, n):
    w = [Value(float(i)) for i in range(size)]
    f = jit(lambda x: {"rows": [p * a for p, a in zip(w, x, strict=True)], "one": x[0], "leaf": [w[0], x[-1]]}, backend="llvm")
    X = np.random.default_rng(0).normal(size=(n, size))
    out = f.map(X)
    assert same(out["rows"], X * np.arange(size)) and same(out["one"], X[:, 0])
    assert same(out["leaf"], np.stack([np.zeros(n), X[:, -1]], axis=1))
    same_for_all = jit(lambda x: {"rows": [-p for p in w], "mixed": [*w, x[0]]}, backend="llvm").map(X)
    assert same(same_for_all["rows"], np.tile(-np.arange(float(size)), (n, 1)))
    assert same(same_for_all["mixed"], np.column_stack([np.tile(np.arange(float(size)), (n, 1)), X[:, 0]]))


@pytest.fixture
def own_rows():
    """The rule book gets rows of one's own, and is afterwards what it was."""
    before = dict(RULES)
    yield
    RULES.clear()
    RULES.update(before)


@pytest.mark.usefixtures("own_rows")
def test_a_primitive_of_one_s_own_runs_in_compiled_code():
    cube = primitive("cube_of_test", "cube(x)", lambda x: x * x * x, lambda x, out: 3 * x * x)
    f = jit(lambda x: cube(x) + 1, backend="llvm")
    assert f(2.0) == 9.0
    assert same(f.map(np.arange(20.0)), np.arange(20.0) ** 3 + 1)


@pytest.mark.usefixtures("own_rows")
def test_what_compiled_code_calls_lives_as_long_as_it_does():
    """Each length of a call has code of its own; none may lose its callbacks when the next one is compiled."""
    cube = primitive("cube_of_test", "cube(x)", lambda x: x * x * x, lambda x, out: 3 * x * x)
    f = jit(lambda x: cube(x) + 1, backend="llvm")
    kind, others = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double), []
    for n in (1, 20, 600, 1, 20, 600):
        gc.collect()
        others += [kind(lambda x: -1.0) for _ in range(300)]  # would take the place of callbacks that are gone
        assert same(f.map(np.arange(float(n))), np.arange(float(n)) ** 3 + 1)


@pytest.mark.usefixtures("own_rows")
def test_primitives_of_one_s_own_of_any_name_and_number_of_arguments():
    spread = primitive(
        'spread of "test" \\', "spread(...)", lambda *x: max(x) - min(x), lambda args, out: [1.0] * len(args), variadic=True
    )
    once = primitive("twice_named", "once(x)", lambda x: x + 1.0, 1.0)
    again = primitive("twice_named", "again(x)", lambda x: x + 2.0, 1.0)
    f = jit(lambda x, y, z: [spread(x, y), spread(x, y, z), once(x), again(x)], backend="llvm")
    assert f(1.0, 4.0, -2.0) == [3.0, 6.0, 2.0, 3.0]
    assert same(f.map(*np.array([[1.0] * 9, [4.0] * 9, [-2.0] * 9])), [[3.0, 6.0, 2.0, 3.0]] * 9)


@pytest.mark.usefixtures("own_rows")
def test_what_a_primitive_of_one_s_own_raises_reaches_the_caller():
    def refuse(x):
        if x > 2.5:
            raise LookupError(f"nothing is known of {x}")
        return x

    picky = primitive("picky_of_test", "picky(x)", refuse, 1.0)
    f = jit(lambda x: picky(x) * 1.5, backend="llvm")
    assert f(2.0) == 3.0
    for call in (lambda: f(3.0), lambda: f.map(np.arange(20.0))):
        with pytest.raises(LookupError, match="nothing is known of 3"):
            call()
        assert f(2.0) == 3.0 and same(f.map([1.0, 2.0]), [1.5, 3.0])


@pytest.mark.usefixtures("own_rows")
def test_a_primitive_of_one_s_own_may_have_the_name_of_something_inside():
    double = primitive("copy", "copy(x)", lambda x: 2.0 * x, 2.0)
    assert jit(lambda x: double(x) + 1, backend="llvm")(3.0) == 7.0


@pytest.mark.usefixtures("own_rows")
def test_what_is_raised_in_one_thread_does_not_reach_another():
    known = primitive("known_of_test", "known(x)", lambda x: {1.0: 1.0}[x], 1.0)
    f = jit(lambda x: known(x) * 2, backend="llvm")
    f.map(np.ones(10))
    wrong = []

    def work(x, raises):
        for _ in range(300):
            try:
                f.map(np.full(10, x))
                wrong.extend([x] * raises)
            except KeyError:
                wrong.extend([x] * (not raises))

    threads = [threading.Thread(target=work, args=pair) for pair in ((1.0, False), (0.0, True)) * 2]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes by fork")
def test_a_forked_child_has_threads_of_its_own():
    code = """
import os, signal, warnings
import numpy as np
import micrograd as mg
from micrograd.tape import jit
from micrograd.tape.back_ends.llvm import program as llvm
warnings.simplefilter("ignore")
llvm.WORTH, llvm.threads.available = 0, lambda: 2
f = jit(lambda x: mg.tanh(x), backend="llvm")
X = np.linspace(0, 1, 2000)
expected = f.map(X)
if (child := os.fork()) == 0:
    signal.alarm(20)
    os._exit(0 if np.array_equal(f.map(X), expected) else 1)
raise SystemExit(os.waitpid(child, 0)[1])
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_fast_code_keeps_what_rounding_once_would_lose():
    """x² - x² is 0 and no root of a negative number; the logistic function is not cut off where exp(-x) overflows."""
    X = np.random.default_rng(0).uniform(size=300)
    assert not jit(lambda x, y: mg.sqrt(x * x - y * y), backend="llvm").map(X, X).any()
    f = jit(lambda x: mg.sigmoid(x), backend="llvm")
    for x in (-745.0, -710.0, -40.0, 0.0, 40.0, 800.0, -800.0, math.inf, -math.inf):
        assert math.isclose(f(x), mg.sigmoid(x), rel_tol=1e-15, abs_tol=1e-323)
        assert math.isclose(f.map([x] * 9)[0], mg.sigmoid(x), rel_tol=1e-15, abs_tol=1e-323)
    assert math.isnan(f(math.nan))


def test_a_function_that_the_platform_lacks_is_called_in_python(monkeypatch):
    complete = machine.addresses
    monkeypatch.setattr(machine, "addresses", lambda *which: {k: at for k, at in complete(*which).items() if k[0] != "erf"})
    f = jit(lambda x: mg.erf(x) + mg.exp(x), backend="llvm")
    assert f(0.5) == math.erf(0.5) + math.exp(0.5)
    assert np.allclose(f.map(np.array([0.5] * 20)), f(0.5), rtol=1e-15)


def test_branches_lookups_and_a_single_call_with_its_gradient():
    table = [Value(1.0), Value(-2.0), Value(4.0)]
    f = jit(lambda i, x: mg.take(table, i) * x if x > 0 else x * x, wrt=table, backend="llvm")
    i, x = np.array([0, 1, 2, 1, 2, 0]), np.array([1.0, 2.0, -3.0, -1.0, 0.5, 3.0])
    assert same(f.map(i, x), [1.0, -4.0, 9.0, 1.0, 2.0, 3.0])
    assert same(f.value_and_grad([1.0, -2.0, 4.0], i, x, reduction="sum")[1], [4.0, 2.0, 0.5])
    with pytest.raises(IndexError, match="from 0 to 2"):
        f.map(np.array([3]), np.array([1.0]))
    many = jit(lambda places: [mg.take(table, i) for i in places], wrt=table, backend="llvm")
    places = np.arange(20) % 3
    assert same(many(places), np.array([1.0, -2.0, 4.0])[places])

    def both(a, b):
        y = mg.tanh(a * b)
        return y, list(adjoints(y, [a, b], create_graph=True).values())

    g = jit(both, backend="llvm")
    first, again = g(0.3, 0.4), g(0.3, 0.4)
    slope = 1 - math.tanh(0.12) ** 2
    assert first == again and math.isclose(again[1][0], 0.4 * slope) and math.isclose(again[0], math.tanh(0.12))


def test_parameters_are_read_at_every_call_and_a_new_shape_takes_a_new_way():
    p = Value(2.0)
    f = jit(lambda x: p * x, wrt=[p], backend="llvm")
    assert f(3.0) == 6.0 and f(3.0) == 6.0
    p.data = 5.0
    assert f(3.0) == 15.0
    for n in (4, 4, 300, 4):
        assert f.value_and_grad([2.0], np.ones(n), reduction="sum")[0] == 2.0 * n
        assert f.backward(np.ones(n)) == 5.0
    assert p.grad == 4.0
    with pytest.raises(ValueError, match="flat vector of the 1"):
        f.value_and_grad([2.0, 1.0], np.ones(4))
    with pytest.raises(ValueError, match="reduction"):
        f.value_and_grad([2.0], np.ones(4), reduction="median")
    with pytest.raises(TypeError, match="complex128"):  # of the latest call's shape
        f.value_and_grad([2.0], np.ones(4) * 1j)


def test_backends_and_precisions_are_chosen_and_refused_clearly(monkeypatch):
    assert back_end(None).name == "llvm"
    with pytest.raises(ValueError, match="'fast' or 'exact'"):
        jit(abs, precision="double")
    with pytest.raises(ValueError, match="NumPy back end"):
        jit(abs, backend="numpy", precision="exact")
    with pytest.raises(ValueError, match="float64"):
        jit(lambda x: x, backend="llvm", precision="exact", dtype=np.float32)(1.0)
    for where in (code, llvm):
        monkeypatch.setattr(where, "trouble", lambda: "llvmlite is not installed")
    assert back_end(None).name == "numpy"
    assert back_end(None, "exact").make is reference.Program
    with pytest.raises(ImportError, match="llvmlite is not installed"):
        jit(abs, backend="llvm")


def test_an_llvmlite_that_is_too_old_is_told_from_its_llvm(monkeypatch):
    """The number at hand is LLVM's, and was called llvmlite's."""
    monkeypatch.setattr("llvmlite.binding.llvm_version_info", (15, 0, 7))
    assert code.trouble.__wrapped__() == "this llvmlite has LLVM 15.0.7, which is too old: llvmlite 0.45 or newer is needed"


NARROWER = [("haswell", 32, 16, True), ("haswell", 32, 16, False), ("nehalem", 16, 16, True), ("", None, 32, False)]


@pytest.mark.parametrize(("processor", "width", "registers", "vectors"), NARROWER)
def test_code_for_narrower_machines_and_short_of_a_library_of_vectors(processor, width, registers, vectors, monkeypatch):
    """AVX2, SSE, and calls of scalar functions give the same within rounding."""
    function, inputs, leaves = program(1003, smooth=True)
    name, features, widest, _ = machine.host()
    if processor and (platform.machine() not in ("x86_64", "AMD64") or width > widest):
        pytest.skip("the machine cannot run such code")
    X = np.random.default_rng(0).normal(size=(37, inputs))
    theta = [p.data for p in leaves]
    value, gradient = jit(function, wrt=leaves, backend="reference").value_and_grad(theta, X)
    known = {key: at for key, at in machine.addresses("double", vectors).items() if key[1] * 8 <= (width or widest)}
    as_if = (processor, "", width, registers) if processor else (name, features, widest, registers)
    monkeypatch.setattr(machine, "host", lambda: as_if)
    monkeypatch.setattr(machine, "addresses", lambda *_: known)
    f = jit(function, wrt=leaves, backend="llvm")
    v, g = f.value_and_grad(theta, X)
    assert math.isclose(v, value, rel_tol=1e-12)
    np.testing.assert_allclose(g, gradient, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(f.map(X).mean(), value, rtol=1e-12)


def assembly_for(triple, monkeypatch, processor, *rest):
    """What LLVM makes of a network's program for another machine."""
    import llvmlite.binding as binding

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        target = binding.Target.from_triple(triple)
    except RuntimeError:
        pytest.skip("this build of LLVM knows no such machine")
    model = mg.MLP(2, [16, 16, 1], seed=0)
    f = jit(lambda x, t: mg.hinge(model(x), t), wrt=model.parameters(), backend="llvm")
    f.value_and_grad(f.theta(), np.ones((3, 2)), np.ones(3))
    monkeypatch.setattr(machine, "host", lambda: (processor, *rest))
    program = llvm.Program(next(iter(f.recorded.values()))[0].tape, [(2, True), (1, True)], True)
    text = binding.parse_assembly(module.written(program.plan, program.target(64)))
    text.triple = triple
    return target.create_target_machine(cpu=processor).emit_assembly(text)


def test_code_for_neon_is_what_llvm_takes_for_it(monkeypatch):
    assert re.search(r"fmla\s+v\d+\.2d", assembly_for("aarch64-unknown-linux-gnu", monkeypatch, "neoverse-n1", "", 16, 32))


X86 = [("skylake-avx512", 64, 32, "zmm"), ("haswell", 32, 16, "ymm")]


@pytest.mark.parametrize(("processor", "width", "registers", "name"), X86)
def test_vectors_that_registers_have_no_room_for_are_aligned(processor, width, registers, name, monkeypatch):
    """A vector across two lines of the cache takes two accesses; where the caller's stack lies is no matter of ours."""
    text = assembly_for("x86_64-unknown-linux-gnu", monkeypatch, processor, "", width, registers)
    found = {move: len(re.findall(rf"vmov{move}p[sd]\s+%{name}\d+, \d*\(%rsp\)", text)) for move in "au"}
    assert found["a"] and not found["u"], found


def test_equal_programs_share_their_code_and_it_outlives_them():
    """A sweep builds the same network again and again, each with parameters of its own."""

    def codes(seed):
        model = mg.MLP(2, [5, 1], seed=seed)
        f = jit(lambda x: model(x) ** 2, backend="llvm")
        f.backward(np.ones((40, 2)))
        return f, [version.code for program in programs(f) for version in program._versions if version]

    f, first = codes(1)
    assert codes(2)[1] == first
    first = weakref.ref(first[0])
    del f
    gc.collect()
    assert codes(3)[1] == [first()]


@pytest.mark.skipif(not os.path.exists("/proc/meminfo"), reason="reads /proc")
def test_too_little_memory_to_compile_is_an_error_and_not_the_end():
    code = """
import resource
from micrograd.tape import jit
from micrograd.tape.back_ends.llvm import program as llvm
assert not llvm.trouble()
jit(lambda x: x + 1.0, backend="llvm")(1.0)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (20 << 20), -1))
f = jit(lambda x: x * 2.0, backend="llvm")
try:
    f(1.0)
except MemoryError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
print(f(1.5))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said, result = run.stdout.splitlines()
    assert re.match(r"compiling needs about \d+ MB, and this process may take \d+ MB more: backend=", said) and result == "3.0"


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def compile_often(count, first=0):
    for k in range(first, first + count):
        jit(lambda x, k=k: mg.tanh(x * float(k)) * x, backend="llvm")(1.0)
        if k % 50 == 0:
            gc.collect()
    gc.collect()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_compiled_code_is_freed_when_its_owner_has_gone_and_others_came():
    compile_often(code.KEPT + 20)
    before = resident()
    compile_often(60, 1000)
    assert resident() - before < 4 << 20


@pytest.mark.slow
def test_two_thousand_compilations_do_not_leak():
    compile_often(100)
    before = resident()
    compile_often(2_000, 1000)
    assert resident() - before < 8 << 20


@pytest.mark.slow
def test_an_irregular_graph_of_100_000_operations_compiles():
    rng = random.Random(0)
    rules = [RULES[name] for name in ("add", "sub", "mul", "tanh", "relu", "sin")]
    slots, instructions = 10, []
    for _ in range(100_000):
        rule = rng.choice(rules)
        instructions.append((rule, tuple(rng.randrange(max(0, slots - 1000), slots) for _ in rule.partials)))
        slots += 1
    tape = Tape(10, 0, [], instructions, [slots - 1])
    X = np.random.default_rng(0).normal(size=(5, 10)) * 0.1
    found = llvm.Program(tape, [(10, True)], False, exact=True)([X], np.zeros(0), 5)
    assert same(found, reference.Program(tape, [(10, True)], False)([X], np.zeros(0), 5))


@pytest.mark.parametrize("dtype, precision", [(np.float64, "fast"), (np.float64, "exact"), (np.float32, "fast")])
@pytest.mark.parametrize("n, threads", [(257, 3), (512, 3), (1000, 1), (5000, 3)])
def test_results_that_are_written_past_the_caches_are_the_same(monkeypatch, dtype, precision, n, threads):
    """Rows of 1, 2, 3, 11 and 30 numbers, some more than once, in arrays that begin at a line of the cache."""

    def function(x):
        a = [mg.tanh(v) * x[0] for v in x]
        return a[1], [a[0], x[1]], a[:3], [*a, x[0], x[0], a[4]], {"last": [v * w for v in a[:5] for w in a[:6]]}

    X = np.random.default_rng(0).normal(size=(n, 8)).astype(dtype)
    monkeypatch.setattr(llvm.threads, "available", lambda: 1)
    monkeypatch.setattr(versions, "LEAST", 1e6)  # seconds: no clock retires what is counted here
    plain = jit(function, backend="llvm", dtype=dtype, precision=precision)
    expected = plain.map(X)
    assert [len(p._versions) - p._versions.count(None) for p in programs(plain)] == [1] and streams(plain) == []
    monkeypatch.setattr(llvm.threads, "available", lambda: threads)
    monkeypatch.setattr(llvm, "WORTH", 0)
    monkeypatch.setattr(versions, "STREAMED", 0)
    f = jit(function, backend="llvm", dtype=dtype, precision=precision)
    kept = [f.map(X) for _ in range(3)]
    assert len(streams(f)) == 1
    for found in kept:
        for one, other in zip([*found[:4], found[4]["last"]], [*expected[:4], expected[4]["last"]], strict=True):
            assert one.dtype == dtype and one.ctypes.data % 64 == 0 and np.array_equal(one, other)


def programs(f):
    """What has been compiled of it."""
    return [program for paths in f.recorded.values() for path in paths for program in path.programs.values()]


def streams(f):
    """The versions whose stores are non-temporal."""
    return [v for program in programs(f) for v in program._versions if v is not None and v.target.streamed]


def test_memory_of_large_results_is_used_again_only_when_nobody_holds_them():
    f = jit(lambda x: x + 1.0, backend="llvm")
    frames.idle_room.idle.clear()
    X = np.arange(200_000.0)
    first = f.map(X)
    part, second = first[5:9], f.map(X * 2)
    del first
    third = f.map(X * 3)
    assert part.tolist() == [6.0, 7.0, 8.0, 9.0] and second[7] == 15.0 and third[7] == 22.0
    place = third.ctypes.data
    del third
    assert f.map(X).ctypes.data == place


def test_memory_of_results_is_taken_by_what_fits_it_and_little_of_it_is_kept():
    idle, many, kind = frames.idle_room.idle, frames.LARGE // 8, np.dtype(float)
    idle.clear()
    results = [frames.room((k * many,), kind) for k in range(1, 8)]
    assert all(found.ctypes.data % 64 == 0 for found in results)
    while results:
        del results[0]

    def pieces():
        return [len(piece) // frames.LARGE for piece in idle]

    assert pieces() == [4, 5, 6, 7]  # the latest ones
    held = [frames.room((many,), kind)]  # all are more than twice as large
    assert pieces() == [4, 5, 6, 7]
    held.append(frames.room((4 * many + 4,), kind))  # some bytes more than the first one has room for
    assert pieces() == [4, 6, 7]
    held.append(frames.room((3 * many,), kind))
    assert pieces() == [6, 7]
    held += [frames.room((9,), kind, lined=True) for _ in range(9)]  # small, and at lines of the cache
    assert all(found.ctypes.data % 64 == 0 for found in held) and pieces() == [6, 7]
    held.clear()
    assert len(idle) == frames.KEPT
    idle.clear()


@pytest.mark.parametrize(("reduce", "n"), [(False, 1), (False, 3), (True, 1), (True, 3), (True, 9)])
def test_what_lies_side_by_side_is_copied_by_runs_and_not_by_a_table(reduce, n):
    """Results of two vector instructions, the same for all samples: two runs, in the order of the results."""
    twice, more = ([(RULES[name], (i, 150)) for i in range(150)] for name in ("mul", "add"))
    tape = Tape(150, 0, [2.0], [*twice, *more], [*range(301, 451), *range(151, 251)])
    fields, x = [(150, False)], np.random.default_rng(0).normal(size=150)
    compiled = llvm.Program(tape, fields, reduce, exact=True)
    expected = reference.Program(tape, fields, reduce)([x], np.zeros(0), n)
    assert same(compiled([x], np.zeros(0), n), expected)
    if reduce:
        assert len(compiled.plan.work) == 2 and all(arg.table is None for it in compiled.plan.work for arg in it.args)
    else:
        text = module.written(compiled.plan, compiled.target(0))
        assert re.search(r"@same0.*?^}", text, re.DOTALL | re.MULTILINE)[0].count("@llvm.memcpy") == 2


STEPS = {  # of recurrences that look back
    "one": lambda u, x: 0.3 * u[-1] + mg.sin(u[-2]) * x[1] + 0.1 * mg.tanh(u[-2]) * u[-2],
    "another": lambda u, x: mg.sin(u[-1]) * (0.3 * u[-2] + mg.sin(u[-3])),
    "a third": lambda u, x: mg.sin(u[-1] * u[-3] + u[-3] + 0.1 * x[1]),
}


@pytest.mark.parametrize("name", STEPS)
def test_what_a_step_reads_from_two_steps_back_comes_in_registers(name, monkeypatch):
    recurrences = importlib.import_module("micrograd.tape.back_ends.llvm.recurrences")
    found, two_steps_back = [], recurrences.two_steps_back

    def seen(*copies):
        found.append(two_steps_back(*copies))
        return found[-1]

    def run(x):
        u = [*x]
        for _ in range(400):
            u.append(STEPS[name](u, x))
        return u[-1]

    monkeypatch.setattr(recurrences, "two_steps_back", seen)
    monkeypatch.setattr(versions, "LEAST_INTERPRETED", 10**9)
    for f in (lambda x: (run(x), x), mg.value_and_grad(run)):
        exact, definition = jit(f, backend="llvm", precision="exact"), jit(f, backend="reference")
        for x in np.random.default_rng(0).normal(size=(3, 3)):
            assert same(np.append(*exact(x)), np.append(*definition(x)))
        assert any(found)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(("beside", "many", "terms"), [("elements", 19, 10), ("terms", 19, 10), ("elements", 3, 70)])
def test_a_table_has_one_entry_for_what_lies_side_by_side(beside, many, terms, n):
    """Rows of numbers that begin at no equal distances."""
    starts = [0, 31, 7, 70, 95, 40, 111, 121, 60, 20] if many > 3 else [*range(35), *range(60, 95)]
    if beside == "elements":
        sums = [[starts[k] + i for k in range(terms)] for i in range(many)]
    else:
        sums = sorted([starts[i % 10] + 3 * (i // 10) + 2 * k for k in range(terms)] for i in range(many))
    instructions = [(RULES["dot"], (*xs, *range(150 - terms, 150), 160)) for xs in sums]
    tape = Tape(160, 0, [0.5], instructions, [*range(161, 161 + many)])
    x = np.random.default_rng(0).normal(size=160)
    for fields, arrays in (([(160, False)], [x]), ([(160, True)], [np.stack([x, 2.0 * x, x**2])[:n]])):
        exact, fast = (llvm.Program(tape, fields, False, exact=exact) for exact in (True, False))
        expected = reference.Program(tape, fields, False)(arrays, np.zeros(0), n)
        assert same(exact(arrays, np.zeros(0), n), expected)
        np.testing.assert_allclose(fast(arrays, np.zeros(0), n), expected, rtol=1e-12, atol=1e-14)
        (kernel,) = [*exact.plan.before, *exact.plan.work]
        tables = [arg for arg in kernel.args if arg.table is not None]
        assert [arg.count for arg in tables] == [terms if beside == "elements" else many]
        assert same(tables[0].every((many, terms)).reshape(many, terms), np.array(sums))
        assert [tables[0].slot((many - 1, k)) for k in range(terms)] == sums[-1]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_rounded_once_stands_on_the_tape_and_is_not_the_optimiser_s_choice(seed, monkeypatch):
    """One product among many terms is rounded by itself; and code that LLVM does not optimise has the same bits."""
    import llvmlite.binding as binding

    from micrograd.tape.back_ends.llvm import code

    rng = np.random.default_rng(seed)
    f = jit(lambda a, b, c, d, x, y: a + b + c + d + x * y)
    for a, b, c, d, x, y in rng.normal(size=(50, 6)).tolist():
        assert f(a, b, c, d, x, y) == a + b + c + d + x * y
    a, b, c, d, x, y = rng.normal(size=(6, 50))
    assert same(f.map(a, b, c, d, x, y), a + b + c + d + x * y)

    made, machine_for = [], binding.Target.create_target_machine
    model = mg.MLP(5, [9, 9, 2], activation=["tanh", "sigmoid", "softplus"][seed], seed=seed)

    def function(xs):
        h = xs[0]
        for t in range(70):
            h = mg.sin(h * xs[1] + xs[2 + t % 3]) * h + model(xs)[0] * 0.1 if t < 3 else mg.tanh(h * xs[1] + xs[2 + t % 3] * h)
        return mg.mean([v * v for v in model(xs)]) + h * h + xs[0] + xs[1] + xs[2] + xs[3] * xs[4]

    X = rng.normal(size=(37, 5))
    for level in (2, 0):
        monkeypatch.setattr(
            binding.Target, "create_target_machine", lambda self, opt, level=level, **k: machine_for(self, opt=level, **k)
        )
        monkeypatch.setattr(code.cache, "read", lambda key: None)
        monkeypatch.setattr(code.cache, "write", lambda key, content: None)
        code._alive.clear()
        code._latest.clear()
        g = jit(function, model.parameters())
        made.append([np.append(*reversed(g.value_and_grad(g.theta(), X[:n]))) for n in (1, 3, 37)])
    code._alive.clear()
    code._latest.clear()
    for optimised, plain in zip(*made, strict=True):
        assert same(optimised, plain)
