"""One user's exact problem: the best slate at given net values, its margins, and the slates that nearly tie with it.

A slate takes at most one action per slot and keeps every cap. Caps that are unions of whole slots and nest (laminar) are solved by
greedy over the slots' best actions, which is exact there (a laminar matroid: Schrijver, Combinatorial Optimization, ch. 40);
other caps by branch and bound over the slots, tried only where greedy without them breaks one, and so is what contacts ask for
(see `asks`). Everything is compiled by numba and works on one user, so a dual evaluation is a loop over users around it.

Where a constraint counts users by reach, a slate is worth a reward (or costs one) once for all its contacts of a set. Each such reach
set has a marker: an action of its own slot after all others, whose net value is the reward, and which a slate has if and only if it has
a contact of the set. Greedy is exact where it comes out so. Otherwise branch and bound decides about the markers first. What a set still
needs, or what leaving its actions out costs, then bounds what the slots to come can add. Slates that are handed out have no markers.

Axes: A actions (after them markers), L slots, C contact caps, D caps of one action, W 64-bit words, K contacts of a slate, Q asks,
S user classes, B reach sets, N slates.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from allocator.asks import NO_LIMIT, NOT_BOUND
from allocator.contact_rules import ContactRules
from allocator.solve.kernel import kernel
from allocator.users import LOST, NONE


class Rules(NamedTuple):
    """The contact rules of one user as arrays.

    slot_A; cap_AD: the caps of each action, padded with NONE; mask_AW: the same as bits; capacity_C; easy_C: a cap greedy can
    keep; all_easy: every cap is; twin_A: actions of one slot with the same twin are alike in every cap; slots, most: L, K. free_SC:
    caps that do not bind a class, no rows where all bind all; trigger_Q, wanted_Q, number_SQ: as in `Asks`. actions, contact_slots: how
    many are no markers'; reach_BA: the reach sets; set_B, marker_B: the caps without a limit that count their actions and their markers;
    meets_B: the first 64 sets that share an action with each, as bits.
    """

    slot_A: np.ndarray
    cap_AD: np.ndarray
    mask_AW: np.ndarray
    capacity_C: np.ndarray
    easy_C: np.ndarray
    all_easy: bool
    twin_A: np.ndarray
    slots: int
    most: int
    free_SC: np.ndarray
    trigger_Q: np.ndarray
    wanted_Q: np.ndarray
    number_SQ: np.ndarray
    actions: int
    contact_slots: int
    reach_BA: np.ndarray
    set_B: np.ndarray
    marker_B: np.ndarray
    meets_B: np.ndarray

    @property
    def joint(self) -> bool:
        """Whether a contact may change what others are worth or whether they may be there, so that single exchanges do not tell all."""
        return len(self.trigger_Q) > 0 or len(self.reach_BA) > 0


def compile_rules(bare: ContactRules, reach_BA: np.ndarray | None) -> Rules:
    """Arrays for the kernels; which caps greedy may keep is decided once here. reach_BA: bool, the reach sets."""
    reach_BA = np.zeros((0, len(bare.slot_A)), bool) if reach_BA is None else reach_BA
    contact = _with_markers(bare, reach_BA)
    actions, caps = len(contact.slot_A), len(contact.capacity_C)
    slots, sets = contact.slots, len(reach_BA)
    in_slot_LA = contact.slot_A == np.arange(slots)[:, None]
    covers_CL = np.array([[(member[slot]).all() for slot in in_slot_LA] for member in contact.member_CA], bool)
    covers_CL = covers_CL.reshape(caps, slots)
    whole_C = np.array(
        [
            not (member & ~np.any(in_slot_LA[covers], axis=0)).any()
            for member, covers in zip(contact.member_CA, covers_CL, strict=True)
        ],
        bool,
    ).reshape(caps)
    counted_C = contact.capacity_C == NO_LIMIT
    easy_C = counted_C | (whole_C & _nested(covers_CL, whole_C & ~counted_C))
    depth = int(contact.member_CA.sum(axis=0).max(initial=0)) if caps else 0
    cap_AD = np.full((actions, max(depth, 1)), NONE, np.int64)
    for action in range(actions):
        mine = np.flatnonzero(contact.member_CA[:, action]) if caps else np.empty(0, np.int64)
        cap_AD[action, : len(mine)] = mine
    kinds: dict[tuple[int, tuple[int, ...]], int] = {}
    twin_A = np.array(
        [kinds.setdefault((contact.slot_A[a], tuple(cap_AD[a])), len(kinds)) for a in range(actions)], np.int64
    )
    count = len(bare.capacity_C)
    some_C = np.any(bare.free_SC, axis=0) if len(bare.free_SC) else np.zeros(count, bool)
    everywhere = [int(bare.capacity_C[c]) for c in range(count) if bare.member_CA[c].all() and not some_C[c]]
    return Rules(
        slot_A=contact.slot_A.astype(np.int64),
        cap_AD=cap_AD,
        mask_AW=_bits(contact.member_CA.T),
        capacity_C=contact.capacity_C.astype(np.int64),
        easy_C=easy_C,
        all_easy=bool(easy_C.all()),
        twin_A=twin_A,
        slots=slots,
        most=min([bare.slots, *everywhere]),
        free_SC=np.ascontiguousarray(contact.free_SC),  # in another order, every kernel would be compiled once more
        trigger_Q=contact.asks.trigger_Q,
        wanted_Q=contact.asks.wanted_Q,
        number_SQ=contact.asks.number_SQ,
        actions=len(bare.slot_A),
        contact_slots=bare.slots,
        reach_BA=np.ascontiguousarray(reach_BA),
        set_B=np.arange(count, count + sets),
        marker_B=np.arange(count + sets, count + 2 * sets),
        meets_B=_bits(reach_BA.astype(int) @ reach_BA.T.astype(int) > 0)[:, 0],
    )


def _with_markers(bare: ContactRules, reach_BA: np.ndarray) -> ContactRules:
    """The contact rules with a marker per reach set as an action of a slot of its own, and caps without a limit that count both."""
    sets, caps = len(reach_BA), len(bare.capacity_C)
    if not sets:
        return bare
    counting = np.block([[reach_BA, np.zeros((sets, sets), bool)], [np.zeros_like(reach_BA), np.eye(sets, dtype=bool)]])
    return replace(
        bare,
        slot_A=np.concatenate([bare.slot_A, bare.slots + np.arange(sets)]),
        member_CA=np.concatenate([np.hstack([bare.member_CA, np.zeros((caps, sets), bool)]), counting]),
        capacity_C=np.concatenate([bare.capacity_C, np.full(2 * sets, NO_LIMIT)]),
        free_SC=np.hstack([bare.free_SC, np.zeros((len(bare.free_SC), 2 * sets), bool)])
        if len(bare.free_SC)
        else bare.free_SC,
    )


def _bits(member_AC: np.ndarray) -> np.ndarray:
    """uint64[A, W]: rows of booleans, 64 to a word."""
    words = max(-(-member_AC.shape[1] // 64), 1)
    padded = np.zeros((len(member_AC), words * 64), bool)
    padded[:, : member_AC.shape[1]] = member_AC
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def _nested(covers_CL: np.ndarray, whole_C: np.ndarray) -> np.ndarray:
    """bool[C]: a maximal prefix of the whole-slot caps that is laminar: any two are nested or apart."""
    nested = np.zeros(len(whole_C), bool)
    for cap in np.flatnonzero(whole_C):
        apart = [not (covers_CL[cap] & covers_CL[other]).any() for other in np.flatnonzero(nested)]
        inside = [
            (covers_CL[cap] <= covers_CL[other]).all() or (covers_CL[other] <= covers_CL[cap]).all()
            for other in np.flatnonzero(nested)
        ]
        nested[cap] = all(a or i for a, i in zip(apart, inside, strict=True))
    return nested


class Work(NamedTuple):
    """Scratch arrays of one thread. base_C: what the user has already received of each cap, where counting starts. owes_Q: how many
    contacts each ask wants of the user. net_A: net values, of a marker the reward, or -inf where it is nothing to this user.
    need_BL: the least that a contact of the set costs in the slots from this place on; without_BL: the most that the slot at this place
    brings without the set, 0 for nothing.

    full_W: the caps that are full, as bits; holder_L: what holds each slot (see `settle`). slate_K: a slate.
    """

    net_A: np.ndarray
    base_C: np.ndarray
    owes_Q: np.ndarray
    full_W: np.ndarray
    holder_L: np.ndarray
    slate_K: np.ndarray
    top_L: np.ndarray
    order_L: np.ndarray
    used_C: np.ndarray
    candidate_LA: np.ndarray
    count_L: np.ndarray
    prefix_L: np.ndarray
    pointer_L: np.ndarray
    chosen_L: np.ndarray
    value_L: np.ndarray
    need_BL: np.ndarray
    without_BL: np.ndarray


@kernel()
def make_work(rules: Rules) -> Work:
    actions, slots, caps = len(rules.slot_A), rules.slots, len(rules.capacity_C)
    return Work(
        np.empty(actions, np.float64),
        np.zeros(max(caps, 1), np.int64),
        np.zeros(max(len(rules.trigger_Q), 1), np.int64),
        np.zeros(rules.mask_AW.shape[1], np.uint64),
        np.full(slots, NONE),
        np.empty(rules.most, np.int64),
        np.empty(slots, np.int64),
        np.empty(slots, np.int64),
        np.zeros(max(caps, 1), np.int64),
        np.empty((slots, actions), np.int64),
        np.empty(slots, np.int64),
        np.empty(slots + 1, np.float64),
        np.empty(slots + 1, np.int64),
        np.empty(slots + 1, np.int64),
        np.empty(slots + 1, np.float64),
        np.empty((len(rules.reach_BA), slots + 1), np.float64),
        np.empty((len(rules.reach_BA), slots + 1), np.float64),
    )


@kernel(forceinline=True)
def count_from(rules: Rules, work: Work, received_C: np.ndarray, s: int) -> None:
    """Starts the caps of a user of class s at what was received before; an empty array stands for nothing at all."""
    for c in range(len(received_C)):
        work.base_C[c] = received_C[c]
    if len(rules.free_SC) > 0:
        for c in range(len(rules.capacity_C)):
            if rules.free_SC[s, c]:
                work.base_C[c] = NOT_BOUND
            elif len(received_C) == 0:
                work.base_C[c] = 0
    for q in range(len(rules.trigger_Q)):
        work.owes_Q[q] = rules.number_SQ[s, q]


@kernel(forceinline=True)
def credit(rules: Rules, work: Work, reward_B: np.ndarray) -> None:
    """Gives each marker its reward: -inf where that is nothing, or where nothing of the set is to be had, so that the set is no matter."""
    for b in range(len(rules.reach_BA)):
        net = -np.inf
        if reward_B[b] != 0.0:
            for action in range(rules.actions):
                if rules.reach_BA[b, action] and work.net_A[action] > -np.inf:
                    net = reward_B[b]
        work.net_A[rules.actions + b] = net


@kernel(forceinline=True)
def rewards_matter(rules: Rules, work: Work) -> bool:
    """Whether the user's slates have a reward, or a cost, besides their contacts."""
    matter = False
    for b in range(len(rules.reach_BA)):
        matter = matter or work.net_A[rules.actions + b] > -np.inf
    return matter


