"""Piecewise functions have the derivatives of the pieces that were chosen, at any order, eagerly, compiled and replayed.

The oracle is the same program with its choices made by Python's `if`, so that what is not chosen is no part of the graph.
"""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import micrograd as mg
from micrograd import Value, adjoints, grad, hessian, hvp, jit, jvp, maximum, minimum, relu, sqrt, take, where

exp, log = mg.exp, mg.log


class Whole:
    """Choices that are part of the graph."""

    where, relu, abs, maximum, minimum = map(staticmethod, (where, relu, mg.abs, maximum, minimum))
    sign = staticmethod(mg.sign)


class Taken:
    """Choices made at once; a nan decides nothing, and raises."""

    @staticmethod
    def _number(x):
        x = x.detach().data if isinstance(x, Value) else x
        if math.isnan(x):
            raise FloatingPointError
        return x

    @classmethod
    def where(cls, c, a, b):
        return a if cls._number(c) > 0.0 else b

    @classmethod
    def relu(cls, x):
        return x if cls._number(x) > 0.0 else mg.constant(0.0)

    @classmethod
    def abs(cls, x):
        return x if cls._number(x) > 0.0 else -x if cls._number(x) < 0.0 else mg.constant(0.0)

    @classmethod
    def sign(cls, x):
        return mg.constant(mg.sign(cls._number(x)))

    @classmethod
    def maximum(cls, a, b):
        x, y = cls._number(a), cls._number(b)
        return a if x > y else b if y > x else 0.5 * a + 0.5 * b

    @classmethod
    def minimum(cls, a, b):
        x, y = cls._number(a), cls._number(b)
        return a if x < y else b if y < x else 0.5 * a + 0.5 * b


SMOOTH = (
    lambda x: 1 / x, log, sqrt, exp, lambda x: x * x, mg.tanh, lambda x: x**1.5, lambda x: 3 - x, lambda x: x**2.5, mg.sin,
    lambda x: x**3, lambda x: x / 4.0, lambda x: 1e60 * x, lambda x: mg.logsumexp([x, 2.0]), lambda x: 2.0**x, mg.tan,
)  # fmt: skip
KINDS = ("where", "where", "relu", "abs", "maximum", "minimum", "sign", "smooth", "smooth", "smooth", "add", "mul")
STEP = st.tuples(st.sampled_from(KINDS), st.integers(0, 15), st.integers(0, 15), st.integers(0, 15))
PROGRAM = st.lists(STEP, min_size=3, max_size=12)
POINT = st.lists(st.sampled_from([0.0, 1.0, -1.0, 2.0, -0.5, 800.0]), min_size=3, max_size=3)


def result(program, choose, inputs):
    """The last number of a program, whose steps name earlier numbers."""
    made = list(inputs)
    for kind, i, j, k in program:
        a, b, c = made[-1 - i % len(made)], made[-1 - j % len(made)], made[-1 - k % len(made)]
        if kind == "smooth":
            made.append(SMOOTH[j](a))
        elif kind in ("add", "mul"):
            made.append(a + b if kind == "add" else a * b)
        elif kind == "where":
            made.append(choose.where(a, b, c))
        else:
            made.append(getattr(choose, kind)(*((a, b) if kind in ("maximum", "minimum") else (a,))))
    return made[-1]


def along(program, choose, start, direction):
    """A function of one number: the program on a line."""
    return lambda t: result(program, choose, [x + d * t for x, d in zip(start, direction, strict=True)])


def finite_below(output):
    """Whether all numbers that `output` is computed from are finite: else 0 times infinity is a number of the oracle too."""
    return all(math.isfinite(v.data) for v in mg.topological_order(output))


def orders(f, at, count):
    """f(at) and its first `count` derivatives, by reverse mode over reverse mode; fewer where a number is not finite."""
    x, found = Value(at), []
    out = f(x)
    for _ in range(count + 1):
        if not isinstance(out, Value):
            out = mg.constant(float(out))
        if not finite_below(out):
            break
        found.append(out.data)
        if out.is_constant:
            return found + [0.0] * (count + 1 - len(found))
        out = adjoints(out, x, create_graph=True)[x]
    return found


