"""What a drawing shows: the snapshot of the graph, and how it folds."""

import math

import pytest
from graphs_to_draw import chain, example, network, neuron, recurrent, square, tangled

from micrograd import MLP, Value, adjoints, constant, mse, no_grad, topological_order
from micrograd.draw import Drawing, draw_dot
from micrograd.draw.folding import Group, tree
from micrograd.draw.snapshot import Graph
from micrograd.nn import Layer


def boxes(drawing):
    return drawing.picture.boxes


def acyclic(picture):
    """Whether every edge leads to a later box."""
    return all(edge.source < edge.target for edge in picture.edges)


def test_a_first_power_is_told_from_its_base():
    x = Value(0.7, label="x")
    assert {box.tag for box in boxes((x**1 * x**3).draw())} >= {"x¹", "x³"}
    slope = adjoints(x.sin() * x**2, x, create_graph=True)[x]
    assert {box.tag for box in boxes(slope.draw())} == {"leaf", "2 · x", "x²", "sin", "cos", "Σxy"}


@pytest.mark.parametrize("make", [example, square, neuron, network, recurrent, lambda: tangled(60, 1), lambda: chain(20)])
def test_the_snapshot_is_the_engines_graph(make):
    root = make()
    graph, expected = Graph(root), adjoints(root)
    assert [v for v in graph.values if v is not None and not v.is_constant] == topological_order(root)
    assert graph.values[graph.root] is root
    for i, value in enumerate(graph.values):
        if value is not None:
            assert graph.grad[i] == expected.get(value)
            assert graph.partials[i] == value.partials
            assert tuple(graph.data[p] for p in graph.parents[i]) == tuple(p.data for p in value.parents)
    for i in range(len(graph)):
        if graph.grad[i] is not None and i != graph.root:
            arrived = 0.0
            for consumer in reversed(range(len(graph))):
                for port, parent in enumerate(graph.parents[consumer]):
                    if parent == i:
                        arrived += graph.contribution(consumer, port)
            assert arrived == graph.grad[i]


def test_gradients_are_those_of_the_drawn_output_and_drawing_changes_nothing():
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    middle = a * b + 1.0
    out = middle.tanh() * a
    (out * 7).backward()
    before = [(v.data, v.grad, v.label, v._x, v._y) for v in topological_order(out)]
    drawing = out.draw()
    drawing.svg, drawing.source, drawing.explore().html, drawing.to_mermaid()
    after = [(v.data, v.grad, v.label, v._x, v._y) for v in topological_order(out)]
    assert all(x is y for one, two in zip(before, after, strict=True) for x, y in zip(one, two, strict=True))
    shown = {box.label: box.grad for box in boxes(drawing)}
    assert shown["a"] == (adjoints(out)[a],) and shown["a"] != (a.grad,)


def test_a_times_a_has_two_edges():
    picture = square().draw().picture
    assert [(e.source, e.target, e.port, e.local) for e in picture.edges] == [(0, 1, 0, 3.0), (0, 1, 1, 3.0)]


def test_kinds():
    model = MLP(2, [2, 1], seed=1)
    scale = Value(2.0, label="scale")
    out = model([0.5, Value(1.0, label="x")]) * scale + 1 + constant(3.0, "three")
    kinds = {box.label: box.kind for box in boxes(out.draw(limit=90))}
    assert kinds["a_1^[0]"] == "input" and kinds["x"] == "leaf" and kinds["scale"] == "leaf"
    assert kinds["W_11^[1]"] == kinds["b_1^[2]"] == "parameter"
    assert kinds["three"] == "constant"
    assert [box.grad for box in boxes(out.draw(limit=90)) if box.kind in ("constant", "input")] == [()] * 2


def test_what_cannot_be_drawn_says_so():
    for wrong in (3.0, None, [Value(1.0)]):
        with pytest.raises(TypeError, match="only a Value can be drawn, got"):
            draw_dot(wrong)
    with pytest.raises(TypeError, match=r"got MLP MLP of .*: call it, and draw the result"):
        draw_dot(MLP(2, [1]))


def test_single_values_draw():
    with no_grad():
        result = Value(2.0) * 3
    for value in (Value(1.0), Value(float("nan"), label="x"), constant(2.0), result):
        (box,) = boxes(value.draw())
        assert box.kind in ("leaf", "constant") and value.draw().svg


# -- folding


def test_a_network_over_many_samples_folds_to_neurons_without_cycles():
    drawing = network(samples=20, hidden=(16, 16), activation="relu").draw(limit=90)
    assert len(drawing.graph) == 1760
    assert 30 < len(boxes(drawing)) <= 90 and acyclic(drawing.picture)
    assert sum(len(box.members) for box in boxes(drawing)) == 1760
    assert sum(box.kind == "fold" and box.label.startswith("neuron") for box in boxes(drawing)) == 32
    (note,) = drawing.picture.caption
    assert "1\u202f757 of 1\u202f760 values" in note and '.draw(unfold="all")' in note and ".explore()" in note


