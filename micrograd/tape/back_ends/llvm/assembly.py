"""LLVM's assembly for the vector instructions of a schedule: loop nests over elements, lanes of samples inside.

`llvm` comes before (it decides what is compiled and calls it), LLVM itself after. Everything here is text: a `Function`
collects the lines of one function of bounded size; the `write_*` functions fill it with a loop nest or with straight-line
code. A varying slot holds one number per sample of a block, side by side; a shared slot holds one number for all samples.
There is no calculus in this file: it only spells the primitives for the machine.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
ROWS, SHARED, THETA = "rows", "shared", "theta"  # the arrays that numbers live in
PARAMETERS = (ROWS, SHARED, THETA, "totals", "tables", "frame")  # what every function is given; the last leads to the others
# entries of the frame: the results, the number of samples, what sums are divided by, then the arrays of the arguments
OUT, COUNT, DIVISOR, ARRAYS = 6, 7, 8, 9
DATA = 16  # where, in the object of an array, the pointer to its numbers lies
UNROLLED = 32  # terms of a sum over the samples up to which they are not a loop
CHUNK = 256  # samples whose sums stand by themselves: reference.BLOCK


@dataclass(frozen=True)
class Target:
    """What code is written for: `lanes` numbers per vector, `block` samples at a time, how exact."""

    lanes: int
    block: int
    real: str = "double"  # LLVM's name
    exact: bool = False
    registers: int = 16  # registers of the machine, and how many numbers one of them holds
    width: int = 4
    library: Mapping[tuple[str, int], int] = field(default_factory=dict)  # addresses of functions of (name, lanes)
    streamed: bool = False  # results of work in registers go past the caches, to arrays that begin at a line of them

    @property
    def size(self) -> int:
        return 8 if self.real == "double" else 4

    @property
    def pitch(self) -> int:
        """Numbers from one slot to the next: rows of a power of two would fall into the same few sets of the cache."""
        return self.block + (self.lanes if self.block * self.size >= 512 else 0)

    @property
    def sums(self) -> int:
        """How many sums over vectors are kept in registers at once."""
        return max(2, self.registers // (2 * max(1, self.lanes // self.width)))

    @property
    def attributes(self) -> str:
        """Of every function: vectors that registers have no room for lie at lines of the cache, and do not cross them."""
        return "nounwind" if self.lanes == 1 else f"nounwind alignstack({self.width * self.size})"

    @property
    def suffix(self) -> str:
        """What LLVM's names for operations on one number end in."""
        return "f64" if self.real == "double" else "f32"

    @property
    def vector(self) -> str:
        return self.real if self.lanes == 1 else f"<{self.lanes} x {self.real}>"


@dataclass(frozen=True)
class Index:
    """An integer that is a sum of loop counters times numbers, plus a number."""

    terms: tuple[tuple[str, int], ...] = ()
    offset: int = 0

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.terms, self.offset + other)
        terms = dict(self.terms)
        for name, by in other.terms:
            terms[name] = terms.get(name, 0) + by
        return Index(tuple(sorted((n, by) for n, by in terms.items() if by)), self.offset + other.offset)

    def __mul__(self, by: int) -> Index:
        return Index(tuple((n, b * by) for n, b in self.terms) if by else (), self.offset * by)


@dataclass(frozen=True, eq=False)
class Operand:
    """Where the elements of one operand lie: a strided view of slots, a gather by a table, or one constant."""

    place: str = SHARED
    base: int = 0
    strides: tuple[int, ...] = ()
    table: Array | None = None  # the slots of a gather, flat; strides are then those of the table
    value: float | None = None
    table_at: int = -1  # where the table begins among all tables

    @property
    def count(self) -> int:
        """How many slots its table has."""
        return 0 if self.table is None else len(self.table)

    def slots(self, shape: Sequence[int]) -> Array:
        """The different slots of all elements."""
        at = np.array(self.base)
        for n, by in zip(shape, self.strides, strict=False):
            at = at[..., None] + np.arange(n if by else min(n, 1)) * by
        found: Array = np.unique(at if self.table is None else self.table[at])
        return found

    def slot(self, position: Sequence[int]) -> int:
        """The slot of one element."""
        at = self.base + sum(i * s for i, s in zip(position, self.strides, strict=True))
        return int(self.table[at]) if self.table is not None else at


@dataclass(frozen=True, eq=False)
class Instruction:
    """One vector instruction: `name` on every element of `shape`; reductions (sum, dot, logsumexp) run over `terms`."""

    name: str
    shape: tuple[int, ...]
    out: Operand
    args: tuple[Operand, ...]
    terms: int = 0

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def work(self) -> int:
        return self.elements * max(1, self.terms)


@dataclass(frozen=True, eq=False)
class Total:
    """A sum over the samples of Σ x, or of Σ x times y, `terms` of them, for every element of `shape`, into accumulators."""

    shape: tuple[int, ...]
    terms: int
    out: Operand
    x: Operand
    y: Operand | None = None


