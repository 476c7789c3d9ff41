"""What no allocation can exceed, from the certificate's multipliers by weak duality:

    bound = sum_r multiplier_r * limit_r + sum_u max over slates of (value - sum_r multiplier_r * use_r)

where limit_r is 0 for a share, an average or a ratio, whose use is that of the numerator less bound times that of the denominator. For
churn limit_r is max - users in scope, and use_r is -1 where a user in scope is given what the earlier allocation gave, else 0. So whoever
may be given that once more is also worth its value with all multipliers of churn on top. A row with a certainty charges for standard
errors too (`errors`). Who explores or is pinned keeps the contacts of
the rows, who is held out gets nothing.

Axes: U users, u some of them, N contacts, n those of a shard, A actions, C contact caps, Q asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from allocator.audit.audited_shard import Seen, Week
from allocator.audit.recounts import Recount
from allocator.audit.slates import BestSlates
from allocator.audit.sums import Part, Sum, Weights, Worth, no_weights
from ranker.scores import Shard


@dataclass
class Best:
    """The most that each user could be worth at the multipliers, summed over the shards seen so far."""

    week: Week
    recounts: Sequence[Recount]
    users: Sum = field(default_factory=Sum)

    def see(self, seen: Seen) -> None:
        net_UA, free_U = self._net(seen), seen.free_U
        given_n = (seen.explores_U | seen.pinned_U)[seen.user_n]
        self.users.add(net_UA[seen.user_n[given_n], seen.action_n[given_n]])
        net_UA[~(seen.allowed_UA & free_U[:, None])] = -np.inf
        best_U = self.slates.best(net_UA, seen.room_UC, seen.lack_UQ)
        churning = [recount for recount in self.recounts if recount.changes and recount.multiplied[0]]
        if churning:
            bonus_U = np.zeros(len(seen))
            for each in churning:
                bonus_U += each.multiplied[0] * seen.members(each.rule.users)
            self.users.add(bonus_U[~free_U & ~seen.changed_U])
            best_U[free_U] = np.maximum(best_U, self._again(seen, net_UA) + bonus_U)[free_U]
        self.users.add(best_U)

    def _again(self, seen: Seen, net_UA: np.ndarray) -> np.ndarray:
        """float64[U]: what the contacts of the earlier allocation would be worth; -inf where they cannot be given again."""
        possible_U = seen.repeatable_U & self.slates.keeps_caps(seen.had_UA, seen.room_UC)
        possible_U &= seen.needs_met(seen.had_UA).all(axis=1)
        return np.where(possible_U, np.where(seen.had_UA, net_UA, 0.0).sum(axis=1), -np.inf)

    @property
    def bound(self) -> Sum:
        """The bound, and the sum of its absolute terms."""
        limits = [recount.multiplied[0] * recount.limit for recount in self.recounts]
        return Sum(self.users.value + sum(limits), self.users.absolute + sum(map(abs, limits)))

    @cached_property
    def slates(self) -> BestSlates:
        needs = [(need.given_A, need.scope_A) for need in self.week.needs]
        return BestSlates(self.week.slot_A, [cap.scope_A for cap in self.week.caps], needs)

    def _net(self, seen: Seen) -> np.ndarray:
        """float64[U, A]: the value of each contact less what its use of the constraints costs at the multipliers.

        Users who are in the same constraints share all coefficients, so they are worked on together.
        """
        priced = [recount for recount in self.recounts if recount.multiplied[0] and not recount.changes]
        net_UA = np.empty((len(seen), len(self.week.catalogue.actions)))
        members = [seen.members(recount.rule.users) for recount in priced]
        for user_u in seen.alike([recount.rule.users for recount in priced]):
            inside = [recount for recount, member_U in zip(priced, members, strict=True) if member_U[user_u[0]]]
            net_UA[user_u] = self._net_alike(seen.shard, user_u, inside)
        return net_UA

    def _net_alike(self, shard: Shard, user_u: np.ndarray, priced: Sequence[Recount]) -> np.ndarray:
        weights = self._weights(priced)
        net_uA = np.tile(weights.constant_A, (len(user_u), 1))
        for planes, weighted in ((shard.mean, weights.mean), (shard.stderr, weights.spread)):
            for metric, weight_A in weighted.items():
                if weight_A.any():
                    net_uA += planes[metric][user_u].astype(np.float64) * weight_A
        return net_uA

    def _weights(self, priced: Sequence[Recount]) -> Weights:
        """The objective less what these constraints charge."""
        catalogue, policy = self.week.catalogue, self.week.policy
        weights = no_weights(catalogue)
        Worth(policy.objective, policy.risk_z, catalogue).add_to(weights, 1.0)
        for recount in priced:
            multiplier, bound = recount.multiplied
            for part, factor in zip(recount.parts, (-multiplier, multiplier * bound), strict=True):
                if isinstance(part, Part | Worth):
                    part.add_to(weights, factor)
            for metric, charge_A in recount.charges.items():
                weights.spread[metric] -= abs(multiplier) * charge_A
        return weights
