"""How labels, numbers and operations are written in pictures, and how wide they come out.

All formats and the page in the browser share it. `formula.label` says which labels are mathematics, with an index and an
exponent, and which are plain text.
"""

from __future__ import annotations

import math
import unicodedata

from micrograd.formula.label import plain, runs
from micrograd.formula.text import clean

__all__ = ["clip", "label_width", "number", "numbers", "operation", "plain", "runs", "width"]

SYMBOLS = {
    "add": "+", "sub": "−", "mul": "×", "div": "÷", "neg": "−x", "pow": "xʸ", "sum": "Σ", "dot": "Σxy",
    "mod": "mod", "floordiv": "⌊÷⌋", "floor": "⌊x⌋", "greater": ">", "less": "<", "abs": "|x|", "sqrt": "√x",
    "one_minus_square": "1 − x²", "exp_minus_square": "exp(−x²)", "power_log": "c xʸ⁻ⁿ log x", "power_less": "c xʸ⁻ⁿ",
    "direction": "x ÷ √(x² + y²)", "inverted": "x ÷ (x² + y²)",
}  # fmt: skip


class _Widths(dict[str, int]):
    """The widths of characters in Arial and similar fonts, in thousandths of the size; those not listed are estimated."""

    def __missing__(self, c: str) -> int:
        if c < "\u0300":
            wide = 556
        elif unicodedata.category(c) in ("Cf", "Mn"):  # joiners, and accents on the letter before, take no room
            wide = 0
        else:
            wide = 1300 if unicodedata.east_asian_width(c) in "WF" else 700
        return self.setdefault(c, wide)


_WIDTHS = _Widths({
    **dict.fromkeys("ijl'", 222), **dict.fromkeys("!|.,:;/\\[]It f", 278), **dict.fromkeys('r-()"`{}°', 345),
    **dict.fromkeys("*^ckszvxyJ", 500), **dict.fromkeys("+=<>~−×÷∂", 584), **dict.fromkeys("ABEKPSVXY&", 667),
    **dict.fromkeys("CDHNRUw", 722), **dict.fromkeys("GOQ", 778), **dict.fromkeys("mM", 833), **dict.fromkeys("%W@…", 1000),
})  # fmt: skip


def clip(text: str, most: int = 28) -> str:
    """The text, cut in the middle where it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 9]}…{text[-8:]}"


def number(x: float, digits: int = 4) -> str:
    """The number with `digits` significant digits (above 16, all), and a true minus sign, which zero never has."""
    if not math.isfinite(x):
        return "nan" if x != x else "∞" if x > 0 else "−∞"
    return (repr(x + 0.0) if digits > 16 else f"{x + 0.0:.{digits}g}").replace("-", "−")


def numbers(xs: tuple[float, ...], digits: int = 4) -> str:
    """One number, or the least and the greatest with a digit less each; once where both are written alike."""
    most = digits if len(xs) == 1 else max(digits - 1, 1)
    return " … ".join(dict.fromkeys([number(x, most) for x in xs]))


def operation(name: str) -> str:
    """The sign of a primitive, such as ×, or its name."""
    return SYMBOLS.get(name) or clip(clean(name))


def width(text: str, size: float, bold: bool = False) -> float:
    """The width of a line of text, in the unit of `size`: a tenth more than in Arial, for fonts that are wider."""
    return sum(map(_WIDTHS.__getitem__, text)) * size * (1.19 if bold else 1.1) / 1000


def label_width(label: str, size: float, bold: bool = False) -> float:
    """The width of a label, where a sub- and a superscript that follow each other stand one above the other."""
    total, low, high = 0.0, 0.0, 0.0
    pieces = runs(label)
    if len(pieces) == 1:
        return width(clip(clean(pieces[0][0])), size, bold)
    for text, level in pieces:
        if level == 0:
            total += max(low, high) + width(text, size, bold)
            low = high = 0.0
        elif level < 0:
            low += width(text, 0.7 * size)
        else:
            high += width(text, 0.7 * size)
    return total + max(low, high)
