"""Drawing: what it offers, how it is saved and shown, what it says where something is missing; the command line."""

import base64
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import graphviz
import pytest
from graphs_to_draw import example, hostile, network

from micrograd import MLP, Value
from micrograd.command.main import main
from micrograd.draw import Drawing, draw_dot, to_mermaid
from micrograd.draw.tikz import escaped

NEEDS_DOT = pytest.mark.skipif(shutil.which("dot") is None, reason="needs the program `dot` of Graphviz")


def test_the_three_ways_to_a_drawing():
    root = example()
    drawings = [root.draw(), draw_dot(root), Drawing(root)]
    assert len({d.svg for d in drawings}) == 1 and all(isinstance(d, Drawing) for d in drawings)
    assert draw_dot(root, "svg", "TB").svg == root.draw(rankdir="TB").svg != drawings[0].svg
    assert to_mermaid(root) == drawings[0].to_mermaid()
    assert isinstance(drawings[0].digraph, graphviz.Digraph) and drawings[0].source == drawings[0].digraph.source
    assert draw_dot(root, format="png").digraph.format == "png"


@NEEDS_DOT
def test_render_pipe_and_view_are_those_of_a_digraph(tmp_path, monkeypatch):
    """As the lecture calls them on what its draw_dot returns."""
    drawing = draw_dot(example())
    assert b"<svg" in drawing.pipe(format="svg") and drawing.pipe(format="png").startswith(b"\x89PNG")
    assert (
        drawing.render("graph", directory=tmp_path, format="svg") == str(tmp_path / "graph.svg")
        and (tmp_path / "graph.svg").exists()
    )
    seen = []
    monkeypatch.setattr(graphviz.Digraph, "view", lambda self, *args, **options: seen.append((args, options)))
    drawing.view("graph", cleanup=True)
    assert seen == [(("graph",), {"cleanup": True})]


def lecture_trace(root):
    nodes, edges = set(), set()

    def build(v):
        if v not in nodes:
            nodes.add(v)
            for child in v._prev:
                edges.add((child, v))
                build(child)

    build(root)
    return nodes, edges


def recurrence():
    """A graph with labels that people write, and that are no record."""
    h, w = Value(0.5, label="h_{t-1}"), Value(-1.0, label=r"W_{hh}^{[1]}|\N <{")
    out = (h * w).tanh()
    out.label = r"\hat{y}"
    return out


@NEEDS_DOT
@pytest.mark.parametrize("make", [example, network, lambda: MLP(3, [4, 4, 1])([2.0, 3.0, -1.0]), recurrence])
def test_the_lectures_own_drawing_code_draws_networks_of_this_package(make):
    """Cell for cell: labels in record shapes, where a brace would open a field."""
    dot = graphviz.Digraph(format="svg", graph_attr={"rankdir": "LR"})
    nodes, edges = lecture_trace(make())
    for n in nodes:
        uid = str(id(n))
        dot.node(name=uid, label="{ %s | data %.4f | grad %.4f }" % (n.label, n.data, n.grad), shape="record")  # noqa: UP031
        if n._op:
            dot.node(name=uid + n._op, label=n._op)
            dot.edge(uid + n._op, uid)
    for n1, n2 in edges:
        dot.edge(str(id(n1)), str(id(n2)) + n2._op)
    ran = subprocess.run(["dot", "-Tsvg"], input=dot.source.encode(), capture_output=True, check=True)
    texts = re.findall("<text[^>]*>(.*?)</text>", ran.stdout.decode())
    assert ran.stderr == b"" and len(texts) == 3 * len(nodes) + sum(1 for n in nodes if n._op)
    assert {str(n.label) for n in nodes if n.label} <= {unescape(text).strip() for text in texts}


def test_a_drawing_is_a_snapshot():
    a = Value(2.0, label="a")
    out = a * 3.0
    before = out.draw()
    shown = before.svg
    a.data = 7.0
    out.recompute()
    assert before.explore().html.count("7.0") == 0 and out.draw().svg != shown


