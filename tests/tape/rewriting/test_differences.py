"""Differences of a number and a product as dots: the same bits, and one rounding less where code rounds both at once."""

import numpy as np
import pytest
from programs import program
from tapes import recorded

import micrograd as mg
from micrograd.tape.back_ends import reference
from micrograd.tape.rewriting.differences import with_differences_as_dots

EDGES = (0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, 1e308, 5e-324)
FORMS = {  # and the primitives that they become, "neg" of what is no constant
    "from a number": (lambda a, b, c: a - b * c, ["neg", "dot"]),
    "a number from it": (lambda a, b, c: b * c - a, ["neg", "dot"]),
    "of two products": (lambda a, b, c: a * b - b * c, ["mul", "mul", "sub"]),
    "of two products beside others": (
        lambda a, b, c: (a * b - b * b) * (a - a * c),
        ["mul", "mul", "sub", "neg", "dot", "mul"],
    ),
    "a negative of the second factor": (lambda a, b, c: -c + (a - b * c), ["neg", "dot", "add"]),
    "a constant factor": (lambda a, b, c: a - 2.0 * b, ["dot"]),
    "a constant": (lambda a, b, c: b * c - 2.0, ["dot"]),
    "a negative that there is": (lambda a, b, c: -b + (a - b * c), ["neg", "dot", "add"]),
    "used elsewhere too": (lambda a, b, c: mg.sin(b * c) + (a - b * c), ["mul", "sin", "sub", "add"]),
    "a square": (lambda a, b, c: a - b * b, ["neg", "dot"]),
}


@pytest.mark.parametrize("name", FORMS)
def test_each_form_has_the_same_bits_and_signs_of_zeros(name):
    function, expected = FORMS[name]
    tape, _ = recorded(lambda x: function(*x), [0.3, 0.7, 1.1], gradient=False)
    new = with_differences_as_dots(tape)
    assert [rule.name for rule, _ in new.instructions] == expected
    X = np.array([(a, b, c) for a in EDGES for b in EDGES for c in EDGES])
    with np.errstate(all="ignore"):
        before, after = (reference.Program(t, [(3, True)], False)([X], np.zeros(0), len(X)) for t in (tape, new))
    np.testing.assert_array_equal(before, after)
    there = ~np.isnan(before)
    np.testing.assert_array_equal(np.signbit(before[there]), np.signbit(after[there]))


@pytest.mark.parametrize("seed", range(30))
def test_any_program_has_the_same_bits(seed):
    function, inputs, leaves = program(seed, 60)
    tape, _ = recorded(function, [0.3] * inputs, wrt=leaves)
    X, theta = np.random.default_rng(seed).normal(size=(9, inputs)), np.array([p.data for p in leaves])
    for reduce in (False, True):
        before, after = (
            reference.Program(t, [(inputs, True)], reduce)([X], theta, 9) for t in (tape, with_differences_as_dots(tape))
        )
        np.testing.assert_array_equal(before, after)


def test_what_all_steps_share_is_negated_once():
    def run(x):
        u = v = x[0]
        for _ in range(20):
            u, v = u - mg.tanh(v) * x[1], v + x[1] * mg.sin(u) * u
        return u * v

    tape = with_differences_as_dots(recorded(run, [0.3, 0.2], gradient=False)[0])
    names = [rule.name for rule, _ in tape.instructions]
    assert names.count("neg") == 1 and "sub" not in names


@pytest.mark.parametrize("n", [1, 9])
def test_compiled_code_rounds_once_unless_exact(n):
    """(1 + e)² − 1 − 2 e is e², which is lost where the product is rounded by itself."""
    pytest.importorskip("llvmlite", reason="the extra `jit` has it")
    e = 2.0**-30
    x = np.full(n, 1.0 + e)
    for f in (lambda x: x * x - (1.0 + 2.0 * e), lambda x: (1.0 + 2.0 * e) - x * x):
        assert (np.abs(mg.jit(f, backend="llvm").map(x)) == e * e).all()
        assert (mg.jit(f, backend="llvm", precision="exact").map(x) == 0.0).all()
