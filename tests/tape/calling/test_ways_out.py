"""Every way in which a number could leave a recording: it is refused, or later calls follow what has changed; never frozen."""

import array
import bisect
import copy
import io
import json
import math
import operator
import pickle
import statistics
import struct
from fractions import Fraction

import numpy as np
import pytest

import micrograd as mg
from micrograd import Value, jit

MODEL = mg.MLP(1, [2, 1], activation="tanh", seed=1)
W = MODEL.parameters()[0]
OTHER = jit(lambda x: x * W, wrt=[W], backend="numpy")


def written(text):
    """The number in what is printed of a Value."""
    return float(text.split("data=")[-1].split(",")[0].strip(")]"))


FOLLOWED = {  # functions of a Value, an input or a leaf of MODEL, that give a number or Value
    "bool": lambda v: 1.0 if v - 2.5 else 2.0,
    "compared": lambda v: 1.0 if v > 2.0 else 2.0,
    "compared and looked up": lambda v: {True: 1.0, False: 2.0}[v > 2.0],
    "in a list": lambda v: float(v in [2.5]),
    "bisect": lambda v: float(bisect.bisect([0.0, 2.0, 4.0], v)),
    "sorted": lambda v: sorted([v, Value(2.0)])[0],
    "round": lambda v: round(v, 1),
    "divmod": lambda v: divmod(v, 2.0)[1],
    "median": lambda v: statistics.median([v, Value(0.0), Value(9.0)]),
    "np.argmax": lambda v: float(np.argmax([v, Value(2.0)])),
    "parents": lambda v: (v * v).parents[0],
    "compiled": lambda v: OTHER(v),
    "compiled on a number": lambda v: OTHER(2.0),
    "grad": mg.grad(lambda t: t * t),
    "jvp": lambda v: mg.jvp(lambda t: t * t, (v,), (1.0,))[1],
}
REFUSED = {
    "data": lambda v: v.data,
    "attrgetter": operator.attrgetter("data"),
    "descriptor": lambda v: Value.data.__get__(v),
    "detach": lambda v: v.detach().data,
    "Value of data": lambda v: Value(v.data),
    "float": float,
    "int": lambda v: float(int(float(v))),
    "complex": lambda v: complex(v).real,
    "range": lambda v: float(sum(range(int(float(v)) + 1))),
    "index": lambda v: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0][int(float(v))],
    "repr": lambda v: written(repr(v)),
    "str": lambda v: written(f"{v}"),
    "format": lambda v: float(f"{v:.6f}"),
    "percent": lambda v: float("%.6f" % v),  # noqa: UP031
    "array's text": lambda v: written(str(np.array([v]))),
    "json": lambda v: float(json.dumps(v, default=float)),
    "pickle": lambda v: pickle.loads(pickle.dumps(v)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy of a node": lambda v: copy.deepcopy(v * 2.0),
    "struct": lambda v: struct.unpack("d", struct.pack("d", v))[0],
    "array": lambda v: array.array("d", [v])[0],
    "math.exp": math.exp,
    "math.floor": lambda v: float(math.floor(v)),
    "math.frexp": lambda v: math.frexp(v)[0],
    "math.fsum": lambda v: math.fsum([v, v]),
    "math.isclose": lambda v: float(math.isclose(v, 2.5)),
    "Fraction": lambda v: float(Fraction(v.data)),
    "fmean": lambda v: statistics.fmean([v, v]),
    "array of floats": lambda v: np.array([v], float)[0],
    "astype": lambda v: np.array([v]).astype(float)[0],
    "put into an array": lambda v: operator.setitem(a := np.zeros(1), 0, v) or a[0],
    "np.float64": np.float64,
    "np.save": lambda v: np.save(io.BytesIO(), np.array([v])) or v,
    "partials": lambda v: (v * v).partials[0],
    "adjoints": lambda v: mg.adjoints(v * v)[v],
    "gradients": lambda v: mg.gradients(v * v, [v])[0],
    "backward": lambda v: (y := v * v).backward() or y.parents[0].grad,
    "explain": lambda v: (v * v).explain(v).value,
    "why": lambda v: float(len(str((v * v).why(v)))),
    "draw": lambda v: float((v * v).draw().source.count("2.5")),
    "to_code": lambda v: float(mg.to_code(v * v).count("2.5")),
    "to_networkx": lambda v: next(iter(mg.to_networkx(v * v).nodes(data="data")))[1],
    "state_dict": lambda v: next(iter(MODEL.state_dict().values())),
    "trace": lambda v: float(len(str(MODEL.trace([1.0])))),
    "theta": lambda v: OTHER.theta()[0],
    "compiled map": lambda v: OTHER.map([2.0])[0],
    "compiled gradient": lambda v: OTHER.backward([2.0]),
    "grad with data": lambda v: mg.grad(lambda t: t * v.data)(2.0),
    "checkpoint": lambda v: mg.checkpoint(lambda t: t * W.data)(v),
    "gradient": lambda v: W.grad,
}


