"""Transforms of functions: grad, value_and_grad, jacobian, hessian, jvp, vjp, hvp; implicit functions and checkpoints."""

from micrograd.functional.checkpoints import checkpoint
from micrograd.functional.custom import custom_derivative, gradients, stop_gradient
from micrograd.functional.roots import implicit
from micrograd.functional.transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

__all__ = [
    "checkpoint", "custom_derivative", "grad", "gradients", "hessian", "hvp", "implicit", "jacobian", "jvp", "stop_gradient",
    "value_and_grad", "vjp",
]  # fmt: skip
