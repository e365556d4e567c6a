"""The structure of results: a tree in which each number is replaced by its place among the tape's outputs.

`recordings` keep it with a tape. Results are made by putting numbers, or arrays over the samples, into these places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter, methodcaller
from typing import Any

import numpy as np

from micrograd.trees import elements, kind_of, leaves_of, mapped, of_parts, parts_of


class Place(int):
    """Stands for a number among the results: which output it is."""

    __slots__ = ()


def numbers_of(out: Any) -> list[Any]:
    """The numbers and Values among the results, in order."""
    return [x for leaf in leaves_of(out) if not isinstance(leaf, str) for x in elements(leaf)]


def skeleton(out: Any, ids: Iterator[int]) -> Any:
    """The results with a Place for each number, and with an array of such places, as integers, for each array."""

    def change(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            return np.array([next(ids) for _ in range(leaf.size)], np.int64).reshape(leaf.shape)
        return leaf if isinstance(leaf, str) else Place(next(ids))

    return mapped(out, change)


def put_together(out: Any, one: Callable[[int], Any], many: Callable[..., Any], lists_are_arrays: bool = False) -> Any:
    """The structure with one(i) in the place of a number and many(ids, shape) in that of an array."""
    if out.__class__ is Place:
        return one(out)
    if isinstance(out, np.ndarray):
        return many(out.ravel(), out.shape)
    kind = kind_of(out)
    if kind is None:
        return out
    if lists_are_arrays and kind[0] == "list" and (shape := _regular(out)) is not None:
        return many(_places(out), shape)
    return of_parts(kind, [put_together(part, one, many, lists_are_arrays) for part in parts_of(out, kind)])


def arrays_of(out: Any, n: int, numbers: Any, arrays: Sequence[Any] = ()) -> list[Any]:
    """The results of n samples as one array for each part, in order.

    They are taken from `numbers`, of shape (results, n); or, if that is None, from `arrays`, which have the columns of a part.
    """
    if out.__class__ is Place:
        return [arrays[0] if numbers is None else numbers[out]]
    rest, found = iter(arrays), list[Any]()

    def one(i: int) -> None:
        found.append(next(rest) if numbers is None else numbers[i])

    def many(ids: Any, shape: tuple[int, ...]) -> None:
        found.append((next(rest) if numbers is None else np.ascontiguousarray(numbers[ids].T)).reshape(n, *shape))

    put_together(out, one, many, lists_are_arrays=True)
    return found


def filled(out: Any, arrays: Sequence[Any]) -> Any:
    """The structure with these arrays, which `arrays_of` gives, in the places of its parts."""
    if out.__class__ is Place:
        return arrays[0]
    rest = iter(arrays)
    return put_together(out, lambda _: next(rest), lambda *_: next(rest), lists_are_arrays=True)


def widths_of(out: Any) -> list[int]:
    """For each array that a map gives, in order, how many numbers of a sample it holds."""
    found: list[int] = []
    put_together(out, lambda _: found.append(1), lambda ids, _: found.append(len(ids)), lists_are_arrays=True)
    return found


def reader(out: Any) -> Callable[[Any], Any]:
    """A function that makes the results of one evaluation from the array of all outputs; arrays among them are views of it."""
    if out.__class__ is Place:
        return methodcaller("item", int(out))
    if isinstance(out, np.ndarray):
        shape, part = out.shape, _slice(out.ravel().tolist())
        return itemgetter(part) if len(shape) == 1 else lambda numbers: numbers[part].reshape(shape)
    kind = kind_of(out)
    if kind is None:
        return lambda numbers: out
    inside = list(parts_of(out, kind))
    if kind[0] in ("list", "tuple") and inside and all(x.__class__ is Place for x in inside):
        part = _slice(inside)
        numbers_in = list if kind[0] == "list" else tuple
        return lambda numbers: numbers_in(numbers[part].tolist())
    readers = [reader(x) for x in inside]
    if kind[0] == "tuple" and len(readers) == 2:  # a value and a gradient
        first, second = readers
        return lambda numbers: (first(numbers), second(numbers))
    if kind[0] == "tuple":
        return lambda numbers: tuple([read(numbers) for read in readers])
    return lambda numbers: of_parts(kind, [read(numbers) for read in readers])


def count_of(out: Any) -> int:
    """How many numbers there are in the results."""
    counts = [0]
    put_together(out, lambda _: counts.append(1), lambda ids, _: counts.append(len(ids)))
    return sum(counts)


def with_gradients(out: Any, total: Any, count: int, number: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Two structures, of values and of their gradients of `count` numbers, from one array: all values, then all gradients."""
    k = count_of(out)
    values, gradients = total[:k], total[k:].reshape(k, count)
    return (
        put_together(out, lambda i: number(values[i]), lambda ids, shape: values[_slice(ids)].reshape(shape), True),
        put_together(out, lambda i: gradients[i], lambda ids, shape: gradients[_slice(ids)].reshape(*shape, count), True),
    )


def _slice(ids: Sequence[int]) -> slice:
    """The slice of these places, which are consecutive, because `skeleton` numbers them in order."""
    return slice(int(ids[0]), int(ids[-1]) + 1) if len(ids) else slice(0)


def _regular(out: Any) -> tuple[int, ...] | None:
    """The shape of nested lists of numbers; None if they have unequal lengths or hold anything else."""
    if out.__class__ is Place:
        return ()
    if not isinstance(out, list) or not out:
        return None
    shapes = {_regular(part) for part in out}
    (shape,) = shapes if len(shapes) == 1 else (None,)
    return None if shape is None else (len(out), *shape)


def _places(out: Any) -> list[Place]:
    return [out] if isinstance(out, Place) else [p for part in out for p in _places(part)]
