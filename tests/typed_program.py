"""A user's program, for type checkers: each line must pass, but for those that say `# wrong`, of which each must not."""

from fractions import Fraction
from typing import assert_type

import numpy as np

from micrograd import (
    MLP,
    SGD,
    Value,
    checkpoint,
    dot,
    exp,
    gelu,
    grad,
    hessian,
    hinge,
    jit,
    logsumexp,
    mean,
    mse,
    no_grad,
    primitive,
    relu,
    softmax,
    sum,
    take,
    value_and_grad,
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
a.tahn()  # wrong
exp("1")  # wrong
exp(np.zeros(3))  # wrong
relu(a, b)  # wrong
a + "1"  # wrong
a + None  # wrong

cube = primitive("cube of the checkers", "cube(x)", lambda x: x * x * x, lambda x, out: 3 * x * x)
assert_type(cube(a), Value)
cube(a, a)  # wrong

model = MLP(2, [16, 1], activation="tanh", seed=1)
y = model([1.0, 2.0])
loss = hinge(y, 1)
assert_type(loss, Value)
assert_type(mse([1.0], [2.0]), float)
(y - 1.0).backward()
for output in y:
    assert_type(output, Value)
assert_type(y[0], Value)
y.bakward()  # wrong
loss.bakward()  # wrong
loss.draw(digits=3, view="graph").save("loss.svg")
loss.draw(digit=3)  # wrong
print(loss.explain(model.parameters()[0], depth=2).value, loss.why(a))
loss.explain(a, deep=2)  # wrong


def area(x: Value, y: Value) -> Value:
    return x * y


compiled = jit(area)
assert_type(compiled(1.0, 2.0), float)
assert_type(compiled(a, b), Value)
compiled.map(np.ones(3), np.ones(3))
compiled.mop(np.ones(3))  # wrong
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
kept("a")  # wrong
plain()  # wrong

assert_type(grad(area)(1.0, 2.0), float)
assert_type(grad(area)(a, b), Value)
assert_type(grad(lambda x: x[0] * x[1])([1.0, 2.0]), list[float])
assert_type(value_and_grad(area)(1.0, 2.0), tuple[float, float])
assert_type(hessian(lambda x: x**3)(1.0), float)
with no_grad():
    a = a.detach()
