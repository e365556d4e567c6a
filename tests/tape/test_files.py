"""Files of compiled functions that are damaged, foreign or malicious: always a ValueError, and bounded memory."""

import io
import json
import math
import random
import tracemalloc

import numpy as np
import pytest

import micrograd as mg
from micrograd import Value, custom_derivative, jit
from micrograd.tape import load, save


def written(tmp_path):
    w, v = Value(3.0, label="w"), Value(2.0, label="v")
    f = jit(lambda x, i: {"a": [mg.take([x[0], w], i) * mg.sin(x[1]), x[0]], "b": (v, None)} if x[0] > 0.0 else
        {"a": [x[0], w], "b": (x[1], None)}, backend="reference")  # fmt: skip
    f([1.0, 2.0], 1), f([-1.0, 2.0], 1), f.map(np.ones((2, 2)), [0, 1])
    g = jit(lambda x, k: mg.dot([w, v], [x, k]), backend="reference")
    g.backward([1.0], k=[2.0])
    g(1.0, k=2.0)
    for name, each in (("f", f), ("g", g)):
        save(each, tmp_path / name)
    return f, g


def changed(path, change):
    """The file with its arrays, among them the JSON as `about`, changed."""
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(str(arrays["about"]))
    change(about, arrays)
    arrays["about"] = np.array(json.dumps(about))
    data = io.BytesIO()
    np.savez(data, **arrays)
    return data.getvalue()


def test_files_bring_everything_back(tmp_path):
    f, g = written(tmp_path)
    f2, g2 = (load(tmp_path / name, backend="reference") for name in ("f", "g"))
    assert repr(f2) == "jit(read_from_a_file)"
    for x in ([1.0, 2.0], [-1.0, 2.0]):
        assert f2(x, 1) == f(x, 1)
    assert g2.value_and_grad([1.0, 2.0], [1.0], k=[2.0])[1].tolist() == [1.0, 2.0] and g2(1.0, k=5.0) == g(1.0, k=5.0)
    with pytest.raises(ValueError, match="unknown back end"):
        load(tmp_path / "f", backend="fortran")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")


def first(about):
    return about["entries"][0]["paths"][0]


def renamed(about, name, other):
    names = first(about)["primitives"]
    names[names.index(name)] = other


