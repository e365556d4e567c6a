"""Why a gradient is zero, tiny, huge, nan or inf: the dead relu, the saturated tanh, the overflow, and what to do.

`contributions` reads the graph, `origins` traces a value back to where it began. The search is for, in this order: no
connection; a nan or inf, forward or backward; an exact zero and what cut it (`cut`); a softmax that gives all to one entry;
contributions that cancel; saturation, and very small or very large factors, on the path that dominates. Where nothing is found,
the answer is "nothing unusual", with that path.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

from micrograd.engine import Value
from micrograd.explain.chain import Explanation, explain
from micrograd.explain.contributions import STALE, Graph, Path, Term, changed, scope_of
from micrograd.explain.origins import ADVICE, LARGE, Finding, Origins
from micrograd.formula.label import neuron
from micrograd.formula.text import clean, wrapped

TINY, HUGE = 1e-6, 1e6  # a gradient beyond these is called tiny or huge
SATURATED = 0.01  # a bounded function whose slope is below this is called saturated
CANCELLED = 1e-3  # a sum below this share of its terms' sizes has cancelled
LEFT = 0.1  # a softmax is called saturated that passes on less than this share of the most it can, p · (1 − p) = 1/4
SATURATING = ("tanh", "sigmoid", "erf")


class Why:
    """What was found about a gradient. `cause`, `node` (where it began) and `advice` (what to do) are of the first finding."""

    def __init__(self, explanation: Explanation, findings: list[Finding], headline: str):
        self.explanation, self.findings, self.headline = explanation, findings, headline

    @property
    def value(self) -> float:
        """The gradient itself."""
        return self.explanation.value

    @property
    def cause(self) -> str:
        """The kind of cause of the first finding, such as "relu" or "nothing unusual"."""
        return self.findings[0].cause

    @property
    def node(self) -> Value | None:
        """The value where it began; None where no single value is the cause."""
        return self.findings[0].node

    @property
    def advice(self) -> str:
        """What to do about it, in a few words; empty where nothing is unusual."""
        cause = {"tiny": "shrinking", "huge": "growth"}.get(self.cause, self.cause)
        if cause == "growth" and self.node is not None and self.node.op == "div":
            cause = "division"
        if cause == "flat" and self.node is not None and not (self.node.rule is not None and self.node.rule.is_flat):
            cause = "point"
        return ADVICE.get(cause, "")

    def __str__(self) -> str:
        advice = [f"  What to do: {self.advice}."] if self.advice else []
        return wrapped("\n".join([self.headline, *[f"  {finding.text}" for finding in self.findings], *advice]))

    __repr__ = __str__


def why(output: Value, x: Value = None) -> Why:  # type: ignore[assignment]
    """What makes ∂output/∂x zero, tiny, huge, nan or inf, or that nothing is unusual about it."""
    explanation = explain(output, x)
    found = _Search(explanation)
    value = explanation.value
    kind = "tiny" if 0.0 < math.fabs(value) < TINY else "huge" if HUGE < math.fabs(value) < math.inf else ""
    findings = [_placed(finding) for finding in found.findings()]
    page = found.page
    headline = f"{page.total(x).text} = {page.number(value).text}" + (f" is {kind}:" if kind else ":")
    if note := found.accumulated():
        findings.append(note)
    if any(map(changed, found.graph.order)):
        findings.append(Finding("stale", None, STALE))
    return Why(explanation, findings, headline)


def _placed(finding: Finding) -> Finding:
    """The finding, with the `with scope(...)` in which its node was made."""
    scope = clean(scope_of(finding.node)) if finding.node is not None else ""
    return finding._replace(text=f"{finding.text} That is in {scope}.") if scope else finding


class _Search(Origins):
    @cached_property
    def largest(self) -> Path:
        return self.e.paths(1)[0]

    # -- the search

    def findings(self) -> list[Finding]:
        if self.x not in self.graph.adjoint:
            return [self.not_connected()]
        if not math.isfinite(self.e.value):
            return [self.not_finite_gradient()]
        if not math.isfinite(self.output.data) and (finding := self.not_finite(self.output)):
            text = (
                f"The gradient is finite, but {self.name(self.output)} = {self.number(self.output.data)} is not. {finding.text}"
            )
            return [finding._replace(text=text)]
        if self.x is self.output:
            return [Finding("output", self.x, f"{self.name(self.x)} is the output itself.")]
        if self.e.value == 0.0:
            found = self.zero_gradient()
            near = [f.node for f in found if f.cause in ("cancelled", "flat", "underflow", "shrinking") and f.node is not None]
            near += [t.consumer for node in near for t in self.graph.terms(node)]
            soft = any(node.op in ("logsumexp", "exp", "div") for node in near)
            return (self.softmax() if soft else []) or found or [self.usual()]
        return self.softmax() or self.cancelled(self.x) or self.extreme() or [self.usual()]

    def accumulated(self) -> Finding | None:
        """A note on the `.grad` of a leaf that holds another number than this gradient; None where it does not."""
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

    def not_finite_gradient(self) -> Finding:
        """The first step of the backward pass that left the finite numbers, or the forward operation that is its reason."""
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
                term = Term(consumer, i, g, local, self.graph.passed(g, consumer, i, local))
                before, sums[parent] = sums[parent], sums[parent] + term.value
                if not math.isfinite(sums[parent]):
                    first = self.not_finite(self.output)
                    on_the_way = first if first and first.node in inside else self.not_finite(consumer)
                    return on_the_way or first or self.backward(term, before)
        raise AssertionError("an adjoint is not finite although every contribution to it is")

    def backward(self, term: Term, before: float) -> Finding:
        """What went wrong in a step backward: `term` was added to the sum `before`, and every forward value is finite."""
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

    def zero_gradient(self) -> list[Finding]:
        """What stops every contribution to an adjoint of exactly 0, followed from x towards the output."""
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
        return self.grouped(list(found.values()))

    def grouped(self, findings: list[Finding]) -> list[Finding]:
        """The findings, those of the same origin as one: a neuron that is dead in every call, a zero in several terms."""
        groups: dict[Any, list[Finding]] = {}
        for finding in findings:
            node = finding.node
            place = node.label if node is not None and neuron(node.label) is not None else node
            groups.setdefault((finding.cause, place), []).append(finding)
        grouped = [
            group[0]
            if len(group) == 1
            else group[0]._replace(text=f"In {len(group)} places alike, such as this. {group[0].text}")
            for group in groups.values()
        ]
        if len(grouped) > 4:
            causes = ", ".join([f"{c} {n} times" for c, n in _counted([f.cause for f in grouped])])
            first = Finding(grouped[0].cause, grouped[0].node, f"Cut in {len(grouped)} places ({causes}), among them:")
            return [first, *grouped[:3]]
        return grouped

    def cut(self, term: Term) -> Finding:
        """Why one contribution is 0 although the adjoint of its consumer is not."""
        node, parent = term.consumer, term.consumer.parents[term.operand]
        op, made = node.op, self.made(node)
        if term.local != 0.0:
            step = f"{self.number(term.upstream, True)} · {self.number(term.local, True)}"
            return Finding("underflow", node, f"Underflow at {made}: {step} is too small for a float.")
        if op == "relu":
            if parent.data == 0.0 and parent.rule is not None:
                origin = self.zero(parent)
                if origin.cause == "relu":
                    text = f"Cut by a dead relu: {origin.text}. So {made}, where the derivative is 0 by convention."
                    return Finding("relu", origin.node, text)
            at = "is exactly 0, where the derivative is 0 by convention"
            at = at if parent.data == 0.0 else f"is negative{self.because(parent, -1.0)}"
            return Finding("relu", node, f"Cut by a relu: {made}; its input {self.valued(parent)} {at}.")
        if op in SATURATING:
            why = self.because(parent, math.copysign(1.0, parent.data))
            text = f"Cut by a saturated {op}: {made}; {self.slope(term)} in floating point"
            return Finding("saturated", node, f"{text}{why}.")
        if node.rule is not None and node.rule.is_flat:
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
            origin = self.zero(other)
            text = f"Multiplied by 0: {made}; there {self.name(parent)} is multiplied by {self.valued(other)}."
            if origin.node is not other or origin.cause != "times zero":
                return Finding(origin.cause, origin.node, f"{text} The 0 began at {origin.text}.")
            return Finding("times zero", node, text)
        return self.flat(term)

    def softmax(self) -> list[Finding]:
        """A softmax above x that gives nearly everything to one entry: exp(z) / Σ exp, or logsumexp."""
        for node in self.graph.between(self.x):
            share = _largest_share(node) if self.x is not node else 0.0
            left = share * (1.0 - share)
            passed_on = left * max(1.0, math.fabs(self.graph.adjoint[node]))
            if share > 0.5 and left < LEFT / 4.0 and math.fabs(self.e.value) <= max(2.0 * passed_on, TINY):
                text = f"A saturated softmax: at {self.made(node)} one entry has {share:.4g} of the whole"
                passed = f"what is passed on is about p · (1 − p) = {self.number(left)} or less, of at most 0.25"
                return [Finding("softmax", node, f"{text}; {passed}.")]
        return []

    def cancelled(self, node: Value) -> list[Finding]:
        """That the contributions to a node cancel; empty where they do not."""
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
        found, value = list[Finding](), math.fabs(self.e.value)
        for consumer, parent, local in steps:
            if consumer.op in SATURATING and math.fabs(local) < SATURATED:
                term = self.term(consumer, parent, local)
                why = self.because(parent, math.copysign(1.0, parent.data))
                text = f"A saturated {consumer.op}: {self.made(consumer)}; {self.slope(term)}{why}."
                found.append(Finding("saturated", consumer, text))
        if not found and (value < TINY or value > HUGE):
            tiny = ("tiny", "smallest", "vanishes", min)
            kind, word, verb, pick = tiny if value < TINY else ("huge", "largest", "explodes", max)
            consumer, parent, local = pick(steps, key=lambda step: math.fabs(step[2]))
            if math.fabs(local) < 1e-3 if value < TINY else math.fabs(local) > 1e3:
                slope = self.slope(self.term(consumer, parent, local))
                text = f"The {word} factor on the way is at {self.made(consumer)}: {slope}."
                others = [p for p in consumer.parents if p is not parent and math.fabs(p.data) > LARGE and not p.is_constant]
                grown = value > HUGE and consumer.op in ("mul", "dot", "pow")
                if (grown or consumer.op == "div") and others and others[0].rule is not None:
                    origin = self.huge(max(others, key=lambda p: math.fabs(p.data)))
                    cause = "leaf" if origin.cause == "leaf" else kind
                    found.append(Finding(cause, origin.node, f"{text} As to that factor, {origin.text}."))
                else:
                    found.append(Finding(kind, consumer, text))
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

    def usual(self) -> Finding:
        return self.dominating("Nothing unusual. The dominating path")._replace(cause="nothing unusual")

    def dominating(self, words: str) -> Finding:
        many = "the only one" if self.e.path_count == 1 else f"one of {self.count()}"
        return Finding("path", None, f"{words} ({many}): {self.page.path(self.largest)}.")

    def count(self) -> str:
        return str(count) if (count := self.e.path_count) < 10**9 else f"about 1e{int(math.log10(count))}"


def _largest_share(node: Value) -> float:
    """The largest share in a softmax whose logsumexp or entry, exp(z) / Σ exp or exp(z) · (Σ exp)⁻¹, `node` is; else 0."""
    if node.op == "logsumexp" and len(node.parents) > 1:
        return max(node.partials)
    pairs: list[tuple[Value, ...]] = [node.parents] if node.op == "div" else []
    if node.op == "mul":
        for entry, by in (node.parents, node.parents[::-1]):
            if by.op == "pow" and by.parents[1].data == -1.0:
                pairs.append((entry, by.parents[0]))
            elif by.op == "div" and by.parents[0].data == 1.0:
                pairs.append((entry, by.parents[1]))
    for entry, total in pairs:
        terms = dict.fromkeys([total])
        for term in (pending := [total]):  # sum() adds one after the other
            fresh = [p for p in term.parents if p not in terms] if term.op in ("add", "sum") else []
            terms |= dict.fromkeys(fresh)
            pending += fresh
        if entry.op == "exp" and entry is not total and entry in terms and 0.0 < node.data < 1.0:
            return max(term.data / total.data for term in terms if term.op == "exp")
    return 0.0


def _counted(causes: list[str]) -> list[tuple[str, int]]:
    return [(cause, causes.count(cause)) for cause in dict.fromkeys(causes)]
