"""Code is compiled quickly first and optimised once that pays: the same bits, whenever that is and whatever comes between."""

import os
import threading
import weakref

import numpy as np
import pytest
from programs import program as random_program
from recurrences import nested, recurrence

pytest.importorskip("llvmlite", reason="the extra `jit` has it")
import micrograd as mg
from micrograd.tape import jit
from micrograd.tape.back_ends.llvm import cache, code, program, threads, versions
from micrograd.tape.back_ends.llvm.code import OPTIMISED, QUICK
from micrograd.tape.tape import Tape

if reason := code.trouble():
    pytest.skip(reason, allow_module_level=True)
KINDS = [(random_program, (60,)), (recurrence, (9,)), (nested, (4, 3))]


def same(a, b):
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch):
    monkeypatch.setenv("MICROGRAD_CACHE", "off")
    forget()


def forget():
    code._alive.clear()
    code._latest.clear()


@pytest.fixture
def made(monkeypatch):
    """All programs made from now on."""
    found, init = [], program.Program.__init__

    def remembered(self, *args, **named):
        found.append(self)
        init(self, *args, **named)

    monkeypatch.setattr(program.Program, "__init__", remembered)
    return found


def levels(programs):
    return {version.code.level for one in programs for version in one._versions if version}


def retire(programs):
    for one in programs:
        for version in [*one._versions]:
            if version and version.trial:
                one.retire(version.trial)


@pytest.mark.parametrize("precision", ["fast", "exact"])
@pytest.mark.parametrize("kind", range(len(KINDS)))
@pytest.mark.parametrize("seed", range(2))
def test_the_bits_are_those_of_before(seed, kind, precision, made):
    make, sizes = KINDS[kind]
    function, inputs, leaves = make(seed, *sizes)
    f = jit(function, leaves, backend="llvm", precision=precision)
    rng, theta = np.random.default_rng(seed), np.array([p.data for p in leaves])
    X = rng.normal(size=(600, inputs))

    def results():
        found = [np.append(*f.value_and_grad(theta, X[:n])) for n in (1, 3, 20, 600)]
        return [*found, *(f.map(X[:n]) for n in (2, 30, 600)), f(X[0].tolist()), f(X[0])]

    before = results()
    assert levels(made) == {QUICK}
    retire(made)
    after = results()
    assert levels(made) == {OPTIMISED}
    for a, b in zip(before, after, strict=True):
        assert same(a, b)


def test_it_is_optimised_once_its_calls_have_taken_as_long(made, monkeypatch):
    monkeypatch.setattr(versions, "perf_counter", iter(range(10**6)).__next__)  # a second each
    monkeypatch.setattr(versions, "LEAST", 2.5)
    monkeypatch.setattr(versions, "LETTER", 0.0)
    f = jit(lambda x: mg.exp(x) * x, backend="llvm")
    found = []
    for _ in range(5):
        found.append(f(0.5))
        found.append(levels(made))
    assert found[1::2] == [{QUICK}, {QUICK}, set(), {OPTIMISED}, {OPTIMISED}] and len({*found[::2]}) == 1
    assert [single.all for single in made[0]._singles] == [made[0]._versions[0].code.all]  # no clock any more
    array = np.linspace(0.0, 1.0, 20)
    for level in ({QUICK}, {QUICK}, set(), {OPTIMISED}):
        f.map(array)
        assert {v.code.level for v in made[-1]._versions if v} == level


def test_a_long_call_is_optimised_at_once(made):
    f = jit(lambda x: mg.tanh(x) * x, backend="llvm")
    short = f.map(np.linspace(-1.0, 1.0, 300))
    assert levels(made) == {QUICK}
    made[-1]._cost = 1e9
    assert same(f.map(np.linspace(-1.0, 1.0, 300)), short) and levels(made) == {OPTIMISED}


def test_shared_calls_count(made, monkeypatch):
    monkeypatch.setattr(versions, "LEAST", 1e-9)
    monkeypatch.setattr(versions, "LETTER", 0.0)
    monkeypatch.setattr(versions, "OPERATION", 0.0)
    f = jit(lambda x: mg.tanh(x) * x, backend="llvm", threads=2)
    X = np.linspace(-1.0, 1.0, 3000)
    first = f.map(X)
    assert levels(made) == set()
    assert same(f.map(X), first) and levels(made) == {OPTIMISED}


