"""Pictures written down: SVG, DOT and Mermaid, golden and well-formed, whatever the labels."""

import builtins
import math
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from graphs_to_draw import chain, example, hostile, network, neuron, recurrent, square, tangled

import micrograd.draw
from micrograd import MLP, Value, constant, dot, maximum, primitive, sum, where
from micrograd.draw.lettering import clean, clip, number, numbers, plain, runs, width
from micrograd.draw.style import DARK, LIGHT
from micrograd.primitives import RULES

GOLDEN = Path(__file__).parent / "golden"
MADE = {"example": (example, {}), "neuron": (neuron, {}), "network": (network, {"limit": 90}),
        "down": (example, {"rankdir": "TB"}),
        "folded": (lambda: network(20, (16, 16), "relu"), {"limit": 20})}  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"
# What notebooks let through: shapes, text and their presentation attributes.
ELEMENTS = {"svg", "title", "rect", "path", "g", "text", "tspan"}
ATTRIBUTES = {
    "xmlns", "width", "height", "viewBox", "role", "aria-label", "font-family", "fill", "transform", "x", "y", "rx", "d", "dx",
    "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-weight", "font-style", "text-anchor", "dy",
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("ending", ["svg", "dot", "mmd"])
def test_golden(name, ending):
    """Set MICROGRAD_WRITE_GOLDEN=1 to write the files anew, and look at them before they are committed."""
    make, options = MADE[name]
    made = make().draw(**options).rendered(f"{name}.{ending}")
    file = GOLDEN / f"{name}.{ending}"
    if os.environ.get("MICROGRAD_WRITE_GOLDEN"):
        file.write_bytes(made)
    assert made == file.read_bytes()


def test_the_same_bytes_whatever_was_built_before_and_under_every_hash_seed():
    program = (
        f"import sys, hashlib; sys.path.insert(0, {str(Path(__file__).parent)!r}); from graphs_to_draw import *\n"
        "for make in (lambda: network(20, (16, 16)), lambda: tangled(60, 1), hostile, recurrent):\n"
        "    d = make().draw(); print(hashlib.sha256((d.svg + d.source + d.to_mermaid() + d.explore().page)"
        ".encode('utf-8', 'surrogatepass')).hexdigest())"
    )
    found = {
        subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True,
                       text=True, check=True, cwd=Path(__file__).parent.parent.parent).stdout for seed in ("0", "1", "77")
    }  # fmt: skip
    assert len(found) == 1 and len(found.pop().split()) == 4
    model = MLP(2, [3, 1], seed=1)
    first, _, later = (model([0.5, 0.25]).draw().svg for _ in range(3))
    assert first == later


@pytest.mark.parametrize(
    "make",
    [example, neuron, network, recurrent, hostile, lambda: tangled(60, 2), lambda: chain(200), lambda: network(20, (16, 16))],
)
@pytest.mark.parametrize("rankdir", ["LR", "TB"])
def test_svg_is_well_formed_and_keeps_to_what_notebooks_let_through(make, rankdir):
    drawing = make().draw(rankdir=rankdir)
    root = ET.fromstring(drawing.svg.encode())
    assert {e.tag.removeprefix(SVG) for e in root.iter()} <= ELEMENTS
    assert {a for e in root.iter() for a in e.attrib} <= ATTRIBUTES
    background = root.find(f"{SVG}rect")
    assert background.attrib == {"width": root.get("width"), "height": root.get("height"), "fill": "#ffffff"}
    assert f"0 0 {root.get('width')} {root.get('height')}" == root.get("viewBox")


def test_hostile_labels_are_text():
    drawing = hostile().draw()
    root = ET.fromstring(drawing.svg.encode())
    texts = ["".join(e.itertext()) for e in root.iter(f"{SVG}text")]
    for shown in ("<script>alert('x')</script>", '"quoted" & {braces} | \\n', "two⏎lines␉and␀null", "😀 日本語", "]]>", "W<b>&",
                  "`tick` ${js} </style>", "a_{b}_{c", "lone � surrogate", "xxxxxxxxxxxxxxxxxxx…xxxxxxxx"):  # fmt: skip
        assert shown in texts
    drawing.source.encode()
    mermaid = drawing.to_mermaid()
    mermaid.encode()
    assert "<script" not in mermaid and len(drawing.svg) < 60_000


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs the program `dot` of Graphviz")
@pytest.mark.parametrize("make", [example, square, neuron, network, hostile, lambda: chain(200), lambda: network(20, (16, 16))])
def test_dot_accepts_the_source(make):
    drawing = make().draw(view="graph")
    ran = subprocess.run(["dot", "-Tplain"], input=drawing.source.encode(), capture_output=True, check=True)
    assert ran.stderr == b""
    assert len(re.findall(rb"^node ", ran.stdout, re.MULTILINE)) == len(drawing.picture.boxes)
    assert len(re.findall(rb"^edge ", ran.stdout, re.MULTILINE)) == len(drawing.picture.edges)


