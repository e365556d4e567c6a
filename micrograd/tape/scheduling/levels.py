"""Levels: when each instruction of a tape is computed, as early as its operands allow, or later if that makes fewer groups.

A group is what `vectorise` makes one vector instruction of: all instructions of one kind (one primitive and one number of
operands) on one level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd.primitives import Primitive
from micrograd.tape.tape import Tape

MANY_GROUPS = 256  # from so many groups on, it is tried whether there are fewer if instructions wait
SMALL_GROUP = 2  # a group of at most so many instructions is small; half of the groups must be
FEWER = 2  # how many times fewer there have to be
Slots = tuple[int, ...]
Array = np.ndarray[Any, Any]


def earliest(instructions: Sequence[tuple[int, Primitive, Slots]], base: int = 0) -> list[int]:
    """The earliest level above `base` of each of some instructions (result, primitive, operands).

    An instruction that reads no result of the others has level base + 1, any other one more than the highest level of its
    operands.
    """
    levels: dict[int, int] = {}
    level_of = levels.get
    for out, _, operands in instructions:
        levels[out] = 1 + max([level_of(x, base) for x in operands])
    return [*levels.values()]


def waiting(tape: Tape, early: Sequence[int], varies: Array) -> list[int] | None:
    """Levels of all instructions such that they wait for others of their kind; None if the `early` levels do nearly as well.

    In Gaussian elimination, and in its gradient, rows and columns become ready one number after the other, and are needed
    together much later. So an instruction is computed on the first level on which one of its kind cannot wait any longer.
    """
    first, code = tape.first, tape.instructions
    numbered = 2 * tape.kinds() + varies[first:]
    sizes = np.unique(numbered * (1 + max(early, default=0)) + early, return_counts=True)[1]
    groups = len(sizes)
    if groups < MANY_GROUPS or 2 * np.count_nonzero(sizes <= SMALL_GROUP) < groups:
        return None
    kinds = numbered.tolist()
    depth, count = max(early), len(code)
    latest = [depth] * count
    users: list[list[int]] = [[] for _ in range(count)]
    missing = [0] * count  # how many operands have not been computed yet
    for k in range(count - 1, -1, -1):
        before = latest[k] - 1
        for x in code[k][1]:  # one that is read twice counts twice
            if x >= first:
                missing[k] += 1
                users[x - first].append(k)
                latest[x - first] = min(latest[x - first], before)
    due: list[list[int]] = [[] for _ in range(depth + 1)]
    ready: dict[int, list[int]] = {}
    for k in range(count):
        due[latest[k]].append(k)
        if not missing[k]:
            ready.setdefault(kinds[k], []).append(k)
    found, later = [0] * count, 0
    for level in range(1, depth + 1):
        now = [ready.pop(kind) for kind in dict.fromkeys([kinds[k] for k in due[level] if not found[k]])]
        later += len(now)
        for k in (k for group in now for k in group):
            found[k] = level
            for user in users[k]:
                missing[user] -= 1
                if not missing[user]:
                    ready.setdefault(kinds[user], []).append(user)
    return found if later * FEWER <= groups else None
