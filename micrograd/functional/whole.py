"""Functions whose calls are one node for each number that they return, whatever happens inside.

`primitive` makes a row of the rule book for a few numbers; here the same is done for a whole function of structures. Such a
node stands over all numbers that the function takes, and over the Values that it closes over. Three kinds are built on it:
custom_derivative (its derivative is given), checkpoint (its derivative is computed when asked for, and not kept) and implicit
(its derivative is that of an equation which it solves).
"""

from __future__ import annotations

import inspect
import sys
import threading
from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import update_wrapper
from itertools import count
from types import MethodType
from typing import Any, NamedTuple
from weakref import WeakValueDictionary, ref

from micrograd.engine import Value, as_values, constant, node_of, primal, redirect
from micrograd.engine.higher_order import Dependents
from micrograd.engine.modes import current, enable_grad, scope, unwatch, watch, watches
from micrograd.floats import raised
from micrograd.formula.text import identifier
from micrograd.primitives import CONSTANT, FUNCTIONS, RULES, Primitive
from micrograd.trees import (
    LEAF,
    Structure,
    elements,
    elements_of,
    flatten,
    is_array,
    kind_of,
    leaves_of,
    like,
    mapped,
    numbers,
    plain_arrays,
)

FRAMES = 128  # how many frames a function keeps, the latest ones; a row that is in use keeps its own
_used: dict[str, Iterator[int]] = {}  # names of rows, each for one row in this process: compiled code knows rows by name
_making = threading.Lock()  # held while a frame is added


_NUMBER: Structure = (LEAF, None)


class Found(NamedTuple):
    """What a function gave for plain numbers."""

    out: Any  # in its structure, with numbers for Values
    nodes: Sequence[int]  # which of its numbers, counted in order, depend on Values
    closed: Sequence[Value] = ()  # the Values that it closes over
    constants: Sequence[int] = ()  # which of its numbers are Values that depend on none


