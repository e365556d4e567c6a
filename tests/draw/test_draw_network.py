"""The textbook's picture of a network: when it is drawn, what stands in it, what is lit, that nothing overlaps."""

import builtins
import itertools
import math
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest
from zoo import ZOO, attention, lecture_loss, mlp, residual, single, vector_rnn

from micrograd import MLP, Layer, adjoints, mse, sum
from micrograd.draw import draw_dot
from micrograd.draw.lettering import number, plain
from micrograd.draw.network import found_in
from micrograd.draw.network_picture import drawn, shown_of
from micrograd.draw.scene import Shape
from micrograd.draw.snapshot import Graph
from micrograd.draw.style import BROKEN, LIGHT, Style

NETWORKS = {
    "2-3-2": lambda: mlp(2, [3, 2]), "3-4-4-1": lambda: single(3, [4, 4, 1]), "2-16-16-1": lambda: single(2, [16, 16, 1]),
    "64-32-10": lambda: mlp(64, [32, 10]), "10 points": lambda: mlp(2, [4, 1], 10), "deep": lambda: single(2, [3] * 8 + [1]),
    "layers": lambda: Layer(3, 1, layer=2)(Layer(2, 3)([0.5, -1.0])), "with L2": lecture_loss,
}  # fmt: skip


def texts(svg):
    return ["".join(e.itertext()) for e in ET.fromstring(svg.encode()).iter("{http://www.w3.org/2000/svg}text")]


def titles(svg):
    return re.findall("<title>([^<]*)</title>", svg)


def test_it_is_drawn_where_the_scalar_graph_would_not_be_legible():
    for name in ("3-4-4-1", "2-16-16-1", "64-32-10", "10 points"):
        root = NETWORKS[name]()
        assert root.draw().shows == "network" and draw_dot(root).shows == "graph"
        assert root.draw(view="graph").shows == root.draw(limit=20).shows == root.draw(rankdir="TB").shows == "graph"
    assert ZOO["readme"]().draw().shows == ZOO["lecture's neuron"]().draw().shows == "graph"
    with pytest.raises(ValueError, match="not one network of layers"):
        ZOO["readme"]().draw(view="network")
    with pytest.raises(ValueError, match="from 1 to 10, got 11"):
        NETWORKS["10 points"]().draw(call=11)


@pytest.mark.parametrize("name", ["2-3-2", "3-4-4-1", "10 points", "layers", "with L2"])
@pytest.mark.parametrize("width", [850, 1000])
def test_a_small_network_has_all_its_numbers_in_a_notebook(name, width):
    said = " ".join(texts(NETWORKS[name]().draw(view="network", width=width).svg))
    assert "at its end W" in " ".join(said.split())


def test_sums_of_products_of_leaves_are_no_network_unless_one_asks():
    """The scores of an attention are weighted sums too, q · k: nothing there is a layer."""
    assert attention().draw().shows == attention(8, 4).draw().shows == "graph"
    assert attention().draw(view="network").shows == attention().draw(call=2).shows == "network"
    assert ZOO["logistic 10"]().draw().shows == "network"  # fed with plain numbers


@pytest.mark.parametrize(
    "make", [residual, lambda: vector_rnn(5), lambda: ZOO["RNN of a layer"](), lambda: ZOO["batch norm"]()]
)
def test_what_is_no_stack_of_layers_is_none(make):
    assert found_in(Graph(make())) is None


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_found_is_the_network(name):
    root = NETWORKS[name]()
    graph = Graph(root)
    network = found_in(graph)
    for layer, (inputs, neurons) in enumerate(zip([network.inputs, *[[n.a for n in layer] for layer in network.layers]],
                                                  network.layers, strict=False), start=1):  # fmt: skip
        for neuron in neurons:
            for call, z in enumerate(neuron.z):
                value = graph.values[z]
                assert [graph.index[p] for p in value.parents[: len(inputs)]] == list(neuron.weights)
                assert graph.parents[z][len(inputs) : -1] == tuple(values[call] for values in inputs), layer
    assert network.calls == {"10 points": 10, "with L2": 4}.get(name, 1) and network.shared == (name == "with L2")


