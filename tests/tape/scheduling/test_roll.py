"""Loops found again: few vector instructions for a recurrence of any length, and exactly the unrolled tape's numbers."""

import importlib.util

import numpy as np
import pytest
from recurrences import cell, nested, recurrence, registers
from tapes import interpreted, recorded

import micrograd as mg
from micrograd import Value
from micrograd.primitives import RULES
from micrograd.tape.back_ends import numpy as numpy_back_end
from micrograd.tape.back_ends import reference
from micrograd.tape.scheduling import roll
from micrograd.tape.scheduling import steps as of_loops
from micrograd.tape.scheduling.roll import Columns, by_level, by_operands, heights, reordered, rolled
from micrograd.tape.scheduling.schedule import SHARED, Repeat
from micrograd.tape.scheduling.vectorise import scheduled
from micrograd.tape.tape import Tape


def repeats(schedule):
    return [item for item in schedule.code if isinstance(item, Repeat)]


@pytest.fixture
def short_loops(monkeypatch):
    """Loops are made of fewer instructions, so that tapes need not be long."""
    monkeypatch.setattr(roll, "SMALL_TAPE", 48)
    monkeypatch.setattr(roll, "LEAST", 48)
    monkeypatch.setattr(roll, "DEEP", 24)


def test_what_all_samples_share_before_a_loop_is_computed_once(short_loops):
    w = [Value(0.5), Value(0.7)]

    def function(v):
        x, rate = v[0], w[0] * w[1]
        for _ in range(60):
            x = mg.sin(x) * rate
        return x

    schedule = scheduled(recorded(function, [0.5], gradient=False, wrt=w)[0], [(1, True)], False)
    assert repeats(schedule) and schedule.code[0].rule is RULES["mul"] and schedule.code[0].out.space == SHARED


def test_the_example_of_steps_is_scheduled_as_its_description_says():
    lines = of_loops.__doc__.splitlines()
    start = lines.index("    def f(xs):")
    known = {"Value": Value, "w": Value(0.5)}
    exec("\n".join(line[4:] for line in lines[start : lines.index("", start)]), known)
    shown = str(mg.jit(known["f"], backend="numpy").schedule(np.zeros((4, 1000)))).splitlines()[1:]
    start = lines.index("    r[1001] = s[1]                        h before the first step, which is 0")
    written = [line.strip().partition("  ")[0] for line in lines[start : lines.index("", start)]]
    assert [line.strip().removeprefix("1  ") for line in shown] == written and len(written) == 6


def agreed(tape, fields, reduce, arrays, theta, n):
    """What the unrolled tape gives; its schedule, interpreted, gives the same bits, and the NumPy back end nearly these."""
    expected = reference.Program(tape, fields, reduce)(arrays, theta, n)
    np.testing.assert_array_equal(interpreted(scheduled(tape, fields, reduce), arrays, theta, n), expected)
    found = numpy_back_end.Program(tape, fields, reduce)(arrays, theta, n)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    return expected


@pytest.mark.parametrize("seed", range(40))
def test_a_rolled_schedule_computes_exactly_what_its_tape_does(seed, short_loops):
    steps = 40 + seed % 20
    function, inputs, leaves = recurrence(seed, steps)
    tape, _ = recorded(function, [0.3] * inputs, wrt=leaves)
    rng = np.random.default_rng(seed)
    n, cut, reduce = 5, int(rng.choice([inputs, inputs, steps])), bool(seed % 2)
    fields = [(cut, True), (inputs - cut, False)]
    arrays = [rng.normal(size=(n, w) if varying else w) for w, varying in fields]
    if seed % 7 == 0:
        fields, arrays = [(inputs, False)], [rng.normal(size=inputs)]
    theta = np.array([p.data for p in leaves])
    expected = agreed(tape, fields, reduce, arrays, theta, n)
    other = reordered(tape, by_level(heights(tape)) if seed % 3 else by_operands(tape, heights(tape)))
    np.testing.assert_array_equal(reference.Program(other, fields, reduce)(arrays, theta, n), expected)


