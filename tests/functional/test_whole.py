"""What checkpoint, custom_derivative and implicit share: which calls give Values, arguments by name, and what is kept."""

import gc
import weakref

import pytest

import micrograd as mg
from micrograd import Value, adjoints, checkpoint, constant, custom_derivative, implicit, jit
from micrograd.functional import whole
from micrograd.functional.whole import Segment

KINDS = {
    "checkpoint": checkpoint(lambda p, n=2: p**n),
    "custom_derivative": custom_derivative(lambda p, n=2: p**n, lambda p, n, out: (n * p ** (n - 1), None)),
    "implicit": implicit(lambda y, p, n=2: y - p**n, lambda p, n=2: p**n),
}


@pytest.mark.parametrize("f", KINDS.values(), ids=KINDS)
def test_values_and_constants_give_values_and_plain_numbers_give_plain_numbers(f):
    found = f(constant(3.0), 2)
    assert isinstance(found, Value) and (found.data, found.is_constant) == (9.0, True)
    assert f(3.0, 2) == 9.0 and not isinstance(f(3.0, 2), Value)
    assert not f(Value(3.0), 2).is_constant


def test_a_function_with_checkpoints_gets_constants_as_constants():
    x, two = Value(1.0), constant(2.0)
    f = checkpoint(lambda x, c, n: [x.tanh() * c, c.tanh(), n * 2, constant(4.0)])  # a plain number has no method tanh
    product, fixed, doubled, four = f(x, two, 3)
    assert (fixed.data, doubled, four.is_constant) == (mg.tanh(2.0), 6, True) and adjoints(fixed, x)[x] == 0.0
    assert adjoints(product, x) == adjoints(x.tanh() * 2.0, x)
    first = adjoints(product, x, create_graph=True)[x]
    assert adjoints(first, x)[x] == pytest.approx(adjoints(adjoints(x.tanh() * 2.0, x, create_graph=True)[x], x)[x], rel=1e-15)
    assert jit(lambda x: f(x, two, 3)[0])(1.0) == pytest.approx(product.data, rel=1e-15)


@pytest.mark.parametrize("f", KINDS.values(), ids=KINDS)
def test_arguments_may_be_given_by_name(f):
    x = Value(3.0)
    for found in (f(p=x), f(x, n=2), f(n=2, p=x)):
        assert (found.data, adjoints(found, x)[x]) == (9.0, 6.0)
    assert f(p=3.0, n=3) == 27.0
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'k'"):
        f(x, k=1)


def test_what_can_be_given_by_name_alone_is_refused_in_one_line():
    for f in (checkpoint(lambda p, *, n: p**n), implicit(lambda y, p: y - p, lambda p, **options: p)):
        with pytest.raises(TypeError, match=r"takes n by name alone; give it a place among its parameters$"):
            f(Value(3.0), n=2)


@pytest.mark.parametrize("f", KINDS.values(), ids=KINDS)
def test_frames_are_kept_for_the_latest_structures_alone(f):
    x = Value(1.0)
    first = f(x, 0)
    for n in range(whole.FRAMES + 10):
        assert f(x, n).data == 1.0
    assert len(f.frames) == whole.FRAMES
    assert adjoints(first, x)[x] == 0.0 and first.recompute().data == 1.0  # a node keeps what it needs
    assert adjoints(f(x, 5), x)[x] == 5.0


def test_a_run_for_derivatives_is_kept_until_all_outputs_were_asked_for_or_the_nodes_are_gone(monkeypatch):
    made = []

    class Seen(Segment):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(weakref.ref(self))

    monkeypatch.setattr("micrograd.functional.checkpoints.Segment", Seen)
    f = checkpoint(lambda x, n: [x * x * n, x * n])

    def runs():
        gc.collect()
        return len(made), sum(run() is not None for run in made)

    x = Value(3.0)
    a, b = f(x, 1.5)
    a.backward()
    assert runs() == (2, 1)  # the call's own is gone
    b.backward()
    assert runs() == (2, 0)
    a.backward()
    c, d = f(x, 2)  # of another structure
    assert runs() == (4, 1)
    c.backward()
    assert runs() == (5, 1)  # that of a is gone
    del c
    assert runs() == (5, 1)
    del d
    assert runs() == (5, 0) and x.grad == 9.0 + 1.5 + 9.0 + 12.0
