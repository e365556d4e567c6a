"""Labels as mathematics: one reading for drawings, explanations and DOT."""

import copy
import pickle
import random

import pytest
from matplotlib.mathtext import MathTextParser

from micrograd import MLP, Value
from micrograd.formula.label import Name, in_records, named, neuron, plain, runs
from micrograd.nn import Label

READ = {  # what stands in a terminal, in LaTeX, and the pieces that drawings set at their levels
    "W_{12}^{[1]}": ("W_12^[1]", "W_{12}^{[1]}", [("W", 0), ("12", -1), ("[1]", 1)]),
    "W_12^[1]": ("W_12^[1]", "W_{12}^{[1]}", [("W", 0), ("12", -1), ("[1]", 1)]),
    "W_1,12^[3]": ("W_1,12^[3]", "W_{1,12}^{[3]}", [("W", 0), ("1,12", -1), ("[3]", 1)]),
    r"\N~1": (r"⟨\N~1⟩", r"\langle \mathrm{\backslash N\sim 1} \rangle", [(r"\N~1", 0)]),
    "h_{t-1}": ("h_(t-1)", "h_{t-1}", [("h", 0), ("t-1", -1)]),
    "$x_1$": ("x_1", "x_{1}", [("x", 0), ("1", -1)]),
    "$$x_1$$": ("x_1", "x_{1}", [("x", 0), ("1", -1)]),
    "$y$ and $z$": ("⟨$y$ and $z$⟩", r"\langle \mathrm{\$y\$\ and\ \$z\$} \rangle", [("$y$ and $z$", 0)]),
    "x1": ("x1", "x_{1}", [("x", 0), ("1", -1)]),
    "w_in": ("w_in", r"w_{\mathrm{in}}", [("w", 0), ("in", -1)]),
    r"\alpha": ("α", r"\alpha", [("α", 0)]),
    "alpha": ("alpha", r"\alpha", [("α", 0)]),
    r"\theta_{\alpha}^2": ("θ_α^2", r"\theta_{\alpha}^{2}", [("θ", 0), ("α", -1), ("2", 1)]),
    r"\hat{y}": ("ŷ", r"\hat{y}", [("ŷ", 0)]),
    r"$\hat y_1$": ("ŷ_1", r"\hat{y}_{1}", [("ŷ", 0), ("1", -1)]),
    r"\bar{x}": ("x\u0304", r"\bar{x}", [("x\u0304", 0)]),
    r"\tilde{\theta}_k": ("θ\u0303_k", r"\tilde{\theta}_{k}", [("θ\u0303", 0), ("k", -1)]),
    r"\dot\theta": ("θ\u0307", r"\dot{\theta}", [("θ\u0307", 0)]),
    "ŷ": ("ŷ", r"\hat{y}", [("ŷ", 0)]),
    r"\mathbf{w}_2": ("w_2", "w_{2}", [("w", 0), ("2", -1)]),
    r"\mathrm{loss}": ("loss", r"\mathrm{loss}", [("loss", 0)]),
    r"\hat{xy}": (r"⟨\hat{xy}⟩", r"\langle \mathrm{\backslash hat\{xy\}} \rangle", [(r"\hat{xy}", 0)]),
    "f'": ("f'", r"f^{\prime}", [("f'", 0)]),
    "loss_{val}": ("loss_val", r"\mathrm{loss}_{\mathrm{val}}", [("loss", 0), ("val", -1)]),
    "learning_rate": ("learning_rate", r"\mathrm{learning\_rate}", [("learning_rate", 0)]),
    "parts[3]": ("parts[3]", r"\mathrm{parts}_{3}", [("parts", 0), ("3", -1)]),
    "x * w": ("⟨x * w⟩", r"\langle \mathrm{x\ *\ w} \rangle", [("x * w", 0)]),
    r"\input{x}": (r"⟨\input{x}⟩", r"\langle \mathrm{\backslash input\{x\}} \rangle", [(r"\input{x}", 0)]),
    "x′_1": ("x′_1", r"x_{1}^{\prime}", [("x′", 0), ("1", -1)]),
    "x^2^3": ("⟨x^2^3⟩", r"\langle \mathrm{x\wedge 2\wedge 3} \rangle", [("x^2^3", 0)]),
    "a\nb": ("⟨a⏎b⟩", r"\langle \mathrm{a⏎b} \rangle", [("a⏎b", 0)]),
}


