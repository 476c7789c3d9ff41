"""Shares that must be met exactly, or nearly so, as whole counts: variables of their own for a solver to branch on.

A share k / t of two counts that must be p / q holds for k = p j and t = q j alone. A linear programme does not see that, and a search
over single contacts hardly ever meets it. With j as a variable it is one number to be tried above and below. Bounds that are not equal
but so near that few counts lie between them get k and t themselves.

With what is fixed outside of a programme the counts inside are a shifted lattice: q k - p t = L has the solutions k0 + p j, t0 + q j
(Bezout), L being what is left of the limit in steps of 1 / q.

Axes: N columns of a programme, K contacts of a slate, A actions, S user classes, R rows, V variables of a programme, v new ones,
M rows of a programme, m new ones.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy import sparse

from allocator.constraints import LinearForm
from allocator.policy.words import share_of
from allocator.problem import Problem
from allocator.users import NONE

NARROW = 8.0
"""Counts of the whole between which a band has room for one count of the part: wider ones need no help."""
LARGEST = 10**6


@dataclass(frozen=True)
class Lattice:
    """One such share: its rows, its parts, and its bounds."""

    upper: int
    lower: int
    part: LinearForm
    whole: LinearForm
    low: Fraction
    high: Fraction

    def counts(self, klass_N: np.ndarray, slate_NK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(part, whole) of slates, padded with NONE, of users of these classes."""
        return _count(self.part, klass_N, slate_NK), _count(self.whole, klass_N, slate_NK)


@dataclass(frozen=True)
class MoreRows:
    """What a programme gets besides: rows over its N columns and over v new whole variables, all of them equalities or at most."""

    column_mN: sparse.csr_matrix
    new_mv: sparse.csr_matrix
    low_m: np.ndarray
    high_m: np.ndarray


def lattices(problem: Problem, users: int) -> tuple[Lattice, ...]:
    """The hard shares with bounds so near to each other that among so many users few counts meet them."""
    rows, found = problem.rows, []
    for position, each in enumerate(problem.measured):
        sides = np.flatnonzero(rows.constraint_R == position)
        if not each.rule.is_part or each.denominator is None:
            continue
        if len(sides) != 2 or np.isfinite(rows.penalty_R[sides]).any():
            continue
        low, high = share_of(each.bound("min")), share_of(each.bound("max"))
        if (high - low) * users < NARROW and max(low.denominator, high.denominator) <= LARGEST:
            upper, lower = sides[np.argsort(-rows.sign_R[sides])]
            found.append(Lattice(int(upper), int(lower), each.numerator, each.denominator, low, high))
    return tuple(found)


def more_rows(
    lattices: tuple[Lattice, ...], klass_N: np.ndarray, slate_NK: np.ndarray, left_R: np.ndarray
) -> MoreRows | None:
    """The rows of these shares over columns that are slates; left_R: what these may use of each row. None where there are none."""
    parts = [_rows_of(lattice, *lattice.counts(klass_N, slate_NK), left_R) for lattice in lattices]
    if not parts:
        return None
    return MoreRows(
        sparse.csr_matrix(np.concatenate([part[0] for part in parts])),
        sparse.csr_matrix(sparse.block_diag([part[1] for part in parts])),
        np.concatenate([part[2] for part in parts]),
        np.concatenate([part[3] for part in parts]),
    )


def _rows_of(
    lattice: Lattice, part_N: np.ndarray, whole_N: np.ndarray, left_R: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(over columns, over new variables, low, high)."""
    counts = np.stack([part_N, whole_N])
    if lattice.low == lattice.high:
        p, q = lattice.low.numerator, lattice.low.denominator
        first = np.array(_first(p, q, round(left_R[lattice.upper] * q)), float)
        return counts, np.array([[-p], [-q]], float), first, first
    bands = np.array([[1.0, -float(lattice.high)], [-1.0, float(lattice.low)]])
    return (
        np.concatenate([counts, np.zeros_like(counts)]),
        np.concatenate([-np.eye(2), bands]),
        np.array([0.0, 0.0, -np.inf, -np.inf]),
        np.array([0.0, 0.0, left_R[lattice.upper], left_R[lattice.lower]]),
    )


def _first(p: int, q: int, left: int) -> tuple[int, int]:
    """(k, t) with q k - p t = left, t in [0, q): the inverse of p modulo q finds it, since p / q is in lowest terms."""
    t = 0 if q == 1 else (-left * pow(p, -1, q)) % q
    return (left + p * t) // q, t


def _count(linear: LinearForm, klass_N: np.ndarray, slate_NK: np.ndarray) -> np.ndarray:
    count_N = np.zeros(len(slate_NK))
    for action_N in slate_NK.T.astype(np.int64):
        count_N += np.where(action_N == NONE, 0.0, linear.const_A[action_N])
    return count_N * linear.member_S[klass_N]
