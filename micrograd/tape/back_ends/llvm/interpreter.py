"""The interpreter: it runs a tape instruction by instruction, so that nothing has to be scheduled or compiled before.

It is compiled code too, but the same for all tapes: what it does stands in a table (bytecode.py). Its vectors have as many
lanes as those of compiled code, and every primitive is spelled in the same way, so that results have the same bits. A slot of
the tape is a vector of samples in `rows`, or a number in `shared`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from micrograd.primitives import RULES
from micrograd.tape.back_ends import LONG
from micrograd.tape.back_ends.llvm import machine
from micrograd.tape.back_ends.llvm.arrays import count_of
from micrograd.tape.back_ends.llvm.code import QUICK, Code, compiled
from micrograd.tape.back_ends.llvm.driver import entries as entry_points
from micrograd.tape.back_ends.llvm.driver import preamble
from micrograd.tape.back_ends.llvm.function import Function, declared, lanes_function
from micrograd.tape.back_ends.llvm.loops import loop, loop_that_may_be_empty
from micrograd.tape.back_ends.llvm.nans import write_told
from micrograd.tape.back_ends.llvm.operands import Index
from micrograd.tape.back_ends.llvm.spellings import OF_LARGEST, SPELLINGS, from_library, larger, spell
from micrograd.tape.back_ends.llvm.target import CHUNK, DATA, DIVISOR, OUT, ROWS, SHARED, Target
from micrograd.tape.back_ends.llvm.terms import VECTORS, in_pairs

PLAIN = ("add", "sub", "mul", "div", "neg", "relu", "step", "sum", "dot")  # the primitives that every interpreter knows
FEW_INTERPRETERS = 4  # so many interpreters of one kind know only the primitives that were needed; the next one knows all
BEHIND = 4  # how many integers every instruction has; those of more operands follow
# the entries at the beginning of the table: where each part of it begins, and how many entries it has unless an end is marked
FIXED, FIXED_COUNT, ONCE, SPREAD, SPREAD_COUNT, VARYING, VARYING_COUNT, WORK = range(8)
TOTALS, TOTAL_COUNT, RESULTS, RESULT_COUNT, HEAD = range(8, 13)
_texts: dict[Any, list[tuple[set[str], bool, str]]] = {}  # those made, by kind: the primitives, with `shares` or not, the text


@cache
def known(real: str, exact: bool) -> tuple[str, ...]:
    """The names of all primitives that an interpreter can know, in the order of their codes."""
    lacking = {rule.name for rule in machine.lacking(real, exact)}
    found = [name for name, rule in RULES.items() if name in (*SPELLINGS, *OF_LARGEST) or from_library(rule)]
    return (*PLAIN, *[name for name in found if name not in (*PLAIN, *lacking)])


def interpreter(names: Iterable[str], t: Target, shares: bool, reduce: bool) -> Code:
    """An interpreter for these primitives, or more; with `shares`, it also runs what is computed once for all samples."""
    found = _texts.setdefault((t.lanes, t.real, t.exact, t.by_tape, reduce), [])
    fits = (text for known_ones, shared, text in found if known_ones.issuperset(names) and shared >= shares)
    text = next(fits, None)
    if text is None:
        every = known(t.real, t.exact)
        wanted = {*PLAIN, *names} if len(found) < FEW_INTERPRETERS else {*every}
        text = written([name if name in wanted else None for name in every], t, shares, reduce)
        found.append((wanted, shares, text))
    return compiled(text, QUICK)


def written(names: Sequence[str | None], t: Target, shares: bool, reduce: bool) -> str:
    """The text of the interpreter for these primitives; the code of each is its place in `names`.

    All is one function, and there are few calls in it: for each call, and for more than six arguments, LLVM leaves its quick
    way of choosing instructions.
    """
    f = Function("run", t)
    for i, name in enumerate((ROWS, SHARED, "totals", "tables")):
        f.do(f"%{name} = load ptr, ptr {f.new(f'getelementptr ptr, ptr %frame, i64 {i}')}, align 8")
    if t.by_tape and (shares or t.lanes == 1):
        f.do(f"%parts = alloca [{VECTORS} x {t.wider.vector}], align 64")
    if reduce and t.lanes > 1:
        f.do(f"%before = alloca {t.vector}, align 64")
    f.do("%end = add i64 %first, %count")
    f.do(f"br i1 {f.new('icmp ne i64 %prepare, 0')}, label %once, label %begin")
    f.start("once")
    f.target = t.once
    write_copies(f)
    if shares:
        write_instructions(f, names, SHARED, ONCE, "once.")
    write_spread(f, t.lanes)
    f.do("br label %begin")
    f.start("begin")
    f.do("br label %chunks")
    f.start("chunks")
    chunks = len(f.lines)
    f.do(f"br i1 {f.new('icmp ult i64 %chunk, %end')}, label %some, label %done")
    f.start("some")
    f.do(f"%stop = {smaller(f, f.new(f'add i64 %chunk, {CHUNK}'), '%end')}")
    f.target = t
    if reduce:
        write_clear(f, t.lanes)
    before = f.block
    f.do("br label %block")
    f.start("block")
    block = len(f.lines)
    count = f.new(smaller(f, f.new("sub i64 %stop, %sample"), str(t.lanes))) if t.lanes > 1 else "1"
    write_arguments(f, count)
    write_instructions(f, names, ROWS, WORK, "work.")
    if reduce:
        write_totals(f, count)
    else:
        write_results(f, count)
    f.do(f"%following = add i64 %sample, {count}")
    f.do(f"br i1 {f.new('icmp ult i64 %following, %stop')}, label %block, label %last")
    f.lines.insert(block, f"  %sample = phi i64 [ %chunk, %{before} ], [ %following, %{f.block} ]")
    f.start("last")
    f.target = t.once
    if reduce:
        write_finish(f, t.lanes)
    f.do("br label %chunks")
    f.lines.insert(chunks, f"  %chunk = phi i64 [ %first, %begin ], [ %stop, %{f.block} ]")
    f.start("done")
    begin = f"define void @run(ptr %frame, i64 %first, i64 %count, i64 %prepare) {t.attributes} {{"
    lanes = [lane_by_lane(t.wider, *one) for one in sorted(f.by_lanes)]
    code = "\n".join([*lanes, begin, "entry:", *f.lines, "  ret void", "}", entry_points()])
    return "\n".join([preamble(t), *declared(code), code])


def lane_by_lane(t: Target, name: str, arguments: int) -> str:
    """The function `lanes.name`, where the library has none for vectors as a loop: LLVM needs half as long for it."""
    if any(known_one == name and lanes > 1 for known_one, lanes in t.library):
        return lanes_function(t, name, arguments)
    f, places = Function("", t), [f"%p{i}" for i in range(arguments)]
    for i, place in enumerate(places):
        f.do(f"{place} = alloca {t.vector}, align 64")
        f.do(f"store {t.vector} %a{i}, ptr {place}, align 64")
    with loop(f, t.lanes, 1, []) as (k, _, _):
        lanes = [number_at(f, place, k.terms[0][0]) for place in places]
        numbers = [f"{t.real} {f.new(f'load {t.real}, ptr {lane}, align {t.size}')}" for lane in lanes]
        one = f.new(f"call {t.real} {t.library[name, 1]}({', '.join(numbers)})")
        f.do(f"store {t.real} {one}, ptr {lanes[0]}, align {t.size}")
    out = f.new(f"load {t.vector}, ptr %p0, align 64")
    parameters = ", ".join(f"{t.vector} %a{i}" for i in range(arguments))
    lines = [f"define internal {t.vector} @lanes.{name}({parameters}) noinline {t.attributes} {{", "entry:", *f.lines]
    return "\n".join([*lines, f"  ret {t.vector} {out}", "}"])


def word(f: Function, at: str, further: int = 0) -> str:
    """The entry of the table at an address, or so many entries further."""
    place = f.new(f"getelementptr i64, ptr {at}, i64 {further}") if further else at
    return f.new(f"load i64, ptr {place}, align 8")


def entry(f: Function, at: str, further: str) -> str:
    """The address of the entry so many entries further, given as a value."""
    return f.new(f"getelementptr i64, ptr {at}, i64 {further}")


def beginning(f: Function, part: int) -> str:
    """The address of the first entry of a part of the table."""
    return entry(f, "%tables", word(f, "%tables", part))


def place(f: Function, array: str, slot: str) -> str:
    """The address of a slot's numbers."""
    return f.new(f"getelementptr {f.target.vector}, ptr %{array}, i64 {slot}")


