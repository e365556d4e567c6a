"""Writes docs/accuracy.md: how far elementary functions are from the truth, in units in the last place.

    python benchmarks/accuracy.py

The truth is mpmath's with 40 digits, at the same arguments.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np

from micrograd.primitives import RULES
from micrograd.tape import jit

PAGE = Path(__file__).resolve().parent.parent / "docs" / "accuracy.md"
COUNT = 20_000
EAGER, COMPILED, SINGLE = SIDES = ("eager, or exact", "compiled", "compiled, float32")

# What is true, and the widest arguments asked for. The other primitives choose one of their arguments.
TRUTH: dict[str, tuple[Callable[..., Any], tuple[float, float]]] = {
    "add": (lambda x, y: x + y, (-1e30, 1e30)),
    "sub": (lambda x, y: x - y, (-1e30, 1e30)),
    "mul": (lambda x, y: x * y, (-1e15, 1e15)),
    "div": (lambda x, y: x / y, (-1e15, 1e15)),
    "neg": (lambda x: -x, (-1e30, 1e30)),
    "pow": (lambda x, y: x**y, (0.0, 20.0)),
    "sqrt": (mpmath.sqrt, (0.0, 1e30)),
    "exp": (mpmath.exp, (-80.0, 80.0)),
    "expm1": (mpmath.expm1, (-80.0, 80.0)),
    "log": (mpmath.log, (0.0, 1e30)),
    "log2": (lambda x: mpmath.log(x, 2), (0.0, 1e30)),
    "log10": (mpmath.log10, (0.0, 1e30)),
    "exp2": (lambda x: mpmath.mpf(2) ** x, (-80.0, 80.0)),
    "log1p": (mpmath.log1p, (-1.0, 1e30)),
    "cbrt": (lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), (-1e30, 1e30)),
    "hypot": (mpmath.hypot, (-1e15, 1e15)),
    "sin": (mpmath.sin, (-1e4, 1e4)),
    "cos": (mpmath.cos, (-1e4, 1e4)),
    "tan": (mpmath.tan, (-1e4, 1e4)),
    "asin": (mpmath.asin, (-1.0, 1.0)),
    "acos": (mpmath.acos, (-1.0, 1.0)),
    "atan": (mpmath.atan, (-1e4, 1e4)),
    "atan2": (mpmath.atan2, (-1e4, 1e4)),
    "asinh": (mpmath.asinh, (-1e4, 1e4)),
    "acosh": (mpmath.acosh, (1.0, 1e4)),
    "atanh": (mpmath.atanh, (-1.0, 1.0)),
    "sinh": (mpmath.sinh, (-80.0, 80.0)),
    "cosh": (mpmath.cosh, (-80.0, 80.0)),
    "tanh": (mpmath.tanh, (-80.0, 80.0)),
    "sigmoid": (lambda x: 1 / (1 + mpmath.exp(-x)), (-80.0, 80.0)),
    "softplus": (lambda x: mpmath.log1p(mpmath.exp(x)), (-80.0, 80.0)),
    "erf": (mpmath.erf, (-80.0, 80.0)),
    "erfc": (mpmath.erfc, (-5.0, 5.0)),
}


def arguments(name: str, side: str, count: int) -> np.ndarray:
    """As many rows of numbers as the primitive takes arguments; half of them near 0 where it takes such, the rest anywhere."""
    rng = np.random.default_rng(0)
    low, high = TRUTH[name][1]
    arity = len(RULES[name].partials)
    X = rng.uniform(low, high, (arity, count))
    near = rng.normal(size=(arity, count // 2)) * 3
    np.copyto(X[:, : count // 2], near, where=(low < near) & (near < high))
    return X.astype(np.float32) if side == SINGLE else X


def worst(name: str, side: str, count: int) -> float:
    """The largest error of a primitive's value, in units in the last place of what is true."""
    rule, (truth, _), X = RULES[name], TRUTH[name], arguments(name, side, count)
    if side == EAGER:
        found = [rule.on_floats(args) for args in X.T.tolist()]
    else:
        found = jit(lambda *args: rule(*args), backend="llvm", dtype=X.dtype).map(*X).tolist()
    largest = 0.0
    with mpmath.workdps(40):
        for args, value in zip(X.T.tolist(), found, strict=True):
            expected = truth(*map(mpmath.mpf, args))
            nearest = float(expected)
            unit = math.ulp(nearest) if side != SINGLE else float(np.spacing(np.float32(abs(nearest))))
            largest = max(largest, float(abs(value - expected) / unit) if math.isfinite(value) else math.inf)
    return largest


def main() -> None:
    lines = [
        "# How far elementary functions are from the truth",
        "",
        f"The largest error in units in the last place over {COUNT:,} arguments, half of them normally distributed around 0",
        "with a deviation of 3 where that is in the range, the rest uniformly over it; 0.5 is correctly rounded. The tests",
        "hold compiled functions to 4 units, `softplus`, made of two, to 6, and arithmetic to 0.5. Primitives that choose one",
        "of their arguments have no error; `logsumexp`, `sum` and `dot` have that of their operations, in order.",
        "Written by `python benchmarks/accuracy.py`: "
        f"{platform.system()}, {' '.join(platform.libc_ver())}, {platform.machine()}, mpmath {mpmath.__version__}.",
        "",
        f"| primitive | range | {' | '.join(SIDES)} |",
        "|---|---|---|---|---|",
    ]
    for name, (_, (low, high)) in TRUTH.items():
        errors = " | ".join(f"{worst(name, side, COUNT):.2f}" for side in SIDES)
        lines.append(f"| `{name}` | {low:g} to {high:g} | {errors} |".replace("-", "−"))
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
