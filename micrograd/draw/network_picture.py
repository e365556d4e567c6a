"""The textbook's picture of a network, as a scene: neurons in columns, a line for each weight.

`network` comes before. Where there is room, a neuron holds z, a, g′ and δ, and each line ends at a row with its W and ∂L/∂W. So
∂L/∂W_jk = (Σ_l δ_l W_kl) g′(z_k) a_j can be read off the picture. Where there is no room, the numbers are in tooltips.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

from micrograd.draw.boxes_and_arrows import MARGIN, wrapped, written_caption
from micrograd.draw.lettering import clip, number, plain, width
from micrograd.draw.network import Network, Neuron, slope
from micrograd.draw.scene import Part, Rectangle, Scene, Shape, Words, arrowhead, circle, label, warning, words
from micrograd.draw.snapshot import Graph
from micrograd.draw.style import BROKEN, TAG, Palette, Style, blend

_BIG, _SMALL, _INPUT = 38.0, 21.0, 20.0  # radii of a neuron with all its numbers, of one with two, of an input
_ROW, _ROW_SIZE = 12.0, 9.5  # the rows of weights beside a neuron
_HEAD = 34.0  # the room above the neurons, for the name of the layer
_NAME = 12.0  # the room above a neuron with all its numbers, for its name
_TURN = 0.45  # radians from its right end within which lines leave a circle: further round they would cross its neighbours
_MOST, _FEW = 16, 6  # neurons of a column at most: that are shown; with all their numbers
_HEADS = 4  # with more arrows into the loss, they join before one head

Item = Shape | Rectangle | Words


class Row(NamedTuple):
    """The texts at the end of a weight's line: the weight, its gradient ("" where it has none), and the tooltip."""

    weight: str
    gradient: str
    title: str


class Spot(NamedTuple):
    """A neuron, an input or the loss: its place in the network, the middle of its circle, its radius."""

    place: tuple[int, int]
    x: float
    y: float
    radius: float


class Drawn(NamedTuple):
    """The scene, and where its circles are and its rows of text, as rectangles (left, top, width, height)."""

    scene: Scene
    spots: list[Spot]
    rows: list[tuple[float, float, float, float]]
    full: bool  # whether all numbers are written; else some are only in tooltips


class Until(NamedTuple):
    """How far the passes have come: values up to layer `forward`, gradients down to layer `backward`.

    The inputs are layer 0, the loss is the layer after the last.
    """

    forward: int
    backward: int


class Reader:
    """The numbers of a network: of one call, or means over all of them (and sums, for gradients of weights)."""

    def __init__(self, graph: Graph, network: Network, call: int | None):
        self.graph, self.network, self.call = graph, network, call
        self.calls = range(network.calls) if call is None else (call - 1,)

    def mean(self, values: tuple[int, ...], what: str) -> float:
        """The mean over the calls of "data" or "grad"; a gradient that is missing counts as 0."""
        found: list[float | None] = getattr(self.graph, what)
        return sum([found[values[c]] or 0.0 for c in self.calls]) / len(self.calls)

    def slope(self, neuron: Neuron) -> float | None:
        """g′(z) in the call that is shown; None for several calls, whose mean would be the slope of none."""
        return slope(self.graph, neuron.z[self.calls[0]], neuron.a[self.calls[0]]) if len(self.calls) == 1 else None

    def gradient(self, i: int, neuron: Neuron, inputs: tuple[int, ...] | None) -> float | None:
        """∂L/∂w of a weight or bias w: the whole gradient, or the part δ a of the chosen call."""
        if self.graph.grad[i] is None:
            return None
        if self.call is None or self.network.calls == 1:
            return self.graph.grad[i]
        return self.mean(neuron.z, "grad") * (self.mean(inputs, "data") if inputs else 1.0)

    def outputs(self, layer: int) -> list[tuple[int, ...]]:
        """The outputs of a layer, each by call; those of layer 0 are the inputs."""
        return [neuron.a for neuron in self.network.layers[layer - 1]] if layer else self.network.inputs

    @property
    def has_loss(self) -> bool:
        return self.network.layers[-1][0].a != (self.graph.root,)


