"""Numerical derivatives beside the engine's, in a table with verdicts.

`verdicts` compares one derivative with its numerical one. Where they disagree, every rule that took part is checked by itself,
and the wrong one is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from micrograd.check.verdicts import Row, along_leaf, judged
from micrograd.engine import Value, constant, topological_order
from micrograd.formula.symbol import Symbol, partial
from micrograd.formula.text import Text, clean
from micrograd.primitives import Primitive
from micrograd.trees import like, numbers, paths, plain_arrays

SHOWN = 10  # rows of a long table that are printed: the worst


class GradCheck:
    """The rows of a check, and findings about those that disagree. True where every derivative that can be judged agrees."""

    def __init__(self, rows: list[Row], findings: list[str]):
        self.rows, self.findings = rows, findings

    @property
    def ok(self) -> bool:
        """Whether every derivative that can be judged agrees, kinks aside; if none can, they do not."""
        verdicts = {row.verdict for row in self.rows}
        return verdicts <= {"agrees", "kink", "not judged"} and verdicts != {"not judged"}

    def __bool__(self) -> bool:
        return self.ok

    def worst(self) -> list[Row]:
        """The rows that the table shows, in order: all of them, or of more than a dozen the worst."""
        if len(self.rows) <= SHOWN + 2:
            return self.rows
        severity = ("agrees", "kink", "not judged", "unclear", "not finite", "wrong")
        badness = [(severity.index(row.verdict), row.error if row.error == row.error else 0.0) for row in self.rows]
        first = sorted(range(len(self.rows)), key=badness.__getitem__, reverse=True)[:SHOWN]
        return [self.rows[i] for i in sorted(first)]

    def __str__(self) -> str:
        shown = self.worst()
        head = ("leaf", "analytic", "numeric", "rel. error", "step", "verdict")
        lines = [head] + [
            (
                r.leaf,
                f"{r.analytic:.9g}",
                f"{r.numeric:.9g}",
                f"{r.error:.1e}" if r.error == r.error else "",
                f"{r.step:.1e}",
                r.verdict,
            )
            for r in shown
        ]
        widths = [max(len(line[i]) for line in lines) for i in range(5)]
        text = []
        for line, remark in zip(lines, ["", *[r.remark for r in shown]], strict=True):
            cells = [line[0].ljust(widths[0]), *[c.rjust(w) for c, w in zip(line[1:5], widths[1:], strict=True)], line[5]]
            text.append("   ".join(cells) + (f": {remark}" if remark else ""))
        if rest := Counter(row.verdict for row in self.rows) - Counter(row.verdict for row in shown):
            counts = ", ".join([f"{count} {verdict}" for verdict, count in rest.items()])
            text.append(f"... and {len(self.rows) - len(shown)} more of {len(self.rows)}, no worse than these: {counts}")
        return "\n".join(map(clean, [*text, *([""] if self.findings else []), *self.findings]))

    __repr__ = __str__


def gradcheck(f: Callable[..., Any], *args: Any, order: int = 1, tolerance: float = 1e-6) -> GradCheck:
    """The derivatives of f(*args) beside numerical ones, as a table that is true where they agree.

    `args` are what `grad` takes: numbers, Values, arrays, and lists, tuples, dicts and dataclasses of them; Values keep their
    data. The numerical derivative is a central difference, extrapolated, with the step at which it is most certain. `order=2`
    checks the second derivatives too, against differences of the first. A kink within the step is named and shown with both
    one-sided slopes. A derivative smaller than what differences can see is not judged. Where one disagrees by more than
    `tolerance` (relative) and the uncertainty of the numerical one together, the wrong rule is looked for and named.

    >>> check = gradcheck(lambda a, b: a * b**2, 2.0, 3.0)
    >>> check.ok, [row.analytic for row in check.rows]
    (True, [9.0, 12.0])
    """
    if not callable(f):
        raise TypeError(f"gradcheck needs a function, got {type(f).__name__} {f!r:.60}: pass the function, then its arguments")
    if order not in (1, 2):
        raise ValueError(f"gradcheck checks derivatives of order 1 or 2, got order={order}")
    leaves: dict[Value, str] = {}
    prepared = [_prepare(arg, name, leaves) for arg, name in zip(args, _parameters(f, len(args)), strict=True)]
    if not leaves:
        raise ValueError("gradcheck needs at least one number or Value to differentiate by; got none among its arguments")

    def evaluate() -> Value:
        out = f(*prepared)
        if not isinstance(out, Value):
            try:
                out = constant(out)
            except TypeError as error:
                raise TypeError(f"gradcheck needs a function that gives one number: {error}") from None
        return out

    once, again = evaluate().data, evaluate().data
    if once != again and once == once:
        raise ValueError(
            f"gradcheck needs a function that gives one number for the same arguments; got {once!r}, and then {again!r}: "
            "set the seed of what is random inside it, and keep nothing from call to call"
        )
    rows = _rows(evaluate, leaves, order, tolerance)
    findings = []
    if any(row.verdict in ("wrong", "unclear") for row in rows):
        findings = _culprits(evaluate(), order, tolerance, any(row.verdict == "wrong" for row in rows))
    return GradCheck(rows, findings)


def assert_gradients(f: Callable[..., Any], *args: Any, order: int = 1, tolerance: float = 1e-6) -> None:
    """For tests: AssertionError with the table of `gradcheck` where a derivative of f(*args) is wrong, unclear or not finite.

    >>> assert_gradients(lambda a, b: a * b**2, 2.0, 3.0)
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    check = gradcheck(f, *args, order=order, tolerance=tolerance)
    if not check:
        raise AssertionError(f"the derivatives of {getattr(f, '__name__', 'f')} are not those of its numbers\n{check}")


