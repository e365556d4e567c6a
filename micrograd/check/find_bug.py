"""What is wrong with someone's own Value class: its numbers beside the engine's, and the mistake they look like.

For those who write the engine as an exercise, with the interface of the original micrograd. Each operation is tried alone,
below another one and on top of another one; then come forks, where order and accumulation show; then backward() called
again. Where forks go wrong, backward passes with one classic mistake each are run on the engine's graph, and the one that
gives the same wrong numbers is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from micrograd.check.mistakes import (
    ACCUMULATE,
    BUILT_ON,
    CHAINS,
    FORKS,
    FORKS_ONLY,
    KNOWN,
    MISTAKES,
    OPERATIONS,
    ORDER,
    SEED_ONCE,
    SEEDED_AGAIN,
    UPSTREAM,
    Operation,
    Pass,
    Program,
)
from micrograd.engine import Value, adjoints, topological_order


class Finding(NamedTuple):
    """One mistake: its name, the program that shows it, the numbers got and expected, and what to do."""

    mistake: str
    program: str
    got: str
    expected: str
    advice: str

    def __str__(self) -> str:
        return f"{self.mistake}\n    {self.program}\n    gives {self.got}, expected {self.expected}\n    {self.advice}"


class BugReport:
    """The findings about a class, most basic first; what was tried; notes on what is no mistake. True where all is right."""

    def __init__(self, name: str, findings: list[Finding], tried: list[str], notes: list[str]):
        self.name, self.findings, self.tried, self.notes = name, findings, tried, notes

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def mistakes(self) -> list[str]:
        return [finding.mistake for finding in self.findings]

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        if self.ok:
            head = f"{self.name}: no mistake found in {len(self.tried)} programs."
        else:
            count = len(self.findings)
            head = f"{self.name}: {'one mistake' if count == 1 else f'{count} mistakes'} found in {len(self.tried)} programs."
        found = [f"{i}. {finding}" for i, finding in enumerate(self.findings, 1)]
        return "\n\n".join([head, *found, *([f"Note: {note}" for note in self.notes])])

    __repr__ = __str__


def find_bug(cls: Callable[[float], Any]) -> BugReport:
    """What is wrong with `cls`, a Value class of one's own: a report, true where every number is right.

    The class is called with one number and has `.data`, `.grad`, `backward()` and the arithmetic of the original micrograd;
    exp, log, tanh, sigmoid and relu are tried where it has them as methods. Nothing is said about speed or depth.

    >>> from micrograd import Value
    >>> find_bug(Value).ok
    True
    """
    name = getattr(cls, "__name__", repr(cls))
    try:
        probe = cls(2.0)
    except Exception as error:
        raise TypeError(f"find_bug needs a class that is called with one number; {name}(2.0) raises {_said(error)}") from None
    for attribute in ("data", "grad", "backward"):
        if not hasattr(probe, attribute):
            raise TypeError(f"find_bug needs a class with .data, .grad and backward(); {name} has no .{attribute}")
    return _Examination(cls, name).report()


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip(": ")


class _Result(NamedTuple):
    value: float
    grads: tuple[float, ...]
    error: str = ""


class _Examination:
    def __init__(self, cls: Callable[[float], Any], name: str):
        self.cls, self.name = cls, name
        self.findings: list[Finding] = []
        self.tried: list[str] = []
        self.notes: list[str] = []
        self.broken: set[str] = set()  # methods about which something was found

    def report(self) -> BugReport:
        if self.seeded() and self.sums_and_products():
            missing = [op for op in OPERATIONS if op.optional and not hasattr(self.cls(1.0), op.method)]
            for op in OPERATIONS:
                behind = {op.method, *BUILT_ON.get(op.method, ())}
                if op not in missing and not self.broken & behind:
                    self.operation(op)
            if missing:
                names = ", ".join(dict.fromkeys(op.method for op in missing))
                self.notes.append(f"{self.name} has no {names}; tried was what it has.")
            self.sum_of_values()
            self.again()
        return BugReport(self.name, self.findings, self.tried, self.notes)

    # -- running programs

    def run(self, program: Program, at: Sequence[float]) -> _Result:
        """The value and gradients that the class gives."""
        try:
            leaves = [self.cls(x) for x in at]
            out = program(*leaves)
            out.backward()
            return _Result(float(out.data), tuple([float(leaf.grad or 0.0) for leaf in leaves]))
        except Exception as error:
            return _Result(math.nan, (), _said(error))

    @staticmethod
    def truth(program: Program, at: Sequence[float]) -> _Result:
        """The value and gradients that the engine gives."""
        leaves = [Value(x) for x in at]
        out = program(*leaves)
        return _Result(out.data, tuple(adjoints(out, wrt=leaves).values()))

    def found(self, mistake: str, program: str, got: str, expected: str, advice: str) -> None:
        if mistake not in [finding.mistake for finding in self.findings]:
            self.findings.append(Finding(mistake, program, got, expected, advice))

    # -- what is tried

    def seeded(self) -> bool:
        self.tried.append("a")
        result = self.run(lambda a: a, (2.0,))
        if result.error:
            self.found("backward() raises", "a.backward()", result.error, "no error", "make it work for a single value first")
        elif not _close(result.grads, (1.0,)):
            self.found("the output's own gradient is not set to 1", "a.backward(); a.grad", _shown(result.grads), "1",
                       "begin backward() with self.grad = 1.0: ∂a/∂a = 1, and all below is a multiple of it")  # fmt: skip
        return not self.findings

    def operation(self, op: Operation) -> None:
        """One operation: alone, below another one, and on top of another one."""
        self.tried.append(op.written)
        if not self.alone(op):
            return
        true = self.truth(op.apply, op.at)
        where = f"{op.written} at {_at(op.at)}"
        self.tried.append(f"5 * ({op.written})")
        below = self.run(lambda *xs: op.apply(*xs) * self.cls(5.0), op.at)
        expected = tuple([5.0 * g for g in true.grads])
        if below.error or not _close(below.grads, expected):
            self.broken.add(op.method)
            self.upstream(op, where, below, true.grads, expected)
            return
        self.tried.append(f"({op.written}) of products")
        self.parents(op)

    def alone(self, op: Operation) -> bool:
        """Whether the value of an operation and its local derivatives are right."""
        got, true = self.run(op.apply, op.at), self.truth(op.apply, op.at)
        where = f"{op.written} at {_at(op.at)}"
        if got.error:
            self.missing(op, where, got.error)
        elif not _close((got.value,), (true.value,)):
            turned = op.method in ("__rsub__", "__rtruediv__") and _close((got.value,), (self.turned(op),))
            hint = "the operands are turned round" if turned else f"compute {op.written} from the operands' data"
            self.found(
                f"the value of {op.written} is wrong",
                where,
                _shown((got.value,)),
                _shown((true.value,)),
                f"{op.method}: {hint}",
            )
        elif not _close(got.grads, true.grads):
            self.wrong_locals(op, where, got, true)
        else:
            return True
        self.broken.add(op.method)
        return False

    @staticmethod
    def turned(op: Operation) -> float:
        x = op.at[0]
        return x - 1 if op.method == "__rsub__" else x / 2

    def missing(self, op: Operation, where: str, error: str) -> None:
        if op.method in ("__radd__", "__rmul__", "__rsub__", "__rtruediv__"):
            advice = f"define {op.method}: Python asks the right operand where a plain number stands on the left"
            advice += "; sum() needs it too, for it begins with the int 0" if op.method == "__radd__" else ""
        elif "1" in op.written or "2" in op.written or "3" in op.written:
            made = f"other if isinstance(other, {self.name}) else {self.name}(other)"
            advice = f"{op.method} must take plain numbers too: other = {made}"
        else:
            advice = f"look at {op.method}"
        self.found(f"{op.written} raises an error", where, error, "no error", advice)

    def wrong_locals(self, op: Operation, where: str, got: _Result, true: _Result) -> None:
        mistake, advice = f"the derivative of {op.written} is wrong", f"look at the backward step of {op.method}"
        for slip, wrong in op.slips:
            if _close(got.grads, wrong(*op.at)):
                advice = f"{op.method}: {slip}"
                break
        else:
            if all(g == 0.0 for g in got.grads) and any(true.grads):
                mistake, advice = (
                    f"{op.written} passes no gradient on",
                    f"{op.method}: set _backward on the result, and keep its operands as parents",
                )
            elif len(got.grads) == 2 and got.grads[1] == 0.0 and _close(got.grads[:1], true.grads[:1]):
                advice = f"{op.method}: the second operand gets nothing"
            elif len(got.grads) == 2 and got.grads[0] == 0.0 and _close(got.grads[1:], true.grads[1:]):
                advice = f"{op.method}: the first operand gets nothing"
            elif _close(got.grads, tuple([-g for g in true.grads])):
                advice = f"{op.method}: the sign is turned"
            elif _close(got.grads, tuple([2 * g for g in true.grads])):
                mistake, advice = (
                    f"{op.written} passes its gradient on twice",
                    "each _backward must run once in a backward pass",
                )
        self.found(mistake, where, _gradients(got.grads), _gradients(true.grads), advice)

    def upstream(self, op: Operation, where: str, got: _Result, local: tuple[float, ...], expected: tuple[float, ...]) -> None:
        program = f"5 * ({op.written}) at {_at(op.at)}"
        if got.error:
            self.found(
                f"5 * ({op.written}) raises an error", program, got.error, "no error", f"look at what {op.method} returns"
            )
        elif any(_close((g,), (d,)) and not _close((g,), (e,)) for g, d, e in zip(got.grads, local, expected, strict=True)):
            self.found(f"{op.written} forgets the upstream factor", program, _gradients(got.grads), _gradients(expected),
                       f"{op.method}: the chain rule multiplies the local derivative by out.grad")  # fmt: skip
        elif all(g == 0.0 for g in got.grads):
            self.found(f"{op.written} passes no gradient on", program, _gradients(got.grads), _gradients(expected),
                       f"{op.method}: the result must be known as a parent of what is computed from it")  # fmt: skip
        else:
            self.found(f"{op.written} passes on the wrong gradient below another operation", program, _gradients(got.grads),
                       _gradients(expected), f"{op.method}: out.grad must come in as a factor, once")  # fmt: skip

    def parents(self, op: Operation) -> None:
        """The operation on operands that were computed themselves."""
        halves = tuple([x / 2.0 for x in op.at])

        def program(*xs: Any) -> Any:
            return op.apply(*[x * 2.0 for x in xs])

        got, true = self.run(program, halves), self.truth(program, halves)
        if got.error or _close(got.grads, true.grads):
            return
        self.broken.add(op.method)
        written = f"{op.written} where {' and '.join('ab'[: len(op.at)])} are computed, at {_at(op.at)}"
        if any(g == 0.0 != t for g, t in zip(got.grads, true.grads, strict=True)):
            self.found(f"{op.written} forgets its parents", written, _gradients(got.grads), _gradients(true.grads),
                       f"{op.method}: {KNOWN}")  # fmt: skip
        else:
            self.found(f"{op.written} passes on the wrong gradient above another operation", written, _gradients(got.grads),
                       _gradients(true.grads), ORDER)  # fmt: skip

    def sum_of_values(self) -> None:
        self.tried.append("sum([a, b, c])")
        at = (2.0, -3.0, 4.0)
        got = self.run(lambda *xs: _python_sum(xs), at)
        if got.error and "__radd__" not in self.broken:
            self.found("sum() of values raises an error", "sum([a, b, c])", got.error, "no error",
                       "sum() begins with the int 0: 0 + a asks a.__radd__(0)")  # fmt: skip
        elif not got.error and not _close(got.grads, (1.0, 1.0, 1.0)) and not self.broken:
            self.found(
                "sum() of values is wrong", "sum([a, b, c])", _gradients(got.grads), _gradients((1.0,) * 3), "look at __radd__"
            )

    def sums_and_products(self) -> bool:
        """Sums and products alone, in chains and at forks: whether the rest, which builds on them, can be tried."""
        if self.seeded_again():
            return False
        for op in OPERATIONS[:2]:
            self.tried.append(op.written)
            self.alone(op)
        if not self.broken:
            self.structure()
        if self.broken & {"__add__", "__mul__", "order"}:
            self.notes.append("the rest builds on sums and products: run find_bug again when these are right.")
            return False
        return True

    def seeded_again(self) -> bool:
        """Whether every leaf has 1: then a product alone looks like a sum, and it is not the product's step that is wrong."""
        for _, program, at in (*CHAINS, *FORKS):
            if not _looks_like(Pass.seeding_each, False, program, at, self.run(program, at)):
                return False
        written, program, at = FORKS[1]
        self.tried.append(written)
        self.found(SEEDED_AGAIN, f"{written} at {_at(at)}", _gradients(self.run(program, at).grads),
                   _gradients(self.truth(program, at).grads), SEED_ONCE)  # fmt: skip
        return True

    def structure(self) -> None:
        """Several nodes: contributions must add up, and go on in the right order."""
        results = []
        for written, program, at in (*CHAINS, *FORKS):
            self.tried.append(written)
            results.append((written, program, at, self.run(program, at), self.truth(program, at)))
        wrong = [r for r in results if r[3].error or not _close(r[3].grads, r[4].grads)]
        if not wrong:
            return
        written, _, at, got, true = wrong[0]
        mistake, advice = "sums and products are wrong together", f"{UPSTREAM}; {ACCUMULATE}; {ORDER}"
        for distinct in (False, True):
            for name, backward, what_to_do in MISTAKES:
                if all(_looks_like(backward, distinct, program, at, result) for _, program, at, result, _ in results):
                    mistake, advice = name, what_to_do
                    break
            else:
                continue
            break
        self.broken.add("forks" if mistake in FORKS_ONLY else "order")
        self.found(mistake, f"{written} at {_at(at)}", got.error or _gradients(got.grads), _gradients(true.grads), advice)

    def again(self) -> None:
        """backward() called again: on the same graph, after zeroing, and on a new graph of the same leaves."""
        if "forks" in self.broken:
            return
        self.tried += ["backward() twice", "backward() again after zeroing", "backward() on a second graph"]
        at = (2.0, -3.0)

        def program(a: Any, b: Any) -> tuple[Any, ...]:
            d = a * b
            e = d + a
            return e * b, d, e

        try:
            leaves = [self.cls(x) for x in at]
            out, *middle = program(*leaves)
            out.backward()
            once = tuple([float(leaf.grad) for leaf in leaves])
            out.backward()
            twice = tuple([float(leaf.grad) for leaf in leaves])
            for node in (out, *middle, *leaves):
                node.grad = 0.0
            out.backward()
            zeroed = tuple([float(leaf.grad) for leaf in leaves])
            for leaf in leaves:
                leaf.grad = 0.0
            program(*leaves)[0].backward()
            program(*leaves)[0].backward()
            fresh = tuple([float(leaf.grad) for leaf in leaves])
        except Exception as error:
            self.found("backward() raises when called again", "out.backward(); out.backward()", _said(error), "no error",
                       "backward() must leave the graph as it was")  # fmt: skip
            return
        double = tuple([2 * g for g in once])
        shown = "d = a * b; e = d + a; out = e * b"
        if not _close(zeroed, once):
            program_shown = f"{shown}; twice, with all gradients set to 0 between"
            self.found("backward() keeps something from one call to the next", program_shown, _gradients(zeroed),
                       _gradients(once), "make the list of nodes and the set of visited ones anew in each call")  # fmt: skip
        elif _close(fresh, once):
            self.notes.append(
                "backward() starts from zero each time; in the original, leaves add up over graphs until they are zeroed."
            )
        elif not _close(fresh, double):
            program_shown = f"{shown}; made and gone back through twice"
            self.found("a second graph of the same leaves is wrong", program_shown, _gradients(fresh), _gradients(double),
                       "leaves add up what each graph gives: nothing else may stay from the first")  # fmt: skip
        elif _close(twice, self.intermediates_kept(program, at, 1.0)):
            self.notes.append(
                "as in the original, intermediate values keep their gradient, so a second backward() on the same graph "
                "counts them again."
            )
        elif not _close(twice, double) and not _close(twice, once):
            seed = _close(twice, self.intermediates_kept(program, at, 2.0))
            advice = "set self.grad = 1.0, do not add 1" if seed else "let leaves add up, and let the others start from 0"
            self.found(
                "backward() twice is wrong", f"{shown}; out.backward() twice", _gradients(twice), _gradients(double), advice
            )

    @staticmethod
    def intermediates_kept(program: Any, at: Sequence[float], seed: float) -> tuple[float, ...]:
        """The leaves' gradients after a second pass that adds to what the first one left everywhere."""
        leaves = [Value(x) for x in at]
        out = program(*leaves)[0]
        grad = adjoints(out)
        grad[out] = seed
        for node in reversed(topological_order(out)):
            for parent, local in zip(node.parents, node.partials, strict=True):
                grad[parent] += grad[node] * local
        return tuple([grad[leaf] for leaf in leaves])


