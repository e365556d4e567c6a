"""What MkDocs does not know by itself: the notebooks as pages, and the reference, made of the docstrings of public names.

A hook of mkdocs.yml. The reference has no list to keep: it takes `micrograd.__all__`, sorted by the room in which a name
stands, and the classes of what public functions give back.
"""

from __future__ import annotations

import ast
import base64
import html
import inspect
import itertools
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File

import micrograd
from micrograd.primitives import Primitive

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {
    "engine": "Values and modes",
    "primitives": "Functions",
    "nn": "Networks",
    "losses": "Losses",
    "functional": "Derivatives as functions",
    "tape": "Compiled functions",
    "draw": "Drawings and pages",
    "explain": "Explanations",
    "check": "Checks",
    "formula": "Other libraries",
    "sklearn": "Estimators",
}
INTRODUCED = {
    "primitives": ["`from micrograd import tanh`, and so for each. On numbers they give a number, and on Values a Value."],
}
GIVEN_BACK = {  # what public functions return, with what gives it; and what is imported from modules of its own
    "micrograd.tape.Jitted": "jit(f)", "micrograd.tape.training.Training": "jit(f).training(optimiser)",
    "micrograd.tape.Tape": "", "micrograd.tape.save": "", "micrograd.tape.load": "",
    "micrograd.tape.c.CSource": "to_c(f, x)", "micrograd.explain.Why": "L.why(x)",
    "micrograd.explain.origins.Finding": "L.why(x).findings", "micrograd.explain.Listing": "to_code(L)",
    "micrograd.explain.Term": "L.explain(x).terms", "micrograd.explain.contributions.Path": "L.explain(x).paths()",
    "micrograd.check.gradcheck.GradCheck": "gradcheck(f, x)", "micrograd.check.verdicts.Row": "gradcheck(f, x).rows",
    "micrograd.check.find_bug.BugReport": "find_bug(MyValue)",
    "micrograd.check.examination.Finding": "find_bug(MyValue).findings",
    "micrograd.draw.explore.Exploration": "L.draw().explore()", "micrograd.draw.Recording": "record(model, loss)",
    "micrograd.nn.trace.Trace": "model.trace(loss)", "micrograd.nn.trace.LayerTrace": "model.trace(loss)[i]",
    "micrograd.nn.optim.Optimiser": "", "micrograd.primitives.Primitive": "primitive(...)",
    "micrograd.sklearn.MLPClassifier": "", "micrograd.sklearn.MLPRegressor": "",
}  # fmt: skip
INSIDE = {  # without an underscore, for other rooms of the package call them, and no part of what is public
    "Drawing": "lit picture rendered scene shows", "Explanation": "page", "Exploration": "data page script showing style",
    "Jitted": "bound_to options refuse_unbound wrt", "Primitive": "described in_math is_flat leaves_out on_floats",
    "Tape": "first lookups name operands", "Training": "data write_data", "Value": "conjugate note",
}  # fmt: skip
KEPT: list[str] = []  # formulas and living pages as HTML, by the number that stands for them until the page is HTML
LIVING = {"neuron": "A neuron, live", "network": "A network, live", "training": "A training run, live"}


# -- the reference


