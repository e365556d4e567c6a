"""The engine: graphs, their order, and the chain rule over them."""

import copy
import gc
import pickle

import pytest

from micrograd import Value, adjoints, no_grad


def test_a_fork_adds_its_contributions():
    a, b = Value(2.0), Value(-3.0)
    c = a * b + a * a
    c.backward()
    assert (c.data, a.grad, b.grad) == (-2.0, -3.0 + 4.0, 2.0)


def test_backward_twice_gives_exactly_twice_the_leaf_gradients():
    a, b = Value(0.1), Value(0.7)
    out = (a * b).tanh() / (a - b) + a.exp()
    out.backward()
    once = a.grad, b.grad
    out.backward()
    assert (a.grad, b.grad) == (2 * once[0], 2 * once[1])


def test_create_graph_gives_the_same_numbers():
    a, b = Value(0.1), Value(0.7)
    out = (a * b).tanh() / (a - b) + a.exp() ** b
    plain, graph = adjoints(out), adjoints(out, create_graph=True)
    assert {v: g.data for v, g in graph.items()} == plain


def chain(depth):
    x, b = Value(0.5), Value(0.25)
    for _ in range(depth):
        x = x * 0.999 + b
    return x


@pytest.mark.parametrize("depth", [1, 999, 1000, 1001, 100_000])
def test_deep_chains_copy_and_pickle(depth):
    x = chain(depth)
    middle = x.parents[0]
    x.backward()
    assert "Value(data=" in repr(x)
    deep_middle, deep = copy.deepcopy([middle, x])
    assert deep.parents[0] is deep_middle and deep is not x
    m, r = pickle.loads(pickle.dumps([middle, x]))
    assert r.parents[0] is m and (r.data, m.data) == (x.data, middle.data)
    r, m = pickle.loads(pickle.dumps([x, middle]))
    assert r.parents[0] is m and (r.data, m.data) == (x.data, middle.data)


def test_graphs_are_freed_by_reference_counting_alone():
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(100):
            chain(100).backward()
        assert len(gc.get_objects()) - before < 100
    finally:
        gc.enable()


def test_no_grad_records_nothing():
    a = Value(2.0)
    with no_grad():
        assert (a * a).is_constant
    assert (a * a).parents == (a, a)
