"""The rule book against mpmath, row by row of the table in `truth`."""

import math
import operator
import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from mpmath import mp
from truth import CASES, OF_THEMSELVES, SATURATION, Case, nan
from ulps import largest_intermediate, off

import micrograd
from micrograd import Value, adjoints, constant, floats, primitives
from micrograd.primitives import RULES, Primitive, primitive

# A row for which a mistake of one part in 2^40 shows in the listed and a few random points: all of them.
MISTAKE = 2.0**-40

each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def points(case: Case, n: int) -> list[tuple[float, ...]]:
    """The listed points and `n` random ones, half of them of order one, half of every magnitude."""
    rng = random.Random(case.name)

    def draw(low: float, high: float) -> float:
        if isinstance(low, int):
            return float(rng.randint(low, int(high)))
        if rng.random() < 0.5:
            return rng.uniform(max(low, -8.0), min(high, 8.0))
        bound = high if low >= 0.0 or rng.random() < 0.5 else low
        return math.copysign(math.exp(rng.uniform(math.log(case.small), math.log(abs(bound)))), bound)

    return [*case.points, *(tuple(draw(*interval) for interval in case.domain) for _ in range(n))]


def derivative(f, i):
    """∂f/∂xᵢ by a central difference in mpmath's arithmetic, on a step so small that hundreds of digits are right."""

    def on_args(*args):
        h = min(abs(args[i]) or 1, mp.mpf(1)) * mp.mpf(10) ** (-mp.dps // 5)
        above, below = ([*args[:i], args[i] + step, *args[i + 1 :]] for step in (h, -h))
        return (f(*above) - f(*below)) / (2 * h)

    return on_args


def faults(rule: Primitive, case: Case, n: int, of_itself: bool = False) -> list[str]:
    """What is wrong with `rule`, by the truth that `case` tells: value, first and second derivatives.

    Errors of derivatives are counted in ulps of the largest intermediate, or of the derivative itself.
    """
    found = []

    def check(what: str, got: Value, truth: Any, allowed: float) -> None:
        distance = off(got.data, truth, None if of_itself else max(largest_intermediate(got), case.unit))
        if not distance <= allowed:
            found.append(f"{what} is {got.data}, in truth {mp.nstr(truth, 20)}: {distance:.3g} ulps, {allowed} allowed")

    for point in points(case, n):
        exact = [mp.mpf(x) for x in point]
        xs = [Value(x) for x in point]
        out = rule(*xs)
        truth = case.truth(*exact)
        distance = off(out.data, truth, max(largest_term(rule, point) or abs(float(truth)), case.unit))
        if not distance <= case.ulps[0]:
            found.append(f"{case.name}{point} is {out.data}: {distance:.3g} ulps, {case.ulps[0]} allowed")
        first, seconds = adjoints(out, wrt=xs, create_graph=True), {}
        for i, x in enumerate(xs):
            check(f"∂{case.name}{point}/∂{i}", first[x], derivative(case.truth, i)(*exact), case.ulps[1])
            second = adjoints(first[x], wrt=xs, create_graph=True)
            for j, y in enumerate(xs):
                if j >= case.whole:  # a whole number is a constant in formulas of partials
                    if j >= i:  # mixed derivatives are symmetric
                        seconds[i, j] = seconds[j, i] = derivative(derivative(case.truth, i), j)(*exact)
                    check(f"∂²{case.name}{point}/∂{i}∂{j}", second[y], seconds[i, j], case.ulps[2])
    return found


def largest_term(rule: Primitive, point: tuple[float, ...]) -> float | None:
    """The largest term of an n-ary row that adds or takes one of its operands; None for the others, where it is the value."""
    n = len(point) // 2
    if rule.name == "logsumexp":
        return max(map(abs, point)) + math.log(len(point))
    terms = [point[-1], *map(operator.mul, point[:n], point[n:-1])] if rule.name == "dot" else point
    return math.fsum(map(abs, terms)) if rule.variadic and rule.name != "norm" else None


def same(a: float, b: float) -> bool:
    return a == b or (a != a and b != b)


def test_every_primitive_has_a_row_of_cases():
    assert sorted(case.name for case in CASES) == sorted(primitives._BUILT_IN)


@each
def test_value_and_derivatives_are_right_to_the_stated_ulps(case):
    with mp.workdps(case.digits):
        found = faults(case.rule, case, 8)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name, first, second", OF_THEMSELVES)
def test_derivatives_that_do_not_cancel_are_right_to_their_own_last_digits(name, first, second):
    (case,) = [replace(case, ulps=(case.ulps[0], first, second)) for case in CASES if case.name == name]
    with mp.workdps(case.digits):
        found = faults(case.rule, case, 30, of_itself=True)
    assert not found, "\n".join(found)


def wrong(rule: Primitive, where: int) -> Primitive:
    """`rule` with a small mistake in its value (where = -1) or in the partial derivative number `where`."""

    def off_by_a_little(partial):
        if callable(partial):
            return lambda *args: partial(*args) * (1 + MISTAKE)
        return partial + MISTAKE

    def off_in_one(args, out):
        return tuple(
            (d * (1 + MISTAKE) if d != 0.0 else MISTAKE) if i == where else d for i, d in enumerate(rule.partials(args, out))
        )

    value, partials = rule.value, rule.partials
    if where == -1:
        value = lambda *args: rule.on_floats(args) * (1 + MISTAKE) or MISTAKE  # noqa: E731
    elif rule.variadic:
        partials = off_in_one
    else:
        partials = tuple(off_by_a_little(p) if i == where else p for i, p in enumerate(partials))
    return Primitive(rule.name, rule.written, value, partials, rule.beyond, rule.variadic)


@each
def test_a_planted_mistake_is_found_in_every_value_and_every_partial(case):
    few = replace(case, points=case.points[:1])
    with mp.workdps(case.digits):
        for where in range(-1, len(case.domain)):
            assert faults(wrong(case.rule, where), few, 3), f"mistake number {where} goes unnoticed"


def test_a_partial_that_is_right_but_no_graph_is_found():
    tanh, case = RULES["tanh"], next(case for case in CASES if case.name == "tanh")
    frozen = Primitive("tanh", "tanh(x)", tanh.value, (lambda x, out: 1 - float(out) * float(out),), tanh.beyond, False)
    with mp.workdps(case.digits):
        found = faults(frozen, replace(case, points=()), 5)
    assert found and all(line.startswith("∂²") for line in found)


EDGES = [pytest.param(case.rule, *edge, id=f"{case.name}{edge[0]}") for case in CASES for edge in case.edges]


@pytest.mark.parametrize("rule, args, value, partials", EDGES)
def test_at_kinks_poles_and_infinities_the_convention_holds_exactly(rule, args, value, partials):
    assert same(rule(*args), value)
    node = rule(*map(Value, args))
    assert same(node.data, value)
    assert len(node.partials) == len(partials) and all(map(same, node.partials, partials)), node.partials


@each
def test_floats_graphs_and_recorded_partials_are_the_same_bits(case):
    edges = [edge[0] for edge in case.edges]
    for point in [*points(case, 20), *edges]:
        xs = [Value(x) for x in point]
        out = case.rule(*xs)
        assert same(case.rule(*point), out.data)
        recorded, graph = adjoints(out), adjoints(out, create_graph=True)
        assert all(map(same, out.partials, (recorded[x] for x in xs))), point
        assert all(map(same, out.partials, (graph[x].data for x in xs))), point


@each
def test_nan_in_gives_nan_out_in_value_and_gradient(case):
    if case.name in ("where", "take"):
        return  # they choose; a nan that is not chosen does no harm (their edges say what happens)
    for i in range(len(case.domain)):
        args = [Value(nan if j == i else x) for j, x in enumerate(case.inside(0.5))]
        node = case.rule(*args)
        assert node.data != node.data
        if any(adjoints(node, wrt=args, create_graph=True)[x].parents for x in args):  # else the gradient is a number
            gradient = adjoints(node)
            assert any(gradient[x] != gradient[x] for x in args), f"no partial is nan where argument {i} is"


@pytest.mark.parametrize("name, flat, not_yet, plateau", SATURATION)
def test_partials_saturate_where_the_row_says_so(name, flat, not_yet, plateau):
    assert RULES[name](Value(flat)).partials == (plateau,)
    assert RULES[name](Value(not_yet)).partials != (plateau,)


def test_every_saturation_said_beside_a_row_is_tested():
    with open(primitives.__file__, encoding="utf-8") as file:
        said = {line.split('"')[1] for line in file if "primitive(" in line and (" flat " in line or "exactly 1" in line)}
    assert said == {name for name, *_ in SATURATION}


def test_the_partials_of_points_of_a_plane_hold_wherever_their_results_do():
    """Those of hypot and atan2, to the second order, at operands of any size, whose squares may over- or underflow."""
    rng, largest = random.Random(13), mp.mpf(2) ** 1023.99
    for k in range(2000):
        exponent = rng.randint(-1000, 1020)
        a, b = (rng.choice((-1, 1)) * 2.0 ** (exponent * (k % 2) + rng.uniform(-1020 * (1 - k % 2), 3)) for _ in "ab")
        if abs(abs(a / b) - 1) < 0.1:  # where y² - x² cancels
            continue
        with mp.workdps(60):
            x, y = mp.mpf(a), mp.mpf(b)
            h, r = mp.hypot(x, y), x * x + y * y
            slope = (y - x) * (y + x) / r / r
            wanted = {
                "hypot": ([x / h, y / h], [y * y / h / r, -x * y / h / r, x * x / h / r]),
                "atan2": ([y / r, -x / r], [-2 * x * y / r / r, -slope, 2 * x * y / r / r]),
            }
            for name, (first, second) in wanted.items():
                ps = [Value(a), Value(b)]
                out = RULES[name](*ps)
                slopes = adjoints(out, wrt=ps, create_graph=True)
                found = [slopes[p].data for p in ps]
                found += [adjoints(slopes[ps[0]], ps)[p] for p in ps] + [adjoints(slopes[ps[1]], ps)[ps[1]]]
                for got, truth, most in zip(found, first + second, (4, 4, 32, 32, 32), strict=True):
                    size = abs(truth)
                    if size > largest:
                        assert got == math.copysign(math.inf, truth) or abs(got) > 1e307, (name, a, b)
                    else:
                        assert off(got, truth) <= most, (name, a, b, got, truth)


def test_the_partials_of_arctangents_hold_wherever_their_results_do():
    """At operands of any size, whose squares may over- or underflow."""
    rng = random.Random(13)
    for _ in range(2000):
        y, x = (rng.choice((-1, 1)) * 10.0 ** rng.uniform(-307, 307) for _ in "yx")
        with mp.workdps(50):
            a, b = mp.mpf(y), mp.mpf(x)
            wanted = [b / (a * a + b * b), -a / (a * a + b * b), 1 / (1 + a * a)]
            for got, truth in zip(
                (*RULES["atan2"](Value(y), Value(x)).partials, *RULES["atan"](Value(y)).partials), wanted, strict=True
            ):
                assert off(got, truth) <= 4, (y, x, got)


def test_polygamma_is_right_at_every_order_and_every_size():
    """To 4 + n units of the largest term: each order multiplies by one more rounded quotient."""
    rng = random.Random(14)
    for _ in range(500):
        n = float(rng.choice((0, 1, 2, 3, 170, rng.randint(0, 170))))
        x = 10.0 ** rng.uniform(-320, 308) if rng.random() < 0.4 else 10.0 ** rng.uniform(-3, 4)
        x = rng.choice((x, -x if x < 1e4 else x))
        if x < 0.0 and x == math.floor(x):
            continue
        with mp.workdps(600 if x < 0.0 else 50):
            truth = mp.polygamma(int(n), mp.mpf(x))
            largest = abs(truth) if n else max(1, abs(truth), abs(mp.log(abs(x))))
            if x < 0.0:
                largest = max(largest, mp.factorial(n) / abs(mp.mpf(x) - round(x)) ** (n + 1))
            if largest * 2 < mp.mpf(2) ** 1024:
                assert off(RULES["polygamma"](n, x), truth, float(largest)) <= 4 + n, (n, x)
            elif abs(truth) > mp.mpf(2) ** 1024:
                assert RULES["polygamma"](n, x) == math.copysign(math.inf, truth), (n, x)
    with mp.workdps(600):  # a difference of two terms, one of them beyond the largest float
        assert off(RULES["polygamma"](150.0, -2.49844), mp.polygamma(150, mp.mpf(-2.49844))) <= 154
    assert [RULES["polygamma"](n, -1e-320) for n in (0.0, 1.0, 2.0, 3.0)] == [math.inf] * 4


def draw_power(rng: random.Random, kind: int) -> tuple[float, float]:
    """A base and an exponent: of any size, denormal, with a power at the ends of the range, near 1, negative."""
    x = 2.0 ** rng.uniform(*((-1074, -1000) if kind == 1 else (-1074, 1023.9)))
    if kind == 2:
        return x, rng.uniform(-4, 4) + rng.choice((-1, 1)) * rng.choice((1022, 1074, 1000)) / (math.log2(x) or 1.0)
    if kind == 3:
        x = rng.choice((1, -1)) * (1 + rng.choice((1, -1)) * 10.0 ** rng.uniform(-15.5, -13))
        return x, rng.choice((1, -1)) * float(int(10.0 ** rng.uniform(15, 18.5)))
    if kind == 4:
        return -x, float(rng.randint(-40, 40))
    return x, rng.choice((1, -1)) * 2.0 ** rng.uniform(-1020, rng.choice((-1000, -60, 5)))


@pytest.mark.parametrize("kind", range(5))
def test_the_partials_of_powers_hold_wherever_their_results_do(kind):
    """To the second order, at bases of any size and signs, y - 1 being no float or the power alone out of the range."""
    rng, largest = random.Random(kind), mp.mpf(2) ** 1023.99
    for _ in range(300):
        a, b = draw_power(rng, kind)
        if floats.ordinary(b):  # which is taken as it stands
            continue
        with mp.workdps(60):
            y, log = mp.mpf(b), mp.log(abs(mp.mpf(a)))
            powers = [mp.exp((y - n) * log) * (-1 if a < 0 and (int(y) - n) % 2 else 1) for n in range(3)]
            mixed = powers[1] * (1 + y * log)
            wanted = {"x": y * powers[1], "xx": y * (y - 1) * powers[2]}
            if a > 0.0:
                wanted |= {"y": powers[0] * log, "xy": mixed, "yx": mixed, "yy": powers[0] * log * log}
            p = {"x": Value(a), "y": Value(b)}
            slopes = adjoints(p["x"] ** p["y"], p.values(), create_graph=True)
            for by, truth in wanted.items():
                scale = max(abs(powers[1]), abs(powers[1] * y * log)) if by in ("xy", "yx") else abs(truth)
                got = slopes[p[by]].data if len(by) == 1 else adjoints(slopes[p[by[0]]], p.values())[p[by[1]]]
                if scale < largest:
                    assert off(got, truth, float(scale)) <= 5, (by, a, b, got, truth)
                elif abs(truth) > largest * 2 and by not in ("xy", "yx"):  # whose two terms may be infinite both
                    assert got == math.copysign(math.inf, truth), (by, a, b, got, truth)


def test_the_hessian_of_a_power_is_symmetric():
    def f(p):
        return p[0] ** p[1]

    for x, y in [(0.0, 1.0), (0.0, 2.0), (0.0, 0.0), (0.0, -1.0), (2.0, 0.0), (1.5, -2.5), (0.0, 0.5)]:
        for hessian in (micrograd.hessian(f), micrograd.jacobian(micrograd.grad(f)), micrograd.jit(micrograd.hessian(f))):
            (_, one), (other, _) = hessian([x, y])
            assert same(one, other), (x, y)
    assert micrograd.hessian(f)([0.0, 1.0]) == [[0.0, -math.inf], [-math.inf, 0.0]]


ENDS = [  # where the first derivative is infinite: the signs of those of orders 1, 2 and 3, by the limit from inside
    ("asin", 1.0, "+++"), ("asin", -1.0, "+-+"), ("acos", 1.0, "---"), ("acos", -1.0, "-+-"), ("acosh", 1.0, "+-+"),
    ("atanh", 1.0, "+++"), ("atanh", -1.0, "+-+"), ("sqrt", 0.0, "+-+"), ("cbrt", 0.0, "+-+"), ("cbrt", -0.0, "+++"),
    ("log", 0.0, "+-+"), ("log1p", -1.0, "+-+"),
]  # fmt: skip


@pytest.mark.parametrize("name, at, signs", ENDS)
def test_where_a_function_ends_upright_all_derivatives_are_infinite_in_every_mode(name, at, signs):
    f = RULES[name]
    for order, sign in enumerate(signs, 1):
        backward = forward = f
        for _ in range(order):
            backward, forward = micrograd.grad(backward), lambda x, g=forward: micrograd.jvp(g, (x,), (1.0,))[1]
        for each in (backward, forward, *[micrograd.jit(backward, backend=b) for b in ("reference", "numpy", "llvm")]):
            assert each(at) == float(f"{sign}inf"), (order, each)


# What the book gives besides its rows.


def test_where_with_a_plain_condition_chooses_at_once():
    a, b = Value(2.0), Value(3.0)
    assert micrograd.where(True, a, b) is a
    assert micrograd.where(0.0, a, b) is b
    assert micrograd.where(np.float64(2.0), a, b) is a
    assert micrograd.where(np.True_, a, b) is a
    assert math.isnan(micrograd.where(nan, a, b))


def test_where_with_a_value_is_part_of_the_graph():
    c, a, b = Value(1.0), Value(2.0), Value(3.0)
    out = micrograd.where(c, a, b)
    assert out.parents == (c, a, b)
    c.data = -1.0
    assert out.recompute().data == 3.0


def test_take_is_an_element():
    xs = [Value(1.0), Value(2.0)]
    assert micrograd.take(xs, 1) is micrograd.take(tuple(xs), np.int64(1)) is micrograd.take(iter(xs), True) is xs[1]
    assert micrograd.take(np.array([1.0, 2.0]), np.array(1)) == 2.0 and micrograd.take({"a": 3.0}, "a") == 3.0


@pytest.mark.parametrize("make", [list, tuple, np.array], ids=lambda make: make.__name__)
def test_take_counts_no_index_from_the_end_compiled_or_not(make):
    for i in (-1, 2, np.int64(-1)):
        found = []
        for f in (micrograd.take, micrograd.jit(micrograd.take, backend="reference")):
            with pytest.raises(IndexError, match=f"^take needs an index from 0 to 1, got {int(i)}$") as error:
                f(make([1.0, 2.0]), i)
            found.append(str(error.value))
        assert found[0] == found[1]
    with pytest.raises(IndexError, match=r"^take needs at least one value to choose from, got none$"):
        micrograd.take(make([]), 0)
    if make is not np.array:
        for i in (1.0, "a", None):
            with pytest.raises(TypeError, match=rf"^take needs a whole number as its index, got {type(i).__name__} {i!r}$"):
                micrograd.take(make([1.0, 2.0]), i)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 100])
