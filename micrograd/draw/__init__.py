"""Drawings of the graph below a Value: `v.draw()`, `draw_dot(root)`.

`graph` takes a snapshot and folds it, `layout` finds the places, `svg` and `dot` write it down, `explore` makes the page in
which one steps through backward. No program has to be installed to see a drawing; Graphviz's `dot` makes PNG and PDF.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from functools import cached_property
from html import escape
from typing import Any

from micrograd.draw.dot import digraph, mermaid
from micrograd.draw.explore import Exploration, data_url
from micrograd.draw.graph import LIMIT, Graph
from micrograd.draw.lettering import clip, number, plain
from micrograd.draw.svg import svg
from micrograd.engine import Value
from micrograd.files import replacing

__all__ = ["LIMIT", "Drawing", "draw_dot", "to_mermaid"]

_WITH_DOT = ("png", "pdf")


class Drawing:
    """A picture of the graph below `root`, as it was when the drawing was made. Jupyter shows it.

    `limit` is how many boxes a picture may have (None: one for every value); above it layers, neurons, calls and parts
    that are alike fold into one box each, and long chains lose their middle. `unfold` names folds to open, such as
    "layer 1" or "layer 1/neuron 2". `rankdir` is "LR" or "TB", as in Graphviz. `through` is a Value, or several: the paths
    from it to the root stand out in the SVG, the rest fades; its gradient is the sum over just these paths.

    >>> a = Value(2.0, label="a")
    >>> drawing = Drawing(a * a + 1)
    >>> drawing
    <Graph of the output = 5: 4 values; .svg, .save(path), .explore()>
    >>> drawing.svg.startswith("<svg")
    True
    """

    def __init__(
        self,
        root: Value,
        format: str = "svg",
        rankdir: str = "LR",
        limit: int | None = LIMIT,
        unfold: str | Iterable[str] = (),
        through: Value | Iterable[Value] = (),
    ):
        if rankdir not in ("LR", "TB"):
            raise ValueError(f'rankdir is "LR" (to the right) or "TB" (down), got {rankdir!r}')
        if format not in ("svg", *_WITH_DOT):
            raise ValueError(f'format is "svg", "png" or "pdf", got {format!r}')
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise ValueError(f"limit is how many boxes a picture may have, or None for no limit, got {limit!r}")
        self.graph = Graph(root)
        self.format, self.rankdir, self.limit = format, rankdir, limit
        self.unfold = (unfold,) if isinstance(unfold, str) else tuple(unfold)
        self.picture = self.graph.picture(limit, self.unfold)
        self.lit = self._lit(through)

    @property
    def title(self) -> str:
        """What is drawn, in a few words."""
        name, data = self.graph.labels[self.graph.root], self.graph.data[self.graph.root]
        return f"Graph of {clip(plain(name)) or 'the output'} = {number(data)}"

    def _lit(self, through: Value | Iterable[Value]) -> set[int] | None:
        """The boxes on a path from these values to the root; None where no value is given."""
        chosen = [through] if isinstance(through, Value) else list(through)
        for value in chosen:
            if not isinstance(value, Value) or value not in self.graph.index:
                raise ValueError(f"through takes Values that the output depends on, got {value!r:.60}")
        reached = {self.graph.index[value] for value in chosen}
        self.through = sorted(reached)
        for i, parents in enumerate(self.graph.parents):  # parents come before their consumers
            if not reached.isdisjoint(parents):
                reached.add(i)
        return {k for k, box in enumerate(self.picture.boxes) if not reached.isdisjoint(box.members)} if chosen else None

    @cached_property
    def svg(self) -> str:
        """The picture as SVG, laid out by this project: no program is needed."""
        return svg(self.picture, self.rankdir, self.title, self.lit)

    @cached_property
    def digraph(self) -> Any:
        """The picture as a `graphviz.Digraph`."""
        return digraph(self.picture, self.format, self.rankdir)

    @property
    def source(self) -> str:
        """The picture as DOT source."""
        return str(self.digraph.source)

    def to_mermaid(self) -> str:
        """The picture as a Mermaid flowchart, for Markdown."""
        return mermaid(self.picture, self.rankdir)

    def explore(self, mode: str = "live", seed: int | None = None, count: int = 0) -> Exploration:
        """The living page: sliders, steps forward and backward, the chain rule, descent; Jupyter shows it.

        `mode="guess"` opens it with a question: a gradient is hidden, the reader types it. A `seed` gives everybody the same
        questions, and after `count` of them comes the score.

        >>> a = Value(2.0, label="a")
        >>> (a * a).draw().explore(mode="guess", seed=7, count=10)
        <page to explore: Graph of the output = 4; shown by Jupyter; .html, .save(path)>
        """
        if mode not in ("live", "guess"):
            raise ValueError(f'mode is "live" or "guess", got {mode!r}')
        if mode == "live" and (seed is not None or count):
            raise ValueError('seed and count are for guessing: .explore(mode="guess", seed=7, count=10)')
        if not isinstance(count, int) or count < 0 or not isinstance(seed, int | None):
            raise ValueError(f"seed and count are whole numbers, count not negative, got seed={seed!r}, count={count!r}")
        more: dict[str, Any] = {"down": True} if self.rankdir == "TB" else {}
        if mode == "guess":
            more["guess"] = {"count": count} | ({} if seed is None else {"seed": seed})
        if self.through:
            more["through"] = self.through
        return Exploration(self.graph, self.svg, self.title, self.limit, self.unfold, more)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the drawing: .svg, .html (the page to explore), .dot or .gv, .mmd, and with Graphviz .png and .pdf.

        ValueError for another ending; RuntimeError that says what to install where `dot` is missing.
        """
        content = self.rendered(path)
        with replacing(path) as file:
            file.write(content)

    def rendered(self, path: str | os.PathLike[str]) -> bytes:
        """What `save` writes to a file of this name."""
        ending = os.path.splitext(os.fspath(path))[1].lower().lstrip(".")
        if ending in _WITH_DOT:
            return self._with_dot(ending)
        made = {
            "svg": lambda: self.svg,
            "html": lambda: self.explore().page,
            "dot": lambda: self.source,
            "gv": lambda: self.source,
            "mmd": self.to_mermaid,
        }
        if ending not in made:
            raise ValueError(f"a drawing is saved as .svg, .html, .png, .pdf, .dot, .gv or .mmd, got {os.fspath(path)!r}")
        return made[ending]().encode()

    def _with_dot(self, format: str) -> bytes:
        import graphviz

        try:
            return bytes(self.digraph.pipe(format=format))
        except graphviz.ExecutableNotFound:
            raise RuntimeError(
                f"{format.upper()} is made by Graphviz, whose program `dot` was not found: install Graphviz "
                "(apt install graphviz, brew install graphviz, winget install graphviz or conda install graphviz), "
                "or save as .svg or .html, which need no program"
            ) from None

    def __repr__(self) -> str:
        boxes = len(self.picture.boxes)
        folded = f" in {boxes} boxes" if boxes != len(self.graph) else ""
        return f"<{self.title}: {len(self.graph)} values{folded}; .svg, .save(path), .explore()>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        try:
            if self.format == "png":
                return {**bundle, "image/png": base64.b64encode(self._with_dot("png")).decode()}
        except Exception:  # a repr never raises: without `dot` the SVG is shown
            pass
        # A notebook that is not trusted shows no image/svg+xml; an image in HTML it does show, and no script is in it.
        image = f'<img alt="{escape(self.title)}" src="{data_url(self.svg)}">'
        return {**bundle, "image/svg+xml": self.svg, "text/html": image}


def draw_dot(root: Value, format: str = "svg", rankdir: str = "LR", **options: Any) -> Drawing:
    """The drawing of the graph below `root`; further options are those of Drawing.

    >>> draw_dot(Value(2.0) * 3).source.startswith("digraph")
    True
    """
    return Drawing(root, format, rankdir, **options)


def to_mermaid(root: Value, **options: Any) -> str:
    """The graph below `root` as a Mermaid flowchart, for Markdown.

    >>> print(to_mermaid(Value(2.0, label="a").exp()).split()[0])
    flowchart
    """
    return Drawing(root, **options).to_mermaid()
