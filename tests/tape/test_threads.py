"""Compiled functions in several threads, through interrupts, and in pickles: nothing lost, nothing mixed up."""

import gc
import pickle
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import numpy as np
import pytest

import micrograd as mg
from micrograd import SGD, Value, jit
from micrograd.tape.recording.parameters import open_trainings

A, B = Value(2.0, label="a"), Value(3.0, label="b")


def bent(x):
    return A * x if x > 0.0 else B * x * A


class Model(mg.Module):
    def __init__(self):
        self.a, self.b = Value(2.0), Value(3.0)

    @jit
    def bent(self, x):
        return self.a * x if x > 0.0 else self.b * x * self.a


@pytest.fixture
def quick_switches():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(*functions):
    errors = []

    def run(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_pickles_keep_the_order_of_theta():
    for first, then in ((1.0, -1.0), (-1.0, 1.0)):
        f = jit(bent)
        f(first)
        f(then)
        again = pickle.loads(pickle.dumps(f))
        assert again.parameters == f.parameters
        model = Model()
        model.bent(first)
        model.bent(then)
        names = [next(n for n in ("a", "b") if getattr(model, n) is p) for p in model.bent.parameters]
        other = pickle.loads(pickle.dumps(model.bent))
        assert other.parameters == [getattr(other.fn.__self__, n) for n in names]
    with pytest.raises(ValueError, match="flat vector of the 2"):
        again.value_and_grad([1.0], [1.0])


def test_calls_and_maps_take_theta_and_results_go_where_one_says():
    w, v = Value(2.0), Value(3.0)
    f = jit(lambda x: {"y": w * x, "z": [x * v, x]})
    assert f(2.0) == {"y": 4.0, "z": [6.0, 2.0]} and f(2.0, theta=[5.0, 7.0]) == {"y": 10.0, "z": [14.0, 2.0]}
    X = np.array([1.0, 2.0, 3.0])
    out = {"y": np.empty(3), "z": np.empty((3, 2))}
    assert f.map(X, theta=[5.0, 7.0], out=out) is out
    assert out["y"].tolist() == [5.0, 10.0, 15.0] and out["z"].tolist() == [[7.0, 1.0], [14.0, 2.0], [21.0, 3.0]]
    assert w.data == 2.0 and f.map(X)["y"].tolist() == [2.0, 4.0, 6.0]
    for wrong in ({"y": np.empty(3)}, {"y": np.empty(3), "z": np.empty((2, 3))}, np.empty(3)):
        with pytest.raises(ValueError, match="out must be"):
            f.map(X, out=wrong)
    for theta in ([1.0], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="flat vector of the 2"):
            f(2.0, theta=theta)
    g = jit(lambda x: w * x if x > 0.0 else v * x)
    assert g.map(np.array([1.0, -1.0])).tolist() == [2.0, -3.0]
    assert g.map(np.array([1.0, -1.0]), theta=[5.0, 7.0]).tolist() == [5.0, -7.0]
    assert jit(lambda x: x * w, threads=2).map(X).tolist() == [2.0, 4.0, 6.0]
    with pytest.raises(ValueError, match="threads must be"):
        jit(lambda x: x, threads=0)


@pytest.mark.parametrize("backend", ["numpy", None])
def test_threads_that_share_a_function_have_results_of_their_own(backend, quick_switches):
    a, b = Value(2.0), Value(3.0)

    def function(x):
        return mg.tanh(a * x) if x > 0.5 else b * x if x > 0.0 else x * a * b

    f = jit(function, wrt=[a, b], backend=backend)
    X = [np.linspace(-1.0, 1.0, n) for n in (5, 50, 500)]
    expected = [jit(function, backend="reference").map(x) for x in X]

    def work():
        for _ in range(5):
            for x, y in zip(X, expected, strict=True):
                np.testing.assert_allclose(f.map(x), y, rtol=1e-13)
                f.value_and_grad([7.0, 9.0], x)
                assert f.theta().tolist() == [2.0, 3.0], "another thread records at a theta of its own"

    in_threads(*[work] * 4)
    assert (a.data, b.data) == (2.0, 3.0)


def test_theta_is_never_what_another_thread_has_lent_the_parameters():
    """While one records at a theta of its own, another that asks has to wait."""
    w, lent, back, found = Value(2.0), threading.Event(), threading.Event(), []
    f = jit(lambda x: x * w, wrt=[w])

    def lends():
        with f._calls.parameters.holding(np.array([7.0])):
            assert f.theta().tolist() == [7.0], "its own"
            lent.set()
            back.wait()

    def asks():
        lent.wait()
        threading.Timer(0.01, back.set).start()
        found.extend(f.theta().tolist())

    in_threads(lends, asks)
    assert found == [2.0]


def test_threads_add_each_gradient_once_compiled_and_eagerly(quick_switches):
    w = Value(2.0)
    f = jit(lambda x: x * w, backend="numpy")

    def work():
        for _ in range(300):
            f.backward(np.ones(2))
            (w * 1.0).backward()

    in_threads(*[work] * 4)
    assert w.grad == 4 * 300 * 2


@pytest.mark.parametrize("compiled", [False, True])
def test_no_thread_adds_to_a_gradient_between_anothers_reading_and_writing_it(compiled):
    both = threading.Barrier(2)

    class Slow(Value):
        held = 0.0

        @property
        def _grad(self):
            read = self.held
            with suppress(threading.BrokenBarrierError):  # the other one had to wait, or has been here
                both.wait(0.1)
            return read

        @_grad.setter
        def _grad(self, g):
            self.held = g

    w = Slow(2.0)
    f = jit(lambda x: x * w, wrt=[w], backend="numpy") if compiled else None
    in_threads(*[(lambda: f.backward(np.ones(1))) if compiled else (lambda: (w * 1.0).backward())] * 2)
    assert w.held == 2.0


def test_other_threads_leave_the_last_step_of_a_block_alone(quick_switches):
    w = Value(1.0)
    f, g = jit(lambda x: x * w), jit(lambda x: x * w * 2.0)
    f(1.0), g(1.0)
    done = threading.Event()

    def others():
        while not done.is_set():
            g(1.0)

    def train():
        for _ in range(150):
            with f.training(SGD([w], lr=0.125)) as step:
                step(np.ones(1))
                step(np.ones(1))
                last = step.data[0] - 0.0
            assert w.data == last
        done.set()

    in_threads(train, others)
    assert not open_trainings


INTERRUPTED = """
import signal, sys
from micrograd import Adam, Value, dot, jit
from micrograd.tape.recording.parameters import open_trainings

sys.unraisablehook = lambda _: None  # of those that come while Python finalises an object
w = [Value(float(i)) for i in range(200)]
f = jit(lambda x: dot(w, w) * x, wrt=w)
f.backward([1.0])
signal.signal(signal.SIGALRM, signal.default_int_handler)

learnt = 0
for i in range(150):
    optimiser = Adam(w, lr=0.01)
    start = [p.data for p in w]
    try:
        try:
            with f.training(optimiser) as step:
                # Again and again, also while the block ends.
                signal.setitimer(signal.ITIMER_REAL, 2e-4 + i * 1e-5, 5e-5)
                while True:
                    step([1.0])
        except KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
    except KeyboardInterrupt:
        pass  # the last one, which came while the timer was stopped
    f.theta()  # which notices a block of which two interrupts in a row kept the end away
    moved = [p.data != x for p, x in zip(w, start, strict=True)]
    assert all(moved[1:]) or not any(moved)
    assert all(moved[1:]) == (optimiser.steps > 0) == any(s[0] != 0.0 for s in optimiser.state[1:])
    assert not open_trainings
    learnt += all(moved[1:])
print(learnt)
"""


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("way", ["float", "array", "map", "backward"])
def test_another_thread_may_find_parameters_while_a_call_reads_them(way, backend, monkeypatch):
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    w, v, X = Value(2.0), Value(3.0), np.ones(3)
    f = jit(lambda x, more=False: x * w * v if more else x * w, backend=backend)
    call = {
        "float": lambda: f(1.0), "array": lambda: f(np.array([1.0]))[0],
        "map": lambda: f.map(X)[0], "backward": lambda: f.backward(X),
    }[way]  # fmt: skip
    assert call() == call() == 2.0
    known = f._parameters._numbers_held

    def interrupted():
        monkeypatch.setattr(f._parameters, "_numbers_held", known)
        in_threads(lambda: f(1.0, more=True))
        assert len(f.parameters) == 2
        return known()

    monkeypatch.setattr(f._parameters, "_numbers_held", interrupted)
    assert call() == 2.0 and v.grad == 0.0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals that a timer sends")
def test_interrupts_lose_nothing_that_was_learnt():
    """In a process of its own: an interrupt that comes too late ends that one, and not the tests."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def test_an_interrupt_at_any_place_of_a_blocks_end_loses_nothing():
    """Also before the first line of a function that ends the block, of which CPython then runs nothing."""
    w = Value(1.0)
    f = jit(lambda x: x * w, backend="numpy")
    f.backward(np.ones(1))

    def interrupted(at):
        count, tracing = 0, sys.gettrace()

        def trace(frame, event, argument):
            nonlocal count
            frame.f_trace_opcodes = True
            count += event in ("call", "line", "opcode")
            if count > at:
                raise KeyboardInterrupt
            return trace

        w.data, optimiser = 1.0, SGD([w], lr=0.125, momentum=0.5)
        try:
            with f.training(optimiser) as step:
                step(np.ones(1))
                sys.settrace(trace)
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(tracing)
            assert (w.data, optimiser.steps, optimiser.state, open_trainings) == (0.875, 1, [(1.0,)], [])
        return False

    gc.disable()  # an interrupt of somebody's callback at a collection would be lost
    try:
        places = 0
        while interrupted(places):
            places += 1
    finally:
        gc.enable()
    assert places > 100
