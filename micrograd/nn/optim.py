"""Steps down the gradient. The state belongs to the optimiser, never to a Value.

`nn` makes the parameters, `Value.backward` their gradients. The rule of an optimiser, `update`, is written once and
works on floats and on arrays alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from micrograd.engine import Value
from micrograd.primitives import number


def _check(**settings: float) -> None:
    """ValueError for a setting that is negative or not finite."""
    for name, x in settings.items():
        if not (math.isfinite(number(x)) and x >= 0):
            raise ValueError(f"{name} must be a finite number and not negative, got {x!r}")


class Optimiser:
    """A rule that moves parameters against their gradients.

    `update(data, grad, state)` gives the new data and the new state of one parameter, or of a whole array of them.
    """

    def __init__(self, parameters: Iterable[Value], lr: float, weight_decay: float = 0.0):
        if not hasattr(type(parameters), "__iter__"):
            advice = "pass .parameters() of the model, or a list of Values"
            raise TypeError(
                f"{type(self).__name__} needs a list of Values, got {type(parameters).__name__} {parameters!r}: {advice}"
            )
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError(f"{type(self).__name__} needs at least one parameter, got none")
        for p in self.parameters:
            if not isinstance(p, Value):
                raise TypeError(f"{type(self).__name__} needs Values as parameters, got {type(p).__name__} {p!r}")
            if p.rule is not None:
                raise ValueError(f"{type(self).__name__} needs leaves as parameters, got {p!r}, made by {p.op!r}")
        if len(set(self.parameters)) < len(self.parameters):
            twice = next(p for i, p in enumerate(self.parameters) if p in set(self.parameters[:i]))
            raise ValueError(f"{type(self).__name__} got a parameter twice: {twice!r}")
        _check(lr=lr, weight_decay=weight_decay)
        self.lr, self.weight_decay = lr, weight_decay
        self.steps = 0
        self.state: list[tuple[Any, ...]] = [self.initial()] * len(self.parameters)

    def initial(self) -> tuple[float, ...]:
        """The state of a parameter before the first step."""
        raise NotImplementedError

    def update(self, data: Any, grad: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        raise NotImplementedError

    def step(self) -> None:
        """Move every parameter once, by the gradient in its `.grad`."""
        self.steps += 1
        for i, p in enumerate(self.parameters):
            p.data, self.state[i] = self.update(p.data, p.grad, self.state[i])

    def zero_grad(self) -> None:
        for p in self.parameters:
            p.grad = 0.0


class SGD(Optimiser):
    """Gradient descent, x -= lr v with v = momentum v + (g + weight_decay x). Momentum as in PyTorch, without dampening.

    >>> x = Value(1.0)
    >>> optimiser = SGD([x], lr=0.25)
    >>> (x * x).backward()
    >>> optimiser.step()
    >>> x.data
    0.5
    """

    def __init__(self, parameters: Iterable[Value], lr: float = 0.01, momentum: float = 0.0, weight_decay: float = 0.0):
        super().__init__(parameters, lr, weight_decay)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}")
        self.momentum = momentum

    def initial(self) -> tuple[float, ...]:
        return (0.0,)

    def update(self, data: Any, grad: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        (v,) = state
        if self.weight_decay:
            grad = grad + self.weight_decay * data
        v = self.momentum * v + grad if self.momentum else grad
        return data - self.lr * v, (v,)


class Adam(Optimiser):
    """Adam (Kingma and Ba, 2015), with weight decay added to the gradient.

    >>> x = Value(1.0)
    >>> optimiser = Adam([x], lr=0.1)
    >>> for _ in range(200):
    ...     optimiser.zero_grad()
    ...     ((x - 3) ** 2).backward()
    ...     optimiser.step()
    >>> round(x.data, 2)
    3.0
    """

    decoupled = False

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, lr, weight_decay)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be in [0, 1), got {betas}")
        _check(eps=eps)
        self.betas, self.eps = betas, eps

    def initial(self) -> tuple[float, ...]:
        return (0.0, 0.0)

    def update(self, data: Any, grad: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        (m, v), (beta1, beta2) = state, self.betas
        if self.decoupled:
            data = data * (1 - self.lr * self.weight_decay)
        else:
            grad = grad + self.weight_decay * data
        m = beta1 * m + (1 - beta1) * grad
        v = beta2 * v + (1 - beta2) * (grad * grad)
        unbiased = (v / (1 - beta2**self.steps)) ** 0.5
        return data - self.lr * (m / (1 - beta1**self.steps)) / (unbiased + self.eps), (m, v)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019): the decay shrinks the weights, not the moments.

    >>> x = Value(1.0)
    >>> optimiser = AdamW([x], lr=0.1, weight_decay=0.5)
    >>> optimiser.step()  # a gradient of 0: the decay alone
    >>> x.data
    0.95
    """

    decoupled = True

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        super().__init__(parameters, lr, betas, eps, weight_decay)
