"""A tape is interpreted before it is compiled: with the bits of compiled code, whenever that takes its place."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from programs import program as random_program
from recurrences import nested, recurrence
from test_nans import Asked

pytest.importorskip("llvmlite", reason="the extra `jit` has it")
import micrograd as mg
from micrograd import Value
from micrograd.primitives import RULES
from micrograd.tape import jit
from micrograd.tape.back_ends import reference
from micrograd.tape.back_ends.llvm import bytecode, code, interpreter, module, versions
from micrograd.tape.back_ends.llvm.bytecode import Bytecode
from micrograd.tape.back_ends.llvm.operands import KernelLoop
from micrograd.tape.back_ends.llvm.program import Program
from micrograd.tape.scheduling import vectorise
from micrograd.tape.tape import Tape

if reason := code.trouble():
    pytest.skip(reason, allow_module_level=True)
INTERPRETED = True
KINDS = {
    "random": lambda seed: random_program(seed, 70, smooth=True),
    "all primitives": lambda seed: random_program(seed, 25),
    "recurrence": lambda seed: recurrence(seed, 40),
    "nested": lambda seed: nested(seed, 8, 5),
}


@pytest.fixture(autouse=True)
def every_tape(monkeypatch):
    monkeypatch.setattr(versions, "LEAST_INTERPRETED", 1)
    monkeypatch.setattr(bytecode, "LEAST", 1e9)


@pytest.fixture
def made(monkeypatch):
    """All programs made from now on."""
    found, init = [], Program.__init__

    def remembered(self, *args, **named):
        found.append(self)
        init(self, *args, **named)

    monkeypatch.setattr(Program, "__init__", remembered)
    return found


def same(a, b):
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)


def interpreted(programs):
    """For each version of all programs, whether it is the interpreter."""
    return [isinstance(version.plan, Bytecode) for one in programs for version in one._versions if version]


def compile_all(programs):
    for one in programs:
        one._interpret_no_more()


@pytest.mark.parametrize("how", ["exact", "fast", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bits_are_those_of_compiled_code(kind, how, made):
    used = []
    for seed in range(3):
        function, inputs, leaves = KINDS[kind](seed)
        precision, dtype = ("fast", np.float32) if how == "float32" else (how, np.float64)
        f = jit(function, leaves, backend="llvm", precision=precision, dtype=dtype)
        g = jit(lambda x, function=function: {"a": function(x), "b": [x[0] * x[-1], function(x) * 2.0, 1.5]}, backend="llvm")
        rng, theta = np.random.default_rng(seed), np.array([p.data for p in leaves], dtype)
        X = rng.normal(size=(600, inputs)).astype(dtype)

        def results(f=f, g=g, X=X, theta=theta):
            found = [np.append(*f.value_and_grad(theta, X[:n])) for n in (1, 3, 20, 600)]
            found += [f.map(X[:n]) for n in (2, 9, 600)]
            for n in (1, 300):
                out = g.map(X[:n])
                found += [out["a"], *out["b"]]
            return [*found, f(X[0].tolist()), f(X[0])]

        before = results()
        used += interpreted(made)
        compile_all(made)
        after = results()
        assert not any(interpreted(made))
        for a, b in zip(before, after, strict=True):
            assert same(a, b)
        made.clear()
    assert sum(used) > len(used) // (2 if kind != "all primitives" else 8), "the code that is tested here was hardly used"


@pytest.mark.parametrize("real, exact", [("double", True), ("double", False), ("float", False)])
def test_every_primitive(real, exact):
    """On numbers of all kinds, one sample at a time and eight, shared by the samples and not."""
    special = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 30.0, -30.0, 1e300, -1e-300, np.inf, -np.inf, np.nan, 0.3, -1.7, 7.0]
    names = interpreter.known(real, exact)
    assert {"relu", "pow", "tanh", "where", "logsumexp", "atan2"} <= {*names}
    instructions = []
    for base, third in ((0, 4), (2, 5)):
        for name in names:
            rule = RULES[name]
            count = 3 if rule.variadic else len(rule.partials)
            instructions.append((rule, (base, base + 1, third, base)[:count]))
    outputs = [6 + i for i in range(len(instructions))]
    tape = Tape(4, 1, [0.75], instructions, outputs)  # two that vary, two that all samples share
    pairs = np.array([(x, y) for x in special for y in special])
    dtype = np.float64 if real == "double" else np.float32
    with np.errstate(over="ignore"):
        pairs = pairs.astype(dtype)
    both = [Program(tape, [(2, True), (2, False)], False, dtype, exact) for _ in range(2)]
    both[1]._interpret_no_more()
    for n in (1, 3, 11, 256):
        for shared in pairs[::37]:
            one, other = (p([pairs[:n], shared], np.array([1.25], dtype), n) for p in both)
            assert same(one, other)
    assert interpreted([both[0]]) == [True, True] and not any(interpreted([both[1]]))


def test_bits_that_are_not_known_beforehand_are_left_to_compiled_code(made):
    """Where the order of a long sum and the functions of the library go by how one sample's numbers come to lie."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 200))

    def long_sum(x):
        return mg.sum([v * 1.5 for v in x])

    def many(x):
        return mg.relu(mg.maximum(mg.minimum(x[0], x[1]), mg.sum([mg.tanh(v) for v in x[:40]]))) + mg.tanh(x[1]) * mg.exp(
            mg.sum([mg.exp(v) * mg.exp(v) for v in x[:63]])
        )

    def wide(x):
        return mg.sum([mg.sum([mg.tanh(v) for v in x[i : i + 20]]) for i in range(0, 200, 20)])

    def large(x):  # a sum in another order would not show, nor would a function for one number
        return mg.logsumexp(list(x)) + wide(x)

    for function, alone in ((long_sum, False), (many, True), (large, False)):
        for precision in ("fast", "exact"):
            f = jit(function, backend="llvm", precision=precision)
            before = [f.map(X[:1]), f.map(X)]
            assert interpreted(made) == [alone or precision == "exact", True]
            compile_all(made)
            assert same(f.map(X[:1]), before[0]) and same(f.map(X), before[1])
            made.clear()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_tape_settles_the_bits_where_few_sums_are_long(dtype, made):
    """One sample's long sums and functions of the library, of numbers of its own and of those that all samples share."""
    rng = np.random.default_rng(0)
    leaves = [mg.Value(x) for x in rng.normal(size=150)]
    pairs, order = rng.integers(1, 150, (1500, 2)).tolist(), rng.permutation(1650)[:77].tolist()

    def wandering(numbers):
        numbers = list(numbers)
        for a, b in pairs:
            numbers.append(mg.sin(numbers[-a]) - numbers[-b] * 0.3)
        scattered = [numbers[i] for i in order]
        return mg.sum(scattered) + mg.dot(scattered[:65], scattered[5:70], start=numbers[3]) + mg.exp(mg.tanh(numbers[-1]))

    f = jit(lambda x: wandering(x) * wandering(leaves), leaves, backend="llvm", dtype=dtype)
    X = rng.normal(size=(40, 150)).astype(dtype)
    before = [f.map(X[:n]) for n in (1, 3, 40)]
    assert interpreted(made) == [True, True] and made[0].bytecode.by_tape
    compile_all(made)
    assert all(same(f.map(X[:n]), found) for n, found in zip((1, 3, 40), before, strict=True))
    exact = jit(f.fn, leaves, backend="llvm", precision="exact")
    np.testing.assert_allclose(before[2], exact.map(X), rtol=1e-9 if dtype == np.float64 else 0.05, atol=1e-9)


