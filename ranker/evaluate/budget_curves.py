"""The multi-armed Qini: the value of a score at every budget, next to choosing without covariates and at random.

At a budget every row gets at most one action. Rows and actions are taken in the order of the score's promise per unit
of cost, along each row's concave hull of (cost, promise), while the budget lasts and the promise is positive. This is
the optimal way to spend a budget by that score (Sverdrup, Wu, Athey and Wager 2023, 2306.11979). Equal promises are one
block: a part of the budget buys the same part of every row in the block. A score without covariates is therefore a
random choice of rows.

Values are gains over giving nothing, per row, by realised effects. Differences are paired by row. Standard errors hold
the order of rows fixed.

Axes: R rows, A actions, N steps (of one row from one action to a dearer one).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ranker.evaluate.off_policy import Estimate, clustered_stderr


@dataclass(frozen=True)
class SpendingPath:
    """The order in which a score spends. first_R: actions taken at no cost (-1 none). Steps by falling promise per cost: row_N takes
    action_N for cost_N more; block_N, from 0 up: steps of the same promise."""

    first_R: np.ndarray
    row_N: np.ndarray
    action_N: np.ndarray
    cost_N: np.ndarray
    block_N: np.ndarray

    @property
    def most(self) -> float:
        """What is spent when the promises end, all rows together."""
        return float(self.cost_N.sum())


@dataclass(frozen=True)
class Spent:
    """Gain per row at one budget per row. spent: less than the budget where promises end before it."""

    budget: float
    spent: float
    gain: Estimate


@dataclass(frozen=True)
class BudgetCurve:
    """One score's gains over the budgets, the differences of the first score's to its, and the mean of both over the budgets."""

    name: str
    points: tuple[Spent, ...]
    ours_minus_this: tuple[Estimate, ...]
    area: Estimate
    area_ours_minus_this: Estimate


def spend_by(score_RA: np.ndarray, eligible_RA: np.ndarray, cost_A: np.ndarray) -> SpendingPath:
    """The path of a score. cost_A >= 0: of one contact with each action."""
    rows, actions = score_RA.shape
    promise_RA = np.where(eligible_RA, score_RA, -np.inf).astype(np.float64)
    free_RA = np.where(cost_A == 0, promise_RA, -np.inf)
    first_R = np.where(free_RA.max(1) > 0, free_RA.argmax(1), -1)
    now_R = np.maximum(free_RA.max(1), 0.0)
    paid_R = np.zeros(rows)
    slopes, taken, who, costs = [], [], [], []
    open_R = np.arange(rows)
    for _ in range(actions):
        dearer_RA = cost_A - paid_R[open_R, None]
        gain_RA = promise_RA[open_R] - now_R[open_R, None]
        slope_RA = np.divide(gain_RA, dearer_RA, out=np.full(gain_RA.shape, -np.inf), where=dearer_RA > 0)
        slope_RA[~(gain_RA > 0)] = -np.inf
        # Of equal slopes the dearest: the hull goes through the others.
        steepest_R = slope_RA.max(1, keepdims=True)
        action_R = np.where(slope_RA == steepest_R, cost_A, -1.0).argmax(1)
        on = np.flatnonzero(steepest_R[:, 0] > 0)
        if not len(on):
            break
        open_R, action_R = open_R[on], action_R[on]
        slopes.append(steepest_R[on, 0])
        taken.append(action_R)
        who.append(open_R)
        costs.append(cost_A[action_R] - paid_R[open_R])
        paid_R[open_R], now_R[open_R] = cost_A[action_R], promise_RA[open_R, action_R]
    if not who:
        nothing = np.empty(0, np.int64)
        return SpendingPath(first_R, nothing, nothing, np.empty(0), nothing)
    slope_N = np.concatenate(slopes)
    order_N = np.argsort(-slope_N, kind="stable")  # a row's steps fall and stay in their order
    slope_N = slope_N[order_N]
    block_N = np.cumsum(np.append(False, slope_N[1:] < slope_N[:-1]))
    return SpendingPath(
        first_R, np.concatenate(who)[order_N], np.concatenate(taken)[order_N], np.concatenate(costs)[order_N], block_N
    )


def spend_at_random(eligible_RA: np.ndarray, realised_RA: np.ndarray, cost_A: np.ndarray) -> tuple[np.ndarray, float]:
    """Realised gain [R] and mean cost of one eligible action, drawn evenly, for every row; a smaller budget buys a part of it."""
    chance_RA = eligible_RA / np.maximum(eligible_RA.sum(1, keepdims=True), 1)
    return (chance_RA * realised_RA).sum(1), float((chance_RA @ cost_A).mean())


def gains(path: SpendingPath, realised_RA: np.ndarray, budgets: Sequence[float]) -> list[tuple[float, np.ndarray]]:
    """Per budget (per row, rising): what is spent per row, and the realised gain of every row [R]."""
    rows = len(path.first_R)
    block_end = np.append(np.flatnonzero(np.diff(path.block_N)), len(path.block_N) - 1) + 1 if len(path.row_N) else []
    reached = np.cumsum(path.cost_N)[np.asarray(block_end, np.int64) - 1]
    now_R, done = path.first_R.copy(), 0
    found = []
    for budget in budgets:
        whole = int(np.searchsorted(reached, budget * rows * (1 + 1e-12), side="right"))
        upto = int(block_end[whole - 1]) if whole else 0
        now_R[path.row_N[done:upto]] = path.action_N[done:upto]  # numpy keeps the last of a row's steps
        done = upto
        gain_R = _of(now_R, realised_RA)
        spent = float(reached[whole - 1]) if whole else 0.0
        if whole < len(reached):
            part = (budget * rows - spent) / (reached[whole] - spent)
            after_R = now_R.copy()
            after_R[path.row_N[upto : block_end[whole]]] = path.action_N[upto : block_end[whole]]
            gain_R = (1 - part) * gain_R + part * _of(after_R, realised_RA)
            spent = budget * rows
        found.append((spent / rows, gain_R))
    return found


def _of(action_R: np.ndarray, realised_RA: np.ndarray) -> np.ndarray:
    rows = np.arange(len(action_R))
    return np.where(action_R >= 0, realised_RA[rows, np.maximum(action_R, 0)], 0.0)


def curves(
    scores: Mapping[str, np.ndarray],
    random: str,
    realised_RA: np.ndarray,
    eligible_RA: np.ndarray,
    cost_A: np.ndarray,
    user_R: np.ndarray,
    points: int,
) -> tuple[BudgetCurve, ...]:
    """The curves of all scores [R, A] (the first is the one that is compared), and of choosing at random under the name `random`,
    at `points` budgets up to what the first score, or a random contact for all, would spend."""
    paths = {name: spend_by(score_RA, eligible_RA, cost_A) for name, score_RA in scores.items()}
    all_R, all_cost = spend_at_random(eligible_RA, realised_RA, cost_A)
    rows = len(eligible_RA)
    most = max(next(iter(paths.values())).most / rows, all_cost)
    if not most > 0:
        return ()
    budgets = np.linspace(0.0, most, points + 1)[1:].tolist()
    spending = {name: gains(path, realised_RA, budgets) for name, path in paths.items()}
    parts = [min(budget / all_cost, 1.0) if all_cost > 0 else 1.0 for budget in budgets]
    spending[random] = [(part * all_cost, part * all_R) for part in parts]
    first = next(iter(spending.values()))
    return tuple(_curve(name, budgets, spent, first, user_R) for name, spent in spending.items())


def _curve(name: str, budgets: Sequence[float], spent: Sequence, first: Sequence, user_R: np.ndarray) -> BudgetCurve:
    return BudgetCurve(
        name=name,
        points=tuple(
            Spent(budget, cost, _mean(gain_R, user_R)) for budget, (cost, gain_R) in zip(budgets, spent, strict=True)
        ),
        ours_minus_this=tuple(_mean(mine - its, user_R) for (_, mine), (_, its) in zip(first, spent, strict=True)),
        area=_mean(np.mean([gain_R for _, gain_R in spent], axis=0), user_R),
        area_ours_minus_this=_mean(
            np.mean([mine - its for (_, mine), (_, its) in zip(first, spent, strict=True)], axis=0), user_R
        ),
    )


def _mean(gain_R: np.ndarray, user_R: np.ndarray) -> Estimate:
    return Estimate(float(gain_R.mean()), clustered_stderr(gain_R, user_R))
