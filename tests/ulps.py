"""Errors in units in the last place: the one place where tests and benchmarks count them."""

import math

import numpy as np
from mpmath import mpf

from micrograd import Value, adjoints


def off(got: float, truth: mpf, scale: float | None = None, single: bool = False) -> float:
    """How far `got` is from `truth`, in ulps of `scale` (where it is left out, of the truth itself), or in those of float32.

    Of a truth beyond the largest float, nothing but that it is not finite can be asked.
    """
    nearest = float(truth)
    if not (math.isfinite(nearest) and math.isfinite(got)):
        return math.inf if math.isfinite(nearest) or math.isfinite(got) else 0.0
    size = abs(nearest if scale is None else scale)
    return float(abs(mpf(got) - truth) / (float(np.spacing(np.float32(size))) if single else math.ulp(size)))


def largest_intermediate(node: Value) -> float:
    """The number whose last place is the unit for an error of `node`.

    Every intermediate of an expression is off by some units in its own last place; what arrives at the result is that
    times the derivative of the result with respect to it. This is the largest of these: for 1 - a² near a = 1 it is the
    size of a², not that of the tiny result. Inputs count for nothing, because they are exact.
    """
    arriving = [abs(g) * math.ulp(n.data) for n, g in adjoints(node).items() if n.parents]
    return max([abs(node.data), *(2.0**52 * error for error in arriving if math.isfinite(error))])
