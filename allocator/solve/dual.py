"""One dual evaluation over the users at given prices: the exact dual value, its gradient, every user's best slate and its margin.

Sums are kept per user class and action, so an evaluation costs the same whatever the number of constraints, and are added up block by
block in a fixed order, so the result does not depend on threads or shards.

Axes: U users, P planes, A actions, S user classes, R rows, C contact caps, L slots, Q asks, K contacts of a slate, T near ties,
N slates or contacts.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numba
import numpy as np

from allocator.problem import Problem
from allocator.solve.kernel import kernel
from allocator.solve.slates import (
    Rules,
    Work,
    asks_matter,
    best_slate,
    clear,
    copy_before,
    count_from,
    exchange,
    fits,
    is_slate,
    keeps_asks,
    make_work,
    mark,
    near_slates,
    second_value,
    settle,
    start_caps,
    worth_before,
)
from allocator.solve.unowned_arrays import lend
from allocator.users import FREE, NONE, Data

BLOCK = 8_192
FEW = 256
MOST_CELLS = 2**26
"""Users times rows of a table of what each uses of every row: half a gigabyte."""


@dataclass(frozen=True)
class DualEvaluation:
    """What one dual evaluation found at price_R.

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
    """The users that the dual is evaluated over: data in memory, the compiled contact rules, and how many users each one stands for.

    weight_S: 1 for all users; for a stratified sample, users of the class per sampled user. limit_R: what these users may use.
    device: where evaluations run, `cpu` (compiled) or a torch device such as `cuda`. many_U: float64, how many users alike each one stands
    for, beside weight_S; empty where each stands for itself.
    """

    problem: Problem
    data: Data
    rules: Rules
    weight_S: np.ndarray
    limit_R: np.ndarray
    device: str = "cpu"
    many_U: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def people(self) -> int:
        """How many users they stand for, those of a sample for themselves."""
        return round(float(self.many_U.sum())) if len(self.many_U) else len(self.data)

    def many(self, who_U: np.ndarray | slice = slice(None)) -> np.ndarray:
        """float64: how many users alike those at these positions stand for."""
        return (self.many_U if len(self.many_U) else np.ones(len(self.data)))[who_U]

    def take(self, who_U: np.ndarray) -> "Users":
        """The users at these positions."""
        return replace(self, data=self.data.take(who_U), many_U=self.many_U[who_U] if len(self.many_U) else self.many_U)


def evaluate_dual(users: Users, price_R: np.ndarray) -> DualEvaluation:
    """The dual over all users at these prices, shard by shard. O(users x actions), exact slates."""
    problem, data = users.problem, users.data
    tables = Tables.at(problem, price_R)
    slate_UK = np.empty((len(data), users.rules.most), np.int16)
    margin_U = np.empty(len(data), np.float32)
    sums = _Sums(len(problem.classes), len(problem.planes), len(problem.catalogue.actions))
    for part in data.shards():
        who: slice | np.ndarray = part
        if users.device != "cpu" and not data.remembers and not len(users.rules.trigger_Q):
            who = _evaluate_on_device(users, part, tables, sums, slate_UK[part], margin_U[part])
        blocks, slate_uK, margin_u = _evaluate_compiled(users, who, tables, sums)
        slate_UK[who], margin_U[who] = slate_uK, margin_u
        sums.add(blocks)
    weight_S = users.weight_S
    count_SA, sum_SPA = sums.count_SA * weight_S[:, None], sums.sum_SPA * weight_S[:, None, None]
    return DualEvaluation(
        price_R=price_R,
        dual=float(sums.dual_S @ weight_S) + float(users.limit_R @ price_R),
        value=problem.worth_of_sums(count_SA, sum_SPA),
        usage_R=problem.rows.usage(count_SA, sum_SPA, sums.kept_S * weight_S),
        slate_UK=slate_UK,
        margin_U=margin_U,
    )


@dataclass(frozen=True)
class Tables:
    """What prices make of the data: net value = const_SA + sum over planes of plane_SPA * X, and bonus_S for keeping the slate."""

    const_SA: np.ndarray
    plane_SPA: np.ndarray
    bonus_S: np.ndarray

    @classmethod
    def at(cls, problem: Problem, price_R: np.ndarray) -> "Tables":
        return cls(*problem.net_tables(price_R), problem.rows.bonus(price_R))


