"""The classic mistakes in a backward pass, as data: `find_bug` compares a class with them, and the page's guess a number.

`check/mistakes.py` makes each walk on the engine's graph, and `draw/page/guess.js` on the page's.
"""

from __future__ import annotations

from typing import NamedTuple

ACCUMULATE = "use += where a gradient is passed on: a value that is used several times gets the sum of what its uses give"
ORDER = (
    "sort the graph topologically and go through it in reverse: a node may pass its gradient on only when all the nodes that "
    "use it have passed on theirs"
)
UPSTREAM = "the chain rule multiplies the local derivative by out.grad"
KNOWN = "hand the operands to the result, such as Value(data, (self, other)), or backward() stops there"
OVERWRITTEN = "gradients are overwritten instead of added up"
SUMS_OVERWRITE = "a + b overwrites gradients instead of adding to them"
PRODUCTS_OVERWRITE = "a * b overwrites gradients instead of adding to them"
COUNTED_ONCE = "an operand that stands on both sides counts once"
WRONG_ORDER = "the order is wrong: a node passes on before all its gradient is there"


class Mistake(NamedTuple):
    """A mistake: its name, the walk that makes it, what to do instead, and the operations that make it (none: all do)."""

    name: str
    walk: str
    advice: str
    ops: tuple[str, ...] = ()


MISTAKES = (
    Mistake(OVERWRITTEN, "overwriting", ACCUMULATE),
    Mistake(COUNTED_ONCE, "once_per_parent", "a + a contributes to a twice: keep the operands as a tuple, and use += for each"),
    Mistake(SUMS_OVERWRITE, "overwriting", f"__add__: {ACCUMULATE}", ("add",)),
    Mistake(PRODUCTS_OVERWRITE, "overwriting", f"__mul__: {ACCUMULATE}", ("mul",)),
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
)  # fmt: skip
FORKS_ONLY = (OVERWRITTEN, SUMS_OVERWRITE, PRODUCTS_OVERWRITE, COUNTED_ONCE)  # where all else can be tried
