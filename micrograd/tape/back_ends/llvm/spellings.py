"""How each primitive is spelled in LLVM's assembly, on values in registers. There is no calculus in here.

A primitive whose value is the function of its name in `math` needs no spelling: C's library has it, often for vectors too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from micrograd.floats import CERTAIN, LENGTHS, ROOT_OF_HALF, SCALES, SPLITTERS, VANISHED, ordinary
from micrograd.primitives import Primitive
from micrograd.tape.back_ends.llvm.function import Function


def _choice(f: Function, x: str, when: str, to: float, a: str, b: str) -> str:
    return f.choose(f.compare(when, x, f.number(to)), a, b)


def _sign(f: Function, x: str) -> str:
    return _choice(f, x, "ogt", 0.0, f.number(1.0), _choice(f, x, "olt", 0.0, f.number(-1.0), x))


def _step(f: Function, x: str) -> str:
    return _choice(f, x, "ogt", 0.0, f.number(1.0), _choice(f, x, "ole", 0.0, f.number(0.0), x))


def _ordered(first: str, second: str, a: Any, b: Any) -> Callable[[Function, str, str], str]:
    def spell(f: Function, x: str, y: str) -> str:
        chosen = {"x": x, "y": y, "1": f.number(1.0), "0": f.number(0.0)}
        rest = f.choose(f.compare(second, x, y), chosen[b], f.number(math.nan))
        return f.choose(f.compare(first, x, y), chosen[a], rest)

    return spell


def _where(f: Function, c: str, a: str, b: str) -> str:
    return _choice(f, c, "ogt", 0.0, a, _choice(f, c, "ole", 0.0, b, f.number(math.nan)))


def _equal(f: Function, x: str, y: str) -> str:
    unequal = f.choose(f.compare("uno", x, y), f.number(math.nan), f.number(0.0))
    return f.choose(f.compare("oeq", x, y), f.number(1.0), unequal)


def _sigmoid(f: Function, x: str) -> str:
    if not f.target.exact:  # with one exp, which cannot overflow
        e = f.call("exp", f.new(f"fneg {f.target.vector} {_intrinsic('fabs')(f, x)}"))
        return f.two("fdiv", _choice(f, x, "olt", 0.0, e, f.number(1.0)), f.two("fadd", f.number(1.0), e))
    e = f.call("exp", f.new(f"fneg {f.target.vector} {x}"))
    out = f.two("fdiv", f.number(1.0), f.two("fadd", f.number(1.0), e))
    return f.choose(f.compare("oeq", e, f.number(math.inf)), f.call("exp", x), out)


def _softplus(f: Function, x: str) -> str:
    e = f.call("exp", f.new(f"fneg {f.target.vector} {_intrinsic('fabs')(f, x)}"))
    return f.two("fadd", _choice(f, x, "olt", 0.0, f.number(0.0), x), f.call("log1p", e))


def _intrinsic(name: str) -> Callable[[Function, str], str]:
    def spell(f: Function, x: str) -> str:
        return f.new(f"call {f.target.vector} {_name(name, f)}({f.target.vector} {x})")

    return spell


def _name(intrinsic: str, f: Function) -> str:
    """The full name of an intrinsic function of LLVM, for the target's type of numbers and lanes."""
    t = f.target
    return f"@llvm.{intrinsic}." + ("" if t.lanes == 1 else f"v{t.lanes}") + ("f64" if t.size == 8 else "f32")


def _copysign(f: Function, x: str, y: str) -> str:
    """x with the sign of y."""
    return f.new(f"call {f.target.vector} {_name('copysign', f)}({f.target.vector} {x}, {f.target.vector} {y})")


def _remainder(f: Function, x: str, y: str) -> tuple[str, str]:
    """C's fmod, which is exact, and whether y has to be added because the signs of fmod and y differ."""
    r, zero = f.two("frem", x, y), f.number(0.0)
    signs = f.choose(f.compare("olt", y, zero), f.two("fsub", zero, r), r)
    return r, f.compare("olt", signs, zero)


def _modulo(f: Function, x: str, y: str) -> str:
    r, moved = _remainder(f, x, y)
    zero = _copysign(f, f.number(0.0), y)
    return f.choose(f.compare("oeq", r, f.number(0.0)), zero, f.choose(moved, f.two("fadd", r, y), r))


