"""What all samples share of a sum over the samples, added once and not for each of them."""

from __future__ import annotations

import numpy as np
import pytest

from micrograd import Value, dot, exp, jit
from micrograd.primitives import RULES
from micrograd.tape.back_ends import reference
from micrograd.tape.recording import shared_terms
from micrograd.tape.tape import Tape


def penalised(count: int, backend: str, precision: str = "fast"):
    """The loss of a linear model with a penalty, and the number of its weights."""
    w = [Value(0.1 * (i % 7) - 0.2) for i in range(count)]
    return jit(lambda x: exp(0.1 * dot(w, x)) + dot(w, w) / 8.0, wrt=w, backend=backend, precision=precision)


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("n", [1, 3, 600])
def test_a_penalty_counts_once_for_each_sample(backend, reduction, n):
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    f, definition = penalised(300, backend), penalised(300, "reference")
    X = np.random.default_rng(n).normal(size=(n, 300))
    theta = definition.theta() if n > 1 else np.linspace(-1.0, 1.0, 300)
    for _ in range(2):  # the second call goes the quick way
        value, gradient = f.value_and_grad(theta, X, reduction=reduction)
    expected, truth = definition.value_and_grad(theta, X, reduction=reduction)
    np.testing.assert_allclose([value, *gradient], [expected, *truth], rtol=1e-12, atol=1e-13)
    assert "once, and not for each sample" in f.schedule(X, gradient=True)


def test_sums_of_whole_numbers_are_equal_to_the_bit(monkeypatch):
    monkeypatch.setattr(shared_terms, "MANY_SUMS", 1)
    add, mul, sums, dots = (RULES[name] for name in ("add", "mul", "sum", "dot"))
    # slots: inputs 0 1, leaves 2 3, constants 4 (0.0) 5 (3.0), then results
    tape = Tape(2, 2, [0.0, 3.0], [
        (mul, (2, 3)), (mul, (0, 1)), (dots, (0, 2, 5, 1, 3, 2, 4)), (dots, (0, 2, 2, 2, 6, 5, 4)), (sums, (0, 6, 7, 3)),
        (add, (6, 7)), (add, (2, 3)), (sums, (0, 7, 1)), (dots, (0, 2, 1, 3, 5)),
    ], [8, 9, 10, 11, 12, 13, 14, 2, 0])  # fmt: skip
    samples, leaves = np.arange(-6.0, 8.0).reshape(7, 2), np.array([2.0, -5.0])
    make = reference.Program
    program = shared_terms.summed(make, tape, ((2, True),), np.float64)
    assert isinstance(program, shared_terms.SplitSums) and program.at.tolist() == [0, 1, 2, 3]
    whole = make(tape, ((2, True),), True)
    assert program([samples], leaves, 7).tolist() == whole([samples], leaves, 7).tolist()
    assert program([samples[:0]], np.array([np.inf, np.nan]), 0).tolist() == [0.0] * 9


def test_what_is_exact_is_added_sample_by_sample():
    pytest.importorskip("llvmlite")
    f, definition = penalised(300, "llvm", "exact"), penalised(300, "reference")
    X = np.random.default_rng(0).normal(size=(20, 300))
    assert "once" not in f.schedule(X, gradient=True)
    value, gradient = f.value_and_grad(f.theta(), X)
    expected, truth = definition.value_and_grad(f.theta(), X)
    assert [value, *gradient] == [expected, *truth]
