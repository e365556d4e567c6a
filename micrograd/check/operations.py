"""The questions about one operation: alone, below another one, on top of another one, twice, and at special numbers."""

from __future__ import annotations

import math
from typing import Any

from micrograd.check.examination import Examination, Result, places, said, shown
from micrograd.check.mistakes import Operation
from micrograd.formula.mistakes import ACCUMULATE, KNOWN, ORDER, UPSTREAM

PLAIN = (  # what says whether plain numbers are taken: as whole numbers, and as floats
    ("a + 1", lambda a: a + 1, lambda a: a + 1.0),
    ("a * 3", lambda a: a * 3, lambda a: a * 3.0),
)


def examine(exam: Examination, op: Operation) -> None:
    """All questions about one operation, until one is answered wrongly; special numbers last, for they hide what comes then."""
    exam.tried.append(op.written)
    if alone(exam, op) and _below(exam, op) and _above(exam, op) and ("forks" in exam.broken or _twice(exam, op)):
        everywhere(exam, op)


def alone(exam: Examination, op: Operation) -> bool:
    """Whether a result is what it should be: a new value, with the right data and local derivatives."""
    if not _made(exam, op):
        exam.broken.add(op.method)
        return False
    got, true = exam.run(op.apply, op.at), exam.truth(op.apply, op.at)
    where = f"{op.written} at {places(op.at)}"
    if got.error:
        exam.found(f"{op.written} raises an error", where, got.error, "no error", f"look at the backward step of {op.method}")
    elif not exam.close((got.value,), (true.value,)):
        turned = op.method in ("__rsub__", "__rtruediv__") and exam.close((got.value,), (_turned(op),))
        hint = "the operands are in the wrong order" if turned else f"compute {op.written} from the operands' data"
        texts = shown(got.value, true.value), shown(true.value, got.value)
        exam.found(f"the value of {op.written} is wrong", where, *texts, f"{op.method}: {hint}")
    elif not exam.close(got.grads, true.grads):
        _local(exam, op, where, got, true)
    else:
        return True
    exam.broken.add(op.method)
    return False


def _turned(op: Operation) -> float:
    x = op.at[0]
    return x - 1 if op.method == "__rsub__" else x / 2


def _made(exam: Examination, op: Operation) -> bool:
    """Whether the operation makes a new value, leaves its operands alone and keeps its backward step for later."""
    where = f"{op.written} at {places(op.at)}"
    leaves = [exam.cls(x) for x in op.at]
    held = [leaf.data for leaf in leaves]
    try:
        out = op.apply(*leaves)
    except RecursionError as error:
        advice = {
            "__radd__": "__radd__: write return self + other; `other + self` asks __radd__ again",
            "__rmul__": "__rmul__: write return self * other; `other * self` asks __rmul__ again",
        }.get(op.method, f"{op.method}: it asks itself again, with the operands as they are")
        if not any("calls itself" in finding.mistake for finding in exam.findings):
            exam.found(f"{op.written} calls itself without end", where, said(error), "a value", advice)
        return False
    except Exception as error:
        _missing(exam, op, where, said(error))
        return False
    if out is None:
        exam.found(f"{op.written} returns None", where, "None", "a value", f"end {op.method} with: return out")
    elif not hasattr(out, "backward"):
        advice = f"{op.method}: return a new {exam.name} that has its operands as parents"
        exam.found(f"{op.written} gives a plain number", where, f"{type(out).__name__} {out!r}", f"a {exam.name}", advice)
    elif any(leaf.data != x for leaf, x in zip(leaves, held, strict=True)):
        now = ", ".join([f"{name}.data = {float(leaf.data):g}" for name, leaf in zip("ab", leaves, strict=False)])
        exam.found(f"{op.written} changes its operands", where, now, places(op.at),
                   f"{op.method}: leave self.data as it is, and make a new {exam.name} of the result")  # fmt: skip
    elif hasattr(out, "_backward") and out._backward is None and callable(getattr(leaves[0], "_backward", None)):
        exam.found(f"{op.written} calls its backward step where it should keep it", where, "out._backward is None",
                   "a function", f"{op.method}: write out._backward = _backward, without brackets")  # fmt: skip
    else:
        return True
    return False


