"""The rule book: every operation, its value on floats, and its local partial derivatives.

This module comes first: it knows nothing of graphs. `engine` applies the rules to Values, `explain` to symbols, and the
tape's back ends spell the values for the machine. Every derivative of the project stands here, once.

A row reads `name, how it is written, value on floats, one partial derivative per argument`. A partial is a function
of the arguments and the output `out`, or a number if it is constant. It uses only operators and other primitives,
so the same lambda gives a float on floats, a graph on Values and a formula on symbols. If `math` or an operator of
Python raises, `beyond` gives the answer of IEEE 754 (by default nan), so the usual case costs nothing.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from micrograd import floats
from micrograd.elementwise import entry, is_many, listed, or_each
from micrograd.floats import number as number

if TYPE_CHECKING:  # for type checkers only: the rule book itself stands alone
    from micrograd.engine.value import Value
    from micrograd.signatures import Binary, Number, Ternary, Unary

A = TypeVar("A")
B = TypeVar("B")
inf, nan = math.inf, math.nan


class Primitive:
    """One row of the rule book. It gives a float for floats, a node of the graph for Values, lists and arrays for such.

    `partials` has one entry per argument, a number or a function of the arguments and the output; in a variadic row it
    is a single function `(args, out) -> tuple` of all of them. In a row that `chooses`, as where() does, an argument whose
    partial is exactly 0 was not chosen: nothing flows back to it. A row that a user wrote is `own`: its partials may compare
    numbers.
    """

    __slots__ = ("beyond", "chooses", "name", "own", "partials", "takes", "value", "variadic", "written")
    compiled = False  # whether compiled code computes its numbers, so that its graph on Values may round differently

    def __init__(self, name: str, written: str, value: Callable[..., float], partials: Any, beyond: Any, variadic: bool):
        self.name, self.written, self.value = name, written, value
        self.partials, self.beyond, self.variadic = partials, beyond, variadic
        self.chooses, self.own, self.takes = False, False, 0 if variadic else len(partials or ())  # 0: any number of arguments

    def __call__(self, *args: Any) -> Any:
        if len(args) != self.takes and self.takes:
            raise TypeError(f"{self.written} takes {self.takes} argument{'s' * (self.takes > 1)}, got {len(args)}")
        for x in args:
            if x.__class__ is not float:
                for y in args:
                    if apply := getattr(type(y), "__primitive__", None):
                        return apply(self, args)
                return or_each(lambda row, xs: row.on_floats([number(x) for x in xs]), self, args)
        try:  # as on_floats(), without another call: partials come here
            return self.value(*args)
        except (ArithmeticError, ValueError):
            return float(self.beyond(*args))

    def on_floats(self, args: Sequence[float]) -> float:
        """The value on floats; that of IEEE 754 if Python's own operators or `math` raise an error."""
        try:
            return self.value(*args)
        except (ArithmeticError, ValueError):
            return float(self.beyond(*args))

    @property
    def in_math(self) -> bool:
        """Whether the value is the function of this name in `math`, which other languages call the same."""
        return self.value is getattr(math, self.name, None)

    @property
    def is_flat(self) -> bool:
        """Whether the value is constant but for jumps: each partial is the number 0."""
        return not self.variadic and self.partials is not None and all(p.__class__ is float and p == 0.0 for p in self.partials)

    def local(self, args: tuple[Any, ...], out: Any, wanted: Iterable[bool]) -> tuple[Any, ...]:
        """The partial derivatives at `args`; those that are not `wanted` are 0.0 and not evaluated."""
        if self.variadic:
            return self.partials(args, out)  # type: ignore[no-any-return]
        pairs = zip(self.partials, wanted, strict=True)
        return tuple([(p(*args, out) if callable(p) else p) if want else 0.0 for p, want in pairs])

    def leaves_out(self, i: int, local: Any) -> bool:
        """Whether the partial says that argument i was not chosen, or is never looked at: no edge leads there."""
        flat = not self.variadic and self.partials[i] == 0.0
        return local.__class__ is float and local == 0.0 and (self.chooses or flat)

    def described(self) -> Any:
        """What stands for this row in a file: its name, by which the reader looks it up in its own rule book."""
        return self.name

    def __repr__(self) -> str:
        return f"<primitive {self.written}>"

    def __reduce__(self) -> Any:  # pickled by name: the receiver looks the rule up in its own rule book
        return (rule, (self.name,)) if self.partials is not None else (handwritten, (self.written,))


