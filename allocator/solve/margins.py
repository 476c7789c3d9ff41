"""What each contact of an allocation is worth over the best alternative in its place, and which action that is.

Axes: U users, u one of them, P planes, A actions, S user classes, C contact caps, K contacts of a slate,
B reach sets.
"""

import numpy as np

from allocator.solve.dual import BLOCK, Tables, Users, fill_net, in_blocks
from allocator.solve.kernel import kernel
from allocator.solve.slates import (
    Rules,
    Work,
    best_slate,
    count_from,
    credit,
    fits,
    is_slate,
    keeps_asks,
    make_work,
    mark,
    rewards_of,
    rewards_with,
    slate_size,
    start_caps,
)
from allocator.solve.unowned_arrays import lend
from allocator.users import NONE


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
                tables.reward_SB, slate_UK[part], margin_UK[part], instead_UK[part],
            )  # fmt: skip

        in_blocks(explain_block, shard.stop - shard.start, BLOCK)
    return margin_UK, instead_UK


@kernel(nogil=True)
def _explain_block(
    rules: Rules, work: Work, planes_UPA: np.ndarray, eligible_UA: np.ndarray, class_U: np.ndarray, before_UK: np.ndarray,
    received_UC: np.ndarray, const_SA: np.ndarray, plane_SPA: np.ndarray, bonus_S: np.ndarray, reward_SB: np.ndarray,
    slate_UK: np.ndarray, margin_UK: np.ndarray, instead_UK: np.ndarray,
) -> None:  # fmt: skip
    rules, work, planes_UPA, eligible_UA = lend(rules), lend(work), lend(planes_UPA), lend(eligible_UA)
    before_UK, received_UC, const_SA, plane_SPA = lend(before_UK), lend(received_UC), lend(const_SA), lend(plane_SPA)
    slate_UK, reward_SB = lend(slate_UK), lend(reward_SB)
    for u in range(len(class_U)):
        if slate_UK[u, 0] == NONE:
            continue
        s = class_U[u]
        fill_net(work, planes_UPA[u], eligible_UA[u], const_SA[s], plane_SPA[s])
        count_from(rules, work, received_UC[u], s)
        credit(rules, work, reward_SB[s])
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
    best = rewards_with(rules, work, contact, NONE) if leaves_whole(rules, work, contact, NONE) else -np.inf
    instead = NONE
    for action in range(rules.actions):
        worth = work.net_A[action] + rewards_with(rules, work, contact, action)
        if not worth > best or action == contact:
            continue
        free = True
        for k in range(len(slate_K)):
            other = slate_K[k]
            if other != NONE and other != contact and rules.slot_A[other] == rules.slot_A[action]:
                free = False
        if free and fits(rules, work.used_C, action, contact, False) and leaves_whole(rules, work, contact, action):
            best, instead = worth, action
    return work.net_A[contact] + rewards_with(rules, work, contact, contact) - best, instead


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
    value += rewards_of(rules, work, slate_uK, count)
    work.net_A[contact] = -np.inf
    _, other = best_slate(rules, work, work.slate_K)
    work.net_A[contact] = net
    start_caps(work)
    for k in range(count):
        mark(rules, work.used_C, slate_uK[k], 1)
    return value - other
