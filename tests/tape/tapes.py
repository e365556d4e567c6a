"""For the tests of the tape: the tape of a function, and what a schedule of it must give."""

import numpy as np

from micrograd.primitives import RULES
from micrograd.tape.back_ends import reference
from micrograd.tape.recording.record import Recording
from micrograd.tape.rewriting.passes import optimised
from micrograd.tape.scheduling.schedule import ROWS, SHARED, TOTALS, Repeat, Schedule


def recorded(function, numbers, gradient=True, wrt=None):
    recording = Recording(function, numbers, lambda out: [out], wrt)
    return optimised(recording.tape(recording.gradient() if gradient else ())), recording


def interpreted(schedule: Schedule, inputs, theta, n):
    """A schedule run as its docstring says, one number at a time."""
    shared, rows = np.full(schedule.shared, np.nan), np.full((schedule.rows, n), np.nan)
    totals = np.full(len(schedule.outputs), np.nan)
    shared[: schedule.leaves] = theta
    for f, x in zip(schedule.fields, inputs, strict=True):
        if f.varying:
            rows[f.base : f.base + f.width] = x.T
        else:
            shared[f.base : f.base + f.width] = x
    for at, x in schedule.constants:
        shared[at] = x
    for row, x in schedule.filled:
        rows[row] = x
    done, varying = set(), False

    def execute(v, t=0):
        places = v.out.positions(v.shape)
        assert len(np.unique(places)) == v.size
        if v.out.space != TOTALS and v.rule is not None:
            assert np.array_equal(places.ravel(), np.arange(v.out.base, v.out.base + v.size)), "results are one run"
        full = (*v.shape, v.terms)

        def read(operand, shape, i):
            at = operand.positions(shape)[i] + operand.step * t
            space = {SHARED: shared[:, None], ROWS: rows}[operand.space]
            return np.broadcast_to(space[at], (*at.shape, n))

        for i in np.ndindex(v.shape):
            if v.rule is None:
                value = read(v.operands[0], v.shape, i)
            elif not v.terms:
                value = np.array(
                    [v.rule.on_floats(row) for row in zip(*[read(o, v.shape, i).tolist() for o in v.operands], strict=False)]
                )
            elif v.rule is RULES["take"]:
                index, table = read(v.operands[0], v.shape, i), read(v.operands[1], full, i)
                value = np.array(
                    [v.rule.on_floats([k, *row]) for k, row in zip(index.tolist(), table.T.tolist(), strict=False)]
                )
            elif v.rule is RULES["dot"]:
                x, y = (read(o, full, i).T.tolist() for o in v.operands[:2])
                start = [0.0] * n if v.over else read(v.operands[2], v.shape, i).tolist()
                value = np.array([v.rule.on_floats([*a, *b, s]) for a, b, s in zip(x, y, start, strict=False)])
            else:
                value = np.array([v.rule.on_floats(row) for row in read(v.operands[0], full, i).T.tolist()])
            at = places[i] + v.out.step * t
            if v.over:
                assert np.isnan(totals[at]) and at not in done, "a total is written once"
                done.add(at)
                totals[at] = reference.total(value.reshape(n))
            elif v.out.space == ROWS:
                rows[at] = value
            else:
                shared[at] = value[0] if len(value) else np.nan

    def run(item, t=0):
        if not isinstance(item, Repeat):
            execute(item, t)
            return
        for s in range(item.steps):
            for v in item.body:
                run(v, s)

    def flat(item):
        return [v for part in item.body for v in flat(part)] if isinstance(item, Repeat) else [item]

    for item in schedule.code:
        assert not varying or all(v.out.space != SHARED for v in flat(item)), "shared results come first"
        varying = varying or any(v.out.space == ROWS for v in flat(item))
        run(item)
    if schedule.reduce:
        return totals
    return np.array([rows[at] if space == ROWS else np.full(n, shared[at]) for space, at in schedule.outputs])
