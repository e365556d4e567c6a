"""Copies and pickles of graphs, at any depth: parents go first, so nothing recurses. `Value` inherits what is here."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from micrograd.engine import modes
from micrograd.engine.modes import open_blocks, watches

_STATE = ("_data", "grad", "label", "rule", "note", "_x", "_y", "_dx", "_dy")
_thread = threading.local()


class Copied:
    """How `copy` and `pickle` take a Value: alone on the same parents, or with its whole graph."""

    __slots__ = ()

    def __copy__(self: Any) -> Any:
        if open_blocks or (watches and self._x is None):  # a leaf, whose copy has a gradient of its own
            modes.read(self, "a copy")
        copy = _rewired(self, lambda parent: parent)
        for name, value in own(self).items():
            setattr(copy, name, value)
        return copy

    def __deepcopy__(self: Any, memo: dict[Any, Any]) -> Any:
        if open_blocks or watches:
            modes.read(self, "a copy")
        for node in self._below(memo.setdefault(__name__, set())):  # under this module's name: the nodes seen
            if id(node) not in memo:
                memo[id(node)] = copy = _rewired(node, lambda parent: memo[id(parent)])
                for name, value in own(node).items():
                    setattr(copy, name, deepcopy(value, memo))
        return memo[id(self)]

    def __reduce__(self) -> Any:
        if open_blocks or watches:
            modes.read(self, "pickling")
        return _reduced(self)


def _rewired(node: Any, find: Callable[[Any], Any]) -> Any:
    """A copy of `node` on the parents that `find` gives for its own, without what a subclass adds."""
    copy = restored(type(node), None, *[getattr(node, name) for name in _STATE])
    redirect(copy, find)
    return copy


def redirect(node: Any, find: Callable[[Any], Any]) -> None:
    """Let each operand of a node be the Value that `find` gives for it; plain numbers stay."""
    if node._x.__class__ is tuple:
        node._x = tuple(map(find, node._x))
    else:
        node._x, node._y = (p if p.__class__ is float or p is None else find(p) for p in (node._x, node._y))


def own(node: Any) -> dict[str, Any]:
    """The attributes of a subclass: those in its __dict__, and in the __slots__ of classes below Value."""
    found = dict(getattr(node, "__dict__", ()))
    for kind in type(node).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        if "_x" in slots:  # Value itself
            break
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(node, name):
                found[name] = getattr(node, name)
    return found


# Pickle recurses into what an object refers to. So a node hands it its ancestors first, as a list in topological order:
# each one's parents are then already in the pickle, and saving it refers to them. While that list is being saved, its
# members leave out the ancestors; and no node brings along what an earlier one of the same pickle has brought.


def _reduced(node: Any) -> Any:
    pickling = getattr(_thread, "pickling", lambda: None)()
    ancestors = None
    if node._x is not None and (pickling is None or node not in pickling.nodes):
        pickle = getattr(_thread, "pickle", lambda: None)()
        if pickle is None or pickle.met != 1:
            pickle = _Pickle()
            _thread.pickle = weakref.ref(pickle)
        ancestors = (pickle, _Ancestors(node, pickle))
    state = (type(node), ancestors, *[getattr(node, name) for name in _STATE])
    return (restored, state, (None, found)) if (found := own(node)) else (restored, state)


def restored(kind: type, _: Any, *state: Any) -> Any:
    """The node of that state."""
    node: Any = object.__new__(kind)
    for name, value in zip(_STATE, state, strict=True):
        setattr(node, name, value)
    return node


class _Pickle:
    """The nodes in one pickle. The pickle holds this object, so it lives as long as its pickler and notices a second one."""

    def __init__(self) -> None:
        self.nodes: set[Any] = set()
        self.met = 0  # how many picklers have asked for this: each asks once, and then refers to its answer

    def __reduce__(self) -> Any:
        self.met += 1
        return int, ()


class _Ancestors:
    def __init__(self, node: Any, pickle: _Pickle):
        self.node, self.pickle = node, pickle
        self.nodes: set[Any] = set()

    def __reduce__(self) -> Any:
        # Two picklers at once, or one without a memo: nobody knows which of them has what, so everything comes along.
        order = self.node._below(self.pickle.nodes if self.pickle.met == 1 else set())[:-1]
        self.nodes = set(order)
        _thread.pickling = weakref.ref(self)  # weak: a pickler that fails half way leaves nothing behind
        return list, (), None, iter([*order, _End()])


class _End:
    def __reduce__(self) -> Any:
        _thread.pickling = lambda: None
        return int, ()