def truth(program, start, direction, count):
    """The program's value and first derivatives at 0 with choices made at once, as far as they are known.

    Where reverse over reverse and forward over reverse differ, digits cancel: log(logsumexp([1e60·x, 2])) at 1 has the second
    derivative -1 as a sum of terms of 1e60.
    """
    f = along(program, Taken, start, direction)
    true = orders(f, 0.0, count)
    return true if len(true) < 3 or close(hessian(f)(0.0), true[2]) else true[:2]


def close(found, true):
    return found == pytest.approx(true, rel=1e-9, abs=1e-11)


def test_a_branch_that_has_an_infinity_in_a_later_derivative_alone():
    """The first derivative is finite, so its graph cannot be told from that of a smooth function by its numbers."""
    two, three = lambda x: where(1 - x, x, x**1.5), lambda x: where(1 - x, x * x * x, x**2.5)
    assert [grad(grad(two))(0.0), hessian(two)(0.0), hvp(two, (0.0,), (1.0,)), jit(grad(grad(two)))(0.0)] == [0.0] * 4
    assert [grad(grad(grad(three)))(0.0), grad(hessian(three))(0.0), jit(hessian(grad(three)))(0.0)] == [6.0] * 3


def test_abs_chooses_neither_side_at_zero():
    """As relu(x) + relu(-x), which it is: the derivative 0 at 0 is a convention, and no number that is multiplied."""
    for f in (lambda x: abs(sqrt(x)) + x, lambda x: relu(sqrt(x)) + relu(-sqrt(x)) + x):
        assert [grad(f)(0.0), jvp(f, (0.0,), (1.0,))[1], jit(grad(f), backend="reference")(0.0)] == [1.0] * 3


def test_a_zero_that_is_a_number_is_multiplied():
    for f in (lambda x: sqrt(x) ** 2, lambda x: 0.0 * sqrt(x), lambda x: mg.step(x) * sqrt(x)):
        assert math.isnan(grad(f)(0.0))
        assert math.isnan(jit(grad(f), backend="reference")(0.0))


def test_a_gradient_graph_is_replayed_where_it_chooses_otherwise():
    x = Value(4.0)
    first = adjoints(where(1 - x, x * x, sqrt(x)), x, create_graph=True)[x]
    assert first.data == 0.25
    for at, true in ((0.0, 0.0), (-3.0, -6.0), (16.0, 0.125)):
        x.data = at
        assert first.recompute().data == true
    for pole in (lambda x: x**-2, lambda x: x**0.5, lambda x: 1.0 / x, lambda x: x / (x * 0.0), lambda x: log(x)):
        x = Value(2.0)
        first = adjoints(where(3.0 - x, x * x, pole(x)), x, create_graph=True)[x]
        x.data = 0.0
        assert first.recompute().data == 0.0


def test_at_numbers_that_overflow_where_others_were_recorded_compiled_functions_choose_as_the_engine():
    """Graphs of derivatives and listings do so where they were made at large numbers, as recompute and to_code say."""
    f = lambda x: where(1 - x, x, x * x * x * x)  # noqa: E731
    compiled = jit(grad(f))
    assert [compiled(at) for at in (0.5, -1e200, 3.0)] == [grad(f)(at) for at in (0.5, -1e200, 3.0)] == [1.0, 1.0, 108.0]
    x, listing = Value(-1e120, label="x"), {}
    first = adjoints(f(x), x, create_graph=True)[x]
    exec(mg.to_code(f(x)), listing)
    for at, true in ((-1e200, 1.0), (3.0, 108.0)):
        x.data = at
        assert first.recompute().data == listing["f"](at)[1]["x"] == true


def test_detect_anomaly_does_not_ask_what_was_not_chosen():
    x = Value(0.0)
    with mg.detect_anomaly():
        where(1 - x, x, sqrt(x) * 3).backward()
        assert x.grad == 1.0
        with pytest.raises(FloatingPointError, match="sqrt"):
            sqrt(x).backward()


