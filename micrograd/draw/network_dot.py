"""The textbook's picture of a network as DOT source and as a Mermaid flowchart: nodes are neurons, edges weights.

`network` comes before; `dot` writes the picture of boxes and arrows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from micrograd.draw.dot import escaped, fading, mathematics, quoted
from micrograd.draw.graph import Graph
from micrograd.draw.lettering import number, plain
from micrograd.draw.network import Network
from micrograd.draw.network_picture import Reader
from micrograd.draw.style import Style, faded

Lit = Collection[tuple[int, ...]] | None


def network_digraph(
    graph: Graph, network: Network, style: Style, call: int | None, format: str = "svg", lit: Lit = None
) -> Any:
    """The network as a `graphviz.Digraph`; places that are not `lit` faded."""
    import graphviz

    palette = style.palette
    out = graphviz.Digraph(
        format=format,
        graph_attr={"rankdir": "LR", "bgcolor": palette.paper or "transparent", "ranksep": "1.6", "splines": "line"},
        node_attr={"shape": "circle", "fontname": "Helvetica", "fontsize": "10", "margin": "0.02", "style": "filled",
                   "fontcolor": palette.ink},
        edge_attr={"fontname": "Helvetica", "fontsize": "9", "arrowhead": "none", "fontcolor": palette.local},
    )  # fmt: skip
    faint = faded(style).palette
    for place, name, label, numbers, kind in _nodes(graph, network, style, call):
        drawn = palette if lit is None or place in lit else faint
        fill, stroke = drawn.kinds[kind]
        lines = "<BR/>".join([mathematics(label), *map(escaped, numbers)])
        out.node(name, label=f"<{lines}>", fillcolor=fill, color=stroke, fontcolor=drawn.ink,
                 shape="box" if name == "loss" else "circle")  # fmt: skip
    for place, source, target, text, w in _edges(graph, network, style, call):
        drawn = palette if lit is None or place in lit else faint
        colour = drawn.positive if w >= 0 else drawn.negative
        out.edge(source, target, label=text, color=colour, style="solid" if w >= 0 else "dashed", fontcolor=drawn.local,
                 penwidth=f"{0.5 + 2.5 * min(abs(w), 1.0):.2f}")  # fmt: skip
    return out


def network_mermaid(graph: Graph, network: Network, style: Style, call: int | None, lit: Lit = None) -> str:
    """The network as a Mermaid flowchart; places that are not `lit` faded."""
    out = ["flowchart LR"]
    nodes, edges = _nodes(graph, network, style, call), _edges(graph, network, style, call)
    for _, name, label, numbers, kind in nodes:
        text = "<br/>".join([quoted(plain(label)), *map(quoted, numbers)])
        out.append(f'    {name}["{text}"]:::{kind}' if name == "loss" else f'    {name}(("{text}")):::{kind}')
    for _, source, target, text, w in edges:
        out.append(f'    {source} {"---" if w >= 0 else "-.-"}|"{quoted(text)}"| {target}')
    for kind in ("input", "operation"):
        fill, stroke = style.palette.kinds[kind]
        out.append(f"    classDef {kind} fill:{fill},stroke:{stroke},color:{style.palette.ink}")
    if lit is not None:
        faint = [k for k, (place, *_) in enumerate(edges) if place not in lit]
        out += fading([name for place, name, *_ in nodes if place not in lit], faint)
    return "\n".join([*out, ""])


def _nodes(
    graph: Graph, network: Network, style: Style, call: int | None
) -> Sequence[tuple[tuple[int, ...], str, str, list[str], str]]:
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


def _edges(
    graph: Graph, network: Network, style: Style, call: int | None
) -> Sequence[tuple[tuple[int, ...], str, str, str, float]]:
    read = Reader(graph, network, call)
    out: list[tuple[tuple[int, ...], str, str, str, float]] = []
    for i, layer in enumerate(network.layers, start=1):
        inputs = read.outputs(i - 1)
        for k, neuron in enumerate(layer):
            for j, w in enumerate(neuron.weights):
                gradient = read.gradient(w, neuron, inputs[j])
                text = number(graph.data[w], style.digits)
                if gradient is not None:
                    text += f" ∂ {number(gradient, style.digits)}"
                out.append(((i, j, k), f"n{i - 1}_{j}", f"n{i}_{k}", text, graph.data[w]))
    if read.has_loss:
        last = len(network.layers)
        for k, neuron in enumerate(network.layers[-1]):
            text = f"∂ {number(read.mean(neuron.a, 'grad'), style.digits)}"
            out.append(((last + 1, k, 0), f"n{last}_{k}", "loss", text, 1.0))
    return out
