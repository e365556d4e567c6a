"""The labels of networks: the textbook's, as text and as data.

`neurons` gives them to weights, biases and nodes; drawings and explanations read their parts.
"""

from __future__ import annotations


class Label(str):
    """The label W_12^[3], which knows its parts: `letter` W, `indices` (1, 2), `layer` 3, and its place.

    `scope` is ("layer i", "neuron k"), by which drawings fold. With an index of two digits it reads W_1,12^[3]. There are no
    braces in it, so that it goes into DOT's record labels as it is; mathematics is made where it is drawn.
    """

    __slots__ = ("indices", "layer", "letter", "scope")
    letter: str
    indices: tuple[int, ...]
    layer: int
    scope: tuple[str, ...]

    def __new__(cls, letter: str, indices: tuple[int, ...], layer: int, scope: tuple[str, ...]) -> Label:
        low = ("," if max(indices) > 9 else "").join(map(str, indices))
        label = super().__new__(cls, f"{letter}_{low}^[{layer}]")
        label.letter, label.indices, label.layer, label.scope = letter, indices, layer, scope
        return label

    def __getnewargs__(self) -> tuple[str, tuple[int, ...], int, tuple[str, ...]]:  # type: ignore[override]
        return self.letter, self.indices, self.layer, self.scope
