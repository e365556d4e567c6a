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
from typing import Any

import numpy as np

VARYING, SHARED, THETA = "lanes", "shared", "theta"  # the arrays that slots live in
PARAMETERS = (VARYING, SHARED, THETA, "totals", "tables", "frame")  # what every function is given; the last leads to the others
DIVISOR, SUMS, ARRAYS = 6, 7, 8  # entries of the frame: what sums are divided by, where they go, the arrays of rows


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
    table: np.ndarray[Any, Any] | None = None  # slots, one per element, in the order of the loops
    value: float | None = None
    table_id: int = -1

    def slot(self, position: Sequence[int], shape: Sequence[int]) -> int:
        """The slot of one element."""
        if self.table is not None:
            return int(self.table[np.ravel_multi_index(tuple(position), tuple(shape)) if shape else 0])
        return self.base + sum(i * s for i, s in zip(position, self.strides, strict=True))


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
    """A sum over the samples of x, or of x times y, for every element of `shape`, into accumulators from `base` on."""

    shape: tuple[int, ...]
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
    operations: int = 0

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

    @property
    def zero(self) -> str:
        return "0.0"

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
        """A loop from 0 to `count`: (counter, values carried in, to be replaced by those carried out, which become the results)."""
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

    def located(self, arg: Operand, position: Sequence[Index], shape: Sequence[int]) -> Index:
        """The slot of an element as an index; through the table where the operand is a gather."""
        if arg.table is None:
            at = Index((), arg.base)
            for i, by in zip(position, arg.strides, strict=True):
                at = at + i * by
            return at
        flat = Index()
        for i, n in zip(position, shape, strict=True):
            flat = flat * n + i
        if not flat.terms:
            return Index((), int(arg.table[flat.offset]))
        entry = self.address("tables", (flat + arg.table_id) * 4)
        value = self.new(f"load i32, ptr {entry}, align 4, !invariant.load !0")
        return Index(((self.new(f"zext i32 {value} to i64"), 1),))

    def load(self, arg: Operand, at: Index, sample: Index) -> str:
        """The vector of one element at one place of the block."""
        t = self.target
        if arg.value is not None:
            return self.number(arg.value)
        if arg.place == VARYING:
            return self.new(f"load {t.vector}, ptr {self.address(VARYING, self.lanes_at(at, sample))}, align {t.size}")
        return self.splat(self.new(f"load {t.real}, ptr {self.address(arg.place, at * t.size)}, align {t.size}"))

    def store(self, arg: Operand, at: Index, sample: Index, value: str) -> None:
        t = self.target
        self.do(f"store {t.vector} {value}, ptr {self.address(VARYING, self.lanes_at(at, sample))}, align {t.size}")

    # -- arithmetic

    def two(self, operation: str, x: str, y: str) -> str:
        self.operations += 1
        flags = "" if self.target.exact else " contract"
        return self.new(f"{operation}{flags} {self.target.vector} {x}, {y}")

    def multiply_add(self, x: str, y: str, start: str) -> str:
        t = self.target
        self.operations += 1
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
        """A function of the mathematics library, for all lanes: of as many lanes at a time as the library has it for."""
        t = self.target
        self.operations += 8
        n = t.lanes
        while n > 1 and (name, n) not in t.library:
            n //= 2
        kind = t.real if n == 1 else f"<{n} x {t.real}>"
        function = f"inttoptr (i64 {t.library[name, n]} to ptr)"
        if n == t.lanes:
            return self.new(f"call {kind} {function}({', '.join(f'{kind} {a}' for a in args)})")
        out = "poison"
        for first in range(0, t.lanes, n):
            if n == 1:
                part = [self.new(f"extractelement {t.vector} {a}, i64 {first}") for a in args]
                one = self.new(f"call {kind} {function}({', '.join(f'{kind} {a}' for a in part)})")
                out = self.new(f"insertelement {t.vector} {out}, {kind} {one}, i64 {first}")
                continue
            part = [self.shuffle(a, "poison", t.lanes, range(first, first + n)) for a in args]
            one = self.new(f"call {kind} {function}({', '.join(f'{kind} {a}' for a in part)})")
            wide = self.shuffle(one, "poison", n, [i % n for i in range(t.lanes)])
            chosen = [t.lanes + i if first <= i < first + n else i for i in range(t.lanes)]
            out = wide if out == "poison" else self.shuffle(out, wide, t.lanes, chosen)
        return out

    def shuffle(self, x: str, y: str, lanes: int, chosen: Iterable[int]) -> str:
        """A vector of chosen lanes of `x` and, after them, `y`."""
        kind, mask = f"<{lanes} x {self.target.real}>", list(chosen)
        return self.new(f"shufflevector {kind} {x}, {kind} {y}, <{len(mask)} x i32> <{', '.join(f'i32 {i}' for i in mask)}>")

    def text(self) -> str:
        parameters = ", ".join(f"ptr noalias %{a}" for a in PARAMETERS)
        return "\n".join([f"define void @{self.name}({parameters}, i64 %first, i64 %count) nounwind {{", "entry:", *self.lines, "  ret void", "}"])


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


