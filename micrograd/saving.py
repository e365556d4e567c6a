"""Files that are written whole or not at all, and arrays read safely from files that may be damaged or malicious.

`nn`, `tape`, `draw` and `command` save through here. It uses nothing else of this package.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file that replaces the file at `path` when the block ends without an error; else `path` stays as it was.

    It is written in the same folder under a hidden name that ends in .part, synced to the disk and renamed: neither a full disk
    nor the end of the process leaves half a file. The file at `path` keeps its permissions, and a link stays a link. If `path`
    is no regular file, such as /dev/stdout, it is written to directly. OSError if the folder cannot be written to.

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
    """The new file; an error names the path that the user asked for."""
    try:
        return open(part, "xb")
    except OSError as error:
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from None


def _sync_folder(folder: str) -> None:
    """Write the folder's new entry to the disk, on systems where a folder can be opened."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class TooLargeError(ValueError):
    """A file claims to hold more than it may."""


def arrays_in(file: IO[bytes], most: int, packed: bool = True) -> dict[str, Any]:
    """The arrays of numbers and texts in an .npz file, by name; compressed ones are read only if `packed`.

    All together take no more than `most` bytes, else TooLargeError is raised: a few compressed bytes may stand for gigabytes.
    ValueError, or what `zipfile` raises, if there is anything else in the file.
    """
    import zipfile  # here, because it takes a while to import, like NumPy

    import numpy as np

    found: dict[str, Any] = {}
    whole = 0
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            name, size = member.filename.removesuffix(".npy"), member.file_size
            whole += max(size, member.compress_size)
            if whole > most:
                raise TooLargeError(f"its arrays are larger than the {most:,} bytes that there can be")
            if name in found:
                raise ValueError(f"it has an array {name} twice")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[: 1 + packed]:
                raise ValueError("it has been packed in another way than save() does")
            with archive.open(member) as part:
                data = io.BytesIO(part.read(size))  # no more than the size it claims, whatever it unpacks to
            if np.lib.format.read_magic(data) != (1, 0):
                raise ValueError("its arrays are of another version")
            shape, _, dtype = np.lib.format.read_array_header_1_0(data)
            if dtype.kind not in "ifU" or not dtype.itemsize or math.prod(shape) * dtype.itemsize != size - data.tell():
                raise ValueError(f"its array {name} is damaged")
            data.seek(0)
            found[name] = np.lib.format.read_array(data, allow_pickle=False)
    return found
