"""plan.json: how large an effect an experiment finds, and what an effect needs.

Effects are per listener and week, in the outcome's unit.
"""

from scripts.formats.document import Many, Number, StrictDocument

PLAN = "plan.json"


class PlannedOutcome(StrictDocument):
    """One outcome. smallest: the effect that is found in the design's weeks, relative: of the mean; None where nothing differs, or groups
    are too few. effect: that was asked about; weeks, share: what finds it, None where nothing does.
    """

    name: str
    unit: str
    mean: Number
    deviation: Number
    again: Number
    between: Number | None
    explained: Number
    smallest: Number | None
    relative: Number | None
    effect: Number | None
    weeks: int | None
    share: Number | None


class ExperimentPlan(StrictDocument):
    """users: a week. lasting: the arms stay as they are. groups: the segment whose values are drawn as a whole."""

    arms: str
    users: int
    share: Number
    weeks: int
    lasting: bool
    groups: str | None
    level: Number
    power: Number
    outcomes: Many[PlannedOutcome]