def _evaluate_compiled(
    users: Users, who: slice | np.ndarray, tables: Tables, sums: "_Sums"
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """(block sums, slates, margins) of some users, by the compiled kernel."""
    data = users.data
    class_U = data.class_U[who]
    slate_UK = np.empty((len(class_U), users.rules.most), np.int16)
    margin_U = np.empty(len(class_U), np.float32)
    blocks = sums.blocks(-(-len(class_U) // BLOCK))
    planes_UPA, eligible_UA, group_U = data.planes_UPA[who], data.eligible_UA[who], data.group_U[who]
    before_UK, received_UC = data.before_UK[who], data.received_UC[who]
    many_U = users.many_U[who] if len(users.many_U) else users.many_U

    def evaluate_block(block: int, part: slice) -> None:
        dual_S, count_SA, sum_SPA, kept_S = (total[block] for total in blocks)
        _evaluate_block(
            users.rules, make_work(users.rules), planes_UPA[part], eligible_UA[part], class_U[part], group_U[part],
            before_UK[part], received_UC[part], many_U[part], tables.const_SA, tables.plane_SPA, tables.bonus_S,
            dual_S, count_SA, sum_SPA, kept_S, slate_UK[part], margin_U[part],
        )  # fmt: skip

    in_blocks(evaluate_block, len(class_U), BLOCK)
    return blocks, slate_UK, margin_U


def _evaluate_on_device(
    users: Users,
    part: slice,
    tables: Tables,
    sums: "_Sums",
    slate_UK: np.ndarray,
    margin_U: np.ndarray,
) -> np.ndarray:
    """Fills slates and margins of a shard and adds its sums; returns the positions of users left to the compiled kernel."""
    from allocator.solve import device  # brings torch, which is slow to import and seldom needed

    data = users.data
    found = device.evaluate_part(
        device.rules_on(users.rules, users.device), data.planes_UPA[part], data.eligible_UA[part], data.class_U[part],
        data.group_U[part], data.received_UC[part], users.rules.free_SC, tables.const_SA, tables.plane_SPA,
    )  # fmt: skip
    slate_UK[:], margin_U[:] = found.slate_UK, found.margin_U
    sums.add((found.dual_S[None], found.count_SA[None], found.sum_SPA[None], np.zeros((1, len(found.dual_S)))))
    return part.start + np.flatnonzero(found.hard_U)


class _Sums:
    """Sums over users by class, added up block after block, so that they do not depend on how users are cut into shards."""

    def __init__(self, classes: int, planes: int, actions: int):
        self.dual_S = np.zeros(classes)
        self.count_SA = np.zeros((classes, actions))
        self.sum_SPA = np.zeros((classes, planes, actions))
        self.kept_S = np.zeros(classes)

    @property
    def _all(self) -> tuple[np.ndarray, ...]:
        return self.dual_S, self.count_SA, self.sum_SPA, self.kept_S

    def blocks(self, count: int) -> tuple[np.ndarray, ...]:
        return tuple(np.zeros((count, *total.shape)) for total in self._all)

    def add(self, blocks: tuple[np.ndarray, ...]) -> None:
        for total, parts in zip(self._all, blocks, strict=True):
            for part in parts:
                total += part


def in_blocks(work: Callable[[int, slice], None], count: int, size: int) -> None:
    """work(block, part) for every `size` of `count` users, in as many threads as numba is set to; kernels let go of the GIL.

    Threads of Python and not of numba, whose parallel loops over tuples of arrays take ten times as long to compile.
    """
    parts = [slice(first, min(first + size, count)) for first in range(0, count, size)]
    threads = min(numba.get_num_threads(), len(parts))
    if threads <= 1:
        for block, part in enumerate(parts):
            work(block, part)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(len(parts)), parts))


@kernel(forceinline=True)
def fill_net(
    work: Work, planes_PA: np.ndarray, eligible_A: np.ndarray, const_A: np.ndarray, plane_PA: np.ndarray
) -> None:
    """net = value - price . usage, in float64; -inf where not eligible. Action after action within a plane, so that it is vectorised."""
    net_A = work.net_A
    for action in range(len(const_A)):
        net_A[action] = const_A[action]
    for p in range(plane_PA.shape[0]):
        for action in range(len(const_A)):
            net_A[action] += plane_PA[p, action] * planes_PA[p, action]
    for action in range(len(const_A)):
        if not eligible_A[action]:
            net_A[action] = -np.inf


@kernel(forceinline=True)
def least_loss(net: float, lowest: float) -> float:
    """Below this no exchange that brings an action in can be: a best slate has no room for one of positive net value, so it takes
    the place of a contact worth `lowest` or more."""
    return lowest - net if net > 0.0 else -net


@kernel(forceinline=True)
def slate_margin(rules: Rules, work: Work, slate_K: np.ndarray, count: int) -> float:
    """By how much the best slate beats the best slate that differs by one exchange; where contacts ask for others, every other slate."""
    if asks_matter(rules, work):
        value = 0.0
        for k in range(count):
            value += work.net_A[slate_K[k]]
        return value - second_value(rules, work, slate_K, count)
    lowest = np.inf
    for k in range(count):
        lowest = min(lowest, work.net_A[slate_K[k]])
    margin = lowest
    settle(rules, work, slate_K, count)
    for action in range(len(rules.slot_A)):
        if least_loss(work.net_A[action], lowest) >= margin:
            continue
        if work.holder_L[rules.slot_A[action]] != action:
            loss, _ = exchange(rules, work, slate_K, count, action)
            margin = min(margin, loss)
    return margin


@kernel(forceinline=True)
def keep_or_change(
    rules: Rules, work: Work, before_K: np.ndarray, bonus: float, slate_K: np.ndarray, count: int, value: float,
    margin: float,
) -> tuple[int, float, float, bool]:  # fmt: skip
    """The better of the best slate and the earlier one, whose keeping is worth `bonus`: (count, value, margin, kept).

    Takes the best slate in slate_K with its value and margin, and leaves the choice there.
    """
    if is_slate(slate_K, count, before_K):
        return count, value + bonus, margin + bonus, True
    kept_value = worth_before(work, before_K) + bonus
    if kept_value > value:
        return copy_before(rules, work, before_K, slate_K), kept_value, kept_value - value, True
    return count, value, min(margin, value - kept_value), False


@kernel(nogil=True)
def _evaluate_block(
    rules: Rules, work: Work, planes_UPA: np.ndarray, eligible_UA: np.ndarray, class_U: np.ndarray, group_U: np.ndarray,
    before_UK: np.ndarray, received_UC: np.ndarray, many_U: np.ndarray, const_SA: np.ndarray, plane_SPA: np.ndarray,
    bonus_S: np.ndarray, dual_S: np.ndarray, count_SA: np.ndarray, sum_SPA: np.ndarray, kept_S: np.ndarray,
    slate_UK: np.ndarray, margin_U: np.ndarray,
) -> None:  # fmt: skip
    rules, work, planes_UPA, eligible_UA = lend(rules), lend(work), lend(planes_UPA), lend(eligible_UA)
    before_UK, received_UC, const_SA, plane_SPA = lend(before_UK), lend(received_UC), lend(const_SA), lend(plane_SPA)
    slate_UK, slate_K = lend(slate_UK), work.slate_K
    for u in range(len(class_U)):
        clear(slate_UK[u], NONE)
        margin_U[u] = np.inf
        if group_U[u] != FREE:
            continue
        s = class_U[u]
        many = many_U[u] if len(many_U) > 0 else 1.0
        fill_net(work, planes_UPA[u], eligible_UA[u], const_SA[s], plane_SPA[s])
        count_from(rules, work, received_UC[u], s)
        count, value = best_slate(rules, work, slate_K)
        margin = slate_margin(rules, work, slate_K, count)
        if before_UK.shape[1] > 0:
            count, value, margin, kept = keep_or_change(
                rules, work, before_UK[u], bonus_S[s], slate_K, count, value, margin
            )
            kept_S[s] += many * kept
        dual_S[s] += many * value
        margin_U[u] = margin
        for k in range(count):
            action = slate_K[k]
            slate_UK[u, k] = action
            count_SA[s, action] += many
            for p in range(plane_SPA.shape[1]):
                sum_SPA[s, p, action] += many * planes_UPA[u, p, action]


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
    """All exchanges of the users at positions who_U that lose less than `width` at the prices of the evaluation."""
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
            elif worth_before(work, before_UK[u]) + bonus_S[s] > value:
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
        tables.const_SA, tables.plane_SPA, tables.bonus_S, who_U, width, user_T, to_TK, loss_T,
    )  # fmt: skip
    return Swaps(user_T[:found], evaluated.slate_UK[user_T[:found]], to_TK[:found], loss_T[:found])


