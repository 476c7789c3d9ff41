"""Constraints that hold with a probability: solved as linear rows whose gradients follow the allocation, round after round.

A side with a certainty asks for `mean + z * standard error <= max`, or `mean - z * standard error >= min` (`errors_of_sums`). Its rows
are cuts: linear rows at the gradients of the standard errors of the allocations found so far. Each is an outer approximation, so the
dual value of all cuts bounds what any allocation is worth that keeps the constraint (Kelley, The cutting-plane method for solving
convex programs, 1960). Where an allocation still breaks the constraint, its limit is drawn in; the bound is stated for the limit itself.

At the end the cuts of a side are one row again: with the sum of their prices, and the mean of their gradients by price. Its net values and
its dual are those of the cuts, so a certificate needs one multiplier and one gradient.

Axes: A actions, P planes, R rows, K contacts of a slate.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from allocator.certify.contacts import tally_all
from allocator.constraints import CompiledConstraint
from allocator.policy.kinds.base import Side
from allocator.problem import Problem
from allocator.solve.solution import Solution, Unsolvable
from allocator.tally import Tally
from allocator.users import Data, UserActions

MOST_ROUNDS = 12
SOFT_ROUNDS = 4
"""A soft constraint has one row, since each row would cost its penalty. Its gradient is the mean of those found, so many times at most."""
NEAR = 1e-5
"""Of the sums: a soft row that charges so much less than its standard error charges enough."""
CUTS = 3
"""Rounds that only add a cut; after them limits are drawn in too."""
KEPT = 1e-10
"""Of the sums: what counts as rounding."""
BEYOND = 1.2
"""Times what an allocation breaks a limit by: how far it is drawn in; each time at least as far as before."""
NOT_KEPT = "no allocation of whole contacts that keeps {names} with its certainty"
Place = tuple[int, Side]
"""A side of the constraint at this position."""
Prices = Mapping[tuple[str, str], float]
"""By constraint id and side."""
Solve = Callable[[Problem, Prices | None], Solution]


class Refuted(Exception):
    """No allocation keeps the constraints of `problem`, whose rows are those that the proof speaks of."""

    def __init__(self, problem: Problem, unsolvable: Unsolvable):
        self.problem, self.unsolvable = problem, unsolvable
        super().__init__(str(unsolvable))


Gradient = Mapping[int, np.ndarray]
"""Plane of a metric's mean -> float64[A]."""


@dataclass(frozen=True)
class _Broken:
    """By how much an allocation is beyond a hard limit, or a soft row charges too little, in units of the row; and the gradient there."""

    excess: float
    gradient: Gradient


@dataclass(frozen=True)
class _Cuts:
    """The rows of every side with a certainty: one of its own, and further ones as constraints with that side alone."""

    problem: Problem
    own: Mapping[Place, Gradient]
    more: tuple[tuple[Place, Gradient], ...] = ()
    tightened: Mapping[Place, float] = field(default_factory=dict)

    @staticmethod
    def of(problem: Problem) -> "_Cuts":
        own = {
            (position, side): each.margin.gradient.get(side) or each.margin.level(each.row(side))
            for position, each in enumerate(problem.measured)
            if each.margin is not None
            for side in each.sides
        }
        return _Cuts(problem, own)

    def stage(self) -> Problem:
        """The problem with all rows."""
        alone = [self._alone(number, *cut) for number, cut in enumerate(self.more)]
        return self.problem.with_measured([*self._bases(), *alone])

    def _bases(self) -> Iterator[CompiledConstraint]:
        for position, each in enumerate(self.problem.measured):
            gradient = {side: self.own[position, side] for side in each.sides if each.margin is not None}
            yield self._with(each, position, gradient) if gradient else each

    def _alone(self, number: int, place: Place, gradient: Gradient) -> CompiledConstraint:
        position, side = place
        each = self.problem.measured[position]
        one = replace(each, low=None) if side == "max" else replace(each, high=None)
        named = each.rule.model_copy(update={"id": f"{each.rule.id}, cut {number}"})
        return self._with(replace(one, rule=named), position, {side: gradient})

    def _with(self, each: CompiledConstraint, position: int, gradient: Mapping[Side, Gradient]) -> CompiledConstraint:
        if each.margin is None:
            return each
        tightened = {side: self.tightened.get((position, side), 0.0) for side in gradient}
        return replace(each, margin=replace(each.margin, gradient=gradient, tightened=tightened))

    def after(self, broken: Mapping[Place, _Broken], round_: int) -> "_Cuts":
        """With a cut where a hard side is broken, a new gradient where a soft one is; and limits drawn in, once enough cuts are there."""
        own, more, tightened = dict(self.own), list(self.more), dict(self.tightened)
        for place, found in broken.items():
            if np.isfinite(self.problem.measured[place[0]].penalty):
                part = 1 / (round_ + 1)
                own[place] = {plane: g + part * (found.gradient[plane] - g) for plane, g in own[place].items()}
                continue
            more.append((place, found.gradient))
            if round_ >= CUTS:
                before = tightened.get(place, 0.0)
                tightened[place] = before + max(BEYOND * found.excess, before)
        return replace(self, own=own, more=tuple(more), tightened=tightened)

    def as_one(self, price_R: np.ndarray) -> tuple[Problem, np.ndarray, float]:
        """The problem with one row per side again, its prices, and what the dual gains as limits are no longer drawn in."""
        stage, count = self.stage(), len(self.problem.measured)
        rows, own, gained = stage.rows, dict(self.own), 0.0
        merged_R = price_R[rows.constraint_R < count].copy()
        for place, gradient in self.own.items():
            row, cuts = self._rows(stage, place)
            every = [(gradient, price_R[row]), *((self.more[cut][1], price_R[at]) for cut, at in cuts)]
            price = float(sum(each for _, each in every))
            merged_R[row] = price
            gained += price * self.tightened.get(place, 0.0)
            if price > 0:
                own[place] = {plane: sum(each * g[plane] for g, each in every) / price for plane in gradient}
            else:
                own[place] = every[-1][0]
        return replace(self, own=own, more=(), tightened={}).stage(), merged_R, gained

    def _rows(self, stage: Problem, place: Place) -> tuple[int, list[tuple[int, int]]]:
        """A side's own row, and (cut, row) of each further one."""
        position, side = place
        rows, count = stage.rows, len(self.problem.measured)
        own = next(row for row in np.flatnonzero(rows.constraint_R == position).tolist() if rows.side(row) == side)
        cuts = [cut for cut, (at, _) in enumerate(self.more) if at == place]
        return own, [(cut, int(np.flatnonzero(rows.constraint_R == count + cut)[0])) for cut in cuts]


