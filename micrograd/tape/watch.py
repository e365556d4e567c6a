"""What a recorded function has read from its surroundings: where it came from, and whether it is still there.

A tape keeps the numbers that were met while it was recorded, those of constants too, and knows other Values by identity. A
`Watch` looks for both where Python code finds them: in closures, globals, defaults, attributes that the code names, and in the
lists, dicts, sets, small arrays and objects there. `calls` asks at every call whether all are as they were, and has the
function recorded anew where one is not.
"""

from __future__ import annotations

import marshal
from array import array as packed
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import partial
from inspect import getattr_static
from itertools import accumulate, chain
from numbers import Real
from operator import is_
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from micrograd.engine import Value, all_below, modes, primal
from micrograd.engine.operators import comparisons

MOST = 10_000  # objects that are looked at; what lies beyond is watched by the identity of its containers alone
SHORT = 16  # entries of all containers with numbers up to which each is looked at also where a call takes theta
LARGE = 1 << 12  # bytes of an array from which on it is watched by identity alone
_LIBRARIES = (modes.HERE, modes.LIBRARY)  # of whose modules, and those of packages, numbers change and nothing else
_MANY = (tuple, list, deque, set, frozenset)
_HELD = (Value, Real, str, type(None), dict, np.ndarray, packed, *_MANY)  # of classes and modules; methods are not replaced
_PLAIN: tuple[Any, ...] = (float.__eq__, int.__eq__, tuple.__eq__)  # of classes whose equal things are as good as the same


class Watch:
    """Snapshots of the places that a function reads, and quick comparisons with what is there now."""

    def __init__(self, fn: Any):
        walk = _Walk(fn)
        self._walk = walk
        sizes = accumulate(map(len, walk.containers))
        near = [c for c, size in zip(walk.containers, sizes, strict=True) if size <= MOST]
        lists = [c for c in near if c.__class__ is list and c and all(isinstance(x, (Real, str)) for x in c)]
        plain = [c for c in lists if {float, int, bool, str}.issuperset(map(type, c))]
        others = {id(c) for c in near} - {id(c) for c in plain}
        alike = _alike(near, walk.own)
        self.unchanged = _compared(walk, alike, [c for c in near if id(c) in others], plain)
        short = [c for c in walk.containers if any(isinstance(x, Real) for x in _entries(c))]
        near = short if sum(map(len, short)) <= SHORT else lists
        self.directly_unchanged = _compared(walk, alike, [c for c in near if id(c) in others], plain)

    def distrust(self) -> None:
        """Have all calls find that something has changed."""
        self.unchanged = self.directly_unchanged = lambda: False

    def confirmed(self) -> bool:
        """Whether the same things are there now, or equal numbers in their places; asked where identities differ."""
        try:
            now = _Walk(self._walk.fn)
        except Exception:  # what is looked at runs no code of the user's, except for attributes that compute
            return False
        before = self._walk
        if now.bytes != before.bytes or now.numbers != before.numbers:
            return False
        return len(now.found) == len(before.found) and all(map(_same, now.found, before.found))


def places_of(fn: Any, values: list[Value]) -> list[int] | None:
    """Where a function holds some Values, for `values_at` to find them in a copy; None where it does not hold one of them."""
    places = {v: i for i, v in enumerate(_held(fn))} if values else {}
    return [places[v] for v in values] if values and all(v in places for v in values) else None


def values_at(fn: Any, places: list[int]) -> list[Value]:
    """The Values that a function holds at these places; none where it holds fewer."""
    held = _held(fn)
    return [held[i] for i in places] if max(places) < len(held) else []


def _held(fn: Any) -> list[Value]:
    return list(dict.fromkeys(x for x in _Walk(fn).found if isinstance(x, Value)))


def _same(x: Any, y: Any) -> bool:
    return x is y or (type(x) is type(y) and isinstance(x, (Real, str)) and (x == y or x != x) and repr(x) == repr(y))


def _numbers_of(constants: list[Value]) -> bytes:
    return packed("d", map(primal, constants)).tobytes()


