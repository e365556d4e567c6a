"""Functions with a derivative rule of one's own: straight-through estimators, simulators, tables, implicit functions.

Each number that such a function returns is a node over all numbers that it takes (see `whole`), with the given partial
derivatives as its local ones. Beside it stand the functional names of two things that the engine does: stop_gradient for
detach, gradients for adjoints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, overload

from micrograd.elementwise import nested
from micrograd.engine import Value, adjoints, topological_order
from micrograd.formula.text import clean
from micrograd.functional.whole import Found, Frame, Row, WholeFunction, called, number_of
from micrograd.primitives import number
from micrograd.trees import elements, elements_of, flatten, has_value, is_array, kind_of, like, mapped, numbers, parts_of

if TYPE_CHECKING:
    from micrograd.signatures import NumberFound, NumbersFound


@overload
def custom_derivative(f: Callable[..., float], partials: Callable[..., Any]) -> NumberFound: ...
@overload
def custom_derivative(f: Callable[..., list[float]], partials: Callable[..., Any]) -> NumbersFound: ...
@overload
def custom_derivative(f: Callable[..., Any], partials: Callable[..., Any]) -> CustomDerivative: ...
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


class CustomDerivative(WholeFunction):
    """What `custom_derivative` returns; see there."""

    where = "custom_derivative"

    def __init__(self, f: Callable[..., Any], partials: Callable[..., Any]):
        super().__init__(f)
        self.f, self.given = f, partials

    def __call__(self, *args: Any, **named: Any) -> Any:
        given = has_value(args) or (named and has_value(named))
        return super().__call__(*args, **named) if given else self.f(*args, **named)

    def attempt(self, frame: Frame, xs: Sequence[Any]) -> Any:
        out = self.f(*frame.args(xs))
        if out is None:
            raise TypeError(f"custom_derivative: {self.name} returned None; does it lack a return?")
        return out

    def run(self, frame: Frame, xs: Sequence[float]) -> Found:
        out = self.attempt(frame, xs)
        if has_value(out):
            values = [x for x in numbers(out, self.returned, True) if isinstance(x, Value)]
            if leaves := [v for v in topological_order(*values) if v.rule is None]:
                leaf = clean(str(leaves[0].label)) or repr(leaves[0])
                raise TypeError(
                    f"custom_derivative: {self.name} closes over the Value {leaf}, and "
                    "partials says nothing of it: pass it as an argument, or take its number with .data"
                )
            out = mapped(out, lambda leaf: like(leaf, iter([number_of(x) for x in elements(leaf)])))
        return Found(out, range(len(numbers(out, self.returned, True))))

    def partials(self, row: Row, xs: Sequence[Any], out: Any) -> tuple[Any, ...]:
        """The derivatives of one output: at floats floats, at Values or symbols what the given partials make of them."""
        frame, plain, whole = row.frame, out.__class__ is float, out
        if plain:
            whole = frame.at(xs)
        elif kind_of(row.shape) is not None or is_array(row.shape):
            whole = like(row.shape, iter(row.beside(xs, out)))
        taken = f"custom_derivative: the partials of {self.name} take its arguments and then its result"
        given = called(taken, self.given, *frame.args(xs), whole)
        found = self.rows_of(frame, row.shape, given)[row.i]
        return tuple([number(x) for x in found]) if plain else tuple(found)

    def rows_of(self, frame: Frame, out: Any, given: Any) -> list[list[Any]]:
        """For each number of `out` its partial derivatives, out of what the given partials gave."""
        kind, of_given = kind_of(out), kind_of(given)
        if kind is not None:
            parts, theirs = list(parts_of(out, kind)), list(given) if of_given is None else list(parts_of(given, of_given))
            if len(parts) != len(theirs):
                raise self.refused(f"{len(parts)} entries, one for each that {self.name} returns", len(theirs))
            return [row for part, theirs_of in zip(parts, theirs, strict=True) for row in self.rows_of(frame, part, theirs_of)]
        blocks = [given] if len(frame.template) == 1 else given
        if len(frame.template) > 1:
            if not isinstance(given, (tuple, list)) or len(given) != len(frame.template):
                got = len(given) if isinstance(given, (tuple, list)) else f"a {type(given).__name__}"
                raise self.refused(f"a tuple of {len(frame.template)}, one for each argument", got)
            blocks = [given[i] for i in frame.open]
        rows: list[list[Any]] = [[] for _ in elements(out)]
        for block, sizes in zip(blocks, frame.sizes, strict=True):
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
        return TypeError(f"custom_derivative: the partials of {self.name} must be {wanted}, got {got}")

    def made_of(self) -> tuple[Any, ...]:
        return self.f, self.given

    def __repr__(self) -> str:
        return f"<{self.name} with a derivative of its own>"


@nested
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
    found = adjoints(output, elements_of(wrt), create_graph)
    return mapped(wrt, lambda leaf: like(leaf, iter([found[x] for x in elements(leaf)])))
