"""The rule book against mpmath: one table of cases, a row per primitive.

A case says what the function is (in mpmath's words, value only: derivatives of the truth are differences in arithmetic of
hundreds of digits), where it is defined, in how many ulps value, first and second derivative must be, which points are
worth a visit beside random ones, and what happens exactly at kinks, poles, infinities and where a partial saturates.
"""

import math
import operator
import random
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp
from ulps import largest_intermediate, off

import micrograd
from micrograd import Value, adjoints, constant, primitives
from micrograd.primitives import RULES, Primitive, primitive

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
    javascript: float = 6  # ulps between the engine and what JavaScript's mathematics gives
    digits: int = 3000  # of the truth's arithmetic: after two differences, more than 50 of them are right

    @property
    def rule(self) -> Primitive:
        return RULES[self.name]


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
    Case("add", lambda x, y: x + y, [ALL, ALL], points=((1e16, 1.0), (0.1, 0.2), (1.0, -1.0)), edges=(
        ((inf, -inf), nan, (1.0, 1.0)), ((1.7e308, 1.7e308), inf, (1.0, 1.0)), ((nan, 1.0), nan, (1.0, 1.0)))),
    Case("sub", lambda x, y: x - y, [ALL, ALL], points=((1e16, 1.0), (0.3, 0.1)), edges=(
        ((inf, inf), nan, (1.0, -1.0)), ((-1.7e308, 1.7e308), -inf, (1.0, -1.0)))),
    Case("mul", lambda x, y: x * y, [MEDIUM, MEDIUM], points=((0.1, 0.1), (-3.0, 7.0)), edges=(
        ((0.0, inf), nan, (inf, 0.0)), ((1e200, 1e200), inf, (1e200, 1e200)), ((nan, 2.0), nan, (2.0, nan)))),
    Case("div", lambda x, y: x / y, [MEDIUM, MEDIUM], (1, 2, 3), small=1e-75, points=((1.0, 3.0), (1.0, 49.0), (2.0, -7.0)), edges=(
        ((1.0, 0.0), inf, (inf, -inf)), ((-1.0, 0.0), -inf, (inf, inf)), ((1.0, -0.0), -inf, (-inf, -inf)),
        ((0.0, 0.0), nan, (inf, nan)), ((inf, inf), nan, (0.0, nan)), ((1.0, inf), 0.0, (0.0, 0.0)), ((2.0**900, 2.0**-900), inf, (2.0**900, -inf)),
        ((nan, 2.0), nan, (0.5, nan)), ((2.0, nan), nan, (nan, nan)))),
    Case("neg", lambda x: -x, [ALL], (0, 0, 0), edges=(((inf,), -inf, (-1.0,)), ((nan,), nan, (-1.0,)))),
    Case("mod", lambda x, y: x - y * mp.floor(x / y), [MEDIUM, MEDIUM], (1, 2, 0), small=1e-75, points=((7.5, 2.0), (-7.5, 2.0), (1.0, 0.1), (1e16, -3.0)), edges=(
        ((6.0, 2.0), 0.0, (1.0, -3.0)), ((5.0, inf), 5.0, (1.0, -0.0)), ((-5.0, inf), inf, (1.0, 1.0)), ((inf, 2.0), nan, (1.0, nan)),
        ((5.0, 0.0), nan, (1.0, -inf)), ((nan, 2.0), nan, (1.0, nan)), ((2.0, nan), nan, (1.0, nan)))),
    Case("floordiv", lambda x, y: mp.floor(x / y), [MEDIUM, MEDIUM], (2, 0, 0), small=1e-75, points=((7.5, 2.0), (-7.5, 2.0), (1.0, 0.1), (1e16, -3.0)), edges=(
        ((6.0, 2.0), 3.0, (0.0, 0.0)), ((5.0, inf), 0.0, (0.0, 0.0)), ((-5.0, inf), -1.0, (0.0, 0.0)), ((inf, 2.0), nan, (0.0, 0.0)),
        ((5.0, 0.0), inf, (0.0, 0.0)), ((-5.0, 0.0), -inf, (0.0, 0.0)), ((0.0, 0.0), nan, (0.0, 0.0)), ((nan, 2.0), nan, (0.0, 0.0)), ((2.0, nan), nan, (0.0, 0.0)))),
    Case("pow", real(lambda x, y: x ** y), [(1e-30, 1e30), (-8.0, 8.0)], (1, 2, 4), small=1e-30, points=(
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
        ((inf, 2.0), inf, (inf, inf)), ((inf, -1.0), 0.0, (-0.0, 0.0)), ((inf, 0.0), 1.0, (0.0, inf)), ((2.0, inf), inf, (inf, inf)),
        ((nan, 2.0), nan, (nan, nan)), ((2.0, nan), nan, (nan, nan)), ((nan, 0.0), 1.0, (nan, nan)))),
    Case("exp", mp.exp, [(-700.0, 709.7)], points=((-745.0,), (709.78,), (1e-17,), (0.0,)), edges=(
        ((710.0,), inf, (inf,)), ((-746.0,), 0.0, (0.0,)), ((inf,), inf, (inf,)), ((-inf,), 0.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("log", mp.log, [(1e-150, 1e150)], (1, 1, 2), small=1e-150, points=((1.0,), (1.0000000001,), (0.9999999999,), (1e300,)), edges=(
        ((0.0,), -inf, (inf,)), ((-0.0,), -inf, (-inf,)), ((-1.0,), nan, (-1.0,)), ((inf,), inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("log2", lambda x: mp.log(x) / mp.log(2), [(1e-150, 1e150)], (1, 2, 3), small=1e-150, points=((1.0,), (8.0,), (0.9999999999,), (1e300,)), edges=(
        ((0.0,), -inf, (inf,)), ((2.0**-1074,), -1074.0, (inf,)), ((-1.0,), nan, (-1 / math.log(2),)), ((inf,), inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("log10", lambda x: mp.log(x) / mp.log(10), [(1e-150, 1e150)], (2, 2, 3), small=1e-150, points=((1.0,), (1000.0,), (0.9999999999,), (1e300,)), edges=(
        ((0.0,), -inf, (inf,)), ((1e15,), 15.0, (1 / (1e15 * math.log(10)),)), ((-1.0,), nan, (-1 / math.log(10),)), ((inf,), inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("exp2", lambda x: mp.mpf(2) ** x, [(-1000.0, 1023.0)], (1, 2, 3), points=((0.0,), (1e-17,), (-1022.0,)), edges=(
        ((10.0,), 1024.0, (1024.0 * math.log(2),)), ((1024.0,), inf, (inf,)), ((-inf,), 0.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("log1p", lambda x: mp.log(1 + x), [(-0.999, 1e150)], (1, 2, 2), points=((-1 + 2**-50,), (0.0,), (1e-17,), (-1e-17,), (5e-324,)), edges=(
        ((-1.0,), -inf, (inf,)), ((-2.0,), nan, (-1.0,)), ((inf,), inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("expm1", lambda x: mp.exp(x) - 1, [(-37.0, 709.7)], (1, 1, 1), points=((-700.0,), (0.0,), (1e-17,), (5e-324,)), edges=(
        ((710.0,), inf, (inf,)), ((-inf,), -1.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("sqrt", real(mp.sqrt), [(1e-100, 1e100)], (1, 2, 3), small=1e-100, points=((2.0,), (1e300,), (4.0,)), edges=(
        ((0.0,), 0.0, (inf,)), ((-1.0,), nan, (nan,)), ((inf,), inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("cbrt", lambda x: mp.sign(x) * mp.cbrt(abs(x)), [(-1e100, 1e100)], (3, 8, 14), small=1e-100, points=((27.0,), (-2.0,), (1e300,)), edges=(
        ((8.0,), 2.0, (1 / 12,)), ((0.0,), 0.0, (inf,)), ((inf,), inf, (0.0,)), ((-inf,), -inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("hypot", mp.hypot, [MEDIUM, MEDIUM], (1, 2, 4), small=1e-75, points=((3.0, 4.0), (1e200, 1e200), (1e-170, 1e-170)), edges=(
        ((0.0, 0.0), 0.0, (nan, nan)), ((0.0, -2.0), 2.0, (0.0, -1.0)), ((inf, 1.0), inf, (nan, 0.0)), ((1.5e308, 1.5e308), inf, (0.0, 0.0)), ((nan, 1.0), nan, (nan, nan)), ((1.0, nan), nan, (nan, nan)))),
    Case("sin", mp.sin, [ALL], points=((math.pi,), (1e22,), (0.0,), (5e-324,)), edges=(((inf,), nan, (nan,)), ((nan,), nan, (nan,)))),
    Case("cos", mp.cos, [ALL], points=((math.pi / 2,), (1e22,), (0.0,)), edges=(((-inf,), nan, (nan,)), ((nan,), nan, (nan,)))),
    Case("tan", mp.tan, [ALL], (1, 2, 2), points=((math.pi / 2,), (1e22,), (0.0,), (0.7,)), edges=(((inf,), nan, (nan,)), ((nan,), nan, (nan,)))),
    Case("asin", real(mp.asin), [(-1.0, 1.0)], (1, 2, 3), points=((1 - 2**-53,), (-1 + 2**-53,), (0.0,), (0.5,)), edges=(
        ((1.0,), math.pi / 2, (inf,)), ((-1.0,), -math.pi / 2, (inf,)), ((1.5,), nan, (nan,)), ((-inf,), nan, (nan,)), ((nan,), nan, (nan,)))),
    Case("acos", real(mp.acos), [(-1.0, 1.0)], (1, 2, 3), points=((1 - 2**-53,), (-1 + 2**-53,), (0.0,), (0.5,)), edges=(
        ((1.0,), 0.0, (-inf,)), ((-1.0,), math.pi, (-inf,)), ((-1.5,), nan, (nan,)), ((nan,), nan, (nan,)))),
    Case("atan", mp.atan, [MEDIUM], (1, 2, 3), points=((0.0,), (1.0,), (-1e70,)), edges=(
        ((inf,), math.pi / 2, (0.0,)), ((-inf,), -math.pi / 2, (0.0,)), ((nan,), nan, (nan,)))),
    Case("atan2", mp.atan2, [MEDIUM, MEDIUM], (1, 2, 3), small=1e-75, points=((0.0, 1.0), (1.0, -1e-20), (1e-20, -1.0)), edges=(
        ((1.0, 0.0), math.pi / 2, (0.0, -1.0)), ((0.0, -1.0), math.pi, (-1.0, 0.0)), ((0.0, 0.0), 0.0, (nan, nan)),
        ((nan, 1.0), nan, (nan, nan)), ((1.0, nan), nan, (nan, nan)))),
    Case("asinh", mp.asinh, [MEDIUM], (1, 2, 3), points=((0.0,), (1e-17,), (5e-324,), (1e9,), (-1e9,), (1e200,)), edges=(
        ((inf,), inf, (0.0,)), ((-inf,), -inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("acosh", real(mp.acosh), [(1.0, 1e75)], (1, 3, 4), points=((1 + 2**-52,), (2.0,), (1e300,)), small=1.0001, edges=(
        ((1.0,), 0.0, (inf,)), ((0.5,), nan, (nan,)), ((inf,), inf, (0.0,)), ((nan,), nan, (nan,)))),
    Case("atanh", real(mp.atanh), [(-1.0, 1.0)], (1, 2, 3), points=((1 - 2**-53,), (-1 + 2**-53,), (0.0,), (5e-324,)), edges=(
        ((1.0,), inf, (inf,)), ((-1.0,), -inf, (inf,)), ((1.5,), nan, (-0.8,)), ((nan,), nan, (nan,)))),
    Case("sinh", mp.sinh, [(-710.0, 710.0)], points=((0.0,), (1e-17,), (5e-324,)), edges=(
        ((711.0,), inf, (inf,)), ((-711.0,), -inf, (inf,)), ((-inf,), -inf, (inf,)), ((nan,), nan, (nan,)))),
    Case("cosh", mp.cosh, [(-710.0, 710.0)], points=((0.0,), (1e-17,)), edges=(
        ((711.0,), inf, (inf,)), ((-711.0,), inf, (-inf,)), ((nan,), nan, (nan,)))),
    Case("tanh", mp.tanh, [(-19.0, 19.0)], (1, 2, 2), points=((0.0,), (1e-300,), (300.0,), (-40.0,)), edges=(
        ((inf,), 1.0, (0.0,)), ((-inf,), -1.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("sigmoid", lambda x: 1 / (1 + mp.exp(-x)), [(-350.0, 36.0)], (2, 3, 4), points=((0.0,), (-705.0,), (-709.5,), (-740.0,), (60.0,)), edges=(
        ((-800.0,), 0.0, (0.0,)), ((inf,), 1.0, (0.0,)), ((-inf,), 0.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("relu", lambda x: max(x, mp.mpf(0)), [ALL], (0, 0, 0), points=((5e-324,), (-5e-324,)), edges=(
        ((0.0,), 0.0, (0.0,)), ((-0.0,), 0.0, (0.0,)), ((inf,), inf, (1.0,)), ((-inf,), 0.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("softplus", lambda x: mp.log(1 + mp.exp(x)), [(-350.0, 1e10)], (1, 3, 4), points=((0.0,), (-705.0,), (-740.0,), (1e300,)), small=1e-30, digits=1500, edges=(
        ((inf,), inf, (1.0,)), ((-inf,), 0.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("floor", mp.floor, [(-1e15, 1e15)], (0, 0, 0), points=((0.5,), (-0.5,), (2.0**51 + 0.5,), (-1e-300,)), edges=(
        ((2.0,), 2.0, (0.0,)), ((-0.0,), -0.0, (0.0,)), ((inf,), inf, (0.0,)), ((-inf,), -inf, (0.0,)), ((nan,), nan, (0.0,)))),
    Case("round", mp.nint, [(-1e15, 1e15)], (0, 0, 0), points=((0.4,), (-0.6,), (0.5 - 2**-54,), (2.0**51 + 0.25,)), edges=(
        ((0.5,), 0.0, (0.0,)), ((1.5,), 2.0, (0.0,)), ((-2.5,), -2.0, (0.0,)), ((inf,), inf, (0.0,)), ((-inf,), -inf, (0.0,)), ((nan,), nan, (0.0,)))),
    Case("abs", abs, [ALL], (0, 0, 0), points=((5e-324,), (-5e-324,)), edges=(
        ((0.0,), 0.0, (0.0,)), ((-0.0,), 0.0, (0.0,)), ((-inf,), inf, (-1.0,)), ((nan,), nan, (nan,)))),
    Case("sign", mp.sign, [ALL], (0, 0, 0), edges=(((0.0,), 0.0, (0.0,)), ((-inf,), -1.0, (0.0,)), ((nan,), nan, (0.0,)))),
    Case("step", lambda x: mp.mpf(x > 0), [ALL], (0, 0, 0), edges=(((0.0,), 0.0, (0.0,)), ((inf,), 1.0, (0.0,)), ((nan,), nan, (0.0,)))),
    Case("maximum", max, [ALL, ALL], (0, 0, 0), points=((1.0, 1.0 + 2**-52),), edges=(
        ((2.0, 2.0), 2.0, (0.5, 0.5)), ((0.0, -0.0), 0.0, (0.5, 0.5)), ((inf, inf), inf, (0.5, 0.5)), ((inf, 1.0), inf, (1.0, 0.0)),
        ((nan, 1.0), nan, (nan, nan)), ((1.0, nan), nan, (nan, nan)))),
    Case("minimum", min, [ALL, ALL], (0, 0, 0), points=((1.0, 1.0 + 2**-52),), edges=(
        ((2.0, 2.0), 2.0, (0.5, 0.5)), ((0.0, -0.0), 0.0, (0.5, 0.5)), ((-inf, 1.0), -inf, (1.0, 0.0)),
        ((nan, 1.0), nan, (nan, nan)), ((1.0, nan), nan, (nan, nan)))),
    Case("erf", mp.erf, [(-26.0, 26.0)], (1, 2, 2), points=((0.0,), (1e-30,), (26.5,)), small=1e-30, digits=1000, edges=(
        ((inf,), 1.0, (0.0,)), ((-inf,), -1.0, (0.0,)), ((1e200,), 1.0, (0.0,)), ((nan,), nan, (nan,)))),
    Case("erfc", mp.erfc, [(-26.0, 26.0)], (3, 2, 2), points=((0.0,), (1e-30,), (26.5,)), small=1e-30, digits=1000, javascript=128, edges=(
        ((inf,), 0.0, (-0.0,)), ((-inf,), 2.0, (-0.0,)), ((1e200,), 0.0, (-0.0,)), ((nan,), nan, (nan,)))),
    Case("greater", lambda x, y: mp.mpf(x > y), [ALL, ALL], (0, 0, 0), edges=(
        ((1.0, 1.0), 0.0, (0.0, 0.0)), ((inf, 1.0), 1.0, (0.0, 0.0)), ((nan, 1.0), nan, (0.0, 0.0)), ((1.0, nan), nan, (0.0, 0.0)))),
    Case("less", lambda x, y: mp.mpf(x < y), [ALL, ALL], (0, 0, 0), edges=(
        ((1.0, 1.0), 0.0, (0.0, 0.0)), ((-inf, 1.0), 1.0, (0.0, 0.0)), ((nan, 1.0), nan, (0.0, 0.0)), ((1.0, nan), nan, (0.0, 0.0)))),
    Case("equal", lambda x, y: mp.mpf(x == y), [ALL, ALL], (0, 0, 0), points=((1.0, 1.0 + 2**-52),), edges=(
        ((1.0, 1.0), 1.0, (0.0, 0.0)), ((0.0, -0.0), 1.0, (0.0, 0.0)), ((inf, inf), 1.0, (0.0, 0.0)), ((nan, nan), nan, (0.0, 0.0)), ((nan, 1.0), nan, (0.0, 0.0)))),
    Case("where", lambda c, a, b: a if c > 0 else b, [ALL, ALL, ALL], (0, 0, 0), edges=(
        ((0.0, 2.0, 3.0), 3.0, (0.0, 0.0, 1.0)), ((1.0, 2.0, nan), 2.0, (0.0, 1.0, 0.0)), ((-1.0, inf, 3.0), 3.0, (0.0, 0.0, 1.0)),
        ((nan, 2.0, 3.0), nan, (0.0, nan, nan)))),
    Case("sum", lambda *xs: mp.fsum(xs), [ALL] * 5, (4, 0, 0), points=((1e16, 1.0, -1e16), (0.1,) * 10, (1.0,)), edges=(
        ((inf, -inf, 1.0), nan, (1.0, 1.0, 1.0)), ((0.1, nan), nan, (1.0, 1.0)))),
    Case("dot", dotted, [MEDIUM] * 7, (4, 0, 0), points=((3.0,), (2.0, 3.0, 4.0), (0.1, 0.2, 0.3, -0.1, 0.7, 0.9, 1e-3)), edges=(
        ((inf, 0.0, 1.0), nan, (0.0, inf, 1.0)), ((2.0, nan, 1.0), nan, (nan, 2.0, 1.0)))),
    Case("take", lambda i, *xs: xs[int(mp.nint(i))], [(0, 2), ALL, ALL, ALL], (0, 0, 0), points=((0.0, 0.1, 0.2), (2.0, 0.1, 0.2, 0.3)), edges=(
        ((1.0, nan, 2.0), 2.0, (0.0, 0.0, 1.0)), ((0.0, nan, 2.0), nan, (0.0, 1.0, 0.0)), ((0.5, 1.0, 2.0), nan, (0.0, 0.0, 0.0)), ((nan, 1.0, 2.0), nan, (0.0, nan, nan)))),
    Case("logsumexp", log_sum_exp, [(-300.0, 300.0)] * 4, (2, 4, 6), points=(
        (0.0,), (7.0,), (1e5, 1e5), (-1e5, -1e5 + 1), (0.0, 0.0, 0.0), (1.0, -40.0)), small=1e-10, digits=400, edges=(
        ((-inf, 0.0), 0.0, (0.0, 1.0)), ((1e308, 0.0), 1e308, (1.0, 0.0)), ((inf, 0.0), inf, (nan, 0.0)),
        ((-inf, -inf), -inf, (nan, nan)), ((nan, 1.0), nan, (nan, nan)), ((inf, nan), nan, (nan, nan)))),
]

# Where a partial has saturated, as said beside its row: it is exactly `plateau` at the first point and not yet at the second.
SATURATION = [
    # name      flat at   not yet at  plateau
    ("tanh",     19.1,     19.0,     0.0),
    ("tanh",    -19.1,    -19.0,     0.0),
    ("sigmoid",  36.8,     36.7,     0.0),
    ("softplus", 36.8,     36.7,     1.0),
    ("expm1",   -37.5,    -37.3,     0.0),
    ("erf",      27.3,     27.2,     0.0),
    ("erf",     -27.3,    -27.2,     0.0),
    ("erfc",     27.3,     27.2,     0.0),
    ("erfc",    -27.3,    -27.2,     0.0),
]
# fmt: on

# A row for which a mistake of one part in 2^40 shows in the listed and a few random points: all of them.
MISTAKE = 2.0**-40

each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def points(case: Case, n: int) -> list[tuple[float, ...]]:
    """The listed points and `n` random ones, half of them of order one, half of every magnitude."""
    rng = random.Random(case.name)

    def draw(low: float, high: float) -> float:
        if isinstance(low, int):
            return float(rng.randint(low, int(high)))
        if rng.random() < 0.5:
            return rng.uniform(max(low, -8.0), min(high, 8.0))
        bound = high if low >= 0.0 or rng.random() < 0.5 else low
        return math.copysign(math.exp(rng.uniform(math.log(case.small), math.log(abs(bound)))), bound)

    return [*case.points, *(tuple(draw(*interval) for interval in case.domain) for _ in range(n))]


def derivative(f, i):
    """∂f/∂xᵢ by a central difference in mpmath's arithmetic, on a step so small that hundreds of digits are right."""

    def on_args(*args):
        h = min(abs(args[i]) or 1, mp.mpf(1)) * mp.mpf(10) ** (-mp.dps // 5)
        above, below = ([*args[:i], args[i] + step, *args[i + 1 :]] for step in (h, -h))
        return (f(*above) - f(*below)) / (2 * h)

    return on_args


def faults(rule: Primitive, case: Case, n: int) -> list[str]:
    """What is wrong with `rule`, by the truth that `case` tells: value, first and second derivatives."""
    found = []

    def check(what: str, got: Value, truth: Any, allowed: float) -> None:
        distance = off(got.data, truth, largest_intermediate(got))
        if not distance <= allowed:
            found.append(f"{what} is {got.data}, in truth {mp.nstr(truth, 20)}: {distance:.3g} ulps, {allowed} allowed")

    for point in points(case, n):
        exact = [mp.mpf(x) for x in point]
        xs = [Value(x) for x in point]
        out = rule(*xs)
        distance = off(out.data, case.truth(*exact), largest_term(rule, point))
        if not distance <= case.ulps[0]:
            found.append(f"{case.name}{point} is {out.data}: {distance:.3g} ulps, {case.ulps[0]} allowed")
        first = adjoints(out, wrt=xs, create_graph=True)
        for i, x in enumerate(xs):
            check(f"∂{case.name}{point}/∂{i}", first[x], derivative(case.truth, i)(*exact), case.ulps[1])
            second = adjoints(first[x], wrt=xs, create_graph=True)
            for j, y in enumerate(xs):
                truth = derivative(derivative(case.truth, i), j)(*exact)
                check(f"∂²{case.name}{point}/∂{i}∂{j}", second[y], truth, case.ulps[2])
    return found


def largest_term(rule: Primitive, point: tuple[float, ...]) -> float | None:
    """The largest number that an n-ary row can meet on the way to its value; None for the others, where it is the value."""
    n = len(point) // 2
    if rule.name == "logsumexp":
        return max(map(abs, point)) + math.log(len(point))
    terms = [point[-1], *map(operator.mul, point[:n], point[n:-1])] if rule.name == "dot" else point
    return math.fsum(map(abs, terms)) if rule.variadic else None


def same(a: float, b: float) -> bool:
    return a == b or (a != a and b != b)


def test_every_primitive_has_a_row_of_cases():
    assert sorted(case.name for case in CASES) == sorted(primitives._BUILT_IN)


@each
def test_value_and_derivatives_are_right_to_the_stated_ulps(case):
    with mp.workdps(case.digits):
        found = faults(case.rule, case, 12)
    assert not found, "\n".join(found)


def wrong(rule: Primitive, where: int) -> Primitive:
    """`rule` with a small mistake in its value (where = -1) or in the partial derivative number `where`."""

    def off_by_a_little(partial):
        if callable(partial):
            return lambda *args: partial(*args) * (1 + MISTAKE)
        return partial + MISTAKE

    def off_in_one(args, out):
        return tuple(
            (d * (1 + MISTAKE) if d != 0.0 else MISTAKE) if i == where else d for i, d in enumerate(rule.partials(args, out))
        )

    value, partials = rule.value, rule.partials
    if where == -1:
        value = lambda *args: rule.on_floats(args) * (1 + MISTAKE) or MISTAKE  # noqa: E731
    elif rule.variadic:
        partials = off_in_one
    else:
        partials = tuple(off_by_a_little(p) if i == where else p for i, p in enumerate(partials))
    return Primitive(rule.name, rule.written, value, partials, rule.beyond, rule.variadic)


@each
def test_a_planted_mistake_is_found_in_every_value_and_every_partial(case):
    few = replace(case, points=case.points[:1])
    with mp.workdps(case.digits):
        for where in range(-1, len(case.domain)):
            assert faults(wrong(case.rule, where), few, 3), f"mistake number {where} goes unnoticed"


def test_a_partial_that_is_right_but_no_graph_is_found():
    tanh, case = RULES["tanh"], next(case for case in CASES if case.name == "tanh")
    frozen = Primitive("tanh", "tanh(x)", tanh.value, (lambda x, out: 1 - float(out) * float(out),), tanh.beyond, False)
    with mp.workdps(case.digits):
        found = faults(frozen, replace(case, points=()), 5)
    assert found and all(line.startswith("∂²") for line in found)


EDGES = [pytest.param(case.rule, *edge, id=f"{case.name}{edge[0]}") for case in CASES for edge in case.edges]


@pytest.mark.parametrize("rule, args, value, partials", EDGES)
def test_at_kinks_poles_and_infinities_the_convention_holds_exactly(rule, args, value, partials):
    assert same(rule(*args), value)
    node = rule(*map(Value, args))
    assert same(node.data, value)
    assert len(node.partials) == len(partials) and all(map(same, node.partials, partials)), node.partials


@each
def test_floats_graphs_and_recorded_partials_are_the_same_bits(case):
    edges = [edge[0] for edge in case.edges]
    for point in [*points(case, 20), *edges]:
        xs = [Value(x) for x in point]
        out = case.rule(*xs)
        assert same(case.rule(*point), out.data)
        recorded, graph = adjoints(out), adjoints(out, create_graph=True)
        assert all(map(same, out.partials, (recorded[x] for x in xs))), point
        assert all(map(same, out.partials, (graph[x].data for x in xs))), point


@each
def test_nan_in_gives_nan_out_in_value_and_gradient(case):
    if case.name in ("where", "take"):
        return  # they choose; a nan that is not chosen does no harm (their edges say what happens)
    for i in range(len(case.domain)):
        args = [Value(nan if j == i else 0.5) for j in range(len(case.domain))]
        node = case.rule(*args)
        assert node.data != node.data
        if any(adjoints(node, wrt=args, create_graph=True)[x].parents for x in args):  # else the gradient is a number
            gradient = adjoints(node)
            assert any(gradient[x] != gradient[x] for x in args), f"no partial is nan where argument {i} is"


@pytest.mark.parametrize("name, flat, not_yet, plateau", SATURATION)
def test_partials_saturate_where_the_row_says_so(name, flat, not_yet, plateau):
    assert RULES[name](Value(flat)).partials == (plateau,)
    assert RULES[name](Value(not_yet)).partials != (plateau,)


def test_every_saturation_said_beside_a_row_is_tested():
    with open(primitives.__file__, encoding="utf-8") as file:
        said = {line.split('"')[1] for line in file if "primitive(" in line and (" flat " in line or "exactly 1" in line)}
    assert said == {name for name, *_ in SATURATION}


def test_the_partials_of_arctangents_hold_wherever_their_results_do():
    """At operands of any size, whose squares may over- or underflow."""
    rng = random.Random(13)
    for _ in range(2000):
        y, x = (rng.choice((-1, 1)) * 10.0 ** rng.uniform(-307, 307) for _ in "yx")
        with mp.workdps(50):
            a, b = mp.mpf(y), mp.mpf(x)
            wanted = [b / (a * a + b * b), -a / (a * a + b * b), 1 / (1 + a * a)]
            for got, truth in zip(
                (*RULES["atan2"](Value(y), Value(x)).partials, *RULES["atan"](Value(y)).partials), wanted, strict=True
            ):
                assert off(got, truth) <= 4, (y, x, got)


# What the book gives besides its rows.


def test_where_with_a_plain_condition_chooses_at_once():
    a, b = Value(2.0), Value(3.0)
    assert micrograd.where(True, a, b) is a
    assert micrograd.where(0.0, a, b) is b
    assert micrograd.where(np.float64(2.0), a, b) is a
    assert micrograd.where(np.True_, a, b) is a
    assert math.isnan(micrograd.where(nan, a, b))


def test_where_with_a_value_is_part_of_the_graph():
    c, a, b = Value(1.0), Value(2.0), Value(3.0)
    out = micrograd.where(c, a, b)
    assert out.parents == (c, a, b)
    c.data = -1.0
    assert out.recompute().data == 3.0


def test_take_is_an_element():
    xs = [Value(1.0), Value(2.0)]
    assert micrograd.take(xs, 1) is xs[1]


@pytest.mark.parametrize("n", [1, 2, 3, 10, 100])
def test_sum_and_dot_add_from_left_to_right_in_one_node(n):
    rng = random.Random(n)
    xs, ys = ([rng.uniform(-1, 1) for _ in range(n)] for _ in range(2))
    total, product = 0.0, 0.25
    for x, y in zip(xs, ys, strict=True):
        total, product = total + x, product + x * y
    assert micrograd.sum(map(Value, xs)).data == micrograd.sum(xs) == total
    node = micrograd.dot(map(Value, xs), ys, start=0.25)
    assert node.data == micrograd.dot(xs, ys, 0.25) == product
    assert [p.data for p in node.parents] == [*xs, *ys, 0.25]
    assert node.partials == (*ys, *xs, 1.0)


def test_sums_of_nothing():
    assert micrograd.sum([]) == 0.0 and micrograd.sum([], 2.5) == 2.5
    b = Value(0.0)  # a start that is a Value counts, whatever it holds: sum(products, self.b) as Python's own
    total = micrograd.sum((v * 2.0 for v in (Value(1.0), Value(3.0))), b)
    total.backward()
    assert total.data == 8.0 and b.grad == 1.0 and len(total.parents) == 3
    assert len(micrograd.sum([Value(1.0)], 0).parents) == 1
    assert micrograd.dot([], []) == 0.0
    start = Value(2.0)
    assert micrograd.dot([], [], start).data == 2.0
    with pytest.raises(ValueError, match="logsumexp needs at least one value"):
        micrograd.logsumexp([])


def test_dot_refuses_two_lengths():
    with pytest.raises(ValueError, match="one length, got 2 and 3"):
        micrograd.dot([1.0, 2.0], [Value(1.0)] * 3)


def test_a_partial_is_evaluated_only_where_it_is_needed():
    def never(*_):
        raise AssertionError("evaluated")

    rule = Primitive("half_known", "half_known(x, y)", lambda x, y: x * y, (lambda x, y, out: y, never), None, False)
    x = Value(3.0)
    for other in (2, 2.0, np.float64(2.0), constant(2.0)):
        assert adjoints(rule(x, other))[x] == 2.0
        assert adjoints(rule(x, other), wrt=[x], create_graph=True)[x].data == 2.0
    base = Value(-2.0)
    for exponent in (3, 3.0, constant(3.0)):
        assert (base**exponent).partials == (12.0, 0.0)


# number(): what may stand in for a float, and what may not.


@pytest.mark.parametrize("x", [2, 2.0, True, Fraction(1, 2), np.float32(0.5), np.int64(3), np.True_, np.float16(0.1), 2**60])
def test_numbers_are_accepted_and_become_floats(x):
    for out in (Value(x), Value(1.0) * x, x * Value(1.0), micrograd.maximum(Value(-1e300), x)):
        assert type(out.data) is float and out.data == float(x)


@pytest.mark.parametrize(
    "x, given, advice",
    [
        ("3.5", "got str '3.5'", r"float\(\)"),
        (None, "got NoneType", "pass an int, a float or a Value"),
        (1 + 2j, r"got complex \(1\+2j\)", r"take its .real, .imag or abs\(\)"),
        (np.ones((2, 3)), r"got ndarray of shape \(2, 3\)", "a Value is one number"),
        (Value(1.0), "got Value Value", "a Value cannot hold a Value"),
        ([1.0], r"got list \[1.0\]", "pass an int, a float or a Value"),
    ],
)
def test_what_is_no_number_is_refused_with_advice(x, given, advice):
    for make in (Value, constant):
        with pytest.raises(TypeError, match=f"expected a number, {given}.*{advice}"):
            make(x)


@pytest.mark.parametrize("x", ["3.5", None, 1 + 2j, [1.0], object()])
def test_operators_refuse_what_is_no_number(x):
    for f in (
        lambda: Value(1.0) + x,
        lambda: x / Value(1.0),
        lambda: Value(2.0) ** x,
        lambda: micrograd.dot([Value(1.0)], [x]),
    ):
        with pytest.raises(TypeError, match="expected a number, got"):
            f()


def test_an_integer_too_large_for_a_float_says_so():
    with pytest.raises(OverflowError, match="too large"):
        Value(1.0) + 10**400


# A primitive of one's own.


@pytest.fixture
def book():
    """The rule book, as it was, after the test."""
    before = dict(RULES)
    yield RULES
    RULES.clear()
    RULES.update(before)


def test_a_primitive_of_ones_own_works_everywhere(book):
    cube = primitive("cube", "cube(x)", lambda x: x * x * x, lambda x, out: 3 * x * x)
    x = Value(2.0)
    out = cube(x) * 2.0
    first = adjoints(out, create_graph=True)[x]
    assert (cube(2.0), out.data, adjoints(out)[x], first.data, adjoints(first)[x]) == (8.0, 16.0, 24.0, 24.0, 24.0)
    case = Case("cube", lambda x: x**3, [(-1e50, 1e50)], (1, 2, 2))
    with mp.workdps(case.digits):
        assert not faults(cube, case, 5)


def test_a_primitive_of_three_arguments_and_one_of_any_number(book):
    fma = primitive("fma", "fma(x, y, z)", lambda x, y, z: x * y + z, lambda x, y, z, out: y, lambda x, y, z, out: x, 1.0)
    xs = [Value(2.0), Value(3.0), Value(4.0)]
    assert fma(*xs).partials == (3.0, 2.0, 1.0)
    norm1 = primitive(
        "norm1", "norm1(xs)", lambda *xs: math.fsum(map(abs, xs)), lambda xs, out: [*map(micrograd.sign, xs)], variadic=True
    )
    assert norm1(*xs, -5.0).partials == (1.0, 1.0, 1.0, -1.0)


def test_a_bad_primitive_is_refused(book):
    with pytest.raises(ValueError, match="'tanh' is a built-in primitive; choose another name"):
        primitive("tanh", "tanh(x)", math.tanh, lambda x, out: 1 - out * out)
    with pytest.raises(ValueError, match="needs one partial derivative per argument"):
        primitive("nothing", "nothing(x)", math.tanh)
    with pytest.raises(TypeError, match="expected a number, got str 'x'"):
        primitive("strange", "strange(x)", math.tanh, "x")
    root = primitive("root", "root(x)", lambda x: x**0.5, lambda x, out: 0.5 / out)
    assert root(Value(4.0)).partials == (0.25,)
    with pytest.raises(TypeError, match=r"expected a number, got complex .*Values are real"):
        root(Value(-4.0))
    count = primitive("count", "count(x)", lambda x: 1, 0)
    assert type(count(Value(2.0)).data) is type(count(Value(2.0)).partials[0]) is float
    with pytest.raises(TypeError, match=r"root\(x\) takes 1 arguments, got 2"):
        root(Value(1.0), 2.0)
    with pytest.raises(ValueError, match="'constant' is a built-in primitive"):
        primitive("constant", "constant(x)", lambda x: x, 1.0)
    with pytest.raises(KeyError, match="no primitive is called 'nothing'"):
        primitives.rule("nothing")


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_a_primitive_gives_one_partial_per_argument(book, count):
    total = primitive("total", "total(xs)", lambda *xs: math.fsum(xs), lambda xs, out: [1.0] * count, variadic=True)
    with pytest.raises(TypeError, match=rf"total\(xs\) needs one partial derivative per argument: got {count} for 3"):
        total(*map(Value, (1.0, 2.0, 3.0)))
    assert total(1.0, 2.0, 3.0) == 6.0  # numbers alone need no derivative


def test_partials_of_a_primitive_of_ones_own_are_real_numbers(book):
    power = primitive("power", "power(x)", lambda x: x * x, lambda x, out: 2 * (x - 2) ** 0.5)
    both = primitive("both", "both(xs)", lambda *xs: sum(xs), lambda xs, out: (1, (xs[0] - 2) ** 0.5), variadic=True)
    for out in (lambda: power(Value(1.0)), lambda: both(Value(1.0), Value(2.0))):
        with pytest.raises(TypeError, match=r"expected a number, got complex .*Values are real"):
            out()
    assert [type(d) for d in both(Value(6.0), 1.0).partials] == [float, float]
    x = Value(6.0)
    first = adjoints(both(x, x), create_graph=True)[x]  # on Values, a partial is a graph
    assert (first.data, adjoints(first)[x]) == (3.0, 0.25)


def test_public_names_are_the_rows_and_nothing_is_hidden():
    public = {name for name in primitives._BUILT_IN if name not in ("add", "sub", "mul", "div", "neg", "mod", "floordiv")}
    assert public <= set(micrograd.__all__) and all(hasattr(micrograd, name) for name in micrograd.__all__)
