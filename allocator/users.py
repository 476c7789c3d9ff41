"""The users as arrays, read once from the scores: what contacts bring, who is eligible, who explores, and what each had before.

Axes: U users, A actions, P planes, S user classes, C contact caps, N users or contacts, n those of a shard, K contacts of a slate.
"""

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from allocator.contact_rules import ContactRules
from allocator.policy.experiment import exploring, held_out
from allocator.policy.grammar import Policy
from allocator.previous_contacts import (
    PastContacts,
    counted_as,
    read_history,
    read_previous,
    received,
    slates_before,
)
from allocator.problem import Problem
from ranker.files import unnamed
from ranker.scores import Scores

FREE, HOLDOUT, EXPLORATION, PINNED = 0, 1, 2, 3

UserActions = tuple[np.ndarray, np.ndarray]
"""Contacts: the user's position and the action's, of each."""


SHARD = 524_288


SCATTERED_USERS = 128
"""Read at once from a mapped file: each may bring in pages of some megabytes."""


NONE, LOST = -1, -2
"""In place of an action: no contact; and, first in an earlier slate, that it cannot be given again."""


@dataclass(frozen=True)
class Data:
    """The users in dataset order. planes_UPA float32, eligible_UA bool, class_U int32, group_U int8.

    eligible_UA has the policy's eligibility rules applied; holdout users keep theirs, and get nothing by their group. Where planes
    and eligibility do not fit the memory budget they are mapped from a file, and `release` gives the memory of a part back.

    before_UK int16: the earlier slate in catalogue order, padded with NONE, first LOST where it cannot be given again; [U, 0] where
    no constraint asks. received_UC: contacts of earlier days that each cap counts, at most its capacity; [U, 0] where none counts.
    """

    user_id: np.ndarray
    planes_UPA: np.ndarray
    eligible_UA: np.ndarray
    class_U: np.ndarray
    group_U: np.ndarray
    before_UK: np.ndarray
    received_UC: np.ndarray
    offered: "Funnel"

    def __len__(self) -> int:
        return len(self.class_U)

    @property
    def remembers(self) -> bool:
        """Whether earlier slates are known."""
        return self.before_UK.shape[1] > 0

    def keeps(self, user_N: np.ndarray, slate_NK: np.ndarray) -> np.ndarray:
        """bool[N]: whether each slate (padded with NONE, without repetition) is what its user had before."""
        before_NK = self.before_UK[user_N]
        shared_NKK = (slate_NK[:, :, None] == before_NK[:, None, :]) & (slate_NK >= 0)[:, :, None]
        size_N = (slate_NK >= 0).sum(axis=1)
        had_N = (before_NK >= 0).sum(axis=1)
        return (before_NK[:, 0] != LOST) & (size_N == had_N) & (shared_NKK.sum(axis=(1, 2)) == had_N)

    def kept_by_class(self, user_N: np.ndarray, action_N: np.ndarray, among_U: np.ndarray, classes: int) -> np.ndarray:
        """float64[S]: how many of the users `among_U` keep their earlier slate if all they get are these contacts, sorted by user."""
        kept_S = np.zeros(classes)
        if not self.remembers:
            return kept_S
        for part in self.shards():
            before_UK = self.before_UK[part]
            contacts = slice(*np.searchsorted(user_N, [part.start, part.stop]))
            user_n, action_n = user_N[contacts] - part.start, action_N[contacts]
            again_n = (before_UK[user_n] == action_n[:, None]).any(axis=1)
            got_U, again_U = (
                np.bincount(user_n, minlength=len(before_UK)),
                np.bincount(user_n[again_n], minlength=len(before_UK)),
            )
            had_U = (before_UK >= 0).sum(axis=1)
            kept_U = among_U[part] & (before_UK[:, 0] != LOST) & (got_U == had_U) & (again_U == had_U)
            kept_S += np.bincount(self.class_U[part][kept_U], minlength=classes)
        return kept_S

    def take(self, index: np.ndarray) -> "Data":
        """The users at these positions, in memory."""
        planes_UPA = np.empty((len(index), *self.planes_UPA.shape[1:]), np.float32)
        eligible_UA = np.empty((len(index), self.eligible_UA.shape[1]), bool)
        step = SCATTERED_USERS if self.mapped else max(len(index), 1)
        for first in range(0, len(index), step):
            part = slice(first, first + step)
            planes_UPA[part], eligible_UA[part] = self.planes_UPA[index[part]], self.eligible_UA[index[part]]
            self.release()
        return Data(
            self.user_id[index], planes_UPA, eligible_UA, self.class_U[index], self.group_U[index],
            self.before_UK[index], self.received_UC[index], self.offered,
        )  # fmt: skip

    def shards(self) -> Iterator[slice]:
        """Consecutive users, a bounded number at a time; what was mapped for one is given back before the next."""
        for first in range(0, len(self), SHARD):
            yield slice(first, min(first + SHARD, len(self)))
            self.release()

    @property
    def mapped(self) -> bool:
        """Whether planes and eligibility are in a file."""
        return isinstance(self.planes_UPA, np.memmap)

    def release(self) -> None:
        """Gives back the memory of mapped pages; the file keeps what they hold."""
        for array in (self.planes_UPA, self.eligible_UA):
            if isinstance(array, np.memmap):
                array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # numpy's types leave it out


