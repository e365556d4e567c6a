"""The tour in the browser: `python docs/lite.py`, after `python -m mkdocs build --strict`, adds it to the site.

JupyterLite is JupyterLab as files: Python itself, compiled to WebAssembly (Pyodide), runs in the page, and a server that hands
out files is enough. This builds the wheel of this checkout, fetches the wheels that Pyodide lacks, puts a cell that installs
what is needed into a copy of each notebook, and links each page of the tutorial to its notebook. Without --pyodide the page
takes Python and NumPy from Pyodide's server.

    python docs/lite.py                        # into site/lite
    python docs/lite.py --pyodide FOLDER       # an unpacked Pyodide beside it: then nothing is asked of any other server
    python -m http.server -d site              # to look at it: http://localhost:8000/lite/
"""

from __future__ import annotations

import argparse
import ast
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OTHERS = {"sklearn": "scikit-learn", "dask": "dask[array]"}  # what is installed for what is imported, where the names differ
BESIDE = ["comm", "dask", "partd", "locket"]  # pure Python for kernel and notebooks that Pyodide lacks
WITH_NUMPY = """\
import piplite

try:
    await piplite.install({needed})
except Exception as error:
    raise ImportError("could not be installed in the browser: {said}; the error above says why") from error\
"""
LINK = (
    '<p><a href="../lite/notebooks/index.html?path={name}.ipynb">Run this notebook in the browser</a>: nothing is installed, '
    "the first cell takes half a minute.</p>"
)


def imported(notebook: dict[str, Any]) -> set[str]:
    """What the cells import besides Python's own modules and this package."""
    found = set()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(line for line in cell["source"] if not line.startswith("%"))
            for node in ast.walk(ast.parse(source)):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found |= {name.partition(".")[0] for name in names}
    return found - set(sys.stdlib_module_names) - {"micrograd"}


def with_its_installation(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with a first cell of code that installs what it needs."""
    needed = [OTHERS.get(name, name) for name in sorted(imported(notebook))]
    source = "%pip install -q --no-deps micrograd-engine"  # graphviz is for `dot`, which no browser has
    if needed:
        source = f"{source}\n{WITH_NUMPY.format(needed=needed, said=', '.join(needed))}"
    cell = {"cell_type": "code", "execution_count": None, "id": "install", "metadata": {}, "outputs": [], "source": source}
    return {**notebook, "cells": [*notebook["cells"][:1], cell, *notebook["cells"][1:]]}


def build(site: Path, pyodide: Path | None = None) -> Path:
    """The folder site/lite, made anew, and the pages of site/tutorial linked to it."""
    output = site / "lite"
    shutil.rmtree(output, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        wheels, contents = place / "wheels", place / "contents"
        contents.mkdir()
        for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
            notebook = with_its_installation(json.loads(path.read_text(encoding="utf-8")))
            (contents / path.name).write_text(json.dumps(notebook, ensure_ascii=False), encoding="utf-8")
        settings = {"appName": "micrograd", "exposeAppInBrowser": True}  # so that tests read what a notebook shows
        (place / "jupyter-lite.json").write_text(
            json.dumps({"jupyter-lite-schema-version": 0, "jupyter-config-data": settings}), encoding="utf-8"
        )
        subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels], cwd=ROOT, check=True)
        download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", wheels, *BESIDE]
        subprocess.run(download, check=True)
        if pyodide is not None:
            shutil.copytree(pyodide, place / "static" / "pyodide")
        command = ["jupyterlite_core", "build", "--lite-dir", place, "--contents", contents, "--output-dir", output]
        options = ["--apps", "notebooks", "--apps", "lab", "--no-sourcemaps", "--no-unused-shared-packages"]
        options += [f"--piplite-wheels={wheel}" for wheel in sorted(wheels.glob("*.whl"))]
        subprocess.run([sys.executable, "-m", *command, *options], cwd=place, check=True)
    for page in (site / "tutorial").glob("*.html"):
        if (ROOT / "notebooks" / f"{page.stem}.ipynb").exists():
            text = page.read_text(encoding="utf-8").replace("</h1>", "</h1>\n" + LINK.format(name=page.stem), 1)
            page.write_text(text, encoding="utf-8")
    return output


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Add the tour, run in the browser, to the site.")
    parser.add_argument(
        "--site", type=Path, default=ROOT / "site", help="the folder that mkdocs has built (default: %(default)s)"
    )
    parser.add_argument("--pyodide", type=Path, metavar="FOLDER", help="an unpacked Pyodide to serve beside the notebooks")
    options = parser.parse_args()
    if not (options.site / "index.html").exists():
        parser.error(f"{options.site} has no site: run python -m mkdocs build --strict first")
    if options.pyodide and not (options.pyodide / "pyodide-lock.json").exists():
        parser.error(f"{options.pyodide} is no unpacked Pyodide: it has no pyodide-lock.json")
    print(build(options.site, options.pyodide))
