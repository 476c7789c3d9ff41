"""What a week really brought: lifts of the chosen over the holdout, overall, by segment and by offer, and the verdict.

Groups are those that the policy drew by salted hash, or those that the exposures record. Axes: U users of the scores, A actions, K contacts
of a slate, X covariates.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from allocator.policy.experiment import shares
from allocator.policy.grammar import Policy
from ranker.evaluate.lift import JudgedMetric, Lift, ShippingVerdict, decide, lift, sample_ratio
from ranker.evaluate.objective import OBJECTIVE
from ranker.evaluate.off_policy import Estimate
from ranker.evaluate.week import OutcomeWeek, read_week
from ranker.files import InputError
from scripts.cli import entry
from scripts.cli.settings import ReadoutOptions, ReadoutSettings
from scripts.formats.document import Interval
from scripts.formats.readout import (
    ConditionReading,
    Decision,
    GroupSizes,
    LiftReading,
    OfferReading,
    OutcomeReading,
    Readout,
    SegmentReading,
    UserCounts,
)
from scripts.judging.readout_groups import (
    CHOSEN,
    EXPLORING,
    HELD,
    UNRECORDED,
    GivenInWeek,
    exposed_in_holdout,
    given_of,
    recorded_groups,
)
from scripts.judging.readout_sources import sources_of
from scripts.runs.policy_check import objective_of

MOST_COVARIATES = 40
MOST_VALUES = 20  # of a segment, or of an attribute of actions, that results are split by


def read_out(settings: ReadoutSettings) -> Readout:
    """The week of an allocation, read from tables that were taken after it."""
    sources = sources_of(settings)
    drawn = given = given_of(settings.paths.allocation, sources)
    if settings.readout.groups == "recorded":
        group_U = recorded_groups(settings.paths.tables, sources.day, given.user_id)
        given = replace(given, group_U=group_U).take(group_U != UNRECORDED)
    week = read_week(
        settings.paths.tables, sources.scores.catalogue, sources.day, given.user_id, settings.readout.before_days
    )
    metrics = metrics_of(settings.readout, sources.policy, week)
    given = given.take(week.known_U)
    ratio = sample_ratio(_sizes(given.group_U), _shares(sources.policy))
    outcome = dict(week.outcome)
    plain = objective_of(sources.policy)
    if plain.keys() <= outcome.keys():
        outcome[OBJECTIVE] = sum(weight * outcome[name] for name, weight in plain.items())
        given = replace(given, promised={**given.promised, OBJECTIVE: _promised_value(given.promised, plain)})
    with entry.progress("Reading out", total=len(outcome)) as advance:
        readings = {}
        for name in outcome:
            readings[name] = _OutcomeOfWeek(name, outcome[name], _covariates(week, name, plain), given)
            advance(note=name)
    lifts = {name: reading.lift(given.group_U != EXPLORING) for name, reading in readings.items()}
    verdict = decide(metrics, lifts, ratio, settings.readout.level)
    ranked = [OBJECTIVE, *(metric.name for metric in metrics)]
    return Readout(
        day=sources.day.isoformat(),
        known_before=week.known_before.isoformat(),
        level=settings.readout.level,
        verdict=_decision(verdict),
        sample_ratio=GroupSizes(**asdict(ratio), holds=ratio.holds),
        users=UserCounts(allocated_for=len(drawn.user_id), read=len(given.user_id)),
        contacts_per_user={name: float(given.contacts_U[given.group_U == name].mean()) for name in _present(given)},
        exposed_in_holdout=exposed_in_holdout(settings.paths.tables, sources.day, given),
        immature={name: when.isoformat() for name, when in week.immature.items()},
        metrics=tuple(
            _outcome(name, metrics, readings, lifts, settings.readout) for name in ranked if name in readings
        ),
        segments=tuple(_by_segment(readings, given, settings.readout.segments, ranked)),
        offers=tuple(_by_offer(readings, given, sources.scores.catalogue.actions, ranked)),
        as_priced=_agreement(given),
    )


def metrics_of(options: ReadoutOptions, policy: Policy, week: OutcomeWeek) -> tuple[JudgedMetric, ...]:
    """How each outcome counts: as the settings say, or else by its weight in the policy's objective."""
    names = [window.name for window in week.windows]
    asked = {*(options.success or ()), *(options.guardrails or {}), *options.lower_is_better}
    if unknown := sorted(asked - set(names)):
        raise InputError(
            [f"readout: the tables have no outcome {name}; they have {', '.join(names)}" for name in unknown]
        )
    weight = objective_of(policy)
    lower = {name for name in names if weight.get(name, 0.0) < 0} | set(options.lower_is_better)
    guarded = options.guardrails
    if guarded is None:
        guarded = {name: options.margin for name in names if name in lower}
    success = options.success
    if success is None:
        success = tuple(name for name in names if weight.get(name, 0.0) > 0 and name not in guarded)
    return tuple(JudgedMetric(name, name in lower, name in success, guarded.get(name)) for name in names)


def _promised_value(promised: Mapping[str, np.ndarray], plain: Mapping[str, float]) -> np.ndarray:
    return sum(weight * promised[name] for name, weight in plain.items())


def _sizes(group_U: np.ndarray) -> dict[str, int]:
    return {name: int((group_U == name).sum()) for name in (HELD, EXPLORING, CHOSEN)}


def _present(given: GivenInWeek) -> list[str]:
    return [name for name, count in _sizes(given.group_U).items() if count]


def _shares(policy: Policy) -> dict[str, float]:
    """What part of the users the policy draws into each group; empty where it holds nobody out, and others drew."""
    if policy.holdout is None:
        return {}
    drawn = shares(policy)
    return {HELD: drawn.held, EXPLORING: drawn.explores, CHOSEN: drawn.free}


