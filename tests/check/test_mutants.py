"""find_bug over random slips in a class that is right: each is found, or changes no number.

A slip changes one place of beginners.SOURCE: another operator, operand, sign, number or attribute, a term or a statement that
is dropped. Whether it matters is asked of programs that find_bug does not know.
"""

import ast
import copy
import math
import random

import pytest
from beginners import DIV, GENERAL_POW, LOG, OLD_POW, SOURCE, first

from micrograd.check.find_bug import find_bug

RIGHT = first(first(SOURCE, OLD_POW, GENERAL_POW), "    def relu", LOG + "\n    def relu")
RIGHT = first(RIGHT, "set(_children)", "tuple(_children)")  # an order that is the same in every run
RIGHT = first(RIGHT, "    def __truediv__(self, other): return self * other ** -1\n", DIV.replace("3.0", "1.0"))
OPERATORS = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult,),
    ast.Pow: (ast.Mult,),
}
COMPARED = {ast.NotIn: ast.In, ast.Lt: ast.Gt, ast.Gt: ast.Lt}
ONES = ("exp", "log", "tanh", "relu", "__neg__")
TWOS = ("__add__", "__mul__", "__sub__", "__truediv__", "__pow__")
MIXED = (
    lambda a: a + 1,
    lambda a: 1 + a,
    lambda a: a * 3,
    lambda a: 3 * a,
    lambda a: a - 1,
    lambda a: 1 - a,
    lambda a: a / 2,
    lambda a: 2 / a,
    lambda a: a**3,
    lambda a: a**-1,
    lambda a: 2**a,
)


def slips(node):
    """What may stand in the place of a node, each with the name of the slip."""
    match node:
        case ast.AugAssign(target, op, value):
            yield "= for +=", ast.Assign([target], value)
            yield "-= for +=", ast.AugAssign(target, ast.Sub() if isinstance(op, ast.Add) else ast.Add(), value)
        case ast.BinOp(left, op, right):
            yield from [("another operator", ast.BinOp(left, other(), right)) for other in OPERATORS[type(op)]]
            yield "a term dropped", left
            yield "a term dropped", right
            yield "operands exchanged", ast.BinOp(right, op, left)
            yield "a wrong sign", ast.UnaryOp(ast.USub(), node)
            yield "twice", ast.BinOp(ast.Constant(2), ast.Mult(), node)
        case ast.UnaryOp(ast.USub(), operand):
            yield "a sign dropped", operand
        case ast.Compare(left, [op], right) if type(op) in COMPARED:
            yield "compared the other way", ast.Compare(left, [COMPARED[type(op)]()], right)
        case ast.Name(name, ast.Load()) if name in ("self", "other", "out"):
            yield from [("another operand", ast.Name(x, ast.Load())) for x in ("self", "other", "out") if x != name]
        case ast.Attribute(value, "data" | "grad" as name, context):
            yield "grad for data", ast.Attribute(value, "grad" if name == "data" else "data", context)
        case ast.Attribute(ast.Name("math"), name):
            yield (
                "another function",
                ast.Attribute(ast.Name("math", ast.Load()), "exp" if name != "exp" else "expm1", ast.Load()),
            )
        case ast.Constant(int() | float() as x):
            yield from [("another number", ast.Constant(y)) for y in (x + 1, 0, -x) if y != x]
        case ast.Tuple([*parts], ast.Load()):
            yield from [("an operand dropped", ast.Tuple(parts[:k] + parts[k + 1 :], ast.Load())) for k in range(len(parts))]
            yield from [("one operand twice", ast.Tuple([part] * len(parts), ast.Load())) for part in parts if len(parts) > 1]
        case ast.Call(ast.Name("reversed"), [argument]):
            yield "not reversed", argument
        case ast.IfExp(_, body, otherwise):
            yield from [("no question asked", body), ("no question asked", otherwise)]
        case ast.If(_, body) if len(body) == 3:  # of build_topo
            yield "before its parents", ast.If(node.test, [body[0], body[2], body[1]], [])
    if isinstance(node, ast.stmt) and not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield "a statement dropped", ast.Pass()


def mutants():
    """Each slip with the method that it is in and the class that it makes."""
    tree = ast.parse(RIGHT)
    for place, node in enumerate(ast.walk(tree)):
        for count, (slip, _) in enumerate(slips(node)):
            mutant = ast.parse(RIGHT)
            old = list(ast.walk(mutant))[place]
            new = [made for _, made in slips(copy.deepcopy(old))][count]
            for parent in ast.walk(mutant):
                for name, held in ast.iter_fields(parent):
                    if held is old:
                        setattr(parent, name, new)
                    elif isinstance(held, list) and old in held:
                        held[held.index(old)] = new
            try:
                yield slip, ast.unparse(node), compiled(mutant)
            except (SyntaxError, NameError):
                continue


def compiled(tree):
    names = {"math": math}
    exec(compile(ast.fix_missing_locations(tree), "mutant", "exec"), names)
    return names["Value"]


def program(choose):
    """Some operations on three values and what was made of them; and where."""
    steps = [
        (choose.choice([*ONES, *TWOS, *TWOS, *MIXED]), choose.random(), choose.random()) for _ in range(choose.randint(1, 7))
    ]
    at = [choose.choice([choose.uniform(-2, 2), choose.uniform(0.2, 2), 0.0, 1.0, -1.0]) for _ in range(3)]

    def run(cls):
        """Values, and the gradients of one backward pass and of two; None where it cannot be had."""
        try:
            leaves = [cls(x) for x in at]
            grads, outs = [], []
            for _ in range(2):
                values = list(leaves)
                for what, i, j in steps:
                    a, b = [values[int(k * len(values))] for k in (i, j)]
                    values.append(what(a) if callable(what) else getattr(a, what)(*[b] * (what in TWOS)))
                values[-1].backward()
                outs += [float(value.data) for value in values]
                grads += [float(leaf.grad) for leaf in leaves]
            return outs + grads
        except Exception:
            return None

    return run


def test_each_slip_is_found_or_changes_nothing():
    right, choose, count = compiled(ast.parse(RIGHT)), random.Random(0), 0
    assert find_bug(right).ok
    programs = [(run, expected) for run in [program(choose) for _ in range(400)] if (expected := run(right)) is not None]
    for slip, written, cls in mutants():
        count += 1
        try:
            report = find_bug(cls)
        except TypeError:  # no class of values at all
            continue
        differs = (
            any(run(cls) != pytest.approx(expected, rel=1e-9, nan_ok=True) for run, expected in programs) if report.ok else True
        )
        assert not report.ok or not differs, (slip, written)
        assert len(report.findings) <= 1, (slip, written, report)
    assert count > 600
