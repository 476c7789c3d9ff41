"""Preassigned contacts, which are not chosen by the optimiser: pinned ones first, then those of exploration.

A user with a pinned contact gets the pinned contacts and nothing else, so whoever is pinned is out of the solvers' hands, as those who
explore are.

Axes: U users, N contacts, n those of exploration, A actions, C contact caps, S user classes, K contacts of a slate.
"""

from dataclasses import dataclass, replace

import numpy as np

from allocator.assign.exploration import explore
from allocator.certify.contacts import SOURCES
from allocator.contact_rules import ContactRules
from allocator.policy.grammar import PinnedRule
from allocator.problem import Problem
from allocator.users import HOLDOUT, PINNED, Data, UserActions


@dataclass(frozen=True)
class Preassigned:
    """Contacts assigned before anything is chosen, sorted by user: user position, action, propensity, source (place in SOURCES)."""

    user_N: np.ndarray
    action_N: np.ndarray
    propensity_N: np.ndarray
    source_N: np.ndarray

    @property
    def fixed(self) -> UserActions:
        """User position and action, as the solvers take them."""
        return self.user_N, self.action_N

    def place(self, slate_UK: np.ndarray) -> None:
        """Writes each user's contacts into the first places of the slate."""
        place_contacts(slate_UK, self.user_N, self.action_N)


def place_contacts(slate_UK: np.ndarray, user_N: np.ndarray, action_N: np.ndarray) -> None:
    """Writes contacts, sorted by user, into the first places of their users' slates."""
    slate_UK[user_N, np.arange(len(user_N)) - np.searchsorted(user_N, user_N, "left")] = action_N


def preassign(problem: Problem, data: Data) -> tuple[Data, Preassigned]:
    """The pinned contacts and those of exploration; in the data returned, whoever is pinned is in the group PINNED."""
    pinned_N, action_N = _pin(problem, data)
    if len(pinned_N):
        group_U = data.group_U.copy()
        group_U[pinned_N] = PINNED
        data = replace(data, group_U=group_U)
    user_n, action_n, chance_n = explore(problem, data)
    source_N = np.repeat([SOURCES.index("pinned"), SOURCES.index("exploration")], [len(pinned_N), len(user_n)])
    user_N = np.concatenate([pinned_N, user_n])
    order_N = np.argsort(user_N, kind="stable")
    return data, Preassigned(
        user_N[order_N],
        np.concatenate([action_N, action_n])[order_N],
        np.concatenate([np.ones(len(pinned_N)), chance_n])[order_N],
        source_N[order_N].astype(np.int8),
    )


def _pin(problem: Problem, data: Data) -> UserActions:
    """(user position, action), sorted by user: rule after rule what is eligible and fits slot and caps beside earlier pins.

    Pins that then lack what they ask for are dropped.
    """
    contact = problem.contact
    member_S = np.zeros(len(problem.classes), bool)
    for rule in problem.policy.pinned:
        member_S |= problem.classes.members(rule.users)
    user_N = np.flatnonzero(member_S[data.class_U] & (data.group_U != HOLDOUT))
    got_NA = np.zeros((len(user_N), len(contact.slot_A)), bool)
    for rule in problem.policy.pinned:
        _pin_rule(problem, data, rule, user_N, got_NA)
    if len(contact.asks):
        got_NA = contact.asked(data.received_UC[user_N], data.class_U[user_N]).settled(got_NA)
    place_N, action_N = np.nonzero(got_NA)
    return user_N[place_N], action_N


def _pin_rule(problem: Problem, data: Data, rule: PinnedRule, user_N: np.ndarray, got_NA: np.ndarray) -> None:
    action = problem.catalogue.ids.index(rule.action)
    wanted_N = problem.classes.members(rule.users)[data.class_U[user_N]] & data.eligible_UA[user_N, action]
    got_NA[:, action] |= wanted_N & _fits(problem.contact, got_NA, data, user_N, action)


def _fits(contact: ContactRules, got_NA: np.ndarray, data: Data, user_N: np.ndarray, action: int) -> np.ndarray:
    """bool[N]: whether the slot is free and every cap over the action has room."""
    room_N = ~np.any(got_NA[:, contact.slot_A == contact.slot_A[action]], axis=1)
    base_NC = contact.base(data.received_UC[user_N], data.class_U[user_N])
    for cap in np.flatnonzero(contact.member_CA[:, action]):
        room_N &= got_NA[:, contact.member_CA[cap]].sum(axis=1) + base_NC[:, cap] < contact.capacity_C[cap]
    return room_N
