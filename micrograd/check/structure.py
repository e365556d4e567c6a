"""The questions about graphs: a value alone, chains and forks of sums and products, and backward() called again.

Where these go wrong, backward passes with one classic mistake each are run on the engine's graph. The mistake that gives the
same wrong numbers is named.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from itertools import product
from typing import Any

from micrograd.check import operations
from micrograd.check.examination import Examination, Result, number, places, said
from micrograd.check.mistakes import (
    ALL_PARENTS,
    CHAINS,
    FORKS,
    LADDER,
    OPERATIONS,
    SECOND,
    SEED_ONCE,
    SEEDED_AGAIN,
    Pass,
    Program,
)
from micrograd.engine import Value, adjoints, topological_order
from micrograd.formula.mistakes import FORKS_ONLY, MISTAKES, Mistake


def value_alone(exam: Examination) -> bool:
    """Whether a value keeps its number, begins with gradient 0, and has gradient 1 after its own backward()."""
    exam.tried.append("a")
    for x in (2.0, -3.0, 0.7, 1.0 / 3.0):
        if not math.isclose(number(exam.cls(x).data), x, rel_tol=1e-3):
            got = f"{number(exam.cls(x).data):.6g}"
            advice = "write self.data = float(data): no int(), no round()"
            exam.found(
                "a new value's data is not the number it was given", f"{exam.name}({x:.6g}).data", got, f"{x:.6g}", advice
            )
            return False
    begins, result = exam.cls(2.0).grad, exam.run(lambda a, b: a + b, (2.0, -3.0))
    if begins != 0 and not exam.close(result.grads, (1.0, 1.0)):
        said_of_it = "None" if begins is None else f"{float(begins):g}"
        exam.found(f"a new value's gradient is {said_of_it} and not 0", f"{exam.name}(2.0).grad", said_of_it, "0",
                   "set self.grad = 0.0 in __init__: contributions are added to it")  # fmt: skip
        return False
    result = exam.run(lambda a: a, (2.0,))
    if "unhashable" in result.error:
        exam.found("values cannot be put into sets: __eq__ is there without __hash__", "a.backward()", result.error, "no error",
                   "leave __eq__ out, or add __hash__ = object.__hash__ beside it")  # fmt: skip
    elif result.error:
        exam.found("backward() raises", "a.backward()", result.error, "no error",
                   f"make it work for a single value first{operations.raised_in(result.line)}", result.line)  # fmt: skip
    elif not exam.close(result.grads, (1.0,)):
        exam.found("the output's own gradient is not set to 1", "a.backward(); a.grad", f"{result.grads[0]:g}", "1",
                   "begin backward() with self.grad = 1.0: ∂a/∂a = 1, and all below is a multiple of it")  # fmt: skip
    return not exam.findings


def sums_and_products(exam: Examination) -> bool:
    """Ask about sums and products, alone, in chains and at forks; whether the rest, which builds on them, can be tried."""
    if _seeded_again(exam):
        return False
    if _data_kept(exam):
        return False
    for op in OPERATIONS[:2]:
        exam.tried.append(op.written)
        if operations.alone(exam, op):
            operations.everywhere(exam, op)
    if len(exam.findings) == 2:
        _common(exam)
    if not exam.broken and not _second_lost(exam) and not _equal_data(exam):
        _chains_and_forks(exam)
    if exam.broken & {"__add__", "__mul__", "order"}:
        exam.notes.append("the rest builds on sums and products: run find_bug again when these are right.")
        return False
    return True


def _common(exam: Examination) -> None:
    """Where sums and products fail alike, make one finding of the two: the cause is likely in what they share."""
    of_sums, of_products = exam.findings
    if of_sums.mistake.replace("a + b", "a * b") == of_products.mistake:
        advice = (
            of_sums.advice.replace("__add__", "__add__ and __mul__")
            .replace("a + b", "each")
            .replace("its backward step", "their backward steps")
        )
        advice = f"{advice}; or what both share is wrong, backward() and __init__"
        exam.findings = [of_sums._replace(mistake=f"{of_sums.mistake}, and a * b likewise", advice=advice)]


def _seeded_again(exam: Examination) -> bool:
    """Whether backward() calls itself on operands, which sets their gradients to 1: then a product alone looks like a sum."""
    for _, program, at in (*CHAINS, *FORKS):
        if not _looks_like(exam, Mistake(SEEDED_AGAIN, "seeding_each", SEED_ONCE), False, program, at, exam.run(program, at)):
            return False
    written, program, at = FORKS[1]
    exam.tried.append(written)
    exam.found(
        SEEDED_AGAIN, f"{written} at {places(at)}", exam.run(program, at).grads, exam.truth(program, at).grads, SEED_ONCE
    )
    return True


def _data_kept(exam: Examination) -> bool:
    """Whether backward() changes data, which is a finding: it should set gradients alone."""
    leaves = [exam.cls(2.0), exam.cls(-3.0)]
    try:
        (leaves[0] * leaves[1]).backward()
    except Exception:
        return False
    data = tuple([number(leaf.data) for leaf in leaves])
    if exam.close(data, (2.0, -3.0)):
        return False
    exam.found("backward() changes data", "out = a * b; out.backward()", f"a.data = {data[0]:.6g}, b.data = {data[1]:.6g}",
               "a.data = 2, b.data = -3", "backward() sets .grad alone: a step of training is another function")  # fmt: skip
    return True


def _second_lost(exam: Examination) -> bool:
    """Whether what lies below a second operand gets nothing, which is a finding: of sums, of products, or of both."""
    at, lost = (2.0, -3.0, 5.0), []
    for op, written, first, second in (
        ("a + b", "d = a * b; c + d", lambda a, b, c: a * b + c, lambda a, b, c: c + a * b),
        ("a * b", "d = a + b; c * d", lambda a, b, c: (a + b) * c, lambda a, b, c: c * (a + b)),
    ):
        exam.tried.append(written)
        got, true, other = exam.run(second, at), exam.truth(second, at), exam.run(first, at)
        if got.grads[:2] == (0.0, 0.0) and exam.right(other, exam.truth(first, at)):
            lost.append((op, written, got, true))
    if not lost:
        return False
    op, written, got, true = lost[0]
    mistake, advice = f"{op} forgets its second operand", f"{'__add__' if op == 'a + b' else '__mul__'}: {SECOND}"
    if len(lost) == 2:
        mistake, advice = "every operation forgets its second operand", SECOND
        a, b = exam.cls(2.0), exam.cls(-3.0)
        if _holds(a + b, b):
            mistake, advice = "backward() visits only the first operand", ALL_PARENTS
    exam.broken.add("order")
    exam.found(mistake, f"{written} at {places(at)}", got.grads, true.grads, advice)
    return True


def _holds(out: Any, operand: Any) -> bool:
    """Whether `out` has `operand` as an attribute, or in a tuple, list or set there, or in one of these inside another."""
    names = [*getattr(out, "__dict__", ()), *[n for c in type(out).__mro__ for n in getattr(c, "__slots__", ())]]
    held: list[Any] = [getattr(out, name, None) for name in names]
    for _ in range(2):
        held += [part for x in held if isinstance(x, (tuple, list, set, frozenset)) for part in x]
    return any(x is operand for x in held)


def _equal_data(exam: Examination) -> bool:
    """Whether values that hold the same number are taken for one another, which is a finding."""
    written, program, at = "c = a + a; d = b + b; c * d", lambda a, b: (a + a) * (b + b), (2.0, 2.0)
    exam.tried.append(written)
    got, true = exam.run(program, at), exam.truth(program, at)
    if exam.right(got, true) or not exam.right(exam.run(program, (2.0, 3.0)), exam.truth(program, (2.0, 3.0))):
        return False
    if exam.cls(2.0) == exam.cls(2.0):
        advice = "leave __eq__ and __hash__ out, so that sets tell values apart; or keep id(node) in the set of visited ones"
    else:
        advice = "keep the values themselves in the set of visited ones, or id(node), not their data"
    exam.broken.add("order")
    exam.found(
        "values of equal data are taken for one", f"{written} at {places(at)}", got.error or got.grads, true.grads, advice
    )
    return True


def _chains_and_forks(exam: Examination) -> None:
    """Ask about several nodes: contributions must add up, and be passed on in the right order."""
    results = []
    for written, program, at in (*CHAINS, *FORKS, LADDER):
        exam.tried.append(written)
        results.append((written, program, at, exam.run(program, at), exam.truth(program, at)))
    wrong = [r for r in results if not exam.right(r[3], r[4])]
    if not wrong:
        return
    written, _, at, got, true = wrong[0]
    short_ones_wrong = wrong[0] is not results[-1]
    short = results[:-1]  # not the ladder, where operands can be taken in a million orders
    mistake = "sums and products are right alone, and wrong together"
    advice = (
        f"right are {', '.join([r[0] for r in results if r not in wrong]) or 'a + b, a * b'}. Work out every gradient in the "
        "program above by hand, and print .grad of each value: the first that differs, from the output on, names the operation"
    )
    partly = all(0.0 < g < t for g, t in zip(got.grads, true.grads, strict=False))  # as a wrong order gives on the ladder
    for distinct, classic in product((False, True), MISTAKES) if short_ones_wrong or (got.grads and partly) else ():
        if all(_looks_like(exam, classic, distinct, program, at, result) for _, program, at, result, _ in short):
            mistake, advice = classic.name, classic.advice
            break
    exam.broken.add("forks" if mistake in FORKS_ONLY else "order")
    exam.found(mistake, f"{written} at {places(at)}", got.error or got.grads, true.grads, advice)


def _looks_like(
    exam: Examination, mistake: Mistake, distinct: bool, program: Program, at: Sequence[float], got: Result
) -> bool:
    """Whether a pass with this mistake gives the same gradients, for some order of the operands of each node."""
    leaves = [Value(x) for x in at]
    out = program(*leaves)
    nodes = [node for node in topological_order(out) if len(set(node.parents)) > 1]
    for choice in range(2 ** len(nodes)):
        trial = Pass(out, frozenset([node for i, node in enumerate(nodes) if choice >> i & 1]), distinct)
        trial.make(mistake)
        if exam.close(got.grads, tuple([trial.grad[leaf] for leaf in leaves])):
            return True
    return False


def sum_of_values(exam: Examination) -> None:
    """Ask about Python's sum(), which begins with the int 0."""
    exam.tried.append("sum([a, b, c])")
    at = (2.0, -3.0, 4.0)
    got = exam.run(lambda *xs: sum(xs), at)
    if exam.broken & {"__add__", "__radd__"} or not exam.plain_numbers:
        return
    if got.error:
        exam.found("sum() of values raises an error", "sum([a, b, c])", got.error, "no error",
                   "sum() begins with the int 0: 0 + a asks a.__radd__(0)")  # fmt: skip
    elif not exam.close(got.grads, (1.0, 1.0, 1.0)):
        exam.found("sum() of values is wrong", "sum([a, b, c])", got.grads, (1.0, 1.0, 1.0), "look at __radd__")


