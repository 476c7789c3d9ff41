"""The evaluation of a model on test users: the records of evaluation.json, and a table for the terminal.

Axes: R rows (of the test), A actions, B = A + 1 arms, the last one `none`, O outcomes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from rich.table import Table

from ranker.evaluate import aipw, calibration, objective, off_policy
from ranker.evaluate.learners import (
    AVERAGE,
    FIXED,
    LOGGING,
    RANDOM,
    RIDGE,
    SINGLE,
    VALUENET,
    Predictions,
    decisions_of,
    predictions_of,
)
from ranker.evaluate.objective import OBJECTIVE, Objective
from ranker.evaluate.off_policy import Decisions, Estimate, Judged
from ranker.evaluate.qini import Qini, qini
from ranker.evaluate.records import ModelEvaluation
from ranker.files import InputError
from ranker.model.beside import slates_in
from ranker.model.calibration import OutcomeCalibration
from ranker.model.ensemble import ValueModel
from ranker.model.examples import Examples, of_some_users
from ranker.model.settings import JudgingSettings
from ranker.model.splits import Splits


def evaluate(model: ValueModel, examples: Examples, splits: Splits, settings: JudgingSettings) -> dict:
    """The content of evaluation.json apart from the training curve. What is fixed is chosen on training rows alone; every outcome is
    judged on the test rows that know it. Of many rows those of some users judge, and teach the baselines."""
    weights = objective_weights(model, settings)
    learn, test = (
        examples.take(of_some_users(examples.user_R, np.flatnonzero(here_R), most))
        for here_R, most in ((splits.learn_R, settings.baseline_rows), (splits.test_R, settings.rows))
    )
    if not len(test) or not len(learn):
        raise InputError(["logs: too few users to keep some for the evaluation; give more logs or fit.test_share"])
    names = [target.name for target in model.targets]
    objectives = list(objective.single(names, test.actions))
    if weights:
        objectives.append(objective.weighted(OBJECTIVE, weights, names, test.actions))
    predictions = predictions_of(model, learn, test, objectives, single=False)
    judged = judged_outcomes(test, predictions)
    return {
        "rows": _rows(splits),
        "sample": {"judged": len(test), "baselines": len(learn)},
        "slates": slates_in(test),
        "unidentified": [each.to_json() for each in model.unidentified],
        "outcomes": names,
        "objective": weights,
        "policies": policies(objectives, predictions, test),
        "qini": qinis(model, test, predictions),
        "calibration": calibrations(model, judged, settings.deciles),
        "calibration_pooled": list(_pooled(model, judged, settings.deciles)),
    }


def objective_weights(model: ValueModel, settings: JudgingSettings) -> dict[str, float]:
    """Weight per outcome of the objective, empty if none is set; InputError where an outcome is not in the logs."""
    names = [target.name for target in model.targets]
    unknown = [name for name in settings.objective if name not in names]
    if unknown:
        known = ", ".join(names)
        raise InputError(
            [f"fit.evaluate.objective.{name}: the logs have no such outcome; they have {known}" for name in unknown]
        )
    return dict(settings.objective)


def _rows(splits: Splits) -> dict[str, int]:
    """A member trains on all folds but one; that one is its validation."""
    learn = int(splits.learn_R.sum())
    validation = learn // splits.folds
    return {"train": learn - validation, "validation": validation, "test": int(splits.test_R.sum())}


def policies(objectives: Sequence[Objective], predictions: Predictions, test: Examples) -> list[dict]:
    """Every learner's value where it chooses freely, for each objective apart: for each row its best action, or none."""
    records = []
    for each in objectives:
        chosen = {
            name: off_policy.greedy(each.effect(effect), test.eligible_RA)
            for name, effect in predictions.choosers.items()
        }
        chosen[FIXED] = off_policy.always(predictions.fixed[each.name], test.eligible_RA)
        average_RA = np.broadcast_to(each.effect(predictions.average_OA), test.eligible_RA.shape)
        chosen[AVERAGE] = off_policy.greedy(average_RA, test.eligible_RA)
        chosen[RANDOM] = off_policy.uniform(test.eligible_RA)
        records += compare(each, chosen, predictions, test)
    return records


