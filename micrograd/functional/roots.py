"""Derivatives of what a solver finds: the root of an equation, without a look inside the solver.

By the implicit function theorem f(y, p) = 0 gives ∂y/∂p = -(∂f/∂y)⁻¹ ∂f/∂p. Here the same comes out of Newton's step with a
fixed matrix, y - (∂f/∂y)⁻¹ f(y, p), taken on Values from the root: each step makes the derivatives right to one order more
and leaves the number where it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from micrograd.engine import Value
from micrograd.engine.modes import current
from micrograd.functional.transforms import jacobian
from micrograd.primitives import dot
from micrograd.trees import elements, leaves_of, like, mapped, numbers, plain_arrays

ORDER = 2  # derivatives that are right, and so the number of steps


def implicit(f: Callable[..., Any], solve: Callable[..., Any]) -> Callable[..., Any]:
    """A function of p that returns the root y of f(y, p) = 0 which solve(p) finds, with its first and second derivatives.

    `f` takes y and the parameters and returns as many numbers as y has, written with Values; `solve` takes the parameters as
    plain numbers and returns y as plain numbers, by whatever means: one of SciPy's solvers, a table, a loop. Both are a number,
    or nested lists, tuples, dicts and arrays of numbers. What `f` closes over is differentiated too. ValueError where the root
    is none, or where ∂f/∂y has no inverse there.

    >>> from micrograd import grad, implicit
    >>> root = implicit(lambda y, p: y**2 - p, lambda p: p**0.5)
    >>> root(9.0), grad(root)(9.0), grad(grad(root))(4.0)
    (3.0, 0.16666666666666666, -0.03125)
    """

    def root(*args: Any) -> Any:
        args = tuple([plain_arrays(arg, f"implicit, argument {i}") for i, arg in enumerate(args)])
        if (observer := current().observer) is not None:
            given = [x for arg in args for leaf in leaves_of(arg) for x in elements(leaf) if isinstance(x, Value)]
            for x in given[:1]:
                observer.frozen(x, "the solver of implicit()")
        plain = [mapped(arg, _numbers_of) for arg in args]
        found = mapped(plain_arrays(solve(*plain), "implicit, what solve returns"), _numbers_of)
        y = numbers(found, "implicit, what solve returns", integers=True)
        size = len(y)

        def residual(y: list[Any], args: Any) -> list[Any]:
            out = f(like(found, iter(y)), *args)
            values = numbers(out, "implicit, what f returns", integers=True)
            if len(values) != size:
                raise ValueError(f"implicit: f must return as many numbers as y has, {size}, got {len(values)}")
            return values

        inverse = _inverse(lambda y: residual(y, plain), y)
        step = [sum(map(float.__mul__, row, map(_number, residual(y, plain)))) for row in inverse]
        if any(not math.fabs(d) <= 1e-3 * max(1.0, math.fabs(at)) for d, at in zip(step, y, strict=True)):
            raise ValueError(f"implicit: solve gave {_shown(y)}, which is no root of f: Newton's step there is {_shown(step)}")
        values: list[Any] = y
        for _ in range(ORDER):
            off = residual(values, args)
            values = [v - dot(row, off) for v, row in zip(values, inverse, strict=True)]
        return like(found, iter(values))

    return root


def _number(x: Any) -> float:
    return x.data if isinstance(x, Value) else x


def _numbers_of(leaf: Any) -> Any:
    """A leaf with plain numbers for its Values."""
    found = [_number(x) for x in elements(leaf)]
    return like(leaf, iter(found))


def _inverse(f: Callable[[list[Any]], list[Any]], y: list[float]) -> list[list[float]]:
    """The inverse of the Jacobian of `f` at y, as plain numbers."""
    from numpy import isfinite
    from numpy.linalg import LinAlgError, inv

    rows = [[_number(x) for x in row] for row in jacobian(f)(y)]
    inverse: Any = []
    try:
        inverse = inv(rows) if y else []
    except LinAlgError:
        inverse = [[math.nan]]
    if not all(isfinite(row).all() for row in inverse):
        raise ValueError(f"implicit: ∂f/∂y has no inverse at the root {_shown(y)}, so y is no function of the parameters there")
    return [[float(x) for x in row] for row in inverse]


def _shown(xs: list[float]) -> str:
    return ", ".join([f"{x:.6g}" for x in xs[:4]]) + (", ..." if len(xs) > 4 else "")
