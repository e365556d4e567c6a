"""From a tape to a tape with the same results and fewer instructions.

`recording` comes before, `scheduling` after.

    repeats       equal operations on equal operands merged before differentiation
    passes        constants folded, equal instructions merged, chains of additions made sums
    differences   differences of a number and a product, where code may round them once
"""
