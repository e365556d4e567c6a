"""A search among successive calls: whatever one has left behind, the next gives what a function gives that was never called."""

import random
from contextlib import nullcontext
from threading import Thread

import numpy as np
import pytest

import micrograd as mg
from micrograd import Value, jit
from micrograd.trees import leaves_of


class World:
    """What a function reads outside its arguments; and the function itself, of arguments of any structure."""

    def __init__(self, rng, kind):
        self.rng, self.kind = rng, kind
        self.weights = [Value(1.5), Value(-0.5)]
        self.numbers, self.scale = [2.0, 0.25], {"scale": 3.0}

    def function(self):
        weights, numbers, scale, kind = self.weights, self.numbers, self.scale, self.kind

        def fn(*args, **named):
            xs = [x for leaf in leaves_of([args, named]) if not isinstance(leaf, (str, bool)) for x in np.ravel(leaf).tolist()]
            whole = [x for x in xs if hasattr(x, "__take__")]
            y = weights[0] * numbers[0] + len(
                repr([leaf for leaf in leaves_of([args, named]) if isinstance(leaf, (str, bool))])
            )
            for i, x in enumerate(xs):
                y = y * 0.5 + x * weights[1] * (i + numbers[1])
            if kind == "takes" and whole:
                y = y + mg.take([weights[0], weights[1] * 2.0, scale["scale"]], whole[0])
            if kind == "compares" and xs and xs[-1] > 0.5:
                y = y * weights[0] - scale["scale"]
            if kind == "many":
                return {"y": y, "list": [y * weights[1], y], "none": None, "array": np.array([[y, y + scale["scale"]]])}
            return (y, y * y) if kind == "pair" else y

        return fn

    def change(self, replaces):
        """Change something that the function reads; a parameter is replaced only with `replaces`."""
        change = self.rng.randrange(4)
        if change == 0:
            self.rng.choice(self.weights).data = self.rng.uniform(-2.0, 2.0)
        elif change == 1:
            self.numbers[self.rng.randrange(2)] = self.rng.choice([1.0, 1, -0.0, 0.0, 4.5])
        elif change == 2:
            self.scale["scale"] = self.rng.choice([1.0, 2, Value(0.75)])
        elif replaces:
            self.weights[self.rng.randrange(2)] = Value(self.rng.uniform(-2.0, 2.0))


class Derived(np.ndarray):
    pass


def array_of(rng, shape):
    numbers = np.array([rng.choice([0.0, 1.0, 2.0, rng.uniform(-1.0, 2.0)]) for _ in range(int(np.prod(shape)))]).reshape(shape)
    return altered(rng, numbers) if rng.random() < 0.2 else numbers


def altered(rng, x):
    """The same numbers, or nearly so, in an array of another kind."""
    change = rng.randrange(16)
    if change < 5:
        return x
    if change < 9:
        return x.astype(rng.choice([np.float32, np.int64, np.uint8, bool, ">f8", object, np.float16]))
    if change == 9:
        x = x.copy()
        x.flags.writeable = False
        return x
    if change == 10:
        return np.asfortranarray(x)
    if change == 11:
        return np.repeat(x, 2, axis=0)[::2] if x.ndim else x
    if change == 12:
        return x[::-1] if x.ndim else x
    if change == 13:
        return x.view(Derived)
    if change == 14:
        return np.ma.masked_array(x, mask=rng.random() < 0.5)
    return x.tolist()


def some_argument(rng, n):
    """An argument; of n samples if that is no None."""
    samples = () if n is None else (n,)
    kind = rng.randrange(9)
    if kind < 3 or (samples and rng.random() < 0.9):
        return array_of(rng, (*samples, *rng.choice([(), (2,), (2, 1), (1,)])))
    if kind == 3:
        return rng.choice([0.75, 2.0, 1, 0, np.float64(0.25), np.float32(0.5), np.int64(2), True, 1 << 70, -1])
    if kind == 4:
        return [rng.uniform(-1.0, 2.0) for _ in range(rng.randrange(1, 4))]
    if kind == 5:
        return rng.choice([[0.5, 1], (1.0, 2.0), [[0.5, 1.0], [2.0, -1.0]], [[0.5], 1.0], (0.5, None), ([1.0], "a")])
    if kind == 6:
        return {key: array_of(rng, samples) if samples else rng.choice([0.25, 1.0, 2]) for key in rng.choice(["ab", "ba", "a"])}
    return rng.choice([None, "a", "b", False, 0.5, [0.25, 0.5], np.float64(1.0), {"a": 1.5, "b": 0.5}])


