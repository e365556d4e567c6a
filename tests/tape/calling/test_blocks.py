"""map() in blocks: arrays on a disk, results that go somewhere, and the memory that it takes."""

import itertools
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from micrograd import SGD, Value, jit
from micrograd.tape.back_ends import reference
from micrograd.tape.calling import blocks
from micrograd.tape.calling.partial_sums import merged, subtrees


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(blocks, "BYTES", 1 << 14)


@pytest.fixture
def on_disk(tmp_path):
    def made(name, x):
        array = np.memmap(tmp_path / name, x.dtype, "w+", shape=x.shape)
        array[:] = x
        return array

    return made


X = np.random.default_rng(0).normal(size=(5003, 3))
S = np.arange(5003.0)


@pytest.mark.parametrize("precision", ["fast", "exact"])
def test_blocks_give_the_bits_of_one_call(small, on_disk, precision):
    f = jit(lambda x, s: {"a": (x[0] * s).exp(), "b": [x[1].tanh(), x[2]], "kind": "text"}, precision=precision)
    wanted = f.map(X, S)
    out = {"a": np.zeros(5003), "b": on_disk("b", np.zeros((5003, 2))), "kind": "text"}
    assert f.map(on_disk("x", X), S, out=out) is out
    found = f.map(on_disk("x", X), S)
    turned = on_disk("xt", X.T.copy())
    for results in (out, found, f.map(turned, S, in_axes=(1, 0)), f.map(turned, S, in_axes=-1)):
        assert results["kind"] == "text" and all(np.array_equal(results[k], wanted[k]) for k in "ab")


def test_lists_copies_and_arguments_by_name_go_along(small, on_disk):
    f = jit(lambda x, s: x[0] * s)
    wanted = f.map(X, S)
    x = on_disk("x", X)
    for args, named, axes in [
        ((x, S.tolist()), {}, 0),
        ((x.copy(), S), {}, 0),  # which is of the same class, and in no file
        ((x,), {"s": on_disk("s", S)}, 0),
        ((on_disk("xt", X.T.copy()), S), {}, (1, 0)),
    ]:
        assert np.array_equal(f.map(*args, in_axes=axes, **named), wanted)
    turned = on_disk("xt", X.T.copy())
    g = jit(lambda x, y: x[0] * y[1])
    assert np.array_equal(g.map(turned, y=turned, in_axes=1), X[:, 0] * X[:, 1])
    with pytest.raises(ValueError, match="argument 0 has no axis 5 of samples"):
        g.map(turned, y=turned, in_axes=5)


@pytest.mark.parametrize("size", [1, 1 << 13])
def test_blocks_of_a_sum_are_no_smaller_than_its_leaves(size, on_disk, monkeypatch):
    monkeypatch.setattr(blocks, "BYTES", size)
    w = Value(2.0)
    f = jit(lambda x: w * x[0] * x[1], [w], precision="exact")
    found, wanted = (f.value_and_grad([2.0], x) for x in (on_disk("x", X), X))
    assert found[0] == wanted[0] and found[1].tolist() == wanted[1].tolist()