def loop(count):
    """So many calls of the library in each step."""

    def run(x):
        state = [x[i] for i in range(count)]
        for _ in range(40):
            state = [mg.tanh(v * 0.9 + 0.01 * x[0]) for v in state]
        return mg.sum(state)

    return run


def beside(count):
    """So many calls of the library in each step, beside more other operations than fill a vector."""

    def run(x):
        state = [x[i] for i in range(24)]
        for _ in range(100):
            waves = [mg.sin(v * 3.0) for v in state[:count]]
            state = [v * 0.9 + waves[i % count] * 0.3 for i, v in enumerate(state)]
        return state

    return run


def several(x):
    """A call of each of four functions in each step."""
    a, b, c, d = x[:4]
    for _ in range(60):
        a, b, c, d = mg.tanh(a + b), mg.sin(b + c), mg.cos(c + d), mg.exp(a - d * d)
    return [a, b, c, d]


W = [Value(0.01 * i) for i in range(80)]
EDGES = {
    "logsumexps of one sample": lambda x: [mg.logsumexp(list(x[i : i + 16])) * x[0] for i in range(9)],
    "logsumexps of parameters": lambda x: [mg.logsumexp(W[i : i + 16]) * x[0] for i in range(9)],
    "long dot of one sample": lambda x: mg.dot(list(x[:70]), list(x[70:140])) * x[0],
    "long dot of parameters": lambda x: mg.dot(W, [v * v for v in W]) * x[0],
    "calls of parameters": lambda x: mg.dot([mg.tanh(w) for w in W], list(x[:80])),
    "short logsumexps": lambda x: [mg.logsumexp([x[i], x[i + 1]]) for i in range(70)],
    "calls": lambda x: [mg.tanh(v) * 1.5 for v in x[:64]],
    "calls of two functions": lambda x: [mg.tanh(a) * mg.sin(b) for a, b in zip(x[:60], x[60:120], strict=True)],
    "a call in a loop": loop(1),
    "calls in a loop": loop(5),
    "calls of several functions in a loop": several,
    "more calls in a loop": loop(70),
    "calls beside others in a loop": beside(3),
    "more calls beside others in a loop": beside(4),
}


