"""The whole derivative as one formula: ∂L/∂w = 2(a − 1)(1 − a²)x + 0.02 w.

The rule book's partial derivatives are multiplied along the paths, as symbols of `formula`, and the result is tidied. Its names
are those of leaves and of values that the user named, from `phrases`. `chain` puts a short formula on top of the page.
"""

from __future__ import annotations

import math

from micrograd.engine import Value
from micrograd.explain.phrases import Phrases
from micrograd.formula.latex import Math
from micrograd.formula.symbol import ADD, DIV, MUL, Symbol, applied, partial
from micrograd.formula.tidy import terse, tidy

STEPS = 40  # nodes on the way at most: with more, no formula is tried
SIZE = 120  # symbols in a formula at most, before it is tidied
LENGTH = 76  # characters of its text at most


class _TooLong(Exception):
    """The formula is not short, or cannot be written."""


def closed_form(page: Phrases) -> Math | None:
    """The derivative of the output by `page.x` as one formula; None where it is long, or if its number is not the adjoint."""
    between = page.graph.between(page.x)
    if not 2 < len(between) <= STEPS:
        return None
    try:
        found = tidy(_Derivative(page).of(between), largest_first=True)
    except (_TooLong, ArithmeticError, ValueError):
        return None
    wanted = page.graph.adjoint[page.x]
    if found.literal or not math.isclose(found.number, wanted, rel_tol=1e-9, abs_tol=1e-300):
        return None
    written = terse(found, page.style.digits)
    return written if len(written.text) <= LENGTH else None


class _Derivative:
    def __init__(self, page: Phrases):
        self.page = page
        self.formulas: dict[Value, Symbol] = {}
        self.sizes: dict[int, int] = {}
        self.kept: list[Symbol] = []  # so that no id is used again

    def of(self, between: list[Value]) -> Symbol:
        """The adjoint of `page.x` as a formula, by a backward pass over the nodes above it."""
        inside = dict.fromkeys(between)
        adjoint: dict[Value, Symbol] = {self.page.output: Symbol(1.0)}
        for node in reversed(between[1:]):
            g, rule = adjoint.get(node), node.rule
            if g is None or rule is None or rule.partials is None:
                if g is None:
                    continue
                raise _TooLong
            args = tuple([self.formula(p) for p in node.parents])
            out = Symbol(node.data, None, rule, args) if rule is DIV else self.formula(node)  # for −x / y² instead of −q / y
            for i, parent in enumerate(node.parents):
                if parent in inside and (node.partials[i] != 0.0 or not rule.chooses):  # of a choice, what was not taken is 0
                    local = partial(rule, args, out, i)
                    if local is None:
                        raise _TooLong
                    term = self.sized(applied(MUL, (g, local)))
                    adjoint[parent] = self.sized(applied(ADD, (adjoint[parent], term))) if parent in adjoint else term
        return adjoint.get(self.page.x, Symbol(0.0))

    def formula(self, node: Value) -> Symbol:
        """The value of a node as a formula: its own name, or its operation on the formulas of its operands."""
        pending = [node]
        while pending:
            n = pending[-1]
            if n in self.formulas:
                pending.pop()
                continue
            atom = n is self.page.x or n.rule is None or n.is_constant or n in self.page.names
            missing = [] if atom else [p for p in n.parents if p not in self.formulas]
            if missing:
                pending += missing
                continue
            pending.pop()
            if not atom and (n.rule is None or n.rule.partials is None):
                raise _TooLong
            args = () if atom else tuple([self.formulas[p] for p in n.parents])
            self.formulas[n] = self.page.symbol(n) if atom else self.sized(Symbol(n.data, None, n.rule, args))
        return self.formulas[node]

    def sized(self, s: Symbol) -> Symbol:
        """The formula itself; _TooLong where it has more than `SIZE` symbols."""
        if id(s) not in self.sizes:
            self.kept.append(s)
            self.sizes[id(s)] = size = 1 + sum([self.size(a) for a in s.args])
            if size > SIZE:
                raise _TooLong
        return s

    def size(self, s: Symbol) -> int:
        self.sized(s)
        return self.sizes[id(s)]