def test_a_tame_graph_of_derivatives_has_no_gates():
    """Networks of relu pay nothing for what cannot happen in them."""
    model, x = mg.nn.MLP(2, [3, 1], seed=0), [Value(0.5), Value(-1.0)]
    graphs = adjoints((model(x) - 1.0) ** 2, create_graph=True).values()
    assert {v.op for v in mg.topological_order(*graphs)}.isdisjoint({"where", "minimum", "maximum"})


def test_entries_that_take_does_not_name():
    def f(x, i):
        return take([sqrt(x), x * x, 1 / x], i)

    compiled = jit(lambda x, i: grad(f)(x, i), backend="reference")
    compiled(2.0, 0)
    assert compiled(0.0, 1) == 0.0


def test_a_comparison_of_derivatives_is_decided_by_what_was_chosen():
    """What a guard of compiled code compares can be the derivative of a branch that was not taken, too."""

    def f(x):
        slope = grad(lambda z: where(1 - z, z * z + z, sqrt(z)))(x)
        return 10.0 + x if slope > 0.5 else x

    for backend in ("reference", "numpy", "llvm"):
        compiled = jit(f, backend=backend)
        assert [compiled(x) for x in (4.0, 0.0, -3.0, 0.25)] == [4.0, 10.0, -3.0, 10.25]
        assert compiled.map([0.25, 0.0, 4.0, -3.0]).tolist() == [10.25, 10.0, 4.0, -3.0]
        assert [jit(f, backend=backend)(x) for x in (0.0, 0.25)] == [10.0, 10.25]


@settings(max_examples=150, deadline=None)
@given(PROGRAM, POINT, POINT, st.sampled_from([0.0, 1.0, -1.0, 0.3]))
def test_random_programs_as_if_only_what_was_chosen_were_there(program, start, direction, elsewhere):
    try:
        true = truth(program, start, direction, 3)
    except FloatingPointError:
        assume(False)
    f = along(program, Whole, start, direction)
    found = [f]
    for _ in true[1:]:
        found.append(grad(found[-1]))
    assume(len(true) > 1)
    assert all(close(d(0.0), true[k]) for k, d in enumerate(found[1:], 1))
    assert close(jvp(f, (0.0,), (1.0,))[1], true[1])
    assert close(jit(found[1], backend="reference")(0.0), true[1])
    if len(true) > 2:
        second = [hessian(f)(0.0), hvp(f, (0.0,), (1.0,)), grad(lambda t: jvp(f, (t,), (1.0,))[1])(0.0)]
        assert all(close(d, true[2]) for d in second)
        for way, backend in ((found[2], "reference"), (hessian(f), "numpy")):
            compiled = jit(way, backend=backend)
            compiled(elsewhere)
            assert close(compiled(0.0), true[2])
        x = Value(elsewhere)
        graph = adjoints(f(x), x, create_graph=True)[x]
        x.data = 0.0
        assert close(graph.data if graph.is_constant else graph.recompute().data, true[1])
        assert close(0.0 if graph.is_constant else adjoints(graph, x)[x], true[2])


def _twice(x):
    """A root that two choices lead to: by the first alone, and by neither."""
    root = sqrt(x)
    return where(1 - x, x, root * 3) + where(x + 1, x * x, root) + where(x - 1, root, x)


LISTED = {
    "the root of zero": (lambda x: where(1 - x, x, sqrt(x)), 1.0),
    "below a product": (lambda x: where(1 - x, 3 * x, x * sqrt(x) * 2), 3.0),
    "two ways": (_twice, 2.0),
    "one of two ways is open": (lambda x: (lambda r: where(1 - x, x, 2 * r) + where(x + 1, r * r, r))(sqrt(x + 4)) + x, 3.0),
    "one of two ways is open, the first": (lambda x: (lambda r: where(x + 1, r * r, r) + where(1 - x, x, r))(sqrt(x + 4)), 2.0),
    "one of two ways has no choice": (lambda x: (lambda r: where(1 - x, x, 2 * r) + 3 * r)(sqrt(x + 4)), 1.75),
    "a choice in a choice": (lambda x: where(1 - x, x, where(2 - x, sqrt(x), x)), 1.0),
    "a choice in a choice, the inner one open": (lambda x: where(1 - x, x, where(1 + x, sqrt(x), x)), 1.0),
    "the smaller": (lambda x: maximum(sqrt(x), 2.0 + x), 1.0),
}
BRANCHED = LISTED | {
    "above a choice": (lambda x: sqrt(relu(x - 1)) + x, 1.0)
}  # where a listing raises: the way there is infinite


