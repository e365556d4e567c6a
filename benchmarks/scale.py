"""Compiled functions on Dask: an Asian option, the overhead of a chunk, the memory of a large job, a sweep, a large data set.

    python benchmarks/scale.py                   writes benchmarks/scale.md
    python benchmarks/scale.py option memory     only these parts, and writes nothing
    python benchmarks/scale.py --brief           small sizes, to see that it runs

Clusters are processes of one thread on this machine. The option is timed on one and two of them, in turns with the same work
in NumPy, written by hand on arrays: what NumPy does not gain from a second process, the host does not give. Beside the seconds
on the clock stand those of the workers' processors, by worker: what they take where nothing else runs, if Dask keeps them busy.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import tempfile
import textwrap
import time
from pathlib import Path

import dask
import dask.array as da
import distributed
import numpy as np

from micrograd import MLP, SGD, Value, jit, maximum, mse
from micrograd.functional import value_and_grad

STEPS, STRIKE = 16, 100.0
MARKET = [100.0, 0.2, 0.05]  # spot, volatility, rate


def price(market, normals):
    """The discounted payoff of an arithmetic Asian call on one path, written one number at a time."""
    spot, volatility, rate = market
    drift, size = (rate - 0.5 * volatility * volatility) / STEPS, volatility * math.sqrt(1.0 / STEPS)
    total = 0.0
    for z in normals:
        spot = spot * (drift + size * z).exp()
        total = total + spot
    return maximum(total * (1.0 / STEPS) - STRIKE, 0.0) * (-rate).exp()


@jit
def greeks(market, normals):
    """Price, delta, vega and rho of one path."""
    value, gradient = value_and_grad(price)(market, normals)
    return [value, *gradient]


def normals_of_chunk(zeros, block_info=None):
    """Normal numbers seeded by the chunk's place: whoever computes it, and however often, they are the same."""
    place, *_ = block_info[None]["chunk-location"]
    return np.random.default_rng([2024, place]).standard_normal(block_info[None]["chunk-shape"])


def normals(paths, per_chunk):
    """A lazy array of normal numbers, `per_chunk` paths to a chunk."""
    sizes = (per_chunk,) * (paths // per_chunk) + (paths % per_chunk,) * (paths % per_chunk > 0)
    places = da.zeros((len(sizes), 1), chunks=1)
    return places.map_blocks(normals_of_chunk, chunks=(sizes, (STEPS,)), dtype=float, meta=np.empty((0, 0)))


def means(found):
    """Mean and standard error of each column of (paths, 4), computed in one pass."""
    mean, spread = dask.compute(found.mean(axis=0), found.std(axis=0))
    return mean, spread / math.sqrt(len(found))


def ours(z):
    return means(greeks.map(MARKET, z, in_axes=(None, 0)))


def by_hand(z):
    """Price and greeks of a chunk's paths, (paths, 4), in NumPy."""
    spot, volatility, rate = MARKET
    t = np.arange(1, STEPS + 1) / STEPS
    w = np.cumsum(z, axis=1) * math.sqrt(1.0 / STEPS)
    s = spot * np.exp((rate - 0.5 * volatility**2) * t + volatility * w)
    mean, discount = s.mean(axis=1), math.exp(-rate)
    payoff, alive = np.maximum(mean - STRIKE, 0.0) * discount, (mean > STRIKE) * discount
    delta = alive * mean / spot
    vega = alive * (s * (w - volatility * t)).mean(axis=1)
    rho = alive * (s * t).mean(axis=1) - payoff
    return np.stack([payoff, delta, vega, rho], axis=1)


def control(z):
    return means(z.map_blocks(by_hand, chunks=(z.chunks[0], (4,)), dtype=float, meta=np.empty((0, 0))))


def cluster(workers, **how):
    """A client of as many processes, each of one thread."""
    options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 40, **how}
    return distributed.Client(distributed.LocalCluster(**options))


def closed(client):
    client.close()
    client.cluster.close()


def timed(work, *args):
    start = time.perf_counter()
    found = work(*args)
    return time.perf_counter() - start, found


