"""The whole curve of one budget: under per-user rules and one budget alone, every user's best slates at every price, and their sums.

At the price p of the budget each user takes the slate with the largest value - p * cost. As p falls from infinity to nothing a user passes
along the upper hull of (cost, value) over the slates, so the sums over users pass along the exact curve of the linear relaxation: between
two neighbouring breakpoints one user mixes two slates (the multiple-choice knapsack's path: Sinha and Zoltners, 1979; Zemel, 1984).
Hulls are found by halving: where two slates of a user tie at a price, the best slate at that price is on the hull between them.

Axes: U users, A actions, P planes, S user classes, K contacts of a slate, N hull edges.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from allocator.constraints import rows_of
from allocator.problem import Problem
from allocator.solve.dual import Users, evaluate_dual
from allocator.users import FREE, NONE, Data
from allocator.workbench.priced import SampledPolicy

MOST_LEVELS = 60
SAME = 1e-6
"""Of a user's largest net value: slates that are no better than the line between their neighbours, in single precision."""


@dataclass(frozen=True)
class BudgetPath:
    """The curve from what is spent before anything is chosen. price_N, descending: at which an edge is taken; spent_N, value_N: after it.

    Both begin with the point before the first edge, so they have one entry more.
    """

    price_N: np.ndarray
    spent_N: np.ndarray
    value_N: np.ndarray

    def at(self, budget: float) -> float:
        """What a budget brings at most; between two breakpoints one user's slates are mixed."""
        return float(np.interp(budget, self.spent_N, self.value_N))


def has_path(found: SampledPolicy) -> bool:
    """Whether the policy is one budget over per-user rules: one enforced maximum of a sum that no contact lowers, and nothing else."""
    problem = found.problem
    enforced = [each for each in problem.measured if each.enforced]
    if len(enforced) != 1 or problem.policy.tiers or problem.policy.fallback is not None:
        return False
    (budget,) = enforced
    plain = budget.denominator is None and budget.margin is None and budget.low is None and budget.high is not None
    summed = plain and not budget.numerator.kept and budget.numerator.reach_A is None and np.isinf(budget.penalty)
    return bool(summed and (_costs(found)[found.data.eligible_UA] >= 0).all())


def budget_path(found: SampledPolicy) -> BudgetPath:
    """The curve of the budget over all users that the sample stands for."""
    data, weight_U = found.data, found.sample.weight_U
    value_UA, cost_UA = found.problem.worth_of_all(data.planes_UPA.astype(float)), _costs(found)
    outside_U = data.group_U != FREE
    given_UK = np.where(outside_U[:, None], found.slate_UK, NONE)
    base_cost = float(weight_U @ _sums(cost_UA, given_UK))
    base_value = float(weight_U @ _sums(value_UA, given_UK))
    user_N, cost_N, value_N = _edges(found.problem, data, value_UA, cost_UA)
    price_N = np.divide(value_N, cost_N, out=np.full(len(cost_N), np.inf), where=cost_N > 0)
    order_N = np.lexsort((user_N, -price_N))
    weight_N = weight_U[user_N[order_N]]
    spent_N = base_cost + np.concatenate([[0.0], np.cumsum(weight_N * cost_N[order_N])])
    gained_N = base_value + np.concatenate([[0.0], np.cumsum(weight_N * value_N[order_N])])
    return BudgetPath(price_N[order_N], spent_N, gained_N)


def _costs(found: SampledPolicy) -> np.ndarray:
    """float64[U, A]: what each contact uses of the budget."""
    budget = next(each for each in found.problem.measured if each.enforced).numerator
    cost_UA = budget.const_A + np.einsum("upa,pa->ua", found.data.planes_UPA.astype(float), budget.plane_PA)
    return cost_UA * budget.member_S[found.data.class_U][:, None]


