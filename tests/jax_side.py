"""JAX's side of test_against_jax: programs come in as JSON, derivatives go out. Run by an interpreter that has JAX."""

import json
import sys

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, erf, erfc, gammaln, logsumexp, polygamma

jax.config.update("jax_enable_x64", True)

OPS = {
    "add": jnp.add, "sub": jnp.subtract, "mul": jnp.multiply, "div": jnp.divide, "neg": jnp.negative, "pow": jnp.power,
    "exp": jnp.exp, "log": jnp.log, "log1p": jnp.log1p, "expm1": jnp.expm1, "sqrt": jnp.sqrt, "sin": jnp.sin, "cos": jnp.cos,
    "tan": jnp.tan, "asin": jnp.arcsin, "acos": jnp.arccos, "atan": jnp.arctan, "atan2": jnp.arctan2, "sinh": jnp.sinh,
    "cosh": jnp.cosh, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu, "softplus": jax.nn.softplus,
    "abs": jnp.abs, "sign": jnp.sign, "step": lambda x: jnp.where(x > 0, 1.0, 0.0), "maximum": jnp.maximum,
    "minimum": jnp.minimum, "erf": erf, "greater": lambda x, y: jnp.where(x > y, 1.0, 0.0),
    "equal": lambda x, y: jnp.where(x == y, 1.0, 0.0),
    "less": lambda x, y: jnp.where(x < y, 1.0, 0.0), "where": lambda c, a, b: jnp.where(c > 0, a, b),
    "sum": lambda *xs: jnp.sum(jnp.stack(xs)), "logsumexp": lambda *xs: logsumexp(jnp.stack(xs)),
    "dot": lambda *a: a[-1] + jnp.stack(a[: len(a) // 2]) @ jnp.stack(a[len(a) // 2 : -1]),
    "mod": jnp.mod, "floordiv": jnp.floor_divide, "floor": jnp.floor, "round": jnp.round, "asinh": jnp.arcsinh,
    "acosh": jnp.arccosh, "atanh": jnp.arctanh, "erfc": erfc, "log2": jnp.log2, "log10": jnp.log10, "exp2": jnp.exp2,
    "cbrt": jnp.cbrt, "hypot": jnp.hypot, "power_less_one": lambda x, y: x ** (y - 1),
    "power_log": lambda x, y: x**y * jnp.log(x),
    "lgamma": gammaln, "digamma": digamma, "polygamma": lambda n, x: polygamma(int(n), x),
    "one_minus_square": lambda x: (1 - x) * (1 + x),
    "take": lambda *a: jnp.stack(a[:-1])[int(a[-1])],
}  # fmt: skip


def along(f, v):
    return lambda x: jax.jvp(f, (x,), (v,))[1]


def derivatives(program):
    def f(x):
        values = list(x)
        for op, operands in program["steps"]:
            args = [values[a] if isinstance(a, int) else a for a in operands]
            values.append(OPS[op](*(jnp.asarray(a, dtype=float) if isinstance(a, float) and op != "take" else a for a in args)))
        return jnp.sum(jnp.stack(values[-4:]))

    x, u, v, w = (jnp.array(program[name]) for name in "xuvw")

    def reverse2(x):
        return jax.grad(lambda x: u @ jax.grad(f)(x))(x)

    return {
        "value": f(x),
        "gradient": jax.grad(f)(x),
        "hessian": jax.hessian(f)(x),
        "third": jax.jacfwd(jax.hessian(f))(x),
        "reverse2": reverse2(x),
        "reverse3": jax.grad(lambda x: v @ reverse2(x))(x),
        "forward1": along(f, u)(x),
        "forward2": along(along(f, u), v)(x),
        "forward3": along(along(along(f, u), v), w)(x),
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps({name: d.tolist() for name, d in derivatives(json.loads(line)).items()}))
