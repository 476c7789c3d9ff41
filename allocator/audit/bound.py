"""What no allocation can exceed, from the certificate's multipliers by weak duality:

    bound = sum_r multiplier_r * limit_r + sum_u max over slates of (value - sum_r multiplier_r * use_r)

where limit_r is 0 for a share, an average or a ratio, whose use is that of the numerator less bound times that of the denominator. For
churn limit_r is max - users in scope, and use_r is -1 where a user in scope is given what the earlier allocation gave, else 0. So whoever
may be given that once more is also worth its value with all multipliers of churn on top. For reach use_r is 1 where a slate has any
action in its scope, so there is a reward, or a price, once for each such scope. A row with a certainty charges for standard errors too
(`errors`). Who explores or is pinned keeps the contacts of the rows, who is held out gets nothing.

Axes: U users, u some of them, N contacts, n those of a shard, A actions, C contact caps, Q asks, B reach sets.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from allocator.audit.audited_shard import Seen, Week
from allocator.audit.checks import TOLERANCE
from allocator.audit.recounts import Recount
from allocator.audit.slates import BestSlates
from allocator.audit.sums import Charges, Part, Sum, Weights, Worth, no_weights
from ranker.scores import Shard


@dataclass
class Best:
    """The most that each user could be worth at the multipliers, summed over the shards seen so far."""

    week: Week
    recounts: Sequence[Recount]
    users: Sum = field(default_factory=Sum)

    def see(self, seen: Seen) -> None:
        for terms in self._terms(seen, self._net(seen)):
            self.users.add(terms)

    def absolute(self, seen: Seen) -> float:
        """What these users' rounding is relative to: the absolute terms of the net values, of the contacts whose rounding could tell.

        That is by how much the most would grow if each net value were larger by its own rounding. The sum of the absolute net values
        will do, unless they are small differences of large terms.
        """
        net_UA = self._net(seen)
        rounded_UA = net_UA + TOLERANCE * self._net(seen, absolute=True)
        both = zip(self._terms(seen, rounded_UA, 1.0 + TOLERANCE), self._terms(seen, net_UA), strict=True)
        return sum(float((most - now).sum()) for most, now in both) / TOLERANCE

    def _terms(self, seen: Seen, net_UA: np.ndarray, times: float = 1.0) -> Iterator[np.ndarray]:
        """What these users could be worth at most, as terms of a sum. times: of what giving the same again is worth.

        Takes the net values for its own.
        """
        free_U = seen.free_U
        given_n = (seen.explores_U | seen.pinned_U)[seen.user_n]
        yield net_UA[seen.user_n[given_n], seen.action_n[given_n]]
        reward_UB = self._rewards(seen, times)
        if self.scopes:
            yield (reward_UB * self._hits(seen.got_UA))[seen.explores_U | seen.pinned_U].sum(axis=1)
        net_UA[~(seen.allowed_UA & free_U[:, None])] = -np.inf
        best_U = self.slates.best(net_UA, seen.room_UC, seen.lack_UQ, reward_UB)
        churning = [recount for recount in self.recounts if recount.changes and recount.multiplied[0]]
        if churning:
            bonus_U = np.zeros(len(seen))
            for each in churning:
                bonus_U += times * each.multiplied[0] * seen.members(each.rule.users)
            yield bonus_U[~free_U & ~seen.changed_U]
            again_U = self._again(seen, net_UA) + (reward_UB * self._hits(seen.had_UA)).sum(axis=1)
            best_U[free_U] = np.maximum(best_U, again_U + bonus_U)[free_U]
        yield best_U

    def _again(self, seen: Seen, net_UA: np.ndarray) -> np.ndarray:
        """float64[U]: what the contacts of the earlier allocation would be worth; -inf where they cannot be given again."""
        possible_U = seen.repeatable_U & self.slates.keeps_caps(seen.had_UA, seen.room_UC)
        possible_U &= seen.needs_met(seen.had_UA).all(axis=1)
        return np.where(possible_U, np.where(seen.had_UA, net_UA, 0.0).sum(axis=1), -np.inf)

    @cached_property
    def scopes(self) -> dict[bytes, np.ndarray]:
        """Those of the reach constraints with a price."""
        reaching = [each.reaches for each in self.recounts if each.multiplied[0]]
        return {each.scope_A.tobytes(): each.scope_A for each in reaching if each is not None}

    def _hits(self, got_UA: np.ndarray) -> np.ndarray:
        """bool[U, B]: in which of these scopes each user is given something."""
        hit_UB = np.zeros((len(got_UA), len(self.scopes)), bool)
        for b, scope_A in enumerate(self.scopes.values()):
            hit_UB[:, b] = got_UA[:, scope_A].any(axis=1)
        return hit_UB

    def _rewards(self, seen: Seen, times: float) -> np.ndarray:
        """float64[U, B]: what being given something in each of these scopes is worth, its rounding at `times` on top."""
        reward_UB = np.zeros((len(seen), len(self.scopes)))
        for recount in self.recounts:
            if recount.reaches is not None and recount.multiplied[0]:
                worth = -recount.multiplied[0]
                column = list(self.scopes).index(recount.reaches.scope_A.tobytes())
                reward_UB[:, column] += (worth + (times - 1.0) * abs(worth)) * seen.members(recount.rule.users)
        return reward_UB

    @property
    def bound(self) -> Sum:
        """The bound, and the sum of the absolute terms that are added up in it."""
        return self.bound_with(self.users.absolute)

    def bound_with(self, absolute: float) -> Sum:
        """The bound, where the users' rounding is relative to this."""
        limits = [recount.multiplied[0] * recount.limit for recount in self.recounts]
        return Sum(self.users.value + sum(limits), absolute + sum(map(abs, limits)))

    @cached_property
    def slates(self) -> BestSlates:
        needs = [(need.given_A, need.scope_A) for need in self.week.needs]
        return BestSlates(self.week.slot_A, [cap.scope_A for cap in self.week.caps], needs, list(self.scopes.values()))

    def _net(self, seen: Seen, *, absolute: bool = False) -> np.ndarray:
        """float64[U, A]: the value of each contact less what its use of the constraints costs at the multipliers.

        absolute: the sum of the absolute terms instead. Users who are in the same constraints share all coefficients, so they are
        worked on together.
        """
        priced = [each for each in self.recounts if each.multiplied[0] and not each.changes and each.reaches is None]
        net_UA = np.empty((len(seen), len(self.week.catalogue.actions)))
        members = [seen.members(recount.rule.users) for recount in priced]
        for user_u in seen.alike([recount.rule.users for recount in priced]):
            inside = [recount for recount, member_U in zip(priced, members, strict=True) if member_U[user_u[0]]]
            net_UA[user_u] = self._net_alike(seen.shard, user_u, inside, absolute)
        return net_UA

    def _net_alike(self, shard: Shard, user_u: np.ndarray, priced: Sequence[Recount], absolute: bool) -> np.ndarray:
        weights = self._absolute_weights(priced) if absolute else self._weights(priced)
        net_uA = np.tile(weights.constant_A, (len(user_u), 1))
        for planes, weighted in ((shard.mean, weights.mean), (shard.stderr, weights.spread)):
            for metric, weight_A in weighted.items():
                if weight_A.any():
                    plane_uA = planes[metric][user_u].astype(np.float64)
                    net_uA += (np.abs(plane_uA) if absolute else plane_uA) * weight_A
        return net_uA

    def _weights(self, priced: Sequence[Recount]) -> Weights:
        """The objective less what these constraints charge."""
        weights = no_weights(self.week.catalogue)
        for part, factor in self._parts(priced):
            part.add_to(weights, factor)
        return weights

    def _absolute_weights(self, priced: Sequence[Recount]) -> Weights:
        """The same without signs, term by term."""
        weights = no_weights(self.week.catalogue)
        for part, factor in self._parts(priced):
            for term in part.terms():
                alone = no_weights(self.week.catalogue)
                term.add_to(alone, factor)
                weights.add_absolute(alone)
        return weights

    def _parts(self, priced: Sequence[Recount]) -> Iterator[tuple[Part | Worth | Charges, float]]:
        """The objective and the sums of these constraints, and what each is multiplied by in a net value."""
        yield Worth(self.week.policy.objective, self.week.policy.risk_z, self.week.catalogue), 1.0
        for recount in priced:
            multiplier, bound = recount.multiplied
            for part, factor in zip(recount.parts, (-multiplier, multiplier * bound), strict=True):
                if isinstance(part, Part | Worth):
                    yield part, factor
            if recount.charges:
                yield Charges(recount.charges), -abs(multiplier)