@kernel(forceinline=True)
def rewards_of(rules: Rules, work: Work, slate_K: np.ndarray, count: int) -> float:
    """What the first `count` contacts of a slate are worth by reach, together."""
    total = 0.0
    for b in range(len(rules.reach_BA)):
        hit = False
        for k in range(count):
            hit = hit or rules.reach_BA[b, slate_K[k]]
        if hit and work.net_A[rules.actions + b] > -np.inf:
            total += work.net_A[rules.actions + b]
    return total


@kernel(forceinline=True)
def rewards_with(rules: Rules, work: Work, contact: int, action: int) -> float:
    """What a slate whose caps are counted in work.used_C is worth by reach with `action` in the place of one contact of it; each may be
    NONE."""
    total = 0.0
    for b in range(len(rules.reach_BA)):
        reward = work.net_A[rules.actions + b]
        if reward == -np.inf:
            continue
        hits = work.used_C[rules.set_B[b]]
        if contact != NONE and rules.reach_BA[b, contact]:
            hits -= 1
        if action != NONE and rules.reach_BA[b, action]:
            hits += 1
        if hits > 0:
            total += reward
    return total


@kernel(forceinline=True)
def marked_rightly(rules: Rules, work: Work) -> bool:
    """Whether the contacts and markers counted in work.used_C agree."""
    right = True
    for b in range(len(rules.reach_BA)):
        counts = work.net_A[rules.actions + b] > -np.inf
        right = right and not (counts and (work.used_C[rules.set_B[b]] > 0) != (work.used_C[rules.marker_B[b]] > 0))
    return right


