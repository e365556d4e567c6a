"""The page in the browser: the graph as data, a static picture, and the scripts in the folder page/ beside this file.

`snapshot` comes before. The scripts lay the graph out in the browser, and compute values, local derivatives and gradients by
the rule book, printed as JavaScript, whenever one moves a slider. The page is one piece of HTML that loads nothing and
evaluates no text. Where scripts are not allowed to run, the static picture remains.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
from collections.abc import Hashable, Mapping
from functools import cache, cached_property
from html import escape
from importlib.resources import files
from typing import Any

from micrograd.draw.folding import Group, Part, tree, visible
from micrograd.draw.lettering import clip, operation, runs
from micrograd.draw.minify import minified
from micrograd.draw.network import Network, found_in
from micrograd.draw.notebook import data_url
from micrograd.draw.saving import opened
from micrograd.draw.snapshot import Graph
from micrograd.draw.style import DARK, LIGHT, MORE, THINNEST, variables
from micrograd.formula.javascript import functions, listed, printable, printed
from micrograd.formula.mistakes import MISTAKES, SLIPS
from micrograd.formula.symbol import Symbol
from micrograd.formula.text import clean
from micrograd.primitives import HELPERS, RULES
from micrograd.saving import replacing

_MOST = 50_000  # values in a page at most: with more, a browser takes too long
_ALWAYS = ("graph", "formulas", "layout", "picture", "view", "values", "explanation", "descend", "guess")
# Rows whose partials are arithmetic on operands and output, so that the page computes the engine's own bits. Of all other rows
# it is sent the engine's partials, which it shows until a value is changed.
_EXACT = {
    "add", "sub", "mul", "div", "neg", "sqrt", "relu", "abs", "sign", "step", "maximum", "minimum", "greater", "less", "equal",
    "where", "sum", "dot", "exp", "tanh", "sigmoid", "tan", "mod", "floordiv", "floor", "round",
}  # fmt: skip


class Exploration:
    """A page to explore one drawing: `html` is the fragment that notebooks show, `page` a document of its own."""

    def __init__(
        self, graph: Graph, picture: str, title: str, limit: int | None, unfold: tuple[str, ...], more: Mapping[str, Any] = {}
    ):
        self.graph, self.picture, self.title, self.more = graph, picture, title, more
        self._limit, self._unfold = limit, unfold

    @cached_property
    def network(self) -> Network | None:
        """The network in the graph, if there is just one."""
        return found_in(self.graph)

    @cached_property
    def html(self) -> str:
        """One piece of HTML with all it needs: the picture as an image, which the script replaces where it may run."""
        image = f'<img alt="{escape(self.title)}" src="{data_url(self.picture)}">'
        if len(self.graph) > _MOST:
            too_many = (
                f"The page to step through backward holds at most {_MOST:,} values, and this graph has {len(self.graph):,}."
            )
            return f"<div>{image}<p>{too_many} Explore a value nearer to the leaves, or fewer samples.</p></div>\n"
        data = json.dumps(self.data(), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        data = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        name = hashlib.sha256((data + self.picture).encode()).hexdigest()[:16]
        return (
            f'<div class="mg-explore" data-micrograd="{name}">{image}\n<script type="application/json">{data}</script>\n'
            f"<style>{self.style}</style>\n<script>{self.script}</script>\n</div>\n"
        )

    @property
    def script(self) -> str:
        """The rule book as JavaScript, with the user-defined rows that the graph uses, and the files of page/, minified."""
        rows = [row for op in dict.fromkeys(self.graph.ops) if (row := RULES.get(op)) and row.own and printable(row)]
        called = re.findall(r'\["(\w+)"', json.dumps(self._slips))
        rules = printed(rows, None if "expression" in self.more else (*self.graph.ops, *called))
        known = constants("expression" in self.more)
        text = "\n".join(
            [functions(rules), rules, known, *[_part(f"{name}.js") for name in (*_ALWAYS, *self._more_parts, "page")]]
        )
        return f"(() => {{{minified(text)}}})();\n"

    @property
    def style(self) -> str:
        """The style sheets of the parts that the page has."""
        return _style("page", *self._more_parts)

    @property
    def _more_parts(self) -> list[str]:
        wanted = {"network": self.network is not None, "training": "training" in self.more, "parse": "expression" in self.more}
        return [name for name, is_wanted in wanted.items() if is_wanted]

    @property
    def page(self) -> str:
        """The fragment as an HTML document, with a content security policy: only what is in it may run or load."""
        frame = "body { margin: 16px; background: Canvas; color: CanvasText }"
        policy = (
            f"default-src 'none'; img-src data:; style-src {_hash(frame)} {_hash(self.style)}; script-src {_hash(self.script)}"
        )
        head = (
            '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            f'<meta name="color-scheme" content="light dark">\n<title>{escape(self.title)}</title>\n<style>{frame}</style>\n'
        )
        return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}</head>\n<body>\n{self.html}</body>\n</html>\n'

    def showing(self, **more: Any) -> Exploration:
        """The same page with something more to show, such as a line to type expressions into, or a training run."""
        return Exploration(self.graph, self.picture, self.title, self._limit, self._unfold, {**self.more, **more})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file of its own."""
        with replacing(path) as file:
            file.write(self.page.encode())

    def show(self) -> str:
        """Open the page in the browser, for scripts and terminals; returns the path of its temporary file."""
        return opened(self.page, ".html")

    def data(self) -> dict[str, Any]:
        """What the scripts know of the graph, for JSON: values in the engine's order, and the groups they are in."""
        graph, top = self.graph, tree(self.graph, self._limit)
        shown, _ = visible(top, self._limit, self._unfold)
        texts: dict[Hashable, int] = {}

        def text(label: str) -> int:
            return texts.setdefault(label, len(texts))

        groups, within = _grouped(top, {part for part in shown if isinstance(part, Group)}, len(graph))
        for literal, consumer in graph.literals.items():  # a number written inside an operation folds with it
            within[literal] = within[consumer]
        ops, kinds = dict.fromkeys(graph.ops), dict.fromkeys(graph.kinds)
        op_number, kind_number = ({name: k for k, name in enumerate(names)} for names in (ops, kinds))
        frozen = [name for name in ops if name and (name not in RULES or (RULES[name].own and not printable(RULES[name])))]
        nodes = []
        for i, op in enumerate(graph.ops):
            node: list[Any] = [
                kind_number[graph.kinds[i]],
                text(graph.labels[i]),
                op_number[op],
                _exact(graph.data[i]),
                within[i],
            ]
            node.append(graph.parents[i])
            if op and op not in _EXACT:
                node.append([_exact(d) for d in graph.partials[i]])
            nodes.append(node)
        return {
            "page": _part("page.html"),
            "nodes": nodes,
            "groups": [[text(name), *rest] for name, *rest in groups],
            "texts": [_pieces(str(label)) for label in texts],
            "ops": list(ops),
            "signs": {name: operation(name) for name in ops if name},
            "kinds": list(kinds),
            "frozen": frozen,
            "mistakes": [[m.name, m.walk, m.advice] for m in MISTAKES if not m.ops],
            "slips": self._slips,
            "network": self.network and [[[neuron.z, neuron.a] for neuron in layer] for layer in self.network.layers],
            **self.more,
        }

    @cached_property
    def _slips(self) -> dict[str, Any]:
        """The classic mistakes in local derivatives that guesses are compared with, as formulas of the operands "0" and "1"."""
        operands = [Symbol(0.5, str(k)) for k in range(2)]
        wanted = [op for op in SLIPS if op in self.graph.ops or "expression" in self.more]
        found = {}
        for op, (written, slips) in ((op, SLIPS[op]) for op in wanted):
            count = len(RULES[op].partials)
            found[op] = [written, [[what, [listed(local) for local in wrong(*operands[:count])]] for what, wrong in slips]]
        return found

    def __repr__(self) -> str:
        return f"<page to explore: {self.title}; shown by Jupyter; .html, .save(path)>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/html": self.html, "text/plain": repr(self)}


