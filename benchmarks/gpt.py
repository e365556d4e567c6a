"""A GPT on plain Values, one scalar at a time, trained on names: the same source eagerly, and through jit.

    python benchmarks/gpt.py                    train on the first names of the US census, then sample new ones
    python benchmarks/gpt.py --compare 10       ten steps each way: the loss curves side by side, and the ratio of times

Token and position embeddings, one layer of causal attention with 4 heads in 16 dimensions, RMS norm, a relu MLP and
cross-entropy over characters: 4,192 parameters. The names come from the package `names` (`pip install names`).
"""

from __future__ import annotations

import argparse
import importlib.resources
import random
import time
from importlib.util import find_spec

import numpy as np

from micrograd import Adam, Value, dot, exp, logsumexp, relu, sum, take
from micrograd.tape import jit

BLOCK, WIDTH, HEADS = 16, 16, 4
LETTERS = ".abcdefghijklmnopqrstuvwxyz"  # "." begins and ends a name
LENGTHS = (8, 16)  # documents are padded to one of these, so two tapes serve all


class GPT:
    """Parameters as lists of lists of Values; called on tokens, the logits of each next token."""

    def __init__(self, seed: int = 0):
        rng = random.Random(seed)

        def matrix(rows: int, columns: int) -> list[list[Value]]:
            return [[Value(rng.gauss(0.0, 0.08)) for _ in range(columns)] for _ in range(rows)]

        self.tokens, self.positions = matrix(len(LETTERS), WIDTH), matrix(BLOCK, WIDTH)
        self.query, self.key, self.value, self.out = (matrix(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = matrix(4 * WIDTH, WIDTH), matrix(WIDTH, 4 * WIDTH)
        self.head = matrix(len(LETTERS), WIDTH)

    def parameters(self) -> list[Value]:
        return [p for matrix in vars(self).values() for row in matrix for p in row]

    def __call__(self, tokens: list) -> list[list[Value]]:
        keys: list[list[Value]] = []
        values: list[list[Value]] = []
        logits = []
        for position, token in zip(self.positions, tokens, strict=False):
            x = normed(added(take(self.tokens, token), position))
            h = normed(x)
            q = linear(self.query, h)
            keys.append(linear(self.key, h))
            values.append(linear(self.value, h))
            x = added(x, linear(self.out, attention(q, keys, values)))
            x = added(x, linear(self.down, [relu(v) for v in linear(self.up, normed(x))]))
            logits.append(linear(self.head, x))
        return logits

    def loss(self, tokens: list, targets: list, weights: list) -> Value:
        """The mean surprise at the targets; `weights` are 1 / length, and 0 where a document is padded."""
        logits = self(tokens)
        return sum(w * (logsumexp(z) - take(z, t)) for z, t, w in zip(logits, targets, weights, strict=True))


def linear(matrix: list[list[Value]], x: list[Value]) -> list[Value]:
    return [dot(row, x) for row in matrix]


def added(x: list[Value], y: list[Value]) -> list[Value]:
    return [a + b for a, b in zip(x, y, strict=True)]


def normed(x: list[Value]) -> list[Value]:
    scale = (dot(x, x) / len(x) + 1e-5) ** -0.5
    return [v * scale for v in x]


def attention(q: list[Value], keys: list[list[Value]], values: list[list[Value]]) -> list[Value]:
    out = []
    size = WIDTH // HEADS
    for at in range(0, WIDTH, size):
        head = slice(at, at + size)
        scores = [dot(q[head], k[head]) / size**0.5 for k in keys]
        total = logsumexp(scores)
        weights = [exp(s - total) for s in scores]
        out += [dot(weights, [v[j] for v in values]) for j in range(at, at + size)]
    return out


def names() -> list[str]:
    """First names of the US census, in a fixed order, shuffled."""
    if not find_spec("names"):
        raise SystemExit("the names to train on come from a package: pip install names")
    found = []
    for file in ("dist.female.first", "dist.male.first"):
        text = importlib.resources.files("names").joinpath(file).read_text()
        found += [line.split()[0].lower() for line in text.splitlines()]
    found = [name for name in dict.fromkeys(found) if name.isalpha() and len(name) < BLOCK]
    random.Random(1).shuffle(found)
    return found


def document(name: str) -> list[int]:
    return [LETTERS.index(c) for c in f".{name}."]


def padded(batch: list[str]) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Documents as arrays of tokens, targets and weights, by the length to which they are padded."""
    found = {}
    for length in LENGTHS:
        documents = [d for d in map(document, batch) if min(n for n in LENGTHS if len(d) - 1 <= n) == length]
        if documents:
            tokens, targets = np.zeros((2, len(documents), length), np.int64)
            weights = np.zeros((len(documents), length))
            for i, d in enumerate(documents):
                n = len(d) - 1
                tokens[i, :n], targets[i, :n], weights[i, :n] = d[:-1], d[1:], 1 / n
            found[length] = tokens, targets, weights
    return found


def batches(size: int, steps: int) -> list[list[str]]:
    everything, rng = names(), random.Random(2)
    return [rng.sample(everything, size) for _ in range(steps)]


def eager_step(model: GPT, optimiser: Adam, batch: list[str]) -> float:
    documents = [document(name) for name in batch]
    losses = [model.loss(d[:-1], d[1:], [1 / (len(d) - 1)] * (len(d) - 1)) for d in documents]
    loss = sum(losses) / len(losses)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.data


class Compiled:
    """The same step through jit: the gradient of each group of documents, then one update on flat arrays."""

    def __init__(self, model: GPT, optimiser: Adam, backend: str | None = None):
        self.loss = jit(model.loss, wrt=model.parameters(), backend=backend)
        self.optimiser = optimiser
        self.theta = self.loss.theta()
        self.state = (np.zeros_like(self.theta), np.zeros_like(self.theta))

    def step(self, batch: list[str]) -> float:
        loss, gradient = 0.0, np.zeros_like(self.theta)
        for arrays in padded(batch).values():
            value, g = self.loss.value_and_grad(self.theta, *arrays, reduction="sum")
            loss += value
            gradient += g
        self.optimiser.steps += 1
        self.theta, self.state = self.optimiser.update(self.theta, gradient / len(batch), self.state)
        return loss / len(batch)

    def sync(self) -> None:
        for p, x in zip(self.loss.parameters, self.theta.tolist(), strict=True):
            p.data = x


def sample(model: GPT, count: int, temperature: float = 0.6, backend: str | None = None) -> list[str]:
    """New names, one letter after the other: the logits at the last position of what is written so far."""
    logits = jit(model, wrt=model.parameters(), backend=backend)
    rng = random.Random(3)
    found = []
    for _ in range(count):
        tokens = [0]
        while len(tokens) < BLOCK:
            z = np.array(logits(tokens + [0] * (BLOCK - len(tokens)))[len(tokens) - 1]) / temperature
            p = np.exp(z - z.max())
            token = rng.choices(range(len(LETTERS)), p.tolist())[0]
            if token == 0:
                break
            tokens.append(token)
        found.append("".join(LETTERS[t] for t in tokens[1:]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--compare", type=int, metavar="STEPS", help="run eagerly too, and compare")
    parser.add_argument("--backend", choices=["numpy", "llvm", "reference"])
    options = parser.parse_args()
    steps = options.compare or options.steps
    model = GPT()
    compiled = Compiled(model, Adam(model.parameters(), lr=0.01), options.backend)
    work = batches(options.batch, steps)
    times = []
    for i, batch in enumerate(work):
        start = time.process_time()
        loss = compiled.step(batch)
        times.append(time.process_time() - start)
        if options.compare:
            work[i] = [batch, loss]
        elif i % 100 == 0 or i == steps - 1:
            print(f"step {i:5}  loss {loss:.4f}", flush=True)
    fast = sorted(times)[len(times) // 2]
    print(f"{len(compiled.loss.parameters)} parameters; a compiled step takes {fast * 1e3:.2f} ms (the first {times[0]:.2f} s)")
    if options.compare:
        model = GPT()
        optimiser = Adam(model.parameters(), lr=0.01)
        times = []
        for batch, loss in work:
            start = time.process_time()
            eager = eager_step(model, optimiser, batch)
            times.append(time.process_time() - start)
            print(f"loss compiled {loss:.12f}, eager {eager:.12f}, difference {abs(loss - eager):.1e}")
        slow = sorted(times)[len(times) // 2]
        print(f"an eager step takes {slow * 1e3:.0f} ms: {slow / fast:.0f} times as long")
    else:
        compiled.sync()
        print(" ".join(sample(model, 20, backend=options.backend)))


if __name__ == "__main__":
    main()
