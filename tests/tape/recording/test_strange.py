"""Functions that hold on to strange objects: a compiled one looks at them, and neither trips over them nor runs their code."""

import contextlib
import ctypes
import enum
import gc
import importlib.util
import operator
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from unittest import mock

import numpy as np
import pytest

from micrograd import Value, jit

ASKED = (
    "__getattr__", "__getattribute__", "__eq__", "__hash__", "__len__", "__bool__", "__iter__", "__getitem__", "__contains__",
    "__repr__", "__str__", "__dir__", "__float__", "__index__", "__call__", "__reduce__", "__sizeof__", "__format__",
)  # fmt: skip
READ = ("__dict__", "__class__", "__wrapped__", "__module__", "default_factory", "shape", "dtype", "named_parameters")
BASES = (
    object,
    dict,
    list,
    tuple,
    set,
    float,
    int,
    str,
    deque,
    bytearray,
    OrderedDict,
    defaultdict,
    Exception,
    types.ModuleType,
)
ran = []


class Holder:
    pass


def refusing(name):
    def method(*args, **options):
        ran.append(name)
        raise RuntimeError(name)

    return property(method) if name in READ else method


def objects_of_classes():
    """Objects, and classes, of which one thing that may be asked for raises."""
    for name in (*ASKED, *READ):
        for base in BASES:
            with contextlib.suppress(TypeError):  # a base that has it as something else
                cls = type("Refusing", (base,), {name: refusing(name)})
                yield f"{base.__name__}, {name}", object.__new__(cls) if base is object else base.__new__(cls, *_args(base))
        with contextlib.suppress(TypeError):
            meta = type("Meta", (type,), {name: refusing(name)})
            cls = type.__new__(meta, "Made", (), {})
            yield f"metaclass, {name}", cls
            yield f"object of metaclass, {name}", object.__new__(cls)


def _args(base):
    return ("name",) if base is types.ModuleType else ()


def other_objects():
    class Descriptor(tuple):
        def __get__(self, instance, owner=None):
            ran.append("__get__")
            raise RuntimeError

    hidden = type("Hidden", (type("Slots", (), {"__slots__": ("entry",)}),), {"entry": refusing("shape")})
    odd, unnamed = Holder(), type("Unnamed", (), {})
    vars(odd).update({3: 2.0, "a b": 2.0, "": 2.0})
    unnamed.__module__ = 3
    released = memoryview(b"ab")
    released.release()
    module, file = types.ModuleType("without_spec"), types.ModuleType("file")
    del module.__spec__
    file.__file__ = 3
    spec = importlib.util.find_spec("colorsys")
    loader = spec.loader = importlib.util.LazyLoader(spec.loader)
    late = importlib.util.module_from_spec(spec)
    late.__spec__.loader_state = None
    del loader
    yield "descriptor of a class", type("Has", (), {"entry": Descriptor((2.0,))})()
    yield "class of a descriptor", type("Has", (), {"entry": Descriptor((2.0,))})
    yield "slot behind a property", hidden()
    yield "names that are none", odd
    yield "class of no module", unnamed()
    yield "view that was released", released
    yield "proxy of what is gone", weakref.proxy(Holder())
    yield "module without a specification", module
    yield "module of no file", file
    yield "module that is still to be read", late
    yield "enumeration", enum.Enum("Colour", "red green")
    yield "mock", mock.MagicMock()
    yield "masked array", np.ma.masked_array([1.0, 2.0], [0, 1])
    yield "library of C's", ctypes.CDLL(None)
    yield "finalizer", weakref.finalize(odd, print)


@pytest.fixture
def collected():
    """Nothing strange is left for a test that goes through all objects."""
    yield
    gc.collect()


@pytest.mark.parametrize("objects", [objects_of_classes, other_objects])
def test_looking_at_a_strange_object_neither_fails_nor_runs_its_code(objects, collected):
    for name, held in objects():
        holder, listed = Holder(), [held]
        holder.inner = held

        def reads_names(x, held=held):  # those of attributes that the objects have or refuse
            return x * 2.0 if held is held else x * held.entry.shape.inner

        def reads_all(x, held=held):
            return x * 2.0 if vars is not None else vars(held)

        def of_attribute(x, holder=holder):
            return (holder.inner, x * 2.0)[1]

        def of_list(x, listed=listed):
            return (listed[0], x * 2.0)[1]

        ran.clear()
        for function in (reads_names, reads_all, of_attribute, of_list):
            f = jit(function, backend="reference")
            assert [f(1.5) for _ in range(3)] == [3.0] * 3, name
        assert {"__hash__", "__eq__"}.issuperset(ran), name  # of a class, when it is asked whether it is one of numbers


def test_what_strange_objects_hold_is_watched():
    """Attributes behind a __getattribute__ or a property, private slots, entries of a class that counts its own way."""

    class Guarded:
        __slots__ = ("__dict__", "__rate")

        def __init__(self):
            self.__rate = self.factor = 2.0

        def __getattribute__(self, name):
            return object.__getattribute__(self, name)

        def of(self, x):
            return x * self.__rate * self.factor

        def change(self):
            self.__rate = 3.0

    class Mine(list):
        def __iter__(self):
            raise RuntimeError

        __len__ = __iter__

    class Named(dict):
        keys = values = __iter__ = Mine.__iter__

    guarded, mine, named, proxied = Guarded(), Mine([2.0]), Named(k=2.0), Holder()
    proxied.factor = 2.0
    proxy = weakref.proxy(proxied)
    f = jit(guarded.of, backend="reference")
    assert f(1.0) == 4.0
    guarded.factor = 5.0
    assert f(1.0) == 10.0
    guarded.change()
    assert f(1.0) == 15.0
    ordered = OrderedDict(a=2.0, b=3.0)
    for function, change in (
        (lambda x: x * list.__getitem__(mine, 0), lambda: operator.setitem(mine, 0, 5.0)),
        (lambda x: x * named["k"], lambda: operator.setitem(named, "k", 5.0)),
        (lambda x: x * proxy.factor, lambda: setattr(proxied, "factor", 5.0)),
        (lambda x: x * next(iter(ordered.values())), lambda: ordered.move_to_end("a")),
    ):
        f = jit(function, backend="reference")
        assert f(1.0) == f(1.0) == function(Value(1.0)).data == 2.0
        change()
        assert f(1.0) == function(Value(1.0)).data != 2.0