def test_sum_and_dot_add_from_left_to_right_in_one_node(n):
    rng = random.Random(n)
    xs, ys = ([rng.uniform(-1, 1) for _ in range(n)] for _ in range(2))
    total, product = 0.0, 0.25
    for x, y in zip(xs, ys, strict=True):
        total, product = total + x, product + x * y
    assert micrograd.sum(map(Value, xs)).data == micrograd.sum(xs) == total
    node = micrograd.dot(map(Value, xs), ys, start=0.25)
    assert node.data == micrograd.dot(xs, ys, 0.25) == product
    assert [p.data for p in node.parents] == [*xs, *ys, 0.25]
    assert node.partials == (*ys, *xs, 1.0)


def test_sums_of_nothing():
    assert micrograd.sum([]) == 0.0 and micrograd.sum([], 2.5) == 2.5
    b = Value(0.0)  # a start that is a Value counts, whatever it holds: sum(products, self.b) as Python's own
    total = micrograd.sum((v * 2.0 for v in (Value(1.0), Value(3.0))), b)
    total.backward()
    assert total.data == 8.0 and b.grad == 1.0 and len(total.parents) == 3
    assert len(micrograd.sum([Value(1.0)], 0).parents) == 1
    assert micrograd.dot([], []) == 0.0
    start = Value(2.0)
    assert micrograd.dot([], [], start).data == 2.0
    with pytest.raises(ValueError, match="logsumexp needs at least one value"):
        micrograd.logsumexp([])


