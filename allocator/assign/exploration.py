"""Exploration: users who get one of their eligible actions, or nothing, at random.

Axes: N users who explore, A actions.
"""

import numpy as np

from allocator.policy.experiment import uniform
from allocator.problem import Problem
from allocator.users import EXPLORATION, Data


def explore(problem: Problem, data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The exploration users' random slates: (user position, action, propensity), a row per contact.

    Each exploration user gets one of its E eligible actions or nothing, all E + 1 with the same probability, drawn by a salted
    hash of the user id, so the draw does not depend on shards, threads or the rest of the problem. What contact rules allow only
    beside something else is not drawn.
    """
    exploration, user_N = problem.policy.exploration, np.flatnonzero(data.group_U == EXPLORATION)
    if exploration is None or not len(user_N):
        return user_N, user_N, np.empty(0)
    eligible_NA = problem.contact.alone(data.eligible_UA[user_N], data.received_UC[user_N], data.class_U[user_N])
    choices_N = eligible_NA.sum(axis=1)
    pick_N = (uniform(f"{exploration.salt}:action", data.user_id[user_N]) * (choices_N + 1)).astype(np.int64)
    contacted = pick_N < choices_N
    rank_NA = np.cumsum(eligible_NA, axis=1) - 1
    action_N = np.argmax(eligible_NA & (rank_NA == pick_N[:, None]), axis=1)
    return user_N[contacted], action_N[contacted], 1.0 / (choices_N[contacted] + 1)