def fetch(f: Function, array: str, at: str, further: int = 0) -> str:
    """The numbers of the slot that an entry of the table names."""
    t = f.target
    return f.new(f"load {t.vector}, ptr {place(f, array, word(f, at, further))}, align {t.size}")


def smaller(f: Function, x: str, y: str) -> str:
    """The smaller one of two integers, as an expression."""
    return f"select i1 {f.new(f'icmp ult i64 {x}, {y}')}, i64 {x}, i64 {y}"


def index(name: str, by: int = 1) -> Index:
    return Index(((name, by),))


def write_instructions(f: Function, names: Sequence[str | None], array: str, part: int, mark: str) -> None:
    """Write the loop that runs the instructions of a part of the table; its labels begin with `mark`.

    An instruction is its code, and the slots of its result and of two operands; those of more operands follow.
    """
    t, first, before = f.target, beginning(f, part), f.block
    f.do(f"br label %{mark}next")
    f.start(f"{mark}next")
    slot, at = len(f.lines), f"%{mark}at"
    code = word(f, at)
    out, x, y = (place(f, array, word(f, at, i)) for i in (1, 2, 3))
    x, y = (f.new(f"load {t.vector}, ptr {operand}, align {t.size}") for operand in (x, y))
    cases = " ".join(f"i64 {i}, label %{mark}{name}" for i, name in enumerate(names) if name)
    f.do(f"switch i64 {code}, label %{mark}end [ {cases} ]")
    values, ends = [], []
    for name in filter(None, names):
        f.start(mark + name)
        f.addresses.append({})
        words = str(BEHIND)
        if name in ("sum", "dot", *OF_LARGEST):
            many = word(f, at, BEHIND)
            value = n_ary(f, name, array, entry(f, at, str(BEHIND + 1)), many)
            words = f.integer(index(many, 2) + BEHIND + 2 if name == "dot" else index(many) + BEHIND + 1)
        else:
            further = [fetch(f, array, at, BEHIND + i) for i in range(len(RULES[name].partials) - 2)]
            value = spell(f, name, *(x, y)[: len(RULES[name].partials)], *further)
            words = str(BEHIND + len(further))
        values.append(f"[ {value}, %{f.block} ]")
        ends.append(f"[ {words}, %{f.block} ]")
        f.do(f"br label %{mark}store")
        f.addresses.pop()
    f.start(f"{mark}store")
    value, words = f.new(f"phi {t.vector} {', '.join(values)}"), f.new(f"phi i64 {', '.join(ends)}")
    f.do(f"store {t.vector} {value}, ptr {out}, align {t.size}")
    f.do(f"%{mark}after = getelementptr i64, ptr {at}, i64 {words}")
    f.do(f"br label %{mark}next")
    f.lines.insert(slot, f"  {at} = phi ptr [ {first}, %{before} ], [ %{mark}after, %{mark}store ]")
    f.start(f"{mark}end")


