"""The evaluation of a model on test users, as the records of evaluation.json and as a table for the terminal.

Axes: R test rows, A actions, B = A + 1 arms, the last one `none`, O outcomes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from ranker.evaluate import off_policy
from ranker.evaluate.baselines import average_effects, best_fixed, design, fit_arms
from ranker.evaluate.off_policy import Decisions
from ranker.evaluate.qini import qini
from ranker.model.calibrate import arm_weights
from ranker.model.calibration import OutcomeCalibration
from ranker.model.ensemble import USERS_AT_ONCE, ValueModel
from ranker.model.examples import Examples
from ranker.model.settings import EvaluateSettings
from ranker.model.splits import Splits
from ranker.scores import InputError

NETWORK, RIDGE, RESPONSE = "valuenet", "ridge T-learner", "response model"
FIXED, AVERAGE, LOGGING, RANDOM = "best fixed action", "average effect", "logging policy", "random"
OBJECTIVE = "objective"
ROWS_PER_DECILE = 50


@dataclass(frozen=True)
class Scored:
    """What a model says about the test rows, per outcome. effect_RA: of a contact. expected_RB: of the outcome itself."""

    effect_RA: np.ndarray
    expected_RB: np.ndarray


def evaluate(model: ValueModel, examples: Examples, splits: Splits, settings: EvaluateSettings) -> dict:
    """The content of evaluation.json apart from the training curve. What is fixed is chosen on training rows alone."""
    weights = objective_weights(model, settings)
    learn, test = examples.take(splits.learn_R), examples.take(splits.test_R)
    if not len(test) or not len(learn):
        raise InputError(["logs: too few users to keep some for the evaluation; give more logs or fit.test_share"])
    names = [target.name for target in model.targets]
    network = _network(model, test)
    ridge, response = _ridge(model, learn, test)
    averages = {name: average_effects(decisions_of(learn), learn.outcome_RO[:, o]) for o, name in enumerate(names)}
    ranked = {NETWORK: network, RIDGE: ridge, RESPONSE: response}
    return {
        "rows": _rows(splits),
        "outcomes": names,
        "objective": weights,
        "policies": _policies(names, weights, learn, test, ranked, averages),
        "qini": _qinis(model, test, ranked),
        "calibration": _calibration(model, test, network, settings.deciles),
    }


def objective_weights(model: ValueModel, settings: EvaluateSettings) -> dict[str, float]:
    """Weight per outcome of the objective, empty if none is set; InputError where an outcome is not in the logs."""
    names = [target.name for target in model.targets]
    unknown = [name for name in settings.objective if name not in names]
    if unknown:
        known = ", ".join(names)
        raise InputError(
            [f"fit.evaluate.objective.{name}: the logs have no such outcome; they have {known}" for name in unknown]
        )
    return dict(settings.objective)


def decisions_of(examples: Examples) -> Decisions:
    none_R1 = np.ones((len(examples), 1), bool)
    eligible_RB = np.hstack([examples.eligible_RA, none_R1])
    return Decisions(examples.action_R, examples.propensity_R, examples.user_R, eligible_RB)


def _rows(splits: Splits) -> dict[str, int]:
    """A member trains on all folds but one; that one is its validation."""
    learn = int(splits.learn_R.sum())
    validation = learn // splits.folds
    return {"train": learn - validation, "validation": validation, "test": int(splits.test_R.sum())}


def _network(model: ValueModel, test: Examples) -> dict[str, Scored]:
    parts = [
        model.effects(test.features.take(slice(start, start + USERS_AT_ONCE)))
        for start in range(0, len(test), USERS_AT_ONCE)
    ]
    return {target.name: _scored(np.concatenate([part[target.name].none_U for part in parts]),
                                 np.concatenate([part[target.name].mean_UA for part in parts]))
            for target in model.targets}  # fmt: skip


def _scored(none_R: np.ndarray, effect_RA: np.ndarray) -> Scored:
    return Scored(effect_RA, np.column_stack([none_R[:, None] + effect_RA, none_R]))


def _ridge(model: ValueModel, learn: Examples, test: Examples) -> tuple[dict[str, Scored], dict[str, Scored]]:
    """The T-learner (arm minus none) and the response model (the outcome under the action, whatever none gives)."""
    learn_RD, test_RD = design(model.encoder, learn.features), design(model.encoder, test.features)
    decisions = decisions_of(learn)
    learner, response = {}, {}
    for o, target in enumerate(model.targets):
        arms = fit_arms(target.kind, learn_RD, decisions, learn.outcome_RO[:, o])
        expected_RB = arms.expected(test_RD)
        learner[target.name] = Scored(expected_RB[:, :-1] - expected_RB[:, -1:], expected_RB)
        response[target.name] = Scored(expected_RB[:, :-1], expected_RB)
    return learner, response


def _policies(
    names: list[str],
    weights: Mapping[str, float],
    learn: Examples,
    test: Examples,
    ranked: Mapping[str, Mapping[str, Scored]],
    averages: Mapping[str, np.ndarray],
) -> list[dict]:
    """Every policy's value per outcome, each policy choosing for that outcome, and for the objective if there is one."""
    targets = {name: {name: 1.0} for name in names}
    if weights:
        targets[OBJECTIVE] = dict(weights)
    records = []
    for name, mix in targets.items():
        outcome = [names.index(part) for part in mix]
        weight = np.array(list(mix.values()))
        learn_y, test_y = learn.outcome_RO[:, outcome] @ weight, test.outcome_RO[:, outcome] @ weight
        scores = {model: sum(w * by[part].effect_RA for part, w in mix.items()) for model, by in ranked.items()}
        expected_RB = sum(w * ranked[NETWORK][part].expected_RB for part, w in mix.items())
        average_A = sum(w * np.where(np.isfinite(averages[part]), averages[part], 0.0) for part, w in mix.items())
        records += _compare(name, learn, test, learn_y, test_y, scores, expected_RB, average_A)
    return records


