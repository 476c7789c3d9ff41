"""Slates that lose little against the best one: single exchanges, swaps with the earlier slate, and all slates within a width.

Axes: U users, u one of them, P planes, A actions, S user classes, C contact caps, K contacts of a slate, T near ties,
B reach sets, N slates.
"""

from dataclasses import dataclass

import numpy as np

from allocator.solve.dual import DualEvaluation, Tables, Users, fill_net, in_blocks, least_loss
from allocator.solve.kernel import kernel
from allocator.solve.slates import (
    Rules,
    Work,
    best_slate,
    clear,
    copy_before,
    count_from,
    credit,
    exchange,
    is_slate,
    make_work,
    mark,
    near_slates,
    settle,
    slate_size,
    start_caps,
    worth_before,
)
from allocator.solve.unowned_arrays import lend
from allocator.users import NONE

FEW = 256


@dataclass(frozen=True)
class Ties:
    """Single exchanges that lose less than a width: users, the contact that goes and the one that comes (-1: none), the loss.

    kept_T: -1 where the exchange ends that the user keeps the earlier slate, else 0.
    """

    user_T: np.ndarray
    out_T: np.ndarray
    in_T: np.ndarray
    kept_T: np.ndarray
    loss_T: np.ndarray

    def take(self, index: np.ndarray) -> "Ties":
        return Ties(self.user_T[index], self.out_T[index], self.in_T[index], self.kept_T[index], self.loss_T[index])


def near_ties(users: Users, evaluated: DualEvaluation, who_U: np.ndarray, width: float) -> Ties:
    """All exchanges of the users at positions who_U that lose less than `width` at the prices of the evaluation. Not for joint rules, under
    which an exchange says little of a slate."""
    problem, data = users.problem, users.data
    tables = Tables.at(problem, evaluated.price_R)
    limit = (1 + len(problem.catalogue.actions)) * len(who_U)
    buffers = [np.empty(limit, np.int64) for _ in range(4)] + [np.empty(limit)]
    found = _near_ties(
        users.rules, make_work(users.rules), data.planes_UPA, data.eligible_UA, data.class_U, data.before_UK, data.received_UC,
        tables.const_SA, tables.plane_SPA, tables.bonus_S, evaluated.slate_UK, who_U, width, *buffers,
    )  # fmt: skip
    return Ties(*(buffer[:found].copy() for buffer in buffers))


@kernel(forceinline=True)
def read_slate(rules: Rules, work: Work, slate_uK: np.ndarray, slate_K: np.ndarray) -> int:
    """Copies a stored slate and counts its caps; returns how many contacts it has."""
    count = 0
    start_caps(work)
    while count < rules.most and slate_uK[count] != NONE:
        slate_K[count] = slate_uK[count]
        mark(rules, work.used_C, slate_K[count], 1)
        count += 1
    return count


@kernel()
def _near_ties(
    rules: Rules, work: Work, planes_UPA: np.ndarray, eligible_UA: np.ndarray, class_U: np.ndarray, before_UK: np.ndarray,
    received_UC: np.ndarray, const_SA: np.ndarray, plane_SPA: np.ndarray, bonus_S: np.ndarray, slate_UK: np.ndarray,
    who_U: np.ndarray, width: float, user_T: np.ndarray, out_T: np.ndarray, in_T: np.ndarray, kept_T: np.ndarray,
    loss_T: np.ndarray,
) -> int:  # fmt: skip
    rules, work, planes_UPA, eligible_UA = lend(rules), lend(work), lend(planes_UPA), lend(eligible_UA)
    before_UK, received_UC, const_SA, plane_SPA = lend(before_UK), lend(received_UC), lend(const_SA), lend(plane_SPA)
    slate_UK, slate_K = lend(slate_UK), work.slate_K
    found = 0
    for u in who_U:
        s = class_U[u]
        fill_net(work, planes_UPA[u], eligible_UA[u], const_SA[s], plane_SPA[s])
        count_from(rules, work, received_UC[u], s)
        left, bonus = 0, 0.0
        if before_UK.shape[1] > 0:
            count, value = best_slate(rules, work, slate_K)
            if is_slate(slate_K, count, before_UK[u]):
                left, bonus = -1, bonus_S[s]
            elif worth_before(rules, work, before_UK[u]) + bonus_S[s] > value:
                continue  # kept though others are better: `near_swaps` has the way back
        count = read_slate(rules, work, slate_UK[u], slate_K)
        settle(rules, work, slate_K, count)
        lowest = np.inf
        for k in range(count):
            lowest = min(lowest, work.net_A[slate_K[k]])
            if work.net_A[slate_K[k]] + bonus < width:
                user_T[found], out_T[found], in_T[found], kept_T[found] = u, slate_K[k], NONE, left
                loss_T[found] = work.net_A[slate_K[k]] + bonus
                found += 1
        for action in range(len(rules.slot_A)):
            if least_loss(work.net_A[action], lowest) + bonus >= width:
                continue
            if work.holder_L[rules.slot_A[action]] == action:
                continue
            loss, removed = exchange(rules, work, slate_K, count, action)
            if loss + bonus < width:
                user_T[found], out_T[found], in_T[found], kept_T[found] = u, removed, action, left
                loss_T[found] = loss + bonus
                found += 1
    return found


