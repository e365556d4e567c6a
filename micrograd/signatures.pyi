"""Types, for type checkers alone, of functions that take numbers and Values alike; nothing here exists at run time.

The rows of the rule book get their types by the number of their partials: `primitive()` gives a Unary, Binary or Ternary.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, overload

from numpy.typing import NDArray

from micrograd.engine.value import Value
from micrograd.primitives import Primitive

A = TypeVar("A")
F = TypeVar("F", bound=Callable[..., Any])

class Number(Protocol):
    """A plain number: an int, float, bool, Fraction or NumPy scalar; no array, no complex number."""

    def __float__(self) -> float: ...
    def __round__(self, ndigits: int, /) -> Any: ...
    @property
    def real(self) -> Any: ...  # a Value has no such attribute

Many: TypeAlias = NDArray[Any] | list[Any] | tuple[Any, ...]  # many numbers, to each of which a function is applied

class Unary(Primitive):
    """A row of one argument: a number for a number, a Value for a Value."""

    @overload
    def __call__(self, x: Value, /) -> Value: ...
    @overload
    def __call__(self, x: Number, /) -> float: ...
    @overload
    def __call__(self, x: NDArray[Any], /) -> NDArray[Any]: ...
    @overload
    def __call__(self, x: Sequence[Value], /) -> list[Value]: ...
    @overload
    def __call__(self, x: Sequence[Number], /) -> list[float]: ...
    @overload
    def __call__(self, x: list[Any] | tuple[Any, ...], /) -> list[Any]: ...

class OfPairs(Protocol):
    """A function of two numbers that takes lists and arrays too, and gives lists and arrays back."""

    @overload
    def __call__(self, x: Value, y: Value | Number, /) -> Value: ...
    @overload
    def __call__(self, x: Value | Number, y: Value, /) -> Value: ...
    @overload
    def __call__(self, x: Number, y: Number, /) -> float: ...
    @overload
    def __call__(self, x: Any, y: Any, /) -> Any: ...

class Binary(Primitive):
    """A row of two arguments: a number for numbers, a Value if one of them is a Value."""

    @overload
    def __call__(self, x: Value, y: Value | Number, /) -> Value: ...
    @overload
    def __call__(self, x: Value | Number, y: Value, /) -> Value: ...
    @overload
    def __call__(self, x: Number, y: Number, /) -> float: ...
    @overload
    def __call__(self, x: Many, y: Value | Number | Many, /) -> Any: ...
    @overload
    def __call__(self, x: Value | Number, y: Many, /) -> Any: ...

class Ternary(Primitive):
    """A row of three arguments, such as where."""

    @overload
    def __call__(self, x: Value, y: Value | Number, z: Value | Number, /) -> Value: ...
    @overload
    def __call__(self, x: Value | Number, y: Value, z: Value | Number, /) -> Value: ...
    @overload
    def __call__(self, x: Value | Number, y: Value | Number, z: Value, /) -> Value: ...
    @overload
    def __call__(self, x: Number, y: Number, z: Number, /) -> float: ...

class Outputs(Value, list[Value]):  # type: ignore[misc]
    """What a network gives: one Value if its last layer has one neuron, else a list of Values.

    A type checker cannot count the neurons, so this is both at once: it allows what a Value or a list can do.
    """

    def __iter__(self) -> Iterator[Value]: ...
    @overload  # type: ignore[override]
    def __getitem__(self, at: int | str) -> Value: ...
    @overload
    def __getitem__(self, at: slice) -> list[Value]: ...

class Elementwise(Protocol):
    """A function of one number that takes lists and arrays too, and gives lists and arrays back."""

    @overload
    def __call__(self, x: Value, /, *args: Any, **options: Any) -> Value: ...
    @overload
    def __call__(self, x: Number, /, *args: Any, **options: Any) -> float: ...
    @overload
    def __call__(self, x: A, /, *args: Any, **options: Any) -> A: ...
    def __get__(self, of: Value, kind: Any = None, /) -> Callable[[], Value]: ...  # as a method: v.ceil()

class OfMany(Protocol):
    """A function of many numbers: a number for numbers, a Value for Values."""

    @overload
    def __call__(self, xs: Sequence[Value] | Sequence[Sequence[Value]], ddof: int = 0) -> Value: ...
    @overload
    def __call__(self, xs: Sequence[Number] | Sequence[Sequence[Number]], ddof: int = 0) -> float: ...
    @overload
    def __call__(self, xs: Any, ddof: int = 0) -> Any: ...

class OfRows(Protocol):
    """A function of a list that gives a list; it is applied to a table row by row."""

    @overload
    def __call__(self, xs: Sequence[Value]) -> list[Value]: ...
    @overload
    def __call__(self, xs: Sequence[Number]) -> list[float]: ...
    @overload
    def __call__(self, xs: A) -> A: ...

class Loss(Protocol):
    """A loss: a number for numbers, a Value for Values; nested lists with reduction="none"."""

    @overload
    def __call__(
        self,
        predictions: Value | Sequence[Value] | Sequence[Sequence[Value]],
        targets: Any,
        *args: Any,
        reduction: Literal["mean", "sum"] = "mean",
        **options: Any,
    ) -> Value: ...
    @overload
    def __call__(
        self,
        predictions: Number | Sequence[Number] | Sequence[Sequence[Number]],
        targets: Number | Sequence[Number] | Sequence[Sequence[Number]],
        *args: Any,
        reduction: Literal["mean", "sum"] = "mean",
        **options: Any,
    ) -> float: ...
    @overload
    def __call__(self, predictions: Any, targets: Any, *args: Any, reduction: str = "mean", **options: Any) -> Any: ...

# Arguments without a Value: their derivatives are numbers, unless the function closes over a Value, which no checker can see.
Plain: TypeAlias = Number | str | Sequence[Plain] | Mapping[str, Plain] | NDArray[Any] | None
P = TypeVar("P", bound=Plain)

class Gradient(Protocol):
    """grad(f): the gradient has the structure of the first argument; it consists of Values if any argument has a Value."""

    @overload
    def __call__(self, x: Value, /, *args: Any, **named: Any) -> Value: ...
    @overload
    def __call__(self, x: Number, /, *args: Plain, **named: Plain) -> float: ...
    @overload
    def __call__(self, x: Number, /, *args: Any, **named: Any) -> Value: ...
    @overload
    def __call__(self, x: list[float], /, *args: Plain, **named: Plain) -> list[float]: ...
    @overload
    def __call__(self, x: list[float], /, *args: Any, **named: Any) -> list[Value]: ...
    @overload
    def __call__(self, x: A, /, *args: Any, **named: Any) -> A: ...

class JacobianOfMany(Protocol):
    """jacobian(f) of a function that gives a list of Values: a list, with the structure of the first argument for each one."""

    @overload
    def __call__(self, x: Value, /, *args: Any, **named: Any) -> list[Value]: ...
    @overload
    def __call__(self, x: Number, /, *args: Plain, **named: Plain) -> list[float]: ...
    @overload
    def __call__(self, x: Number, /, *args: Any, **named: Any) -> list[Value]: ...
    @overload
    def __call__(self, x: list[float], /, *args: Plain, **named: Plain) -> list[list[float]]: ...
    @overload
    def __call__(self, x: list[float], /, *args: Any, **named: Any) -> list[list[Value]]: ...
    @overload
    def __call__(self, x: A, /, *args: Any, **named: Any) -> list[A]: ...

class JacobianOfArray(Protocol):
    """jacobian(f) of a function that gives an array: for an array, one of shape (*output, *input)."""

    @overload
    def __call__(self, x: NDArray[Any] | Value | Number, /, *args: Any, **named: Any) -> NDArray[Any]: ...
    @overload
    def __call__(self, x: Any, /, *args: Any, **named: Any) -> Any: ...

class NumberFound(Protocol):
    """What implicit and custom_derivative return for a function of plain numbers that gives one number."""

    @overload
    def __call__(self, *args: Plain) -> float: ...
    @overload
    def __call__(self, *args: Any) -> Value: ...

class NumbersFound(Protocol):
    """The same for a function that gives a list of numbers."""

    @overload
    def __call__(self, *args: Plain) -> list[float]: ...
    @overload
    def __call__(self, *args: Any) -> list[Value]: ...

class ValueAndGradient(Protocol):
    """value_and_grad(f): a pair of the value and what grad(f) gives."""

    @overload
    def __call__(self, x: Value, /, *args: Any, **named: Any) -> tuple[Value, Value]: ...
    @overload
    def __call__(self, x: Number, /, *args: Plain, **named: Plain) -> tuple[float, float]: ...
    @overload
    def __call__(self, x: Number, /, *args: Any, **named: Any) -> tuple[Value, Value]: ...
    @overload
    def __call__(self, x: list[Value], /, *args: Any, **named: Any) -> tuple[Value, list[Value]]: ...
    @overload
    def __call__(self, x: list[float], /, *args: Plain, **named: Plain) -> tuple[float, list[float]]: ...
    @overload
    def __call__(self, x: list[float], /, *args: Any, **named: Any) -> tuple[Value, list[Value]]: ...
    @overload
    def __call__(self, x: A, /, *args: Any, **named: Any) -> tuple[float, A]: ...

class Hessian(Protocol):
    """hessian(f): the structure of the first argument, with that structure in the place of each number."""

    @overload
    def __call__(self, x: Value, /, *args: Any, **named: Any) -> Value: ...
    @overload
    def __call__(self, x: Number, /, *args: Plain, **named: Plain) -> float: ...
    @overload
    def __call__(self, x: Number, /, *args: Any, **named: Any) -> Value: ...
    @overload
    def __call__(self, x: list[Value], /, *args: Any, **named: Any) -> list[list[Value]]: ...
    @overload
    def __call__(self, x: list[float], /, *args: Plain, **named: Plain) -> list[list[float]]: ...
    @overload
    def __call__(self, x: list[float], /, *args: Any, **named: Any) -> list[list[Value]]: ...
    @overload
    def __call__(self, x: NDArray[Any], /, *args: Any, **named: Any) -> NDArray[Any]: ...
    @overload
    def __call__(self, x: Any, /, *args: Any, **named: Any) -> Any: ...
