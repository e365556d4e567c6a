"""The table of numerical derivatives: right rules agree, kinks are named, planted mistakes are caught and named."""

import math

import pytest

import micrograd as mg
from micrograd import MLP, Value, gradcheck
from micrograd.check.gradcheck import GradCheck, Row
from micrograd.primitives import RULES


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


@pytest.mark.parametrize("name", RULES)
def test_every_rule_agrees_to_second_order(name):
    rule = RULES[name]
    data = [0.37, 0.61, 0.82, -0.45, 0.15][: 5 if rule.variadic else len(rule.partials)]
    if name == "take":  # its index is a whole number
        report = gradcheck(lambda *xs: rule(2.0, *xs), *data, order=2)
    else:
        report = gradcheck(lambda *xs: rule(*xs), *data, order=2)
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
        (lambda x: x * 2.0 if x > 1.0 else x + 1.0, 1.0, "another way on each side, by an `if` in Python"),
        (lambda x: x * 2.0 if x > 1.0 else x * 3.0 - 1.0, 1.0, "another way on each side, by an `if` in Python"),
    ],
)
def test_kinks_are_named(f, at, remark):
    (row,) = gradcheck(f, at).rows
    assert row.verdict == "kink" and remark in row.remark, row
    assert gradcheck(f, at + 0.25).rows[0].verdict == "agrees"


def test_a_wrong_convention_at_a_kink_is_wrong(planted):
    bent = planted("bent", lambda x: max(x, 0.0), lambda x, out: 2 * mg.step(x) - 1 + 3 * (1 - mg.abs(mg.sign(x))))
    (row,) = gradcheck(bent, 0.0).rows
    assert row.verdict == "wrong" and "does not lie between" in row.remark


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
    once = planted("once", lambda x: x * x, lambda x, out: 2 * float(x))
    assert gradcheck(lambda x: once(x) * x, 0.3)
    report = gradcheck(lambda x: once(x) * x, 0.3, order=2)
    assert not report and "right once, but wrong when differentiated again" in report.findings[0]


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
