"""Where boxes and edges go: a layered layout, ranked from the output.

`boxes_and_arrows` measures the boxes for it, and makes a scene of the result. Directions are called along (from the leaves to
the output) and across, so that one layout serves pictures that run to the right and pictures that run down.

A box stands one column before its first consumer. A column is a zone for curves, a zone for the labels at the input ports, and
the boxes. An edge over several columns passes the boxes of each in a slot between them, which all edges from the same source
share. An edge over very many columns runs in a lane beyond all boxes. Edges bend only in the zones for curves. So no edge
crosses a box or a label, whatever the graph. Sweeps over the columns reduce crossings. Then least squares give the places
across, and keep the order in each column.

The page lays out in the browser, because graphs fold and unfold there: page/layout.js has the same steps in the same order, and
a test holds both to the same places. Numbers are added one by one, as there: since Python 3.12 `sum` compensates rounding.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

GAP = 18.0  # between boxes of one column
_SLOT = 7.0  # between edges that pass side by side
_CURVE = 34.0  # the least room for curves between columns
_LIGHT = 0.02  # how strongly a link from a constant pulls, where any other pulls with 1 or more
_FAR = 60  # columns: an edge over more takes a lane instead of a slot in each


class Block(NamedTuple):
    """A box to be placed: its extents, and the place of each input port across, from the middle of the box."""

    along: float
    across: float
    ports: tuple[float, ...]


class Link(NamedTuple):
    """An edge to be routed into a port of its target, the room along for its label, and how much flows through it.

    A negative `strength` marks a link from a constant.
    """

    source: int
    target: int
    port: int
    label: float
    strength: float


class Trunk(NamedTuple):
    """A stretch that long edges from one source share. Its `links` leave at its end, where the next trunk may go on."""

    source: int
    points: list[tuple[float, float]]
    links: list[int]


class Near(NamedTuple):
    """A neighbour of an item, in the next or the previous column, joined to it by an edge that pulls with `weight`.

    The port of the edge is at `share` of the target's ports, from -0.5 to 0.5, and at the distance `shift` from its middle.
    """

    item: int
    share: float
    shift: float
    weight: float


class Items(NamedTuple):
    """The items of all columns: the blocks, and after them the slots in which long edges pass."""

    blocks: int
    column: list[int]
    extent: list[float]
    after: list[list[Near]]
    before: list[list[Near]]


class Layout(NamedTuple):
    """`middles` of the boxes as (along, across), and `routes`: the points of each link, from its source or its last trunk.

    Points are the ends of straight stretches. A line bends between them: from the second point to the third, and so on.
    """

    middles: list[tuple[float, float]]
    routes: list[list[tuple[float, float]]]
    trunks: list[Trunk]
    along: float
    across: float


def columns(count: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    """The column of each of `count` blocks, from edges (source, target) with source < target.

    The output is in the last column, every other block in the column before its first consumer.
    """
    rank = [0] * count
    for target, source in sorted([(target, source) for source, target in edges], reverse=True):
        if rank[source] <= rank[target]:
            rank[source] = rank[target] + 1
    last = max(rank, default=0)
    return [last - r for r in rank]


def least_size(blocks: Sequence[Block], links: Sequence[Link], column: Sequence[int], gap: float = GAP) -> tuple[float, float]:
    """A size (along, across) that no arrangement goes below: cheap to compute, so that what cannot fit is not arranged."""
    count = max(column, default=0) + 1
    box_room, label_room, across = [0.0] * count, [0.0] * count, [-gap] * count
    passing = [0] * (count + 1)  # trunks that start to pass at a column, less those that ended before it
    reach = list(column)
    for block, c in zip(blocks, column, strict=True):
        box_room[c] = max(box_room[c], block.along)
        across[c] += block.across + gap
    for link in links:
        c = column[link.target]
        label_room[c] = max(label_room[c], link.label)
        reach[link.source] = max(reach[link.source], c)
    for c, until in zip(column, reach, strict=True):
        if until > c + 1:
            passing[c + 1] += 1
            passing[until] -= 1
    slots = list(accumulate(passing))
    along = sum(box_room) + sum(label_room) + _CURVE * (count - 1)
    return along, max([room + _SLOT * slots[c] for c, room in enumerate(across)], default=0.0)


def arrange(blocks: Sequence[Block], links: Sequence[Link], column: Sequence[int], gap: float = GAP) -> Layout:
    """The places of all blocks, in their columns and at least a `gap` apart, and the routes of all links.

    Blocks are given with sources before targets, and the output last.
    """
    items, slots = _items(blocks, links, column)
    across = _placed(items, _ordered(items, _first_order(items)), gap)
    low = min([y - size / 2 for y, size in zip(across, items.extent, strict=True)], default=0.0)
    across = [y - low for y in across]
    high = max([y + size / 2 for y, size in zip(across, items.extent, strict=True)], default=0.0)
    start, end, box_room = _along(blocks, links, items, across)
    middles = [(end[c] - box_room[c] / 2, y) for c, y in zip(column, across, strict=False)]

    # A link leaves its box, bends once, and goes straight into its port. One over several columns leaves a trunk instead.
    out = [((x + block.along / 2, y), (end[c], y)) for (x, y), block, c in zip(middles, blocks, column, strict=True)]
    routes = []
    passing: list[list[int]] = [[] for _ in blocks]
    for k, (source, target, port, _, _) in enumerate(links):
        y = across[target] + blocks[target].ports[port]
        routes.append([*out[source], (start[column[target]], y), (middles[target][0] - blocks[target].along / 2, y)])
        if column[target] - column[source] > 1:
            passing[source].append(k)
    trunks: list[Trunk] = []
    lanes: list[float] = []
    for i, using in enumerate(passing):
        c, points, lane = column[i], [*out[i]], 0.0
        for k in sorted(using, key=lambda k: column[links[k].target]):
            until = column[links[k].target] - 1
            if until - column[i] >= _FAR and not lane:
                lane = high + _SLOT * (2 + len(lanes) % _FAR)
                lanes.append(lane)
                c, points = column[i], [*out[i]]
            if c < until:
                trunks.append(Trunk(i, points, []))
            while c < until:
                bend, c = c + 1, until if lane else c + 1
                y = lane or across[slots[i][c - column[i]]]
                points += [(start[bend], y), (end[c], y)]
            points = [points[-1]] * 2
            trunks[-1].links.append(k)
            routes[k][:2] = points
    return Layout(middles, routes, trunks, end[-1], max([high, *lanes]))


def _items(blocks: Sequence[Block], links: Sequence[Link], column: Sequence[int]) -> tuple[Items, list[list[int]]]:
    """The items of the columns, and for each block those its edges pass through: the block itself, then its slots."""
    reach, pull = list(column), [_LIGHT] * len(blocks)
    for source, target, _, _, strength in links:
        if column[target] - column[source] <= _FAR:
            reach[source] = max(reach[source], column[target])
        if not strength < 0.0:  # a constant must not pull its consumer out of line
            pull[source] = 1.0
    item_column, slots = list(column), []
    for i, until in enumerate(reach):
        slots.append([i, *range(len(item_column), len(item_column) + until - column[i] - 1)])
        item_column += range(column[i] + 1, until)
    extent = [block.across for block in blocks] + [0.0] * (len(item_column) - len(blocks))
    after: list[list[Near]] = [[] for _ in item_column]
    before: list[list[Near]] = [[] for _ in item_column]

    def join(one: int, two: int, share: float, shift: float, weight: float) -> None:
        after[one].append(Near(two, share, shift, weight))
        before[two].append(Near(one, 0.0, -shift, weight))

    for i, passed in enumerate(slots):
        for one, two in pairwise(passed):
            join(one, two, 0.0, 0.0, pull[i] * (1.0 if one == i else 8.0))
    for source, target, port, _, _ in sorted(links, key=lambda link: link.port):
        if (length := column[target] - column[source]) <= _FAR:
            one, ports = slots[source][length - 1], blocks[target].ports
            share = (port + 0.5) / len(ports) - 0.5
            join(one, target, share, ports[port], pull[source] * (1.0 if one == source else 4.0))
    return Items(len(blocks), item_column, extent, after, before), slots


def _along(
    blocks: Sequence[Block], links: Sequence[Link], items: Items, across: list[float]
) -> tuple[list[float], list[float], list[float]]:
    """Where the straight stretch of each column (labels, then boxes) starts and ends, and the room of its boxes."""
    count = max(items.column, default=0) + 1
    box_room, label_room, steep = [0.0] * count, [0.0] * count, [0.0] * count
    for c, block in zip(items.column, blocks, strict=False):
        box_room[c] = max(box_room[c], block.along)
    for link in links:
        c = items.column[link.target]
        label_room[c] = max(label_room[c], link.label)
    for c, y, near in zip(items.column, across, items.before, strict=True):
        for other, _, shift, _ in near:
            steep[c] = max(steep[c], abs(y - shift - across[other]))
    start, end = [], []
    at = 0.0
    for c in range(count):
        at += _CURVE + min(0.16 * steep[c], 110.0) if c else 0.0  # the curves take more room where they are steep
        start.append(at)
        at += label_room[c] + box_room[c]
        end.append(at)
    return start, end, box_room


def _first_order(items: Items) -> list[list[int]]:
    """The items of each column in the order of a depth-first walk from the output to the leaves, port by port."""
    order: list[list[int]] = [[] for _ in range(max(items.column, default=0) + 1)]
    seen = [False] * len(items.column)
    for block in reversed(range(items.blocks)):
        stack = [block]
        while stack:
            item = stack.pop()
            if not seen[item]:
                seen[item] = True
                order[items.column[item]].append(item)
                stack += [near.item for near in reversed(items.before[item])]
    return order


def _ordered(items: Items, order: list[list[int]]) -> list[list[int]]:
    """`order` with fewer crossings.

    Sweeps to and fro over the columns sort the items of each by the mean or median place of their neighbours: at first of those
    in one adjacent column, later of those in both. The order with the fewest crossings is kept.
    """
    n = len(items.column)
    after, before = ([[(o, share) for o, share, _, _ in near] for near in side] for side in (items.after, items.before))
    both = [a + b for a, b in zip(after, before, strict=True)]
    place = [0] * n

    def take(new: list[list[int]]) -> None:
        for row, items_ in zip(order, new, strict=True):
            row[:] = items_
            for k, item in enumerate(row):
                place[item] = k

    take(order)
    first = best = [[*row] for row in order]
    fewest = _crossings(order, after, place, math.inf)
    for start in range(3 if n < 250 else 2 if n < 600 else 1):  # by the mean from the right or from the left, by the median
        since = 0
        take(first)
        for sweep in range(24 if n < 150 else 12 if n < 600 else 6 if n < 3000 else 2):
            if fewest == 0 or since > 5:
                break
            backwards = (sweep + start) % 2 == 0
            near = both if sweep > 2 else after if backwards else before
            for row in reversed(order) if backwards else order:
                if len(row) > 1:
                    wanted = {i: _middle([place[o] + share for o, share in near[i]], place[i], start < 2) for i in row}
                    row.sort(key=wanted.__getitem__)
                    for k, item in enumerate(row):
                        place[item] = k
            for _ in range(4 if n < 600 else 0):
                if not _swap_neighbours(order, after, before, place):
                    break
            crossings = _crossings(order, after, place, fewest)
            since += 1
            if crossings < fewest:
                best, fewest, since = [[*row] for row in order], crossings, 0
    return best


def _middle(places: list[float], own: float, mean: bool) -> float:
    """The mean of the neighbours' places, or their median with the mean as a tie breaker; `own` where there are none."""
    if not places:
        return own
    total = 0.0
    for place in places:
        total += place
    average = total / len(places)
    if mean:
        return average
    places.sort()
    half = len(places) // 2
    median = places[half] if len(places) % 2 else (places[half - 1] + places[half]) / 2
    return median + 1e-3 * (average - median)