@kernel(forceinline=True)
def start_caps(work: Work) -> None:
    """Counts no contact yet. (A loop: assigning arrays checks shapes, and what can raise keeps reference counts alive.)"""
    for c in range(len(work.base_C)):
        work.used_C[c] = work.base_C[c]


@kernel(forceinline=True)
def clear(array_N: np.ndarray, value: int | np.uint64) -> None:
    for n in range(len(array_N)):
        array_N[n] = value


@kernel(forceinline=True)
def fits(rules: Rules, used_C: np.ndarray, action: int, removed: int, easy_only: bool) -> bool:
    """Whether the caps have room for `action` once `removed` (or NONE) is gone."""
    for d in range(rules.cap_AD.shape[1]):
        cap = rules.cap_AD[action, d]
        if cap == NONE:
            break
        if easy_only and not rules.easy_C[cap]:
            continue
        used = used_C[cap] + 1
        if removed != NONE:
            for e in range(rules.cap_AD.shape[1]):
                if rules.cap_AD[removed, e] == cap:
                    used -= 1
        if used > rules.capacity_C[cap]:
            return False
    return True


@kernel(forceinline=True)
def mark(rules: Rules, used_C: np.ndarray, action: int, by: int) -> None:
    for d in range(rules.cap_AD.shape[1]):
        cap = rules.cap_AD[action, d]
        if cap == NONE:
            break
        used_C[cap] += by


