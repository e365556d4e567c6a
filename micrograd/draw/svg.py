"""A picture as SVG: boxes with label, value and gradient, edges with local derivatives.

`graph` says what is shown and `layout` where. Only presentation attributes are used, and no style element, marker or
foreignObject, because notebooks strip those. The same picture gives the same bytes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from html import escape
from typing import NamedTuple

from micrograd.draw.graph import Box, Edge, Picture
from micrograd.draw.layout import Block, Layout, Link, arrange, columns
from micrograd.draw.lettering import clip, label_width, number, numbers, operation, plain, runs, width
from micrograd.formula.text import clean

_MARGIN = 14.0
_LABEL, _TAG, _NUMBER, _EDGE = 13.0, 10.0, 11.5, 10.0  # sizes of type
_PORT = 15.0  # from one input port to the next, so that a label fits between two edges
_INK, _GREY, _GREEN, _RED = "#111827", "#6b7280", "#15803d", "#b91c1c"
_LIT = "#ea580c"
BROKEN = "#db2777"  # where nan or inf flows back: of no other use in a drawing, so that it is found at a glance
FONT = "Arial, Helvetica, 'Liberation Sans', 'DejaVu Sans', sans-serif"
# How the kinds of boxes look: fill and stroke here, their outline in _outline, and the word for the kind in the box.
_LOOK = {
    "operation": ("#ffffff", "#475569"),
    "leaf": ("#eff6ff", "#2563eb"),
    "parameter": ("#f5f3ff", "#7c3aed"),
    "input": ("#ecfeff", "#0e7490"),
    "constant": ("#fafafa", "#cbd5e1"),
    "fold": ("#fffbeb", "#b45309"),
}


class Placed(NamedTuple):
    """A picture with all its coordinates: boxes and edge labels as rectangles (left, top, width, height)."""

    picture: Picture
    layout: Layout
    boxes: list[tuple[float, float, float, float]]
    texts: list[str]  # one per edge, "" for none
    labels: list[tuple[float, float, float, float] | None]
    dense: list[bool]  # whether a box has more edges than there is room for arrowheads
    down: bool
    size: tuple[float, float]


def edge_text(edge: Edge, crowded: bool) -> str:
    """What stands at an edge: the local derivative, or for how many edges it stands."""
    if edge.local is not None:
        return number(edge.local)
    return f"×{edge.many}" if edge.many > 1 and not crowded else ""


def strength(edge: Edge) -> float:
    """How much flows back through an edge, inf for nan too; -1 where nothing ever does, into a constant."""
    return -1.0 if edge.flow is None else edge.flow if math.isfinite(edge.flow) else math.inf


def place(picture: Picture, rankdir: str = "LR") -> Placed:
    """The picture with the places of everything in it; it runs to the right, or down where `rankdir` is "TB"."""
    down = rankdir == "TB"
    into = Counter(edge.target for edge in picture.edges)
    texts = [edge_text(edge, into[edge.target] > 6) for edge in picture.edges]
    rooms = [width(text, _EDGE) + 17 if text else 14.0 for text in texts]
    pitch = dict.fromkeys(range(len(picture.boxes)), 0.0)  # the room of one port; 0 where no label has to fit in
    for edge, text, room in zip(picture.edges, texts, rooms, strict=True):
        if picture.boxes[edge.target].kind != "fold" or text:
            pitch[edge.target] = max(pitch[edge.target], (room if down and text else _PORT))
    links = [
        Link(edge.source, edge.target, edge.port, (13.0 if text else 8.0) if down else room, strength(edge))
        for edge, text, room in zip(picture.edges, texts, rooms, strict=True)
    ]
    extents = [_extent(box, i == picture.output) for i, box in enumerate(picture.boxes)]
    if not down:
        extents = _evened(picture, extents, columns(len(extents), links))
    live: list[list[int]] = [[] for _ in picture.boxes]
    for edge in picture.edges:
        if edge.flow is not None:
            live[edge.target].append(edge.port)
    sizes, blocks = [], []
    for i, (wide, high) in enumerate(extents):
        need = (into[i] + 1) * pitch[i] - 22 if down else into[i] * pitch[i] + 4  # down, labels stand right of their edges
        across = max(wide if down else high, need)
        step = pitch[i] or (across - 10) / max(into[i], 1)
        ports = tuple([(k - (into[i] - 1) / 2) * step for k in range(into[i])])
        if into[i] == 2 and step == _PORT and len(live[i]) == 1:  # the edge that carries a gradient comes in straight
            ports = (0.0, step) if live[i] == [0] else (-step, 0.0)
        sizes.append((across, high) if down else (wide, across))
        blocks.append(Block(high if down else wide, across, ports))
    layout = arrange(blocks, links, picture.output)
    boxes = []
    for (along, across), (wide, high) in zip(layout.middles, sizes, strict=True):
        x, y = (across, along) if down else (along, across)
        boxes.append((x - wide / 2, y - high / 2, wide, high))
    labels: list[tuple[float, float, float, float] | None] = []
    for text, route in zip(texts, layout.routes, strict=True):
        along, across = route[-1]
        wide = width(text, _EDGE)
        if not text:
            labels.append(None)
        elif down:
            labels.append((across + 5, along - 17, wide, 10.0))
        else:
            labels.append((along - 9 - wide, across - 12, wide, 10.0))
    dense = [not pitch[i] and into[i] > 4 for i in range(len(boxes))]
    size = (layout.across, layout.along) if down else (layout.along, layout.across)
    return Placed(picture, layout, boxes, texts, labels, dense, down, size)


def _evened(picture: Picture, extents: list[tuple[float, float]], column: list[int]) -> list[tuple[float, float]]:
    """The extents with one width for all boxes of a column, so that it reads as one; bare numbers stay small."""
    full = [bool(box.kind != "constant" or box.label) for box in picture.boxes]
    widest: dict[int, float] = {}
    for (wide, _), c, is_full in zip(extents, column, full, strict=True):
        if is_full:
            widest[c] = max(widest.get(c, 0.0), wide)
    return [(widest[c] if is_full else wide, high) for (wide, high), c, is_full in zip(extents, column, full, strict=True)]


def _rows(box: Box) -> tuple[str, str, str, str]:
    """What stands in a box: label and tag, value and gradient."""
    label, tag = box.label, operation(box.tag)
    grad = f"∂ {numbers(box.grad)}" if box.grad else ""
    if box.kind == "fold":
        label = label.replace(" - ", " − ")
    if box.kind == "constant" and not label:
        return "", "", numbers(box.data), ""
    return label, tag, numbers(box.data), grad


def _extent(box: Box, output: bool) -> tuple[float, float]:
    label, tag, value, grad = _rows(box)
    top = label_width(label, _LABEL, bold=True) + 2 + (12 if label and tag else 0) + width(tag, _TAG if label else 12.0)
    bottom = width(value, _NUMBER) + (14 if grad else 0) + width(grad, _NUMBER)
    extra = 6.0 if box.kind == "fold" or output else 0.0
    bar = 8.0 if box.kind in ("leaf", "parameter", "input") else 0.0
    return max(top, bottom, 26.0) + 18 + bar + extra, (42.0 if label or tag else 24.0) + extra


def svg(picture: Picture, rankdir: str = "LR", title: str = "", lit: Collection[int] | None = None) -> str:
    """The picture as an SVG document of its own. Boxes that are `lit` and the edges from them stand out of the rest."""
    placed = place(picture, rankdir)
    caption = _caption(picture, placed, max(placed.size[0], 400.0))
    wide = max([placed.size[0], *[sum(width(text, _TAG) for text, _ in line) for line in caption]]) + 2 * _MARGIN
    high = placed.size[1] + 2 * _MARGIN + 15 * len(caption) + (6 if caption else 0)
    shift = _MARGIN + (wide - 2 * _MARGIN - placed.size[0]) / 2 if placed.size[0] < wide - 2 * _MARGIN else _MARGIN
    name = escape(title or "computation graph")
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(wide)}" height="{_n(high)}" '
        f'viewBox="0 0 {_n(wide)} {_n(high)}" role="img" aria-label="{name}" font-family="{FONT}">',
        f"<title>{name}</title>",
        f'<rect width="{_n(wide)}" height="{_n(high)}" fill="#ffffff"/>',
        f'<g transform="translate({_n(shift)} {_n(_MARGIN)})">',
    ]
    biggest = max(filter(math.isfinite, map(strength, picture.edges)), default=0.0)
    drawn: list[tuple[int, list[str]]] = []  # what is drawn for a box and its edges to consumers
    for flow, points, source in placed.layout.trunks:
        drawn.append((source, [_line(points, flow, biggest, placed.down, dense=False, lit=lit is not None and source in lit)]))
    for edge, route in zip(picture.edges, placed.layout.routes, strict=True):
        dense, bright = placed.dense[edge.target], lit is not None and edge.source in lit
        drawn.append((edge.source, [_line(route, strength(edge), biggest, placed.down, dense, head=not dense, lit=bright)]))
    for i, (box, place_) in enumerate(zip(picture.boxes, placed.boxes, strict=True)):
        drawn.append((i, _box(box, place_, i == picture.output)))
    for edge, text, spot in zip(picture.edges, placed.texts, placed.labels, strict=True):
        if spot:
            x, anchor = (spot[0], "") if placed.down else (spot[0] + spot[2], "end")
            drawn.append((edge.source, [_text(text, x, spot[1] + 9, _EDGE, "#334155", anchor)]))
    if lit is not None:
        out += ['<g opacity="0.3">', *[line for i, lines in drawn if i not in lit for line in lines], "</g>"]
    out += [line for i, lines in drawn if lit is None or i in lit for line in lines]
    out.append("</g>")
    y = high - _MARGIN - 15 * (len(caption) - 1)
    for line in caption:
        pieces = "".join(f'<tspan fill="{colour}">{escape(text)}</tspan>' for text, colour in line)
        out.append(f'<text x="{_n(_MARGIN)}" y="{_n(y)}" font-size="{_n(_TAG)}">{pieces}</text>')
        y += 15
    return "\n".join([*out, "</svg>", ""])


def _n(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0").replace("-0", "0") if abs(x) < 0.05 else f"{x:.1f}".removesuffix(".0")


def _caption(picture: Picture, placed: Placed, room: float) -> list[list[tuple[str, str]]]:
    """The lines under the picture: what the colours mean, and what is folded; each in pieces of one colour."""
    output = picture.boxes[picture.output]
    name = clip(plain(output.label)) if output.label else "the output"
    legend = [("value", _GREEN), (f" ∂ gradient of {name}", _RED)]
    if any(text and not text.startswith("×") for text in placed.texts):
        legend.append((" local derivative at each arrow", "#334155"))
    if any(edge.flow == 0 for edge in picture.edges):
        legend.append((" dashed: nothing flows back", _GREY))
    if any(edge.flow is not None and not math.isfinite(edge.flow) for edge in picture.edges):
        legend.append((" nan or ∞ flows back", BROKEN))
    if any(box.kind == "fold" for box in picture.boxes):
        legend.append((" in a fold: least … greatest", _GREY))
    pieces = [(text if k == 0 else f"  ·{text}", colour) for k, (text, colour) in enumerate(legend)]
    words = [(word + " ", _GREY) for line in picture.caption for word in line.split(" ")]
    return [*_wrapped(pieces, room), *_wrapped(words, room)]


def _wrapped(pieces: list[tuple[str, str]], room: float) -> list[list[tuple[str, str]]]:
    lines: list[list[tuple[str, str]]] = []
    left = 0.0
    for text, colour in pieces:
        need = width(text, _TAG)
        if not lines or need > left:
            lines.append([])
            left = room
        left -= need
        if lines[-1] and lines[-1][-1][1] == colour:
            lines[-1][-1] = (lines[-1][-1][0] + text, colour)
        else:
            lines[-1].append((text, colour))
    return lines


def _line(
    route: list[tuple[float, float]],
    flow: float,
    biggest: float,
    down: bool,
    dense: bool,
    head: bool = False,
    lit: bool = False,
) -> str:
    """An edge, or a part of one: wider and darker the more flows, dashed where nothing does, light into a constant.

    One that nan or inf flows through is as wide as any, in a colour of its own.
    """
    points = [(across, along) if down else (along, across) for along, across in route]
    path = f"M{_n(points[0][0])} {_n(points[0][1])}"
    for k in range(1, len(points)):
        (x0, y0), (x, y) = points[k - 1], points[k]
        if k == len(points) - 1 and head:  # the arrow's head takes the last of it
            x, y = (x, y - 4) if down else (x - 4, y)
        if k % 2 or (x0 == x if down else y0 == y):
            if abs(x - x0) + abs(y - y0) > 0.05:
                path += f"L{_n(x)} {_n(y)}"
        elif down:
            path += f"C{_n(x0)} {_n((y0 + y) / 2)} {_n(x)} {_n((y0 + y) / 2)} {_n(x)} {_n(y)}"
        else:
            path += f"C{_n((x0 + x) / 2)} {_n(y0)} {_n((x0 + x) / 2)} {_n(y)} {_n(x)} {_n(y)}"
    share = 1.0 if flow == math.inf else math.sqrt(flow / biggest) if flow > 0 else 0.0
    colour = BROKEN if flow == math.inf else _LIT if lit else _mixed(share) if flow >= 0 else "#cbd5e1"
    weight = (0.9 + 2.6 * share if flow >= 0 else 1.0) * (0.6 if dense else 1.0)
    dash = ' stroke-dasharray="4 3"' if flow == 0 else ""
    line = f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{weight:.2f}"{dash}/>'
    if not head:
        return line
    x, y = points[-1]
    half = 2.6 + weight / 2
    if down:
        tip = f"M{_n(x)} {_n(y)}L{_n(x - half)} {_n(y - 7)}L{_n(x + half)} {_n(y - 7)}Z"
    else:
        tip = f"M{_n(x)} {_n(y)}L{_n(x - 7)} {_n(y - half)}L{_n(x - 7)} {_n(y + half)}Z"
    return f'{line}<path d="{tip}" fill="{colour}"/>'


def _mixed(share: float) -> str:
    """The colour of an edge: lighter where little flows, so that what matters stands out."""
    light, dark = (0x94, 0xA3, 0xB8), (0x47, 0x55, 0x69)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(light, dark, strict=True))


def _outline(kind: str, x: float, y: float, w: float, h: float) -> str:
    """The outline of a box: inputs are round on the left, parameters cut there, leaves square, operations rounded."""
    if kind == "input":
        r = min(h / 2, 14.0)
        return f'<path d="M{_n(x + w)} {_n(y)}H{_n(x + r)}A{_n(r)} {_n(r)} 0 0 0 {_n(x)} {_n(y + r)}V{_n(y + h - r)}' \
               f'A{_n(r)} {_n(r)} 0 0 0 {_n(x + r)} {_n(y + h)}H{_n(x + w)}Z"'  # fmt: skip
    if kind == "parameter":
        cut = f"M{_n(x + w)} {_n(y)}H{_n(x + 8)}L{_n(x)} {_n(y + 8)}V{_n(y + h - 8)}L{_n(x + 8)} {_n(y + h)}H{_n(x + w)}Z"
        return f'<path d="{cut}"'
    round_ = {"leaf": "", "constant": ' rx="10"'}.get(kind, ' rx="5"')
    return f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}"{round_}'


def _text(text: str, x: float, y: float, size: float, colour: str, anchor: str = "") -> str:
    where = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" fill="{colour}"{where}>{escape(text)}</text>'


def _box(box: Box, spot: tuple[float, float, float, float], output: bool) -> list[str]:
    x, y, w, h = spot
    fill, stroke = _LOOK[box.kind]
    out = [f"<g><title>{escape(described(box))}</title>"]
    if box.kind == "fold":
        w, h = w - 6, h - 6
        out += [f'{_outline("fold", x + d, y + d, w, h)} fill="{fill}" stroke="{stroke}" stroke-width="0.8"/>' for d in (6, 3)]
    elif output:
        out.append(f'{_outline(box.kind, x, y, w, h)} fill="#ffffff" stroke="{stroke}"/>')
        x, y, w, h = x + 3, y + 3, w - 6, h - 6
    out.append(f'{_outline(box.kind, x, y, w, h)} fill="{fill}" stroke="{stroke}"/>')
    bar = 0.0
    if box.kind in ("leaf", "parameter", "input"):
        bar = 8.0
    if box.kind == "leaf":
        out.append(f'<rect x="{_n(x)}" y="{_n(y)}" width="5" height="{_n(h)}" fill="{stroke}"/>')
    label, tag, value, grad = _rows(box)
    left, right, middle = x + 9 + bar, x + w - 9, y + h / 2
    quiet = box.kind == "constant"
    if label or tag:
        if label:
            out.append(_label(label, left, middle - 5, _GREY if quiet else _INK))
        if tag and label:
            out.append(_text(tag, right, middle - 5, _TAG, _GREY, "end"))
        elif tag:
            out.append(_text(tag, left, middle - 5, 12.0, _INK))
        base = middle + 14
    else:
        base = middle + 4
    shown = _GREY if quiet else _GREEN
    if grad or label or tag:
        out.append(_text(value, left, base, _NUMBER, shown))
    else:
        out.append(_text(value, x + w / 2, base, _NUMBER, shown, "middle"))
    if grad:
        out.append(_text(grad, right, base, _NUMBER, _RED, "end"))
    return [*out, "</g>"]


def described(box: Box) -> str:
    """The box in words, with all digits: its tooltip."""
    name = clip(plain(box.label), 200)
    value = f"value {' to '.join(map(repr, box.data))}" if box.data else ""
    grad = f"gradient {' to '.join(map(repr, box.grad))}" if box.grad else "no gradient" if box.kind == "constant" else ""
    return ", ".join(filter(None, [name, box.tag, value, grad]))


def _label(label: str, x: float, y: float, colour: str) -> str:
    """The label as text, mathematics with true sub- and superscripts, one above the other where they meet."""
    pieces = runs(label)
    if len(pieces) == 1:
        text = escape(clip(clean(label)))
        return f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(_LABEL)}" font-weight="bold" fill="{colour}">{text}</text>'
    out, at, back = "", 0.0, 0.0  # the level that the pen is on, and how far a script above another has to go back
    for k, (text, level) in enumerate(pieces):
        to = {0: 0.0, -1: 3.5, 1: -5.0}[level]
        stacked = level != 0 and k > 0 and pieces[k - 1][1] == -level
        dx = f' dx="{_n(-back)}"' if stacked else ' dx="1"' if level and at == 0 else ""
        dy = f' dy="{_n(to - at)}"' if to != at else ""
        size = f' font-size="{_n(0.7 * _LABEL)}" font-style="normal"' if level else ""
        back = 0.0 if level == 0 else width(text, 0.7 * _LABEL, bold=True) / 1.1
        out += f"<tspan{dx}{dy}{size}>{escape(clean(text))}</tspan>"
        at = to
    style = f'font-size="{_n(_LABEL)}" font-weight="bold" font-style="italic" fill="{colour}"'
    return f'<text x="{_n(x)}" y="{_n(y)}" {style}>{out}</text>'
