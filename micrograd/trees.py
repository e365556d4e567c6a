"""Trees: arguments and results of functions, taken apart into their numbers and put together again.

`engine` comes before; `functional`, `check` and `tape` use these functions, so all of them take the same arguments. A tree is
a list, tuple, named tuple, dict or dataclass of trees, or a leaf: a number, a Value, or a NumPy array of these. None has no
leaf. A 0-dimensional array reaches a function as a number. What converts itself to an array (a column of pandas or polars, a
tensor of another library) counts as an array, and so does any other sequence of numbers (a deque, a range).

    flatten(tree)                leaves from left to right, and the structure: hashable, equal for trees of one shape
    unflatten(structure, leaves) the tree again
    mapped(tree, change)         the tree with change(leaf) in the place of each leaf
    paths(tree)                  each leaf with what leads to it, such as ['w'][0] or .bias
    like(tree, numbers)          the tree with its numbers replaced, those inside arrays too
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from numbers import Integral, Real
from typing import Any

from micrograd.elementwise import more_than_numbers, nested, unread
from micrograd.engine import Value
from micrograd.primitives import number

Kind = tuple[Any, ...]  # what a node of a tree is, without its parts: ("list",), ("dict", keys), ...
Structure = tuple[Any, ...]  # a kind followed by the tuple of its parts' structures, or LEAF, or ("static", None)
LEAF: Structure = ("leaf",)
_NO_VALUES = {float, int, bool, str, type(None)}


def kind_of(x: Any) -> Kind | None:
    """What a node is, as a hashable tuple; None for a leaf."""
    cls = x.__class__
    if cls is float or cls is Value:
        return None
    if isinstance(x, list):
        return ("list",)
    if isinstance(x, tuple):
        return ("named tuple", cls) if hasattr(cls, "_fields") else ("tuple",)
    if isinstance(x, dict):
        return ("dict", tuple(x)) if cls is dict else ("dict of", cls, getattr(x, "default_factory", None), tuple(x))
    if cls is Sparse:
        return ("sparse", x.pattern)
    fields = getattr(cls, "__dataclass_fields__", None)
    return None if fields is None or x.__class__ is type else ("dataclass", cls, tuple(fields))


def parts_of(x: Any, kind: Kind) -> Iterable[Any]:
    """The parts of a node, in order."""
    if kind[0] == "sparse":
        return (x.data,)
    if kind[0] == "dict" or kind[0] == "dict of":
        return x.values()  # type: ignore[no-any-return]
    return [getattr(x, name) for name in kind[2]] if kind[0] == "dataclass" else x


def of_parts(kind: Kind, parts: Sequence[Any]) -> Any:
    """A node of that kind. A dataclass is filled without calling its __init__, which may expect numbers."""
    name = kind[0]
    if name == "list":
        return list(parts)
    if name == "tuple":
        return tuple(parts)
    if name == "named tuple":
        return kind[1]._make(parts)
    if name == "dict":
        return dict(zip(kind[1], parts, strict=True))
    if name == "sparse":
        return kind[1].matrix(parts[0])
    new = kind[1].__new__(kind[1])
    if name == "dict of":
        if kind[2] is not None:
            new.default_factory = kind[2]
        for key, part in zip(kind[3], parts, strict=True):
            new[key] = part
        return new
    for field, part in zip(kind[2], parts, strict=True):
        object.__setattr__(new, field, part)
    return new


def steps(kind: Kind, count: int) -> list[str]:
    """How code reads each part of a node: [0], ['w'] or .bias."""
    if kind[0] in ("dict", "dict of"):
        return [f"[{key!r}]" for key in kind[-1]]
    names = kind[2] if kind[0] == "dataclass" else kind[1]._fields if kind[0] == "named tuple" else ()
    return [f".{name}" for name in names] or [f"[{i}]" for i in range(count)]


@nested
def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of `tree` from left to right, and its structure.

    >>> flatten({"w": [1.0, 2.0], "b": None})
    ([1.0, 2.0], ('dict', ('w', 'b'), (('list', (('leaf',), ('leaf',))), ('static', None))))
    """
    leaves: list[Any] = []
    return leaves, _flattened(tree, leaves)


def _flattened(x: Any, leaves: list[Any]) -> Structure:
    """The structure of `x`; its leaves go to the list. (A function inside `flatten` would keep them alive.)"""
    kind = kind_of(x)
    if kind is not None:
        return (*kind, tuple([_flattened(part, leaves) for part in parts_of(x, kind)]))
    if x is None:
        return ("static", None)
    leaves.append(x)
    return LEAF


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """The tree of a structure with these leaves.

    >>> unflatten(flatten((1.0, [2.0]))[1], [5.0, 6.0])
    (5.0, [6.0])
    """
    rest = iter(leaves)
    return rebuilt(structure, lambda leaf: leaf[1] if leaf[0] == "static" else next(rest))


