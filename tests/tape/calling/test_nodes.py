"""Compiled functions called on Values: one node for each result, with the numbers of the function itself."""

import copy
import pickle

import numpy as np
import pytest

import micrograd as mg
from micrograd import Value, adjoints, jit, opened, to_code, topological_order
from micrograd.tape.back_ends import NAMES
from micrograd.tape.calling import nodes

A, B = Value(0.7, label="A"), Value(-0.4, label="B")


def leaf(output, label):
    (found,) = (v for v in topological_order(output) if v.label == label)
    return found


def swing(state, force):
    """One step of a driven pendulum: two results of a captured leaf, a list and a number."""
    angle, speed = state
    speed = speed + 0.1 * (force * A - mg.sin(angle) + B * speed)
    return [angle + 0.1 * speed, speed]


def walk(step, times=6):
    state = [Value(0.5, label="angle"), Value(0.1)]
    for t in range(times):
        state = step(state, 0.3 * t)
    return state[0] * state[1]


@pytest.mark.parametrize("backend", sorted(NAMES))
def test_each_result_is_a_node_with_the_numbers_of_the_function_itself(backend):
    L, expected = walk(jit(swing, backend=backend)), walk(swing)
    assert len(topological_order(L)) == 4 + 6 * 2 + 1 and L.parents[0].op == "swing_0"
    assert L.data == pytest.approx(expected.data, rel=1e-14)
    ours, theirs = adjoints(L), adjoints(expected)
    for v in (A, B):
        assert ours[v] == pytest.approx(theirs[v], rel=1e-13)
        graphs = [adjoints(output, v, create_graph=True)[v] for output in (L, expected)]
        assert graphs[0].data == pytest.approx(ours[v], rel=1e-14)
        assert adjoints(graphs[0], A)[A] == pytest.approx(adjoints(graphs[1], A)[A], rel=1e-12)
    third = [adjoints(adjoints(f, A, create_graph=True)[A], B, create_graph=True)[B] for f in (L, expected)]
    assert adjoints(third[0], A)[A] == pytest.approx(adjoints(third[1], A)[A], rel=1e-11)


@pytest.mark.parametrize("backend", ["llvm", "reference"])
def test_exact_code_has_the_bits_of_the_function_itself(backend):
    exact = jit(swing, backend=backend, precision="exact")
    assert walk(exact).data == walk(swing).data == opened(walk(exact)).data
    for i in (0, 1):
        a, b = (f([Value(0.5), Value(0.1)], 0.2)[i] for f in (exact, swing))
        assert a.data == b.data and [*adjoints(a, [A, B]).values()] == [*adjoints(b, [A, B]).values()]
        graph = adjoints(a, A, create_graph=True)[A]
        assert graph.data == adjoints(a, A)[A]


@pytest.mark.parametrize("backend", sorted(NAMES))
def test_copies_pickles_and_replays_are_the_function_at_other_numbers(backend):
    L = walk(jit(swing, backend=backend))
    for again in (copy.deepcopy(L), pickle.loads(pickle.dumps(L)), L):
        angle = leaf(again, "angle")
        angle.data = 1.25
        if again is L:
            with pytest.raises(RuntimeError, match=r"swing_1.*call recompute"):
                adjoints(again, A, create_graph=True)
        expected = walk(lambda state, force: swing(state, force))
        expected = copy.deepcopy(expected)
        leaf(expected, "angle").data = 1.25
        assert again.recompute().data == pytest.approx(expected.recompute().data, rel=1e-13)
        assert adjoints(again)[leaf(again, "A")] == pytest.approx(adjoints(expected)[leaf(expected, "A")], rel=1e-12)
        assert adjoints(again, angle, create_graph=True)[angle].data == pytest.approx(adjoints(again)[angle], rel=1e-13)


