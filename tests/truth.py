"""What is true of each primitive: one table for the tests and for docs/accuracy.md, a row per primitive.

A row says what the function is (in mpmath's words, value only: derivatives of the truth are differences in arithmetic of
hundreds of digits), where it is defined, in how many ulps value, first and second derivative must be, which points are
worth a visit beside random ones, and what happens exactly at kinks, poles, infinities and where a partial saturates.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from mpmath import mp
from ulps import off

from micrograd.primitives import RULES, Primitive

inf, nan = math.inf, math.nan
ALL = (-1e300, 1e300)  # where nothing can overflow
MEDIUM = (-1e75, 1e75)  # where products of four do not


@dataclass
class Case:
    """What must hold of one row."""

    name: str
    truth: Any  # the function, on mpmath's numbers
    domain: list[tuple[float, float]]  # one interval per argument, for random points; of ints: whole numbers
    ulps: tuple[float, float, float] = (1, 1, 1)  # value, first, second derivative, in ulps of the largest intermediate
    points: tuple[tuple[float, ...], ...] = ()  # further points at which the truth is known to mpmath
    edges: tuple[tuple[Any, ...], ...] = ()  # (arguments, value, partials), which must hold exactly
    small: float = 1e-300  # the smallest magnitude drawn at random
    javascript: float = 6  # ulps between the engine and what JavaScript's mathematics gives; 0: the same numbers
    range: tuple[float, float] | None = None  # the widest arguments of docs/accuracy.md; None: one of the arguments is chosen
    compiled: float = 4  # ulps by which a compiled value may be off: what glibc states for its vector functions
    unit: float = 0.0  # where a value or derivative is smaller, errors are in ulps of this: it is a difference of such numbers
    digits: int = 3000  # of the truth's arithmetic: after two differences, more than 50 of them are right
    jax: str = ""  # the same in JAX's words jax, jnp and special, where it is not jax.numpy's function of this name
    called: bool = False  # whether back ends call the engine's own value, because no library has one
    in_c: float = 0  # ulps, of `unit` at least, between the engine and what C gives; 0: the same bits
    public: bool = True  # whether the row has a name that people call it by: operators and parts of partials have not

    @property
    def rule(self) -> Primitive:
        return RULES[self.name]

    def inside(self, *numbers: float) -> list[float]:
        """One number for each argument, in the middle of its domain: those given where they lie in it, 2 where it is of whole ones."""
        return [
            2.0 if isinstance(low, int) else x if low < x < high else low + abs(x)
            for (low, high), x in zip(self.domain, itertools.cycle(numbers))
        ]

    @property
    def whole(self) -> int:
        """How many of the first arguments are whole numbers."""
        return sum([isinstance(low, int) for low, _ in self.domain])

    def arguments(self, count: int, dtype: Any) -> np.ndarray:
        """A row of numbers for each argument, in `range`: half of them near 0 where that is in it, the rest anywhere.

        Whole numbers are those of the domain.
        """
        assert self.range is not None
        rng = np.random.default_rng(0)
        low, high = self.range
        arity = len(self.rule.partials)
        X = rng.uniform(low, high, (arity, count))
        near = rng.normal(size=(arity, count // 2)) * 3
        np.copyto(X[:, : count // 2], near, where=(low < near) & (near < high))
        for k in range(self.whole):
            X[k] = rng.integers(*self.domain[k], count, endpoint=True)
        return X.astype(dtype)

    def worst(self, X: np.ndarray, found: list[float]) -> float:
        """The largest error of the values `found` at those arguments, in units in the last place of their type."""
        with mp.workdps(80):
            truths = [self.truth(*map(mp.mpf, args)) for args in X.T.tolist()]
            return max(
                off(got, truth, max(abs(float(truth)), self.unit), X.dtype == np.float32)
                for got, truth in zip(found, truths, strict=True)
            )


def real(truth):
    """A function of mpmath as a real function: nan where it is complex."""

    def on_reals(*args):
        out = truth(*args)
        return out if isinstance(out, mpmath.mpf) else mpmath.mpf("nan")

    return on_reals


def log_sum_exp(*xs):
    return mp.log(mp.fsum([mp.exp(x) for x in xs]))


def dotted(*args):
    n = len(args) // 2
    return args[-1] + mp.fsum(x * y for x, y in zip(args[:n], args[n:-1], strict=True))


# fmt: off
CASES = [
    Case("add", lambda x, y: x + y, [ALL, ALL], range=(-1e30, 1e30), compiled=0.5, javascript=0, public=False, points=((1e16, 1.0), (0.1, 0.2), (1.0, -1.0)), edges=(
        ((inf, -inf), nan, (1.0, 1.0)), ((1.7e308, 1.7e308), inf, (1.0, 1.0)), ((nan, 1.0), nan, (1.0, 1.0)))),
    Case("sub", lambda x, y: x - y, [ALL, ALL], range=(-1e30, 1e30), compiled=0.5, javascript=0, jax="jnp.subtract", public=False, points=((1e16, 1.0), (0.3, 0.1)), edges=(
        ((inf, inf), nan, (1.0, -1.0)), ((-1.7e308, 1.7e308), -inf, (1.0, -1.0)))),
    Case("mul", lambda x, y: x * y, [MEDIUM, MEDIUM], range=(-1e15, 1e15), compiled=0.5, javascript=0, jax="jnp.multiply", public=False, points=((0.1, 0.1), (-3.0, 7.0)), edges=(
        ((0.0, inf), nan, (inf, 0.0)), ((1e200, 1e200), inf, (1e200, 1e200)), ((nan, 2.0), nan, (2.0, nan)))),
    Case("div", lambda x, y: x / y, [MEDIUM, MEDIUM], (1, 2, 3), range=(-1e15, 1e15), compiled=0.5, javascript=0, small=1e-75, jax="jnp.divide", public=False, points=((1.0, 3.0), (1.0, 49.0), (2.0, -7.0)), edges=(
        ((1.0, 0.0), inf, (inf, -inf)), ((-1.0, 0.0), -inf, (inf, inf)), ((1.0, -0.0), -inf, (-inf, -inf)),
        ((0.0, 0.0), nan, (inf, nan)), ((inf, inf), nan, (0.0, nan)), ((1.0, inf), 0.0, (0.0, 0.0)), ((2.0**900, 2.0**-900), inf, (2.0**900, -inf)),
        ((nan, 2.0), nan, (0.5, nan)), ((2.0, nan), nan, (nan, nan)))),
    Case("neg", lambda x: -x, [ALL], (0, 0, 0), range=(-1e30, 1e30), compiled=0.5, javascript=0, jax="jnp.negative", public=False, edges=(((inf,), -inf, (-1.0,)), ((nan,), nan, (-1.0,)))),
    Case("mod", lambda x, y: x - y * mp.floor(x / y), [MEDIUM, MEDIUM], (1, 2, 0), javascript=0, small=1e-75, public=False, points=((7.5, 2.0), (-7.5, 2.0), (1.0, 0.1), (1e16, -3.0)), edges=(
        ((6.0, 2.0), 0.0, (1.0, -3.0)), ((5.0, inf), 5.0, (1.0, -0.0)), ((-5.0, inf), inf, (1.0, 1.0)), ((inf, 2.0), nan, (1.0, nan)),
        ((5.0, 0.0), nan, (1.0, -inf)), ((nan, 2.0), nan, (1.0, nan)), ((2.0, nan), nan, (1.0, nan)))),
    Case("floordiv", lambda x, y: mp.floor(x / y), [MEDIUM, MEDIUM], (2, 0, 0), javascript=0, small=1e-75, jax="jnp.floor_divide", public=False, points=((7.5, 2.0), (-7.5, 2.0), (1.0, 0.1), (1e16, -3.0)), edges=(
        ((6.0, 2.0), 3.0, (0.0, 0.0)), ((5.0, inf), 0.0, (0.0, 0.0)), ((-5.0, inf), -1.0, (0.0, 0.0)), ((inf, 2.0), nan, (0.0, 0.0)),
        ((5.0, 0.0), inf, (0.0, 0.0)), ((-5.0, 0.0), -inf, (0.0, 0.0)), ((0.0, 0.0), nan, (0.0, 0.0)), ((nan, 2.0), nan, (0.0, 0.0)), ((2.0, nan), nan, (0.0, 0.0)))),
    Case("pow", real(lambda x, y: x ** y), [(1e-30, 1e30), (-8.0, 8.0)], (1, 4, 8), range=(0.0, 20.0), small=1e-30, jax="jnp.power", points=(
        (2.0, 0.5), (1.0, 3.7), (1e-30, 2.5), (1e30, -2.5), (0.999999, 300.0), (1.0000001, -1e7), (10.0, 22.0), (1e-150, 0.5)), digits=1200, edges=(
        # at x = 0 as the limit says where it exists
        ((0.0, 0.0), 1.0, (0.0, -inf)), ((0.0, 1.0), 0.0, (1.0, 0.0)), ((0.0, 2.0), 0.0, (0.0, 0.0)), ((0.0, 3.5), 0.0, (0.0, 0.0)),
        ((0.0, 0.5), 0.0, (inf, 0.0)), ((-0.0, 2.0), 0.0, (0.0, 0.0)), ((0.0, -1.0), inf, (-inf, -inf)),
        ((0.0, -0.5), inf, (-inf, -inf)), ((-0.0, -1.0), -inf, (-inf, inf)), ((0.0, -2.0), inf, (-inf, -inf)),
        # a negative number to a power that is not whole; to a whole one, with no derivative in y
        ((-2.0, 3.0), -8.0, (12.0, nan)), ((-2.0, -1.0), -0.5, (-0.25, nan)), ((-2.0, 0.5), nan, (nan, nan)), ((-8.0, 1 / 3), nan, (nan, nan)),
        ((-2.0, 0.0), 1.0, (0.0, nan)),
        # overflow, infinities, nan; 1 ** y and x ** 0 are 1 even for nan, as IEEE 754 has it
        ((1e200, 2.0), inf, (2e200, inf)), ((-1e200, 3.0), -inf, (inf, nan)), ((1e-200, 2.0), 0.0, (2e-200, 0.0)),
        ((inf, 2.0), inf, (inf, inf)), ((inf, -1.0), 0.0, (-0.0, 0.0)), ((inf, 0.0), 1.0, (0.0, inf)), ((-1.0, 2.0**53 + 2), 1.0, (-(2.0**53 + 2), nan)), ((-2.0, -1e300), 0.0, (0.0, nan)), ((-2.0, 1e300), inf, (-inf, nan)), ((-2.0, 1e-20), nan, (nan, nan)), ((2.0, inf), inf, (inf, inf)),
        ((nan, 2.0), nan, (nan, nan)), ((2.0, nan), nan, (nan, nan)), ((nan, 0.0), 1.0, (nan, nan)))),
    Case("power_less", real(lambda n, c, x, y: c * x ** (y - mp.nint(n))), [(0, 2), (-8.0, 8.0), (1e-30, 1e30), (-6.0, 6.0)], (4, 5, 8), range=(0.0, 20.0), small=1e-30, digits=1200, jax="lambda n, c, x, y: c * x ** (y - n)", public=False, points=(
        (1.0, 1.0, 2.0, 0.5), (1.0, 2.5, 1e-30, 2.5), (1.0, 300.0, 0.999999, 300.0), (2.0, 1.0, 10.0, 22.0), (1.0, 1e-20, 1e-320, 1e-20), (1.0, 40.0, 1e-8, 40.0), (2.0, 0.3, 1e300, -0.1), (1.0, -0.5, 1e-206, -0.5000000001)), edges=(
        # 0 where c is, by c as if it were 1
        ((1.0, 0.0, 0.0, 0.0), 0.0, (0.0, inf, 0.0, 0.0)), ((1.0, 1.0, 0.0, 1.0), 1.0, (0.0, 1.0, 0.0, -inf)), ((1.0, 2.0, 0.0, 2.0), 0.0, (0.0, 0.0, 2.0, 0.0)), ((1.0, 0.5, 0.0, 0.5), inf, (0.0, inf, -inf, -inf)), ((1.0, 1.0, -0.0, 0.0), -inf, (0.0, -inf, -inf, inf)),
        ((1.0, 3.0, -2.0, 3.0), 12.0, (0.0, 4.0, -12.0, nan)), ((1.0, 0.5, -2.0, 0.5), nan, (0.0, nan, nan, nan)), ((1.0, 1.0, -1.0, 2.0**53 + 2), -1.0, (0.0, -1.0, 2.0**53, nan)), ((1.0, inf, 2.0, inf), inf, (0.0, inf, inf, inf)), ((1.0, inf, 0.5, inf), 0.0, (0.0, 0.0, 0.0, 0.0)),
        ((1.0, 2.0, nan, 2.0), nan, (0.0, nan, 2.0, nan)), ((1.0, 2.0, 2.0, nan), nan, (0.0, nan, nan, nan)), ((1.0, 0.0, nan, 0.0), nan, (0.0, nan, nan, nan)), ((1.0, nan, 2.0, 0.0), nan, (0.0, 0.5, nan, nan)))),
    Case("power_log", real(lambda n, c, x, y: c * x ** (y - mp.nint(n)) * mp.log(x)), [(0, 2), (-8.0, 8.0), (1e-30, 1e30), (-6.0, 6.0)], (5, 8, 12), range=(0.0, 20.0), compiled=6, small=1e-30, digits=1200, jax="lambda n, c, x, y: c * x ** (y - n) * jnp.log(x)", public=False, points=(
        (0.0, 1.0, 2.0, 0.5), (0.0, 1.0, 1e-30, 2.5), (0.0, 1.0, 0.999999, 300.0), (1.0, 1.0, 10.0, 22.0), (0.0, 1.0, 1e-280, 1.1), (1.0, 1e-20, 1e-320, 1e-20)), edges=(
        ((0.0, 1.0, 0.0, 0.0), -inf, (0.0, -inf, inf, inf)), ((0.0, 1.0, 0.0, 1.0), 0.0, (0.0, 0.0, -inf, 0.0)), ((0.0, 1.0, 0.0, 2.0), 0.0, (0.0, 0.0, 0.0, 0.0)), ((0.0, 1.0, 0.0, -1.0), -inf, (0.0, -inf, inf, inf)), ((0.0, 1.0, -0.0, -1.0), inf, (0.0, inf, inf, -inf)),
        ((0.0, 1.0, -2.0, 3.0), nan, (0.0, nan, nan, nan)), ((0.0, 1.0, -40.0, -709.0), nan, (0.0, nan, nan, nan)), ((0.0, 1.0, 1.0, 5.0), 0.0, (0.0, 0.0, 1.0, 0.0)), ((0.0, 1.0, inf, -1.0), 0.0, (0.0, 0.0, 0.0, 0.0)), ((0.0, 1.0, inf, 0.0), inf, (0.0, inf, 0.0, inf)),
        ((0.0, 1.0, nan, 2.0), nan, (0.0, nan, nan, nan)), ((0.0, 1.0, 2.0, nan), nan, (0.0, nan, nan, nan)), ((0.0, 0.0, nan, 0.0), nan, (0.0, nan, nan, nan)))),
    Case("exp", mp.exp, [(-700.0, 709.7)], range=(-80.0, 80.0), points=((-745.0,), (709.78,), (1e-17,), (0.0,)), edges=(
        ((710.0,), inf, (inf,)), ((-746.0,), 0.0, (0.0,)), ((inf,), inf, (inf,)), ((-inf,), 0.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("log", mp.log, [(1e-150, 1e150)], (1, 1, 2), range=(0.0, 1e30), small=1e-150, points=((1.0,), (1.0000000001,), (0.9999999999,), (1e300,)), edges=(
        ((0.0,), -inf, (inf,)), ((-0.0,), -inf, (-inf,)), ((-1.0,), nan, (-1.0,)), ((inf,), inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("log2", lambda x: mp.log(x) / mp.log(2), [(1e-150, 1e150)], (1, 2, 3), range=(0.0, 1e30), small=1e-150, points=((1.0,), (8.0,), (0.9999999999,), (1e300,)), edges=(
        ((0.0,), -inf, (inf,)), ((2.0**-1074,), -1074.0, (inf,)), ((-1.0,), nan, (-math.log2(math.e),)), ((inf,), inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("log10", lambda x: mp.log(x) / mp.log(10), [(1e-150, 1e150)], (2, 2, 3), range=(0.0, 1e30), small=1e-150, points=((1.0,), (1000.0,), (0.9999999999,), (1e300,)), edges=(
        ((0.0,), -inf, (inf,)), ((1e15,), 15.0, (math.log10(math.e) / 1e15,)), ((1.7e308,), math.log10(1.7e308), (2.554673422960305e-309,)), ((-1.0,), nan, (-math.log10(math.e),)), ((inf,), inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("exp2", lambda x: mp.mpf(2) ** x, [(-1000.0, 1023.0)], (1, 2, 3), range=(-80.0, 80.0), points=((0.0,), (1e-17,), (-1022.0,)), edges=(
        ((10.0,), 1024.0, (1024.0 * math.log(2),)), ((1024.0,), inf, (inf,)), ((-inf,), 0.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("log1p", lambda x: mp.log(1 + x), [(-0.999, 1e150)], (1, 2, 2), range=(-1.0, 1e30), points=((-1 + 2**-50,), (0.0,), (1e-17,), (-1e-17,), (5e-324,)), edges=(
        ((-1.0,), -inf, (inf,)), ((-2.0,), nan, (-1.0,)), ((inf,), inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("expm1", lambda x: mp.exp(x) - 1, [(-700.0, 709.7)], (1, 1, 1), range=(-80.0, 80.0), points=((-700.0,), (0.0,), (1e-17,), (5e-324,)), edges=(
        ((710.0,), inf, (inf,)), ((-inf,), -1.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("sqrt", real(mp.sqrt), [(1e-100, 1e100)], (1, 2, 3), range=(0.0, 1e30), compiled=0.5, javascript=0, small=1e-100, points=((2.0,), (1e300,), (4.0,)), edges=(
        ((0.0,), 0.0, (inf,)), ((-1.0,), nan, (nan,)), ((inf,), inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("cbrt", lambda x: mp.sign(x) * mp.cbrt(abs(x)), [(-1e100, 1e100)], (3, 8, 14), range=(-1e30, 1e30), small=1e-100, points=((27.0,), (-2.0,), (1e300,)), edges=(
        ((8.0,), 2.0, (1 / 12,)), ((0.0,), 0.0, (inf,)), ((inf,), inf, (0.0,)), ((-inf,), -inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("hypot", mp.hypot, [MEDIUM, MEDIUM], (1, 2, 4), range=(-1e15, 1e15), small=1e-75, points=((3.0, 4.0), (1e200, 1e200), (1e-170, 1e-170)), edges=(
        ((0.0, 0.0), 0.0, (nan, nan)), ((0.0, -2.0), 2.0, (0.0, -1.0)), ((inf, 1.0), inf, (nan, 0.0)), ((1.5e308, 1.5e308), inf, (math.sqrt(0.5), math.sqrt(0.5))), ((nan, 1.0), nan, (nan, nan)), ((1.0, nan), nan, (nan, nan)))),
    Case("direction", lambda x, y: x / mp.hypot(x, y), [MEDIUM, MEDIUM], (2, 5, 12), range=(-1e15, 1e15), small=1e-75, jax="lambda x, y: x / jnp.hypot(x, y)", javascript=0, public=False, points=((3.0, 4.0), (1e200, 1e200), (1e-170, 1e-170)), edges=(
        ((0.0, 0.0), nan, (nan, nan)), ((0.0, -2.0), 0.0, (0.5, 0.0)), ((1.0, inf), 0.0, (nan, nan)), ((nan, 1.0), nan, (nan, nan)), ((1.0, nan), nan, (nan, nan)))),
    Case("inverted", lambda x, y: x / (x * x + y * y), [MEDIUM, MEDIUM], (2, 5, 12), range=(-1e15, 1e15), small=1e-75, jax="lambda x, y: x / (x * x + y * y)", javascript=0, public=False, points=((3.0, 4.0), (1e200, 1e200), (1e-150, 1e-150)), edges=(
        ((0.0, 0.0), nan, (nan, nan)), ((0.0, -2.0), 0.0, (0.25, 0.0)), ((1.0, inf), 0.0, (nan, nan)), ((nan, 1.0), nan, (nan, nan)), ((1.0, nan), nan, (nan, nan)))),
    Case("sin", mp.sin, [ALL], range=(-1e4, 1e4), points=((math.pi,), (1e22,), (0.0,), (5e-324,)), edges=(((inf,), nan, (nan,)), ((nan,), nan, (nan,)))),
    Case("cos", mp.cos, [ALL], range=(-1e4, 1e4), points=((math.pi / 2,), (1e22,), (0.0,)), edges=(((-inf,), nan, (nan,)), ((nan,), nan, (nan,)))),
    Case("tan", mp.tan, [ALL], (1, 2, 2), range=(-1e4, 1e4), points=((math.pi / 2,), (1e22,), (0.0,), (0.7,)), edges=(((inf,), nan, (nan,)), ((nan,), nan, (nan,)))),
    Case("one_minus_square", lambda x: 1 - x * x, [MEDIUM], (2, 0, 0), range=(-1.0, 1.0), javascript=0, jax="lambda x: (1 - x) * (1 + x)", public=False, points=((1 - 2**-53,), (-1 + 2**-53,), (1.0,), (1e-9,)), edges=(
        ((1.0,), 0.0, (-2.0,)), ((-1.0,), 0.0, (2.0,)), ((1e200,), -inf, (-2e200,)), ((-inf,), -inf, (inf,)), ((nan,), nan, (nan,)))),
    Case("asin", real(mp.asin), [(-1.0, 1.0)], (1, 2, 5), range=(-1.0, 1.0), points=((1 - 2**-53,), (-1 + 2**-53,), (0.0,), (0.5,)), edges=(
        ((1.0,), math.pi / 2, (inf,)), ((-1.0,), -math.pi / 2, (inf,)), ((1.5,), nan, (nan,)), ((-inf,), nan, (nan,)), ((nan,), nan, (nan,)))),
    Case("acos", real(mp.acos), [(-1.0, 1.0)], (1, 2, 3), range=(-1.0, 1.0), points=((1 - 2**-53,), (-1 + 2**-53,), (0.0,), (0.5,)), edges=(
        ((1.0,), 0.0, (-inf,)), ((-1.0,), math.pi, (-inf,)), ((-1.5,), nan, (nan,)), ((nan,), nan, (nan,)))),
    Case("atan", mp.atan, [MEDIUM], (1, 2, 3), range=(-1e4, 1e4), points=((0.0,), (1.0,), (-1e70,)), edges=(
        ((inf,), math.pi / 2, (0.0,)), ((-inf,), -math.pi / 2, (0.0,)), ((nan,), nan, (nan,)))),
    Case("atan2", mp.atan2, [MEDIUM, MEDIUM], (1, 2, 5), range=(-1e4, 1e4), small=1e-75, points=((0.0, 1.0), (1.0, -1e-20), (1e-20, -1.0), (1.0, 1.0), (6.0, -6.0 + 2**-20), (1e-170, 1e-170 + 1e-180)), edges=(
        ((1.0, 0.0), math.pi / 2, (0.0, -1.0)), ((0.0, -1.0), math.pi, (-1.0, 0.0)), ((0.0, 0.0), 0.0, (nan, nan)),
        ((nan, 1.0), nan, (nan, nan)), ((1.0, nan), nan, (nan, nan)))),
    Case("asinh", mp.asinh, [MEDIUM], (1, 2, 3), range=(-1e4, 1e4), points=((0.0,), (1e-17,), (5e-324,), (1e9,), (-1e9,), (1e200,)), edges=(
        ((inf,), inf, (0.0,)), ((-inf,), -inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("acosh", real(mp.acosh), [(1.0, 1e75)], (2, 3, 4), range=(1.0, 1e4), points=((1 + 2**-52,), (2.0,), (1e300,)), small=1.0001, edges=(
        ((1.0,), 0.0, (inf,)), ((0.5,), nan, (nan,)), ((inf,), inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("atanh", real(mp.atanh), [(-1.0, 1.0)], (1, 2, 3), range=(-1.0, 1.0), points=((1 - 2**-53,), (-1 + 2**-53,), (0.0,), (5e-324,)), edges=(
        ((1.0,), inf, (inf,)), ((-1.0,), -inf, (inf,)), ((1.5,), nan, (-0.8,)), ((nan,), nan, (nan,)))),
    Case("sinh", mp.sinh, [(-710.0, 710.0)], range=(-80.0, 80.0), points=((0.0,), (1e-17,), (5e-324,)), edges=(
        ((711.0,), inf, (inf,)), ((-711.0,), -inf, (inf,)), ((-inf,), -inf, (inf,)), ((nan,), nan, (nan,)))),
    Case("cosh", mp.cosh, [(-710.0, 710.0)], range=(-80.0, 80.0), points=((0.0,), (1e-17,)), edges=(
        ((711.0,), inf, (inf,)), ((-711.0,), inf, (-inf,)), ((nan,), nan, (nan,)))),
    Case("tanh", mp.tanh, [(-19.0, 19.0)], (2, 2, 2), range=(-80.0, 80.0), points=((0.0,), (1e-300,), (300.0,), (-40.0,)), edges=(
        ((inf,), 1.0, (0.0,)), ((-inf,), -1.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("sigmoid", lambda x: 1 / (1 + mp.exp(-x)), [(-350.0, 36.0)], (2, 3, 4), range=(-80.0, 80.0), jax="jax.nn.sigmoid", points=((0.0,), (-705.0,), (-709.5,), (-740.0,), (60.0,)), edges=(
        ((-800.0,), 0.0, (0.0,)), ((inf,), 1.0, (0.0,)), ((-inf,), 0.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("relu", lambda x: max(x, mp.mpf(0)), [ALL], (0, 0, 0), javascript=0, jax="jax.nn.relu", points=((5e-324,), (-5e-324,)), edges=(
        ((0.0,), 0.0, (0.0,)), ((-0.0,), 0.0, (0.0,)), ((inf,), inf, (1.0,)), ((-inf,), 0.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("softplus", lambda x: mp.log(1 + mp.exp(x)), [(-350.0, 1e10)], (1, 3, 4), range=(-80.0, 80.0), compiled=6, jax="jax.nn.softplus", points=((0.0,), (-705.0,), (-740.0,), (1e300,)), small=1e-30, digits=1500, edges=(
        ((inf,), inf, (1.0,)), ((-inf,), 0.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("floor", mp.floor, [(-1e15, 1e15)], (0, 0, 0), javascript=0, points=((0.5,), (-0.5,), (2.0**51 + 0.5,), (-1e-300,)), edges=(
        ((2.0,), 2.0, (0.0,)), ((-0.0,), -0.0, (0.0,)), ((inf,), inf, (0.0,)), ((-inf,), -inf, (0.0,)), ((nan,), nan, (0.0,)))),
    Case("round", mp.nint, [(-1e15, 1e15)], (0, 0, 0), javascript=0, points=((0.4,), (-0.6,), (0.5 - 2**-54,), (2.0**51 + 0.25,)), edges=(
        ((0.5,), 0.0, (0.0,)), ((1.5,), 2.0, (0.0,)), ((-2.5,), -2.0, (0.0,)), ((inf,), inf, (0.0,)), ((-inf,), -inf, (0.0,)), ((nan,), nan, (0.0,)))),
    Case("abs", abs, [ALL], (0, 0, 0), javascript=0, points=((5e-324,), (-5e-324,)), edges=(
        ((0.0,), 0.0, (0.0,)), ((-0.0,), 0.0, (0.0,)), ((-inf,), inf, (-1.0,)), ((nan,), nan, (nan,)))),
    Case("sign", mp.sign, [ALL], (0, 0, 0), javascript=0, edges=(((0.0,), 0.0, (0.0,)), ((-inf,), -1.0, (0.0,)), ((nan,), nan, (0.0,)))),
    Case("step", lambda x: mp.mpf(x > 0), [ALL], (0, 0, 0), javascript=0, jax="lambda x: jnp.where(x > 0, 1.0, 0.0)", edges=(((0.0,), 0.0, (0.0,)), ((inf,), 1.0, (0.0,)), ((nan,), nan, (0.0,)))),
    Case("maximum", max, [ALL, ALL], (0, 0, 0), javascript=0, points=((1.0, 1.0 + 2**-52),), edges=(
        ((2.0, 2.0), 2.0, (0.5, 0.5)), ((0.0, -0.0), 0.0, (0.5, 0.5)), ((inf, inf), inf, (0.5, 0.5)), ((inf, 1.0), inf, (1.0, 0.0)),
        ((nan, 1.0), nan, (nan, nan)), ((1.0, nan), nan, (nan, nan)))),
    Case("minimum", min, [ALL, ALL], (0, 0, 0), javascript=0, points=((1.0, 1.0 + 2**-52),), edges=(
        ((2.0, 2.0), 2.0, (0.5, 0.5)), ((0.0, -0.0), 0.0, (0.5, 0.5)), ((-inf, 1.0), -inf, (1.0, 0.0)),
        ((nan, 1.0), nan, (nan, nan)), ((1.0, nan), nan, (nan, nan)))),
    Case("erf", mp.erf, [(-26.0, 26.0)], (1, 2, 2), range=(-80.0, 80.0), jax="special.erf", points=((0.0,), (1e-30,), (26.5,)), small=1e-30, digits=1000, edges=(
        ((inf,), 1.0, (0.0,)), ((-inf,), -1.0, (0.0,)), ((1e200,), 1.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("erfc", mp.erfc, [(-26.0, 26.0)], (3, 2, 2), range=(-5.0, 5.0), jax="special.erfc", points=((0.0,), (1e-30,), (26.5,)), small=1e-30, digits=1000, javascript=128, edges=(
        ((inf,), 0.0, (-0.0,)), ((-inf,), 2.0, (-0.0,)), ((1e200,), 0.0, (-0.0,)), ((nan,), nan, (nan,)))),
    Case("exp_minus_square", lambda x: mp.exp(-x * x), [(-26.0, 26.0)], (2, 2, 3), range=(-26.0, 26.0), jax="lambda x: jnp.exp(-x * x)", public=False, points=((0.0,), (1e-30,), (24.3,), (-26.5,)), small=1e-30, digits=1000, edges=(
        ((28.5,), 0.0, (0.0,)), ((inf,), 0.0, (nan,)), ((-1e200,), 0.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("ndtr", lambda x: mp.erfc(-x / mp.sqrt(2)) / 2, [(-37.0, 37.0)], (4, 5, 6), range=(-37.0, 8.0), jax="jax.scipy.stats.norm.cdf", points=((0.0,), (-37.0,), (1e-30,), (8.5,)), small=1e-30, digits=1000, javascript=2000, edges=(
        ((0.0,), 0.5, (1 / math.sqrt(2 * math.pi),)), ((40.5,), 1.0, (0.0,)), ((-1e308,), 0.0, (0.0,)), ((inf,), 1.0, (0.0,)), ((-inf,), 0.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("lgamma", lambda x: mp.re(mp.loggamma(x)), [(0.0, 1e10)], (8, 6, 6), range=(0.0, 1e4), compiled=8, unit=1.0, small=1e-10, digits=120, javascript=64, jax="special.gammaln", called=True, in_c=8, points=(
        (-0.25,), (-1.25,), (-10.3,), (-1e-10,), (1e15,), (3.0,), (1.44964535229962,), (4.036543193488652,)), edges=(
        ((0.0,), inf, (-inf,)), ((-0.0,), inf, (inf,)), ((-1.0,), inf, (nan,)),
        ((inf,), inf, (inf,)), ((-inf,), inf, (nan,)), ((1.7e308,), inf, (math.log(1.7e308),)), ((nan,), nan, (nan,)))),
    Case("digamma", mp.digamma, [(0.0, 1e10)], (4, 6, 6), range=(0.0, 1e4), compiled=8, unit=1.0, small=1e-10, digits=120, javascript=16, jax="special.digamma", called=True, points=(
        (-0.25,), (-1.25,), (-10.3,), (-1e-10,), (1e15,)), edges=(
        ((0.0,), -inf, (inf,)), ((-0.0,), inf, (inf,)), ((-1.0,), nan, (inf,)), ((inf,), inf, (0.0,)), ((-inf,), nan, (nan,)), ((nan,), nan, (nan,)))),
    Case("polygamma", lambda n, x: mp.polygamma(int(mp.nint(n)), x), [(0, 4), (0.0, 1e10)], (8, 8, 8), unit=1e-300, small=1e-10, digits=120, javascript=64, jax="lambda n, x: special.polygamma(int(n), x)", called=True, points=(
        (1.0, -0.25), (2.0, -1.25), (1.0, -1e-10), (3.0, 1e8), (20.0, 30.0)), edges=(
        ((1.0, 0.0), inf, (0.0, -inf)), ((0.0, 0.0), -inf, (0.0, inf)), ((2.0, -3.0), nan, (0.0, inf)), ((0.5, 1.0), nan, (0.0, nan)), ((171.0, 1.0), nan, (0.0, nan)),
        ((1.0, 1e-320), inf, (0.0, -inf)), ((1.0, -1e-320), inf, (0.0, inf)), ((50.0, 1e7), -6.0828338474021976e-288, (0.0, 3.0414170757718234e-293)), ((0.0, -1e-320), inf, (0.0, inf)), ((1.0, inf), 0.0, (0.0, -0.0)), ((1.0, nan), nan, (0.0, nan)), ((nan, 1.0), nan, (0.0, nan)))),
    Case("greater", lambda x, y: mp.mpf(x > y), [ALL, ALL], (0, 0, 0), javascript=0, jax="lambda x, y: jnp.where(x > y, 1.0, 0.0)", edges=(
        ((1.0, 1.0), 0.0, (0.0, 0.0)), ((inf, 1.0), 1.0, (0.0, 0.0)), ((nan, 1.0), nan, (0.0, 0.0)), ((1.0, nan), nan, (0.0, 0.0)))),
    Case("less", lambda x, y: mp.mpf(x < y), [ALL, ALL], (0, 0, 0), javascript=0, jax="lambda x, y: jnp.where(x < y, 1.0, 0.0)", edges=(
        ((1.0, 1.0), 0.0, (0.0, 0.0)), ((-inf, 1.0), 1.0, (0.0, 0.0)), ((nan, 1.0), nan, (0.0, 0.0)), ((1.0, nan), nan, (0.0, 0.0)))),
    Case("equal", lambda x, y: mp.mpf(x == y), [ALL, ALL], (0, 0, 0), javascript=0, jax="lambda x, y: jnp.where(x == y, 1.0, 0.0)", points=((1.0, 1.0 + 2**-52),), edges=(
        ((1.0, 1.0), 1.0, (0.0, 0.0)), ((0.0, -0.0), 1.0, (0.0, 0.0)), ((inf, inf), 1.0, (0.0, 0.0)), ((nan, nan), nan, (0.0, 0.0)), ((nan, 1.0), nan, (0.0, 0.0)))),
    Case("where", lambda c, a, b: a if c > 0 else b, [ALL, ALL, ALL], (0, 0, 0), javascript=0, jax="lambda c, a, b: jnp.where(c > 0, a, b)", edges=(
        ((0.0, 2.0, 3.0), 3.0, (0.0, 0.0, 1.0)), ((1.0, 2.0, nan), 2.0, (0.0, 1.0, 0.0)), ((-1.0, inf, 3.0), 3.0, (0.0, 0.0, 1.0)),
        ((nan, 2.0, 3.0), nan, (0.0, nan, nan)))),
    Case("sum", lambda *xs: mp.fsum(xs), [ALL] * 5, (4, 0, 0), javascript=0, jax="lambda *xs: jnp.sum(jnp.stack(xs))", points=((1e16, 1.0, -1e16), (0.1,) * 10, (1.0,)), edges=(
        ((inf, -inf, 1.0), nan, (1.0, 1.0, 1.0)), ((0.1, nan), nan, (1.0, 1.0)))),
    Case("dot", dotted, [MEDIUM] * 7, (4, 0, 0), javascript=0, jax="lambda *a: a[-1] + jnp.stack(a[:len(a) // 2]) @ jnp.stack(a[len(a) // 2:-1])", points=((3.0,), (2.0, 3.0, 4.0), (0.1, 0.2, 0.3, -0.1, 0.7, 0.9, 1e-3)), edges=(
        ((inf, 0.0, 1.0), nan, (0.0, inf, 1.0)), ((2.0, nan, 1.0), nan, (nan, 2.0, 1.0)))),
    Case("take", lambda i, *xs: xs[int(mp.nint(i))], [(0, 2), ALL, ALL, ALL], (0, 0, 0), javascript=0, jax="lambda i, *xs: jnp.stack(xs)[int(i)]", points=((0.0, 0.1, 0.2), (2.0, 0.1, 0.2, 0.3)), edges=(
        ((1.0, nan, 2.0), 2.0, (0.0, 0.0, 1.0)), ((0.0, nan, 2.0), nan, (0.0, 1.0, 0.0)), ((0.5, 1.0, 2.0), nan, (0.0, 0.0, 0.0)), ((nan, 1.0, 2.0), nan, (0.0, nan, nan)))),
    Case("logsumexp", log_sum_exp, [(-300.0, 300.0)] * 4, (2, 4, 6), jax="lambda *xs: special.logsumexp(jnp.stack(xs))", points=(
        (7.0,), (1e5, 1e5), (-1e5, -1e5 + 1), (0.0, 0.0, 0.0), (1.0, -40.0)), small=1e-10, digits=400, edges=(
        ((-inf, 0.0), 0.0, (0.0, 1.0)), ((1e308, 0.0), 1e308, (1.0, 0.0)), ((inf, 0.0), inf, (nan, nan)), ((1e16, 1e16), 1e16, (0.5, 0.5)), ((-1e300, -1e300, -1e300, -1e300), -1e300, (0.25, 0.25, 0.25, 0.25)),
        ((-inf, -inf), -inf, (nan, nan)), ((nan, 1.0), nan, (nan, nan)), ((inf, nan), nan, (nan, nan)), ((0.0, -700.0), math.exp(-700.0), (1.0, math.exp(-700.0))))),
    Case("norm", lambda *xs: mp.sqrt(mp.fsum([x * x for x in xs])), [MEDIUM] * 4, (2, 3, 6), javascript=4, jax="lambda *xs: jnp.sqrt(sum([x * x for x in xs]))", points=(
        (3.0,), (-3.0, 4.0), (1e200, -2e200, 1e199), (1e-200, 3e-200), (1e-320, 1e300), (1e308, 1e308, 1e-308)), small=1e-75, edges=(
        ((0.0, 0.0), 0.0, (nan, nan)), ((0.0, -2.0), 2.0, (0.0, -1.0)), ((3 * 2.0**700, -4 * 2.0**700), 5 * 2.0**700, (0.6, -0.8)), ((5e-324,), 5e-324, (1.0,)), ((3 * 2.0**-900, 0.0, 4 * 2.0**-900), 5 * 2.0**-900, (0.6, 0.0, 0.8)),
        ((inf, 1.0), inf, (nan, 0.0)), ((1.5e308, 1.5e308), inf, (0.0, 0.0)), ((nan, 1.0), nan, (nan, nan)), ((1.0, nan), nan, (nan, nan)))),
]

# Where no partial cancels, in how many ulps of themselves the first and the second derivatives are, at any point.
OF_THEMSELVES = [
    ("exp", 1, 1), ("log", 1, 2), ("log1p", 2, 3), ("expm1", 1, 1), ("sqrt", 2, 4), ("cbrt", 9, 20), ("hypot", 3, 4), ("asin", 2, 6),
    ("acos", 2, 6), ("atan", 2, 4), ("atan2", 3, 6), ("asinh", 2, 6), ("acosh", 3, 6), ("atanh", 2, 4), ("erf", 2, 3), ("erfc", 2, 3),
]

# Where a partial has saturated, as said beside its row: it is exactly `plateau` at the first point and not yet at the second.
SATURATION = [
    # name      flat at   not yet at  plateau
    ("tanh",     19.1,     19.0,     0.0),
    ("tanh",    -19.1,    -19.0,     0.0),
    ("sigmoid",  36.8,     36.7,     0.0),
    ("softplus", 36.8,     36.7,     1.0),
    ("erf",      27.3,     27.2,     0.0),
    ("erf",     -27.3,    -27.2,     0.0),
    ("erfc",     27.3,     27.2,     0.0),
    ("erfc",    -27.3,    -27.2,     0.0),
]
# fmt: on