def _covariates(week: OutcomeWeek, name: str, plain: Mapping[str, float]) -> np.ndarray:
    """float64[U, X]: the outcome itself in the days before, the others then, features; the first MOST_COVARIATES of them."""
    before = dict(week.before)
    if name == OBJECTIVE:
        before = {OBJECTIVE: sum(weight * before[outcome] for outcome, weight in plain.items()), **before}
    own = [before[name], *(values_U for other, values_U in before.items() if other != name)]
    return np.column_stack([*own, week.covariate_UX])[:, :MOST_COVARIATES]


@dataclass(frozen=True)
class _OutcomeOfWeek:
    """One outcome of all users that were read, and what may adjust it."""

    name: str
    outcome_U: np.ndarray
    covariate_UX: np.ndarray
    given: GivenInWeek

    def lift(self, who_U: np.ndarray, against: str = HELD) -> Lift | None:
        """Of the chosen among some users, against those of another group among them."""
        rows = np.flatnonzero(who_U & np.isin(self.given.group_U, (against, CHOSEN)))
        return lift(self.outcome_U[rows], self.given.group_U[rows] == CHOSEN, self.covariate_UX[rows])

    def promised(self, who_U: np.ndarray) -> float:
        """What was promised per chosen user among some users."""
        rows = who_U & (self.given.group_U == CHOSEN)
        return float(self.given.promised[self.name][rows].mean()) if rows.any() else 0.0


def _outcome(
    name: str,
    metrics: Sequence[JudgedMetric],
    readings: Mapping[str, _OutcomeOfWeek],
    lifts: Mapping[str, Lift | None],
    options: ReadoutOptions,
) -> OutcomeReading:
    found, everybody = lifts[name], np.ones(len(readings[name].outcome_U), bool)
    metric = next((each for each in metrics if each.name == name), JudgedMetric(name))
    tried = max(sum(each.success for each in metrics), 1)
    by_chance = readings[name].lift(everybody, EXPLORING)
    level = options.level / tried if metric.success else options.level
    return OutcomeReading(
        **asdict(metric),
        promised=readings[name].promised(everybody),
        lift=None if found is None else _lift(found),
        detectable=None if found is None else found.detectable(level),
        more_than_exploring=None if by_chance is None else _interval(by_chance.adjusted),
    )


def _lift(found: Lift) -> LiftReading:
    return LiftReading(
        holdout=_interval(found.control),
        chosen=_interval(found.treated),
        plain=_interval(found.plain),
        adjusted=_interval(found.adjusted),
        relative=None if found.relative is None else _interval(found.relative),
        users_holdout=found.users_control,
        users_chosen=found.users_treated,
        covariates=found.covariates,
    )


def _interval(estimate: Estimate) -> Interval:
    return Interval(**estimate.to_json())


def _decision(verdict: ShippingVerdict) -> Decision:
    conditions = tuple(ConditionReading(**asdict(condition)) for condition in verdict.conditions)
    return Decision(ship=verdict.ship, sentence=verdict.sentence, conditions=conditions)


def _by_segment(
    readings: Mapping[str, _OutcomeOfWeek], given: GivenInWeek, wanted: tuple[str, ...] | None, ranked: Sequence[str]
) -> Iterator[SegmentReading]:
    if wanted is not None and (unknown := [name for name in wanted if name not in given.segment]):
        known = ", ".join(given.segment)
        raise InputError(
            [f"readout.segments: the scores have no segment {name}; they have {known}" for name in unknown]
        )
    for name, value_U in given.segment.items():
        values = sorted(set(value_U))
        if name not in wanted if wanted is not None else not 1 < len(values) <= MOST_VALUES:
            continue
        for value in values:
            for reading in _part(readings, value_U == value, ranked):
                yield SegmentReading(segment=name, value=str(value), **reading)


def _by_offer(
    readings: Mapping[str, _OutcomeOfWeek],
    given: GivenInWeek,
    actions: Sequence[Mapping[str, object]],
    ranked: Sequence[str],
) -> Iterator[OfferReading]:
    """Users to whom the prices would give an offer, by each action and by each attribute that actions share."""
    if given.slate_UK is None:
        return
    names = list(dict.fromkeys(name for action in actions for name, text in action.items() if isinstance(text, str)))
    for name in names:
        values = sorted({str(action[name]) for action in actions if name in action})
        if name != "id" and not 1 < len(values) <= MOST_VALUES:
            continue
        for value in values:
            has_A = np.array([str(action.get(name)) == value for action in actions] + [False])
            for reading in _part(readings, has_A[given.slate_UK].any(axis=1), ranked):
                yield OfferReading(attribute=name, value=value, **reading)


def _part(readings: Mapping[str, _OutcomeOfWeek], who_U: np.ndarray, ranked: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The lift among some users, outcome by outcome; nothing where they are too few."""
    for outcome in (name for name in ranked if name in readings):
        found = readings[outcome].lift(who_U)
        if found is not None:
            yield {
                "outcome": outcome,
                "users_holdout": found.users_control,
                "users_chosen": found.users_treated,
                "promised": readings[outcome].promised(who_U),
                "realised": _interval(found.adjusted),
            }


def _agreement(given: GivenInWeek) -> float | None:
    """Share of chosen users whose number of contacts is the one that the prices give: ties are settled by hand."""
    if given.slate_UK is None:
        return None
    chosen_U = given.group_U == CHOSEN
    return float(((given.slate_UK >= 0).sum(axis=1) == given.contacts_U)[chosen_U].mean())
