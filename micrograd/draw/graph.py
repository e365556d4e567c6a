"""The graph below an output as plain data, its folds, and what of it a picture shows.

First stage of a drawing: `engine` comes before; `layout` gives the boxes and edges made here their places. A Graph is
a snapshot in lists, parents before consumers; taking it changes nothing. Its values are arranged in a tree of groups
(network, layer, neuron, call, alike, gap) in which, at every level, the parts depend on each other without a cycle.
Therefore whatever set of groups is open, the boxes that remain visible form a picture without cycles.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias, Union

from micrograd.engine import Value, adjoints, topological_order
from micrograd.primitives import CONSTANT

LIMIT = 90  # boxes in one picture: what fits on a screen
_HEAD, _TAIL = 15, 25  # what stays of a long chain before and after its middle
_HUGE = 100_000  # values without a network around them that are no longer searched for parts that are alike
_STAGES = ("network", "layer", "inputs", "neuron", "call", "alike")  # the order in which groups open while there is room

Part: TypeAlias = Union[int, "Group"]


class Group:
    """A named part of the graph that can be drawn as one box: `parts` are indices of values, and groups."""

    __slots__ = ("kind", "name", "parts", "size", "within")

    def __init__(self, kind: str, name: str, parts: list[Part], within: str = ""):
        self.kind, self.name, self.parts, self.within = kind, name, parts, within
        self.size: int = sum(part.size if isinstance(part, Group) else 1 for part in parts)

    def members(self) -> Iterator[int]:
        """The indices of all values in it."""
        stack: list[Part] = [self]
        while stack:
            part = stack.pop()
            if isinstance(part, Group):
                stack.extend(reversed(part.parts))
            else:
                yield part


class Box(NamedTuple):
    """What one box shows. `data` and `grad` hold one number, or for a fold the least and the greatest; () for none."""

    kind: str  # constant, input, parameter, leaf, operation, or fold
    label: str
    tag: str  # the operation, or what kind of leaf or fold it is
    data: tuple[float, ...]
    grad: tuple[float, ...]
    members: tuple[int, ...]


class Edge(NamedTuple):
    """An arrow into input `port` of box `target`, for so `many` edges of the graph."""

    source: int
    target: int
    port: int
    local: float | None  # None where the source is a constant or the edge stands for several
    flow: float | None  # the sum of |local * adjoint of the consumer|; None into constants, which receive nothing
    many: int


class Picture(NamedTuple):
    """Boxes in an order in which parents come first, their edges, which box is the output, and what was folded."""

    boxes: list[Box]
    edges: list[Edge]
    output: int
    caption: list[str]


class Graph:
    """The snapshot of all values below `root`: one entry per value in each list, in the engine's order."""

    def __init__(self, root: Value):
        if not isinstance(root, Value):
            raise TypeError(f"only a Value can be drawn, got {type(root).__name__} {root!r:.60}")
        adjoint = adjoints(root)
        self.values: list[Value | None] = []  # None for a number in an expression
        self.labels: list[str] = []
        self.ops: list[str] = []
        self.kinds: list[str] = []
        self.data: list[float] = []
        self.grad: list[float | None] = []  # the derivative of root, whatever .grad holds; None for a constant
        self.parents: list[tuple[int, ...]] = []
        self.partials: list[tuple[float, ...]] = []
        self._place: list[tuple[int, int]] = []  # network and call, 0 where there is none
        self._written: list[str] = []
        index: dict[Value, int] = {}
        for value in topological_order(root) or [root]:
            parents = []
            for operand in _operands(value):
                if not isinstance(operand, Value):
                    parents.append(self._add_number(operand))
                elif operand in index:
                    parents.append(index[operand])
                else:  # a constant: it stands right before its first consumer
                    parents.append(self._add(index, operand, (), None))
            self._add(index, value, tuple(parents), adjoint.get(value))
        self.index = index
        self.root = len(self.values) - 1
        self._number_calls()

    def _add(self, index: dict[Value, int], value: Value, parents: tuple[int, ...], grad: float | None) -> int:
        label, rule = value.label, value.rule
        index[value] = len(self.values)
        self.values.append(value)
        self.labels.append(label if isinstance(label, str) else str(label))
        self.data.append(value.data)
        self.grad.append(grad)
        self.parents.append(parents)
        self.partials.append(_partials(value, len(parents)))
        note = value.note
        self._place.append((note.network, note.call) if note is not None else (0, 0))
        scope = getattr(label, "scope", ())
        is_leaf = rule is None or rule is CONSTANT
        self.ops.append("" if is_leaf or rule is None else rule.name)
        self._written.append("" if is_leaf or rule is None else rule.written)
        self.kinds.append(
            "operation" if not is_leaf else "parameter" if scope and rule is None else "leaf" if rule is None
            else "input" if scope else "constant"
        )  # fmt: skip
        return len(self.values) - 1

    def _add_number(self, x: float) -> int:
        self.values.append(None)
        for texts, text in ((self.labels, ""), (self.ops, ""), (self._written, ""), (self.kinds, "constant")):
            texts.append(text)
        self.data.append(x)
        self.grad.append(None)
        self.parents.append(())
        self.partials.append(())
        self._place.append((0, 0))
        return len(self.values) - 1

    def _number_calls(self) -> None:
        """Count networks, and the calls of each, from 1 as they occur here: what was built before leaves no trace."""
        networks: dict[int, dict[int, int]] = {}
        for network, call in sorted({place for place in self._place if place[0]}):
            calls = networks.setdefault(network, {})
            calls[call] = len(calls) + 1
        order = {network: k for k, network in enumerate(networks, start=1)}
        self._place = [(order[n], networks[n][call]) if n else (0, 0) for n, call in self._place]

    def __len__(self) -> int:
        return len(self.values)

    def contribution(self, consumer: int, port: int) -> float | None:
        """What `consumer` sends to its operand number `port`: the engine's product; None where that is a constant."""
        upstream = self.grad[consumer]
        if upstream is None or self.grad[self.parents[consumer][port]] is None:
            return None
        return upstream * self.partials[consumer][port]

    # -- the tree of groups

    def tree(self, limit: int | None = LIMIT) -> Group:
        """The whole graph as one group of groups; parts that are alike, and middles of long chains, fold above `limit`."""
        paths = self._paths()
        if limit is not None and len(self) > _HUGE and not any(paths):  # one long list: its middle goes without a search
            return Group("all", "", _gapped(list(range(len(self))), limit, _HEAD, _TAIL))
        height = [0] * len(self)
        for i, parents in enumerate(self.parents):
            if parents:
                height[i] = 1 + max([height[p] for p in parents])
        return Group("all", "", self._parts(range(len(self)), 0, paths, height, limit))

    def _paths(self) -> list[tuple[str, ...]]:
        """For each value the names of the groups it is in, outermost first; () for those outside of networks."""
        n = len(self)
        scopes = [getattr(label, "scope", ()) for label in self.labels]
        if not any(scopes):
            return [()] * n
        network = [place[0] for place in self._place]
        for i, parents in enumerate(self.parents):  # parameters belong to the first network that uses them
            for p in parents:
                if network[i] and not network[p] and scopes[p]:
                    network[p] = network[i]
        calls = defaultdict(set)
        for i in range(n):
            if scopes[i] and self.ops[i]:
                calls[network[i]].add(self._place[i][1])
        several = len({network[i] for i in range(n) if scopes[i]}) > 1
        paths: list[tuple[str, ...]] = []
        for i, scope in enumerate(scopes):
            path = tuple(scope)
            if path and several:
                path = (f"network {network[i]}" if network[i] else "outside of networks", *path)
            if path and self.kinds[i] == "input":
                path = (*path, str(self.labels[i]))
            elif path and self.ops[i] and len(calls[network[i]]) > 1:
                path = (*path, f"call {self._place[i][1]}")
            paths.append(path)
        self._absorb(paths)
        return paths

    def _absorb(self, paths: list[tuple[str, ...]]) -> None:
        """Give what lies between values of one neuron, such as the steps of an activation of one's own, its path too."""
        common: list[Any] = [None] * len(self)  # the path of all consumers; "" where they differ
        for i in reversed(range(len(self))):
            path = paths[i] or (common[i] if self.ops[i] else None) or ""
            for p in self.parents[i]:
                common[p] = path if common[p] in (None, path) else ""
        inside = [bool(path) for path in paths]
        for i, parents in enumerate(self.parents):
            if not inside[i] and self.ops[i] and common[i] and any(paths[p] == common[i] for p in parents):
                paths[i], inside[i] = common[i], True
        for i, parents in enumerate(self.parents):
            for p in parents:
                if paths[i] and self.kinds[p] == "constant" and not paths[p] and common[p] == paths[i]:
                    paths[p] = paths[i]

    def _parts(
        self, members: Iterable[int], depth: int, paths: list[tuple[str, ...]], height: list[int], limit: int | None
    ) -> list[Part]:
        members = list(members)
        key: dict[int, Hashable] = {i: paths[i][depth] if len(paths[i]) > depth else i for i in members}
        for finer in (lambda i: self._place[i], lambda i: height[i]):
            tangled = self._tangled(key)
            if not tangled:
                break
            for i in members:
                if key[i] in tangled and not isinstance(key[i], int):
                    key[i] = (key[i], finer(i))
            # what a call does not tell apart (a parameter) and what is on one level cannot form a cycle
        names: dict[Hashable, str] = {}
        kinds: dict[Hashable, str] = {}
        for i in members:
            if not isinstance(key[i], int):
                names.setdefault(key[i], paths[i][depth])
                kinds.setdefault(key[i], _kind_of(paths[i], depth))
        if depth == 0 and limit is not None and len(members) > limit:
            self._merge_alike(key, names, kinds)
        blocks: dict[Hashable, list[int]] = defaultdict(list)
        for i in members:
            blocks[key[i]].append(i)
        parts: list[Part] = []
        for block in self._sorted_blocks(key, blocks) if limit is not None and len(blocks) > limit else blocks:
            inside = blocks[block]
            if len(inside) == 1:
                parts.append(inside[0])
            elif kinds[block] == "alike":
                parts.append(Group("alike", names[block], _gapped(list(inside), limit, 0, 0)))
            else:
                within = ", ".join(paths[inside[0]][:depth])
                group = Group(kinds[block], names[block], self._parts(inside, depth + 1, paths, height, limit), within)
                if len(group.parts) == 1 and isinstance(only := group.parts[0], Group):
                    called = (only.name, only.within) if group.kind == "inputs" else (f"{group.name}, {only.name}", within)
                    group = Group(only.kind, called[0], only.parts, called[1])
                elif isinstance(block, tuple) and len(calls := {self._place[i][1] for i in inside if self.ops[i]}) == 1:
                    group.name += f", call {calls.pop()}"
                parts.append(group)
        return _gapped(parts, limit, _HEAD, _TAIL)

    def _links(self, key: dict[int, Hashable]) -> dict[Hashable, set[Hashable]]:
        """Which blocks each block feeds."""
        links: dict[Hashable, set[Hashable]] = {block: set() for block in key.values()}
        for i, block in key.items():
            for p in self.parents[i]:
                if p in key and key[p] != block:
                    links[key[p]].add(block)
        return links

    def _tangled(self, key: dict[int, Hashable]) -> set[Hashable]:
        """The blocks that lie on a cycle, or between two: what is left after peeling the graph of blocks from both ends."""
        links = self._links(key)
        for _ in range(2):
            waiting = dict.fromkeys(links, 0)
            for targets in links.values():
                for t in targets:
                    waiting[t] += 1
            free = [b for b, count in waiting.items() if count == 0]
            for b in free:  # grows while it is read
                for t in links[b]:
                    waiting[t] -= 1
                    if waiting[t] == 0:
                        free.append(t)
            left = set(links) - set(free)
            backwards: dict[Hashable, set[Hashable]] = {b: set() for b in links if b in left}
            for b in backwards:
                for t in links[b] & left:
                    backwards[t].add(b)
            links = backwards
        return set(links)

    def _sorted_blocks(self, key: dict[int, Hashable], blocks: dict[Hashable, list[int]]) -> list[Hashable]:
        """The blocks so that each comes after those that feed it, and otherwise by their last member."""
        return _sources_first(self._links(key), {block: members[-1] for block, members in blocks.items()})

    def _merge_alike(self, key: dict[int, Hashable], names: dict[Hashable, str], kinds: dict[Hashable, str]) -> None:
        """Put single values into one block that do the same with operands from the same blocks.

        Equal signatures stand at equal heights above the leaves, so no cycle comes about.
        """
        numbers: dict[Hashable, int] = {}
        signature: dict[Hashable, Hashable] = {}
        consumers: dict[int, list[tuple[int, int]]] = defaultdict(list)
        blocks: dict[Hashable, list[int]] = defaultdict(list)
        for i in key:
            blocks[key[i]].append(i)
            for port, p in enumerate(self.parents[i]):
                consumers[p].append((i, port))
        for block in self._sorted_blocks(key, blocks):
            i = block if isinstance(block, int) else -1
            if i < 0 or i == self.root or (not self.ops[i] and len(consumers[i]) != 1):
                sign: Hashable = ("itself", block)
            elif not self.ops[i]:
                consumer, port = consumers[i][0]
                sign = (self.kinds[i], self.ops[consumer], port)
            else:
                sign = (self.ops[i], str(self.labels[i]), tuple([signature[key[p]] for p in self.parents[i]]))
            signature[block] = numbers.setdefault(sign, len(numbers))
        alike: dict[Hashable, list[int]] = defaultdict(list)
        for i in list(key):
            if self.ops[i] and isinstance(key[i], int) and i != self.root:
                alike["op", signature[key[i]]].append(i)
        for block, found in list(alike.items()):
            if len(found) < 3:
                del alike[block]
        merged = {i: block for block, found in alike.items() for i in found}
        for i in list(key):  # leaves and constants go together where their consumers do, or where one takes them all
            if not self.ops[i] and isinstance(key[i], int) and len(consumers[i]) == 1:
                consumer, port = consumers[i][0]
                if consumer in merged:
                    alike[self.kinds[i], merged[consumer], port].append(i)
                elif len(self.parents[consumer]) > 8:
                    alike[self.kinds[i], consumer].append(i)
        for block, found in alike.items():
            if len(found) >= 3:
                first = found[0]
                what = self.labels[first] if len({str(self.labels[i]) for i in found}) == 1 else ""
                if not what:
                    what = self._written[first] if self.ops[first] else f"{self.kinds[first]}s".replace("leafs", "leaves")
                names[block], kinds[block] = f"{len(found)}× ({what})" if self.ops[first] else f"{len(found)} {what}", "alike"
                for i in found:
                    key[i] = block

    # -- pictures

    def picture(self, limit: int | None = LIMIT, unfold: str | Iterable[str] = ()) -> Picture:
        """The boxes and edges to draw: at most about `limit` boxes (None: every value), and the groups in `unfold` open."""
        wanted = (unfold,) if isinstance(unfold, str) else tuple(unfold)
        tree = self.tree(limit)
        parts, folds = visible(tree, limit, wanted)
        boxes: list[tuple[Part, tuple[int, ...]]] = []
        box_of = [0] * len(self)
        for part in parts:
            members = tuple(part.members()) if isinstance(part, Group) else (part,)
            for i in members:
                box_of[i] = len(boxes)
            boxes.append((part, members))
        edges = self._edges(parts, box_of)
        feeds: dict[int, set[int]] = {number: set() for number in range(len(boxes))}
        for edge in edges:
            feeds[edge.source].add(edge.target)
        order = _sources_first(feeds, {number: members[-1] for number, (_, members) in enumerate(boxes)})
        place = {number: k for k, number in enumerate(order)}
        edges = [edge._replace(source=place[edge.source], target=place[edge.target]) for edge in edges]
        outgoing: dict[int, list[int]] = defaultdict(list)
        for i, parents in enumerate(self.parents):
            for p in parents:
                if box_of[p] != box_of[i] and isinstance(parts[box_of[p]], Group):
                    outgoing[box_of[p]].append(p)
        outgoing[box_of[self.root]].append(self.root)
        made = [self._box(boxes[number][0], boxes[number][1], outgoing[number]) for number in order]
        return Picture(made, edges, place[box_of[self.root]], self._caption(made, folds))

    def _edges(self, parts: list[Part], box_of: list[int]) -> list[Edge]:
        found: dict[tuple[int, int, int], list[tuple[float | None, float | None]]] = {}
        for i, parents in enumerate(self.parents):
            target = box_of[i]
            for port, p in enumerate(parents):
                source = box_of[p]
                if source != target:
                    folded = isinstance(parts[source], Group) or isinstance(parts[target], Group)
                    flow = self.contribution(i, port)
                    local = self.partials[i][port] if flow is not None else None
                    found.setdefault((target, -1 if folded else port, source), []).append((local, flow))
        ports: dict[int, int] = defaultdict(int)
        edges = []
        for (target, _, source), contributions in found.items():
            flows = [abs(flow) for _, flow in contributions if flow is not None]
            local = contributions[0][0] if len(contributions) == 1 else None
            edges.append(Edge(source, target, ports[target], local, added(flows) if flows else None, len(contributions)))
            ports[target] += 1
        return edges

    def _box(self, part: Part, members: tuple[int, ...], outgoing: list[int]) -> Box:
        if not isinstance(part, Group):
            grad = self.grad[part]
            tag = self.ops[part] or self.kinds[part]
            return Box(self.kinds[part], self.labels[part], tag, (self.data[part],), () if grad is None else (grad,), members)
        grads = [g for i in outgoing if (g := self.grad[i]) is not None]
        calls = len({self._place[i][1] for i in members if self._place[i][1]})
        size = f"{len(members):,} values".replace(",", "\u202f")
        tag = ", ".join(filter(None, [part.within, f"{calls} calls" if calls > 1 else size]))
        if part.kind in ("alike", "gap"):
            tag = ""
        return Box("fold", part.name, tag, _range([self.data[i] for i in outgoing]), _range(grads), members)

    def _caption(self, boxes: list[Box], folds: list[Group]) -> list[str]:
        """What the picture leaves out and how to see it."""
        folded = [box for box in boxes if box.kind == "fold"]
        if not folded:
            return []
        inside, among = (f"{n:,}".replace(",", "\u202f") for n in (sum(len(box.members) for box in folded), len(self)))
        stand = "1 box stands" if len(folded) == 1 else f"{len(folded)} boxes stand"
        name = next((f".draw(unfold={group.name!r}), " for group in folds if group.kind in _STAGES[:5]), "")
        return [f"Folded: {stand} for {inside} of {among} values. To see them: {name}.draw(limit=None), or .explore()."]


