"""Optimisers against the recurrences of their papers, written here in NumPy, and with bad input."""

import gc
import math
import sys

import numpy as np
import pytest

from micrograd import (
    LBFGS,
    MLP,
    SGD,
    Adam,
    AdamW,
    RMSprop,
    Value,
    clip_grad_norm,
    clip_grad_value,
    constant_schedule,
    cosine_schedule,
    jit,
    mse,
    one_cycle_schedule,
    record,
    step_schedule,
    warmup_schedule,
)  # fmt: skip
from micrograd.nn.optim import Optimiser

RNG = np.random.default_rng(0)
START, GRADIENTS = RNG.normal(size=3), RNG.normal(size=(20, 3))


def sgd(lr, momentum=0.0, weight_decay=0.0):
    """Polyak's heavy ball, as in PyTorch: the first step is the plain gradient."""
    x, velocity = START.copy(), None
    for g in GRADIENTS:
        g = g + weight_decay * x
        velocity = g if velocity is None else momentum * velocity + g
        x = x - lr * velocity
    return x


def adam(lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    """Algorithm 1 of Kingma and Ba; with `decoupled`, line 12 of algorithm 2 of Loshchilov and Hutter."""
    x, m, v = START.copy(), np.zeros(3), np.zeros(3)
    for t, g in enumerate(GRADIENTS, 1):
        before = x
        if not decoupled:
            g = g + weight_decay * x
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        x = x - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        if decoupled:
            x = x - lr * weight_decay * before
    return x


def rmsprop(lr=0.01, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0):
    """PyTorch's RMSprop, not centred."""
    x, v, moving = START.copy(), np.zeros(3), np.zeros(3)
    for g in GRADIENTS:
        g = g + weight_decay * x
        v = alpha * v + (1 - alpha) * g**2
        moving = momentum * moving + g / (np.sqrt(v) + eps)
        x = x - lr * moving
    return x


CASES = [
    (RMSprop, rmsprop, {}),
    (RMSprop, rmsprop, {"lr": 0.1, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.5}),
    (SGD, sgd, {"lr": 0.1}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (SGD, sgd, {"lr": 0.05, "momentum": 0.5, "weight_decay": 0.1}),
    (Adam, adam, {}),
    (Adam, adam, {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3}),
    (Adam, adam, {"lr": 0.1, "weight_decay": 0.1}),
    (AdamW, lambda **k: adam(**{"weight_decay": 0.01, **k}, decoupled=True), {}),
    (AdamW, lambda **k: adam(**k, decoupled=True), {"lr": 0.1, "weight_decay": 0.3}),
]


@pytest.mark.parametrize("optimiser, reference, options", CASES)
def test_twenty_steps_follow_the_paper(optimiser, reference, options):
    parameters = [Value(x) for x in START]
    steps = optimiser(iter(parameters), **options)
    for gradient in GRADIENTS:
        for p, g in zip(parameters, gradient, strict=True):
            p.grad = float(g)
        steps.step()
    np.testing.assert_allclose([p.data for p in parameters], reference(**options), rtol=1e-13)
    steps.zero_grad()
    assert [p.grad for p in parameters] == [0.0] * 3
    assert all(type(p.data) is float for p in parameters)


@pytest.mark.parametrize("optimiser, reference, options", CASES)
def test_the_rule_works_on_arrays_as_on_floats(optimiser, reference, options):
    steps = optimiser([Value(0.0)], **options)
    data, state = START, tuple(np.full(3, x) for x in steps.initial())
    for gradient in GRADIENTS:
        data, state = steps.advance(data, gradient, state)
        steps.steps += 1
    np.testing.assert_allclose(data, reference(**options), rtol=1e-13)


def test_every_parameter_has_a_state_of_its_own_and_values_carry_none():
    a, b = Value(1.0), Value(1.0)
    steps = SGD([a, b], lr=1.0, momentum=0.5)
    a.grad, b.grad = 1.0, 2.0
    steps.step()
    steps.step()
    assert (a.data, b.data) == (1 - 1 - 1.5, 1 - 2 - 3.0)
    before = sys.getsizeof(a)
    gc.collect()
    assert not hasattr(a, "__dict__") and sys.getsizeof(a) == before


def test_an_optimiser_of_ones_own_may_have_an_init_of_any_arguments():
    def decorated(init):
        return lambda *args, **named: init(*args, **named)

    class Mine(SGD):
        @decorated
        def __init__(self, parameters, also):
            super().__init__(parameters, lr=0.5)
            self.also = also

    made = Mine([Value(1.0)], also=3)
    assert (made.lr, made.also) == (0.5, 3)


def test_the_learning_rate_may_change_between_steps():
    a = Value(1.0)
    steps = SGD([a], lr=1.0)
    a.grad = 1.0
    steps.step()
    steps.lr = 0.5
    steps.step()
    assert a.data == -0.5


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: SGD(MLP(1, [1]).parameters), TypeError, r"SGD needs a list of Values, got method .*pass \.parameters\(\)"),
        (lambda: SGD(Value(1.0)), TypeError, r"SGD needs a list of Values, got Value Value\(data=1.0.*a list of Values"),
        (lambda: Adam([Value(1.0)], lr=float("nan")), ValueError, "lr must be a finite number and not negative, got nan"),
        (lambda: SGD([Value(1.0)], lr=float("inf")), ValueError, "lr must be a finite number and not negative, got inf"),
        (lambda: SGD([Value(1.0)], lr="0.1"), TypeError, "^lr: expected a number, got str '0.1'"),
        (lambda: SGD([]), ValueError, "SGD needs at least one parameter, got none"),
        (lambda: Adam([1.0]), TypeError, "Adam needs Values as parameters, got float 1.0"),
        (lambda: SGD([Value(1.0)], lr=-1.0), ValueError, "lr must be a finite number and not negative, got -1.0"),
        (lambda: AdamW([Value(1.0)], weight_decay=-0.1), ValueError, "weight_decay must be .* not negative, got -0.1"),
        (lambda: SGD([Value(1.0)], weight_decay=float("nan")), ValueError, "weight_decay must be a finite number .*got nan"),
        (lambda: Adam([Value(1.0)], eps=-1e-8), ValueError, "eps must be a finite number and not negative, got -1e-08"),
        (lambda: SGD([Value(1.0)], momentum=1.0), ValueError, r"momentum must be in \[0, 1\), got 1.0"),
        (lambda: Adam([Value(1.0)], betas=(0.9, 1.0)), ValueError, r"betas must be in \[0, 1\), got \(0.9, 1.0\)"),
        (lambda: SGD([Value(1.0) * 2]), ValueError, "SGD needs leaves as parameters, got Value.*made by 'mul'"),
        (lambda: Adam([Value(1.0)], learning_rate=0.1), TypeError, "Adam has no argument 'learning_rate': write lr=0.1"),
        (
            lambda: SGD([Value(1.0)], nesterov=True),
            TypeError,
            "no argument 'nesterov': it takes parameters, lr, momentum",
        ),
        (lambda: Adam([w := Value(1.0, label="w"), w]), ValueError, "Adam got a parameter twice: Value.*label='w'"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


X, Y = np.linspace(-1, 1, 24).reshape(12, 2), np.linspace(-1, 1, 12) ** 2
WAYS = [  # each option, alone and together with groups
    lambda p: SGD(p, lr=cosine_schedule(0.3, 10), momentum=0.9),
    lambda p: Adam(p, lr=warmup_schedule(one_cycle_schedule(0.1, 10), 3), clip_norm=0.05),
    lambda p: RMSprop(p, lr=step_schedule(0.02, 3), clip_value=0.01, momentum=0.5),
    lambda p: AdamW([{"params": p[:7], "lr": 0.1}, {"params": p[7:]}], lr=lambda step: 0.05 / (step + 1), clip_norm=0.1),
    lambda p: SGD([{"params": p[7:], "lr": constant_schedule(0.0)}, {"params": p[:7]}], lr=0.2, clip_value=0.1, clip_norm=0.1),
]


@pytest.mark.parametrize("make", WAYS)
def test_a_block_of_training_steps_as_the_eager_loop_does(make):
    eager, compiled = MLP(2, [3, 1], "tanh", seed=1), MLP(2, [3, 1], "tanh", seed=1)
    a, b = make(eager.parameters()), make(compiled.parameters())
    f = jit(lambda x, y: mse(compiled(x), y), backend="numpy")
    with f.training(b) as step:
        for _ in range(7):
            a.zero_grad()
            mse([eager(x) for x in X], Y).backward()
            a.step()
            step(X, Y)
    assert a.steps == b.steps == 7 and repr(a).split(",")[0] == repr(b).split(",")[0]
    np.testing.assert_allclose([p.data for p in compiled.parameters()], [p.data for p in eager.parameters()], rtol=1e-10)
    np.testing.assert_allclose(b.state, a.state, rtol=1e-8, atol=1e-15)


def test_each_group_has_its_rate_and_others_follow_the_optimiser():
    a, b, c = Value(0.0), Value(0.0), Value(0.0)
    steps = SGD([{"params": [a], "lr": 1.0}, {"params": [b]}, {"params": iter([c]), "lr": lambda step: 10.0 * step}], lr=0.5)
    for p in (a, b, c):
        p.grad = 1.0
    steps.step()
    assert (a.data, b.data, c.data) == (-1.0, -0.5, 0.0)
    steps.lr = 0.25
    steps.step()
    assert (a.data, b.data, c.data) == (-2.0, -0.75, -10.0)
    assert repr(steps) == "SGD(3 parameters in 3 groups, lr=0.25, weight_decay=0.0, momentum=0.0)"
    with pytest.raises(ValueError, match=r"a dict with 'params' and, if wanted, 'lr'; got \['params', 'rate'\]"):
        SGD([{"params": [a], "rate": 1.0}])


def test_each_group_is_asked_for_its_rate_once_in_a_step():
    a, b, asked = Value(1.0), Value(2.0), []

    def rate(name):
        return lambda step: asked.append((name, step)) or 0.5

    steps = SGD([{"params": [a], "lr": rate("a")}, {"params": [b], "lr": rate("b")}])
    f = jit(lambda x: a * x + b, backend="reference", wrt=[a, b])
    with f.training(steps) as step:
        step([1.0])
    steps.step()
    assert asked == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_clipping():
    a, b = Value(0.0), Value(0.0)
    a.grad, b.grad = 3.0, -4.0
    assert clip_grad_norm([a, b], 10.0) == 5.0 and (a.grad, b.grad) == (3.0, -4.0)
    assert clip_grad_norm(iter([a, b]), 0.5) == 5.0 and (a.grad, b.grad) == (pytest.approx(0.3), pytest.approx(-0.4))
    clip_grad_value(iter([a, b]), 0.35)
    assert (a.grad, b.grad) == (pytest.approx(0.3), -0.35)
    a.grad, b.grad = 3.0, -4.0
    steps = SGD([a, b], lr=1.0, clip_norm=1.0)
    steps.step()
    assert (a.data, b.data) == (pytest.approx(-0.6), 0.8) and (a.grad, b.grad) == (3.0, -4.0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_exploding_gradients_are_clipped_compiled_too(dtype):
    """Their squares overflow. The norm was infinite then, and the parameters stayed where they were."""
    w = Value(1.0)
    huge = 3e30 if dtype == "float32" else 3e200
    with jit(lambda x: x * w, dtype=dtype).training(SGD([w], lr=1.0, clip_norm=0.25)) as step:
        step([huge])
    assert w.data == 0.75


def test_settings_are_floats_whatever_number_they_came_as():
    for kind in (np.float32, np.float64, int):
        for steps in (
            SGD([Value(1.0)], lr=kind(1), momentum=kind(0), weight_decay=kind(1)),
            Adam([Value(1.0)], lr=kind(1), betas=(kind(0), kind(0)), eps=kind(1), weight_decay=kind(1)),
            RMSprop([Value(1.0)], lr=lambda step, kind=kind: kind(1), alpha=kind(0), momentum=kind(0), eps=kind(1)),
        ):
            p = steps.parameters[0]
            p.grad = 1.0
            steps.step()
            steps.lr = kind(1)
            steps.step()
            assert type(p.data) is float and all(type(x) is float for x in steps.state[0])
    with pytest.raises(TypeError, match=r"betas must be two numbers, got 0\.9"):
        Adam([Value(1.0)], betas=0.9)


@pytest.mark.parametrize("make", [Adam, AdamW, RMSprop])
def test_without_eps_a_gradient_of_zero_moves_nothing(make):
    a, b = Value(1.0), Value(1.0)
    steps = make([a, b], lr=0.1, eps=0, weight_decay=0)
    b.grad = 1.0
    steps.step()
    assert a.data == 1.0 and b.data < 1.0
    for dtype in (np.float64, np.float32):
        steps.steps = 0
        moved, _ = steps.advance(np.ones(2, dtype), np.array([0, 1], dtype), (np.zeros(2, dtype), np.zeros(2, dtype)))
        assert moved[0] == 1.0 and moved[1] < 1.0 and moved.dtype == dtype


def test_a_step_that_fails_moves_nothing():
    a, b = Value(1.0), Value(2.0)
    steps = SGD([a, b], lr=lambda step: math.nan if step else 0.5, momentum=0.5)
    a.grad = b.grad = 1.0
    steps.step()
    before = (a.data, b.data, steps.state, steps.steps)
    with pytest.raises(ValueError, match="the learning rate of step 1 must be a finite number and not negative, got nan"):
        steps.step()
    assert (a.data, b.data, steps.state, steps.steps) == before
    steps.lr, steps.state = 0.5, [steps.state[0], (None,)]  # so that b cannot be moved
    with pytest.raises(TypeError):
        steps.step()
    assert (a.data, b.data, steps.steps) == (before[0], before[1], before[3])


def interrupted(call, at):
    """Whether `call` was interrupted, at its bytecode number `at`; False where it had come to its end before."""
    count, tracing = 0, sys.gettrace()

    def trace(frame, event, argument):
        nonlocal count
        frame.f_trace_opcodes = True
        if event == "opcode":
            count += 1
            if count > at:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(tracing)
    return False


def interrupted_everywhere(call, seen):
    """What `seen` says after `call` was interrupted at each of its bytecodes in turn, up to its end."""
    found = []
    gc.disable()  # an interrupt of somebody's callback at a collection would be lost
    try:
        while interrupted(call, len(found)):
            found.append(seen())
    finally:
        gc.enable()
    return found


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="counts bytecodes as Python 3.11 traces them")
def test_an_interrupt_leaves_all_or_nothing_of_a_step_and_of_loaded_weights():
    a, b = Value(1.0), Value(2.0)
    steps = SGD([a, b], lr=1.0, momentum=0.5)

    def seen():
        now = a.data, b.data, tuple(steps.state), steps.steps
        a.data, b.data, steps.state, steps.steps, a.grad, b.grad = 1.0, 2.0, [(0.0,), (0.0,)], 0, 1.0, 1.0
        return now

    old = seen()
    found = interrupted_everywhere(steps.step, seen)
    assert len(found) > 100 and set(found) == {old, (0.0, 1.0, ((1.0,), (1.0,)), 1)}
    net = MLP(1, [2], seed=1)
    before, state = net.state_dict(), dict.fromkeys(net.state_dict(), 7.0)

    def weights():
        now = net.state_dict()
        net.load_state_dict(before)
        return tuple(now.values())

    found = interrupted_everywhere(lambda: net.load_state_dict(state), weights)
    assert len(found) > 100 and set(found) == {tuple(before.values()), (7.0,) * 4}


def test_schedules():
    at = [0, 1, 5, 9, 20]
    assert [constant_schedule(0.5)(i) for i in at] == [0.5] * 5
    assert [step_schedule(1.0, 5, 0.5)(i) for i in at] == [1.0, 1.0, 0.5, 0.5, 0.0625]
    expected = [0.1 + 0.9 * (1 + math.cos(math.pi * min(i, 10) / 10)) / 2 for i in at]
    assert [cosine_schedule(1.0, 10, end=0.1)(i) for i in at] == pytest.approx(expected, rel=1e-14)
    assert [warmup_schedule(cosine_schedule(1.0, 10), 5)(i) for i in (0, 4, 5, 15)] == pytest.approx([0.2, 1.0, 1.0, 0.0])
    torch = [0.04, 0.52, 1.0, 0.9504846320134738]  # OneCycleLR(max_lr=1, total_steps=10, pct_start=0.3)
    assert [one_cycle_schedule(1.0, 10)(i) for i in range(4)] == pytest.approx(torch, rel=1e-6)
    assert one_cycle_schedule(1.0, 10)(9) == one_cycle_schedule(1.0, 10)(99) == pytest.approx(4e-6)
    assert all(f(0) >= 0 for f in (one_cycle_schedule(1.0, 2, up=0.1), one_cycle_schedule(1.0, 2, up=0.5)))
    for make in (lambda: cosine_schedule(0.1, 0), lambda: step_schedule(0.1, 2.5), lambda: warmup_schedule(0.1, True)):
        with pytest.raises(ValueError, match="must be a whole number from 1 on, got"):
            make()
    with pytest.raises(ValueError, match="needs 0 < up < 1"):
        one_cycle_schedule(0.1, 10, up=1.0)


def test_without_scipy_lbfgs_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ModuleNotFoundError, match="pip install scipy"):
        LBFGS([Value(1.0)]).minimize(lambda: Value(1.0))


def test_lbfgs_compiled_and_eagerly():
    pytest.importorskip("scipy", reason="L-BFGS is SciPy's")
    net = MLP(2, [4, 1], "tanh", seed=3)
    start = net.state_dict()
    losses = []
    for f, args in ((jit(lambda x, y: mse(net(x), y)), (X, Y)), (lambda: mse([net(x) for x in X], Y), ())):
        net.load_state_dict(start)
        found = LBFGS(net.parameters(), max_iter=30).minimize(f, *args)
        losses.append(found.fun)
        assert mse([net(x) for x in X], Y).data == pytest.approx(found.fun, rel=1e-9) and found.fun < 1e-3
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
    before = net.state_dict()
    with pytest.raises(ZeroDivisionError):
        LBFGS(net.parameters()).minimize(lambda: 1 / 0)
    assert net.state_dict() == before
    with pytest.raises(TypeError, match="must give a Value, got float"):
        LBFGS(net.parameters()).minimize(lambda: 1.0)


def test_each_step_is_told_to_what_records_a_run():
    model = MLP(1, [1], seed=1)
    optimiser, seen = SGD(model.parameters(), lr=0.1), []

    def loss():
        return (model([1.0]) - 2.0) ** 2

    with record(model, loss) as run:
        for _ in range(3):
            optimiser.zero_grad()
            loss().backward()
            optimiser.step()
            seen.append(loss().data)
    assert run.steps == [0, 1, 2, 3] and run.losses[1:] == seen


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_lbfgs_restores_the_parameters_where_it_is_broken_off(error):
    pytest.importorskip("scipy", reason="L-BFGS is SciPy's")
    p, q, seen = Value(-1.0), Value(3.0), []

    def loss():
        seen.append(p.data)
        if len(seen) == 4:
            raise error
        return (p - 2.0) ** 2 + q**4

    with pytest.raises(error):
        LBFGS([p, q]).minimize(loss)
    assert len(set(seen)) == 4 and (p.data, q.data) == (-1.0, 3.0)


def test_lbfgs_leaves_the_parameters_at_the_best_point_and_not_at_the_latest():
    pytest.importorskip("scipy", reason="L-BFGS is SciPy's")
    p, q, seen = Value(-1.0), Value(3.0), []

    def loss():
        seen.append((p.data, q.data))
        return abs(p - 1.0 / 3.0) + abs(q) * 2.0  # at a kink the search along a line ends without success

    found = LBFGS([p, q]).minimize(loss)
    assert (p.data, q.data) == tuple(found.x) != seen[-1]


def test_what_lbfgs_refuses():
    x = Value(1.0)
    for wrong in (0, -1, 2.5, True, "x"):
        for name in ("max_iter", "history"):
            with pytest.raises(ValueError, match=f"^{name} must be a whole number from 1 on, got {wrong!r}$"):
                LBFGS([x], **{name: wrong})
    with pytest.raises(TypeError, match=r"LBFGS needs a list of Values, got MLP .*: pass \.parameters\(\) of the model"):
        LBFGS(MLP(1, [1]))
    with pytest.raises(ValueError, match="at least one parameter and none twice, got 2"):
        LBFGS([x, x])
    with pytest.raises(TypeError, match=r"must be a function, got Value .*: jit\(f\), or lambda: loss$"):
        LBFGS([x]).minimize(x * x)


def test_an_optimiser_without_a_rule_says_so():
    with pytest.raises(NotImplementedError):
        Optimiser([Value(1.0)], lr=0.1)
