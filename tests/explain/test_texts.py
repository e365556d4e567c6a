"""Twenty-one texts of daily use, outside networks: every name and number in them has its row, and the large ones come first."""

import math
import random
import re
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_explain import PROGRAM, built, unbroken

import micrograd as mg
from micrograd import Value, adjoints, constant
from micrograd.formula.latex import written_number


def leaves(**data):
    return [Value(x, label=name) for name, x in data.items()]


def polynomial():
    (x,) = leaves(x=1.5)
    return 3 * x**5 - 2 * x**4 + x**3 - 7 * x + 2, x


def horner():
    (x,) = leaves(x=1.5)
    out = constant(0.0)
    for c in (3.0, -2.0, 1.0, 0.0, -7.0, 2.0):
        out = out * x + c
    return out, x


def rosenbrock():
    x, y = leaves(x=-1.2, y=1.0)
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2, x


def logistic_regression():
    rng = random.Random(1)
    w, b = leaves(w=0.3, b=-0.1)
    points = [(rng.gauss(0, 1), rng.randrange(2)) for _ in range(100)]
    return mg.binary_cross_entropy([w * x + b for x, _ in points], [t for _, t in points]), w


def least_squares():
    slope, offset = leaves(m=2.0, c=0.5)
    return mg.mse([slope * x + offset for x in (1.0, 2.0, 3.0)], [2.0, 4.5, 6.0]), slope


def black_scholes():
    S, K, T, r, sigma = leaves(S=100.0, K=95.0, T=0.5, r=0.03, sigma=0.2)

    def N(x):
        return 0.5 * (1 + (x / math.sqrt(2)).erf())

    d1 = ((S / K).log() + (r + sigma**2 / 2) * T) / (sigma * T.sqrt())
    d2 = d1 - sigma * T.sqrt()
    return S * N(d1) - K * (-r * T).exp() * N(d2), sigma


def newton():
    x, c = leaves(x=1.0, c=2.0)
    for _ in range(3):
        x = x - (x * x - c) / (2 * x)
    return x, c


def softmax():
    zs = leaves(z_1=1.0, z_2=2.0, z_3=0.5)
    exps = [z.exp() for z in zs]
    return exps[1] / mg.sum(exps), zs[0]


def cross_entropy_of_one_row():
    zs = leaves(z_1=1.0, z_2=2.0, z_3=0.5)
    return mg.cross_entropy(zs, 1), zs[0]


def rnn():
    w, u, h = leaves(w=0.8, u=0.5, h_0=0.1)
    for x in (1.0, -0.5, 0.25, 0.7):
        h = (w * h + u * x).tanh()
    return h, w


def lstm_cell():
    x, h, c, w_f, w_i, w_o, w_c = leaves(x=0.5, h=0.1, c=0.2, w_f=0.4, w_i=-0.3, w_o=0.6, w_c=0.9)
    f, i, o = ((w * x + h).sigmoid() for w in (w_f, w_i, w_o))
    c_new = f * c + i * (w_c * x + h).tanh()
    return o * c_new.tanh(), w_c


def attention():
    q, k1, k2, v1, v2 = leaves(q=0.5, k_1=1.0, k_2=-0.5, u_1=2.0, u_2=3.0)
    scores = [q * k1, q * k2]
    exps = [s.exp() for s in scores]
    total = mg.sum(exps)
    return exps[0] / total * v1 + exps[1] / total * v2, q


def batch_norm():
    xs = leaves(x_1=1.0, x_2=2.0, x_3=4.0)
    mean = mg.sum(xs) / 3
    var = mg.sum([(x - mean) ** 2 for x in xs]) / 3
    return (xs[0] - mean) / (var + 1e-5).sqrt(), xs[0]


def pendulum():
    angle, speed = leaves(θ=0.5, ω=0.0)
    start = angle
    for _ in range(3):
        speed = speed - 0.1 * angle.sin()
        angle = angle + 0.1 * speed
    return angle, start


def kinetic_energy():
    m, v = leaves(m=2.0, v=3.0)
    return 0.5 * m * v**2, v


def gaussian():
    x, mu, s = leaves(x=1.0, mu=0.2, s=0.7)
    return (-((x - mu) ** 2) / (2 * s**2)).exp() / (s * math.sqrt(2 * math.pi)), s


def ratio():
    a, b, c = leaves(a=2.0, b=3.0, c=0.5)
    return (a * b + c) / (a - c), a


def piecewise():
    x, y = leaves(x=0.5, y=2.0)
    return mg.where(x - y, x * y, x + y).maximum(x * 3) + (x * y).relu(), x


def second_order():
    x, y = leaves(x=0.7, y=1.3)
    first = adjoints((x * y).sin() * x, x, create_graph=True)[x]
    return first, x


def lecture_neuron():
    x1, x2, w1, w2, b = leaves(x1=2.0, x2=0.0, w1=-3.0, w2=1.0, b=6.8813735870195432)
    n = x1 * w1 + x2 * w2 + b
    return n.tanh(), w1


def sum_of_a_hundred():
    (a,) = leaves(a=0.5)
    rng = random.Random(2)
    return mg.sum([a * (0.0 if n % 2 else rng.gauss(0, 1)) for n in range(100)]), a


PROGRAMS = [
    polynomial, horner, rosenbrock, logistic_regression, least_squares, black_scholes, newton, softmax,
    cross_entropy_of_one_row, rnn, lstm_cell, attention, batch_norm, pendulum, kinetic_energy, gaussian, ratio, piecewise,
    second_order, lecture_neuron, sum_of_a_hundred,
]  # fmt: skip


