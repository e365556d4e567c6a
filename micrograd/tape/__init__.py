"""Code written one scalar at a time, run at array speed: record → passes → schedule → run.

`record` runs a function once on Values and flattens its graph, with the graph of its gradient, to a `tape`; `passes` merge
and fold; `schedule` finds the array program in it; `reference`, `arrays` (NumPy) and `llvm` run it; `jit` is what one calls.
"""

from micrograd.tape.files import load, save
from micrograd.tape.jit import Jitted, jit
from micrograd.tape.tape import Tape

__all__ = ["Jitted", "Tape", "jit", "load", "save"]
