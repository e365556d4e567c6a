"""Anything that has parameters: which they are, by name, and their data to files and back.

`engine` comes before; `nn` builds neurons, layers and networks on `Module`.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from typing import Any

from micrograd.engine import Value
from micrograd.files import replacing
from micrograd.primitives import number


class Module:
    """Anything with parameters: the Values found in its attributes, in lists, arrays and other modules, in that order.

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
        seen: dict[int, Any] = {}  # by id; kept, so that no id is given out again
        stack: list[tuple[str, Any]] = [("", self)]
        while stack:
            path, item = stack.pop()
            if _holds_objects(item):
                item = item.tolist()
            if id(item) in seen or not isinstance(item, (Value, Module, dict, list, tuple, set, frozenset)):
                continue
            seen[id(item)] = item
            if isinstance(item, Value):
                if item.rule is None:
                    yield path, item
            elif isinstance(item, (set, frozenset)):
                if any(isinstance(part, (Value, Module)) for part in item):
                    raise TypeError(f"{path} is a {type(item).__name__} with parameters, which has no order: make it a list")
            else:
                named = item if isinstance(item, dict) else vars(item) if isinstance(item, Module) else dict(enumerate(item))
                stack.extend(reversed([(f"{path}.{name}" if path else str(name), part) for name, part in named.items()]))

    def parameters(self) -> list[Value]:
        return [value for _, value in self.named_parameters()]

    def zero_grad(self) -> None:
        for p in self.parameters():
            p.grad = 0.0

    def state_dict(self) -> dict[str, float]:
        """The parameters' data by name."""
        return {name: p.data for name, p in self.named_parameters()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set the parameters' data by name. ValueError, and nothing changed, where a name is missing or left over."""
        own = dict(self.named_parameters())
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
        for p, x in zip(own.values(), data, strict=True):
            p.data = x

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters to a NumPy `.npz` file: their names, and their data as float64. The old file stays till the end.

        ValueError for a name that ends in anything else: the file would not be what its name says.
        """
        import numpy as np

        ending = os.path.splitext(path)[1]
        if ending.lower() not in ("", ".npz"):
            raise ValueError(
                f"parameters are saved as NumPy's .npz, got {os.fspath(path)!r}: end the name in .npz, not {ending}"
            )
        state = self.state_dict()
        with replacing(path) as file:
            np.savez(file, names=np.array(list(state), dtype=str), data=np.array(list(state.values()), dtype=np.float64))

    def load(self, path: str | os.PathLike[str]) -> None:
        """Read what `save` wrote, without pickle. ValueError, and nothing changed, where it does not fit."""
        import numpy as np

        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                state = dict(zip(arrays["names"].tolist(), arrays["data"].tolist(), strict=True))
        except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} holds no saved parameters as save() writes them; nothing was changed") from error
        self.load_state_dict(state)


def _holds_objects(item: Any) -> bool:
    """Whether it is a NumPy array of objects; NumPy itself is not imported for that."""
    return hasattr(type(item), "flat") and getattr(item.dtype, "kind", "") == "O"
