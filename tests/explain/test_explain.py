"""Explanations: their numbers are the engine's, exactly; their words and formulas are compared with files to be read.

`python tests/explain/test_explain.py` writes the files in tests/explain/golden anew; read what changed before committing it.
"""

import math
import random
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.mathtext import MathTextParser

import micrograd as mg
from micrograd import MLP, Value, adjoints, constant, detect_anomaly, name_from, no_grad, to_code, topological_order
from micrograd.explain import explain, layout, why
from micrograd.formula.label import named
from micrograd.formula.latex import written_number
from micrograd.formula.symbol import Symbol, partial
from micrograd.formula.text import Text
from micrograd.primitives import RULES

GOLDEN = Path(__file__).parent / "golden"


# -- the files to be read


def flat(text):
    """The text without its line breaks."""
    return " ".join(str(text).split())


def readme():
    x, w = Value(0.5, label="x"), Value(3.0, label="w")
    z = w * x - 1
    a = z.tanh()
    L = (a - 1) ** 2 + 0.01 * w**2
    return L.explain(w)


def fork():
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    c = a * b + a**2
    return c.explain(a), c, a


def diamond():
    x = Value(1.5)
    y = x * x
    z = y.sin() + y * x
    return z.explain(x)


def every_kind():
    a, b = Value(0.5, label="alpha"), Value(2.0, label="b_in")
    parts = [
        a / b, a - b, b**a, a**3, -b, a.exp(), b.log(), b.sqrt(), a.tanh(), a.sigmoid(), b.relu(), a.softplus(), abs(a - b),
        a.maximum(b), mg.where(a, b * 2, a), a.erf(), a.atan2(b), a.asin(), mg.logsumexp([a, b]), mg.dot([a, b], [b, 3.0]),
    ]  # fmt: skip
    total = mg.sum(parts)
    return total.explain(a, depth=2, most=None)


def network(hidden=(3, 1), activation="tanh", output="linear", seed=1):
    net = MLP(2, hidden, activation=activation, output=output, seed=seed)
    return net, (net([1.0, -0.5]) - 1.0) ** 2


def hidden_weight():
    net, loss = network()
    return loss.explain(net.layers[0].neurons[1].w[0])


def hidden_weight_wide_delta():
    net, loss = network((4, 3, 1), "sigmoid", "tanh")
    return loss.explain(net.layers[0].neurons[1].w[1], notation="delta", depth=2)


def hidden_weight_of_sixteen():
    net, loss = network((16, 16, 1), "relu")
    return loss.explain(net.layers[0].neurons[1].w[0], depth=1)


def hidden_bias():
    net, loss = network()
    return loss.explain(net.layers[0].neurons[2].b)


def output_weight():
    net, loss = network(output="sigmoid")
    return loss.explain(net.layers[1].neurons[0].w[1])


def output_bias():
    net, loss = network()
    return loss.explain(net.layers[1].neurons[0].b, notation="delta")


def batch(size=100):
    rng = random.Random(3)
    net = MLP(2, [16, 16, 1], seed=1)
    xs = [[rng.uniform(-1, 1), rng.uniform(-1, 1)] for _ in range(size)]
    loss = mg.hinge([net(x) for x in xs], [1 if x[0] * x[1] > 0 else -1 for x in xs])
    return net, loss


def batch_weight():
    net, loss = batch()
    return loss.explain(net.layers[0].neurons[1].w[0])


def batch_bias():
    net, loss = batch()
    return loss.explain(net.layers[2].neurons[0].b)


EXPLANATIONS = {
    "readme": readme,
    "fork": lambda: fork()[0],
    "diamond": diamond,
    "every_kind": every_kind,
    "hidden_weight": hidden_weight,
    "hidden_weight_wide_delta": hidden_weight_wide_delta,
    "hidden_weight_of_sixteen": hidden_weight_of_sixteen,
    "hidden_bias": hidden_bias,
    "output_weight": output_weight,
    "output_bias": output_bias,
    "batch_weight": batch_weight,
    "batch_bias": batch_bias,
}


def written():
    """Name and content of every golden file."""
    for name, make in EXPLANATIONS.items():
        e = make()
        yield f"{name}.txt", f"{e}\n"
        yield f"{name}.tex", f"{e.latex}\n"
    _, c, _ = fork()
    yield "listing.py.txt", to_code((c + 10.0).tanh())
    yield "why.txt", "\n\n".join(f"{name}\n{make()}" for name, (make, _) in WHYS.items()) + "\n"


def test_text_and_latex_are_as_in_the_files():
    for name, content in written():
        assert content == (GOLDEN / name).read_text(encoding="utf-8"), name


def test_no_line_is_longer_than_those_of_why_and_breaking_them_changes_no_sign():
    made = [(name, make()) for name, make in EXPLANATIONS.items()]
    assert not [name for name, e in made if max(map(len, str(e).split("\n"))) > layout.WIDE]
    assert [name for name, e in made if "".join(str(e).split()) != "".join(unbroken(e).split())] == []
    assert len([name for name, e in made if max(map(len, unbroken(e).split("\n"))) > layout.WIDE]) >= 5


def test_the_readme_shows_what_is_printed():
    x, w = Value(0.5, label="x"), Value(3.0, label="w")
    z = w * x - 1
    a = z.tanh()
    L = (a - 1) ** 2 + 0.01 * w**2
    assert f"```text\n{L.explain(w, depth=1)}\n```" in (GOLDEN.parents[2] / "README.md").read_text(encoding="utf-8")


def test_latex_is_accepted_by_a_parser():
    parser = MathTextParser("path")
    lines = [line for make in EXPLANATIONS.values() for line in lines_of(make().latex)]
    sides = [side for line in lines for side in line.split(" = ")]
    for side in {re.sub(r"-?\d+(\.\d+)?", "1", side): side for side in sides}.values():  # one of those that differ in numbers
        parser.parse(f"${side}$")
    parser.parse(f"${max(lines, key=len)}$")
    with pytest.raises(ValueError):
        parser.parse(r"$\frac{1}$")


def lines_of(latex):
    body = latex.replace(r"\begin{aligned}", "").replace(r"\end{aligned}", "")
    return [line.replace("&", "").strip() for line in re.split(r"\\\\(?:\[1\.2ex\])?\n", body)]


LABELS = ["a*b + 50%", "w_in", "x_1^2", "alpha", r"\beta_{12}", "W_{1,12}^{[1]}", "{", "50 $", "a&b#_^~\\"]


@pytest.mark.parametrize("label", LABELS)
def test_any_label_becomes_latex(label):
    parser = MathTextParser("path")
    a = Value(2.0, label=label)
    for line in lines_of((a * a + a.exp()).explain(a).latex):
        parser.parse(f"${line}$")


@pytest.mark.parametrize("label", ["line\nbreak", "a\r\nb", "\x1b[31m", "tab\t", "\ud800", "\u2028", "x\x00", "a\u202eb"])
def test_what_would_break_a_line_or_a_terminal_is_shown_by_a_sign(label):
    a, plain = Value(2.0, label=label), Value(2.0, label="a")
    out = Value(4.0, (a, plain), label, label="out") * a
    out.parents[0]._backward = lambda: None
    for shown in (str((a * plain).explain(a)), str((a * plain).why(a)), (a * plain).explain(a).latex, str(out.explain(a))):
        assert shown.replace("\n", "").isprintable()
        assert label not in shown
    assert len(str((a * plain).explain(a)).splitlines()) == len(str((plain * a).explain(plain)).splitlines())


def test_names_of_operations_are_cleaned_as_labels_are():
    wild = mg.primitive("\\input{/etc/hosts}", "wild", lambda x: 2.0 * x, 2.0)
    try:
        a = Value(2.0, label="a")
        latex = (wild(a) * a).explain(a).latex
        assert "\\input" not in latex
        for line in lines_of(latex):
            MathTextParser("path").parse(f"${line}$")
    finally:
        del RULES["\\input{/etc/hosts}"]


def test_labels_that_look_alike_are_told_apart():
    one, two = Value(2.0, label="a\nb"), Value(1.0, label="a⏎b")
    assert "⟨a⏎b⟩⁽¹⁾ · ⟨a⏎b⟩⁽²⁾" in str((one * two).explain(one))


