"""Held-out users, and the whole evaluation of a model in a world whose truth is known."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ranker.evaluate import objective, off_policy
from ranker.evaluate.held_out import AllocatedPolicy, EvaluationRules, TrainingLogs, hold_out, judge, segment_names
from ranker.evaluate.learners import FIXED, VALUENET, WITHOUT_COVARIATES, predictions_of
from ranker.scores import InputError


@pytest.fixture(scope="module")
def training(trained) -> TrainingLogs:
    return TrainingLogs(trained.world.logs, folds=2, test_share=0.2, seed=0)


@pytest.fixture(scope="module")
def held(trained, training):
    return hold_out(trained.model, training, trained.world.logs, 100_000, 0)


@pytest.fixture(scope="module")
def evaluation(trained, held) -> dict:
    objectives = [
        objective.weighted("objective", {"subs": 10.0, "days": 1.0}, ("subs", "days", "revenue"), 6),
        *objective.single(("subs", "days", "revenue"), 6),
    ]
    predictions = predictions_of(trained.model, held.learn, held.test, objectives)
    rows = len(held.test)
    best = off_policy.greedy(objectives[0].effect(predictions.effect[VALUENET]), held.test.eligible_RA)
    fixed = off_policy.always(3, held.test.eligible_RA)
    allocated = [AllocatedPolicy(VALUENET, best, 1.0), AllocatedPolicy(FIXED, fixed, None)]
    rules = EvaluationRules(most_rows=rows, points=5, groups=10, cost_A=np.ones(6), segments=None)
    return judge(trained.model, held, objectives, predictions, allocated, rules)


def test_whoever_trained_is_not_held_out(trained, training, held) -> None:
    splits = trained.fitted.splits
    users = trained.world.logs.frame["user_id"]
    assert set(held.frame["user_id"]).isdisjoint(users[splits.learn_R])
    assert len(held.test) == int(splits.test_R.sum())
    assert len(held.learn) == int(splits.learn_R.sum())


def test_users_that_the_training_logs_do_not_hold_are_held_out(trained, training) -> None:
    frame = trained.world.logs.frame.head(2_000).copy()
    frame["user_id"] = np.where(np.arange(2_000) < 1_500, frame["user_id"], frame["user_id"] + 10**6)
    others = replace(trained.world.logs, frame=frame)
    held = hold_out(trained.model, training, others, 100_000, 0)
    learners = set(trained.world.logs.frame["user_id"][trained.fitted.splits.learn_R])
    assert len(held.test) == sum(user not in learners for user in frame["user_id"])
    assert (held.frame["user_id"] >= 10**6).sum() == 500


def test_a_sample_keeps_users_whole(trained, training) -> None:
    held = hold_out(trained.model, training, trained.world.logs, 1_000, 0)
    assert 700 < len(held.test) < 1_300
    everyone = hold_out(trained.model, training, trained.world.logs, 100_000, 0).frame
    chosen = set(held.frame["user_id"])
    assert len(held.frame) == everyone["user_id"].isin(chosen).sum()


def test_only_rows_that_know_every_outcome_are_judged(trained, training) -> None:
    logs = trained.world.logs
    young_R = np.arange(len(logs)) % 3 == 0
    partly = replace(logs, frame=logs.frame.assign(revenue=logs.frame["revenue"].mask(young_R)))
    held = hold_out(trained.model, training, partly, 100_000, 0)
    whole = hold_out(trained.model, training, logs, 100_000, 0)
    assert len(held.test) == len(held.frame) == held.held_out < len(whole.test)
    assert np.isfinite(held.test.outcome_RO).all()
    assert set(held.frame["user_id"]) <= set(whole.frame["user_id"])
    nothing = replace(logs, frame=logs.frame.assign(revenue=np.nan))
    with pytest.raises(InputError, match="no row of users who did not train the model knows every outcome"):
        hold_out(trained.model, training, nothing, 100_000, 0)


def test_baselines_learn_each_outcome_from_the_rows_that_know_it(trained, training) -> None:
    """As if the other rows were not there for this outcome, and as before for the others."""
    held = hold_out(trained.model, training, trained.world.logs, 500, 0)
    learn = held.learn.take(np.arange(3_000))
    known_R = np.arange(len(learn)) % 3 > 0
    young_RO = learn.outcome_RO.copy()
    young_RO[~known_R, 2] = np.nan
    goals = objective.single([target.name for target in trained.model.targets], learn.actions)
    partly, fewer, whole = (
        predictions_of(trained.model, each, held.test, goals)
        for each in (replace(learn, outcome_RO=young_RO), learn.take(known_R), learn)
    )
    for name in ("ridge T-learner", "ridge S-learner", "response model"):
        np.testing.assert_allclose(partly.effect[name][2], fewer.effect[name][2], atol=1e-6)
        np.testing.assert_allclose(partly.effect[name][0], whole.effect[name][0], atol=1e-6)
    np.testing.assert_allclose(partly.average_OA[2], fewer.average_OA[2])
    np.testing.assert_allclose(partly.average_OA[:2], whole.average_OA[:2])


def test_the_response_model_orders_users_and_chooses_as_the_ridge_t_learner(trained, held, evaluation) -> None:
    """So it is judged where users are ordered, and is no policy beside it."""
    goals = objective.single([target.name for target in trained.model.targets], held.learn.actions)
    predictions = predictions_of(trained.model, held.learn, held.test, goals)
    assert set(predictions.effect) - set(predictions.choosers) == {"response model"}
    for each in goals:
        ridge_RB, response_RB = (
            off_policy.greedy(each.effect(predictions.effect[name]), held.test.eligible_RA)
            for name in ("ridge T-learner", "response model")
        )
        sends_R = (ridge_RB[:, -1] == 0) & (response_RB[:, -1] == 0)
        assert sends_R.mean() > 0.5
        np.testing.assert_array_equal(ridge_RB[sends_R], response_RB[sends_R])
    assert "response model" not in {record["name"] for record in evaluation["policies"]}
    ordering = [record for part in ("qini", "budgets") for record in evaluation[part]]
    assert {record.get("model", record.get("name")) for record in ordering} >= {"response model", "ridge T-learner"}


def test_logs_that_do_not_fit_the_model_are_refused_with_every_reason(trained, training) -> None:
    logs = trained.world.logs
    other = replace(
        logs,
        actions=({"id": "billboard", "slot": "street"}, *logs.actions[1:]),
        schema=replace(logs.schema, numeric=("age",), outcomes=logs.schema.outcomes[:2]),
    )
    with pytest.raises(InputError) as caught:
        hold_out(trained.model, training, other, 100_000, 0)
    assert len(caught.value.problems) == 5
    only = replace(logs, frame=logs.frame[trained.fitted.splits.learn_R].reset_index(drop=True))
    with pytest.raises(InputError, match="all 19,"):
        hold_out(trained.model, training, only, 100_000, 0)


def test_it_is_strict_json_with_every_part(evaluation) -> None:
    again = json.loads(json.dumps(evaluation, allow_nan=False))
    assert {r["name"] for r in again["allocated"]["policies"]} == {VALUENET, FIXED, "logging policy"}
    assert {r["name"] for r in again["policies"]} >= {
        "ridge S-learner",
        "ridge T-learner",
        "average effect",
    }
    assert len(again["budgets"]) == 4 * 7
    assert {r["segment"] for r in again["segments"]} == {"market"}


def test_segments_and_promises_add_up_to_the_whole(evaluation) -> None:
    """Gains of segments, weighted by rows, are that of all; both are the doubly robust gain over nothing."""
    for promised in evaluation["promised"]:
        parts = [r for r in evaluation["segments"] if r["outcome"] == promised["outcome"]]
        rows = sum(part["rows"] for part in parts)
        assert rows == evaluation["rows"]["judged"]
        total = sum(part["rows"] * part["realised"]["value"] for part in parts) / rows
        assert total == pytest.approx(promised["realised"]["value"])
        assert sum(p["rows"] * p["predicted"] for p in parts) / rows == pytest.approx(promised["predicted"], rel=1e-5)


def test_realised_gains_are_the_true_ones(evaluation, trained, held) -> None:
    rows_R = trained.fitted.splits.test_R
    effect = {name: effect_RA[rows_R] for name, effect_RA in trained.world.effect.items()}
    features = trained.fitted.examples.features.take(rows_R)
    believed = {name: e.mean_UA for name, e in trained.model.effects(features).items()}
    value_RA = 10 * believed["subs"] + believed["days"]
    chosen_R = value_RA.argmax(1)
    for promised in evaluation["promised"][1:]:
        gain_R = np.where(value_RA.max(1) > 0, effect[promised["outcome"]][np.arange(len(chosen_R)), chosen_R], 0.0)
        realised = promised["realised"]
        assert abs(realised["value"] - gain_R.mean()) < 3 * realised["stderr"]


def test_a_score_that_knows_users_is_ahead_of_one_that_does_not(evaluation) -> None:
    """In this world effects of opposite sign depend on age, so the lead is large at every budget."""
    by_name = {r["name"]: r for r in evaluation["budgets"] if r["outcome"] == "objective"}
    for point in by_name[WITHOUT_COVARIATES]["points"]:
        assert point["valuenet_minus_this"]["low"] > 0
    assert by_name[VALUENET]["mean_over_budgets"]["value"] > by_name["random"]["mean_over_budgets"]["value"]


def test_predictions_of_a_calibrated_model_have_the_right_size(evaluation) -> None:
    for pooled in evaluation["calibration_pooled"][:2]:
        assert abs(pooled["users"]["value"] - 1) < 4 * pooled["users"]["stderr"]
        assert pooled["users"]["stderr"] < 0.3
        assert len(pooled["deciles"]) == 10


def test_segments_are_text_features_with_few_values() -> None:
    frame = pd.DataFrame({"user_id": ["a", "b"], "market": ["SE", "NO"], "same": ["x", "x"], "age": [1.0, 2.0]})
    assert segment_names(frame, None) == ("market",)
    assert segment_names(frame, ("same",)) == ("same",)
    with pytest.raises(InputError, match="no text column age"):
        segment_names(frame, ("age",))