@kernel()
def _near_swaps(
    rules: Rules, work: Work, planes_UPA: np.ndarray, eligible_UA: np.ndarray, class_U: np.ndarray, before_UK: np.ndarray,
    received_UC: np.ndarray, const_SA: np.ndarray, plane_SPA: np.ndarray, bonus_S: np.ndarray, who_U: np.ndarray,
    width: float, user_T: np.ndarray, to_TK: np.ndarray, loss_T: np.ndarray,
) -> int:  # fmt: skip
    rules, work, planes_UPA, eligible_UA = lend(rules), lend(work), lend(planes_UPA), lend(eligible_UA)
    before_UK, received_UC, const_SA, plane_SPA = lend(before_UK), lend(received_UC), lend(const_SA), lend(plane_SPA)
    to_TK, slate_K = lend(to_TK), work.slate_K
    found = 0
    for u in who_U:
        s = class_U[u]
        fill_net(work, planes_UPA[u], eligible_UA[u], const_SA[s], plane_SPA[s])
        count_from(rules, work, received_UC[u], s)
        count, value = best_slate(rules, work, slate_K)
        kept_value = worth_before(work, before_UK[u]) + bonus_S[s]
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


def slate_usage(users: Users, user_N: np.ndarray, slate_NK: np.ndarray) -> np.ndarray:
    """[N, R]: what each slate uses of each row, in float64 from the stored metrics."""
    data, rows = users.data, users.problem.rows
    usage_NR = contact_usage(users, user_N, slate_NK)
    if data.remembers and rows.keep_R.any():
        kept = np.flatnonzero(data.keeps(user_N, slate_NK))
        usage_NR[kept] += rows.keep_R * rows.member_RS.T[data.class_U[user_N[kept]]]
    return usage_NR