def _missing(exam: Examination, op: Operation, where: str, error: str) -> None:
    if op.optional and op.method in ("__pow__", "__rpow__"):
        exam.notes.append(f"{op.written} is refused, as in the original ({error}).")
        return
    if op.method in ("__radd__", "__rmul__", "__rsub__", "__rtruediv__"):
        advice = f"define {op.method}: Python asks the right operand where a plain number stands on the left"
        advice += "; sum() needs it too, for it begins with the int 0" if op.method == "__radd__" else ""
    elif op.plain:
        made = f"other if isinstance(other, {exam.name}) else {exam.name}(other)"
        advice = f"{op.method} must take plain numbers too: other = {made}"
    else:
        advice = f"{'look at' if hasattr(exam.cls(1.0), op.method) else 'define'} {op.method}"
    exam.found(f"{op.written} raises an error", where, error, "no error", advice)


def plain_numbers(exam: Examination) -> None:
    """Whether plain numbers are operands at all: one cause, which otherwise shows in each operation."""
    errors = [[exam.run(program, (2.0,)).error for program in (whole, broken)] for _, whole, broken in PLAIN]
    made = f"other if isinstance(other, {exam.name}) else {exam.name}(other)"
    if all(whole for whole, _ in errors):
        kind = "plain" if all(broken for _, broken in errors) else "whole"
        exam.plain_numbers = False
        exam.found(f"{kind} numbers are refused as operands", "a + 1, and a * 3", errors[0][0], "no error",
                   f"begin each operation with: other = {made}; an int is a number like any other")  # fmt: skip


def _local(exam: Examination, op: Operation, where: str, got: Result, true: Result) -> None:
    """Name what is wrong with the local derivatives."""
    mistake, advice = f"the derivative of {op.written} is wrong", f"look at the backward step of {op.method}"
    before = exam.run(op.apply, op.at, before=2.0)
    slip = next((what for what, wrong in op.slips if exam.close(got.grads, wrong)), "")
    if slip:
        advice = f"{op.method}: {slip}"
    elif any(true.grads) and not any(got.grads) and exam.close([g - 2.0 for g in before.grads], [2.0 * g for g in true.grads]):
        mistake = f"{op.written} multiplies by its operands' gradients, not by its result's"
        advice = f"{op.method}: the factor is out.grad, not self.grad"
    elif all(g == 0.0 for g in got.grads) and any(true.grads):
        mistake = f"{op.written} passes no gradient on"
        advice = f"{op.method}: set _backward on the result, and keep its operands as parents"
    elif len(got.grads) == 2 and got.grads[1] == 0.0 and exam.close(got.grads[:1], true.grads[:1]):
        advice = f"{op.method}: the second operand gets nothing"
    elif len(got.grads) == 2 and got.grads[0] == 0.0 and exam.close(got.grads[1:], true.grads[1:]):
        advice = f"{op.method}: the first operand gets nothing"
    elif exam.close(got.grads, [-g for g in true.grads]):
        advice = f"{op.method}: the sign is turned"
    elif exam.close(got.grads, [g + 1.0 for g in true.grads]):
        mistake = f"{op.written} adds the upstream gradient instead of multiplying by it"
        advice = f"{op.method}: the chain rule is local derivative times out.grad"
    elif exam.close(got.grads, [2.0 * g for g in true.grads]):
        mistake, advice = f"{op.written} passes its gradient on twice", "each _backward must run once in a backward pass"
    elif len(got.grads) == 2:
        wrong = [not exam.close(g, t) for g, t in zip(zip(got.grads), zip(true.grads), strict=True)]
        if wrong.count(True) == 1:
            one, other = ("first", "second") if wrong[0] else ("second", "first")
            advice = f"{op.method}: the {other} operand gets what it should, the {one} one does not"
    exam.found(mistake, where, got.grads, true.grads, advice)