def again(exam: Examination) -> None:
    """Ask about backward() called again: on the same graph, after zeroing, and on a new graph of the same leaves."""
    if "forks" in exam.broken:
        return
    exam.tried += ["backward() twice", "backward() again after zeroing", "backward() on a second graph"]
    at = (2.0, -3.0)

    def program(a: Any, b: Any) -> tuple[Any, ...]:
        d = a * b
        e = d + a
        return e * b, d, e

    try:
        leaves = [exam.cls(x) for x in at]
        out, *middle = program(*leaves)
        out.backward()
        once = tuple([number(leaf.grad) for leaf in leaves])
        out.backward()
        twice = tuple([number(leaf.grad) for leaf in leaves])
        for node in (out, *middle, *leaves):
            node.grad = 0.0
        out.backward()
        zeroed = tuple([number(leaf.grad) for leaf in leaves])
        for leaf in leaves:
            leaf.grad = 0.0
        program(*leaves)[0].backward()
        program(*leaves)[0].backward()
        fresh = tuple([number(leaf.grad) for leaf in leaves])
    except Exception as error:
        exam.found("backward() raises when called again", "out.backward(); out.backward()", said(error), "no error",
                   "backward() must leave the graph as it was")  # fmt: skip
        return
    double = tuple([2 * g for g in once])
    program_shown = "d = a * b; e = d + a; out = e * b"
    kept, anew = (
        "backward() keeps something from one call to the next",
        "make the list of nodes and the set of visited ones anew, and leave to each node its operands and its step",
    )
    if not exam.close(zeroed, once):
        exam.found(kept, f"{program_shown}; twice, with all gradients set to 0 between", zeroed, once, anew)
    elif exam.close(fresh, once):
        exam.notes.append(
            "backward() starts from zero each time; in the original, leaves add up over graphs until they are zeroed."
        )
    elif not exam.close(fresh, double):
        exam.found(kept, f"{program_shown}; made and gone back through twice", fresh, double, anew)
    elif exam.close(twice, _intermediates_kept(program, at, 1.0)):
        exam.notes.append(
            "as in the original, intermediate values keep their gradient, so a second backward() on the same graph "
            "counts them again."
        )
    elif not exam.close(twice, double) and not exam.close(twice, once):
        seed = exam.close(twice, _intermediates_kept(program, at, 2.0))
        advice = "set self.grad = 1.0, do not add 1" if seed else "let leaves add up, and let the others start from 0"
        exam.found("backward() twice is wrong", f"{program_shown}; out.backward() twice", twice, double, advice)