class Asked:
    """One call: its kind, its arguments, and how it is made."""

    def __init__(self, rng, ways):
        self.rng, self.ways = rng, ways
        self.way = rng.choice(ways)
        self.n, self.reduction, self.named, self.theta = rng.randrange(4), "mean", False, False
        self.axes = rng.choice([0, 0, "each", None])
        self.args = self.fresh(rng.randrange(1, 4))

    def fresh(self, count):
        return [some_argument(self.rng, None if self.way == "call" or self.axis(i) is None else self.n) for i in range(count)]

    def axis(self, i):
        return self.axes if self.axes != "each" else (0, None)[i % 2]

    def vary(self):
        """Make it differ a little from the call before."""
        change, rng = self.rng.randrange(20), self.rng
        i = rng.randrange(len(self.args))
        if change == 0:
            self.way = rng.choice(self.ways)
        elif change == 1:
            self.n = rng.choice([0, 1, 2, 3, 7])
            self.args = [np.resize(x, (self.n, *x.shape[1:])) if type(x) is np.ndarray and x.ndim else x for x in self.args]
        elif change == 2:
            self.axes = rng.choice([0, 0, None, "each", "each", 1, -1, False])
        elif change == 3:
            self.args = self.fresh(rng.randrange(1, 4))
        elif change == 4:
            self.args[i] = self.fresh(i + 1)[i]
        elif change < 8 and isinstance(x := self.args[i], np.ndarray):
            self.args[i] = altered(rng, x)
        elif change == 8:
            self.reduction = rng.choice(["mean", "sum", "sum", "max"])
        elif change == 9:
            self.named = not self.named
        elif change == 10:
            self.theta = not self.theta
        elif change == 11 and type(x := self.args[i]) is np.ndarray and x.size and x.flags.writeable and x.dtype.kind == "f":
            x.flat[0] = rng.uniform(-1.0, 2.0)
        elif change == 12 and type(x := self.args[i]) is np.ndarray and x.ndim > 1 and x.flags.c_contiguous:
            self.args[i] = x.reshape(x.shape[::-1])
        elif change == 13 and isinstance(x := self.args[i], list) and x:
            x[rng.randrange(len(x))] = rng.choice([0.5, 1.5, 1, None, True])
        elif change > 13:
            self.args[i] = self.exchanged(self.args[i])

    def exchanged(self, x):
        """Another argument that is nearly of the same kind."""
        rng = self.rng
        if type(x) is np.ndarray and x.ndim:
            return np.resize(x, rng.choice([(x.shape[0] + 1, *x.shape[1:]), (*x.shape, 1), (*x.shape[:-1], x.shape[-1] + 1)]))
        if isinstance(x, dict):
            return {
                key: rng.choice([y, 1.5]) for key, y in zip(rng.choice(["ab", "ba", "ac"]), [*x.values()] * 2, strict=False)
            }
        if x is None or isinstance(x, (str, bool)):
            return rng.choice(["a", "longer", True, False, None])
        return rng.choice([0.25, 0.75, np.float64(-1.0), 3, 1]) if np.isscalar(x) else x

    def made(self, f, weights):
        """What comes of the call: the results with the gradients, or the error."""
        args, named = tuple(self.args), {}
        if self.named and len(args) > 1:
            args, named = args[:-1], {"last": args[-1]}
        axes = self.axes if self.axes != "each" else tuple(self.axis(i) for i in range(len(args)))
        theta = {"theta": np.array([0.5, 2.0])} if self.theta and f.wrt else {}
        for w in weights:
            w.grad = 0.0
        try:
            if self.way == "call":
                found = f(*args, **theta, **named)
            elif self.way == "map":
                found = f.map(*args, in_axes=axes, **theta, **named)
            elif self.way == "backward":
                found = f.backward(*args, in_axes=axes, reduction=self.reduction, **named)
            else:
                found = f.value_and_grad([0.5, 2.0], *args, in_axes=axes, reduction=self.reduction, **named)
        except (TypeError, ValueError, IndexError, RuntimeError, FloatingPointError) as error:
            return type(error), str(error).partition(", at ")[0]
        return told(found), told([w.grad for w in weights])


