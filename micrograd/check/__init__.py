"""Checks of what people wrote: `gradcheck` of a function's gradients, `find_bug` of someone's own Value class.

    gradcheck, verdicts, slopes, kinks                       numerical derivatives beside the engine's, and verdicts
    find_bug, examination, operations, structure, mistakes   programs run on the class and on the engine

The classic mistakes themselves are data of formula/mistakes.py, for the page in the browser asks about them too.
"""
