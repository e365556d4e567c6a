"""Expressions as text: `parse("tanh(a*b) + c", named_values(["a=1", "b=-2", "c=0.5"]))` is the Value they mean.

The command line reads its expressions here. The page in the browser reads the same language, by draw/page/parse.js. Python's
parser makes the tree; this module walks it and applies the rule book. Python evaluates no text, so only arithmetic on the given
names can happen.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
import unicodedata
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from micrograd import composed, primitives
from micrograd.engine import Value, constant
from micrograd.primitives import HELPERS, RULES, Primitive, number

_OPERATORS: dict[type, Any] = {
    ast.Add: primitives.add,
    ast.Sub: primitives.sub,
    ast.Mult: primitives.mul,
    ast.Div: primitives.div,
    ast.Mod: primitives.mod,
    ast.FloorDiv: primitives.floordiv,
    ast.Pow: primitives.pow,
    ast.USub: primitives.neg,
    ast.UAdd: lambda x: x,
    ast.Gt: primitives.greater,
    ast.Lt: primitives.less,
}
_OF_MANY = {"sum": primitives.sum, "logsumexp": primitives.logsumexp}
_ALIASES = {"max": "maximum", "min": "minimum", "ln": "log"}
_MODULES = ("math", "np", "numpy", "mg", "micrograd")  # written before a function by habit
_OF_LISTS = ("softmax", "log_softmax", "cumsum", "mean", "var", "std", "norm", "prod")
_COMPOSED = {
    name: getattr(composed, name)
    for name in ("ceil", "trunc", "clip", "gelu", "silu", "elu", "leaky_relu", "logaddexp", *_OF_LISTS)
}


class ExpressionError(ValueError):
    """An expression that cannot be read: one line says why, then come the expression and a caret under the place."""

    def __init__(self, message: str, text: str, column: int):
        self.message, self.text, self.column = message, text, column
        first = max(column - 60, 0)  # of a long expression only the surroundings of the place are shown
        shown = "".join(c if c.isprintable() else " " for c in text[first : first + 120])
        super().__init__(f"{message}\n  {shown}\n  {' ' * (column - first)}^")


def named_values(assignments: Iterable[str]) -> dict[str, Value]:
    """The Values that "a=1", "b=-2" describe, by name and labelled with it; ExpressionError for any other text.

    The right-hand side may be an expression of numbers, with inf and nan: "x=pi/4", "x=-inf".
    """
    named: dict[str, Value] = {}
    for text in assignments:
        name, equals, number = (part.strip() for part in text.partition("="))
        name = unicodedata.normalize("NFKC", name)  # as Python does with the names in an expression
        if not equals or not number or "=" in number:
            raise ExpressionError(f"expected name=number, such as a=1.5, got {text!r}", text, len(text))
        if not name.isidentifier():
            raise ExpressionError(f"{name!r} is no name for a value: use letters, digits and _", text, 0)
        if name in named:
            raise ExpressionError(f"{name!r} has two values: give one", text, 0)
        named[name] = Value(parse(number, {"inf": math.inf, "nan": math.nan}).data, label=name)
    return named


def read(text: str, assignments: Iterable[str]) -> tuple[Value, dict[str, Any]]:
    """The Value of `text`, and what each name means, with values given as "a=1", "b=-2".

    Composed functions are known too, and entries of the lists that some give: softmax([a, b])[0]. ExpressionError where the
    expression cannot be read, or does not use a value that is given.

    >>> read("a*b", ["a=2", "b=3"])[0].data
    6.0
    """
    named = named_values(assignments)
    out, names = parse_steps(text, named, _COMPOSED)
    used = {_restored(node.id) for node in ast.walk(ast.parse(_guarded(text.strip()))) if isinstance(node, ast.Name)}
    for name in named:
        if name not in used:
            other = next((n for n in sorted(used) if n.lower() == name.lower()), None)
            advice = f"; did you mean {other}?" if other else ", leave it out"
            raise ExpressionError(f"{name!r} is given a value, but the expression does not use it{advice}", text, 0)
    return out, names | {name: value for name, value in named.items() if names.get(name) is not value}


def parse(text: str, named: Mapping[str, Any]) -> Value:
    """The Value that `text` means, built from the Values (or numbers) in `named`.

    It may have the operators + - * / // % ** < >, the functions of the rule book by name (also as methods), and `pi`. Several
    steps are written `d = a*b; tanh(d) + c`, where d becomes a label. ExpressionError for anything else.
    """
    return parse_steps(text, named, {})[0]


def parse_steps(text: str, named: Mapping[str, Any], functions: Mapping[str, Any]) -> tuple[Value, dict[str, Any]]:
    """The Value that `text` means, and what each name means at the end: a Value, a number or a list of these.

    `functions` are known by name beside those of the rule book; a value may have the same name. If there are any, entries of
    lists can be written.
    """
    lines = (text := text.strip()).splitlines() or [""]
    if not text:
        raise ExpressionError("the expression is empty: write one such as tanh(a*b) + c", "", 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(_guarded(text))
    except SyntaxError as error:
        line = lines[min(max(error.lineno or 1, 1), len(lines)) - 1]
        advice = " (write 2*x for a product, x**2 for a power, sin(x) for a function)" if "invalid" in error.msg else ""
        place = max((error.offset or 1) - 1, 0)
        raise ExpressionError(f"cannot read the expression: {error.msg}{advice}", line, place) from None
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "it is nested too deeply" if not isinstance(error, ValueError) else str(error)
        raise ExpressionError(f"cannot read the expression: {reason}", lines[0][:60], 0) from None
    names = dict(named)
    lines = _guarded(text).splitlines()  # the tree's columns refer to these
    out: Any = None
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
            out, name = _evaluate(statement.value, names, functions, lines), _restored(statement.targets[0].id)
            if isinstance(out, Value) and not out.label:
                out.label = name
            names[name] = out
        elif isinstance(statement, ast.Expr):
            out = _evaluate(statement.value, names, functions, lines)
        else:
            raise _error("only arithmetic is read here, and steps such as d = a*b", statement, lines)
    if isinstance(out, (list, tuple)):
        raise _error("the result must be one number, not a list", tree.body[-1], lines)
    return (out if isinstance(out, Value) else constant(out)), names


def _error(message: str, place: Any, lines: list[str]) -> ExpressionError:
    line = lines[place.lineno - 1]
    return ExpressionError(message, _restored(line), len(line.encode()[: place.col_offset].decode(errors="ignore")))


# Keywords of Python that people use as names, such as lambda. Their first letter is replaced by one that nobody writes, so that
# Python's parser takes them for names.
_WORDS = {word: "ƕ" + word[1:] for word in ("lambda", "in", "is", "as", "pass", "class", "global", "del")}


def _guarded(text: str) -> str:
    return re.sub(r"\b(?:" + "|".join(_WORDS) + r")\b", lambda match: _WORDS[match[0]], text)


def _restored(text: str) -> str:
    return re.sub("ƕ\\w+", lambda match: next((w for w, g in _WORDS.items() if g == match[0]), match[0]), text)


def _evaluate(tree: ast.expr, names: Mapping[str, Any], functions: Mapping[str, Any], lines: list[str]) -> Any:
    """The meaning of `tree`, without recursion (a sum may have 10,000 terms): operands first, from left to right."""
    results: list[Any] = []
    stack: list[tuple[ast.expr, int]] = [(tree, -1)]  # what is left to do; with a count of operands where these are done
    while stack:
        node, count = stack.pop()
        if count < 0:
            operands = _operands(node, bool(functions), lines)
            stack.append((node, len(operands)))
            stack.extend((operand, -1) for operand in reversed(operands))
        else:
            args = results[len(results) - count :]
            del results[len(results) - count :]
            results.append(_meaning(node, args, names, functions, lines))
    return results[0]


def _operands(node: ast.expr, indexed: bool, lines: list[str]) -> list[ast.expr]:
    match node:
        case ast.Constant() | ast.Name():
            return []
        case ast.BinOp(left=x, right=y):
            return [x, y]
        case ast.UnaryOp(operand=x):
            return [x]
        case ast.Compare(left=x, comparators=[y]):
            return [x, y]
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return elements
        case ast.Call(func=ast.Name(), args=args, keywords=[]):
            return args
        case ast.Call(func=ast.Attribute(value=x), args=args, keywords=[]):
            return [x, *args]
        case ast.Subscript(value=x, slice=i) if indexed:
            if not isinstance(i, ast.Constant) or i.value.__class__ is not int:
                raise _error("an index is a whole number from 0", i, lines)
            return [x]
    raise _error(f"only arithmetic is read here, not {_kind(node)}", node, lines)


def _kind(node: ast.AST) -> str:
    return {"Attribute": "an attribute", "Subscript": "an index", "IfExp": "if (use where(c, a, b))"}.get(
        type(node).__name__, f"a {type(node).__name__.lower()}"
    )


def _meaning(node: ast.expr, args: list[Any], names: Mapping[str, Any], functions: Mapping[str, Any], lines: list[str]) -> Any:
    match node:
        case ast.Constant(value=number):
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise _error(f"only real numbers and names are read here, not {number!r}", node, lines)
            try:
                return float(number)
            except OverflowError:
                raise _error("this number is too large for a float", node, lines) from None
        case ast.Name(id=name):
            name = _restored(name)
            if name in names:
                return names[name]
            if name == "pi":
                return math.pi
            if name in _ALIASES or name in _functions(functions):
                raise _error(f"{name} is a function: write {name}(...)", node, lines)
            if name in _MODULES:
                raise _error(f"functions are written without {name}. before them, as sin(x)", node, lines)
            raise _error(f"unknown name {name!r}: give it a value, {name}=1.0", node, lines)
        case ast.List() | ast.Tuple():
            return args
        case ast.BinOp(op=op) | ast.UnaryOp(op=op) | ast.Compare(ops=[op]):
            apply = _OPERATORS.get(type(op))
            if apply is None:
                advice = "for a power write **" if isinstance(op, ast.BitXor) else "use + - * / // % ** < >"
                error = _error(f"this operator is not read here: {advice}", node, lines)
                sign = error.text.find("^") if isinstance(op, ast.BitXor) else -1
                raise error if sign < 0 else ExpressionError(error.message, error.text, sign)
            return _applied(apply, args, node, lines)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            name = _ALIASES.get(name, name)
            if name in _OF_MANY:
                values = args[0] if len(args) == 1 and isinstance(args[0], list) else args
                return _applied(_OF_MANY[name], [values], node, lines)
            if name == "dot":
                if len(args) not in (2, 3) or not all(isinstance(xs, list) for xs in args[:2]):
                    raise _error("dot takes two lists, and perhaps a start: dot([a, b], [c, d], e)", node, lines)
                return _applied(primitives.dot, args, node, lines)
            if name in functions:
                return _composed(name, functions[name], args, node, lines)
            row = RULES.get(name)
            if row is None or row.variadic or name in HELPERS:
                raise _error(f"unknown function {name!r}: known are {', '.join(_functions(functions))}", node, lines)
            if len(args) != len(row.partials):
                raise _error(f"{name} takes {len(row.partials)} argument(s), got {len(args)}", node, lines)
            return _applied(row, args, node, lines)
        case ast.Subscript(slice=ast.Constant(value=int() as i)):
            (values,) = args
            if not isinstance(values, list):
                raise _error("an index stands behind a list, and this is one number", node, lines)
            if i >= len(values):
                raise _error(f"a list of {len(values)} has no entry {i!r}: count from 0", node, lines)
            return values[i]
    raise _error(f"only arithmetic is read here, not {_kind(node)}", node, lines)


def _composed(name: str, function: Any, args: list[Any], node: ast.expr, lines: list[str]) -> Any:
    """What a composed function gives. Those of lists take the entries one by one as well."""
    if name in _OF_LISTS:
        args = args if len(args) == 1 and isinstance(args[0], list) else [args]
    else:
        given = [p.default is p.empty for p in inspect.signature(function).parameters.values()]
        if not sum(given) <= len(args) <= len(given):
            least, most = sum(given), len(given)
            wanted = f"{most} argument(s)" if least == most else f"{least} to {most} arguments"
            raise _error(f"{name} takes {wanted}, got {len(args)}", node, lines)
    return _applied(function, args, node, lines)


def _functions(functions: Mapping[str, Any]) -> list[str]:
    """The names of the functions that can be written: of the variadic rows only those that `_meaning` reads."""
    rows = [name for name, row in RULES.items() if not row.variadic or name in (*_OF_MANY, "dot")]
    return sorted({*rows, *functions} - HELPERS)


def _applied(apply: Any, args: list[Any], node: ast.expr, lines: list[str]) -> Any:
    try:
        if isinstance(apply, Primitive) and not apply.variadic:  # rows take lists in Python, but not here, as on the page
            args = [number(a) if isinstance(a, list) else a for a in args]
        return apply(*args)
    except (TypeError, ValueError) as error:
        message = str(error)
        if message.startswith("expected a number, got list"):  # and then advice for Python
            name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            message = f"{name}: expected a number, got list".removeprefix(": ")
        raise _error(message, node, lines) from None
