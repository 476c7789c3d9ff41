"""One sweep over the users at given prices: the exact dual value, its gradient, every user's best slate and its margin.

Sums are kept per user class and action, so a sweep costs the same whatever the number of constraints, and are added up block by
block in a fixed order, so the result does not depend on threads or shards.

Axes: U users, P planes, A actions, S classes, R rows, B blocks, K the most contacts of a slate, T near ties.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np

from allocator.problem import FREE, Data, Problem
from allocator.solve.slates import NONE, Rules, best_slate, exchange, fits, make_work, mark, near_slates

BLOCK = 8_192


@dataclass(frozen=True)
class Pass:
    """What one sweep found at price_R.

    dual: limit @ price + sum over users of their best net value, an upper bound on every feasible allocation of these users.
    usage_R: what the best slates use; limit - usage is a subgradient of the dual. value: what they are worth.
    slate_UK: actions, padded with -1. margin_U: by how much the best slate beats the best single exchange.
    """

    price_R: np.ndarray
    dual: float
    value: float
    usage_R: np.ndarray
    slate_UK: np.ndarray
    margin_U: np.ndarray


@dataclass(frozen=True)
class Users:
    """The users that a sweep is over: data in memory, the compiled contact rules, and how many users each one stands for.

    weight_S: 1 for all users; for a stratified sample, users of the class per sampled user. limit_R: what these users may use.
    device: where sweeps run, `cpu` (compiled) or a torch device such as `cuda`.
    """

    problem: Problem
    data: Data
    rules: Rules
    weight_S: np.ndarray
    limit_R: np.ndarray
    device: str = "cpu"


def sweep(users: Users, price_R: np.ndarray) -> Pass:
    """One pass over all users, shard by shard. O(users x actions), exact slates."""
    problem, data = users.problem, users.data
    const_SA, plane_SPA = problem.net_tables(price_R)
    slate_UK = np.empty((len(data), users.rules.most), np.int16)
    margin_U = np.empty(len(data), np.float32)
    sums = _Sums(len(problem.classes), len(problem.planes), len(problem.catalogue.actions))
    for part in data.shards():
        who = part
        if users.device != "cpu":
            who = _sweep_on_device(users, part, const_SA, plane_SPA, sums, slate_UK[part], margin_U[part])
        blocks, slate_uK, margin_u = _sweep_compiled(users, who, const_SA, plane_SPA, sums)
        slate_UK[who], margin_U[who] = slate_uK, margin_u
        sums.add(blocks)
    weight_S = users.weight_S
    count_SA, sum_SPA = sums.count_SA * weight_S[:, None], sums.sum_SPA * weight_S[:, None, None]
    return Pass(
        price_R=price_R,
        dual=float(sums.dual_S @ weight_S) + float(users.limit_R @ price_R),
        value=float((sum_SPA * problem.value_PA).sum()),
        usage_R=problem.rows.usage(count_SA, sum_SPA),
        slate_UK=slate_UK,
        margin_U=margin_U,
    )


def _sweep_compiled(
    users: Users, who: slice | np.ndarray, const_SA: np.ndarray, plane_SPA: np.ndarray, sums: "_Sums"
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """(block sums, slates, margins) of some users, by the compiled kernel."""
    data = users.data
    class_U = data.class_U[who]
    slate_UK = np.empty((len(class_U), users.rules.most), np.int16)
    margin_U = np.empty(len(class_U), np.float32)
    blocks = sums.blocks(-(-len(class_U) // BLOCK))
    with threads_for(len(blocks[0])):
        _sweep(
            users.rules, data.planes_UPA[who], data.eligible_UA[who], class_U, data.group_U[who],
            const_SA, plane_SPA, *blocks, slate_UK, margin_U,
        )  # fmt: skip
    return blocks, slate_UK, margin_U


def _sweep_on_device(
    users: Users,
    part: slice,
    const_SA: np.ndarray,
    plane_SPA: np.ndarray,
    sums: "_Sums",
    slate_UK: np.ndarray,
    margin_U: np.ndarray,
) -> np.ndarray:
    """Fills slates and margins of a shard and adds its sums; returns the positions of users left to the compiled kernel."""
    from allocator.solve import device  # brings torch, which is slow to import and seldom needed

    data = users.data
    found = device.sweep_part(
        device.rules_on(users.rules, users.device), data.planes_UPA[part], data.eligible_UA[part], data.class_U[part],
        data.group_U[part], const_SA, plane_SPA,
    )  # fmt: skip
    slate_UK[:], margin_U[:] = found.slate_UK, found.margin_U
    sums.add((found.dual_S[None], found.count_SA[None], found.sum_SPA[None]))
    return part.start + np.flatnonzero(found.hard_U)


class _Sums:
    """Sums over users by class, added up block after block, so that they do not depend on how users are cut into shards."""

    def __init__(self, classes: int, planes: int, actions: int):
        self.dual_S = np.zeros(classes)
        self.count_SA = np.zeros((classes, actions))
        self.sum_SPA = np.zeros((classes, planes, actions))

    def blocks(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return tuple(np.zeros((count, *total.shape)) for total in (self.dual_S, self.count_SA, self.sum_SPA))

    def add(self, blocks: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        for total, parts in zip((self.dual_S, self.count_SA, self.sum_SPA), blocks, strict=True):
            for part in parts:
                total += part


@contextlib.contextmanager
def threads_for(blocks: int) -> Iterator[None]:
    """No more threads than blocks: waking one up costs more than a small sweep."""
    most = numba.get_num_threads()
    numba.set_num_threads(max(1, min(blocks, most)))
    try:
        yield
    finally:
        numba.set_num_threads(most)


@numba.njit(cache=True)
def fill_net(work, planes_PA, eligible_A, const_A, plane_PA):
    """net = value - price . usage, in float64; -inf where not eligible."""
    for action in range(len(const_A)):
        if eligible_A[action]:
            net = const_A[action]
            for p in range(plane_PA.shape[0]):
                net += plane_PA[p, action] * planes_PA[p, action]
            work.net_A[action] = net
        else:
            work.net_A[action] = -np.inf


@numba.njit(cache=True)
def least_loss(net, lowest):
    """Below this no exchange that brings an action in can be: a best slate has no room for one of positive net value, so it takes
    the place of a contact worth `lowest` or more."""
    return lowest - net if net > 0.0 else -net


@numba.njit(cache=True)
def slate_margin(rules, work, slate_K, count):
    """By how much the best slate beats the best slate that differs by one exchange."""
    lowest = np.inf
    for k in range(count):
        lowest = min(lowest, work.net_A[slate_K[k]])
    margin = lowest
    for action in range(len(rules.slot_A)):
        if least_loss(work.net_A[action], lowest) >= margin:
            continue
        chosen = False
        for k in range(count):
            chosen = chosen or slate_K[k] == action
        if not chosen:
            loss, _ = exchange(rules, work, slate_K, count, action)
            margin = min(margin, loss)
    return margin


@numba.njit(parallel=True, cache=True)
def _sweep(
    rules, planes_UPA, eligible_UA, class_U, group_U, const_SA, plane_SPA,
    dual_BS, count_BSA, sum_BSPA, slate_UK, margin_U,
):  # fmt: skip
    users = len(class_U)
    for block in numba.prange(len(dual_BS)):
        work = make_work(rules)
        slate_K = np.empty(rules.most, np.int64)
        for u in range(block * BLOCK, min((block + 1) * BLOCK, users)):
            slate_UK[u] = NONE
            margin_U[u] = np.inf
            if group_U[u] != FREE:
                continue
            s = class_U[u]
            fill_net(work, planes_UPA[u], eligible_UA[u], const_SA[s], plane_SPA[s])
            count, value = best_slate(rules, work, slate_K)
            dual_BS[block, s] += value
            margin_U[u] = slate_margin(rules, work, slate_K, count)
            for k in range(count):
                action = slate_K[k]
                slate_UK[u, k] = action
                count_BSA[block, s, action] += 1.0
                for p in range(plane_SPA.shape[1]):
                    sum_BSPA[block, s, p, action] += planes_UPA[u, p, action]


@dataclass(frozen=True)
class Ties:
    """Single exchanges that lose less than a width: users, the contact that goes and the one that comes (-1: none), the loss."""

    user_T: np.ndarray
    out_T: np.ndarray
    in_T: np.ndarray
    loss_T: np.ndarray

    def take(self, index: np.ndarray) -> "Ties":
        return Ties(self.user_T[index], self.out_T[index], self.in_T[index], self.loss_T[index])


def near_ties(users: Users, swept: Pass, who_U: np.ndarray, width: float) -> Ties:
    """All exchanges of the users at positions who_U that lose less than `width` at the prices of the pass."""
    problem, data = users.problem, users.data
    const_SA, plane_SPA = problem.net_tables(swept.price_R)
    limit = (1 + len(problem.catalogue.actions)) * len(who_U)
    buffers = [np.empty(limit, np.int64) for _ in range(3)] + [np.empty(limit)]
    found = _near_ties(
        users.rules,
        data.planes_UPA,
        data.eligible_UA,
        data.class_U,
        const_SA,
        plane_SPA,
        swept.slate_UK,
        who_U,
        width,
        *buffers,
    )
    return Ties(*(buffer[:found].copy() for buffer in buffers))


@numba.njit(cache=True)
def _near_ties(
    rules, planes_UPA, eligible_UA, class_U, const_SA, plane_SPA, slate_UK, who_U, width, user_T, out_T, in_T, loss_T
):
    work = make_work(rules)
    slate_K = np.empty(rules.most, np.int64)
    found = 0
    for u in who_U:
        s = class_U[u]
        fill_net(work, planes_UPA[u], eligible_UA[u], const_SA[s], plane_SPA[s])
        count = 0
        work.used_C[:] = 0
        while count < rules.most and slate_UK[u, count] != NONE:
            slate_K[count] = slate_UK[u, count]
            for d in range(rules.cap_AD.shape[1]):
                if rules.cap_AD[slate_K[count], d] != NONE:
                    work.used_C[rules.cap_AD[slate_K[count], d]] += 1
            count += 1
        lowest = np.inf
        for k in range(count):
            lowest = min(lowest, work.net_A[slate_K[k]])
            if work.net_A[slate_K[k]] < width:
                user_T[found], out_T[found], in_T[found], loss_T[found] = u, slate_K[k], NONE, work.net_A[slate_K[k]]
                found += 1
        for action in range(len(rules.slot_A)):
            if least_loss(work.net_A[action], lowest) >= width:
                continue
            chosen = False
            for k in range(count):
                chosen = chosen or slate_K[k] == action
            if chosen:
                continue
            loss, removed = exchange(rules, work, slate_K, count, action)
            if loss < width:
                user_T[found], out_T[found], in_T[found], loss_T[found] = u, removed, action, loss
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
    who has more), the best and the empty one always among them."""
    problem, data = users.problem, users.data
    const_SA, plane_SPA = problem.net_tables(price_R)
    slate_NK = np.full((len(who_U) * (most + 1), users.rules.most), NONE, np.int16)
    net_N = np.empty(len(slate_NK))
    count_U = np.zeros(len(who_U), np.int64)
    _enumerate(
        users.rules, data.planes_UPA, data.eligible_UA, data.class_U, const_SA, plane_SPA, who_U, width, most,
        slate_NK, net_N, count_U,
    )  # fmt: skip
    kept = (np.arange(most + 1) < count_U[:, None]).reshape(-1)
    return Choices(np.repeat(np.arange(len(who_U)), count_U), slate_NK[kept], net_N[kept])


