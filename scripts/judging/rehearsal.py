"""A policy rehearsed on held-out rows: what the allocator would have given them, had the model or a baseline chosen.

The rows are taken as one week's users. Everybody's choice obeys the same rules: what constraints add up is believed by the network for
learners with covariates, and averaged over the rows for those without. Of the policy only the choice is rehearsed: no holdout,
exploration, pinned or fallback contacts, nothing that compares with an earlier week, and of tiers the last one. Bounds that are no
percentages are meant for a week's users and are scaled to the rows.

Axes: R rows, A actions, P planes, B = A + 1 arms, O outcomes.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from allocator.constraints import CompiledConstraint
from allocator.policy.grammar import Experiment, Policy
from allocator.policy.reader import read_policy
from allocator.policy.words import Term
from allocator.problem import Problem, build_problem
from allocator.solve.settings import SolveSettings
from allocator.users import Data, load_data
from ranker.catalogue import Catalogue
from ranker.evaluate import off_policy
from ranker.evaluate.held_out import UNKNOWN, AllocatedPolicy, HeldOut
from ranker.evaluate.learners import AVERAGE, FIXED, RANDOM, VALUENET, WITHOUT_COVARIATES, Predictions
from ranker.evaluate.objective import OBJECTIVE, Objective
from ranker.model.ensemble import ValueModel
from ranker.scores import ScoresWriter, open_scores
from scripts.cli.entry import Advance
from scripts.judging import reference_policies
from scripts.judging.reference_policies import ReferencePolicy

LOGGED_AVERAGE = "average effect in the logs"
NOBODY = (np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True)
class RehearsedWeek:
    """For whom the policy is meant: how many users, on which day, and the values that their segments have."""

    users: float
    as_of: date
    segments: Mapping[str, frozenset[str]]


def catalogue_of(model: ValueModel, segments: Sequence[str], week: RehearsedWeek) -> Catalogue:
    """The head of the scores that the model would write for such a week."""
    return Catalogue(tuple(model.actions)).with_scores(
        model.metrics, segments, "held out", week.as_of, model.interference, (), model.error_groups
    )


def policy_of(
    file: Path, overrides: Mapping[str, object], catalogue: Catalogue, week: RehearsedWeek
) -> tuple[Policy, list[str]]:
    """The part of the policy that can be rehearsed, and what was left out of it."""
    whole = read_policy(file, overrides, catalogue, week.segments, previous=True).active(week.as_of)
    left_out = [name for name in ("holdout", "exploration", "fallback") if getattr(whole, name) is not None]
    left_out += [f"pinned contacts ({rule.id})" for rule in whole.pinned]
    left_out += [
        f"{rule.id} (compares with an earlier week)" for rule in whole.constraints if rule.compares is not None
    ]
    looks_back = [rule for rule in whole.contact if rule.days is not None]
    left_out += [f"the earlier days of {rule.id}" for rule in looks_back]
    left_out += [f"what contacts cost themselves ({term.times})" for term in whole.objective if term.metric is None]
    left_out += ["all tiers but the last"] if whole.tiers else []
    changes = {
        "experiment": Experiment(),
        "fallback": None,
        "pinned": (),
        "tiers": (),
        "constraints": whole.without_comparisons().constraints,
        "contact": tuple(
            rule.model_copy(update={"days": None}) if rule in looks_back else rule for rule in whole.contact
        ),
    }
    return whole.model_copy(update=changes), left_out


def objective_of(terms: Sequence[Term], catalogue: Catalogue, names: Sequence[str]) -> Objective:
    """What the policy maximises, as weights of outcomes."""
    weight_OA, plain_O = np.zeros((len(names), len(catalogue.actions))), np.zeros(len(names))
    for term in terms:
        if term.metric is None:  # logs have no outcome of that name
            continue
        o = names.index(term.metric)
        weight_OA[o] += term.weight * (1.0 if term.times is None else catalogue.numbers(term.times))
        plain_O[o] += term.weight if term.times is None else 0.0
    return Objective(OBJECTIVE, weight_OA, plain_O)


def rehearse(
    policy: Policy,
    catalogue: Catalogue,
    held: HeldOut,
    opinions: Predictions,
    objective: Objective,
    week: RehearsedWeek,
    solve: SolveSettings,
    seed: int,
    folder: Path,
    advance: Advance,
) -> tuple[tuple[AllocatedPolicy, ...], tuple[str, ...]]:
    """Allocations by learner, and who found none. folder: an empty one, for the rows' scores. advance: told of each learner."""
    problem, data = prepared(policy, catalogue, held, opinions, week, folder)
    rows, actions = held.test.eligible_RA.shape
    allocated, unsolved = [], []
    for reference in contenders(problem, data, opinions, objective, seed):
        chosen = reference_policies.choose(reference, NOBODY, solve)
        advance(note=reference.name)
        if chosen is None:
            unsolved.append(reference.name)
            continue
        policy_RB = off_policy.of_slates(chosen.user_N, chosen.action_N, rows, actions)
        own = objective.effect(opinions.effect[reference.name]) if reference.name in opinions.effect else None
        believed = None if own is None else float((policy_RB[:, :-1] * own).sum(dtype=np.float64) / rows)
        allocated.append(AllocatedPolicy(reference.name, policy_RB, believed))
    return tuple(allocated), tuple(unsolved)


