"""Graphs as SymPy's expressions, and back: `to_sympy(L)` for simplify, solve, series, and `from_sympy(expr, x=Value(2.0))`.

SymPy is imported only when it is used. Operations are mapped to SymPy's own functions, so `symbol` is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import unwrap
from math import nan
from typing import Any

from micrograd import primitives
from micrograd.composed import ceil
from micrograd.engine import Value, constant, topological_order
from micrograd.formula.label import named
from micrograd.primitives import RULES


def _sympy() -> Any:
    try:
        import sympy
    except ImportError:
        raise ImportError("this needs SymPy: python -m pip install sympy") from None
    return sympy


def to_sympy(output: Value) -> Any:
    """The value of `output` as a SymPy expression of its leaves, by their labels, or as x1, x2, ... where they have none.

    Whole numbers become SymPy's integers, others its floats. ValueError where two leaves have the same label, or where an
    operation has no formula in SymPy: one with its own backward closure, or a user-defined primitive whose value is no formula.
    ImportError without SymPy.

    >>> x = Value(2.0, label="x")
    >>> to_sympy((x * x).sin())  # doctest: +SKIP
    sin(x**2)
    """
    sympy = _sympy()
    if not isinstance(output, Value):
        raise TypeError(f"to_sympy needs a Value, got {type(output).__name__} {output!r}")
    functions = _functions(sympy)
    made: dict[Value, Any] = {}
    names: dict[str, Value] = {}
    for node in topological_order(output) or [output]:
        if node.rule is None:
            name = (
                named(node.label).text
                if node.label
                else next(f"x{i}" for i in range(1, len(names) + 2) if f"x{i}" not in names)
            )
            if name in names:
                raise ValueError(f"two leaves are labelled {name!r}: give each a label of its own")
            names[name] = node
            made[node] = sympy.Symbol(name, real=True)
            continue
        operands = [made[p] if p in made else _number(sympy, p.data) for p in node.parents]
        made[node] = _number(sympy, node.data) if node.is_constant else _applied(node, operands, functions)
    return made[output]


def _number(sympy: Any, x: float) -> Any:
    return sympy.Integer(int(x)) if x == x and abs(x) < 1e15 and x.is_integer() else sympy.Float(x, 17) if x == x else sympy.nan


def _applied(node: Value, operands: Sequence[Any], functions: dict[str, Callable[..., Any]]) -> Any:
    rule = node.rule
    if rule is not None and rule.partials is not None:
        if rule.name in functions and RULES.get(rule.name) is rule:
            return functions[rule.name](*operands)
        try:  # a user-defined row: its value on floats, called on SymPy's symbols
            return unwrap(rule.value)(*operands)
        except Exception:
            pass
    raise ValueError(f"{node.op!r} has no formula in SymPy: give its value as a formula of operators, or compose it")


def _of_same_name(sympy: Any) -> dict[str, Callable[..., Any]]:
    """SymPy's functions for those of `math` that have the same name."""
    return {name: getattr(sympy, name) for name, row in RULES.items() if row.in_math and not row.own and hasattr(sympy, name)}


def _functions(sympy: Any) -> dict[str, Callable[..., Any]]:
    """SymPy's function for each primitive, by name."""
    piecewise = sympy.Piecewise

    def dot(*args: Any) -> Any:
        n = len(args) // 2
        return args[-1] + sum([x * y for x, y in zip(args[:n], args[n:-1], strict=True)])

    return _of_same_name(sympy) | {
        "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "div": lambda x, y: x / y,
        "neg": lambda x: -x, "pow": lambda x, y: x**y, "power_less": lambda n, c, x, y: c * x ** (y - n),
        "power_log": lambda n, c, x, y: c * x ** (y - n) * sympy.log(x),
        "log1p": lambda x: sympy.log(1 + x), "expm1": lambda x: sympy.exp(x) - 1,
        "lgamma": sympy.loggamma, "digamma": sympy.digamma,
        "polygamma": sympy.polygamma, "floor": sympy.floor,
        "log2": lambda x: sympy.log(x, 2), "log10": lambda x: sympy.log(x, 10), "exp2": lambda x: 2**x,
        "cbrt": lambda x: sympy.sign(x) * sympy.Abs(x) ** sympy.Rational(1, 3), "hypot": lambda x, y: sympy.sqrt(x**2 + y**2),
        "direction": lambda x, y: x / sympy.sqrt(x**2 + y**2), "inverted": lambda x, y: x / (x**2 + y**2),
        "exp_minus_square": lambda x: sympy.exp(-(x**2)), "ndtr": lambda x: sympy.erfc(-x / sympy.sqrt(2)) / 2,
        "round": lambda x: sympy.floor(x + sympy.Rational(1, 2)),  # halves are rounded up, not to even
        "mod": sympy.Mod, "floordiv": lambda x, y: sympy.floor(x / y),
        "sigmoid": lambda x: 1 / (1 + sympy.exp(-x)), "relu": lambda x: sympy.Max(x, 0),
        "softplus": lambda x: sympy.log(1 + sympy.exp(x)), "abs": sympy.Abs, "sign": sympy.sign,
        "step": lambda x: piecewise((1, x > 0), (0, True)), "maximum": sympy.Max, "minimum": sympy.Min,
        "greater": lambda x, y: piecewise((1, x > y), (0, True)), "less": lambda x, y: piecewise((1, x < y), (0, True)),
        "equal": lambda x, y: piecewise((1, sympy.Eq(x, y)), (0, True)),
        "where": lambda c, a, b: piecewise((a, c > 0), (b, True)), "sum": lambda *xs: sum(xs), "dot": dot,
        "logsumexp": lambda *xs: sympy.log(sum([sympy.exp(x) for x in xs])),
        "norm": lambda *xs: sympy.sqrt(sum([x**2 for x in xs])),
        "take": lambda i, *xs: piecewise(*[(x, sympy.Eq(i, k)) for k, x in enumerate(xs)]),
    }  # fmt: skip


