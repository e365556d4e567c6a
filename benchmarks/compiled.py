"""Compiled scalar code beside its peers: the same work, in one run, on one core, checked equal before it is timed.

    python benchmarks/compiled.py                       with all peers, each in an environment of its own
    python benchmarks/compiled.py --peer torch          with one of them
    python benchmarks/compiled.py --peer jax=PYTHON     in an environment that is there already

Each peer runs in a process pinned to one core (JAX, C and the LLVM back end also on two). A process reads the problems from
a file and answers with the values and the gradients that it finds; only when all agree is anything timed: in rounds, and
in a round task by task, one peer right after the other, so that a ratio is taken of times of one moment. Time is processor
time on one core, the clock's on two. The medians and their ratios go to the README, the quartiles to `compiled.md` and the
plot to `compiled.png`, both beside this file. How much two threads bring is measured in one process, in turns on one of its
cores and on both. The host of a shared machine may run two processors as two threads of one core for a while, which leaves
nothing to gain: additions in registers before and after each turn tell, and turns in which they gain little are told apart.

The work is `value_and_grad(theta, X, y)` in float64: the mean loss over the samples and its gradient with respect to the
flat vector of all weights, and for the small network also a whole step of gradient descent.

    demo      MLP(2, [16, 16, 1]), relu, hinge loss, 128 points of two moons
    digits    MLP(64, [32, 10]), relu, cross-entropy, scikit-learn's 1,797 digits at once
    mnist     MLP(784, [128, 10]), relu, cross-entropy, 256 random images of MNIST's size
    mnist32   the same in float32
    backward  the demo network's gradient by backward(): parameters read from Values, gradients added into them

The problems of `gpt_matrices.py` and of `formulas.py` follow in a table of their own; C by hand, compiled with -O3
-march=native -ffast-math, takes part where the machine has a compiler.
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
import gpt_matrices
import numpy as np
import peers

ROOT = Path(__file__).resolve().parent.parent
SIZES = {"demo": [2, 16, 16, 1], "digits": [64, 32, 10], "mnist": [784, 128, 10]}
# the problem that each task is about
TASKS = {"demo": "demo", "digits": "digits", "mnist": "mnist", "mnist32": "mnist", "step": "demo", "backward": "demo"}
OTHERS = ("gpt", *formulas.TASKS)  # of the second table
NARROW = "mnist32"  # the task in float32
SHARED = ("bundle", "options")  # what is work enough for two threads
TWO_CORES = 1.8  # what additions in registers gain on two processors that are cores of their own
RATE = 0.01  # learning rate of the step
NAMES = {
    "ours-numpy": "this project, NumPy back end",
    "ours-llvm": "this project, LLVM back end",
    "ours-llvm-2": "this project, LLVM back end, two cores",
    "ours-eager": "this project, eager",
    "c": "C by hand",
    "c-2": "C by hand, two cores",
    "by-hand": "NumPy by hand",
    "torch": "PyTorch",
    "jax": "JAX jit",
    "jax-2": "JAX jit, two cores",
    "casadi": "CasADi SX",
    "heyoka": "heyoka",
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
    found |= {f"gpt_{part}": array for part, array in gpt_matrices.problem().items()}
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
        dtype = np.float32 if task == NARROW else np.float64
        theta, X = theta.astype(dtype), X.astype(dtype)
        f = jit(lambda x, t: loss(model(x), t), backend=backend, wrt=model.parameters(), dtype=dtype)
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
        if task == NARROW:
            theta, X = theta.astype(np.float32), X.astype(np.float32)
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
        dtype = torch.float32 if task == NARROW else torch.float64
        layers: list = []
        for i, o in pairwise(sizes):
            layers += [torch.nn.Linear(i, o, dtype=dtype), torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers[:-1])
        with torch.no_grad():
            for linear, W in zip(layers[::2], matrices(theta, sizes), strict=True):
                linear.weight.copy_(torch.tensor(W[:, :-1]))
                linear.bias.copy_(torch.tensor(W[:, -1]))
        inputs, targets = torch.tensor(X, dtype=dtype), torch.tensor(y)
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
        dtype = jnp.float32 if task == NARROW else jnp.float64
        inputs, targets, start = jnp.asarray(X, dtype), jnp.asarray(y), jnp.asarray(theta, dtype)
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
    "heyoka": lambda: lambda *problem: None,  # formulas alone
    "original": original_peer,
}


# -- one peer's process


def answer(peer: str, file: str) -> None:
    """Solve the problems that the peer takes part in, a line for each; then time those that are asked for."""
    data = np.load(file)
    clock = time.perf_counter if peer.endswith("-2") else time.process_time  # on one core, what others run does not count
    peer = peer.removesuffix("-2")
    calls = {}

    def solve(task: str, prepare, *parts: str) -> None:
        start = clock()
        pair = prepare(task, *(data[part] for part in parts))
        if pair is None:
            return
        calls[task], check = pair
        found = check()
        value, gradient = found if isinstance(found, tuple) else (0.0, found)
        answered = {"task": task, "value": float(value), "gradient": np.asarray(gradient).tolist(), "first": clock() - start}
        print(json.dumps(answered), flush=True)

    networks = PEERS[peer]()
    for task, name in TASKS.items():
        solve(task, networks, *(f"{name}_{part}" for part in ("theta", "X", "y")))
    if peer in gpt_matrices.PEERS:
        solve("gpt", gpt_matrices.PEERS[peer](), "gpt_theta", "gpt_X", "gpt_y")
    if peer in formulas.PEERS:
        prepare = formulas.PEERS[peer]()
        for task in formulas.TASKS:
            solve(task, prepare, f"{task}_rows")
    print("{}", flush=True)
    cores = sorted(os.sched_getaffinity(0))
    for line in sys.stdin:
        what, task, seconds = line.split()
        found = timed(calls[task], clock, float(seconds)) if what == "time" else gains(calls[task], cores, float(seconds))
        print(json.dumps(found), flush=True)


def timed(call, clock, seconds: float) -> float:
    """The median time of a call."""
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
    return statistics.median(times)


def gains(call, cores: list[int], seconds: float) -> list[tuple[float, float]]:
    """How many times as fast a call is on all cores as on the first of them, in turns; and what additions gain around each."""

    def gain(one) -> float:
        times = []
        for some in (cores[:1], cores):
            os.sched_setaffinity(0, some)
            one()
            times.append(timed(one, time.perf_counter, 0.0))
        return times[0] / times[1]

    add = formulas.additions() if shutil.which(os.environ.get("CC", "cc")) else None
    whole = float(len(cores))  # where no compiler is there to ask
    found = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        before, turn, after = (gain(one) if one is not None else whole for one in (add, call, add))
        found.append((turn, min(before, after)))
    return found


class Peer:
    """A process on cores of its own that has solved the problems, and waits to be asked for times."""

    def __init__(self, name: str, python: str, file: str, cores: str, expected: dict):
        environment = peers.environment(name, len(cores.split(",")))
        command = ["taskset", "-c", cores, python, __file__, "--answer", name, "--file", file]
        self.name, self.errors = name, tempfile.TemporaryFile("w+")  # noqa: SIM115 (as long as the process)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self.errors, text=True, env=environment)
        self.first: dict[str, list[float]] = {}  # by task, the time from nothing to the first answer
        while got := self.line():
            task = got["task"]
            value, gradient = expected[task]
            if gradient is None:
                expected[task] = value, gradient = got["value"], got["gradient"]
            near = {"rtol": 1e-3, "atol": 1e-5} if task == NARROW else {"rtol": 1e-7, "atol": 1e-10}
            if not (np.isclose(got["value"], value, **near) and np.allclose(got["gradient"], gradient, **near)):
                raise SystemExit(f"{name} does not agree on {task}: value {got['value']}, expected {value}")
            self.first[task] = [got["first"]]

    def line(self):
        """What it says next."""
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        if not text:
            self.errors.seek(0)
            raise SystemExit(f"{self.name} failed:\n{self.errors.read()}")
        return json.loads(text)

    def ask(self, what: str, task: str, seconds: float):
        """The "time" of a call, or the "gain" of a second core."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what} {task} {seconds}\n")
        self.process.stdin.flush()
        return self.line()

    def end(self) -> None:
        self.process.communicate()
        self.errors.close()


