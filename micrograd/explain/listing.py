"""A whole computation as a Python function: forward lines, and backward lines that mirror them.

`formula` spells values and partial derivatives of the rule book in Python, with nothing but `math`. Here they become the lines
of a function. Order and grouping are the engine's, so finite numbers are its numbers, bit for bit, and nan stays nan. Where the
engine goes on by IEEE 754, as at a pole, `math` raises.
"""

from __future__ import annotations

import keyword
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from inspect import getsource
from typing import Any

from micrograd import floats
from micrograd.engine import Value, topological_order
from micrograd.engine.choices import unbounded
from micrograd.explain.contributions import changed
from micrograd.explain.names import Names, visible
from micrograd.formula.python import Python, number
from micrograd.formula.symbol import MUL, POWER, PRODUCT, SUM, Symbol, applied

LONGEST = 40  # terms of a sum in its first line; each further one is added by a += of its own
_USED = ("math", "max", "map", "any", "int", "range")  # names of Python that listings use
# Functions that `math` lacks. A listing has the source of those that it calls; each stands there above those before it here.
_HELD = (
    floats.polygamma, floats.power_log, floats.power_less, floats.ordinary, floats.power, floats.direction, floats.inverted,
    floats.scale, floats.exp_minus_square, floats.ndtr, floats.log_sum_exp, floats.length,
)  # fmt: skip


