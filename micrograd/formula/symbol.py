"""Formulas: what the rule book gives when it is called on symbols.

A Symbol carries what it is called, or the primitive and the operands it is made of, and always its number. A row's partial
derivative called on Symbols gives a Symbol, so nothing here knows a derivative. Beside this module stands one for each
language in which a formula is written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from micrograd import primitives
from micrograd.floats import ordinary
from micrograd.primitives import Primitive, number

SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4  # how tightly a written formula holds together

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
    """A formula and its number. An atom has a `name`, a compound a `rule` and `args`, a literal nothing but its number."""

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
        """The formula as one reads it: its outermost choice made as the numbers make it, rows made for derivatives spelled out.

        A 1 in the place of an operand keeps 0 · inf away, as in the derivatives of 0 ** 0: one reads the operand.
        """
        s = self
        while s.rule is WHERE:
            c, a, b = s.args
            s = Symbol(math.nan) if c.number != c.number else a if c.number > 0 or (b.literal and b.number == 1.0) else b
        if s.rule in (POWER_LESS, POWER_LOG):
            n, c, x, y = s.args
            power = applied(POW, (x, y - n if n.number else y))
            if s.rule is POWER_LOG:  # log 2 stays as it is
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

    It is tidied only where that changes no bit: numbers alone are worked out, a factor of 1 and a power of 1 or 0 go.
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
    """The partial derivative by one operand as the rule book writes it; None where its row takes numbers alone."""
    try:
        local = rule.local(args, out, [i == operand for i in range(len(args))])[operand]
        return local if isinstance(local, Symbol) else Symbol(number(local))
    except Exception:  # a row of the user's own may hold anything: math.cos(x), if x > 0, or no partials at all
        return None
