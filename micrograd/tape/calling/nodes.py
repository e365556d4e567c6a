"""Compiled functions called on Values: each number that one returns is a node of the eager graph.

`recordings` comes before: it makes the tape of the results, with the partial derivatives of each by all that it depends on,
and one program computes both. So a call adds only a few nodes to the graph, however much is inside. The rule of such a node is
the tape: on floats the program runs it, on Values it is replayed instruction by instruction, for second derivatives and for
`opened`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import count, pairwise
from typing import Any

import numpy as np

from micrograd.engine import Note, Value, as_values, computed, constant, general, primal, topological_order
from micrograd.engine.modes import current, inside
from micrograd.floats import raised
from micrograd.formula.text import identifier
from micrograd.primitives import CONSTANT, Primitive
from micrograd.tape.back_ends import Program, back_end
from micrograd.tape.calling.branches import path_of
from micrograd.tape.recording.arguments import Call
from micrograd.tape.recording.record import Recording
from micrograd.tape.recording.recordings import Path, Recordings
from micrograd.tape.recording.results import put_together
from micrograd.tape.rewriting.passes import optimised
from micrograd.tape.tape import Instruction, Tape
from micrograd.trees import elements, is_array, kind_of, leaves_of, mapped, parts_of, plain_arrays, shaped

_calls = count(1)
_entries = count(-1, -1)  # numbers of the scopes of opened calls; blocks of the user's have positive ones
_KINDS = {Value, float}
FEW_INPUTS = 64  # up to so many inputs are passed one by one, and not as an array
LATEST = 64  # for so many kinds of arguments a short way is kept


class Linear:
    """A function on one path: its results and their partial derivatives, computed by one program."""

    def __init__(self, path: Path, name: str, made_with: tuple[Any, ...]):
        self.path, self.name, self.made_with = path, name, made_with
        ends = [len(path.operands)]
        for own in path.operands:
            ends.append(ends[-1] + len(own))
        self.spans = [slice(a, b) for a, b in pairwise(ends)]  # for each result, where its partials are among the outputs
        self.rows = [CompiledRow(self, i) for i in range(len(path.operands))]
        self.size = path.tape.inputs + path.tape.leaves

    def __getstate__(self) -> Any:
        return self.path, self.name, self.made_with

    def __setstate__(self, state: Any) -> None:
        self.__init__(*state)  # type: ignore[misc]

    @cached_property
    def run(self) -> Callable[[Sequence[float], Sequence[float]], Sequence[float]]:
        """A function that gives the numbers of all outputs, given those of the inputs and of the leaves."""
        backend, dtype, *rest = self.made_with
        chosen, inputs = back_end(backend, *rest), self.path.tape.inputs

        singly = chosen.make_direct is not None and inputs <= FEW_INPUTS
        fields = ((1, False),) * inputs if singly else ((inputs, False),)[: min(inputs, 1)]

        def made(tape: Tape) -> Program:
            return chosen.make(optimised(replace(tape, guards=[]), exact=True), fields, False, dtype)

        program: Any = self.path.program(made)
        if singly:
            return program.single  # type: ignore[no-any-return]
        arrays: Callable[[Any], Any] = lambda xs: [np.array(xs)] if inputs else []  # noqa: E731
        return lambda xs, leaves: program(arrays(xs), np.array(leaves, dtype), 1)[:, 0].tolist()

    @cached_property
    def graph(self) -> Tape:
        """The tape that is replayed on Values: if choices matter, the one that does not multiply what was not chosen."""
        return self.path.gated() or self.path.tape

    def nodes(self, parents: Sequence[Value], numbers: Sequence[float], note: Note) -> Iterator[Value]:
        """The results as Values."""
        for row, own, span in zip(self.rows, self.path.operands, self.spans, strict=True):
            if not own:
                yield constant(numbers[row.i])
                continue
            yield computed(row, numbers[row.i], tuple([parents[k] for k in own]), tuple(numbers[span]), note)


class CompiledRow(Primitive):
    """The row, as in the rule book, of one number that a compiled function returns."""

    __slots__ = ("i", "linear")
    compiled = True

    def __init__(self, linear: Linear, i: int):
        self.linear, self.i = linear, i
        many = len(linear.path.operands) > 1
        name = f"{linear.name}_{i}" if many else linear.name
        super().__init__(name, f"{name}(xs)", self.number, self.derivatives, raised, True)

    def _outputs(self, xs: Sequence[float]) -> Sequence[float]:
        if not all(x.__class__ is float for x in xs):
            raise TypeError(f"{self.name} is a compiled function, and no formula: opened() shows what it does")
        whole = [0.0] * self.linear.size
        for k, x in zip(self.linear.path.operands[self.i], xs, strict=True):
            whole[k] = x
        inputs = self.linear.path.tape.inputs
        return self.linear.run(whole[:inputs], whole[inputs:])

    def number(self, *xs: Any) -> float:
        return self._outputs(xs)[self.i]

    def derivatives(self, xs: Sequence[Any], out: Any) -> tuple[Any, ...]:
        span = self.linear.spans[self.i]
        if any(isinstance(x, Value) for x in xs):
            return tuple(self.replayed(xs, range(span.start, span.stop), {}))
        return tuple(self._outputs(xs)[span])

    def needed(self, outputs: Sequence[int]) -> list[tuple[int, Instruction]]:
        """The instructions that some outputs depend on, each with its slot."""
        tape = self.linear.graph
        live = {tape.outputs[i] for i in outputs}
        found = []
        for slot in range(tape.first + len(tape.instructions) - 1, tape.first - 1, -1):
            if slot in live:
                instruction = tape.instructions[slot - tape.first]
                found.append((slot, instruction))
                live.update(instruction[1])
        return found[::-1]

    def replayed(self, xs: Sequence[Any], outputs: Sequence[int], known: dict[int, Any]) -> list[Any]:
        """Some outputs as graphs over `xs`; what is `known` by its slot is not computed again."""
        tape = self.linear.graph
        low = self.linear.size
        known.update(zip(self.linear.path.operands[self.i], xs, strict=True))
        known.update(enumerate(tape.constants, low))
        for slot, (rule, operands) in self.needed(outputs):
            if slot not in known:
                known[slot] = rule(*[known[k] for k in operands])
        return [known[tape.outputs[i]] for i in outputs]

    def instructions(
        self, slots: Sequence[int], first: int, constant_slot: Callable[[float], int]
    ) -> tuple[list[Instruction], int]:
        """This row as instructions of another tape, and the slot of its result there.

        `slots` are those of the operands, `first` is that of the first instruction's result.
        """
        tape = self.linear.graph
        to = dict(zip(self.linear.path.operands[self.i], slots, strict=True))
        code: list[Instruction] = []
        for slot, (rule, operands) in self.needed([self.i]):
            for k in operands:
                if k not in to:
                    to[k] = constant_slot(tape.constants[k - self.linear.size])
            code.append((rule, tuple([to[k] for k in operands])))
            to[slot] = first + len(code) - 1
        return code, to[tape.outputs[self.i]]

    def __reduce__(self) -> Any:
        return _row, (self.linear, self.i)


def _row(linear: Linear, i: int) -> CompiledRow:
    return linear.rows[i]


class Nodes(Recordings):
    """The recordings for a function's calls on Values; `made_with` are back end, dtype, precision and threads."""

    def __init__(self, recordings: Recordings, made_with: tuple[Any, ...]):
        super().__init__(recordings.fn, recordings.parameters, recordings.back_end, recordings.owner)
        self.made_with = made_with
        self.quick: dict[Any, tuple[Linear | None, Any]] = {}  # short ways, by the kinds of the arguments

    def derivatives(self, recording: Recording, gradient: Any) -> Sequence[Value]:
        return recording.partials(gradient)

    def called(self, args: Sequence[Any], named: dict[str, Any]) -> Any:
        """The results as Values. If they have more derivatives than operations, the function itself is called."""
        mode, parameters = current(), self.parameters
        if mode.observer is not None or mode.anomaly:
            return self.fn(*args, **named)
        taken = None if named else _flat(args)
        parameters.restore_order()
        self.outdated()
        quick = self.quick  # held here, because another thread replaces it when something has changed
        held = [plain_arrays(x, f"argument {i}") for i, x in enumerate(args)]
        by_name = {name: plain_arrays(x, f"argument {name}") for name, x in named.items()}
        call = Call(
            [mapped(x, _primal) for x in held], [None] * (len(args) + 1), {k: mapped(x, _primal) for k, x in by_name.items()}
        )
        sources = [x for arg in (*held, *[by_name[name] for name in call.names]) for x in _numbers(arg)]
        wanted = tuple([isinstance(x, Value) and x.rule is not CONSTANT for x in sources])
        path = path_of(self, call, wanted, parameters.theta())
        call.check_lookups(path.lookups, call.inputs)
        if not path.operands or _has_matrix(path.out):
            return self.fn(*args, **named)
        if path.linear is None:
            with self.making:
                path.linear = path.linear or Linear(path, identifier(getattr(self.fn, "__name__", "")), self.made_with)
        linear: Linear = path.linear
        leaves = [parameters.values[i] for i in path.leaves]
        if taken is not None and not path.tape.guards:
            if len(quick) >= LATEST:
                quick.clear()
            quick[taken[1]] = linear, leaves
        return self._results(linear, sources, leaves, mode)

    def called_again(self, args: Sequence[Any]) -> Any:
        """The results by the short way, if there has been a call like this; else None."""
        taken, mode = _flat(args), current()
        if taken is None or mode.observer is not None or mode.anomaly or not self.current():
            return None
        linear, leaves = self.quick.get(taken[1], (None, ()))
        return self._results(linear, taken[0], leaves, mode) if linear else None

    def outdated(self) -> bool:
        changed = super().outdated()
        if changed:
            self.quick = {}
        return changed

    def _results(self, linear: Linear, sources: Sequence[Any], leaves: Sequence[Value], mode: Any) -> Any:
        xs = [x if x.__class__ is float else primal(x) if isinstance(x, Value) else float(x) for x in sources]
        held = self.parameters.floats()
        own = held if linear.path.uses_all(len(held)) else [held[i] for i in linear.path.leaves]
        numbers = linear.run(xs, own)
        if not mode.recording:
            found = [*map(constant, numbers[: len(linear.rows)])]
        else:
            parents = [x if isinstance(x, Value) else constant(x) for x in sources]
            parents += leaves
            note = Note(call=next(_calls), scope=mode.scope)
            found = [*linear.nodes(parents, numbers, note)]
        return put_together(linear.path.out, found.__getitem__, lambda ids, shape: shaped([found[i] for i in ids], shape))


