"""Networks as ONNX, which other frameworks run. `neurons` comes before; the library `onnx` is imported when this is called."""

from __future__ import annotations

from typing import Any

from micrograd.nn.neurons import MLP, Layer
from micrograd.primitives import RULES

_OPSET = 17  # the version of ONNX's operators that a file asks for


def to_onnx(model: MLP) -> Any:
    """The network as an `onnx.ModelProto`: rows of inputs x, (samples, inputs), to rows of outputs y, both float32.

    Each layer is a Gemm with W as (inputs, neurons), and its activation. Write it with `onnx.save(to_onnx(model), "m.onnx")`.
    ValueError for an activation that is no operator there, such as a function of one's own; TypeError for what is no MLP;
    ImportError, saying what to install, where the library is missing.

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
        operator, last = _operator(layer, i, operators), i == len(model.layers)
        w = np.array([[p.data for p in neuron.w] for neuron in layer.neurons], np.float32).T
        b = np.array([neuron.b.data for neuron in layer.neurons], np.float32)
        weights += [numpy_helper.from_array(np.ascontiguousarray(w), f"W{i}"), numpy_helper.from_array(b, f"b{i}")]
        z = "y" if last and operator is None else f"z{i}"
        nodes.append(helper.make_node("Gemm", [at, f"W{i}", f"b{i}"], [z], f"layer {i}"))
        at = z
        if operator is not None:
            at = "y" if last else f"a{i}"
            nodes.append(helper.make_node(operator, [z], [at], f"activation {i}"))
    widths = {"x": len(model.layers[0].neurons[0].w), "y": len(model.layers[-1].neurons)}
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["samples", width]) for name, width in widths.items())
    graph = helper.make_graph(nodes, "network", [x], [y], weights)
    found = helper.make_model(graph, producer_name="micrograd", opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(found)
    return found


def _operator(layer: Layer, i: int, operators: dict[str, str]) -> str | None:
    """The operator of a layer's activation; None where it is linear."""
    kinds = list(dict.fromkeys([neuron.activation for neuron in layer.neurons]))
    name = kinds[0]
    if len(kinds) > 1 or not isinstance(name, str) or (name != "linear" and name not in operators):
        shown = ", ".join([kind if isinstance(kind, str) else getattr(kind, "__name__", repr(kind)) for kind in kinds])
        raise ValueError(
            f"to_onnx: layer {i} has the activation {shown}, and ONNX has one of {', '.join(operators)} for all of it"
        )
    return None if name == "linear" else operators[name]
