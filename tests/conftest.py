"""For all tests: no cache of compiled code, and the browser: Chromium as the distribution packages it, or as MICROGRAD_CHROMIUM
names it."""

import os
import shutil

import hypothesis
import pytest

os.environ["MICROGRAD_CACHE"] = "off"  # what is tested is compiled here and now, and leaves nothing behind
if not os.access(".", os.W_OK):  # a checkout may be read-only: Hypothesis warns that it cannot keep what it found there
    hypothesis.settings.register_profile("read-only", database=None)
    hypothesis.settings.load_profile("read-only")

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="session")
def chromium():
    """The path of a Chromium."""
    named = os.environ.get("MICROGRAD_CHROMIUM")
    path = named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium was found: install it (apt install chromium), or name one in MICROGRAD_CHROMIUM")
    return path


@pytest.fixture(scope="session")
def browser(chromium):
    """A headless Chromium that Playwright drives: one for all tests of a process, which cannot have a second Playwright."""
    driver = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser; the extra `test` has it")
    with driver.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()
