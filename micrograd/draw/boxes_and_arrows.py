"""A picture of boxes and arrows as a scene: the sizes of boxes, their places by `layout`, and what is drawn there.

`picture` comes before, `svg` and `tikz` write the scene down. The same picture gives the same scene.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from micrograd.draw.layout import GAP, Block, Layout, Link, arrange, columns, least_size
from micrograd.draw.lettering import clip, label_width, number, numbers, plain, width
from micrograd.draw.picture import Box, Edge, Picture
from micrograd.draw.scene import Part, Rectangle, Scene, Shape, Step, Words, arrowhead, label, warning, words
from micrograd.draw.style import BROKEN, EDGE, LABEL, NUMBER, TAG, Palette, Style, mixed, share, weight

MARGIN = 12.0
_PORT = 15.0  # from one input port to the next, so that a label fits between two edges
_BESIDE = 12.0  # between boxes that stand side by side
_LINE = 15.0  # from one line of the caption to the next
_WIDE = 1.12  # room for a font wider than Arial, where a line of the caption has no box around it
_MANY = 8  # with more edges into it, a fold has no numbers at them
_PLAIN = Style()

Lines = list[list[tuple[str, str]]]  # of a caption; each is pieces of text with their colours


class Placed(NamedTuple):
    """A picture with all its coordinates: boxes and edge labels as rectangles (left, top, width, height)."""

    picture: Picture
    layout: Layout
    boxes: list[tuple[float, float, float, float]]
    texts: list[str]  # one per edge, "" for none
    labels: list[tuple[float, float, float, float] | None]
    dense: list[bool]  # one per box: whether it has more edges than there is room for arrowheads
    down: bool
    size: tuple[float, float]


class Measured(NamedTuple):
    """What `layout` needs of a picture that runs one way, and the size of each box and the text at each edge."""

    down: bool
    sizes: list[tuple[float, float]]
    blocks: list[Block]
    links: list[Link]
    texts: list[str]
    dense: list[bool]
    column: list[int]

    @property
    def gap(self) -> float:
        """The room between boxes of one column: less where they stand side by side, for a page is narrow."""
        return _BESIDE if self.down else GAP

    def least(self) -> tuple[float, float]:
        """Width and height that no placement goes below."""
        along, across = least_size(self.blocks, self.links, self.column, self.gap)
        return (across, along) if self.down else (along, across)


def edge_text(edge: Edge, crowded: bool, digits: int = 4) -> str:
    """What stands at an edge: the local derivative, the gradient that arrives, or how many edges it stands for."""
    if edge.local is not None:
        return number(edge.local, digits)
    if edge.part is not None:
        return f"∂ {number(edge.part, digits)}"
    return f"×{edge.many}" if edge.many > 1 and not crowded else ""


def strength(edge: Edge) -> float:
    """How much flows back through an edge, as a size; inf for nan too; -1 to a constant, which receives nothing."""
    return -1.0 if edge.flow is None else edge.flow if math.isfinite(edge.flow) else math.inf


class Contents(NamedTuple):
    """The texts at the edges of a picture and the sizes that boxes need for theirs, which hold whichever way it runs."""

    picture: Picture
    texts: list[str]
    rooms: list[float]
    flows: list[float]  # the strength of each edge (see `strength`)
    into: list[int]  # how many edges come into each box
    extents: list[tuple[float, float]]
    column: list[int]


def contents(picture: Picture, digits: int = 4) -> Contents:
    """The texts of a picture and their sizes."""
    count = Counter([edge.target for edge in picture.edges])
    into = [count[i] for i in range(len(picture.boxes))]
    full = [box.kind == "fold" and into[i] > _MANY for i, box in enumerate(picture.boxes)]
    texts = ["" if full[e.target] else edge_text(e, into[e.target] > 6, digits) for e in picture.edges]
    rooms = [width(text, EDGE) + 17 if text else 14.0 for text in texts]
    extents = [_extent(box, i == picture.output, digits) for i, box in enumerate(picture.boxes)]
    column = columns(len(extents), [(edge.source, edge.target) for edge in picture.edges])
    return Contents(picture, texts, rooms, [*map(strength, picture.edges)], into, extents, column)


def measured(inside: Contents, rankdir: str = "LR") -> Measured:
    """The sizes of all that has to be placed, where the picture runs to the right, or down for "TB"."""
    picture, texts, rooms, flows, into, extents, column = inside
    down = rankdir == "TB"
    pitch = [0.0] * len(into)  # the room of one port; 0 where no label has to fit in
    for edge, text, room in zip(picture.edges, texts, rooms, strict=True):
        if picture.boxes[edge.target].kind != "fold" or text:
            pitch[edge.target] = max(pitch[edge.target], (room if down and text else _PORT))
    links = [
        Link(edge.source, edge.target, edge.port, (13.0 if text else 8.0) if down else room, flow)
        for edge, text, room, flow in zip(picture.edges, texts, rooms, flows, strict=True)
    ]
    if not down:
        extents = _evened(picture, extents, column)
    live: dict[int, list[int]] = {i: [] for i, count in enumerate(into) if count == 2}
    for edge in picture.edges:
        if edge.flow is not None and edge.target in live:
            live[edge.target].append(edge.port)
    sizes, blocks = [], []
    for i, (wide, high) in enumerate(extents):
        # Where the picture runs down, labels stand on the right of their edges.
        need = (into[i] + 1) * pitch[i] - 22 if down else into[i] * pitch[i] + 4
        across = max(wide if down else high, need)
        step = pitch[i] or (across - 10) / max(into[i], 1)
        ports = tuple([(k - (into[i] - 1) / 2) * step for k in range(into[i])])
        if i in live and step == _PORT and len(live[i]) == 1:  # the only edge that carries a gradient comes in straight
            ports = (0.0, step) if live[i] == [0] else (-step, 0.0)
        sizes.append((across, high) if down else (wide, across))
        blocks.append(Block(high if down else wide, across, ports))
    dense = [not pitch[i] and into[i] > 4 for i in range(len(blocks))]
    return Measured(down, sizes, blocks, links, texts, dense, column)


def place(picture: Picture, rankdir: str = "LR", digits: int = 4, sizes: Measured | None = None) -> Placed:
    """The picture with the places of everything in it; it runs to the right, or down where `rankdir` is "TB"."""
    sizes = sizes or measured(contents(picture, digits), rankdir)
    down, sizes_, blocks, links, texts, dense, column = sizes
    layout = arrange(blocks, links, column, sizes.gap)
    boxes = []
    for (along, across), (wide, high) in zip(layout.middles, sizes_, strict=True):
        x, y = (across, along) if down else (along, across)
        boxes.append((x - wide / 2, y - high / 2, wide, high))
    labels: list[tuple[float, float, float, float] | None] = []
    for text, route in zip(texts, layout.routes, strict=True):
        along, across = route[-1]
        wide = width(text, EDGE)
        if not text:
            labels.append(None)
        elif down:
            labels.append((across + 5, along - 17, wide, 10.0))
        else:
            labels.append((along - 9 - wide, across - 12.5, wide, 10.0))
    right = max([x + w for x, _, w, _ in (*boxes, *filter(None, labels))])
    size = (max(layout.across, right), layout.along) if down else (layout.along, layout.across)
    return Placed(picture, layout, boxes, texts, labels, dense, down, size)


def _evened(picture: Picture, extents: list[tuple[float, float]], column: list[int]) -> list[tuple[float, float]]:
    """The extents with one width for all boxes of a column, so that their sides align; bare numbers stay small."""
    full = [bool(box.kind != "constant" or box.label) for box in picture.boxes]
    widest: dict[int, float] = {}
    for (wide, _), c, is_full in zip(extents, column, full, strict=True):
        if is_full:
            widest[c] = max(widest.get(c, 0.0), wide)
    return [(widest[c] if is_full else wide, high) for (wide, high), c, is_full in zip(extents, column, full, strict=True)]


def _rows(box: Box, digits: int) -> tuple[str, str, str, str]:
    """The four texts of a box: label and tag, value and gradient."""
    text = box.label
    grad = f"∂ {numbers(box.grad, digits)}" if box.grad else ""
    if box.kind == "constant" and not text:
        return "", "", numbers(box.data, digits), ""
    return text, box.tag, numbers(box.data, digits), grad


def _extent(box: Box, output: bool, digits: int) -> tuple[float, float]:
    text, tag, value, grad = _rows(box, digits)
    top = label_width(text, LABEL, bold=True) + 2 + (12 if text and tag else 0) + width(tag, TAG if text else 12.0)
    bottom = width(value, NUMBER) + (10 if grad else 0) + width(grad, NUMBER)
    extra = 6.0 if box.kind == "fold" or output else 0.0
    bar = 8.0 if box.kind in ("leaf", "parameter", "input") else 0.0
    return max(top, bottom, 26.0) + 16 + bar + extra, (42.0 if text or tag else 24.0) + extra


# -- the scene


def scene(
    placed: Placed, title: str, style: Style = _PLAIN, lit: Collection[int] | None = None, lines: Lines | None = None
) -> Scene:
    """The picture as a scene. With `lit`, all other boxes and the edges from them are faint; `lines` replace the caption."""
    palette, picture = style.palette, placed.picture
    lines = caption(placed, style, max(placed.size[0], 400.0)) if lines is None else lines
    wide = max([placed.size[0], *[sum(_WIDE * width(text, TAG) for text, _ in line) for line in lines]]) + 2 * MARGIN
    high = placed.size[1] + 2 * MARGIN + _LINE * len(lines) + (6 if lines else 0)
    left = MARGIN + max(0.0, (wide - 2 * MARGIN - placed.size[0]) / 2)
    biggest = max(filter(math.isfinite, map(strength, picture.edges)), default=0.0)
    pen = _Pen(left, MARGIN, placed.down, biggest, palette)
    parts = chain(_parts(placed, pen, style, lit), [Part(written_caption(lines, high, MARGIN))])
    return Scene(wide, high, title or "computation graph", palette.paper, parts)


def _parts(placed: Placed, pen: _Pen, style: Style, lit: Collection[int] | None) -> Iterator[Part]:
    """Edges, then boxes, then the numbers at arrows; what belongs to a box that is not lit is faint."""
    picture, palette, left = placed.picture, style.palette, pen.left
    bright: Collection[int] = lit if lit is not None else ()
    faint = [lit is not None and i not in lit for i in range(len(picture.boxes))]
    for trunk, flow in zip(placed.layout.trunks, _flows(placed), strict=True):
        yield Part(pen.line(trunk.points, flow, False, trunk.source in bright), "", faint[trunk.source])
    for edge, route in zip(picture.edges, placed.layout.routes, strict=True):
        dense = placed.dense[edge.target]
        yield Part(pen.line(route, strength(edge), dense, edge.source in bright, head=not dense), "", faint[edge.source])
    for i, (box, (x, y, w, h)) in enumerate(zip(picture.boxes, placed.boxes, strict=True)):
        yield Part(_box(box, (x + left, y + MARGIN, w, h), i == picture.output, style), described(box), faint[i])
    for edge, text, spot in zip(picture.edges, placed.texts, placed.labels, strict=True):
        if spot:
            x, anchor = (spot[0], "start") if placed.down else (spot[0] + spot[2], "end")
            colour = palette.gradient if edge.local is None and edge.part is not None else palette.local
            yield Part([words(text, x + left, spot[1] + 9 + MARGIN, EDGE, colour, anchor)], "", faint[edge.source])


def _flows(placed: Placed) -> list[float]:
    """The largest flow in each trunk: of the links that leave at its end, and of those that go on in trunks after it."""
    flows: list[float] = []
    trunks = placed.layout.trunks
    for trunk, following in zip(reversed(trunks), [None, *reversed(trunks)], strict=False):
        flow = max([strength(placed.picture.edges[k]) for k in trunk.links])
        goes_on = following is not None and following.points[0] == trunk.points[-1]
        flows.append(max(flow, flows[-1]) if goes_on else flow)
    return flows[::-1]


def written_caption(lines: Sequence[Sequence[tuple[str, str]]], high: float, left: float) -> list[Words]:
    """The lines of a caption, at the bottom of a picture that is `high` pixels high."""
    made = []
    y = high - MARGIN - _LINE * (len(lines) - 1)
    for line in lines:
        made.append(Words([(text, 0) for text, _ in line], left, y, TAG, line[0][1], colours=tuple([c for _, c in line])))
        y += _LINE
    return made


def caption(placed: Placed, style: Style, room: float) -> list[list[tuple[str, str]]]:
    """The lines under the picture, in `room` pixels: what the colours mean, and what is folded."""
    palette, picture = style.palette, placed.picture
    output = picture.boxes[picture.output]
    name = clip(plain(output.label)) if output.label else "the output"
    legend = [("value", palette.value), (f"∂ gradient of {name}", palette.gradient)]
    numbered = [e for e, text in zip(picture.edges, placed.texts, strict=True) if text and e.local is not None]
    if numbered:
        legend.append(("→ forward; the number at an arrow, a local derivative, multiplies what flows back", palette.local))
    if picture.operand:
        legend.append((f"{picture.operand}: what comes in", palette.quiet))
    if any(e.part is not None and text for e, text in zip(picture.edges, placed.texts, strict=True)):
        legend.append(("∂ at an arrow: the gradient that arrives through it", palette.gradient))
    if many := next((text for text in placed.texts if text.startswith("×")), ""):
        legend.append((f"{many} at an arrow: it stands for so many", palette.local))
    if len({e.flow for e in picture.edges if e.flow is not None}) > 1:
        legend.append(("thick: much flows back", palette.quiet))
    if any(edge.flow == 0 for edge in picture.edges):
        legend.append(("dashed: nothing flows back", palette.quiet))
    if any(edge.flow is not None and not math.isfinite(edge.flow) for edge in picture.edges):
        legend.append(("dots and dashes: nan or ∞ flows back", palette.broken))
    if any(box.broken for box in picture.boxes):
        legend.append(("!: where it first arose", palette.broken))
    if any(box.kind == "fold" for box in picture.boxes):
        legend.append(("in a fold: least … greatest", palette.quiet))
    pieces = [(text if k == 0 else f"  ·  {text}", colour) for k, (text, colour) in enumerate(legend)]
    sentences = [(word + " ", palette.quiet) for line in picture.caption for word in line.split(" ")]
    return [*wrapped(pieces, room), *wrapped(sentences, room)]


def wrapped(pieces: Sequence[tuple[str, str]], room: float) -> list[list[tuple[str, str]]]:
    """Pieces of text, each with its colour, broken into lines that are at most `room` pixels wide."""
    lines: list[list[tuple[str, str]]] = []
    left = 0.0
    for text, colour in pieces:
        if not lines or _WIDE * width(text, TAG) > left:
            lines.append([])
            left, text = room, text.lstrip(" ·")
        left -= _WIDE * width(text, TAG)
        if lines[-1] and lines[-1][-1][1] == colour:
            lines[-1][-1] = (lines[-1][-1][0] + text, colour)
        else:
            lines[-1].append((text, colour))
    return lines


class _Pen:
    """Draws edges: wider and darker the more flows, dashed where nothing does, light from a constant.

    An edge through which nan or inf flows has the greatest width, and a colour and a dash of its own.
    """

    def __init__(self, left: float, top: float, down: bool, biggest: float, palette: Palette):
        self.left, self.top, self.down, self.biggest, self.palette = left, top, down, biggest, palette

    def line(
        self, route: list[tuple[float, float]], flow: float, dense: bool, lit: bool, head: bool = False
    ) -> list[Shape | Rectangle | Words]:
        """An edge, or a part of one. `route` holds the ends of its straight stretches, as (along, across)."""
        down, left, top = self.down, self.left, self.top
        if down:
            points = [(across + left, along + top) for along, across in route]
        else:
            points = [(along + left, across + top) for along, across in route]
        steps: list[Step] = []
        (x0, y0), last = points[0], len(points) - 1
        for k in range(1, len(points)):
            x, y = points[k]
            if k == last and head:  # the line ends inside the head of the arrow
                x, y = (x, y - 4) if down else (x - 4, y)
            if k % 2 or (x0 == x if down else y0 == y):
                if abs(x - x0) + abs(y - y0) > 0.05:
                    steps.append((x, y))
            elif down:
                steps.append((x0, (y0 + y) / 2, x, (y0 + y) / 2, x, y))
            else:
                steps.append(((x0 + x) / 2, y0, (x0 + x) / 2, y, x, y))
            x0, y0 = x, y
        palette, part = self.palette, share(flow, self.biggest)
        colour = mixed(part, palette) if flow >= 0 else palette.nothing
        colour = palette.broken if flow == math.inf else palette.lit if lit else colour
        thick = (weight(part) if flow >= 0 else 1.0) * (0.6 if dense else 1.0)
        dash = (4.0, 3.0) if flow == 0 else BROKEN if flow == math.inf else ()
        shape = Shape(points[0], steps, stroke=colour, width=thick, dash=dash)
        if not head:
            return [shape]
        return [shape, arrowhead(*points[-1], *((0.0, 1.0) if down else (1.0, 0.0)), 2.6 + thick / 2, colour)]


def _outline(kind: str, x: float, y: float, w: float, h: float, fill: str, stroke: str, thin: float = 1.0) -> Shape | Rectangle:
    """The outline of a box. Inputs are round on the left, parameters have cut corners there, leaves square corners."""
    if kind == "input":
        r = min(h / 2, 14.0)
        c = 0.4477 * r  # from a corner to the control points of a quarter circle
        left: list[Step] = [
            (x + r, y), (x + c, y, x, y + c, x, y + r), (x, y + h - r), (x, y + h - c, x + c, y + h, x + r, y + h),
            (x + w, y + h), (),
        ]  # fmt: skip
        return Shape((x + w, y), left, fill, stroke, thin)
    if kind == "parameter":
        cut: list[Step] = [(x + 8, y), (x, y + 8), (x, y + h - 8), (x + 8, y + h), (x + w, y + h), ()]
        return Shape((x + w, y), cut, fill, stroke, thin)
    return Rectangle(x, y, w, h, {"leaf": 0.0, "constant": 10.0}.get(kind, 5.0), fill, stroke, thin)


def _box(box: Box, spot: tuple[float, float, float, float], output: bool, style: Style) -> list[Shape | Rectangle | Words]:
    palette, digits = style
    x, y, w, h = spot
    fill, stroke = palette.kinds[box.kind]
    out: list[Shape | Rectangle | Words] = []
    if box.kind == "fold":
        w, h = w - 6, h - 6
        out += [_outline("fold", x + d, y + d, w, h, fill, stroke, 0.8) for d in (6, 3)]
    elif output:
        out.append(_outline(box.kind, x, y, w, h, palette.paper or "#ffffff", stroke))
        x, y, w, h = x + 3, y + 3, w - 6, h - 6
    out.append(_outline(box.kind, x, y, w, h, fill, stroke))
    bar = 8.0 if box.kind in ("leaf", "parameter", "input") else 0.0
    if box.kind == "leaf":
        out.append(Rectangle(x, y, 5, h, 0.0, stroke))
    text, tag, value, grad = _rows(box, digits)
    left, right, middle = x + 8 + bar, x + w - 8, y + h / 2
    quiet = box.kind == "constant"
    if text:
        out.append(label(text, left, middle - 5, LABEL, palette.quiet if quiet else palette.ink))
    if tag and text:
        out.append(words(tag, right, middle - 5, TAG, palette.quiet, "end"))
    elif tag:
        out.append(words(tag, left, middle - 5, 12.0, palette.ink))
    base = middle + (14 if text or tag else 4)
    shown = palette.quiet if quiet else palette.value
    if grad or text or tag:
        out.append(words(value, left, base, NUMBER, shown))
    else:
        out.append(words(value, x + w / 2, base, NUMBER, shown, "middle"))
    if grad:
        out.append(words(grad, right, base, NUMBER, palette.gradient, "end"))
    if box.broken:
        out += warning(x + w - 2, y, palette.broken, palette.paper)
    return out


def described(box: Box) -> str:
    """The tooltip of a box: what it shows in words, with all digits."""
    name = clip(plain(box.label), 200)
    value = f"value {' to '.join(map(repr, box.data))}" if box.data else ""
    grad = f"gradient {' to '.join(map(repr, box.grad))}" if box.grad else "no gradient" if box.kind == "constant" else ""
    broken = {
        "value": "the first nan or infinity arose here",
        "gradient": "the first gradient that is nan or infinite is sent here",
    }
    return ", ".join(filter(None, [name, box.tag, value, grad, broken.get(box.broken, "")]))
