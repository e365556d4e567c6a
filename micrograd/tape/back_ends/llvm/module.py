"""The module of a plan: decides what becomes a loop nest and what straight-line code, in functions of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from micrograd.tape.back_ends.llvm import one_sample
from micrograd.tape.back_ends.llvm.arrays import (
    Rows,
    write_clear,
    write_columns,
    write_filled,
    write_finish,
    write_fixed,
    write_look_at_rows,
    write_no_tail,
    write_rows,
    write_rows_out,
    write_same,
    write_single_rows,
)
from micrograd.tape.back_ends.llvm.driver import preamble, write_driver
from micrograd.tape.back_ends.llvm.function import Function, declared, lanes_function
from micrograd.tape.back_ends.llvm.fused import fusing_pays, write_fused
from micrograd.tape.back_ends.llvm.loops import WRITERS, write_elementwise, write_total
from micrograd.tape.back_ends.llvm.nans import write_look_at_sums
from micrograd.tape.back_ends.llvm.operands import Kernel, KernelLoop, View
from micrograd.tape.back_ends.llvm.plan import Plan
from micrograd.tape.back_ends.llvm.recurrences import vectors_in_loop, write_loop, write_steps
from micrograd.tape.back_ends.llvm.straight import Operation, depth_first, operations, write_straight, write_whole
from micrograd.tape.back_ends.llvm.target import ROWS, THETA_AT, Target
from micrograd.tape.back_ends.llvm.terms import many_terms, write_terms

Array = np.ndarray[Any, Any]
LONGEST = 200  # the most operations in one function: LLVM's time is quadratic in the length of a block
WHOLE = 400  # up to so many operations, one function reads the arguments, does all the work, and writes the results
LOOPED = 64  # an instruction of so many operations becomes a loop, one of fewer becomes straight-line code
CROWDED = 150_000  # beyond so many operations in straight-line code, only those of fewer than SHORTEST go there
SHORTEST = 8


def functions(
    work: Sequence[Kernel | KernelLoop], wanted: Iterable[tuple[str, int]], t: Target, prefix: str, stepped: bool = False
) -> list[Function]:
    """The work as functions of bounded size: loops for long instructions, straight-line code for those between them.

    `wanted` are the slots whose numbers are read elsewhere. With `stepped`, the functions get the number of a step of a loop.
    """
    small = sum(it.work for it in work if it.work < LOOPED)
    looped = LOOPED if small <= CROWDED else SHORTEST
    pieces: list[list[Operation] | Kernel | KernelLoop] = []
    straight: list[Operation] = []

    def cut() -> None:
        piece: list[Operation] = []
        cost = 0
        makers = {one.out: one for one in straight}
        used = {arg for one in straight for arg in one.args if arg in makers}
        for one in depth_first(makers, [out for out in makers if out not in used], set()):
            piece.append(one)
            cost += one.cost
            if cost >= LONGEST:
                pieces.append(piece)
                piece, cost = [], 0
        if piece:
            pieces.append(piece)
        straight.clear()

    for it in work:
        if isinstance(it, KernelLoop) or not short(it, looped):
            cut()
            pieces.append(it)
        else:
            straight.extend(operations(it))
    cut()
    outside, home = set(wanted), dict[tuple[str, int], int]()
    made = made_by(work) if any(not isinstance(piece, list) for piece in pieces) else {}
    for n, piece in enumerate(pieces):
        if not isinstance(piece, list):
            if isinstance(piece, KernelLoop):  # it takes care itself of what it reads from inside
                own = made_by([piece])
                home.update(((place, slot), n) for place, flags in own.items() for slot in np.flatnonzero(flags).tolist())
            outside.update(arg for arg in read_by(piece, made) if home.get(arg, n) != n)
            continue
        for one in piece:
            outside.update(arg for arg in one.args if isinstance(arg, tuple) and home.get(arg, n) != n)
            home[one.out] = n
    found = list[Function]()
    for n, piece in enumerate(pieces):
        f = Function(f"{prefix}{n}", t, stepped=stepped)
        wide: Callable[[Function, Kernel], None] | None = None
        if isinstance(piece, Kernel) and t.lanes == 1:
            wide = write_terms if many_terms(piece, t) else one_sample.writer(piece, t.wider.lanes)
        if isinstance(piece, KernelLoop):
            write_one_loop(f, piece, outside)
        elif isinstance(piece, Kernel) and wide:
            f.target = t.wider
            wide(f, piece)
        elif isinstance(piece, Kernel):
            WRITERS.get(piece.name, write_elementwise)(f, piece)
        else:
            write_straight(f, piece, outside.__contains__)
        found.append(f)
    return found


def write_one_loop(f: Function, it: KernelLoop, outside: set[tuple[str, int]]) -> None:
    """A loop: if its values are few, with those of a step in registers, else with calls of functions for each step."""
    step, wider = [*it.arriving, *it.body], f.target.wider
    if f.target.lanes == 1 and fusing_pays(step, it.leaving, wider.lanes):
        f.parts = [Function(f"{f.name}.step", wider, stepped=True)]
        write_fused(f.parts[0], step, it.leaving, outside.__contains__)
        write_steps(f, it.steps)
        return
    kernels = in_registers(it)
    if kernels:
        write_loop(f, it, kernels, outside.__contains__)
        return
    made = made_by([it])
    wanted = {*outside, *(place for one in it.leaving for place in read_by(one, made))}
    moves: list[list[Function]] = []
    for name, copies in (("in", it.arriving), ("out", it.leaving)):
        moves.append([Function(f"{f.name}.{name}{i}", f.target, stepped=True) for i in range(len(copies))])
        for part, one in zip(moves[-1], copies, strict=True):
            write_elementwise(part, one)
    f.parts = [*moves[0], *functions(it.body, wanted, f.target, f"{f.name}.", stepped=True), *moves[1]]
    write_steps(f, it.steps)


def in_registers(it: KernelLoop) -> list[Kernel]:
    """The instructions of a step, if they are so few that their values stay in registers; else an empty list."""
    kernels = [one for one in it.body if isinstance(one, Kernel)]
    few = len(kernels) == len(it.body) and sum(one.work for one in kernels) <= LONGEST and all(map(short, kernels))
    return kernels if few else []


def least_vectors(plan: Plan) -> int:
    """How many vectors of samples a block should at least have, so that loops can work on several at a time."""
    loops = [in_registers(it) for it in plan.work if isinstance(it, KernelLoop)]
    return max([vectors_in_loop(sum(one.elements for one in kernels)) for kernels in loops if kernels], default=1)


def short(it: Kernel, looped: int = LOOPED) -> bool:
    """Whether an instruction becomes straight-line code and not a loop, as the user's own n-ary primitives always do."""
    own = it.terms and it.name not in WRITERS
    return bool(own) or (it.work < looped and it.name != "take")