def n_ary(f: Function, name: str, array: str, at: str, many: str) -> str:
    """Σ x, start + Σ x y, or a primitive that looks at its largest operand first."""
    if name in OF_LARGEST or not (f.target.by_tape and f.target.lanes == 1):
        return from_left(f, name, array, at, many)
    ways, ends, after = {f.label(): in_parts, f.label(): from_left}, list[str](), f.label()
    long = f.new(f"icmp uge i64 {many}, {LONG}")
    f.do(f"br i1 {long}, {', '.join(f'label %{label}' for label in ways)}")
    for label, way in ways.items():
        f.start(label)
        f.addresses.append({})
        value = way(f, name, array, at, many)
        ends.append(f"[ {value}, %{f.block} ]")
        f.addresses.pop()
        f.do(f"br label %{after}")
    f.start(after)
    return f.new(f"phi {f.target.vector} {', '.join(ends)}")


def in_parts(f: Function, name: str, array: str, at: str, many: str) -> str:
    """Σ x, or start + Σ x y, for one sample, added as in `terms`: term k goes to lane k of some vectors, round and round."""
    t, wide = f.target, f.target.wider
    numbers, second = VECTORS * wide.lanes, entry(f, at, many) if name == "dot" else ""
    f.do(f"call void @llvm.memset.p0.i64(ptr %parts, i8 0, i64 {numbers * t.size}, i1 false)")
    with loop(f, many, 1, []) as (k, _, _):
        i = k.terms[0][0]
        part = f.address("parts", index(f.new(f"and i64 {i}, {numbers - 1}"), t.size))
        total, x = f.new(f"load {t.real}, ptr {part}, align {t.size}"), fetch(f, array, entry(f, at, i))
        y = fetch(f, array, entry(f, second, i)) if second else ""
        total = f.multiply_add(x, y, total) if y else f.two("fadd", total, x)
        f.do(f"store {t.real} {total}, ptr {part}, align {t.size}")
    places = [f.address("parts", Index((), i * wide.lanes * t.size)) for i in range(VECTORS)]
    f.target = wide
    total = in_pairs(f, [f.new(f"load {wide.vector}, ptr {place}, align {t.size}") for place in places])
    f.target = t
    return f.two("fadd", fetch(f, array, entry(f, second, many)), total) if second else total


