"""What selection adds to a promise: the week's policy on users whom the model never saw, promised and as their logs say.

An optimiser picks what is over-estimated, in the objective as in what constraints sum. The allocator gives the held-out rows what the
policy gives the week, by the scores alone. What that adds is then estimated from the logged outcomes of the same rows, doubly robust
(`ranker.evaluate.aipw`), with standard errors over users.

Axes: R rows, A actions, P planes, O outcomes, S user classes.
"""

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from allocator.constraints import CompiledConstraint, LinearForm
from allocator.errors_of_sums import ErrorModel
from allocator.problem import Problem
from allocator.users import Data
from ranker.evaluate import aipw, off_policy
from ranker.evaluate.held_out import HeldOut, hold_out
from ranker.evaluate.learners import VALUENET, Predictions, decisions_of, of_network
from ranker.files import InputError
from ranker.logs import read_logs
from ranker.model.artifact import load_model
from ranker.normal import Z95
from ranker.scores import Scores, open_scores
from scripts.cli.settings import RehearseSettings
from scripts.formats.document import Interval
from scripts.formats.rehearsal import KEPT, Kind, Rehearsal, RehearsedAmount, Verdict
from scripts.judging import reference_policies, rehearsal
from scripts.judging.evaluation import RehearsalPlan, plan_of, training_of
from scripts.judging.reference_policies import Chosen, ReferencePolicy
from scripts.judging.rehearsal import NOBODY

KNOWN = 3.0
"""Standard errors from nothing that an amount must be to be divided by."""
FEWEST = 500
"""Held-out rows below which nothing is told."""
NO_ALLOCATION = "no allocation of the held-out users keeps the rules by the scores"


def rehearse(settings: RehearseSettings) -> Rehearsal:
    """What the policy of the week promises of held-out users, and what came; `unavailable` where that cannot be told."""
    paths = settings.paths
    model, _ = load_model(paths.model)
    logs = read_logs(paths.logs)
    try:
        held = hold_out(model, training_of(settings, logs), logs, settings.evaluate.rows, settings.seed)
    except InputError as error:
        return _untold(0, 0, error.problems[0])
    if paths.scores is not None:
        held = may_get_this_week(held, open_scores(paths.scores))
    users = len(np.unique(held.test.user_R))
    if len(held.test) < FEWEST:
        return _untold(users, len(held.test), f"{len(held.test):,} held-out decisions are too few")
    plan = plan_of(settings, model, logs, held)
    opinions = of_network(model, held.test)
    with tempfile.TemporaryDirectory() as folder:
        problem, data = rehearsal.prepared(plan.policy, plan.catalogue, held, opinions, plan.week, Path(folder))
        solve = settings.solve.model_copy(update={"gap": max(settings.solve.gap, settings.evaluate.gap)})
        chosen = reference_policies.choose(ReferencePolicy(VALUENET, "the scores", problem, data), NOBODY, solve)
        if chosen is None:
            return _untold(users, len(held.test), NO_ALLOCATION)
        amounts = tuple(_Rehearsed(held, plan, problem, data, opinions, chosen).amounts())
    return Rehearsal(
        users=users,
        rows=len(held.test),
        week_users=plan.week.users,
        contacts=len(chosen.user_N),
        left_out=plan.left_out,
        amounts=amounts,
    )


def may_get_this_week(held: HeldOut, scores: Scores) -> HeldOut:
    """With what the users of the scores may get this week, where logs say nothing of it; what a row showed was possible then."""
    if not scores.has_eligible:
        return held
    place_R, eligible_RA = pd.Index(held.frame["user_id"].astype(str)), held.test.eligible_RA.copy()
    for shard in scores.shards(check=False, planes=()):
        ids = pd.Index(shard.user_id.to_numpy(zero_copy_only=False).astype(str))
        at_R = ids.get_indexer(place_R)
        known_R = at_R >= 0
        eligible_RA[known_R] &= shard.eligible_UA[at_R[known_R]]
    shown_R = np.flatnonzero(held.test.action_R < eligible_RA.shape[1])
    eligible_RA[shown_R, held.test.action_R[shown_R]] = True
    return replace(held, test=replace(held.test, eligible_RA=eligible_RA))


def _untold(users: int, rows: int, why: str) -> Rehearsal:
    return Rehearsal(users=users, rows=rows, week_users=0, contacts=0, left_out=(), amounts=(), unavailable=why)


@dataclass(frozen=True)
class _Sum:
    """A weighted sum of outcomes over the rows in scope. const_A: what a contact adds besides."""

    weight_OA: np.ndarray
    const_A: np.ndarray
    inside_R: np.ndarray