def test_an_interrupt_while_it_is_optimised_leaves_all_as_it_was(made, monkeypatch):
    f = jit(lambda x: mg.sin(x) + x, backend="llvm")
    first, compiled = f(0.5), versions.compiled

    def interrupted(*args):
        raise KeyboardInterrupt

    retire(made)
    with monkeypatch.context() as patched:
        patched.setattr(versions, "compiled", interrupted)
        with pytest.raises(KeyboardInterrupt):
            f(0.5)
    assert versions.compiled is compiled and f(0.5) == first and levels(made) == {OPTIMISED}


def test_without_memory_for_it_what_there_is_goes_on(made, monkeypatch):
    f = jit(lambda x: mg.sin(x) - x, backend="llvm")
    first, compiled, asked = f(0.5), versions.compiled, []

    def scarce(text, level):
        asked.append(level)
        if level == OPTIMISED:
            raise MemoryError("not here")
        return compiled(text, level)

    monkeypatch.setattr(versions, "compiled", scarce)
    monkeypatch.setattr(versions, "CALL", 1.0)
    retire(made)
    assert [f(0.5) for _ in range(50)] == [first] * 50 and asked == [OPTIMISED, QUICK] and levels(made) == {QUICK}
    monkeypatch.setattr(versions, "compiled", lambda text, level: scarce(text, OPTIMISED))
    with pytest.raises(MemoryError, match="not here"):
        jit(lambda x: mg.sin(x) * 3.0 - x, backend="llvm")(0.5)


def test_threads_call_on_while_one_optimises(made):
    model = mg.MLP(3, [6, 1], activation="tanh", seed=1)
    f = jit(lambda x: model(x) ** 2, model.parameters(), backend="llvm")
    theta, X = f.theta(), np.random.default_rng(0).normal(size=(40, 3))
    expected, right, begun = np.append(*f.value_and_grad(theta, X)), [], threading.Barrier(4)

    def work():
        begun.wait()
        right.extend(same(np.append(*f.value_and_grad(theta, X)), expected) for _ in range(100))

    working = [threading.Thread(target=work) for _ in range(3)]
    for thread in working:
        thread.start()
    begun.wait()
    retire(made)
    for thread in working:
        thread.join()
    assert right == [True] * 300 and levels(made) == {OPTIMISED}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_optimises_for_itself(made):
    f = jit(lambda x: mg.cos(x) - x * x, backend="llvm")
    first = f(0.5)
    child = os.fork()
    if not child:
        try:
            retire(made)
            right = f(0.5) == first and levels(made) == {OPTIMISED}
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0 and f(0.5) == first and levels(made) == {QUICK}
    assert threads.compiler().running == 1


def test_files_of_optimised_code_are_preferred(made, monkeypatch, tmp_path):
    monkeypatch.setenv("MICROGRAD_CACHE", str(tmp_path))
    asked, read = [], cache.read

    def result():
        forget()
        made.clear()
        asked.clear()
        return jit(lambda x: mg.cos(x) + x * x, backend="llvm")(0.5)

    monkeypatch.setattr(cache, "read", lambda key: asked.append(read(key)) or asked[-1])
    first = result()
    assert levels(made) == {QUICK} and asked == [None, None] and len(os.listdir(tmp_path / "machine_code")) == 1
    assert result() == first and levels(made) == {QUICK} and [kept is not None for kept in asked] == [False, True]
    f = jit(lambda x: mg.cos(x) + x * x, backend="llvm")
    assert f(0.5) == first
    retire(made)
    assert f(0.5) == first and len(os.listdir(tmp_path / "machine_code")) == 2
    assert result() == first and levels(made) == {OPTIMISED} and [kept is not None for kept in asked] == [True]


def test_a_program_that_nobody_holds_is_gone_at_once():
    tape = Tape(1, 0, [], [(mg.cos, (0,))], [1])
    one = program.Program(tape, [(1, True)], False)
    assert one([np.zeros((9, 1))], np.zeros(0), 9).tolist() == [[1.0] * 9] and levels([one]) == {QUICK}
    held = weakref.ref(one)
    del one
    assert held() is None


def test_an_interrupt_while_it_is_scheduled_comes_once(monkeypatch):
    tape, schedule_of = Tape(1, 0, [], [(mg.cos, (0,))], [1]), versions.schedule_of

    def interrupted(it):
        monkeypatch.setattr(versions, "schedule_of", schedule_of)
        raise KeyboardInterrupt

    monkeypatch.setattr(versions, "schedule_of", interrupted)
    one = program.Program(tape, [(1, True)], False)
    with pytest.raises(KeyboardInterrupt):
        one([np.zeros((9, 1))], np.zeros(0), 9)
    assert one([np.zeros((9, 1))], np.zeros(0), 9).tolist() == [[1.0] * 9]