@dataclass
class Function:
    """One function of LLVM under construction."""

    name: str
    target: Target
    lines: list[str] = field(default_factory=list)
    counter: int = 0
    block: str = "entry"
    addresses: list[dict[Any, str]] = field(default_factory=lambda: [{}])
    by_lanes: set[tuple[str, int]] = field(default_factory=set)  # functions of the library, with so many arguments

    def new(self, expression: str) -> str:
        """The name of a new value."""
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

    @contextmanager
    def loop(self, count: int | str, step: int, carried: list[tuple[str, str]]) -> Iterator[tuple[Index, list[str], list[str]]]:
        """A loop from 0 to `count`: its counter, the values carried in, and a list to put those carried out in their place."""
        head, after, before = self.label(), self.label(), self.block
        self.do(f"br label %{head}")
        self.start(head)
        i = f"%i{self.counter}"
        slot = len(self.lines)
        values = []
        for _ in carried:
            self.counter += 1
            values.append(f"%v{self.counter}")
        results = list(values)
        self.addresses.append({})
        yield Index(((i, 1),)), values, results
        self.addresses.pop()
        phis = [f"  {i} = phi i64 [ 0, %{before} ], [ {i}.next, %{self.block} ]"]
        for name, (kind, first), last in zip(values, carried, results, strict=True):
            phis.append(f"  {name} = phi {kind} [ {first}, %{before} ], [ {last}, %{self.block} ]")
        self.lines[slot:slot] = phis
        self.do(f"{i}.next = add nuw nsw i64 {i}, {step}")
        more = self.new(f"icmp ult i64 {i}.next, {count}")
        self.do(f"br i1 {more}, label %{head}, label %{after}")
        self.start(after)

    # -- loads and stores of slots

    def lanes_at(self, slot: Index, sample: Index) -> Index:
        return slot * (self.target.pitch * self.target.size) + sample * self.target.size

    def located(self, arg: Operand, position: Sequence[Index]) -> Index:
        """The slot of an element as an index; through the table where the operand is a gather."""
        at = Index((), arg.base)
        if arg.value is not None:
            return at
        for i, by in zip(position, arg.strides, strict=True):
            at = at + i * by
        if arg.table is None:
            return at
        if not at.terms:
            return Index((), int(arg.table[at.offset]))
        entry = self.address("tables", (at + arg.table_at) * 4)
        value = self.new(f"load i32, ptr {entry}, align 4, !invariant.load !0")
        return Index(((self.new(f"zext i32 {value} to i64"), 1),))

    def load(self, arg: Operand, at: Index, sample: Index) -> str:
        """The vector of one element at one place of the block."""
        t = self.target
        if arg.value is not None:
            return self.number(arg.value)
        if arg.place == ROWS:
            return self.new(f"load {t.vector}, ptr {self.address(ROWS, self.lanes_at(at, sample))}, align {t.size}")
        return self.splat(self.new(f"load {t.real}, ptr {self.address(arg.place, at * t.size)}, align {t.size}"))

    def store(self, arg: Operand, at: Index, sample: Index, value: str) -> None:
        t = self.target
        place = self.lanes_at(at, sample) if arg.place == ROWS else at * t.size
        self.do(f"store {t.vector} {value}, ptr {self.address(arg.place, place)}, align {t.size}")

    # -- arithmetic

    def two(self, operation: str, x: str, y: str) -> str:
        flags = "" if self.target.exact or operation == "fsub" else " contract"  # x² - x² is 0, and not what rounding left
        return self.new(f"{operation}{flags} {self.target.vector} {x}, {y}")

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
        if (name, t.lanes) in t.library:
            return self._called(name, t.lanes, args)
        self.by_lanes.add((name, len(args)))
        return self.new(f"call {t.vector} @lanes.{name}({', '.join(f'{t.vector} {a}' for a in args)})")

    def _called(self, name: str, lanes: int, args: Sequence[str]) -> str:
        kind = self.target.real if lanes == 1 else f"<{lanes} x {self.target.real}>"
        function = f"inttoptr (i64 {self.target.library[name, lanes]} to ptr)"
        return self.new(f"call {kind} {function}({', '.join(f'{kind} {a}' for a in args)})")

    def call_by_lanes(self, name: str, args: Sequence[str]) -> str:
        """A function of the library for as many lanes at a time as it is there for, one after the other."""
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
        """A vector of chosen lanes of `x` and, after them, `y`."""
        kind, mask = f"<{lanes} x {self.target.real}>", list(chosen)
        return self.new(f"shufflevector {kind} {x}, {kind} {y}, <{len(mask)} x i32> <{', '.join(f'i32 {i}' for i in mask)}>")

    def sums(self, many: int) -> str:
        """The name of the pointer to where the sums of this chunk go."""
        base, chunk = _pointer(self, OUT), self.new(f"udiv i64 %first, {CHUNK}")
        self.do(f"%sums = getelementptr i8, ptr %{base}, i64 {self.new(f'mul i64 {chunk}, {many * self.target.size}')}")
        return "sums"

    def text(self) -> str:
        parameters = ", ".join(f"ptr noalias %{a}" for a in PARAMETERS)
        return "\n".join(
            [
                f"define void @{self.name}({parameters}, i64 %first, i64 %count) {self.target.attributes} {{",
                "entry:",
                *self.lines,
                "  ret void",
                "}",
            ]
        )


def lanes_function(t: Target, name: str, arguments: int) -> str:
    """The function `lanes.name` that calls one of the library lane by lane: once, and not wherever it is wanted."""
    f = Function(f"lanes.{name}", t)
    args = [f"%a{i}" for i in range(arguments)]
    out = f.call_by_lanes(name, args)
    parameters = ", ".join(f"{t.vector} {a}" for a in args)
    lines = [f"define internal {t.vector} @{f.name}({parameters}) noinline {t.attributes} {{", *f.lines]
    return "\n".join([*lines, f"  ret {t.vector} {out}", "}"])


# -- the primitives


def _choice(f: Function, x: str, when: str, to: float, a: str, b: str) -> str:
    return f.choose(f.compare(when, x, f.number(to)), a, b)


def _sign(f: Function, x: str) -> str:
    return _choice(f, x, "ogt", 0.0, f.number(1.0), _choice(f, x, "olt", 0.0, f.number(-1.0), x))


def _step(f: Function, x: str) -> str:
    return _choice(f, x, "ogt", 0.0, f.number(1.0), _choice(f, x, "ole", 0.0, f.number(0.0), x))


def _ordered(first: str, second: str, a: Any, b: Any) -> Callable[[Function, str, str], str]:
    def spell(f: Function, x: str, y: str) -> str:
        chosen = {"x": x, "y": y, "1": f.number(1.0), "0": f.number(0.0)}
        rest = f.choose(f.compare(second, x, y), chosen[b], f.number(math.nan))
        return f.choose(f.compare(first, x, y), chosen[a], rest)

    return spell


def _where(f: Function, c: str, a: str, b: str) -> str:
    return _choice(f, c, "ogt", 0.0, a, _choice(f, c, "ole", 0.0, b, f.number(math.nan)))