def _intermediates_kept(program: Any, at: Sequence[float], seed: float) -> tuple[float, ...]:
    """The leaves' gradients after a second pass that adds to the gradients of the first one, intermediate ones too."""
    leaves = [Value(x) for x in at]
    out = program(*leaves)[0]
    grad = adjoints(out)
    grad[out] = seed
    for node in reversed(topological_order(out)):
        for parent, local in zip(node.parents, node.partials, strict=True):
            grad[parent] += grad[node] * local
    return tuple([grad[leaf] for leaf in leaves])


def depth(exam: Examination) -> None:
    """Whether long chains are right; a note where one is too deep for recursion."""
    try:
        for length in (200, sys.getrecursionlimit() + 500):
            a = b = exam.cls(1.0)
            for _ in range(length):
                b = b + a
            b.backward()
            if not exam.close((number(a.grad),), (length + 1.0,)):
                exam.found("a long chain is wrong", f"a chain of {length:,} sums", (number(a.grad),), (length + 1.0,),
                           "look at what backward() does with a long list of nodes")  # fmt: skip
                return
    except RecursionError:
        exam.notes.append(
            f"a chain of {length:,} sums is too deep for backward(), as in the original: it recurses; sort with a list of "
            "your own."
        )
    except Exception as error:
        exam.found("a long chain raises an error", f"a chain of {length:,} sums", said(error), "no error",
                   "it is no deeper than memory allows where nothing recurses")  # fmt: skip