def test_a_call_can_be_opened_drawn_explained_and_written_as_code():
    L = walk(jit(swing, precision="exact"), 2)
    L.label = "L"
    text = str(L.explain(A))
    assert "swing_0(angle" in text and "micrograd.opened(L) shows what is inside" in text
    assert "swing_0" in L.draw().source and "swing_1" in L.draw().explore().html
    assert "dominating path" in str(L.why(A))
    with pytest.raises(ValueError, match=r"swing_.* is a compiled function: write to_code\(opened"):
        to_code(L)
    inside = opened(L)
    assert (
        inside.label == "L" and inside.data == L.data and not any(v.op.startswith("swing") for v in topological_order(inside))
    )
    assert (
        leaf(inside, "angle") is leaf(L, "angle")
        and len(topological_order(inside)) < len(topological_order(walk(swing, 2))) + 3
    )
    assert "in swing:" in str(inside.explain(A)) and "sin(angle)" in str(inside.explain(leaf(L, "angle")))
    made = {}
    exec(to_code(inside), made)
    assert made["f"](angle=0.5)[0] == L.data
    plain = Value(2.0) * 3.0
    assert opened(plain) is plain


def test_a_node_belongs_to_the_path_that_was_taken():
    @jit(backend="llvm")
    def bent(x):
        return x * x * A if x > 1.0 else A + x

    x, y = Value(3.0), Value(0.5)
    high, low = bent(x), bent(y)
    assert (high.data, low.data) == (9.0 * A.data, A.data + 0.5)
    assert adjoints(high, [x, A]) == {x: pytest.approx(6.0 * A.data), A: 9.0} and adjoints(low, [y, A]) == {y: 1.0, A: 1.0}
    assert bent(Value(2.0)).data == pytest.approx(4.0 * A.data)
    x.data = 0.0  # a replay keeps its path, as everywhere
    assert high.recompute().data == 0.0


def test_it_is_inlined_where_another_function_is_recorded_also_as_a_node_from_outside():
    step = jit(swing)
    f = jit(lambda x: mg.sum(step([x, x * 2.0], 0.3)), precision="exact")
    g = jit(lambda x: mg.sum(swing([x, x * 2.0], 0.3)), precision="exact")
    xs = np.linspace(-1.0, 1.0, 9)
    np.testing.assert_array_equal(f.map(xs), g.map(xs))
    w = Value(0.3, label="w")
    for precision, same in (("exact", lambda a, b: a == b), ("fast", lambda a, b: a == pytest.approx(b, rel=1e-14))):
        y, z = (each([w, 0.2], 0.1)[1] for each in (jit(swing, precision=precision), swing))
        outside, expected = (jit(lambda x, y=y: x * y, precision=precision) for y in (y, z))
        assert same(outside(2.0), expected(2.0)) and set(outside.parameters) == {w, A, B}
        by = [f.value_and_grad([p.data for p in f.parameters], xs)[1][f.parameters.index(w)] for f in (outside, expected)]
        assert by[0] == pytest.approx(by[1], rel=1e-14)


def test_modes_and_structures():
    f = jit(lambda p, k, *, scale: {"all": np.array([p["x"] * scale, A], object), "one": mg.take([p["x"], B], k), "two": 2.0})
    x = Value(3.0, label="x")
    out = f({"x": x}, 1, scale=2.0)
    assert out["all"].shape == (2,) and out["all"][0].data == 6.0 and out["one"].data == B.data
    assert adjoints(out["all"][0], x)[x] == 2.0 and adjoints(out["one"])[B] == 1.0 and out["two"].is_constant
    with pytest.raises(IndexError, match="take needs an index from 0 to 1"):
        f({"x": x}, 2, scale=2.0)
    double = jit(lambda x: x + x)
    with mg.no_grad():
        assert double(x).is_constant and double(x).data == 6.0
    with mg.scope("part"):
        assert double(x).note.scope[0][0] == "part"
    with mg.detect_anomaly(), pytest.raises(FloatingPointError, match="log"):
        jit(lambda x: mg.log(x - 3.0))(x)
    twice = jit(lambda a, b: a * b)
    assert adjoints(twice(x, x), x)[x] == 6.0
    total = [0.0]
    (y := double(x)).on_gradient(lambda g: total.append(g))
    (y * 5.0).backward()
    assert total[-1] == 5.0


