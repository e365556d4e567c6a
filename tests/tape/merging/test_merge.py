"""Paths merged into one tape: to the bit what each path gives, known paths told from others, and little work."""

import inspect
import itertools
import linecache
import math
import operator
import random
import sys

import numpy as np
import pytest

import micrograd as mg
from micrograd import Value, jit
from micrograd.tape.back_ends import reference
from micrograd.tape.merging import joins, merge
from micrograd.tape.merging.alignment import aligned

COMPARE = {
    "__lt__": operator.lt, "__le__": operator.le, "__gt__": operator.gt, "__ge__": operator.ge,
    "__eq__": operator.eq, "__ne__": operator.ne,
}  # fmt: skip


def source(seed):
    """A random function with ifs: nested, in a row, of one condition twice, that return early or end loops."""
    rng, lines, conditions = random.Random(seed), [], []
    pick = rng.choice

    def atom():
        return pick(["t", "u", "v", "x0", "x1", "x2", "x3", "w[0]", "w[1]", "w[2]", "0.5", "-1.0", "1.5"])

    def expression():
        a, b, t = atom(), atom(), pick("tuv")
        return pick([
            f"{t} + {a} * {b}", f"{t} - {a} * {b}", f"{t} * {a} + {b}", f"mg.sin({a} + {t})", f"{t} * {pick('tuv')}",
            f"mg.sqrt({t}) + {a}", f"mg.log({t} * {a}) - {b}", f"{t} / ({a} + x0)", f"mg.maximum({a}, {t})",
            f"mg.where({t}, {a} * x1, {b} + x2)", f"{a} * 1.0 + x0 * 0",
        ])  # fmt: skip

    def condition():
        if conditions and rng.random() < 0.35:
            return pick(conditions)
        a = pick(["x0", "x1", "x2", "x3", "t", "u", "v", "x0 + x1", "t * 0.5"])
        b = pick([b for b in ("0.0", "0.5", "-0.5", "x1", "x2", "t", "w[0]", "1.0") if b != a])
        conditions.append(f"{a} {pick(['>', '<', '<=', '>=', '==', '!=', '>'])} {b}")
        return conditions[-1]

    def block(indent, depth):
        for _ in range(rng.randrange(1, 4)):
            kind, space = rng.random(), "    " * indent
            if kind < 0.5 or depth > 2:
                lines.append(f"{space}{pick('tuv')} = {expression()}")
            elif kind < 0.88:
                lines.append(f"{space}if {condition()}:")
                block(indent + 1, depth + 1)
                if rng.random() < 0.12:
                    lines.append(f"{space}    return [t + u, v]")
                if rng.random() < 0.6:
                    lines.append(f"{space}else:")
                    block(indent + 1, depth + 1)
            elif kind < 0.96:
                lines.append(f"{space}for _ in range({rng.randrange(2, 5)}):")
                lines.append(f"{space}    t = t * 0.6 + x{rng.randrange(4)} * 0.3")
                lines.append(f"{space}    if {condition()}:\n{space}        break")
            else:
                lines.append(f"{space}count += 1\n{space}if count == 2: u = u + 3.0")

    lines.append("    for x in (x0, x1, x2, x3):")
    lines.append(f"        if {pick(['x > 0.0', 'x < t', 'x >= 0.3'])}:")
    lines.append(f"            t = {pick(['t + x * x', 't * 1.5 + x', 't - w[0] * x', 't + x * w[1]'])}")
    if rng.random() < 0.8:
        lines.append(f"        else:\n            t = {pick(['t - x', 't * 0.5 - mg.sin(x)', 't + w[2]', 't'])}")
    while len(lines) < 14:
        block(1, 0)
    first = "    t, u, v, count = x0 * w[0], x1 + w[1] * x2, x3 * 1.5 - w[2], 0"
    return "\n".join(["def f(x0, x1, x2, x3):", first, *lines, f"    return {pick(['[t, u * v]', '[v, t]', '[t + u, t]'])}\n"])