@pytest.mark.parametrize("name", BRANCHED)
def test_graphs_of_derivatives_leave_out_what_was_not_chosen(name):
    f, slope = BRANCHED[name]
    forward = [jvp(f, (Value(x),), (1.0,))[1].data for x in (0.0, 9.0)]
    reverse = [adjoints(f(v := Value(x)), v, create_graph=True)[v].data for x in (0.0, 9.0)]
    assert forward[0] == reverse[0] == slope
    assert forward[1] == pytest.approx(reverse[1], rel=1e-15) == grad(f)(9.0)
    for x in (0.0, 9.0):
        second = [grad(grad(f))(x), hessian(f)(x), grad(lambda t: jvp(f, (t,), (1.0,))[1])(x)]
        assert math.isfinite(second[0]) and second == pytest.approx([second[0]] * 3, rel=1e-14)


def test_products_that_overflow_in_a_branch_not_taken():
    assert grad(grad(lambda x: (x + 1e200) * where(1 - x, 1.0, x * 1e200 * 1e200)))(0.0) == 0.0


def test_one_of_several_results_is_computed_again():
    for backend in ("reference", "numpy", "llvm"):
        compiled = jit(lambda x: (x + 1, grad(lambda z: where(1 - z, z, sqrt(z)))(x)), backend=backend)
        assert compiled(4.0) == (5.0, 0.25) and compiled(0.0) == (1.0, 1.0) == compiled(0.0)


@pytest.mark.parametrize("name", LISTED)
def test_a_listing_asks_nothing_of_what_was_not_chosen(name):
    f, slope = LISTED[name]
    x, made = Value(0.0, label="x"), {}
    exec(mg.to_code(f(x)), made)
    assert made["f"](x=0.0)[1] == {"x": slope}
    assert made["f"](x=9.0)[1] == pytest.approx({"x": grad(f)(9.0)}, rel=1e-15)


@settings(max_examples=50, deadline=None)
@given(PROGRAM, POINT)
def test_random_programs_written_out(program, start):
    """The listing of to_code() asks nothing of what was not chosen; what is chosen is the engine's, bit for bit."""
    try:
        taken = result(program, Taken, [Value(x) for x in start])
    except FloatingPointError:
        assume(False)
    leaves = [Value(x, label=name) for x, name in zip(start, "abc", strict=True)]
    out = result(program, Whole, leaves)
    true = adjoints(out)
    if out.is_constant or not finite_below(taken) or not all(map(math.isfinite, true.values())):
        assume(False)
    listing = str(mg.to_code(out))
    forward, whole = {}, {}
    exec(listing.split("    # backward")[0], forward)
    exec(listing, whole)
    try:
        forward["f"]()
    except (ArithmeticError, ValueError):
        assume(False)  # a pole on the way forward, where Python raises
    value, gradient = whole["f"]()
    assert value == out.data
    assert all(gradient.get(v.label, 0.0) == true.get(v, 0.0) for v in leaves)


@settings(max_examples=8, deadline=None)
@given(PROGRAM, POINT, POINT)
def test_random_programs_in_machine_code(program, start, direction):
    try:
        true = truth(program, start, direction, 2)
    except FloatingPointError:
        assume(False)
    f = along(program, Whole, start, direction)
    assume(len(true) > 1)
    for k, way in ((1, grad(f)), (2, hessian(f))):
        if k < len(true):
            compiled = jit(way, backend="llvm")
            compiled(0.3)
            assert close(compiled(0.0), true[k])