def _crossings(order: list[list[int]], after: list[list[tuple[int, float]]], place: list[int], most: float) -> int:
    """How many pairs of edges to the next column cross; counting stops where they are as many as `most`."""
    total = 0
    for row in order:
        met: list[float] = []
        for item in row:
            ends = [place[target] + share for target, share in after[item]]
            for end in sorted(ends) if len(ends) > 1 else ends:
                total += len(met) - bisect_right(met, end)
                insort(met, end)
        if total >= most:
            break
    return total


def _swap_neighbours(
    order: list[list[int]], after: list[list[tuple[int, float]]], before: list[list[tuple[int, float]]], place: list[int]
) -> bool:
    """Swap items that stand next to each other wherever that takes crossings away; returns whether any were swapped."""
    swapped = False
    for row in order:
        for k in range(len(row) - 1):
            a, b = row[k], row[k + 1]
            gain = 0
            for near in (after, before):
                if len(near[a]) * len(near[b]) <= 4096:
                    ends = [place[o] + share for o, share in near[b]]
                    for o, share in near[a]:
                        x = place[o] + share
                        for y in ends:
                            gain += (x > y) - (x < y)
            if gain > 0:
                row[k], row[k + 1] = b, a
                place[a], place[b] = k + 1, k
                swapped = True
    return swapped