def _equal(f: Function, x: str, y: str) -> str:
    unequal = f.choose(f.compare("uno", x, y), f.number(math.nan), f.number(0.0))
    return f.choose(f.compare("oeq", x, y), f.number(1.0), unequal)


def _sigmoid(f: Function, x: str) -> str:
    if not f.target.exact:  # with one exp, which cannot overflow
        e = f.call("exp", f.new(f"fneg {f.target.vector} {_intrinsic('fabs')(f, x)}"))
        return f.two("fdiv", _choice(f, x, "olt", 0.0, e, f.number(1.0)), f.two("fadd", f.number(1.0), e))
    e = f.call("exp", f.new(f"fneg {f.target.vector} {x}"))
    out = f.two("fdiv", f.number(1.0), f.two("fadd", f.number(1.0), e))
    return f.choose(f.compare("oeq", e, f.number(math.inf)), f.call("exp", x), out)


def _softplus(f: Function, x: str) -> str:
    e = f.call("exp", f.new(f"fneg {f.target.vector} {_intrinsic('fabs')(f, x)}"))
    return f.two("fadd", _choice(f, x, "olt", 0.0, f.number(0.0), x), f.call("log1p", e))


def _intrinsic(name: str) -> Callable[[Function, str], str]:
    def spell(f: Function, x: str) -> str:
        t = f.target
        suffix = ("" if t.lanes == 1 else f"v{t.lanes}") + ("f64" if t.size == 8 else "f32")
        return f.new(f"call {t.vector} @llvm.{name}.{suffix}({t.vector} {x})")

    return spell


def _library(name: str) -> Callable[..., str]:
    return lambda f, *args: f.call(name, *args)


def _arithmetic(name: str) -> Callable[[Function, str, str], str]:
    return lambda f, x, y: f.two(name, x, y)


FROM_LIBRARY = ("exp", "log", "log1p", "expm1", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "erf")
SPELLINGS: dict[str, Callable[..., str]] = {
    "add": _arithmetic("fadd"),
    "sub": _arithmetic("fsub"),
    "mul": _arithmetic("fmul"),
    "div": _arithmetic("fdiv"),
    "neg": lambda f, x: f.new(f"fneg {f.target.vector} {x}"),
    "pow": _library("pow"),
    "atan2": _library("atan2"),
    **{name: _library(name) for name in FROM_LIBRARY},
    "sqrt": _intrinsic("sqrt"),
    "abs": _intrinsic("fabs"),
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "relu": lambda f, x: _choice(f, x, "ole", 0.0, f.number(0.0), x),
    "sign": _sign,
    "step": _step,
    "maximum": _ordered("oge", "olt", "x", "y"),
    "minimum": _ordered("ole", "ogt", "x", "y"),
    "greater": _ordered("ogt", "ole", "1", "0"),
    "less": _ordered("olt", "oge", "1", "0"),
    "equal": _equal,
    "where": _where,
    "copy": lambda f, x: x,
}


# -- loop nests


def nest(
    f: Function, shape: Sequence[int], tiles: Sequence[int], body: Callable[[list[Index], list[int]], None], at: Any = ()
) -> None:
    """Loops over `shape` that call `body(first position, extent)` for every tile; the rest of a dimension is a tile too."""
    depth = len(at)
    if depth == len(shape):
        body([i for i, _ in at], [n for _, n in at])
        return
    n, tile = shape[depth], min(tiles[depth], shape[depth])
    whole = n - n % tile
    if whole == tile:
        nest(f, shape, tiles, body, (*at, (Index(), tile)))
    elif whole:
        with f.loop(whole, tile, []) as (i, _, _):
            nest(f, shape, tiles, body, (*at, (i, tile)))
    if n % tile:
        nest(f, shape, tiles, body, (*at, (Index((), whole), n % tile)))


def positions(first: Sequence[Index], extent: Sequence[int]) -> Iterator[tuple[Index, ...]]:
    """Every element of a tile."""
    for offset in np.ndindex(*extent):
        yield tuple(i + int(o) for i, o in zip(first, offset, strict=True))


def over_samples(f: Function, unroll: int, body: Callable[[list[Index]], None]) -> None:
    """A loop over the block that calls `body` with the places of `unroll` vectors."""
    step = unroll * f.target.lanes
    if f.target.block == step:
        body([Index((), u * f.target.lanes) for u in range(unroll)])
        return
    with f.loop(f.target.block, step, []) as (s, _, _):
        body([s + u * f.target.lanes for u in range(unroll)])


def unrolled(f: Function, most: int) -> int:
    """How many vectors of a block are worked on at once: a power of two, at most `most`."""
    vectors, n = f.target.block // f.target.lanes, 1
    while n * 2 <= most and vectors % (n * 2) == 0:
        n *= 2
    return n