def test_every_factor_can_be_read_off_a_small_network():
    model = MLP(2, [3, 2], activation="tanh", seed=1)
    loss = mse(model([0.5, -1.0]), [1.0, 0.0])
    svg, grad = loss.draw(view="network", digits=3).svg, adjoints(loss)
    shown, seen = texts(svg), " ".join(titles(svg))
    zs = [v for v in grad if v.op == "dot"]
    for z in zs:
        assert f"z {z.data:.3g}".replace("-", "−") in shown and f"δ {grad[z]:.3g}".replace("-", "−") in shown
        assert repr(z.data) in seen and repr(grad[z]) in seen
    for w in model.parameters():
        number = f"{w.data:.3g}" if w.data == 0.0 or abs(w.data) >= 0.01 else f"{w.data:.1e}".replace("e-0", "e-")
        row = f"{'b ' if w.label.startswith('b') else ''}{number}|∂ {grad[w]:.3g}".replace("-", "−")
        assert row in "|".join(shown)
        assert f"= {w.data!r}, " in seen and repr(grad[w]) in seen
    for a in (v for v in grad if v.op == "tanh"):
        assert f"a {a.data:.3g}".replace("-", "−") in shown and f"g′ {a.partials[0]:.3g}" in shown


@pytest.mark.parametrize("act", ["silu", "gelu", lambda z: z * z.tanh()])
def test_an_output_activation_of_several_steps_belongs_to_the_neuron(act):
    """Its last step is a, not a part of the loss: the picture says g(z), and shows a and g′ of the whole activation."""
    model = MLP(2, [2, 1], activation="tanh", output=act, seed=1)
    loss = (model([0.5, -1.0]) - 1.0) ** 2
    graph = Graph(loss)
    (neuron,) = found_in(graph).layers[-1]
    a, z = graph.values[neuron.a[0]], graph.values[neuron.z[0]]
    assert a.label.startswith("a") and z.label.startswith("z")
    shown = texts(loss.draw(view="network", digits=3).svg)
    assert "1 × g(z)" in shown and "1 × linear" not in shown
    assert f"a {a.data:.3g}".replace("-", "−") in shown and f"g′ {adjoints(a, z)[z]:.3g}".replace("-", "−") in shown


def test_a_penalty_of_biases_alone_is_told_too():
    model = MLP(2, [2, 1], seed=1)
    y = model([0.5, -1.0])
    for penalty, is_told in ((0.0, False), (sum([layer.neurons[0].b ** 2 for layer in model.layers]), True)):
        said = " ".join(" ".join(texts((y * y + penalty).draw(view="network").svg)).split())
        assert ("weights count outside of the network too" in said) == is_told


def test_a_call_that_is_none_of_the_network_says_which_there_are():
    small = MLP(1, [1], seed=1)([2.0])
    for call in (0, 2, "1", 1.5):
        with pytest.raises(ValueError, match=f"from 1 to 1, got {call!r}"):
            small.draw(call=call)


