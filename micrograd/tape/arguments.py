"""The arguments of one call, taken apart: their structure as a key, and their numbers as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any

import numpy as np

from micrograd.engine import Value

Array = np.ndarray[Any, Any]
Spec = Any  # a hashable description of the structure of an argument; see Call._taken_apart


class Call:
    """The arguments of one call: their structure as a hashable key, and their numbers as arrays.

    `fields` lists (width, varying) for each array of `inputs`; varying ones have shape (n, width).
    """

    def __init__(self, args: Sequence[Any], axes: Sequence[int | None]):
        self.inputs: list[Array] = []
        fields: list[tuple[int, bool]] = []
        self.n = -1
        self.kinds: list[str] = []
        self.key = tuple(
            [self._taken_apart(x, axis, fields, f"argument {i}") for i, (x, axis) in enumerate(zip(args, axes, strict=True))]
        )
        self.fields = tuple(fields)
        if self.n < 0:
            self.n = 1

    def _taken_apart(self, x: Any, axis: int | None, fields: list[tuple[int, bool]], where: str) -> Spec:
        """The structure of one argument; its numbers go to `inputs`.

        ("number", kind), ("array", shape, kind), ("list", "tuple" or a class of named tuples, parts), ("dict", keys, parts)
        or ("static", x), where kind is "i" for integers and "f" for other numbers.
        """
        if axis is not None and not isinstance(x, dict):
            try:
                array = x if x.__class__ is np.ndarray else np.asarray(x)
            except ValueError as error:
                raise ValueError(f"{where} must have rows of one length: {error}") from None
            if array.ndim == 0 and (x is None or isinstance(x, (bool, str))):
                raise ValueError(f"{where} needs a leading axis of samples, got {x!r}: use in_axes=None for it")
            kind = _kind(array, where)
            if array.ndim == 0:
                raise ValueError(f"{where} needs a leading axis of samples, got the number {x!r}: use in_axes=None for it")
            if axis:
                array = np.moveaxis(array, axis, 0)
            n = len(array)
            if self.n >= 0 and n != self.n:
                raise ValueError(f"{where} has {n} samples, and another argument has {self.n}")
            self.n = n
            shape = array.shape[1:]
            width = 1
            for d in shape:
                width *= d
            self.inputs.append(array.reshape(n, width))
            fields.append((width, True))
            self.kinds.append(kind)
            return "array", shape, kind, True
        if isinstance(x, dict):
            keys = tuple(x)
            return "dict", keys, tuple([self._taken_apart(x[k], axis, fields, f"{where}[{k!r}]") for k in keys])
        if isinstance(x, (list, tuple)):
            name = "list" if isinstance(x, list) else type(x) if hasattr(x, "_fields") else "tuple"
            return name, tuple([self._taken_apart(e, axis, fields, f"{where}[{i}]") for i, e in enumerate(x)])
        if x is None or isinstance(x, (bool, np.bool_, str)):
            return "static", bool(x) if isinstance(x, np.bool_) else x
        if isinstance(x, Real) and not isinstance(x, (float, np.generic)) and not (isinstance(x, int) and abs(x) < 1 << 63):
            x = float(x)  # a Fraction, or an integer that no array holds
        array = np.asarray(x)
        kind = _kind(array, where)
        self.inputs.append(array.reshape(-1))
        fields.append((array.size, False))
        self.kinds.append(kind)
        return ("array", array.shape, kind, False) if array.ndim else ("number", kind)

    def sample(self, i: int) -> list[Any]:
        """The numbers of one sample, ints where integers; ones where there are no samples."""
        numbers: list[Any] = []
        for x, (width, varying), kind in zip(self.inputs, self.fields, self.kinds, strict=True):
            row = x[i] if varying and self.n else np.ones(width) if varying else x
            numbers += map(int if kind == "i" else float, row.tolist())
        return (
            numbers if self.n or 0 not in (len(x) for x in self.inputs) else [0 if isinstance(x, int) else x for x in numbers]
        )

    def rows(self, which: Array) -> list[Array]:
        """The inputs of some of the samples."""
        return [x[which] if varying else x for x, (_, varying) in zip(self.inputs, self.fields, strict=True)]

    def arguments(self, values: list[Value]) -> list[Any]:
        """The arguments with Values in the place of their numbers."""
        stream = iter(values)
        return [_with_values(spec, stream) for spec in self.key]

    def check_lookups(self, lookups: list[tuple[int, int]], inputs: list[Array]) -> None:
        """IndexError where an index among some inputs is outside its table."""
        columns = [(x, j) for x, (width, _) in zip(inputs, self.fields, strict=True) for j in range(width)] if lookups else []
        for i, n in lookups:
            x, j = columns[i]
            column = x[..., j]
            if column.size and not (column.min() >= 0 and column.max() < n):
                bad = column[(column < 0) | (column >= n)].flat[0] if column.ndim else column
                raise IndexError(f"take needs an index from 0 to {n - 1}, got {bad}")


def _with_values(spec: Spec, values: Iterator[Value]) -> Any:
    kind = spec[0]
    if kind == "number":
        return next(values)
    if kind == "array":
        shape = spec[1]
        if shape == ():
            return next(values)
        array = np.empty(shape, object)
        for at in np.ndindex(shape):
            array[at] = next(values)
        return array
    if kind == "static":
        return spec[1]
    if kind == "dict":
        return dict(zip(spec[1], [_with_values(part, values) for part in spec[2]], strict=True))
    parts = [_with_values(part, values) for part in spec[1]]
    return parts if kind == "list" else tuple(parts) if kind == "tuple" else kind(*parts)


def _kind(array: Array, where: str) -> str:
    kind = array.dtype.kind
    if kind == "f" or kind == "b":
        return "f"
    if kind in "iu":
        return "i"
    got = f"an array of {array.dtype}"
    if kind == "O" and array.size:
        first = next((x for x in array.flat if not isinstance(x, (int, float))), array.flat[0])
        got = f"{type(first).__name__} {first!r}"
    raise TypeError(f"{where} must be made of real numbers, got {got[:80]}")


def axes_of(in_axes: Any, args: Sequence[Any]) -> Sequence[int | None]:
    if in_axes is None or isinstance(in_axes, int):
        return [in_axes] * len(args)
    if len(in_axes) != len(args):
        raise ValueError(f"in_axes needs one entry for each of the {len(args)} arguments, got {in_axes!r}")
    return in_axes  # type: ignore[no-any-return]


def has_value(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(has_value, x))
    if isinstance(x, dict):
        return any(map(has_value, x.values()))
    if isinstance(x, np.ndarray):
        return x.dtype == object and any(isinstance(e, Value) for e in x.flat)
    return isinstance(x, Value)
