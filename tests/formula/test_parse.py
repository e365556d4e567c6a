"""Expressions as text: what they mean, and what is said of those that mean nothing."""

import re

import pytest
from expressions import COMPOSED, HERE, MEANINGS, NOT_COMPOSED, REFUSALS, THERE, WRITTEN, B, read_again

import micrograd
from micrograd import Value, adjoints
from micrograd.formula.label import named as named_as
from micrograd.formula.parse import ExpressionError, named_values, parse, read
from micrograd.formula.symbol import Symbol
from micrograd.formula.text import Text
from micrograd.primitives import HELPERS, RULES


def values():
    return named_values(["a=1", "b=-2", "c=0.5"])


@pytest.mark.parametrize(("text", "expected"), MEANINGS)
def test_the_value_of_an_expression(text, expected):
    assert parse(text, values()).data == expected


@pytest.mark.parametrize("text", WRITTEN)
def test_what_is_written_means_the_same_when_it_is_read_again(text):
    def symbol(v):
        if v.is_constant or v.rule is None:
            return Symbol(v.data, None if v.is_constant else named_as(v.label))
        return Symbol(v.data, None, v.rule, tuple(map(symbol, v.parents)))

    out = parse(text, {name: Value(x, label=name) for name, x in HERE.items()})
    for at, numbers in ((HERE, False), (THERE, False), (HERE, True)):
        again = read_again(Text(17, numbers)(symbol(out)))
        assert parse(again, at).data == pytest.approx(parse(text, at).data, rel=1e-14), again


def test_the_names_are_the_leaves_and_steps_become_labels():
    named = values()
    out = parse("d = a*b\ntanh(d) + c", named)
    g = adjoints(out)
    assert out.parents[1] is named["c"]
    assert [v.label for v in g if v.label] == ["a", "b", "d", "c"]
    assert g[named["c"]] == 1.0
    assert parse("d = a*b; e = d; e", named).label == "d" and parse("f = a; f", named) is named["a"]
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
    line = text.strip().split("\n")[-1].replace("\0", " ")  # the last one has the fault
    assert shown == "  " + line[max(column - 60, 0) :][:120]


def test_the_functions_that_are_known_are_the_ones_that_work():
    with pytest.raises(ExpressionError) as caught:
        parse("take(a, a)", values())
    known = caught.value.message.partition("known are ")[2].split(", ")
    assert "take" not in known and {"sum", "dot", "logsumexp", "tanh", "where"} <= set(known)


def test_values_may_be_infinite_or_nan():
    named = named_values(["a=inf", "b=-inf", "c=nan", "d=2*inf"])
    assert [repr(v.data) for v in named.values()] == ["inf", "-inf", "nan", "inf"]


@pytest.mark.parametrize("text", ["a", "a=", "=3", "1a=3", "a=x", "a=b=3", "a==3", "a=3=3"])
def test_assignments_that_do_not_read(text):
    with pytest.raises(ExpressionError):
        named_values([text])


def test_two_values_for_one_name_are_refused_and_names_are_read_as_python_reads_them():
    with pytest.raises(ExpressionError, match="two values"):
        named_values(["a=1", "a=2"])
    assert parse("µ*2", named_values(["µ=pi"])).data == 2 * 3.141592653589793


def test_a_name_in_other_letters_is_asked_for():
    for given, said in (("A=1", "did you mean a"), ("C=1", "leave it out")):
        with pytest.raises(ExpressionError, match=said):
            read("a * b", ["a=1", "b=2", given])


IN_PYTHON_ALONE = [  # elsewhere it is bad syntax
    ("a + softmax([a, b])[0:1]", "an index is a whole number from 0", 20),
    ("a + softmax([a, b])[True]", "an index is a whole number from 0", 20),
]


@pytest.mark.parametrize(("text", "expected"), COMPOSED)
def test_the_command_line_reads_composed_functions(text, expected):
    given = [f"{name}={x}" for name, x in (("a", 1), ("b", -2), ("c", 0.5)) if re.search(rf"\b{name}\b", text)]
    out, names = read(text, given)
    assert out.data == pytest.approx(expected, rel=1e-15) and "softmax" not in names


@pytest.mark.parametrize("name", ["exp", "norm", "clip"])
def test_a_value_may_have_the_name_of_a_function_that_the_expression_calls(name):
    out, names = read(f"{name} * {name}(a)", [f"{name}=2", "a=1"])
    assert out.data == pytest.approx(2.0 * read(f"{name}(a)", ["a=1"])[0].data) and names.keys() == {name, "a"}
    assert read(f"{name} = 2*a; {name}({name})", ["a=1"])[0].data == read(f"{name}(a)", ["a=2"])[0].data


@pytest.mark.parametrize(("text", "message", "column"), NOT_COMPOSED + IN_PYTHON_ALONE)
def test_what_is_said_of_composed_functions(text, message, column):
    with pytest.raises(ExpressionError, match=re.escape(message)) as caught:
        read(text, ["a=1", "b=-2", "c=0.5"])
    assert caught.value.column == column


def test_entries_of_lists_are_read_where_composed_functions_are():
    with pytest.raises(ExpressionError, match="not an index"):
        parse("a[0]", {"a": 1.0})


def test_no_list_names_the_rows_that_derivatives_alone_have_a_use_for():
    assert RULES.keys() > HELPERS and not any(hasattr(micrograd, name) for name in HELPERS)
    for text in ("foo(a)", "take(a, a)", *(f"{helper}(a, a)" for helper in sorted(HELPERS))):
        with pytest.raises(ExpressionError) as caught:
            parse(text, values())
        assert HELPERS.isdisjoint(caught.value.message.partition("known are ")[2].split(", "))
    with pytest.raises(ValueError, match="unknown activation 'foo'") as refused:
        micrograd.MLP(1, [1], activation="foo")
    assert not any(name in str(refused.value) for name in HELPERS)
