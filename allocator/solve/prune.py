"""Contacts that are worth nothing, or less, and that no rule asks for are taken back.

Where slates tie, a solver gives either, so one with a contact of no value is as good to it as one without. To a listener it is not.

Axes: U users, A actions, N contacts, n those of a part of the users, R rows, K contacts of a slate.
"""

import numpy as np

from allocator.solve.dual import Users, contact_usage, reach_usage, total_usage
from allocator.solve.kernel import kernel
from allocator.users import NONE

PART = 65_536
TURNS = 2
"""What is taken back can make room for taking back more."""


def prune(users: Users, slate_UK: np.ndarray) -> np.ndarray:
    """The slates without contacts of no positive value whose going breaks no hard row and costs no more in soft ones than it brings.

    The worst go first. Users who keep their earlier slate keep it, and nothing goes that another contact of the slate asks for. Where
    users count by reach, one contact of a user goes at a time: the last one of a set uses what the others do not.
    """
    if not users.rules.joint:
        return _without(users, slate_UK, *_worthless(users, slate_UK))
    for _ in range(users.rules.most):  # what was asked for may go after what asked for it
        pruned_UK = _without(users, slate_UK, *_one_each(users, slate_UK, *_worthless(users, slate_UK)))
        if (pruned_UK == slate_UK).all():
            break
        slate_UK = pruned_UK
    return slate_UK


def _one_each(
    users: Users, slate_UK: np.ndarray, user_N: np.ndarray, k_N: np.ndarray, value_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each user the worst of the contacts without which the slate is still one that may be given."""
    data, contact = users.data, users.problem.contact
    free_N = np.zeros(len(user_N), bool)
    for first in range(0, len(user_N), PART):
        part = slice(first, first + PART)
        left_nK = slate_UK[user_N[part]].copy()
        left_nK[np.arange(len(left_nK)), k_N[part]] = NONE
        got_nA = np.zeros((len(left_nK), len(contact.slot_A)), bool)
        row_n, k_n = np.nonzero(left_nK != NONE)
        got_nA[row_n, left_nK[row_n, k_n]] = True
        free_N[part] = contact.keeps(got_nA, data.received_UC[user_N[part]], data.class_U[user_N[part]])
    free = np.flatnonzero(free_N)
    free = free[np.lexsort((value_N[free], user_N[free]))]
    worst = free[np.flatnonzero(np.diff(user_N[free], prepend=-1))]
    return user_N[worst], k_N[worst], value_N[worst]


def _without(
    users: Users, slate_UK: np.ndarray, user_N: np.ndarray, k_N: np.ndarray, value_N: np.ndarray
) -> np.ndarray:
    """The slates without those of these contacts that the rows can do without."""
    if not len(user_N):
        return slate_UK
    rows, slate_UK, used_R = users.problem.rows, slate_UK.copy(), total_usage(users, slate_UK)
    order = np.argsort(value_N, kind="stable")
    stays_N = np.ones(len(user_N), bool)
    for _ in range(TURNS):
        for first in range(0, len(order), PART):
            part = order[first : first + PART]
            part = part[stays_N[part]]
            use_NR = _use(users, slate_UK, user_N[part], k_N[part])
            stays_N[part] = _take_back(use_NR, value_N[part], used_R, users.limit_R, rows.penalty_R, rows.quantum_R)
    gone = ~stays_N
    slate_UK[user_N[gone], k_N[gone]] = NONE
    return _closed_up(slate_UK, np.unique(user_N[gone]))


def _use(users: Users, slate_UK: np.ndarray, user_n: np.ndarray, k_n: np.ndarray) -> np.ndarray:
    """[n, R]: what the slates use by these contacts."""
    use_nR = contact_usage(users, user_n, slate_UK[user_n, k_n][:, None])
    if not len(users.problem.rows.reach_BA):
        return use_nR
    slate_nK = slate_UK[user_n]
    without_nK = slate_nK.copy()
    without_nK[np.arange(len(user_n)), k_n] = NONE
    return use_nR + reach_usage(users, user_n, slate_nK) - reach_usage(users, user_n, without_nK)


def _worthless(users: Users, slate_UK: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(user, place in the slate, value) of contacts that are worth nothing or less."""
    problem, data = users.problem, users.data
    found = []
    for part in data.shards():
        user_n, k_n = np.nonzero(slate_UK[part] != NONE)
        user_n = user_n + part.start
        action_n = slate_UK[user_n, k_n].astype(np.int64)
        value_n = problem.worth(action_n, data.planes_UPA[user_n, :, action_n].astype(float))
        low_n = np.flatnonzero(value_n <= 0.0)
        if data.remembers and problem.rows.keep_R.any():
            low_n = low_n[~data.keeps(user_n[low_n], slate_UK[user_n[low_n]])]
        found.append((user_n[low_n], k_n[low_n], value_n[low_n]))
    user_N, k_N, value_N = (np.concatenate(column) for column in zip(*found, strict=True))
    return user_N, k_N, value_N


def _closed_up(slate_UK: np.ndarray, user_U: np.ndarray) -> np.ndarray:
    """Slates with their gaps at the end."""
    order = np.argsort(slate_UK[user_U] == NONE, axis=1, kind="stable")
    slate_UK[user_U] = np.take_along_axis(slate_UK[user_U], order, axis=1)
    return slate_UK


@kernel()
def _take_back(
    use_NR: np.ndarray, value_N: np.ndarray, used_R: np.ndarray, limit_R: np.ndarray, penalty_R: np.ndarray,
    quantum_R: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """bool[N]: which contacts stay, in order; used_R becomes what is used without the others."""
    stays_N = np.zeros(len(value_N), np.bool_)
    for n in range(len(value_N)):
        cost = value_N[n]
        for r in range(len(used_R)):
            use = use_NR[n, r]
            if use < 0.0:
                after = used_R[r] - use
                step = quantum_R[r]
                over = after - limit_R[r]
                if step > 0.0:  # whole steps are compared as such, free of rounding
                    over = (np.rint(after / step) - np.floor(limit_R[r] / step + 1e-9)) * step
                if over > 0.0:
                    cost += penalty_R[r] * min(over, -use)
        if cost <= 0.0:
            for r in range(len(used_R)):
                used_R[r] -= use_NR[n, r]
        else:
            stays_N[n] = True
    return stays_N
