"""Axes are found again in runs of positions, short ones and long ones."""

import numpy as np
import pytest

from micrograd.tape.scheduling.positions import shape_of


@pytest.mark.parametrize("shape", [(3, 4), (40, 50), (2, 30, 40)])
def test_the_axes_of_a_grid_are_found(shape):
    strides = tuple([7 * 1000**k for k in reversed(range(len(shape)))])
    grid = sum(
        s * np.arange(n).reshape([-1 if k == i else 1 for k in range(len(shape))])
        for i, (n, s) in enumerate(zip(shape, strides, strict=True))
    )
    assert shape_of([grid.ravel() + 5]) == (shape, [strides])
