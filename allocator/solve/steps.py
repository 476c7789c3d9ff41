"""Limits that a solver's tolerance cannot break: whole steps where all that is used comes in steps, a hair less for other sums.

Contacts come in ones, and so do many amounts: prices in yen, postage in cents. A budget of 50,000 yen can then be spent to the last
yen, and a solver that is a billionth off is still within it.

Axes: N columns of a programme, R rows.
"""

import numpy as np

DECIMALS = (1, 10, 100, 1_000, 10_000)
LIKE = 1e-9
"""What an amount may differ from a whole number of steps: rounding of 64-bit sums, less than that of a 32-bit number."""
LARGEST = 2**40
RELATIVE = 1e-10
HAIR = 1e-8


def steps_of(usage_NR: np.ndarray, quantum_R: np.ndarray) -> np.ndarray:
    """[R]: the step that every column's use of a row is a multiple of; quantum_R where that is known, 0 where there is none."""
    step_R = quantum_R.copy()
    for row in np.flatnonzero(quantum_R == 0):
        step_R[row] = step_of(usage_NR[:, row])
    return step_R


def step_of(amounts: np.ndarray) -> float:
    """The largest step, of a few decimals, that all amounts are multiples of; 0 where there is none."""
    amounts = np.unique(amounts)
    for per_unit in DECIMALS:
        counts = amounts * per_unit
        whole = np.rint(counts)
        if np.abs(counts).max(initial=0.0) > LARGEST:
            return 0.0
        if (np.abs(counts - whole) <= LIKE).all():
            return float(np.gcd.reduce(whole.astype(np.int64), initial=0)) / per_unit
    return 0.0


def tightened(
    left_R: np.ndarray, limit_R: np.ndarray, quantum_R: np.ndarray, step_R: np.ndarray, hair_R: np.ndarray | float = 0.0
) -> np.ndarray:
    """What is left of each limit, so that a solver's tolerance cannot break it. limit_R: the sizes that rounding is relative to.

    quantum_R: of rows that count, as the policy says; step_R: as `steps_of` found it. hair_R: taken off sums of real numbers besides,
    but never so much that using nothing would no longer do.
    """
    size_R = np.where(step_R > 0, step_R, 1.0)
    slip_R = np.where(quantum_R > 0, 1e-6, np.minimum(LIKE * (1.0 + np.abs(limit_R) / size_R), 1e-3))
    less_R = left_R - RELATIVE * np.abs(limit_R) - hair_R
    less_R = np.where((left_R >= 0) & (less_R < 0), 0.0, less_R)
    return np.where(step_R > 0, np.floor(left_R / size_R + slip_R) * size_R, less_R)
