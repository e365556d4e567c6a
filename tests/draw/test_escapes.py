"""Names of rules, labels and numbers are text in every format, whatever they look like."""

import math
import re
import xml.etree.ElementTree as ET

import pytest

from micrograd import Value, custom_derivative, gradcheck, jit, primitive
from micrograd.draw import Drawing, to_mermaid
from micrograd.draw.lettering import plain
from micrograd.draw.picture import _range
from micrograd.draw.scene import Part, Rectangle, Scene, Words
from micrograd.draw.tikz import escaped, tikz
from micrograd.primitives import RULES

HOSTILE = '</text><script>alert("x")&amp;<b>'


@pytest.fixture
def hostile_rule():
    yield primitive(HOSTILE, f"{HOSTILE}(x)", lambda x: 2.0 * x, 2.0)
    del RULES[HOSTILE]


@pytest.mark.parametrize("label", ["x", "x_{<b>}", "x^{<script>}", "W_{1}^{<b>&}"])
@pytest.mark.parametrize("options", [{}, {"rankdir": "TB"}, {"limit": 3}])
def test_a_rule_that_carries_markup_is_text_in_the_picture(hostile_rule, options, label):
    x = Value(1.0)
    y = hostile_rule(hostile_rule(x)) * hostile_rule(x)
    y.label, x.label = HOSTILE, label
    svg = Drawing(y, **options).svg
    root = ET.fromstring(svg)  # well-formed, so nothing broke out
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not names & {"script", "b"}
    assert any("alert" in (element.text or "") for element in root.iter())
    tables = re.findall(r"label=<(<TABLE.*</TABLE>)>", Drawing(y, **options).source)
    cells = [element for table in tables for element in ET.fromstring(table).iter()]
    assert {element.tag for element in cells} <= {"TABLE", "TR", "TD", "FONT", "B", "I", "SUB", "SUP"}
    if "limit" not in options:  # then a fold stands there
        assert any((element.text or "").startswith("</text>") for element in cells if element.tag == "FONT")
    for text in re.findall('"(.*)"', to_mermaid(y, **options)):
        assert not re.search('[<>"&]', text.replace("<br/>", "").replace("&nbsp;", "")), text


def test_a_backslash_in_dot_is_no_name_of_the_node():
    """Graphviz puts names for \\N, \\G and \\L, in HTML too."""
    source = (Value(2.0, label=r"\Nu \Gx") * 3.0).draw().source
    table = re.search(r"label=<(<TABLE.*?</TABLE>)>", source)[1]
    assert "\\" not in table and ET.fromstring(table).find(".//B").text == r"\Nu \Gx"


@pytest.mark.parametrize("label", ["#35;", "a #quot; b", "#", '"#34;', "x_{#}", "a|b", "a;b", "%% c", "`a`", "[a](b)", "<br/>"])
def test_mermaid_reads_every_label_as_it_is(label):
    first = next(line for line in to_mermaid(Value(2.0, label=label) * 3.0).splitlines() if "n0" in line)
    shown = re.search('"(.*?)&nbsp;', first)[1]
    assert not re.search("[#&;\"'`|%<>]", re.sub(r"#\d+;", "", shown))
    read = re.sub(r"#(\d+);", lambda match: chr(int(match[1])), shown)
    assert read == plain(label)


def test_a_backslash_breaks_no_line_in_mermaid():
    text = to_mermaid(Value(1.0, label=r"\new \a"))
    assert "#92;\u200bnew" in text and "#92;\u200ba" in text
    assert not re.search(r"\\n|#92;n", text)


def test_the_range_of_a_fold_is_nan_where_a_number_in_it_is():
    assert _range([]) == () and _range([2.0, 2.0]) == (2.0,) and _range([3.0, 1.0, 2.0]) == (1.0, 3.0)
    for numbers in ([math.nan, 1.0], [1.0, math.nan, 2.0], [1.0, math.nan]):
        (shown,) = _range(numbers)
        assert shown != shown


def test_what_latex_reads_as_commands_is_text_in_tikz():
    text = r"50% of {a}_b & $c$ #1 \input{x}"
    assert escaped(text) == r"50\% of \{a\}\_b \& \$c\$ \#1 $\backslash $input\{x\}"
    assert escaped("a b", mathematics=True) == r"a\ b"  # where LaTeX would leave out the space
    assert escaped("é ø ß") == r"\'{e} ø ß"
    assert escaped("ø ß", mathematics=True) == r'\mgletter{"F8}\ \mgletter{"DF}'  # letters that mathematics has not
    assert escaped("ĸ ı ş ő ł") == r'\mgletter{"138} \i{} \c{s} \H{o} \l{}'
    assert r"50\% of" in (Value(2.0, label="50% of it") * 3).draw().tikz


def test_a_space_behind_a_colour_stays_in_tikz():
    words = Words([("a", 0), ("  b", 0)], 1.0, 2.0, 12.0, "#111827", colours=("#ff0000", "#00ff00"))
    text = tikz(Scene(100.0, 50.0, "", "", [Part([words])]))
    assert r"\textcolor{mgff0000}{a}\textcolor{mg00ff00}{\ b}" in text


def test_labels_and_names_reach_a_terminal_without_what_it_obeys(monkeypatch):
    """In tables of gradcheck and in errors: an escape would colour the terminal, a turn of direction hide what follows."""
    hostile = "a\x1b[31m\u202eb\r\u2028"
    monkeypatch.setattr("micrograd.primitives.RULES", dict(RULES))
    bent = primitive(hostile, "f(x)", lambda x: abs(x), lambda x, out: 1.0)
    w, seen = Value(0.0, label=hostile), []
    seen.append(str(gradcheck(lambda v: bent(v) * 2.0 + (v if v > 0.0 else v * 3.0), w)))
    for call in (
        lambda: jit(lambda x: w * x, wrt=[Value(2.0)])(1.0),
        lambda: custom_derivative(lambda x: w * x, lambda x, o: 1.0)(Value(2.0)),
    ):
        with pytest.raises((ValueError, TypeError)) as refused:
            call()
        seen.append(str(refused.value))
    for text in seen:
        assert "[31m" in text and not re.search("[\x1b\u202e\r\u2028]", text)


def test_tikz_keeps_a_title_in_its_comment_and_corners_in_their_rectangle():
    words = [Words([("a", 0)], 1.0, 2.0, 12.0, "#111827")]
    parts = [Part([Rectangle(0.0, 0.0, 30.0, 8.0, 20.0, "#111827"), *words])]
    scene = Scene(100.0, 50.0, "one\n\\input{two}\r\x0bthree", "", parts)
    text = tikz(scene)
    first, second, *_ = text.split("\n")
    assert first.startswith("% one") and first.endswith("three") and second.startswith("% \\usepackage")
    assert [line for line in text.splitlines() if "input{two}" in line] == [first]
    assert "rounded corners=3.00pt" in text  # half of the height
