"""What evaluation.json holds, beside a model and as `scripts.evaluate` writes it: the one home of its keys, written and read through it.

A figure is None (null in the file) where it cannot be estimated: JSON has no infinity. Values are per decision, in the outcome's unit.
"""

from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Strict

from ranker.files import Document

EVALUATION = "evaluation.json"
Each = TypeVar("Each")
Listed = Annotated[tuple[Each, ...], Strict(False)]  # a list in the file
Attribute = str | bool | int | float | None


class EvaluationPart(Document):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class RowCounts(EvaluationPart):
    """Rows that a member trains on, that it is stopped by, and that nobody learns from."""

    train: int
    validation: int
    test: int


class SampleCounts(EvaluationPart):
    """Rows that judge, and rows that teach the baselines."""

    judged: int
    baselines: int


class SlateCounts(EvaluationPart):
    """Decisions with several contacts, and in words how these are judged."""

    decisions: int
    judged: str


class UnidentifiedAction(EvaluationPart):
    action: str
    why: str


class IntervalFigure(EvaluationPart):
    """An estimate with a 95 % interval."""

    value: float | None
    stderr: float | None
    low: float | None
    high: float | None


class PolicyFigure(EvaluationPart):
    """A policy by one estimator; differences are this policy less the other, paired by row; None where there is no other."""

    name: str
    outcome: str
    estimator: str
    value: float | None
    stderr: float | None
    low: float | None
    high: float | None
    effective_sample_size: float
    difference_to_best_fixed: IntervalFigure | None
    difference_to_valuenet: IntervalFigure | None


class QiniFigure(EvaluationPart):
    """How well a model ranks users by the effect of an action; average: that effect. rows: contacted and not contacted."""

    model: str
    outcome: str
    action: str
    qini: float | None
    stderr: float | None
    auuc: float | None
    auuc_stderr: float | None
    average: float | None
    rows: int


class SlopeFigure(EvaluationPart):
    """Slope of doubly robust on predicted effects."""

    value: float | None
    stderr: float | None


class GroupFigure(EvaluationPart):
    """Users with predictions next to each other: mean prediction, mean doubly robust effect."""

    predicted: float | None
    realised: float | None
    stderr: float | None


class CalibrationFigure(EvaluationPart):
    """slope, stderr: by which the model was shrunk. held_out: the slope that is left on test users."""

    outcome: str
    action: str
    slope: float | None
    stderr: float | None
    average_effect: float | None
    average_effect_stderr: float | None
    held_out: SlopeFigure
    deciles: Listed[GroupFigure]


class PooledCalibrationFigure(EvaluationPart):
    """All actions of an outcome together. users, actions: slopes of differences between users within actions, and between actions."""

    outcome: str
    average: GroupFigure
    users: SlopeFigure
    actions: SlopeFigure
    deciles: Listed[GroupFigure]


class ReliabilityFigure(EvaluationPart):
    """reliability: known share of the variance between users. average: whether a score is no more than its action's average."""

    outcome: str
    action: str
    reliability: float | None
    average: bool


class SurrogateFigure(EvaluationPart):
    """As `ranker.model.surrogate.SurrogateFinding`."""

    part: str
    known: Listed[str]
    rows: int
    explained: float | None
    kappa: float | None
    kappa_stderr: float | None
    weight: float | None
    actual: float | None
    stand_in: float | None
    difference_stderr: float | None
    off: float | None
    noise: float | None
    used: bool


class FatigueFigure(EvaluationPart):
    """What is left of an effect, as a factor."""

    kept: float | None
    stderr: float | None


class PairFigure(EvaluationPart):
    """What is left of the effect of actions `where` beside an offer of actions `beside`; raw: before shrinking."""

    where: dict[str, Attribute]
    beside: dict[str, Attribute]
    kept: float | None
    stderr: float | None
    raw: float | None
    raw_stderr: float | None
    probability: float | None
    basis: str


class GrowthFigure(EvaluationPart):
    """What each earlier contact adds to effects on an outcome, on the scale of its link; raw: before shrinking."""

    outcome: str
    added: float | None
    stderr: float | None
    raw: float | None
    raw_stderr: float | None
    probability: float | None


class InterferenceFigures(EvaluationPart):
    """Fatigue and cannibalisation. handed_over: how many of the pairs, the most probable first, are in the model."""

    days: int
    fatigue: FatigueFigure | None = None
    pairs: Listed[PairFigure]
    handed_over: int
    growths: Listed[GrowthFigure]


class EpochLosses(EvaluationPart):
    """Averages over members."""

    epoch: int
    train: float | None
    validation: float | None


class MemberLosses(EvaluationPart):
    """validation: by the weights kept, those of best_epoch (0: the linear path alone). linear: by the linear path alone."""

    epochs: int
    best_epoch: int
    validation: float | None
    linear: float | None


