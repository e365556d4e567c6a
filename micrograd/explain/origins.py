"""Where a 0, an infinity, a nan or a huge number came from: it is traced back along the operands to where it began.

`diagnosis` finds what stops a gradient or blows it up, such as a dead relu. Where a value is the reason, it is followed here to
the operation that made it: the exp that underflowed, the recurrence that grew, the relu that gave 0. Nothing recurses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from micrograd.engine import Value
from micrograd.explain.chain import Explanation
from micrograd.explain.contributions import Graph, Term

LARGE = 1e3  # a huge number is traced back until the first operand that is no larger

ADVICE = {
    "relu": "shift the bias or scale the input so that some inputs make it positive, or use softplus or tanh",
    "saturated": "scale the inputs or start with smaller weights, so that it works where it is steep",
    "softmax": "scale the scores down (a temperature), or take cross_entropy of the scores instead of a loss on the softmax",
    "overflow": "scale the inputs down, or work with logarithms: logsumexp for sums of exponentials",
    "underflow": "work with logarithms instead: logsumexp, log1p, softplus keep what is lost here",
    "log": "keep its argument positive: add a small number, or compute the logarithm directly (logsumexp, log1p, softplus)",
    "sqrt": "keep its argument positive: add a small number inside the root",
    "division": "keep the divisor away from 0: add a small number to it",
    "pow": "keep the base positive, or the exponent whole",
    "asin": "keep its argument between -1 and 1",
    "acos": "keep its argument between -1 and 1",
    "atanh": "keep its argument between -1 and 1, short of both",
    "acosh": "keep its argument at 1 or above",
    "pole": "keep its argument away from the pole",
    "leaf": "check the data before they go in",
    "growth": "make the factor smaller than 1 in size, clip gradients, or take fewer steps",
    "shrinking": "make the factors closer to 1 in size (initialisation, residual connections), or take fewer steps",
    "maximum": "a soft maximum (logsumexp) passes a gradient to every operand",
    "minimum": "a soft minimum (-logsumexp of the negatives) passes a gradient to every operand",
    "where": "only the branch that is taken has a gradient: start on its side of the condition, or mix the two smoothly",
    "point": "the slope is 0 at this very point: start elsewhere",
    "flat": "use a smooth function in its place: sigmoid for step and comparisons, tanh for sign",
    "not connected": "compute the output from this very Value: not from its .data, nor from another of the same label",
    "local": "move away from this point, or add a small number inside",
    "0 · inf": "add a small number inside, so that the derivative stays finite",
}


class Finding(NamedTuple):
    """One finding: the kind of its cause, the node that is the cause, and a sentence that gives the numbers."""

    cause: str
    node: Value | None
    text: str


class Origins:
    """Words for single values and steps, and searches for where a value began; `diagnosis` builds its search on it."""

    def __init__(self, explanation: Explanation):
        self.e = explanation
        self.graph: Graph = explanation.graph
        self.page = explanation.page()
        self.output, self.x = explanation.output, explanation.x

    # -- words

    def name(self, node: Value) -> str:
        unnamed = node.is_constant and node not in self.page.names
        return self.number(node.data) if unnamed else self.page.names[node].text

    def number(self, x: float, factor: bool = False) -> str:
        return self.page.number(x, factor).text

    def made(self, node: Value) -> str:
        """How a node was computed: v2 = relu(v1) = relu(-1.2) = 0."""
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
        """A name with its number, or the number alone where there is no name."""
        name, data = self.name(node), self.number(node.data)
        return name if name == data else f"{name} = {data}"

    def written_at(self, node: Value) -> str:
        """The line of the user's code that made a node, where detect_anomaly() noted it; else ""."""
        return f", written at {node.note.line}" if node.note is not None and node.note.line else ""

    def term(self, consumer: Value, parent: Value, local: float) -> Term:
        """The contribution of one step of a path."""
        g = self.graph.adjoint[consumer]
        operands = enumerate(zip(consumer.parents, consumer.partials, strict=True))
        operand = next(i for i, (p, d) in operands if p is parent and d == local)
        return Term(consumer, operand, g, local, g * local)

    def slope(self, term: Term) -> str:
        """The local derivative of a term: ∂v2/∂v1 = 1 − tanh²(v1) = 0.42."""
        rule = self.page.rule(term)
        return " = ".join([self.page.local(term).text, *([rule.text] if rule else []), self.number(term.local)])

    # -- where values began

    def zero(self, node: Value) -> Finding:
        """Where a value of exactly 0 began."""
        seen: set[Value] = set()
        while node not in seen:
            seen.add(node)
            op, rule, parents = node.op, node.rule, node.parents
            if rule is None or node.is_constant:
                return Finding("times zero", node, f"{self.name(node)}, which is 0 itself")
            if op == "relu" and parents[0].data < 0.0:
                text = f"{self.made(node)}: its input {self.valued(parents[0])} is negative{self.because(parents[0], -1.0)}"
                return Finding("relu", node, text)
            zeros = [p for p in parents if p.data == 0.0]
            inner = [p for p in zeros if p.rule is not None and not p.is_constant]
            if op == "exp" or (op == "sigmoid" and parents[0].data < 0.0):
                text = f"{self.made(node)}, which underflows: no float is that small{self.because(parents[0], -1.0)}"
                return Finding("underflow", node, text)
            if len(parents) == 1 and zeros:
                node = parents[0]
            elif zeros and (rule.chooses or op in ("mul", "div", "pow")):
                node = (inner or zeros)[0]
            elif op in ("mul", "div", "pow"):
                return Finding("underflow", node, f"{self.made(node)}, which underflows: no float is that small")
            elif op in ("add", "sub", "sum") and len(zeros) == len(parents):
                node = (inner or zeros)[0]
            elif op == "dot" and (factor := self.zero_factor(node)) is not None:
                node = factor
            else:
                return Finding("flat", node, self.made(node))
        return Finding("flat", node, self.made(node))

    def flat(self, term: Term) -> Finding:
        """Why a local derivative is 0 where its operation alone does not say: an infinity, a 0, an underflow, or the point."""
        node, op = term.consumer, term.consumer.op
        cut = f"Cut at {self.made(node)}: {self.slope(term)}"
        if any(math.isinf(p.data) for p in node.parents) and (found := self.not_finite(node)):
            return found._replace(text=f"{cut}. {found.text}")
        first = node.parents[0]
        if first.data == 0.0 and (op == "div" or (op == "pow" and first.rule is not None)):
            origin = self.zero(first)
            return Finding(origin.cause, origin.node, f"{cut}. The 0 began at {origin.text}.")
        if op in ("exp", "softplus") or ((op, term.operand) in (("div", 1), ("pow", 0)) and all(p.data for p in node.parents)):
            cause = {"exp": "underflow", "softplus": "saturated"}.get(op, "shrinking")
            return Finding(cause, node, f"{cut}, which underflows: no float is that small.")
        return Finding("flat", node, f"{cut}.")

    def zero_factor(self, node: Value) -> Value | None:
        """A factor that makes the products of a dot 0, such as the output of a dead neuron; None unless all products are 0."""
        n = len(node.parents) // 2
        pairs = list(zip(node.parents[:n], node.parents[n:-1], strict=True))
        if not all(x.data == 0.0 or y.data == 0.0 for x, y in pairs):
            return None
        found = [p for pair in pairs for p in pair if p.data == 0.0]
        return next((p for p in found if p.rule is not None and not p.is_constant), found[0])

    def because(self, node: Value, sign: float) -> str:
        """The largest term of this `sign` in a sum, as its reason (", because ..."); "" where none makes up half of it."""
        terms: list[tuple[float, str]] = []
        n = len(node.parents) // 2
        if node.op == "dot":
            for x, y in zip(node.parents[:n], node.parents[n:-1], strict=True):
                terms.append((x.data * y.data, f"{self.name(x)} · {self.name(y)}"))
            terms.append((node.parents[-1].data, self.name(node.parents[-1])))
        elif node.op in ("add", "sum"):
            terms = [(p.data, self.name(p)) for p in node.parents]
        terms = [(value, name) for value, name in terms if value * sign > 0.0]
        if len(terms) < 1 or len(node.parents) < 2:
            return ""
        value, name = max(terms, key=lambda term: term[0] * sign)
        if math.fabs(value) < 0.5 * math.fabs(node.data) or name == self.number(value):
            return ""
        return f", because {name} = {self.number(value)}"

    def huge(self, node: Value) -> Finding:
        """Where a huge number began: the operation that made it from ordinary ones, or the steps over which it grew."""
        steps, last, top = 0, node, node
        while node.rule is not None and not node.is_constant and math.isfinite(node.data):
            if math.fabs(node.data) <= LARGE and (steps < 3 or node.op != last.op):
                break
            if node.op == "div":
                following = node.parents[0] if math.fabs(node.parents[0].data) > LARGE else None
            else:
                following = _grown(node.parents)
            if following is None or node.op in ("exp", "sinh", "cosh"):
                return Finding("overflow", node, f"it came from {self.made(node)}")
            if math.fabs(following.data) >= math.fabs(node.data) and math.fabs(node.data) <= LARGE:
                break
            last, node, steps = node, following, steps + 1
        if node.rule is None and math.fabs(node.data) > LARGE and (steps >= 3 or math.fabs(node.data) >= math.fabs(top.data)):
            return Finding("leaf", node, f"it came from {self.valued(node)}")
        if steps < 3:
            return Finding("growth", last, f"it came from {self.made(last)}")
        if node.data and math.fabs(node.data) <= LARGE:
            rate = math.exp((math.log(math.fabs(top.data)) - math.log(math.fabs(node.data))) / steps)
            text = f"it grew over {steps} steps, ×{self.number(rate)} at each on average, from {self.made(node)}"
            return Finding("growth", last, text)
        return Finding("leaf", node, f"it came from {self.valued(node)}")

    def not_finite(self, node: Value) -> Finding | None:
        """The first operation below `node` whose result is not finite although its operands are; or a leaf that is not."""
        for below in Graph(node).order:
            for n in (*below.parents, below):
                if not math.isfinite(n.data):
                    return self.broken(n)
        return None

    def broken(self, n: Value) -> Finding:
        """How a node became infinite or nan although its operands are finite."""
        if n.rule is None or n.is_constant:
            return Finding("leaf", n, f"{self.name(n)} itself holds {self.number(n.data)}, before any operation.")
        infinite = math.isinf(n.data)
        cause = {"log": "log", "log1p": "log", "sqrt": "sqrt", "div": "division"}.get(n.op, "overflow" if infinite else n.op)
        if infinite and n.op == "pow" and n.parents[0].data == 0.0:
            cause = "division"
        elif infinite and n.op in ("atanh", "lgamma", "digamma") and math.fabs(n.parents[0].data) < LARGE:
            cause = "pole"
        what, origin, zero = "overflowed" if infinite else "has no real value", "", None
        if cause in ("log", "sqrt") and not infinite:
            what = f"the {'square root' if cause == 'sqrt' else 'logarithm'} of a negative number"
        elif cause == "log":
            what, zero = "the logarithm of zero", n.parents[0] if n.op == "log" else None
        elif cause == "pole":
            what = "a pole"
        elif cause == "division" and n.parents[n.op == "div"].data == 0.0:
            what, zero = "division by zero", n.parents[n.op == "div"]
        elif infinite:
            what = "overflowed"
            grown = _grown(n.parents)
            if math.fabs(grown.data) > LARGE and grown.rule is not None and not grown.is_constant:
                origin = f" {self.name(grown)} = {self.number(grown.data)}: {self.huge(grown).text}."
        text = f"The first operation to leave the finite numbers is {self.made(n)} ({what}){self.written_at(n)}."
        if zero is not None and zero.rule is not None and not zero.is_constant:
            began = self.zero(zero)
            where = self.written_at(began.node) if began.node is not None else ""
            found = Finding(began.cause if began.cause == "underflow" else cause, began.node, text)
            return found._replace(text=f"{text} The 0 began at {began.text}{where}.")
        return Finding(cause, n, text + origin)


def _grown(operands: Sequence[Value]) -> Value:
    """The operand that made a number huge: the largest of those that were computed and are large, else of all."""
    size = {p: math.fabs(p.data) if math.isfinite(p.data) else 0.0 for p in operands}
    computed = [p for p in operands if p.rule is not None and not p.is_constant and size[p] > LARGE]
    return max(computed or [p for p in operands if not p.is_constant] or operands, key=size.__getitem__)
