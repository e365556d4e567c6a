"""`python -m micrograd play`: an expression's page for the browser, with a line to type others into."""

from __future__ import annotations

import argparse
from pathlib import Path

from micrograd.command.options import Parser, Run, check_output, write_output

EXAMPLES: list[tuple[str, str, dict[str, float]]] = [
    ("a neuron", "tanh(w_1*x_1 + w_2*x_2 + b)", {"w_1": -3.0, "x_1": 2.0, "w_2": 1.0, "x_2": 0.5, "b": 6.5}),
    ("one value, two paths", "d = a*b; e = a + b; d*e", {"a": 2.0, "b": -3.0}),
    ("fit a line to two points", "p = (w*1 + b - 3)**2; q = (w*2 + b - 5)**2; (p + q)/2", {"w": 0.5, "b": 0.0}),
    ("cross-entropy", "logsumexp([z_1, z_2, z_3]) - z_1", {"z_1": 0.5, "z_2": 2.0, "z_3": -1.0}),
    ("a gradient that vanishes", "sigmoid(w*sigmoid(w*sigmoid(w*x)))", {"w": 4.0, "x": 1.0}),
    ("Rosenbrock's valley", "(1 - a)**2 + 10*(b - a**2)**2", {"a": -1.0, "b": 1.5}),
]


def play(parser: Parser) -> Run:
    """Make the page of an expression for the browser: sliders, steps, the chain rule, and a line to type others into."""
    parser.add_argument("expression", type=str.strip, nargs="?", help='such as "tanh(a*b) + c" (default: a neuron)')
    parser.add_argument(
        "values", type=str.strip, nargs="*", metavar="name=number", help="what each name in the expression stands for"
    )
    parser.add_argument("-o", "--output", metavar="FILE", default="play.html", help="where to write it (default: %(default)s)")
    parser.add_argument("--open", action="store_true", help="show it in the browser")

    def start(options: argparse.Namespace) -> None:
        from micrograd.draw import Drawing
        from micrograd.formula.parse import ExpressionError, read

        check_output(parser, options.output, ".html")
        _, text, values = EXAMPLES[0]
        assigned = [f"{name}={x}" for name, x in values.items()]
        if options.expression is not None:
            text, assigned = options.expression, options.values
        try:
            output, _ = read(text, assigned)
        except ExpressionError as error:
            parser.error(str(error))
        page = Drawing(output).explore().showing(expression=text, examples=EXAMPLES)
        write_output(parser, options.output, page.page.encode())
        if options.open:
            import webbrowser

            webbrowser.open(Path(options.output).absolute().as_uri())

    return start
