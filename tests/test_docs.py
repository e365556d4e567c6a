"""The reference documentation: every public name has an example that runs, and the pages build without a warning."""

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import micrograd

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(m.name for m in pkgutil.walk_packages(micrograd.__path__, "micrograd.") if not m.name.endswith("__main__"))


def examples(name):
    """The examples of the public name: in its own docstring, or for a row of the rule book in that of the package."""
    value = getattr(micrograd, name)
    if isinstance(value, micrograd.primitives.Primitive):
        lines = doctest.DocTestParser().get_examples(micrograd.__doc__)
        return [line for line in lines if re.search(rf"\b{name}\(", line.source)]
    return doctest.DocTestParser().get_examples(value.__doc__ or "")


@pytest.mark.parametrize("name", micrograd.__all__)
def test_every_public_name_has_an_example(name):
    assert examples(name)


@pytest.mark.parametrize("name", ["micrograd", *MODULES])
def test_examples_run(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        pytest.skip(str(error))
    rules = dict(micrograd.primitives.RULES)
    try:
        done = doctest.testmod(module)
    finally:  # an example adds a row
        micrograd.primitives.RULES.clear()
        micrograd.primitives.RULES.update(rules)
    assert done.failed == 0


def test_the_pages_build_without_a_warning(tmp_path):
    pytest.importorskip("pdoc", reason="pdoc builds the pages; the extra `test` has it")
    command = [sys.executable, "-W", "error", ROOT / "docs" / "build.py", tmp_path]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "micrograd.html").read_text(encoding="utf-8")
    missing = [name for name in micrograd.__all__ if f'id="{name}"' not in page]
    assert not missing


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_a_page_names_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    names = re.findall(r"`([\w./]+\.(?:py|md|toml)|\w+/(?:\w+/)*)`", text)
    there = {str(f.relative_to(ROOT)) + ("/" if f.is_dir() else "") for f in ROOT.glob("*[!_]*/**/*") if "." not in f.parts[-2]}
    there |= {f.name for f in ROOT.iterdir()}
    assert len(names) > 15
    assert [name for name in names if not any(f"/{f}".endswith(f"/{name}") for f in there) and name != "dist/"] == []