def named(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(__import__(module, fromlist=[name]), name)


def room_of(value: Any) -> str:
    if isinstance(value, Primitive):
        return "primitives"
    parts = value.__module__.split(".")
    if parts[1] == "nn" and parts[-1] == "losses":
        return "losses"
    return "primitives" if parts[1] in ("primitives", "composed") else parts[1]


def reference() -> dict[str, list[tuple[str, Any]]]:
    """Names and what they stand for, by room."""
    found: dict[str, list[tuple[str, Any]]] = {room: [] for room in ROOMS}
    public = {name: getattr(micrograd, name) for name in micrograd.__all__}
    for name, value in [*public.items(), *[(path, named(path)) for path in GIVEN_BACK]]:
        found.setdefault(room_of(value), []).append((name, value))
    return found


def plain(text: str) -> str:
    """A paragraph of a docstring as Markdown: nothing but its code is marked up."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([\\*_\[\]>#|])", r"\\\1", p.replace("<", "&lt;")) for p in parts)


def markdown(doc: str) -> Iterator[str]:
    """The parts of a docstring: paragraphs, examples without their words to doctest, and what is indented as it stands."""
    for part in re.split(r"\n\s*\n", inspect.cleandoc(doc)):
        if part.startswith(">>>"):
            part = re.sub(r"  # doctest: .*", "", part).replace("<BLANKLINE>", "")
            yield f"```pycon\n{part}\n```"
        elif part.startswith("    "):
            yield f"```text\n{inspect.cleandoc(part)}\n```"
        else:
            yield plain(part)


def signature(value: Any) -> str:
    """The arguments, without the types: a page says what they mean, an editor what they are."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    bare = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    text = str(found.replace(parameters=bare, return_annotation=found.empty))
    return re.sub(r"<(?:class|module) '(?:\w+\.)*(\w+)'[^>]*>", r"\1", text)


def elsewhere(kind: type) -> list[type]:
    """The bases of a class that have an entry of their own, or documentation of their own elsewhere."""
    bases = (micrograd.Module, micrograd.nn.optim.Optimiser)
    return [b for b in kind.__mro__[1:] if b in bases or b.__module__.startswith("sklearn.")]


def members(kind: type) -> Iterator[tuple[str, str, str]]:
    """Name, heading and docstring of what a class has of its own and is public."""
    bases = elsewhere(kind)
    told = {n for b in bases for n in vars(b) if (own := getattr(kind, n)) is getattr(b, n) or not own.__doc__}
    for name in sorted(set(dir(kind)) - told - set(INSIDE.get(kind.__name__, "").split())):
        held = inspect.getattr_static(kind, name)
        if name.startswith("_") or not (isinstance(held, property) or inspect.isfunction(held)):
            continue
        assert held.__doc__, f"{kind.__name__}.{name} has no docstring"
        called = name if isinstance(held, property) else name + signature(held)
        yield name, re.sub(r"\(\w+(, )?", "(", called, count=1), held.__doc__


def entry(name: str, value: Any) -> str:
    called = name.rpartition(".")[2]
    given = GIVEN_BACK.get(name)
    lines = [f"## {called} {{ #{called} }}"]
    lines.append(f"`{given}` gives it." if given else f"`from {name.rpartition('.')[0] or 'micrograd'} import {called}`")
    if isinstance(value, Primitive):
        lines[1:] = [f"```python\n{value.written}\n```"]
        calls = [
            ast.unparse(call)
            for line in re.findall(r"^>>> (.*)$", micrograd.__doc__ or "", re.M)
            for call in ast.walk(ast.parse(line))
            if isinstance(call, ast.Call) and ast.unparse(call.func) == name
        ]
        shown = [
            f"```pycon\n>>> {call}\n{eval(call, vars(micrograd))!r}\n```" for call in calls[:1] if "x" not in call.split("(")[1]
        ]
        told = [
            part for part in markdown(value.__doc__ or "") if not part.endswith("a number for numbers, a Value for Values.")
        ]
        return "\n\n".join([*lines, *told, *shown])
    call = textwrap.fill(
        called + signature(value), 100, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    lines.append(f"```python\n{call}\n```")
    lines += markdown(value.__doc__ or "")
    if inspect.isclass(value):
        lines += [
            f"### `{called}.{heading}` {{ #{called}.{member} data-toc-label='{called}.{member}' }}\n\n"
            + "\n\n".join(markdown(doc))
            for member, heading, doc in members(value)
        ]
        if others := [base.__name__ for base in elsewhere(value) if not base.__name__.startswith("_")]:
            lines.append(f"And what it has of {', '.join(f'`{name}`' for name in others)}.")
    return "\n\n".join(lines)


# -- the notebooks


def mathml(formula: str, display: str) -> str:
    """A formula as MathML, in which a minus after an operator or a bracket that opens is a sign, and stands close."""
    minus = "<mo>&#x02212;</mo>"
    after = rf"(<mo[^>]*>(?!&#x00029;)[^<]*</mo>){minus}"
    return re.sub(after, r'\1<mo form="prefix">&#x02212;</mo>', convert(formula, display=display))


def kept(content: str) -> str:
    """What stands for HTML that Markdown must not touch."""
    KEPT.append(content)
    return f"⟦{len(KEPT) - 1}⟧"


def mathematics(text: str) -> str:
    """Markdown with its formulas as MathML, which browsers set without any script."""

    def formula(m: re.Match[str]) -> str:
        if m[1] == "$":
            return kept(mathml(m[2].strip(), "inline"))
        return kept(f'<span style="display:block;overflow-x:auto">{mathml(m[2].strip(), "block")}</span>')

    return re.sub(r"(?<![\\$`])(\$\$?)(?!\s\w)(.+?)\1", formula, text, flags=re.S)


def aligned(text: str) -> str:
    """The equations of an `aligned` environment as MathML, with the spaces between its parts."""
    body = re.sub(r"\\(?:begin|end){aligned}", "", text.strip("$\n"))
    rows = []
    for line, space in re.findall(r"(.+?)(?:\\\\(\[[\w.]+\])?\n|$)", body.strip(), flags=re.S):
        style = "text-align:left;padding:.25em .1em " + (".9em" if space else ".25em")
        cells = [re.sub(r"^<math[^>]*>|</math>$", "", mathml(cell.strip() or "{}", "block")) for cell in line.split("&")]
        rows.append("<mtr>" + "".join(f'<mtd style="{style}">{cell}</mtd>' for cell in cells) + "</mtr>")
    return '<math display="block" style="width:max-content"><mtable displaystyle="true">' + "".join(rows) + "</mtable></math>"


def joined(outputs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The outputs of a cell, what was printed piece by piece as one."""
    for printed, group in itertools.groupby(outputs, lambda output: output["output_type"] == "stream"):
        if printed:
            yield {"data": {"text/plain": "".join(piece for output in group for piece in output["text"]).rstrip()}}
        else:
            yield from group


def shown(output: dict[str, Any]) -> str:
    """One output of a cell: a picture, a living page or mathematics where there is one, else text."""
    data = {kind: "".join(text) for kind, text in output["data"].items()}
    if 'class="mg-explore"' in data.get("text/html", ""):
        return kept(data["text/html"])
    for kind in ("image/svg+xml", "image/png"):
        if kind in data:
            content = base64.b64encode(data[kind].encode()).decode() if kind.endswith("xml") else data[kind].replace("\n", "")
            alt = html.escape(data.get("text/plain", "picture").splitlines()[0])
            width = "none" if kind.endswith("xml") else "100%"  # drawings scroll, so that they stay legible
            return f'<img alt="{alt}" style="max-width:{width}" src="data:{kind};base64,{content}">'
    if "text/latex" in data:
        return kept(f'<div style="overflow-x:auto">{aligned(data["text/latex"])}</div>')
    return f"```text\n{data.get('text/plain', '')}\n```"


def page_of(path: Path) -> str:
    """A notebook as Markdown."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            source = re.sub(r"\]\(([\w./]+)\.ipynb", r"](\1.md", source)
            source = re.sub(r"\]\(\.\./docs/", "](../", source)
            source = re.sub(r"(`docs/([\w/-]+\.md)`)", r"[\1](../\2)", source)  # where Jupyter runs, a link would lead nowhere
            parts.append(mathematics(source))
        else:
            parts.append(f"```python\n{source}\n```")
            shows = re.sub(
                r"\n?```\n\n```text\n", "\n", "\n\n".join(map(shown, joined(cell["outputs"])))
            )  # lines one by one are one text
            parts.append(f'<div class="output" style="overflow-x:auto" markdown="1">\n\n{shows}\n\n</div>')
    return "\n\n".join(parts) + f"\n\nThis page is `notebooks/{path.name}`, as it was run. {NEEDED}\n"


def title(path: Path) -> str:
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
    return "".join(first).splitlines()[0].lstrip("# ")


NEEDED = "Without a checkout, `pip install 'micrograd-engine[notebook]'` brings what it imports."
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


# -- what MkDocs calls


def on_config(config: Any) -> Any:
    tutorial = [{title(path): f"tutorial/{path.stem}.md"} for path in NOTEBOOKS]
    tutorial += [{said: f"{name}.html"} for name, said in LIVING.items()]
    pages = [{said: f"reference/{room}.md"} for room, said in ROOMS.items()]
    for entry in config.nav:
        for name in entry:
            entry[name] = {"Tutorial": tutorial, "Reference": pages}.get(name, entry[name])
    return config


def on_files(files: Any, config: Any) -> Any:
    for path in NOTEBOOKS:
        files.append(File.generated(config, f"tutorial/{path.stem}.md", content=page_of(path)))
    for room, entries in reference().items():
        said = ROOMS.get(room, room)
        text = "\n\n".join([f"# {said}", *INTRODUCED.get(room, ()), *[entry(name, value) for name, value in entries]])
        files.append(File.generated(config, f"reference/{room}.md", content=text))
    for name in ("compiled.png", "curves.png"):
        files.append(File.generated(config, f"pictures/{name}", content=(ROOT / "benchmarks" / name).read_bytes()))
    return files


def on_page_markdown(text: str, page: Any, config: Any, files: Any) -> str:
    """Links to files of the repository that are no pages of the site become their names."""

    def named(m: re.Match[str]) -> str:
        if (ROOT / "docs" / m[2]).exists():  # beside the how-to pages, not above them
            return m[0]
        return f"`{m[2]}`" if m[1] == m[2] else f"{m[1]} (`{m[2]}`)"

    return re.sub(r"\[([^\]]+)\]\(\.\./((?:benchmarks|tests|notebooks|micrograd)/[^)]+|\w+\.\w+)\)", named, text)


def on_page_content(content: str, page: Any, config: Any, files: Any) -> str:
    return re.sub(r"⟦(\d+)⟧", lambda m: KEPT[int(m[1])], content)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """The one script that the theme takes from elsewhere, where pages are opened as files, is beside them."""
    return output.replace("https://unpkg.com/iframe-worker/shim", "../" * page.url.count("/") + "javascripts/iframe-worker.js")


def on_post_template(output: str, template_name: str, config: Any) -> str:
    if template_name == "404.html":  # takes its styles from the root of a host, where this site need not be: left to the host
        return ""
    return output.replace("https://unpkg.com/iframe-worker/shim", "javascripts/iframe-worker.js")
