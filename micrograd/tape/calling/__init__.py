"""From a call to its results, with the function recorded already.

`jit` comes before, `recording` and the `back_ends` after.

    latest_call    a call just like the latest, straight to its route
    calls          any other call: which recording answers it, at which parameters
    routes         from the inputs of a call to its results, kept with the path of its structure
    branches       samples that decide a comparison otherwise than the recording did
    blocks         arguments or results on a disk, a block of samples at a time
    partial_sums   sums over the samples whose chunks are merged
    nodes          calls on Values, whose results are nodes of the eager graph
"""
