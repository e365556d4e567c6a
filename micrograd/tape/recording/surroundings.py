"""Surroundings: everything that a function may read outside its arguments, found by a walk from the function.

The walk goes where the code looks: through closures, globals, defaults and attributes that the code names, through lists,
dicts, sets, arrays and objects found there, and through the methods that operators call on these. `watch` remembers what is
found, and asks later whether it is still there.
"""

from __future__ import annotations

import gc
import sys
import weakref
from array import array as packed
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dis import opmap
from functools import cached_property, partial
from inspect import getattr_static
from itertools import chain
from keyword import iskeyword
from math import ceil, gcd
from numbers import Real
from operator import attrgetter, methodcaller
from types import BuiltinMethodType, CodeType, FunctionType, MappingProxyType, MethodType, MethodWrapperType, ModuleType
from typing import Any

import numpy as np

from micrograd.engine import Value, all_below, primal
from micrograd.engine.lines import HERE, LIBRARY
from micrograd.tape.recording import bare
from micrograd.tape.recording.bare import found_in, is_a, module_of, mro_of, variables_of

MOST = 10_000  # objects that are looked at; beyond them only the identity of containers is watched
LARGE = 1 << 15  # bytes; of a larger array only some of the entries are compared
ENTRIES = 128  # so many, evenly spaced: that takes half a microsecond, and all of 32 KiB take three
_LIBRARIES = (HERE, LIBRARY)  # in modules from here, and in installed packages, functions and classes are taken not to change
_COLLECTIONS = (tuple, list, deque, set, frozenset)
_HELD = (Value, Real, str, type(None), dict, np.ndarray, packed, *_COLLECTIONS)  # data, which is watched in classes and modules
_BARE = {"array", "builtins", "collections", "functools", "numpy", "operator", "types", "weakref"}  # modules of C's classes
_BY_TEXT = {"getattr", "hasattr", "attrgetter", "methodcaller", "__getattribute__"}  # what reads attributes named by a text
_ALL = {"vars", "__dict__", "asdict", "astuple", "fields", "dir"}  # what may read any attribute
_COMPARING = {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__"}  # methods that dataclasses generate
_COMPARE = {opmap["COMPARE_OP"], opmap["CONTAINS_OP"]}
_NO_OPERATORS = _COMPARING | {  # methods that make, copy, show or drop an object
    "__init__", "__new__", "__post_init__", "__init_subclass__", "__set_name__", "__class_getitem__", "__repr__", "__del__",
    "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__copy__", "__deepcopy__", "__getnewargs__", "__sizeof__",
    "__getnewargs_ex__", "__dir__", "__replace__", "__annotate__", "__annotate_func__",
}  # fmt: skip
_WRITING = {"add", "append", "appendleft", "extend", "extendleft", "insert", "update", "write"}  # methods that only write
_AROUND = (staticmethod, classmethod, property)


def numbers_of(constants: list[Value]) -> bytes:
    """Their numbers, to the bit."""
    return packed("d", map(primal, constants)).tobytes()


class Names:
    """The names of attributes that code may read: what it names itself, and texts where it reads what a text names."""

    def __init__(self, before: Names | None = None):
        self.in_code: set[str] = set(before.in_code) if before else set()
        # strings, in code and in what it reads, that may be names of attributes or begin them
        self.texts: set[str] = set(before.texts) if before else set()
        self.by_text: bool = before is not None and before.by_text  # whether code reads attributes named by a text,
        self.any_name: bool = before is not None and before.any_name  # or may read any attribute

    def count(self) -> tuple[Any, ...]:
        """How many names are known that matter: it changes with every new one."""
        return len(self.in_code), self.by_text and len(self.texts), self.any_name

    def note(self, *texts: Any) -> None:
        """Add the parts of texts that may be names of attributes, or the beginning of one."""
        for text in texts:
            if isinstance(text, str):
                self.texts.update(part for part in text.split(".") if part.isidentifier())

    def note_code(self, code: CodeType) -> None:
        """Add the names in a function's code. Of a library's code, only what it names itself is taken."""
        self.in_code.update(_names(code))
        if _is_of_library(code.co_filename):
            return
        self.by_text |= not _BY_TEXT.isdisjoint(_names(code))
        self.any_name |= not _ALL.isdisjoint(_names(code))
        if any(op in part.co_code[::2] for part in _parts(code) for op in _COMPARE):
            self.in_code |= _COMPARING
        for part in _parts(code):
            for x in part.co_consts:
                self.note(*(x if isinstance(x, (tuple, frozenset)) else (x,)))

    def among(self, attributes: Iterable[str], of_object: bool = False) -> list[str]:
        """Those of some attributes that code may read, sorted: named by code or a text; of an object, also begun by a text."""
        attributes = [name for name in attributes if type(name) is str]
        if of_object and self.any_name:
            return sorted(attributes)
        found = self.in_code.intersection(attributes)
        if self.by_text:
            found |= self.texts.intersection(attributes)
            if of_object:
                found.update(name for name in attributes if name.startswith(tuple(self.texts)))
        return sorted(found)


class Surroundings:
    """What a function may read outside its arguments: places with one object each, containers, arrays, and constants."""

    def __init__(self, fn: Any, before: Surroundings | None = None):
        """What there is now.

        Which attributes of an object are looked at depends on the names in the code, and some of that is found only later: so
        the walk is repeated until no new name comes. Given the names of `before`, one walk is mostly enough.
        """
        self.fn = fn
        self.names: Names = Names(before.names if before else None)
        while True:  # until no more names of attributes are found
            known = self.names.count()
            # holder, an expression that reads on from it (it calls the holder h0, h1, ...), and what was found there
            self.places: list[tuple[Any, str, Any]] = []
            self.containers: list[Any] = []
            self.own: dict[int, Sequence[str]] = {}  # by id of the attributes of a `nn` module: the names in its __init__
            # each with the part that is compared, the bytes of that (for objects, their addresses), and NumPy's shape and dtype
            self.arrays: list[tuple[Any, Any, bytes, tuple[Any, ...] | None]] = []
            self.constants: list[Value] = []
            self.found: list[Any] = []
            self._called: set[int] = set()  # ids of classes whose methods for operators have been walked through
            self._made: set[int] = set()  # the same for methods that make an object
            self._walk(fn)
            if self.names.count() == known:
                break
        arrays = [(content, form) for _, _, content, form in self.arrays]
        self.bytes = [(b"" if form and object in form else content, form) for content, form in arrays]  # objects are in found
        self.numbers = numbers_of(self.constants)

    def _walk(self, fn: Any) -> None:
        seen: dict[int, Any] = {}
        stack: list[Any] = [fn]
        while stack and len(self.found) < MOST:
            item = stack.pop()
            self.found.append(item)
            if type(item) is Value and item.rule is None:  # a leaf, as there may be many
                continue
            if is_a(item, Value) and item.rule is not None and len(self.constants) < MOST:
                below = [item] if item.is_constant else all_below(item)  # the tape computes it anew, from these
                self.constants += [x for x in below if x.is_constant]
            if type(item) is str:
                self.names.note(item)
            if is_a(item, (Value, Real, str, bytes, type(None), CodeType)) or id(item) in seen:
                continue
            seen[id(item)] = item
            try:
                stack.extend(reversed([*self._inside(item)]))
            except Exception:  # a memoryview that was released, a proxy of an object that is gone
                continue

    def _inside(self, item: Any) -> Iterable[Any]:
        if is_a(item, FunctionType):
            return self._of_function(item)
        if is_a(item, ModuleType):
            names = bare.attributes_of(item)
            file = getattr(names.get("__spec__"), "origin", None) or names.get("__file__")
            return self._named(names, numbers=_is_of_library(file))
        if is_a(item, type):
            return self._of_type(item)
        for kind, inside in self._kinds.items():
            if is_a(item, kind):  # and the attributes that a class derived from it may add
                return chain(inside(item), self._of_object(item) if module_of(type(item)) not in _BARE else ())
        return self._of_object(item)

    @cached_property
    def _kinds(self) -> dict[Any, Callable[[Any], Iterable[Any]]]:
        """For the kinds of objects that C defines, what gives the objects inside."""
        return {
            (*_COLLECTIONS, bytearray): self._of_collection,
            dict: self._of_dict,
            np.ndarray: self._of_array,
            (packed, memoryview): self._of_packed,
            MethodType: lambda x: (x.__func__, x.__self__),
            partial: lambda x: (x.func, x.args, x.keywords),
            (BuiltinMethodType, MethodWrapperType): lambda x: () if x.__name__ in _WRITING else (x.__self__,),
            (MappingProxyType, type({}.keys()), type({}.values()), type({}.items())): gc.get_referents,
            weakref.ref: lambda x: (weakref.ref.__call__(x),),
            weakref.ProxyTypes: lambda x: (x.__repr__.__self__,),
            (attrgetter, methodcaller): self._of_getter,
            (staticmethod, classmethod): lambda x: (x.__func__,),
            property: lambda x: (x.fget,),
        }

    def _of_collection(self, item: Any) -> Iterable[Any]:
        entries = bare.entries_of(item, (*_COLLECTIONS, bytearray))
        if not is_a(item, tuple):
            self.containers.append(entries)
        return entries  # type: ignore[no-any-return]

    def _of_dict(self, item: Any) -> Iterable[Any]:
        if item is sys.modules:  # which leads to everything
            return ()
        keys, values = bare.keys_and_values(item)
        self.containers += keys, values
        made_by = vars(defaultdict)["default_factory"].__get__(item) if is_a(item, defaultdict) else None
        return *[key for key in keys if is_a(key, (Real, str))], *values, made_by

    def _of_getter(self, item: Any) -> Iterable[Any]:
        self.names.by_text = True
        return item.__reduce__()[1]  # type: ignore[no-any-return]

    def _of_packed(self, item: Any) -> Iterable[Any]:
        if (item.nbytes if is_a(item, memoryview) else packed.__len__(item) * item.itemsize) <= LARGE:
            self.arrays.append((item, item, item.tobytes(), ()))
        return ()

    def _of_array(self, item: Any) -> Iterable[Any]:
        """The objects in an array of objects. Of many numbers a part is compared; of numbers on a disk, none."""
        plain = item if type(item) is np.ndarray else np.ndarray.view(item, np.ndarray)
        objects = plain.dtype == object
        if plain.size <= MOST if objects else not is_a(item, np.memmap):
            part = plain if objects else _part_of(plain)
            self.arrays.append((item, part, part.tobytes(), (plain.shape, plain.dtype)))
        return plain.ravel().tolist() if objects else ()

    def _of_function(self, item: FunctionType) -> Iterator[Any]:
        ours = item.__code__.co_filename.startswith(HERE)
        yield self._at(item, "__defaults__") if item.__defaults__ else None
        yield self._at(item, "__kwdefaults__") if item.__kwdefaults__ else None
        for cell in item.__closure__ or ():
            try:
                yield cell.cell_contents if ours else self._at(cell, "cell_contents")  # our code never sets such variables anew
            except ValueError:  # the cell is still empty
                continue
        if ours:  # this package's code reads nothing else that may change
            return
        self.names.note_code(item.__code__)
        for name in dict.fromkeys(_names(item.__code__)):
            if name in item.__globals__:
                yield self._entry(item.__globals__, name)

    def _of_object(self, item: Any) -> Iterator[Any]:
        """An object's attributes that code reads (of a `nn` module, all), a wrapped function, and methods for operators."""
        cls, attributes = type(item), bare.attributes_of(item)
        ours = module_of(cls).startswith("micrograd.")
        if "__wrapped__" in attributes:
            yield attributes["__wrapped__"]
            if ours or module_of(cls) in _BARE:
                return
        if ours and hasattr(cls, "named_parameters"):
            self.containers.append(attributes)
            self.own[id(attributes)] = _set_by(cls)
            yield from [x for name, x in attributes.items() if not name.startswith("jit(")]  # compiled methods are kept there
            return
        if self.names.by_text or self.names.any_name:  # an attribute that is read may be added later
            self.containers.append(attributes.keys())
        yield from self._named(attributes, of_object=True)
        slots = dict(bare.slots_of(cls))
        for name in self.names.among(slots, of_object=True):
            try:
                yield self._place(partial(slots[name].__get__, item), "h{}()", slots[name].__get__(item))
            except AttributeError:  # the slot is still empty
                continue
        if found_in(cls, "__array__") and not is_a(item, np.ndarray):  # a column of pandas', a tensor: by its numbers
            if (content := bytes_of(item)) is not None:
                self.arrays.append((item, item, content, None))
            return
        yield from self._of_classes(cls, item)

    def _of_type(self, item: Any) -> Iterator[Any]:
        """What code reads of a class; and its methods that make an object, since code that names a class may call it."""
        yield from self._of_classes(item, item)
        if type(item) is not type:  # a metaclass: its properties are attributes of the class
            yield from self._of_classes(type(item), item)
        for base in mro_of(item):
            if _is_walked(base) and id(base) not in self._made:
                self._made.add(id(base))
                own = variables_of(base)
                names = ("__post_init__",) if "__dataclass_fields__" in own else ("__new__", "__init__")
                yield from (own.get(name) for name in names)

    def _of_classes(self, cls: Any, item: Any) -> Iterator[Any]:
        for base in filter(_is_walked, mro_of(cls)):
            if id(base) not in self._called:
                self._called.add(id(base))
                yield from _called_by_operators(base)
            yield from self._of_class(base, item)

    def _of_class(self, cls: type, item: Any) -> Iterator[Any]:
        """The attributes of a class that code names: data as places to watch, methods to be walked through in turn.

        The holder of a place is the object or class through which code reads: an attribute set there later would hide this one.
        """
        for name in self.names.among(variables_of(cls)):
            x = variables_of(cls)[name]
            if is_a(x, _HELD):
                yield self._at(item if getattr_static(item, name, None) is x else cls, name)
            elif is_a(x, FunctionType) and not _is_of_library(x.__code__.co_filename):
                yield self._at(cls, name)
            else:
                yield x

    def _named(self, attributes: Any, numbers: bool = False, of_object: bool = False) -> Iterator[Any]:
        for name in self.names.among(attributes, of_object):
            x = attributes[name]
            if not numbers or is_a(x, _HELD):
                yield self._entry(attributes, name)

    def _entry(self, names: dict[str, Any], name: str) -> Any:
        return self._place(names, f"h{{}}[{name!r}]", names[name])

    def _at(self, holder: Any, name: str) -> Any:
        """An attribute as a place. Its name may be a keyword, if setattr has set it: no dot can read that."""
        if (read := bare.reader_of(holder, name)) is not None:
            return self._place(read, "h{}()", read())
        return self._place(holder, f"getattr(h{{}}, {name!r})" if iskeyword(name) else f"h{{}}.{name}", getattr(holder, name))

    def _place(self, holder: Any, reading: str, value: Any) -> Any:
        """Note a place and return what stands there; `reading` is the expression, with {} for the number of the holder."""
        self.places.append((holder, reading.replace("{}", str(len(self.places))), value))
        return value


def _is_walked(cls: Any) -> bool:
    """Whether the methods of a class are walked through: not those of C's classes and of this package."""
    return module_of(cls) != "builtins" and not module_of(cls).startswith("micrograd.")


def _called_by_operators(cls: type) -> Iterator[Any]:
    """The methods of a class that operators, calls, loops and the like call, but not those that compare (see `_COMPARING`)."""
    for name, x in variables_of(cls).items():
        if name[:2] == "__" == name[-2:] and name not in _NO_OPERATORS and is_a(x, (FunctionType, *_AROUND)):
            yield x


def _part_of(array: Any) -> Any:
    """The part of an array of numbers that is compared: of a large one some entries, evenly spaced."""
    if array.nbytes <= LARGE:
        return array
    if not array.flags.forc:
        return array[tuple(slice(None, None, ceil((array.size / ENTRIES) ** (1 / array.ndim))) for _ in array.shape)]
    step = array.size // ENTRIES + 1
    while gcd(step, array.size) > 1:  # else the same rows or columns would be met again and again
        step += 1
    return array.ravel(order="K")[::step]


def bytes_of(item: Any) -> bytes | None:
    """The bytes of the numbers of what converts itself to an array; of many numbers, those of some.

    None if it holds anything else, refuses (as a tensor does whose gradient is recorded), or has to be read or computed first.
    """
    try:
        if hasattr(item, "chunks") or hasattr(item, "__dask_graph__"):
            return None
        array = np.asarray(item)
    except Exception:
        return None
    return None if array.dtype == object else _part_of(array).tobytes()


def _set_by(cls: Any) -> Sequence[str]:
    """The names in the code of a class's __init__: among them those of the attributes that it sets."""
    names: Sequence[str] = getattr(getattr(cls.__init__, "__code__", None), "co_names", ())
    return names


def _parts(code: CodeType) -> Iterator[CodeType]:
    """A function's code, and that of the functions that it defines."""
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _parts(part)


def _names(code: CodeType) -> Iterator[str]:
    """The names in a function's code, and in that of the functions that it defines."""
    return chain.from_iterable(part.co_names for part in _parts(code))


def _is_of_library(file: Any) -> bool:
    """Whether a file is one of Python's library, of this package or of an installed one."""
    return type(file) is str and (file.startswith((*_LIBRARIES, "<frozen", "built-in")) or "-packages" in file)
