"""Problems that are formulas rather than networks, for `compiled.py`: each written once as plain scalar code, for every peer.

    bundle    the reprojection error of bundle adjustment (Rodrigues' rotation, radial distortion): 2 outputs and their
              Jacobian by 15 inputs, for 100,000 observations
    options   the price of a European call (Black and Scholes) and five greeks, for 1,000,000 options
    call      one evaluation of a function of two floats, 20 operations, with its gradient

The same work written by hand in C stands in `by_hand.c`; it is compiled here and called through ctypes with arrays that are
allocated at each call, as the compiled functions' results are. On two cores its rows are shared between two threads.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

TASKS = ("bundle", "options", "call")
VARYING = 15  # of the 17 numbers of an observation; the rest is the feature that was seen


def problems() -> dict[str, np.ndarray]:
    """The rows that each formula is evaluated for."""
    rng = np.random.default_rng(1)
    observations = rng.normal(size=(100_000, 17))
    observations[:, :3] *= 0.3
    observations[:, 11:14] += [0.0, 0.0, 5.0]
    observations[:, 6] = 500.0
    observations[:, 9:11] *= 0.01
    low, high = np.array([[80.0, 80.0, 0.0, 0.1, 0.2], [120.0, 120.0, 0.1, 0.5, 2.0]])
    return {"bundle": observations, "options": rng.uniform(low, high, (1_000_000, 5)), "call": np.array([[0.3, 0.4]])}


# -- the formulas, for any module `m` with sqrt, sin, cos, exp, log, erf and tanh


def projected(p, m):
    """The reprojection error of a camera (rotation, centre, focal length, principal point, distortion), a point, a weight."""
    r, centre, focal, middle, k, point, weight, feature = p[0:3], p[3:6], p[6], p[7:9], p[9:11], p[11:14], p[14], p[15:17]
    q = [point[i] - centre[i] for i in range(3)]
    angle = m.sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2])
    cosine, sine, over = m.cos(angle), m.sin(angle), 1.0 / angle
    axis = [r[i] * over for i in range(3)]
    cross = [axis[1] * q[2] - axis[2] * q[1], axis[2] * q[0] - axis[0] * q[2], axis[0] * q[1] - axis[1] * q[0]]
    along = (axis[0] * q[0] + axis[1] * q[1] + axis[2] * q[2]) * (1.0 - cosine)
    turned = [q[i] * cosine + cross[i] * sine + axis[i] * along for i in range(3)]
    x, y = turned[0] / turned[2], turned[1] / turned[2]
    square = x * x + y * y
    distortion = 1.0 + square * (k[0] + k[1] * square)
    return [
        weight * (x * distortion * focal + middle[0] - feature[0]),
        weight * (y * distortion * focal + middle[1] - feature[1]),
    ]


def price(p, m):
    """The price of a call: spot, strike, rate, volatility, time to expiry."""
    spot, strike, rate, volatility, years = p[0], p[1], p[2], p[3], p[4]
    spread = volatility * m.sqrt(years)
    d1 = (m.log(spot / strike) + (rate + 0.5 * volatility * volatility) * years) / spread
    d2 = d1 - spread
    normal = [0.5 * (1.0 + m.erf(d * 0.7071067811865476)) for d in (d1, d2)]
    return spot * normal[0] - strike * m.exp(-rate * years) * normal[1]


def small(a, b, m):
    """Twenty operations on two numbers."""
    c = m.tanh(a * b + m.sin(a) * m.exp(b))
    d = (a - b) * (a + b) / (1.0 + a * a)
    return c * d + m.sqrt(1.0 + c * c) - m.cos(a - d) * b + 0.5 * d * d


# -- the peers


def ours(backend):
    import micrograd
    from micrograd import adjoints
    from micrograd.tape import jit

    def bundle(p):
        error, vary = projected(list(p), micrograd), list(p[:VARYING])
        found = [adjoints(e, vary, create_graph=True) for e in error]
        return error, [[g[v] for v in vary] for g in found]

    def options(p):
        value = price(list(p), micrograd)
        found = adjoints(value, list(p), create_graph=True)
        return [value, *(found[v] for v in p)]

    def call(a, b):
        value = small(a, b, micrograd)
        found = adjoints(value, [a, b], create_graph=True)
        return value, found[a], found[b]

    def prepare(task, X):
        if task == "call":
            f = jit(call, backend=backend)
            return lambda: f(0.3, 0.4), lambda: np.array(f(0.3, 0.4))
        f = jit(bundle if task == "bundle" else options, backend=backend)
        return lambda: f.map(X), lambda: shown(f.map(X))

    return prepare


@functools.cache
def by_hand():
    """The C of `by_hand.c`, compiled for this machine."""
    source = Path(__file__).with_name("by_hand.c")
    folder = tempfile.mkdtemp()
    library = Path(folder) / "by_hand.so"
    flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
    subprocess.run([os.environ.get("CC", "cc"), *flags, str(source), "-o", str(library), "-lmvec", "-lm"], check=True)
    return ctypes.CDLL(str(library))


def data_of(array):
    """Where an array's numbers are, read from its object as the compiled functions' callers do."""
    return ctypes.c_void_p.from_address(id(array) + 16).value


@functools.cache
def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor()


def shared(n, work):
    """Calls `work` with the first and the number of its rows: all `n`, or an even part of them for each core."""
    cores = len(os.sched_getaffinity(0))
    if cores == 1:
        work(0, n)
        return
    part = -(-n // cores)
    list(threads().map(lambda at: work(at, min(part, n - at)), range(0, n, part)))


def additions():
    """A call of 60 million additions in registers, shared like the rows of C: what two threads gain is what processors do."""
    add = by_hand().additions
    add.argtypes, add.restype = (ctypes.c_long,), ctypes.c_double
    return lambda: shared(5_000_000, lambda _, many: add(many))


def c_peer():
    library = by_hand()
    pointer, size = ctypes.c_void_p, ctypes.c_long
    bundle, options, demo = library.bundle_value_and_jacobian, library.black_scholes, library.demo_value_and_grad
    bundle.argtypes, options.argtypes = (pointer, size, pointer, pointer), (pointer, size, pointer)
    bundle.restype = options.restype = None
    demo.argtypes, demo.restype = (pointer, pointer, pointer, size, pointer), ctypes.c_double

    def value_and_grad(theta, X, y):
        theta, X, y = (np.ascontiguousarray(a, np.float64) for a in (theta, X, y))
        gradient = np.empty(337)
        return demo(data_of(theta), data_of(X), data_of(y), len(X), data_of(gradient)), gradient

    def prepare(task, *data):
        if task == "demo":
            return (lambda: value_and_grad(*data),) * 2
        X = data[0]

        def run():
            n = len(X)
            if task == "options":
                out = np.empty((n, 6))
                shared(n, lambda at, many: options(data_of(X) + at * 40, many, data_of(out) + at * 48))
                return out
            error, jacobian = np.empty((n, 2)), np.empty((n, 2, VARYING))
            places = [(data_of(array), array.nbytes // n) for array in (error, jacobian)]
            shared(n, lambda at, many: bundle(data_of(X) + at * 136, many, *(place + at * row for place, row in places)))
            return error, jacobian

        return None if task not in ("bundle", "options") else (run, lambda: shown(run()))

    return prepare


def jax_peer():
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    class Functions:
        sqrt, sin, cos, exp, log, tanh, erf = jnp.sqrt, jnp.sin, jnp.cos, jnp.exp, jnp.log, jnp.tanh, jax.scipy.special.erf

    def prepare(task, X):
        if task == "call":
            f = jax.jit(jax.value_and_grad(lambda a, b: small(a, b, Functions), argnums=(0, 1)))
            return lambda: jax.block_until_ready(f(0.3, 0.4)), lambda: np.array(jax.tree.leaves(f(0.3, 0.4)))
        if task == "options":

            def one(p):
                value, gradient = jax.value_and_grad(lambda p: price(p, Functions))(p)
                return jnp.concatenate([value[None], gradient])
        else:

            def one(p):
                error = lambda vary: jnp.stack(projected([*vary, *p[VARYING:]], Functions))  # noqa: E731
                return error(p[:VARYING]), jax.jacfwd(error)(p[:VARYING])

        f, rows = jax.jit(jax.vmap(one)), jnp.asarray(X)
        return lambda: jax.block_until_ready(f(rows)), lambda: shown(jax.tree.map(np.asarray, f(rows)))

    return prepare


def casadi_peer():
    import casadi

    def prepare(task, X):
        if task == "call":
            a, b = casadi.SX.sym("a"), casadi.SX.sym("b")
            value = small(a, b, casadi)
            f = casadi.Function("f", [a, b], [value, casadi.gradient(value, a), casadi.gradient(value, b)])
            return lambda: f(0.3, 0.4), lambda: np.array([float(x) for x in f(0.3, 0.4)])
        p = casadi.SX.sym("p", X.shape[1])
        numbers = [p[i] for i in range(X.shape[1])]
        if task == "options":
            value = price(numbers, casadi)
            one = casadi.Function("one", [p], [value, casadi.gradient(value, p)])
        else:
            error = casadi.vertcat(*projected(numbers, casadi))
            one = casadi.Function("one", [p], [error, casadi.jacobian(error, p)[:, :VARYING].T])
        every, rows = one.map(len(X)), casadi.DM(X.T)

        def found():
            first, second = (np.array(part) for part in every(rows))
            if task == "options":
                return np.concatenate([first, second]).T
            return first.T, second.reshape(VARYING, len(X), 2).transpose(1, 2, 0)

        return lambda: every(rows), lambda: shown(found())

    return prepare


def heyoka_peer():
    import heyoka

    def prepare(task, X):
        variables = heyoka.make_vars(*[f"x{i}" for i in range(2 if task == "call" else X.shape[1])])
        if task == "call":
            outputs, by = [small(*variables, heyoka)], variables
        elif task == "options":
            outputs, by = [price(variables, heyoka)], variables
        else:
            outputs, by = projected(variables, heyoka), variables[:VARYING]
        tensors = heyoka.diff_tensors(outputs, diff_args=by, diff_order=1)
        jacobian = np.atleast_2d(tensors.jacobian)
        f = heyoka.cfunc([*outputs, *jacobian.ravel()], variables)
        columns = np.ascontiguousarray(np.array([[0.3], [0.4]]) if task == "call" else X.T)
        room = np.empty((len(outputs) + jacobian.size, columns.shape[1]))
        if task == "call":
            point, out = columns[:, 0].copy(), room[:, 0].copy()
            return lambda: f(point, outputs=out), lambda: f(point, outputs=out).copy()

        def found():
            rows = f(columns, outputs=room).T
            if task == "options":
                return rows
            return rows[:, : len(outputs)], rows[:, len(outputs) :].reshape(-1, *jacobian.shape)

        return lambda: f(columns, outputs=room), lambda: shown(found())

    return prepare


def shown(found) -> np.ndarray:
    """What is compared of many results: some rows, and the sums of all."""
    arrays = found if isinstance(found, tuple) else (found,)
    return np.concatenate([part for a in arrays for part in (np.ravel(a[:50]), np.ravel(a[-3:]), np.ravel(a.sum(axis=0)))])


PEERS = {
    "ours-numpy": lambda: ours("numpy"),
    "ours-llvm": lambda: ours("llvm"),
    "c": c_peer,
    "jax": jax_peer,
    "casadi": casadi_peer,
    "heyoka": heyoka_peer,
}