@dataclass(frozen=True)
class _Rehearsed:
    """The policy's choice for the held-out rows."""

    held: HeldOut
    plan: RehearsalPlan
    problem: Problem
    data: Data
    opinions: Predictions
    chosen: Chosen

    def amounts(self) -> Iterator[RehearsedAmount]:
        """The value, every metric, and every constraint that sums metrics."""
        weight_OA = self.plan.objective.weight_OA
        yield self._told("value", "value", "", self._everywhere(weight_OA))
        for o, metric in enumerate(self.problem.catalogue.metrics):
            alone_OA = np.zeros_like(weight_OA)
            alone_OA[o] = 1.0
            yield self._told(metric.name, "metric", metric.unit, self._everywhere(alone_OA))
        for measured in self.problem.measured:
            if not measured.rule.metrics:
                continue
            if measured.denominator is None:
                yield self._told(measured.rule.id, "constraint", "", self._of(measured.numerator))
            else:
                yield from self._rate(measured, measured.denominator)

    def _everywhere(self, weight_OA: np.ndarray) -> _Sum:
        return _Sum(weight_OA, np.zeros(weight_OA.shape[1]), np.ones(len(self.held.test), bool))

    def _of(self, form: LinearForm) -> _Sum:
        names = [metric.name for metric in self.problem.catalogue.metrics]
        weight_OA = np.zeros((len(names), form.plane_PA.shape[1]))
        for plane, (kind, metric) in enumerate(self.problem.planes):
            if kind == "mean":
                weight_OA[names.index(metric)] += form.plane_PA[plane]
        return _Sum(weight_OA, form.const_A, form.member_S[self.data.class_U])

    def _told(self, name: str, kind: Kind, unit: str, summed: _Sum) -> RehearsedAmount:
        """Scaled to the users of the week."""
        users, rows = self.plan.week.users, len(self.held.test)
        promised, came_R = users * float(self._by_row(summed, self._promised).mean()), self._by_row(summed, self._came)
        found, error = users * float(came_R.mean()), users * self._stderr(came_R)
        return _amount(name, kind, unit, promised, users / rows * self._model_error(summed), found, error)

    def _rate(self, measured: CompiledConstraint, denominator: LinearForm) -> Iterator[RehearsedAmount]:
        """A rate is told where what it divides by is known: with an amount that may be nothing, a quotient has no interval."""
        above, below = self._of(measured.numerator), self._of(denominator)
        came_R, over_R = self._by_row(above, self._came), self._by_row(below, self._came)
        believed = float(self._by_row(below, self._promised).sum())
        if believed == 0 or not abs(over_R.mean()) > KNOWN * self._stderr(over_R):
            return
        promised, rate = float(self._by_row(above, self._promised).sum()) / believed, came_R.sum() / over_R.sum()
        error = self._stderr((came_R - rate * over_R) / over_R.mean())
        linear = replace(above, weight_OA=above.weight_OA - promised * below.weight_OA)
        own = self._model_error(linear) / abs(believed)
        yield _amount(measured.rule.id, "constraint", "", promised, own, float(rate), error)

    @cached_property
    def _promised(self) -> Sequence[np.ndarray]:
        return [each.astype(np.float64) for each in self.opinions.effect[VALUENET]]

    @cached_property
    def _came(self) -> Sequence[np.ndarray]:
        """Per outcome the AIPW effect of every contact, float64[R, A]."""
        decisions, outcome_RO = decisions_of(self.held.test), self.held.test.outcome_RO
        return [aipw.effects(decisions, outcome_RO[:, o], each) for o, each in enumerate(self.opinions.expected)]

    def _by_row(self, summed: _Sum, effects: Sequence[np.ndarray]) -> np.ndarray:
        """float64[R]: what the chosen contacts of each row add."""
        user_N, action_N = self.chosen.user_N, self.chosen.action_N
        worth_N = summed.const_A[action_N].astype(np.float64)
        for o in np.flatnonzero(summed.weight_OA.any(axis=1)).tolist():
            worth_N += summed.weight_OA[o, action_N] * effects[o][user_N, action_N]
        return np.bincount(user_N, worth_N, len(self.held.test)) * summed.inside_R

    def _model_error(self, summed: _Sum) -> float:
        """The standard error of what is promised over all rows, by the scores' own standard errors."""
        inside_N = summed.inside_R[self.chosen.user_N]
        user_N, action_N = self.chosen.user_N[inside_N], self.chosen.action_N[inside_N]
        actions, loads = summed.weight_OA.shape[1], {}
        for o, metric in enumerate(self.problem.catalogue.metrics):
            stderr_N = self.opinions.stderr[o][user_N, action_N].astype(np.float64)
            loads[metric.name] = summed.weight_OA[o] * np.bincount(action_N, stderr_N, actions)
        catalogue = self.problem.catalogue
        return ErrorModel(catalogue.error_correlation, catalogue.error_group_A).stderr_of(loads)

    def _stderr(self, worth_R: np.ndarray) -> float:
        """Of the mean over rows, which go together by user."""
        return off_policy.mean_of(worth_R, self.held.test.user_R).estimate.stderr


def _amount(
    name: str, kind: Kind, unit: str, promised: float, promised_stderr: float, realised: float, stderr: float
) -> RehearsedAmount:
    interval = Interval(value=realised, stderr=stderr, low=realised - Z95 * stderr, high=realised + Z95 * stderr)
    return RehearsedAmount(
        name=name,
        kind=kind,
        unit=unit,
        promised=promised,
        promised_stderr=promised_stderr,
        realised=interval,
        added=realised - promised,
        verdict=_verdict(realised - promised, math.hypot(promised_stderr, stderr)),
    )


def _verdict(added: float, stderr: float) -> Verdict:
    if abs(added) <= Z95 * stderr:
        return KEPT
    return "less came" if added < 0 else "more came"
