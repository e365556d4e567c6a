"""Pages that the browser has opened."""

import pytest


class Opened:
    """A page in the browser, with what it asked for and complained about."""

    def __init__(self, browser, file, **context):
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **context})
        self.page = self.context.new_page()
        self.page.set_default_timeout(8000)
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.goto(f"file://{file}")

    def click(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def gradients(self):
        """The gradient in each box of one value, by its number; none before the backward pass."""
        read = """e => { const p = e.micrograd, s = p.state();
            const shown = s.backward ? p.graph.nodes.filter(n => n.counts && n.box?.node === n) : [];
            return shown.map(n => [n.index, String(n.grad)]); }"""
        found = self.page.eval_on_selector("[data-micrograd]", read)
        return {i: float(g.replace("Infinity", "inf")) for i, g in found}

    def until(self, condition):
        """Waits until this JavaScript is true; a strict policy lets no wait_for_function run."""
        for _ in range(100):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(30)
        raise AssertionError(condition)

    def labels(self):
        """What a screen reader says of each box."""
        return self.page.eval_on_selector_all(".mg-box", "boxes => boxes.map(b => b.getAttribute('aria-label'))")


@pytest.fixture
def opened(browser, tmp_path):
    """Opens the page of a drawing; at the end nothing may have been fetched, and nothing complained of."""
    pages = []

    def open_page(drawing, **context):
        file = tmp_path / f"page{len(pages)}.html"
        drawing.save(file)
        pages.append(Opened(browser, file, **context))
        return pages[-1]

    yield open_page
    for opened_ in pages:
        assert [url for url in opened_.requests if not url.startswith(("file:", "data:"))] == []
        assert sum(url.startswith("file:") for url in opened_.requests) == 1
        assert opened_.complaints == []
        opened_.context.close()
