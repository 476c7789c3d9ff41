"""One dual evaluation over the users at given prices: the exact dual value, its gradient, every user's best slate and its margin.

Sums are kept per user class and action, so an evaluation costs the same whatever the number of constraints, and are added up block by
block in a fixed order, so the result does not depend on threads or shards.

Axes: U users, P planes, A actions, S user classes, R rows, C contact caps, L slots, Q asks, K contacts of a slate,
B reach sets, N slates.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Self

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
    compile_rules,
    copy_before,
    count_from,
    credit,
    exchange,
    is_slate,
    make_work,
    rewards_matter,
    rewards_of,
    second_value,
    settle,
    worth_before,
)
from allocator.solve.unowned_arrays import lend
from allocator.solve.usage import summed_contributions
from allocator.tally import Tally, sets_reached
from allocator.users import FREE, NONE, Data

BLOCK = 8_192
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

    @classmethod
    def of(cls, problem: Problem, data: Data, limit_R: np.ndarray | None = None) -> Self:
        """These users under the rules of their problem, its reach sets among them. limit_R: the bounds of its rows by default."""
        rules = compile_rules(problem.contact, problem.rows.reach_BA)
        return cls(
            problem, data, rules, np.ones(len(problem.classes)), problem.rows.limit_R if limit_R is None else limit_R
        )

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
    sums = _Sums(problem)
    for part in data.shards():
        who: slice | np.ndarray = part
        if users.device != "cpu" and not data.remembers and not users.rules.joint:
            who = _evaluate_on_device(users, part, tables, sums, slate_UK[part], margin_U[part])
        blocks, slate_uK, margin_u = _evaluate_compiled(users, who, tables, sums)
        slate_UK[who], margin_U[who] = slate_uK, margin_u
        sums.add(blocks)
    counted = sums.tally(problem.rows.reach_BA).weighted(users.weight_S)
    return DualEvaluation(
        price_R=price_R,
        dual=float(sums.dual_S @ users.weight_S) + float(users.limit_R @ price_R),
        value=problem.worth_of_sums(counted.count_SA, counted.sum_SPA),
        usage_R=problem.rows.usage(counted),
        slate_UK=slate_UK,
        margin_U=margin_U,
    )


@dataclass(frozen=True)
class Tables:
    """What prices make of the data: net value = const_SA + sum over planes of plane_SPA * X, bonus_S for keeping the slate, and
    reward_SB for a contact in each reach set."""

    const_SA: np.ndarray
    plane_SPA: np.ndarray
    bonus_S: np.ndarray
    reward_SB: np.ndarray

    @classmethod
    def at(cls, problem: Problem, price_R: np.ndarray) -> "Tables":
        rows = problem.rows
        return cls(*problem.net_tables(price_R), rows.bonus(price_R), np.ascontiguousarray(rows.reward(price_R)))


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
        dual_S, count_SA, sum_SPA, kept_S, reached_SB = (total[block] for total in blocks)
        _evaluate_block(
            users.rules, make_work(users.rules), planes_UPA[part], eligible_UA[part], class_U[part], group_U[part],
            before_UK[part], received_UC[part], many_U[part], tables.const_SA, tables.plane_SPA, tables.bonus_S,
            tables.reward_SB, dual_S, count_SA, sum_SPA, kept_S, reached_SB, slate_UK[part], margin_U[part],
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
    users_S = np.zeros((1, len(found.dual_S)))
    sums.add((found.dual_S[None], found.count_SA[None], found.sum_SPA[None], users_S, np.zeros((*users_S.shape, 0))))
    return part.start + np.flatnonzero(found.hard_U)


class _Sums:
    """Sums over users by class, added up block after block, so that they do not depend on how users are cut into shards."""

    def __init__(self, problem: Problem):
        classes, planes, actions = len(problem.classes), len(problem.planes), len(problem.catalogue.actions)
        self.dual_S = np.zeros(classes)
        self.count_SA = np.zeros((classes, actions))
        self.sum_SPA = np.zeros((classes, planes, actions))
        self.kept_S = np.zeros(classes)
        self.reached_SB = np.zeros((classes, len(problem.rows.reach_BA)))

    @property
    def _all(self) -> tuple[np.ndarray, ...]:
        return self.dual_S, self.count_SA, self.sum_SPA, self.kept_S, self.reached_SB

    def tally(self, reach_BA: np.ndarray) -> Tally:
        return Tally(self.count_SA, self.sum_SPA, self.kept_S, self.reached_SB, reach_BA)

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
    """By how much the best slate beats the best slate that differs by one exchange; where contacts ask for others, or slates have
    rewards, every other slate."""
    if asks_matter(rules, work) or rewards_matter(rules, work):
        value = 0.0
        for k in range(count):
            value += work.net_A[slate_K[k]]
        value += rewards_of(rules, work, slate_K, count)
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
    kept_value = worth_before(rules, work, before_K) + bonus
    if kept_value > value:
        return copy_before(rules, work, before_K, slate_K), kept_value, kept_value - value, True
    return count, value, min(margin, value - kept_value), False


@kernel(nogil=True)
def _evaluate_block(
    rules: Rules, work: Work, planes_UPA: np.ndarray, eligible_UA: np.ndarray, class_U: np.ndarray, group_U: np.ndarray,
    before_UK: np.ndarray, received_UC: np.ndarray, many_U: np.ndarray, const_SA: np.ndarray, plane_SPA: np.ndarray,
    bonus_S: np.ndarray, reward_SB: np.ndarray, dual_S: np.ndarray, count_SA: np.ndarray, sum_SPA: np.ndarray,
    kept_S: np.ndarray, reached_SB: np.ndarray, slate_UK: np.ndarray, margin_U: np.ndarray,
) -> None:  # fmt: skip
    rules, work, planes_UPA, eligible_UA = lend(rules), lend(work), lend(planes_UPA), lend(eligible_UA)
    before_UK, received_UC, const_SA, plane_SPA = lend(before_UK), lend(received_UC), lend(const_SA), lend(plane_SPA)
    slate_UK, slate_K, reward_SB = lend(slate_UK), work.slate_K, lend(reward_SB)
    for u in range(len(class_U)):
        clear(slate_UK[u], NONE)
        margin_U[u] = np.inf
        if group_U[u] != FREE:
            continue
        s = class_U[u]
        many = many_U[u] if len(many_U) > 0 else 1.0
        fill_net(work, planes_UPA[u], eligible_UA[u], const_SA[s], plane_SPA[s])
        count_from(rules, work, received_UC[u], s)
        credit(rules, work, reward_SB[s])
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
        for b in range(len(rules.reach_BA)):
            hit = False
            for k in range(count):
                hit = hit or rules.reach_BA[b, slate_K[k]]
            reached_SB[s, b] += many * hit


def slate_usage(users: Users, user_N: np.ndarray, slate_NK: np.ndarray) -> np.ndarray:
    """[N, R]: what each slate uses of each row, in float64 from the stored metrics."""
    data, rows = users.data, users.problem.rows
    usage_NR = contact_usage(users, user_N, slate_NK)
    if data.remembers and rows.keep_R.any():
        kept = np.flatnonzero(data.keeps(user_N, slate_NK))
        usage_NR[kept] += rows.keep_R * rows.member_RS.T[data.class_U[user_N[kept]]]
    if len(rows.reach_BA):
        usage_NR += reach_usage(users, user_N, slate_NK)
    return usage_NR


def reach_usage(users: Users, user_N: np.ndarray, slate_NK: np.ndarray) -> np.ndarray:
    """[N, R]: what each slate uses of each row by reaching its user, however many contacts it has."""
    rows = users.problem.rows
    return (sets_reached(rows.reach_BA, slate_NK) @ rows.reach_RB.T) * rows.member_RS.T[users.data.class_U[user_N]]


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
    data = users.data
    of_N, k_N = np.nonzero(slate_NK != NONE)
    user, action = user_N[of_N], slate_NK[of_N, k_N].astype(np.int64)
    plane_NP = data.planes_UPA[user, :, action].astype(float)
    return summed_contributions(users.problem.rows, data.class_U[user], action, plane_NP, of_N, len(user_N))