DAMAGES = {
    "fewer outputs than places": lambda about, arrays: arrays.update(tape0_outputs=arrays["tape0_outputs"][:-1]),
    "more inputs": lambda about, arrays: first(about).update(inputs=7),
    "huge inputs": lambda about, arrays: first(about).update(inputs=10**30),
    "text for a number": lambda about, arrays: first(about).update(inputs="3"),
    "a huge array": lambda about, arrays: about["entries"][0].update(key=[["array", [10**9, 10**9], "f", True]]),
    "a leaf twice": lambda about, arrays: first(about).update(leaves=[0, 0]),
    "an operand before the first slot": lambda about, arrays: arrays["tape0_operands"].put(0, -1),
    "an operand of a later instruction": lambda about, arrays: arrays["tape0_operands"].put(0, 10**6),
    "a dot of two numbers": lambda about, arrays: renamed(about, "mul", "dot"),
    "a lookup by no input": lambda about, arrays: renamed(about, "mul", "take"),
    "an unknown comparison": lambda about, arrays: first(about)["guards"][0].__setitem__(0, "__add__"),
    "an unknown kind": lambda about, arrays: about["entries"][0].update(key=[["set", 3]]),
    "a place twice": lambda about, arrays: first(about).update(out=["list", [["place", 0], ["place", 0]]]),
    "a place far away": lambda about, arrays: first(about).update(out=["place", 10**9]),
    "a rule from behind": lambda about, arrays: arrays.update(tape0_code=arrays["tape0_code"] - 9),
    "texts as operands": lambda about, arrays: arrays.update(tape0_operands=arrays["tape0_operands"].astype(str)),
    "no theta": lambda about, arrays: arrays.pop("theta"),
    "theta of texts": lambda about, arrays: arrays.update(theta=arrays["theta"].astype(str)),
    "labels of numbers": lambda about, arrays: about.update(labels=[1] * len(about["labels"])),
    "another number type": lambda about, arrays: about.update(dtype="complex128"),
    "one tape for many": lambda about, arrays: about["entries"][0]["paths"].extend([first(about)] * 1000),
    "deep": lambda about, arrays: first(about).update(out=json.loads("[" * 900 + "]" * 900)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damages_are_said_to_be_damages(damage, tmp_path):
    written(tmp_path)
    bad = tmp_path / "bad.npz"
    bad.write_bytes(changed(tmp_path / "f", damage))
    with pytest.raises(ValueError, match="holds no compiled function"):
        load(bad, backend="reference")


def test_random_damages_are_value_errors_and_take_no_memory(tmp_path):
    written(tmp_path)
    whole, bad, rng = (tmp_path / "f").read_bytes(), tmp_path / "bad.npz", random.Random(0)
    tracemalloc.start()
    try:
        for _ in range(300):
            data = bytearray(whole)
            for _ in range(rng.choice([1, 1, 2, 30])):
                data[rng.randrange(len(data))] = rng.randrange(256)
            bad.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data)
            with pytest.raises(ValueError, match=r"bad\.npz"):
                load(bad, backend="reference")
                raise ValueError("bad.npz was read all the same")  # what changed is of no importance, such as a date
        directory = whole.rindex(b"PK\x01\x02")  # of the archive: a member that says it has a gigabyte
        for at in (20, 24):
            data = bytearray(whole)
            data[directory + at : directory + at + 4] = (1 << 30).to_bytes(4, "little")
            bad.write_bytes(data)
            with pytest.raises(ValueError, match=r"larger than the [0-9,]+ bytes"):
                load(bad, backend="reference")
        assert tracemalloc.get_traced_memory()[1] < 50 * len(whole) + 4_000_000
    finally:
        tracemalloc.stop()
    packed = io.BytesIO()
    np.savez_compressed(packed, about=np.array("{}"), theta=np.zeros(10_000_000))
    bad.write_bytes(packed.getvalue())
    with pytest.raises(ValueError, match="packed in another way"):
        load(bad)


def lengths(p, power):
    return {"long": math.hypot(*p["x"]), "pair": (p["x"][0] ** power, 1.0)}


def lengths_partials(p, power, out):
    long = [x / out["long"] for x in p["x"]]
    first = {"x": [power * p["x"][0] ** (power - 1), 0.0]}
    return {"long": ({"x": long}, None), "pair": ((first, None), ({"x": [0.0, 0.0]}, None))}


def test_functions_with_a_rule_of_their_own_are_found_by_their_names(tmp_path, monkeypatch):
    measured, w = custom_derivative(lengths, lengths_partials), Value(2.0)
    f = jit(lambda x, y: measured({"x": [x * w, y]}, 3)["long"] + measured({"x": [x * w, y]}, 3)["pair"][0], wrt=[w])
    xs, ys = [1.5, 2.0], [4.0, 3.0]
    values, (value, gradient) = f.map(xs, ys), f.value_and_grad([2.0], xs, ys)
    save(f, path := tmp_path / "f.npz")
    again = load(path)
    assert again.map(xs, ys).tolist() == values.tolist() and again.value_and_grad([2.0], xs, ys) == (value, gradient)
    twins = {"a.lengths": measured, "b.lengths": custom_derivative(lengths, lengths_partials)}
    none = "no function with a rule of its own is called 'lengths'"
    for known, message in (({}, none), ({"lengths": twins}, "2 functions are")):
        monkeypatch.setattr("micrograd.tape.files.FUNCTIONS", known)
        with pytest.raises(ValueError, match=message):
            load(path)
    unnamed = custom_derivative(lambda x: float(round(float(x))), lambda x, out: 1.0)
    g = jit(lambda x: unnamed(x) * 2.0)
    g(1.0)
    with pytest.raises(ValueError, match="one has none: define it with def"):
        save(g, path)
