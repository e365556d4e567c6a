"""A picture as shapes and words with their places, which the vector formats write down.

`boxes_and_arrows` and `network_picture` make scenes, `svg` and `tikz` write them. Lengths are in pixels, y runs down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from micrograd.draw.lettering import clip, runs
from micrograd.formula.text import clean

Step = tuple[float, ...]  # of an outline: the end of a line, or two control points and the end of a Bézier curve; () closes it


class Shape(NamedTuple):
    """An outline or a line: its first point, and the steps from there."""

    start: tuple[float, float]
    steps: list[Step]
    fill: str = ""
    stroke: str = ""
    width: float = 1.0
    dash: tuple[float, ...] = ()


class Rectangle(NamedTuple):
    """A rectangle, its corners rounded by `radius`."""

    x: float
    y: float
    wide: float
    high: float
    radius: float = 0.0
    fill: str = ""
    stroke: str = ""
    width: float = 1.0


class Words(NamedTuple):
    """A line of text in pieces, each with its level: 0, -1 for a subscript, 1 for a superscript."""

    pieces: list[tuple[str, int]]
    x: float
    y: float  # of the baseline
    size: float
    colour: str
    anchor: str = "start"  # or "middle", or "end"
    bold: bool = False
    colours: tuple[str, ...] = ()  # one for each piece; () where all have the same `colour`


class Part(NamedTuple):
    """What belongs together: a box, a neuron, a line. `title` is its tooltip; it is `faint` where others are lit."""

    items: Sequence[Shape | Rectangle | Words]
    title: str = ""
    faint: bool = False


class Scene(NamedTuple):
    """The size of the picture, its title, the colour of its paper, and its parts from the back to the front.

    Faint parts are drawn behind all others. `parts` may be an iterator, so that a large picture is never held as a whole.
    """

    wide: float
    high: float
    title: str
    paper: str
    parts: Iterable[Part]


def words(text: str, x: float, y: float, size: float, colour: str, anchor: str = "start", bold: bool = False) -> Words:
    """A line of plain text."""
    return Words([(text, 0)], x, y, size, colour, anchor, bold)


def label(text: str, x: float, y: float, size: float, colour: str, anchor: str = "start") -> Words:
    """A label in bold type; one that is mathematics has sub- and superscripts."""
    pieces = runs(text)
    if len(pieces) == 1:
        pieces = [(clip(clean(pieces[0][0])), 0)]
    return Words([(clean(piece), level) for piece, level in pieces], x, y, size, colour, anchor, True)


def circle(x: float, y: float, radius: float, fill: str = "", stroke: str = "", width: float = 1.0) -> Rectangle:
    """A circle."""
    return Rectangle(x - radius, y - radius, 2 * radius, 2 * radius, radius, fill, stroke, width)


def arrowhead(x: float, y: float, dx: float, dy: float, half: float, colour: str, long: float = 7.0) -> Shape:
    """The head of an arrow whose tip is at (x, y), pointing along the unit vector (dx, dy)."""
    bx, by = x - long * dx, y - long * dy
    return Shape((x, y), [(bx - half * dy, by + half * dx), (bx + half * dy, by - half * dx), ()], fill=colour)


def warning(x: float, y: float, colour: str, paper: str) -> list[Shape | Rectangle | Words]:
    """The sign where the first nan or infinity arose: a triangle with an exclamation mark, its middle at (x, y)."""
    high = 7.5
    side = high * math.sqrt(4 / 3)
    triangle = Shape(
        (x, y - high), [(x + side, y + high * 0.8), (x - side, y + high * 0.8), ()], colour, paper or "#ffffff", 1.0
    )
    return [triangle, Words([("!", 0)], x, y + 4.2, 10.0, "#ffffff", "middle", True)]