def everywhere(exam: Examination, op: Operation) -> bool:
    """Whether the operation is right at special numbers too."""
    for special, at, what_to_do in op.places:
        got, true = exam.run(op.apply, at), exam.truth(op.apply, at)
        where, advice = f"{op.written} at {places(at)}", f"{op.method}: {what_to_do}"
        if got.error:
            exam.found(f"{op.written} raises an error where {special}", where, got.error, "no error", advice)
        elif not exam.close((got.value,), (true.value,)):
            texts = shown(got.value, true.value), shown(true.value, got.value)
            exam.found(f"the value of {op.written} is wrong where {special}", where, *texts, advice)
        elif not exam.close(got.grads, true.grads):
            exam.found(f"{op.written} is wrong where {special}", where, got.grads, true.grads, advice)
        else:
            continue
        exam.broken.add(op.method)
        return False
    return True


def _below(exam: Examination, op: Operation) -> bool:
    """Whether the operation multiplies by what arrives from above it."""
    exam.tried.append(f"5 * ({op.written})")
    true = exam.truth(op.apply, op.at)
    got, expected = exam.run(lambda *xs: op.apply(*xs) * exam.cls(5.0), op.at), tuple([5.0 * g for g in true.grads])
    if not got.error and exam.close(got.grads, expected):
        return True
    exam.broken.add(op.method)
    _upstream(exam, op, got, true.grads, expected)
    return False


def _upstream(exam: Examination, op: Operation, got: Result, local: tuple[float, ...], expected: tuple[float, ...]) -> None:
    program = f"5 * ({op.written}) at {places(op.at)}"
    mistake, advice = (
        f"{op.written} passes on the wrong gradient below another operation",
        "out.grad must come in as a factor, once",
    )
    if got.error:
        exam.found(f"5 * ({op.written}) raises an error", program, got.error, "no error", f"look at what {op.method} returns")
        return
    each = list(zip(got.grads, local, expected, strict=True))
    if any(exam.close((g,), (d,)) and not exam.close((g,), (e,)) for g, d, e in each):
        mistake, advice = f"{op.written} forgets the upstream factor", UPSTREAM
    elif all(g == 0.0 for g in got.grads):
        mistake = f"{op.written} passes no gradient on"
        advice = "the result must be known as a parent of what is computed from it"
    exam.found(mistake, program, got.grads, expected, f"{op.method}: {advice}")


def _above(exam: Examination, op: Operation) -> bool:
    """Whether the operation is right on operands that were computed themselves."""
    exam.tried.append(f"({op.written}) of products")
    halves, kind = tuple([x / 2.0 for x in op.at]), type(exam.cls(2.0))

    def program(*xs: Any) -> Any:
        return op.apply(*[x * exam.cls(2.0) if isinstance(x, kind) else x * 2.0 for x in xs])

    got, true = exam.run(program, halves), exam.truth(program, halves)
    if got.error or exam.close(got.grads, true.grads):
        return True
    exam.broken.add(op.method)
    written = f"{op.written} where {' and '.join('ab'[: len(op.at)])} are computed, at {places(op.at)}"
    if any(g == 0.0 != t for g, t in zip(got.grads, true.grads, strict=True)):
        exam.found(f"{op.written} forgets its parents", written, got.grads, true.grads, f"{op.method}: {KNOWN}")
    else:
        mistake = f"{op.written} passes on the wrong gradient above another operation"
        exam.found(mistake, written, got.grads, true.grads, ORDER)
    return False


def _twice(exam: Examination, op: Operation) -> bool:
    """Whether two results of the same operands add up in them."""

    def program(*xs: Any) -> Any:
        return op.apply(*xs) + op.apply(*xs)

    exam.tried.append(f"({op.written}) + ({op.written})")
    got, true = exam.run(program, op.at), exam.truth(program, op.at)
    if got.error or exam.close(got.grads, true.grads) or not math.isfinite(true.value):
        return True
    exam.broken.add(op.method)
    mistake, advice = f"{op.written} is wrong where it is used twice", ORDER
    if any(exam.close((2.0 * g,), (t,)) and t for g, t in zip(got.grads, true.grads, strict=True)):
        mistake, advice = f"{op.written} overwrites gradients instead of adding to them", f"{op.method}: {ACCUMULATE}"
    exam.found(mistake, f"({op.written}) + ({op.written}) at {places(op.at)}", got.grads, true.grads, advice)
    return False