def from_sympy(expression: Any, **values: Any) -> Value:
    """The Value of a SymPy expression, built from the Values (or numbers) given for its symbols by name.

    ValueError for a symbol without a value, and for a function that the rule book does not have. ImportError without SymPy.

    >>> import sympy  # doctest: +SKIP
    >>> from_sympy(sympy.sympify("sin(x)**2"), x=Value(1.0)).data  # doctest: +SKIP
    0.7080734182735712
    """
    sympy = _sympy()
    back: dict[Any, Callable[..., Any]] = {
        sympy.Abs: primitives.abs, sympy.sign: primitives.sign,
        sympy.Max: lambda *xs: _folded(primitives.maximum, xs), sympy.Min: lambda *xs: _folded(primitives.minimum, xs),
        sympy.Add: lambda *xs: _folded(primitives.add, xs), sympy.Mul: lambda *xs: _folded(primitives.mul, xs),
        sympy.Mod: primitives.mod, sympy.floor: primitives.floor, sympy.ceiling: ceil, sympy.loggamma: primitives.lgamma,
        sympy.polygamma: lambda n, x: primitives.polygamma(n, x) if n != 0.0 else primitives.digamma(x),
        sympy.StrictGreaterThan: primitives.greater, sympy.StrictLessThan: primitives.less, sympy.Equality: primitives.equal,
        sympy.GreaterThan: lambda x, y: 1.0 - primitives.less(x, y),
        sympy.LessThan: lambda x, y: 1.0 - primitives.greater(x, y),
        sympy.functions.elementary.piecewise.ExprCondPair: lambda x, c: (x, c), sympy.Piecewise: _chosen,
    }  # fmt: skip
    for name, function in _of_same_name(sympy).items():
        back.setdefault(function, RULES[name])
    made: dict[Any, Any] = {}
    try:
        read = sympy.sympify(expression)
    except (sympy.SympifyError, TypeError, RecursionError):
        read = None
    if not isinstance(read, sympy.Basic):
        raise TypeError(f"from_sympy needs an expression of SymPy, got {type(expression).__name__} {expression!r:.60}")
    for part in sympy.postorder_traversal(read):
        if part in made:
            continue
        if part.is_Symbol:
            if part.name not in values:
                raise ValueError(f"the symbol {part.name!r} has no value: from_sympy(expression, {part.name}=Value(1.0))")
            made[part] = values[part.name]
        elif part in (sympy.true, sympy.false):
            made[part] = 1.0 if part else 0.0
        elif part.is_number:
            made[part] = float(part)
        elif part.is_Pow:
            base, exponent = (made[a] for a in part.args)
            root = part.args[1] == sympy.Rational(1, 2)
            made[part] = primitives.sqrt(base) if root else primitives.pow(base, exponent)
            if part.args[1] == -1:
                made[part] = primitives.div(1.0, base)
        elif part.func in back:
            made[part] = back[part.func](*[made[a] for a in part.args])
        else:
            raise ValueError(f"{part.func.__name__} has no primitive here: rewrite it with those of the rule book")
    out = made[sympy.sympify(expression)]
    return out if isinstance(out, Value) else constant(out)


def _chosen(*pairs: tuple[Any, Any]) -> Any:
    """The value of the first pair whose condition is above 0; nan where there is none."""
    out: Any = nan
    for x, c in reversed(pairs):
        out = primitives.where(c, x, out)
    return out


def _folded(operation: Callable[[Any, Any], Any], operands: Sequence[Any]) -> Any:
    out = operands[0]
    for operand in operands[1:]:
        out = operation(out, operand)
    return out