class WholeFunction:
    """A function whose calls are one node for each number that they return. Each kind of them fills in the methods here.

    `where` begins its messages; `run` says what comes out for plain numbers, `partials` how one of them is derived.
    """

    where: str
    watched = False  # whether plain numbers of its arguments are refused also where nothing else refuses them
    masked = False  # whether it matters which numbers of the arguments are Values, and which of these are constants

    def __init__(self, f: Callable[..., Any]):
        name = getattr(f, "__name__", type(f).__name__)
        self.name = identifier(name if name != "<lambda>" else "f")
        self.frames: dict[Any, Frame] = {}  # by the structure of the arguments: calls of one structure share their rows
        update_wrapper(self, f, updated=())
        self.home = f"{self.__module__}.{getattr(self, '__qualname__', self.name)}"
        self.method = self.home  # what it is called in a class
        if not isinstance(f, MethodType):
            FUNCTIONS.setdefault(self.name, WeakValueDictionary())[self.home] = self

    def __set_name__(self, owner: type, name: str) -> None:
        self.method = f"{owner.__module__}.{owner.__qualname__}.{name}"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """For a function in the body of a class: the same bound to one object, and kept among that object's attributes.

        It binds where the function that it is made of would. A class method gets its class as it is.
        """
        if instance is None or not hasattr(self.__wrapped__, "__get__"):  # type: ignore[attr-defined]
            return self
        if isinstance(instance, type):
            return MethodType(self, instance)
        if not hasattr(instance, "__dict__"):
            raise TypeError(
                f"{type(instance).__name__} has __slots__ and no place for its own {self!r}: add '__dict__' to them"
            )
        kept, name = vars(instance), f"{self.where}({self.method})"
        found = kept.get(name)
        # Where `instance` is a copy of another object, the one that it has kept is that object's.
        if found is None or getattr(found.__wrapped__, "__self__", instance) is not instance:
            made = [f.__get__(instance, owner) if hasattr(f, "__get__") else f for f in self.made_of()]
            found = kept[name] = type(self)(*made)
            found.method = self.method
        return found

    @abstractmethod
    def run(self, frame: Frame, xs: Sequence[float]) -> Found:
        """What the function gives for the numbers `xs` of its arguments."""

    @abstractmethod
    def partials(self, row: Row, xs: Sequence[Any], out: Any) -> Any:
        """The derivatives of the number that a row stands for, by the arguments and by what the function closes over.

        At floats a tuple of floats, or `Later`; at Values (`out` is the node) a graph; at symbols formulas, where it can.
        """

    def attempt(self, frame: Frame, xs: Sequence[Any]) -> Any:
        """Compute the function on Values, for jit. Where this raises anything, jit calls the function for each sample."""
        raise TypeError(f"{self.where}: {self.name} is called on plain numbers alone")

    def __call__(self, *args: Any, **named: Any) -> Any:
        args = self.placed(args, named) if named else args
        held, found, structures = [], list[Any](), list[Any]()
        for i, arg in enumerate(args):
            if is_static(arg):
                structures.append((arg.__class__, arg))
            elif arg.__class__ is not Value:
                arg = plain_arrays(arg, f"{self.where}, argument {i}")
                found += numbers(arg, f"{self.where}, argument {i}", True)
                structures.append(_structure(arg))
            else:
                found.append(arg)
                structures.append(_NUMBER)
            held.append(arg)
        parents = as_values(found)
        mask = tuple([None if x.__class__ is float else not x.is_constant for x in found]) if self.masked else ()
        key = (mask, *structures)
        frame = self.frames.get(key)
        if frame is not None and len(self.frames) == FRAMES:
            self.used(key)
        elif frame is None:
            frame = self.frame(key, [arg if is_static(arg) else mapped(arg, zeroed) for arg in held], mask)
        out, places, closed, constants = frame.called([primal(x) for x in parents])
        parents = (*parents, *closed)
        if all(x.is_constant for x in parents):
            if not (self.masked or any(isinstance(x, Value) for x in found)):
                return out
            places, constants = (), (*constants, *places)
        structure = _structure(out)
        nodes = {i: node_of(frame.row(out, i, structure), parents) for i in places}
        if (observer := current().observer) is not None and nodes:
            computed = observer.attempted(lambda: numbers(self.attempt(frame, parents), self.where, True))
            if computed is not None and len(computed) == len(elements_of(out)):
                for i, node in nodes.items():
                    observer.stands_for(node, *as_values([computed[i]]))
        if constants:
            xs = elements_of(out)
            nodes |= {i: constant(xs[i]) for i in constants}
        return _put(out, nodes)

    def bound(self, args: Sequence[Any], named: dict[str, Any]) -> inspect.BoundArguments:
        """The arguments of a call by the function's parameters; TypeError where it does not take them."""
        try:
            return inspect.signature(self.__wrapped__).bind(*args, **named)  # type: ignore[attr-defined]
        except (TypeError, ValueError) as error:
            raise TypeError(f"{self.where}, {self.name}: {error}") from None

    def placed(self, args: Sequence[Any], named: dict[str, Any]) -> tuple[Any, ...]:
        """The arguments of a call in their places, those by name too."""
        bound = self.bound(args, named)
        parameters = [*bound.signature.parameters.values()]
        last = max([i for i, p in enumerate(parameters) if p.name in bound.arguments])
        for p in parameters[:last]:  # what comes behind is left out, as in a call by places
            if p.kind is p.POSITIONAL_OR_KEYWORD:
                bound.arguments.setdefault(p.name, p.default)
        if bound.kwargs:
            raise TypeError(
                f"{self.where}: {self.name} takes {', '.join(bound.kwargs)} by name alone; give it a place among its parameters"
            )
        return bound.args

    def frame(self, key: Any, template: Sequence[Any], mask: Sequence[Any]) -> Frame:
        """The frame of arguments of one structure."""
        frame = Frame(self, template, mask)
        with _making:
            frame = self.frames.setdefault(key, frame)
            if len(self.frames) > FRAMES:
                del self.frames[next(iter(self.frames))]
        return frame

    def used(self, key: Any) -> None:
        """Let a frame be the latest one."""
        with _making:
            if key in self.frames:
                self.frames[key] = self.frames.pop(key)

    def row_of(self, template: Sequence[Any], mask: Sequence[Any], shape: Any, i: int) -> Row:
        """The row of the i-th number of `shape`, for arguments like `template`."""
        key = (tuple(mask), *[(arg.__class__, arg) if is_static(arg) else _structure(arg) for arg in template])
        return (self.frames.get(key) or self.frame(key, template, mask)).row(shape, i)

    @property
    def returned(self) -> str:
        return f"{self.where}, what {self.name} returns"

    def __reduce__(self) -> Any:
        f = self.__wrapped__  # type: ignore[attr-defined]
        name = self.method.rpartition(".")[2]
        if isinstance(f, MethodType) and isinstance(inspect.getattr_static(type(f.__self__), name, None), WholeFunction):
            return getattr, (f.__self__, name)
        found: Any = sys.modules.get(self.__module__)
        name = getattr(self, "__qualname__", "")
        for part in name.split("."):
            found = getattr(found, part, None)
        return name if found is self else (type(self), self.made_of())  # by name where it decorates what has that name

    def made_of(self) -> tuple[Any, ...]:
        """The arguments that make it anew."""
        raise NotImplementedError


