"""Writes docs/conventions.md: what this project, JAX, PyTorch and autograd answer at kinks, ties, poles and where numbers end.

    python benchmarks/conventions.py

Every cell is measured: the same expression runs here and in an environment of each peer's own (benchmarks/peers.py).
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "conventions.md"
inf, nan = math.inf, math.nan

LIMITS = """\
## What cannot hold

- `sum`, `dot` and chains of + round each product and each partial sum, from left to right: what is beyond 1.8e308 on the way
  is infinite, or nan where two such meet, although the result may be a number. So it is in JAX, PyTorch and autograd.
- Compiled by LLVM with `precision="fast"`, a product is not rounded before it is added. Where it is beyond 1.8e308,
  x·y − z·w can be ±inf or nan, by how it is written, where eager code and `precision="exact"` give nan.
- `cross_entropy` is logsumexp(z) − z[t], as in the textbook: its value is right to the last place of the largest logit (1e-10
  for logits of 1e6), its derivatives to their own. `nll(log_softmax(z), t)` keeps the digits of the value too, as PyTorch's
  cross_entropy does, for one more operation for each logit.
- Second derivatives of `hypot` and `atan2` can be infinite or nan where √(x² + y²) is below 1e-308.
- `round(x, 2)`, of Values too, is NumPy's: x · 100 is rounded and divided by 100, so 2.675 gives 2.68. Python's own round reads
  the float to its last digit, 2.67499999999999982, and gives 2.67; no back end has an operation for that.
- `take(values, i)` counts no index from the end: -1 is an IndexError, eagerly and compiled, where `values[-1]` is the last one.
- A label as text (`str`, `%s`, f-strings) is h_(t-1) where h_{t-1} was written, without braces, `<`, `>`, `|` and backslashes;
  `==`, `repr` and lookups have it as it was written.
- An array of no dimensions is a number to compiled functions, so that `jit(grad(f))(np.array(4.0))` is 8.0 where `grad(f)`
  gives array(8.).