def test_dot_refuses_two_lengths():
    with pytest.raises(ValueError, match="one length, got 2 and 3"):
        micrograd.dot([1.0, 2.0], [Value(1.0)] * 3)


def test_a_partial_is_evaluated_only_where_it_is_needed():
    def never(*_):
        raise AssertionError("evaluated")

    rule = Primitive("half_known", "half_known(x, y)", lambda x, y: x * y, (lambda x, y, out: y, never), None, False)
    x = Value(3.0)
    for other in (2, 2.0, np.float64(2.0), constant(2.0)):
        assert adjoints(rule(x, other))[x] == 2.0
        assert adjoints(rule(x, other), wrt=[x], create_graph=True)[x].data == 2.0
    base = Value(-2.0)
    for exponent in (3, 3.0, constant(3.0)):
        assert (base**exponent).partials == (12.0, 0.0)


# number(): what may stand in for a float, and what may not.


@pytest.mark.parametrize("x", [2, 2.0, True, Fraction(1, 2), np.float32(0.5), np.int64(3), np.True_, np.float16(0.1), 2**60])
def test_numbers_are_accepted_and_become_floats(x):
    for out in (Value(x), Value(1.0) * x, x * Value(1.0), micrograd.maximum(Value(-1e300), x)):
        assert type(out.data) is float and out.data == float(x)


