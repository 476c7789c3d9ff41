"""The surrogate index: what is known early of a young decision stands in for an outcome that is not complete yet.

On complete decisions h(s) = E[y | s] is learned from what was known at the same age, regardless of user and action (Athey, Chetty,
Imbens and Kang 2019, NBER 26463). Where outcomes are recorded late, only the share kappa of a difference shows early: effects on h are
kappa times effects on y. So the stand-in is

    mean + (h(s) - mean) / kappa

It is unbiased where kappa is the same for all actions and users. kappa is estimated from differences between users that their features
predict, as an instrumental variable, so that noise shared by y and h does not enter. It is shrunk towards the share of y's variance that
h explains, which equals kappa where early events are a random part of all.

The index is judged on complete decisions, by folds of users that it did not learn from: the means of every arm by the outcome and by the
stand-in are compared. Young decisions are used only where they lower the squared error of the arms' averages, the index's error beyond
noise included.

Axes: R rows (r: some of them), O outcomes, E early columns, Y columns measured (outcomes, then early ones), P
predictors, Q terms of a part, D columns of x, A actions, B = A + 1 arms, F folds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from ranker.log_schema import LogSchema
from ranker.model.examples import Examples, stabilised_weights
from ranker.model.linear import Design
from ranker.model.outcome_heads import Channel, Target, channels_of, ways_of

LEAST_EXPLAINED = 0.5  # of the variance of what is stood in for; an index that knows less rests on its assumptions
PRIOR_SD = 0.1  # how far kappa may plausibly be from the explained part of the variance
FEWEST_ROWS, FEWEST_EVENTS = 1_000, 30
MOST_ROWS = 400_000  # that the index is learned from
WEIGHT_CLIP = 10.0
RIDGE = 1e-4  # per row, of standardised predictors


@dataclass(frozen=True)
class SurrogateFinding:
    """How good an index was on complete decisions. part: what it stands in for, known: the columns it is told by, rows: young ones.

    explained: share of the variance. kappa, kappa_stderr: share of a difference that shows early. weight: what a young row tells, next
    to a complete one. actual, stand_in, difference_stderr: average effect of a contact by either. off: standard deviation between arms
    of the error of stand-in averages, beyond noise; noise: the standard error of the actual averages. used: whether young rows count.
    """

    part: str
    known: tuple[str, ...]
    rows: int
    explained: float
    kappa: float
    kappa_stderr: float
    weight: float
    actual: float = 0.0
    stand_in: float = 0.0
    difference_stderr: float = 0.0
    off: float = 0.0
    noise: float = 0.0
    used: bool = False

    def to_json(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class StandIns:
    """channels: per target, with young rows among those that tell. value_RO, weight_RO: of what stands in for unknown outcomes."""

    channels: list[list[Channel]]
    value_RO: np.ndarray
    weight_RO: np.ndarray
    findings: tuple[SurrogateFinding, ...]

    def among(self, examples: Examples, learn_R: np.ndarray) -> Examples:
        """All examples, of which those of learn_R have these stand-ins."""
        if not self.findings:
            return examples
        value_RO, weight_RO = np.full(examples.outcome_RO.shape, np.nan), np.ones(examples.outcome_RO.shape)
        value_RO[learn_R], weight_RO[learn_R] = self.value_RO, self.weight_RO
        whole_RO = None if examples.whole_RO is None else value_RO
        return replace(examples, stand_in_RO=value_RO, weight_RO=weight_RO, whole_stand_in_RO=whole_RO)


def stand_in(
    schema: LogSchema, targets: Sequence[Target], learn: Examples, fold_R: np.ndarray, design: Design
) -> StandIns:
    """For every target its channels and its outcome, filled where something is known early and complete decisions show a gain."""
    channels = [channels_of(target, learn.outcome_RO) for target in targets]
    value_RO, weight_RO = np.full(learn.outcome_RO.shape, np.nan), np.ones(learn.outcome_RO.shape)
    if learn.complete_R.all():
        return StandIns(channels, value_RO, weight_RO, ())
    world = _Context(schema, learn, fold_R, design)
    findings = []
    for target, mine in zip(targets, channels, strict=True):
        o = target.column
        parts = _parts(target, mine, learn.outcome_RO, [outcome.name for outcome in schema.outcomes])
        for young, tried in world.tried(o, parts):
            for part, (found, y_r) in zip(parts, tried, strict=True):
                findings.append(found)
                if found.used and part.channel is not None:
                    plain_r = y_r if target.kind == "amount" else (y_r - target.center) / target.scale
                    mine[part.channel] = _filled(mine[part.channel], young.rows, plain_r, found.weight)
                if found.used and part.outcome:
                    value_RO[young.rows, o], weight_RO[young.rows, o] = y_r, found.weight
    return StandIns(channels, value_RO, weight_RO, tuple(findings))


@dataclass(frozen=True)
class _Component:
    """Something to stand in for: a channel's y, an outcome, or both. y_RQ: its terms in natural units, with an index each; it is their
    sum."""

    name: str
    y_RQ: np.ndarray
    channel: int | None
    outcome: bool


def _parts(
    target: Target, channels: Sequence[Channel], outcome_RO: np.ndarray, names: Sequence[str]
) -> list[_Component]:
    """An amount: whether it comes about in each way (sizes are learned from complete rows), and the amount itself."""
    if target.kind != "amount":
        return [_Component(target.name, channels[0].y_R[:, None] * target.scale + target.center, 0, True)]
    ways = ways_of(target, outcome_RO)
    splits = ["any"] if target.beside < 0 else [f"{word} {names[target.beside]}" for word in ("with", "without")]
    amount_RQ = np.column_stack([np.where(came_R, outcome_RO[:, target.column], 0.0) for came_R in ways])
    came = [
        _Component(f"{target.name}, {split}", channels[2 * way].y_R[:, None], 2 * way, False)
        for way, split in enumerate(splits)
    ]
    return [*came, _Component(f"{target.name}, how much", amount_RQ, None, True)]


def _filled(channel: Channel, rows: np.ndarray, y_r: np.ndarray, weight: float) -> Channel:
    y_R, used_R = channel.y_R.copy(), channel.used_R.copy()
    weight_R = np.ones(len(y_R), np.float32) if channel.weight_R is None else channel.weight_R.copy()
    y_R[rows], used_R[rows], weight_R[rows] = y_r, True, weight
    return Channel(channel.link, y_R, used_R, weight_R)


@dataclass(frozen=True)
class _Young:
    """Rows of which an outcome is not known and the same columns are. columns: of these the latest of each outcome."""

    rows: np.ndarray
    columns: tuple[int, ...]


class _Context:
    """What all indexes share."""

    def __init__(self, schema: LogSchema, learn: Examples, fold_R: np.ndarray, design: Design):
        self._learn, self._fold_R, self._design = learn, fold_R, design
        self._names = list(schema.measured)
        self._kinds = list(schema.measured.values())
        outcomes = [outcome.name for outcome in schema.outcomes]
        self._of_Y = [*range(len(outcomes)), *(outcomes.index(early.outcome) for early in schema.early)]
        self._days_Y = [np.inf] * len(outcomes) + [early.days for early in schema.early]
        self._measured_RY = np.hstack([learn.outcome_RO, learn.early_RE])
        self._known_RY = np.isfinite(self._measured_RY)
        self._weight_R = stabilised_weights(learn.action_R, learn.propensity_R, learn.actions, WEIGHT_CLIP)

    def tried(
        self, outcome: int, parts: Sequence[_Component]
    ) -> Iterator[tuple[_Young, list[tuple[SurrogateFinding, np.ndarray]]]]:
        """For every group of young rows, per part how good its index is and what would stand in for it."""
        groups = list(self._young(outcome))
        old = np.flatnonzero(self._known_RY[:, outcome])
        old = old[:: len(old) // MOST_ROWS + 1]
        total_RQ = np.column_stack([part.y_RQ.sum(1, dtype=np.float64) for part in parts])
        if not groups or _too_few(total_RQ[old]):
            return
        expected_RQ = np.zeros_like(total_RQ)
        x_rD = self._design.matrix(self._learn.features.take(old))
        expected_RQ[old] = _regression(x_rD, total_RQ[old], self._fold_R[old], x_rD[:0])[0]
        for young in groups:
            rows = old[self._known_RY[np.ix_(old, young.columns)].all(1)]
            if not _too_few(total_RQ[rows]):
                predictor_rP = self._predictors(young.columns, np.concatenate([rows, young.rows]))
                yield (
                    young,
                    [
                        self._index(part, young, rows, predictor_rP, expected_RQ[rows, j])
                        for j, part in enumerate(parts)
                    ],
                )

    def _young(self, outcome: int) -> Iterator[_Young]:
        rows = np.flatnonzero(~self._known_RY[:, outcome])
        patterns, group_r = np.unique(self._known_RY[rows], axis=0, return_inverse=True)
        for number, known_Y in enumerate(patterns):
            latest: dict[int, int] = {}
            for k in np.flatnonzero(known_Y).tolist():
                o = self._of_Y[k]
                if o not in latest or self._days_Y[k] > self._days_Y[latest[o]]:
                    latest[o] = k
            if latest:
                yield _Young(rows[group_r == number], tuple(latest.values()))

    def _predictors(self, columns: Sequence[int], rows: np.ndarray) -> np.ndarray:
        """float64[r, P]: 1, what happened, how much, and what happened together; standardised."""
        happened, sizes = [], []
        for k in columns:
            value_r = self._measured_RY[rows, k]
            if self._kinds[k] in ("binary", "amount"):
                happened.append((value_r > 0).astype(float))
            if self._kinds[k] != "binary":
                sizes.append(value_r)
        both = [one * other for position, one in enumerate(happened) for other in (*happened[:position], *sizes)]
        predictor_rP = np.column_stack([*happened, *sizes, *both])
        deviation_P = predictor_rP.std(0)
        predictor_rP = (predictor_rP - predictor_rP.mean(0))[:, deviation_P > 0] / deviation_P[deviation_P > 0]
        return np.column_stack([np.ones(len(rows)), predictor_rP])

    def _index(
        self, part: _Component, young: _Young, rows: np.ndarray, predictor_rP: np.ndarray, expected_r: np.ndarray
    ) -> tuple[SurrogateFinding, np.ndarray]:
        """rows: complete ones, those of the first predictors. expected_r: what features say of the part."""
        y_rQ = part.y_RQ[rows].astype(np.float64)
        known_rQ, early_rQ = _regression(predictor_rP[: len(rows)], y_rQ, self._fold_R[rows], predictor_rP[len(rows) :])
        mean_Q, share_Q = y_rQ.mean(0), y_rQ.var(0) / y_rQ.var(0).sum()
        kappa_Q, stderr_Q = np.array([_kappa(*each, expected_r) for each in zip(known_rQ.T, y_rQ.T, strict=True)]).T
        total_r, index_r = y_rQ.sum(1), (mean_Q + (known_rQ - mean_Q) / kappa_Q).sum(1)
        misfit = ((index_r - expected_r) ** 2).mean()
        found = SurrogateFinding(
            part=part.name,
            known=tuple(self._names[k] for k in young.columns),
            rows=len(young.rows),
            explained=float(1 - ((total_r - known_rQ.sum(1)) ** 2).mean() / total_r.var()),
            kappa=float(share_Q @ kappa_Q),
            kappa_stderr=float(np.sqrt(((share_Q * stderr_Q) ** 2).sum())),
            weight=float(min(1.0, ((total_r - expected_r) ** 2).mean() / misfit)),
        )
        return self._checked(found, rows, total_r, index_r), (mean_Q + (early_rQ - mean_Q) / kappa_Q).sum(1)

    def _checked(
        self, found: SurrogateFinding, rows: np.ndarray, actual_r: np.ndarray, index_r: np.ndarray
    ) -> SurrogateFinding:
        """Compares averages by arm, and decides: where young rows have some share of the information, the variance of an average
        falls by that share, and the square of the index's error enters with the square of it."""
        arm_r, weight_r = self._learn.action_R[rows], self._weight_R[rows]
        arms = self._learn.actions + 1
        error, own = (_arm_means(arm_r, weight_r, y_r, arms) for y_r in (actual_r - index_r, actual_r))
        off, noise = _beyond_noise(error), own.variance_B[np.isfinite(own.variance_B)].mean()
        (difference, variance), (actual, own_variance) = _contact(error), _contact(own)
        share = found.weight * found.rows / (found.weight * found.rows + len(rows))
        gains = share * off < noise and share * (difference**2 - variance) < own_variance
        return replace(
            found,
            actual=actual,
            stand_in=actual - difference,
            difference_stderr=float(np.sqrt(variance)),
            off=float(np.sqrt(off)),
            noise=float(np.sqrt(noise)),
            used=bool(gains and found.explained >= LEAST_EXPLAINED),
        )