def test_it_shows_itself_in_a_notebook():
    e = fork()[0]
    bundle = e._repr_mimebundle_()
    assert bundle["text/plain"] == str(e) == repr(e)
    assert bundle["text/latex"] == e._repr_latex_() == f"$$\n{e.latex}\n$$"


# -- the numbers


OPERATIONS = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / (b * b + 1.0), lambda a, b: a.tanh(),
    lambda a, b: a.sigmoid(), lambda a, b: a.relu(), lambda a, b: a.maximum(b), lambda a, b: abs(a) * 0.5, lambda a, b: a.sin(),
    lambda a, b: a * a, lambda a, b: mg.where(a, b, a), lambda a, b: mg.dot([a, b], [b, 0.5], a),
    lambda a, b: mg.sum([a, b, a]),
    lambda a, b: mg.logsumexp([a, b]), lambda a, b: a.tanh() ** 2, lambda a, b: (a.cos() + 1.5) ** b.tanh(), lambda a, b: -a,
    lambda a, b: a.softplus(), lambda a, b: a.minimum(0.3), lambda a, b: 1.0 - a.atan(), lambda a, b: a.tanh().exp(),
]  # fmt: skip

STEP = st.tuples(st.integers(0, len(OPERATIONS) - 1), st.integers(0, 100), st.integers(0, 100))
PROGRAM = st.tuples(st.lists(st.floats(-2.0, 2.0), min_size=1, max_size=3), st.lists(STEP, min_size=1, max_size=14))


def built(program):
    """The leaves and the output of a random program: each step works on two of the values so far, the newest preferred."""
    data, steps = program
    leaves = [Value(x) for x in data]
    values = list(leaves)
    for op, i, j in steps:
        values.append(OPERATIONS[op](values[-1 - i % min(3, len(values))], values[-1 - j % len(values)]))
    return leaves, values[-1]


def terms_by_hand(output, x):
    g = adjoints(output)
    found = []
    for node in reversed(topological_order(output)):
        for i, (parent, local) in enumerate(zip(node.parents, node.partials, strict=True)):
            if parent is x:
                found.append((node, i, g[node], local, g[node] * local))
    return found


@settings(deadline=None, max_examples=150)
@given(PROGRAM)
def test_terms_and_paths_add_up_to_the_gradient(program):
    leaves, output = built(program)
    for x in leaves:
        e = output.explain(x)
        assert e.value == adjoints(output, [x])[x]
        assert [tuple(t) for t in e.terms] == terms_by_hand(output, x)
        if x is not output:
            total = 0.0
            for term in e.terms:
                total += term.value
            assert total == e.value
        count = e.path_count
        if count <= 3000:
            paths = e.paths(count + 5)
            assert len(paths) == count
            for (nodes, locals_), times in Counter((p.nodes, p.locals) for p in paths).items():
                assert times == math.prod(
                    sum(p is parent and d == local for p, d in zip(consumer.parents, consumer.partials, strict=True))
                    for (consumer, parent), local in zip(pairwise(nodes), locals_, strict=True)
                )
            sizes = [abs(p.value) for p in paths]
            assert all(a >= b * (1 - 1e-12) for a, b in pairwise(sizes))
            assert abs(sum(p.value for p in paths) - e.value) <= 1e-13 * (math.fsum(sizes) + 1e-300)
            assert [p.value for p in e.paths(3)] == [p.value for p in paths[:3]]


@settings(deadline=None, max_examples=100)
@given(PROGRAM)
def test_printed_with_17_digits_the_formulas_give_the_gradient_exactly(program):
    leaves, output = built(program)
    for x in leaves:
        e = output.explain(x, digits=17, most=None, depth=1)
        if e.terms:
            assert read_back(unbroken(e), derivative_name(e)) == e.value
        cut = output.explain(x, digits=17, most=2, depth=1)
        if e.terms:
            assert read_back(unbroken(cut), derivative_name(cut)) == e.value


