"""Networks as ONNX, run by onnxruntime."""

import sys

import numpy as np
import pytest

from micrograd import MLP, Layer, jit, to_onnx
from micrograd.composed import OF_ONE
from micrograd.primitives import RULES


@pytest.mark.parametrize(
    "activation", ["relu", "tanh", "sigmoid", "softplus", "sin", "erf", "atan", "abs", "elu", "leaky_relu", "gelu", "silu"]
)
def test_onnxruntime_gives_the_same_outputs(activation):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    X = np.random.default_rng(0).uniform(-2, 2, (50, 3))
    for nouts, output in (([8, 5, 2], "linear"), ([4, 1], activation), ([3], "linear")):
        model = MLP(3, nouts, activation=activation, output=output, seed=1)
        for k, p in enumerate(model.parameters()):
            p.data += 0.01 * (k % 7)  # no bias is 0, so that a lost one shows
        made = to_onnx(model)
        onnx.checker.check_model(made, full_check=True)
        session = runtime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {"x": X.astype(np.float32)})
        wanted = jit(lambda x, m=model: m(x)).map(X)
        wanted = np.stack(wanted, axis=1) if isinstance(wanted, list) else wanted.reshape(len(X), -1)
        np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5)


def test_activations_of_the_book_are_exported():
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    rows, exported = [], []
    for name, row in RULES.items():
        if row.variadic or row.own or len(row.partials) != 1:
            continue
        rows.append(name)
    for name in (*rows, *OF_ONE):
        model = MLP(1, [1, 1], activation=name, seed=1)
        try:
            made = to_onnx(model)
        except ValueError:
            continue
        exported.append(name)
        onnx.checker.check_model(made, full_check=True)
        session = runtime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
        X = np.linspace(-2.3, 2.3, 24)[:, None]
        (y,) = session.run(None, {"x": X.astype(np.float32)})
        np.testing.assert_allclose(y[:, 0], jit(lambda x, m=model: m(x)).map(X), rtol=1e-5, atol=1e-5, err_msg=name)
    assert {*rows, *OF_ONE} - set(exported) == {"lgamma", "digamma", "one_minus_square", "exp_minus_square"}


def test_what_has_no_export_is_named(monkeypatch):
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="layer 1 has the activation <lambda>, and ONNX has one of elu"):
        to_onnx(MLP(2, [2, 1], activation=lambda z: z * z))
    mixed = MLP(2, [2, 1])
    mixed.layers[0].neurons[1].activation = "tanh"
    with pytest.raises(ValueError, match="layer 1 has the activation relu, tanh, and ONNX has one of"):
        to_onnx(mixed)
    with pytest.raises(TypeError, match="to_onnx needs an MLP, got Layer"):
        to_onnx(Layer(2, 1))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"micrograd-engine\[onnx\]"):
        to_onnx(MLP(2, [1]))