def write_elementwise(f: Function, it: Instruction) -> None:
    """One primitive on every element, in loops."""
    spell, u = SPELLINGS[it.name], unrolled(f, 4)
    tiles = [1] * len(it.shape)
    if tiles:
        tiles[-1] = max(1, 4 // u)

    def samples(places: list[Index]) -> None:
        def tile(first: list[Index], extent: list[int]) -> None:
            for at in positions(first, extent):
                slots = [f.located(a, at) for a in it.args]
                out = f.located(it.out, at)
                for s in places:
                    f.store(it.out, out, s, spell(f, *[f.load(a, i, s) for a, i in zip(it.args, slots, strict=True)]))

        nest(f, it.shape, tiles, tile)

    over_samples(f, u, samples)


def write_sum(f: Function, it: Instruction) -> None:
    """start + Σ x y or Σ x for every element: a tile of sums at a time, the terms from left to right."""
    dotted = it.name == "dot"
    u = unrolled(f, 4 if f.target.sums >= 16 else 1)
    tiles = [1] * len(it.shape)
    if tiles:
        tiles[-1] = max(1, f.target.sums // u)

    def samples(places: list[Index]) -> None:
        def tile(first: list[Index], extent: list[int]) -> None:
            spots = list(positions(first, extent))
            zero = f.number(0.0)
            begin = []
            for at in spots:
                if not dotted:
                    begin += [zero] * len(places)
                    continue
                slot = f.located(it.args[2], at)
                if it.args[2].place == ROWS or it.args[2].value is not None:
                    begin += [f.load(it.args[2], slot, s) for s in places]
                else:
                    begin += [f.load(it.args[2], slot, Index())] * len(places)

            def term(j: Index, sums: Sequence[str]) -> list[str]:
                seen: dict[Any, str] = {}

                def fetch(arg: Operand, at: tuple[Index, ...], s: Index) -> str:
                    i = f.located(arg, (*at, j))
                    key = (id(arg), i, s if arg.place == ROWS else None)
                    if key not in seen:
                        seen[key] = f.load(arg, i, s)
                    return seen[key]

                out = []
                for n, at in enumerate(spots):
                    for m, s in enumerate(places):
                        total, x = sums[n * len(places) + m], fetch(it.args[0], at, s)
                        out.append(f.multiply_add(x, fetch(it.args[1], at, s), total) if dotted else f.two("fadd", total, x))
                return out

            if it.terms <= 4:
                sums = begin
                for k in range(it.terms):
                    sums = term(Index((), k), sums)
            else:
                with f.loop(it.terms, 1, [(f.target.vector, b) for b in begin]) as (j, values, results):
                    results[:] = term(j, values)
                sums = results
            for n, at in enumerate(spots):
                out = f.located(it.out, at)
                for m, s in enumerate(places):
                    f.store(it.out, out, s, sums[n * len(places) + m])

        nest(f, it.shape, tiles, tile)

    over_samples(f, u, samples)


def write_total(f: Function, it: Total, direct: int) -> None:
    """Sums over the samples of a block, a tile of them at a time, added to the accumulators, which are kept lane by lane.

    Where a block is a chunk and `direct` is the number of sums, they go straight to the array of sums instead.
    """
    t = f.target
    array = f.sums(direct) if direct else ""
    if len(it.shape) > 1 and it.shape[-1] > it.shape[-2]:  # the longer loop outside: its operand is read once
        it = Total(turned(it.shape), it.terms, *(a and turned_operand(a, len(it.shape)) for a in (it.out, it.x, it.y)))  # type: ignore[arg-type]
    tiles = [1] * len(it.shape)
    if len(tiles) > 1:
        tiles[-2:] = [2, 2] if t.sums < 8 else [2, 4] if t.sums < 16 else [4, 4]
    elif tiles:
        tiles[0] = min(8, t.sums)

    def tile(first: list[Index], extent: list[int]) -> None:
        spots = list(positions(first, extent))
        rows = [f.located(it.out, at) * ((1 if direct else t.lanes) * t.size) for at in spots]
        begin = [f.number(0.0)] * len(rows)
        if not direct:
            begin = [f.new(f"load {t.vector}, ptr {f.address('totals', row)}, align {t.size}") for row in rows]

        def term(s: Index, sums: Sequence[str]) -> list[str]:
            seen: dict[Any, str] = {}

            def fetch(arg: Operand, at: tuple[Index, ...]) -> str:
                i = f.located(arg, at)
                key = (id(arg), i)
                if key not in seen:
                    seen[key] = f.load(arg, i, s)
                return seen[key]

            def plus(total: str, at: tuple[Index, ...]) -> str:
                x = fetch(it.x, at)
                return f.two("fadd", total, x) if it.y is None else f.multiply_add(x, fetch(it.y, at), total)

            # the terms of a sample by themselves where exact, as the definition has it
            found = [f.number(0.0)] * len(sums) if t.exact and it.terms > 1 else list(sums)
            if it.terms <= UNROLLED:
                for j in range(it.terms):
                    found = [plus(total, (*at, Index((), j))) for total, at in zip(found, spots, strict=True)]
            else:
                with f.loop(it.terms, 1, [(t.vector, x) for x in found]) as (k, values, found):
                    found[:] = [plus(total, (*at, k)) for total, at in zip(values, spots, strict=True)]
            if t.exact and it.terms > 1:
                found = [f.two("fadd", total, own) for total, own in zip(sums, found, strict=True)]
            return found

        if t.block == t.lanes:
            sums = term(Index(), begin)
        else:
            with f.loop(t.block, t.lanes, [(t.vector, b) for b in begin]) as (s, values, results):
                results[:] = term(s, values)
            sums = results
        if not direct:
            for total, row in zip(sums, rows, strict=True):
                f.do(f"store {t.vector} {total}, ptr {f.address('totals', row)}, align {t.size}")
            return
        for total, row in zip(over_lanes(f, sums), rows, strict=True):
            f.do(f"store {t.real} {total}, ptr {f.address(array, row)}, align {t.size}")

    nest(f, it.shape, tiles, tile)


def turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-2], shape[-1], shape[-2])


def turned_operand(x: Operand, axes: int) -> Operand:
    return replace(x, strides=(*turned(x.strides[:axes]), *x.strides[axes:]))


def over_lanes(f: Function, vectors: Sequence[str], divisor: str = "") -> list[str]:
    """The sum over the lanes of every vector, neighbours first: a tree for as many vectors at once as one has lanes.

    Divided by `divisor`, a vector of one number, where given.
    """
    t, found = f.target, list[str]()
    if t.lanes == 1:
        return [f.new(f"fdiv {t.real} {x}, {divisor}") if divisor else x for x in vectors]
    for start in range(0, len(vectors), t.lanes):
        group = list(vectors[start : start + t.lanes])
        many, pairs = len(group), t.lanes
        while pairs > 1:
            pairs //= 2
            group += group[-1:] * (len(group) % 2 if len(group) > 1 else 1)
            even, odd = (range(k, 2 * t.lanes, 2) for k in (0, 1))
            group = [
                f.new(f"fadd {t.vector} {f.shuffle(a, b, t.lanes, even)}, {f.shuffle(a, b, t.lanes, odd)}")
                for a, b in zip(group[::2], group[1::2], strict=True)
            ]
        if divisor:
            group = [f.new(f"fdiv {t.vector} {group[0]}, {divisor}")]
        found += [f.new(f"extractelement {t.vector} {group[0]}, i64 {i}") for i in range(many)]
    return found


