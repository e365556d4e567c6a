"""L-BFGS by SciPy, for losses over all data at once: small networks, fits of formulas.

`tape` compiles what it minimises, where that is wanted; a function that is not compiled is run on Values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from micrograd.engine import Value, adjoints
from micrograd.engine.assign import assign
from micrograd.nn.optim import given, not_negative
from micrograd.nn.schedules import count


class LBFGS:
    """Minimises a loss by SciPy's L-BFGS-B, which remembers the last `history` steps in the place of second derivatives.

    `tolerance` is the largest derivative at which it stops, `max_iter` the most steps.

    >>> x, y = Value(-1.0), Value(2.0)
    >>> found = LBFGS([x, y]).minimize(lambda: (1 - x) ** 2 + 100 * (y - x * x) ** 2)
    >>> round(x.data, 3), round(y.data, 3), bool(found.success)
    (1.0, 1.0, True)
    """

    def __init__(self, parameters: Iterable[Value], max_iter: int = 1000, tolerance: float = 1e-6, history: int = 10):
        self.parameters = given("LBFGS", parameters)
        for p in self.parameters:
            if not isinstance(p, Value) or p.rule is not None:
                raise TypeError(f"LBFGS needs leaves as parameters, Value(...), got {p!r}")
        if not self.parameters or len(set(self.parameters)) < len(self.parameters):
            raise ValueError(f"LBFGS needs at least one parameter and none twice, got {len(self.parameters)}")
        self.max_iter, self.history = count("max_iter", max_iter), count("history", history)
        self.tolerance = not_negative("tolerance", tolerance)

    def minimize(self, f: Any, *args: Any, **how: Any) -> Any:
        """SciPy's result, with the parameters at the best point found: all of them set, or none if something goes wrong.

        `f` is compiled, and then the mean of f over the rows of `args` is made small (`reduction` and `in_axes` are those of
        value_and_grad); or it is any function that gives the loss as a Value, and is called on `args` as they are.
        """
        import numpy as np

        try:
            from scipy.optimize import minimize
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("LBFGS is SciPy's: python -m pip install scipy", name=error.name) from error

        if not callable(f):
            raise TypeError(
                f"the function to minimise must be a function, got {type(f).__name__} {f!r}: jit(f), or lambda: loss"
            )
        compiled = hasattr(f, "value_and_grad")
        if how and not compiled:
            raise TypeError(f"{', '.join(how)} are for compiled functions: jit(f), got {f!r}")
        start = np.array([p.data for p in self.parameters])

        def at(x: Any) -> tuple[float, Any]:
            self._set(x)
            if compiled:
                loss, gradient = _compiled(f, args, how)
                found = dict(zip(f.parameters, gradient.tolist(), strict=True))
                return loss, np.array([found.get(p, 0.0) for p in self.parameters])
            out = f(*args)
            if not isinstance(out, Value):
                raise TypeError(f"the function to minimise must give a Value, got {type(out).__name__} {out!r}")
            return out.data, np.array(list(adjoints(out, self.parameters).values()))

        options = {"maxiter": self.max_iter, "gtol": self.tolerance, "ftol": 0.0, "maxcor": self.history}
        try:
            result = minimize(at, start, jac=True, method="L-BFGS-B", options=options)
        except BaseException:
            self._set(start)
            raise
        self._set(result.x)
        return result

    def _set(self, x: Any) -> None:
        assign(self.parameters, ["data"] * len(self.parameters), x.tolist())

    def __repr__(self) -> str:
        return f"LBFGS({len(self.parameters)} parameters, max_iter={self.max_iter}, tolerance={self.tolerance})"


def _compiled(f: Any, args: tuple[Any, ...], how: dict[str, Any]) -> tuple[float, Any]:
    """The loss and its gradient in the order of f.parameters, which are known once `f` has been recorded on such arguments."""
    theta = f.theta()
    try:
        return f.value_and_grad(theta, *args, **how)  # type: ignore[no-any-return]
    except ValueError:
        if len(f.parameters) == len(theta):
            raise
        return f.value_and_grad(f.theta(), *args, **how)  # type: ignore[no-any-return]
