"""Objects as they are: their classes, attributes and entries, read without a call of anything that their classes define.

`surroundings` looks at whatever a function holds on to. A property, a `__getattr__`, a metaclass or an `__iter__` that a user
wrote may compute, print or raise, so none of them is called here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import partial
from inspect import getattr_static
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, WrapperDescriptorType
from typing import Any

mro_of = vars(type)["__mro__"].__get__
variables_of = vars(type)["__dict__"].__get__  # of a class
_DESCRIPTORS = (GetSetDescriptorType, MemberDescriptorType)


def is_a(x: Any, kinds: Any) -> bool:
    """Like isinstance(), but by the class that x really has: its `__class__` may claim another."""
    try:
        return issubclass(type(x), kinds)
    except Exception:  # a metaclass that allows no hash
        return False


def one_of_each_class(objects: Iterable[Any], but: Any = None) -> Iterator[Any]:
    """Of some objects the first one of each class, because there may be many of a class; of the class `but` all of them."""
    seen = set()
    for x in objects:
        key = id(x) if type(x) is but else id(type(x))
        if key not in seen:
            seen.add(key)
            yield x


def found_in(cls: Any, name: str) -> Any:
    """What a class, or one of its bases, has under this name; None if nothing."""
    return next((variables_of(base)[name] for base in mro_of(cls) if name in variables_of(base)), None)


def module_of(cls: Any) -> str:
    """The name of the module that a class is from; empty if what stands there is no text."""
    name = variables_of(cls).get("__module__", "builtins")
    return name if type(name) is str else ""


def attributes_of(x: Any) -> dict[str, Any]:
    """The attributes of an object or a module; none if its class puts something else in the place of `__dict__`."""
    for base in mro_of(type(x)):
        if "__dict__" in variables_of(base):
            found = variables_of(base)["__dict__"]
            return (type(found) in _DESCRIPTORS and found.__get__(x)) or {}
    return {}


def slots_of(cls: Any) -> Iterator[tuple[str, Any]]:
    """The names of the slots of a class, each with the descriptor that reads it."""
    for base in mro_of(cls):
        for name, x in variables_of(base).items():
            if type(x) is MemberDescriptorType and name != "__dict__":
                yield name, x


def reader_of(holder: Any, name: str) -> Any:
    """A function that reads an attribute and runs no code of the class; None where `holder.name` runs none either."""
    cls = type(holder)
    if type(found_in(cls, "__getattribute__")) is WrapperDescriptorType and name.isascii():  # the one that C defines
        value = getattr_static(holder, name, None)
        own = type(value) in (FunctionType, MemberDescriptorType, GetSetDescriptorType)
        if own or found_in(type(value), "__get__") is None:
            return None
    return partial(getattr_static, holder, name)


class Entries:
    """The entries of a container whose class may define `__len__` and `__iter__` anew: read by those of the built-in `kind`."""

    __slots__ = ("held", "kind")

    def __init__(self, held: Any, kind: Any):
        self.held, self.kind = held, kind

    def __len__(self) -> int:
        return self.kind.__len__(self.held)  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Any]:
        return self.kind.__iter__(self.held)  # type: ignore[no-any-return]


def entries_of(x: Any, kinds: tuple[Any, ...]) -> Any:
    """What gives the entries of a list, a set and so on: the container itself, unless its class is derived from such a kind."""
    return x if type(x) in kinds else Entries(x, next(kind for kind in kinds if is_a(x, kind)))


def keys_and_values(x: Any) -> tuple[Any, Any]:
    """The keys and the values of a dict, in its order."""
    kind: Any = OrderedDict if is_a(x, OrderedDict) else dict
    return kind.keys(x), kind.values(x)
