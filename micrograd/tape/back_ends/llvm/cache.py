"""Machine code kept between processes: files of object code in a folder of the user's own.

A script that runs again, or a thousand workers, compile nothing that has been compiled for this machine before. The variable
MICROGRAD_CACHE names the folder, or says "off"; by default it is `micrograd` in the user's cache folder.

What is read here is executed. So the folder and the file must belong to the user of this process, nobody else may have the
right to write to them, and the file must hold what was made for the key that is asked for. Otherwise a file is ignored.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LARGEST = 256 << 20  # bytes of all files together; if there are more, those used longest ago are removed
_HEAD = b"micrograd machine code 1\n"
_DIGEST = 32


def folder() -> str | None:
    """Where code is kept; None for nowhere."""
    place = os.environ.get("MICROGRAD_CACHE", "")
    if place.lower() in ("off", "0", "no", "false") or not hasattr(os, "getuid") or sys.platform == "win32":
        return None  # turned off, or files have no owner here, so that nothing says who wrote them
    if os.getuid() != os.geteuid():
        return None  # this process has other rights than the user who names the folder
    if not place:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        place = os.path.join(home, "micrograd")
    return os.path.join(place, "machine_code") if os.path.isabs(place) else None


def read(key: str) -> bytes | None:
    """The object code kept for a key; None if there is none that may be trusted."""
    with suppress(OSError), _opened(make=False) as at:
        file = os.open(key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        with os.fdopen(file, "rb") as opened:
            about = os.fstat(file)
            if not stat.S_ISREG(about.st_mode) or not _ours(about):
                return None
            content = opened.read(LARGEST)
            body = content[len(_HEAD) + _DIGEST :]
            if content[: len(_HEAD) + _DIGEST] != _HEAD + _digest(key, body):
                return None
            with suppress(OSError):
                os.utime(file)  # so that it counts as used now
            return body
    return None


def write(key: str, body: bytes) -> None:
    """Keep object code for a key, whole or not at all; if that is impossible, nothing happens."""
    with suppress(OSError), _opened(make=True) as at:
        part = f".{os.getpid()}.{os.urandom(4).hex()}.part"
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=at)
        try:
            with os.fdopen(file, "wb") as opened:
                opened.write(_HEAD + _digest(key, body) + body)
            os.replace(part, key, src_dir_fd=at, dst_dir_fd=at)
        except BaseException:
            with suppress(OSError):
                os.unlink(part, dir_fd=at)
            raise
        _bound(at)


@contextmanager
def _opened(make: bool) -> Iterator[int]:
    """A descriptor of the folder, so that it stays the same folder even if it is renamed; OSError if there is none of ours."""
    place = folder()
    if place is None:
        raise FileNotFoundError
    if make:
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(place, 0o700)
    at = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not _ours(os.fstat(at)):
            raise PermissionError
        yield at
    finally:
        os.close(at)


def _ours(about: os.stat_result) -> bool:
    """Whether a file or folder belongs to this user, and nobody else may write to it."""
    return about.st_uid == os.getuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _digest(key: str, body: bytes) -> bytes:
    return hashlib.blake2b(key.encode() + b"\n" + body, digest_size=_DIGEST).digest()


def _bound(at: int) -> None:
    """Remove the files used longest ago, if all together are too large."""
    found = []
    with os.scandir(at) as entries:
        for entry in entries:
            with suppress(OSError):  # another process may have removed it
                about = entry.stat(follow_symlinks=False)
                found.append((about.st_mtime, about.st_size, entry.name))
    total = sum(size for _, size, _ in found)
    for _, size, name in sorted(found) if total > LARGEST else ():
        if total <= LARGEST * 3 // 4:
            break
        with suppress(OSError):
            os.unlink(name, dir_fd=at)
        total -= size
