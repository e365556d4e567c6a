"""SciPy's methods with this project's derivatives, compiled and not, on the standard problems of scipy_problems."""

import pytest
import scipy_problems
from scipy_problems import PROBLEMS, evaluations, right

# Tests of the transforms try the other methods eagerly, on smaller problems.
EAGER = ("minimize TNC", "least_squares trf, sparse Jacobian of 100", "solve_ivp LSODA", "curve_fit")
CASES = [*[(name, "compiled") for name in PROBLEMS], *[(name, "eager") for name in EAGER]]


@pytest.mark.parametrize(("name", "way"), CASES)
def test_every_method_solves_its_problem(name, way):
    result = PROBLEMS[name](getattr(scipy_problems, way)())()
    assert right(name, result), result
    if name.startswith("minimize"):
        assert evaluations(result)[0] < 1000  # finite differences take 2,500 to 68,000
