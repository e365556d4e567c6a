"""A Value as pictures and words: draw(), explain(), why(), names, and what help() says of a row of the rule book.

`Value` inherits what is here. The rooms above are imported when they are called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from micrograd.engine import modes
from micrograd.engine.modes import Note
from micrograd.primitives import Primitive

if TYPE_CHECKING:
    from micrograd.draw import Drawing
    from micrograd.engine.value import Value
    from micrograd.explain import Explanation, Why


_OF_RECORDS = re.compile(r"[{}<>|\\]")


class Written(str):
    """A label with signs that DOT's records are written with. It is what was written; as text, in print and %s, h_(t-1).

    So what people write around a label, as in the lecture's drawing, stays a record; mathematics is made where it is drawn.
    """

    __slots__ = ()

    def __str__(self) -> str:
        from micrograd.formula.label import in_records

        return in_records(self)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


class Shown:
    """What a Value can show of its graph. Arguments are those of micrograd.draw.Drawing and micrograd.explain.explain."""

    __slots__ = ()

    @property
    def label(self: Any) -> str:
        """The name in drawings and explanations. As text it has no braces: `{label}` in an f-string is h_(t-1) for h_{t-1}."""
        return getattr(self, "_label", "")

    @label.setter
    def label(self: Any, label: Any) -> None:
        if label.__class__ is not str:
            label = "" if label is None else label if isinstance(label, str) else str(label)
        self._label = Written(label[:]) if _OF_RECORDS.search(label) else label

    def draw(
        self: Any,
        format: str = "svg",
        rankdir: str | None = None,
        limit: int | None = None,
        unfold: str | Iterable[str] = (),
        through: Value | Iterable[Value] = (),
        *,
        view: str | None = None,
        call: int | None = None,
        width: float = 850,
        digits: int = 4,
        theme: str = "light",
    ) -> Drawing:
        """A Drawing of the graph below this Value, which Jupyter shows; what the arguments mean is said in Drawing."""
        from micrograd.draw import Drawing

        return Drawing(
            self, format, rankdir, limit, unfold, through, view=view, call=call, width=width, digits=digits, theme=theme
        )

    def explain(
        self: Any,
        x: Value = None,  # type: ignore[assignment]  # for a message of its own
        depth: int | None = None,
        notation: str = "leibniz",
        digits: int = 4,
        most: int | None = 8,
    ) -> Explanation:
        """How the derivative of this with respect to `x` comes about: the chain rule, in symbols and numbers.

        `depth` is how many levels of factors are opened, from 1 for x alone; left out, as many as a screen holds. `notation` is
        "leibniz" or "delta" (δ_v for ∂L/∂v), `digits` how many significant digits are printed, exact from 17 on, and `most` how
        many terms of a long sum are shown; None shows all.
        """
        from micrograd.explain import explain

        return explain(self, x, depth, notation, digits, most)

    def why(self: Any, x: Value = None) -> Why:  # type: ignore[assignment]
        """Why the derivative of this with respect to `x` is zero, tiny, huge, nan or inf."""
        from micrograd.explain import why

        return why(self, x)

    def on_gradient(self: Any, hook: Callable[[float], Any]) -> Callable[[], None]:
        """Call `hook` with this Value's adjoint in every backward() above it; what comes back is a function that stops that.

        Hooks are told, once all `.grad` are set, from the output to the leaves; what they return is ignored. Compiled code and
        adjoints() call none. Copies have the hooks too, pickles have not.

        >>> from micrograd import Value
        >>> x = Value(3.0)
        >>> square = x * x
        >>> stop = square.on_gradient(lambda g: print("the gradient of the square is", g))
        >>> (2 * square).backward()
        the gradient of the square is 2.0
        >>> stop()
        """
        if not callable(hook):
            raise TypeError(f"on_gradient needs a function of one number, got {type(hook).__name__} {hook!r}")
        modes.hooked[:] = [None]
        own = lambda g: hook(g)  # noqa: E731 (one of its own, so that the same function can be a hook twice)
        note = self.note or Note()
        self.note = note._replace(hooks=(*note.hooks, own))

        def stop() -> None:
            self.note = self.note._replace(hooks=tuple(h for h in self.note.hooks if h is not own))

        return stop

    def find(self: Any, name: str) -> list[Value]:
        """All Values below this one that drawings and explanations call by this name; L["z_2^[2]"] gives the only one.

        >>> from micrograd import Value
        >>> L = Value(2.0, label="a") * Value(3.0, label="b")
        >>> L.find("b"), L["a"].data, L.find("c")
        ([Value(data=3.0, grad=0.0, label='b')], 2.0, [])
        """
        from micrograd.explain import find

        return find(self, name)

    def __getitem__(self: Any, name: str) -> Value:
        from micrograd.explain import only

        return only(self, name)

    if not TYPE_CHECKING:  # to type checkers a network gives a Value that may be iterated
        __iter__ = None  # there are names in it, and no items


class _Description:
    """A docstring that is made when it is asked for: one for the class, and one for each object."""

    def __init__(self, text: str | None):
        self.text = text

    def __get__(self, row: Primitive | None, kind: type) -> str | None:
        if row is None:
            return self.text
        from micrograd.formula.described import described

        return described(row)


Primitive.__doc__ = _Description(Primitive.__doc__)  # type: ignore[assignment]
