"""Contacts that are given, not chosen: pinned ones first, then those of exploration; fallbacks once all others are decided.

A user with a pinned contact gets the pinned contacts and nothing else, so whoever is pinned is out of the solvers' hands, as those who
explore are.

Axes: U users, N contacts, A actions, C contact caps, F fallback actions, R rows, S user classes, K contacts of a slate.
"""

from dataclasses import dataclass, replace

import numpy as np

from allocator.assign.exploration import explore
from allocator.assign.propensity import Foregone
from allocator.certify.certificate import SOURCES, tally_all
from allocator.contact_rules import ContactRules
from allocator.policy.grammar import PinnedRule
from allocator.problem import Problem
from allocator.solve.kernel import kernel
from allocator.users import EXPLORATION, FREE, HOLDOUT, NONE, PINNED, Data

USERS_PER_STEP = 65_536
MOST_CELLS = 2**26


@dataclass(frozen=True)
class Given:
    """Contacts settled before anything is chosen, sorted by user: user position, action, propensity, source (place in SOURCES)."""

    user_N: np.ndarray
    action_N: np.ndarray
    propensity_N: np.ndarray
    source_N: np.ndarray

    @property
    def fixed(self) -> tuple[np.ndarray, np.ndarray]:
        """User position and action, as the solvers take them."""
        return self.user_N, self.action_N

    def place(self, slate_UK: np.ndarray) -> None:
        """Writes each user's contacts into the first places of the slate."""
        rank_N = np.arange(len(self.user_N)) - np.searchsorted(self.user_N, self.user_N, "left")
        slate_UK[self.user_N, rank_N] = self.action_N


def give(problem: Problem, data: Data) -> tuple[Data, Given]:
    """The pinned contacts and those of exploration; in the data returned, whoever is pinned is in the group PINNED."""
    pinned_N, action_N = _pin(problem, data)
    if len(pinned_N):
        group_U = data.group_U.copy()
        group_U[pinned_N] = PINNED
        data = replace(data, group_U=group_U)
    user_E, action_E, chance_E = explore(problem, data)
    source_N = np.repeat([SOURCES.index("pinned"), SOURCES.index("exploration")], [len(pinned_N), len(user_E)])
    user_N = np.concatenate([pinned_N, user_E])
    order_N = np.argsort(user_N, kind="stable")
    return data, Given(
        user_N[order_N],
        np.concatenate([action_N, action_E])[order_N],
        np.concatenate([np.ones(len(pinned_N)), chance_E])[order_N],
        source_N[order_N].astype(np.int8),
    )


def _pin(problem: Problem, data: Data) -> tuple[np.ndarray, np.ndarray]:
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
    room_N = ~got_NA[:, contact.slot_A == contact.slot_A[action]].any(axis=1)
    base_NC = contact.base(data.received_UC[user_N], data.class_U[user_N])
    for cap in np.flatnonzero(contact.member_CA[:, action]):
        room_N &= got_NA[:, contact.member_CA[cap]].sum(axis=1) + base_NC[:, cap] < contact.capacity_C[cap]
    return room_N


@dataclass(frozen=True)
class Fallen:
    """The slates with the fallbacks in them, who fell back (bool[U]), and how many users in scope are left with nothing.

    foregone: what users who explore would have got, their fallbacks included.
    """

    slate_UK: np.ndarray
    fallen_U: np.ndarray
    left_without: int
    foregone: Foregone


def fall_back(problem: Problem, data: Data, given: Given, slate_UK: np.ndarray, foregone: Foregone) -> Fallen:
    """In the order of the users, each who was chosen nothing gets the first fallback action that is eligible and after which every hard
    constraint still holds. Whoever explores is asked in turn what it would have been, which uses up nothing.
    """
    fallen_U = np.zeros(len(data), bool)
    fallback = problem.policy.fallback
    if fallback is None:
        return Fallen(slate_UK, fallen_U, 0, foregone)
    slate_UK, foregone_EK = slate_UK.copy(), foregone.slate_EK.copy()
    nothing_U = (data.group_U == FREE) & (slate_UK[:, 0] < 0)
    nothing_U[foregone.user_E] = foregone_EK[:, 0] < 0
    user_N = np.flatnonzero(problem.classes.members(fallback.users)[data.class_U] & nothing_U)
    explores_N = data.group_U[user_N] == EXPLORATION
    action_F = np.array([problem.catalogue.ids.index(name) for name in fallback.action])
    hard_R = np.flatnonzero(~np.isfinite(problem.rows.penalty_R))
    left_R = _usage(problem, data, given, slate_UK)[hard_R]
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
        fallen_U[user_n[taken_n]] = True
        taken_n = (pick_n >= 0) & explores_n
        foregone_EK[np.searchsorted(foregone.user_E, user_n[taken_n]), 0] = action_F[pick_n[taken_n]]
    left_without = int((~explores_N).sum()) - int(fallen_U.sum())
    return Fallen(slate_UK, fallen_U, left_without, Foregone(foregone.user_E, foregone_EK))


def _usage(problem: Problem, data: Data, given: Given, slate_UK: np.ndarray) -> np.ndarray:
    """float64[R]: what all contacts so far use."""
    counted = tally_all(problem, data, given.fixed, slate_UK)
    return problem.rows.usage(counted.count_SA, counted.sum_SPA, counted.kept_S)


def _adds(problem: Problem, data: Data, user_n: np.ndarray, action: int) -> np.ndarray:
    """float64[n, R]: what this action would add for each user, who has nothing so far."""
    action_n = np.full(len(user_n), action)
    planes_nP = data.planes_UPA[user_n, :, action].astype(np.float64)
    adds_nR = problem.rows.contributions(data.class_U[user_n], action_n, planes_nP)
    if data.remembers:
        keeps_n = data.keeps(user_n, action_n[:, None]).astype(float)
        keeps_n -= data.keeps(user_n, np.full((len(user_n), 1), NONE))
        adds_nR += keeps_n[:, None] * problem.rows.keep_R * problem.rows.member_RS.T[data.class_U[user_n]]
    return adds_nR


@kernel()
def _take(eligible_nF, adds_nFR, counts_n, used_R, limit_R, quantum_R):
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
