"""The operations of the exercise as data, and backward passes that make the classic mistakes.

`find_bug` compares a class with these. The mistakes and the slips in local derivatives stand in formula/mistakes.py. Each walk
of `Pass` makes one of the mistakes on the engine's own graph, so that its numbers can be compared with those of a class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from micrograd.engine import Value
from micrograd.formula.mistakes import SLIPS, Mistake

Program = Callable[..., Any]


class Operation(NamedTuple):
    """One operation of the exercise: as it is written and as a program, the numbers it is tried at, and its method.

    `places` are further numbers, tried once it is right at the first ones: what is special there, the numbers, and what to do
    where it fails. An `optional` operation is tried only if the class has it.
    """

    written: str
    apply: Program
    at: tuple[float, ...]
    method: str
    places: tuple[tuple[str, tuple[float, ...], str], ...] = ()
    optional: bool = False

    @property
    def plain(self) -> bool:
        """Whether a plain number is an operand."""
        return self.method != "__pow__" and any(c in "123" for c in self.written)

    def slips(self, at: Sequence[float]) -> list[tuple[str, tuple[float, ...]]]:
        """The gradients of its operands that a slip in a local derivative gives, each with what the slip is."""
        leaves = [Value(x) for x in at]
        row = self.apply(*leaves)
        places = [row.parents.index(leaf) for leaf in leaves]
        _, slips = SLIPS[row.op]
        made = [(what, wrong(*[p.data for p in row.parents])) for what, wrong in slips]
        return [(what, tuple([float(local[k]) for k in places])) for what, local in made]


def _method(name: str) -> Program:
    """A call of the method `name`, of any class."""
    return lambda x: getattr(x, name)()


SPECIAL = "take out the special case: the rule holds for every number, and so does its derivative"
NO_DIVISION = "write n * a ** (n - 1): to divide the result by a fails where a is 0"
WHOLE = "a ** n and n * a ** (n - 1) have a value for every a where n is whole: take no log(a) there, and no special case"
LOG_OF_BASE = "a ** b * log(a), the derivative by b, has a value where a > 0 alone: add it to the gradient of b only there"
OVERFLOW = "exp overflows at 710: let it take numbers below 0 alone, such as exp(-2 * abs(a)), or use the function of math"
NAIVE_SIGMOID = "exp overflows at 710: let it take numbers below 0 alone, and where a < 0 write exp(a) / (1 + exp(a))"
RELU = "relu(a) is a where a > 0, and 0 elsewhere: compare with 0"
AT_ZERO = (("a is 0", (0.0, -3.0), SPECIAL), ("b is 0", (2.0, 0.0), SPECIAL), ("both are negative", (-2.0, -3.0), SPECIAL))

OPERATIONS = (
    Operation("a + b", lambda a, b: a + b, (2.0, -3.0), "__add__", AT_ZERO),
    Operation("a * b", lambda a, b: a * b, (2.0, -3.0), "__mul__", AT_ZERO),
    Operation("-a", lambda a: -a, (2.0,), "__neg__", (("a is negative", (-2.0,), SPECIAL),)),
    Operation("a - b", lambda a, b: a - b, (2.0, -3.0), "__sub__", AT_ZERO),
    Operation("a ** 3", lambda a: a**3, (1.5,), "__pow__", (
        ("a is negative", (-1.5,), WHOLE), ("a is 0", (0.0,), NO_DIVISION))),
    Operation("a ** -2", lambda a: a**-2, (-4.0,), "__pow__"),
    Operation("a / b", lambda a, b: a / b, (2.0, -4.0), "__truediv__", (
        ("a is 0", (0.0, -4.0), SPECIAL), ("both are negative", (-2.0, -4.0), SPECIAL))),
    Operation("a + 1", lambda a: a + 1, (2.0,), "__add__"),
    Operation("1 + a", lambda a: 1 + a, (2.0,), "__radd__"),
    Operation("a * 3", lambda a: a * 3, (2.0,), "__mul__"),
    Operation("3 * a", lambda a: 3 * a, (2.0,), "__rmul__"),
    Operation("a - 1", lambda a: a - 1, (2.0,), "__sub__"),
    Operation("1 - a", lambda a: 1 - a, (3.0,), "__rsub__"),
    Operation("a / 2", lambda a: a / 2, (3.0,), "__truediv__"),
    Operation("2 / a", lambda a: 2 / a, (4.0,), "__rtruediv__"),
    Operation("a ** b", lambda a, b: a**b, (1.5, -2.5), "__pow__", (
        ("a is small", (0.01, 2.5), LOG_OF_BASE), ("a is 0", (0.0, 2.0), LOG_OF_BASE),
        ("a is negative and b whole", (-1.5, 2.0), LOG_OF_BASE)), True),
    Operation("2 ** a", lambda a: 2**a, (1.5,), "__rpow__", (), True),
    Operation("exp(a)", _method("exp"), (0.7,), "exp", (
        ("a is negative", (-1.3,), SPECIAL), ("a is 0", (0.0,), SPECIAL)), True),
    Operation("log(a)", _method("log"), (0.7,), "log", (("a is large", (1e6,), SPECIAL),), True),
    Operation("tanh(a)", _method("tanh"), (0.7,), "tanh", (
        ("a is negative", (-1.3,), SPECIAL), ("a is large", (800.0,), OVERFLOW), ("-a is large", (-800.0,), OVERFLOW)), True),
    Operation("sigmoid(a)", _method("sigmoid"), (0.7,), "sigmoid", (
        ("a is negative", (-1.3,), SPECIAL), ("a is large", (800.0,), NAIVE_SIGMOID),
        ("-a is large", (-800.0,), NAIVE_SIGMOID)), True),
    Operation("relu(a)", _method("relu"), (1.5,), "relu", (
        ("a is small", (0.01,), RELU), ("a is large", (1e6,), RELU)), True),
    Operation("relu(a), a < 0", _method("relu"), (-1.5,), "relu", (
        ("-a is small", (-0.01,), RELU), ("-a is large", (-1e6,), RELU)), True),
)  # fmt: skip

# What an operation is commonly built on. Where that is broken, the operation fails too, and is not tried.
BUILT_ON = {
    "__sub__": {"__neg__"},
    "__rsub__": {"__neg__", "__sub__", "__radd__"},
    "__truediv__": {"__pow__"},
    "__rtruediv__": {"__pow__", "__truediv__", "__rmul__"},
    "__rpow__": {"__pow__"},
}

CHAINS: tuple[tuple[str, Program, tuple[float, ...]], ...] = (
    ("d = a + b; d * c", lambda a, b, c: (a + b) * c, (2.0, -3.0, 5.0)),
    ("d = a * b; d + c", lambda a, b, c: a * b + c, (2.0, -3.0, 5.0)),
    ("d = a * b; d * c", lambda a, b, c: a * b * c, (2.0, -3.0, 5.0)),
    ("d = a + b; d + c", lambda a, b, c: a + b + c, (2.0, -3.0, 5.0)),
)
FORKS: tuple[tuple[str, Program, tuple[float, ...]], ...] = (
    ("a + a", lambda a: a + a, (3.0,)),
    ("a * a", lambda a: a * a, (3.0,)),
    ("d = a * b; e = a + b; d * e", lambda a, b: (a * b) * (a + b), (-2.0, 3.0)),
    ("b = a + a; c = b + b; c * b", lambda a: _thrice(a), (1.5,)),
    ("d = a * b; e = d + a; f = d * e; f + d", lambda a, b: _ladder(a, b), (2.0, 3.0)),
    ("d = a * b; e = d + a; f = e * d; d + f", lambda a, b: _ladder_turned(a, b), (2.0, 3.0)),
)
LADDER = ("c = b + a; d = c + b; e = d + c; ...; v = u + t", lambda a, b: _long_ladder(a, b), (2.0, 3.0))


def _thrice(a: Any) -> Any:
    b = a + a
    c = b + b
    return c * b


def _ladder(a: Any, b: Any) -> Any:
    d = a * b
    e = d + a
    return d * e + d


def _ladder_turned(a: Any, b: Any) -> Any:
    d = a * b
    e = d + a
    return d + e * d


def _long_ladder(a: Any, b: Any) -> Any:
    """So many forks that a class with parents in sets does not get the order of all of them right by luck.

    A class that follows each path separately takes 35,000 steps.
    """
    for _ in range(20):
        a, b = b, b + a
    return b


class Pass:
    """A backward pass on the engine's graph with one mistake: the methods from `overwriting` on are the walks that make it.

    A class that keeps parents in a set visits them in any order. Here nodes in `turned` have their right parent visited first,
    and with `distinct` a parent that is both operands is visited once.
    """

    def __init__(self, root: Value, turned: frozenset[Value], distinct: bool):
        self.root, self.turned, self.distinct = root, turned, distinct
        self.operand: int | None = None  # the one with which the mistake is made; None for all
        self.forgetting: tuple[str, ...] = ()  # the operations that do not list their operands as parents
        self.order: list[Value] = []
        self.sort(root, set())
        self.grad = dict.fromkeys(self.order, 0.0) | {root: 1.0}

    def make(self, mistake: Mistake) -> None:
        """Go through the graph with this mistake; the gradients are in `grad` then."""
        self.operand = mistake.operand
        getattr(self, mistake.walk)(*mistake.ops)

    def mistaken(self, ops: tuple[str, ...], node: Value, i: int) -> bool:
        """Whether the mistake is made at a node, with its operand `i`; `ops` are the operations that make it, () for all."""
        return (not ops or node.op in ops) and self.operand in (None, i)

    def sort(self, node: Value, seen: set[Value]) -> None:
        seen.add(node)
        for parent in self.parents(node):
            if parent not in seen:
                self.sort(parent, seen)
        self.order.append(node)

    def edges(self, node: Value) -> list[tuple[Value, float]]:
        return list(zip(node.parents, node.partials, strict=True))

    def parents(self, node: Value) -> list[Value]:
        kept = [p for i, p in enumerate(node.parents) if not self.forgetting or not self.mistaken(self.forgetting, node, i)]
        parents = kept[::-1] if node in self.turned else kept
        return list(dict.fromkeys(parents)) if self.distinct else parents

    def give(self, node: Value) -> None:
        """Pass the gradient of a node on to its parents, as is right."""
        for parent, local in self.edges(node):
            self.grad[parent] += self.grad[node] * local

    def overwriting(self, *ops: str) -> None:
        for node in reversed(self.order):
            for i, (parent, local) in enumerate(self.edges(node)):
                kept = 0.0 if self.mistaken(ops, node, i) else self.grad[parent]
                self.grad[parent] = kept + self.grad[node] * local

    def once_per_parent(self) -> None:
        for node in reversed(self.order):
            for parent, local in dict(self.edges(node)).items():
                self.grad[parent] += self.grad[node] * local

    def not_reversed(self) -> None:
        for node in self.order:
            self.give(node)

    def each_time_reached(self, seed: bool = False) -> None:
        pending = [self.root]
        while pending:
            node = pending.pop()
            if seed:
                self.grad[node] = 1.0
            self.give(node)
            pending.extend(reversed(self.parents(node)))

    def seeding_each(self) -> None:
        """As where backward() calls backward() of the operands: each sets its own gradient to 1, whatever has arrived."""
        self.each_time_reached(seed=True)

    def when_first_reached(self) -> None:
        """As with recursion: a node passes its gradient on, then visits each parent that was not visited yet."""
        pending, seen = [self.root], set()
        while pending:
            node = pending.pop()
            if node not in seen:
                seen.add(node)
                self.give(node)
                pending.extend(reversed(self.parents(node)))

    def level_by_level(self) -> None:
        pending, seen = [self.root], {self.root}
        for node in pending:
            self.give(node)
            fresh = [parent for parent in dict.fromkeys(self.parents(node)) if parent not in seen]
            seen.update(fresh)
            pending.extend(fresh)

    def without_upstream(self, *ops: str) -> None:
        for node in reversed(self.order):
            for i, (parent, local) in enumerate(self.edges(node)):
                self.grad[parent] += local if self.mistaken(ops, node, i) else self.grad[node] * local

    def forgetting_parents(self, *ops: str) -> None:
        """Operations pass gradients to their operands but do not list them as parents, so nodes below these are not found."""
        self.forgetting, self.order = ops, []
        self.sort(self.root, set())
        for node in reversed(self.order):
            self.give(node)


SEED_ONCE = (
    "set self.grad = 1.0 on the output alone: backward() goes through the sorted graph in reverse and calls each node's "
    "_backward(), never its backward()"
)
SECOND = "backward() stops there: hand both operands to the result, such as Value(data, (self, other))"
ALL_PARENTS = "sort into the list all the parents of a value, before the value itself, not the first one alone"
SEEDED_AGAIN = "backward() of an operand sets its gradient back to 1"
