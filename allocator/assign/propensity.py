"""The marginal propensity of each contact: its chance over all arms, which is what learning from logs needs, not only within the arm
that was drawn.

A user with a pinned contact gets it unless held out. Any other is held out, explores or is free with the policy's shares, so a contact
`a` of one with E eligible actions (that may be given alone) has

    P(a) = P(explores) / (E + 1) + P(free) [what the user gets when free holds a]

For free users that is their slate. For those who explore it is the counterfactual slate, which they would have got had they been free:
the best slate at the final prices, or where that is empty the fallback. Prices are taken as they are, though another draw would move
them a little.

Axes: N contacts, n those of a shard, U users, E users who explore, R rows, K contacts of a slate.
"""

from dataclasses import dataclass, replace

import numpy as np

from allocator.certify.contacts import SOURCES, Contacts
from allocator.policy.experiment import shares
from allocator.problem import Problem
from allocator.solve.dual import Users, evaluate_dual
from allocator.users import EXPLORATION, FREE, Data

USERS_PER_STEP = 65_536


@dataclass(frozen=True)
class CounterfactualSlates:
    """The slates that users who explore would have got had they been free: user position (ascending) and slate."""

    user_E: np.ndarray
    slate_EK: np.ndarray

    def holds(self, user_N: np.ndarray, action_N: np.ndarray) -> np.ndarray:
        """bool[N]: whether these contacts of users who explore are in their counterfactual slates."""
        place_N = np.searchsorted(self.user_E, user_N)
        return (self.slate_EK[place_N] == action_N[:, None]).any(axis=1)


def counterfactual_slates(users: Users, price_R: np.ndarray) -> CounterfactualSlates:
    """The best slates at these prices of the users who explore."""
    user_E = np.flatnonzero(users.data.group_U == EXPLORATION)
    slate_EK = np.empty((len(user_E), users.rules.most), np.int16)
    for first in range(0, len(user_E), USERS_PER_STEP):
        part = slice(first, first + USERS_PER_STEP)
        data = users.data.take(user_E[part])
        freed = replace(data, group_U=np.full(len(data), FREE, np.int8))
        slate_EK[part] = evaluate_dual(replace(users, data=freed), price_R).slate_UK
    return CounterfactualSlates(user_E, slate_EK)


def marginal_propensity(
    problem: Problem, data: Data, contacts: Contacts, counterfactual: CounterfactualSlates
) -> np.ndarray:
    """float64[N]: the marginal propensity of each contact, sorted by user."""
    drawn = shares(problem.policy)
    marginal_N = np.empty(len(contacts))
    for shard in data.shards():
        part = slice(*np.searchsorted(contacts.user_N, [shard.start, shard.stop]))
        user_n, action_n, source_n = contacts.user_N[part], contacts.action_N[part], contacts.source_N[part]
        free_n = source_n != SOURCES.index("exploration")
        free_n[~free_n] = counterfactual.holds(user_n[~free_n], action_n[~free_n])
        alone_UA = problem.contact.alone(data.eligible_UA[shard], data.received_UC[shard], data.class_U[shard])
        choices_U = np.einsum("ua->u", alone_UA.view(np.int8), dtype=np.int64) + 1
        explored_n = drawn.explores / choices_U[user_n - shard.start]
        if len(problem.contact.asks):
            explored_n *= alone_UA[user_n - shard.start, action_n]
        pinned_n = source_n == SOURCES.index("pinned")
        marginal_N[part] = np.where(pinned_n, 1 - drawn.held, explored_n + drawn.free * free_n)
    return marginal_N
