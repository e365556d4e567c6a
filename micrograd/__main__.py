"""python -m micrograd: the command line.

One function per command: it adds the command's options to a parser and gives back the function that runs it on them. A
command is listed in COMMANDS with the lines that `python -m micrograd` shows; what it does lives in a module of its own,
imported when it runs. Bad input is one line on stderr and exit code 2: `parser.error("what was given; what to do")`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from micrograd import __version__

Run = Callable[[argparse.Namespace], None]


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints take one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def demo(parser: Parser) -> Run:
    def run(options: argparse.Namespace) -> None:
        parser.error("not yet")

    return run


# Each command with the lines that show it: its arguments, and what they do.
COMMANDS: dict[Callable[[Parser], Run], list[tuple[str, str]]] = {
    demo: [
        ("demo", "train a network on two moons and draw its decision boundary"),
        ("demo --data digits", "handwritten digits, and the accuracy on digits it has not seen"),
        ("demo --data breast-cancer", "malignant or benign, likewise"),
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
    for command, lines in COMMANDS.items():
        sub = commands.add_parser(command.__name__, description=command.__doc__)
        sub.set_defaults(run=command(sub))
    try:
        options = parser.parse_args(argv)
        if "run" not in options:
            print(overview())
        else:
            options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone (`| head`): nothing to say, and nothing to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
