"""A picture as DOT source, for Graphviz, and as a Mermaid flowchart, for READMEs.

`picture` says what is shown. Both programs make their own layout. Labels have true sub- and superscripts in DOT, and those of
Unicode in Mermaid.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from html import escape
from typing import Any

from micrograd.draw.boxes_and_arrows import edge_text
from micrograd.draw.lettering import clip, numbers, plain, runs
from micrograd.draw.picture import Box, Picture
from micrograd.draw.style import FAINT, Style, faded, share, weight
from micrograd.formula.text import clean

_SHAPES = {
    "operation": {"style": "rounded,filled"}, "leaf": {"style": "filled"}, "parameter": {"shape": "note", "style": "filled"},
    "input": {"shape": "cds", "margin": "0.3,0.08", "style": "filled"}, "constant": {"style": "rounded,filled"},
    "fold": {"shape": "box3d", "style": "filled"},
}  # fmt: skip
_BRACKETS = {
    "operation": ("[", "]"), "leaf": (">", "]"), "parameter": ("[/", "/]"), "input": ("([", "])"), "constant": ("(", ")"),
    "fold": ("[(", ")]"),
}  # fmt: skip
_PLAIN = Style()


def digraph(
    picture: Picture, format: str = "svg", rankdir: str = "LR", style: Style = _PLAIN, lit: Collection[int] | None = None
) -> Any:
    """The picture as a `graphviz.Digraph`; with `lit`, other boxes are faded. No program is run."""
    import graphviz

    palette, digits = style
    faint = faded(style)
    out = graphviz.Digraph(
        format=format,
        graph_attr={"rankdir": rankdir, "bgcolor": palette.paper or "transparent", "fontname": "Helvetica", "labelloc": "b",
                    "fontsize": "10", "fontcolor": palette.quiet},
        node_attr={"shape": "box", "fontname": "Helvetica", "fontsize": "12", "margin": "0.06,0.03", "fontcolor": palette.ink},
        edge_attr={"fontname": "Helvetica", "fontsize": "9", "arrowsize": "0.7", "color": "#64748b",
                   "fontcolor": palette.local},
    )  # fmt: skip
    if picture.caption:
        out.attr(label="<" + escaped(" ".join(picture.caption)) + ">")
    for i, box in enumerate(picture.boxes):
        drawn = style if lit is None or i in lit else faint
        fill, stroke = drawn.palette.kinds[box.kind]
        look = {**_SHAPES[box.kind], "fillcolor": fill, "color": stroke}
        if i == picture.output:
            look["peripheries"] = "2"
        out.node(f"n{i}", label=_html(box, drawn), tooltip=graphviz.escape(clip(plain(box.label), 200) or box.tag), **look)
    biggest = max([e.flow for e in picture.edges if e.flow is not None and math.isfinite(e.flow)], default=0.0)
    for edge in picture.edges:
        look, colours = {}, palette
        if lit is not None and edge.source not in lit:
            colours = faint.palette
            look.update(color=colours.quiet, fontcolor=colours.local)
        if edge.flow is None:
            look["color"] = colours.nothing
        elif edge.flow == 0:
            look["style"] = "dashed"
        elif not math.isfinite(edge.flow):
            look.update(color=colours.broken, penwidth="3.50", style="dotted")
        elif biggest:
            look["penwidth"] = f"{weight(share(edge.flow, biggest)):.2f}"
        if text := edge_text(edge, False, digits):
            look["label"] = text
        if edge.local is None and edge.part is not None:
            look["fontcolor"] = colours.gradient
        out.edge(f"n{edge.source}", f"n{edge.target}", **look)
    return out


def escaped(text: str) -> str:
    """Text for a label in DOT's HTML. Backslashes are escaped too: Graphviz replaces \\N, \\G and \\L by names."""
    return escape(text).replace("\\", "&#92;")