CONSTANT = Primitive("constant", "constant", lambda: nan, (), None, False)  # the rule of Values without a gradient


def handwritten(op: str) -> Primitive:
    """The rule of a node whose derivative is a hand-written `_backward`."""
    return Primitive(op or "custom", op, lambda *x: nan, None, None, True)


RULES: dict[str, Primitive] = {}  # all rows by name, in their order
FUNCTIONS: dict[str, Any] = {}  # functions with their own derivatives, which make rows: by name and where they are defined


def rule(name: str) -> Primitive:
    """The row called `name`; KeyError, which says what to do, if there is none."""
    if name not in RULES and name != CONSTANT.name:
        raise KeyError(f"no primitive is called {name!r}; define it with primitive({name!r}, ...) first")
    return RULES.get(name, CONSTANT)


@overload
def primitive(name: str, written: str, value: Callable[..., float], dx: Any, /, *, beyond: Any = ...) -> Unary: ...
@overload
def primitive(name: str, written: str, value: Callable[..., float], dx: Any, dy: Any, /, *, beyond: Any = ...) -> Binary: ...
@overload
def primitive(
    name: str, written: str, value: Callable[..., float], dx: Any, dy: Any, dz: Any, /, *, beyond: Any = ...
) -> Ternary: ...
@overload
def primitive(
    name: str, written: str, value: Callable[..., float], *partials: Any, beyond: Any = ..., variadic: bool = ...
) -> Primitive: ...
def primitive(
    name: str, written: str, value: Callable[..., float], *partials: Any, beyond: Any = lambda *_: nan, variadic: bool = False
) -> Primitive:
    """A new row of the rule book, ready to be called on floats and Values.

    `primitive("cube", "cube(x)", lambda x: x * x * x, lambda x, out: 3 * x * x)`: the value takes and returns floats;
    each partial is a number, or a function of the arguments and the output made of operators and primitives alone.
    ValueError if the name belongs to a built-in row; TypeError if a partial takes other arguments, or does not give one
    number per argument.

    >>> from micrograd import Value
    >>> cube = primitive("cube", "cube(x)", lambda x: x * x * x, lambda x, out: 3 * x * x)
    >>> x = Value(2.0)
    >>> cube(x).backward()
    >>> x.grad
    12.0
    """
    if floats.named(name, written) in _BUILT_IN or name == CONSTANT.name:
        raise ValueError(f"{name!r} is a built-in primitive; choose another name")
    if not partials or (variadic and len(partials) != 1):
        raise ValueError(f"primitive {name!r} needs one partial derivative per argument (one function for a variadic row)")
    partials = tuple([p if callable(p) else number(p) for p in partials])
    if _BUILT_IN:  # a user's row: checked to give plain floats, so that nothing is silently complex or dropped
        count = 0 if variadic else len(partials)
        value = floats.held_value(value, written, count)
        partials = tuple([floats.held_partial(p, written, count) if callable(p) else p for p in partials])
    RULES[name] = row = Primitive(name, written, value, partials[0] if variadic else partials, beyond, variadic)
    row.own = bool(_BUILT_IN)
    return row


@overload
def where(c: Value, a: Value | Number, b: Value | Number) -> Value: ...
@overload
def where(c: Number, a: A, b: B) -> A | B: ...
def where(c: Any, a: Any, b: Any) -> Any:
    """`a` if c > 0, else `b`; in lists and arrays, for each number. A number or bool `c` chooses at once; a Value is a node.

    >>> where(True, 1.0, 2.0), where(-0.5, 1.0, 2.0)
    (1.0, 2.0)
    """
    if c.__class__ is not float:
        if hasattr(type(c), "__primitive__") or is_many(c):
            return _where(c, a, b)
        c = number(c)
    return nan if c != c else a if c > 0.0 else b


