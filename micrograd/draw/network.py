"""The textbook's network in a scalar graph: inputs, layers of neurons, the calls that share their weights.

`snapshot` comes before, `network_picture` draws what is found. A neuron is a `dot` of leaves, its weights, with the inputs of
its layer. A stack of such layers is a network, whether it was made by `MLP` or not, on one sample or on many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from micrograd.draw.snapshot import Graph

_LEAVES = ("parameter", "leaf")


class Neuron(NamedTuple):
    """A neuron by the indices of its values: z and a in each call, the weights in the order of its inputs, and the bias.

    The bias is -1 where it is a plain number.
    """

    z: tuple[int, ...]
    a: tuple[int, ...]
    weights: tuple[int, ...]
    bias: int


class Network(NamedTuple):
    """Inputs, each by its value in every call, and layers; `shared` where weights are used outside of neurons too."""

    inputs: list[tuple[int, ...]]
    layers: list[list[Neuron]]
    calls: int
    shared: bool

    def lit(self, chosen: Iterable[int]) -> set[tuple[int, ...]]:
        """The places of the factors in the chain rule for these values.

        A neuron is (layer, k), an input (0, j), a weight (layer, j, k), the loss a neuron in the layer after the last. For W_jk
        they are a_j, W_jk, the neuron k, and of the next layer all δ_l and W_kl.
        """
        found: set[tuple[int, ...]] = set()
        for i in chosen:
            place = self.place(i)
            found |= {(number, -1, k) for number, layer in enumerate(self.layers, start=1)
                      for k, neuron in enumerate(layer) if neuron.bias == i}  # fmt: skip
            found.add(place if len(place) == 2 else (place[0], place[2]))
            if len(place) == 3:
                found |= {place, (place[0] - 1, place[1])}
            layer, k = place[0], place[-1]
            if layer == len(self.layers):
                found |= {(layer + 1, k, 0), (layer + 1, 0)}
            for other in range(len(self.layers[layer]) if layer < len(self.layers) else 0):
                found |= {(layer + 1, k, other), (layer + 1, other)}
        return found

    def place(self, i: int) -> tuple[int, ...]:
        """The place of a value, as in `lit`; what is in no neuron, and no input, counts as the loss."""
        for j, calls in enumerate(self.inputs):
            if i in calls:
                return 0, j
        for number, layer in enumerate(self.layers, start=1):
            for k, neuron in enumerate(layer):
                if i in neuron.weights:
                    return number, neuron.weights.index(i), k
                if i == neuron.bias or i in neuron.z or i in neuron.a:
                    return number, k
        return len(self.layers) + 1, 0


def found_in(graph: Graph) -> Network | None:
    """The network of the graph; None where there is none, or more than one, or one whose layers are not a stack."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)  # the neurons of one layer in one call, by their inputs
    for i, rule in enumerate(graph.rules):
        half = len(graph.parents[i]) // 2
        if rule is not None and rule.name == "dot" and all(graph.kinds[p] in _LEAVES for p in graph.parents[i][:half]):
            groups[graph.parents[i][half:-1]].append(i)
    if not groups:
        return None
    layer_of: dict[tuple[tuple[int, ...], ...], list[tuple[int, ...]]] = defaultdict(list)
    for inputs, dots in groups.items():
        layer_of[tuple([_parameters(graph, z) for z in dots])].append(inputs)
    calls = {len(found) for found in layer_of.values()}
    if len(calls) != 1:
        return None
    neurons = {z: number for number, dots in enumerate(groups.values()) for z in dots}
    before: dict[tuple[int, ...], int | None] = {}  # the group whose outputs are the inputs of this one
    for inputs in groups:
        sources = [_source(graph, p, neurons) for p in inputs]
        if any(z is None for z in sources):
            return None
        feeding = {neurons[z] for z in sources if z is not None and z >= 0}
        if len(feeding) > 1 or (feeding and list(groups.values())[next(iter(feeding))] != sources):
            return None
        before[inputs] = feeding.pop() if feeding else None
    return _stacked(graph, groups, layer_of, before, calls.pop())


def evident(graph: Graph, network: Network) -> bool:
    """Whether this is a network beyond doubt: made of layers, or fed with plain numbers.

    Other sums of products of leaves may be something else, such as the scores of an attention.
    """
    layered = all(graph.scopes[neuron.z[0]] for layer in network.layers for neuron in layer)
    return layered or all(graph.kinds[i] == "constant" for inputs in network.inputs for i in inputs)


