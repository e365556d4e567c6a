"""A recorded function as C: one file that needs math.h alone, with its header and a main to try it.

`record` and `passes` come before; `formula.c` spells each primitive. The tape is written as it stands, one line for each
instruction, in the order of the reference back end. So a compiler that keeps to IEEE 754 gives the same bits (GCC and Clang
with -ffp-contract=off, and without -ffast-math).
"""

from __future__ import annotations

import keyword
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from micrograd.formula.c import FUNCTIONS, number, spelled
from micrograd.saving import replacing
from micrograd.tape.recording.arguments import Call
from micrograd.tape.recording.record import Recording
from micrograd.tape.recording.results import numbers_of
from micrograd.tape.rewriting.passes import optimised
from micrograd.tape.tape import Tape


class CSource(NamedTuple):
    """C for one function: `source`, with a main for trying it (cc -DTEST), and `header`."""

    name: str
    source: str
    header: str

    def __str__(self) -> str:
        return self.source

    def save(self, path: str) -> None:
        """Write the source to `path`, which ends in .c, and beside it the header, named after the function."""
        if not path.endswith(".c"):
            raise ValueError(f"C goes into a file that ends in .c, got {path!r}")
        for file, text in ((path, self.source), (os.path.join(os.path.dirname(path), f"{self.name}.h"), self.header)):
            with replacing(file) as out:
                out.write(text.encode())


def to_c(fn: Callable[..., Any], *args: Any, gradient: bool = False, name: str = "f") -> CSource:
    """The function as C, recorded at `args`: void f(const double *x, const double *p, double *y).

    `x` holds the numbers of the arguments, flattened from left to right, `p` the parameters (the leaves that the function
    closes over, in order of first use), `y` what it returns, flattened too. With `gradient`, `y` has the value and then its
    derivatives by the parameters. For derivatives by the arguments use transforms: to_c(grad(f), x), to_c(jacobian(f), x).
    ValueError if the function decides by an `if` on its arguments (use where(c, a, b)), or if a primitive cannot be written
    in C. A derivative beside a choice may be nan, 0 times infinity, where a number on the way is beyond 1e100 and was not at
    `args`: give large ones if they may come.

    >>> print(to_c(lambda x, y: x * y + 1, 2.0, 3.0).source.split("{")[1].split("}")[0])
    <BLANKLINE>
        (void)p;
        const double v0 = 1.0 + x[0] * x[1];
        y[0] = v0;
    <BLANKLINE>
    """
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) or keyword.iskeyword(name) or name in _TAKEN:
        raise ValueError(f"to_c needs a C name for the function, got {name!r}")
    tape, inputs, leaves = recorded(fn, args, gradient)
    return _written(tape, name, inputs, leaves)


def recorded(fn: Callable[..., Any], args: Sequence[Any], gradient: bool) -> tuple[Tape, list[float], list[float]]:
    """The one tape of a function, and the numbers of its arguments and parameters when it was recorded.

    ValueError if it decides by an `if` on its arguments; with `gradient`, also if it has several results or no parameters.
    """
    fn = getattr(fn, "fn", fn)  # of a compiled function, the plain function
    call = Call([np.float64(a) if isinstance(a, (int, float)) else a for a in args], [None] * len(args))
    recording = Recording(lambda values: call.applied(fn, values), call.sample(0), numbers_of, None)
    if gradient and len(recording.results) != 1:
        raise ValueError(f"gradient=True needs a function that returns one number, got {len(recording.results)}")
    if gradient and not recording.leaves:
        raise ValueError(
            "gradient=True is by the parameters, and the function closes over none: derivatives by its arguments come by "
            "transforms, of value_and_grad(f, argnums=(0, 1)) for example"
        )
    tape = optimised(recording.tape(recording.gradient() if gradient else ()))
    if tape.guards:
        line = min(guard.line for guard in tape.guards)
        raise ValueError(f"the function decides by a comparison at {line}, and is written as one path: use where(c, a, b)")
    return tape, [float(v) for v in call.sample(0)], [leaf.data for leaf in recording.leaves]


_TAKEN = {"x", "p", "y", "main", "double", "int", "void", "const", "static", "return", "for", "if", *FUNCTIONS}


def _written(tape: Tape, name: str, inputs: list[float], leaves: list[float]) -> CSource:
    slots = [*[f"x[{i}]" for i in range(tape.inputs)], *[f"p[{i}]" for i in range(tape.leaves)], *map(number, tape.constants)]
    lines = [] if tape.inputs else ["(void)x;"]
    lines += [] if tape.leaves else ["(void)p;"]
    for i, (rule, operands) in enumerate(tape.instructions):
        lines.append(f"const double v{i} = {spelled(rule, [slots[slot] for slot in operands])};")
        slots.append(f"v{i}")
    lines += [f"y[{i}] = {slots[slot]};" for i, slot in enumerate(tape.outputs)]
    head = f"void {name}(const double *x, const double *p, double *y)"
    sizes = f"x: arguments ({tape.inputs}), p: parameters ({tape.leaves}), y: results ({len(tape.outputs)})"
    body = "\n    ".join(lines)
    functions = ""
    for called, text in reversed(FUNCTIONS.items()):  # so that a function stands below those that it calls
        if re.search(rf"\b{called}\(", functions + body):
            functions = f"{text}\n{functions}"
    source = f"""\
/* {sizes}.
   For the bits of Python's own floats compile with -ffp-contract=off. */
#include <math.h>

{functions}{head} {{
    {body}
}}

#ifdef TEST
#include <stdio.h>
int main(void) {{
    const double x[] = {{{", ".join(map(number, inputs)) or "0.0"}}};
    const double p[] = {{{", ".join(map(number, leaves)) or "0.0"}}};
    double y[{max(len(tape.outputs), 1)}];
    {name}(x, p, y);
    for (int i = 0; i < {len(tape.outputs)}; i++) printf("%.17g\\n", y[i]);
    return 0;
}}
#endif
"""
    guard = f"{name.upper()}_H"
    header = f"#ifndef {guard}\n#define {guard}\n/* {sizes} */\n{head};\n#endif\n"
    return CSource(name, source, header)