@overload
def sum(values: Iterable[Number], start: Number = 0.0) -> float: ...  # type: ignore[overload-overlap]
@overload
def sum(values: Iterable[Value | Number], start: Value | Number = 0.0) -> Value: ...
def sum(values: Iterable[Any], start: Any = 0.0) -> Any:
    """start + Σ xᵢ as one node, added from left to right; a number if there are no Values.

    >>> sum([1.0, 2.0, 3.0]), sum([1.0, 2.0], start=0.5)
    (6.0, 3.5)
    """
    values = tuple(listed("sum", values))
    if hasattr(type(start), "__primitive__") or start != 0.0:
        values = (start, *values)
    return _sum(*values) if values else 0.0


@overload
def dot(xs: Iterable[Number], ys: Iterable[Number], start: Number = 0.0) -> float: ...  # type: ignore[overload-overlap]
@overload
def dot(xs: Iterable[Value | Number], ys: Iterable[Value | Number], start: Value | Number = 0.0) -> Value: ...
def dot(xs: Iterable[Any], ys: Iterable[Any], start: Any = 0.0) -> Any:
    """start + Σ xᵢ yᵢ as one node, added from left to right. ValueError if the lengths differ.

    >>> dot([1.0, 2.0], [3.0, 4.0], start=0.5)
    11.5
    """
    xs, ys = listed("dot", xs), listed("dot", ys)
    if len(xs) != len(ys):
        raise ValueError(f"dot needs two sequences of one length, got {len(xs)} and {len(ys)} values")
    return _dot(*xs, *ys, start)


@overload
def logsumexp(values: Iterable[Number]) -> float: ...  # type: ignore[overload-overlap]
@overload
def logsumexp(values: Iterable[Value | Number]) -> Value: ...
def logsumexp(values: Iterable[Any]) -> Any:
    """log Σ exp(xᵢ) as one node, shifted by the largest so that it does not overflow. ValueError if there are no numbers.

    >>> logsumexp([1000.0, 1000.0]) - 1000.0
    0.6931471805598903
    """
    values = listed("logsumexp", values)
    if not values:
        raise ValueError("logsumexp needs at least one value, got none")
    return _logsumexp(*values)


def _shares(xs: Sequence[Any], out: Any) -> tuple[Any, ...]:
    """exp(xᵢ - out), divided by their sum, which is 1 but for the rounding of `out`: that matters if the xs are huge."""
    parts = [exp(x - out) for x in xs]
    whole = 1 / _sum(*parts)
    return tuple([part * whole for part in parts])


def power_less(n: Any, c: Any, x: Any, y: Any) -> Any:
    """c · x ** (y - n), for derivatives of powers: as a product and a power if y is ordinary (see floats), else as one row."""
    if c.__class__ is y.__class__ is float:
        if x.__class__ is float:  # what the row gives, in half the time
            return floats.power_less(n, c, x, y)
        if c and floats.ordinary(y):
            return c * (x if y - n == 1.0 else pow(x, y - n))
    return _power_less(n, c, x, y)


def take(values: Sequence[A], i: Any) -> A:
    """`values[i]` (while a function is recorded, a lookup by an integer input that stays open).

    IndexError for an index that is no entry's, below 0 too: compiled or not, it is not counted from the end.

    >>> take([5.0, 6.0, 7.0], 1)
    6.0
    """
    if lookup := getattr(type(i), "__take__", None):
        return lookup(i, values, _take)  # type: ignore[no-any-return]
    return floats.unmasked(entry(values, i))  # type: ignore[no-any-return]