def texts_of(drawing):
    return list(ET.fromstring(drawing.svg.encode()).iter(f"{SVG}text"))


def test_mathematics_has_true_subscripts_and_superscripts():
    drawing = MLP(2, [3, 1], seed=1)([0.5, 1.0]).draw()
    (weight, *_) = [t for t in texts_of(drawing) if "".join(t.itertext()) == "W12[1]"]
    base, low, high = weight
    assert (base.text, low.text, high.text) == ("W", "12", "[1]")
    assert float(low.get("dy")) > 0 > float(low.get("dy")) + float(high.get("dy")) and float(high.get("dx")) < 0
    assert float(low.get("font-size")) == float(high.get("font-size")) < float(weight.get("font-size"))
    assert "<I>W</I><SUB>12</SUB><SUP>[1]</SUP>" in drawing.source
    assert "W₁₂⁽¹⁾" in drawing.to_mermaid()


@pytest.mark.parametrize(
    ("label", "pieces"),
    [
        ("W_{12}^{[1]}", [("W", 0), ("12", -1), ("[1]", 1)]),
        ("x_1", [("x", 0), ("1", -1)]),
        ("w_ij", [("w", 0), ("ij", -1)]),
        ("δ'^2", [("δ'", 0), ("2", 1)]),
        ("loss_{train}", [("loss", 0), ("train", -1)]),
        ("a", [("a", 0)]),
        ("learning_rate", [("learning_rate", 0)]),
        ("x_", [("x_", 0)]),
        ("_x", [("_x", 0)]),
        ("a_{b", [("a_{b", 0)]),
        ("__init__", [("__init__", 0)]),
        ("x ** 2", [("x ** 2", 0)]),
        ("", [("", 0)]),
    ],
)
def test_which_labels_are_mathematics(label, pieces):
    assert runs(label) == pieces


def test_lettering():
    assert plain("W_{1,12}^{[3]}") == "W₁,₁₂⁽³⁾" and plain("x_{max}") == "xₘₐₓ" and plain("x_{y}") == "x_y"
    assert clean("a\nb\tc\x00\ud800\x85") == "a⏎b␉c␀\ufffd\ufffd" and clip("x" * 100).count("x") == 27
    assert [number(x) for x in (1.0, -0.5, 1 / 3, 1e-12, -1e20, float("nan"), -float("inf"))] == [
        "1", "−0.5", "0.3333", "1e−12", "−1e+20", "nan", "−∞"]  # fmt: skip
    assert number(-0.0) == "0" and number(-0.0, 17) == "0.0"
    assert numbers((0.12345, 2.0)) == "0.123 … 2" and numbers((0.12345,)) == "0.1235" and numbers((1.0001, 1.0002)) == "1"
    assert width("W", 10) > width("i", 10) and width("😀", 10) > 10 and width("e\u0301", 10) == width("e", 10)


def test_constants_are_lighter_and_zero_edges_dashed():
    a, b = Value(1.0, label="a"), Value(-2.0, label="b")
    drawing = (b.relu() + a * constant(3.0, "three")).draw()
    paths = [p for p in ET.fromstring(drawing.svg.encode()).iter(f"{SVG}path") if p.get("fill") == "none"]
    dashed = [p for p in paths if p.get("stroke-dasharray")]
    assert len(dashed) == 1 == builtins.sum(edge.flow == 0 for edge in drawing.picture.edges)
    light = [p for p in paths if p.get("stroke") == "#cbd5e1"]
    assert len(light) == 1 == builtins.sum(edge.flow is None for edge in drawing.picture.edges)
    assert "dashed: nothing flows back" in drawing.svg and "dashed" in drawing.source and "-.->" in drawing.to_mermaid()


