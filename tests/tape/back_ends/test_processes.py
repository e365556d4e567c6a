"""Compiled code under the limits of a process: small stacks, little memory, forks, and an end of the main thread."""

import os
import subprocess
import sys
import textwrap

import pytest

llvm = pytest.importorskip("micrograd.tape.back_ends.llvm.program")
if reason := llvm.trouble():
    pytest.skip(reason, allow_module_level=True)

posix = pytest.mark.skipif(not hasattr(os, "fork") or not os.path.exists("/proc/self/statm"), reason="no processes by fork")
START = """
import os, resource, signal, sys, threading, time, warnings
import numpy as np
import micrograd as mg
from micrograd.tape import jit
from micrograd.tape.back_ends.llvm import program as llvm
warnings.simplefilter("ignore")
"""


def ran(code, **environment):
    """What a program printed; it must have ended as it should."""
    source = START + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=120, env=os.environ | environment
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return done.stdout.split()


@posix
def test_programs_of_10_000_results_inputs_branches_and_constants_compile_on_small_stacks():
    found = ran("""
    resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    n = 10_000
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=n).tolist()

    def branching(x):
        return [v * v for v in x] if x[0] > -99 else [v for v in x]

    def constants(x):
        return [x[i % 7] * numbers[i] + numbers[-i] for i in range(n)]

    def compared(x):
        total = x[0]
        for i in range(n):
            total = total + x[i] if x[i] > numbers[i] - 9 else total
        return total

    def work():
        x = rng.uniform(1, 2, n)
        good = np.array_equal(jit(branching, backend="llvm").map(np.stack([x, x])), np.stack([x * x, x * x]))
        good &= len(jit(lambda x: tuple(v * v for v in x), backend="llvm")([*x.tolist()])) == n
        good &= np.allclose(jit(constants, backend="llvm")(x), [x[i % 7] * numbers[i] + numbers[-i] for i in range(n)])
        print(good, np.isclose(jit(compared, backend="llvm")(x), x[0] + x.sum()))

    threading.stack_size(128 << 10)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    """)
    assert found == ["True", "True"]


@posix
def test_a_small_stack_is_enough():
    found = ran("""
    threading.stack_size((64 if sys.version_info < (3, 14) else 128) << 10)  # which Python 3.14 wants for itself
    thread = threading.Thread(target=lambda: print(jit(lambda x: mg.tanh(x) * x, backend="llvm")(2.0)))
    thread.start()
    thread.join()
    """)
    assert found[0].startswith("1.928")


@posix
def test_too_little_data_or_too_few_maps_are_an_error():
    found = ran("""
    jit(lambda x: x + 1.0, backend="llvm")(1.0)
    pages = int(open("/proc/self/statm").read().split()[5])
    resource.setrlimit(resource.RLIMIT_DATA, (pages * resource.getpagesize() + (20 << 20), -1))
    for _ in range(2):
        try:
            jit(lambda x: x * 2.0, backend="llvm")(1.0)
        except MemoryError:
            print("refused")
        resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))
        llvm.machine.maps_left = lambda: 3
    llvm.machine.maps_left = lambda: 3000
    print(jit(lambda x: x * 2.0, backend="llvm")(1.0))
    """)
    assert found == ["refused", "refused", "2.0"]


@posix
def test_a_fork_while_another_thread_compiles_leaves_the_child_able_to():
    found = ran("""
    def compile_on(count):
        for k in range(count):
            jit(lambda x, k=k: sum(mg.tanh(x * float(k)) * i for i in range(30)), backend="llvm")(1.0)

    compile_on(1)
    thread = threading.Thread(target=compile_on, args=(15,))
    thread.start()
    states = []
    for k in range(4):
        time.sleep(0.05)
        if (child := os.fork()) == 0:
            signal.alarm(30)
            os._exit(0 if jit(lambda x: mg.sin(x) + 10.0 + k, backend="llvm")(0.0) == 10.0 + k else 1)
        states.append(os.waitpid(child, 0)[1])
    thread.join()
    print(*states)
    """)
    assert found == ["0"] * 4


@posix
def test_calls_go_on_when_the_main_thread_has_ended():
    found = ran("""
    llvm.WORTH, llvm.threads.available = 0, lambda: 2
    f, X = jit(lambda x: mg.tanh(x), backend="llvm"), np.linspace(0, 1, 5000)
    expected = f.map(X)
    main = threading.main_thread()

    def work():
        main.join()
        print(np.array_equal(f.map(X), expected), np.array_equal(jit(lambda x: x * 3.0, backend="llvm").map(X), X * 3.0))

    threading.Thread(target=work).start()
    """)
    assert found == ["True", "True"]


@pytest.mark.parametrize(("said", "expected"), [("1", 1), ("1,4", 1), ("999", 0), ("0", 0), ("all", 0), ("", 0)])
def test_omp_num_threads_is_obeyed(monkeypatch, said, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = llvm.threads.available()
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert llvm.threads.available() == (expected or cores)
