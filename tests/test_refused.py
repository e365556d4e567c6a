"""Arguments that are none: each is refused by a line that says what it wants, and not by Python somewhere inside."""

import linecache
import os
import traceback

import numpy as np
import pytest

import micrograd as mg
from micrograd import LBFGS, MLP, SGD, Layer, Neuron, Value, jit

ROOT = os.path.dirname(mg.__file__) + os.sep


class Sized:
    """Has a length, and no entries."""

    def __len__(self):
        return 2


LOOP: list = [1.0]
LOOP.append(LOOP)
HOSTILE = {
    "None": None,
    "text": "x",
    "bytes": b"ab",
    "int": 3,
    "nan": float("nan"),
    "complex": 1j,
    "dict": {"a": 1.0},
    "set": {1.0, 2.0},
    "nested": [[1.0], [2.0, 3.0]],
    "texts": ["a", "b"],
    "Nones": [None, None],
    "type": int,
    "array": np.ones(2),
    "matrix": np.ones((2, 2)),
    "number as an array": np.array(1.5),
    "no numbers": np.array([]),
    "array of texts": np.array(["a", "b"]),
    "sized": Sized(),
    "objects": np.array([None, 1.0], dtype=object),
    "object": object(),
    "Value": Value(2.0),
    "computed": Value(2.0) * 3.0,
}
LEAF, W = Value(2.0, label="a"), Value(3.0, label="w")
OUT = (LEAF * W).tanh()
SQUARE = jit(lambda x: W * x * x, backend="numpy")


def fresh():
    return [Value(1.0), Value(2.0)]


def primitive_called(name):
    return mg.primitive(name, "refused(x)", lambda x: x, 1.0)


CALLS = {
    "SGD": SGD,
    "LBFGS": LBFGS,
    "clip_grad_norm": lambda x: mg.clip_grad_norm(x, 1.0),
    "clip_grad_value": lambda x: mg.clip_grad_value(x, 1.0),
    "clip_grad_norm's bound": lambda x: mg.clip_grad_norm(fresh(), x),
    "inputs": lambda x: MLP(x, [1]),
    "widths": lambda x: MLP(2, x),
    "seed": lambda x: MLP(2, [1], seed=x),
    "layer": lambda x: Layer(2, x),
    "activation": lambda x: MLP(2, [2, 1], activation=x),
    "a neuron's input": lambda x: Neuron(2)(x),
    "a network's input": lambda x: MLP(2, [1])(x),
    "a bias": lambda x: [setattr(n := Neuron(2), "b", x), n([1.0, 2.0])],
    "load_state_dict": lambda x: MLP(2, [1]).load_state_dict(x),
    "children": lambda x: Value(1.0, [x] if getattr(x, "shape", None) == () else x),
    "data": Value,
    "ceil": mg.ceil,
    "trunc": mg.trunc,
    "leaky_relu": mg.leaky_relu,
    "exp": mg.exp,
    "cumsum": mg.cumsum,
    "softmax": mg.softmax,
    "mse": lambda x: mg.mse(x, [1.0, 2.0]),
    "l1": lambda x: mg.l1([1.0, 2.0], x),
    "huber": lambda x: mg.huber(x, x),
    "hinge": lambda x: mg.hinge(x, [1.0, -1.0]),
    "cross_entropy": lambda x: mg.cross_entropy(x, 1),
    "a class": lambda x: mg.cross_entropy([1.0, 2.0], x),
    "nll": lambda x: mg.nll(x, 1),
    "kl": lambda x: mg.kl_divergence(x, [0.5, 0.5]),
    "reduction": lambda x: mg.mse([1.0], [2.0], reduction=x),
    "gradcheck": lambda x: mg.gradcheck(x, 1.0),
    "argnums": lambda x: mg.grad(lambda a, b: a * b, x)(1.0, 2.0),
    "take": lambda x: mg.take(x, "a" if isinstance(x, dict) else 0),
    "an index": lambda x: mg.take([1.0, 2.0], x),
    "format": lambda x: OUT.draw(format=x),
    "rankdir": lambda x: OUT.draw(rankdir=x),
    "view": lambda x: OUT.draw(view=x),
    "theme": lambda x: OUT.draw(theme=x),
    "width": lambda x: OUT.draw(width=x),
    "digits": lambda x: OUT.draw(digits=x),
    "unfold": lambda x: OUT.draw(unfold=x),
    "through": lambda x: OUT.draw(through=x),
    "explore": lambda x: OUT.draw().explore(x),
    "notation": lambda x: OUT.explain(LEAF, notation=x),
    "depth": lambda x: OUT.explain(LEAF, x),
    "record": lambda x: mg.record(x, OUT),
    "backend": lambda x: jit(lambda v: v, backend=x),
    "dtype": lambda x: jit(lambda v: v, dtype=x),
    "precision": lambda x: jit(lambda v: v, precision=x),
    "wrt": lambda x: jit(lambda v: v, wrt=x),
    "reduction of backward": lambda x: SQUARE.backward([1.0], reduction=x),
    "a compiled lookup": lambda x: jit(mg.take, backend="numpy")(x, 1),
    "a step": lambda x: mg.cosine_schedule(0.1, 10)(x),
    "the first step": lambda x: mg.warmup_schedule(0.1, 10)(x),
    "primitive": primitive_called,
    "topological_order": mg.topological_order,
    "grad=": lambda x: setattr(Value(1.0), "grad", x),
}


def refused_by(error):
    """The line of the package that the error came from; "" where it is one that raises, or is not of the package."""
    frames = traceback.extract_tb(error.__traceback__)
    last = [frame for frame in frames if frame.filename.startswith(ROOT)][-1:]
    if not last or frames[-1].filename == __file__:
        return ""
    lines = [linecache.getline(last[0].filename, i) for i in range(last[0].lineno, last[0].end_lineno + 1)]
    return "" if "raise" in lines[0] else f"{last[0].filename}:{last[0].lineno}: {lines[0].strip()}"


@pytest.mark.parametrize("name", CALLS)
def test_what_is_refused_is_refused_in_words(name, monkeypatch):
    monkeypatch.setattr("micrograd.primitives.RULES", dict(mg.primitives.RULES))
    raw = []
    for what, x in {**HOSTILE, "loop": LOOP}.items():
        try:
            CALLS[name](x)
        except Exception as error:
            if line := refused_by(error):
                raw.append(f"{what}: {type(error).__name__} {error} at {line}")
    assert not raw, "\n".join(raw)


def test_more_neurons_than_memory_has_room_for_are_refused_at_once():
    for make in (lambda n: MLP(n, [1]), lambda n: Layer(2, n), lambda n: Neuron(n)):
        with pytest.raises(ValueError, match="fewer than memory has room for"):
            make(10**400)


def test_a_generator_of_names_or_values_is_still_taken():
    v = Value(1.0)
    v.grad = 3.0
    assert mg.clip_grad_norm((p for p in [v]), 1.0) == 3.0 and mg.grad(lambda a, b: a * b, (i for i in (0, 1)))(2.0, 3.0) == (
        3.0,
        2.0,
    )
    assert (
        OUT.draw(through=(x for x in [LEAF])).svg
        and OUT.draw(unfold=iter(["all"])).svg
        and len(MLP(2, iter([2, 1])).layers) == 2
    )
    assert SGD({Value(1.0)}).steps == 0
