"""regret.json: every policy on a synthetic market's truth, best first."""

from scripts.formats.document import Interval, Many, Number, StrictDocument

REGRET = "regret.json"


class Cannibalised(StrictDocument):
    """The two products that truly take from each other, and what is left of an effect then."""

    products: Many[str]
    factor: Number


class Untold(StrictDocument):
    """What is truly left of an effect where the scores say nothing."""

    where: str
    beside: str
    true: Number


class Told(Untold):
    """What is left as the scores say, next to what is left in truth."""

    kept: Number
    stderr: Number


class KeptConstraint(StrictDocument):
    """A constraint as the policy believed it and as it truly is. broken: the side that truth breaks, `min` or `max`, or None."""

    id: str
    min: Number | None
    max: Number | None
    believed: Number | None
    true: Number | None
    broken: str | None


class PolicyRegret(StrictDocument):
    """One policy. violations: ids of the constraints that truth breaks; learned_minus_this: None where nothing was learned."""

    policy: str
    about: str
    value: Number
    stderr: Number
    share_of_oracle: Number
    regret: Number
    regret_stderr: Number
    learned_minus_this: Interval | None
    value_believed: Number | None
    value_without_cannibalisation: Number
    contacts: Number
    users_with_both_products: int
    constraints: Many[KeptConstraint]
    violations: Many[str]


class Unsolved(StrictDocument):
    """A policy that found no allocation that keeps the rules, and why."""

    policy: str
    reason: str


class Regret(StrictDocument):
    """Without an oracle there are no shares, so `policies` is empty and `unsolved` says why."""

    unit: str
    users: int
    errors: str
    cannibalisation: Cannibalised
    interference: Many[Told | Untold]
    policies: Many[PolicyRegret]
    unsolved: Many[Unsolved]
