"""A user's program, for type checkers: each line must pass, but for those with `type: ignore`, of which each must not.

`mypy` reads it with the package. It and pyright complain of a line that passes although it says `type: ignore`.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

import math
from fractions import Fraction
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from micrograd import (
    MLP,
    SGD,
    Value,
    checkpoint,
    custom_derivative,
    dot,
    exp,
    gelu,
    grad,
    hessian,
    hinge,
    hvp,
    implicit,
    jacobian,
    jit,
    jvp,
    logsumexp,
    maximum,
    mean,
    mse,
    no_grad,
    primitive,
    relu,
    softmax,
    sum,
    take,
    value_and_grad,
    vjp,
    where,
)

a, b = Value(2.0, label="a"), Value(-1.0)
assert_type(a + 1, Value)
assert_type(2 / a - np.float32(1), Value)
assert_type(-(a ** Fraction(1, 2)), Value)
assert_type(a.tanh(), Value)
assert_type(a.maximum(0), Value)
assert_type(a > b, bool)
assert_type(exp(a), Value)
assert_type(exp(1), float)
assert_type(where(a, b, 0.0), Value)
assert_type(sum([a, b]), Value)
assert_type(dot([a, b], [1.0, 2.0]), Value)
assert_type(dot([1.0], [2.0]), float)
assert_type(logsumexp([a, b]), Value)
assert_type(take([a, b], 1), Value)
assert_type(mean([a, b]), Value)
assert_type(softmax([a, b]), list[Value])
assert_type(gelu(a), Value)
assert_type(gelu(1.0), float)
assert_type(a.ceil(), Value)
a.tahn()  # type: ignore
exp("1")  # type: ignore
exp(None)  # type: ignore
assert_type(exp(np.zeros(3)), NDArray[Any])
assert_type(exp([a, b]), list[Value])
assert_type(exp([0.0, 1.0]), list[float])
assert_type(exp([[0.0, 1.0]]), list[Any])
assert_type(maximum([0.0, 1.0], 0.5), Any)
relu(a, b)  # type: ignore
a + "1"  # type: ignore
a + None  # type: ignore

cube = primitive("cube of the checkers", "cube(x)", lambda x: x * x * x, lambda x, out: 3 * x * x)
assert_type(cube(a), Value)
cube(a, a)  # type: ignore

model = MLP(2, [16, 1], activation="tanh", seed=1)
y = model([1.0, 2.0])
loss = hinge(y, 1)
assert_type(loss, Value)
assert_type(mse([1.0], [2.0]), float)
(y - 1.0).backward()
for output in y:
    assert_type(output, Value)
assert_type(y[0], Value)
y.bakward()  # type: ignore
loss.bakward()  # type: ignore
loss.draw(digits=3, view="graph").save("loss.svg")
loss.draw(digit=3)  # type: ignore
print(loss.explain(model.parameters()[0], depth=2).value, loss.why(a))
loss.explain(a, deep=2)  # type: ignore


def area(x: Value, y: Value) -> Value:
    return x * y


compiled = jit(area)
assert_type(compiled(1.0, 2.0), float)
assert_type(compiled(a, b), Value)
compiled.map(np.ones(3), np.ones(3))
compiled.mop(np.ones(3))  # type: ignore
with compiled.training(SGD(model.parameters(), lr=0.1)) as step:
    assert_type(step(1.0, 2.0), float)


@jit(backend="numpy")
def doubled(x: Value) -> Value:
    return 2 * x


assert_type(doubled(3.0), float)


@checkpoint
def kept(x: Value) -> Value:
    return 2 * x


@no_grad
def plain(x: Value) -> float:
    return x.data


assert_type(kept(a), Value)
assert_type(plain(a), float)
kept("a")  # type: ignore
plain()  # type: ignore

assert_type(grad(area)(1.0, 2.0), float)
assert_type(grad(area)(a, b), Value)
assert_type(grad(lambda x: x[0] * x[1])([1.0, 2.0]), list[float])
assert_type(value_and_grad(area)(1.0, 2.0), tuple[float, float])
assert_type(hessian(lambda x: x**3)(1.0), float)


def polar(x: list[Value]) -> list[Value]:
    return [x[0] * x[1].cos(), x[0] * x[1].sin()]


def scaled(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 2.0 * x


def square_root(p: float) -> float:
    return math.sqrt(p)


assert_type(grad(area)(1.0, b), Value)  # a Value among the arguments: a derivative that can be differentiated again
assert_type(value_and_grad(area)(1.0, b), tuple[Value, Value])
assert_type(grad(area)(1.0, y=2.0), float)
assert_type(grad(grad(area))(1.0, 2.0), float)
xs: NDArray[np.float64] = np.ones(3)
assert_type(grad(scaled)(xs), NDArray[np.float64])
slopes = grad(area, argnums=(0, 1))(1.0, 2.0)
assert_type(slopes[0], Any)
slopes.append(1.0)  # type: ignore
assert_type(jacobian(area)(1.0, 2.0), float)
assert_type(jacobian(polar)([1.0, 2.0]), list[list[float]])
assert_type(jacobian(polar)([a, b]), list[list[Value]])
assert_type(jacobian(polar, mode="forward")([1.0, 2.0])[0][0], float)
assert_type(jacobian(scaled)(xs), NDArray[Any])
jacobian(polar)()  # type: ignore
jacobian(polar, modes="forward")  # type: ignore
assert_type(jvp(area, (1.0, 2.0), (1.0, 0.0)), tuple[float, float])
assert_type(jvp(area, (a, b), (1.0, 0.0)), tuple[Value, Value])
assert_type(jvp(polar, ([1.0, 2.0],), ([1.0, 0.0],)), tuple[list[float], list[float]])
jvp(area, (1.0, 2.0))  # type: ignore
product, pull = vjp(area, 1.0, 2.0)
assert_type(product, float)
assert_type(pull(1.0), tuple[float, ...])
pull("1")  # type: ignore
point, pull_point = vjp(polar, [1.0, 2.0])
assert_type(point, list[float])
assert_type(pull_point([1.0, 0.0])[0], list[float])
assert_type(vjp(area, a, b)[0], Value)
assert_type(hvp(lambda x: x[0] * x[1], ([1.0, 2.0],), ([1.0, 0.0],)), list[float])
root = implicit(lambda y, p: y**2 - p, square_root)
assert_type(root(9.0), float)
assert_type(root(a), Value)
assert_type(grad(root)(9.0), float)
rooted = custom_derivative(square_root, lambda p, out: 0.5 / out)
assert_type(rooted(9.0), float)
assert_type(rooted(a) + 1, Value)
with no_grad():
    a = a.detach()
