"""The rule book as JavaScript, run by Node and compared with the engine: every row, its kinks and its infinities."""

import json
import math
import random
import shutil
import subprocess

import mpmath
import pytest
from truth import CASES
from ulps import largest_intermediate, off

import micrograd
from micrograd import Value, primitive, primitives
from micrograd.formula.javascript import functions, printable, printed
from micrograd.primitives import RULES

inf, nan = math.inf, math.nan
ON_NODE = """
const read = x => x === "inf" ? Infinity : x === "-inf" ? -Infinity : Number(x);
const text = x => Object.is(x, -0) ? "-0.0" : x === Infinity ? "inf" : x === -Infinity ? "-inf" : x !== x ? "nan" : String(x);
const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(asked.map(([name, args]) => {
	const xs = args.map(read), partials = RULES[name], out = FLOATS[name](...xs);
	const locals = partials.map ? partials.map(d => typeof d === "number" ? d : d(...xs, out)) : partials(xs, out);
	return [out, ...locals].map(text);
})));
"""


def run(script, data):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node was found: install it (apt install nodejs)")
    done = subprocess.run([node, "-e", script], input=json.dumps(data), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def in_javascript(calls, rows=()):
    """[value, partials...] of each (name, arguments), as Node computes them."""
    found = run(functions() + printed(rows) + ON_NODE, [[name, [repr(float(x)) for x in args]] for name, args in calls])
    return [[float(x) for x in numbers] for numbers in found]


def points_of(case):
    rng = random.Random(case.name)
    arity = len(case.rule.partials) if not case.rule.variadic else len(case.domain)
    edges = [args for args, *_ in case.edges]
    random_ = []
    for _ in range(60):
        args = []
        for low, high in case.domain[:arity]:
            if isinstance(low, int):
                args.append(float(rng.randint(low, high)))
            else:
                args.append(rng.choice([rng.uniform(max(low, -30), min(high, 30)), rng.uniform(max(low, -2), min(high, 2))]))
        random_.append(tuple(args))
    special = [0.0, -0.0, 1.0, -1.0, inf, -inf, nan, 1e-320, 700.0, -745.0]
    kinks = [(x,) for x in special] if arity == 1 else [(x, y) for x in special for y in special] if arity == 2 else []
    return [tuple(map(float, args)) for args in (*edges, *case.points, *random_, *kinks)]


def of_the_engine(rule, args):
    """Value and partials, each with the size in whose last place an error is counted."""
    leaves = [Value(x) for x in args]
    node = rule(*leaves)
    graphs = rule.local(tuple(leaves), node, [True] * len(args))
    sizes = [largest_intermediate(g) if isinstance(g, Value) else abs(g) for g in graphs]
    return list(zip([node.data, *node.partials], [abs(node.data), *sizes], strict=True))


@pytest.fixture(scope="module")
def all_rows():
    """What Node computes at the points of every row, found by its name; one run for all."""
    calls = [(case.name, args) for case in CASES for args in points_of(case)]
    found = {case.name: [] for case in CASES}
    for (name, args), numbers in zip(calls, in_javascript(calls), strict=True):
        found[name].append((args, numbers))
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_row_agrees_with_the_engine(case, all_rows):
    for args, found in all_rows[case.name]:
        expected = of_the_engine(case.rule, args)
        assert len(found) == len(expected)
        for k, (got, (truth, size)) in enumerate(zip(found, expected, strict=True)):
            if not math.isfinite(truth):
                assert got == truth or (got != got and truth != truth), (args, got, truth)
            else:
                scale = max(size if math.isfinite(size) else 0.0, abs(truth), 0.0 if k else case.unit)
                assert off(got, mpmath.mpf(truth), scale) <= case.javascript, (args, got, truth)


def test_every_row_of_the_book_has_a_case_here():
    assert {case.name for case in CASES} >= {name for name, row in RULES.items() if not hasattr(row.value, "__wrapped__")}


@pytest.mark.parametrize(
    ("name", "truth", "low", "high", "ulps"),
    [
        ("erf", mpmath.erf, -6, 6, 8),
        ("erfc", mpmath.erfc, -6, 26, 128),
        ("lgamma", lambda x: mpmath.loggamma(x).real, -20, 60, 64),
        ("digamma", mpmath.digamma, -20, 60, 16),
        ("x => polygamma(2, x)", lambda x: mpmath.polygamma(2, x), -20, 60, 64),
    ],
)
def test_what_javascript_lacks_is_within_its_stated_error(name, truth, low, high, ulps):
    rng = random.Random(name)
    xs = [rng.uniform(low, high) for _ in range(800)] + [rng.uniform(-3, 3) for _ in range(800)]
    found = run(functions() + f"console.log(JSON.stringify(JSON.parse(require('fs').readFileSync(0)).map({name})))", xs)
    with mpmath.workdps(40):
        for x, got in zip(xs, found, strict=True):
            expected = truth(mpmath.mpf(x))
            scale = abs(float(expected))
            if scale < 1e-300:
                continue  # of numbers below the least normal one, digits are missing
            if name == "lgamma":  # near 1 and 2 it is the logarithm of nearly 1; below 0 the difference of two logarithms
                scale = max(1.0, scale, abs(math.lgamma(1 - x)) if x < 0.5 else 0.0)
            if "gamma(" in name or name == "digamma":
                scale = max(3.0, scale)  # the sum of 1/x up to 12, from which log x is taken
            assert off(got, expected, scale) <= ulps, (x, got, expected)


def test_what_javascript_lacks_at_infinities():
    script = (
        functions()
        + "console.log([erf, erfc, lgamma, digamma].map(f => [Infinity, -Infinity, NaN, 0, -3].map(f).join()).join('\\n'))"
    )
    node = shutil.which("node") or pytest.skip("no Node was found")
    lines = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True).stdout.split()
    assert lines[0].split(",")[:4] == ["1", "-1", "NaN", "0"]
    assert lines[1].split(",")[:4] == ["0", "2", "NaN", "1"]
    assert lines[2].split(",") == ["Infinity", "Infinity", "NaN", "Infinity", "Infinity"]
    assert lines[3].split(",") == ["Infinity", "NaN", "NaN", "-Infinity", "NaN"]