def _parameters(f: Callable[..., Any], count: int) -> list[str]:
    """The names of the arguments in the signature of `f`, or x1, x2, ..."""
    import inspect  # slow to import

    try:
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        names = [p.name for p in inspect.signature(f).parameters.values() if p.kind in kinds]
    except (TypeError, ValueError):
        names = []
    return [names[i] if i < len(names) else f"x{i + 1}" for i in range(count)]


def _prepare(arg: Any, name: str, leaves: dict[Value, str]) -> Any:
    """The argument with Values for its numbers; notes the leaves, with their names, in `leaves`."""
    found, arg = [], plain_arrays(arg, name)
    for path, leaf in paths(arg, name):
        shape = getattr(leaf, "shape", ())
        try:
            values = numbers(leaf, path, integers=False)
        except TypeError as error:
            raise TypeError(str(error).replace("leave it out of argnums", "let the function close over it")) from None
        for i, x in enumerate(values):
            where = path + str(list(_index(i, shape))) if shape else path
            found.append(_leaf(x, where, leaves))
    return like(arg, iter(found))


def _index(i: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The indices of the i-th entry of an array."""
    found = []
    for n in reversed(shape):
        i, last = divmod(i, n)
        found.append(last)
    return tuple(reversed(found))


def _leaf(x: Any, name: str, leaves: dict[Value, str]) -> Value:
    """A number as a Value; notes a leaf in `leaves`, by its label or by the name of its argument. ValueError for a result."""
    arg = x if isinstance(x, Value) else Value(x, label=name)
    if arg.rule is None:
        taken = set(leaves.values())
        called = str(arg.label) or name
        leaves.setdefault(
            arg, called if called not in taken else name if name not in taken else f"{called} ({len(leaves) + 1})"
        )
    elif not arg.is_constant:
        raise ValueError(f"gradcheck differentiates by leaves, and {arg!r} was computed by {arg.op}; pass a number or a leaf")
    return arg


def _rows(evaluate: Callable[[], Value], leaves: dict[Value, str], order: int, tolerance: float) -> list[Row]:
    rows = [judged(name, along_leaf(evaluate, leaf), tolerance) for leaf, name in leaves.items()]
    if order == 2:
        for i, (by, first) in enumerate(leaves.items()):
            for leaf, name in list(leaves.items())[i:]:
                called = f"∂²/∂{first}²" if leaf is by else f"∂²/∂{first}∂{name}"
                rows.append(judged(called, along_leaf(evaluate, leaf, by), tolerance))
    return rows


# -- which rule it is


def _culprits(out: Value, order: int, tolerance: float, wrong: bool) -> list[str]:
    """What is said about each rule below `out` that is wrong by itself; if none is, what else may be the reason."""
    found, closures = [], []
    seen: set[tuple[Primitive, tuple[float, ...]]] = set()
    blamed: set[str] = set()
    for node in topological_order(out):
        rule = node.rule
        if rule is None or rule.name in blamed:
            continue
        if rule.partials is None:
            closures.append(node)
            continue
        data = tuple([p.data for p in node.parents])
        if (rule, data) in seen:
            continue
        seen.add((rule, data))
        blame = _blame(rule, node, data, order, tolerance)
        if blame:
            found.append(blame)
            blamed.add(rule.name)
    if found or not wrong:
        return found
    if closures:
        ops = ", ".join(sorted({repr(node.op) for node in closures}))
        return [f"Every rule of the rule book here is right; the hand-written _backward of {ops} is what remains."]
    return [
        "Every rule that took part is right by itself, so f computes something that the graph does not see: "
        ".data, float(v) or math.* inside f cut the graph."
    ]


def _blame(rule: Primitive, node: Value, data: tuple[float, ...], order: int, tolerance: float) -> str:
    """What is wrong with the rule of a node, at its operands; "" where nothing is."""
    operands: list[Any] = [x if p.is_constant else Value(x) for p, x in zip(node.parents, data, strict=True)]
    leaves = {x: i for i, x in enumerate(operands) if isinstance(x, Value)}
    for leaf, i in leaves.items():
        row = judged("", along_leaf(lambda: rule(*operands), leaf), tolerance)
        if row.verdict == "wrong":
            wrong = f"{_rule_text(rule, data, node.data, i)} gives {row.analytic:.6g}"
            return f"The rule of {rule.name} is wrong: {wrong}, but {_called(rule, data)} has slope {row.numeric:.6g}."
    rows = _rows(lambda: rule(*operands), dict.fromkeys(leaves, ""), order, tolerance)
    for row in rows[len(leaves) :]:
        if row.verdict == "wrong":
            return (
                f"The rule of {rule.name} is right once, but wrong when differentiated again: {row.analytic:.6g} instead of "
                f"{row.numeric:.6g} at {_called(rule, data)}; its partial must be made of operators and primitives alone."
            )
    return ""


def _rule_text(rule: Primitive, data: Sequence[float], out: float, operand: int) -> str:
    letters = [f"x{i + 1}" for i in range(len(data))] if len(data) > 3 else list("xyz"[: len(data)])
    args = tuple([Symbol(x, _Name(letter)) for x, letter in zip(data, letters, strict=True)])
    made = Symbol(out, None, rule, args)
    local = partial(rule, args, made, operand)
    call = Text()(made)
    of = call if call.endswith(")") else f"({call})"
    return f"∂{of}/∂{letters[operand]}" + (f" = {Text()(local)}" if local is not None else "")


class _Name(NamedTuple):
    text: str


def _called(rule: Primitive, data: Sequence[float]) -> str:
    return f"{rule.name}({', '.join([f'{x:.6g}' for x in data[:6]])}{', ...' if len(data) > 6 else ''})"
