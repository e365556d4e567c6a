"""Numerical derivatives beside the engine's, in a table that says what it found.

`engine` gives the derivatives to be checked, `formula` the branches of the rule book's rows, by which kinks are found. Where
the two disagree, every rule that took part is checked by itself, and the one that is wrong is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from micrograd.engine import Value, adjoints, constant, topological_order
from micrograd.formula.symbol import Symbol, applied, partial
from micrograd.formula.text import Text
from micrograd.primitives import Primitive, number

STEPS = [4.0**-k for k in range(1, 21)]  # from a quarter down to 9e-13, times the size of the argument
NEAR = 4.0**-13  # a kink so near, times the size of the argument, is a kink at the argument
BRANCHES = ("sign", "step", "greater", "less", "equal")
EPSILON = 2.0**-52


class Row(NamedTuple):
    """One derivative: the engine's, the numerical one, their relative error, the step that was best, and what to make of it.

    The verdict is "agrees", "kink", "wrong", "unclear" or "not finite"; `remark` says more.
    """

    leaf: str
    analytic: float
    numeric: float
    error: float
    step: float
    verdict: str
    remark: str = ""


class GradCheck:
    """The rows of a check, and what was found where they disagree. True where every derivative agrees, kinks aside."""

    def __init__(self, rows: list[Row], findings: list[str]):
        self.rows, self.findings = rows, findings

    @property
    def ok(self) -> bool:
        return all(row.verdict in ("agrees", "kink") for row in self.rows)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
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
            for r in self.rows
        ]
        widths = [max(len(line[i]) for line in lines) for i in range(5)]
        text = []
        for line, remark in zip(lines, ["", *[r.remark for r in self.rows]], strict=True):
            cells = [line[0].ljust(widths[0]), *[c.rjust(w) for c, w in zip(line[1:5], widths[1:], strict=True)], line[5]]
            text.append("   ".join(cells) + (f": {remark}" if remark else ""))
        return "\n".join([*text, *([""] if self.findings else []), *self.findings])

    __repr__ = __str__


def gradcheck(f: Callable[..., Any], *args: Any, order: int = 1, tolerance: float = 1e-6) -> GradCheck:
    """The derivatives of f(*args) beside numerical ones, as a table that is true where they agree.

    `args` are numbers, Values, and lists of them; Values keep their data. The numerical derivative is a central difference,
    extrapolated, with the step at which it is surest; `order=2` checks the second derivatives too, against differences of
    the first. A kink within the step is named and shown with both one-sided slopes. Where a derivative disagrees by more
    than `tolerance` (relative, beside the numerical one's own uncertainty), the rule that is wrong is looked for and named.

    >>> check = gradcheck(lambda a, b: a * b**2, 2.0, 3.0)
    >>> check.ok, [row.analytic for row in check.rows]
    (True, [9.0, 12.0])
    """
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

    kept = {leaf: leaf.data for leaf in leaves}
    try:
        rows = _rows(evaluate, leaves, order, tolerance)
        findings = []
        if any(row.verdict in ("wrong", "unclear") for row in rows):
            findings = _culprits(evaluate(), order, tolerance, any(row.verdict == "wrong" for row in rows))
    finally:
        for leaf, data in kept.items():
            leaf.data = data
    return GradCheck(rows, findings)


def _parameters(f: Callable[..., Any], count: int) -> list[str]:
    """What the arguments are called in f's own signature."""
    import inspect  # slow to import

    try:
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        names = [p.name for p in inspect.signature(f).parameters.values() if p.kind in kinds]
    except (TypeError, ValueError):
        names = []
    return [names[i] if i < len(names) else f"x{i + 1}" for i in range(count)]


def _prepare(arg: Any, name: str, leaves: dict[Value, str]) -> Any:
    """The argument as Values, the leaves among them noted with their names."""
    if isinstance(arg, (list, tuple)):
        return type(arg)([_prepare(part, f"{name}[{i}]", leaves) for i, part in enumerate(arg)])
    if not isinstance(arg, Value):
        arg = Value(number(arg), label=name)
    if arg.rule is None:
        taken = set(leaves.values())
        called = arg.label.replace("{", "").replace("}", "") or name
        leaves.setdefault(
            arg, called if called not in taken else name if name not in taken else f"{called} ({len(leaves) + 1})"
        )
    elif not arg.is_constant:
        raise ValueError(f"gradcheck differentiates by leaves, and {arg!r} was computed by {arg.op}; pass a number or a leaf")
    return arg


class _Slope(NamedTuple):
    """A numerical derivative, the step it was taken with, and how far it may be off."""

    value: float
    step: float
    doubt: float

    def differs(self, analytic: float, tolerance: float) -> bool:
        size = max(math.fabs(analytic), math.fabs(self.value))
        return not math.fabs(analytic - self.value) <= tolerance * size + 8.0 * self.doubt


def _sweep(values: Callable[[float], float], x: float) -> list[_Slope]:
    """The derivative of `values` at `x` by central differences of shrinking steps, extrapolated; the surest one first."""
    size = max(math.fabs(x), 1.0)
    found = [_Slope(math.nan, STEPS[-1] * size, math.inf)]
    before: float | None = None
    for h in [step * size for step in STEPS]:
        low, high = x - h, x + h  # as floats: the distance is what they are apart, not 2h
        left, right = values(low), values(high)
        slope = (right - left) / (high - low)
        if before is not None and math.isfinite(slope) and math.isfinite(before):
            noise = EPSILON * max(math.fabs(left), math.fabs(right)) / h
            value = slope + (slope - before) / 15.0  # the error falls with h²: by 16 from step to step
            found.append(_Slope(value, h, math.fabs(value - slope) + noise))
        before = slope
    return sorted(found, key=lambda slope: slope.doubt)


def _disputed(slopes: list[_Slope], analytic: float, tolerance: float) -> bool:
    """Whether another step speaks for `analytic`, fairly sure of itself and against the surest: then they prove nothing."""
    best = slopes[0].value
    sure = [s for s in slopes if s.doubt <= 1e-3 * math.fabs(s.value)]
    return any(not s.differs(analytic, tolerance) and s.differs(best, tolerance) for s in sure)


def _rows(evaluate: Callable[[], Value], leaves: dict[Value, str], order: int, tolerance: float) -> list[Row]:
    out = evaluate()
    analytic = adjoints(out, wrt=leaves)
    rows = []
    for leaf, name in leaves.items():
        rows.append(_row(evaluate, leaf, name, analytic[leaf], lambda: evaluate().data, tolerance))
    if order == 2:
        graph = adjoints(out, wrt=leaves, create_graph=True)
        for i, (by, first) in enumerate(leaves.items()):
            second = adjoints(graph[by], wrt=leaves)
            for leaf, name in list(leaves.items())[i:]:
                called = f"∂²/∂{first}²" if leaf is by else f"∂²/∂{first}∂{name}"
                gradient = lambda by=by: adjoints(evaluate(), wrt=[by])[by]  # noqa: E731
                rows.append(_row(evaluate, leaf, called, second[leaf], gradient, tolerance))
    return rows


def _row(
    evaluate: Callable[[], Value], leaf: Value, name: str, analytic: float, values: Callable[[], float], tolerance: float
) -> Row:
    x = leaf.data

    def at(point: float) -> float:
        leaf.data = point
        try:
            return values()
        finally:
            leaf.data = x

    def branches(point: float) -> list[tuple[Any, ...]]:
        leaf.data = point
        try:
            return [_branch(node) for node in topological_order(evaluate()) if node.rule is not None]
        finally:
            leaf.data = x

    slopes = _sweep(at, x)
    found = slopes[0]
    error = math.fabs(analytic - found.value) / max(math.fabs(analytic), math.fabs(found.value), 1e-300)
    error = 0.0 if analytic == found.value else error

    def row(verdict: str, remark: str = "") -> Row:
        return Row(name, analytic, found.value, error, found.step, verdict, remark)

    near = NEAR * max(math.fabs(x), 1.0)
    if kinks := _kinks(branches(x - near), branches(x), branches(x + near), evaluate):
        left, right = (_one_sided(at, x, sign * near * 64) for sign in (-1.0, 1.0))
        found, error = _Slope((left + right) / 2.0, near * 64, 0.0), math.nan
        if not (math.isfinite(left) and math.isfinite(right)):
            return row("kink", f"{kinks}, where the function jumps")
        sides = f"from the left {left:.4g}, from the right {right:.4g}"
        slack = 1e-4 * (math.fabs(left) + math.fabs(right)) + 1e-6
        if min(left, right) - slack <= analytic <= max(left, right) + slack:
            return row("kink", f"{kinks}; {sides}")
        return row("wrong", f"{kinks}; {sides}, and the derivative does not lie between")
    if not math.isfinite(analytic):
        return row("not finite", "output.why(leaf) says where that comes from")
    if not math.isfinite(found.value):
        return row("unclear", "the function is not finite around this point")
    if found.differs(analytic, tolerance):
        if _disputed(slopes, analytic, tolerance):
            return row("unclear", "the numerical derivative depends on the step")
        return row("wrong")
    if found.doubt > max(0.01 * math.fabs(found.value), 1e-6):
        return row("unclear", f"the numerical derivative is uncertain by {found.doubt:.1e}")
    return row("agrees")


def _one_sided(at: Callable[[float], float], x: float, h: float) -> float:
    """The slope on one side, extrapolated to no step at all; infinite where the function jumps."""
    here = at(x)
    far, near = at(x + h) - here, at(x + h / 2) - here
    if math.fabs(near) > 0.9 * math.fabs(far) and math.fabs(far) > 1e-3 * math.fabs(h):
        return math.copysign(math.inf, far / h)
    return 2.0 * near / (x + h / 2 - x) - far / (x + h - x)


def _branch(node: Value) -> tuple[Any, ...]:
    """The operation of a node and the branches its value and its partial derivatives take, as the rule book has them."""
    rule = node.rule
    assert rule is not None
    if rule.partials is None:
        return (rule.name, ())
    numbers = tuple([p.data for p in node.parents if p.is_constant])
    args = tuple([Symbol(p.data, "x") for p in node.parents])
    out = Symbol(node.data, "x")
    taken: list[float] = []
    if rule.name in (*BRANCHES, "where"):
        taken += _choices(applied(rule, args))
    operands = () if rule.variadic else range(len(args))
    for i in operands:
        if not node.parents[i].is_constant and (local := partial(rule, args, out, i)) is not None:
            taken += _choices(local)
    return rule.name, numbers, *taken


def _choices(s: Symbol) -> Iterator[float]:
    pending = [s]
    while pending:
        s = pending.pop()
        if s.rule is not None:
            if s.rule.name in BRANCHES:
                yield s.number
            elif s.rule.name == "where":
                yield 1.0 if s.args[0].number > 0.0 else 0.0
            pending.extend(s.args)


def _kinks(left: list[Any], here: list[Any], right: list[Any], evaluate: Callable[[], Value]) -> str:
    """The kinks between two points, named; empty where there are none."""
    if left == right == here:
        return ""
    way = [[branch[:2] for branch in side] for side in (left, here, right)]  # operations and plain numbers
    if way[0] != way[2]:
        return "another way on each side, by an `if` in Python" if way[1] in (way[0], way[2]) else ""
    nodes = [node for node in topological_order(evaluate()) if node.rule is not None]
    named = []
    for node, a, b, c in zip(nodes, left, here, right, strict=True):
        if not a == b == c:
            called = f"{node.op} at {', '.join([f'{p.data:.4g}' for p in node.parents])}"
            named.append(f"{called} ({node.label})" if node.label else called)
    return ", ".join([*named[:3], *([f"{len(named) - 3} more"] if len(named) > 3 else [])])


def _culprits(out: Value, order: int, tolerance: float, wrong: bool) -> list[str]:
    """Each rule below `out` whose own derivative is wrong, or else what may be behind the disagreement."""
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
        blame = _blame(rule, node, data, tolerance) or (order == 2 and _blame_second(rule, data, tolerance))
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
        ".data, float(v) or math.* inside f cut the graph, or f changes from call to call."
    ]