# Conventions
#   derivative 0    relu and abs at 0; step and sign, floor, round and x // y everywhere, at their jumps too
#   x % y           the derivatives of x - y (x // y), with x // y taken as constant
#   ties            each argument of maximum and minimum gets half
#   x ** y at x = 0 the limit, if there is one: 0 ** 0 is 1, its derivative in x is 0; in y it is 0 for y > 0
#   never complex   a negative number to a power that is not whole, and log and sqrt of a negative number, are nan
#   sqrt at 0       its derivative is inf
#   lgamma          log |Γ(x)|, inf at its poles
#   polygamma       at its poles inf for odd order, nan for even order; but at 0.0 and -0.0 it has the limit from that side
#   nan             nan in gives nan out, in the value and in the gradient
#   no edge         to what was not chosen (see Primitive.chooses), nor to an argument whose partial is the number 0.0: what is
#                   infinite below it is not multiplied
# Textbook partials lose their digits where the function saturates. "flat" says from where on the partial is exactly 0 (or 1,
# for softplus), although the true derivative is not.

_BUILT_IN: frozenset[str] = frozenset()

# fmt: off
#                           name        written             value on floats         partial derivatives, one per argument
add        = primitive("add",        "x + y",            operator.add,           1.0, 1.0)
sub        = primitive("sub",        "x - y",            operator.sub,           1.0, -1.0)
mul        = primitive("mul",        "x * y",            operator.mul,           lambda x, y, out: y, lambda x, y, out: x)
div        = primitive("div",        "x / y",            operator.truediv,       lambda x, y, out: 1 / y, lambda x, y, out: -out / y, beyond=floats.divided)
neg        = primitive("neg",        "-x",               operator.neg,           -1.0)
mod        = primitive("mod",        "x % y",            operator.mod,           1.0, lambda x, y, out: -floordiv(x, y))
floordiv   = primitive("floordiv",   "x // y",           operator.floordiv,      0.0, 0.0, beyond=floats.divided)
pow        = primitive("pow",        "x ** y",           math.pow,               lambda x, y, out: power_less(1.0, y, x, y),
                                                                                 lambda x, y, out: power_log(0.0, 1.0, x, y), beyond=floats.power)
_power_less = primitive("power_less", "power_less(n, c, x, y)", floats.power_less, 0.0, lambda n, c, x, y, out: power_less(n, 1.0, x, y), lambda n, c, x, y, out: power_less(n + 1, c * (y - n), x, y), lambda n, c, x, y, out: power_log(n, c, x, y))  # c x ** (y - n)
power_log  = primitive("power_log",  "power_log(n, c, x, y)", floats.power_log,  0.0, lambda n, c, x, y, out: power_log(n, 1.0, x, y), lambda n, c, x, y, out: power_less(n + 1, c, x, y) + power_log(n + 1, c * (y - n), x, y),
                                                                                 lambda n, c, x, y, out: power_log(n, c * log(x), x, y))  # c x ** (y - n) log(x)
