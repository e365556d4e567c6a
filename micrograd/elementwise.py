"""Functions of numbers, of each number in lists and arrays: `exp([0.0, 1.0])` is a list, `exp(array)` an array.

The rule book and what is composed of it come here for arguments that are no numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from functools import wraps
from importlib import import_module
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
NO_LISTS = (str, bytes, Mapping, Set)  # have a length, and are no numbers in an order


def is_many(x: object) -> bool:
    """Whether x is a list or an array, and not one number, a text or a mapping."""
    return hasattr(x, "__len__") and getattr(x, "shape", None) != () and not isinstance(x, NO_LISTS)


def more_than_numbers(x: Any) -> str:
    """What an array has beside numbers, which would be lost, as a text that begins with "is"; empty where there is nothing."""
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
    """How many entries of a column or table are marked as missing: as arrays, they would be nan like any other."""
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
    """What is an array, or becomes one, as NumPy's; TypeError where that would lose what is not a number."""
    if more := more_than_numbers(x):
        raise TypeError(f"{name}: an argument {more}")
    try:
        return import_module("numpy").asarray(x)
    except (RuntimeError, TypeError) as error:
        raise TypeError(f"{name}: an argument {unread(x, error)}") from None


def unread(x: Any, error: Exception) -> str:
    """What an array of another library is that NumPy does not read, as a text that begins with "is"."""
    why, kind = str(error).partition("\n")[0], type(x).__name__
    advice = ": pass x.float()" if "ScalarType BFloat16" in why else ""  # PyTorch's, for which NumPy has no type
    return f"is a {kind} that NumPy cannot read: {why}{advice}"


def listed(name: str, xs: Any) -> Sequence[Any]:
    """What is in a list, or comes from a generator; TypeError for what is none, a set too, whose Values have no order."""
    if xs.__class__ is list or xs.__class__ is tuple:
        return xs
    if isinstance(xs, NO_LISTS) or getattr(type(xs), "__iter__", None) is None or getattr(xs, "shape", None) == ():
        raise TypeError(f"{name} needs a list of numbers, got {type(xs).__name__} {xs!r}"[:160])
    return list(xs)


def nested(f: F) -> F:
    """f, which goes through nested lists, with a clear error where a list contains itself."""

    @wraps(f)
    def through(*args: Any, **options: Any) -> Any:
        try:
            return f(*args, **options)
        except RecursionError:
            raise ValueError("a list contains itself, or lists are nested too deeply") from None

    return through  # type: ignore[return-value]


@nested
def of_each(f: Callable[..., Any], args: Sequence[Any], name: str) -> Any:
    """f of each of the numbers, in the form of the lists, nested lists or arrays among `args`; one number goes with all.

    Arrays are broadcast as NumPy does; of numbers alone they give an array of floats. ValueError where lists differ in length.
    """
    if any(is_many(x) and (hasattr(x, "shape") or hasattr(x, "__array__")) for x in args):
        np = import_module("numpy")  # an array is given, so it is there; the rule book itself stands without
        args = [as_array(x, name) if hasattr(x, "__array__") else x for x in args]
        with np.errstate(all="ignore"):  # as of plain numbers: what is infinite or nan has its conventions
            found = np.frompyfunc(f, len(args), 1)(*[np.asarray(x, dtype=object) for x in args])
        kind = next((kind for kind in (float, bool) if all(isinstance(x, kind) for x in found.flat)), object)
        return found.astype(kind, copy=False)
    lengths = {len(x) for x in args if is_many(x)}
    if len(lengths) > 1:
        raise ValueError(f"{name} needs lists of one length, got {' and '.join(map(str, sorted(lengths)))} values")
    rows = zip(*[x if is_many(x) else [x] * max(lengths) for x in args], strict=True)
    return [of_each(f, row, name) if any(map(is_many, row)) else f(*row) for row in rows]


def or_each(f: Callable[[Any, Sequence[Any]], Any], rule: Any, args: Sequence[Any]) -> Any:
    """f(rule, args); where lists or arrays are among the arguments of a row, the row of each of their numbers."""
    try:
        return f(rule, args)
    except TypeError:  # so that numbers cost nothing
        if rule.variadic or not any(map(is_many, args)):
            raise
    return of_each(rule, args, rule.name)


def elementwise(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, which takes numbers, as a function that takes lists and arrays too."""

    @wraps(f)
    def of_numbers_or_each(*args: Any, **options: Any) -> Any:
        if not any(map(is_many, (*args, *options.values()))):
            return f(*args, **options)

        def of_numbers(*numbers: Any) -> Any:
            return f(*numbers[: len(args)], **dict(zip(options, numbers[len(args) :], strict=True)))

        return of_each(of_numbers, (*args, *options.values()), f.__name__)

    return of_numbers_or_each
