"""Standard problems for SciPy's methods, solved with exact derivatives of whoever offers them.

The tests solve them with this project's, benchmarks/scipy_methods.py with those of JAX and with differences too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import integrate, optimize, sparse

# -- the functions, on any kind of array: arithmetic, and what `xp` has


def rosenbrock(xp: Any, x: Any) -> Any:
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def broyden(xp: Any, x: Any) -> Any:
    """Broyden's tridiagonal equations (Moré, Garbow and Hillstrom, problem 30)."""
    inner = (3.0 - 2.0 * x) * x + 1.0
    return inner - xp.concatenate([x[:1] * 0.0, x[:-1]]) - 2.0 * xp.concatenate([x[1:], x[:1] * 0.0])


def robertson(xp: Any, y: Any) -> Any:
    """Robertson's stiff reaction, with rates from 1e-2 to 1e7."""
    slow, fast, mixed = 0.04 * y[0], 3e7 * y[1] ** 2, 1e4 * y[1] * y[2]
    return xp.stack([mixed - slow, slow - mixed - fast, fast])


TIMES = np.linspace(0.0, 4.0, 60)
DATA = 2.5 * np.exp(-1.3 * TIMES) + 0.5 + 0.01 * np.sin(37.0 * TIMES)


def decay(xp: Any, p: Any) -> Any:
    return p[0] * xp.exp(-p[1] * TIMES) + p[2]


# -- what a contender offers: functions of one array, already compiled where it compiles


class Derivatives(NamedTuple):
    value_and_grad: Callable[..., Any]
    hessian: Callable[..., Any]
    hvp: Callable[..., Any]
    jacobian: Callable[..., Any]
    value: Callable[..., Any]
    sparse_hessian: Callable[..., Any]
    sparse_jacobian: Callable[..., Any]


def eager() -> Derivatives:
    import micrograd as mg

    def of(transform: Any, **options: Any) -> Any:
        return lambda f, x: transform(lambda x: f(np, x), **options)

    return Derivatives(
        of(mg.value_and_grad),
        of(mg.hessian),
        lambda f, x: lambda x, p: mg.hvp(lambda x: f(np, x), (x,), (p,)),
        of(mg.jacobian),
        lambda f, x: lambda x: f(np, x),
        of(mg.hessian, sparse=True),
        of(mg.jacobian, sparse=True),
    )


def compiled() -> Derivatives:
    import micrograd as mg

    def of(transform: Any) -> Any:
        return lambda f, x: warm(mg.jit(transform(lambda x: f(np, x))), x)

    def at_entries(transform: Any) -> Any:
        """Only the entries that the graph connects are computed, as one array."""

        def make(f: Any, x: Any) -> Any:
            found = sparse.coo_array(transform(lambda x: f(np, x), sparse=True)(x))
            rows, columns = found.coords
            entries = warm(mg.jit(lambda x: transform(lambda x: f(np, x))(x)[rows, columns]), x)
            return lambda x: sparse.csr_array((entries(x), (rows, columns)), shape=found.shape)

        return make

    return Derivatives(
        of(mg.value_and_grad),
        of(mg.hessian),
        lambda f, x: warm(mg.jit(lambda x, p: mg.hvp(lambda x: f(np, x), (x,), (p,))), x, x),
        of(mg.jacobian),
        of(lambda f: f),
        at_entries(mg.hessian),
        at_entries(mg.jacobian),
    )


def warm(f: Any, *args: Any) -> Any:
    f(*args)
    return f


# -- the problems: each makes a solver of what a contender offers, or of nothing where differences are to be taken


def minimised(method: str, second: str = "") -> Callable[[Derivatives | None], Callable[[], Any]]:
    x0 = np.full(20, 1.1) if method == "dogleg" else np.tile([-1.2, 1.0], 10)  # which wants a convex place

    def problem(d: Derivatives | None) -> Callable[[], Any]:
        if d is None:
            function, more = lambda x: rosenbrock(np, x), {"jac": None if method != "trust-constr" else "2-point"}
        else:
            function, more = d.value_and_grad(rosenbrock, x0), {"jac": True}
            if second:
                more["hess" if second != "hvp" else "hessp"] = getattr(d, second)(rosenbrock, x0)
        return lambda: optimize.minimize(
            function, x0, method=method, options={"maxfun" if method == "TNC" else "maxiter": 5000}, **more
        )

    return problem