def total_usage(users: Users, slate_UK: np.ndarray) -> np.ndarray:
    """[R]: what the slates of all users use of each row."""
    used_R = np.zeros(len(users.problem.rows))
    step = max(MOST_CELLS // max(len(used_R), 1), 1)
    for shard in users.data.shards():
        for first in range(shard.start, shard.stop, step):
            part = slice(first, min(first + step, shard.stop))
            used_UR = slate_usage(users, np.arange(part.start, part.stop), slate_UK[part])
            used_R += users.many_U[part] @ used_UR if len(users.many_U) else used_UR.sum(axis=0)
    return used_R


def value_of(users: Users, slate_UK: np.ndarray) -> float:
    """What slates are worth, penalties for soft rows paid, in float64 from the stored metrics."""
    problem, data = users.problem, users.data
    value = 0.0
    for k in range(slate_UK.shape[1]):
        user_N = np.flatnonzero(slate_UK[:, k] >= 0)
        action_N = slate_UK[user_N, k].astype(np.int64)
        worth_N = problem.worth(action_N, data.planes_UPA[user_N, :, action_N])
        value += float(worth_N @ users.many(user_N))
    penalty_R = problem.rows.penalty_R
    soft_R = np.isfinite(penalty_R)
    if soft_R.any():
        value -= float(penalty_R[soft_R] @ np.maximum(total_usage(users, slate_UK) - users.limit_R, 0.0)[soft_R])
    return value


def contact_usage(users: Users, user_N: np.ndarray, slate_NK: np.ndarray) -> np.ndarray:
    """[N, R]: what the contacts of each slate, or of a part of it, use of each row."""
    data, rows = users.data, users.problem.rows
    usage_NR = np.zeros((len(user_N), len(rows)))
    for k in range(slate_NK.shape[1]):
        taken = np.flatnonzero(slate_NK[:, k] != NONE)
        if len(taken):
            action = slate_NK[taken, k].astype(np.int64)
            user = user_N[taken]
            plane_NP = data.planes_UPA[user, :, action].astype(float)
            usage_NR[taken] += rows.contributions(data.class_U[user], action, plane_NP)
    return usage_NR


def largest_loss(users: Users, price_R: np.ndarray) -> float:
    """No slate of these users loses more against the best one at these prices."""
    data, tables = users.data, Tables.at(users.problem, price_R)
    net_UA = tables.const_SA[data.class_U] + np.einsum("upa,upa->ua", data.planes_UPA, tables.plane_SPA[data.class_U])
    most_U = tables.bonus_S[data.class_U] if data.remembers else np.zeros(len(data))
    for slot in range(users.rules.slots):
        inside_A = users.rules.slot_A == slot
        net_Ua = np.where(data.eligible_UA[:, inside_A], net_UA[:, inside_A], 0.0)
        most_U = most_U + np.maximum(net_Ua.max(axis=1), 0.0) - np.minimum(net_Ua.min(axis=1), 0.0)
    return float(most_U.max(initial=0.0))


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
            data.before_UK, data.received_UC, tables.const_SA, tables.plane_SPA, tables.bonus_S, who_U[part], width,
            slate_NK[rows], net_N[rows], count_U[part],
        )  # fmt: skip

    in_blocks(enumerate_block, len(who_U), FEW)
    kept = (np.arange(most + 2) < count_U[:, None]).reshape(-1)
    return Choices(np.repeat(np.arange(len(who_U)), count_U), slate_NK[kept], net_N[kept])