def from_left(f: Function, name: str, array: str, at: str, many: str) -> str:
    """Σ x, start + Σ x y, or a primitive that looks at its largest operand first, with terms added from left to right."""
    kind, first, second = f.target.vector, f.number(-0.0), ""
    if name in OF_LARGEST:
        row = OF_LARGEST[name]
        with loop(f, many, 1, [(kind, f.number(-math.inf))]) as (k, (top,), out):
            out[0] = larger(f, top, row.size(f, fetch(f, array, entry(f, at, k.terms[0][0]))))
        shift = row.begin(f, out[0])
        with loop(f, many, 1, [(kind, f.number(0.0))] * row.sums) as (k, sums, out):
            terms = row.terms(f, fetch(f, array, entry(f, at, k.terms[0][0])), shift)
            out[:] = [f.two("fadd", total, term) for total, term in zip(sums, terms, strict=True)]
        return row.end(f, shift, out)
    if name == "dot":
        second = entry(f, at, many)
        first = fetch(f, array, entry(f, second, many))
    with loop(f, many, 1, [(kind, first)]) as (k, (total,), out):
        i = k.terms[0][0]
        x = fetch(f, array, entry(f, at, i))
        out[0] = f.multiply_add(x, fetch(f, array, entry(f, second, i)), total) if second else f.two("fadd", total, x)
    return out[0]


def entries(f: Function, part: int, size: int, body: Callable[[Sequence[str]], None]) -> None:
    """Write a loop over the entries, of so many integers each, of a part of the table."""

    def one(_: str, at: str) -> str:
        body([word(f, at, k) for k in range(size)])
        return entry(f, at, str(size))

    loop_that_may_be_empty(f, word(f, "%tables", part + 1), one, beginning(f, part))


