"""Functions of numbers, of each number in lists and arrays: `exp([0.0, 1.0])` is a list, `exp(array)` an array.

The rule book and what is composed of it come here for arguments that are no numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from functools import wraps
from importlib import import_module
from typing import Any


def is_many(x: object) -> bool:
    """Whether x is a list or an array, and not one number, a text or a mapping."""
    return hasattr(x, "__len__") and getattr(x, "shape", None) != () and not isinstance(x, (str, bytes, Mapping, Set))


def of_each(f: Callable[..., Any], args: Sequence[Any], name: str) -> Any:
    """f of each of the numbers, in the form of the lists, nested lists or arrays among `args`; one number goes with all.

    Arrays are broadcast as NumPy does; of numbers alone they give an array of floats. ValueError where lists differ in length.
    """
    if any(is_many(x) and hasattr(x, "shape") for x in args):
        np = import_module("numpy")  # an array is given, so it is there; the rule book itself stands without
        if any(map(np.ma.is_masked, args)):  # of objects NumPy would make an array without the mask
            raise TypeError(
                f"{name}: an array has masked entries: fill them in, x.filled(0.0), or leave them out, x.compressed()"
            )
        with np.errstate(all="ignore"):  # as of plain numbers: what is infinite or nan has its conventions
            found = np.frompyfunc(f, len(args), 1)(*[np.asarray(x, dtype=object) for x in args])
        return found.astype(float) if all(isinstance(x, float) for x in found.flat) else found
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