@kernel(forceinline=True)
def greedy_slate(rules: Rules, work: Work, slate_K: np.ndarray, easy_only: bool) -> tuple[int, float]:
    """Takes the slots' best actions in falling order of net value where the caps have room; returns count and value, those of markers
    in the value alone."""
    net_A, top_L, order_L = work.net_A, work.top_L, work.order_L
    filled = 0
    for slot in range(rules.slots):
        action = top_L[slot]
        if action == NONE:
            continue
        at = filled
        while at > 0 and net_A[top_L[order_L[at - 1]]] < net_A[action]:
            order_L[at] = order_L[at - 1]
            at -= 1
        order_L[at] = slot
        filled += 1
    count, value = 0, 0.0
    start_caps(work)
    for position in range(filled):
        action = top_L[order_L[position]]
        contact = action < rules.actions
        if contact and count == rules.most:
            continue
        if fits(rules, work.used_C, action, NONE, easy_only):
            mark(rules, work.used_C, action, 1)
            value += net_A[action]
            if contact:
                slate_K[count] = action
                count += 1
    return count, value


@kernel(forceinline=True)
def greedy_with_rewards(rules: Rules, work: Work, slate_K: np.ndarray) -> tuple[int, float]:
    """Takes contact after contact, each the one that adds most with the rewards of sets that had none, while that is more than nothing.

    Returns count and value. Nothing is taken where contacts ask for others, or there are no rewards.
    """
    count, value = 0, 0.0
    start_caps(work)
    clear(work.holder_L, NONE)
    while count < rules.most and rewards_matter(rules, work) and not asks_matter(rules, work):
        best, gain = NONE, 0.0
        for action in range(rules.actions):
            adds = work.net_A[action]
            if adds == -np.inf or work.holder_L[rules.slot_A[action]] != NONE:
                continue
            for b in range(len(rules.reach_BA)):
                reward = work.net_A[rules.actions + b]
                if rules.reach_BA[b, action] and reward > -np.inf and work.used_C[rules.set_B[b]] == 0:
                    adds += reward
            if adds > gain and fits(rules, work.used_C, action, NONE, False):
                best, gain = action, adds
        if best == NONE:
            break
        mark(rules, work.used_C, best, 1)
        work.holder_L[rules.slot_A[best]] = best
        slate_K[count] = best
        count += 1
        value += gain
    return count, value


@kernel(forceinline=True)
def keeps_all(rules: Rules, used_C: np.ndarray) -> bool:
    over = False
    for cap in range(len(rules.capacity_C)):
        over = over or used_C[cap] > rules.capacity_C[cap]
    return not over


@kernel(forceinline=True)
def keeps_asks(rules: Rules, work: Work) -> bool:
    """Whether the contacts counted in work.used_C have what they ask for, beside them or received before."""
    kept = True
    for q in range(len(rules.trigger_Q)):
        trigger = rules.trigger_Q[q]
        asked = work.owes_Q[q] > 0 and work.used_C[trigger] > work.base_C[trigger]
        kept = kept and not (asked and work.used_C[rules.wanted_Q[q]] < work.owes_Q[q])
    return kept


@kernel(forceinline=True)
def asks_matter(rules: Rules, work: Work) -> bool:
    """Whether the user may get a contact that asks for something which was not received before."""
    for q in range(len(rules.trigger_Q)):
        if work.owes_Q[q] <= 0 or work.base_C[rules.wanted_Q[q]] >= work.owes_Q[q]:
            continue
        for action in range(len(rules.slot_A)):
            if work.net_A[action] > -np.inf:
                for d in range(rules.cap_AD.shape[1]):
                    if rules.cap_AD[action, d] == rules.trigger_Q[q]:
                        return True
    return False


