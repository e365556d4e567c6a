"""What a recorded function has read from its surroundings: where it came from, and whether it is still there.

A tape keeps the plain numbers and the constants that were read while it was recorded, and knows other Values by identity. A
`Watch` remembers both, in all places that `surroundings` finds. `calls` asks at every call whether they are unchanged, and
has the function recorded again if they are not.
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
from micrograd.tape.recording.bare import found_in, is_a, one_of_each_class
from micrograd.tape.recording.surroundings import MOST, Surroundings, bytes_of, numbers_of

SHORT = 16  # if containers with numbers have no more entries together, calls that are given theta compare all of them too
_VIEWS: tuple[Any, ...] = (type({}.keys()), type({}.values()))  # of dicts
_PLAIN: tuple[Any, ...] = (float.__eq__, int.__eq__, tuple.__eq__)  # of classes whose equal objects are interchangeable


class Watch:
    """Snapshots of the places that a function reads, and quick comparisons with what is there now.

    `unchanged` compares everything; `directly_unchanged` looks into fewer containers, for calls that are given theta.
    """

    def __init__(self, fn: Any):
        walk = Surroundings(fn)
        self._walk = walk
        sizes = accumulate(map(len, walk.containers))
        near = [c for c, size in zip(walk.containers, sizes, strict=True) if size <= MOST]  # the first, up to so many entries
        # lists of numbers and texts; those of plain ones are compared by their bytes, all other containers entry by entry
        lists = [c for c in near if type(c) is list and c and all(is_a(x, (Real, str)) for x in c)]
        plain = [c for c in lists if {float, int, bool, str}.issuperset(map(type, c))]
        others = {id(c) for c in near} - {id(c) for c in plain}
        alike = _alike(near, walk.own)
        self.unchanged = _compared(walk, alike, [c for c in near if id(c) in others], plain)
        with_numbers = [c for c in walk.containers if any(is_a(x, Real) for x in one_of_each_class(_entries(c)))]
        looked_into = [c for c in walk.containers if not len(c)]  # which may get numbers
        looked_into += with_numbers if sum(map(len, with_numbers)) <= SHORT else lists
        self.directly_unchanged = _compared(walk, alike, [c for c in looked_into if id(c) in others], plain)

    def distrust(self) -> None:
        """Make all comparisons fail, so that the next call records again."""
        self.unchanged = self.directly_unchanged = lambda: False

    def confirmed(self) -> bool:
        """Whether a new walk finds the same objects, or equal numbers and texts; asked when a quick comparison has failed."""
        before = self._walk
        try:
            now = Surroundings(before.fn, before)
            if now.bytes != before.bytes or now.numbers != before.numbers:
                return False
            return len(now.found) == len(before.found) and all(map(_same, now.found, before.found))
        except Exception:  # a class derived from float may refuse to be compared
            return False


def places_of(fn: Any, values: list[Value]) -> list[int] | None:
    """Where a function holds some Values, so that `values_at` finds them in a copy; None if it does not hold one of them."""
    places = {v: i for i, v in enumerate(_held(fn))} if values else {}
    return [places[v] for v in values] if values and all(v in places for v in values) else None


def values_at(fn: Any, places: list[int]) -> list[Value]:
    """The Values that a function holds at these places; an empty list if it holds too few."""
    held = _held(fn)
    return [held[i] for i in places] if max(places) < len(held) else []


def _held(fn: Any) -> list[Value]:
    return list(dict.fromkeys(x for x in Surroundings(fn).found if is_a(x, Value)))


def _same(x: Any, y: Any) -> bool:
    return x is y or (type(x) is type(y) and is_a(x, (Real, str)) and (x == y or x != x) and repr(x) == repr(y))


def _compared(walk: Surroundings, alike: set[int], containers: list[Any], lists: Sequence[list[Any]]) -> Callable[[], bool]:
    """A function of no arguments that says whether the same objects are in the places and in the containers.

    `lists` of plain numbers and texts are compared by their bytes, which is quicker. Containers that are `alike` are compared
    with copies of them by ==, which takes a tenth of the time that a look at each entry takes; if that compares Values, they
    are not the same ones, and this counts as a change. The function is generated as code for these places, because a loop over
    them would be too slow for the call of a small function.
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
        terms.append(f"bytes_of(l{i}, 2) == m{i}")  # version 2: its bytes do not depend on how often a number is referred to
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
    exec(text, names)  # the text has names made above, names of attributes, and the repr of names of globals
    unchanged: Callable[[], bool] = names["unchanged"]
    return unchanged


def _entries(container: Any) -> Any:
    """The entries of a container; of a dict, its values."""
    return dict.values(container) if is_a(container, dict) else container


def _alike(containers: list[Any], own: dict[int, Sequence[str]]) -> set[int]:
    """The ids of the containers that == may compare: if it holds, the entries are interchangeable, unless it compared Values.

    They hold Values, texts, lists of this kind, and objects that are equal to nothing but themselves. Attributes of an `nn`
    module that its __init__ names (`own` lists these) may be numbers and tuples too. Other numbers are excluded, because ==
    tells neither 1 from 1.0 nor 0.0 from -0.0.
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

    for container in reversed(containers):  # inner containers come after outer ones
        if type(container) is dict:
            names = own[id(container)]
            fit = all(fits(x, name in names) for name, x in container.items())
        else:
            fit = type(container) in (list, *_VIEWS) and all(fits(x, False) for x in one_of_each_class(container, but=list))
        if fit:
            found.add(id(container))
    return found