@pytest.mark.parametrize("ending", ["svg", "html", "tex", "dot", "gv", "mmd", "SVG"])
def test_saving_needs_no_program(ending, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    drawing = example().draw()
    file = tmp_path / f"x.{ending}"
    drawing.save(file)
    text = file.read_text(encoding="utf-8")
    if ending.lower() == "svg":
        assert ET.fromstring(text).tag.endswith("svg")
    drawing.explore().save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == drawing.explore().page
    assert text == {"svg": drawing.svg, "html": drawing.explore().page, "mmd": drawing.to_mermaid(), "tex": drawing.tikz}.get(
        ending.lower(), drawing.source
    )


@pytest.fixture
def no_cairosvg(monkeypatch):
    """As if the extra `png` were not installed."""
    monkeypatch.setitem(sys.modules, "cairosvg", None)


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_png_and_pdf_say_what_to_install(ending, tmp_path, monkeypatch, no_cairosvg):
    monkeypatch.setenv("PATH", "")
    file = tmp_path / f"x.{ending}"
    with pytest.raises(RuntimeError, match=rf"{ending.upper()} is made by cairosvg.*Graphviz.*or save as .svg or .html"):
        example().draw().save(file)
    assert not file.exists()


@NEEDS_DOT
@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
@pytest.mark.parametrize("make", [example, hostile])
def test_png_and_pdf_with_dot_alone(make, ending, magic, tmp_path, no_cairosvg):
    make().draw().save(tmp_path / f"x.{ending}")
    assert (tmp_path / f"x.{ending}").read_bytes().startswith(magic)


@pytest.mark.parametrize("make", [example, hostile, network])
def test_png_and_pdf_are_the_picture_that_is_shown(make, tmp_path, monkeypatch):
    cairosvg = pytest.importorskip("cairosvg", reason="the extra `png` makes PNG and PDF", exc_type=ImportError)
    monkeypatch.setenv("PATH", "")
    drawing = make().draw(theme="dark")
    drawing.save(tmp_path / "x.png")
    drawing.save(tmp_path / "x.pdf")
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "x.png").read_bytes() == cairosvg.svg2png(drawing.svg.encode(), scale=2)


@pytest.mark.parametrize("view", ["graph", "network"])
def test_what_is_faint_in_the_picture_is_faint_in_every_format(view):
    model = MLP(2, [2, 1], activation="tanh", seed=1)
    loss = model([0.5, -1.0]) ** 2
    w = model.layers[0].neurons[0].w[1]
    some, all_ = loss.draw(view=view, through=w), loss.draw(view=view)
    for made in ("svg", "tikz", "source"):
        assert getattr(some, made) != getattr(all_, made)
    assert "classDef faint opacity:0.3" in some.to_mermaid() and "faint" not in all_.to_mermaid()
    assert "linkStyle" in some.to_mermaid() and "opacity=0.3" in some.tikz


def test_it_is_the_rest_that_is_faint():
    a, b, c = Value(2.0, label="a"), Value(3.0, label="b"), Value(5.0, label="c")
    drawing = (a * b + c.exp()).draw(through=a)
    boxes = drawing.picture.boxes
    rest = [k for k in range(len(boxes)) if k not in drawing.lit]
    assert {boxes[k].label for k in rest} >= {"b", "c"}
    mermaid = drawing.to_mermaid()
    assert f"    class {','.join([f'n{k}' for k in rest])} faint\n" in mermaid
    arrows = re.findall(r"^    n(\d+) -.*n(\d+)$", mermaid, re.M)
    faint = [k for k, (source, _) in enumerate(arrows) if int(source) in rest]
    assert len(arrows) == 5 and f"    linkStyle {','.join(map(str, faint))} opacity:0.3\n" in mermaid
    inside, outside = drawing.tikz.split("\\begin{scope}")[1].split("\\end{scope}")
    written = [
        [label for label in "abc" if re.search(rf"{{{label}}};|\\textit{{{label}}}", part)] for part in (inside, outside)
    ]
    assert written == [["b", "c"], ["a"]]


