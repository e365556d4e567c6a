"""Formulas as Python with nothing but `math`: `1.0 - v4 * v4`. Both branches of a choice are written."""

from __future__ import annotations

import re
from inspect import unwrap

from micrograd.formula.symbol import ADD, ATOM, DIV, MUL, NEG, POWER, PRODUCT, SUB, SUM, WHERE, Symbol

CHOICE = 0  # the precedence of `a if c else b`
_CALLED = ("abs", "digamma", "logsumexp", "norm")  # rows that are written as a call of a function with another name
_HELD = ("direction", "exp_minus_square", "inverted", "ndtr", "polygamma", "power_less", "power_log")  # with their own name


def number(x: float) -> str:
    """The number, exactly, as Python reads it."""
    return re.sub("(?=inf|nan)", "math.", repr(float(x)))


class Python:
    """Writes Symbols as Python. Numbers are written exactly; brackets keep the order of operations, a + (b + c)."""

    def __call__(self, s: Symbol) -> str:
        return self.form(s)[0]

    def held(self, s: Symbol, level: int) -> str:
        text, holds = self.form(s)
        return text if holds >= level else f"({text})"

    def form(self, s: Symbol) -> tuple[str, int]:
        if s.rule is None:
            if s.name is not None:
                return s.name, ATOM
            text = number(s.number)
            return text, PRODUCT if text.startswith("-") else ATOM
        rule, args = s.rule, s.args
        for known, sign, level in ((ADD, "+", SUM), (SUB, "-", SUM), (MUL, "*", PRODUCT), (DIV, "/", PRODUCT)):
            if rule is known:
                return f"{self.held(args[0], level)} {sign} {self.held(args[1], level + 1)}", level
        if rule is NEG:
            return f"-{self.held(args[0], POWER)}", PRODUCT
        if rule is WHERE:
            c = asked = self.held(args[0], SUM)
            if args[0].rule is not None:  # the condition is a formula: it is written once
                c, asked = "choice", f"(choice := {c})"
            a, b = self.held(args[1], SUM), self.held(args[2], SUM)
            return f"{a} if {asked} > 0.0 else {b} if {c} <= 0.0 else math.nan", CHOICE
        if rule.in_math:
            return f"math.{rule.name}({', '.join(map(self, args))})", ATOM
        if rule.name in _HELD:
            return f"{rule.name}({', '.join([self.held(a, POWER) for a in args])})", ATOM
        writer = getattr(self, f"_{rule.name}", None)
        if writer is not None:
            return writer(*[self.held(a, POWER) for a in args]), ATOM if rule.name in _CALLED else CHOICE
        if rule.compiled:
            raise ValueError(f"{rule.name!r} is a compiled function: write to_code(opened(y)) for what it does inside")
        try:  # a user-defined row: its value on floats, called on symbols
            made = unwrap(rule.value)(*args)
        except Exception:
            made = None
        if isinstance(made, Symbol) and made.rule is not rule:
            return self.form(made)
        raise ValueError(
            f"to_code cannot write {rule.name!r} with math alone; give its value as a formula of operators, or compose it"
        )

    def _abs(self, x: str) -> str:
        return f"math.fabs({x})"

    def _mod(self, x: str, y: str) -> str:
        return f"{x} % {y} if {y} else math.nan"

    def _floordiv(self, x: str, y: str) -> str:
        pole = f"math.copysign(math.inf, {x}) * math.copysign(1.0, {y})"
        return f"{x} // {y} if {y} else {pole} if {x} and {x} == {x} else math.nan"

    def _floor(self, x: str) -> str:
        return f"{x} // 1.0 if math.isfinite({x}) else {x}"

    def _round(self, x: str) -> str:
        return f"math.copysign(round({x}), {x}) if math.isfinite({x}) else {x}"

    def _relu(self, x: str) -> str:
        return f"0.0 if {x} <= 0.0 else {x}"

    def _step(self, x: str) -> str:
        return f"1.0 if {x} > 0.0 else 0.0 if {x} <= 0.0 else {x}"

    def _sign(self, x: str) -> str:
        return f"1.0 if {x} > 0.0 else -1.0 if {x} < 0.0 else {x}"

    def _greater(self, x: str, y: str) -> str:
        return f"1.0 if {x} > {y} else 0.0 if {x} <= {y} else math.nan"

    def _less(self, x: str, y: str) -> str:
        return f"1.0 if {x} < {y} else 0.0 if {x} >= {y} else math.nan"

    def _equal(self, x: str, y: str) -> str:
        return f"1.0 if {x} == {y} else 0.0 if {x} < {y} or {x} > {y} else math.nan"

    def _digamma(self, x: str) -> str:
        return f"polygamma(0.0, {x})"

    def _take(self, i: str, *xs: str) -> str:
        return f"({', '.join(xs)},)[int({i})] if {i} in range({len(xs)}) else math.nan"

    def _maximum(self, x: str, y: str) -> str:
        return f"{x} if {x} >= {y} else {y} if {y} > {x} else math.nan"

    def _minimum(self, x: str, y: str) -> str:
        return f"{x} if {x} <= {y} else {y} if {y} < {x} else math.nan"

    def _sigmoid(self, x: str) -> str:  # below -709.78, exp(-x) overflows
        return f"1.0 / (1.0 + math.exp(-{x})) if {x} >= -709.782712893384 else math.exp({x})"

    def _softplus(self, x: str) -> str:
        return f"({x} if {x} > 0.0 else 0.0) + math.log1p(math.exp(-math.fabs({x})))"

    def _logsumexp(self, *xs: str) -> str:
        return f"log_sum_exp({', '.join(xs)})"

    def _norm(self, *xs: str) -> str:
        return f"length({', '.join(xs)})"
