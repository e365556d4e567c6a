"""Random programs over all primitives, differentiated to third order by this project and by JAX.

JAX runs in a process of its own: of the interpreter that MICROGRAD_JAX_PYTHON names, or else of this one where it has JAX.
"""

import importlib.util
import json
import math
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from truth import CASES

import micrograd as mg
from micrograd import Value, adjoints, grad, hessian, jacobian, jvp
from micrograd.primitives import rule

PROGRAMS = 52
STEPS = 9
QUICK = 7  # programs in the quick run, which together use every primitive once: JAX compiles anew
# Both sides round every intermediate, and XLA's elementary functions are good to a few units in the last place where libm's
# are good to one. So they may differ by this many units in the last place of every intermediate of the derivative, each
# weighted by what the result makes of it.
ULPS = 8.0

JAX = os.environ.get("MICROGRAD_JAX_PYTHON") or (sys.executable if importlib.util.find_spec("jax") else None)
needs_jax = pytest.mark.skipif(
    JAX is None, reason="needs JAX: install it, or name a Python that has it in MICROGRAD_JAX_PYTHON"
)

ROWS = {case.name: case for case in CASES}
ARITY = {name: 3 if name in ("sum", "logsumexp") else 5 if name == "dot" else len(case.domain) for name, case in ROWS.items()}
BESIDE = 0.05  # how far programs stay from kinks and jumps


def local(op, args):
    return [rule(op)(*args), *rule(op).local(tuple(args), rule(op)(*args), [True] * len(args))]


def tame(op, args):
    """Whether `op` is well-conditioned at these floats: neither near a kink nor a pole, so that rounding stays small."""
    try:
        here = local(op, args)
        if not all(abs(d) < 8 for d in here):
            return False
        for i in range(ROWS[op].whole, len(args)):
            for x in (args[i] - BESIDE, args[i] + BESIDE):
                beside = local(op, [*args[:i], x, *args[i + 1 :]])
                if not all(abs(d - e) < 0.25 for d, e in zip(here, beside, strict=True)):
                    return False
    except (ArithmeticError, ValueError):
        return False
    return True


def programs():
    """Programs in which each primitive appears equally often, as JAX's side wants them."""
    dice = random.Random(20)
    deck = []
    for _ in range(PROGRAMS):
        x = [dice.uniform(0.2, 1.5) * dice.choice((-1, 1)) for _ in range(3)]
        values, steps, later = list(x), [], []
        while len(steps) < STEPS:
            deck = deck or dice.sample([*ARITY], len(ARITY))
            op = deck.pop()
            for _ in range(300):
                fresh = dice.randrange(max(0, len(values) - 3), len(values))  # what came last is used, so most steps count
                picks = [fresh, *(dice.randrange(len(values)) for _ in range(ARITY[op] - 1))]
                if ARITY[op] > 2:
                    dice.shuffle(picks)
                if whole := ROWS[op].whole:
                    picks = [*[float(dice.randrange(3)) for _ in range(whole)], *[fresh, *picks][: ARITY[op] - whole]]
                elif ARITY[op] == 2 and dice.random() < 0.3:
                    picks[1] = dice.choice((2.0, 3.0, 0.5, -1.5))
                args = [values[p] if isinstance(p, int) else p for p in picks]
                if tame(op, args):
                    steps.append((op, picks))
                    values.append(rule(op)(*args))
                    break
            else:  # no operand suits it, as acosh wants one above 1: later, when there are others
                later.append(op)
                continue
            deck += later
            later.clear()
        names = {op: ROWS[op].jax or f"jnp.{op}" for op, _ in steps}
        yield {"x": x, "steps": steps, "jax": names, **{name: [dice.uniform(-1, 1) for _ in x] for name in "uvw"}}


def derivatives(program):
    def f(x):
        values = list(x)
        for op, operands in program["steps"]:
            values.append(rule(op)(*[values[a] if isinstance(a, int) else a for a in operands]))
        return mg.sum(values[-4:])

    u, v, w = (program[name] for name in "uvw")

    def along(f, v):
        return lambda x: jvp(f, (x,), (v,))[1]

    def reverse2(x):
        return grad(lambda x: mg.dot(u, grad(f)(x)))(x)

    x = [Value(e) for e in program["x"]]
    return {
        "value": f(x),
        "gradient": grad(f)(x),
        "hessian": hessian(f)(x),
        "third": jacobian(hessian(f))(x),
        "reverse2": reverse2(x),
        "reverse3": grad(lambda x: mg.dot(v, reverse2(x)))(x),
        "forward1": along(f, u)(x),
        "forward2": along(along(f, u), v)(x),
        "forward3": along(along(along(f, u), v), w)(x),
    }


def off(ours, theirs):
    """The largest difference, in units in the last place of the intermediates, weighted by what the result makes of them."""
    if isinstance(ours, list):
        return max(map(off, ours, theirs))
    unit = sum(abs(g) * math.ulp(node.data) for node, g in adjoints(ours).items() if node.parents)
    difference = abs(ours.data - theirs)
    return difference / max(unit, math.ulp(ours.data)) if difference else 0.0


def test_the_programs_cover_every_primitive():
    made = list(programs())
    used = Counter(op for program in made for op, _ in program["steps"])
    assert set(used) == set(ARITY) and min(used.values()) >= 5
    quick = {op for program in made[:QUICK] for op, _ in program["steps"]}
    assert len(quick) >= len(used) - 2
    assert all(math.isfinite(derivatives(program)["forward3"].data) for program in made[:QUICK])


def test_the_measure_finds_a_wrong_derivative():
    program = next(programs())
    right = derivatives(program)["third"]
    wrong = [[[e.data * (1 + 1e-9) + 1e-12 for e in row] for row in plane] for plane in right]
    assert off(right, wrong) > 1000 * ULPS


@needs_jax
@pytest.mark.parametrize("part", [slice(QUICK), pytest.param(slice(QUICK, None), marks=pytest.mark.slow)], ids=["quick", "all"])
def test_derivatives_to_third_order_agree_with_jax(part):
    made = list(programs())[part]
    lines = "\n".join(map(json.dumps, made))
    side = Path(__file__).with_name("jax_side.py")
    done = subprocess.run([JAX, str(side)], input=lines, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(made)
    worst = Counter()
    for program, answer in zip(made, answers, strict=True):
        for name, ours in derivatives(program).items():
            worst[name] = max(worst[name], off(ours, answer[name]))
    assert max(worst.values()) <= ULPS, worst
