"""The classic mistakes in a backward pass, as data: `find_bug` compares a user's class with them, and the page a guess.

A walk is a way to go through the graph that makes a mistake: `check/mistakes.py` makes it on the engine's graph,
`draw/page/guess.js` on the page's. A slip is a wrong local derivative: check/ calls it on numbers, and draw/ on symbols.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from micrograd.primitives import rule

ACCUMULATE = "use += where a gradient is passed on: a value that is used several times gets the sum of what its uses give"
ORDER = (
    "sort the graph topologically and go through it in reverse: a node may pass its gradient on only when all the nodes that "
    "use it have passed on theirs"
)
UPSTREAM = "the chain rule multiplies the local derivative by out.grad"
KNOWN = "hand the operands to the result, such as Value(data, (self, other)), or backward() stops there"
WRONG_ORDER = "the order is wrong: a node passes on before all its gradient is there"


class Mistake(NamedTuple):
    """A mistake: its name, the walk that makes it, what to do instead, and the operations that make it, () for all.

    `operand` is the number of the operand with which it is made, None for all.
    """

    name: str
    walk: str
    advice: str
    ops: tuple[str, ...] = ()
    operand: int | None = None


def _with_one_operand(op: str, written: str, method: str) -> list[Mistake]:
    """The mistakes that a sum or a product makes with one operand alone."""
    walks = (
        ("overwrites the gradient of its {} operand instead of adding to it", "overwriting", ACCUMULATE),
        ("forgets the upstream factor for its {} operand", "without_upstream", UPSTREAM),
        ("forgets its {} operand", "forgetting_parents", KNOWN),
    )
    return [
        Mistake(f"{written} {what.format(nth)}", walk, f"{method}: {advice}", (op,), i)
        for what, walk, advice in walks
        for i, nth in enumerate(("first", "second"))
    ]


MISTAKES = (
    Mistake("gradients are overwritten instead of added up", "overwriting", ACCUMULATE),
    Mistake("an operand that stands on both sides counts once", "once_per_parent",
            "a + a contributes to a twice: keep the operands as a tuple, and use += for each"),
    Mistake("a + b overwrites gradients instead of adding to them", "overwriting", f"__add__: {ACCUMULATE}", ("add",)),
    Mistake("a * b overwrites gradients instead of adding to them", "overwriting", f"__mul__: {ACCUMULATE}", ("mul",)),
    Mistake("a + b forgets the upstream factor", "without_upstream", f"__add__: {UPSTREAM}", ("add",)),
    Mistake("a * b forgets the upstream factor", "without_upstream", f"__mul__: {UPSTREAM}", ("mul",)),
    Mistake("the upstream factor is forgotten", "without_upstream", UPSTREAM),
    Mistake("the graph is walked in topological order, but not in reverse", "not_reversed",
            "begin at the output: for node in reversed(order)"),
    Mistake("a + b forgets its parents", "forgetting_parents", f"__add__: {KNOWN}", ("add",)),
    Mistake("a * b forgets its parents", "forgetting_parents", f"__mul__: {KNOWN}", ("mul",)),
    Mistake("a node passes its gradient on each time it is reached", "each_time_reached", ORDER),
    Mistake(WRONG_ORDER, "when_first_reached", ORDER),
    Mistake(WRONG_ORDER, "level_by_level", ORDER),
    *_with_one_operand("add", "a + b", "__add__"),
    *_with_one_operand("mul", "a * b", "__mul__"),
)  # fmt: skip
FORKS_ONLY = [m.name for m in MISTAKES if m.walk in ("overwriting", "once_per_parent")]  # seen where a value is used twice

exp, log, tanh = map(rule, ("exp", "log", "tanh"))

# For each row how it is written, and its slips: what is wrong, and a function that gives a wrong derivative for each operand.
SLIPS: dict[str, tuple[str, tuple[tuple[str, Callable[..., tuple[Any, ...]]], ...]]] = {
    "add": ("a + b", (
        ("the operands' data instead of 1", lambda a, b: (a, b)),
        ("the other operand, as in a product", lambda a, b: (b, a)))),
    "mul": ("a * b", (
        ("each operand's own data: the two are swapped", lambda a, b: (a, b)),
        ("1 for both, as in a sum", lambda a, b: (1, 1)))),
    "neg": ("-a", (("the sign is missing: +1 instead of -1", lambda a: (1,)),)),
    "sub": ("a - b", (
        ("the sign of b is missing: +1 instead of -1", lambda a, b: (1, 1)),
        ("both signs are turned", lambda a, b: (-1, 1)),
        ("both are -1", lambda a, b: (-1, -1)))),
    "pow": ("a ** n", (
        ("the exponent in front is missing: aⁿ⁻¹ instead of n·aⁿ⁻¹", lambda a, n: (a ** (n - 1), a**n)),
        ("n·aⁿ: the exponent is not lowered", lambda a, n: (n * a**n, a**n * log(a))),
        ("n·aⁿ⁻²: the exponent is lowered twice", lambda a, n: (n * a ** (n - 2), a**n * log(a))),
        ("n·a: the exponent is gone from the power", lambda a, n: (n * a, a**n * log(a))),
        ("the minus of the exponent is missing", lambda a, n: (-n * a ** (n - 1), a**n * log(a))),
        ("the logarithm of a is missing", lambda a, n: (n * a ** (n - 1), a**n)),
        ("n·aⁿ⁻¹ for the exponent too, as if it were the base", lambda a, n: (n * a ** (n - 1), n * a ** (n - 1))),
        ("the value instead of the derivative", lambda a, n: (a**n, a**n)))),
    "div": ("a / b", (
        ("the minus in -a/b² is missing", lambda a, b: (1 / b, a / b**2)),
        ("-1/b² without the a", lambda a, b: (1 / b, -1 / b**2)),
        ("b divided by, not b²", lambda a, b: (1 / b, -a / b)))),
    "exp": ("exp(a)", (
        ("the operand instead of exp(a)", lambda a: (a,)),
        ("1 instead of exp(a)", lambda a: (1,)),
        ("a·exp(a-1): exp is no power of a", lambda a: (a * exp(a - 1),)))),
    "log": ("log(a)", (
        ("1/log(a) instead of 1/a", lambda a: (1 / log(a),)),
        ("a instead of 1/a", lambda a: (a,)))),
    "tanh": ("tanh(a)", (
        ("1 - a², of the operand instead of the output", lambda a: (1 - a**2,)),
        ("1 - tanh(a), without the square", lambda a: (1 - tanh(a),)),
        ("1 + tanh²(a): the sign", lambda a: (1 + tanh(a) ** 2,)),
        ("the value instead of the derivative", lambda a: (tanh(a),)))),
    "sigmoid": ("sigmoid(a)", (
        ("a(1 - a), of the operand instead of the output", lambda a: (a * (1 - a),)),
        ("the value instead of the derivative", lambda a: (1 / (1 + exp(-a)),)))),
    "relu": ("relu(a)", (
        ("0 where the input is positive", lambda a: (0,)),
        ("1 where the input is negative", lambda a: (1,)),
        ("the value instead of the derivative", lambda a: (a,)))),
}  # fmt: skip
