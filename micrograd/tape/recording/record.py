"""Recording: run a function once on Values and write its graph, with the graph of its gradient, as a tape.

`engine` comes before. What rewrites tapes afterwards knows no Values. The graph alone does not show which leaves were used
first, which comparisons decided the path, and what was detached: the engine reports these to an observer while it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any

from micrograd.elementwise import is_many, listed
from micrograd.engine import (
    Value,
    all_below,
    as_values,
    constant,
    leaves_and_numbers,
    modes,
    node_of,
    operands,
    primal,
    topological_order,
)
from micrograd.engine.choices import chooses
from micrograd.engine.higher_order import adjoint_graph
from micrograd.engine.lines import line
from micrograd.formula.text import clean
from micrograd.primitives import CONSTANT, Primitive
from micrograd.tape.rewriting.repeats import merged
from micrograd.tape.tape import Guard, Instruction, Tape, constant_key


class Integer(Value):
    """An integer argument while a function is recorded: a number, and an open index for take()."""

    __slots__ = ()

    def __take__(self, values: Any, rule: Primitive) -> Any:
        """take(values, self): one lookup, or one for each column where the entries are sequences."""
        entries = tuple(listed("take", values))
        if not entries:
            raise IndexError("take needs at least one value to choose from, got none")
        if not is_many(entries[0]):
            return node_of(rule, (self, *as_values(entries)))
        widths = {len(entry) if is_many(entry) else 1 for entry in entries}
        if len(widths) > 1:
            raise ValueError(f"take needs entries of one length while recording, got lengths {sorted(widths)}")
        return [self.__take__(column, rule) for column in zip(*entries, strict=True)]

    def __index__(self) -> int:
        raise TypeError(
            "an integer argument was used as an index or a count while recording, and would be frozen into the tape: "
            "write take(values, i) for values[i]; for a count, let the function close over the number"
        )


NEEDS_ONE = "a gradient needs a function that returns one number, got {}: return their sum, or take value_and_grad for each"
LONGEST = 1000  # the most comparisons in a run that has no sample, on ones in its place
FEW_PARTIALS = 16  # so many partial derivatives are computed however small the graph is


class OnOnes(ValueError):
    """There was no sample, and on ones in its place a function that compares raised an error or did not end."""


class _Observer:
    """Is told by the engine what happens while a function runs, and refuses to turn its Values into plain numbers."""

    def __init__(self, on_ones: bool = False, merges: bool = False) -> None:
        self.on_ones, self.merges = on_ones, merges
        self.choices_passed = False
        self.operands: list[Any] = []
        self.comparisons: list[tuple[str, Value, Any, bool, str]] = []
        self.sources: dict[Value, Value] = {}
        self.inside: set[Value] = set()

    def made(self, leaf: Value) -> None:
        self.inside.add(leaf)

    def used(self, operands: Sequence[Any]) -> None:
        self.operands += operands

    def compared(self, name: str, x: Value, y: Any, result: bool) -> None:
        self.comparisons.append((name, x, y, result, line()))
        if self.on_ones and len(self.comparisons) > LONGEST:
            raise self.gone_wrong(f"has compared {LONGEST} times, the last time at {line()}")

    def gone_wrong(self, how: str) -> OnOnes:
        return OnOnes(
            f"there is no sample to record the function on, and on ones in its place it {how}: call it once on a sample before"
        )

    def passed_choices(self) -> None:
        self.choices_passed = True

    def detached(self, source: Value) -> Value:
        """A leaf that passes no gradient on. It is no constant: on the tape it has the slot of its source."""
        copy = Value(primal(source), label=source.label)
        self.sources[copy] = source
        return copy

    def attempted(self, run: Callable[[], Any]) -> Any:
        used, compared = len(self.operands), len(self.comparisons)
        try:
            return run()
        except Exception:  # a function for plain numbers may raise anything when it is given Values
            del self.operands[used:], self.comparisons[compared:]
            return None

    def stands_for(self, node: Value, value: Value) -> None:
        self.sources[node] = value

    def merged(self, outputs: Sequence[Value]) -> list[Value]:
        """The outputs to be differentiated in the place of these: with equal operations merged, if this run `merges`."""
        return (self.merges and merged(outputs, all_below(*outputs), self.sources)) or list(outputs)

    def holds(self, value: Value) -> bool:
        """Whether another run may have another number here: not in constants and in leaves that the function made itself."""
        return value in self.sources or not (value.is_constant or value in self.inside)

    def read(self, value: Value, how: str) -> None:
        if self.holds(value):
            self.frozen(value, how)

    def written(self, value: Value, what: str) -> None:
        if value not in self.inside:
            raise TypeError(
                f"{what} of a value was set while recording, at {line()}: later calls would not set it again, and "
                "only leaves that the function made may be set. Set it before the call, or pass the number as an argument"
            )

    def frozen(self, value: Value, how: str) -> None:
        raise TypeError(
            f"a value was turned into a plain number by {how} while recording, at {line()}: the tape would keep the "
            "number of this one run; use Values and the functions of micrograd (exp, log, where, take, ...) instead"
        )


class Recording:
    """One run of a function: its inputs, its outputs in their structure, the leaves it captured and what decided its path.

    `run` gets fresh Values for `numbers` (an int becomes an open index) and returns any structure; `numbers_of` lists
    the Values and numbers of that structure. `wrt` lists the leaves, or is None for their order of first use. `gated` is as
    in `modes.Mode`. `on_ones` says that there is no sample, and that `numbers` are ones in its place: OnOnes is raised if a
    function that compares then fails or does not end. With `merges`, equal operations are merged before differentiation.
    """

    def __init__(
        self,
        run: Callable[[list[Value]], Any],
        numbers: Sequence[Any],
        numbers_of: Callable[[Any], list[Any]],
        wrt: Any,
        gated: bool | None = None,
        on_ones: bool = False,
        merges: bool = False,
    ):
        self.gated, self.observer = gated, _Observer(on_ones, merges)
        self.inputs: list[Value] = [Integer(x) if isinstance(x, int) else Value(x) for x in numbers]
        observer = self.observer
        try:
            with self.observed():
                self.out = run(self.inputs)
        except Exception as error:
            if on_ones and observer.comparisons and not isinstance(error, OnOnes):
                raise observer.gone_wrong(f"raised {type(error).__name__}: {error}") from error
            raise
        self.results = list(as_values(numbers_of(self.out)))
        self.operands: list[list[int]] = []
        self.sources = observer.sources
        self.comparisons = observer.comparisons
        own = observer.inside.union(self.inputs)  # leaves made inside, a total that begins as Value(0.0), are constants
        found = dict.fromkeys(v for v in observer.operands if v.__class__ is not float and v.rule is None and v not in own)
        self.merges, self.compared = merges, self._compared_now()
        self.below = below = all_below(*self.results, *self.compared, before=self.sources)
        reached = dict.fromkeys(v for v in below if v.rule is None)
        found.update({v: None for v in reached if v not in own})
        captured = [v for v in found if v in reached]
        if wrt is not None:
            listed = dict.fromkeys(wrt)
            if missing := [v for v in captured if v not in listed]:
                shown = ", ".join(clean(str(v.label)) or repr(v) for v in missing[:3])
                raise ValueError(
                    f"the function uses {len(missing)} leaves that are not in wrt ({shown}...): list them too, "
                    "or make them constants with constant(x)"
                )
            captured = list(listed)
        self.leaves: list[Value] = captured
        self.compares_nan = False  # whether a nan was compared, as `forget` finds
        self.is_derivable = False  # whether `differentiated` gives the derivatives, given the results; `forget` finds this too

    def _compared_now(self) -> list[Value]:
        """The Values that have been compared so far, those that derivatives have compared among them."""
        return [v for _, x, y, _, _ in self.comparisons for v in (x, y) if isinstance(v, Value)]

    def _merge(self) -> None:
        """Merge equal operations, if this recording `merges`; called before derivatives are taken."""
        if self.merges and (fewer := merged(self.results, self.below, self.sources)):
            self.results = fewer
            self.below = all_below(*fewer, *self.compared, before=self.sources)

    @property
    def passes_choices(self) -> bool:
        """Whether derivatives have been taken that multiply what was not chosen."""
        return self.observer.choices_passed

    @cached_property
    def has_own(self) -> bool:
        """Whether one of the operations is a primitive of the user's own."""
        return any(rule is not None and rule.own for rule in {node.rule for node in self.below})

    @cached_property
    def has_choices(self) -> bool:
        """Whether one of the operations chooses between its operands."""
        return chooses(self.below)

    @contextmanager
    def observed(self) -> Iterator[None]:
        """A block that is part of the recording."""
        gated = self.gated or (False if self.observer.merges else None)  # for exact bits, None: gated where the engine does so
        with modes.inside(observer=self.observer, recording=True, anomaly=False, gated=gated), modes.refusals():
            yield

    def adjoints(self, output: Value, wrt: Sequence[Value], fresh: Sequence[Value]) -> dict[Value, Value]:
        """The adjoints of `wrt` as graphs. What partials of the user's own primitives compare or read is recorded too."""
        self.observer.choices_passed |= self.has_choices and not self.gated
        mode = modes.current()
        usual = mode.recording and not mode.anomaly  # else partials would be constants, or nan refused that nobody will read
        with self.observed() if self.has_own else nullcontext() if usual else modes.inside(recording=True, anomaly=False):
            return adjoint_graph(output, tuple(wrt), self.gated, fresh)

    def gradient(self, each: bool = False) -> list[Value]:
        """The adjoints of the leaves for the one output; with `each`, those of every output, one after the other.

        TypeError if there is no output, or without `each` more than one.
        """
        if len(self.results) != 1 and not (each and self.results):
            raise TypeError(NEEDS_ONE.format(len(self.results)))
        if not self.leaves:
            return []
        self._merge()
        gradients: list[Value] = []
        for i, output in enumerate(self.results):
            fresh: list[Value] = []
            if not self.sources and not output.is_constant:
                if i == 0:  # in `below`, all that it depends on stands before it, and nothing else
                    end = next(i for i, node in enumerate(self.below) if node is output)
                    fresh = [node for node in self.below[: end + 1] if node.rule is not CONSTANT]
                else:
                    fresh = topological_order(output)
            found = self.adjoints(output, self.leaves, fresh)
            gradients += [found[leaf] if leaf in found else constant(0.0) for leaf in self.leaves]
        return gradients

    def partials(self, wanted: Sequence[bool]) -> list[Value]:
        """The derivatives of each result by the inputs and leaves that it depends on, one after the other.

        `operands` is set to the numbers of these, for each result; leaves are counted after inputs. Derivatives by inputs that
        are not `wanted` are 0.0. The list is empty if there would be far more derivatives than edges in the graph.
        """
        self._merge()
        sources = [*self.inputs, *self.leaves]
        reached = {v: 1 << i for i, v in enumerate(sources)}
        edges = 0
        for v in self.below:
            bits, parents = reached.get(v, 0), operands(v)
            for parent in (*parents, self.sources[v]) if v in self.sources else parents:
                bits |= reached.get(parent, 0)
            reached[v], edges = bits, edges + len(parents)
        below = [reached[v] for v in self.results]
        if sum(bits.bit_count() for bits in below) > 2 * edges + FEW_PARTIALS:
            return []
        self.operands = [[i for i, digit in enumerate(reversed(f"{bits:b}")) if digit == "1"] for bits in below]
        is_wanted, found = [*wanted, *[True] * len(self.leaves)], list[Value]()
        for result, own in zip(self.results, self.operands, strict=True):
            by = [sources[i] for i in own if is_wanted[i]]
            adjoint = self.adjoints(result, by, topological_order(result)) if by else {}
            found += [adjoint.get(sources[i], constant(0.0)) if is_wanted[i] else constant(0.0) for i in own]
        return found

    def tape(self, derivatives: Sequence[Value] = ()) -> Tape:
        """The run as a tape, whose outputs are the results and then `derivatives`."""
        outputs = [*self.results, *derivatives]
        guarded = [(n, x, y if isinstance(y, Value) else constant(y), r, line) for n, x, y, r, line in self.comparisons]
        others = [*derivatives, *(v for _, x, y, _, _ in guarded for v in (x, y))]
        order = self.below
        if others:
            order = order + all_below(*others, seen=set(order), before=self.sources)
        slot, tape = _flattened(order, self)
        tape.outputs = [slot[v] for v in outputs]
        tape.guards = [Guard(name, slot[x], slot[y], result, line) for name, x, y, result, line in guarded]
        return tape

    def forget(self) -> None:
        """Drop the graph, once a tape has been made of it: its memory is needed for the passes."""
        self.compares_nan = any(primal(v) != primal(v) for v in self._compared_now())
        rules = {v.rule for v in self.below if v.rule is not None}
        self.is_derivable = not self.sources and not any(rule.own or rule.compiled for rule in rules)
        self.out = None
        self.observer.operands.clear()
        self.observer.inside.clear()
        for part in (self.below, self.results, self.comparisons, self.compared):
            part.clear()
        self.sources.clear()


