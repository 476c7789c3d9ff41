"""What the page shows of a model's evaluation and of the comparison on the truth, read as far as they tell it."""

from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ranker.files import InputError, places, read_json


class KnownInterval(NamedTuple):
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


class KnownEstimate(NamedTuple):
    """An estimate and its standard error."""

    value: float
    stderr: float


class ShownPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class ShownInterval(ShownPart):
    """An estimate and its 95 % interval; null where the logs are too few to make it."""

    value: float | None
    low: float | None
    high: float | None
    stderr: float | None = None

    @property
    def interval(self) -> KnownInterval | None:
        """All of it, where the logs are enough."""
        if self.value is None or self.low is None or self.high is None:
            return None
        return KnownInterval(self.value, self.low, self.high)


class Difference(ShownInterval):
    pass


class PolicyValue(ShownInterval):
    """The value per user of a policy, estimated off-policy on held-out users."""

    name: str
    outcome: str
    estimator: str
    effective_sample_size: float | None = None
    difference_to_best_fixed: Difference | None = None


class ShownQini(ShownPart):
    model: str
    outcome: str
    action: str
    qini: float | None
    stderr: float | None = 0.0
    rows: int = 0

    @property
    def estimate(self) -> KnownEstimate | None:
        return None if self.qini is None or self.stderr is None else KnownEstimate(self.qini, self.stderr)


class DecileEffects(NamedTuple):
    """Predicted and realised effect of a tenth of the users, and the standard error of the latter."""

    predicted: float
    realised: float
    stderr: float


class Decile(ShownPart):
    predicted: float | None
    realised: float | None
    stderr: float | None = 0.0

    @property
    def effects(self) -> DecileEffects | None:
        if self.predicted is None or self.realised is None or self.stderr is None:
            return None
        return DecileEffects(self.predicted, self.realised, self.stderr)


def known_effects(deciles: tuple[Decile, ...]) -> tuple[DecileEffects, ...]:
    """Of all tenths; none where one of them is not known."""
    found = tuple(decile.effects for decile in deciles)
    known = tuple(effects for effects in found if effects is not None)
    return known if len(known) == len(found) else ()


class ShownSlope(ShownPart):
    """Slope of realised on predicted effects among users whom nobody learned from."""

    value: float | None = None
    stderr: float | None = None


class ShownPooled(ShownPart):
    """All actions of an outcome together, in groups of equal size by prediction."""

    outcome: str
    deciles: tuple[Decile, ...] = ()

    @property
    def effects(self) -> tuple[DecileEffects, ...]:
        return known_effects(self.deciles)


class ShownCalibration(ShownPart):
    """slope: by which the model was corrected. held_out: what is left on held-out users."""

    outcome: str
    action: str
    slope: float | None
    stderr: float | None = 0.0
    average_effect: float | None = None
    average_effect_stderr: float | None = None
    held_out: ShownSlope = ShownSlope()

    @property
    def left(self) -> KnownEstimate | None:
        """The slope that is left on held-out users."""
        found = self.held_out
        return None if found.value is None or found.stderr is None else KnownEstimate(found.value, found.stderr)


class ShownSlates(ShownPart):
    """decisions: that showed several contacts. judged: how, in a sentence."""

    decisions: int
    judged: str


class Evaluation(ShownPart):
    """The ranker's report on itself, from held-out users."""

    rows: dict[str, int] = {}
    slates: ShownSlates | None = None
    outcomes: tuple[str, ...] = ()
    objective: dict[str, float] = {}
    policies: tuple[PolicyValue, ...] = ()
    qini: tuple[ShownQini, ...] = ()
    calibration: tuple[ShownCalibration, ...] = ()
    calibration_pooled: tuple[ShownPooled, ...] = ()


class RehearsedPromise(ShownPart):
    """name: `value`, a metric's or a constraint's. promised: by the scores; realised: by the logs."""

    name: str
    kind: str
    unit: str = ""
    promised: float
    promised_stderr: float = 0.0
    realised: ShownInterval
    verdict: str = ""


class RehearsalTable(ShownPart):
    """The policy on users who did not train the model, sums scaled to the users of the week. unavailable: why nothing is told."""

    users: int = 0
    rows: int = 0
    amounts: tuple[RehearsedPromise, ...] = ()
    unavailable: str | None = None


class TruthValue(ShownPart):
    """A policy judged on the synthetic market's truth."""

    policy: str
    value: float
    share_of_oracle: float


class TruthTable(ShownPart):
    policies: tuple[TruthValue, ...]


Read = TypeVar("Read", bound=BaseModel)


def read_record(path: Path, record: type[Read]) -> Read:
    """Reads one JSON file; InputError lists every missing or wrong key."""
    content = read_json(path)
    if record is TruthTable and isinstance(content, list):
        content = {"policies": content}
    try:
        return record.model_validate(content)
    except ValidationError as error:
        raise InputError([f"{path}: {problem}" for problem in places(error, whole="the file")]) from None
