"""The evaluation of a trained model: complete, strict JSON, and the network where it should be."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from ranker.evaluate.baselines import average_effects, best_fixed
from ranker.evaluate.off_policy import Decisions
from ranker.evaluate.records import ModelEvaluation, PolicyFigure
from ranker.evaluate.report import OBJECTIVE, evaluate, table
from ranker.model.settings import JudgingSettings
from ranker.model.splits import Splits
from ranker.scores import InputError

POLICIES = {
    "valuenet", "best fixed action", "average effect", "ridge T-learner", "logging policy", "random",
}  # fmt: skip


@pytest.fixture(scope="module")
def evaluation(trained) -> dict:
    return evaluate(
        trained.model,
        trained.fitted.examples,
        trained.fitted.splits,
        JudgingSettings(objective={"subs": 10.0, "days": 1.0}),
    )


def test_it_is_strict_json_and_complete(evaluation) -> None:
    again = json.loads(json.dumps(evaluation, allow_nan=False))
    assert {record["name"] for record in again["policies"]} == POLICIES
    assert {record["outcome"] for record in again["policies"]} == {"subs", "days", "revenue", OBJECTIVE}
    assert {record["estimator"] for record in again["policies"]} == {"IPS", "SNIPS", "DR", "SWITCH-DR"}
    assert len(again["calibration"]) == 3 * 6
    assert len(again["qini"]) == 3 * 6 * 3
    assert sum(again["rows"].values()) == 24_000 == sum(again["sample"].values())
    policies = tuple(PolicyFigure.model_validate(record) for record in again["policies"])
    assert table(ModelEvaluation.model_construct(policies=policies)).row_count == 4 * 6


def test_the_network_beats_random_and_the_best_fixed_action_where_effects_differ(evaluation) -> None:
    values = {(r["name"], r["outcome"]): r for r in evaluation["policies"] if r["estimator"] == "DR"}
    assert values["valuenet", "subs"]["low"] > values["random", "subs"]["value"]
    gain = values["valuenet", "subs"]["difference_to_best_fixed"]
    assert gain["low"] > 0


def test_the_estimated_value_is_the_true_one(evaluation, trained) -> None:
    test_R = trained.fitted.splits.test_R
    effect_RA, none_R = trained.world.effect["subs"][test_R], trained.world.none["subs"][test_R]
    mean_RA = trained.model.effects(trained.fitted.examples.features.take(test_R))["subs"].mean_UA
    chosen = mean_RA.argmax(1)
    gained = np.where(mean_RA.max(1) > 0, effect_RA[np.arange(len(chosen)), chosen], 0.0)
    truth = float((none_R + gained).mean())
    for record in evaluation["policies"]:
        if record["name"] == "valuenet" and record["outcome"] == "subs":
            assert abs(record["value"] - truth) < 3 * record["stderr"]


def test_every_outcome_is_judged_by_the_rows_that_know_it(trained, evaluation) -> None:
    """As if the other rows were not there for this outcome, and as before for the others."""
    fitted = trained.fitted
    known_R = np.arange(len(fitted.examples)) % 3 > 0
    young_RO = fitted.examples.outcome_RO.copy()
    young_RO[~known_R, 2] = np.nan
    settings = JudgingSettings(objective={"subs": 10.0, "days": 1.0})
    partly = evaluate(trained.model, replace(fitted.examples, outcome_RO=young_RO), fitted.splits, settings)
    splits = Splits(fitted.splits.fold_R[known_R], fitted.splits.folds)
    fewer = evaluate(trained.model, fitted.examples.take(known_R), splits, settings)
    for part in ("policies", "qini", "calibration"):
        for outcome, other in (("revenue", fewer), ("subs", evaluation)):
            mine, theirs = ([r for r in each[part] if r["outcome"] == outcome] for each in (partly, other))
            assert _numbers(mine) == pytest.approx(_numbers(theirs), rel=1e-6, abs=1e-9)
    assert len([r for r in partly["policies"] if r["outcome"] == OBJECTIVE]) == 4 * 6


def _numbers(records: list[dict]) -> list[float]:
    """All numbers, in their order, whatever is nested in what."""
    flat = json.loads(json.dumps(records), object_hook=lambda content: list(content.values()))
    return [each for each in _leaves(flat) if isinstance(each, float)]


def _leaves(content: list) -> Iterator[object]:
    for each in content:
        yield from _leaves(each) if isinstance(each, list) else (each,)


def test_all_actions_together_make_ten_groups_that_lie_near_the_truth(evaluation, trained) -> None:
    """Each realised effect is doubly robust, so it estimates the true average of its group."""
    for record in evaluation["calibration_pooled"]:
        assert len(record["deciles"]) == 10
        predicted = [group["predicted"] for group in record["deciles"]]
        assert predicted == sorted(predicted)
    assert [record["outcome"] for record in evaluation["calibration_pooled"]] == ["subs", "days", "revenue"]
    test_R = trained.fitted.splits.test_R
    true_RA = trained.world.effect["subs"][test_R]
    mean_RA = trained.model.effects(trained.fitted.examples.features.take(test_R))["subs"].mean_UA
    parts = np.array_split(np.argsort(mean_RA.ravel(), kind="stable"), 10)
    for group, part in zip(evaluation["calibration_pooled"][0]["deciles"], parts, strict=True):
        assert group["predicted"] == pytest.approx(mean_RA.ravel()[part].mean(), rel=1e-4)
        assert abs(group["realised"] - true_RA.ravel()[part].mean()) < 4 * group["stderr"]


def test_an_objective_of_unknown_outcomes_is_told(trained) -> None:
    with pytest.raises(InputError, match=r"objective\.sbus"):
        evaluate(
            trained.model, trained.fitted.examples, trained.fitted.splits, JudgingSettings(objective={"sbus": 1.0})
        )


def test_the_best_fixed_action_can_be_none() -> None:
    arm_R = np.tile([0, 1, 2], 50)
    decisions = Decisions(arm_R, np.full(150, 1 / 3), np.arange(150), np.ones((150, 3), bool))
    assert best_fixed(average_effects(decisions, np.where(arm_R == 2, 1.0, 0.0)), decisions) == 2
    assert best_fixed(average_effects(decisions, np.where(arm_R == 1, 1.0, 0.0)), decisions) == 1
    np.testing.assert_allclose(average_effects(decisions, np.where(arm_R == 1, 1.0, 0.0)), [0.0, 1.0])