def short(x: float, digits: int) -> str:
    """A number for little room: with an exponent without zeros in front, where that is shorter."""
    if not math.isfinite(x) or x == 0:
        return number(x, digits)
    text = f"{x:.{digits}g}"
    if "e" in text or len(text) > digits + 4:
        mantissa, exponent = f"{x:.{max(digits - 2, 0)}e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "−")


def shown_of(count: int, most: int, needed: Collection[int] = ()) -> list[int]:
    """Which of `count` are shown: all, or the first, the last and two of those needed; -1 stands for those left out."""
    if count <= most:
        return list(range(count))
    half = (most - 2) // 2
    kept = sorted({*range(half), *range(count - half, count), *list(needed)[:2]})
    out: list[int] = []
    for k in kept:
        if out and k != out[-1] + 1:
            out.append(-1)
        out.append(k)
    return out


def drawn(
    graph: Graph,
    network: Network,
    title: str,
    style: Style,
    page: float,
    chosen: Collection[int] = (),
    call: int | None = None,
    until: Until | None = None,
) -> Drawn:
    """The picture on a page that is `page` pixels wide; the factors in the derivatives by the `chosen` values are lit."""
    lit = network.lit(chosen) if chosen else None
    widest = max(len(layer) for layer in network.layers)
    for rows, digits in ((True, 3), (True, 2), (False, 3)) if widest <= _FEW else ():
        made = _Picture(graph, network, style, lit, call, _BIG, rows, min(style.digits, digits), page, until)
        if made.wide <= page:
            return made.drawn(title)
    return _Picture(graph, network, style, lit, call, _SMALL, False, 2, page, until).drawn(title)