# where one sample is interpreted first
ALONE = ["short logsumexps", "calls", "calls of two functions", *[name for name in EDGES if name.endswith("a loop")][:-1]]


@pytest.mark.parametrize("name", EDGES)
def test_where_bits_go_by_how_numbers_lie(name, made):
    x = np.random.default_rng(0).normal(size=(40, 200))
    f = jit(EDGES[name], W if "parameters" in name else [], backend="llvm")
    before = [f.map(x[:1]), f.map(x)]
    assert interpreted(made)[0] == (name in ALONE)
    compile_all(made)
    assert same(f.map(x[:1]), before[0]) and same(f.map(x), before[1])


@pytest.mark.parametrize("count", [7, 8, 30])
def test_the_bits_do_not_go_by_the_size_of_a_program_whose_short_instructions_are_loops(count, made, monkeypatch):
    monkeypatch.setattr(module, "CROWDED", 10)
    x = np.random.default_rng(0).normal(size=(1, 30))
    f = jit(lambda x: [mg.sin(v * 3.0) * 1.5 for v in x[:count]], backend="llvm")
    before = f.map(x)
    compile_all(made)
    assert same(f.map(x), before)


def test_sums_of_a_few_more_terms_than_are_written_out(made):
    x = np.random.default_rng(0).normal(size=(600, 40))
    for count in (32, 33, 40):
        f = jit(lambda x, count=count: mg.dot(list(x[:count]), list(x[:count])), [], backend="llvm")
        before = [f.value_and_grad([], x[:n])[0] for n in (1, 9, 600)]
        compile_all(made)
        assert [f.value_and_grad([], x[:n])[0] for n in (1, 9, 600)] == before


def test_what_the_interpreter_does_not_know_is_compiled(made):
    from micrograd import primitive

    own = primitive("twice", "twice(x)", lambda x: 2.0 * x, 2.0)
    for function in (lambda x: own(x) * x, lambda x: mg.lgamma(x) * x):
        f = jit(function, backend="llvm")
        assert f(0.5) == function(0.5) and not any(interpreted(made))


@pytest.mark.parametrize(
    "fields", [[(2, True)], [(2, False)], [(1, True), (0, True), (1, False)], [(1, False), (0, False), (1, True)]]
)
def test_arrays_of_any_kind_and_of_none(fields):
    """No number that varies, none that does not, none at all, results that are no operations; and an inf in the last sample."""
    mul, add = (RULES[name] for name in ("mul", "add"))
    tape = Tape(2, 1, [3.0], [(mul, (0, 1)), (add, (0, 3)), (mul, (2, 3))], [4, 5, 6, 2, 3, 0])
    for reduce in (False, True):
        for n in (1, 2, 5, 9, 20):
            arrays = [np.ones((n, width) if varies else width) for width, varies in fields]
            for array in arrays:
                array[..., -1:][-1:] = np.inf
            both = [Program(tape, fields, reduce, np.float64, exact) for exact in (True, False)]
            found = [program(arrays, np.array([5.0]), n) for program in both]
            expected = reference.Program(tape, fields, reduce)(arrays, np.array([5.0]), n)
            assert all(same(one, expected) for one in found) and all(interpreted(both))
            if reduce:  # one of two factors is infinite
                one = Program(replace(tape, outputs=[4]), fields, True)
                assert same(one(arrays, np.array([5.0]), n), expected[:1])


