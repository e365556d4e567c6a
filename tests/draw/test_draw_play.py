"""The line in the page into which one types expressions, `play`, and recorded training runs."""

import json
import math
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "formula"))
from expressions import COMPOSED, HERE, MEANINGS, NOT_COMPOSED, REFUSALS, THERE, WRITTEN, read_again
from graphs_to_draw import tangled

from micrograd import MLP, SGD, Value, adjoints, hinge, jit, record
from micrograd.check.mistakes import Pass
from micrograd.command.main import main
from micrograd.command.play import EXAMPLES
from micrograd.draw.explore import constants
from micrograd.draw.layout import Block, Link, arrange, columns
from micrograd.draw.minify import minified
from micrograd.draw.snapshot import Graph
from micrograd.draw.style import DARK, LIGHT
from micrograd.formula.javascript import functions, printed
from micrograd.formula.mistakes import MISTAKES, SLIPS
from micrograd.formula.parse import named_values, parse, read
from micrograd.primitives import HELPERS

ON_NODE = """
const text = x => x === Infinity ? "inf" : x === -Infinity ? "-inf" : x !== x ? "nan" : String(x);
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(given.texts.map(source => {
	const named = Object.fromEntries(Object.entries(given.values).map(([label, data]) => [label, { label, data }]));
	try {
		const graph = graphOf(meaning(source, named)), nodes = graph.nodes;
		const labels = nodes.map(n => pieces(n.text).map(p => p[0]).join("_"));
		return { labels, data: nodes.map(n => text(n.data)), ops: nodes.map(n => n.op), parents: nodes.map(n => n.parents), grads: nodes.map(n => text(n.full)) };
	} catch (error) {
		if (!(error instanceof ExpressionError)) throw error;
		return { message: error.message, column: error.column };
	}
})));
"""  # noqa: E501


def on_node(scripts, script, given):
    """What a script prints that has these scripts of the page before it."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node was found: install it (apt install nodejs)")
    folder = Path(sys.modules["micrograd.draw"].__file__).parent / "page"
    code = minified(
        "\n".join([functions(), printed(), constants(), *[(folder / f"{name}.js").read_text() for name in scripts], script])
    )
    done = subprocess.run([node, "-e", code], input=json.dumps(given), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]
    return json.loads(done.stdout)


def read_in_javascript(texts, **values):
    """What the page's parser makes of texts: graphs, or a message and its column."""
    return on_node(("graph", "formulas", "parse"), ON_NODE, {"texts": texts, "values": values})


def same(a, b):
    return a == b or (a != a and b != b) or abs(a - b) <= 4 * math.ulp(b)


def test_what_one_types_means_what_it_means_on_the_command_line():
    texts = [text for text, _ in MEANINGS + COMPOSED] + [text for _, text, _ in EXAMPLES] + ["+".join(["a"] * 2500)]
    values = {"a": 1.0, "b": -2.0, "c": 0.5, "x": 0.25, "w": 3.0} | EXAMPLES[0][2] | EXAMPLES[3][2] | {"b": -2.0}
    for text, found in zip(texts, read_in_javascript(texts, **values), strict=True):
        given = [f"{name}={x!r}" for name, x in values.items() if re.search(rf"\b{name}\b", text)]
        graph = Graph(read(text, given)[0])
        assert found["ops"] == graph.ops and found["parents"] == [list(p) for p in graph.parents], text
        assert found["labels"] == graph.labels, text
        assert all(same(float(a), b) for a, b in zip(found["data"], graph.data, strict=True)), text
        assert all(same(float(a), b) for a, b in zip(found["grads"], graph.grad, strict=True) if b is not None), text


def test_what_means_nothing_is_refused_in_the_same_words_at_the_same_place():
    refusals = REFUSALS + NOT_COMPOSED
    found = read_in_javascript([text for text, _, _ in refusals], a=1.0, b=-2.0, c=0.5, ä=1.0)
    for (text, message, column), refused in zip(refusals, found, strict=True):
        assert message in refused.get("message", ""), text
        assert refused["column"] == column, text


def test_what_the_page_writes_means_the_same_when_it_is_read_again():
    script = """const { texts, values } = JSON.parse(require("fs").readFileSync(0, "utf8"));
        const named = Object.fromEntries(Object.entries(values).map(([label, data]) => [label, { label, data }]));
        const symbol = n => typeof n === "number" ? { value: n }
            : n.args ? { op: n.op, args: n.args.map(symbol), value: n.data } : { name: n.label, value: n.data };
        console.log(JSON.stringify(texts.map(t => write(symbol(meaning(t, named)), TEXT))));"""
    written = on_node(("graph", "formulas", "parse"), script, {"texts": WRITTEN, "values": HERE})
    assert "a + (−b)" in written and "a · (−b)" in written  # no sign behind a sign
    for text, again in zip(WRITTEN, map(read_again, written), strict=True):
        for at in (HERE, THERE):
            assert parse(again, at).data == pytest.approx(parse(text, at).data, rel=1e-14), (text, again)


