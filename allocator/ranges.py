"""How far a price holds: for each binding volume or total the bounds between which a unit is worth its price within one per cent.

The best value v(b) as a function of one bound b is concave, and the price is its slope. The dual's curvature guesses how far b can move
until the slope changes (the price moves by the inverse curvature per unit); then the optimum is found again at the guess, at twice and
at half of it, and only what was seen to hold is stated. Small problems are solved again as linear programmes, others by the dual, from
10,000 users on over a stratified sample.

Axes: R rows, U users.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from allocator.solve.exact import Pairs, best_fractional, count_pairs, eligible_pairs
from allocator.solve.passes import Pass, Users, sweep
from allocator.solve.prices import Scale, Step, curvature, find_prices, measure_scale, newton_step, sample_users
from allocator.solve.settings import SolveSettings

WITHIN = 0.009
"""Of the price: a little less than the one per cent that is stated."""
MOST_USERS = 2_000_000
ALL_USERS = 10_000
SAMPLE_USERS = 10_000
STEP_USERS = 5_000
"""What the algebra of one step costs, in users swept."""
LEAST_WORK = 500_000
MOST_STEPS = 6


def price_ranges(
    users: Users, price_R: np.ndarray, steps: Sequence[Step], settings: SolveSettings
) -> dict[int, tuple[float, float]]:
    """(lowest, highest) bound by row, for rows with a price whose range could be seen; the most valuable rows first.

    Re-solving stops at half of the work that pricing took (`steps`), so it is cheap and the same on every machine.
    """
    rows = users.problem.rows
    wanted = [
        row for row in np.flatnonzero(price_R > 0) if users.problem.measured[rows.constraint_R[row]].denominator is None
    ]
    if not settings.price_ranges or not wanted or len(users.data) > MOST_USERS:
        return {}
    work = max(0.5 * sum(step.users + 6 * STEP_USERS for step in steps), LEAST_WORK)
    with threadpool_limits(1):
        again = _resolver(users, price_R, settings, _Work(work))
        worth = {row: float(again.price_R[row] * abs(rows.limit_R[row])) for row in wanted}
        found = {int(row): _range(users, again, row) for row in sorted(wanted, key=lambda row: (-worth[row], row))}
    return {row: bounds for row, bounds in found.items() if bounds is not None}


@dataclass
class _Work:
    """What re-solving may still cost, in users swept."""

    left: float

    def spend(self, users: int) -> bool:
        self.left -= users + STEP_USERS
        return self.left >= 0


class _Resolver(Protocol):
    """Finds the optimum again after a limit has moved."""

    price_R: np.ndarray

    def change(self, row: int, step: float) -> float | None:
        """By how much the best value changes if limit_R[row] moves by `step`; None where it could not be found well enough."""

    def guess(self, row: int) -> float:
        """A step after which the price of the row may be about one per cent off."""


def _resolver(users: Users, price_R: np.ndarray, settings: SolveSettings, work: _Work) -> _Resolver:
    scale = measure_scale(users, np.random.default_rng(settings.seed))
    if len(users.data) <= ALL_USERS:
        if count_pairs(users.data) <= settings.exact_cells:
            return _linear(users, price_R, scale, settings, work)
        return _dual(users, price_R, scale, settings, work, price_R)
    sample = sample_users(users, SAMPLE_USERS, np.random.default_rng(settings.seed))
    return _dual(sample, price_R, scale, settings, work, None)


def _range(users: Users, again: _Resolver, row: int) -> tuple[float, float] | None:
    """In the bound's own unit; a volume's as whole numbers inside."""
    rows = users.problem.rows
    if not again.price_R[row] > 0:
        return None
    tighter, looser = _reach(again, row, -1.0, abs(rows.limit_R[row])), _reach(again, row, 1.0, np.inf)
    bound = float(rows.sign_R[row] * rows.limit_R[row])
    low, high = (bound - tighter, bound + looser) if rows.sign_R[row] > 0 else (bound - looser, bound + tighter)
    if users.problem.measured[rows.constraint_R[row]].whole:
        low, high = max(float(np.ceil(low - 1e-9)), 0.0), float(np.floor(high + 1e-9))
    return (float(low), float(high)) if high > low else None


def _reach(again: _Resolver, row: int, direction: float, most: float) -> float:
    """The longest step seen after which the slope is still the price: from the guess up or down by factors of two."""
    step, good = min(again.guess(row), most), 0.0
    for _ in range(4):
        if step > most or not _holds(again, row, direction * step):
            break
        good, step = step, 2.0 * step
    for _ in range(3 if not good else 0):
        step /= 2.0
        if _holds(again, row, direction * step):
            return step
    return good


def _holds(again: _Resolver, row: int, step: float) -> bool:
    change = again.change(row, step)
    return change is not None and abs(change / (step * again.price_R[row]) - 1.0) <= WITHIN


@dataclass
class _Linear:
    """Small problems: the linear programme of all pairs."""

    users: Users
    pairs: Pairs
    price_R: np.ndarray
    scale: Scale
    seconds: float
    work: _Work
    value: float

    def change(self, row: int, step: float) -> float | None:
        if not self.work.spend(STEP_USERS):
            return None
        limit_R = self.users.limit_R.copy()
        limit_R[row] += step
        moved = best_fractional(replace(self.users, limit_R=limit_R), self.pairs, self.scale.usage_R, self.seconds)
        return None if moved is None else moved - self.value

    def guess(self, row: int) -> float:
        counts = self.users.problem.rows.quantum_R[row] == 1.0
        return 1.0 if counts else 0.01 * abs(self.users.problem.rows.limit_R[row])


def _linear(users: Users, price_R: np.ndarray, scale: Scale, settings: SolveSettings, work: _Work) -> _Linear:
    pairs = eligible_pairs(users)
    value = best_fractional(users, pairs, scale.usage_R, settings.seconds)
    return _Linear(users, pairs, price_R, scale, settings.seconds, work, np.nan if value is None else value)


@dataclass
class _Dual:
    """Larger ones: Newton steps on the dual from the prices at hand, with the curvature there."""

    users: Users
    base: Pass
    price_R: np.ndarray
    scale: Scale
    work: _Work
    hessian: np.ndarray
    softness_R: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        free_R = (self.base.price_R > 0) & (self.base.price_R < self.users.problem.rows.penalty_R)
        self.softness_R = np.zeros(len(free_R))
        inverse = np.linalg.pinv(self.hessian[np.ix_(free_R, free_R)], hermitian=True)
        self.softness_R[free_R] = np.maximum(np.diag(inverse), 0.0)

    def guess(self, row: int) -> float:
        if self.softness_R[row] > 0:
            return 1.5 * WITHIN * self.base.price_R[row] / self.softness_R[row]
        return 0.02 * abs(self.users.problem.rows.limit_R[row])

    def change(self, row: int, step: float) -> float | None:
        limit_R = self.users.limit_R.copy()
        limit_R[row] += step
        moved = replace(self.users, limit_R=limit_R)
        best = replace(self.base, dual=self.base.dual + step * self.base.price_R[row])
        enough, radius = 0.001 * abs(step) * self.price_R[row], 0.3
        for _ in range(MOST_STEPS):
            toward_R, decrease = self._newton(best, limit_R, radius)
            if decrease < enough:
                return best.dual - self.base.dual
            if not self.work.spend(len(self.users.data)):
                return None
            trial = sweep(moved, best.price_R + toward_R)
            if trial.dual < best.dual:
                best = trial
            else:
                radius *= 0.3
        return None

    def _newton(self, best: Pass, limit_R: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
        box_R = radius * self.scale.price_R
        room_R = self.users.problem.rows.penalty_R - best.price_R
        low_R, high_R = np.maximum(-box_R, -best.price_R), np.minimum(box_R, room_R)
        return newton_step(limit_R - best.usage_R, self.hessian, low_R, high_R, self.scale)


def _dual(
    users: Users, start_R: np.ndarray, scale: Scale, settings: SolveSettings, work: _Work, price_R: np.ndarray | None
) -> _Dual:
    """From the optimum of these users; price_R: what slopes are compared with, the prices found here where it is None."""
    generator = np.random.default_rng(settings.seed)
    found = find_prices(users, start_R, scale, 1e-8, 8, generator, 0.03)
    work.left -= sum(step.users + 6 * STEP_USERS for step in found.steps)
    hessian = curvature(users, found.best, 0.02 * scale.value, scale, generator)
    return _Dual(users, found.best, found.best.price_R if price_R is None else price_R, scale, work, hessian)
