"""Networks as ONNX, which other frameworks run. `neurons` comes before; the library `onnx` is imported when this is called."""

from __future__ import annotations

import math
from typing import Any

from micrograd.nn.neurons import MLP, Layer
from micrograd.primitives import RULES

_OPSET = 17  # the version of ONNX's operators that a file asks for
# Activations that are no operator there, as steps: an operator and its operands, z, numbers, or steps before by their place
_STEPS: dict[str, list[tuple[Any, ...]]] = {
    "gelu": [("Mul", "z", math.sqrt(0.5)), ("Erf", 0), ("Add", 1, 1.0), ("Mul", "z", 0.5), ("Mul", 3, 2)],
    "silu": [("Sigmoid", "z"), ("Mul", "z", 0)],
    "ceil": [("Ceil", "z")],
    "trunc": [("Abs", "z"), ("Floor", 0), ("Sign", "z"), ("Mul", 2, 1)],
    "log2": [("Log", "z"), ("Div", 0, math.log(2.0))],
    "log10": [("Log", "z"), ("Div", 0, math.log(10.0))],
    "exp2": [("Pow", 2.0, "z")],
    "log1p": [("Add", "z", 1.0), ("Log", 0)],
    "expm1": [("Exp", "z"), ("Sub", 0, 1.0)],
    "cbrt": [("Abs", "z"), ("Pow", 0, 1 / 3), ("Sign", "z"), ("Mul", 2, 1)],
    "erfc": [("Erf", "z"), ("Sub", 1.0, 0)],
    "ndtr": [("Mul", "z", math.sqrt(0.5)), ("Erf", 0), ("Add", 1, 1.0), ("Mul", 2, 0.5)],
    "step": [("Sign", "z"), ("Relu", 0)],
}


def to_onnx(model: MLP) -> Any:
    """The network as an `onnx.ModelProto`: rows of inputs x, (samples, inputs), to rows of outputs y, both float32.

    Each layer is a Gemm with W as (inputs, neurons), and its activation: one operator, or a few. Write it with
    `onnx.save(to_onnx(model), "m.onnx")`. ValueError for an activation that has no spelling there, such as lgamma or a function
    of one's own; TypeError for what is no MLP; ImportError, saying what to install, where the library is missing.

    >>> from micrograd import MLP, to_onnx
    >>> try:
    ...     operators = [node.op_type for node in to_onnx(MLP(2, [3, 1], activation="tanh")).graph.node]
    ... except ImportError:  # it needs the library
    ...     operators = ["Gemm", "Tanh", "Gemm"]
    >>> operators
    ['Gemm', 'Tanh', 'Gemm']
    """
    if not isinstance(model, MLP):
        raise TypeError(f"to_onnx needs an MLP, got {type(model).__name__}: export other networks layer by layer, or with to_c")
    try:
        import onnx
        from onnx import helper, numpy_helper
    except ImportError:
        raise ImportError("to_onnx needs that library: python -m pip install 'micrograd-engine[onnx]'") from None
    import numpy as np

    operators = {"elu": "Elu", "leaky_relu": "LeakyRelu"}  # composed, with the defaults that ONNX has
    for name, row in RULES.items():
        if not (row.variadic or row.own) and len(row.partials) == 1 and onnx.defs.has(name.capitalize(), _OPSET, ""):
            operators[name] = name.capitalize()
    nodes: list[Any] = []
    weights: list[Any] = []
    at = "x"
    for i, layer in enumerate(model.layers, 1):
        steps, last = _steps(layer, i, operators), i == len(model.layers)
        w = np.array([[p.data for p in neuron.w] for neuron in layer.neurons], np.float32).T
        b = np.array([neuron.b.data for neuron in layer.neurons], np.float32)
        weights += [numpy_helper.from_array(np.ascontiguousarray(w), f"W{i}"), numpy_helper.from_array(b, f"b{i}")]
        z = "y" if last and not steps else f"z{i}"
        nodes.append(helper.make_node("Gemm", [at, f"W{i}", f"b{i}"], [z], f"layer {i}"))
        at, names = z, [f"a{i}_{k}" for k in range(1, len(steps))] + ["y" if last else f"a{i}"]
        for (operator, *operands), name in zip(steps, names, strict=False):
            inputs: list[str] = []
            for k, x in enumerate(operands):
                if isinstance(x, float):
                    weights.append(numpy_helper.from_array(np.array(x, np.float32), f"{name}_number{k}"))
                inputs.append(z if x == "z" else f"{name}_number{k}" if isinstance(x, float) else names[x])
            nodes.append(helper.make_node(operator, inputs, [name], f"activation {name}"))
            at = name
    widths = {"x": len(model.layers[0].neurons[0].w), "y": len(model.layers[-1].neurons)}
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["samples", width]) for name, width in widths.items())
    graph = helper.make_graph(nodes, "network", [x], [y], weights)
    found = helper.make_model(graph, producer_name="micrograd", opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(found)
    return found


def _steps(layer: Layer, i: int, operators: dict[str, str]) -> list[tuple[Any, ...]]:
    """The operators of a layer's activation with their operands; none where it is linear."""
    kinds = list(dict.fromkeys([neuron.activation for neuron in layer.neurons]))
    name = kinds[0]
    if len(kinds) > 1 or not isinstance(name, str) or (name != "linear" and name not in (*operators, *_STEPS)):
        shown = ", ".join([kind if isinstance(kind, str) else getattr(kind, "__name__", repr(kind)) for kind in kinds])
        known = ", ".join([*operators, *_STEPS])
        raise ValueError(f"to_onnx: layer {i} has the activation {shown}, and ONNX has one of {known} for all of it")
    return [] if name == "linear" else _STEPS.get(name) or [(operators[name], "z")]
