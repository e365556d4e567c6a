"""What networks are trained to make small, as one Value: composed from the primitives in plain sight.

`nn` makes the predictions. Each loss takes one prediction and its target, or two sequences of one length (of numbers, or
of rows of them), and gives the mean; with reduction="sum" the sum, and with "none" the losses themselves, nested as the
predictions are. ValueError where the lengths differ.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any

from micrograd import primitives
from micrograd.composed import norm
from micrograd.elementwise import index_of, is_many, nested, one_of
from micrograd.primitives import abs, dot, log, logsumexp, maximum, minimum, number, softplus, sum, take, where

if TYPE_CHECKING:
    from micrograd.signatures import Loss

_NUMBER = (float, int, Real)  # the abstract class comes last: it takes the longest to ask


def _loss(fn: Callable[..., Any]) -> Loss:
    """A loss, for type checkers: they are told that numbers give a number and Values a Value."""
    return fn


@_loss
def mse(predictions: Any, targets: Any, reduction: str = "mean") -> Any:
    """The mean squared error: (p - t)².

    >>> mse([1.0, 2.0], [0.0, 4.0]), mse([1.0, 2.0], [0.0, 4.0], reduction="none")
    (2.5, [1.0, 4.0])
    """
    return _reduced("mse", lambda p, t: (p - t) ** 2, predictions, targets, reduction)


@_loss
def l1(predictions: Any, targets: Any, reduction: str = "mean") -> Any:
    """The mean absolute error: |p - t|.

    >>> l1([1.0, 2.0], [0.0, 4.0])
    1.5
    """
    return _reduced("l1", lambda p, t: abs(p - t), predictions, targets, reduction)


@_loss
def huber(predictions: Any, targets: Any, delta: float = 1.0, reduction: str = "mean") -> Any:
    """The mean of (p - t)² / 2 where |p - t| is at most `delta`, and delta (|p - t| - delta / 2) beyond (Huber, 1964).

    >>> huber([1.0, 2.0], [0.5, 5.0], reduction="none")
    [0.125, 2.5]
    """
    width = number(delta, "delta")
    if not width > 0:
        raise ValueError(f"delta must be a positive number, got {delta!r}")

    def loss(p: Any, t: Any) -> Any:
        error = p - t
        near = maximum(minimum(error, width), -width)  # and not of abs(error), whose second derivative is 0 at 0
        return near * (error - 0.5 * near)

    return _reduced("huber", loss, predictions, targets, reduction)


@_loss
def hinge(scores: Any, targets: Any, reduction: str = "mean") -> Any:
    """The mean hinge loss of scores for targets of -1 and +1: max(0, 1 - t s).

    >>> hinge([0.5, -2.0], [1, -1])
    0.25
    """

    def loss(s: Any, t: Any) -> Any:
        if isinstance(t, _NUMBER) and t not in (-1, 1):
            raise ValueError(f"hinge needs -1 or 1 as target, got {t!r}: for classes 0 and 1, 2 * t - 1")
        return maximum(1 - t * s, 0.0)

    return _reduced("hinge", loss, scores, targets, reduction)


@_loss
def binary_cross_entropy(logits: Any, targets: Any, reduction: str = "mean") -> Any:
    """The mean of -t log p - (1 - t) log(1 - p), with p = sigmoid(z), for targets from 0 to 1.

    It takes the logits z, what the last layer gives before a logistic function, as softplus(z) - t z: this form neither
    overflows nor loses the gradient where the logistic function saturates.

    >>> round(binary_cross_entropy([0.0, 4.0], [1, 0]), 4)  # log 2, and 4.0181
    2.3556
    """

    def loss(z: Any, t: Any) -> Any:
        if isinstance(t, _NUMBER) and not 0.0 <= float(t) <= 1.0:
            raise ValueError(f"binary_cross_entropy needs a target from 0 to 1, got {t!r}: for classes -1 and 1, (t + 1) / 2")
        return softplus(z) - t * z

    return _reduced("binary_cross_entropy", loss, logits, targets, reduction)


@_loss
def cross_entropy(logits: Any, targets: Any, reduction: str = "mean") -> Any:
    """The mean of -log softmax(z)[t], for a vector of logits z and the index t of the right class, or a list of each.

    >>> round(cross_entropy([1.0, 1.0, 1.0], 2), 4)  # the logarithm of 3
    1.0986
    """
    return _of_rows("cross_entropy", lambda z, t: logsumexp(z) - _chosen("cross_entropy", z, t), logits, targets, reduction)


@_loss
def nll(log_probabilities: Any, targets: Any, reduction: str = "mean") -> Any:
    """The mean of -l[t], for a vector l of logarithms of probabilities and the index t of the right class, or a list of each.

    >>> nll([-0.5, -1.0], 1), nll([[-0.5, -1.0], [-2.0, -0.25]], [1, 1])
    (1.0, 0.625)
    """
    return _of_rows("nll", lambda row, t: primitives.neg(_chosen("nll", row, t)), log_probabilities, targets, reduction)


@_loss
def kl_divergence(log_probabilities: Any, targets: Any, reduction: str = "mean") -> Any:
    """Σ p (log p - l) for a vector l of logarithms of probabilities and the true probabilities p, or the mean over rows.

    The order is PyTorch's, and the mean its "batchmean". Where p is 0 the term is 0.

    >>> round(kl_divergence([-0.7, -0.7], [0.25, 0.75]), 4), kl_divergence([-1.0, 0.0], [0.0, 1.0])
    (0.1377, 0.0)
    """

    def loss(row: Any, p: Any) -> Any:
        if not is_many(p) or len(p) != len(row):
            raise ValueError(f"kl_divergence needs one probability for each of {len(row)} classes as target, got {p!r}")
        return sum(_relative(q, t) for q, t in zip(row, p, strict=True))

    return _of_rows("kl_divergence", loss, log_probabilities, targets, reduction)


@_loss
def cosine_similarity(xs: Any, ys: Any, reduction: str = "mean") -> Any:
    """x · y / (|x| |y|), from -1 to 1, of two vectors, or its mean over two lists of vectors; 0 for a vector of zeros.

    To be made large: 1 - cosine_similarity(xs, ys) is the loss. |x| and |y| count as at least 1e-8 each, as in PyTorch.

    >>> rows = [[1.0, 0.0], [0.0, 2.0]]
    >>> cosine_similarity([3.0, 4.0], [4.0, 3.0]), cosine_similarity(rows, [[2.0, 0.0], [3.0, 0.0]])
    (0.96, 0.5)
    """

    def length(x: Any) -> Any:
        return maximum(norm(x), 1e-8)

    return _of_rows("cosine_similarity", lambda x, y: dot(x, y) / (length(x) * length(y)), xs, ys, reduction)


def _chosen(name: str, row: Any, t: Any) -> Any:
    at = 0 if hasattr(type(t), "grad") else index_of(t)  # a Value is an open index while recording, or says why not in take()
    if at is None or not 0 <= at < len(row):
        raise ValueError(f"{name} needs the index of a class, an int from 0 to {len(row) - 1}, as target, got {t!r}")
    return take(row, t)


def _relative(q: Any, p: Any) -> Any:
    if isinstance(p, _NUMBER):
        if not 0.0 <= float(p) <= 1.0:
            raise ValueError(f"kl_divergence needs probabilities from 0 to 1 as targets, got {p!r}")
        return p * primitives.sub(log(p), q) if p else where(0.0, q, 0.0)
    return where(p, p * (log(p) - q), 0.0)


def _of_rows(name: str, loss: Callable[[Any, Any], Any], rows: Any, targets: Any, reduction: str) -> Any:
    """The loss of one row and its target, or of a list of rows and their targets."""
    if not is_many(rows) or len(rows) == 0:
        raise ValueError(f"{name} needs a list of logits, one for each class; got {rows!r}")
    if not hasattr(rows[0], "__len__"):
        _known(reduction)
        return loss(rows, targets)
    return _reduced(name, loss, rows, targets, reduction, of_rows=True)


def _known(reduction: str) -> None:
    if not one_of(reduction, ("mean", "sum", "none")):
        raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


@nested
def _reduced(
    name: str, loss: Callable[[Any, Any], Any], predictions: Any, targets: Any, reduction: str, of_rows: bool = False
) -> Any:
    """The losses of all pairs, reduced. Pairs of rows are reduced row by row first, unless the loss is one of whole rows."""
    _known(reduction)
    many = [is_many(x) for x in (predictions, targets)]
    if not any(many):
        try:
            return loss(predictions, targets)
        except TypeError:
            for x in (predictions, targets):
                if not hasattr(type(x), "__primitive__"):
                    number(x, name)
            raise
    if not all(many) or not 0 < len(predictions) == len(targets):
        got = [f"a list of {len(x)}" if is_many(x) else f"{x!r}, no list" for x in (predictions, targets)]
        said = f"{got[0]}{',' * (not many[0])} and {got[1]}"
        raise ValueError(f"{name} needs one target for each prediction, and at least one; got {said}")
    term = loss if of_rows else lambda p, t: _reduced(name, loss, p, t, reduction)
    terms = [term(p, t) for p, t in zip(predictions, targets, strict=True)]
    if reduction == "none":
        return terms
    total = sum(terms) if len(terms) > 1 else terms[0]  # a sum of one is an empty step in pictures and texts
    return total / len(terms) if reduction == "mean" and len(terms) > 1 else total