def test_wider_networks_fold_to_layers_and_unfold_by_name():
    root = network(samples=3, hidden=(64, 64))
    folded = root.draw(limit=90)
    assert [box.label for box in boxes(folded) if box.label.startswith("layer")] == ["layer 1", "layer 2", "layer 3, neuron 1"]
    opened = root.draw(unfold="layer 2")
    assert sum(box.tag.startswith("layer 2") for box in boxes(opened)) == 64 and acyclic(opened.picture)
    deeper = root.draw(unfold=["layer 2/neuron 7"])
    assert {box.label for box in boxes(deeper)} >= {"layer 1", "neuron 8", "W_17^[2]", "call 2"}
    with pytest.raises(
        ValueError, match="no group is called 'layer 9'; this picture can unfold: layer 3, neuron 1, layer 2, layer 1"
    ):
        root.draw(unfold="layer 9")
    everything = root.draw(unfold="all")
    assert len(boxes(everything)) == len(folded.graph) - len(folded.graph.literals) and not everything.picture.caption


def test_a_fold_shows_the_range_of_what_leaves_it():
    root = network(samples=20, hidden=(16, 16))
    graph = root.draw(limit=90).graph
    box = next(b for b in boxes(root.draw(limit=90)) if b.label == "neuron 3" and b.tag.startswith("layer 2"))
    out = [i for i in box.members if str(graph.labels[i]) == "a_3^[2]"]
    assert len(out) == 20
    assert box.data == (min(graph.data[i] for i in out), max(graph.data[i] for i in out))
    assert box.grad == (min(graph.grad[i] for i in out), max(graph.grad[i] for i in out))


def test_edges_of_folds_add_up_what_flows():
    root = network(samples=20, hidden=(16, 16))
    drawing = root.draw(limit=90)
    graph, (square_, total) = (
        drawing.graph,
        [k for k, b in enumerate(boxes(drawing)) if b.label.startswith("20× (x²") or b.tag == "Σ"],
    )
    edge = next(e for e in drawing.picture.edges if (e.source, e.target) == (square_, total))
    sum_ = boxes(drawing)[total].members[0]
    assert edge.many == 20 and edge.flow == pytest.approx(sum(abs(graph.contribution(sum_, k)) for k in range(20)), rel=1e-15)


def arrows_add_up(picture):
    """What stands at the arrows of each box that shows one gradient: added up, it is that gradient. How many were checked."""
    checked = 0
    for k, box in enumerate(picture.boxes):
        edges = [edge for edge in picture.edges if edge.source == k]
        if len(box.grad) == 1 and edges and math.isfinite(box.grad[0]):
            arrived = [e.part if e.local is None else e.local * picture.boxes[e.target].grad[0] for e in edges]
            if None in arrived:  # several values of a fold are used elsewhere, and all have this one gradient
                assert box.kind == "fold"
                continue
            assert sum(arrived) == pytest.approx(box.grad[0], rel=1e-9, abs=1e-12 * sum(map(abs, arrived)))
            checked += 1
    return checked


@pytest.mark.parametrize("limit", [3, 6, 12, 25, 60])
def test_what_stands_at_the_arrows_multiplies_to_the_gradients_shown(limit):
    """Over random folded graphs; also where folds have one gradient, or a range of them."""
    made = [tangled(size, seed) for size in (15, 40, 120) for seed in range(12)]
    made += [recurrent(6), network(4, (3, 2)), network(1, (4, 4)), chain(60)]
    assert sum(arrows_add_up(root.draw(limit=limit).picture) for root in made) > 12 * limit**0.5


def test_an_arrow_into_a_folded_neuron_carries_its_slope_too():
    model = MLP(3, [4, 4, 1], activation="tanh", seed=1)
    out = model([0.5, -1.0, 2.0])
    picture = out.draw(limit=24).picture
    graph, checked = out.draw().graph, 0
    for edge in picture.edges:
        source, target = picture.boxes[edge.source], picture.boxes[edge.target]
        z = [i for i in target.members if graph.ops[i] == "dot"]
        a = next((i for i in source.members if graph.ops[i] == "tanh"), -1)
        if edge.local is not None and source.label.startswith("neuron") and target.label.startswith("neuron"):
            w, slope = graph.partials[z[0]][graph.parents[z[0]].index(a)], graph.partials[target.members[-1]][0]
            assert edge.local == pytest.approx(w * slope, rel=1e-12)
            checked += 1
    assert checked == 16 and arrows_add_up(picture)