def made(text, **known):
    """The function of a text, whose lines are known to the tracebacks and to recordings."""
    linecache.cache[name] = (len(text), None, text.splitlines(True), name := f"<{hash(text)}>")
    exec(compile(text, name, "exec"), known)
    return known["f"]


def taken(tape, row, leaves):
    """Whether a sample takes the path of a tape, and whether it compares a nan there."""
    compared = merge.Tape(
        tape.inputs, tape.leaves, tape.constants, tape.instructions, [i for g in tape.guards for i in (g.x, g.y)]
    )
    found = reference.run(compared, row, leaves)
    pairs = zip(tape.guards, found[::2], found[1::2], strict=True)
    return all(COMPARE[g.name](x, y) == g.result for g, x, y in pairs), any(map(math.isnan, found))


@pytest.mark.parametrize("seed", range(16))
def test_a_tape_of_some_paths_gives_their_bits_and_tells_of_all_others(seed):
    """Whichever paths are known: others are never taken for one of them."""
    w, rng = [Value(0.7), Value(-1.3), Value(0.2)], random.Random(seed)
    theta = [v.data for v in w]
    f = made(source(seed), mg=mg, w=w)
    X = np.random.default_rng(seed).integers(-3, 4, (60, 4)) / 2.0 + 0.125
    fast = jit(f, wrt=w, backend="reference", precision="exact")
    fast.map(*X.T), fast.value_and_grad(theta, *X.T)
    for (_, gradient), paths in fast.recorded.items():
        for share in (1.0, 0.8, 0.4):
            some = [path for path in paths if rng.random() < share] or paths[:1]
            tapes = [(path.tape, path.leaves) for path in some]
            results = merge.merged(tapes, 3, True, bool(gradient))
            numbers = merge.merged(tapes, 3, False)
            for row in X.tolist():
                *found, holds = reference.run(results, row, theta)
                number, *_ = reference.run(numbers, row, theta)
                each = [taken(path.tape, row, [theta[i] for i in path.leaves]) for path in some]
                if not any(own for own, _ in each):
                    assert not holds >= 0.0 and not number >= 0.0
                    continue
                k = [own for own, _ in each].index(True)
                if each[k][1]:  # it is recorded by itself
                    assert math.isnan(holds) and math.isnan(number)
                    continue
                assert (holds, number) == (0.0, k)
                path = some[k]
                own = np.array(reference.run(path.tape, row, [theta[i] for i in path.leaves]))[:, None]
                wanted = path.spread(own, 3) if gradient else own
                assert np.array_equal(found, wanted[:, 0], equal_nan=True)


@pytest.mark.parametrize("known", [4, 3])
def test_the_example_of_joins_is_made_as_its_description_says(known):
    """Also if no sample has taken the last of its four paths."""
    lines = joins.__doc__.splitlines()
    start = lines.index("    def f(x, y):")
    f = made("\n".join(line[4:] for line in lines[start : lines.index("", start)]) + "\n")
    fast = jit(f, backend="reference", precision="exact")
    fast.map(*np.array([[1.0, 3.0], [1.0, 1.0], [-1.0, 1.0], [-1.0, -4.0]])[:known].T)
    (paths,) = fast.recorded.values()
    written = [line.strip() for line in lines if line.startswith("    %")]
    tape = merge.merged([(path.tape, path.leaves) for path in paths], 0, True)
    assert len(paths) == known and len(written) == 6
    assert [line.strip() for line in str(tape).splitlines()[1:7]] == written
    assert str(tape).splitlines()[-1].strip().startswith("return %5,")


def shares(f, X, **options):
    """How many instructions the paths of a function take together, and how many paths there are."""
    fast = jit(f, backend="reference", precision="exact", **options)
    found = fast.map(*X.T)
    assert found.tolist() == [f(*map(Value, row)).data for row in X.tolist()]
    (paths,) = fast.recorded.values()
    tape = merge.merged([(path.tape, path.leaves) for path in paths], 0, True)
    return len(tape.instructions), len(paths)


