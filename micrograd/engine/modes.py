"""Blocks in which the engine behaves differently, such as no_grad(), and who is told of what is done to Values in them.

`value` and `operators` ask `current()` for the mode while a block is open in any thread, and look no further while none is.
What detect_anomaly() refuses stands in `anomaly`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import partial, wraps
from itertools import count
from typing import Any, NamedTuple, Protocol, TypeVar, overload

from micrograd.engine.lines import HERE
from micrograd.floats import number


class Holder(Protocol):
    """Refuses to have numbers read off the Values that it holds. (`Any` is a Value, which is defined above modes.)"""

    def holds(self, value: Any, /) -> bool:
        """Whether the Value is one of those."""

    def frozen(self, value: Any, how: str, /) -> None:
        """Raise: a number was read off a Value that it holds, in the way that `how` names."""


class Observer(Holder, Protocol):
    """What records a function for the tape: it is told of what the graph alone does not show."""

    merges: bool  # whether bits may differ from those that the engine gives, for speed

    def made(self, leaf: Any, /) -> None:
        """A leaf was made while the function ran."""

    def used(self, operands: Sequence[Any], /) -> None:
        """An operation was applied to these Values and numbers."""

    def compared(self, name: str, x: Any, y: Any, result: bool, /) -> None:
        """A Value was compared with a Value or number, and this came out."""

    def detached(self, source: Any, /) -> Any:
        """What stands for a Value from which no gradient flows on."""

    def attempted(self, run: Callable[[], Any], /) -> Any:
        """The result of `run()`; None where it wants plain numbers, and then nothing of the attempt is kept."""

    def merged(self, outputs: Sequence[Any], /) -> list[Any]:
        """What a derivative is taken of, in the place of some outputs."""

    def passed_choices(self, /) -> None:
        """A graph of derivatives has been made that multiplies what was not chosen."""

    def stands_for(self, node: Any, value: Any, /) -> None:
        """A node is computed as another Value is; its derivative is that of its own rule."""

    def read(self, value: Any, how: str, /) -> None:
        """A number was read off a Value; raises where it holds the Value."""

    def written(self, value: Any, what: str, /) -> None:
        """An attribute of a Value is about to be set; raises unless the Value is a leaf that the function made."""


F = TypeVar("F", bound=Callable[..., Any])


class Mode(NamedTuple):
    """How the engine behaves in a thread, as the blocks around say together."""

    recording: bool = True
    anomaly: bool = False
    observer: Observer | None = None  # while a function is recorded for the tape
    gated: bool | None = None  # whether graphs of derivatives leave out what was not chosen; None: where it is not all tame
    scope: tuple[tuple[str, int], ...] = ()  # the names of the scopes around, each with the number of its block
    blocks: tuple[dict[str, Any], ...] = ()  # what each block around changes, from the outside in; empty once it is closed


class Note(NamedTuple):
    """What only drawings and explanations want to know of a node: which call made it, which line wrote it, in which scope."""

    network: int = 0
    call: int = 0
    line: str = ""
    scope: tuple[tuple[str, int], ...] = ()  # names from the outside in, each with the number of the block that gave it
    hooks: tuple[Callable[[float], Any], ...] = ()  # functions that are told of the gradient; see Value.on_gradient

    def __reduce__(self) -> Any:  # hooks belong to this process
        return Note, self[:4]


NORMAL = Mode()
_mode: ContextVar[Mode] = ContextVar("mode", default=NORMAL)
hooked: list[None] = []  # not empty once any Value has had a hook: until then backward() looks for none
after_step: list[Any] = []  # functions called after every step of an optimiser, with the loss before it where that is known
_entries = count(1)  # numbers for the blocks of scope()
open_blocks: list[None] = []  # one entry for each open block of any thread


@contextmanager
def inside(**change: Any) -> Iterator[None]:
    """A block in which the mode of this thread is changed.

    Blocks may be closed in any order, and in another context than the one that opened them, as generators are: closing
    one takes away its own change, wherever that has got to, and no other.
    """
    global _since, _listening
    mine = (outer := current())._replace(**change, blocks=(*outer.blocks, change))
    _mode.set(mine)
    open_blocks.append(None)
    try:
        yield
    finally:
        change.clear()
        _since, _listening = object(), (None,) * 3
        open_blocks.pop()
        _mode.set(outer if _mode.get() is mine else current())


def current() -> Mode:
    """The mode of this thread."""
    if not open_blocks:
        return NORMAL
    mode = _mode.get()
    return mode if all(mode.blocks) else _of_open(mode.blocks)


def _of_open(blocks: tuple[dict[str, Any], ...]) -> Mode:
    """The mode that the blocks still open make together."""
    mode = NORMAL
    for change in blocks:
        if change:
            mode = mode._replace(**change, blocks=(*mode.blocks, change))
    return mode


_since = object()  # another one after each block that is closed: a mode seen before may have lost one of its blocks
_listening: tuple[Any, ...] = (None,) * 3  # the latest mode for which `told` was true, the `_since` of that time, its observer


def told(operands: Sequence[Any]) -> bool:
    """Whether a function is being recorded, and nothing else is changed: then its observer has been told of the operands.

    Operators ask this first, and may go on the quick way where it is true.
    """
    global _listening
    (known, then, observer), mode, since = _listening, _mode.get(), _since
    if mode is not known or since is not then:
        _, anomaly, observer, _, scope, _ = now = mode if all(mode.blocks) else _of_open(mode.blocks)
        if observer is None or not now.recording or anomaly or scope:
            return False
        _listening = mode, since, observer
    observer.used(operands)
    return True


def read(value: Any, how: str) -> None:
    """Tell the observer of this thread, and its watches, that a number is read off a Value or its graph; they may refuse.

    To be called by the function that the reader called: a watch does not refuse what this package reads itself.
    """
    observer = current().observer
    if observer is not None:
        observer.read(value, how)
    refuse_watched(value, how, 3)


def write(value: Any, what: str) -> None:
    """Tell the observer of this thread that an attribute of a Value is about to be set; it may refuse."""
    observer = current().observer
    if observer is not None:
        observer.written(value, what)


def refuse_watched(value: Any, how: str, depth: int) -> None:
    """Let the watches of this thread refuse, unless the frame so far up is of this package."""
    if watches and not sys._getframe(depth).f_code.co_filename.startswith(HERE):
        for over in filter(lambda over: over.holds(value), _watches.get()):
            over.frozen(value, how)


@contextmanager
def refusals() -> Iterator[None]:
    """A block that raises the refusal of a number by itself, where NumPy has wrapped it in an error of its own."""
    try:
        yield
    except ValueError as error:
        cause = error.__cause__
        if isinstance(cause, TypeError) and "plain number" in str(cause):
            raise cause from None
        raise


watches: list[None] = []  # one entry for each open watch of any thread
_watches: ContextVar[tuple[Holder, ...]] = ContextVar("watches", default=())


def watch(over: Holder) -> Token[tuple[Holder, ...]]:
    """Begin a watch: numbers are not to be read off the Values that `over` holds; over.frozen(value, how) refuses it.

    It changes no mode, so that operators keep their quick way. What comes back is for `unwatch`.
    """
    watches.append(None)
    return _watches.set((*_watches.get(), over))


def unwatch(token: Token[tuple[Holder, ...]]) -> None:
    """End a watch."""
    watches.pop()
    _watches.reset(token)


def is_watched(value: Any) -> bool:
    """Whether a watch of this thread holds the Value."""
    return any(over.holds(value) for over in _watches.get())


class Block:
    """A block in which the mode of this thread is changed, entered as often as one likes; as a decorator, of every call.

    Around a generator or coroutine it holds while their own code runs, and not while they wait for their caller.
    """

    def __init__(self, **change: Any):
        self._change = change
        self._entered: list[Any] = []

    def __enter__(self) -> None:
        self._entered.append(block := inside(**self._change))
        block.__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self._entered.pop().__exit__(*error)

    def __call__(self, fn: F) -> F:
        if not callable(fn):
            raise TypeError(f"this block decorates functions, got {type(fn).__name__} {fn!r}: use it in a with statement")

        @wraps(fn)
        def called(*args: Any, **kwargs: Any) -> Any:
            with inside(**self._change):
                return fn(*args, **kwargs)

        @wraps(fn)
        def generated(*args: Any, **kwargs: Any) -> Any:
            made = fn(*args, **kwargs)
            step: Callable[[], Any] = partial(made.send, None)
            while True:
                try:
                    with inside(**self._change):
                        item = step()
                except StopIteration as end:
                    return end.value
                try:
                    step = partial(made.send, (yield item))
                except GeneratorExit:
                    with inside(**self._change):
                        made.close()
                    raise
                except BaseException as error:
                    step = partial(made.throw, error)

        @wraps(fn)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return await _Awaited(generated(*args, **kwargs))

        from inspect import iscoroutinefunction, isgeneratorfunction  # a tenth of this package's own import

        if isgeneratorfunction(fn):
            return generated  # type: ignore[return-value]
        return awaited if iscoroutinefunction(fn) else called  # type: ignore[return-value]


class _Awaited:
    """A coroutine whose steps a generator makes."""

    def __init__(self, steps: Any):
        self._steps = steps

    def __await__(self) -> Any:
        return (yield from self._steps)


def _block(fn: Callable[..., Any] | None, **change: Any) -> Any:
    return Block(**change) if fn is None else Block(**change)(fn)


@overload
def no_grad(fn: F) -> F: ...
@overload
def no_grad(fn: None = None) -> Block: ...
def no_grad(fn: Callable[..., Any] | None = None) -> Any:
    """A block (or decorator) in which nothing is recorded: every result is a constant. Holds for this thread alone.

    >>> from micrograd import Value
    >>> with no_grad():
    ...     y = Value(2.0) * 3
    >>> y.data, y.is_constant
    (6.0, True)
    """
    return _block(fn, recording=False)


@overload
def enable_grad(fn: F) -> F: ...
@overload
def enable_grad(fn: None = None) -> Block: ...
def enable_grad(fn: Callable[..., Any] | None = None) -> Any:
    """A block in which operations are recorded, inside no_grad() too.

    >>> from micrograd import Value
    >>> with no_grad(), enable_grad():
    ...     y = Value(2.0) * 3
    >>> y.is_constant
    False
    """
    return _block(fn, recording=True)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """A block, or decorator, that names a part of one's own code: drawings fold by it. Blocks nest; each is a part of its own.

    Without one, a drawing does not know which function or which turn of a loop made a node: to note that costs every
    operation a fifth of its time, whether anything is ever drawn or not. Parts that are alike fold then by what they
    compute.

    >>> from micrograd import Value
    >>> x = Value(2.0, label="x")
    >>> with scope("square"):
    ...     y = x * x
    >>> y.note.scope[0][0]
    'square'
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f'a scope has a name: with scope("gate f"): ..., got {name!r}')
    with inside(scope=(*current().scope, (name, next(_entries)))):
        yield


