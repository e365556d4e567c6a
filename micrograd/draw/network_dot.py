"""The textbook's picture of a network as DOT source and as a Mermaid flowchart: nodes are neurons, edges weights.

`network` comes before; `dot` writes the picture of boxes and arrows. Both programs would write the numbers of an edge over
other edges. So they stand in the neuron that the edge goes into: where it ends, or in Mermaid beside the name of the weight.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from micrograd.draw.dot import escaped, fading, mathematics, quoted
from micrograd.draw.lettering import number, plain
from micrograd.draw.network import Network
from micrograd.draw.network_picture import Reader
from micrograd.draw.snapshot import Graph
from micrograd.draw.style import Style, faded

Lit = Collection[tuple[int, ...]] | None


class _Edge(NamedTuple):
    """A weight, or an arrow from an output to the loss."""

    place: tuple[int, ...]
    source: str
    target: str
    label: str
    text: str
    weight: float


def network_digraph(
    graph: Graph, network: Network, style: Style, call: int | None, format: str = "svg", lit: Lit = None
) -> Any:
    """The network as a `graphviz.Digraph`; with `lit`, other places are faded."""
    import graphviz

    palette = style.palette
    out = graphviz.Digraph(
        format=format,
        graph_attr={"rankdir": "LR", "bgcolor": palette.paper or "transparent", "ranksep": "1.1", "nodesep": "0.15",
                    "splines": "line"},
        node_attr={"shape": "plain", "fontname": "Helvetica", "fontsize": "10"},
        edge_attr={"arrowhead": "none"},
    )  # fmt: skip
    faint = faded(style).palette
    nodes, edges = _nodes(graph, network, style, call), _edges(graph, network, style, call)
    for place, name, label, numbers, kind in nodes:
        drawn = palette if lit is None or place in lit else faint
        fill, stroke = drawn.kinds[kind]
        lines = "<BR/>".join([mathematics(label), *map(escaped, numbers)])
        font, mine = f'<FONT POINT-SIZE="9" COLOR="{drawn.local}">', [edge for edge in edges if edge.target == name]
        into = [f'<TD PORT="{e.source}" ALIGN="RIGHT">{font}{escaped(e.text)}</FONT></TD>' for e in mine] or [""]
        into[0] += (
            f'<TD ROWSPAN="{len(into)}" BORDER="1" STYLE="ROUNDED" COLOR="{stroke}" BGCOLOR="{fill}" CELLPADDING="5">'
            f'<FONT COLOR="{drawn.ink}">{lines}</FONT></TD>'
        )
        rows = "".join([f"<TR>{row}</TR>" for row in into])
        out.node(name, label=f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">{rows}</TABLE>>')
    for place, source, target, _, _, w in edges:
        drawn = palette if lit is None or place in lit else faint
        out.edge(f"{source}:e", f"{target}:{source}:w", color=drawn.positive if w >= 0 else drawn.negative,
                 style="solid" if w >= 0 else "dashed", penwidth=f"{0.5 + 2.5 * min(abs(w), 1.0):.2f}")  # fmt: skip
    for i in range(len(network.layers) + 1):  # edges that are not seen keep a column in order
        with out.subgraph(graph_attr={"rank": "same"}, edge_attr={"style": "invis"}) as column:
            names = [name for place, name, *_ in nodes if place[0] == i]
            for one, two in pairwise(names):
                column.edge(one, two)
    return out


def network_mermaid(graph: Graph, network: Network, style: Style, call: int | None, lit: Lit = None) -> str:
    """The network as a Mermaid flowchart; with `lit`, other places are faded."""
    out = ["flowchart LR"]
    nodes, edges = _nodes(graph, network, style, call), _edges(graph, network, style, call)
    for _, name, label, numbers, kind in nodes:
        weights = [quoted(f"{plain(edge.label)} {edge.text}".strip()) for edge in edges if edge.target == name]
        pairs = [" · ".join(map(quoted, numbers[k : k + 2])) for k in range(0, len(numbers), 2)]
        out.append(f'    {name}("{"<br/>".join([quoted(plain(label)), *pairs, *weights])}"):::{kind}')
    for _, source, target, _, _, w in edges:
        out.append(f"    {source} {'---' if w >= 0 else '-.-'} {target}")
    for colour, is_positive in ((style.palette.positive, True), (style.palette.negative, False)):
        if which := [str(k) for k, edge in enumerate(edges) if (edge.weight >= 0) is is_positive]:
            out.append(f"    linkStyle {','.join(which)} stroke:{colour}")
    for kind in ("input", "operation"):
        fill, stroke = style.palette.kinds[kind]
        out.append(f"    classDef {kind} fill:{fill},stroke:{stroke},color:{style.palette.ink}")
    if lit is not None:
        faint = [k for k, edge in enumerate(edges) if edge.place not in lit]
        out += fading([name for place, name, *_ in nodes if place not in lit], faint)
    return "\n".join([*out, ""])


def _nodes(
    graph: Graph, network: Network, style: Style, call: int | None
) -> Sequence[tuple[tuple[int, ...], str, str, list[str], str]]:
    """The nodes, each as (place, name, label, numbers, kind)."""
    read = Reader(graph, network, call)
    out: list[tuple[tuple[int, ...], str, str, list[str], str]] = []
    for j, values in enumerate(network.inputs):
        out.append(((0, j), f"n0_{j}", graph.labels[values[0]], [number(read.mean(values, "data"), style.digits)], "input"))
    for i, layer in enumerate(network.layers, start=1):
        for k, neuron in enumerate(layer):
            numbers = [("z", read.mean(neuron.z, "data")), ("a", read.mean(neuron.a, "data")), ("g′", read.slope(neuron)),
                       ("δ", read.mean(neuron.z, "grad"))]  # fmt: skip
            texts = [f"{letter} {number(x, style.digits)}" for letter, x in numbers if x is not None]
            out.append(((i, k), f"n{i}_{k}", graph.labels[neuron.a[0]], texts, "operation"))
    if read.has_loss:
        loss = [number(graph.data[graph.root], style.digits)]
        out.append(((len(network.layers) + 1, 0), "loss", graph.labels[graph.root] or "L", loss, "operation"))
    return out


def _edges(graph: Graph, network: Network, style: Style, call: int | None) -> list[_Edge]:
    read = Reader(graph, network, call)
    out: list[_Edge] = []
    for i, layer in enumerate(network.layers, start=1):
        inputs = read.outputs(i - 1)
        for k, neuron in enumerate(layer):
            for j, w in enumerate(neuron.weights):
                gradient = read.gradient(w, neuron, inputs[j])
                text = number(graph.data[w], style.digits)
                if gradient is not None:
                    text += f" ∂ {number(gradient, style.digits)}"
                out.append(_Edge((i, j, k), f"n{i - 1}_{j}", f"n{i}_{k}", graph.labels[w], text, graph.data[w]))
    if read.has_loss:
        last = len(network.layers)
        for k, neuron in enumerate(network.layers[-1]):
            text = f"∂ {number(read.mean(neuron.a, 'grad'), style.digits)}"
            out.append(_Edge((last + 1, k, 0), f"n{last}_{k}", "loss", "", text, 1.0))
    return out
