"""What type checkers and help() say: a user's program passes, its mistakes do not, and signatures that stand twice agree."""

import importlib.util
import inspect
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import micrograd
from micrograd.draw import Drawing
from micrograd.explain import explain
from micrograd.primitives import RULES, Primitive

PROGRAM = Path(__file__).with_name("typed_program.py")
WRONG = [i for i, line in enumerate(PROGRAM.read_text().splitlines(), 1) if line.endswith("# wrong")]


@pytest.mark.slow  # a checker reads NumPy's types, and the package's
@pytest.mark.parametrize(
    "checker",
    [["mypy", "--strict", "--config-file=", "--no-incremental"], ["pyright", "--pythonpath", sys.executable]],
    ids=lambda c: c[0],
)
def test_a_users_program_is_checked_line_by_line(checker):
    if importlib.util.find_spec(checker[0]) is None:
        pytest.skip(f"{checker[0]} is not installed")
    done = subprocess.run([sys.executable, "-m", *checker, PROGRAM.name], cwd=PROGRAM.parent, capture_output=True, text=True)
    found = re.findall(r"typed_program\.py:(\d+)(?::\d+)?(?::| -) error", done.stdout)
    assert sorted({int(line) for line in found}) == WRONG, done.stdout + done.stderr


@pytest.mark.parametrize(("method", "made"), [("draw", Drawing), ("explain", explain)])
def test_methods_of_a_value_take_what_they_pass_on(method, made):
    own = list(inspect.signature(getattr(micrograd.Value, method)).parameters.values())[1:]
    given = list(inspect.signature(made).parameters.values())[1:]
    assert [(p.name, p.default, p.kind) for p in own] == [(p.name, p.default, p.kind) for p in given]


def test_help_speaks_of_the_row():
    text = pydoc.plain(pydoc.render_doc(micrograd.relu))
    assert "The derivative is 1 above 0, and 0 at 0" in text and "∂/∂x = [x > 0]" in text
    assert "∂/∂y = x / (x² + y²)" in micrograd.atan2.__doc__
    assert "Called on floats" in Primitive.__doc__
    for row in RULES.values():
        assert row.__doc__.startswith(row.written)
