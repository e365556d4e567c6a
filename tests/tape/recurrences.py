"""Random recurrences on Values for the tests of loops: several values carried on, inputs read both ways, odd steps."""

from __future__ import annotations

import random
from typing import Any

import micrograd as mg

UNARY = (mg.tanh, mg.sin, mg.sigmoid, mg.relu, abs, lambda x: -x, lambda x: x * x)


def cell(steps: int) -> Any:
    """A recurrent network of one unit over so many numbers, with three parameters."""
    w, u, b = mg.Value(0.5), mg.Value(0.3), mg.Value(0.1)

    def run(x: Any) -> Any:
        h: Any = 0.0
        for t in range(steps):
            h = mg.tanh(w * h + u * x[t] + b)
        return h * h

    return run


def recurrence(seed: int, steps: int) -> tuple[Any, int, list[mg.Value]]:
    """A function of a list of numbers with a loop of about `steps` steps, how many it takes, and its parameters."""
    rng = random.Random(seed)
    size, inputs = rng.randint(1, 3), steps + 3
    leaves = [mg.Value(rng.uniform(-1, 1)) for _ in range(rng.randint(1, 4))]
    plan = [(rng.random(), rng.choice(UNARY), [rng.random() for _ in range(4)]) for _ in range(rng.randint(size, 3 * size + 3))]
    reads = rng.sample(
        ["x[t]", "x[T-t]", "x[t+1]", "x[0]", "time", "lag", "second lag", "leaf", "table", "letter"], rng.randint(2, 5)
    )
    odd, early, late = (rng.choice([None, rng.randrange(steps)]) for _ in range(3))
    gathers = rng.random() < 0.5
    letters = [rng.choice([0.0, 0.25, 0.5, 1.0, -1.0]) for _ in range(steps)]  # of a closure

    def function(xs: Any) -> Any:
        state: list[Any] = [rng2.uniform(-1, 1) if rng2.random() < 0.5 else leaves[0] * 0.5 for rng2 in [random.Random(seed)]]
        state = (state * size)[:size]
        past: list[list[Any]] = [state, state, state]
        left: list[Any] = []
        for t in range(steps):
            seen = {
                "x[t]": xs[t], "x[T-t]": xs[steps - t], "x[t+1]": xs[t + 1], "x[0]": xs[0], "time": 0.01 * t,
                "lag": past[-2][0], "second lag": past[-3][-1], "leaf": leaves[-1], "table": 0.5 if t == odd else 1.5,
                "letter": letters[t],
            }  # fmt: skip
            pool = [*state, *[seen[name] for name in reads], *leaves]
            for kind, one, picks in plan:
                a, b, c = (pool[int(p * len(pool))] for p in picks[:3])
                if kind < 0.3:
                    out = one(a) if isinstance(a, mg.Value) else a
                elif kind < 0.5:
                    out = a * b
                elif kind < 0.7:
                    out = a * 0.5 + b * 0.3 - c
                elif kind < 0.8:
                    out = mg.dot([a, b, c], leaves[:1] * 3, start=b)
                elif kind < 0.9:
                    out = mg.where(a - b, b, c)
                else:
                    out = mg.maximum(a, b)
                pool.append(out)
            state = [mg.tanh(v) if isinstance(v, mg.Value) else v for v in pool[-size:]]
            if t == early:
                state = [v * 0.5 for v in state]
            past.append(state)
            if gathers:
                left.append(state[0] - xs[t])
            if t == late and not gathers:
                left.append(state[-1] * xs[-1])
        return mg.sum([*left, *state])

    return function, inputs, leaves


