"""What checkpoint, custom_derivative and implicit share: which calls give Values, arguments by name, and what is kept."""

import copy
import gc
import math
import pickle
import weakref
from functools import partial

import pytest

import micrograd as mg
from micrograd import Value, adjoints, checkpoint, constant, custom_derivative, grad, implicit, jit
from micrograd.functional import whole
from micrograd.functional.whole import Segment
from micrograd.primitives import RULES
from micrograd.tape.back_ends import NAMES

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
    for found in (f(p=x, n=2), f(x, n=2), f(n=2, p=x)):
        assert (found.data, adjoints(found, x)[x]) == (9.0, 6.0)
    assert f(p=3.0, n=3) == 27.0
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'k'"):
        f(x, k=1)


def test_a_default_behind_the_arguments_given_by_name_is_left_to_the_function():
    def power(x, n=2):
        return x**n

    def twice(x, out):
        return 2 * x

    def scaled(x, *, k=2.0):
        return x * k

    for f in (custom_derivative(power, twice), custom_derivative(partial(power, n=2), twice)):
        x = Value(3.0)
        f(x=x).backward()
        assert x.grad == 6.0
    x = Value(3.0)
    assert adjoints(checkpoint(scaled)(x=x), x)[x] == 2.0
    root = implicit(lambda y, p: y * y - p, lambda p, tolerance=1e-9: p**0.5)
    assert adjoints(root(p=x), x)[x] == pytest.approx(0.5 / 3**0.5)


def test_derivatives_may_be_taken_inside():
    x = Value(2.0)
    for f in (grad(lambda x: x**3), lambda x: grad(lambda w: w**3 * x)(x), checkpoint(lambda x: 3 * x * x)):
        assert [adjoints(each(x) * x, x)[x] for each in (checkpoint(f), f)] == [adjoints(f(x) * x, x)[x]] * 2


def test_checkpoint_takes_arguments_by_name_alone_as_its_function_does():
    def f(x, *rest, w, up=True, mode="sum"):
        return sum([x, *rest]) * w if up and mode == "sum" else x * 2.0

    kept = checkpoint(f)
    for call in (
        lambda g, x, w: g(x, w=w), lambda g, x, w: g(x, x, x, w=w), lambda g, x, w: g(x, w=w, up=False),
        lambda g, x, w: g(x, w=3.0),
        lambda g, x, w: g(x, mode="none", w=w), lambda g, x, w: g(x, w=w) * g(x, x, w=x),
    ):  # fmt: skip
        x, w = Value(2.0), Value(5.0)
        found, wanted = call(kept, x, w), call(f, x, w)
        for v in (x, w):
            got, truth = (adjoints(out, v, create_graph=True)[v] for out in (found, wanted))
            assert (found.data, got.data) == (wanted.data, truth.data)
            assert adjoints(got, x)[x] == adjoints(truth, x)[x]
        assert jit(lambda x, w, call=call: call(kept, x, w))(2.0, 5.0) == found.data
    with pytest.raises(TypeError, match=r"^checkpoint, f: missing a required"):
        kept(Value(1.0))


def test_what_can_be_given_by_name_alone_is_refused_in_one_line():
    for f in (checkpoint(lambda p, **options: p ** options["n"]), implicit(lambda y, p: y - p, lambda p, **options: p)):
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
    row = f(x, 5).rule
    for n in range(1000, 1000 + 2 * whole.FRAMES):
        f(x, n)
        assert f(x, 5).rule is row  # what is used in between stays


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


def bent(x):
    return x * x if x > 0.0 else -x


def slope(x, out):
    return 2.0 * x if x > 0.0 else -1.0


OWN = {
    "custom_derivative": lambda: custom_derivative(bent, slope),
    "primitive": lambda: mg.primitive("bent", "bent(x)", bent, slope),
    "implicit": lambda: implicit(lambda y, p: y - p * p if p > 0.0 else y + p, bent),
}


