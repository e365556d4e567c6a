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

DERIVATIVES = """
## Derivatives

A partial derivative is a formula of the rule book, and right to a few units of the largest number met on the way. 10,000
operands for each function, of every size from 1e-300 to 1e300, were compared with mpmath, to the second derivative. What is
off by more than 4 units of the derivative itself, or is not a number where that is one, comes from one of these:

- `tanh`, `sigmoid`: 1 − a² and a (1 − a) lose their digits as the function saturates, up to all of them: from |x| = 19.1 and
  from x = 36.8 on the derivative is 0, as the second one of `softplus` is then.
- `cbrt`: 9 units, for the value of the C library is up to 3 off, and stands there twice. It stays that of the library, which
  every back end and language calls, so that all have the same bits.
- `pow`: an exponent that is a whole number of quarters, up to 16, is taken as it stands, c · x ** (y − n): where that power is
  below the smallest normal number it has the digits that it has, and for |c| < 1 it may be infinite a factor of c too early.
  Of other exponents, the second derivative by x is infinite where x and y both are below 2.2e-308. The one by x and y is a
  difference where y log x is near −1, and right to units of its terms.
- `exp2`: where the value overflows, though its derivative would not, that is infinite.
- `div`: where a quotient on the way is below the smallest normal number, 2.2e-308.
- Second derivatives: 6 units for `asin`, `acos`, `asinh`, `acosh` and `atan2`, 19 for `cbrt`. Where √(x² + y²) is below
  1e-308, those of `hypot` and `atan2` may be infinite or nan.
- `lgamma`, `digamma`, `polygamma`: near their zeros, units of the terms whose difference they are.
- `logsumexp`, `logaddexp`: derivatives are as many units off as the largest operand is large, 500 at 640. A value near 0 is
  right to units of the largest operand.
- `ndtr`, Φ: 5 units, for its derivative is a square. Near the zeros of their derivatives, `gelu` and `silu` are right to units
  of the terms whose difference they are.
- `norm`, `std`: where one operand is nearly all of the length, its second derivative is right to units of 1 / |x|. Derivatives
  have the digits that the length has: few below 2.2e-308, none where it overflows.
""".strip("\n").split("\n")
DERIVATIVES.insert(0, "")


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
        "hold compiled functions to 4 units, `softplus` and `power_log`, made of two, to 6, `lgamma` and `digamma` to 8, and",
        "arithmetic to 0.5. Primitives that choose one of their arguments have no error; `logsumexp`, `norm`, `sum` and",
        "`dot` have that of their operations, in order. `lgamma` and `digamma` are differences where they are below 1: there",
        "it is in units of 1.",
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
    lines += DERIVATIVES
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
