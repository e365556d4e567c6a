"""The engine: graphs, their order, and the chain rule over them."""

import asyncio
import contextvars
import copy
import gc
import hashlib
import io
import math
import operator
import os
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import reduce
from numbers import Real
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mpmath import mp
from test_primitives import derivative, same
from truth import CASES
from ulps import largest_intermediate, off

import micrograd
from micrograd import MLP, Value, adjoints, constant, detect_anomaly, dot, no_grad, topological_order
from micrograd.engine import modes, value
from micrograd.engine.modes import enable_grad
from micrograd.primitives import RULES

inf, nan = math.inf, math.nan
ROOT = Path(micrograd.__file__).parents[1]

# -- random graphs: a program is leaves and steps (rule, operands); an operand is a float or a node, counted from the last


TRUTH = {case.name: case.truth for case in CASES}
ARITY = {case.name: len(case.domain) for case in CASES}
EVERYTHING = sorted(set(TRUTH) - {"take"})  # which wants an index
KINKED = {case.name for case in CASES if case.rule.is_flat or case.rule.chooses} | {"mod"}
DIFFERENCES = {case.name for case in CASES if case.unit}  # which have few digits of their own near their zeros
NARY = ("dot", "logsumexp", "sum")
WHOLE = {case.name for case in CASES if case.whole}  # of which an operand is a whole number, and which jump where it is none
SMOOTH = sorted(set(EVERYTHING) - KINKED - WHOLE)


@st.composite
def programs(draw, names):
    number = st.floats(-2.0, 2.0).map(lambda x: round(x, 3))
    leaves = draw(st.lists(number, min_size=1, max_size=3))
    steps = []
    node = st.sampled_from([0, 0, 0, 0, 0, 1, 1, 2, 3, 8])  # mostly a late one: deep graphs, whose nodes are used again
    for _ in range(draw(st.integers(6, 16))):
        name = draw(st.sampled_from([*names, *NARY, *NARY, *NARY]))
        n = {"dot": draw(st.sampled_from([1, 3, 5])), "sum": draw(st.integers(1, 4)), "logsumexp": draw(st.integers(1, 4))}.get(
            name, ARITY[name]
        )
        operands = [draw(node), *(draw(st.one_of(node, node, number)) for _ in range(n - 1))]
        if draw(st.booleans()):
            operands.reverse()  # so that a number comes first, too
        steps.append((name, operands))
    return leaves, steps


def run(steps, leaves, rules):
    """All nodes of the program, leaves first."""
    nodes = list(leaves)
    for name, operands in steps:
        nodes.append(rules[name](*[nodes[-1 - o % len(nodes)] if isinstance(o, int) else o for o in operands]))
    return nodes


def alike(a, b):
    """Whether two graphs are equal, node for node and bit for bit (up to the sign of zero)."""
    xs, ys = topological_order(a), topological_order(b)
    place = [{v: i for i, v in enumerate(order)} for order in (xs, ys)]
    return len(xs) == len(ys) and all(
        same(x.data, y.data)
        and same(x.grad, y.grad)
        and (x.op, x.label, x.note) == (y.op, y.label, y.note)
        and all(map(same, x.partials, y.partials))
        and [place[0].get(p, p.data) for p in x.parents] == [place[1].get(p, p.data) for p in y.parents]
        for x, y in zip(xs, ys, strict=True)
    )


def settle(examples):
    return settings(max_examples=examples, deadline=None, derandomize=True)


@settle(150)
@given(programs(EVERYTHING))
def test_adjoints_as_numbers_and_as_graphs_are_the_same(program):
    leaves, steps = program
    out = run(steps, [Value(x) for x in leaves], RULES)[-1]
    numbers, graphs = adjoints(out), adjoints(out, create_graph=True)
    assert list(numbers) == topological_order(out) and set(graphs) == set(numbers)
    for v, g in numbers.items():
        assert same(graphs[v].data, g)
    some = topological_order(out)[::2]
    for create_graph in (False, True):
        part = adjoints(out, wrt=some, create_graph=create_graph)
        assert list(part) == some and all(same(float(part[v]), numbers[v]) for v in some)


@settle(120)
@given(programs(SMOOTH))
def test_first_and_second_derivatives_of_random_graphs_are_right(program):
    leaves, steps = program
    xs = [Value(x) for x in leaves]
    out = run(steps, xs, RULES)[-1]
    first = adjoints(out, wrt=xs, create_graph=True)
    second = adjoints(first[xs[0]], wrt=xs)
    everything = [*topological_order(out), *(v for g in first.values() for v in topological_order(g))]
    # neither so far from 1 nor so near a pole or the edge of a domain that nothing could be said of the digits
    assume(all(v.data == 0.0 or 1e-6 < abs(v.data) < 1e6 for v in everything))
    assume(all(abs(d) < 1e6 for v in everything for d in v.partials))
    assume(all(v.data != 0.0 for v in everything if v.op in ("log", "div", "pow", "atan2", "sqrt")))
    assume(all(v.parents[0].data > 0.0 for v in everything if v.op in ("pow", "atan2")))

    assume(all(abs(v.data) > 0.5 for v in everything if v.op in DIFFERENCES))

    def truth(*exact):
        values = dict(zip(xs, exact, strict=True))
        for v in topological_order(out):
            if v.parents:
                values[v] = TRUTH[v.op](*[values[p] if p in values else mp.mpf(p.data) for p in v.parents])
        return values[out]

    with mp.workdps(150):
        exact = [mp.mpf(x) for x in leaves]
        for i, x in enumerate(xs):
            scale = max(largest_intermediate(first[x]), 1e-30)  # where all is 0, the truth itself is off by 1e-60
            assume(scale < 1e10)
            assert off(first[x].data, derivative(truth, i)(*exact), scale) <= 4 * len(everything)
            expected = float(derivative(derivative(truth, 0), i)(*exact))
            assert abs(second[x] - expected) <= 1e-6 * max(1.0, scale, abs(expected))


@settle(100)
@given(programs(EVERYTHING), st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3))
def test_recompute_equals_building_again(program, new):
    leaves, steps = program
    xs = [Value(x) for x in leaves]
    out = run(steps, xs, RULES)[-1]
    for x, data in zip(xs, new, strict=False):
        x.data = data
    assert out.recompute() is out
    assert alike(out, run(steps, [Value(x.data) for x in xs], RULES)[-1])


