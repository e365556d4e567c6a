"""Compiled code is made of functions of bounded size, whatever the program."""

import re

import numpy as np
import pytest

from micrograd.primitives import RULES
from micrograd.tape.back_ends import reference
from micrograd.tape.tape import Tape

llvm = pytest.importorskip("micrograd.tape.back_ends.llvm.program")
module = pytest.importorskip("micrograd.tape.back_ends.llvm.module")
if reason := llvm.trouble():
    pytest.skip(reason, allow_module_level=True)

MUL, ADD, SIN, SUM, EXP = (RULES[name] for name in ("mul", "add", "sin", "sum", "exp"))


def results(n):
    """n numbers squared, one by one."""
    return Tape(n, 0, [], [(MUL, (i, i)) for i in range(n)], list(range(n, 2 * n))), [(n, True)]


def scattered(n):
    """Results, some of them constants, parameters and copies, in no order; from inputs that arrive one by one."""
    order = np.random.default_rng(0).permutation(n).tolist()
    constants = [float(i % 50) for i in range(50)]
    first = 2 * n + 50
    outputs = [first + i if i % 3 else 2 * n + i % 50 if i % 2 else n + i for i in order]
    code = [(MUL if i % 2 else ADD, (i, order[i])) for i in range(n)]
    return Tape(n, n, constants, code, outputs), [(1, i % 2 == 0) for i in range(n)]


def constants(n):
    """As many different constants, each added to its own number, and sums over the samples of all."""
    code = [(ADD, (i % 9, 9 + i)) for i in range(n)]
    return Tape(9, 0, [float(i) for i in range(n)], code, [9 + i if i % 2 else 9 + n + i for i in range(n)]), [(9, True)]


def irregular(n):
    """Gathers and short instructions of every kind."""
    rng = np.random.default_rng(0)
    code, slots = [], 9
    for i in range(n):
        rule, count = ((MUL, 2), (ADD, 2), (SIN, 1), (SUM, 5))[i % 4]
        code.append((rule, tuple(rng.integers(max(0, slots - 500), slots, count).tolist())))
        slots += 1
    return Tape(9, 0, [], code, list(range(slots - 20, slots))), [(9, True)]


CASES = [
    (results, False, lambda n: ()),
    (results, False, lambda n: (1,) * n),
    (results, False, lambda n: (n,)),
    (results, False, lambda n: (2,) * (n // 2)),
    (scattered, False, lambda n: ()),
    (scattered, False, lambda n: (n // 2, *(1,) * (n // 2))),
    (constants, True, lambda n: ()),
    (irregular, False, lambda n: ()),
]


@pytest.mark.parametrize(("build", "reduce", "groups"), CASES)
def test_functions_grow_with_no_program_and_compute_what_it_says(build, reduce, groups):
    """Four times the program: no longer function, and at most about four times the text."""
    longest, sizes = [], []
    for n in (400, 1600):
        tape, fields = build(n)
        program = llvm.Program(tape, fields, reduce, exact=True, groups=groups(n))
        for block in (0, 8):
            text = module.written(program.plan, program.target(block))
            longest.append(max(part.count("\n") for part in text.split("\ndefine ")))
            sizes.append(len(text))
    assert max(longest[2:]) <= 1.2 * max(longest[:2]) + 200 and max(longest) < 8000, longest
    assert max(sizes[2:]) <= 6 * max(sizes[:2]), sizes
    tape, fields = build(600)
    rng = np.random.default_rng(1)
    theta = rng.normal(size=tape.leaves)
    for count in (1, 21):
        inputs = [rng.normal(size=(count, width) if varying else width) for width, varying in fields]
        found = llvm.Program(tape, fields, reduce, exact=True, groups=groups(600))(inputs, theta, count)
        if groups(600):
            found = np.concatenate([part.reshape(count, -1).T for part in found])
        np.testing.assert_array_equal(found, reference.Program(tape, fields, reduce)(inputs, theta, count))


def test_many_calls_are_made_in_parcels():
    tape, fields = irregular(2500)
    program = llvm.Program(tape, fields, False)
    text = module.written(program.plan, program.target(0))
    (run,) = re.findall(r"define void @run.*?^}", text, re.DOTALL | re.MULTILINE)
    assert run.count("call void") < 3 * 70
