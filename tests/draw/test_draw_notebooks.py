"""Drawings in a real JupyterLab and in what nbconvert makes, in notebooks that are trusted and that are not."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
CELLS = [
    'from micrograd import Value\na, b = Value(2.0, label="a"), Value(-3.0, label="b")\nc = a * b + a ** 2; c.label = "c"',
    "c",
    "c.draw()",
    "c.draw().explore()",
    "from micrograd import MLP\n((MLP(3, [4, 4, 1], seed=1)([0.1, 0.2, 0.3]) - 1) ** 2).draw()",
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The environment variables of a Jupyter with nothing of this user's in it."""
    home = tmp_path_factory.mktemp("home")
    names = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTERLAB_SETTINGS_DIR",
             "JUPYTERLAB_WORKSPACES_DIR")  # fmt: skip
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # its `jupyter nbconvert`, and no other's
    return {**os.environ, **{name: str(home / name.lower()) for name in names}, "PYTHONPATH": str(ROOT), "PATH": path}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory, environment):
    """A notebook with a Value, its drawing and its page, executed."""
    pytest.importorskip("jupyterlab", reason="JupyterLab comes with the extra `notebook`")
    pytest.importorskip("nbconvert", reason="nbconvert comes with JupyterLab")
    folder = tmp_path_factory.mktemp("notebooks")
    cells = [{"cell_type": "code", "id": f"c{k}", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
             for k, source in enumerate(CELLS)]  # fmt: skip
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    file = folder / "drawn.ipynb"
    file.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    jupyter(environment, "nbconvert", "--to", "notebook", "--execute", "--inplace", str(file))
    return file


def jupyter(environment, *arguments):
    command = [sys.executable, "-m", "jupyter", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_cells_hold_text_for_a_value_and_pictures_for_drawings(notebook):
    outputs = [cell["outputs"] for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]]
    assert set(outputs[1][0]["data"]) == {"text/plain"}
    assert set(outputs[2][0]["data"]) == {"text/plain", "text/html", "image/svg+xml"}
    assert set(outputs[3][0]["data"]) == {"text/plain", "text/html"}


@pytest.mark.parametrize("trusted", [False, True])
def test_nbconvert(notebook, environment, browser, tmp_path, trusted):
    """Trust makes no difference there. (Its option sanitize_html lets no image through but PNG and JPEG, whoever made it.)"""
    file = tmp_path / "drawn.ipynb"
    cells = notebook.read_text(encoding="utf-8")
    file.write_text(cells.replace("-3.0, label", "-3.00, label"), encoding="utf-8")  # not the notebook that is trusted below
    if trusted:
        jupyter(environment, "trust", str(file))
    jupyter(environment, "nbconvert", "--to", "html", "--output-dir", str(tmp_path), str(file))
    page = browser.new_page()
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith(("file:", "data:")) else route.abort())
    page.goto(f"file://{tmp_path / 'drawn.html'}")
    drawn = page.locator(".jp-OutputArea-output").filter(has=page.locator("img, svg"))
    assert drawn.count() == 3
    assert drawn.nth(0).locator("img, svg").first.bounding_box()["width"] > 300
    page.get_by_role("button", name="To the end", exact=True).click()
    assert page.locator("[data-node='0']").get_attribute("data-grad") == "1"
    page.close()
    without_scripts = browser.new_context(java_script_enabled=False).new_page()
    without_scripts.goto(f"file://{tmp_path / 'drawn.html'}")
    assert [image.bounding_box()["width"] > 300 for image in without_scripts.locator("img").all()] == [True] * 3
    without_scripts.context.close()


@pytest.fixture(scope="module")
def lab(notebook, environment):
    """The address of a JupyterLab that serves the notebook's folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1",
               "--IdentityProvider.token=", "--ServerApp.password=", f"--notebook-dir={notebook.parent}",
               "--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{address}/api/status", timeout=5).close()
            break
        except OSError:
            time.sleep(0.5)
    yield address
    server.terminate()
    server.wait(30)


def test_jupyterlab(notebook, environment, lab, browser):
    page = browser.new_page(viewport={"width": 1400, "height": 1600})
    page.goto(f"{lab}/lab/tree/drawn.ipynb?reset")
    outputs = page.locator(".jp-OutputArea-output")
    outputs.nth(2).wait_for(timeout=90_000)
    assert "Value(data=-2.0" in outputs.nth(0).inner_text()  # not trusted: nothing runs, the pictures show
    assert outputs.nth(1).locator("img").bounding_box()["width"] > 300
    assert outputs.nth(2).locator("img").bounding_box()["width"] > 300
    assert page.locator(".mg-bar").count() == 0
    page.close()

    jupyter(environment, "trust", str(notebook))
    page = browser.new_page(viewport={"width": 1400, "height": 1600})
    page.goto(f"{lab}/lab/tree/drawn.ipynb?reset")
    page.locator(".mg-bar").wait_for(timeout=90_000)
    drawing = page.locator(".jp-OutputArea-output").nth(1)  # in the page, where one can select, search and read tooltips
    assert drawing.locator("svg").first.bounding_box()["width"] > 300 and drawing.locator("img").count() == 0
    assert drawing.locator("svg title").count() > 3
    svg = drawing.locator("svg").first
    assert float(svg.get_attribute("width")) == pytest.approx(svg.bounding_box()["width"], abs=0.5)  # it is never shrunk
    narrow = browser.new_page(viewport={"width": 1016, "height": 3000})
    narrow.goto(f"{lab}/doc/tree/drawn.ipynb?reset")
    wide = narrow.locator(".jp-OutputArea-output").nth(3)
    wide.locator("svg").first.wait_for(timeout=90_000)
    assert 840 <= wide.bounding_box()["width"] <= 850  # as wide as drawings are made for: the widest is seen whole
    assert wide.locator("svg").first.bounding_box()["width"] > 800
    assert wide.locator("div").last.evaluate("e => e.scrollWidth - e.clientWidth") == 0
    narrow.close()
    page.get_by_role("button", name="To the end", exact=True).click()
    assert page.locator("[data-node='0']").get_attribute("data-grad") == "1"
    cell = page.evaluate("document.querySelector('.jp-Notebook-cell.jp-mod-active')?.dataset.windowedListIndex")
    page.locator("[data-node='0']").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".mg-bar output").text_content() == "backward 2 of 3"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.node") == "1"
    assert cell == page.evaluate("document.querySelector('.jp-Notebook-cell.jp-mod-active')?.dataset.windowedListIndex")
    page.close()