@kernel(nogil=True)
def _enumerate_block(
    rules: Rules, work: Work, found_NK: np.ndarray, value_N: np.ndarray, planes_UPA: np.ndarray, eligible_UA: np.ndarray,
    class_U: np.ndarray, before_UK: np.ndarray, received_UC: np.ndarray, const_SA: np.ndarray, plane_SPA: np.ndarray,
    bonus_S: np.ndarray, who_U: np.ndarray, width: float, slate_NK: np.ndarray, net_N: np.ndarray, count_U: np.ndarray,
) -> None:  # fmt: skip
    rules, work, planes_UPA, eligible_UA = lend(rules), lend(work), lend(planes_UPA), lend(eligible_UA)
    before_UK, received_UC, const_SA, plane_SPA = lend(before_UK), lend(received_UC), lend(const_SA), lend(plane_SPA)
    found_NK, slate_NK, best_K = lend(found_NK), lend(slate_NK), work.slate_K
    keeping, most = before_UK.shape[1] > 0, len(value_N)
    for i in range(len(who_U)):
        u = who_U[i]
        s = class_U[u]
        fill_net(work, planes_UPA[u], eligible_UA[u], const_SA[s], plane_SPA[s])
        count_from(rules, work, received_UC[u], s)
        _, best = best_slate(rules, work, best_K)
        kept_value = -np.inf
        if keeping:
            kept_value = worth_before(work, before_UK[u]) + bonus_S[s]
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


@kernel(forceinline=True)
def slate_size(slate_K: np.ndarray) -> int:
    """How many contacts a padded slate has."""
    count = 0
    while count < len(slate_K) and slate_K[count] != NONE:
        count += 1
    return count


