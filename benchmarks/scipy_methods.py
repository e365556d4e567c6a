"""SciPy's methods with exact derivatives, beside finite differences and JAX: how often they ask, and how long they take.

    python benchmarks/scipy_methods.py              checks the answers, measures, prints, writes benchmarks/scipy_methods.md
    python benchmarks/scipy_methods.py --rounds 1   quicker, and less sure

A problem is written once, on arrays, and solved with the derivatives of each contender: what SciPy makes of finite differences,
this project's transforms, the same compiled by jit, and JAX compiled in an environment of its own. Compiling is done before
the clock starts; what is counted is processor time on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import integrate, optimize, sparse

HERE = Path(__file__).resolve().parent
PAGE = HERE / "scipy_methods.md"
CONTENDERS = {
    "differences": "finite differences",
    "eager": "this project",
    "compiled": "this project, compiled",
    "jax": "JAX, compiled",
}

# -- the functions, on any kind of array: arithmetic, and what `xp` has


def rosenbrock(xp: Any, x: Any) -> Any:
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def broyden(xp: Any, x: Any) -> Any:
    """Broyden's tridiagonal equations (Moré, Garbow and Hillstrom, problem 30)."""
    inner = (3.0 - 2.0 * x) * x + 1.0
    return inner - xp.concatenate([x[:1] * 0.0, x[:-1]]) - 2.0 * xp.concatenate([x[1:], x[:1] * 0.0])


def robertson(xp: Any, y: Any) -> Any:
    """Robertson's stiff reaction, with rates from 1e-2 to 1e7."""
    slow, fast, mixed = 0.04 * y[0], 3e7 * y[1] ** 2, 1e4 * y[1] * y[2]
    return xp.stack([mixed - slow, slow - mixed - fast, fast])


TIMES = np.linspace(0.0, 4.0, 60)
DATA = 2.5 * np.exp(-1.3 * TIMES) + 0.5 + 0.01 * np.sin(37.0 * TIMES)


def decay(xp: Any, p: Any) -> Any:
    return p[0] * xp.exp(-p[1] * TIMES) + p[2]


# -- what a contender offers: functions of one array, already compiled where it compiles


class Derivatives(NamedTuple):
    value_and_grad: Callable[..., Any]
    hessian: Callable[..., Any]
    hvp: Callable[..., Any]
    jacobian: Callable[..., Any]
    value: Callable[..., Any]
    sparse_hessian: Callable[..., Any]
    sparse_jacobian: Callable[..., Any]


def eager() -> Derivatives:
    import micrograd as mg

    def of(transform: Any, **options: Any) -> Any:
        return lambda f, x: transform(lambda x: f(np, x), **options)

    return Derivatives(
        of(mg.value_and_grad),
        of(mg.hessian),
        lambda f, x: lambda x, p: mg.hvp(lambda x: f(np, x), (x,), (p,)),
        of(mg.jacobian),
        lambda f, x: lambda x: f(np, x),
        of(mg.hessian, sparse=True),
        of(mg.jacobian, sparse=True),
    )


def compiled() -> Derivatives:
    import micrograd as mg

    def of(transform: Any) -> Any:
        return lambda f, x: warm(mg.jit(transform(lambda x: f(np, x))), x)

    def at_entries(transform: Any) -> Any:
        """Only the entries that the graph connects are computed, as one array."""

        def make(f: Any, x: Any) -> Any:
            found = sparse.coo_array(transform(lambda x: f(np, x), sparse=True)(x))
            rows, columns = found.coords
            entries = warm(mg.jit(lambda x: transform(lambda x: f(np, x))(x)[rows, columns]), x)
            return lambda x: sparse.csr_array((entries(x), (rows, columns)), shape=found.shape)

        return make

    return Derivatives(
        of(mg.value_and_grad),
        of(mg.hessian),
        lambda f, x: warm(mg.jit(lambda x, p: mg.hvp(lambda x: f(np, x), (x,), (p,))), x, x),
        of(mg.jacobian),
        of(lambda f: f),
        at_entries(mg.hessian),
        at_entries(mg.jacobian),
    )