def numbers_of(f: Function, array: str) -> str:
    """The address of an array's numbers, given its entry in the frame."""
    held = f.new(f"load ptr, ptr {f.new(f'getelementptr ptr, ptr %frame, i64 {array}')}, align 8")
    return f.new(f"load ptr, ptr {f.new(f'getelementptr i8, ptr {held}, i64 {DATA}')}, align 8")


def number_at(f: Function, array: str, i: str) -> str:
    """The address of a number of an array of numbers."""
    return f.new(f"getelementptr {f.target.real}, ptr {array}, i64 {i}")


def write_copies(f: Function) -> None:
    """Copy the parameters, and the arguments that are the same for all samples, to their slots."""
    t = f.target

    def copied(e: Sequence[str]) -> None:
        source, to = numbers_of(f, e[0]), place(f, SHARED, e[2])

        def one(i: str, _: str) -> str:
            x = f.new(f"load {t.real}, ptr {number_at(f, source, i)}, align {t.size}")
            f.do(f"store {t.real} {x}, ptr {number_at(f, to, i)}, align {t.size}")
            return ""

        loop_that_may_be_empty(f, e[1], one)

    entries(f, FIXED, 3, copied)


def write_spread(f: Function, lanes: int) -> None:
    """Fill all lanes of a row with each number that all samples share."""
    t = f.target

    def one(e: Sequence[str]) -> None:
        x = f.new(f"load {t.real}, ptr {place(f, SHARED, e[0])}, align {t.size}")
        row = f.new(f"getelementptr [{lanes} x {t.real}], ptr %{ROWS}, i64 {e[0]}")
        with loop(f, lanes, 1, []) as (i, _, _):
            f.do(f"store {t.real} {x}, ptr {number_at(f, row, i.terms[0][0])}, align {t.size}")

    entries(f, SPREAD, 1, one)


def write_arguments(f: Function, count: str) -> None:
    """Copy the rows of the arguments to their slots, number by number; lanes beyond the last of `count` samples repeat it."""
    t = f.target
    last = f.new(f"sub i64 {count}, 1") if t.lanes > 1 else ""

    def one(e: Sequence[str]) -> None:
        array, to = numbers_of(f, e[0]), place(f, ROWS, e[2])
        numbers = f.new(f"mul i64 {e[1]}, {t.lanes}") if last else e[1]
        with loop(f, numbers, 1, []) as (k, _, _):
            number = i = k.terms[0][0]
            row = "%sample"
            if last:
                lane, number = f.new(f"and i64 {i}, {t.lanes - 1}"), f.new(f"lshr i64 {i}, {t.lanes.bit_length() - 1}")
                row = f.new(f"add i64 %sample, {f.new(smaller(f, lane, last))}")
            at = number_at(f, array, f.new(f"add i64 {f.new(f'mul i64 {row}, {e[1]}')}, {number}"))
            x = f.new(f"load {t.real}, ptr {at}, align {t.size}")
            f.do(f"store {t.real} {x}, ptr {number_at(f, to, i)}, align {t.size}")

    entries(f, VARYING, 3, one)


