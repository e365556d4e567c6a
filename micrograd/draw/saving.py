"""A drawing as a file, in the format that the ending of its name says; and as a temporary file, opened in the browser.

PNG and PDF are made from the SVG by `cairosvg`, which the extra `png` installs. DOT and Mermaid leave the layout to other
programs.
"""

from __future__ import annotations

import os
import tempfile
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from micrograd.draw.scene import Scene
from micrograd.draw.svg import svg
from micrograd.draw.tikz import tikz


class Picture(Protocol):
    """A drawing, as far as it is needed here: what it can be written as."""

    @property
    def svg(self) -> str: ...
    @property
    def tikz(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def digraph(self) -> Any: ...
    def to_mermaid(self) -> str: ...
    def explore(self) -> Any: ...


RASTER = ("png", "pdf")
_SCALE = 2.0  # pixels of a PNG for one of the picture, so that it is sharp in print and on screens of high density
_FORMATS: dict[str, Callable[[Picture], str | bytes]] = {
    ".svg": lambda drawing: drawing.svg,
    ".html": lambda drawing: drawing.explore().page,
    ".png": lambda drawing: converted(drawing, "png"),
    ".pdf": lambda drawing: converted(drawing, "pdf"),
    ".tex": lambda drawing: drawing.tikz,
    ".dot": lambda drawing: drawing.source,
    ".gv": lambda drawing: drawing.source,
    ".mmd": lambda drawing: drawing.to_mermaid(),
}
ENDINGS = tuple(_FORMATS)  # of the files that a drawing is saved to


def rendered(drawing: Picture, path: str | os.PathLike[str]) -> bytes:
    """What is written to a file of this name; ValueError where its ending is not in `ENDINGS`."""
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending not in _FORMATS:
        raise ValueError(f"a drawing is saved as {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, got {os.fspath(path)!r}")
    content = _FORMATS[ending](drawing)
    return content if isinstance(content, bytes) else content.encode()


def converted(drawing: Picture, format: str) -> bytes:
    """The picture as PNG or PDF, from the SVG, or without cairosvg as Graphviz lays it out; RuntimeError without both."""
    try:
        return _by_cairo(drawing.svg, format)
    except (ImportError, OSError):  # of the package, or of the library Cairo that it loads
        return _by_graphviz(drawing, format)


def of_scene(scene: Scene, ending: str) -> bytes:
    """A scene in a format that keeps all places as they are.

    ValueError for another ending; RuntimeError where PNG or PDF is asked for and cairosvg is missing.
    """
    if ending == ".tex":
        return tikz(scene).encode()
    if ending == ".svg":
        return svg(scene).encode()
    if ending not in (".png", ".pdf"):
        raise ValueError(f"a series is saved as .svg, .png, .pdf or .tex, got {ending or 'no ending'!r}")
    try:
        return _by_cairo(svg(scene), ending[1:])
    except (ImportError, OSError):
        raise RuntimeError(f"{ending[1:].upper()} is made by cairosvg: pip install cairosvg, or save as .svg") from None


def _by_cairo(picture: str, format: str) -> bytes:
    import cairosvg

    made: dict[str, Any] = {"png": lambda svg: cairosvg.svg2png(svg, scale=_SCALE), "pdf": cairosvg.svg2pdf}
    return bytes(made[format](picture.encode()))


def _by_graphviz(drawing: Picture, format: str) -> bytes:
    import graphviz

    try:
        return bytes(drawing.digraph.pipe(format=format))
    except graphviz.ExecutableNotFound:
        raise RuntimeError(
            f"{format.upper()} is made by cairosvg (pip install cairosvg), or by Graphviz, whose program `dot` was not found "
            "(apt install graphviz, brew install graphviz, winget install graphviz or conda install graphviz): install one, "
            "or save as .svg or .html, which need nothing"
        ) from None


def opened(page: str, ending: str) -> str:
    """Write a page or picture to a new temporary file and open that in the browser; returns its path."""
    folder = tempfile.mkdtemp(prefix="micrograd-")
    path = os.path.join(folder, f"drawing{ending}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(page)
    webbrowser.open(Path(path).as_uri())
    return path
