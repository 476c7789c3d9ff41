"""Trades: a few users exchange slates so that every tight count stays as it is and the sums fit better.

After rounding nearly all of the loss is room that budgets, ratios and other sums of real numbers leave unused, each worth its price.
A *move* gives one core user another slate. Moves of up to three users whose changes of all tight counts cancel make a *closed* move,
which changes sums alone. Of all pairs of closed moves the best that keeps every row is made, again and again: of some ten million
pairs one usually fits the handful of sums nearly exactly, where a tree search has to find it by luck.

Axes: U core users, N their slates (columns), M moves, Q closed moves, D rows that are watched, R rows.
"""

from dataclasses import dataclass

import numpy as np

from allocator.solve.kernel import kernel
from allocator.users import NONE

MOST_MOVES = 1_500
MOST_CLOSED = 4_000
MOST_FOUND = 200_000
MOST_TRADES = 60
AMPLE = 8.0
"""Typical contacts of room in a row without a price: no trade fills that."""
LEAST_GAIN = 1e-3
TOUCH = 1e-9
"""Typical contacts: a row that is broken by no more than rounding."""


@dataclass(frozen=True)
class Room:
    """What decides whether a trade fits: rows in typical contacts. over_R: what a unit too much costs, inf for hard rows.

    quantum_R: of rows that count, the step; 0 for sums.
    """

    left_R: np.ndarray
    price_R: np.ndarray
    over_R: np.ndarray
    quantum_R: np.ndarray

    def of(self, rows: np.ndarray) -> "Room":
        return Room(self.left_R[rows], self.price_R[rows], self.over_R[rows], self.quantum_R[rows])

    def cost(self, slack_R: np.ndarray) -> float:
        """What unused room is worth, and what is broken of soft rows costs; inf where a hard row is broken."""
        over_R = np.maximum(-slack_R, 0.0)
        broken = over_R > TOUCH
        return float(self.price_R @ np.maximum(slack_R, 0.0) + (self.over_R[broken] * over_R[broken]).sum())


def trade(
    user_N: np.ndarray, loss_N: np.ndarray, usage_NR: np.ndarray, room: Room, picked_U: np.ndarray, target: float
) -> np.ndarray:
    """picked_U improved until losses and cost of the rows are at most `target` or no trade helps; as it was where it breaks a row.

    usage_NR: in typical contacts.
    """
    slack_R = room.left_R - usage_NR[picked_U].sum(axis=0)
    cost = float(loss_N[picked_U].sum()) + room.cost(slack_R)
    for _ in range(MOST_TRADES if np.isfinite(cost) else 0):
        if cost <= target:
            break
        columns = _best_trade(user_N, loss_N, usage_NR, room, picked_U, slack_R, cost)
        traded_U = picked_U.copy()
        traded_U[user_N[columns]] = columns
        now_R = room.left_R - usage_NR[traded_U].sum(axis=0)
        now = float(loss_N[traded_U].sum()) + room.cost(now_R)
        if not now < cost * (1 - LEAST_GAIN):
            break
        picked_U, slack_R, cost = traded_U, now_R, now
    return picked_U


def _best_trade(
    user_N: np.ndarray,
    loss_N: np.ndarray,
    usage_NR: np.ndarray,
    room: Room,
    picked_U: np.ndarray,
    slack_R: np.ndarray,
    cost: float,
) -> np.ndarray:
    """The columns that the best trade brings in; none where no trade was found."""
    more_N = loss_N - loss_N[picked_U][user_N]
    column_M = np.flatnonzero((more_N < cost) & (np.arange(len(user_N)) != picked_U[user_N]))
    column_M = np.sort(column_M[np.argsort(more_N[column_M], kind="stable")[:MOST_MOVES]])
    user_M, more_M = user_N[column_M], more_N[column_M]
    change_MR = usage_NR[column_M] - usage_NR[picked_U[user_M]]
    tight_R = (room.quantum_R > 0) & (slack_R < 0.5 * room.quantum_R)
    hash_M = _hashes(change_MR[:, tight_R] / room.quantum_R[tight_R])
    parts_QM = _closed(user_M, hash_M, more_M, cost)
    watched_R = ~tight_R & ((room.price_R > 0) | (slack_R < AMPLE)) & (change_MR != 0).any(axis=0)
    there_QM = parts_QM != NONE
    watched = room.of(watched_R)
    pair = _best_pair(
        np.where(there_QM, user_M[parts_QM], NONE),
        np.where(there_QM, more_M[parts_QM], 0.0).sum(axis=1),
        (change_MR[:, watched_R][parts_QM] * there_QM[:, :, None]).sum(axis=1),
        slack_R[watched_R],
        watched.price_R,
        watched.over_R,
        cost - watched.cost(slack_R[watched_R]),
        cost,
    )
    taken = parts_QM[[q for q in pair if q != NONE]].reshape(-1)
    return column_M[taken[taken != NONE]]