def in_turns(rounds, works):
    """A table of seconds on one and two processes, taken in turns, and what was computed, by name.

    A work is two functions of the client: one after which the processes have imported and compiled, and the one that is timed.
    """
    seconds, results = {}, {}
    for _ in range(rounds):
        for workers in (1, 2):
            client = cluster(workers)
            for name, (ready, work) in works.items():
                ready(client)
                before = client.run(time.process_time)
                took, found = timed(work, client)
                after = client.run(time.process_time)
                used = sum(after[worker] - before[worker] for worker in after) / workers
                seconds.setdefault((name, workers), []).append((took, used))
                results.setdefault(name, []).append(found)
            closed(client)
    lines = ["|  | one process | two processes | ratio |", "|---|---|---|---|"]
    for which, what in enumerate(("", ", processor time by worker")):
        for name in works:
            one, two = (statistics.median(pair[which] for pair in seconds[name, workers]) for workers in (1, 2))
            lines.append(f"| {name}{what} | {one:.2f} s | {two:.2f} s | {one / two:.2f} |")
    return lines, results


def option(brief):
    """Seconds on one and two processes, ours and NumPy's."""
    paths, per_chunk, rounds = (200_000, 20_000, 1) if brief else (10_000_000, 100_000, 3)
    z, few = normals(paths, per_chunk), normals(2 * per_chunk, per_chunk)
    works = {
        "this project": (lambda _: ours(few), lambda _: ours(z)),
        "NumPy by hand": (lambda _: control(few), lambda _: control(z)),
    }
    lines, results = in_turns(rounds, works)
    (first, *rest) = [found for each in results.values() for found in each]
    assert all(np.allclose(other, first, rtol=1e-9) for other in rest)
    columns = zip(("price", "delta", "vega", "rho"), np.transpose(first), strict=True)
    values = ", ".join(f"{name} {mean:.5f} ± {error:.5f}" for name, (mean, error) in columns)
    return [
        "## An Asian option",
        "",
        f"{paths:,} paths of {STEPS} steps, drawn in chunks of {per_chunk:,}; price and three greeks of each path, "
        f"their means and standard errors. Medians of {rounds}.",
        "",
        *lines,
        "",
        f"{values}.",
    ]


def overhead(brief):
    """Milliseconds of a chunk, beside those of an empty function that Dask runs as one task for each chunk too."""
    chunks = 100 if brief else 1000
    x = da.zeros((chunks * 256, 4), chunks=(256, 4))
    f = jit(lambda x: x[0] * x[1] + x[2] * x[3])
    w = Value(1.0)
    summed = jit(lambda x: w * x[0])
    client = cluster(1)
    empty = x.map_blocks(nothing, chunks=(x.chunks[0], (1,)), dtype=float, meta=np.empty((0, 0)))
    f.map(x).compute(), empty.compute(), dask.compute(*summed.value_and_grad([1.0], x))
    clock, processor = [], []
    for _ in range(1 if brief else 5):
        rows = []
        for run in (empty.compute, f.map(x).compute, lambda: dask.compute(*summed.value_and_grad([1.0], x))):
            before = time.process_time() + sum(client.run(time.process_time).values())  # the scheduler is in this process
            took = timed(run)[0]
            used = time.process_time() + sum(client.run(time.process_time).values()) - before
            rows.append((1e3 * took / chunks, 1e3 * used / chunks))
        for times, column in zip((clock, processor), zip(*rows, strict=True), strict=True):
            times.append(column)
    closed(client)
    found = []
    for times in (clock, processor):
        base, mapped, reduced = map(statistics.median, zip(*times, strict=True))
        found.append(
            f"{base:.2f} ms for an empty function, {mapped:.2f} ms for `f.map`, {reduced:.2f} ms for `f.value_and_grad`"
        )
    return [
        "## A chunk",
        "",
        f"{chunks:,} chunks of 256 samples of 4 numbers on one process: {found[0]} with its tree of sums, for each chunk. In "
        f"processor time of worker, scheduler and client together, which other work on the host lengthens less: {found[1]}. "
        f"Medians of {len(clock)}.",
    ]


def nothing(x):
    return x[:, :1]