def write_logsumexp(f: Function, it: Instruction) -> None:
    """log Σ exp(x) for every element, shifted by the largest."""

    def samples(places: list[Index]) -> None:
        def tile(first: list[Index], extent: list[int]) -> None:
            for at in positions(first, extent):

                def fetch(j: Index, at: tuple[Index, ...] = at) -> str:
                    return f.load(it.args[0], f.located(it.args[0], (*at, j)), places[0])

                with f.loop(it.terms, 1, [(f.target.vector, f.number(-math.inf))]) as (j, (top,), out):
                    out[0] = larger(f, top, fetch(j))
                top = out[0]
                with f.loop(it.terms, 1, [(f.target.vector, f.number(0.0))]) as (j, (total,), out):
                    out[0] = f.two("fadd", total, f.call("exp", f.two("fsub", fetch(j), top)))
                f.store(it.out, f.located(it.out, at), places[0], log_of_sum(f, top, out[0]))

        nest(f, it.shape, [1] * len(it.shape), tile)

    over_samples(f, 1, samples)


def larger(f: Function, x: str, y: str) -> str:
    """The larger of two numbers; nan where one is."""
    return f.choose(f.compare("uno", y, y), y, f.choose(f.compare("ogt", y, x), y, x))


def log_of_sum(f: Function, top: str, total: str) -> str:
    """top + log(total); top itself where it is infinite or nan."""
    size = _intrinsic("fabs")(f, top)
    return f.choose(f.compare("olt", size, f.number(math.inf)), f.two("fadd", top, f.call("log", total)), top)


def write_take(f: Function, it: Instruction) -> None:
    """table[index] for every element, lane by lane."""

    def samples(places: list[Index]) -> None:
        def tile(first: list[Index], extent: list[int]) -> None:
            for at in positions(first, extent):
                index = f.load(it.args[0], f.located(it.args[0], at), places[0])
                f.store(it.out, f.located(it.out, at), places[0], chosen(f, it, index, at, places[0]))

        nest(f, it.shape, [1] * len(it.shape), tile)

    over_samples(f, 1, samples)


def chosen(f: Function, it: Instruction, index: str, at: tuple[Index, ...], s: Index) -> str:
    """The entries of a table that the lanes of `index` choose; an index beyond the table chooses its last entry."""
    t, table = f.target, it.args[1]
    if table.value is not None:  # one constant in all places
        return f.number(table.value)
    out = "poison"
    for lane in range(t.lanes):
        one = index if t.lanes == 1 else f.new(f"extractelement {t.vector} {index}, i64 {lane}")
        whole = f.new(f"call i64 @llvm.fptoui.sat.i64.{t.suffix}({t.real} {one})")
        k = f.new(f"call i64 @llvm.umin.i64(i64 {whole}, i64 {it.terms - 1})")
        slot = f.located(table, (*at, Index(((k, 1),))))
        bytes_at = f.lanes_at(slot, s + lane) if table.place == ROWS else slot * t.size
        value = f.new(f"load {t.real}, ptr {f.address(table.place, bytes_at)}, align {t.size}")
        out = value if t.lanes == 1 else f.new(f"insertelement {t.vector} {out}, {t.real} {value}, i64 {lane}")
    return out


WRITERS: dict[str, Callable[[Function, Instruction], None]] = {
    "sum": write_sum,
    "dot": write_sum,
    "logsumexp": write_logsumexp,
    "take": write_take,
}


# -- straight-line code


@dataclass(frozen=True)
class Operation:
    """One primitive on single slots: (place, slot) each, or a number."""

    name: str
    out: tuple[str, int]
    args: tuple[Any, ...]

    @property
    def cost(self) -> int:
        return max(1, len(self.args) - 1) if self.name in WRITERS else 1


def operations(it: Instruction) -> Iterator[Operation]:
    """The elements of a vector instruction, one by one."""
    for position in np.ndindex(*it.shape):

        def one(arg: Operand, at: tuple[int, ...]) -> Any:
            return arg.value if arg.value is not None else (arg.place, arg.slot(at))

        args: list[Any] = []
        for a in it.args:
            many = it.terms and len(a.strides) > len(position)
            args += [one(a, (*position, j)) for j in range(it.terms)] if many else [one(a, position)]
        yield Operation(it.name, (it.out.place, it.out.slot(position)), tuple(args))


def depth_first(makers: Mapping[Any, Operation], roots: Iterable[Any], done: set[Any]) -> list[Operation]:
    """The operations that `roots` need and that are not in `done`, each as late as what needs it allows.

    So few values are alive at once. `makers` are the operations by their results.
    """
    order: list[Operation] = []
    for root in roots:
        stack: list[tuple[Any, bool]] = [(root, False)]
        while stack:
            at, ready = stack.pop()
            if ready:
                order.append(makers[at])
            elif at in makers and at not in done:
                done.add(at)
                stack.append((at, True))
                stack.extend((a, False) for a in reversed(makers[at].args) if a.__class__ is tuple)
    return order


class Held:
    """Values in registers, by place and slot, at one place `s` of the block; loaded when they are first asked for."""

    def __init__(self, f: Function, s: Index):
        self.f, self.s = f, s
        self.values: dict[Any, str] = {}
        self.arrive: dict[Any, Callable[[], None]] = {}  # what puts slots here that come from outside

    def fetch(self, arg: Any) -> str:
        if not isinstance(arg, tuple):
            return self.f.number(arg)
        if arg in self.arrive and arg not in self.values:
            self.arrive[arg]()
        if arg not in self.values:
            place, slot = arg
            self.values[arg] = self.f.load(Operand(place), Index((), slot), self.s)
        return self.values[arg]

    def spell(self, one: Operation) -> str:
        args = one.args if one.name == "dot" else [self.fetch(a) for a in one.args]
        value = self.values[one.out] = spell_one(self.f, one.name, args, self.fetch)
        return value


