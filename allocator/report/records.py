"""What the page shows of a model's evaluation and of the comparison on the truth, read as far as they tell it."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ranker.files import InputError, places, read_json


class ShownPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class ShownInterval(ShownPart):
    """An estimate and its 95 % interval; null where the logs are too few to make it."""

    value: float | None
    low: float | None
    high: float | None
    stderr: float | None = None

    @property
    def known(self) -> bool:
        return None not in (self.value, self.low, self.high)


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
    def known(self) -> bool:
        return None not in (self.qini, self.stderr)


class Decile(ShownPart):
    predicted: float | None
    realised: float | None
    stderr: float | None = 0.0

    @property
    def known(self) -> bool:
        return None not in (self.predicted, self.realised, self.stderr)


class ShownCalibration(ShownPart):
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