def test_conditions_on_one_number_are_a_selection_each():
    """Of six bounds seven orders are possible, and 57 are not: those are never met, and cost nothing but that it is said."""

    def f(x):
        total = x * 0.5
        for k in range(6):
            total = total + x * x * (k + 1.0) if x > k - 2.5 else total - x * (k + 2.0)
        return total

    def other(x):
        for k in range(6):
            x = x * 0.5 if x > k - 2.5 else 1.5 - x * x
        return x

    X = np.linspace(-4.0, 4.0, 60)[:, None]
    assert shares(f, X)[1] == 7 and shares(f, X)[0] < 60
    assert shares(other, X)[0] < 120


def test_ifs_on_what_the_ifs_before_have_left_share_it_on_all_paths_that_are_met():
    def f(x, y):
        t = x * 0.7
        for k in range(6):
            t = t * 0.7 + y * 0.7 if t > y * (k - 2) * 0.3 else t * 1.1 + x * 0.3
        return t

    X = np.random.default_rng(0).normal(size=(600, 2))
    instructions, paths = shares(f, X)
    assert 15 < paths < 40 and instructions < 140


def test_factors_of_a_gradient_that_are_plain_numbers_are_selected_one_by_one():
    w = Value(0.7)

    def f(*xs):
        total = w
        for x in xs:
            total = total * 1.5 + w if x > 0.0 else total * 0.25 - x
        return total

    X = np.array(list(itertools.product([-1.0, 0.5], repeat=6)))
    fast = jit(f, wrt=[w], backend="reference", precision="exact")
    value, gradient = fast.value_and_grad([0.7], *X.T, reduction="sum")
    each = [f(*map(Value, row)) for row in X.tolist()]
    columns = [[out.data for out in each], [mg.adjoints(out, [w])[w] for out in each]]
    assert [value, *gradient] == reference.total(np.transpose(columns)).tolist()
    (paths,) = fast.recorded.values()
    tape = merge.merged([(path.tape, path.leaves) for path in paths], 1, True, True)
    assert len(paths) == 64 and len(tape.instructions) < 80


def test_the_same_condition_again_is_no_decision():
    def f(x, y, z):
        total = z
        for k in range(6):
            total = total + z * k if (x, y)[k % 2] > 0.0 else total * 0.5
        return total if x <= 0.0 else -total

    instructions, paths = shares(f, np.array(list(itertools.product([-1.0, 1.0], repeat=3))))
    assert paths == 4 and instructions < 30


def test_terms_that_one_side_alone_has_are_a_selection_each():
    """Whatever else is added before and after them, and subtracted."""

    def f(*xs):
        total = xs[0] * 0.25
        for x in xs:
            if x > 0.0:
                total = total + x * x
            if x > 0.5:
                total = total - x
        return total

    X = np.array(list(itertools.product([-1.0, 0.25, 1.0], repeat=4)))
    instructions, paths = shares(f, X)
    assert paths == 81 and instructions < 50


def by_signs(*xs):
    """As many independent ifs as there are numbers."""
    total = 1.0
    for x in xs:
        total = total * 1.5 + x * x if x > 0.0 else total * 0.5 - mg.sin(x)
    return total


def test_few_unknown_paths_of_many_cost_little():
    X = np.array(list(itertools.product([-1.0, 0.5], repeat=7)))
    whole, fast = jit(by_signs, backend="reference"), jit(by_signs, backend="reference")
    lengths = []
    for compiled, rows in ((whole, X), (fast, np.delete(X, [3, 17, 64, 65, 127], 0))):
        compiled.map(*rows.T)
        (paths,) = compiled.recorded.values()
        lengths.append(len(merge.merged([(path.tape, path.leaves) for path in paths], 0, True).instructions))
    assert lengths[1] < 1.4 * lengths[0]
    assert fast.map(*X.T).tolist() == whole.map(*X.T).tolist()


