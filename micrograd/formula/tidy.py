"""Formulas as one would write them by hand: `2(a − 1)(1 − a²)x + 0.02 w`.

Like factors and like terms are collected, constants folded. That is for reading: the number of the result may differ from that
of the formula in its last bits, and by more where a factor is 0 or not finite.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from micrograd import primitives
from micrograd.formula.latex import Latex, Math
from micrograd.formula.symbol import ADD, DIV, MUL, NEG, POW, POWER, PRODUCT, SUB, SUM, Symbol, applied
from micrograd.formula.text import Text

SQRT = primitives.rule("sqrt")
Factors = dict[str, tuple[Symbol, float]]  # base and power, by the base as text
Product = tuple[float, Factors]  # a number times factors

_exact = Text(17)


def tidy(s: Symbol, largest_first: bool = False) -> Symbol:
    """The formula with like factors and terms collected.

    With `largest_first` its outermost sum has the largest terms first, or, where it is a polynomial, the highest powers.
    """
    terms = _terms(s)
    if largest_first:
        of = {text for _, factors in terms for text in factors}
        if len(of) == 1:  # a polynomial in one base
            terms.sort(key=lambda term: -max([power for _, power in term[1].values()], default=0.0))
            return _sum(terms, as_they_are=True)
        terms.sort(key=lambda term: -math.fabs(_product(term).number))
    return _sum(terms)


def _terms(s: Symbol) -> list[Product]:
    """The terms of a sum, like ones collected."""
    collected: dict[tuple[tuple[str, float], ...], Product] = {}
    for number, factors in _added(s):
        key = tuple(sorted([(text, power) for text, (_, power) in factors.items()]))
        collected[key] = (collected[key][0] if key in collected else 0.0) + number, factors
    return [term for term in collected.values() if term[0] != 0.0]


def _added(s: Symbol, sign: float = 1.0) -> Iterable[Product]:
    """The terms of a sum one by one, with their signs, before like ones are collected."""
    s = s.taken
    if s.rule in (ADD, SUB):
        yield from _added(s.args[0], sign)
        yield from _added(s.args[1], -sign if s.rule is SUB else sign)
    elif s.rule is NEG:
        yield from _added(s.args[0], -sign)
    elif s.rule is not None and s.rule.name == "sum":
        for part in s.args:
            yield from _added(part, sign)
    elif s.rule is not None and s.rule.name == "dot":
        n = len(s.args) // 2
        for x, y in zip(s.args[:n], s.args[n:-1], strict=True):
            yield from _added(applied(MUL, (x, y)), sign)
        yield from _added(s.args[-1], sign)
    else:
        number, factors = _factors(s)
        inner = next(iter(factors.values()))[0] if len(factors) == 1 else s
        if math.fabs(number) == 1.0 and inner.rule in (ADD, SUB) and next(iter(factors.values()))[1] == 1.0:
            yield from _added(inner, sign * number)  # −(x − y) is a sum of two
        elif number != 0.0:
            yield sign * number, factors


def _factors(s: Symbol) -> Product:
    """A product as its number and its factors, powers of one base collected."""
    s = s.taken
    if s.literal:
        return s.number, {}
    if s.rule is MUL or s.rule is DIV:
        number, factors = _factors(s.args[0])
        other, more = _factors(s.args[1])
        sign = 1.0 if s.rule is MUL else -1.0
        factors = dict(factors)
        for text, (base, power) in more.items():
            power = (factors[text][1] if text in factors else 0.0) + sign * power
            factors[text] = base, power
            if power == 0.0:
                del factors[text]
        return number * (other if s.rule is MUL else 1.0 / other if other else math.nan), factors
    if s.rule is NEG:
        number, factors = _factors(s.args[0])
        return -number, factors
    if (s.rule is POW and s.args[1].literal) or s.rule is SQRT:
        power = 0.5 if s.rule is SQRT else s.args[1].number
        number, factors = _factors(s.args[0])
        if power.is_integer() and math.fabs(power) < 100 and (number or power > 0):
            return number**power, {text: (base, power * own) for text, (base, own) in factors.items()}
        base = tidy(s.args[0])
        return 1.0, {_exact(base): (base, power)}
    if s.rule is None:
        return 1.0, {_exact(s): (s, 1.0)}
    if s.rule in (ADD, SUB) or s.rule.name in ("sum", "dot"):
        terms = _terms(s)
        if len(terms) < 2:
            return terms[0] if terms else (0.0, {})
        whole = _sum(terms)
        return 1.0, {_exact(whole): (whole, 1.0)}
    whole = applied(s.rule, tuple([tidy(a) for a in s.args]))
    return (whole.number, {}) if whole.literal else (1.0, {_exact(whole): (whole, 1.0)})


def _sum(terms: list[Product], as_they_are: bool = False) -> Symbol:
    """The sum of the terms. The first positive one is put first, unless they are to stay `as_they_are`."""
    first = 0 if as_they_are else next((i for i, term in enumerate(terms) if term[0] > 0.0), 0)
    terms = [*terms[first : first + 1], *terms[:first], *terms[first + 1 :]]
    out = Symbol(0.0)
    for i, (number, factors) in enumerate(terms):
        negative = i > 0 and number < 0.0
        term = _product((-number if negative else number, factors))
        out = term if i == 0 else applied(SUB if negative else ADD, (out, term))
    return out


def _product(term: Product) -> Symbol:
    """A product: its number, then sums in brackets, then names, then functions. Negative powers go into the denominator."""
    number, factors = term
    above: list[Symbol] = []
    below: list[Symbol] = []
    for base, power in sorted(factors.values(), key=lambda factor: _kind(factor[0])):
        power, where = math.fabs(power), above if power > 0 else below
        where.append(applied(SQRT, (base,)) if power == 0.5 else applied(POW, (base, Symbol(power))))
    if above and number in (1.0, -1.0):
        out = _multiplied(above)
        out = out if number == 1.0 or below else applied(NEG, (out,))
        number = number if below else 1.0
    else:
        out, number = _multiplied([Symbol(number), *above]), 1.0
    if below:
        out = applied(DIV, (out, _multiplied(below)))
        out = applied(NEG, (out,)) if number == -1.0 else out
    return out


def _multiplied(factors: list[Symbol]) -> Symbol:
    out = factors[0]
    for factor in factors[1:]:
        out = applied(MUL, (out, factor))
    return out


def _kind(base: Symbol) -> int:
    """Where a factor stands in a product: sums first, then names, then functions."""
    return 1 if base.rule is None else 0 if base.rule in (ADD, SUB) else 2


class _Terse(Text):
    """Leaves out signs of multiplication that are not needed: after a number or a bracket, before a bracket or a letter."""

    beside = ""  # what stands between two names; "" for the sign of multiplication

    def _mul(self, x: Symbol, y: Symbol) -> tuple[str, int]:
        left, right = self.held(x, PRODUCT), self.held(y, POWER)
        last = x.args[1] if x.rule is MUL else x
        bracket = self.form(last)[1] == SUM
        if right.startswith(self.opening):
            between = "" if last.literal or bracket else self.beside or self.times
        elif right[0].isdigit():
            between = self.times
        elif y.taken.rule in (None, POW) and re.match(r"[^\W\d_²³](?![^\W\d_²³⁰-⁹⁻])|\\\w", right):
            between = "" if bracket or left.isdigit() else " " if last.literal else self.beside or self.times
        else:
            between = " " if last.literal else self.beside or self.times
        return left + between + right, PRODUCT

    def _neg(self, x: Symbol) -> tuple[str, int]:
        return self.negated(self.held(x, PRODUCT)), PRODUCT


class _TerseLatex(_Terse, Latex):
    beside = r" \, "


def terse(s: Symbol, digits: int) -> Math:
    """A tidied formula as text and LaTeX, without signs of multiplication where none is needed."""
    return Math(_Terse(digits)(s), _TerseLatex(digits)(s))
