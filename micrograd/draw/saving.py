"""A drawing as a file: what is written for each ending of its name, and how a browser shows it.

Everything shows the same picture. PNG and PDF are made of the SVG by `cairosvg`, which the extra `png` installs.
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
    """What a drawing can be written as."""

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
_SCALE = 2.0  # pixels of a PNG for one of the picture, for screens and print
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
    """What is written to a file of this name; ValueError where its ending is none of those."""
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending not in _FORMATS:
        raise ValueError(f"a drawing is saved as {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, got {os.fspath(path)!r}")
    content = _FORMATS[ending](drawing)
    return content if isinstance(content, bytes) else content.encode()


def converted(drawing: Picture, format: str) -> bytes:
    """The picture as PNG or PDF; without cairosvg Graphviz lays it out again. RuntimeError where neither is installed."""
    try:
        return _by_cairo(drawing.svg, format)
    except (ImportError, OSError):  # the package, or the library Cairo that it loads
        return _by_graphviz(drawing, format)


def of_scene(scene: Scene, ending: str) -> bytes:
    """A scene in a format that keeps all its places; ValueError for another ending."""
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
    """The path of a new temporary file with this page in it, opened in the browser."""
    folder = tempfile.mkdtemp(prefix="micrograd-")
    path = os.path.join(folder, f"drawing{ending}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(page)
    webbrowser.open(Path(path).as_uri())
    return path