def explain_contacts(users: Users, price_R: np.ndarray, slate_UK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per contact of the slates its margin over the best alternative and that alternative's action, float64 and int16 [U, K].

    The alternative puts another action in the contact's place, or nothing (-1), the rest of the slate staying as it is; the margin
    is in net value, what keeping the earlier slate is worth included, and negative where the constraints as a whole left the user
    less than the best.
    """
    tables = Tables.at(users.problem, price_R)
    margin_UK = np.full(slate_UK.shape, np.nan)
    instead_UK = np.full(slate_UK.shape, NONE, np.int16)
    data = users.data
    for shard in data.shards():

        def explain_block(block: int, part: slice, first: int = shard.start) -> None:
            part = slice(first + part.start, first + part.stop)
            _explain_block(
                users.rules, make_work(users.rules), data.planes_UPA[part], data.eligible_UA[part], data.class_U[part],
                data.before_UK[part], data.received_UC[part], tables.const_SA, tables.plane_SPA, tables.bonus_S,
                slate_UK[part], margin_UK[part], instead_UK[part],
            )  # fmt: skip

        in_blocks(explain_block, shard.stop - shard.start, BLOCK)
    return margin_UK, instead_UK


@kernel(nogil=True)
def _explain_block(
    rules: Rules, work: Work, planes_UPA: np.ndarray, eligible_UA: np.ndarray, class_U: np.ndarray, before_UK: np.ndarray,
    received_UC: np.ndarray, const_SA: np.ndarray, plane_SPA: np.ndarray, bonus_S: np.ndarray, slate_UK: np.ndarray,
    margin_UK: np.ndarray, instead_UK: np.ndarray,
) -> None:  # fmt: skip
    rules, work, planes_UPA, eligible_UA = lend(rules), lend(work), lend(planes_UPA), lend(eligible_UA)
    before_UK, received_UC, const_SA, plane_SPA = lend(before_UK), lend(received_UC), lend(const_SA), lend(plane_SPA)
    slate_UK = lend(slate_UK)
    for u in range(len(class_U)):
        if slate_UK[u, 0] == NONE:
            continue
        s = class_U[u]
        fill_net(work, planes_UPA[u], eligible_UA[u], const_SA[s], plane_SPA[s])
        count_from(rules, work, received_UC[u], s)
        start_caps(work)
        count = slate_size(slate_UK[u])
        for k in range(count):
            mark(rules, work.used_C, slate_UK[u, k], 1)
        bonus = 0.0
        if before_UK.shape[1] > 0 and is_slate(slate_UK[u], count, before_UK[u]):
            bonus = bonus_S[s]
        for k in range(count):
            margin, instead_UK[u, k] = best_instead(rules, work, slate_UK[u], slate_UK[u, k])
            if margin == np.inf:  # what is left could not stand without it
                margin = margin_without(rules, work, slate_UK[u], count, slate_UK[u, k])
            margin_UK[u, k] = margin + bonus


@kernel(forceinline=True)
def best_instead(rules: Rules, work: Work, slate_K: np.ndarray, contact: int) -> tuple[float, int]:
    """(margin, action) of the best thing to do in place of one contact of a slate whose caps are counted in work.used_C.

    A margin of inf: the others ask for this contact, and nothing can stand in its place.
    """
    best, instead = 0.0 if leaves_whole(rules, work, contact, NONE) else -np.inf, NONE
    for action in range(len(rules.slot_A)):
        if not work.net_A[action] > best or action == contact:
            continue
        free = True
        for k in range(len(slate_K)):
            other = slate_K[k]
            if other != NONE and other != contact and rules.slot_A[other] == rules.slot_A[action]:
                free = False
        if free and fits(rules, work.used_C, action, contact, False) and leaves_whole(rules, work, contact, action):
            best, instead = work.net_A[action], action
    return work.net_A[contact] - best, instead


@kernel(forceinline=True)
def leaves_whole(rules: Rules, work: Work, contact: int, action: int) -> bool:
    """Whether what a slate's contacts ask for is still there with `action` (or NONE) in the place of one of them."""
    if len(rules.trigger_Q) == 0:
        return True
    mark(rules, work.used_C, contact, -1)
    if action != NONE:
        mark(rules, work.used_C, action, 1)
    whole = keeps_asks(rules, work)
    mark(rules, work.used_C, contact, 1)
    if action != NONE:
        mark(rules, work.used_C, action, -1)
    return whole


@kernel(forceinline=True)
def margin_without(rules: Rules, work: Work, slate_uK: np.ndarray, count: int, contact: int) -> float:
    """By how much a slate beats the best one without this contact of it; counts the slate's caps again."""
    value, net = 0.0, work.net_A[contact]
    for k in range(count):
        value += work.net_A[slate_uK[k]]
    work.net_A[contact] = -np.inf
    _, other = best_slate(rules, work, work.slate_K)
    work.net_A[contact] = net
    start_caps(work)
    for k in range(count):
        mark(rules, work.used_C, slate_uK[k], 1)
    return value - other
