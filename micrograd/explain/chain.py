"""The chain rule for one gradient of the user's own expression, written out.

`graph` gives the contributions, `formula` the rule book's partial derivatives as mathematics, `names` what things are called,
`layout` the page. Here stands what is said: the values on the way, the chain rule over the consumers of a node with symbols,
numbers and result, then the rule behind each local factor, and so on for the factors that are opened. For a weight or bias of
a network it is the textbook's form: δ_k = (Σ_l δ_l W_kl) g′(z_k), ∂L/∂W_jk = δ_k a_j, ∂L/∂b_k = δ_k.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from micrograd.engine import Value
from micrograd.explain.graph import Graph, Path, Term, count_paths, largest_paths
from micrograd.explain.layout import TIMES, Cut, Equation, Remark, Row, Section, Table, as_latex, as_text, latex_words
from micrograd.explain.names import NEURON, Names, visible
from micrograd.explain.network import is_neuron, network_block
from micrograd.formula.symbol import ATOM, CHOICE, WHERE, Math, Symbol, Text, joined, partial, spelled, written_number

WIDTH = 96  # the text that a sum of two or three terms may take before each term gets a line of its own
SCREENFUL = 8  # how many formulas are opened where depth is left to us


class Explanation:
    """How ∂output/∂x comes about. It shows itself as text in a terminal and as mathematics in a notebook.

    `value` is the adjoint of x, exactly as the engine computes it; `terms` are the engine's own contributions to it, in its
    order: added up from 0.0 they give `value`. `paths(k)` are the k largest paths, `path_count` says how many there are.

    >>> a = Value(3.0, label="a")
    >>> found = (a * a).explain(a)
    >>> found.value, [term.value for term in found.terms], found.path_count
    (6.0, [3.0, 3.0], 2)
    """

    def __init__(
        self,
        output: Value,
        x: Value,
        depth: int | None,
        notation: str,
        digits: int,
        most: int | None,
        known: Mapping[Value, str],
    ):
        self.output, self.x = output, x
        self.depth, self.notation, self.digits, self.most = depth, notation, digits, most
        self._graph = Graph(output)
        constants = {p for n in self._graph.order for p in n.parents if p.is_constant}
        self._nodes = {output, x, *constants, *self._graph.order}
        self._known = self._visible(known)
        self.value: float = self._graph.adjoint.get(x, 0.0)
        self.terms: list[Term] = self._graph.terms(x)

    def _visible(self, names: Mapping[Value, str]) -> dict[Value, str]:
        return {node: name for node, name in names.items() if node in self._nodes}

    @cached_property
    def path_count(self) -> int:
        """How many paths lead from the output down to x."""
        return count_paths(self._graph, self.x)

    def paths(self, k: int = 3) -> list[Path]:
        """The k paths whose products are largest in size, largest first."""
        found = largest_paths(self._graph, self.x, k)
        return [Path(nodes, locals, value, lambda path: Page(self).path(path)) for value, nodes, locals in found]

    def __str__(self) -> str:
        return as_text(Page(self).sections())

    __repr__ = __str__

    @property
    def latex(self) -> str:
        """The explanation as LaTeX, an `aligned` environment without the dollars around it."""
        return as_latex(Page(self).sections())

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex}\n$$"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/latex": self._repr_latex_()}


def explain(
    output: Value, x: Value, depth: int | None = None, notation: str = "leibniz", digits: int = 4, most: int | None = 8
) -> Explanation:
    """The Explanation of ∂output/∂x.

    `depth` is how many levels of factors are opened, from 1 for x alone; left out, as many as a screen holds. `notation` is
    "leibniz" or "delta" (δ_v for ∂L/∂v). `digits` is how many significant digits are printed, exact from 17 on. Sums of more
    than `most` terms are cut in the middle and say so; None shows them whole. Nothing is changed, no `.grad` is read.
    """
    for name, v in (("the output", output), ("x", x)):
        if not isinstance(v, Value):
            raise TypeError(f"explain needs Values, got {type(v).__name__} {v!r} as {name}")
    if notation not in ("leibniz", "delta"):
        raise ValueError(f"notation is 'leibniz' or 'delta', got {notation!r}")
    if depth is not None and depth < 1:
        raise ValueError(f"depth counts the levels of factors to open, from 1; got {depth}")
    if digits < 1 or (most is not None and most < 2):
        raise ValueError(f"explain needs digits of at least 1 and most of at least 2 (or None), got {digits} and {most}")
    return Explanation(output, x, depth, notation, digits, most, visible())


def merged(sections: list[Section]) -> list[Section]:
    """Tables that follow one another as one."""
    out: list[Section] = []
    for section in sections:
        before = out[-1] if out else None
        if isinstance(section, Table) and isinstance(before, Table):
            out[-1] = Table(tuple(dict.fromkeys(before.lines + section.lines)))
        else:
            out.append(section)
    return out


class Page:
    """An explanation as it is being written down, with the names that hold now."""

    def __init__(self, explanation: Explanation):
        self.e, self.graph = explanation, explanation._graph
        self.output, self.x = explanation.output, explanation.x
        variables = {**explanation._known, **explanation._visible(visible())}
        constants = [p for n in self.graph.order for p in n.parents if p.is_constant and (p.label or p in variables)]
        self.names = Names(list(dict.fromkeys([*constants, *self.graph.order, self.output, self.x])), variables)
        self.defined: dict[Value, None] = {}  # the nodes whose values are told, in no order yet
        self.stale = False

    # -- pieces

    def number(self, x: float, factor: bool = False) -> Math:
        """A number; in brackets where it is negative and stands as a factor."""
        text, latex = written_number(x, self.e.digits)
        return Math(f"({text})", rf"\left({latex}\right)") if factor and text.startswith("-") else Math(text, latex)

    def symbol(self, node: Value) -> Symbol:
        return Symbol(node.data, None if node.is_constant and node not in self.names else self.names[node])

    def formula(self, node: Value) -> Symbol:
        """What the node computes: its primitive on the names of its parents."""
        if node.rule is None or node.is_constant:
            return self.symbol(node)
        args = tuple([self.symbol(p) for p in node.parents])
        return Symbol(node.data, None, CHOICE if node.rule is WHERE else node.rule, args)

    @staticmethod
    def changed(node: Value) -> bool:
        """Whether the operands hold other numbers now than those from which the node was computed."""
        if node.rule is None or node.rule.partials is None:
            return False
        now = node.rule.on_floats([p.data for p in node.parents])
        return now != node.data and (now == now or node.data == node.data)

    def spelled(self, s: Symbol, numbers: bool = False) -> Math:
        return spelled(s, self.e.digits, numbers)

    def rule(self, term: Term) -> Math | None:
        """The local derivative of a term as the rule book writes it; None where it is a number alone."""
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
        name = self.names[node]
        if NEURON.fullmatch(node.label) and node.label[0] == "z":
            return Math("δ" + name.text[1:], r"\delta" + name.latex[1:])
        return Math(f"δ_{name.text}", rf"\delta_{{{name.latex}}}")

    def total(self, node: Value) -> Math:
        """∂L/∂node."""
        return self.derivative(self.names[self.output], self.names[node])

    def upstream(self, node: Value) -> Math:
        """The adjoint of a node as a factor, in the notation asked for."""
        return self.delta(node) if self.e.notation == "delta" else self.total(node)

    @staticmethod
    def derivative(of: Math, by: Math, operand: int = 0) -> Math:
        which = (f"|{'₁₂₃₄₅₆₇₈₉'[operand - 1]}" if operand < 10 else f"|{operand}") if operand else ""
        latex = rf"\frac{{\partial {of.latex}}}{{\partial {by.latex}}}"
        return Math(f"∂{of.text}/∂{by.text}{which}", rf"\left.{latex}\right|_{{{operand}}}" if operand else latex)

    def place(self, term: Term) -> int:
        """Which operand it is as one reads, from 1, where the parent is there more than once; else 0."""
        parents, operand = term.consumer.parents, term.operand
        if sum(p is parents[operand] for p in parents) < 2:
            return 0
        n = len(parents) // 2
        if term.consumer.op == "dot" and operand < 2 * n:  # written pairwise: x₁ · y₁ + x₂ · y₂
            return 2 * operand + 1 if operand < n else 2 * (operand - n) + 2
        return operand + 1

    def local(self, term: Term) -> Math:
        """∂consumer/∂parent; with the consumer written out where it is the output."""
        parent = term.consumer.parents[term.operand]
        of = self.by_formula(term.consumer) if term.consumer is self.output else self.names[term.consumer]
        return self.derivative(of, self.names[parent], self.place(term))

    def by_formula(self, node: Value) -> Math:
        formula = self.formula(node)
        text, latex = self.spelled(formula)
        whole = Text().form(formula)[1] == ATOM or node.op == "sqrt"
        return Math(text, latex) if whole else Math(f"({text})", rf"\left({latex}\right)")

    def factors(self, term: Term) -> tuple[Math, ...]:
        return (self.local(term),) if term.consumer is self.output else (self.upstream(term.consumer), self.local(term))

    def numbers(self, term: Term) -> tuple[Math, ...]:
        local = self.number(term.local, True)
        return (local,) if term.consumer is self.output else (self.number(term.upstream, True), local)

    def shown(self, terms: list[Any]) -> tuple[list[Any], list[Any], int]:
        """The first and the last terms that are shown, and how many are left out between."""
        most = self.e.most
        if most is None or len(terms) <= most:
            return terms, [], 0
        return terms[: (most + 1) // 2], terms[len(terms) - most // 2 :], len(terms) - most

    def path(self, path: Path) -> str:
        """A path and its factors, the middle of a long one left out."""
        long = len(path.nodes) > 12
        steps = [self.names[n].text for n in (path.nodes[:4] + path.nodes[-4:] if long else path.nodes)]
        numbers = [self.number(d, True).text for d in (path.locals[:4] + path.locals[-4:] if long else path.locals)]
        if long:
            steps.insert(4, "…")
            numbers.insert(4, "…")
        product = [" · ".join(numbers)] if len(numbers) > 1 else []
        return f"{' ← '.join(steps)}:  {' = '.join([*product, self.number(path.value).text])}"

    # -- the page

    def sections(self) -> list[Section]:
        if self.x not in self.graph.adjoint:
            name, output = self.names[self.x].text, self.names[self.output].text
            reason = f"{name} is a constant" if self.x.is_constant else f"{output} does not depend on {name}"
            return [Table(((self.total(self.x), Math("0", "0")),)), Remark(f"{reason}.")]
        opened: list[Value] = []
        sections: list[Section] = []
        level, depth, skipped = [self.x], 1, 0
        while level:
            following: dict[Value, None] = {}
            for node in level:
                opened.append(node)
                made, factors = self.block(node)
                sections += made
                following.update(dict.fromkeys(factors))
            level = [n for n in following if n is not self.output and n not in opened]
            if self.e.depth is None and len(opened) + len(level) > SCREENFUL:
                break
            if self.e.depth is not None and depth >= self.e.depth:
                break
            if self.e.most is not None and len(level) > self.e.most:
                skipped += len(level) - self.e.most
                level = level[: self.e.most]
            depth += 1
        if skipped:
            sections.append(Remark(f"{skipped} further factors are not opened (most={self.e.most})."))
        sections = merged(sections)
        if values := self.values():
            sections.insert(0, values)
        if self.stale:
            sections.append(Remark("Data has changed since this graph was built; the derivatives are those at the old values."))
        return sections

    def values(self) -> Table | None:
        """The values on the way, in order of evaluation."""
        lines = []
        for node in self.graph.order:
            if node in self.defined and node.rule is not None:
                formula = self.formula(node)
                self.stale |= self.changed(node)
                cells = [self.names[node], self.spelled(formula), self.spelled(formula, True), self.number(node.data)]
                if len(cells[1].text) + len(cells[2].text) > WIDTH:
                    cells[2] = cells[3]
                lines.append(
                    tuple([c for i, c in enumerate(cells) if i in (0, 3) or (c.text != cells[3].text and c not in cells[:i])])
                )
        return Table(tuple(lines)) if lines else None

    def block(self, node: Value) -> tuple[list[Section], list[Value]]:
        """The formulas for the adjoint of one node, and the nodes whose adjoints are factors in them."""
        if node is self.output:
            return [Table(((self.total(node), Math("1", "1")),))], []
        return network_block(self, node) or self.generic(node)

    def generic(self, node: Value) -> tuple[list[Section], list[Value]]:
        terms = self.graph.terms(node)
        first, last, cut = self.shown(terms)
        result = self.number(self.graph.adjoint[node])
        left = self.total(node)
        if node is not self.x and (self.e.notation == "delta" or is_neuron(node)):
            left = Math(f"{self.delta(node).text} = {left.text}", f"{self.delta(node).latex} = {left.latex}")
        for term in (*first, *last):
            self.defined[term.consumer] = None
        self.defined[self.output] = None
        if len(terms) == 1 and terms[0].consumer is self.output:  # the last step: the rule itself
            cells = [left, self.local(terms[0]), self.rule(terms[0]), result]
            return [Table((tuple([c for c in cells if c is not None]),))], []
        if len(terms) == 1 and node is not self.x:  # one way on: one line
            line = (left, joined(TIMES, self.factors(terms[0])), joined(TIMES, self.numbers(terms[0])), result)
            return [Table((line,)), *self.rules(terms)], [terms[0].consumer]
        rows = [Row(tuple([self.factors(t) for t in terms])), Row(tuple([self.numbers(t) for t in terms]))] if not cut else []
        wide = not rows or len(terms) > 3 or len(left.text) + sum(len(f.text) + 3 for t in rows[0].terms for f in t) > WIDTH
        if wide:
            equation = self.long_sum(left, terms, result)
        else:
            if len(terms) > 1 and any(len(term) > 1 for term in rows[1].terms):
                rows.append(Row(tuple([(self.number(t.value),) for t in terms])))
            if [[f.text for f in t] for t in rows[-1].terms] != [[result.text]]:
                rows.append(Row(((result,),)))
            equation = Equation(left, tuple(rows))
        return [equation, *self.rules([*first, *last])], [t.consumer for t in (*first, *last)]

    def long_sum(self, left: Math, terms: list[Term], result: Math) -> Equation:
        """One term per line, the middle left out where there are too many."""
        first, last, cut = self.shown(terms)
        lines: list[tuple[Math, ...] | Cut] = [self.long_line(t) for t in first]
        if cut:
            lines += [self.cut(terms, len(first), cut), *[self.long_line(t) for t in last]]
        return Equation(left, (), tuple(lines), (result,))

    def long_line(self, term: Term) -> tuple[Math, ...]:
        return joined(TIMES, self.factors(term)), joined(TIMES, self.numbers(term)), self.number(term.value)

    def cut(self, terms: list[Any], start: int, count: int) -> Cut:
        """The line for `count` terms left out from `start` on: how many of what total, how many zeros, the sum so far."""
        running = 0.0
        for term in terms[: start + count]:
            running += term.value
        zeros = sum(term.value == 0.0 for term in terms[start : start + count])
        words = f"{count} of {len(terms)} terms left out" + (f", {zeros} of them 0" if zeros else "") + ", sum so far"
        text, latex = self.number(running)
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
