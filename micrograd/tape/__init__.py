"""Code written one scalar at a time, run at array speed: record → passes → roll → schedule → run.

`record` runs a function once on Values and writes its graph, with the graph of its gradient, as a `tape`. `passes` fold
constants and merge equal instructions, `roll` finds loops, and `vectorise` finds the array program, a `schedule`. One of the
`back_ends` (reference, numpy, llvm) runs it. `jit` is what a user calls.
"""

from micrograd.tape.files import load, save
from micrograd.tape.jit import Jitted, jit
from micrograd.tape.tape import Tape

__all__ = ["Jitted", "Tape", "jit", "load", "save"]
