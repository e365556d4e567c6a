"""In the browser: the tour as JupyterLite, with the wheel served from here, gives what the notebooks have committed.

There is no `dot`, no thread and no compiler there, an address has 32 bits, and Python is Pyodide's. Pyodide comes from npm, the
wheels of its kernel from Python's package index. NumPy for WebAssembly is in neither, so those notebooks run here that need no
NumPy; the others where MICROGRAD_PYODIDE names a folder with a whole release of Pyodide, of the version that the kernel wants.
"""

import functools
import hashlib
import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from test_notebooks import NOTEBOOKS, cells, shown

ROOT = Path(__file__).resolve().parent.parent
KERNEL = ["micropip", "ipython", "jedi"]  # what the kernel installs, besides wheels that it brings itself


def lite():
    spec = importlib.util.spec_from_file_location("lite", ROOT / "docs" / "lite.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BARE = [path for path in NOTEBOOKS if not lite().imported({"cells": cells(path)})]  # which import nothing but this package
WHOLE = os.environ.get("MICROGRAD_PYODIDE")


def or_skip(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{' '.join(map(str, command[:4]))}: {done.stderr.strip().splitlines()[-1:]}")


def pyodide(folder):
    """A folder with Pyodide and the wheels that its kernel needs, and a list of packages that names no others."""
    from jupyterlite_pyodide_kernel.constants import PYODIDE_VERSION

    or_skip(["npm", "pack", f"pyodide@{PYODIDE_VERSION}"], folder)
    shutil.unpack_archive(next(folder.glob("pyodide-*.tgz")), folder, filter="data")
    there = folder / "package"
    lock = json.loads((there / "pyodide-lock.json").read_text(encoding="utf-8"))
    needed, waiting = {}, list(KERNEL)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        needed[name] = lock["packages"][name]
        waiting += needed[name]["depends"]
    wanted = [f"{name}=={entry['version']}" for name, entry in needed.items()]
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    or_skip([*download, "--python-version", lock["info"]["python"], *wanted], there)
    for entry in needed.values():
        entry["sha256"] = hashlib.sha256((there / entry["file_name"]).read_bytes()).hexdigest()
    (there / "pyodide-lock.json").write_text(json.dumps({**lock, "packages": needed}), encoding="utf-8")
    return there


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def served(browser, tmp_path_factory):
    """The address of the tour as JupyterLite, all of it from this machine, and a page of a browser that asks no other."""
    for needed in ("jupyterlite_core", "jupyterlite_pyodide_kernel", "hatchling"):
        pytest.importorskip(needed, reason="JupyterLite runs the tour in the browser; the extra `docs` has it")
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    site = tmp_path_factory.mktemp("site")
    lite().build(site, Path(WHOLE) if WHOLE else pyodide(tmp_path_factory.mktemp("pyodide")))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asked = []
    page = browser.new_page()
    page.set_default_timeout(600_000)  # for what hangs
    page.on("request", lambda request: asked.append(request.url))
    yield f"http://127.0.0.1:{server.server_port}/lite/", page, asked
    page.close()
    server.shutdown()
    server.server_close()


def seen(cell):
    """What a cell shows, but for what the depth of recursion decides, which Pyodide allows more of: find_bug's long chains."""
    text = json.dumps(shown(cell["outputs"]), sort_keys=True)
    return re.sub(r"a chain of [\d,]+ sums", "a chain of sums", text)


def run_all(path, served):
    """The cells of code of a notebook, as they are after all were run, the one that installs first."""
    address, page, _ = served
    page.goto(f"{address}notebooks/index.html?path={path.name}")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.evaluate(
        """async () => { const context = jupyterapp.shell.currentWidget.context.sessionContext;
            await context.ready; await context.session.kernel.info;  // what is asked before is lost
            await jupyterapp.commands.execute("notebook:run-all-cells"); }"""
    )
    run = page.evaluate("jupyterapp.shell.currentWidget.context.model.toJSON()")["cells"]
    return [cell for cell in run if cell["cell_type"] == "code"]


@pytest.mark.slow
@pytest.mark.parametrize("path", BARE, ids=lambda p: p.stem)
def test_a_notebook_runs_in_the_browser_as_it_is_committed(path, served):
    address, _, asked = served
    code = run_all(path, served)
    assert "micrograd-engine" in "".join(code[0]["source"]) and not code[0]["outputs"]
    for cell, committed in zip(code[1:], [c for c in cells(path) if c["cell_type"] == "code"], strict=True):
        assert seen(cell) == seen(committed), "".join(cell["source"])
    assert not [url for url in asked if url.startswith("http") and not url.startswith(address.partition("/lite/")[0])]


@pytest.mark.slow
@pytest.mark.skipif(
    not WHOLE, reason="NumPy for the browser: MICROGRAD_PYODIDE names no folder with a whole release of Pyodide"
)
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path not in BARE], ids=lambda p: p.stem)
def test_a_notebook_with_numpy_runs_in_the_browser(path, served):
    for cell in run_all(path, served):  # another C library has other last digits, so what is shown is not compared
        assert cell["execution_count"] and not [o for o in cell["outputs"] if o["output_type"] == "error"], cell["source"]


@pytest.mark.slow
def test_where_numpy_cannot_be_had_the_first_cell_says_so(served):
    if WHOLE:
        pytest.skip("it can be had")
    first = run_all(ROOT / "notebooks" / "05_array_speed.ipynb", served)[0]
    (error,) = first["outputs"]
    assert error["evalue"] == "could not be installed in the browser: numpy; the error above says why"


def test_what_is_installed_is_what_is_imported():
    first = {"cell_type": "markdown", "source": ["# A title"]}
    code = {
        "cell_type": "code",
        "source": ["import math\nfrom sklearn.datasets import load_digits\n", "from micrograd import Value"],
    }
    made = lite().with_its_installation({"cells": [first, code]})["cells"]
    assert made[0] is first and made[2] is code
    assert "\n    await piplite.install(['scikit-learn'])\n" in made[1]["source"]
    bare = lite().with_its_installation({"cells": [first, {**code, "source": ["import math"]}]})["cells"]
    assert bare[1]["source"] == "%pip install -q --no-deps micrograd-engine"


def test_some_notebooks_run_here():
    assert {"01_scalar_autodiff", "02_backpropagation"} <= {path.stem for path in BARE}
