"""The documentation: every public name has an example, the site builds without a warning, all code in it runs."""

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_readme import check

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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for needed in ("material", "latex2mathml"):
        pytest.importorskip(needed, reason="MkDocs builds the site; the extra `docs` has it")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow  # some ten seconds for all pages, and a browser
def test_the_site_has_every_name_needs_no_network_and_its_links_lead_somewhere(site):
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    reference = "".join(text for page, text in pages.items() if page.parent.name == "reference")
    assert not [name for name in micrograd.__all__ if f'id="{name}"' not in reference]
    given = [
        "Jitted.map",
        "Why.node",
        "Path",
        "GradCheck.ok",
        "Row",
        "BugReport",
        "Finding",
        "Exploration",
        "Trace",
        "LayerTrace",
        "save",
        "load",
    ]
    assert not [name for name in given if f'id="{name}"' not in reference]
    inside = ("Jitted.bound_to", "Training.write_data", "Tape.first", "Drawing.scene", "Primitive.is_flat", "SGD.zero_grad")
    assert not [name for name in inside if f'id="{name}"' in reference]  # no part of what is public, or of a base
    words = re.sub("<[^>]*>", "", reference)
    assert "&lt;module" not in words  # with its path on this machine
    assert not [word for word in ("doctest:", "BLANKLINE", r"\^", "_MetadataRequester") if word in words]  # for machines alone
    assert 'id="Value.ceil"' in reference and "Value.ceil(x)" not in words  # as Value.floor, of this Value
    assert 'href="../training.html"' in (site / "how-to" / "teach.html").read_text(encoding="utf-8")
    chapters = {page.stem: text for page, text in pages.items() if page.parent.name == "tutorial"}
    assert chapters["02_backpropagation"].count("<mtable") >= 5  # explanations are mathematics, as in Jupyter
    assert not [name for name, text in chapters.items() if "aligned" in re.sub("<pre.*?</pre>", "", text, flags=re.S)]
    for page, text in pages.items():
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]* (?:src|href)="(?!data:)([^"]*)"', text)
        assert not [address for address in loaded if "//" in address], page
        if page.parent == site and page.stem in ("neuron", "network", "training"):
            continue  # the living pages, which have tests of their own
        local = {a for a in re.findall(r'(?:src|href)="([^"#]+)', text) if not re.match(r"[a-z]+:", a)}
        assert not [a for a in local if not (page.parent / a).exists()], page


@pytest.mark.slow
def test_the_search_works_from_files(site, browser):
    page = browser.new_page()
    page.goto((site / "how-to" / "nan.html").as_uri())
    page.locator(".md-search__input").first.fill("logsumexp")
    page.wait_for_selector(".md-search-result__item", timeout=90_000)  # a busy machine took more than 30 s once
    assert "logsumexp" in page.locator(".md-search-result__list").inner_text().lower()
    page.close()


BROKEN = r"""[...document.querySelectorAll(".md-content td, .md-content th")].flatMap(cell => {
    const words = [], texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) for (const found of texts.currentNode.data.matchAll(/[A-Za-z]+/g)) {
        const range = document.createRange();
        range.setStart(texts.currentNode, found.index);
        range.setEnd(texts.currentNode, found.index + found[0].length);
        if (!texts.currentNode.parentElement.closest("code") && range.getClientRects().length > 1) words.push(found[0]);
    }
    return words;
}).join(" ")"""  # the words of tables that are on two lines; code has no other place to break


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 850, 390])
def test_pages_fit_their_width_and_living_pages_live(site, browser, width):
    errors = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("pageerror", lambda error: errors.append(str(error)))
    for path in [f for f in site.rglob("*.html") if f.parent != site or f.stem in ("index", "conventions", "suite", "scale")]:
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert not page.evaluate(BROKEN), path
        if width > 800:  # narrower, tables, pictures and code scroll
            cut = page.evaluate("""[...document.querySelectorAll(".md-content table")].some(
                t => t.scrollWidth > t.parentElement.parentElement.clientWidth)""")
            assert not cut, path
            wide = page.evaluate("""[...document.querySelectorAll(".md-content :not(.output) > .highlight code")].filter(
                c => c.scrollWidth > c.clientWidth + 1 && c.clientWidth).map(c => c.innerText.slice(0, 60))""")
            assert not wide, path
        else:
            shrunk = page.evaluate("[...document.querySelectorAll('.output img')].some(i => i.clientWidth < i.naturalWidth)")
            assert not shrunk, path
        if path.stem in ("01_scalar_autodiff", "03_training"):
            page.locator(".mg-explore button:visible").first.wait_for()
    page.close()
    assert not errors


@pytest.mark.slow
def test_the_site_is_light_or_dark_as_the_reader_has_it_and_pictures_and_living_pages_follow(site, browser):
    for scheme, other in (("light", "dark"), ("dark", "light")):
        page = browser.new_page(color_scheme=scheme)
        page.goto((site / "tutorial" / "03_training.html").as_uri())
        page.locator(".mg-explore button:visible").first.wait_for()
        for said in (scheme, other):  # and after a click on the toggle
            page.wait_for_selector(".mg-explore.mg-dark" if said == "dark" else ".mg-explore:not(.mg-dark)")
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
            assert (max(ground) < 60) == (said == "dark")
            turned = page.evaluate("getComputedStyle(document.querySelector('.md-content .output img')).filter")
            assert ("invert" in turned) == (said == "dark")
            page.locator(".md-header__option label:visible").click()
        page.close()


PAGES = sorted([*(ROOT / "docs").glob("how-to/*.md"), *(ROOT / "docs").glob("explanations/*.md"), ROOT / "docs" / "index.md"])
ELSEWHERE = ("training", "browser")  # whose code tests/nn and test_pyodide.py run


@pytest.mark.parametrize("path", [p for p in PAGES if p.stem not in ELSEWHERE], ids=lambda p: p.stem)
def test_the_code_of_a_page_runs_and_gives_the_numbers_beside_it(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rules, names = dict(micrograd.primitives.RULES), {}
    snippets = re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert snippets
    try:
        for snippet in snippets:
            pairs = check(snippet, names)
            assert [stated for stated, _ in pairs] == [found for _, found in pairs]
    finally:
        micrograd.primitives.RULES.clear()
        micrograd.primitives.RULES.update(rules)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_a_page_names_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    names = re.findall(r"`([\w./]+\.(?:py|md|toml)|\w+/(?:\w+/)*)`", text)
    ours = ("benchmarks", "docs", "micrograd", "notebooks", "tests")  # an environment beside them has ten thousands
    there = {f"{f.relative_to(ROOT)}{'/' * f.is_dir()}" for folder in ours for f in (ROOT / folder).rglob("*")}
    there |= {f"{f.name}{'/' * f.is_dir()}" for f in ROOT.iterdir()}
    assert len(names) > 15
    assert [name for name in names if not any(f"/{f}".endswith(f"/{name}") for f in there) and name != "dist/"] == []