@dataclass(frozen=True)
class Funnel:
    """How many user-action pairs, and users with any, are left after each filter, in the order of the filters."""

    stages: tuple[tuple[str, int, int], ...]


def load_data(
    problem: Problem,
    scores: Scores,
    memory_gib: float = np.inf,
    folder: Path | None = None,
    seen: Callable[[int], None] = lambda users: None,
    planes_UPA: np.ndarray | None = None,
    history: PastContacts | None = None,
) -> Data:
    """Reads the scores once, validating every value; InputError lists all faults. planes_UPA: where they were read before, for any policy.
    history: the contacts of earlier days, where they do not stand beside the scores.

    Planes and eligibility beyond memory_gib go to files in `folder`, which vanish with the process. seen: is told how many users
    have been read, part after part.
    """
    scores.check_users()
    users, actions = scores.users, len(problem.catalogue.actions)
    room = _Room(memory_gib * 2**30 >= users * actions * (4 * len(problem.planes) + 1), folder)
    past = _Past.read(problem, scores, history)
    data = Data(
        user_id=np.empty(0),
        planes_UPA=room.empty((users, len(problem.planes), actions), np.float32) if planes_UPA is None else planes_UPA,
        eligible_UA=room.empty((users, actions), bool),
        class_U=np.empty(users, np.int32),
        group_U=np.empty(users, np.int8),
        before_UK=np.empty((users, past.width), np.int16),
        received_UC=np.empty((users, past.caps), counted_as(problem.contact.counted_C)),
        offered=Funnel(()),
    )
    ids, tally = [], np.zeros((4, 2), np.int64)
    for shard in scores.shards():
        part = slice(shard.start, shard.start + len(shard))
        for position, (kind, metric) in enumerate(problem.planes if planes_UPA is None else ()):
            data.planes_UPA[part, position] = getattr(shard, kind)[metric]
        data.class_U[part] = problem.classes.of(shard)
        data.group_U[part] = group_of(problem.policy, shard.user_id)
        eligible_UA = shard.eligible_UA & problem.contact.allowed_A & problem.allowed_SA[data.class_U[part]]
        classes, before_UK, received_UC = data.class_U[part], data.before_UK[part], data.received_UC[part]
        past.fill(problem.contact, shard.places, classes, eligible_UA, before_UK, received_UC)
        data.eligible_UA[part] = eligible_UA
        ids.append(shard.user_id.to_numpy(zero_copy_only=False))
        tally += _tally(shard.eligible_UA, eligible_UA, data.group_U[part])
        data.release()
        seen(len(shard))
    stages = ("candidates", "eligible in the scores", "allowed by the policy", "outside the holdout")
    funnel = Funnel(tuple((name, int(c), int(u)) for name, (c, u) in zip(stages, tally, strict=True)))
    return replace(data, user_id=np.concatenate(ids), offered=funnel)


