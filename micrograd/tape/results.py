"""Results: a structure whose numbers are replaced by their places in the tape's outputs, and put back from arrays of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Place:
    i: int


def numbers_of(out: Any) -> list[Any]:
    if isinstance(out, dict):
        return [x for part in out.values() for x in numbers_of(part)]
    if isinstance(out, (list, tuple)):
        return [x for part in out for x in numbers_of(part)]
    if isinstance(out, np.ndarray):
        return out.ravel().tolist()
    return [] if out is None or isinstance(out, str) else [out]


def skeleton(out: Any, ids: Iterator[int]) -> Any:
    if isinstance(out, dict):
        return {key: skeleton(part, ids) for key, part in out.items()}
    if isinstance(out, (list, tuple)):
        parts = [skeleton(part, ids) for part in out]
        return parts if isinstance(out, list) else _tuple_like(out, parts)
    if isinstance(out, np.ndarray):
        return np.array([next(ids) for _ in range(out.size)], np.int64).reshape(out.shape)
    return out if out is None or isinstance(out, str) else Place(next(ids))


def put_together(out: Any, one: Callable[[int], Any], many: Callable[..., Any], lists_are_arrays: bool = False) -> Any:
    """The structure with one(i) in the place of a number and many(ids, shape) in that of an array."""
    if isinstance(out, Place):
        return one(out.i)
    if isinstance(out, np.ndarray):
        return many(out.ravel(), out.shape)
    if isinstance(out, list):
        if lists_are_arrays and (shape := _regular(out)) is not None:
            return many([p.i for p in _places(out)], shape)
        return [put_together(part, one, many, lists_are_arrays) for part in out]
    if isinstance(out, tuple):
        return _tuple_like(out, [put_together(part, one, many, lists_are_arrays) for part in out])
    if isinstance(out, dict):
        return {key: put_together(part, one, many, lists_are_arrays) for key, part in out.items()}
    return out


def _tuple_like(out: Any, parts: list[Any]) -> Any:
    """A tuple, named where `out` is."""
    return type(out)(*parts) if hasattr(out, "_fields") else tuple(parts)


def _regular(out: Any) -> tuple[int, ...] | None:
    """The shape of nested lists of numbers, None where they are of unequal lengths or hold anything else."""
    if isinstance(out, Place):
        return ()
    if not isinstance(out, list) or not out:
        return None
    shapes = {_regular(part) for part in out}
    (shape,) = shapes if len(shapes) == 1 else (None,)
    return None if shape is None else (len(out), *shape)


def _places(out: Any) -> list[Place]:
    return [out] if isinstance(out, Place) else [p for part in out for p in _places(part)]
