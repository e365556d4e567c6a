"""The engine: Value, the graph that it remembers, and the chain rule over that graph.

`primitives` comes before: every value and every derivative stands there. Everything above builds on the names here.
`value` is the heart; `operators` spells `+` and its kin out for speed; `modes` are no_grad() and the like; `higher_order`
makes adjoints that are graphs; `copies` copies and pickles graphs of any depth; `original` has the names of the original
micrograd.
"""

from micrograd.engine.assign import add_gradients
from micrograd.engine.modes import Note, mark
from micrograd.engine.value import (
    Value,
    adjoints,
    as_values,
    attach,
    constant,
    general,
    node_of,
    primal,
    topological_order,
)

__all__ = [
    "Note", "Value", "add_gradients", "adjoints", "as_values", "attach", "constant", "general", "mark", "node_of", "primal",
    "topological_order",
]  # fmt: skip