def root_of(method: str) -> Callable[[Derivatives | None], Callable[[], Any]]:
    x0 = -np.ones(20)

    def problem(d: Derivatives | None) -> Callable[[], Any]:
        function = (lambda x: broyden(np, x)) if d is None else d.value(broyden, x0)
        jac = None if d is None else d.jacobian(broyden, x0)
        return lambda: optimize.root(function, x0, jac=jac, method=method)

    return problem


def least_squares(d: Derivatives | None) -> Callable[[], Any]:
    x0 = -np.ones(100)
    function = (lambda x: broyden(np, x)) if d is None else d.value(broyden, x0)
    jac: Any = "2-point" if d is None else d.sparse_jacobian(broyden, x0)
    return lambda: optimize.least_squares(function, x0, jac=jac, method="trf")


def stiff(method: str) -> Callable[[Derivatives | None], Callable[[], Any]]:
    y0 = np.array([1.0, 0.0, 0.0])

    def problem(d: Derivatives | None) -> Callable[[], Any]:
        function = (lambda t, y: robertson(np, y)) if d is None else (lambda f: lambda t, y: f(y))(d.value(robertson, y0))
        jac = None if d is None else (lambda j: lambda t, y: j(y))(d.jacobian(robertson, y0))
        options: Any = {"method": method, "jac": jac, "rtol": 1e-6, "atol": 1e-10}
        return lambda: integrate.solve_ivp(function, (0.0, 1e5), y0, **options)

    return problem


def fitted(d: Derivatives | None) -> Callable[[], Any]:
    p0 = np.array([1.0, 1.0, 0.0])
    function = (lambda p: decay(np, p)) if d is None else d.value(decay, p0)
    jac = None if d is None else (lambda j: lambda t, *p: j(np.array(p)))(d.jacobian(decay, p0))

    def solve() -> Any:
        p, _, info, _, _ = optimize.curve_fit(
            lambda t, *p: function(np.array(p)), TIMES, DATA, p0, jac=jac, full_output=True, method="lm"
        )
        return optimize.OptimizeResult(x=p, nfev=info["nfev"], njev=info.get("njev"), success=True)

    return solve


PROBLEMS: dict[str, Callable[[Derivatives | None], Callable[[], Any]]] = {
    **{f"minimize {m}": minimised(m) for m in ("BFGS", "L-BFGS-B", "CG", "TNC", "SLSQP")},
    "minimize Newton-CG, Hessian": minimised("Newton-CG", "hessian"),
    "minimize Newton-CG, products": minimised("Newton-CG", "hvp"),
    **{f"minimize {m}, Hessian": minimised(m, "hessian") for m in ("trust-exact", "trust-ncg", "dogleg")},
    "minimize trust-krylov, products": minimised("trust-krylov", "hvp"),
    "minimize trust-constr, sparse Hessian": minimised("trust-constr", "sparse_hessian"),
    "root hybr": root_of("hybr"),
    "root lm": root_of("lm"),
    "least_squares trf, sparse Jacobian of 100": least_squares,
    **{f"solve_ivp {m}": stiff(m) for m in ("BDF", "Radau", "LSODA")},
    "curve_fit": fitted,
}


def right(name: str, result: Any) -> bool:
    """Whether the answer is one: a stationary point, equations that hold, the known curve, what is left of the reaction."""
    if name.startswith("minimize"):
        return bool(np.abs(optimize.rosen_der(result.x)).max() < 2e-2)
    if name.startswith("solve_ivp"):
        return bool(result.success and abs(result.y[:, -1].sum() - 1.0) < 1e-6 and abs(result.y[2, -1] - 0.982) < 2e-3)
    if name == "curve_fit":
        return bool(np.allclose(result.x, [2.5, 1.3, 0.5], atol=0.02))
    return bool(result.success and np.abs(broyden(np, result.x)).max() < 1e-6)


def evaluations(result: Any) -> list[int]:
    """How often the function, its first and its second derivatives were asked for."""
    return [int(getattr(result, name, None) or 0) for name in ("nfev", "njev", "nhev")]