@pytest.mark.parametrize(
    "x, given, advice",
    [
        ("3.5", "got str '3.5'", r"float\(\)"),
        (None, "got NoneType", "pass an int, a float or a Value"),
        (1 + 2j, r"got complex \(1\+2j\)", r"take its .real, .imag or abs\(\)"),
        (np.ones((2, 3)), r"got ndarray of shape \(2, 3\)", "a Value is one number"),
        (Value(1.0), "got Value Value", "a Value cannot hold a Value"),
        ([1.0], r"got list \[1.0\]", "pass an int, a float or a Value"),
    ],
)
def test_what_is_no_number_is_refused_with_advice(x, given, advice):
    for make in (Value, constant):
        with pytest.raises(TypeError, match=f"expected a number, {given}.*{advice}"):
            make(x)


@pytest.mark.parametrize("x", ["3.5", None, 1 + 2j, [1.0], object()])
def test_operators_refuse_what_is_no_number(x):
    for f in (
        lambda: Value(1.0) + x,
        lambda: x / Value(1.0),
        lambda: Value(2.0) ** x,
        lambda: micrograd.dot([Value(1.0)], [x]),
    ):
        with pytest.raises(TypeError, match="expected a number, got"):
            f()


def test_an_integer_too_large_for_a_float_says_so():
    with pytest.raises(OverflowError, match="too large"):
        Value(1.0) + 10**400


