"""Fallbacks: contacts for users in scope who were chosen nothing, assigned once all other contacts are decided.

Axes: U users, N users who may fall back, n some of them, F fallback actions, A actions, P planes, R rows, S user classes,
K contacts of a slate, E users who explore.
"""

from dataclasses import dataclass, replace

import numpy as np

from allocator.assign.preassigned import Preassigned
from allocator.assign.propensity import CounterfactualSlates
from allocator.certify.contacts import tally_all
from allocator.constraints import CompiledConstraint
from allocator.problem import Problem
from allocator.solve.kernel import kernel
from allocator.solve.usage import contributions
from allocator.users import EXPLORATION, FREE, NONE, Data

USERS_PER_STEP = 65_536
MOST_CELLS = 2**26


@dataclass(frozen=True)
class Fallbacks:
    """The slates with the fallbacks in them, who got one (bool[U]), and how many users in scope are left with nothing.

    counterfactual: the slates that users who explore would have got, their fallbacks included.
    """

    slate_UK: np.ndarray
    fallback_U: np.ndarray
    left_without: int
    counterfactual: CounterfactualSlates


def assign_fallbacks(
    problem: Problem, data: Data, preassigned: Preassigned, slate_UK: np.ndarray, counterfactual: CounterfactualSlates
) -> Fallbacks:
    """In the order of the users, each who was chosen nothing gets the first fallback action that is eligible and after which every hard
    constraint still holds. Whoever explores is asked in turn what it would have been, which uses up nothing.
    """
    fallback_U = np.zeros(len(data), bool)
    fallback = problem.policy.fallback
    if fallback is None:
        return Fallbacks(slate_UK, fallback_U, 0, counterfactual)
    slate_UK, counterfactual_EK = slate_UK.copy(), counterfactual.slate_EK.copy()
    nothing_U = (data.group_U == FREE) & (slate_UK[:, 0] < 0)
    nothing_U[counterfactual.user_E] = counterfactual_EK[:, 0] < 0
    user_N = np.flatnonzero(problem.classes.members(fallback.users)[data.class_U] & nothing_U)
    explores_N = data.group_U[user_N] == EXPLORATION
    action_F = np.array([problem.catalogue.ids.index(name) for name in fallback.action])
    problem = _charged_in_full(problem)
    hard_R = np.flatnonzero(~np.isfinite(problem.rows.penalty_R))
    left_R = _usage(problem, data, preassigned, slate_UK)[hard_R]
    step = max(min(USERS_PER_STEP, MOST_CELLS // max(len(hard_R) * len(action_F), 1)), 1)
    for first in range(0, len(user_N), step):
        part = slice(first, first + step)
        user_n, explores_n = user_N[part], explores_N[part]
        alone_nA = problem.contact.alone(data.eligible_UA[user_n], data.received_UC[user_n], data.class_U[user_n])
        eligible_nF = alone_nA[:, action_F]
        adds_nFR = np.stack([_adds(problem, data, user_n, int(action))[:, hard_R] for action in action_F], axis=1)
        limit_R, quantum_R = problem.rows.limit_R[hard_R], problem.rows.quantum_R[hard_R]
        pick_n = _take(eligible_nF, adds_nFR, ~explores_n, left_R, limit_R, quantum_R)
        taken_n = (pick_n >= 0) & ~explores_n
        slate_UK[user_n[taken_n], 0] = action_F[pick_n[taken_n]]
        fallback_U[user_n[taken_n]] = True
        taken_n = (pick_n >= 0) & explores_n
        counterfactual_EK[np.searchsorted(counterfactual.user_E, user_n[taken_n]), 0] = action_F[pick_n[taken_n]]
    left_without = int((~explores_N).sum()) - int(fallback_U.sum())
    return Fallbacks(slate_UK, fallback_U, left_without, CounterfactualSlates(counterfactual.user_E, counterfactual_EK))


def _charged_in_full(problem: Problem) -> Problem:
    """Where constraints have certainties, each fallback adds its whole standard error: no sum's error grows by more."""

    def in_full(each: CompiledConstraint) -> CompiledConstraint:
        if each.margin is None:
            return each
        gradient = {
            side: {plane: np.sign(each.row(side).plane_PA[plane]) for plane in each.margin.stderr_of}
            for side in each.sides
        }
        return replace(each, margin=replace(each.margin, gradient=gradient))

    if all(each.margin is None for each in problem.measured):
        return problem
    return problem.with_measured([in_full(each) for each in problem.measured])


def _usage(problem: Problem, data: Data, preassigned: Preassigned, slate_UK: np.ndarray) -> np.ndarray:
    """float64[R]: what all contacts so far use, margins as they are."""
    counted = tally_all(problem, data, preassigned.fixed, slate_UK)
    rows = problem.rows
    used_R = rows.usage(counted)
    for row, position in enumerate(rows.constraint_R.tolist()):
        measured = problem.measured[position]
        if measured.margin is not None:
            used_R[row] = rows.limit_R[row] + measured.beyond(rows.side(row), counted)[0]
    return used_R


def _adds(problem: Problem, data: Data, user_n: np.ndarray, action: int) -> np.ndarray:
    """float64[n, R]: what this action would add for each user, who has nothing so far."""
    action_n = np.full(len(user_n), action)
    planes_nP = data.planes_UPA[user_n, :, action].astype(np.float64)
    adds_nR = contributions(problem.rows, data.class_U[user_n], action_n, planes_nP)
    if data.remembers:
        keeps_n = data.keeps(user_n, action_n[:, None]).astype(float)
        keeps_n -= data.keeps(user_n, np.full((len(user_n), 1), NONE))
        adds_nR += keeps_n[:, None] * problem.rows.keep_R * problem.rows.member_RS.T[data.class_U[user_n]]
    reached_R = problem.rows.reach_RB @ problem.rows.reach_BA[:, action]
    return adds_nR + reached_R * problem.rows.member_RS.T[data.class_U[user_n]]


@kernel()
def _take(
    eligible_nF: np.ndarray, adds_nFR: np.ndarray, counts_n: np.ndarray, used_R: np.ndarray, limit_R: np.ndarray, quantum_R: np.ndarray
) -> np.ndarray:  # fmt: skip
    """Position of each user's fallback, -1 for none; used_R grows with what is taken by users who count. A row that only gets looser
    stops nothing."""
    pick_n = np.full(len(eligible_nF), -1, np.int64)
    for n in range(len(eligible_nF)):
        for f in range(eligible_nF.shape[1]):
            fits = eligible_nF[n, f]
            for r in range(len(used_R)):
                if not fits:
                    break
                if adds_nFR[n, f, r] > 0.0:
                    used = used_R[r] + adds_nFR[n, f, r]
                    step = quantum_R[r]
                    fits = used <= limit_R[r]
                    if step > 0.0:  # whole steps are compared as such, free of rounding
                        fits = np.rint(used / step) <= np.floor(limit_R[r] / step + 1e-9)
            if fits:
                for r in range(len(used_R) if counts_n[n] else 0):
                    used_R[r] += adds_nFR[n, f, r]
                pick_n[n] = f
                break
    return pick_n
