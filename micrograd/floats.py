"""Plain floats: what counts as one, and the values of rows that are more than one call of `math`. There are no rules here."""

import math
from collections.abc import Callable
from functools import wraps
from numbers import Real
from typing import Any, NoReturn

inf, nan = math.inf, math.nan


def number(x: Any, name: str = "") -> float:
    """`x` as a float: an int, float, bool, Fraction or NumPy scalar. Anything else is a TypeError, which begins with `name`."""
    kind = type(x).__name__
    if isinstance(x, (float, int, Real)) or (type(x).__module__ == "numpy" and kind.startswith("bool")):
        return float(x)
    if isinstance(x, str):
        what, advice = repr(x), "convert it first, for example with float()"
    elif isinstance(x, complex):
        what, advice = repr(x), "Values are real; take its .real, .imag or abs()"
    elif kind == "MaskedConstant":
        what, advice = "(an entry that is masked)", "fill it in, x.filled(0.0), or leave it out, x.compressed()"
    elif kind == "void":
        what, advice = f"{x!r}"[:60], "it is a record of several: take one field"
    elif hasattr(x, "shape"):
        advice = "make one of each element: [Value(e) for e in array]" if len(x.shape) else "take its .item()"
        if len(x.shape) and type(x).__module__.partition(".")[0] != "numpy":
            advice = "np.asarray(array) is one of NumPy's, which Values go with"
        what, advice = f"of shape {x.shape}", f"a Value is one number; {advice}"
    elif hasattr(x, "grad"):
        what, advice = repr(x), "a Value cannot hold a Value; use it as it is, or v.detach() for a constant copy"
    else:
        what, advice = repr(x)[:60] if x is not None else "", "pass an int, a float or a Value"
    raise TypeError((name and f"{name}: ") + f"expected a number, got {kind} {what}".rstrip() + f": {advice}")


def raised(*_: Any) -> NoReturn:
    """The `beyond` of a row whose value is a function of the user's: raises its error again, which is being handled."""
    raise


def unmasked(x: Any) -> Any:
    """An entry of an array, which may be masked: TypeError if it is."""
    return number(x) if type(x).__name__ == "MaskedConstant" else x


def named(name: Any, written: Any) -> str:
    """The name of a row; TypeError unless it and how the row is written are texts."""
    for what, text in (("name", name), ("second argument, how it is written,", written)):
        if not isinstance(text, str) or not text:
            raise TypeError(f"the {what} of a primitive is a text, got {type(text).__name__} {text!r}"[:160])
    return name  # type: ignore[no-any-return]


def held_value(value: Callable[..., Any], written: str, count: int) -> Callable[..., float]:
    """A user's function for the value of a row, with checks: it takes `count` arguments (0: any), and gives a plain number."""
    if count:
        _takes(value, f"the value of {written}", count, f"{count} argument{'s' * (count > 1)}, one for each partial derivative")

    @wraps(value)
    def held(*args: float) -> float:
        if count and len(args) != count:
            raise TypeError(f"{written} takes {count} arguments, got {len(args)}")
        return number(value(*args))

    return held


def _takes(f: Callable[..., Any], what: str, count: int, wanted: str) -> None:
    """TypeError if a function does not take so many arguments; not checked if it has no signature to read."""
    from inspect import signature  # here, because only a user's rules need it: it takes longer to import than the rule book

    try:
        parameters = signature(f)
    except (TypeError, ValueError):
        return
    try:
        parameters.bind(*[0.0] * count)
    except TypeError as error:
        raise TypeError(f"{what} must take {wanted}: {error}") from None


def held_partial(partial: Callable[..., Any], written: str, count: int) -> Callable[..., Any]:
    """A user's function for a partial, with checks: for floats it gives one plain number per argument."""
    variadic = not count
    wanted = f"{count} argument{'s' * (count > 1)}" if count else "a tuple of the arguments"
    _takes(partial, f"a partial derivative of {written}", (count or 1) + 1, f"{wanted} and then the output")

    @wraps(partial)
    def held(*args: Any) -> Any:
        found = tuple(partial(*args)) if variadic else (partial(*args),)
        if variadic and len(found) != len(args[0]):
            raise TypeError(f"{written} needs one partial derivative per argument: got {len(found)} for {len(args[0])}")
        found = tuple(map(number, found)) if args[-1].__class__ is float else found
        return found if variadic else found[0]

    return held


def divided(x: float, y: float) -> float:  # only reached where y is zero
    return nan if x == 0.0 or x != x else math.copysign(inf, x) * math.copysign(1.0, y)


def power(x: float, y: float) -> float:
    odd = y == math.floor(y) and y % 2.0 == 1.0
    if x < 0.0 and y != math.floor(y):
        return math.nan
    if x == 0.0:  # y < 0: a pole
        return math.copysign(math.inf, x) if odd else math.inf
    return -math.inf if x < 0.0 and odd else math.inf  # overflow