@pytest.fixture
def own(request):
    """Rows of one's own, taken out of the book again."""
    made = []

    def make(name, *args, **options):
        made.append(name)
        return primitive(name, f"{name}(x)", *args, **options)

    yield make
    for name in made:
        RULES.pop(name, None)


def test_a_row_of_ones_own_is_printed_where_it_is_a_formula(own):
    row = own("bump", lambda x: micrograd.exp(-x * x) / 2, lambda x, out: -2 * x * out)
    assert printable(row)
    for x, found in zip((0.5, -3.0), in_javascript([("bump", (0.5,)), ("bump", (-3.0,))], [row]), strict=True):
        y = Value(x)
        node = row(y)
        assert found == pytest.approx([node.data, *node.partials], rel=4e-16)
    bounded = own("bounded", lambda x: micrograd.minimum(x, math.inf) + micrograd.maximum(x, -math.inf), 2.0)
    assert in_javascript([("bounded", (0.5,))], [bounded]) == [[1.0, 2.0]]
    assert "u003c" in printed([own("<b>", lambda x: x * 2.0, 2.0)]) and "<b>" not in printed([RULES["<b>"]])


@pytest.mark.parametrize(
    ("value", "partial"),
    [
        (math.sin, lambda x, out: primitives.cos(x)),
        (lambda x: x if x > 0 else 0.0, lambda x, out: primitives.step(x)),
        (lambda x: 1.0 if x == 0 else micrograd.sin(x) / x, lambda x, out: out),
        (lambda x: x * 1.0, lambda x, out: 1.0 if x > 0 else 0.5),
        (lambda x: x * 1.0, lambda x, out: math.cos(x)),
    ],
)
def test_a_row_of_ones_own_that_branches_or_uses_math_is_not(own, value, partial):
    row = own("odd", value, partial)
    assert not printable(row)
    with pytest.raises(ValueError, match="cannot be printed"):
        printed([row])


def test_no_derivative_is_written_in_javascript():
    """Planted: another rule in the book is another rule in the page."""
    row = RULES["tanh"]
    kept = row.partials
    row.partials = (lambda x, out: 1 + out * out,)
    try:
        assert in_javascript([("tanh", (0.5,))])[0][1] == 1 + math.tanh(0.5) ** 2
    finally:
        row.partials = kept
