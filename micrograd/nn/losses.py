"""What networks are trained to make small, as one Value: composed from the primitives in plain sight.

`nn` makes the predictions. Each loss takes one prediction and its target, or two sequences of one length (of numbers, or
of rows of them), and gives the mean. ValueError where the lengths differ.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

from micrograd.primitives import logsumexp, maximum, softplus, sum, take


def mse(predictions: Any, targets: Any) -> Any:
    """The mean squared error: (p - t)².

    >>> mse([1.0, 2.0], [0.0, 4.0])
    2.5
    """
    return _mean("mse", lambda p, t: (p - t) ** 2, predictions, targets)


def hinge(scores: Any, targets: Any) -> Any:
    """The mean hinge loss of scores for targets of -1 and +1: max(0, 1 - t s).

    >>> hinge([0.5, -2.0], [1, -1])
    0.25
    """

    def loss(s: Any, t: Any) -> Any:
        if isinstance(t, Real) and t not in (-1, 1):
            raise ValueError(f"hinge needs -1 or 1 as target, got {t!r}: for classes 0 and 1, 2 * t - 1")
        return maximum(1 - t * s, 0.0)

    return _mean("hinge", loss, scores, targets)


def binary_cross_entropy(logits: Any, targets: Any) -> Any:
    """The mean of -t log p - (1 - t) log(1 - p), with p = sigmoid(z), for targets from 0 to 1.

    It takes the logits z, what the last layer gives before a logistic function, as softplus(z) - t z: this form neither
    overflows nor loses the gradient where the logistic function saturates.

    >>> round(binary_cross_entropy([0.0, 4.0], [1, 0]), 4)  # log 2, and 4.0181
    2.3556
    """

    def loss(z: Any, t: Any) -> Any:
        if isinstance(t, Real) and not 0.0 <= float(t) <= 1.0:
            raise ValueError(f"binary_cross_entropy needs a target from 0 to 1, got {t!r}: for classes -1 and 1, (t + 1) / 2")
        return softplus(z) - t * z

    return _mean("binary_cross_entropy", loss, logits, targets)


def cross_entropy(logits: Any, targets: Any) -> Any:
    """The mean of -log softmax(z)[t], for a vector of logits z and the index t of the right class, or a list of each.

    >>> round(cross_entropy([1.0, 1.0, 1.0], 2), 4)  # the logarithm of 3
    1.0986
    """
    if not hasattr(logits, "__len__") or len(logits) == 0:
        raise ValueError(f"cross_entropy needs a list of logits, one for each class; got {logits!r}")
    one = not hasattr(logits[0], "__len__")
    return _mean("cross_entropy", _surprise, [logits] if one else logits, [targets] if one else targets, of_rows=True)


def _surprise(z: Any, t: Any) -> Any:
    if not hasattr(type(t), "__take__") and not (hasattr(t, "__index__") and 0 <= t < len(z)):
        raise ValueError(f"cross_entropy needs the index of a class, an int from 0 to {len(z) - 1}, as target, got {t!r}")
    return logsumexp(z) - take(z, t)


def _mean(name: str, loss: Callable[[Any, Any], Any], predictions: Any, targets: Any, of_rows: bool = False) -> Any:
    """The mean of the loss over all pairs; where they are rows and the loss is not one of rows, of the means of each."""
    many = [hasattr(x, "__len__") for x in (predictions, targets)]
    if not any(many):
        return loss(predictions, targets)
    if not all(many) or not 0 < len(predictions) == len(targets):
        got = [len(x) if is_many else repr(x) for x, is_many in zip((predictions, targets), many, strict=True)]
        raise ValueError(f"{name} needs one target for each prediction, and at least one; got {got[0]} and {got[1]}")
    term = loss if of_rows else lambda p, t: _mean(name, loss, p, t)
    return sum(term(p, t) for p, t in zip(predictions, targets, strict=True)) / len(predictions)
