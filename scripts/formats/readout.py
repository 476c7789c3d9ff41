"""readout.json: what a week really brought, and whether to ship.

Every lift is per user, in the outcome's unit.
"""

from collections.abc import Mapping

from scripts.formats.document import Interval, Many, Number, StrictDocument

READOUT = "readout.json"


class ConditionReading(StrictDocument):
    """One thing that was asked of the week, and whether it was shown."""

    metric: str
    asked: str
    met: bool


class Decision(StrictDocument):
    """Whether to ship, and why."""

    ship: bool
    sentence: str
    conditions: Many[ConditionReading]


class GroupSizes(StrictDocument):
    """Users by group, how many there should be, and how likely so large a deviation is by chance. expected: empty where not known."""

    observed: Mapping[str, int]
    expected: Mapping[str, Number]
    p_value: Number
    holds: bool


class UserCounts(StrictDocument):
    """Users whom the allocation was made for, and those of them who were read."""

    allocated_for: int
    read: int


class LiftReading(StrictDocument):
    """The chosen against the holdout. relative: of the holdout's mean, None where that is not clear of zero."""

    holdout: Interval
    chosen: Interval
    plain: Interval
    adjusted: Interval
    relative: Interval | None
    users_holdout: int
    users_chosen: int
    covariates: int


class OutcomeReading(StrictDocument):
    """One outcome of the week. promised: by the scores; detectable: the lift that four of five such weeks find."""

    name: str
    lower_is_better: bool
    success: bool
    margin: Number | None
    promised: Number
    lift: LiftReading | None
    detectable: Number | None
    more_than_exploring: Interval | None


class SegmentReading(StrictDocument):
    """Promised and realised among the users of one value of a segment."""

    segment: str
    value: str
    outcome: str
    users_holdout: int
    users_chosen: int
    promised: Number
    realised: Interval

    @property
    def by(self) -> str:
        return self.segment


class OfferReading(StrictDocument):
    """Promised and realised among the users to whom the prices would give an offer with one value of an attribute."""

    attribute: str
    value: str
    outcome: str
    users_holdout: int
    users_chosen: int
    promised: Number
    realised: Interval

    @property
    def by(self) -> str:
        return self.attribute


class Readout(StrictDocument):
    """as_priced: share of the chosen whose number of contacts is the one that the prices give, None where prices alone do not say."""

    day: str
    known_before: str
    level: Number
    verdict: Decision
    sample_ratio: GroupSizes
    users: UserCounts
    contacts_per_user: Mapping[str, Number]
    exposed_in_holdout: int | None
    immature: Mapping[str, str]
    metrics: Many[OutcomeReading]
    segments: Many[SegmentReading]
    offers: Many[OfferReading]
    as_priced: Number | None