@kernel(forceinline=True)
def fill_tops(rules: Rules, work: Work) -> None:
    """Per slot the best action of positive net value, the first among equals."""
    clear(work.top_L, NONE)
    for action in range(len(rules.slot_A)):
        net = work.net_A[action]
        slot = rules.slot_A[action]
        if net > 0.0 and (work.top_L[slot] == NONE or net > work.net_A[work.top_L[slot]]):
            work.top_L[slot] = action


@kernel(forceinline=True)
def best_slate(rules: Rules, work: Work, slate_K: np.ndarray) -> tuple[int, float]:
    """The best slate for the net values in work.net_A (-inf: not eligible): fills slate_K, returns its count and value.

    On return work.used_C counts the caps of the slate, what was received before included. The value has rewards in it.
    """
    fill_tops(rules, work)
    count, value = greedy_slate(rules, work, slate_K, True)
    if (rules.all_easy or keeps_all(rules, work.used_C)) and keeps_asks(rules, work) and marked_rightly(rules, work):
        return count, value
    floor = 0.0
    if asks_matter(rules, work) or rewards_matter(rules, work):  # what is needed may be worth less than nothing
        floor = -most_of_all(rules, work)
        count, value = greedy_with_rewards(rules, work, slate_K)
    else:
        count, value = greedy_slate(rules, work, slate_K, False)
    count, value = branch(rules, work, slate_K, count, value, floor)
    start_caps(work)
    for k in range(count):
        mark(rules, work.used_C, slate_K[k], 1)
    return count, value


@kernel(forceinline=True)
def fill_candidates(rules: Rules, work: Work, floor: float, merge_twins: bool) -> int:
    """Per slot its actions of net value > floor, best first, slots of markers and then those with the best first; returns how many slots
    have any.

    merge_twins: keep only the best of actions that are alike in every cap, which is enough to find the best slate.
    """
    net_A, lists, count_L = work.net_A, work.candidate_LA, work.count_L
    clear(count_L, 0)
    for action in range(len(rules.slot_A)):
        net, slot = net_A[action], rules.slot_A[action]
        if not net > floor:
            continue
        at = count_L[slot]
        if merge_twins:
            twin = NONE
            for c in range(at):
                if rules.twin_A[lists[slot, c]] == rules.twin_A[action]:
                    twin = c
            if twin != NONE:
                if net <= net_A[lists[slot, twin]]:
                    continue
                at = twin
                count_L[slot] -= 1
        while at > 0 and net_A[lists[slot, at - 1]] < net:
            lists[slot, at] = lists[slot, at - 1]
            at -= 1
        lists[slot, at] = action
        count_L[slot] += 1
    filled = 0
    for slot in range(rules.contact_slots, rules.slots):
        if count_L[slot] > 0:
            work.order_L[filled] = slot
            filled += 1
    first = filled
    for slot in range(rules.contact_slots):
        if count_L[slot] == 0:
            continue
        at = filled
        while at > first and net_A[lists[work.order_L[at - 1], 0]] < net_A[lists[slot, 0]]:
            work.order_L[at] = work.order_L[at - 1]
            at -= 1
        work.order_L[at] = slot
        filled += 1
    work.prefix_L[0] = 0.0
    for i in range(filled):
        work.prefix_L[i + 1] = work.prefix_L[i] + max(net_A[lists[work.order_L[i], 0]], 0.0)
    fill_needs(rules, work, filled)
    return filled


@kernel(forceinline=True)
def last_of(rules: Rules, work: Work, filled: int, i: int, taken: int) -> int:
    """Where the slots end that can still be filled from the i-th on, markers besides, when `taken` contacts are chosen."""
    while i < filled and work.order_L[i] >= rules.contact_slots:
        i += 1
    return min(i + rules.most - taken, filled)


@kernel(forceinline=True)
def can_add(rules: Rules, work: Work, filled: int, i: int, taken: int) -> float:
    """The most that slots i, i + 1, ... can still add when `taken` contacts are chosen."""
    last = last_of(rules, work, filled, i, taken)
    return work.prefix_L[last] - work.prefix_L[i] if last > i else 0.0


@kernel(forceinline=True)
def outlook(rules: Rules, work: Work, filled: int, i: int, taken: int) -> float:
    """`can_add` less what the markers chosen so far cost: a contact of each set that has none yet, of sets that share no action one each;
    or all slots without the actions of a set."""
    most, needs, without, counted = can_add(rules, work, filled, i, taken), 0.0, 0.0, np.uint64(0)
    dearest = 0.0
    for b in range(len(rules.reach_BA)):
        if work.net_A[rules.actions + b] == -np.inf:
            continue
        if work.used_C[rules.marker_B[b]] > 0:
            if work.used_C[rules.set_B[b]] == 0:
                need = work.need_BL[b, i]
                dearest = max(dearest, need)
                if b < 64 and rules.meets_B[b] & counted == 0:
                    counted |= np.uint64(1) << np.uint64(b)
                    needs += need
        elif i < filled and work.order_L[i] < rules.contact_slots:
            without = max(without, cost_without(rules, work, filled, i, taken, b))
    return most - max(needs, dearest, without)


