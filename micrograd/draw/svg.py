"""A scene written down as SVG: an element for each shape and each line of text.

What is drawn, and where, stands in the scene; `boxes_and_arrows` and `network_picture` decide it. Only presentation attributes
are used: notebooks strip style elements, markers and foreignObject. The same scene gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from html import escape
from itertools import chain
from typing import Any

from micrograd.draw.lettering import width
from micrograd.draw.scene import Rectangle, Scene, Shape, Words
from micrograd.draw.style import FAINT, FONT, LEAST, SCRIPT


def svg(scene: Scene) -> str:
    """The scene as an SVG document."""
    name, wide, high = escape(scene.title), _n(scene.wide), _n(scene.high)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}" role="img" '
        f'aria-label="{name}" font-family="{FONT}">',
        f"<title>{name}</title>",
    ]
    if scene.paper:
        out.append(f'<rect width="{wide}" height="{high}" fill="{scene.paper}"/>')
    front: list[str] = []
    faint: list[str] = []
    for items, title, is_faint in scene.parts:
        lines = faint if is_faint else front
        if title:
            lines.append(f"<g><title>{_escaped(title)}</title>")
        lines += [_WRITERS[item.__class__](item) for item in items]
        if title:
            lines.append("</g>")
    if faint:
        out += [f'<g opacity="{FAINT}">', *faint, "</g>"]
    return "\n".join([*out, *front, "</svg>", ""])


def _n(x: float) -> str:
    text = f"{x:.1f}"
    return text[:-2] if text[-1] == "0" else text


def _escaped(text: str) -> str:
    return escape(text) if _SPECIAL(text) else text


_SPECIAL = re.compile("[&<>\"']").search


def _paint(fill: str, stroke: str, width: float) -> str:
    if not stroke:
        return f' fill="{fill or "none"}"'
    if width == 1.0:
        return f' fill="{fill or "none"}" stroke="{stroke}"'
    return f' fill="{fill or "none"}" stroke="{stroke}" stroke-width="{width:.2f}"'


def _shape(shape: Shape) -> str:
    start, steps, fill, stroke, width, dash = shape
    path = _outline(tuple(map(len, steps))) % tuple(chain(start, *steps))
    dashes = f' stroke-dasharray="{" ".join([_n(x) for x in dash])}"' if dash else ""
    return f'<path d="{path.replace(".0 ", " ").rstrip()}"{_paint(fill, stroke, width)}{dashes}/>'


_STEPS = {0: "Z ", 2: "L%.1f %.1f ", 6: "C%.1f %.1f %.1f %.1f %.1f %.1f "}


@lru_cache(1000)
def _outline(lengths: tuple[int, ...]) -> str:
    """The format string of an outline whose steps have so many numbers each; kept, for a picture has few kinds of outlines."""
    return "M%.1f %.1f " + "".join([_STEPS[n] for n in lengths])


def _rectangle(r: Rectangle) -> str:
    corner = f' rx="{_n(r.radius)}"' if r.radius else ""
    where = f'x="{r.x:.1f}" y="{r.y:.1f}" width="{r.wide:.1f}" height="{r.high:.1f}"'.replace('.0"', '"')
    return f"<rect {where}{corner}{_paint(r.fill, r.stroke, r.width)}/>"


def _words(w: Words) -> str:
    """A line of text. A sub- and a superscript of mathematics that follow each other stand one above the other."""
    pieces, x, y, size, colour, anchor, bold, colours = w
    style = f' text-anchor="{anchor}"' if anchor != "start" else ""
    if bold:
        style += ' font-weight="bold"' + (' font-style="italic"' if len(pieces) > 1 else "")
    start = f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}" fill="{colour}"{style}>'.replace('.0"', '"')
    if len(pieces) == 1:
        return f"{start}{_escaped(pieces[0][0])}</text>"
    if colours:
        coloured = zip(pieces, colours, strict=True)
        return start + "".join([f'<tspan fill="{c}">{_escaped(text)}</tspan>' for (text, _), c in coloured]) + "</text>"
    return start + _scripts(pieces, size, bold) + "</text>"


def _scripts(pieces: Sequence[tuple[str, int]], size: float, bold: bool) -> str:
    out, at, back = "", 0.0, 0.0  # the shift of the baseline so far, and how far a script above another has to go back
    small = max(LEAST, SCRIPT * size)
    for k, (text, level) in enumerate(pieces):
        to = {0: 0.0, -1: 3.5, 1: -5.0}[level]
        stacked = level != 0 and k > 0 and pieces[k - 1][1] == -level
        dx = f' dx="{_n(-back)}"' if stacked else ' dx="1"' if level and at == 0 else ""
        dy = f' dy="{_n(to - at)}"' if to != at else ""
        styled = f' font-size="{_n(small)}" font-style="normal"' if level else ""
        back = 0.0 if level == 0 else width(text, small, bold=bold) / 1.1
        out += f"<tspan{dx}{dy}{styled}>{_escaped(text)}</tspan>"
        at = to
    return out


_WRITERS: dict[type, Callable[[Any], str]] = {Shape: _shape, Rectangle: _rectangle, Words: _words}
