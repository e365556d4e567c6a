"""What is wrong with someone's own Value class: its numbers beside the engine's, and the mistake that would explain them.

For those who write the engine as an exercise, with the interface of the original micrograd. `structure` asks about a value
alone, about chains and forks, and about backward() called again. `operations` asks about each operation. `mistakes` has the
programs that are tried, and backward passes with the mistakes that are commonly made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd.check import operations, structure
from micrograd.check.examination import Endless, Examination, Finding, counting_lines, said
from micrograd.check.mistakes import BUILT_ON, OPERATIONS
from micrograd.formula.text import wrapped

LINES = 5_000_000  # a class that runs more of them does not end: right ones take some thousands, those that recurse a million


class BugReport:
    """The findings about a class, most basic first; the programs tried; notes on what is no mistake. True if all is right."""

    def __init__(self, name: str, findings: list[Finding], tried: list[str], notes: list[str]):
        self.name, self.findings, self.tried, self.notes = name, findings, tried, notes

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def mistakes(self) -> list[str]:
        """The names of the mistakes that were found."""
        return [finding.mistake for finding in self.findings]

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        count, tried = len(self.findings), f"{len(self.tried)} program{'s' * (len(self.tried) != 1)}"
        what = "no mistake" if self.ok else "one mistake" if count == 1 else f"{count} mistakes"
        found = [f"{i}. {finding}" for i, finding in enumerate(self.findings, 1)]
        return wrapped(
            "\n\n".join([f"{self.name}: {what} found in {tried}.", *found, *([f"Note: {note}" for note in self.notes])])
        )

    __repr__ = __str__


def find_bug(cls: Callable[[float], Any]) -> BugReport:
    """What is wrong with `cls`, someone's own Value class: a report, true where every number is right.

    The class is called with one number and has `.data`, `.grad`, `backward()` and the arithmetic of the original micrograd;
    exp, log, tanh, sigmoid, relu and powers of values are tried where it has them. A class that computes in single precision
    needs to be right to single precision alone. A tanh or sigmoid whose exp overflows is a mistake: at a = -800,
    1 / (1 + exp(-a)) raises where the answer is 0. Recursion that is too deep for long chains is no mistake, but a note.
    Nothing is said about speed. TypeError where `cls` cannot be called with one number, has no .data, .grad or backward(), or
    where .data is no number.

    >>> from micrograd import Value
    >>> find_bug(Value).ok
    True
    """
    name = getattr(cls, "__name__", repr(cls))
    try:
        probe = cls(2.0)
    except Exception as error:
        raise TypeError(f"find_bug needs a class that is called with one number; {name}(2.0) raises {said(error)}") from None
    for attribute in ("data", "grad", "backward"):
        if not hasattr(probe, attribute):
            raise TypeError(f"find_bug needs a class with .data, .grad and backward(); {name} has no .{attribute}")
    try:
        float(probe.data)
    except (TypeError, ValueError):
        raise TypeError(f"find_bug needs a class whose .data is one number; {name}(2.0).data is {probe.data!r}") from None
    if getattr(probe.data, "itemsize", 8) < 4:
        raise TypeError(
            f"find_bug needs data of at least single precision to tell rounding from mistakes, got {probe.data!r}: "
            "write self.data = float(data) while it is checked"
        )
    exam = Examination(cls, name)
    try:
        with counting_lines(LINES):
            _ask(exam)
    except Endless as error:
        exam.found("a loop does not end", "a program of a few operations", f"no end after {LINES:,} lines", "an end",
                   f"look at {error}: what a loop counts or takes from has to run out")  # fmt: skip
    return BugReport(name, exam.findings, exam.tried, exam.notes)


def _ask(exam: Examination) -> None:
    """All questions about the class, until one is answered so wrongly that the others cannot be asked."""
    exam.tolerance = max(exam.tolerance, 100.0 * exam.precision())
    if structure.value_alone(exam) and structure.sums_and_products(exam):
        operations.plain_numbers(exam)
        missing = [op for op in OPERATIONS if op.optional and not hasattr(exam.cls(1.0), op.method)]
        for op in OPERATIONS:
            behind = {op.method, *BUILT_ON.get(op.method, ())}
            if op not in missing and not exam.broken & behind and (exam.plain_numbers or not op.plain):
                operations.examine(exam, op)
        if any("__" not in op.method for op in missing):
            names = ", ".join(dict.fromkeys(op.method for op in missing if "__" not in op.method))
            exam.notes.append(f"{exam.name} has no {names}; tried was what it has.")
        structure.sum_of_values(exam)
        structure.again(exam)
        if not exam.findings:
            structure.depth(exam)