# -- tables and the plot


def spread(times: list[float]) -> tuple[float, float, float]:
    """Median, and the quartiles around it."""
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    return middle, low, high


def shown(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale or unit == "µs":
            return f"{seconds / scale:.3g} {unit}" if seconds / scale < 1000 else f"{seconds / scale:,.0f} {unit}"
    raise AssertionError


def times_as_many(ratio: float) -> str:
    return f"×{float(f'{ratio:.2g}'):,g}"


HEADS = {
    "demo": "2-16-16-1", "digits": "64-32-10", "mnist": "784-128-10", "mnist32": "the same, float32", "step": "step of SGD",
    "backward": "`backward()`", "gpt": "GPT", "bundle": "bundle adjustment", "options": "10⁶ options", "call": "a single call",
}  # fmt: skip


def table(times: dict[str, dict[str, list[float]]], tasks, cell) -> str:
    """Rows of peers, columns of tasks: what `cell(peer, task)` says, where the peer takes part."""
    lines = ["| " + " | ".join(["", *(HEADS[task] for task in tasks)]) + " |", "|---" * (len(tasks) + 1) + "|"]
    for peer, found in times.items():
        if any(task in found for task in tasks):
            lines.append(
                "| " + " | ".join([NAMES[peer], *(cell(peer, task) if task in found else "" for task in tasks)]) + " |"
            )
    return "\n".join(lines)


def ratio_in(times: dict[str, dict[str, list[float]]], reference: str, peer: str, task: str) -> float:
    """How many times the time of `reference`: the median of the rounds, in each of which the two ran one after the other."""
    return statistics.median(a / b for a, b in zip(times[peer][task], times[reference][task], strict=True))


def gained(found: dict[str, dict[str, list[tuple[float, float]]]]) -> str:
    """How many times as fast two threads are as one, in words."""

    def ratio(peer: str, task: str) -> str:
        turns = found[peer][task]
        free = [gain for gain, additions in turns if additions >= TWO_CORES]
        shown = "×{:.3g} ({:.3g} to {:.3g}) in {} of {} turns".format(
            *spread(free or [gain for gain, _ in turns]), len(free), len(turns)
        )
        return f"{HEADS[task]} {shown}, ×{statistics.median(gain for gain, _ in turns):.3g} in all"

    parts = [f"{NAMES[peer].removesuffix(', two cores')}: {'; '.join(ratio(peer, task) for task in SHARED)}" for peer in found]
    return (
        "Two threads beside one, in turns in one process: medians (and quartiles) of the turns in which additions in registers "
        f"gained at least ×{TWO_CORES}, for the host sometimes runs both processors on one core. {'. '.join(parts)}."
    )


def plot(times: dict[str, dict[str, list[float]]], reference: str, path: str) -> None:
    """The times of the tables as bars, legible where a page shows the picture 815 pixels wide."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    titles = {
        "demo": "2-16-16-1, 128 points",
        "digits": "64-32-10, 1,797 digits",
        "mnist": "784-128-10, batch of 256",
        "step": "2-16-16-1, a step of SGD",
        "gpt": "a GPT, 32 names of 8 letters",
        "bundle": "bundle adjustment",
    }
    several = [peer for peer in times if not peer.endswith("-2")]  # on one core
    figure, axes = plt.subplots(3, 2, figsize=(8.15, 8.4), constrained_layout=True)
    for axis, task in zip(axes.flat, titles, strict=True):
        peers = [peer for peer in several if task in times[peer]][::-1]
        ratios = [ratio_in(times, reference, peer, task) for peer in peers]
        seconds = [statistics.median(times[reference][task]) * ratio for ratio in ratios]
        colours = ["#d9480f" if peer.startswith("ours") else "#ced4da" for peer in peers]
        axis.barh([NAMES[peer] for peer in peers], seconds, color=colours)
        for i, (took, ratio) in enumerate(zip(seconds, ratios, strict=True)):
            axis.text(took * 1.15, i, f"{shown(took)}  {times_as_many(ratio)}", va="center", fontsize=9)
        axis.set_xscale("log")
        axis.set_title(titles[task], fontsize=10, loc="left", weight="bold")
        axis.set_xlim(min(seconds) / 2, max(seconds) * (max(seconds) / min(seconds)) ** 0.75 * 9)
        axis.xaxis.set_visible(False)
        axis.tick_params(length=0, labelsize=9)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
    figure.suptitle("Time for value and derivatives, one core, logarithmic; × is beside the LLVM back end", fontsize=10)
    figure.savefig(path, dpi=200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME[=PYTHON]", help="torch, jax, casadi, heyoka or original; all"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="time for each task in each round")
    parser.add_argument("--core", default="0")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=True, help="write compiled.md and the plot")
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        answer(options.answer, options.file)
        return
    pythons = {"by-hand": sys.executable, "ours-numpy": sys.executable, "ours-eager": sys.executable}
    try:
        import llvmlite  # noqa: F401

        import micrograd.tape.back_ends.llvm.program  # noqa: F401
    except ImportError:
        pass
    else:
        pythons["ours-llvm"] = sys.executable
        if (os.cpu_count() or 1) > 1:
            pythons["ours-llvm-2"] = sys.executable
    if shutil.which(os.environ.get("CC", "cc")):
        pythons["c"] = sys.executable
        if (os.cpu_count() or 1) > 1:
            pythons["c-2"] = sys.executable
    for entry in options.peer or ["torch", "jax", "casadi", "heyoka", "original"]:
        peer, _, python = entry.partition("=")
        pythons[peer] = python or str(peers.python_with(peer))
    if "jax" in pythons and (os.cpu_count() or 1) > 1:
        pythons["jax-2"] = pythons["jax"]
    order = [peer for peer in NAMES if peer in pythons]
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "problems.npz")
        data = problems()
        np.savez(file, **data)
        prepare, expected = by_hand(), {}
        for task, name in TASKS.items():
            work = "demo" if task == "backward" else task
            expected[task] = prepare(work, *(data[f"{name}_{part}"] for part in ("theta", "X", "y")))[1]()
        expected |= dict.fromkeys(OTHERS, (0.0, None))  # what the first peer finds, the others must find too
        running = []
        for peer in order:
            print(f"preparing {NAMES[peer]}", file=sys.stderr, flush=True)
            running.append(Peer(peer, pythons[peer], file, "0,1" if peer.endswith("-2") else options.core, expected))
    times: dict[str, dict[str, list[float]]] = {peer: {} for peer in order}  # the medians of the rounds
    turns: dict[str, dict[str, list[tuple[float, float]]]] = {peer: {} for peer in ("ours-llvm-2", "c-2") if peer in order}
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        for task in (*TASKS, *OTHERS):
            for peer in running:
                if task in peer.first and (peer.name != "c-2" or task in SHARED):
                    times[peer.name].setdefault(task, []).append(peer.ask("time", task, options.seconds))
        for task in SHARED:
            for peer in running:
                if peer.name in turns:
                    turns[peer.name].setdefault(task, []).extend(peer.ask("gain", task, 8 * options.seconds))
    for peer in running:
        peer.end()
    reference = "ours-llvm" if "ours-llvm" in times else "ours-numpy"
    where = f"{', '.join([machine(), *peers.versions(pythons)])}."

    def compared(peer: str, task: str) -> str:
        return times_as_many(ratio_in(times, reference, peer, task))

    def time_of(peer: str, task: str) -> str:
        """The reference's median times the ratio, so that both tables say the same; the raw times are kept in history/."""
        return shown(statistics.median(times[reference][task]) * ratio_in(times, reference, peer, task))

    ratios = [table(times, tasks, compared) for tasks in (TASKS, OTHERS)]
    medians = [table(times, tasks, time_of) for tasks in (TASKS, OTHERS)]

    first = {peer.name: peer.first for peer in running if peer.name in ("ours-numpy", "ours-llvm", "torch", "jax", "casadi")}
    started = [task for task in (*TASKS, *OTHERS) if task not in ("step", "backward")]
    parts = [
        f"How many times the time of {NAMES[reference]} each takes: medians of the ratios in each round.",
        *ratios,
        f"As times: the median of {NAMES[reference]} in {options.rounds} rounds, times the ratio above. Absolute times hang on "
        "what else the machine does; within a round all peers ran one right after the other.",
        *medians,
        *([gained(turns)] if turns else []),
        where,
        "From nothing to the first answer, once: building, recording or tracing, and compiling.",
        table(first, started, lambda peer, task: shown(*first[peer][task])),
    ]
    everything = "\n\n".join(parts) + "\n"
    print(everything)
    if options.write:
        (ROOT / "benchmarks" / "compiled.md").write_text(f"# Compiled scalar code beside its peers\n\n{everything}", "utf-8")
        plot(times, reference, str(ROOT / "benchmarks" / "compiled.png"))
        quartiles = {peer: {task: spread(found) for task, found in tasks.items()} for peer, tasks in times.items()}
        keep_in_history({"where": where, "seconds: median, quartiles": quartiles})


def keep_in_history(found: dict[str, object]) -> None:
    """Put it into the file of this version, beside what other benchmarks have found."""
    from micrograd import __version__ as version

    file = ROOT / "benchmarks" / "history" / f"{version}.json"
    kept = json.loads(file.read_text("utf-8")) if file.exists() else {}
    file.write_text(f"{json.dumps({**kept, 'version': version, **found}, indent=1, ensure_ascii=False)}\n", "utf-8")


def machine() -> str:
    python = f"Python {platform.python_version()}, NumPy {np.__version__}"
    day = time.strftime("%d %B %Y").lstrip("0")
    return f"one core of {os.cpu_count()} ({peers.processor()}) on {day}, {platform.system()}, {python}"


if __name__ == "__main__":
    main()