def differentiated(tape: Tape, values: int) -> Tape:
    """A tape with the derivatives of its first `values` outputs, each by all leaves, between these and its other outputs.

    The instructions are run on Values, whose numbers do not matter. What is not on a tape has no part in it: whether something
    was detached, and what partials of the user's own primitives compare.
    """
    leaves, indices = [Value(1.0) for _ in range(tape.leaves)], {i for i, _ in tape.lookups()}

    def run(inputs: list[Value]) -> list[Value]:
        slots: list[Any] = [*inputs, *leaves, *map(constant, tape.constants)]
        for primitive, used in tape.instructions:
            slots.append(primitive(*[slots[i] for i in used]))
        return [slots[i] for i in tape.outputs]

    recording = Recording(run, [0 if i in indices else 1.0 for i in range(tape.inputs)], list, leaves)
    others = recording.results[values:]
    del recording.results[values:]
    return recording.tape([*recording.gradient(each=True), *others])


def _flattened(order: list[Value], recording: Recording) -> tuple[dict[Value, int], Tape]:
    """The slot of every Value in `order`, and the tape that computes them."""
    slot: dict[Value, int] = {v: i for i, v in enumerate([*recording.inputs, *recording.leaves])}
    base = len(slot)
    constants: list[float] = []
    known: dict[Any, int] = {}

    def constant_slot(x: float) -> int:
        key = constant_key(x)
        if key not in known:
            known[key] = base + len(constants)
            constants.append(x)
        return known[key]

    for x in (1.0, -0.0, 2.0, -2.0):  # passes use these: added later, they would shift the slots of all instructions
        constant_slot(x)
    sources = recording.sources
    compiled: set[Any] = {rule for rule in {v.rule for v in order} if rule is not None and rule.compiled}
    rule: Any
    for x in leaves_and_numbers(order):
        if x.__class__ is float:
            constant_slot(x)
        elif x not in slot and x not in sources:
            slot[x] = constant_slot(primal(x))
    for v in order if compiled else ():
        if v.rule in compiled:
            v.rule.instructions([0] * len(operands(v)), 0, constant_slot)  # type: ignore[union-attr]
    at, slot_of = base + len(constants), slot.__getitem__
    instructions: list[Instruction] = []
    for v in order:
        used, rule = operands(v), v.rule
        if sources and v in sources:
            slot[v] = slot[sources[v]]
        elif not used:
            continue
        elif rule.partials is None:
            raise RuntimeError(f"{v!r} has a hand-written _backward: what it computes is not in the rule book; use primitive()")
        elif compiled and rule in compiled:  # the call of a compiled function: the instructions inside it
            inside, slot[v] = rule.instructions([*map(slot_of, used)], at, constant_slot)
            instructions += inside
            at += len(inside)
        else:
            if len(used) == 2:  # only operations of two operands may take plain numbers
                x, y = used
                i = slot[x] if x.__class__ is not float else known.get(x) or constant_slot(x)
                instructions.append((rule, (i, slot[y] if y.__class__ is not float else known.get(y) or constant_slot(y))))
            else:
                instructions.append((rule, tuple(map(slot_of, used))))
            slot[v] = at
            at += 1
    return slot, Tape(len(recording.inputs), len(recording.leaves), constants, instructions, [])
