"""Functions composed of primitives, in plain sight; their derivatives follow from those in the rule book.

`primitives` comes before. Each function takes numbers, Values, symbols or what a recording holds, because it uses nothing but
operators and primitives. Functions of one or two numbers also take lists and arrays, and give lists and arrays back. Functions
of many numbers take these as lists, nested lists or arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import reduce
from typing import TYPE_CHECKING, Any

from micrograd import primitives
from micrograd.elementwise import as_array, elementwise, is_many, listed, nested
from micrograd.primitives import dot, exp, expm1, floor, logsumexp, maximum, minimum, ndtr, number, sigmoid, sum, where

if TYPE_CHECKING:
    from micrograd.signatures import Elementwise, OfMany, OfPairs, OfRows


@nested
def _in_form(f: Callable[[Any], Any], xs: Any, name: str) -> Any:
    """`f` of each innermost row of a list, of nested lists or of an array, in the same form."""
    if hasattr(xs, "__array__"):
        import numpy as np  # only here: without arrays, NumPy is not needed

        return np.array(_in_form(f, as_array(xs, name).tolist(), name))
    xs = list(listed(name, xs))
    if xs and any(map(is_many, xs)):
        return [_in_form(f, row, name) for row in xs]
    return f(xs)


def _elementwise(f: Callable[..., Any]) -> Elementwise:  # for type checkers
    return elementwise(f)


def _of_pairs(f: Callable[..., Any]) -> OfPairs:  # for type checkers
    return elementwise(f)


def _of_many(f: Callable[..., Any]) -> OfMany:  # for type checkers: numbers give a number, Values a Value
    return f


def _of_rows(f: Callable[..., Any]) -> OfRows:  # for type checkers: a list gives a list of the same kind
    return f


@nested
def _flat(name: str, xs: Any, least: int = 1) -> list[Any]:
    """The numbers of a list, of nested lists or of an array, in order. ValueError if there are fewer than `least`."""
    found: list[Any] = []
    for x in as_array(xs, name).ravel().tolist() if hasattr(xs, "__array__") else listed(name, xs):
        found.extend(_flat(name, x, 0) if is_many(x) else (x if hasattr(type(x), "__primitive__") else number(x, name),))
    if len(found) < least:
        raise ValueError(f"{name} needs at least {least} value{'s' * (least > 1)}, got {len(found) or 'none'}")
    return found


# Whole numbers. These functions are constant but for their jumps, so their derivatives are 0.


@_elementwise
def ceil(x: Any) -> Any:
    """The least whole number that is not below x; its derivative is 0.

    >>> ceil(0.5), ceil(-0.5)
    (1.0, -0.0)
    """
    return primitives.neg(floor(primitives.neg(x)))


@_elementwise
def trunc(x: Any) -> Any:
    """x without its digits after the point; its derivative is 0.

    >>> trunc(2.7), trunc(-2.7)
    (2.0, -2.0)
    """
    return where(x, floor(x), ceil(x))


@_elementwise
def round(x: Any, digits: int | None = None) -> Any:
    """x rounded to the nearest whole number (if two are as near, to the even one), or to so many digits after the point.

    It rounds as NumPy does, also where x · 10^digits overflows, and its derivative is 0. TypeError where `digits` is not whole.

    >>> round(2.5), round(3.5), round(2.675, 1), round(1234.0, -2)
    (2.0, 4.0, 2.7, 1200.0)
    """
    if not digits:
        return primitives.round(x)
    if not hasattr(digits, "__index__") or hasattr(digits, "_data"):
        raise TypeError(f"round needs a whole number of digits, got {digits!r}")
    scale = 10.0 ** abs(digits) if abs(digits) < 309 else math.inf
    return primitives.round(x * scale) / scale if digits > 0 else primitives.round(x / scale) * scale


@_elementwise
def clip(x: Any, low: Any = None, high: Any = None) -> Any:
    """x, or the bound if x is beyond it. At a bound the derivative is 1/2, as at any tie; beyond it 0.

    >>> clip(3.0, 0.0, 1.0), clip([-0.5, 0.25], 0.0)
    (1.0, [0.0, 0.25])
    """
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


# Activations.


@_elementwise
def gelu(x: Any) -> Any:
    """x Φ(x), with Φ of the normal distribution itself, not approximated by tanh (Hendrycks and Gimpel, 2016).

    >>> gelu(0.0), gelu([-40.0, 40.0])
    (0.0, [-0.0, 40.0])
    """
    return x * ndtr(x)


@_elementwise
def silu(x: Any) -> Any:
    """x sigmoid(x), also called swish.

    >>> silu(0.0), silu([-1000.0, 1000.0])
    (0.0, [-0.0, 1000.0])
    """
    return x * sigmoid(x)


@_elementwise
def elu(x: Any, alpha: Any = 1.0) -> Any:
    """x if x > 0, else alpha (exp(x) - 1) (Clevert et al., 2015). At 0 the derivative is alpha.

    >>> elu([2.0, 0.0, -1000.0])
    [2.0, 0.0, -1.0]
    """
    return where(x, x, alpha * expm1(x))


@_elementwise
def leaky_relu(x: Any, slope: Any = 0.01) -> Any:
    """x if x > 0, else slope x. At 0 the derivative is the slope.

    >>> leaky_relu([2.0, -2.0])
    [2.0, -0.02]
    """
    return where(x, x, primitives.mul(slope, x))


# Sums of exponentials.


@_of_pairs
def logaddexp(x: Any, y: Any) -> Any:
    """log(exp(x) + exp(y)), without overflow.

    >>> logaddexp(1000.0, 0.0)
    1000.0
    """
    return logsumexp([x, y])


@_of_rows
def log_softmax(xs: Any) -> Any:
    """xᵢ - log Σ exp(xⱼ) for each xᵢ of a list; of nested lists and arrays row by row, along the last axis.

    The largest number is subtracted first, because otherwise large numbers would lose digits. It counts as a constant: its
    derivatives would cancel.

    >>> log_softmax([1000.0, 0.0])
    [0.0, -1000.0]
    """

    def of_row(row: Any) -> Any:
        if not len(row):
            raise ValueError("log_softmax and softmax need at least one value, got none")
        of = next((kind.__largest__ for kind in map(type, row) if hasattr(kind, "__largest__")), None)
        largest = of(row) if of is not None else reduce(maximum, row)
        shifted = [x - largest for x in row]
        total = logsumexp(shifted)
        return [x - total for x in shifted]

    return _in_form(of_row, xs, "log_softmax")


@_of_rows
def softmax(xs: Any) -> Any:
    """exp(xᵢ) / Σ exp(xⱼ) for each xᵢ of a list; of nested lists and arrays row by row, along the last axis.

    It is computed as exp(log_softmax), which does not overflow, keeps small results, and is accurate for large numbers.

    >>> softmax([1000.0, 0.0]), softmax([[-1000.0, 0.0], [0.0, -1000.0]])
    ([1.0, 0.0], [[0.0, 1.0], [1.0, 0.0]])
    """
    return _in_form(lambda row: [exp(x) for x in log_softmax(row)], xs, "softmax")


OF_ONE: dict[str, Callable[[Any], Any]] = {  # by name, the functions that may be called with a single number
    "ceil": ceil, "trunc": trunc, "gelu": gelu, "silu": silu, "elu": elu, "leaky_relu": leaky_relu,
}  # fmt: skip

# Of many numbers. Arrays and nested lists count as the list of all their numbers.


@_of_many
def mean(xs: Any) -> Any:
    """Σ xᵢ / n. ValueError if there are no numbers.

    >>> mean([1.0, 2.0, 6.0])
    3.0
    """
    values = _flat("mean", xs)
    return sum(values) / len(values)


def _deviations(name: str, xs: Any, ddof: int) -> list[Any]:
    """xᵢ - mean of all numbers, of which there have to be more than ddof."""
    values = _flat(name, xs, ddof + 1)
    middle = mean(values)
    return [x - middle for x in values]


@_of_many
def var(xs: Any, ddof: int = 0) -> Any:
    """Σ (xᵢ - mean)² / (n - ddof). ValueError if there are no more than ddof numbers.

    >>> var([1.0, 2.0, 6.0]), var([1.0, 3.0], ddof=1)
    (4.666666666666667, 2.0)
    """
    away = _deviations("var", xs, ddof)
    return dot(away, away) / (len(away) - ddof)


@_of_many
def std(xs: Any, ddof: int = 0) -> Any:
    """The square root of var(xs, ddof), without its overflow; if all numbers are equal, its derivative is nan (0 / 0).

    >>> std([1.0, 3.0])
    1.0
    """
    away = _deviations("std", xs, ddof)
    return norm(away) / math.sqrt(len(away) - ddof)


@_of_many
def norm(xs: Any) -> Any:
    """√(Σ xᵢ²), the length of a vector; if it is 0, its derivative is nan (0 / 0).

    >>> norm([3.0, 4.0])
    5.0
    """
    return primitives._norm(*_flat("norm", xs))


@_of_many
def prod(xs: Iterable[Any]) -> Any:
    """Π xᵢ, multiplied from left to right; 1.0 if there are no numbers.

    >>> prod([2.0, 3.0, 4.0]), prod([])
    (24.0, 1.0)
    """
    first, *rest = _flat("prod", xs, 0) or [1.0]
    for x in rest:
        first = first * x
    return first


@_of_rows
def cumsum(xs: Any) -> Any:
    """The running sums x₀, x₀ + x₁, ...; of nested lists and arrays row by row, along the last axis.

    >>> cumsum([1.0, 2.0, 6.0])
    [1.0, 3.0, 9.0]
    """

    def of_row(row: Any) -> Any:
        sums = list(row[:1])
        for x in row[1:]:
            sums.append(primitives.add(sums[-1], x))
        return sums

    return _in_form(of_row, xs, "cumsum")