def _floor_divide(f: Function, x: str, y: str) -> str:
    r, moved = _remainder(f, x, y)
    q = f.two("fdiv", f.two("fsub", x, r), y)
    q = f.choose(moved, f.two("fsub", q, f.number(1.0)), q)
    low = _intrinsic("floor")(f, q)
    up = f.choose(f.compare("ogt", f.two("fsub", q, low), f.number(0.5)), f.two("fadd", low, f.number(1.0)), low)
    whole = f.two("fdiv", x, y)
    zero = _copysign(f, f.number(0.0), whole)
    return f.choose(f.compare("oeq", y, f.number(0.0)), whole, f.choose(f.compare("oeq", q, f.number(0.0)), zero, up))


def _arithmetic(name: str) -> Callable[[Function, str, str], str]:
    return lambda f, x, y: f.two(name, x, y)


def _scaled(f: Function, x: str, y: str) -> tuple[str, str, str]:
    """x scaled, the sum of the squares of x and y scaled, which neither over- nor underflows, and the scale."""
    most, down, up = SCALES[f.target.size]
    size = _intrinsic("fabs")
    a, b = size(f, x), size(f, y)
    largest = f.choose(f.compare("ogt", a, b), a, b)
    s = _choice(f, largest, "olt", 2.0**-most, f.number(2.0**up), f.number(1.0))
    s = _choice(f, largest, "ogt", 2.0**most, f.number(2.0**-down), s)
    x, y = f.two("fmul", x, s), f.two("fmul", y, s)
    return x, f.two("fadd", f.two("fmul", x, x), f.two("fmul", y, y)), s


def _direction(f: Function, x: str, y: str) -> str:
    x, square, _ = _scaled(f, x, y)
    return f.two("fdiv", x, _intrinsic("sqrt")(f, square))


def _inverted(f: Function, x: str, y: str) -> str:
    x, square, s = _scaled(f, x, y)
    return f.two("fmul", f.two("fdiv", x, square), s)


@cache
def _bounds(y: float, n: float, most: float, size: int) -> tuple[float, float] | None:
    """The bounds of |x| up to which, and from which on, |(y - n) log x| > most; None if y - n would be rounded.

    They decide exactly as comparing each log would, since the log in floats grows with x too.
    """
    less, took = y - n, y - n - y
    if not math.isfinite(less) or y - (less - took) - (n + took) != 0.0 or (size == 4 and float(np.float32(less)) != less):
        return None
    if less == 0.0 or ordinary(y):
        return -1.0, math.nan

    def is_far(x: float) -> bool:
        return x in (0.0, math.inf) or math.fabs(less * math.log(x)) > most

    reach = most / math.fabs(less)
    low, high = math.exp(-reach), math.exp(reach) if reach <= 709.782712893384 else math.inf
    while not is_far(low):
        low = math.nextafter(low, 0.0)
    while is_far(above := math.nextafter(low, math.inf)):
        low = above
    while not is_far(high):
        high = math.nextafter(high, math.inf)
    while is_far(below := math.nextafter(high, 0.0)):
        high = below
    return low, high


def _raised(f: Function, n: str, c: str, x: str, y: str, with_log: bool) -> str:
    """c x ** (y - n), with `with_log` times log |x|, as floats.power_less computes it."""
    zero, one, broken = f.number(0.0), f.number(1.0), f.number(math.nan)
    floor, absolute = _intrinsic("floor"), _intrinsic("fabs")
    size, less = absolute(f, x), f.two("fsub", y, n)
    most, bounds = 650.0 if f.target.size == 8 else 80.0, None
    if (known := f.known(y)) is not None and (whole := f.known(n)) is not None:
        bounds = _bounds(known, whole, most, f.target.size)
    log = f.call("log", size) if with_log or bounds is None else ""
    if bounds is not None:  # no log is needed to compare, and y - n is exact
        low, high = (f.compare(how, size, f.number(x)) for how, x in zip(("ole", "oge"), bounds, strict=True))
        far = f.new(f"or {'i1' if f.target.lanes == 1 else f'<{f.target.lanes} x i1>'} {low}, {high}")
    else:
        quarters, reach = f.two("fmul", y, f.number(4.0)), absolute(f, f.two("fmul", less, log))
        usual = _choice(f, absolute(f, y), "ole", 16.0, zero, reach)
        reach = f.choose(f.compare("oeq", floor(f, quarters), quarters), usual, reach)
        far = f.compare("ogt", reach, f.number(most))
    part = f.choose(far, f.number(0.5), one)
    power = f.call("pow", size, f.two("fmul", less, part))
    if bounds is None and f.known(n) != 0.0:
        took = f.two("fsub", less, y)
        rest = f.two("fsub", f.two("fsub", y, f.two("fsub", less, took)), f.two("fadd", n, took))
        factor = f.two("fadd", one, f.two("fmul", f.two("fmul", rest, part), log))
        corrected = _choice(f, absolute(f, rest), "ogt", 0.0, f.two("fmul", power, factor), power)
        corrected = _choice(f, power, "olt", math.inf, corrected, power)
        power = _choice(f, power, "one", 0.0, corrected, power)

    def over(z: str, by: float) -> str:  # the rest of z / by, for a whole z
        return f.two("fsub", z, f.two("fmul", floor(f, f.two("fmul", z, f.number(1.0 / by))), f.number(by)))

    minus, other = f.number(-1.0), over(n, 2.0)
    even = _choice(f, other, "oeq", 0.0, one, minus)
    odd = _choice(f, over(y, 1.0), "oeq", 0.0, _choice(f, other, "oeq", 0.0, minus, one), one)
    upside_down = _choice(f, over(y, 2.0), "oeq", 0.0, even, odd)
    sign = _choice(f, _copysign(f, one, x), "olt", 0.0, upside_down, one)
    factor = f.two("fmul", sign, f.choose(far, f.two("fmul", c, power), c))
    out = f.two("fmul", factor, f.two("fmul", power, log) if with_log else power)
    settled = _choice(f, power, "oeq", 0.0, zero, _choice(f, power, "oeq", math.inf, zero, f.choose(far, zero, out)))
    out = f.choose(f.compare("uno", out, out), settled, out)  # 0 · inf
    out = f.choose(f.compare("uno", c, power), broken, f.choose(f.compare("uno", less, less), broken, out))
    if with_log:
        return _choice(f, x, "oge", 0.0, out, broken)
    below = _choice(f, over(y, 1.0), "oeq", 0.0, out, _choice(f, x, "oeq", -math.inf, out, broken))
    return _choice(f, x, "olt", 0.0, below, out)


