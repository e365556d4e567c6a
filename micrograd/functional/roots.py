"""Derivatives of what a solver finds: the root of an equation, without a look inside the solver.

By the implicit function theorem f(y, p) = 0 gives ∂y/∂p = -(∂f/∂y)⁻¹ ∂f/∂p. These are the local derivatives of a node for each
number of y; taken on Values they are a graph over these nodes, so derivatives of every order follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, overload

from micrograd.engine import Value, adjoints, attach
from micrograd.engine.modes import inside
from micrograd.functional.whole import Found, Frame, Row, Segment, WholeFunction, called, number_of
from micrograd.primitives import dot
from micrograd.trees import elements_of, like, numbers, plain_arrays

if TYPE_CHECKING:
    from micrograd.signatures import A, NumberFound, NumbersFound


@overload
def implicit(f: Callable[..., Any], solve: Callable[..., float]) -> NumberFound: ...
@overload
def implicit(f: Callable[..., Any], solve: Callable[..., list[float]]) -> NumbersFound: ...
@overload
def implicit(f: Callable[..., Any], solve: Callable[..., A]) -> Callable[..., A]: ...
def implicit(f: Callable[..., Any], solve: Callable[..., Any]) -> Callable[..., Any]:
    """A function of p that returns the root y of f(y, p) = 0 which solve(p) finds, with its derivatives of every order.

    `f` takes y and the parameters and returns as many numbers as y has, written with Values; `solve` takes the parameters as
    plain numbers and returns y as plain numbers, by whatever means: one of SciPy's solvers, a table, a loop. Both are a number,
    or nested lists, tuples, dicts and arrays of numbers. What `f` closes over is differentiated too. Inside jit the solver is
    called for each sample. ValueError where the root is none, or where ∂f/∂y has no inverse.

    >>> from micrograd import grad, implicit
    >>> root = implicit(lambda y, p: y**2 - p, lambda p: p**0.5)
    >>> root(9.0), grad(root)(9.0), grad(grad(root))(4.0)
    (3.0, 0.16666666666666666, -0.03125)
    """

    for what, given in (("an equation", f), ("a solver", solve)):
        if not callable(given):
            raise TypeError(f"implicit needs {what}, a function, got {type(given).__name__} {given!r}")
    return Implicit(f, solve)


class Implicit(WholeFunction):
    """What `implicit` returns; see there."""

    where = "implicit"
    watched = True  # what it solves is there to be differentiated

    def __init__(self, f: Callable[..., Any], solve: Callable[..., Any]):
        super().__init__(solve)
        self.f, self.solve = f, solve

    def run(self, frame: Frame, xs: Sequence[float]) -> Found:
        solved = called("implicit: solve takes the parameters", self.solve, *frame.args(xs))
        found = plain_arrays(solved, self.returned)
        y = [number_of(x) for x in numbers(found, self.returned, integers=True)]
        found = like(found, iter(y))
        with inside(observer=None, recording=True):
            segment = self.residual(frame, found, y, xs[: frame.size])
            by_y = [[g.get(leaf, 0.0) for leaf in segment.leaves[: len(y)]] for g in map(_adjoints, segment.results)]
            step = [float(d) for d in _solved(by_y, [number_of(r) for r in segment.results], y)]
        if any(not math.fabs(d) <= 1e-3 * max(1.0, math.fabs(at)) for d, at in zip(step, y, strict=True)):
            raise ValueError(f"implicit: solve gave {_shown(y)}, which is no root of f: Newton's step there is {_shown(step)}")
        return Found(found, range(len(y)), segment.closed)

    def residual(self, frame: Frame, shape: Any, y: Sequence[Any], xs: Sequence[Any]) -> Segment:
        """f on leaves for the numbers of y and of the arguments."""
        leaves = [Value(number_of(x)) for x in (*y, *xs)]
        given = like(shape, iter(leaves[: len(y)])), *frame.args(leaves[len(y) :])
        segment = Segment(self, lambda: called("implicit: f takes y and then the parameters", self.f, *given), (), leaves)
        if len(segment.results) != len(y):
            raise ValueError(f"implicit: f must return as many numbers as y has, {len(y)}, got {len(segment.results)}")
        return segment

    def partials(self, row: Row, xs: Sequence[Any], out: Any) -> tuple[Any, ...]:
        """Row i of -(∂f/∂y)⁻¹ ∂f/∂p: the adjoint of the equation, λ with (∂f/∂y)ᵀ λ = e_i, times ∂f/∂p."""
        frame, plain = row.frame, out.__class__ is float
        y = elements_of(frame.at([number_of(x) for x in xs]))
        size, given = len(y), xs[: frame.size]
        with inside(observer=None, recording=True) if plain else nullcontext():
            segment = self.residual(frame, row.shape, y, given)
            if len(segment.copies) != len(xs) - frame.size:
                raise frame.changed()
            own = [*segment.leaves, *segment.copies]
            found = [_adjoints(r, own, not plain) for r in segment.results]
            if not plain:
                for leaf, x in zip(own, (*row.beside(xs, out), *xs), strict=True):
                    attach(leaf, x)
            by_y = [[g.get(leaf, 0.0) for g in found] for leaf in own[:size]]
            weights = _solved(by_y, [1.0 if j == row.i else 0.0 for j in range(size)], y)
            return tuple([-dot(weights, [g.get(leaf, 0.0) for g in found]) for leaf in own[size:]])

    def made_of(self) -> tuple[Any, ...]:
        return self.f, self.solve

    def __repr__(self) -> str:
        return f"<root that {self.name} finds>"


def _adjoints(x: Any, wrt: Sequence[Value] | None = None, create_graph: bool = False) -> dict[Value, Any]:
    return adjoints(x, wrt, create_graph) if isinstance(x, Value) and not x.is_constant else {}


def _solved(matrix: list[list[Any]], right: list[Any], y: list[float]) -> list[Any]:
    """The solution of a system of linear equations, of numbers or Values: elimination, the largest in its column first.

    ValueError where there is none; `y` is the root that the message names.
    """
    rows, size = [[*row, b] for row, b in zip(matrix, right, strict=True)], len(right)
    for k in range(size):
        best = max(range(k, size), key=lambda i: abs(rows[i][k]))
        rows[k], rows[best] = rows[best], rows[k]
        if not 0.0 < abs(number_of(rows[k][k])) < math.inf:
            raise ValueError(
                f"implicit: ∂f/∂y has no inverse at the root {_shown(y)}, so y is no function of the parameters there"
            )
        for i in range(k + 1, size):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[k], strict=True)]
    found: list[Any] = [0.0] * size
    for k in reversed(range(size)):
        found[k] = (rows[k][size] - dot(rows[k][k + 1 : size], found[k + 1 :])) / rows[k][k]
    return found


def _shown(xs: list[float]) -> str:
    return ", ".join([f"{x:.6g}" for x in xs[:4]]) + (", ..." if len(xs) > 4 else "")
