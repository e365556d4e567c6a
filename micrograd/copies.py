"""Copies and pickles of graphs, at any depth: parents go first, so nothing recurses. `Value` calls what is here."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

_STATE = ("data", "grad", "label", "rule", "note", "_x", "_y", "_dx", "_dy")
_thread = threading.local()


def rewired(node: Any, find: Callable[[Any], Any]) -> Any:
    """A copy of `node` on the parents that `find` gives for its own."""
    copy = restored(type(node), None, *[getattr(node, name) for name in _STATE])
    if node._x.__class__ is tuple:
        copy._x = tuple(map(find, node._x))
    else:
        copy._x, copy._y = (p if p.__class__ is float or p is None else find(p) for p in (node._x, node._y))
    return copy


def deep(order: list[Any], memo: dict[int, Any]) -> Any:
    """The copy of the last node of a sorted graph; `memo` as in copy.deepcopy."""
    for node in order:
        if id(node) not in memo:
            memo[id(node)] = rewired(node, lambda parent: memo[id(parent)])
    return memo[id(order[-1])]


# Pickle recurses into what an object refers to. So a node hands it its ancestors first, as a list in topological order:
# each one's parents are then already in the pickle, and saving it refers to them. While that list is being saved, its
# members leave out the ancestors.


def reduced(node: Any, sort: Callable[[Any], list[Any]]) -> Any:
    """What `node.__reduce__` returns."""
    pickling = getattr(_thread, "pickling", lambda: None)()
    known = node._x is None or (pickling is not None and node in pickling.nodes)
    ancestors = None if known else _Ancestors(sort(node)[:-1])
    return restored, (type(node), ancestors, *[getattr(node, name) for name in _STATE])


def restored(kind: type, _: Any, *state: Any) -> Any:
    """The node of that state."""
    node: Any = object.__new__(kind)
    for name, value in zip(_STATE, state, strict=True):
        setattr(node, name, value)
    return node


class _Ancestors:
    def __init__(self, order: list[Any]):
        self.order, self.nodes = order, set(order)

    def __reduce__(self) -> Any:
        _thread.pickling = weakref.ref(self)  # weak: a pickler that fails half way leaves nothing behind
        return list, (), None, iter([*self.order, _End()])


class _End:
    def __reduce__(self) -> Any:
        _thread.pickling = lambda: None
        return int, ()