def write_straight(f: Function, work: Sequence[Operation], wanted: Callable[[tuple[str, int]], bool]) -> None:
    """The operations one after the other, values in registers; those that are wanted elsewhere are stored."""

    def samples(places: list[Index]) -> None:
        held = Held(f, places[0])
        for one in work:
            value = held.spell(one)
            if wanted(one.out):
                place, slot = one.out
                f.store(Operand(place), Index((), slot), places[0], value)

    over_samples(f, 1, samples)


def write_whole(
    f: Function,
    inputs: Sequence[Rows],
    work: Sequence[Operation],
    columns: Mapping[int, Sequence[tuple[int, int]]],
    groups: Mapping[int, Sequence[int]],
) -> None:
    """From the rows of the arguments to those of the results in one go, values in registers all the way.

    `columns` and `groups` are what write_columns and write_rows_out are given, by the number of their array. Where they are
    streamed, a block of rows is put together where values otherwise lie, and goes to its array line by line of the cache.
    """
    t = f.target
    sources = [(it, _pointer(f, ARRAYS + it.number)) for it in inputs]
    results = {number: _pointer(f, number) for number in (*columns, *groups)}
    count = f.new(f"load i64, ptr {f.address('frame', Index((), COUNT * 8))}, align 8") if columns else ""
    makers = {one.out: one for one in work}
    starts = {number: Index((("%first", len(slots) * t.size),)) for number, slots in groups.items()}
    staged = dict(zip(groups, accumulate([len(slots) * t.block * t.size for slots in groups.values()], initial=0)))  # noqa: B905
    past = f"align {t.lanes * t.size}, !nontemporal !1" if t.streamed else f"align {t.size}"

    def samples(places: list[Index]) -> None:
        s = places[0]
        held, done = Held(f, s), set[Any]()

        def arrive(it: Rows, array: str, column: int) -> None:
            for k, value in enumerate(columns_in(f, it, array, Index((), column), s)):
                held.values.setdefault((ROWS, it.base + column + k), value)

        for it, array in sources:
            for column in tiles_of(it.width, t.lanes):
                for k in range(column, min(it.width, column + t.lanes)):
                    held.arrive.setdefault((ROWS, it.base + k), partial(arrive, it, array, column))

        def made(slots: Sequence[int]) -> list[str]:
            for one in depth_first(makers, [(ROWS, slot) for slot in slots], done):
                held.spell(one)
            return [held.fetch((ROWS, slot)) for slot in slots]

        for number, pairs in columns.items():
            for row, slot in pairs:
                at = f.address(results[number], column_start(row, t, count) + s * t.size)
                f.do(f"store {t.vector} {made([slot])[0]}, ptr {at}, {past}")
        for number, slots in groups.items():
            width = len(slots)
            array, start = (ROWS, Index((), staged[number])) if t.streamed else (results[number], starts[number])
            for column in tiles_of(width, t.lanes):
                values = made(slots[column : column + t.lanes])
                rows_out(f, array, start + s * (width * t.size), column, width, values)

    over_samples(f, 1, samples)
    for number, slots in groups.items() if t.streamed else ():
        with f.loop(len(slots) * t.block, t.lanes, []) as (i, _, _):
            line = f.address(ROWS, i * t.size + staged[number])
            value = f.new(f"load {t.vector}, ptr {line}, align {t.lanes * t.size}")
            f.do(f"store {t.vector} {value}, ptr {f.address(results[number], starts[number] + i * t.size)}, {past}")


def spell_one(f: Function, name: str, args: Sequence[Any], fetch: Callable[[Any], str]) -> str:
    """One primitive on values in registers."""
    if name == "dot":
        n = len(args) // 2
        total = fetch(args[-1])
        for x, y in zip(args[:n], args[n:-1], strict=True):
            total = f.multiply_add(fetch(x), fetch(y), total)
        return total
    if name == "sum":
        total = f.number(0.0)
        for x in args:
            total = f.two("fadd", total, x)
        return total
    if name == "logsumexp":
        top = args[0]
        for x in args[1:]:
            top = larger(f, top, x)
        total = f.number(0.0)
        for x in args:
            total = f.two("fadd", total, f.call("exp", f.two("fsub", x, top)))
        return log_of_sum(f, top, total)
    return SPELLINGS[name](f, *args) if name in SPELLINGS else f.call(name, *args)


# -- between arrays and lanes


def transposed(f: Function, rows: list[str]) -> list[str]:
    """As many vectors as they have lanes, with rows and lanes exchanged."""
    n, d = len(rows), 1
    while d < n:
        swapped = list(rows)
        for i in range(n):
            if not i & d:
                j = i | d
                swapped[i] = f.shuffle(rows[i], rows[j], n, [n + k - d if k & d else k for k in range(n)])
                swapped[j] = f.shuffle(rows[i], rows[j], n, [n + k if k & d else k + d for k in range(n)])
        rows, d = swapped, d * 2
    return rows


@dataclass(frozen=True)
class Rows:
    """An array from outside: its number in the frame, and the slots from `base` on that its columns fill."""

    number: int
    base: int
    width: int


def _pointer(f: Function, number: int) -> str:
    """The name of the pointer to the numbers of an array that the frame names, for addresses."""
    f.do(f"%object{number} = load ptr, ptr {f.address('frame', Index((), number * 8))}, align 8")
    f.do(f"%array{number} = load ptr, ptr {f.address(f'object{number}', Index((), DATA))}, align 8")
    return f"array{number}"


def write_single_rows(f: Function, it: Rows) -> None:
    """Copies of `count` rows, number by number; the lanes that are left repeat the last row."""
    t = f.target
    array = _pointer(f, ARRAYS + it.number)
    last = f.new("sub i64 %count, 1")
    with f.loop(t.block, 1, []) as (s, _, _):
        row = f.new(f"add i64 %first, {f.new(f'call i64 @llvm.umin.i64(i64 {s.terms[0][0]}, i64 {last})')}")
        with f.loop(it.width, 1, []) as (i, _, _):
            source = f.address(array, Index(((row, it.width * t.size),)) + i * t.size)
            value = f.new(f"load {t.real}, ptr {source}, align {t.size}")
            f.do(f"store {t.real} {value}, ptr {f.address(ROWS, f.lanes_at(i + it.base, s))}, align {t.size}")


