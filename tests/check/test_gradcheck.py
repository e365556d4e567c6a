"""The table of numerical derivatives: right rules agree, kinks are named, planted mistakes are caught and named."""

import math
import random
from collections import namedtuple

import numpy as np
import pytest
from truth import CASES

import micrograd as mg
from micrograd import MLP, Value, adjoints, assert_gradients, gradcheck
from micrograd.check.gradcheck import GradCheck
from micrograd.check.slopes import Slope, slope
from micrograd.check.verdicts import Row
from micrograd.primitives import RULES

SEVERITY = ["agrees", "kink", "not judged", "unclear", "not finite", "wrong"]


@pytest.fixture
def planted():
    """Makes a primitive of one's own and takes it out of the book again."""
    names = []

    def make(name, *row):
        names.append(name)
        return mg.primitive(name, f"{name}(x)", *row)

    yield make
    for name in names:
        del RULES[name]


def test_right_gradients_agree_to_many_digits():
    report = gradcheck(lambda a, b: (a * b).tanh() + a**2 / b, 0.7, -1.2, order=2)
    assert report and isinstance(report, GradCheck) and not report.findings
    assert [row.leaf for row in report.rows] == ["a", "b", "∂²/∂a²", "∂²/∂a∂b", "∂²/∂b²"]
    assert all(row.verdict == "agrees" and row.error < 1e-8 for row in report.rows)
    head, first, *_ = str(report).split("\n")
    assert head.split() == ["leaf", "analytic", "numeric", "rel.", "error", "step", "verdict"]
    assert first.split()[0] == "a" and first.endswith("agrees")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_rule_agrees_to_second_order(case):
    data = case.inside(0.37, 0.61, 0.82, -0.45, 0.15)
    whole, data = data[: case.whole], data[case.whole :]
    report = gradcheck(lambda *xs: case.rule(*whole, *xs), *data, order=2)
    assert report, report
    assert all(row.verdict == "agrees" for row in report.rows)


def test_the_step_suits_the_argument():
    for x in (1e-8, 1e-3, 1.0, 1e6, 1e12):
        assert gradcheck(lambda x: x.log(), x).rows[0].error < 1e-6
    assert gradcheck(lambda x: (x * 1e6).sin(), 0.3).rows[0].error < 1e-5
    assert gradcheck(lambda x: x.exp(), 0.5).rows[0].step > 1e3 * gradcheck(lambda x: (x * 1e5).exp(), 0.0).rows[0].step


def test_lists_and_values_are_arguments_too():
    xs = [Value(1.0, label="first"), 2.0, [3.0]]
    report = gradcheck(lambda xs, y: mg.logsumexp([xs[0], xs[1], xs[2][0]]) * y, xs, 0.5)
    assert report and [row.leaf for row in report.rows] == ["first", "xs[1]", "xs[2][0]", "y"]
    assert xs[0].data == 1.0 and xs[0].grad == 0.0


def test_networks():
    net = MLP(2, [3, 1], activation="tanh", seed=1)
    report = gradcheck(lambda *_: (net([1.0, -0.5]) - 1.0) ** 2, *net.parameters())
    assert report and [row.leaf for row in report.rows][:3] == ["W_11^[1]", "W_21^[1]", "b_1^[1]"]