@settle(60)
@given(programs(EVERYTHING), st.integers(2, 5))
def test_copies_and_pickles_are_alike_and_share_nothing(program, protocol):
    leaves, steps = program
    nodes = run(steps, [Value(x, label=f"x{i}") for i, x in enumerate(leaves)], RULES)
    nodes[-1].backward()
    for twins in (copy.deepcopy(nodes), pickle.loads(pickle.dumps(nodes, protocol))):
        for node, twin in zip(nodes, twins, strict=True):
            assert alike(node, twin) and node is not twin
        assert set(twins).isdisjoint(nodes)
        twins[-1].backward()
    shallow = copy.copy(nodes[-1])
    assert shallow.parents == nodes[-1].parents and alike(shallow, nodes[-1])


@settle(100)
@given(programs(EVERYTHING))
def test_the_order_is_the_postorder_of_a_visit_from_left_to_right(program):
    leaves, steps = program
    out = run(steps, [Value(x) for x in leaves], RULES)[-1]
    order, seen = [], set()

    def visit(v):
        if v not in seen:
            seen.add(v)
            for parent in v.parents:
                visit(parent)
            if not v.is_constant:
                order.append(v)

    visit(out)
    assert topological_order(out) == order and all(map(operator.is_, topological_order(out), order))
    # contributions are added in the reverse of that order, to what is reached through chosen operands
    adjoint, reached = dict.fromkeys(order, 0.0), {out}
    adjoint[out] = 1.0
    for v in filter(reached.__contains__, reversed(order)):
        for i, (parent, local) in enumerate(zip(v.parents, v.partials, strict=True)):
            if not parent.is_constant and not v.rule.leaves_out(i, local):
                reached.add(parent)
                adjoint[parent] += adjoint[v] * local
    assert all(same(adjoint[v], g) for v, g in adjoints(out).items())


# -- the chain rule, by hand


def test_a_fork_adds_its_contributions():
    a, b = Value(2.0), Value(-3.0)
    c = a * b + a * a
    c.backward()
    assert (c.data, a.grad, b.grad) == (-2.0, -3.0 + 4.0, 2.0)


@pytest.mark.parametrize(
    "f, data, grad",
    [
        (lambda a: a + a, 6.0, 2.0),
        (lambda a: a * a, 9.0, 6.0),
        (lambda a: a - a, 0.0, 0.0),
        (lambda a: a / a, 1.0, 0.0),
        (lambda a: a**a, 27.0, 27.0 * (1 + math.log(3.0))),
        (lambda a: micrograd.maximum(a, a), 3.0, 1.0),
        (lambda a: micrograd.sum([a, a, a]), 9.0, 3.0),
        (lambda a: dot([a, a], [a, 1.0], a), 15.0, 6.0 + 1.0 + 1.0),
        (lambda a: micrograd.where(a, a, a), 3.0, 1.0),
        (lambda a: micrograd.atan2(a, a), math.pi / 4, 0.0),
    ],
)
def test_one_value_may_stand_in_several_places(f, data, grad):
    a = Value(3.0)
    out = f(a)
    out.backward()
    assert (out.data, a.grad) == pytest.approx((data, grad), rel=1e-15, abs=1e-15)
    assert out.parents == (a,) * len(out.parents) or out.op in ("dot",)
    assert adjoints(out, create_graph=True)[a].data == a.grad


def test_backward_twice_gives_exactly_twice_the_leaf_gradients():
    a, b = Value(0.1), Value(0.7)
    hidden = (a * b).tanh()
    out = hidden / (a - b) + a.exp()
    out.backward()
    once = a.grad, b.grad, hidden.grad, out.grad
    out.backward()
    assert (a.grad, b.grad, hidden.grad, out.grad) == (2 * once[0], 2 * once[1], once[2], 1.0)


def test_data_is_a_float_and_stays_one():
    w = Value(2.0, label="w")
    for x, stored in ((3, 3.0), (True, 1.0), (Fraction(1, 4), 0.25), (np.float32(0.5), 0.5), (np.float64(1.5), 1.5)):
        w.data = x
        assert w.data == stored and type(w.data) is float
    for x, advice in (
        (w - 0.1, "a Value cannot hold a Value"),  # where w.data - 0.1 was meant
        (1j, "Values are real"),
        (None, "pass an int"),
        ("1", "convert it first"),
        (np.ones(2), "one of each element"),
    ):
        with pytest.raises(TypeError, match=advice):
            w.data = x
    assert w.data == 1.5