def rebuilt(structure: Structure, leaf: Callable[[Structure], Any]) -> Any:
    """The tree of a structure with leaf(structure of the leaf) in the place of each leaf."""
    if isinstance(structure[-1], tuple) and structure[0] in _NODES:
        return of_parts(structure[:-1], [rebuilt(part, leaf) for part in structure[-1]])
    return leaf(structure)


_NODES = {"list", "tuple", "named tuple", "dict", "dict of", "dataclass", "sparse"}


def mapped(tree: Any, change: Callable[[Any], Any]) -> Any:
    """`tree` with change(leaf) in the place of each leaf, visited in order; None stays."""
    kind = kind_of(tree)
    if kind is None:
        return None if tree is None else change(tree)
    parts = parts_of(tree, kind)
    return of_parts(kind, [change(x) if x.__class__ is float else mapped(x, change) for x in parts])


def leaves_of(tree: Any) -> list[Any]:
    """The leaves of `tree`, in order."""
    return flatten(tree)[0]


def paths(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of `tree`, in order, after the path that leads to it."""
    kind = kind_of(tree)
    if kind is not None:
        parts = list(parts_of(tree, kind))
        for step, part in zip(steps(kind, len(parts)), parts, strict=True):
            yield from paths(part, path + step)
    elif tree is not None:
        yield path, tree


def has_value(tree: Any) -> bool:
    """Whether a Value is among the leaves, or in an array of them."""
    if tree.__class__ is float:
        return False
    kind = kind_of(tree)
    if kind is not None:
        parts = parts_of(tree, kind)
        return not _NO_VALUES.issuperset(map(type, parts)) and any(map(has_value, parts))
    if is_array(tree):
        return tree.dtype == object and any(isinstance(e, Value) for e in tree.flat)
    return isinstance(tree, Value)


# -- sparse matrices


class Pattern:
    """Where the entries of a sparse matrix are. `matrix` makes one of given entries: SciPy's own arrays cannot hold Values."""

    def __init__(self, shape: tuple[int, int], starts: Sequence[int], columns: Sequence[int]):
        import numpy as np
        from scipy.sparse import csr_array

        self.shape, self.starts, self.columns = shape, list(starts), list(columns)
        self._zeros = csr_array((np.zeros(len(columns)), self.columns, self.starts), shape=shape)
        self._zeros.check_format(full_check=True)  # it may come from a file

    def __repr__(self) -> str:
        return f"Pattern({self.shape}, {self.starts}, {self.columns})"

    def matrix(self, data: Any) -> Any:
        """The matrix with these entries, row by row: SciPy's if they are floats, and a list of these for rows of samples."""
        if not is_array(data) or data.dtype.kind != "f":
            return Sparse(self, data)
        if data.ndim > 1:
            return [self.matrix(row) for row in data]
        zeros = self._zeros
        found = object.__new__(zeros.__class__)  # a call of the class would check the pattern, which takes longer than the rest
        found.__dict__.update(zeros.__dict__, data=data, indices=zeros.indices.copy(), indptr=zeros.indptr.copy())
        return found


class Sparse:
    """A sparse matrix of Values, or of the places of results in a recorded function."""

    __slots__ = ("data", "pattern")

    def __init__(self, pattern: Pattern, data: Any):
        self.pattern, self.data = pattern, data

    def __repr__(self) -> str:
        return f"Sparse({self.pattern!r}, {self.data!r})"


# -- leaves that are arrays


def is_array(x: Any) -> bool:
    """Whether a leaf is a NumPy array."""
    numpy = sys.modules.get("numpy")  # whoever passes an array has imported it
    return numpy is not None and isinstance(x, numpy.ndarray)


def elements(leaf: Any) -> Sequence[Any]:
    """The numbers of a leaf: those of an array in order, or the leaf itself."""
    return leaf.ravel().tolist() if is_array(leaf) else (leaf,)


def elements_of(tree: Any) -> list[Any]:
    """The numbers of all leaves, in order."""
    return [x for leaf in leaves_of(tree) for x in elements(leaf)]


def plain_array(x: Any) -> Any:
    """A leaf as a NumPy array of numbers if it counts as an array; any other leaf as it is.

    TypeError if an array holds anything but numbers: masked or missing entries, fields, dates.
    """
    cls = x.__class__
    if cls in _NO_VALUES or cls is Value or isinstance(x, type):
        return x
    if not (hasattr(x, "__array__") or hasattr(x, "__dlpack__")):
        if isinstance(x, (list, tuple, str, bytes, bytearray)) or not isinstance(x, Sequence):
            return x
        import numpy as np

        return numeric_array(np.asarray(x))
    import numpy as np

    if isinstance(x, np.generic):
        return x
    if cls is not np.ndarray and (more := more_than_numbers(x)):  # of a plain ndarray, numeric_array asks this
        raise TypeError(more)
    if isinstance(x, np.ndarray) and x.dtype.kind in "fiub":
        return np.asarray(x)
    try:
        array = np.asarray(x) if hasattr(x, "__array__") else np.from_dlpack(x)
    except (
        RuntimeError,
        TypeError,
        BufferError,
    ) as error:  # another device, a gradient, a type of its own
        raise TypeError(unread(x, error)) from None
    return numeric_array(array) if array is x else plain_array(numeric_array(array))


def numeric_array(array: Any) -> Any:
    """A NumPy array with a type of numbers, or of Values among numbers; TypeError that says what else it holds."""
    import numpy as np

    kind = array.dtype.kind
    if kind in "fiub":
        return array
    if more := more_than_numbers(array):
        raise TypeError(more)
    if kind == "V" and array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    if kind in "mM":
        raise TypeError(
            f"is an array of {array.dtype}: turn times into numbers, for example (x - x[0]) / np.timedelta64(1, 's')"
        )
    if kind == "O":
        for x in array.flat:
            if x is None or type(x).__name__ == "NAType":
                raise TypeError(f"is an array with missing entries ({x!r}): fill them in, or leave them out, first")
            if not isinstance(x, (Value, Real)):
                raise TypeError(f"must be made of real numbers, got {type(x).__name__} {x!r}"[:160])
        return array if any(isinstance(x, Value) for x in array.flat) else array.astype(np.float64)
    if kind == "c":
        raise TypeError(f"must be made of real numbers, got complex ones ({array.dtype}): pass x.real and x.imag")
    raise TypeError(f"must be made of real numbers, got an array of {array.dtype}")


@nested
def plain_arrays(tree: Any, where: str) -> Any:
    """`tree` with NumPy arrays of numbers for all that counts as an array; TypeError that names a leaf that cannot be one."""
    try:
        return mapped(tree, plain_array)
    except TypeError:
        for path, leaf in paths(tree, where):
            try:
                plain_array(leaf)
            except TypeError as error:
                raise TypeError(f"{path} {error}") from None
        raise


def shaped(values: Iterable[Any], shape: tuple[int, ...]) -> Any:
    """An array of `values`: of floats, or of objects if one is a Value."""
    import numpy as np

    values = list(values)
    if not any(isinstance(v, Value) for v in values):
        return np.array(values, dtype=float).reshape(shape)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


def like(tree: Any, values: Iterator[Any]) -> Any:
    """`tree` with its numbers replaced by `values`, in order. A Value for a 0-dimensional array comes without an array."""

    def change(leaf: Any) -> Any:
        if leaf.__class__ is not float and is_array(leaf):
            if leaf.shape:
                return shaped(islice(values, leaf.size), leaf.shape)
            x = next(values)
            return x if isinstance(x, Value) else shaped([x], ())
        return next(values)

    return mapped(tree, change)


def numbers(tree: Any, where: str, integers: bool) -> list[Any]:
    """The numbers of `tree`, Values as they are, the others as floats; TypeError for anything else.

    Without `integers`, integers and bools are refused too: nothing can be differentiated with respect to them.
    """

    def numeric(x: Any) -> Any:
        if isinstance(x, Value):
            if integers or not hasattr(x, "__take__"):
                return x
            got, wanted = "an integer or truth value", "a float"  # while a function is recorded, its number is not told
        elif integers or not (isinstance(x, Integral) or type(x).__name__.startswith("bool")):
            return number(x)
        else:
            got, wanted = f"{type(x).__name__} {x!r}", repr(float(x))
        raise TypeError(
            f"got {got}, and a derivative is with respect to real numbers: write {wanted} (an array of floats) if it is one, "
            "or leave it out of argnums if it counts or indexes something"
        )

    found: list[Any] = []
    for path, leaf in paths(tree):
        try:
            found += map(numeric, elements(leaf))
        except TypeError as error:
            raise TypeError(f"{where}{path}: {error}") from None
    return found
