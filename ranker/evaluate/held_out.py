"""The whole evaluation of a model on held-out users, as one record: everything that `scripts.evaluate` shows.

A user is held out who did not train the model: the test share of the training logs, and any user whom those logs do not
hold.

Axes: R rows of held-out logs, A actions, B = A + 1 arms, the last one `none`, O outcomes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ranker.evaluate import aipw, budget_curves, off_policy, report
from ranker.evaluate.learners import AVERAGE, FIXED, RANDOM, VALUENET, WITHOUT_COVARIATES, Predictions, decisions_of
from ranker.evaluate.objective import Objective
from ranker.evaluate.off_policy import Estimate
from ranker.files import InputError
from ranker.logs import Logs
from ranker.model.beside import alone, slates_in
from ranker.model.ensemble import ValueModel
from ranker.model.examples import Examples, examples_of
from ranker.model.splits import split_users

MOST_VALUES = 20  # of a categorical feature that is shown as a segment
UNKNOWN = "unknown"


@dataclass(frozen=True)
class TrainingLogs:
    """What the model was trained on: the logs, and how their users were split."""

    logs: Logs
    folds: int
    test_share: float
    seed: int


@dataclass(frozen=True)
class HeldOut:
    """learn: the rows that the model was trained on. test: the rows to judge by, `frame` being the same rows as logged.

    held_out: complete rows of users who did not train, of which `test` may be a sample. week_users: users per day of decisions in the logs,
    for whom bounds of a policy are meant that are no percentages.
    """

    learn: Examples
    test: Examples
    frame: pd.DataFrame
    logged: int
    held_out: int
    week_users: float


@dataclass(frozen=True)
class EvaluationRules:
    """How much is worked out. most_rows: of the test. cost_A: of a contact, for the budgets. segments: by which results are split;
    None: categorical features with few values."""

    most_rows: int
    points: int
    groups: int
    cost_A: np.ndarray
    segments: tuple[str, ...] | None


@dataclass(frozen=True)
class AllocatedPolicy:
    """One learner's allocation of the held-out rows under a policy. policy_RB: its slates. believed: the gain per row it promised
    itself, None where it promises nothing."""

    name: str
    policy_RB: np.ndarray
    believed: float | None


def hold_out(model: ValueModel, training: TrainingLogs, logs: Logs, most_rows: int, seed: int) -> HeldOut:
    """The rows of users who did not train the model and of which every outcome is known; whole users, at most `most_rows` rows.
    InputError where there are none, or where the logs are about other actions, features or outcomes."""
    problems = list(_mismatches(model, logs))
    if problems:
        raise InputError(problems)
    trained = training.logs.frame["user_id"]
    splits = split_users(trained, training.folds, training.test_share, training.seed)
    learners = pd.Index(trained[splits.learn_R].unique())
    held_R = ~logs.frame["user_id"].isin(learners).to_numpy()
    if not held_R.any():
        raise InputError(
            [
                f"logs: all {len(logs):,} rows are of users who trained the model; train with fit.test_share > 0, or give others"
            ]
        )
    examples = alone(model, examples_of(logs, model.encoder))
    frame = logs.frame if examples.row_R is None else logs.frame.iloc[examples.row_R]
    held_R = held_R if examples.row_R is None else held_R[examples.row_R]
    held_R &= examples.complete_R
    if not held_R.any():
        raise InputError(["logs: no row of users who did not train the model knows every outcome"])
    chosen_R = held_R & _sampled(frame["user_id"], held_R, most_rows, seed)
    same = logs is training.logs
    trained_on = examples if same else alone(model, examples_of(training.logs, model.encoder))
    learn = trained_on.take(splits.of(trained_on.row_R).learn_R)
    days = logs.frame["as_of"].nunique()
    return HeldOut(
        learn=learn,
        test=examples.take(chosen_R),
        frame=frame[chosen_R].reset_index(drop=True),
        logged=len(frame),
        held_out=int(held_R.sum()),
        week_users=len(frame) / max(days, 1),
    )


def _mismatches(model: ValueModel, logs: Logs) -> Iterator[str]:
    known, given = ({str(action["id"]) for action in actions} for actions in (model.actions, logs.actions))
    if odd := sorted(given - known):
        yield f"logs: the model does not know {len(odd)} of their {len(given)} actions: {', '.join(odd[:3])}"
    if odd := sorted(known - given):
        yield f"logs: lack {len(odd)} of the model's {len(known)} actions: {', '.join(odd[:3])}"
    if known == given and [a["id"] for a in model.actions] != [a["id"] for a in logs.actions]:
        yield "logs: their catalogue has the model's actions in another order"
    for what, mine, theirs in (
        ("feature", set(model.schema.features), set(logs.schema.features)),
        ("outcome", {o.name for o in model.schema.outcomes}, {o.name for o in logs.schema.outcomes}),
    ):
        if lacking := sorted(mine - theirs):
            yield f"logs: lack the {what} {', '.join(lacking)} of the model"
    if [o.name for o in model.schema.outcomes] != [o.name for o in logs.schema.outcomes]:
        yield "logs: their outcomes are not the model's, or in another order"


def _sampled(user_id: pd.Series, held_R: np.ndarray, most_rows: int, seed: int) -> np.ndarray:
    """bool[R]: whole users, drawn by a hash, so that about most_rows of the held-out rows stay."""
    if int(held_R.sum()) <= most_rows:
        return np.ones(len(held_R), bool)
    return split_users(user_id, 1, most_rows / int(held_R.sum()), seed + 1).test_R


def judge(
    model: ValueModel,
    held: HeldOut,
    objectives: Sequence[Objective],
    predictions: Predictions,
    allocated: Sequence[AllocatedPolicy] | None,
    rules: EvaluationRules,
) -> dict:
    """The content of evaluation.json. objectives: the first is what the policy maximises, or the first outcome.

    allocated: per learner its allocation of the test rows, the network's first; None without a policy, when segments and optimism are
    those of choosing freely.
    """
    test = held.test
    decisions = decisions_of(test)
    aipw_by_outcome = [
        aipw.effects(decisions, test.outcome_RO[:, o], predictions.expected[o]) for o in range(test.outcome_RO.shape[1])
    ]
    free = off_policy.greedy(objectives[0].effect(predictions.effect[VALUENET]), test.eligible_RA)
    ours_RB = free if allocated is None else allocated[0].policy_RB
    references = {
        each.name: each.policy_RB for each in allocated or () if each.name in (FIXED, WITHOUT_COVARIATES, RANDOM)
    }
    return {
        "rows": {"logged": held.logged, "held_out": held.held_out, "judged": len(test), "trained": len(held.learn)},
        "users": len(np.unique(test.user_R)),
        "slates": slates_in(test),
        "unidentified": [each.to_json() for each in model.unidentified],
        "outcomes": [{"name": target.name, "unit": target.unit, "kind": target.kind} for target in model.targets],
        "policies": report.policies(objectives, predictions, test),
        "allocated": None if allocated is None else _allocated(objectives, allocated, predictions, test),
        "promised": [_promised(each, ours_RB, predictions, aipw_by_outcome, test.user_R) for each in objectives],
        "budgets": [
            record for each in objectives for record in _budgets(each, predictions, aipw_by_outcome, test, rules)
        ],
        "qini": report.qinis(model, test, predictions),
        "calibration": report.calibrations(model, report.judged_outcomes(test, predictions), rules.groups),
        "calibration_pooled": [
            report.pooled_record(
                target.name,
                predictions.effect[VALUENET][o],
                aipw_by_outcome[o],
                test.eligible_RA,
                test.user_R,
                rules.groups,
            )
            for o, target in enumerate(model.targets)
        ],
        "segments": list(
            _segments(objectives, ours_RB, references, predictions, aipw_by_outcome, held, rules.segments)
        ),
    }


def _allocated(
    objectives: Sequence[Objective], allocated: Sequence[AllocatedPolicy], predictions: Predictions, test: Examples
) -> dict:
    chosen = {each.name: each.policy_RB for each in allocated}
    return {
        "policies": [record for each in objectives for record in report.compare(each, chosen, predictions, test)],
        "contacts_per_row": {each.name: float(each.policy_RB[:, :-1].sum(1).mean()) for each in allocated},
        "believed_gain_per_row": {each.name: each.believed for each in allocated},
    }


def _promised(
    each: Objective,
    policy_RB: np.ndarray,
    predictions: Predictions,
    aipw_by_outcome: Sequence[np.ndarray],
    user_R: np.ndarray,
) -> dict:
    """What the chosen contacts were expected to add per row, and what they did: an optimiser picks what is over-estimated."""
    given_RA = policy_RB[:, :-1]
    predicted_R = (given_RA * each.effect(predictions.effect[VALUENET])).sum(1, dtype=np.float64)
    return {
        "outcome": each.name,
        "predicted": float(predicted_R.mean()),
        "realised": report.interval(_mean((given_RA * each.effect(aipw_by_outcome)).sum(1), user_R)),
    }


def _budgets(
    each: Objective,
    predictions: Predictions,
    aipw_by_outcome: Sequence[np.ndarray],
    test: Examples,
    rules: EvaluationRules,
) -> Iterator[dict]:
    """The network first; without covariates by the network's own averages and by those of the logs."""
    eligible_RA = test.eligible_RA
    effects = {name: each.effect(effect) for name, effect in predictions.effect.items()}
    ours_RA = effects[VALUENET]
    averaged_A = (ours_RA * eligible_RA).sum(0, dtype=np.float64) / np.maximum(eligible_RA.sum(0), 1)
    effects |= {
        WITHOUT_COVARIATES: np.broadcast_to(averaged_A, ours_RA.shape),
        AVERAGE: np.broadcast_to(each.effect(predictions.average_OA), ours_RA.shape),
    }
    aipw_RA = each.effect(aipw_by_outcome)
    for curve in budget_curves.curves(effects, RANDOM, aipw_RA, eligible_RA, rules.cost_A, test.user_R, rules.points):
        yield {
            "outcome": each.name,
            "name": curve.name,
            "points": [
                {
                    "budget": point.budget,
                    "spent": point.spent,
                    **report.interval(point.gain),
                    "valuenet_minus_this": report.interval(ours_minus_this),
                }
                for point, ours_minus_this in zip(curve.points, curve.ours_minus_this, strict=True)
            ],
            "mean_over_budgets": report.interval(curve.area),
            "valuenet_minus_this": report.interval(curve.area_ours_minus_this),
        }