def tiles_of(width: int, lanes: int) -> list[int]:
    """The first columns of the tiles that rows are turned round in, each of as many as one has lanes; the last may overlap."""
    return list(dict.fromkeys([*range(0, width - lanes + 1, lanes), max(0, width - lanes)]))


def masked(f: Function, width: int) -> str:
    """The operand that says that only the first `width` lanes are loaded or stored."""
    n = f.target.lanes
    return f"<{n} x i1> <{', '.join(f'i1 {int(i < width)}' for i in range(n))}>"


def columns_in(f: Function, it: Rows, array: str, column: Index, s: Index) -> list[str]:
    """The vectors of the columns from `column` on, up to as many as one has lanes, of the rows from place `s` on."""
    t, width, n = f.target, it.width, f.target.lanes
    corner = Index((("%first", width * t.size),)) + s * (width * t.size) + column * t.size
    if width <= 2:
        ends = [f.address(array, corner + k * n * t.size) for k in range(width)]
        parts = [f.new(f"load {t.vector}, ptr {end}, align {t.size}") for end in ends]
        return parts if width == 1 else [f.shuffle(parts[0], parts[1], n, range(k, 2 * n, 2)) for k in range(2)]
    ends = [f.address(array, corner + k * width * t.size) for k in range(n)]
    load = f"load {t.vector}, ptr {{}}, align {t.size}"
    if width < n:
        what = f"ptr {{}}, i32 {t.size}, {masked(f, width)}, {t.vector} zeroinitializer"
        load = f"call {t.vector} @llvm.masked.load.v{n}{t.suffix}.p0({what})"
    return transposed(f, [f.new(load.format(end)) for end in ends])[:width]


def write_rows(f: Function, it: Rows) -> None:
    """Copies of a whole block of rows, tile by tile of vectors turned round."""
    t, width, n = f.target, it.width, f.target.lanes
    if n == 1:
        write_single_rows(f, it)
        return
    array = _pointer(f, ARRAYS + it.number)

    def samples(places: list[Index]) -> None:
        def tile(at: list[Index], _: list[int]) -> None:
            for k, value in enumerate(columns_in(f, it, array, at[0], places[0])):
                to = f.address(ROWS, f.lanes_at(at[0] + (it.base + k), places[0]))
                f.do(f"store {t.vector} {value}, ptr {to}, align {t.size}")

        if width > n:
            nest(f, [width - width % n], [n], tile)
        if width % n or width == n:
            tile([Index((), max(0, width - n))], [])

    over_samples(f, 1, samples)


def write_no_tail(f: Function, slots: Operand) -> None:
    """Zeros for the lanes beyond `count` of the slots in a table, so that they add nothing to sums over the samples."""
    t = f.target
    left = f.new(f"sub i64 {t.block}, %count")
    with f.loop(slots.count, 1, []) as (i, _, _):
        slot = f.located(slots, [i])
        with f.loop(left, 1, []) as (s, _, _):
            at = f.address(ROWS, f.lanes_at(slot, s + Index((("%count", 1),))))
            f.do(f"store {t.real} 0.0, ptr {at}, align {t.size}")


def write_filled(f: Function, slots: Operand, x: float) -> None:
    """The same number for all samples, in each of the slots in a table."""
    with f.loop(slots.count, 1, []) as (i, _, _):
        slot = f.located(slots, [i])

        def samples(places: list[Index]) -> None:
            for s in places:
                f.store(slots, slot, s, f.number(x))

        over_samples(f, unrolled(f, 4), samples)


def write_clear(f: Function, numbers: int) -> None:
    """Zeros in the accumulators: a whole number of vectors of them."""
    t = f.target
    with f.loop(numbers, t.lanes, []) as (i, _, _):
        f.do(f"store {t.vector} zeroinitializer, ptr {f.address('totals', i * t.size)}, align {t.size}")


def write_finish(f: Function, many: int) -> None:
    """The sum over the lanes of every accumulator, divided, into the array of sums."""
    t, array = f.target, f.sums(many)
    divisor = f.splat(f.new(f"load {t.real}, ptr {f.address('frame', Index((), DIVISOR * 8))}, align 8"))

    def tile(first: list[Index], extent: list[int]) -> None:
        spots = [first[0] + k for k in range(extent[0])]
        step = t.lanes * t.size
        vectors = [f.new(f"load {t.vector}, ptr {f.address('totals', i * step)}, align {t.size}") for i in spots]
        for i, value in zip(spots, over_lanes(f, vectors, divisor), strict=True):
            f.do(f"store {t.real} {value}, ptr {f.address(array, i * t.size)}, align {t.size}")

    nest(f, [many], [t.lanes], tile)


def column_start(number: int, t: Target, count: str) -> Index:
    """Where this block's part of a row of an array of results begins."""
    return Index((("%first", t.size), (count, number * t.size)) if number else (("%first", t.size),))


def write_columns(f: Function, array_number: int, slots: Sequence[tuple[int, int]], part: bool) -> None:
    """The numbers of slots, each one after the other, as rows of an array of results: pairs of its row and the slot."""
    t = f.target
    array = _pointer(f, array_number)
    count = f.new(f"load i64, ptr {f.address('frame', Index((), COUNT * 8))}, align 8")
    for number, slot in slots:
        start = column_start(number, t, count)
        if part:
            with f.loop("%count", 1, []) as (s, _, _):
                value = f.new(f"load {t.real}, ptr {f.address(ROWS, f.lanes_at(Index((), slot), s))}, align {t.size}")
                f.do(f"store {t.real} {value}, ptr {f.address(array, start + s * t.size)}, align {t.size}")
            continue

        def samples(places: list[Index], slot: int = slot, start: Index = start) -> None:
            for s in places:
                value = f.load(Operand(ROWS), Index((), slot), s)
                f.do(f"store {t.vector} {value}, ptr {f.address(array, start + s * t.size)}, align {t.size}")

        over_samples(f, unrolled(f, 4), samples)


