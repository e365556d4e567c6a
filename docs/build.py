"""The reference documentation, from the docstrings: `python docs/build.py FOLDER` writes it as HTML. A warning is an error.

The pages hold what people use: the package's own names, and the drawings, explanations and tapes that these give back.
"""

import sys
import warnings
from pathlib import Path

import pdoc

import micrograd


def build(folder: Path) -> None:
    """Write the pages."""
    for name in micrograd.__all__:  # pdoc lists what a module holds, and some names are imported only when asked for
        setattr(micrograd, name, getattr(micrograd, name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.render.configure(docformat="markdown", math=True)
        pdoc.pdoc("micrograd", "!micrograd.(?!draw$|explain$|tape$).*", output_directory=folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/build.py FOLDER")
    build(Path(sys.argv[1]))