def _compare(
    outcome: str,
    learn: Examples,
    test: Examples,
    learn_y: np.ndarray,
    test_y: np.ndarray,
    scores: Mapping[str, np.ndarray],
    expected_RB: np.ndarray,
    average_A: np.ndarray,
) -> list[dict]:
    decisions, eligible_RA = decisions_of(test), test.eligible_RA
    fixed = best_fixed(decisions_of(learn), learn_y)
    policies = {model: off_policy.greedy(score_RA, eligible_RA) for model, score_RA in scores.items()}
    policies[FIXED] = off_policy.always(fixed, eligible_RA)
    policies[AVERAGE] = off_policy.greedy(np.broadcast_to(average_A, eligible_RA.shape), eligible_RA)
    policies[RANDOM] = off_policy.uniform(eligible_RA)
    judged = {name: off_policy.judge(decisions, policy, test_y, expected_RB) for name, policy in policies.items()}
    logged = off_policy.as_logged(decisions, test_y)
    judged[LOGGING] = dict.fromkeys(off_policy.ESTIMATORS, logged)
    return [
        _policy_record(name, outcome, estimator, judged[name][estimator], judged[FIXED][estimator], test.user_R)
        for name in (NETWORK, FIXED, AVERAGE, RESPONSE, RIDGE, LOGGING, RANDOM)
        for estimator in off_policy.ESTIMATORS
    ]


def _policy_record(name: str, outcome: str, estimator: str, one, fixed, user_R: np.ndarray) -> dict:
    return {
        "name": name,
        "outcome": outcome,
        "estimator": estimator,
        **_finite(one.estimate.to_json()),
        "effective_sample_size": one.effective_sample_size,
        "difference_to_best_fixed": _finite(off_policy.difference(one, fixed, user_R).to_json()),
    }


