"""The arguments of one call, taken apart: their structure as a key, and their numbers as arrays.

`trees` comes before: it says what is a structure and what a leaf. Here the kind of each leaf is part of the structure too.
Numbers that stand side by side in one argument become one array.
"""

from __future__ import annotations

from array import array as packed
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from operator import countOf
from struct import pack
from typing import Any

import numpy as np

from micrograd.elementwise import nested
from micrograd.engine import Value
from micrograd.trees import Structure, kind_of, numeric_array, parts_of, plain_array, rebuilt, steps

Array = np.ndarray[Any, Any]
MOST = 1 << 63  # integers below are in an array what they are
_NUMBER, _INTEGER = ("number", "f"), ("number", "i")
_PLAIN = {float, int, list, tuple, np.ndarray}
_SAMPLES, _STATIC, _AXES = {np.ndarray, list, tuple}, {str, bool, type(None)}, {int, type(None)}
_REALS = {float, int}


class ValueAmong(TypeError):
    """A Value stands among the arguments of a call that gives numbers."""


class Chunked(TypeError):
    """A Dask collection stands among the arguments: `scale` takes such calls."""


class Call:
    """The arguments of one call: their structure as a hashable key, and their numbers as arrays.

    `fields` lists (width, varying) for each array of `inputs`; varying ones have shape (n, width), others (width,). `n` is the
    number of samples. The key holds the structure of each argument; those by name come last, in alphabetical order, and are
    followed by a tuple of their names. In the place of leaves stand ("number", kind), ("array", shape, kind, varying),
    ("static", x) and ("floats", "list" or "tuple", n), where kind is "i" for integers (and bools in arrays) and "f" for other
    numbers.
    """

    def __init__(self, args: Sequence[Any], axes: Sequence[int | None], named: Mapping[str, Any] | None = None):
        self.inputs: list[Array] = []
        self.kinds: list[str] = []
        self.tables: list[str] = []  # which arguments are data frames: their rows arrive as arrays
        self.n = -1
        self._fields: list[tuple[int, bool]] = []
        self._pending: Any = packed("d")  # numbers of one kind that stand side by side
        self._pending_kind = "f"
        self.names = tuple(sorted(named)) if named else ()
        parts = self._structures(args, axes, named or {})
        self.key: Structure = (*parts, self.names) if named else tuple(parts)
        self.fields = tuple(self._fields)
        if self.n < 0:
            self.n = 1

    @nested
    def _structures(self, args: Sequence[Any], axes: Sequence[int | None], named: Mapping[str, Any]) -> list[Structure]:
        parts = [self._argument(x, axes[i], f"argument {i}") for i, x in enumerate(args)]
        return parts + [self._argument(named[name], axes[len(args)], f"argument {name}") for name in self.names]

    def _argument(self, x: Any, axis: int | None, where: str) -> Structure:
        spec = self._taken_apart(x, axis, where)
        if self._pending:
            self._flush()
        return spec

    def _taken_apart(self, x: Any, axis: int | None, where: str) -> Structure:
        """The structure of an argument or of a part of one; its numbers go to `inputs`."""
        cls = x.__class__
        if axis is None and cls is float:
            self._number(x, "f")
            return _NUMBER
        if axis is None and cls is int and abs(x) < MOST:
            self._number(x, "i")
            return _INTEGER
        if axis is not None and cls in _SAMPLES:
            return self._samples(x, axis, where)
        if axis is None and cls in _STATIC:
            return "static", x
        kind = kind_of(x)
        if axis is not None and (kind is None or kind[0] in ("list", "tuple")):
            return self._samples(x, axis, where)
        if kind is not None:
            if (kind[0] == "list" or kind[0] == "tuple") and x and countOf(map(type, x), float) == len(x):
                self._number(None, "f")
                self._pending.frombytes(pack(f"{len(x)}d", *x))  # in a third of the time of extend(x)
                return ("floats", kind[0], len(x))
            inside = list(parts_of(x, kind))
            alone = axis is None and _REALS.issuperset(map(type, inside))  # numbers, about which nothing will have to be said
            ways = [""] * len(inside) if alone else steps(kind, len(inside))
            parts = tuple([self._taken_apart(part, axis, where + step) for part, step in zip(inside, ways, strict=True)])
            if (kind[0] == "list" or kind[0] == "tuple") and parts and all(part is _NUMBER for part in parts):
                return ("floats", kind[0], len(parts))
            return (*kind, parts)
        if isinstance(x, (np.bool_, str)):
            return "static", bool(x) if isinstance(x, np.bool_) else x
        return self._leaf(x, where)

    def _leaf(self, x: Any, where: str) -> Structure:
        """A number or an array that is the same for all samples."""
        if isinstance(x, Real) and not isinstance(x, (float, np.generic)) and not (isinstance(x, int) and abs(x) < MOST):
            x = float(x)  # a Fraction, or an integer that no array holds
        array = _array(x, where)
        if array.ndim:
            self._flush()
            self._add(array.reshape(-1), False, _kind(array))
            return "array", array.shape, _kind(array), False
        kind = _kind(array)
        self._number(array.item(), kind)
        return _NUMBER if kind == "f" else _INTEGER

    def _samples(self, x: Any, axis: int, where: str) -> Structure:
        """The structure of an array, or of lists that make up one, with its samples along `axis`."""
        if x is None or isinstance(x, (bool, str)):
            raise ValueError(f"{where} needs a leading axis of samples, got {x!r}: use in_axes=None for it")
        array = _array(x, where)
        if array.ndim == 0:
            raise ValueError(f"{where} needs a leading axis of samples, got the number {x!r}: use in_axes=None for it")
        if axis:
            check_axis(array, axis, where)
            array = np.moveaxis(array, axis, 0)
        if x.__class__ is not np.ndarray and hasattr(x, "columns"):
            self.tables.append(where)
        n = len(array)
        if self.n >= 0 and n != self.n:
            raise ValueError(f"{where} has {n} samples, and another argument has {self.n}")
        self.n = n
        shape = array.shape[1:]
        width = 1
        for d in shape:
            width *= d
        self._add(array.reshape(n, width), True, _kind(array))
        return "array", shape, _kind(array), True

    def _number(self, x: Any, kind: str) -> None:
        if self._pending and self._pending_kind != kind:
            self._flush()
        if self._pending_kind != kind:
            self._pending, self._pending_kind = packed("d") if kind == "f" else [], kind
        if x is not None:
            self._pending.append(x)

    def _flush(self) -> None:
        if self._pending:
            floats = self._pending_kind == "f"
            numbers = np.frombuffer(self._pending) if floats else np.array(self._pending, np.int64)
            self._pending = packed("d") if floats else []
            self._add(numbers, False, self._pending_kind)

    def _add(self, array: Array, varying: bool, kind: str) -> None:
        self.inputs.append(array)
        self._fields.append((array.shape[-1], varying))
        self.kinds.append(kind)

    def sample(self, i: int) -> list[Any]:
        """The numbers of one sample, integers as ints. If there are no samples, ones for what varies and 0 for integers."""
        numbers: list[Any] = []
        for x, (width, varying), kind in zip(self.inputs, self.fields, self.kinds, strict=True):
            row = x[i] if varying and self.n else np.ones(width) if varying else x
            numbers += map(int if kind == "i" else float, row.tolist())
        return numbers if self.n else [0 if isinstance(x, int) else x for x in numbers]

    def rows(self, which: Array) -> list[Array]:
        """The inputs of some of the samples."""
        return [x[which] if varying else x for x, (_, varying) in zip(self.inputs, self.fields, strict=True)]

    def applied(self, fn: Any, values: Sequence[Any]) -> Any:
        """The result of a function on these arguments with `values` in the place of their numbers."""
        stream = iter(values)

        def leaf(spec: Structure) -> Any:
            kind = spec[0]
            if kind == "number":
                return next(stream)
            if kind == "static":
                return spec[1]
            if kind == "floats":
                numbers = [next(stream) for _ in range(spec[2])]
                return numbers if spec[1] == "list" else tuple(numbers)
            shape = spec[1]
            if shape == ():
                return next(stream)
            array = np.empty(shape, object)
            for at in np.ndindex(shape):
                array[at] = next(stream)
            return array

        parts = [rebuilt(spec, leaf) for spec in (self.key[:-1] if self.names else self.key)]
        first = len(parts) - len(self.names)
        try:
            return fn(*parts[:first], **dict(zip(self.names, parts[first:], strict=True)))
        except (IndexError, AttributeError) as error:
            if self.tables and ("valid indices" in str(error) or "'numpy.ndarray'" in str(error)):
                raise type(error)(
                    f"{self.tables[0]} is a data frame, x, whose rows arrive as arrays without names: write row[0] for the "
                    "first column, or pass a dict of columns, {name: x[name] for name in x.columns}"
                ) from error
            raise

    def check_lookups(self, lookups: list[tuple[int, int]], inputs: list[Array]) -> None:
        """IndexError if an index among these inputs is outside its table; `lookups` are pairs (input, length of the table)."""
        for i, n in lookups:
            field, j = self.place(i)
            check_column(inputs[field][..., j], n)

    def place(self, i: int) -> tuple[int, int]:
        """The field and the column there of the i-th number of the arguments."""
        for field, (width, _) in enumerate(self.fields):
            if i < width:
                return field, i
            i -= width
        raise IndexError(i)


