"""Functions with a derivative rule of one's own: straight-through estimators, simulators, tables, implicit functions.

`primitive` makes a row of the rule book for a few numbers; here the same is done for a whole function of structures: each
number that it returns is a node over all numbers that it takes, with the given partial derivatives as its local ones. Beside it
stand the functional names of two things that the engine does: stop_gradient for detach, gradients for adjoints.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import update_wrapper
from itertools import count
from math import nan
from typing import Any

from micrograd.engine import Value, adjoints, constant, node_of, primal, topological_order
from micrograd.engine.modes import current
from micrograd.primitives import RULES, Primitive, number
from micrograd.trees import (
    Structure,
    elements,
    flatten,
    has_value,
    is_array,
    kind_of,
    leaves_of,
    like,
    mapped,
    numbers,
    parts_of,
    plain_arrays,
)

_WHERE = "custom_derivative"
_used: dict[str, Iterator[int]] = {}  # names of rows, each for one row in this process: compiled code knows rows by name


def custom_derivative(f: Callable[..., Any], partials: Callable[..., Any]) -> CustomDerivative:
    """`f` with `partials` for its derivative, whatever `f` does inside: its graph, if it has one, is not looked at.

    `partials(*args, out)` gets the arguments and what f returned. Where f returns one number, it gives the partial derivative
    by its argument, in the argument's structure, or a tuple of these for several arguments; where f returns more, it gives
    what `jacobian` would: the structure of the output with that in the place of each number. Arguments are numbers, lists,
    tuples, dicts and arrays of them; integers, strings, truth values and None are handed on as they are, and what `partials`
    gives for them is not looked at.

    f is called on plain numbers, so it may be any Python: NumPy, a table, a simulator. Where `partials` is written with Values'
    operators and functions, derivatives of every order follow. jit compiles f where f can be run on Values too, and otherwise
    calls it for each sample (slowly, and one thread at a time). TypeError where f closes over a Value: pass it as an argument.
    A copy or pickle of the graph has the rule; pickle wants f and partials by their names in a module.

    >>> from micrograd import Value, custom_derivative, grad
    >>> rounded = custom_derivative(round, lambda x, out: 1.0)  # a straight-through estimator
    >>> x = Value(2.7)
    >>> y = rounded(x) ** 2
    >>> y.backward()
    >>> y.data, x.grad
    (9.0, 6.0)
    >>> square = custom_derivative(lambda x: x * x, lambda x, out: 2.0 * x)
    >>> grad(grad(square))(3.0)
    2.0
    """
    for what, given in (("a function", f), ("a function for the partial derivatives", partials)):
        if not callable(given):
            raise TypeError(f"custom_derivative needs {what}, got {type(given).__name__} {given!r}")
    return CustomDerivative(f, partials)


class CustomDerivative:
    """What `custom_derivative` returns; see there."""

    def __init__(self, f: Callable[..., Any], partials: Callable[..., Any]):
        self.f, self.partials = f, partials
        self.name = re.sub(r"\W+", "", getattr(f, "__name__", "")) or "f"
        self.frames: dict[Any, Frame] = {}  # by the structure of the arguments: calls of one structure share their rows
        update_wrapper(self, f, updated=())

    def __call__(self, *args: Any) -> Any:
        if not has_value(args):
            return self.f(*args)
        held = [arg if _is_static(arg) else plain_arrays(arg, f"{_WHERE}, argument {i}") for i, arg in enumerate(args)]
        found = [x for i, arg in enumerate(held) if not _is_static(arg) for x in numbers(arg, f"{_WHERE}, argument {i}", True)]
        parents = tuple([x if isinstance(x, Value) else constant(x) for x in found])
        key = tuple([(arg.__class__, arg) if _is_static(arg) else _structure(arg) for arg in held])
        if key not in self.frames:
            self.frames[key] = Frame(self, [arg if _is_static(arg) else mapped(arg, _zeroed) for arg in held])
        frame = self.frames[key]
        out = frame.at([primal(x) for x in parents])
        size = len(frame.listed(out))
        nodes = [node_of(frame.row(i), parents) for i in range(size)]
        if (observer := current().observer) is not None:
            computed = observer.attempted(lambda: frame.listed(frame.run(parents)))
            if computed is not None and len(computed) == size:
                for node, x in zip(nodes, computed, strict=True):
                    observer.stands_for(node, x if isinstance(x, Value) else constant(x))
        return like(out, iter(nodes))

    def __reduce__(self) -> Any:
        return custom_derivative, (self.f, self.partials)

    def __repr__(self) -> str:
        return f"<{self.name} with a derivative of its own>"


class Frame:
    """Arguments of one structure: puts numbers in, and takes partial derivatives out."""

    def __init__(self, custom: CustomDerivative, template: Sequence[Any]):
        self.custom, self.template = custom, template
        self.open = [i for i, arg in enumerate(template) if not _is_static(arg)]
        self.sizes = [[len(elements(leaf)) for leaf in flatten(template[i])[0]] for i in self.open]
        self.size = sum(map(sum, self.sizes))
        self.latest: tuple[Any, Any] = (None, None)  # the latest numbers, and what f gave for them: one run for all outputs
        self.rows: dict[int, Row] = {}

    def args(self, xs: Sequence[Any]) -> list[Any]:
        stream, args = iter(xs), list(self.template)
        for i in self.open:
            args[i] = like(args[i], stream)
        return args

    def run(self, xs: Sequence[Any]) -> Any:
        """What f gives; TypeError where that depends on a Value that is not among the arguments."""
        out = self.custom.f(*self.args(xs))
        if out is None:
            raise TypeError(f"custom_derivative: {self.custom.name} returned None; does it lack a return?")
        if has_value(out) and not any(isinstance(x, Value) for x in xs):
            values = [x for x in numbers(out, _WHERE, True) if isinstance(x, Value)]
            if leaves := [v for v in topological_order(*values) if v.rule is None]:
                shown = leaves[0].label or repr(leaves[0])
                raise TypeError(
                    f"custom_derivative: {self.custom.name} closes over the Value {shown}, and partials says nothing of it: "
                    "pass it as an argument, or take its number with .data"
                )
            out = mapped(out, lambda leaf: like(leaf, iter([_number_of(x) for x in elements(leaf)])))
        return out

    def at(self, xs: Sequence[float]) -> Any:
        """What f gives for plain numbers."""
        key, out = self.latest
        if key != (wanted := [*map(float.hex, xs)]):
            out = self.run(xs)
            self.latest = wanted, out
        return out

    def listed(self, out: Any) -> list[Any]:
        return numbers(out, f"{_WHERE}, what {self.custom.name} returns", True)

    def row(self, i: int) -> Row:
        """The row of the i-th number that f returns."""
        return self.rows.get(i) or self.rows.setdefault(i, Row(self, i))

    def partials_of(self, i: int, xs: Sequence[Any], out: Any) -> tuple[Any, ...]:
        """The derivatives of the i-th output: at floats floats, at Values or symbols what `partials` makes of them."""
        plain = out.__class__ is float
        whole = structure = self.at(xs) if plain else self.latest[1]
        if not plain:
            whole = out
            if kind_of(structure) is not None or is_array(structure):
                parents = tuple([x if isinstance(x, Value) else constant(x) for x in xs])
                size = len(self.listed(structure))
                whole = like(structure, iter([out if j == i else node_of(self.row(j), parents) for j in range(size)]))
        row = self.rows_of(structure, self.custom.partials(*self.args(xs), whole))[i]
        return tuple([number(x) for x in row]) if plain else tuple(row)

    def rows_of(self, out: Any, given: Any) -> list[list[Any]]:
        """For each number of `out` its partial derivatives, out of what `partials` gave."""
        kind, of_given = kind_of(out), kind_of(given)
        if kind is not None:
            parts, theirs = list(parts_of(out, kind)), list(given) if of_given is None else list(parts_of(given, of_given))
            if len(parts) != len(theirs):
                raise self.refused(f"{len(parts)} entries, one for each that {self.custom.name} returns", len(theirs))
            return [row for part, theirs_of in zip(parts, theirs, strict=True) for row in self.rows_of(part, theirs_of)]
        blocks = [given] if len(self.template) == 1 else given
        if len(self.template) > 1:
            if not isinstance(given, (tuple, list)) or len(given) != len(self.template):
                got = len(given) if isinstance(given, (tuple, list)) else f"a {type(given).__name__}"
                raise self.refused(f"a tuple of {len(self.template)}, one for each argument", got)
            blocks = [given[i] for i in self.open]
        rows: list[list[Any]] = [[] for _ in elements(out)]
        for block, sizes in zip(blocks, self.sizes, strict=True):
            entries = [elements(leaf) for leaf in flatten(block)[0]]
            if len(rows) == 1 or len(entries) != len(sizes):
                entries, sizes = [[x for part in entries for x in part]], [sum(sizes)]
            for part, width in zip(entries, sizes, strict=True):
                if len(part) != len(rows) * width:
                    raise self.refused(f"{len(rows) * width} numbers for an argument of {width}", len(part))
                for j, row in enumerate(rows):
                    row += part[j * width : (j + 1) * width]
        return rows

    def refused(self, wanted: str, got: Any) -> TypeError:
        return TypeError(f"custom_derivative: the partials of {self.custom.name} must be {wanted}, got {got}")


class Row(Primitive):
    """The row of one number that a function of one's own returns."""

    __slots__ = ("frame", "i")

    def __init__(self, frame: Frame, i: int):
        self.frame, self.i = frame, i
        custom = frame.custom
        many = f"_{i}" if i or kind_of(frame.latest[1]) is not None else ""
        name = f"{custom.name}{many}"
        taken = name in RULES
        name = f"own_{name}" if taken else name
        k = next(_used.setdefault(name, count(1)))
        name = name if k == 1 else f"{name}_{k}"
        super().__init__(name, f"{name}(xs)", self.number, self.derivatives, lambda *_: nan, True)

    def number(self, *xs: Any) -> Any:
        if all(x.__class__ is float for x in xs):
            return float(self.frame.listed(self.frame.at(xs))[self.i])
        return leaves_of(self.frame.run(xs))[self.i]  # on symbols, for what writes code

    def derivatives(self, xs: Sequence[Any], out: Any) -> tuple[Any, ...]:
        return self.frame.partials_of(self.i, xs, out)

    def __reduce__(self) -> Any:
        return _row, (self.frame.custom, self.frame.template, self.i)


