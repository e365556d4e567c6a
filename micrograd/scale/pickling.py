"""A compiled function as it is sent to another process: its recorded tapes, together with the function itself.

It is sent as bytes, and known by their digest. A process unpacks it once, however many chunks and threads ask for it; equal
tapes of other functions share their machine code there.
"""

from __future__ import annotations

import hashlib
import io
import sys
import threading
import zlib
from collections import OrderedDict
from typing import Any

import cloudpickle

from micrograd.engine import Value
from micrograd.tape.back_ends import back_end
from micrograd.tape.calling.calls import Calls
from micrograd.tape.decorator import Decorator
from micrograd.tape.recording.parameters import Parameters
from micrograd.tape.recording.recordings import Path
from micrograd.tape.recording.watch import places_of, values_at

KEPT = 64  # how many functions a process keeps, the latest ones
_made: OrderedDict[str, Calls] = OrderedDict()
_making = threading.RLock()


class PickledFunction:
    """A compiled function with its tapes for one structure of arguments, packed to be sent to where chunks of these are."""

    def __init__(self, content: bytes, name: str):
        self.content, self.name, self.version = content, name, _version()
        self.digest = hashlib.blake2b(content, digest_size=16).hexdigest()

    def __dask_tokenize__(self) -> Any:
        return "micrograd function", self.digest

    def __repr__(self) -> str:
        return f"<{self.name} with its tapes>"

    def calls(self) -> Calls:
        """The function's calls in this process, unpacked when they are first needed."""
        with _making:
            found = _made.get(self.digest)
            if found is None:
                version = getattr(self, "version", None)  # older versions sent none
                if version != _version():
                    sender = f"micrograd-engine {version}" if version else "another version of micrograd-engine"
                    raise RuntimeError(
                        f"{self.name} was sent by {sender}, and this worker has {_version()}: install "
                        "one version on all machines"
                    )
                found = _made[self.digest] = _unpacked(self.content, self.name)
                while len(_made) > KEPT:
                    _made.popitem(last=False)
            _made.move_to_end(self.digest)
            return found


def _version() -> str:
    """The version of this package."""
    return str(sys.modules["micrograd"].__version__)


def pickled(calls: Calls, key: Any, gradient: bool, paths: list[Path]) -> PickledFunction:
    """What is sent of a function for arguments of the structure `key`; the same object until its recordings change."""
    version, sent = calls.parameters.version, calls.sent
    known = sent.get((key, gradient))
    if known is not None and known[1] == version and [*map(id, known[0])] == [*map(id, paths)]:
        return known[2]  # type: ignore[no-any-return]
    made = PickledFunction(_packed(calls, {(key, gradient): paths}), repr(calls.owner))
    sent[key, gradient] = [*paths], version, made
    if len(sent) > KEPT:
        del sent[next(iter(sent))]
    return made


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles compiled functions of a script or notebook as a whole: only there can they be found by their names."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Decorator) and isinstance(obj.__reduce__(), str) and obj.fn.__module__ == "__main__":
            return type(obj), (obj.fn, *obj.options()), obj.__getstate__()
        return super().reducer_override(obj)


def _packed(calls: Calls, recorded: dict[Any, list[Path]]) -> bytes:
    owner, parameters = calls.owner, calls.parameters
    places = places_of(calls.fn, parameters.values)
    made_with = parameters.listed is not None, parameters.dtype, owner.backend, owner.precision, owner.threads or 1
    try:
        beside = {key: [path.beside_function() for path in paths] for key, paths in recorded.items()}
        return _bytes_of((owner, places, parameters.values if places is None else None, *made_with, beside))
    except Exception as error:  # what it holds may raise anything when pickled: the tapes are sent without it
        values = [Value(p.data) for p in parameters.values]
        return _bytes_of((_Absent(repr(owner), str(error)), None, values, *made_with, recorded))


def _bytes_of(x: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file).dump(x)
    return zlib.compress(file.getvalue(), 1)  # tapes shrink to a fraction, which keeps Dask's graphs small enough to send


def _unpacked(content: bytes, name: str) -> Calls:
    """The calls of a function that was sent, or of its tapes. They run as many threads as the sender wrote: 1 by default."""
    function, places, values, listed, dtype, backend, precision, threads, recorded = cloudpickle.loads(zlib.decompress(content))
    fn = getattr(function, "fn", function)  # of a compiled function, the plain one
    values = values_at(fn, places) if places else values or []
    parameters = Parameters(values if listed else None, dtype)
    parameters.numbers(values)
    calls = Calls(fn, parameters, back_end(backend, precision, threads), name)
    for path in (path for paths in recorded.values() for path in paths):
        calls.recordings.take_in(path)
    calls.recordings.kept.update(recorded)
    return calls


class _Absent:
    """Stands in for a function that could not be pickled."""

    def __init__(self, name: str, reason: str):
        self.name, self.reason = name, reason

    def __call__(self, *args: Any, **named: Any) -> Any:
        raise RuntimeError(
            f"{self.name} cannot be pickled ({self.reason}), so its tapes came here without it, and this chunk needs one that "
            "had not been recorded: call the function before on samples that take its other paths, or let it hold only what "
            "can be pickled"
        )