@numba.njit(parallel=True, cache=True)
def _enumerate(
    rules, planes_UPA, eligible_UA, class_U, const_SA, plane_SPA, who_U, width, most, slate_NK, net_N, count_U
):
    for block in numba.prange(-(-len(who_U) // 256)):
        work = make_work(rules)
        best_K = np.empty(rules.most, np.int64)
        found_NK = np.empty((most, rules.most), np.int16)
        value_N = np.empty(most)
        for i in range(block * 256, min((block + 1) * 256, len(who_U))):
            u = who_U[i]
            s = class_U[u]
            fill_net(work, planes_UPA[u], eligible_UA[u], const_SA[s], plane_SPA[s])
            _, best = best_slate(rules, work, best_K)
            mine = width
            found = near_slates(rules, work, best - mine, found_NK, value_N)
            while found > most and mine > 1e-12 * (1.0 + abs(best)):
                mine *= 0.6
                found = near_slates(rules, work, best - mine, found_NK, value_N)
            found = min(found, most)
            start = i * (most + 1)
            empty = False
            for n in range(found):
                slate_NK[start + n] = found_NK[n]
                net_N[start + n] = value_N[n]
                empty = empty or found_NK[n, 0] == NONE
            if not empty:
                slate_NK[start + found] = NONE
                net_N[start + found] = 0.0
                found += 1
            count_U[i] = found


def explain_contacts(users: Users, price_R: np.ndarray, slate_UK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per contact of the slates its margin over the best alternative and that alternative's action, float64 and int16 [U, K].

    The alternative puts another action in the contact's place, or nothing (-1), the rest of the slate staying as it is; the margin
    is in net value and negative where the constraints as a whole left the user less than the best.
    """
    const_SA, plane_SPA = users.problem.net_tables(price_R)
    margin_UK = np.full(slate_UK.shape, np.nan)
    instead_UK = np.full(slate_UK.shape, NONE, np.int16)
    data = users.data
    for part in data.shards():
        _explain(
            users.rules, data.planes_UPA[part], data.eligible_UA[part], data.class_U[part], const_SA, plane_SPA,
            slate_UK[part], margin_UK[part], instead_UK[part],
        )  # fmt: skip
    return margin_UK, instead_UK


@numba.njit(parallel=True, cache=True)
def _explain(rules, planes_UPA, eligible_UA, class_U, const_SA, plane_SPA, slate_UK, margin_UK, instead_UK):
    users = len(class_U)
    for block in numba.prange(-(-users // BLOCK)):
        work = make_work(rules)
        for u in range(block * BLOCK, min((block + 1) * BLOCK, users)):
            if slate_UK[u, 0] == NONE:
                continue
            s = class_U[u]
            fill_net(work, planes_UPA[u], eligible_UA[u], const_SA[s], plane_SPA[s])
            work.used_C[:] = 0
            for k in range(rules.most):
                if slate_UK[u, k] != NONE:
                    mark(rules, work.used_C, slate_UK[u, k], 1)
            for k in range(rules.most):
                if slate_UK[u, k] != NONE:
                    margin_UK[u, k], instead_UK[u, k] = best_instead(rules, work, slate_UK[u], slate_UK[u, k])


@numba.njit(cache=True)
def best_instead(rules, work, slate_K, contact):
    """(margin, action) of the best thing to do in place of one contact of a slate whose caps are counted in work.used_C."""
    best, instead = 0.0, NONE
    for action in range(len(rules.slot_A)):
        if not work.net_A[action] > best or action == contact:
            continue
        free = True
        for k in range(len(slate_K)):
            other = slate_K[k]
            if other != NONE and other != contact and rules.slot_A[other] == rules.slot_A[action]:
                free = False
        if free and fits(rules, work.used_C, action, contact, False):
            best, instead = work.net_A[action], action
    return work.net_A[contact] - best, instead
