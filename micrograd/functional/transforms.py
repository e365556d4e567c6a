"""Derivatives as functions: grad, value_and_grad, jacobian, hessian, jvp, vjp and hvp, with JAX's names and arguments.

`run` comes before: it runs a function on leaves, and differentiates the graph that was recorded. Here stands what is run and
which derivatives are taken; they come back in the arguments' own structure: numbers, lists, tuples, dicts, NumPy arrays of
numbers, and any nesting of them.

    numbers in, numbers out    and NumPy in, NumPy out, so SciPy takes these functions as they are
    Values in, Values out      also where the function closes over Values: the derivative is then a graph itself, of those
                               Values, and can be differentiated again; inside no_grad() there are only numbers

While the function runs, what depends on the arguments gives no plain number away: float(x), x.data, math.sin(x) and arrays of
floats raise TypeError, for a derivative through them would silently be 0. x.detach().data takes the number on purpose.
Comparisons and `if` are allowed, and so is printing: f"{x:.3f}" is then Value(0.500), which float() does not read.

What a function closes over is constant for its derivative. Every argument becomes a leaf of its own, and a derivative is
looked up by that leaf, so transforms nest to any depth and order without confusing whose perturbation is whose. Forward
mode pushes tangents through the recorded graph, along the same local partial derivatives that reverse mode uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from micrograd.engine import Value, as_values, topological_order
from micrograd.engine.modes import current
from micrograd.functional.run import Run, described, forward_is_cheaper, matching, pulled, pushed, recorded
from micrograd.primitives import dot
from micrograd.trees import kind_of, like

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from micrograd.signatures import Gradient, Hessian, JacobianOfArray, JacobianOfMany, P, Plain, ValueAndGradient

A = TypeVar("A")


@overload
def grad(fun: Callable[..., Any], argnums: Literal[0] = 0, has_aux: Literal[False] = False) -> Gradient: ...
@overload
def grad(
    fun: Callable[..., Any], argnums: tuple[int, ...], has_aux: Literal[False] = False
) -> Callable[..., tuple[Any, ...]]: ...
@overload
def grad(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: Literal[True]
) -> Callable[..., tuple[Any, Any]]: ...
@overload
def grad(fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]: ...
def grad(fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `fun`, in the structure of the argument that `argnums` names.

    With a sequence of `argnums`, a tuple of gradients. With `has_aux`, `fun` returns a pair (number, anything else) and
    the result is (gradient, anything else). An argument that `fun` does not depend on has gradient 0. TypeError where
    `fun` does not return one number, and where an argument to differentiate by is an integer.

    >>> grad(lambda x: x**3)(2.0)
    12.0
    >>> grad(grad(grad(lambda x: x**3)))(2.0)
    6.0
    >>> grad(lambda p: p["a"] * p["b"][0])({"a": 2.0, "b": [5.0, 1.0]})
    {'a': 5.0, 'b': [2.0, 0.0]}
    """
    return _gradient("grad", fun, argnums, has_aux)


