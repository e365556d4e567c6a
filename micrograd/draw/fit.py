"""How a graph is made to fit the page: which way it runs, and how much of it is folded.

`picture` and `boxes_and_arrows` come before: this chooses among what they make. Text is never shrunk; a picture that cannot
fit scrolls.
"""

from __future__ import annotations

from collections.abc import Iterator

from micrograd.draw.boxes_and_arrows import MARGIN, Measured, Placed, contents, measured, place
from micrograd.draw.folding import LIMIT
from micrograd.draw.picture import Picture, picture
from micrograd.draw.snapshot import Graph

_TALL = 1.7  # a picture higher than so many widths of the page is folded further
_LIMITS = (LIMIT, 60, 40, 28, 20, 14, 9, 5)  # the limits of boxes that are tried, in this order


def fitted(
    graph: Graph, rankdir: str | None, limit: int | None, unfold: tuple[str, ...], width: float, digits: int
) -> tuple[Placed, bool]:
    """The picture with the most boxes that fits a page of this `width`, and whether it fits.

    It runs to the right if it fits so, else down. A direction, a limit or `unfold` that is given is obeyed. Where nothing
    fits, it is the picture with the fewest boxes, in the direction in which it is narrower.
    """
    room, tall = width - 2 * MARGIN, _TALL * width
    narrowest: tuple[float, Picture, Measured] | None = None
    for made in _pictures(graph, limit, unfold, digits):
        narrowest, inside = None, contents(made, digits)
        for direction in (rankdir,) if rankdir else ("LR", "TB"):
            sizes = measured(inside, direction)
            wide, high = sizes.least()
            if wide <= room and high <= tall:
                placed = place(made, sizes=sizes)
                wide, high = placed.size
                if wide <= room and high <= tall:
                    return placed, True
            if narrowest is None or max(wide, room) < max(narrowest[0], room):
                narrowest = wide, made, sizes
    assert narrowest is not None
    return place(narrowest[1], sizes=narrowest[2]), False


def _pictures(graph: Graph, limit: int | None, unfold: tuple[str, ...], digits: int) -> Iterator[Picture]:
    """The pictures to try, the largest first."""
    if "all" in unfold:
        yield picture(graph, None, (), digits)
        return
    before = 0
    for most in (limit,) if limit else _LIMITS[:1] if unfold else _LIMITS:
        made = picture(graph, most, unfold, digits)
        if len(made.boxes) != before:
            yield made
        before = len(made.boxes)
