"""One recorded run of a function, and its derivatives in forward and reverse mode.

`transforms` is what users call: it says what is run and which derivatives are wanted. Here leaves are put into the arguments,
the function is run on them, tangents are pushed forward or adjoints pulled back through the graph that it recorded, and what
is found goes back into the structure of the arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, islice
from numbers import Integral
from typing import Any

from micrograd.elementwise import index_of, items_of
from micrograd.engine import Value, adjoints, as_values, attach, constant, edges, primal, topological_order
from micrograd.engine.choices import unbounded
from micrograd.engine.higher_order import Dependents, chosen, gathered, local_graph
from micrograd.engine.modes import current, enable_grad, refusals, unwatch, watch
from micrograd.trees import Pattern, Sparse, elements_of, is_array, like, mapped, numbers, plain_arrays, shaped

Rows = list[dict[int, Any]]  # a Jacobian: for each output, its derivative by the number of the input it depends on


class Run:
    """The graph that one call recorded: a fresh leaf in the place of each number of the arguments, and outputs over them.

    Derivatives are plain numbers. They are Values (`graph`) where a Value was passed, or the function closes over one.
    Leaves stay leaves while derivatives are taken; before they are handed out inside Values, they become copies of what
    was passed, so that derivatives flow on to it.
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
        args = [plain_arrays(x, f"{name}, argument {i}") if i in places else x for i, x in enumerate(args)]
        self.tree = args[places[0]] if isinstance(argnums, Integral) else tuple([args[i] for i in places])
        self.sources = [x for i in places for x in numbers(args[i], f"{name}, argument {i}", integers=False)]
        self.leaves = [Value(primal(x), label=x.label) if isinstance(x, Value) else Value(x) for x in self.sources]
        leaves, replaced = iter(self.leaves), list(args)
        for i in places:
            replaced[i] = like(args[i], leaves)
        token = watch(Dependents(name, self.leaves))
        try:
            with refusals():
                self.out, self.auxiliary = fun(*replaced, **kwargs), None
        finally:
            unwatch(token)
        if has_aux:
            if not (isinstance(self.out, (tuple, list)) and len(self.out) == 2):
                got = described(self.out)
                raise TypeError(f"{name} with has_aux=True needs a function that returns a pair (output, aux), got {got}")
            self.out, self.auxiliary = self.out
        if self.out is None:
            raise TypeError(f"{name}: the function returned None; does it lack a return?")
        self.outputs = as_values(numbers(self.out, f"{name}, the function's output", integers=True))
        observer = current().observer  # of a tape, which keeps graphs and no numbers
        if observer is not None:
            self.outputs = tuple(observer.merged(self.outputs))
        self.graph = not plain and (observer is not None or any(isinstance(x, Value) for x in self.sources))

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
        return like(self.out, iter(self.outputs if self.graph else [out.data for out in self.outputs]))

    def aux(self) -> Any:
        """The auxiliary data; its Values are numbers where nothing from outside is below them."""
        values = [x for x in elements_of(self.auxiliary) if isinstance(x, Value)]
        if self.graph or (not self.plain and self.foreign(topological_order(*values))):
            self.attach()
            return self.auxiliary
        return mapped(self.auxiliary, _plain)

    def by_output(self, rows: Rows) -> Any:
        """The Jacobian: the output's structure, with the arguments' structure in the place of each number."""
        zero, width = self.zero(), range(len(self.leaves))
        lines = iter([iter([row.get(i, zero) for i in width]) for row in rows])

        def block(out: Any) -> Any:
            if not is_array(out):
                return like(self.tree, next(lines))
            mine = list(islice(lines, out.size))

            def columns(x: Any) -> Any:
                if not is_array(x):
                    return shaped([next(line) for line in mine], out.shape)
                return shaped([e for line in mine for e in islice(line, x.size)], out.shape + x.shape)

            return mapped(self.tree, columns)

        return mapped(self.out, block)

    def sparse(self, rows: Rows) -> Any:
        """The Jacobian as a SciPy sparse array, its entries those that the graph connects; a pattern of Values for a tape."""
        recorded = current().observer is not None
        if self.graph and not recorded:
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
        if recorded:
            starts = [0, *accumulate(map(len, rows))]
            return Sparse(Pattern((len(rows), len(self.leaves)), starts, j), shaped(data, (len(data),)))
        return csr_array((data, (i, j)), shape=(len(rows), len(self.leaves)), dtype=float)


# -- the two modes over all outputs and inputs


def pulled(run: Run) -> Rows:
    """The Jacobian in reverse mode: one pass per output, over what that output depends on."""
    rows = []
    for out in () if run.graph else run.outputs:
        found = adjoints(out)
        if run.finds(found):
            break
        rows.append({i: found[leaf] for i, leaf in enumerate(run.leaves) if leaf in found})
    if run.graph:
        for out in run.outputs:
            below = set(topological_order(out))
            reached = {leaf: i for i, leaf in enumerate(run.leaves) if leaf in below}
            rows.append({reached[leaf]: g for leaf, g in adjoints(out, reached, create_graph=True).items()})
        run.attach()
    return rows


