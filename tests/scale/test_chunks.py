"""Compiled functions over Dask arrays in one process: what chunks may look like, and the bits of sums over them."""

import itertools
import subprocess
import sys
import threading
import zlib
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd import MLP, SGD, Value, detect_anomaly, dot, hessian, jit, take, where
from micrograd.scale import pickling
from micrograd.tape.back_ends import reference
from micrograd.tape.calling.branches import MANY_SUMS, SPAN
from micrograd.tape.calling.partial_sums import merged, subtrees

dask = pytest.importorskip("dask", reason="the extra `scale` has it")
da = pytest.importorskip("dask.array", reason="the extra `scale` has it")
cloudpickle = pytest.importorskip("cloudpickle", reason="the extra `scale` has it")

RNG = np.random.default_rng(7)
X, T = RNG.normal(size=(1500, 3)), RNG.normal(size=1500)
INDEX = RNG.integers(0, 4, size=1500)
MODEL = MLP(3, [4, 1], activation="tanh", seed=1)
TABLE = [Value(0.3 * i, label=f"t_{i}") for i in range(4)]


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@jit
def found_by_name(x):
    return 2.0 * x


def squared(x, t):
    return (MODEL(x) - t) ** 2


def looked_up(x, t, i):
    return (take(TABLE, i) * x[0] - t) ** 2


def branching(x, t):
    return squared(x, t) if x[0] > 0.3 else (TABLE[0] * x[1]).exp() if x[1] < 1.0 else x[2] * TABLE[1]


def chunked(x, sizes):
    return da.from_array(x, chunks=(tuple(sizes), *x.shape[1:]))


def cut(n, ends):
    """Sizes of the chunks of n samples that end there; equal ends leave chunks empty."""
    return np.diff([0, *sorted(min(end, n) for end in ends), n]).tolist()


