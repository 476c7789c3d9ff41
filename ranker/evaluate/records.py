"""The evaluation.json beside a model as records: the one home of its keys, through which it is written and read.

A figure is None (null in the file) where it cannot be estimated: JSON has no infinity. Values are per decision, in the outcome's unit.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Strict, ValidationError

from ranker.files import InputError, read_json_object

Each = TypeVar("Each")
Listed = Annotated[tuple[Each, ...], Strict(False)]  # a list in the file
Attribute = str | bool | int | float | None


class EvaluationPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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


class Interval(EvaluationPart):
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
    difference_to_best_fixed: Interval | None
    difference_to_valuenet: Interval | None


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
    reliability: Listed[ReliabilityFigure]
    surrogates: Listed[SurrogateFigure]
    interference: InterferenceFigures | None = None
    training: TrainingFigures

    def to_json(self) -> dict:
        """By the keys of the file, in their order; what the logs do not tell of is left out."""
        return self.model_dump(mode="json", exclude_unset=True)


def write_evaluation(path: Path, evaluation: ModelEvaluation) -> None:
    path.write_text(json.dumps(evaluation.to_json(), indent=1, allow_nan=False) + "\n")


def read_evaluation(path: Path) -> ModelEvaluation:
    """The evaluation beside a model.

    Raises:
        InputError: there is no such file, or it lists every key that is missing, not known or of another type.
    """
    content = read_json_object(path)
    try:
        return ModelEvaluation.model_validate(content)
    except ValidationError as error:
        raise InputError([f"{path}: {problem}" for problem in _sentences(error)]) from None


def _sentences(error: ValidationError) -> Iterator[str]:
    for details in error.errors(include_url=False):
        yield f"{'.'.join(map(str, details['loc']))}: {details['msg']}"