def _segments(
    objectives: Sequence[Objective],
    ours_RB: np.ndarray,
    references: Mapping[str, np.ndarray],
    predictions: Predictions,
    aipw_by_outcome: Sequence[np.ndarray],
    held: HeldOut,
    wanted: tuple[str, ...] | None,
) -> Iterator[dict]:
    """Gain over nothing per row, in each value of each segment: promised, realised, and ahead of other policies, paired."""
    names = segment_names(held.frame, wanted)
    given_RA, user_R = ours_RB[:, :-1], held.test.user_R
    contacts_R = given_RA.sum(1)
    for each in objectives:
        aipw_RA = each.effect(aipw_by_outcome)
        gain_R = (given_RA * aipw_RA).sum(1)
        promised_R = (given_RA * each.effect(predictions.effect[VALUENET])).sum(1, dtype=np.float64)
        ours_minus_this = {
            name: gain_R - (policy_RB[:, :-1] * aipw_RA).sum(1) for name, policy_RB in references.items()
        }
        for name in names:
            value_R = held.frame[name].astype(object).where(held.frame[name].notna(), UNKNOWN).astype(str).to_numpy()
            for value in sorted(set(value_R)):
                rows = np.flatnonzero(value_R == value)
                yield {
                    "outcome": each.name,
                    "segment": name,
                    "value": value,
                    "rows": len(rows),
                    "contacts_per_row": float(contacts_R[rows].mean()),
                    "predicted": float(promised_R[rows].mean()),
                    "realised": report.interval(_mean(gain_R[rows], user_R[rows])),
                    "ahead_of": {
                        reference: report.interval(_mean(ahead_R[rows], user_R[rows]))
                        for reference, ahead_R in ours_minus_this.items()
                    },
                }


def segment_names(frame: pd.DataFrame, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """The columns by which results are split; InputError where one is asked for that the logs do not have."""
    texts = [name for name in frame if name not in ("user_id", "action") and pd.api.types.is_string_dtype(frame[name])]
    if wanted is None:
        return tuple(name for name in texts if 1 < frame[name].nunique(dropna=False) <= MOST_VALUES)
    if unknown := [name for name in wanted if name not in texts]:
        raise InputError(
            [
                f"evaluate.segments: the logs have no text column {name}; they have {', '.join(texts)}"
                for name in unknown
            ]
        )
    return wanted


def _mean(worth_R: np.ndarray, user_R: np.ndarray) -> Estimate:
    return off_policy.mean_of(worth_R, user_R).estimate
