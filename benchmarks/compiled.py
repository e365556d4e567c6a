"""Compiled scalar code beside its peers: the same work, in one run, on one core, checked equal before it is timed.

    python benchmarks/compiled.py                       with torch, jax, casadi and original, each in an environment of its own
    python benchmarks/compiled.py --peer torch          with one of them
    python benchmarks/compiled.py --peer jax=PYTHON     in an environment that is there already

Each peer runs in a process pinned to one core (JAX also on two). A process reads the
problems from a file, answers with the value and the gradient that it finds, and only when they agree is it timed, in
rounds that alternate between the peers: by processor time on the one core, by the clock for JAX on two. The
table goes to standard output and to the README, the plot beside this file.

The work is `value_and_grad(theta, X, y)` in float64: the mean loss over the samples and its gradient with respect to the
flat vector of all weights, and for the small network also a whole step of gradient descent.

    demo      MLP(2, [16, 16, 1]), relu, hinge loss, 128 points of two moons
    digits    MLP(64, [32, 10]), relu, cross-entropy, scikit-learn's 1,797 digits at once
    mnist     MLP(784, [128, 10]), relu, cross-entropy, 256 random images of MNIST's size
    backward  the demo network's gradient by backward(): parameters read from Values, gradients added into them

The problems of `formulas.py` follow in a table of their own; C by hand, compiled with -O3 -march=native -ffast-math, takes
part where the machine has a compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import formulas
import numpy as np
import peers

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- benchmarks/compiled.py writes from here -->", "<!-- benchmarks/compiled.py writes to here -->"
SIZES = {"demo": [2, 16, 16, 1], "digits": [64, 32, 10], "mnist": [784, 128, 10]}
# the problem that each task is about
TASKS = {"demo": "demo", "digits": "digits", "mnist": "mnist", "step": "demo", "backward": "demo"}
RATE = 0.01  # learning rate of the step
NAMES = {
    "ours-numpy": "this project, NumPy back end",
    "ours-llvm": "this project, LLVM back end",
    "ours-llvm-2": "this project, LLVM back end, two cores",
    "ours-eager": "this project, eager",
    "c": "C by hand",
    "by-hand": "NumPy by hand",
    "torch": "PyTorch",
    "jax": "JAX jit",
    "jax-2": "JAX jit, two cores",
    "casadi": "CasADi SX",
    "original": "original micrograd",
}


# -- the problems


def problems() -> dict[str, np.ndarray]:
    """Weights (each neuron's, then its bias), inputs and targets of every problem, as one dictionary of arrays."""
    from sklearn.datasets import load_digits, make_moons

    rng = np.random.default_rng(0)
    X, y = make_moons(128, noise=0.1, random_state=0)
    digits = load_digits()
    data = {
        "demo": (X, 2.0 * y - 1.0),
        "digits": (digits.data / 16.0, digits.target),
        "mnist": (rng.random((256, 784)), rng.integers(0, 10, 256)),
    }
    found = {}
    for name, (X, y) in data.items():
        sizes = SIZES[name]
        count = sum(o * (i + 1) for i, o in pairwise(sizes))
        found |= {f"{name}_X": X, f"{name}_y": y, f"{name}_theta": rng.uniform(-1, 1, count) / np.sqrt(sizes[0])}
    return found | {f"{name}_rows": rows for name, rows in formulas.problems().items()}


def matrices(theta, sizes):
    """The weight matrices, (outputs, inputs + 1), as views of a flat vector."""
    at = 0
    for i, o in pairwise(sizes):
        yield theta[at : at + o * (i + 1)].reshape(o, i + 1)
        at += o * (i + 1)


# -- the peers: for each, a function of (task, theta, X, y) that gives a call to time and one that gives (value, gradient)


def ours(backend):
    import micrograd
    from micrograd.tape import jit

    def prepare(task, theta, X, y):
        name = TASKS[task]
        sizes = SIZES[name]
        model = micrograd.MLP(sizes[0], sizes[1:], seed=0)
        for p, x in zip(model.parameters(), theta.tolist(), strict=True):
            p.data = x
        loss = micrograd.hinge if name == "demo" else micrograd.cross_entropy
        f = jit(lambda x, t: loss(model(x), t), backend=backend, wrt=model.parameters())
        if task == "step":
            training = f.training(micrograd.SGD(model.parameters(), lr=RATE))
            step = training.__enter__()
            return lambda: step(X, y), lambda: (step(X, y), (theta - step.data) / RATE)
        if task == "backward":
            return lambda: f.backward(X, y), lambda: (f.backward(X, y), np.array([p.grad for p in model.parameters()]))
        return lambda: f.value_and_grad(theta, X, y), lambda: f.value_and_grad(theta, X, y)

    return prepare


def ours_eager():
    import micrograd

    def prepare(task, theta, X, y):
        name = TASKS[task]
        if task not in ("demo", "step"):
            return None
        model = micrograd.MLP(2, SIZES[name][1:], seed=0)
        for p, x in zip(model.parameters(), theta.tolist(), strict=True):
            p.data = x
        points, targets = X.tolist(), y.tolist()
        optimiser = micrograd.SGD(model.parameters(), lr=RATE)

        def call():
            loss = micrograd.hinge([model(x) for x in points], targets)
            model.zero_grad()
            loss.backward()
            if task == "step":
                optimiser.step()
            return loss.data, np.array([p.grad for p in model.parameters()])

        return call, call

    return prepare


def by_hand():
    def value_and_grad(theta, X, y, sizes):
        weights, gradient = list(matrices(theta, sizes)), np.empty_like(theta)
        inputs, n = [X], len(X)
        for W in weights[:-1]:
            inputs.append(np.maximum(inputs[-1] @ W[:, :-1].T + W[:, -1], 0.0))
        W = weights[-1]
        out = inputs[-1] @ W[:, :-1].T + W[:, -1]
        if sizes[-1] == 1:
            margin = 1.0 - y * out[:, 0]
            value = np.maximum(margin, 0.0).mean()
            delta = ((margin > 0.0) * y * (-1.0 / n))[:, None]
        else:
            top = out.max(axis=1, keepdims=True)
            delta = np.exp(out - top)
            total = delta.sum(axis=1, keepdims=True)
            rows = np.arange(n)
            value = (np.log(total) + top).mean() - out[rows, y].mean()
            delta /= total
            delta[rows, y] -= 1.0
            delta /= n
        for W, G, a in reversed(list(zip(weights, matrices(gradient, sizes), inputs, strict=True))):
            G[:, :-1] = delta.T @ a
            G[:, -1] = delta.sum(axis=0)
            if a is not X:
                delta = (delta @ W[:, :-1]) * (a > 0.0)
        return value, gradient

    def prepare(task, theta, X, y):
        sizes = SIZES[TASKS[task]]
        if task == "backward":
            return None
        if task != "step":
            return (lambda: value_and_grad(theta, X, y, sizes),) * 2
        moving = theta.copy()

        def step():
            value, gradient = value_and_grad(moving, X, y, sizes)
            moving[:] -= RATE * gradient
            return value, gradient

        return step, step

    return prepare


def torch_peer():
    import torch

    torch.set_num_threads(1)

    def prepare(task, theta, X, y):
        if task == "backward":
            return None
        name = TASKS[task]
        sizes = SIZES[name]
        layers: list = []
        for i, o in pairwise(sizes):
            layers += [torch.nn.Linear(i, o, dtype=torch.float64), torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers[:-1])
        with torch.no_grad():
            for linear, W in zip(layers[::2], matrices(theta, sizes), strict=True):
                linear.weight.copy_(torch.tensor(W[:, :-1]))
                linear.bias.copy_(torch.tensor(W[:, -1]))
        inputs, targets = torch.tensor(X), torch.tensor(y)
        optimiser = torch.optim.SGD(model.parameters(), lr=RATE, foreach=True)

        def call():
            optimiser.zero_grad()
            out = model(inputs)
            if name == "demo":
                loss = torch.relu(1.0 - targets * out[:, 0]).mean()
            else:
                loss = torch.nn.functional.cross_entropy(out, targets)
            loss.backward()
            if task == "step":
                optimiser.step()
            return loss

        def answer():
            value = call().item()
            parts = [torch.cat([m.weight.grad, m.bias.grad[:, None]], dim=1).numpy().ravel() for m in layers[::2]]
            return value, np.concatenate(parts)

        return call, answer

    return prepare


def jax_peer():
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def prepare(task, theta, X, y):
        if task == "backward":
            return None
        name = TASKS[task]
        sizes = SIZES[name]

        def loss(theta, X, y):
            a = X
            weights = list(matrices(theta, sizes))
            for W in weights[:-1]:
                a = jax.nn.relu(a @ W[:, :-1].T + W[:, -1])
            out = a @ weights[-1][:, :-1].T + weights[-1][:, -1]
            if name == "demo":
                return jax.nn.relu(1.0 - y * out[:, 0]).mean()
            return (jax.scipy.special.logsumexp(out, axis=1) - out[jnp.arange(len(y)), y]).mean()

        both = jax.value_and_grad(loss)
        inputs, targets, start = jnp.asarray(X), jnp.asarray(y), jnp.asarray(theta)
        if task != "step":
            compiled = jax.jit(both)
            return (lambda: jax.block_until_ready(compiled(start, inputs, targets)),) * 2
        moving = [start]

        def update(theta, X, y):
            value, gradient = both(theta, X, y)
            return value, theta - RATE * gradient

        compiled = jax.jit(update, donate_argnums=0)

        def step():
            value, moving[0] = jax.block_until_ready(compiled(moving[0], inputs, targets))
            return value

        return step, lambda: both(start, inputs, targets)

    return prepare


def casadi_peer():
    import casadi

    def prepare(task, theta, X, y):
        if task != "demo":
            return None
        sizes = SIZES["demo"]
        p, x, t = casadi.SX.sym("p", len(theta)), casadi.SX.sym("x", 2), casadi.SX.sym("t")
        a, at = [x[0], x[1]], 0
        for k, (i, o) in enumerate(pairwise(sizes)):
            z = []
            for _ in range(o):
                total = p[at + i]
                for j in range(i):
                    total = total + p[at + j] * a[j]
                z.append(total)
                at += i + 1
            a = z if k == len(sizes) - 2 else [casadi.fmax(v, 0.0) for v in z]
        loss = casadi.fmax(1.0 - t * a[0], 0.0)
        one = casadi.Function("one", [p, x, t], [loss, casadi.gradient(loss, p)])
        every = one.map(len(X))
        inputs, targets = casadi.DM(X.T), casadi.DM(y).T
        where = casadi.DM(theta)

        def call():
            losses, gradients = every(where, inputs, targets)
            return casadi.sum2(losses) / len(X), casadi.sum2(gradients) / len(X)

        return call, lambda: tuple(np.array(found).ravel() if i else float(found) for i, found in enumerate(call()))

    return prepare


def original_peer():
    from micrograd.engine import Value
    from micrograd.nn import MLP

    if hasattr(Value, "rule"):
        raise SystemExit("this interpreter has this project where the original micrograd is wanted")

    def prepare(task, theta, X, y):
        if task not in ("demo", "step"):
            return None
        model = MLP(2, [16, 16, 1])
        for p, x in zip(model.parameters(), theta.tolist(), strict=True):
            p.data = x
        points, targets = X.tolist(), y.tolist()

        def call():
            scores = [model(list(map(Value, x))) for x in points]
            losses = [(1 + -t * s).relu() for s, t in zip(scores, targets, strict=True)]
            loss = sum(losses) * (1.0 / len(losses))
            model.zero_grad()
            loss.backward()
            if task == "step":
                for p in model.parameters():
                    p.data -= RATE * p.grad
            return loss.data, np.array([p.grad for p in model.parameters()])

        return call, call

    return prepare


PEERS = {
    "ours-numpy": lambda: ours("numpy"),
    "ours-llvm": lambda: ours("llvm"),
    "c": formulas.c_peer,
    "ours-eager": ours_eager,
    "by-hand": by_hand,
    "torch": torch_peer,
    "jax": jax_peer,
    "casadi": casadi_peer,
    "original": original_peer,
}


# -- one peer's process


def answer(peer: str, file: str, seconds: float) -> None:
    """Read the problems, and work through those that the peer takes part in."""
    data = np.load(file)
    clock = time.perf_counter if peer.endswith("-2") else time.process_time  # on one core, what others run does not count
    peer = peer.removesuffix("-2")
    networks = PEERS[peer]()
    for task, name in TASKS.items():
        timed(task, clock, networks, (task, *(data[f"{name}_{part}"] for part in ("theta", "X", "y"))), seconds)
    if peer in formulas.PEERS:
        prepare = formulas.PEERS[peer]()
        for task in formulas.TASKS:
            timed(task, clock, prepare, (task, data[f"{task}_rows"]), seconds)


def timed(task: str, clock, prepare, problem, seconds: float) -> None:
    """Print one line, the value and the gradient, and, once told that they agree, another one, the times."""
    start = time.perf_counter()
    pair = prepare(*problem)
    if pair is None:
        return
    call, check = pair
    found = check()
    value, gradient = found if isinstance(found, tuple) else (0.0, found)
    first = time.perf_counter() - start
    answered = {"task": task, "value": float(value), "gradient": np.asarray(gradient).tolist(), "first": first}
    print(json.dumps(answered), flush=True)
    if sys.stdin.readline().strip() != "agreed":
        return
    start = time.perf_counter()
    call()
    once = time.perf_counter() - start
    repeats = max(1, int(0.02 / max(once, 1e-7)))
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < until:
        start = clock()
        for _ in range(repeats):
            call()
        times.append((clock() - start) / repeats)
    print(json.dumps(times), flush=True)


def ask(peer: str, python: str, file: str, seconds: float, expected: dict, cores: str) -> dict[str, list[float]]:
    """One round of a peer: the times of each of its tasks, in a fresh process on the given cores."""
    environment = dict(os.environ)
    threads = str(len(cores.split(",")))
    if not peer.startswith("ours"):
        environment.pop("PYTHONPATH", None)  # the original has this project's import name
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    command = ["taskset", "-c", cores, python, __file__, "--answer", peer, "--file", file, "--seconds", str(seconds)]
    found = {}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            got = json.loads(line)
            value, gradient = expected[got["task"]]
            if gradient is None:
                expected[got["task"]] = value, gradient = got["value"], got["gradient"]
            if not (
                np.isclose(got["value"], value, rtol=1e-9) and np.allclose(got["gradient"], gradient, rtol=1e-7, atol=1e-10)
            ):
                raise SystemExit(f"{peer} does not agree on {got['task']}: value {got['value']}, expected {value}")
            process.stdin.write("agreed\n")
            process.stdin.flush()
            found[got["task"]] = json.loads(process.stdout.readline())
        if process.wait():
            raise SystemExit(f"{peer} failed:\n{process.stderr.read()}")
    return found


# -- tables and the plot


def spread(times: list[float]) -> tuple[float, float, float]:
    """Median, and the quartiles around it."""
    low, middle, high = statistics.quantiles(times, n=4)
    return middle, low, high


def shown(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale or unit == "µs":
            return f"{seconds / scale:.3g} {unit}" if seconds / scale < 1000 else f"{seconds / scale:,.0f} {unit}"
    raise AssertionError


def table(times: dict[str, dict[str, list[float]]], reference: str, tasks) -> str:
    """Rows of peers, columns of tasks: the median, the quartiles, and how many times `reference`'s median that is."""
    lines = ["| " + " | ".join(["", *tasks]) + " |", "|---" * (len(tasks) + 1) + "|"]
    for peer, found in times.items():
        if not any(task in found for task in tasks):
            continue
        cells = []
        for task in tasks:
            if task not in found:
                cells.append("")
                continue
            middle, low, high = spread(found[task])
            ratio = middle / spread(times[reference][task])[0]
            times_as_long = f"×{ratio:,.2f}" if ratio < 100 else f"×{ratio:,.0f}"
            cells.append(f"{shown(middle)} ({shown(low)} to {shown(high)}), {times_as_long}")
        lines.append("| " + " | ".join([NAMES[peer], *cells]) + " |")
    return "\n".join(lines)


def plot(times: dict[str, dict[str, list[float]]], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(13, 7), constrained_layout=True)
    titles = {
        "demo": "2-16-16-1, 128 points: value and gradient",
        "digits": "64-32-10, 1,797 digits: value and gradient",
        "mnist": "784-128-10, batch of 256: value and gradient",
        "step": "2-16-16-1, 128 points: a step of SGD",
    }
    for axis, task in zip(axes.flat, titles, strict=True):
        peers = [peer for peer in times if task in times[peer]][::-1]
        medians = [spread(times[peer][task]) for peer in peers]
        colours = ["#1f77b4" if peer.startswith("ours") else "#b0b0b0" for peer in peers]
        axis.barh([NAMES[peer] for peer in peers], [m for m, _, _ in medians], color=colours)
        axis.errorbar(
            [m for m, _, _ in medians],
            range(len(peers)),
            xerr=[[m - low for m, low, _ in medians], [high - m for m, _, high in medians]],
            fmt="none",
            ecolor="#404040",
        )
        for i, (m, _, high) in enumerate(medians):
            axis.text(high * 1.15, i, shown(m), va="center", fontsize=8)
        axis.set_xscale("log")
        axis.set_title(titles[task], fontsize=10, loc="left")
        axis.set_xlim(min(low for _, low, _ in medians) / 2, max(high for _, _, high in medians) * 4)
        low, high = axis.get_xlim()
        ticks = [tick for tick in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0) if low < tick < high]
        axis.set_xticks(ticks[:: 1 + len(ticks) // 4])  # as many as stand side by side
        axis.xaxis.set_major_formatter(lambda x, _: shown(x))
        axis.xaxis.set_minor_formatter("")
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Time per call on one core (logarithmic; whiskers are quartiles)")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME[=PYTHON]", help="torch, jax, casadi or original; all"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each task in each round")
    parser.add_argument("--core", default="0")
    parser.add_argument("--readme", action=argparse.BooleanOptionalAction, default=True, help="write the table and the plot")
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        answer(options.answer, options.file, options.seconds)
        return
    pythons = {"by-hand": sys.executable, "ours-numpy": sys.executable, "ours-eager": sys.executable}
    try:
        import llvmlite  # noqa: F401

        import micrograd.tape.llvm  # noqa: F401
    except ImportError:
        pass
    else:
        pythons["ours-llvm"] = sys.executable
        if (os.cpu_count() or 1) > 1:
            pythons["ours-llvm-2"] = sys.executable
    if shutil.which(os.environ.get("CC", "cc")):
        pythons["c"] = sys.executable
    for entry in options.peer or ["torch", "jax", "casadi", "original"]:
        peer, _, python = entry.partition("=")
        pythons[peer] = python or str(peers.python_with(peer))
    if "jax" in pythons and (os.cpu_count() or 1) > 1:
        pythons["jax-2"] = pythons["jax"]
    order = [peer for peer in NAMES if peer in pythons]
    packages = {"torch": "torch", "jax": "jax", "casadi": "casadi", "original": "micrograd"}
    versions = []
    for peer, package in packages.items():
        if peer in pythons:
            ask_version = f"import importlib.metadata as m; print(m.version({package!r}))"
            found = subprocess.run([pythons[peer], "-c", ask_version], capture_output=True, text=True, check=True)
            versions.append(f"{package if peer != 'original' else 'the original'} {found.stdout.strip()}")
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "problems.npz")
        data = problems()
        np.savez(file, **data)
        prepare, expected = by_hand(), {}
        for task, name in TASKS.items():
            work = "demo" if task == "backward" else task
            expected[task] = prepare(work, *(data[f"{name}_{part}"] for part in ("theta", "X", "y")))[1]()
        expected |= dict.fromkeys(formulas.TASKS, (0.0, None))  # what the first peer finds, the others must find too
        times: dict[str, dict[str, list[float]]] = {}
        for number in range(options.rounds):
            for peer in order:
                print(f"round {number + 1} of {options.rounds}: {NAMES[peer]}", file=sys.stderr, flush=True)
                cores = "0,1" if peer.endswith("-2") else options.core
                for task, found in ask(peer, pythons[peer], file, options.seconds, expected, cores).items():
                    times.setdefault(peer, {}).setdefault(task, []).extend(found)
    reference = "ours-llvm" if "ours-llvm" in times else "ours-numpy"
    note = (
        f"Medians (and quartiles) of {options.rounds} rounds in turn, and their ratio to {NAMES[reference]}.\n"
        f"{machine()}, {', '.join(versions)}."
    )
    written = f"{table(times, reference, TASKS)}\n\n{table(times, reference, formulas.TASKS)}\n\n{note}\n"
    print(written)
    if options.readme:
        readme = ROOT / "README.md"
        before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        readme.write_text(f"{before}{BEGIN}\n{written}{END}{after}", encoding="utf-8")
        plot(times, str(ROOT / "benchmarks" / "compiled.png"))


def machine() -> str:
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    python = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"one core of {os.cpu_count()} ({model}), {platform.system()}, {python}"


if __name__ == "__main__":
    main()
