"""Drawings of graphs of daily use fit a page 850 pixels wide, with text of at least 9 pixels, and nothing in them overlaps."""

import itertools
import re

import pytest
from zoo import ZOO

from micrograd.draw.boxes_and_arrows import place

WIDTH = 850


def size_of_text(svg):
    """The smallest text of a picture, in pixels."""
    return min(map(float, re.findall(r'font-size="([\d.]+)"', svg)))


def width_of(svg):
    return float(re.search(r'<svg [^>]*width="([\d.]+)"', svg)[1])


def test_the_zoo_is_large_enough():
    assert len(ZOO) >= 40


@pytest.mark.parametrize("name", ZOO)
def test_it_fits_the_page_and_no_text_is_small(name):
    drawing = ZOO[name]().draw(width=WIDTH)
    assert size_of_text(drawing.svg) >= 9
    assert (
        width_of(drawing.svg) <= WIDTH - 4
    )  # a notebook's cell leaves so much of 850: nothing is shrunk, or has to be scrolled


@pytest.mark.parametrize("name", ["Black-Scholes", "KL", "third order", "kinematics", "Newton 3", "Rosenbrock 4", "GRU"])
def test_formulas_of_a_textbook_are_shown_whole(name):
    assert ZOO[name]().draw().picture.caption == []


def test_folds_are_named_and_numbered_briefly():
    boxes = {box.label: box for box in ZOO["attention"]().draw().picture.boxes}
    assert {"3× (Σxy)", "3× (x / 1.414)", "3× (x − y)", "3× (exp)"} < boxes.keys()
    svg = ZOO["attention"]().draw().svg
    assert "−0.649 … 0.465" in svg and "×3 at an arrow: it stands for so many" in svg
    assert "∂ 0.000623<" in ZOO["Euler 100"]().draw().svg  # and not the same number twice


def apart(one, two):
    (x, y, w, h), (u, v, p, q) = one, two
    return x + w <= u + 1e-6 or u + p <= x + 1e-6 or y + h <= v + 1e-6 or v + q <= y + 1e-6


@pytest.mark.parametrize("name", ZOO)
def test_nothing_overlaps(name):
    drawing = ZOO[name]().draw()
    placed = place(drawing.picture, drawing.rankdir)
    rectangles = [*placed.boxes, *filter(None, placed.labels)]
    assert all(apart(one, two) for one, two in itertools.combinations(rectangles, 2))


@pytest.mark.parametrize("name", ["readme", "Black-Scholes", "RNN 10", "MLP 2-3-2"])
def test_a_direction_a_limit_and_unfold_are_obeyed(name):
    root = ZOO[name]()
    for rankdir in ("LR", "TB"):
        assert root.draw(rankdir=rankdir, limit=90).rankdir == rankdir
    everything = root.draw(unfold="all")
    assert len(everything.picture.boxes) == len(everything.graph) - len(everything.graph.literals)
    assert len(root.draw(limit=5).picture.boxes) <= 9
    narrow, wide = root.draw(width=500), root.draw(width=1600)
    assert width_of(narrow.svg) <= 496 and width_of(wide.svg) <= 1596
    assert len(narrow.picture.boxes) <= len(wide.picture.boxes)
