"""Every row of the rule book can be written in every language that there is."""

import pytest
from truth import CASES

from micrograd import Value, to_code
from micrograd.formula import c, javascript, latex
from micrograd.formula.label import named
from micrograd.formula.symbol import Symbol


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_row_is_written_in_python_c_javascript_and_sympy(case):
    args = [float(low) if isinstance(low, int) else 0.5 for low, _ in case.domain]
    out = case.rule(*map(Value, args))
    scope = {}
    exec(to_code(out), scope)  # it runs; that it gives the same numbers is tested with explanations
    assert c.spelled(case.rule, [f"x{i}" for i in range(len(args))])
    assert case.name in javascript.printed()
    sympy = pytest.importorskip("sympy")
    if case.name != "take":  # an index is a number there
        from micrograd import to_sympy

        assert isinstance(to_sympy(out), sympy.Basic)


def test_what_is_negative_in_latex():
    a, b = (Symbol(x, named(label)) for x, label in ((2.0, "a"), (3.0, "b")))
    written = [latex.Latex()(s) for s in (-(a + b), a * -b, a - -b, -a * b, (-a) ** 2.0, a ** (-b))]
    assert written == [
        r"-\left(a + b\right)", r"a \cdot \left(-b\right)", r"a - \left(-b\right)", r"-a \cdot b", r"\left(-a\right)^{2}",
        "a^{-b}",
    ]  # fmt: skip


def test_numbers_and_words_in_latex():
    wanted = {1.5e-5: r"1.5 \times 10^{-5}", -2e30: r"-2 \times 10^{30}", 0.25: "0.25", -0.0: "0", float("-inf"): r"-\infty"}
    assert {x: latex.number(x, 4) for x in wanted} == wanted
    assert latex.words(r"a~b^c\d_e %#$&{}") == r"a\sim b\wedge c\backslash d\_e\ \%\#\$and\{\}"