def prepared(
    policy: Policy, catalogue: Catalogue, held: HeldOut, opinions: Predictions, week: RehearsedWeek, folder: Path
) -> tuple[Problem, Data]:
    """The policy over the held-out rows by the network's scores, its bounds scaled to the rows."""
    write_scores(folder, catalogue, held, opinions)
    scores = open_scores(folder)
    problem = build_problem(scores, policy)
    problem = problem.with_measured([_scaled(each, len(held.test) / week.users) for each in problem.measured])
    return problem, load_data(problem, scores)


def write_scores(folder: Path, catalogue: Catalogue, held: HeldOut, opinions: Predictions) -> None:
    """The network's scores of the held-out rows, a row being a user."""
    names = [metric.name for metric in catalogue.metrics]
    effect = dict(zip(names, opinions.effect[VALUENET], strict=True))
    stderr = dict(zip(names, opinions.stderr, strict=True))
    with ScoresWriter(folder, catalogue) as writer:
        writer.write(
            user_id=pa.array(np.arange(len(held.test)), pa.int64()),
            segments={name: pa.array(_text(held.frame[name])) for name in catalogue.segments},
            mean={name: effect_RA.astype(np.float32) for name, effect_RA in effect.items()},
            stderr={name: stderr_RA.astype(np.float32) for name, stderr_RA in stderr.items()},
            eligible_UA=held.test.eligible_RA,
        )


def values_of(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, frozenset[str]]:
    """Every value of some text columns."""
    return {name: frozenset(_text(frame[name])) for name in names}


def _text(column: pd.Series) -> np.ndarray:
    return column.astype(object).where(column.notna(), UNKNOWN).astype(str).to_numpy()


def _scaled(each: CompiledConstraint, factor: float) -> CompiledConstraint:
    """The constraint for `factor` times as many users. Percentages and ratios already fit."""
    if not each.rule.grows_with_users:
        return each

    def scaled(bound, side: float | None, whole) -> float | None:
        if side is None or bound.percent:
            return side
        return float(whole(side * factor)) if each.whole else side * factor

    low, high = scaled(each.rule.min, each.low, math.ceil), scaled(each.rule.max, each.high, math.floor)
    if low is not None and high is not None and low > high:  # whole numbers left no room between them
        low = high
    return replace(each, low=low, high=high)


def contenders(
    problem: Problem, data: Data, opinions: Predictions, objective: Objective, seed: int
) -> Iterator[ReferencePolicy]:
    """The network and every baseline under the same rules, each with a value of its own."""
    yield ReferencePolicy(VALUENET, "the model's scores", problem, data)
    for name, effect in opinions.effect.items():
        if name != VALUENET:
            value_RA = objective.effect(effect).astype(np.float64)
            yield ReferencePolicy(name, "its own value", *reference_policies.valued(problem, data, value_RA))
    named = {
        reference_policies.AVERAGE: WITHOUT_COVARIATES,
        LOGGED_AVERAGE: AVERAGE,
        reference_policies.FIXED: FIXED,
        reference_policies.RANDOM: RANDOM,
    }
    averages = {LOGGED_AVERAGE: objective.effect(opinions.average_OA)}
    for reference in reference_policies.uninformed(problem, data, seed, averages):
        yield replace(reference, name=named[reference.name])
