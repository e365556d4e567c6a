"""From a tape of scalars to an array program, a schedule.

`rewriting` comes before, the `back_ends` after.

    roll          the steps of a recurrence, found again as a loop
    vectorise     scalar instructions grouped to vector instructions, among them products of matrices
    schedule      the array program itself
    steps         the schedule of a loop
    levels        when each instruction is computed
    memory        where results are kept
    positions     positions of operands as views with strides
    sample_sums   sums over the samples, as products of matrices
"""
