"""Operators and methods of a Value, made of the rows of the rule book and written out for speed.

A method here does what `engine.general` does for its row, and leaves to it what is not plain: other kinds of operands,
values beyond the finite, open blocks of no_grad() and the like. What a row's partial says is all the calculus there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import count
from math import pi
from typing import TYPE_CHECKING, Any, TypeVar

from micrograd import composed, primitives
from micrograd.engine.modes import current, open_blocks, told
from micrograd.engine.ufuncs import OfNumPy, beside_others, is_of_others
from micrograd.primitives import Primitive, number

if TYPE_CHECKING:
    from micrograd.signatures import Number

V = TypeVar("V")

METHODS: dict[Primitive, Callable[..., Any]] = {}  # by row: a quicker way from the rule to the node
# goes on with every comparison of Values; `tape/recording/watch.py` tells by it whether lists hold the same ones
comparisons = count()
_new = object.__new__


def _unary(rule: Primitive) -> Callable[[V], V]:
    value, (dx,) = rule.value, rule.partials
    linear = not callable(dx)

    def method(self: Any) -> Any:
        if open_blocks and (hasattr(self, "__take__") or not told((self,))):  # of an integer input comes no integer
            return self.__general__(rule, (self,))
        x = self._data
        try:
            out = value(x)
            local = dx if linear else dx(x, out)
        except (ArithmeticError, ValueError):
            return self.__general__(rule, (self,))
        node: Any = _new(self.__class__)
        node._data, node.rule = out, rule
        node._x, node._dx, node._y, node._dy = self, local, 0.0, 0.0
        return node

    method.__name__, method.__doc__ = rule.name, f"{rule.written} of this Value, as a node."
    method.__qualname__ = f"Operators.{rule.name}"  # pickles of networks name their activation so
    METHODS[rule] = method
    return method


def _binary(rule: Primitive) -> Callable[[V, V | Number], V]:
    value, (dx, dy) = rule.value, rule.partials
    linear_x, linear_y = not callable(dx), not callable(dy)

    def method(self: Any, other: Any, more: Any = None) -> Any:
        if more is not None:  # of pow(x, y, modulus)
            raise TypeError(f"{rule.written} takes two operands, got three: write x ** y % z for a remainder")
        kind = other.__class__
        if kind is self.__class__:
            y = other._data
        elif kind is float:
            y = other
        elif kind is int:
            y, kind = float(other), float
            other = y
        else:
            return _with_other(rule, self, other, self, other)
        if open_blocks and (hasattr(self, "__take__") or not told((self, other))):
            return self.__general__(rule, (self, other))
        x = self._data
        try:
            out = value(x, y)
            local_x = dx if linear_x else dx(x, y, out)
            local_y = 0.0 if kind is float else dy if linear_y else dy(x, y, out)
        except (ArithmeticError, ValueError):
            return self.__general__(rule, (self, other))
        node: Any = _new(self.__class__)
        node._data, node.rule = out, rule
        node._x, node._dx, node._y, node._dy = self, local_x, other, local_y
        return node

    method.__name__, method.__doc__ = rule.name, f"{rule.written}, as a node."
    method.__qualname__ = f"Operators.{rule.name}"
    METHODS[rule] = method
    return method


def _reflected(rule: Primitive) -> Callable[[V, V | Number], V]:
    value, (_, dy) = rule.value, rule.partials
    linear = not callable(dy)

    def method(self: Any, other: Any) -> Any:
        kind = other.__class__
        if (kind is not float and kind is not int) or (open_blocks and (hasattr(self, "__take__") or not told((self,)))):
            return _with_other(rule, self, other, other, self)
        x, y = float(other), self._data
        try:
            out = value(x, y)
            local = dy if linear else dy(x, y, out)
        except (ArithmeticError, ValueError):
            return self.__general__(rule, (x, self))
        node: Any = _new(self.__class__)
        node._data, node.rule = out, rule
        node._x, node._dx, node._y, node._dy = x, 0.0, self, local
        return node

    return method


_REFLECTED = {
    primitives.add: "__radd__", primitives.sub: "__rsub__", primitives.mul: "__rmul__", primitives.div: "__rtruediv__",
    primitives.pow: "__rpow__", primitives.mod: "__rmod__", primitives.floordiv: "__rfloordiv__",
}  # fmt: skip


def _with_other(rule: Primitive, value: Any, other: Any, *args: Any) -> Any:
    """rule(*args), or a chance for the other operand's own operator where it is an array, or no number and has one."""
    if hasattr(type(other), "__array_ufunc__") and hasattr(type(other), "__len__"):  # NumPy's scalars have no length
        if is_of_others(other):
            return beside_others(rule.name, *args)
        if rule is primitives.mul and args[0] is other:  # a matrix of NumPy's leaves to the number what it can do itself
            return type(other).__rmul__(other, value)
        return NotImplemented
    kind = type(other)
    if args[0] is value and kind.__module__ != "builtins" and not hasattr(kind, "__float__") and rule in _REFLECTED:
        reflected = getattr(kind, _REFLECTED[rule], None)  # of what is no number, and may be a vector or the like
        if reflected is not None and (found := reflected(other, value)) is not NotImplemented:
            return found
    return value.__general__(rule, args)


