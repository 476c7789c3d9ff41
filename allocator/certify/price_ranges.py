"""How far a price holds: for each binding constraint the bounds between which a unit is worth its price within one per cent.

The best value v(b) as a function of one bound b has the price as its slope. The dual's curvature guesses how far b can move until
the slope changes (the price moves by the inverse curvature per unit); then the optimum is found again at the guess, at twice and at
half of it, and only what was seen to hold is stated. Small problems are solved again as linear programmes.

Others are solved again by the dual, beyond 10,000 users over a stratified sample. Its limits are moved a little, to where the prices
that were found are optimal, so that nothing has to be solved before. Only the users who are nearest to another choice may change
theirs: what the others could gain by it is left out, so v is at most too small away from b, and a range at most too short.

Axes: R rows, U users, S user classes, A actions, P planes, K contacts of a slate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from allocator.certify.contacts import contacts_in, tally
from allocator.constraints import CompiledConstraint
from allocator.solve.dual import DualEvaluation, Users, evaluate_dual
from allocator.solve.exact import Pairs, best_fractional, count_pairs, eligible_pairs
from allocator.solve.prices import Scale, Step, curvature, measure_scale, newton_step, sample_users
from allocator.solve.settings import SolveSettings
from allocator.users import UserActions

WITHIN = 0.009
"""Of the price: a little less than the one per cent that is stated."""
MOST_USERS = 2_000_000
SAMPLE_USERS = 10_000
NEAR_USERS = 1_000
STEP_USERS = 1_000
STEP_ROWS = 128
"""What the algebra of one step costs, in users evaluated, with so many rows or fewer."""
PART = 0.5
LEAST_WORK = 100_000
LINEAR_PAIRS = 4_000
"""Eligible user-action pairs up to which a bound is moved in the linear programme, which is then the quicker way."""
MOST_STEPS = 6


def price_ranges(
    users: Users,
    fixed: UserActions,
    price_R: np.ndarray,
    denominators: Sequence[float | None],
    steps: Sequence[Step],
    settings: SolveSettings,
) -> dict[int, tuple[float, float]]:
    """(lowest, highest) bound by position of the constraint, where a price's range could be seen; the most valuable first.

    fixed: the preassigned contacts. denominators: of the constraints, as certified. Solving again stops at
    a part of the work that pricing took (`steps`), so it is cheap and the same on every machine.
    """
    if not settings.price_ranges or not (price_R > 0).any() or len(users.data) > MOST_USERS:
        return {}
    work = _Work(max(PART * sum(step.users + STEP_USERS for step in steps), LEAST_WORK), len(price_R))
    if not work.think():
        return {}
    with threadpool_limits(1):
        again = _resolver(users, fixed, price_R, denominators, settings, work)
        priced = np.flatnonzero(price_R > 0).tolist()
        worth = {row: again.bounds.slope_R[row] * abs(again.bounds.bound(row)) for row in priced}
        found = {row: _range(again, row) for row in sorted(worth, key=lambda row: (-worth[row], row))}
    constraint_R = users.problem.rows.constraint_R
    return {int(constraint_R[row]): bounds for row, bounds in found.items() if bounds is not None}


@dataclass
class _Work:
    """What solving again may still cost, in users evaluated. rows: beyond some hundred the algebra of a step is what takes the time."""

    left: float
    rows: int

    def spend(self, users: int) -> bool:
        self.left -= users + STEP_USERS
        return self.left >= 0

    def think(self) -> bool:
        """Before the algebra of a step, which costs something of its own where there are many rows."""
        more = STEP_USERS * max((self.rows / STEP_ROWS) ** 2 - 1.0, 0.0)
        self.left -= more
        return not more or self.left >= 0


@dataclass(frozen=True)
class _Bounds:
    """The rows' bounds in their constraints' own units, and the users' problem with one of them moved.

    outside_R: by how much the room that is left to these users grows per unit of the bound; for a ratio that is its denominator's
    total over all contacts that are not theirs to choose, else 1. slope_R: what a unit is worth.
    """

    users: Users
    outside_R: np.ndarray
    slope_R: np.ndarray

    def measured(self, row: int) -> CompiledConstraint:
        return self.users.problem.measured[self.users.problem.rows.constraint_R[row]]

    def sign(self, row: int) -> float:
        return float(self.users.problem.rows.sign_R[row])

    def bound(self, row: int) -> float:
        return self.measured(row).bound(self.users.problem.rows.side(row))

    def most(self, row: int, loosen: bool) -> float:
        """By how much the bound can be loosened or tightened."""
        rises = loosen == (self.sign(row) > 0)
        if not rises:
            return abs(self.bound(row))
        return self.measured(row).rule.largest_bound - self.bound(row)

    def is_ratio(self, row: int) -> bool:
        return self.measured(row).denominator is not None

    def moved(self, row: int, step: float) -> Users:
        """With a max raised or a min lowered by `step`; a negative step tightens."""
        limit_R, problem, each = self.users.limit_R.copy(), self.users.problem, self.measured(row)
        limit_R[row] += step * self.outside_R[row]
        if self.is_ratio(row):
            measured = list(problem.measured)
            moved = each.with_bound(problem.rows.side(row), self.bound(row) + self.sign(row) * step)
            measured[problem.rows.constraint_R[row]] = moved
            problem = problem.with_measured(measured)
        return replace(self.users, problem=problem, limit_R=limit_R)


def _denominators(users: Users, contacts: UserActions) -> np.ndarray:
    """float64[R]: totals of the ratios' denominators over these contacts, sorted by user; 0 for other rows."""
    problem = users.problem
    counted = tally(problem, users.data, *contacts).weighted(users.weight_S)
    totals = [0.0 if each.denominator is None else each.denominator.total(counted) for each in problem.measured]
    return np.array(totals)[problem.rows.constraint_R]