def test_threads_lose_no_contribution_to_a_shared_leaf():
    w, before = Value(2.0), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [(w * 1.0).backward() for _ in range(4000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert w.grad == 16000.0


def test_adjoints_change_nothing():
    a, b = Value(0.1), Value(0.7)
    out = (a * b).tanh() / (a - b)
    before = [(v.data, v.grad, v.partials) for v in topological_order(out)]
    adjoints(out), adjoints(out, create_graph=True), adjoints(out, wrt=[a])
    assert [(v.data, v.grad, v.partials) for v in topological_order(out)] == before


def test_leaves_and_outputs_have_adjoints_too():
    a, b = Value(2.0), Value(3.0)
    assert adjoints(a) == {a: 1.0} and adjoints(a, create_graph=True)[a].data == 1.0
    for node in (a * b, dot([a, b], [b, a])):  # what is between, with nothing that is asked for below it
        assert adjoints(node * node, node, create_graph=True)[node].data == adjoints(node * node, node)[node] == 2.0 * node.data
    a.backward()
    assert a.grad == 1.0
    out = a * 2
    assert adjoints(out, wrt=[b, out]) == {b: 0.0, out: 1.0} and adjoints(out, wrt=a) == {a: 2.0}
    zero = adjoints(out, wrt=[b], create_graph=True)[b]
    assert zero.data == 0.0 and zero.is_constant


def test_several_outputs_are_sorted_in_their_order():
    a, b = Value(2.0), Value(3.0)
    product = a * b
    assert list(map(id, topological_order(b, product, a))) == list(map(id, [b, a, product]))


def test_derivatives_of_any_order():
    x = Value(0.5)
    d = x.sin() * x.exp()
    for n in range(1, 9):  # the nth derivative of sin x eˣ is 2^(n/2) sin(x + nπ/4) eˣ
        d = adjoints(d, wrt=[x], create_graph=True)[x]
        assert d.data == pytest.approx(2 ** (n / 2) * math.sin(0.5 + n * math.pi / 4) * math.exp(0.5), rel=1e-12)
    y = x**4
    for n, expected in enumerate([4 * 0.5**3, 12 * 0.5**2, 24 * 0.5, 24.0, 0.0, 0.0]):
        y = adjoints(y, wrt=[x], create_graph=True)[x]
        assert y.data == pytest.approx(expected, rel=1e-15), f"derivative {n + 1}"


def test_powers_differentiate_down_to_zero_at_zero():
    x = Value(0.0)
    y, found = x**3, []
    for _ in range(5):
        y = adjoints(y, wrt=[x], create_graph=True)[x]
        found.append(y.data)
    assert found == [0.0, 0.0, 6.0, 0.0, 0.0]


def test_several_contributions_become_one_dot_in_the_order_of_arrival():
    a = Value(0.3)
    uses = [a.sin(), a.exp(), a * 2, a.tanh()]
    out = reduce(operator.add, uses)
    g = adjoints(out, create_graph=True)[a]
    assert g.op == "dot" and len(g.parents) == 2 * 4 + 1
    locals_in_order = [u.partials[0] for u in reversed(uses)]
    assert [p.data for p in g.parents[4:8]] == locals_in_order


def test_create_graph_refuses_data_that_has_changed_and_names_recompute():
    a, b = Value(0.1), Value(0.7)
    out = (a * b).tanh()
    a.data = 0.2
    with pytest.raises(RuntimeError, match=r"has changed since the graph was built.*recompute\(\)"):
        adjoints(out, create_graph=True)
    assert adjoints(out)[a] == pytest.approx(0.7 * (1 - math.tanh(0.07) ** 2))  # numbers: of the time of building
    out.recompute()
    assert adjoints(out, create_graph=True)[a].data == pytest.approx(0.7 * (1 - math.tanh(0.14) ** 2))


def test_recompute_works_inside_no_grad_and_replays_choices_that_are_nodes():
    a, b = Value(1.0), Value(2.0)
    out = micrograd.where(a, a * b, b) + micrograd.maximum(a, b)
    a.data = -3.0
    with no_grad():
        out.recompute()
    assert out.data == 4.0 and adjoints(out) == {v: adjoints(out)[v] for v in topological_order(out)}
    assert adjoints(out)[b] == 2.0 and adjoints(out)[a] == 0.0


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x: adjoints(2.0), TypeError, "needs a Value as output, got float 2.0"),
        (lambda x: adjoints(x * 2, wrt=[3.0]), TypeError, "Values that have a gradient in wrt, got float 3.0"),
        (lambda x: adjoints(x * 2, wrt=[constant(3.0)]), TypeError, "in wrt, got the constant Value"),
        (lambda x: micrograd.where(x, x), TypeError, "missing 1 required positional argument: 'b'"),
        (lambda x: RULES["where"](x, x), TypeError, r"where\(c, a, b\) takes 3 arguments, got 2"),
        (lambda x: micrograd.exp(x, x), TypeError, r"exp\(x\) takes 1 argument, got 2"),
        (lambda x: micrograd.log(8.0, 2.0), TypeError, r"log\(x\) takes 1 argument, got 2"),
        (lambda x: micrograd.hypot(2.0), TypeError, r"hypot\(x, y\) takes 2 arguments, got 1"),
        (lambda x: micrograd.atan2(x), TypeError, r"atan2\(y, x\) takes 2 arguments, got 1"),
        (lambda x: constant(3.0).backward(), RuntimeError, r"backward\(\) of the constant .*no_grad\(\) block"),
        (lambda x: x ^ 3, TypeError, r"write x \*\* 3"),
        (lambda x: x ^ x, TypeError, r"write x \*\* y"),
        (lambda x: 2 ^ x, TypeError, r"write 2 \*\* x"),
        (lambda x: Value(x, 2, 3), TypeError, r"not its label: write Value\(.*, label='2'\)"),
        (lambda x: Value(1.0, "x"), TypeError, r"write Value\(1.0, label='x'\)"),
        (lambda x: int(x), TypeError, r"is no index and no int: .* for the number int\(v\.data\)$"),
        (lambda x: pow(x, 2, 3), TypeError, r"^x \*\* y takes two operands, got three"),
        (lambda x: topological_order("x"), TypeError, "expected a number, got str 'x'"),
        (lambda x: setattr(x, "grad", None), TypeError, r"^\.grad is one number, got None: write x\.grad = 0\.0"),
        (lambda x: setattr(x, "grad", x * 2), TypeError, r"^\.grad is one number, got Value .*: .*v\.data for the number of v"),
        (lambda x: setattr(x, "grad", "1"), TypeError, r"^\.grad is one number, got str '1'"),
    ],
)
def test_misuse_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(Value(1.0))


def test_a_gradient_that_is_set_is_a_float():
    x = Value(2.0)
    for zero in (0, np.float32(0.0), Fraction(0), False):
        x.grad = zero
        assert type(x.grad) is float
        (x * x).backward()
        assert x.grad == 4.0
    assert topological_order(3.0) == []


# -- what the graph remembers


def test_a_plain_number_is_a_constant_and_no_leaf():
    a = Value(2.0)
    for out in (a * 3, 3 * a, a * 3.0, a * np.float64(3.0), a * Fraction(3), a * constant(3.0)):
        number = next(p for p in out.parents if p is not a)
        assert number.is_constant and number.data == 3.0 and out.parents[0 if out.partials[0] else 1] is a
        assert topological_order(out) == [a, out]
        assert set(adjoints(out)) == {a, out}
        out.backward()
        assert number.grad == 0.0
        assert out.parents is not None and next(p for p in out.parents if p is not a) is number  # the same one each time


