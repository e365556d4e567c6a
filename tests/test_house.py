"""The house is kept: style, types, who may import whom, and a heart that a reader finishes."""

import ast
import importlib.util
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import micrograd

ROOT = Path(micrograd.__file__).parents[1]
HEART = ("primitives.py", "engine/value.py", "nn/neurons.py")


def run(*command):
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)


def needs(module):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


@needs("ruff")
@pytest.mark.parametrize("command", [["check", "--no-cache"], ["format", "--check", "--no-cache"]], ids=" ".join)
def test_style(command):
    done = run("-m", "ruff", *command, ".")
    assert done.returncode == 0, done.stdout + done.stderr


@needs("importlinter")
def test_who_imports_whom():
    done = run("-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))")
    assert done.returncode == 0 and "0 broken" in done.stdout, done.stdout + done.stderr


def lines_of_code(source):
    """The lines that hold code: not blank, no comment alone, no docstring, no signature that only type checkers read."""
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node, clean=False
        ):
            docstrings.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
        if isinstance(node, ast.FunctionDef) and any(ast.unparse(d) == "overload" for d in node.decorator_list):
            docstrings.update(range(node.decorator_list[0].lineno, node.end_lineno + 1))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            docstrings.update(range(node.lineno, node.end_lineno + 1))
    layout = (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    code = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout:
            code.update(range(token.start[0], token.end[0] + 1))
    return code - docstrings


def test_lines_of_code_are_counted_as_a_reader_would():
    source = '"""Docstring\n\nof two lines."""\n\n# a comment\nx = (\n    1,  # one\n)\n\n\n'
    source += 'def f():\n    """Doc."""\n    return """a\n    b"""\n'
    source += "@overload\ndef g(x: int) -> int: ...\n"
    assert lines_of_code(source) == {6, 7, 8, 11, 13, 14}


def test_a_reader_finishes_the_heart():
    counts = {name: len(lines_of_code((ROOT / "micrograd" / name).read_text(encoding="utf-8"))) for name in HEART}
    assert sum(counts.values()) <= 510, counts  # about 500


def test_no_file_and_no_class_has_two_subjects():
    """What is too long for one has two: 450 lines of Python to a file, 250 to a class."""
    for file in (ROOT / "micrograd").rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        assert source.count("\n") <= 450, file
        for node in ast.walk(ast.parse(source)):
            assert not isinstance(node, ast.ClassDef) or node.end_lineno - node.lineno < 250, f"{file}: {node.name}"


def test_how_a_node_is_stored_is_known_to_the_engine_alone():
    for file in (ROOT / "micrograd").rglob("*.py"):
        if file.parent.name != "engine":
            assert re.search(r"\._(x|y|dx|dy|grad)\b", file.read_text(encoding="utf-8")) is None, file


def test_no_test_imports_a_benchmark():
    """A benchmark may read the tests' tables and problems; a test of one runs it as a reader would."""
    benchmarks = {file.stem for file in (ROOT / "benchmarks").glob("*.py")}
    for file in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None)]
            assert not benchmarks.intersection(names), file


@pytest.mark.parametrize("file", [".ci/run", "README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_are_named_are_there(file):
    """A path begins at the top, in the package, or in the room that the text is about."""
    text = (ROOT / file).read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w./*-])[a-z_]\w*(?:/\w+)*\.py\b", text))
    there = {
        f.relative_to(ROOT).as_posix()
        for room in ("micrograd", "tests", "benchmarks", "docs")
        for f in (ROOT / room).rglob("*.py")
    }
    missing = [name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in there)]
    assert named and not missing


def test_the_rule_book_is_written_with_the_standard_library_alone_and_the_engine_without_numpy():
    done = run("-c", "import sys, micrograd.primitives; print('numpy' in sys.modules, 'micrograd.nn' in sys.modules)")
    assert done.returncode == 0
    done = run(
        "-c", "import sys, micrograd; print([m for m in ('numpy', 'graphviz', 'llvmlite', 'matplotlib') if m in sys.modules])"
    )
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_importing_the_package_loads_the_heart_and_the_rest_when_it_is_asked_for():
    rooms = ["check", "command", "draw", "explain", "formula", "functional", "scale", "tape"]
    program = f"""
import sys, micrograd
print([room for room in {rooms} if f"micrograd.{{room}}" in sys.modules])
print(dir(micrograd) == sorted(micrograd.__all__))
import micrograd.check.find_bug, micrograd.check.gradcheck
for name in ("find_bug", "gradcheck"):
    function, module = getattr(micrograd, name), getattr(micrograd.check, name)
    print(type(module).__name__, getattr(module, name) is function)
"""
    done = run("-c", program)
    assert done.stdout.splitlines() == ["[]", "True", "module True", "module True"], done.stdout + done.stderr


def test_type_checkers_see_what_is_imported_when_it_is_asked_for():
    tree = ast.parse((ROOT / "micrograd" / "__init__.py").read_text(encoding="utf-8"))
    (seen,) = [node for node in tree.body if isinstance(node, ast.If)]
    names = {alias.name for line in seen.body for alias in line.names}
    assert names == {name for names in micrograd._LATER.values() for name in names}
    with pytest.raises(AttributeError, match="has no attribute 'nosuch'"):
        micrograd.nosuch  # noqa: B018


def test_every_public_name_says_what_comes_back():
    silent = []
    for name in micrograd.__all__:
        value = getattr(micrograd, name)
        if isinstance(value, micrograd.primitives.Primitive):
            assert value.written and value.name == name
        elif callable(value) and not (value.__doc__ or "").strip():
            silent.append(name)
    assert not silent
    assert sorted(micrograd.__all__) == sorted(set(micrograd.__all__))
    for attribute in [a for a in dir(micrograd.Value) if not a.startswith("_") and a not in ("data", "rule")]:
        assert getattr(micrograd.Value, attribute).__doc__, attribute


def test_no_derivative_is_written_outside_the_rule_book():
    """Partials use operators and primitives alone: no `math` in them but for constants, and no branch of Python's."""
    tree = ast.parse((ROOT / "micrograd" / "primitives.py").read_text(encoding="utf-8"))
    rows = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "id", "") == "primitive"
    ]
    assert len(rows) == len(micrograd.primitives._BUILT_IN)
    for row in rows:
        for partial in row.args[3:]:
            for node in ast.walk(partial):
                assert not isinstance(node, (ast.IfExp, ast.Compare, ast.BoolOp)), ast.unparse(row)
                if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "math":
                    assert ast.unparse(node) in ("math.pi", "math.e", "math.sqrt", "math.log2", "math.log10"), ast.unparse(row)
