"""The verdict on one derivative: the engine's beside the numerical one, and what to make of the two.

`slopes` computes numerical derivatives, `kinks` compares the branches taken beside the point; `gradcheck` makes a table of the
verdicts. At a kink the engine's derivative cannot be the numerical one. There it has to be right on both sides, and each rule's
own partial has to lie between the two slopes of that rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from micrograd.check.kinks import Branches, branches, kinks
from micrograd.check.slopes import EPSILON, Function, Side, Slope, beside, finest, slope
from micrograd.engine import Value, adjoints, topological_order
from micrograd.primitives import Primitive


class Row(NamedTuple):
    """One derivative: the engine's, the numerical one, their relative error, the step of the latter, and a verdict.

    The verdict is "agrees", "kink", "not judged" (the derivative is smaller than what the numerical one can see), "wrong",
    "unclear" or "not finite"; `remark` may say more.
    """

    leaf: str
    analytic: float
    numeric: float
    error: float
    step: float
    verdict: str
    remark: str = ""


class Along(NamedTuple):
    """A derivative to be judged: the function of one leaf, the engine's derivative, and the branches, each at any point."""

    x: float
    f: Function
    derivative: Function
    branches: Callable[[float], Branches]
    out: Value  # the graph at x
    size: Function  # the largest rounded number on the way to f, at a point
    what: str  # what f is, in words: "function" or "first derivative"

    def kinks(self, h: float) -> str:
        return kinks(self.branches(self.x - h), self.branches(self.x), self.branches(self.x + h), self.out)


def along_leaf(evaluate: Callable[[], Value], leaf: Value, by: Value | None = None) -> Along:
    """The output as a function of `leaf`; with `by`, the derivative of the output by that."""
    x, out = leaf.data, evaluate()

    def at(point: float, what: Callable[[Value], Any], otherwise: Any) -> Any:
        leaf.data = point
        try:
            return what(evaluate())
        except (ArithmeticError, ValueError):  # beside the point the function may be undefined
            if point == x:
                raise
            return otherwise
        finally:
            leaf.data = x

    def value(out: Value) -> float:
        return out.data if by is None else _derivative(out, by)

    def derivative(out: Value) -> float:
        return _derivative(out if by is None else adjoints(out, wrt=[by], create_graph=True)[by], leaf)

    return Along(
        x,
        lambda point: at(point, value, math.nan),
        lambda point: at(point, derivative, math.nan),
        lambda point: at(point, branches, []),
        out,
        lambda point: at(point, _size, 0.0),
        "function" if by is None else "first derivative",
    )


def _size(out: Value) -> float:
    """The largest number on the way to `out`, times its derivative by it; leaves do not count, for they are exact."""
    arriving = [math.fabs(g * node.data) for node, g in adjoints(out).items() if node.rule is not None]
    return max([x for x in arriving if math.isfinite(x)], default=0.0)


def _derivative(out: Value, leaf: Value) -> float:
    return adjoints(out, wrt=[leaf])[leaf]  # type: ignore[no-any-return]


def judged(name: str, along: Along, tolerance: float) -> Row:
    """The row of one derivative, called `name`, with its verdict."""
    x, f = along.x, along.f
    analytic = along.derivative(x)
    size = along.size(x)
    found = slope(f, x, size)

    def row(verdict: str, remark: str = "") -> Row:
        return Row(name, analytic, found.value, _error(analytic, found.value), found.step, verdict, remark)

    if not math.isfinite(analytic):
        return row("not finite", "output.why(leaf) says where that comes from")
    if not math.isfinite(x):
        return row("unclear", f"the leaf holds {x}, and there is no step from there")
    kink = along.kinks(found.step)
    if kink and not along.kinks(h := 16.0 * finest(x)):  # a kink nearby: take steps that stay on this side of it
        while 4.0 * h < found.step and not along.kinks(4.0 * h):
            h *= 4.0
        found = slope(f, x, size, h)
        kink = kink if not found.sure else ""
    if found.differs(analytic, tolerance):  # numbers that are 0 at x are rounded at a step from there
        found = found._replace(doubt=found.doubt + EPSILON * along.size(x + found.step) / found.step)
    if not kink and (found.differs(analytic, tolerance) or not found.sure):  # which nan does too
        sides = [beside(f, x, sign) for sign in (-1.0, 1.0)]
        kink = _broken(sides, f(x), along.what, tolerance)
        left, right = [side.slope for side in sides]
        doubt = left.doubt + right.doubt + math.fabs(left.value - right.value)
        if not kink and doubt < found.doubt:  # as of x|x|, whose central differences converge too slowly
            found = Slope((left.value + right.value) / 2.0, max(left.step, right.step), doubt)
    if kink:
        return _at_kink(name, along, analytic, kink, tolerance)
    if not math.isfinite(found.value):
        defined = all(math.isfinite(f(x + sign * max(math.fabs(x), 1.0) * 1e-6)) for sign in (-1.0, 1.0))
        why = (
            "floats beside this point are too far apart to tell" if defined else "the function is not finite around this point"
        )
        return row("unclear", why)
    if found.differs(analytic, tolerance):
        again = slope(f, x, size, 0.3 * found.step)  # other steps: a wave that fits the first ones does not fit these
        if not again.differs(analytic, tolerance) or again.differs(found.value, tolerance):
            return row("unclear", "the numerical derivative depends on the step")
        return row("wrong")
    if not found.sure and analytic != found.value:
        return row("unclear", f"the numerical derivative is uncertain by {found.doubt:.1e}")
    if _error(analytic, found.value) > tolerance:
        if analytic and 16.0 * found.doubt > max(math.fabs(analytic), math.fabs(found.value)):  # half of it would go unnoticed
            return row("not judged", f"the numerical one is uncertain by {found.doubt:.0e}, and this is no larger")
        return row("agrees", f"within the {found.doubt:.0e} by which the numerical one is uncertain")
    return row("agrees")