# A primitive of one's own.


@pytest.fixture
def book():
    """The rule book, as it was, after the test."""
    before = dict(RULES)
    yield RULES
    RULES.clear()
    RULES.update(before)


def test_a_primitive_of_ones_own_works_everywhere(book):
    cube = primitive("cube", "cube(x)", lambda x: x * x * x, lambda x, out: 3 * x * x)
    x = Value(2.0)
    out = cube(x) * 2.0
    first = adjoints(out, create_graph=True)[x]
    assert (cube(2.0), out.data, adjoints(out)[x], first.data, adjoints(first)[x]) == (8.0, 16.0, 24.0, 24.0, 24.0)
    case = Case("cube", lambda x: x**3, [(-1e50, 1e50)], (1, 2, 2))
    with mp.workdps(case.digits):
        assert not faults(cube, case, 5)


def test_a_primitive_of_three_arguments_and_one_of_any_number(book):
    fma = primitive("fma", "fma(x, y, z)", lambda x, y, z: x * y + z, lambda x, y, z, out: y, lambda x, y, z, out: x, 1.0)
    xs = [Value(2.0), Value(3.0), Value(4.0)]
    assert fma(*xs).partials == (3.0, 2.0, 1.0)
    norm1 = primitive(
        "norm1", "norm1(xs)", lambda *xs: math.fsum(map(abs, xs)), lambda xs, out: [*map(micrograd.sign, xs)], variadic=True
    )
    assert norm1(*xs, -5.0).partials == (1.0, 1.0, 1.0, -1.0)


