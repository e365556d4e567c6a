"""Derivatives of functions beside HIPS autograd, JAX and CasADi: the same functions, one run, one core.

    python benchmarks/functional.py              checks that results agree, measures, prints, writes benchmarks/functional.md
    python benchmarks/functional.py --rounds 3   quicker, and less sure

Each contender is one process that waits for orders, all pinned to one core, each peer in an environment of its own
(benchmarks/peers.py). They take turns, so that a change in the machine's mood meets all of them; what is counted is
processor time, so that a busy machine does not count; and every ratio is the median of the ratios of single rounds.
The functions are written once, on arrays, with each contender's own NumPy.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from peers import REQUIREMENTS, python_with, turns

HERE = Path(__file__).resolve().parent
PAGE = HERE / "functional.md"

TASKS = {
    "rosenbrock": "Rosenbrock in 50 dimensions: the Hessian",
    "pendulum": "Pendulum of 3 links: mass matrix and accelerations from the Lagrangian",
    "greeks": "Black-Scholes: delta, vega, gamma, vanna, volga, speed",
}
CONTENDERS = {
    "micrograd": "micrograd",
    "sparse": "micrograd, sparse",
    "autograd": "autograd",
    "jax": "JAX, eager",
    "casadi": "CasADi, built each time",
    "jit": "JAX, compiled before",
    "built": "CasADi, built before",
}
X = [0.9 + 0.2 * math.sin(3.0 * i) for i in range(50)]
Q, V = [0.4, -0.7, 1.1], [0.3, 0.5, -0.2]
LENGTH, MASS, GRAVITY = 0.7, 1.3, 9.81
SPOT, VOLATILITY, STRIKE, RATE, EXPIRY = 100.0, 0.2, 105.0, 0.03, 0.75


# The functions. `np` is the contender's own NumPy, with sum, cumsum, sin, cos, exp, log, sqrt and erf.


def rosenbrock(np: Any, x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def lagrangian(np: Any, q: Any, v: Any) -> Any:
    """Kinetic less potential energy of equal point masses on equal massless rods, by the angles from the vertical."""
    vx, vy = np.cumsum(LENGTH * np.cos(q) * v), np.cumsum(LENGTH * np.sin(q) * v)
    height = -np.cumsum(LENGTH * np.cos(q))
    return np.sum(0.5 * MASS * (vx**2 + vy**2) - MASS * GRAVITY * height)


def call_price(np: Any, x: Any) -> Any:
    """A European call by spot price and volatility, x = (S, σ)."""
    spread = x[1] * math.sqrt(EXPIRY)
    d1 = (np.log(x[0] / STRIKE) + (RATE + x[1] ** 2 / 2) * EXPIRY) / spread
    d2 = d1 - spread

    def normal(d: Any) -> Any:
        return 0.5 * (1.0 + np.erf(d / math.sqrt(2.0)))

    return x[0] * normal(d1) - STRIKE * math.exp(-RATE * EXPIRY) * normal(d2)


# What the results must be, without automatic differentiation.


def truth(task: str) -> list[float]:
    if task == "rosenbrock":
        n, h = len(X), [[0.0] * len(X) for _ in X]
        for i in range(n - 1):
            h[i][i] += 1200.0 * X[i] ** 2 - 400.0 * X[i + 1] + 2.0
            h[i + 1][i + 1] += 200.0
            h[i][i + 1] = h[i + 1][i] = -400.0 * X[i]
        return [e for row in h for e in row]
    if task == "pendulum":
        weights = [[MASS * (3 - max(i, j)) * LENGTH**2 for j in range(3)] for i in range(3)]
        matrix = [[weights[i][j] * math.cos(Q[i] - Q[j]) for j in range(3)] for i in range(3)]
        force = [
            -sum(weights[i][j] * math.sin(Q[i] - Q[j]) * V[j] ** 2 for j in range(3))
            - MASS * (3 - i) * GRAVITY * LENGTH * math.sin(Q[i])
            for i in range(3)
        ]
        return [*(e for row in matrix for e in row), *solved(matrix, force)]
    root = math.sqrt(EXPIRY)
    d1 = (math.log(SPOT / STRIKE) + (RATE + VOLATILITY**2 / 2) * EXPIRY) / (VOLATILITY * root)
    d2 = d1 - VOLATILITY * root
    density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    gamma, vega = density / (SPOT * VOLATILITY * root), SPOT * density * root
    delta, vanna, volga = 0.5 * (1 + math.erf(d1 / math.sqrt(2))), -density * d2 / VOLATILITY, vega * d1 * d2 / VOLATILITY
    return [delta, vega, gamma, vanna, volga, -gamma / SPOT * (d1 / (VOLATILITY * root) + 1)]


def solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """The solution of a small system of equations, by elimination without pivots (a mass matrix needs none)."""
    rows = [[*row, r] for row, r in zip(matrix, right, strict=True)]
    for i, pivot in enumerate(rows):
        for j, row in enumerate(rows):
            if i != j:
                factor = row[i] / pivot[i]
                rows[j] = [a - factor * b for a, b in zip(row, pivot, strict=True)]
    return [row[-1] / row[i] for i, row in enumerate(rows)]


# The contenders. A program is a function and what to call it with.

Programs = dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]


def with_transforms(np: Any, array: Any, solve: Any, grad: Any, jacobian: Any, hessian: Any) -> Programs:
    """The tasks in the words that micrograd, autograd and JAX share."""
    x, q, v, market = array(X), array(Q), array(V), array([SPOT, VOLATILITY])

    def energy(q: Any, v: Any) -> Any:
        return lagrangian(np, q, v)

    def price(x: Any) -> Any:
        return call_price(np, x)

    def along_spot(spot: Any) -> Any:
        return call_price(np, (spot, VOLATILITY))

    second = hessian(lambda x: rosenbrock(np, x))
    mass, mixed, force = hessian(energy, 1), jacobian(grad(energy, 1), 0), grad(energy, 0)
    first_order, second_order, speed = grad(price), hessian(price), grad(grad(grad(along_spot)))

    def pendulum(q: Any, v: Any) -> Any:
        m = mass(q, v)
        return m, solve(m, force(q, v) - mixed(q, v) @ v)

    def greeks(x: Any, spot: Any) -> Any:
        (delta, vega), h = first_order(x), second_order(x)
        return delta, vega, h[0][0], h[0][1], h[1][1], speed(spot)

    return {"rosenbrock": (second, (x,)), "pendulum": (pendulum, (q, v)), "greeks": (greeks, (market, SPOT))}


def with_micrograd() -> Programs:
    sys.path.insert(0, str(HERE.parent))
    import numpy as np

    import micrograd as mg

    functions = SimpleNamespace(sum=np.sum, cumsum=np.cumsum, sin=np.sin, cos=np.cos, erf=mg.erf, log=mg.log)

    return with_transforms(functions, np.array, np.linalg.solve, mg.grad, mg.jacobian, mg.hessian)


def with_sparse() -> Programs:
    sys.path.insert(0, str(HERE.parent))
    import numpy as np

    import micrograd as mg

    x, second = np.array(X), mg.hessian(lambda x: rosenbrock(np, x), sparse=True)
    return {"rosenbrock": (second, (x,))}


def with_autograd() -> Programs:
    import autograd
    import autograd.numpy as np
    from autograd.scipy.special import erf

    functions = SimpleNamespace(sum=np.sum, cumsum=np.cumsum, sin=np.sin, cos=np.cos, erf=erf, log=np.log)

    return with_transforms(functions, np.array, np.linalg.solve, autograd.grad, autograd.jacobian, autograd.hessian)


def with_jax(compiled: bool = False) -> Programs:
    import jax
    import jax.numpy as jnp
    from jax.scipy.special import erf

    jax.config.update("jax_enable_x64", True)

    functions = SimpleNamespace(sum=jnp.sum, cumsum=jnp.cumsum, sin=jnp.sin, cos=jnp.cos, erf=erf, log=jnp.log)

    programs = with_transforms(functions, jnp.array, jnp.linalg.solve, jax.grad, jax.jacobian, jax.hessian)
    change = jax.jit if compiled else lambda function: function

    def waiting(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: jax.block_until_ready(function(*args))

    return {name: (waiting(change(function)), args) for name, (function, args) in programs.items()}


def with_jit() -> Programs:
    return with_jax(compiled=True)


def with_casadi(built: bool = False) -> Programs:
    import casadi as ca

    functions = SimpleNamespace(sum=ca.sum1, cumsum=ca.cumsum, sin=ca.sin, cos=ca.cos, erf=ca.erf, log=ca.log)

    def second() -> Any:
        x = ca.SX.sym("x", len(X))
        return ca.Function("h", [x], [ca.hessian(rosenbrock(functions, x), x)[0]])

    def pendulum() -> Any:
        q, v = ca.SX.sym("q", 3), ca.SX.sym("v", 3)
        energy = lagrangian(functions, q, v)
        mass, momentum = ca.hessian(energy, v)
        force = ca.gradient(energy, q) - ca.jacobian(momentum, q) @ v
        return ca.Function("p", [q, v], [mass, ca.solve(mass, force)])

    def greeks() -> Any:
        x = ca.SX.sym("x", 2)
        h, g = ca.hessian(call_price(functions, x), x)
        speed = ca.gradient(h[0, 0], x)[0]
        return ca.Function("g", [x], [g[0], g[1], h[0, 0], h[0, 1], h[1, 1], speed])

    builds = {"rosenbrock": (second, (X,)), "pendulum": (pendulum, (Q, V)), "greeks": (greeks, ([SPOT, VOLATILITY],))}
    if built:
        return {name: (build(), args) for name, (build, args) in builds.items()}
    return {name: (lambda *args, build=build: build()(*args), args) for name, (build, args) in builds.items()}


def with_built() -> Programs:
    return with_casadi(built=True)


def flat(result: Any) -> list[float]:
    if isinstance(result, (tuple, list)):
        return [e for part in result for e in flat(part)]
    if hasattr(result, "toarray"):  # SciPy's sparse arrays and CasADi's matrices
        result = result.toarray()
    elif hasattr(result, "full"):
        result = result.full()
    return [float(e) for e in result.reshape(-1)] if hasattr(result, "reshape") else [float(result)]


def work(contender: str) -> None:
    """Answer orders [task, number of calls] with [seconds per call, result], until there is no more to read."""
    programs = globals()[f"with_{contender}"]()
    print(json.dumps(sorted(programs)), flush=True)
    for line in sys.stdin:
        task, calls = json.loads(line)
        (program, args), result = programs[task], None
        start = time.process_time()  # of all its threads, on one core: what other processes do meanwhile does not count
        for _ in range(calls):
            result = program(*args)
        seconds = (time.process_time() - start) / calls
        print(json.dumps([seconds, flat(result)]), flush=True)


class Contender:
    """One process, and what it takes to keep it busy for about `slice` seconds per order."""

    slice = 0.1

    def __init__(self, name: str, python: Path):
        quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
        self.name, self.calls = name, dict.fromkeys(TASKS, 1)
        self.process = subprocess.Popen(
            [python, __file__, "--work", name], stdin=-1, stdout=-1, text=True, env={**os.environ, **quiet}
        )
        self.tasks = self.answer()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with {self.process.wait()}")
        return json.loads(line)

    def run(self, task: str) -> tuple[float, list[float]]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([task, self.calls[task]]) + "\n")
        self.process.stdin.flush()
        seconds, result = self.answer()
        return seconds, result

    def warm_up(self, task: str) -> list[float]:
        self.run(task)
        self.run(task)
        seconds, result = self.run(task)
        self.calls[task] = max(1, round(self.slice / seconds))
        return result


def off(result: list[float], expected: list[float]) -> float:
    """The largest difference, relative to the largest number expected."""
    scale = max(map(abs, expected))
    return max(abs(a - b) for a, b in zip(result, expected, strict=True)) / scale


def measure(rounds: int) -> dict[str, dict[str, list[float]]]:
    ours = Path(sys.executable)
    homes = {"micrograd": ours, "sparse": ours, "jit": python_with("jax"), "built": python_with("casadi")}
    contenders = [Contender(name, homes.get(name) or python_with(name)) for name in CONTENDERS]
    seconds: dict[str, dict[str, list[float]]] = {task: {} for task in TASKS}
    for task, title in TASKS.items():
        takers = [c for c in contenders if task in c.tasks]
        for c in takers:
            wrong = off(c.warm_up(task), truth(task))
            if not wrong < 1e-11:
                raise SystemExit(f"{title}: {c.name} is off by {wrong:.1e}")
        for i in range(rounds):
            for c in takers[i % len(takers) :] + takers[: i % len(takers)]:
                seconds[task].setdefault(c.name, []).append(c.run(task)[0])
        print(f"{title}: {', '.join(f'{c.name} {shown(seconds[task][c.name])}' for c in takers)}", file=sys.stderr)
    for c in contenders:
        assert c.process.stdin is not None
        c.process.stdin.close()
        c.process.wait()
    return seconds


def shown(seconds: list[float]) -> str:
    """The median, and the quartiles around it."""
    low, middle, high = [1e3 * q for q in statistics.quantiles(seconds, n=4)] if len(seconds) > 1 else [1e3 * seconds[0]] * 3
    digits = max(0, 2 - math.floor(math.log10(middle)))
    return f"{middle:.{digits}f} ms ({low:.{digits}f} to {high:.{digits}f})"


def table(seconds: dict[str, dict[str, list[float]]], rounds: int) -> str:
    about = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(":")[1].strip() for line in about if "model name" in line), platform.processor())
    peers = ", ".join(REQUIREMENTS[peer][0].replace("==", " ") for peer in ("autograd", "jax", "casadi"))
    lines = [
        "# Derivatives of functions, beside autograd, JAX and CasADi",
        "",
        f"Written by `python benchmarks/functional.py`: {rounds} rounds in one run on one core ({cpu}), Python "
        f"{platform.python_version()}, {peers}.",
        "",
        "Each cell: the median processor time of one call (and the quartiles), then its ratio to this project's, the median of",
        "the ratios of single rounds; below 1 is faster than this project. All results were checked before timing, against",
        "closed forms, to 1 part in 10¹¹. The functions are written once, on arrays; for this project an array is one of",
        "scalars, whose graph is built anew at every call, as autograd and eager JAX trace anew. The last two columns",
        "compile or build before the clock starts: what they show is what this project's tape is for.",
        "",
        "| | " + " | ".join(CONTENDERS.values()) + " |",
        "|---" * (len(CONTENDERS) + 1) + "|",
    ]
    for task, title in TASKS.items():
        ours = seconds[task]["micrograd"]
        cells = []
        for name in CONTENDERS:
            if name not in seconds[task]:
                cells.append("")
                continue
            theirs = seconds[task][name]
            ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
            cells.append(shown(theirs) + ("" if name == "micrograd" else f", **{ratio:.3g} ×**"))
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    rounds = turns(__doc__, CONTENDERS, 15, work)
    text = table(measure(rounds), rounds)
    print(text)
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
