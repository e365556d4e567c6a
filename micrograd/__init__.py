"""micrograd: scalar-level reverse-mode automatic differentiation that shows and explains every derivative.

Every function of mathematics here gives a number for numbers, a Value for Values, a list for a list, and an array for an
array:

>>> exp(0.0), log(1.0), expm1(0.0), log1p(0.0), sqrt(9.0), pow(2.0, 3.0)
(1.0, 0.0, 0.0, 0.0, 3.0, 8.0)
>>> sin(0.0), cos(0.0), tan(0.0), asin(0.0), acos(1.0), atan(0.0), atan2(0.0, 1.0)
(0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
>>> sinh(0.0), cosh(0.0), tanh(0.0), sigmoid(0.0), relu(-2.0), round(softplus(0.0), 4), erf(0.0)
(0.0, 1.0, 0.0, 0.5, 0.0, 0.6931, 0.0)
>>> log2(8.0), log10(1000.0), exp2(3.0), cbrt(8.0), hypot(3.0, 4.0)
(3.0, 3.0, 8.0, 2.0, 5.0)
>>> exp([0.0, 0.0]), maximum([[1.0], [2.0]], 1.5)
([1.0, 1.0], [[1.5], [2.0]])
>>> asinh(0.0), acosh(1.0), atanh(0.0), erfc(0.0), floor(-0.5)
(0.0, 0.0, 0.0, 1.0, -1.0)
>>> lgamma(1.0), round(digamma(1.0), 4), round(polygamma(1, 1.0), 4), ndtr(0.0)
(0.0, -0.5772, 1.6449, 0.5)
>>> abs(-2.0), sign(-2.0), step(3.0), maximum(1.0, 2.0), minimum(1.0, 2.0)
(2.0, -1.0, 1.0, 2.0, 1.0)
>>> greater(2.0, 1.0), less(2.0, 1.0), equal(2.0, 2.0)
(1.0, 0.0, 1.0)
>>> x = Value(0.0, label="x")
>>> sigmoid(x).partials
(0.25,)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from micrograd.composed import (
    ceil,
    clip,
    cumsum,
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    logaddexp,
    mean,
    norm,
    prod,
    round,
    silu,
    softmax,
    std,
    trunc,
    var,
)
from micrograd.engine import Value, adjoints, constant, topological_order
from micrograd.engine.modes import detect_anomaly, enable_grad, no_grad, scope
from micrograd.nn import MLP, Layer, Neuron
from micrograd.nn.losses import (
    binary_cross_entropy,
    cosine_similarity,
    cross_entropy,
    hinge,
    huber,
    kl_divergence,
    l1,
    mse,
    nll,
)
from micrograd.nn.module import Module
from micrograd.nn.optim import SGD, Adam, AdamW, RMSprop, clip_grad_norm, clip_grad_value
from micrograd.primitives import (
    abs,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cbrt,
    cos,
    cosh,
    digamma,
    dot,
    equal,
    erf,
    erfc,
    exp,
    exp2,
    expm1,
    floor,
    greater,
    hypot,
    less,
    lgamma,
    log,
    log1p,
    log2,
    log10,
    logsumexp,
    maximum,
    minimum,
    ndtr,
    polygamma,
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

if TYPE_CHECKING:
    from micrograd.check.find_bug import find_bug
    from micrograd.check.gradcheck import assert_gradients, gradcheck
    from micrograd.draw import Drawing, draw_dot, record, to_mermaid
    from micrograd.explain import Explanation, name_from, to_code
    from micrograd.formula.networkx import to_networkx
    from micrograd.formula.sympy import from_sympy, to_sympy
    from micrograd.functional import (
        checkpoint,
        custom_derivative,
        grad,
        gradients,
        hessian,
        hvp,
        implicit,
        jacobian,
        jvp,
        stop_gradient,
        value_and_grad,
        vjp,
    )
    from micrograd.nn.lbfgs import LBFGS
    from micrograd.nn.onnx import to_onnx
    from micrograd.nn.schedules import (
        constant_schedule,
        cosine_schedule,
        one_cycle_schedule,
        step_schedule,
        warmup_schedule,
    )
    from micrograd.tape.c import to_c
    from micrograd.tape.calling.nodes import opened
    from micrograd.tape.javascript import to_javascript
    from micrograd.tape.jit import jit

__version__ = "0.2.0"

_LATER = {  # by module, the names that are imported when they are first used, so that `import micrograd` stays quick
    "micrograd.check.find_bug": ("find_bug",),
    "micrograd.check.gradcheck": ("assert_gradients", "gradcheck"),
    "micrograd.draw": ("Drawing", "draw_dot", "record", "to_mermaid"),
    "micrograd.explain": ("Explanation", "name_from", "to_code"),
    "micrograd.formula.networkx": ("to_networkx",),
    "micrograd.formula.sympy": ("from_sympy", "to_sympy"),
    "micrograd.functional": (
        "checkpoint",
        "custom_derivative",
        "grad",
        "gradients",
        "hessian",
        "hvp",
        "implicit",
        "jacobian",
        "jvp",
        "stop_gradient",
        "value_and_grad",
        "vjp",
    ),
    "micrograd.nn.lbfgs": ("LBFGS",),
    "micrograd.nn.onnx": ("to_onnx",),
    "micrograd.nn.schedules": (
        "constant_schedule",
        "cosine_schedule",
        "one_cycle_schedule",
        "step_schedule",
        "warmup_schedule",
    ),
    "micrograd.tape": ("jit",),
    "micrograd.tape.calling.nodes": ("opened",),
    "micrograd.tape.c": ("to_c",),
    "micrograd.tape.javascript": ("to_javascript",),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            return globals().setdefault(name, getattr(import_module(module), name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "LBFGS", "MLP", "SGD", "Adam", "AdamW", "Drawing", "Explanation", "Layer", "Module", "Neuron", "RMSprop", "Value",
    "abs", "acos", "acosh", "adjoints", "asin", "asinh", "assert_gradients", "atan", "atan2", "atanh",
    "binary_cross_entropy", "cbrt", "ceil", "checkpoint", "clip", "clip_grad_norm", "clip_grad_value", "constant",
    "constant_schedule", "cos", "cosh", "cosine_schedule", "cosine_similarity", "cross_entropy", "cumsum",
    "custom_derivative", "detect_anomaly", "digamma", "dot", "draw_dot", "elu", "enable_grad", "equal", "erf", "erfc", "exp",
    "exp2", "expm1", "find_bug", "floor", "from_sympy", "gelu", "grad", "gradcheck", "gradients", "greater",
    "hessian", "hinge", "huber", "hvp", "hypot", "implicit", "jacobian", "jit", "jvp", "kl_divergence", "l1",
    "leaky_relu", "less", "lgamma", "log", "log1p", "log2", "log10", "log_softmax", "logaddexp", "logsumexp", "maximum",
    "mean", "minimum", "mse", "name_from", "ndtr", "nll", "no_grad", "norm", "one_cycle_schedule", "opened", "polygamma", "pow",
    "primitive", "prod", "record", "relu", "round", "scope", "sigmoid", "sign", "silu", "sin", "sinh", "softmax",
    "softplus", "sqrt", "std", "step", "step_schedule", "stop_gradient", "sum", "take", "tan", "tanh", "to_c", "to_code",
    "to_javascript", "to_mermaid", "to_networkx", "to_onnx", "to_sympy", "topological_order", "trunc", "value_and_grad",
    "var", "vjp", "warmup_schedule", "where",
]  # fmt: skip