def rows(text):
    """What stands left of an equals sign at the beginning of a line, with what stands at the end of the line."""
    found = {}
    for part in text.split("\n\n"):
        for line, following in pairwise([*part.split("\n"), ""]):
            if line.startswith(" ") or " = " not in line:
                continue
            if re.fullmatch(r"(\S+ = [-\d.einfa]+(, |,|$))+", line):
                found |= dict(re.findall(r"(\S+) = ([^\s,]+)", line))
            else:
                cells = [cell.strip() for cell in re.split(r" +=(?: +|$)", line)]
                found[cells[0]] = "several lines" if following.startswith(" ") else cells[-1]
    return found


def derivatives(text):
    """The derivatives that stand in a text, but those of a formula written out."""
    return set(re.findall(r"∂[^\W\d]\w*(?:\[\d+\])?/∂[^\W\d]\w*(?:\[\d+\])?(?:\|[₁-₉])?(?![\w(])", text))


@pytest.mark.parametrize("depth", [None, 1, 3, 50])
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_name_and_number_has_its_row(program, depth):
    out, x = program()
    out.label = out.label or "out"
    check_rows(out.explain(x, depth=depth))


def check_rows(e):
    """Every name and every derivative that stands in the text has its row there, with its number."""
    text, page = unbroken(e), e.page()
    found = rows(text)
    nodes = {page.names[n].text: n for n in [*e.graph.order, *(p for n in e.graph.order for p in n.parents if p.label)]}
    body = "\n".join(line for line in text.split("\n") if not line.startswith("Not opened") and "⋮" not in line)
    used = {name for name in re.findall(r"[^\W\d]\w*(?:\[\d+\])?", body) if name in nodes}
    assert not {name for name in used if name not in found and name != page.names[e.output].text}, text
    for name in used & found.keys():
        assert found[name] == written_number(nodes[name].data, 4).text, text
    known = {page.total(n).text: e.graph.adjoint[n] for n in e.graph.order}
    for name in derivatives(body):
        assert name in found or re.search(rf"^{re.escape(name)} =", text, re.M), (name, text)
        if name in known and name in found and re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", found[name]):
            assert found[name] == written_number(known[name], 4).text


def test_a_name_with_a_number_before_it_or_a_power_after_it_has_its_row():
    x, y = Value(0.0, label="x_0"), Value(1.0, label="x_1")
    L = (2 * x + 1) / (y * y + 1)
    L.label = "L"
    e = L.explain(y)
    assert "2x_0" in str(e).split("\n")[0]
    check_rows(e)
    L = (x.cos() + 1.5) ** x.tanh()
    L.label = "L"
    e = L.explain(x, depth=1)
    assert "^v3" in str(e)
    check_rows(e)


@settings(deadline=None, max_examples=60)
@given(PROGRAM, st.sampled_from([None, 1, 2, 50]))
def test_so_it_is_in_random_graphs(program, depth):
    inputs, output = built(program)
    for i, leaf in enumerate(inputs):
        leaf.label = f"x_{i}"
    output.label = output.label or "L"
    for leaf in inputs:
        if leaf is not output and leaf in adjoints(output):
            check_rows(output.explain(leaf, depth=depth))


def test_the_largest_contribution_is_opened_first_and_a_negligible_one_not():
    out, sigma = black_scholes()
    out.label = "C"
    e = out.explain(sigma)
    opened = re.findall(r"^∂C/∂(v\d+) +=.*·", str(e), re.M)
    sizes = {e.page().names[t.consumer].text: abs(t.value) for t in e.terms}
    assert opened[0] == max(sizes, key=sizes.get) and sizes[opened[0]] > 20
    small = [name for name, size in sizes.items() if size < 1e-12]
    assert len(small) == 2 and not set(small) & set(opened)
    assert all(f"∂C/∂{name}" in str(e).split("Not opened: ")[1] for name in small)


@pytest.mark.parametrize(
    ("program", "formula"),
    [
        (rosenbrock, "-400(y − x²)x − 2(1 − x)"),
        (polynomial, "15x⁴ − 8x³ + 3x² − 7"),
        (kinetic_energy, "m · v"),
        (lecture_neuron, "(1 − o²)x1"),
    ],
)
def test_the_whole_derivative_is_one_formula_where_it_is_short(program, formula):
    out, x = program()
    out.label = "o"
    assert str(out.explain(x)).split("\n")[0].split(" = ")[1] == formula


def test_the_largest_term_of_a_formula_stands_first():
    x, a, b, c = (Value(x, label=label) for x, label in zip((2.0, 1.0, 50.0, -400.0), "xabc", strict=True))
    for factors in permutations((a, b, c)):
        out = mg.sum([factor * x for factor in factors]) * 1.0
        assert str(out.explain(x)).split("\n")[0].endswith("= c + b + a = -349")


def test_no_formula_stands_where_it_comes_to_another_number():
    """Where digits are lost, 2x is not what the engine has; and a number is no formula."""
    x = Value(20.0, label="x")
    out = ((x + 1e17) - 1e17) * x
    assert out.explain(x).value == 36.0 and "2x" not in str(out.explain(x))
    assert ((x * 2.0 + 1.0) * x).explain(x).value == 81.0 and "4x + 1" in str(((x * 2.0 + 1.0) * x).explain(x))
    assert str((x * 2.0 * 3.0 + 1.0).explain(x)).split("\n")[0] == "x = 20"


if __name__ == "__main__":
    for program in PROGRAMS:
        out, x = program()
        out.label = out.label or "out"
        print(f"===== {program.__name__}\n{out.explain(x)}\n")
