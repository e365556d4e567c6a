"""The builder of one function: it collects the lines of LLVM's assembly, and names values and labels."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from micrograd.primitives import RULES
from micrograd.tape.back_ends.llvm.operands import Index, View
from micrograd.tape.back_ends.llvm.target import CHUNK, DATA, OUT, PARAMETERS, ROWS, Target


@dataclass
class Function:
    """One function of LLVM under construction."""

    name: str
    target: Target
    lines: list[str] = field(default_factory=list)
    counter: int = 0
    block: str = "entry"
    addresses: list[dict[Any, str]] = field(default_factory=lambda: [{}])  # known addresses, a dict for each open loop
    by_lanes: set[tuple[str, int]] = field(default_factory=set)  # library functions called lane by lane: name, arguments
    parts: list[Function] = field(default_factory=list)  # functions that this one calls in each step of a loop
    stepped: bool = False  # whether it is such a part, with the number of the step as an argument

    def new(self, expression: str) -> str:
        """Add an instruction; returns the name of its value."""
        self.counter += 1
        self.lines.append(f"  %v{self.counter} = {expression}")
        return f"%v{self.counter}"

    def do(self, line: str) -> None:
        self.lines.append("  " + line)

    def number(self, x: float) -> str:
        """`x` as an operand."""
        if self.target.real == "float":
            x = float(np.float32(x))
        bits = f"0x{struct.unpack('<Q', struct.pack('<d', x))[0]:016X}"
        if self.target.lanes == 1:
            return bits
        return f"splat ({self.target.real} {bits})"

    def known(self, x: str) -> float | None:
        """The number that an operand is; None if it is a value that is computed."""
        match = re.search(r"0x(\w{16})", x)
        return struct.unpack("<d", int(match[1], 16).to_bytes(8, "little"))[0] if match else None

    def label(self) -> str:
        self.counter += 1
        return f"b{self.counter}"

    def start(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.block = label

    def integer(self, index: Index) -> str:
        """An index as a value."""
        total = ""
        for name, by in index.terms:
            part = name if by == 1 else self.new(f"mul i64 {name}, {by}")
            total = self.new(f"add i64 {total}, {part}") if total else part
        if not total:
            return str(index.offset)
        return self.new(f"add i64 {total}, {index.offset}") if index.offset else total

    def address(self, array: str, index: Index) -> str:
        """The address of a byte of an array."""
        key = (array, index.terms)
        base = f"%{array}"
        if index.terms:
            found = next((seen[key] for seen in reversed(self.addresses) if key in seen), None)
            if found is None:
                found = self.new(f"getelementptr i8, ptr %{array}, i64 {self.integer(Index(index.terms))}")
                self.addresses[-1][key] = found
            base = found
        return self.new(f"getelementptr i8, ptr {base}, i64 {index.offset}") if index.offset else base

    def splat(self, x: str) -> str:
        """A number in every lane."""
        t = self.target
        if t.lanes == 1:
            return x
        one = self.new(f"insertelement {t.vector} poison, {t.real} {x}, i64 0")
        return self.new(f"shufflevector {t.vector} {one}, {t.vector} poison, <{t.lanes} x i32> zeroinitializer")

    # -- loads and stores of slots

    def lanes_at(self, slot: Index, sample: Index) -> Index:
        return slot * (self.target.pitch * self.target.size) + sample * self.target.size

    def located(self, arg: View, position: Sequence[Index]) -> Index:
        """The slot of an element as an index; for a gather, it is read from the table."""
        at = Index((), arg.base)
        if arg.value is not None:
            return at
        for i, by in zip(position, arg.strides, strict=True):
            at = at + i * by
        if arg.step:
            at = at + Index((("%t", arg.step),))
        if arg.table is None:
            return at
        past = Index()
        for i, by in zip(position, arg.beyond, strict=False):
            past = past + i * by
        if not at.terms:
            return past + int(arg.table[at.offset])
        at = at + arg.table_at
        key = ("entry", at)
        found = next((seen[key] for seen in reversed(self.addresses) if key in seen), None)
        if found is None:
            value = self.new(f"load i32, ptr {self.address('tables', at * 4)}, align 4, !invariant.load !0")
            found = self.addresses[-1][key] = self.new(f"zext i32 {value} to i64")
        return past + Index(((found, 1),))

    def load(self, arg: View, at: Index, sample: Index) -> str:
        """A vector with the numbers of one element, for the samples of the block from `sample` on."""
        t = self.target
        if arg.value is not None:
            return self.number(arg.value)
        if arg.place == ROWS:
            return self.new(f"load {t.vector}, ptr {self.address(ROWS, self.lanes_at(at, sample))}, align {t.size}")
        return self.splat(self.new(f"load {t.real}, ptr {self.address(arg.place, at * t.size)}, align {t.size}"))

    def store(self, arg: View, at: Index, sample: Index, value: str) -> None:
        t = self.target
        place = self.lanes_at(at, sample) if arg.place == ROWS else at * t.size
        self.do(f"store {t.vector} {value}, ptr {self.address(arg.place, place)}, align {t.size}")

    # -- arithmetic

    def two(self, operation: str, x: str, y: str) -> str:
        return self.new(f"{operation} {self.target.vector} {x}, {y}")  # LLVM may not fuse it: `multiply_add` is for that

    def multiply_add(self, x: str, y: str, start: str) -> str:
        t = self.target
        if t.exact:
            return self.two("fadd", start, self.two("fmul", x, y))
        suffix = ("" if t.lanes == 1 else f"v{t.lanes}") + ("f64" if t.size == 8 else "f32")
        return self.new(f"call {t.vector} @llvm.fmuladd.{suffix}({t.vector} {x}, {t.vector} {y}, {t.vector} {start})")

    def compare(self, how: str, x: str, y: str) -> str:
        return self.new(f"fcmp {how} {self.target.vector} {x}, {y}")

    def choose(self, condition: str, x: str, y: str) -> str:
        t = self.target
        kind = "i1" if t.lanes == 1 else f"<{t.lanes} x i1>"
        return self.new(f"select {kind} {condition}, {t.vector} {x}, {t.vector} {y}")

    def call(self, name: str, *args: str) -> str:
        """A function of the mathematics library, for all lanes."""
        t = self.target
        if t.by_tape and t.lanes == 1 and any(known == name and lanes > 1 for known, lanes in t.library):
            self.target = t.wider
            found = self.call(name, *map(self.splat, args))
            self.target = t
            return self.new(f"extractelement {t.wider.vector} {found}, i64 0")
        if (name, t.lanes) in t.library:
            return self._called(name, t.lanes, args)
        self.by_lanes.add((name, len(args)))
        return self.new(f"call {t.vector} @lanes.{name}({', '.join(f'{t.vector} {a}' for a in args)})")

    def _called(self, name: str, lanes: int, args: Sequence[str]) -> str:
        kind = self.target.real if lanes == 1 else f"<{lanes} x {self.target.real}>"
        function = self.target.library[name, lanes]
        return self.new(f"call {kind} {function}({', '.join(f'{kind} {a}' for a in args)})")

    def call_by_lanes(self, name: str, args: Sequence[str]) -> str:
        """A function of the library for all lanes, called for as many lanes at a time as it can take."""
        t = self.target
        n = t.lanes
        while n > 1 and (name, n) not in t.library:
            n //= 2
        out = "poison"
        for first in range(0, t.lanes, n):
            if n == 1:
                part = [self.new(f"extractelement {t.vector} {a}, i64 {first}") for a in args]
                one = self._called(name, 1, part)
                out = self.new(f"insertelement {t.vector} {out}, {t.real} {one}, i64 {first}")
                continue
            part = [self.shuffle(a, "poison", t.lanes, range(first, first + n)) for a in args]
            one = self._called(name, n, part)
            wide = self.shuffle(one, "poison", n, [i % n for i in range(t.lanes)])
            chosen = [t.lanes + i if first <= i < first + n else i for i in range(t.lanes)]
            out = wide if out == "poison" else self.shuffle(out, wide, t.lanes, chosen)
        return out

    def shuffle(self, x: str, y: str, lanes: int, chosen: Iterable[int]) -> str:
        """A vector of chosen lanes, which are counted through `x` and then through `y`."""
        kind, mask = f"<{lanes} x {self.target.real}>", list(chosen)
        return self.new(f"shufflevector {kind} {x}, {kind} {y}, <{len(mask)} x i32> <{', '.join(f'i32 {i}' for i in mask)}>")

    def sums(self, many: int) -> str:
        """The name of the pointer to the place for the sums of this chunk."""
        base, chunk = self.pointer(Index((), OUT)), self.new(f"udiv i64 %first, {CHUNK}")
        self.do(f"%sums = getelementptr i8, ptr %{base}, i64 {self.new(f'mul i64 {chunk}, {many * self.target.size}')}")
        return "sums"

    def pointer(self, number: Index) -> str:
        """The name of the pointer to the numbers of an array, given its entry in the frame."""
        held = self.new(f"load ptr, ptr {self.address('frame', number * 8)}, align 8")
        return self.new(f"load ptr, ptr {self.address(held[1:], Index((), DATA))}, align 8")[1:]

    def text(self) -> str:
        parameters = ", ".join(f"ptr noalias %{a}" for a in PARAMETERS)
        step = ", i64 %t" if self.stepped else ""
        return "\n".join(
            [
                f"define void @{self.name}({parameters}, i64 %first, i64 %count{step}) {self.target.attributes} {{",
                "entry:",
                *self.lines,
                "  ret void",
                "}",
            ]
        )


def lanes_function(t: Target, name: str, arguments: int) -> str:
    """The function `lanes.name`, which calls a library function lane by lane. It is written once for all calls of it."""
    f = Function(f"lanes.{name}", t)
    args = [f"%a{i}" for i in range(arguments)]
    out = f.call_by_lanes(name, args)
    parameters = ", ".join(f"{t.vector} {a}" for a in args)
    lines = [f"define internal {t.vector} @{f.name}({parameters}) noinline {t.attributes} {{", *f.lines]
    return "\n".join([*lines, f"  ret {t.vector} {out}", "}"])


def called(text: str) -> list[tuple[str, int, str]]:
    """The functions of the mathematics library that a text calls: name, lanes, and LLVM's type of numbers."""
    found = set(re.findall(r"@lib\.(\w+)\.(\d+)\.(double|float)\(", text))
    return sorted((name, int(lanes), real) for name, lanes, real in found)


def declared(text: str) -> list[str]:
    """The declarations of these functions."""
    lines = []
    for name, lanes, real in called(text):
        kind = real if lanes == 1 else f"<{lanes} x {real}>"
        lines.append(f"declare {kind} @lib.{name}.{lanes}.{real}({', '.join([kind] * len(RULES[name].partials))})")
    return lines
