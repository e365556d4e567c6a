"""The problems of public suites for differentiation, small to large: this project beside its peers, in one run, on one core.

    python benchmarks/suite.py                      with jax, torch and casadi, each in an environment of its own
    python benchmarks/suite.py --peer jax=PYTHON --only gmm,lse
    python benchmarks/suite.py --check              this project's derivatives alone, of the smallest sizes; nothing is timed

The problems stand in `suite_problems.py`. Before a problem is timed, each value is compared with NumPy code that knows no
derivative, each derivative with that code's differences in two random directions, and all derivatives with each other.
Time is processor time on one core: that of a call, taken in rounds, one peer right after the other; and that from nothing
to the first answer, once. The tables go to `docs/suite.md`, the quartiles of the rounds into `history/`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import compiled
import numpy as np
import peers
import suite_problems
from suite_problems import ARRAYS, JACOBIANS, SIZES, NumPy

PAGE = Path(__file__).resolve().parent.parent / "docs" / "suite.md"
NAMES = {
    "ours-llvm": "this project, LLVM",
    "ours-numpy": "this project, NumPy",
    "jax": "JAX",
    "torch": "PyTorch",
    "casadi": "CasADi",
    "c": "C by hand",
    "numpy": "NumPy by hand",
}
AGREE = {"rtol": 1e-6, "atol": 1e-8}  # two derivatives
NEAR = {"rtol": 2e-5, "atol": 1e-6}  # a derivative and differences


def answer(peer: str) -> None:
    """In a peer's process: prepare and time what is asked for, line by line."""
    prepare, calls = suite_problems.PEERS[peer](), {}
    for line in sys.stdin:
        what, name, number, rest = line.split()
        key = name, int(number)
        if what == "time":
            print(json.dumps(compiled.timed(calls[key], time.process_time, float(rest))), flush=True)
            continue
        calls.clear()
        d = suite_problems.data(name, SIZES[name][int(number)])
        start = time.process_time()
        pair = prepare(name, d)
        if pair is None:
            print("null", flush=True)
            continue
        calls[key], found = pair
        np.save(rest, found())
        print(json.dumps(time.process_time() - start), flush=True)


class Peer:
    """A process on one core that answers."""

    def __init__(self, name: str, python: str, core: str):
        self.name, self.errors = name, tempfile.TemporaryFile("w+")  # noqa: SIM115 (as long as the process)
        command = ["taskset", "-c", core, python, __file__, "--answer", name]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self.errors, text=True, env=peers.environment(name, 1)
        )

    def ask(self, *words: object):
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        text = self.process.stdout.readline()
        if not text:
            self.errors.seek(0)
            raise SystemExit(f"{self.name} failed at {words}:\n{self.errors.read()[-3000:]}")
        return json.loads(text)

    def end(self) -> None:
        self.process.communicate()
        self.errors.close()


