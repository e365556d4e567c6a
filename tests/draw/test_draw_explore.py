"""The living page, in a real browser: its numbers against the engine's, and everything one can do with it."""

import itertools
import json
import math
import random
import re
from pathlib import Path

import pytest
from conftest import Opened
from graphs_to_draw import chain, example, hostile, network, tangled

import micrograd
from micrograd import MLP, SGD, Value, adjoints, mse, primitive, relu, where
from micrograd.primitives import RULES

BUDGET = 80_000  # bytes of all scripts and styles of a page


def diamond():
    a = Value(2.0, label="a")
    b, c = a * 3.0, a * a
    b.label, c.label = "b", "c"
    d = b * c
    d.label = "d"
    return d


def neuron():
    w, x, b = Value(3.0, label="w"), Value(0.5, label="x"), Value(-1.0, label="b")
    loss = ((w * x + b).tanh() - 1) ** 2 + 0.01 * w**2
    loss.label = "L"
    return loss


def same(x, y):
    return x == y or (x != x and y != y)


def numbers(page, what="full"):
    """This number of every value in the page, in the engine's order."""
    read = f"e => e.micrograd.graph.nodes.map(n => String(n.{what}))"
    return [float(x.replace("Infinity", "inf")) for x in page.page.eval_on_selector("[data-micrograd]", read)]


def card(page, name):
    return page.page.locator(f"[data-card={name}]")


def mathematics(page, name):
    """The equations on a card, as its text for those who cannot see them."""
    return [m.get_attribute("alttext") for m in card(page, name).locator("math").all()]


# -- what a page is made of


def test_scripts_and_styles_are_small():
    for page in (neuron().draw().explore(), network(3).draw().explore()):
        style = re.search(r"<style>(.*?)</style>", page.html, re.DOTALL)[1]
        assert len(page.script.encode()) + len(style.encode()) < BUDGET


def test_the_fragment_holds_everything_and_loads_nothing():
    html = network().draw().explore().html
    assert not re.search(
        r"""(src|href)\s*=\s*["'](?!data:)|@import|url\(|fetch\(|XMLHttpRequest|import\(|\beval\b|Function\(""", html
    )
    assert html.startswith("<div") and html.count("<script") == 2 and html.count("<img") == 1
    assert "<img" in network().draw().explore()._repr_mimebundle_()["text/html"]


def test_no_label_can_end_the_data():
    html = hostile().draw().explore().html
    assert html.count("</script>") == 2 and html.count("</style>") == 1
    data = re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)[1]
    assert "<script>alert('x')</script>" in json.loads(data)["texts"]


def test_the_policy_of_a_page_of_its_own_lets_nothing_else_run(opened):
    page = opened(example().draw())
    assert "script-src 'sha256-" in example().draw().explore().page
    page.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.planted = 1' }))"
    )
    assert page.page.evaluate("window.planted") is None
    assert "Content Security Policy" in page.complaints.pop()


# -- the numbers


@pytest.mark.parametrize(
    "make",
    [example, diamond, network, lambda: network(4, (4, 3), "relu"), lambda: tangled(60, 5), lambda: tangled(200, 6),
     lambda: Value(0.0, label="x").log() * 2.0],
    ids=["example", "diamond", "network", "samples", "random 60", "random 200", "infinite"],
)  # fmt: skip
def test_at_first_every_number_is_the_engines_own(opened, make):
    drawing = make().draw(unfold="all")
    page, graph = opened(drawing), drawing.graph
    assert all(map(same, numbers(page, "data"), graph.data))
    assert all(same(found, g) for found, g in zip(numbers(page), graph.grad, strict=True) if g is not None)