def _flat(args: Sequence[Any]) -> tuple[list[Any], Any] | None:
    """The Values and floats of a call, and a key of their kinds; None if there is anything else."""
    xs: list[Any] = []
    kinds: list[Any] = []
    for x in args:
        cls = x.__class__
        if cls is Value or cls is float:
            xs.append(x)
            kinds.append(0)
        elif cls is list or cls is tuple:
            xs += x
            kinds += cls, len(x)
        else:
            return None
    if not _KINDS.issuperset(map(type, xs)):
        return None
    return xs, (*kinds, *[x.__class__ is Value and x.rule is not CONSTANT for x in xs])


def _primal(leaf: Any) -> Any:
    if is_array(leaf) and leaf.dtype == object:
        return np.array([primal(x) if isinstance(x, Value) else x for x in leaf.flat], np.float64).reshape(leaf.shape)
    return primal(leaf) if isinstance(leaf, Value) else leaf


def _numbers(arg: Any) -> list[Any]:
    """The numbers and Values of an argument, in the order in which `Call` takes them."""
    return [x for leaf in leaves_of(arg) if not isinstance(leaf, (bool, np.bool_, str)) for x in elements(leaf)]


def _has_matrix(out: Any) -> bool:
    kind = kind_of(out)
    return kind is not None and (kind[0] == "sparse" or any(map(_has_matrix, parts_of(out, kind))))


