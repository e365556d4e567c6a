"""The textbook's picture of a network as DOT source and as a Mermaid flowchart: nodes are neurons, edges weights.

`network` comes before; `dot` writes the picture of boxes and arrows.
"""

from __future__ import annotations

from typing import Any

from micrograd.draw.dot import escaped, mathematics, quoted
from micrograd.draw.graph import Graph
from micrograd.draw.lettering import number, plain
from micrograd.draw.network import Network
from micrograd.draw.network_picture import Reader
from micrograd.draw.style import Style


def network_digraph(graph: Graph, network: Network, style: Style, call: int | None, format: str = "svg") -> Any:
    """The network as a `graphviz.Digraph`."""
    import graphviz

    palette = style.palette
    out = graphviz.Digraph(
        format=format,
        graph_attr={"rankdir": "LR", "bgcolor": palette.paper or "transparent", "ranksep": "1.6", "splines": "line"},
        node_attr={"shape": "circle", "fontname": "Helvetica", "fontsize": "10", "margin": "0.02", "style": "filled",
                   "fontcolor": palette.ink},
        edge_attr={"fontname": "Helvetica", "fontsize": "9", "arrowhead": "none", "fontcolor": palette.local},
    )  # fmt: skip
    for name, label, numbers, kind in _nodes(graph, network, style, call):
        fill, stroke = palette.kinds[kind]
        lines = "<BR/>".join([mathematics(label), *map(escaped, numbers)])
        out.node(name, label=f"<{lines}>", fillcolor=fill, color=stroke, shape="box" if name == "loss" else "circle")
    for source, target, text, w in _edges(graph, network, style, call):
        colour = palette.positive if w >= 0 else palette.negative
        out.edge(source, target, label=text, color=colour, style="solid" if w >= 0 else "dashed",
                 penwidth=f"{0.5 + 2.5 * min(abs(w), 1.0):.2f}")  # fmt: skip
    return out


def network_mermaid(graph: Graph, network: Network, style: Style, call: int | None) -> str:
    """The network as a Mermaid flowchart."""
    out = ["flowchart LR"]
    for name, label, numbers, kind in _nodes(graph, network, style, call):
        text = "<br/>".join([quoted(plain(label)), *map(quoted, numbers)])
        out.append(f'    {name}["{text}"]:::{kind}' if name == "loss" else f'    {name}(("{text}")):::{kind}')
    for source, target, text, w in _edges(graph, network, style, call):
        out.append(f'    {source} {"---" if w >= 0 else "-.-"}|"{quoted(text)}"| {target}')
    for kind in ("input", "operation"):
        fill, stroke = style.palette.kinds[kind]
        out.append(f"    classDef {kind} fill:{fill},stroke:{stroke},color:{style.palette.ink}")
    return "\n".join([*out, ""])


def _nodes(graph: Graph, network: Network, style: Style, call: int | None) -> list[tuple[str, str, list[str], str]]:
    read, out = Reader(graph, network, call), []
    for j, values in enumerate(network.inputs):
        out.append((f"n0_{j}", graph.labels[values[0]], [number(read.mean(values, "data"), style.digits)], "input"))
    for i, layer in enumerate(network.layers, start=1):
        for k, neuron in enumerate(layer):
            numbers = [("z", read.mean(neuron.z, "data")), ("a", read.mean(neuron.a, "data")), ("g′", read.slope(neuron)),
                       ("δ", read.mean(neuron.z, "grad"))]  # fmt: skip
            texts = [f"{letter} {number(x, style.digits)}" for letter, x in numbers if x is not None]
            out.append((f"n{i}_{k}", graph.labels[neuron.a[0]], texts, "operation"))
    if read.has_loss:
        root = graph.root
        out.append(("loss", graph.labels[root] or "L", [number(graph.data[root], style.digits)], "operation"))
    return out


def _edges(graph: Graph, network: Network, style: Style, call: int | None) -> list[tuple[str, str, str, float]]:
    read, out = Reader(graph, network, call), []
    for i, layer in enumerate(network.layers, start=1):
        inputs = read.outputs(i - 1)
        for k, neuron in enumerate(layer):
            for j, w in enumerate(neuron.weights):
                gradient = read.gradient(w, neuron, inputs[j])
                text = number(graph.data[w], style.digits)
                if gradient is not None:
                    text += f" ∂ {number(gradient, style.digits)}"
                out.append((f"n{i - 1}_{j}", f"n{i}_{k}", text, graph.data[w]))
    if read.has_loss:
        last = len(network.layers)
        for k, neuron in enumerate(network.layers[-1]):
            out.append((f"n{last}_{k}", "loss", f"∂ {number(read.mean(neuron.a, 'grad'), style.digits)}", 1.0))
    return out
