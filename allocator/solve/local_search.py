"""Trades: a few users exchange slates so that every tight count stays as it is and the sums fit better.

After rounding nearly all of the loss is room that budgets, ratios and other sums of real numbers leave unused, each worth its price.
A *move* gives one core user another slate. Moves of up to three users whose changes of all tight counts cancel make a *closed* move,
which changes sums alone. Of all pairs of closed moves the best that keeps every row is made, again and again: of some ten million
pairs one usually fits the handful of sums nearly exactly, where a tree search has to find it by luck.

Axes: U users, N slates of users of the core, J moves, X closed moves, R rows, r those that are watched.
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
    column_J = np.flatnonzero((more_N < cost) & (np.arange(len(user_N)) != picked_U[user_N]))
    column_J = np.sort(column_J[np.argsort(more_N[column_J], kind="stable")[:MOST_MOVES]])
    user_J, more_J = user_N[column_J], more_N[column_J]
    change_JR = usage_NR[column_J] - usage_NR[picked_U[user_J]]
    tight_R = (room.quantum_R > 0) & (slack_R < 0.5 * room.quantum_R)
    hash_J = _hashes(change_JR[:, tight_R] / room.quantum_R[tight_R])
    parts_X3 = _closed(user_J, hash_J, more_J, cost)
    watched_R = ~tight_R & ((room.price_R > 0) | (slack_R < AMPLE)) & (change_JR != 0).any(axis=0)
    there_X3 = parts_X3 != NONE
    watched = room.of(watched_R)
    pair = _best_pair(
        np.where(there_X3, user_J[parts_X3], NONE),
        np.where(there_X3, more_J[parts_X3], 0.0).sum(axis=1),
        (change_JR[:, watched_R][parts_X3] * there_X3[:, :, None]).sum(axis=1),
        slack_R[watched_R],
        watched.price_R,
        watched.over_R,
        cost - watched.cost(slack_R[watched_R]),
        cost,
    )
    taken = parts_X3[[q for q in pair if q != NONE]].reshape(-1)
    return column_J[taken[taken != NONE]]


def _hashes(step_JR: np.ndarray) -> np.ndarray:
    """int64[J]: sums of a random number per row times the change, so that changes cancel where hashes add up to zero."""
    random_R = np.random.default_rng(0).integers(-(2**62), 2**62, step_JR.shape[1])
    return np.rint(step_JR).astype(np.int64) @ random_R


def _closed(user_J: np.ndarray, hash_J: np.ndarray, more_J: np.ndarray, most: float) -> np.ndarray:
    """[X, 3]: closed moves as positions of their moves, -1 for none, those that lose least first.

    Of three moves at most; where these are too many (few counts are tight then) of two, or of one.
    """
    order = np.argsort(hash_J, kind="stable")
    for parts in (3, 2, 1):
        parts_X3 = _find_closed(user_J[order], hash_J[order], more_J[order], most, parts, MOST_FOUND)
        if len(parts_X3) < MOST_FOUND:
            break
    more_X = np.where(parts_X3 != NONE, more_J[order][parts_X3], 0.0).sum(axis=1)
    parts_X3 = parts_X3[np.argsort(more_X, kind="stable")[:MOST_CLOSED]]
    return np.where(parts_X3 != NONE, order[parts_X3], NONE)


@kernel()
def _find_closed(
    user_J: np.ndarray, hash_J: np.ndarray, more_J: np.ndarray, most: float, parts: int, limit: int
) -> np.ndarray:
    """Moves are sorted by hash: one, two or three of different users, each behind the one before, until there are `limit`."""
    parts_X3 = np.full((limit, 3), NONE, np.int64)
    found = 0
    for i in range(len(hash_J)):
        if found == limit:
            break
        if hash_J[i] == 0 and more_J[i] < most:
            parts_X3[found, 0] = i
            found += 1
        for j in range(i + 1, len(hash_J) if parts > 1 else 0):
            both = more_J[i] + more_J[j]
            if found == limit:
                break
            if user_J[i] == user_J[j] or both >= most:
                continue
            wanted = -(hash_J[i] + hash_J[j])
            if wanted == 0:
                parts_X3[found, 0], parts_X3[found, 1] = i, j
                found += 1
            if parts < 3 or wanted < hash_J[j]:
                continue
            k = max(np.searchsorted(hash_J, wanted), j + 1)
            while k < len(hash_J) and hash_J[k] == wanted and found < limit:
                if both + more_J[k] < most and user_J[k] != user_J[i] and user_J[k] != user_J[j]:
                    parts_X3[found, 0], parts_X3[found, 1], parts_X3[found, 2] = i, j, k
                    found += 1
                k += 1
    return parts_X3[:found]


@kernel()
def _best_pair(
    user_X3: np.ndarray, more_X: np.ndarray, change_Xr: np.ndarray, slack_r: np.ndarray, price_r: np.ndarray,
    over_r: np.ndarray, base: float, best: float,
) -> tuple[int, int]:  # fmt: skip
    """The closed moves, one or two (-1: none), after which losses and cost of the rows are lowest; `base`: the losses now."""
    first, second = NONE, NONE
    left_r = np.empty_like(slack_r)
    for a in range(len(more_X)):
        if base + more_X[a] >= best:
            break
        left_r[:] = slack_r - change_Xr[a]
        for b in range(a, len(more_X)):  # b == a stands for a alone
            total = base + more_X[a] + (more_X[b] if b > a else 0.0)
            if total >= best:
                break
            for d in range(len(left_r)):
                left = left_r[d] - (change_Xr[b, d] if b > a else 0.0)
                total += price_r[d] * left if left >= -TOUCH else -over_r[d] * left
                if total >= best:
                    break
            if total < best and (b == a or apart(user_X3[a], user_X3[b])):
                best, first, second = total, a, b if b > a else NONE
    return first, second


@kernel()
def apart(one_3: np.ndarray, other_3: np.ndarray) -> bool:
    """Whether no user is in both; NONE stands for nobody."""
    for user in one_3:
        for other in other_3:
            if user != NONE and user == other:
                return False
    return True