@overload
def value_and_grad(fun: Callable[..., Any], argnums: Literal[0] = 0, has_aux: Literal[False] = False) -> ValueAndGradient: ...
@overload
def value_and_grad(
    fun: Callable[..., Any], argnums: tuple[int, ...], has_aux: Literal[False] = False
) -> Callable[..., tuple[Any, tuple[Any, ...]]]: ...
@overload
def value_and_grad(fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]: ...
def value_and_grad(fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns (value, gradient) of `fun` from one run; see `grad`. With `has_aux`, ((value, aux), gradient).

    >>> value_and_grad(lambda x, y: x * y, argnums=(0, 1))(2.0, 3.0)
    (6.0, (3.0, 2.0))

    SciPy's `minimize(value_and_grad(f), x0, jac=True)` takes it as it is; inside no_grad() where `f` closes over Values,
    such as the weights of a network, because the results would be Values too.
    """
    return _value_and_grad("value_and_grad", fun, argnums, has_aux)


@overload
def jacobian(
    fun: Callable[..., Value],
    argnums: Literal[0] = 0,
    has_aux: Literal[False] = False,
    *,
    sparse: Literal[False] = False,
    mode: str | None = None,
) -> Gradient: ...
@overload
def jacobian(
    fun: Callable[..., list[Value]],
    argnums: Literal[0] = 0,
    has_aux: Literal[False] = False,
    *,
    sparse: Literal[False] = False,
    mode: str | None = None,
) -> JacobianOfMany: ...
@overload
def jacobian(
    fun: Callable[..., NDArray[Any]],
    argnums: Literal[0] = 0,
    has_aux: Literal[False] = False,
    *,
    sparse: Literal[False] = False,
    mode: str | None = None,
) -> JacobianOfArray: ...
@overload
def jacobian(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    sparse: bool = False,
    mode: str | None = None,
) -> Callable[..., Any]: ...
def jacobian(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    sparse: bool = False,
    mode: str | None = None,
) -> Callable[..., Any]:
    """A function that returns the derivative of every output of `fun` with respect to every input.

    The result has the structure of the output, with the structure of the argument in the place of each number; between
    arrays it is an array of shape (*output, *input). Without a `mode`, "forward" does the work where there are no more inputs
    than outputs, "reverse" elsewhere; both visit only what an output depends on. Inside jit it is the one with fewer products,
    counted on the recorded graph, unless bits are promised (precision="exact").

    With `sparse`, a SciPy sparse array (CSR) of outputs by inputs, each flattened in order. Its entries are the pairs
    that the graph connects, also where the derivative happens to be 0 at this point.

    >>> jacobian(lambda x: [x[0] * x[1], x[1] ** 2])([2.0, 3.0])
    [[3.0, 2.0], [0.0, 6.0]]
    """
    return _jacobian("jacobian", fun, argnums, has_aux, sparse, mode)


@overload
def hessian(
    fun: Callable[..., Any], argnums: Literal[0] = 0, has_aux: Literal[False] = False, *, sparse: Literal[False] = False
) -> Hessian: ...
@overload
def hessian(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, *, sparse: bool = False
) -> Callable[..., Any]: ...
def hessian(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, *, sparse: bool = False
) -> Callable[..., Any]:
    """A function that returns the second derivatives of `fun`: tangents pushed forward through the graph of its gradient.

    The result has the argument's structure, with that structure again in the place of each number: for an array of n
    numbers an array of shape (n, n). With `sparse`, a SciPy sparse array (CSR); see `jacobian`.

    >>> hessian(lambda x: x[0] ** 2 * x[1])([3.0, 5.0])
    [[10.0, 6.0], [6.0, 0.0]]
    """
    first = (_gradient if sparse else _jacobian)("hessian", fun, argnums, has_aux)  # a matrix is for one output
    return _jacobian("hessian", first, argnums, has_aux, sparse)


@overload
def jvp(
    fun: Callable[..., Value], primals: Sequence[Plain], tangents: Sequence[Plain], has_aux: Literal[False] = False
) -> tuple[float, float]: ...
@overload
def jvp(
    fun: Callable[..., list[Value]], primals: Sequence[Plain], tangents: Sequence[Plain], has_aux: Literal[False] = False
) -> tuple[list[float], list[float]]: ...
@overload
def jvp(
    fun: Callable[..., A], primals: Sequence[Any], tangents: Sequence[Any], has_aux: Literal[False] = False
) -> tuple[A, A]: ...
@overload
def jvp(fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool) -> tuple[Any, ...]: ...
def jvp(fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """(outputs, their tangents): the derivative of `fun` at `primals` in the direction `tangents`, in forward mode.

    Both are sequences with one entry per argument, of the same structure. With `has_aux`, a triple, the auxiliary data last.

    >>> jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 0.0))
    (6.0, 3.0)
    """
    return _jvp("jvp", fun, primals, tangents, has_aux)


@overload
def vjp(
    fun: Callable[..., Value], *primals: P, has_aux: Literal[False] = False
) -> tuple[float, Callable[[float], tuple[P, ...]]]: ...
@overload
def vjp(
    fun: Callable[..., list[Value]], *primals: P, has_aux: Literal[False] = False
) -> tuple[list[float], Callable[[Sequence[float]], tuple[P, ...]]]: ...
@overload
def vjp(
    fun: Callable[..., A], *primals: Any, has_aux: Literal[False] = False
) -> tuple[A, Callable[[Any], tuple[Any, ...]]]: ...
@overload
def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool) -> tuple[Any, ...]: ...
def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(outputs, pull): `pull` takes cotangents in the structure of the outputs, and returns a tuple, one for each primal.

    Reverse mode; `pull` may be called any number of times. With `has_aux`, a triple, the auxiliary data last.

    >>> out, pull = vjp(lambda x, y: [x * y, x + y], 2.0, 3.0)
    >>> out, pull([1.0, 10.0])
    ([6.0, 5.0], (13.0, 12.0))
    """
    _callable("vjp", fun)
    with recorded() as plain:
        run = Run("vjp", fun, tuple(range(len(primals))), primals, {}, has_aux, plain)
        if run.finds(topological_order(*run.outputs)):
            run.attach()

    def pull(cotangents: Any) -> Any:
        with recorded() as plain:
            weights = matching("vjp", "cotangents", cotangents, "the output", run.out)
            graph = run.graph or any(isinstance(w, Value) for w in weights)
            (together,) = as_values([dot(run.outputs, weights)])
            return like(run.tree, iter(run.gradient(together, graph, plain)))

    return (run.value(), pull, run.aux()) if has_aux else (run.value(), pull)


