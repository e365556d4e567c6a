"""Parameters by name as a file of safetensors, which other libraries read. `module` saves and loads through here."""

from __future__ import annotations

import os
from typing import IO, Any

from micrograd.saving import TooLargeError, replacing


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


def read(file: IO[bytes], most: int) -> dict[str, float]:
    """The state in a file. TooLargeError where that has more than `most` bytes, the library's errors otherwise."""
    import numpy as np

    library, data = _library(), file.read(most + 1)
    if len(data) > most:
        raise TooLargeError(f"it is larger than the {most:,} bytes that there can be")
    tensors = library.load(data)
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
