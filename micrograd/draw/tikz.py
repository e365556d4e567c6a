r"""A scene as TikZ, for slides and papers: `\input` the file in a document that has `\usepackage{tikz}`.

It is the scene that `svg` writes. A pixel is 0.75 pt, and the font is the document's sans serif. Letters for which pdfLaTeX has
no fonts, such as 日, are set by LuaLaTeX and XeLaTeX where the document's font has them; elsewhere a question mark is set.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby

from micrograd.draw.scene import Part, Rectangle, Scene, Shape, Words
from micrograd.draw.style import FAINT
from micrograd.formula.label import GREEK, accented
from micrograd.formula.text import clean

_POINT = 0.75  # points in a pixel
_SIGNS = {letter: f"\\{name} " for name, letter in GREEK.items()} | {
    "∂": r"\partial ", "−": "-", "·": r"\cdot ", "×": r"\times ", "÷": r"\div ", "√": r"\surd ", "∞": r"\infty ", "→": r"\to ",
    "≤": r"\le ", "≥": r"\ge ", "∇": r"\nabla ", "⋮": r"\vdots ", "…": r"\ldots ", "′": "{}'", "⟨": r"\langle ",
    "⟩": r"\rangle ", "|": r"\vert ", "<": "<", ">": ">", "^": r"\wedge ", "~": r"\sim ", "\\": r"\backslash ", "ο": "o",
    "°": r"{}^{\circ}", "\u202f": r"\,", "\u00a0": r"\ ", "\ufffd": "?",
}  # fmt: skip
_SIGNS |= {c: f"{{}}^{{{d}}}" for c, d in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁱⁿʸˣ", "0123456789+-=()inyx", strict=True)}
_SIGNS |= {c: f"{{}}_{{{d}}}" for c, d in zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ᵢⱼₖₗₘₙ", "0123456789+-=()ijklmn", strict=True)}
_ACCENTS = {"hat": "^", "bar": "=", "tilde": "~", "dot": ".", "ddot": '"', "check": "v", "breve": "u", "acute": "'",
            "grave": "`", "mathring": "r"}  # fmt: skip
_LETTERS = {"\u0131": r"\i{}", "ł": r"\l{}", "Ł": r"\L{}", "œ": r"\oe{}", "Œ": r"\OE{}"}
_LETTERS |= {f"{c}\u0327": rf"\c{{{c}}}" for c in "cstCST"} | {f"{c}\u030b": rf"\H{{{c}}}" for c in "ouOU"}
_LETTER = r"\mgletter{"
_DEFINED = [
    "% Some letters here need LuaLaTeX or XeLaTeX, and a font that has them.",
    r"\providecommand\mgletter[1]{\mbox{\ifdefined\Uchar\iffontchar\font#1\relax\Uchar#1\relax\else?\fi\else?\fi}}",
]
_SPECIAL = {c: f"\\{c}" for c in "{}$&#%_"} | {'"': "''"}


def tikz(scene: Scene) -> str:
    """The scene as one `tikzpicture`, with its colours."""
    parts = list(scene.parts)
    used = {scene.paper, *(c for part in parts for item in part.items for c in _colours(item))} - {""}
    size = f"({scene.wide:.1f}, {scene.high:.1f})"
    out = [
        f"% {clean(scene.title)}",
        r"% \usepackage{tikz} before \begin{document}, and \input of this file where the picture stands.",
        r"\begin{tikzpicture}[x=0.75pt, y=-0.75pt, inner sep=0pt, outer sep=0pt]",
        *[f"\\definecolor{{{_colour(c)}}}{{HTML}}{{{c[1:].upper()}}}" for c in sorted(used)],
        f"\\path[{f'fill={_colour(scene.paper)}' if scene.paper else 'use as bounding box'}] (0, 0) rectangle {size};",
    ]
    faint = [line for part in parts if part.faint for line in _part(part)]
    if faint:
        out += [f"\\begin{{scope}}[opacity={FAINT}, transparency group]", *faint, r"\end{scope}"]
    out += [line for part in parts if not part.faint for line in _part(part)]
    if any(_LETTER in line for line in out):
        out[2:2] = _DEFINED
    return "\n".join([*out, r"\end{tikzpicture}", ""])


def _part(part: Part) -> list[str]:
    return [_words(i) if isinstance(i, Words) else _shape(i) if isinstance(i, Shape) else _rectangle(i) for i in part.items]


def _colours(item: Shape | Rectangle | Words) -> tuple[str, ...]:
    return (item.colour, *item.colours) if isinstance(item, Words) else (item.fill, item.stroke)


def _colour(colour: str) -> str:
    return f"mg{colour[1:]}"


def _paint(item: Shape | Rectangle) -> str:
    fill = [f"fill={_colour(item.fill)}"] if item.fill else []
    stroke = [f"draw={_colour(item.stroke)}, line width={_POINT * item.width:.2f}pt"] if item.stroke else []
    return ", ".join(fill + stroke)


def _shape(shape: Shape) -> str:
    path = "({:.1f}, {:.1f})".format(*shape.start) + "".join([_STEPS[len(step)].format(*step) for step in shape.steps])
    dash = " ".join([f"{'off' if k % 2 else 'on'} {_POINT * x:.2f}pt" for k, x in enumerate(shape.dash)])
    return f"\\path[{_paint(shape)}{f', dash pattern={dash}' if dash else ''}] {path};"


_STEPS = {
    0: " -- cycle", 2: " -- ({:.1f}, {:.1f})",
    6: " .. controls ({:.1f}, {:.1f}) and ({:.1f}, {:.1f}) .. ({:.1f}, {:.1f})",
}  # fmt: skip


def _rectangle(r: Rectangle) -> str:
    corner = f", rounded corners={_POINT * min(r.radius, r.wide / 2, r.high / 2):.2f}pt" if r.radius else ""
    return f"\\path[{_paint(r)}{corner}] ({r.x:.1f}, {r.y:.1f}) rectangle ({r.x + r.wide:.1f}, {r.y + r.high:.1f});"


def _words(w: Words) -> str:
    anchor = {"start": "base west", "middle": "base", "end": "base east"}[w.anchor]
    size = _POINT * w.size
    font = f"\\fontsize{{{size:.2f}}}{{{1.2 * size:.2f}}}\\selectfont\\sffamily" + (r"\bfseries" if w.bold else "")
    if w.colours:
        pairs = zip(w.pieces, w.colours, strict=True)
        # \textcolor ignores spaces at its start.
        written = [(re.sub("^ +", r"\\ ", escaped(piece)), c) for (piece, _), c in pairs]
        text = "".join([f"\\textcolor{{{_colour(c)}}}{{{piece}}}" for piece, c in written])
    else:
        text = ""
        for scripts, run in groupby(w.pieces, key=lambda piece: piece[1] != 0):
            made = [f"{'_^'[level > 0]}{{\\mathsf{{{escaped(t, True)}}}}}" if level else escaped(t) for t, level in run]
            line = "".join(made)
            text += f"${line}$" if scripts else rf"\textit{{{line}}}" if len(w.pieces) > 1 else line
    return f"\\node[anchor={anchor}, text={_colour(w.colour)}, font={font}] at ({w.x:.1f}, {w.y:.1f}) {{{text}}};"


def escaped(text: str, mathematics: bool = False) -> str:
    r"""The text as LaTeX takes it, in text or in mathematics. Letters that its usual fonts lack are written by their number.

    >>> print(escaped("∂L/∂W_1 = 50%"))
    $\partial $L/$\partial $W\_1 = 50\%
    >>> print(escaped("日 ŷ Gauß"), escaped("ŷ", mathematics=True))
    \mgletter{"65E5} \^{y} Gauß \hat{y}
    """
    return "".join([_letter(c, mathematics) for c in re.findall(".[\u0300-\u036f]?", unicodedata.normalize("NFC", text), re.S)])


def _letter(c: str, mathematics: bool) -> str:
    """One letter or sign, with its accent if it has one."""
    letter, accent = accented(c)
    if accent and ("a" <= letter.lower() <= "z" or letter in _SIGNS):
        under = _letter(letter, True)
        if mathematics:
            return rf"\{accent}{{{under}}}"
        return rf"\{_ACCENTS[accent]}{{{letter}}}" if letter not in _SIGNS else rf"$\{accent}{{{under}}}$"
    if not mathematics and (found := _LETTERS.get(unicodedata.normalize("NFD", c))):
        return found
    if len(c) > 1:
        return "".join([_letter(part, mathematics) for part in c])
    if c in _SIGNS:
        return _SIGNS[c] if mathematics else f"${_SIGNS[c]}$"
    if c in _SPECIAL:
        return _SPECIAL[c]
    if c == " " and mathematics:
        return r"\ "
    if " " <= c < "\x7f" or ("À" <= c < "Ā" and not mathematics):
        return c
    return f'{_LETTER}"{ord(c):X}}}'