def _hashes(step_MR: np.ndarray) -> np.ndarray:
    """int64[M]: sums of a random number per row times the change, so that changes cancel where hashes add up to zero."""
    random_R = np.random.default_rng(0).integers(-(2**62), 2**62, step_MR.shape[1])
    return np.rint(step_MR).astype(np.int64) @ random_R


def _closed(user_M: np.ndarray, hash_M: np.ndarray, more_M: np.ndarray, most: float) -> np.ndarray:
    """[Q, 3]: closed moves as positions of their moves, -1 for none, those that lose least first.

    Of three moves at most; where these are too many (few counts are tight then) of two, or of one.
    """
    order = np.argsort(hash_M, kind="stable")
    for parts in (3, 2, 1):
        parts_QM = _find_closed(user_M[order], hash_M[order], more_M[order], most, parts, MOST_FOUND)
        if len(parts_QM) < MOST_FOUND:
            break
    more_Q = np.where(parts_QM != NONE, more_M[order][parts_QM], 0.0).sum(axis=1)
    parts_QM = parts_QM[np.argsort(more_Q, kind="stable")[:MOST_CLOSED]]
    return np.where(parts_QM != NONE, order[parts_QM], NONE)


@kernel()
def _find_closed(
    user_M: np.ndarray, hash_M: np.ndarray, more_M: np.ndarray, most: float, parts: int, limit: int
) -> np.ndarray:
    """Moves are sorted by hash: one, two or three of different users, each behind the one before, until there are `limit`."""
    parts_QM = np.full((limit, 3), NONE, np.int64)
    found = 0
    for i in range(len(hash_M)):
        if found == limit:
            break
        if hash_M[i] == 0 and more_M[i] < most:
            parts_QM[found, 0] = i
            found += 1
        for j in range(i + 1, len(hash_M) if parts > 1 else 0):
            both = more_M[i] + more_M[j]
            if found == limit:
                break
            if user_M[i] == user_M[j] or both >= most:
                continue
            wanted = -(hash_M[i] + hash_M[j])
            if wanted == 0:
                parts_QM[found, 0], parts_QM[found, 1] = i, j
                found += 1
            if parts < 3 or wanted < hash_M[j]:
                continue
            k = max(np.searchsorted(hash_M, wanted), j + 1)
            while k < len(hash_M) and hash_M[k] == wanted and found < limit:
                if both + more_M[k] < most and user_M[k] != user_M[i] and user_M[k] != user_M[j]:
                    parts_QM[found, 0], parts_QM[found, 1], parts_QM[found, 2] = i, j, k
                    found += 1
                k += 1
    return parts_QM[:found]


@kernel()
def _best_pair(
    user_QM: np.ndarray, more_Q: np.ndarray, change_QD: np.ndarray, slack_D: np.ndarray, price_D: np.ndarray,
    over_D: np.ndarray, base: float, best: float,
) -> tuple[int, int]:  # fmt: skip
    """The closed moves, one or two (-1: none), after which losses and cost of the rows are lowest; `base`: the losses now."""
    first, second = NONE, NONE
    left_D = np.empty_like(slack_D)
    for a in range(len(more_Q)):
        if base + more_Q[a] >= best:
            break
        left_D[:] = slack_D - change_QD[a]
        for b in range(a, len(more_Q)):  # b == a stands for a alone
            total = base + more_Q[a] + (more_Q[b] if b > a else 0.0)
            if total >= best:
                break
            for d in range(len(left_D)):
                left = left_D[d] - (change_QD[b, d] if b > a else 0.0)
                total += price_D[d] * left if left >= -TOUCH else -over_D[d] * left
                if total >= best:
                    break
            if total < best and (b == a or apart(user_QM[a], user_QM[b])):
                best, first, second = total, a, b if b > a else NONE
    return first, second


@kernel()
def apart(one_M: np.ndarray, other_M: np.ndarray) -> bool:
    """Whether no user is in both; NONE stands for nobody."""
    for user in one_M:
        for other in other_M:
            if user != NONE and user == other:
                return False
    return True
