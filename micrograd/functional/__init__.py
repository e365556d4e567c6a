"""Transforms of functions: grad, value_and_grad, jacobian, hessian, jvp, vjp, hvp."""

from micrograd.functional.transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]
