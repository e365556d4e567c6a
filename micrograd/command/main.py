"""python -m micrograd: the command line.

One function per command: it adds the command's options to a parser and gives back the function that runs it on them. A
command is listed in COMMANDS with the lines that `python -m micrograd` shows; what it does lives in a module of its own,
imported when it runs. Bad input is one line on stderr and exit code 2: `parser.error("what was given; what to do")`.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from typing import NoReturn

from micrograd import __version__

Run = Callable[[argparse.Namespace], None]


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints take one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def shielded(parser: Parser, arguments: Sequence[str]) -> list[str]:
    """The arguments, with a space before an expression that begins with a minus: argparse takes -a*b for an option."""
    options = parser._option_string_actions
    out: list[str] = []
    wanted = False  # whether the option before takes this as its value
    for i, text in enumerate(arguments):
        if text == "--":
            return [*out, *arguments[i:]]
        name, equals, _ = text.partition("=")
        if re.fullmatch("--[a-z][a-z-]*", name):  # argparse may know it by its beginning, or says that it does not
            action = next((a for option, a in options.items() if option.startswith(name)), None)
            attached = bool(equals)
        else:
            action = options.get(text) or next((a for o, a in options.items() if a.nargs != 0 and text.startswith(o)), None)
            attached = text not in options
            if action is None and text.startswith("-") and not wanted:
                text = f" {text}"
        out.append(text)
        wanted = action is not None and action.nargs != 0 and not attached
    return out


def demo(parser: Parser) -> Run:
    """Train a network of scalar Values on real data, report its accuracy on data it has not seen, and draw what it learned."""
    from micrograd.command.demo import PROBLEMS, run

    def default(name: str) -> str:
        """The default of the option `name`, for each set of data."""
        values = {data: getattr(settings, name) for data, (_, settings) in PROBLEMS.items()}
        shown = {data: " ".join(map(str, v)) if isinstance(v, tuple) else f"{v:g}" for data, v in values.items()}
        return f"default: {', '.join(f'{v} for {data}' for data, v in shown.items())}"

    parser.add_argument("--data", choices=PROBLEMS, default="moons", help="what to learn (default: %(default)s)")
    parser.add_argument(
        "--hidden", type=whole(1), nargs="+", metavar="N", help=f"widths of hidden layers ({default('hidden')})"
    )
    parser.add_argument("--epochs", type=whole(1), metavar="N", help=f"passes over the data ({default('epochs')})")
    parser.add_argument("--batch", type=whole(1), metavar="N", help=f"examples in each step ({default('batch')})")
    parser.add_argument("--lr", type=positive, metavar="X", help=f"learning rate of the first step ({default('lr')})")
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), default=1, metavar="N",
                        help="of data, weights and batches: same seed, same output (default: %(default)s)")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write the picture (default: the data's name and .png)")

    def start(options: argparse.Namespace) -> None:
        output = options.output if options.output is not None else f"{options.data}.png"
        check_output(parser, output, ".png")
        try:
            import matplotlib, sklearn, tqdm  # noqa: E401, F401, I001
        except ImportError as error:
            parser.error(f"{error}; the demo needs what this installs: python -m pip install 'micrograd-engine[demo]'")
        problem, settings = PROBLEMS[options.data]
        chosen = {name: getattr(options, name) for name in settings._fields if getattr(options, name) is not None}
        settings = settings._replace(**chosen)
        try:
            picture = run(problem(options.seed), settings, options.seed)
        except ArithmeticError as error:
            parser.error(f"{error}: use a smaller learning rate than --lr {settings.lr:g}")
        write_output(parser, output, picture)

    return start


def draw(parser: Parser) -> Run:
    """Draw the graph of an expression: values, local derivatives and gradients; as .html, step through backward."""
    endings = (".svg", ".html", ".png", ".pdf", ".dot", ".gv", ".mmd")
    parser.add_argument("expression", type=str.strip, help='such as "tanh(a*b) + c"; steps are written "d = a*b; tanh(d) + c"')
    parser.add_argument(
        "values", type=str.strip, nargs="*", metavar="name=number", help="what each name in the expression stands for"
    )
    parser.add_argument("-o", "--output", metavar="FILE", default="graph.svg",
                        help=f"where to write it, by its ending {', '.join(endings)} (default: %(default)s)")  # fmt: skip
    parser.add_argument("--rankdir", choices=("LR", "TB"), default="LR", help="to the right, or down (default: %(default)s)")
    parser.add_argument("--limit", type=whole(1), metavar="N", help="boxes before parts are folded (default: 90)")

    def start(options: argparse.Namespace) -> None:
        from micrograd.draw import LIMIT, Drawing
        from micrograd.formula.parse import ExpressionError, named_values, parse

        check_output(parser, options.output, *endings)
        try:
            output = parse(options.expression, named_values(options.values))
        except ExpressionError as error:
            parser.error(str(error))
        try:
            content = Drawing(output, rankdir=options.rankdir, limit=options.limit or LIMIT).rendered(options.output)
        except RuntimeError as error:  # PNG and PDF without Graphviz
            parser.error(str(error))
        write_output(parser, options.output, content)

    return start


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
        from micrograd.formula.parse import ExpressionError, named_values, parse_steps

        if "=" in options.name:
            parser.error(
                f"what to differentiate by comes before the values, got {options.name!r}: write the name and then those"
            )
        try:
            values = named_values(options.values)
            output, named = parse_steps(options.expression, values)
        except ExpressionError as error:
            parser.error(str(error))
        named |= values  # also where a step has taken the name over
        x = named.get(unicodedata.normalize("NFKC", options.name))  # as the names of the expression are read
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


def show(text: str) -> None:
    """Print mathematics, in ASCII where standard output cannot encode its signs: a ? in place of a minus would mislead."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeError:
        text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁽⁾]+", lambda raised: "^" + unicodedata.normalize("NFKC", raised[0]), text)
        text = text.translate(str.maketrans("∂−·′⟨⟩⋮₁₂₃₄₅₆₇₈₉", "d-*'<>:123456789"))
        for sign, word in {"←": "<-", "√": "sqrt ", "Σ": "sum", "δ": "delta", "…": "..."}.items():
            text = text.replace(sign, word)
    print(text)


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `low` to `high`."""

    def convert(text: str) -> int:
        try:
            n = int(text)
        except ValueError:
            n = low - 1
        if n < low or (high is not None and n > high):
            bounds = f"from {low} on" if high is None else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"needs a whole number {bounds}, got {text!r}")
        return n

    return convert


def positive(text: str) -> float:
    """The type of an option that takes a positive number."""
    try:
        x = float(text)
    except ValueError:
        x = math.nan
    if not 0 < x < math.inf:
        raise argparse.ArgumentTypeError(f"needs a positive number, got {text!r}")
    return x


def check_output(parser: Parser, path: str, *suffixes: str) -> None:
    """Complain now, and not after the work is done, where `path` cannot be written or does not end in one of `suffixes`."""
    if os.path.splitext(path)[1].lower() not in suffixes:  # ".svg" is a name without an ending
        parser.error(f"argument -o/--output: needs a file name that ends in {' or '.join(suffixes)}, got {path!r}")
    there = os.path.lexists(path)
    try:
        with open(path, "ab"):
            pass
        if not there:
            os.remove(path)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        parser.error(f"cannot write {path!r}: {getattr(error, 'strerror', None) or error}")


def write_output(parser: Parser, path: str, content: bytes) -> None:
    """Write the file and say so."""
    try:
        with open(path, "wb") as file:
            file.write(content)
    except OSError as error:
        parser.error(f"cannot write {path!r}: {error.strerror}")
    print(f"wrote {path}")


# Each command with the lines that show it: its arguments, and what they do.
COMMANDS: dict[Callable[[Parser], Run], list[tuple[str, str]]] = {
    demo: [
        ("demo", "train a network on two moons and draw its decision boundary"),
        ("demo --data digits", "handwritten digits, and the accuracy on digits it has not seen"),
        ("demo --data breast-cancer", "malignant or benign, likewise"),
    ],
    draw: [
        ('draw "tanh(a*b) + c" a=1 b=-2 c=0.5 -o graph.svg', "its graph with every derivative; as .html, to step through"),
    ],
    explain: [
        ('explain "tanh(a*b) + c" a a=1 b=-2 c=0.5', "the chain rule for one derivative, written out"),
    ],
}


def overview() -> str:
    """What can be done, in about ten lines."""
    shown = [line for lines in COMMANDS.values() for line in lines]
    width = max(len(arguments) for arguments, _ in shown)
    return "\n".join(
        [
            f"micrograd {__version__}: automatic differentiation that shows and explains every derivative",
            "",
            *(f"  python -m micrograd {arguments:{width}}   {what}" for arguments, what in shown),
            "",
            "Every command takes --help. In Python: from micrograd import Value",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command line `argv`: 0, 2 for bad input, 130 after Ctrl-C."""
    parser = Parser(prog="python -m micrograd", usage="%(prog)s [command] [options]", description=overview(), add_help=True)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--version", action="version", version=f"micrograd {__version__}")
    commands = parser.add_subparsers(metavar="command", help=argparse.SUPPRESS, prog="python -m micrograd")
    argv = list(sys.argv[1:] if argv is None else argv)
    for command in COMMANDS:
        sub = commands.add_parser(command.__name__, description=command.__doc__)
        sub.set_defaults(run=command(sub))
        if argv[:1] == [command.__name__] and command is not demo:
            argv = [command.__name__, *shielded(sub, argv[1:])]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # what no ASCII stands for: letters of names
    try:
        try:
            options = parser.parse_args(argv)
            if "run" not in options:
                print(overview())
            else:
                options.run(options)
        finally:  # what --help printed, too
            print(end="", flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # the reader of our output has gone (`| head`): nothing to say
            print(f"{parser.prog}: {error}", file=sys.stderr)
        try:
            print(end="", flush=True)
        except OSError:  # nothing is left to flush at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0
