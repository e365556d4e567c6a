"""The README: its snippets run and give the numbers beside them, and its commands are the ones that are used."""

import ast
import io
import os
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest
from test_house import lines_of_code

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
HERE = {**os.environ, "PYTHONPATH": str(ROOT)}  # what is started imports this checkout
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def comments(source):
    """The comment at the end of each line that has one, by line number."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}


def stated(comment):
    """The numbers at the start of a comment, as they are written: '(1.0, -2): why' gives ['1.0', '-2']."""
    numbers = re.match(r"\(?(-?(?:\d[\d.e+-]*|inf|nan)(?:,\s*)?)+\)?", comment)
    return re.findall(r"-?(?:\d+\.?\d*(?:e[+-]?\d+)?|inf|nan)", numbers[0]) if numbers else []


def shown(value, as_written):
    """The number `value` with as many digits as were written."""
    if "e" in as_written:
        return f"{value:.{len(as_written.split('e')[0].partition('.')[2])}e}"
    return f"{value:.{len(as_written.partition('.')[2])}f}" if "." in as_written else f"{value:g}"


def check(source, names):
    """Run the source statement by statement; the numbers that its comments state and those that it gave instead."""
    notes, pairs = comments(source), []
    for statement in ast.parse(source).body:
        result = None
        if isinstance(statement, ast.Expr):
            expression = statement.value
            if isinstance(expression, ast.Call) and getattr(expression.func, "id", "") == "print":
                expression = expression.args[0]
            result = eval(compile(ast.Expression(expression), "README.md", "eval"), names)
        else:
            exec(compile(ast.Module([statement], []), "README.md", "exec"), names)
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                result = names[statement.targets[0].id]
        if expected := stated(notes.get(statement.end_lineno, "")):
            results = result if isinstance(result, (tuple, list)) else [result]
            assert len(results) == len(expected), f"{ast.unparse(statement)}: {result} for {expected}"
            pairs += [(e, shown(float(r), e)) for e, r in zip(expected, results, strict=True)]
    return pairs


def test_every_snippet_runs_and_gives_the_numbers_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what a snippet saves goes here
    assert SNIPPETS
    names, pairs = {}, []
    for snippet in SNIPPETS:  # one after the other, as a reader pastes them
        pairs += check(snippet, names)
    assert len(pairs) >= 6
    assert [given for given, _ in pairs] == [found for _, found in pairs]


def test_the_explanation_is_the_one_that_is_printed():
    names = {}
    check(SNIPPETS[0], names)
    text, _ = re.findall(r"^```text\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (call,) = re.findall(r"print\((L\.explain\(.*?\))\)`", README)
    assert text.strip() == str(eval(call, names)).strip()


def test_the_instructions_are_some_of_those_that_are_printed():
    names = {}
    check(SNIPPETS[1], names)
    printed = [line.strip() for line in str(names["f"].schedule(names["X"], names["t"], gradient=True)).splitlines()]
    _, listing = re.findall(r"^```text\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    lines = [line.partition(" #")[0].strip() for line in listing.splitlines()]
    assert len(lines) >= 3 and set(lines) <= set(printed)
    (results, instructions) = re.findall(r"(\d+) scalar results .* are (\d+) vector instructions", README)[0]
    assert f"schedule of {instructions} vector instructions ({results} scalar results)" in printed[0]


def test_the_text_for_the_index_runs_and_leads_nowhere():
    page = (ROOT / "docs" / "package.md").read_text(encoding="utf-8")
    pairs = [
        pair for snippet in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) for pair in check(snippet, {})
    ]
    assert len(pairs) >= 4 and all(given == found for given, found in pairs)
    assert "](" not in page  # an index shows neither this project's pictures nor its pages


@pytest.mark.parametrize(
    ("source", "pairs"),
    [
        ("x = 2.0  # 2.0", [("2.0", "2.0")]),
        ("x = 2.04  # 2.0: rounded as written", [("2.0", "2.0")]),
        ("x = -2.5  # 2.5", [("2.5", "-2.5")]),
        ("print((1.0, -2.0))  # (1.0, -2.5): a tuple", [("1.0", "1.0"), ("-2.5", "-2.0")]),
        ("float('nan')  # nan", [("nan", "nan")]),
        ("3e-5  # 3.0e-05", [("3.0e-05", "3.0e-05")]),
        ("7  # 7", [("7", "7")]),
        ("x = 2.0  # no number", []),
    ],
)
def test_the_check_sees_what_is_written_and_what_is_so(source, pairs):
    assert check(source, {}) == pairs


def test_the_picture_is_of_the_first_snippet():
    """Where it was meant to change: python docs/drawing.py."""
    made = subprocess.run([sys.executable, "docs/drawing.py", "-"], cwd=ROOT, env=HERE, capture_output=True, check=True)
    assert made.stdout == (ROOT / "docs" / "drawing.svg").read_bytes()
    for given, _ in check(SNIPPETS[0], {})[-3:]:  # the derivatives that the snippet prints stand in the picture
        assert f"{float(given):.4g}".replace("-", "−") in made.stdout.decode()


def test_the_reading_order_counts_as_a_reader_would():
    rows = re.findall(r"^\| `([\w/]+\.py)` \| (\d+) \|", README, re.MULTILINE)
    assert len(rows) >= 8
    for name, stated in rows:
        counted = len(lines_of_code((ROOT / "micrograd" / name).read_text(encoding="utf-8")))
        assert counted == pytest.approx(int(stated), rel=0.05), name


@pytest.mark.parametrize("link", sorted(set(re.findall(r'(?:\]\(|(?:src|href)=")(?!http)([^)"#]+)[)"]', README))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def commands():
    return re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)


def test_two_commands_do_all_the_set_up():
    demo, tests = commands()
    assert demo.startswith("python3 -m venv .venv && ") and demo.endswith(".venv/bin/python -m micrograd demo")
    assert tests.startswith("python3 -m venv .venv && ") and tests.endswith(".venv/bin/python -m pytest -n auto")


def test_ci_runs_the_test_command_of_the_readme_and_no_other():
    script = (ROOT / ".ci" / "run").read_text()
    pattern = re.search(r"grep '(.*)' README\.md", script)[1]
    assert re.findall(pattern, README, re.MULTILINE) == [commands()[1]]
    assert 'run "tests" "$command"' in script
    others = re.findall(r"pip install ([^&]*) &&", script)  # on other Pythons, and for the slow tier
    assert others == ["-q $needed -e .", "-q -e '.[notebook]'"]


@pytest.mark.parametrize("file", [".github/workflows/checks.yml", ".gitlab-ci.yml"])
def test_what_hosts_are_told_to_run_is_there(file):
    yaml = pytest.importorskip("yaml", reason="Dask and MkDocs bring it")
    told = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    if file == ".gitlab-ci.yml":
        lines = [line for job in told.values() for line in job["script"]]
        (matrix,) = told["two-commands"]["parallel"]["matrix"]
        versions = matrix["PYTHON"]
    else:
        lines = [step["run"] for job in told["jobs"].values() for step in job["steps"] if "run" in step]
        versions = told["jobs"]["two-commands"]["strategy"]["matrix"]["python"]
    assert lines[0] == ".ci/run" and os.access(ROOT / lines[0], os.X_OK) and len(lines) == 3
    for line, command in zip(lines[1:], commands(), strict=True):  # what the last shell would be given
        said = subprocess.run(
            ["bash", "-euc", line.replace("bash -euc", "printf %s")], cwd=ROOT, capture_output=True, text=True
        )
        assert said.stdout == command and not said.stderr
    stated = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert versions == stated


def test_no_message_sends_people_to_the_name_of_the_original():
    files = [ROOT / "README.md", *ROOT.glob("micrograd/**/*.py"), *ROOT.glob("benchmarks/*.py"), ROOT / "pyproject.toml"]
    wrong = re.compile(r"""pip install (?:-\S+ )*['"]?micrograd(?!-engine)""")
    assert [f.name for f in files if wrong.search(f.read_text(encoding="utf-8"))] == []
    assert wrong.search("pip install -q 'micrograd[demo]'") and not wrong.search("pip install 'micrograd-engine[demo]'")