def compare(each: Objective, chosen: Mapping[str, np.ndarray], predictions: Predictions, test: Examples) -> list[dict]:
    """The records of policies [R, B] by name, of the logging policy, and of their differences to the best fixed action and to the
    network's, by the rows that know what the objective adds up."""
    rows = np.flatnonzero(np.isfinite(test.outcome_RO[:, list(each.used)]).all(1))
    if not len(rows):
        raise InputError([f"logs: no row of the users kept for the evaluation knows all that {each.name} adds up"])
    if len(rows) < len(test):
        test = test.take(rows)
        chosen = {name: policy_RB[rows] for name, policy_RB in chosen.items()}
    expected = [
        expected_RB[rows] if len(rows) < len(expected_RB) else expected_RB for expected_RB in predictions.expected
    ]
    decisions = decisions_of(test)
    judged = {
        name: objective.judge(each, decisions, policy_RB, test.outcome_RO, expected)
        for name, policy_RB in chosen.items()
    }
    logged = objective.as_logged(each, decisions, test.logged_RO, expected)
    judged[LOGGING] = dict.fromkeys(off_policy.ESTIMATORS, logged)
    ranked = [name for name in (VALUENET, FIXED, AVERAGE, RIDGE, SINGLE, LOGGING) if name in judged]
    return [
        _policy_record(name, each.name, estimator, judged, test.user_R)
        for name in [*ranked, *(name for name in judged if name not in ranked)]
        for estimator in off_policy.ESTIMATORS
    ]


def _policy_record(
    name: str, outcome: str, estimator: str, judged: Mapping[str, Mapping[str, Judged]], user_R: np.ndarray
) -> dict:
    one = judged[name][estimator]

    def against(other: str) -> dict | None:
        return None if other not in judged else interval(off_policy.difference(one, judged[other][estimator], user_R))

    return {
        "name": name,
        "outcome": outcome,
        "estimator": estimator,
        **interval(one.estimate),
        "effective_sample_size": one.effective_sample_size,
        "difference_to_best_fixed": against(FIXED),
        "difference_to_valuenet": against(VALUENET),
    }


def interval(estimate: Estimate) -> dict[str, float | None]:
    """value, stderr, low and high for JSON, which has no infinity: null where nothing is known."""
    return {name: value if np.isfinite(value) else None for name, value in estimate.to_json().items()}


