"""python -m micrograd: the command line.

One function per command, in a file of its own: it adds the command's options to a parser and gives back the function that
runs it on them. A command is listed in COMMANDS with the lines that `python -m micrograd` shows; what it needs is imported
when it runs. Bad input is one line on stderr and exit code 2: `parser.error("what was given; what to do")`.
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
    play: [
        ('play "tanh(a*b) + c" a=1 b=-2 c=0.5 --open', "its living page: sliders, steps, gradients as one touches them"),
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
