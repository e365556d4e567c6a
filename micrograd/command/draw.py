"""`python -m micrograd draw`: the picture of an expression's graph, or the page that steps through backward."""

from __future__ import annotations

import argparse

from micrograd.command.options import Parser, Run, check_output, whole, write_output


def draw(parser: Parser) -> Run:
    """Draw the graph of an expression: values, local derivatives and gradients; as .html, step through backward."""
    from micrograd.draw import ENDINGS

    parser.add_argument("expression", type=str.strip, help='such as "tanh(a*b) + c"; steps are written "d = a*b; tanh(d) + c"')
    parser.add_argument(
        "values", type=str.strip, nargs="*", metavar="name=number", help="what each name in the expression stands for"
    )
    parser.add_argument("-o", "--output", metavar="FILE", default="graph.svg",
                        help=f"where to write it, by its ending {', '.join(ENDINGS)} (default: %(default)s)")  # fmt: skip
    parser.add_argument("--rankdir", choices=("LR", "TB"), help="to the right, or down (default: what fits)")
    parser.add_argument("--limit", type=whole(1), metavar="N", help="boxes before parts are folded (default: what fits)")

    def start(options: argparse.Namespace) -> None:
        from micrograd.draw import Drawing
        from micrograd.formula.parse import ExpressionError, read

        check_output(parser, options.output, *ENDINGS)
        try:
            output, _ = read(options.expression, options.values)
        except ExpressionError as error:
            parser.error(str(error))
        try:
            content = Drawing(output, rankdir=options.rankdir, limit=options.limit).rendered(options.output)
        except RuntimeError as error:  # PNG or PDF, with neither cairosvg nor Graphviz
            parser.error(str(error))
        write_output(parser, options.output, content)

    return start