def test_a_bad_primitive_is_refused(book):
    with pytest.raises(ValueError, match="'tanh' is a built-in primitive; choose another name"):
        primitive("tanh", "tanh(x)", math.tanh, lambda x, out: 1 - out * out)
    with pytest.raises(ValueError, match="needs one partial derivative per argument"):
        primitive("nothing", "nothing(x)", math.tanh)
    with pytest.raises(TypeError, match="expected a number, got str 'x'"):
        primitive("strange", "strange(x)", math.tanh, "x")
    root = primitive("root", "root(x)", lambda x: x**0.5, lambda x, out: 0.5 / out)
    assert root(Value(4.0)).partials == (0.25,)
    with pytest.raises(TypeError, match=r"expected a number, got complex .*Values are real"):
        root(Value(-4.0))
    count = primitive("count", "count(x)", lambda x: 1, 0)
    assert type(count(Value(2.0)).data) is type(count(Value(2.0)).partials[0]) is float
    with pytest.raises(TypeError, match=r"root\(x\) takes 1 argument, got 2"):
        root(Value(1.0), 2.0)
    with pytest.raises(ValueError, match="'constant' is a built-in primitive"):
        primitive("constant", "constant(x)", lambda x: x, 1.0)
    with pytest.raises(KeyError, match="no primitive is called 'nothing'"):
        primitives.rule("nothing")


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_a_primitive_gives_one_partial_per_argument(book, count):
    total = primitive("total", "total(xs)", lambda *xs: math.fsum(xs), lambda xs, out: [1.0] * count, variadic=True)
    with pytest.raises(TypeError, match=rf"total\(xs\) needs one partial derivative per argument: got {count} for 3"):
        total(*map(Value, (1.0, 2.0, 3.0)))
    assert total(1.0, 2.0, 3.0) == 6.0  # numbers alone need no derivative


