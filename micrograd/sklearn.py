"""Estimators for scikit-learn, with compiled training: `from micrograd.sklearn import MLPClassifier`.

`nn` makes the network of Values, and `tape` compiles its loss. The fitted network is `.model_`, which can be drawn and
explained like any other. This needs scikit-learn: the extra `sklearn`.
"""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
except ModuleNotFoundError as error:
    said = "micrograd.sklearn needs scikit-learn: python -m pip install 'micrograd-engine[sklearn]'"
    raise ModuleNotFoundError(said, name=error.name) from error
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from micrograd.engine.assign import assign
from micrograd.nn.lbfgs import LBFGS
from micrograd.nn.losses import binary_cross_entropy, cross_entropy, mse
from micrograd.nn.neurons import MLP
from micrograd.nn.optim import SGD, Adam
from micrograd.tape.jit import jit

Array = Any

__all__ = ["MLPClassifier", "MLPRegressor"]


class _Network(BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share: checks of the data, training, and outputs of the network."""

    def __init__(
        self,
        hidden_layer_sizes: Any = (32,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate_init: Any = 0.01,
        epochs: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        init: str = "glorot",
    ):
        self.hidden_layer_sizes, self.activation, self.solver, self.alpha = hidden_layer_sizes, activation, solver, alpha
        self.batch_size, self.learning_rate_init, self.epochs = batch_size, learning_rate_init, epochs
        self.shuffle, self.random_state, self.tol, self.verbose = shuffle, random_state, tol, verbose
        self.warm_start, self.momentum, self.init = warm_start, momentum, init
        self.early_stopping, self.validation_fraction = early_stopping, validation_fraction
        self.n_iter_no_change = n_iter_no_change

    # -- for users

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on rows X and targets y, each with its weight; with `warm_start`, from the latest parameters on."""
        again = self.warm_start and hasattr(self, "model_")
        X, y, weight = self._taken(X, y, sample_weight, reset=True)
        targets = self._encoded(y, None, fresh=not again)
        self._begin(X, targets, fresh=not again)
        if not again:
            self.loss_curve_: list[float] = []
        self._train(X, targets, weight)
        return self

    def _outputs(self, X: Any) -> Array:
        """What the network gives for each row: of shape (rows,) if it has one output, else (rows, outputs)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        out = self._compiled()[0].map(X)
        return np.stack(out, axis=1) if isinstance(out, list) else out

    # -- training

    def _taken(self, X: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[Array, Array, Array]:
        X, y = validate_data(self, X, y, reset=reset, dtype=np.float64, multi_output=True, y_numeric=self._numeric)
        return X, y, _check_sample_weight(sample_weight, X, dtype=np.float64)

    _numeric = False

    def _encoded(self, y: Array, classes: Any, fresh: bool) -> Array:
        raise NotImplementedError

    def _begin(self, X: Array, targets: Array, fresh: bool) -> None:
        if self.solver not in ("adam", "sgd", "lbfgs"):
            raise ValueError(f"solver must be 'adam', 'sgd' or 'lbfgs', got {self.solver!r}")
        if not fresh:
            return
        self._rng = check_random_state(self.random_state)
        hidden = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)).tolist()
        seed = int(self._rng.randint(2**31 - 1))
        self.model_ = MLP(X.shape[1], [*hidden, self._width(targets)], self.activation, seed=seed, init=self.init)
        self._functions: Any = None
        parameters, rate, decay = self.model_.parameters(), self.learning_rate_init, self.alpha
        sgd = self.solver == "sgd"
        self.optimiser_ = SGD(parameters, rate, self.momentum, decay) if sgd else Adam(parameters, rate, weight_decay=decay)
        self.n_iter_ = 0

    def _width(self, targets: Array) -> int:
        return 1 if targets.ndim == 1 else int(targets.shape[1])

    def _loss(self) -> Any:
        return mse

    def _compiled(self) -> Any:
        """The network and its weighted loss, compiled; after unpickling they are compiled again."""
        if self._functions is None:
            model, loss = self.model_, self._loss()
            self._functions = jit(lambda x: model(x)), jit(lambda x, t, w: w * loss(model(x), t), wrt=model.parameters())
        return self._functions

    def _train(self, X: Array, targets: Array, weight: Array) -> None:
        held = None
        if self.early_stopping:
            if not 0 < self.validation_fraction < 1:
                raise ValueError(f"validation_fraction must be between 0 and 1, got {self.validation_fraction!r}")
            X, X_held, targets, t_held, weight, w_held = train_test_split(
                X, targets, weight, test_size=self.validation_fraction, random_state=self._rng, stratify=self._strata(targets)
            )
            held = X_held, t_held, w_held
        f = self._compiled()[1]
        if self.solver == "lbfgs":
            found = LBFGS(self.model_.parameters(), max_iter=self.epochs).minimize(f, X, targets, weight / weight.mean())
            self.loss_, self.n_iter_ = float(found.fun), int(found.nit)
            self.loss_curve_.append(self.loss_)
            return
        best, best_state, waited = np.inf, None, 0
        for _ in range(self.epochs):
            self._epoch(X, targets, weight)
            now = self._mean_loss(*held) if held else self.loss_
            if self.verbose:
                print(f"epoch {self.n_iter_:4}   loss {self.loss_:<10.4g}" + (f" held out {now:.4g}" if held else ""))
            if not np.isfinite(self.loss_):
                raise ValueError(f"the loss is {self.loss_} in epoch {self.n_iter_}: use a smaller learning_rate_init")
            waited = 0 if now < best - self.tol else waited + 1
            if now < best:
                best, best_state = now, [p.data for p in self.model_.parameters()] if held else None
            if waited >= self.n_iter_no_change:
                break
        else:
            what = f"the loss was still falling after {self.epochs} epochs: raise epochs or learning_rate_init"
            warnings.warn(what, ConvergenceWarning, 3)
        if best_state is not None:
            assign(self.model_.parameters(), ["data"] * len(best_state), best_state)

    def _epoch(self, X: Array, targets: Array, weight: Array) -> None:
        """One pass over the data in batches; its mean loss goes to `loss_` and `loss_curve_`."""
        n = len(X)
        size = min(200, n) if self.batch_size == "auto" else min(int(self.batch_size), n)
        if size < 1:
            raise ValueError(f"batch_size must be 'auto' or a whole number from 1 on, got {self.batch_size!r}")
        order = self._rng.permutation(n) if self.shuffle else np.arange(n)
        total, mean = 0.0, weight.mean() or 1.0  # weights say how much a row counts among the others
        with self._compiled()[1].training(self.optimiser_) as step:
            for start in range(0, n, size):
                rows = order[start : start + size]
                total += len(rows) * step(X[rows], targets[rows], weight[rows] / mean)
        self.n_iter_ += 1
        self.loss_ = total / n
        self.loss_curve_.append(self.loss_)

    def _mean_loss(self, X: Array, targets: Array, weight: Array) -> float:
        found: float = self._compiled()[1].map(X, targets, weight / (weight.mean() or 1.0)).mean()
        return found

    def _strata(self, targets: Array) -> Any:
        return None

    def _passed(self, X: Array, targets: Array, weight: Array, fresh: bool) -> Self:
        if self.solver == "lbfgs":
            raise ValueError("partial_fit goes by mini-batches: use solver='adam' or 'sgd', not 'lbfgs'")
        self._begin(X, targets, fresh)
        if fresh:
            self.loss_curve_ = []
        self._epoch(X, targets, weight)
        return self

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {**state, "_functions": None} if "_functions" in state else state


class MLPClassifier(ClassifierMixin, _Network):  # type: ignore[misc]
    """A multi-layer perceptron that tells classes apart, trained on the cross-entropy by compiled scalar code.

    Parameters are named as in scikit-learn's class of this name; `epochs` is the largest number of passes over the data, and
    `learning_rate_init` may be a schedule. After fit(), `model_` is the network of Values: `model_(x)` is a graph of logits.

    >>> X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], ["no", "yes", "yes", "no"]
    >>> found = MLPClassifier((8,), "tanh", epochs=500, random_state=1).fit(X, y)
    >>> found.predict(X).tolist(), found.model_([0.0, 1.0]).label
    (['no', 'yes', 'yes', 'no'], 'z_1^[2]')
    """

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """One pass over some rows, for data that come in parts; the first call needs all `classes`."""
        fresh = not hasattr(self, "model_")
        X, y, weight = self._taken(X, y, sample_weight, reset=fresh)
        if fresh and classes is None:
            raise ValueError("the first call of partial_fit needs all classes: partial_fit(X, y, classes=...)")
        return self._passed(X, self._encoded(y, classes, fresh), weight, fresh)

    def decision_function(self, X: Any) -> Array:
        """The logits: (rows,) for two classes, else (rows, classes)."""
        return self._outputs(X)

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, of shape (rows, classes)."""
        z = self._outputs(X)
        if z.ndim == 1:
            z = np.stack([np.zeros_like(z), z], axis=1)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of each probability."""
        return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> Array:
        """The most probable class of each row."""
        z = self._outputs(X)
        return self.classes_[(z > 0).astype(int) if z.ndim == 1 else z.argmax(axis=1)]

    def _encoded(self, y: Array, classes: Any, fresh: bool) -> Array:
        check_classification_targets(y)
        if y.ndim == 2:
            if y.shape[1] != 1:
                raise ValueError(f"y must be a column of classes, got an array of shape {y.shape}")
            from sklearn.exceptions import DataConversionWarning

            warnings.warn("A column-vector y was passed when a 1d array was expected", DataConversionWarning, 3)
            y = y.ravel()
        if fresh:
            self.classes_ = np.unique(y if classes is None else classes)
        if len(self.classes_) < 2:
            raise ValueError(f"a classifier needs at least two classes, got one class: {self.classes_[0]!r}")
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y has a class that is not among {self.classes_.tolist()}: {unknown.tolist()}")
        found = np.searchsorted(self.classes_, y)
        return found if len(self.classes_) > 2 else found.astype(np.float64)

    def _width(self, targets: Array) -> int:
        return len(self.classes_) if len(self.classes_) > 2 else 1

    def _loss(self) -> Any:
        return cross_entropy if len(self.classes_) > 2 else binary_cross_entropy

    def _strata(self, targets: Array) -> Any:
        return targets


class MLPRegressor(RegressorMixin, _Network):  # type: ignore[misc]
    """A multi-layer perceptron for numbers, one or several for each row, trained on the mean squared error.

    Parameters are those of MLPClassifier.

    >>> X = [[-1.0], [-0.5], [0.0], [0.5], [1.0]]
    >>> found = MLPRegressor((8,), "tanh", solver="lbfgs", random_state=1)
    >>> found = found.fit(X, [1.0, 0.25, 0.0, 0.25, 1.0])
    >>> round(float(found.predict([[0.5]])[0]), 2)
    0.25
    """

    _numeric = True

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """One pass over some rows, for data that come in parts."""
        fresh = not hasattr(self, "model_")
        X, y, weight = self._taken(X, y, sample_weight, reset=fresh)
        return self._passed(X, self._encoded(y, None, fresh), weight, fresh)

    def predict(self, X: Any) -> Array:
        """The number, or numbers, of each row."""
        out = self._outputs(X)
        return out[:, None] if self._column else out

    def _encoded(self, y: Array, classes: Any, fresh: bool) -> Array:
        if fresh:
            self._column = y.ndim == 2 and y.shape[1] == 1
        return np.asarray(y, np.float64).ravel() if y.ndim == 2 and y.shape[1] == 1 else np.asarray(y, np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