@pytest.mark.parametrize(
    ("f", "at", "remark"),
    [
        (lambda x: x.relu(), 0.0, "relu at 0; from the left 0, from the right 1"),
        (lambda x: 3.0 * abs(x - 1.0), 1.0, "abs at 0; from the left -3, from the right 3"),
        (lambda x: x.maximum(2.0), 2.0, "maximum at 2, 2; from the left 0, from the right 1"),
        (lambda x: mg.where(x, x * x, -x), 0.0, "where at 0"),
        (lambda x: x.step(), 0.0, "step at 0, where the function jumps"),
        (lambda x: mg.round(x) * x, 2.5, "round at 2.5, where the function jumps"),
        (lambda x: x // 0.5 * x, 2.0, "floordiv at 2, 0.5, where the function jumps"),
        (lambda x: x * 2.0 if x > 1.0 else x + 1.0, 1.0, "another way on each side, by an `if` in Python"),
        (lambda x: x * 2.0 if x > 1.0 else x * 3.0 - 1.0, 1.0, "another way on each side, by an `if` in Python"),
    ],
)
def test_kinks_are_named(f, at, remark):
    (row,) = gradcheck(f, at).rows
    assert row.verdict == "kink" and remark in row.remark, row
    assert gradcheck(f, at + 0.25).rows[0].verdict == "agrees"


def test_a_wrong_convention_at_a_kink_is_wrong(planted):
    bent = planted("bent", lambda x: max(x, 0.0), lambda x, out: mg.step(x) + 3 * (1 - mg.abs(mg.sign(x))))
    (row,) = gradcheck(bent, 0.0).rows
    assert row.verdict == "wrong" and "does not lie between" in row.remark
    wrong = planted("wrong_beside", lambda x: max(x, 0.0), lambda x, out: 2 * mg.step(x))
    (row,) = gradcheck(wrong, 0.0).rows
    assert row.verdict == "wrong" and row.remark.endswith("from the right 1, and the derivative is wrong beside it")


def test_a_planted_wrong_rule_is_caught_and_named(planted):
    wrong = planted("wrongtanh", math.tanh, lambda x, out: 1 - out)
    report = gradcheck(lambda x, y: wrong(x * y) * y + y.exp() + x.sin(), 0.3, 2.0)
    assert not report and {row.verdict for row in report.rows} == {"wrong"}
    assert report.findings == [
        "The rule of wrongtanh is wrong: ∂wrongtanh(x)/∂x = 1 − wrongtanh(x) gives 0.46295, "
        "but wrongtanh(0.6) has slope 0.711578."
    ]
    assert report.findings[0] in str(report)


@pytest.mark.parametrize("error", [1e-4, -1e-4, 0.5])
def test_small_mistakes_are_caught(planted, error):
    wrong = planted("nearly", math.sin, lambda x, out: (1 + error) * mg.cos(x))
    report = gradcheck(lambda x: wrong(x) * 3.0, 0.3)
    assert report.rows[0].verdict == "wrong" and "nearly" in report.findings[0]


def test_a_built_in_rule_gone_wrong_is_caught(monkeypatch):
    monkeypatch.setattr(RULES["logsumexp"], "partials", lambda xs, out: tuple([mg.exp(x) for x in xs]))
    report = gradcheck(lambda x, y: mg.logsumexp([x, y]) * x.sin(), 0.4, 0.8)
    assert not report
    assert report.findings[0].startswith("The rule of logsumexp is wrong: ∂logsumexp(x, y)/∂x = exp(x) gives 1.49182, but")


def test_a_rule_that_is_right_only_once(planted):
    once = planted("once", lambda x: x * x, lambda x, out: 2 * mg.stop_gradient(x))
    assert gradcheck(lambda x: once(x) * x, 0.3)
    report = gradcheck(lambda x: once(x) * x, 0.3, order=2)
    assert not report and "right once, but wrong when differentiated again" in report.findings[0]
    numbers = planted("numbers", lambda x: x * x, lambda x, out: 2 * float(x))
    assert gradcheck(lambda x: numbers(x) * x, 0.3)
    with pytest.raises(TypeError, match=r"a partial derivative of numbers: a value was turned into a plain number"):
        gradcheck(lambda x: numbers(x) * x, 0.3, order=2)


def test_what_the_graph_does_not_see_is_suspected():
    report = gradcheck(lambda x: x * math.exp(x.data), 0.3)
    assert not report and "does not see" in report.findings[0]


def test_a_backward_of_ones_own_is_suspected():
    def f(x):
        out = Value(x.data**2, (x,), "square")

        def step():
            x.grad += 3.0 * x.data * out.grad

        out._backward = step
        return out

    report = gradcheck(f, 0.3)
    assert not report and "hand-written _backward of 'square'" in report.findings[0]


def test_what_cannot_be_checked_says_so():
    assert gradcheck(lambda x: x.sqrt(), 0.0).rows[0].verdict == "not finite"
    assert gradcheck(lambda x: (x - 1.0).log(), 0.0).rows[0].verdict == "unclear"
    assert gradcheck(lambda x: (x * 1e9).sin(), 0.3).rows[0].verdict == "unclear"


def test_an_argument_that_plays_no_part():
    report = gradcheck(lambda x, y: x * 2.0, 1.0, 5.0)
    assert report and report.rows[1].analytic == 0.0 == report.rows[1].numeric
    assert gradcheck(lambda x: 3.0, 1.0)


def test_bad_arguments_are_refused():
    x = Value(1.0)
    with pytest.raises(ValueError, match="order 1 or 2"):
        gradcheck(lambda x: x, 1.0, order=3)
    with pytest.raises(ValueError, match="computed by mul"):
        gradcheck(lambda x: x, x * 2.0)
    with pytest.raises(ValueError, match="at least one"):
        gradcheck(lambda: x)
    with pytest.raises(TypeError, match="expected a number, got str"):
        gradcheck(lambda x: x, "1.0")
    with pytest.raises(TypeError, match="gives one number"):
        gradcheck(lambda x: [x, x], 1.0)
    with pytest.raises(ZeroDivisionError):
        gradcheck(lambda v: v * (1 // 0), x)
    assert x.data == 1.0 and Row("x", 1.0, 1.0, 0.0, 0.1, "agrees").remark == ""


def test_assert_gradients_shows_the_table(planted):
    assert_gradients(lambda x, y: x * mg.exp(y), 1.0, [2.0, 3.0][0], order=2)
    wrong = planted("off_by_a_tenth", math.sin, lambda x, out: 1.1 * mg.cos(x))
    with pytest.raises(
        AssertionError, match=r"the derivatives of f are(.|\n)*verdict\n(.|\n)*wrong\n(.|\n)*The rule of off_by"
    ):

        def f(x):
            return wrong(x) * x

        assert_gradients(f, 0.3)


def test_a_wrong_rule_is_blamed_once(planted):
    wrong = planted("wrongsin", math.sin, lambda x, out: 1.1 * mg.cos(x))
    report = gradcheck(lambda x: wrong(x) * wrong(x * 2.0), 0.3)
    assert not report and len(report.findings) == 1


# -- verdicts at their thresholds


@pytest.mark.parametrize("verdict", ["agrees", "kink", "not judged", "unclear", "not finite", "wrong"])
def test_a_check_is_true_where_all_agree_or_stand_at_kinks(verdict):
    right = Row("x", 1.0, 1.0, 0.0, 0.1, "agrees")
    assert bool(GradCheck([right, Row("y", 1.0, 2.0, 0.5, 0.1, verdict)], [])) == (verdict in ("agrees", "kink", "not judged"))
    assert bool(GradCheck([Row("y", 1.0, 2.0, 0.5, 0.1, verdict)], [])) == (verdict in ("agrees", "kink"))


@pytest.mark.parametrize("high", [1e-6, 1e-4, 1.0])
def test_a_small_jump_is_a_jump_and_a_kink_without_one_is_not(high):
    (row,) = gradcheck(lambda x: x + high * (x - 1.0).step() + 2.0 * (x - 1.0).relu(), 1.0).rows
    assert row.verdict == "kink" and "where the function jumps" in row.remark
    (row,) = gradcheck(lambda x: x + high * (x - 1.0).relu(), 1.0).rows
    assert "jumps" not in row.remark


@pytest.mark.parametrize(("at_kink", "verdict"), [(1.05, "wrong"), (-1.05, "wrong"), (0.95, "kink"), (-1.0, "kink")])
def test_at_a_kink_a_rule_lies_between_its_slopes(planted, at_kink, verdict):
    bent = planted("bent", abs, lambda x, out: mg.sign(x) + at_kink * mg.equal(x, 0.0))
    assert gradcheck(bent, 0.0).rows[0].verdict == verdict


def test_a_flat_kink_that_no_rule_speaks_of_is_named(planted):
    bent = planted("bent", lambda x: 1.1 * x if x > 0.0 else x, 1.05)
    (row,) = gradcheck(bent, 0.0).rows
    assert "a kink of the function; from the left 1, from the right 1.1" in row.remark


@pytest.mark.parametrize(("error", "verdict"), [(0.3e-6, "agrees"), (3e-6, "wrong")])
def test_the_tolerance_is_where_a_derivative_begins_to_be_wrong(planted, error, verdict):
    off = planted("off", math.sin, lambda x, out: (1 + error) * mg.cos(x))
    assert gradcheck(off, 0.3).rows[0].verdict == verdict
    assert gradcheck(off, 0.3, tolerance=1e-5) and not gradcheck(off, 0.3, tolerance=1e-7)


def test_a_slope_differs_by_more_than_the_tolerance_and_its_doubt():
    sure, unsure = Slope(2.0, 0.1, 0.0), Slope(2.0, 0.1, 1e-3)
    assert not sure.differs(2.0 + 1.9e-6, 1e-6) and sure.differs(2.0 + 2.1e-6, 1e-6)
    assert not sure.differs(2.0 - 1.9e-6, 1e-6) and sure.differs(2.0 - 2.1e-6, 1e-6)
    assert not unsure.differs(2.0079, 1e-6) and unsure.differs(2.0081, 1e-6)
    assert Slope(math.nan, 0.1, 0.0).differs(2.0, 1e-6)
    assert Slope(2.0, 0.1, 0.0199).sure and not Slope(2.0, 0.1, 0.0201).sure
    assert Slope(0.0, 0.1, 0.9e-6).sure and not Slope(0.0, 0.1, 1.1e-6).sure


@pytest.mark.parametrize("f", [mg.sin, mg.exp, lambda x: 3.0 * x, lambda x: x**2 + 100.0])
@pytest.mark.parametrize("x", [0.3, -2.0, 40.0])
def test_numerical_slopes_are_good_to_nine_digits_and_know_how_good(f, x):
    v = Value(x)
    truth = adjoints(f(v), v)[v]
    found = slope(lambda x: f(x).data if isinstance(f(x), Value) else f(x), x)
    assert abs(found.value - truth) <= min(1e-9 * abs(truth), 8 * found.doubt) and found.doubt < 1e-7 * abs(truth)


@pytest.mark.parametrize(("error", "verdict"), [(4e-7, "agrees"), (3e-6, "wrong"), (-4e-7, "agrees"), (-3e-6, "wrong")])
def test_a_derivative_is_wrong_from_the_tolerance_on(planted, error, verdict):
    wrong = planted("nearly", math.sin, lambda x, out: (1 + error) * mg.cos(x))
    for x in (0.3, 2.0, -7.0):
        assert gradcheck(wrong, x).rows[0].verdict == verdict
    assert gradcheck(wrong, 0.3, tolerance=10 * abs(error)).ok and not gradcheck(wrong, 0.3, tolerance=abs(error) / 10).ok


def test_the_size_of_the_argument_does_not_matter(planted):
    half = planted("half_a_slope", lambda x: x * x, lambda x, out: x)
    for x in (1.0, 1e-8, 1e-30, 1e30):
        assert gradcheck(half, x).rows[0].verdict == "wrong", x
        assert gradcheck(lambda x: x * x, x).rows[0].verdict == "agrees", x
        assert gradcheck(lambda x: x.relu(), x).rows[0].verdict == "agrees", x
    for x in (1e11, 3e12, 1e14):
        assert {gradcheck(f, x).rows[0].verdict for f in (mg.sin, mg.cos)} == {"agrees"}
    assert gradcheck(mg.sin, 1e17).rows[0].verdict == "unclear"  # its neighbour is more than two waves away
    (row,) = gradcheck(lambda x: 1.0 + 1e-20 * x, 1.0).rows
    assert row.verdict == "not judged" and "is uncertain by" in row.remark  # and nobody says that 0 equals 1e-20


# -- kinks, jumps, and functions in pieces


def early(xs):
    """A product that stops at the first zero."""
    out = 1.0
    for x in xs:
        if x == 0:
            return x * 0.0
        out = out * x
    return out


@pytest.mark.parametrize(
    ("f", "at", "remark"),
    [
        (lambda x: x if x == 1.0 else x * x, 1.0, "the point itself, by an `if` in Python; from the left 2, from the right 2"),
        (lambda x: early([x, x + 1.0, x + 2.0]), 0.0, "from the right 2; the way taken there gives 0"),
        (lambda x: max(x, 2.0 * x), 0.0, "another way on each side, by an `if` in Python; from the left 1, from the right 2"),
        (lambda x: abs(x) - 2.0 * x.relu(), 0.0, "from the left -1, from the right -1; the conventions for all of them give 0"),
        (lambda y: mg.atan2(y, -1.0), 0.0, "a jump of the function; from the left -1, from the right -1"),
        (lambda x: x**1.5, 0.0, "the function ends here"),
        (lambda x: x * x if x >= 0.0 else 1 // 0, 0.0, "another way on each side"),
    ],
)
@pytest.mark.parametrize("order", [1, 2])
def test_what_python_decides_is_a_kink(f, at, remark, order):
    report = gradcheck(f, at, order=order)
    assert report.rows[0].verdict == "kink" and remark in report.rows[0].remark, report
    assert {row.verdict for row in report.rows} <= {"agrees", "kink", "not judged", "not finite"}


def test_poles_and_jumps_of_ones_own_rules_are_not_accused(planted):
    floor = planted("my_floor", math.floor, 0.0)
    assert "my_floor at 2, where the function jumps" in gradcheck(floor, 2.0).rows[0].remark
    assert gradcheck(lambda x: floor(x) * x, 2.5) and gradcheck(lambda x: floor(x) * x * x, 0.0, order=2)
    pole = gradcheck(mg.tan, math.pi / 2)
    assert pole.rows[0].verdict == "unclear" and not pole.findings
    assert gradcheck(lambda x: 1.0 / x, 1e-8, order=2)


PIECES = {
    "x": 4, "{c}": 1, "({a} + {b})": 2, "({a} - {b})": 2, "({a} * {b})": 2, "mg.relu({a})": 2, "mg.abs({a})": 2,
    "mg.sign({a})": 1, "mg.step({a})": 1, "floor({a})": 1, "mg.sin({a})": 1, "mg.exp({a})": 1, "{a}**2": 1,
    "mg.maximum({a}, {b})": 1, "mg.minimum({a}, {b})": 1, "mg.where({a}, {b}, {a})": 1, "max({a}, {b})": 1, "min({a}, {b})": 1,
    "({a} if {b} > {c} else {a})": 2, "({a} if {b} == {c} else {a})": 1, "({a} if abs({b}) < 1e-3 else {a})": 1,
    "early([{a}, {b}, {a}])": 1,
}  # fmt: skip


def in_pieces(dice, depth):
    """The source of a random function of x in pieces, of which many meet at 0."""
    shapes = list(PIECES)[:2] if depth == 0 else list(PIECES)[2:]
    (shape,) = dice.choices(shapes, [PIECES[s] for s in shapes])
    parts = {name: in_pieces(dice, depth - 1) for name in "ab"} if depth else {}
    return shape.format(c=dice.choice([0.0, 1.0, -1.0, 0.5, -0.3]), **parts)


def verdicts_in_pieces(planted, seed, count, order, hidden=0.0):
    """For each of many functions in pieces at 0, its source and the worst verdict; `hidden` is a slope that no graph sees."""
    dice, names = random.Random(seed), {"mg": mg, "early": early, "floor": planted("floor_in_pieces", math.floor, 0.0)}
    for _ in range(count):
        source = in_pieces(dice, dice.choice([2, 3, 3, 4]))
        f = eval(f"lambda x: {source}", names)
        rows = gradcheck(lambda x, f=f: f(x) * 1.0 + hidden * x.data, 0.0, order=order).rows
        yield source, max([row.verdict for row in rows], key=SEVERITY.index)


@pytest.mark.parametrize(
    ("seed", "order", "count"), [(1, 1, 100), (2, 2, 30), pytest.param(3, 1, 1000, marks=pytest.mark.slow)]
)
def test_functions_in_pieces_are_not_accused(planted, seed, order, count):
    accused = [found for found in verdicts_in_pieces(planted, seed, count, order) if found[1] not in SEVERITY[:3]]
    assert not accused, accused


def test_what_the_graph_does_not_see_is_found_in_functions_in_pieces(planted):
    found = [verdict for _, verdict in verdicts_in_pieces(planted, 4, 50, 1, hidden=0.37)]
    assert found.count("wrong") >= 47  # a slope may hide where the pieces' own slopes differ by more


# -- what is printed, and what is taken


def test_of_a_long_table_the_ten_worst_rows_are_printed(planted):
    xs = [0.1 * i for i in range(1, 41)]
    report = gradcheck(lambda *xs: mg.sum([x.exp() for x in xs]), *xs)
    lines = str(report).splitlines()
    assert len(report.rows) == 40 and len(lines) == 12
    assert lines[-1] == "... and 30 more of 40, no worse than these: 30 agrees"
    assert max(row.error for row in report.rows) == max(row.error for row in report.worst())
    wrong = planted("quite_wrong", math.exp, lambda x, out: 1.1 * out)
    report = gradcheck(lambda *xs: mg.sum([wrong(x) if i == 20 else x.exp() for i, x in enumerate(xs)]), *xs)
    assert "wrong" in [row.verdict for row in report.worst()] and "quite_wrong is wrong" in str(report)
    assert len(str(gradcheck(lambda *xs: mg.sum(xs), *xs[:12])).splitlines()) == 13


def test_named_tuples_dicts_and_arrays_are_arguments_too():
    point = namedtuple("Point", "x y")
    report = gradcheck(lambda p, d: p.x * p.y[0] * d["k"], point(1.0, [2.0]), {"k": 3.0})
    assert [(row.leaf, row.analytic) for row in report.rows] == [("p.x", 6.0), ("p.y[0]", 3.0), ("d['k']", 2.0)]
    report = gradcheck(lambda w: (w @ w).sum(), np.eye(2))
    assert report and [row.leaf for row in report.rows] == ["w[0, 0]", "w[0, 1]", "w[1, 0]", "w[1, 1]"]


def test_a_function_that_changes_from_call_to_call_is_refused():
    dice = random.Random(1)
    with pytest.raises(ValueError, match=r"one number for the same arguments; got .* and then .*: set the seed"):
        gradcheck(lambda x: x * dice.random(), 1.0)


@pytest.mark.parametrize("x", [math.inf, -math.inf, math.nan])
def test_there_is_no_step_from_an_infinity(x):
    """The search for a step did not end there."""
    (row,) = gradcheck(lambda a: 2.0 * a, x).rows
    assert row.verdict == "unclear" and f"the leaf holds {x}" in row.remark


def test_a_derivative_below_what_differences_can_see_is_not_judged(monkeypatch):
    monkeypatch.setattr("micrograd.primitives.RULES", dict(RULES))
    half = mg.primitive("half_square", "half_square(x)", lambda x: x * x, lambda x, out: x)
    for x in (1e-200, 1e-180, -1e-200):
        report = gradcheck(half, x)
        assert not report and report.rows[0].verdict == "not judged" and not report.findings
    for x in (1e-150, 1e-20, 1.0, 1e150):
        assert gradcheck(half, x).rows[0].verdict == "wrong"
    report = gradcheck(lambda x, y: x * x + 1e-20 * y, 1.0, 2.0)
    assert report and [row.verdict for row in report.rows] == ["agrees", "not judged"]
    assert gradcheck(lambda x, y: x * x + 0.0 * y, 1.0, 2.0).rows[1].verdict == "agrees"


def test_an_int_is_refused_in_words_of_gradcheck():
    with pytest.raises(TypeError, match=r"^n: got int 3, .*: write 3\.0 .*, or let the function close over it if it counts"):
        gradcheck(lambda n: n * n, 3)
