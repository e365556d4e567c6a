"""Derivatives as functions: grad, value_and_grad, jacobian, hessian, jvp, vjp and hvp, with JAX's names and arguments.

`engine` comes before: it records a function's run as a graph and differentiates that. What is here puts leaves into
the arguments, runs the function, and hands the derivatives back in the arguments' own structure: numbers, lists, tuples,
dicts, NumPy arrays of numbers, and any nesting of them.

    numbers in, numbers out    and NumPy in, NumPy out, so SciPy takes these functions as they are
    Values in, Values out      also where the function closes over Values: the derivative is then a graph itself, of those
                               Values, and can be differentiated again; inside no_grad() there are only numbers

What a function closes over is constant for its derivative. Every argument becomes a leaf of its own, and a derivative is
looked up by that leaf, so transforms nest to any depth and order without confusing whose perturbation is whose. Forward
mode pushes tangents through the recorded graph, along the same local partial derivatives that reverse mode uses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import wraps
from itertools import islice
from numbers import Integral
from typing import Any

from micrograd.engine import (
    Value,
    adjoints,
    as_values,
    attach,
    constant,
    topological_order,
)
from micrograd.engine.higher_order import accumulated, local_graph
from micrograd.engine.modes import current, enable_grad
from micrograd.primitives import dot, number

Rows = list[dict[int, Any]]  # a Jacobian: for each output, its derivative by the number of the input it depends on


def grad(fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `fun`, in the structure of the argument that `argnums` names.

    With a sequence of `argnums`, a tuple of gradients. With `has_aux`, `fun` returns a pair (number, anything else) and
    the result is (gradient, anything else). An argument that `fun` does not depend on has gradient 0. TypeError where
    `fun` does not return one number, and where an argument to differentiate by is an integer.

    >>> grad(lambda x: x**3)(2.0)
    12.0
    >>> grad(grad(grad(lambda x: x**3)))(2.0)
    6.0
    >>> grad(lambda p: p["a"] * p["b"][0])({"a": 2.0, "b": [5.0, 1.0]})
    {'a': 5.0, 'b': [2.0, 0.0]}
    """
    return _gradient("grad", fun, argnums, has_aux)


def value_and_grad(fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns (value, gradient) of `fun` from one run; see `grad`. With `has_aux`, ((value, aux), gradient).

    >>> value_and_grad(lambda x, y: x * y, argnums=(0, 1))(2.0, 3.0)
    (6.0, (3.0, 2.0))

    SciPy's `minimize(value_and_grad(f), x0, jac=True)` takes it as it is; inside no_grad() where `f` closes over Values,
    such as the weights of a network, because the results would be Values too.
    """
    return _value_and_grad("value_and_grad", fun, argnums, has_aux)


def jacobian(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, *, sparse: bool = False
) -> Callable[..., Any]:
    """A function that returns the derivative of every output of `fun` with respect to every input.

    The result has the structure of the output, with the structure of the argument in the place of each number; between
    arrays it is an array of shape (*output, *input). Forward mode does the work where there are no more inputs than
    outputs, reverse mode elsewhere; both visit only what an output depends on.

    With `sparse`, a SciPy sparse array (CSR) of outputs by inputs, each flattened in order. Its entries are the pairs
    that the graph connects, also where the derivative happens to be 0 at this point.

    >>> jacobian(lambda x: [x[0] * x[1], x[1] ** 2])([2.0, 3.0])
    [[3.0, 2.0], [0.0, 6.0]]
    """
    return _jacobian("jacobian", fun, argnums, has_aux, sparse)


def hessian(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, *, sparse: bool = False
) -> Callable[..., Any]:
    """A function that returns the second derivatives of `fun`: tangents pushed forward through the graph of its gradient.

    The result has the argument's structure, with that structure again in the place of each number: for an array of n
    numbers an array of shape (n, n). With `sparse`, a SciPy sparse array (CSR); see `jacobian`.

    >>> hessian(lambda x: x[0] ** 2 * x[1])([3.0, 5.0])
    [[10.0, 6.0], [6.0, 0.0]]
    """
    first = (_gradient if sparse else _jacobian)("hessian", fun, argnums, has_aux)  # a matrix is for one output
    return _jacobian("hessian", first, argnums, has_aux, sparse)


def jvp(fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """(outputs, their tangents): the derivative of `fun` at `primals` in the direction `tangents`, in forward mode.

    Both are sequences with one entry per argument, of the same structure. With `has_aux`, a triple, the auxiliary data last.

    >>> jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 0.0))
    (6.0, 3.0)
    """
    return _jvp("jvp", fun, primals, tangents, has_aux)


def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(outputs, pull): `pull` takes cotangents in the structure of the outputs, and returns a tuple, one for each primal.

    Reverse mode; `pull` may be called any number of times. With `has_aux`, a triple, the auxiliary data last.

    >>> out, pull = vjp(lambda x, y: [x * y, x + y], 2.0, 3.0)
    >>> out, pull([1.0, 10.0])
    ([6.0, 5.0], (13.0, 12.0))
    """
    _callable("vjp", fun)
    with _recorded() as plain:
        run = _Run("vjp", fun, tuple(range(len(primals))), primals, {}, has_aux, plain)
        if run.finds(topological_order(*run.outputs)):
            run.attach()

    def pull(cotangents: Any) -> Any:
        with _recorded() as plain:
            weights = _matching("vjp", "cotangents", cotangents, "the output", run.out)
            graph = run.graph or any(isinstance(w, Value) for w in weights)
            (together,) = as_values([dot(run.outputs, weights)])
            return _like(run.tree, iter(run.gradient(together, graph, plain)))

    return (run.value(), pull, run.aux()) if has_aux else (run.value(), pull)