def visible(tree: Group, limit: int | None, unfold: tuple[str, ...] = ()) -> tuple[list[Part], list[Group]]:
    """The parts that are boxes of the picture, in order, and those of them that are folded groups."""
    opened: set[Group] = set()
    if unfold:
        opened = _to_open(tree, unfold)

    def shown() -> list[Part]:
        parts: list[Part] = []
        stack: list[Part] = list(reversed(tree.parts))
        while stack:
            part = stack.pop()
            if isinstance(part, Group) and (limit is None or part in opened):
                stack.extend(reversed(part.parts))
            else:
                parts.append(part)
        return parts

    parts = shown()
    for stage in _STAGES if limit is not None else ():
        candidates = [part for part in parts if isinstance(part, Group) and part.kind == stage]
        if stage == "alike":  # a dozen tell nothing that one of them does not
            candidates = [group for group in candidates if group.size <= 6]
        if candidates and len(parts) + sum(len(group.parts) - 1 for group in candidates) <= (limit or 0):
            opened.update(candidates)
            parts = shown()
        elif candidates:
            break
    return parts, [part for part in parts if isinstance(part, Group)]


def _to_open(tree: Group, unfold: tuple[str, ...]) -> set[Group]:
    """The groups named in `unfold`, as "layer 1" or "layer 1/neuron 2", with those around them."""
    opened: set[Group] = set()
    found: set[str] = set()
    names: dict[str, None] = {}
    waiting: list[tuple[Group, tuple[Group, ...]]] = [(part, ()) for part in tree.parts if isinstance(part, Group)]
    for group, around in waiting:  # grows while it is read: outer groups first
        path = "/".join(g.name for g in (*around, group))
        names[group.name] = None
        for name in {group.name, path, *group.name.split(", ")}.intersection(unfold):
            found.add(name)
            opened.update((*around, group))
        waiting.extend((part, (*around, group)) for part in group.parts if isinstance(part, Group))
    if missing := [name for name in unfold if name not in found]:
        known = ", ".join(list(names)[:12]) or "nothing"
        raise ValueError(f"no group is called {missing[0]!r}; this picture can unfold: {known}")
    return opened