def exact(size, seed):
    """A random graph of operations that JavaScript computes to the engine's bits."""
    rng = random.Random(seed)
    values = [Value(rng.uniform(-2, 2), label=f"x{k}") for k in range(max(3, size // 8))]
    operations = [
        lambda x, y: x + y, lambda x, y: x * y, lambda x, y: x - y, lambda x, y: x * 0.5, lambda x, y: x / (y * y + 1),
        micrograd.maximum, lambda x, y: relu(x), lambda x, y: (x * x + 0.1).sqrt(), lambda x, y: where(x, y, x * y),
        lambda x, y: micrograd.sum([x, y, 2.0, x]), lambda x, y: micrograd.dot([x, y], [y, 3.0], x),
    ]  # fmt: skip
    while len(values) < size:
        values.append(rng.choice(operations)(rng.choice(values[-12:]), rng.choice(values[-25:])))
    used = {parent for value in values for parent in value.parents}
    return micrograd.sum([value for value in values if value not in used])


def test_two_hundred_moves_on_twenty_graphs_give_the_engines_numbers(browser, tmp_path):
    rng = random.Random(0)
    drawings = [(exact(40, seed) if seed % 2 else tangled(40, seed)).draw(unfold="all") for seed in range(20)]
    file = tmp_path / "twenty.html"
    file.write_text("<!DOCTYPE html><meta charset=utf-8>" + "".join(d.explore().html for d in drawings), encoding="utf-8")
    page = browser.new_page()
    page.goto(f"file://{file}")
    move = """(all, [i, moves]) => { const g = all[i].micrograd.graph;
        return moves.map(([k, x]) => { g.nodes[k].data = x; g.forward(); return g.nodes.map(n => String(n.full)); }); }"""
    for seed, drawing in enumerate(drawings):
        graph = drawing.graph
        root = graph.values[graph.root]
        leaves = [i for i, kind in enumerate(graph.kinds) if kind == "leaf"]
        moves = [(rng.choice(leaves), rng.uniform(-3, 3)) for _ in range(10)]
        for (k, x), found in zip(moves, page.eval_on_selector_all("[data-micrograd]", move, [seed, moves]), strict=True):
            graph.values[k].data = x
            g = adjoints(root.recompute())
            pairs = [(float(a), g[v]) for a, v in zip(found, graph.values, strict=True) if v in g]
            if seed % 2:
                assert all(same(a, b) for a, b in pairs)
            else:
                largest = max(abs(b) for _, b in pairs if math.isfinite(b))
                assert all(same(a, b) or abs(a - b) <= 1e-12 * largest for a, b in pairs)
    page.close()


def test_a_slider_and_a_number_move_everything(opened):
    page = opened(neuron().draw())
    slider = page.page.get_by_role("slider", name="w, slider")
    slider.fill("-2")
    page.until("document.querySelector('[data-node=\"0\"]').getAttribute('aria-label').includes('value −2')")
    w, x, b = (Value(v, label=name) for v, name in ((-2.0, "w"), (0.5, "x"), (-1.0, "b")))
    loss = ((w * x + b).tanh() - 1) ** 2 + 0.01 * w**2
    g = adjoints(loss)
    assert page.gradients()[0] == pytest.approx(g[w], rel=1e-14)
    assert f"= {g[w]:.4g}".replace("-", "−") in mathematics(page, "chosen")[0]
    page.page.get_by_role("spinbutton", name="x", exact=True).fill("9.5")
    page.until("document.querySelector('[aria-label=\"x, slider\"]').max >= 9.5")
    assert numbers(page, "data")[1] == 9.5
    page.click("reset")
    graph = neuron().draw().graph
    assert numbers(page, "data") == graph.data and page.gradients()[0] == graph.grad[0]


def test_branches_keep_both_sides(opened):
    x, y = Value(2.0, label="x"), Value(1.0, label="y")
    out = where(x - 1, x * y, 5 * y) + relu(x - 3) + micrograd.maximum(x, y)
    page = opened(out.draw(unfold="all"))
    slider = page.page.get_by_role("slider", name="x, slider")
    for v in (-1.0, 4.0, 1.0):
        slider.fill(str(v))
        x.data = v
        g = adjoints(out.recompute())
        page.until(f"document.querySelector('[data-micrograd]').micrograd.graph.nodes.at(-1).data === {out.data}")
        read = "e => e.micrograd.graph.nodes.filter(n => n.kind === 'leaf').map(n => [n.name, n.full])"
        names = page.page.eval_on_selector("[data-micrograd]", read)
        assert dict(map(tuple, names)) == {"x": g[x], "y": g[y]}


def test_a_branch_that_is_not_taken_multiplies_nothing(opened):
    x = Value(0.0, label="x")
    page = opened(where(1 - x, x, x.sqrt()).draw(unfold="all"))  # the derivative of the other branch is infinite at 0
    page.page.eval_on_selector("[data-micrograd]", "e => e.micrograd.graph.forward()")
    assert numbers(page)[0] == 1.0


def test_constants_on_request_and_ranges(opened):
    page = opened(example().draw())
    assert page.page.get_by_role("slider", name="2, slider").count() == 0
    page.click("constants too")
    page.page.get_by_role("slider", name="2, slider").fill("3")
    page.until("document.querySelector('[data-micrograd]').micrograd.graph.nodes.at(-1).data === 2 * -3 + 8")
    high = page.page.get_by_role("spinbutton", name="greatest a")
    page.page.get_by_role("slider", name="a, slider").focus()
    high.fill("50")
    high.press("Enter")
    assert page.page.get_by_role("slider", name="a, slider").get_attribute("max") == "50"


def test_a_value_that_is_chosen_has_its_row_in_sight(opened):
    page = opened(micrograd.sum([Value(float(k), label=f"x{k}") for k in range(40)]).draw(unfold="all"))
    slider = page.page.get_by_role("slider", name="x₃₅, slider")
    assert slider.count() == 0
    page.page.locator("[data-node='35']").focus()
    card_, row = card(page, "values").bounding_box(), slider.bounding_box()
    assert card_["y"] < row["y"] and row["y"] + row["height"] < card_["y"] + card_["height"]


def test_a_row_of_ones_own_moves_or_says_that_it_cannot(opened):
    try:
        good = primitive("bump", "bump(x)", lambda x: micrograd.exp(-x * x), lambda x, out: -2 * x * out)
        bad = primitive("odd", "odd(x)", math.sin, lambda x, out: micrograd.cos(x))
        a, b = Value(0.5, label="a"), Value(0.25, label="b")
        page = opened((good(a) * bad(b)).draw())
        page.page.get_by_role("slider", name="a, slider").fill("1")
        page.until(
            "Math.abs(document.querySelector('[data-micrograd]').micrograd.graph.nodes.at(-1).data"
            f" - {math.exp(-1) * math.sin(0.25)}) < 1e-15"
        )
        assert page.page.get_by_role("slider", name="b, slider").is_disabled()
        assert "odd is no formula that the page can compute, so b stays." in card(page, "values").inner_text()
    finally:
        for name in ("bump", "odd"):
            RULES.pop(name, None)


# -- steps


def test_each_step_adds_one_value_or_hands_one_gradient_on(opened):
    drawing = tangled(30, 2).draw(unfold="all")
    page, graph = opened(drawing), drawing.graph
    operations = [i for i in range(len(graph)) if graph.parents[i]]
    page.page.keyboard.press("Home")
    shown = ".mg-box:not([aria-label*='not yet there'])"
    leaves = page.page.locator(shown).count()
    for k in range(1, len(operations) + 1):
        page.page.keyboard.press("ArrowRight")
        assert page.page.locator(shown).count() == leaves + k
    grad = {i: 0.0 for i, g in enumerate(graph.grad) if g is not None} | {graph.root: 1.0}
    assert page.gradients() == grad
    for i in reversed(operations):
        page.page.keyboard.press("ArrowRight")
        for p, local in zip(graph.parents[i], graph.partials[i], strict=True):
            if p in grad:
                grad[p] += grad[i] * local
        assert page.gradients() == grad


def test_forwards_and_backwards_by_every_control(opened):
    page = opened(diamond().draw())
    shown = page.page.locator("[data-at]")
    assert shown.text_content() == "all done" and page.gradients()[0] == 36.0
    page.click("To the start")
    assert shown.text_content() == "forward 0 of 3" and page.gradients() == {}
    page.click("One step on")
    assert shown.text_content() == "forward 1 of 3"
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("ArrowRight")
    assert shown.text_content() == "backward 1 of 3"
    assert [g for _, g in sorted(page.gradients().items())] == [0.0, 4.0, 6.0, 1.0]
    assert [label.split("gradient ")[1] for label in page.labels()] == [
        "0, 0 of 3 contributions arrived", "4, final", "6, final", "1, final"]  # fmt: skip
    page.click("One step back")
    assert shown.text_content() == "forward 3 of 3"
    page.page.keyboard.press("End")
    assert shown.text_content() == "all done"
    slider = page.page.get_by_role("slider", name="Step", exact=True)
    slider.fill("5")
    assert shown.text_content() == "backward 2 of 3" and slider.get_attribute("aria-valuetext") == "backward 2 of 3"
    page.click("play")
    page.until("document.querySelector('[data-at]').value === 'all done'")
    page.page.get_by_role("button", name="play", exact=True).wait_for()


def test_the_rule_of_a_step_in_symbols_and_numbers(opened):
    page = opened(neuron().draw())
    page.click("To the start")
    page.click("One step on")
    assert mathematics(page, "step") == ["v1 = w · x; = 3 · 0.5; = 1.5"]
    assert card(page, "step").get_attribute("aria-live") == "polite"
    page.page.get_by_role("slider", name="Step", exact=True).fill("12")
    assert mathematics(page, "step") == ["∂L/∂v4 += ∂L/∂v5 · ∂v5/∂v4; = 1 · (−1.076); = −1.076", "∂v5/∂v4 = 2 · v4 = −1.076"]
    assert "now −1.076: final ✓" in card(page, "step").inner_text()


# -- the chosen value


def test_a_gradient_as_a_sum_over_paths(opened):
    drawing = tangled(60, 4).draw(unfold="all")
    page, graph = opened(drawing), drawing.graph
    counts = dict.fromkeys(range(len(graph)), 0) | {graph.root: 1}
    for i in reversed(range(len(graph))):
        for p in graph.parents[i]:
            counts[p] += counts[i]
    for i in [i for i, g in enumerate(graph.grad) if g is not None and i != graph.root][::5]:
        page.page.locator(f"[data-node='{i}']").focus()
        shown = page.page.locator(".mg-sum")
        assert int(shown.get_attribute("data-paths")) == counts[i]
        assert float(shown.get_attribute("data-sum")) == pytest.approx(graph.grad[i], rel=1e-12, abs=1e-300)


def test_the_paths_their_products_and_the_chain_rule(opened):
    page = opened(diamond().draw())
    page.page.locator("[data-node='0']").hover()
    chosen = card(page, "chosen")
    assert "12 + 12 + 12 = 36" in chosen.inner_text() and "3 paths lead to the output" in chosen.inner_text()
    assert chosen.locator("li").first.inner_text().split("\n") == ["a → c → d", "2 · 6 = 12"]
    assert mathematics(page, "chosen")[0].startswith(
        "∂d/∂a = ∂d/∂c · ∂c/∂a + ∂d/∂c · ∂c/∂a + ∂d/∂b · ∂b/∂a; = 6 · 2 + 6 · 2 + 4 · 3; = 36"
    )
    assert page.page.locator("path.mg-lit").count() >= 5
    chosen.locator("li").last.hover()
    assert page.page.locator("path.mg-lit").count() == 2


def test_why_a_gradient_is_zero_or_not_finite(opened):
    x, w = Value(-2.0, label="x"), Value(3.0, label="w")
    page = opened((relu(w * x) * 5).draw())
    assert "Nothing flows: v2 = relu(−6) has ∂v2/∂v1 = 0." in card(page, "chosen").inner_text()
    page = opened(((Value(0.0, label="x") * w).log() + w).draw())
    assert "The first value that is not finite is v2 = log(0) = −∞." in card(page, "chosen").inner_text()


# -- descend and guess


def test_descend_is_the_optimiser(opened):
    page = opened(neuron().draw())
    page.click("descend")
    page.page.get_by_role("checkbox", name="momentum").check()
    page.page.get_by_role("spinbutton", name="learning rate").fill("0.05")
    page.click("1 step")
    page.click("10 steps")
    w, x, b = (Value(v) for v in (3.0, 0.5, -1.0))
    optimiser, losses = SGD([w, b], lr=0.05, momentum=0.9), []
    for _ in range(11):
        loss = ((w * x + b).tanh() - 1) ** 2 + 0.01 * w**2
        losses.append(loss.data)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    data = numbers(page, "data")
    assert data[0] == pytest.approx(w.data, rel=1e-13) and data[1] == 0.5
    assert (
        f"L went from {losses[0]:.4g} to" in card(page, "descend").inner_text()
        and "in 11 steps" in card(page, "descend").inner_text()
    )
    assert card(page, "descend").get_by_role("img").get_attribute("aria-label").startswith("L over 11 steps")
    page.page.get_by_role("checkbox", name="x moves when descending").check()
    page.click("1 step")
    assert numbers(page, "data")[1] != 0.5
    page.click("back to the start")
    assert numbers(page, "data")[:2] == [3.0, 0.5]


def answered(page, text):
    field = card(page, "guess").get_by_role("textbox")
    field.fill(text)
    field.press("Enter")
    return page.page.locator(".mg-verdict").inner_text()


def ask(page, node, port=None):
    """Put a question of one's choice: the gradient of a value, or its local derivative by one of its operands."""
    put = """(e, [i, k]) => { const g = e.micrograd.guess, node = e.micrograd.graph.nodes[i];
        g.question = k === null ? { node } : { node, port: k, operand: node.operands[k] };
        g.ask(); }"""
    page.page.eval_on_selector("[data-micrograd]", put, [node, port])


def test_guesses_right_and_wrong(opened):
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    d, e = a * b, a + b
    d.label, e.label = "d", "e"
    out = d * e  # db: (a + b) a + a b = -2 - 6
    out.label = "L"
    page = opened(out.draw())
    page.click("guess")
    ask(page, 1)
    assert page.page.locator(".mg-grad", has_text="∂ ?").count() > 0
    for wrong, verdict in {
        "8": "look at the sign",
        "-6": "comes through e alone: b is used 2 times",
        "-2": "comes out where gradients are overwritten instead of added up: use +=",
        "3": "comes out where the upstream factor is forgotten: the chain rule",
        "-3": "value, not the gradient",
        "nonsense": "Type a number",
        "77": "none of the classic mistakes",
        "-7.9": "none of the classic mistakes",  # two digits are not enough
    }.items():
        assert verdict in answered(page, wrong)
    assert "Right: −8." in answered(page, "−8")
    assert page.gradients()[1] == -8.0
    ask(page, 2, 0)  # of d = a b by a
    assert "local derivative of d by a" in card(page, "guess").inner_text()
    assert page.page.locator(".mg-local", has_text="?").count() == 1
    for wrong, verdict in {
        "3": "look at the sign",
        "2": "a classic mistake in a * b: each operand's own data: the two are swapped",
        "1": "a classic mistake in a * b: 1 for both, as in a sum",
    }.items():
        assert verdict in answered(page, wrong)
    assert "Right: −3." in answered(page, "-3")


def test_a_round_of_guesses_has_a_score_and_a_seed(opened):
    drawing = tangled(30, 3).draw(unfold="all")
    asked = []
    html = drawing.explore(mode="guess", seed=7, count=3)
    for _ in range(2):
        page = opened(html)
        questions = []
        for _ in range(3):
            questions.append(card(page, "guess").get_by_role("textbox").get_attribute("aria-label"))
            truth = page.page.eval_on_selector("[data-micrograd]", "e => e.micrograd.guess.truth()")
            assert answered(page, repr(truth)).startswith("Right")
            card(page, "guess").get_by_role("button", name="next").click()
        assert "3 of 3 right at the first try." in card(page, "guess").inner_text()
        asked.append(questions)
    assert asked[0] == asked[1]
    for options, match in (
        ({"mode": "quiz"}, "mode is"),
        ({"seed": 3}, "for guessing"),
        ({"mode": "guess", "count": -1}, "whole numbers"),
    ):
        with pytest.raises(ValueError, match=match):
            drawing.explore(**options)


# -- folds, large graphs


def test_folding_and_unfolding(opened):
    page = opened(network(20, (16, 16), "relu").draw(view="graph"))
    count = page.page.locator(".mg-box").count
    page.click("fold all")
    few = count()
    assert few < 15
    page.page.locator("[data-fold='layer 2']").click()
    assert count() > few + 5
    neuron = page.page.locator("[data-fold='neuron 3']")
    assert neuron.get_attribute("role") == "button" and "folded" in neuron.get_attribute("aria-label")
    neuron.focus()
    page.page.keyboard.press("Enter")
    assert page.page.locator("[data-fold='call 20']").count() == 1
    page.page.keyboard.press("f")
    assert page.page.locator("[data-fold='call 20']").count() == 0
    page.click("unfold")
    assert count() > few


def test_every_state_of_folds_is_laid_out_without_overlap(opened):
    page = opened(network(3, (4, 4)).draw(view="graph"))
    for name in ("fold all", "unfold", "unfold", "unfold"):
        page.click(name)
        boxes = page.page.eval_on_selector_all(
            ".mg-box",
            "bs => bs.map(b => { const r = b.querySelector('.mg-out').getBBox(); return [r.x, r.y, r.width, r.height]; })",
        )
        for k, (x, y, w, h) in enumerate(boxes):
            for u, v, p, q in boxes[:k]:
                assert x + w <= u or u + p <= x or y + h <= v or v + q <= y


def test_ten_thousand_values_open_folded(opened):
    model = MLP(8, [16, 16, 1], activation="tanh", seed=1)
    loss = mse([model([math.sin(k * j) for j in range(8)]) for k in range(120)], [0.0] * 120)
    drawing = loss.draw()
    assert 9_500 < len(drawing.graph) < 11_000
    page = opened(drawing)
    page.page.wait_for_selector(".mg-neuron")
    assert all(same(a, g) for a, g in zip(numbers(page), drawing.graph.grad, strict=True) if g is not None)
    page.click("graph")
    page.page.wait_for_selector(".mg-box")


def test_a_thousand_boxes_are_written_where_one_looks(opened):
    drawing = tangled(900, 3).draw(unfold="all")
    page = opened(drawing)
    count = page.page.locator(".mg-box").count()
    written = page.page.locator(".mg-box > .mg-label")
    assert count > 1000 and 10 < written.count() < 500
    page.page.locator(".mg-box").first.focus()
    page.until("document.activeElement.querySelector('.mg-label') !== null")
    assert page.page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(("a leaf", "b leaf"))
    assert len(drawing.explore().picture) < 400_000  # the picture for where no script runs is folded
    page.page.emulate_media(media="print")
    page.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert written.count() > 0.95 * count


def test_no_edge_carries_its_whole_way(opened):
    page = opened(chain(700).draw(unfold="all"))  # b is used at every step
    text = page.page.evaluate(
        "[...document.querySelectorAll('.mg-view path')].reduce((sum, p) => sum + p.getAttribute('d').length, 0)"
    )
    assert text < 700 * 700  # with each edge's whole way it grows with the square: 12 million


def test_a_graph_too_large_for_a_page_says_so(monkeypatch):
    monkeypatch.setattr("micrograd.draw.explore._MOST", 500)
    html = chain(200).draw().explore().html
    assert "holds at most 500 values, and this graph has 602" in html and "<img" in html and "<script" not in html


# -- the network's picture


def test_the_networks_picture_is_live(opened):
    loss = network()
    page, graph = opened(loss.draw()), loss.draw().graph
    weight = page.page.get_by_role("img", name=re.compile(r"^W₂₁⁽¹⁾"))
    weight.focus()
    text = mathematics(page, "chosen")[0]
    assert text.startswith("∂L/∂W₂₁⁽¹⁾ = δ₁⁽²⁾ · W₁₁⁽²⁾ · g′(z₁⁽¹⁾) · a₂⁽⁰⁾; = ") and "; = δ₁⁽¹⁾ · a₂⁽⁰⁾ = " in text
    grad = graph.grad[loss.draw().explore().network.layers[0][0].weights[1]]
    assert text.endswith(f"{grad:.4g}".replace("-", "−"))
    factors = page.page.eval_on_selector_all(".mg-factor", "all => all.map(e => e.textContent)")  # W_kl, a_j, z_k, δ_l
    found = [factor in text for factor in (f.split(" ")[-1] for f in factors)]
    assert len(factors) == 4 and found.count(True) == 3  # of z_k stands g′(z_k) in the formula
    assert page.page.locator(".mg-neuron.mg-lit").count() == 3
    page.click("guess")
    asked = page.page.eval_on_selector("[data-micrograd]", "e => e.micrograd.guess.truth()")
    assert answered(page, repr(asked)).startswith("Right")
    page.click("graph")
    assert page.page.locator(".mg-box").count() > 10
    assert opened(loss.draw(view="graph")).page.locator(".mg-box").count() > 10


def test_the_sample_that_the_networks_picture_shows(opened):
    loss = network(3, (4, 3), lambda z: z * micrograd.sigmoid(z))  # an activation of several values
    drawing = loss.draw(view="network", call=2)
    page, graph, g = opened(drawing), drawing.graph, adjoints(loss)
    layers = drawing.explore().network.layers
    menu = page.page.get_by_label("sample")
    assert menu.input_value() == "2" and "of 3" in page.page.locator("[data-sample]").inner_text()
    total = 0.0
    for call in (1, 2, 3):
        menu.select_option(str(call))
        page.page.get_by_role("img", name=re.compile(r"^W₂₁⁽¹⁾")).focus()
        text, terms = mathematics(page, "chosen")[:2]
        assert text.startswith(f"sample {call} = (Σ_l δ_l⁽²⁾ · W_1l⁽²⁾) · g′(z₁⁽¹⁾) · a₂⁽⁰⁾; = ") and terms.count(" + ") == 2
        z = layers[0][0].z[call - 1]
        share = g[graph.values[z]] * graph.data[graph.parents[z][3]]
        total += share
        assert text.endswith(f"= {share:.4g}".replace("-", "−"))
        product = [float(x.strip(" ()").replace("−", "-")) for x in text.split("; = ")[1].split(" · ")]
        assert math.prod(product) == pytest.approx(share, rel=2e-3)
    weight = graph.values[layers[0][0].weights[1]]
    assert g[weight] == pytest.approx(total) and f"= {g[weight]:.4g}".replace("-", "−") in mathematics(page, "chosen")[2]


def test_no_label_of_a_networks_picture_lies_on_another_and_it_fits_a_cell(browser, tmp_path):
    for seed, (sizes, width) in enumerate((((3, 1), 840), ((3, 2), 840), ((2, 2), 840), ((3, 1), 1100), ((3, 3), 375))):
        model = MLP(2, sizes, activation="tanh", seed=seed)
        file = tmp_path / f"{seed}.html"
        mse([model([0.5, -1.0])], [[1.0] * sizes[-1]] if sizes[-1] > 1 else [1.0]).draw().explore().showing(
            view="network"
        ).save(file)
        page = browser.new_page(viewport={"width": width, "height": 700})
        page.goto(f"file://{file}")
        read = """ts => ts.map(t => { const { x, y, width, height } = t.getBBox();
            return [x, y + 1, x + width, y + height - 1, t.textContent]; })"""
        labels = page.eval_on_selector_all(".mg-halo, .mg-neuron text", read)
        assert len(labels) > 20
        for (a, b, c, d, one), (e, f, g, h, other) in itertools.combinations(labels, 2):
            assert c <= e or g <= a or d <= f or h <= b, (one, other)
        if width > 800 and len(sizes) == 2:
            assert page.locator(".mg-view").evaluate("v => v.scrollWidth - v.clientWidth") <= 0
        page.close()


@pytest.mark.parametrize("name", ["neuron", "network", "training"])
def test_the_pages_of_the_documentation_open_without_a_complaint(browser, name):
    page = Opened(browser, Path(__file__).parents[2] / "docs" / f"{name}.html")
    assert page.page.eval_on_selector("[data-micrograd]", "e => e.micrograd.graph.nodes.length") > 10
    assert page.complaints == [] and len(page.requests) == 1 + sum(url.startswith("data:") for url in page.requests)
    page.context.close()


@pytest.mark.parametrize("width", [850, 1280])
def test_the_page_of_a_neuron_shows_all_of_it_and_its_cards_side_by_side(browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((Path(__file__).parents[2] / "docs" / "neuron.html").as_uri())
    view, chosen, step = (page.locator(s) for s in (".mg-view", "[data-card=chosen]", "[data-card=step]"))
    assert view.evaluate("e => e.scrollWidth <= e.clientWidth")
    below, above = step.bounding_box(), chosen.bounding_box()
    assert below["x"] == above["x"] and below["y"] >= above["y"] + above["height"]  # and not under the values, alone in a row
    page.close()


# -- mouse, keyboard, fingers, readers of screens


def test_labels_that_attack_stay_text(opened):
    page = opened(hostile().draw())
    for box in page.page.locator(".mg-box").all():
        box.focus()
    texts = page.page.eval_on_selector_all(".mg-label", "ts => ts.map(t => t.textContent)")
    assert "<script>alert('x')</script>" in texts and "`tick` ${js} </style>" in texts and "😀 日本語" in texts
    assert page.page.locator("script").count() == 2 and page.page.locator(".mg-explore b:has(> b)").count() == 0


def test_keyboard_and_screen_reader(opened):
    page = opened(example().draw())
    assert page.labels()[0].startswith("a leaf, value 2, gradient")
    assert any("computed from" in label for label in page.labels())
    names = []
    for _ in range(8):
        page.page.keyboard.press("Tab")
        names.append(page.page.evaluate("(e => e.getAttribute('aria-label') || e.textContent)(document.activeElement)"))
    assert names[:8] == ["To the start", "One step back", "One step on", "To the end", "play", "Step", "descend", "guess"]
    page.page.locator("[data-node='4']").focus()
    page.page.keyboard.press("ArrowUp")
    assert page.page.locator(".mg-box[tabindex='0']").count() == 1
    assert page.page.evaluate("document.activeElement.dataset.node") != "4"
    tree = page.page.locator("[data-micrograd]").aria_snapshot()
    for part in (
        'toolbar "Steps forward and backward"',
        'slider "Step"',
        'region "Values to change"',
        'spinbutton "a"',
        "math",
    ):
        assert part in tree


def unnamed(page):
    """The controls and pictures of a page that a screen reader has no name for."""
    tree = page.page.locator("[data-micrograd]").aria_snapshot()
    kinds = "button|slider|textbox|spinbutton|checkbox|combobox|img|region"
    assert len(re.findall(f"^ *- '?({kinds}) ", tree, re.M)) > 10
    return re.findall(rf"^ *- '?({kinds})(?! \")\b.*$", tree, re.M)


def test_every_control_has_a_name_in_every_state(opened):
    page = opened(neuron().draw())
    assert unnamed(page) == []
    page.page.evaluate("document.querySelector('[data-step][type=range]').removeAttribute('aria-label')")
    assert unnamed(page) == ["slider"]
    page = opened(neuron().draw())
    page.click("constants too")
    page.click("descend")
    page.click("1 step")
    assert unnamed(page) == []
    tree = page.page.locator("[data-micrograd]").aria_snapshot()
    for part in (
        'checkbox "w moves when descending" [checked]',
        'spinbutton "learning rate"',
        'button "descend" [pressed]',
        'img "L over 1 steps',
    ):
        assert part in tree
    page.click("descend")
    page.click("guess")
    assert unnamed(page) == []
    assert re.search(r'textbox "∂\w+/∂\w+"', page.page.locator("[data-card=guess]").aria_snapshot())
    answered(page, "77")
    assert "status: Not yet." in page.page.locator("[data-card=guess]").aria_snapshot()
    page = opened(network(3).draw())
    assert unnamed(page) == []
    tree = page.page.locator("[data-micrograd]").aria_snapshot()
    assert 'combobox "sample' in tree and re.search('img "a₁⁽¹⁾ = .*, z = .*, δ = .*"', tree) and 'img "W₁₁⁽¹⁾ = ' in tree
    page.click("graph")
    page.click("fold all")
    assert unnamed(page) == [] and "folded" in page.page.locator(".mg-view").aria_snapshot()


class Fingers:
    """Fingers on the screen, as the browser itself gets them from its driver."""

    def __init__(self, page):
        self.page, self.driver = page, page.context.new_cdp_session(page)

    def move(self, *ways):
        """Each finger goes its way, from one point to another; they come down, move and leave together."""
        for kind, shares in (("touchStart", (0.0,)), ("touchMove", (0.25, 0.5, 0.75, 1.0))):
            for share in shares:
                points = [
                    {"x": x + share * (u - x), "y": y + share * (v - y), "id": k} for k, ((x, y), (u, v)) in enumerate(ways)
                ]
                self.driver.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        self.driver.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_fingers_tap_swipe_and_pinch(opened):
    page = opened(diamond().draw(), has_touch=True, is_mobile=True, viewport={"width": 375, "height": 812})
    fingers, at = Fingers(page.page), page.page.locator("[data-at]")
    page.page.locator("[data-node='3']").tap()
    assert card(page, "chosen").get_by_role("heading").inner_text() == "c"
    page.page.get_by_role("button", name="One step back").tap()
    assert at.text_content() == "backward 2 of 3"
    page.page.locator("[data-card=step]").scroll_into_view_if_needed()
    box = card(page, "step").bounding_box()
    x, y = box["x"], box["y"] + box["height"] / 2
    fingers.move(((x + 40, y), (x + 240, y + 8)))  # to the right: a step back
    assert at.text_content() == "backward 1 of 3"
    fingers.move(((x + 240, y), (x + 60, y)))
    fingers.move(((x + 240, y), (x + 60, y)))
    assert at.text_content() == "all done"
    fingers.move(((x + 200, y), (x + 190, y + 90)))  # that scrolls
    assert at.text_content() == "all done"
    page.page.evaluate("scrollTo(0, 0)")
    width = "parseFloat(document.querySelector('.mg-view svg').getAttribute('width'))"
    before, view = page.page.evaluate(width), page.page.locator(".mg-view").bounding_box()
    x, y = view["x"] + view["width"] / 2, view["y"] + view["height"] / 2
    fingers.move(((x - 40, y), (x - 80, y)), ((x + 40, y), (x + 80, y)))
    assert page.page.evaluate(width) == pytest.approx(2 * before, rel=0.1)
    assert page.page.evaluate("visualViewport.scale") == 1  # the picture has grown, and not the page
    left = page.page.locator(".mg-view").evaluate("v => v.scrollLeft = 20")
    fingers.move(((x + 60, y), (x - 60, y)))
    page.until(f"document.querySelector('.mg-view').scrollLeft > {left} + 20")
    assert at.text_content() == "all done"  # where the picture scrolls, a finger moves it
    fingers.move(((x - 80, y), (x - 40, y)), ((x + 80, y), (x + 40, y)))
    assert page.page.evaluate(width) == pytest.approx(before, rel=0.1)


def test_fingers_unfold_move_sliders_descend_and_guess(opened):
    page = opened(
        network(3).draw(view="graph", limit=12), has_touch=True, is_mobile=True, viewport={"width": 375, "height": 812}
    )
    count = page.page.locator(".mg-box").count()
    page.page.locator("[data-fold]").first.tap()
    assert page.page.locator(".mg-box").count() > count
    slider = page.page.locator(".mg-slide").first
    slider.scroll_into_view_if_needed()
    before, box = numbers(page, "data"), slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    Fingers(page.page).move(((box["x"] + box["width"] / 2, middle), (box["x"] + box["width"] - 4, middle)))
    page.until("!document.querySelector('[data-micrograd]').micrograd.dirty")
    assert numbers(page, "data") != before
    page.page.get_by_role("button", name="descend").tap()
    page.page.get_by_role("button", name="10 steps").tap()
    assert "in 10 steps" in card(page, "descend").inner_text()
    page.page.get_by_role("button", name="guess").tap()
    card(page, "guess").get_by_role("button", name="show").tap()
    assert "It is" in page.page.locator(".mg-verdict").inner_text()


def test_scrolling_stays_with_the_page_and_dragging_moves_the_picture(opened):
    page = opened(network(3).draw(view="graph"))
    view = page.page.locator(".mg-view")
    svg = view.locator("svg")
    width = float(svg.get_attribute("width"))
    view.hover()
    page.page.mouse.wheel(0, -200)
    page.page.wait_for_timeout(50)
    assert float(svg.get_attribute("width")) == width
    page.page.keyboard.down("Control")
    page.page.mouse.wheel(0, -200)
    page.page.keyboard.up("Control")
    page.until(f"document.querySelector('.mg-view svg').getAttribute('width') > {width}")
    box = view.bounding_box()
    page.page.mouse.move(box["x"] + 300, box["y"] + 100)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 200, box["y"] + 100, steps=4)
    page.page.mouse.up()
    assert view.evaluate("v => v.scrollLeft") > 50
    page.click("Show everything")
    assert view.evaluate("v => v.scrollWidth <= v.clientWidth + 1")


def test_starts_at_one_to_one_with_text_of_nine_pixels(opened):
    page = opened(network(2).draw(), viewport={"width": 850, "height": 700})
    svg = page.page.locator(".mg-view svg")
    assert float(svg.get_attribute("width")) == pytest.approx(float(svg.get_attribute("viewBox").split()[2]))
    sizes = page.page.eval_on_selector_all(
        ".mg-view text, .mg-view tspan", "ts => ts.map(t => parseFloat(getComputedStyle(t).fontSize))"
    )
    assert min(sizes) >= 9


def test_light_and_dark_as_the_host_has_it(opened):
    def background(page):
        red = page.page.eval_on_selector(".mg-view", "e => getComputedStyle(e).backgroundColor")
        return int(re.search(r"\d+", red)[0])

    light, dark = opened(example().draw(), color_scheme="light"), opened(example().draw(), color_scheme="dark")
    assert background(light) > 200 and background(dark) < 60
    light.page.evaluate("document.body.style.background = '#111'")
    light.page.wait_for_selector(".mg-dark")
    light.page.evaluate("document.body.style.background = '#fff'")
    light.page.wait_for_selector(".mg-explore:not(.mg-dark)")


def test_without_scripts_the_picture_shows(opened):
    page = opened(network().draw(), java_script_enabled=False)
    image = page.page.get_by_role("img", name=re.compile("^Graph of L = "))
    assert image.is_visible() and image.bounding_box()["width"] > 500
    assert page.page.locator(".mg-bar").count() == 0


def test_the_same_page_twice_in_one_document(browser, tmp_path):
    fragment = example().draw().explore().html
    file = tmp_path / "twice.html"
    file.write_text(f"<!DOCTYPE html><meta charset=utf-8>{fragment}<p>and again</p>{fragment}", encoding="utf-8")
    page = browser.new_page()
    page.goto(f"file://{file}")
    assert page.locator(".mg-view svg").count() == 2
    page.locator("[aria-label='One step back'] >> nth=1").click()
    assert page.locator("[data-at]").all_inner_texts() == ["all done", "backward 2 of 3"]
    page.close()
