"""Anything that has parameters: which they are, by name, and their data out and in (`weights` has the files).

`engine` comes before; `nn` builds neurons, layers and networks on `Module`.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any, cast

from micrograd.engine import Value
from micrograd.engine.assign import assign, zero_gradients
from micrograd.nn import weights
from micrograd.primitives import number


class Module:
    """Anything with parameters: the Values found in its attributes, in that order.

    They are looked for in lists, tuples, dicts, deques, arrays, other modules, dataclasses and plain objects, in slots, and
    after an object's own attributes in those of its class. Not inside functions, and not in what other libraries make.

    >>> from micrograd import Value
    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = Value(2.0), Value(1.0)
    ...
    ...     def __call__(self, x):
    ...         return self.slope * x + self.offset
    >>> Line().state_dict()
    {'slope': 2.0, 'offset': 1.0}
    """

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """Pairs of a path such as "layers.0.neurons.2.w.1" and the parameter there; a shared one comes once.

        TypeError where Values or modules are in a set, which has no order to name them by.
        """
        return ((_path(way), value) for way, value in _found(self))

    def _by_name(self) -> dict[str, Value]:
        """The parameters by name. ValueError where two have one name: keys 0 and "0", or "a.b" and "b" in "a"."""
        found: dict[str, Value] = {}
        for name, p in self.named_parameters():
            if found.setdefault(name, p) is not p:
                raise ValueError(f"two parameters are called {name!r}, by keys that read alike: rename one")
        return found

    def parameters(self) -> list[Value]:
        """The parameters, in the order of `named_parameters`."""
        if type(self).named_parameters is not Module.named_parameters:  # a network's own, which may leave some out
            return [value for _, value in self.named_parameters()]
        return [value for _, value in _found(self)]

    def zero_grad(self) -> None:
        """Set the gradient of each parameter to 0, before the next backward()."""
        zero_gradients(self.parameters())

    def trace(self, x: Any) -> Any:
        """z, a, g′(z) and δ of each layer as arrays, on the way to `x`: a loss of this network, or its inputs.

        >>> from micrograd import MLP
        >>> model = MLP(2, [3, 1], activation="tanh", seed=1)
        >>> model.trace((model([0.5, -1.0]) - 1.0) ** 2)
        δ = ∂/∂z of the output = 0.8994
        layer  neurons  max |δ|  mean |δ|  δ
            1        3    1.526    0.7989  -0.2199  -0.6504  1.526
            2        1    1.897     1.897  -1.897
        """
        from micrograd.nn.trace import trace

        return trace(self, x)

    def state_dict(self) -> dict[str, float]:
        """The parameters' data by name."""
        return {name: p.data for name, p in self._by_name().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set the parameters' data by name. ValueError, and nothing changed, where a name is missing or left over."""
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict takes a dict of numbers by name, got {type(state).__name__} {state!r:.60}")
        own = self._by_name()
        for name in own:
            if name not in state:
                raise ValueError(f"the state has nothing for parameter {name!r}; nothing was changed")
        for name in state:
            if name not in own:
                raise ValueError(f"the state has {name!r}, which is no parameter here; nothing was changed")
        data = []
        for name in own:
            try:
                data.append(number(state[name]))
            except TypeError as error:
                raise ValueError(f"the state does not fit parameter {name!r}: {error}; nothing was changed") from error
        assign(own.values(), ["data"] * len(data), data)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters to a NumPy `.npz` file: their names, and their data as float64.

        The old file stays until the new one is complete. A name that ends in .safetensors gives a file of that kind, for other
        libraries: a list of parameters is one tensor. ValueError for a name that ends in anything else: the file would not be
        what its name says.
        """
        weights.write(path, self.state_dict())

    def load(self, path: str | os.PathLike[str]) -> None:
        """Read what `save` wrote, without pickle. ValueError, and nothing changed, where it does not fit.

        No more is unpacked than a file with the parameters here may hold.
        """
        self.load_state_dict(weights.read(path, self._by_name()))


def _found(module: Module) -> Iterator[tuple[Any, Value]]:
    """The parameters, each with the way to it: the way to what holds it, and its name there."""
    seen: dict[int, Any] = {}  # by id; kept, so that no id is given out again
    stack: list[tuple[Any, Any]] = [(None, module)]
    while stack:
        way, item = stack.pop()
        kind = type(item)
        if kind in _LEAVES:
            continue
        if kind is not Value and hasattr(kind, "flat") and getattr(item.dtype, "kind", "") == "O":
            item = item.tolist()  # of an array; NumPy is not imported for that
        if isinstance(item, Value):
            if item.rule is None and id(item) not in seen:
                seen[id(item)] = item
                yield way, item
            continue
        parts = _parts(item)
        if parts is None or id(item) in seen:
            continue
        seen[id(item)] = item
        if isinstance(item, (set, frozenset)):
            if any(isinstance(part, (Value, Module)) for part in item):
                raise TypeError(f"{_path(way)} is a {type(item).__name__} with parameters, which has no order: make it a list")
        else:
            stack += [((way, name), part) for name, part in parts][::-1]


def _path(way: Any) -> str:
    """A way as one writes it."""
    names, path = [], ""
    while way:
        way, name = way
        names.append(name)
    for name in reversed(names):
        path = f"{path}.{name}" if path else str(name)
    return path


def _parts(item: Any) -> Iterable[tuple[Any, Any]] | None:
    """The names and values of what an object holds; None for what is not searched."""
    kind = type(item)
    if kind in _LEAVES:
        return None
    if isinstance(item, dict):
        return item.items()
    if isinstance(item, (list, tuple, deque, set, frozenset)):
        return enumerate(item)
    if isinstance(item, Module) or _plain(cast(Hashable, kind)):
        own = _own(item)
        if _given_by(cast(Hashable, kind)):
            own = {**own, **{name: x for name, x in _of_class(kind) if name not in own}}
        return [*own.items()]  # at once: another thread may be setting attributes
    return None


_LEAVES = frozenset({int, float, bool, str, bytes, complex, type(None), type, FunctionType, MethodType})


@cache
def _plain(kind: Any) -> bool:
    """Whether objects of this class are a program's own, and not of Python, of this package or of NumPy."""
    room = kind.__module__.partition(".")[0]
    foreign = {"builtins", "numpy", "micrograd", *sys.stdlib_module_names}
    return kind is SimpleNamespace or room == "__main__" or room not in foreign


def _own(item: Any) -> dict[str, Any]:
    """What is in an object's slots and attributes."""
    own: dict[str, Any] = getattr(item, "__dict__", {})
    slots = _slots(cast(Hashable, type(item)))
    return {**{name: getattr(item, name) for name in slots if hasattr(item, name)}, **own} if slots else own


@cache
def _slots(kind: Any) -> Sequence[str]:
    """The names of the slots of a class and its bases."""
    slots = [name for c in reversed(kind.__mro__) for name in _names(vars(c).get("__slots__", ()))]
    return [name for name in slots if name not in ("__dict__", "__weakref__")]


def _names(slots: Any) -> Iterable[str]:
    return (slots,) if isinstance(slots, str) else slots


def _of_class(kind: type) -> Iterator[tuple[str, Any]]:
    """The attributes that a class and its bases give to their objects, Python's and this package's own left out."""
    for c in _given_by(kind):
        yield from ((name, x) for name, x in vars(c).items() if not name.startswith("__"))


@cache
def _given_by(kind: Any) -> Sequence[type]:
    """The class and those of its bases, the last first, that are not Python's and not this package's own."""
    ours = [c.__module__ == "builtins" or c.__module__.startswith("micrograd.") for c in kind.__mro__]
    return [c for c, own in zip(kind.__mro__, ours, strict=True) if not own][::-1]