def finite(found: object) -> object:
    """The same for JSON, which has no infinity: null where nothing is known, however deep it stands."""
    if isinstance(found, Mapping):
        return {name: finite(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [finite(value) for value in found]
    return None if isinstance(found, float) and not np.isfinite(found) else found


def qinis(model: ValueModel, test: Examples, predictions: Predictions) -> list[dict]:
    """Qini and AUUC per action, outcome and learner, on the rows of the action and of none."""
    records = []
    for a, action in enumerate(model.actions):
        here_R = ((test.action_R == a) | (test.action_R == test.actions)) & test.eligible_RA[:, a]
        for o, target in enumerate(model.targets):
            rows = np.flatnonzero(here_R & np.isfinite(test.outcome_RO[:, o]))
            contacted = test.action_R[rows] == a
            for name, effect in predictions.effect.items():
                found = qini(
                    effect[o][rows, a],
                    contacted,
                    test.outcome_RO[rows, o],
                    test.propensity_R[rows],
                    test.user_R[rows],
                )
                if found is not None:
                    records.append({"model": name, "outcome": target.name, "action": str(action["id"]), **_qini(found)})
    return records


def _qini(found: Qini) -> dict:
    record = asdict(found)
    return {"qini": record.pop("value"), **record}


@dataclass(frozen=True)
class JudgedOutcome:
    """The rows that know an outcome: their decisions, the network's effects on it and their doubly robust scores."""

    decisions: Decisions
    effect_RA: np.ndarray
    aipw_RA: np.ndarray


def judged_outcomes(test: Examples, predictions: Predictions) -> list[JudgedOutcome]:
    """By outcome."""
    found = []
    for o, effect_RA in enumerate(predictions.effect[VALUENET]):
        known, outcome_R = test.known(o)
        decisions = decisions_of(test).take(known)
        aipw_RA = aipw.effects(decisions, outcome_R, predictions.expected[o][known])
        found.append(JudgedOutcome(decisions, effect_RA[known], aipw_RA))
    return found


def calibrations(model: ValueModel, judged: Sequence[JudgedOutcome], deciles: int) -> list[dict]:
    """Per outcome and action: the slope by which the model was shrunk, the slope that is left on test users, and deciles."""
    records = []
    for target, on in zip(model.targets, judged, strict=True):
        fitted, decisions = model.calibration.of(target.name), on.decisions
        for a, action in enumerate(model.actions):
            rows = np.flatnonzero(decisions.eligible_RB[:, a])
            parts = on.effect_RA[rows, a], on.aipw_RA[rows, a], decisions.user_R[rows]
            here = int((decisions.arm_R == a).sum())
            groups = calibration.groups_of(*parts, min(deciles, here // calibration.ROWS_PER_GROUP))
            records.append(
                {
                    "outcome": target.name,
                    "action": str(action["id"]),
                    **_fitted(fitted, a),
                    "held_out": calibration.slope_of(*parts).to_json(),
                    "deciles": [group.to_json() for group in groups],
                }
            )
    return records


def _pooled(model: ValueModel, judged: Sequence[JudgedOutcome], groups: int) -> Iterator[dict]:
    """Per outcome, by the rows that know it, where they are eligible for something."""
    for target, on in zip(model.targets, judged, strict=True):
        eligible_RA = on.decisions.eligible_RB[:, :-1]
        if eligible_RA.any():
            yield pooled_record(target.name, on.effect_RA, on.aipw_RA, eligible_RA, on.decisions.user_R, groups)


def pooled_record(
    outcome: str,
    predicted_RA: np.ndarray,
    aipw_RA: np.ndarray,
    eligible_RA: np.ndarray,
    user_R: np.ndarray,
    groups: int,
) -> dict:
    """All actions of an outcome together: groups of pairs next to each other by prediction, and the slopes that are left."""
    found = calibration.pooled(predicted_RA, aipw_RA, eligible_RA, user_R, groups)
    return {
        "outcome": outcome,
        "average": found.average.to_json(),
        "users": found.users.to_json(),
        "actions": found.actions.to_json(),
        "deciles": [group.to_json() for group in found.groups],
    }


def _fitted(fitted: OutcomeCalibration, a: int) -> dict[str, float]:
    return {
        "slope": float(fitted.slope_A[a]),
        "stderr": float(fitted.slope_stderr_A[a]),
        "average_effect": float(fitted.average_A[a]),
        "average_effect_stderr": float(fitted.average_stderr_A[a]),
    }


def summary(evaluation: ModelEvaluation) -> dict:
    """The figures for model.json: the network's doubly robust value per outcome, and against the best fixed action."""
    return {
        each.outcome: {
            "value": each.value,
            "stderr": each.stderr,
            "difference_to_best_fixed": each.difference_to_best_fixed.value,
        }
        for each in evaluation.policies
        if each.name == VALUENET and each.estimator == "DR"
    }


def table(evaluation: ModelEvaluation, estimator: str = "DR") -> Table:
    """The policies side by side, by one estimator."""
    out = Table(title=f"Value per decision on test users ({estimator}, 95 % interval)", title_justify="left", box=None)
    for column, justify in (
        ("outcome", "left"),
        ("policy", "left"),
        ("value", "right"),
        ("interval", "right"),
        ("vs best fixed", "right"),
    ):
        out.add_column(column, justify=justify)
    last = None
    for each in (policy for policy in evaluation.policies if policy.estimator == estimator):
        gain = each.difference_to_best_fixed
        out.add_row(
            each.outcome if each.outcome != last else "",
            each.name,
            _number(each.value),
            f"{_number(each.low)} .. {_number(each.high)}",
            f"{_number(gain.value, '+')} ± {_number(gain.stderr)}",
        )
        last = each.outcome
    return out


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.5g}"