@pytest.mark.parametrize("label", READ)
def test_a_label_means_the_same_everywhere(label):
    assert (named(label).text, named(label).latex, runs(label)) == READ[label]


def test_what_networks_label_is_known_without_reading_it():
    model = MLP(12, [11, 1])
    label = model.layers[0].neurons[10].w[1].label
    assert neuron(label) == ("W", (2, 11), 1) and named(label) == Name("W", "2,11", "[1]")
    assert neuron(str(label)) is None
    for again in (copy.copy(label), copy.deepcopy(label), pickle.loads(pickle.dumps(label))):
        assert again == label and neuron(again) == neuron(label) and again.scope == label.scope
    assert str(Label("z", (3,), 2, ())) in ("z_3^{[2]}", "z_3^[2]")


WITHOUT_BRACES = {"h_{t-1}": "h_(t-1)", "W_{33}^{[1]}": "W_33^[1]", r"\theta_{ij}": "θ_ij", r"\hat{y}": "ŷ", r"\N": "∖N",
                  "a|b <c>": "a¦b ‹c›", "{": "(", "a\n{": "a⏎("}  # fmt: skip


@pytest.mark.parametrize("label", WITHOUT_BRACES)
def test_a_label_as_text_has_no_signs_of_records_and_is_what_was_written(label):
    v, text = Value(2.0, label=label), WITHOUT_BRACES[label]
    assert v.label == label and {v.label: 1}[label] and v.label[:] == label and repr(v.label) == repr(label)
    assert str(v.label) == f"{v.label}" == "%s" % v.label == text and f"{v.label:>12}" == text.rjust(12)  # noqa: UP031
    for again in (v.detach(), copy.deepcopy(v), copy.copy(v), pickle.loads(pickle.dumps(v))):
        assert again.label == label and str(again.label) == text and repr(again) == repr(v)
    out = v * v
    assert out.find(label) == out.find(text) == [v]
    if named(label).plain:
        assert text in str(out.explain(v))


def test_what_is_no_text_is_a_label_as_text():
    assert Value(1.0, label=None).label == "" and Value(1.0, label=3).label == "3"
    assert plain("h_{t-1}") == "hₜ₋₁" and plain("x_{q+1}") == "x_(q+1)" and type(Value(1.0, label="h_t").label) is str


def test_names_are_told_apart():
    assert named("z_1^{[2]}").marked(7).math == ("z_1^[2](7)", "z_{1}^{[2](7)}")
    assert named("x1").marked(2).math == ("x1⁽²⁾", "x_{1}^{(2)}")
    assert named("z_1^{[2]}").lettered("δ").math == ("δ_1^[2]", r"\delta_{1}^{[2]}")


def test_random_labels_are_one_line_of_text_and_valid_latex():
    rng, parser = random.Random(5), MathTextParser("path")
    pieces = [
        "W",
        "x",
        "_",
        "^",
        "{",
        "}",
        "\\",
        "alpha",
        "\\beta",
        "\\hat",
        "input",
        "12",
        "[1]",
        "(2)",
        "$",
        "'",
        " ",
        "\n",
        "%",
        "&",
    ]
    for k in range(300):
        label = "".join(rng.choices(pieces, k=rng.randint(1, 7)))
        found = named(label)
        assert found.text.isprintable() and all(text.isprintable() for text, _ in runs(label))
        assert "\\input" not in found.latex and not set("{}<>|\\") & set(in_records(label))
        if k < 100:  # which takes most of the time
            parser.parse(f"${found.latex} + {found.marked(2).latex}$")
