"""A drawing step by step, as a series of pictures of one size: forward through the values, then back through the gradients.

`boxes_and_arrows` and `network_picture` make each scene, `saving` writes it. A step is one operation, or in a network one
layer. Each step is described in words.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from micrograd.draw.boxes_and_arrows import Placed, caption, scene
from micrograd.draw.lettering import clip, numbers, plain
from micrograd.draw.network import Network
from micrograd.draw.network_picture import Until, drawn
from micrograd.draw.saving import of_scene
from micrograd.draw.scene import Scene
from micrograd.draw.snapshot import Graph
from micrograd.draw.style import Style
from micrograd.saving import replacing


def frames(steps: Iterable[tuple[Scene, str]], pattern: str | os.PathLike[str]) -> list[str]:
    """Write each picture to a file named by `pattern`, the step's number in place of its `*`; returns the paths.

    ValueError where the pattern has no `*`, or more than one, or one in the name of a folder.
    """
    before, star, after = os.fspath(pattern).rpartition("*")
    if not star or "*" in before or os.sep in after:
        raise ValueError(f'frames need a pattern with one * for the number of the step, such as "step-*.svg", got {pattern!r}')
    made = list(steps)
    ending = os.path.splitext(f"step{after}")[1].lower()
    paths = []
    for k, (shown, said) in enumerate(made, 1):
        path = f"{before}{k:0{len(str(len(made)))}}{after}"
        content = of_scene(shown._replace(title=f"{shown.title}, step {k} of {len(made)}: {said}"), ending)
        with replacing(path) as file:
            file.write(content)
        paths.append(path)
    return paths


def graph_steps(placed: Placed, title: str, style: Style, lit: set[int] | None) -> Iterator[tuple[Scene, str]]:
    """The steps of a graph that has been laid out, as scenes and their descriptions; boxes that are `lit` stand out."""
    boxes, edges = placed.picture.boxes, placed.picture.edges
    legend = caption(placed, style, max(placed.size[0], 400.0))
    made = [i for i, box in enumerate(boxes) if box.kind in ("operation", "fold")]
    values = set(range(len(boxes))) - set(made)
    through: set[int] = set()  # the boxes that the backward pass has gone through
    waiting = [{edge.target for edge in edges if edge.source == i} for i in range(len(boxes))]

    def picture(said: str, backward: bool) -> tuple[Scene, str]:
        grads = {i for i in range(len(boxes)) if backward and waiting[i] <= through}
        shown = [box._replace(data=box.data if i in values else (), grad=box.grad if i in grads else (),
                              broken=box.broken if (box.broken == "value" and i in values) or i in grads else "")
                 for i, box in enumerate(boxes)]  # fmt: skip
        texts = [text if edge.target in through else "" for edge, text in zip(edges, placed.texts, strict=True)]
        labels = [spot if text else None for spot, text in zip(placed.labels, texts, strict=True)]
        now: Placed = placed._replace(picture=placed.picture._replace(boxes=shown), texts=texts, labels=labels)
        lines = [*legend, [(said, style.palette.ink)]]
        return scene(now, title, style, lit, lines), said

    yield picture("Given: the leaves", False)
    for i in made:
        values.add(i)
        name = clip(plain(boxes[i].label)) or boxes[i].tag
        yield picture(f"Forward: {name} = {numbers(boxes[i].data, style.digits)}", False)
    yield picture("Backward: the gradient of the output is 1", True)
    for i in reversed(made):
        through.add(i)
        name = clip(plain(boxes[i].label)) or boxes[i].tag
        yield picture(f"Backward through {name}: its gradient times the number at each arrow", True)


def network_steps(
    graph: Graph, network: Network, title: str, style: Style, width: float, call: int | None
) -> Iterator[tuple[Scene, str]]:
    """The steps of a network's picture, of one `call`, or of means over all where that is None."""
    last = len(network.layers)
    steps = [(Until(c, last + 2), f"Forward: layer {c}" if c else "Given: the inputs") for c in range(last + 1)]
    if network.layers[-1][0].a != (graph.root,):
        steps.append((Until(last + 1, last + 2), "Forward: the loss"))
    steps += [(Until(last + 1, c), f"Backward: δ and ∂W of layer {c}") for c in range(last, 0, -1)]
    for until, said in steps:
        yield drawn(graph, network, title, style, width, (), call, until).scene, said
