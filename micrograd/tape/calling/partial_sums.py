"""Sums over samples in parts: the sums of the chunks of an array are merged, to the bits of one sum over all of it.

The sum that `reference.total` defines is a tree: its leaves are units of samples (blocks, or the spans of `branches`), and each
node above adds two neighbours. A chunk that begins and ends between units is a forest of complete subtrees; two forests
beside each other merge to the nodes of the same tree, in whatever order they come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Forest = dict[tuple[int, int], Array]  # the sums of nodes by their level and number there


def subtrees(first: int, count: int, units: int) -> Iterator[tuple[int, int, int, int]]:
    """The fewest nodes that cover `count` units from `first` on, of `units` in all: level, number, first unit, end.

    A node at the end is complete with the units that there are.
    """
    end = first + count
    while True:
        level = (end - first - 1).bit_length() if end == units else (end - first).bit_length() - 1
        if first:
            level = min(level, (first & -first).bit_length() - 1)
        after = min(first + (1 << level), end)
        yield level, first >> level, first, after
        if after == end:
            return
        first = after


@np.errstate(over="ignore", invalid="ignore")
def merged(forests: Iterable[Forest], units: int) -> Forest:
    """The nodes of all forests, with neighbours added wherever both are there."""
    nodes: Forest = {}
    for forest in forests:
        nodes.update(forest)
    level, last = 0, units - 1
    while last:
        for _, i in [key for key in nodes if key[0] == level]:
            if i % 2 == 0 and (level, i + 1) in nodes:
                nodes[level + 1, i // 2] = nodes.pop((level, i)) + nodes.pop((level, i + 1))
            elif i % 2 == 0 and i == last:  # the last one, without a neighbour, goes up as it is
                nodes[level + 1, i // 2] = nodes.pop((level, i))
        level, last = level + 1, last >> 1
    return nodes
