"""What is shipped: a pure wheel with its types, a source distribution that can test itself, an import that is quick."""

import ast
import contextlib
import importlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import micrograd

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    pytest.importorskip("hatchling", reason="hatchling builds the distributions; the extra `test` has it")
    folder = tmp_path_factory.mktemp("dist")
    environment = ROOT / "an environment"  # of any name, not only those that git ignores
    with contextlib.suppress(OSError):  # a checkout may be read-only
        environment.mkdir(exist_ok=True)
        (environment / "pyvenv.cfg").touch()
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True, capture_output=True)
    shutil.rmtree(environment, ignore_errors=True)
    return folder


def test_the_wheel_is_pure_and_typed(built):
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"micrograd_engine-{micrograd.__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(f.relative_to(ROOT)) for f in ROOT.glob("micrograd/**/*.py*") if f.suffix in (".py", ".pyi")}
    assert sources | {"micrograd/py.typed"} <= names
    assert {n.split("/")[0] for n in names} == {"micrograd", f"micrograd_engine-{micrograd.__version__}.dist-info"}
    assert any(n.endswith("licenses/LICENSE") for n in names)


@pytest.mark.parametrize("checker", ["twine", "check_wheel_contents"])
def test_what_is_built_is_what_an_index_takes(built, checker):
    pytest.importorskip(checker, reason="a check before a release; the extra `release` has it")
    command = ["check", "--strict", *built.iterdir()] if checker == "twine" else list(built.glob("*.whl"))
    done = subprocess.run([sys.executable, "-m", checker, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_building_twice_gives_the_same_bytes(built, tmp_path):
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", tmp_path], cwd=ROOT, check=True, capture_output=True)
    assert {f.name: f.read_bytes() for f in built.iterdir()} == {f.name: f.read_bytes() for f in tmp_path.iterdir()}


def test_the_source_distribution_can_test_itself(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    wanted = [
        "pyproject.toml",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        ".ci/run",
        ".github/workflows/checks.yml",
        ".gitlab-ci.yml",
        "mkdocs.yml",
        "micrograd/py.typed",
        "benchmarks/eager.py",
    ]
    wanted += [str(f.relative_to(ROOT)) for f in ROOT.glob("tests/**/*.py")]
    assert set(wanted) <= names
    assert not [n for n in names if "venv" in n or "__pycache__" in n or "_cache/" in n]


def test_the_wheel_works_where_nothing_else_of_this_project_is(built, tmp_path):
    """Unpacked, away from the checkout and without site-packages: the command line and the type marker are there."""
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    bare = [sys.executable, "-S", "-m", "micrograd"]
    shown = subprocess.run(bare, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "python -m micrograd demo" in shown.stdout
    refused = subprocess.run([*bare, "demo"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2 and "pip install 'micrograd-engine[demo]'" in refused.stderr


def test_without_scikit_learn_the_estimators_say_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None; import micrograd.sklearn"
    refused = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "pip install 'micrograd-engine[sklearn]'" in refused.stderr


def test_names_versions_and_extras():
    assert PROJECT["name"] == "micrograd-engine" and PROJECT["requires-python"] == ">=3.11"
    assert set(PROJECT["optional-dependencies"]) == {
        "jit",
        "demo",
        "sklearn",
        "notebook",
        "scale",
        "png",
        "onnx",
        "safetensors",
        "docs",
        "release",
        "test",
        "all",
    }
    everything = "".join(PROJECT["optional-dependencies"]["all"])
    assert "pytest" not in everything and "test" not in everything  # what a user wants, without the tools of this checkout
    assert f"## {micrograd.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def brought_by(extra):
    """The distributions that an extra names, those of the extras in it included."""
    for wanted in PROJECT["optional-dependencies"][extra]:
        name, inner = re.match(r"([\w-]+)(?:\[([\w,]+)\])?", wanted).groups()
        yield from (found for part in inner.split(",") for found in brought_by(part)) if name == PROJECT["name"] else [name]


def test_the_extra_for_notebooks_brings_what_they_import():
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "notebooks").glob("*.ipynb"))
    imported = set(re.findall(r'^ *"(?:from|import) (\w+)', text, re.M)) - sys.stdlib_module_names - {"micrograd", "numpy"}
    names = {"sklearn": "scikit-learn", "scipy": "scikit-learn"}  # which needs SciPy
    assert {names.get(module, module) for module in imported} <= set(brought_by("notebook"))


IMPORT = """
import json, sys
before = set(sys.modules)
import micrograd
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def test_import_brings_nothing_but_the_standard_library():
    modules = json.loads(subprocess.check_output([sys.executable, "-c", IMPORT], cwd=ROOT))
    assert set(modules) - set(sys.stdlib_module_names) == {"micrograd"}
    assert not {"inspect", "zipfile", "tokenize"} & set(modules)  # which would take a fifth of the time, and are seldom used


PUBLIC_IN_0_1_0 = {  # import paths that people have written; the rooms have moved behind them
    "engine": "Value adjoints constant topological_order",
    "nn": "MLP Layer Module Neuron",
    "losses": "binary_cross_entropy cross_entropy hinge mse",
    "optim": "SGD Adam AdamW Optimiser",
    "tape": "Jitted Tape jit load save",
    "functional": "grad hessian hvp jacobian jvp value_and_grad vjp",
    "draw": "Drawing draw_dot to_mermaid",
    "explain": "Explanation explain name_from to_code why",
    "primitives": "RULES Primitive primitive rule where dot logsumexp take",
}


@pytest.mark.parametrize("room", PUBLIC_IN_0_1_0)
def test_import_paths_of_the_first_release_keep_working(room):
    module = importlib.import_module(f"micrograd.{room}")
    assert [name for name in PUBLIC_IN_0_1_0[room].split() if not hasattr(module, name)] == []
    for name in set(PUBLIC_IN_0_1_0[room].split()) & set(micrograd.__all__):
        assert getattr(module, name) is getattr(micrograd, name)  # one object, by whichever path


def test_nothing_else_is_left_at_old_places():
    """The top floor is the rooms, and the two modules whose paths people have written."""
    rooms = {"engine", "formula", "nn", "functional", "draw", "explain", "check", "tape", "scale", "command"}
    modules = {
        "__init__",
        "__main__",
        "composed",
        "elementwise",
        "floats",
        "primitives",
        "signatures",
        "trees",
        "files",
        "saving",
        "losses",
        "optim",
        "sklearn",
    }
    files = [f for f in (ROOT / "micrograd").iterdir() if f.name not in ("py.typed", "__pycache__")]
    assert {f.name for f in files if f.is_dir()} <= rooms and {f.stem for f in files if f.is_file()} <= modules
    for name in ("losses", "optim"):  # and there is nothing in them but the names
        tree = ast.parse((ROOT / "micrograd" / f"{name}.py").read_text(encoding="utf-8"))
        assert {type(node) for node in tree.body} <= {ast.Expr, ast.ImportFrom, ast.Assign}
