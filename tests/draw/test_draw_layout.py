"""Where things are in a picture: checked from the coordinates, on networks, random graphs and chains."""

import itertools

import numpy as np
import pytest
from graphs_to_draw import chain, example, hostile, network, neuron, recurrent, tangled

from micrograd import Value
from micrograd.draw import layout
from micrograd.draw.boxes_and_arrows import place

GRAPHS = {
    "example": (example, {}),
    "neuron": (neuron, {}),
    "network": (network, {}),
    "samples": (lambda: network(20, (16, 16), "relu"), {}),
    "three samples": (lambda: network(3), {}),
    "recurrent": (recurrent, {}),
    "recurrent, all": (recurrent, {"unfold": "all"}),
    "chain": (lambda: chain(300), {}),
    "long edges": (lambda: chain(60), {"unfold": "all"}),
    "hostile": (hostile, {}),
    **{f"random {size}, {seed}": (lambda size=size, seed=seed: tangled(size, seed), {"unfold": "all"})
       for size, seed in itertools.product([10, 40, 150], range(4))},
}  # fmt: skip


@pytest.fixture(scope="module", params=[(name, rankdir) for name in GRAPHS for rankdir in ("LR", "TB")], ids=" ".join)
def placed(request):
    name, rankdir = request.param
    make, options = GRAPHS[name]
    return place(make().draw(**options).picture, rankdir)


def apart(one, two, room=0.0):
    """Whether two rectangles (left, top, width, height) are at least `room` apart."""
    (x, y, w, h), (u, v, p, q) = one, two
    return x + w + room <= u + 1e-6 or u + p + room <= x + 1e-6 or y + h + room <= v + 1e-6 or v + q + room <= y + 1e-6


def points_of(route, down):
    """Points along a line: every second stretch is a curve that leaves and arrives along."""
    found = []
    for k, ((a0, c0), (a1, c1)) in enumerate(itertools.pairwise(route)):
        for t in (0.0, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0):
            middle = (a0 + a1) / 2
            if k % 2 == 0:
                a, c = a0 + t * (a1 - a0), c0 + t * (c1 - c0)
            else:
                s = 1 - t
                a = s**3 * a0 + 3 * s * s * t * middle + 3 * s * t * t * middle + t**3 * a1
                c = s**3 * c0 + 3 * s * s * t * c0 + 3 * s * t * t * c1 + t**3 * c1
            found.append((c, a) if down else (a, c))
    return found


def inside(points, rectangles, margin):
    """For each point and rectangle, whether the one lies in the other by more than the margin."""
    x, y = np.array(points).T[:, :, None]
    left, top, w, h = np.array(rectangles).reshape(-1, 4).T[:, None, :]
    return (left + margin < x) & (x < left + w - margin) & (top + margin < y) & (y < top + h - margin)


def test_no_boxes_overlap(placed):
    for one, two in itertools.combinations(placed.boxes, 2):
        assert apart(one, two, room=5.0)


def test_no_labels_overlap_each_other_or_a_box(placed):
    labels = [label for label in placed.labels if label]
    for one, two in itertools.combinations(labels, 2):
        assert apart(one, two)
    for label in labels:
        assert all(apart(label, box) for box in placed.boxes)


def test_no_edge_crosses_a_box_or_a_label_that_is_not_its_own(placed):
    lines = [(None, trunk.points) for trunk in placed.layout.trunks] + list(enumerate(placed.layout.routes))
    labelled = [k for k, label in enumerate(placed.labels) if label]
    labels = [placed.labels[k] for k in labelled]
    for number, route in lines:
        points = points_of(route, placed.down)
        assert not inside(points, placed.boxes, 0.1).any()
        assert not inside(points, labels, 1.0)[:, [k != number for k in labelled]].any()


def test_edges_start_and_end_at_their_boxes(placed):
    down, reached = placed.down, {}
    for trunk in placed.layout.trunks:
        reached.setdefault(trunk.points[0], trunk.points[-1])
    for edge, route in zip(placed.picture.edges, placed.layout.routes, strict=True):
        x, y, w, h = placed.boxes[edge.target]
        along, across = route[-1]
        assert along == pytest.approx(y if down else x) and (x if down else y) <= across <= (x + w if down else y + h)
        x, y, w, h = placed.boxes[edge.source]
        starts = {route[0], *(trunk.points[0] for trunk in placed.layout.trunks)}
        assert any(a == pytest.approx(y + h if down else x + w) and (x if down else y) < c < (x + w if down else y + h)
                   for a, c in starts)  # fmt: skip


def test_sources_stand_just_before_their_first_consumer(placed):
    along = [middle[0] for middle in placed.layout.middles]
    ranks = {}
    for i in reversed(range(len(along))):
        consumers = [edge.target for edge in placed.picture.edges if edge.source == i]
        ranks[i] = 1 + max((ranks[t] for t in consumers), default=-1)
    assert ranks[placed.picture.output] == 0
    columns = {}
    for i, rank in ranks.items():
        columns.setdefault(rank, []).append(along[i])
    ordered = [columns[rank] for rank in sorted(columns, reverse=True)]
    assert sorted(columns) == list(range(len(columns)))
    for left, right in itertools.pairwise(ordered):
        assert max(left) < min(right)


def test_a_tree_has_no_crossings():
    def tree(depth):
        return Value(1.0) if depth == 0 else (tree(depth - 1) + tree(depth - 1)).tanh()

    placed_ = place(tree(5).draw(unfold="all").picture)
    for one, two in itertools.combinations(zip(placed_.picture.edges, placed_.layout.routes, strict=True), 2):
        (_, r1), (_, r2) = one, two
        if r1[1][0] == r2[1][0]:  # in the same gap between columns
            assert (r1[1][1] - r2[1][1]) * (r1[2][1] - r2[2][1]) >= 0


def crossings(placed_):
    lines = [trunk.points for trunk in placed_.layout.trunks] + placed_.layout.routes
    bends = [(a, b) for route in lines for k, (a, b) in enumerate(itertools.pairwise(route)) if k % 2]
    return sum((a[1] - c[1]) * (b[1] - d[1]) < -1e-9 for (a, b), (c, d) in itertools.combinations(bends, 2) if a[0] == c[0])


def test_the_sweeps_take_crossings_away(monkeypatch):
    pictures = [tangled(40, seed).draw(unfold="all").picture for seed in range(4)]
    pictures += [network(3).draw(unfold="all").picture, recurrent(4).draw(unfold="all").picture]
    swept = [crossings(place(picture)) for picture in pictures]
    monkeypatch.setattr(layout, "_ordered", lambda items, order: order)
    as_met = [crossings(place(picture)) for picture in pictures]
    assert all(after <= before for after, before in zip(swept, as_met, strict=True))
    assert sum(swept) < 0.8 * sum(as_met)
