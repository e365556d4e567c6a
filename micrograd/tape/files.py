"""Compiled functions as files: the tapes, the structure of arguments and results, and the parameters; no code.

A file is NumPy's `.npz` with arrays of numbers and one text in JSON. Reading it runs no code from the file: primitives are
looked up by name in the rule book of the process that reads, and every slot is checked before a tape is made.
"""

from __future__ import annotations

import json
import math
import zipfile
from operator import index
from typing import Any

import numpy as np

from micrograd.engine import Value
from micrograd.primitives import FUNCTIONS, rule
from micrograd.saving import arrays_in, replacing
from micrograd.tape.back_ends import back_end
from micrograd.tape.jit import Jitted
from micrograd.tape.recording.arguments import canonical
from micrograd.tape.recording.recordings import Path
from micrograd.tape.recording.results import Place
from micrograd.tape.tape import Guard, Tape
from micrograd.trees import Pattern, Sparse, elements, leaves_of

FORMAT = "micrograd compiled function, 1"


def save(f: Jitted[Any], path: str) -> None:
    """Write what a compiled function has recorded so far to a file that `load` reads.

    ValueError if nothing has been recorded, or if a structure holds anything but numbers, text and None.
    """
    if not f.recorded:
        raise ValueError(f"{f!r} has recorded nothing yet: call it once on arguments like those it is to be used with")
    arrays: dict[str, Any] = {}
    entries = []
    for (key, gradient), paths in f.recorded.items():
        entries.append({"key": key, "gradient": gradient, "paths": [_described(p, arrays) for p in paths]})
    parameters = f.parameters
    about = {"format": FORMAT, "entries": entries, "labels": [p.label[:] for p in parameters], "dtype": f.dtype.name}
    about["precision"] = f.precision
    try:
        text = json.dumps(about)
    except TypeError as error:
        raise ValueError(f"the structure of the arguments cannot be written to a file: {error}") from None
    with replacing(path) as file:
        np.savez(file, about=np.array(text), theta=np.array([p.data for p in parameters], np.float64), **arrays)


def load(path: str, backend: str | None = None) -> Jitted[Any]:
    """The compiled function in a file that `save` wrote; its parameters are new Values of the same data and labels.

    It takes arguments of the structures that had been recorded. ValueError if the file is damaged or of another kind.
    """
    back_end(backend)  # raises for an unknown one, outside the block that blames the file
    with open(path, "rb") as opened:
        try:
            return _loaded(arrays_in(opened, opened.seek(0, 2), packed=False), backend)
        except Exception as error:  # a damaged file may lead to any error
            if isinstance(error, KeyError) and "no primitive" in str(error):
                raise ValueError(f"{path} uses a primitive that is not in this rule book: {error}") from error
            if not zipfile.is_zipfile(path):
                error = ValueError("it is no .npz file")
            raise ValueError(f"{path} holds no compiled function that can be read ({error or type(error).__name__})") from error


def _loaded(arrays: dict[str, Any], backend: str | None) -> Jitted[Any]:
    about = json.loads(str(arrays.pop("about")))
    if about["format"] != FORMAT:
        raise ValueError(f"its format is {about['format']!r}, and this version reads {FORMAT!r}")
    leaves = [Value(x, label=label) for x, label in zip(_listed(arrays, "theta", "f"), about["labels"], strict=True)]
    if not all(isinstance(label, str) for label in about["labels"]) or about["dtype"] not in ("float64", "float32"):
        raise ValueError("its parameters are damaged")
    precision = "fast" if backend == "numpy" else about.get("precision", "fast")
    f: Jitted[Any] = Jitted(read_from_a_file, leaves, backend, about["dtype"], precision)
    for entry in about["entries"]:
        key, gradient = canonical(_tuples(entry["key"])), entry["gradient"]
        names = len(key[-1]) if key and all(isinstance(name, str) for name in key[-1]) and key[-1][:1] not in _LEAVES else 0
        count = sum(map(_count, key[: len(key) - bool(names)]))
        paths = [_path(p, arrays, len(leaves), count, gradient is True) for p in entry["paths"]]
        if not paths or not isinstance(gradient, bool):
            raise ValueError("it has no tape for some structure of arguments")
        f.recorded[key, gradient] = paths
    return f


