"""The baselines: contacts taken one by one, best first, while every maximum has room; by value, or by value per cost.

What a team without an optimiser would run. Minimums and ratios are not planned for (a single contact says nothing about them), so
the result may break them: `feasible` says so.

Axes: N eligible pairs, R rows, U users, A actions, C contact caps, P planes, S user classes.
"""

from dataclasses import dataclass

import numpy as np

from allocator.solve.dual import Users, total_usage
from allocator.solve.kernel import kernel
from allocator.solve.prices import Scale
from allocator.solve.slates import Rules, Work, count_from, fits, keeps_asks, make_work, mark, start_caps
from allocator.solve.unowned_arrays import lend
from allocator.users import FREE, NONE

MOST_USERS = 250_000
"""It sorts every eligible contact: beyond so many users that takes more memory than all else."""


@dataclass(frozen=True)
class GreedySlates:
    """slate_UK as in a solution; feasible: whether every hard constraint holds."""

    slate_UK: np.ndarray
    feasible: bool


def greedy(users: Users, scale: Scale, *, per_cost: bool = False) -> GreedySlates:
    """Takes eligible contacts of positive value in falling order of value (or of value per use of the maxima).

    A contact is skipped where it breaks a contact rule or would break an upper bound of a volume or a total. (The maximum of a reach
    is not planned for either.)
    """
    problem, data, rows = users.problem, users.data, users.problem.rows
    ratio_R = np.array([problem.measured[c].denominator is not None for c in rows.constraint_R], bool)
    by_contacts_R = (rows.keep_R == 0) & ~rows.counts_reach_R
    capped = np.flatnonzero((rows.sign_R > 0) & by_contacts_R & ~ratio_R.reshape(len(rows)))
    user_N, action_N = np.nonzero(data.eligible_UA & (data.group_U == FREE)[:, None])
    no_price_SA, value_SPA = problem.net_tables(np.zeros(len(rows)))
    key_N = _linear(users, user_N, action_N, no_price_SA, value_SPA)
    positive = key_N > 0
    if per_cost and len(capped):
        share_R = np.zeros(len(rows))
        share_R[capped] = 1.0 / np.maximum(users.limit_R[capped], 1e-12)
        cost_SA, cost_SPA = problem.worthless().net_tables(-share_R)
        key_N = key_N / (1e-9 + np.maximum(_linear(users, user_N, action_N, cost_SA, cost_SPA), 0.0))
    user_N, action_N, key_N = user_N[positive], action_N[positive], key_N[positive]
    order = _falling(key_N)
    slate_UK = np.full((len(data), users.rules.most), NONE, np.int16)
    _take(
        users.rules, make_work(users.rules), user_N[order], action_N[order], data.planes_UPA, data.class_U, data.received_UC,
        rows.member_RS[capped], rows.const_RA[capped], rows.plane_RPA[capped], users.limit_R[capped].copy(), slate_UK,
    )  # fmt: skip
    used_R = total_usage(users, slate_UK)
    slip_R = 1e-9 * (scale.usage_R + np.abs(users.limit_R))
    return GreedySlates(slate_UK, bool((used_R <= users.limit_R + slip_R)[~np.isfinite(rows.penalty_R)].all()))


def _falling(key_N: np.ndarray) -> np.ndarray:
    """Positions of positive keys in falling order, the first among equals, to float32's accuracy: two passes of a radix sort."""
    bits_N = ~key_N.astype(np.float32).view(np.uint32)
    low = np.argsort(bits_N.astype(np.uint16), kind="stable")
    return low[np.argsort((bits_N >> 16).astype(np.uint16)[low], kind="stable")]


@kernel()
def _linear_sum(
    planes_UPA: np.ndarray, class_U: np.ndarray, user_N: np.ndarray, action_N: np.ndarray, const_SA: np.ndarray,
    plane_SPA: np.ndarray,
) -> np.ndarray:  # fmt: skip
    sum_N = np.empty(len(user_N))
    for n in range(len(user_N)):
        u, a = user_N[n], action_N[n]
        total = const_SA[class_U[u], a]
        for p in range(plane_SPA.shape[1]):
            total += plane_SPA[class_U[u], p, a] * planes_UPA[u, p, a]
        sum_N[n] = total
    return sum_N


def _linear(
    users: Users, user_N: np.ndarray, action_N: np.ndarray, const_SA: np.ndarray, plane_SPA: np.ndarray
) -> np.ndarray:
    return _linear_sum(users.data.planes_UPA, users.data.class_U, user_N, action_N, const_SA, plane_SPA)


@kernel()
def _take(
    rules: Rules, work: Work, user_N: np.ndarray, action_N: np.ndarray, planes_UPA: np.ndarray, class_U: np.ndarray,
    received_UC: np.ndarray, member_RS: np.ndarray, const_RA: np.ndarray, plane_RPA: np.ndarray, left_R: np.ndarray,
    slate_UK: np.ndarray,
) -> None:  # fmt: skip
    rules, work, received_UC = lend(rules), lend(work), lend(received_UC)
    used_R = np.empty(len(left_R))
    full_U = np.zeros(len(slate_UK), np.bool_)
    for n in range(len(user_N)):
        user, action = user_N[n], action_N[n]
        if full_U[user]:
            continue
        count_from(rules, work, received_UC[user], class_U[user])
        start_caps(work)
        count, slot_free = 0, True
        while count < rules.most and slate_UK[user, count] != NONE:
            other = slate_UK[user, count]
            slot_free = slot_free and rules.slot_A[other] != rules.slot_A[action]
            mark(rules, work.used_C, other, 1)
            count += 1
        if count == rules.most or not slot_free or not fits(rules, work.used_C, action, NONE, False):
            continue
        mark(rules, work.used_C, action, 1)
        room = keeps_asks(rules, work)  # what it asks for must be there already
        for r in range(len(left_R)):
            used_R[r] = const_RA[r, action]
            for p in range(plane_RPA.shape[1]):
                used_R[r] += plane_RPA[r, p, action] * planes_UPA[user, p, action]
            used_R[r] *= member_RS[r, class_U[user]]
            room = room and used_R[r] <= left_R[r] + 1e-12
        if room:
            slate_UK[user, count] = action
            full_U[user] = count + 1 == rules.most
            left_R -= used_R
