"""Aligning two sequences: which items of one belong to which of the other, and which to none.

`joins` does this with the terms of two sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Places = list[tuple[int | None, int | None]]  # pairs of places, one in each sequence; None for an item without a partner
UNLIKE = 16  # sequences that differ in more items are not aligned


def aligned(xs: Sequence[T], ys: Sequence[T], apart: Callable[[T, T], float]) -> Places | None:
    """The places of aligned items, in order; None if too many items differ.

    `apart` gives the cost of aligning two items. An item without a partner costs 1.

    >>> aligned("abcd", "acxd", lambda x, y: 0.0 if x == y else 3.0)
    [(0, 0), (1, None), (2, 1), (None, 2), (3, 3)]
    """
    start, m, n = 0, len(xs), len(ys)
    while start < min(m, n) and xs[start] == ys[start]:
        start += 1
    while min(m, n) > start and xs[m - 1] == ys[n - 1]:
        m, n = m - 1, n - 1
    if max(m, n) - start > UNLIKE:
        return None
    costs = [[apart(x, y) for y in ys[start:n]] for x in xs[start:m]]
    middle = [(i if i is None else start + i, j if j is None else start + j) for i, j in _cheapest(costs, m - start, n - start)]
    return [*[(i, i) for i in range(start)], *middle, *[(m + k, n + k) for k in range(len(xs) - m)]]


def _cheapest(costs: list[list[float]], m: int, n: int) -> Places:
    """The alignment of m and n items with the lowest total cost (edit distance, by dynamic programming)."""
    least = [[0.0] * (n + 1) for _ in range(m + 1)]  # the lowest cost of the items from places i and j on
    for i in range(m, -1, -1):
        for j in range(n, -1, -1):
            ways = [least[i + 1][j] + 1.0] if i < m else []
            ways += [least[i][j + 1] + 1.0] if j < n else []
            ways += [least[i + 1][j + 1] + costs[i][j]] if i < m and j < n else []
            least[i][j] = min(ways, default=0.0)
    found: Places = []
    i = j = 0
    while i < m or j < n:
        if i < m and least[i][j] == least[i + 1][j] + 1.0:
            found.append((i, None))
            i += 1
        elif j < n and least[i][j] == least[i][j + 1] + 1.0:
            found.append((None, j))
            j += 1
        else:
            found.append((i, j))
            i, j = i + 1, j + 1
    return found
