"""A Value as a plain number: float(), bool(), formats, repr. `Value` inherits what is here."""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

from micrograd.engine import modes
from micrograd.engine.lines import in_numpy
from micrograd.engine.modes import open_blocks, watches

_caller = sys._getframe
# The rooms of NumPy's own Python code that compute. In others stand savetxt, testing, and what is told dtype=float.
_COMPUTING = ("numpy.lib._f", "numpy.lib.f", "numpy.lib._poly", "numpy.lib.poly", "numpy.linalg", "numpy.fft")


def _refuse(value: Any, asked: FrameType) -> None:
    """TypeError if a function of NumPy, which makes floats of Values on its way, would drop a derivative."""
    told = asked.f_code.co_qualname.startswith("vectorize")  # what to call, as in np.vectorize(math.isnan)
    computes = asked.f_globals.get("__name__", "").startswith(_COMPUTING) and not told
    if computes and modes.current().recording and any(node.rule is None for node in value._below(set())):
        raise TypeError(
            f"{in_numpy(asked)} makes a plain float of {value!r}, and its derivative would be lost: write it with operators "
            "and the functions of micrograd, or give it v.data where the number alone is meant"
        )


class Number:
    """What a Value can do as the number that it holds. While a function is recorded, what would give the number away raises."""

    __slots__ = ()

    def __float__(self: Any) -> float:
        if open_blocks or watches:
            modes.read(self, "float() or a function of math")
        asked = _caller(1)
        if "numpy" in asked.f_code.co_filename:
            _refuse(self, asked)
        number: float = self._data
        return number

    def __bool__(self: Any) -> bool:
        return bool(self != 0.0)

    def __index__(self) -> int:
        observer = modes.current().observer if open_blocks else None
        held = (observer is not None and observer.holds(self)) or (watches and modes.is_watched(self))
        raise TypeError(
            f"{self!r} is no index and no int: for a lookup use take(values, i) with an int, in jit an argument, "
            f"as 1 and not 1.0; for the number {'trunc(v), which is a Value too' if held else 'int(v.data)'}"
        )

    if not TYPE_CHECKING:  # a type checker refuses it by itself

        def __xor__(self, other):
            exponent = "y" if isinstance(other, Number) else repr(other)
            raise TypeError(f"^ is no power in Python: write x ** {exponent}")

        def __rxor__(self, other):
            raise TypeError(f"^ is no power in Python: write {other!r} ** x")

    def __format__(self: Any, spec: str) -> str:
        if not spec:
            return repr(self)
        if open_blocks and (observer := modes.current().observer) is not None:
            observer.read(self, f"format {spec!r}")
        text = format(self._data, spec)
        return f"Value({text})" if watches and modes.is_watched(self) else text  # to be printed, and not read again

    def __repr__(self: Any) -> str:
        numbers = f"data={self._data}, grad={getattr(self, '_grad', 0.0)}"
        if open_blocks and (observer := modes.current().observer) is not None and observer.holds(self):
            numbers = "open while recording"  # a number that is printed can be read again
        return f"Value({numbers}{f', label={self.label!r}' if self.label else ''})"