def added(sizes: Iterable[float]) -> float:
    """The sum of sizes, rounded once; infinite where it is beyond the floats."""
    try:
        return math.fsum(sizes)
    except OverflowError:
        return math.inf


def _operands(value: Value) -> tuple[Any, ...]:
    """The operands as the node stores them: unlike `.parents`, numbers stay numbers, so nothing is made and kept."""
    x: Any = value._x
    if x is None:
        return ()
    if x.__class__ is tuple:
        return tuple(x)
    return (x, value._y)[: len(value.rule.partials)] if value.rule is not None else (x,)


def _partials(value: Value, count: int) -> tuple[float, ...]:
    return tuple(value._dx) if value._x.__class__ is tuple else (value._dx, value._dy)[:count]


def _kind_of(path: tuple[str, ...], depth: int) -> str:
    """The kind of the group that a path names at this depth: its first word."""
    word = path[depth].split(" ")[0]
    return word if word in _STAGES else "call" if path[0] == "inputs" or "inputs" in path[:depth] else "network"


def _gapped(parts: list[Part], limit: int | None, head: int, tail: int) -> list[Part]:
    """`parts`, given in order, with all between the first `head` and the last `tail` as one group where they are many."""
    if limit is None or len(parts) <= limit:
        return parts
    first, last = parts[: min(head, limit // 3)], parts[len(parts) - min(tail, limit // 2) :] if tail else []
    middle = parts[len(first) : len(parts) - len(last)]
    return [*first, *_chunks(middle, max(limit, 10), whole=bool(first or last)), *last]


def _chunks(parts: list[Part], limit: int, whole: bool) -> list[Part]:
    """Consecutive parts as groups of groups, at most ten (or `limit` values) in each; as one group where `whole`."""
    level = parts
    while len(level) > 10 and (level is not parts or len(level) > limit or not whole):
        size = limit if level is parts else 10
        level = [_gap(level[i : i + size]) for i in range(0, len(level), size)]
    return [_gap(level)] if whole else level


def _gap(parts: list[Part]) -> Group:
    gap = Group("gap", "", parts)
    gap.name = f"… {gap.size:,} more …".replace(",", "\u202f")
    return gap


def _sources_first(feeds: dict[Any, set[Any]], last: dict[Any, int]) -> list[Any]:
    """The keys of `feeds` so that each comes before those that it feeds, and otherwise in the order of `last`."""
    waiting = dict.fromkeys(feeds, 0)
    for targets in feeds.values():
        for t in targets:
            waiting[t] += 1
    named = {last[key]: key for key in feeds}
    heap = [last[key] for key, count in waiting.items() if count == 0]
    heapq.heapify(heap)
    ordered = []
    while heap:
        key = named[heapq.heappop(heap)]
        ordered.append(key)
        for t in feeds[key]:
            waiting[t] -= 1
            if waiting[t] == 0:
                heapq.heappush(heap, last[t])
    return ordered


def _range(numbers: list[float]) -> tuple[float, ...]:
    """() of none, the number itself where all are equal, else the least and the greatest; nan where there is one."""
    if not numbers:
        return ()
    if any(x != x for x in numbers):
        return (math.nan,)
    low, high = min(numbers), max(numbers)
    return (low,) if low == high else (low, high)