_LEAVES = {("number",), ("static",)}  # how a leaf begins whose parts are all text: it looks like the names of arguments


def _count(spec: Any) -> int:
    """How many numbers a structure of arguments has; ValueError if it is no such structure."""
    kind = spec[0]
    if kind == "number" and spec[1] in ("i", "f"):
        return 1
    if kind == "array" and len(spec) == 4:
        return math.prod(map(index, spec[1]))
    if kind == "floats" and len(spec) == 3:
        return index(spec[2])
    if kind in ("list", "tuple", "dict"):
        return sum(map(_count, spec[-1]))
    if kind == "static" and len(spec) == 2:
        return 0
    raise ValueError(f"it has a structure of an unknown kind, {kind!r}")


def _listed(arrays: dict[str, Any], name: str, kind: str) -> list[Any]:
    """A flat array of integers ("i") or floats ("f") as a list. It is removed, so that no two tapes can name the same."""
    array = arrays.pop(name)
    if array.dtype.kind != kind or array.ndim != 1:
        raise ValueError(f"its array {name} is damaged")
    return array.tolist()  # type: ignore[no-any-return]


def read_from_a_file(*args: Any, **named: Any) -> Any:
    """What stands for the function of a tape from a file: RuntimeError, for the file has no source to record."""
    raise RuntimeError(
        "this compiled function was read from a file, which has no tape for arguments of this structure (or for this "
        "gradient, or this path through comparisons): record it where its source is, and save it again"
    )


def _described(path: Path, arrays: dict[str, Any]) -> dict[str, Any]:
    tape, prefix = path.tape, f"tape{len(arrays)}"
    rules = list(dict.fromkeys(r for r, _ in tape.instructions))
    number = {r: i for i, r in enumerate(rules)}
    arrays[f"{prefix}_code"] = np.array([number[r] for r, _ in tape.instructions], np.int32)
    arrays[f"{prefix}_ends"] = np.cumsum([len(operands) for _, operands in tape.instructions], dtype=np.int64)
    arrays[f"{prefix}_operands"] = np.array([i for _, operands in tape.instructions for i in operands], np.int64)
    arrays[f"{prefix}_constants"] = np.array(tape.constants, np.float64)
    arrays[f"{prefix}_outputs"] = np.array(tape.outputs, np.int64)
    twin = path.gated()
    return {
        "gated": _described(Path(twin, path.leaves, path.out, path.lookups), arrays) if twin else None,
        "name": prefix,
        "primitives": [name if isinstance(name := r.described(), str) else _written(name) for r in rules],
        "inputs": tape.inputs,
        "leaves": path.leaves,
        "guards": [[g.name, g.x, g.y, g.result, g.line] for g in tape.guards],
        "out": _written(path.out),
        "derivable": path.is_derivable,
    }


