"""Time to N gradients, from nothing: tracing and compiling are part of it, imports are not.

    python benchmarks/curves.py                     all rows, each peer in an environment of its own
    python benchmarks/curves.py --peer jax=PYTHON   rows of one peer, in an environment of yours; the others are kept

Every program is written once, one scalar at a time, and given as it stands to every peer; JAX gets it written with arrays
too, as a ceiling. A program has parameters theta and takes one sample x; wanted are the mean over N samples and its
gradient by theta. Samples come in calls of at most 10,000, the same 10,000 again and again.

    demo       hinge loss of MLP(2, [16, 16, 1]), relu: 337 parameters
    asian      Monte-Carlo price of an Asian option, 252 steps a path: 5 parameters
    irregular  10,000 operations drawn at random: 10 parameters, 10 numbers a sample

Each measurement is a fresh process on one core, for at most 300 s of processor time, a C compiler's included; a peer that
would need more at the rate of its first 20 s is stopped then, and the estimate printed. All of it takes an hour or two. Every
row is kept, with its day, in `history/curves.json`. The tables go to `curves.md`, the plot to `curves.png`.

JAX's 95 s for ten gradients of the first program are no slip: again, alone, they took 138 s, and one and a hundred gradients
8 s. XLA takes that long to compile a batch of ten.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import peers
from compiled import machine, shown

HERE = Path(__file__).resolve().parent
COUNTS = [10**k for k in range(7)]
CALL = 10_000  # samples in one call
LIMIT, EARLY = 300.0, 20.0  # seconds for one measurement, and after which the rate is looked at
STEPS, OPERATIONS = 252, 10_000
SIZES = [2, 16, 16, 1]
NAMES = {
    "ours-llvm": "this project, LLVM back end",
    "ours-exact": "this project, LLVM back end, exact",
    "ours-numpy": "this project, NumPy back end",
    "ours-eager": "this project, eager",
    "original": "original micrograd",
    "xad": "XAD",
    "casadi": "CasADi, virtual machine",
    "casadi-c": "CasADi, generated C",
    "heyoka": "heyoka",
    "jax": "JAX jit, the same scalar code",
    "jax-arrays": "JAX jit, array code",
}
CEILINGS = ("ours-llvm", "jax-arrays")
TITLES = {
    "demo": "MLP(2, [16, 16, 1]), hinge loss",
    "asian": "Asian option, 252 steps a path",
    "irregular": "10,000 operations at random",
}


# -- the programs, on any numbers, for any module `m` with exp, sqrt, sin, tanh and relu


def demo(theta, x, m):
    a, at = x[:2], 0
    for layer, (inputs, outputs) in enumerate(pairwise(SIZES)):
        z = []
        for _ in range(outputs):
            total = theta[at + inputs]
            for w, v in zip(theta[at : at + inputs], a, strict=True):
                total = total + w * v
            z.append(total)
            at += inputs + 1
        a = z if layer == len(SIZES) - 2 else [m.relu(v) for v in z]
    return m.relu(1.0 - x[2] * a[0])


def asian(theta, x, m):
    spot, strike, rate, volatility, years = theta
    step = years * (1.0 / STEPS)
    drift, spread = (rate - 0.5 * volatility * volatility) * step, volatility * m.sqrt(step)
    total = 0.0
    for z in x:
        spot = spot * m.exp(drift + spread * z)
        total = total + spot
    return m.exp(-rate * years) * m.relu(total * (1.0 / STEPS) - strike)


@functools.cache
def plan() -> list[tuple[str, int, int]]:
    """Operations on the numbers before them, none of whose results at a first sample is beyond 3."""
    rng = random.Random(0)
    numbers = [rng.uniform(-1.0, 1.0) for _ in range(20)]
    found = []
    while len(found) < OPERATIONS:
        n = len(numbers)
        kind = rng.choice(["add", "sub", "mul", "mul", "sin", "tanh"])
        i, j = (rng.randrange(max(0, n - 500), n) if rng.random() < 0.8 else rng.randrange(n) for _ in range(2))
        a, b = numbers[i], numbers[j]
        value = {"add": a + b, "sub": a - b, "mul": a * b, "sin": math.sin(a), "tanh": math.tanh(a)}[kind]
        if abs(value) <= 3.0:
            numbers.append(value)
            found.append((kind, i, j))
    return found


def irregular(theta, x, m):
    numbers = [*theta, *x]
    used = set()
    for kind, i, j in plan():
        a, b = numbers[i], numbers[j]
        if kind in ("sin", "tanh"):
            numbers.append(m.sin(a) if kind == "sin" else m.tanh(a))
            used.add(i)
            continue
        numbers.append(a + b if kind == "add" else a - b if kind == "sub" else a * b)
        used |= {i, j}
    total = 0.0
    for i in range(20, len(numbers)):
        if i not in used:
            total = total + numbers[i]
    return total


PROGRAMS = {"demo": demo, "asian": asian, "irregular": irregular}


def samples(problem: str, count: int) -> tuple[list[float], list[list[float]]]:
    """The parameters, and samples."""
    rng = random.Random(1)
    if problem == "demo":
        theta = [rng.uniform(-1.0, 1.0) for _ in range(sum(o * (i + 1) for i, o in pairwise(SIZES)))]
        return theta, [[rng.gauss(0.0, 1.0), rng.gauss(0.0, 1.0), rng.choice([-1.0, 1.0])] for _ in range(count)]
    if problem == "asian":
        return [100.0, 95.0, 0.05, 0.2, 1.0], [[rng.gauss(0.0, 1.0) for _ in range(STEPS)] for _ in range(count)]
    theta = [rng.uniform(-1.0, 1.0) for _ in range(10)]
    return theta, [[rng.uniform(-1.0, 1.0) for _ in range(10)] for _ in range(count)]


# -- the peers: for each, a function of (problem, theta, rows) that does all the work of N gradients by calls of `todo`


def batches(rows, todo, evaluate):
    """The sum of values and gradients over `todo` calls, each (sum or mean) of one evaluation of all rows."""
    total = None
    for _ in todo:
        value, gradient = evaluate(rows)
        found = [float(value), *(float(g) for g in gradient)]
        total = found if total is None else [a + b for a, b in zip(total, found, strict=True)]
    return total


def ours(backend, precision="fast"):
    import numpy as np

    import micrograd
    from micrograd.tape import jit

    jit(lambda x: x * x, backend=backend)(1.0)

    def work(problem, theta, rows, todo):
        parameters, X = [micrograd.Value(p) for p in theta], np.array(rows)
        function = lambda x: PROGRAMS[problem](parameters, list(x), micrograd)  # noqa: E731
        f = jit(function, wrt=parameters, backend=backend, precision=precision)
        flat = np.array(theta)
        return batches(X, todo, lambda X: f.value_and_grad(flat, X))

    return work


def one_by_one(parameters_of, gradient_of):
    """A peer that makes a graph for every sample: the mean over the rows, which `todo` counts one by one."""

    def work(problem, theta, rows, todo):
        total, value = [0.0] * (1 + len(theta)), parameters_of(theta)
        for n, _ in enumerate(todo):
            found = gradient_of(problem, value, rows[n % len(rows)])
            for i, x in enumerate(found):
                total[i] += x
        return [x / len(rows) for x in total]

    work.by_sample = True
    return work


def on_values(number, functions):
    """This project or the original, eagerly: the same source runs on both."""

    def gradient(problem, parameters, row):
        for p in parameters:
            p.grad = 0.0
        out = PROGRAMS[problem](parameters, row, functions)
        out.backward()
        return [out.data, *(p.grad for p in parameters)]

    return one_by_one(lambda theta: [number(p) for p in theta], gradient)


def ours_eager():
    import micrograd

    return on_values(micrograd.Value, micrograd)


def original():
    from micrograd.engine import Value

    if hasattr(Value, "rule"):
        raise SystemExit("this interpreter has this project where the original micrograd is wanted")

    def function(name, of, slope):
        """A function that the original lacks, added as its users do."""

        def apply(x):
            if not isinstance(x, Value):
                return of(x)
            out = Value(of(x.data), (x,), name)

            def backward():
                x.grad += slope(x.data, out.data) * out.grad

            out._backward = backward
            return out

        return staticmethod(apply)

    class Functions:
        exp = function("exp", math.exp, lambda x, out: out)
        sin = function("sin", math.sin, lambda x, out: math.cos(x))
        tanh = function("tanh", math.tanh, lambda x, out: 1.0 - out * out)
        sqrt = staticmethod(lambda x: x**0.5)
        relu = staticmethod(lambda x: x.relu())

    return on_values(Value, Functions)


def xad():
    import xad.math
    from xad.adj_1st import Real, Tape

    class Functions:
        exp, sin, tanh, sqrt = xad.math.exp, xad.math.sin, xad.math.tanh, xad.math.sqrt
        relu = staticmethod(lambda x: xad.math.max(x, 0.0))

    def gradient(problem, theta, row):
        with Tape() as tape:
            parameters = [Real(p) for p in theta]
            tape.registerInputs(parameters)
            tape.newRecording()
            out = PROGRAMS[problem](parameters, row, Functions)
            tape.registerOutput(out)
            out.derivative = 1.0
            tape.computeAdjoints()
            return [out.value, *(p.derivative for p in parameters)]

    return one_by_one(list, gradient)


def casadi(compiled):
    import casadi as ca

    class Functions:
        exp, sin, tanh, sqrt = ca.exp, ca.sin, ca.tanh, ca.sqrt
        relu = staticmethod(lambda x: ca.fmax(x, 0.0))

    def work(problem, theta, rows, todo):
        p, x = ca.SX.sym("p", len(theta)), ca.SX.sym("x", len(rows[0]))
        out = PROGRAMS[problem]([p[i] for i in range(len(theta))], [x[i] for i in range(len(rows[0]))], Functions)
        one = ca.Function("one", [p, x], [out, ca.gradient(out, p)])
        with tempfile.TemporaryDirectory() as folder:
            if compiled:
                here = os.getcwd()
                os.chdir(folder)
                one.generate("one.c")
                os.chdir(here)
                files = [f"{folder}/one.c", "-o", f"{folder}/one.so", "-lm"]
                subprocess.run([os.environ.get("CC", "cc"), *FLAGS, "-shared", "-fPIC", *files], check=True)
                one = ca.external("one", f"{folder}/one.so")
            every, where, inputs = one.map(len(rows)), ca.DM(theta), ca.DM(rows).T

            def evaluate(_):
                values, gradients = every(where, inputs)
                return float(ca.sum2(values)) / len(rows), (ca.sum2(gradients) / len(rows)).elements()

            return batches(rows, todo, evaluate)

    return work


def heyoka():
    import heyoka as hy
    import numpy as np

    class Functions:
        exp, sin, tanh, sqrt, relu = hy.exp, hy.sin, hy.tanh, hy.sqrt, hy.relu

    def work(problem, theta, rows, todo):
        p = hy.make_vars(*[f"p{i}" for i in range(len(theta))])
        x = hy.make_vars(*[f"x{i}" for i in range(len(rows[0]))])
        out = PROGRAMS[problem](p, x, Functions)
        gradient = hy.diff_tensors([out], diff_args=p, diff_order=1).gradient
        f = hy.cfunc([out, *gradient], [*p, *x])
        columns = np.concatenate([np.tile(np.array(theta)[:, None], len(rows)), np.array(rows).T])
        room = np.empty((1 + len(theta), len(rows)))

        def evaluate(_):
            found = f(columns, outputs=room).mean(axis=1)
            return found[0], found[1:]

        return batches(rows, todo, evaluate)

    return work


FLAGS = ("-O1", "-march=native")  # -O3 takes several times as long to compile these, for code no faster


def jax(arrays):
    import jax
    import jax.numpy as jnp
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    jax.block_until_ready(jax.jit(lambda x: x * x)(1.0))

    class Functions:
        exp, sin, tanh, sqrt, relu = jnp.exp, jnp.sin, jnp.tanh, jnp.sqrt, jax.nn.relu

    def scalar(problem):
        count = len(samples(problem, 0)[0])

        def loss(theta, X):
            return jax.vmap(lambda x: PROGRAMS[problem]([theta[i] for i in range(count)], [*x], Functions))(X).mean()

        return loss

    def demo_loss(theta, X):
        a, at = X[:, :2], 0
        for layer, (i, o) in enumerate(pairwise(SIZES)):
            W = theta[at : at + o * (i + 1)].reshape(o, i + 1)
            z = a @ W[:, :-1].T + W[:, -1]
            a, at = z if layer == len(SIZES) - 2 else jax.nn.relu(z), at + o * (i + 1)
        return jax.nn.relu(1.0 - X[:, 2] * a[:, 0]).mean()

    def asian_loss(theta, X):
        spot, strike, rate, volatility, years = theta
        step = years / STEPS
        path = spot * jnp.exp(jnp.cumsum((rate - 0.5 * volatility**2) * step + volatility * jnp.sqrt(step) * X, axis=1))
        return (jnp.exp(-rate * years) * jax.nn.relu(path.mean(axis=1) - strike)).mean()

    def work(problem, theta, rows, todo):
        if arrays and problem == "irregular":
            return None
        loss = {"demo": demo_loss, "asian": asian_loss}[problem] if arrays else scalar(problem)
        f, flat, X = jax.jit(jax.value_and_grad(loss)), jnp.array(theta), jnp.asarray(np.array(rows))  # lists take it seconds
        return batches(X, todo, lambda X: jax.device_get(f(flat, X)))

    return work


PEERS = {
    "ours-llvm": lambda: ours("llvm"),
    "ours-exact": lambda: ours("llvm", "exact"),
    "ours-numpy": lambda: ours("numpy"),
    "ours-eager": ours_eager,
    "original": original,
    "xad": xad,
    "casadi": lambda: casadi(False),
    "casadi-c": lambda: casadi(True),
    "heyoka": heyoka,
    "jax": lambda: jax(False),
    "jax-arrays": lambda: jax(True),
}


# -- one measurement, in a process of its own


class TooSlow(Exception):
    pass


def spent() -> float:
    """Processor time so far, of children that have ended too."""
    return time.process_time() + sum(os.times()[2:4])


def answer(peer: str, problem: str, count: int) -> None:
    """Print the seconds that `count` gradients took, and their mean; or the seconds that they would take."""
    work = PEERS[peer]()
    theta, rows = samples(problem, min(count, CALL))
    calls = count if getattr(work, "by_sample", False) else count // len(rows)
    start = spent()

    def todo():
        first = 0.0
        for done in range(calls):
            taken = spent() - start
            if done == 1:
                first = taken
            if done > 1 and taken > EARLY:
                estimate = first + (taken - first) / (done - 1) * (calls - 1)
                if estimate > 1.1 * LIMIT:
                    raise TooSlow(estimate)
            yield done

    try:
        found = work(problem, theta, rows, todo())
    except TooSlow as slow:
        print(json.dumps({"estimate": slow.args[0]}))
        return
    seconds = spent() - start
    scale = len(rows) / count  # every call gives a mean
    print(json.dumps({"seconds": seconds, "found": [x * scale for x in found]} if found else {}))


def measured(peer: str, python: str, problem: str, count: int, core: str) -> dict:
    """What a fresh process answers; empty where the peer takes no part."""
    environment = peers.environment(peer, 1)
    command = ["taskset", "-c", core, python, __file__, "--answer", peer, "--problem", problem, "--count", str(count)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=2 * LIMIT)
    except subprocess.TimeoutExpired:
        return {"estimate": None}
    if run.returncode or not run.stdout:  # an error in the thread that answers leaves 0
        last = run.stderr.strip().splitlines()[-1:] or [f"exit status {run.returncode}"]
        return {"failed": last[0]}
    return json.loads(run.stdout.splitlines()[-1])


def near(found: list[float], expected: list[float]) -> bool:
    size = max(abs(x) for x in expected)
    return all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9 * size) for a, b in zip(found, expected, strict=True))


# -- tables and the plot


def cell(result: dict) -> str:
    if "times" in result:
        return shown(statistics.median(result["times"]))
    if "failed" in result:
        return f"failed: {result['failed'][:60]}"
    if "estimate" in result:
        estimate = result["estimate"]
        return "over 300 s" + (f" (about {shown(float(f'{estimate:.2g}'))})" if estimate else "")
    return ""


def table(results: dict, problem: str, names) -> str:
    heads = [f"{n:,}" for n in COUNTS]
    lines = ["| N | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for peer in names:
        row = results.get((peer, problem))
        if row:
            ended = min((n for n, result in row.items() if "estimate" in result), default=math.inf)  # more takes longer
            cells = [cell(row.get(n, {} if n < ended else {"estimate": None})) for n in COUNTS]
            lines.append("| " + " | ".join([NAMES[peer], *cells]) + " |")
    return "\n".join(lines)


def plot(results: dict, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 1, figsize=(8.15, 11), sharex=True, constrained_layout=True)  # legible at 815 pixels
    styles = {
        "ours-llvm": ("#1f77b4", "-", 2.6), "ours-exact": ("#74add1", "-", 1.8), "ours-numpy": ("#1f77b4", "--", 1.8),
        "ours-eager": ("#1f77b4", ":", 1.8),
        "original": ("#7f7f7f", "-", 1.4), "xad": ("#8c564b", "-", 1.4), "casadi": ("#2ca02c", "-", 1.4),
        "casadi-c": ("#2ca02c", "--", 1.4), "heyoka": ("#9467bd", "-", 1.4), "jax": ("#d62728", "-", 1.4),
        "jax-arrays": ("#d62728", ":", 1.4),
    }  # fmt: skip
    for axis, problem in zip(axes, PROGRAMS, strict=True):
        for peer, (colour, line, width) in styles.items():
            row = results.get((peer, problem), {})
            points = [(n, statistics.median(row[n]["times"])) for n in COUNTS if "times" in row.get(n, {})]
            if points:
                label = NAMES[peer] + (" (ceiling)" if peer == "jax-arrays" else "")
                axis.plot(*zip(*points, strict=True), line, color=colour, lw=width, marker="o", ms=3.5, label=label)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(TITLES[problem], loc="left", fontsize=10, weight="bold")
        axis.tick_params(labelsize=9)
        axis.yaxis.set_major_formatter(lambda x, _: shown(x))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Time from nothing, tracing and compiling included", fontsize=10)
    axes[-1].set_xlabel("gradients", fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME[=PYTHON]", help="what to measure anew: ours, jax, ...; all"
    )
    parser.add_argument("--problems", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS))
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of what takes less than a minute")
    parser.add_argument("--most", type=int, default=COUNTS[-1], help="the largest N")
    parser.add_argument("--core", default="0")
    parser.add_argument("--kept", default=str(HERE / "history" / "curves.json"), help="where rows are kept")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=True, help="write curves.md and curves.png")
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    parser.add_argument("--problem", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        sys.setrecursionlimit(10**6)  # the original's backward() recurses
        threading.stack_size(512 << 20)
        thread = threading.Thread(target=answer, args=(options.answer, options.problem, options.count))
        thread.start()
        thread.join()
        return
    if not find_spec("llvmlite"):
        parser.error("every peer is compared with the LLVM back end: pip install llvmlite")
    pythons: dict[str, str] = {}
    for entry in options.peer or dict.fromkeys(name.split("-")[0] for name in NAMES):
        peer, _, python = entry.partition("=")
        found = [name for name in NAMES if peer in (name, name.split("-")[0])]
        if not found:
            parser.error(f"--peer {peer}: no such peer; there are {', '.join(NAMES)}")
        where = python or (sys.executable if peer.startswith("ours") else str(peers.python_with(found[0].split("-")[0])))
        pythons |= dict.fromkeys(found, where)
    kept = Path(options.kept)
    rows = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
    results = {(row["peer"], row["problem"]): {int(n): result for n, result in row["counts"].items()} for row in rows}
    said = {(row["peer"], row["problem"]): (row["machine"], row["versions"]) for row in rows}
    for problem in options.problems:
        expected: dict[int, list[float]] = {}
        for peer in [name for name in NAMES if name in pythons]:
            row: dict = {}
            for count in [n for n in COUNTS if n <= options.most]:
                times: list[float] = []
                while len(times) < options.rounds and sum(times) < 60.0:
                    result = measured(peer, pythons[peer], problem, count, options.core)
                    if "seconds" not in result:
                        break
                    if count not in expected:  # what the first of the peers finds, the others must find too
                        expected[count] = measured("ours-llvm", sys.executable, problem, count, options.core)["found"]
                    if not near(result["found"], expected[count]):
                        raise SystemExit(f"{peer} does not agree on {problem}, {count} gradients: {result['found'][:3]}")
                    times.append(result["seconds"])
                row[count] = (
                    {"times": times} if times and times[0] <= LIMIT else result if not times else {"estimate": times[0]}
                )
                print(f"{problem}, {NAMES[peer]}, {count:,}: {cell(row[count])}", file=sys.stderr, flush=True)
                if "times" not in row[count]:
                    break
            if any(row.values()):
                results[peer, problem] = row
                said[peer, problem] = machine(), peers.versions({peer.split("-")[0]: pythons[peer]})
                rows = [
                    {"peer": peer, "problem": problem, "machine": where, "versions": of, "counts": results[peer, problem]}
                    for (peer, problem), (where, of) in said.items()
                ]
                kept.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")
    scalar = [name for name in NAMES if name != "jax-arrays"]
    parts = ["# Time to N gradients", __doc__.split("\n\n", 2)[2].strip()]
    for problem in TITLES:
        parts += [f"## {TITLES[problem]}", "Scalar code:", table(results, problem, scalar)]
        if ("jax-arrays", problem) in results:
            parts += ["Array code, as a ceiling:", table(results, problem, CEILINGS)]
    parts.append(f"Medians of up to {max(len(r.get('times', ())) for row in results.values() for r in row.values())} rounds.")
    for where in dict.fromkeys(where for where, _ in said.values()):
        there = [peer for peer in NAMES if any(name == peer and it[0] == where for (name, _), it in said.items())]
        of = dict.fromkeys(version for it in said.values() if it[0] == where for version in it[1])
        parts.append(f"On {', '.join([where, *of])}: {'; '.join(NAMES[peer] for peer in there)}.")
    written = "\n\n".join(parts) + "\n"
    print(written)
    if options.write:
        (HERE / "curves.md").write_text(written, encoding="utf-8")
        plot(results, str(HERE / "curves.png"))


if __name__ == "__main__":
    main()