""".splitlines()

# (title, rows of (expression, values of its variables, order of the derivative, why this project answers as it does))
Row = tuple[str, dict[str, float], int, str]
SECTIONS: list[tuple[str, list[Row]]] = [
    ("Kinks and ties", [
        ("relu(x)", {"x": 0.0}, 1, "derivative 0 at 0"),
        ("relu(x)", {"x": 1.0}, 2, ""),
        ("abs(x)", {"x": 0.0}, 1, "derivative 0 at 0: the middle of the subgradients"),
        ("abs(x)", {"x": -0.0}, 1, ""),
        ("sign(x)", {"x": 0.0}, 1, "flat everywhere"),
        ("step(x)", {"x": 0.0}, 1, "flat everywhere, 0 at 0"),
        ("maximum(x, y)", {"x": 1.0, "y": 1.0}, 1, "half to each at a tie"),
        ("minimum(x, y)", {"x": 1.0, "y": 1.0}, 1, "half to each at a tie"),
        ("maximum(x, x)", {"x": 1.0}, 1, "the halves add up"),
        ("maximum(x, 0.0)", {"x": 0.0}, 1, "a tie, not relu"),
        ("where(x, x, 2 * x)", {"x": 0.0}, 1, "where x > 0, else"),
    ]),
    ("Powers", [
        ("x ** y", {"x": 0.0, "y": 0.0}, 1, "0 ** 0 is 1; in x the limit, 0"),
        ("x ** 0.0", {"x": 0.0}, 1, "the constant 1"),
        ("x ** 1.0", {"x": 0.0}, 1, ""),
        ("x ** 2.0", {"x": 0.0}, 1, ""),
        ("x ** 2.0", {"x": 0.0}, 2, ""),
        ("x ** 2.0", {"x": 0.0}, 3, "no 0 · inf on the way"),
        ("x ** 0.5", {"x": 0.0}, 1, "the limit from the right"),
        ("x ** y", {"x": 0.0, "y": 2.0}, 1, "in y the limit, 0"),
        ("x ** y", {"x": 0.0, "y": -1.0}, 1, "a pole"),
        ("x ** y", {"x": -2.0, "y": 3.0}, 1, "in y no real derivative exists"),
        ("x ** 3.0", {"x": -2.0}, 1, "the exponent is no variable, so nothing is nan"),
        ("x ** y", {"x": -8.0, "y": 1 / 3}, 1, "never complex"),
        ("2.0 ** x", {"x": 2000.0}, 1, "overflow is inf"),
        ("x ** y", {"x": 0.0, "y": 1.0}, 2, "the limit, and the same by y first"),
        ("x ** y", {"x": -1.0, "y": 2.0**53 + 2}, 1, "y − 1 is odd, though no float"),
    ]),
    ("Roots, logarithms, poles", [
        ("sqrt(x)", {"x": 0.0}, 1, "the limit from the right"),
        ("sqrt(x)", {"x": -1.0}, 1, "never complex"),
        ("sqrt(x * x)", {"x": 0.0}, 1, "inf · 0: IEEE has no answer; write abs(x)"),
        ("log(x)", {"x": 0.0}, 1, ""),
        ("log(x)", {"x": -1.0}, 1, "the value is nan; the partial is 1 / x whatever the value"),
        ("log1p(x)", {"x": -1.0}, 1, ""),
        ("1 / x", {"x": 0.0}, 1, "IEEE: no exception"),
        ("1 / x", {"x": -0.0}, 1, ""),
        ("x / x", {"x": 0.0}, 1, "no limit is taken"),
        ("asin(x)", {"x": 1.0}, 1, ""),
        ("asin(x)", {"x": 1.0}, 2, "by the limit from inside, at any order and in every mode"),
        ("acos(x)", {"x": 2.0}, 1, ""),
        ("lgamma(x)", {"x": 0.0}, 1, "a pole: the derivative is digamma, whose sides differ; 0 is one from above"),
        ("lgamma(x)", {"x": -1.0}, 1, "a pole of which no side is meant"),
        ("digamma(x)", {"x": -1.0}, 1, "the value has no sign, the derivative has"),
        ("atan2(y, x)", {"y": 0.0, "x": 0.0}, 1, "0 / 0"),
        ("atan2(y, x)", {"y": 0.0, "x": -1.0}, 1, ""),
    ]),
    ("Saturation and overflow", [
        ("exp(x)", {"x": 1000.0}, 1, "inf, no exception"),
        ("tanh(x)", {"x": 25.0}, 1, "1 − a² has no digits left"),
        ("sigmoid(x)", {"x": 40.0}, 1, "a (1 − a) has no digits left"),
        ("sigmoid(x)", {"x": -1000.0}, 1, ""),
        ("softplus(x)", {"x": 30.0}, 1, "no threshold"),
        ("softplus(x)", {"x": 1000.0}, 1, ""),
        ("logsumexp([x, y])", {"x": 1000.0, "y": 0.0}, 1, "shifted by the largest"),
        ("logsumexp([x, y])", {"x": -inf, "y": -inf}, 1, ""),
        ("logsumexp([x, x])", {"x": 1.0}, 1, "no tie to break"),
        ("logsumexp([x, y])", {"x": 1e16, "y": 1e16}, 1, "softmax, to its last digits however large the numbers"),
        ("logsumexp([x, y]) - x", {"x": 1e9, "y": 1e9 + 1}, 1, "cross-entropy, to the last place of the logits (see below)"),
        ("-log_softmax([x, y])[0]", {"x": 1e9, "y": 1e9 + 1}, 1, "the same, the largest taken off first"),
        ("x * 1e200 - y * 1e200", {"x": 1e200, "y": 1e200}, 1, "inf − inf; dot, too, rounds each product before it adds"),
        ("x + y - x", {"x": 1e308, "y": 1e308}, 1, "inf on the way; sum, too, adds from left to right"),
        ("atan(x)", {"x": 1e200}, 1, "too small for a float"),
        ("x * y", {"x": 0.0, "y": inf}, 1, "IEEE"),
        ("x - x", {"x": inf}, 1, "the value is nan, the derivative 1 − 1"),
    ]),
    ("nan in, and what is not taken", [
        ("relu(x)", {"x": nan}, 1, "nan in the value and in the gradient"),
        ("maximum(x, y)", {"x": nan, "y": 1.0}, 1, "nan wins"),
        ("abs(x)", {"x": nan}, 1, ""),
        ("sign(x)", {"x": nan}, 1, "the derivative is the number 0"),
        ("step(x)", {"x": nan}, 1, ""),
        ("where(x, sqrt(x), x)", {"x": -1.0}, 1, "the branch not taken has no edge, whatever its derivative is"),
        ("where(1 - x, x, sqrt(x))", {"x": 0.0}, 1, "so the double where of other systems is not needed"),
        ("where(abs(x) - 1e-5, (exp(x) - 1) / x, 1 + x / 2 + x * x / 6)", {"x": 0.0}, 2, "at any order"),
        ("relu(-1 - sqrt(x))", {"x": 0.0}, 1, "relu below 0 has no edge"),
        ("maximum(2 + 0 * x, sqrt(x))", {"x": 0.0}, 1, "nor has the smaller operand"),
        ("where(1 - x, x, x ** 1.5)", {"x": 0.0}, 2, "also where the later derivative alone is infinite"),
        ("abs(sqrt(x))", {"x": 0.0}, 1, "nor has abs at 0, as relu(x) + relu(-x): neither side is chosen"),
        ("sqrt(sign(x))", {"x": 0.0}, 1, "a flat function has none"),
        ("sqrt(x) ** 2.0", {"x": 0.0}, 1, "a zero that is a number is multiplied: 0 · inf"),
        ("where(x, log(x), 0.0)", {"x": 0.0}, 1, "nor has one with inf"),
        ("x ** 0.0", {"x": nan}, 1, "IEEE: 1; the derivative keeps the nan"),
    ]),
]  # fmt: skip


def evaluated(expression: str, variables: dict[str, Any], names: dict[str, Any]) -> Any:
    return eval(expression, {"__builtins__": {}, **names, **variables})


def derived(grad: Any, expression: str, at: dict[str, float], names: dict[str, Any], order: int) -> tuple[Any, Any]:
    """The function that an expression is, and its derivative of one order less, taken by `grad`."""

    def f(*xs: Any) -> Any:
        return evaluated(expression, dict(zip(at, xs, strict=True)), names)

    derivative = f
    for _ in range(order - 1):
        derivative = grad(derivative)
    return f, derivative


Answer = Callable[[str, dict[str, float], int], list[float]]  # the value and the derivative in each variable


def with_micrograd() -> Answer:
    sys.path.insert(0, str(HERE.parent))
    import micrograd as mg

    names = {name: getattr(mg, name) for name in mg.__all__ if name[0].islower()}

    def answer(expression: str, at: dict[str, float], order: int) -> list[float]:
        f, derivative = derived(mg.grad, expression, at, names, order)
        return [f(*map(mg.constant, at.values())).data, *mg.grad(derivative, tuple(range(len(at))))(*at.values())]

    return answer


def with_jax() -> Answer:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    names = {
        "abs": jnp.abs, "acos": jnp.arccos, "asin": jnp.arcsin, "atan": jnp.arctan, "atan2": jnp.arctan2, "exp": jnp.exp,
        "log": jnp.log, "log1p": jnp.log1p, "maximum": jnp.maximum, "minimum": jnp.minimum, "relu": jax.nn.relu,
        "sigmoid": jax.nn.sigmoid, "sign": jnp.sign, "softplus": jax.nn.softplus, "sqrt": jnp.sqrt, "tanh": jnp.tanh,
        "step": lambda x: jnp.heaviside(x, 0.0), "where": lambda c, a, b: jnp.where(c > 0, a, b),
        "logsumexp": lambda xs: jax.nn.logsumexp(jnp.stack(xs)), "log_softmax": lambda xs: jax.nn.log_softmax(jnp.stack(xs)),
        "lgamma": jax.scipy.special.gammaln, "digamma": jax.scipy.special.digamma,
    }  # fmt: skip

    def answer(expression: str, at: dict[str, float], order: int) -> list[float]:
        f, derivative = derived(jax.grad, expression, at, names, order)
        xs = [jnp.asarray(x) for x in at.values()]
        return [float(f(*xs)), *map(float, jax.grad(derivative, tuple(range(len(at))))(*xs))]

    return answer


def with_torch() -> Answer:
    import torch

    zero = torch.zeros((), dtype=torch.float64)

    def tensor(x: Any) -> Any:
        return x if isinstance(x, torch.Tensor) else torch.tensor(x, dtype=torch.float64)

    names = {
        "abs": torch.abs, "acos": torch.acos, "asin": torch.asin, "atan": torch.atan, "atan2": torch.atan2, "exp": torch.exp,
        "log": torch.log, "log1p": torch.log1p, "relu": torch.relu, "sigmoid": torch.sigmoid, "sign": torch.sign,
        "sqrt": torch.sqrt, "tanh": torch.tanh, "softplus": torch.nn.functional.softplus,
        "maximum": lambda x, y: torch.maximum(x, tensor(y)), "minimum": lambda x, y: torch.minimum(x, tensor(y)),
        "step": lambda x: torch.heaviside(x, zero), "where": lambda c, a, b: torch.where(c > 0, tensor(a), tensor(b)),
        "logsumexp": lambda xs: torch.logsumexp(torch.stack(xs), 0),
        "log_softmax": lambda xs: torch.log_softmax(torch.stack(xs), 0), "lgamma": torch.lgamma, "digamma": torch.digamma,
    }  # fmt: skip

    def answer(expression: str, at: dict[str, float], order: int) -> list[float]:
        xs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in at.values()]
        value = derivative = evaluated(expression, dict(zip(at, xs, strict=True)), names)
        for _ in range(order - 1):
            (derivative,) = torch.autograd.grad(derivative, xs, create_graph=True)
        found = torch.autograd.grad(derivative, xs, allow_unused=True)
        return [float(value), *(0.0 if g is None else float(g) for g in found)]

    return answer


def with_autograd() -> Answer:
    import autograd
    import autograd.numpy as anp
    import autograd.scipy.special as special

    names = {
        "abs": anp.abs, "acos": anp.arccos, "asin": anp.arcsin, "atan": anp.arctan, "atan2": anp.arctan2, "exp": anp.exp,
        "log": anp.log, "log1p": anp.log1p, "maximum": anp.maximum, "minimum": anp.minimum, "sign": anp.sign,
        "relu": lambda x: anp.maximum(x, 0.0), "sigmoid": special.expit, "softplus": lambda x: anp.logaddexp(x, 0.0),
        "sqrt": anp.sqrt, "tanh": anp.tanh, "step": lambda x: anp.where(x > 0, 1.0, 0.0),
        "where": lambda c, a, b: anp.where(c > 0, a, b), "logsumexp": lambda xs: special.logsumexp(anp.stack(xs)),
        "log_softmax": lambda xs: anp.stack(xs) - max(xs) - special.logsumexp(anp.stack(xs) - max(xs)),
        "lgamma": special.gammaln, "digamma": special.digamma,
    }  # fmt: skip

    def answer(expression: str, at: dict[str, float], order: int) -> list[float]:
        f, derivative = derived(autograd.grad, expression, at, names, order)
        xs = [float(x) for x in at.values()]
        return [float(f(*xs)), *(float(autograd.grad(derivative, i)(*xs)) for i in range(len(at)))]

    return answer


SIDES = {"micrograd": with_micrograd, "jax": with_jax, "torch": with_torch, "autograd": with_autograd}


def work(side: str) -> None:
    """Print the answers of one side to all rows, as JSON; an exception is its own answer."""
    answer, answers = SIDES[side](), []
    for _, rows in SECTIONS:
        for expression, at, order, _ in rows:
            try:
                answers.append([repr(x) for x in answer(expression, at, order)])
            except Exception as error:
                answers.append([type(error).__name__])
    print(json.dumps(answers))


def main() -> None:
    from peers import REQUIREMENTS, python_with

    interpreters = {side: python_with(side) if side != "micrograd" else sys.executable for side in SIDES}
    answers = {
        side: json.loads(
            subprocess.run([python, "-W", "ignore", __file__, side], check=True, capture_output=True, text=True).stdout
        )
        for side, python in interpreters.items()
    }
    versions = [r.replace("==", " ") for side in ("jax", "torch", "autograd") for r in REQUIREMENTS[side][:1]]
    lines = [
        "# Conventions at kinks, ties, poles and where numbers end",
        "",
        "What this project answers, beside JAX, PyTorch and autograd: the value; then the derivative with respect to each",
        "variable, or the exception that came instead. Written by `python benchmarks/conventions.py`, which runs each",
        f"expression in all four (float64; {', '.join(versions)}). Zero stands for either zero.",
        "Answers that differ from this project's are **bold** (by more than 1 part in 10⁹, or in nan, inf or the sign of inf).",
        "The conventions themselves stand beside the rows of `micrograd/primitives.py`, each derivative written once.",
    ]
    each = iter(zip(*answers.values(), strict=True))
    for title, rows in SECTIONS:
        lines += [
            "",
            f"## {title}",
            "",
            "| expression | at | micrograd | JAX | PyTorch | autograd | why |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in rows:
            ours, *others = next(each)
            cells = [shown(a) if alike(ours, a) else f"**{shown(a)}**" for a in others]
            lines.append(f"{start(row, ours)} {' | '.join(cells)} | {row[3]} |")
    lines += ["", *LIMITS]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(lines) + "\n")
    print(f"wrote {PAGE.relative_to(HERE.parent)}")


def start(row: Row, ours: list[str]) -> str:
    """A line of the table up to this project's own answer, which the tests hold it to."""
    expression, at, order, _ = row
    place = ", ".join(f"{name} = {number(repr(x))}" for name, x in at.items())
    what = f"`{expression}`" + ("" if order == 1 else f", derivative of order {order}")
    return f"| {what} | {place} | {shown(ours)} |"


def alike(ours: list[str], theirs: list[str]) -> bool:
    try:
        pairs = [(float(a), float(b)) for a, b in zip(ours, theirs, strict=True)]
    except ValueError:
        return ours == theirs
    return all(math.isclose(a, b, rel_tol=1e-9) or (a != a and b != b) for a, b in pairs)


def number(x: str) -> str:
    return f"{float(x):.10g}".replace("-", "−")


def shown(answer: list[str]) -> str:
    if len(answer) == 1:
        return answer[0]  # the exception
    value, *derivatives = [number(x).replace("−0", "0") if float(x) == 0.0 else number(x) for x in answer]
    return f"{value}; {', '.join(derivatives)}"


if __name__ == "__main__":
    work(sys.argv[1]) if len(sys.argv) > 1 else main()
