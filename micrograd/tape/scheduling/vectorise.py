"""From scalar instructions to vector instructions, among them matrix products.

`passes` and `roll` come before; what comes out is a `schedule`, which back ends run. Independent instructions of one primitive
become one vector instruction. Level by level, results get positions (`memory`) such that operands become strided views where
possible, gathers elsewhere (`positions`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from micrograd.primitives import Primitive
from micrograd.tape.rewriting.passes import with_sorted_terms
from micrograd.tape.scheduling.levels import earliest, waiting
from micrograd.tape.scheduling.memory import SPACES, Places
from micrograd.tape.scheduling.positions import (
    distinct,
    fitted,
    grids_of,
    operand_of,
    sorted_by,
    sorted_grid,
    split,
    squeezed,
    stars_of,
    table,
    with_terms,
)
from micrograd.tape.scheduling.roll import Loop, rolled
from micrograd.tape.scheduling.sample_sums import contractions, reduce_samples
from micrograd.tape.scheduling.schedule import DOT, TAKE, TOTALS, Field, Operand, Schedule
from micrograd.tape.scheduling.steps import Steps, of_rows
from micrograd.tape.tape import Tape

Array = np.ndarray[Any, Any]
Slots = tuple[int, ...]


@dataclass(frozen=True)
class Analysis:
    """A tape with its loops, which of its slots vary with the samples, and what becomes part of sums over the samples."""

    places: Places
    loops: Sequence[Loop]
    final: dict[int, tuple[Slots, Slots]]  # by number of the instruction: the factors of its terms, or the terms and ()
    reduce: bool
    levels: list[int] | None = None  # of all instructions, if there are no loops


def analysed(tape: Tape, fields: Iterable[tuple[int, bool]], reduce: bool, exact: bool = True) -> Analysis:
    """What is known before scheduling, for a tape whose inputs arrive in `fields`, given as (width, varying).

    Unless results are to be `exact`, products may be added in another order.
    """
    early = tape.levels()
    tape, loops = rolled(tape, early)
    places = Places(tape, [Field(*f) for f in fields])
    find_varying(places, loops)
    levels = None if loops else early
    if levels is not None and (later := waiting(tape, levels, places.varies)):
        levels = later
        if not exact:
            places.tape = with_sorted_terms(tape)
    return Analysis(places, loops, contractions(places, loops) if reduce else {}, reduce, levels)


def unrolled(tape: Tape, fields: Iterable[tuple[int, bool]], reduce: bool) -> Analysis:
    """The same without a search for loops, which takes long: for whoever runs exact bits, and schedules nothing."""
    places = Places(tape, [Field(*f) for f in fields])
    find_varying(places, [])
    return Analysis(places, [], {}, reduce)


def scheduled(tape: Tape, fields: Iterable[tuple[int, bool]], reduce: bool, exact: bool = True) -> Schedule:
    """The schedule of a tape whose inputs arrive in `fields`, given as (width, varying); `exact` as for `analysed`."""
    return schedule_of(analysed(tape, fields, reduce, exact))


def schedule_of(it: Analysis) -> Schedule:
    """The schedule of an analysed tape. It can be called once for each analysis, because `places` is filled."""
    places, loops, final, reduce = it.places, it.loops, it.final, it.reduce
    tape = places.tape
    places.place_sources()
    in_order(places, loops, final, it.levels)
    if loops:  # otherwise in this order already: shared results first
        places.code[:] = [v for rows in (False, True) for v in places.code if of_rows(v) == rows]
    if reduce:
        reduce_samples(places, final)
        outputs = [(TOTALS, i) for i in range(len(tape.outputs))]
    else:
        outputs = [(SPACES[int(places.varies[slot])], int(places.where[slot])) for slot in tape.outputs]
    low = tape.inputs + tape.leaves
    constants = [(int(places.where[low + i]), x) for i, x in enumerate(tape.constants)]
    return Schedule(
        tape.leaves, places.fields, places.shared, places.rows, constants, places.filled, places.code, outputs, reduce,
    )  # fmt: skip


def in_order(places: Places, loops: Sequence[Loop], final: Container[int] = (), levels: list[int] | None = None) -> None:
    """Add the vector instructions of a tape: of its loops, and of what is between them. Those in `final` are left out."""
    tape, at = places.tape, 0
    reads = read_by(tape) if loops else (np.zeros(1), np.zeros(0))
    for loop in loops:
        by_levels(places, [(tape.first + k, *tape.instructions[k]) for k in range(at, loop.start) if k not in final])
        Steps(places, loop, reads, one_step)
        at = loop.end
    rest = [k for k in range(at, len(tape.instructions)) if k not in final]
    chosen = [levels[k] for k in rest] if levels else None
    by_levels(places, [(tape.first + k, *tape.instructions[k]) for k in rest], chosen)


def one_step(places: Places, instructions: Sequence[tuple[int, Primitive, Slots]], wanted: Sequence[int]) -> None:
    """Add the vector instructions of a step, which may have loops inside; `wanted` are the results that are read elsewhere."""
    tape, sources = part_of(places.tape, instructions, wanted)
    tape, loops = rolled(tape)
    if not loops:
        by_levels(places, instructions)
        return
    inner = places.inside(tape, sources, bool(places.varies[wanted[0]]))
    in_order(inner, loops)
    places.leave(inner, wanted)


def part_of(tape: Tape, instructions: Sequence[tuple[int, Primitive, Slots]], wanted: Sequence[int]) -> tuple[Tape, list[int]]:
    """Some instructions (result, primitive, operands) as a tape of their own, and the outer slots of its first slots."""
    constants = range(tape.inputs + tape.leaves, tape.first)
    own = {out for out, _, _ in instructions}
    read = {x for _, _, operands in instructions for x in operands}
    inputs = sorted(read.difference(own, constants))
    to = {slot: i for i, slot in enumerate([*inputs, *constants, *[out for out, _, _ in instructions]])}
    code = [(rule, tuple([to[x] for x in operands])) for _, rule, operands in instructions]
    return Tape(len(inputs), 0, tape.constants, code, [to[out] for out in wanted]), [*inputs, *constants]


def find_varying(places: Places, loops: Sequence[Loop]) -> None:
    """Find which slots vary from sample to sample; in a loop, they are the same in every step."""
    tape = places.tape
    varies = [f.varying for f in places.fields for _ in range(f.width)] + [False] * (tape.first - tape.inputs)
    varies_at = varies.__getitem__
    at = 0
    for loop in loops:
        for _, operands in tape.instructions[at : loop.start]:
            varies.append(any(map(varies_at, operands)))
        varies += loop.varying(tape, varies) * loop.steps
        at = loop.end
    for _, operands in tape.instructions[at:] if loops else tape.instructions:
        varies.append(varies_at(operands[0]) or any(map(varies_at, operands[1:])))
    places.varies[:] = varies


def read_by(tape: Tape) -> tuple[Array, Array]:
    """Where the operands of each instruction begin in the list of all operands, and that list, followed by the outputs."""
    starts, listed = tape.operands()
    return starts, np.append(listed, np.array(tape.outputs, np.int64))


def by_levels(
    places: Places, instructions: Sequence[tuple[int, Primitive, Slots]], levels: Sequence[int] | None = None
) -> None:
    """Add vector instructions for some instructions (result, primitive, operands), level by level, shared results first.

    If no `levels` are given, they are the earliest.
    """
    groups: dict[tuple[bool, int, Primitive, int], list[tuple[int, Slots]]] = {}
    varies = places.varies[[out for out, _, _ in instructions]].tolist()
    for (out, rule, operands), rows, level in zip(instructions, varies, levels or earliest(instructions), strict=True):
        groups.setdefault((rows, level, rule, len(operands)), []).append((out, operands))
    for key in sorted(groups, key=lambda key: key[:2]):  # the sort is stable: within a level in the order of the tape
        vectorise(places, key[2], np.array([out for out, _ in groups[key]], np.int64), table([xs for _, xs in groups[key]]))


def vectorise(places: Places, rule: Primitive, out: Array, operands: Array) -> None:
    """Add vector instructions for instructions of one primitive, one number of operands and one level."""
    if rule is DOT:
        half = operands.shape[1] // 2
        dots(places, out, operands[:, :half], operands[:, half:-1], operands[:, -1])
    elif rule is TAKE:
        many(places, rule, out, operands[:, 1:], operands[:, 0])
    elif rule.variadic:
        many(places, rule, out, operands, None)
    else:
        elementwise(places, rule, out, operands)


def elementwise(places: Places, rule: Primitive, out: Array, operands: Array) -> None:
    """Those of a primitive with a fixed number of operands, separately by which operands vary."""
    if len(out) == 1:
        elementwise_of_one_kind(places, rule, out, operands)
        return
    for part in split(places.varies[operands]):
        elementwise_of_one_kind(places, rule, out[part], operands[part])


def elementwise_of_one_kind(places: Places, rule: Primitive, out: Array, operands: Array, whole: bool = False) -> None:
    """Those whose operands lie in the same spaces; split by the vectors that they read, if only that makes views."""
    positions = places.where[operands]
    spaces = [SPACES[v] for v in places.varies[operands[0]].tolist()]
    if len(out) == 1:
        alone = [Operand(space, at, (0,)) for space, at in zip(spaces, positions[0].tolist(), strict=True)]
        places.add(rule, (1,), 0, alone, out)
        return
    order = sorted_by(positions)
    shape, views = fitted([(s, p) for s, p in zip(spaces, positions[order].T, strict=True)])
    if not whole and any(o.strides is None for o in views):
        parts = split(places.owner[operands])
        if 1 < len(parts) <= max(4, len(out) // 64):
            for part in parts:
                elementwise_of_one_kind(places, rule, out[part], operands[part], whole=True)
            return
    places.add(rule, shape, 0, views, out[order])


def many(places: Places, rule: Primitive, out: Array, xs: Array, index: Array | None) -> None:
    """Sums, lookups and other primitives with any number of operands."""
    terms = xs.shape[1]
    mixed = places.varies[xs]
    kinds = np.stack([mixed.any(axis=1), mixed.all(axis=1)], axis=1)
    if index is not None:
        kinds = np.concatenate([kinds, places.varies[index][:, None]], axis=1)
    for part in split(kinds):
        space, positions = places.placed(xs[part])
        columns = [(space, positions)]
        keys = [positions[:, 0]]
        if index is not None:
            i_space, i_positions = places.placed(index[part])
            columns.insert(0, (i_space, i_positions))
            keys.insert(0, i_positions)
        order = np.lexsort(keys)
        shape, views = with_terms([(s, p[order]) for s, p in columns], terms)
        places.add(rule, shape, terms, views, out[part][order])


def dots(places: Places, out: Array, xs: Array, ys: Array, start: Array) -> None:
    """Dot products, separately by the spaces of their operands."""
    mixed_x, mixed_y = (v.any(axis=1) * 1 + v.all(axis=1) for v in (places.varies[xs], places.varies[ys]))
    swap = (mixed_y == 0) & (mixed_x > 0)  # numbers that all samples share stand on the left
    xs, ys = np.where(swap[:, None], ys, xs), np.where(swap[:, None], xs, ys)
    mixed_x, mixed_y = np.where(swap, mixed_y, mixed_x), np.where(swap, mixed_x, mixed_y)
    for part in split(np.stack([mixed_x, mixed_y, places.varies[start]], axis=1)):
        dots_of_one_kind(places, out[part], xs[part], ys[part], start[part])


def dots_of_one_kind(places: Places, out: Array, xs: Array, ys: Array, start: Array) -> None:
    """Dot products whose operands lie in the same spaces: as products of matrices where they form whole grids."""
    (x_space, x), (y_space, y) = places.placed(xs), places.placed(ys)
    s_space, s = places.placed(start)
    terms = x.shape[1]
    if len(out) == 1:
        shape, fits = with_terms([(x_space, x), (y_space, y), (s_space, s)], terms)
        places.add(DOT, shape, terms, fits, out)
        return
    x_id, x_of = distinct(x)
    y_id, y_of = distinct(y)
    grids, loose = grids_of(x_id, y_id)
    if len(loose) and (stars := stars_of(x_id, y_id, loose)):
        loose = loose[:0]
        for g in stars:
            grids.setdefault(g.shape, []).append(g)

    def operands_of(at: Array) -> list[Operand]:
        return [operand_of(x_space, x[at[:, :, :1]]), operand_of(y_space, y[at[:, :1, :]]), operand_of(s_space, s[at])]

    def gathers(at: Array) -> bool:
        return any(o.strides is None for o in operands_of(at))

    alike: dict[Any, list[Array]] = {}  # grids of one size between the same vectors, such as the heads of an attention
    for size, found in grids.items():
        for g in found:
            owners = (places.owner[xs[g[0, 0], 0]], places.owner[ys[g[0, 0], 0]])
            alike.setdefault((size, *owners), []).append(g)
    for found in alike.values():
        at = np.stack([sorted_grid(g, x[x_of[x_id[g[:, 0]]]], y[y_of[y_id[g[0]]]]) for g in found])
        at = at[np.argsort(x[at[:, 0, 0]][:, 0], kind="stable")]  # (grids, m, n) instructions
        batches = [at]
        if 1 < len(at) <= 8 and gathers(at):
            single = [at[i : i + 1] for i in range(len(at))]
            batches = batches if any(map(gathers, single)) else single
        for batch in batches:
            shape, views = squeezed(batch.shape, terms, operands_of(batch))
            places.add(DOT, shape, terms, views, out[batch.ravel()])
    if len(loose):
        order = loose[np.lexsort([y[loose, 0], x[loose, 0]])]
        shape, fits = with_terms([(x_space, x[order]), (y_space, y[order]), (s_space, s[order])], terms)
        places.add(DOT, shape, terms, fits, out[order])
