"""How the graph folds: its values in a tree of groups, and which of them are open.

`snapshot` comes before, `picture` after. Groups are scopes, networks, layers, neurons, calls, parts that are alike, and gaps.
Inside every group, the parts depend on each other without a cycle. So whichever groups are open, the visible boxes have no
cycle either. Values are not grouped by the function or loop that made them: noting the line would cost every operation 21 % of
its time, and noting only the function would not tell one turn of a loop from the next.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, TypeAlias, Union

from micrograd.draw.snapshot import Graph, general
from micrograd.formula.text import clean

LIMIT = 90  # boxes in one picture at most, by default
_HEAD, _TAIL = 15, 25  # values of a long chain that stay before and after its folded middle
_HUGE = 100_000  # a graph of more values, without networks and scopes, is not searched for parts that are alike
STAGES = ("network", "layer", "inputs", "neuron", "call", "alike")  # the order in which groups open while there is room

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


def tree(graph: Graph, limit: int | None = LIMIT) -> Group:
    """The whole graph as one group of groups. Parts that are alike, and middles of chains, are groups above `limit` parts."""
    return _Folding(graph, limit).tree()


class _Folding:
    def __init__(self, graph: Graph, limit: int | None):
        self.graph, self.limit = graph, limit

    def tree(self) -> Group:
        paths, limit = self._paths(), self.limit
        members = [i for i in range(len(self.graph)) if i not in self.graph.literals]
        if limit is not None and len(self.graph) > _HUGE and not any(paths):  # one long list whose middle folds
            return Group("all", "", _gapped(list(members), limit, _HEAD, _TAIL))
        height = [0] * len(self.graph)
        for i, parents in enumerate(self.graph.parents):
            if parents:
                height[i] = 1 + max([height[p] for p in parents])
        return Group("all", "", self._parts(members, 0, paths, height, limit))

    def _paths(self) -> list[tuple[str, ...]]:
        """For each value the names of the groups it is in, outermost first; () for those outside of networks and scopes."""
        n = len(self.graph)
        scopes, around = self.graph.scopes, self._blocks()
        if not any(scopes):
            return around
        network = [place[0] for place in self.graph.place]
        for i, parents in enumerate(self.graph.parents):  # parameters belong to the first network that uses them
            for p in parents:
                if network[i] and not network[p] and scopes[p]:
                    network[p] = network[i]
        calls = defaultdict(set)
        for i in range(n):
            if scopes[i] and self.graph.ops[i]:
                calls[network[i]].add(self.graph.place[i][1])
        several = len({network[i] for i in range(n) if scopes[i]}) > 1
        paths: list[tuple[str, ...]] = []
        for i, scope in enumerate(scopes):
            path = tuple(scope)
            if path and several:
                path = (f"network {network[i]}" if network[i] else "outside of networks", *path)
            if path and self.graph.kinds[i] == "input":
                path = (*path, self.graph.labels[i])
            elif path and self.graph.ops[i] and len(calls[network[i]]) > 1:
                path = (*path, f"call {self.graph.place[i][1]}")
            paths.append(path)
        self._absorb(paths)
        return [(*outer, *path) for outer, path in zip(around, paths, strict=True)]

    def _blocks(self) -> list[tuple[str, ...]]:
        """For each value the names of the scopes that it was made in; blocks of the same name are numbered in their order.

        A leaf or constant is in the innermost scope that holds all its consumers.
        """
        blocks = [list(found) for found in self.graph.blocks]
        if not any(blocks):
            return [()] * len(blocks)
        shared: list[list[tuple[str, int]] | None] = [None] * len(blocks)
        for i, parents in enumerate(self.graph.parents):
            for p in parents:
                if not self.graph.ops[p]:
                    before = shared[p]
                    same = blocks[i] if before is None else [a for a, b in zip(before, blocks[i], strict=False) if a == b]
                    shared[p] = same
        inside = [tuple(found if self.graph.ops[i] else shared[i] or ()) for i, found in enumerate(blocks)]
        entries: dict[tuple[Hashable, ...], set[int]] = defaultdict(set)  # the blocks of one name inside one block
        for found in inside:
            for depth, (name, number) in enumerate(found):
                entries[(*found[:depth], name)].add(number)
        order = {key: {number: k for k, number in enumerate(sorted(numbers), start=1)} for key, numbers in entries.items()}
        named = []
        for found in inside:
            names = []
            for depth, (name, number) in enumerate(found):
                counted = order[(*found[:depth], name)]
                names.append(clean(name) if len(counted) == 1 else f"{clean(name)} {counted[number]}")
            named.append(tuple(names))
        return named

    def _absorb(self, paths: list[tuple[str, ...]]) -> None:
        """Give a neuron's path also to the values between its own, such as the steps of a user-defined activation."""
        common: list[Any] = [None] * len(self.graph)  # the path of all consumers; "" where they differ
        for i in reversed(range(len(self.graph))):
            path = paths[i] or (common[i] if self.graph.ops[i] else None) or ""
            for p in self.graph.parents[i]:
                common[p] = path if common[p] in (None, path) else ""
        inside = [bool(path) for path in paths]
        for i, parents in enumerate(self.graph.parents):
            if not inside[i] and self.graph.ops[i] and common[i] and any(paths[p] == common[i] for p in parents):
                paths[i], inside[i] = common[i], True
        for i, parents in enumerate(self.graph.parents):
            for p in parents:
                if paths[i] and self.graph.kinds[p] == "constant" and not paths[p] and common[p] == paths[i]:
                    paths[p] = paths[i]

    def _parts(
        self, members: Iterable[int], depth: int, paths: list[tuple[str, ...]], height: list[int], limit: int | None
    ) -> list[Part]:
        """Members of one group as its parts, sources first: grouped by the names at this depth of their paths."""
        members = list(members)
        if depth and all(len(paths[i]) <= depth for i in members):  # no groups inside, and members are in order already
            return _gapped([*members], limit, _HEAD, _TAIL)
        key: dict[int, Hashable] = {i: paths[i][depth] if len(paths[i]) > depth else i for i in members}
        # Groups on a cycle are split by their calls. Where that is not enough (a parameter has no call), they are split by
        # height above the leaves too: groups of values of one height form no cycle.
        for finer in (lambda i: self.graph.place[i], lambda i: height[i]):
            tangled = self._tangled(key)
            if not tangled:
                break
            for i in members:
                if key[i] in tangled and not isinstance(key[i], int):
                    key[i] = (key[i], finer(i))
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
                elif (
                    isinstance(block, tuple)
                    and len(calls := {self.graph.place[i][1] for i in inside if self.graph.ops[i]}) == 1
                ):
                    group.name += f", call {calls.pop()}"
                parts.append(group)
        return _gapped(parts, limit, _HEAD, _TAIL)

    def _links(self, key: dict[int, Hashable]) -> dict[Hashable, set[Hashable]]:
        """Which blocks each block feeds."""
        links: dict[Hashable, set[Hashable]] = {block: set() for block in key.values()}
        for i, block in key.items():
            for p in self.graph.parents[i]:
                if p in key and key[p] != block:
                    links[key[p]].add(block)
        return links

    def _tangled(self, key: dict[int, Hashable]) -> set[Hashable]:
        """The blocks that lie on a cycle, or between two: what is left when sources, then sinks, are taken away repeatedly."""
        links = self._links(key)
        for _ in range(2):
            waiting = dict.fromkeys(links, 0)
            for targets in links.values():
                for t in targets:
                    waiting[t] += 1
            free = [b for b, count in waiting.items() if count == 0]
            for b in free:  # the list grows during the loop
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
        return sources_first(self._links(key), {block: members[-1] for block, members in blocks.items()})

    def _merge_alike(self, key: dict[int, Hashable], names: dict[Hashable, str], kinds: dict[Hashable, str]) -> None:
        """Put single values into one block that apply the same operation to operands from the same blocks.

        Values of equal signature have the same height above the leaves, so no cycle arises.
        """
        numbers: dict[Hashable, int] = {}
        signature: dict[Hashable, Hashable] = {}
        consumers: dict[int, list[tuple[int, int]]] = defaultdict(list)
        blocks: dict[Hashable, list[int]] = defaultdict(list)
        for i in key:
            blocks[key[i]].append(i)
            for port, p in enumerate(self.graph.parents[i]):
                consumers[p].append((i, port))
        for block in self._sorted_blocks(key, blocks):
            i = block if isinstance(block, int) else -1
            if i < 0 or i == self.graph.root or (not self.graph.ops[i] and len(consumers[i]) != 1):
                sign: Hashable = ("itself", block)
            elif not self.graph.ops[i]:
                consumer, port = consumers[i][0]
                sign = (self.graph.kinds[i], self.graph.ops[consumer], port)
            else:
                sign = (
                    self.graph.ops[i],
                    self.graph.labels[i],
                    tuple([signature[key[p]] if p in key else None for p in self.graph.parents[i]]),
                )
            signature[block] = numbers.setdefault(sign, len(numbers))
        alike: dict[Hashable, list[int]] = defaultdict(list)
        for i in list(key):
            if self.graph.ops[i] and isinstance(key[i], int) and i != self.graph.root:
                alike["op", signature[key[i]]].append(i)
        for block, found in list(alike.items()):
            if len(found) < 3:
                del alike[block]
        merged = {i: block for block, found in alike.items() for i in found}
        for i in list(key):  # leaves and constants merge where their consumers do, or where one operation takes many
            if not self.graph.ops[i] and isinstance(key[i], int) and len(consumers[i]) == 1:
                consumer, port = consumers[i][0]
                if consumer in merged:
                    alike[self.graph.kinds[i], merged[consumer], port].append(i)
                elif len(self.graph.parents[consumer]) > 8:
                    alike[self.graph.kinds[i], consumer].append(i)
        for block, found in alike.items():
            if len(found) >= 3:
                names[block], kinds[block] = self._alike(found), "alike"
                for i in found:
                    key[i] = block

    def _alike(self, found: list[int]) -> str:
        """The name of a group of values that are alike: by their label, their operation, or their kind."""
        labels, first = {self.graph.labels[i] for i in found}, found[0]
        label = labels.pop() if len(labels) == 1 else ""
        rule = self.graph.rules[first]
        if rule is None:
            return f"{len(found)} {label or f'{self.graph.kinds[first]}s'.replace('leafs', 'leaves')}"
        written = {self.graph.written(i, names=False) for i in found}
        name = written.pop() if len(written) == 1 else ""
        alone = len(name) == 1 and not name.isalpha()  # a sign, such as ×, is clearer with operands
        return f"{len(found)}× ({label or (name if name and not alone else general(rule))})"


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
    for stage in STAGES if limit is not None else ():
        candidates = [part for part in parts if isinstance(part, Group) and part.kind == stage]
        if stage == "alike":  # opening a larger one would show nothing new
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
    for group, around in waiting:  # the list grows during the loop: outer groups come first
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