def _placed(items: Items, order: list[list[int]], gap: float) -> list[float]:
    """The place of each item across: as near to where its edges would be straight as the order allows."""
    n, blocks, extent = len(items.column), items.blocks, items.extent
    across = [0.0] * n
    rows = []
    for row in order:
        steps = [0.0]
        for a, b in pairwise(row):
            room = gap if a < blocks and b < blocks else _SLOT if a >= blocks and b >= blocks else 0.6 * gap
            steps.append(steps[-1] + (extent[a] + extent[b]) / 2 + room)
        for item, step in zip(row, steps, strict=True):
            across[item] = step - steps[-1] / 2
        rows.append((row, steps))
    both = [a + b for a, b in zip(items.after, items.before, strict=True)]
    rounds = 40 if n < 150 else 10 if n < 600 else 6 if n < 3000 else 3
    for turn in range(rounds):
        backwards = turn % 2 == 0
        near = both if turn >= rounds - 2 else items.after if backwards else items.before
        for row, steps in reversed(rows) if backwards else rows:
            wanted, weights = [], []
            for item in row:
                weight = pull = 0.0
                for other, _, shift, heavy in near[item] or both[item]:
                    weight += heavy
                    pull += heavy * (across[other] + shift)
                wanted.append(pull / weight if weight else across[item])
                weights.append(weight or 0.1)
            for item, y in zip(row, _least_squares(wanted, weights, steps), strict=True):
                across[item] = y
    return across


def _least_squares(wanted: list[float], weights: list[float], steps: list[float]) -> list[float]:
    """The numbers nearest to those wanted, by weighted squares, that are at least as far apart as `steps`.

    By pooling adjacent violators, the algorithm of isotonic regression.
    """
    pools: list[tuple[float, float, int]] = []  # (mean, weight, how many)
    for w, weight, step in zip(wanted, weights, steps, strict=True):
        mean, total, count = w - step, weight, 1
        while pools and pools[-1][0] > mean:
            other, heavy, many = pools.pop()
            mean, total, count = (mean * total + other * heavy) / (total + heavy), total + heavy, count + many
        pools.append((mean, total, count))
    free = [mean for mean, _, count in pools for _ in range(count)]
    return [y + step for y, step in zip(free, steps, strict=True)]
