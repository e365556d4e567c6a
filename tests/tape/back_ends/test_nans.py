"""Compiled code tells whether one of its results is nan, just where a look at all of them finds one."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import micrograd as mg
from micrograd import Value, jit
from micrograd.tape.back_ends.llvm import program, versions
from micrograd.tape.back_ends.llvm.program import Program
from micrograd.tape.recording.record import Recording
from micrograd.tape.recording.results import numbers_of
from micrograd.tape.rewriting.passes import optimised
from micrograd.tape.tape import Tape

pytestmark = pytest.mark.skipif(bool(program.trouble()), reason="compiled code is not to be had here")
FIELDS, LEAVES = 5, 3
SAMPLES = [1, 2, 3, 4, 5, 8, 31, 33, 64, 65, 100, 255, 256, 257, 1000]


class Asked:
    """Stands for a twin: says whether it was asked to mend, and leaves results as they are."""

    def __init__(self):
        self.times = 0

    def mended(self, found, *_):
        self.times += 1
        return found

    mended_numbers = mended


def compiled(results, groups, reduce, dtype, exact, threads):
    """A program of some functions of a row of inputs and of leaves, and its stand-in for a twin."""
    leaves = [Value(0.5 + i) for i in range(LEAVES)]

    def function(values):
        return [result(values, leaves) for result in results]

    recording = Recording(function, [1.0] * FIELDS, numbers_of, leaves)
    made = Program(optimised(recording.tape(())), [(FIELDS, True)], reduce, dtype, exact, threads, groups)
    made.twin = Asked()
    return made


RESULTS = [
    lambda x, w: x[0] * w[0] + x[1],
    lambda x, w: mg.sin(x[1]) * x[2],
    lambda x, w: x[3],
    lambda x, w: x[4] * 2.0 - w[1],
    lambda x, w: w[2] * w[1],
    lambda x, w: w[0],
    lambda x, w: sum(x, start=w[2]),
    lambda x, w: mg.exp(mg.log(x[2])),
    lambda x, w: 3.0 + 0.0 * w[0],
    lambda x, w: mg.maximum(x[0], x[4]) / x[3],
    lambda x, w: sum(mg.sin(a * k) for k in range(1, 120) for a in x),  # more than stays in registers
]


@st.composite
def programs(draw):
    picked = draw(st.lists(st.sampled_from(RESULTS[:-1]), min_size=1, max_size=24))
    if draw(st.integers(0, 5)) == 0:
        picked.insert(draw(st.integers(0, len(picked))), RESULTS[-1])
    reduce = draw(st.booleans())
    groups, left = [], len(picked)
    while not reduce and left and (groups or draw(st.booleans())):
        groups.append(draw(st.integers(1, left)))
        left -= groups[-1]
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    return picked, groups, reduce, dtype, dtype is np.float64 and draw(st.booleans())


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(programs(), st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=4), st.data())
def test_code_tells_of_nan_just_where_there_is_one(case, sizes, data):
    picked, groups, reduce, dtype, exact = case
    made = compiled(picked, groups, reduce, dtype, exact, data.draw(st.sampled_from([1, 2])))
    for n in sizes:
        for _ in range(2):
            x, theta = np.full((n, FIELDS), 1.5), np.ones(LEAVES)
            for odd in data.draw(st.lists(st.sampled_from([np.nan, np.inf, -np.inf, -1.0]), max_size=2)):
                if data.draw(st.booleans()):
                    x[data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, FIELDS - 1))] = odd
                else:
                    theta[data.draw(st.integers(0, LEAVES - 1))] = odd
            before = made.twin.times
            found = made([x], theta, n)
            nan = any(np.isnan(part).any() for part in (found if groups else [found]))
            assert made.twin.times - before == nan


@pytest.mark.parametrize(("reduce", "groups"), [(False, ()), (True, ()), (False, (11,)), (False, (2, 9))])
@pytest.mark.parametrize("shared", [False, True])
def test_code_tells_of_each_result_that_alone_is_nan(reduce, groups, shared):
    """However they come to lie in vectors: eleven of them."""
    if shared:
        tape = Tape(0, 11, [], [(mg.primitives.RULES["neg"], (i,)) for i in range(11)], list(range(11, 22)))
    else:
        tape = Tape(11, 0, [], [(mg.primitives.RULES["neg"], (i,)) for i in range(11)], list(range(11, 22)))
    made = Program(tape, [] if shared else [(11, True)], reduce, groups=groups)
    made.twin = Asked()
    for n in (1, 2, 9, 256, 300):  # 256 are whole blocks
        for at in (None, *range(11)):
            numbers = np.ones(11)
            numbers[[] if at is None else at] = np.nan
            made.twin.times = 0
            made([] if shared else [np.tile(numbers, (n, 1))], numbers if shared else np.zeros(0), n)
            assert made.twin.times == (at is not None)


@pytest.mark.parametrize("groups", [(), (1, 1, 3), (5,)])
@pytest.mark.parametrize("threads", [1, 3])
def test_code_with_results_beyond_the_caches_tells_of_nan(groups, threads, monkeypatch):
    monkeypatch.setattr(versions, "STREAMED", 1 << 10)
    made = compiled(RESULTS[:5], groups, False, np.float64, False, threads)
    for at in (None, 0, 70, 4000, 9_998, 9_999):
        x = np.ones((10_000, FIELDS))
        if at is not None:
            x[at, at % FIELDS] = np.nan
        found = made([x], np.ones(LEAVES), len(x))
        nan = any(np.isnan(part).any() for part in (found if groups else [found]))
        assert (made.twin.times, nan) == (0, False) if at is None else made.twin.times
        made.twin.times = 0


def test_sums_of_many_chunks_tell_of_infinities_that_meet():
    made = compiled([lambda x, w: x[0] * w[0]], (), True, np.float64, False, 1)
    x = np.ones((1000, FIELDS))
    x[0, 0], x[999, 0] = np.inf, -np.inf
    assert np.isnan(made([x], np.ones(LEAVES), 1000)).all() and made.twin.times == 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1, 3, 40, 100, 1000])
def test_gradients_in_training_leave_out_what_was_not_chosen(n, dtype):
    """relu() of an infinite operand times 0 is nan on the first tape; the twin leaves it out, in any step of training."""
    w = Value(1.0)
    f = jit(lambda x: mg.where(x - 1.0, w * x, mg.log(w * x)), dtype=dtype, backend="llvm")
    slow = jit(lambda x: mg.where(x - 1.0, w * x, mg.log(w * x)), backend="reference")
    x = np.full(n, 2.0, dtype)
    for at in (0, n // 2, n - 1):
        for odd in (0.0, np.inf, -1.0):
            x[at] = odd
            with np.errstate(all="ignore"):
                value, gradient = f.value_and_grad([1.0], x)
                expected = slow.value_and_grad([1.0], x.astype(float))
                again = f.value_and_grad([1.0], x)
            np.testing.assert_allclose((value, gradient[0]), (expected[0], expected[1][0]), rtol=1e-6)
            np.testing.assert_array_equal((again[0], again[1][0]), (value, gradient[0]))
            x[at] = 2.0