def _compared(walk: _Walk, alike: set[int], containers: list[Any], lists: Sequence[list[Any]]) -> Callable[[], bool]:
    """A function of no arguments that says whether the places, and what is in the containers, are the objects they were.

    Of `lists` of plain numbers and texts it says whether they hold the same to the bit, which takes less of the time.
    Of those that are `alike` it says whether they equal their copies, with no comparison of Values on the way: in a tenth of
    the time that a look at each item takes.
    It is written for the places at hand, because a small function's call has no time for a loop.
    """
    names: dict[str, Any] = {}
    terms = []
    for i, (holder, key, value) in enumerate(walk.places):
        names[f"h{i}"], names[f"v{i}"] = holder, value
        terms.append(f"h{i}.{key} is v{i}" if not isinstance(holder, dict) else f"h{i}[{key!r}] is v{i}")
    equal = [c for c in containers if id(c) in alike]
    if equal:
        names.update(next=next, comparisons=comparisons, equal=equal, copies=[*map(copy, equal)])
        terms.append("next(comparisons) + 1 == (copies == equal and next(comparisons))")
    containers = [_entries(c) for c in containers if id(c) not in alike]
    if containers:
        names.update(all=all, map=map, len=len, is_=is_, flat_of=chain.from_iterable, containers=containers)
        names["sizes"], names["flat"] = [*map(len, containers)], [*chain.from_iterable(containers)]
        terms.append("[*map(len, containers)] == sizes and all(map(is_, flat_of(containers), flat))")
    for i, numbers in enumerate(lists):
        names["bytes_of"], names[f"l{i}"], names[f"m{i}"] = marshal.dumps, numbers, marshal.dumps(numbers, 2)
        terms.append(f"bytes_of(l{i}, 2) == m{i}")  # 2: where nothing hangs on who else holds a number
    for i, (array, content, form) in enumerate(walk.arrays):
        names[f"a{i}"], names[f"b{i}"] = array, content
        terms.append(f"a{i}.tobytes() == b{i}")
        if form:
            names[f"s{i}"], names[f"t{i}"] = form
            terms.append(f"a{i}.shape == s{i} and a{i}.dtype == t{i}")
    if walk.constants:
        names.update(numbers_of=_numbers_of, constants=walk.constants, numbers=walk.numbers)
        terms.append("numbers_of(constants) == numbers")
    condition = " and ".join(terms) or "True"
    text = f"def unchanged():\n    try:\n        return {condition}\n    except Exception:\n        return False\n"
    exec(text, names)  # names made here, those of attributes, and the repr of those of globals
    unchanged: Callable[[], bool] = names["unchanged"]
    return unchanged


def _entries(container: Any) -> Any:
    """What is in a container: of the attributes of an object their values."""
    return container.values() if isinstance(container, dict) else container


def _alike(containers: list[Any], own: dict[int, Sequence[str]]) -> set[int]:
    """The ids of those in which things are the same where they are equal, unless Values are compared.

    They hold Values, texts, lists like these, and what is equal to nothing but itself. The attributes of an object, which is a
    module of this package, may be numbers and tuples too where the class itself sets them (`own` has their names): an equal one
    is as good there. One that was added may be read for its class, or for the sign of a zero.
    """
    found: set[int] = set()

    def fits(x: Any, is_own: bool) -> bool:
        cls: Any = x.__class__
        equals = cls.__eq__
        if cls is Value or equals is object.__eq__ or equals is str.__eq__:
            return True
        return id(x) in found if cls is list else is_own and equals in _PLAIN

    for container in reversed(containers):  # what is inside comes behind
        if container.__class__ is dict:
            names = own[id(container)]
            fit = all(fits(x, name in names) for name, x in container.items())
        else:
            fit = container.__class__ is list and all(fits(x, False) for x in container)
        if fit:
            found.add(id(container))
    return found