def _one_minus_square(f: Function, x: str) -> str:
    return f.two("fmul", f.two("fsub", f.number(1.0), x), f.two("fadd", f.number(1.0), x))


def _halves(f: Function, x: str) -> tuple[str, str]:
    """Two numbers of half as many digits, whose sum x is."""
    large = f.two("fmul", x, f.number(SPLITTERS[f.target.size]))
    high = f.two("fsub", large, f.two("fsub", large, x))
    return high, f.two("fsub", x, high)


def _ndtr(f: Function, x: str) -> str:
    c, first, second, lacking = map(f.number, ROOT_OF_HALF[f.target.size])
    x = _choice(f, x, "ogt", CERTAIN, f.number(CERTAIN), _choice(f, x, "olt", -CERTAIN, f.number(-CERTAIN), x))
    z, (high, low) = f.two("fmul", x, c), _halves(f, x)
    rest = f.two("fsub", f.two("fmul", high, first), z)
    for part, by in ((high, second), (low, first), (low, second), (x, lacking)):
        rest = f.two("fadd", rest, f.two("fmul", part, by))
    half = f.two("fmul", f.number(0.5), f.call("erfc", f.new(f"fneg {f.target.vector} {z}")))
    root = _intrinsic("sqrt")(f, f.two("fadd", f.two("fmul", z, z), f.number(2.0)))
    return f.two("fadd", half, f.two("fmul", half, f.two("fmul", f.two("fsub", root, z), rest)))


def _exp_minus_square(f: Function, x: str) -> str:
    x = _intrinsic("fabs")(f, x)
    x = _choice(f, x, "ogt", VANISHED, f.number(VANISHED), x)
    square, (high, low) = f.two("fmul", x, x), _halves(f, x)
    rest = f.two(
        "fadd", f.two("fsub", f.two("fmul", high, high), square), f.two("fmul", f.two("fmul", f.number(2.0), high), low)
    )
    rest = f.two("fadd", rest, f.two("fmul", low, low))
    out = f.call("exp", f.new(f"fneg {f.target.vector} {square}"))
    return f.two("fsub", out, f.two("fmul", out, rest))


SPELLINGS: dict[str, Callable[..., str]] = {
    "add": _arithmetic("fadd"),
    "sub": _arithmetic("fsub"),
    "mul": _arithmetic("fmul"),
    "div": _arithmetic("fdiv"),
    "neg": lambda f, x: f.new(f"fneg {f.target.vector} {x}"),
    "sqrt": _intrinsic("sqrt"),
    "abs": _intrinsic("fabs"),
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "relu": lambda f, x: _choice(f, x, "ole", 0.0, f.number(0.0), x),
    "sign": _sign,
    "step": _step,
    "maximum": _ordered("oge", "olt", "x", "y"),
    "minimum": _ordered("ole", "ogt", "x", "y"),
    "greater": _ordered("ogt", "ole", "1", "0"),
    "less": _ordered("olt", "oge", "1", "0"),
    "equal": _equal,
    "where": _where,
    "floor": _intrinsic("floor"),
    "round": _intrinsic("rint"),
    "mod": _modulo,
    "floordiv": _floor_divide,
    "one_minus_square": _one_minus_square,
    "exp_minus_square": _exp_minus_square,
    "ndtr": _ndtr,
    "direction": _direction,
    "inverted": _inverted,
    "power_log": lambda f, n, c, x, y: _raised(f, n, c, x, y, True),
    "power_less": lambda f, n, c, x, y: _raised(f, n, c, x, y, False),
    "copy": lambda f, x: x,
}