class Stored:
    """An array of a file format that has chunks."""

    dtype = np.dtype(float)

    def __init__(self, *shape):
        self.shape, self.ndim, self.chunks = shape, len(shape), tuple(d // 10 for d in shape)


class Lazy(Stored):
    def __dask_graph__(self):
        return {}


class Filed(Stored):
    """One that can be read; it notes how many samples were read each time."""

    def __init__(self, array):
        super().__init__(*array.shape)
        self.array, self.read = array, []

    def __getitem__(self, at):
        self.read.append(len(self.array[at]))
        return self.array[at]


def test_a_sum_over_no_samples_in_a_file_is_zero():
    w = Value(2.0)
    f = jit(lambda x: w * x[0], [w], precision="exact")
    value, gradient = f.value_and_grad([2.0], Filed(X[:0]), reduction="sum")
    assert value == 0.0 and gradient.tolist() == [0.0]


@pytest.mark.parametrize(("size", "chunk", "most"), [(1, 500, 256), (1, 1200, 1024), (1 << 15, 500, 1024)])
def test_a_sum_reads_about_a_chunk_at_a_time_or_what_the_memory_of_a_block_holds(size, chunk, most, monkeypatch):
    monkeypatch.setattr(blocks, "BYTES", size)
    w, x = Value(2.0), Filed(X)
    x.chunks = chunk, 3
    jit(lambda x: w * x[0], [w]).backward(x)
    assert x.read[0] == 1 and max(x.read) == most  # the first for the recording


@pytest.mark.parametrize("units", [*range(1, 14), 37, 64])
def test_sums_of_parts_in_any_order_are_the_sum_of_all(units):
    rng = np.random.default_rng(units)
    leaves = list(rng.normal(size=(units, 1)))
    assert len([*subtrees(0, units, units)]) == 1
    for _ in range(8):
        ends = sorted({0, units, *rng.integers(0, units, rng.integers(4)).tolist()})
        forests, covered = [], []
        for first, end in itertools.pairwise(ends):
            nodes = [*subtrees(first, end - first, units)]
            covered += [unit for _, _, at, after in nodes for unit in range(at, after)]
            forests.append({(level, i): reference.paired(leaves[at:after]) for level, i, at, after in nodes})
            assert len(nodes) <= 2 * units.bit_length()
        assert covered == [*range(units)]
        ((_, found),) = merged([forests[i] for i in rng.permutation(len(forests))], units).items()
        assert found == reference.paired(leaves)
    (total,) = merged([{(0, i): np.array([1.7e308])} for i in range(units)], units).values()
    assert total == (np.inf if units > 1 else 1.7e308)


@dataclass
class Chunked:
    chunks: float


def test_a_class_with_a_field_of_the_name_chunks_is_no_file(small, on_disk):
    f = jit(lambda p, x: p.chunks * x[0])
    assert np.array_equal(f.map(Chunked(S), on_disk("x", X)), S * X[:, 0])


def test_how_large_blocks_are(monkeypatch, on_disk):
    assert blocks.on_disk(Stored(1)) and not blocks.on_disk(Lazy(1)) and not blocks.on_disk(np.ones(1))
    for axis, size, chunk in ((0, 8 * 70, 5), (1, 8 * 50, 7)):
        sources = blocks._Sources([Stored(50, 70)], {}, axis)
        assert (sources.bytes, sources.chunks) == (size, chunk)
    for chunks in (None, True, (5,)):  # as of an HDF5 data set that has none, or of what else may be called so
        stored = Stored(50, 70)
        stored.chunks = chunks
        assert blocks._Sources([stored], {}, 0).chunks == 1
    cuts = lambda *how: list(blocks._cuts(*how))  # noqa: E731
    assert cuts(0, 8, 1) == [(0, 0)] and cuts(100, 1 << 40, 1) == [(0, 100)]
    assert cuts(1000, 1 << 40, 1) == [(0, 256), (256, 512), (512, 1000)]  # no block has few samples
    assert cuts(1000, 1 << 40, 100) == [(0, 200), (200, 400), (400, 600), (600, 1000)]  # whole chunks
    assert cuts(1000, 1 << 40, 300) == [(0, 300), (300, 600), (600, 1000)]
    monkeypatch.setattr(blocks, "BYTES", 1 << 20)
    sizes = []

    def run(args, named):
        sizes.append(len(args[0]))
        return np.zeros((len(args[0]), 64))

    for out in (None, np.zeros((5003, 64))):  # which counts too
        sizes.clear()
        blocks.in_blocks(run, [on_disk("x", X)], {}, 0, out, False)
        assert sizes == ([5003] if out is None else [1792, 1792, 1419])


def test_what_does_not_fit_is_said_before_anything_is_written(small, on_disk):
    f = jit(lambda x, s: x[0] * s)
    x, out = on_disk("x", X), np.full(5003, 7.0)
    for call, message in [
        (lambda: f.map(x, S[:9], out=out), "argument 1 has 9 samples, and another argument has 5003"),
        (lambda: f.map(x, S, out=out[:-1]), r"shapes \[\(5003,\)\], got \[\(5002,\)\]"),
        (lambda: f.map(x, S, out=[out]), "of the results' structure"),
        (lambda: f.map(x, 2.0, out=out), "argument 1 needs a leading axis of samples"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    whole = np.full(5003, 7)
    with pytest.raises(TypeError, match="out must have arrays of floats, got one of int64, where results would be cut off"):
        f.map(x, S, out=whole)
    assert (out == 7.0).all() and (whole == 7).all()
    assert np.array_equal(f.map(x, 2.0, in_axes=(0, None), out=out), X[:, 0] * 2.0)
    assert f.map(x[:0], S[:0], out=out[:0]).shape == (0,)


@pytest.mark.parametrize("bends", [False, True])
def test_sums_over_what_lies_on_a_disk_have_the_bits_of_one_sum(small, on_disk, bends):
    w = [Value(0.5), Value(-0.25), Value(2.0)]

    def loss(x, s):
        straight = (w[0] * x[0] + w[1] * x[1] - s) ** 2
        return straight + w[2] * x[2] if bends and x[2] > 3.0 else straight  # with a parameter that the first blocks lack

    def made():
        return jit(loss, None if bends else w[:2], precision="exact")

    x, s = on_disk("x", X), on_disk("s", S)
    wanted = made().backward(X, S)
    gradient = [v.grad for v in w]
    for args, axes in (((x, s), 0), ((x, S), 0), ((on_disk("xt", X.T.copy()), s), (1, 0))):
        for v in w:
            v.grad = 0.0
        f = made()
        assert f.backward(*args, in_axes=axes) == wanted and [v.grad for v in w] == gradient
        for reduction in ("mean", "sum"):
            value, g = f.value_and_grad(f.theta(), *args, in_axes=axes, reduction=reduction)
            value_in_memory, g_in_memory = f.value_and_grad(f.theta(), X, S, reduction=reduction)
            assert value == value_in_memory and np.array_equal(g, g_in_memory)
    inside = jit(lambda d: loss(d["x"], d["s"]), w[:2] if not bends else w, precision="exact")
    sizes = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_let_go", lambda array: sizes.append(len(array)))
        assert inside.backward({"x": x, "s": s}) == wanted and len(sizes) > 4
    losses = []
    for data in ((X, S), (x, s)):
        start = [v.data for v in w]
        f = made()
        with f.training(SGD(w if bends else w[:2], lr=1e-8)) as step:
            losses.append([step(*data) for _ in range(3)])
        for v, before in zip(w, start, strict=True):
            v.data = before
    assert losses[0] == losses[1]
    with pytest.raises(ValueError, match="argument 1 has 9 samples, and another argument has 5003"):
        f.backward(x, S[:9])
    with pytest.raises(ValueError, match="reduction must be 'mean' or 'sum', got 'max'"):
        f.value_and_grad(f.theta(), x, s, reduction="max")


def test_what_a_map_of_a_file_keeps_to_itself_stays(small, on_disk, tmp_path):
    """Pages of a memory map of mode "c" are in no file: to let go of them would lose them."""
    on_disk("x", X)
    x, out = (np.memmap(tmp_path / "x", float, "c", shape=shape) for shape in (X.shape, (5003,)))
    x[:, 0] = 7.0
    f = jit(lambda x: x[0] * 2.0)
    f.map(x, out=out)
    assert (x[:, 0] == 7.0).all() and (out == 14.0).all()


def test_zarr_is_read_and_written_chunk_by_chunk(small, tmp_path):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    x = zarr.create_array(tmp_path / "x", shape=X.shape, chunks=(300, 3), dtype=float)
    x[...] = X
    out = zarr.create_array(tmp_path / "out", shape=(5003,), chunks=(300,), dtype=float)
    f = jit(lambda x, w: x[0] * w[0] + x[1] * w[1])
    f.map(x, [2.0, 3.0], in_axes=(0, None), out=out)
    assert np.array_equal(out[...], f.map(X, [2.0, 3.0], in_axes=(0, None)))
    few, weights = (
        zarr.create_array(tmp_path / name, shape=(3, 3)[:k], chunks=(2, 2)[:k], dtype=float)
        for name, k in (("few", 2), ("w", 1))
    )
    few[...], weights[...] = X[:3], np.array([2.0, 3.0, 0.0])
    assert np.array_equal(f.map(few, weights, in_axes=(0, None)), out[...][:3])
    v = Value(2.0)
    g = jit(lambda x: (v * x[0] - x[1]) ** 2, precision="exact")
    assert g.value_and_grad([2.0], x) == g.value_and_grad([2.0], X)


def test_progress_is_shown_where_tqdm_is_and_not_missed_where_not(small, capfd, monkeypatch):
    f = jit(lambda x: x[0])
    assert np.array_equal(f.map(X, progress=True), X[:, 0])
    if "tqdm" in sys.modules:
        assert "5.00k/5.00k" in capfd.readouterr().err
        f.map(X[:10], progress=True)  # in one block
        assert "10.0/10.0" in capfd.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert np.array_equal(f.map(X, progress=True), X[:, 0]) and capfd.readouterr().err == ""


PROGRAM = """
import sys
import numpy as np
from micrograd import Value, jit
n = 30_000_000
x = np.memmap(sys.argv[1], np.float32, "w+", shape=(n, 2))  # 240 MB, of zeros that no disk holds
out = np.memmap(sys.argv[2], np.float64, "w+", shape=(n,))
f = jit(lambda x: x[0] + x[1] * 2.0 + 1.0)
f.map(np.zeros((300, 2)))
peak = lambda: int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
before = peak()
f.map(x, out=out)
print(peak() - before, out[-1])
w = Value(2.0)
g = jit(lambda x: (w * x[0] + 1.0) ** 2, [w])
g.value_and_grad([2.0], np.zeros((300, 2)))
before = peak()
value, _ = g.value_and_grad([2.0], x)
print(peak() - before, value)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_that_of_a_block(tmp_path):
    command = [sys.executable, "-c", PROGRAM, tmp_path / "x", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    grown, last, grown_by_sum, mean = map(float, done.stdout.split())
    assert last == 1.0 and grown < 160.0, done.stdout + done.stderr  # of 480 MB
    assert mean == 1.0 and grown_by_sum < 100.0, done.stdout  # of 240 MB


def test_results_are_not_written_to_arrays_of_other_types():
    class Elsewhere:
        shape, dtype = (3,), "torch.float32"

    with pytest.raises(TypeError, match=r"^out must have arrays of NumPy's own types, got a Elsewhere"):
        jit(lambda x: x * 2.0).map(np.ones(3), out=Elsewhere())
