"""Compiled for the bits, every transform of a random program gives the engine's own numbers, to the last digit."""

import random
import struct

import pytest
from programs import program

import micrograd as mg
from micrograd import grad, hessian, hvp, jacobian, jit, jvp, vjp
from micrograd.trees import elements, leaves_of


def digits(result):
    """The bits of each number in a result; all nans are one, and so are both zeros."""
    found = [x for leaf in leaves_of(result) for x in elements(leaf)]
    return ["nan" if x != x else struct.pack("d", x or 0.0) for x in found]


def transforms(f, direction):
    """Derivatives of a function of a list of numbers, first, second and third, in forward and in reverse mode."""
    return {
        "grad": grad(f),
        "jvp": lambda x: jvp(f, (x,), (direction,))[1],
        "vjp": lambda x: vjp(f, x)[1](2.5)[0],
        "jacobian": jacobian(lambda x: [f(x), f(x) * x[0]]),
        "hessian": hessian(f),
        "hvp": lambda x: hvp(f, (x,), (direction,)),
        "grad of grad": grad(lambda x: mg.dot(grad(f)(x), direction)),
        "jvp of hvp": lambda x: jvp(lambda y: hvp(f, (y,), (direction,)), (x,), (direction,))[1],
    }


@pytest.mark.parametrize(("backend", "size", "count"), [("reference", 12, 80), ("llvm", 8, 8)])
def test_compiled_transforms_have_the_engines_bits(backend, size, count):
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    with mg.no_grad():
        for seed in range(count):
            f, inputs, _ = program(seed, size, smooth=seed % 2 == 0)
            rng = random.Random(seed)
            x, direction = ([rng.uniform(-2, 2) for _ in range(inputs)] for _ in range(2))
            for name, transform in transforms(f, direction).items():
                compiled = jit(transform, backend=backend, precision="exact")
                assert digits(compiled(x)) == digits(transform(x)), (seed, name)