def test_parents_are_in_call_order_and_partials_belong_to_them():
    a, b = Value(2.0), Value(3.0)
    assert ((2.0 - a).parents[0].data, (2.0 - a).parents[1]) == (2.0, a)
    assert (a / b).parents == (a, b) and (a / b).partials == (1 / 3, -(2 / 3) / 3)
    assert (a * a).parents == (a, a) and (a * a).partials == (2.0, 2.0)
    assert a.parents == () and a.partials == () and a.op == "" and a.rule is None
    assert (2.0**a).partials == (0.0, 4 * math.log(2.0)) and (a ** constant(3.0)).partials == (12.0, 0.0)


def test_detach_is_a_constant_of_the_same_number():
    a = Value(2.0, label="a")
    frozen = (a * a).detach()
    out = frozen * a
    out.backward()
    assert frozen.is_constant and frozen.data == 4.0 and not frozen.parents and a.grad == 4.0 and a.detach().label == "a"


def test_a_subclass_of_value_takes_part_and_is_copied_as_itself():
    class Weight(Value):
        __slots__ = ()

    w = Weight(2.0)
    out = w * w + 1
    out.backward()
    assert w.grad == 4.0 and type(copy.deepcopy(w)) is Weight and isinstance(out, Value)


# -- numbers like Python's


@settle(300)
@given(st.floats(), st.floats())
def test_operators_give_the_bits_of_pythons_in_one_node(x, y):
    a, b = Value(x), Value(y)
    for f in (operator.add, operator.sub, operator.mul, operator.truediv):
        try:
            expected = f(x, y)
        except ZeroDivisionError:
            expected = nan if x == 0.0 or x != x else math.copysign(inf, x) * math.copysign(1.0, y)
        for out in (f(a, b), f(a, y), f(x, b)):
            assert same(out.data, expected)
            assert expected != expected or math.copysign(1.0, out.data) == math.copysign(1.0, expected)
            assert [p.data for p in out.parents] == pytest.approx([x, y], nan_ok=True) and len(topological_order(out)) <= 3


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne])
def test_comparisons_compare_data_and_give_a_bool(compare):
    for x in (1.0, 2.0, nan):
        for y in (1.0, 2, True, Fraction(3, 2), np.float32(1.0), np.int64(2), 10**400, nan):
            assert compare(Value(x), y) is bool(compare(x, y))
            assert bool(compare(y, Value(x))) is bool(compare(y, x))
            if type(y) is not int:
                assert compare(Value(x), Value(y)) is bool(compare(x, float(y)))
    assert Value(1.0) != "1.0" and Value(1.0) != None and not Value(1.0) == [1.0]  # noqa: E711, SIM201
    if compare not in (operator.eq, operator.ne):
        with pytest.raises(TypeError):
            compare(Value(1.0), "1.0")


def test_equal_values_are_different_nodes():
    a, b = Value(1.0), Value(1.0)
    assert a == b and len({a, b}) == 2 and hash(a) != hash(b) and {a: 1}.get(b) is None
    (a * b).backward()
    out = a * 2 + b * 3
    assert adjoints(out)[a] == 2.0 and adjoints(out)[b] == 3.0


def test_a_value_reads_as_a_number():
    a = Value(2.5, label="a")
    assert float(a) == 2.5 and bool(a) and not Value(0.0) and abs(Value(-2.0)).data == 2.0 and (+a) is a and (-a).data == -2.5
    assert f"{a:.2f}" == "2.50" and f"{a}" == repr(a) == str(a) == "Value(data=2.5, grad=0.0, label='a')"
    assert f"{Value(1.0):>8.3f}|" == "   1.000|" and repr(Value(1)) == "Value(data=1.0, grad=0.0)"
    assert math.isclose(a, 2.5) and max(Value(1.0), a) is a and sorted([a, Value(1.0)])[1] is a
    assert [v.data for v in (*divmod(a, 2), *divmod(7.0, a))] == [1.0, 0.5, 2.0, 2.0]
    assert sum([a, a, 1]).data == 6.0 and reduce(operator.mul, [a, a]).data == 6.25


# -- NumPy


@pytest.mark.parametrize("f", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow])
def test_arithmetic_with_an_array_is_an_array_of_values(f):
    xs = np.array([[1.0, 2.0], [3.0, 0.5]])
    a = Value(1.5)
    for out, expected in ((f(a, xs), f(1.5, xs)), (f(xs, a), f(xs, 1.5))):
        assert isinstance(out, np.ndarray) and out.shape == xs.shape and all(isinstance(v, Value) for v in out.flat)
        np.testing.assert_allclose(out.astype(float), expected, rtol=1e-15)
    (a * xs).sum().backward()
    assert a.grad == 6.5


@pytest.mark.parametrize("scalar", [np.float64(0.5), np.float32(0.5), np.int64(3), np.True_, np.array(0.5), np.array(3)])
@pytest.mark.parametrize("f", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow])
def test_numpy_scalars_are_numbers_on_either_side(f, scalar):
    a = Value(1.5)
    assert f(a, scalar).data == f(1.5, float(scalar)) and f(scalar, a).data == f(float(scalar), 1.5)
    assert isinstance(f(a, scalar), Value) and isinstance(f(scalar, a), Value)


def test_ufuncs_work_on_arrays_of_values():
    data = np.array([0.1, 0.5, 0.9])
    values = np.array([Value(x) for x in data])
    for ufunc in (
        np.sin, np.cos, np.tan, np.arcsin, np.arccos, np.arctan, np.sinh, np.cosh, np.tanh, np.exp, np.log, np.log1p,
        np.expm1, np.sqrt, np.abs, np.negative, np.positive, np.square,
    ):  # fmt: skip
        out = ufunc(values)
        assert all(isinstance(v, Value) for v in out), ufunc
        np.testing.assert_allclose(out.astype(float), ufunc(data), rtol=1e-15)
    for ufunc in (np.add, np.subtract, np.multiply, np.divide, np.power, np.arctan2, np.maximum, np.minimum):
        np.testing.assert_allclose(ufunc(values, values[::-1]).astype(float), ufunc(data, data[::-1]), rtol=1e-15)
        np.testing.assert_allclose(ufunc(values, 0.3).astype(float), ufunc(data, 0.3), rtol=1e-15)
    product = values @ values
    product.backward()
    assert isinstance(product, Value) and [v.grad for v in values] == [2 * x for x in data]
    assert values.mean().data == pytest.approx(0.5) and (values > 0.3).tolist() == [False, True, True]


