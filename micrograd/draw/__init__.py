"""Drawings of the graph below a Value: `v.draw()`, `draw_dot(root)`.

    snapshot                                the values below the root, as plain data
    folding, picture                        which boxes and arrows are shown
    layout, boxes_and_arrows, fit           where they stand: a scene
    network, network_picture, network_dot   the textbook's picture of a network instead
    scene, svg, tikz, dot                   shapes and words, written as SVG, TikZ, DOT or Mermaid
    lettering, style                        how text is written and how wide it is; colours and sizes
    saving, frames, notebook                files by their endings; a series of pictures, step by step; an image in a notebook
    explore, minify, recording              the page in the browser, and a training run to play in it

No program has to be installed to see a drawing.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from functools import cached_property
from numbers import Real
from typing import Any

from micrograd.draw.boxes_and_arrows import scene
from micrograd.draw.dot import digraph, mermaid
from micrograd.draw.explore import Exploration
from micrograd.draw.fit import fitted
from micrograd.draw.folding import LIMIT
from micrograd.draw.frames import frames, graph_steps, network_steps
from micrograd.draw.lettering import clip, number, plain
from micrograd.draw.network import evident, found_in
from micrograd.draw.network_dot import network_digraph, network_mermaid
from micrograd.draw.network_picture import drawn
from micrograd.draw.notebook import in_notebook
from micrograd.draw.picture import Picture
from micrograd.draw.recording import Recording, record
from micrograd.draw.saving import ENDINGS, RASTER, opened, rendered
from micrograd.draw.scene import Scene
from micrograd.draw.snapshot import Graph
from micrograd.draw.style import THEMES, Style
from micrograd.draw.svg import svg
from micrograd.draw.tikz import tikz
from micrograd.elementwise import items_of, one_of
from micrograd.engine import Value
from micrograd.saving import replacing

__all__ = ["ENDINGS", "LIMIT", "Drawing", "Recording", "draw_dot", "record", "to_mermaid"]

_LARGE = 500  # boxes: the static picture of a page for a larger graph is folded
_FRAME = 4.0  # pixels of the width of a notebook's cell that its content cannot use


class Drawing:
    """A picture of the graph below `root`, as it was when the drawing was made. Jupyter shows it.

    It is made to be legible on a page `width` pixels wide: it runs to the right ("LR" of Graphviz) if it fits, else down
    ("TB"), and folds until it fits: a layer, a neuron, a call, parts that are alike, or the middle of a long chain becomes one
    box. A `rankdir`, or a `limit` of how many boxes there may be, is obeyed. `unfold` names folds to open, such as "layer 1" or
    "layer 1/neuron 2"; "all" opens everything.

    `view` is "graph", the values and operations, or "network", the textbook's picture of neurons and weights. By default it is
    the network where the graph is one and would not be legible without folds. The network shows one of its calls (`call`
    counts from 1), or means over all. `through` is a Value, or several: the paths from it to the root (in a network, the
    factors of the chain rule) stand out, the rest fades. Numbers have `digits` significant digits. `theme` is "light" (white
    paper, in a dark notebook too), "dark", or "transparent" (the colours of "light" without paper, for light pages).

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
        rankdir: str | None = None,
        limit: int | None = None,
        unfold: str | Iterable[str] = (),
        through: Value | Iterable[Value] = (),
        *,
        view: str | None = None,
        call: int | None = None,
        width: float = 850,
        digits: int = 4,
        theme: str = "light",
    ):
        if not one_of(rankdir, (None, "LR", "TB")):
            raise ValueError(f'rankdir is "LR" (to the right), "TB" (down) or None (what fits), got {rankdir!r}')
        if not one_of(format, ("svg", *RASTER)):
            raise ValueError(f'format is "svg", "png" or "pdf", got {format!r}')
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise ValueError(f"limit is how many boxes a picture may have, or None for what is legible, got {limit!r}")
        if not one_of(view, (None, "graph", "network")):
            raise ValueError(f'view is "graph", "network" or None (what is legible), got {view!r}')
        if not one_of(theme, THEMES):
            raise ValueError(f'theme is "light", "dark" or "transparent", got {theme!r}')
        if not isinstance(digits, int) or isinstance(digits, bool) or digits < 1:
            raise ValueError(f"digits is how many significant digits numbers have, at least 1, got {digits!r}")
        if not isinstance(width, (int, float, Real)) or not width >= 100:
            raise ValueError(f"width is that of the page in pixels, at least 100, got {width!r}")
        self.graph = Graph(root)
        self.format, self.limit, self.width = format, limit, width
        self._room, self._asked = width - _FRAME, rankdir
        self.unfold = (unfold,) if (names := items_of(unfold)) is None else tuple(names)
        for name in self.unfold:
            if not isinstance(name, str):
                raise TypeError(f'unfold takes names of folds, or "all", got {name!r:.60}')
        self._style = Style(THEMES[theme], digits)
        self._placed, fits = fitted(self.graph, rankdir, limit, self.unfold, self._room, digits)
        self._reached = self._on_paths_from(through)
        asked = bool(view or rankdir or limit or self.unfold) or call is not None
        legible = fits and not self._placed.picture.caption
        of_network = view == "network" or call is not None
        self._network = found_in(self.graph) if of_network or not (asked or legible) else None
        if self._network is not None and not (view or of_network or evident(self.graph, self._network)):
            self._network = None
        if self._network is None and of_network:
            raise ValueError('this graph is not one network of layers: draw it with view="graph"')
        if self._network and call is not None and not (isinstance(call, int) and 1 <= call <= self._network.calls):
            raise ValueError(f"call is one of the network's, from 1 to {self._network.calls}, got {call!r}")
        self._call, self._graph_asked = call, asked and not self._network

    @property
    def picture(self) -> Picture:
        """The boxes and edges that are drawn."""
        return self._placed.picture

    @property
    def rankdir(self) -> str:
        """Which way it runs: "LR" or "TB"."""
        return "TB" if self._placed.down else "LR"

    @property
    def title(self) -> str:
        """What is drawn, in a few words."""
        name, data = self.graph.labels[self.graph.root], self.graph.data[self.graph.root]
        return f"Graph of {clip(plain(name)) or 'the output'} = {number(data, self._style.digits)}"

    def _on_paths_from(self, through: Value | Iterable[Value]) -> set[int]:
        """The values on the paths from `through`, itself included, to the root; notes what was chosen in `self.through`."""
        chosen: list[Any] = [through] if (found := items_of(through)) is None else found
        for value in chosen:
            if not isinstance(value, Value) or value not in self.graph.index:
                raise ValueError(f"through takes Values that the output depends on, such as output['w_1'], got {value!r:.60}")
        reached = {self.graph.index[value] for value in chosen}
        self.through = sorted(reached)
        for i, parents in enumerate(self.graph.parents if reached else ()):  # parents come before their consumers
            if not reached.isdisjoint(parents):
                reached.add(i)
        return reached

    @property
    def lit(self) -> set[int] | None:
        """The boxes on the paths from the values chosen by `through` to the root; None where none was chosen."""
        if not self._reached:
            return None
        return {k for k, box in enumerate(self.picture.boxes) if not self._reached.isdisjoint(box.members)}

    @property
    def _lit_factors(self) -> set[tuple[int, ...]] | None:
        return self._network.lit(self.through) if self._network and self.through else None

    @property
    def shows(self) -> str:
        """Which picture this is: "graph" or "network"."""
        return "graph" if self._network is None else "network"

    @property
    def scene(self) -> Scene:
        """The picture as shapes and words with their places. It is not kept, for it is larger than the SVG."""
        if self._network is None:
            return scene(self._placed, self.title, self._style, self.lit)
        return drawn(self.graph, self._network, self.title, self._style, self._room, self.through, self._call).scene

    @cached_property
    def svg(self) -> str:
        """The picture as SVG, laid out by this project: no program is needed."""
        return svg(self.scene)

    @cached_property
    def tikz(self) -> str:
        """The picture as a TikZ picture, for LaTeX."""
        return tikz(self.scene)

    @cached_property
    def digraph(self) -> Any:
        """The picture as a `graphviz.Digraph`."""
        if self._network is not None:
            return network_digraph(self.graph, self._network, self._style, self._call, self.format, self._lit_factors)
        return digraph(self.picture, self.format, self.rankdir, self._style, self.lit)

    def render(self, *args: Any, **options: Any) -> Any:
        """Lay out the picture with Graphviz's program `dot` and write it, as `graphviz.Digraph.render` does."""
        return self.digraph.render(*args, **options)

    def pipe(self, *args: Any, **options: Any) -> Any:
        """What `dot` makes of the picture, as `graphviz.Digraph.pipe` gives it."""
        return self.digraph.pipe(*args, **options)

    def view(self, *args: Any, **options: Any) -> Any:
        """Lay out the picture with `dot` and open it, as `graphviz.Digraph.view` does."""
        return self.digraph.view(*args, **options)

    @property
    def source(self) -> str:
        """The picture as DOT source."""
        return str(self.digraph.source)

    def to_mermaid(self) -> str:
        """The picture as a Mermaid flowchart, for Markdown."""
        if self._network is not None:
            return network_mermaid(self.graph, self._network, self._style, self._call, self._lit_factors)
        return mermaid(self.picture, self.rankdir, self._style, self.lit)

    def explore(self, mode: str = "live", seed: int | None = None, count: int = 0) -> Exploration:
        """The living page: sliders, steps forward and backward, the chain rule, descent; Jupyter shows it.

        A network opens with the textbook's picture where no other was asked for; the graph is one click away.
        `mode="guess"` opens it with a question: a gradient is hidden, the reader types it. The same `seed` gives the same
        questions. After `count` of them the page shows the score; with 0 it goes on asking.

        >>> a = Value(2.0, label="a")
        >>> (a * a).draw().explore(mode="guess", seed=7, count=10)
        <page to explore: Graph of the output = 4; shown by Jupyter; .html, .save(path)>
        """
        if not one_of(mode, ("live", "guess")):
            raise ValueError(f'mode is "live" or "guess", got {mode!r}')
        if mode == "live" and (seed is not None or count):
            raise ValueError('seed and count are for guessing: .explore(mode="guess", seed=7, count=10)')
        if not isinstance(count, int) or count < 0 or not isinstance(seed, int | None):
            raise ValueError(f"seed and count are whole numbers, count not negative, got seed={seed!r}, count={count!r}")
        more: dict[str, Any] = {} if self._asked is None else {"down": self._asked == "TB"}  # by default what fits
        if mode == "guess":
            more["guess"] = {"count": count} | ({} if seed is None else {"seed": seed})
        if self.through:
            more["through"] = self.through
        if self._call is not None:
            more["call"] = self._call
        page = Exploration(self.graph, self._static_picture(), self.title, *self._opened(), more)
        layers = 0 if self._graph_asked or page.network is None else len(page.network.layers)
        return page.showing(view="network") if self._network or layers > 1 else page

    def _static_picture(self) -> str:
        """The picture for where no script runs. That of a large graph is folded, for the page has all of it as data already."""
        if len(self.picture.boxes) < _LARGE:
            return self.svg
        placed, _ = fitted(self.graph, self._asked, None, (), self._room, self._style.digits)
        return svg(scene(placed, self.title, self._style, None))

    def _opened(self) -> tuple[int | None, tuple[str, ...]]:
        """The limit of boxes and the open folds that the page starts with. It can be panned, so it need not fit the width."""
        return (None, ()) if "all" in self.unfold else (self.limit or LIMIT, self.unfold)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture that is shown: .svg, .png, .pdf, .tex (TikZ), .dot or .gv, .mmd; as .html the page to explore.

        ValueError for another ending; RuntimeError that says what to install for PNG and PDF.
        """
        content = self.rendered(path)
        with replacing(path) as file:
            file.write(content)

    def rendered(self, path: str | os.PathLike[str]) -> bytes:
        """What `save` writes to a file of this name."""
        return rendered(self, path)

    def frames(self, pattern: str | os.PathLike[str]) -> list[str]:
        """Write each step of the forward and the backward pass as a picture, for slides; returns the paths.

        `pattern` is a name such as "step-*.svg" (or .png, .pdf, .tex), in which the * becomes the number of the step.
        """
        if self._network is None:
            return frames(graph_steps(self._placed, self.title, self._style, self.lit), pattern)
        return frames(network_steps(self.graph, self._network, self.title, self._style, self._room, self._call), pattern)

    def show(self) -> str:
        """Open the picture in the browser, for scripts and terminals; returns the path of its temporary file."""
        return opened(self.svg, ".svg")

    def __repr__(self) -> str:
        boxes = len(self.picture.boxes)
        folded = " as a network" if self._network else f" in {boxes} boxes" if self.picture.caption else ""
        return f"<{self.title}: {len(self.graph)} values{folded}; .svg, .save(path), .explore()>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        try:
            if self.format == "png":
                return {**bundle, "image/png": base64.b64encode(self.rendered("drawing.png")).decode()}
        except Exception:  # a repr must not raise: where no PNG can be made, the SVG is shown
            pass
        return {**bundle, "image/svg+xml": self.svg, "text/html": in_notebook(self.title, self.svg)}


def draw_dot(root: Value, format: str = "svg", rankdir: str | None = None, view: str = "graph", **options: Any) -> Drawing:
    """The drawing of the graph below `root`, of its values and operations; further options are those of Drawing.

    >>> draw_dot(Value(2.0) * 3).source.startswith("digraph")
    True
    """
    return Drawing(root, format, rankdir, view=view, **options)


def to_mermaid(root: Value, **options: Any) -> str:
    """The graph below `root` as a Mermaid flowchart, for Markdown.

    >>> print(to_mermaid(Value(2.0, label="a").exp()).split()[0])
    flowchart
    """
    return Drawing(root, **options).to_mermaid()
