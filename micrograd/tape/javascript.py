"""A recorded function as JavaScript, for web pages and Node: the tape as it stands, with the rule book of the living page.

`c` records, and writes the same in C; `formula.javascript` prints the rules. Sums, products and quotients have the bits of
Python's floats; functions such as exp are those of the JavaScript engine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from micrograd.formula.javascript import functions, printed
from micrograd.tape.c import recorded


def to_javascript(fn: Callable[..., Any], *args: Any, gradient: bool = False, name: str = "f") -> str:
    """The function as JavaScript, recorded at `args`: f(x, p) gives an array of what it returns, flattened from left to right.

    `x` is an array of the numbers of the arguments, `p` of the parameters (by default, what they hold now). With `gradient`,
    the value comes first and then its derivatives by the parameters; for derivatives by the arguments use transforms, as in
    to_c, which also says what numbers to give. ValueError if the function decides by an `if`, or if a primitive of the user's
    own is no formula.

    >>> "function f(x, p = [])" in to_javascript(lambda x, y: x * y + 1, 2.0, 3.0)
    True
    """
    if not re.fullmatch("[A-Za-z_$][A-Za-z0-9_$]*", name) or name in ("x", "p", "FLOATS"):
        raise ValueError(f"to_javascript needs a name for the function, got {name!r}")
    tape, _, leaves = recorded(fn, args, gradient)
    slots = [*[f"x[{i}]" for i in range(tape.inputs)], *[f"p[{i}]" for i in range(tape.leaves)], *map(_number, tape.constants)]
    lines = []
    for i, (rule, operands) in enumerate(tape.instructions):
        lines.append(f"\tconst v{i} = FLOATS.{rule.name}({', '.join([slots[slot] for slot in operands])});")
        slots.append(f"v{i}")
    own = {rule.name: rule for rule, _ in tape.instructions if rule.own}
    body = "\n".join([*lines, f"\treturn [{', '.join([slots[slot] for slot in tape.outputs])}];"])
    return f"""\
// x: arguments ({tape.inputs}), p: parameters ({tape.leaves}); results: {len(tape.outputs)}.
const {name} = (() => {{
{functions()}
{printed(own.values())}
return function {name}(x, p = [{", ".join(map(_number, leaves))}]) {{
{body}
}};
}})();
if (typeof module !== "undefined") module.exports = {name};
"""


def _number(x: float) -> str:
    return "NaN" if x != x else ("-" if x < 0 else "") + "Infinity" if math.isinf(x) else repr(float(x))