@pytest.fixture
def own_book(monkeypatch):
    """Rows that are made inside go with the test."""
    monkeypatch.setattr("micrograd.primitives.RULES", dict(RULES))


@pytest.mark.parametrize("backend", sorted(NAMES))
@pytest.mark.parametrize("kind", OWN)
def test_what_a_derivative_compares_is_a_path_of_compiled_code_too(kind, backend, own_book):
    f = OWN[kind]()
    w, xs = Value(2.0), [1.0, -1.0, 2.0, -2.0]
    expected = [adjoints(f(w * x), w)[w] for x in xs]
    assert expected == [4.0, 1.0, 16.0, 2.0]
    compiled = jit(lambda x: f(x * w), backend=backend)
    for x, slope in zip(xs, expected, strict=True):
        assert compiled.value_and_grad([2.0], [x])[1].tolist() == [slope]
        found = adjoints(compiled(Value(x)), w, create_graph=True)[w]
        assert (found.data, adjoints(found, w).get(w)) == (slope, 2.0 * x * x if x > 0.0 else 0.0)
    assert compiled.value_and_grad([2.0], xs, reduction="sum")[1].tolist() == [sum(expected)]


def test_plain_numbers_are_refused_where_they_would_freeze_a_derivative(own_book):
    primitive = mg.primitive("sine_by_math", "sine(x)", math.sin, lambda x, out: math.cos(x))
    w = Value(2.0)
    for f in (primitive, custom_derivative(math.sin, lambda x, out: math.cos(x))):
        assert grad(f)(1.0) == math.cos(1.0)
        for derived in (grad(grad(f)), mg.hessian(f), jit(grad(f)), lambda x, f=f: jit(lambda x: f(x * w)).backward([x])):
            with pytest.raises(TypeError, match=r"turned into a plain number by float\(\) or a function of math"):
                derived(1.0)
    root = implicit(lambda y, p: y * math.sin(p) - 1.0, lambda p: 1.0 / math.sin(p))
    for derived in (grad(root), lambda x: root(Value(x)), lambda x: jit(lambda x: root(x * w)).backward([x])):
        with pytest.raises(TypeError, match=r"implicit: a value was turned into a plain number"):
            derived(1.0)


@pytest.mark.parametrize("backend", [None, *sorted(NAMES)])
def test_a_system_whose_first_equation_lacks_the_first_unknown_is_solved(backend):
    f = lambda p: mg.sum([a * y for a, y in zip((1.0, 10.0), root(p), strict=True)])  # noqa: E731
    root = implicit(lambda y, p: [y[1] - p * p, y[0] + y[1] - p], lambda p: [p - p * p, p * p])
    slope, curve = grad(f), grad(grad(f))
    if backend is not None:
        slope, curve = jit(slope, backend=backend), jit(curve, backend=backend)
    assert (slope(3.0), curve(3.0)) == (1.0 + 2.0 * 9.0 * 3.0, 18.0)


@pytest.mark.parametrize(
    ("off", "size", "holds"), [(5e-4, 1.0, True), (2e-3, 1.0, False), (0.05, 100.0, True), (0.2, 100.0, False)]
)
def test_a_root_is_one_within_a_thousandth(off, size, holds):
    root = implicit(lambda y, p: y - p, lambda p: p + off)
    if holds:
        assert root(size) == size + off
    else:
        with pytest.raises(ValueError, match="which is no root of f"):
            root(size)


@pytest.mark.parametrize("many", [1, 3, 4])
def test_partials_are_as_many_as_numbers_are_given(many):
    total = custom_derivative(lambda xs: xs[0] + xs[1], lambda xs, out: [1.0] * many)
    with pytest.raises(TypeError, match=f"must be 2 numbers for an argument of 2, got {many}"):
        total([Value(1.0), Value(2.0)]).backward()


def test_a_truth_value_is_no_integer():
    f = checkpoint(lambda x, n: x * (2.0 if n is True else 3.0))
    assert [f(Value(1.0), n).data for n in (1, True, 1)] == [3.0, 2.0, 3.0]


