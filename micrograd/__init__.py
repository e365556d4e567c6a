"""micrograd: scalar-level reverse-mode automatic differentiation that shows and explains every derivative."""

from micrograd.engine import Value, adjoints, constant, topological_order
from micrograd.functional import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from micrograd.losses import binary_cross_entropy, cross_entropy, hinge, mse
from micrograd.modes import detect_anomaly, enable_grad, no_grad
from micrograd.nn import MLP, Layer, Module, Neuron
from micrograd.optim import SGD, Adam, AdamW
from micrograd.primitives import (
    abs,
    acos,
    asin,
    atan,
    atan2,
    cos,
    cosh,
    dot,
    equal,
    erf,
    exp,
    expm1,
    greater,
    less,
    log,
    log1p,
    logsumexp,
    maximum,
    minimum,
    pow,
    primitive,
    relu,
    sigmoid,
    sign,
    sin,
    sinh,
    softplus,
    sqrt,
    step,
    sum,
    take,
    tan,
    tanh,
    where,
)  # fmt: skip

__version__ = "0.1.0"

__all__ = [
    "MLP", "SGD", "Adam", "AdamW", "Layer", "Module", "Neuron", "Value", "abs", "acos", "adjoints", "asin", "atan",
    "atan2", "binary_cross_entropy", "constant", "cos", "cosh", "cross_entropy", "detect_anomaly", "dot", "enable_grad",
    "equal", "erf", "exp", "expm1", "grad", "greater", "hessian", "hinge", "hvp", "jacobian", "jvp", "less", "log", "log1p",
    "logsumexp", "maximum", "minimum", "mse", "no_grad", "pow", "primitive", "relu", "sigmoid", "sign", "sin", "sinh",
    "softplus", "sqrt", "step", "sum", "take", "tan", "tanh", "topological_order", "value_and_grad", "vjp", "where",
]  # fmt: skip