class _Resolver(Protocol):
    """Finds the optimum again after a bound has moved."""

    bounds: _Bounds

    def holds(self, row: int, step: float) -> bool:
        """Whether the best value was seen to change by `step` times what a unit is worth, within one per cent."""

    def guess(self, row: int) -> float:
        """A step after which the price of the row may be about one per cent off."""


def _resolver(
    users: Users,
    fixed: UserActions,
    price_R: np.ndarray,
    denominators: Sequence[float | None],
    settings: SolveSettings,
    work: _Work,
) -> _Resolver:
    scale = measure_scale(users, np.random.default_rng(settings.seed))
    fixed_R = _denominators(users, fixed)
    if len(users.data) > SAMPLE_USERS:
        sample = sample_users(users, SAMPLE_USERS, np.random.default_rng(settings.seed))
        return _dual(sample, fixed_R, price_R, None, scale, settings, work)
    slope_R = price_R * np.array([_room(each) for each in denominators])[users.problem.rows.constraint_R]
    if count_pairs(users.data) <= LINEAR_PAIRS:
        return _linear(_Bounds(users, _rooms(users, fixed_R), slope_R), scale, settings, work)
    return _dual(users, fixed_R, price_R, slope_R, scale, settings, work)


def _room(denominator: float | None) -> float:
    return 1.0 if denominator is None else abs(denominator)


def _rooms(users: Users, denominator_R: np.ndarray) -> np.ndarray:
    ratio = np.array([each.denominator is not None for each in users.problem.measured])
    return np.where(ratio[users.problem.rows.constraint_R], denominator_R, 1.0)