# -- blocks


def test_no_grad_records_nothing():
    a = Value(2.0)
    with no_grad():
        made = [a * a, a.exp(), dot([a], [a], a), micrograd.where(a, a, a), a + 1, 1 - a, MLP(1, [2, 1], seed=0)([a])]
        leaf = Value(1.0)
    assert all(v.is_constant and not v.parents for v in made) and not leaf.is_constant
    assert (a * a).parents == (a, a)


def test_no_grad_decorates_nests_and_ends_with_an_error():
    a = Value(2.0)

    @no_grad()
    def f(x):
        return x * x

    assert f(a).is_constant and f(a).is_constant
    with no_grad(), no_grad():
        pass
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    with no_grad():
        with detect_anomaly():
            assert (a * a).is_constant
        assert (a * a).is_constant
    assert not (a * a).is_constant


def inside_of(block):
    """A generator that stands inside a block until it is closed."""
    with block:
        yield


def records():
    return not (Value(2.0) * 3.0).is_constant


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1), (0, 2, 1)])
def test_blocks_are_closed_in_any_order(order):
    blocks = [no_grad(), enable_grad(), no_grad()]
    open_, generators = [0, 1, 2], [inside_of(block) for block in blocks]
    for generator in generators:
        next(generator)
    for i in order:
        assert records() == (open_[-1] == 1)
        generators[i].close()
        open_.remove(i)
        assert records() == (not open_ or open_[-1] == 1)
    assert records() and not modes.open_blocks
    with detect_anomaly():
        assert records()


def test_a_block_may_be_closed_in_another_context():
    generator = inside_of(no_grad())
    next(generator)
    copied = contextvars.copy_context()
    assert not records() and not copied.run(records)
    contextvars.Context().run(generator.close)
    assert not modes.open_blocks
    with detect_anomaly():  # where some block is open, so that modes are looked at
        assert records() and copied.run(records)
    generator = inside_of(no_grad())
    contextvars.Context().run(next, generator)
    with no_grad():
        generator.close()
        assert not records()
    assert records() and not modes.open_blocks


def test_a_recording_that_is_closed_while_it_is_told_hears_no_more(monkeypatch):
    """Another thread may close the block while `told` looks which blocks are open."""
    a, heard, of_open = Value(2.0), [], modes._of_open
    outer = inside_of(no_grad())
    next(outer)
    observer = inside_of(modes.inside(observer=SimpleNamespace(used=heard.extend), recording=True))
    next(observer)
    contextvars.Context().run(outer.close)  # so that `told` has to look

    def closing(blocks):
        found = of_open(blocks)
        monkeypatch.setattr(modes, "_of_open", of_open)
        contextvars.Context().run(observer.close)
        return found

    monkeypatch.setattr(modes, "_of_open", closing)
    keeps_open = contextvars.Context()  # of another thread, so that modes are looked at
    block = inside_of(no_grad())
    keeps_open.run(next, block)
    a * 3.0
    assert heard == [a, 3.0]
    a * 5.0
    assert heard == [a, 3.0]
    keeps_open.run(block.close)


def test_who_has_heard_a_recording_is_freed_with_its_block():
    class Observer:
        def used(self, operands):
            pass

    a, observer = Value(2.0), Observer()
    freed = weakref.ref(observer)
    with modes.inside(observer=observer, recording=True):
        a * 3.0
    del observer
    assert freed() is None


def test_a_recording_that_is_closed_in_another_context_hears_no_more():
    a, heard = Value(2.0), []
    generator = inside_of(modes.inside(observer=SimpleNamespace(used=heard.extend), recording=True))
    next(generator)
    copied = contextvars.copy_context()
    copied.run(lambda: a * 3.0)
    assert heard == [a, 3.0]
    contextvars.Context().run(generator.close)
    with no_grad():  # some block is open, so that modes are looked at
        copied.run(lambda: a * 5.0)
    assert heard == [a, 3.0]


def test_no_grad_is_this_threads_alone():
    a, results = Value(2.0), {}
    entered, leave = threading.Event(), threading.Event()

    def quiet():
        with no_grad():
            entered.set()
            leave.wait(10)
            results["quiet"] = a * a

    thread = threading.Thread(target=quiet)
    thread.start()
    assert entered.wait(10)
    results["here"] = a * a
    with no_grad():
        results["inside"] = a * a
    leave.set()
    thread.join()
    assert results["here"].parents == (a, a) and results["quiet"].is_constant and results["inside"].is_constant
    assert (a * a).parents == (a, a)


@pytest.mark.parametrize(
    "f, message",
    [
        (lambda x: x / (x - 2), r"div\(2.0, 0.0\) = inf, at .*test_value.py:\d+: .*lambda x: x / \(x - 2\)"),
        (lambda x: (x - 3).log(), r"log\(-1.0\) = nan, at .*test_value.py"),
        (lambda x: (x * 400).exp(), r"exp\(800.0\) = inf, at"),
        (lambda x: micrograd.sqrt(-x), r"sqrt\(-2.0\) = nan, at"),
        (lambda x: dot([x] * 6, [inf] * 6), r"dot\(2.0, 2.0, .*inf, \.\.\.\) = inf, at"),
    ],
)
def test_detect_anomaly_names_the_operation_its_operands_and_the_line(f, message):
    f(Value(2.0))  # outside the block: IEEE arithmetic
    with detect_anomaly(), pytest.raises(FloatingPointError, match=message):
        f(Value(2.0))


def test_detect_anomaly_finds_the_line_in_a_network_call_and_on_replay():
    net = MLP(1, [1], output="log", seed=0)
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"log\(.*test_value.py:\d+: .*net\(\[-100.0 \*"):
        net([-100.0 * net.layers[0].neurons[0].w[0].data])
    x = Value(2.0)
    out = x.log()
    x.data = -1.0
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"log\(-1.0\) = nan"):
        out.recompute()


