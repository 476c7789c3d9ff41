"""What the certificate, the audit, the evaluation and the comparison on the truth hold, read strictly.

Keys that the contract asks for must be there; everything else is optional and stays empty where it is missing.
"""

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ranker.files import InputError, read_json


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Strength(Record):
    """How much a constraint insists. penalty: value lost per unit of violation, soft constraints only."""

    kind: Literal["hard", "soft", "report_only"] = "hard"
    penalty: float | None = None


class ConstraintRecord(Record):
    """A constraint after the run. min, max, achieved, slack: counts, sums or ratios, in `unit`.

    price: value gained per unit of the binding bound relaxed, >= 0. achieved is None where nothing is in scope.
    price_range: the bounds between which a unit is worth the price within one per cent, where that was found out.
    """

    id: str
    kind: str
    min: float | None
    max: float | None
    achieved: float | None
    slack: float | None
    binding: Literal["min", "max"] | None
    price: float = Field(ge=0)
    multiplier: float = Field(ge=0)
    label: str | None = None
    owner: str | None = None
    reason: str | None = None
    unit: str | None = None
    strength: Strength = Strength()
    numerator: float | None = None
    denominator: float | None = None
    price_range: tuple[float, float] | None = None

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

    @property
    def name(self) -> str:
        rule, _, value = self.id.partition("@")
        return self.label or " @ ".join([rule.replace("_", " ").capitalize(), *([value] if value else [])])


class Greedy(Record):
    value: float
    feasible: bool = True


class FunnelStage(Record):
    stage: str
    contacts: int
    users: int | None = None


class MetricTotal(Record):
    total: float
    unit: str


class ObjectiveTerm(Record):
    """metric: None where the attribute in `times` is taken alone."""

    metric: str | None = None
    weight: float
    times: str | None = None


class PinnedTotal(Record):
    action: str
    contacts: int


class FallbackTotal(Record):
    """contacts: given to users who were chosen nothing; left_without: users in its scope who still get nothing."""

    contacts: int
    value: float
    left_without: int = 0


class TierTotal(Record):
    """What an earlier objective reached alone, what no allocation exceeds, the part it may give up and what is left of it."""

    id: str
    objective: tuple[ObjectiveTerm, ...]
    give_up: float
    value: float
    bound: float
    floor: float


class Remark(Record):
    """What must be known before the numbers are read."""

    kind: str
    sentence: str
    constraint: str | None = None
    contacts: int | None = None
    value: float | None = None


class Certificate(Record):
    """value (of the rows, less soft_penalty) and bound: in the objective's unit; gap = (bound - value) / |bound|; seconds: per stage."""

    status: str
    remarks: tuple[Remark, ...] = ()
    users: int
    contacts: int
    value: float
    bound: float | None
    bound_by: str = "prices"
    gap: float | None
    soft_penalty: float = 0.0
    constraints: tuple[ConstraintRecord, ...]
    seconds: dict[str, float]
    passes: int | float | list | dict | None
    greedy: Greedy | None = None
    funnel: tuple[FunnelStage, ...] = ()
    metrics: dict[str, MetricTotal] = {}
    objective: tuple[ObjectiveTerm, ...] = ()
    pinned: tuple[PinnedTotal, ...] = ()
    fallback: FallbackTotal | None = None
    tiers: tuple[TierTotal, ...] = ()
    risk_z: float = 0.0
    as_of: str | None = None
    policy: str | None = None
    policy_digest: str | None = None


class Check(Record):
    name: str
    status: str
    detail: str = ""

    @property
    def passed(self) -> bool:
        return self.status.upper() == "PASS"


class Audit(Record):
    checks: tuple[Check, ...]

    @property
    def clean(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)


class Interval(Record):
    """An estimate and its 95 % interval; null where the logs are too few to make it."""

    value: float | None
    low: float | None
    high: float | None
    stderr: float | None = None

    @property
    def known(self) -> bool:
        return None not in (self.value, self.low, self.high)


class Difference(Interval):
    pass


class PolicyValue(Interval):
    """The value per user of a policy, estimated off-policy on held-out users."""

    name: str
    outcome: str
    estimator: str
    effective_sample_size: float | None = None
    difference_to_best_fixed: Difference | None = None


class Qini(Record):
    model: str
    outcome: str
    action: str
    qini: float | None
    stderr: float | None = 0.0
    rows: int = 0

    @property
    def known(self) -> bool:
        return None not in (self.qini, self.stderr)


class Decile(Record):
    predicted: float | None
    realised: float | None
    stderr: float | None = 0.0

    @property
    def known(self) -> bool:
        return None not in (self.predicted, self.realised, self.stderr)


class Calibration(Record):
    outcome: str
    action: str
    slope: float | None
    stderr: float | None = 0.0
    average_effect: float | None = None
    average_effect_stderr: float | None = None
    deciles: tuple[Decile, ...] = ()

    @property
    def known(self) -> bool:
        return None not in (self.slope, self.stderr)


class Slates(Record):
    """decisions: that showed several contacts. judged: how, in a sentence."""

    decisions: int
    judged: str


class Evaluation(Record):
    """The ranker's report on itself, from held-out users."""

    rows: dict[str, int] = {}
    slates: Slates | None = None
    outcomes: tuple[str, ...] = ()
    objective: dict[str, float] = {}
    policies: tuple[PolicyValue, ...] = ()
    qini: tuple[Qini, ...] = ()
    calibration: tuple[Calibration, ...] = ()


class TruthValue(Record):
    """A policy judged on the synthetic market's truth."""

    policy: str
    value: float
    share_of_oracle: float


class TruthTable(Record):
    policies: tuple[TruthValue, ...]


SomeRecord = TypeVar("SomeRecord", bound=Record)


def read_record(path: Path, record: type[SomeRecord]) -> SomeRecord:
    """Reads one JSON file; InputError lists every missing or wrong key."""
    content = read_json(path)
    if record is TruthTable and isinstance(content, list):
        content = {"policies": content}
    try:
        return record.model_validate(content)
    except ValidationError as error:
        raise InputError([f"{path}: {_place(fault['loc'])}: {fault['msg']}" for fault in error.errors()]) from None


def _place(location: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in location) or "the file"