def told(x):
    """A result with all that may be told of it: types, shapes, bits."""
    if isinstance(x, np.ndarray):
        return x.dtype, x.shape, x.tobytes()
    if isinstance(x, dict):
        return {key: told(part) for key, part in x.items()}
    return (type(x), [*map(told, x)]) if isinstance(x, (list, tuple)) else (type(x), repr(x))


def search(seed, backend, precision="fast", calls=12):
    """Calls one after the other, each with what a new function gives for it."""
    rng = random.Random(seed)
    world = World(rng, rng.choice(["plain", "takes", "compares", "many", "pair"]))
    listed = rng.random() < 0.5
    ways = ["call", "map"]
    # sums over several paths are rounded otherwise, in the last digit, once the paths are known and have become one
    if listed and (world.kind in ("plain", "takes") or (world.kind == "compares" and backend == "reference")):
        ways += ["value_and_grad", "backward"]
    make = lambda: jit(world.function(), world.weights if listed else None, backend, precision=precision)  # noqa: E731
    f, asked = make(), Asked(rng, ways)
    for _ in range(calls):
        with rng.choice([nullcontext] * 12 + [mg.no_grad, mg.detect_anomaly])():
            found, again = asked.made(f, world.weights), asked.made(f, world.weights)  # which leave a short way behind
            fresh = asked.made(make(), world.weights)
        assert found == again == fresh, (seed, found, again, fresh, asked.way, asked.args, asked.axes, asked.named, asked.theta)
        if rng.random() < 0.8:
            asked.vary()
        else:
            world.change(replaces=not listed)
        if rng.random() < 0.05:
            thread = Thread(target=asked.made, args=(f, world.weights))
            thread.start()
            thread.join()


@pytest.mark.parametrize("backend", ["reference", "numpy", "llvm"])
@pytest.mark.filterwarnings("ignore")
def test_a_call_gives_what_the_first_call_of_a_new_function_gives(backend):
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    for seed in range(20 if backend == "llvm" else 100):
        search(seed, backend)


X = np.array([0.0, 1.0, 2.0])
NEARLY = {  # a function, how it is called, and two tuples of arguments
    "indices": (lambda x: mg.take([1.0, 2.0, 3.0], x) if hasattr(x, "__take__") else x, "map", (np.arange(3),), (X + 0.5,)),
    "masks": (lambda x: x * 2.0, "map", (X,), (np.ma.masked_array(X, mask=[True, False, False]),)),
    "texts": (lambda x, text: x * len(text), "__call__", (0.5, "a"), (0.5, "ab")),
    "truths": (lambda x, up: x if up else -x, "__call__", (0.5, True), (0.5, False)),
    "orders": (lambda d: d["a"] - d["b"], "__call__", ({"a": 1.0, "b": 2.0},), ({"b": 1.0, "a": 2.0},)),
    "keys": (lambda d: d.get("a", 5.0) - d["b"], "__call__", ({"a": 1.0, "b": 2.0},), ({"c": 1.0, "b": 2.0},)),
    "paths": (lambda xs: xs[0] if xs[0] > 0.5 else -xs[0], "__call__", ([0.75],), ([0.25],)),
}  # fmt: skip


@pytest.mark.parametrize("backend", ["reference", "numpy", None])
@pytest.mark.parametrize(("function", "way", "first", "second"), NEARLY.values(), ids=NEARLY)
def test_what_is_nearly_like_the_latest_call_is_another_one(function, way, first, second, backend):
    def found(f, args):
        try:
            return told(getattr(f, way)(*args))
        except TypeError as error:
            return str(error)

    f = jit(function, backend=backend)
    assert found(f, first) == found(f, first)
    assert found(f, second) == found(jit(function, backend=backend), second) != found(f, first)
