"""The questions about one operation: alone, below another one, on top of another one, twice, and at special numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from micrograd.check.examination import Examination, Result, line_of, places, said, shown
from micrograd.check.mistakes import OPERATIONS, Operation
from micrograd.formula.mistakes import ACCUMULATE, KNOWN, ORDER, UPSTREAM

REFLECTED = ("__radd__", "__rmul__", "__rsub__", "__rtruediv__")
PLAIN = (  # programs that show whether plain numbers are taken: whole numbers, and floats
    ("a + 1", lambda a: a + 1, lambda a: a + 1.0),
    ("a * 3", lambda a: a * 3, lambda a: a * 3.0),
)


def examine(exam: Examination, op: Operation) -> None:
    """Ask all questions about one operation, until one is answered wrongly.

    Special numbers come last, because a failure there would hide the failures that are more general.
    """
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
        advice = f"look at the backward step of {op.method}{raised_in(got.line)}"
        exam.found(f"{op.written} raises an error", where, got.error, "no error", advice, got.line)
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
    """The value of 1 - a or 2 / a with its operands in the wrong order."""
    x = op.at[0]
    return x - 1 if op.method == "__rsub__" else x / 2


def _made(exam: Examination, op: Operation) -> bool:
    """Whether the operation makes a new value, leaves its operands alone and keeps its backward step for later."""
    where = f"{op.written} at {places(op.at)}"
    leaves = [exam.cls(x) for x in op.at]
    held, steps = [leaf.data for leaf in leaves], [_kept_step(leaf) for leaf in leaves]
    try:
        out = op.apply(*leaves)
    except RecursionError as error:
        advice = {
            "__radd__": "__radd__: write return self + other; `other + self` asks __radd__ again",
            "__rmul__": "__rmul__: write return self * other; `other * self` asks __rmul__ again",
        }.get(op.method, f"{op.method}: it calls itself with the same operands")
        if not any("calls itself" in finding.mistake for finding in exam.findings):
            exam.found(f"{op.written} calls itself without end", where, said(error), "a value", advice)
        return False
    except Exception as error:
        _missing(exam, op, where, error)
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
    elif any(_kept_step(leaf) != step for leaf, step in zip(leaves, steps, strict=True)):
        exam.found(f"{op.written} sets the backward step of an operand", where, "another a._backward than before",
                   "a step of the result", f"{op.method}: write out._backward = _backward, not self._backward")  # fmt: skip
    elif hasattr(out, "_backward") and out._backward is None and callable(getattr(leaves[0], "_backward", None)):
        exam.found(f"{op.written} calls its backward step where it should keep it", where, "out._backward is None",
                   "a function", f"{op.method}: write out._backward = _backward, without brackets")  # fmt: skip
    else:
        return True
    return False


def _kept_step(value: Any) -> Any:
    """The backward step that a value keeps; None where it has none, or makes a new one each time."""
    step = getattr(value, "_backward", None)
    return step if step == getattr(value, "_backward", None) else None


def raised_in(line: str) -> str:
    """Words for advice that say where an error was raised; "" where that is not known."""
    return f": the error comes from {line}" if line else ""


def _missing(exam: Examination, op: Operation, where: str, error: Exception) -> None:
    """Add a finding about an operation that raised an error: it is not defined, or refuses its operands, or has a slip.

    A power that the original does not have either is a note.
    """
    defined, line = getattr(exam.cls(1.0), op.method, None) is not None, line_of(error)
    if op.optional and op.method in ("__pow__", "__rpow__") and not isinstance(error, (NameError, ArithmeticError)):
        exam.notes.append(f"{op.written} is refused, as in the original ({said(error)}).")
        return
    if isinstance(error, (NameError, ArithmeticError)) or (defined and not op.plain):
        advice = f"look at {op.method}{raised_in(line)}"
    elif op.method in REFLECTED and not defined:
        advice = f"define {op.method}: Python asks the right operand where a plain number stands on the left"
        advice += "; sum() needs it too, for it begins with the int 0" if op.method == "__radd__" else ""
    elif op.plain:
        advice = f"{op.method} must take plain numbers too: {converted(exam)}{raised_in(line)}"
    else:
        advice = f"define {op.method}"
    exam.found(f"{op.written} raises an error", where, said(error), "no error", advice, line)


def converted(exam: Examination) -> str:
    """The line of code that makes a value of a plain number."""
    return f"other = other if isinstance(other, {exam.name}) else {exam.name}(other)"


def plain_numbers(exam: Examination) -> None:
    """Find out whether plain numbers are taken as operands at all, so that this cause is not found in each operation."""
    results = [(exam.run(whole, (2.0,)), exam.run(real, (2.0,)), exam.truth(whole, (2.0,))) for _, whole, real in PLAIN]
    programs, begin = " and ".join([written for written, *_ in PLAIN]), f"begin each operation with: {converted(exam)}"
    if all(whole.error for whole, _, _ in results):
        kind = "plain" if all(real.error for _, real, _ in results) else "whole"
        exam.plain_numbers = False
        exam.found(f"{kind} numbers are refused as operands", f"{programs} at a = 2", results[0][0].error, "no error",
                   f"{begin}; an int is a number like any other", results[0][0].line)  # fmt: skip
    elif not any(whole.error or exam.close((whole.value,), (true.value,)) for whole, _, true in results):
        exam.plain_numbers = False
        got, expected = [" and ".join([f"{r[k].value:.6g}" for r in results]) for k in (0, 2)]
        exam.found("plain numbers are taken for something else", f"{programs} at a = 2", got, expected, begin)
    for op in [op for op in OPERATIONS if op.plain and op.method == "__mul__" and exam.plain_numbers]:
        _made(exam, op)  # before all others, for what is built on it fails in the same line


def _local(exam: Examination, op: Operation, where: str, got: Result, true: Result) -> None:
    """Add a finding about wrong local derivatives: the slip that gives the same numbers, here and at another place."""
    mistake, advice = f"the derivative of {op.written} is wrong", f"{op.method}: look at its backward step"
    elsewhere = tuple([1.3 * x for x in op.at])
    there, true_there = exam.run(op.apply, elsewhere), exam.truth(op.apply, elsewhere)
    before = exam.run(op.apply, op.at, before=2.0)

    def gives(guess: Callable[[float], float]) -> bool:
        pairs = [(got, true), (there, true_there)]
        return all(exam.close(found.grads, list(map(guess, right.grads))) for found, right in pairs)

    slips = zip(op.slips(op.at), op.slips(elsewhere), strict=True)
    slip = next((what for (what, a), (_, b) in slips if exam.close(got.grads, a) and exam.close(there.grads, b)), "")
    if slip:
        advice = f"{op.method}: {slip}"
    elif not any(got.grads) and exam.close([g - 2.0 for g in before.grads], [2.0 * g for g in true.grads]):
        mistake = f"{op.written} multiplies by its operands' gradients, not by its result's"
        advice = f"{op.method}: the factor is out.grad, not self.grad"
    elif gives(lambda g: 0.0):
        mistake = f"{op.written} passes no gradient on"
        advice = f"{op.method}: give the result a step (_backward) that adds to the operands' .grad; keep them as its parents"
    elif gives(lambda g: -g):
        advice = f"{op.method}: the sign is turned"
    elif exam.close(_below_five(exam, op).grads, [g + 5.0 for g in true.grads]):
        mistake = f"{op.written} adds the upstream gradient instead of multiplying by it"
        advice = f"{op.method}: the chain rule is local derivative times out.grad"
    elif gives(lambda g: 2.0 * g):
        mistake = f"{op.written} passes on twice what it should"
        advice = f"{op.method}: there is a factor of 2 too many, or the gradient is added twice"
    elif len(got.grads) == 2:
        wrong = [not exam.close(g, t) for g, t in zip(zip(got.grads), zip(true.grads), strict=True)]
        if wrong.count(True) == 1:
            one, other = ("first", "second") if wrong[0] else ("second", "first")
            nothing = exam.close([0.0], [got.grads[wrong.index(True)]])
            does = f"the {one} operand gets nothing" if nothing else f"the {one} one does not"
            advice = f"{op.method}: the {other} operand gets what it should, {does}"
    exam.found(mistake, where, got.grads, true.grads, advice)


def everywhere(exam: Examination, op: Operation) -> bool:
    """Whether the operation is right at special numbers too."""
    for special, at, what_to_do in op.places:
        got, true = exam.run(op.apply, at), exam.truth(op.apply, at)
        where, advice = f"{op.written} at {places(at)}", f"{op.method}: {what_to_do}"
        asked = [k for k, g in enumerate(true.grads) if math.isfinite(g)]  # not ∂(a ** b)/∂b, a < 0
        if got.error:
            exam.found(f"{op.written} raises an error where {special}", where, got.error, "no error", advice, got.line)
        elif not exam.close((got.value,), (true.value,)):
            texts = shown(got.value, true.value), shown(true.value, got.value)
            exam.found(f"the value of {op.written} is wrong where {special}", where, *texts, advice)
        elif not exam.close([got.grads[k] for k in asked], [true.grads[k] for k in asked]):
            exam.found(f"{op.written} is wrong where {special}", where, got.grads, true.grads, advice)
        else:
            continue
        exam.broken.add(op.method)
        return False
    return True


def _below_five(exam: Examination, op: Operation) -> Result:
    """What the class gives for 5 times the operation."""
    return exam.run(lambda *xs: op.apply(*xs) * exam.cls(5.0), op.at)


def _below(exam: Examination, op: Operation) -> bool:
    """Whether the operation multiplies by what arrives from above it."""
    exam.tried.append(f"5 * ({op.written})")
    true = exam.truth(op.apply, op.at)
    got, expected = _below_five(exam, op), tuple([5.0 * g for g in true.grads])
    if not got.error and exam.close(got.grads, expected):
        return True
    exam.broken.add(op.method)
    _upstream(exam, op, got, true.grads, expected)
    return False


def _upstream(exam: Examination, op: Operation, got: Result, local: tuple[float, ...], expected: tuple[float, ...]) -> None:
    """Add a finding about an operation that is wrong below another one."""
    program = f"5 * ({op.written}) at {places(op.at)}"
    mistake, advice = (
        f"{op.written} passes on the wrong gradient below another operation",
        "out.grad must come in as a factor, once",
    )
    if got.error:
        advice = f"look at what {op.method} returns{raised_in(got.line)}"
        exam.found(f"5 * ({op.written}) raises an error", program, got.error, "no error", advice, got.line)
        return
    if any(exam.close((g,), (d,)) for g, d in zip(got.grads, local, strict=True)):
        mistake, advice = f"{op.written} forgets the upstream factor", UPSTREAM
    elif all(g == 0.0 for g in got.grads):
        mistake = f"{op.written} passes no gradient on"
        advice = "the result must be known as a parent of what is computed from it"
    exam.found(mistake, program, got.grads, expected, f"{op.method}: {advice}")


def _above(exam: Examination, op: Operation) -> bool:
    """Whether the operation is right on operands that are results of other operations."""
    exam.tried.append(f"({op.written}) of products")
    halves, kind = tuple([x / 2.0 for x in op.at]), type(exam.cls(2.0))

    def program(*xs: Any) -> Any:
        return op.apply(*[x * exam.cls(2.0) if isinstance(x, kind) else x * 2.0 for x in xs])

    got, true = exam.run(program, halves), exam.truth(program, halves)
    if exam.right(got, true):
        return True
    exam.broken.add(op.method)
    where = f"where {'a is' if len(op.at) == 1 else 'a and b are'} computed"
    written = f"{op.written} {where}, at {places(op.at)}"
    if got.error:
        advice = f"look at {op.method}{raised_in(got.line)}"
        exam.found(f"{op.written} raises an error {where}", written, got.error, "no error", advice, got.line)
    elif 0.0 in got.grads:
        exam.found(f"{op.written} forgets its parents", written, got.grads, true.grads, f"{op.method}: {KNOWN}")
    else:
        mistake = f"{op.written} passes on the wrong gradient above another operation"
        exam.found(mistake, written, got.grads, true.grads, ORDER)
    return False


def _twice(exam: Examination, op: Operation) -> bool:
    """Whether the gradients of two results with the same operands add up in these."""

    def program(*xs: Any) -> Any:
        return op.apply(*xs) + op.apply(*xs)

    exam.tried.append(f"({op.written}) + ({op.written})")
    got, true = exam.run(program, op.at), exam.truth(program, op.at)
    if exam.right(got, true):
        return True
    exam.broken.add(op.method)
    written = f"({op.written}) + ({op.written}) at {places(op.at)}"
    if got.error:
        advice = f"look at {op.method}{raised_in(got.line)}"
        exam.found(f"{op.written} raises an error where it is used twice", written, got.error, "no error", advice, got.line)
    elif any(exam.close((2.0 * g,), (t,)) for g, t in zip(got.grads, true.grads, strict=True)):
        mistake = f"{op.written} overwrites gradients instead of adding to them"
        exam.found(mistake, written, got.grads, true.grads, f"{op.method}: {ACCUMULATE}")
    else:
        exam.found(f"{op.written} is wrong where it is used twice", written, got.grads, true.grads, ORDER)
    return False
