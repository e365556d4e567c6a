"""What a compiled function reads outside its arguments: noticed at the next call when it has changed."""

import dataclasses
import itertools
import math
import operator
import sys
import types
import weakref
from array import array as array_of_floats
from collections import ChainMap, Counter, UserDict, UserList, defaultdict, deque
from functools import cached_property, lru_cache, partial, update_wrapper

import numpy as np
import pytest

import micrograd as mg
from micrograd import Value, jit
from micrograd.tape.calling import latest_call
from micrograd.tape.recording.arguments import Call
from micrograd.tape.recording.watch import Watch, _alike, places_of, values_at

FACTOR = 2.0
TABLE = {"k": 2.0}
CONFIG = types.ModuleType("config")
CONFIG.factor, CONFIG.several = 2.0, (2.0,)


@dataclasses.dataclass
class Settings:
    factor: float = 2.0
    unread: int = 0


CONFIG.of, CONFIG.settings, CONFIG.inner = lambda x: x * 2.0, Settings(), types.ModuleType("inner")
exec("rate = 2.0\ndef of(x): return x * rate", vars(CONFIG.inner))


class Scaled:
    shared = 2.0

    def __init__(self):
        self.factor, self.calls, self.inner = 2.0, 0, Settings()

    def __call__(self, x):
        return self.once(x) * self.shared

    def once(self, x):
        return x * self.factor * self.inner.factor

    __slots__ = ("calls", "factor", "inner")


class Earlier:
    shared = first = 2.0
    several, missing = (2.0,), None

    def of(self, x):
        return x * self.shared

    def __call__(self, x):
        return self.of(x)


class Later(Earlier):
    pass


class OneSlot:
    __slots__ = "only"


class Network(mg.Module):
    def __init__(self):
        self.weights, self.gain = [Value(2.0)], 2.0

    def __call__(self, x):
        return self.weights[0] * x * self.gain


def put(holder, key, value):
    holder[key] = value


def of_global(x):
    return x * FACTOR


def through_another(x):
    return of_global(x) * CONFIG.factor


def fifth(self, x):
    return x * 5.0


def with_default(x, k=2.0, *, more=3.0):
    return x * k * more


class Table(dict):
    """A dict with attributes: one of each object, one of the class."""

    shared = 2.0

    def __init__(self, factor):
        self.factor = factor


class Rates:
    factor = 2.0


class Times:
    def __call__(self, x):
        return x * 2.0


@dataclasses.dataclass
class Grown:
    x: object

    def __post_init__(self):
        self.x = self.x * DEEP


DEEP = 2.0


class Partial:
    __slots__ = ("another", "factor")


