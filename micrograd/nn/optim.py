"""Steps down the gradient. The state belongs to the optimiser, never to a Value.

`nn` makes the parameters, `Value.backward` their gradients. The rule of an optimiser, `update`, is written once and
works on floats and on arrays alike. `schedules` has rates that change from step to step; `lbfgs` goes by whole passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple, Self, cast

from micrograd.elementwise import items_of
from micrograd.engine import Value
from micrograd.engine.assign import assign, zero_gradients
from micrograd.engine.modes import after_step
from micrograd.primitives import number

OTHER_NAMES = {  # what other libraries call what is an argument here
    "learning_rate": "lr", "rate": "lr", "step_size": "lr", "params": "parameters", "epsilon": "eps", "decay": "weight_decay",
    "rho": "alpha", "max_norm": "clip_norm", "clipnorm": "clip_norm", "clipvalue": "clip_value",
}  # fmt: skip
Rate = float | Callable[[int], float]  # a learning rate, or a function from the number of steps done to one


def not_negative(name: str, x: Any) -> float:
    """`x` as a float. ValueError where it is negative or not finite."""
    found = number(x, name)
    if not (math.isfinite(found) and found >= 0):
        raise ValueError(f"{name} must be a finite number and not negative, got {x!r}")
    return found


def _fraction(name: str, x: Any) -> float:
    found = number(x, name)
    if not 0 <= found < 1:
        raise ValueError(f"{name} must be in [0, 1), got {x!r}")
    return found


class Group(NamedTuple):
    """Some of an optimiser's parameters, one after the other, with a rate of their own; None for the optimiser's."""

    places: slice
    lr: Rate | None


def clip_grad_norm(parameters: Iterable[Value], max_norm: float) -> float:
    """The norm √Σ g² of all gradients together, before they are scaled so that it is at most `max_norm`.

    >>> a, b = Value(0.0), Value(0.0)
    >>> a.grad, b.grad = 3.0, 4.0
    >>> clip_grad_norm([a, b], 1.0), round(a.grad, 12), round(b.grad, 12)
    (5.0, 0.6, 0.8)
    """
    parameters = values_of("clip_grad_norm", parameters)
    grads = [p.grad for p in parameters]
    scale = _scale(grads, not_negative("max_norm", max_norm))
    assign(parameters, ["grad"] * len(grads), [g * scale for g in grads])
    return math.hypot(*grads)


def clip_grad_value(parameters: Iterable[Value], max_value: float) -> None:
    """Bring every gradient into [-max_value, max_value].

    >>> a = Value(0.0)
    >>> a.grad = -3.0
    >>> clip_grad_value([a], 0.5)
    >>> a.grad
    -0.5
    """
    parameters, most = values_of("clip_grad_value", parameters), not_negative("max_value", max_value)
    assign(parameters, ["grad"] * len(parameters), [_bounded(p.grad, most) for p in parameters])


def given(name: str, parameters: Any) -> list[Any]:
    """What a list of parameters holds; TypeError where it is no list."""
    found = None if isinstance(parameters, dict) else items_of(parameters)
    if found is None:
        advice = "pass .parameters() of the model, or a list of Values"
        raise TypeError(f"{name} needs a list of Values, got {type(parameters).__name__} {parameters!r}: {advice}")
    return found


def values_of(name: str, parameters: Any) -> list[Value]:
    """The Values of a list of parameters; TypeError where it holds anything else."""
    return [_value(name, p) for p in given(name, parameters)]


def _value(name: str, p: Any) -> Value:
    if not isinstance(p, Value):
        raise TypeError(f"{name} needs Values as parameters, got {type(p).__name__} {p!r}")
    return p


def _scale(grads: Sequence[float], max_norm: float) -> float:
    norm = math.hypot(*grads)
    return max_norm / norm if norm > max_norm else 1.0  # a norm that is no number leaves them as they are


def _length(grad: Any) -> float:
    """The norm of an array; where its squares overflow, by the slower way of `_scale`."""
    import numpy as np

    with np.errstate(over="ignore"):
        norm = math.sqrt(float(grad @ grad))
    return norm if norm != math.inf else math.hypot(*grad.tolist())


def _bounded(g: float, most: float) -> float:
    return -most if g < -most else most if g > most else g


class Optimiser:
    """A rule that moves parameters against their gradients.

    `update(data, grad, state)` gives the new data and the new state of one parameter, or of a whole array of them; it reads
    its settings, with `lr` as a number (or where groups are updated at once, an array of one for each) and `steps` counted
    from 1, on `self`.

    `parameters` is a list of Values, or of groups: dicts with "params" and their own "lr". A rate is a number, or a function
    from the number of steps done to one (see `schedules`). Before each step the gradients are brought into
    [-clip_value, clip_value], and scaled so that their norm is at most `clip_norm`, where these are given.
    """

    lr: Any  # a Rate; where `update` reads it, a number

    def __new__(cls, *args: Any, **named: Any) -> Self:
        known = _arguments(cast(Hashable, cls)) or named
        for name, x in named.items():
            if name not in known:
                meant = OTHER_NAMES.get(name)
                what = f"write {meant}={x!r}" if meant in known else f"it takes {', '.join(known)}"
                raise TypeError(f"{cls.__name__} has no argument {name!r}: {what}")
        return super().__new__(cls)

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: Rate,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ):
        self.lr, self.weight_decay = self._rate(lr), not_negative("weight_decay", weight_decay)
        self.clip_norm = None if clip_norm is None else not_negative("clip_norm", clip_norm)
        self.clip_value = None if clip_value is None else not_negative("clip_value", clip_value)
        self.parameters, self.groups = self._grouped(parameters)
        self.steps = 0
        self.state: list[tuple[Any, ...]] = [self.initial()] * len(self.parameters)

    def _rate(self, lr: Any) -> Rate:
        return lr if callable(lr) and not isinstance(lr, Value) else not_negative("lr", lr)

    def _grouped(self, parameters: Any) -> tuple[list[Value], list[Group]]:
        name = type(self).__name__
        listed = given(name, parameters)
        found: list[Value] = []
        groups: list[Group] = []
        for part in listed if listed and all(isinstance(part, dict) for part in listed) else [{"params": listed}]:
            if "params" not in part or set(part) - {"params", "lr"}:
                raise ValueError(f"a group of parameters is a dict with 'params' and, if wanted, 'lr'; got {sorted(part)}")
            start = len(found)
            found += part["params"]
            lr = part.get("lr")
            groups.append(Group(slice(start, len(found)), lr if lr is None else self._rate(lr)))
        if not found:
            raise ValueError(f"{name} needs at least one parameter, got none")
        seen: set[Value] = set()
        for p in found:
            if _value(name, p).rule is not None:
                raise ValueError(f"{name} needs leaves as parameters, got {p!r}, made by {p.op!r}")
            if p in seen:
                raise ValueError(f"{name} got a parameter twice: {p!r}")
            seen.add(p)
        return found, groups

    def initial(self) -> tuple[float, ...]:
        """The state of a parameter before the first step."""
        raise NotImplementedError

    def update(self, data: Any, grad: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """A parameter and its state after a step: of floats, or of arrays of many parameters alike."""
        raise NotImplementedError

    def _next(self, own: Rate | None) -> Self:
        """This optimiser as at its next step, its rate a number: the one of a group, where that has its own."""
        lr = self.lr if own is None else own
        if callable(lr):
            lr = not_negative(f"the learning rate of step {self.steps}", lr(self.steps))
        elif lr.__class__ is not float:
            lr = not_negative("lr", lr)
        now = object.__new__(self.__class__)
        now.__dict__ = self.__dict__.copy()
        now.steps += 1
        now.lr = lr
        return now

    def step(self) -> None:
        """Move every parameter once, by the gradient in its `.grad`: all of them, or none where something goes wrong."""
        grads = [p.grad for p in self.parameters]
        if self.clip_value is not None:
            grads = [_bounded(g, self.clip_value) for g in grads]
        if self.clip_norm is not None:
            scale = _scale(grads, self.clip_norm)
            grads = [g * scale for g in grads]
        moved, state = [], []
        for places, own in self.groups:
            now = self._next(own)
            for p, g, s in zip(self.parameters[places], grads[places], self.state[places], strict=True):
                data, s = now.update(float(p.data), g, s)
                moved.append(data)
                state.append(s)
        names = ["data"] * len(moved)
        assign([*self.parameters, self, self], [*names, "state", "steps"], [*moved, state, self.steps + 1])
        for told in after_step:
            told(self, None)

    def advance(self, data: Any, grad: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """The data and the state of all parameters one step on, as arrays; nothing is changed, `steps` neither."""
        if self.clip_value is not None:
            grad = grad.clip(-self.clip_value, self.clip_value)
        if self.clip_norm is not None and (norm := _length(grad)) > self.clip_norm:
            grad = grad * (self.clip_norm / norm)
        first, *others = self.groups
        now = self._next(first.lr)
        if others:  # one update of all is far quicker than one for each group, and each number is the same
            rates = data.copy()
            rates[first.places] = now.lr
            for places, own in others:
                rates[places] = self._next(own).lr
            now.lr = rates
        return now.update(data, grad, state)

    def zero_grad(self) -> None:
        """Set the gradient of each parameter to 0, before the next backward()."""
        zero_gradients(self.parameters)

    def __repr__(self) -> str:
        hidden = ("parameters", "groups", "steps", "state")
        settings = {k: v for k, v in vars(self).items() if k not in hidden and v is not None}
        shown = [f"{k}={getattr(v, '__name__', v)}" for k, v in settings.items()]
        many = f"{len(self.parameters)} parameters" + (f" in {len(self.groups)} groups" if len(self.groups) > 1 else "")
        return f"{type(self).__name__}({many}, {', '.join(shown)})"


@cache
def _arguments(kind: Any) -> list[str] | None:
    """The names of the arguments that make an optimiser of this class; None where it takes any name."""
    import inspect  # when it is used: it takes a fifth of what `import micrograd` takes

    spec = inspect.getfullargspec(kind.__init__)
    return None if spec.varkw is not None else [*spec.args[1:], *spec.kwonlyargs]


class SGD(Optimiser):
    """Gradient descent, x -= lr v with v = momentum v + (g + weight_decay x). Momentum as in PyTorch, without dampening.

    >>> x = Value(1.0)
    >>> optimiser = SGD([x], lr=0.25)
    >>> (x * x).backward()
    >>> optimiser.step()
    >>> x.data
    0.5
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: Rate = 0.01,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ):
        super().__init__(parameters, lr, weight_decay, clip_norm=clip_norm, clip_value=clip_value)
        self.momentum = _fraction("momentum", momentum)

    def initial(self) -> tuple[float, ...]:
        return (0.0,)

    def update(self, data: Any, grad: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        (v,) = state
        if self.weight_decay:
            grad = grad + self.weight_decay * data
        v = self.momentum * v + grad if self.momentum else grad
        return data - self.lr * v, (v,)


class RMSprop(Optimiser):
    """Steps divided by the root of a running mean of g² (Tieleman and Hinton, 2012), in PyTorch's form.

    >>> x = Value(1.0)
    >>> optimiser = RMSprop([x], lr=0.01)
    >>> for _ in range(300):
    ...     optimiser.zero_grad()
    ...     ((x - 3) ** 2).backward()
    ...     optimiser.step()
    >>> round(x.data, 1)
    3.0
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: Rate = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ):
        super().__init__(parameters, lr, weight_decay, clip_norm=clip_norm, clip_value=clip_value)
        self.alpha, self.momentum = _fraction("alpha", alpha), _fraction("momentum", momentum)
        self.eps = not_negative("eps", eps)

    def initial(self) -> tuple[float, ...]:
        return (0.0, 0.0)

    def update(self, data: Any, grad: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        v, moving = state
        if self.weight_decay:
            grad = grad + self.weight_decay * data
        v = self.alpha * v + (1 - self.alpha) * (grad * grad)
        moving = self.momentum * moving + grad / (v**0.5 + _above_zero(self.eps, grad))
        return data - self.lr * moving, (v, moving)


class Adam(Optimiser):
    """Adam (Kingma and Ba, 2015), with weight decay added to the gradient.

    With eps = 0, a parameter whose gradient has been 0 from the start stays where it is.

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
        parameters: Iterable[Any],
        lr: Rate = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ):
        super().__init__(parameters, lr, weight_decay, clip_norm=clip_norm, clip_value=clip_value)
        try:
            beta1, beta2 = map(number, betas)
        except (TypeError, ValueError):
            raise TypeError(f"betas must be two numbers, got {betas!r}") from None
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise ValueError(f"betas must be in [0, 1), got {betas}")
        self.betas, self.eps = (beta1, beta2), not_negative("eps", eps)

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
        return data - self.lr * (m / (1 - beta1**self.steps)) / (unbiased + _above_zero(self.eps, grad)), (m, v)


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
        parameters: Iterable[Any],
        lr: Rate = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ):
        super().__init__(parameters, lr, betas, eps, weight_decay, clip_norm=clip_norm, clip_value=clip_value)


def _above_zero(eps: float, grad: Any) -> float:
    """`eps`, or for 0 a number below the root of any square that is not 0: so 0 / 0 cannot occur."""
    return eps or (1e-25 if getattr(grad, "dtype", None) == "float32" else 1e-170)
