"""The chain rule for one gradient of the user's own expression, written out.

`contributions` reads the graph, `phrases` writes pieces of mathematics, `layout` the page. This module says what stands on it:
the values on the way; for x, the chain rule over its consumers, with symbols, numbers and result, and the rule behind each
local factor; then the same for the adjoints that are factors there, as far as they are opened. A weight or bias of a network
has the textbook's form, from `network`: δ_k = (Σ_l δ_l W_kl) g′(z_k), ∂L/∂W_jk = δ_k a_j, ∂L/∂b_k = δ_k.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from heapq import heappop, heappush
from numbers import Integral
from typing import Any

from micrograd.elementwise import one_of
from micrograd.engine import Value
from micrograd.explain.closed_form import closed_form
from micrograd.explain.contributions import STALE, Graph, Path, Term, changed, count_paths, largest_paths, scope_of
from micrograd.explain.layout import (
    TIMES,
    Equation,
    Given,
    Remark,
    Row,
    Section,
    Table,
    as_latex,
    as_text,
    height,
    latex_words,
    sentence,
    texts,
)
from micrograd.explain.names import visible
from micrograd.explain.network import is_network, is_neuron, network_block
from micrograd.explain.phrases import Phrases, Style
from micrograd.formula.latex import Math, joined
from micrograd.formula.text import clean

WIDTH = 96  # characters on one line; in a sum of two or three terms that takes more, each has its own line
SCREENFUL, LINES = 8, 32  # without a `depth`: formulas opened at most; lines of them after which no more is opened
NEGLIGIBLE = 1e-6  # without a `depth`: what carries less than this share of the largest contribution is not opened
Block = tuple[list[Section], list[Value]]  # formulas, and the nodes whose adjoints are factors in them


class Explanation:
    """How ∂output/∂x comes about. It shows itself as text in a terminal and as mathematics in a notebook.

    `value` is the adjoint of x, exactly as the engine computes it. `terms` are the engine's own contributions to it, in its
    order: added up from 0.0 they give `value`. `paths(k)` are the k largest paths, `path_count` is the number of all.

    >>> a = Value(3.0, label="a")
    >>> found = (a * a).explain(a)
    >>> found.value, [term.value for term in found.terms], found.path_count
    (6.0, [3.0, 3.0], 2)
    """

    def __init__(self, output: Value, x: Value, style: Style, known: Mapping[Value, str]):
        self.output, self.x, self.style = output, x, style
        self.graph = Graph(output)
        constants = {p for n in self.graph.order for p in n.parents if p.is_constant}
        self._nodes = {output, x, *constants, *self.graph.order}
        self._known = self._visible(known)
        self.value: float = self.graph.adjoint.get(x, 0.0)
        self.terms: list[Term] = self.graph.terms(x)

    def _visible(self, names: Mapping[Value, str]) -> dict[Value, str]:
        return {node: name for node, name in names.items() if node in self._nodes}

    def page(self) -> Page:
        """A new page to write, with the names that variables have now."""
        return Page(self.graph, self.x, {**self._known, **self._visible(visible())}, self.style)

    @cached_property
    def path_count(self) -> int:
        """How many paths lead from the output down to x."""
        return count_paths(self.graph, self.x)

    def paths(self, k: int = 3) -> list[Path]:
        """The k paths whose products are largest in size, largest first."""
        found = largest_paths(self.graph, self.x, k)
        return [Path(nodes, locals, value, lambda path: self.page().path(path)) for value, nodes, locals in found]

    def __str__(self) -> str:
        return as_text(self.page().sections())

    __repr__ = __str__

    @property
    def latex(self) -> str:
        """The explanation as LaTeX, an `aligned` environment without the dollars around it."""
        return as_latex(self.page().sections())

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex}\n$$"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/latex": self._repr_latex_()}


def explain(
    output: Value,
    x: Value = None,  # type: ignore[assignment]  # so that a call without it gets a clear message
    depth: int | None = None,
    notation: str = "leibniz",
    digits: int = 4,
    most: int | None = 8,
) -> Explanation:
    """The Explanation of ∂output/∂x.

    `depth` is how many levels of factors are opened, 1 for x alone. By default as many are opened as a screen holds, beginning
    with those that carry most of the derivative. `notation` is "leibniz" or "delta" (δ_v for ∂L/∂v). `digits` is how many
    significant digits are printed; with 17 numbers are exact. Of a sum of more than `most` terms the largest are shown, and a
    line says what is left out; None shows all. Nothing is changed, and no `.grad` is read.
    """
    for name, v in (("the output", output), ("x", x)):
        if not isinstance(v, Value):
            advice = f": the Value that is shown by a name is found by output[{v!r}]" if isinstance(v, str) else ""
            if v is None and v is x:
                raise TypeError("explain and why need the Value to differentiate by: L.explain(x)")
            raise TypeError(f"explain needs Values, got {type(v).__name__} {v!r} as {name}{advice}")
    if not one_of(notation, ("leibniz", "delta")):
        raise ValueError(f"notation is 'leibniz' or 'delta', got {notation!r}")
    for name, count in (("depth", depth), ("digits", digits), ("most", most)):
        if (not isinstance(count, Integral) or isinstance(count, bool)) and (count is not None or name == "digits"):
            raise TypeError(f"explain takes one Value to differentiate by, and {name} as a whole number; got {count!r}")
    if depth is not None and depth < 1:
        raise ValueError(f"depth counts the levels of factors to open, from 1; got {depth}")
    if digits < 1 or (most is not None and most < 2):
        raise ValueError(f"explain needs digits of at least 1 and most of at least 2 (or None), got {digits} and {most}")
    return Explanation(output, x, Style(depth, notation, digits, most), visible())


def merged(sections: list[Section]) -> list[Section]:
    """The sections, where tables that follow one another are joined."""
    out: list[Section] = []
    for section in sections:
        before = out[-1] if out else None
        if isinstance(section, Table) and isinstance(before, Table):
            out[-1] = Table(tuple(dict.fromkeys(before.lines + section.lines)))
        else:
            out.append(section)
    return out


def occurs(name: str, text: str) -> bool:
    """Whether a name stands in a text, also with a number before it or a power after it (2x, x^y), not within another name."""
    return re.search(rf"(?<![\w\]])(?:\d[\d.]*)?{re.escape(name)}(?![\w(\[⁽]|\^\[|_\w)", text) is not None


class Page(Phrases):
    """An explanation while it is written: `sections` writes it."""

    def sections(self) -> list[Section]:
        if self.x not in self.graph.adjoint:
            name, output = self.names[self.x].text, self.names[self.output].text
            reason = f"{name} is a constant" if self.x.is_constant else f"{output} does not depend on {name}"
            return [Table(((self.total(self.x), Math("0", "0")),)), sentence(f"{reason}.")]
        blocks, left = self.opened() if self.style.depth is None else self.to_depth(self.style.depth)
        steps = [*merged([section for made, _ in blocks.values() for section in made]), *self.unopened(blocks, left)]
        values = self.values()
        formula = None if self.stale or is_network(self, self.x) else closed_form(self)
        top = [Table(((self.total(self.x), formula, self.number(self.graph.adjoint[self.x])),))] if formula else []
        given = self.given([*top, *values, *steps])
        return [*top, *given, *values, *self.scopes(), *steps, *self.calls(), *([sentence(STALE)] if self.stale else [])]

    def opened(self) -> tuple[dict[Value, Block], list[Value]]:
        """As many blocks as a screen holds, those first that carry most of the derivative; and the factors not opened."""
        share = self.graph.shares(self.x)
        blocks: dict[Value, Block] = {}
        waiting, known, least = [(0.0, 0, self.x)], {self.x}, 0.0
        calls: list[Value] = []
        while waiting and len(blocks) < SCREENFUL and -waiting[0][0] >= least:
            _, _, node = heappop(waiting)
            blocks[node] = block = self.block(node)
            factors = [f for f in dict.fromkeys(block[1]) if f is not self.output and f not in known]
            if len(factors) > 1 and is_network(self, node) and not is_neuron(node):  # over calls: the largest alone is opened
                largest = max(factors, key=lambda factor: share[factor])
                calls = [f for f in factors if f is not largest]
                factors = [largest]
            for factor in factors:
                known.add(factor)
                heappush(waiting, (-share[factor], len(known), factor))
            if node is self.x and waiting:
                least = NEGLIGIBLE * -waiting[0][0]
            if sum(map(height, (section for made, _ in blocks.values() for section in made))) > LINES:
                break
        return blocks, [*calls, *[node for _, _, node in sorted(waiting, key=lambda entry: entry[:2])]]

    def to_depth(self, depth: int) -> tuple[dict[Value, Block], list[Value]]:
        """The blocks of x and of all factors down to a depth, the largest contributions first; and the factors not opened."""
        share = self.graph.shares(self.x)
        blocks: dict[Value, Block] = {}
        level = [self.x]
        for _ in range(depth):
            blocks |= {node: self.block(node) for node in level}
            factors = dict.fromkeys([factor for node in level for factor in blocks[node][1]])
            level = [node for node in factors if node is not self.output and node not in blocks]
        rank = {node: i for i, node in enumerate(blocks)}
        order, waiting, known = [], [(0.0, 0, self.x)], {self.x}
        while waiting:
            _, _, node = heappop(waiting)
            order.append(node)
            for factor in blocks[node][1]:
                if factor in blocks and factor not in known:
                    known.add(factor)
                    heappush(waiting, (-share[factor], rank[factor], factor))
        return {node: blocks[node] for node in order}, level

    def unopened(self, blocks: dict[Value, Block], left: list[Value]) -> list[Section]:
        """The factors that are not opened, with their numbers, and what would open them."""
        if not left:
            return []
        level = {self.x: 1}
        pending = [self.x]
        for node in pending:
            for factor in blocks[node][1] if node in blocks else ():
                if factor is not self.output and factor not in level:
                    level[factor] = level[node] + 1
                    pending.append(factor)
        table = [(self.upstream(node), self.number(self.graph.adjoint[node])) for node in left if not is_neuron(node)]
        names = [self.delta(node) if is_neuron(node) else self.upstream(node) for node in left]
        which = joined(Math(", ", ",\\ "), names if len(names) <= 6 else names[:4])
        more = f" and {len(names) - 4} more" if len(names) > 6 else ""
        opening = f"{more} (depth={max(level[node] for node in left)} opens {'it' if len(left) == 1 else 'them'})."
        remark = Math(
            f"Not opened: {which.text}{opening}", rf"{latex_words('Not opened: ')}{which.latex}{latex_words(opening)}"
        )
        return [*([Table(tuple(table))] if table else []), Remark(remark)]

    def given(self, sections: list[Section]) -> list[Section]:
        """The numbers of what is named on the page but has no row there."""
        rows = {line[0].text for section in sections if isinstance(section, Table) for line in section.lines}
        page = "\n".join(texts(sections))
        pairs = []
        for node in sorted(self.mentioned, key=self.graph.position):
            unnamed = node.is_constant and node not in self.names
            if not unnamed and (name := self.names[node]).text not in rows and occurs(name.text, page):
                pairs.append((name, self.number(node.data)))
        return [Given(tuple(pairs))] if pairs else []

    def values(self) -> list[Section]:
        """The values on the way from x to the output, in order of evaluation."""
        lines = []
        for node in self.graph.order:
            if node in self.defined and node.rule is not None:
                formula = self.formula(node)
                differs = changed(node)
                self.stale |= differs
                cells = [self.names[node], self.spelled(formula), self.spelled(formula, True), self.number(node.data)]
                if differs or len(cells[1].text) + len(cells[2].text) > WIDTH:
                    cells[2] = cells[3]
                lines.append(
                    tuple([c for i, c in enumerate(cells) if i in (0, 3) or (c.text != cells[3].text and c not in cells[:i])])
                )
        return [Table(tuple(lines))] if lines else []

    def scopes(self) -> list[Section]:
        """Which of the values on the way were made inside a `with scope(...)`."""
        inside: dict[str, list[Math]] = {}
        for node in self.graph.order:
            if node in self.defined and (scope := scope_of(node)):
                inside.setdefault(clean(scope), []).append(self.names[node])
        if not inside:
            return []
        parts = [joined(Math(", ", ",\\ "), names) for names in inside.values()]
        text = "; ".join([f"in {scope}: {part.text}" for scope, part in zip(inside, parts, strict=True)])
        latex = r";\ ".join([rf"{latex_words(f'in {scope}: ')}{part.latex}" for scope, part in zip(inside, parts, strict=True)])
        return [Remark(Math(text, latex))]

    def calls(self) -> list[Section]:
        """Which of the values on the way are results of compiled functions, and how to see inside these."""
        made = [node for node in self.graph.order if node in self.defined and node.rule is not None and node.rule.compiled]
        names = dict.fromkeys([clean(node.op) for node in made])
        if not names:
            return []
        are = "are results of compiled functions" if len(names) > 1 else "is the result of a compiled function"
        return [sentence(f"{', '.join(names)} {are}: micrograd.opened({self.names[self.output].text}) shows what is inside.")]

    def block(self, node: Value) -> tuple[list[Section], list[Value]]:
        """The formulas for the adjoint of a node, and the nodes whose adjoints are factors in them."""
        if node is self.output:
            return [Table(((self.total(node), Math("1", "1")),))], []
        return network_block(self, node) or self.generic(node)

    def generic(self, node: Value) -> tuple[list[Section], list[Value]]:
        """The block of a node that is not part of a network: the chain rule over its consumers."""
        terms = self.graph.terms(node)
        shown = self.largest(terms)
        cut = len(shown) < len(terms)
        result = self.number(self.graph.adjoint[node])
        left = self.total(node)
        if node is not self.x and (self.style.notation == "delta" or is_neuron(node)):
            left = Math(f"{self.delta(node).text} = {left.text}", f"{self.delta(node).latex} = {left.latex}")
        for term in shown:
            self.defined[term.consumer] = None
        self.defined[self.output] = None
        if len(terms) == 1 and terms[0].consumer is self.output:  # the last step: the rule itself
            cells = [left, self.local(terms[0]), self.rule(terms[0]), result]
            return [Table((tuple([c for c in cells if c is not None]),))], []
        if len(terms) == 1 and node is not self.x:  # a single consumer takes one line
            line = (left, joined(TIMES, self.factors(terms[0])), joined(TIMES, self.numbers(terms[0])), result)
            return [Table((line,)), *self.rules(terms)], [terms[0].consumer]
        rows = [Row(tuple([self.factors(t) for t in shown])), Row(tuple([self.numbers(t) for t in shown]))] if not cut else []
        wide = not rows or len(terms) > 3 or len(left.text) + sum(len(f.text) + 3 for t in rows[0].terms for f in t) > WIDTH
        if wide:
            equation = Equation(left, (), self.lines(terms, self.long_line), (result,))
        else:
            if len(terms) > 1 and any(len(term) > 1 for term in rows[1].terms):
                rows.append(Row(tuple([(self.number(t.value),) for t in shown])))
            if [[f.text for f in t] for t in rows[-1].terms] != [[result.text]]:
                rows.append(Row(((result,),)))
            equation = Equation(left, tuple(rows))
        return [equation, *self.rules(shown)], [t.consumer for t in shown]

    def long_line(self, term: Term) -> tuple[Math, ...]:
        """The line of a term in a long sum: its factors, their numbers, their product."""
        return joined(TIMES, self.factors(term)), joined(TIMES, self.numbers(term)), self.number(term.value)
