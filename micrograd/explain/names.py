"""What a Value is called in an explanation: its label, else the name of a variable that holds it, else v1, v2, ...

Variables are looked for when an explanation is shown: in the frames that show it, in the notebook's namespace, and in what
was visible where the explanation was asked for. Values of one name are told apart by the call of their network, or counted.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

from micrograd.engine import Value, modes
from micrograd.formula.latex import Math, words
from micrograd.formula.text import clean, superscript

_GREEK = re.findall(
    r"\w+",
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega",
)
_MATHS = re.compile(r"(\\?[A-Za-z]+)(?:_(?:\{([\w,]+)\}|(\w)))?(?:\^(?:\{([\w\[\](),+*']+)\}|(\w)))?")
_IDENTIFIER = re.compile(r"([^\W\d_]+?)_?(\d*|_\w+)")
NEURON = re.compile(r"([Wbza])_(?:\{([\d,]+)\}|(\d))\^\{\[(\d+)\]\}")  # the labels that networks give: letter, index, layer

_explicit: Mapping[str, Any] | None = None


def name_from(namespace: Mapping[str, Any] | None) -> None:
    """Take the names of variables from this namespace alone, such as `globals()`; with None, find them again by looking.

    >>> from micrograd import Value
    >>> a = Value(2.0)
    >>> name_from({"width": a})
    >>> "width" in str((a * a).explain(a))
    True
    >>> name_from(None)
    """
    global _explicit
    if namespace is not None and not isinstance(namespace, Mapping):
        raise TypeError(f"name_from needs a mapping of names to Values, such as globals(), got {type(namespace).__name__}")
    _explicit = namespace


def visible(namespaces: Iterable[Mapping[str, Any]] | None = None) -> dict[Value, str]:
    """Every Value that a variable holds, by itself or in a list, with the variable's name; the nearest frame wins."""
    if _explicit is not None:
        namespaces = [_explicit]
    found: dict[Value, str] = {}
    for namespace in _frames() if namespaces is None else namespaces:
        for name, held in list(namespace.items()):
            if isinstance(name, str) and name.isidentifier() and name[0] != "_" and name not in ("self", "In", "Out"):
                for node, called in _held(name, held, 2):
                    found.setdefault(node, called)
    return found


def _frames() -> Iterator[Mapping[str, Any]]:
    """The local names of the frames outside this package, innermost first, and the notebook's or script's global ones."""
    frame: FrameType | None = sys._getframe(1)
    nearest = None
    while frame is not None:
        if not frame.f_code.co_filename.startswith(modes.HERE):
            nearest = frame.f_globals if nearest is None else nearest
            yield frame.f_locals
        frame = frame.f_back
    yield from (nearest or {}, vars(sys.modules["__main__"]))


def _held(name: str, held: Any, depth: int) -> Iterator[tuple[Value, str]]:
    if isinstance(held, Value):
        yield held, name
    elif held.__class__ in (list, tuple) and depth and len(held) <= 1000:
        for i, part in enumerate(held):
            if isinstance(part, (Value, list, tuple)):
                yield from _held(f"{name}[{i}]", part, depth - 1)


def written_name(label: str) -> Math:
    """A label or a name as mathematics: W_{12}^{[1]} as it is, x1 with an index in LaTeX, ⟨x * w⟩ where it is no name."""
    if label.startswith("$") and label.endswith("$") and len(label) > 2:
        label = label[1:-1]
    if match := _MATHS.fullmatch(label) if re.search(r"[\\^{]", label) else None:
        base, low, low1, high, high1 = match.groups()
        if base[0] != "\\" or base[1:] in _GREEK:
            low, high = low or low1, high or high1
            text = base.lstrip("\\") + (f"_{low}" if low else "") + (f"^{high}" if high else "")
            latex = _letter(base.lstrip("\\")) + (f"_{{{_low(low)}}}" if low else "") + (f"^{{{high}}}" if high else "")
            return Math(text, latex)
    if match := _IDENTIFIER.fullmatch(label):
        base, low = match.groups()
        return Math(label, _letter(base) + (f"_{{{_low(low.lstrip('_'))}}}" if low else ""))
    if match := re.fullmatch(r"([^\W\d_]+)((?:\[\d+\])+)", label):
        return Math(label, _letter(match[1]) + f"_{{{','.join(re.findall(r'[0-9]+', match[2]))}}}")
    return Math(f"⟨{label}⟩", rf"\langle \mathrm{{{words(label)}}} \rangle")


