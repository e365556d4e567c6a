"""Expressions as text: what they mean, and what is said of those that mean nothing."""

import pytest

from micrograd import Value, adjoints
from micrograd.formula.parse import ExpressionError, named_values, parse

A, B, C = 1.0, -2.0, 0.5


def values():
    return named_values(["a=1", "b=-2", "c=0.5"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tanh(a*b) + c", (Value(A) * Value(B)).tanh().data + C),
        ("(a*b).tanh() + c", (Value(A) * Value(B)).tanh().data + C),
        ("-a ** 2 / b - +c", 0.0),
        ("sum(a, b, c) + sum([a, b])", -1.5),
        ("dot([a, b], [b, c], 1)", -2.0),
        ("logsumexp([a])", 1.0),
        ("where(a > b, a, b) + max(a, b) * (a < b)", 1.0),
        ("d = a*b; e = d + c; e * d", 3.0),
        ("sin(pi/2)", 1.0),
        ("1/0", float("inf")),
        ("  7\n", 7.0),
    ],
)
def test_the_value_of_an_expression(text, expected):
    assert parse(text, values()).data == expected


def test_the_names_are_the_leaves_and_steps_become_labels():
    named = values()
    out = parse("d = a*b\ntanh(d) + c", named)
    g = adjoints(out)
    assert out.parents[1] is named["c"]
    assert [v.label for v in g if v.label] == ["a", "b", "d", "c"]
    assert g[named["c"]] == 1.0
    assert g[named["a"]] == (1 - out.parents[0].data ** 2) * B


def test_a_sum_of_many_terms_needs_no_recursion():
    assert parse("+".join(["a"] * 2500), values()).data == 2500.0


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("tanh(a*b) + d", "unknown name 'd': give it a value, d=1.0", 12),
        ("tanh(a*b + c", "'(' was never closed", 4),
        ("a +", "cannot read the expression: invalid syntax", 3),
        ("ä*2 + a^b", "for a power write **", 7),
        ("a.b", "not an attribute", 0),
        ("a + b if a else c", "use where(c, a, b)", 0),
        ("__import__('os').system('ls')", "only real numbers", 11),
        ("a[0]", "not an index", 0),
        ("a + sin(a, b)", "sin(x) has 1 argument(s), got 2", 4),
        ("foo(a)", "unknown function 'foo': known are abs, acos", 0),
        ("take(a, a)", "unknown function 'take': known are abs", 0),
        ("2 * take", "unknown name 'take'", 4),
        ("dot([a], [b, c])", "one length, got 1 and 2", 0),
        ("dot(a, b)", "dot takes two lists", 0),
        ("[a]", "not a list", 0),
        ("2 * [a]", "expected a number, got list", 0),
        ("import os", "only arithmetic", 0),
        ("1j * a", "only real numbers", 0),
        ("9" * 400, "too large", 0),
        ("(" * 300 + "a" + ")" * 300, "too many nested", 200),
        ("", "empty", 0),
        ("a\0b", "null", 0),
        ("d = a * b; tanh(d) + x", "unknown name 'x'", 21),
    ],
)
def test_what_means_nothing_is_refused_at_its_place(text, message, column):
    named = {**values(), "ä": 1.0}
    with pytest.raises(ExpressionError) as caught:
        parse(text, named)
    said, shown, caret = str(caught.value).split("\n")
    assert message in said
    assert caught.value.column == column
    assert caret.index("^") - 2 == min(column, 60)
    assert len(shown) < 130


def test_the_functions_that_are_known_are_the_ones_that_work():
    with pytest.raises(ExpressionError) as caught:
        parse("take(a, a)", values())
    known = caught.value.message.partition("known are ")[2].split(", ")
    assert "take" not in known and {"sum", "dot", "logsumexp", "tanh", "where"} <= set(known)


def test_values_may_be_infinite_or_nan():
    named = named_values(["a=inf", "b=-inf", "c=nan", "d=2*inf"])
    assert [repr(v.data) for v in named.values()] == ["inf", "-inf", "nan", "inf"]


@pytest.mark.parametrize("text", ["a", "a=", "=3", "1a=3", "a=x", "a=b=3", "a==3"])
def test_assignments_that_do_not_read(text):
    with pytest.raises(ExpressionError):
        named_values([text])


def test_two_values_for_one_name_are_refused_and_names_are_read_as_python_reads_them():
    with pytest.raises(ExpressionError, match="two values"):
        named_values(["a=1", "a=2"])
    assert parse("µ*2", named_values(["µ=pi"])).data == 2 * 3.141592653589793
