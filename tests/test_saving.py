"""Saving: the old file or the new one, whole, whatever happens in between."""

import io
import os
import resource
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from micrograd import MLP, Value, jit
from micrograd.saving import arrays_in, replacing
from micrograd.tape import load, save

ROOT = Path(__file__).resolve().parent.parent


def outputs(folder):
    """Each way of saving: what it is called, and how it writes to the path."""
    model = MLP(3, [64, 1], seed=1)
    f = jit(lambda x: model(x), backend="numpy")
    f([0.0, 0.0, 0.0])
    drawing = (Value(2.0, label="a") * 3).draw()
    return {
        "w.npz": model.save,
        "f.npz": lambda path: save(f, path),
        "d.svg": drawing.save,
        "d.html": drawing.save,
        "e.html": drawing.explore().save,
    }


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link = tmp_path / "link.txt"
    link.symlink_to(path)
    for error in (ValueError, KeyboardInterrupt, SystemExit):
        with pytest.raises(error), replacing(link) as file:
            file.write(b"half of the n")
            raise error
        assert path.read_bytes() == b"old" and sorted(os.listdir(tmp_path)) == ["kept.txt", "link.txt"]
    with replacing(link) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new" and link.is_symlink() and path.stat().st_mode & 0o777 == 0o640
    mask = os.umask(0o027)
    try:
        with replacing(tmp_path / "masked.txt"):
            pass
    finally:
        os.umask(mask)
    assert (tmp_path / "masked.txt").stat().st_mode & 0o777 == 0o640
    with pytest.raises(FileNotFoundError, match=r"no/such/folder\.txt"), replacing(tmp_path / "no/such/folder.txt"):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_what_is_no_file_is_written_to(tmp_path):
    with pytest.raises(OSError, match="No space left"), replacing("/dev/full") as full:
        full.write(b"too much")
    assert not Path("/dev/full").is_file()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
    with replacing(pipe) as file:
        file.write(b"through")
    assert reader.communicate()[0] == b"through"


@pytest.mark.parametrize("name", ["w.npz", "f.npz", "d.svg", "d.html", "e.html"])
def test_a_disk_without_room_leaves_the_old_file(name, tmp_path):
    write = outputs(tmp_path)[name]
    path = tmp_path / name
    write(path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before and os.listdir(tmp_path) == [name]


KILLING = """
import os, signal, sys, time
sys.path[:0] = [{root!r}, {tests!r}]
from test_saving import outputs
writers = [(write, {folder!r} + "/" + name) for name, write in outputs({folder!r}).items()]
for write, path in writers:
    write(path)
good = [open(path, "rb").read() for _, path in writers]
begun = lambda: [name for name in os.listdir({folder!r}) if name.endswith(".part")]
left = 0
for i in range(50):
    child = os.fork()
    if child == 0:
        while True:
            for write, path in writers:
                write(path)
    time.sleep(0.001 * i)
    while i % 2 and len(begun()) <= left:  # every other kill waits for a file that is being written
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert [open(path, "rb").read() for _, path in writers] == good
    left = len(begun())
print(left)
"""


def test_a_process_that_is_killed_while_it_saves_leaves_whole_files(tmp_path):
    """Fifty times, a millisecond later each: all files are as they were, and many kills came while one was written."""
    program = KILLING.format(root=str(ROOT), tests=str(ROOT / "tests"), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 5
    load(tmp_path / "f.npz", backend="numpy")


def archive(*members):
    """An .npz file of arrays by name, each with bytes behind it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two members of one name
        for name, array, behind in members:
            data = io.BytesIO()
            np.save(data, array)
            opened.writestr(f"{name}.npy", data.getvalue() + behind)
    return file


def test_arrays_are_read_from_files_that_hold_nothing_else():
    ones = np.ones(3)
    assert arrays_in(archive(("a", ones, b""), ("b", np.array(["x"]), b"")), 1000)["a"].tolist() == [1.0] * 3
    for members, said in (
        ([("a", ones, b""), ("a", ones, b"")], "an array a twice"),
        ([("a", ones, b"more")], "array a is damaged"),
        ([("a", ones * 1j, b"")], "array a is damaged"),
        ([("a", np.ones(200), b"")], "arrays are larger than the 1,000 bytes"),
        ([(name, np.ones(40), b"") for name in "abc"], "arrays are larger than the 1,000 bytes"),
    ):
        with pytest.raises(ValueError, match=said):
            arrays_in(archive(*members), 1000)
    header = io.BytesIO()  # of a hundred million empty texts, which take no byte in the file
    np.lib.format.write_array_header_1_0(header, {"descr": "<U0", "fortran_order": False, "shape": (100_000_000,)})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("a.npy", header.getvalue())
    with pytest.raises(ValueError, match="array a is damaged"):
        arrays_in(file, 1000)


def test_a_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one(tmp_path, monkeypatch):
    told, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (told.append("synced"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda *paths: (told.append("replaced"), replace(*paths)))
    with replacing(tmp_path / "f") as file:
        file.write(b"whole")
    assert told[:2] == ["synced", "replaced"] and (tmp_path / "f").read_bytes() == b"whole"