def cases():
    """Functions of one number, and what changes them; each multiplies by 2.0 somewhere, by 5.0 after."""
    numbers, nested, array, cell, table = [2.0], {"a": [(1.0, [2.0])]}, np.array([2.0]), 2.0, [2.0, *range(1, 100)]
    scaled, settings, network, other = Scaled(), Settings(), Network(), Scaled()
    model = mg.MLP(1, [1], seed=0)
    value, held, far = Value(2.0), mg.constant(2.0), Settings([mg.constant(2.0)])

    tables, keyword, counts, slotted = Table(2.0), Settings(2.0), Counter(abc=2), OneSlot()
    setattr(keyword, "lambda", 2.0)
    ligature = "ﬁrst"  # after a dot Python reads it as "first"
    letters = type("Letters", (), {"first": 2.0, ligature: 2.0})
    slotted.only = 2.0
    before, kinds, latest, packed = Earlier(), {2.0}, deque([2.0]), array_of_floats("d", [2.0])

    inner = mg.constant(2.0)
    made = Value(1.0) * inner
    words, half_made, before_empty = type("Words", (), {"class": 2.0}), Partial(), [2.0]
    half_made.factor = 2.0

    def looped(x):
        for name in ("factor", "unread"):
            x = x * getattr(settings, name) if getattr(settings, name) else x
        return x

    def half_closed(x):
        return x * before_empty[0] if before_empty else never

    if not before_empty:
        never = None

    def assigned(x):
        return x * cell

    def set_cell():
        nonlocal cell
        cell = 5.0

    yield "closure", assigned, set_cell
    yield "list", lambda x: x * numbers[0], lambda: put(numbers, 0, 5.0)
    yield "nested", lambda x: x * nested["a"][0][1][0], lambda: put(nested["a"][0][1], 0, 5.0)
    yield "dict", lambda x: x * TABLE["k"], lambda: put(TABLE, "k", 5.0)
    yield "array", lambda x: x * array[0], lambda: put(array, 0, 5.0)
    yield "global", of_global, lambda: put(globals(), "FACTOR", 5.0)
    yield "module", through_another, lambda: setattr(CONFIG, "factor", 5.0)
    yield "attribute", lambda x: x * settings.factor, lambda: setattr(settings, "factor", 5.0)
    yield "method", scaled.once, lambda: setattr(scaled, "factor", 5.0)
    yield "attribute of an attribute", other, lambda: setattr(other.inner, "factor", 5.0)
    yield "class", other, lambda: setattr(Scaled, "shared", 5.0)
    yield "attribute of an object before that of its class", before.of, lambda: setattr(before, "shared", 5.0)
    yield "attribute of a class before that of its base", Later(), lambda: setattr(Later, "shared", 5.0)
    yield "class of a class", lambda x: x * Later.first, lambda: setattr(Earlier, "first", 5.0)
    yield "tuple of a class", lambda x: x * Earlier.several[0], lambda: setattr(Earlier, "several", (5.0,))
    yield "None of a class", lambda x: x * (Earlier.missing or 2.0), lambda: setattr(Earlier, "missing", 5.0)
    yield "tuple of a module", lambda x: x * CONFIG.several[0], lambda: setattr(CONFIG, "several", (5.0,))
    yield "function of a module", lambda x: CONFIG.of(x), lambda: setattr(CONFIG, "of", lambda x: x * 5.0)
    yield "what a function of a module reads", lambda x: CONFIG.inner.of(x), lambda: setattr(CONFIG.inner, "rate", 5.0)
    yield "object of a module", lambda x: x * CONFIG.settings.factor, lambda: setattr(CONFIG.settings, "factor", 5.0)
    yield "attribute of a dict", lambda x: x * tables.factor, lambda: setattr(tables, "factor", 5.0)
    yield "attribute of a class of dicts", lambda x: x * tables.shared, lambda: setattr(Table, "shared", 5.0)
    yield "text of a class of dicts", lambda x: x * counts["abc"] * bool(counts.__doc__), lambda: put(counts, "abc", 5)
    yield "a keyword as a name", lambda x: x * getattr(keyword, "lambda"), lambda: setattr(keyword, "lambda", 5.0)
    yield "a name with a ligature", lambda x: x * getattr(letters, ligature), lambda: setattr(letters, ligature, 5.0)
    yield "the only slot", lambda x: x * slotted.only, lambda: setattr(slotted, "only", 5.0)
    yield (
        "a class of the same name",
        lambda x: x * Rates.factor,
        lambda: put(globals(), "Rates", type("R", (), {"factor": 5.0})),
    )
    yield (
        "a class that is called",
        lambda x: Times()(x),
        lambda: put(globals(), "Times", type("T", (Times,), {"__call__": fifth})),
    )
    yield "what an object is made with", lambda x: Grown(x).x, lambda: put(globals(), "DEEP", 5.0)
    yield "a function in a function in one", lambda x: (lambda: (lambda: x * DEEP)())(), lambda: put(globals(), "DEEP", 7.0)
    yield "a keyword as a name in a class", lambda x: x * getattr(words, "class"), lambda: setattr(words, "class", 5.0)
    yield "names in a tuple", looped, lambda: setattr(settings, "factor", 6.0)
    yield (
        "a slot beside an empty one",
        lambda x: x * (half_made.factor or half_made.another),
        lambda: setattr(half_made, "factor", 5.0),
    )
    yield "a variable beside an empty one", half_closed, lambda: put(before_empty, 0, 5.0)
    yield "set", lambda x: x * sum(kinds), lambda: kinds.add(3.0)
    yield "deque", lambda x: x * latest[0], lambda: latest.appendleft(5.0)
    yield "array of Python's", lambda x: x * packed[0], lambda: put(packed, 0, 5.0)
    yield "default", with_default, lambda: setattr(with_default, "__defaults__", (5.0,))
    yield "default by name", with_default, lambda: put(with_default.__kwdefaults__, "more", 5.0)
    yield "partial", partial(lambda s, x: x * s.factor, settings), lambda: setattr(settings, "factor", 7.0)
    yield "parameter", network, lambda: put(network.weights, 0, Value(5.0))
    yield "number of a network", network, lambda: setattr(network, "gain", 5.0)
    yield "weight", lambda x: model([x]), lambda: put(model.layers[0].neurons[0].w, 0, Value(5.0))
    yield "layer", lambda x: model([x]), lambda: put(model.layers, 0, mg.MLP(1, [1], seed=5).layers[0])
    yield "constant", lambda x: x * held, lambda: setattr(held, "data", 5.0)
    yield "constant in a list", lambda x: x * far.factor[0], lambda: setattr(far.factor[0], "data", 5.0)
    yield "constant below", lambda x: x * made, lambda: (setattr(inner, "data", 5.0), made.recompute())
    yield "number of a constant", lambda x: x * held.data, lambda: setattr(held, "data", 6.0)
    yield "long list", lambda x: x * table[0], lambda: put(table, 0, 5.0)
    yield "Value", lambda x: numbers[-1] * x * value, lambda: numbers.append(Value(7.0))


