"""Objects as they are: their classes, attributes and entries, read without a call of anything that their classes define.

`surroundings` looks at whatever a function holds on to. A property, a `__getattr__`, a metaclass, an `__iter__` of one's own
may compute, print or raise, and is asked nothing here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from inspect import getattr_static
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, WrapperDescriptorType
from typing import Any

mro_of = vars(type)["__mro__"].__get__
variables_of = vars(type)["__dict__"].__get__  # of a class
_DESCRIPTORS = (GetSetDescriptorType, MemberDescriptorType)


def is_a(x: Any, kinds: Any) -> bool:
    """As isinstance(), by the class that x has and not by the one that it says."""
    try:
        return issubclass(type(x), kinds)
    except Exception:  # a metaclass that allows no hash
        return False


def found_in(cls: Any, name: str) -> Any:
    """What a class or a base of it has under this name; None where there is nothing."""
    return next((variables_of(base)[name] for base in mro_of(cls) if name in variables_of(base)), None)


def module_of(cls: Any) -> str:
    """The name of the module that a class is from; empty where it is no text."""
    name = variables_of(cls).get("__module__", "builtins")
    return name if type(name) is str else ""


def attributes_of(x: Any) -> dict[str, Any]:
    """The attributes of an object or a module; none where a class hides them."""
    for base in mro_of(type(x)):
        if "__dict__" in variables_of(base):
            found = variables_of(base)["__dict__"]
            return (type(found) in _DESCRIPTORS and found.__get__(x)) or {}
    return {}


def slots_of(cls: Any) -> Iterator[tuple[str, Any]]:
    """The names of what objects of a class have in slots, with the descriptors that read them."""
    for base in mro_of(cls):
        for name, x in variables_of(base).items():
            if type(x) is MemberDescriptorType and name != "__dict__":
                yield name, x


def reader_of(holder: Any, name: str) -> Any:
    """What reads an attribute as it stands there; None where a dot does."""
    cls = type(holder)
    if type(found_in(cls, "__getattribute__")) is WrapperDescriptorType and name.isascii():  # it is C's
        value = getattr_static(holder, name, None)
        own = type(value) in (FunctionType, MemberDescriptorType, GetSetDescriptorType)
        if own or found_in(type(value), "__get__") is None:
            return None
    return partial(getattr_static, holder, name)


class Entries:
    """What is in a container whose class counts, or goes through it, in a way of its own."""

    __slots__ = ("held", "kind")

    def __init__(self, held: Any, kind: Any):
        self.held, self.kind = held, kind

    def __len__(self) -> int:
        return self.kind.__len__(self.held)  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Any]:
        return self.kind.__iter__(self.held)  # type: ignore[no-any-return]


def entries_of(x: Any, kinds: tuple[Any, ...]) -> Any:
    """A list, a set and so on, itself where it is of such a kind and of no class derived from it."""
    return x if type(x) in kinds else Entries(x, next(kind for kind in kinds if is_a(x, kind)))


def keys_and_values(x: Any) -> tuple[Any, Any]:
    """Those of a dict, in its order."""
    kind: Any = OrderedDict if is_a(x, OrderedDict) else dict
    return kind.keys(x), kind.values(x)