def constants(typed: bool = True) -> str:
    """Constants of the scripts, as JavaScript; with `typed`, also those for the line to type expressions into."""
    chooses = json.dumps([name for name, row in RULES.items() if row.chooses])
    known = f"const THINNEST = {THINNEST}, MORE = {MORE}, CHOOSES = new Set({chooses});"
    return known + (f"const HELPERS = {json.dumps(sorted(HELPERS))};" if typed else "")


def _grouped(top: Group, closed: set[Group], count: int) -> tuple[list[list[Any]], list[int]]:
    """The groups as [name, tag, number of the group around, is open, number of parts], and the group of each value."""
    within = [-1] * count
    groups: list[list[Any]] = []
    stack: list[tuple[Part, int]] = [(part, -1) for part in reversed(top.parts)]
    inside_closed: set[int] = set()
    while stack:
        part, parent = stack.pop()
        if not isinstance(part, Group):
            within[part] = parent
            continue
        number = len(groups)
        if part in closed or parent in inside_closed:
            inside_closed.add(number)
        size = f"{part.size} values"
        tag = f"{part.within}, {size}" if part.within else size
        groups.append([part.name, tag, parent, int(number not in inside_closed), len(part.parts)])
        stack.extend((inner, number) for inner in reversed(part.parts))
    return groups, within


def _style(*names: str) -> str:
    colours = f".mg-explore{{{variables(LIGHT)}}}.mg-dark{{{variables(DARK)}}}"
    return colours + (
        re.sub(r"\s*([{};,])\s*", r"\1", "".join([_part(f"{name}.css") for name in names]))
        .replace(": ", ":")
        .replace(";}", "}")
    )


@cache
def _part(name: str) -> str:
    return files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _pieces(label: str) -> Any:
    """A label as the scripts take it: text, or pieces of text with their levels."""
    pieces = runs(label)
    return clip(clean(label), 40) if len(pieces) == 1 else [[clean(text), level] for text, level in pieces]


def _exact(x: float) -> float | str:
    """The number as JSON can hold it, with all digits: nan and infinities as text."""
    return x if math.isfinite(x) else "NaN" if x != x else "Infinity" if x > 0 else "-Infinity"