def opened(output: Value) -> Value:
    """The graph of `output` with each call of a compiled function replaced by the operations in it, for drawings and so on.

    Leaves stay the same ones, and so do nodes with no call below them. The operations of a call stand in a scope of the
    function's name. Their numbers are computed anew, and may differ in the last digits from what the call gave, unless it has
    `precision="exact"`.

    >>> from micrograd import Value, jit
    >>> square = jit(lambda x: x * x, backend="reference")
    >>> y = square(Value(3.0))
    >>> y.op, opened(y).op
    ('lambda', 'mul')
    """
    twins: dict[Value, Value] = {}
    calls: dict[Any, tuple[int, dict[int, Any]]] = {}
    for node in topological_order(output):
        rule, parents = node.rule, [twins.get(p, p) for p in node.parents]
        twin = node
        if isinstance(rule, CompiledRow):
            note = node.note or Note()
            number, known = calls.setdefault((rule.linear, note.call or node), (next(_entries), {}))
            with inside(recording=True, scope=(*note.scope, (rule.linear.name, number))):
                (twin,) = as_values(rule.replayed(parents, [rule.i], known))
                if twin in parents:
                    twin = twin * 1.0
        elif rule is not None and any(p is not q for p, q in zip(parents, node.parents, strict=True)):
            with inside(recording=True):
                twin = general(rule, parents)
            twin.note = node.note
        if twin is not node:
            twin.label = node.label
        twins[node] = twin
    return twins.get(output, output)