def solve_with_margins(
    problem: Problem, data: Data, fixed: UserActions, start: Prices | None, solve: Solve
) -> tuple[Problem, Solution]:
    """Solves a problem whose constraints may have certainties.

    Args:
        problem, data, fixed: as for `solver.solve`, which `solve` calls for a problem and first prices.
        start: prices to begin with, by constraint id and side.

    Returns:
        The problem with the gradients at which the prices of the solution prove its bound, and the solution.

    Raises:
        Refuted: no allocation keeps every hard constraint, or none was found that keeps their certainties.
    """
    cuts = _Cuts.of(problem)
    if not cuts.own:
        try:
            return problem, solve(problem, start)
        except Unsolvable as error:
            raise Refuted(problem, error) from None
    for round_ in range(MOST_ROUNDS):
        stage = cuts.stage()
        try:
            solution = solve(stage, start)
        except Unsolvable as error:
            raise _refuted(cuts, error) from None
        broken = broken_by(stage, tally_all(problem, data, fixed, solution.slate_UK), cuts.own)
        hard = {place for place in broken if not np.isfinite(problem.measured[place[0]].penalty)}
        if not hard and (not broken or round_ >= SOFT_ROUNDS):
            break
        start = prices_by_side(stage, solution.price_R)
        cuts = cuts.after(broken, round_)
    else:
        names = ", ".join(problem.measured[position].rule.id for position, _ in hard)
        raise _refuted(cuts, Unsolvable(NOT_KEPT.format(names=names), solution.price_R, proven=False))
    one, price_R, gained = cuts.as_one(solution.price_R)
    drawn_in = any(cuts.tightened.values())
    whole = np.inf if drawn_in else solution.whole_bound
    return one, replace(solution, price_R=price_R, dual=solution.dual + gained, whole_bound=whole)


def _refuted(cuts: _Cuts, error: Unsolvable) -> Refuted:
    size, known = len(cuts.stage().rows), error.price_R
    price_R = known if len(known) == size else np.zeros(size)
    one, merged_R, _ = cuts.as_one(price_R)
    proven = error.proven and not any(cuts.tightened.values())
    return Refuted(one, Unsolvable(error.proven_by, merged_R, proven=proven))


def broken_by(stage: Problem, counted: Tally, places: Iterable[Place]) -> dict[Place, _Broken]:
    """The hard sides with a certainty that these sums break, and the soft ones whose rows charge too little for them."""
    found = {}
    for position, side in places:
        each = stage.measured[position]
        if each.margin is None:
            continue
        over, size = each.beyond(side, counted)
        loads, least = each.margin.loads(each.row(side), counted.sum_SPA), KEPT
        if np.isfinite(each.penalty):
            charged = sum(float(g @ loads[plane]) for plane, g in each.margin.gradient[side].items())
            over, least = each.margin.z * (each.margin.errors.stderr_of(loads) - charged), NEAR
        if over > least * size:
            found[position, side] = _Broken(over, each.margin.errors.gradient_at(loads))
    return found


def prices_by_side(stage: Problem, price_R: np.ndarray) -> Prices:
    """By constraint id and side, as the next solution begins with them."""
    rows = stage.rows
    ids = [stage.measured[position].rule.id for position in rows.constraint_R]
    return {(name, rows.side(row)): float(price_R[row]) for row, name in enumerate(ids)}
