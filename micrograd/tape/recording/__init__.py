"""From a function to its tapes.

`calling` comes before, `merging` and `rewriting` after.

    arguments      the arguments of a call, taken apart: their structure is the key of a recording
    results        the structure of what the function returns
    parameters     the Values that the function reads without getting them as arguments
    record         one run on Values, written as a tape with its derivatives
    recordings     the tapes of a function, and the programs that back ends make of them
    surroundings   what a function may read outside its arguments, found by a walk from the function
    bare           objects read without running code of their classes
    watch          whether what was read there is as it was
    nonfinite      a second tape, for results that are nan in the first
    shared_terms   terms that are the same for all samples, computed once
"""
