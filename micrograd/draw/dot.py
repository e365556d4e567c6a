"""A picture as DOT source, for Graphviz, and as a Mermaid flowchart, for READMEs.

`graph` says what is shown. Both programs make their own layout; labels are written with real sub- and superscripts
where the language has them, and in Unicode where it has not.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any

from micrograd.draw.graph import Box, Picture
from micrograd.draw.lettering import clip, number, numbers, operation, plain, runs
from micrograd.draw.svg import BROKEN
from micrograd.formula.text import clean

_SHAPES = {
    "operation": {"style": "rounded,filled", "color": "#475569", "fillcolor": "#ffffff"},
    "leaf": {"style": "filled", "color": "#2563eb", "fillcolor": "#eff6ff"},
    "parameter": {"shape": "note", "style": "filled", "color": "#7c3aed", "fillcolor": "#f5f3ff"},
    "input": {"shape": "cds", "margin": "0.3,0.08", "style": "filled", "color": "#0e7490", "fillcolor": "#ecfeff"},
    "constant": {"style": "rounded,filled", "color": "#cbd5e1", "fillcolor": "#fafafa"},
    "fold": {"shape": "box3d", "style": "filled", "color": "#b45309", "fillcolor": "#fffbeb"},
}
_BRACKETS = {
    "operation": ("[", "]"), "leaf": (">", "]"), "parameter": ("[/", "/]"), "input": ("([", "])"), "constant": ("(", ")"),
    "fold": ("[(", ")]"),
}  # fmt: skip


def digraph(picture: Picture, format: str = "svg", rankdir: str = "LR") -> Any:
    """The picture as a `graphviz.Digraph`; making it runs no program."""
    import graphviz

    out = graphviz.Digraph(
        format=format,
        graph_attr={"rankdir": rankdir, "bgcolor": "white", "fontname": "Helvetica", "labelloc": "b", "fontsize": "10"},
        node_attr={"shape": "box", "fontname": "Helvetica", "fontsize": "12", "margin": "0.06,0.03"},
        edge_attr={"fontname": "Helvetica", "fontsize": "9", "arrowsize": "0.7", "color": "#64748b", "fontcolor": "#334155"},
    )
    if picture.caption:
        out.attr(label="<" + escape(" ".join(picture.caption)) + ">")
    for i, box in enumerate(picture.boxes):
        look = dict(_SHAPES[box.kind])
        if i == picture.output:
            look["peripheries"] = "2"
        out.node(f"n{i}", label=_html(box), tooltip=graphviz.escape(clip(plain(box.label), 200) or box.tag), **look)
    biggest = max([e.flow for e in picture.edges if e.flow is not None and math.isfinite(e.flow)], default=0.0)
    for edge in picture.edges:
        look = {}
        if edge.flow is None:
            look["color"] = "#cbd5e1"
        elif edge.flow == 0:
            look["style"] = "dashed"
        elif not math.isfinite(edge.flow):
            look.update(color=BROKEN, penwidth="3.50")
        elif biggest:
            look["penwidth"] = f"{0.9 + 2.6 * math.sqrt(edge.flow / biggest):.2f}"
        if edge.local is not None:
            look["label"] = number(edge.local)
        elif edge.many > 1:
            look["label"] = f"×{edge.many}"
        out.edge(f"n{edge.source}", f"n{edge.target}", **look)
    return out


def _html(box: Box) -> str:
    """The label of a box in DOT's HTML: label and operation, value and gradient."""
    grey = box.kind == "constant"
    label = _math(box.label)
    tag = f'<FONT POINT-SIZE="10" COLOR="#6b7280">{escape(operation(box.tag))}</FONT>' if box.tag else ""
    if grey and not box.label:
        tag = ""
    value = f'<FONT COLOR="{"#6b7280" if grey else "#15803d"}">{numbers(box.data)}</FONT>' if box.data else ""
    grad = f'<FONT COLOR="#b91c1c">∂ {numbers(box.grad)}</FONT>' if box.grad else ""
    rows = [[left, right] for left, right in ((label, tag), (value, grad)) if left or right]
    cells = "".join(f"<TR>{_cells(row)}</TR>" for row in rows)
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">{cells}</TABLE>>'


def _cells(row: list[str]) -> str:
    if not (row[0] and row[1]):
        return f'<TD COLSPAN="2">{row[0] or row[1]}</TD>'
    return f'<TD ALIGN="LEFT">{row[0]}</TD><TD ALIGN="RIGHT">{row[1]}</TD>'


def _math(label: str) -> str:
    if not label:
        return ""
    pieces = runs(label)
    if len(pieces) == 1:
        return f"<B>{escape(clip(clean(label)))}</B>"
    marks = {0: "I", -1: "SUB", 1: "SUP"}
    return "".join(f"<{marks[level]}>{escape(clean(text))}</{marks[level]}>" for text, level in pieces)


def mermaid(picture: Picture, rankdir: str = "LR") -> str:
    """The picture as a Mermaid flowchart, which GitHub and GitLab draw in Markdown."""
    out = [f"flowchart {rankdir}"]
    for i, box in enumerate(picture.boxes):
        opening, closing = ("[[", "]]") if i == picture.output else _BRACKETS[box.kind]
        tag = "" if box.kind == "constant" and not box.label else operation(box.tag)
        top = "&nbsp;&nbsp;".join(filter(None, [_quoted(clip(plain(box.label))), _quoted(tag)]))
        bottom = "&nbsp;&nbsp;".join(filter(None, [numbers(box.data), f"∂ {numbers(box.grad)}" if box.grad else ""]))
        out.append(f'    n{i}{opening}"{"<br/>".join(filter(None, [top, bottom]))}"{closing}:::{box.kind}')
    for edge in picture.edges:
        text = number(edge.local) if edge.local is not None else f"×{edge.many}" if edge.many > 1 else ""
        line = "-.->" if edge.flow == 0 else "-->"
        between = f'|"{text}"|' if text else ""
        out.append(f"    n{edge.source} {line}{between} n{edge.target}")
    for kind in dict.fromkeys(box.kind for box in picture.boxes):
        look = _SHAPES[kind]
        out.append(f"    classDef {kind} fill:{look['fillcolor']},stroke:{look['color']},color:#111827")
    return "\n".join([*out, ""])


def _quoted(text: str) -> str:
    """The text as Mermaid takes it inside quotation marks: everything with a meaning of its own by its number.

    A backslash gets a space of no width behind it, because Mermaid breaks the line at a backslash and an n.
    """
    text = text.replace("\\", "\\\u200b")
    return "".join(f"#{ord(c)};" if c in "#&<>\"'`\\*_~[](){}|:;%" else c for c in text)