def test_the_picture_that_a_page_shows_without_scripts_says_what_it_is():
    out = Value(2.0, label="x").exp()
    out.label = '"><b>&amp;'
    drawing = out.draw()
    assert out.label in drawing.title

    class Images(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag == "img":
                found.append(dict(attrs)["alt"])

        def handle_data(self, data):
            if self.lasttag == "title" and data.strip():
                found.append(data)

    page = drawing.explore()
    for html, count in ((page.html, 1), (drawing._repr_mimebundle_()["text/html"], 1), (page.page, 2)):
        found = []
        Images().feed(html)
        assert found == [drawing.title] * count


def test_letters_of_all_languages_are_in_the_tikz_picture():
    text = Value(1.0, label="日 Ж é ω").draw().tikz
    assert r"""\mgletter{"65E5} \mgletter{"416} \'{e} $\omega $""" in text and text.count(r"\providecommand\mgletter") == 1
    assert escaped("ŷ ş ő ł ı ñ ί θ\u0302 Gauß") == r"\^{y} \c{s} \H{o} \l{} \i{} \~{n} $\acute{\iota }$ $\hat{\theta }$ Gauß"
    assert escaped("ŷθ\u0302é", mathematics=True) == r"\hat{y}\hat{\theta }\acute{e}"
    assert "mgletter" not in example().draw().tikz


@pytest.mark.slow
@pytest.mark.parametrize("program", ["pdflatex", "xelatex", "lualatex"])
def test_latex_sets_the_drawing(program, tmp_path):
    if shutil.which(program) is None:
        pytest.skip(f"no {program} was found: it comes with TeX Live")
    model = MLP(2, [3, 2], activation="tanh", seed=1)
    net = sum(model([0.5, -1.0])).draw(view="network", through=model.layers[0].neurons[1].w[0])
    inputs = ""
    letters = sum([Value(1.0, label=label) for label in ("日 Ж", "şőłičé", "ελπίδα", r"\hat{y}_1", r"\tilde\theta", "x_{ŷ}")])
    drawn = {"example": example().draw(), "hostile": hostile().draw(theme="dark"), "net": net, "letters": letters.draw()}
    for name, drawing in drawn.items():
        drawing.save(tmp_path / f"{name}.tex")
        inputs += f"\\input{{{name}}}\\par\n"
    (tmp_path / "paper.tex").write_text(
        f"\\documentclass{{article}}\\usepackage{{tikz}}\\begin{{document}}\n{inputs}\\end{{document}}\n", encoding="utf-8"
    )
    command = [program, "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if "tikz.sty' not found" in ran.stdout:
        pytest.skip("this LaTeX has no TikZ")
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "paper.log").read_text(encoding="utf-8", errors="replace")  # "?" stands there


@pytest.mark.parametrize("view", ["graph", "network"])
def test_frames_go_forward_and_back(view, tmp_path):
    model = MLP(2, [2, 1], activation="tanh", seed=1)
    loss = model([0.5, -1.0]) ** 2
    drawing = loss.draw(view=view, unfold="all")
    paths = drawing.frames(tmp_path / "step-*.svg")
    pictures = [Path(path).read_text(encoding="utf-8") for path in paths]
    operations = len([box for box in drawing.picture.boxes if box.kind == "operation"])
    assert len(paths) == (2 * operations + 2 if view == "graph" else 3 + 1 + 2)
    assert sorted(map(str, tmp_path.iterdir())) == paths
    assert len({re.search(r'<svg [^>]*viewBox="([^"]*)"', picture)[1] for picture in pictures}) == 1

    def shown(picture):
        body = picture.split("</title>", 1)[1] if view == "graph" else re.sub("<g opacity.*?</g>\n(?=<g>|<text)", "", picture)
        return set(re.findall(">(?:δ |∂ )?([−\\d.e]+)</text>", body))

    assert shown(pictures[-1]) >= shown(drawing.svg) - {"0"}
    counts = [len(re.findall(">(?:δ|∂) [−\\d]", picture)) for picture in pictures]
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == len(re.findall(">(?:δ|∂) [−\\d]", drawing.svg))
    for bad in ("step.svg", "a*/x.svg", "*-*.svg"):
        with pytest.raises(ValueError, match="one \\* for the number"):
            drawing.frames(bad)
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf or \.tex, got '\.gif'"):
        drawing.frames("x*.gif")


def test_show_opens_the_picture_and_the_page(monkeypatch):
    seen = []
    monkeypatch.setattr("webbrowser.open", seen.append)
    drawing = example().draw()
    for shown, text in ((drawing, drawing.svg), (drawing.explore(), drawing.explore().page)):
        path = Path(shown.show())
        assert path.read_text(encoding="utf-8") == text and seen[-1] == path.as_uri()
        shutil.rmtree(path.parent)


def test_what_is_refused():
    root = example()
    for call, words in [
        (lambda: root.draw().save("x.jpg"), "saved as .svg, .html, .png, .pdf, .tex, .dot, .gv or .mmd, got 'x.jpg'"),
        (lambda: root.draw().save("svg"), "got 'svg'"),
        (lambda: root.draw(rankdir="UP"), "got 'UP'"),
        (lambda: root.draw(format="gif"), "got 'gif'"),
        (lambda: root.draw(limit=0), "got 0"),
        (lambda: root.draw(through="w_1"), "such as output['w_1'], got 'w_1'"),
        (lambda: root.draw(through=["w_2"]), "got 'w_2'"),
    ]:
        with pytest.raises(ValueError, match=re.escape(words)):
            call()


def test_what_jupyter_shows():
    assert not hasattr(Value, "_repr_mimebundle_") and not hasattr(Value, "_repr_svg_") and not hasattr(Value, "_repr_html_")
    bundle = network().draw()._repr_mimebundle_()
    assert bundle["image/svg+xml"] == network().draw().svg
    assert re.fullmatch(
        r"<Graph of L = .*: 26 values as a network; \.svg, \.save\(path\), \.explore\(\)>", bundle["text/plain"]
    )
    image = re.search(r'<img class="jp-mod-unconfined" [^>]*src="data:image/svg\+xml;base64,([^"]*)">', bundle["text/html"])
    assert base64.b64decode(image[1]).decode() == bundle["image/svg+xml"]
    assert bundle["text/html"].startswith('<div style="overflow-x:auto;')
    assert set(network().draw().explore()._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_what_a_page_has_room_for_does_not_scroll_in_a_notebook_that_is_not_trusted(browser):
    """JupyterLab lets through lengths alone, and keeps 20 pixels on the right of what is HTML."""
    drawing = network().draw(view="network")
    shown = drawing._repr_mimebundle_()["text/html"].replace("width:max-content;", "").partition("<script>")[0]
    wide = float(re.search('width="([^"]*)"', drawing.svg)[1])
    page = browser.new_page()
    page.set_content(f'<body style="margin:0"><div style="width:{wide - 18}px;padding-right:20px">{shown}</div>')
    page.wait_for_function("document.images[0].complete")
    room = page.evaluate("(d => [d.scrollWidth, d.clientWidth])(document.images[0].parentElement)")
    page.close()
    assert wide <= room[0] == room[1]


def test_a_repr_never_raises(monkeypatch, no_cairosvg):
    monkeypatch.setenv("PATH", "")
    for root in (hostile(), Value(float("nan"), label='"<&>'), example()):
        for drawing in (root.draw(), root.draw(format="png")):
            bundle = drawing._repr_mimebundle_()
            assert set(bundle) == {"text/plain", "text/html", "image/svg+xml"}
            ET.fromstring(re.search("<img [^>]*>", bundle["text/html"])[0].replace('">', '"/>'))
            repr(drawing), repr(drawing.explore())


@NEEDS_DOT
def test_png_in_jupyter(no_cairosvg):
    assert base64.b64decode(example().draw(format="png")._repr_mimebundle_()["image/png"]).startswith(b"\x89PNG")


def test_drawing_is_imported_only_when_it_is_used():
    code = "import sys, micrograd; print(*(m for m in sys.modules if m.startswith(('micrograd.draw', 'graphviz'))))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


# -- the command line


@pytest.mark.parametrize("ending", ["svg", "html", "dot", "mmd"])
def test_the_command_draws(ending, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["draw", "tanh(a*b) + c", "a=1", "b=-2", "c=0.5", "-o", f"graph.{ending}"]) == 0
    assert capsys.readouterr().out == f"wrote graph.{ending}\n"
    a, b, c = Value(1.0, label="a"), Value(-2.0, label="b"), Value(0.5, label="c")
    expected = ((a * b).tanh() + c).draw()
    assert (tmp_path / f"graph.{ending}").read_bytes() == expected.rendered(f"x.{ending}")


def test_the_command_writes_graph_svg_where_nothing_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["draw", "a/0", "a=-1", "--rankdir", "TB", "--limit", "5"]) == 0
    assert (tmp_path / "graph.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tanh(a*b) + d", "a=1", "b=2"], "unknown name 'd': give it a value, d=1.0\n  tanh(a*b) + d\n              ^\n"),
        (["tanh(a*b", "a=1"], "cannot read the expression: '(' was never closed\n  tanh(a*b\n      ^\n"),
        (["a", "a"], "expected name=number, such as a=1.5, got 'a'\n  a\n   ^\n"),
        (["a", "a=1", "-o", "x.jpg"], "needs a file name that ends in .svg"),
        (["a", "a=1", "-o", "/nowhere/x.svg"], "cannot write '/nowhere/x.svg'"),
        (["a", "a=1", "--limit", "0"], "needs a whole number from 1 on"),
    ],
)
def test_bad_input_is_said_in_one_line_with_a_caret(arguments, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["draw", *arguments])
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and out == "" and said in err
    assert list(tmp_path.iterdir()) == []


def test_png_without_dot_from_the_command_line(tmp_path, capsys, monkeypatch, no_cairosvg):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit):
        main(["draw", "a", "a=1", "-o", "x.png"])
    assert "pip install cairosvg" in capsys.readouterr().err and list(tmp_path.iterdir()) == []