def _range(again: _Resolver, row: int) -> tuple[float, float] | None:
    """In the bound's own unit; where it counts, whole numbers inside."""
    bounds = again.bounds
    if not bounds.slope_R[row] > 0:
        return None
    tighter, looser = (_reach(again, row, side, bounds.most(row, loosen=side > 0)) for side in (-1.0, 1.0))
    down, up = (tighter, looser) if bounds.sign(row) > 0 else (looser, tighter)
    low, high = bounds.bound(row) - down, bounds.bound(row) + up
    if bounds.measured(row).whole:
        low, high = float(np.ceil(low - 1e-9)), float(np.floor(high + 1e-9))
    return (float(low), float(high)) if high > low else None


def _reach(again: _Resolver, row: int, direction: float, most: float) -> float:
    """The longest step seen after which the slope is still the price: from the guess up or down by factors of two.

    v is concave in the bound of a volume or a total, so what holds after a step held all the way; for a ratio it need not be, so
    the way is taken in smaller steps.
    """
    step, good = min(again.guess(row), most), 0.0
    if not step > 0:  # a bound of nothing cannot be tightened
        return 0.0
    if again.bounds.is_ratio(row):
        return _reach_by_steps(again, row, direction, most, step / 8.0)
    for _ in range(4):
        if step > most or not again.holds(row, direction * step):
            break
        good, step = step, 2.0 * step
    for _ in range(3 if not good else 0):
        step /= 2.0
        if again.holds(row, direction * step):
            return step
    return good


def _reach_by_steps(again: _Resolver, row: int, direction: float, most: float, step: float) -> float:
    good = 0.0
    for _ in range(8):
        if good + step > most or not again.holds(row, direction * (good + step)):
            return good
        good, step = good + step, max(step, 0.5 * good)
    return good


@dataclass
class _Linear:
    """Small problems: the linear programme of all pairs."""

    bounds: _Bounds
    pairs: Pairs
    scale: Scale
    seconds: float
    work: _Work
    value: float

    def holds(self, row: int, step: float) -> bool:
        if not self.work.spend(STEP_USERS):
            return False
        moved = self.bounds.moved(row, step)
        pairs = self.pairs if moved.problem is self.bounds.users.problem else eligible_pairs(moved)
        value = best_fractional(moved, pairs, self.scale.usage_R, self.seconds)
        return value is not None and abs((value - self.value) / (step * self.bounds.slope_R[row]) - 1.0) <= WITHIN

    def guess(self, row: int) -> float:
        return 1.0 if self.bounds.measured(row).whole else 0.01 * abs(self.bounds.bound(row))


def _linear(bounds: _Bounds, scale: Scale, settings: SolveSettings, work: _Work) -> _Linear:
    pairs = eligible_pairs(bounds.users)
    value = best_fractional(bounds.users, pairs, scale.usage_R, settings.seconds)
    return _Linear(bounds, pairs, scale, settings.seconds, work, np.nan if value is None else value)