@kernel(forceinline=True)
def cost_without(rules: Rules, work: Work, filled: int, i: int, taken: int, b: int) -> float:
    """By how much less slots i, i + 1, ... can add at least where no action of the set may be chosen: each of the best slots has its
    best other action, nothing, or a slot beyond them in its place."""
    last = last_of(rules, work, filled, i, taken)
    beyond = work.prefix_L[last + 1] - work.prefix_L[last] if last < filled else 0.0
    cost = 0.0
    for at in range(i, last):
        top = work.prefix_L[at + 1] - work.prefix_L[at]
        cost += max(top - max(work.without_BL[b, at], beyond), 0.0)
    return cost


@kernel(forceinline=True)
def fill_needs(rules: Rules, work: Work, filled: int) -> None:
    """need_BL and without_BL of the candidates."""
    for b in range(len(rules.reach_BA)):
        work.need_BL[b, filled] = np.inf
        for i in range(filled - 1, -1, -1):
            slot = work.order_L[i]
            inside, outside = -np.inf, 0.0
            if slot < rules.contact_slots:
                for c in range(work.count_L[slot]):
                    action = work.candidate_LA[slot, c]
                    if rules.reach_BA[b, action]:
                        inside = max(inside, work.net_A[action])
                    else:
                        outside = max(outside, work.net_A[action])
            top = work.prefix_L[i + 1] - work.prefix_L[i]
            work.need_BL[b, i] = min(work.need_BL[b, i + 1], max(top - inside, 0.0))
            work.without_BL[b, i] = outside


@kernel(forceinline=True)
def may_be_chosen(rules: Rules, work: Work, action: int) -> bool:
    """Whether all the markers that go with an action are chosen; they are decided before it."""
    free = True
    if action < rules.actions:
        for b in range(len(rules.reach_BA)):
            counts = rules.reach_BA[b, action] and work.net_A[rules.actions + b] > -np.inf
            free = free and not (counts and work.used_C[rules.marker_B[b]] == 0)
    return free


@kernel(forceinline=True)
def branch(rules: Rules, work: Work, slate_K: np.ndarray, count: int, best: float, floor: float) -> tuple[int, float]:
    """Depth-first branch and bound over the slots; starts from the feasible slate given and returns the best one.

    floor: actions of no more net value are in no better slate.
    """
    filled = fill_candidates(rules, work, floor, True)
    start_caps(work)
    i, taken = 0, 0
    work.pointer_L[0], work.value_L[0] = 0, 0.0
    while True:
        deeper = False
        value = work.value_L[i]
        if i < filled and taken < rules.most:
            if value + outlook(rules, work, filled, i, taken) > best:
                deeper, taken = descend(rules, work, filled, i, taken, best)
        elif value > best and keeps_asks(rules, work) and marked_rightly(rules, work):
            best, count = value, copy_chosen(rules, work, i, slate_K)
        i, taken = move(rules, work, i, taken, deeper)
        if i < 0:
            return count, best


@kernel(forceinline=True)
def second_value(rules: Rules, work: Work, slate_K: np.ndarray, count: int) -> float:
    """The value of the best slate but for the one given, which is the best and counted in work.used_C; -inf where there is no other."""
    best = 0.0 if count > 0 else -np.inf
    if rewards_matter(rules, work) and not asks_matter(rules, work):  # a slate to start from
        best = max(best, best_exchange(rules, work, slate_K, count))
    filled = fill_candidates(rules, work, best - most_of_all(rules, work), False)
    start_caps(work)
    i, taken = 0, 0
    work.pointer_L[0], work.value_L[0] = 0, 0.0
    while True:
        deeper = False
        value = work.value_L[i]
        if i < filled and taken < rules.most:
            if value + outlook(rules, work, filled, i, taken) > best:
                deeper, taken = descend(rules, work, filled, i, taken, best)
        elif (
            value > best
            and keeps_asks(rules, work)
            and marked_rightly(rules, work)
            and not is_chosen(rules, work, i, slate_K, count)
        ):
            best = value
        i, taken = move(rules, work, i, taken, deeper)
        if i < 0:
            return best