def check(name: str, number: int, found: dict[str, np.ndarray]) -> None:
    """SystemExit where a peer's answer is not that of NumPy code and its differences, or of the other peers."""
    d = suite_problems.data(name, SIZES[name][number])
    value = None if name in JACOBIANS or name == "kmeans-hvp" else ARRAYS[name](NumPy(), d["theta"], d)
    first, rng = next(iter(found.values())), np.random.default_rng(7)
    directions = [rng.normal(size=d["theta"].shape) for _ in range(2)]
    for peer, array in found.items():
        derivative = array if value is None else array[1:]
        agreed = value is None or np.isclose(array[0], value, **AGREE)
        for direction in directions:
            if name == "kmeans-hvp":  # twice the number of points of each cluster, times the vector
                _, k, width = SIZES[name][number]
                nearest = ((d["X"][:, None, :] - d["theta"].reshape(k, width)[None]) ** 2).sum(2).argmin(1)
                expected, got = 2.0 * np.repeat(np.bincount(nearest, minlength=k), width) * d["v"], derivative
            elif name in JACOBIANS:
                expected = suite_problems.along(name, d, direction).ravel()
                rows = derivative.reshape(len(expected), -1)
                along = np.repeat(direction, len(expected) // len(direction), 0) if direction.ndim == 2 else direction
                got = (rows * along).sum(1)
            else:
                expected, got = suite_problems.along(name, d, direction), derivative @ direction
            scale = np.abs(expected).max() if np.ndim(expected) else abs(float(expected)) + np.linalg.norm(derivative)
            agreed = agreed and bool(np.all(np.abs(got - expected) <= NEAR["atol"] + NEAR["rtol"] * scale))
        if not agreed or not np.allclose(array, first, rtol=AGREE["rtol"], atol=AGREE["atol"] * (1 + np.abs(first).max())):
            raise SystemExit(f"{NAMES[peer]} does not agree on {name} {SIZES[name][number]}")


def check_ours(names: list[str]) -> None:
    """SystemExit where our derivative of the smallest problem is not NumPy's, or a wrong one would pass for it."""
    for name in names:
        _, derivative = suite_problems.ours(None)(name, suite_problems.data(name, SIZES[name][0]))
        right = derivative()
        check(name, 0, {"ours-llvm": right})
        try:
            check(name, 0, {"ours-llvm": right * 1.01 + 1e-3})
        except SystemExit:
            print(f"{name}: right, and what is 1 % off is not")
        else:
            raise SystemExit(f"a derivative of {name} that is 1 % off passes")


def measured(first: float, times: list[float], ours: list[float]) -> dict[str, Any]:
    """What is kept of a peer on a problem; its ratio to this project is the median of the rounds, in which they ran in turn."""
    ratio = statistics.median(a / b for a, b in zip(times, ours, strict=True))
    return {"seconds: median, quartiles": compiled.spread(times), "ratio": ratio, "first": first}


def tables(found: dict[str, dict[str, dict[str, Any]]], pythons: Iterable[str]) -> Iterator[list[str]]:
    """Times of a call, peers by their ratios first, then times from nothing: of each problem and size a line."""
    ours, *others = pythons
    head = [
        "| problem | size | " + " | ".join(NAMES[peer] for peer in (ours, *others)) + " |",
        "|---" * (3 + len(others)) + "|",
    ]
    calls, firsts, latest = list(head), list(head), ""
    for called, kept in found.items():
        name, _, size = called.partition(" ")
        start = f"| {name if name != latest else ''} | {size} | "
        latest = name
        time = {peer: compiled.shown(took["seconds: median, quartiles"][0]) for peer, took in kept.items()}
        compared = [f"{compiled.times_as_many(kept[peer]['ratio'])} ({time[peer]})" if peer in time else "" for peer in others]
        calls.append(start + " | ".join([time[ours], *compared]) + " |")
        cells = [compiled.shown(kept[peer]["first"]) if peer in kept else "" for peer in (ours, *others)]
        firsts.append(start + " | ".join(cells) + " |")
    yield calls
    yield firsts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME[=PYTHON]", help="jax, torch, casadi, c or numpy; all"
    )
    parser.add_argument("--only", default="", help="problems, by name, with commas between")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.1, help="time for each call in each round")
    parser.add_argument("--core", default="0")
    parser.add_argument("--check", action="store_true", help="compare this project's derivatives with NumPy's, and no more")
    parser.add_argument("--page", action=argparse.BooleanOptionalAction, default=True, help="write docs/suite.md")
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        answer(options.answer)
        return
    names = options.only.split(",") if options.only else list(SIZES)
    if options.check:
        check_ours(names)
        return
    pythons = {"ours-llvm" if importlib.util.find_spec("llvmlite") else "ours-numpy": sys.executable}
    for entry in options.peer or ["jax", "torch", "casadi", "c", "numpy"]:
        peer, _, python = entry.partition("=")
        pythons[peer] = python or (sys.executable if peer in ("c", "numpy") else str(peers.python_with(peer)))
    running = [Peer(peer, python, options.core) for peer, python in pythons.items()]
    kept: dict[str, dict[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            for number in range(len(SIZES[name])):
                found, firsts, times = {}, {}, {}
                for peer in running:
                    file = Path(folder) / f"{peer.name}.npy"
                    first = peer.ask("prepare", name, number, file)
                    if first is not None:
                        firsts[peer.name], found[peer.name] = first, np.load(file)
                check(name, number, found)
                for _ in range(options.rounds):
                    for peer in running:
                        if peer.name in firsts:
                            times.setdefault(peer.name, []).append(peer.ask("time", name, number, options.seconds))
                called = f"{name} {' × '.join(f'{x:,}' for x in SIZES[name][number])}"
                ours = times[running[0].name]
                kept[called] = {peer: measured(firsts[peer], spent, ours) for peer, spent in times.items()}
                print(next(tables({called: kept[called]}, pythons))[-1], flush=True)
    for peer in running:
        peer.end()
    where = f"{', '.join([compiled.machine(), *peers.versions(pythons)])}."
    if options.page:
        PAGE.write_text(page(kept, pythons, options.rounds, where), "utf-8")
        compiled.keep_in_history({"suite": {"where": where, "rounds": options.rounds, "problems": kept}})


def page(kept: dict[str, dict[str, dict[str, Any]]], pythons: Iterable[str], rounds: int, where: str) -> str:
    calls, firsts = ("\n".join(lines) for lines in tables(kept, pythons))
    return f"""# The suites' problems, beside peers

{INTRODUCTION}
## A call

How many times as long as this project each peer takes, the median of the ratios in {rounds} rounds, in which one ran right
after the other; in brackets the median of its times. The quartiles stand in `benchmarks/history/`. On {where}

{calls}

## From nothing to the first answer

Building, recording or tracing, and compiling; measured once.

{firsts}
"""


INTRODUCTION = """`benchmarks/suite.py` writes this page. The problems are those of ADBench and GradBench, with
three loops over time and some linear algebra on one sample, written as scalar code for this project and CasADi and as arrays
for JAX and PyTorch: value and gradient, for ba and ht the Jacobian, for kmeans-hvp the Hessian times a vector. C by hand
stands in `benchmarks/by_hand.c`.
Before anything was timed, all answers agreed with each other, and with differences of NumPy code that knows no derivative.

What they are, and what their sizes count: gmm, a mixture of Gaussians (dimensions × clusters × points); ba, bundle
adjustment (observations); lstm and rnn, recurrent networks (characters × width, steps × samples); ht, the tracking of a
hand (points); kmeans, clustering (points × clusters × dimensions); lse, logsumexp (terms); ode, a system by Runge and Kutta
(dimensions × steps); det, a determinant by minors (rows); llsq, least squares of polynomials (samples × coefficients);
particle, a path whose force is a gradient (steps); saddle, a maximum inside a minimum (dimensions × steps); lorenz, Lorenz'
equations (steps); heat, the heat equation (steps × points); dense, a layer of so many neurons; convolution (points); lu, a
factorisation (rows).
"""


if __name__ == "__main__":
    main()