def test_plain_numbers_stand_inside_the_operation():
    a, b = Value(2.0, label="a"), Value(0.5, label="b")
    written = [(a**2, "a²"), (a - 1, "a − 1"), (3 * a, "3 · a"), (a * -1.5, "a · (−1.5)"), (1 / a, "1 / a"), (2**a, "2^a"),
               (a.sqrt(), "√x"), (a.tanh(), "tanh"), (a * b, "×"), (sum([a, b, 1]), "Σ + 1"), (dot([a, b], [b, a]), "Σxy"),
               (dot([a], [b], 0.5), "Σxy + 0.5"), (dot([a], [b], a), "Σxy + c"), (where(a, b, 3.0), "where(a, b, 3)"),
               (maximum(a, 0.0), "maximum(a, 0)"), ((a * b) ** 2, "x²"), ((Value(2.0, label="x") * b) ** 2, "u²"),
               (Value(2.0, label="W_12^[1]") - 1, "x − 1")]  # fmt: skip
    for value, text in written:
        picture = value.draw().picture
        assert picture.boxes[picture.output].tag == text
        assert all(box.kind != "constant" for box in picture.boxes)
        assert text in value.draw().svg and text.replace("*", "") in value.draw().source
    shared = constant(2.0)
    assert [box.kind for box in (a * shared + b * shared).draw().picture.boxes].count("constant") == 1
    named = (a * constant(2.0, "two")).draw().picture
    assert [box.label for box in named.boxes] == ["a", "two", ""] and named.boxes[-1].tag == "×"


def test_edges_between_two_values_are_merged_where_they_are_many():
    x = Value(3.0, label="x")
    drawing = sum([x] * 100_000).draw()
    (edge,) = drawing.picture.edges
    assert (edge.many, edge.local, edge.flow) == (100_000, 100_000.0, 100_000.0) and len(drawing.svg) < 5_000


def test_names_of_operations_are_cleaned_as_labels_are():
    name = "bad\n<b>\ud800|\u202e"
    rule = primitive(name, name, lambda x: x, 1.0)
    drawing = rule(Value(1.0, label="a")).draw()
    del RULES[name]
    ET.fromstring(drawing.svg.encode())
    drawing.source.encode(), drawing.to_mermaid().encode()
    assert "\n" not in drawing.picture.boxes[-1].tag and len(drawing.to_mermaid().splitlines()) == 6


def test_the_first_nan_or_infinity_is_marked_by_a_sign():
    x, y = Value(0.0, label="x"), Value(2.0, label="y")
    drawing = ((x.log() * y).tanh() + (y - 1) ** 2).draw()
    (marked,) = [box for box in drawing.picture.boxes if box.broken]
    assert (marked.tag, marked.broken) == ("log", "value") and ">!</text>" in drawing.svg
    assert "the first nan or infinity arose here" in drawing.svg
    assert drawing.source.count("⚠") == drawing.to_mermaid().count("⚠") == 1
    back = (x.sqrt() * y).draw()
    (marked,) = [box for box in back.picture.boxes if box.broken]
    assert (marked.tag, marked.broken) == ("√x", "gradient")
    assert not any(box.broken for box in (y * y).draw().picture.boxes)