def test_partials_of_a_primitive_of_ones_own_are_real_numbers(book):
    power = primitive("power", "power(x)", lambda x: x * x, lambda x, out: 2 * (x - 2) ** 0.5)
    both = primitive("both", "both(xs)", lambda *xs: sum(xs), lambda xs, out: (1, (xs[0] - 2) ** 0.5), variadic=True)
    for out in (lambda: power(Value(1.0)), lambda: both(Value(1.0), Value(2.0))):
        with pytest.raises(TypeError, match=r"expected a number, got complex .*Values are real"):
            out()
    assert [type(d) for d in both(Value(6.0), 1.0).partials] == [float, float]
    x = Value(6.0)
    first = adjoints(both(x, x), create_graph=True)[x]  # on Values, a partial is a graph
    assert (first.data, adjoints(first)[x]) == (3.0, 0.25)


def test_public_names_are_the_rows_and_nothing_is_hidden():
    public = {case.name for case in CASES if case.public}
    assert public <= set(micrograd.__all__) and all(hasattr(micrograd, name) for name in micrograd.__all__)


@pytest.mark.parametrize(
    "f", [micrograd.sum, micrograd.logsumexp, lambda xs: micrograd.dot(xs, [1.0]), lambda xs: micrograd.dot([1.0], xs)]
)
@pytest.mark.parametrize("given", [3.0, micrograd.Value(2.0), None, {1: 2.0}, {2.0}, "2", np.array(2.0)], ids=repr)
def test_functions_of_many_numbers_say_that_they_need_a_list(f, given):
    with pytest.raises(TypeError, match=r"^(sum|dot|logsumexp) needs a list of numbers, got [^\n]*$"):
        f(given)


@pytest.mark.parametrize(
    "value, partials, message",
    [
        (lambda x: x, (lambda x: 1.0,), r"a partial derivative of f must take 1 argument and then the output: "),
        (lambda x: x, (lambda x, y, out: 1.0,), r"a partial derivative of f must take 1 argument and then the output: "),
        (lambda x, y: x, (lambda x, y, out: y, lambda x, out: x), r"must take 2 arguments and then the output: "),
        (lambda x, y: x, (lambda x, out: 1.0,), r"the value of f must take 1 argument, one for each partial derivative: "),
        (lambda x: x, (1.0, 2.0), r"the value of f must take 2 arguments, one for each partial derivative: "),
    ],
)
def test_a_rule_takes_as_many_arguments_as_it_has_partials(value, partials, message):
    with pytest.raises(TypeError, match=message):
        micrograd.primitive("refused_rule", "f", value, *partials)
    assert "refused_rule" not in RULES


def test_a_rule_called_with_other_arguments_says_how_many_it_takes(monkeypatch):
    monkeypatch.setattr("micrograd.primitives.RULES", dict(RULES))
    x = micrograd.Value(2.0)
    area = micrograd.primitive("area", "area(x, y)", lambda x, y: x * y, lambda x, y, out: y, lambda x, y, out: x)
    for call in (lambda: area(2.0), lambda: area(x), lambda: area(2.0, 3.0, 4.0), lambda: area(x, x, x)):
        with pytest.raises(TypeError, match=r"^area\(x, y\) takes 2 arguments, got [13]$"):
            call()
    with pytest.raises(TypeError, match=r"^hypot\(x, y\) takes 2 arguments, got 3$"):
        micrograd.hypot(1.0, 2.0, x)
