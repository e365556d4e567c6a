"""What a recorded function has read from its surroundings: where it came from, and whether it is still there.

A tape keeps the numbers that were met while it was recorded, those of constants too, and knows other Values by identity. A
`Watch` remembers both where `surroundings` finds them. `calls` asks at every call whether all are as they were, and has the
function recorded anew where one is not.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Sequence
from copy import copy
from itertools import accumulate, chain
from numbers import Real
from operator import is_
from typing import Any

import numpy as np

from micrograd.engine import Value
from micrograd.engine.operators import comparisons
from micrograd.tape.bare import found_in, is_a
from micrograd.tape.surroundings import MOST, Surroundings, bytes_of, numbers_of

SHORT = 16  # up to so many entries in containers with numbers, each is looked at also in calls that are given theta
_VIEWS: tuple[Any, ...] = (type({}.keys()), type({}.values()))  # of dicts
_PLAIN: tuple[Any, ...] = (float.__eq__, int.__eq__, tuple.__eq__)  # of classes whose equal things are as good as the same


class Watch:
    """Snapshots of the places that a function reads, and quick comparisons with what is there now."""

    def __init__(self, fn: Any):
        walk = Surroundings(fn)
        self._walk = walk
        sizes = accumulate(map(len, walk.containers))
        near = [c for c, size in zip(walk.containers, sizes, strict=True) if size <= MOST]
        lists = [c for c in near if type(c) is list and c and all(is_a(x, (Real, str)) for x in c)]
        plain = [c for c in lists if {float, int, bool, str}.issuperset(map(type, c))]
        others = {id(c) for c in near} - {id(c) for c in plain}
        alike = _alike(near, walk.own)
        self.unchanged = _compared(walk, alike, [c for c in near if id(c) in others], plain)
        short = [c for c in walk.containers if any(is_a(x, Real) for x in _entries(c))]
        near = short if sum(map(len, short)) <= SHORT else lists
        self.directly_unchanged = _compared(walk, alike, [c for c in near if id(c) in others], plain)

    def distrust(self) -> None:
        """Have all calls find that something has changed."""
        self.unchanged = self.directly_unchanged = lambda: False

    def confirmed(self) -> bool:
        """Whether the same things are there now, or equal numbers in their places; asked where identities differ."""
        before = self._walk
        try:
            now = Surroundings(before.fn)
            if now.bytes != before.bytes or now.numbers != before.numbers:
                return False
            return len(now.found) == len(before.found) and all(map(_same, now.found, before.found))
        except Exception:  # a class derived from float may refuse to be compared
            return False


def places_of(fn: Any, values: list[Value]) -> list[int] | None:
    """Where a function holds some Values, for `values_at` to find them in a copy; None where it does not hold one of them."""
    places = {v: i for i, v in enumerate(_held(fn))} if values else {}
    return [places[v] for v in values] if values and all(v in places for v in values) else None


def values_at(fn: Any, places: list[int]) -> list[Value]:
    """The Values that a function holds at these places; none where it holds fewer."""
    held = _held(fn)
    return [held[i] for i in places] if max(places) < len(held) else []


def _held(fn: Any) -> list[Value]:
    return list(dict.fromkeys(x for x in Surroundings(fn).found if is_a(x, Value)))


def _same(x: Any, y: Any) -> bool:
    return x is y or (type(x) is type(y) and is_a(x, (Real, str)) and (x == y or x != x) and repr(x) == repr(y))


def _compared(walk: Surroundings, alike: set[int], containers: list[Any], lists: Sequence[list[Any]]) -> Callable[[], bool]:
    """A function of no arguments that says whether the places, and what is in the containers, are the objects they were.

    `lists` of plain numbers and texts are compared by their bytes, which is quicker. Containers that are `alike` are compared
    with their copies, in a tenth of the time that a look at each item takes; where Values are compared on the way, that
    counts as a change. The function is written out for the places at hand, because a small function's call has no time for a
    loop.
    """
    names: dict[str, Any] = {}
    terms = []
    for i, (holder, reading, value) in enumerate(walk.places):
        names[f"h{i}"], names[f"v{i}"] = holder, value
        terms.append(f"{reading} is v{i}")
    equal, views = ([c for c in containers if id(c) in alike and (type(c) in _VIEWS) == each] for each in (False, True))
    if equal or views:
        names.update(next=next, comparisons=comparisons, equal=equal, copies=[*map(copy, equal)], shown=[*map(list, views)])
        names.update({f"w{i}": view for i, view in enumerate(views)})
        now = f"shown == [{', '.join(f'[*w{i}]' for i in range(len(views)))}]"
        found = " and ".join(["copies == equal"] * bool(equal) + [now] * bool(views))
        terms.append(f"next(comparisons) + 1 == ({found} and next(comparisons))")
    containers = [_entries(c) for c in containers if id(c) not in alike]
    if containers:
        names.update(all=all, map=map, len=len, is_=is_, flat_of=chain.from_iterable, containers=containers)
        names["sizes"], names["flat"] = [*map(len, containers)], [*chain.from_iterable(containers)]
        terms.append("[*map(len, containers)] == sizes and all(map(is_, flat_of(containers), flat))")
    for i, numbers in enumerate(lists):
        names["bytes_of"], names[f"l{i}"], names[f"m{i}"] = marshal.dumps, numbers, marshal.dumps(numbers, 2)
        terms.append(f"bytes_of(l{i}, 2) == m{i}")  # 2: where nothing hangs on who else holds a number
    names.update(content_of=bytes_of, shape_of=np.ndarray.shape.__get__, type_of=np.ndarray.dtype.__get__)
    for i, (array, part, content, form) in enumerate(walk.arrays):
        names[f"a{i}"], names[f"p{i}"], names[f"b{i}"] = array, part, content
        terms.append(f"p{i}.tobytes() == b{i}" if form is not None else f"content_of(p{i}) == b{i}")
        if form:
            names[f"s{i}"], names[f"t{i}"] = form
            plain = type(array) is np.ndarray
            terms.append(f"a{i}.shape == s{i}" if plain else f"shape_of(a{i}) == s{i}")
            terms.append(f"a{i}.dtype is t{i}" if plain else f"type_of(a{i}) == t{i}")
    if walk.constants:
        names.update(numbers_of=numbers_of, constants=walk.constants, numbers=walk.numbers)
        terms.append("numbers_of(constants) == numbers")
    condition = " and ".join(terms) or "True"
    text = f"def unchanged():\n    try:\n        return {condition}\n    except Exception:\n        return False\n"
    exec(text, names)  # names made here, those of attributes, and the repr of those of globals
    unchanged: Callable[[], bool] = names["unchanged"]
    return unchanged


def _entries(container: Any) -> Any:
    """What is in a container: of the attributes of an object their values."""
    return dict.values(container) if is_a(container, dict) else container


def _alike(containers: list[Any], own: dict[int, Sequence[str]]) -> set[int]:
    """The ids of the containers in which an equal thing is as good as the same one, as long as no Values are compared.

    They hold Values, texts, lists like these, and what is equal to nothing but itself. Attributes of a Module may be numbers
    and tuples too where its class itself sets them (`own` has their names). Other attributes may be read for their class, or
    for the sign of a zero, which == does not tell.
    """
    found: set[int] = set()
    comparing: dict[int, Any] = {}

    def fits(x: Any, is_own: bool) -> bool:
        cls: Any = type(x)
        if id(cls) not in comparing:
            comparing[id(cls)] = found_in(cls, "__eq__")
        equals = comparing[id(cls)]
        if cls is Value or equals is object.__eq__ or equals is str.__eq__:
            return True
        return id(x) in found if cls is list else is_own and equals in _PLAIN

    for container in reversed(containers):  # what is inside comes behind
        if type(container) is dict:
            names = own[id(container)]
            fit = all(fits(x, name in names) for name, x in container.items())
        else:
            fit = type(container) in (list, *_VIEWS) and all(fits(x, False) for x in container)
        if fit:
            found.add(id(container))
    return found
