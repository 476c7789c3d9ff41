"""What certificate.json, audit.json, prices.json, diagnosis.json and left_out.json of an allocation hold: written and read through these
models.

Keys that the contract asks for must be there. All others may be missing in a file that another program wrote, and keys that are not
known are passed over. Only the audit reads a certificate in its own way, since it believes none of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_serializer,
    field_validator,
)

from ranker.files import Document, Figure, InputError, read_json_object

CERTIFICATE, AUDIT, PRICES, DIAGNOSIS = "certificate.json", "audit.json", "prices.json", "diagnosis.json"
LEFT_OUT = "left_out.json"
"""Who gets no offers, made on demand: `allocator.left_out`."""
POLICY = "policy.json"
"""A policy in the form of its file, as `allocator.policy.grammar` says."""
PASS = "PASS"


def is_none(value: object) -> bool:
    """What is not known is not written."""
    return value is None


class AllocationPart(Document):
    """Every number is finite; what is not known is passed over."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class StrengthRecord(AllocationPart):
    """How much a constraint insists. penalty: value lost per unit of violation, soft constraints only."""

    kind: Literal["hard", "soft", "report_only"] = "hard"
    penalty: Figure | None = None


class ConstraintRecord(AllocationPart):
    """One constraint after the run, in its own unit: contacts, a sum, or a ratio.

    achieved: numerator, or numerator / denominator (None where nothing is in scope). slack: room to the binding or else the nearer
    bound. price: value gained per unit of the binding bound relaxed. multiplier: of the linear row, both >= 0.
    price_range: bounds between which a unit is worth the price within one per cent, where that was found out. se: standard error of what
    is achieved, of sums of model estimates; of a ratio with a certainty that at the bound. certainty: with which the bounds hold.
    gradient: at which the row of the multiplier is linearised, by metric and action: `num - bound * den` and certainty's z times
    `gradient * weight * stderr` of each contact.
    """

    id: str
    kind: str
    label: str | None = None
    owner: str | None = None
    reason: str | None = None
    unit: str | None = None
    strength: StrengthRecord = StrengthRecord()
    min: Figure | None
    max: Figure | None
    achieved: Figure | None
    slack: Figure | None
    binding: Literal["min", "max"] | None
    price: Annotated[Figure, Field(ge=0)]
    multiplier: Annotated[Figure, Field(ge=0)]
    numerator: Figure | None = None
    denominator: Figure | None = None
    price_range: tuple[Figure, Figure] | None = None
    se: Annotated[Figure, Field(ge=0)] | None = Field(default=None, exclude_if=is_none)
    certainty: Figure | None = Field(default=None, exclude_if=is_none)
    gradient: Mapping[str, Mapping[str, Figure]] | None = Field(default=None, exclude_if=is_none)

    @field_validator("strength", mode="before")
    @classmethod
    def _as_in_a_policy(cls, value: object) -> object:
        if value is None:
            return {}
        if isinstance(value, str):
            return {"kind": value}
        if isinstance(value, dict) and "soft" in value:
            return {"kind": "soft", "penalty": value["soft"]}
        return value

    @field_serializer("strength")
    def _to_a_policy(self, value: StrengthRecord) -> object:
        return {"soft": value.penalty} if value.kind == "soft" else value.kind

    @property
    def name(self) -> str:
        rule, _, value = self.id.partition("@")
        return self.label or " @ ".join([rule.replace("_", " ").capitalize(), *([value] if value else [])])


class Remark(AllocationPart):
    """What must be known before the numbers are read.

    kind: `gap`, `only_for_a_rule`, `cannot_be_met`, `percent_forgotten`, `cannot_bind`, `off` or `ends`. constraint: the rule that it is
    about. contacts, value: how many, their worth.
    """

    kind: str
    sentence: str
    constraint: str | None = None
    contacts: int | None = None
    value: Figure | None = None

    @property
    def ended(self) -> str:
        """The sentence with the sign that ends it."""
        return self.sentence if self.sentence.endswith("?") else f"{self.sentence}."


class GreedyTotal(AllocationPart):
    """What taking the best contacts first would be worth. feasible: whether it keeps every constraint; users: of whom that was told."""

    value: Figure
    feasible: bool = True
    users: int | None = None


