"""Parameters by name as a file of safetensors, which other libraries read. `module` saves and loads through here."""

from __future__ import annotations

import os
from typing import Any

from micrograd.saving import replacing


def write(path: str | os.PathLike[str], state: dict[str, float]) -> None:
    """Write a state: `w.0`, `w.1`, ... as one tensor `w`, any other number as a tensor without dimensions, all float64."""
    import numpy as np

    lists: dict[str, list[str]] = {}
    for name in state:
        lists.setdefault(name.rpartition(".")[0], []).append(name)
    tensors: dict[str, Any] = {}
    for where, names in lists.items():
        if where and where not in state and names == [f"{where}.{i}" for i in range(len(names))]:
            tensors[where] = np.array([state[name] for name in names], np.float64)
        else:
            tensors |= {name: np.array(state[name], np.float64) for name in names}
    data = _library().save(tensors)
    with replacing(path) as file:
        file.write(data)


def read(path: str | os.PathLike[str], most: int) -> dict[str, float]:
    """The state in a file; ValueError where it is none, has anything but numbers, or more than `most` bytes."""
    import numpy as np

    library = _library()
    with open(path, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{os.fspath(path)} has more than {most:,} bytes, far more than the parameters here take")
    try:
        tensors = library.load(data)
    except Exception as error:  # the library's own kind of error is not among its public names
        raise ValueError(f"{os.fspath(path)} is no file of safetensors: {error}") from error
    return {
        ".".join([name, *map(str, at)]): float(tensor[at])
        for name, tensor in tensors.items()
        for at in np.ndindex(tensor.shape)
    }


def _library() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "files that end in .safetensors need that library: python -m pip install 'micrograd-engine[safetensors]'"
        ) from None
    return safetensors.numpy
