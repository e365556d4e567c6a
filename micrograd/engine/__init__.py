"""The engine: Value, the graph that it remembers, and the chain rule over that graph.

`primitives` comes before: every value and every derivative stands there. Everything above builds on the names here.
`value` is the heart; `operators` spells `+` and its kin out for speed; `modes` are no_grad() and the like; `choices` leaves out
what was not chosen; `higher_order` makes adjoints that are graphs; `stale` refuses derivatives of data that has changed, or
computes all again; `stored` lets other rooms walk and make nodes; `copies` copies and pickles graphs of any depth; `shown` and
`numbers` are a Value as pictures and as a number; `assign` sets attributes as one; `original` has the names of the original
micrograd.
"""

from micrograd.engine.assign import add_gradients
from micrograd.engine.copies import redirect
from micrograd.engine.modes import Note, mark
from micrograd.engine.stored import attach, computed, edges, operands, primal, primals
from micrograd.engine.value import (
    Value,
    adjoints,
    all_below,
    as_values,
    constant,
    general,
    node_of,
    topological_order,
)

__all__ = [
    "Note", "Value", "add_gradients", "adjoints", "all_below", "as_values", "attach", "computed", "constant", "edges",
    "general", "mark", "node_of", "operands", "primal", "primals", "redirect", "topological_order",
]  # fmt: skip