exp        = primitive("exp",        "exp(x)",           math.exp,               lambda x, out: out, beyond=lambda x: inf)
log        = primitive("log",        "log(x)",           math.log,               lambda x, out: 1 / x, beyond=lambda x: -inf if x == 0.0 else nan)
log2       = primitive("log2",       "log2(x)",          math.log2,              lambda x, out: math.log2(math.e) / x, beyond=lambda x: -inf if x == 0.0 else nan)
log10      = primitive("log10",      "log10(x)",         math.log10,             lambda x, out: math.log10(math.e) / x, beyond=lambda x: -inf if x == 0.0 else nan)
exp2       = primitive("exp2",       "exp2(x)",          math.exp2,              lambda x, out: out * log(2.0), beyond=lambda x: inf)
log1p      = primitive("log1p",      "log1p(x)",         math.log1p,             lambda x, out: 1 / (1 + x), beyond=lambda x: -inf if x == -1.0 else nan)
expm1      = primitive("expm1",      "expm1(x)",         math.expm1,             lambda x, out: exp(x), beyond=lambda x: inf)
sqrt       = primitive("sqrt",       "sqrt(x)",          math.sqrt,              lambda x, out: 1 / (2 * out))
cbrt       = primitive("cbrt",       "cbrt(x)",          math.cbrt,              lambda x, out: 1 / (3 * out) / out)
hypot      = primitive("hypot",      "hypot(x, y)",      math.hypot,             lambda x, y, out: direction(x, y), lambda x, y, out: direction(y, x), beyond=lambda x, y: inf)
direction  = primitive("direction",  "x / hypot(x, y)",  floats.direction,        lambda x, y, out: direction(y, x) * inverted(y, x), lambda x, y, out: -out * inverted(y, x))
inverted   = primitive("inverted",   "x / (x ** 2 + y ** 2)", floats.inverted,     lambda x, y, out: inverted(y / 2 - x / 2, y / 2 + x / 2) * inverted(y / 2 + x / 2, y / 2 - x / 2), lambda x, y, out: -2 * out * inverted(y, x))
sin        = primitive("sin",        "sin(x)",           math.sin,               lambda x, out: cos(x))
cos        = primitive("cos",        "cos(x)",           math.cos,               lambda x, out: -sin(x))
tan        = primitive("tan",        "tan(x)",           math.tan,               lambda x, out: 1 + out * out)
one_minus_square = primitive("one_minus_square", "1 - x ** 2", lambda x: (1.0 - x) * (1.0 + x), lambda x, out: -2 * x)  # to the last digits near 1, on one path
asin       = primitive("asin",       "asin(x)",          math.asin,              lambda x, out: 1 / sqrt(one_minus_square(x)))
acos       = primitive("acos",       "acos(x)",          math.acos,              lambda x, out: -1 / sqrt(one_minus_square(x)))
atan       = primitive("atan",       "atan(x)",          math.atan,              lambda x, out: where(1e9 - abs(x), 1 / (1 + x * x), 1 / x / x))  # from |x| = 1e9 on equal, and x² may overflow
atan2      = primitive("atan2",      "atan2(y, x)",      math.atan2,             lambda y, x, out: inverted(x, y), lambda y, x, out: -inverted(y, x))
asinh      = primitive("asinh",      "asinh(x)",         math.asinh,             lambda x, out: where(1e9 - abs(x), 1 / sqrt(1 + x * x), 1 / abs(x)))  # from |x| = 1e9 on equal, and x² may overflow
acosh      = primitive("acosh",      "acosh(x)",         math.acosh,             lambda x, out: 1 / sqrt(x - 1) / sqrt(x + 1))
atanh      = primitive("atanh",      "atanh(x)",         math.atanh,             lambda x, out: 1 / one_minus_square(x), beyond=lambda x: x * inf if x in (-1.0, 1.0) else nan)
sinh       = primitive("sinh",       "sinh(x)",          math.sinh,              lambda x, out: cosh(x), beyond=lambda x: math.copysign(inf, x))
cosh       = primitive("cosh",       "cosh(x)",          math.cosh,              lambda x, out: sinh(x), beyond=lambda x: inf)
tanh       = primitive("tanh",       "tanh(x)",          math.tanh,              lambda x, out: 1 - out * out)                         # flat from |x| = 19.1 on
sigmoid    = primitive("sigmoid",    "sigmoid(x)",       lambda x: 1.0 / (1.0 + math.exp(-x)), lambda x, out: out * (1 - out), beyond=lambda x: math.exp(x))  # flat from x = 36.8 on
relu       = primitive("relu",       "relu(x)",          lambda x: 0.0 if x <= 0.0 else x, lambda x, out: step(x))
softplus   = primitive("softplus",   "softplus(x)",      lambda x: max(x, 0.0) + math.log1p(math.exp(-math.fabs(x))), lambda x, out: sigmoid(x))  # partial exactly 1 from x = 36.8 on
floor      = primitive("floor",      "floor(x)",         lambda x: x // 1.0 if math.isfinite(x) else x, 0.0)
round      = primitive("round",      "round(x)",         lambda x: math.copysign(x.__round__(), x), 0.0, beyond=lambda x: x)  # to the even one of two as near
abs        = primitive("abs",        "abs(x)",           math.fabs,              lambda x, out: sign(x))
sign       = primitive("sign",       "sign(x)",          lambda x: 1.0 if x > 0.0 else -1.0 if x < 0.0 else x, 0.0)
step       = primitive("step",       "step(x)",          lambda x: 1.0 if x > 0.0 else 0.0 if x <= 0.0 else x, 0.0)
maximum    = primitive("maximum",    "maximum(x, y)",    lambda x, y: x if x >= y else y if y > x else nan, lambda x, y, out: (1 + greater(x, y) - less(x, y)) / 2, lambda x, y, out: (1 + less(x, y) - greater(x, y)) / 2)
minimum    = primitive("minimum",    "minimum(x, y)",    lambda x, y: x if x <= y else y if y < x else nan, lambda x, y, out: (1 + less(x, y) - greater(x, y)) / 2, lambda x, y, out: (1 + greater(x, y) - less(x, y)) / 2)
exp_minus_square = primitive("exp_minus_square", "exp(-x ** 2)", floats.exp_minus_square, lambda x, out: -2 * x * out)  # x² is not rounded
erf        = primitive("erf",        "erf(x)",           math.erf,               lambda x, out: 2 / math.sqrt(math.pi) * exp_minus_square(x))  # flat from |x| = 27.3 on
erfc       = primitive("erfc",       "erfc(x)",          math.erfc,              lambda x, out: -2 / math.sqrt(math.pi) * exp_minus_square(x))  # flat from |x| = 27.3 on
ndtr       = primitive("ndtr",       "ndtr(x)",          floats.ndtr,            lambda x, out: exp_minus_square(x / 2) * exp_minus_square(x / 2) / math.sqrt(2 * math.pi))  # Φ(x); exp(-x²/2) to its last digits
lgamma     = primitive("lgamma",     "lgamma(x)",        math.lgamma,             lambda x, out: digamma(x), beyond=lambda x: inf)  # near 1 and 2, and near the zeros below 0, right to units of 1, not of itself
digamma    = primitive("digamma",    "digamma(x)",       floats.digamma,          lambda x, out: polygamma(1.0, x), beyond=lambda x: -inf)
polygamma  = primitive("polygamma",  "polygamma(n, x)",  floats.polygamma,        0.0, lambda n, x, out: polygamma(n + 1, x), beyond=lambda n, x: -inf if n % 2.0 == 0.0 else inf)
greater    = primitive("greater",    "greater(x, y)",    lambda x, y: 1.0 if x > y else 0.0 if x <= y else nan, 0.0, 0.0)
less       = primitive("less",       "less(x, y)",       lambda x, y: 1.0 if x < y else 0.0 if x >= y else nan, 0.0, 0.0)
equal      = primitive("equal",      "equal(x, y)",      lambda x, y: 1.0 if x == y else nan if x != x or y != y else 0.0, 0.0, 0.0)
_where     = primitive("where",      "where(c, a, b)",   lambda c, a, b: a if c > 0.0 else b if c <= 0.0 else nan, 0.0, lambda c, a, b, out: step(c), lambda c, a, b, out: 1 - step(c))
_sum       = primitive("sum",        "sum(xs)",          floats.added,           lambda xs, out: (1.0,) * len(xs), variadic=True)
_dot       = primitive("dot",        "dot(xs, ys, start)", floats.dotted,        lambda args, out: (*args[len(args) // 2 : -1], *args[: len(args) // 2], 1.0), variadic=True)
_logsumexp = primitive("logsumexp",  "logsumexp(xs)",    floats.log_sum_exp,     _shares, variadic=True)
_norm      = primitive("norm",       "norm(xs)",         floats.length,           lambda xs, out: tuple([x / out for x in xs]), variadic=True)
_take      = primitive("take",       "take(i, xs)",      lambda i, *xs: xs[int(i)] if i in range(len(xs)) else nan, lambda args, out: (0.0, *[equal(args[0], float(k)) for k in range(len(args) - 1)]), variadic=True)
# fmt: on

for _row in (relu, abs, maximum, minimum, _where, _take):
    _row.chooses = True
_BUILT_IN = frozenset(RULES)
# Used in derivatives only: lists of functions leave them out
HELPERS = frozenset({"direction", "exp_minus_square", "inverted", "one_minus_square", "power_less", "power_log"})