def test_through_a_weight_lights_exactly_the_factors_of_its_derivative():
    model = MLP(2, [3, 2], activation="tanh", seed=1)
    loss = mse(model([0.5, -1.0]), [1.0, 0.0])
    graph = Graph(loss)
    network = found_in(graph)
    weight = model.layers[0].neurons[1].w[0]  # W_12^[1] = (Σ_l δ_l W_2l) g'(z_2) a_1
    lit = network.lit([graph.index[weight]])
    assert lit == {(0, 0), (1, 0, 1), (1, 1), (2, 1, 0), (2, 1, 1), (2, 0), (2, 1)}
    svg = loss.draw(view="network", through=weight).svg
    faint, bright = svg.split('<g opacity="0.3">')[1].split("\n</g>\n<", 1)
    assert bright.count("stroke-dasharray") + len(re.findall(r"<path[^>]*>", bright)) >= 3
    grad, z = adjoints(loss), weight
    for value in (weight, model.layers[1].neurons[0].w[1], model.layers[1].neurons[1].w[1]):
        assert repr(value.data) in bright and repr(value.data) not in faint, z
    for value in (model.layers[0].neurons[0].w[0], model.layers[1].neurons[0].w[0], model.layers[1].neurons[0].b):
        assert f"{value.label} = {value.data!r}" not in bright
    assert repr(grad[weight]) in bright
    last = network.lit([graph.index[model.layers[1].neurons[0].w[2]]])
    assert last == {(1, 2), (2, 2, 0), (2, 0), (3, 0, 0), (3, 0)}


def test_one_call_of_many_and_their_means():
    model = MLP(2, [2, 1], activation="tanh", seed=1)
    loss = sum([(model([0.1 * k, -0.2]) - 1.0) ** 2 for k in range(4)])
    grad = adjoints(loss)
    zs = [v for v in grad if v.op == "dot" and v.label.startswith("z_1^[1]")]
    mean = sum([z.data for z in zs]) / 4
    assert repr(mean) in loss.draw().svg and "means over 4 calls" in " ".join(texts(loss.draw().svg))
    w = model.layers[0].neurons[0].w[0]
    assert repr(grad[w]) in loss.draw().svg  # the whole gradient, the sum over calls
    second = loss.draw(call=2).svg
    assert [repr(z.data) in second for z in zs] == [False, True, False, False] and "call 2 of 4" in " ".join(texts(second))


def apart(one, two):
    (x, y, w, h), (u, v, p, q) = one, two
    return x + w <= u + 1e-6 or u + p <= x + 1e-6 or y + h <= v + 1e-6 or v + q <= y + 1e-6


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_overlaps_and_all_fits(name):
    graph = Graph(NETWORKS[name]())
    made = drawn(graph, found_in(graph), "t", Style(), 850)
    assert made.scene.wide <= 850 or name == "deep"
    circles = [(s.x - s.radius, s.y - s.radius, 2 * s.radius, 2 * s.radius) for s in made.spots]
    assert all(apart(one, two) for one, two in itertools.combinations([*circles, *made.rows], 2))
    assert all(
        x >= 0 and y >= 0 and x + w <= made.scene.wide and y + h <= made.scene.high for x, y, w, h in [*circles, *made.rows]
    )


@pytest.mark.parametrize("name", ["2-3-2", "3-4-4-1", "10 points", "with L2"])
def test_no_line_crosses_a_neuron_a_name_or_a_number(name):
    graph = Graph(NETWORKS[name]())
    made = drawn(graph, found_in(graph), "t", Style(), 850)
    assert made.full
    names = [(s.x - 10, s.y - s.radius - 20, 26, 17) for s in made.spots]
    assert min(y for _, y, _, _ in names) > 14 + 23 + 5  # the last line of the headings
    lines = [item for part in made.scene.parts for item in part.items if isinstance(item, Shape) and len(item.steps) == 1]
    assert len(lines) >= builtins.sum(len(n.weights) for layer in found_in(graph).layers for n in layer)
    for line in lines:
        (a, b), (c, d) = line.start, line.steps[0]
        for k in range(101):
            x, y = a + (c - a) * k / 100, b + (d - b) * k / 100
            assert all(math.hypot(x - s.x, y - s.y) > s.radius - 0.1 for s in made.spots)
            assert not any(u < x < u + w and v < y < v + h for u, v, w, h in [*names, *made.rows])


