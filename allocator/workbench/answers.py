"""What the JSON files of answers hold, and the record beside a sample. Every estimate from a sample has its standard error."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from allocator.formats import AllocationPart
from ranker.files import Figure

WHAT_IF, SEEK, FRONTIER, SAMPLE = "what_if.json", "seek.json", "frontier.json", "sample.json"
EXPLAIN = "explain.json"


Amount = int | float | str
"""A value of a field, as the policy file has it."""


class MeanAndError(AllocationPart):
    """se: of sampling, and of what the optimiser leaves open; nothing where the answer is that of all users."""

    mean: Figure
    se: Figure

    @property
    def seen(self) -> bool:
        """Whether it differs from nothing by more than its 95 % error."""
        return abs(self.mean) > 1.959964 * self.se


class ConstraintAnswer(AllocationPart):
    """One constraint. achieved: None where nothing is in its scope. price: value gained per unit of the binding bound relaxed."""

    kind: str
    label: str | None
    unit: str
    min: Figure | None
    max: Figure | None
    achieved: Figure | None
    se: Figure
    binding: Literal["min", "max"] | None
    price: Figure


class PolicyAnswer(AllocationPart):
    """What a policy gives. value_se, contacts_se, metrics_se: of sampling. value_model_se: of the scores themselves, where they say it."""

    value: Figure
    value_se: Figure
    value_model_se: Figure | None
    contacts: Figure
    contacts_se: Figure
    metrics: Mapping[str, Figure]
    metrics_se: Mapping[str, Figure]
    metrics_model_se: Mapping[str, Figure | None]
    constraints: Mapping[str, ConstraintAnswer]


class DifferenceAnswer(AllocationPart):
    """New less base."""

    value: MeanAndError
    metrics: Mapping[str, MeanAndError]
    contacts: MeanAndError
    users_moved: MeanAndError


class EditAnswer(AllocationPart):
    """What one edit is worth, and how many listeners it moves; over all edits these add up to the difference."""

    path: str
    before: object = Field(alias="from")
    after: object = Field(alias="to")
    sentence: str
    value: Figure
    value_se: Figure
    users_moved: Figure


class Cell(AllocationPart):
    """By how many contacts a product on a surface differs for the users of one segment value; `segment` is empty for all users."""

    product: str
    surface: str
    segment: str
    segment_value: str
    contacts: MeanAndError


class Verdict(AllocationPart):
    """By how much the new policy is worth more by one view of the scores; None where one of the two cannot be kept."""

    view: str
    value: MeanAndError | None


class Robustness(AllocationPart):
    """Whether which policy is worth more depends on how far the scores are believed."""

    verdicts: tuple[Verdict, ...]
    winner_changes: bool
    sentence: str


class KeptPromise(AllocationPart):
    """One week that ran: what was promised and what came, with its standard error."""

    week: str
    promised: Figure
    came: Figure
    came_se: Figure


class TrackRecord(AllocationPart):
    """How promises came out. what: of which figure; kept: the part of all of them together that came."""

    what: str
    weeks: tuple[KeptPromise, ...]
    kept: MeanAndError


class WhatIf(AllocationPart):
    """Two policies compared. sample: users whom the answer rests on; users: of all. headline: the difference in one sentence.

    robust, rules: where they were asked for; what each constraint of the new policy costs in all. track_record, discounted: where readouts
    tell how promises of earlier weeks came out, and the difference in value times the part of them that came.
    """

    users: int
    sample: int
    full: bool
    seconds: Figure
    as_of: str | None
    unit: str
    headline: str
    base: PolicyAnswer
    new: PolicyAnswer
    difference: DifferenceAnswer
    edits: tuple[EditAnswer, ...]
    why: tuple[str, ...]
    matrix: tuple[Cell, ...]
    robust: Robustness | None = None
    rules: Mapping[str, MeanAndError | None] | None = None
    track_record: TrackRecord | None = None
    discounted: MeanAndError | None = None

    def content(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


class SampleRecord(AllocationPart):
    """A sample beside its users. users: of all whom it stands for."""

    users: int
    sample: int
    seed: int


class Tried(AllocationPart):
    """One value of the field that was tried; achieved: None where the constraints contradict each other with it, or nothing is there."""

    bound: Amount
    achieved: Figure | None
    value: Figure | None


class OutOfReach(AllocationPart):
    """The nearest that the field can reach, at which of its values, and what is in the way."""

    nearest: Figure
    bound: Amount
    reason: str


class Seek(AllocationPart):
    """Which value of a field reaches a goal. cost: value lost against the policy as it is. bound, achieved and what follows: of the answer,
    or of the nearest where it is out of reach."""

    want: str
    by: str
    target: Figure
    now: Amount | None
    achieved_now: Figure | None
    bound: Amount
    achieved: Figure
    achieved_se: Figure
    value: Figure
    value_se: Figure
    cost: Figure
    cost_se: Figure
    out_of_reach: OutOfReach | None
    sentence: str
    tried: tuple[Tried, ...]
    users: int
    sample: int
    full: bool
    seconds: Figure


class Least(AllocationPart):
    """Nearly the same value with the least of something. give_up: part of the value that was allowed to go."""

    what: str
    unit: str
    now: Figure
    now_se: Figure
    least: Figure
    least_se: Figure
    value_now: Figure
    value: Figure
    value_se: Figure
    give_up: Figure
    users_moved: MeanAndError
    sentence: str
    users: int
    sample: int
    seconds: Figure


class Point(AllocationPart):
    """One policy of a frontier. change: rule -> field -> value. gap: how far its value may be from the best, relative."""

    x: Figure
    y: Figure
    x_se: Figure
    y_se: Figure
    value: Figure
    value_se: Figure
    gap: Figure
    change: Mapping[str, Mapping[str, Amount]]


class Frontier(AllocationPart):
    """A trade-off, points in the order of x. knee, current: positions among the points; None where there is none.

    exact_curve: of a policy that is one budget over per-user rules, (spent, value, price) at its breakpoints, thinned where they are many.
    """

    x: str
    y: str
    x_unit: str
    y_unit: str
    points: tuple[Point, ...]
    exact_curve: tuple[tuple[Figure, Figure, Figure], ...] = ()
    knee: int | None
    current: int | None
    sentence: str
    users: int
    sample: int
    full: bool
    seconds: Figure


Stage = Literal["ineligible", "rule", "priced_out", "beaten", "chosen"]
"""How far an offer came: may not be given; kept away by a contact rule or the experiment; worth less than what it uses of the bounds;
another one takes its place; given."""


class Offer(AllocationPart):
    """One action for one listener. rule: what is responsible for the stage, where that is a rule. price: of what it uses of all bounds.

    net: value less price. beaten_by: the action that takes its place.
    """

    action: str
    stage: Stage
    rule: str | None
    value: Figure
    price: Figure
    net: Figure
    beaten_by: str | None


class SlotOffers(AllocationPart):
    """The offers of one slot, the best first."""

    slot: str
    offers: tuple[Offer, ...]


class Counterfactual(AllocationPart):
    """What would bring an offer that is not given. change: a rule's bound. value_more: by how much the offer must be worth more."""

    action: str
    change: Mapping[str, Mapping[str, Amount]] | None
    value_more: Figure | None
    sentence: str


class Explanation(AllocationPart):
    """Why one listener gets what it gets. net_lead: by how much what it gets beats the next best slate, at the prices of the week."""

    user: int | str
    group: Literal["optimised", "held out", "explores", "pinned"]
    contacts: tuple[str, ...]
    sentence: str
    slots: tuple[SlotOffers, ...]
    counterfactuals: tuple[Counterfactual, ...]


class KeptAway(AllocationPart):
    """Listeners whom one thing keeps from the offers asked about. rule: where it is a rule; instead: the product that they get."""

    cause: Literal["ineligible", "worthless", "held_out", "explores", "priced_out", "beaten"]
    rule: str | None
    instead: str | None
    users: Figure


class ProductExplanation(AllocationPart):
    """Why some offers get so few contacts: of all listeners, how many get one, and what keeps the others from it."""

    where: str
    users: Figure
    get: Figure
    causes: tuple[KeptAway, ...]
    sentence: str
    sample: int
