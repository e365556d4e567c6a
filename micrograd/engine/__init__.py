"""The engine: Value, the graph that it remembers, and the chain rule over that graph.

`primitives` comes before: every value and every derivative stands there. Everything above builds on the names here.

    value          the heart: Value, the order of the graph, the chain rule over it
    operators      + and its kin, spelled out for speed; ufuncs are NumPy's functions of a Value
    choices        what was not chosen has no edge
    higher_order   adjoints that are graphs, to be differentiated again
    stale          data that has changed since the graph was built
    modes          no_grad() and the like, scopes, who is told of what is done to Values
    anomaly        what detect_anomaly() refuses
    lines          which line of the reader's program is running
    numbers        a Value as a plain number: float(), formats
    shown          a Value as pictures and words: draw(), explain(), why()
    copies         copies and pickles of graphs of any depth
    assign         attributes set as one, gradients added once
    stored         how a node is stored, for other rooms that walk or make nodes
    original       the names of the original micrograd
"""

from micrograd.engine.assign import add_gradients
from micrograd.engine.copies import redirect
from micrograd.engine.modes import Note, mark
from micrograd.engine.stored import attach, computed, edges, leaves_and_numbers, operands, primal, primals
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
    "general", "leaves_and_numbers", "mark", "node_of", "operands", "primal", "primals", "redirect", "topological_order",
]  # fmt: skip