def jax() -> Derivatives:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def of(transform: Any, dense: bool = True) -> Any:
        def make(f: Any, x: Any) -> Any:
            done = warm(jax.jit(transform(lambda x: f(jnp, x))), x)
            return lambda x: jax.tree.map(np.asarray, done(x)) if dense else sparse.csr_array(np.asarray(done(x)))

        return make

    def hvp(f: Any, x: Any) -> Any:
        product = jax.jit(lambda x, p: jax.jvp(jax.grad(lambda x: f(jnp, x)), (x,), (p,))[1])
        return lambda x, p: np.asarray(warm(product, x, p)(x, p))

    return Derivatives(
        of(jax.value_and_grad), of(jax.hessian), hvp, of(jax.jacobian), of(lambda f: f),
        of(jax.hessian, dense=False), of(jax.jacobian, dense=False),
    )  # fmt: skip


def warm(f: Any, *args: Any) -> Any:
    f(*args)
    return f


# -- the problems: each makes a solver of what a contender offers, or of nothing where differences are to be taken


def minimised(method: str, second: str = "") -> Callable[[Derivatives | None], Callable[[], Any]]:
    x0 = np.full(20, 1.1) if method == "dogleg" else np.tile([-1.2, 1.0], 10)  # which wants a convex place

    def problem(d: Derivatives | None) -> Callable[[], Any]:
        if d is None:
            function, more = lambda x: rosenbrock(np, x), {"jac": None if method != "trust-constr" else "2-point"}
        else:
            function, more = d.value_and_grad(rosenbrock, x0), {"jac": True}
            if second:
                more["hess" if second != "hvp" else "hessp"] = getattr(d, second)(rosenbrock, x0)
        return lambda: optimize.minimize(
            function, x0, method=method, options={"maxfun" if method == "TNC" else "maxiter": 5000}, **more
        )

    return problem


def root_of(method: str) -> Callable[[Derivatives | None], Callable[[], Any]]:
    x0 = -np.ones(20)

    def problem(d: Derivatives | None) -> Callable[[], Any]:
        function = (lambda x: broyden(np, x)) if d is None else d.value(broyden, x0)
        jac = None if d is None else d.jacobian(broyden, x0)
        return lambda: optimize.root(function, x0, jac=jac, method=method)

    return problem


def least_squares(d: Derivatives | None) -> Callable[[], Any]:
    x0 = -np.ones(100)
    function = (lambda x: broyden(np, x)) if d is None else d.value(broyden, x0)
    jac: Any = "2-point" if d is None else d.sparse_jacobian(broyden, x0)
    return lambda: optimize.least_squares(function, x0, jac=jac, method="trf")


def stiff(method: str) -> Callable[[Derivatives | None], Callable[[], Any]]:
    y0 = np.array([1.0, 0.0, 0.0])

    def problem(d: Derivatives | None) -> Callable[[], Any]:
        function = (lambda t, y: robertson(np, y)) if d is None else (lambda f: lambda t, y: f(y))(d.value(robertson, y0))
        jac = None if d is None else (lambda j: lambda t, y: j(y))(d.jacobian(robertson, y0))
        options: Any = {"method": method, "jac": jac, "rtol": 1e-6, "atol": 1e-10}
        return lambda: integrate.solve_ivp(function, (0.0, 1e5), y0, **options)

    return problem


def fitted(d: Derivatives | None) -> Callable[[], Any]:
    p0 = np.array([1.0, 1.0, 0.0])
    function = (lambda p: decay(np, p)) if d is None else d.value(decay, p0)
    jac = None if d is None else (lambda j: lambda t, *p: j(np.array(p)))(d.jacobian(decay, p0))

    def solve() -> Any:
        p, _, info, _, _ = optimize.curve_fit(
            lambda t, *p: function(np.array(p)), TIMES, DATA, p0, jac=jac, full_output=True, method="lm"
        )
        return optimize.OptimizeResult(x=p, nfev=info["nfev"], njev=info.get("njev"), success=True)

    return solve


PROBLEMS: dict[str, Callable[[Derivatives | None], Callable[[], Any]]] = {
    **{f"minimize {m}": minimised(m) for m in ("BFGS", "L-BFGS-B", "CG", "TNC", "SLSQP")},
    "minimize Newton-CG, Hessian": minimised("Newton-CG", "hessian"),
    "minimize Newton-CG, products": minimised("Newton-CG", "hvp"),
    **{f"minimize {m}, Hessian": minimised(m, "hessian") for m in ("trust-exact", "trust-ncg", "dogleg")},
    "minimize trust-krylov, products": minimised("trust-krylov", "hvp"),
    "minimize trust-constr, sparse Hessian": minimised("trust-constr", "sparse_hessian"),
    "root hybr": root_of("hybr"),
    "root lm": root_of("lm"),
    "least_squares trf, sparse Jacobian of 100": least_squares,
    **{f"solve_ivp {m}": stiff(m) for m in ("BDF", "Radau", "LSODA")},
    "curve_fit": fitted,
}
NEEDS_A_GRADIENT = ("Newton-CG", "trust-exact", "trust-ncg", "trust-krylov", "dogleg")  # no differences are taken for these