def _stacked(
    graph: Graph,
    groups: dict[tuple[int, ...], list[int]],
    layer_of: dict[tuple[tuple[int, ...], ...], list[tuple[int, ...]]],
    before: dict[tuple[int, ...], int | None],
    calls: int,
) -> Network | None:
    """The network of these groups of neurons; None where they are no stack of layers that every call goes through.

    `groups` has the neurons of a layer in one call, by their inputs; `layer_of` the inputs in all calls, by the weights of the
    layer; `before` the number of the group whose outputs are the inputs of a group.
    """
    keys = list(groups)
    after: dict[int | None, list[tuple[int, ...]]] = defaultdict(list)
    for inputs, number in before.items():
        after[number].append(inputs)
    if len(after[None]) != calls or any(len(next_) > 1 for number, next_ in after.items() if number is not None):
        return None
    chains: list[list[tuple[int, ...]]] = []  # of each call: the inputs of its layers, first to last
    for first in after[None]:
        chain = [first]
        while followed := after.get(keys.index(chain[-1])):
            chain.append(followed[0])
        chains.append(chain)
    one = [{tuple([_parameters(graph, z) for z in groups[inputs]]) for inputs in level} for level in zip(*chains, strict=False)]
    if {len(chain) for chain in chains} != {len(layer_of)} or any(len(layers) != 1 for layers in one):
        return None  # calls that do not go through the same layers
    layers = []
    for k, inputs in enumerate(chains[0]):
        layer = []
        for number, z in enumerate(groups[inputs]):
            zs = tuple([groups[chain[k]][number] for chain in chains])
            last = k + 1 == len(chains[0])
            outputs = tuple([_after(graph, z) if last else chain[k + 1][number] for z, chain in zip(zs, chains, strict=True)])
            weights = _parameters(graph, z)
            layer.append(Neuron(zs, outputs, weights[:-1], weights[-1]))
        layers.append(layer)
    inside = {z for layer in layers for neuron in layer for z in neuron.z}
    owned = {w for layer in layers for neuron in layer for w in (*neuron.weights, neuron.bias)}
    hidden = {a: z for layer in layers[:-1] for neuron in layer for z, a in zip(neuron.z, neuron.a, strict=True)}
    if any(p in hidden and i not in inside for i, parents in enumerate(graph.parents) for p in parents):
        return None  # a connection that skips layers
    shared = any(p in owned for i, parents in enumerate(graph.parents) if i not in inside for p in parents)
    return Network([tuple([chain[0][j] for chain in chains]) for j in range(len(chains[0][0]))], layers, calls, shared)


def _parameters(graph: Graph, z: int) -> tuple[int, ...]:
    """The weights of a neuron, and its bias, or -1 where that is a plain number."""
    parents = graph.parents[z]
    return (*parents[: len(parents) // 2], -1 if parents[-1] in graph.literals else parents[-1])


def _source(graph: Graph, p: int, neurons: dict[int, int]) -> int | None:
    """The neuron that `p` is made of alone, by its activation; -1 for a number or leaf, None for anything else."""
    if not graph.ops[p]:
        return -1
    found, stack, seen = set(), [p], {p}
    while stack:
        i = stack.pop()
        if i in neurons:
            found.add(i)
            continue
        for q in graph.parents[i]:
            if not graph.ops[q] and q not in graph.literals:
                return None  # an activation takes no other leaf
            if graph.ops[q] and q not in seen:
                seen.add(q)
                stack.append(q)
    return found.pop() if len(found) == 1 else None


def _after(graph: Graph, z: int) -> int:
    """The output of a neuron of the last layer: the labelled value of that neuron that is made of z alone, or z itself."""
    scope = graph.scopes[z]
    for i in range(z + 1, len(graph)) if scope else ():
        if graph.scopes[i] == scope and graph.ops[i] and _source(graph, i, {z: z}) == z:
            return i
    return z


def slope(graph: Graph, z: int, a: int) -> float:
    """g′(z): the derivative of a neuron's output a with respect to z, along the values between them."""
    found = {a: 1.0}
    for i in range(a, z, -1):
        if i in found:
            for p, local in zip(graph.parents[i], graph.partials[i], strict=True):
                if p >= z and graph.grad[p] is not None:
                    found[p] = found.get(p, 0.0) + found[i] * local
    return found.get(z, 0.0)
