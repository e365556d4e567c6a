"""What commands share: a parser whose errors are one line, types of options, checks of files, and output.

`main` makes a Parser for each command, which adds its options to it and returns the function that runs on them.
"""

from __future__ import annotations

import argparse
import errno
import math
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from typing import NoReturn

from micrograd.saving import replacing

Run = Callable[[argparse.Namespace], None]


class Parser(argparse.ArgumentParser):
    """An argument parser whose error messages are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def shielded(parser: Parser, arguments: Sequence[str]) -> list[str]:
    """The arguments, with a space before an expression that begins with a minus: argparse takes -a*b for an option."""
    options = parser._option_string_actions
    out: list[str] = []
    wanted = False  # whether the option before takes this argument as its value
    for i, text in enumerate(arguments):
        if text == "--":
            return [*out, *arguments[i:]]
        name, equals, _ = text.partition("=")
        if re.fullmatch("--[a-z][a-z-]*", name):  # argparse takes the beginning of an option for it
            action = next((a for option, a in options.items() if option.startswith(name)), None)
            attached = bool(equals)
        else:
            action = options.get(text) or next((a for o, a in options.items() if a.nargs != 0 and text.startswith(o)), None)
            attached = text not in options
            if action is None and text.startswith("-") and not wanted:
                text = f" {text}"
        out.append(text)
        wanted = action is not None and action.nargs != 0 and not attached
    return out


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `low` to `high`."""

    def convert(text: str) -> int:
        try:
            n = int(text)
        except ValueError:
            n = low - 1
        if n < low or (high is not None and n > high):
            bounds = f"from {low} on" if high is None else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"needs a whole number {bounds}, got {text!r}")
        return n

    return convert


def positive(text: str) -> float:
    """The type of an option that takes a positive number."""
    try:
        x = float(text)
    except ValueError:
        x = math.nan
    if not 0 < x < math.inf:
        raise argparse.ArgumentTypeError(f"needs a positive number, got {text!r}")
    return x


def check_output(parser: Parser, path: str, *suffixes: str) -> None:
    """Refuse a `path` that cannot be written, or ends in none of `suffixes`, now and not after the work is done."""
    if os.path.splitext(path)[1].lower() not in suffixes:  # ".svg" is a name without an ending
        parser.error(f"argument -o/--output: needs a file name that ends in {' or '.join(suffixes)}, got {path!r}")
    there = os.path.lexists(path)
    try:
        with open(path, "ab"):
            pass
        if not there:
            os.remove(path)
        elif os.path.isfile(path) and not os.access(os.path.dirname(os.path.realpath(path)), os.W_OK):
            raise PermissionError(errno.EACCES, "its folder cannot be written to, where the new file is made first")
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        parser.error(f"cannot write {path!r}: {getattr(error, 'strerror', None) or error}")


def write_output(parser: Parser, path: str, content: bytes) -> None:
    """Write the file, all of it or nothing, and print that it was written."""
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        parser.error(f"cannot write {path!r}: {error.strerror}")
    print(f"wrote {path}")


def show(text: str) -> None:
    """Print mathematics, in ASCII where standard output cannot encode its signs: a ? in place of a minus would mislead."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeError:
        text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁽⁾]+", lambda raised: "^" + unicodedata.normalize("NFKC", raised[0]), text)
        text = text.translate(str.maketrans("∂−·′⟨⟩⋮₁₂₃₄₅₆₇₈₉", "d-*'<>:123456789"))
        for sign, word in {"←": "<-", "√": "sqrt ", "Σ": "sum", "δ": "delta", "…": "..."}.items():
            text = text.replace(sign, word)
    print(text)