def right(name: str, result: Any) -> bool:
    """Whether the answer is one: a stationary point, equations that hold, the known curve, what is left of the reaction."""
    if name.startswith("minimize"):
        return bool(np.abs(optimize.rosen_der(result.x)).max() < 2e-2)
    if name.startswith("solve_ivp"):
        return bool(result.success and abs(result.y[:, -1].sum() - 1.0) < 1e-6 and abs(result.y[2, -1] - 0.982) < 2e-3)
    if name == "curve_fit":
        return bool(np.allclose(result.x, [2.5, 1.3, 0.5], atol=0.02))
    return bool(result.success and np.abs(broyden(np, result.x)).max() < 1e-6)


def evaluations(result: Any) -> list[int]:
    """How often the function, its first and its second derivatives were asked for."""
    return [int(getattr(result, name, None) or 0) for name in ("nfev", "njev", "nhev")]


def work(contender: str) -> None:
    """Answer the names of problems with [seconds, evaluations, right], until there is no more to read."""
    offered = None if contender == "differences" else globals()[contender]()
    solvers: dict[str, Callable[[], Any]] = {}
    for line in sys.stdin:
        name = json.loads(line)
        if name not in solvers:
            solvers[name] = PROBLEMS[name](offered)
            solvers[name]()
        start = time.process_time()
        result = solvers[name]()
        print(json.dumps([time.process_time() - start, evaluations(result), right(name, result)]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender takes its turn (5)")
    parser.add_argument("--work", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
        return
    from peers import REQUIREMENTS, python_with

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = str(HERE.parent)
    contenders = {}
    for name in CONTENDERS:
        python = os.environ.get("MICROGRAD_JAX_PYTHON") or python_with("jax") if name == "jax" else sys.executable
        contenders[name] = subprocess.Popen([python, __file__, "--work", name], stdin=-1, stdout=-1, text=True, env=environment)
    rows = [f"| | {' | '.join(CONTENDERS.values())} |", "|---" * (len(CONTENDERS) + 1) + "|"]
    for problem in PROBLEMS:
        seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        asked: dict[str, list[int]] = {}
        for i in range(options.rounds):
            order = list(CONTENDERS)[i % len(CONTENDERS) :] + list(CONTENDERS)[: i % len(CONTENDERS)]
            for name in order:
                if name == "differences" and any(f" {method}" in problem for method in NEEDS_A_GRADIENT):
                    continue
                process = contenders[name]
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(json.dumps(problem) + "\n")
                process.stdin.flush()
                taken, asked[name], is_right = json.loads(process.stdout.readline())
                seconds[name].append(taken if is_right else float("nan"))
        cells = []
        for name in CONTENDERS:
            if name not in asked:
                cells.append("takes none")
                continue
            counts = ", ".join(str(n) for n in asked[name][: 3 if asked[name][2] else 2])
            median = statistics.median(seconds[name])
            cells.append(f"{counts}; {1e3 * median:.3g} ms" if median == median else f"{counts}; not solved")
        rows.append(f"| {problem} | {' | '.join(cells)} |")
        print(rows[-1], file=sys.stderr)
    for process in contenders.values():
        process.communicate()
    text = "\n".join(
        [
            "# SciPy's methods with exact derivatives",
            "",
            f"Written by `python benchmarks/scipy_methods.py`: the median of {options.rounds} rounds in turns, processor time",
            f"on one core, {REQUIREMENTS['jax'][0].replace('==', ' ')}.",
            "",
            "Rosenbrock's function in 20 dimensions from the classical start, Broyden's tridiagonal equations (20 of them, and",
            "100 for the sparse ones), Robertson's stiff reaction up to t = 10⁵, and an exponential fitted to 60 points. Each",
            "cell: how often SciPy counted the function, its first (and second) derivatives, then the time; compiling was done",
            "before. Without exact derivatives SciPy takes differences, and a gradient costs as many calls as there are",
            "dimensions; the methods whose cell says so take none.",
            "",
            *rows,
        ]
    )
    print(text)
    PAGE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
