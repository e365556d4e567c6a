"""Files that are written whole or not at all.

`nn`, `tape`, `draw` and `command` save through here. Nothing of this project comes before.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of `path` when the block ends well; until then, and otherwise, `path` is as it was.

    It is written beside, under a hidden name that ends in .part, synced to the disk and renamed: neither a full disk nor the
    end of the process leaves half a file. What is at `path` keeps its permissions; a link stays a link. What is there and
    is no file, such as /dev/stdout, is written to. OSError where the folder cannot be written to.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(os.path.join(folder, "notes.txt")) as file:
    ...         _ = file.write(b"whole")
    ...     os.listdir(folder)
    ['notes.txt']
    """
    place = os.path.realpath(os.fspath(path))
    mode = os.stat(place).st_mode if os.path.exists(place) else None
    if mode is not None and not stat.S_ISREG(mode):
        with open(place, "wb") as file:
            yield file
        return
    folder, name = os.path.split(place)
    part = os.path.join(folder, f".{name[:60]}.{os.urandom(4).hex()}.part")
    try:
        with _made(part, path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(part, stat.S_IMODE(mode))
        os.replace(part, place)
    except BaseException:
        with contextlib.suppress(OSError):  # an interrupt came before it was made, or after it was renamed
            os.remove(part)
        raise
    _sync_folder(folder)


def _made(part: str, path: str | os.PathLike[str]) -> IO[bytes]:
    """The new file; an error names the path that was asked for."""
    try:
        return open(part, "xb")
    except OSError as error:
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from None


def _sync_folder(folder: str) -> None:
    """Have the folder's new entry on the disk, on systems that open folders."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
