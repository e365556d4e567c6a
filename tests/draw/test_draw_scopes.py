"""Names for parts of one's own code: drawings fold by them."""

import pickle

import pytest

from micrograd import MLP, Value, detect_anomaly, no_grad, scope, sigmoid, tanh


def lstm(steps):
    h, c = Value(0.1, label="h"), Value(0.0, label="c")
    w = {gate: Value(0.5, label=f"w_{gate}") for gate in "fiog"}
    for t in range(steps):
        with scope("step"):
            gates = {}
            for gate in "fiog":
                with scope(f"gate {gate}"):
                    gates[gate] = (tanh if gate == "g" else sigmoid)(w[gate] * h + 0.1 * t)
            c = gates["f"] * c + gates["i"] * gates["g"]
            h = gates["o"] * tanh(c)
    return h


def labels(drawing):
    return [box.label for box in drawing.picture.boxes if box.kind == "fold"]


def test_drawings_fold_by_scope_and_open_it_by_name():
    root = lstm(12)
    assert labels(root.draw(limit=20)) == [f"step {t}" for t in range(1, 13)]
    assert labels(pickle.loads(pickle.dumps(root)).draw(limit=20)) == labels(root.draw(limit=20))
    opened = labels(root.draw(limit=20, unfold="step 3"))
    assert {"gate f", "gate i", "gate o", "gate g"} <= set(opened) and "step 3" not in opened
    assert "w_f" not in opened and {box.label for box in root.draw(limit=20).picture.boxes} >= {"w_f", "w_o"}
    assert labels(lstm(1).draw(limit=12)) == ["gate o", "gate f", "gate i", "gate g"]


def test_a_scope_is_a_decorator_and_costs_nothing_outside():
    @scope("twice")
    def twice(x):
        return x * 2 + x

    x = Value(1.0, label="x")
    once, again = twice(x), twice(x)
    assert [name for name, _ in once.note.scope] == ["twice"] and once.note.scope != again.note.scope
    assert (x * 2).note is None
    with scope("outer"), scope("inner"):
        y = x.exp()
        with no_grad():
            assert x.exp().is_constant
    assert [name for name, _ in y.note.scope] == ["outer", "inner"] and y.note.line == ""
    with scope("a"), detect_anomaly():
        z = x * 3
    assert z.note.line and z.note.scope[0][0] == "a"


def test_networks_keep_their_layers_inside_a_scope():
    model = MLP(2, [2, 1], seed=1)
    with scope("encoder"):
        out = model([0.5, Value(1.0, label="x")])
    assert out.note.network and out.note.scope[0][0] == "encoder"
    assert labels((out * 2).draw(limit=3)) == ["encoder"]
    assert "layer 1" in labels((out * 2).draw(limit=4, unfold="encoder"))


@pytest.mark.parametrize("wrong", [3, "", None])
def test_a_scope_needs_a_name(wrong):
    with pytest.raises(TypeError, match="a scope has a name"), scope(wrong):
        pass
