"""The driver: the functions through which compiled code is entered, and the declarations of every module."""

from __future__ import annotations

from collections.abc import Sequence

from micrograd.tape.back_ends.llvm.function import Function
from micrograd.tape.back_ends.llvm.target import CHUNK, COUNT, DATA, PARAMETERS, THETA, Target

CALLS = 64  # the most calls in one function


def write_driver(
    target: Target,
    before: Sequence[str],
    whole: Sequence[str],
    part: Sequence[str],
    first: Sequence[str] = (),
    last: Sequence[str] = (),
) -> str:
    """The functions `run`, `all` and `share`, as text.

    `run(frame, first, count, prepare)` works on samples `first` to `first + count`, chunk by chunk; if `prepare` is 1, it first
    computes what all samples share. `all(frame)` does both for all samples. `share(frame, next, span)` is for one of several
    threads: as long as there are samples left, it works on the next `span` of them; all threads count up the number at `next`.

    `before` are the functions for what all samples share. A chunk is worked on block by block: `whole` are the functions for a
    block, `part` those for a last, shorter one; `first` and `last` are called before and after each chunk.
    """
    arguments = ", ".join(f"ptr %{a}" for a in PARAMETERS)
    parcels: list[str] = []
    before, whole, part = (bounded(names, target, parcels) for names in (before, whole, part))
    loads = []
    for i, name in enumerate(PARAMETERS[:-1]):
        held = f"{name}.object" if name == THETA else name
        loads += [f"  %{name}.at = getelementptr i8, ptr %frame, i64 {8 * i}", f"  %{held} = load ptr, ptr %{name}.at"]
        if name == THETA:
            loads += [f"  %{name}.in = getelementptr i8, ptr %{held}, i64 {DATA}", f"  %{name} = load ptr, ptr %{name}.in"]

    def calls(names: Sequence[str], first: str, count: str) -> list[str]:
        return [f"  call void @{name}({arguments}, i64 {first}, i64 {count})" for name in names]

    size = target.block
    return "\n".join(
        [
            *parcels,
            "define void @run(ptr %frame, i64 %first, i64 %count, i64 %prepare) nounwind {",
            "entry:",
            *loads,
            "  %once = icmp ne i64 %prepare, 0",
            "  br i1 %once, label %before, label %begin",
            "before:",
            *calls(before, "0", "1"),
            "  br label %begin",
            "begin:",
            "  %end = add i64 %first, %count",
            "  br label %chunks",
            "chunks:",
            "  %start = phi i64 [ %first, %begin ], [ %stop, %last ]",
            "  %more = icmp ult i64 %start, %end",
            "  br i1 %more, label %chunk, label %done",
            "chunk:",
            f"  %full = add i64 %start, {CHUNK}",
            "  %stop = call i64 @llvm.umin.i64(i64 %full, i64 %end)",
            *calls(first, "%start", "0"),
            "  br label %head",
            "head:",
            "  %at = phi i64 [ %start, %chunk ], [ %next, %whole ]",
            f"  %next = add i64 %at, {size}",
            "  %fits = icmp ule i64 %next, %stop",
            "  br i1 %fits, label %whole, label %rest",
            "whole:",
            *calls(whole, "%at", str(size)),
            "  br label %head",
            "rest:",
            "  %left = sub i64 %stop, %at",
            "  %some = icmp ugt i64 %left, 0",
            "  br i1 %some, label %part, label %last",
            "part:",
            *calls(part, "%at", "%left"),
            "  br label %last",
            "last:",
            *calls(last, "%start", "0"),
            "  br label %chunks",
            "done:",
            *(["  fence seq_cst"] if target.streamed else []),  # so that other threads see non-temporal stores
            "  ret void",
            "}",
            entries(),
        ]
    )


def entries() -> str:
    """The functions `all` and `share`, as text; they call `run`."""
    return "\n".join(
        [
            "define void @all(ptr %frame) nounwind {",
            f"  %at = getelementptr i8, ptr %frame, i64 {8 * COUNT}",
            "  %count = load i64, ptr %at",
            "  call void @run(ptr %frame, i64 0, i64 %count, i64 1)",
            "  ret void",
            "}",
            "define void @share(ptr %frame, ptr %next, i64 %span) nounwind {",
            f"  %at = getelementptr i8, ptr %frame, i64 {8 * COUNT}",
            "  %end = load i64, ptr %at",
            "  br label %take",
            "take:",
            "  %first = atomicrmw add ptr %next, i64 %span monotonic",
            "  %more = icmp ult i64 %first, %end",
            "  br i1 %more, label %some, label %done",
            "some:",
            "  %left = sub i64 %end, %first",
            "  %few = icmp ult i64 %left, %span",
            "  %count = select i1 %few, i64 %left, i64 %span",
            "  call void @run(ptr %frame, i64 %first, i64 %count, i64 0)",
            "  br label %take",
            "done:",
            "  ret void",
            "}",
        ]
    )


def bounded(names: Sequence[str], target: Target, parcels: list[str]) -> Sequence[str]:
    """The functions to call for `names`, at most CALLS. If there are more, new functions, added to `parcels`, call them."""
    while len(names) > CALLS:
        fewer = []
        for first in range(0, len(names), CALLS):
            f = Function(f"parcel{len(parcels)}", target)
            parameters = ", ".join(f"ptr %{a}" for a in PARAMETERS)
            for name in names[first : first + CALLS]:
                f.do(f"call void @{name}({parameters}, i64 %first, i64 %count)")
            parcels.append(f.text())
            fewer.append(f.name)
        names = fewer
    return names


def preamble(t: Target) -> str:
    """The declarations that every module begins with."""
    kinds = [(t.real, "f64" if t.size == 8 else "f32")]
    if t.lanes > 1:
        kinds.append((t.vector, f"v{t.lanes}{kinds[0][1]}"))
    lines = ["declare i64 @llvm.umin.i64(i64, i64)", "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)"]
    lines.append("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
    for kind, suffix in kinds:
        lines += [f"declare {kind} @llvm.{name}.{suffix}({kind})" for name in ("fabs", "sqrt", "floor", "rint")]
        lines.append(f"declare {kind} @llvm.copysign.{suffix}({kind}, {kind})")
        lines.append(f"declare {kind} @llvm.fmuladd.{suffix}({kind}, {kind}, {kind})")
    lines.append(f"declare i64 @llvm.fptoui.sat.i64.{t.suffix}({t.real})")
    if t.lanes > 1:
        kind, suffix = kinds[1]
        lines.append(f"declare {kind} @llvm.masked.load.{suffix}.p0(ptr, i32, <{t.lanes} x i1>, {kind})")
        lines.append(f"declare void @llvm.masked.store.{suffix}.p0({kind}, ptr, i32, <{t.lanes} x i1>)")
        lines.append(f"declare i1 @llvm.vector.reduce.or.v{t.lanes}i1(<{t.lanes} x i1>)")
    return "\n".join([*lines, "!0 = !{}", "!1 = !{i32 1}"])
