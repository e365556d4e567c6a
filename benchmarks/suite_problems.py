"""The problems of `suite.py`: each as arrays, for NumPy, JAX and PyTorch, and as scalar code, for this project and CasADi.

They are those of the public suites ADBench and GradBench (gmm, ba, lstm, ht, kmeans, lse, ode, det, llsq, particle, saddle), in
code of our own, three loops over time (rnn, lorenz, heat), and three of linear algebra on one sample (dense, convolution, lu).
A problem of one size gives data; `arrays(xp, theta, data)` is its value, or for ba and ht its vector of results; `ours(data)`
a call and what that gives, flat: the value and the gradient, or the Jacobian. `scalars(m, theta, data)`, where there is one, is
the same in scalars, for any module `m` with the functions.
"""

from __future__ import annotations

import ctypes
import math
from functools import reduce

import numpy as np
from formulas import VARYING, by_hand, data_of, projected

SIZES = {
    "gmm": [(2, 5, 1000), (10, 5, 1000), (20, 10, 1000), (64, 25, 1000)],  # dimensions, clusters, points
    "ba": [(1000,), (31843,)],  # observations
    "lstm": [(16, 14), (128, 14), (1024, 4)],  # characters, width
    "ht": [(100,), (3200,)],  # points
    "kmeans": [(1000, 10, 3), (10000, 100, 3)],  # points, clusters, dimensions
    "kmeans-hvp": [(1000, 10, 3), (10000, 100, 3)],  # the Hessian times a vector
    "lse": [(100,), (2500,), (20000,)],  # terms
    "ode": [(8, 10), (8, 100), (8, 1000)],  # dimensions, steps of Runge and Kutta
    "det": [(3,), (5,), (7,)],  # rows; by minors
    "llsq": [(1000, 16), (10000, 128)],  # samples, coefficients
    "particle": [(20,), (200,), (2000,)],  # steps; the force is a gradient
    "saddle": [(2, 10), (10, 100)],  # dimensions, steps of the inner ascent
    "rnn": [(100, 64), (1000, 64), (10000, 64)],  # steps, samples
    "lorenz": [(100,), (1000,)],  # steps
    "heat": [(100, 50), (1000, 50)],  # steps, points
    "dense": [(16,), (160,)],  # neurons, and inputs, of a layer that one sample goes through
    "convolution": [(64,), (640,)],  # points, with five weights
    "lu": [(8,), (24,), (80,)],  # rows; the logarithms of the pivots
}
JACOBIANS = ("ba", "ht")
SMALL_NUMBER = 1e-3  # the step of explicit schemes
WEIGHTS = 5  # of a convolution


