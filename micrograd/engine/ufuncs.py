"""A Value among the arguments of NumPy's functions: `np.logaddexp(v, w)`, `np.isnan(v)`, `array * v`. `Value` inherits this.

For most functions NumPy goes through an array of objects, one number at a time, and finds the methods of a Value by its own
names. Where a Value is an argument itself it asks here first; about arrays of Values it does not ask.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log
from typing import Any

from micrograd import composed, primitives
from micrograd.primitives import number, where

_LOG_2 = log(2.0)
# For these NumPy asks no method, or one of the first argument alone, which may be a number.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "arctan2": primitives.atan2,
    "hypot": primitives.hypot,
    "maximum": primitives.maximum,  # by comparisons it would be the first at a tie
    "minimum": primitives.minimum,
    "logaddexp": composed.logaddexp,
    "logaddexp2": lambda x, y: composed.logaddexp(x * _LOG_2, y * _LOG_2) / _LOG_2,
    "float_power": primitives.pow,
    "heaviside": lambda x, at_0: where(x, 1.0, where(-x, 0.0, at_0)),
    "divmod": lambda x, y: (primitives.floordiv(x, y), primitives.mod(x, y)),
    "isnan": lambda x: bool(x != x),
    "isinf": lambda x: bool(x == inf or x == -inf),
    "isfinite": lambda x: bool(-inf < x < inf),
}
_REFLECTED = {  # of a number of NumPy's and a Value
    "add": "__radd__", "subtract": "__rsub__", "multiply": "__rmul__", "divide": "__rtruediv__", "power": "__rpow__",
    "less": "__gt__", "less_equal": "__ge__", "greater": "__lt__", "greater_equal": "__le__",
}  # fmt: skip


def _number_or_array(x: Any) -> Any:
    """An argument as NumPy takes it: lists are arrays, and an array without axes is its one number."""
    if isinstance(x, (list, tuple)):
        import numpy as np  # which calls this, so it is there

        return np.asarray(x, dtype=object)
    return x.item() if getattr(x, "shape", None) == () else x


class OfNumPy:
    """What NumPy asks a Value that is an argument of its functions."""

    __slots__ = ()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        name = ufunc.__name__
        if method == "__call__" and not options:
            if len(inputs) == 2 and inputs[1] is self and getattr(inputs[0], "shape", None) == ():
                x = inputs[0].item()
                if name in ("equal", "not_equal"):  # what is no number equals no Value
                    return (self == x) is (name == "equal")
                if name in _REFLECTED:
                    return getattr(self, _REFLECTED[name])(number(x))
            if name in _FUNCTIONS:
                return _FUNCTIONS[name](*map(_number_or_array, inputs))
            if len(inputs) == 1 and (function := getattr(self, name, None)) is not None:
                return function()
        if not any("O" in types for types in ufunc.types):
            raise TypeError(
                f"np.{name} takes neither a Value nor an array of them: write it with the functions of micrograd, as "
                "where(x, a, b), or give it x.detach().data where the number alone is meant"
            )
        import numpy as np

        given = [np.asarray(x, dtype=object) if hasattr(type(x), "__primitive__") else x for x in inputs]
        return getattr(ufunc, method)(*given, **options)