class FunnelStage(AllocationPart):
    """How many contacts, of how many users, were still possible."""

    stage: str
    contacts: int
    users: int | None = None


class MetricTotal(AllocationPart):
    """The sum of a metric's mean over the contacts, and the standard error of that sum where the scores have standard errors."""

    total: Figure
    unit: str
    se: Annotated[Figure, Field(ge=0)] | None = Field(default=None, exclude_if=is_none)


class ObjectiveTerm(AllocationPart):
    """metric: None where the attribute in `times` is taken alone."""

    metric: str | None = None
    weight: Figure
    times: str | None = None


class PinnedTotal(AllocationPart):
    """How many contacts with an action a rule pinned."""

    action: str
    contacts: int


class FallbackTotal(AllocationPart):
    """contacts: given to users who were chosen nothing; left_without: users in its scope who still get nothing."""

    contacts: int
    value: Figure
    left_without: int = 0


class TierTotal(AllocationPart):
    """What an earlier objective reached alone, what no allocation exceeds, the part it may give up and what is left of it."""

    id: str
    objective: tuple[ObjectiveTerm, ...]
    give_up: Figure
    value: Figure
    bound: Figure
    floor: Figure


class Certificate(AllocationPart):
    """value (of the rows, less soft_penalty) <= bound <= price_bound, in the objective's unit.

    gap = (bound - value) / |bound|, or / |value| where the bound is 0: how far the optimiser may be from the best by these scores.
    value_se: standard error of the value, because the scores are estimates. remarks: what must be known before the numbers are read.
    bound_by: `prices`, where bound is price_bound, or `whole contacts`. seconds: per stage. passes: over all users, and over samples.
    policy: the policy's name, where another program tells it. drew_nothing: exploring users who could have had something and drew nothing.
    """

    status: str
    remarks: tuple[Remark, ...] = ()
    users: int
    contacts: int
    value: Figure
    value_se: Annotated[Figure, Field(ge=0)] | None = Field(default=None, exclude_if=is_none)
    bound: Figure | None
    bound_by: str = "prices"
    price_bound: Figure | None = None
    gap: Figure | None
    soft_penalty: Figure = 0.0
    constraints: tuple[ConstraintRecord, ...]
    greedy: GreedyTotal | None = None
    funnel: tuple[FunnelStage, ...] = ()
    drew_nothing: int = 0
    metrics: Mapping[str, MetricTotal] = {}
    objective: tuple[ObjectiveTerm, ...] = ()
    risk_z: Figure = 0.0
    as_of: str | None = None
    policy_digest: str | None = None
    pinned: tuple[PinnedTotal, ...] = ()
    fallback: FallbackTotal | None = None
    tiers: tuple[TierTotal, ...] = ()
    seconds: Mapping[str, Figure]
    passes: Mapping[str, int] | Figure | list[object] | None
    policy: str | None = Field(default=None, exclude_if=is_none)

    def with_ranges(self, ranges: Mapping[int, tuple[float, float]], seconds: Mapping[str, float]) -> "Certificate":
        """The same, with the price ranges of the constraints at these positions, and what all has taken by now."""
        known = tuple(each.model_copy(update={"price_range": ranges.get(i)}) for i, each in enumerate(self.constraints))
        return self.model_copy(update={"constraints": known, "seconds": seconds})

    def passes_over(self, whom: Literal["all_users", "samples"]) -> int:
        """How often all users, or samples of them, were gone through; 0 where that was not told."""
        return self.passes.get(whom, 0) if isinstance(self.passes, Mapping) else 0


class CheckRecord(AllocationPart):
    """One thing that was recounted. status: PASS or FAIL; detail: what was found, in a sentence."""

    name: str
    status: str
    detail: str = ""

    @property
    def passed(self) -> bool:
        return self.status.upper() == PASS


class AuditRecord(AllocationPart):
    """Everything that the independent judge recounted. Nothing checked is not clean, whatever the file says of itself."""

    clean: bool | None = None
    checks: tuple[CheckRecord, ...]

    @property
    def all_passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)


def _as_far_as_it_goes(value: object, checked: ValidatorFunctionWrapHandler) -> object:
    try:
        return checked(value)
    except ValidationError:
        return None