class Listing(str):
    """Python source, which shows itself as code."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return f"```python\n{self}\n```"


def to_code(output: Value, name: str = "f") -> Listing:
    """A Python function of the leaves below `output` that returns its value and a dict of its gradients.

    The listing needs `math` alone. Each forward line has a number; the backward lines with the same number pass on the gradient
    of that operation, with += where paths meet. The arguments default to the present data of the leaves. ValueError where an
    operation cannot be written: one with its own backward closure, or a primitive whose value is no formula.

    Finite numbers are the engine's, bit for bit and with the sign of zero, and nan stays nan. Where the engine goes on with inf
    or nan by IEEE 754, the listing raises as Python does: log(0), 1 / 0, exp(1000), sin(inf), a negative number to a power that
    is not whole. As in the engine, an operand that was not chosen gets nothing, as long
    as no number is beyond 1e100 that was not when the graph was built. Where data has changed since then, the listing says so.

    >>> from micrograd import Value
    >>> a = Value(2.0, label="a")
    >>> compute = {}
    >>> exec(to_code(a * a, "square"), compute)
    >>> compute["square"](a=3.0)
    (9.0, {'a': 6.0})
    """
    if not isinstance(output, Value):
        raise TypeError(f"to_code needs a Value, got {type(output).__name__} {output!r}")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"to_code needs a Python name for the function, got {name!r}")
    if unicodedata.normalize("NFKC", name) in _USED:
        raise ValueError(
            f"to_code cannot call the function {name!r}: the listing itself uses {', '.join(_USED)}; choose another name"
        )
    order = topological_order(output) or [output]
    names = _identifiers(order, Names(order, visible()), name)
    write = Python()
    leaves = [node for node in order if node.rule is None]

    def symbol(node: Value) -> Symbol:
        return Symbol(node.data, None if node.is_constant else names[node])

    lines = ["import math", "", "", *_wrapped(f"def {name}(", [f"{names[leaf]}={number(leaf.data)}" for leaf in leaves], "):")]
    if any(map(changed, order)):
        lines.append("    # Data has changed since the graph was built: what is computed here is for the numbers of now.")
    lines += ["    # forward"]
    numbered = {node: i for i, node in enumerate([n for n in order if n.rule is not None and not n.is_constant], 1)}
    forward: list[tuple[str, int]] = []
    backward = [(line, 0) for line in _zeros([f"d_{names[leaf]}" for leaf in leaves if leaf is not output])]
    backward += [(f"d_{names[output]} = 1.0", 0)] if not output.is_constant else []
    for node, i in numbered.items():
        assert node.rule is not None
        if node.rule.partials is None:
            raise ValueError(
                f"to_code cannot write {names[node]}: {node.op!r} has a backward closure of its own; use primitive()"
            )
        args = tuple([symbol(p) for p in node.parents])
        forward += [(line, i) for line in _forward(names[node], node, args, write)]
    arrived = {output, *leaves}  # leaves begin at 0.0, as in the engine, so that adding -0.0 gives 0.0
    edges = {node: _edges(node, symbol) for node in reversed(numbered)}
    gated = _gated(output, order, edges)
    for node, i in reversed(numbered.items()):
        if node not in arrived:
            continue
        if common := _common([partial for _, partial, _ in edges[node]]):
            backward.append((f"common = {write(common)}", i))
        g, reached = Symbol(math.nan, f"d_{names[node]}"), f"reached_{names[node]}" if gated.get(node) else ""
        for parent, partial, chosen in edges[node]:
            if common:
                args = tuple([Symbol(math.nan, "common") if a is common else a for a in partial.args])
                partial = Symbol(math.nan, None, partial.rule, args)
            through = reached
            if chosen and gated:  # where it is 0, nothing is multiplied: inf * 0 would be nan, and 1 / 0 would raise
                backward.append((f"local = {write(partial)}", i))
                partial, through = Symbol(math.nan, "local"), f"{reached} and local" if reached else "local"
            contribution = write(applied(MUL, (g, partial)) if not _is(partial, -1.0) else -g)
            sign = "+=" if parent in arrived else "="
            backward.append((f"d_{names[parent]} {sign} {contribution}{f' if {through} else 0.0' * bool(through)}", i))
            if gated.get(parent):
                before = f"reached_{names[parent]} or " * (parent in arrived)
                backward.append((f"reached_{names[parent]} = {before}{through}", i))
            arrived.add(parent)
    written = [line for line, _ in (*forward, *backward)]
    width = min(60, max(map(len, written), default=0))
    for function in _HELD:
        if any(re.search(rf"\b{function.__name__}\(", line) for line in (*lines, *written)):
            lines[1:1] = ["", "", *getsource(function).splitlines()]
    lines += [f"    {line.ljust(width)}  # {i}" for line, i in forward]
    lines += ["", "    # backward", *[f"    {line.ljust(width)}  # {i}" if i else f"    {line}" for line, i in backward]]
    value = number(output.data) if output.is_constant else names[output]
    lines += _wrapped(f"    return {value}, {{", [f'"{names[leaf]}": d_{names[leaf]}' for leaf in leaves], "}")
    return Listing("\n".join(lines) + "\n")


def _edges(node: Value, symbol: Callable[[Value], Symbol]) -> list[tuple[Value, Any, bool]]:
    """The operands of a node that have an edge, each with its partial, and whether a 0 there says that it was not chosen."""
    assert node.rule is not None
    wanted = [not p.is_constant for p in node.parents]
    local = node.rule.local(tuple(map(symbol, node.parents)), symbol(node), wanted)
    return [
        (parent, partial, node.rule.chooses and isinstance(partial, Symbol))
        for k, (parent, partial, want) in enumerate(zip(node.parents, local, wanted, strict=True))
        if want and not node.rule.leaves_out(k, partial)
    ]


def _common(partials: Sequence[Any]) -> Symbol | None:
    """A formula that all partials of a node contain, to be written once, such as the sum in those of logsumexp; else None."""
    if len(partials) < 2 or not all(isinstance(p, Symbol) for p in partials):
        return None
    return next((a for a in partials[0].args if a.rule is not None and all(a in p.args for p in partials)), None)


def _gated(output: Value, order: Sequence[Value], edges: dict[Value, list[tuple[Value, Any, bool]]]) -> dict[Value, bool]:
    """For each operation whether it passes its gradient on only if choices lead to it; a listing keeps that in `reached_...`.

    Empty where no operation needs that.
    """
    wild = unbounded(order)
    if not wild:
        return {}
    always = {output}  # a path without choices leads to these
    for node, found in edges.items():
        always.update(parent for parent, _, chosen in found if not chosen and (node in always or node not in wild))
    return {node: node in wild and node not in always for node in edges}


def _zeros(names: Sequence[str]) -> list[str]:
    """d_a = d_b = 0.0, on as many lines as needed."""
    lines = [""]
    for name in names:
        lines = [*lines, ""] if len(lines[-1]) + len(name) > 90 else lines
        lines[-1] += f"{name} = "
    return [f"{line}0.0" for line in lines if line]


def _is(partial: object, number: float) -> bool:
    return not isinstance(partial, Symbol) and partial == number


def _forward(name: str, node: Value, args: tuple[Symbol, ...], write: Python) -> list[str]:
    """The line that computes a node; of a long sum the lines."""
    assert node.rule is not None
    if node.op == "sum":
        return _added(name, [write.held(a, SUM + 1) for a in args])
    if node.op == "dot":
        n = len(args) // 2
        products = [f"{write.held(x, PRODUCT)} * {write.held(y, POWER)}" for x, y in zip(args[:n], args[n:-1], strict=True)]
        return _added(name, [write.held(args[-1], SUM), *products])
    return [f"{name} = {write(Symbol(node.data, None, node.rule, args))}"]


def _added(name: str, terms: Sequence[str]) -> list[str]:
    """name = a + b + ..., in the order of the terms; a long sum continues with +=, one term a line, in the same order."""
    head = f"{name} = {' + '.join(terms[:LONGEST])}"
    return [head, *[f"{name} += {term}" for term in terms[LONGEST:]]]


def _wrapped(start: str, parts: Sequence[str], end: str) -> list[str]:
    """start a, b, c end: on one line, or, where that is long, the parts on further lines."""
    one = start + ", ".join(parts) + end
    if len(one) <= 110:
        return [one]
    indent = " " * (len(start) - len(start.lstrip()))
    lines, line = [start], ""
    for part in parts:
        if line and len(line) + len(part) > 100:
            lines.append(f"{indent}    {line}".rstrip())
            line = ""
        line += part + ", "
    return [*lines, f"{indent}    {line}".rstrip(), indent + end]


def _identifiers(order: Sequence[Value], names: Names, function: str) -> dict[Value, str]:
    """A Python name for every node, all different, and none that shadows what the listing uses."""
    own = [held.__name__ for held in _HELD]
    taken = {*_USED, "choice", "local", "common", *own, unicodedata.normalize("NFKC", function)}
    found: dict[Value, str] = {}
    count: dict[str, int] = {}
    for node in order:
        text = names[node].text.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁽⁾′", "0123456789__p"))
        text = unicodedata.normalize("NFKC", text)  # as Python reads names: µ and μ are one
        base = re.sub(r"\W+", "_", text).strip("_") or "v"
        plain = base.isidentifier() and not keyword.iskeyword(base) and not base.startswith(("d_", "reached_"))
        base = base if plain else f"v_{base}"
        name = base
        while name in taken:
            count[base] = count.get(base, 1) + 1
            name = f"{base}_{count[base]}"
        taken.add(name)
        found[node] = name
    return found