def unbroken(e):
    """The text as it is where lines may be as long as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "WIDE", 10**9)
        return str(e)


def derivative_name(e):
    return re.search(r"^(∂\S+/∂\S+) =", str(e), re.M)[1]


def read_back(text, name):
    """The value of the chain rule for `name`, worked out in Python from the numbers that were printed."""
    lines = text.split("\n")
    start = max(i for i, line in enumerate(lines) if line.startswith(f"{name} ="))  # the whole formula may come before
    block = [lines[start]]
    for line in lines[start + 1 :]:
        if not line.startswith(" "):
            break
        block.append(line)
    if len(block) == 1:  # the rule of the last step
        return float(block[0].rsplit(" = ", 1)[-1])
    if any(line.strip().startswith(("+", "⋮")) for line in block):  # a term on each line
        total = 0.0
        for line in block[:-1]:
            total = float(line.rsplit(" ", 1)[-1]) if "⋮" in line else total + value_of(line.rsplit(" = ", 2)[-2])
        assert float(block[-1].rsplit("= ", 1)[-1]) == total
        return total
    values = [value_of(line.split(" = ", 1)[-1].strip()) for line in block[1:]]
    assert len(set(values)) == 1, values
    return values[-1]


def value_of(text):
    return eval(text.replace("·", "*").replace("−", "-"), {"inf": math.inf, "nan": math.nan})


def test_a_cut_sum_says_what_it_leaves_out_and_reads_back():
    net, loss = batch()
    w = net.layers[0].neurons[1].w[0]
    e = loss.explain(w, digits=17, depth=1)
    text = unbroken(e)
    left_out = re.findall(r"(\d+) of 100 terms left out", text)
    assert sum(map(int, left_out)) == 92 and "most=None shows all" in text
    total = 0.0
    for row in equation_rows(text)[2:-1]:
        total = float(row.rsplit(" ", 1)[-1]) if "⋮" in row else total + value_of(row.rsplit(" = ", 2)[-2])
    assert total == e.value == float(equation_rows(text)[-1].rsplit("= ", 1)[-1])
    assert len(str(loss.explain(w, most=None, depth=1)).split("\n")) > 100
    shown = [float(row.rsplit("= ", 1)[-1]) for row in equation_rows(text) if "a_1" in row and "Σ" not in row]
    assert sorted(map(abs, shown)) == sorted(abs(t.value) for t in e.terms)[-8:]


def equation_rows(text):
    """The lines of the equation for the whole derivative."""
    return next(part for part in text.split("\n\n") if re.match(r"∂loss/∂W_12", part)).split("\n")


def test_short_texts_give_the_terms_in_the_order_of_calls():
    net, loss = batch()
    calls = [int(n) for n in re.findall(r"[=+] +δ_2\^\[1\]\((\d+)\)", str(loss.explain(net.layers[0].neurons[1].w[0])))]
    assert len(calls) == 8 and calls == sorted(calls)


def arguments(rule, draw):
    """Numbers to call a rule with; the index of take is a whole one."""
    numbers = tuple(draw() for _ in range(5 if rule.variadic else len(rule.partials)))
    return (2.0, *numbers[1:]) if rule.name == "take" else numbers


def test_the_partials_as_formulas_have_the_numbers_of_the_partials():
    rng = random.Random(1)
    for rule in RULES.values():
        for _ in range(20):
            data = arguments(rule, lambda: rng.uniform(-2, 2))
            out = rule.on_floats(data)
            if out != out:
                continue
            node = rule(*[Value(x) for x in data])
            for i in range(len(data)):
                args = tuple(Symbol(x, named(f"x{j}").math) for j, x in enumerate(data))
                formula = partial(rule, args, Symbol(out, None, rule, args), i)
                assert formula is not None, rule
                assert formula.number == node.partials[i], (rule, data, i)
                assert Text()(formula)


def test_the_rule_is_printed_as_the_book_has_it():
    u = Value(0.7, label="u")
    for formula, rule in [
        (lambda u: u.tanh(), "∂tanh(u)/∂u = 1 − tanh²(u)"),
        (lambda u: u.exp(), "∂exp(u)/∂u = exp(u)"),
        (lambda u: u.log(), "∂log(u)/∂u = 1 / u"),
        (lambda u: u.sigmoid(), "∂sigmoid(u)/∂u = sigmoid(u) · (1 − sigmoid(u))"),
        (lambda u: u.sqrt(), "∂√u/∂u = 1 / (2 · √u)"),
        (lambda u: u.relu(), "∂relu(u)/∂u = [u > 0]"),
        (lambda u: u**3, "∂(u³)/∂u = 3 · u²"),
        (lambda u: u**-2, "∂(u⁻²)/∂u = -2 · u⁻³"),
        (lambda u: 2.0**u, "∂(2^u)/∂u = 2^u · log(2)"),
        (lambda u: u.maximum(0.1), "∂maximum(u, 0.1)/∂u = (1 + [u > 0.1] − [u < 0.1]) / 2"),
        (lambda u: u.sin(), "∂sin(u)/∂u = cos(u)"),
        (lambda u: u.cos(), "∂cos(u)/∂u = −sin(u)"),
        (lambda u: u.erf(), "∂erf(u)/∂u = 1.128 · exp(−u²)"),
        (lambda u: 1.0 / u, "∂(1 / u)/∂u = −(1 / u) / u"),
    ]:
        text = str((formula(u) + 1.0).explain(u))
        assert rule in re.sub(" +", " ", text), text


def test_a_rule_of_ones_own_is_printed_too():
    cube = mg.primitive("cube", "cube(x)", lambda x: x * x * x, lambda x, out: 3 * x * x)
    opaque = mg.primitive("opaque", "opaque(x)", math.sin, lambda x, out: math.cos(x) if x.__class__ is float else None)
    try:
        u = Value(0.5, label="u")
        assert "∂cube(u)/∂u = 3 · u · u = 0.75" in str(cube(u).explain(u))
        text = str((opaque(u) * 1.0).explain(u))
        assert "∂opaque(u)/∂u = 0.8776" in re.sub(" +", " ", text)
    finally:
        del RULES["cube"], RULES["opaque"]


def test_nodes_that_hold_the_same_number_are_told_apart():
    a, b, z = (Value(x, label=label) for x, label in zip((2.0, -3.0, 0.0), "abz", strict=True))
    p = a * b
    s = p + z  # holds what p holds
    t = s * 5
    o = t.tanh()
    text = str(o.explain(a))
    assert all(f"∂o/∂{name} = " in re.sub(" +", " ", text) for name in "apst")


def test_nothing_here_compares_values(monkeypatch):
    """`in`, `==` and `index` on Values ask for equal numbers: nothing in these rooms does."""
    here = str(Path(mg.__file__).parent)

    def refused(self, other):
        name = sys._getframe(1).f_code.co_filename
        assert not name.startswith((f"{here}/explain", f"{here}/formula")), f"{name} compares Values"
        return self.data == (other.data if isinstance(other, Value) else other)

    monkeypatch.setattr(Value, "__eq__", refused)
    rng = random.Random(7)
    for _ in range(30):  # graphs in which many nodes hold the same number
        leaves, output = built(
            (
                [rng.choice((0.0, 1.0)) for _ in range(3)],
                [(rng.randrange(22), rng.randrange(9), rng.randrange(9)) for _ in range(9)],
            )
        )
        for x in leaves:
            str(output.explain(x)), str(output.why(x)), output.explain(x).paths(3)
        to_code(output)
    net, loss = batch(10)
    str(loss.explain(net.layers[0].neurons[1].w[0])), str(loss.why(net.layers[0].neurons[1].w[0]))


# -- networks


def numpy_deltas(net, x, target, activation, output):
    """δ, a and the gradients of (a - t)², by matrices, for each layer: written from the textbook, not from the engine."""
    g = {"tanh": np.tanh, "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "relu": lambda z: np.maximum(z, 0), "linear": lambda z: z}
    slope = {
        "tanh": lambda z: 1 - np.tanh(z) ** 2,
        "sigmoid": lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2,
        "relu": lambda z: (z > 0).astype(float),
        "linear": np.ones_like,
    }
    ws = [np.array([[w.data for w in n.w] for n in layer.neurons]) for layer in net.layers]
    bs = [np.array([n.b.data for n in layer.neurons]) for layer in net.layers]
    names = [activation] * (len(ws) - 1) + [output]
    a, zs = [np.array(x)], []
    for w, b, name in zip(ws, bs, names, strict=True):
        zs.append(w @ a[-1] + b)
        a.append(g[name](zs[-1]))
    deltas = [2 * (a[-1] - target) * slope[names[-1]](zs[-1])]
    for i in range(len(ws) - 2, -1, -1):
        deltas.insert(0, (ws[i + 1].T @ deltas[0]) * slope[names[i]](zs[i]))
    return deltas, a


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "linear"])
@pytest.mark.parametrize("shape", [(1,), (3, 1), (4, 5, 2), (17, 3, 2, 1)])
def test_the_delta_form_agrees_with_matrices(shape, activation):
    output = "tanh" if len(shape) % 2 else "linear"
    net = MLP(2, shape, activation=activation, output=output, seed=len(shape))
    x, target = [0.7, -0.4], 0.3
    out = net(x)
    loss = mg.sum([(o - target) ** 2 for o in (out if isinstance(out, list) else [out])])
    deltas, a = numpy_deltas(net, x, target, activation, output)
    for i, layer in enumerate(net.layers):
        for k in (0, len(layer.neurons) - 1):
            neuron = layer.neurons[k]
            ends = (0, len(neuron.w) - 1)  # of 17, those between are like them
            for j, p in [*((j, neuron.w[j]) for j in ends), (None, neuron.b)]:
                wanted = deltas[i][k] * (1.0 if j is None else a[i][j])
                e = loss.explain(p, digits=17, most=None, depth=1)
                assert e.value == pytest.approx(wanted, rel=1e-12, abs=1e-15)
                (term,) = e.terms
                assert term.upstream == pytest.approx(deltas[i][k], rel=1e-12, abs=1e-15)
                for notation in ("leibniz", "delta"):
                    text = re.sub(
                        "(?<=\\S) +", " ", unbroken(loss.explain(p, digits=17, most=None, depth=1, notation=notation))
                    )
                    rows = equation_of(text)
                    numbers = [row for row in rows if not re.search("[δ∂Σ′W]", row)]
                    assert numbers
                    assert all(value_of(row) == e.value for row in numbers), (rows, e.value)
                    if i + 1 < len(net.layers):
                        assert "(Σ_l δ_l^[" in text
                        factors = re.findall(r"δ_\d+\^\[\d\] · W_[\d,]+\^\[\d\]", text)
                        assert len(factors) == len(net.layers[i + 1].neurons)
                    a_j = "z" if activation == "linear" and i > 0 else "a"  # where g is the identity, a is z
                    assert j is None or f"{a_j}_{j + 1}^[{i}]" in "".join(rows)


def equation_of(text):
    """The right-hand sides of the equation for a parameter."""
    block = next(part for part in text.split("\n\n") if re.match(r"∂\w+/∂[Wb]_", part))
    block = block.split("\n")
    rows = [block[0]] + [line for line in block[1:] if line.startswith(" ")]
    return [re.split(r" = +", row.split("    g = ")[0].split("    a = z")[0], maxsplit=1)[1].strip() for row in rows]


def test_a_batch_gives_the_same_sum_as_matrices():
    net = MLP(2, [3, 1], activation="tanh", seed=4)
    data = [([0.1 * n, 0.5 - 0.2 * n], 0.2 * n) for n in range(12)]
    loss = mg.mse([net(x) for x, _ in data], [t for _, t in data])
    w = net.layers[0].neurons[1].w[1]
    e = loss.explain(w)
    singles = [numpy_deltas(net, x, t, "tanh", "linear") for x, t in data]
    terms = [deltas[0][1] * a[0][1] / len(data) for deltas, a in singles]
    assert [t.value for t in e.terms] == pytest.approx(terms[::-1], rel=1e-12)
    assert "n: the 12 calls of the network" in str(e) and "Σ_n δ_2^[1](n) · a_2^[0](n)" in str(e)
    assert "δ_2^[1](8) · a_2^[0](8)" in str(e) and "4 of 12 terms left out" in str(e)


def test_regularisation_beside_the_network():
    net = MLP(2, [3, 1], activation="tanh", seed=4)
    loss = net([0.3, 0.1]) ** 2 + 0.1 * mg.sum([p**2 for p in net.parameters()])
    w = net.layers[0].neurons[0].w[0]
    e = loss.explain(w, depth=1)
    assert len(e.terms) == 2 and "∂L/∂z_1^[1]" in str(e).replace("loss", "L") and "2 · W_11^[1]" in str(e)


def test_activations_of_several_steps_leave_delta_as_a_number():
    net = MLP(2, [3, 1], activation=lambda z: z * z.sigmoid(), seed=4)
    loss = net([0.3, 0.1]) ** 2
    w = net.layers[0].neurons[0].w[0]
    e = loss.explain(w, depth=1)
    assert re.search(r"δ_1\^\[1\] +· +a_1\^\[0\]", str(e)) and "Σ_l" not in str(e)
    assert e.value == adjoints(loss)[w]


# -- names


def test_names_are_labels_then_variables_then_numbers():
    a, first = Value(2.0, label="a"), Value(3.0)
    xs = [Value(1.0), Value(4.0)]
    out = a * first + xs[1] * (xs[0] + 1.0)
    text = str(out.explain(first))
    assert "∂out/∂first" in text and re.search("v1 += a · first", text)
    assert "xs[1]" in str(out.explain(xs[0])) and r"\mathrm{xs}_{0}" in out.explain(xs[0]).latex


def test_names_are_found_when_it_is_shown():
    def make():
        inner, w = Value(2.0), Value(5.0)
        return (inner * w).explain(w)

    e = make()
    assert "∂v1/∂w" in str(e) and "inner" in str(e)
    renamed = e.x  # noqa: F841 (a variable that the explanation finds)
    assert "∂v1/∂renamed" in str(e)


def test_name_from_is_explicit():
    hidden, w = Value(2.0), Value(5.0)
    out = hidden * w
    try:
        name_from({"speed": w, "cost": out})
        assert "\ncost = v1 · speed" in str(out.explain(w))
    finally:
        name_from(None)
    assert "∂out/∂w" in str(out.explain(w))
    with pytest.raises(TypeError, match="mapping of names"):
        name_from(["w"])


def test_names_of_a_script():
    script = "from micrograd import Value; speed = Value(2.0); cost = speed * speed; print(ascii(str(cost.explain(speed))))"
    root = GOLDEN.parents[2]
    shown = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True).stdout
    assert ascii("∂cost/∂speed")[1:-1] in shown


def test_operands_are_numbered_as_they_are_read():
    a, b, x = (Value(n, label=label) for n, label in zip((2.0, 3.0, 5.0), "abx", strict=True))
    text = re.sub(" +", " ", str(mg.dot([a, x], [x, b], x).explain(x)))
    dot = "∂(a · x + x · b + x)/∂x"
    for line in (f"{dot}|₂ = a = 2", f"{dot}|₃ = b = 3", f"{dot}|₅ = 1"):
        assert line in text
    assert "∂(a + x + x)/∂x|₂ + ∂(a + x + x)/∂x|₃" in str(mg.sum([a, x, x]).explain(x))


def test_equal_labels_are_told_apart():
    one, two = Value(2.0, label="w"), Value(3.0, label="w")
    out = one * two
    assert "w⁽¹⁾ · w⁽²⁾" in str(out.explain(one)) and "w^{(2)}" in out.explain(one).latex
    other = Value(1.0, label="w")
    assert "w⁽³⁾" in str(out.explain(other))


def test_two_networks_are_told_apart():
    actor, critic = MLP(1, [1], seed=1), MLP(1, [1], seed=2)
    out = actor([1.0]) * critic([2.0])
    for net in (actor, critic):
        text = str(out.explain(net.parameters()[0]))
        assert ("W′" in text) == (net is critic) and "z_1^[1]" in text + "z_1^[1]"
    parser = MathTextParser("path")
    for line in lines_of(out.explain(critic.parameters()[0]).latex):
        parser.parse(f"${line}$")


# -- size


def test_deep_graphs_do_not_recurse():
    x = y = Value(0.5, label="x")
    for _ in range(10_000):  # two nodes each
        y = y * 0.99999 + 1e-6
    e = y.explain(x)
    assert e.value == adjoints(y)[x] and e.path_count == 1
    assert "y" in str(e) and len(e.paths(2)[0].nodes) == 20_001
    assert "…" in repr(e.paths(1)[0])


def test_listings_and_causes_in_deep_graphs_do_not_recurse():
    y = Value(0.5)
    for _ in range(5_000):
        y = y * 0.99999
    check_listing(y)
    assert y.why(topological_order(y)[0]).cause == "nothing unusual"


def test_exponentially_many_paths_are_counted_and_ranked():
    x = y = Value(1.0, label="x")
    for _ in range(5_000):
        y = y * 0.4 + y * 0.6
    e = y.explain(x)
    assert e.path_count == 2**5_000
    best = e.paths(3)
    assert len(best) == 3 and all(set(p.locals) <= {0.4, 0.6, 1.0} for p in best)
    assert best[0].locals.count(0.4) == 0 and best[1].locals.count(0.4) == best[2].locals.count(0.4) == 1
    small = z = Value(1.0)
    for _ in range(20):
        z = z * 0.4 + z * 0.6
    e = z.explain(small)
    assert [p.value for p in e.paths(2)] == pytest.approx([0.6**20, 0.6**19 * 0.4])
    assert "one of 1048576" in flat(z.why(small))


def test_nothing_is_changed():
    a, b = Value(2.0, label="a"), Value(3.0, label="b")
    out = a * b + a
    state = [(n.data, n.grad, n.label) for n in topological_order(out)]
    str(out.explain(a)), str(out.why(b)), to_code(out)
    assert state == [(n.data, n.grad, n.label) for n in topological_order(out)]


def test_changed_data_is_pointed_out():
    a, b = Value(2.0, label="a"), Value(3.0, label="b")
    out = a * b
    assert "changed" not in str(out.explain(a))
    b.data = 5.0
    e = out.explain(a)
    assert e.value == 3.0 and "Data has changed" in str(e)
    out.recompute()
    assert "changed" not in str(out.explain(a)) and out.explain(a).value == 5.0


def test_what_has_no_gradient():
    a, c, k = Value(2.0, label="a"), Value(1.0, label="c"), constant(3.0, label="k")
    out = a * k
    assert "out does not depend on c" in str(out.explain(c)) and out.explain(c).value == 0.0
    assert "k is a constant" in str(out.explain(k)) and out.explain(k).terms == [] == out.explain(c).paths()
    assert "∂out/∂out = 1" in str(out.explain(out)) and out.explain(out).value == 1.0
    with no_grad():
        out = a * k
    assert "0" in str(out.explain(a)) and out.explain(a).path_count == 0


def test_intermediate_values_can_be_explained():
    _, loss = network()
    z = loss.parents[0].parents[0].parents[3]
    assert z.label.startswith("a_1")
    assert "∂L/∂a_1^[1]" in str(loss.explain(z)).replace("loss", "L")
    assert "δ_1^[1] = ∂L/∂z_1^[1]" in str(loss.explain(z.parents[0])).replace("loss", "L")


def test_bad_options_are_refused():
    a = Value(2.0)
    for options in ({"notation": "newton"}, {"depth": 0}, {"most": 1}, {"digits": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            (a * a).explain(a, **options)
    for options in ({"depth": "all"}, {"depth": a}, {"digits": None}, {"most": 2.5}):
        with pytest.raises(TypeError, match=f"{next(iter(options))} as a whole number; got"):
            (a * a).explain(a, **options)
    with pytest.raises(TypeError, match="needs Values, got float"):
        explain(a * a, 2.0)
    for method in ((a * a).explain, (a * a).why, lambda: explain(a * a), lambda: why(a * a)):
        with pytest.raises(TypeError, match=r"^explain and why need the Value to differentiate by: L\.explain\(x\)$"):
            method()
    with pytest.raises(TypeError, match=r"got str 'a' as x: .* output\['a'\]"):
        explain(a * a, "a")


# -- why


def _dead_relu():
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    hidden = a * b
    out = hidden.relu() * 3.0 + 1.0
    return out.why(a)


def _dead_neuron():
    net, _ = network((16, 16, 1), "relu")
    loss = mg.sum([(net([-10.0 * n, 0.5]) - 1.0) ** 2 for n in range(10)])
    return loss.why(net.layers[0].neurons[1].w[0])


def _saturated(name, x):
    def make():
        u = Value(x, label="u")
        out = getattr(u * 2.0, name)() * 5.0
        return out.why(u)

    return make


def _cancelled():
    a, b = Value(1.0, label="a"), Value(6.0, label="b")
    out = a * b - b * a
    return out.why(a)


def _of(program, *data):
    def make():
        leaves = [Value(x, label=label) for x, label in zip(data, "abc", strict=False)]
        out = program(*leaves)
        return out.why(leaves[0])

    return make


def _chain(factor, count):
    def program(a):
        for _ in range(count):
            a = a * factor
        return a

    return program


def _with_line():
    a = Value(0.0, label="a")
    with detect_anomaly():
        out = a.sqrt() * 0.0
    return out.why(a)


def _dead_layer():
    net = MLP(2, [4, 4, 4, 1], seed=1)
    for neuron in net.layers[1].neurons:
        neuron.b.data = -100.0
    return ((net([1.0, -0.5]) - 1.0) ** 2).why(net.layers[0].neurons[0].w[0])


def _behind_a_dead_relu():
    x, u = Value(1.0, label="x"), Value(-3.0, label="u")
    a_1 = (u * 1.0).relu()
    return mg.sum([a_1 * x for _ in range(10)]).why(x)


def _recurrence():
    w, h = Value(1.5, label="w"), Value(1.0, label="h_0")
    for _ in range(60):
        h = w * h
    return h.why(w)


def _softmax(composed, score=6.0):
    def make():
        zs = [Value(z, label=f"z_{i}") for i, z in enumerate((score, 0.2, 0.1), 1)]
        exps = [z.exp() for z in zs]
        out = exps[0] / mg.sum(exps) if composed else mg.logsumexp(zs) * 2.0
        return out.why(zs[1])

    return make


@pytest.mark.parametrize("entry", [lambda e: e[0] / sum(e), lambda e: e[0] * sum(e) ** -1, lambda e: e[0] * (1.0 / mg.sum(e))])
def test_why_knows_a_softmax_however_it_is_written(entry):
    """sum() begins with 0 and adds one after the other."""
    for score, cause in ((6.0, "softmax"), (3.0, "nothing unusual")):
        zs = [Value(z, label=f"z_{i}") for i, z in enumerate((score, 0.2, 0.1), 1)]
        assert entry([z.exp() for z in zs]).why(zs[0]).cause == cause


@pytest.mark.parametrize("scores", [(50.0, 0.0, 1.0), (1000.0, 0.0, 1.0)])
def test_why_knows_the_softmax_of_the_package_and_when_it_takes_nothing_away(scores):
    zs = [Value(z, label=f"z_{i}") for i, z in enumerate(scores, 1)]
    p = mg.softmax(zs)
    for out, z in ((p[0], zs[0]), (p[0], zs[1]), (p[1], zs[0]), (p[1], zs[1])):
        assert [f.cause for f in out.why(z).findings][:1] == ["softmax"]
    right = mg.log_softmax(zs)[1]
    assert adjoints(right, zs[0])[zs[0]] == -1.0 and "softmax" not in str(right.why(zs[0]))


def test_why_tells_a_saturated_softmax_by_what_it_passes_on():
    """By p (1 − p) beside its most, 1/4, which 50 equal entries do not reach either: they are not saturated."""
    zs = [Value(z, label=f"z_{i}") for i, z in enumerate((4.3, 0.0, -1.0), 1)]
    p = mg.softmax(zs)
    assert 0.98 < p[0].data < 0.99
    found = " ".join(str(p[0].why(zs[0])).split())
    assert "A saturated softmax" in found and "or less, of at most 0.25" in found
    equal = [Value(0.0, label=f"z_{i}") for i in range(1, 51)]
    assert mg.softmax(equal)[0].why(equal[0]).cause == "nothing unusual"


WHYS = {
    "a dead layer": (_dead_layer, "relu"),
    "behind a dead relu": (_behind_a_dead_relu, "relu"),
    "log of what underflowed": (_of(lambda a: (a.exp() * 2.0).log(), -800.0), "underflow"),
    "division by a difference": (_of(lambda a: 1.0 / (a - 3.0), 3.0), "division"),
    "a recurrence that grows": (_recurrence, "huge"),
    "overflow after growth": (_of(lambda a: _chain(1e30, 12)(a), 2.0), "overflow"),
    "a saturated softmax": (_softmax(True), "softmax"),
    "an exp that underflows": (_of(lambda a: a.exp() * 3.0, -800.0), "underflow"),
    "a quotient whose slope underflows": (_of(lambda a: 2.0 / a, 1e200), "shrinking"),
    "a power whose slope underflows": (_of(lambda a: a**3, 1e-200), "shrinking"),
    "an exponent of 1": (_of(lambda a: constant(1.0) ** a, 2.0), "flat"),
    "a relu far out": (_of(lambda a: a.softplus() * 2.0, -800.0), "saturated"),
    "a dead relu below a square": (_of(lambda a: a.relu() ** 2, -1.0), "relu"),
    "a dead relu in a numerator": (_of(lambda a: Value(-1.0, label="u").relu() / a, 2.0), "relu"),
    "a divisor that is infinite": (_of(lambda a: a / Value(math.inf, label="u"), 2.0), "leaf"),
    "a power of 0": (_of(lambda a: a**-1, 0.0), "division"),
    "a pole": (_of(lambda a: a.lgamma(), 0.0), "pole"),
    "a root of a negative number": (_of(lambda a: a**0.5, -4.0), "pow"),
    "an arc of more than 1": (_of(lambda a: a.asin(), 4.0), "asin"),
    "a logarithm of 1 + x at -1": (_of(lambda a: (a - 5.0).log1p(), 4.0), "log"),
    "the first of two overflows": (_of(lambda a: a.exp() - (a * 1.0).exp(), 800.0), "overflow"),
    "huge, and halved": (_of(lambda a: Value(1e12, label="u") * 0.5 * a, 2.0), "leaf"),
    "what an exp made, and what was taken from it": (_of(lambda a: (Value(30.0, label="u").exp() - 3.0) * a, 2.0), "huge"),
    "divided by what an exp made": (_of(lambda a: a / (Value(30.0, label="u").exp() * 0.5), 2.0), "tiny"),
    "a saturated logsumexp": (_softmax(False), "softmax"),
    "tanh saturated by its bias": (_of(lambda a, b: (a * 0.1 + b).tanh(), 0.3, 8.0), "saturated"),
    "a nan that comes in": (_of(lambda a, b: ((a * b) + 1.0).tanh(), 2.0, math.nan), "leaf"),
    "not connected": (_of(lambda a, b: b * 2.0, 1.0, 2.0), "not connected"),
    "dead relu": (_dead_relu, "relu"),
    "dead neuron": (_dead_neuron, "relu"),
    "relu at 0": (_of(lambda a: a.relu(), 0.0), "relu"),
    "saturated tanh": (_saturated("tanh", 4.0), "saturated"),
    "flat tanh": (_saturated("tanh", 40.0), "saturated"),
    "saturated logistic": (_saturated("sigmoid", -5.0), "saturated"),
    "cancelling": (_cancelled, "cancelled"),
    "cancelling where sizes add up beyond the floats": (
        _of(lambda a: a * 1e308 - a * 1e308 + a * 1e308 - a * 1e308, 1.0),
        "cancelled",
    ),
    "log of a negative": (_of(lambda a, b: (a * b).log() + a, 2.0, -3.0), "log"),
    "log of a negative, squared": (_of(lambda a, b: (a * b).log() ** 2.0, 2.0, -3.0), "log"),
    "sqrt of a negative": (_of(lambda a, b: (a * b).sqrt(), 2.0, -3.0), "sqrt"),
    "overflow": (_of(lambda a: a.exp() * 2.0, 800.0), "overflow"),
    "division by zero": (_of(lambda a, b: a / b, 1.0, 0.0), "division"),
    "sqrt at 0": (_of(lambda a: a.sqrt() * 2.0, 0.0), "local"),
    "0 · inf": (_of(lambda a: a.sqrt() * 0.0, 0.0), "0 · inf"),
    "overflow on the way back": (_of(lambda a: (a * 1e200) * 1e200, 1e-250), "overflow"),
    "a leaf that is nan": (_of(lambda a, b: a * b, 1.0, math.nan), "leaf"),
    "underflow": (_of(lambda a: (a * 1e-200) * 1e-200, 1.0), "underflow"),
    "times zero": (_of(lambda a, b: a * b, 1.0, 0.0), "times zero"),
    "maximum": (_of(lambda a, b: a.maximum(b), 1.0, 2.0), "maximum"),
    "where": (_of(lambda a, b: mg.where(b, b, a), 1.0, 2.0), "where"),
    "take": (_of(lambda a, b: RULES["take"](constant(1.0), a, b), 3.0, 7.0), "take"),
    "step": (_of(lambda a: a.step(), 1.0), "flat"),
    "a power at its flat point": (_of(lambda a: a**2 + 1.0, 0.0), "flat"),
    "vanishing": (_of(_chain(0.9, 200), 1.0), "tiny"),
    "exploding": (_of(_chain(1.5, 80), 1.0), "huge"),
    "a small divisor": (_of(lambda a: 1.0 / a, 1e-9), "huge"),
    "many paths": (_of(lambda a: _doubled(a), 1.0), "huge"),
    "nothing unusual": (_of(lambda a, b: a * b + a**2, 2.0, -3.0), "nothing unusual"),
    # each threshold, from both sides
    "just tiny": (_of(lambda a: a * 9e-7, 1.0), "tiny"),
    "not quite tiny": (_of(lambda a: a * 1.1e-6, 1.0), "nothing unusual"),
    "just huge": (_of(lambda a: a * 2.0 * 5.5e5, 1.0), "huge"),
    "not quite huge": (_of(lambda a: a * 9e5, 1.0), "nothing unusual"),
    "just saturated": (_saturated("tanh", 1.5), "saturated"),
    "not quite saturated": (_saturated("tanh", 1.49), "nothing unusual"),
    "saturated erf": (_saturated("erf", 1.25), "saturated"),
    "just cancelled": (_of(lambda a: a * 1000.0 - a * 998.1, 1.0), "cancelled"),
    "not quite cancelled": (_of(lambda a: a * 1000.0 - a * 997.9, 1.0), "nothing unusual"),
    "a softmax just saturated": (_softmax(True, 4.5), "softmax"),  # p is 0.975
    "a softmax not quite saturated": (_softmax(True, 4.4), "nothing unusual"),
    # where numbers began
    "a relu just below 0": (_of(lambda a, b: a * (b - 0.5).relu(), 1.0, 0.25), "relu"),
    "three that are equal": (_of(lambda a, b: mg.sum([a * b, b * 1.0, b * 1.0]).relu(), 1.0, -2.0), "relu"),
    "against another one": (_of(lambda a, b: (a * 0.1 + b - 30.0).tanh(), 1.0, 10.0), "saturated"),
    "a logistic that underflows": (_of(lambda a: (a * 1.0).sigmoid().log(), -800.0), "underflow"),
    "a sum that is 0 by chance": (_of(lambda a, b: a * mg.sum([(b * 1.0).relu(), b, 1.0]), 2.0, -1.0), "flat"),
    "a computed 0 beside a given one": (_of(lambda a, b: a * mg.dot([0.0, b - 3.0], [b, b], 0.0), 2.0, 3.0), "flat"),
    "growth from a quotient": (_of(lambda a, b: a * _chain(2.0, 5)(3.0 / b) ** 2, 1.0, 1e-6), "huge"),
    "growth from exp": (_of(lambda a, b: a * _chain(2.0, 5)(b.exp()) ** 2, 1.0, 20.0), "huge"),
    "growth in few steps": (_of(lambda a, b: a * (b * b * b) ** 2, 1.0, 20.0), "huge"),
    "a quotient that overflows": (_of(lambda a, b: a / b, 1e300, 1e-300), "division"),
    "a constant that is nan": (_of(lambda a: (a * math.nan).tanh(), 1.0), "leaf"),
    "cut in many places": (
        _of(lambda a: (a - 5.0).relu() + a.step() + a.minimum(-9.0) + mg.where(a, 1.0, a) + a.maximum(10.0) + a.floor(), 1.0),
        "flat",
    ),
    "one of several factors": (_of(lambda a, b, c: mg.dot([a, c], [b, c]), 1.0, 0.0, 3.0), "times zero"),
    "a condition": (_of(lambda a, b: mg.where(a, b, 3.0), 1.0, 2.0), "where"),
    "six that cancel": (_of(lambda a: mg.sum([a * k for k in (500.0, -500.0, 1.0, 3.0, -4.0, 0.0)]), 1.0), "cancelled"),
}


def _doubled(a):
    for _ in range(40):
        a = a + a
    return a


@pytest.mark.parametrize("name", WHYS)
def test_why_finds_the_cause(name):
    make, cause = WHYS[name]
    why = make()
    assert why.cause == cause, why
    assert f"= {written_number(why.value, 4).text}" in flat(why).split("\n")[0]


@pytest.mark.parametrize(
    ("name", "op", "words"),
    [
        ("a dead layer", "relu", "z_1^[2] = -100.7 is negative, because b_1^[2] = -100"),
        ("behind a dead relu", "relu", "In 10 places alike"),
        ("behind a dead relu", "relu", "The 0 began at a_1 = relu(v1) = relu(-3) = 0"),
        ("log of what underflowed", "exp", "The 0 began at v1 = exp(a) = exp(-800) = 0, which underflows"),
        ("division by a difference", "sub", "The 0 began at v1 = a − 3 = 3 − 3 = 0"),
        ("a recurrence that grows", "mul", "×1.5 at each on average"),
        ("overflow after growth", "mul", "(overflowed)"),
        ("a saturated softmax", "div", "one entry has 0.9943 of the whole"),
        ("a saturated logsumexp", "logsumexp", "one entry has 0.9943 of the whole"),
        ("tanh saturated by its bias", "tanh", "because b = 8"),
        ("a nan that comes in", "", "b itself holds nan, before any operation"),
        ("just huge", "mul", "∂(v1 · 5.5e+05)/∂v1 = 5.5e+05"),
        ("a relu just below 0", "relu", "The 0 began at v2 = relu(v1) = relu(-0.25) = 0"),
        ("three that are equal", "relu", "its input v4 = -6 is negative. What to do"),
        ("against another one", "tanh", "in floating point. What to do"),
        ("a logistic that underflows", "sigmoid", "sigmoid(-800) = 0, which underflows"),
        ("a sum that is 0 by chance", "sum", "The 0 began at v3 = v2 + b + 1 = 0 + (-1) + 1 = 0"),
        ("a computed 0 beside a given one", "sub", "The 0 began at v1 = b − 3 = 3 − 3 = 0"),
        ("growth from a quotient", "div", "As to that factor, it came from v1 = 3 / b = 3 / 1e-06 = 3e+06"),
        ("growth from exp", "exp", "As to that factor, it came from v1 = exp(b) = exp(20) = 4.852e+08"),
        ("growth in few steps", "mul", "As to that factor, it came from v2 = v1 · b = 400 · 20 = 8000"),
        ("a quotient that overflows", "div", "(overflowed)"),
        ("cut in many places", "floor", "Cut in 6 places (flat 2 times, "),
        ("a condition", "where", "its condition has no derivative"),
        ("vanishing", "mul", "200 factors of 0.9 on (geometric) average"),
        ("many paths", "", "It adds up: about 1e12 paths, and the largest alone gives 1"),
        ("a small divisor", "div", "keep the divisor away from 0"),
        ("a power at its flat point", "pow", "start elsewhere"),
    ],
)
def test_why_names_the_origin_and_what_to_do(name, op, words):
    why = WHYS[name][0]()
    assert why.node.op == op and words in flat(why) and why.advice in flat(why).split("What to do: ")[1], why


def test_why_names_the_factor_that_is_0_and_what_it_leaves_out():
    assert "there a is multiplied by b = 0" in flat(WHYS["one of several factors"][0]())
    assert "+0 − 4 + 3 … 1 of 6 terms left out … − 500 + 500 = 0" in flat(WHYS["six that cancel"][0]())


def test_scopes_are_said():
    x, w = Value(-2.0, label="x"), Value(3.0, label="w")
    z = x * w
    f = z.relu()
    for node, name in ((z, "gate f"), (f, "gate f")):
        node.note = SimpleNamespace(network=0, call=0, line="", scope=(("cell", 1), (name, 1)))
    out = f * 2.0
    assert "in cell / gate f: z, f" in str(out.explain(w)) and r"\mathrm{in\ cell\ /\ gate\ f:\ }z" in out.explain(w).latex
    assert "That is in cell / gate f." in flat(out.why(w)) and " in " not in str((x * 2.0).explain(x))


def test_why_names_the_node_and_its_numbers():
    why = _dead_relu()
    assert why.node.op == "relu" and "hidden = -6 is negative" in flat(why)
    why = WHYS["log of a negative"][0]()
    assert why.node.op == "log" and "log(-6) = nan" in flat(why)


def test_why_names_the_line_under_detect_anomaly():
    why = _with_line()
    assert why.node.op == "sqrt"
    assert re.search(r"test_explain\.py:\d+: out = a\.sqrt\(\) \* 0\.0", flat(why))


def test_why_works_inside_detect_anomaly():
    a = Value(0.0, label="a")
    out = a.sqrt() * 0.0
    with detect_anomaly():
        assert out.why(a).cause == "0 · inf" and math.isnan(out.explain(a).value)


def test_long_lines_are_broken_at_spaces_and_go_on_further_in():
    x = Value(0.5, label="x")
    out = x
    for _ in range(300):
        out = out * 0.9 + 0.1
    lines = str(out.why(x)).split("\n")
    assert max(map(len, lines)) <= 96 and len(lines) > 4
    assert all(line.startswith("    ") for line in lines if line[:2] == "  " and not line[2:3].isupper())
    assert [line[:4] for line in lines].count("    ") >= 2


def test_a_path_of_one_step_gives_its_number_once():
    x = Value(20.0, label="x")
    y = x.exp()
    y.label = "y"
    assert "(the only one): y ← x: 4.852e+08." in flat(y.why(x))
    assert repr(y.explain(x).paths(1)[0]) == "y ← x:  4.852e+08"
    assert repr(y.explain(y).paths(1)[0]) == "y:  1"


def test_why_tells_of_grads_that_added_up():
    _, c, a = fork()
    c.backward()
    assert ".grad" not in flat(c.why(a))
    c.backward()
    assert ".grad holds 2, 2 times this" in flat(c.why(a))


def test_why_knows_a_value_of_the_same_label():
    a, again = Value(2.0, label="a"), Value(2.0, label="a")
    out = again * 3.0
    assert "Another Value labelled 'a'" in flat(out.why(a))
    with no_grad():
        out = a * 3.0
    assert "no_grad" in flat(out.why(a))


SPECIAL = (0.0, 1.0, -1.0, 1e308, 1e-308, 5e-324, math.inf, -math.inf, math.nan, 800.0, -800.0, 0.5, 40.0)


@pytest.mark.parametrize("seed", range(4))
def test_extreme_numbers_are_explained_too(seed):
    """Every primitive at the edges of the numbers: nothing raises, and every nan, inf and 0 has a cause."""
    rng = random.Random(seed)
    rules = list(RULES.values())
    for _ in range(100):
        leaves = [Value(rng.choice(SPECIAL) if rng.random() < 0.5 else rng.uniform(-3, 3)) for _ in range(2)]
        values = list(leaves)
        for _ in range(rng.randint(1, 8)):
            rule = rng.choice(rules)
            args = [rng.choice(values[-3:]) for _ in range(3 if rule.variadic else len(rule.partials))]
            if len(args) > 1 and rng.random() < 0.3:
                args[-1] = rng.choice(SPECIAL)
            values.append(rule(*args))
        output = values[-1]
        for x in leaves:
            e = output.explain(x, notation=rng.choice(["leibniz", "delta"]))
            assert "changed" not in str(e) and e.latex and len(e.paths(3)) == min(3, e.path_count)
            why = output.why(x)
            assert str(why)
            usual = math.isfinite(e.value) and e.value != 0.0
            assert usual or why.cause not in ("nothing unusual", "path", "tiny", "huge")
        order = topological_order(output)
        if all(math.isfinite(x) for n in order for x in (n.data, *n.partials, *[p.data for p in n.parents])):
            check_listing(output)


def test_operations_with_a_backward_of_their_own():
    x, y = Value(3.0, label="x"), Value(2.0, label="y")
    out = Value(x.data * y.data, (x, y), "times", label="out")

    def step():
        x.grad += y.data * out.grad
        y.grad += x.data * out.grad

    out._backward = step
    total = out + x
    assert total.explain(x).value == 3.0
    text = str(total.explain(x))
    assert "out   = times(x, y)" in text and "∂times(x, y)/∂x" in text and "∂out/∂x" in text
    assert total.why(x).cause == "nothing unusual"


# -- the listing


def executed(output):
    source = to_code(output)
    space = {}
    exec(compile(source, "listing", "exec"), space)
    assert set(re.findall(r"^import (\w+)|^from", source, re.M)) == {"math"}
    return space["f"]()


def check_listing(output):
    g = adjoints(output)
    leaves = [n for n in topological_order(output) if n.rule is None]
    if math.isfinite(output.data) and all(map(math.isfinite, g.values())):
        value, gradients = executed(output)
        assert [repr(x) for x in (value, *gradients.values())] == [
            repr(x) for x in (output.data, *[g[leaf] for leaf in leaves])
        ]


@settings(deadline=None, max_examples=150)
@given(PROGRAM)
def test_a_listing_gives_the_same_bits(program):
    check_listing(built(program)[1])


def test_listings_of_networks_and_of_every_primitive():
    _, loss = network((5, 4, 1), "sigmoid", "tanh")
    check_listing(loss)
    check_listing(batch(10)[1])
    check_listing(mg.cross_entropy(MLP(3, [4, 10], seed=2)([0.1, 0.2, 0.3]), 7))
    check_listing(MLP(100, [2, 1], seed=1)([0.01 * n for n in range(100)]))
    rng = random.Random(2)
    for rule in RULES.values():
        for _ in range(10):
            made = rule(*map(Value, arguments(rule, lambda: rng.uniform(0.05, 0.95) * rng.choice((-1, 1, 1)))))
            if math.isfinite(made.data):
                check_listing(made * 1.5)
    for x in (-1000.0, -709.8, -709.7, 0.0, 800.0):
        check_listing(Value(x).sigmoid() + 1.0)
        check_listing(Value(x).softplus() + 1.0)


def test_a_listing_is_a_function_of_the_leaves():
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    space = {}
    exec(to_code((a * b).relu() + mg.where(a, a * a, b), name="loss"), space)
    assert space["loss"]() == (4.0, {"a": 4.0, "b": 0.0})
    assert space["loss"](a=1.0, b=2.0) == (3.0, {"a": 4.0, "b": 1.0})  # the other branches


def test_a_listing_has_the_engines_signs_of_zero():
    for x, y in [(-0.0, 3.0), (0.0, -3.0), (-0.0, -0.0)]:
        for program in (lambda a, b: a * b, lambda a, b: mg.sum([a, a]), lambda a, b: mg.dot([a], [b], a), lambda a, b: -a * b):
            check_listing(program(Value(x, label="x"), Value(y, label="y")))


def test_many_labels_that_reduce_to_one_name_take_no_longer_than_others():
    def lines(labels):
        calls = 0

        def count(frame, event, argument):
            nonlocal calls
            calls += event == "line"
            return count

        output = mg.sum([Value(1.0, label=label) for label in labels])
        sys.settrace(count)
        try:
            to_code(output)
        finally:
            sys.settrace(None)
        return calls

    assert lines(f"w{'*' * (1 + n)}" for n in range(200)) < 2 * lines(f"w{n}" for n in range(200))


def test_a_stale_graph_is_said_by_all_three():
    a, b = Value(2.0, label="a"), Value(3.0, label="b")
    out = a * b
    a.data = 5.0
    assert "Data has changed" in str(out.explain(b)) and "Data has changed" in str(out.why(b))
    assert "Data has changed" in to_code(out) and "5 · 3 = 6" not in str(out.explain(b))
    out.recompute()
    assert all("changed" not in str(text) for text in (out.explain(b), out.why(b), to_code(out)))


def test_numpy_numbers_in_data_are_written_as_numbers():
    a = Value(0.5, label="a")
    out = a * a
    a.data = np.float64(0.5)
    assert "f(a=0.5)" in to_code(out) and "np" not in str(out.explain(a, digits=17))


def test_names_in_a_listing_are_names():
    class_, same, again = Value(1.0, label="class"), Value(2.0, label="w"), Value(3.0, label="w")
    _, loss = network()
    odd = [Value(1.0, label=label) for label in ("x*y", "math", "d_w", "top", "choice", "max", "int", "range")]
    check_listing(class_ * same + again + mg.sum(odd) + loss)


TAKEN = (
    "d_w", "d_z", "reached_z", "reached_u", "top", "choice", "local", "common", "math", "max", "int", "range", "polygamma",
    "scale", "class", "1st", "x*y", "∂", "v1",
)  # fmt: skip


@pytest.mark.parametrize("label", TAKEN)
def test_no_label_is_in_the_way_of_what_a_listing_calls(label):
    w, odd, c = Value(0.75, label="w"), Value(3.0, label=label), Value(1.0, label="c")
    z = w * odd
    z.label = "z"
    check_listing(
        mg.logsumexp([z, z * 2.0]) + (z * z).sigmoid() + mg.softplus(mg.where(c - z, z, w)) + mg.digamma(z) + mg.atan(z * z)
    )
    u = z.log()
    u.label = "u"
    for choice in (c, -c):
        check_listing(mg.where(choice * 2.0, u * 3.0, w) * w)
        check_listing(mg.where(choice * 2.0, u, z.exp()) + mg.take([u, w], 1))


@pytest.mark.parametrize("labels", [("\u00b5", "\u03bc"), ("\ufb01", "fi"), ("x", "\U0001d431"), ("\U0001d41d_w", "w")])
def test_names_that_python_reads_alike_are_told_apart(labels):
    one, two = (Value(x, label=label) for x, label in zip((2.0, 3.0), labels, strict=True))
    check_listing(one * two + one)
    space = {}
    exec(to_code(one * two, labels[0]), space)
    assert len(space.popitem()[1](5.0, 7.0)[1]) == 2


def test_a_listing_writes_numbers_that_are_not_finite_as_python_reads_them():
    for x in (math.inf, -math.inf, math.nan):
        assert repr(executed(Value(x, label="x") * 2)) == repr((x * 2, {"x": 2.0}))
        assert repr(executed(constant(x))) == repr((x, {}))


def test_nan_stays_nan_in_a_listing():
    for rule in RULES.values():
        n = 5 if rule.variadic else len(rule.partials)
        for nans in [*([i] for i in range(n)), range(n)]:
            made = rule(*[Value(math.nan if i in nans else 1.5 if i else 1.0) for i in range(n)]) * 1.5
            g = adjoints(made)
            value, gradients = executed(made)
            wanted = [made.data, *[g[leaf] for leaf in topological_order(made) if leaf.rule is None]]
            assert [repr(x) for x in (value, *gradients.values())] == [repr(x) for x in wanted], (rule, nans)


def test_a_listing_raises_at_a_pole():
    for made, error in [
        (Value(0.0).log(), ValueError),
        (1.0 / Value(0.0), ZeroDivisionError),
        (Value(1000.0).exp(), OverflowError),
        (Value(math.inf).sin(), ValueError),
        (Value(-1.0) ** 0.5, ValueError),
    ]:
        with pytest.raises(error):
            executed(made)


def test_what_cannot_be_listed():
    a = Value(2.0, label="a")
    by_hand = Value(4.0, (a,), "square")
    with pytest.raises(ValueError, match="backward closure of its own"):
        to_code(by_hand)
    opaque = mg.primitive("opaque", "opaque(x)", lambda x: math.gamma(x), lambda x, out: x)
    try:
        with pytest.raises(ValueError, match="'opaque' with math alone"):
            to_code(opaque(a))
    finally:
        del RULES["opaque"]
    with pytest.raises(TypeError, match="needs a Value"):
        to_code(2.0)
    with pytest.raises(ValueError, match="Python name"):
        to_code(a, name="for")
    for name in ("max", "math", "int", "range", "ma\U0001d431"):
        with pytest.raises(ValueError, match="choose another name"):
            to_code(mg.logsumexp([a, a]), name)


# -- the command line


def command(*arguments):
    from micrograd.command.main import main

    return main(["explain", *arguments])


def test_the_command_line_explains(capsys):
    assert command("tanh(a*b) + c", "a", "a=1", "b=-2", "c=0.5") == 0
    shown = capsys.readouterr().out
    assert "∂f/∂a = " in shown and "1 − tanh²(v1) = 0.07065" in shown and "= -0.1413" in shown
    for option, part in [
        ("--latex", r"\frac{\partial f}{\partial a}"),
        ("--why", "Nothing unusual"),
        ("--code", "math.tanh(v1)"),
    ]:
        assert command("tanh(a*b) + c", "a", "a=1", "b=-2", "c=0.5", option) == 0
        assert part in capsys.readouterr().out
    assert command("lambda*x", "lambda", "lambda=2", "x=3") == 0
    assert "∂f/∂lambda = " in capsys.readouterr().out
    assert command("d = a*b; tanh(d) + c", "d", "a=1", "b=-2", "c=0.5", "--digits", "17") == 0
    assert repr(1 - math.tanh(-2.0) ** 2)[:12] in capsys.readouterr().out


def test_the_command_line_finds_the_names_of_the_expression(capsys):
    for arguments, gradient in [
        (("d = a; d*d", "d", "a=2"), "∂f/∂a = 4"),
        (("\ufb01*2", "\ufb01", "\ufb01=1"), "∂f/∂fi = 2"),
        (("a = a*2; a*a", "a", "a=1"), "∂f/∂a⁽¹⁾ = 8"),
    ]:
        assert command(*arguments, "--why") == 0
        assert capsys.readouterr().out.startswith(f"{gradient}:")


def test_the_output_has_a_name_whatever_the_others_are_called(capsys):
    names = ["f", "y", "output", "f_0"]
    assert command("+".join(names), "y", *[f"{name}=1" for name in names]) == 0
    assert "∂f_1/∂y = " in capsys.readouterr().out


def test_the_command_line_says_what_is_wrong(capsys):
    for arguments, part in [
        (("a*b", "z", "a=1", "b=2"), "nothing is called 'z': differentiate by a or b\n"),
        (("2*3", "f"), "nothing is called 'f': differentiate by a name with a value, such as a in a*2 with a=1.0\n"),
        (("c = 2; c*a", "c", "a=2"), "'c' is a plain number, 2: differentiate by a\n"),
        (("l = [a, 2]; sum(l)", "l", "a=2"), "'l' is a list: differentiate by a\n"),
        (("a*", "a", "a=1"), "cannot read"),
        (("2a", "a", "a=1"), "write 2*x for a product"),
        (("a**2", "a=3"), "comes before the values, got 'a=3'"),
        (("a", "a"), "unknown name 'a'"),
        (("a*b", "a", "a=1", "b=2", "B=3"), "'B' is given a value, but the expression does not use it; did you mean b?"),
        (("a*lambda", "a", "a=1"), "unknown name 'lambda': give it a value, lambda=1.0"),
    ]:
        with pytest.raises(SystemExit) as stop:
            command(*arguments)
        assert stop.value.code == 2 and part in capsys.readouterr().err


if __name__ == "__main__":
    for name, content in written():
        (GOLDEN / name).write_text(content, encoding="utf-8")


@pytest.mark.parametrize("f", [mg.cbrt, mg.sin, mg.round, mg.step, lambda v: mg.maximum(v, -1.0)])
def test_a_zero_is_followed_through_whatever_keeps_it(f):
    x, y = Value(2.0, label="x"), Value(0.0, label="y")
    assert "The 0 began at y, which is 0 itself." in flat((f(y * 3.0) * x).why(x))


def test_what_is_0_here_stays_in_the_formula():
    """Dropped, it left ∂/∂x (x·y·x + x²) = 2x at y = 0, which holds nowhere else."""
    x, y = Value(2.0, label="x"), Value(0.0, label="y")
    assert "= 2x + 2x · y = 4\n" in str((x * y * x + x * x).explain(x))
    out = ((x + 1e17) - 1e17) * x
    assert adjoints(out, x)[x] == 2.0 and not str(out.explain(x)).startswith("∂out/∂x = x = 2\n")


def test_what_is_not_opened_is_said_once():
    z = t = Value(2.0, label="z")
    for _ in range(5):
        t = 0.5 * (t + z / t)
    table, remark = str(t.explain(z)).split("\n\n")[-2:]
    assert len(table.split("\n")) == len(set(table.split("\n"))) == remark.count("∂t") > 3
