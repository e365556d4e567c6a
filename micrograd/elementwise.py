"""Functions of numbers applied to each number in lists and arrays: `exp([0.0, 1.0])` is a list, `exp(array)` an array.

`primitives` and `composed` use this for arguments that are no single numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from functools import wraps
from importlib import import_module
from operator import index
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
NO_LISTS = (str, bytes, Mapping, Set)  # have a length, but are no ordered numbers


def is_many(x: object) -> bool:
    """Whether x is a list or an array, and not one number, a text or a mapping."""
    many = hasattr(x, "__len__") and (hasattr(x, "__iter__") or hasattr(x, "__array__"))
    return many and getattr(x, "shape", None) != () and not isinstance(x, NO_LISTS)


def one_of(x: object, choices: Collection[object]) -> bool:
    """Whether x is one of these texts, or None if that is a choice. Arrays and what has no hash are none, and no error."""
    return (x is None or isinstance(x, str)) and x in choices


def items_of(x: Any) -> list[Any] | None:
    """The entries of what can be iterated; None for anything else, and for a text."""
    if isinstance(x, (str, bytes)) or getattr(type(x), "__iter__", None) is None or getattr(x, "shape", None) == ():
        return None
    return list(x)


def index_of(x: Any) -> int | None:
    """x as an int; None if it is no whole number, an array or a class among others."""
    try:
        return index(x)
    except TypeError:
        return None


def more_than_numbers(x: Any) -> str:
    """What an array has besides numbers, and would lose in NumPy, as a text that begins with "is"; empty if nothing."""
    kind = type(x).__name__
    if hasattr(x, "mask") and hasattr(x, "filled") and (masked := int(x.mask.sum())):
        return (
            f"is a masked array, and {masked} of its {x.size} entries are masked: fill them in, x.filled(0.0), or leave them "
            "out, x.compressed()"
        )
    if fields := getattr(getattr(x, "dtype", None), "names", None):
        return f"is a structured array with the fields {', '.join(fields)}: pass one, x[{fields[0]!r}], or a dict"
    if missing := _missing(x):
        return f"is a {kind} with {missing} missing entries: fill them in, or leave them out, first"
    return ""


def _missing(x: Any) -> int:
    """How many entries of a column or table are marked as missing: in an array, they would become ordinary nans."""
    count = getattr(x, "null_count", None)
    if count is not None:  # Polars, and Arrow's columns
        count = count() if callable(count) else count
        return count if isinstance(count, int) else int(count.to_numpy().sum())
    columns = getattr(x, "columns", None)
    if isinstance(columns, list):  # Arrow's tables
        return sum(map(_missing, columns))
    if type(x).__module__.partition(".")[0] != "pandas":
        return 0
    parts = [column for _, column in x.items()] if getattr(x, "ndim", 1) == 2 else [x]
    return sum(int(part.isna().sum()) for part in parts if type(getattr(part.dtype, "na_value", None)).__name__ == "NAType")


def as_array(x: Any, name: str) -> Any:
    """An array, or what can be made one, as a NumPy array; TypeError if that would lose anything that is no number."""
    if more := more_than_numbers(x):
        raise TypeError(f"{name}: an argument {more}")
    try:
        return import_module("numpy").asarray(x)
    except (RuntimeError, TypeError) as error:
        raise TypeError(f"{name}: an argument {unread(x, error)}") from None


def unread(x: Any, error: Exception) -> str:
    """What is wrong with an array of another library that NumPy cannot read, as a text that begins with "is"."""
    why, kind = str(error).partition("\n")[0], type(x).__name__
    advice = ": pass x.float()" if "ScalarType BFloat16" in why else ""  # PyTorch's, for which NumPy has no type
    return f"is a {kind} that NumPy cannot read: {why}{advice}"


def listed(name: str, xs: Any) -> Sequence[Any]:
    """The entries of a list, or of what can be iterated; TypeError for anything else, also for a set, which has no order."""
    if xs.__class__ is list or xs.__class__ is tuple:
        return xs
    if isinstance(xs, NO_LISTS) or getattr(type(xs), "__iter__", None) is None or getattr(xs, "shape", None) == ():
        raise TypeError(f"{name} needs a list of numbers, got {type(xs).__name__} {xs!r}"[:160])
    return list(xs)


def entry(values: Any, i: Any) -> Any:
    """values[i]; IndexError if there is no such entry, as compiled code says it."""
    if isinstance(values, (str, bytes)) or not hasattr(type(values), "__getitem__") or getattr(values, "shape", None) == ():
        values = listed("take", values)
    if hasattr(values, "shape") or isinstance(values, (list, tuple)):
        at = i.__index__() if hasattr(type(i), "grad") else index_of(i)  # a Value says it in its own way
        if at is not None:
            if not len(values):
                raise IndexError("take needs at least one value to choose from, got none")
            if not 0 <= at < len(values):
                raise IndexError(f"take needs an index from 0 to {len(values) - 1}, got {i}")
        elif isinstance(values, (list, tuple)):
            raise TypeError(f"take needs a whole number as its index, got {type(i).__name__} {i!r}"[:160])
    return values[i]


def nested(f: F) -> F:
    """f, which goes through nested lists, with a clear error if a list contains itself."""

    @wraps(f)
    def through(*args: Any, **options: Any) -> Any:
        try:
            return f(*args, **options)
        except RecursionError:
            raise ValueError("a list contains itself, or lists are nested too deeply") from None

    return through  # type: ignore[return-value]


@nested
def of_each(f: Callable[..., Any], args: Sequence[Any], name: str) -> Any:
    """f of each number, in the form of the lists, nested lists or arrays among `args`; a single number is used for all.

    Arrays are broadcast as in NumPy; if all results are floats, they are an array of floats. ValueError if lists differ in
    length.
    """
    if any(is_many(x) and (hasattr(x, "shape") or hasattr(x, "__array__")) for x in args):
        np = import_module("numpy")  # only here: without arrays, the rule book needs no NumPy
        args = [as_array(x, name) if hasattr(x, "__array__") else x for x in args]
        with np.errstate(all="ignore"):  # no warnings, as for plain numbers: the conventions say what is infinite or nan
            found = np.frompyfunc(f, len(args), 1)(*[np.asarray(x, dtype=object) for x in args])
        kind = next((kind for kind in (float, bool) if all(isinstance(x, kind) for x in found.flat)), object)
        return found.astype(kind, copy=False)
    lengths = {len(x) for x in args if is_many(x)}
    if len(lengths) > 1:
        raise ValueError(f"{name} needs lists of one length, got {' and '.join(map(str, sorted(lengths)))} values")
    rows = zip(*[x if is_many(x) else [x] * max(lengths) for x in args], strict=True)
    return [of_each(f, row, name) if any(map(is_many, row)) else f(*row) for row in rows]


def or_each(f: Callable[[Any, Sequence[Any]], Any], rule: Any, args: Sequence[Any]) -> Any:
    """f(rule, args); if there are lists or arrays among the arguments, the rule applied to each of their numbers."""
    try:
        return f(rule, args)
    except TypeError:  # the check comes only now, so that it costs plain numbers nothing
        if rule.variadic or not any(map(is_many, args)):
            raise
    return of_each(rule, args, rule.name)


def elementwise(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, which takes numbers, made to take lists and arrays too."""

    @wraps(f)
    def of_numbers_or_each(*args: Any, **options: Any) -> Any:
        if not any(map(is_many, (*args, *options.values()))):
            return f(*args, **options)

        def of_numbers(*numbers: Any) -> Any:
            return f(*numbers[: len(args)], **dict(zip(options, numbers[len(args) :], strict=True)))

        return of_each(of_numbers, (*args, *options.values()), f.__name__)

    return of_numbers_or_each
