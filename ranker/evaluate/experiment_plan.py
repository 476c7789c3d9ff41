"""How many listeners and weeks an experiment needs: the smallest effect that it finds, from what logs say of each outcome.

With N listeners a week, a share s of them in the one arm and W weeks, a difference of means has the variance

    v (1 - e) (1 / (s N) + 1 / ((1 - s) N)) t          v: of the outcome; e: part of it that covariates explain

where t = 1 / W if the arms are drawn anew every week: errors of different weeks are then uncorrelated, whoever the listeners are. If arms
last, the same listeners differ again: t = (1 + (W - 1) r) / W with r the correlation of a listener's outcome over weeks. Where whole groups
(markets) are drawn, the part c of the variance that is between groups falls with their number K alone, and not with weeks:

    v c (1 / (s K) + 1 / ((1 - s) K)) + (1 - c) of the above

r and c are intraclass correlations by one-way analysis of variance (Donner, International Statistical Review 54, 1986). An effect is found
if it is (z of 1 - level / 2 plus z of the power) standard errors.

Axes: N observations, J groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from ranker.evaluate.lift import POWER
from ranker.files import InputError
from ranker.logs import Logs, StoredLogs

MOST_WEEKS = 520
FEWEST_GROUPS = 2
"""Of either arm."""


@dataclass(frozen=True)
class OutcomeSpread:
    """One outcome of one listener and week. again: the correlation of a listener's outcome over weeks, 0 where none was seen twice.

    between: segment -> number of groups and the part of the variance that is between them. explained: the part that covariates explain.
    """

    name: str
    unit: str
    mean: float
    variance: float
    again: float
    between: Mapping[str, tuple[int, float]]
    observed: int
    explained: float = 0.0


@dataclass(frozen=True)
class ExperimentDesign:
    """users: a week. share: of them, in the smaller arm. lasting: arms stay as they are. groups: the segment whose values are drawn."""

    users: int
    share: float
    weeks: int
    lasting: bool = False
    groups: str | None = None
    level: float = 0.05
    power: float = POWER

    @property
    def distance(self) -> float:
        """Standard errors between nothing and an effect that is found."""
        return float(stats.norm.isf(self.level / 2) + stats.norm.ppf(self.power))


def spreads(logs: Logs | StoredLogs, segments: Sequence[str] = ()) -> tuple[OutcomeSpread, ...]:
    """Of every outcome, from decisions of which it is known; segments: groups that might be drawn as a whole.

    Raises InputError where the logs do not have a segment.
    """
    names = [outcome.name for outcome in logs.schema.outcomes]
    if unknown := [name for name in segments if name not in logs.schema.categorical]:
        known = ", ".join(sorted(logs.schema.categorical)) or "none"
        raise InputError([f"groups: '{name}' is no text feature of the logs; there is {known}" for name in unknown])
    frame = logs.columns(["user_id", "as_of", *names, *segments]).drop_duplicates(["user_id", "as_of"])
    return tuple(
        _spread(outcome.name, outcome.unit or "", frame[frame[outcome.name].notna()], segments)
        for outcome in logs.schema.outcomes
    )


def _spread(name: str, unit: str, frame: pd.DataFrame, segments: Sequence[str]) -> OutcomeSpread:
    value_N = frame[name].to_numpy(float)
    between = {}
    for segment in segments:
        known = frame[segment].notna().to_numpy()
        codes, groups = pd.factorize(frame[segment][known])
        between[segment] = len(groups), intraclass(value_N[known], codes)
    again = intraclass(value_N, pd.factorize(frame["user_id"])[0])
    variance = float(value_N.var(ddof=1)) if len(value_N) > 1 else 0.0
    mean = float(value_N.mean()) if len(value_N) else 0.0
    return OutcomeSpread(name, unit, mean, variance, again, between, len(value_N))


def intraclass(value_N: np.ndarray, group_N: np.ndarray) -> float:
    """The part of the variance that is between groups, by analysis of variance; 0 where no group was seen twice or nothing differs."""
    size_J = np.bincount(group_N)
    groups, count = len(size_J), len(value_N)
    if groups < 2 or count <= groups:
        return 0.0
    mean_J = np.bincount(group_N, value_N) / size_J
    outer = float(size_J @ (mean_J - value_N.mean()) ** 2) / (groups - 1)
    inner = float(((value_N - mean_J[group_N]) ** 2).sum()) / (count - groups)
    typical = (count - float((size_J**2).sum()) / count) / (groups - 1)
    total = outer + (typical - 1) * inner
    return float(np.clip((outer - inner) / total, 0.0, 1.0)) if total > 0 else 0.0


def with_explained(spread: OutcomeSpread, explained: float) -> OutcomeSpread:
    """explained: the part of the variance that a readout's covariates took away."""
    return replace(spread, explained=float(np.clip(explained, 0.0, 1.0)))


def stderr(spread: OutcomeSpread, design: ExperimentDesign) -> float:
    """Of the difference per listener and week between the arms; infinite where fewer groups than FEWEST_GROUPS are in an arm."""
    left = spread.variance * (1 - spread.explained)
    times = (1 + (design.weeks - 1) * spread.again) / design.weeks if design.lasting else 1 / design.weeks
    alone = left * _halves(design.share, design.users) * times
    if design.groups is None:
        return float(np.sqrt(alone))
    count, part = spread.between[design.groups]
    if min(design.share, 1 - design.share) * count < FEWEST_GROUPS - 1e-9:
        return float("inf")
    return float(np.sqrt(spread.variance * part * _halves(design.share, count) + (1 - part) * alone))


def _halves(share: float, count: float) -> float:
    return 1 / (share * count) + 1 / ((1 - share) * count)


def detectable(spread: OutcomeSpread, design: ExperimentDesign) -> float:
    """The smallest effect per listener and week that is found with the design's power."""
    return design.distance * stderr(spread, design)


def weeks_needed(spread: OutcomeSpread, design: ExperimentDesign, effect: float) -> int | None:
    """The fewest weeks in which an effect of this size is found; None where MOST_WEEKS are too few."""
    low, high = 1, MOST_WEEKS
    if detectable(spread, replace(design, weeks=high)) > effect:
        return None
    while low < high:
        middle = (low + high) // 2
        if detectable(spread, replace(design, weeks=middle)) <= effect:
            high = middle
        else:
            low = middle + 1
    return low


def share_needed(spread: OutcomeSpread, design: ExperimentDesign, effect: float) -> float | None:
    """The smallest share of the one arm with which an effect is found in the design's weeks; None where halves do not.

    The variance is a constant times 1 / (s (1 - s)), so s (1 - s) is at least a known amount.
    """
    half = replace(design, share=0.5)
    if effect <= 0 or not np.isfinite(stderr(spread, half)):
        return None
    wanted = (detectable(spread, half) / effect) ** 2 / 4
    if wanted > 0.25:
        return None
    share = 0.5 * (1 - float(np.sqrt(1 - 4 * wanted)))
    if design.groups is not None:
        share = max(share, FEWEST_GROUPS / spread.between[design.groups][0])
    return share