@dataclass(frozen=True)
class Swaps:
    """Whole slates that lose less than a width: users, the slate chosen and the other one [T, K], the loss.

    One of the two is the earlier slate, the other the best one without what keeping is worth.
    """

    user_T: np.ndarray
    from_TK: np.ndarray
    to_TK: np.ndarray
    loss_T: np.ndarray


def near_swaps(users: Users, evaluated: DualEvaluation, who_U: np.ndarray, width: float) -> Swaps:
    """Back to the earlier slate, or from it to the best one, for the users at positions who_U whom that costs less than `width`."""
    problem, data = users.problem, users.data
    tables = Tables.at(problem, evaluated.price_R)
    user_T = np.empty(len(who_U), np.int64)
    to_TK = np.full((len(who_U), users.rules.most), NONE, np.int16)
    loss_T = np.empty(len(who_U))
    found = _near_swaps(
        users.rules, make_work(users.rules), data.planes_UPA, data.eligible_UA, data.class_U, data.before_UK, data.received_UC,
        tables.const_SA, tables.plane_SPA, tables.bonus_S, tables.reward_SB, who_U, width, user_T, to_TK, loss_T,
    )  # fmt: skip
    return Swaps(user_T[:found], evaluated.slate_UK[user_T[:found]], to_TK[:found], loss_T[:found])


@kernel()
def _near_swaps(
    rules: Rules, work: Work, planes_UPA: np.ndarray, eligible_UA: np.ndarray, class_U: np.ndarray, before_UK: np.ndarray,
    received_UC: np.ndarray, const_SA: np.ndarray, plane_SPA: np.ndarray, bonus_S: np.ndarray, reward_SB: np.ndarray,
    who_U: np.ndarray, width: float, user_T: np.ndarray, to_TK: np.ndarray, loss_T: np.ndarray,
) -> int:  # fmt: skip
    rules, work, planes_UPA, eligible_UA = lend(rules), lend(work), lend(planes_UPA), lend(eligible_UA)
    before_UK, received_UC, const_SA, plane_SPA = lend(before_UK), lend(received_UC), lend(const_SA), lend(plane_SPA)
    to_TK, slate_K, reward_SB = lend(to_TK), work.slate_K, lend(reward_SB)
    found = 0
    for u in who_U:
        s = class_U[u]
        fill_net(work, planes_UPA[u], eligible_UA[u], const_SA[s], plane_SPA[s])
        count_from(rules, work, received_UC[u], s)
        credit(rules, work, reward_SB[s])
        count, value = best_slate(rules, work, slate_K)
        kept_value = worth_before(rules, work, before_UK[u]) + bonus_S[s]
        if is_slate(slate_K, count, before_UK[u]) or not abs(kept_value - value) < width:
            continue
        if kept_value <= value:
            count = copy_before(rules, work, before_UK[u], slate_K)
        clear(to_TK[found], NONE)
        for k in range(count):
            to_TK[found, k] = slate_K[k]
        user_T[found], loss_T[found] = u, abs(kept_value - value)
        found += 1
    return found


@dataclass(frozen=True)
class Choices:
    """Slates of some users that lose less than a width each: user (position in `who_U`), actions [N, K], net value."""

    user_N: np.ndarray
    slate_NK: np.ndarray
    net_N: np.ndarray