def _too_few(y_rQ: np.ndarray) -> bool:
    """Whether there are hardly any rows, or hardly any that differ."""
    if len(y_rQ) < FEWEST_ROWS:
        return True
    differ = [np.count_nonzero(y_rQ != extreme, axis=0) for extreme in (y_rQ.min(0), y_rQ.max(0))]
    return bool(np.min(differ) < FEWEST_EVENTS)


def _regression(
    x_rD: np.ndarray, y_rQ: np.ndarray, fold_r: np.ndarray, other_rD: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of every y on its rows, each by the other folds, and on other rows by all."""
    folds = int(fold_r.max()) + 1
    parts = [x_rD[fold_r == f].astype(np.float64) for f in range(folds)]
    square_FDD = np.stack([part.T @ part for part in parts])
    cross_FDQ = np.stack([part.T @ y_rQ[fold_r == f] for f, part in enumerate(parts)])

    def solved(square_DD: np.ndarray, cross_DQ: np.ndarray) -> np.ndarray:
        penalty_D = np.full(len(cross_DQ), RIDGE * square_DD[0, 0])
        penalty_D[0] = 0.0
        return np.linalg.solve(square_DD + np.diag(penalty_D), cross_DQ)

    square_DD, cross_DQ = square_FDD.sum(0), cross_FDQ.sum(0)
    own_rQ = np.empty(y_rQ.shape)
    for f, part in enumerate(parts):
        own_rQ[fold_r == f] = part @ solved(square_DD - square_FDD[f], cross_DQ - cross_FDQ[f])
    return own_rQ, other_rD @ solved(square_DD, cross_DQ)


def _kappa(known_r: np.ndarray, y_r: np.ndarray, expected_r: np.ndarray) -> tuple[float, float]:
    """Share of a difference in y that shows in the index, and its standard error."""
    known_r, y_r, expected_r = (each_r - each_r.mean() for each_r in (known_r, y_r, expected_r))
    explained = float((known_r * y_r).sum() / (y_r**2).sum())
    prior = float(np.clip(explained, 0.05, 1.0))
    strength = float((y_r * expected_r).sum())
    if strength <= 0:
        return prior, PRIOR_SD
    kappa = float((known_r * expected_r).sum()) / strength
    noise = (((known_r - kappa * y_r) * expected_r) ** 2).sum() / strength**2
    trust = PRIOR_SD**2 / (PRIOR_SD**2 + noise)
    return float(np.clip(prior + trust * (kappa - prior), 0.05, 1.0)), float(np.sqrt(trust * noise))


@dataclass(frozen=True)
class _Means:
    """Of every arm the weighted mean, and its variance; infinite without rows."""

    mean_B: np.ndarray
    variance_B: np.ndarray


def _arm_means(arm_r: np.ndarray, weight_r: np.ndarray, y_r: np.ndarray, arms: int) -> _Means:
    """The variance of rows is pooled over arms: with rare outcomes an arm's own says little."""
    total_B = np.bincount(arm_r, weight_r, minlength=arms)
    safe_B = np.where(total_B > 0, total_B, 1.0)
    variance_B = y_r.var() * np.bincount(arm_r, weight_r**2, minlength=arms) / safe_B**2
    return _Means(
        np.bincount(arm_r, weight_r * y_r, minlength=arms) / safe_B, np.where(total_B > 0, variance_B, np.inf)
    )


def _beyond_noise(means: _Means) -> float:
    """Variance between arms' means that their noise does not explain (DerSimonian and Laird 1986)."""
    precision_B = 1.0 / np.maximum(means.variance_B, 1e-30)
    total = precision_B.sum()
    misfit = (precision_B * (means.mean_B - (precision_B * means.mean_B).sum() / total) ** 2).sum()
    spare = total - (precision_B**2).sum() / total
    return max(0.0, float((misfit - (np.isfinite(means.variance_B).sum() - 1)) / spare)) if spare > 0 else 0.0


def _contact(means: _Means) -> tuple[float, float]:
    """Average effect of a contact, over actions by their precision, and its variance."""
    precision_A = 1.0 / np.maximum(means.variance_B[:-1], 1e-30)
    shown = (precision_A * means.mean_B[:-1]).sum() / precision_A.sum()
    return float(shown - means.mean_B[-1]), float(1.0 / precision_A.sum() + means.variance_B[-1])
