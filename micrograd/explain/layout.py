"""The page of an explanation: its sections as aligned text for a terminal, or as one LaTeX `aligned` environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from micrograd.formula.latex import Math, words
from micrograd.formula.text import wrapped

WIDE = 96  # columns of a line at most, as in `why`: longer lines are broken, and are not padded to align with others
EQUALS, TIMES, PLUS = Math(" = ", " = "), Math(" · ", r" \cdot "), Math(" + ", " + ")


class Row(NamedTuple):
    """One line of an equation: a sum of products, each given by its factors, and a remark beside it."""

    terms: tuple[tuple[Math, ...], ...]
    remark: Math = Math("", "")


class Cut(NamedTuple):
    """A line in place of terms that are left out."""

    remark: Math


class Equation(NamedTuple):
    """left = row = row = ... = result; a `long` sum has one line per term: its symbols, its numbers, their product."""

    left: Math
    rows: tuple[Row, ...]
    long: tuple[tuple[Math, ...] | Cut, ...] = ()
    result: tuple[Math, ...] = ()


class Table(NamedTuple):
    """Lines of cells that are equal to each other: v1 = a · b = 2 · (-3) = -6."""

    lines: tuple[tuple[Math, ...], ...]


class Given(NamedTuple):
    """What is given: names and their numbers."""

    pairs: tuple[tuple[Math, Math], ...]


class Remark(NamedTuple):
    """A sentence, which may hold mathematics."""

    math: Math


def sentence(text: str) -> Remark:
    """A remark of plain words."""
    return Remark(Math(text, latex_words(text)))


Section = Equation | Table | Given | Remark


def as_text(sections: Sequence[Section]) -> str:
    """The sections as aligned text, a blank line between them."""
    parts: list[str] = []
    for section in sections:
        if isinstance(section, Remark):
            parts.append(wrapped(section.math.text, WIDE))
        elif isinstance(section, Given):
            parts.append(_wrapped([f"{name.text} = {number.text}" for name, number in section.pairs]))
        elif isinstance(section, Table):
            parts.append(_columns([[cell.text for cell in line] for line in section.lines]))
        else:
            parts.append(_equation(section))
    return "\n\n".join(parts)


def _wrapped(items: list[str]) -> str:
    """The items with commas between them, on as many lines as they need."""
    lines = [items[0]]
    for item in items[1:]:
        lines[-1] += ","
        if len(lines[-1]) + len(item) + 2 > WIDE:
            lines.append(item)
        else:
            lines[-1] += f" {item}"
    return "\n".join(lines)


def _columns(lines: list[list[str]]) -> str:
    """Cells padded so that the equals signs stand under each other; the last cell of every line is its result.

    A line that would be too long is not padded, and continues under its first equals sign.
    """
    lines = [[*line[:-1], *[""] * (max(map(len, lines)) - len(line)), line[-1]] for line in lines]
    name = max([len(line[0]) for line in lines])
    short = sorted(range(len(lines)), key=lambda i: sum(map(len, lines[i])))
    while short and name + sum([3 + max([len(lines[i][k]) for i in short]) for k in range(1, len(lines[0]))]) > WIDE:
        short.pop()
    widths = [max([len(lines[i][k]) for i in short], default=0) for k in range(len(lines[0]))]
    written = []
    for i, (left, *cells) in enumerate(lines):
        text = left.ljust(name)
        if 2 * len(short) >= len(lines) and i in short:
            text += "".join([(" = " if cell else "   ") + cell.ljust(w) for cell, w in zip(cells, widths[1:], strict=True)])
            written.append(text.rstrip())
            continue
        for cell in filter(None, cells):
            if len(text) > name and len(text) + len(cell) + 3 > WIDE:
                written += _broken(text, name)
                text = " " * name
            text += f" = {cell}"
        written += _broken(text, name)
    return "\n".join(written)


def _broken(line: str, left: int) -> list[str]:
    """A line, broken before signs where it is too long; what follows is indented beyond the equals sign at `left`."""
    lines = []
    while len(line) > WIDE:
        cut = max(line.rfind(" + ", left + 8, WIDE), line.rfind(" − ", left + 8, WIDE))
        if cut < 0 and (cut := line.rfind(" · ", left + 8, WIDE)) < 0:
            break
        lines.append(line[:cut].rstrip())
        line = " " * (left + 5) + line[cut + 1 :]
    return [*lines, line.rstrip()]


def _equation(equation: Equation) -> str:
    """An equation as text, its rows aligned with each other."""
    rows = [[[factor.text for factor in term] for term in row.terms] for row in equation.rows]
    shapes = [[len(term) for term in row] for row in rows]
    for i, shape in enumerate(shapes):  # factors of neighbouring rows of the same shape stand under each other
        if len(shape) > 1 or shape[0] > 1:
            alike = [j for j in range(len(rows)) if shapes[j] == shape and _together(shapes, i, j)]
            widths = [[max(len(rows[j][t][f]) for j in alike) for f in range(n)] for t, n in enumerate(shape)]
            if len(equation.left.text) + sum([3 + w for ws in widths for w in ws]) > WIDE:
                continue
            rows[i] = [[f.center(w) for f, w in zip(term, ws, strict=True)] for term, ws in zip(rows[i], widths, strict=True)]
    indent = " " * len(equation.left.text)
    lines: list[str] = []
    for row, full in zip(rows, equation.rows, strict=True):
        text = _plus([" · ".join(term) for term in row], " − ")
        lines += _broken(f"{indent if lines else equation.left.text} = {text.rstrip()}", len(indent))
        if remark := full.remark.text:
            if len(lines[-1]) + 4 + len(remark) > WIDE:
                lines.append(f"{indent}  ")
            lines[-1] += f"    {remark}"
    terms = [[cell.text for cell in line] for line in equation.long if not isinstance(line, Cut)]
    columns = [max(len(line[i]) for line in terms) for i in range(len(terms[0]))] if terms else []
    for i, line in enumerate(equation.long):
        if isinstance(line, Cut):
            lines.append(wrapped(f"{indent if lines else equation.left.text + ' ='}   ⋮ {line.remark.text}", WIDE))
        else:
            sign = " =   " if i == 0 else "   + "
            cells = " = ".join([cell.text.ljust(w) for cell, w in zip(line, columns, strict=True)]).rstrip()
            lines.append((indent if lines else equation.left.text) + sign + cells)
    if equation.result:
        lines.append(indent + " = " + " = ".join([m.text for m in equation.result]))
    return "\n".join(lines)


def _together(shapes: list[list[int]], i: int, j: int) -> bool:
    """Whether all rows from i to j have the same shape."""
    return all(shapes[k] == shapes[i] for k in range(min(i, j), max(i, j) + 1))


def _plus(terms: list[str], minus: str) -> str:
    """A sum of terms; one that is just a negative number is subtracted."""
    text = terms[0]
    for term in terms[1:]:
        bare = term.strip()
        if re.fullmatch(r"-([\d.]+(e[+-]?\d+| \\times 10\^\{-?\d+\})?|inf|\\infty)", bare):
            text += minus + bare[1:].ljust(len(term) - 1)
        else:
            text += " + " + term
    return text


def as_latex(sections: Sequence[Section]) -> str:
    """The sections as one LaTeX `aligned` environment."""
    lines: list[str] = []
    for section in sections:
        before = len(lines)
        if isinstance(section, Remark):
            lines.append("&" + section.math.latex)
        elif isinstance(section, Given):
            cells = [f"{name.latex} = {number.latex}" for name, number in section.pairs]
            lines += ["&" + r",\quad ".join(cells[i : i + 6]) for i in range(0, len(cells), 6)]
        elif isinstance(section, Table):
            lines += [f"{line[0].latex} &= " + " = ".join([cell.latex for cell in line[1:]]) for line in section.lines]
        else:
            lines += _latex_equation(section)
        if before:
            lines[before - 1] += r"\\[1.2ex]"
        for i in range(before, len(lines) - 1):
            lines[i] += r"\\"
    return "\n".join([r"\begin{aligned}", *lines, r"\end{aligned}"])


def _latex_equation(equation: Equation) -> list[str]:
    lines = []
    for row in equation.rows:
        text = _plus([r" \cdot ".join([f.latex for f in term]) for term in row.terms], " - ")
        lines.append(text + (rf" \qquad {row.remark.latex}" if row.remark.latex else ""))
    left = [f"{'' if i else equation.left.latex} &= {line}" for i, line in enumerate(lines)]
    for i, line in enumerate(equation.long):
        if isinstance(line, Cut):
            left.append(rf"{'' if left else equation.left.latex} &{'' if left else '='}\quad \vdots\ {line.remark.latex}")
        else:
            start = f"{equation.left.latex if not left else ''} &= \\quad" if i == 0 else r"&\quad +"
            left.append(f"{start} {' = '.join([cell.latex for cell in line])}")
    if equation.result:
        left.append("&= " + " = ".join([m.latex for m in equation.result]))
    return [line.strip() for line in left]


def height(section: Section) -> int:
    """How many lines of text a section takes."""
    if isinstance(section, Equation):
        return len(section.rows) + len(section.long) + len(section.result[:1])
    return len(section.lines) if isinstance(section, Table) else 1


def texts(sections: Sequence[Section]) -> Iterator[str]:
    """Every piece of mathematics on the page, as text."""
    for section in sections:
        if isinstance(section, Table):
            yield from [cell.text for line in section.lines for cell in line]
        elif isinstance(section, Equation):
            yield section.left.text
            yield from [factor.text for row in section.rows for term in row.terms for factor in term]
            yield from [cell.text for line in section.long if not isinstance(line, Cut) for cell in line]


def latex_words(text: str) -> str:
    r"""A sentence as upright text in LaTeX's mathematics, which MathJax takes too."""
    return rf"\mathrm{{{words(text)}}}"