# -- what stands in Python and in JavaScript


def test_the_classic_mistakes_are_those_of_find_bug():
    walks = [mistake for mistake in MISTAKES if not mistake.ops]
    graphs = [Graph(tangled(size, seed)) for seed, size in enumerate((8, 10, 12, 14, 9, 11, 13, 16))]
    given = {
        "walks": [mistake.walk for mistake in walks],
        "graphs": [[list(node) for node in zip(g.kinds, g.ops, g.data, g.parents, strict=True)] for g in graphs],
    }
    script = """const { walks, graphs } = JSON.parse(require("fs").readFileSync(0, "utf8"));
        const made = nodes => new Graph(nodes.map(([kind, op, data, parents]) => ({ kind, op, data, parents, text: "" })));
        console.log(JSON.stringify(graphs.map(made).map(g => walks.map(w => mistaken(g, w)))));"""
    told = set()
    for graph, found in zip(graphs, on_node(("graph", "formulas", "guess"), script, given), strict=True):
        for mistake, grads in zip(walks, found, strict=True):
            made = Pass(graph.values[graph.root], frozenset(), distinct=False)
            made.make(mistake)
            for value, true, grad in zip(graph.values, graph.grad, grads, strict=True):
                if true is not None:
                    assert grad == pytest.approx(made.grad[value], rel=1e-12), mistake
                    told |= {mistake.walk} if abs(grad - true) > 1e-9 else set()
    assert told == {mistake.walk for mistake in walks}


def test_slips_in_local_derivatives_are_told_by_the_same_numbers():
    graph = Graph(parse("pow(a, n) + relu(-a * n) + tanh(sigmoid(a) - exp(n) / log(a))", named_values(["a=0.7", "n=-1.3"])))
    slips = parse("a", named_values(["a=1"])).draw().explore().showing(expression="a").data()["slips"]
    assert slips.keys() == SLIPS.keys()
    asked = []
    for i, op in enumerate(graph.ops):
        for _, wrong in SLIPS.get(op, ("", ()))[1]:
            xs = [graph.data[p] for p in graph.parents[i]]
            asked += [(i, k, float(x)) for k, x in enumerate(wrong(*xs)) if abs(x - graph.partials[i][k]) > 0.01]
    script = """const { nodes, slips, asked } = JSON.parse(require("fs").readFileSync(0, "utf8"));
        const graph = new Graph(nodes.map(([kind, op, data, parents]) => ({ kind, op, data, parents, text: "" })));
        console.log(JSON.stringify(asked.map(([i, k, x]) => slip(graph.nodes[i], k, x, slips))));"""
    nodes = [list(node) for node in zip(graph.kinds, graph.ops, graph.data, graph.parents, strict=True)]
    told = set()  # of slips that give one number, the first is told
    given = {"nodes": nodes, "slips": slips, "asked": asked}
    for (i, k, x), text in zip(asked, on_node(("graph", "formulas", "guess"), script, given), strict=True):
        op, locals_, grad = graph.ops[i], graph.partials[i], graph.grad[i]
        assert (
            text.startswith("That is a classic mistake in ")
            or math.isclose(x, -locals_[k])
            or math.isclose(x, grad * locals_[k])
        )
        told |= {(op, name) for name, _ in SLIPS[op][1] if text == f"That is a classic mistake in {SLIPS[op][0]}: {name}."}
    assert {op for op, _ in told} == SLIPS.keys() - {"neg", "sub"}  # where all slips are ones of the sign
    assert len(told) >= 18


ARRANGED = """
console.log(JSON.stringify(JSON.parse(require("fs").readFileSync(0, "utf8")).map(([blocks, links, gap]) => {
	blocks = blocks.map(([along, across, ports]) => ({ along, across, ports }));
	links = links.map(([source, target, port, label, strength]) => ({ source, target, port, label, strength }));
	const column = columns(blocks.length, links), made = arrange(blocks, links, column, gap);
	return [column, made.middles, made.routes, made.trunks.map(t => [t.source, t.points, t.links]), made.along, made.across];
})));
"""