class Frame:
    """Arguments of one structure: puts numbers into it, and remembers the latest ones with their result."""

    def __init__(self, whole: WholeFunction, template: Sequence[Any], mask: Sequence[Any]):
        self.whole, self.template, self.mask = whole, template, mask
        self.open = [i for i, arg in enumerate(template) if not is_static(arg)]
        self.sizes = [[len(elements(leaf)) for leaf in flatten(template[i])[0]] for i in self.open]
        self.size = sum(map(sum, self.sizes))
        self.latest: tuple[bytes, Any] = (b"", None)  # one run for all outputs
        self.numbers: Callable[[], array[float] | None] = lambda: None  # those of one call, while any of its nodes is there
        self.rows: dict[Any, Row] = {}

    def args(self, xs: Sequence[Any]) -> list[Any]:
        """The arguments with these numbers."""
        stream, args = iter(xs), list(self.template)
        for i in self.open:
            args[i] = like(args[i], stream)
        return args

    def called(self, xs: Sequence[float]) -> Found:
        """What the function gives for the numbers of its arguments."""
        found = self.whole.run(self, xs)
        self.latest = array("d", [*xs, *map(primal, found.closed)]).tobytes(), found.out
        return found

    def at(self, xs: Sequence[float]) -> Any:
        """What the function gives for `xs`: the numbers of its arguments, then of what it closes over.

        RuntimeError where what it closes over holds other numbers now.
        """
        latest, out = self.latest
        if latest != (wanted := array("d", xs)).tobytes():
            found = self.called(xs[: self.size])
            if array("d", map(primal, found.closed)).tobytes() != wanted[self.size :].tobytes():
                raise self.changed()
            out = found.out
        return out

    def shared(self, xs: Sequence[float]) -> array[float]:
        """These numbers, as one array for all outputs of a call."""
        numbers, wanted = self.numbers(), array("d", xs)
        if numbers is None or numbers.tobytes() != wanted.tobytes():
            self.numbers, numbers = ref(wanted), wanted
        return numbers

    def row(self, out: Any, i: int, structure: Any = None) -> Row:
        """The row of the i-th number of what the function returns, of that structure."""
        key = (i, structure or _structure(out))
        return self.rows.get(key) or self.rows.setdefault(key, Row(self, mapped(out, zeroed), i))

    def changed(self) -> RuntimeError:
        return RuntimeError(
            f"{self.whole.where}: {self.whole.name} gives something else now than when it was called: what it closes over or "
            "reads has changed since (random numbers do); pass it as an argument, or call recompute() on the output first"
        )


class Row(Primitive):
    """The row of one number that a whole function returns; `shape` is the structure of all that it returns."""

    __slots__ = ("frame", "i", "shape")

    def __init__(self, frame: Frame, shape: Any, i: int):
        self.frame, self.shape, self.i = frame, shape, i
        name = f"{frame.whole.name}{f'_{i}' if i or kind_of(shape) is not None else ''}"
        name = f"own_{name}" if name in RULES else name
        k = next(_used.setdefault(name, count(1)))
        name = name if k == 1 else f"{name}_{k}"
        super().__init__(name, f"{name}(xs)", self.number, self.derivatives, raised, True)
        self.own = True

    def number(self, *xs: Any) -> Any:
        if all([x.__class__ is float for x in xs]):  # noqa: C419 (quicker)
            out = self.frame.at(xs)
            return out if out.__class__ is float else float(elements_of(out)[self.i])
        return leaves_of(self.frame.whole.attempt(self.frame, xs))[self.i]  # on symbols, for what writes code

    def beside(self, xs: Sequence[Any], out: Any) -> list[Any]:
        """The nodes of all numbers that the function returned over `xs`; `out` is the one that this row made."""
        size = len(elements_of(self.shape))
        return [out if j == self.i else node_of(self.frame.row(self.shape, j), as_values(xs)) for j in range(size)]

    def derivatives(self, xs: Sequence[Any], out: Any) -> Any:
        return self.frame.whole.partials(self, xs, out)

    @property
    def least(self) -> int:
        """How many operands it has at least."""
        return self.frame.size

    def described(self) -> Any:
        whole = self.frame.whole
        if whole.home.endswith("<lambda>"):
            raise ValueError("a file knows functions by name, and one has none: define it with def, not as a lambda")
        if isinstance(whole.__wrapped__, MethodType):  # type: ignore[attr-defined]
            raise ValueError(f"a file knows functions by name, and {whole.name} is a method of an object: make it a function")
        return whole.name, whole.home, self.frame.template, self.frame.mask, self.shape, self.i

    def __reduce__(self) -> Any:
        return _row, (self.frame.whole, self.frame.template, self.frame.mask, self.shape, self.i)