def from_library(rule: Primitive) -> bool:
    """Whether a primitive is a call of C's library: its value is the function of its name in `math`, and it has no spelling."""
    return rule.name not in (*SPELLINGS, "lgamma") and rule.in_math  # Python computes lgamma itself


def spell(f: Function, name: str, *args: str) -> str:
    """A primitive with a fixed number of arguments; if it has no spelling, a call of the library."""
    return SPELLINGS[name](f, *args) if name in SPELLINGS else f.call(name, *args)


def larger(f: Function, x: str, y: str) -> str:
    """The larger of two numbers; nan if one is nan."""
    return f.choose(f.compare("uno", y, y), y, f.choose(f.compare("ogt", y, x), y, x))


class OfLargest(NamedTuple):
    """A primitive that looks for its largest operand first, and then adds numbers for each: log Σ exp(x), √(Σ x²).

    `begin` makes of the largest size what `terms` takes besides an operand; of the sums of the terms, `end` makes the result.
    An operand that is `nothing` adds nothing. The first sum is added from left to right, others in any order.
    """

    nothing: float
    sums: int
    size: Callable[[Function, str], str]
    begin: Callable[[Function, str], str]
    terms: Callable[[Function, str, str], list[str]]
    end: Callable[[Function, str, Sequence[str]], str]


def _exponentials(f: Function, x: str, top: str) -> list[str]:
    """exp(x - top), and 1 in its place for each operand that is the largest."""
    is_top, zero = f.compare("oeq", x, top), f.number(0.0)
    return [f.choose(is_top, zero, f.call("exp", f.two("fsub", x, top))), f.choose(is_top, f.number(1.0), zero)]


def _log_of_sum(f: Function, top: str, sums: Sequence[str]) -> str:
    """top + log(1 + the others); top itself if it is infinite or nan."""
    others = f.two("fadd", sums[0], f.two("fsub", sums[1], f.number(1.0)))
    size = _intrinsic("fabs")(f, top)
    return f.choose(f.compare("olt", size, f.number(math.inf)), f.two("fadd", top, f.call("log1p", others)), top)


def _scale_of_length(f: Function, top: str) -> str:
    most, by = LENGTHS[f.target.size]
    s = _choice(f, top, "olt", 2.0**-most, f.number(2.0**by), f.number(1.0))
    return _choice(f, top, "ogt", 2.0**most, f.number(2.0**-by), s)


def _square(f: Function, x: str, s: str) -> list[str]:
    x = f.two("fmul", x, s)
    return [f.two("fmul", x, x)]


def _length(f: Function, s: str, sums: Sequence[str]) -> str:
    return f.two("fdiv", _intrinsic("sqrt")(f, sums[0]), s)


OF_LARGEST = {
    "logsumexp": OfLargest(-math.inf, 2, lambda f, x: x, lambda f, top: top, _exponentials, _log_of_sum),
    "norm": OfLargest(0.0, 1, _intrinsic("fabs"), _scale_of_length, _square, _length),
}


def spell_one(f: Function, name: str, args: Sequence[Any], fetch: Callable[[Any], str]) -> str:
    """Any primitive on values in registers; those of a dot are fetched only here, term by term."""
    if name == "dot":
        n = len(args) // 2
        total = fetch(args[-1])
        for x, y in zip(args[:n], args[n:-1], strict=True):
            total = f.multiply_add(fetch(x), fetch(y), total)
        return total
    if name == "sum":
        total = f.number(-0.0)
        for x in args:
            total = f.two("fadd", total, x)
        return total
    if name in OF_LARGEST:
        row = OF_LARGEST[name]
        top, *sizes = [row.size(f, x) for x in args]
        for size in sizes:
            top = larger(f, top, size)
        shift, sums = row.begin(f, top), [f.number(0.0)] * row.sums
        for x in args:
            sums = [f.two("fadd", total, term) for total, term in zip(sums, row.terms(f, x, shift), strict=True)]
        return row.end(f, shift, sums)
    return spell(f, name, *args)
