"""Networks out of Values: modules and their parameters, neurons and layers, losses, optimisers."""

from micrograd.nn.label import Label
from micrograd.nn.module import Module
from micrograd.nn.neurons import MLP, Layer, Neuron

__all__ = ["MLP", "Label", "Layer", "Module", "Neuron"]
