"""Functions composed of primitives: what they are can be read here, and their derivatives follow from the rule book's.

`primitives` comes before. Each takes numbers, Values, symbols or what a recording holds, because it uses nothing but operators
and primitives.
"""

from __future__ import annotations

from typing import Any

from micrograd import primitives
from micrograd.primitives import floor, where


def ceil(x: Any) -> Any:
    """The least whole number that is not below x; its derivative is 0.

    >>> ceil(0.5), ceil(-0.5)
    (1.0, -0.0)
    """
    return -floor(-x)


def trunc(x: Any) -> Any:
    """x without what stands after the point; its derivative is 0.

    >>> trunc(2.7), trunc(-2.7)
    (2.0, -2.0)
    """
    return where(x, floor(x), ceil(x))


def round(x: Any, digits: int | None = None) -> Any:
    """x to the nearest whole number (the even one of two as near), or to so many digits after the point, as NumPy does it.

    Its derivative is 0.

    >>> round(2.5), round(3.5), round(2.675, 1), round(1234.0, -2)
    (2.0, 4.0, 2.7, 1200.0)
    """
    if not digits:
        return primitives.round(x)
    scale = 10.0 ** abs(digits)
    return primitives.round(x * scale) / scale if digits > 0 else primitives.round(x / scale) * scale
