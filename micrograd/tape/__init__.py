"""Code written one scalar at a time, run at array speed: record → passes → roll → schedule → run.

A room for each step, in the order in which the data passes them:

    recording    runs a function once on Values and writes its graph, with the graph of its gradient, as a `tape`
    merging      makes one tape of the tapes of several paths
    rewriting    folds constants and merges equal instructions
    scheduling   finds loops and vectors: the array program, a schedule
    back_ends    reference, numpy, llvm: one of them runs it
    calling      takes each call to its program, and gives back its results

`jit` is what a user calls; `training`, `files`, `c` and `javascript` are what else can be done with a compiled function.
"""

from micrograd.tape.files import load, save
from micrograd.tape.jit import Jitted, jit
from micrograd.tape.tape import Tape

__all__ = ["Jitted", "Tape", "jit", "load", "save"]
