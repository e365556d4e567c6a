"""Machine code kept between processes: made once, never trusted where somebody else could have written it."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("llvmlite", reason="the extra `jit` has it")
from micrograd import primitive
from micrograd.primitives import RULES
from micrograd.tape.back_ends.llvm import cache

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner here")
PROGRAM = """
import sys
import numpy as np
import llvmlite.binding as llvm
from micrograd import MLP, jit, primitive
from micrograd.primitives import RULES

compiled, parse = [], llvm.parse_assembly
llvm.parse_assembly = lambda text, *rest: compiled.append(text) or parse(text, *rest)
model = MLP(2, [5, 1], activation="tanh", seed=1)
f = jit(lambda x: (model(x) ** 2 + x[0].exp()).log())
loss = f.backward(np.linspace(-1.0, 1.0, 1000).reshape(500, 2))
print(len([text for text in compiled if text]), loss.hex(), *(p.grad.hex() for p in model.parameters()))
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROGRAD_CACHE", str(tmp_path))
    return tmp_path / "machine_code"


def run():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    count, *numbers = done.stdout.split()
    return int(count), numbers


def test_a_second_process_compiles_nothing_and_has_the_same_bits(place):
    first, numbers = run()
    assert first == 2 and sorted(map(len, os.listdir(place))) == [64, 64]
    assert run() == (0, numbers)
    for name in os.listdir(place):  # what is damaged is made again
        content = (place / name).read_bytes()
        (place / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    assert run() == (2, numbers)


def test_what_is_damaged_foreign_or_open_to_others_counts_as_not_there(place, monkeypatch):
    key, other = "a" * 64, "b" * 64
    cache.write(key, b"code")
    file, whole = place / key, (place / key).read_bytes()
    assert cache.read(key) == b"code" and os.listdir(place) == [key]
    assert (place.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)

    def refused():
        assert cache.read(key) is None

    for content in (b"", whole[:30], whole[:-1], whole + b"x", whole.replace(b"code", b"evil")):
        file.write_bytes(content)
        refused()
    file.write_bytes(whole)
    (place / other).write_bytes(whole)  # under another key
    assert cache.read(other) is None and cache.read(key) == b"code"
    for what, mode, right in ((file, 0o620, 0o600), (file, 0o602, 0o600), (place, 0o770, 0o700), (place, 0o707, 0o700)):
        what.chmod(mode)
        refused()
        what.chmod(right)
    assert cache.read(key) == b"code"
    user = os.getuid()
    with monkeypatch.context() as patched:
        for name in ("getuid", "geteuid"):
            patched.setattr(os, name, lambda: user + 1)  # as another user would see it
        refused()
        cache.write(other, b"more")
    assert (place / other).read_bytes() == whole
    os.rename(file, place / "elsewhere")
    file.symlink_to(place / "elsewhere")
    refused()
    file.unlink()
    os.mkfifo(file)
    refused()


def test_a_link_in_the_place_of_the_folder_is_not_followed(place, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    cache.write("a" * 64, b"code")
    assert os.listdir(tmp_path / "elsewhere") == [] and cache.read("a" * 64) is None


def test_it_is_bounded_and_keeps_what_was_used_last(place, monkeypatch):
    monkeypatch.setattr(cache, "LARGEST", 20_000)
    for i in range(9):
        cache.write(f"{i:064d}", bytes(3000))
        os.utime(place / f"{i:064d}", (i + 1, i + 1))
        assert cache.read(f"{0:064d}") is not None  # which makes it the latest
    kept = sorted(int(name) for name in os.listdir(place))
    assert 0 in kept and 8 in kept and 1 not in kept
    assert sum((place / name).stat().st_size for name in os.listdir(place)) <= 20_000


def test_what_cannot_be_done_with_a_file_leaves_the_others_as_they_are(place, tmp_path, monkeypatch):
    def refused(*args, **named):
        raise OSError

    cache.write("a" * 64, b"code")
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", refused)
        cache.write("b" * 64, b"more")
        assert os.listdir(place) == ["a" * 64]  # no part of one is left
    with monkeypatch.context() as patched:
        patched.setattr(os, "utime", refused)  # as where all is read-only
        assert cache.read("a" * 64) == b"code"
    (tmp_path / "large").write_bytes(bytes(30_000))
    for name, target in (("0broken", "nowhere"), ("0link", "large")):
        (place / name).symlink_to(tmp_path / target)
    monkeypatch.setattr(cache, "LARGEST", 20_000)
    cache.write("c" * 64, b"more")  # with less than 20,000 bytes in all
    assert {"a" * 64, "c" * 64} <= {*os.listdir(place)}
    unlink, scandir = os.unlink, os.scandir

    class Listed:  # with one that another process has removed meanwhile
        def __enter__(self):
            return [type("Gone", (), {"name": "gone", "stat": refused}), *scandir(place)]

        def __exit__(self, *raised):
            pass

    monkeypatch.setattr(os, "scandir", lambda at: Listed())
    monkeypatch.setattr(os, "unlink", lambda name, **where: refused() if name == "a" * 64 else unlink(name, **where))
    for i, name in enumerate("acdefghi"):
        cache.write(name * 64, bytes(3000))
        os.utime(place / (name * 64), (i + 1, i + 1))
    assert sum((place / name).lstat().st_size for name in os.listdir(place)) <= 20_000


@pytest.mark.parametrize("setting", ["off", "0", "relative/folder", ""])
def test_one_setting_turns_it_off(tmp_path, monkeypatch, setting):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MICROGRAD_CACHE", setting)
    cache.write("a" * 64, b"code")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() if setting else os.getuid() + 1)
    assert cache.folder() is None and cache.read("a" * 64) is None and os.listdir(tmp_path) == []
    monkeypatch.undo()
    monkeypatch.setenv("MICROGRAD_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == str(tmp_path / "micrograd" / "machine_code")


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MICROGRAD_CACHE", str(tmp_path / "file"))
    cache.write("a" * 64, b"code")
    assert cache.read("a" * 64) is None


def test_code_that_calls_back_into_this_process_is_not_kept(place):
    from micrograd import jit

    jit(abs, backend="llvm")(1.0)
    before = os.listdir(place)
    third = primitive("third_of_cache_test", "third(x)", lambda x: x / 3.0, 1.0 / 3.0)
    try:
        assert jit(lambda x: third(x) * 7.25, backend="llvm")(3.0) == 7.25
        assert os.listdir(place) == before
    finally:
        RULES.pop("third_of_cache_test", None)