class _Picture:
    def __init__(
        self, graph: Graph, network: Network, style: Style, lit: set[tuple[int, ...]] | None, call: int | None, radius: float,
        rows: bool, digits: int, page: float, until: Until | None,
    ):  # fmt: skip
        self.until = until or Until(len(network.layers) + 1, 0)
        self.graph, self.network, self.style, self.lit, self.radius, self.rows = graph, network, style, lit, radius, rows
        self.read = Reader(graph, network, call)
        self.palette, self.digits = style.palette, digits
        needed = lit or set()
        self.root = f"{clip(plain(graph.labels[graph.root])) or 'L'}"
        broken = graph.first_broken()
        self.broken = network.place(broken[0]) if broken else ()  # the place where the first nan or infinity arose
        counts = [len(network.inputs), *[len(layer) for layer in network.layers]]
        self.columns = [
            shown_of(n, (10 if c == 0 and radius == _BIG else _MOST), [p[1] for p in needed if len(p) == 2 and p[0] == c])
            for c, n in enumerate(counts)
        ]
        self.texts = {(i, k): self._rows_of(i, k) for i in range(1, len(counts)) for k in self.columns[i] if k >= 0}
        self.loss_wide = max(width(self.root, 13, True), width(number(graph.data[graph.root], style.digits), 11.5)) + 40
        self._across(page)
        self._down()

    def _across(self, page: float) -> None:
        """Find the x of each column: its `middle`, the room for the rows of weights before it, and how wide all of them are."""
        radius, count = self.radius, len(self.network.layers)
        self.row_room, self.middle = [6.0] * (count + 1), [MARGIN + _INPUT]
        for c in range(count + 1) if self.rows else ():
            rows = [row for (i, _), found in self.texts.items() if i == c for row in found]
            gradient = max([width(row.gradient, _ROW_SIZE) for row in rows], default=0.0) + 6
            self.row_room[c] = max([width(row.weight, _ROW_SIZE) for row in rows], default=0.0) + gradient + 8
        needs = 2 * MARGIN + 2 * _INPUT + count * 2 * radius + sum(self.row_room[1:])
        needs += self.loss_wide + 70 if self.read.has_loss else 20.0
        least = 36.0 if self.rows else 60.0
        gap = max(least, min(120.0 if radius == _BIG else 230.0, (page - needs) / count))
        self.wide = needs + count * gap
        for c in range(1, count + 1):
            before = _INPUT if c == 1 else radius
            self.middle.append(self.middle[-1] + (before + gap + self.row_room[c] + radius))

    def _down(self) -> None:
        """Find the y of each neuron that is shown, by column and number, and of each gap, at -1 - its place in the column."""
        big = self.radius == _BIG
        pitches = [2 * self.radius + (26 if big else 3)] * len(self.columns)
        pitches[0] = 2 * _INPUT + (30 if big else 4)
        for c in range(1, len(self.columns)) if self.rows else ():
            rows = max(len(self.texts[c, k]) for k in self.columns[c] if k >= 0)
            pitches[c] = max(2 * self.radius + 26, _ROW * rows + 14)
        heights = [pitch * len(column) for pitch, column in zip(pitches, self.columns, strict=True)]
        self.high, self.top = max(heights), MARGIN + _HEAD + (_NAME if big else 0.0)
        if not big:  # a column of few neurons spreads beside one of many
            pitches = [min(2.4 * pitch, self.high / len(column)) for pitch, column in zip(pitches, self.columns, strict=True)]
            heights = [pitch * len(column) for pitch, column in zip(pitches, self.columns, strict=True)]
        self.y = {
            (c, k if k >= 0 else -1 - n): self.top + self.high / 2 + (n + 0.5) * pitches[c] - heights[c] / 2
            for c, column in enumerate(self.columns)
            for n, k in enumerate(column)
        }

    def _rows_of(self, layer: int, k: int) -> list[Row]:
        """W and its gradient for each input shown of a neuron, and those of the bias."""
        neuron = self.network.layers[layer - 1][k]
        inputs = self.read.outputs(layer - 1)
        out = []
        for j in [j for j in self.columns[layer - 1] if j >= 0]:
            weight = neuron.weights[j]
            out.append(self._row("", weight, self.read.gradient(weight, neuron, inputs[j])))
        if neuron.bias >= 0:
            out.append(self._row("b ", neuron.bias, self.read.gradient(neuron.bias, neuron, None)))
        return out

    def _row(self, name: str, i: int, gradient: float | None) -> Row:
        shown = f"{name}{short(self.graph.data[i], self.digits)}"
        title = f"{plain(self.graph.labels[i]) or 'weight'} = {self.graph.data[i]!r}"
        if gradient is None:
            return Row(shown, "", title)
        return Row(shown, f"∂ {short(gradient, self.digits)}", f"{title}, ∂{self.root}/∂ = {gradient!r}")

    def faint(self, *place: int) -> bool:
        return place[0] > self.until.forward or (self.lit is not None and place not in self.lit)

    def drawn(self, title: str) -> Drawn:
        lines, rows, nodes = list[Part](), list[Part](), list[Part]()
        self.boxes: list[tuple[float, float, float, float]] = []
        spots: list[Spot] = []
        sizes = [[abs(self.graph.data[w]) for neuron in layer for w in neuron.weights] for layer in self.network.layers]
        biggest = [max(filter(math.isfinite, found), default=0.0) for found in sizes]
        for c, column in enumerate(self.columns):
            nodes.append(Part(self._header(c)))
            for n, k in enumerate(column):
                if k < 0:
                    following = column[n + 1] if n + 1 < len(column) else len(self.read.outputs(c))
                    nodes.append(_left_out(following - column[n - 1] - 1, self.middle[c], self.y[c, -1 - n], self.palette))
                    continue
                spot = Spot((c, k), self.middle[c], self.y[c, k], _INPUT if c == 0 else self.radius)
                spots.append(spot)
                nodes.append(self._neuron(spot))
                if c:
                    self._weights(spot, biggest[c - 1], lines, rows)
        if self.read.has_loss:
            nodes.append(self._loss(lines, rows))
        caption = _caption(self)
        high = self.top + self.high + MARGIN + 15 * len(caption) + 6
        # thick lines lie above thin ones
        lines.sort(key=lambda part: max([i.width for i in part.items if isinstance(i, Shape)]))
        parts = [*lines, *rows, *nodes, Part(written_caption(caption, high, MARGIN))]
        scene = Scene(max(self.wide, 420.0), high, title, self.palette.paper, parts)
        return Drawn(scene, spots, self.boxes, self.rows)

    def _header(self, c: int) -> list[Item]:
        what, below = "inputs", str(len(self.network.inputs))
        if c:
            layer = self.network.layers[c - 1]
            what, below = f"layer {c}", f"{len(layer)} × {_activation(self.graph, layer[0].z[0], layer[0].a[0])}"
        x, palette = self.middle[c], self.palette
        return [words(what, x, MARGIN + 10, 11.0, palette.ink, "middle", True),
                words(below, x, MARGIN + 23, TAG, palette.quiet, "middle")]  # fmt: skip

    def _neuron(self, spot: Spot) -> Part:
        (c, k), x, y, r = spot
        palette, read = self.palette, self.read
        values = read.outputs(c)[k]
        fill, stroke = palette.kinds["input" if c == 0 else "operation"]
        out: list[Item] = [circle(x, y, r, fill, stroke, 1.4)]
        name = self.graph.labels[values[read.calls[0]]]
        a = read.mean(values, "data")
        numbers = [("a", a, palette.value)]
        if c:
            neuron = self.network.layers[c - 1][k]
            numbers = [("z", read.mean(neuron.z, "data"), palette.ink), *numbers]
            if (g := read.slope(neuron)) is not None:
                numbers.append(("g′", g, palette.local))
            if c >= self.until.backward:
                numbers.append(("δ", read.mean(neuron.z, "grad"), palette.gradient))
            if c > self.until.forward:
                numbers = []
        title = ", ".join([plain(name) or f"value {k + 1}", *[f"{letter} = {v!r}" for letter, v, _ in numbers]])
        if c == 0:
            out.append(words(short(a, min(self.digits, 3)), x, y + 3.5, 10.0, palette.value, "middle"))
            if name and self.radius == _BIG:
                out.append(label(name, x - 10, y - r - 6, 11.0, palette.ink))
        elif r == _BIG:
            top = y - 6 * (len(numbers) - 1) + 3.5
            for n, (letter, v, colour) in enumerate(numbers):
                out.append(words(f"{letter} {short(v, self.digits)}", x, top + 12 * n, 10.0, colour, "middle"))
            if name:
                out.append(label(name, x - 10, y - r - 6, 11.0, palette.ink))
        else:
            if numbers:
                out.append(words(short(a, 2), x, y - 1.5, _ROW_SIZE, palette.value, "middle"))
            if c >= self.until.backward:
                out.append(words(short(numbers[-1][1], 2), x, y + 10.5, _ROW_SIZE, palette.gradient, "middle"))
        if self.broken == (c, k):
            out += warning(x + 0.7 * r, y - 0.7 * r, palette.broken, palette.paper)
        return Part(out, title, self.faint(c, k))

    def _weights(self, spot: Spot, biggest: float, lines: list[Part], rows: list[Part]) -> None:
        """Add the lines into a neuron, and the rows of numbers at their ends."""
        (c, k), x, y, r = spot
        sources = [j for j in self.columns[c - 1] if j >= 0]
        found = self.texts[c, k]
        top = y - _ROW * (len(found) - 1) / 2
        for n, row in enumerate(found):
            j, at = sources[n] if n < len(sources) else -1, top + _ROW * n
            if self.rows:
                left, right = x - r - self.row_room[c] + 3, x - r - 4
                self.boxes.append((left, at - 7, width(row.weight, _ROW_SIZE), 11.0))
                items: list[Item] = [words(row.weight, left, at + 3, _ROW_SIZE, self.palette.ink)]
                if row.gradient and c >= self.until.backward:
                    wide = width(row.gradient, _ROW_SIZE)
                    self.boxes.append((right - wide, at - 7, wide, 11.0))
                    items.append(words(row.gradient, right, at + 3, _ROW_SIZE, self.palette.gradient, "end"))
                if self.broken == (c, j, k):
                    items += warning(left + width(row.weight, _ROW_SIZE) + 7, at, self.palette.broken, self.palette.paper)
                rows.append(Part(items, row.title, self.faint(c, j, k)))
            if j < 0:
                continue
            sx, sy = self.middle[c - 1], self.y[c - 1, j]
            ex, ey = (x - r - self.row_room[c], at) if self.rows else (x, y)
            before = _INPUT if c == 1 else self.radius
            turn, most = math.atan2(ey - sy, ex - sx), _TURN if self.radius == _BIG else math.pi
            turn = max(-most, min(turn, most))
            start = (sx + before * math.cos(turn), sy + before * math.sin(turn))
            end = (ex, ey) if self.rows else (x - r * math.cos(turn), y - r * math.sin(turn))
            w = self.graph.data[self.network.layers[c - 1][k].weights[j]]
            line: list[Item] = [_line(start, end, w, biggest, self.palette, self.radius == _BIG)]
            if not self.rows and self.broken == (c, j, k):
                line += warning((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, self.palette.broken, self.palette.paper)
            lines.append(Part(line, row.title, self.faint(c, j, k)))

    def _loss(self, lines: list[Part], rows: list[Part]) -> Part:
        """The box of the loss; adds the arrows into it, and the numbers at them."""
        palette, last = self.palette, len(self.network.layers)
        x = self.wide - MARGIN - self.loss_wide
        y = self.top + self.high / 2
        for k in [k for k in self.columns[last] if k >= 0]:
            neuron = self.network.layers[-1][k]
            start = (self.middle[last] + self.radius, self.y[last, k])
            g = self.read.mean(neuron.a, "grad")
            place, many = self.columns[last].index(k), len(self.columns[last])
            end = (x - 6, y + 8.0 * (place - (many - 1) / 2)) if many <= _HEADS else (x - 26, y)
            title = f"∂{self.root}/∂{plain(self.graph.labels[neuron.a[0]]) or 'a'} = {g!r}"
            faint = self.faint(last + 1, k, 0)
            line = Shape(start, [end], stroke=blend(palette.nothing, palette.quiet, 0.7), width=1.2)
            dx, dy = end[0] - start[0], end[1] - start[1]
            far = math.hypot(dx, dy)
            head = [arrowhead(x, end[1], dx / far, dy / far, 3.2, palette.quiet)] if many <= _HEADS else []
            lines.append(Part([line, *head], title, faint))
            if self.radius == _BIG and last >= self.until.backward:
                text = f"∂ {short(g, self.digits)}"
                base = start[1] + (13 if end[1] < start[1] - 6 else -5)  # above or below the line, where it leaves room
                rows.append(Part([words(text, start[0] + 4, base, _ROW_SIZE, palette.gradient)], title, faint))
                self.boxes.append((start[0] + 4, base - 8, width(text, _ROW_SIZE), 11.0))
        if len(self.columns[last]) > _HEADS:
            trunk = Shape((x - 26, y), [(x - 6, y)], stroke=blend(palette.nothing, palette.quiet, 0.7), width=2.0)
            lines.append(Part([trunk, arrowhead(x, y, 1.0, 0.0, 4.0, palette.quiet)], "", self.faint(last + 1, 0)))
        fill, stroke = palette.kinds["operation"]
        out: list[Item] = [
            Rectangle(x, y - 26, self.loss_wide, 52, 6, fill, stroke, 1.4),
            label(self.graph.labels[self.graph.root] or "L", x + 12, y - 5, 13.0, palette.ink),
        ]
        if last < self.until.forward:
            loss = number(self.graph.data[self.graph.root], self.style.digits)
            out.append(words(loss, x + 12, y + 14, 11.5, palette.value))
        if self.broken == (last + 1, 0):
            out += warning(x + self.loss_wide - 2, y - 26, palette.broken, palette.paper)
        return Part(out, f"{self.root} = {self.graph.data[self.graph.root]!r}", self.faint(last + 1, 0))


def _caption(it: _Picture) -> list[list[tuple[str, str]]]:
    """What stands below the picture, line by line, in pieces with their colours: what its letters and lines mean."""
    palette, calls = it.palette, it.network.calls
    inside = [("a = g(z)", palette.value), ("  ·  g′ = ∂a/∂z", palette.local),
              (f"  ·  δ = ∂{it.root}/∂z, ∂: gradient of {it.root}", palette.gradient)]  # fmt: skip
    if it.radius == _BIG and len(it.read.calls) > 1:  # g′ is shown for one call alone
        del inside[1]
    if it.radius != _BIG:
        inside = [("in a neuron a,", palette.value), (f" below it δ = ∂{it.root}/∂z", palette.gradient)]
    pieces = [*inside,
              ("  ·  a line is a weight: blue W > 0,", palette.positive), (" orange and dashed W < 0,", palette.negative),
              (" thick: large", palette.quiet)]  # fmt: skip
    if it.rows:
        rule = "the sum of δ · a over the calls" if calls > 1 and it.read.call is None else "δ · a"
        pieces.append((f"  ·  at its end W and ∂{it.root}/∂W = {rule}", palette.quiet))
    else:
        pieces.append((f"  ·  W and ∂{it.root}/∂W, z and g′: point at a line or a neuron", palette.quiet))
    if calls > 1 and it.read.call:
        pieces.append((f"  ·  call {it.read.call} of {calls}: ∂ is its part of each gradient", palette.quiet))
    elif calls > 1:
        pieces.append((f"  ·  z, a and δ are means over {calls} calls; .draw(call=1) shows one", palette.quiet))
    if it.broken:
        pieces.append(("  ·  !: where nan or ∞ first arose", palette.broken))
    if it.network.shared:
        pieces.append(("  ·  weights count outside of the network too: ∂W holds that as well", palette.quiet))
    count = f"{len(it.graph):,}".replace(",", "\u202f")
    pieces.append((f'  ·  the scalar graph, {count} values: .draw(view="graph"), or .explore()', palette.quiet))
    split = [(word + " ", colour) for text, colour in pieces for word in text.split(" ")]
    return wrapped(split, max(it.wide, 420.0) - 2 * MARGIN)


def _left_out(count: int, x: float, y: float, palette: Palette) -> Part:
    """What stands in a column in place of the neurons that are not drawn."""
    more = words(f"{count} more", x, y + 13, TAG, palette.quiet, "middle")
    return Part([words("⋮", x, y, 16, palette.quiet, "middle"), more])


def _activation(graph: Graph, z: int, a: int) -> str:
    """The activation as it is written above its layer: tanh, or g(z) where it takes several steps, or linear."""
    if a == z:
        return "linear"
    return graph.written(a, names=False) if all(p == z or p in graph.literals for p in graph.parents[a]) else "g(z)"


def _line(
    start: tuple[float, float], end: tuple[float, float], w: float, biggest: float, palette: Palette, roomy: bool
) -> Shape:
    """The line of a weight: its width and darkness show |w|, its colour and dash the sign."""
    part = min(abs(w) / biggest, 1.0) if biggest and math.isfinite(w) else 1.0
    colour = palette.broken if not math.isfinite(w) else palette.positive if w >= 0 else palette.negative
    dash = BROKEN if not math.isfinite(w) else () if w >= 0 else (5.0, 3.0)
    thick, least = (0.5 + 2.6 * part, 0.35) if roomy else (0.4 + 1.4 * part**1.5, 0.15)
    return Shape(start, [end], stroke=blend(palette.nothing, colour, least + (1 - least) * part), width=thick, dash=dash)