def _edges(
    problem: Problem, data: Data, value_UA: np.ndarray, cost_UA: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(user, cost, value) of every edge of the users' hulls, from the cheapest slate to the most valuable one."""
    everyone = np.flatnonzero((data.group_U == FREE) & data.eligible_UA.any(axis=1))
    free = _Free(problem, data, value_UA, cost_UA)
    highest = free.best(everyone, np.zeros(len(everyone)))
    cheapest = free.cheapest(everyone)
    start = (_sums(cost_UA[everyone], cheapest), _sums(value_UA[everyone], cheapest))
    end = (_sums(cost_UA[everyone], highest), _sums(value_UA[everyone], highest))
    edges = list(free.between(everyone, *start, *end))
    nothing = everyone[start[1] > 0]
    first = (nothing, np.zeros(len(nothing)), start[1][start[1] > 0])  # what costs nothing is taken at any price
    parts = [first, *edges]
    return tuple(np.concatenate([part[column] for part in parts]) for column in range(3))  # type: ignore[return-value]


@dataclass(frozen=True)
class _Free:
    """Best slates of some users at a price of each one's own, within the contact rules."""

    problem: Problem
    data: Data
    value_UA: np.ndarray
    cost_UA: np.ndarray

    def best(self, who_U: np.ndarray, price_U: np.ndarray) -> np.ndarray:
        """int16[U, K]: the slates with the largest value - price * cost."""
        return self._solved(who_U, self.value_UA[who_U] - price_U[:, None] * self.cost_UA[who_U])

    def cheapest(self, who_U: np.ndarray) -> np.ndarray:
        """The most valuable slates of contacts that cost nothing."""
        return self._solved(who_U, np.where(self.cost_UA[who_U] > 0, -1.0, self.value_UA[who_U]))

    def _solved(self, who_U: np.ndarray, net_UA: np.ndarray) -> np.ndarray:
        actions = net_UA.shape[1]
        bare = replace(
            self.problem,
            planes=(("mean", "net"),),
            value_A=np.zeros(actions),
            value_PA=np.ones((1, actions)),
            measured=(),
            rows=rows_of((), 1, actions, len(self.problem.classes)),
        )
        asked = replace(self.data.take(who_U), planes_UPA=np.ascontiguousarray(net_UA[:, None, :], np.float32))
        return evaluate_dual(Users.of(bare, asked), np.zeros(0)).slate_UK

    def between(
        self, who_U: np.ndarray, cost_U: np.ndarray, value_U: np.ndarray, more_U: np.ndarray, worth_U: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The edges from (cost, value) to (more, worth), part by part."""
        for _ in range(MOST_LEVELS):
            apart = (more_U > cost_U) & (worth_U > value_U)
            who_U, cost_U, value_U, more_U, worth_U = (
                each[apart] for each in (who_U, cost_U, value_U, more_U, worth_U)
            )
            if not len(who_U):
                return
            price_U = (worth_U - value_U) / (more_U - cost_U)
            slate_UK = self.best(who_U, price_U)
            middle_U, gained_U = _sums(self.cost_UA[who_U], slate_UK), _sums(self.value_UA[who_U], slate_UK)
            line_U = worth_U - price_U * more_U
            above_U = gained_U - price_U * middle_U > line_U + SAME * np.maximum(np.abs(worth_U), 1e-12)
            between_U = above_U & (middle_U > cost_U) & (middle_U < more_U)
            done_U = ~between_U
            yield who_U[done_U], more_U[done_U] - cost_U[done_U], worth_U[done_U] - value_U[done_U]
            lower = (who_U, cost_U, value_U, middle_U, gained_U)
            upper = (who_U, middle_U, gained_U, more_U, worth_U)
            who_U, cost_U, value_U, more_U, worth_U = (
                np.concatenate([low[between_U], high[between_U]]) for low, high in zip(lower, upper, strict=True)
            )


def _sums(amount_UA: np.ndarray, slate_UK: np.ndarray) -> np.ndarray:
    """float64[U]: over the contacts of each slate."""
    taken_UK = np.take_along_axis(amount_UA, np.maximum(slate_UK, 0).astype(np.int64), axis=1)
    return np.where(slate_UK != NONE, taken_UK, 0.0).sum(axis=1)
