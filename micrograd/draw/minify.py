"""The page's scripts made shorter: without comments, blanks and line ends, and with short names for variables.

It is made for the scripts of this project alone: their statements end in semicolons, so that nothing depends on line ends, and
their strings stand in double quotes or backticks. A name is shortened only where it names variables and no property, for tests,
data and the browser know properties by their names.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from functools import lru_cache
from string import ascii_letters, digits

_TOKEN = re.compile(
    r"""(?P<blank>(?:\s|//[^\n]*)+)|\d[\w.]*(?:(?<=e)[-+]\d+)?|[\w$]+|"(?:[^"\\]|\\.)*"|=>|\?\.|\.\.\.|[-+*/%<>=!&|?^]+|[^']"""
)
_PATTERN = re.compile(r"/(?:[^/\\[]|\\.|\[(?:[^\]\\]|\\.)*\])+/[a-z]*")
_TEMPLATE = re.compile(r"[`}](?:[^`\\$]|\\.|\$(?!\{))*(?:`|\$\{)")  # a piece of a template: up to its end or the next ${
_WORD = re.compile(r"[\w$]")
_BEFORE_PATTERN = frozenset(["return", *"(,=:[!?{;", "&&", "||", "??", "=>"])  # a / after these begins a regular expression
_BEFORE_OBJECT = frozenset(["return", "const", "let", "of", *"(,=:[?", "&&", "||", "??"])  # a { after these begins an object
_KEYWORDS = frozenset(["as", "do", "if", "in", "of"])  # those that are as short as the names made here


@lru_cache(maxsize=8)
def minified(script: str) -> str:
    """A shorter script that does the same; ValueError where it cannot be taken apart into tokens."""
    tokens = _tokens(script)
    names = _short_names(tokens)
    return _joined([names.get(token, token) for token, _ in tokens])


def _tokens(script: str) -> list[tuple[str, str]]:
    """Each token, and the bracket around it: "(", "[", "{" of an object, "{}" of statements, "${" of a template, or ""."""
    found: list[tuple[str, str]] = []
    around, at, last = [""], 0, ";"
    while at < len(script):
        if script[at] == "`" or (script[at] == "}" and around[-1] == "${"):
            match = _TEMPLATE.match(script, at)
        else:
            is_pattern = script[at] == "/" and script[at + 1] != "/" and last in _BEFORE_PATTERN
            match = (_PATTERN if is_pattern else _TOKEN).match(script, at)
        if match is None:
            raise ValueError(f"no token of a script begins here: {script[at : at + 40]!r}")
        at = match.end()
        if match.lastgroup == "blank":
            continue
        token = match[0]
        if _closes(token):
            around.pop()
        found.append((token, around[-1]))
        if _opens(token):
            around.append("{}" if token == "{" and last not in _BEFORE_OBJECT else "${" if token[0] in "`}" else token)
        last = token
    return found


def _opens(token: str) -> bool:
    return token in "([{" or (token[0] in "`}" and token.endswith("${"))


def _closes(token: str) -> bool:
    return token[0] in ")]}"


def _short_names(tokens: list[tuple[str, str]]) -> dict[str, str]:
    """Names of one or two letters for variables, the shortest for those that take up most of the script."""
    variables, properties = set(), set()
    for (before, _), (name, inside), (after, _) in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if before in (".", "?.") or (before in "{," and (after == ":" or (inside == "{" and after in ",=}"))):
            properties.add(name)
        elif before in ("const", "let", "function", "class") or after == "=>" or (before == "," and after == "="):
            variables.add(name)
    uses = Counter([token for token, _ in tokens])
    long = [name for name in variables - properties if len(name) > 2 and _WORD.match(name)]
    long.sort(key=lambda name: (-uses[name] * len(name), name))
    short = map("".join, itertools.chain(ascii_letters, itertools.product(ascii_letters, ascii_letters + digits)))
    return dict(zip(long, (name for name in short if name not in uses and name not in _KEYWORDS), strict=False))


def _joined(tokens: list[str]) -> str:
    """The tokens as text, with one `let` for declarations that follow each other."""
    out: list[str] = []
    declaring = [False]  # whether the statement is a declaration, here and in each bracket around
    for before, token, after in zip([";", *tokens], tokens, [*tokens[1:], "}"], strict=False):
        if (token == ";" and after == "}") or (token == "," and _closes(after) and before != ","):
            continue
        if token == "const" and before == ";" and declaring[-1]:
            continue
        if token == "const":
            declaring[-1], token = before != "(", "let"
        elif token == ";":
            declaring[-1] &= after == "const"
            token = "," if declaring[-1] else token
        if _closes(token):
            declaring.pop()
        if _opens(token):
            declaring.append(False)
        last = out[-1][-1] if out else ""
        if (_WORD.match(last) and _WORD.match(token)) or (last == token[0] and last in "+-"):
            out.append(" ")
        out.append(token)
    return "".join(out)
