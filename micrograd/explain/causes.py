"""Why a gradient is zero, tiny, huge, nan or inf: the node that did it, with its numbers.

`graph` gives the contributions and paths, `names` what things are called. Looked for, in this order: no connection; a nan or
inf, forward or backward; an exact zero and what cut it; contributions that cancel; saturation, and factors that are very
small or very large on the path that dominates. What is left is "nothing unusual", with that path.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

from micrograd.engine import Value
from micrograd.explain.chain import Explanation, explain
from micrograd.explain.graph import Graph, Path, Term

TINY, HUGE = 1e-6, 1e6  # a gradient beyond these is called tiny or huge
SATURATED = 0.01  # a bounded function whose slope is below this is called saturated
CANCELLED = 1e-3  # a sum below this share of its terms' sizes has cancelled
SATURATING = ("tanh", "sigmoid", "erf")
FLAT = ("sign", "step", "greater", "less", "equal")


class Finding(NamedTuple):
    """One thing found: what kind of cause, the node that did it, and a sentence that gives the numbers."""

    cause: str
    node: Value | None
    text: str


class Why:
    """What was found about one gradient. `cause` is that of the first finding, `node` the node that did it."""

    def __init__(self, explanation: Explanation, findings: list[Finding], headline: str):
        self.explanation, self.findings, self.headline = explanation, findings, headline

    @property
    def value(self) -> float:
        return self.explanation.value

    @property
    def cause(self) -> str:
        return self.findings[0].cause

    @property
    def node(self) -> Value | None:
        return self.findings[0].node

    def __str__(self) -> str:
        return "\n".join([self.headline, *[f"  {finding.text}" for finding in self.findings]])

    __repr__ = __str__


def why(output: Value, x: Value) -> Why:
    """What is unusual about ∂output/∂x: what makes it zero, tiny, huge, nan or inf, or that nothing does."""
    explanation = explain(output, x)
    found = _Search(explanation)
    value = explanation.value
    kind = "tiny" if 0.0 < math.fabs(value) < TINY else "huge" if HUGE < math.fabs(value) < math.inf else ""
    findings = found.findings()
    page = found.page
    headline = f"{page.total(x).text} = {page.number(value).text}" + (f" is {kind}:" if kind else ":")
    if note := found.accumulated():
        findings.append(note)
    return Why(explanation, findings, headline)


class _Search:
    def __init__(self, explanation: Explanation):
        self.e = explanation
        self.graph: Graph = explanation.graph
        self.page = explanation.page()
        self.output, self.x = explanation.output, explanation.x

    @cached_property
    def largest(self) -> Path:
        return self.e.paths(1)[0]

    # -- words

    def name(self, node: Value) -> str:
        unnamed = node.is_constant and node not in self.page.names
        return self.number(node.data) if unnamed else self.page.names[node].text

    def number(self, x: float, factor: bool = False) -> str:
        return self.page.number(x, factor).text

    def made(self, node: Value) -> str:
        """A node as it came about: v2 = relu(v1) = relu(-1.2) = 0."""
        if node.rule is None or node.is_constant:
            return f"{self.name(node)} = {self.number(node.data)}"
        formula = self.page.formula(node)
        cells = [
            self.name(node),
            self.page.spelled(formula).text,
            self.page.spelled(formula, True).text,
            self.number(node.data),
        ]
        return " = ".join([c for i, c in enumerate(cells) if c not in cells[:i] or i == 3])

    def valued(self, node: Value) -> str:
        """A name with its number; a number alone where it has no name."""
        name, data = self.name(node), self.number(node.data)
        return name if name == data else f"{name} = {data}"

    def written_at(self, node: Value) -> str:
        return f", written at {node.note.line}" if node.note is not None and node.note.line else ""

    def slope(self, term: Term) -> str:
        """The local derivative of a term: ∂v2/∂v1 = 1 − tanh²(v1) = 0.42."""
        rule = self.page.rule(term)
        return " = ".join([self.page.local(term).text, *([rule.text] if rule else []), self.number(term.local)])

    # -- the search

    def findings(self) -> list[Finding]:
        if self.x not in self.graph.adjoint:
            return [self.not_connected()]
        if not math.isfinite(self.e.value):
            return [self.not_finite()]
        if not math.isfinite(self.output.data) and (finding := self.forward(self.output)):
            text = (
                f"The gradient is finite, but {self.name(self.output)} = {self.number(self.output.data)} is not. {finding.text}"
            )
            return [finding._replace(text=text)]
        if self.x is self.output:
            return [Finding("output", self.x, f"{self.name(self.x)} is the output itself.")]
        if self.e.value == 0.0:
            return self.zero()
        return self.cancelled(self.x) or self.extreme() or [self.usual()]

    def accumulated(self) -> Finding | None:
        """A word on `.grad` where it holds something else than this gradient."""
        grad = self.x.grad
        if self.x.rule is not None or grad in (0.0, self.e.value) or grad != grad or self.e.value != self.e.value:
            return None
        ratio = grad / self.e.value if self.e.value else 0.0
        how = f"{int(ratio)} times this" if ratio.is_integer() and 1 < ratio < 100 else "not this gradient alone"
        text = f"Its .grad holds {self.number(grad)}, {how}: leaves add up over calls of backward() until they are zeroed."
        return Finding("accumulated", self.x, text)

    def not_connected(self) -> Finding:
        name, output = self.name(self.x), self.name(self.output)
        if self.x.is_constant:
            text = (
                f"{name} is a constant: a plain number, or made by constant(), detach() or under no_grad(). It has no gradient."
            )
        elif self.output.is_constant:
            text = f"{output} is a constant: it was computed under no_grad() or detached, so it remembers no parents."
        elif self.output in Graph(self.x).adjoint:
            text = f"not connected: the other way round, {name} is computed from {output}."
        else:
            text = f"not connected: {output} is not computed from {name}."
            twins = [n for n in self.graph.order if n.rule is None and self.x.label and n.label == self.x.label]
            if twins:
                text += f" Another Value labelled {self.x.label!r}, with data {self.number(twins[0].data)}, is below {output}."
        return Finding("not connected", self.x, text)

    def not_finite(self) -> Finding:
        """The first step backward that left the finite numbers, traced to the forward operation where that is the reason."""
        inside = set(self.graph.between(self.x))
        sums = dict.fromkeys(inside, 0.0)
        sums[self.output] = 1.0
        for consumer in reversed(self.graph.order):
            if consumer not in inside:
                continue
            g = self.graph.adjoint[consumer]
            for i, (parent, local) in enumerate(zip(consumer.parents, consumer.partials, strict=True)):
                if parent not in inside or consumer is self.x:
                    continue
                term = Term(consumer, i, g, local, g * local)
                before, sums[parent] = sums[parent], sums[parent] + g * local
                if not math.isfinite(sums[parent]):
                    return self.forward(consumer) or self.backward(term, before)
        raise AssertionError("an adjoint is not finite although every contribution to it is")

    def forward(self, node: Value) -> Finding | None:
        """The first operation below `node` whose result is not finite although its operands are; or a leaf that is not."""
        for below in Graph(node).order:
            for n in (*below.parents, below):
                if not math.isfinite(n.data):
                    if n.rule is None or n.is_constant:
                        return Finding("leaf", n, f"{self.name(n)} itself holds {self.number(n.data)}, before any operation.")
                    what = "overflowed" if math.isinf(n.data) else "has no real value"
                    where = self.written_at(n)
                    cause = {"log": "log", "log1p": "log", "sqrt": "sqrt", "div": "division"}.get(
                        n.op, "overflow" if math.isinf(n.data) else n.op
                    )
                    if cause in ("log", "sqrt") and math.isnan(n.data):
                        what = f"the {'square root' if cause == 'sqrt' else 'logarithm'} of a negative number"
                    elif math.isinf(n.data) and cause in ("log", "division"):
                        what = "division by zero" if cause == "division" else "the logarithm of zero"
                    if cause == "division" and math.isfinite(n.parents[1].data) and n.parents[1].data != 0.0:
                        what = "overflowed"
                    return Finding(
                        cause, n, f"The first operation to leave the finite numbers is {self.made(n)} ({what}){where}."
                    )
        return None

    def backward(self, term: Term, before: float) -> Finding:
        consumer, parent = term.consumer, term.consumer.parents[term.operand]
        step = f"{self.number(term.upstream, True)} · {self.number(term.local, True)} = {self.number(term.value)}"
        start = f"Every forward value is finite; backward, at {self.made(consumer)}{self.written_at(consumer)}, "
        if term.upstream == 0.0 and math.isinf(term.local):
            return Finding(
                "0 · inf", consumer, f"{start}the step is 0 · inf = nan: {self.slope(term)}, and nothing arrives from above."
            )
        if not math.isfinite(term.local):
            return Finding("local", consumer, f"{start}the local derivative is not finite: {self.slope(term)}.")
        if not math.isfinite(term.value):
            return Finding("overflow", consumer, f"{start}the product overflows: {step}.")
        total = f"{self.number(before)} + {self.number(term.value, True)}"
        return Finding("overflow", consumer, f"{start}the sum of the contributions to {self.name(parent)} overflows: {total}.")

    def zero(self) -> list[Finding]:
        """What stops every contribution to an adjoint of exactly 0, followed up from x."""
        found: dict[Any, Finding] = {}
        seen, pending = {self.x}, [self.x]
        for node in pending:
            terms = self.graph.terms(node)
            if any(t.value != 0.0 for t in terms):
                for finding in self.cancelled(node):
                    found[node] = finding
                continue
            for term in terms:
                if term.upstream == 0.0 and term.consumer not in seen:
                    seen.add(term.consumer)
                    pending.append(term.consumer)
                elif term.upstream != 0.0:
                    found[term.consumer, term.operand] = self.cut(term)
        findings = list(found.values())
        if len(findings) > 4:
            causes = ", ".join([f"{c} {n} times" for c, n in _counted([f.cause for f in findings])])
            findings = [
                Finding(findings[0].cause, findings[0].node, f"Cut in {len(findings)} places ({causes}), among them:"),
                *findings[:3],
            ]
        return findings

    def cut(self, term: Term) -> Finding:
        """Why one contribution is 0 although something arrives from above."""
        node, parent = term.consumer, term.consumer.parents[term.operand]
        op, made = node.op, self.made(node)
        if term.local != 0.0:
            step = f"{self.number(term.upstream, True)} · {self.number(term.local, True)}"
            return Finding("underflow", node, f"Underflow at {made}: {step} is too small for a float.")
        if op == "relu":
            at = "is exactly 0, where the derivative is 0 by convention" if parent.data == 0.0 else "is negative"
            return Finding(
                "relu", node, f"Cut by a relu: {made}; its input {self.name(parent)} = {self.number(parent.data)} {at}."
            )
        if op in SATURATING:
            return Finding("saturated", node, f"Cut by a saturated {op}: {made}; {self.slope(term)} in floating point.")
        if op in FLAT:
            return Finding("flat", node, f"Cut by {op}, which is flat: {made}; its derivative is 0 everywhere.")
        if op in ("maximum", "minimum"):
            other = node.parents[1 - term.operand]
            than = "larger" if op == "maximum" else "smaller"
            return Finding(op, node, f"Cut by a {op}: {made}; the other operand, {self.valued(other)}, is {than}.")
        if op == "where":
            how = "its condition has no derivative" if term.operand == 0 else "the other branch was taken"
            return Finding("where", node, f"Cut by a where: {made}; {how}.")
        if op == "take":
            how = "an index has no derivative" if term.operand == 0 else "another entry was taken"
            return Finding("take", node, f"Cut by a take: {made}; {how}.")
        if op in ("mul", "dot"):
            n = len(node.parents) // 2
            other = node.parents[1 - term.operand] if op == "mul" else node.parents[(term.operand + n) % (2 * n)]
            text = f"Multiplied by 0: {made}; there {self.name(parent)} is multiplied by {self.valued(other)}."
            return Finding("times zero", node, text)
        return Finding("flat", node, f"Cut at {made}: {self.slope(term)}.")

    def cancelled(self, node: Value) -> list[Finding]:
        terms = self.graph.terms(node)
        total, mean = self.graph.adjoint[node], math.fsum([math.fabs(t.value) / len(terms) for t in terms])
        if len(terms) < 2 or not math.fabs(total) / len(terms) <= CANCELLED * mean:
            return []
        cut = len(terms) - 5
        shown = terms if cut <= 0 else [*terms[:3], *terms[-2:]]
        parts = [f"{'−' if t.value < 0 else '+'} {math.fabs(t.value):.{self.e.style.digits}g}" for t in shown]
        if cut > 0:
            parts.insert(3, f"… {cut} of {len(terms)} terms left out …")
        words, sizes = " ".join(parts).replace(" ", "", 1), self.number(mean * len(terms))
        at = "" if node is self.x else f" at {self.name(node)}"
        text = f"Contributions cancel{at}: {words} = {self.number(total)}, where their sizes add up to {sizes}."
        return [Finding("cancelled", node, text)]

    def extreme(self) -> list[Finding]:
        """Saturation, and very small or very large factors, on the path that dominates."""
        path = self.largest
        steps = list(zip(path.nodes, path.nodes[1:], path.locals, strict=False))
        found = []
        value = math.fabs(self.e.value)
        for consumer, parent, local in steps:
            if consumer.op in SATURATING and math.fabs(local) < SATURATED:
                term = self._term(consumer, parent, local)
                found.append(
                    Finding("saturated", consumer, f"A saturated {consumer.op}: {self.made(consumer)}; {self.slope(term)}.")
                )
        if not found and (value < TINY or value > HUGE):
            tiny = ("tiny", "smallest", "vanishes", min)
            kind, word, verb, pick = tiny if value < TINY else ("huge", "largest", "explodes", max)
            consumer, parent, local = pick(steps, key=lambda step: math.fabs(step[2]))
            if math.fabs(local) < 1e-3 if value < TINY else math.fabs(local) > 1e3:
                slope = self.slope(self._term(consumer, parent, local))
                found.append(Finding(kind, consumer, f"The {word} factor on the way is at {self.made(consumer)}: {slope}."))
            elif math.fabs(path.value) < 1e-3 * value:
                text = f"It adds up: {self.count()} paths, and the largest alone gives {self.number(path.value)}."
                found.append(Finding(kind, self.x, text))
            else:
                mean = math.exp(math.fsum([math.log(math.fabs(d)) for d in path.locals]) / len(steps))
                text = f"It {verb} step by step: {len(steps)} factors of {self.number(mean)} on (geometric) average."
                found.append(Finding(kind, consumer, text))
        if len(found) > 4:
            found = [*found[:3], Finding(found[0].cause, None, f"... and {len(found) - 3} more.")]
        return [*found, self.dominating("The dominating path")] if found else []

    def _term(self, consumer: Value, parent: Value, local: float) -> Term:
        g = self.graph.adjoint[consumer]
        operand = next(
            i for i, (p, d) in enumerate(zip(consumer.parents, consumer.partials, strict=True)) if p is parent and d == local
        )
        return Term(consumer, operand, g, local, g * local)

    def usual(self) -> Finding:
        finding = self.dominating("Nothing unusual. The dominating path")
        return Finding("nothing unusual", None, finding.text)

    def dominating(self, words: str) -> Finding:
        many = "the only one" if self.e.path_count == 1 else f"one of {self.count()}"
        return Finding("path", None, f"{words} ({many}): {self.page.path(self.largest)}.")

    def count(self) -> str:
        count = self.e.path_count
        return str(count) if count < 10**9 else f"about 1e{int(math.log10(count))}"


def _counted(causes: list[str]) -> list[tuple[str, int]]:
    return [(cause, causes.count(cause)) for cause in dict.fromkeys(causes)]