@pytest.mark.parametrize("hidden", [3, 16])
def test_the_first_nan_or_infinity_is_marked_where_it_arose(hidden):
    def marks(loss):
        svg = loss.draw(view="network").svg
        assert ("where nan or ∞ first arose" in " ".join(texts(svg))) == (">!</text>" in svg)
        found = [g for g in re.findall(r"<g><title>([^<]*)</title>(.*?)</g>", svg, re.S) if ">!</text>" in g[1]]
        return [title for title, _ in found]

    model = MLP(2, [hidden, 1], activation="tanh", seed=1)
    assert marks((model([0.5, -1.0]) - 1.0) ** 2) == []
    (mark,) = marks((model([math.nan, -1.0]) - 1.0) ** 2)
    assert mark.startswith("a₁⁽⁰⁾") and "nan" in mark
    (mark,) = marks((model([0.5, -1.0]) * 1e200 * 1e200) ** 2)
    assert "inf" in mark and not mark.startswith(("a", "z", "W"))
    model.layers[0].neurons[1].w[0].data = math.inf
    broken = (model([0.0, -1.0]) - 1.0) ** 2
    (mark,) = marks(broken)
    assert mark.startswith("W₁₂⁽¹⁾ = inf")
    graph = Graph(broken)
    items = [i for part in drawn(graph, found_in(graph), "t", Style(), 850).scene.parts for i in part.items]
    lines = [i for i in items if isinstance(i, Shape) and len(i.steps) == 1 and i.start[0] < 60]
    assert [i.stroke for i in lines if i.dash == BROKEN] == [LIGHT.broken]
    assert builtins.sum(i.width > 1.0 for i in lines) > 3  # an infinite weight makes no others thin


def test_an_activation_of_several_steps_is_called_g():
    assert "3 × g(z)" in texts(ZOO["own activation"]().draw().svg)
    assert "3 × tanh" in texts(NETWORKS["2-3-2"]().draw(view="network").svg)


def test_wide_layers_are_cut_in_the_middle_and_say_so():
    assert shown_of(5, 8) == [0, 1, 2, 3, 4] and shown_of(20, 6) == [0, 1, -1, 18, 19]
    assert shown_of(20, 6, [10]) == [0, 1, -1, 10, -1, 18, 19]
    shown = texts(NETWORKS["64-32-10"]().draw().svg)
    assert "50 more" in shown and "18 more" in shown and "64" in shown


@pytest.mark.parametrize("name", ["2-3-2", "10 points", "2-16-16-1"])
def test_dot_and_mermaid(name):
    drawing = NETWORKS[name]().draw(view="network")
    lines = builtins.sum(len(n.weights) for layer in found_in(drawing.graph).layers for n in layer)
    ends = re.findall(r"(n\d+_\d+):e -> (\w+):(n\d+_\d+):w \[(.*)\]", drawing.source)
    assert len(ends) >= lines and not any("label" in looks for *_, looks in ends)  # dot writes texts of edges over other edges
    nodes = dict(re.findall(r"^\t(\w+) \[label=<(.*)>\]$", drawing.source, re.M))
    assert all(source == port and nodes[target].count(f'PORT="{port}"') == 1 for source, target, port, _ in ends)
    mermaid = drawing.to_mermaid()
    assert mermaid.startswith("flowchart LR") and len(re.findall(r" (?:---|-\.-) ", mermaid)) == len(ends)
    boxes = dict(re.findall(r'^    (\w+)\("(.*)"\)', mermaid, re.M))
    weights = [w for layer in found_in(drawing.graph).layers for n in layer for w in n.weights]
    assert {plain(drawing.graph.labels[w]) for w in weights} <= set(re.findall(r">(W\S+) ", "".join(boxes.values())))
    for w in weights:
        text = number(drawing.graph.data[w], 4)
        assert any(f">{text}" in node for node in nodes.values()) and any(f" {text}" in box for box in boxes.values())
    if shutil.which("dot"):
        ran = subprocess.run(["dot", "-Tplain"], input=drawing.source.encode(), capture_output=True, check=True)
        assert ran.stderr == b""