def in_one(plan: Plan, t: Target) -> bool:
    """Whether there is so little work that one function can do it all, with numbers in registers from arguments to results."""
    across = sum(it.width * it.count for it in plan.inputs) + len(plan.shown)
    return (
        t.lanes > 1
        and not plan.sums
        and across <= WHOLE
        and sum(it.work for it in plan.work) <= WHOLE
        and all(isinstance(it, Kernel) and short(it) for it in plan.work)
    )


def made_by(work: Iterable[Kernel | KernelLoop]) -> dict[str, Array]:
    """For each place, flags of slots whose numbers may stay in registers: those that short instructions and loops write."""
    found: dict[str, list[int]] = {}

    def add(it: Kernel | KernelLoop, inside: bool) -> None:
        if isinstance(it, KernelLoop):
            for one in it.body:
                add(one, True)
        elif inside or short(it):
            found.setdefault(it.out.place, []).extend(it.out.listed(it.shape))

    for it in work:
        add(it, False)
    flags = {place: np.zeros(max(slots) + 1, bool) for place, slots in found.items()}
    for place, slots in found.items():
        flags[place][slots] = True
    return flags


def among(made: Mapping[str, Array], place: str, slots: Array) -> Iterator[tuple[str, int]]:
    """The slots of a place, among `slots`, that are flagged in `made`."""
    if place in made:
        flags = made[place]
        inside = slots[slots < len(flags)]
        yield from ((place, slot) for slot in inside[flags[inside]].tolist())


