"""The boxes and edges of one picture of a graph.

`folding` comes before: it says which values are visible and which are folded. `boxes_and_arrows` and `layout` come after, and
place what is made here.

What stands at an edge is true of the picture. A gradient that a box shows is the sum, over the edges that leave the box, of
`local` times the gradient that the target shows. Where the target shows a range instead, `part` is the contribution itself.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from micrograd.draw.folding import LIMIT, STAGES, Group, Part, sources_first, tree, visible
from micrograd.draw.snapshot import Graph

_PARALLEL = 12  # an operation of more operands has one edge for all uses of the same operand


class Box(NamedTuple):
    """What one box shows. `data` and `grad` hold one number, for a fold the least and the greatest, or () for none."""

    kind: str  # constant, input, parameter, leaf, operation, or fold
    label: str
    tag: str  # what the operation does, or what kind of leaf or fold it is
    data: tuple[float, ...]
    grad: tuple[float, ...]
    members: tuple[int, ...]
    broken: str = ""  # "value" where the first nan or infinity arose here, "gradient" where the first such gradient is sent


class Edge(NamedTuple):
    """An arrow from box `source` into input `port` of box `target`, which stands for `many` edges of the graph."""

    source: int
    target: int
    port: int
    local: float | None  # what arrives in the source is this times the gradient of the target; None where no number does that
    flow: float | None  # the sum of |local * adjoint of the consumer|; None from constants, which receive nothing
    many: int
    part: float | None = None  # what arrives in the source, where the target shows no single gradient to multiply


class Picture(NamedTuple):
    """Boxes, parents first, their edges, the index of the output's box, and a caption that says what was folded.

    `operand` is the letter that stands for an operand without a name inside operations, "" where none does.
    """

    boxes: list[Box]
    edges: list[Edge]
    output: int
    caption: list[str]
    operand: str = ""


def picture(graph: Graph, limit: int | None = LIMIT, unfold: str | Iterable[str] = (), digits: int = 4) -> Picture:
    """The boxes and edges to draw: about `limit` boxes at most (None: every value), with the groups in `unfold` open."""
    wanted = (unfold,) if isinstance(unfold, str) else tuple(unfold)
    parts, folds = visible(tree(graph, limit), limit, wanted)
    box_of = [-1] * len(graph)
    for number, part in enumerate(parts):
        for i in part.members() if isinstance(part, Group) else (part,):
            box_of[i] = number
    for literal, consumer in graph.literals.items():
        box_of[literal] = box_of[consumer]
    members: list[list[int]] = [[] for _ in parts]
    for i, number in enumerate(box_of):
        members[number].append(i)
    outgoing: list[dict[int, None]] = [{} for _ in parts]  # the values of each box that other boxes use
    for i, parents in enumerate(graph.parents):
        for p in parents:
            if box_of[p] != box_of[i]:
                outgoing[box_of[p]][p] = None
    outgoing[box_of[graph.root]][graph.root] = None
    edges = _edges(graph, box_of, members, [list(used) for used in outgoing], parts)
    feeds: dict[int, set[int]] = {number: set() for number in range(len(parts))}
    for edge in edges:
        feeds[edge.source].add(edge.target)
    order = sources_first(feeds, {number: inside[-1] for number, inside in enumerate(members)})
    place = {number: k for k, number in enumerate(order)}
    edges = [edge._replace(source=place[edge.source], target=place[edge.target]) for edge in edges]
    made = [_box(graph, parts[number], tuple(members[number]), list(outgoing[number]), digits) for number in order]
    if (broken := graph.first_broken()) is not None:
        k = place[box_of[broken[0]]]
        made[k] = made[k]._replace(broken=broken[1])
    letter = re.compile(rf"(?<![a-zA-Z]){graph.operand}(?![a-zA-Z])")
    stands = graph.operand if any(box.kind == "operation" and letter.search(box.tag) for box in made) else ""
    return Picture(made, edges, place[box_of[graph.root]], _caption(graph, made, folds), stands)


def _through(graph: Graph, inside: list[int], output: int) -> dict[int, float]:
    """The derivative of `output` with respect to each value inside a fold, along the paths inside it."""
    found = dict.fromkeys(inside, 0.0)
    found[output] = 1.0
    for i in reversed(inside):
        for p, local in zip(graph.parents[i], graph.partials[i], strict=True):
            if p in found and graph.grad[p] is not None:
                found[p] += found[i] * local
    return found


def _edges(
    graph: Graph, box_of: list[int], members: list[list[int]], outgoing: list[list[int]], parts: list[Part]
) -> list[Edge]:
    folded = [isinstance(part, Group) for part in parts]
    inner = {
        number: _through(graph, members[number], outgoing[number][0])
        for number in range(len(parts))
        if folded[number] and len(outgoing[number]) == 1
    }
    found: dict[tuple[int, int, int], list[tuple[float | None, float | None]]] = {}  # target, port, source: (local, flow)
    for i, parents in enumerate(graph.parents):
        target = box_of[i]
        merged = not folded[target] and len(parents) > _PARALLEL
        for port, p in enumerate(parents):
            source = box_of[p]
            if source == target:
                continue
            flow = graph.contribution(i, port)
            local = graph.partials[i][port] if flow is not None else None
            if local is not None and folded[target]:
                local = inner[target][i] * local if target in inner else None
            key = (target, -1 if folded[target] or folded[source] else -2 - p if merged else port, source)
            found.setdefault(key, []).append((local, flow))
    ports: dict[int, int] = defaultdict(int)
    edges = []
    for (target, _, source), contributions in found.items():
        flows = [flow for _, flow in contributions if flow is not None]
        locals_ = [local for local, _ in contributions if local is not None]
        one = len(outgoing[source]) == 1  # so the source shows one gradient
        whole = bool(flows) and len(locals_) == len(flows) and (one or len(contributions) == 1)  # one number is true of it
        edges.append(
            Edge(source, target, ports[target], _sum(locals_) if whole else None,
                 added(map(abs, flows)) if flows else None, len(contributions),
                 _sum(flows) if flows and one and not whole else None)
        )  # fmt: skip
        ports[target] += 1
    return edges


def _sum(numbers: list[float]) -> float:
    """The sum from left to right, as the engine adds: `sum` of floats compensates rounding since Python 3.12."""
    total = 0.0
    for x in numbers:
        total += x
    return total


def added(sizes: Iterable[float]) -> float:
    """The sum of sizes, rounded once; infinite where it is beyond the floats."""
    try:
        return math.fsum(sizes)
    except OverflowError:
        return math.inf


def _box(graph: Graph, part: Part, members: tuple[int, ...], outgoing: list[int], digits: int) -> Box:
    if not isinstance(part, Group):
        grad = graph.grad[part]
        tag = graph.written(part, digits) if graph.ops[part] else graph.kinds[part]
        return Box(graph.kinds[part], graph.labels[part], tag, (graph.data[part],), () if grad is None else (grad,), members)
    grads = [g for i in outgoing if (g := graph.grad[i]) is not None]
    calls = len({graph.place[i][1] for i in members if graph.place[i][1]})
    size = f"{len(members):,} values".replace(",", "\u202f")
    tag = ", ".join(filter(None, [part.within, f"{calls} calls" if calls > 1 else size]))
    if part.kind in ("alike", "gap"):
        tag = ""
    return Box("fold", part.name, tag, _range([graph.data[i] for i in outgoing]), _range(grads), members)


def _range(numbers: list[float]) -> tuple[float, ...]:
    """What a fold shows of these: () if there are none, nan if one is nan, the least and greatest, or the one that all are."""
    if not numbers:
        return ()
    if any(x != x for x in numbers):
        return (math.nan,)
    low, high = min(numbers), max(numbers)
    return (low,) if low == high else (low, high)


def _caption(graph: Graph, boxes: list[Box], folds: list[Group]) -> list[str]:
    """How much of the graph is folded and how to see it."""
    folded = [box for box in boxes if box.kind == "fold"]
    if not folded:
        return []
    inside, among = (f"{n:,}".replace(",", "\u202f") for n in (sum(len(box.members) for box in folded), len(graph)))
    stand = "1 box stands" if len(folded) == 1 else f"{len(folded)} boxes stand"
    name = next((f".draw(unfold={group.name!r}), " for group in folds if group.kind in STAGES[:5]), "")
    return [f'Folded: {stand} for {inside} of {among} values. To see them: {name}.draw(unfold="all"), or .explore().']
