"""Random functions on Values for the tests of the tape: every primitive, sharing, constants, chains, wide sums."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

import micrograd as mg
from micrograd.primitives import RULES

UNARY = [r for r in RULES.values() if not r.variadic and len(r.partials) == 1]
BINARY = [r for r in RULES.values() if not r.variadic and len(r.partials) == 2]


def program(seed: int, size: int = 40, smooth: bool = False) -> tuple[Any, int, list[mg.Value]]:
    """A function of a list of numbers, how many it takes, and the parameters that it closes over.

    With `smooth`, only operations of which a rounding error stays one (no steps, no poles).
    """
    rng = random.Random(seed)
    inputs, leaves = rng.randint(1, 5), [mg.Value(rng.uniform(-2, 2)) for _ in range(rng.randint(1, 5))]
    calm = {"add", "sub", "mul", "neg", "sin", "cos", "tanh", "sigmoid", "softplus", "erf", "atan", "maximum", "minimum"}
    unary = [r for r in UNARY if not smooth or r.name in calm]
    binary = [r for r in BINARY if not smooth or r.name in calm]
    plan = []
    for _ in range(size):
        kind = rng.choice(["unary", "binary", "binary", "sum", "dot", "logsumexp", "chain", "where", "constant"])
        picks = [rng.random() for _ in range(rng.randint(2, 7))]
        plan.append(
            (kind, rng.choice(unary), rng.choice(binary), picks, rng.choice([0.0, 1.0, -1.0, 2.0, 0.5, rng.uniform(-3, 3)]))
        )

    def function(xs: Any) -> Any:
        pool: list[Any] = [*xs, *leaves]
        for kind, one, two, picks, number in plan:
            chosen = [pool[int((p if p < 0.7 else 1 - (1 - p) ** 3) * len(pool))] for p in picks]
            if kind == "unary":
                out = one(chosen[0])
            elif kind == "binary":
                out = two(chosen[0], chosen[1])
            elif kind == "constant":
                out = two(chosen[0], number) if picks[0] < 0.5 else two(number, chosen[0])
            elif kind == "sum":
                out = mg.sum(chosen)
            elif kind == "dot":
                half = len(chosen) // 2
                out = mg.dot(chosen[:half], chosen[half : 2 * half], chosen[-1])
            elif kind == "logsumexp":
                out = mg.logsumexp(chosen) if smooth or picks[0] < 0.5 else mg.norm(chosen)
            elif kind == "where":
                out = mg.where(chosen[0], chosen[1], number)
            else:
                out = number
                for v in chosen:
                    out = out + v * chosen[0] if picks[0] < 0.5 else out + v
            if smooth:
                out = mg.tanh(out) if isinstance(out, mg.Value) else out
            pool.append(out)
        return mg.sum(pool[-3:])

    return function, inputs, leaves


def factored(n):
    """The sum of the logarithms of the pivots of a matrix with n rows, factored without exchanges."""

    def value(x):
        rows = [list(x[n * i : n * i + n]) for i in range(n)]
        for k in range(n):
            for row in rows[k + 1 :]:
                row[k] = row[k] / rows[k][k]
                row[k + 1 :] = [a - row[k] * u for a, u in zip(row[k + 1 :], rows[k][k + 1 :], strict=True)]
        return mg.sum([mg.log(rows[k][k]) for k in range(n)])

    return value


def matrix(n):
    return (np.random.default_rng(n).normal(size=(n, n)) + 3.0 * n * np.eye(n)).ravel()
