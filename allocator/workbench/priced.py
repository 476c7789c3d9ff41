"""A policy on a sample of the users: prices, everybody's slate, and all sums with the error of sampling.

Axes: U users of the sample, F sums, R rows, A actions, P planes, K contacts of a slate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from allocator.assign.preassigned import Preassigned, preassign
from allocator.chance_constraints import prices_by_side
from allocator.constraints import CompiledConstraint
from allocator.lexicographic import floor_of
from allocator.policy.grammar import Policy
from allocator.policy.kinds.base import Side
from allocator.problem import Problem, build_problem, one_sided
from allocator.solve.dual import DualEvaluation, Users, evaluate_dual, slate_usage
from allocator.solve.prices import Scale, Step, find_prices, measure_scale, proves_contradiction
from allocator.solve.solution import Unsolvable
from allocator.solve.solver import SPECK, start_prices, worst_value
from allocator.users import NONE, Data, load_data
from allocator.workbench.sample import Sample
from allocator.workbench.sums import VALUE, UserSums, sums_at

TOLERANCE = 1e-7
"""Of the dual: what better prices could still gain, far below the error of sampling."""
AGAIN = 10 * TOLERANCE
"""The same where prices of a policy that this one is a change of are at hand: prices that an edit does not touch stay as they are."""
MOST_EVALUATIONS = 60
ROUGHLY = 1e-4
"""The same where only the size of something is asked for, in at most MOST_ROUGHLY evaluations."""
MOST_ROUGHLY = 20
FAR = 0.05
"""Of what a bound allows and what is used: a hard constraint that is broken by more, when prices cannot be improved, cannot be kept."""
MARGIN_ROUNDS = 6
MARGIN_MOVED = 1e-4
"""Of a standard error: by so little a certainty's margin moves at the end."""

Start = Mapping[tuple[str, str], float]
"""Prices by constraint id and side."""
Tell = Callable[[str], None]


class Cancelled(Exception):
    """Whoever asked does not want the answer any more; raised by what is told of the progress."""


@dataclass(frozen=True)
class SampledPolicy:
    """problem: over all users, the sample's arrays. slate_UK: of everybody in the sample. value: penalties for soft constraints paid.

    settled: whether better prices were shown to gain nothing; not so where most users tie.
    """

    policy: Policy
    problem: Problem
    data: Data
    sample: Sample
    price_R: np.ndarray
    slate_UK: np.ndarray
    value: float
    sums: UserSums
    evaluations: int
    settled: bool

    @cached_property
    def prices(self) -> Start:
        """By constraint id and side, those that are not nothing."""
        priced = prices_by_side(self.problem, self.price_R)
        return {side: price for side, price in priced.items() if price > 0}

    def binding(self, place: int) -> tuple[Side | None, float]:
        """The side of the constraint at this place that has a price, and the price of its row."""
        rows = self.problem.rows
        priced = [
            (float(self.price_R[row]), rows.side(row)) for row in np.flatnonzero(rows.constraint_R == place).tolist()
        ]
        price, side = max(priced, default=(0.0, None))
        return (side, price) if price > 0 else (None, 0.0)

    @property
    def contacts(self) -> tuple[np.ndarray, np.ndarray]:
        """(user of the sample, action) of every contact, sorted by user."""
        user_N, k_N = np.nonzero(self.slate_UK >= 0)
        return user_N, self.slate_UK[user_N, k_N].astype(np.int64)


def price_on_sample(
    sample: Sample,
    policy: Policy,
    previous: Path | None = None,
    start: Start | None = None,
    tell: Tell = lambda sentence: None,
    roughly: bool = False,
) -> SampledPolicy:
    """What an active policy, read against these scores, gives the users of the sample, and by estimate all of them.

    Bounds and totals are those of all users. Fallbacks are left out. roughly: prices from few evaluations, at which hard constraints may
    be broken. Raises Unsolvable where the constraints contradict each other on the sample, InputError where the scores cannot carry the
    policy.
    """
    with threadpool_limits(1):
        return _SampleRun(sample, policy, previous, tell, roughly).answer(start)


def price_problem(known: SampledPolicy, problem: Problem, tell: Tell = lambda sentence: None) -> SampledPolicy:
    """Another problem over the users of a policy that was priced before, with its preassigned contacts.

    Raises Unsolvable.
    """
    outside_U = known.data.group_U != 0
    given_UK = np.where(outside_U[:, None], known.slate_UK, NONE)
    user_N, k_N = np.nonzero(given_UK != NONE)
    chances = np.ones(len(user_N))
    given = Preassigned(user_N, given_UK[user_N, k_N].astype(np.int64), chances, np.zeros(len(user_N), np.int8))
    with threadpool_limits(1):
        return _SampleRun(known.sample, known.policy, None, tell).priced(problem, known.data, given, None)