@overload
def hvp(fun: Callable[..., Any], primals: tuple[A], tangents: Sequence[Any]) -> A: ...
@overload
def hvp(fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any: ...
def hvp(fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The Hessian of `fun` at `primals` times `tangents`: forward over reverse, no Hessian is built.

    As in `jvp`, both are sequences with one entry per argument. With one argument the result is of its structure, with
    several a tuple. For SciPy: `hessp=lambda x, p: hvp(f, (x,), (p,))`.

    >>> hvp(lambda x: x[0] ** 2 * x[1], ([3.0, 5.0],), ([1.0, 0.0],))
    [10.0, 6.0]
    """
    _callable("hvp", fun)
    _sequences("hvp", primals, tangents)
    argnums = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return _jvp("hvp", _gradient("hvp", fun, argnums, False), primals, tangents, False)[1]


# -- each transform, with the name that its messages bear


def _value_and_grad(name: str, fun: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool) -> Callable[..., Any]:
    _callable(name, fun)

    @wraps(fun)
    def both(*args: Any, **kwargs: Any) -> Any:
        with recorded() as plain:
            run = Run(name, fun, argnums, args, kwargs, has_aux, plain)
            if run.out is None or kind_of(run.out) is not None or getattr(run.out, "shape", ()) != ():
                pair = ", or say has_aux=True for a pair (output, auxiliary data)" if isinstance(run.out, tuple) else ""
                raise TypeError(
                    f"{name} needs a function that returns one number, got {described(run.out)}: "
                    f"return one of them or their sum, or take jacobian{pair}"
                )
            g = like(run.tree, iter(run.gradient(run.outputs[0], run.graph, plain)))
            return ((run.value(), run.aux()), g) if has_aux else (run.value(), g)

    return both


def _gradient(name: str, fun: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool) -> Callable[..., Any]:
    both = _value_and_grad(name, fun, argnums, has_aux)

    @wraps(fun)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


def _jacobian(
    name: str,
    fun: Callable[..., Any],
    argnums: int | Sequence[int],
    has_aux: bool,
    sparse: bool = False,
    mode: str | None = None,
) -> Callable[..., Any]:
    _callable(name, fun)
    if mode not in (None, "forward", "reverse"):
        raise ValueError(f'{name}: mode is "forward", "reverse" or None for the one that suits the shape, got {mode!r}')

    @wraps(fun)
    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        with recorded() as plain:
            run = Run(name, fun, argnums, args, kwargs, has_aux, plain)
            forward = mode == "forward" or (mode is None and len(run.leaves) <= len(run.outputs))
            if mode is None and (observer := current().observer) is not None and observer.merges:
                forward = forward_is_cheaper(run)  # what is recorded once is worth the counting, where bits may differ
            rows = pushed(run, [{i: 1.0} for i in range(len(run.leaves))]) if forward else pulled(run)
            result = run.sparse(rows) if sparse else run.by_output(rows)
            return (result, run.aux()) if has_aux else result

    return jacobian_of


def _jvp(name: str, fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool) -> Any:
    _callable(name, fun)
    _sequences(name, primals, tangents)
    with recorded() as plain:
        direction = matching(name, "tangents", tuple(tangents), "primals", tuple(primals))
        run = Run(name, fun, tuple(range(len(primals))), primals, {}, has_aux, plain)
        rows = pushed(run, [{0: t} for t in direction])
        out = like(run.out, iter([row.get(0, run.zero()) for row in rows]))
        return (run.value(), out, run.aux()) if has_aux else (run.value(), out)


def _callable(name: str, fun: Any) -> None:
    if not callable(fun):
        advice = "pass the function itself, not its result" if isinstance(fun, (Value, float)) else "pass a function"
        raise TypeError(f"{name} needs a function, got {type(fun).__name__} {fun!r}: {advice}")


def _sequences(name: str, primals: Any, tangents: Any) -> None:
    for what, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (list, tuple)):
            raise TypeError(
                f"{name}: {what} must be a tuple with one entry per argument, got {type(given).__name__}: write ({what[:-1]},)"
            )
    if len(primals) != len(tangents):
        raise TypeError(f"{name} needs one tangent per primal, got {len(primals)} primals and {len(tangents)} tangents")
