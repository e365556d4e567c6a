"""The page in which one steps through backward, in a real browser."""

import json
import math
import re
from pathlib import Path

import pytest
from graphs_to_draw import chain, example, hostile, network, tangled

import micrograd.draw
from micrograd import MLP, Value, mse
from micrograd.draw.graph import Graph


def diamond():
    a = Value(2.0, label="a")
    b, c = a * 3.0, a * a
    b.label, c.label = "b", "c"
    d = b * c
    d.label = "d"
    return d


def same(x, y):
    return x == y or (x != x and y != y)


def test_script_and_style_are_small():
    folder = Path(micrograd.draw.__file__).parent
    assert sum((folder / name).stat().st_size for name in ("explore.js", "explore.css")) < 25_000


def test_the_fragment_holds_everything_and_loads_nothing():
    html = network().draw().explore().html
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)|@import|url\(|fetch\(|XMLHttpRequest|import\(""", html)
    assert html.startswith("<div") and html.count("<script") == 2 and html.count("<img") == 1
    assert "<img" in network().draw().explore()._repr_mimebundle_()["text/html"]


def test_no_label_can_end_the_data():
    html = hostile().draw().explore().html
    assert html.count("</script>") == 2 and html.count("</style>") == 1
    data = re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)[1]
    assert "<script>alert('x')</script>" in json.loads(data)["texts"]


@pytest.mark.parametrize(
    "make",
    [example, diamond, network, lambda: network(4, (4, 3), "relu"), lambda: tangled(60, 5), lambda: tangled(200, 6),
     lambda: Value(0.0, label="x").log() * 2.0],
    ids=["example", "diamond", "network", "samples", "random 60", "random 200", "infinite"],
)  # fmt: skip
def test_stepping_to_the_end_gives_the_engines_gradients(opened, make):
    drawing = make().draw(limit=None)
    page, graph = opened(drawing), drawing.graph
    page.click("To the end")
    found = page.gradients()
    assert set(found) == {i for i, g in enumerate(graph.grad) if g is not None}
    assert all(same(found[i], graph.grad[i]) for i in found)
    final = page.page.locator(".mg-final").count()
    assert final == len(found)


def test_each_step_hands_one_gradient_on(opened):
    drawing = tangled(30, 2).draw(limit=None)
    page, graph = opened(drawing), drawing.graph
    grad = {i: 0.0 for i, g in enumerate(graph.grad) if g is not None} | {graph.root: 1.0}
    arrived = dict.fromkeys(grad, 0)
    total = {i: sum(p == i for parents in graph.parents for p in parents) for i in grad}
    assert page.gradients() == grad
    steps = [i for i in reversed(range(len(graph))) if graph.parents[i]]
    for step, i in enumerate(steps, start=1):
        page.page.keyboard.press("ArrowRight") if step > 1 else page.click("One step on")
        for p, local in zip(graph.parents[i], graph.partials[i], strict=True):
            if p in grad:
                grad[p] += grad[i] * local
                arrived[p] += 1
        assert page.gradients() == grad
        if step % 7 == 1:
            notes = page.page.eval_on_selector_all(
                "[data-grad]", "bs => bs.map(b => [+b.dataset.node, b.querySelector('.mg-grad').textContent])"
            )
            for k, note in notes:
                if arrived[k] == total[k]:
                    assert note.endswith("✓")
                else:
                    assert note.endswith(f"{arrived[k]} of {total[k]}" + (")" if arrived[k] else ""))
    assert page.page.locator("output").text_content() == f"step {len(steps)} of {len(steps)}"


def test_forwards_and_backwards_by_every_control(opened):
    page = opened(diamond().draw())
    shown = page.page.locator("output")
    page.click("One step on")
    assert shown.text_content() == "step 1 of 3" and page.gradients() == {0: 0.0, 2: 4.0, 3: 6.0, 4: 1.0}
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("ArrowRight")
    assert page.gradients()[0] == 6.0 * 2 + 6.0 * 2 + 4.0 * 3
    page.page.keyboard.press("ArrowLeft")
    assert shown.text_content() == "step 2 of 3" and page.gradients()[0] == 24.0
    page.page.keyboard.press("Home")
    assert shown.text_content() == "step 0 of 3" and page.gradients()[0] == 0.0
    page.page.keyboard.press("End")
    assert page.gradients()[0] == 36.0
    page.click("One step back")
    assert shown.text_content() == "step 2 of 3"
    slider = page.page.get_by_role("slider", name="Step of the backward pass")
    slider.fill("1")
    assert shown.text_content() == "step 1 of 3" and slider.get_attribute("aria-valuetext") == "step 1: d"
    page.click("play")
    page.page.wait_for_function("document.querySelector('output').value === 'step 3 of 3'", timeout=5000)
    page.page.get_by_role("button", name="play", exact=True).wait_for()


def test_the_arithmetic_of_a_step(opened):
    page = opened(diamond().draw())
    page.click("One step on")
    page.click("One step on")
    told = page.page.get_by_role("region", name="This step")
    assert told.get_attribute("aria-live") == "polite"
    assert "Step 2: c (×) hands on g[c] = 6" in told.inner_text()
    lines = told.locator("li").all_inner_texts()
    assert len(lines) == 2 and lines[0].startswith("g[a] += g[c] · local = 6 · 2 = 12; now g[a] = 24")
    assert "2 arrived, 1 pending" in lines[0]


def test_a_gradient_as_a_sum_over_paths(opened):
    drawing = tangled(60, 4).draw(limit=None)
    page, graph = opened(drawing), drawing.graph
    counts = dict.fromkeys(range(len(graph)), 0) | {graph.root: 1}
    for i in reversed(range(len(graph))):
        for p in graph.parents[i]:
            counts[p] += counts[i]
    page.page.locator("[data-node='0']").focus()
    for i in [i for i, g in enumerate(graph.grad) if g is not None][::5]:
        page.page.locator(f"[data-node='{i}']").focus()
        shown = page.page.locator(".mg-sum")
        assert int(shown.get_attribute("data-paths")) == counts[i]
        assert float(shown.get_attribute("data-sum")) == pytest.approx(graph.grad[i], rel=1e-12, abs=1e-300)


def test_the_three_largest_products(opened):
    page = opened(diamond().draw())
    page.page.locator("[data-node='0']").hover()
    info = page.page.get_by_role("region", name="The chosen value")
    assert "∂d/∂a = 12 + 12 + 12 = 36" in info.inner_text() and "3 paths lead to the output:" in info.inner_text()
    assert info.locator("li").all_inner_texts() == ["a → c → d: 2 · 6 = 12", "a → c → d: 2 · 6 = 12", "a → b → d: 3 · 4 = 12"]
    x = Value(1.5, label="x")
    out = x
    for _ in range(200):
        out = out + out * 0.001
    many = opened(out.draw())
    many.page.locator("[data-node='0']").focus()
    assert f"{2**200:,} paths lead to the output; the three largest products:" in many.page.locator(".mg-panels").inner_text()
    assert float(many.page.locator(".mg-sum").get_attribute("data-sum")) == pytest.approx(1.001**200, rel=1e-12)


def test_folding_and_unfolding(opened):
    drawing = network(20, (16, 16), "relu").draw()
    page = opened(drawing)
    assert page.page.locator(".mg-box").count() == len(drawing.picture.boxes)
    page.click("fold all")
    few = page.page.locator(".mg-box").count()
    assert few < 15
    page.page.locator("[data-fold='layer 2']").click()
    assert page.page.locator(".mg-box").count() == few + 15
    neuron = page.page.locator("[data-fold='neuron 3']")
    assert neuron.get_attribute("role") == "button" and "folded" in neuron.get_attribute("aria-label")
    neuron.focus()
    page.page.keyboard.press("Enter")
    assert page.page.locator("[data-fold='call 20']").count() == 1
    page.page.keyboard.press("f")
    assert page.page.locator("[data-fold='call 20']").count() == 0
    page.page.locator("[data-fold='neuron 3']").hover()
    page.click("fold layer 2")
    assert page.page.locator(".mg-box").count() == few
    page.click("unfold")
    assert page.page.locator(".mg-box").count() > few
    page.click("To the end")
    assert page.page.locator(".mg-fold:not(.mg-final)").count() == page.page.locator(".mg-fold:has-text('constants')").count()


def test_every_state_of_folds_is_laid_out_without_overlap(opened):
    page = opened(network(3, (4, 4)).draw())
    for name in ("fold all", "unfold", "unfold", "unfold"):
        page.click(name)
        boxes = page.page.eval_on_selector_all(
            ".mg-box",
            "bs => bs.map(b => { const r = b.querySelector('.mg-out').getBBox(); return [r.x, r.y, r.width, r.height]; })",
        )
        for k, (x, y, w, h) in enumerate(boxes):
            for u, v, p, q in boxes[:k]:
                assert x + w <= u or u + p <= x or y + h <= v or v + q <= y


def test_edges_of_nan_and_inf_stand_out(opened):
    x, w = Value(0.0, label="x"), Value(3.0, label="w")
    page = opened(((x * w).log() + (x + w) * 2).draw())
    read = "edges => edges.map(e => [getComputedStyle(e).stroke, e.getAttribute('stroke-width')])"
    assert page.page.eval_on_selector_all(".mg-nan", read) == [["rgb(219, 39, 119)", "3.5"]] * 3


def test_labels_that_attack_stay_text(opened):
    page = opened(hostile().draw())
    page.click("To the end")
    page.click("Show everything")
    for box in page.page.locator(".mg-box").all():
        box.hover()
    texts = page.page.eval_on_selector_all(".mg-label", "ts => ts.map(t => t.textContent)")
    assert "<script>alert('x')</script>" in texts and "`tick` ${js} </style>" in texts and "😀 日本語" in texts
    assert page.page.locator("script").count() == 2 and page.page.locator(".mg-explore b:has(> b)").count() == 0


def test_keyboard_and_screen_reader(opened):
    page = opened(example().draw())
    assert page.labels()[0].startswith("a leaf, value 2, gradient 0")
    page.page.keyboard.press("Tab")
    names = []
    for _ in range(15):
        names.append(page.page.evaluate("(e => e.getAttribute('aria-label') || e.textContent)(document.activeElement)"))
        page.page.keyboard.press("Tab")
    order = [
        "To the start",
        "One step back",
        "One step on",
        "To the end",
        "play",
        "Step of the backward pass",
        "Zoom in",
        "Zoom out",
        "Show everything",
    ]
    assert names[: len(order)] == order
    assert names[len(order)].startswith("c +, value −2, gradient 1") and names[len(order) + 1] == "This step"
    page.page.locator("[data-node='5']").focus()
    page.page.keyboard.press("ArrowUp")
    assert page.page.evaluate("document.activeElement.dataset.node") == "4"
    assert page.page.locator(".mg-box[tabindex='0']").count() == 1
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Shift+Tab")
    assert page.page.evaluate("document.activeElement.dataset.node") == "4"


def test_scrolling_stays_with_the_page(opened):
    page = opened(network(3).draw())
    view = page.page.locator(".mg-view svg")
    before = view.get_attribute("viewBox")
    page.page.evaluate("document.body.style.height = '3000px'")
    view.hover()
    page.page.mouse.wheel(0, 200)
    page.page.wait_for_function("scrollY > 0")
    assert view.get_attribute("viewBox") == before
    page.page.evaluate("scrollTo(0, 0)")
    page.page.keyboard.down("Control")
    page.page.mouse.wheel(0, -200)
    page.page.keyboard.up("Control")
    page.page.wait_for_function("b => document.querySelector('.mg-view svg').getAttribute('viewBox') !== b", arg=before)
    assert page.page.evaluate("scrollY") == 0
    zoomed = view.get_attribute("viewBox")
    box = view.bounding_box()
    page.page.mouse.move(box["x"] + 300, box["y"] + 100)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 350, box["y"] + 120, steps=3)
    page.page.mouse.up()
    moved = view.get_attribute("viewBox")
    assert moved.split()[2:] == zoomed.split()[2:] and moved.split()[:2] != zoomed.split()[:2]
    page.click("Show everything")
    x, y, w, h = map(float, view.get_attribute("viewBox").split())
    seen = page.page.eval_on_selector_all(
        ".mg-box", "bs => bs.map(b => { const r = b.getBBox(); return [r.x, r.y, r.x + r.width, r.y + r.height]; })"
    )
    assert all(x <= a and y <= b and c <= x + w and d <= y + h for a, b, c, d in seen)


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
    page.locator("[aria-label='One step on'] >> nth=1").click()
    assert page.locator("output").all_inner_texts() == ["step 0 of 3", "step 1 of 3"]
    page.close()


def test_ten_thousand_values_open_folded(opened):
    model = MLP(8, [16, 16, 1], activation="tanh", seed=1)
    loss = mse([model([math.sin(k * j) for j in range(8)]) for k in range(120)], [0.0] * 120)
    drawing = loss.draw()
    assert 9_500 < len(drawing.graph) < 11_000
    page = opened(drawing)
    page.page.wait_for_selector(".mg-box")
    page.click("To the end")
    total = Graph(loss).grad
    page.page.locator("[data-grad] >> nth=0").wait_for()
    assert all(same(g, total[i]) for i, g in page.gradients().items())


def test_a_thousand_values_are_usable(opened):
    drawing = chain(330).draw(limit=None)
    assert len(drawing.graph) == 992
    page = opened(drawing)
    assert page.page.locator(".mg-box").count() == 992
    for _ in range(5):
        page.click("One step on")


def test_a_graph_too_large_for_a_page_says_so():
    html = chain(20_000).draw().explore().html
    assert "holds at most 50,000 values, and this graph has 60,002" in html and "<img" in html and "<script" not in html