@overload
def detect_anomaly(fn: F) -> F: ...
@overload
def detect_anomaly(fn: None = None) -> Block: ...
def detect_anomaly(fn: Callable[..., Any] | None = None) -> Any:
    """A block in which the first nan or inf, forward or backward, raises FloatingPointError.

    backward() raises RuntimeError there where data has changed since the graph was built: the derivatives would be those at
    the old data.

    The message names the operation, its operands and the line that wrote it, in compiled functions too: where their results
    are not finite, the function itself is run on one sample after the other.

    >>> from micrograd import Value
    >>> with detect_anomaly():  # doctest: +ELLIPSIS
    ...     Value(-1.0).log()
    Traceback (most recent call last):
        ...
    FloatingPointError: log(-1.0) = nan, at ...
    """
    return _block(fn, anomaly=True)


def when_set(slot: str, default: Any, doc: str, how: str = "") -> Any:
    """An attribute that takes no memory, and no time of the garbage collector's, until it is set."""

    def get(self: Any) -> Any:
        if how and (open_blocks or watches):
            read(self, how)
        return getattr(self, slot, default)

    def put(self: Any, value: Any) -> None:
        if how:
            if open_blocks:
                write(self, how)
            value = value if value.__class__ is float else _gradient(value)
        setattr(self, slot, value)

    return property(get, put, doc=doc)


def _gradient(x: Any) -> float:
    """What `.grad` is set to, as a float. None is refused too: where a gradient is added to, there has to be a number."""
    try:
        return number(x)
    except TypeError:
        got = f"{type(x).__name__} {x!r}"[:80] if x is not None else "None"
        raise TypeError(f".grad is one number, got {got}: write x.grad = 0.0 to clear it, v.data for the number of v") from None


def tell_hooks(found: dict[Any, float]) -> None:
    """Call the hooks of those nodes with their adjoints, from the output to the leaves."""
    for node, g in reversed(found.items()):
        for hook in node.note.hooks if node.note is not None else ():
            hook(g)


def mark(node: Any, label: str, note: Note | None) -> None:
    """Give a fresh node its label and the call of a network that made it; the line that wrote it stays."""
    node._label = label
    if note is not None:
        node._note = node.note._replace(network=note.network, call=note.call) if open_blocks and node.note is not None else note