class Model(mg.Module):
    def __init__(self, w):
        self.w, self.scale = Value(w), 3.0

    @checkpoint
    def __call__(self, x):
        return self.block(x) * self.w

    @checkpoint
    def block(self, x, k=2.0):
        return (x * self.w).tanh() * k

    def _doubled(self, x):
        return x * self.scale

    def _slope(self, x, out):
        return self.scale

    def _solved(self, p):
        return (p / self.scale) ** 0.5

    doubled = custom_derivative(_doubled, _slope)
    root = implicit(lambda self, y, p: self.scale * y * y - p, _solved)
    rounded = custom_derivative(round, lambda x, out: 1.0)  # a function of Python's own is no method

    @classmethod
    @checkpoint
    def squared(cls, x):
        return x * x + len(cls.__name__)

    @staticmethod
    @checkpoint
    def cubed(x):
        return x * x * x


class Special(Model):
    @checkpoint
    def block(self, x, k=2.0):
        return super().block(x, k) + 1.0


def test_each_kind_may_be_a_method():
    x, model, other = Value(0.5), Model(2.0), Model(-1.0)
    for m in (model, other):
        w, t = m.w.data, math.tanh(0.5 * m.w.data)
        for out, slopes in (
            (m.block(x), (2 * w * (1 - t * t), 2 * 0.5 * (1 - t * t))),
            (m.block(x=x, k=1.0), (w * (1 - t * t), 0.5 * (1 - t * t))),
            (m(x), (2 * w * w * (1 - t * t), 2 * t + w * 2 * 0.5 * (1 - t * t))),
            (m.doubled(x), (3.0, 0.0)),
            (m.root(x), (1 / (6 * math.sqrt(0.5 / 3)), 0.0)),
            (m.rounded(x), (1.0, 0.0)),
            (m.squared(x), (1.0, 0.0)), (Model.squared(x), (1.0, 0.0)),
            (m.cubed(x), (0.75, 0.0)),
        ):  # fmt: skip
            found = adjoints(out, [x, m.w])
            assert (found[x], found[m.w]) == pytest.approx(slopes, rel=1e-14)
    assert model.block(x).rule is model.block(x).rule and model.block is not other.block
    assert model.parameters() == [model.w] and list(model.state_dict()) == ["w"]
    special = Special(2.0)
    assert special.block(x).data == model.block(x).data + 1.0
    assert adjoints(special.block(x), x)[x] == pytest.approx(adjoints(model.block(x), x)[x], rel=1e-15)
    assert jit(lambda x: model(x) + model.doubled(x))(0.5) == (model(x) + model.doubled(x)).data
    assert Model.doubled(model, 2.0) == 6.0 and isinstance(vars(Model)["doubled"], type(Model.doubled))


def test_an_object_with_such_methods_is_copied_and_pickled():
    model, x = Model(2.0), Value(0.5)
    model.scale = 5.0
    out = model.doubled(x) + model.block(x) + model.root(x)
    for again in (copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))):
        again.w, again.scale = Value(-1.0), 4.0
        assert again.doubled(x).data == 2.0 and model.doubled(x).data == 2.5
        assert again.block(x).data == Model(-1.0).block(x).data and again.block is again.block
        assert again.root(Value(16.0)).data == 2.0
    same, at = pickle.loads(pickle.dumps((out, x)))
    assert adjoints(same, at)[at] == adjoints(out, x)[x]


def test_what_no_method_can_be_is_said():
    class Held:
        __slots__ = ("w",)
        f = checkpoint(lambda self, x: x)

    with pytest.raises(TypeError, match=r"^Held has __slots__ and no place for its own .*: add '__dict__' to them$"):
        Held().f(Value(1.0))
    model = Model(2.0)
    with pytest.raises(ValueError, match="functions by name, and _doubled is a method of an object"):
        model.doubled(Value(1.0)).rule.described()
