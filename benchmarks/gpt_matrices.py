"""The GPT of `gpt.py` for `compiled.py`: scalar by scalar for this project, with matrices for PyTorch and JAX.

    gpt       value and gradient for the vector of all 4,192 parameters; a batch of 32 documents of 8 letters

The parameters are those of `gpt.GPT`, matrix by matrix in its order. An environment of a peer needs none of this project.
"""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np

BATCH, LENGTH = 32, 8
LETTERS, BLOCK, WIDTH, HEADS = 27, 16, 16, 4
SHAPES = [(LETTERS, WIDTH), (BLOCK, WIDTH), *[(WIDTH, WIDTH)] * 4, (4 * WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (LETTERS, WIDTH)]
ENDS = [0, *accumulate(rows * columns for rows, columns in SHAPES)]


def problem() -> dict[str, np.ndarray]:
    """Parameters, the letters of the documents, and the letter after each."""
    rng = np.random.default_rng(2)
    letters = rng.integers(0, LETTERS, (BATCH, LENGTH + 1))
    return {"theta": rng.normal(0.0, 0.08, ENDS[-1]), "X": letters[:, :-1], "y": letters[:, 1:]}


def matrices(theta):
    """The matrices of the GPT, as views of a flat vector."""
    return [theta[at:end].reshape(shape) for (at, end), shape in zip(pairwise(ENDS), SHAPES, strict=True)]


def ours(backend):
    """Compiled with a back end, or eager where that is None."""
    from gpt import GPT

    from micrograd import sum
    from micrograd.tape import jit

    def prepare(task, theta, X, y):
        model = GPT()
        parameters = model.parameters()
        for p, x in zip(parameters, theta.tolist(), strict=True):
            p.data = x
        weights = np.full(X.shape, 1.0 / LENGTH)
        if backend:
            f = jit(model.loss, wrt=parameters, backend=backend)
            return (lambda: f.value_and_grad(theta, X, y, weights),) * 2
        documents = list(zip(X.tolist(), y.tolist(), weights.tolist(), strict=True))

        def call():
            for p in parameters:
                p.grad = 0.0
            loss = sum(model.loss(*document) for document in documents) / BATCH
            loss.backward()
            return loss.data, np.array([p.grad for p in parameters])

        return call, call

    return prepare


def torch_peer():
    import torch
    from torch.nn.functional import cross_entropy

    mask = torch.full((LENGTH, LENGTH), -torch.inf, dtype=torch.float64).triu(1)

    def normed(x):
        return x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt()

    def heads(x):
        return x.view(BATCH, LENGTH, HEADS, WIDTH // HEADS).transpose(1, 2)

    def prepare(task, theta, X, y):
        weights = [torch.tensor(m, requires_grad=True) for m in matrices(theta)]
        tokens, positions, query, key, value, out, up, down, head = weights
        letters, targets = torch.tensor(X), torch.tensor(y).flatten()

        def call():
            for w in weights:
                w.grad = None
            x = normed(tokens[letters] + positions[:LENGTH])
            h = normed(x)
            q, k, v = heads(h @ query.T), heads(h @ key.T), heads(h @ value.T)
            scores = q @ k.transpose(2, 3) / (WIDTH // HEADS) ** 0.5 + mask
            x = x + (scores.softmax(-1) @ v).transpose(1, 2).reshape(BATCH, LENGTH, WIDTH) @ out.T
            x = x + (normed(x) @ up.T).relu() @ down.T
            loss = cross_entropy((x @ head.T).flatten(0, 1), targets)
            loss.backward()
            return loss

        return call, lambda: (call().item(), np.concatenate([w.grad.numpy().ravel() for w in weights]))

    return prepare


def jax_peer():
    import jax
    import jax.numpy as jnp

    def normed(x):
        return x * ((x * x).mean(-1, keepdims=True) + 1e-5) ** -0.5

    def heads(x):
        return x.reshape(BATCH, LENGTH, HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3)

    def loss(theta, letters, targets):
        tokens, positions, query, key, value, out, up, down, head = matrices(theta)
        x = normed(tokens[letters] + positions[:LENGTH])
        h = normed(x)
        q, k, v = heads(h @ query.T), heads(h @ key.T), heads(h @ value.T)
        scores = q @ k.transpose(0, 1, 3, 2) / (WIDTH // HEADS) ** 0.5
        scores = jnp.where(jnp.tril(jnp.ones((LENGTH, LENGTH), bool)), scores, -jnp.inf)
        attention = (jax.nn.softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(BATCH, LENGTH, WIDTH)
        x = x + attention @ out.T
        x = x + jax.nn.relu(normed(x) @ up.T) @ down.T
        z = x @ head.T
        found = jnp.take_along_axis(z, targets[..., None], axis=-1)[..., 0]
        return (jax.scipy.special.logsumexp(z, axis=-1) - found).mean()

    def prepare(task, theta, X, y):
        compiled = jax.jit(jax.value_and_grad(loss))
        start, letters, targets = jnp.asarray(theta), jnp.asarray(X), jnp.asarray(y)
        return (lambda: jax.block_until_ready(compiled(start, letters, targets)),) * 2

    return prepare


PEERS = {
    "ours-numpy": lambda: ours("numpy"),
    "ours-llvm": lambda: ours("llvm"),
    "ours-eager": lambda: ours(None),
    "torch": torch_peer,
    "jax": jax_peer,
}
