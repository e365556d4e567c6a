"""Neurons, layers and networks made of Values, labelled as in the textbook.

Layer i computes z_k^[i] = b_k^[i] + Σ_j W_jk^[i] a_j^[i-1] and a_k^[i] = g(z_k^[i]), one node each, so the graph has the
shape of the textbook's picture: z_k.grad is δ_k^[i], the edges into z_k carry a_j^[i-1] and W_jk^[i], and the
edge from z_k to a_k carries g'(z_k^[i]). `engine` comes before; `losses` and `optim` train what is made here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from micrograd import primitives
from micrograd.engine import Note, Value, as_values, constant, mark, node_of
from micrograd.nn.arguments import Activation, activation_called, bound, generator, inputs, width, widths
from micrograd.nn.label import Label
from micrograd.nn.module import Module

if TYPE_CHECKING:
    from micrograd.signatures import Outputs

__all__ = ["MLP", "Layer", "Module", "Neuron"]

_DOT = primitives.rule("dot")
_networks = count(1)
_calls = count(1)


class Neuron(Module):
    """One neuron of `nin` inputs, as neuron `index` of layer `layer`: a = g(b + Σ_j w_j x_j).

    >>> neuron = Neuron(2, activation="tanh")
    >>> neuron.w[0].data, neuron.w[1].data, neuron.b.data = 0.5, -1.0, 0.25
    >>> neuron([1.0, 0.75])
    Value(data=0.0, grad=0.0, label='a_1^[1]')
    """

    activation = Activation()
    _g: Callable[[Value], Value] | None  # of the activation

    def __init__(
        self,
        nin: int,
        nonlin: bool = True,
        activation: str | Callable[[Value], Value] = "relu",
        rng: Any = random,
        layer: int = 1,
        index: int = 1,
        init: str = "uniform",
        nout: int = 1,
    ):
        nin = width(nin, "a neuron needs at least one input", "nin")
        scope, most = (f"layer {layer}", f"neuron {index}"), bound(init, nin, nout)
        self.w = [Value(most * rng.uniform(-1, 1), label=Label("W", (j, index), layer, scope)) for j in range(1, nin + 1)]
        self.b = Value(0.0, label=Label("b", (index,), layer, scope))
        self.nonlin, self.activation = nonlin, activation
        self._z, self._a = (Label(letter, (index,), layer, scope) for letter in "za")

    def __call__(self, x: Iterable[Any], *more: Any) -> Value:
        return self.forward(as_values(inputs(self, len(self.w), x, more)))

    def forward(self, x: tuple[Value, ...], note: Note | None = None) -> Value:
        """The output on Values, as part of the call of a network that `note` tells of."""
        if len(x) != len(self.w):
            raise ValueError(f"{self!r} takes {len(self.w)} inputs, got {len(x)}")
        try:
            z = a = node_of(_DOT, (*self.w, *x, self.b))
        except AttributeError:  # plain numbers in the place of parameters, as in neuron.b = 1.0
            z = a = node_of(_DOT, as_values((*self.w, *x, self.b)))
        mark(z, self._z, note)
        if self.nonlin and self._g is not None:
            a = self._g(z)
            if not isinstance(a, Value):
                raise TypeError(f"the activation of {self!r} must give a Value, got {type(a).__name__} {a!r}")
            if a is not z:
                mark(a, self._a, note)
        return a

    def __repr__(self) -> str:
        g = self.activation if isinstance(self.activation, str) else getattr(self._g, "__name__", "custom")
        return f"{ {'relu': 'ReLU', 'linear': 'Linear'}.get(g, g.capitalize()) }Neuron({len(self.w)})".replace(" ", "")


class Layer(Module):
    """`nout` neurons on the same `nin` inputs; further arguments go to each Neuron.

    Called on `nin` numbers or Values, gives a list of Values, or the one Value where `nout` is 1.

    >>> layer = Layer(2, 3)
    >>> layer
    Layer of [ReLUNeuron(2), ReLUNeuron(2), ReLUNeuron(2)]
    >>> len(layer([1.0, 2.0])), len(layer.parameters())
    (3, 9)
    """

    def __init__(self, nin: int, nout: int, **kwargs: Any):
        nout = width(nout, "a layer needs at least one neuron", "nout")
        self.neurons = [Neuron(nin, index=k, nout=nout, **kwargs) for k in range(1, nout + 1)]

    def __call__(self, x: Iterable[Any], *more: Any) -> Outputs:
        out = self.forward(as_values(inputs(self.neurons[0], len(self.neurons[0].w), x, more)))
        return cast("Outputs", out[0] if len(out) == 1 else list(out))

    def forward(self, x: tuple[Value, ...], note: Note | None = None) -> tuple[Value, ...]:
        """The outputs on Values, as part of the call of a network that `note` tells of."""
        return tuple([neuron.forward(x, note) for neuron in self.neurons])

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(str, self.neurons))}]"


class MLP(Module):
    """A multi-layer perceptron: `nin` inputs and layers of `nouts` neurons.

    `activation` is g of the hidden layers and `output` that of the last one: "linear", any function of one argument by
    name ("tanh", "gelu", ...), or any callable from Value to Value. Weights are uniform in [-1, 1], or
    with init="he" or "glorot" within √(6 / inputs) or √(6 / (inputs + outputs)) of 0 in each layer: from `random` as it
    stands, or from a generator of their own where `seed` is given. Called on `nin` numbers or
    Values, gives a list of Values, or the one Value where the last layer has one neuron.

    >>> model = MLP(2, [16, 1], activation="tanh", seed=1)
    >>> loss = (model([0.5, -1.0]) - 1.0) ** 2
    >>> loss.backward()
    >>> weight = model.layers[0].neurons[1].w[0]
    >>> weight.label, weight.grad != 0.0, len(model.parameters())
    ('W_12^[1]', True, 65)
    """

    def __init__(
        self,
        nin: int,
        nouts: Iterable[int],
        activation: str | Callable[[Value], Value] = "relu",
        output: str | Callable[[Value], Value] = "linear",
        seed: int | None = None,
        init: str = "uniform",
    ):
        nouts, rng = widths(nouts), generator(seed)
        activation_called(activation)  # which a network of one layer does not use
        layers = zip([nin, *nouts], nouts, [activation] * (len(nouts) - 1) + [output], strict=False)
        self.layers = [Layer(m, n, activation=g, rng=rng, layer=i, init=init) for i, (m, n, g) in enumerate(layers, 1)]
        self._inputs = [Label("a", (j,), 0, ("inputs",)) for j in range(1, nin + 1)]
        self._note = Note(network=next(_networks))

    def __call__(self, x: Iterable[Any], *more: Any) -> Outputs:
        x = inputs("this network", len(self._inputs), x, more)
        a = tuple([v if isinstance(v, Value) else constant(v, label) for v, label in zip(x, self._inputs, strict=True)])
        note = Note(self._note.network, next(_calls))  # nothing of the network changes, so what is compiled of it stays
        for layer in self.layers:
            a = layer.forward(a, note)
        return cast("Outputs", a[0] if len(a) == 1 else list(a))

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(str, self.layers))}]"
