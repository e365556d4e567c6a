"""Writes docs/accuracy.md: how far elementary functions are from the truth, in units in the last place.

    python benchmarks/accuracy.py

What is true, in mpmath with 80 digits, and which arguments are asked for stands in the tests' table, tests/truth.py.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import mpmath
import numpy as np

from micrograd.tape import jit

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "accuracy.md"
COUNT = 20_000
sys.path.insert(0, str(ROOT / "tests"))

from truth import CASES, Case  # noqa: E402


def errors(case: Case) -> list[float]:
    """The largest error of a primitive's value: eager or exact, compiled, and compiled for single precision."""
    X = case.arguments(COUNT, np.float64)
    found = [case.worst(X, [case.rule.on_floats(args) for args in X.T.tolist()])]
    for dtype in (np.float64, np.float32):
        X = case.arguments(COUNT, dtype)
        found.append(case.worst(X, jit(lambda *args: case.rule(*args), backend="llvm", dtype=dtype).map(*X).tolist()))
    return found


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
        "| primitive | range | eager, or exact | compiled | compiled, float32 |",
        "|---|---|---|---|---|",
    ]
    for case in CASES:
        if case.range is not None:
            low, high = case.range
            numbers = " | ".join(f"{error:.2f}" for error in errors(case))
            lines.append(f"| `{case.name}` | {low:g} to {high:g} | {numbers} |".replace("-", "−"))
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