@dataclass(frozen=True)
class _SampleRun:
    sample: Sample
    policy: Policy
    previous: Path | None
    tell: Tell
    roughly: bool = False

    def answer(self, start: Start | None) -> SampledPolicy:
        sample = self.sample
        problem = build_problem(
            sample.scores, self.policy, self.previous, weight_U=sample.weight_U, more=sample.scores.planes
        )
        planes_UPA = sample.planes(problem.planes)
        data, preassigned = preassign(problem, load_data(problem, sample.scores, planes_UPA=planes_UPA))
        for position, tier in enumerate(self.policy.tiers[:-1]):
            stage = problem.with_objective(tier.objective)
            reached = self.priced(stage, data, preassigned, start)
            floor = floor_of(stage, position, tier.floor(reached.sums.total(VALUE)))
            problem, start = problem.with_measured([*problem.measured, floor]), reached.prices
        return self.priced(problem, data, preassigned, start)

    def priced(self, problem: Problem, data: Data, preassigned: Preassigned, start: Start | None) -> SampledPolicy:
        """With the margins of certainties followed until they move no more."""
        found = self._at_margins(problem, data, preassigned, start)
        for _ in range(MARGIN_ROUNDS):
            followed, moved = _followed(found)
            if moved <= MARGIN_MOVED:
                break
            found = self._at_margins(problem.with_measured(followed), data, preassigned, found.prices)
        return found

    def _at_margins(self, problem: Problem, data: Data, preassigned: Preassigned, start: Start | None) -> SampledPolicy:
        weight_U = self.sample.weight_U
        users = replace(Users.of(problem, data), many_U=weight_U)
        given_UK = np.full((len(data), max(users.rules.most, _most(preassigned))), NONE, np.int16)
        preassigned.place(given_UK)
        outside_U = np.flatnonzero(data.group_U)
        used_R = weight_U[outside_U] @ slate_usage(users, outside_U, given_UK[outside_U])
        users = replace(users, limit_R=users.limit_R - used_R)
        scale = measure_scale(users, np.random.default_rng(0))
        evaluated, count, settled = self._evaluated(users, scale, start)
        slate_UK = given_UK
        inside_U = np.flatnonzero(data.group_U == 0)
        slate_UK[inside_U, : evaluated.slate_UK.shape[1]] = evaluated.slate_UK[inside_U]
        sums = sums_at(users, evaluated, slate_UK, used_R, scale, self.sample)
        return SampledPolicy(
            self.policy,
            problem,
            data,
            self.sample,
            evaluated.price_R,
            slate_UK,
            sums.total(VALUE),
            sums,
            count,
            settled,
        )

    def _evaluated(self, users: Users, scale: Scale, start: Start | None) -> tuple[DualEvaluation, int, bool]:
        lowest = cache(lambda: worst_value(users))

        def told(step: Step) -> None:
            self.tell("prices")

        tolerance, most = (AGAIN if start else TOLERANCE), MOST_EVALUATIONS
        if self.roughly:
            tolerance, most = ROUGHLY, MOST_ROUGHLY
        found = find_prices(
            users, start_prices(users.problem, start), scale, tolerance, most, np.random.default_rng(0), 0.1 if start else 1.0, lowest, told
        )  # fmt: skip
        if proves_contradiction(found.best.dual, lowest):
            raise Unsolvable("the prices grow without end on the sample", found.best.price_R)
        if not found.converged and not self.roughly and (broken := _broken(users, found.best)):
            raise Unsolvable(
                f"no prices were found on the sample at which {', '.join(broken)} hold", found.best.price_R
            )
        price_R = one_sided(users.problem, found.best.price_R)
        price_R = np.where(price_R > SPECK * scale.price_R, price_R, 0.0)
        same = (price_R == found.best.price_R).all()
        return found.best if same else evaluate_dual(users, price_R), len(found.steps), found.converged


def _broken(users: Users, evaluated: DualEvaluation) -> list[str]:
    """Hard constraints that are far from kept at the prices found."""
    rows = users.problem.rows
    beyond_R = evaluated.usage_R - users.limit_R
    far_R = ~np.isfinite(rows.penalty_R) & (beyond_R > FAR * (np.abs(users.limit_R) + np.abs(evaluated.usage_R)))
    return list(dict.fromkeys(users.problem.measured[place].rule.id for place in rows.constraint_R[far_R]))


def _most(preassigned: Preassigned) -> int:
    return int(np.bincount(preassigned.user_N).max(initial=1)) if len(preassigned.user_N) else 1


def _followed(found: SampledPolicy) -> tuple[list[CompiledConstraint], float]:
    """The constraints with the gradients of certainties at these contacts, and by how much the margins move at most, relative."""
    problem, moved, measured = found.problem, 0.0, []
    if not any(each.margin is not None for each in problem.measured):
        return list(problem.measured), 0.0
    user_N, action_N = found.contacts
    size = (len(problem.classes), len(problem.catalogue.actions))
    cell_N = found.data.class_U[user_N].astype(np.int64) * size[1] + action_N
    plane_NP = found.data.planes_UPA[user_N, :, action_N].astype(float) * found.sample.weight_U[user_N, None]
    sum_SPA = np.stack(
        [np.bincount(cell_N, plane_NP[:, p], size[0] * size[1]).reshape(size) for p in range(plane_NP.shape[1])], axis=1
    )
    for each in problem.measured:
        margin = each.margin
        if margin is None:
            measured.append(each)
            continue
        gradient = {}
        for side in each.sides:
            row = each.row(side)
            loads = margin.loads(row, sum_SPA)
            stderr = margin.errors.stderr_of(loads)
            before = margin.gradient.get(side) or margin.level(row)
            charged = sum(float(before[plane] @ load_A) for plane, load_A in loads.items())
            moved = max(moved, (stderr - charged) / stderr if stderr > 0 else 0.0)
            gradient[side] = margin.errors.gradient_at(loads)
        measured.append(replace(each, margin=replace(margin, gradient=gradient)))
    return measured, moved
