"""The picture in the README: the graph of its first snippet. `python docs/drawing.py` writes it beside this file."""

import contextlib
import io
import re
import sys
from pathlib import Path

from micrograd import Value

HERE = Path(__file__).resolve().parent


def picture() -> str:
    """The drawing as SVG."""
    snippet = re.search(r"^```python\n(.*?)^```$", (HERE.parent / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    assert snippet, "the README starts with a snippet"
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(snippet[1], names)
    output = names["L"]
    assert isinstance(output, Value)
    return str(output.draw(through=names["w"]).svg)


if __name__ == "__main__":
    if sys.argv[1:] == ["-"]:
        sys.stdout.buffer.write(picture().encode())
    else:
        (HERE / "drawing.svg").write_text(picture(), encoding="utf-8")
