r"""A label as mathematics: its letter, its index, its exponent. Drawings and explanations both read labels here, and so agree.

`W_{12}^{[1]}` and `W_12^[1]`, `h_{t-1}`, `x1`, `\alpha` and `alpha`, `\hat{y}`, `$x_1$` are mathematics. Any other label is
plain words.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from micrograd.formula.latex import Math, words
from micrograd.formula.text import clean, superscript

_LETTERS = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"
_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
GREEK = dict(zip(_NAMES.split(), _LETTERS, strict=True))
_COMMANDS = {letter: f"\\{name}" for name, letter in GREEK.items()}
ACCENTS = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303", "dot": "\u0307", "ddot": "\u0308", "check": "\u030c",
           "breve": "\u0306", "acute": "\u0301", "grave": "\u0300", "mathring": "\u030a"}  # fmt: skip
_LETTER = rf"(?:\\?(?:{'|'.join(sorted(GREEK, key=len, reverse=True))})(?![^\W\d_])|[^\W\d_](?![^\W\d_])[\u0300-\u036f]?)"
_SCRIPT = r"(?:\{[^{}]*\}|\[[^\[\]{}]*\](?:\([^(){}]*\))?|\d+(?:,\d+)+|[^\W_]+|[^\s\w{}\\$^])"
_MATHS = re.compile(rf"({_LETTER}['′]*|[^_^{{}}\\$]+(?=[_^]\{{))((?:[_^]{_SCRIPT}){{0,2}})")
_NUMBERED = re.compile(rf"({_LETTER})(\d+)")
_WORD = re.compile(r"[^\W\d][\w\u0300-\u036f]*")
_ACCENTED = re.compile(rf"\\({'|'.join(ACCENTS)})(?:\{{(\\?[^\W\d_]+)\}}| ?([^\W\d_])(?![^\W\d_])|(?= ?\\) ?(\\[^\W\d_]+))")
_FACE = re.compile(r"\\(?:mathrm|mathbf|mathit|mathsf|boldsymbol|text|operatorname)\{([^{}\\]*)\}")
_ELEMENT = re.compile(r"([^\W\d]\w*)((?:\[\d+\])+)")
_RUN = re.compile(rf"([_^])({_SCRIPT})")
_GREEK_NAME = re.compile(rf"(?<![^\W_])\\?({'|'.join(sorted(GREEK, key=len, reverse=True))})(?![^\W\d_])")
_RAW = re.compile(r"(?:[^\W_](?![^\W\d_])|[-+*/=<>|,.;:()\[\]' ])+")  # single letters, digits and signs: mathematics

_LOW = dict(zip("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True)) | {",": ","}
_HIGH = dict(zip("0123456789+-=()[]in", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾⁽⁾ⁱⁿ", strict=True))


class Name(NamedTuple):
    """A letter or words as `base`, with an index `low` and an exponent `high`; `written` is its text where that differs."""

    base: str
    low: str = ""
    high: str = ""
    written: str = ""

    @property
    def text(self) -> str:
        """The name as in a terminal: W_12^[1], h_(t-1), ⟨x * w⟩."""
        return self.written or (self.base if self.plain else f"⟨{self.base}⟩") + self._scripts

    @property
    def _scripts(self) -> str:
        """Index and exponent as text."""
        return "".join([_raised(sign, script) for sign, script in (("_", self.low), ("^", self.high)) if script])

    @property
    def plain(self) -> bool:
        """Whether the base is one word, and needs no brackets."""
        return _WORD.fullmatch(self.base.rstrip("'′")) is not None

    @property
    def latex(self) -> str:
        letters = self.base.rstrip("'′")
        high = r"\prime" * (len(self.base) - len(letters)) + (_script(self.high) if self.high else "")
        letter, accent = accented(letters)
        base = _COMMANDS.get(letter, letter if len(letter) == 1 and letter.isalpha() else rf"\mathrm{{{words(letters)}}}")
        if accent:
            base = rf"\{accent}{{{base}}}"
        if not self.plain:
            base = rf"\langle {base} \rangle"
        return base + (f"_{{{_script(self.low)}}}" if self.low else "") + (f"^{{{high}}}" if high else "")

    @property
    def math(self) -> Math:
        return Math(self.text, self.latex)

    def lettered(self, letter: str) -> Name:
        """The name with another letter: δ_1^[2] for z_1^[2]."""
        return self._replace(base=letter + self.base[1:])

    def marked(self, mark: int | str) -> Name:
        """The name with (mark) as an exponent, to tell it from others that are written alike: z_1^[2](7), x⁽²⁾."""
        marked = self._replace(high=f"{self.high}({mark})")
        if not self.high:
            marked = marked._replace(written=self.text + superscript(f"({mark})"))
        return marked._replace(written=f"{self.written}({mark})") if self.high and self.written else marked


def _raised(sign: str, script: str) -> str:
    """An index or exponent as text: _12, ^[1], _(t-1)."""
    return sign + (script if re.fullmatch(r"[\w,\[\]()]+", script) else f"({script})")


def _script(text: str) -> str:
    """An index or exponent as LaTeX: mathematics if it is made of single letters, digits and signs, else upright words."""
    if not _RAW.fullmatch(text):
        return rf"\mathrm{{{words(text)}}}"
    return "".join([_COMMANDS.get(c, c) + (" " if c in _COMMANDS and text[i + 1 :] else "") for i, c in enumerate(text)])


def neuron(label: str) -> tuple[str, tuple[int, ...], int] | None:
    """Letter, indices and layer of a label that a network made, such as ("W", (1, 2), 3); None for any other label."""
    letter = getattr(label, "letter", "")
    return (letter, label.indices, label.layer) if letter else None  # type: ignore[attr-defined]


def named(label: str) -> Name:
    r"""The Name that a label means.

    >>> named("W_{12}^{[1]}")[:3], named("$x_1$").text, named(r"\alpha").latex, named("x * w").text
    (('W', '12', '[1]'), 'x_1', '\\alpha', '⟨x * w⟩')
    """
    if (found := neuron(label)) is not None:
        letter, index, layer = found
        return Name(letter, ("," if max(index) > 9 else "").join(map(str, index)), f"[{layer}]")
    label = clean(label[:] if isinstance(label, str) else str(label))
    inner = dollars[2] if (dollars := re.fullmatch(r"(\$\$?)([^$]+)\1", label)) else label
    if "\\" in inner:
        inner = _ACCENTED.sub(_with_accent, _FACE.sub(r"\1", inner))
    written = label if _WORD.fullmatch(label) else ""  # a label that could be a variable's name is written as it is
    if len(label) <= 60 and (match := _MATHS.fullmatch(inner)):
        scripts = [(sign, _greek(script[1:-1] if script[0] == "{" else script)) for sign, script in _RUN.findall(match[2])]
        if len(dict(scripts)) == len(scripts):
            return Name(_greek(match[1]), dict(scripts).get("_", ""), dict(scripts).get("^", ""), written)
    if match := _NUMBERED.fullmatch(label):
        return Name(_greek(match[1]), match[2], "", written)
    if match := _ELEMENT.fullmatch(label):
        of = named(match[1])
        return of._replace(low=",".join(filter(None, [of.low, *re.findall("[0-9]+", match[2])])), written=label)
    return Name(inner)


def _with_accent(match: re.Match[str]) -> str:
    """The letter of \\hat{y} with its accent, ŷ; text that is no single letter stays as it is."""
    letter = _greek(match[2] or match[3] or match[4])
    return unicodedata.normalize("NFC", letter + ACCENTS[match[1]]) if len(letter) == 1 else match[0]


def accented(letter: str) -> tuple[str, str]:
    """A letter and the name of its accent, ("y", "hat") for ŷ; the text itself and "" if it is no letter with an accent.

    >>> accented("ŷ"), accented("y"), accented("größe")
    (('y', 'hat'), ('y', ''), ('größe', ''))
    """
    apart = unicodedata.normalize("NFD", letter)
    accent = next((name for name, mark in ACCENTS.items() if apart[1:] == mark), "")
    return (apart[0], accent) if accent else (letter, "")


def _greek(text: str) -> str:
    """The text with Greek letters in place of their names: θ for theta and for \\theta."""
    return _GREEK_NAME.sub(lambda match: GREEK[match[1]], text)


@lru_cache(4096)
def runs(label: str) -> list[tuple[str, int]]:
    """The label in pieces, each with its level: 0 on the baseline, -1 an index, 1 an exponent."""
    found = named(label)
    return [(found.base, 0), *[(text, level) for text, level in ((found.low, -1), (found.high, 1)) if text]]


@lru_cache(4096)
def plain(label: str) -> str:
    """The label as one line of text, its scripts in Unicode where they exist there: W₁₂⁽¹⁾."""
    out = ""
    for text, level in runs(label):
        script = {-1: _LOW, 1: _HIGH}.get(level, {})
        if level and all(c in script for c in text):
            out += "".join(script[c] for c in text)
        else:
            out += _raised("_^"[level > 0], text) if level else text
    return clean(out)


_SIGNS = str.maketrans("{}<>|\\", "()‹›¦∖")  # those with which DOT's records are written, and what looks like them


def in_records(label: str) -> str:
    r"""The label as text that may stand in a record of DOT, with nothing in it that DOT would obey.

    >>> in_records("h_{t-1}"), in_records(r"\alpha"), in_records("W_{12}^{[1]}"), in_records("a|b <c>")
    ('h_(t-1)', 'α', 'W_12^[1]', 'a¦b ‹c›')
    """
    found = named(label)
    return (found.written or found.base + found._scripts).translate(_SIGNS)
