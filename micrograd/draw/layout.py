"""Where boxes and edges go: a layered layout, ranked from the output.

`graph` comes before: it says which boxes there are; `svg` draws the result. Directions are called along (from the
leaves to the output) and across, so that one layout serves pictures that run to the right and pictures that run down.

A box stands one column before its first consumer. A column is a zone for curves, a zone for the labels at the input
ports, and the boxes. An edge over several columns passes between the boxes of each in a slot of its own, shared by all
edges from the same source; it bends only in the zones for curves. So no edge crosses a box or a label, whatever the
graph. Crossings are reduced by sweeps over the columns, and places across are least squares under the given order.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

GAP = 18.0  # between boxes of one column
_SLOT = 7.0  # between an edge that passes and what is beside it
_CURVE = 34.0  # the least room for curves between columns
_LIGHT = 0.02  # how much a link from a constant pulls, beside any other


class Block(NamedTuple):
    """A box to be placed: its extent along and across, and where across its input ports are, from its middle."""

    along: float
    across: float
    ports: tuple[float, ...]


class Link(NamedTuple):
    """An edge to be routed, into a port of its target; the room its label takes along, and how much flows through it."""

    source: int
    target: int
    port: int
    label: float
    strength: float


class Trunk(NamedTuple):
    """A stretch that long edges from one source share: the greatest strength among them, its points, and the source."""

    strength: float
    points: list[tuple[float, float]]
    source: int


class Layout(NamedTuple):
    """`middles` of the boxes, (along, across); of each link the points, from its source or the last of its trunks.

    Points are the ends of straight stretches; from the second to the third, and so on, the line bends.
    """

    middles: list[tuple[float, float]]
    routes: list[list[tuple[float, float]]]
    trunks: list[Trunk]
    along: float
    across: float


def columns(count: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    """The column of each of `count` blocks, from edges (source, target): the output's is the last, every other one is just
    before its first consumer.
    """
    rank = [0] * count
    for target, source in sorted([(target, source) for source, target in edges], reverse=True):
        if rank[source] <= rank[target]:
            rank[source] = rank[target] + 1
    last = max(rank, default=0)
    return [last - r for r in rank]


def least_size(blocks: Sequence[Block], links: Sequence[Link], column: Sequence[int], gap: float = GAP) -> tuple[float, float]:
    """A size (along, across) that no arrangement of these goes below: cheap, to choose between arrangements."""
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


def arrange(blocks: Sequence[Block], links: Sequence[Link], output: int, column: list[int], gap: float = GAP) -> Layout:
    """The places of all blocks, in their columns, and the routes of all links; blocks come with sources before targets, and
    are at least a `gap` apart.
    """
    last = max(column, default=0)
    consumers: list[list[Link]] = [[] for _ in blocks]
    producers: list[list[Link]] = [[] for _ in blocks]
    for link in links:
        consumers[link.source].append(link)
        producers[link.target].append(link)

    # Items are the blocks, and after them the slots in which long edges pass a column.
    item_column = list(column)
    slot_of: dict[tuple[int, int], int] = {}
    for i in range(len(blocks)):
        for c in range(column[i] + 1, max((column[link.target] for link in consumers[i]), default=0)):
            slot_of[i, c] = len(item_column)
            item_column.append(c)
    outs: list[list[tuple[int, int]]] = [[] for _ in item_column]  # (item in the next column, its port or -1 for a slot)
    for link in links:
        item = link.source if (c := column[link.target]) == column[link.source] + 1 else slot_of[link.source, c - 1]
        outs[item].append((link.target, link.port))
    for (i, c), slot in slot_of.items():
        outs[slot_of.get((i, c - 1), i)].append((slot, -1))

    offset = [block.ports for block in blocks]
    order = _ordered(item_column, outs, offset, _first_order(item_column, producers, slot_of, column, output, last))
    extent = [block.across for block in blocks] + [0.0] * len(slot_of)
    light = [bool(using) and all(link.strength < 0.0 for link in using) for using in consumers]
    light += [light[i] for i, _ in slot_of]
    across = _placed(order, outs, offset, extent, len(blocks), light, gap)
    low = min([y - size / 2 for y, size in zip(across, extent, strict=True)], default=0.0)
    across = [y - low for y in across]

    # Along: each column takes the room of its labels and boxes, and before it the curves take more where they are steep.
    box_room, label_room, steep = [0.0] * (last + 1), [0.0] * (last + 1), [0.0] * (last + 1)
    for i, block in enumerate(blocks):
        box_room[column[i]] = max(box_room[column[i]], block.along)
    for link in links:
        label_room[column[link.target]] = max(label_room[column[link.target]], link.label)
    for item, targets in enumerate(outs):
        for target, port in targets:
            bend = abs(across[target] + (offset[target][port] if port >= 0 else 0.0) - across[item])
            steep[item_column[target]] = max(steep[item_column[target]], bend)
    start, end = [], []  # of the straight stretch in each column: labels, then boxes
    at = 0.0
    for c in range(last + 1):
        at += (_CURVE + min(0.16 * steep[c], 110.0)) if c else 0.0
        start.append(at)
        at += label_room[c] + box_room[c]
        end.append(at)
    middles = [(end[column[i]] - box_room[column[i]] / 2, across[i]) for i in range(len(blocks))]
    routes: list[list[tuple[float, float]]] = []
    far: list[list[int]] = [[] for _ in blocks]  # the links that pass a column
    for k, link in enumerate(links):
        i, target = link.source, link.target
        c = column[target] - 1
        if c == column[i]:
            points = [(middles[i][0] + blocks[i].along / 2, across[i]), (end[c], across[i])]
        else:
            far[i].append(k)
            points = [(end[c], across[slot_of[i, c]])] * 2
        y = across[target] + offset[target][link.port]
        routes.append([*points, (start[c + 1], y), (middles[target][0] - blocks[target].along / 2, y)])
    trunks = []
    for i, using in enumerate(far):
        using.sort(key=lambda k: column[links[k].target])
        points = [(middles[i][0] + blocks[i].along / 2, across[i]), (end[column[i]], across[i])]
        c = column[i]
        strongest = list(accumulate((links[k].strength for k in reversed(using)), max))[::-1]
        for k, strength in zip(using, strongest, strict=True):
            while c < column[links[k].target] - 1:
                c += 1
                y = across[slot_of[i, c]]
                points += [(start[c], y), (end[c], y)]
            if len(points) > 2:
                trunks.append(Trunk(strength, points, i))
                points = [points[-1]] * 2
    high = max([y + size / 2 for y, size in zip(across, extent, strict=True)], default=0.0)
    return Layout(middles, routes, trunks, at, high)


def _first_order(
    item_column: list[int],
    producers: list[list[Link]],
    slot_of: dict[tuple[int, int], int],
    column: list[int],
    output: int,
    last: int,
) -> list[list[int]]:
    """The items of each column in the order in which one meets them going from the output to the leaves, port by port."""
    order: list[list[int]] = [[] for _ in range(last + 1)]
    seen = [False] * len(item_column)
    stack = [output]
    while stack:
        i = stack.pop()
        if seen[i]:
            continue
        seen[i] = True
        order[column[i]].append(i)
        for link in sorted(producers[i], key=lambda link: -link.port):
            for c in range(column[link.source] + 1, column[i]):
                slot = slot_of[link.source, c]
                if not seen[slot]:
                    seen[slot] = True
                    order[c].append(slot)
            stack.append(link.source)
    return order


def _ordered(
    item_column: list[int], outs: list[list[tuple[int, int]]], offset: list[tuple[float, ...]], order: list[list[int]]
) -> list[list[int]]:
    """`order` with fewer crossings: each item goes to the middle of its neighbours, to and fro; the best order is kept."""
    n = len(item_column)
    after: list[list[tuple[int, float]]] = [[] for _ in range(n)]  # (neighbour, where its port is, from -0.5 to 0.5)
    before: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    for item, targets in enumerate(outs):
        for target, port in targets:
            share = (port + 0.5) / len(offset[target]) - 0.5 if port >= 0 else 0.0
            after[item].append((target, share))
            before[target].append((item, share))
    place = [0] * n
    for items in order:
        for k, item in enumerate(items):
            place[item] = k

    def crossings(most: float = math.inf) -> int:
        """How many edges cross; at `most` counting ends."""
        total = 0
        for items in order:
            total += _crossings(items, after, place)
            if total >= most:
                break
        return total

    best, fewest = [list(items) for items in order], crossings()
    sweeps = 24 if n < 150 else 12 if n < 600 else 6 if n < 3000 else 2
    first = best
    for start in range(4 if n < 250 else 1):  # from the left or from the right, by the median or by the mean
        since = 0
        for items, at_first in zip(order, first, strict=True):
            items[:] = at_first
            for k, item in enumerate(items):
                place[item] = k
        for sweep in range(sweeps):
            backwards = (sweep + start) % 2 == 0
            near, use = (after, 1.0) if backwards else (before, 0.0)
            for items in reversed(order) if backwards else order:
                if len(items) > 1:
                    wanted = {
                        item: _middle([place[o] + use * share for o, share in near[item]], place[item], start > 1)
                        for item in items
                    }
                    items.sort(key=wanted.__getitem__)
                    for k, item in enumerate(items):
                        place[item] = k
            if n < 600:
                for _ in range(4):
                    if not _swap_neighbours(order, after, before, place):
                        break
            now = crossings(fewest)
            if now < fewest:
                best, fewest, since = [list(items) for items in order], now, 0
            else:
                since += 1
            if fewest == 0 or since > 5:
                break
    return best


def _middle(places: list[float], own: float, mean: bool) -> float:
    """The median of the neighbours' places (or their mean), with the mean as a tie breaker; one's own where there are none."""
    if not places:
        return own
    average = sum(places) / len(places)
    if mean:
        return average
    places.sort()
    half = len(places) // 2
    median = places[half] if len(places) % 2 else (places[half - 1] + places[half]) / 2
    return median + 1e-3 * (average - median)


def _crossings(items: list[int], after: list[list[tuple[int, float]]], place: list[int]) -> int:
    """How many pairs of edges from these items to the next column cross."""
    ends: list[float] = []
    for item in items:
        mine = [place[target] + share for target, share in after[item]]
        ends += sorted(mine) if len(mine) > 1 else mine
    total = 0
    met: list[float] = []
    for end in ends:
        total += len(met) - bisect_right(met, end)
        insort(met, end)
    return total


def _swap_neighbours(
    order: list[list[int]], after: list[list[tuple[int, float]]], before: list[list[tuple[int, float]]], place: list[int]
) -> bool:
    """Swap items that stand next to each other wherever that takes crossings away; whether any were."""
    swapped = False
    for items in order:
        for k in range(len(items) - 1):
            a, b = items[k], items[k + 1]
            gain = 0
            for near, use in ((after, 1.0), (before, 0.0)):
                ends_a = [place[other] + use * share for other, share in near[a]]
                ends_b = [place[other] + use * share for other, share in near[b]]
                if len(ends_a) * len(ends_b) <= 4096:
                    for x in ends_a:
                        for y in ends_b:
                            gain += (x > y) - (x < y)
            if gain > 0:
                items[k], items[k + 1] = b, a
                place[a], place[b] = k + 1, k
                swapped = True
    return swapped


def _placed(
    order: list[list[int]],
    outs: list[list[tuple[int, int]]],
    offset: list[tuple[float, ...]],
    extent: list[float],
    blocks: int,
    light: list[bool],
    gap: float,
) -> list[float]:
    """Where each item is across: as near as its order allows to where its edges would be straight; `light` items pull least."""
    n = len(outs)
    after: list[list[tuple[int, float, float]]] = [[] for _ in range(n)]  # (neighbour, distance where straight, weight)
    before: list[list[tuple[int, float, float]]] = [[] for _ in range(n)]
    for item, targets in enumerate(outs):
        for target, port in targets:
            shift = offset[target][port] if port >= 0 else 0.0
            weight = 1.0 + 3.0 * (item >= blocks) + 4.0 * (target >= blocks and item >= blocks)
            if light[item]:  # a constant: it must not pull what it goes into off its line
                weight *= _LIGHT
            after[item].append((target, shift, weight))
            before[target].append((item, -shift, weight))
    across = [0.0] * n
    rows = []
    for items in order:
        steps = [0.0]
        for a, b in pairwise(items):
            room = gap if a < blocks and b < blocks else _SLOT if a >= blocks and b >= blocks else 0.6 * gap
            steps.append(steps[-1] + (extent[a] + extent[b]) / 2 + room)
        for item, step in zip(items, steps, strict=True):
            across[item] = step - steps[-1] / 2
        rows.append((items, steps))
    pulls = [(near, [sum([w for _, _, w in each]) for each in near]) for near in (before, after)]
    both = [a + b for a, b in zip(after, before, strict=True)]
    pulls.append((both, [sum([w for _, _, w in each]) for each in both]))
    rounds = 40 if n < 150 else 10 if n < 600 else 6 if n < 3000 else 3
    for turn in range(rounds):
        backwards = turn % 2 == 0
        near, total = pulls[2 if turn >= rounds - 2 else backwards]
        for items, steps in reversed(rows) if backwards else rows:
            wanted, weights = [], []
            for item in items:
                weight, pull = (total[item], near[item]) if near[item] else (pulls[2][1][item], both[item])
                wanted.append(sum([w * (across[o] + s) for o, s, w in pull]) / weight if weight else across[item])
                weights.append(weight or 0.1)
            for item, y in zip(items, _least_squares(wanted, weights, steps), strict=True):
                across[item] = y
    return across


def _least_squares(wanted: list[float], weights: list[float], steps: list[float]) -> list[float]:
    """The numbers nearest to those wanted that are at least as far apart as the steps (pooling adjacent violators)."""
    pools: list[tuple[float, float, int]] = []  # (mean, weight, how many)
    for w, weight, step in zip(wanted, weights, steps, strict=True):
        mean, total, count = w - step, weight, 1
        while pools and pools[-1][0] > mean:
            other, heavy, many = pools.pop()
            mean, total, count = (mean * total + other * heavy) / (total + heavy), total + heavy, count + many
        pools.append((mean, total, count))
    free = [mean for mean, _, count in pools for _ in range(count)]
    return [y + step for y, step in zip(free, steps, strict=True)]