def contrast(one, two):
    def light(colour):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        r, g, b = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted([light(one), light(two)], reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_legend_says_what_the_letter_in_an_operation_stands_for():
    x = Value(2.0, label="x")
    unnamed = (x.relu() * 2).draw().svg
    assert ">u · 2</text>" in unnamed and "u: what comes in" in unnamed
    assert "what comes in" not in (x * 2).draw().svg


@pytest.mark.parametrize("script", sorted(Path(micrograd.draw.__file__).parent.glob("page/*.js")), ids=lambda path: path.stem)
def test_scripts_take_their_colours_from_the_palette(script):
    assert not re.findall(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})\b|\b(?:hsl|rgb)a?\(", script.read_text(encoding="utf-8"))


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_a_contrast_of_four_and_a_half(palette):
    papers = [palette.paper, *[fill for fill, _ in palette.kinds.values()]]
    for colour in (palette.ink, palette.quiet, palette.value, palette.gradient, palette.local, palette.broken):
        on = papers if colour not in (palette.local, palette.broken) else papers[:1]
        assert all(contrast(colour, paper) >= 4.5 for paper in on), colour


def test_edges_grow_with_what_flows():
    a, b, c = Value(1.0, label="a"), Value(1.0, label="b"), Value(1.0, label="c")
    drawing = (a * 1.0 + b * 10.0 + c * 100.0).draw()
    flows = {drawing.picture.boxes[e.source].label: e.flow for e in drawing.picture.edges}
    assert (flows["a"], flows["b"], flows["c"]) == (1.0, 10.0, 100.0)
    widths = [float(w) for w in re.findall(r'fill="none" stroke="[^"]+" stroke-width="([\d.]+)"', drawing.svg)]
    by_edge = dict(zip((drawing.picture.boxes[e.source].label for e in drawing.picture.edges), widths, strict=True))
    assert by_edge["a"] < by_edge["b"] < by_edge["c"]


def test_infinite_and_missing_numbers_draw():
    x = Value(0.0, label="x")
    for root in (x.log(), x.sqrt() * 0, 1 / x, (x - 1).log(), x * float("inf")):
        drawing = root.draw()
        ET.fromstring(drawing.svg.encode())
        assert "nan" in drawing.svg or "∞" in drawing.svg
        assert drawing.source and drawing.to_mermaid() and drawing.explore().html


def test_edges_of_nan_and_inf_stand_out():
    x, w = Value(0.0, label="x"), Value(3.0, label="w")
    drawing = ((x * w).log() + (x + w) * 2).draw()
    broken = [not math.isfinite(e.flow) for e in drawing.picture.edges if e.flow is not None]
    assert broken.count(True) == 3 and broken.count(False) == 5
    widest = re.findall(r'fill="none" stroke="#db2777" stroke-width="3.50"', drawing.svg)
    assert len(widest) == 3 == drawing.source.count('color="#db2777" penwidth=3.50')
    assert re.search('fill="#db2777">[ ·]*dots and dashes: nan or ∞ flows back', drawing.svg)
    assert "#db2777" not in (x * w + 2).draw().svg


def test_an_infinite_flow_leaves_the_others_their_widths():
    x, w = Value(0.0, label="x"), Value(3.0, label="w")

    def widths(root):
        found = re.findall(r'stroke-width="([\d.]+)"', root.draw().svg), re.findall(r"penwidth=([\d.]+)", root.draw().source)
        return [set(of) for of in found]

    finite = (w * 4.0 + w.exp() * 0.1) * 1.0
    for few, many in zip(widths(finite), widths(finite + x.sqrt()), strict=True):
        assert len(few) > 2 and few <= many


def test_flows_that_add_up_beyond_the_floats_draw():
    """17 times 1e307 through one folded layer."""
    model = MLP(1, [3, 1], activation="linear", seed=1)
    for p in model.parameters():
        p.data = 1.0
    drawing = (model([Value(1.0)]) * 1e307 * 17.0).draw(limit=3)
    assert math.inf in [e.flow for e in drawing.picture.edges]
    ET.fromstring(drawing.svg.encode())


def test_each_kind_has_an_outline_of_its_own():
    """Told apart by more than colour: with colours and words taken away, five kinds of box remain different."""
    model = MLP(2, [2, 1], activation="tanh", seed=1)
    drawing = ((model([0.5, 1.0]) + constant_and_leaf()) * 2).draw(limit=90)
    shapes = {}
    for group, box in zip(ET.fromstring(drawing.svg.encode()).iter(f"{SVG}g"), drawing.picture.boxes, strict=True):
        if box is not None:
            found = [
                (e.tag, re.sub(r"[-\d. ]+", " ", e.get("d", "")), e.get("rx"))
                for e in group
                if e.tag in (SVG + "rect", SVG + "path")
            ]
            kind = "output" if box is drawing.picture.boxes[drawing.picture.output] else box.kind
            shapes.setdefault(kind, set()).add(tuple(found))
    assert set(shapes) == {"operation", "leaf", "parameter", "input", "constant", "output"}
    outlines = [outline for found in shapes.values() for outline in found]
    assert len(outlines) == len(set(outlines)) == 6


def constant_and_leaf():
    return Value(1.0, label="leaf") * constant(3.0, "three")


def test_paths_through_a_value_stand_out_and_no_others():
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    c = a * b
    d = b + 1
    output = c * c + d
    drawing = output.draw(through=a)
    index = drawing.graph.index
    shown = {i for k in drawing.lit for i in drawing.picture.boxes[k].members}
    assert shown == {index[a], index[c], index[output.parents[0]], index[output]}
    faded, bright = drawing.svg.split('<g opacity="0.3">')[1].split("\n</g>\n", 1)
    assert (faded.count('stroke="#ea580c"'), bright.count('stroke="#ea580c"')) == (0, 4)  # a to c, twice on to c², to the sum
    assert len(output.draw(through=(a, b)).lit) == len(drawing.picture.boxes)
    assert output.draw(through=()).svg == output.draw().svg
    for wrong in (Value(1.0), 3.0):
        with pytest.raises(ValueError, match="Values that the output depends on"):
            output.draw(through=[wrong])