def to_arrange(seed):
    """Blocks and links at random: chains and bushes, forks, folds that many edges come into, constants, long edges."""
    rng = random.Random(seed)
    count = 900 if seed % 80 == 0 else rng.choice((1, 2, 5, 10, 20, 40, 80, 150, 300))
    reach = rng.choice((1, 2, 5, 30, count))  # how far back operands are
    down = rng.random() < 0.5
    is_chain, leaves = rng.random() < 0.3, rng.choice((0.0, 0.25))
    parents = [[] for _ in range(count)]
    for i in range(1, count):
        if rng.random() < leaves:
            continue
        many = rng.choice((1, 1, 2, 2, 2, 3, 6, 12)) if count < 100 else rng.choice((1, 2, 2))
        parents[i] = [rng.randrange(max(0, i - reach), i) for _ in range(many)]
        if is_chain:
            parents[i][rng.randrange(many)] = i - 1
    used = {p for ps in parents for p in ps}
    parents[-1] = list(dict.fromkeys([*parents[-1], *(i for i in range(count - 1) if i not in used)]))
    constants = {i for i in range(count) if not parents[i] and rng.random() < 0.4}
    blocks, links = [], []
    for i, operands in enumerate(parents):
        wide, high = rng.choice((27.0, 96.0, rng.uniform(60, 250))), rng.choice((24.0, 42.0, 48.0))
        pitch = rng.choice((15.0, 30.25, rng.uniform(3, 20)))
        ports = tuple((k - (len(operands) - 1) / 2) * pitch for k in range(len(operands)))
        blocks.append(
            Block(*(high, max(wide, len(operands) * pitch)) if down else (wide, max(high, len(operands) * pitch)), ports)
        )
        links += [Link(p, i, k, rng.uniform(8, 60), -1.0 if p in constants else rng.random()) for k, p in enumerate(operands)]
    rng.shuffle(links)
    return blocks, links, rng.choice((18.0, 12.0, rng.uniform(5, 30)))


def test_the_layouts_of_the_page_and_of_pictures_are_one():
    """To the last bit, on graphs that take every branch: also edges over 60 columns, and so many items that less is tried."""
    given = [to_arrange(seed) for seed in range(240)]
    far = 0
    for seed, ((blocks, links, gap), found) in enumerate(zip(given, on_node(("layout",), ARRANGED, given), strict=True)):
        column = columns(len(blocks), [(link.source, link.target) for link in links])
        made = arrange(blocks, links, column, gap)
        assert json.loads(json.dumps([column, *made])) == found, f"graph {seed}"
        far += any(column[link.target] - column[link.source] > 60 for link in links)
    assert far > 8


# -- play


@pytest.fixture
def played(tmp_path, opened, capsys):
    def play(*arguments):
        file = tmp_path / "played.html"
        assert main(["play", *arguments, "-o", str(file)]) == 0
        capsys.readouterr()

        class Saved:
            def save(self, path):
                shutil.copy(file, path)

        return opened(Saved())

    return play


def numbers(page, what="full"):
    return page.page.eval_on_selector("[data-micrograd]", f"e => e.micrograd.graph.nodes.map(n => n.{what})")


def test_play_opens_with_a_neuron_and_six_examples(played):
    page = played()
    assert page.page.get_by_label("Expression").input_value() == EXAMPLES[0][1]
    menu = page.page.get_by_label("Examples")
    assert menu.locator("option").count() == 7
    for k, (_, text, values) in enumerate(EXAMPLES):
        menu.select_option(str(k))
        expected = parse(text, named_values([f"{name}={x}" for name, x in values.items()]))
        assert numbers(page, "data")[-1] == pytest.approx(expected.data, rel=1e-14)
        assert page.page.locator(".mg-field output").inner_text() == ""


def test_typing_an_expression(played):
    page = played("tanh(a*b) + c", "a=1", "b=-2", "c=0.5")
    assert numbers(page, "data")[-1] == pytest.approx(math.tanh(-2) + 0.5, rel=1e-15)
    field = page.page.get_by_label("Expression")
    field.fill("d = a*b; d*d + n_1")
    field.press("Enter")
    assert numbers(page, "data")[-1] == 5.0  # a and b keep their values, what is new is 1
    assert page.page.get_by_role("slider", name="n₁, slider").count() == 1
    for text, message in (
        ("a +", "invalid syntax"),
        ("alert(1)", "unknown function"),
        *((f"{helper}(a, b)", "unknown function") for helper in sorted(HELPERS)),
        ("<img src=x onerror=alert(1)>", "cannot read"),
    ):
        field.fill(text)
        field.press("Enter")
        assert message in page.page.get_by_role("alert").inner_text()
        assert field.get_attribute("aria-invalid") == "true"
    assert numbers(page, "data")[-1] == 5.0
    field.fill("__proto__ * constructor + toString")
    field.press("Enter")
    assert numbers(page, "data")[-1] == 2.0
    assert page.page.locator("img:not([hidden])").count() == 0


def test_pages_with_a_line_and_with_a_run_are_small():
    page = parse("a*a", named_values(["a=1"])).draw().explore().showing(expression="a*a", examples=EXAMPLES)
    _, run, *_ = trained(2, "hand", data=([[0.5, 1.0]], [1.0]))
    for living in (page, run.explore()):
        assert len(living.script.encode()) + len(living.style.encode()) <= 80_000