def _looks_like(backward: Callable[[Pass], None], distinct: bool, program: Program, at: Sequence[float], got: _Result) -> bool:
    """Whether a mistaken pass gives the same gradients, with the operands of each node taken in one order or the other."""
    leaves = [Value(x) for x in at]
    out = program(*leaves)
    nodes = [node for node in topological_order(out) if len(set(node.parents)) > 1]
    for choice in range(2 ** len(nodes)):
        trial = Pass(out, frozenset([node for i, node in enumerate(nodes) if choice >> i & 1]), distinct)
        backward(trial)
        if not got.error and _close(got.grads, tuple([trial.grad[leaf] for leaf in leaves])):
            return True
    return False


def _python_sum(values: Sequence[Any]) -> Any:
    total: Any = 0
    for value in values:
        total = total + value
    return total


def _close(got: Sequence[float], expected: Sequence[float]) -> bool:
    return len(got) == len(expected) and all(
        math.isclose(g, e, rel_tol=1e-9, abs_tol=1e-12) for g, e in zip(got, expected, strict=True)
    )


def _shown(numbers: Sequence[float]) -> str:
    return ", ".join([f"{x:.6g}" for x in numbers])


def _gradients(grads: Sequence[float]) -> str:
    return ", ".join([f"{name}.grad = {g:.6g}" for name, g in zip("abc", grads, strict=False)])


def _at(at: Sequence[float]) -> str:
    return ", ".join([f"{name} = {x:g}" for name, x in zip("abc", at, strict=False)])
