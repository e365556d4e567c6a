"""Numbers that are taken out of what is differentiated by: an error that names the line, never a derivative that is 0."""

import copy
import math
import pickle
import statistics
import sys
import threading

import numpy as np
import pytest

import micrograd as mg
from micrograd import MLP, Value, adjoints, grad, hessian, hvp, jacobian, jit, jvp, value_and_grad, vjp


def swallowed(x):
    z = np.zeros(2)
    z[0] = x
    return z.sum()


def through_its_gradient(x):
    y = x**3
    y.backward()
    return x.grad * 1.0


LOST = {
    "a function of math": lambda x: math.sin(x) * x,
    "nothing but math": lambda x: math.exp(x),
    "float": lambda x: float(x) * x,
    "data": lambda x: x.data * x,
    "data of what depends on it": lambda x: (x * 2.0 + 1.0).data * x,
    "data of many": lambda x: mg.sum([x, x, 1.0]).data,
    "np.float64": lambda x: np.float64(x) * x,
    "math.fsum": lambda x: math.fsum([x, 2.0]),
    "statistics.fmean": lambda x: statistics.fmean([x, 2.0]),
    "an array of floats": swallowed,
    "np.asarray": lambda x: np.asarray([x, x], dtype=float).sum(),
    "astype": lambda x: np.array([x * 2.0]).astype(float)[0],
    "math.frexp": lambda x: math.frexp(x)[0] * x,
    "gradients": through_its_gradient,
    "its gradient": lambda x: x.grad * x,
    "partials": lambda x: (x * x).partials[0],
    "a copy": lambda x: copy.copy(x) * x,
    "a deep copy": lambda x: copy.deepcopy(x * x),
    "pickling": lambda x: pickle.loads(pickle.dumps(x * x)),
}
if sys.version_info < (3, 15):  # which puts a TypeError of its own in the place of this one
    LOST["percent"] = lambda x: float("%.3f" % x)  # noqa: UP031
TRANSFORMS = {
    "grad": lambda f: grad(f)(1.5),
    "value_and_grad": lambda f: value_and_grad(f)(1.5),
    "jacobian": lambda f: jacobian(lambda p: [f(p[0])])([1.5]),
    "hessian": lambda f: hessian(f)(1.5),
    "jvp": lambda f: jvp(f, (1.5,), (1.0,)),
    "vjp": lambda f: vjp(f, 1.5),
    "hvp": lambda f: hvp(f, (1.5,), (1.0,)),
}


def test_a_format_by_percent_is_refused_by_every_python():
    with pytest.raises(TypeError, match=r"plain number|real number"):
        grad(lambda x: float("%.3f" % x))(1.5)  # noqa: UP031


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("way", LOST)
def test_a_number_taken_out_is_an_error_that_names_the_line(transform, way):
    with pytest.raises(TypeError) as caught:
        TRANSFORMS[transform](LOST[way])
    said = str(caught.value)
    assert said.startswith(f"{transform}: a value was turned into a plain number by ") and "x.detach().data" in said
    assert "test_silent_zeros.py:" in said


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("way", LOST)
def test_a_number_taken_out_is_an_error_inside_compiled_code_too(transform, way):
    compiled = jit(lambda x: mg.sum(np.ravel(TRANSFORMS[transform](LOST[way])).tolist()) * x, backend="reference")
    with pytest.raises(TypeError, match=r"a value was turned into a plain number by .*test_silent_zeros.py:\d+"):
        compiled(1.5)


@pytest.mark.parametrize(
    "f", [lambda x: int(x) * x, lambda x: x * [1, 2][x], lambda x: float(f"{x:.9f}"), lambda x: float(f"{x}")]
)
def test_what_is_no_number_is_an_error_too(f):
    with pytest.raises((TypeError, ValueError)):
        grad(f)(1.0)


def test_only_what_depends_on_the_arguments_is_held():
    w, model = Value(3.0), MLP(1, [2, 1], seed=1)
    assert grad(lambda x: w.data * x)(1.0) == 3.0
    assert grad(lambda x: float(w * w) * x + mg.constant(2.0).data * x)(1.0) == 11.0
    assert grad(lambda x, n: x * float(n), 0)(1.0, Value(4.0)) == 4.0  # not an argument that is differentiated by
    assert grad(lambda x: x * x.detach().data + float(x.detach()))(2.0) == 2.0
    assert grad(lambda x: copy.copy(x * x) * 1.0)(3.0) == 6.0  # on the same operands
    with mg.no_grad():
        assert grad(lambda x: model([x]) * len(model.state_dict()))(0.5) != 0.0
    x = Value(1.0)
    assert math.sin(x) == math.sin(1.0) and x.data == 1.0  # after it, and outside


def test_what_can_be_printed_cannot_be_read_again(capsys):
    def f(x):
        print(x, repr(x), f"{x:.3f}", [x], x.explain(x))
        return x * x

    assert grad(f)(2.0) == 4.0
    assert capsys.readouterr().out.startswith("Value(data=2.0, grad=0.0) Value(data=2.0, grad=0.0) Value(2.000) [Value(")


def test_comparisons_choose_and_other_graphs_go_backward_inside():
    def f(x):
        w = Value(2.0)
        (w * w).backward()
        big = sorted([x, x * 2.0])[-1] if x > 1.0 and x == x else -x
        return max(big, x) * w.grad + (1.0 if x else 0.0)

    assert grad(f)(1.5) == 8.0 and grad(grad(lambda x: f(x) * x))(1.5) == 16.0

    def trained(rate):
        x = 1.0
        for _ in range(5):
            x = x - rate * grad(lambda x: x**4)(x)
        return x

    assert math.isfinite(grad(trained)(0.1)) and grad(trained)(0.1) != 0.0


def test_numbers_of_an_inner_backward_are_refused_where_they_depend_on_the_arguments():
    """Also where the leaf whose derivative is read does not depend on them itself."""

    def by_backward(x):
        w = Value(3.0)
        (x * x * w).backward()
        return 2 * w.grad

    def by_adjoints(x, **how):
        w = Value(3.0)
        return 2 * adjoints(x * x * w, w, **how)[w]

    for f in (by_backward, by_adjoints):
        with pytest.raises(TypeError, match=r"^grad: a value was turned into a plain number by .*create_graph=True"):
            grad(f)(2.0)
    assert grad(lambda x: by_adjoints(x, create_graph=True))(2.0) == 8.0


def test_an_inner_transform_lets_the_outer_one_refuse():
    with pytest.raises(TypeError, match=r"^hessian: a value was turned"):
        hessian(lambda x: grad(lambda y: y * y * x)(x).data)(2.0)
    with pytest.raises(TypeError, match=r"^jvp: a value was turned"):
        grad(lambda x: jvp(lambda y: y * math.sin(y), (x,), (1.0,))[1])(2.0)
    with pytest.raises(TypeError, match=r"^grad: a value was turned"):
        grad(lambda x: jvp(lambda y: y * math.sin(x), (x,), (1.0,))[1])(2.0)


def test_a_watch_ends_with_an_error_and_holds_for_one_thread():
    held, done, found = [], threading.Event(), []

    def f(x):
        held.append(x)
        thread = threading.Thread(target=lambda: (found.append(x.data), done.set()))
        thread.start()
        done.wait()
        thread.join()
        raise KeyError("out")

    with pytest.raises(KeyError):
        grad(f)(5.0)
    assert found == [5.0] and held[0].data == 5.0 and float(held[0]) == 5.0
    y = held[0] * 2.0
    assert adjoints(y, held[0])[held[0]] == 2.0
