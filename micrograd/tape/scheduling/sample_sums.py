"""Sums over the samples: which instructions become part of one, and the products of matrices that these sums are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from micrograd.primitives import RULES
from micrograd.tape.scheduling.memory import SPACES, Places
from micrograd.tape.scheduling.positions import Slots, distinct, grids_of, operand_of, sorted_grid, squeezed, table, with_terms
from micrograd.tape.scheduling.roll import Loop
from micrograd.tape.scheduling.schedule import DOT, ROWS, SUM, TOTALS, Operand, Vector

MUL = RULES["mul"]


def contractions(places: Places, loops: Sequence[Loop]) -> dict[int, tuple[Slots, Slots]]:
    """The instructions that only feed sums over samples and can be part of them, each as its pairs of factors.

    It also notes which vectors are to be followed by rows of ones. If a δ is summed by itself (for a bias) and also times each
    of some numbers a_j (for weights), both become one product, with a row of ones as the last a.
    """
    tape, first = places.tape, places.tape.first
    used = bytearray(first + len(tape.instructions))
    for _, operands in tape.instructions:
        for i in operands:
            used[i] = 1
    low = tape.inputs + tape.leaves
    nought = {low + i for i, x in enumerate(tape.constants) if x == 0.0}
    final: dict[int, tuple[Slots, Slots]] = {}
    alone: set[tuple[int, ...]] = set()
    varies = places.varies.tolist()
    varying = varies.__getitem__
    for slot in tape.outputs:
        k = slot - first
        if not varies[slot]:
            continue
        if k < 0 or used[slot] or any(loop.start <= k < loop.end for loop in loops):
            alone.add((slot,))
            continue
        rule, operands = tape.instructions[k]
        if rule is MUL and varies[operands[0]] and varies[operands[1]]:
            final[k] = (operands[:1], operands[1:])
        elif rule is DOT and operands[-1] in nought and all(map(varying, operands[:-1])):
            half = len(operands) // 2
            final[k] = (operands[:half], operands[half:-1])
        elif rule is SUM and all(map(varying, operands)):
            final[k] = (operands, ())
            alone.add(operands)
        else:
            alone.add((slot,))
    for k, (xs, ys) in final.items():
        if ys and xs not in alone and ys in alone:
            final[k] = xs, ys = ys, xs
        if ys and xs in alone:
            places.ones_after[ys[0]] = max(len(ys), places.ones_after.get(ys[0], 0))
    return final


def reduce_samples(places: Places, final: dict[int, tuple[Slots, Slots]]) -> None:
    """Add the sums over the samples: of products, as products of matrices; of everything else, as plain sums."""
    tape, first = places.tape, places.tape.first
    products: dict[int, list[tuple[int, Slots, Slots]]] = {}
    for i, slot in enumerate(tape.outputs):
        xs, ys = final.get(slot - first) or ((slot,), ())
        products.setdefault(len(xs), []).append((i, xs, ys))
    for terms, entries in products.items():
        paired = [e for e in entries if e[2]]
        sums = [e for e in entries if not e[2]]
        taken: set[int] = set()
        if paired:
            taken = products_over_samples(places, terms, paired, sums)
        for varying in (True, False):
            rest = [e for e in sums if e[0] not in taken and bool(places.varies[e[1][0]]) == varying]
            if rest:
                out = np.array([e[0] for e in rest])
                positions = places.where[table([e[1] for e in rest])]
                order = np.lexsort([out]) if not varying else np.lexsort([positions[:, 0]])
                columns = [(TOTALS, out[order]), (SPACES[int(varying)], positions[order])]
                shape, views = with_terms(columns, terms)
                places.code.append(Vector(SUM, shape, terms, (views[1],), views[0], over=True))


def products_over_samples(
    places: Places, terms: int, paired: list[tuple[int, Slots, Slots]], sums: list[tuple[int, Slots, Slots]]
) -> set[int]:
    """Add Σ over samples of Σ_k x y; returns the plain sums that became part of one of these products by a row of ones."""
    out = np.array([e[0] for e in paired])
    x = places.where[table([e[1] for e in paired])]
    y = places.where[table([e[2] for e in paired])]
    alone = {places.where[np.array(xs)].tobytes(): i for i, xs, _ in sums if places.varies[xs[0]]}
    x_id, x_of = distinct(x)
    y_id, y_of = distinct(y)
    grids, loose = grids_of(x_id, y_id)
    taken: set[int] = set()
    for found in grids.values():
        for grid in found:
            at = sorted_grid(grid, x[x_of[x_id[grid[:, 0]]]], y[y_of[y_id[grid[0]]]])
            X, Y, to = x[at[:, 0]], y[at[0]], out[at]
            ones = Y[-1] + (Y[-1, 0] - Y[-2, 0] if len(Y) > 1 else terms)
            extra = [alone.get(row.tobytes(), -1) for row in X]
            if places.ones_at.issuperset(ones.tolist()) and min(extra) >= 0:
                taken.update(extra)
                Y, to = np.concatenate([Y, ones[None]]), np.concatenate([to, np.array(extra)[:, None]], axis=1)
            operands = [
                operand_of(ROWS, X[None, :, None]),
                operand_of(ROWS, Y[None, None]),
                operand_of(TOTALS, to[None, :, :, None]),
            ]
            shape, (ox, oy, oo) = squeezed((1, *to.shape), terms, operands)
            total = (
                Operand(TOTALS, oo.base, oo.strides[:-1]) if oo.strides is not None else operand_of(TOTALS, to.reshape(shape))
            )
            places.code.append(Vector(DOT, shape, terms, (ox, oy), total, over=True))
    if len(loose):
        order = loose[np.lexsort([y[loose, 0], x[loose, 0]])]
        columns = [(TOTALS, out[order]), (ROWS, x[order]), (ROWS, y[order])]
        shape, views = with_terms(columns, terms)
        places.code.append(Vector(DOT, shape, terms, (views[1], views[2]), views[0], over=True))
    return taken
