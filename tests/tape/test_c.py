"""Functions written as C and compiled: their results are those of the reference back end, to the bit."""

import math
import random
import shutil
import subprocess

import numpy as np
import pytest
from truth import CASES

import micrograd as mg
from micrograd import MLP, Value, grad, jacobian, jit, mse, to_c, to_javascript
from micrograd.primitives import RULES

CC = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
needs_cc = pytest.mark.skipif(CC is None, reason="needs a C compiler")


def run(source, tmp_path):
    """What the compiled test main prints, as floats; with warnings as errors."""
    source.save(str(tmp_path / "f.c"))
    flags = ["-std=c99", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-unused-variable", "-DTEST"]
    subprocess.run([CC, *flags, "f.c", "-o", "f", "-lm"], cwd=tmp_path, check=True, capture_output=True, text=True)
    return [float(line) for line in subprocess.run([tmp_path / "f"], check=True, capture_output=True, text=True).stdout.split()]


def same(found, wanted):
    wanted = [float(x) for x in wanted]
    return len(found) == len(wanted) and all(
        (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
        for a, b in zip(found, wanted, strict=True)
    )


@needs_cc
def test_value_gradient_and_jacobian(tmp_path):
    def f(x, y):
        return mg.sin(x * y) + mg.exp(-x) / (1 + y * y)

    assert same(run(to_c(f, 0.7, -1.3), tmp_path), [f(0.7, -1.3)])
    assert same(run(to_c(grad(f), 0.7, -1.3), tmp_path), [grad(f)(0.7, -1.3)])

    def g(v):
        return [v[0] * v[1], mg.tanh(v[1]), mg.logsumexp(v)]

    point = [0.3, 0.8]
    assert same(run(to_c(jacobian(g), point), tmp_path), np.ravel(jacobian(g)(point)))


@needs_cc
def test_a_network_with_its_gradient(tmp_path):
    net = MLP(2, [4, 3], activation="tanh", seed=1)
    f = jit(lambda x, t: mse(net(x), t), backend="reference")
    x, t = [0.5, -0.2], [0.1, 0.2, 0.3]
    f(x, t)  # recorded, it knows its parameters
    value, gradient = f.value_and_grad(f.theta(), [x], [t])
    source = to_c(f, x, t, gradient=True)
    assert run(source, tmp_path) == [value, *gradient.tolist()]
    assert "x: arguments (5), p: parameters (27), y: results (28)" in source.header


@needs_cc
def test_every_primitive_at_ordinary_and_odd_numbers_in_one_program(tmp_path):
    rng = random.Random(3)
    odd = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.5, 40.0, -745.0, 710.0, math.inf, -math.inf, math.nan, 5e-324]
    points = [*odd, *[rng.uniform(-3, 3) for _ in range(6)]]

    cases = [case for case in CASES if case.name != "take"]  # an index is no input

    def program(v):
        return [c.rule(*[v[(i + 7 * k) % len(v)] for k in range(len(c.domain))]) for c in cases for i in range(len(v))]

    source = to_c(program, points)
    values = program([Value(x) for x in points])
    found = run(source, tmp_path)
    assert len(found) == len(values) == len(cases) * len(points)
    for k, (a, b) in enumerate(zip(found, [v.data for v in values], strict=True)):
        case = cases[k // len(points)]
        if case.in_c and math.isfinite(a) and math.isfinite(b):
            assert abs(a - b) <= case.in_c * math.ulp(max(abs(b), case.unit)), case.name
        else:
            assert same([a], [b]), case.name


def test_what_cannot_be_written():
    with pytest.raises(ValueError, match=r"use where\(c, a, b\)"):
        to_c(lambda x: x if x > 0 else -x, 1.0)
    with pytest.raises(ValueError, match="C name"):
        to_c(lambda x: x, 1.0, name="2f")
    with pytest.raises(ValueError, match="returns one number"):
        to_c(lambda x: [x, x], 1.0, gradient=True)
    for write in (to_c, to_javascript):
        with pytest.raises(ValueError, match=r"closes over none: derivatives by its arguments come by transforms"):
            write(lambda x: x * x, 1.0, gradient=True)
    with pytest.raises(ValueError, match=r"ends in \.c"):
        to_c(lambda x: x * 2, 1.0).save("f.txt")


@needs_cc
def test_a_row_of_ones_own(tmp_path):
    cube = mg.primitive("cube", "cube(x)", lambda x: x * x * x - 2.0, lambda x, out: 3 * x * x)
    opaque = mg.primitive("opaque", "opaque(x)", lambda x: math.gamma(x), lambda x, out: x)
    try:
        assert same(run(to_c(lambda x: cube(x) + 1, 1.5), tmp_path), [1.5**3 - 1.0])
        with pytest.raises(ValueError, match="'opaque' cannot be written in C"):
            to_c(lambda x: opaque(x), 1.5)
    finally:
        del RULES["cube"], RULES["opaque"]
