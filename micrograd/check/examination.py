"""A class under examination: programs are run on it and on the engine, and what has been found so far is kept.

`find_bug` makes one Examination; `operations` and `structure` ask the questions.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

from micrograd.check.mistakes import Program
from micrograd.engine import Value, adjoints
from micrograd.engine.lines import HERE


class Finding(NamedTuple):
    """One mistake: its name, the program that shows it, what it gives and what was expected, and what to do."""

    mistake: str
    program: str
    got: str
    expected: str
    advice: str

    def __str__(self) -> str:
        return f"{self.mistake}\n    {self.program}\n    gives {self.got}, expected {self.expected}\n    {self.advice}"


class Result(NamedTuple):
    """The value and the gradients of the leaves of a program; or its `error`, and the `line` of the class that raised it."""

    value: float
    grads: tuple[float, ...]
    error: str = ""
    line: str = ""


class Endless(BaseException):
    """The class under examination has run so many lines that it will not end. No class can catch it by `except Exception`."""


@contextmanager
def counting_lines(most: int) -> Iterator[None]:
    """A block in which Endless is raised once code outside of this package has run `most` lines: a loop that hangs cannot."""
    count, before = itertools.count(1), sys.gettrace()

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if next(count) > most:
            while frame.f_back is not None and not frame.f_back.f_code.co_filename.startswith(HERE):
                frame = frame.f_back  # out to what this package has called
            raise Endless(f"{frame.f_code.co_qualname}, line {frame.f_lineno}")
        return line

    def call(frame: FrameType, event: str, _: Any) -> Any:
        return None if frame.f_code.co_filename.startswith(HERE) else line(frame, event, _)

    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(before)


class Examination:
    """What is known of a class: findings, programs tried, notes, and what is `broken`: methods, "order" or "forks"."""

    def __init__(self, cls: Callable[[float], Any], name: str):
        self.cls, self.name = cls, name
        self.findings: list[Finding] = []
        self.tried: list[str] = []
        self.notes: list[str] = []
        self.broken: set[str] = set()
        self.raising: set[str] = set()  # the lines whose errors are findings already
        self.plain_numbers = True  # whether the class takes them as operands
        self.tolerance = 1e-9  # relative

    def precision(self) -> float:
        """The relative error by which the class rounds, such as 1e-7 with np.float32; errors from 1e-5 on are no rounding."""
        a, b = 1.0 / 3.0, 0.7
        got = self.run(lambda x, y: x * y, (a, b))
        numbers = [(got.value, a * b), *zip(got.grads, (b, a), strict=False)]
        off = [math.fabs(x - true) / true for x, true in numbers]
        return max([e for e in off if e < 5e-7], default=0.0)

    def run(self, program: Program, at: Sequence[float], before: float = 0.0) -> Result:
        """The value and gradients that the class gives; with `before`, the leaves' gradients are set to that first."""
        try:
            leaves = [self.cls(x) for x in at]
            for leaf in leaves if before else ():
                leaf.grad = before
            out = program(*leaves)
            out.backward()
            return Result(number(out.data), tuple([number(leaf.grad) for leaf in leaves]))
        except Exception as error:
            return Result(math.nan, (), said(error), line_of(error))

    @staticmethod
    def truth(program: Program, at: Sequence[float]) -> Result:
        """The value and gradients that the engine gives."""
        leaves = [Value(x) for x in at]
        out = program(*leaves)
        return Result(out.data, tuple(adjoints(out, wrt=leaves).values()))

    def close(self, got: Sequence[float], expected: Sequence[float]) -> bool:
        """Whether all numbers are equal to within the tolerance."""
        return len(got) == len(expected) and all(
            math.isclose(g, e, rel_tol=self.tolerance, abs_tol=1e-3 * self.tolerance)
            for g, e in zip(got, expected, strict=True)
        )

    def right(self, got: Result, true: Result) -> bool:
        """Whether a program has the right gradients; one that raised an error has none."""
        return self.close(got.grads, true.grads)

    def found(self, mistake: str, program: str, got: Any, expected: Any, advice: str, line: str = "") -> None:
        """Add a finding, unless its mistake was found before, or the error of its `line`; that would be the same cause.

        `got` and `expected` are texts or gradients.
        """
        if mistake not in [finding.mistake for finding in self.findings] and line not in self.raising:
            self.raising |= {line} - {""}
            texts = [x if isinstance(x, str) else "" for x in (got, expected)]
            if not isinstance(got, str) and not isinstance(expected, str):
                texts = list(told_apart(got, expected))
            elif not isinstance(expected, str):
                texts[1] = gradients(expected, 6)
            self.findings.append(Finding(mistake, program, texts[0], texts[1], advice))


def number(x: Any) -> float:
    """`x` as a float; 0 for None, with which some classes begin a gradient."""
    return float(0.0 if x is None else x)


def said(error: BaseException) -> str:
    """An error as Python shows it: its type and its message."""
    return f"{type(error).__name__}: {error}".strip(": ")


def line_of(error: BaseException) -> str:
    """The function and line outside of this folder in which an error was raised; "" where it was raised in none."""
    frames = [(frame.f_code, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    own = [(code, number) for code, number in frames if os.path.dirname(code.co_filename) != os.path.dirname(__file__)]
    return f"{own[-1][0].co_qualname}, line {own[-1][1]}" if own else ""


def gradients(grads: Sequence[float], digits: int) -> str:
    return ", ".join([f"{name}.grad = {g:.{digits}g}" for name, g in zip("abc", grads, strict=False)])


def told_apart(got: Sequence[float], expected: Sequence[float]) -> tuple[str, str]:
    """Both lists of gradients as texts, with as many digits as show that they differ."""
    for digits in (6, 9, 17):
        texts = gradients(got, digits), gradients(expected, digits)
        if texts[0] != texts[1]:
            break
    return texts


def shown(x: float, beside: float) -> str:
    """A number, with as many digits as show that it differs from the one `beside` it, which it does."""
    return next(t for digits in (6, 9, 17) if (t := f"{x:.{digits}g}") != f"{beside:.{digits}g}")


def places(at: Sequence[float]) -> str:
    return ", ".join([f"{name} = {x:g}" for name, x in zip("abc", at, strict=False)])
