"""python -m micrograd: the command line.

Each command is a function, in a file of its own. It adds the command's options to a parser and returns the function that runs
the command on them. COMMANDS lists it, with the lines that `python -m micrograd` shows. What a command needs is imported when
it runs. Bad input is answered by one line on stderr and exit code 2: `parser.error("what was given; what to do")`.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence

from micrograd import __version__
from micrograd.command.demo import demo
from micrograd.command.draw import draw
from micrograd.command.explain import explain
from micrograd.command.options import Parser, Run, shielded
from micrograd.command.play import play

# Each command with the lines of the overview: arguments, and what they do.
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
    play: [
        ('play "tanh(a*b) + c" a=1 b=-2 c=0.5 --open', "its page in the browser: sliders, steps, gradients that follow"),
    ],
}


def overview() -> str:
    """What `python -m micrograd` shows: the commands by examples, in about ten lines."""
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
    """Run the command line `argv`; returns its exit code: 0, 2 for bad input, 1 where a file fails, 130 after Ctrl-C."""
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
        sys.stdout.reconfigure(errors="replace")  # letters that the output cannot encode become ?
    try:
        try:
            options = parser.parse_args(argv)
            if "run" not in options:
                print(overview())
            else:
                options.run(options)
        finally:  # also after --help, which exits
            print(end="", flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # what read the output has ended (`| head`): no message
            print(f"{parser.prog}: {error}", file=sys.stderr)
        try:
            print(end="", flush=True)
        except OSError:  # so that Python has nothing to flush at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0
