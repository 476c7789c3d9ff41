"""The rules that hold for each user, recounted: slots, eligibility, contact rules, holdout, exploration, pinned and fallback.

Axes: U users, N contacts, n those of a shard, A actions, L slots, Q asks.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from allocator.audit.audited_shard import Seen, Week
from allocator.audit.checks import TOLERANCE, Check, none_of, verdict
from allocator.audit.rows import MARGINAL, SOURCES
from allocator.audit.scope import actions_in
from allocator.policy.experiment import shares
from allocator.policy.grammar import ContactRule

EXPLORATION, FALLBACK, PINNED = (SOURCES.index(name) for name in ("exploration", "fallback", "pinned"))


@dataclass
class UserRules:
    """What is wrong with the contacts of single users, counted over the shards seen so far.

    chances: rows that say how likely they were over all ways. fallbacks, left_without: users who fell back, and users whom the
    fallback is for and who got nothing.
    """

    week: Week
    twice: int = 0
    ineligible: int = 0
    forbidden: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    lacking: Counter[str] = field(default_factory=Counter)
    held_contacts: int = 0
    wrong_source: int = 0
    chances: int = 0
    wrong_chances: int = 0
    wrong_pins: int = 0
    wrong_fallbacks: int = 0
    fallbacks: int = 0
    left_without: int = 0

    def see(self, seen: Seen) -> None:
        self._see_what_is_allowed(seen)
        self._see_groups(seen)
        self._see_chances(seen)
        self._see_pinned(seen)
        self._see_fallback(seen)

    def _see_what_is_allowed(self, seen: Seen) -> None:
        slot_A = self.week.slot_A
        got_UL = np.bincount(seen.user_n * (int(slot_A.max()) + 1) + slot_A[seen.action_n])
        self.twice += int(np.maximum(got_UL - 1, 0).sum())
        self.ineligible += int(np.count_nonzero(~seen.shard.eligible_UA[seen.user_n, seen.action_n]))
        for rule in self.week.policy.eligibility:
            forbidden_A = actions_in(rule.forbid, self.week.catalogue)
            inside_n = seen.members(rule.users)[seen.user_n] & forbidden_A[seen.action_n]
            self.forbidden[rule.id] += int(inside_n.sum())
        for cap, room_U in zip(self.week.caps, seen.room_UC.T, strict=True):
            got_U = np.bincount(seen.user_n[cap.scope_A[seen.action_n]], minlength=len(seen))
            self.broken[cap.rule] += int(np.count_nonzero(got_U > room_U))
        if self.week.needs:
            met_UQ = seen.needs_met(seen.got_UA)
            for need, met_U in zip(self.week.needs, met_UQ.T, strict=True):
                self.lacking[need.rule] += int(np.count_nonzero(~met_U))

    def _see_groups(self, seen: Seen) -> None:
        self.held_contacts += int(seen.held_U[seen.user_n].sum())
        explores_n = seen.explores_U[seen.user_n]
        self.wrong_source += int(np.count_nonzero(explores_n != (seen.source_n == EXPLORATION)))

    def _see_chances(self, seen: Seen) -> None:
        """Of one who explores only the solver can say whether the contact would have been chosen as well, so either is right."""
        drawn = shares(self.week.policy)
        explored_n = drawn.explores / (seen.choices_U[seen.user_n] + 1) * seen.drawable_UA[seen.user_n, seen.action_n]
        wanted_n = np.where(seen.source_n == PINNED, 1 - drawn.held, drawn.free + explored_n)
        right_n = np.isclose(seen.marginal_n, wanted_n, TOLERANCE, 0.0)
        right_n |= (seen.source_n == EXPLORATION) & np.isclose(seen.marginal_n, explored_n, TOLERANCE, 0.0)
        told_n = ~np.isnan(seen.marginal_n)
        self.chances += int(np.count_nonzero(told_n))
        self.wrong_chances += int(np.count_nonzero(told_n & ~right_n))

    def _see_pinned(self, seen: Seen) -> None:
        """Whoever is pinned has the pinned contacts and nothing else."""
        pinned_n = seen.source_n == PINNED
        got_UA = np.zeros_like(seen.pins_UA)
        got_UA[seen.user_n[pinned_n], seen.action_n[pinned_n]] = True
        self.wrong_pins += int((seen.pins_UA != got_UA).sum()) + int((seen.pinned_U[seen.user_n] & ~pinned_n).sum())

    def _see_fallback(self, seen: Seen) -> None:
        """Fallbacks are for users in scope whom nothing else was given; those in scope without a row are counted."""
        fell_n = seen.source_n == FALLBACK
        fallback = self.week.policy.fallback
        if fallback is None:
            self.wrong_fallbacks += int(fell_n.sum())
            return
        named_A = np.isin(self.week.catalogue.ids, fallback.action)
        scope_U = seen.free_U & seen.members(fallback.users)
        got_U = np.bincount(seen.user_n, minlength=len(seen))
        right_n = scope_U[seen.user_n] & named_A[seen.action_n] & (got_U[seen.user_n] == 1)
        self.wrong_fallbacks += int((fell_n & ~right_n).sum())
        self.fallbacks += int(fell_n.sum())
        self.left_without += int((scope_U & (got_U == 0)).sum())

    def checks(self) -> Iterator[Check]:
        yield none_of("slots", self.twice, "rows give a user a second action in one slot")
        yield self._eligibility_check()
        for rule in self.week.policy.contact:
            yield self._contact_check(rule)
        yield none_of("holdout", self.held_contacts, "rows are for users who are held out")
        yield none_of(
            "exploration", self.wrong_source, "rows have a source that does not fit whether their user explores"
        )
        if self.chances:
            yield none_of(MARGINAL, self.wrong_chances, "rows have another chance than the shares give")
        yield none_of("pinned", self.wrong_pins, "contacts are not as the pinned rules have them")
        yield none_of("fallback", self.wrong_fallbacks, "rows fall back where the policy does not say so")

    def _contact_check(self, rule: ContactRule) -> Check:
        if rule.requires is not None:
            return none_of(f"contact {rule.id}", self.lacking[rule.id], "users lack what the rule requires")
        if rule.min is None:
            return none_of(f"contact {rule.id}", self.broken[rule.id], "users get more than the rule allows")
        more, fewer = self.broken[rule.id], self.lacking[rule.id]
        wrong = [f"{more:,} users get more than the rule allows"] * (more > 0)
        wrong += [f"{fewer:,} users get some, but fewer than the rule's minimum"] * (fewer > 0)
        return verdict(f"contact {rule.id}", wrong, "every user gets none or as many as the rule says")

    def _eligibility_check(self) -> Check:
        wrong = [f"{self.ineligible:,} rows are not eligible in the scores"] if self.ineligible else []
        wrong += [f"{count:,} rows break {name}" for name, count in self.forbidden.items() if count]
        return verdict("eligibility", wrong, "every contact is eligible")