def data(name: str, size: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Numbers for a problem: `theta`, what is differentiated by, and the rest."""
    rng = np.random.default_rng(sum(size))
    sizes = np.array(size)
    if name == "gmm":
        d, k, n = size
        theta = np.concatenate([rng.normal(size=k), rng.normal(size=k * d), rng.normal(0.0, 0.3, k * d * (d + 1) // 2)])
        return {"size": sizes, "theta": theta, "X": rng.normal(size=(n, d))}
    if name == "ba":
        X = rng.normal(0.0, 0.3, (size[0], 17))  # of a camera that looks at points in front of it
        X[:, 11:14] += [0.0, 0.0, 5.0]
        X[:, 9:11] *= 0.03
        return {"size": sizes, "theta": X[:, :VARYING], "X": X[:, VARYING:]}
    if name == "lstm":
        steps, c = size
        return {"size": sizes, "theta": rng.normal(0.0, 0.5, 11 * c), "X": rng.integers(0, 2, (steps, c)).astype(float)}
    if name == "ht":
        theta = np.concatenate([rng.normal(0.0, 0.2, 6), rng.uniform(0.0, 1.0, 20)])
        weights = rng.random((size[0], 21)) ** 4
        return {
            "size": sizes, "theta": theta, "offsets": rng.normal(0.0, 0.5, (21, 3)), "X": rng.normal(size=(size[0], 3)),
            "weights": weights / weights.sum(1, keepdims=True), "targets": rng.normal(size=(size[0], 3)),
        }  # fmt: skip
    if name.startswith("kmeans"):
        n, k, d = size
        return {"size": sizes, "theta": rng.normal(size=k * d), "X": rng.normal(size=(n, d)), "v": rng.normal(size=k * d)}
    if name == "llsq":
        return {"size": sizes, "theta": rng.normal(size=size[1]), "X": np.linspace(-1.0, 1.0, size[0])}
    if name == "rnn":
        return {"size": sizes, "theta": np.array([0.9, 0.5, 0.1]), "X": rng.normal(size=(size[1], size[0]))}
    if name == "lu":  # that needs no exchanges
        theta = rng.normal(size=(size[0], size[0])) + 2.0 * size[0] * np.eye(size[0])
        return {"size": sizes, "theta": theta.ravel(), "X": np.zeros(1)}
    if name in ("dense", "convolution"):
        count = size[0] * (size[0] + 2) if name == "dense" else size[0] + WEIGHTS
        return {"size": sizes, "theta": rng.normal(0.0, 0.3, count), "X": np.zeros(1)}
    theta = {
        "lse": lambda: rng.normal(size=size[0]), "ode": lambda: rng.random(size[0]), "heat": lambda: np.array([0.1]),
        "det": lambda: rng.normal(size=size[0] ** 2), "particle": lambda: np.array([0.5]),
        "saddle": lambda: rng.normal(size=size[0]), "lorenz": lambda: np.array([10.0, 28.0, 8.0 / 3.0]),
    }[name]()  # fmt: skip
    return {"size": sizes, "theta": theta, "X": rng.random(size[-1])}


# -- as arrays: `xp` has NumPy's functions, and logsumexp, sigmoid, lower, scan


def gmm(xp, theta, data):
    d, k, n = map(int, data["size"])
    alphas, means, rest = theta[:k], theta[k : k + k * d].reshape(k, d), theta[k + k * d :].reshape(k, -1)
    logs, lower = rest[:, :d], rest[:, d:]
    apart = data["X"][:, None, :] - means[None]
    inside = xp.exp(logs)[None] * apart + xp.einsum("kab,nkb->nka", xp.lower(lower, d), apart)
    terms = alphas + logs.sum(1) - 0.5 * (inside**2).sum(2)
    prior = -0.5 * ((xp.exp(logs) ** 2).sum() + (lower**2).sum())
    return xp.logsumexp(terms, 1).sum() - n * xp.logsumexp(alphas, 0) + prior


def ba(xp, theta, data):
    return xp.stack(projected([*theta.T, *data["X"].T], xp), 1)


def lstm(xp, theta, data):
    steps, c = map(int, data["size"])
    weights, biases, extra = theta[: 4 * c].reshape(4, c), theta[4 * c : 8 * c].reshape(4, c), theta[8 * c :].reshape(3, c)

    def step(carry, pair):
        hidden, cell = carry
        x, target = pair[0] * extra[0], pair[1]
        forget, out = xp.sigmoid(x * weights[0] + biases[0]), xp.sigmoid(x * weights[2] + biases[2])
        cell = cell * forget + xp.sigmoid(hidden * weights[1] + biases[1]) * xp.tanh(x * weights[3] + biases[3])
        hidden = out * xp.tanh(cell)
        found = hidden * extra[1] + extra[2]
        return (hidden, cell), (target * (found - xp.log(xp.exp(found).sum() + 2.0))).sum()

    X = data["X"]
    zero = theta[:c] * 0.0
    return -xp.scan(step, (zero, zero), (X[:-1], X[1:]))[1].sum() / steps


def ht(xp, theta, data):
    offsets = data["offsets"]

    def turned(axis, angle):
        c, s, one, zero = xp.cos(angle), xp.sin(angle), angle * 0.0 + 1.0, angle * 0.0
        rows = {
            0: [one, zero, zero, zero, c, -s, zero, s, c], 1: [c, zero, s, zero, one, zero, -s, zero, c],
            2: [c, -s, zero, s, c, zero, zero, zero, one],
        }[axis]  # fmt: skip
        return xp.stack(rows, 0).reshape(3, 3)

    palm = turned(0, theta[0]) @ turned(1, theta[1]) @ turned(2, theta[2])
    bones, rest = [(palm, theta[3:6] + offsets[0])], [offsets[0]]
    for finger in range(5):
        rotation, place, at = *bones[0], rest[0]
        for joint in range(4):
            bone = 1 + 4 * finger + joint
            place, at = place + rotation @ offsets[bone], at + offsets[bone]
            rotation = rotation @ turned(joint % 2, theta[5 + bone])
            bones.append((rotation, place))
            rest.append(at)
    found = 0.0
    for (rotation, place), at, weight in zip(bones, rest, data["weights"].T, strict=True):
        found = found + weight[:, None] * ((data["X"] - at) @ rotation.T + place)
    return found - data["targets"]


def kmeans(xp, theta, data):
    _, k, d = map(int, data["size"])
    return xp.min(((data["X"][:, None, :] - theta.reshape(k, d)[None]) ** 2).sum(2), 1).sum()


def lse(xp, theta, data):
    return xp.logsumexp(theta, 0)


def ode(xp, theta, data):
    h = 1.0 / int(data["size"][1])
    one = theta[:1] * 0.0 + 1.0

    def slope(y):
        return theta * xp.concatenate([one, y[:-1]], 0)

    def step(y, _):
        a = slope(y)
        b = slope(y + h / 2 * a)
        c = slope(y + h / 2 * b)
        return y + h / 6 * (a + 2 * b + 2 * c + slope(y + h * c)), y[0]

    return xp.scan(step, theta * 0.0, (data["X"],))[0][-1]


def det(xp, theta, data):
    return xp.det(theta.reshape(int(data["size"][0]), -1))


def llsq(xp, theta, data):
    X, m = data["X"], int(data["size"][1])
    return 0.5 * ((xp.sign(X) - (X[:, None] ** xp.arange(m)) @ theta) ** 2).sum()


def potential(m, x, y, w):
    return 1.0 / m.sqrt(x * x + (y - w) * (y - w)) + 1.0 / m.sqrt((x - 10.0) * (x - 10.0) + y * y)


def particle(xp, theta, data):
    w = theta[0] * 10.0

    def step(carry, _):
        x, y, u, v = carry
        a, b = xp.force(x, y, w)
        return (x + SMALL_NUMBER * u, y + SMALL_NUMBER * v, u - SMALL_NUMBER * a, v - SMALL_NUMBER * b), x

    start = w * 0.0
    x, y, _, _ = xp.scan(step, (start, start + 8.0, start + 0.75, start), (data["X"],))[0]
    return x * x + 0.1 * y * y


def saddle(xp, theta, data):
    """min over x of max over y of x·x + Σ xᵢ yᵢ yᵢ₊₁ − y·y − y⁴/4, with the inner maximum found by steps of its gradient."""

    def step(y, _):
        last, following = xp.roll(theta * y, 1), theta * xp.roll(y, -1)
        return y + 0.1 * (following + last - 2.0 * y - y**3 + 0.1), y[0]

    y = xp.scan(step, theta, (data["X"],))[0]
    return (theta**2).sum() + (theta * y * xp.roll(y, -1)).sum() - (y**2).sum() - 0.25 * (y**4).sum() + 0.1 * y.sum()


def rnn(xp, theta, data):
    step = lambda h, x: (xp.tanh(theta[0] * h + theta[1] * x[0] + theta[2]), h[0])  # noqa: E731
    h = xp.scan(step, theta[0] * 0.0 * data["X"][:, 0], (data["X"].T,))[0]
    return (h * h).sum() / len(data["X"])


def lorenz(xp, theta, data):
    def step(carry, _):
        x, y, z = carry
        slopes = theta[0] * (y - x), x * (theta[1] - z) - y, x * y - theta[2] * z
        return tuple([a + SMALL_NUMBER * b for a, b in zip(carry, slopes, strict=True)]), x

    start = theta[0] * 0.0 + 1.0
    x, y, z = xp.scan(step, (start, start, start), (data["X"],))[0]
    return x * x + y * y + z * z


def heat(xp, theta, data):
    def step(u, _):
        left, right = xp.concatenate([u[:1], u[:-1]], 0), xp.concatenate([u[1:], u[-1:]], 0)
        return u + theta[0] * (left - 2.0 * u + right), u[0]

    steps = int(data["size"][0])
    return (xp.scan(step, data["X"] + theta[0] * 0.0, (np.zeros(steps),))[0] ** 2).sum()


def dense(xp, theta, data):
    n = int(data["size"][0])
    W, b, x = theta[: n * n].reshape(n, n), theta[n * n : n * n + n], theta[n * n + n :]
    z = W @ x + b
    return 0.5 * (xp.where(z > 0.0, z, 0.0) ** 2).sum()


def convolution(xp, theta, data):
    m = int(data["size"][0]) - WEIGHTS + 1
    w, x = theta[:WEIGHTS], theta[WEIGHTS:]
    z = sum(w[j] * x[j : j + m] for j in range(WEIGHTS))
    return 0.5 * (xp.where(z > 0.0, z, 0.0) ** 2).sum()


def lu(xp, theta, data):
    return xp.linalg.slogdet(theta.reshape(int(data["size"][0]), -1))[1]


ARRAYS = {
    "gmm": gmm, "ba": ba, "lstm": lstm, "ht": ht, "kmeans": kmeans, "kmeans-hvp": kmeans, "lse": lse, "ode": ode, "det": det,
    "llsq": llsq, "particle": particle, "saddle": saddle, "rnn": rnn, "lorenz": lorenz, "heat": heat,
    "dense": dense, "convolution": convolution, "lu": lu,
}  # fmt: skip


class NumPy:
    """NumPy with what the problems want beside: values alone, against which all derivatives are checked."""

    def __getattr__(self, name):
        return getattr(np, name)

    det = staticmethod(np.linalg.det)

    def logsumexp(self, x, axis):
        top = np.max(x, axis, keepdims=True)
        return (np.log(np.exp(x - top).sum(axis, keepdims=True)) + top).squeeze(axis)

    def sigmoid(self, x):
        return 1.0 / (1.0 + np.exp(-x))

    def lower(self, rows, d):
        found = np.zeros((len(rows), d, d), rows.dtype)
        found[:, *np.tril_indices(d, -1)] = rows
        return found

    def scan(self, step, carry, xs):
        found = []
        for x in zip(*xs, strict=True):
            carry, y = step(carry, x)
            found.append(y)
        return carry, np.array(found)

    def force(self, x, y, w):
        near, far = (x * x + (y - w) ** 2) ** -1.5, ((x - 10.0) ** 2 + y * y) ** -1.5
        return -x * near - (x - 10.0) * far, -(y - w) * near - y * far


# -- as scalar code


def gmm_sample(m, theta, x, d, k, n):
    alphas, means, rest = theta[:k], theta[k : k + k * d], theta[k + k * d :]
    width, terms, prior = len(rest) // k, [], 0.0
    for j in range(k):
        logs, lower = rest[j * width : j * width + d], rest[j * width + d : (j + 1) * width]
        apart = [a - b for a, b in zip(x, means[j * d : (j + 1) * d], strict=True)]
        ends = [i * (i - 1) // 2 for i in range(d + 1)]
        scales = [m.exp(q) for q in logs]
        inside = [
            m.dot(lower[ends[i] : ends[i + 1]], apart[:i], start=scales[i] * apart[i]) if i else scales[i] * apart[i]
            for i in range(d)
        ]
        terms.append(alphas[j] + m.sum(logs) - 0.5 * m.dot(inside, inside))
        prior = prior - 0.5 * (m.dot(scales, scales) + (m.dot(lower, lower) if lower else 0.0))
    return m.logsumexp(terms) - m.logsumexp(alphas) + prior / n


def lstm_scalars(m, theta, data):
    X = data["X"]
    steps, c = map(int, data["size"])
    w, b = [theta[i * c : (i + 1) * c] for i in range(4)], [theta[i * c : (i + 1) * c] for i in range(4, 8)]
    first, scale, shift = (theta[i * c : (i + 1) * c] for i in (8, 9, 10))
    hidden, cell, total = [0.0] * c, [0.0] * c, 0.0
    for t in range(steps - 1):
        for i in range(c):
            x = X[t][i] * first[i]
            forget, out = m.sigmoid(x * w[0][i] + b[0][i]), m.sigmoid(x * w[2][i] + b[2][i])
            change = m.sigmoid(hidden[i] * w[1][i] + b[1][i]) * m.tanh(x * w[3][i] + b[3][i])
            cell[i] = cell[i] * forget + change
            hidden[i] = out * m.tanh(cell[i])
        found = [hidden[i] * scale[i] + shift[i] for i in range(c)]
        top = m.log(m.sum([m.exp(v) for v in found]) + 2.0)
        total = total + m.sum([X[t + 1][i] * (found[i] - top) for i in range(c)])
    return -total / steps


def ht_sample(m, theta, x, weights, target, offsets):
    def matrix(axis, angle):
        c, s = m.cos(angle), m.sin(angle)
        return {
            0: [[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]], 1: [[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]],
            2: [[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]],
        }[axis]  # fmt: skip

    def times(a, b):
        return [[m.dot(row, column) for column in zip(*b, strict=True)] for row in a]

    palm = times(times(matrix(0, theta[0]), matrix(1, theta[1])), matrix(2, theta[2]))
    bones, rest = [(palm, [a + b for a, b in zip(theta[3:6], offsets[0], strict=True)])], [offsets[0]]
    for finger in range(5):
        rotation, place, at = *bones[0], rest[0]
        for joint in range(4):
            bone = 1 + 4 * finger + joint
            place = [m.dot(row, offsets[bone], start=p) for p, row in zip(place, rotation, strict=True)]
            at = [a + b for a, b in zip(at, offsets[bone], strict=True)]
            rotation = times(rotation, matrix(joint % 2, theta[5 + bone]))
            bones.append((rotation, place))
            rest.append(at)
    found = [-t for t in target]
    for (rotation, place), at, weight in zip(bones, rest, weights, strict=True):
        relative = [a - b for a, b in zip(x, at, strict=True)]
        found = [f + weight * m.dot(rotation[i], relative, start=place[i]) for i, f in enumerate(found)]
    return found


def nearest(m, theta, x):
    d = len(x)
    apart = [m.sum([(a - b) ** 2 for a, b in zip(x, theta[at : at + d], strict=True)]) for at in range(0, len(theta), d)]
    return reduce(m.minimum, apart)


def ode_scalars(m, theta, data):
    n, steps = map(int, data["size"])
    h, y = 1.0 / steps, [0.0] * n
    slope = lambda y: [x * before for x, before in zip(theta, [1.0, *y[:-1]], strict=True)]  # noqa: E731
    moved = lambda y, h, slopes: [a + h * b for a, b in zip(y, slopes, strict=True)]  # noqa: E731
    for _ in range(steps):
        a = slope(y)
        b = slope(moved(y, h / 2, a))
        c = slope(moved(y, h / 2, b))
        four = zip(a, b, c, slope(moved(y, h, c)), strict=True)
        y = moved(y, h / 6, [p + 2 * q + 2 * r + s for p, q, r, s in four])
    return y[-1]


def det_scalars(m, theta, data):
    n = int(data["size"][0])

    def minor(row, columns):
        if row == n:
            return 1.0
        total = 0.0
        for i, j in enumerate(columns):
            term = theta[row * n + j] * minor(row + 1, columns[:i] + columns[i + 1 :])
            total = total - term if i % 2 else total + term
        return total

    return minor(0, tuple(range(n)))


def particle_scalars(m, theta, data, force):
    w, x, y, u, v = theta[0] * 10.0, 0.0, 8.0, 0.75, 0.0
    for _ in range(int(data["size"][0])):
        a, b = force(x, y, w)
        x, y, u, v = x + SMALL_NUMBER * u, y + SMALL_NUMBER * v, u - SMALL_NUMBER * a, v - SMALL_NUMBER * b
    return x * x + 0.1 * (y * y)


def saddle_scalars(m, theta, data, ascent):
    y = list(theta)
    for _ in range(int(data["size"][1])):
        y = [a + 0.1 * g for a, g in zip(y, ascent(theta, y), strict=True)]
    return saddle_value(theta, y)


def saddle_value(x, y):
    terms = [a * b * c - b * b - 0.25 * b**4 + 0.1 * b for a, b, c in zip(x, y, [*y[1:], y[0]], strict=True)]
    return sum(a * a for a in x) + sum(terms)


def rnn_sample(m, theta, x):
    h = 0.0
    for each in x:
        h = m.tanh(theta[0] * h + theta[1] * each + theta[2])
    return h * h


def lorenz_scalars(m, theta, data):
    x = y = z = 1.0
    for _ in range(int(data["size"][0])):
        slopes = theta[0] * (y - x), x * (theta[1] - z) - y, x * y - theta[2] * z
        x, y, z = (a + SMALL_NUMBER * b for a, b in zip((x, y, z), slopes, strict=True))
    return x * x + y * y + z * z


def heat_scalars(m, theta, data):
    u = list(data["X"])
    for _ in range(int(data["size"][0])):
        padded = [u[0], *u, u[-1]]
        u = [b + theta[0] * (a - 2.0 * b + c) for a, b, c in zip(padded, padded[1:], padded[2:], strict=False)]
    return m.dot(u, u)


def dense_scalars(m, theta, data):
    n = int(data["size"][0])
    b, x = theta[n * n : n * n + n], theta[n * n + n :]
    outputs = [m.relu(m.dot(theta[n * k : n * k + n], x, start=b[k])) for k in range(n)]
    return 0.5 * m.dot(outputs, outputs)


def convolution_scalars(m, theta, data):
    w, x = theta[:WEIGHTS], theta[WEIGHTS:]
    outputs = [m.relu(m.dot(w, x[i : i + WEIGHTS])) for i in range(len(x) - WEIGHTS + 1)]
    return 0.5 * m.dot(outputs, outputs)


def lu_scalars(m, theta, data):
    n = int(data["size"][0])
    rows = [theta[n * i : n * i + n] for i in range(n)]
    for k in range(n):
        for row in rows[k + 1 :]:
            row[k] = row[k] / rows[k][k]
            row[k + 1 :] = [a - row[k] * u for a, u in zip(row[k + 1 :], rows[k][k + 1 :], strict=True)]
    return m.sum([m.log(rows[k][k]) for k in range(n)])


SCALARS = {
    "lstm": lstm_scalars, "ode": ode_scalars, "det": det_scalars, "lorenz": lorenz_scalars, "heat": heat_scalars,
    "dense": dense_scalars, "convolution": convolution_scalars, "lu": lu_scalars,
}  # fmt: skip


def ours(backend):
    """A function of a problem's name and data: the call that is timed, and the same as one flat array."""
    import micrograd as m
    from micrograd import Value, jit

    def sample(name, d):
        """The function of one sample with theta as parameters, and the arrays of samples."""
        theta = [Value(x) for x in d["theta"].tolist()] if d["theta"].ndim == 1 else []
        X = d["X"]
        if name == "gmm":
            return jit(lambda x: gmm_sample(m, theta, x, *map(int, d["size"])), wrt=theta, backend=backend), (X,)
        if name == "llsq":

            def residual(t):
                powers = [1.0, t]
                for _ in theta[2:]:
                    powers.append(powers[-1] * t)
                return 0.5 * (m.sign(t) - m.dot(powers, theta)) ** 2

            return jit(residual, wrt=theta, backend=backend), (X,)
        if name == "kmeans":
            return jit(lambda x: nearest(m, theta, x), wrt=theta, backend=backend), (X,)
        if name == "kmeans-hvp":
            along = lambda x, v: m.jvp(lambda c: nearest(m, c, x), (theta,), (list(v),))[1]  # noqa: E731
            return jit(along, wrt=theta, backend=backend), (X, d["v"])
        return jit(lambda x: rnn_sample(m, theta, x), wrt=theta, backend=backend), (X,)

    def whole(name, d):
        """The function of theta and X, once."""
        if name == "lse":
            return lambda t, x: m.logsumexp(list(t))
        if name == "particle":
            force = m.grad(lambda x, y, w: potential(m, x, y, w), (0, 1))
            return lambda t, x: particle_scalars(m, t, d, lambda x, y, w: force(*map(as_value, (x, y)), w))
        if name == "saddle":
            return lambda t, x: saddle_scalars(m, list(t), d, m.grad(saddle_value, 1))
        return lambda t, x: SCALARS[name](m, list(t), d | {"X": x})

    def as_value(x):
        return x if isinstance(x, Value) else Value(x)

    def prepare(name, d):
        theta = d["theta"]
        if name == "ba":
            f = jit(m.jacobian(lambda p, x: projected([*p, *x], m)), backend=backend)
            return lambda: f.map(theta, d["X"]), lambda: np.stack(f.map(theta, d["X"]), 1).ravel()
        if name == "ht":
            offsets = d["offsets"].tolist()
            f = jit(m.jacobian(lambda t, x, w, y: ht_sample(m, t, x, w, y, offsets)), backend=backend)
            call = lambda: f.map(theta, d["X"], d["weights"], d["targets"], in_axes=(None, 0, 0, 0))  # noqa: E731
            return call, lambda: np.stack(call(), 1).ravel()
        if name in ("gmm", "llsq", "kmeans", "kmeans-hvp", "rnn"):
            f, samples = sample(name, d)
            axes = (0, None) if name == "kmeans-hvp" else 0
            how = {"reduction": "mean" if name == "rnn" else "sum", "in_axes": axes}
            call = lambda: f.value_and_grad(theta, *samples, **how)  # noqa: E731
            first = 1 if name == "kmeans-hvp" else 0
            return call, lambda: np.array([call()[0], *call()[1]])[first:]
        f = jit(m.value_and_grad(whole(name, d)), backend=backend)
        call = lambda: f(theta, d["X"])  # noqa: E731
        return call, lambda: np.array([call()[0], *call()[1]])

    return prepare


def jax_peer():
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    class Jax:
        def __getattr__(self, name):
            return getattr(jnp, name)

        logsumexp, sigmoid, scan = map(staticmethod, (jax.nn.logsumexp, jax.nn.sigmoid, jax.lax.scan))
        det = staticmethod(jnp.linalg.det)

        def lower(self, rows, d):
            return jnp.zeros((len(rows), d, d)).at[:, *np.tril_indices(d, -1)].set(rows)

        def force(self, x, y, w):
            return jax.grad(lambda x, y: potential(jnp, x, y, w), (0, 1))(x, y)

    xp = Jax()

    def prepare(name, d):
        theta, rest = d["theta"], {k: x if k == "size" else jnp.asarray(x) for k, x in d.items() if k != "theta"}
        numbers = {k: x for k, x in rest.items() if k != "size"}
        f = lambda theta, numbers: ARRAYS[name](xp, theta, numbers | {"size": rest["size"]})  # noqa: E731
        if name == "ba":
            one = lambda p, x: jnp.stack(projected([*p, *x], jnp))  # noqa: E731
            g = jax.jit(jax.vmap(jax.jacfwd(one)))
            return lambda: g(theta, rest["X"]).block_until_ready(), lambda: np.asarray(g(theta, rest["X"])).ravel()
        if name == "ht":
            g = jax.jit(jax.jacfwd(f))
        elif name == "kmeans-hvp":
            g = jax.jit(lambda t, n: jax.jvp(jax.grad(lambda t: f(t, n)), (t,), (n["v"],))[1])
        else:
            h = jax.jit(jax.value_and_grad(f))
            return lambda: jax.block_until_ready(h(theta, numbers)), lambda: flat(h(theta, numbers))
        return lambda: g(theta, numbers).block_until_ready(), lambda: np.asarray(g(theta, numbers)).ravel()

    def flat(found):
        return np.array([found[0], *np.asarray(found[1])])

    return prepare


def torch_peer():
    import torch

    torch.set_num_threads(1)

    class Torch:
        def __getattr__(self, name):
            return getattr(torch, name)

        det = staticmethod(torch.linalg.det)

        def min(self, x, axis):
            return torch.min(x, axis).values

        def lower(self, rows, d):
            i, j = np.tril_indices(d, -1)
            zeros = torch.zeros((len(rows), d * d), dtype=rows.dtype)
            return zeros.index_add(1, torch.as_tensor(i * d + j), rows).reshape(-1, d, d)

    xp = Torch()

    def prepare(name, d):
        if name not in ("gmm", "kmeans", "lse", "det", "llsq", "dense", "convolution", "lu"):
            return None
        theta = torch.tensor(d["theta"], requires_grad=True)
        rest = {k: x if k == "size" else torch.tensor(x) for k, x in d.items() if k != "theta"}

        def call():
            value = ARRAYS[name](xp, theta, rest)
            return value, torch.autograd.grad(value, theta)[0]

        return call, lambda: np.array([call()[0].item(), *call()[1].numpy()])

    return prepare


def casadi_peer():
    import casadi

    class Functions:
        exp, log, tanh, sqrt = casadi.exp, casadi.log, casadi.tanh, casadi.sqrt
        sigmoid = staticmethod(lambda x: 1.0 / (1.0 + casadi.exp(-x)))
        sum = staticmethod(lambda xs: reduce(lambda a, b: a + b, xs))
        dot = staticmethod(lambda xs, ys: reduce(lambda a, b: a + b, [x * y for x, y in zip(xs, ys, strict=True)]))

    def prepare(name, d):
        if name not in ("lstm", "ode", "det", "lorenz", "heat", "lse") or (name == "lse" and len(d["theta"]) > 2500):
            return None
        theta = casadi.SX.sym("theta", len(d["theta"]))
        each = [theta[i] for i in range(len(d["theta"]))]
        X = casadi.SX.sym("X", *d["X"].shape)
        rows = [X[i, :] if d["X"].ndim > 1 else X[i] for i in range(len(d["X"]))]
        scalars = SCALARS.get(name, lambda *_: casadi.logsumexp(theta))
        value = scalars(Functions, each, d | {"X": rows})
        f = casadi.Function("f", [theta, X], [value, casadi.gradient(value, theta)])
        x = casadi.DM(d["theta"]), casadi.DM(d["X"])
        return lambda: f(*x), lambda: np.concatenate([np.asarray(part).ravel() for part in f(*x)])

    return prepare


def c_peer():
    library = by_hand()
    pointer, size, number = ctypes.c_void_p, ctypes.c_long, ctypes.c_double
    library.lorenz_value_and_grad.argtypes = (pointer, size, number, pointer, pointer)
    library.heat_value_and_grad.argtypes = (number, pointer, size, size, pointer, pointer)
    library.lorenz_value_and_grad.restype = library.heat_value_and_grad.restype = number
    one_size = {name: getattr(library, f"{name}_value_and_grad") for name in ("dense", "convolution", "lu")}
    for function in one_size.values():
        function.argtypes, function.restype = (pointer, size, pointer, pointer), number

    def prepare(name, d):
        theta, X, steps, n = d["theta"], d["X"], int(d["size"][0]), len(d["X"])
        if name in one_size:
            function, room = one_size[name], np.empty(len(theta))

            def of_size():
                gradient = np.empty(len(theta))
                return function(data_of(theta), steps, data_of(room), data_of(gradient)), gradient

            return of_size, lambda: np.array([of_size()[0], *of_size()[1]])
        if name not in ("lorenz", "heat"):
            return None
        path = np.empty((steps + 3) * max(n, 3))

        def call():
            gradient = np.empty(len(theta))
            where = data_of(path), data_of(gradient)
            if name == "lorenz":
                return library.lorenz_value_and_grad(data_of(theta), steps, SMALL_NUMBER, *where), gradient
            return library.heat_value_and_grad(theta[0], data_of(X), steps, n, *where), gradient

        return call, lambda: np.array([call()[0], *call()[1]])

    return prepare


def numpy_peer():
    """NumPy by hand, forward and backward, where that is a few lines."""

    def prepare(name, d):
        if name != "dense":
            return None
        theta, n = d["theta"], int(d["size"][0])
        W, b, x = theta[: n * n].reshape(n, n), theta[n * n : n * n + n], theta[n * n + n :]

        def call():
            out = np.maximum(W @ x + b, 0.0)
            gradient = np.empty(len(theta))
            np.outer(out, x, out=gradient[: n * n].reshape(n, n))
            gradient[n * n : n * n + n] = out
            np.dot(out, W, out=gradient[n * n + n :])
            return 0.5 * (out @ out), gradient

        return call, lambda: np.array([call()[0], *call()[1]])

    return prepare


PEERS = {
    "ours-llvm": lambda: ours("llvm"), "ours-numpy": lambda: ours("numpy"), "jax": jax_peer, "torch": torch_peer,
    "casadi": casadi_peer, "c": c_peer, "numpy": numpy_peer,
}  # fmt: skip


def along(name: str, d: dict[str, np.ndarray], direction: np.ndarray) -> np.ndarray:
    """What a derivative times a direction has to be, by differences of the problem as NumPy code, which knows no derivative."""
    xp, theta = NumPy(), d["theta"]
    f = lambda h: np.asarray(ARRAYS[name](xp, theta + h * direction, d))  # noqa: E731
    step = (1e-6 if name.startswith("kmeans") else 1e-4) / math.sqrt(np.mean(direction**2))
    one, two = ((f(h) - f(-h)) / (2 * h) for h in (step, step / 2))
    return (4 * two - one) / 3
