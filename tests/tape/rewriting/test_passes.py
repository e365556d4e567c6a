"""Rewriting keeps every bit, also where a number is infinite, nan or a zero with a sign."""

import math

import numpy as np
import pytest
from tapes import recorded

import micrograd as mg
from micrograd import Value, adjoints, grad, jit
from micrograd.tape.back_ends import reference

EDGES = (0.0, -0.0, 1.0, -2.5, 2.0, -0.25, -1.0, 2.0**-1070, math.inf, -math.inf, math.nan, 1e308, 5e-324)
FUNCTIONS = {
    "maximum": mg.maximum,
    "minimum": mg.minimum,
    "x - c": lambda x, c: x - c,
    "c - x": lambda x, c: c - x,
    "x + c": lambda x, c: x + c,
    "x * c": lambda x, c: x * c,
    "x / c": lambda x, c: x / c,
    "c / x": lambda x, c: c / x,
    "x ** c": lambda x, c: x**c,
    "an order": lambda x, c: x + mg.less(x, c) - mg.greater(x, c),
    "two orders": lambda x, c: 1.0 + mg.greater(x, c) - mg.less(2.0 * x, c),
    "two of one": lambda x, c: (x + c) * (c + x) - (x - c) * (x - c),
}


def same(a, b):
    """Equal up to the sign of zero; nan equals nan."""
    return a == b or (a != a and b != b)


