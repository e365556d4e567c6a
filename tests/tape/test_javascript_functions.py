"""Functions written as JavaScript and run by Node."""

import json
import shutil
import subprocess

import numpy as np
import pytest

import micrograd as mg
from micrograd import MLP, grad, hessian, mse, to_javascript

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node")


def run(source, x, tmp_path):
    (tmp_path / "f.js").write_text(source, encoding="utf-8")
    program = f"console.log(JSON.stringify(require('./f.js')({json.dumps(x)})))"
    return json.loads(subprocess.run([NODE, "-e", program], cwd=tmp_path, check=True, capture_output=True, text=True).stdout)


@needs_node
def test_values_gradients_and_hessians(tmp_path):
    def f(x, y):
        return mg.sin(x * y) + mg.exp(-x) / (1 + y * y)

    assert run(to_javascript(f, 0.7, -1.3), [0.7, -1.3], tmp_path) == pytest.approx([f(0.7, -1.3)], rel=1e-15)
    assert run(to_javascript(grad(f), 0.7, -1.3), [0.2, 0.4], tmp_path) == pytest.approx([grad(f)(0.2, 0.4)], rel=1e-14)
    found = run(to_javascript(hessian(lambda v: v[0] * v[1] ** 3), [1.0, 2.0]), [1.5, 2.5], tmp_path)
    assert found == pytest.approx(np.ravel(hessian(lambda v: v[0] * v[1] ** 3)([1.5, 2.5])), rel=1e-14)


@needs_node
def test_a_network_with_its_gradient(tmp_path):
    net = MLP(2, [4, 3], activation="tanh", seed=1)
    x, t = [0.5, -0.2], [0.1, 0.2, 0.3]
    loss = mse(net(x), t)
    loss.backward()
    found = run(to_javascript(lambda x, t: mse(net(x), t), x, t, gradient=True), [*x, *t], tmp_path)
    assert sorted(found) == pytest.approx(sorted([loss.data, *[p.grad for p in net.parameters()]]), rel=1e-12)


def test_what_cannot_be_written():
    with pytest.raises(ValueError, match=r"use where\(c, a, b\)"):
        to_javascript(lambda x: x if x > 0 else -x, 1.0)
    with pytest.raises(ValueError, match="needs a name"):
        to_javascript(lambda x: x, 1.0, name="2f")


@needs_node
def test_a_row_of_ones_own(tmp_path):
    cube = mg.primitive("cube", "cube(x)", lambda x: x * x * x - 2.0, lambda x, out: 3 * x * x)
    try:
        assert run(to_javascript(lambda x: cube(x) + 1, 1.5), [2.0], tmp_path) == [7.0]
    finally:
        del mg.primitives.RULES["cube"]
