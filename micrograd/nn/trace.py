"""What went through a network on the way to a loss, and back: z, a, g′(z) and δ of each layer, as arrays.

With them every factor of ∂L/∂W_jk = (Σ_l δ_l W_kl) g′(z_k) a_j stands in an array. `neurons` comes before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from micrograd.engine import Value, adjoints, topological_order
from micrograd.nn.module import Module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_SHOWN = 6  # neurons of a layer in the table


class LayerTrace(NamedTuple):
    """One layer: `W` by [j, k] and `b`; `inputs`, z, a, g′(z) as `slope` and δ = ∂L/∂z as `delta`, by neuron.

    Where the network was called several times, all but W and b have one row for each call.
    """

    W: Array
    b: Array
    inputs: Array
    z: Array
    a: Array
    slope: Array
    delta: Array


class Trace(tuple[LayerTrace, ...]):
    """The layers of a network, first to last; it shows itself as a table of δ."""

    output: Value

    def __repr__(self) -> str:
        digits = 4
        name = self.output.label or "the output"
        lines = [["layer", "neurons", "max |δ|", "mean |δ|", "δ"]]
        for i, layer in enumerate(self, 1):
            delta = layer.delta if layer.delta.ndim == 1 else layer.delta.mean(axis=0)
            shown = [f"{x:.{digits}g}" for x in delta[:_SHOWN]] + ["…"] * (len(delta) > _SHOWN)
            size = abs(layer.delta)
            row = [str(i), str(len(delta)), f"{size.max():.{digits}g}", f"{size.mean():.{digits}g}", "  ".join(shown)]
            lines.append(row)
        if self and self[0].delta.ndim > 1:
            lines[0][-1] = f"δ, mean of {len(self[0].delta)} calls"
        widths = [max(map(len, column)) for column in list(zip(*lines, strict=True))[:-1]]
        table = ["  ".join([*[cell.rjust(w) for cell, w in zip(row, widths, strict=False)], row[-1]]) for row in lines]
        return "\n".join([f"δ = ∂/∂z of {name} = {self.output.data:.{digits}g}", *table])


def trace(model: Module, x: Any) -> Trace:
    """The Trace of `model` in the graph below `x`, its loss or another Value; or in model(x), of one output."""
    import numpy as np

    output = x if isinstance(x, Value) else model(x)  # type: ignore[operator]
    if not isinstance(output, Value):
        raise TypeError(
            f"trace takes a Value that depends on the network, such as its loss, for {model!r:.60} has several outputs"
        )
    order, found = topological_order(output), adjoints(output)
    consumers: dict[Value, list[Value]] = defaultdict(list)
    for node in order:
        for parent in node.parents:
            consumers[parent].append(node)
    made = Trace([_layer(np, layer, found, consumers) for layer in _layers(model)])
    if not made:
        raise TypeError(f"trace is for networks of Layers, and {model!r:.60} has none")
    made.output = output
    return made


def _layers(model: Any) -> Iterator[Any]:
    """The layers in a module, in the order of its attributes."""
    if hasattr(model, "neurons"):
        yield model
        return
    for held in vars(model).values():
        for part in held if isinstance(held, (list, tuple)) else [held]:
            if isinstance(part, Module):
                yield from _layers(part)


def _layer(np: Any, layer: Any, found: dict[Value, float], consumers: dict[Value, list[Value]]) -> LayerTrace:
    neurons = layer.neurons
    zs = [[node for node in consumers[n.b] if node.parents == (*n.w, *node.parents[len(n.w) : -1], n.b)] for n in neurons]
    calls = len(zs[0])
    if calls == 0 or {len(z) for z in zs} != {calls}:
        raise ValueError(f"the output does not depend on all of {layer!r:.60}")
    ends = [[_output(z, n, consumers) for z in of] for of, n in zip(zs, neurons, strict=True)]

    def array(rows: list[list[float]]) -> Any:
        by_call = np.array(rows).T
        return by_call[0] if calls == 1 else by_call

    inputs = np.array([[p.data for p in z.parents[len(neurons[0].w) : -1]] for z in zs[0]])
    slopes = [[_slope(z, a) for z, a in zip(*pair, strict=True)] for pair in zip(zs, ends, strict=True)]
    return LayerTrace(
        np.array([[w.data for w in n.w] for n in neurons]).T,
        np.array([n.b.data for n in neurons]),
        inputs[0] if calls == 1 else inputs,
        array([[z.data for z in of] for of in zs]),
        array([[a.data for a in of] for of in ends]),
        array(slopes),
        array([[found.get(z, 0.0) for z in of] for of in zs]),
    )


def _slope(z: Value, a: Value) -> float:
    """g′(z)."""
    if a.parents == (z,):  # without a walk over all that is below
        return a.partials[0]
    return 1.0 if a is z else float(adjoints(a, z)[z])


def _output(z: Value, neuron: Any, consumers: dict[Value, list[Value]]) -> Value:
    """The output of a neuron that computed z: the nearest Value above with the label of its outputs."""
    if not neuron.nonlin:
        return z
    waiting = [z]
    for node in waiting:  # grows while it is read
        if node is not z and node.label == neuron._a:
            return node
        waiting.extend(consumers[node])
    return z