CASES = list(cases())


@pytest.mark.parametrize(("function", "change"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_has_changed_is_recorded_again(function, change):
    def eager(x):
        out = function(Value(x))
        return (out[0] if isinstance(out, list) else out).data

    f = jit(function)
    called, mapped = (lambda: f(3.0)), (lambda: f.map([3.0])[0])
    before = eager(3.0)
    for call in (called, called, mapped, mapped):
        assert call() == pytest.approx(before, rel=1e-15)
    change()
    assert eager(3.0) != before
    for call in (called, mapped, called):
        assert call() == pytest.approx(eager(3.0), rel=1e-15)


class Hidden:
    """Holds a number under a name of its own, which only the method that it is given reads; so does each case below."""

    count = itertools.count()

    def __init__(self, **methods):
        self._name, self.inner = f"hidden_{next(self.count)}", None
        vars(self)[self._name] = 2.0
        made = {}
        for name, text in methods.items():
            exec(f"def {name}(self, *args): return {text.replace('N', 'self.' + self._name)}", made)
        self.__class__ = type("Hidden", (Hidden,), {name: made[name] for name in methods})

    def change(self):
        vars(self)[self._name] = 5.0


def reads():
    """Functions of one number that read 2.0 in ways of their own, and what makes 5.0 of it."""
    ways = {
        "__getitem__": lambda h, x: x * h[0],
        "__iter__": lambda h, x: sum(x * k for k in h),
        "__contains__": lambda h, x: x * (5.0 if 1.0 in h else 2.0),
        "__mul__": lambda h, x: h * x,
        "__neg__": lambda h, x: x * -h,
        "__abs__": lambda h, x: x * abs(h),
        "__len__": lambda h, x: x * len(h),
        "__bool__": lambda h, x: x * (2.0 if h else 5.0),
        "__int__": lambda h, x: x * int(h),
        "__eq__": lambda h, x: x * (2.0 if h == 1 else 5.0),
        "__lt__": lambda h, x: x * (2.0 if h < 1 else 5.0),
        "__str__": lambda h, x: x * float(f"{h}"),
        "__matmul__": lambda h, x: h @ x,
        "__call__": lambda h, x: h(x),
        "__getattr__": lambda h, x: x * h.nothing_of_this_name,
    }
    texts = {"__iter__": "iter([N])", "__contains__": "N > 3", "__mul__": "args[0] * N", "__matmul__": "args[0] * N"}
    texts |= {"__call__": "args[0] * N", "__len__": "int(N)", "__int__": "int(N)", "__bool__": "N < 3", "__eq__": "N < 3"}
    texts |= {"__lt__": "N < 3", "__str__": "str(N)"}
    for name, way in ways.items():
        held = Hidden(**{name: texts.get(name, "N")})
        yield name, partial(way, held), held.change
        if name in ("__call__", "__getitem__"):
            held, holder = Hidden(**{name: texts.get(name, "N")}), Settings()
            holder.inner = [held]
            yield f"{name} of what an attribute holds", lambda x, h=holder, way=way: way(h.inner[0], x), held.change

    computed = Hidden(of="N")
    type(computed).way = property(type(computed).of)
    yield "property", lambda x: x * computed.way, computed.change
    kept = Hidden(of="N")
    type(kept).kept = cached_property(type(kept).of)
    type(kept).kept.__set_name__(type(kept), "kept")
    yield "cached property", lambda x: x * kept.kept, lambda: vars(kept).update(kept=5.0)
    other = Hidden(__get__="N")
    owner = type("Owner", (), {"described": other})()
    yield "descriptor", lambda x: x * owner.described, other.change
    meta = type("Meta", (type,), {"rate": property(lambda cls: cls.of_meta)})
    made = meta("Made", (), {"of_meta": 2.0})
    yield "property of a metaclass", lambda x: x * made.rate, lambda: setattr(made, "of_meta", 5.0)
    numbers = [2.0]
    fresh = type("Fresh", (), {"__init__": lambda self: setattr(self, "taken", numbers[0])})
    yield "what is read as an object is made", lambda x: x * fresh().taken, lambda: put(numbers, 0, 5.0)

    text, plain, many, late, told = Settings(), Settings(), Settings(), Settings(), Settings()
    told.red, told.green, told.blue = "green", "blue", 2.0
    yield (
        "getattr of a text that another one names",
        lambda x: x * getattr(told, getattr(told, getattr(told, "red"))),  # noqa: B009
        lambda: setattr(told, "blue", 5.0),
    )
    text.named_by_a_text = many.weight_1 = plain.in_the_dict = 2.0
    yield "getattr", lambda x: x * getattr(text, "named_by_a_text"), lambda: setattr(text, "named_by_a_text", 5.0)  # noqa: B009
    yield "getattr of a text that is made", lambda x: x * getattr(many, f"weight_{1}"), lambda: setattr(many, "weight_1", 5.0)
    yield "getattr of what comes later", lambda x: x * getattr(late, "later", 2.0), lambda: setattr(late, "later", 5.0)
    yield (
        "vars",
        lambda x: x * sum(v for k, v in vars(plain).items() if k[0] == "i"),
        lambda: setattr(plain, "in_the_dict", 5.0),
    )
    getter, got = operator.attrgetter("inner.of_getter"), Settings()
    got.inner = Settings()
    got.inner.of_getter = 2.0
    yield "attrgetter", lambda x: x * getter(got), lambda: setattr(got.inner, "of_getter", 5.0)
    pair = dataclasses.make_dataclass("Pair", ["only_a_field"])(2.0)
    yield "astuple", lambda x: x * dataclasses.astuple(pair)[0], lambda: setattr(pair, "only_a_field", 5.0)

    user, listed, chained, table = UserDict(k=2.0), UserList([2.0]), ChainMap({"k": 2.0}), {"k": 2.0}
    view, made_by, codes, plain_list = types.MappingProxyType(table), [2.0], bytearray([2]), [2.0]
    yield "UserDict", lambda x: x * user["k"], lambda: user.update(k=5.0)
    yield "UserList", lambda x: x * sum(listed), lambda: put(listed, 0, 5.0)
    yield "ChainMap", lambda x: x * chained["k"], lambda: chained.update(k=5.0)
    yield "proxy of a dict", lambda x: x * view["k"], lambda: put(table, "k", 5.0)
    yield "view of a dict", partial(lambda values, x: x * sum(values), table.values()), lambda: put(table, "k", 7.0)
    earlier = type("Earlier", (), {"of": lambda self, x: x * 2.0})
    later = type("Later", (earlier,), {"of": lambda self, x: super(type(self), self).of(x)})()
    yield "method that is replaced", lambda x: later.of(x), lambda: setattr(earlier, "of", lambda self, x: x * 5.0)
    default = defaultdict(lambda: made_by[0])
    yield "default of a dict", lambda x: x * default.default_factory(), lambda: put(made_by, 0, 5.0)
    yield "bytearray", lambda x: x * codes[0], lambda: put(codes, 0, 5)
    yield "bound method of a list", partial(lambda get, x: x * get(0), plain_list.__getitem__), lambda: put(plain_list, 0, 5.0)
    behind = Settings()
    reference = weakref.ref(behind)
    yield "weak reference", lambda x: x * reference().factor, lambda: setattr(behind, "factor", 5.0)
    own_list = type("OwnList", (list,), {"times": lambda self, x: x * self.scale_of_list})([1.0])
    own_list.scale_of_list = 2.0
    yield "attribute of a list", lambda x: own_list.times(x), lambda: setattr(own_list, "scale_of_list", 5.0)

    cached, counted = Settings(), Settings()
    from_cache = lru_cache(lambda n: cached.factor * n)
    yield "cache", lambda x: x * from_cache(1.0), lambda: (setattr(cached, "factor", 5.0), from_cache.cache_clear())
    wrapper = Hidden(__call__="args[0] * N")
    update_wrapper(wrapper, lambda x: x)
    yield "decorator that is an object", lambda x: wrapper(x), wrapper.change
    yield "partial in an attribute", lambda x: counted.inner(x), lambda: setattr(counted.inner.args[0], "factor", 5.0)
    counted.inner = partial(lambda s, x: x * s.factor, Settings())

    held_by_c = np.full(1, 2.0)
    column = type("Column", (), {"__array__": lambda self, *a, **b: held_by_c, "__getitem__": lambda self, i: held_by_c[i]})()
    large, crosswise = np.full((500, 500), 2.0), np.full((500, 500), 2.0)[:, ::2]
    yield "what becomes an array", lambda x: x * column[0], lambda: put(held_by_c, 0, 5.0)
    yield "large array that is filled anew", lambda x: x * large[17, 3], lambda: large.fill(5.0)
    yield "large array with gaps", lambda x: x * crosswise[17, 3], lambda: crosswise.fill(5.0)
    yield "one column of a large array", lambda x: x * large.T[1, 3], lambda: put(large, (slice(None), 1), 7.0)


READS = list(reads())


@pytest.mark.parametrize(("function", "change"), [case[1:] for case in READS], ids=[case[0] for case in READS])
def test_what_is_read_by_operators_texts_and_other_ways_is_watched(function, change):
    test_what_has_changed_is_recorded_again(function, change)


def test_recorded_again_only_when_something_read_has_changed():
    runs, settings = [], Settings()
    ran = runs.append  # a list that a function names is watched
    numbers = [1.0, 2.0]

    def f(x):
        ran(1)
        return x * settings.factor + numbers[0]

    compiled = jit(f)
    assert compiled(1.0) == 3.0 and compiled.map([1.0]).tolist() == [3.0]
    settings.unread = 5
    settings.factor = float("2.0")
    numbers[0] = float("1.0")
    for _ in range(3):
        assert compiled(1.0) == 3.0 and compiled.map([1.0]).tolist() == [3.0]
    assert len(runs) == 2


def test_a_parameter_that_was_replaced_is_the_one_that_learns():
    model = mg.MLP(2, [3, 1], activation="tanh", seed=0)
    f = jit(lambda x, t: (model(x) - t) ** 2)
    X, t = np.array([[1.0, 2.0], [0.5, -1.0]]), np.array([1.0, 0.0])
    f.backward(X, t)
    f.backward(X, t)
    old = model.layers[0].neurons[1].w[0]
    new = model.layers[0].neurons[1].w[0] = Value(old.data)
    for p in model.parameters():
        p.grad = 0.0
    f.backward(X, t)
    assert f.parameters == model.parameters() and new.grad != 0.0
    with f.training(mg.SGD(model.parameters(), lr=0.1)) as step:
        step(X, t)
        newer = model.layers[1].neurons[0].w[0] = Value(0.0)
    f.backward(X, t)
    assert newer.grad != 0.0 and f.parameters == model.parameters()


def test_a_step_after_a_parameter_was_replaced_and_learnt_elsewhere_takes_the_new_one():
    """The block's own order of parameters holds only as long as the function has the same ones."""
    w, v, X = Value(3.0), Value(2.0), np.array([1.0])
    held = [w, v]
    f = jit(lambda x: x * held[0] * held[1])
    with f.training(mg.SGD([w, v], lr=0.0)) as step:
        assert step(X) == step(X) == 6.0
        held[1] = Value(7.0)
        assert f.backward(X) == f.backward(X) == step(X) == 21.0


def of_same_numbers():
    """Changes after which other Values of the same numbers are met, each with the weights before and what changes them."""
    yield "swapped", [Value(1.0), Value(1.0)], lambda weights: weights.reverse()
    yield "one of a list", [Value(1.0), Value(2.0)], lambda weights: put(weights, 1, Value(2.0))
    yield "one of a list of lists", [[Value(1.0)], [Value(2.0)]], lambda weights: put(weights[1], 0, Value(2.0))
    yield "a list of a list", [[Value(1.0)], [Value(2.0)]], lambda weights: put(weights, 0, [Value(1.0)])
    yield "moved on", [[Value(1.0), Value(2.0)], [Value(2.0)]], lambda weights: weights[1].insert(0, weights[0].pop())
    yield "a number that becomes a Value", [Value(2.0), 1.0], lambda weights: put(weights, 1, Value(1.0))


@pytest.mark.parametrize(("weights", "change"), [c[1:] for c in of_same_numbers()], ids=[c[0] for c in of_same_numbers()])
def test_another_value_of_the_same_number_is_the_one_that_learns(weights, change):
    def flat():
        return [w for part in weights for w in (part if isinstance(part, list) else [part])]

    f = jit(lambda x: sum((k + 1) * w * x for k, w in enumerate(flat())), backend="reference")
    X = np.array([1.0, 3.0])
    for _ in range(2):
        assert f.backward(X) == 2.0 * sum((k + 1) * float(w) for k, w in enumerate(flat()))
    old = [*flat()]
    change(weights)
    for w in {*old, *flat()}:
        if isinstance(w, Value):
            w.grad = 0.0
    f.backward(X)
    assert [w.grad for w in flat()] == [2.0, 4.0, 6.0][: len(flat())]
    assert all(w.grad == 0.0 for w in old if isinstance(w, Value) and w not in {*flat()})


def test_attributes_of_networks_are_watched_one_by_one():
    model, X = mg.MLP(1, [1], seed=0), np.array([[1.0], [3.0]])
    f, neuron = jit(model), model.layers[0].neurons[0]
    f.backward(X), f.backward(X)
    old = model.parameters()
    neuron.w, neuron.b = [Value(neuron.w[0].data)], Value(neuron.b.data)
    mg.Module.zero_grad(neuron)
    f.backward(X)
    assert [p.grad for p in model.parameters()] == [2.0, 1.0] and [p.grad for p in old] == [4.0, 2.0]
    neuron.w[0] = Value(neuron.w[0].data)
    f.backward(X)
    assert neuron.w[0].grad == 2.0
    neuron._g = mg.tanh
    assert f([0.5]) == mg.tanh(neuron.w[0].data * 0.5 + neuron.b.data)


def test_a_list_that_holds_itself_can_be_read():
    ring = [Value(2.0)]
    ring.append(ring)
    f = jit(lambda x: x * ring[1][1][0])
    assert [f(3.0), f(3.0)] == [6.0, 6.0]
    ring[0] = Value(5.0)
    assert f(3.0) == 15.0


@pytest.mark.parametrize("kind", [list, deque, lambda xs: dict(enumerate(xs)), lambda xs: [xs]])
def test_numbers_are_watched_where_theta_is_given_and_in_training(kind):
    held, w = kind([2.0]), Value(1.0)
    rate = held if not isinstance(held[0], list) else held[0]
    f = jit(lambda x: x * w * (held[0][0] if isinstance(held[0], list) else held[0]))
    X = np.array([1.0, 2.0])
    for _ in range(2):
        assert f.value_and_grad([1.0], X)[0] == 3.0
    rate[0] = 4.0
    assert f.value_and_grad([1.0], X)[0] == 6.0
    with f.training(mg.SGD([w], lr=0.0)) as step:
        assert step(X) == step(X) == 6.0
        rate[0] = 2.0
        assert step(X) == 3.0


def test_values_are_found_again_in_a_copy_of_the_function_that_holds_them():
    def holding(*values):
        return lambda x: sum(x * v for v in values)

    a, b, c, d = (Value(float(i)) for i in range(4))
    places = places_of(holding(a, b), [b, a])
    assert [*map(id, values_at(holding(c, d), places))] == [id(d), id(c)]
    assert values_at(holding(c), places) == [] and places_of(holding(a, b), [a, c]) is None


class Boxed:
    def __array__(self, dtype=None, copy=None):
        return np.array([object()])  # another one each time


@pytest.mark.parametrize("held", [sys.modules, Boxed()], ids=["all modules", "an array of new objects"])
def test_what_always_changes_is_no_change(held, monkeypatch):
    runs = []
    f = jit(lambda x, ran=runs.append: (ran(1), x * 2.0 if held is not None else x)[1], backend="reference")
    for name in ("one", "two"):
        assert f(1.0) == 2.0
        monkeypatch.setitem(sys.modules, f"imported_{name}", types.ModuleType(name))
    assert f(1.0) == 2.0 and len(runs) == 1


@pytest.mark.parametrize("held", [[], deque(), {}, set()], ids=repr)
def test_what_was_empty_is_watched_where_theta_is_given(held):
    w = Value(2.0)
    f = jit(lambda x: x * w + sum(held.values() if isinstance(held, dict) else held))
    assert f.value_and_grad([2.0], [3.0])[0] == 6.0
    held.update({1.0: 5.0}) if isinstance(held, dict) else held.add(5.0) if isinstance(held, set) else held.append(5.0)
    assert f.value_and_grad([2.0], [3.0])[0] == 11.0


class Metres(float):
    """A number that looks like a float."""


class Incomparable(float):
    def __eq__(self, other):
        raise TypeError("not to be compared")

    __hash__ = float.__hash__


@pytest.mark.parametrize(
    ("before", "after", "again"),
    [(2.0, Metres(2.0), True), (math.nan, float("nan"), False), (Incomparable(2.0), Incomparable(2.0), True)],
)
def test_a_number_in_the_place_of_another_is_the_same_one_or_not(before, after, again):
    settings, kinds = Settings(before), []
    f = jit(lambda x, met=kinds.append: (met(type(settings.factor)), x * settings.factor)[1])
    f(1.0), f(1.0)
    settings.factor = after
    f(1.0)
    assert kinds == [type(before)] + [type(after)] * again


def test_networks_stay_as_they_are_when_they_are_called():
    runs, model = [], mg.MLP(2, [3, 1], activation="tanh", seed=0)
    ran = runs.append

    def f(x):
        ran(1)
        return model(x)

    compiled = jit(f)
    for _ in range(3):
        assert compiled([1.0, 2.0]) == pytest.approx(model([1.0, 2.0]).data, rel=1e-15)
    assert len(runs) == 1


@pytest.mark.parametrize("kind", [float, Value])
def test_what_changes_while_a_function_is_recorded_is_noticed_at_the_next_call(kind):
    numbers, first, runs = [1.0], iter([True]), []
    ran = runs.append

    def f(x, more=False):
        ran(1)
        y = x * numbers[0]
        if next(first, False):  # in the place of another thread
            numbers[0] = 5.0
        if more:
            numbers[0] = 7.0
        return y + 0.0

    def called(*args):
        found = compiled(kind(2.0), *args)
        return found.data if kind is Value else found

    compiled = jit(f, backend="reference")
    assert [called() for _ in range(3)] == [2.0, 10.0, 10.0] and len(runs) == 2
    assert [called(True), called(), called(True), called()] == [10.0, 14.0, 14.0, 14.0]
    assert len(runs) == 5  # that of two kinds of arguments had been forgotten


def test_attributes_that_come_with_the_first_call_are_watched():
    class Lazy:
        def __call__(self, x):
            if not hasattr(self, "factor"):
                self.factor = 2.0
            return x * self.factor

    for call in (lambda f: f(3.0), lambda f: f.value_and_grad([1.0], [3.0])[0]):
        lazy, w = Lazy(), Value(1.0)
        compiled = jit(lambda x, lazy=lazy, w=w: lazy(x) * w, wrt=[w], backend="reference")
        assert [call(compiled) for _ in range(3)] == [6.0] * 3
        lazy.factor = 5.0
        assert call(compiled) == 15.0


def test_a_function_that_changes_what_it_reads_each_time_is_not_recorded_for_ever():
    counts, runs = [0], []
    ran = runs.append

    def f(x):
        ran(1)
        counts[0] += 1
        return x * 2.0

    compiled = jit(f, backend="reference")
    for _ in range(10):
        assert compiled(1.0) == 2.0 and compiled.map([1.0]).tolist() == [2.0]
    assert len(runs) < 8


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("way", ["floats", "arrays", "Values", "gradients"])
def test_what_another_thread_forgets_meanwhile_is_no_quick_way_any_more(way, before, monkeypatch):
    """As a thread begins a call, another one changes a number and calls too, before the first one notes its quick way.

    That is made before, or after.
    """
    w, numbers, X = Value(1.0), [1.0], np.array([2.0])
    compiled = jit(lambda x: w * x * numbers[0])
    calls = {
        "floats": (lambda: compiled(2.0), latest_call, "of_one"),
        "arrays": (lambda: float(compiled(X)[0]), latest_call, "of_one"),
        "Values": (lambda: compiled(Value(2.0)).data, Call, "check_lookups"),
        "gradients": (lambda: compiled.value_and_grad(np.ones(1), X)[0], latest_call, "of_sums"),
    }
    call, room, name = calls[way]
    known = getattr(room, name)

    def interrupted(*args):
        found = known(*args)
        if numbers[0] == 1.0:
            numbers[0] = 5.0
            assert call() == 10.0
            found = known(*args) if before else found
        return found

    monkeypatch.setattr(room, name, interrupted)
    assert call() == 2.0  # the number that it began with
    assert call() == call() == 10.0


@pytest.mark.parametrize("count", [1, 16, 100, 1000])
def test_lists_of_numbers_and_constants_are_watched_where_theta_is_given_and_in_training(count):
    rates, w, bias = [2.0] * count, Value(1.0), mg.constant(0.0)
    f = jit(lambda x: x * w * rates[-1] + bias)
    X = np.array([1.0, 2.0])
    assert f.value_and_grad([1.0], X)[0] == f.value_and_grad([1.0], X)[0] == 3.0
    rates[-1] = 4.0
    assert f.value_and_grad([1.0], X)[0] == 6.0
    bias.data = 1.0
    assert f.value_and_grad([1.0], X)[0] == 7.0
    with f.training(mg.SGD([w], lr=0.0)) as step:
        assert step(X) == step(X) == 7.0
        rates[-1] = 2.0
        assert step(X) == 4.0
        bias.data = 0.0
        assert step(X) == 3.0


@pytest.mark.parametrize("count", [1, 100])
def test_the_sign_of_a_zero_is_watched_and_nan_is_equal_to_itself(count):
    numbers, held, runs = [0.0] * count, mg.constant(math.nan), []
    ran = runs.append

    def f(x):
        ran(1)
        return mg.atan2(x * numbers[-1], -1.0) + 0.0 * held

    compiled, inside = (jit(lambda x, of=of: mg.atan2(x * of()[-1], -1.0)) for of in (lambda: numbers, lambda: nested[0]))
    nested = [[0.0] * count]
    assert compiled(1.0) == compiled(1.0) == inside(1.0) == inside(1.0) == math.pi
    numbers[-1], nested[0] = -0.0, [-0.0] * count
    assert compiled(1.0) == inside(1.0) == -math.pi
    compiled = jit(f)
    assert all(math.isnan(compiled(1.0)) for _ in range(4))
    assert len(runs) == 1


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("before, after", [(1.5, Value(1.5)), (1.0, True), (3, 3.0), (0.0, -0.0)], ids=repr)
def test_what_is_equal_and_another_thing_is_watched_in_lists(before, after, count):
    held, w = [before] * count, Value(2.0)
    after = Value(after.data) if isinstance(after, Value) else after

    def f(x):
        c = held[0]
        return x * w * (c if isinstance(c, Value) else np.copysign(2.0 if isinstance(c, bool) else 3.0 - isinstance(c, int), c))

    compiled, X = jit(f, backend="reference"), np.array([5.0])
    assert compiled(5.0) == compiled.value_and_grad([2.0], X)[0] == f(5.0).data
    held[0] = after
    if not isinstance(after, Value):  # which theta would have to have a number for
        assert compiled.value_and_grad([2.0], X)[0] == f(5.0).data
    assert compiled(5.0) == f(5.0).data
    compiled.backward(X)
    assert w.grad == f(5.0).data / 2.0
    assert not isinstance(after, Value) or after.grad == 10.0


def test_what_moves_from_one_list_to_the_next_and_the_keys_of_a_dict_are_watched():
    a, b, c = Value(2.0), Value(3.0), Value(5.0)
    left, right, named = [a, b], [c], {"a": 2.0, "b": 3.0}
    moved, keyed = jit(lambda x: x * sum(left) - sum(right)), jit(lambda x: x * named["a"])
    assert (moved(1.0), keyed(1.0)) == (0.0, 2.0)
    right.insert(0, left.pop())
    named.clear()
    named.update(b=2.0, a=3.0)
    assert (moved(1.0), keyed(1.0)) == (-6.0, 3.0)


def test_a_quick_way_that_another_thread_has_taken_in_hand_looks_for_itself():
    w, c = Value(2.0), [3.0]
    f = jit(lambda x: x[0] * w * c[0], backend="llvm")
    x = np.array([1.0, 2.0])
    assert f(x) == 6.0
    ((quick, _),) = f._calls.quick
    assert quick((x,)) == 6.0
    c[0] = 4.0
    assert f(x) == 8.0  # by another thread
    assert quick((x,)) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [(0.0, -0.0), (True, 1), (1, 1.0), ((0.0,), (-0.0,)), ((1,), (True,)), (((2, 0.0),), ((2, -0.0),))],
)
def test_an_added_attribute_of_a_network_is_watched_to_the_class_and_the_sign(before, after):
    model, bare = mg.MLP(1, [1]), mg.Module()
    model.z = model.layers[0].neurons[0].z = bare.z = before

    def number(z):
        while isinstance(z, tuple):
            z = z[-1]
        return np.copysign(2.0 + isinstance(z, bool) + 3.0 * isinstance(z, float), z)

    for holder in (model, model.layers[0].neurons[0], bare):
        f = jit(lambda x, holder=holder: x * number(holder.z), backend="reference", precision="exact")
        assert f(1.5) == 1.5 * number(before)
        holder.z = after
        assert f(1.5) == 1.5 * number(after) != 1.5 * number(before)


def test_a_networks_own_attributes_are_compared_the_quick_way():
    model = mg.MLP(3, [4, 1])
    watch = Watch(lambda x: model(x))
    assert {id(vars(part)) for part in (model, *model.layers, *model.layers[0].neurons)} <= _alike(
        watch._walk.containers, watch._walk.own
    )


@pytest.mark.filterwarnings("ignore:Setting the:DeprecationWarning")  # NumPy 2.5 would rather have new arrays
def test_the_shape_and_the_type_of_an_array_are_watched():
    A, B = np.arange(6.0).reshape(2, 3), np.zeros(2)
    f = jit(lambda x: x * 10 * A.shape[0] + float(A[1, 0]) + float(B.view(float)[0]) + (B.dtype == float), backend="reference")
    assert f(1.0) == 20.0 + 3.0 + 1.0
    A.shape = 3, 2
    assert f(1.0) == 30.0 + 2.0 + 1.0
    B.dtype = np.int64
    assert f(1.0) == 30.0 + 2.0


@pytest.mark.parametrize("kind", ["refusing", "chunked"])
def test_what_refuses_or_would_have_to_be_read_first_is_taken_for_no_array(kind):
    """A tensor whose gradient is recorded; what lies on a disk, or is still to be computed."""
    asked = []

    def as_array(self, *args, **options):
        asked.append(1)
        raise RuntimeError("call detach() first")

    also = {"chunks": (10, 10)} if kind == "chunked" else {}
    held = type("Held", (), {"__array__": as_array, "entry": lambda self: 2.0, **also})()
    f = jit(lambda x: x * held.entry(), backend="reference")
    assert [f(x) for x in (1.0, 2.0)] == [2.0, 4.0]
    assert kind == "refusing" or not asked


@pytest.mark.parametrize("shape", [(2,), (1, 2), (2, 1)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_is_in_an_array_of_objects_is_watched(shape, order):
    W = np.array([Value(1.0), Value(2.0)], dtype=object).reshape(shape, order=order)
    f = jit(lambda x: x * W.flat[0] + W.flat[1])
    assert f(3.0) == 5.0
    W.flat[0] = Value(5.0)
    assert f(3.0) == 17.0
    W.flat[1] = 4.0
    assert f(3.0) == 19.0
    W.flat[0].data = 6.0
    assert f(3.0) == 22.0
    numbers = np.array([1.0, 2.0], dtype=object)
    watch = Watch(lambda x: x * numbers[0])
    assert watch.unchanged() and watch.confirmed()
    numbers[0] = float("1.0")
    assert watch.confirmed() and not watch.unchanged()
    numbers[0] = True
    assert not watch.confirmed()
