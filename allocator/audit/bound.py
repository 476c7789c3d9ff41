"""What no allocation can exceed, from the certificate's multipliers by weak duality:

    bound = sum_r multiplier_r * limit_r + sum_u max over slates of (value - sum_r multiplier_r * use_r)

where limit_r is 0 for a share, an average or a ratio, whose use is that of the numerator less bound times that of the denominator.
Who explores or is pinned keeps the contacts of the rows, who is held out gets nothing.

Axes: U users of a shard, u some of them, n rows of a shard, A actions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from allocator.audit.recounts import Recount
from allocator.audit.seen import Seen, Week
from allocator.audit.slates import Slates
from allocator.audit.sums import Sum, Worth
from ranker.scores import Shard


@dataclass
class Best:
    """The most that each user could be worth at the multipliers, summed over the shards seen so far."""

    week: Week
    recounts: Sequence[Recount]
    users: Sum = field(default_factory=Sum)

    def see(self, seen: Seen) -> None:
        net_UA = self._net(seen)
        given_n = (seen.explores_U | seen.pinned_U)[seen.user_n]
        self.users.add(net_UA[seen.user_n[given_n], seen.action_n[given_n]])
        net_UA[~(seen.allowed_UA & seen.free_U[:, None])] = -np.inf
        self.users.add(self.slates.best(net_UA))

    @property
    def bound(self) -> Sum:
        """The bound, and the sum of its absolute terms."""
        limits = [multiplier * bound for multiplier, bound in (each.multiplied for each in self._limited)]
        return Sum(self.users.value + sum(limits), self.users.absolute + sum(map(abs, limits)))

    @property
    def _limited(self) -> list[Recount]:
        return [recount for recount in self.recounts if recount.parts[1] is None]

    @cached_property
    def slates(self) -> Slates:
        return Slates(self.week.slot_A, [(cap.scope_A, cap.most) for cap in self.week.caps])

    def _net(self, seen: Seen) -> np.ndarray:
        """float64[U, A]: the value of each contact less what its use of the constraints costs at the multipliers.

        Users who are in the same constraints share all coefficients, so they are worked on together.
        """
        priced = [recount for recount in self.recounts if recount.multiplied[0]]
        net_UA = np.empty((len(seen), len(self.week.catalogue.actions)))
        for user_u in seen.alike([recount.rule.users for recount in priced]):
            inside = [recount for recount in priced if seen.members(recount.rule.users)[user_u[0]]]
            net_UA[user_u] = self._net_alike(seen.shard, user_u, inside)
        return net_UA

    def _net_alike(self, shard: Shard, user_u: np.ndarray, priced: Sequence[Recount]) -> np.ndarray:
        mean, spread, constant_A = self._coefficients(priced)
        net_uA = np.tile(constant_A, (len(user_u), 1))
        for planes, weights in ((shard.mean, mean), (shard.stderr, spread)):
            for metric, weight_A in weights.items():
                if weight_A.any():
                    net_uA += planes[metric][user_u].astype(np.float64) * weight_A
        return net_uA

    def _coefficients(self, priced: Sequence[Recount]) -> tuple[dict, dict, np.ndarray]:
        """Per metric the weight of its mean and of its stderr, and the constant, float64[A] each."""
        catalogue, policy = self.week.catalogue, self.week.policy
        mean = {metric.name: np.zeros(len(catalogue.actions)) for metric in catalogue.metrics}
        spread = {name: np.zeros(len(catalogue.actions)) for name in mean}
        constant_A = np.zeros(len(catalogue.actions))
        Worth(policy.objective, policy.risk_z, catalogue).add_to(mean, spread, 1.0)
        for recount in priced:
            multiplier, bound = recount.multiplied
            numerator, denominator = recount.parts
            if isinstance(numerator, Worth):
                numerator.add_to(mean, spread, -multiplier)
                continue
            for part, factor in ((numerator, 1.0), (denominator, -bound)):
                if part is not None:
                    target_A = constant_A if part.metric is None else mean[part.metric]
                    target_A -= multiplier * factor * part.weight_A
        return mean, spread, constant_A
