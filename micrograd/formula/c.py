"""The rule book's values in C: `x + y`, `x <= 0.0 ? 0.0 : x`, with nothing but math.h.

`symbol` comes before. Each row is spelled once, as in every back end, so that it gives the bits of the rule book's own value on
floats. A user-defined row is written if its value is a formula.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from inspect import unwrap

from micrograd.formula.symbol import Symbol
from micrograd.primitives import Primitive

_VALUES = {  # of operands that are names or numbers
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "abs": "fabs({0})",
    "mod": "mod({0}, {1})",
    "floordiv": "floordiv({0}, {1})",
    "digamma": "polygamma(0.0, {0})",
    "polygamma": "polygamma({0}, {1})",
    "direction": "direction({0}, {1})",
    "exp_minus_square": "exp_minus_square({0})",
    "inverted": "inverted({0}, {1})",
    "ndtr": "ndtr({0})",
    "power_less": "power_less({0}, {1}, {2}, {3}, 1.0)",
    "power_log": "{2} >= 0.0 ? power_less({0}, {1}, {2}, {3}, log({2})) : NAN",
    "floor": "floor({0})",
    "round": "rint({0})",
    "sigmoid": "isinf(exp(-{0})) ? exp({0}) : 1.0 / (1.0 + exp(-{0}))",
    "relu": "{0} <= 0.0 ? 0.0 : {0}",
    "softplus": "(0.0 > {0} ? 0.0 : {0}) + log1p(exp(-fabs({0})))",
    "sign": "{0} > 0.0 ? 1.0 : {0} < 0.0 ? -1.0 : {0}",
    "step": "{0} > 0.0 ? 1.0 : {0} <= 0.0 ? 0.0 : {0}",
    "maximum": "{0} >= {1} ? {0} : {1} > {0} ? {1} : NAN",
    "minimum": "{0} <= {1} ? {0} : {1} < {0} ? {1} : NAN",
    "greater": "{0} > {1} ? 1.0 : {0} <= {1} ? 0.0 : NAN",
    "less": "{0} < {1} ? 1.0 : {0} >= {1} ? 0.0 : NAN",
    "equal": "{0} == {1} ? 1.0 : {0} < {1} || {0} > {1} ? 0.0 : NAN",
    "where": "{0} > 0.0 ? {1} : {0} <= 0.0 ? {2} : NAN",
}
FUNCTIONS = {  # C functions for rows that take more than one expression; each stands below those that it calls
    "mod": """\
static double mod(double x, double y) {
    double r = fmod(x, y);
    return r == 0.0 ? copysign(0.0, y) : (r < 0.0) != (y < 0.0) ? r + y : r;
}
""",
    "floordiv": """\
static double floordiv(double x, double y) {
    double r = fmod(x, y), q = (x - r) / y, low;
    if (y == 0.0 || r != r) return y == 0.0 ? x / y : NAN;
    if (r != 0.0 && (r < 0.0) != (y < 0.0)) q -= 1.0;
    low = floor(q);
    return q == 0.0 ? copysign(0.0, x / y) : q - low > 0.5 ? low + 1.0 : low;
}
""",
    "scaled": """\
static double scaled(double x, double y) {
    double most = fmax(fabs(x), fabs(y));
    return most > 0x1p510 ? 0x1p-514 : most < 0x1p-510 ? 0x1p600 : 1.0;
}
""",
    "direction": """\
static double direction(double x, double y) {
    double s = scaled(x, y), a = x * s, b = y * s;
    return a / sqrt(a * a + b * b);
}
""",
    "inverted": """\
static double inverted(double x, double y) {
    double s = scaled(x, y), a = x * s, b = y * s;
    return a / (a * a + b * b) * s;
}
""",
    "exp_minus_square": """\
static double exp_minus_square(double x) {
    double size = fabs(x) > 28.0 ? 28.0 : fabs(x), square = size * size, large = size * 134217729.0;
    double high = large - (large - size), low = size - high, out = exp(-square);
    return out - out * (high * high - square + 2.0 * high * low + low * low);
}
""",
    "ndtr": """\
static double ndtr(double x) {
    double size = x > 40.0 ? 40.0 : x < -40.0 ? -40.0 : x, z = size * 0.7071067811865476, large = size * 134217729.0;
    double high = large - (large - size), low = size - high, rest, half;
    rest = high * 0.7071067839860916 - z - high * 2.7995440410322203e-09 + low * 0.7071067839860916;
    rest = rest - low * 2.7995440410322203e-09 - size * 4.833646656726457e-17;
    half = 0.5 * erfc(-z);
    return half + half * ((sqrt(z * z + 2.0) - z) * rest);
}
""",
    "power_less": """\
static double power_less(double n, double c, double x, double y, double by) {
    double less = y - n, took = less - y, rest = y - (less - took) - (n + took), size = fabs(x), by_log = log(size);
    int ordinary = fabs(y) <= 16.0 && fmod(y * 4.0, 1.0) == 0.0;
    double part = !ordinary && fabs(less * by_log) > 650.0 ? 0.5 : 1.0, out = pow(size, less * part), all;
    if (c != c || out != out || less != less || (x < 0.0 && x > -INFINITY && !(fmod(y, 1.0) == 0.0))) return NAN;
    if (fabs(rest) > 0.0 && out > 0.0 && out < INFINITY) out *= 1.0 + rest * part * by_log;
    if (part != 1.0) c *= out;
    if (signbit(x) && fmod(y, 1.0) == 0.0 && (fmod(y, 2.0) == 0.0) != (fmod(n, 2.0) == 0.0)) c = -c;
    all = c * (out * by);
    return all == all || (part == 1.0 && out > 0.0 && out < INFINITY) ? all : 0.0;
}
""",
    "polygamma": """\
