"""A Value among the arguments of NumPy's functions: `np.logaddexp(v, w)`, `np.isnan(v)`, `array * v`. `Value` inherits this.

For most functions NumPy goes through an array of objects, one number at a time, and finds the methods of a Value by its own
names. Where a Value is an argument itself it asks here first; about arrays of Values it does not ask.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Sequence
from math import inf, log
from typing import Any

from micrograd import composed, primitives
from micrograd.elementwise import elementwise
from micrograd.engine.lines import in_numpy
from micrograd.primitives import number, where

_LOG_2 = log(2.0)


@elementwise
def remainder(x: Any, y: Any) -> Any:
    """The remainder of x / y that has the sign of x, as C and np.fmod have it; x % y has that of y."""
    return primitives.mod(x, primitives.abs(y) * (1.0 - 2.0 * primitives.step(-x)))


@elementwise
def either(x: Any, y: Any) -> bool:
    """Whether one of two is 0, and the other is not."""
    return bool(x) != bool(y)


# For these NumPy asks no method, or one of the first argument alone, which may be a number.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "arctan2": primitives.atan2,
    "hypot": primitives.hypot,
    "maximum": primitives.maximum,  # by comparisons it would be the first at a tie
    "minimum": primitives.minimum,
    "fmax": elementwise(lambda x, y: y if x != x else x if y != y else primitives.maximum(x, y)),  # a nan is left out
    "fmin": elementwise(lambda x, y: y if x != x else x if y != y else primitives.minimum(x, y)),
    "logaddexp": composed.logaddexp,
    "logaddexp2": lambda x, y: composed.logaddexp(x * _LOG_2, y * _LOG_2) / _LOG_2,
    "float_power": primitives.pow,
    "heaviside": lambda x, at_0: where(x, 1.0, where(-x, 0.0, at_0)),
    "divmod": lambda x, y: (primitives.floordiv(x, y), primitives.mod(x, y)),
    "logical_and": elementwise(lambda x, y: bool(x) and bool(y)),
    "logical_or": elementwise(lambda x, y: bool(x) or bool(y)),
    "logical_not": lambda x: not x,
    "logical_xor": either,
    "fmod": remainder,
    "isnan": lambda x: bool(x != x),
    "isinf": lambda x: bool(x == inf or x == -inf),
    "isfinite": lambda x: bool(-inf < x < inf),
}
_OPERATORS = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv, "power": operator.pow,
    "remainder": operator.mod, "floor_divide": operator.floordiv,
    "less": operator.lt, "less_equal": operator.le, "greater": operator.gt, "greater_equal": operator.ge,
    "equal": operator.eq, "not_equal": operator.ne,
}  # fmt: skip


class OfNumPy:
    """What NumPy asks a Value: one that is an argument of its functions, and those in arrays by methods of NumPy's names."""

    __slots__ = ()
    fmod, logical_xor = remainder, either

    @property
    def dtype(self) -> Any:
        """There is none: AttributeError that says what to write where NumPy asks for it, as np.percentile does."""
        who = in_numpy(sys._getframe(1))
        asked = f": {who} asks for it. Ask for a list, as in np.percentile(values, [50])[0], or use functions of micrograd"
        raise AttributeError(f"a Value has no dtype{asked if who else ''}")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        name = ufunc.__name__
        if any(isinstance(x, OfNumPy) for x in options.get("out", ())):
            raise TypeError(f"np.{name} cannot write into a Value: take what it returns")
        given = [x if isinstance(x, OfNumPy) else _number_or_array(x) for x in inputs]
        if method == "__call__" and not options and not any(x is NotImplemented for x in given):
            if name in _OPERATORS and not any(hasattr(x, "shape") for x in given):
                return _OPERATORS[name](*given)
            if name in _FUNCTIONS:
                return _FUNCTIONS[name](*given)
            if len(given) == 1 and (function := getattr(self, name, None)) is not None:
                return function()
        if not any("O" in types for types in ufunc.types):
            raise TypeError(
                f"np.{name} takes neither a Value nor an array of them: write it with the functions of micrograd, as "
                "where(x, a, b), or give it x.detach().data where the number alone is meant"
            )
        return getattr(ufunc, method)(*_as_arrays(inputs), **options)


def beside_others(rule: str, *operands: Any) -> Any:
    """The operator of a row between a Value and an array of another library, which gets the Value as an array of objects."""
    return getattr(operator, {"div": "truediv"}.get(rule, rule))(*_as_arrays(operands))


def _as_arrays(operands: Sequence[Any]) -> list[Any]:
    import numpy as np

    return [np.asarray(x, dtype=object) if isinstance(x, OfNumPy) else x for x in operands]


def is_of_others(x: Any) -> bool:
    """Whether x answers NumPy's functions in a way of its own, as Dask's arrays and pandas' columns do."""
    return hasattr(type(x), "__array_ufunc__") and type(x).__module__ != "numpy"


def _number_or_array(x: Any) -> Any:
    """A list as an array, an array of no dimensions as its number; NotImplemented for what another library has to answer."""
    if isinstance(x, float):
        return float(x)
    if isinstance(x, (list, tuple)):
        import numpy as np

        return np.asarray(x, dtype=object)
    if is_of_others(x) and not type(x).__module__.startswith("numpy."):  # as masked arrays and matrices are
        return NotImplemented
    if getattr(x, "shape", None) != ():
        return x
    found = x.item()
    return number(found) if hasattr(found, "dtype") else found  # a float of more than 64 bits stays one of NumPy's