def test_twenty_ifs_of_which_each_sample_takes_other_sides_are_one_program():
    X = np.random.default_rng(0).normal(size=(140, 20))
    fast = jit(by_signs, backend="reference", precision="exact")
    assert fast.map(*X.T).tolist() == [by_signs(*map(Value, row)).data for row in X.tolist()]
    (paths,) = fast.recorded.values()
    assert len(paths) == 140


def falling_below(steps):
    """A function of x and y that shrinks x until it is below y, for at most so many steps."""

    def f(x, y):
        for _ in range(steps):
            if x < y:
                break
            x = x * 0.9
        return x

    return f


def test_loops_that_a_comparison_ends_may_have_more_comparisons_than_one_number_holds():
    f = falling_below(70)
    X = np.array([[1.0, 0.9**k * 0.95] for k in range(0, 80, 3)])
    fast = jit(f, backend="reference", precision="exact")
    for rows in (X[::2], X[::2], X, X):
        assert fast.map(*rows.T).tolist() == [f(*row) for row in rows.tolist()]


def tapes_of(f, *xs):
    fast = jit(f, backend="reference")
    fast.map(*xs)
    (paths,) = fast.recorded.values()
    return [(path.tape, path.leaves) for path in paths]


def test_paths_are_merged_where_one_tape_of_all_is_not_too_long(monkeypatch):
    tapes = tapes_of(lambda x: mg.sin(x) * x if x > 0.0 else mg.cos(x) - x, [1.0, -1.0])
    assert len(tapes) == 2 and merge.merged(tapes, 0, True) is not None
    monkeypatch.setattr(merge, "SMALL_TAPE", 0)
    assert merge.merged(tapes, 0, True) is not None  # a few times as long as the longest
    monkeypatch.setattr(merge, "GROWTH", 0)
    assert merge.merged(tapes, 0, True) is None
    assert merge.merged(tapes, 0, False) is not None and merge.merged(tapes[:1], 0, True) is not None


def test_paths_that_part_too_often_for_the_stack_are_not_merged():
    tapes = tapes_of(falling_below(40), np.ones(40), 0.9 ** np.arange(40) * 0.95)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 25)
    try:
        found = merge.merged(tapes, 0, True)
    finally:
        sys.setrecursionlimit(before)
    assert found is None and merge.merged(tapes, 0, True) is not None


def test_sequences_are_aligned_for_the_least_cost():
    def cost(xs, ys, apart):
        places = aligned(xs, ys, apart)
        assert [i for i, _ in places if i is not None] == [*range(len(xs))]
        assert [j for _, j in places if j is not None] == [*range(len(ys))]
        return sum(1.0 if i is None or j is None else apart(xs[i], ys[j]) for i, j in places)

    def least(xs, ys, apart):
        if not xs or not ys:
            return len(xs) + len(ys)
        ways = 1.0 + least(xs[1:], ys, apart), 1.0 + least(xs, ys[1:], apart)
        return min(*ways, apart(xs[0], ys[0]) + least(xs[1:], ys[1:], apart))

    rng = random.Random(0)
    apart = lambda x, y: 0.0 if x == y else 0.7 if abs(x - y) == 1 else 1.6  # noqa: E731
    for _ in range(50):
        xs, ys = ([rng.randrange(5) for _ in range(rng.randrange(6))] for _ in range(2))
        assert cost(xs, ys, apart) == pytest.approx(least(xs, ys, apart))
    ordered = lambda x, y: 0.0 if x == y else 0.7 if x < y else 2.6  # noqa: E731
    assert [cost([i], [j], ordered) for i, j in ((1, 2), (2, 1))] == [0.7, 2.0]
    assert aligned(range(16), range(40, 56), apart) is not None  # the most items that differ
    assert aligned(range(17), range(40, 57), apart) is aligned(range(17), [], apart) is None
    alike = [(i, i) for i in range(40)]
    assert aligned([*[7] * 40, 1], [*[7] * 40, 2], apart) == [*alike, (40, 40)]
    assert aligned([1, *[7] * 40], [2, *[7] * 40], apart) == [(0, 0), *[(1 + i, 1 + j) for i, j in alike]]