def rows_out(f: Function, array: str, corner: Index, column: int, width: int, values: Sequence[str]) -> None:
    """Vectors of columns, from `column` on, into rows of `width` that begin at `corner`: as many rows as one has lanes."""
    t, n = f.target, f.target.lanes
    if width == 2:
        for k in range(2):
            mixed = f.shuffle(values[0], values[1], n, [i // 2 + k * n // 2 + n * (i % 2) for i in range(n)])
            f.do(f"store {t.vector} {mixed}, ptr {f.address(array, corner + k * n * t.size)}, align {t.size}")
        return
    store = f"store {t.vector} {{}}, ptr {{}}, align {t.size}"
    if width < n:
        store = f"call void @llvm.masked.store.v{n}{t.suffix}.p0({t.vector} {{}}, ptr {{}}, i32 {t.size}, {masked(f, width)})"
    for k, row in enumerate(transposed(f, [*values, *[f.number(0.0)] * (n - len(values))])):
        f.do(store.format(row, f.address(array, corner + (column + k * width) * t.size)))


def write_rows_out(f: Function, number: int, slots: Sequence[int], part: bool) -> None:
    """The numbers of slots, side by side in the rows of an array: a whole block of rows, or `part` of one."""
    t, width, n = f.target, len(slots), f.target.lanes
    array = _pointer(f, number)
    first = Index((("%first", width * t.size),))
    if part or n == 1:
        with f.loop("%count", 1, []) as (s, _, _):
            for column, slot in enumerate(slots):
                value = f.new(f"load {t.real}, ptr {f.address(ROWS, f.lanes_at(Index((), slot), s))}, align {t.size}")
                at = first + s * (width * t.size) + column * t.size
                f.do(f"store {t.real} {value}, ptr {f.address(array, at)}, align {t.size}")
        return

    def samples(places: list[Index]) -> None:
        for column in tiles_of(width, n):
            values = [f.load(Operand(ROWS), Index((), slot), places[0]) for slot in slots[column : column + n]]
            rows_out(f, array, first + places[0] * (width * t.size), column, width, values)

    over_samples(f, 1, samples)


def write_fixed(f: Function, number: int, base: int, width: int) -> None:
    """The numbers of an array that is the same for all samples, copied to where shared numbers are."""
    t = f.target
    array = _pointer(f, number)
    with f.loop(width, 1, []) as (i, _, _):
        value = f.new(f"load {t.real}, ptr {f.address(array, i * t.size)}, align {t.size}")
        f.do(f"store {t.real} {value}, ptr {f.address(SHARED, (i + base) * t.size)}, align {t.size}")


def write_same(f: Function, array_number: int, slots: Sequence[tuple[int, int, str]]) -> None:
    """Shared numbers as rows of an array of results, the same for all samples: triples of row, slot and place."""
    t = f.target
    array = _pointer(f, array_number)
    count = f.new(f"load i64, ptr {f.address('frame', Index((), COUNT * 8))}, align 8")
    for number, slot, place in slots:
        value = f.new(f"load {t.real}, ptr {f.address(place, Index((), slot * t.size))}, align {t.size}")
        some, none = f.label(), f.label()
        f.do(f"br i1 {f.new(f'icmp ugt i64 {count}, 0')}, label %{some}, label %{none}")
        f.start(some)
        with f.loop(count, 1, []) as (s, _, _):
            at = s * t.size + (Index(((count, number * t.size),)) if number else 0)
            f.do(f"store {t.real} {value}, ptr {f.address(array, at)}, align {t.size}")
        f.do(f"br label %{none}")
        f.start(none)
        f.addresses.append({})  # what was computed in a branch is not known after it


def write_driver(target: Target, before: Sequence[str], whole: Sequence[str], part: Sequence[str], sums: bool) -> str:
    """The function `run(frame, first, count, prepare)`: what is computed once, where `prepare` is 1, then every chunk.

    `all(frame)` is the whole of it at once. `share(frame, next, span)` is what one of several threads does: as long as there
    are samples left, the next `span` of them, from `next` on, which all threads count up.
    A chunk is worked through block by block: `whole` are the functions for a block, `part` those for the last, shorter one.
    """
    arguments = ", ".join(f"ptr %{a}" for a in PARAMETERS)
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
            *calls(["clear"] if sums else [], "%start", "0"),
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
            *calls(["finish"] if sums else [], "%start", "0"),
            "  br label %chunks",
            "done:",
            *(["  fence seq_cst"] if target.streamed else []),  # what went past the caches is there for all threads
            "  ret void",
            "}",
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
            "  %count = call i64 @llvm.umin.i64(i64 %left, i64 %span)",
            "  call void @run(ptr %frame, i64 %first, i64 %count, i64 0)",
            "  br label %take",
            "done:",
            "  ret void",
            "}",
        ]
    )


def preamble(t: Target) -> str:
    """The declarations that every module begins with."""
    kinds = [(t.real, "f64" if t.size == 8 else "f32")]
    if t.lanes > 1:
        kinds.append((t.vector, f"v{t.lanes}{kinds[0][1]}"))
    lines = ["declare i64 @llvm.umin.i64(i64, i64)"]
    for kind, suffix in kinds:
        lines += [f"declare {kind} @llvm.{name}.{suffix}({kind})" for name in ("fabs", "sqrt")]
        lines.append(f"declare {kind} @llvm.fmuladd.{suffix}({kind}, {kind}, {kind})")
    lines.append(f"declare i64 @llvm.fptoui.sat.i64.{t.suffix}({t.real})")
    if t.lanes > 1:
        kind, suffix = kinds[1]
        lines.append(f"declare {kind} @llvm.masked.load.{suffix}.p0(ptr, i32, <{t.lanes} x i1>, {kind})")
        lines.append(f"declare void @llvm.masked.store.{suffix}.p0({kind}, ptr, i32, <{t.lanes} x i1>)")
    return "\n".join([*lines, "!0 = !{}", "!1 = !{i32 1}"])
