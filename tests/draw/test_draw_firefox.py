"""The living page in Firefox, moved by mouse, keyboard and fingers: through WebDriver BiDi, which it speaks by itself."""

import asyncio
import json
import re
import shutil
import subprocess
import threading
import time

import pytest
from tornado.websocket import websocket_connect

from micrograd import MLP, Value, adjoints, mse, record
from micrograd.command.main import main

pytestmark = pytest.mark.slow

KEYS = {"Right": "\ue014", "Left": "\ue012", "Home": "\ue011", "End": "\ue010", "Enter": "\ue007", "Tab": "\ue004"}
PAGE = "document.querySelector('[data-micrograd]').micrograd"
GRAPH = f"{PAGE}.graph"


class Firefox:
    """A headless Firefox with one page; `calls` of the protocol and what one does with mouse, keys and fingers."""

    def __init__(self, path, profile):
        options = ["--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port=0"]
        with (profile / "told.txt").open("wb") as told:
            self.process = subprocess.Popen([path, *options], stdout=told, stderr=subprocess.STDOUT)
        self.loop, self.count, self.events = asyncio.new_event_loop(), 0, []
        # in a thread of its own: where Playwright has been at work, this one has its loop, and no thread can run two
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        while not (found := re.search(r"WebDriver BiDi listening on (ws://\S+)", (profile / "told.txt").read_text())):
            if self.process.poll() is not None:
                pytest.skip("this Firefox did not start, or speaks no WebDriver BiDi")
            time.sleep(0.1)
        self.socket = self.wait_for(self.dialled(f"{found[1]}/session"))
        self.call("session.new", capabilities={})
        self.call("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        self.context = self.call("browsingContext.getTree")["contexts"][0]["context"]
        self.on_page("browsingContext.setViewport", viewport={"width": 1100, "height": 900})

    def wait_for(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    async def dialled(self, url):
        return await websocket_connect(url, max_message_size=2**28)

    def call(self, method, **params):
        async def answer():
            self.count += 1
            await self.socket.write_message(json.dumps({"id": self.count, "method": method, "params": params}))
            while (told := json.loads(await self.socket.read_message())).get("id") != self.count:
                self.events.append(told)
            return told

        told = self.wait_for(asyncio.wait_for(answer(), 60))
        assert told["type"] == "success", told
        return told["result"]

    def close(self):
        self.loop.call_soon_threadsafe(self.socket.close)
        self.wait_for(asyncio.sleep(0.1))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.process.terminate()
        self.process.wait()

    def on_page(self, method, **params):
        return self.call(method, context=self.context, **params)

    def open(self, file):
        self.events.clear()
        self.on_page("browsingContext.navigate", url=file.as_uri(), wait="complete")

    def evaluate(self, expression):
        target = {"context": self.context}
        found = self.call("script.evaluate", expression=f"JSON.stringify({expression})", target=target, awaitPromise=True)
        assert found["type"] == "success", found["exceptionDetails"]["text"]
        return json.loads(found["result"].get("value", "null"))

    def until(self, expression):
        for _ in range(200):
            if self.evaluate(expression):
                return
            self.evaluate("new Promise(done => setTimeout(done, 20))")
        raise AssertionError(expression)

    def text(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")

    def at(self, selector, share=0.5):
        """The middle of an element on the screen, or the place at this share of its width."""
        found = json.dumps(selector)
        self.evaluate(f"document.querySelector({found}).scrollIntoView({{ block: 'center', behavior: 'instant' }}) ?? 0")
        x, y, w, h = self.evaluate(
            f"(r => [r.x, r.y, r.width, r.height])(document.querySelector({found}).getBoundingClientRect())"
        )
        return {"x": round(x + w * share), "y": round(y + h / 2)}

    def pointer(self, *actions, kind="mouse"):
        source = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": list(actions)}
        self.on_page("input.performActions", actions=[source])

    def click(self, selector, kind="mouse"):
        place = self.at(selector)
        down, up = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
        self.pointer({"type": "pointerMove", **place}, down, up, kind=kind)

    def drag(self, selector, start, end):
        down, up = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
        move = [{"type": "pointerMove", **self.at(selector, share)} for share in (start, (start + end) / 2, end)]
        self.pointer(move[0], down, *move[1:], up)

    def hover(self, selector):
        self.pointer({"type": "pointerMove", **self.at(selector)})

    def type(self, *keys):
        each = [key for text in keys for key in ([KEYS[text]] if text in KEYS else text)]
        actions = [{"type": kind, "value": key} for key in each for kind in ("keyDown", "keyUp")]
        self.on_page("input.performActions", actions=[{"type": "key", "id": "keys", "actions": actions}])

    def fill(self, selector, text):
        self.click(selector)
        self.evaluate(f"document.querySelector({json.dumps(selector)}).select() ?? 0")
        self.type(text, "Enter")


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    path = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
    if path is None:
        pytest.skip("no Firefox was found: install it (apt install firefox-esr)")
    firefox = Firefox(path, tmp_path_factory.mktemp("profile"))
    yield firefox
    firefox.close()


@pytest.fixture
def firefox(started):
    """Firefox; at the end nothing may have been fetched, and nothing complained of."""
    yield started
    started.evaluate("0")  # what was told until now
    urls = [e["params"]["request"]["url"] for e in started.events if e["method"] == "network.beforeRequestSent"]
    assert [url for url in urls if not url.startswith(("file:", "data:"))] == []
    assert [e["params"]["text"] for e in started.events if e["method"] == "log.entryAdded"] == []


def neuron():
    w, x, b = (Value(v, label=name) for v, name in ((3.0, "w"), (0.5, "x"), (-1.0, "b")))
    loss = ((w * x + b).tanh() - 1) ** 2
    loss.label = "L"
    return loss


def test_sliders_steps_and_hover(firefox, tmp_path):
    loss = neuron()
    loss.draw().save(tmp_path / "neuron.html")
    firefox.open(tmp_path / "neuron.html")
    g = adjoints(loss)
    found = firefox.evaluate(f"{GRAPH}.nodes.map(n => [n.name, n.data, n.full])")
    leaves = {v.label: v for v in g if v.label in "wxb"}
    assert all((x, d) == (leaves[name].data, g[leaves[name]]) for name, x, d in found if name in leaves)

    firefox.drag("[aria-label='w, slider']", 0.75, 0.25)
    firefox.until(f"{GRAPH}.nodes[0].data < 0 && !{PAGE}.dirty")
    moved = neuron()
    w, x, b = (v for v in adjoints(moved) if v.label and v.label in "wxb")
    firefox.fill("[aria-label='w']", "-2")
    firefox.until(f"{GRAPH}.nodes[0].data === -2")
    by_name = {v.label: v for v in (w, x, b)}
    by_name["w"].data = -2.0
    expected = adjoints(moved.recompute())
    firefox.until(f"Math.abs({GRAPH}.nodes[0].full - {expected[by_name['w']]}) < 1e-14")
    firefox.evaluate("document.querySelector('[aria-label=\"x, slider\"]').focus() ?? 0")
    firefox.type("Right")
    firefox.until(f"{GRAPH}.nodes[1].data > 0.5")
    firefox.click("[data-act=reset]")
    firefox.until(f"{GRAPH}.nodes[0].data === 3 && {GRAPH}.nodes[1].data === 0.5")

    firefox.click("[data-act=first]")
    assert firefox.text("[data-at]") == "forward 0 of 5"
    firefox.type("Right", "Right")
    assert firefox.text("[data-at]") == "forward 2 of 5" and "Forward, step 2 of 5" in firefox.text("[data-card=step]")
    firefox.click("[data-act=on]", kind="touch")
    assert firefox.text("[data-at]") == "forward 3 of 5"
    firefox.type("End")
    assert firefox.text("[data-at]") == "all done"

    firefox.click("[data-node='3']", kind="touch")
    firefox.until("document.querySelector('[data-card=chosen] h3').textContent.startsWith('b')")
    firefox.hover("[data-node='1']")
    assert firefox.text("[data-card=chosen] h3").startswith("x")
    shown = firefox.evaluate("[...document.querySelectorAll('[data-card=chosen] math')].map(m => m.getAttribute('alttext'))")
    assert shown[0].startswith("∂L/∂x = ∂L/∂v1 · ∂v1/∂x; = ")
    assert firefox.evaluate("document.querySelector('[data-card=chosen] math').getBoundingClientRect().height") > 40  # drawn
    assert firefox.evaluate("document.querySelectorAll('path.mg-lit').length") >= 4


def test_descend_and_guess(firefox, tmp_path):
    neuron().draw().save(tmp_path / "neuron.html")
    firefox.open(tmp_path / "neuron.html")
    firefox.click("[data-act=descend]")
    firefox.evaluate("[...document.querySelectorAll('button')].find(b => b.textContent === '10 steps').id = 'ten'")
    firefox.click("#ten")
    assert "in 10 steps" in firefox.text("[data-card=descend]")
    assert firefox.evaluate("document.querySelector('.mg-line').getBBox().height") > 30
    firefox.click("[data-act=descend]")
    firefox.click("[data-act=guess]")
    truth = firefox.evaluate(f"{PAGE}.guess.truth()")
    firefox.fill("[data-card=guess] input", repr(-truth))
    assert "look at the sign" in firefox.text("[role=status]")
    firefox.fill("[data-card=guess] input", repr(truth))
    assert firefox.text("[role=status]").startswith("Right: ")


def test_the_line_of_play(firefox, tmp_path):
    assert main(["play", "-o", str(tmp_path / "play.html")]) == 0
    firefox.open(tmp_path / "play.html")
    firefox.fill("[name=expression]", "d = p*q; d*d + 2")
    firefox.until(f"{GRAPH}.nodes.at(-1).data === 3")
    firefox.fill("[name=expression]", "<img src=x>")
    assert "cannot read the expression" in firefox.text(".mg-field output")


def test_a_training_run_and_the_networks_picture(firefox, tmp_path):
    model = MLP(2, [3, 1], activation="tanh", seed=1)
    with record(model, lambda: mse([model([0.5, -1.0])], [1.0])) as run:
        for _ in range(20):
            loss = mse([model([0.5, -1.0])], [1.0])
            model.zero_grad()
            loss.backward()
            for p in model.parameters():
                p.data -= 0.1 * p.grad
            run.add(loss.data)
    run.explore().save(tmp_path / "run.html")
    firefox.open(tmp_path / "run.html")
    firefox.drag("[aria-label='Step of the training']", 0.98, 0.02)
    firefox.until("document.querySelector('[data-card=training] output').textContent.startsWith('step 0')")
    firefox.type("Right")
    assert firefox.text("[data-card=training] output").startswith("step 1, loss")
    assert len(firefox.evaluate("[...document.querySelectorAll('.mg-neuron')].map(n => n.getAttribute('aria-label'))")) == 7
    firefox.click(".mg-weight .mg-wide")
    text = firefox.evaluate("document.querySelector('[data-card=chosen] math').getAttribute('alttext')")
    assert text.startswith("∂v2/∂W₁₁⁽¹⁾ = δ₁⁽²⁾ · W₁₁⁽²⁾ · g′(z₁⁽¹⁾) · a₁⁽⁰⁾; = ")
