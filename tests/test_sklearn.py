"""The estimators: scikit-learn's own checks, and that what was fitted is a network of Values."""

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", "1.6", reason="the estimators need scikit-learn: the extra `sklearn`")
from sklearn.base import clone
from sklearn.datasets import load_iris, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_estimator

from micrograd import Value, cross_entropy, warmup_schedule
from micrograd.sklearn import MLPClassifier, MLPRegressor

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_scikit_learn_accepts_them(kind, monkeypatch):
    """Every check passes, and none is skipped but for want of pandas."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # without it one check is not made
    found = check_estimator(kind(), on_fail=None, on_skip=None)
    assert [(f["check_name"], f["exception"]) for f in found if f["status"] not in ("passed", "skipped")] == []
    reasons = [str(f["exception"]) for f in found if f["status"] == "skipped"]
    assert len(found) > 50 and all("pandas" in r for r in reasons), reasons


def fitted(kind=MLPClassifier, y=Y, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kind((8,), **{"epochs": 60, "batch_size": 32, "random_state": 1, **options}).fit(X, y)


def test_what_is_fitted_is_a_network_of_values():
    found = fitted()
    assert found.score(X, Y) > 0.95 and found.n_iter_ == len(found.loss_curve_) <= 60
    logits = found.model_(X[0].tolist())
    np.testing.assert_allclose([z.data for z in logits], found.decision_function(X[:1])[0], rtol=1e-12)
    loss = cross_entropy(logits, int(Y[0]))
    weight = found.model_.layers[0].neurons[0].w[0]
    assert isinstance(loss, Value) and "W_11^[1]" in str(loss.explain(weight)) and "<svg" in loss.draw().svg
    np.testing.assert_allclose(found.predict_proba(X).sum(axis=1), 1, rtol=1e-15)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.predict_proba(X), found.predict_proba(X))
    assert clone(found).get_params() == found.get_params()


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_solvers_names_of_classes_and_two_classes(solver):
    names = np.array(["no", "yes"])[(Y == 0).astype(int)]
    found = fitted(y=names, solver=solver, learning_rate_init=warmup_schedule(0.05, 5))
    assert found.score(X, names) == 1.0 and found.decision_function(X).shape == (150,)
    assert found.classes_.tolist() == ["no", "yes"] and found.predict_proba(X).shape == (150, 2)


def test_regression_of_one_and_of_several_numbers():
    for y in (X[:, 0] * X[:, 1], X[:, :1] ** 2, np.stack([X[:, 0], -(X[:, 2] ** 2)], axis=1)):
        found = fitted(MLPRegressor, y=y, activation="tanh", epochs=300)
        assert found.score(X, y) > 0.9 and found.predict(X).shape == y.shape


def test_weights_bits_and_pieces(capsys):
    a, b = fitted(), fitted()
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))
    weight = np.where(Y == 2, 0.0, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        unseen = MLPClassifier((8,), epochs=60, random_state=1).fit(X, Y, sample_weight=weight)
        assert 2 not in unseen.predict(X)  # rows without a weight are not learned from
        early = MLPClassifier((8,), early_stopping=True, n_iter_no_change=3, batch_size=32, verbose=True, random_state=0)
        early.fit(X, Y)
        assert early.n_iter_ < 200 and "held out" in capsys.readouterr().out
        warm = MLPClassifier((8,), epochs=5, warm_start=True, random_state=1).fit(X, Y)
        before = warm.loss_
        model = warm.model_
        warm.fit(X, Y)
        assert warm.model_ is model and warm.n_iter_ == 10 and warm.loss_ < before
    parts = MLPClassifier((8,), batch_size=25, random_state=1)
    for _ in range(60):
        parts.partial_fit(X[::2], Y[::2], classes=[0, 1, 2])
    assert parts.score(X, Y) > 0.9 and parts.n_iter_ == 60


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: MLPClassifier(solver="newton").fit(X, Y), "solver must be 'adam', 'sgd' or 'lbfgs', got 'newton'"),
        (lambda: MLPClassifier(batch_size=0).fit(X, Y), "batch_size must be 'auto' or a whole number"),
        (lambda: MLPClassifier(early_stopping=True, validation_fraction=1).fit(X, Y), "between 0 and 1, got 1"),
        (lambda: MLPClassifier().partial_fit(X, Y), "the first call of partial_fit needs all classes"),
        (lambda: MLPClassifier(solver="lbfgs").partial_fit(X, Y, [0, 1, 2]), "partial_fit goes by mini-batches"),
        (lambda: MLPClassifier(activation="nosuch").fit(X, Y), "unknown activation 'nosuch'"),
        (lambda: MLPClassifier(hidden_layer_sizes=(0,)).fit(X, Y), "a layer needs at least one neuron, got nout=0"),
        (lambda: MLPRegressor(solver="sgd", learning_rate_init=1e9).fit(X, X[:, 0]), "use a smaller learning_rate_init"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_it_draws_a_line_between_moons():
    x, y = make_moons(200, noise=0.1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert MLPClassifier((16, 16), random_state=0).fit(x, y).score(x, y) > 0.97