def _sigmoid(f: Function, x: str) -> str:
    e = f.call("exp", f.new(f"fneg {f.target.vector} {x}"))
    out = f.two("fdiv", f.number(1.0), f.two("fadd", f.number(1.0), e))
    overflow = f.compare("oeq", e, f.number(math.inf))
    return f.choose(overflow, f.call("exp", x), out) if f.target.exact else out


def _softplus(f: Function, x: str) -> str:
    e = f.call("exp", f.new(f"fneg {f.target.vector} {_intrinsic('fabs')(f, x)}"))
    return f.two("fadd", _choice(f, x, "olt", 0.0, f.number(0.0), x), f.call("log1p", e))


def _intrinsic(name: str) -> Callable[[Function, str], str]:
    def spell(f: Function, x: str) -> str:
        t = f.target
        suffix = ("" if t.lanes == 1 else f"v{t.lanes}") + ("f64" if t.size == 8 else "f32")
        f.operations += 1
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
    "where": _where,
}


# -- loop nests


def nest(
    f: Function, shape: Sequence[int], tiles: Sequence[int], body: Callable[[list[Index], list[int]], None], at: Any = ()
) -> None:
    """Loops over `shape` that call `body(first position, extent)` for every tile, the rest of a dimension in a tile of its own."""
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
                slots = [f.located(a, at, it.shape) if a.value is None else Index() for a in it.args]
                out = f.located(it.out, at, it.shape)
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
    full = (*it.shape, it.terms)

    def samples(places: list[Index]) -> None:
        def tile(first: list[Index], extent: list[int]) -> None:
            spots = list(positions(first, extent))
            zero = f.number(0.0)
            begin = []
            for at in spots:
                if not dotted:
                    begin += [zero] * len(places)
                    continue
                slot = f.located(it.args[2], at, it.shape) if it.args[2].value is None else Index()
                if it.args[2].place == VARYING or it.args[2].value is not None:
                    begin += [f.load(it.args[2], slot, s) for s in places]
                else:
                    begin += [f.load(it.args[2], slot, Index())] * len(places)

            def term(j: Index, sums: Sequence[str]) -> list[str]:
                seen: dict[Any, str] = {}

                def fetch(arg: Operand, at: tuple[Index, ...], s: Index) -> str:
                    i = Index() if arg.value is not None else f.located(arg, (*at, j), full)
                    key = (id(arg), i, s if arg.place == VARYING else None)
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
                for j in range(it.terms):
                    sums = term(Index((), j), sums)
            else:
                with f.loop(it.terms, 1, [(f.target.vector, b) for b in begin]) as (j, values, results):
                    results[:] = term(j, values)
                sums = results
            for n, at in enumerate(spots):
                out = f.located(it.out, at, it.shape)
                for m, s in enumerate(places):
                    f.store(it.out, out, s, sums[n * len(places) + m])

        nest(f, it.shape, tiles, tile)

    over_samples(f, u, samples)