@pytest.mark.parametrize("limit", [10, 30, 90])
@pytest.mark.parametrize(
    "make",
    [
        recurrent,
        lambda: recurrent(60),
        lambda: tangled(400, 7),
        lambda: chain(300),
        lambda: network(5, (4, 4)),
        lambda: network(40, (2,), activation=lambda z: z * z.sigmoid() + 0.1 * z),
    ],
)
def test_whatever_folds_stays_acyclic_and_small(make, limit):
    drawing = make().draw(limit=limit)
    assert acyclic(drawing.picture)
    assert len(boxes(drawing)) <= limit + 4
    assert sorted(i for box in boxes(drawing) for i in box.members) == list(range(len(drawing.graph)))


def cuts(tree, rng):
    """The parts that are visible where each group is open or not by chance."""
    stack, parts = list(tree.parts), []
    while stack:
        part = stack.pop()
        if isinstance(part, Group) and rng.random() < 0.6:
            stack.extend(part.parts)
        else:
            parts.append(part)
    return parts


@pytest.mark.parametrize(
    "make", [lambda: recurrent(12), lambda: tangled(300, 3), lambda: network(6, (5, 4)), lambda: chain(200)]
)
def test_every_set_of_open_groups_gives_a_picture_without_cycles(make):
    import random

    graph, rng = Graph(make()), random.Random(5)
    top = tree(graph, 40)
    for _ in range(20):
        box_of = {
            i: k for k, part in enumerate(cuts(top, rng)) for i in (part.members() if isinstance(part, Group) else [part])
        }
        feeds = {k: set() for k in box_of.values()}
        for i, parents in enumerate(graph.parents):
            for p in parents:  # a number inside an operation has no box
                if p in box_of and box_of[p] != box_of[i]:
                    feeds[box_of[p]].add(box_of[i])
        waiting = {k: sum(k in targets for targets in feeds.values()) for k in feeds}
        free = [k for k, count in waiting.items() if not count]
        for k in free:
            for t in feeds[k]:
                waiting[t] -= 1
                if not waiting[t]:
                    free.append(t)
        assert len(free) == len(feeds)


def test_the_steps_of_an_activation_of_ones_own_fold_into_the_neuron():
    drawing = network(30, (4,), activation=lambda z: z * z.sigmoid() + 0.1 * z).draw(limit=90)
    graph = drawing.graph
    inside = [i for i, op in enumerate(graph.ops) if op == "sigmoid"]
    inside += [i for i, data in enumerate(graph.data) if data == 0.1 and graph.kinds[i] == "constant"]
    assert len(inside) == 240
    holders = {box.label for box in boxes(drawing) if set(inside) & set(box.members)}
    assert holders == {"neuron 1", "neuron 2", "neuron 3", "neuron 4"}


def test_two_networks_fold_apart():
    first, second = MLP(2, [5, 2], activation="tanh", seed=1), MLP(2, [5, 1], activation="tanh", seed=2)
    loss = mse([second(first([0.1 * k, 0.2])) for k in range(10)], [0.0] * 10)
    networks = [(box.label, box.tag) for box in boxes(loss.draw(limit=7)) if box.label.startswith("network")]
    assert networks == [("network 1", "10 calls"), ("network 2", "10 calls")]
    model = MLP(2, [3, 3, 1], seed=1)
    twice = (model([1.0, 2.0]) + model([2.0, 1.0])).draw(limit=8).picture.boxes
    assert [box.tag for box in twice if box.label.startswith("layer")] == ["2 calls"] * 3
    layers = [(box.label, box.tag) for box in boxes(loss.draw(limit=10)) if box.label.startswith("layer")]
    assert layers == [
        ("layer 1", "network 1, 10 calls"),
        ("layer 2", "network 1, 10 calls"),
        ("layer 1", "network 2, 10 calls"),
        ("layer 2, neuron 1", "network 2, 10 calls"),
    ]
    assert acyclic(loss.draw(limit=7).picture) and acyclic(loss.draw(limit=10).picture)


def test_layers_called_by_hand_fold():
    one, two = Layer(2, 40, layer=1), Layer(40, 1, layer=2)
    drawing = two(one([1.0, 2.0])).draw(limit=90)
    assert {box.label for box in boxes(drawing)} >= {"neuron 1", "neuron 40"}


def test_a_long_chain_loses_its_middle():
    drawing = chain(50_000).draw(limit=90)
    (gap,) = [box for box in boxes(drawing) if box.kind == "fold"]
    assert len(boxes(drawing)) == 41 and gap.label == "… 99\u202f962 more …" and acyclic(drawing.picture)
    assert boxes(drawing)[-1].members == (drawing.graph.root,)
    assert isinstance(drawing, Drawing) and len(drawing.svg) < 60_000


@pytest.mark.slow
def test_two_hundred_thousand_steps_deep():
    drawing = chain(200_000).draw(limit=90)
    assert len(boxes(drawing)) == 41 and drawing.svg and drawing.source and "holds at most" in drawing.explore().html