def _error(analytic: float, numeric: float) -> float:
    """The relative error, 0 where both are equal; the plain difference where the numerical one is not finite."""
    if analytic == numeric or not math.isfinite(numeric):
        return analytic - numeric
    return math.fabs(analytic - numeric) / max(math.fabs(analytic), math.fabs(numeric))


# -- kinks and jumps


def _between(analytic: float, sides: Sequence[Side]) -> bool:
    """Whether a derivative lies between the slopes of the sides."""
    slopes = [side.slope.value for side in sides]
    slack = 1e-4 * sum(map(math.fabs, slopes)) + 8.0 * sum(side.slope.doubt for side in sides) + 1e-6
    return min(slopes) - slack <= analytic <= max(slopes) + slack


def _jumps(sides: Sequence[Side], here: float) -> bool:
    """Whether the limits on both sides, and the value `here`, are not the same number."""
    limits = [here, *[side.limit for side in sides]]
    slack = 1e-7 * max(map(math.fabs, limits)) + 1e-8 * sum(math.fabs(side.slope.value) for side in sides) + 1e-12
    return max(limits) - min(limits) > slack


def _broken(sides: Sequence[Side], here: float, what: str, tolerance: float) -> str:
    """The end, jump or kink of a function at a point where no rule tells of one; "" where none is found."""
    usable = [side for side in sides if math.isfinite(side.slope.value)]
    if len(usable) == 1 and not all(math.isfinite(side.limit) for side in sides):
        return f"the {what} ends here"
    if len(usable) < 2:
        return ""
    if _jumps(sides, here):
        return f"a jump of the {what}"
    left, right = [side.slope for side in sides]
    far = math.fabs(left.value - right.value)
    size = math.fabs(left.value) + math.fabs(right.value)
    return f"a kink of the {what}" if far > 1e-3 * size + 8.0 * (left.doubt + right.doubt) + tolerance else ""


def _at_kink(name: str, along: Along, analytic: float, kink: str, tolerance: float) -> Row:
    """The row of a derivative at a kink: "kink", unless it is wrong beside the point, or a rule's partial out of bounds."""
    both = [beside(along.f, along.x, sign) for sign in (-1.0, 1.0)]
    sides = [side for side in both if math.isfinite(side.slope.value)]
    middle = sum(side.slope.value for side in sides) / len(sides) if sides else math.nan
    step = max((side.slope.step for side in sides), default=0.0)
    shown = [
        f"from the {where} {side.slope.value + 0.0:.4g}"
        for where, side in zip(("left", "right"), both, strict=True)
        if math.isfinite(side.slope.value)
    ]
    jump = (
        f", where the {along.what} jumps" if len(sides) == 2 and _jumps(sides, along.f(along.x)) and "jump" not in kink else ""
    )
    said = f"{kink}{jump}; {', '.join(shown)}" if shown else kink

    def row(verdict: str, remark: str) -> Row:
        return Row(name, analytic, middle, math.nan, step, verdict, remark)

    if _beside_wrong(along, sides, tolerance):
        return row("wrong", f"{said}, and the derivative is wrong beside it")
    if not sides:
        return row("unclear", f"{kink}, and beside it the function has no slope")
    if _between(analytic, sides):
        return row("kink", said)
    if any(_out_of_bounds(node) for node in topological_order(along.out) if node.rule is not None):
        return row("wrong", f"{said}, and the derivative does not lie between")
    chosen = "the way taken there gives" if "the point itself" in kink else "the conventions for all of them give"
    return row("kink", f"{said}; {chosen} {analytic:.4g}")


def _beside_wrong(along: Along, sides: Sequence[Side], tolerance: float) -> bool:
    """Whether the engine's derivative is wrong on one side of the point, both at some distance from it and much nearer."""
    size = max(math.fabs(along.x), 1.0)
    slack = tolerance * max([math.fabs(side.slope.value) for side in sides], default=0.0)
    for sign in (-1.0, 1.0):
        wrong = []
        for distance in (4.0**-8 * size, 4.0**-11 * size):
            point = along.x + sign * distance
            numeric, analytic = slope(along.f, point, along.size(point), distance / 16.0), along.derivative(point)
            known = math.isfinite(numeric.value) and math.isfinite(analytic) and numeric.sure
            wrong.append(known and numeric.differs(analytic, tolerance) and math.fabs(numeric.value - analytic) > slack)
        if all(wrong):
            return True
    return False


def _out_of_bounds(node: Value) -> bool:
    """Whether a partial derivative of a node does not lie between the two one-sided slopes of its rule."""
    rule, data = node.rule, [p.data for p in node.parents]
    assert rule is not None
    if rule.partials is None:
        return False
    for i, (parent, local) in enumerate(zip(node.parents, node.partials, strict=True)):
        if not parent.is_constant and math.isfinite(local):
            f = _operand(rule, data, i)
            sides = [beside(f, data[i], sign) for sign in (-1.0, 1.0)]
            if all(math.isfinite(side.slope.value) for side in sides) and not _between(local, sides):
                return True
    return False


def _operand(rule: Primitive, data: Sequence[float], i: int) -> Function:
    """A rule as a function of its operand `i`, the others fixed."""
    return lambda x: rule.on_floats([*data[:i], x, *data[i + 1 :]])
