"""The figures that the ranker's benchmark keeps. An estimate is [value, standard error], in natural units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ranker.evaluate.off_policy import Estimate

OFFERMIX = "offermix"
Pair = Sequence[float]


@dataclass(frozen=True)
class Standing:
    """One learner of one part (`hillstrom`, ...) and seed; users: of a market, 0 for a trial.

    outcome: `done`, or why there is nothing else. estimates: by the name of what is estimated; ahead: ours less this one's, paired (of the
    bandit: this estimate less what the policy itself earned).
    version: of the package it comes from, empty for what is in here. seconds: of learning and scoring.
    """

    part: str
    users: int
    seed: int
    learner: str
    outcome: str = "done"
    estimates: Mapping[str, Pair] = field(default_factory=dict)
    ahead: Mapping[str, Pair] = field(default_factory=dict)
    version: str = ""
    seconds: float | None = None
    note: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        return self.part, self.users, self.seed, self.learner


@dataclass(frozen=True)
class Spending:
    """Our scores less another way to spend, per user, at every budget: [share of the largest budget, difference, its standard error].
    gain: ours over nothing at the largest budget."""

    part: str
    users: int
    seed: int
    rival: str
    points: Sequence[Sequence[float]]
    gain: float

    @property
    def key(self) -> tuple[object, ...]:
        return self.part, self.users, self.seed, self.rival

    @property
    def outcome(self) -> str:
        """It is kept only once it is measured to the end."""
        return "done"


@dataclass(frozen=True)
class Scored:
    """Scores of one metric next to the truth, over all users and the actions that they may get. coverage: of 90 % intervals. slope: of the
    truth on the score over all of them; within: within each action. correlation: within each action too. spread: standard deviation of
    the scores."""

    users: int
    seed: int
    metric: str
    coverage: float
    slope: float
    within: float
    correlation: float
    spread: float

    @property
    def key(self) -> tuple[object, ...]:
        return self.users, self.seed, self.metric

    @property
    def outcome(self) -> str:
        """It is kept only once it is measured to the end."""
        return "done"


@dataclass(frozen=True)
class Speed:
    """One command on made-up data. floor: seconds of the matrix products named in `floor_of`, measured in the same process.
    outcome: `done`, or why there is nothing else."""

    what: str
    rows: int
    outcome: str = "done"
    seconds: Mapping[str, float] = field(default_factory=dict)
    cpu: float | None = None  # seconds of all cores together
    peak_gib: float | None = None
    floor: float | None = None
    floor_of: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        return self.what, self.rows


@dataclass(frozen=True)
class Looped:
    """One strategy's weeks on a market that `stays` or `changes`, EUR per listener. value: true, exploration included; exploiting: without
    it, by the same model; best: of the best contacts for the same listeners. error: of the average worth of actions that a strategy
    without exploration avoids. outcome: `done`, or why there is nothing else."""

    market: str
    users: int
    seed: int
    strategy: str
    outcome: str = "done"
    value: Sequence[float] = ()
    exploiting: Sequence[float] = ()
    best: Sequence[float] = ()
    error: Sequence[float] = ()
    seconds: float | None = None

    @property
    def key(self) -> tuple[object, ...]:
        return self.market, self.users, self.seed, self.strategy


KINDS = (Standing, Spending, Scored, Speed, Looped)


def pair(estimate: Estimate) -> Pair:
    return [float(estimate.value), float(estimate.stderr)]
