"""The contacts of an allocation, and everything about them that constraints sum.

Axes: U users, N contacts, n those of a part of the users, S user classes, A actions, P planes, K contacts of a slate.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from allocator.problem import Problem
from allocator.tally import Tally, reached_by_class
from allocator.users import Data, UserActions

SOURCES = ("optimised", "exploration", "fallback", "pinned")


@dataclass(frozen=True)
class Contacts:
    """The allocation as rows: user position, action, value of each (float64, risk taken off), and source (place in SOURCES)."""

    user_N: np.ndarray
    action_N: np.ndarray
    value_N: np.ndarray
    source_N: np.ndarray

    def value_of(self, *sources: str) -> float:
        """What the contacts of these sources are worth."""
        return float(self.value_N[np.isin(self.source_N, [SOURCES.index(source) for source in sources])].sum())

    def __len__(self) -> int:
        return len(self.user_N)


def tally(problem: Problem, data: Data, user_N: np.ndarray, action_N: np.ndarray) -> Tally:
    """Everything about all users' contacts, sorted by user, that constraints sum."""
    classes, actions = len(problem.classes), len(problem.catalogue.actions)
    size = classes * actions
    count, sums = np.zeros(size), np.zeros((len(problem.planes), size))
    for part in parts_of(user_N, data):
        cell_n = data.class_U[user_N[part]].astype(np.int64) * actions + action_N[part]
        planes_nP = data.planes_UPA[user_N[part], :, action_N[part]].astype(np.float64)
        count += np.bincount(cell_n, minlength=size)
        for plane in range(len(problem.planes)):
            sums[plane] += np.bincount(cell_n, planes_nP[:, plane], size)
    by_class = sums.reshape(len(problem.planes), classes, actions).swapaxes(0, 1)
    kept_S = data.kept_by_class(user_N, action_N, np.ones(len(data), bool), classes)
    reach_BA = problem.rows.reach_BA
    reached_SB = reached_by_class(reach_BA, data.class_U, user_N, action_N, classes)
    return Tally(count.reshape(classes, actions), by_class, kept_S, reached_SB, reach_BA)


def contacts_in(slate_UK: np.ndarray) -> UserActions:
    """(user position, action) of every contact of the slates, sorted by user."""
    user_N, k_N = np.nonzero(slate_UK >= 0)
    return user_N, slate_UK[user_N, k_N].astype(np.int64)


def tally_all(problem: Problem, data: Data, fixed: UserActions, slate_UK: np.ndarray) -> Tally:
    """The sums over the preassigned contacts and those of the slates together."""
    user_N, action_N = (np.concatenate(both) for both in zip(fixed, contacts_in(slate_UK), strict=True))
    order_N = np.argsort(user_N, kind="stable")
    return tally(problem, data, user_N[order_N], action_N[order_N])


def parts_of(user_N: np.ndarray, data: Data) -> Iterator[slice]:
    """Contacts, sorted by user, a bounded number of users at a time."""
    for shard in data.shards():
        first, last = np.searchsorted(user_N, [shard.start, shard.stop])
        yield slice(int(first), int(last))


def contact_values(problem: Problem, data: Data, user_N: np.ndarray, action_N: np.ndarray) -> np.ndarray:
    """float64[N]: what each contact, sorted by user, adds to the objective."""
    value_N = np.empty(len(user_N))
    for part in parts_of(user_N, data):
        planes_nP = data.planes_UPA[user_N[part], :, action_N[part]].astype(np.float64)
        value_N[part] = problem.worth(action_N[part], planes_nP)
    return value_N