def stop_gradient(tree: Any) -> Any:
    """`tree`, a number, Value, or structure of them, with a detached copy in the place of each Value: no gradient flows on.

    >>> from micrograd import Value, stop_gradient
    >>> x = Value(3.0)
    >>> (x * stop_gradient(x)).backward()
    >>> x.grad
    3.0
    """
    if not has_value(tree):
        return tree
    return mapped(tree, lambda leaf: like(leaf, iter([x.detach() if isinstance(x, Value) else x for x in elements(leaf)])))


def gradients(output: Value, wrt: Any, create_graph: bool = False) -> Any:
    """The derivatives of `output` by the Values in `wrt`, a Value or any structure of them, in that structure.

    Nothing is changed, `.grad` neither. They are numbers, or with `create_graph` Values that can be differentiated again;
    0 for what `output` does not depend on.

    >>> from micrograd import Value, gradients
    >>> a, b = Value(2.0), Value(3.0)
    >>> gradients(a * b, {"a": a, "rest": [b, a]})
    {'a': 3.0, 'rest': [2.0, 3.0]}
    """
    found = adjoints(output, [x for leaf in leaves_of(wrt) for x in elements(leaf)], create_graph)
    return mapped(wrt, lambda leaf: like(leaf, iter([found[x] for x in elements(leaf)])))


def _row(custom: CustomDerivative, template: Sequence[Any], i: int) -> Row:
    frame = Frame(custom, template)
    frame.at([0.0] * frame.size)
    return frame.row(i)


def _number_of(x: Any) -> Any:
    return primal(x) if isinstance(x, Value) else x


def _is_static(arg: Any) -> bool:
    return arg is None or isinstance(arg, (bool, int, str))


def _zeroed(leaf: Any) -> Any:
    """A leaf's structure alone, without a number that it would keep alive."""
    return like(leaf, iter([0.0] * len(elements(leaf))))


def _structure(arg: Any) -> Structure:
    leaves, structure = flatten(arg)
    return structure, *[leaf.shape if is_array(leaf) else None for leaf in leaves]
