"""Contacts of an allocation as the sums that every constraint is made of.

Axes: A actions, S user classes, P planes, B reach sets, N slates, K contacts of a slate.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tally:
    """Contacts summed per user class and action, counts and plane sums, in float64; and how many users something holds for.

    kept_S: who keep their earlier slates. reached_SB: who get at least one contact of each reach set, whose actions are reach_BA.
    """

    count_SA: np.ndarray
    sum_SPA: np.ndarray
    kept_S: np.ndarray
    reached_SB: np.ndarray
    reach_BA: np.ndarray

    def weighted(self, weight_S: np.ndarray) -> "Tally":
        """Where each user of a class stands for so many."""
        return Tally(
            self.count_SA * weight_S[:, None],
            self.sum_SPA * weight_S[:, None, None],
            self.kept_S * weight_S,
            self.reached_SB * weight_S[:, None],
            self.reach_BA,
        )

    def reached(self, action_A: np.ndarray) -> np.ndarray:
        """float64[S]: users with at least one contact of these actions, which are one of the reach sets."""
        return self.reached_SB[:, int(np.flatnonzero((self.reach_BA == action_A).all(axis=1))[0])]


def sets_reached(reach_BA: np.ndarray, slate_NK: np.ndarray) -> np.ndarray:
    """bool[N, B]: whether each slate (padded with a number below 0) holds an action of each reach set."""
    hit_NB = np.zeros((len(slate_NK), len(reach_BA)), bool)
    for action_N in slate_NK.T:
        hit_NB |= reach_BA.T[action_N] & (action_N >= 0)[:, None]
    return hit_NB


def reached_by_class(
    reach_BA: np.ndarray, class_U: np.ndarray, user_N: np.ndarray, action_N: np.ndarray, classes: int
) -> np.ndarray:
    """float64[S, B]: how many users have at least one of these contacts, sorted by user, in each reach set."""
    reached_SB = np.zeros((classes, len(reach_BA)))
    for reached_S, member_A in zip(reached_SB.T, reach_BA, strict=True):
        user_n = np.unique(user_N[member_A[action_N]])
        reached_S += np.bincount(class_U[user_n], minlength=classes)
    return reached_SB
