"""What the arguments of neurons, layers and networks stand for: activations, initial weights, widths, seeds.

`neurons` looks at them here as soon as they are given, used or not.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from micrograd import primitives
from micrograd.composed import OF_ONE
from micrograd.elementwise import index_of, is_many, items_of, listed
from micrograd.engine import Value


def activation_called(name: str | Callable[[Value], Value]) -> Callable[[Value], Value] | None:
    """The function called `name`; None for "linear"."""
    if isinstance(name, primitives.Primitive):
        name = name.name
    if callable(name) or (isinstance(name, str) and name == "linear"):
        return name if callable(name) else None
    row = primitives.RULES.get(name) if isinstance(name, str) else None
    if row is not None and not row.variadic and len(row.partials) == 1:
        return getattr(Value, name, row)
    if isinstance(name, str) and name in OF_ONE:
        return OF_ONE[name]
    rows = [r for name, r in primitives.RULES.items() if name not in primitives.HELPERS]
    names = [r.name for r in rows if not r.variadic and len(r.partials) == 1] + [*OF_ONE]
    raise ValueError(f"unknown activation {name!r}: use 'linear', a function, or one of {', '.join(names)}")


class Activation:
    """The attribute `activation` of a neuron: g, as it was given; "linear" where `nonlin` is False. Both may be set."""

    def __get__(self, neuron: Any, cls: Any = None) -> Any:
        return self if neuron is None else vars(neuron)["activation"] if neuron.nonlin else "linear"

    def __set__(self, neuron: Any, activation: Any) -> None:
        neuron._g = activation_called(activation)
        vars(neuron)["activation"] = activation


_BOUNDS: dict[str, Callable[[int, int], float]] = {  # weights are uniform within plus and minus this
    "uniform": lambda nin, nout: 1.0,
    "he": lambda nin, nout: math.sqrt(6 / nin),  # He et al., 2015: for relu
    "glorot": lambda nin, nout: math.sqrt(6 / (nin + nout)),  # Glorot and Bengio, 2010: for tanh and sigmoid
}


def bound(init: str, nin: int, nout: int) -> float:
    """The largest distance from 0 at which weights of a layer begin, with the initialisation called `init`."""
    if not isinstance(init, str) or init not in _BOUNDS:
        raise ValueError(f"unknown init {init!r}: use {', '.join(map(repr, _BOUNDS))}")
    return _BOUNDS[init](nin, nout)


def whole(n: Any) -> int | None:
    """`n` as an int; None where it is no whole number, as a bool is none."""
    return None if isinstance(n, bool) else index_of(n)


def width(n: Any, what: str, name: str) -> int:
    """`n` as an int; an error that says what needs it where it is no whole number from 1 on."""
    if (found := whole(n)) is None:
        raise TypeError(f"{what}, a whole number, got {name}={n!r}")
    if not 1 <= found <= sys.maxsize:
        raise ValueError(f"{what}{', and fewer than memory has room for' * (found > 1)}, got {name}={n!r}"[:200])
    return found


def widths(nouts: Iterable[int]) -> list[int]:
    """The widths of the layers of a network; ValueError where there is none."""
    if not (found := items_of(nouts)):
        raise ValueError(f"an MLP needs a list of at least one layer's width, got nouts={nouts!r}")
    return found


def generator(seed: int | None) -> Any:
    """What weights are drawn with: `random` as it stands, or a generator of their own where there is a seed."""
    if seed is None:
        return random
    if (found := index_of(seed)) is None:
        raise TypeError(f"seed must be a whole number or None, got {seed!r}")
    return random.Random(found)


def inputs(what: object, count: int, x: Any, more: Sequence[Any]) -> Sequence[Any]:
    """The `count` inputs of `what` as they are given: x is a list of them, or the only one, and there is to be no `more`."""
    if more:
        raise TypeError(f"{what} takes its inputs as one list, f([x1, x2, ...]), got {1 + len(more)} arguments")
    alone = getattr(type(x), "__iter__", None) is None or getattr(x, "shape", None) == ()
    found = (x,) if alone else listed(f"{what}", x)
    if len(found) != count:
        many = ": one sample at a time; for rows of samples, jit(model).map(X)" if found and is_many(found[0]) else ""
        raise ValueError(f"{what} takes {count} inputs, got {len(found)}{many}")
    return found
