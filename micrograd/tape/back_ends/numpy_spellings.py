"""How each primitive is spelled on NumPy's arrays; the last argument is where the result goes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from micrograd.floats import CERTAIN, LENGTHS, ROOT_OF_HALF, SCALES, SPLITTERS, VANISHED
from micrograd.primitives import RULES, Primitive

Array = np.ndarray[Any, Any]
PIECE = 12288  # a spelling of several steps is applied to so many numbers at a time


def _maximum(x: Array, y: Array, out: Array) -> None:
    np.maximum(x, y, out=out)


def _minimum(x: Array, y: Array, out: Array) -> None:
    np.minimum(x, y, out=out)


def _step(x: Array, zeros: Array, out: Array) -> None:
    np.maximum(x, zeros, out=out)
    np.sign(out, out)


def _ordered(compare: Any) -> Callable[[Array, Array, Array], None]:
    """A comparison as 1.0 or 0.0; nan if an operand is nan."""

    def compared(x: Array, y: Array, out: Array) -> None:
        unordered = np.isnan(np.maximum(x, y))
        compare(x, y, out)
        if unordered.any():
            np.copyto(out, np.nan, where=unordered)

    return compared


def _where(c: Array, a: Array, b: Array, out: Array) -> None:
    np.copyto(out, np.where(c > 0.0, a, b))
    unordered = np.isnan(c)
    if unordered.any():
        np.copyto(out, np.nan, where=unordered)


def _sigmoid(x: Array, out: Array) -> None:
    np.negative(x, out)
    np.exp(out, out)
    flat = np.isinf(out)
    out += 1.0
    np.divide(1.0, out, out)
    if flat.any():
        np.copyto(out, np.exp(x), where=flat)


def _softplus(x: Array, out: Array) -> None:
    np.abs(x, out)
    np.negative(out, out)
    np.exp(out, out)
    np.log1p(out, out)
    out += np.maximum(x, 0.0)


def _scaled(x: Array, y: Array, out: Array) -> tuple[Array, Array, Array]:
    """x and y scaled so that the sum of their squares neither over- nor underflows, and that sum; the scale is in `out`."""
    most, down, up = SCALES[out.itemsize]
    largest = np.maximum(np.abs(x), np.abs(y))
    np.copyto(out, 1.0)
    np.copyto(out, 2.0**-down, where=largest > 2.0**most)
    np.copyto(out, 2.0**up, where=largest < 2.0**-most)
    x, y = x * out, y * out
    return x, y, x * x + y * y


def _direction(x: Array, y: Array, out: Array) -> None:
    x, y, square = _scaled(x, y, out)
    np.divide(x, np.sqrt(square), out)


def _inverted(x: Array, y: Array, out: Array) -> None:
    x, y, square = _scaled(x, y, out)
    np.multiply(x / square, out, out)


def _power(x: Array, y: Array, out: Array) -> None:
    np.power(x, y, out)
    half = y == 0.5  # NumPy may take the square root, which differs from the power at -inf and -0.0
    if half.any():
        np.copyto(out, 0.0, where=half & (x == 0.0))
        np.copyto(out, np.inf, where=half & (x == -np.inf))


def _power_less(n: Array, c: Array, x: Array, y: Array, out: Array, log: Any = None) -> None:
    less, rest, most = y, np.zeros(1, out.dtype), 2.0 ** (900 if out.itemsize == 8 else 100)
    if n.any():
        less = y - n
        took = less - y
        rest = y - (less - took) - (n + took)  # the rounding error of y - n
    if x.min() > 0.0:
        power = np.power(x, less)
        if rest.any():  # nan where y is not finite
            power = power * (1.0 + rest * (np.log(x) if log is None else log))
        if 1.0 / most < power.min() and power.max() < most:
            np.multiply(c, power if log is None else power * log, out)
            return
    _power_at_the_ends(n, c, x, y, out, log, less, rest, most)


def _power_at_the_ends(
    n: Array, c: Array, x: Array, y: Array, out: Array, log: Any, less: Array, rest: Array, most: float
) -> None:
    """The same if some of the powers are 0, infinite, nan or close to that."""
    size = np.abs(x)
    power = np.power(size, less)
    rounded = (power != 0.0) & np.isfinite(power) & np.isfinite(rest) & (rest != 0.0)
    np.multiply(power, 1.0 + rest * np.log(size), power, where=rounded)
    np.multiply(c, power if log is None else power * log, out)
    usual = (power > 1.0 / most) & (power < most)
    far = ~usual & ((np.abs(y) > 16.0) | (np.remainder(y * 4.0, 1.0) != 0.0)) & np.isfinite(less * np.log(size))
    root = np.power(size, less * 0.5)
    root *= np.where(rest != 0.0, 1.0 + rest * 0.5 * np.log(size), 1.0)
    log = 1.0 if log is None else log
    np.copyto(out, c * root * (root * log), where=far)
    whole = np.remainder(y, 1.0) == 0.0
    odd = whole & ((np.remainder(y, 2.0) == 0.0) != (np.remainder(n, 2.0) == 0.0))
    np.negative(out, out, where=np.signbit(x) & odd)
    np.copyto(out, 0.0, where=np.isnan(out) & ((power == 0.0) | np.isinf(power)))  # 0 · inf
    broken = np.isnan(c) | np.isnan(power) | np.isnan(less) | np.isnan(log)
    np.copyto(out, np.nan, where=broken | ((x < 0.0) & (x > -np.inf) & ~whole))


def _power_log(n: Array, c: Array, x: Array, y: Array, out: Array) -> None:
    _power_less(n, c, x, y, out, np.log(x))


def _one_minus_square(x: Array, out: Array) -> None:
    np.multiply(1.0 - x, 1.0 + x, out)


def _exp_minus_square(x: Array, out: Array) -> None:
    x = np.minimum(np.abs(x), VANISHED)
    large = x * SPLITTERS[out.itemsize]
    high = large - (large - x)
    low, square = x - high, x * x
    rest = high * high - square + 2.0 * high * low + low * low
    np.exp(-square, out)
    out -= out * rest


def _ndtr(x: Array, out: Array) -> None:
    c, first, second, lacking = np.array(ROOT_OF_HALF[out.itemsize], out.dtype)
    x = np.clip(x, -CERTAIN, CERTAIN)
    z, large = x * c, x * out.dtype.type(SPLITTERS[out.itemsize])
    high = large - (large - x)
    low = x - high
    rest = high * first - z + high * second + low * first + low * second + x * lacking
    spelled(RULES["erfc"])(-z, out)
    out *= 0.5
    out += out * ((np.sqrt(z * z + 2.0) - z) * rest)


def _in_pieces(spelling: Callable[..., None]) -> Callable[..., None]:
    """A spelling applied to so few samples at a time that its intermediate results stay in the cache."""

    def apply(*arrays: Array) -> None:
        out = arrays[-1]
        n = out.shape[-1] if out.ndim else 1
        size = n if out.size <= PIECE else max(PIECE // (out.size // n), 64)
        for at in range(0, n, size):
            spelling(*[x[..., at : at + size] if x.shape and x.shape[-1] == n else x for x in arrays])

    return apply


def _each(rule: Primitive) -> Callable[..., None]:
    """The spelling of a primitive that NumPy has no function for: the rule book's own value, number by number."""

    def apply(*arrays: Array) -> None:
        *operands, out = arrays
        columns = [np.broadcast_to(x, out.shape).ravel().tolist() for x in operands]
        try:
            flat = [*map(rule.value, *columns)]
        except (ArithmeticError, ValueError):
            flat = [rule.on_floats(row) for row in zip(*columns, strict=True)]
        np.copyto(out, np.array(flat, out.dtype).reshape(out.shape))

    return apply