def _letter(base: str) -> str:
    return "\\" + base if base in _GREEK else base if len(base) == 1 else rf"\mathrm{{{words(base)}}}"


def _low(index: str) -> str:
    return index if re.fullmatch(r"[\d,]+|\w", index) else rf"\mathrm{{{words(index)}}}"


class Names:
    """The name of every Value in `order` (constants too), as mathematics: `names[node]`."""

    def __init__(self, order: Sequence[Value], variables: Mapping[Value, str]):
        self.known: dict[Value, Math] = {}
        self.base: dict[Value, str] = {}
        self.calls: dict[Value, tuple[int, int]] = {}  # (network, call) of what a network made or was given
        groups: dict[str, list[Value]] = {}
        for node in order:
            base = clean(node.label or variables.get(node, ""))  # a line end in a label would break the line
            if base:
                self.base[node] = base
                groups.setdefault(base, []).append(node)
            if node.note is not None and node.note.network:
                made = node.note.network, node.note.call
                self.calls[node] = made
                for parent in node.parents if NEURON.fullmatch(node.label) else ():
                    if parent.rule is None or parent.is_constant:
                        self.calls.setdefault(parent, made)
        self._count: dict[Value, int] = {}  # of those without a name
        networks = sorted({network for network, _ in self.calls.values()})
        ranks: dict[int, dict[int, int]] = {}
        for network in networks:
            calls = sorted({c for node, (n, c) in self.calls.items() if n == network and node.note is not None})
            ranks[network] = {call: i for i, call in enumerate(calls, 1)}
        for base, nodes in groups.items():
            self._tell_apart(base, nodes, networks, ranks)
        number, taken = 0, {math.text for math in self.known.values()}
        for node in order:
            if node not in self.known:
                number += 1
                while f"v{number}" in taken:
                    number += 1
                self._count[node] = number

    def _tell_apart(self, base: str, nodes: list[Value], networks: list[int], ranks: dict[int, dict[int, int]]) -> None:
        written = written_name(base)
        of = [self.calls.get(node) if NEURON.fullmatch(base) else None for node in nodes]
        several = len({made[0] for made in of if made}) > 1
        names = []
        for node, made in zip(nodes, of, strict=True):
            name = written
            if made and several and (prime := networks.index(made[0])):
                marks = "′" * prime, r"^{" + r"\prime" * prime
                name = Math(name.text[0] + marks[0] + name.text[1:], name.latex.replace("^{", marks[1], 1))
            if made and len(ranks[made[0]]) > 1 and node.rule is not None:
                rank = ranks[made[0]][made[1]]
                name = Math(f"{name.text}({rank})", f"{name.latex[:-1]}({rank})}}")
            names.append(name)
        seen: dict[str, int] = {}
        total = Counter([name.text for name in names])
        for node, name in zip(nodes, names, strict=True):
            if total[name.text] > 1:
                seen[name.text] = i = seen.get(name.text, 0) + 1
                raised = superscript(f"({i})") if "^" not in name.text else f"({i})"
                latex = f"{name.latex}^{{({i})}}" if "^" not in name.latex else f"{name.latex[:-1]}({i})}}"
                name = Math(name.text + raised, latex)
            self.known[node] = name

    def __contains__(self, node: Value) -> bool:
        """Whether the node has a name that its user gave it."""
        return node in self.known

    def __getitem__(self, node: Value) -> Math:
        if node in self.known:
            return self.known[node]
        number = self._count[node]
        return Math(f"v{number}", f"v_{{{number}}}")