T = TypeVar("T")
Said = Annotated[T | None, WrapValidator(_as_far_as_it_goes)]
"""None where a file says nothing, or something of another type."""


def fallback_part(value: float, bound: float) -> float:
    """The part of the gap that fallbacks worth this much, which nobody chose for their value, account for."""
    return max(-value, 0.0) / abs(bound) if bound else 0.0


class SaidOfFallback(AllocationPart):
    value: Said[Annotated[Figure, Strict()]] = None


class SaidByCertificate(AllocationPart):
    """What a guardrail asks of a certificate that anyone may have written."""

    status: object = None
    bound: Said[Annotated[Figure, Strict()]] = None
    gap: Said[Annotated[Figure, Strict()]] = None
    fallback: Said[SaidOfFallback] = None
    contacts: Said[Annotated[int, Strict()]] = None
    value: Said[Annotated[Figure, Strict()]] = None
    objective: Said[tuple[ObjectiveTerm, ...]] = None
    funnel: Said[tuple[FunnelStage, ...]] = None

    @property
    def reach(self) -> int | None:
        """How many users get a contact."""
        return next((each.users for each in self.funnel or () if each.stage == "allocated"), None)

    @property
    def fallback_part(self) -> float:
        """The part of the gap that fallback contacts, which nobody chose for their value, account for."""
        said = None if self.fallback is None else self.fallback.value
        return fallback_part(said or 0.0, self.bound or 0.0)


class SaidOfTotal(AllocationPart):
    total: Said[Annotated[Figure, Strict()]] = None
    unit: Said[str] = None
    se: Said[Annotated[Figure, Strict()]] = None


class SaidOfConstraint(AllocationPart):
    """One constraint of an earlier week. What is there and of another type is None, like what is not there."""

    id: Said[str] = None
    kind: Said[str] = None
    strength: object = None
    label: Said[str] = None
    unit: Said[str] = None
    min: Said[Annotated[Figure, Strict()]] = None
    max: Said[Annotated[Figure, Strict()]] = None
    achieved: Said[Annotated[Figure, Strict()]] = None
    denominator: Said[Annotated[Figure, Strict()]] = None
    se: Said[Annotated[Figure, Strict()]] = None

    @property
    def is_enforced(self) -> bool:
        """Whether it is more than measured."""
        return self.strength not in ("report_only", {"kind": "report_only"})


class SaidOfWeek(SaidByCertificate):
    """What a week is set beside the next one by, as far as a certificate tells it that anyone may have written."""

    as_of: Said[str] = None
    users: Said[Annotated[int, Strict()]] = None
    value_se: Said[Annotated[Figure, Strict()]] = None
    risk_z: Said[Annotated[Figure, Strict()]] = None
    metrics: Said[Mapping[str, Said[SaidOfTotal]]] = None
    constraints: Said[tuple[Said[SaidOfConstraint], ...]] = None

    @property
    def named(self) -> Mapping[str, SaidOfConstraint]:
        """By id, the constraints that can be told apart by one."""
        return {each.id: each for each in self.constraints or () if each is not None and each.id is not None}


class SaidOfCheck(AllocationPart):
    name: object = None
    status: object = None
    detail: object = None


class SaidByAudit(AllocationPart):
    """What a guardrail asks of an audit that anyone may have written."""

    checks: Said[tuple[SaidOfCheck, ...]] = None


class PricedSide(AllocationPart):
    """One side, `min` or `max`, of an enforced constraint, and the multiplier of its row."""

    model_config = ConfigDict(allow_inf_nan=True, coerce_numbers_to_str=True)

    constraint: str
    side: str
    multiplier: Figure


class PriceBook(AllocationPart):
    """The multiplier of every side of every enforced constraint, which explains decisions and starts next week."""

    as_of: str | None = None
    policy_digest: str | None = None
    rows: tuple[PricedSide, ...]

    @property
    def prices(self) -> Mapping[tuple[str, str], float]:
        """(constraint id, side) -> multiplier."""
        return {(row.constraint, row.side): max(float(row.multiplier), 0.0) for row in self.rows}


