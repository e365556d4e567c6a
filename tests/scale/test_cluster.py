"""Compiled functions on a cluster of two processes: how they travel, and what a worker that dies changes (nothing)."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import numpy as np
import pytest

from micrograd import MLP, SGD, Value, jit, take

dask = pytest.importorskip("dask", reason="the extra `scale` has it")
da = pytest.importorskip("dask.array", reason="the extra `scale` has it")
cloudpickle = pytest.importorskip("cloudpickle", reason="the extra `scale` has it")
distributed = pytest.importorskip("distributed", reason="the extra `scale` has it")
arguments = pytest.importorskip("micrograd.scale.arguments", reason="the extra `scale` has Dask")

pytestmark = pytest.mark.slow  # a cluster takes seconds to start and to end

X, T = np.random.default_rng(3).normal(size=(3000, 3)), np.random.default_rng(4).normal(size=3000)


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def slowed(x, folder, seconds):
    """The chunk, later, once its process has been noted down."""
    with open(os.path.join(folder, str(os.getpid())), "a") as file:
        file.write("x")
    time.sleep(seconds)
    return x


def killing_one(folder, killed):
    """A thread that kills one of the processes that have noted down that they work; `killed` gets its id."""

    def kill():
        while not (names := os.listdir(folder)):
            time.sleep(0.01)
        time.sleep(0.15)
        os.kill(int(names[0]), signal.SIGKILL)
        killed.append(int(names[0]))

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_a_worker_killed_in_a_reduction_and_in_a_training_step_changes_no_bit(client, tmp_path):
    apart, together = (MLP(3, [4, 1], activation="tanh", seed=2) for _ in range(2))
    losses, folders, dead = [], [tmp_path / str(k) for k in range(2)], []
    for model, whole in ((apart, False), (together, True)):
        f = jit(lambda x, t, model=model: (model(x) - t) ** 2, precision="exact")

        def arrays(k, whole=whole):
            if whole:
                return X, T
            folders[k].mkdir()
            x = da.from_array(X, chunks=(257, 3)).map_blocks(slowed, str(folders[k]), 0.2, dtype=float, meta=X[:0])
            return x, da.from_array(T, chunks=500)

        def killed(k, run, whole=whole):
            given = arrays(k)
            thread = None if whole else killing_one(folders[k], dead)
            losses.append(run(*given))
            if thread is not None:
                thread.join()

        killed(0, f.backward)
        with f.training(SGD(model.parameters(), lr=0.05, momentum=0.9)) as step:
            killed(1, step)
    assert losses[:2] == losses[2:]
    assert len(dead) == 2 and not set(dead) & set(client.run(os.getpid).values())  # they died, and others did their work
    assert all(len(os.listdir(folder)) > 1 for folder in folders)
    for p, q in zip(apart.parameters(), together.parameters(), strict=True):
        assert p.data == q.data and p.grad == q.grad


def test_a_worker_makes_a_function_once_and_equal_tapes_share_their_code(client):
    compilations = lambda: len(__import__("micrograd.tape.back_ends.llvm.code", fromlist=["x"])._alive)  # noqa: E731
    made = lambda: len(__import__("micrograd.scale.pickling", fromlist=["x"])._made)  # noqa: E731
    before, made_before = client.run(compilations), client.run(made)
    x = da.from_array(X, chunks=(100, 3))
    table = [Value(1.0), Value(2.5)]

    def function(scale):
        return lambda x: (x[0] * table[1] + x[1]) * table[0] * scale if x[2] > 0.0 else x[0] * table[0]

    f, g = jit(function(1.25), table), jit(function(1.25), table)
    for _ in range(3):
        first, second = dask.compute(f.map(x), g.map(x))
        assert np.allclose(first, f.map(X)) and np.array_equal(first, second)
    after, made_after = client.run(compilations), client.run(made)
    for worker in before:
        assert made_after[worker] - made_before[worker] <= 2
        assert after[worker] - before[worker] < 10  # twice what one of them needs; a worker may meet the paths in two orders


def test_closures_lookups_and_new_paths_travel(client):
    table = [Value(0.5 * i) for i in range(4)]
    i = np.arange(3000) % 4
    f = jit(lambda x, i: take(table, i) * x[0] if x[1] > -1.0 else x[2] - table[0], table, precision="exact")
    lazy = da.from_array(X, chunks=(333, 3)), da.from_array(i, chunks=1000)
    assert np.array_equal(f.map(*lazy).compute(), f.map(X, i))
    value, gradient = dask.compute(*f.value_and_grad(f.theta(), *lazy))
    wanted = f.value_and_grad(f.theta(), X, i)
    assert value == wanted[0] and np.array_equal(gradient, wanted[1])
    lock = threading.Lock()  # which cannot be pickled: its tapes go alone
    g = jit(lambda x: (lock and x[0]) * 2.0 if x[0] < 9.0 else x[1])
    assert np.array_equal(g.map(lazy[0]).compute(), X[:, 0] * 2.0)
    with pytest.raises(RuntimeError, match="cannot be pickled"):
        g.map(lazy[0] + 10.0).compute()


def test_large_arrays_of_numpy_are_sent_once_as_long_as_they_live_unchanged(client):
    _sent = arguments._sent
    before = set(_sent)
    table, t = np.arange(2e6), np.linspace(0.0, 1.0, 300_000)
    x, wanted = da.zeros(300_000, chunks=70_000), 2e6 - 1.0
    f = jit(lambda x, t, table: (x + t) * table[0] + table[-1], [Value(2.0)], precision="exact")
    sent = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that a large graph is sent
        for _ in range(3):
            value, gradient = f.value_and_grad([2.0], x, t, table, in_axes=(0, 0, None))
            lazy = f.map(x, t, table, in_axes=(0, 0, None))
            assert len(cloudpickle.dumps(lazy.dask)) < 40_000
            assert value.compute() == wanted and gradient.compute() == [0.0] and lazy.compute().tolist() == [wanted] * len(t)
            sent.append({key: found[1] for key, found in _sent.items() if key not in before})
            if len(sent) == 2:
                table[-1] = wanted = 7.0
    assert len(sent[0]) == 3 and sent[0] == sent[1]  # t in other chunks for the exact sum
    assert [key[0] == id(table) for key in sent[0] if sent[0][key] is not sent[2][key]] == [True]  # which changed
    assert set(_sent) == before | set(sent[0])
    del table, t, lazy, value, gradient
    assert set(_sent) == before


def test_large_arrays_that_a_cluster_has_lost_are_sent_again(client):
    data = np.random.default_rng(0).random((300_000, 3))
    x, f = da.zeros(300_000, chunks=70_000), jit(lambda x, t: x + t)
    for k in range(3):
        assert np.array_equal(f.map(x, data[:, 1]).compute(), data[:, 1])  # a view, which lives as long as `data`
        (sent,) = [found[1] for key, found in arguments._sent.items() if key[0] == id(data)]
        if k == 0:
            first = sent
        elif k == 1:
            assert sent is first
            client.cancel(sent, force=True)  # as restart() does, without waiting for workers


def test_large_arrays_outlive_the_worker_that_has_them(client, tmp_path):
    table = np.arange(1e6)
    f = jit(lambda x, table: x + table[-1])
    x = da.zeros(3000, chunks=100).map_blocks(slowed, str(tmp_path), 0.05, dtype=float, meta=X[:0, 0])
    dead = []
    thread = killing_one(tmp_path, dead)
    assert np.array_equal(f.map(x, table, in_axes=(0, None)).compute(), np.full(3000, table[-1]))
    thread.join()
    assert len(dead) == 1


SCRIPT = """
import numpy as np, dask, dask.array as da, distributed
from micrograd import MLP, Value, jit

w = Value(2.0)

@jit
def inner(x):
    return w * x

@jit(precision="exact")
def f(x):
    return inner(x) ** 2 + (f.fn(x - 10.0) if x > 10.0 else 0.0)

class Model:
    def __init__(self):
        self.v = Value(3.0)

    @jit
    def priced(self, x):
        return self.v * x

if __name__ == "__main__":
    x = np.linspace(0.0, 25.0, 600)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0") as c, distributed.Client(c):
        value, gradient = dask.compute(*f.value_and_grad([2.0], da.from_array(x, chunks=250)))
        print((value, gradient) == f.value_and_grad([2.0], x))
        print(np.array_equal(Model().priced.map(da.from_array(x, chunks=250)).compute(), 3.0 * x))
"""


def test_a_script_with_decorated_functions_and_methods_runs_on_a_cluster(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["True", "True"], done.stdout + done.stderr
