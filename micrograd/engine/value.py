"""Value, the graph it remembers, and the chain rule applied to that graph node by node.

`primitives` comes before: it holds every value and every derivative. `nn`, `functional`, `draw`, `explain` and the tape
build on what is here: `Value`, `topological_order`, `adjoints`. There is no calculus in this file and no recursion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from micrograd.elementwise import or_each
from micrograd.engine import anomaly, lines, modes
from micrograd.engine.assign import adding
from micrograd.engine.choices import adjoints_of_chosen
from micrograd.engine.copies import Copied
from micrograd.engine.modes import Note, open_blocks, watches
from micrograd.engine.numbers import Number
from micrograd.engine.operators import METHODS, Operators
from micrograd.engine.original import Original, made_of
from micrograd.engine.shown import Shown
from micrograd.primitives import CONSTANT, Primitive, number

_new = object.__new__
_LEAF: Any = None, None, 0.0, 0.0  # _x, _dx, _y, _dy
_NONE: tuple[Value, ...] = ()


def _apply(rule: Primitive, args: Sequence[Any]) -> Value:
    """The node rule(*args), for any mixture of Values and numbers, or lists; by the method of Value where there is one."""
    if rule in METHODS and args[0].__class__ is Value and args[-1].__class__ in (Value, float):
        return METHODS[rule](*args)  # type: ignore[no-any-return]
    return or_each(general, rule, args)  # type: ignore[no-any-return]


def general(rule: Primitive, args: Sequence[Any]) -> Value:
    """The node rule(*args): the definition of what the methods in `operators` do faster."""
    if rule.variadic or len(args) > 2:
        return node_of(rule, as_values(args))
    operands: tuple[Any, ...] = tuple([a if isinstance(a, Value) else number(a) for a in args])
    return _recorded(rule, operands, tuple([a if a.__class__ is float else a._data for a in operands]))


def as_values(xs: Iterable[Any]) -> tuple[Value, ...]:
    """The Values among `xs` as they are, numbers as constants."""
    return tuple([x if x.__class__ is Value or isinstance(x, Value) else constant(x) for x in xs])


def node_of(rule: Primitive, parents: tuple[Value, ...]) -> Value:
    """The node rule(*parents) of operands that are all Values."""
    data = [p._data for p in parents]
    if rule.variadic and (not open_blocks or modes.told(parents)):
        try:
            out, node = rule.value(*data), _new(Value)
            node._data, node.rule = out, rule
            node._x, node._dx, node._y, node._dy = parents, rule.partials(data, out), 0.0, 0.0
            return node
        except (ArithmeticError, ValueError):
            pass
    return _recorded(rule, parents, tuple(data))


def _recorded(rule: Primitive, args: tuple[Any, ...], data: tuple[float, ...]) -> Value:
    out = rule.on_floats(data)
    mode = modes.current()
    if mode.anomaly:
        anomaly.refuse_forward(rule, data, out)
    if mode.observer is not None:
        mode.observer.used(args)
    elif not mode.recording:
        return constant(out)
    partials = local_numbers(rule, args, data, out)
    node: Value = _new(Value)
    node._data, node.rule = out, rule
    if rule.variadic or len(args) > 2:
        node._x, node._dx, node._y, node._dy = args, partials, 0.0, 0.0
    else:
        (node._x, node._y), (node._dx, node._dy) = (*args, 0.0)[:2], (*partials, 0.0)[:2]
    if mode.anomaly or mode.scope:
        node.note = Note(line=lines.line() if mode.anomaly else "", scope=mode.scope)
    return node if mode.recording else node.detach()


def local_numbers(rule: Primitive, args: Sequence[Any], data: tuple[float, ...], out: float) -> tuple[float, ...]:
    """The partial derivatives as floats, evaluated where an argument is no constant."""
    wanted = () if rule.variadic else [a.__class__ is not float and a.rule is not CONSTANT for a in args]
    try:
        return rule.local(data, out, wanted)
    except (ArithmeticError, ValueError):  # 1 / 0: Values follow IEEE where Python's floats raise
        with modes.inside(recording=False, anomaly=False, observer=None):
            return tuple([float(d) for d in rule.local(tuple(map(constant, data)), constant(out), wanted)])


class Value(Operators, Number, Copied, Shown, Original):
    """One number that remembers how it was computed.

    `data` is the number, `grad` the derivative of the last output that went backward with respect to it, `label` its
    name in drawings and explanations, `rule` the primitive that made it (None for a leaf). `parents` are its
    operands in call order, `partials` the local derivatives with respect to them, taken on the way forward.

    `Value(data, label="a")` makes a leaf. `_children` and `_op` are those of the original micrograd: such a node
    carries the gradient once `_backward` has been set.

    >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    >>> c = a * b
    >>> c.backward()
    >>> c.data, c.partials, a.grad, b.grad
    (-6.0, (-3.0, 2.0), -3.0, 2.0)
    """

    __slots__ = ("_data", "_dx", "_dy", "_grad", "_label", "_note", "_x", "_y", "rule")
    __primitive__ = staticmethod(_apply)
    __general__ = staticmethod(general)
    # One or two operands stand in slots of their own (_x, _y with partials _dx, _dy), numbers as bare floats; more are a
    # tuple in _x, their partials a tuple in _dx; a leaf has None in _x; an unused _y holds 0.0. Most of an operator's
    # time is the garbage collector's: one tracked object per node, and no slot filled before it is needed, keep it low.
    _data: float
    _grad: float
    _label: str
    _note: Note | None
    grad = modes.when_set("_grad", 0.0, "The derivative of the last output that went backward with respect to this.", ".grad")
    note = modes.when_set("_note", None, "The Note that drawings and explanations read, or None.")

    def __init__(self, data: Any, _children: Iterable[Value] = _NONE, _op: str = "", label: str = ""):
        if _children is not _NONE and (isinstance(_children, str) or getattr(type(_children), "__iter__", None) is None):
            raise TypeError(f"the second argument of Value is not its label: write Value({data!r}, label={str(_children)!r})")
        self._data, self.label = data if data.__class__ is float else number(data), label
        self.rule: Primitive | None = None
        self._x, self._dx, self._y, self._dy = _LEAF
        if _children is not _NONE and (children := as_values(_children)):
            made_of(self, children, _op)
        if open_blocks and (observer := modes.current().observer) is not None:
            observer.made(self)

    @property
    def data(self) -> float:
        """The number. What is assigned is stored as a float; TypeError where it is no number."""
        if open_blocks or watches:
            modes.read(self, ".data")
        return self._data

    @data.setter
    def data(self, x: Any) -> None:
        if open_blocks:
            modes.write(self, ".data")
        self._data = x if x.__class__ is float else number(x)

    # -- what the graph remembers

    @property
    def parents(self) -> tuple[Value, ...]:
        """The operands in call order, duplicates kept; a number in an expression is a constant Value."""
        if self._x is None or self._x.__class__ is tuple:
            return self._x or ()
        if self._x.__class__ is float:
            self._x = constant(self._x)
        if self.rule is not None and len(self.rule.partials) == 1:
            return (self._x,)
        if self._y.__class__ is float:
            self._y = constant(self._y)
        return self._x, self._y

    @property
    def partials(self) -> tuple[float, ...]:
        """The local partial derivative with respect to each parent; 0.0 where an operator has a constant, which needs none."""
        if open_blocks or watches:
            modes.read(self, ".partials")
        if self._x is None or self._x.__class__ is tuple:
            return tuple(self._dx or ())
        return tuple([0.0 if p.rule is CONSTANT else d for p, d in zip(self.parents, (self._dx, self._dy), strict=False)])

    @property
    def op(self) -> str:
        """The name of the primitive that made this node; empty for a leaf."""
        return self.rule.name if self.rule is not None else ""

    @property
    def is_constant(self) -> bool:
        """Whether this is a constant: a number without a gradient."""
        return self.rule is CONSTANT

    def detach(self) -> Value:
        """A constant of the same data and label."""
        if open_blocks and (observer := modes.current().observer) is not None:
            return observer.detached(self)  # type: ignore[no-any-return]
        return constant(self._data, self.label)

    def backward(self) -> None:
        """Set `.grad` of every node below this one: leaves accumulate, the others hold the adjoint of this pass."""
        if open_blocks or watches:
            modes.read(self, "backward() (adjoints() with create_graph=True gives Values)")
        if self.rule is CONSTANT:
            raise RuntimeError(f"backward() of the constant {self!r}: it came from numbers alone, or from a no_grad() block")
        found = adjoints(self)
        with adding:
            for node, g in found.items():
                node._grad = getattr(node, "_grad", 0.0) + g if node._x is None else g
        if modes.hooked:
            modes.tell_hooks(found)

    def recompute(self) -> Value:
        """Replay the graph on what the leaves hold now, data and partials; returns this Value.

        In a graph of derivatives, what was not chosen may come back as nan, 0 times infinity, where a number on the way is
        beyond 1e100 and was not when the graph was built.
        """
        from micrograd.engine.stale import recompute  # which stands on this module

        return recompute(self)

    def _below(self, seen: set[Value]) -> list[Value]:  # for `copies`, which this module stands on
        return all_below(self, seen=seen)


def constant(x: Any, label: str = "") -> Value:
    """A Value without a gradient: what a plain number in an expression becomes.

    >>> c = constant(2.0, label="c")
    >>> c.is_constant, (c * Value(3.0)).partials
    (True, (0.0, 2.0))
    """
    if x.__class__ is float and not label:  # what most numbers are
        node: Value = _new(Value)
        node._data, node._x, node._dx, node._y, node._dy = x, None, None, 0.0, 0.0
    else:
        node = Value(x, label=label)
    node.rule = CONSTANT
    return node


def all_below(*roots: Value, seen: set[Value] | None = None, before: Mapping[Value, Value] | None = None) -> list[Value]:
    """`roots` and every Value below them, constants too, in depth-first postorder that visits parents from left to right.

    Values in `seen` are left out, with all below them; the ones found are added to it. Where `before` has another Value for
    a leaf or a node of many operands, that one is sorted like a first operand.
    """
    order: list[Value] = []
    seen = set() if seen is None else seen
    stack: list[Any] = [*reversed(roots)]  # nodes to visit; None says that the node under it is finished
    push, pop, done, see = stack.append, stack.pop, order.append, seen.add
    while stack:
        node = pop()
        if node is None:
            done(pop())
            continue
        while node not in seen:
            see(node)
            x = node._x
            if before and node in before:
                x = (before[node], *(x or ()))
            if x is None:
                done(node)
                break
            push(node)
            push(None)
            y = node._y
            if y.__class__ is not float and y not in seen:
                push(y)
            if x.__class__ is tuple:
                if not seen.issuperset(x):
                    stack.extend(reversed(x))
                break
            if x.__class__ is float:
                break
            node = x
    return order


def topological_order(*roots: Value) -> list[Value]:
    """`roots` and all they depend on but constants, parents before consumers: depth-first postorder, left to right.

    >>> a = Value(2.0, label="a")
    >>> [v.label or v.op for v in topological_order(a * a + 1)]
    ['a', 'mul', 'add']
    """
    return [node for node in all_below(*as_values(roots)) if node.rule is not CONSTANT]


def adjoints(output: Value, wrt: Iterable[Value] | Value | None = None, create_graph: bool = False) -> dict[Value, Any]:
    """The derivative of `output` with respect to every Value below it, or to those in `wrt` (0 where it is not below).

    Nothing is changed. Nodes are taken in the reverse of `topological_order`, and contributions added in that order.
    With `create_graph` the derivatives are Values, graphs themselves, of the same numbers; RuntimeError where data
    below `output` has changed since the graph was built.

    >>> x = Value(3.0)
    >>> first = adjoints(x**3, x, create_graph=True)[x]
    >>> first.data, adjoints(first, x)[x]
    (27.0, 18.0)
    """
    if not isinstance(output, Value):
        raise TypeError(f"adjoints needs a Value as output, got {type(output).__name__} {output!r}")
    wrt = None if wrt is None else (wrt,) if isinstance(wrt, Value) else tuple(wrt)
    for v in wrt or ():
        if not isinstance(v, Value) or v.rule is CONSTANT:
            what = f"the constant {v!r}" if isinstance(v, Value) else f"{type(v).__name__} {v!r}"
            raise TypeError(f"adjoints needs Values that have a gradient in wrt, got {what}")
    if create_graph:
        from micrograd.engine.higher_order import adjoint_graph  # which stands on this module

        found: dict[Value, Any] = adjoint_graph(output, wrt)
    else:
        if open_blocks or watches:
            modes.read(output, "backward(), or adjoints() without create_graph=True")
        found = _adjoint_numbers(output)
    return found if wrt is None else {v: found[v] if v in found else constant(0.0) if create_graph else 0.0 for v in wrt}


def _adjoint_numbers(output: Value) -> dict[Value, float]:
    order = all_below(output)
    adjoint = dict.fromkeys(order, 0.0)
    adjoint[output] = 1.0
    constants = []
    for node in reversed(order):
        x = node._x
        if x is None:
            if node.rule is CONSTANT:
                constants.append(node)
            continue
        g = adjoint[node]
        if x.__class__ is tuple:
            for parent, local in zip(x, node._dx):  # noqa: B905 (equal by construction, and this is the inner loop)
                adjoint[parent] += g * local
            continue
        if x.__class__ is not float:
            adjoint[x] += g * node._dx
        y = node._y
        if y.__class__ is not float:
            adjoint[y] += g * node._dy
    if not isfinite(sum(adjoint.values())):
        adjoint = adjoints_of_chosen(order, output)
    for node in constants:
        del adjoint[node]
    if modes.current().anomaly:
        from micrograd.engine.stale import refuse_anomaly  # which stands on this module

        refuse_anomaly(order, adjoint)
    return adjoint
