"""Whether a result is nan: code that writes results reports it in an entry of the frame, so that nobody has to look again."""

from __future__ import annotations

import math
from collections.abc import Sequence

from micrograd.tape.back_ends.llvm.function import Function
from micrograd.tape.back_ends.llvm.loops import loop
from micrograd.tape.back_ends.llvm.operands import Index
from micrograd.tape.back_ends.llvm.target import NANS


def seen_among(f: Function, values: Sequence[str], seen: str) -> str:
    """The vector `seen`, with nan also in the lanes in which one of `values` is nan."""
    for x, y in zip(values[::2], [*values[1::2], values[-1]], strict=False):
        seen = f.choose(f.compare("uno", x, y), f.number(math.nan), seen)
    return seen


def write_told(f: Function, seen: str) -> None:
    """Report if any lane of a vector is nan."""
    t, found = f.target, f.compare("uno", seen, seen)
    if t.lanes > 1:
        found = f.new(f"call i1 @llvm.vector.reduce.or.v{t.lanes}i1(<{t.lanes} x i1> {found})")
    at = f.address("frame", Index((), NANS * 8))
    told = f.new(f"or i64 {f.new(f'load i64, ptr {at}, align 8')}, {f.new(f'zext i1 {found} to i64')}")
    f.do(f"store i64 {told}, ptr {at}, align 8")


def write_look(f: Function, array: str, start: Index, count: int | str) -> None:
    """Report if one of `count` consecutive numbers in an array is nan. A count known only at a call is taken one by one."""
    t, wide = f.target, f.target.vector
    whole = count - count % t.lanes if isinstance(count, int) else 0
    if whole:
        with loop(f, whole, t.lanes, [(wide, f.number(0.0))]) as (i, (seen,), out):
            value = f.new(f"load {wide}, ptr {f.address(array, start + i * t.size)}, align {t.size}")
            out[0] = seen_among(f, [value], seen)
        write_told(f, out[0])
    if count == whole:
        return
    rest = count - whole if isinstance(count, int) else count
    with loop(f, rest, 1, [(t.real, "0.0")]) as (i, (one,), out):
        value = f.new(f"load {t.real}, ptr {f.address(array, start + i * t.size + whole * t.size)}, align {t.size}")
        odd = f.new(f"fcmp uno {t.real} {value}, {value}")
        out[0] = f.new(f"select i1 {odd}, {t.real} {value}, {t.real} {one}")
    write_told(f, f.splat(out[0]))


def write_look_at_sums(f: Function, many: int) -> None:
    """Report if one of the sums of a chunk is nan."""
    write_look(f, f.sums(many), Index(), many)
