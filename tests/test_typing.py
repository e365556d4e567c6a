"""What type checkers and help() say: a user's program passes, its mistakes do not, and signatures that stand twice agree."""

import importlib.util
import inspect
import pydoc
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import micrograd
from micrograd.draw import Drawing
from micrograd.explain import explain
from micrograd.primitives import RULES, Primitive


@pytest.mark.slow  # a checker reads NumPy's types, and the package's
def test_pyright_checks_a_users_program_line_by_line_as_mypy_does():
    """Of mypy the checks of style and types ask it, in `tests/typed_program.py` beside the package."""
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    program = Path(__file__).with_name("typed_program.py")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, program.name]
    done = subprocess.run(command, cwd=program.parent, capture_output=True, text=True)
    assert done.returncode == 0 and "0 errors" in done.stdout, done.stdout + done.stderr


def test_mypy_reads_the_users_program_with_the_package():
    root = Path(__file__).parent.parent
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert settings["strict"] and settings["files"] == ["micrograd", "tests/typed_program.py"]  # strict: no needless `ignore`


@pytest.mark.parametrize(("method", "made"), [("draw", Drawing), ("explain", explain)])
def test_methods_of_a_value_take_what_they_pass_on(method, made):
    own = list(inspect.signature(getattr(micrograd.Value, method)).parameters.values())[1:]
    given = list(inspect.signature(made).parameters.values())[1:]
    assert [(p.name, p.default, p.kind) for p in own] == [(p.name, p.default, p.kind) for p in given]


def test_help_speaks_of_the_row():
    text = pydoc.plain(pydoc.render_doc(micrograd.relu))
    assert "The derivative is 1 above 0, and 0 at 0" in text and "∂/∂x = [x > 0]" in text
    assert "∂/∂y = x / (x² + y²)" in micrograd.atan2.__doc__
    assert "It gives a float for floats" in Primitive.__doc__
    for row in RULES.values():
        assert row.__doc__.startswith(row.written)