@pytest.mark.parametrize("backend", ["reference", "numpy"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_constants_at_the_edges_are_folded_to_the_engines_bits(name, backend):
    f = FUNCTIONS[name]
    for c in EDGES:
        value, slope = jit(lambda x, c=c: f(x, c), backend=backend), jit(grad(lambda x, c=c: f(x, c)), backend=backend)
        for x in EDGES:
            leaf = Value(x)
            out = f(leaf, c)
            expected = adjoints(out, leaf)[leaf] if isinstance(out, Value) and not out.is_constant else 0.0
            assert same(value(x), out.data), (x, c)
            assert same(slope(x), expected), (x, c)


@pytest.mark.parametrize("power", [2, 3, 4])
def test_small_powers_are_products_unless_bits_are_wanted(power):
    x = np.concatenate([EDGES, np.random.default_rng(power).normal(size=1000) * 10.0 ** np.linspace(-80, 80, 1000)])
    f = grad(lambda x: x ** (power + 1) / (power + 1.0)) if power < 4 else lambda x: x**power
    expected = jit(f, backend="reference").map(x)
    for backend in ("numpy", "llvm"):
        fast = jit(f, backend=backend)
        assert "mul(" in fast.schedule(x) and "pow(" not in fast.schedule(x)
        assert np.allclose(fast.map(x), expected, rtol=2.5 * 2.0**-52, atol=0.0, equal_nan=True)
    exact = jit(f, backend="llvm", precision="exact")
    assert "pow(" in exact.schedule(x)
    assert "pow(" not in jit(lambda x: x**0 * x, backend="llvm", precision="exact").schedule(x), "which is 1 everywhere"


@pytest.mark.parametrize("f", [
    lambda x: 0.0 + x, lambda x: x + 0.0, lambda x: -0.0 + x, lambda x: 0.0 - x, lambda x: x * 1.0,
    lambda x: mg.dot([x], [2.0]),
])  # fmt: skip
def test_zeros_keep_their_signs_in_exact_code(f):
    for x in (0.0, -0.0):
        for how in ({"backend": "reference"}, {"backend": "llvm"}):
            assert math.copysign(1.0, jit(f, precision="exact", **how)(x)) == math.copysign(1.0, f(x))


def test_quotients_and_powers_by_minus_one_are_no_identities():
    f = jit(lambda x: (x / -1.0, x**-1.0, x * -1.0, x - -1.0), backend="reference")
    assert f(2.0) == (-2.0, 0.5, -2.0, 3.0)


DIFFERENCES = {  # and whether they become a dot
    "from a number": (lambda a, b, c, d, e, x, y: a - b * c - d * e - -x * y, True),
    "from a product": (lambda a, b, c, d, e, x, y: a * b - c * d - e * x, True),
    "a constant factor": (lambda a, b, c, d, e, x, y: a - 2.0 * b - c * d, True),
    "two products": (lambda a, b, c, d, e, x, y: a * b - c * d, False),
    "one alone": (lambda a, b, c, d, e, x, y: a - b * c, False),
    "no product between": (lambda a, b, c, d, e, x, y: a - b * c - d - e * x, False),
    "used elsewhere": (lambda a, b, c, d, e, x, y: (a - b * c - d * e) * (a - b * c), False),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_chains_of_differences_of_products_are_dots_to_the_bit_and_the_sign_of_zeros(name):
    f, is_dot = DIFFERENCES[name]
    rng = np.random.default_rng(5)
    samples = [rng.choice(EDGES[:7], 7).tolist() for _ in range(300)] + [rng.normal(size=7).tolist() for _ in range(20)]
    columns = list(np.array(samples).T)
    expected = np.array([f(*map(Value, sample)).data for sample in samples])
    for how in ({"backend": "reference"}, {"backend": "llvm", "precision": "exact"}):
        found = jit(f, **how).map(*columns)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.signbit(found[found == 0.0]), np.signbit(expected[found == 0.0]))
    assert (" @ " in jit(f, backend="numpy").schedule(*columns)) == is_dot


C = mg.constant(2.0)
CHAINS = {
    "used twice": (lambda v: (s := v[0] + v[1] + v[2] + v[3]) * (s + v[4]), ["sum", "add", "mul"]),
    "few products": (lambda v: v[0] * v[1] + v[2] * v[3] + v[4] + v[5] + v[6] + v[7], ["mul", "mul", "sum"]),
    "many products": (lambda v: v[0] * v[1] + v[2] * v[3] + v[4] + v[5], ["dot"]),
    "one product": (lambda v: mg.dot([mg.sin(v[0])], [mg.cos(v[0])]), ["sin", "cos", "mul"]),
    "a difference": (lambda v: mg.dot([-1.0, 1.0], [v[0], v[1]]) * mg.dot([v[0], v[1]], [1.0, -1.0]), ["sub", "sub", "mul"]),
    "few products after others": (
        lambda v: v[4] + v[5] + v[6] + v[0] * v[1] + v[2] * v[3] + v[7],
        ["mul", "mul", "sum"],
    ),
    "a product and a number": (lambda v: v[1] * v[2] + v[0], ["dot"]),
    "a multiple from a start": (lambda v: mg.dot([v[0]], [3.0], start=v[1]), ["dot"]),
    "several numbers that are computed": (lambda v: v[0] * (C + 3.0) - v[1] * (C * 7.0), ["mul", "mul", "sub"]),
    "a number and a product": (lambda v: v[0] + v[1] * v[2], ["dot"]),
    "ones and another": (lambda v: mg.dot([v[0], v[1]], [1.0, 2.0]), ["dot"]),
    "a difference from a start": (lambda v: mg.dot([1.0, -1.0], [v[0], v[1]], start=v[2]), ["dot"]),
    "one product from a start": (lambda v: mg.dot([v[0]], [v[1]], start=v[2]), ["dot"]),
    "no product": (lambda v: mg.dot([], [], start=mg.sin(v[0])), ["sin"]),
    "a sum of one": (lambda v: mg.sum([mg.sin(v[0])]), ["sin"]),
    "a sum of two": (lambda v: mg.sum([v[0], v[1]]), ["add"]),
    "a factor of one": (lambda v: 1.0 * mg.sin(v[0]) * 1.0, ["sin"]),
    "a factor of minus one": (lambda v: mg.sin(v[0]) * -1.0, ["sin", "neg"]),
    "the negative of a negative": (lambda v: -(mg.sin(v[0]) * -1.0), ["sin"]),
    "a quotient by one": (lambda v: mg.sin(v[0]) / 1.0, ["sin"]),
    "a reciprocal": (lambda v: mg.sin(v[0]) ** -1.0, ["sin", "div"]),
    "what is not read": (lambda v: mg.sin(v[0]) ** 0.0 * v[1], []),
    "a constant factor": (lambda v: v[0] - 2.0 * v[1] - v[2] * v[3], ["neg", "dot"]),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_the_one_instruction_that_it_can_be(name):
    f, names = CHAINS[name]
    tape, _ = recorded(f, [0.5] * 8, gradient=False)
    assert [rule.name for rule, _ in tape.instructions] == names
    for row in np.random.default_rng(0).normal(size=(20, 8)).tolist():
        assert reference.run(tape, row, []) == [f([*map(Value, row)]).data]


def test_elimination_negates_each_factor_once():
    def upper(entries):
        rows = [list(entries[5 * i : 5 * i + 5]) for i in range(5)]
        for k in range(5):
            for row in rows[k + 1 :]:
                row[k] = row[k] / rows[k][k]
                row[k + 1 :] = [a - row[k] * u for a, u in zip(row[k + 1 :], rows[k][k + 1 :], strict=True)]
        return mg.sum([v for row in rows for v in row])

    tape, _ = recorded(upper, list(map(float, range(1, 26))))
    names = [rule.name for rule, _ in tape.instructions]
    assert names.count("dot") == names.count("neg") == 9  # entries that two rows or more change, and factors that do so
    tape, _ = recorded(lambda x: mg.sum(mg.grad(upper)(list(x))), list(map(float, range(1, 26))), gradient=False)
    negated = [operands for rule, operands in tape.instructions if rule.name == "neg"]
    assert len(negated) == len({*negated}) > 9