def forward_is_cheaper(run: Run) -> bool:
    """Whether all tangents pushed forward are fewer products than the adjoints of each output pulled back.

    Both go only where a leaf leads to an output; sets of leaves and of outputs are the bits of integers.
    """
    order = topological_order(*run.outputs)
    below = {leaf: 1 << i for i, leaf in enumerate(run.leaves)}  # the leaves that a node depends on
    above: dict[Value, int] = {}  # and the outputs that depend on it
    forward = reverse = 0
    for node in order:
        parents = [parent for parent in node.parents if parent in below]
        if parents and node not in below:
            for parent in parents:
                below[node] = below.get(node, 0) | below[parent]
                forward += below[parent].bit_count()
    for i, out in enumerate(run.outputs):
        above[out] = above.get(out, 0) | 1 << i
    for node in reversed(order):
        for parent in node.parents if node in above and node.rule is not None else ():
            if parent in below:
                above[parent] = above.get(parent, 0) | above[node]
                reverse += above[node].bit_count()
    return forward <= reverse


def pushed(run: Run, directions: list[dict[int, Any]]) -> Rows:
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
        if node.rule is None or node in tangents:
            continue
        rule: Any = node.rule
        total: dict[int, float] = {}
        for k, (parent, local) in enumerate(edges(node)):
            if parent.__class__ is float or parent not in tangents:
                continue
            if rule.leaves_out(k, local):
                continue  # no edge: not a zero, which would be multiplied further on
            for i, t in tangents[parent].items():
                total[i] = total[i] + t * local if i in total else t * local
        if total:
            tangents[node] = total


def _push_graphs(order: list[Value], tangents: dict[Value, dict[int, Any]]) -> None:
    one, wild = constant(1.0), unbounded(order)
    for leaf, row in tangents.items():
        tangents[leaf] = {i: t if isinstance(t, Value) else one if t == 1.0 else constant(t) for i, t in row.items()}
    gates: dict[Value, dict[int, Value | None]] = {}
    for node in order:
        parents = node.parents
        wanted = [] if node in tangents else [parent in tangents for parent in parents]
        if not any(wanted):
            continue
        arrived: dict[int, list[tuple[Value, Any, Value | None]]] = {}
        rule: Any = node.rule
        for k, (parent, local, want) in enumerate(zip(parents, local_graph(node, parents, wanted), wanted, strict=True)):
            if not want or rule.leaves_out(k, local):
                continue
            of_parent = gates.get(parent, {})
            for i, t in tangents[parent].items():
                gate = chosen(rule, local, of_parent.get(i)) if wild else None
                arrived.setdefault(i, []).append((t, local, gate))
        if arrived:
            sums = {i: gathered(terms, one) for i, terms in arrived.items()}
            tangents[node] = {i: total for i, (total, _) in sums.items()}
            gates[node] = {i: gate for i, (_, gate) in sums.items()}


# -- what is around a run


@contextmanager
def recorded() -> Iterator[bool]:
    """A block in which operations are recorded; it gives whether the results are to be plain numbers: inside no_grad()."""
    if current().recording:
        yield False
    else:
        with enable_grad():
            yield True


def _plain(x: Any) -> Any:
    """The number of a Value, also inside an array; anything else as it is."""
    if is_array(x) and x.dtype == object and any(isinstance(e, Value) for e in x.flat):
        return shaped([_plain(e) for e in x.flat], x.shape)
    return x.data if isinstance(x, Value) else x


def matching(name: str, what: str, tree: Any, model: str, model_tree: Any) -> list[Any]:
    """The numbers of `tree`; TypeError unless it has the structure of `model_tree`, which is called `model`."""
    tree, model_tree = plain_arrays(tree, f"{name}, {what}"), plain_arrays(model_tree, f"{name}, {model}")

    def shape(tree: Any) -> Any:
        return mapped(tree, lambda leaf: f"array of shape {leaf.shape}" if is_array(leaf) and leaf.shape else "number")

    if shape(tree) != shape(model_tree):
        raise TypeError(f"{name}: {what} must have the structure of {model}, {shape(model_tree)}, got {shape(tree)}")
    return numbers(tree, f"{name}, {what}", integers=True)


def _places(name: str, argnums: Any, count: int) -> list[int]:
    """The positions that `argnums` names, counted from the front; TypeError or ValueError where there is none."""
    wanted = (argnums,) if (found := items_of(argnums)) is None else tuple(found)
    for i in wanted:
        if isinstance(i, bool) or index_of(i) is None:
            raise TypeError(f"{name}: argnums must be an int or a sequence of ints, got {argnums!r}")
        if not -count <= i < count:
            given = f"{count} positional argument{'s' * (count != 1)}"
            raise TypeError(f"{name} with argnums={argnums!r} needs an argument {i}, and the function was called with {given}")
    places = [i % count for i in wanted]
    if len(set(places)) < len(places):
        raise ValueError(f"{name}: argnums={argnums!r} names an argument twice")
    return places


def described(out: Any) -> str:
    if is_array(out):
        return f"an array of shape {out.shape}"
    return f"a {type(out).__name__} of {len(out)}" if hasattr(out, "__len__") else f"{type(out).__name__} {out!r}"
