"""Loops over the steps of a recurrence, with the values of a step in registers, or with calls of functions for each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from micrograd.tape.back_ends.llvm.function import Function
from micrograd.tape.back_ends.llvm.loops import loop, over_samples, vectors_at_once
from micrograd.tape.back_ends.llvm.operands import Index, Kernel, KernelLoop, View
from micrograd.tape.back_ends.llvm.straight import Held, depth_first, operations
from micrograd.tape.back_ends.llvm.target import PARAMETERS

Place = tuple[str, int, int]  # a place, a slot there, and how far it moves from one step to the next
Copy = tuple[Place, Place]  # target and source
HOISTED = 12  # if all steps share no more numbers than this, these stay in registers


def write_loop(f: Function, it: KernelLoop, body: Sequence[Kernel], wanted: Callable[[tuple[str, int]], bool]) -> None:
    """Write a loop that makes all steps for some vectors of samples, with values that are carried over in registers.

    Results of the last step that are `wanted` elsewhere are stored.
    """
    work = [one for kernel in body for one in operations(kernel)]
    arriving = [pair for kernel in it.arriving for pair in copied(kernel)]  # (to, from)
    leaving = [pair for kernel in it.leaving for pair in copied(kernel)]
    kept = [(to, source) for to, source in leaving if to[2]]
    carried = [((to[0], to[1]), (source[0], source[1])) for to, source in leaving if not to[2]]
    begins = [to for to, _ in carried]  # where the values that are carried into the first step lie
    if f.target.lanes == 1:
        for (place, slot, step), source, to in two_steps_back(arriving, kept):
            arriving.remove((to, (place, slot, step)))
            between = (f"{place} between", slot)
            carried += [(between, source[:2]), (to[:2], between)]
            begins += [(place, slot + step), (place, slot)]
    makers = {one.out: one for one in work}
    local = {*makers, *((place, slot) for (place, slot, _), _ in arriving), *(to for to, _ in carried)}
    fixed = list(dict.fromkeys(a for one in work for a in one.args if isinstance(a, tuple) and a not in local))
    roots = [*((place, slot) for _, (place, slot, _) in kept), *(source for _, source in carried)]
    last = [one.out for one in work if wanted(one.out)]
    roots += last
    order = depth_first(makers, roots, set())

    def samples(places: list[Index]) -> None:
        outer = [Held(f, s) for s in places]
        if len(fixed) <= HOISTED:
            for held in outer:
                for arg in fixed:
                    held.fetch(arg)
        first = [(f.target.vector, held.fetch(begin)) for held in outer for begin in begins]
        with loop(f, it.steps, 1, first) as (t, values, results):
            inner = []
            for i, (s, around) in enumerate(zip(places, outer, strict=True)):
                held = Held(f, s)
                held.values = dict(around.values)
                held.values.update(zip([to for to, _ in carried], values[i * len(carried) :], strict=False))
                for (place, slot, _), source in arriving:
                    held.arrive[place, slot] = partial(arrive, held, (place, slot), source, t)
                inner.append(held)
            for one in order:
                for held in inner:
                    held.spell(one)
            for held in inner:
                for (place, slot, step), result in kept:
                    f.store(View(place), t * step + slot, held.s, held.fetch(result[:2]))
            results[:] = [held.fetch(source) for held in inner for _, source in carried]
        for held in inner:  # after the last step
            for place, slot in last:
                f.store(View(place), Index((), slot), held.s, held.values[place, slot])

    def arrive(held: Held, to: tuple[str, int], source: tuple[str, int, int], t: Index) -> None:
        place, slot, step = source
        held.values[to] = f.load(View(place), t * step + slot, held.s)

    over_samples(f, vectors_at_once(f, vectors_in_loop(len(work))), samples)


def two_steps_back(arriving: Sequence[Copy], kept: Sequence[Copy]) -> list[tuple[Place, Place, Place]]:
    """What a step reads that was computed two steps before: where it begins, the result, and where a step expects it.

    Memory would hand it on later than the next step could begin.
    """
    written = dict(kept)
    behind = [((place, slot + 2 * step, step), (place, slot, step), to) for to, (place, slot, step) in arriving if step]
    return [(begin, written[later], to) for later, begin, to in behind if later in written]


def vectors_in_loop(operations: int) -> int:
    """How many vectors of samples a loop of so many operations should work on at once, since each step waits for the last."""
    return 4 if operations <= 24 else 2 if operations <= 80 else 1


def copied(it: Kernel) -> list[Copy]:
    """The copies of a kernel one by one, as pairs of (place, slot, step): target and source."""
    (source,) = it.args
    return [
        ((it.out.place, it.out.slot((i,)), it.out.step), (source.place, source.slot((i,)), source.step))
        for i in range(it.elements)
    ]


def write_steps(f: Function, steps: int) -> None:
    """Write a loop that calls its parts, one after the other, in each step."""
    arguments = ", ".join(f"ptr %{a}" for a in PARAMETERS)
    with loop(f, steps, 1, []) as (t, _, _):
        for part in f.parts:
            f.do(f"call void @{part.name}({arguments}, i64 %first, i64 %count, i64 {t.terms[0][0]})")