@pytest.mark.parametrize(
    "f", [lambda x: x * 3.0, lambda x: x * x, lambda x: dot([x, 1.0], [x, x]).tanh(), lambda x: abs(-x) ** 2]
)
def test_detect_anomaly_says_that_a_graph_is_stale(f):
    x = Value(2.0)
    y = f(x)
    with detect_anomaly():
        y.backward()
        x.data = -2.0 if f(Value(-2.0)).data == y.data else 5.0  # where the value alone would not tell
        with pytest.raises(RuntimeError, match=r"has changed since the graph was built.*call recompute\(\)"):
            y.backward()
        y.recompute().backward()
    y.backward()


def test_detect_anomaly_names_the_contribution_that_did_it():
    with detect_anomaly():
        x = Value(0.0)
        root = x.sqrt()
        out = root * 1.0 + x * 3.0
        with pytest.raises(FloatingPointError) as caught:
            out.backward()
    message = str(caught.value)
    assert "backward through operand 0 of sqrt(0.0) = 0.0: upstream 1.0 * local inf = inf" in message
    assert "root = x.sqrt()" in message and x.grad == 0.0
    assert out.note.line.endswith("out = root * 1.0 + x * 3.0")


def test_detect_anomaly_names_finite_contributions_whose_sum_is_not():
    x = Value(0.0)
    with micrograd.scope("part"):
        y = x * 1.5e308 + x * 1.5e308
    with detect_anomaly(), pytest.raises(FloatingPointError) as caught:
        y.backward()
    assert str(caught.value).endswith("local 1.5e+308 = 1.5e+308, for an adjoint of inf")  # and no line: none was noted


@pytest.mark.parametrize("count", [8, 9])
def test_detect_anomaly_shows_eight_operands(count):
    with detect_anomaly(), pytest.raises(FloatingPointError) as caught:
        micrograd.sum([Value(1e308)] * count)
    shown = ", ".join(["1e+308"] * 8 + ["..."] * (count > 8))
    assert f"sum({shown}) = inf" in str(caught.value)


def test_the_line_is_the_users_also_beside_a_package_of_a_similar_name(tmp_path):
    program = tmp_path / "micrograd_examples.py"
    (tmp_path / "micrograd").symlink_to(ROOT / "micrograd")
    program.write_text("from micrograd import Value, detect_anomaly\nwith detect_anomaly():\n    Value(-1.0).log()  # here\n")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, cwd=tmp_path)
    assert "micrograd_examples.py:3: Value(-1.0).log()  # here" in done.stderr


# -- the same bits in every process


PROGRAM = """
import random
from micrograd import MLP, SGD, Value, adjoints, cross_entropy, logsumexp
random.seed(3)
net = MLP(3, [5, 4], activation="tanh", seed=1)
optimiser = SGD(net.parameters(), lr=0.1, momentum=0.9)
for step in range(5):
    loss = cross_entropy([net([random.random() for _ in range(3)]) for _ in range(4)], [0, 1, 2, 3])
    net.zero_grad()
    loss.backward()
    optimiser.step()
x = Value(0.3, label="x")
shared = [x * w for w in net.parameters()]
out = logsumexp(shared) + sum(a * b for a in shared for b in shared[:5])
print(out.data.hex(), [g.hex() for g in adjoints(out).values()])
print([g.data.hex() for g in adjoints(out, create_graph=True).values()])
print([p.data.hex() for p in net.parameters()])
"""


def test_the_same_program_gives_the_same_bits_under_any_hash_seed():
    def outputs(seed):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=True)
        return hashlib.sha256(done.stdout.encode()).hexdigest(), len(done.stdout)

    found = {outputs(seed) for seed in ("0", "1", "4242", "random")}
    assert len(found) == 1 and found.pop()[1] > 1000


# -- deep graphs


def chain(depth, x=None):
    """x ↦ 0.999 x + b, `depth` times: two nodes each."""
    x, b = x or Value(0.5), Value(0.25)
    for _ in range(depth):
        x = x * 0.999 + b
    return x


def dumps_in_python(nodes, protocol):
    """Pickled by the pickler that is written in Python, which recurses on Python's own stack."""
    file = io.BytesIO()
    pickle._Pickler(file, protocol).dump(nodes)
    return file.getvalue()


def examine_deep(depth, python_pickler=True):
    x = chain(depth)
    middle = x.parents[0]
    x.backward()
    assert len(topological_order(x)) == 2 * depth + 2 and "Value(data=" in repr(x)
    assert copy.copy(x).parents == x.parents
    dumps = [lambda nodes: pickle.dumps(nodes), *([lambda nodes: dumps_in_python(nodes, 2)] if python_pickler else [])]
    for twins in (copy.deepcopy([middle, x]), *(pickle.loads(dump([middle, x])) for dump in dumps)):
        m, r = twins
        assert r.parents[0] is m and r is not x and len(topological_order(r)) == 2 * depth + 2
        assert (r.data, m.data, m.grad) == (x.data, middle.data, middle.grad)
        del twins, m, r
    return x


def test_deep_chains_build_sort_go_backward_print_copy_pickle_and_are_freed():
    examine_deep(30_000, python_pickler=False)
    x = chain(1_000)
    assert adjoints(x, create_graph=True)[topological_order(x)[0]].data == pytest.approx(0.999**1000)


@pytest.mark.slow
def test_chains_of_a_million_nodes():
    x = examine_deep(500_000)
    x.recompute()
    leaf = topological_order(x)[0]
    graph = adjoints(x, create_graph=True)
    assert graph[leaf].data == adjoints(x)[leaf]
    del graph
    x.label = type("Text", (str,), {})("end")  # a plain string, or a Value, cannot be watched
    end = weakref.ref(x.label)
    del x
    assert end() is None