def check_column(column: Any, n: int) -> None:
    """IndexError if one of these indices is outside a table of n."""
    if column.size and not (column.min() >= 0 and column.max() < n):
        bad = column[(column < 0) | (column >= n)].flat[0] if column.ndim else column
        raise IndexError(f"take needs an index from 0 to {n - 1}, got {bad}")


def canonical(spec: Any) -> Any:
    """A structure in the form in which calls write it: a list or tuple of floats alone is one item."""
    if not isinstance(spec, tuple):
        return spec
    if len(spec) == 2 and spec[0] in ("list", "tuple") and spec[1] and all(part == _NUMBER for part in spec[1]):
        return ("floats", spec[0], len(spec[1]))
    return tuple([canonical(part) for part in spec])


def _array(x: Any, where: str) -> Any:
    """The array of a leaf, or of lists of numbers; TypeError or ValueError if it makes none."""
    cls = x.__class__
    if cls is np.ndarray and x.dtype.kind in "fiu":
        return x
    listed = cls is list or cls is tuple
    plain = listed and _PLAIN.issuperset(map(type, x))  # else NumPy would drop the masks of rows
    if not plain and any(map(is_chunked, x if listed else (x,))):
        raise Chunked(
            f"{where} is a Dask collection, {x!r}"[:160] + ": map, value_and_grad, backward and training go over its "
            "samples; for one evaluation call x.compute() first"
        )
    try:
        if not plain:
            x = [plain_array(row) for row in x] if listed else plain_array(x)
        array = numeric_array(x if x.__class__ is np.ndarray else np.asarray(x))
        if array.dtype.kind == "O":
            first = next(e for e in array.flat if isinstance(e, Value))
            raise ValueAmong(f"must be made of real numbers, got Value {first!r}")
    except ValueError as error:
        raise ValueError(f"{where} must have rows of one length: {error}") from None
    except TypeError as error:
        raise type(error)(f"{where} {error}") from None
    return array