# For floats of 8 and of 4 bytes, the exponents (most, down, up) of `scale`: above 2**most it is 2**-down, below 2**-most 2**up.
SCALES = {8: (510, 514, 600), 4: (62, 66, 90)}


def scale(x: float, y: float) -> float:
    """A power of two, mostly 1: multiplied by it, x and y have a sum of squares that neither over- nor underflows."""
    largest = max(math.fabs(x), math.fabs(y))
    return 2.0**-514 if largest > 2.0**510 else 2.0**600 if largest < 2.0**-510 else 1.0


def direction(x: float, y: float) -> float:
    s = scale(x, y)
    x, y = x * s, y * s
    return x / math.sqrt(x * x + y * y)


def inverted(x: float, y: float) -> float:
    s = scale(x, y)
    x, y = x * s, y * s
    return x / (x * x + y * y) * s


# A product with this number splits a float of 8 or of 4 bytes into two halves (Dekker, 1971).
SPLITTERS = {8: 2.0**27 + 1.0, 4: 2.0**12 + 1.0}
VANISHED = 28.0  # exp(-28²) is 0


def exp_minus_square(x: float) -> float:
    """exp(-x²), as if x² were not rounded: a relative error of x² grows by a factor of x² in the result, which may be 745."""
    x = math.fabs(x)
    if x > 28.0:
        return 0.0
    square, large = x * x, x * 134217729.0
    high = large - (large - x)
    low = x - high
    rest = high * high - square + 2.0 * high * low + low * low
    out = math.exp(-square)
    return out - out * rest


# √½ in floats of 8 and of 4 bytes, the two halves of that, and what it lacks.
ROOT_OF_HALF = {
    8: (0.7071067811865476, 0.7071067839860916, -2.7995440410322203e-09, -4.833646656726457e-17),
    4: (float.fromhex("0x1.6a09e6p-1"), float.fromhex("0x1.6ap-1"), float.fromhex("0x1.3ccp-14"), 1.210161e-08),
}
CERTAIN = 40.0  # ndtr is 1 from there on, and 0 below -40


def ndtr(x: float) -> float:
    """Φ(x), the normal distribution, as erfc(-x / √2) / 2, as if x / √2 were not rounded.

    `rest` is what rounding took; erfc(z) changes by -(z + √(z² + 2)) of itself for each unit of z, nearly, from z = 0 on.
    """
    x = 40.0 if x > 40.0 else -40.0 if x < -40.0 else x
    z, large = x * 0.7071067811865476, x * 134217729.0
    high = large - (large - x)
    low = x - high
    rest = high * 0.7071067839860916 - z - high * 2.7995440410322203e-09 + low * 0.7071067839860916
    rest = rest - low * 2.7995440410322203e-09 - x * 4.833646656726457e-17
    half = 0.5 * math.erfc(-z)
    return half + half * ((math.sqrt(z * z + 2.0) - z) * rest)


def ordinary(y: float) -> bool:
    """Whether y is a small multiple of 1/4, such as 2, -1 or 0.5: `power_less` does nothing about extremes of such powers."""
    return -16.0 <= y <= 16.0 and y * 4.0 % 1.0 == 0.0


def power_less(n: float, c: float, x: float, y: float, log: float = 1.0) -> float:
    """c · x ** (y - n) · log, even if a factor of it would over- or underflow and the product does not; 0 for 0 · inf.

    The rounding error of y - n is corrected: `rest` is the error, and the result is multiplied by x ** rest, which is near 1.
    If the power would over- or underflow, its square root is multiplied in twice.
    """
    less = y - n
    took = less - y
    rest = y - (less - took) - (n + took)
    try:
        out = math.pow(x, less)
    except (ArithmeticError, ValueError):
        out = power(x, less)
    if rest == 0.0:
        if 2.0**-900 < out < 2.0**900 or -(2.0**900) < out < -(2.0**-900):
            return c * (out * log)
    elif x > 0.0 and 2.0**-900 < out < 2.0**900 and rest == rest:
        return c * (out * (1.0 + rest * math.log(x)) * log)
    if c != c or x != x or less != less or (-math.inf < x < 0.0 and y % 1.0 != 0.0):
        return math.nan
    part = 1.0
    if not ordinary(y):
        size = math.fabs(x)
        log_size = math.log(size) if 0.0 < size < math.inf else math.inf if size else -math.inf
        if math.fabs(less * log_size) > 650.0:
            part = 0.5
        try:
            out = math.pow(size, less * part)
        except (ArithmeticError, ValueError):
            out = math.inf
        if math.fabs(rest) > 0.0 and 0.0 < out < math.inf:
            out *= 1.0 + rest * part * log_size
        if part != 1.0:
            c *= out
        if math.copysign(1.0, x) < 0.0 and y % 1.0 == 0.0 and (y % 2.0 == 0.0) != (n % 2.0 == 0.0):
            c = -c
    result = c * (out * log)
    return result if result == result or (part == 1.0 and 0.0 < math.fabs(out) < math.inf) else 0.0