# the primitives for which the function of the same name in NumPy does not serve
_SPELLED: dict[str, Callable[..., Any]] = {
    "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "add": np.add, "pow": _power, "abs": np.fabs,
    "sign": np.sign, "sigmoid": _sigmoid, "relu": _maximum, "softplus": _softplus, "step": _step,
    "maximum": _maximum, "minimum": _minimum, "floor": np.floor, "round": np.rint,
    "mod": np.remainder, "floordiv": np.floor_divide, "one_minus_square": _one_minus_square,
    "exp_minus_square": _in_pieces(_exp_minus_square), "ndtr": _in_pieces(_ndtr),
    "power_log": _in_pieces(_power_log), "power_less": _in_pieces(_power_less),
    "direction": _in_pieces(_direction), "inverted": _in_pieces(_inverted),
    "greater": _ordered(np.greater), "less": _ordered(np.less), "equal": _ordered(np.equal), "where": _where,
}  # fmt: skip
_BUILT_IN = {RULES[name]: function for name, function in _SPELLED.items()}  # by row: a user's primitive may take over a name


@cache
def spelled(rule: Primitive) -> Callable[..., Any]:
    """A function that computes a primitive on arrays, the last of which is for the result."""
    name = rule.name
    if rule in _BUILT_IN or not rule.in_math:
        return _BUILT_IN.get(rule) or _each(rule)
    return getattr(np, name, None) or getattr(np, f"arc{name[1:]}", None) or _each(rule)


def log_sum_exp(x: Array, axis: int, out: Array) -> None:
    """log Σ exp(x) along an axis, shifted by the largest."""
    top = np.maximum.reduce(x, axis, keepdims=True)
    top[~np.isfinite(top)] = 0.0
    parts = np.exp(x - top)
    np.add.reduce(parts, axis, out=out)
    near = out < 1.001  # where the largest is alone, and the digits of the others are lost beside its 1
    few = near.any()
    if few:
        near &= out >= 1.0
    np.log(out, out)
    if few:
        np.copyto(parts, 0.0, where=x == top)
        np.log1p(np.add.reduce(parts, axis), out, where=near)
    out += np.squeeze(top, axis)


def length(x: Array, axis: int, out: Array) -> None:
    """√(Σ x²) along an axis, scaled where squares would over- or underflow."""
    most, by = LENGTHS[out.itemsize]
    np.add.reduce(x * x, axis, out=out)
    least, greatest = np.minimum.reduce(out, None), np.maximum.reduce(out, None)  # nan where one is
    if 2.0 ** (-2 * most) < least and greatest < 2.0 ** (2 * most):
        np.sqrt(out, out)
        return
    top = np.maximum.reduce(np.abs(x), axis, keepdims=True)
    scale = np.where(top > 2.0**most, 2.0**-by, np.where(top < 2.0**-most, 2.0**by, 1.0)).astype(out.dtype)
    x = x * scale
    np.sqrt(np.add.reduce(x * x, axis), out)
    out /= np.squeeze(scale, axis)


OF_LARGEST = {RULES["logsumexp"]: log_sum_exp, RULES["norm"]: length}  # which look at the largest operand first
