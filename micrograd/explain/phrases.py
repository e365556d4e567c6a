"""The pieces of an explanation: a number, ∂L/∂v, the rule behind a local factor, a line for terms left out.

`names` has the names of Values, `formula` writes the rule book's partial derivatives. `chain` and `network` put the pieces
together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from micrograd.engine import Value
from micrograd.explain.contributions import Graph, Path, Term
from micrograd.explain.layout import Cut, Section, Table, latex_words
from micrograd.explain.names import Names
from micrograd.formula.label import neuron
from micrograd.formula.latex import Math, spelled, written_number
from micrograd.formula.symbol import ATOM, CHOICE, WHERE, Symbol, partial
from micrograd.formula.text import Text

EXACT = 17  # with so many digits, every number is written exactly


class Style(NamedTuple):
    """How an explanation is written: the options of `explain`."""

    depth: int | None = None
    notation: str = "leibniz"
    digits: int = 4
    most: int | None = 8


class Phrases:
    """Pieces of mathematics about the graph below an output, with the names that variables have now."""

    def __init__(self, graph: Graph, x: Value, variables: Mapping[Value, str], style: Style):
        self.graph, self.output, self.x, self.style = graph, graph.output, x, style
        constants = [p for n in graph.order for p in n.parents if p.is_constant and (p.label or p in variables)]
        self.names = Names(list(dict.fromkeys([*constants, *graph.order, self.output, x])), variables)
        self.defined: dict[Value, None] = {}  # the nodes whose values are written, in no order yet
        self.mentioned: dict[Value, None] = {x: None, self.output: None}  # the nodes whose names may have been written
        self.stale = False  # whether data was found to have changed since the graph was built

    def number(self, x: float, factor: bool = False) -> Math:
        """A number; in brackets where it is negative and stands as a factor."""
        text, latex = written_number(x, self.style.digits)
        return Math(f"({text})", rf"\left({latex}\right)") if factor and text.startswith("-") else Math(text, latex)

    def symbol(self, node: Value) -> Symbol:
        """A node as a symbol: its name, or its number where it is a constant without one."""
        self.mentioned[node] = None
        return Symbol(node.data, None if node.is_constant and node not in self.names else self.names[node])

    def formula(self, node: Value) -> Symbol:
        """The operation of a node as a formula: its primitive on the names of its parents."""
        if node.rule is None or node.is_constant:
            return self.symbol(node)
        args = tuple([self.symbol(p) for p in node.parents])
        return Symbol(node.data, None, CHOICE if node.rule is WHERE else node.rule, args)

    def spelled(self, s: Symbol, numbers: bool = False) -> Math:
        return spelled(s, self.style.digits, numbers)

    def rule(self, term: Term) -> Math | None:
        """The local derivative of a term as the rule book writes it; None where it is just a number."""
        node = term.consumer
        assert node.rule is not None
        args = tuple([self.symbol(p) for p in node.parents])
        out = self.symbol(node) if node in self.names else self.formula(node)
        local = partial(node.rule, args, out, term.operand)
        if local is None or local.taken.literal:
            return None
        if local.number != term.local and local.number == local.number:
            self.stale = True
        return self.spelled(local)

    def delta(self, node: Value) -> Math:
        """δ of a node: δ_1^[2] for z_1^[2], δ_v for any other."""
        name = self.names.name(node)
        if (place := neuron(node.label)) is not None and place[0] == "z":
            return name.lettered("δ").math
        return Math(f"δ_{name.text}", rf"\delta_{{{name.latex}}}")

    def total(self, node: Value) -> Math:
        """∂L/∂node."""
        return self.derivative(self.names[self.output], self.names[node])

    def upstream(self, node: Value) -> Math:
        """The adjoint of a node as a factor, in the notation asked for."""
        return self.delta(node) if self.style.notation == "delta" else self.total(node)

    @staticmethod
    def derivative(of: Math, by: Math, operand: int = 0) -> Math:
        """∂of/∂by, by one `operand` alone where that is given (∂(a · a)/∂a|₁)."""
        which = (f"|{'₁₂₃₄₅₆₇₈₉'[operand - 1]}" if operand < 10 else f"|{operand}") if operand else ""
        latex = rf"\frac{{\partial {of.latex}}}{{\partial {by.latex}}}"
        return Math(f"∂{of.text}/∂{by.text}{which}", rf"\left.{latex}\right|_{{{operand}}}" if operand else latex)

    def place(self, term: Term) -> int:
        """The number of the operand as one reads, from 1, where the parent is more than one operand; else 0."""
        parents, operand = term.consumer.parents, term.operand
        if sum(p is parents[operand] for p in parents) < 2:
            return 0
        n = len(parents) // 2
        if term.consumer.op == "dot" and operand < 2 * n:  # written pairwise: x₁ · y₁ + x₂ · y₂
            return 2 * operand + 1 if operand < n else 2 * (operand - n) + 2
        return operand + 1

    def local(self, term: Term) -> Math:
        """∂consumer/∂parent; the output is written out as its formula."""
        parent = term.consumer.parents[term.operand]
        of = self.by_formula(term.consumer) if term.consumer is self.output else self.names[term.consumer]
        return self.derivative(of, self.names[parent], self.place(term))

    def by_formula(self, node: Value) -> Math:
        """The formula of a node, in brackets where it is a sum, product or power."""
        formula = self.formula(node)
        text, latex = self.spelled(formula)
        whole = Text().form(formula)[1] == ATOM or node.op == "sqrt"
        return Math(text, latex) if whole else Math(f"({text})", rf"\left({latex}\right)")

    def factors(self, term: Term) -> tuple[Math, ...]:
        """The factors of a term in symbols: ∂L/∂consumer and ∂consumer/∂parent, or the latter alone for the output."""
        return (self.local(term),) if term.consumer is self.output else (self.upstream(term.consumer), self.local(term))

    def numbers(self, term: Term) -> tuple[Math, ...]:
        """The factors of a term as numbers."""
        local = self.number(term.local, True)
        return (local,) if term.consumer is self.output else (self.number(term.upstream, True), local)

    def told(self, terms: list[Term]) -> list[Term]:
        """The terms in the order of evaluation; with exact numbers, in the order in which the engine adds them."""
        exact = self.style.digits >= EXACT
        return terms if exact else sorted(terms, key=lambda term: self.graph.position(term.consumer))

    def largest(self, terms: list[Term], most: int | None = None) -> list[Term]:
        """The terms that are shown: the `most` largest in size, in the order of `told`."""
        most = self.style.most if most is None else most
        terms = self.told(terms)
        if self.style.most is None or most is None or len(terms) <= most:
            return terms
        size = [math.inf if t.value != t.value else math.fabs(t.value) for t in terms]
        kept = sorted(range(len(terms)), key=lambda i: -size[i])[:most]
        return [terms[i] for i in sorted(kept)]

    def path(self, path: Path) -> str:
        """A path and its factors, without the middle of a long one."""
        long = len(path.nodes) > 12
        steps = [self.names[n].text for n in (path.nodes[:4] + path.nodes[-4:] if long else path.nodes)]
        numbers = [self.number(d, True).text for d in (path.locals[:4] + path.locals[-4:] if long else path.locals)]
        if long:
            steps.insert(4, "…")
            numbers.insert(4, "…")
        product = [" · ".join(numbers)] if len(numbers) > 1 else []
        return f"{' ← '.join(steps)}:  {' = '.join([*product, self.number(path.value).text])}"

    def lines(self, terms: list[Term], line: Callable[[Term], tuple[Math, ...]]) -> tuple[tuple[Math, ...] | Cut, ...]:
        """One line for each of the largest terms, and a line for those left out.

        With exact numbers there is such a line wherever terms are left out, with the sum so far. So the lines, added from the
        top, give the adjoint to the last bit.
        """
        shown = {(t.consumer, t.operand) for t in self.largest(terms)}
        lines: list[tuple[Math, ...] | Cut] = []
        running = 0.0
        left: list[float] = []
        for term in self.told(terms):
            kept = (term.consumer, term.operand) in shown
            if kept and left and self.style.digits >= EXACT:
                lines.append(self.cut(left, len(terms), running))
                left = []
            running += term.value
            if kept:
                lines.append(line(term))
            else:
                left.append(term.value)
        if left:
            lines.append(self.cut(left, len(terms), running))
        return tuple(lines)

    def cut(self, left: list[float], count: int, running: float) -> Cut:
        """The line for terms left out: how many, how many of them 0, what shows them, and their sum (or the sum so far)."""
        zeros = sum(value == 0.0 for value in left)
        words = (
            f"{len(left)} of {count} terms left out" + (f", {zeros} of them 0" if zeros else "") + " (most=None shows all), "
        )
        words += "sum so far" if self.style.digits >= EXACT else "together"
        text, latex = self.number(
            running if self.style.digits >= EXACT else math.fsum(left) if all(map(math.isfinite, left)) else sum(left)
        )
        return Cut(Math(f"{words} {text}", rf"{latex_words(words)}\ {latex}"))

    def rules(self, terms: list[Term]) -> list[Section]:
        """The rule behind each local factor: ∂v1/∂a = ∂tanh(a)/∂a = 1 − tanh²(a) = 0.42."""
        lines: dict[tuple[Math, ...], None] = {}
        for term in terms:
            parent = self.names[term.consumer.parents[term.operand]]
            cells = [self.local(term)]
            if term.consumer is not self.output:
                cells.append(self.derivative(self.by_formula(term.consumer), parent, self.place(term)))
            if rule := self.rule(term):
                cells.append(rule)
            value = self.number(term.local)
            lines[(*[c for c in cells if c.text != value.text], value)] = None
        return [Table(tuple(lines))] if lines else []
