"""The graph below an output as plain data: a snapshot in lists, parents before consumers.

First stage of a drawing: `engine` comes before; `folding` arranges the values in groups, `picture` makes boxes and edges of
what is visible. Taking a snapshot changes nothing.
"""

from __future__ import annotations

import math
import re
from functools import cached_property

from micrograd.draw.lettering import number, operation, plain
from micrograd.engine import Value, adjoints, edges, operands, topological_order
from micrograd.formula.latex import Math
from micrograd.formula.symbol import CHOICE, WHERE, Symbol
from micrograd.formula.text import Text, clean
from micrograd.primitives import CONSTANT, Primitive

_HOLDS_NUMBERS = ("sum", "dot")  # the variadic operations in whose box a plain number can stand


class Graph:
    """The snapshot of all values below `root`: one entry per value in each list, in the engine's order."""

    def __init__(self, root: Value):
        if not isinstance(root, Value):
            advice = ": call it, and draw the result" if callable(root) else ""
            raise TypeError(f"only a Value can be drawn, got {type(root).__name__} {root!r:.60}{advice}")
        adjoint = adjoints(root)
        self.values: list[Value | None] = []  # None for a number in an expression
        self.labels: list[str] = []
        self.scopes: list[tuple[str, ...]] = []  # layer and neuron, where the label knows them
        self.ops: list[str] = []
        self.rules: list[Primitive | None] = []  # None for leaves and constants
        self.kinds: list[str] = []
        self.data: list[float] = []
        self.grad: list[float | None] = []  # the derivative of root, whatever .grad holds; None for a constant
        self.parents: list[tuple[int, ...]] = []
        self.partials: list[tuple[float, ...]] = []
        self.place: list[tuple[int, int]] = []  # the numbers of network and call, 0 where there is none
        self.blocks: list[tuple[tuple[str, int], ...]] = []  # the `with scope(...)` blocks around, by name and number
        index: dict[Value, int] = {}
        for value in topological_order(root) or [root]:
            parents = []
            for operand in operands(value):
                if not isinstance(operand, Value):
                    parents.append(self._add_number(operand))
                elif operand in index:
                    parents.append(index[operand])
                else:  # a constant: it stands right before its first consumer
                    parents.append(self._add(index, operand, (), None))
            self._add(index, value, tuple(parents), adjoint.get(value))
        self.index = index
        self.root = len(self.values) - 1
        self._number_calls()
        self.literals = self._literals()

    def _add(self, index: dict[Value, int], value: Value, parents: tuple[int, ...], grad: float | None) -> int:
        label, rule = value.label, value.rule
        index[value] = len(self.values)
        self.values.append(value)
        self.labels.append(label[:] if isinstance(label, str) else str(label))
        self.data.append(value.data)
        self.grad.append(grad)
        self.parents.append(parents)
        self.partials.append(tuple([local for _, local in edges(value)]))
        note = value.note
        self.place.append((note.network, note.call) if note is not None else (0, 0))
        self.blocks.append(note.scope if note is not None else ())
        scope = getattr(label, "scope", ())
        self.scopes.append(scope)
        is_leaf = rule is None or rule is CONSTANT
        self.rules.append(None if is_leaf else rule)
        self.ops.append("" if is_leaf or rule is None else clean(rule.name))
        self.kinds.append(
            "operation" if not is_leaf else "parameter" if scope and rule is None else "leaf" if rule is None
            else "input" if scope else "constant"
        )  # fmt: skip
        return len(self.values) - 1

    def _add_number(self, x: float) -> int:
        self.values.append(None)
        for texts, text in ((self.labels, ""), (self.ops, ""), (self.kinds, "constant")):
            texts.append(text)
        self.rules.append(None)
        self.data.append(x)
        self.grad.append(None)
        for tuples in (self.parents, self.partials, self.scopes):
            tuples.append(())
        self.place.append((0, 0))
        self.blocks.append(())
        return len(self.values) - 1

    def _number_calls(self) -> None:
        """Number the networks, and the calls of each, from 1 in this graph: what was built outside of it does not count."""
        networks: dict[int, dict[int, int]] = {}
        for network, call in sorted({place for place in self.place if place[0]}):
            calls = networks.setdefault(network, {})
            calls[call] = len(calls) + 1
        order = {network: k for k, network in enumerate(networks, start=1)}
        self.place = [(order[n], networks[n][call]) if n else (0, 0) for n, call in self.place]

    def _literals(self) -> dict[int, int]:
        """The unnamed numbers that are written inside an operation, with that operation: it alone uses them."""
        found: dict[int, int] = {}
        for i, (rule, parents) in enumerate(zip(self.rules, self.parents, strict=True)):
            holds = rule is not None and (not rule.variadic or rule.name in _HOLDS_NUMBERS)
            for p in parents:
                if self.kinds[p] == "constant" and not self.labels[p]:
                    found[p] = i if holds and found.get(p, i) == i else -1
        return {p: i for p, i in found.items() if i >= 0}

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def operand(self) -> str:
        """The letter that stands for an unnamed operand inside an operation: x, or another where a value is called x."""
        return next((letter for letter in "xutspqrv" if letter not in self.labels), "x")

    def written(self, i: int, digits: int = 4, names: bool = True) -> str:
        """Operation `i` as it stands in its box: with the plain numbers that it takes, such as w² or x − 1.

        With `names`, an operand whose name is one short word is written by it.
        """
        rule = self.rules[i]
        assert rule is not None
        taken = [(name, self.data[p] if self.literals.get(p) == i else None)
                 for name, p in zip(_names(rule, len(self.parents[i])), self.parents[i], strict=True)]  # fmt: skip
        numbers = [x for _, x in taken if x is not None]
        if rule.name == "dot":
            start = "b" if self.scopes[i] else "c" if taken[-1][1] is None else number(taken[-1][1], digits)
            return ("Σwx" if self.scopes[i] else "Σxy") + (f" + {start}" if taken[-1][1] != 0.0 else "")
        if rule.variadic or not numbers:
            few = numbers if len(numbers) < 3 else []
            more = [f"{len(numbers)} numbers"] if numbers and not few else []
            return " + ".join([operation(self.ops[i]), *[number(x, digits) for x in few], *more])
        only = len(taken) == len(numbers) + 1
        args = []
        for (name, x), p in zip(taken, self.parents[i], strict=True):
            label = self.labels[p]
            called = label if names and len(label) <= 6 and label.isidentifier() and label == plain(label) else ""
            args.append(Symbol(math.nan, Math(called or (self.operand if only else name), "")) if x is None else Symbol(x))
        rule = CHOICE if rule is WHERE else rule  # which is written with both branches
        return Text(digits)(Symbol(math.nan, None, rule, tuple(args))).replace("-", "−")

    def contribution(self, consumer: int, port: int) -> float | None:
        """What `consumer` adds to the gradient of operand `port`: gradient × local derivative. None for a constant."""
        upstream = self.grad[consumer]
        if upstream is None or self.grad[self.parents[consumer][port]] is None:
            return None
        return upstream * self.partials[consumer][port]

    def first_broken(self) -> tuple[int, str] | None:
        """The first value that is nan or infinite, and "value"; if there is none, the first value in the backward pass that
        sends such a gradient, and "gradient"; None if there is neither.
        """
        for i, x in enumerate(self.data):
            if not math.isfinite(x):
                return i, "value"
        if all(g is None or math.isfinite(g) for g in self.grad):  # so every contribution to them is finite
            return None
        for i in reversed(range(len(self))):
            for port in range(len(self.parents[i])):
                sent = self.contribution(i, port)
                if sent is not None and not math.isfinite(sent):
                    return i, "gradient"
        return None


def general(rule: Primitive) -> str:
    """A rule with letters for its operands: x · y, x², softplus(x), Σxy."""
    if rule.variadic:
        return operation(rule.name)
    args = [Symbol(math.nan, Math(name, "")) for name in _names(rule, len(rule.partials))]
    return Text()(Symbol(math.nan, None, rule, tuple(args)))


def _names(rule: Primitive, count: int) -> list[str]:
    """The names that `rule.written` gives its operands, such as c, a and b in where(c, a, b); "" where it names none."""
    found = re.findall(r"\w+", rule.written)
    return found[-count:] if not rule.variadic and len(found) >= count else [""] * count