def hvp(fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The Hessian of `fun` at `primals` times `tangents`: forward over reverse, no Hessian is built.

    As in `jvp`, both are sequences with one entry per argument. With one argument the result is of its structure, with
    several a tuple. For SciPy: `hessp=lambda x, p: hvp(f, (x,), (p,))`.

    >>> hvp(lambda x: x[0] ** 2 * x[1], ([3.0, 5.0],), ([1.0, 0.0],))
    [10.0, 6.0]
    """
    _callable("hvp", fun)
    _sequences("hvp", primals, tangents)
    argnums = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return _jvp("hvp", _gradient("hvp", fun, argnums, False), primals, tangents, False)[1]


# -- each transform, with the name that its messages bear


def _value_and_grad(name: str, fun: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool) -> Callable[..., Any]:
    _callable(name, fun)

    @wraps(fun)
    def both(*args: Any, **kwargs: Any) -> Any:
        with _recorded() as plain:
            run = _Run(name, fun, argnums, args, kwargs, has_aux, plain)
            if run.out is None or isinstance(run.out, (dict, list, tuple)) or getattr(run.out, "shape", ()) != ():
                pair = ", or say has_aux=True for a pair (output, auxiliary data)" if isinstance(run.out, tuple) else ""
                raise TypeError(
                    f"{name} needs a function that returns one number, got {_described(run.out)}: "
                    f"return one of them or their sum, or take jacobian{pair}"
                )
            g = _like(run.tree, iter(run.gradient(run.outputs[0], run.graph, plain)))
            return ((run.value(), run.aux()), g) if has_aux else (run.value(), g)

    return both


def _gradient(name: str, fun: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool) -> Callable[..., Any]:
    both = _value_and_grad(name, fun, argnums, has_aux)

    @wraps(fun)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


def _jacobian(
    name: str, fun: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool, sparse: bool = False
) -> Callable[..., Any]:
    _callable(name, fun)

    @wraps(fun)
    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        with _recorded() as plain:
            run = _Run(name, fun, argnums, args, kwargs, has_aux, plain)
            forward = len(run.leaves) <= len(run.outputs)
            rows = _pushed(run, [{i: 1.0} for i in range(len(run.leaves))]) if forward else _pulled(run)
            result = run.sparse(rows) if sparse else run.by_output(rows)
            return (result, run.aux()) if has_aux else result

    return jacobian_of


def _jvp(name: str, fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool) -> Any:
    _callable(name, fun)
    _sequences(name, primals, tangents)
    with _recorded() as plain:
        direction = _matching(name, "tangents", tuple(tangents), "primals", tuple(primals))
        run = _Run(name, fun, tuple(range(len(primals))), primals, {}, has_aux, plain)
        rows = _pushed(run, [{0: t} for t in direction])
        out = _like(run.out, iter([row.get(0, run.zero()) for row in rows]))
        return (run.value(), out, run.aux()) if has_aux else (run.value(), out)


# -- one run of the function


class _Run:
    """The graph that one call recorded: a fresh leaf in the place of each number of the arguments, and outputs over them.

    Derivatives are plain numbers, or Values where `graph` holds: where a Value was passed, or one is found that the
    function closes over. The leaves are leaves while derivatives are taken; before they are handed out as part of
    Values, they become copies of what was passed, and derivatives flow on to that.
    """

    def __init__(
        self,
        name: str,
        fun: Callable[..., Any],
        argnums: int | Sequence[int],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        has_aux: bool,
        plain: bool,
    ):
        places = _places(name, argnums, len(args))
        self.plain = plain
        self.tree = args[places[0]] if isinstance(argnums, Integral) else tuple([args[i] for i in places])
        self.sources = [x for i in places for x in _numbers(args[i], f"{name}, argument {i}", integers=False)]
        self.leaves = [Value(x.data, label=x.label) if isinstance(x, Value) else Value(x) for x in self.sources]
        leaves, replaced = iter(self.leaves), list(args)
        for i in places:
            replaced[i] = _like(args[i], leaves)
        self.out, self.auxiliary = fun(*replaced, **kwargs), None
        if has_aux:
            if not (isinstance(self.out, (tuple, list)) and len(self.out) == 2):
                got = _described(self.out)
                raise TypeError(f"{name} with has_aux=True needs a function that returns a pair (output, aux), got {got}")
            self.out, self.auxiliary = self.out
        if self.out is None:
            raise TypeError(f"{name}: the function returned None; does it lack a return?")
        self.outputs = as_values(_numbers(self.out, f"{name}, the function's output", integers=True))
        self.graph = not plain and any(isinstance(x, Value) for x in self.sources)

    def finds(self, nodes: Iterable[Value]) -> bool:
        """Whether derivatives are Values, now that `nodes` have been seen: one may be a leaf from outside."""
        self.graph = self.graph or (not self.plain and self.foreign(nodes))
        return self.graph

    def foreign(self, nodes: Iterable[Value]) -> bool:
        own = set(self.leaves)
        return any(node.rule is None and node not in own for node in nodes)

    def attach(self) -> None:
        for leaf, source in zip(self.leaves, self.sources, strict=True):
            if leaf.rule is None:
                attach(leaf, source)

    def gradient(self, output: Value, graph: bool, plain: bool) -> list[Any]:
        """The adjoints of the leaves, as Values where `graph` says so or a Value from outside is found, unless `plain`."""
        if plain or not graph:
            found = adjoints(output)
            if plain or not self.finds(found):
                return [found.get(leaf, 0.0) for leaf in self.leaves]
        graphs = adjoints(output, self.leaves, create_graph=True)
        self.attach()
        return [graphs[leaf] for leaf in self.leaves]

    # -- what is handed back

    def zero(self) -> Any:
        return constant(0.0) if self.graph else 0.0

    def value(self) -> Any:
        """The function's output."""
        return _like(self.out, iter(self.outputs if self.graph else [out.data for out in self.outputs]))

    def aux(self) -> Any:
        """The auxiliary data; its Values are numbers where nothing from outside is below them."""
        values = [x for leaf in _leaves(self.auxiliary) for x in _elements(leaf) if isinstance(x, Value)]
        if self.graph or (not self.plain and self.foreign(topological_order(*values))):
            self.attach()
            return self.auxiliary
        return _map(self.auxiliary, _plain)

    def by_output(self, rows: Rows) -> Any:
        """The Jacobian: the output's structure, with the arguments' structure in the place of each number."""
        zero, width = self.zero(), range(len(self.leaves))
        lines = iter([iter([row.get(i, zero) for i in width]) for row in rows])

        def block(out: Any) -> Any:
            if not _is_array(out):
                return _like(self.tree, next(lines))
            mine = list(islice(lines, out.size))

            def columns(x: Any) -> Any:
                if not _is_array(x):
                    return _shaped([next(line) for line in mine], out.shape)
                return _shaped([e for line in mine for e in islice(line, x.size)], out.shape + x.shape)

            return _map(self.tree, columns)

        return _map(self.out, block)

    def sparse(self, rows: Rows) -> Any:
        """The Jacobian as a SciPy sparse array, its entries those that the graph connects."""
        if self.graph:
            raise TypeError(
                "sparse=True gives an array of plain numbers, and these depend on Values from outside, through which they "
                "could be differentiated again: leave sparse out, or call this inside no_grad()"
            )
        try:
            from scipy.sparse import csr_array
        except ImportError:
            raise ImportError("sparse=True gives a SciPy array: install scipy, or leave sparse out") from None

        entries = [(i, j, x) for i, row in enumerate(rows) for j, x in sorted(row.items())]
        i, j, data = zip(*entries, strict=True) if entries else ((), (), ())
        return csr_array((data, (i, j)), shape=(len(rows), len(self.leaves)), dtype=float)


# -- the two modes over all outputs and inputs


def _pulled(run: _Run) -> Rows:
    """The Jacobian in reverse mode: one pass per output, over what that output depends on."""
    rows = []
    for out in () if run.graph else run.outputs:
        found = adjoints(out)
        if run.finds(found):
            break
        rows.append({i: found[leaf] for i, leaf in enumerate(run.leaves) if leaf in found})
    if run.graph:
        rows = [dict(enumerate(adjoints(out, run.leaves, create_graph=True).values())) for out in run.outputs]
        run.attach()
    return rows


def _pushed(run: _Run, directions: list[dict[int, Any]]) -> Rows:
    """The tangents of the outputs, by the number of the direction, from those of the leaves: one pass for all.

    A node carries a tangent for each direction that reaches it, so unrelated inputs cost nothing.
    """
    order = topological_order(*run.outputs)
    tangents = dict(zip(run.leaves, directions, strict=True))
    if run.finds(order) or (not run.plain and any(isinstance(t, Value) for row in directions for t in row.values())):
        run.graph = True
        _push_graphs(order, tangents)
        run.attach()
    else:
        _push_numbers(order, tangents)
    return [tangents.get(out, {}) for out in run.outputs]


def _push_numbers(order: list[Value], tangents: dict[Value, dict[int, Any]]) -> None:
    for leaf, row in tangents.items():
        tangents[leaf] = {i: _plain(t) for i, t in row.items()}
    for node in order:
        x = node._x
        if x is None or node in tangents:
            continue
        total: dict[int, float] = {}
        for parent, local in zip(x, node._dx, strict=True) if x.__class__ is tuple else ((x, node._dx), (node._y, node._dy)):
            if parent.__class__ is not float and parent in tangents:
                for i, t in tangents[parent].items():
                    total[i] = total[i] + t * local if i in total else t * local
        if total:
            tangents[node] = total


def _push_graphs(order: list[Value], tangents: dict[Value, dict[int, Any]]) -> None:
    one = constant(1.0)
    for leaf, row in tangents.items():
        tangents[leaf] = {i: t if isinstance(t, Value) else one if t == 1.0 else constant(t) for i, t in row.items()}
    for node in order:
        parents = node.parents
        wanted = [] if node in tangents else [parent in tangents for parent in parents]
        if not any(wanted):
            continue
        arrived: dict[int, list[tuple[Value, Any]]] = {}
        for parent, local, want in zip(parents, local_graph(node, parents, wanted), wanted, strict=True):
            for i, t in tangents[parent].items() if want else ():
                arrived.setdefault(i, []).append((t, local))
        tangents[node] = {i: accumulated(terms, one) for i, terms in arrived.items()}


# -- arguments and results: a leaf of a structure is a number, a Value or a NumPy array of them


@contextmanager
def _recorded() -> Iterator[bool]:
    """A block in which operations are recorded; it gives whether the results are to be plain numbers: inside no_grad()."""
    if current().recording:
        yield False
    else:
        with enable_grad():
            yield True


def _plain(x: Any) -> Any:
    """The number of a Value, also inside an array; anything else as it is."""
    if _is_array(x) and x.dtype == object and any(isinstance(e, Value) for e in x.flat):
        return _shaped([_plain(e) for e in x.flat], x.shape)
    return x.data if isinstance(x, Value) else x


def _is_array(x: Any) -> bool:
    numpy = sys.modules.get("numpy")  # whoever passes an array has imported it
    return numpy is not None and isinstance(x, numpy.ndarray)


def _elements(leaf: Any) -> Sequence[Any]:
    return leaf.ravel().tolist() if _is_array(leaf) else (leaf,)


def _shaped(values: Iterable[Any], shape: tuple[int, ...]) -> Any:
    """An array of `values`: of floats, or of objects where one is a Value."""
    import numpy as np

    values = list(values)
    if not any(isinstance(v, Value) for v in values):
        return np.array(values, dtype=float).reshape(shape)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


def _map(tree: Any, change: Callable[[Any], Any]) -> Any:
    """`tree` with change(leaf) in the place of each leaf, visited in order; None has no leaf."""
    if isinstance(tree, dict):
        new = copy(tree)
        for key in tree:
            new[key] = _map(tree[key], change)
        return new
    if isinstance(tree, (list, tuple)):
        items = [change(x) if x.__class__ is float else _map(x, change) for x in tree]  # most are, so no call for these
        return items if isinstance(tree, list) else type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    return None if tree is None else change(tree)


def _leaves(tree: Any) -> list[Any]:
    leaves: list[Any] = []
    _map(tree, leaves.append)
    return leaves


def _like(tree: Any, values: Iterator[Any]) -> Any:
    """`tree` with its numbers replaced by `values`, in order."""

    def change(leaf: Any) -> Any:
        if leaf.__class__ is not float and _is_array(leaf):
            return _shaped(islice(values, leaf.size), leaf.shape)
        return next(values)

    return _map(tree, change)


def _numbers(tree: Any, where: str, integers: bool) -> list[Any]:
    """The numbers of `tree`, Values as they are, the others as floats; TypeError for what is none."""

    def numeric(x: Any) -> Any:
        if isinstance(x, Value):
            return x
        if not integers and (isinstance(x, Integral) or type(x).__name__.startswith("bool")):
            raise TypeError(
                f"got {type(x).__name__} {x!r}, and a derivative is with respect to real numbers: write {float(x)!r} (an array "
                "of floats) if it is one, or leave it out of argnums if it counts or indexes something"
            )
        return number(x)

    found: list[Any] = []
    for path, leaf in _paths(tree):
        try:
            found += map(numeric, _elements(leaf))
        except TypeError as error:
            raise TypeError(f"{where}{path}: {error}") from None
    return found


def _paths(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of `tree`, in order, and the brackets that lead to it."""
    if isinstance(tree, (dict, list, tuple)):
        for key, x in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _paths(x, f"{path}[{key!r}]")
    elif tree is not None:
        yield path, tree


def _matching(name: str, what: str, tree: Any, model: str, like: Any) -> list[Any]:
    """The numbers of `tree`; TypeError unless it has the structure of `like`."""

    def shape(tree: Any) -> Any:
        return _map(tree, lambda leaf: f"array of shape {leaf.shape}" if _is_array(leaf) and leaf.shape else "number")

    if shape(tree) != shape(like):
        raise TypeError(f"{name}: {what} must have the structure of {model}, {shape(like)}, got {shape(tree)}")
    return _numbers(tree, f"{name}, {what}", integers=True)


def _places(name: str, argnums: Any, count: int) -> list[int]:
    """The positions that `argnums` names, counted from the front; TypeError or ValueError where there is none."""
    wanted = tuple(argnums) if isinstance(argnums, Iterable) else (argnums,)
    for i in wanted:
        if isinstance(i, bool) or not hasattr(i, "__index__"):
            raise TypeError(f"{name}: argnums must be an int or a sequence of ints, got {argnums!r}")
        if not -count <= i < count:
            given = f"{count} positional argument{'s' * (count != 1)}"
            raise TypeError(f"{name} with argnums={argnums!r} needs an argument {i}, and the function was called with {given}")
    places = [i % count for i in wanted]
    if len(set(places)) < len(places):
        raise ValueError(f"{name}: argnums={argnums!r} names an argument twice")
    return places


def _callable(name: str, fun: Any) -> None:
    if not callable(fun):
        advice = "pass the function itself, not its result" if isinstance(fun, (Value, float)) else "pass a function"
        raise TypeError(f"{name} needs a function, got {type(fun).__name__} {fun!r}: {advice}")


def _sequences(name: str, primals: Any, tangents: Any) -> None:
    for what, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (list, tuple)):
            raise TypeError(
                f"{name}: {what} must be a tuple with one entry per argument, got {type(given).__name__}: write ({what[:-1]},)"
            )
    if len(primals) != len(tangents):
        raise TypeError(f"{name} needs one tangent per primal, got {len(primals)} primals and {len(tangents)} tangents")


def _described(out: Any) -> str:
    if _is_array(out):
        return f"an array of shape {out.shape}"
    return f"a {type(out).__name__} of {len(out)}" if hasattr(out, "__len__") else f"{type(out).__name__} {out!r}"