def _compared(name: str) -> Callable[[Any, Any], bool]:
    compare = getattr(float, name)

    def method(self: Any, other: Any) -> Any:
        next(comparisons)
        try:
            x = other
            if other.__class__ is not int:  # which may be too large for a float
                x = other._data if hasattr(other, "__general__") else number(other)
        except TypeError:
            return NotImplemented
        result = compare(self._data, x)
        if open_blocks and (observer := current().observer) is not None:
            observer.compared(name, self, other, result)
        return result

    method.__name__ = name
    return method


class Operators(OfNumPy):
    """What a Value can do with numbers and other Values."""

    __slots__ = ()

    __add__ = _binary(primitives.add)
    __sub__ = _binary(primitives.sub)
    __mul__ = _binary(primitives.mul)
    __truediv__ = _binary(primitives.div)
    __pow__ = _binary(primitives.pow)
    __radd__ = _reflected(primitives.add)
    __rsub__ = _reflected(primitives.sub)
    __rmul__ = _reflected(primitives.mul)
    __rtruediv__ = _reflected(primitives.div)
    __rpow__ = _reflected(primitives.pow)
    __mod__, __rmod__ = _binary(primitives.mod), _reflected(primitives.mod)
    __floordiv__, __rfloordiv__ = _binary(primitives.floordiv), _reflected(primitives.floordiv)
    __neg__ = _unary(primitives.neg)
    __abs__ = _unary(primitives.abs)
    exp, log, log1p, expm1 = map(_unary, (primitives.exp, primitives.log, primitives.log1p, primitives.expm1))
    sin, cos, tan, sqrt = map(_unary, (primitives.sin, primitives.cos, primitives.tan, primitives.sqrt))
    asin, acos, atan, erf = map(_unary, (primitives.asin, primitives.acos, primitives.atan, primitives.erf))
    sinh, cosh, tanh, sigmoid = map(_unary, (primitives.sinh, primitives.cosh, primitives.tanh, primitives.sigmoid))
    relu, softplus, sign, step = map(_unary, (primitives.relu, primitives.softplus, primitives.sign, primitives.step))
    atan2, maximum, minimum = map(_binary, (primitives.atan2, primitives.maximum, primitives.minimum))
    asinh, acosh, atanh, erfc = map(_unary, (primitives.asinh, primitives.acosh, primitives.atanh, primitives.erfc))
    log2, log10, exp2, cbrt = map(_unary, (primitives.log2, primitives.log10, primitives.exp2, primitives.cbrt))
    lgamma, digamma, ndtr = map(_unary, (primitives.lgamma, primitives.digamma, primitives.ndtr))
    hypot = _binary(primitives.hypot)
    floor, rint = map(_unary, (primitives.floor, primitives.round))
    ceil, trunc = composed.ceil, composed.trunc
    __floor__, __ceil__, __trunc__ = floor, ceil, trunc
    arcsin, arccos, arctan, arctan2 = asin, acos, atan, atan2  # NumPy's names: its ufuncs call them on object arrays
    arcsinh, arccosh, arctanh, fabs = asinh, acosh, atanh, __abs__

    def deg2rad(self) -> Any:
        """Degrees as radians, as NumPy calls it."""
        return self * (pi / 180.0)

    def rad2deg(self) -> Any:
        """Radians as degrees, as NumPy calls it."""
        return self * (180.0 / pi)

    radians, degrees = deg2rad, rad2deg

    def __pos__(self: V) -> V:
        return self

    def __round__(self, digits: int | None = None) -> Any:
        return composed.round(self, digits)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self

    @staticmethod
    def __largest__(values: Sequence[Any]) -> Any:
        """The largest of some Values and numbers as a constant: what softmax takes off, for which the derivatives cancel."""
        if current().observer is not None:
            return reduce(primitives.maximum, values).detach()
        return max([x._data if hasattr(x, "_data") else number(x) for x in values])  # beside a nan, all results are nan

    def conjugate(self: V) -> V:
        """Itself: a Value is real. NumPy's var and std ask for it."""
        return self

    __lt__, __le__, __gt__, __ge__ = map(_compared, ("__lt__", "__le__", "__gt__", "__ge__"))
    __eq__, __ne__ = map(_compared, ("__eq__", "__ne__"))
    __hash__ = object.__hash__  # the graph is keyed by identity, whatever == says