def power_log(n: float, c: float, x: float, y: float) -> float:
    """c · x ** (y - n) · log(x), computed like `power_less`."""
    if 0.0 < x < math.inf:
        log = math.log(x)
        if n == 0.0 and -600.0 < y * log < 600.0:  # the same as power_less, without checks for its other cases
            return c * (math.pow(x, y) * log)
        return power_less(n, c, x, y, log)
    return power_less(n, c, x, y, math.inf if x else -math.inf) if x >= 0.0 else math.nan


def added(*xs: float) -> float:
    total = -0.0  # and not 0.0, which would turn a first term of -0.0 into 0.0
    for x in xs:
        total += x
    return total


def dotted(*args: float) -> float:
    total = args[-1]
    for x, y in zip(args, args[len(args) // 2 : -1]):  # noqa: B905 (the inner loop of networks: the first half, then the second)
        total += x * y
    return total


def log_sum_exp(*xs: float) -> float:
    """log Σ exp(x), shifted by the largest, which counts as the 1 in log(1 + ...): so a logarithm of nearly 1 is not 0."""
    top = max(xs)
    if math.isinf(top):
        return math.nan if any(x != x for x in xs) else top
    others = 0.0
    for x in xs:
        if x != top:
            others += math.exp(x - top)
    return top + math.log1p(others + (xs.count(top) - 1.0))


# For floats of 8 and of 4 bytes, the exponents (most, by) of `length`: above 2**most numbers are multiplied by 2**-by, and
# below 2**-most by 2**by. So there is room for sums of many squares.
LENGTHS = {8: (480, 600), 4: (50, 90)}


def length(*xs: float) -> float:
    """√(Σ x²), of which no square over- or underflows: with a largest number that is too large or small, all are scaled."""
    top = max(map(math.fabs, xs))
    s = 2.0**-600 if top > 2.0**480 else 2.0**600 if top < 2.0**-480 else 1.0
    total = 0.0
    for x in xs:
        x *= s
        total += x * x
    return math.sqrt(total) / s


def digamma(x: float) -> float:
    return polygamma(0.0, x)


def polygamma(n: float, x: float, by: float = 1.0) -> float:
    """The derivative of order n of digamma, (-1)ⁿ⁺¹ n! Σ 1 / (x + k)ⁿ⁺¹: the first terms one by one, the rest by a series.

    Its error is some units in the last place of the largest term, for n up to 170, the largest n whose n! is a float. For x < 0
    it uses reflection. The result is multiplied by `by`, a power of two, so that terms do not overflow if their difference does
    not.
    """
    if not 0.0 <= n <= 170.0 or n % 1.0 != 0.0 or x != x or x == -math.inf:
        return math.nan
    sign = 1.0 if n % 2.0 else -1.0
    if x <= 0.0 and x == math.floor(x):  # a pole: for odd n both sides have one sign; those of 0 are told apart by its sign
        return math.inf if n % 2.0 else math.nan if x else -math.copysign(math.inf, x)
    if x < 0.0:  # the sum over all whole k, positive and negative, has the period 1; the terms for k < 0 are taken off
        beside = x - round(x)
        near, far = polygamma(n, math.fabs(beside), 0.125), polygamma(n, 1.0 - math.fabs(beside), 0.125)
        total = near + sign * far
        if total != total:  # both are infinite: the term of the nearer pole prevails
            total = near if math.fabs(beside) < 0.5 else 0.0
        return ((total if beside > 0.0 else sign * total) - sign * polygamma(n, 1.0 - x, 0.125)) * 8.0
    count = 0 if x > n + 12.0 else math.ceil(n + 12.0 - x)
    y, series = x + count, 0.0
    factor = (n + 1.0) / 2.0 / (y * y)
    for k, b in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798), 1):
        series += b * factor
        factor *= (2 * k + n) * (2 * k + n + 1) / ((2 * k + 1) * (2 * k + 2)) / (y * y)
    series += 0.5 / y
    total = 1.0 / n + series if n else series
    if count:
        total *= math.pow(x / y, n)
    for k in reversed(range(count)):  # with a factor of xⁿ, because the powers alone would underflow
        total += math.pow(x / (x + k), n) / (x + k)
    total *= by
    for k in range(int(n)):
        total *= (k + 1.0) / x
    return sign * total if n else by * math.log(y) - total