def test_play_refuses_what_it_cannot_read(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["play", "tanh(a", "a=1", "-o", str(tmp_path / "x.html")])
    assert "was never closed" in capsys.readouterr().err and not (tmp_path / "x.html").exists()
    with pytest.raises(SystemExit):
        main(["play", "-o", "x.svg"])
    assert "ends in .html" in capsys.readouterr().err


# -- training over time


def trained(steps, by, **options):
    model, rng = MLP(2, [3, 1], activation="tanh", seed=1), random.Random(1)
    X = [[rng.uniform(-1, 1), rng.uniform(-1, 1)] for _ in range(20)]
    t = [1.0 if x[0] > x[1] else -1.0 for x in X]
    weights = []

    def sample():
        loss = hinge(model(X[0]), t[0])
        loss.label = "L"
        return loss

    with record(model, sample, **options) as run:
        optimiser = SGD(model.parameters(), lr=0.1)
        if by == "training":
            f = jit(lambda x, y: hinge(model(x), y))
            with f.training(optimiser) as step:
                for _ in range(steps):
                    step(np.array(X), np.array(t))
        for _ in range(steps if by != "training" else 0):
            for p in model.parameters():
                p.grad = 0.0
            loss = sum((hinge(model(x), y) for x, y in zip(X, t, strict=True)), start=Value(0.0)) / 20
            loss.backward()
            if by == "hand":
                for p in model.parameters():
                    p.data -= 0.1 * p.grad
                run.add(loss.data)
            else:
                optimiser.step()
            weights.append([p.data for p in model.parameters()])
    return model, run, weights, (X, t), sample


def test_every_way_of_training_is_recorded_alike():
    runs = {by: trained(6, by) for by in ("hand", "optimiser", "training")}
    for _, run, _, _, _ in runs.values():
        assert run.steps == list(range(7))
        assert np.allclose(run.frames, runs["hand"][1].frames, rtol=1e-12)
    assert runs["hand"][1].frames[1:] == runs["hand"][2]
    assert runs["training"][1].losses[1:] == pytest.approx(runs["hand"][1].losses[1:])
    assert repr(runs["hand"][1]) == "<a training run of 6 steps, 7 of them kept; .explore()>"


def test_a_long_run_is_thinned_and_keeps_its_end():
    model, run, _, _, _ = trained(950, "training")
    assert len(run.frames) <= 202 and run.steps[0] == 0 and run.steps[-1] == 950
    assert run.frames[-1] == [p.data for p in model.parameters()]
    assert len({b - a for a, b in zip(run.steps[:-1], run.steps[1:-1], strict=False)}) == 1


def test_what_cannot_be_recorded_is_refused():
    model = MLP(2, [1])
    with pytest.raises(TypeError, match="as a Value or as a function"):
        record(model, 3.0)
    with pytest.raises(TypeError, match="must give a Value"):
        record(model, lambda: 3.0)


PAINTED = """() => {  // the colours on the map
    const map = document.querySelector("canvas"), copy = new OffscreenCanvas(map.width, map.height);
    const paint = copy.getContext("2d", { willReadFrequently: true }), found = new Set();
    paint.drawImage(map, 0, 0);
    const d = paint.getImageData(0, 0, map.width, map.height).data;
    for (let i = 0; i < d.length; i += 4) found.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);
    return found;
}"""


def test_a_recorded_run_is_scrubbed(opened):
    model, run, _, data, sample = trained(12, "hand")
    run.data = [[*x, y] for x, y in zip(*data, strict=True)]
    page = opened(run.explore())
    slider = page.page.get_by_role("slider", name="Step of the training")
    for k in (0, 5, 12):
        slider.fill(str(k))
        for p, x in zip(model.parameters(), run.frames[k], strict=True):
            p.data = x
        graph = Graph(sample())
        g = adjoints(graph.values[graph.root])
        expected = [g[v] for v in graph.values if v in g]
        found = [x for x, v in zip(numbers(page), graph.values, strict=True) if v in g]
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)
        assert f"step {k}, loss" in page.page.locator("[data-card=training] output").inner_text()
    assert page.page.get_by_role("img", name=re.compile("^loss over 12 steps")).count() == 1
    assert page.page.get_by_role("img", name=re.compile("^layer 1: ")).count() == 1
    assert page.page.evaluate(f"({PAINTED})().size") > 20
    for scheme, palette in (("light", LIGHT), ("dark", DARK)):
        page.page.emulate_media(color_scheme=scheme)
        for colour in (palette.ink, palette.positive, palette.negative):  # the sample drawn, and the others
            page.until(f"({PAINTED})().has({int(colour[1:], 16)})")
    page.page.locator("[data-card=training]").get_by_role("button", name="play").click()
    page.until("document.querySelector('[data-card=training] output').value.startsWith('step 12')")