static double polygamma_by(double n, double x, double by) {
    static const double b[] = {
        1.0 / 6, -1.0 / 30, 1.0 / 42, -1.0 / 30, 5.0 / 66, -691.0 / 2730, 7.0 / 6, -3617.0 / 510, 43867.0 / 798};
    double sign = fmod(n, 2.0) == 0.0 ? -1.0 : 1.0, y, factor, series = 0.0, total;
    int count;
    if (!(n >= 0.0 && n <= 170.0) || n != floor(n) || x != x || x == -INFINITY) return NAN;
    if (x <= 0.0 && x == floor(x)) return sign > 0.0 ? INFINITY : x ? NAN : -copysign(INFINITY, x);
    if (x < 0.0) {
        double beside = x - rint(x), near = polygamma_by(n, fabs(beside), 0.125);
        double far = polygamma_by(n, 1.0 - fabs(beside), 0.125);
        total = near + sign * far;
        if (total != total) total = fabs(beside) < 0.5 ? near : 0.0;
        return ((beside > 0.0 ? total : sign * total) - sign * polygamma_by(n, 1.0 - x, 0.125)) * 8.0;
    }
    count = x > n + 12.0 ? 0 : (int)ceil(n + 12.0 - x);
    y = x + count;
    factor = (n + 1.0) / 2.0 / (y * y);
    for (int k = 1; k <= 9; k++) {
        series += b[k - 1] * factor;
        factor *= (2 * k + n) * (2 * k + n + 1) / ((2 * k + 1) * (2 * k + 2)) / (y * y);
    }
    series += 0.5 / y;
    total = n ? 1.0 / n + series : series;
    if (count) total *= pow(x / y, n);
    for (int k = count - 1; k >= 0; k--) total += pow(x / (x + k), n) / (x + k);
    total *= by;
    for (int k = 1; k <= n; k++) total *= k / x;
    return n ? sign * total : by * log(y) - total;
}
static double polygamma(double n, double x) {
    return polygamma_by(n, x, 1.0);
}
""",
    "logsumexp": """\
static double logsumexp(int n, const double *xs) {
    double top = xs[0], others = 0.0, ties = 0.0;
    int broken = xs[0] != xs[0];
    for (int i = 1; i < n; i++) {
        if (xs[i] > top) top = xs[i];
        broken |= xs[i] != xs[i];
    }
    if (isinf(top)) return broken ? NAN : top;
    for (int i = 0; i < n; i++)
        if (xs[i] == top) ties += 1.0;
        else others += exp(xs[i] - top);
    return top + log1p(others + (ties - 1.0));
}
""",
    "norm": """\
static double norm(int n, const double *xs) {
    double top = 0.0, total = 0.0, s;
    for (int i = 0; i < n; i++) top = fmax(top, fabs(xs[i]));
    s = top > 0x1p480 ? 0x1p-600 : top < 0x1p-480 ? 0x1p600 : 1.0;
    for (int i = 0; i < n; i++) total += (xs[i] * s) * (xs[i] * s);
    return sqrt(total) / s;
}
""",
    "take": """\
static double take(double i, int n, const double *xs) {
    return i >= 0.0 && i < n && i == floor(i) ? xs[(int)i] : NAN;
}
""",
}


def number(x: float) -> str:
    """The number, exactly, as C reads it."""
    return "NAN" if x != x else ("-" if x < 0 else "") + "INFINITY" if math.isinf(x) else repr(float(x))


def spelled(rule: Primitive, operands: Sequence[str]) -> str:
    """The expression for a primitive on operands that are names or numbers. ValueError where it cannot be written."""
    held = [f"({x})" if x.startswith("-") else x for x in operands]
    if rule.name == "sum":
        return " + ".join(held)
    if rule.name == "dot":
        n = len(held) // 2
        return " + ".join([held[-1], *[f"{x} * {y}" for x, y in zip(held[:n], held[n:-1], strict=True)]])
    if rule.name in ("logsumexp", "norm"):
        return f"{rule.name}({len(held)}, (const double[]){{{', '.join(operands)}}})"
    if rule.name == "take":
        return f"take({operands[0]}, {len(held) - 1}, (const double[]){{{', '.join(operands[1:])}}})"
    if rule.in_math:
        return f"{rule.name}({', '.join(operands)})"
    if rule.name in _VALUES:
        return _VALUES[rule.name].format(*held)
    try:  # a user-defined row: its value on floats, called on symbols
        made = unwrap(rule.value)(*[Symbol(math.nan, x) for x in held])
    except Exception:
        made = None
    if isinstance(made, Symbol) and made.rule is not None and made.rule is not rule:
        return _formula(made)
    raise ValueError(f"{rule.name!r} cannot be written in C: give its value as a formula of operators and functions of math.h")


def _formula(s: Symbol) -> str:
    if s.rule is None:
        return str(s.name) if s.name is not None else number(s.number)
    return spelled(s.rule, [x if a.rule is None else f"({x})" for a in s.args for x in [_formula(a)]])