def _finite(record: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no infinity: null where nothing is known."""
    return {name: value if np.isfinite(value) else None for name, value in record.items()}


def _qinis(model: ValueModel, test: Examples, ranked: Mapping[str, Mapping[str, Scored]]) -> list[dict]:
    records = []
    for a, action in enumerate(model.actions):
        rows = np.flatnonzero(((test.action_R == a) | (test.action_R == test.actions)) & test.eligible_RA[:, a])
        contacted = test.action_R[rows] == a
        for o, target in enumerate(model.targets):
            for name, by in ranked.items():
                found = qini(
                    by[target.name].effect_RA[rows, a],
                    contacted,
                    test.outcome_RO[rows, o],
                    test.propensity_R[rows],
                    test.user_R[rows],
                )
                if found is not None:
                    records.append({"model": name, "outcome": target.name, "action": str(action["id"]), **_qini(found)})
    return records


def _qini(found) -> dict:
    return {"qini": found.value, "stderr": found.stderr, "rows": found.rows}


def _calibration(model: ValueModel, test: Examples, network: Mapping[str, Scored], deciles: int) -> list[dict]:
    weight_R = arm_weights(test.action_R, test.propensity_R, test.actions)
    records = []
    for o, target in enumerate(model.targets):
        fitted = model.calibration.of(target.name)
        residual_R = weight_R * (test.outcome_RO[:, o] - _logged(network[target.name].expected_RB, test.action_R))
        for a, action in enumerate(model.actions):
            records.append(
                {
                    "outcome": target.name,
                    "action": str(action["id"]),
                    **_fitted(fitted, a),
                    "deciles": _deciles(network[target.name].effect_RA[:, a], residual_R, test, a, deciles),
                }
            )
    return records


def _logged(expected_RB: np.ndarray, action_R: np.ndarray) -> np.ndarray:
    return expected_RB[np.arange(len(action_R)), action_R]


def _fitted(fitted: OutcomeCalibration, a: int) -> dict[str, float]:
    return {
        "slope": float(fitted.slope_A[a]),
        "stderr": float(fitted.slope_stderr_A[a]),
        "average_effect": float(fitted.average_A[a]),
        "average_effect_stderr": float(fitted.average_stderr_A[a]),
    }


def _deciles(effect_R: np.ndarray, residual_R: np.ndarray, test: Examples, a: int, count: int) -> list[dict]:
    """Predicted against doubly robust realised effect in groups of equal size by prediction; fewer groups where rows are few."""
    rows = np.flatnonzero(test.eligible_RA[:, a])
    here = int((test.action_R == a).sum())
    count = min(count, here // ROWS_PER_DECILE)
    if count < 1:
        return []
    sign_R = np.where(test.action_R == a, 1.0, np.where(test.action_R == test.actions, -1.0, 0.0))
    pseudo_R = effect_R + sign_R * residual_R
    records = []
    for group in np.array_split(rows[np.argsort(effect_R[rows], kind="stable")], count):
        stderr = off_policy.clustered_stderr(pseudo_R[group], test.user_R[group])
        record = {
            "predicted": float(effect_R[group].mean()),
            "realised": float(pseudo_R[group].mean()),
            "stderr": stderr,
        }
        records.append(record)
    return records


def summary(evaluation: Mapping) -> dict:
    """The figures for model.json: the network's doubly robust value per outcome, and against the best fixed action."""
    return {
        record["outcome"]: {
            "value": record["value"],
            "stderr": record["stderr"],
            "difference_to_best_fixed": record["difference_to_best_fixed"]["value"],
        }
        for record in evaluation["policies"]
        if record["name"] == NETWORK and record["estimator"] == "DR"
    }


def table(evaluation: Mapping, estimator: str = "DR") -> Table:
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
    for record in (r for r in evaluation["policies"] if r["estimator"] == estimator):
        gain = record["difference_to_best_fixed"]
        out.add_row(
            record["outcome"] if record["outcome"] != last else "",
            record["name"],
            _number(record["value"]),
            f"{_number(record['low'])} .. {_number(record['high'])}",
            f"{_number(gain['value'], '+')} ± {_number(gain['stderr'])}",
        )
        last = record["outcome"]
    return out


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.5g}"