def registers(seed: int, steps: int) -> tuple[Any, int, list[mg.Value]]:
    """A function with a loop whose carried values mostly only move: from one register to the next, in turn, or to and fro."""
    rng = random.Random(seed)
    depth, lanes = rng.randint(2, 5), rng.randint(1, 3)
    leaves = [mg.Value(rng.uniform(-0.5, 0.5)) for _ in range(2)]
    moves = [rng.choice(["shift", "turn", "swap", "stay"]) for _ in range(lanes)]
    rules = [(rng.choice(UNARY), rng.random(), rng.randrange(depth), rng.randrange(lanes)) for _ in range(lanes)]

    def function(xs: Any) -> Any:
        held = [[xs[i + lane] * 0.5 for i in range(depth)] for lane in range(lanes)]
        for t in range(steps):
            new = []
            for lane, (one, kind, place, other) in zip(held, rules, strict=True):
                out = one(lane[0]) * 0.5 + held[other][place] * leaves[0]
                out = out + xs[t] if kind < 0.5 else out
                new.append(out * held[other][-1] if kind < 0.2 else out)
            for lane, out, move in zip(held, new, moves, strict=True):
                if move == "shift":
                    lane[:] = [out, *lane[:-1]]
                elif move == "turn":
                    lane[:] = [*lane[1:], out]
                elif move == "swap":
                    lane[:2] = [lane[1], out]
                else:
                    lane[0] = out
        return mg.sum([x for lane in held for x in lane]) * leaves[1]

    return function, steps + 8, leaves


def nested(seed: int, steps: int, inner: int) -> tuple[Any, int, list[mg.Value]]:
    """A function with a loop inside a loop, of about so many steps each; how many numbers it takes, and its parameters.

    What the inner loop works on is its own from step to step, a number for each of its steps that the outer one carries on (the
    cells of a bar, layers over time), parameters of each of its steps, and inputs by either counter.
    """
    rng = random.Random(seed)
    leaves = [mg.Value(rng.uniform(-0.7, 0.7)) for _ in range(rng.randint(1, 3))]
    table = [mg.Value(rng.uniform(-0.5, 0.5)) for _ in range(inner)] if rng.random() < 0.5 else []
    inputs = steps + 2 + inner
    names = ["x[t]", "x[T-t]", "y[k]", "cell", "next cell", "leaf", "time", "lag"] + ["table"] * bool(table)
    reads = rng.sample(names, rng.randint(2, 4))
    plan = [(rng.random(), rng.choice(UNARY), [rng.random() for _ in range(3)]) for _ in range(rng.randint(1, 4))]
    odd, skipped = rng.choice([None, rng.randrange(steps)]), rng.choice([None, rng.randrange(inner)])
    sweeps, kept, outputs = rng.random() < 0.5, rng.random() < 0.5, rng.random() < 0.3

    def function(xs: Any) -> Any:
        h: Any = leaves[0] * 0.5
        cells = [xs[steps + 2 + k] * 0.1 for k in range(inner)]
        left: list[Any] = []
        for t in range(steps):
            before, lag = list(cells), h
            h = h * 0.5 + xs[t]
            for k in range(inner):
                seen = {
                    "x[t]": xs[t], "x[T-t]": xs[steps - t], "y[k]": xs[steps + 2 + k], "cell": before[k], "leaf": leaves[-1],
                    "next cell": (cells if sweeps else before)[max(k - 1, 0)], "time": 0.01 * k, "lag": lag,
                    "table": table[k] if table else 0.0,
                }  # fmt: skip
                pool = [h, *[seen[name] for name in reads], leaves[0]]
                for kind, one, picks in plan:
                    a, b, c = (pool[int(p * len(pool))] for p in picks)
                    if kind < 0.4:
                        out = one(a) if isinstance(a, mg.Value) else a
                    elif kind < 0.6:
                        out = a * b
                    elif kind < 0.8:
                        out = a * 0.5 + b * 0.3 - c
                    else:
                        out = mg.maximum(a, b)
                    pool.append(out)
                h = mg.tanh(pool[-1] + h * 0.3)
                if k != skipped:
                    cells[k] = h * 0.9
            if t == odd:
                h = h * 0.7
            if kept:
                left.append(h)
        total = mg.sum([h, *left, *cells])
        return total * xs[-1] if outputs else total

    return function, inputs, [*leaves, *table]
