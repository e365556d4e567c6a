"""A step of a loop, for one sample, whose instructions work on neighbours: vectors of elements stay in registers.

The cells of a bar or the units of a layer are elements of vector instructions. Instruction by instruction, each would be read
from memory and written back there. Here a vector of neighbours goes from one instruction to the next in a register. It is
stored only if it is read in another arrangement, or outside the step. Every element is computed by the same operations in
the same order as alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeGuard

import numpy as np

from micrograd.tape.back_ends.llvm.function import Function
from micrograd.tape.back_ends.llvm.one_sample import loaded, put
from micrograd.tape.back_ends.llvm.operands import Index, Kernel, KernelLoop, View
from micrograd.tape.back_ends.llvm.spellings import spell

Array = np.ndarray[Any, Any]
Slots = tuple[int, ...]
LONGEST = 400  # the most operations on vectors in one function
TERMS = 8  # the most terms of a sum, all of which are written out
# fewer elements than this are computed one by one, with the functions of the library for one number, as the interpreter does
FEW = 4


def slots_of(arg: View, it: Kernel) -> Array:
    """The slots of an operand: a row for each element, with one slot or with one for each term."""
    return arg.every((*it.shape, it.terms)).reshape(it.elements, -1)


def vectors(it: Kernel, lanes: int) -> Iterator[tuple[int, int]]:
    """For each vector of elements, the first one and how many there are."""
    return ((k, min(lanes, it.elements - k)) for k in range(0, it.elements, lanes))


def apart(slots: Array, lanes: int) -> bool:
    """Whether numbers have to be fetched one by one, because they do not all lie within one vector."""
    return bool(np.ptp(slots) >= lanes)


def fusing_pays(step: Sequence[Kernel | KernelLoop], leaving: Sequence[Kernel], lanes: int) -> TypeGuard[Sequence[Kernel]]:
    """Whether a step can be done by vectors of elements, and this is better than number by number."""
    alone = fused = 0
    for it in (*step, *leaving):
        if isinstance(it, KernelLoop) or it.terms > (TERMS if it.name in ("sum", "dot") else 0):
            return False
        out = slots_of(it.out, it)[:, 0]
        if not np.array_equal(out, out[0] + np.arange(len(out))):
            return False
        alone += it.work
        fused += -(-it.elements // lanes) * max(1, it.terms)
        for slots in (slots_of(arg, it) for arg in it.args if arg.value is None):
            for k, count in vectors(it, lanes):
                fused += sum(7 * apart(column, lanes) for column in slots[k : k + count].T)
    return fused <= LONGEST and 2 * fused < alone


class Registers:
    """The vectors that a step has in registers, by their slots. They stay valid: no slot is written twice in a step."""

    def __init__(self, f: Function):
        self.f = f
        self.known: dict[tuple[str, Slots, int], str] = {}

    def fetch(self, place: str, slots: Array, step: int) -> str:
        """A vector with the numbers of some slots, which move by `step` from one step to the next."""
        key = (place, tuple(slots.tolist()), step)
        if key not in self.known:
            self.known[key] = self.gathered(place, slots, step)
        return self.known[key]

    def gathered(self, place: str, slots: Array, step: int) -> str:
        f, t = self.f, self.f.target
        moved = Index((("%t", step * t.size),)) if step else Index()

        def address(slot: int) -> str:
            return f.address(place, moved + slot * t.size)

        low, count = int(slots.min()), len(slots)
        reach = int(slots.max()) - low + 1
        if reach == 1:
            return f.splat(f.new(f"load {t.real}, ptr {address(low)}, align {t.size}"))
        if reach <= t.lanes:
            value = loaded(f, address(low), reach)
            lanes = [*(slots - low).tolist(), *range(count, t.lanes)]
            return value if lanes == list(range(t.lanes)) else f.shuffle(value, "poison", t.lanes, lanes)
        value = "poison"
        for k, slot in enumerate(slots.tolist()):
            one = f.new(f"load {t.real}, ptr {address(slot)}, align {t.size}")
            value = f.new(f"insertelement {t.vector} {value}, {t.real} {one}, i64 {k}")
        return value

    def keep(self, place: str, slots: Array, step: int, value: str) -> None:
        """Remember a vector for the slots that it has been computed for."""
        self.known[place, tuple(slots.tolist()), step] = value

    def store(self, place: str, first: int, step: int, value: str, count: int) -> None:
        t = self.f.target
        at = Index((("%t", step * t.size),)) if step else Index()
        put(self.f, self.f.address(place, at + first * t.size), value, count)


def spelled(f: Function, it: Kernel, fetch: Callable[[View], str], count: int) -> str:
    """A vector of so many elements of an instruction, each computed as a number."""
    wide, out = f.target, f.number(0.0)
    vectors = [None if arg.value is not None else fetch(arg) for arg in it.args]
    for k in range(count):
        parts = [x and f.new(f"extractelement {wide.vector} {x}, i64 {k}") for x in vectors]
        f.target = wide.once
        numbers = [
            f.number(arg.value) if arg.value is not None else str(part) for arg, part in zip(it.args, parts, strict=True)
        ]
        value = spell(f, it.name, *numbers)
        f.target = wide
        out = f.new(f"insertelement {wide.vector} {out}, {wide.real} {value}, i64 {k}")
    return out


def write_fused(
    f: Function, step: Sequence[Kernel], leaving: Sequence[Kernel], wanted: Callable[[tuple[str, int]], bool]
) -> None:
    """Write the instructions of one step, then the copies at its end.

    A vector is stored if it has a place of its own for each step, if one of its slots is `wanted`, or if one is read in another
    arrangement than it was computed in.
    """
    n, held = f.target.lanes, Registers(f)
    whole, scattered = set[tuple[str, Slots]](), set[tuple[str, int]]()
    for it in step:
        out = slots_of(it.out, it)[:, 0]
        whole.update((it.out.place, tuple(out[k : k + count].tolist())) for k, count in vectors(it, n))
    for it in (*step, *leaving):
        for arg in it.args:
            if arg.value is not None or arg.step:
                continue
            slots = slots_of(arg, it)
            for k, count in vectors(it, n):
                for column in slots[k : k + count].T:
                    key = (arg.place, tuple(column.tolist()))
                    if key not in whole:
                        scattered.update((arg.place, slot) for slot in key[1])

    def value_of(it: Kernel, k: int, count: int) -> str:
        def fetch(arg: View, term: int = 0) -> str:
            if arg.value is not None:
                return f.number(arg.value)
            slots = slots_of(arg, it)
            return held.fetch(arg.place, slots[k : k + count, term], arg.step)

        if not it.terms:
            one_by_one = it.elements < FEW and not f.target.exact
            return spelled(f, it, fetch, count) if one_by_one else spell(f, it.name, *[fetch(arg) for arg in it.args])
        dotted = it.name == "dot"
        total = fetch(it.args[2]) if dotted else f.number(-0.0)
        for j in range(it.terms):
            x = fetch(it.args[0], j)
            total = f.multiply_add(x, fetch(it.args[1], j), total) if dotted else f.two("fadd", total, x)
        return total

    for it in (*step, *leaving):
        place, out = it.out.place, slots_of(it.out, it)[:, 0]
        for k, count in vectors(it, n):
            slots, value = out[k : k + count], value_of(it, k, count)
            if it.out.step or any((place, slot) in scattered or wanted((place, slot)) for slot in slots.tolist()):
                held.store(place, int(slots[0]), it.out.step, value, count)
            held.keep(place, slots, it.out.step, value)
