"""In the browser: the wheel in Pyodide, where there is no `dot`, no thread and no compiler, runs the first notebook as here."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "01_scalar_autodiff.ipynb"

RUNNER = """
import ast, contextlib, io, json

def run(sources):
    names, seen = {"__name__": "__main__"}, []
    for source in sources:
        body, printed, last = ast.parse(source).body, io.StringIO(), None
        with contextlib.redirect_stdout(printed):
            if isinstance(body[-1], ast.Expr):
                exec(compile(ast.Module(body[:-1], []), "cell", "exec"), names)
                last = eval(compile(ast.Expression(body[-1].value), "cell", "eval"), names)
            else:
                exec(compile(ast.Module(body, []), "cell", "exec"), names)
        seen.append([printed.getvalue(), "" if last is None else repr(last), getattr(last, "svg", "")])
    return json.dumps(seen)
"""

NODE = """
import { readFileSync } from "node:fs";
import { loadPyodide } from "pyodide";
const [wheel, job] = process.argv.slice(2);
const pyodide = await loadPyodide();
pyodide.unpackArchive(new Uint8Array(readFileSync(wheel)), "wheel");
const { runner, sources } = JSON.parse(readFileSync(job, "utf8"));
pyodide.runPython(runner);
console.log("RESULT" + pyodide.globals.get("run")(pyodide.toPy(sources)));
"""


def shown(cell):
    """What the committed notebook shows below a cell: printed text, the result as text, the picture."""
    printed, text, picture = "", "", ""
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            printed += "".join(output["text"])
        else:
            text = "".join(output["data"]["text/plain"])
            picture = "".join(output["data"].get("image/svg+xml", ""))
    return [printed, text, picture]


@pytest.mark.slow
def test_the_first_notebook_runs_in_the_browsers_python(tmp_path):
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Pyodide runs in Node.js: node or npm is missing")
    pytest.importorskip("hatchling", reason="hatchling builds the wheel; the extra `test` has it")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    got = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "pyodide"], cwd=tmp_path, capture_output=True, text=True)
    if got.returncode:
        pytest.skip(f"npm cannot install pyodide: {got.stderr.strip().splitlines()[-1:]}")
    cells = [c for c in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells]
    (tmp_path / "run.mjs").write_text(NODE)
    (tmp_path / "job.json").write_text(json.dumps({"runner": RUNNER, "sources": sources}))
    done = subprocess.run(["node", "run.mjs", wheel, "job.json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-600:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    for source, found, cell in zip(sources, json.loads(line.removeprefix("RESULT")), cells, strict=True):
        if "explore()" in source:
            found[2] = ""  # of the page, a notebook keeps the HTML
        assert found == shown(cell), source