@dataclass
class _Dual:
    """Larger ones: Newton steps on the dual from its optimum at the bounds as they are, with the curvature there."""

    bounds: _Bounds
    base: DualEvaluation
    hessian: np.ndarray
    scale: Scale
    work: _Work
    free_R: np.ndarray = field(init=False)
    inverse: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        """inverse: of the curvature in the rows whose prices are free to move, 0 elsewhere."""
        self.free_R = (self.base.price_R > 0) & (self.base.price_R < self.penalty_R)
        inside = np.ix_(self.free_R, self.free_R)
        self.inverse = np.zeros_like(self.hessian)
        self.inverse[inside] = np.linalg.pinv(self.hessian[inside], hermitian=True)

    @property
    def penalty_R(self) -> np.ndarray:
        return self.bounds.users.problem.rows.penalty_R

    def guess(self, row: int) -> float:
        """The price falls by the inverse curvature for each unit of room."""
        softness, room = self.inverse[row, row], self.bounds.slope_R[row] / self.base.price_R[row]
        if softness > 0:
            return 1.5 * WITHIN * self.base.price_R[row] / softness / room
        return 0.02 * abs(self.bounds.bound(row))

    def holds(self, row: int, step: float) -> bool:
        moved, wanted = self.bounds.moved(row, step), step * self.bounds.slope_R[row]
        least, enough = wanted - WITHIN * abs(wanted), 0.001 * abs(wanted)
        best, radius = self._before(moved, row, step), 0.3
        for _ in range(MOST_STEPS):
            if best.dual - self.base.dual < least:  # and it can only fall further
                return False
            if not self.work.think():
                return False
            toward_R, decrease = self._newton(best, moved.limit_R, radius)
            if decrease < enough:
                return best.dual - self.base.dual <= wanted + WITHIN * abs(wanted)
            if not self.work.spend(len(moved.data)):
                return False
            trial = evaluate_dual(moved, best.price_R + toward_R)
            if trial.dual < best.dual:
                best = trial
            else:
                radius *= 0.3
        return False

    def _before(self, moved: Users, row: int, step: float) -> DualEvaluation:
        """The moved problem at the prices as they were."""
        if moved.problem is not self.bounds.users.problem:
            return evaluate_dual(moved, self.base.price_R)
        return replace(self.base, dual=self.base.dual + step * self.base.price_R[row])

    def _newton(self, best: DualEvaluation, limit_R: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
        """The step of the model and by how much it lowers the dual; in the rows that are free alone, where that does."""
        gradient_R = limit_R - best.usage_R
        box_R = radius * self.scale.price_R
        low_R, high_R = np.maximum(-box_R, -best.price_R), np.minimum(box_R, self.penalty_R - best.price_R)
        step_R = -self.inverse @ gradient_R
        slope_R = gradient_R + self.hessian @ step_R
        stays_R = self.free_R | ((best.price_R == 0) & (slope_R >= 0)) | ((best.price_R > 0) & (slope_R <= 0))
        if stays_R.all() and (step_R >= low_R).all() and (step_R <= high_R).all():
            return step_R, -0.5 * float(gradient_R @ step_R)
        return newton_step(gradient_R, self.hessian, low_R, high_R, self.scale)


def _dual(
    users: Users,
    fixed_R: np.ndarray,
    price_R: np.ndarray,
    slope_R: np.ndarray | None,
    scale: Scale,
    settings: SolveSettings,
    work: _Work,
) -> _Dual:
    """Over the users nearest to another choice. slope_R: what a unit is worth; None for a sample, where it is what it is worth there."""
    evaluated = evaluate_dual(users, price_R)
    hessian = curvature(users, evaluated, 0.02 * scale.value, scale, np.random.default_rng(settings.seed))
    near = replace(users, data=users.data.take(np.sort(np.argsort(evaluated.margin_U, kind="stable")[:NEAR_USERS])))
    base = evaluate_dual(near, price_R)
    near = replace(near, limit_R=_centred(users, evaluated) - (evaluated.usage_R - base.usage_R))
    base = replace(base, dual=base.dual + float((near.limit_R - users.limit_R) @ price_R))
    chosen_R = fixed_R + _denominators(users, contacts_in(evaluated.slate_UK))
    outside_R = _rooms(users, chosen_R - _denominators(near, contacts_in(base.slate_UK)))
    if slope_R is None:
        slope_R = price_R * np.maximum(_rooms(users, chosen_R), 0.0)
    work.left -= 2 * len(users.data)
    return _Dual(_Bounds(near, outside_R, slope_R), base, hessian, scale, work)


def _centred(users: Users, evaluated: DualEvaluation) -> np.ndarray:
    """Limits at which the prices of a dual evaluation are optimal: a price is free to move where exactly as much is used as there is."""
    price_R, limit_R, usage_R = evaluated.price_R, users.limit_R, evaluated.usage_R
    above = np.where(price_R > 0, usage_R, np.maximum(limit_R, usage_R))
    return np.where(price_R >= users.problem.rows.penalty_R, np.minimum(limit_R, usage_R), above)
