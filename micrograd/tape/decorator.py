"""How a compiled function behaves as a method, in a pickle and in a copy."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any, Self


class Decorator:
    """A compiled function that may be a method: each object has one of its own, which is kept among its attributes.

    `type(self)(fn, *options())` makes another one like it. Of a class method there is one for each class; if `@classmethod`
    stands above `@jit` and not below it, that holds for calls alone.
    """

    fn: Callable[..., Any]

    def __init__(self, of_class: bool) -> None:
        self._of_class = of_class
        self._method = getattr(self.fn, "__qualname__", "")  # what it is called in a class

    def __getstate__(self) -> Any:
        """What a pickle keeps besides the function and the options; None for nothing."""
        raise NotImplementedError

    def __setstate__(self, state: Any) -> None:
        raise NotImplementedError

    def options(self) -> tuple[Any, ...]:
        """The arguments with which it was made, after the function."""
        raise NotImplementedError

    def __set_name__(self, owner: type, name: str) -> None:
        self._method = f"{owner.__qualname__}.{name}"

    def __get__(self, instance: Any, owner: Any = None) -> Self:
        """For a method, the compiled function of this object, which is kept among the object's attributes."""
        if self._of_class:
            instance = owner if instance is None else type(instance)
        if instance is None or isinstance(self.fn, staticmethod):
            return self
        if not hasattr(instance, "__dict__"):
            raise TypeError(
                f"{type(instance).__name__} has __slots__ and no place for its own {self!r}: add '__dict__' to them"
            )
        kept, name = instance.__dict__, f"jit({self._method})"
        found = kept.get(name)
        if found is None or found.fn.__func__ is not self.fn or found.fn.__self__ is not instance:
            found = type(self)(MethodType(self.fn, instance), *self.options())  # type: ignore[arg-type]
            found._method = self._method
            if isinstance(instance, type):  # of a class method
                setattr(instance, name, found)
            else:
                kept[name] = found
        return found  # type: ignore[no-any-return]

    def bound_to(self, args: Sequence[Any]) -> Self | None:
        """The compiled function for the class that is the first argument, if a classmethod has put it there; else None.

        From Python 3.13 on, classmethod passes the class itself and no longer calls `__get__` of what it wraps.
        """
        if args and isinstance(args[0], type):
            for part in args[0].__mro__:
                if getattr(vars(part).get(self._method.rpartition(".")[2]), "__wrapped__", None) is self:
                    method: Self = self.__get__(args[0])
                    return method
        return None

    def refuse_unbound(self) -> None:
        """TypeError if a classmethod wraps this: from Python 3.13 on, nothing but plain calls is told the class."""
        found: Any = sys.modules.get(getattr(self.fn, "__module__", None) or "")
        *owners, name = self._method.split(".")
        for part in owners:
            found = getattr(found, part, None)
        wrapper: Any = getattr(found, "__dict__", {}).get(name)
        wrapped: Any = wrapper.__func__ if isinstance(wrapper, classmethod) else None
        if wrapped is self:
            raise TypeError(f"{self!r} is not told its class here: write @jit above @classmethod, not below it")

    def __reduce__(self) -> Any:
        fn, name = self.fn, self._method.rpartition(".")[2]
        if isinstance(fn, MethodType) and isinstance(fn.__self__, type):
            return getattr, (fn.__self__, name), self.__getstate__()
        if isinstance(fn, MethodType) and isinstance(getattr(type(fn.__self__), name, None), Decorator):
            return getattr, (fn.__self__, name), self.__getstate__()
        found: Any = sys.modules.get(getattr(fn, "__module__", None) or "")
        for part in getattr(fn, "__qualname__", "").split("."):
            found = getattr(found, part, None)
        if found is self:  # as a decorator it has taken the name of the function
            return fn.__qualname__
        return type(self), (fn, *self.options()), self.__getstate__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """One made of a copy of `fn`. A plain function is its own copy, and then the parameters in `wrt` stay the same too."""
        reduced = self.__reduce__()
        if isinstance(reduced, str):
            return self
        make, (fn, *others), state = reduced
        copied = copy.deepcopy(fn, memo)
        made = make(copied, *(others if copied is fn else copy.deepcopy(others, memo)))
        if state is not None:
            made.__setstate__(state)
        return made

    def __repr__(self) -> str:
        return f"jit({getattr(self.fn, '__qualname__', self.fn)})"