def _blame(rule: Primitive, node: Value, data: tuple[float, ...], tolerance: float) -> str:
    for i, local in enumerate(node.partials):
        if node.parents[i].is_constant or not math.isfinite(local):
            continue
        at = lambda x, i=i: rule.on_floats([*data[:i], x, *data[i + 1 :]])  # noqa: E731
        slopes = _sweep(at, data[i])
        if not math.isfinite(slopes[0].value):
            continue
        if slopes[0].differs(local, tolerance) and not _disputed(slopes, local, tolerance) and not _at_kink(rule, data, i):
            text, quotient = _rule_text(rule, data, node.data, i), slopes[0].value
            wrong = f"{text} gives {local:.6g}, but {_called(rule, data)} has slope {quotient:.6g}"
            return f"The rule of {rule.name} is wrong: {wrong}."
    return ""


def _blame_second(rule: Primitive, data: tuple[float, ...], tolerance: float) -> str:
    leaves = [Value(x) for x in data]
    rows = _rows(lambda: rule(*leaves), {leaf: f"x{i}" for i, leaf in enumerate(leaves)}, 2, tolerance)
    wrong = [row for row in rows if row.verdict == "wrong"]
    if not wrong:
        return ""
    return (
        f"The rule of {rule.name} is right once, but wrong when differentiated again: {wrong[0].analytic:.6g} instead of "
        f"{wrong[0].numeric:.6g} at {_called(rule, data)}; its partial must be made of operators and primitives alone."
    )


def _at_kink(rule: Primitive, data: tuple[float, ...], operand: int) -> bool:
    points = []
    for sign in (-1.0, 0.0, 1.0):
        moved = [Value(x + sign * NEAR * max(math.fabs(x), 1.0) if i == operand else x) for i, x in enumerate(data)]
        points.append(_branch(rule(*moved)))
    return not points[0] == points[1] == points[2]


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