def _path(about: dict[str, Any], arrays: dict[str, Any], parameters: int, inputs: int, gradient: bool) -> Path:
    """A path from its description; the arguments have `inputs` numbers, and with `gradient` it gives one."""
    prefix = about["name"]
    code, ends, operands, outputs = (
        _listed(arrays, f"{prefix}_{part}", "i") for part in ("code", "ends", "operands", "outputs")
    )
    constants = _listed(arrays, f"{prefix}_constants", "f")
    rules = [rule(name) if isinstance(name, str) else _own(*_read(name)) for name in about["primitives"]]
    leaves = [index(i) for i in about["leaves"]]
    out = _read(about["out"])
    places = [int(x) for leaf in leaves_of(out) for x in elements(leaf) if isinstance(leaf, (Place, np.ndarray))]
    if sorted(places) != list(range(len(places))) or len(places) * (1 + len(leaves) * gradient) != len(outputs):
        raise ValueError("its results are not those of its tape")
    if about["inputs"] != inputs or len(set(leaves)) < len(leaves) or (code and not 0 <= min(code) <= max(code) < len(rules)):
        raise ValueError("its tape is not one of these arguments")
    slot = first = inputs + len(leaves) + len(constants)
    instructions = []
    at = 0
    for k, end in zip(code, ends, strict=True):
        used = tuple(operands[at:end])
        arity, least = None if rules[k].variadic else len(rules[k].partials), getattr(rules[k], "least", 1)
        fits = len(used) >= least if arity is None else len(used) == arity
        if not fits or min(used) < 0 or max(used) >= slot:
            raise ValueError(f"instruction {slot - first} has operands that it cannot have")
        if (rules[k].name == "dot" and len(used) % 2 == 0) or (rules[k].name == "take" and used[0] >= inputs):
            raise ValueError(f"instruction {slot - first} has operands that do not fit together")
        instructions.append((rules[k], used))
        slot, at = slot + 1, end
    guards = [Guard(str(name), index(x), index(y), bool(result), str(line)) for name, x, y, result, line in about["guards"]]
    slots = [*outputs, *(i for g in guards for i in (g.x, g.y))]
    if at != len(operands) or not all(0 <= i < slot for i in slots) or not all(0 <= i < parameters for i in leaves):
        raise ValueError("its slots do not fit together")
    if not {g.name for g in guards} <= {"__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__"}:
        raise ValueError("it compares in a way that is not known")
    tape = Tape(inputs, len(leaves), constants, instructions, outputs, guards)
    path = Path(tape, leaves, out, tape.lookups(), is_derivable=about.get("derivable", False) is True)
    if about.get("gated") is not None:
        twin = _path(about["gated"], arrays, parameters, inputs, gradient)
        path.record_gated = lambda: twin.tape
    return path


def _own(name: str, home: str, template: Any, mask: Any, shape: Any, i: int) -> Any:
    """The row of number `i` that a function with its own derivative rule returns; this process must have defined it too."""
    known = FUNCTIONS.get(name, {})
    functions = [known[home]] if home in known else list(known.values())
    if len(functions) != 1:
        many = f"{len(functions)} functions are" if functions else "no function with a rule of its own is"
        raise KeyError(f"no primitive but a function, and {many} called {name!r}: define it before load(), as for save()")
    if not 0 <= i < sum(len(elements(leaf)) for leaf in leaves_of(shape)):
        raise ValueError("a function in it returns fewer numbers")
    return functions[0].row_of(template, mask, shape, i)


def _written(out: Any) -> Any:
    """The structure of results as JSON: pairs of a kind and what it holds."""
    if isinstance(out, Place):
        return ["place", int(out)]
    if isinstance(out, np.ndarray):
        return ["array", out.ravel().tolist(), list(out.shape)]
    if isinstance(out, Sparse):
        return ["sparse", out.data.tolist(), list(out.pattern.shape), out.pattern.starts, out.pattern.columns]
    if isinstance(out, dict):
        return ["dict", [[key, _written(part)] for key, part in out.items()]]
    if isinstance(out, (list, tuple)):
        return ["list" if isinstance(out, list) else "tuple", [_written(part) for part in out]]
    return ["static", out]


def _read(out: Any) -> Any:
    kind = out[0]
    if kind == "place":
        return Place(index(out[1]))
    if kind == "array":
        return np.array(out[1], np.int64).reshape(out[2])
    if kind == "sparse":
        (m, n), starts, columns = out[2:]
        if len(out[1]) != len(columns):
            raise ValueError("a matrix among its results is damaged")
        return Sparse(Pattern((m, n), starts, columns), np.array(out[1], np.int64))
    if kind == "dict":
        return {_tuples(key): _read(part) for key, part in out[1]}
    if kind in ("list", "tuple"):
        parts = [_read(part) for part in out[1]]
        return parts if kind == "list" else tuple(parts)
    return out[1]


def _tuples(x: Any) -> Any:
    return tuple([_tuples(e) for e in x]) if isinstance(x, list) else x
