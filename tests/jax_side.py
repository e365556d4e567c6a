"""JAX's side of test_against_jax: programs come in as JSON, derivatives go out. Run by an interpreter that has JAX."""

import functools
import json
import sys

import jax
import jax.numpy as jnp
from jax.scipy import special

jax.config.update("jax_enable_x64", True)


@functools.cache
def function(text):
    """What a row of the table of cases calls its function in JAX."""
    return eval(text, {"jax": jax, "jnp": jnp, "special": special})


def along(f, v):
    return lambda x: jax.jvp(f, (x,), (v,))[1]


def derivatives(program):
    def f(x):
        values = list(x)
        for op, operands in program["steps"]:
            args = [values[a] if isinstance(a, int) else jnp.asarray(a, dtype=float) for a in operands]
            values.append(function(program["jax"][op])(*args))
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