def write_total(f: Function, it: Total, direct: bool) -> None:
    """Sums over the samples of a block, a tile of them at a time, added to the accumulators.

    Those have a number for every lane, or, `direct`, one for all: less memory, where there are many.
    """
    t = f.target
    if len(it.shape) > 1 and it.shape[-1] > it.shape[-2]:  # the longer loop outside: its operand is read once
        it = Total(turned(it.shape), turned_operand(it.out), turned_operand(it.x), it.y and turned_operand(it.y))
    tiles = [1] * len(it.shape)
    if len(tiles) > 1:
        tiles[-2:] = [2, 2] if t.sums < 8 else [2, 4] if t.sums < 16 else [4, 4]
    elif tiles:
        tiles[0] = min(8, t.sums)

    def tile(first: list[Index], extent: list[int]) -> None:
        spots = list(positions(first, extent))
        rows = [f.located(it.out, at, it.shape) * ((1 if direct else t.lanes) * t.size) for at in spots]
        begin = [f.number(0.0)] * len(rows)
        if not direct:
            begin = [f.new(f"load {t.vector}, ptr {f.address('totals', row)}, align {t.size}") for row in rows]

        def term(s: Index, sums: Sequence[str]) -> list[str]:
            seen: dict[Any, str] = {}

            def fetch(arg: Operand, at: tuple[Index, ...]) -> str:
                i = f.located(arg, at, it.shape) if arg.value is None else Index()
                key = (id(arg), i)
                if key not in seen:
                    seen[key] = f.load(arg, i, s)
                return seen[key]

            out = []
            for total, at in zip(sums, spots, strict=True):
                x = fetch(it.x, at)
                out.append(f.two("fadd", total, x) if it.y is None else f.multiply_add(x, fetch(it.y, at), total))
            return out

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
            place = f.address("totals", row)
            before = f.new(f"load {t.real}, ptr {place}, align {t.size}")
            f.do(f"store {t.real} {f.new(f'fadd {t.real} {before}, {total}')}, ptr {place}, align {t.size}")

    nest(f, it.shape, tiles, tile)


def turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-2], shape[-1], shape[-2])


def turned_operand(x: Operand) -> Operand:
    return replace(x, strides=turned(x.strides)) if x.value is None else x


def over_lanes(f: Function, vectors: Sequence[str]) -> list[str]:
    """The sum over the lanes of every vector, neighbours first: a tree for as many vectors at once as one has lanes."""
    t, found = f.target, list[str]()
    if t.lanes == 1:
        return list(vectors)
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
        found += [f.new(f"extractelement {t.vector} {group[0]}, i64 {i}") for i in range(many)]
    return found


def write_logsumexp(f: Function, it: Instruction) -> None:
    """log Σ exp(x) for every element, shifted by the largest."""
    full = (*it.shape, it.terms)

    def samples(places: list[Index]) -> None:
        def tile(first: list[Index], extent: list[int]) -> None:
            for at in positions(first, extent):

                def fetch(j: Index, at: tuple[Index, ...] = at) -> str:
                    return f.load(it.args[0], f.located(it.args[0], (*at, j), full), places[0])

                with f.loop(it.terms, 1, [(f.target.vector, f.number(-math.inf))]) as (j, (top,), out):
                    out[0] = larger(f, top, fetch(j))
                top = out[0]
                with f.loop(it.terms, 1, [(f.target.vector, f.number(0.0))]) as (j, (total,), out):
                    out[0] = f.two("fadd", total, f.call("exp", f.two("fsub", fetch(j), top)))
                f.store(it.out, f.located(it.out, at, it.shape), places[0], log_of_sum(f, top, out[0]))

        nest(f, it.shape, [1] * len(it.shape), tile)

    over_samples(f, 1, samples)


def larger(f: Function, x: str, y: str) -> str:
    """The larger of two numbers; nan where one is."""
    return f.choose(f.compare("uno", y, y), y, f.choose(f.compare("ogt", y, x), y, x))


def log_of_sum(f: Function, top: str, total: str) -> str:
    """top + log(total); top itself where it is infinite or nan."""
    size = _intrinsic("fabs")(f, top)
    return f.choose(f.compare("olt", size, f.number(math.inf)), f.two("fadd", top, f.call("log", total)), top)


WRITERS: dict[str, Callable[[Function, Instruction], None]] = {
    "sum": write_sum,
    "dot": write_sum,
    "logsumexp": write_logsumexp,
}


# -- straight-line code