def eager(way, x, w, of_input):
    W.data = W.grad = w
    return float(way(Value(x) if of_input else W))


def compiled(way, of_input):
    f = jit(lambda x: way(x if of_input else W) + 0.0 * x, backend="numpy")
    W.data = W.grad = 2.5
    return f


@pytest.mark.parametrize("of_input", [True, False], ids=["input", "leaf"])
@pytest.mark.parametrize("way", FOLLOWED.values(), ids=FOLLOWED)
def test_a_number_that_may_leave_is_followed(way, of_input):
    before, after = eager(way, 2.5, 2.5, of_input), eager(way, 1.2, 0.7, of_input)
    assert before != after
    f = compiled(way, of_input)
    assert f(2.5) == pytest.approx(before)
    W.data = W.grad = 0.7
    assert f(1.2) == pytest.approx(after)
    assert f.map([1.2, 1.2]).tolist() == pytest.approx([after, after])


@pytest.mark.parametrize("of_input", [True, False], ids=["input", "leaf"])
@pytest.mark.parametrize("way", REFUSED.values(), ids=REFUSED)
def test_any_other_is_refused(way, of_input):
    assert eager(way, 2.5, 2.5, of_input) != eager(way, 1.2, 0.7, of_input)
    f = compiled(way, of_input)
    with pytest.raises((TypeError, ValueError, struct.error)):
        f(2.5)
    assert W.data == W.grad == 2.5 and repr(W) == "Value(data=2.5, grad=2.5, label='W_11^[1]')"  # the recording is over


@pytest.mark.parametrize(
    "change",
    [
        lambda x: setattr(W, "data", 2.0),
        lambda x: setattr(W, "grad", 0.0),
        lambda x: setattr(x * W, "data", 2.0),
        lambda x: MODEL.zero_grad(),
        lambda x: MODEL.load_state_dict(STATE),
        lambda x: setattr(CONSTANT, "data", 2.0),
    ],
)
def test_what_later_calls_would_not_set_again_is_not_to_be_set_while_recording(change):
    with pytest.raises(
        TypeError,
        match=r"\.(data|grad) of a value was set while recording, at .*test_ways_out.*only leaves .*before the call",
    ):
        jit(lambda x: (change(x), x * W * CONSTANT)[1])(1.0)


@pytest.mark.parametrize("run", [jit, mg.grad])
def test_other_errors_stay_what_they_are(run):
    def f(x):
        raise ValueError("mine") from TypeError("another one of mine")

    with pytest.raises(ValueError, match=r"^mine$"):
        run(f)(1.0)


def test_values_that_a_function_makes_are_its_own_to_set():
    def f(x):
        total = Value(0.0)
        total.data, total.grad = 3.0, 1.0
        return x * total

    assert jit(f)(2.0) == jit(f)(2.0) == 6.0


STATE, CONSTANT = MODEL.state_dict(), mg.constant(1.0)
