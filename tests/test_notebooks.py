"""The guided tour: every notebook runs from top to bottom and gives what is committed, text and pictures alike.

Where an output was meant to change, `jupyter execute --inplace notebooks/*.ipynb` writes the new one.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
QUICK = ("01_scalar_autodiff", "02_backpropagation")
VARIES = "# what is shown here varies with the machine"
ADDRESS = re.compile(r"0x[0-9a-f]{6,}|/tmp/|/home/|/root/|/usr/")


def shown(outputs):
    """What a reader sees of a cell's outputs: printed text, results, and pictures drawn by this project."""
    seen = []
    for output in outputs:
        if output["output_type"] == "stream":
            assert output["name"] == "stdout", output
            if seen and seen[-1][0] == "printed":
                seen[-1] = ("printed", seen[-1][1] + "".join(output["text"]))
            else:
                seen.append(("printed", "".join(output["text"])))
        else:
            assert output["output_type"] in ("execute_result", "display_data"), output
            data = {kind: "".join(text) for kind, text in output["data"].items()}
            if "image/png" in data:  # plots differ between versions of matplotlib: there is one, that is all
                data = {"image/png": ""}
            if "<script" in data.get("text/html", ""):  # the page to step through, which has tests of its own
                del data["text/html"]
            seen.append(("result", data))
    return seen


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=() if p.stem in QUICK else pytest.mark.slow) for p in NOTEBOOKS],
)
def test_it_runs_and_gives_what_is_committed(path, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="nbclient runs notebooks; the extra `test` has it")
    nbclient = pytest.importorskip("nbclient", reason="nbclient runs notebooks; the extra `test` has it")
    notebook = nbformat.read(path, as_version=4)
    committed = [shown(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the kernel imports this checkout
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # a user without a home directory has nowhere else
    run = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    found = [shown(cell.outputs) for cell in run.cells if cell.cell_type == "code"]
    sources = [cell.source for cell in run.cells if cell.cell_type == "code"]
    for source, before, now in zip(sources, committed, found, strict=True):
        if VARIES not in source:
            assert now == before, source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_is_committed_as_run_and_free_of_this_machine(path):
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        for kind, text in shown(cell["outputs"]):
            texts = [text] if kind == "printed" else [v for k, v in text.items() if k != "text/html"]
            assert not [t for t in texts if ADDRESS.search(t)], cell["source"]
    assert path.stat().st_size < 1_500_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_links_lead_somewhere(path):
    text = "".join("".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "markdown")
    for link in re.findall(r"\]\(([^)#]+\.(?:ipynb|md|py))\)", text):
        assert (path.parent / link).exists(), link


def said_by(notebook):
    """What a notebook prints, all at once and without Jupyter."""
    said, names = [], {"print": lambda *words: said.append(" ".join(map(str, words)))}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    return said


def test_exercises_without_answers_run_and_say_so():
    """Without, as the how-to page takes them away."""
    page = (ROOT / "docs" / "how-to" / "teach.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^(sed .*\\\n.*) > exercises\.ipynb$", page, re.M)
    text = subprocess.run(["bash", "-c", command], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    said = said_by(json.loads(text))
    assert said.count("no answer yet") == 14 and "right" not in said and "still dead: make its z positive" in said
    assert "passes no gradient on" in said[0]


def test_exercises_with_wrong_answers_say_what_to_think_of():
    text = (ROOT / "notebooks" / "07_exercises.ipynb").read_text(encoding="utf-8")
    said = said_by(json.loads(re.sub(r'^( *" *(?:return |[^"=]*= )).*  # answer.*', r'\1-123.0\\n",', text, flags=re.M)))
    assert len([line for line in said if line.startswith("-123.0 is not it: ")]) == 14 and "right" not in said
    assert "still dead: make its z positive" in said and "the derivative of a + b is wrong" in said[0]


def test_a_changed_output_is_seen():
    before = shown([{"output_type": "stream", "name": "stdout", "text": ["0.1\n"]}])
    assert before != shown([{"output_type": "stream", "name": "stdout", "text": ["0.2\n"]}])
    split = [{"output_type": "stream", "name": "stdout", "text": [t]} for t in ("0", ".1\n")]
    assert before == shown(split)