@pytest.mark.parametrize("backend", sorted(NAMES))
def test_a_replay_that_rounds_otherwise_is_no_change(backend):
    f = jit(lambda x: mg.tanh(mg.exp(x) * A - x) / (mg.sin(x) + 1.25) ** 3, backend=backend)
    for x in map(Value, np.linspace(-2.0, 2.0, 30)):
        assert adjoints(f(x), x, create_graph=True)[x].data == pytest.approx(adjoints(f(x), x)[x], rel=1e-13)


def test_what_was_not_chosen_reaches_nothing():
    f = jit(lambda x: mg.where(x, mg.log(x), 0.5 * x))
    x = Value(0.0)
    assert adjoints(f(x), x)[x] == 0.5 and adjoints(f(x), x, create_graph=True)[x].data == 0.5


def test_a_changed_number_outside_is_seen_and_new_leaves_too():
    held = {"k": 2.0, "w": Value(5.0)}
    f = jit(lambda x: x * held["k"] * held["w"])
    x = Value(1.0)
    assert [f(x).data for _ in range(3)] == [10.0] * 3
    held["k"] = 3.0
    assert f(x).data == 15.0
    held["w"] = Value(7.0)
    assert f(x).data == 21.0 and adjoints(f(x))[held["w"]] == 3.0
    held["w"].data = 1.0
    assert f(x).data == 3.0


def test_a_node_is_called_after_its_function_digits_and_all():
    @jit
    def step_2(x):
        return x * x + 1.0

    assert step_2(Value(3.0)).op == "step_2" and jit(lambda x: x * x + 1.0)(Value(3.0)).op == "lambda"


def test_a_function_of_more_derivatives_than_operations_stays_a_graph():
    model = mg.MLP(4, [16, 12], activation="tanh", seed=1)
    f = jit(lambda x: model(x))
    xs = [Value(0.1 * i) for i in range(4)]
    out = f(xs)
    assert len(out) == 12 and out[0].op == model(xs)[0].op  # 12 rows of 80 weights and more, for 1,000 products
    one = jit(lambda x: mg.sum(model(x)))(xs)
    assert one.op == "lambda" and len(one.parents) == 4 + len(model.parameters())
    expected = adjoints(mg.sum(model(xs)))
    assert all(g == pytest.approx(expected[p], rel=1e-12) for p, g in adjoints(one, model.parameters()).items())


@pytest.mark.parametrize("transform", [
    lambda f: mg.grad(lambda u: f([u, 0.2], 0.1)[0]), lambda f: mg.jacobian(lambda u: f([u, 2.0 * u], 0.1)),
    lambda f: mg.jacobian(lambda u: f([u, u], 0.1), mode="forward"), lambda f: mg.hessian(lambda u: mg.sum(f([u, u * u], 0.1))),
    lambda f: lambda u: mg.hvp(lambda v: mg.sum(f([v, v * v], 0.1)), (u,), (2.0,)),
    lambda f: lambda u: mg.jvp(lambda v: f([v, v * v], 0.1), (u,), (1.0,)),
])  # fmt: skip
def test_transforms_go_through_it(transform):
    with mg.no_grad():
        found, expected = transform(jit(swing))(0.4), transform(swing)(0.4)
    assert mg.trees.leaves_of(found) == pytest.approx(mg.trees.leaves_of(expected), rel=1e-12)


def test_quick_ways_are_kept_for_so_many_kinds_of_arguments_alone():
    total = jit(lambda xs: mg.sum(xs) * A, backend="reference")
    for n in range(1, nodes.LATEST + 10):
        assert total([Value(1.0)] * n).data == n * A.data
        assert 0 < len(total._nodes.quick) <= nodes.LATEST


def test_a_quick_call_after_other_arguments_have_brought_parameters():
    a, b, x = Value(2.0), Value(3.0), Value(5.0)
    f = jit(lambda xs: sum((b if len(xs) == 1 else a) * x for x in xs), backend="reference")
    for _ in range(3):  # the second and the third time the quick way
        for xs, by in (([x], b), ([x, x], a)):
            out = f(xs)
            assert out.data == len(xs) * by.data * 5.0
            assert adjoints(out, [a, b]) == {p: 5.0 * len(xs) * (p is by) for p in (a, b)}
