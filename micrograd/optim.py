"""The import path of 0.1.0; the optimisers are defined in `micrograd.nn.optim`."""

from micrograd.nn.optim import SGD, Adam, AdamW, Optimiser

__all__ = ["SGD", "Adam", "AdamW", "Optimiser"]