@pytest.mark.skipif(importlib.util.find_spec("llvmlite") is None, reason="llvmlite is not installed")
@pytest.mark.parametrize("seed", range(6))
def test_compiled_loops_have_the_bits_of_the_unrolled_tape(seed):
    from micrograd.tape.back_ends.llvm.program import Program

    function, inputs, leaves = recurrence(seed, 80)
    tape, _ = recorded(function, [0.3] * inputs, wrt=leaves)
    rng, theta = np.random.default_rng(seed), np.array([p.data for p in leaves])
    fields, reduce = [(inputs, seed != 5)], bool(seed % 2)
    exact, fast = (Program(tape, fields, reduce, exact=exact) for exact in (True, False))
    for n in (2, 13, 300):  # one number at a time, a block that is not full, chunks
        arrays = [rng.normal(size=(n, inputs) if fields[0][1] else inputs)]
        expected = reference.Program(tape, fields, reduce)(arrays, theta, n)
        np.testing.assert_array_equal(exact(arrays, theta, n), expected)
        np.testing.assert_allclose(fast(arrays, theta, n), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("seed", range(30))
def test_values_that_only_move_are_carried_exactly(seed):
    function, inputs, leaves = registers(seed, 80 + seed)
    tape, _ = recorded(function, [0.3] * inputs, wrt=leaves)
    rng, theta = np.random.default_rng(seed), np.array([p.data for p in leaves])
    fields, reduce = [(inputs, seed % 5 != 0)], bool(seed % 2)
    arrays = [rng.normal(size=(3, inputs) if fields[0][1] else inputs)]
    agreed(tape, fields, reduce, arrays, theta, 3)


@pytest.mark.skipif(importlib.util.find_spec("llvmlite") is None, reason="llvmlite is not installed")
@pytest.mark.parametrize("seed", range(5))
def test_compiled_values_that_only_move_have_the_bits_of_the_unrolled_tape(seed):
    from micrograd.tape.back_ends.llvm.program import Program

    function, inputs, leaves = registers(seed, 80)
    tape, _ = recorded(function, [0.3] * inputs, wrt=leaves)
    theta, program = np.array([p.data for p in leaves]), Program(tape, [(inputs, True)], True, exact=True)
    for n in (1, 21):
        arrays = [np.random.default_rng(seed).normal(size=(n, inputs))]
        expected = reference.Program(tape, [(inputs, True)], True)(arrays, theta, n)
        np.testing.assert_array_equal(program(arrays, theta, n), expected)


def test_most_random_recurrences_of_values_that_only_move_are_rolled():
    """Otherwise the two tests above would say little."""
    tapes = [recorded(f, [0.3] * inputs, wrt=leaves)[0] for f, inputs, leaves in (registers(seed, 150) for seed in range(20))]
    straight = [Columns.of(tape).groups([]) for tape in tapes]
    left = [Columns.of(tape).groups(loops) for tape, loops in map(rolled, tapes)]
    assert sum(some < few / 4 for some, few in zip(left, straight, strict=True)) >= 12


@pytest.mark.parametrize("cells", [1, 12])
@pytest.mark.parametrize("move", ["to and fro", "on", "round"])
def test_registers_are_loops_forward_and_backward(move, cells):
    """Backward, each step of values that go to and fro looks like the next one, and reads the other places."""
    w = Value(0.3)

    def run(x):
        u, v, far = x[:cells], x[cells : 2 * cells], x[2 * cells :]
        for _ in range(120):
            if move == "to and fro":
                u, v = v, [mg.sigmoid(a) * 0.5 + b * w for a, b in zip(u, v, strict=True)]
            elif move == "on":
                u, v = [2 * u[i] - v[i] - w * mg.sin(u[i - 1]) for i in range(cells)], u
            else:
                u, v, far = v, far, [mg.tanh(a) * w + b for a, b in zip(u, v, strict=True)]
        return mg.sum([*u, *v, *far])

    schedule = scheduled(recorded(run, [0.1 * i for i in range(3 * cells)])[0], [(3 * cells, True)], True)
    assert len(repeats(schedule)) == 2 and sum(item.count for item in schedule.code) < 200


def depth(code):
    return max([1 + depth(item.body) for item in code if isinstance(item, Repeat)], default=0)


@pytest.mark.parametrize("seed", range(24))
def test_loops_inside_loops_compute_exactly_what_the_tape_does(seed, short_loops):
    function, inputs, leaves = nested(seed, 10 + seed % 3, 16 + seed % 5)
    tape, _ = recorded(function, [0.3] * inputs, wrt=leaves)
    rng, theta = np.random.default_rng(seed), np.array([p.data for p in leaves])
    fields, n, reduce = [(inputs, seed % 5 != 0)], 2, bool(seed % 2)
    arrays = [rng.normal(size=(n, inputs) if fields[0][1] else inputs)]
    expected = reference.Program(tape, fields, reduce)(arrays, theta, n)
    np.testing.assert_array_equal(interpreted(scheduled(tape, fields, reduce), arrays, theta, n), expected)
    found = numpy_back_end.Program(tape, fields, reduce)(arrays, theta, n)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.skipif(importlib.util.find_spec("llvmlite") is None, reason="llvmlite is not installed")
@pytest.mark.parametrize("seed", range(5))
def test_compiled_loops_inside_loops_have_the_bits_of_the_unrolled_tape(seed, short_loops):
    from micrograd.tape.back_ends.llvm.program import Program

    function, inputs, leaves = nested(seed, 10, 18)
    tape, _ = recorded(function, [0.3] * inputs, wrt=leaves)
    rng, theta = np.random.default_rng(seed), np.array([p.data for p in leaves])
    fields, reduce = [(inputs, seed != 3)], bool(seed % 2)
    exact = Program(tape, fields, reduce, exact=True)
    for n in (1, 21):
        arrays = [rng.normal(size=(n, inputs) if fields[0][1] else inputs)]
        np.testing.assert_array_equal(exact(arrays, theta, n), reference.Program(tape, fields, reduce)(arrays, theta, n))


def test_most_random_loops_inside_loops_are_found(short_loops):
    """Otherwise the tests above would say little."""
    made = [nested(seed, 10, 18) for seed in range(12)]
    depths = [depth(scheduled(recorded(f, [0.3] * n, wrt=w)[0], [(n, True)], True).code) for f, n, w in made]
    assert sum(d >= 2 for d in depths) >= 5


def memory_cell(steps, width):
    """A long short-term memory of `width` cells, read one number at a time."""
    rng = np.random.default_rng(0)
    gates = [[[Value(w) for w in rng.normal(size=width + 2) * 0.3] for _ in range(width)] for _ in range(4)]

    def run(x):
        h, c, loss = [0.0] * width, [0.0] * width, 0.0
        for t in range(steps - 1):
            sums = [[mg.dot(w[:width], h, start=w[width]) + w[width + 1] * x[t] for w in gate] for gate in gates]
            enter, forget, leave = ([mg.sigmoid(z) for z in gate] for gate in sums[:3])
            c = [f * old + i * mg.tanh(z) for f, old, i, z in zip(forget, c, enter, sums[3], strict=True)]
            h = [o * mg.tanh(state) for o, state in zip(leave, c, strict=True)]
            loss = loss + (mg.sum(h) - x[t + 1]) ** 2
        return loss

    return run


@pytest.mark.skipif(importlib.util.find_spec("llvmlite") is None, reason="llvmlite is not installed")
def test_a_body_too_large_for_the_registers_is_a_call_of_functions():
    from micrograd.tape.back_ends.llvm.program import Program

    tape, recording = recorded(memory_cell(16, 7), [0.1] * 16)
    theta, x = np.array([p.data for p in recording.leaves]), np.random.default_rng(1).normal(size=(20, 16))
    program = Program(tape, [(16, True)], True, exact=True)
    assert len(repeats(program.schedule)) == 2
    np.testing.assert_array_equal(program([x], theta, 20), reference.Program(tape, [(16, True)], True)([x], theta, 20))


@pytest.mark.parametrize("seed", range(6))
def test_columns_in_another_order_are_those_of_the_tape_in_that_order(seed):
    function, inputs, leaves = recurrence(seed, 40)
    tape, _ = recorded(function, [0.3] * inputs, wrt=leaves)
    code = Columns.of(tape)
    for order in (by_level(heights(tape)), by_operands(tape, heights(tape))):
        moved, of_moved = code.reordered(order), Columns.of(reordered(tape, order))
        assert moved.operands.tolist() != code.operands.tolist()
        for name in ("levels", "fixed", "starts", "operands"):
            np.testing.assert_array_equal(getattr(moved, name), getattr(of_moved, name))
        assert len(set(zip(moved.kinds.tolist(), of_moved.kinds.tolist(), strict=True))) == len(set(moved.kinds.tolist()))


def test_most_random_recurrences_are_rolled():
    """Otherwise the test above would say little."""
    tapes = [recorded(f, [0.3] * inputs, wrt=leaves)[0] for f, inputs, leaves in (recurrence(seed, 120) for seed in range(20))]
    assert sum(bool(rolled(tape)[1]) for tape in tapes) >= 9


def lorenz(steps):
    s, r, b = Value(10.0), Value(28.0), Value(8 / 3)

    def run(state):
        x, y, z = state
        for _ in range(steps):
            x, y, z = x + 0.01 * s * (y - x), y + 0.01 * (x * (r - z) - y), z + 0.01 * (x * y - b * z)
        return x * x + y * y + z * z

    return run


def heat(steps, cells=8):
    a = Value(0.1)

    def run(u):
        u = list(u)
        for _ in range(steps):
            u = [u[i] + a * (u[max(i - 1, 0)] - 2 * u[i] + u[min(i + 1, cells - 1)]) for i in range(cells)]
        return mg.sum([v * v for v in u])

    return run


@pytest.mark.parametrize(
    ("program", "inputs", "few"),
    [(cell, None, 40), (lorenz, 3, 120), (heat, 8, 60)],
    ids=["rnn", "lorenz", "heat"],
)
def test_a_recurrence_of_any_length_has_the_same_schedule(program, inputs, few):
    counts = []
    for steps in (200, 400):
        tape, _ = recorded(program(steps), [0.1] * (inputs or steps))
        schedule = scheduled(tape, [(inputs or steps, True)], True)
        assert len(repeats(schedule)) == 2, "one loop forward, one backward"
        counts.append(sum(len(item.body) if isinstance(item, Repeat) else 1 for item in schedule.code))
    assert max(counts) <= few and abs(counts[0] - counts[1]) <= 8


def particle(steps):
    w = Value(0.5)

    def run(state):
        x, y, u, v = state
        for _ in range(steps):
            far = mg.sqrt(x * x + (y - w) * (y - w))
            near, further = 1 / far, mg.sqrt((x - 10.0) * (x - 10.0) + y * y)
            fall, pull = -near / far * (1 / (2 * far)), -(1 / further) / further * (1 / (2 * further))
            a, b = 2 * fall * x + 2 * pull * (x - 10.0), 2 * fall * (y - w) + 2 * pull * y
            x, y, u, v = x + 0.001 * u, y + 0.001 * v, u - 0.001 * a, v - 0.001 * b
        return x * x + 0.1 * y * y

    return run


def test_a_loop_leaves_out_the_few_steps_that_read_from_elsewhere():
    """The first steps backward read what the last ones forward have left, which are no part of the loop forward."""
    schedule = scheduled(recorded(particle(200), [0.0, 8.0, 0.75, 0.0])[0], [(4, False)], False)
    assert len(repeats(schedule)) == 2
    gathers = [v for v in schedule.code if not isinstance(v, Repeat) and any(o.strides is None for o in v.operands)]
    assert sum(v.size for v in gathers) < 400, "some numbers of a step, and not all, are put in order before the loop"


def test_what_one_step_left_is_read_by_all_later_ones():
    """It stands inside what would be the loop, and no step before has left it to each."""

    def function(x):
        h, early, left = x[0], x[0], []
        for t in range(200):
            a = mg.sin(h * 0.9)
            early = a if t < 30 else early
            h = mg.cos(h) * early + x[1]
            left.append(a)
        return mg.sum(left)

    tape, _ = recorded(function, [0.3, 0.2], wrt=[])
    fields, arrays = [(2, True)], [np.random.default_rng(0).normal(size=(5, 2))]
    expected = reference.Program(tape, fields, False)(arrays, np.zeros(0), 5)
    np.testing.assert_array_equal(interpreted(scheduled(tape, fields, False), arrays, np.zeros(0), 5), expected)


def test_several_recurrences_side_by_side_are_one_loop():
    f = cell(100)
    tape, _ = recorded(lambda x: mg.sum([f(x[i : i + 100]) for i in range(0, 400, 100)]), [0.1] * 400)
    schedule = scheduled(tape, [(400, True)], False)
    assert sum(len(item.body) if isinstance(item, Repeat) else 1 for item in schedule.code) < 200


def test_programs_without_a_recurrence_are_untouched():
    model = mg.MLP(8, [32, 32, 1], seed=1)
    tape, _ = recorded(lambda x: mg.hinge(model(x), 1.0), [0.1] * 8)
    assert rolled(tape) == (tape, [])
    wide, _ = recorded(lambda x: mg.sum([mg.sin(v) * mg.exp(v) for v in x]), [0.1] * 500, wrt=[])
    assert rolled(wide)[1] == []


def test_a_loop_prints_as_a_person_would_write_it():
    tape, _ = recorded(cell(200), [0.1] * 200)
    text = str(scheduled(tape, [(200, True)], False))
    assert "for t in 0 .. " in text and "r[0 + t]" in text and "tanh(" in text
    assert len(text.split("\n")) < 40


def substeps(steps, inner):
    """Steps of a cell, each of so many smaller ones."""
    w, u, b = Value(0.5), Value(0.3), Value(0.1)

    def run(x):
        h = 0.0
        for t in range(steps):
            z = u * x[t]
            for _ in range(inner):
                h = mg.tanh(w * h + z + b)
            h = h * 0.9 + z
        return h * h

    return run


def test_a_loop_inside_a_loop_of_any_length_has_the_same_schedule():
    counts = []
    for steps, inner in ((12, 100), (24, 100), (12, 200)):
        tape, _ = recorded(substeps(steps, inner), [0.1] * steps)
        schedule = scheduled(tape, [(steps, True)], True)
        assert [depth([item]) for item in repeats(schedule)].count(2) == 2, "one forward, one backward"
        counts.append(sum(item.count for item in schedule.code))
        lines = str(schedule).split("\n")
    assert max(counts) <= 80 and max(counts) - min(counts) <= 4
    at = next(i for i, line in enumerate(lines) if "tanh" in line)
    outer, inner = [line.index("for t") for line in lines[:at] if "for t in" in line]
    assert inner == outer + 2, "the inner loop is written inside the outer one"


@pytest.mark.parametrize("data", ["bits", "letters", "reals"])
def test_numbers_of_a_closure_leave_a_loop_a_loop(data):
    """Equal numbers are one constant, products with them are merged over the steps, and some fold."""
    rng = np.random.default_rng(0)
    xs = {"bits": rng.integers(0, 2, 200) * 1.0, "letters": rng.integers(0, 9, 200) / 4, "reals": rng.normal(size=200)}[data]
    w, u, b = Value(0.5), Value(0.3), Value(0.1)

    def simple(z):
        h = z[0]
        for x in xs.tolist():
            h = mg.tanh(w * h + u * x + b)
        return h * h

    run = memory_cell(60, 3)
    for function, few in ((simple, 80), (lambda z: run(xs.tolist()) * z[0], 200)):
        tape, recording = recorded(function, [0.5])
        schedule = scheduled(tape, [(1, True)], True)
        assert len(repeats(schedule)) >= 2 and sum(item.count for item in schedule.code) <= few
        theta, z = np.array([p.data for p in recording.leaves]), rng.normal(size=(4, 1))
        expected = reference.Program(tape, [(1, True)], True)([z], theta, 4)
        np.testing.assert_array_equal(interpreted(schedule, [z], theta, 4), expected)


@pytest.mark.parametrize("last", [1005, 905])
def test_operands_in_no_order_that_end_inside_the_loop_are_none_of_it(last):
    """Inputs in no order, of which the first two are as far apart as two steps, and the last one may be what a step left."""
    inputs, steps, period, rng = 1000, 40, 8, np.random.default_rng(0)
    slots = [10, 18, 26, *rng.integers(0, inputs, steps - 6).tolist(), last - 200, last - 100, last]
    code = []
    for t in range(steps):
        at = inputs + t * period
        code.append((mg.primitives.rule("sub"), (at - 1 if t else 0, slots[t])))
        code += [(mg.primitives.rule("tanh" if m % 2 else "sin"), (at + m - 1,)) for m in range(1, period)]
    tape, x = Tape(inputs, 0, [], code, [inputs + steps * period - 1]), [rng.normal(size=(4, inputs))]
    schedule = scheduled(tape, [(inputs, True)], False)
    assert any(item.steps >= steps - 1 for item in repeats(schedule)) == (last < inputs)
    expected = reference.Program(tape, [(inputs, True)], False)(x, np.zeros(0), 4)
    np.testing.assert_array_equal(interpreted(schedule, x, np.zeros(0), 4), expected)


def test_operands_in_no_order_vary_where_one_of_them_does():
    """The first are the same for all samples, and others not."""
    inputs, steps, rng = 200, 40, np.random.default_rng(0)
    slots = [150, 170, *rng.integers(0, inputs, steps - 2).tolist()]
    code = []
    for t in range(steps):
        at = inputs + t * 8
        code += [(mg.primitives.rule("sin"), (slots[t],)), (mg.primitives.rule("sub"), (at - 1 if t else 199, at))]
        code += [(mg.primitives.rule("tanh" if m % 2 else "sin"), (at + m - 1,)) for m in range(2, 8)]
    tape, fields = Tape(inputs, 0, [], code, [inputs + steps * 8 - 1]), [(100, True), (100, False)]
    assert any(item.steps >= steps - 3 for item in repeats(scheduled(tape, fields, False)))
    agreed(tape, fields, False, [rng.normal(size=(4, 100)), rng.normal(size=100)], np.zeros(0), 4)


def test_a_product_that_a_loop_leaves_is_summed_over_the_samples():
    """Elsewhere products that are only summed are no instructions of their own."""

    def function(xs):
        out = xs[0]
        for x in xs[1:]:
            out = out * mg.sin(x)
        return out

    tape, _ = recorded(function, [0.3] * 200, gradient=False, wrt=[])
    schedule = scheduled(tape, [(200, True)], True)
    assert repeats(schedule)
    x = np.random.default_rng(0).normal(size=(20, 200))
    expected = reference.Program(tape, [(200, True)], True)([x], np.zeros(0), 20)
    np.testing.assert_array_equal(interpreted(schedule, [x], [], 20), expected)


@pytest.mark.parametrize("count", [130, 200])
def test_numbers_from_before_a_loop_that_lie_as_far_apart_as_its_steps_are_read_where_they_are(count):
    """They were taken for what the loop itself had left hundreds of steps ago: others were copied, from no place at all."""

    def function(xs):
        state = out = xs[0]
        for x in xs[1:]:
            state = mg.tanh(state) + x
            out = mg.dot([state, out], [x, state], 0.0)
        return out

    tape, _ = recorded(function, [0.3] * count, gradient=False, wrt=[])
    schedule = scheduled(tape, [(count, True)], True)
    assert len(repeats(schedule)) == 2 and len(schedule.code) <= 10 and schedule.rows < 5 * count
    x = np.random.default_rng(0).normal(size=(20, count))
    expected = reference.Program(tape, [(count, True)], True)([x], np.zeros(0), 20)
    np.testing.assert_array_equal(interpreted(schedule, [x], [], 20), expected)
    found = numpy_back_end.Program(tape, [(count, True)], True)([x], np.zeros(0), 20)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
