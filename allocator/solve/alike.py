"""Users who are alike in everything that counts, solved as one user who stands for many.

Averages per segment, or a model that knows nothing of somebody, give thousands of users the same scores. At the right prices all of
them tie, so what is decided about such a group is a number of users per slate; who gets which is drawn by a salted hash of the id.
Groups are ordered by what they hold, so the result does not depend on the order of the users.

Axes: U users, A actions, P planes, C contact caps, G groups, W 64-bit words, N slates of groups, K contacts of a slate.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from allocator.policy.experiment import uniform
from allocator.solve.dual import Users
from allocator.users import FREE, NONE, Data

MOST_DIFFERENT = 0.9
"""Of the users with anything eligible: where more are unlike all others, nobody is put together."""
LOOK_AT = 20_000
SALT = "alike"


@dataclass(frozen=True)
class Alike:
    """group_U: int64, the group of each free user, -1 for others. first_G: its first user. many_G: float64, how many it has."""

    group_U: np.ndarray
    first_G: np.ndarray
    many_G: np.ndarray

    def one_for_many(self, users: Users) -> Users:
        """The first user of each group, who stands for all of it."""
        return replace(users, data=users.data.take(self.first_G), many_U=self.many_G, device="cpu")


@dataclass(frozen=True)
class GroupSlates:
    """How many users of some groups get which slate: group_N, slate_NK, count_N (whole). They add up to all users of a group."""

    group_N: np.ndarray
    slate_NK: np.ndarray
    count_N: np.ndarray


def find_alike(users: Users) -> Alike | None:
    """The groups of free users; None where nearly all users differ.

    Two users are alike if class, eligibility, earlier slate, contacts received and all planes of eligible actions are the same, bit
    for bit.
    """
    data = users.data
    free_U = np.flatnonzero(data.group_U == FREE)
    if not len(free_U) or _mostly_differ(data, free_U):
        return None
    hash_U = content_hashes(data, free_U)
    _, first_G, group_U, many_G = np.unique(hash_U, return_index=True, return_inverse=True, return_counts=True)
    able_G = np.array([data.eligible_UA[user].any() for user in free_U[first_G]]) if len(first_G) else np.empty(0, bool)
    if able_G.sum() > MOST_DIFFERENT * many_G[able_G].sum() or not _are_alike(data, free_U, free_U[first_G][group_U]):
        return None
    everyone_U = np.full(len(data), -1)
    everyone_U[free_U] = group_U
    return Alike(everyone_U, free_U[first_G], many_G.astype(float))


def _mostly_differ(data: Data, free_U: np.ndarray) -> bool:
    """Whether in a part of many users nearly all of those with anything eligible differ."""
    if len(free_U) <= LOOK_AT:
        return False
    part_U = free_U[:: len(free_U) // LOOK_AT]
    able_U = part_U[data.eligible_UA[part_U].any(axis=1)]
    different = len(np.unique(content_hashes(data, able_U)))
    return different > MOST_DIFFERENT * len(able_U)


def content_hashes(data: Data, user_U: np.ndarray) -> np.ndarray:
    """uint64 per user: the sum of a random odd number per word times the word, mixed; the same for users who are alike."""
    random_W = np.random.default_rng(0).integers(0, 2**63, _content(data, user_U[:1]).shape[1], np.uint64) * 2 + 1
    hash_U = np.empty(len(user_U), np.uint64)
    first = 0
    for part in _parts(data, user_U):
        mixed_UW = _content(data, part) * random_W
        mixed_UW ^= mixed_UW >> np.uint64(29)
        hash_U[first : first + len(part)] = (mixed_UW * np.uint64(0x9E3779B97F4A7C15)).sum(axis=1, dtype=np.uint64)
        first += len(part)
    return hash_U


def _content(data: Data, user_U: np.ndarray) -> np.ndarray:
    """uint64[U, W]: everything that counts about these users, planes of what is not eligible left out."""
    eligible_UA = data.eligible_UA[user_U]
    planes_UPA = np.where(eligible_UA[:, None, :], data.planes_UPA[user_U], np.float32(0)) + np.float32(0)  # no -0.0
    words = [
        planes_UPA.reshape(len(user_U), -1).view(np.uint32),
        eligible_UA,
        data.class_U[user_U, None],
        data.before_UK[user_U].astype(np.int64) + 2,
        data.received_UC[user_U],
    ]
    return np.concatenate([word.astype(np.uint64) for word in words], axis=1)


def _are_alike(data: Data, one_U: np.ndarray, other_U: np.ndarray) -> bool:
    """Whether each user is the same as the one beside it, which a hash alone would only make likely."""
    apart = np.flatnonzero(one_U != other_U)
    return all((_content(data, one_U[part]) == _content(data, other_U[part])).all() for part in _parts(data, apart))


def _parts(data: Data, user_U: np.ndarray) -> Iterator[np.ndarray]:
    """A bounded number at a time; what was mapped for one part is given back before the next."""
    for first in range(0, len(user_U), LOOK_AT):
        yield user_U[first : first + LOOK_AT]
        data.release()


def spread(alike: Alike, data: Data, slate_GK: np.ndarray, counts: GroupSlates | None) -> np.ndarray:
    """int16[U, K]: everybody's slate: that of the group, or where counts of slates are told, drawn by a salted hash of the id."""
    slate_UK = np.full((len(data), slate_GK.shape[1]), NONE, np.int16)
    free_U = np.flatnonzero(alike.group_U >= 0)
    slate_UK[free_U] = slate_GK[alike.group_U[free_U]]
    if counts is None or not len(counts.group_N):
        return slate_UK
    mixed_G = np.zeros(len(alike.many_G), bool)
    mixed_G[counts.group_N] = True
    drawn_U = free_U[mixed_G[alike.group_U[free_U]]]
    by_draw = np.lexsort((uniform(SALT, data.user_id[drawn_U]), alike.group_U[drawn_U]))
    by_group = np.argsort(counts.group_N, kind="stable")
    slate_UK[drawn_U[by_draw]] = np.repeat(counts.slate_NK[by_group], counts.count_N[by_group], axis=0)
    return slate_UK