NOT_A_PRICE_BOOK = {"missing": "KeyError", "float_parsing": "ValueError"}
"""What is said of a fault of a price book by its kind; of all others TypeError."""


def read_price_book(allocation: Path) -> PriceBook:
    """The price book of an earlier allocation; InputError where there is none."""
    path = allocation / PRICES
    if not path.exists():
        raise InputError([f"{path}: there is no such file; previous= names an earlier allocation"])
    content = read_json_object(path)
    try:
        return PriceBook.model_validate(content)
    except ValidationError as error:
        fault = NOT_A_PRICE_BOOK.get(error.errors()[0]["type"], "TypeError")
        raise InputError([f"{path}: is not a price book ({fault})"]) from None


class Cause(AllocationPart):
    """What stands behind a conflict.

    kind: reach (how much is possible at all), scores, history, eligibility, contact, holdout, exploration, percent_forgotten. rule: its
    id, if any. users: eligible for any contact in the constraint's scope. contacts: that they can get there at most; without: if the
    rule were gone.
    """

    constraint: str
    kind: str
    rule: str | None
    users: int
    contacts: int
    without: int | None
    sentence: str


class Repair(AllocationPart):
    """Bounds which, so changed, make the constraints hold together.

    changes: constraint id -> {"min" or "max": new bound, in the constraint's own unit}. value: of the best allocation then. cost: what
    it gives up against the best allocation without the constraints in the way. Both None where that was not found out.
    """

    changes: Mapping[str, Mapping[str, Figure]]
    value: Figure | None
    cost: Figure | None
    sentence: str


class DiagnosisRecord(AllocationPart):
    """Why the constraints contradict each other.

    conflict: ids of a smallest set that cannot hold together: without any one of them, the others can. causes: what stands behind it,
    rules for one user included. findings: what counting alone found, where it did. proven: False where no allocation was found, but
    none was shown to be impossible either; conflict is then all that must hold. stopped: what the limits of work left open.
    """

    status: Literal["infeasible"] = "infeasible"
    proven_by: str
    conflict: tuple[str, ...]
    labels: tuple[str, ...]
    repairs: tuple[Repair, ...]
    causes: tuple[Cause, ...] = ()
    findings: tuple[str, ...] = ()
    proven: bool = True
    stopped: tuple[str, ...] = ()


class Offered(AllocationPart):
    """How many users could get so many offers under the rules for one user: of any worth, and of those worth more than nothing."""

    offers: int
    users: int
    users_worth_more_than_nothing: int


class Removal(AllocationPart):
    """What a rule for one user takes away. kind: scores (not eligible there), eligibility, contact (of zero), history (had already).

    offers: that it takes away, whatever other rules do too. users: who would have an offer without it, and have none.
    """

    kind: str
    rule: str | None
    offers: int
    users: int
    sentence: str


class SegmentExposure(AllocationPart):
    """What the users of one segment value could get and get. nothing, weak, priced_out: as in `LeftOutRecord`."""

    segment: str
    value: str
    users: int
    nothing: int
    weak: int
    priced_out: int
    reached: int
    contacts: int

    @property
    def share_reached(self) -> float:
        return self.reached / self.users if self.users else 0.0

    @property
    def contacts_per_user(self) -> float:
        return self.contacts / self.users if self.users else 0.0


class Parity(AllocationPart):
    """How evenly a segment's values are exposed: the lowest over the highest, 1 where all are alike, None where nobody gets anything.

    Values with few users are left out.
    """

    segment: str
    reached_least: str
    reached_most: str
    reached_ratio: Figure | None
    contacts_least: str
    contacts_most: str
    contacts_ratio: Figure | None


class LeftOutRecord(AllocationPart):
    """Who is left out of an allocation, whether held out or not.

    nothing: users with no possible offer; weak: whose offers are all worth nothing or less; priced_out: whose offers are all worth no
    more than they take from the constraints at the week's prices. Nobody is in two of these. reached: with a contact.
    """

    users: int
    held_out: int
    nothing: int
    weak: int
    priced_out: int
    reached: int
    offers: tuple[Offered, ...]
    removals: tuple[Removal, ...]
    segments: tuple[SegmentExposure, ...]
    parity: tuple[Parity, ...]
    sentences: tuple[str, ...]
