"""The import path of 0.1.0; the losses are defined in `micrograd.nn.losses`."""

from micrograd.nn.losses import binary_cross_entropy, cross_entropy, hinge, mse

__all__ = ["binary_cross_entropy", "cross_entropy", "hinge", "mse"]