@dataclass(frozen=True)
class Operation:
    """One primitive on single slots: (place, slot) or a number each."""

    name: str
    out: int
    args: tuple[Any, ...]

    @property
    def cost(self) -> int:
        return max(1, len(self.args) - 1) if self.name in WRITERS else 1


def operations(it: Instruction) -> Iterator[Operation]:
    """The elements of a vector instruction, one by one."""
    for position in np.ndindex(*it.shape):

        def one(arg: Operand, at: tuple[int, ...], shape: tuple[int, ...]) -> Any:
            return arg.value if arg.value is not None else (arg.place, arg.slot(at, shape))

        out = it.out.slot(position, it.shape)
        if it.name not in WRITERS:
            yield Operation(it.name, out, tuple(one(a, position, it.shape) for a in it.args))
            continue
        full = (*it.shape, it.terms)
        many = it.args[:2] if it.name == "dot" else it.args[:1]
        terms = [one(a, (*position, j), full) for a in many for j in range(it.terms)]
        yield Operation(it.name, out, (*terms, *(one(a, position, it.shape) for a in it.args[len(many) :])))


def write_straight(f: Function, work: Sequence[Operation], wanted: Callable[[int], bool]) -> None:
    """The operations one after the other, values in registers; those that are wanted elsewhere are stored."""

    def samples(places: list[Index]) -> None:
        held: dict[Any, str] = {}

        def fetch(arg: Any) -> str:
            if not isinstance(arg, tuple):
                return f.number(arg)
            if arg not in held:
                place, slot = arg
                held[arg] = f.load(Operand(place), Index((), slot), places[0])
            return held[arg]

        for it in work:
            value = spell_one(f, it.name, [fetch(a) for a in it.args] if it.name != "dot" else it.args, fetch)
            held[VARYING, it.out] = value
            if wanted(it.out):
                f.store(Operand(VARYING), Index((), it.out), places[0], value)

    over_samples(f, 1, samples)


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
    return SPELLINGS[name](f, *args)


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
    """An array outside: its number among the inputs or outputs, the slots it fills or shows, one row per sample."""

    number: int
    slots: tuple[int, ...]


def _pointer(f: Function, number: int) -> str:
    """The name of a pointer in the frame, for addresses."""
    name = f"array{number}"
    entry = f.address("frame", Index((), number * 8))
    f.do(f"%{name} = load ptr, ptr {entry}, align 8")
    return name


def _runs(slots: Sequence[int]) -> list[tuple[int, int, int]]:
    """Slots as (first column, first slot, how many), for every run of neighbours."""
    runs: list[tuple[int, int, int]] = []
    for column, slot in enumerate(slots):
        if runs and runs[-1][1] + runs[-1][2] == slot:
            runs[-1] = (*runs[-1][:2], runs[-1][2] + 1)
        else:
            runs.append((column, slot, 1))
    return runs


def write_single_rows(f: Function, it: Rows, inward: bool) -> None:
    """Copies of `count` rows, number by number: inward, the lanes that are left repeat the last row."""
    t, width = f.target, len(it.slots)
    array = _pointer(f, ARRAYS + it.number)
    limit: int | str = t.block if inward else "%count"
    last = f.new("sub i64 %count, 1")
    with f.loop(limit, 1, []) as (s, _, _):
        name = s.terms[0][0]
        here = f.new(f"call i64 @llvm.umin.i64(i64 {name}, i64 {last})") if inward else name
        row = f.new(f"add i64 %first, {here}")
        for column, slot, many in _runs(it.slots):
            with f.loop(many, 1, []) as (i, _, _):
                outside = f.address(array, Index(((row, width * t.size),), column * t.size) + i * t.size)
                inside = f.address(VARYING, f.lanes_at(i + slot, s))
                source, target = (outside, inside) if inward else (inside, outside)
                value = f.new(f"load {t.real}, ptr {source}, align {t.size}")
                f.do(f"store {t.real} {value}, ptr {target}, align {t.size}")