@dataclass(frozen=True)
class _Past:
    """What users had before, as far as the policy asks: the slates to compare with, and the contacts that caps count."""

    previous: PastContacts | None
    history: PastContacts | None
    width: int
    caps: int

    @classmethod
    def read(cls, problem: Problem, scores: Scores, history: PastContacts | None) -> "_Past":
        contact = problem.contact
        counted = sorted({name for name, days in zip(contact.names, contact.days_C, strict=True) if days})
        if counted and history is None:
            history = read_history(scores, counted, int(contact.days_C.max()))
        return cls(
            previous=read_previous(scores, problem.previous) if problem.compares_slates else None,
            history=history if counted else None,
            width=contact.slots if problem.compares_slates else 0,
            caps=len(contact.names) if counted else 0,
        )

    def fill(
        self,
        contact: ContactRules,
        users: range,
        class_U: np.ndarray,
        eligible_UA: np.ndarray,
        before_UK: np.ndarray,
        received_UC: np.ndarray,
    ) -> None:
        """Fills what some users had before, and takes away the eligibility that full caps leave no room for."""
        if self.history is not None:
            received_UC[:] = received(self.history, users, contact.member_CA, contact.counted_C, contact.days_C)
            eligible_UA &= ~contact.full(received_UC, class_U)
        if self.previous is not None:
            before_UK[:], whole_U = slates_before(self.previous, users, self.width, NONE)
            before_UK[~(whole_U & _allows(contact, eligible_UA, before_UK, received_UC, class_U)), 0] = LOST


def _allows(
    contact: ContactRules, eligible_UA: np.ndarray, slate_UK: np.ndarray, received_UC: np.ndarray, class_U: np.ndarray
) -> np.ndarray:
    """bool[U]: whether these slates may be given: eligible, one action per slot, every contact rule kept."""
    chosen_UA = np.zeros(eligible_UA.shape, bool)
    user_n, k_n = np.nonzero(slate_UK >= 0)
    chosen_UA[user_n, slate_UK[user_n, k_n]] = True
    fits_U = ~(chosen_UA & ~eligible_UA).any(axis=1)
    return fits_U & contact.keeps(chosen_UA, received_UC, class_U)


@dataclass(frozen=True)
class _Room:
    """Where large arrays go: into memory, or into unnamed files of a folder."""

    fits: bool
    folder: Path | None

    def empty(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        if self.fits or not np.prod(shape):
            return np.empty(shape, dtype)
        return unnamed(shape, dtype, self.folder)


def _tally(scored_UA: np.ndarray, left_UA: np.ndarray, group_U: np.ndarray) -> np.ndarray:
    """[4, 2]: pairs and users with any, after each filter."""
    treated_UA = left_UA if (group_U != HOLDOUT).all() else left_UA[group_U != HOLDOUT]
    counted = [(stage.sum(), stage.any(axis=1).sum()) for stage in (scored_UA, left_UA, treated_UA)]
    return np.array([(scored_UA.size, len(scored_UA)), *counted])


def group_of(policy: Policy, user_id: np.ndarray | pa.Array) -> np.ndarray:
    """int8[U]: FREE, HOLDOUT or EXPLORATION, by salted hash, so that a user keeps the group for as long as the salt stays."""
    group_U = np.full(len(user_id), FREE, np.int8)
    group_U[exploring(policy, user_id)] = EXPLORATION
    group_U[held_out(policy, user_id)] = HOLDOUT
    return group_U
