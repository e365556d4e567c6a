"""Formulas: what the rule book gives when it is called on symbols.

A Symbol is a formula with its number: a name, or a primitive and its operands, or a literal number. A row's partial derivative
called on Symbols gives a Symbol, so nothing here knows a derivative. Beside this module stands one for each language in which a
formula is written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from micrograd import primitives
from micrograd.floats import ordinary
from micrograd.primitives import Primitive, number

SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4  # precedences of a written formula

ADD, SUB, MUL, DIV, NEG, POW = map(primitives.rule, ("add", "sub", "mul", "div", "neg", "pow"))
POWER_LESS, POWER_LOG, LOG = map(primitives.rule, ("power_less", "power_log", "log"))
WHERE, ONE_MINUS_SQUARE = primitives.rule("where"), primitives.rule("one_minus_square")
EXP, EXP_MINUS_SQUARE = primitives.rule("exp"), primitives.rule("exp_minus_square")
DIRECTION, INVERTED, HYPOT = map(primitives.rule, ("direction", "inverted", "hypot"))
CHOICE = Primitive("where", WHERE.written, WHERE.value, WHERE.partials, WHERE.beyond, False)  # written with both branches


def _operator(rule: Primitive, reflected: bool = False) -> Any:
    def method(self: Symbol, other: Any) -> Symbol:
        return applied(rule, (other, self) if reflected else (self, other))

    return method


class Symbol:
    """A formula and its number: an atom with a `name`, a compound with a `rule` and `args`, or a literal with neither."""

    __slots__ = ("args", "name", "number", "rule")

    def __init__(self, number: float, name: Any = None, rule: Primitive | None = None, args: tuple[Symbol, ...] = ()):
        self.number, self.name, self.rule, self.args = number, name, rule, args

    @property
    def literal(self) -> bool:
        return self.rule is None and self.name is None

    __add__, __radd__ = _operator(ADD), _operator(ADD, True)
    __sub__, __rsub__ = _operator(SUB), _operator(SUB, True)
    __mul__, __rmul__ = _operator(MUL), _operator(MUL, True)
    __truediv__, __rtruediv__ = _operator(DIV), _operator(DIV, True)
    __pow__, __rpow__ = _operator(POW), _operator(POW, True)

    def __neg__(self) -> Symbol:
        return applied(NEG, (self,))

    @staticmethod
    def __primitive__(rule: Primitive, args: Sequence[Any]) -> Symbol:
        return applied(rule, args)

    @property
    def taken(self) -> Symbol:
        """The formula as one reads it, at its outermost operation.

        Of a choice it is the branch that the numbers take, but of an operand and 1, which keeps 0 · inf away, the operand. Rows
        that are there for derivatives alone, such as power_less, are spelled out.
        """
        s = self
        while s.rule is WHERE:
            c, a, b = s.args
            s = Symbol(math.nan) if c.number != c.number else a if c.number > 0 or (b.literal and b.number == 1.0) else b
        if s.rule in (POWER_LESS, POWER_LOG):
            n, c, x, y = s.args
            power = applied(POW, (x, y - n if n.number else y))
            if s.rule is POWER_LOG:  # the logarithm of a number stays a logarithm
                power = applied(MUL, (power, Symbol(LOG.on_floats([x.number]), None, LOG, (x,))))
            return applied(MUL, (c, power))
        if s.rule is DIRECTION:
            return applied(DIV, (s.args[0], applied(HYPOT, s.args)))
        if s.rule is INVERTED:
            return applied(DIV, (s.args[0], s.args[0] ** 2.0 + s.args[1] ** 2.0))
        if s.rule is EXP_MINUS_SQUARE:
            return applied(EXP, (-(s.args[0] ** 2.0),))
        return 1.0 - s.args[0] ** 2.0 if s.rule is ONE_MINUS_SQUARE else s


def applied(rule: Primitive, args: Sequence[Any]) -> Symbol:
    """The formula rule(*args), for any mixture of symbols and numbers.

    It is simplified only where that changes no bit: constants are folded, a factor, divisor or exponent of 1 or an exponent of
    0 goes, and a choice whose condition is a number is made.
    """
    symbols = tuple([a if isinstance(a, Symbol) else Symbol(number(a)) for a in args])
    literal = [s.number if s.literal else None for s in symbols]
    out = rule.on_floats([s.number for s in symbols])
    if None not in literal or (rule is POW and literal[1] == 0.0):
        return Symbol(out)
    if rule is POWER_LESS and literal[1] and literal[3] is not None and ordinary(literal[3]):
        return applied(MUL, (symbols[1], symbols[2] ** (symbols[3] - symbols[0])))
    if rule is MUL and 1.0 in literal:
        return symbols[1 - literal.index(1.0)]
    if rule in (POW, DIV) and literal[1] == 1.0:
        return symbols[0]
    if rule is WHERE and literal[0] is not None and literal[0] == literal[0]:
        return symbols[1] if literal[0] > 0 else symbols[2]
    return Symbol(out, None, rule, symbols)


def partial(rule: Primitive, args: tuple[Symbol, ...], out: Symbol, operand: int) -> Symbol | None:
    """The partial derivative by one operand as the rule book writes it; None where its row works on numbers alone."""
    try:
        local = rule.local(args, out, [i == operand for i in range(len(args))])[operand]
        return local if isinstance(local, Symbol) else Symbol(number(local))
    except Exception:  # a user-defined row may hold anything: math.cos(x), if x > 0, or no partials at all
        return None