def enumerate_slates(users: Users, price_R: np.ndarray, who_U: np.ndarray, width: float, most: int) -> Choices:
    """The slates of the users at positions who_U within `width` of the best, at most `most` each (the width shrinks for a user
    who has more), the best, the earlier and the empty one always among them. Net values count what keeping is worth."""
    problem, data = users.problem, users.data
    tables = Tables.at(problem, price_R)
    slate_NK = np.full((len(who_U) * (most + 2), users.rules.most), NONE, np.int16)
    net_N = np.empty(len(slate_NK))
    count_U = np.zeros(len(who_U), np.int64)

    def enumerate_block(block: int, part: slice) -> None:
        rows = slice(part.start * (most + 2), part.stop * (most + 2))
        found_NK, value_N = np.empty((most, users.rules.most), np.int16), np.empty(most)
        _enumerate_block(
            users.rules, make_work(users.rules), found_NK, value_N, data.planes_UPA, data.eligible_UA, data.class_U,
            data.before_UK, data.received_UC, tables.const_SA, tables.plane_SPA, tables.bonus_S, tables.reward_SB,
            who_U[part], width, slate_NK[rows], net_N[rows], count_U[part],
        )  # fmt: skip

    in_blocks(enumerate_block, len(who_U), FEW)
    kept = (np.arange(most + 2) < count_U[:, None]).reshape(-1)
    return Choices(np.repeat(np.arange(len(who_U)), count_U), slate_NK[kept], net_N[kept])


@kernel(nogil=True)
def _enumerate_block(
    rules: Rules, work: Work, found_NK: np.ndarray, value_N: np.ndarray, planes_UPA: np.ndarray, eligible_UA: np.ndarray,
    class_U: np.ndarray, before_UK: np.ndarray, received_UC: np.ndarray, const_SA: np.ndarray, plane_SPA: np.ndarray,
    bonus_S: np.ndarray, reward_SB: np.ndarray, who_U: np.ndarray, width: float, slate_NK: np.ndarray, net_N: np.ndarray,
    count_U: np.ndarray,
) -> None:  # fmt: skip
    rules, work, planes_UPA, eligible_UA = lend(rules), lend(work), lend(planes_UPA), lend(eligible_UA)
    before_UK, received_UC, const_SA, plane_SPA = lend(before_UK), lend(received_UC), lend(const_SA), lend(plane_SPA)
    found_NK, slate_NK, best_K, reward_SB = lend(found_NK), lend(slate_NK), work.slate_K, lend(reward_SB)
    keeping, most = before_UK.shape[1] > 0, len(value_N)
    for i in range(len(who_U)):
        u = who_U[i]
        s = class_U[u]
        fill_net(work, planes_UPA[u], eligible_UA[u], const_SA[s], plane_SPA[s])
        count_from(rules, work, received_UC[u], s)
        credit(rules, work, reward_SB[s])
        _, best = best_slate(rules, work, best_K)
        kept_value = -np.inf
        if keeping:
            kept_value = worth_before(rules, work, before_UK[u]) + bonus_S[s]
            best = max(best, kept_value)
        mine = width
        found = near_slates(rules, work, best - mine, found_NK, value_N)
        while found > most and mine > 1e-12 * (1.0 + abs(best)):
            mine *= 0.6
            found = near_slates(rules, work, best - mine, found_NK, value_N)
        found = min(found, most)
        start = i * (most + 2)
        empty, kept = False, kept_value == -np.inf
        for n in range(found):
            slate_NK[start + n] = found_NK[n]
            net_N[start + n] = value_N[n]
            count = slate_size(found_NK[n])
            empty = empty or count == 0
            if keeping and is_slate(found_NK[n], count, before_UK[u]):
                net_N[start + n] += bonus_S[s]
                kept = True
        if not kept:
            clear(slate_NK[start + found], NONE)
            for k in range(copy_before(rules, work, before_UK[u], best_K)):
                slate_NK[start + found, k] = best_K[k]
            net_N[start + found] = kept_value
            empty = empty or slate_NK[start + found, 0] == NONE
            found += 1
        if not empty:
            clear(slate_NK[start + found], NONE)
            net_N[start + found] = 0.0
            found += 1
        count_U[i] = found


def largest_loss(users: Users, price_R: np.ndarray) -> float:
    """No slate of these users loses more against the best one at these prices."""
    data, tables, slot_A = users.data, Tables.at(users.problem, price_R), users.problem.contact.slot_A
    net_UA = tables.const_SA[data.class_U] + np.einsum("upa,upa->ua", data.planes_UPA, tables.plane_SPA[data.class_U])
    most_U = tables.bonus_S[data.class_U] if data.remembers else np.zeros(len(data))
    most_U = most_U + np.abs(tables.reward_SB).sum(axis=1)[data.class_U]
    for slot in range(users.problem.contact.slots):
        inside_A = slot_A == slot
        net_Ua = np.where(data.eligible_UA[:, inside_A], net_UA[:, inside_A], 0.0)
        most_U = most_U + np.maximum(net_Ua.max(axis=1), 0.0) - np.minimum(net_Ua.min(axis=1), 0.0)
    return float(most_U.max(initial=0.0))