class TrainingFigures(EvaluationPart):
    epochs: int
    best_epoch: int
    curve: Listed[EpochLosses]
    members: Listed[MemberLosses]
    seconds: float


class ModelEvaluation(EvaluationPart):
    """Everything that evaluation.json beside a model holds. objective: weight per outcome, empty where none is set."""

    rows: RowCounts
    sample: SampleCounts
    slates: SlateCounts | None
    unidentified: Listed[UnidentifiedAction]
    outcomes: Listed[str]
    objective: dict[str, float]
    policies: Listed[PolicyFigure]
    qini: Listed[QiniFigure]
    calibration: Listed[CalibrationFigure]
    calibration_pooled: Listed[PooledCalibrationFigure] = ()
    reliability: Listed[ReliabilityFigure]
    surrogates: Listed[SurrogateFigure]
    interference: InterferenceFigures | None = None
    training: TrainingFigures

    def content(self) -> dict[str, Any]:
        """By the keys of the file, in their order; what the logs do not tell of is left out."""
        return self.model_dump(mode="json", exclude_unset=True)

    def value_by_model(self, outcome: str) -> PolicyFigure | None:
        """The doubly robust value of choosing by the model, of an outcome or of the `objective`; None where it is not known."""
        wanted = ("valuenet", outcome, "DR")
        found = (each for each in self.policies if (each.name, each.outcome, each.estimator) == wanted)
        return next((each for each in found if each.value is not None), None)


class ObjectiveFigure(EvaluationPart):
    """A part of what is maximised: an outcome, its weight, and the smallest and largest weight of what a contact adds to it."""

    outcome: str
    weight: float
    by_action: Listed[float]


class JudgedRows(EvaluationPart):
    """Rows of the logs, of users who did not train, of those the ones that judge, and rows that trained."""

    logged: int
    held_out: int
    judged: int
    trained: int


class OutcomeName(EvaluationPart):
    name: str
    unit: str
    kind: str


class AllocatedFigures(EvaluationPart):
    """Policies under the rules. believed_gain_per_row: what each promised itself, None where it promises nothing."""

    policies: Listed[PolicyFigure]
    contacts_per_row: dict[str, float]
    believed_gain_per_row: dict[str, float | None]


class PromisedFigure(EvaluationPart):
    """Gain of the chosen contacts over giving nothing, per row: as the model expected it, and as it was."""

    outcome: str
    predicted: float
    realised: IntervalFigure


class BudgetPoint(EvaluationPart):
    """The gain per row at one budget per row; valuenet_minus_this: paired by row."""

    budget: float
    spent: float
    value: float | None
    stderr: float | None
    low: float | None
    high: float | None
    valuenet_minus_this: IntervalFigure


class BudgetFigure(EvaluationPart):
    """One score at every budget, and the mean over the budgets."""

    outcome: str
    name: str
    points: Listed[BudgetPoint]
    mean_over_budgets: IntervalFigure
    valuenet_minus_this: IntervalFigure


class SegmentFigure(EvaluationPart):
    """Gain over nothing per row among users with one value of a segment; ahead_of: by how much, of other policies by name."""

    outcome: str
    segment: str
    value: str
    rows: int
    contacts_per_row: float
    predicted: float
    realised: IntervalFigure
    ahead_of: dict[str, IntervalFigure]


class HeldOutEvaluation(EvaluationPart):
    """Everything that `scripts.evaluate` says of a model, and of the policy it leads to.

    policy: None where no policy was given; then `allocated` is None too. cost: the attribute that budgets are paid in, None for contacts.
    unsolved: policies that found no allocation; left_out: parts of the policy that are not judged.
    """

    model: str
    logs: str
    policy: str | None
    objective: Listed[ObjectiveFigure]
    cost: str | None
    rows: JudgedRows
    users: int
    slates: SlateCounts | None
    unidentified: Listed[UnidentifiedAction]
    outcomes: Listed[OutcomeName]
    policies: Listed[PolicyFigure]
    allocated: AllocatedFigures | None
    promised: Listed[PromisedFigure]
    budgets: Listed[BudgetFigure]
    qini: Listed[QiniFigure]
    calibration: Listed[CalibrationFigure]
    calibration_pooled: Listed[PooledCalibrationFigure]
    segments: Listed[SegmentFigure]
    reliability: Listed[ReliabilityFigure]
    unsolved: Listed[str]
    left_out: Listed[str]
    seconds: float

    @property
    def shown(self) -> tuple[PolicyFigure, ...]:
        """The policies that it is about: under the rules where there are rules."""
        return self.policies if self.allocated is None else self.allocated.policies
