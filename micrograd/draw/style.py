"""How pictures look: the colours for light and dark pages, the sizes of type, the weight of an edge."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

LABEL, TAG, NUMBER, EDGE = 13.0, 10.0, 11.5, 10.0  # sizes of type
SCRIPT = 0.7  # of the size: sub- and superscripts
LEAST = 9.0  # the smallest size at which type is read; no picture shows any that is smaller
FAINT = 0.3  # the opacity of what is not lit, where something is
FONT = "Arial, Helvetica, 'Liberation Sans', 'DejaVu Sans', sans-serif"


class Palette(NamedTuple):
    """The colours of a picture; `paper` is "" where it is transparent. Text has a contrast of at least 4.5."""

    paper: str
    ink: str
    quiet: str  # tags, captions, constants
    value: str
    gradient: str
    local: str  # numbers at arrows
    strong: tuple[int, int, int]  # the edge through which the most flows
    weak: tuple[int, int, int]  # an edge through which next to nothing flows
    nothing: str  # an edge from a constant
    lit: str  # an edge from a box that is lit
    broken: str  # where nan or inf flows back; nothing else has this colour, so that it is found at a glance
    positive: str  # a weight in the picture of a network
    negative: str
    kinds: dict[str, tuple[str, str]]  # fill and stroke of each kind of box


LIGHT = Palette(
    "#ffffff", "#111827", "#4b5563", "#15803d", "#b91c1c", "#334155", (0x47, 0x55, 0x69), (0x94, 0xA3, 0xB8), "#cbd5e1",
    "#ea580c", "#db2777", "#1d4ed8", "#c2410c",
    {"operation": ("#ffffff", "#475569"), "leaf": ("#eff6ff", "#2563eb"), "parameter": ("#f5f3ff", "#7c3aed"),
     "input": ("#ecfeff", "#0e7490"), "constant": ("#fafafa", "#94a3b8"), "fold": ("#fffbeb", "#b45309")},
)  # fmt: skip
DARK = Palette(
    "#111827", "#e5e7eb", "#9ca3af", "#4ade80", "#fca5a5", "#cbd5e1", (0xA8, 0xB5, 0xC7), (0x5B, 0x6A, 0x80), "#475569",
    "#fb923c", "#f472b6", "#60a5fa", "#fb923c",
    {"operation": ("#1f2937", "#94a3b8"), "leaf": ("#172554", "#60a5fa"), "parameter": ("#2e1065", "#a78bfa"),
     "input": ("#083344", "#22d3ee"), "constant": ("#1a2230", "#64748b"), "fold": ("#292011", "#d97706")},
)  # fmt: skip
THEMES = {"light": LIGHT, "dark": DARK, "transparent": LIGHT._replace(paper="")}


def variables(palette: Palette) -> str:
    """The palette as variables of CSS, for the living page."""
    stroke = {kind: palette.kinds[kind][1] for kind in ("leaf", "parameter", "input")}
    colours = {
        "ink": palette.ink, "back": palette.paper, "edge": palette.nothing, "value": palette.value, "grad": palette.gradient,
        "lit": palette.lit, "broken": palette.broken, "plus": palette.positive, "minus": palette.negative,
        "leaf": stroke["leaf"], "weight": stroke["parameter"], "input": stroke["input"],
        "fold": palette.kinds["fold"][0], "rim": palette.kinds["fold"][1],
    }  # fmt: skip
    return "".join([f"--{name}:{colour};" for name, colour in colours.items()])


class Style(NamedTuple):
    """The colours of a picture, and the number of significant digits of its numbers."""

    palette: Palette = LIGHT
    digits: int = 4


def blend(one: str, two: str, part: float) -> str:
    """The colour `part` of the way from `one` to `two`, both as #rrggbb."""
    a, b = ([int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in (one, two))
    return "#" + "".join(f"{round(x + (y - x) * part):02x}" for x, y in zip(a, b, strict=True))


def faded(style: Style) -> Style:
    """The style of what is not lit, where a format has no opacity: colours near the paper's."""
    palette = style.palette
    paper = palette.paper or "#ffffff"
    kinds = {kind: (blend(paper, fill, FAINT), blend(paper, stroke, FAINT)) for kind, (fill, stroke) in palette.kinds.items()}
    names = ("ink", "quiet", "value", "gradient", "local", "nothing", "broken", "positive", "negative")
    colours: dict[str, Any] = {name: blend(paper, getattr(palette, name), FAINT) for name in names}
    return style._replace(palette=palette._replace(kinds=kinds, **colours))


def share(flow: float, biggest: float) -> float:
    """The square root of an edge's flow as a share of the biggest, from 0 to 1; 1 where the flow is not finite."""
    return 1.0 if not math.isfinite(flow) else math.sqrt(flow / biggest) if flow > 0 and biggest > 0 else 0.0


BROKEN = (9.0, 3.0, 2.0, 3.0)  # the dash of what nan or infinity flows through
THINNEST, MORE = 0.9, 2.6  # the width of an edge whose share is 0, and how much more a share of 1 is


def weight(part: float) -> float:
    """The width of an edge with this share."""
    return THINNEST + MORE * part


def mixed(part: float, palette: Palette) -> str:
    """The colour of an edge with this share: lighter where little flows, so that what matters stands out."""
    (r, g, b), (red, green, blue) = palette.weak, palette.strong
    return f"#{round(r + (red - r) * part):02x}{round(g + (green - g) * part):02x}{round(b + (blue - b) * part):02x}"
