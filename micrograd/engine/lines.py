"""Which line of the reader's program is running, for messages that name it."""

from __future__ import annotations

import os
import sys
from types import FrameType

HERE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")  # where the files of this package are
LIBRARY = os.path.join(os.path.dirname(os.__file__), "")  # where Python's library is, and what is installed


def line() -> str:
    """File, line number and text of the innermost line outside this package and the libraries."""
    frame = first = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith((HERE, LIBRARY)):
        frame = frame.f_back
        if first.f_code.co_filename.startswith(HERE):
            first = frame
    if frame.f_code.co_filename.startswith((HERE, LIBRARY)):  # a program that is run by a library
        frame = first
    import linecache  # what this package's own import can do without

    name, lineno = frame.f_code.co_filename, frame.f_lineno
    return f"{name}:{lineno}: {linecache.getline(name, lineno).strip()}".rstrip(": ")


def in_numpy(frame: FrameType) -> str:
    """The function of NumPy that was called from outside of it and has led to this frame; "" where it is none of NumPy's."""
    name = ""
    while frame.f_globals.get("__name__", "").startswith("numpy.") and frame.f_back is not None:
        frame, name = frame.f_back, frame.f_code.co_name
    return f"np.{name}" if name else ""