@kernel(forceinline=True)
def best_exchange(rules: Rules, work: Work, slate_K: np.ndarray, count: int) -> float:
    """The value of the best slate that differs by one contact more, less or other, where contacts ask for nothing; -inf for none."""
    worth, best = 0.0, -np.inf
    clear(work.holder_L, NONE)
    for k in range(count):
        worth += work.net_A[slate_K[k]]
        work.holder_L[rules.slot_A[slate_K[k]]] = slate_K[k]
    for k in range(count + 1):
        removed = slate_K[k] if k < count else NONE
        left = worth - work.net_A[removed] if k < count else worth
        if k < count:
            best = max(best, left + rewards_with(rules, work, removed, NONE))
        elif count == rules.most:
            break
        for action in range(rules.actions):
            holder = work.holder_L[rules.slot_A[action]]
            if work.net_A[action] == -np.inf or action == holder or (holder != NONE and holder != removed):
                continue
            value = left + work.net_A[action] + rewards_with(rules, work, removed, action)
            if value > best and fits(rules, work.used_C, action, removed, False):
                best = value
    return best


@kernel(forceinline=True)
def is_chosen(rules: Rules, work: Work, i: int, slate_K: np.ndarray, count: int) -> bool:
    """Whether the first i slots chose the slate."""
    same, taken = True, 0
    for j in range(i):
        if work.chosen_L[j] != NONE and work.chosen_L[j] < rules.actions:
            found = False
            for k in range(count):
                found = found or slate_K[k] == work.chosen_L[j]
            same = same and found
            taken += 1
    return same and taken == count


@kernel(forceinline=True)
def descend(rules: Rules, work: Work, filled: int, i: int, taken: int, least: float) -> tuple[bool, int]:
    """Chooses the next action of the i-th slot that can still reach more than `least`, or once nothing for it."""
    slot = work.order_L[i]
    while work.pointer_L[i] < work.count_L[slot]:
        action = work.candidate_LA[slot, work.pointer_L[i]]
        value, chosen = work.value_L[i] + work.net_A[action], taken + (action < rules.actions)
        if value + can_add(rules, work, filled, i + 1, chosen) <= least:
            work.pointer_L[i] = work.count_L[slot]
            break
        work.pointer_L[i] += 1
        if may_be_chosen(rules, work, action) and fits(rules, work.used_C, action, NONE, False):
            mark(rules, work.used_C, action, 1)
            if len(rules.reach_BA) == 0 or value + outlook(rules, work, filled, i + 1, chosen) > least:
                work.chosen_L[i], work.value_L[i + 1] = action, value
                return True, chosen
            mark(rules, work.used_C, action, -1)
    if work.pointer_L[i] == work.count_L[slot]:
        work.pointer_L[i] += 1
        if work.value_L[i] + outlook(rules, work, filled, i + 1, taken) > least:
            work.chosen_L[i], work.value_L[i + 1] = NONE, work.value_L[i]
            return True, taken
    return False, taken


@kernel(forceinline=True)
def copy_chosen(rules: Rules, work: Work, i: int, slate_K: np.ndarray) -> int:
    """Copies what the first i slots chose into slate_K, markers left out; returns how many contacts that is."""
    count = 0
    for j in range(i):
        if work.chosen_L[j] != NONE and work.chosen_L[j] < rules.actions:
            slate_K[count] = work.chosen_L[j]
            count += 1
    return count


@kernel(forceinline=True)
def move(rules: Rules, work: Work, i: int, taken: int, deeper: bool) -> tuple[int, int]:
    """One step of the search: on to the next slot, or back to the one before with its choice undone; (position, taken)."""
    if deeper:
        work.pointer_L[i + 1] = 0
        return i + 1, taken
    i -= 1
    if i >= 0 and work.chosen_L[i] != NONE:
        mark(rules, work.used_C, work.chosen_L[i], -1)
        taken -= work.chosen_L[i] < rules.actions
        work.chosen_L[i] = NONE
    return i, taken