class Later:
    """Partial derivatives that are computed each time somebody looks at them, in the place of the numbers."""

    __slots__ = ("out", "row", "xs")

    def __init__(self, row: Row, xs: Sequence[float], out: float):
        self.row, self.xs, self.out = row, row.frame.shared(xs), out

    def __iter__(self) -> Iterator[float]:
        return iter(self.row.frame.whole.computed(self.row, self.xs, self.out))  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.xs)

    def __reduce__(self) -> Any:
        return Later, (self.row, self.xs, self.out)


class Segment:
    """One run of a function on leaves of its own, the graph between them and its results, and the Values that it closes over.

    These are replaced in the graph by leaves too, `copies`, so that derivatives end there.
    """

    def __init__(self, whole: WholeFunction, f: Callable[..., Any], args: Sequence[Any], leaves: Sequence[Value]):
        token = watch(Dependents(whole.where, list(leaves))) if watches or whole.watched else None
        try:
            with enable_grad(), scope(whole.name):
                (entry,) = current().scope[-1:]
                self.out = f(*args)
        finally:
            if token is not None:
                unwatch(token)
        if self.out is None:
            raise TypeError(f"{whole.where}: {whole.name} returned None; does it lack a return?")
        self.results = numbers(self.out, whole.returned, True)
        self.leaves = leaves
        place: dict[Value, Value] = {leaf: leaf for leaf in leaves}  # what stands in the graph for each Value
        copies: dict[Value, Value] = {}
        stack: list[Value] = []

        def held(x: Any) -> Any:
            """What stands in the graph for an operand or result: itself, or where it is from elsewhere, a leaf."""
            if x.__class__ is float or not isinstance(x, Value):
                return x
            if (known := place.get(x)) is not None:
                return known
            place[x] = x
            if x.rule is not CONSTANT:
                if x.note is not None and entry in x.note.scope:
                    stack.append(x)
                else:
                    place[x] = copies[x] = Value(primal(x), label=x.label)
            return place[x]

        self.results = [held(x) for x in self.results]
        while stack:
            redirect(stack.pop(), held)
        self.closed, self.copies = tuple(copies), tuple(copies.values())

    def found(self) -> Found:
        values = {i: x for i, x in enumerate(self.results) if isinstance(x, Value)}
        fixed = [i for i, x in values.items() if x.is_constant]
        nodes = [i for i, x in values.items() if not x.is_constant]
        return Found(_put(self.out, {i: primal(x) for i, x in values.items()}), nodes, self.closed, fixed)


def _put(out: Any, change: dict[int, Any]) -> Any:
    """`out` with other numbers in the places that `change` names; what is not named stays as it is, integers too."""
    if out.__class__ is float:
        return change.get(0, out)
    at = count()

    def changed(leaf: Any) -> Any:
        if not is_array(leaf):
            return change.get(next(at), leaf)
        return like(leaf, iter([change.get(next(at), x) for x in elements(leaf)]))

    return mapped(out, changed)


def _row(whole: WholeFunction, template: Sequence[Any], mask: Sequence[Any], shape: Any, i: int) -> Row:
    return whole.row_of(template, mask, shape, i)


def called(taken: str, f: Callable[..., Any], *args: Any) -> Any:
    """What `f` gives; TypeError that says what is handed to it, where it cannot be called with so many arguments."""
    try:
        return f(*args)
    except TypeError as error:
        if error.__traceback__ and error.__traceback__.tb_next:  # it was called, and raised this inside
            raise
        raise TypeError(f"{taken}; {error}") from None


def number_of(x: Any) -> Any:
    """The number of a Value; a number as it is."""
    return primal(x) if isinstance(x, Value) else x


def is_static(arg: Any) -> bool:
    """Whether an argument is handed on as it is: a class too, to its class methods."""
    return arg is None or isinstance(arg, (bool, int, str, type))


def zeroed(leaf: Any) -> Any:
    """A leaf's structure alone, without a number that it would keep alive."""
    return like(leaf, iter([0.0] * len(elements(leaf))))


def _structure(arg: Any) -> Structure:
    if arg.__class__ is float:
        return _NUMBER
    leaves, structure = flatten(arg)
    return structure, *[leaf.shape if is_array(leaf) else None for leaf in leaves]