FUNCTIONS = {
    "squared": (jit(squared, MODEL.parameters(), precision="exact"), (X, T)),
    "looked up": (jit(looked_up, TABLE, precision="exact"), (X, T, INDEX)),
    "branching": (jit(branching, [*MODEL.parameters(), *TABLE], precision="exact"), (X, T)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=12, deadline=None)
@given(n=st.integers(1, 1500), ends=st.lists(st.integers(0, 1500), max_size=6), data=st.data())
def test_exact_sums_have_the_bits_of_one_process_whatever_the_chunks(name, n, ends, data):
    f, arrays = FUNCTIONS[name]
    arrays = [x[:n] for x in arrays]
    other = data.draw(st.lists(st.integers(0, n), max_size=3))
    reduction = data.draw(st.sampled_from(["mean", "sum"]))
    apart = [chunked(x, cut(n, e)) for x, e in zip(arrays, (ends, other, ends), strict=False)]
    value, gradient = dask.compute(*f.value_and_grad(f.theta(), *apart, reduction=reduction))
    wanted = f.value_and_grad(f.theta(), *arrays, reduction=reduction)
    assert float(value) == wanted[0] and np.array_equal(gradient, wanted[1])
    assert np.array_equal(f.map(*apart).compute(), f.map(*arrays))


@pytest.mark.parametrize("bends", [False, True])
@pytest.mark.parametrize("count", [4, MANY_SUMS // 2 + 2])  # of parameters: a few, and so many that paths are summed in spans
def test_several_results_are_summed_over_chunks_each_with_its_gradient(count, bends):
    w = [Value(0.001 * i) for i in range(count)]
    n = 1500 if count == 4 else SPAN + 77
    f = jit(
        lambda x: {"both": [dot(w, [x] * count), x * w[1]], "c": x if not bends or x > 0.0 else w[2] * x}, w, precision="exact"
    )
    x = np.random.default_rng(2).normal(size=n)
    wanted = f.value_and_grad(f.theta(), x)
    value, gradient = dask.compute(*f.value_and_grad(f.theta(), da.from_array(x, chunks=n // 3 - 5)))
    for name, shape in (("both", (2,)), ("c", ())):
        assert np.shape(value[name]) == shape and np.array_equal(value[name], wanted[0][name])
        assert gradient[name].shape == (*shape, count) and np.array_equal(gradient[name], wanted[1][name])
    np.testing.assert_allclose(wanted[1]["both"], [[x.mean()] * count, [0.0, x.mean()] + [0.0] * (count - 2)], atol=1e-14)


@pytest.mark.parametrize("sizes", [[1] * 1000, [1000], [0, 1000, 0], [300, 300, 400], [256, 744]])
def test_a_thousand_chunks_one_and_an_empty_one(sizes):
    f, (x, t) = FUNCTIONS["squared"]
    x, t = x[:1000], t[:1000]
    found = dask.compute(*f.value_and_grad(f.theta(), chunked(x, sizes), chunked(t, sizes)))
    wanted = f.value_and_grad(f.theta(), x, t)
    assert float(found[0]) == wanted[0] and np.array_equal(found[1], wanted[1])
    lazy = f.map(chunked(x, sizes), chunked(t, sizes))
    assert lazy.chunks == (tuple(sizes),) and np.array_equal(lazy.compute(), f.map(x, t))


def test_paths_with_many_parameters_are_summed_in_spans_which_chunks_keep():
    w = [Value(0.001 * i) for i in range(MANY_SUMS + 2)]
    f = jit(lambda x: dot(w, [x] * len(w)) if x > 0.0 else x * x * w[1], w, precision="exact")
    x = np.random.default_rng(1).normal(size=SPAN + 77)
    value, gradient = dask.compute(*f.value_and_grad(f.theta(), da.from_array(x, chunks=7001), reduction="sum"))
    wanted = f.value_and_grad(f.theta(), x, reduction="sum")
    assert float(value) == wanted[0] and np.array_equal(gradient, wanted[1])
    assert np.allclose(gradient[:2], [x[x > 0].sum(), x[x > 0].sum() + (x[x <= 0] ** 2).sum()])


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 5000), ends=st.lists(st.integers(0, 20), max_size=5), seed=st.integers(0, 99))
def test_forests_merge_in_any_order_to_the_sum_that_the_reference_defines(n, ends, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) * 10.0 ** rng.integers(-8, 8, size=(n, 1))
    units = -(-n // reference.BLOCK)
    places = [(a, b) for a, b in zip([0, *sorted(ends)], [*sorted(ends), units], strict=True) if a < b <= units]
    places.append((max((b for _, b in places), default=0), units))
    forests = [
        {(level, i): reference.total(x[a * 256 : b * 256]) for level, i, a, b in subtrees(first, end - first, units)}
        for first, end in places
        if first < end
    ]
    rng.shuffle(forests)
    half = [merged(forests[:2], units), merged(forests[2:], units)]
    ((_, total),) = merged(half, units).items()
    assert np.array_equal(total, reference.total(x))


def test_fast_sums_are_the_same_for_the_same_chunks():
    for backend, dtype in (("numpy", "float64"), (None, "float32"), (None, "float64")):
        f = jit(squared, MODEL.parameters(), backend=backend, dtype=dtype)
        lazy = [da.from_array(x, chunks=(500, 3)[: x.ndim]) for x in (X, T)]
        one, two = (dask.compute(*f.value_and_grad(f.theta(), *lazy)) for _ in range(2))
        assert one[0] == two[0] and np.array_equal(one[1], two[1]) and one[1].dtype == dtype
        assert np.allclose(one[1], f.value_and_grad(f.theta(), X, T)[1], rtol=1e-4, atol=1e-5)
        assert f.map(*lazy).dtype == dtype


@dataclass
class Market:
    rate: float
    steps: object


def test_structures_in_and_out_names_and_what_is_the_same_for_all():
    def priced(market, weights, scale=1.0):
        steps = market["market"].steps
        return {"price": steps[0] * weights[0] * scale, "parts": [steps[1], steps[2] + weights[1]], "kind": "asian"}

    f = jit(priced)
    lazy = da.from_array(X, chunks=(400, 2))
    s = np.arange(1500.0)
    found = f.map({"market": Market(s, lazy)}, [2.0, 3.0], in_axes=(0, None), scale=chunked(s, [1000, 500]))
    assert found["kind"] == "asian" and found["price"].chunks == ((400, 400, 400, 300),) and found["parts"].shape == (1500, 2)
    wanted = f.map({"market": Market(s, X)}, [2.0, 3.0], in_axes=(0, None), scale=s)
    computed = dask.compute(found)[0]
    assert all(np.array_equal(computed[k], wanted[k]) for k in ("price", "parts"))
    weights = da.from_array(np.array([2.0, 3.0]), chunks=1)  # an array that comes whole
    g = jit(lambda x, w: x[0] * w[0] + w[1], precision="exact")
    assert np.array_equal(g.map(lazy, weights, in_axes=(0, None)).compute(), X[:, 0] * 2.0 + 3.0)
    assert np.array_equal(g.map(lazy.T, weights, in_axes=(1, None)).compute(), X[:, 0] * 2.0 + 3.0)
    assert np.array_equal(g.map(X, weights, in_axes=(0, None)).compute(), X[:, 0] * 2.0 + 3.0)
    assert g.map(lazy[0], weights, in_axes=None).compute().tolist() == [X[0, 0] * 2.0 + 3.0]


def test_samples_along_any_axis_of_dask_s_arrays_and_of_numpy_s_beside():
    cube = X.reshape(50, 30, 3)
    lazy = da.from_array(cube, chunks=(20, 10, 2))
    f = jit(lambda x, y: x[0][1] * y[1][0] + x[1][0], precision="exact")
    for axis in (1, 2, -1):
        wanted = f.map(cube, cube, in_axes=axis)
        for x, y in ((lazy, lazy), (lazy, cube), (cube, lazy)):
            assert np.array_equal(f.map(x, y, in_axes=axis).compute(), wanted)
            assert np.array_equal(f.map(x, y, in_axes=(axis, axis)).compute(), wanted)
    g = jit(lambda t, x: t * x[0])
    t = da.from_array(T, chunks=400)
    assert g.map(t, np.tile(X, 2)).chunks == t.chunks  # Dask's, though there is less of it


def test_matrices_out_and_derivatives_of_any_kind():
    f = jit(hessian(lambda x: x[0] ** 2 * x[1] + x[2].exp()), precision="exact")
    lazy = f.map(da.from_array(X, chunks=(700, 3)))
    assert lazy.shape == (1500, 3, 3) and np.array_equal(lazy.compute(), f.map(X))
    g = jit(lambda x: [[x[0], x[1]], [x[2], x[0] * 2.0], [x[1], 1.0]] if x[0] > 0.0 else [[x[0], x[1]]] * 3)
    assert np.array_equal(g.map(da.from_array(X, chunks=(700, 3))).compute(), g.map(X))


def test_columns_of_a_data_frame():
    dd = pytest.importorskip("dask.dataframe", reason="pandas is not installed")
    import pandas

    frame = pandas.DataFrame({"a": X[:, 0], "b": X[:, 1], "n": INDEX})
    lazy = dd.from_pandas(frame, npartitions=3)
    f = jit(lambda a, b: a * b + TABLE[1], [TABLE[1]], precision="exact")
    assert np.array_equal(f.map(lazy["a"], lazy["b"]).compute(), f.map(X[:, 0], X[:, 1]))
    with pytest.raises(ValueError, match=r"chunks of unknown sizes.*lengths=True"):
        f.value_and_grad(f.theta(), lazy["a"], lazy["b"])
    with pytest.raises(ValueError, match=r"argument 0 has chunks of unknown sizes, which cannot be aligned"):
        f.map(lazy["a"], X[:, 1])
    a, b = (lazy[c].to_dask_array(lengths=True) for c in "ab")
    assert dask.compute(*f.value_and_grad(f.theta(), a, b))[0] == f.value_and_grad(f.theta(), X[:, 0], X[:, 1])[0]
    g = jit(lambda row: row[0] * row[1])
    assert np.array_equal(g.map(lazy[["a", "b"]]).compute(), g.map(X[:, :2]))


def test_backward_and_training_have_the_bits_of_one_process():
    apart, together = (MLP(3, [4, 1], activation="tanh", seed=2) for _ in range(2))
    lazy = da.from_array(X, chunks=(413, 3)), da.from_array(T, chunks=200)
    losses = []
    for model, arrays in ((apart, lazy), (together, (X, T))):
        f = jit(lambda x, t, model=model: (model(x) - t) ** 2, precision="exact")
        losses.append([f.backward(*arrays)])
        with f.training(SGD(model.parameters(), lr=0.05, momentum=0.9)) as step:
            losses[-1] += [step(*arrays) for _ in range(3)]
    assert losses[0] == losses[1]
    for p, q in zip(apart.parameters(), together.parameters(), strict=True):
        assert p.data == q.data and p.grad == q.grad


def test_paths_that_bring_parameters():
    def made():
        a, b, c, d = values = [Value(2.0 + i) for i in range(4)]

        def branching(x):
            return x * d if x > 0.8 else x * x * c if x > 0.4 else x * b if x > 0.1 else x * a

        return jit(branching, precision="exact"), values

    x = np.linspace(0.0, 1.0, 5000)
    lazy = da.from_array(x, chunks=700)
    (f, values), (g, others) = made(), made()
    with pytest.raises(ValueError, match="list the parameters in wrt"):
        dask.compute(*f.value_and_grad([5.0], lazy))  # theta is what it is
    (f, values) = made()
    assert f.backward(lazy) == g.backward(x)
    assert [v.grad for v in values] == [v.grad for v in others]
    for v in (*values, *others):
        v.data, v.grad = v.data + 0.5, 0.0
    (f, values), (g, others) = made(), made()
    losses = []
    for function, leaves, data in ((f, values, lazy), (g, others, x)):
        with function.training(SGD(leaves, lr=0.1)) as step:
            losses.append([step(data) for _ in range(3)])
    assert losses[0] == losses[1] and [v.data for v in values] == [v.data for v in others]


def test_no_mean_is_taken_over_nothing():
    f = FUNCTIONS["squared"][0]
    with pytest.raises(ValueError, match="mean of zero samples is undefined"):
        f.value_and_grad(f.theta(), da.ones((0, 3)), da.ones(0))
    total = f.value_and_grad(f.theta(), da.ones((0, 3)), da.ones(0), reduction="sum")
    assert dask.compute(*total)[0] == 0.0
    assert f.map(da.ones((0, 3)), da.ones(0)).compute().shape == (0,)


def test_what_cannot_be_is_said_at_once():
    f = FUNCTIONS["squared"][0]
    x = da.from_array(X, chunks=500)
    some = [y[y > 0.0] for y in (da.from_array(T, chunks=k) for k in (500, 300))]
    for call, error, message in [
        (lambda: f.map(x, T[:7]), ValueError, "argument 1 has 7 samples, and another argument has 1500"),
        (lambda: f.map(x, 1.0), ValueError, "argument 1 needs a leading axis of samples, got the number"),
        (lambda: f.map(x, x.sum()), ValueError, "argument 1 needs a leading axis of samples, got dask"),
        (lambda: f.map(x, T, out=np.zeros(1500)), ValueError, "to_zarr"),
        (lambda: f.map(x, T, progress=True), ValueError, "ProgressBar"),
        (lambda: f(x, 1.0), TypeError, "argument 0 is a Dask collection.*compute"),
        (lambda: f.map(dask.delayed(1.0), T), TypeError, "from_delayed"),
        (lambda: f.map([x, x], T), TypeError, "a list of Dask arrays.*stack"),
        (lambda: f.map((x, x), T), TypeError, "a tuple of Dask arrays.*stack"),
        (lambda: f.map(x, T, in_axes=(5, 0)), ValueError, r"argument 0 has no axis 5 of samples: its shape is \(1500, 3\)"),
        (lambda: f.map(x[:, 0], T, in_axes="a"), TypeError, "in_axes must be the axis of samples.*'a'"),
        (lambda: f.value_and_grad(np.zeros(2), x, T), ValueError, "theta must be a flat vector of the 21 parameters"),
        (lambda: f.map(x, T, theta=np.zeros(2)), ValueError, "theta must be a flat vector of the 21 parameters"),
        (lambda: f.value_and_grad(f.theta(), x, T, reduction="all"), ValueError, "reduction must be"),
        (lambda: FUNCTIONS["looked up"][0].map(x, T, INDEX + 9).compute(), IndexError, "index from 0 to 3"),
        (lambda: f.map(T, x[x[:, 0] > 0.0]), ValueError, "argument 1 has chunks of unknown sizes, which cannot be aligned"),
        (lambda: f.map(*some), ValueError, "argument 0 has chunks of unknown sizes, which cannot be aligned"),
        (lambda: f.map(x[:, x[0] > 0.0], T), ValueError, "argument 0 has chunks of unknown sizes beside those of samples"),
        (lambda: f.map(x, some[1], in_axes=(0, None)), ValueError, "argument 1 has chunks of unknown sizes: call x.comp"),
    ]:
        with pytest.raises(error, match=message):
            call()


def test_chunks_that_are_not_of_the_size_that_their_array_says_are_refused():
    f, fast = FUNCTIONS["squared"][0], jit(squared, MODEL.parameters())
    x, t = da.from_array(X, chunks=(250, 3)), da.from_array(T, chunks=250)
    for change in (lambda x: x[:5], lambda x: np.concatenate([x, x])):
        for i, args in enumerate(((x.map_blocks(change, meta=X[:0]), t), (x, t.map_blocks(change, meta=T[:0])))):
            sums = [g.value_and_grad(g.theta(), *args)[0] for g in (f, fast)]  # where chunks are cut anew, and where not
            for lazy in (f.map(*args), *sums):
                with pytest.raises(ValueError, match=rf"argument {i} has a chunk of (5|500) samples where its .chunks say 250"):
                    lazy.compute()


def test_what_changed_outside_is_recorded_again():
    factor = [2.0]
    f = jit(lambda x: x * factor[0])
    x = da.from_array(np.arange(4.0), chunks=2)
    first = f.map(x)
    factor[0] = 3.0
    assert f.map(x).compute().tolist() == [0.0, 3.0, 6.0, 9.0]
    assert first.compute().tolist() == [0.0, 2.0, 4.0, 6.0]  # a lazy array is of the time when it was made
    w = Value(1.0)
    g = jit(lambda x: x * w)
    lazy = g.map(x)
    w.data = 5.0
    assert lazy.compute()[-1] == 3.0 and g.map(x).compute()[-1] == 15.0


def test_theta_stands_once_in_the_graph():
    model = MLP(50, [40, 1], activation="tanh", seed=1)
    f = jit(lambda x: model(x) ** 2, model.parameters())
    x = da.zeros((80, 50), chunks=(10, 50)).persist()
    for lazy in (f.value_and_grad(f.theta(), x)[1], f.map(x)):
        tasks = dict(dask.optimize(lazy)[0].__dask_graph__()).values()
        assert sum(len(cloudpickle.dumps(task)) > f.theta().nbytes > 16_000 for task in tasks) == 1


def tasks_run(*lazy):
    """The names of the tasks that run for lazy arrays."""
    names = []
    with dask.callbacks.Callback(pretask=lambda key, *_: names.append(key[0] if isinstance(key, tuple) else key)):
        dask.compute(*lazy)
    return [name for name in names if not name.startswith("finalize")]  # which some versions make a task


def test_what_makes_a_chunk_and_what_is_computed_of_it_are_one_task():
    x = da.zeros((800, 3), chunks=(100, 3)).map_blocks(np.cos)
    wide, narrow = jit(lambda x: [x[0] * x[1], x[2]]), jit(lambda x: x[0], [])
    two = jit(lambda x: {"a": x[0] * x[1], "b": x[2]})
    shared = 1  # a task with what is the same for all chunks
    assert len(tasks_run(wide.map(x))) == len(tasks_run(narrow.map(x))) == 8 + shared
    assert len(tasks_run(narrow.value_and_grad([], x)[0])) <= 8 + shared + 2  # the sum, and of it the value
    y, names = two.map(x), ["map", "cos", "zeros"]
    assert len([name for name in tasks_run(*y.values()) if name.split("-")[0] in names]) == 3 * 8
    y = wide.map(x)  # of which two things are wanted
    assert len([name for name in tasks_run(y.mean(axis=0), y.std(axis=0)) if name.split("-")[0] in names]) == 8


def test_an_array_that_comes_whole_is_made_once_and_not_for_each_chunk():
    made = []

    def weights(zeros):
        made.append(len(zeros))
        return zeros + 2.0

    w = da.zeros(5, chunks=5).map_blocks(weights, meta=np.empty(0))
    x = da.from_array(X, chunks=(300, 3))
    f = jit(lambda x, w: x[0] * w[4], [])
    for lazy in (f.map(x, w, in_axes=(0, None)), f.value_and_grad([], x, w, in_axes=(0, None))[0]):
        made.clear()
        lazy.compute()
        assert made == [5]


def test_a_function_of_a_module_travels_by_its_name():
    sent = pickling._bytes_of(found_by_name)
    assert cloudpickle.loads(zlib.decompress(sent)) is found_by_name


def test_what_another_version_has_sent_is_refused():
    from micrograd.scale import pickling

    lazy = jit(lambda x: x * 12345.0).map(da.ones(3))
    pickling._made.clear()
    (sent,) = [x for task in lazy.dask.values() for x in find(task, pickling.PickledFunction)]
    sent.version = "0.0.7"
    with pytest.raises(RuntimeError, match=r"sent by micrograd-engine 0.0.7, and this worker has .*: install one version"):
        lazy.compute()
    del sent.version  # as one pickled by a version that did not say its own
    with pytest.raises(RuntimeError, match=r"sent by another version of micrograd-engine, and this worker has .*: install one"):
        lazy.compute()


def find(task, kind):
    """The objects of a class in a task."""
    if isinstance(task, (list, tuple)):
        return [x for part in task for x in find(part, kind)]
    return [task] if isinstance(task, kind) else []


def test_without_dask_everything_else_works_and_a_line_says_what_to_install():
    program = """
import sys
for name in ("dask", "distributed", "cloudpickle"):
    sys.modules[name] = None
import numpy as np
from micrograd import jit
f = jit(lambda x: x * 2.0)
print(f.map(np.ones(3)).tolist(), [m for m in sys.modules if m.split(".")[0] in ("dask", "micrograd.scale") and sys.modules[m]])
class Lazy:
    def __dask_graph__(self):
        return {}
try:
    f.map(Lazy())
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "[2.0, 2.0, 2.0] []", done.stdout + done.stderr
    assert "micrograd-engine[scale]" in lines[1]


def test_a_compiled_call_in_a_task_takes_one_thread_unless_told_otherwise():
    pytest.importorskip("llvmlite", reason="the extra `jit` has it")
    from micrograd.scale import pickling

    for threads, wanted in ((None, 1), (2, 2)):
        f = jit(lambda x, threads=threads: x * float(threads or 0), threads=threads, backend="llvm")
        before = set(pickling._made)
        f.map(da.ones(3)).compute()
        (key,) = set(pickling._made) - before
        assert pickling._made[key].recordings.back_end.make.keywords["threads"] == wanted


def test_arrays_that_may_hold_dask_arrays_are_taken_for_what_they_hold():
    class Labelled:  # as xarray's
        def __init__(self, data):
            self.data = data

        def __dask_graph__(self):
            return self.data.__dask_graph__() if isinstance(self.data, da.Array) else None

        def __array__(self, dtype=None, copy=None):
            return np.asarray(self.data)

    f, (x, t) = FUNCTIONS["squared"]
    plain, lazy = f.map(Labelled(x), t), f.map(Labelled(da.from_array(x, chunks=(400, 3))), t)
    assert isinstance(plain, np.ndarray) and isinstance(lazy, da.Array) and np.array_equal(plain, lazy.compute())


@pytest.mark.parametrize("turned", [False, True])
def test_beside_an_array_in_a_file_a_collection_stays_lazy(turned, tmp_path):
    data, other = np.memmap(tmp_path / "x", float, "w+", shape=(6,)), da.from_array(np.arange(6.0), chunks=2)
    data[:] = 1.0
    lazy = jit(lambda x, y: x + y).map(*((other, data) if turned else (data, other)))
    assert isinstance(lazy, da.Array) and lazy.compute().tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_memory_maps_and_zarr_arrays_come_through_dask(tmp_path):
    data = np.memmap(tmp_path / "x", float, "w+", shape=X.shape)
    data[:] = X
    f, (x, t) = FUNCTIONS["squared"]
    lazy = [da.from_array(data, chunks=(400, 3))]
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    stored = zarr.create_array(tmp_path / "z", shape=X.shape, chunks=(300, 3), dtype=float)
    stored[...] = X
    lazy.append(da.from_zarr(tmp_path / "z"))
    for array in lazy:
        value, gradient = dask.compute(*f.value_and_grad(f.theta(), array, t))
        wanted = f.value_and_grad(f.theta(), x, t)
        assert value == wanted[0] and np.array_equal(gradient, wanted[1])
    with pytest.raises(ValueError, match="to_zarr"):
        f.map(lazy[0], t, out=np.zeros(1500))


def halved(x):
    """A loop that does not end on ones."""
    total = 0.0
    while x > 0.5:
        x, total = x * x, total + TABLE[1] * x
    return total + x * TABLE[1]


def positive(x):
    if x > 0.95:
        raise ValueError("too large")
    return x * TABLE[1]


@pytest.mark.parametrize("fn", [halved, positive])
def test_where_ones_do_not_do_the_first_sample_is_computed(fn):
    x = np.random.default_rng(5).uniform(0.0, 0.9, 1000)
    wanted = jit(fn).map(x)
    assert np.array_equal(jit(fn).map(chunked(x, [0, 300, 700])).compute(), wanted)
    long = da.from_array(x, chunks=300)
    assert np.array_equal(jit(fn).map(long[long > 0.3]).compute(), wanted[x > 0.3])  # of chunks whose sizes nobody knows
    late = da.from_array(np.sort(x), chunks=300)  # the first of which is empty
    assert np.array_equal(jit(fn).map(late[late > 0.5]).compute(), jit(fn).map(np.sort(x[x > 0.5])))
    beside = lambda: jit(lambda t, x, w: fn(x) * t + w[0])  # noqa: E731
    w = da.from_array(np.array([0.25]), chunks=1)
    given = beside().map(T[:1000], chunked(x, [0, 300, 700]), w, in_axes=(0, 0, None))
    assert np.array_equal(given.compute(), beside().map(T[:1000], x, [0.25], in_axes=(0, 0, None)))
    f = jit(fn, TABLE[1:2], precision="exact")
    assert dask.compute(*f.value_and_grad([0.3], long)) == f.value_and_grad([0.3], x)
    for nothing in (np.zeros(0), da.zeros(0, chunks=1)):
        with pytest.raises(
            ValueError, match=r"no sample to record the function on, and on ones in its place it (has compared|raised)"
        ):
            jit(fn).map(nothing)
    f.map(x[:1])
    assert f.map(np.zeros(0)).shape == (0,)


def test_anomalies_are_found_in_the_chunks_of_a_call_that_was_made_where_they_are_wanted():
    x = np.linspace(1.0, 2.0, 1000)
    x[700] = -1.0
    f, lazy = jit(lambda x: (TABLE[2] * x).log(), TABLE), chunked(x, [300, 700])
    results = f.map(lazy)
    with detect_anomaly():
        wanted = [f.map(lazy), f.value_and_grad(f.theta(), lazy)[0]]
        with pytest.raises(FloatingPointError, match=r"log\(-0\.6\) = nan"):
            f.backward(lazy)
    for found in wanted:
        with pytest.raises(FloatingPointError, match=r"log\(-0\.6\) = nan"):
            found.compute()
    assert np.isnan(results.compute()).sum() == 1
    for both in ((results, wanted[0]), (wanted[0], results)):  # which are not one array, as far as Dask sees
        with pytest.raises(FloatingPointError, match=r"log\(-0\.6\) = nan"):
            dask.compute(*both)


def test_what_is_sent_of_a_large_network_is_small_enough_for_dask():
    model = MLP(100, [100, 1], activation="tanh", seed=1)
    f = jit(lambda x: model(x) ** 2, model.parameters())
    value, _ = f.value_and_grad(f.theta(), da.zeros((2, 100), chunks=(1, 100)))
    assert len(cloudpickle.dumps(dict(value.dask))) < 600_000  # 1.4 million bytes of tapes, packed


@pytest.mark.parametrize("travels", [True, False])
def test_an_infinite_input_beside_a_choice(travels, monkeypatch):
    """A worker records again what the function does; where that cannot be pickled, the tape comes along."""
    lock = None if travels else threading.Lock()
    w = Value(2.0)
    f = jit(lambda x, y: where(w * x, w * x, w * x * y) if lock is None or lock else x, [w])
    x, y = np.array([1.0, 3.0, -1.0]), np.array([1.0, np.inf, 2.0])
    whole = f.value_and_grad([2.0], x, y)
    packed = []
    monkeypatch.setattr(pickling, "_bytes_of", lambda it, whole=pickling._bytes_of: packed.append(it) or whole(it))
    value, gradient = dask.compute(*f.value_and_grad([2.0], *(da.from_array(a, chunks=1) for a in (x, y))))
    assert (value, gradient.tolist()) == (whole[0], whole[1].tolist()) == (4 / 3, [2 / 3])
    assert len(packed) == 1 + (not travels)


def test_calls_that_differ_in_anything_are_computed_side_by_side():
    """Dask computes tasks of one name once."""
    w = Value(1.0)
    f = jit(lambda x, s: w * x * s[0])
    x = da.from_array(np.arange(6.0), chunks=2)
    one, two = (da.from_array(np.array([k]), chunks=1) for k in (3.0, 4.0))
    cases = [([1.0], one), ([1.0], two), ([10.0], one)]
    each = dask.compute(*[f.map(x, s, in_axes=(0, None), theta=theta) for theta, s in cases])
    assert [found[1] for found in each] == [3.0, 4.0, 30.0]
    sums = [f.value_and_grad(theta, x, s, in_axes=(0, None), reduction="sum")[0] for theta, s in cases]
    assert dask.compute(*sums) == (45.0, 60.0, 450.0)
    mean = f.value_and_grad([1.0], x, one, in_axes=(0, None))[0]
    assert dask.compute(mean, sums[0]) == (7.5, 45.0)
    k = jit(lambda x, s: w * x - s[0])
    assert [found[1] for found in dask.compute(*[g.map(x, one, in_axes=(0, None)) for g in (f, k)])] == [3.0, -2.0]
    sums = [g.value_and_grad([1.0], x, one, in_axes=(0, None), reduction="sum")[0] for g in (f, k)]
    assert dask.compute(*sums) == (45.0, -3.0)
    each = dask.compute(*[f.map(x, [s], in_axes=(0, None)) for s in (3.0, 4.0)])  # numbers, which go along with the call
    assert [found[1] for found in each] == [3.0, 4.0]
    each = dask.compute(*[f.map(x[1], in_axes=None, s=[s]) for s in (3.0, 4.0)])
    assert [found.tolist() for found in each] == [[3.0], [4.0]]


def test_sums_of_hundreds_of_chunks_are_merged_level_by_level():
    w, x = Value(2.0), np.arange(600.0)
    f = jit(lambda x: w * x, [w])
    value, gradient = dask.compute(*f.value_and_grad([2.0], da.from_array(x, chunks=1), reduction="sum"))
    assert value == 2.0 * x.sum() and gradient.tolist() == [x.sum()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lazy_arrays_say_of_which_type_their_numbers_are(dtype):
    w, x = Value(2.0), da.from_array(np.arange(6.0), chunks=2)
    f, g = jit(lambda x: w * x, [w], dtype=dtype), jit(lambda x: {"a": w * x, "b": [x, x]}, [w], dtype=dtype)
    for lazy in (f.map(x), *g.map(x).values(), *f.value_and_grad([2.0], x)):
        assert lazy.dtype == np.asarray(lazy.compute()).dtype == dtype


def test_chunks_that_take_a_path_with_new_parameters_say_so_however_often():
    a, b, c, d = values = [Value(2.0 + i) for i in range(4)]
    hidden = itertools.repeat(b)  # which nobody looks into

    def branching(x):
        return x * d if x > 0.8 else x * c if x > 0.4 else x * b if x > 0.1 else x * a

    x = np.linspace(1.0, 0.0, 4000)
    f, lazy = jit(branching), da.from_array(x, chunks=500)
    for array in (f.map(lazy), f.map(lazy, theta=[5.0]), f.value_and_grad([5.0], lazy)[0]):
        for _ in range(2):  # the process that has met them knows them then
            with pytest.raises(ValueError, match="theta has 1 numbers, and these samples took a path with new parameters"):
                array.compute()
    f = jit(branching)
    f.backward(da.from_array(x, chunks=500))
    assert list(map(id, f.parameters)) == list(
        map(id, [d, *values[:3]])
    )  # the path of ones first, others as the function has them
    with pytest.raises(ValueError, match="list the parameters in wrt"):
        jit(lambda x: x * a if x > 0.8 else x * next(hidden)).backward(lazy)


def test_a_chunk_knows_which_parameters_were_listed():
    a, b = Value(2.0), Value(3.0)
    f, x = jit(lambda x: x * a if x > 0.5 else x * b * a, [a]), da.from_array(np.linspace(1.0, 0.0, 100), chunks=30)
    with pytest.raises(ValueError, match="uses 1 leaves that are not in wrt"):
        f.map(x).compute()


RUNS = itertools.count()


def counted(x):
    next(RUNS)
    return x * TABLE[1]


def test_chunks_run_the_tapes_that_they_are_sent(monkeypatch):
    """The function is recorded for values and for gradients, sent once for each, and not run again where it arrives."""
    packed = []
    monkeypatch.setattr(pickling, "_bytes_of", lambda it, whole=pickling._bytes_of: packed.append(it) or whole(it))
    f, x = jit(counted, TABLE[1:2]), da.from_array(np.arange(100.0), chunks=30)
    before = next(RUNS)
    for _ in range(2):
        lazy = [f.map(x), *f.value_and_grad([2.0], x)]
        assert len(packed) == 2
        dask.compute(*lazy)
    assert next(RUNS) == before + 3


def test_a_change_of_a_large_table_is_seen_before_each_call():
    table, w = {k: float(k) for k in range(40)}, Value(1.0)
    f, x = jit(lambda x: w * x * table[3], [w]), da.from_array(np.ones(4), chunks=2)
    for number in (3.0, 7.0):
        table[3] = number
        assert f.map(x).compute().tolist() == [number] * 4
    for number in (5.0, 9.0):
        table[3] = number
        assert f.backward(x) == number


def test_a_process_keeps_the_functions_that_it_was_asked_for_last(monkeypatch):
    monkeypatch.setattr(pickling, "KEPT", 2)
    pickling._made.clear()
    x = da.from_array(np.ones(2), chunks=2)
    first, second, third = (jit(lambda x, k=k: x * k).map(x) for k in (2.0, 3.0, 4.0))
    for lazy in (first, second):
        lazy.compute()
    one, two = pickling._made
    first.compute()
    third.compute()
    assert len(pickling._made) == 2 and one in pickling._made and two not in pickling._made
    f = jit(lambda *xs: xs[0])
    for count in (1, 2, 3):
        f.map(*[x] * count)
    assert len(f._calls.sent) == 2


def test_what_is_sent_has_the_parameters_that_other_arguments_have_brought():
    a, b = Value(2.0), Value(3.0)
    f, x = jit(lambda x, y=None: x * a if y is None else x * b), da.from_array(np.arange(4.0), chunks=2)
    for _ in range(2):
        assert f.map(x).compute()[-1] == 6.0
        assert f.map(x, x).compute()[-1] == 9.0


def test_a_map_inside_a_recorded_function_is_refused(tmp_path):
    """Also where one argument lies on a disk, which another way takes."""
    inner, lazy = jit(lambda x, y: x * y), da.from_array(np.arange(3.0), chunks=2)
    mapped = np.memmap(tmp_path / "x", float, "w+", shape=(3,))
    for x in (np.arange(3.0), mapped):
        with pytest.raises(TypeError, match="map gives numbers, and another function is being recorded"):
            jit(lambda y, x=x: inner.map(x, lazy)[0] * y)(1.0)
