"""Every kind of constraint by the word that names it."""

from collections.abc import Mapping

from allocator.policy.kinds.average import Average
from allocator.policy.kinds.base import Constraint
from allocator.policy.kinds.change import Change
from allocator.policy.kinds.churn import Churn
from allocator.policy.kinds.ratio import Ratio
from allocator.policy.kinds.reach import UserReach
from allocator.policy.kinds.share import ShareOf
from allocator.policy.kinds.tier import TierFloor
from allocator.policy.kinds.total import Total
from allocator.policy.kinds.volume import Volume

KINDS: dict[str, type[Constraint]] = {
    "volume": Volume,
    "total": Total,
    "share": ShareOf,
    "average": Average,
    "ratio": Ratio,
    "reach": UserReach,
    "change": Change,
    "churn": Churn,
}
"""Those that a policy file may write."""


def kind_named(word: str) -> type[Constraint]:
    """The class of a constraint in a certificate; the plain words of all kinds for one that is not known here."""
    every: Mapping[str, type[Constraint]] = {**KINDS, "tier": TierFloor}
    return every.get(word, Constraint)