def _html(box: Box, style: Style) -> str:
    """The label of a box in DOT's HTML: label and operation, value and gradient."""
    palette, digits = style
    grey = box.kind == "constant"
    label = mathematics(box.label)
    sign = f'<FONT COLOR="{palette.broken}"><B>⚠ </B></FONT>' if box.broken else ""
    tag = f'<FONT POINT-SIZE="10" COLOR="{palette.quiet}">{escaped(box.tag)}</FONT>' if box.tag else ""
    if grey and not box.label:
        tag = ""
    colour = palette.quiet if grey else palette.value
    value = f'<FONT COLOR="{colour}">{numbers(box.data, digits)}</FONT>' if box.data else ""
    grad = f'<FONT COLOR="{palette.gradient}">∂ {numbers(box.grad, digits)}</FONT>' if box.grad else ""
    rows = [[left, right] for left, right in ((sign + label, tag), (value, grad)) if left or right]
    cells = "".join(f"<TR>{_cells(row)}</TR>" for row in rows)
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">{cells}</TABLE>>'


def _cells(row: list[str]) -> str:
    if not (row[0] and row[1]):
        return f'<TD COLSPAN="2">{row[0] or row[1]}</TD>'
    return f'<TD ALIGN="LEFT">{row[0]}</TD><TD ALIGN="RIGHT">{row[1]}</TD>'


def mathematics(label: str) -> str:
    """A label in DOT's HTML, with its sub- and superscripts."""
    if not label:
        return ""
    pieces = runs(label)
    if len(pieces) == 1:
        return f"<B>{escaped(clip(clean(pieces[0][0])))}</B>"
    marks = {0: "I", -1: "SUB", 1: "SUP"}
    return "".join(f"<{marks[level]}>{escaped(clean(text))}</{marks[level]}>" for text, level in pieces)


def mermaid(picture: Picture, rankdir: str = "LR", style: Style = _PLAIN, lit: Collection[int] | None = None) -> str:
    """The picture as a Mermaid flowchart, which GitHub and GitLab draw in Markdown; with `lit`, other boxes are faded."""
    digits = style.digits
    out = [f"flowchart {rankdir}"]
    for i, box in enumerate(picture.boxes):
        opening, closing = ("[[", "]]") if i == picture.output else _BRACKETS[box.kind]
        tag = "" if box.kind == "constant" and not box.label else box.tag
        top = "&nbsp;&nbsp;".join(filter(None, ["⚠" * bool(box.broken), quoted(clip(plain(box.label))), quoted(tag)]))
        grad = f"∂ {numbers(box.grad, digits)}" if box.grad else ""
        bottom = "&nbsp;&nbsp;".join(filter(None, [numbers(box.data, digits), grad]))
        out.append(f'    n{i}{opening}"{"<br/>".join(filter(None, [top, bottom]))}"{closing}:::{box.kind}')
    for edge in picture.edges:
        text = edge_text(edge, False, digits)
        line = "-.->" if edge.flow == 0 else "-->"
        between = f'|"{text}"|' if text else ""
        out.append(f"    n{edge.source} {line}{between} n{edge.target}")
    for kind in dict.fromkeys(box.kind for box in picture.boxes):
        fill, stroke = style.palette.kinds[kind]
        out.append(f"    classDef {kind} fill:{fill},stroke:{stroke},color:{style.palette.ink}")
    if lit is not None:
        faint = [k for k, edge in enumerate(picture.edges) if edge.source not in lit]
        out += fading([f"n{i}" for i in range(len(picture.boxes)) if i not in lit], faint)
    return "\n".join([*out, ""])


def fading(nodes: Sequence[str], edges: Sequence[int]) -> list[str]:
    """The lines of Mermaid that fade these nodes, and the edges with these numbers."""
    made = [f"    class {','.join(nodes)} faint", f"    classDef faint opacity:{FAINT}"] if nodes else []
    return made + ([f"    linkStyle {','.join(map(str, edges))} opacity:{FAINT}"] if edges else [])


def quoted(text: str) -> str:
    """The text as Mermaid takes it inside quotation marks: characters with a meaning in Mermaid are written by their number.

    A backslash is followed by a space of no width, because Mermaid takes a backslash and an n for a line break.
    """
    text = text.replace("\\", "\\\u200b")
    return "".join(f"#{ord(c)};" if c in "#&<>\"'`\\*_~[](){}|:;%" else c for c in text)