def peak_of_this_process():
    """The most memory that it has had, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def synthetic(zeros, block_info=None):
    place, *_ = block_info[None]["chunk-location"]
    return np.random.default_rng(place).random(block_info[None]["chunk-shape"])


def with_peaks(work, **how):
    """What a work on two processes took, in words, and what it gave."""
    client = cluster(2, **how)
    took, found = timed(work)
    peaks = sorted(client.run(peak_of_this_process).values())
    closed(client)
    return f"{took:.0f} s, peaks of {peaks[0]:.0f} and {peaks[1]:.0f} MB", found


def memory(brief):
    """The peak of each of two workers in a sum over 10 GB."""
    chunks, rows = (20 if brief else 640), 125_000  # 16 MB each
    x = da.zeros((chunks, 1), chunks=1)
    x = x.map_blocks(synthetic, chunks=((rows,) * chunks, (16,)), dtype=float, meta=np.empty((0, 0)))
    model = MLP(16, [8, 1], activation="tanh", seed=1)
    f = jit(lambda x: (model(x) - x[0]) ** 2, model.parameters())
    took, _ = with_peaks(lambda: dask.compute(*f.value_and_grad(f.theta(), x)))
    return [
        "## Memory",
        "",
        f"Value and gradient of a network over {x.nbytes / 1e9:.1f} GB, drawn in {chunks} chunks, on two processes: {took}.",
    ]


def trained(seed):
    """The loss of a small network after 200 steps, from the weights of a seed."""
    x = np.linspace(-1.0, 1.0, 64)
    model = MLP(1, [8, 8, 1], activation="tanh", seed=seed)
    loss = jit(lambda x, t: mse([model([x])], [t]))
    with loss.training(SGD(model.parameters(), lr=0.1, momentum=0.9)) as step:
        for _ in range(200):
            last = step(x, np.sin(3.0 * x))
    return last


def counted(seed):
    """As long as one of these takes, in plain Python: what the host gives a second process."""
    return sum(i * i for i in range(600_000 + seed))


def seeds(brief):
    """A hundred networks of different seeds: one task each, whose machine code a process makes once."""
    count, rounds = (4, 1) if brief else (100, 3)
    lines, results = in_turns(
        rounds,
        {
            "this project": (lambda client: client.run(trained, -1), lambda client: swept(client, trained, count)),
            "plain Python": (lambda client: None, lambda client: swept(client, counted, count)),
        },
    )
    losses = results["this project"]
    assert all(found == losses[0] for found in losses)
    return [
        "## A sweep",
        "",
        f"{count} networks of 1-8-8-1, 200 steps each, and as many tasks of plain Python. Medians of {rounds}; losses "
        f"from {min(losses[0]):.2g} to {max(losses[0]):.2g}, the same bits every time.",
        "",
        *lines,
    ]


def swept(client, work, count):
    return client.gather(client.map(work, range(count), pure=False))


def large(brief):
    """Epochs of full gradients over a memory map that is larger than what a worker may have."""
    rows = 100_000 if brief else 24_000_000
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "data")
        data = np.memmap(file, np.float32, "w+", shape=(rows, 32))
        rng = np.random.default_rng(0)
        for start in range(0, rows, 500_000):
            data[start : start + 500_000] = rng.random((min(500_000, rows - start), 32), np.float32)
        data.flush()
        size, per_chunk = data.nbytes, 100_000
        del data
        starts = da.from_array(np.arange(0, rows, per_chunk)[:, None], chunks=1)
        chunks = (per_chunk,) * (rows // per_chunk), (32,)
        x = starts.map_blocks(read, file, rows, per_chunk, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0)))
        model = MLP(31, [16, 1], activation="tanh", seed=1)
        f = jit(lambda x: (model(x[:31]) - x[31]) ** 2, model.parameters(), dtype="float32")
        with f.training(SGD(model.parameters(), lr=0.05, momentum=0.9)) as step:
            took, losses = with_peaks(lambda: [step(x) for _ in range(3)], memory_limit="1GB")
    return [
        "## Data larger than memory",
        "",
        f"Three steps of 31-16-1 on all of a memory map of {size / 1e9:.2f} GB, on two workers of at most 1 GB: {took}, "
        f"losses {', '.join(f'{x:.5f}' for x in losses)}.",
    ]


def read(start, file, rows, count):
    """One chunk of a memory map: the worker opens the file itself, and nothing of it is sent."""
    first = int(start[0, 0])
    return np.array(np.memmap(file, np.float32, "r", shape=(rows, 32))[first : first + count])


PARTS = {"option": option, "overhead": overhead, "memory": memory, "seeds": seeds, "large": large}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}; all of them where none is named")
    parser.add_argument("--brief", action="store_true", help="small sizes, and nothing is written")
    options = parser.parse_args()
    lines = [
        "# Beyond one process",
        "",
        f"`python benchmarks/scale.py` on {os.cpu_count()} cores, Python {platform.python_version()}, dask {dask.__version__}, "
        f"NumPy {np.__version__}; load of the host at the start {os.getloadavg()[0]:.1f}. Workers are processes of one thread.",
    ]
    lines = [textwrap.fill(line, 128) for line in lines]
    for name in options.parts or PARTS:
        found = PARTS[name](options.brief)
        found = [line if line.startswith("|") else textwrap.fill(line, 128) for line in found]
        lines += ["", *found]
        print("\n".join(found), flush=True)
    if not options.parts and not options.brief:
        Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
