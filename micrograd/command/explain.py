"""`python -m micrograd explain`: the chain rule for one derivative of an expression, why it is what it is, or the listing."""

from __future__ import annotations

import argparse
import unicodedata

from micrograd.command.options import Parser, Run, show, whole


def explain(parser: Parser) -> Run:
    """Write out the chain rule for one derivative of an expression: symbols, numbers, result."""
    parser.add_argument("expression", type=str.strip, help='such as "tanh(a*b) + c"; steps are written "d = a*b; tanh(d) + c"')
    parser.add_argument("name", type=str.strip, help="what to differentiate by: a value, or a step")
    parser.add_argument(
        "values", type=str.strip, nargs="*", metavar="name=number", help="what each name in the expression stands for"
    )
    parser.add_argument("--depth", type=whole(1), metavar="N", help="levels of factors to open (default: what a screen holds)")
    parser.add_argument("--notation", choices=("leibniz", "delta"), default="leibniz", help="default: %(default)s")
    parser.add_argument(
        "--digits", type=whole(1), default=4, metavar="N", help="significant ones; 17: exact (default: %(default)s)"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--latex", action="store_true", help="write it as LaTeX")
    shown.add_argument("--why", action="store_true", help="say instead what is unusual about the derivative")
    shown.add_argument(
        "--code", action="store_true", help="list instead the whole computation, with all derivatives, as Python"
    )

    def start(options: argparse.Namespace) -> None:
        from micrograd.engine import Value
        from micrograd.explain import to_code
        from micrograd.formula.parse import ExpressionError, read

        if "=" in options.name:
            parser.error(f"what to differentiate by comes before the values, got {options.name!r}: write its name first")
        try:
            output, named = read(options.expression, options.values)
        except ExpressionError as error:
            parser.error(str(error))
        x = named.get(unicodedata.normalize("NFKC", options.name))  # as Python reads the names in the expression
        if not isinstance(x, Value):
            known = [name for name, held in named.items() if isinstance(held, Value)]
            what = f"nothing is called {options.name!r}"
            if x is not None:
                what = f"{options.name!r} is {'a list' if isinstance(x, list) else f'a plain number, {x:g}'}"
            parser.error(f"{what}: differentiate by {' or '.join(known) or 'a name with a value, such as a in a*2 with a=1.0'}")
        names = ("f", "y", "output", *(f"f_{i}" for i in range(len(named) + 1)))
        output.label = output.label or next(name for name in names if name not in named)
        if options.code:
            show(str(to_code(output, "compute")).removesuffix("\n"))
        elif options.why:
            show(str(output.why(x)))
        else:
            found = output.explain(x, depth=options.depth, notation=options.notation, digits=options.digits)
            show(found.latex if options.latex else str(found))

    return start
