"""Files of weights: parameters by name as NumPy's .npz, or as .safetensors for other libraries. `Module` saves and loads here.

A state is a dict from names to numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import IO, Any

from micrograd.saving import TooLargeError, arrays_in, replacing

Path = str | os.PathLike[str]


def write(path: Path, state: dict[str, float]) -> None:
    """Write a state to a file of the kind that its name ends in, .npz where it has no ending; ValueError for another ending."""
    import numpy as np

    ending = os.path.splitext(path)[1]
    if ending.lower() == _SAFETENSORS:
        data = _library().save(_tensors(state))
        with replacing(path) as file:
            file.write(data)
        return
    if ending.lower() not in ("", ".npz"):
        raise ValueError(
            f"parameters are saved as NumPy's .npz, got {os.fspath(path)!r}: end the name in .npz, not {ending} (or in "
            ".safetensors)"
        )
    with replacing(path) as file:
        np.savez(file, names=np.array(list(state), dtype=str), data=np.array(list(state.values()), dtype=np.float64))


def read(path: Path, names: Iterable[str]) -> dict[str, float]:
    """The state in a file. ValueError where it holds no state, or more bytes than one of these names could take."""
    sizes = [len(name) for name in names]
    most = (1 << 20) + 16 * sum(size + 8 for size in sizes) + 4 * len(sizes) * max(sizes, default=0)
    with open(os.fspath(path), "rb") as file:
        try:
            if os.path.splitext(path)[1].lower() == _SAFETENSORS:
                return _of_tensors(file, most)
            arrays = arrays_in(file, most)
            return dict(zip(arrays["names"].tolist(), arrays["data"].tolist(), strict=True))
        except ImportError:
            raise
        except TooLargeError as error:
            raise ValueError(f"{path} holds far more than the parameters here take; nothing was changed") from error
        except Exception as error:  # whatever a damaged file leads to
            raise ValueError(f"{path} holds no saved parameters as save() writes them; nothing was changed") from error


_SAFETENSORS = ".safetensors"


def _tensors(state: dict[str, float]) -> dict[str, Any]:
    """A state as tensors: `w.0`, `w.1`, ... as one tensor `w`, any other number as one without dimensions, all float64."""
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
    return tensors


def _of_tensors(file: IO[bytes], most: int) -> dict[str, float]:
    """The state in a file of tensors. TooLargeError where that has more than `most` bytes, else the library's errors."""
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
