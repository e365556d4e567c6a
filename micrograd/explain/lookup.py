"""From a name to the Values that have this name in drawings and explanations.

`names` comes before. Names are read as labels are, so W_{12}^{[1]}, W_12^[1] and W₁₂⁽¹⁾ are the same name.
"""

from __future__ import annotations

from difflib import get_close_matches

from micrograd.engine import Value, topological_order
from micrograd.explain.names import Names, visible
from micrograd.formula.label import named, plain


def find(output: Value, name: str) -> list[Value]:
    """All Values of this name that `output` depends on, in the engine's order; an empty list where there is none.

    A name is a label, or that of a variable, or one by which explanations of `output` count: v1, or z_1^[2](7) for z_1^[2] in
    the seventh call.
    """
    if not isinstance(name, str):
        raise TypeError(f"Values are found by their names, which are text, got {type(name).__name__} {name!r:.60}")
    names = _names(output)
    wanted = named(name).text
    exact = [node for node in names.known if names.name(node).text in (wanted, name) or name in (node.label, str(node.label))]
    if exact:
        return exact
    counted = [node for node in names.counted if names.name(node).text == wanted]
    return counted or [node for node, base in names.base.items() if base.text == wanted or plain(node.label) == name]


def only(output: Value, name: str) -> Value:
    """The one Value of this name; KeyError where there is none, or where several have it."""
    found = find(output, name)
    if len(found) == 1:
        return found[0]
    names = _names(output)
    if found:
        several = ", ".join([names.name(node).text for node in found[:4]]) + ", ..." * (len(found) > 4)
        raise KeyError(f"{len(found)} Values are called {name!r}: take one by {several}, or all by .find({name!r})")
    known = [names.name(node).text for node in names.known]
    close = get_close_matches(name, known, 3, 0.5) or known[:6]
    raise KeyError(f"nothing here is called {name!r}" + (f": there are {', '.join(close)}" if close else ""))


def _names(output: Value) -> Names:
    """The names of an explanation of `output`."""
    order = topological_order(output)
    variables = visible()
    constants = [p for node in order for p in node.parents if p.is_constant and (p.label or p in variables)]
    return Names(list(dict.fromkeys([*constants, *order, output])), variables)