def test_an_interpreter_without_what_all_samples_share_does_not_do_for_tapes_that_have_some(monkeypatch):
    monkeypatch.setattr(interpreter, "_texts", {})
    mul = RULES["mul"]
    for first, expected in (((0, 0), 27.0), ((1, 1), 75.0)):  # the square of the argument, and of the parameter
        program = Program(Tape(1, 1, [2.0], [(mul, first), (mul, (3, 0))], [4]), [(1, True)], False)
        assert program([np.full((9, 1), 3.0)], np.array([5.0]), 9).tolist() == [[expected] * 9]


BEHIND = """
import ctypes, mmap, sys
import numpy as np
from micrograd.primitives import RULES
from micrograd.tape.back_ends.llvm import versions
from micrograd.tape.back_ends.llvm.program import Program
from micrograd.tape.tape import Tape

pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
assert not ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + mmap.PAGESIZE), mmap.PAGESIZE, 0)

def at_the_end(x):
    size = x.nbytes
    array = np.frombuffer(pages, x.dtype, x.size, mmap.PAGESIZE - size).reshape(x.shape)
    array[:] = x
    return array

mul, add, dot = (RULES[name] for name in ("mul", "add", "dot"))
for least in (1, 10**9):
    versions.LEAST_INTERPRETED = least
    for width in (1, 3, 11):
        tape = Tape(width, 0, [], [(mul, (i, i)) for i in range(width)], [*range(width, 2 * width)])
        for reduce in (False, True):
            for varies in (True, False):
                program = Program(tape, [(width, varies)], reduce)
                for n in (1, 2, 3, 5, 9, 20, 31) if varies else (1, 9):
                    x = np.arange(n * width, dtype=float).reshape(n, width) if varies else np.arange(float(width))
                    found = program([at_the_end(x)], np.zeros(0), n)
                    rows = (x * x).T if varies else np.tile((x * x)[:, None], n)
                    assert np.array_equal(found, rows.sum(axis=1) if reduce else rows), (least, width, reduce, varies, n)
        tape = Tape(0, width, [], [(mul, (i, i)) for i in range(width)], [*range(width, 2 * width)])
        program = Program(tape, [], False)
        x = np.arange(float(width))
        assert np.array_equal(program([], at_the_end(x), 1)[:, 0], x * x)
    for rows in (5, 11):  # of a matrix of parameters, times eight numbers
        leaves, ones = 8 * rows, range(8)
        code = [(dot, (*range(8 + 8 * i, 16 + 8 * i), *ones, 8 + leaves)) for i in range(rows)]
        program = Program(Tape(8, leaves, [0.0], code, [*range(9 + leaves, 9 + leaves + rows)]), [(8, False)], False)
        x = np.arange(float(leaves))
        assert np.array_equal(program([np.ones(8)], at_the_end(x), 1)[:, 0], x.reshape(rows, 8).sum(axis=1))
print("nothing")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="protects a page as Linux does")
def test_nothing_behind_an_array_is_read():
    """Interpreted and compiled: arrays that end where the next page of memory must not be touched."""
    done = subprocess.run([sys.executable, "-c", BEHIND], capture_output=True, text=True)
    assert done.stdout == "nothing\n", (done.returncode, done.stderr)


def test_a_function_of_the_user_s_own_that_is_called_like_a_primitive_is_called(made):
    def tanh(x):  # of numbers alone
        return {0.25: 0.0, 1.75: 4.0}[x]

    own = mg.custom_derivative(tanh, lambda x, out: 1.0)
    f = jit(lambda x: own(x) + x, backend="llvm")
    assert f.map(np.array([0.25, 1.75])).tolist() == [0.25, 5.75]


def test_it_compiles_once_that_pays(made, monkeypatch):
    monkeypatch.setattr(versions, "perf_counter", iter(range(10**6)).__next__)  # a second each
    monkeypatch.setattr(bytecode, "LEAST", 2.5)
    f = jit(lambda x: mg.exp(x) * x, backend="llvm")
    array = np.linspace(0.0, 1.0, 20)
    found, kinds = [], []
    for _ in range(5):
        found.append(f.map(array))
        kinds.append(interpreted(made))
    assert kinds == [[True], [True], [], [False], [False]] and all(same(x, found[0]) for x in found)
    assert made[0]._versions[1].code.level == code.OPTIMISED and made[0]._versions[1].trial is None


def test_a_long_call_is_compiled_at_once(made, monkeypatch):
    monkeypatch.setattr(bytecode, "LEAST", 0.1)
    f = jit(lambda x: mg.sum([mg.tanh(x) * i for i in range(100)]), backend="llvm")
    short = f.map(np.linspace(-1.0, 1.0, 300))
    assert interpreted(made) == [True]
    long = f.map(np.tile(np.linspace(-1.0, 1.0, 300), 5000))
    assert interpreted(made) == [False] and same(long[:300], short)


@pytest.mark.parametrize("how", ["calls of numbers", "a long call"])
def test_calls_of_numbers_are_compiled_with_all_others(how, made, monkeypatch):
    """They hold memory, and the code that they run."""
    if how == "calls of numbers":
        monkeypatch.setattr(versions, "perf_counter", iter(range(10**6)).__next__)  # a second each
        monkeypatch.setattr(bytecode, "LEAST", 2.5)
    f = jit(lambda x: mg.exp(x) * x, backend="llvm")
    first = f(0.5)
    assert f(0.5) == first and interpreted(made) == [True] and len(made[0]._singles) == 1
    if how == "calls of numbers":
        assert f(0.5) == first
    else:
        compile_all(made)
    assert made[0]._singles == []
    assert f(0.5) == first and interpreted(made) == [False]
    assert [single.all for single in made[0]._singles] == [made[0]._versions[0].all]


def test_threads_share_a_call(made):
    X = np.random.default_rng(0).normal(size=(2000, 3))
    w = mg.Value(0.3)

    def function(x):
        return mg.tanh(w * w * x[0]) + x[1] * x[2] * mg.exp(w)

    one, two = (jit(function, [w], backend="llvm", threads=threads) for threads in (1, 2))
    theta = np.array([0.3])
    assert same(np.append(*one.value_and_grad(theta, X)), np.append(*two.value_and_grad(theta, X)))
    assert same(one.map(X), two.map(X)) and all(interpreted(made))


def test_nothing_is_scheduled_for_the_interpreter(monkeypatch):
    monkeypatch.setattr(versions, "schedule_of", None)
    f = jit(lambda x: mg.sum([mg.tanh(v) for v in x]), backend="llvm")
    x = np.array([[0.5, 0.25, -1.0]])
    assert f.map(x)[0] == pytest.approx(np.tanh(x).sum())


def test_no_loop_is_searched_for_if_bits_are_exact(monkeypatch, made):
    def path(x):
        for _ in range(100):
            x = mg.tanh(0.9 * x + w)
        return x

    w, X = Value(0.3), np.linspace(-1.0, 1.0, 20)
    expected = jit(path, [w], backend="reference", precision="exact").value_and_grad([0.3], X)
    monkeypatch.setattr(vectorise, "rolled", None)
    f = jit(path, [w], backend="llvm", precision="exact")
    assert same(np.append(*f.value_and_grad([0.3], X)), np.append(*expected)) and interpreted(made) == [True]
    monkeypatch.undo()
    made[0]._interpret_no_more()
    assert same(np.append(*f.value_and_grad([0.3], X)), np.append(*expected)) and interpreted(made) == [False]
    assert any(isinstance(one, KernelLoop) for one in made[0].plan.work)


@pytest.mark.parametrize("reduce", [False, True])
def test_it_tells_of_nan(reduce, made):
    exp, log, mul = (RULES[name] for name in ("exp", "log", "mul"))
    tape = Tape(2, 0, [2.0], [(log, (0,)), (exp, (1,)), (mul, (3, 2))], [4, 5])
    p = Program(tape, [(2, True)], reduce)
    p.twin = Asked()
    for n in (1, 3, 8, 20, 600):
        X = np.ones((n, 2))
        p([X], np.zeros(0), n)
        assert p.twin.times == 0
        X[n // 2, 0] = -1.0
        p([X], np.zeros(0), n)
        assert p.twin.times == 1
        p.twin.times = 0
    assert all(interpreted(made)) and len(interpreted(made)) == 2
