"""From the tapes of several paths through a function with `if`s to one tape that selects.

`recording` asks for it, with a tape for each path; `rewriting` comes after.

    merge        one tape for several paths
    joins        the two sides of a comparison, joined
    selections   instructions of all paths, equal ones merged, and selections between results
    alignment    which terms of two sums belong to each other
"""
