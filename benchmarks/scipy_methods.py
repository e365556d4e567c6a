"""SciPy's methods with exact derivatives, beside finite differences and JAX: how often they ask, and how long they take.

    python benchmarks/scipy_methods.py              checks the answers, measures, prints, writes benchmarks/scipy_methods.md
    python benchmarks/scipy_methods.py --rounds 1   quicker, and less sure

A problem is written once, on arrays, in tests/functional/scipy_problems.py, and solved with the derivatives of each contender:
what SciPy makes of finite differences, this project's transforms, the same compiled by jit, and JAX compiled in an environment
of its own. Compiling is done before the clock starts; what is counted is processor time on one core.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from peers import REQUIREMENTS, processor, python_with, turns
from scipy import sparse

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "functional"))

import scipy_problems  # noqa: E402
from scipy_problems import PROBLEMS, Derivatives, evaluations, right, warm  # noqa: E402

PAGE = HERE / "scipy_methods.md"
CONTENDERS = {
    "differences": "finite differences",
    "eager": "this project",
    "compiled": "this project, compiled",
    "jax": "JAX, compiled",
}


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


NEEDS_A_GRADIENT = ("Newton-CG", "trust-exact", "trust-ncg", "trust-krylov", "dogleg")  # no differences are taken for these


def work(contender: str) -> None:
    """Answer the names of problems with [seconds, evaluations, right], until there is no more to read."""
    offered = None if contender == "differences" else jax() if contender == "jax" else getattr(scipy_problems, contender)()
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
    rounds = turns(__doc__, CONTENDERS, 5, work)
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
        for i in range(rounds):
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
            f"Written by `python benchmarks/scipy_methods.py`: the median of {rounds} rounds in turns, processor time",
            f"on one core ({processor()}). Python {platform.python_version()}, NumPy {np.__version__},",
            f"SciPy {scipy.__version__}, LLVM back end, JAX {REQUIREMENTS['jax'][0].partition('==')[2]}.",
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