def _kind_of(path: tuple[str, ...], depth: int) -> str:
    """The kind of the group that a path names at this depth: its first word."""
    word = path[depth].split(" ")[0]
    return word if word in STAGES else "call" if path[0] == "inputs" or "inputs" in path[:depth] else "network"


def _gapped(parts: list[Part], limit: int | None, head: int, tail: int) -> list[Part]:
    """`parts`, given in order. Where they are more than `limit`, those between the first `head` and the last `tail` become one
    group; with neither, all become groups of groups.
    """
    if limit is None or len(parts) <= limit:
        return parts
    first, last = parts[: min(head, limit // 3)], parts[len(parts) - min(tail, limit // 2) :] if tail else []
    middle = parts[len(first) : len(parts) - len(last)]
    return [*first, *_chunks(middle, max(limit, 10), whole=bool(first or last)), *last]


def _chunks(parts: list[Part], limit: int, whole: bool) -> list[Part]:
    """Consecutive parts as groups of groups: `limit` parts in each of the innermost, ten groups in others; one if `whole`."""
    level = parts
    while len(level) > 10 and (level is not parts or len(level) > limit or not whole):
        size = limit if level is parts else 10
        level = [_gap(level[i : i + size]) for i in range(0, len(level), size)]
    return [_gap(level)] if whole else level


def _gap(parts: list[Part]) -> Group:
    gap = Group("gap", "", parts)
    gap.name = f"… {gap.size:,} more …".replace(",", "\u202f")
    return gap


def sources_first(feeds: dict[Any, set[Any]], last: dict[Any, int]) -> list[Any]:
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