def read_by(it: Kernel | KernelLoop, made: Mapping[str, Array], steps: int = 1) -> Iterator[tuple[str, int]]:
    """Which of the slots that are flagged in `made` an instruction reads, in all of `steps` steps."""
    if isinstance(it, KernelLoop):
        for one in (*it.arriving, *it.body, *it.leaving):
            yield from read_by(one, made, it.steps)
        return
    for a in it.args:
        if a.value is None and a.place in made:
            slots = a.slots((*it.shape, it.terms)[: len(a.strides)])
            yield from among(made, a.place, (slots + a.step * np.arange(steps if a.step else 1)[:, None]).ravel())


def written(plan: Plan, t: Target) -> str:
    """A plan as one module of assembly, with the functions of `driver` as its entry points."""
    early = made_by(plan.before) if plan.work or plan.same else {}
    needed = [place for it in plan.work for place in read_by(it, early)]
    needed += [place for it in plan.same for place in among(early, it.slots.place, it.slots.slots((it.count,)))]
    before = functions(plan.before, needed, t.once, "before")
    arrive = list(plan.fixed)
    if plan.copies_leaves and plan.schedule.leaves:
        arrive.append(Rows(View(base=THETA_AT, strides=(0,)), View(strides=(0,)), plan.schedule.leaves, 1))
    for i, fixed in enumerate(arrive):
        before.insert(0, Function(f"fixed{i}", t.once))
        write_fixed(before[0], fixed)
    for i, same in enumerate(plan.same):
        before.append(Function(f"same{i}", t.once))
        write_same(before[-1], same)
    work = functions(plan.work, [(ROWS, at) for at in (*plan.read, *plan.shown)], t, "work")
    direct = plan.sums if plan.direct(t) else 0
    named: dict[str, Function] = {}

    wide = t.wider if t.lanes == 1 else t

    def function(name: str, write: Callable[..., None], *args: Any, t: Target = t) -> list[str]:
        f = named[name] = Function(name, t)
        write(f, *args)
        return [name]

    whole, part, first, last = list[str](), list[str](), list[str](), list[str]()
    for it in plan.inputs:
        whole += function(f"rows{it.width}", write_rows, it)
        part += function(f"row{it.width}", write_single_rows, it)
    both = [f.name for f in work]
    whole, part = whole + both, part + both
    if plan.sums:
        if t.block > 1 and plan.read:
            part += function("notail", write_no_tail, plan.tails)
        totals = []
        for i, total in enumerate(part for it in plan.totals for part in (one_sample.parts(it) if t.lanes == 1 else [it])):
            if t.lanes == 1 and one_sample.side_by_side(total.out, total.shape, wide.lanes):
                totals.append(function(f"total{i}", one_sample.write_total, total, direct, t=wide))
            else:
                totals.append(function(f"total{i}", write_total, total, direct))
        both = [name for names in totals for name in names]
        whole, part = whole + both, part + both
        if plan.refilled and t.block > 1:
            part += function("refill", write_filled, *plan.refilled)
        if not direct:
            first = function("clear", write_clear, plan.sums * t.lanes)
            last = function("finish", one_sample.write_finish if t.lanes == 1 else write_finish, plan.sums, t=wide)
        if t.telling:
            last = [*last, *function("nans", write_look_at_sums, plan.sums, t=wide)]
    if plan.columns:
        whole += function("columns", write_columns, plan.columns, False)
        part += function("column", write_columns, plan.columns, True)
    for grouped in plan.grouped:
        whole += function(f"grouped{grouped.width}", write_rows_out, grouped, False)
        part += function(f"group{grouped.width}", write_rows_out, grouped, True)
    if t.telling and (plan.columns or plan.grouped):
        whole += [] if in_one(plan, t) else function("nans", write_look_at_rows, plan.columns, plan.grouped, False)
        part += function("partnans", write_look_at_rows, plan.columns, plan.grouped, True)
    if in_one(plan, t):
        every_one = [one for it in plan.work if isinstance(it, Kernel) for one in operations(it)]
        whole = function("whole", write_whole, plan.inputs, every_one, plan.columns, plan.grouped)
    driver = write_driver(t, [f.name for f in before], whole, part, first, last)
    every = [*before, *work, *named.values()]
    for f in every:
        every += f.parts  # the loop goes on through these, and their own parts
    lanes = [lanes_function(wide, *one) for one in sorted(set().union(*(f.by_lanes for f in every)))]
    code = "\n".join([*lanes, *(f.text() for f in every), driver])
    return "\n".join([preamble(wide), *declared(code), code])