@kernel(forceinline=True)
def near_slates(rules: Rules, work: Work, least: float, slates_NK: np.ndarray, value_N: np.ndarray) -> int:
    """All slates worth more than `least` at the net values: fills slates_NK (padded with NONE) and value_N.

    Returns how many there are; N + 1 where the arrays are too short, in which case what they hold is a part.
    """
    floor = min(least - most_of_all(rules, work), 0.0)
    filled = fill_candidates(rules, work, floor, False)
    start_caps(work)
    i, taken, found = 0, 0, 0
    work.pointer_L[0], work.value_L[0] = 0, 0.0
    while True:
        deeper = False
        value = work.value_L[i]
        if i < filled and taken < rules.most:
            if value + outlook(rules, work, filled, i, taken) > least:
                deeper, taken = descend(rules, work, filled, i, taken, least)
        elif value > least and keeps_asks(rules, work) and marked_rightly(rules, work):
            if found == len(value_N):
                return found + 1
            clear(slates_NK[found], NONE)
            copy_chosen(rules, work, i, slates_NK[found])
            value_N[found] = value
            found += 1
        i, taken = move(rules, work, i, taken, deeper)
        if i < 0:
            return found


@kernel(forceinline=True)
def most_of_all(rules: Rules, work: Work) -> float:
    """An upper bound on any slate's value: every slot's best positive action."""
    fill_tops(rules, work)
    total = 0.0
    for slot in range(rules.slots):
        if work.top_L[slot] != NONE:
            total += work.net_A[work.top_L[slot]]
    return total


@kernel(forceinline=True)
def slate_size(slate_K: np.ndarray) -> int:
    """How many contacts a padded slate has."""
    count = 0
    while count < len(slate_K) and slate_K[count] != NONE:
        count += 1
    return count


@kernel(forceinline=True)
def is_slate(slate_K: np.ndarray, count: int, before_K: np.ndarray) -> bool:
    """Whether the first `count` actions of the slate are those of the earlier one."""
    had = 0
    for b in range(len(before_K)):
        if before_K[b] == LOST:
            return False
        if before_K[b] == NONE:
            break
        had += 1
        found = False
        for k in range(count):
            found = found or slate_K[k] == before_K[b]
        if not found:
            return False
    return had == count


@kernel(forceinline=True)
def worth_before(rules: Rules, work: Work, before_K: np.ndarray) -> float:
    """The net value of the earlier slate; -inf where it cannot be given again."""
    worth, count = 0.0, 0
    for k in range(len(before_K)):
        if before_K[k] == LOST:
            return -np.inf
        if before_K[k] == NONE:
            break
        worth += work.net_A[before_K[k]]
        count += 1
    return worth + rewards_of(rules, work, before_K, count)


@kernel(forceinline=True)
def copy_before(rules: Rules, work: Work, before_K: np.ndarray, slate_K: np.ndarray) -> int:
    """Makes the earlier slate the chosen one, caps counted; returns how many contacts it has."""
    count = 0
    start_caps(work)
    for b in range(len(before_K)):
        if before_K[b] == NONE:
            break
        slate_K[count] = before_K[b]
        mark(rules, work.used_C, slate_K[count], 1)
        count += 1
    return count


@kernel(forceinline=True)
def settle(rules: Rules, work: Work, slate_K: np.ndarray, count: int) -> None:
    """Notes which slots the slate holds and which caps are full, from work.used_C, for `exchange`."""
    clear(work.holder_L, NONE)
    for k in range(count):
        work.holder_L[rules.slot_A[slate_K[k]]] = slate_K[k]
    clear(work.full_W, np.uint64(0))
    for cap in range(len(rules.capacity_C)):
        if work.used_C[cap] >= rules.capacity_C[cap]:
            work.full_W[cap >> 6] |= np.uint64(1) << np.uint64(cap & 63)


@kernel(forceinline=True)
def has_room(rules: Rules, work: Work, action: int, removed: int) -> bool:
    """`fits` for the slate of the last `settle`: whether no full cap has `action`, unless `removed` (or NONE) leaves it."""
    for w in range(rules.mask_AW.shape[1]):
        blocking = rules.mask_AW[action, w] & work.full_W[w]
        if removed != NONE:
            blocking &= ~rules.mask_AW[removed, w]
        if blocking != 0:
            return False
    return True


@kernel(forceinline=True)
def exchange(rules: Rules, work: Work, slate_K: np.ndarray, count: int, action: int) -> tuple[float, int]:
    """The cheapest way to bring `action` into the settled slate alone: (loss, what it replaces or NONE); inf if there is none."""
    net = work.net_A[action]
    same_slot = work.holder_L[rules.slot_A[action]]
    if same_slot != NONE:
        if has_room(rules, work, action, same_slot):
            return work.net_A[same_slot] - net, same_slot
        return np.inf, NONE
    if count < rules.most and has_room(rules, work, action, NONE):
        return -net, NONE
    loss, removed = np.inf, NONE
    for k in range(count):
        other = slate_K[k]
        if work.net_A[other] - net < loss and has_room(rules, work, action, other):
            loss, removed = work.net_A[other] - net, other
    return loss, removed