class _Walk:
    """Everything that a function holds on to: places with one object each, containers, small arrays, and constants."""

    def __init__(self, fn: Any):
        self.fn = fn
        self.names: set[str] = set()
        while True:  # until no more names of attributes are met
            known = len(self.names)
            self.places: list[tuple[Any, Any, Any]] = []  # holder, key (of a dict) or attribute, what stands there
            self.containers: list[Any] = []
            self.own: dict[int, Sequence[str]] = {}  # by attributes of a module of this package: names in its __init__
            self.arrays: list[tuple[Any, bytes, tuple[Any, ...]]] = []  # with shape and dtype; bytes of objects tell which
            self.constants: list[Value] = []
            self.found: list[Any] = []
            self._walk(fn)
            if len(self.names) == known:
                break
        self.bytes = [(b"" if object in form else content, form) for _, content, form in self.arrays]  # objects are in found
        self.numbers = _numbers_of(self.constants)

    def _walk(self, fn: Any) -> None:
        seen: dict[int, Any] = {}
        stack: list[Any] = [fn]
        while stack and len(self.found) < MOST:
            item = stack.pop()
            self.found.append(item)
            if isinstance(item, Value) and item.rule is not None and len(self.constants) < MOST:
                below = [item] if item.is_constant else all_below(item)  # which the tape computes anew
                self.constants += [x for x in below if x.is_constant]
            if isinstance(item, (Value, Real, str, bytes, type(None), CodeType)) or id(item) in seen:
                continue
            seen[id(item)] = item
            stack.extend(reversed([*self._inside(item)]))

    def _inside(self, item: Any) -> Iterable[Any]:
        if isinstance(item, _MANY):
            if item.__class__ is not tuple:
                self.containers.append(item)
            return item
        if isinstance(item, dict):
            self.containers += item.keys(), item.values()
            return [*(key for key in item if isinstance(key, (Real, str))), *item.values()]
        if isinstance(item, np.ndarray):
            objects = item.dtype == object
            if item.nbytes <= LARGE or (objects and item.size <= MOST):
                self.arrays.append((item, item.tobytes(), (item.shape, item.dtype)))
            return item.ravel().tolist() if objects else ()
        if isinstance(item, packed):
            if len(item) * item.itemsize <= LARGE:
                self.arrays.append((item, item.tobytes(), ()))
            return ()
        if isinstance(item, FunctionType):
            return self._of_function(item)
        if isinstance(item, MethodType):
            return item.__func__, item.__self__
        if isinstance(item, partial):
            return item.func, item.args, item.keywords
        if isinstance(item, (staticmethod, classmethod, property)):
            return [getattr(item, name, None) for name in ("__func__", "fget")]
        if isinstance(item, ModuleType):
            file = vars(item).get("__file__") or ""
            return self._named(vars(item), numbers=file.startswith(_LIBRARIES) or "-packages" in file)
        if isinstance(item, type):
            return chain.from_iterable(self._of_class(cls, item) for cls in item.__mro__ if cls.__module__ != "builtins")
        return self._of_object(item)

    def _of_function(self, item: FunctionType) -> Iterator[Any]:
        ours = item.__code__.co_filename.startswith(modes.HERE)
        yield self._at(item, "__defaults__") if item.__defaults__ else None
        yield self._at(item, "__kwdefaults__") if item.__kwdefaults__ else None
        for cell in item.__closure__ or ():
            try:
                yield cell.cell_contents if ours else self._at(cell, "cell_contents")
            except ValueError:  # it is empty as yet
                continue
        if ours:  # which sets no variable of a function around it
            return
        self.names.update(_names(item.__code__))
        for name in dict.fromkeys(_names(item.__code__)):
            if name in item.__globals__ and not isinstance(item.__globals__[name], type):
                yield self._at(item.__globals__, name)
            elif name in item.__globals__:
                yield item.__globals__[name]

    def _of_object(self, item: Any) -> Iterator[Any]:
        """The attributes that code names, of this package's modules all; what makes it callable; a wrapped function."""
        of_network = hasattr(type(item), "named_parameters")
        attributes = getattr(item, "__dict__", {})
        if "__wrapped__" in attributes:
            yield attributes["__wrapped__"]
            return
        if of_network and type(item).__module__.startswith("micrograd."):
            self.containers.append(attributes)
            self.own[id(attributes)] = _set_by(type(item))
            yield from [x for name, x in attributes.items() if not name.startswith("jit(")]  # which methods leave there
        else:
            yield from self._named(attributes)
            for cls in type(item).__mro__:
                slots = vars(cls).get("__slots__", ())
                for name in (slots,) if isinstance(slots, str) else slots:
                    if name in self.names and hasattr(item, name):
                        yield self._at(item, name)
        for cls in type(item).__mro__[:-1]:
            if not getattr(cls, "__module__", "").startswith(("micrograd.", "builtins")):
                yield vars(cls).get("__call__")
                yield from self._of_class(cls, item)

    def _of_class(self, cls: type, item: Any) -> Iterator[Any]:
        """Its attributes that code names: numbers and Values as places, methods for what they name in turn.

        A place is that of the object or class through which code reads it, where another can come to stand before it.
        """
        for name in sorted(self.names.intersection(vars(cls))):
            x = vars(cls)[name]
            if isinstance(x, _HELD):
                yield self._at(item if getattr_static(item, name, None) is x else cls, name)
            else:
                yield x

    def _named(self, attributes: Any, numbers: bool = False) -> Iterator[Any]:
        for name in sorted(self.names.intersection(attributes)):
            x = attributes[name]
            if not numbers or isinstance(x, _HELD):
                yield self._at(attributes, name)

    def _at(self, holder: Any, key: str) -> Any:
        value = holder[key] if isinstance(holder, dict) else getattr(holder, key)
        self.places.append((holder, key, value))
        return value


def _set_by(cls: Any) -> Sequence[str]:
    """The names in the code that makes an object of this class, those of the attributes that it sets among them."""
    names: Sequence[str] = getattr(getattr(cls.__init__, "__code__", None), "co_names", ())
    return names


def _names(code: CodeType) -> Iterator[str]:
    """The names in a function's code, and in that of the functions that it defines."""
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _names(part)