def write_rows(f: Function, it: Rows, inward: bool) -> None:
    """Copies of a whole block of rows, tile by tile of vectors turned round."""
    t, width, n = f.target, len(it.slots), f.target.lanes
    if n == 1:
        write_single_rows(f, it, inward)
        return
    array = _pointer(f, ARRAYS + it.number)
    first = Index((("%first", width * t.size),))

    def samples(places: list[Index]) -> None:
        s = places[0]
        corner = first + s * (width * t.size)

        def place(column: int) -> str:
            return f.address(VARYING, f.lanes_at(Index((), it.slots[column]), s))

        def lanes(column: int) -> str:
            return f.new(f"load {t.vector}, ptr {place(column)}, align {t.size}")

        def hold(column: int, value: str) -> None:
            f.do(f"store {t.vector} {value}, ptr {place(column)}, align {t.size}")

        if width <= 2:
            ends = [f.address(array, corner + k * n * t.size) for k in range(width)]
            if inward:
                parts = [f.new(f"load {t.vector}, ptr {end}, align {t.size}") for end in ends]
                for k in range(width):
                    hold(k, f.shuffle(parts[0], parts[1], n, range(k, 2 * n, 2)) if width == 2 else parts[0])
                return
            parts = [lanes(k) for k in range(width)]
            for k, end in enumerate(ends):
                mixed = [(i // 2) + k * n // 2 + n * (i % 2) for i in range(n)]
                value = f.shuffle(parts[0], parts[1], n, mixed) if width == 2 else parts[0]
                f.do(f"store {t.vector} {value}, ptr {end}, align {t.size}")
            return
        suffix = f"v{n}{'f64' if t.size == 8 else 'f32'}.p0"
        columns = list(range(0, width - n + 1, n)) if width >= n else [0]
        if width > n and width % n:
            columns.append(width - n)
        run = _runs(it.slots)
        if len(run) == 1 and len(columns) > 8:  # wide rows: a loop over the tiles
            whole = width - width % n
            with f.loop(whole, n, []) as (i, _, _):
                tile(i, run[0][1], s, corner, None)
            if width % n:
                tile(Index((), width - n), run[0][1], s, corner, None)
            return
        for column in columns:
            tile(Index((), column), None, s, corner, suffix if width < n else None)

    def tile(column: Index, slot: int | None, s: Index, corner: Index, suffix: str | None) -> None:
        mask = f"<{n} x i1> <{', '.join(f'i1 {int(i < width)}' for i in range(n))}>"

        def lanes_of(k: int) -> str:
            at = Index((), it.slots[column.offset + k]) if slot is None else column + (slot + k)
            return f.address(VARYING, f.lanes_at(at, s))

        ends = [f.address(array, corner + column * t.size + k * width * t.size) for k in range(n)]
        used = range(min(n, width))
        if inward:
            if suffix:
                load = f"call {t.vector} @llvm.masked.load.{suffix}(ptr {{}}, i32 {t.size}, {mask}, {t.vector} zeroinitializer)"
            else:
                load = f"load {t.vector}, ptr {{}}, align {t.size}"
            turned = transposed(f, [f.new(load.format(end)) for end in ends])
            for k in used:
                f.do(f"store {t.vector} {turned[k]}, ptr {lanes_of(k)}, align {t.size}")
            return
        rows = [f.new(f"load {t.vector}, ptr {lanes_of(k)}, align {t.size}") if k in used else "zeroinitializer" for k in range(n)]
        for value, end in zip(transposed(f, rows), ends, strict=True):
            if suffix:
                f.do(f"call void @llvm.masked.store.{suffix}({t.vector} {value}, ptr {end}, i32 {t.size}, {mask})")
            else:
                f.do(f"store {t.vector} {value}, ptr {end}, align {t.size}")

    over_samples(f, 1, samples)


def write_no_tail(f: Function, slots: Sequence[int]) -> None:
    """Zeros for the lanes beyond `count`, so that they add nothing to sums over the samples."""
    t = f.target
    left = f.new(f"sub i64 {t.block}, %count")
    for _, slot, many in _runs(slots):
        with f.loop(many, 1, []) as (i, _, _), f.loop(left, 1, []) as (s, _, _):
            at = f.address(VARYING, f.lanes_at(i + slot, s + Index((("%count", 1),))))
            f.do(f"store {t.real} {f.zero}, ptr {at}, align {t.size}")


def write_clear(f: Function, numbers: int) -> None:
    """Zeros in the accumulators: a whole number of vectors of them."""
    t = f.target
    with f.loop(numbers, t.lanes, []) as (i, _, _):
        f.do(f"store {t.vector} zeroinitializer, ptr {f.address('totals', i * t.size)}, align {t.size}")


def write_finish(f: Function, rows: int, direct: bool) -> None:
    """The sum over the lanes of every accumulator, divided, into the array of sums."""
    t = f.target
    array = _pointer(f, SUMS)
    divisor = f.new(f"load {t.real}, ptr {f.address('frame', Index((), DIVISOR * 8))}, align 8")

    def tile(first: list[Index], extent: list[int]) -> None:
        spots = [first[0] + k for k in range(extent[0])]
        if direct:
            sums = [f.new(f"load {t.real}, ptr {f.address('totals', i * t.size)}, align {t.size}") for i in spots]
        else:
            step = t.lanes * t.size
            sums = over_lanes(
                f, [f.new(f"load {t.vector}, ptr {f.address('totals', i * step)}, align {t.size}") for i in spots]
            )
        for i, value in zip(spots, sums, strict=True):
            out = f.new(f"fdiv {t.real} {value}, {divisor}")
            f.do(f"store {t.real} {out}, ptr {f.address(array, i * t.size)}, align {t.size}")

    nest(f, [rows], [t.lanes], tile)


def write_driver(
    target: Target, inward: Sequence[str], part_in: Sequence[str], work: Sequence[str], totals: Sequence[str],
    outward: Sequence[str], part_out: Sequence[str],
) -> str:  # fmt: skip
    """The function `run(frame, first, count, doors)`.

    It works through every block of the samples from `first` on, `count` of them, the last perhaps not whole; with 1 in
    `doors` the accumulators are cleared before, with 2 the sums finished after.
    """
    arguments = ", ".join(f"ptr %{a}" for a in PARAMETERS)
    loads = []
    for i, name in enumerate(PARAMETERS[:-1]):
        loads += [f"  %{name}.at = getelementptr i8, ptr %frame, i64 {8 * i}", f"  %{name} = load ptr, ptr %{name}.at"]

    def calls(names: Sequence[str], first: str, count: str) -> list[str]:
        return [f"  call void @{name}({arguments}, i64 {first}, i64 {count})" for name in names]

    def door(bit: int, name: str, after: str) -> list[str]:
        return [
            f"  %{name}.bit = and i64 %doors, {bit}",
            f"  %{name}.open = icmp ne i64 %{name}.bit, 0",
            f"  br i1 %{name}.open, label %{name}, label %{after}",
            f"{name}:",
            *calls([name] if totals else [], "%first", "%count"),
            f"  br label %{after}",
            f"{after}:",
        ]

    size = target.block
    return "\n".join(
        [
            "define void @run(ptr %frame, i64 %first, i64 %count, i64 %doors) nounwind {",
            "entry:",
            *loads,
            *door(1, "clear", "begin"),
            "  %end = add i64 %first, %count",
            "  br label %head",
            "head:",
            "  %at = phi i64 [ %first, %begin ], [ %next, %whole ]",
            f"  %next = add i64 %at, {size}",
            "  %fits = icmp ule i64 %next, %end",
            "  br i1 %fits, label %whole, label %rest",
            "whole:",
            *calls([*inward, *work, *totals, *outward], "%at", str(size)),
            "  br label %head",
            "rest:",
            "  %left = sub i64 %end, %at",
            "  %some = icmp ugt i64 %left, 0",
            "  br i1 %some, label %part, label %last",
            "part:",
            *calls([*part_in, *work, *part_out, *(["no_tail"] if totals and size > 1 else []), *totals], "%at", "%left"),
            "  br label %last",
            "last:",
            *door(2, "finish", "done"),
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
    if t.lanes > 1:
        kind, suffix = kinds[1]
        mask = f"<{t.lanes} x i1>"
        lines.append(f"declare {kind} @llvm.masked.load.{suffix}.p0(ptr, i32, {mask}, {kind})")
        lines.append(f"declare void @llvm.masked.store.{suffix}.p0({kind}, ptr, i32, {mask})")
    return "\n".join([*lines, "!0 = !{}"])