def write_totals(f: Function, count: str) -> None:
    """Add the terms of a vector of samples to each sum. Lanes beyond `count` keep what they had: they add 0.0 times 0.0."""
    t = f.target
    others = f.new(f"sub i64 {t.lanes}, {count}") if t.lanes > 1 else ""

    def one_sum(i: str, at: str) -> str:
        terms, to = word(f, at), place(f, "totals", i)
        xs = entry(f, at, "1")
        ys = entry(f, xs, terms)
        begin = f.new(f"load {t.vector}, ptr {to}, align {t.size}")
        if others:
            f.do(f"store {t.vector} {begin}, ptr %before, align 64")
        with loop(f, terms, 1, [(t.vector, begin)]) as (k, (total,), out):
            x, y = (fetch(f, ROWS, entry(f, each, k.terms[0][0])) for each in (xs, ys))
            out[0] = f.multiply_add(x, y, total)
        f.do(f"store {t.vector} {out[0]}, ptr {to}, align {t.size}")

        def kept(k: str, _: str) -> str:
            lane = f.new(f"add i64 {count}, {k}")
            x = f.new(f"load {t.real}, ptr {number_at(f, '%before', lane)}, align {t.size}")
            f.do(f"store {t.real} {f.new(f'fadd {t.real} {x}, 0.0')}, ptr {number_at(f, to, lane)}, align {t.size}")
            return ""

        if others:
            loop_that_may_be_empty(f, others, kept)
        return entry(f, ys, terms)

    loop_that_may_be_empty(f, word(f, "%tables", TOTAL_COUNT), one_sum, beginning(f, TOTALS))


def write_clear(f: Function, lanes: int) -> None:
    """Write zeros to the accumulators."""
    t = f.target

    def one(i: str, _: str) -> str:
        f.do(f"store i{8 * t.size} 0, ptr {number_at(f, '%totals', i)}, align {t.size}")
        return ""

    loop_that_may_be_empty(f, f.new(f"mul i64 {word(f, '%tables', TOTAL_COUNT)}, {lanes}"), one)


def write_finish(f: Function, lanes: int) -> None:
    """Write the sum over the lanes of every accumulator, divided by the frame's divisor, to the array of sums.

    One number at a time, because LLVM needs several times as long for the code that adds the lanes of a vector.
    """
    t, many = f.target, word(f, "%tables", TOTAL_COUNT)
    chunk = f.new(f"udiv i64 %chunk, {CHUNK}")
    to = number_at(f, numbers_of(f, str(OUT)), f.new(f"mul i64 {chunk}, {many}"))
    divisor = f.new(f"load {t.real}, ptr {f.address('frame', Index((), DIVISOR * 8))}, align 8")

    def one(i: str, _: str) -> str:
        row = f.new(f"getelementptr [{lanes} x {t.real}], ptr %totals, i64 {i}")
        places = [number_at(f, row, str(lane)) if lane else row for lane in range(lanes)]
        sums = [f.new(f"load {t.real}, ptr {place}, align {t.size}") for place in places]
        while len(sums) > 1:
            sums = [f.two("fadd", x, y) for x, y in zip(sums[::2], sums[1::2], strict=True)]
        total = f.two("fdiv", sums[0], divisor)
        write_told(f, total)
        f.do(f"store {t.real} {total}, ptr {number_at(f, to, i)}, align {t.size}")
        return ""

    loop_that_may_be_empty(f, many, one)


def write_results(f: Function, count: str) -> None:
    """Copy each result of `count` samples to its array, number by number."""
    t, every = f.target, count_of(f)

    def one(e: Sequence[str]) -> None:
        number, row, stride, offset, slot = e
        array, source = numbers_of(f, number), place(f, ROWS, slot)
        start = f.new(f"add i64 {f.new(f'mul i64 {row}, {every}')}, {offset}")
        to = number_at(f, array, f.new(f"add i64 {start}, {f.new(f'mul i64 %sample, {stride}')}"))
        with loop(f, count, 1, [(t.real, "0.0")]) as (s, (seen,), out):
            i = s.terms[0][0]
            x = f.new(f"load {t.real}, ptr {number_at(f, source, i)}, align {t.size}")
            f.do(f"store {t.real} {x}, ptr {number_at(f, to, f.new(f'mul i64 {i}, {stride}'))}, align {t.size}")
            odd = f.new(f"fcmp uno {t.real} {x}, {x}")
            out[0] = f.new(f"select i1 {odd}, {t.real} {x}, {t.real} {seen}")
        write_told(f, f.splat(out[0]))

    entries(f, RESULTS, 5, one)