@pytest.mark.parametrize("depth", [1, 2, 499, 500, 501, 999, 1000, 1001, 2000])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_values_pickled_together_keep_what_they_share(depth, protocol):
    x = chain(depth)
    inner = topological_order(x)[depth // 2 * 2 + 2]
    middle = x.parents[0]
    for dump in (pickle.dumps, dumps_in_python):
        m, r = pickle.loads(dump([middle, x], protocol))
        assert r.parents[0] is m and alike(r, x)
        r, m = pickle.loads(dump([x, middle], protocol))
        assert r.parents[0] is m and alike(r, x)
        i, r, again = pickle.loads(dump((inner, x, inner), protocol))
        assert i is again and any(v is i for v in topological_order(r)) and alike(r, x)


def test_lists_of_nodes_of_one_chain_are_copied_and_pickled_in_linear_time():
    """Each node's history is sorted once, not again for each node that stands on it: counted in nodes, not in seconds."""
    nodes = topological_order(chain(300))
    sorted_, walk = 0, value.all_below

    def counting(*roots, **options):
        nonlocal sorted_
        order = walk(*roots, **options)
        sorted_ += len(order)
        return order

    pickled = [lambda x, dump=dump: pickle.loads(dump(x, 4)) for dump in (pickle.dumps, dumps_in_python)]
    for listed in (nodes, nodes[::7], nodes[::-1]):
        for twin in (copy.deepcopy, *pickled):
            sorted_ = 0
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(value, "all_below", counting)
                twins = twin(listed)
            assert sorted_ <= len(nodes) + len(listed)
            twins[-1].data = 7.0
            assert all(type(t) is Value for t in twins) and listed[-1].data != 7.0
            assert len(topological_order(*twins)) == len(topological_order(*listed))
    assert pickle.dumps(nodes) == pickle.dumps(nodes)


def test_picklers_at_work_side_by_side_do_not_mix_up_what_they_hold():
    x = chain(20_000)
    nodes = topological_order(x)
    files = [io.BytesIO(), io.BytesIO()]
    first, second = (pickle.Pickler(file) for file in files)
    first.dump(nodes[5_000])
    second.dump(x)
    first.dump(x)
    second.dump(nodes[5_000])
    start = files[0].tell()
    first.clear_memo()
    first.dump(x)
    files[0].seek(start)
    assert alike(pickle.load(files[0]), x) and alike(pickle.loads(pickle.dumps(x)), x)
    for file in files:
        file.seek(0)
    one, two = (pickle.Unpickler(file) for file in files)
    low, high = one.load(), one.load()
    assert any(v is low for v in topological_order(high)) and alike(high, x)
    assert alike(two.load(), x) and alike(two.load(), nodes[5_000])


class Refuses(str):
    """A label that cannot be pickled."""

    def __reduce__(self):
        raise ZeroDivisionError("not me")


@pytest.mark.parametrize("dump", [pickle.dumps, dumps_in_python])
@pytest.mark.parametrize("place", [0, 2, 1500, 2999, 3000])
def test_a_pickler_that_fails_half_way_leaves_nothing_behind(dump, place):
    x = chain(1500)
    order = topological_order(x)
    order[place].label = Refuses("stubborn")
    failed = False
    try:
        dump([x.parents[0], x], 4)
    except ZeroDivisionError:
        failed = True
    assert failed
    order[place].label = ""
    for nodes in ([order[-2], x], [order[1400], order[2800]], [order[place]]):
        twins = pickle.loads(dump(nodes, 4))
        assert all(alike(a, b) for a, b in zip(nodes, twins, strict=True))


def test_wide_graphs_and_shared_subgraphs_take_linear_time():
    x = Value(1.0)
    for _ in range(200):  # 2^200 paths
        x = x + x
    assert adjoints(x)[topological_order(x)[0]] == 2.0**200
    assert pickle.loads(pickle.dumps(copy.deepcopy(x))).data == x.data
    wide = micrograd.sum([Value(1.0) * i for i in range(20_000)])
    wide.backward()
    assert topological_order(wide)[0].grad == 0.0 and wide.data == sum(range(20_000))


# -- memory


def growth(steps, work):
    """By how many objects that the collector tracks, and by how many blocks of memory, `steps` calls of `work` grow.

    Python keeps up to 2,000 freed tuples of each length for reuse: that many calls go before.
    """
    gc.collect()
    gc.disable()
    try:
        for _ in range(2200):
            work()
        objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
        for _ in range(steps):
            work()
        return len(gc.get_objects()) - objects, sys.getallocatedblocks() - blocks
    finally:
        gc.enable()


def test_a_training_loop_of_a_thousand_steps_does_not_grow_without_the_collector():
    net = MLP(2, [4, 1], activation="tanh", output="sigmoid", seed=0)
    optimiser = micrograd.Adam(net.parameters())
    x = Value(0.5)

    def step():
        loss = micrograd.mse([net([x, -1.0]), net([0.2, x])], [0.0, 1.0]) + 1e-3 * sum(p * p for p in net.parameters())
        net.zero_grad()
        loss.backward()
        optimiser.step()

    objects, blocks = growth(1000, step)
    assert objects < 10 and blocks < 100


@pytest.mark.parametrize(
    "work",
    [
        lambda x: adjoints(adjoints((x * x).tanh(), create_graph=True)[x]),
        lambda x: (x.sin() ** 2).recompute(),
        lambda x: copy.deepcopy(x * x + 1),
        lambda x: pickle.loads(pickle.dumps(x * x + 1)),
        lambda x: x / 0.0,
        lambda x: [(x * 3).parents, (x * 3).partials, repr(x)],
        lambda x: setattr(out := Value(1.0, (x,), "f"), "_backward", lambda: setattr(x, "grad", x.grad + out.grad)),
    ],
)
def test_nothing_else_leaves_cycles_behind_either(work):
    x = Value(0.5)
    objects, blocks = growth(300, lambda: work(x))
    assert objects < 10 and blocks < 30


# -- decorators of generators and coroutines, and copies of subclasses


def test_no_grad_decorates_generators_and_coroutines_and_can_be_used_again():
    steps = []

    @no_grad
    def generator():
        got = yield Value(1.0) * 2
        steps.append((Value(1.0) * 2).is_constant)
        try:
            yield got
        except KeyError:
            steps.append((Value(1.0) * 2).is_constant)
        return 7

    def outer():
        return (yield from generator())

    made = outer()
    assert next(made).is_constant and records()  # not while it waits
    assert made.send("x") == "x" and records()
    with pytest.raises(StopIteration) as end:
        made.throw(KeyError())
    assert end.value.value == 7 and steps == [True, True] and records()

    @detect_anomaly()
    def failing():
        yield 1
        yield Value(-1.0).log()

    made = failing()
    assert next(made) == 1
    with pytest.raises(FloatingPointError):
        next(made)
    assert math.isnan(Value(-1.0).log().data)

    @no_grad()
    async def coroutine():
        await asyncio.sleep(0)
        return (Value(1.0) * 2).is_constant

    async def both():
        return await asyncio.gather(coroutine(), plain())

    async def plain():
        await asyncio.sleep(0)
        return (Value(1.0) * 2).is_constant

    with ThreadPoolExecutor(1) as elsewhere:  # this thread may have an event loop of its own
        assert elsewhere.submit(asyncio.run, both()).result() == [True, False]
    closed = []

    @no_grad
    def closing():
        try:
            yield 1
        finally:
            closed.append(records())

    made = closing()
    next(made)
    made.close()
    assert closed == [False] and records()
    block = no_grad()
    for _ in range(2):
        with block:
            assert not records()
            with block:
                assert not records()
            assert not records()
    assert records() and not modes.open_blocks
    with pytest.raises(TypeError, match="decorates functions"):
        no_grad(3)


class Named(Value):
    __slots__ = ("__dict__", "unit")


class OneMore(Named):
    __slots__ = "more"


def test_a_deep_copy_takes_what_its_caller_puts_in_the_place_of_a_leaf():
    a, b = Value(2.0), Value(5.0)
    assert [*map(id, copy.deepcopy(a * a, {id(a): b}).parents)] == [id(b)] * 2


def test_a_value_is_no_sequence():
    with pytest.raises(TypeError, match="not iterable"):
        iter(Value(1.0))


def test_copies_keep_what_a_subclass_has_of_its_own():
    x = Named(2.0, label="x")
    x.unit, x.notes = "m", ["a"]
    for twin, deep in ((copy.copy(x), False), (copy.deepcopy(x), True), (pickle.loads(pickle.dumps(x)), True)):
        assert type(twin) is Named and (twin.data, twin.label, twin.unit, twin.notes) == (2.0, "x", "m", ["a"])
        assert (twin.notes is not x.notes) == deep
        twin.notes = None
        assert x.notes == ["a"]
    out = copy.deepcopy(x * 3)
    assert out.parents[0].unit == "m" and out.parents[0] is not x
    y = OneMore(2.0)
    y.more, y.unit = "text", "s"
    for twin in (copy.copy(y), copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        assert (twin.more, twin.unit, hasattr(twin, "notes")) == ("text", "s", False)


def test_numpy_takes_the_variance_of_values():
    xs = [Value(x) for x in (1.0, 2.0, 4.0)]
    out = np.var(np.array(xs))
    assert out.data == pytest.approx(np.var([1.0, 2.0, 4.0])) and np.std(np.array(xs)).data == pytest.approx(out.data**0.5)
    out.backward()
    assert [x.grad for x in xs] == pytest.approx([2 / 3 * (x.data - 7 / 3) for x in xs])


def test_the_package_tells_nodes_apart_by_identity(monkeypatch):
    """== of Values compares numbers, so `in`, index, remove and sorted would take two nodes of one number for one."""
    inside = os.path.dirname(micrograd.__file__)
    plain = Value.__eq__

    def refusing(self, other):
        assert not sys._getframe(1).f_code.co_filename.startswith(inside), "the package compares Values by their numbers"
        return plain(self, other)

    monkeypatch.setattr(Value, "__eq__", refusing)
    a, b, z = (Value(x, label=name) for name, x in (("a", 2.0), ("b", 3.0), ("z", 0.0)))

    def f(a, b, z):
        p = a * b
        s = p + z  # the same number as p
        return micrograd.where(s - p, s * 5, micrograd.relu(s) - p + s * 1.0).tanh() + micrograd.logsumexp([p, s])

    out = f(a, b, z)
    out.backward()
    adjoints(adjoints(out, a, create_graph=True)[a], b)
    for shown in (out.explain(a), out.why(z), micrograd.to_code(out), out.draw().svg, out.draw().source, out.draw().explore()):
        assert str(shown)
    micrograd.gradcheck(f, a, b, z)
    micrograd.hessian(lambda v: f(*v))([2.0, 3.0, 0.0])
    micrograd.jvp(lambda v: f(*v), ([2.0, 3.0, 0.0],), ([1.0, 0.0, 1.0],))
    model = micrograd.MLP(2, [2, 1], seed=0)
    optimiser = micrograd.Adam(model.parameters())
    for loss in (model([1.0, 1.0]) ** 2, micrograd.jit(lambda x: model([x, x]) ** 2 + f(a, b, x), backend="reference")):
        loss.backward() if isinstance(loss, Value) else loss.backward([1.0, 0.0])
        optimiser.step()
    pickle.loads(pickle.dumps(out)), copy.deepcopy(out), out.recompute(), model.state_dict(), micrograd.find_bug(Value)


class Vector:
    """What is no number, and knows what to do beside one; of a text it does not."""

    def __rmul__(self, other):
        return NotImplemented if isinstance(other, str) else ("times", other)

    __radd__ = __rsub__ = __rtruediv__ = __rpow__ = __rmod__ = __rfloordiv__ = __rmul__


@Real.register
class Exact(Vector):
    def __float__(self):
        return 3.0


class Stranger:
    def __rmul__(self, other):
        return NotImplemented


def test_what_is_no_number_may_know_what_to_do_beside_a_value():
    x, v = Value(2.0), Vector()
    assert all(out == ("times", x) for out in (x * v, x + v, x - v, x / v, x**v, x % v, x // v))
    assert divmod(x, v) == (("times", x), ("times", x))
    for other in (Stranger(), object(), [1.0], "text", 1j):
        with pytest.raises(TypeError, match="expected a number, got"):
            x * other
    for f in (operator.mul, operator.sub):  # v - x is not what v makes of x - v
        with pytest.raises(TypeError, match="expected a number, got Vector"):
            f(v, x)
    assert (x * Exact()).data == 6.0  # a number, whatever it would do by itself
    with pytest.raises(TypeError, match="expected a number, got Vector"):
        x.maximum(v)


def test_arrays_of_other_libraries_are_pointed_to_numpy():
    class Array:
        shape = (2,)

    with pytest.raises(TypeError, match=r"expected a number, got Array of shape \(2,\): a Value is one number; np\.asarray"):
        Value(1.0) * Array()
