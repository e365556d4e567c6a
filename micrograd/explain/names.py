"""The name of a Value in an explanation: its label, else the name of a variable that holds it, else v1, v2, ...

Variables are looked for when an explanation is shown: in the frames that show it, in the notebook's namespace, and in what was
visible where the explanation was asked for. Values of the same name are told apart by the call of their network, or numbered.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

from micrograd.engine import Value
from micrograd.engine.lines import HERE
from micrograd.formula.label import Name, named, neuron
from micrograd.formula.latex import Math

_explicit: Mapping[str, Any] | None = None


def name_from(namespace: Mapping[str, Any] | None) -> None:
    """Take the names of variables from this namespace alone, such as `globals()`; with None, look for variables again.

    TypeError where it is no mapping.

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
    """Every Value that a variable holds, directly or in a list, with the name of the variable in the nearest frame."""
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
    """The local names of the frames outside this package, innermost first, then the global names of the notebook or script."""
    frame: FrameType | None = sys._getframe(1)
    nearest = None
    while frame is not None:
        if not frame.f_code.co_filename.startswith(HERE):
            nearest = frame.f_globals if nearest is None else nearest
            yield frame.f_locals
        frame = frame.f_back
    yield from (nearest or {}, vars(sys.modules["__main__"]))


def _held(name: str, held: Any, depth: int) -> Iterator[tuple[Value, str]]:
    """The Values in what the variable `name` holds, each with a name: xs[0] in a list xs, to a `depth` of nested lists."""
    if isinstance(held, Value):
        yield held, name
    elif held.__class__ in (list, tuple) and depth and len(held) <= 1000:
        for i, part in enumerate(held):
            if isinstance(part, (Value, list, tuple)):
                yield from _held(f"{name}[{i}]", part, depth - 1)


class Names:
    """The name of every Value in `order`, constants too; `names[node]` gives it as mathematics.

    `known` has the names that users gave, by labels or variables, `base` the same without what tells Values of one name apart.
    """

    def __init__(self, order: Sequence[Value], variables: Mapping[Value, str]):
        self.known: dict[Value, Name] = {}
        self.base: dict[Value, Name] = {}
        self.calls: dict[Value, tuple[int, int]] = {}  # (network, call) of what a network made, and of its inputs
        groups: dict[str, list[Value]] = {}
        for node in order:
            if called := node.label or variables.get(node, ""):
                self.base[node] = named(called)
                groups.setdefault(self.base[node].text, []).append(node)
            if node.note is not None and node.note.network:
                made = node.note.network, node.note.call
                self.calls[node] = made
                for parent in node.parents if neuron(node.label) else ():
                    if parent.rule is None or parent.is_constant:
                        self.calls.setdefault(parent, made)
        self._count: dict[Value, int] = {}  # the numbers of those without a name
        networks = sorted({network for network, _ in self.calls.values()})
        ranks: dict[int, dict[int, int]] = {}
        for network in networks:
            calls = sorted({c for node, (n, c) in self.calls.items() if n == network and node.note is not None})
            ranks[network] = {call: i for i, call in enumerate(calls, 1)}
        for nodes in groups.values():
            self._tell_apart(nodes, networks, ranks)
        number, taken = 0, {name.text for name in self.known.values()}
        for node in order:
            if node not in self.known:
                number += 1
                while f"v{number}" in taken:
                    number += 1
                self._count[node] = number

    def _tell_apart(self, nodes: list[Value], networks: list[int], ranks: dict[int, dict[int, int]]) -> None:
        """Name nodes of the same base: by primes for further networks, by the number of the call, else numbered."""
        of = [self.calls.get(node) if neuron(node.label) else None for node in nodes]
        several = len({made[0] for made in of if made}) > 1
        names = []
        for node, made in zip(nodes, of, strict=True):
            called = self.base[node]
            if made and several and (prime := networks.index(made[0])):
                called = called._replace(base=called.base + "′" * prime)
            if made and len(ranks[made[0]]) > 1 and node.rule is not None:
                called = called.marked(ranks[made[0]][made[1]])
            names.append(called)
        seen: dict[str, int] = {}
        total = Counter([called.text for called in names])
        for node, called in zip(nodes, names, strict=True):
            if total[called.text] > 1:
                seen[called.text] = i = seen.get(called.text, 0) + 1
                called = called.marked(i)
            self.known[node] = called

    @property
    def counted(self) -> Iterable[Value]:
        """The nodes without a name, called v1, v2, ..."""
        return self._count

    def __contains__(self, node: Value) -> bool:
        """Whether the node has a name that the user gave it."""
        return node in self.known

    def name(self, node: Value) -> Name:
        if node in self.known:
            return self.known[node]
        number = self._count[node]
        return Name("v", str(number), "", f"v{number}")

    def __getitem__(self, node: Value) -> Math:
        return self.name(node).math
