"""A shard of users as the judge sees it: who is held out, explores or is pinned, what each may get, and which rows are theirs.

Axes: U users, N contacts, n those of a shard, A actions, C contact caps, Q asks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from allocator.audit.contact_history import Received
from allocator.audit.rows import ContactsAsRead, Rows
from allocator.audit.scope import Cap, Need, actions_in, caps_of, needs_of, slots_of, users_in
from allocator.policy.experiment import exploring, held_out
from allocator.policy.grammar import Policy
from allocator.policy.kinds.base import Constraint
from allocator.policy.words import Filter
from ranker.catalogue import Catalogue
from ranker.scores import Shard


@dataclass(frozen=True)
class Week:
    """What is the same for every shard: the allocation's rows, the policy and what it speaks of, and what was given before.

    constraints: those of the policy, one with `each` once per value. before: the earlier allocation. received: the contacts of
    earlier days.
    """

    rows: Rows
    policy: Policy
    catalogue: Catalogue
    vocabulary: Mapping[str, Sequence[str]]
    constraints: Sequence[Constraint]
    before: ContactsAsRead | None = None
    received: Received | None = None

    @cached_property
    def caps(self) -> list[Cap]:
        return caps_of(self.policy, self.catalogue)

    @cached_property
    def needs(self) -> list[Need]:
        return needs_of(self.policy, self.catalogue)

    @cached_property
    def slot_A(self) -> np.ndarray:
        return slots_of(self.catalogue)


class Seen:
    """A shard with its rows, and what is asked of it again and again.

    matched: number of its rows. user_n, action_n, source_n, value_n, marginal_n: those whose action is known, sorted by user;
    user_n is the position in the shard. before_user_n, before_action_n: the earlier contacts, -1 being an action that is gone.
    held_U, explores_U, pinned_U: bool, and nobody is in two of them. room_UC: how many contacts each cap has left for this run.
    lack_UQ: how many contacts of this run each need wants of its scope, 0 or less where it wants nothing of the user.
    """

    def __init__(self, shard: Shard, week: Week):
        self.shard, self.week, rows = shard, week, week.rows
        self._members: dict[Filter, np.ndarray] = {}
        self.room_UC, self.lack_UQ = self._room_and_lack()
        row_n, user_n = rows.of(shard.start, len(shard))
        known_n = rows.action_N[row_n] >= 0
        self.matched = len(row_n)
        row_n, self.user_n = row_n[known_n], user_n[known_n]
        self.action_n = rows.action_N[row_n]
        self.source_n, self.value_n, self.marginal_n = (
            each[row_n] for each in (rows.source_N, rows.value_N, rows.marginal_N)
        )
        if week.before is not None:
            row_n, self.before_user_n = week.before.of(shard.start, len(shard))
            self.before_action_n = week.before.action_N[row_n]
        self.held_U = held_out(week.policy, shard.user_id)
        self.pinned_U = np.any(self.pins_UA, axis=1)
        self.explores_U = exploring(week.policy, shard.user_id, self.held_U) & ~self.pinned_U

    def __len__(self) -> int:
        return len(self.shard)

    def _room_and_lack(self) -> tuple[np.ndarray, np.ndarray]:
        """[U, C] and [U, Q]: what earlier contacts leave of each cap, and lack of each need. Who is not bound has room for everything."""
        week, users = self.week, len(self)
        rules: list[Cap | Need] = [*week.caps, *week.needs]
        left_UC = np.tile(np.array([rule.most for rule in rules], np.int64), (users, 1))
        if week.received is not None:
            left_UC -= week.received.of(self.shard.start, users)
        for c, rule in enumerate(rules):
            if not rule.users.is_empty:
                beyond = len(week.catalogue.actions) if c < len(week.caps) else 0
                left_UC[~self.members(rule.users), c] = beyond
        return left_UC[:, : len(week.caps)], left_UC[:, len(week.caps) :]

    def members(self, words: Filter) -> np.ndarray:
        """bool[U]."""
        if words not in self._members:
            self._members[words] = users_in(words, self.shard, self.week.vocabulary)
        return self._members[words]

    def alike(self, filters: Sequence[Filter]) -> Iterator[np.ndarray]:
        """The positions of users who are in the same of these filters, group after group."""
        kind_U = np.zeros(len(self), np.int64)
        for words in dict.fromkeys(filters):
            kind_U = pd.factorize(2 * kind_U + self.members(words))[0]
        order_U = np.argsort(kind_U, kind="stable")
        edges = np.flatnonzero(np.diff(kind_U[order_U])) + 1
        yield from (user_u for user_u in np.split(order_U, edges) if len(user_u))

    @property
    def free_U(self) -> np.ndarray:
        """bool[U]: for whom something is chosen."""
        return ~(self.held_U | self.explores_U | self.pinned_U)

    @cached_property
    def allowed_UA(self) -> np.ndarray:
        """bool[U, A]: eligible in the scores, and not forbidden by a rule."""
        allowed_UA = self.shard.eligible_UA.copy()
        for rule in self.week.policy.eligibility:
            allowed_UA &= ~(self.members(rule.users)[:, None] & actions_in(rule.forbid, self.week.catalogue))
        return allowed_UA

    @cached_property
    def choices_U(self) -> np.ndarray:
        """int64[U]: among how many actions exploration draws."""
        return self.drawable_UA.sum(axis=1)

    @cached_property
    def drawable_UA(self) -> np.ndarray:
        """bool[U, A]: what exploration may give: what is allowed, of which no cap is full already, and which needs nothing beside it."""
        drawable_UA = self.allowed_UA.copy()
        for cap, room_U in zip(self.week.caps, self.room_UC.T, strict=True):
            if (room_U <= 0).any():
                drawable_UA &= ~((room_U <= 0)[:, None] & cap.scope_A)
        for need, lack_U in zip(self.week.needs, self.lack_UQ.T, strict=True):
            drawable_UA &= ~(need.given_A & (need.scope_A.astype(int) < lack_U[:, None]))
        return drawable_UA

    @cached_property
    def pins_UA(self) -> np.ndarray:
        """bool[U, A]: who is pinned to what, worked out rule after rule."""
        week = self.week
        pins_UA = np.zeros((len(self), len(week.catalogue.actions)), bool)
        for rule in week.policy.pinned:
            action = week.catalogue.ids.index(rule.action)
            want_U = self.members(rule.users) & ~self.held_U & self.allowed_UA[:, action]
            want_U &= ~pins_UA[:, week.slot_A == week.slot_A[action]].any(axis=1)
            for cap, room_U in zip(week.caps, self.room_UC.T, strict=True):
                if cap.scope_A[action]:
                    want_U &= pins_UA[:, cap.scope_A].sum(axis=1) < room_U
            pins_UA[:, action] |= want_U
        return self._with_what_they_need(pins_UA)

    def _with_what_they_need(self, pins_UA: np.ndarray) -> np.ndarray:
        """The pins without those that lack what they need, until none does."""
        for _ in range(pins_UA.shape[1]):
            for need, lack_U in zip(self.week.needs, self.lack_UQ.T, strict=True):
                pins_UA[pins_UA[:, need.scope_A].sum(axis=1) < lack_U] &= ~need.given_A
        return pins_UA

    def needs_met(self, got_UA: np.ndarray) -> np.ndarray:
        """bool[U, Q]: whether who gets these contacts has what each need wants."""
        met_UQ = np.ones(self.lack_UQ.shape, bool)
        for q, need in enumerate(self.week.needs):
            has_U = got_UA[:, need.scope_A].sum(axis=1) >= self.lack_UQ[:, q]
            met_UQ[:, q] = has_U | ~got_UA[:, need.given_A].any(axis=1)
        return met_UQ

    @cached_property
    def got_UA(self) -> np.ndarray:
        """bool[U, A]: who gets what."""
        return self._matrix(self.user_n, self.action_n)

    @cached_property
    def had_UA(self) -> np.ndarray:
        """bool[U, A]: what the earlier allocation gave, of the actions there are now."""
        known_n = self.before_action_n >= 0
        return self._matrix(self.before_user_n[known_n], self.before_action_n[known_n])

    @cached_property
    def repeatable_U(self) -> np.ndarray:
        """bool[U]: whose earlier actions are all still there."""
        repeatable_U = np.ones(len(self), bool)
        repeatable_U[self.before_user_n[self.before_action_n < 0]] = False
        return repeatable_U

    @cached_property
    def changed_U(self) -> np.ndarray:
        """bool[U]: who is given another set of actions than in the earlier allocation."""
        return ~self.repeatable_U | (self.got_UA != self.had_UA).any(axis=1)

    def _matrix(self, user_n: np.ndarray, action_n: np.ndarray) -> np.ndarray:
        """bool[U, A]: these pairs."""
        matrix_UA = np.zeros((len(self), len(self.week.catalogue.actions)), bool)
        matrix_UA[user_n, action_n] = True
        return matrix_UA
