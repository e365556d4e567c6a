"""Expressions as text: what they mean, and what is said of those that mean nothing."""

import pytest
from expressions import MEANINGS, REFUSALS, B

from micrograd import adjoints
from micrograd.formula.parse import ExpressionError, named_values, parse


def values():
    return named_values(["a=1", "b=-2", "c=0.5"])


@pytest.mark.parametrize(("text", "expected"), MEANINGS)
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


@pytest.mark.parametrize(("text", "message", "column"), REFUSALS)
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
