"""The page in which one steps through backward: the graph as data, the static picture, and the script beside this file.

`graph` says what there is; `explore.js` lays it out in the browser, folds and unfolds it, and repeats the backward pass
on the same numbers in the same order, so that it arrives at the engine's gradients bit for bit. The page is one piece
of HTML that loads nothing. Where scripts are not allowed to run, its picture remains.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections.abc import Hashable
from functools import cached_property
from html import escape
from importlib.resources import files
from typing import Any

from micrograd.draw.graph import Graph, Group, Part, visible
from micrograd.draw.lettering import clip, operation, runs
from micrograd.files import replacing
from micrograd.formula.text import clean

_MOST = 50_000  # values that a page holds: with more, a browser takes too long to be of use


class Exploration:
    """A page to explore one drawing: `html` is the fragment that notebooks show, `page` a document of its own."""

    def __init__(self, graph: Graph, picture: str, title: str, limit: int | None, unfold: tuple[str, ...]):
        self.graph, self.picture, self.title = graph, picture, title
        self._limit, self._unfold = limit, unfold

    @cached_property
    def html(self) -> str:
        """One piece of HTML with all it needs: the picture as an image, which the script upgrades where it may run."""
        image = f'<img alt="{escape(self.title)}" src="{data_url(self.picture)}" style="max-width:100%">'
        if len(self.graph) > _MOST:
            too_many = (
                f"The page to step through backward holds at most {_MOST:,} values, and this graph has {len(self.graph):,}."
            )
            return f"<div>{image}<p>{too_many} Explore a value further back, or fewer samples.</p></div>\n"
        data = json.dumps(self.data(), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        data = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        name = hashlib.sha256((data + self.picture).encode()).hexdigest()[:16]
        here = files(__package__)
        style, script = (here.joinpath(f"explore.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
        return (
            f'<div class="mg-explore" data-micrograd="{name}">{image}\n'
            f'<script type="application/json">{data}</script>\n<style>\n{style}</style>\n<script>\n{script}</script>\n</div>\n'
        )

    @property
    def page(self) -> str:
        """The fragment as an HTML document."""
        head = (
            '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta name="color-scheme" content="light dark">\n<title>{escape(self.title)}</title>\n'
            "<style>body { margin: 16px; background: Canvas; color: CanvasText }</style>\n"
        )
        return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}</head>\n<body>\n{self.html}</body>\n</html>\n'

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file of its own."""
        with replacing(path) as file:
            file.write(self.page.encode())

    def data(self) -> dict[str, Any]:
        """What the script knows of the graph, as JSON: values in the engine's order, and the groups they are in."""
        graph, tree = self.graph, self.graph.tree(self._limit)
        shown, _ = visible(tree, self._limit, self._unfold)
        texts: dict[Hashable, int] = {}

        def text(label: str) -> int:
            return texts.setdefault(label, len(texts))

        closed = {part for part in shown if isinstance(part, Group)}
        within = [-1] * len(graph)
        groups: list[list[Any]] = []
        stack: list[tuple[Part, int]] = [(part, -1) for part in reversed(tree.parts)]
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
            groups.append([text(part.name), tag, parent, int(number not in inside_closed), len(part.parts)])
            stack.extend((inner, number) for inner in reversed(part.parts))
        ops = dict.fromkeys(graph.ops)
        kinds = dict.fromkeys(graph.kinds)
        op_number, kind_number = ({name: k for k, name in enumerate(names)} for names in (ops, kinds))
        nodes = [
            [kind_number[graph.kinds[i]], text(graph.labels[i]), op_number[graph.ops[i]], _exact(graph.data[i]), within[i],
             list(graph.parents[i]), [_exact(d) for d in graph.partials[i]]]
            for i in range(len(graph))
        ]  # fmt: skip
        return {
            "page": files(__package__).joinpath("explore.html").read_text(encoding="utf-8"),
            "texts": [_pieces(str(label)) for label in texts],
            "ops": [operation(name) for name in ops],
            "kinds": list(kinds),
            "groups": groups,
            "nodes": nodes,
        }

    def __repr__(self) -> str:
        return f"<page to explore: {self.title}; shown by Jupyter; .html, .save(path)>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/html": self.html, "text/plain": repr(self)}


def data_url(svg: str) -> str:
    """The picture as an address that holds it."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _pieces(label: str) -> Any:
    """A label as the script takes it: text, or pieces of text with their levels."""
    pieces = runs(label)
    return clip(clean(label), 40) if len(pieces) == 1 else [[clean(text), level] for text, level in pieces]


def _exact(x: float) -> float | str:
    """The number as JSON can hold it, all digits kept."""
    return x if math.isfinite(x) else "NaN" if x != x else "Infinity" if x > 0 else "-Infinity"