def is_chunked(x: Any) -> bool:
    """Whether x is a Dask collection, or holds one as arrays of xarray may. Dask is not imported for it."""
    graph = None if isinstance(x, type) else getattr(x, "__dask_graph__", None)
    return graph is not None and (type(x).__module__.startswith("dask.") or graph() is not None)


def _kind(array: Array) -> str:
    return "i" if array.dtype.kind in "iub" else "f"


def check_axis(x: Any, axis: int, where: str) -> None:
    """ValueError if an array has no such axis."""
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{where} has no axis {axis} of samples: its shape is {x.shape}")


def axes_of(in_axes: Any, args: Sequence[Any], named: Mapping[str, Any] | None = None) -> Sequence[int | None]:
    """The axis of each argument, and one more for those by name: the common axis, or 0 if `in_axes` is a sequence."""
    if in_axes is None or in_axes.__class__ is int:
        return [in_axes] * (len(args) + 1)
    if not isinstance(in_axes, (tuple, list)) or (
        not _AXES.issuperset(map(type, in_axes))
        and any(a is not None and (not isinstance(a, Integral) or isinstance(a, bool)) for a in in_axes)
    ):
        raise TypeError(f"in_axes must be the axis of samples, None where there is none, or a tuple of these, got {in_axes!r}")
    if len(in_axes) != len(args):
        raise ValueError(f"in_axes needs one entry for each of the {len(args)} arguments, got {in_axes!r}")
    return (*in_axes, 0) if named else in_axes
