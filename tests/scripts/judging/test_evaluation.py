"""A model judged on held-out users with and without a policy: on a world whose truth is known, and as people call it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig

from ranker.evaluate import objective as objectives
from ranker.evaluate.held_out import HeldOut, hold_out
from ranker.evaluate.learners import VALUENET, Predictions, decisions_of, predictions_of
from ranker.evaluate.records import HeldOutEvaluation
from ranker.logs import read_logs, write_logs
from ranker.model.artifact import load_model
from ranker.scores import InputError
from scripts import evaluate as command
from scripts import train
from scripts.cli.entry import validated
from scripts.cli.settings import EvaluateSettings, RehearseSettings, TrainSettings
from scripts.judging import evaluation as evaluating
from scripts.judging import promises, rehearsal
from scripts.pages.evaluation_page import page_of
from tests.ranker.worlds import SCHEMA, World, make_world

USERS = 3_000
POLICY = """
version: 1
objective:
  - {metric: subs, weight: 10.0}
  - {metric: days, weight: 0.5}
  - {metric: subs, weight: -1.0, times: discount}
experiment:
  holdout: {share: 0.1, salt: h}
  exploration: {share: 0.1, salt: e}
fallback: {action: home/books}
eligibility:
  - {id: nothing_in_brazil, forbid: {product: student}, users: {market: BR}}
contact:
  - {id: total, max: 2}
constraints:
  - {id: push, kind: volume, where: {surface: push}, max: 30%}
  - {id: books, kind: volume, where: {product: books}, max: 400}
  - {id: family, kind: volume, where: {product: family}, users: {market: SE}, min: 5%}
  - {id: won, kind: total, metric: subs, max: 500}
  - {id: per_contact, kind: average, metric: days, min: 0.05}
"""


@dataclass(frozen=True)
class Case:
    """Logs of a world, a model trained on them, a policy, and the settings of the command."""

    folder: Path
    world: World
    settings: EvaluateSettings


@pytest.fixture(scope="module")
def case(composed: Callable[..., DictConfig], tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("evaluate")
    world = make_world(2 * USERS, np.random.default_rng(3), varying=2.0)
    priced = tuple({**action, "discount": 2.0 * (action["surface"] == "push")} for action in world.logs.actions)
    frame = world.logs.frame.copy()
    frame["as_of"] = np.where(np.arange(len(frame)) % 2, "2026-11-16", "2026-11-09")  # every user on both days
    frame["as_of"] = frame["as_of"].astype("datetime64[s]")
    (folder / "logs").mkdir()
    write_logs(folder / "logs", SCHEMA, priced, [frame])
    (folder / "policy.yaml").write_text(POLICY)
    named = {"model": "model", "logs": "logs", "policy": "policy.yaml", "out": "evaluation", "runs": "runs"}
    paths = [f"paths.{key}='{folder / name}'" for key, name in named.items()]
    options = ["fit.max_epochs=6", "fit.test_share=0.4", "evaluate.points=4"]
    train.run(validated(TrainSettings, composed(*paths, *options)))
    return Case(folder, world, validated(EvaluateSettings, composed(*paths, *options)))


@pytest.fixture(scope="module")
def evaluation(case: Case) -> HeldOutEvaluation:
    return command.run(case.settings)


@dataclass(frozen=True)
class Parts:
    held: HeldOut
    opinions: Predictions
    plan: evaluating.RehearsalPlan
    allocated: dict
    truth: dict


@pytest.fixture(scope="module")
def parts(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """The command's own parts, so that its allocations can be counted by hand, and what each contact truly adds to the rows."""
    model, _ = load_model(case.settings.paths.model)
    logs = read_logs(case.settings.paths.logs)
    held = hold_out(model, evaluating.training_of(case.settings, logs), logs, 100_000, 0)
    plan = evaluating.plan_of(case.settings, model, logs, held)
    opinions = predictions_of(model, held.learn, held.test, [plan.objective])
    allocated, unsolved = rehearsal.rehearse(
        plan.policy, plan.catalogue, held, opinions, plan.objective, plan.week, case.settings.solve, 0,
        tmp_path_factory.mktemp("rows"), lambda steps=1, note="": None,
    )  # fmt: skip
    assert unsolved == ()
    rows_R = logs.frame["user_id"].isin(set(held.frame["user_id"])).to_numpy()
    truth = {name: effect_RA[rows_R] for name, effect_RA in case.world.effect.items()}
    return Parts(held, opinions, plan, {each.name: each.policy_RB for each in allocated}, truth)


@pytest.mark.slow
def test_every_allocation_keeps_the_rules_scaled_to_the_rows(parts: Parts) -> None:
    """Counted by hand: percentages of the rows, numbers by the rows' share of a week's users, slots and eligibility."""
    ids = [action["id"] for action in parts.plan.catalogue.actions]
    push_A, books_A, family_A, student_A = (
        np.array([word in name for name in ids]) for word in ("push", "books", "family", "student")
    )
    rows = len(parts.held.test)
    market_R = parts.held.frame["market"].to_numpy(object)
    assert parts.held.week_users == USERS
    assert len(parts.allocated) == 8
    for name, policy_RB in parts.allocated.items():
        given_RA = policy_RB[:, :-1]
        assert set(np.unique(given_RA)) <= {0.0, 1.0}, name
        np.testing.assert_array_equal(policy_RB.sum(1), 1.0)
        assert given_RA[:, push_A].sum() <= 0.3 * rows, name
        assert given_RA[:, books_A].sum() <= 400 * rows / USERS, name
        assert given_RA[market_R == "SE"][:, family_A].sum() >= 0.05 * (market_R == "SE").sum(), name
        assert given_RA[:, push_A].sum(1).max() <= 1, name
        assert given_RA[market_R == "BR"][:, student_A].sum() == 0, name
    ours_RA = parts.allocated[VALUENET][:, :-1]
    assert (ours_RA * parts.opinions.effect[VALUENET][0]).sum() <= 500 * rows / USERS * (1 + 1e-6)
    assert (ours_RA * parts.opinions.effect[VALUENET][1]).sum() >= 0.05 * ours_RA.sum() * (1 - 1e-6)
    assert ours_RA.sum(1).max() == 2  # slates of two are judged too


def test_the_allocations_are_judged_at_their_true_worth(parts: Parts, case: Case) -> None:
    """Each learner's slates, worth the sum of true effects: the gain over nothing by every estimator, within three standard errors."""
    test, decisions = parts.held.test, decisions_of(parts.held.test)
    singles = objectives.single(("subs", "days"), 6)
    nothing_RB = np.eye(7)[np.full(len(test), 6)]
    far = []
    for each, outcome in zip(singles, ("subs", "days"), strict=True):
        none = objectives.judge(each, decisions, nothing_RB, test.outcome_RO, parts.opinions.expected)
        for name, policy_RB in parts.allocated.items():
            truth = float((policy_RB[:, :-1] * parts.truth[outcome]).sum() / len(test))
            judged = objectives.judge(each, decisions, policy_RB, test.outcome_RO, parts.opinions.expected)
            for estimator in ("IPS", "SNIPS", "DR"):
                from_nothing = judged[estimator].influence_R - none[estimator].influence_R
                gain = judged[estimator].estimate.value - none[estimator].estimate.value
                far.append(abs(gain - truth) / (from_nothing.std() * (2 / len(test)) ** 0.5))
            assert judged["DR"].estimate.stderr < judged["IPS"].estimate.stderr, (name, outcome)
    assert max(far) < 3.5
    assert np.mean(np.square(far)) < 2


def test_promises_and_what_came_of_them_are_those_of_the_rehearsed_contacts(
    parts: Parts, case: Case, composed: Callable[..., DictConfig]
) -> None:
    """Promised by hand from the same contacts; what came is within chance of what they truly add."""
    named = {"model": "model", "logs": "logs", "policy": "policy.yaml", "out": "rehearsal", "runs": "runs"}
    paths = [f"paths.{key}='{case.folder / name}'" for key, name in named.items()]
    settings = validated(RehearseSettings, composed(*paths, "fit.test_share=0.4", "evaluate.gap=1e-6"))
    found = promises.rehearse(settings)
    chosen_RA, rows = parts.allocated[VALUENET][:, :-1], len(parts.held.test)
    assert found.unavailable is None
    assert (found.rows, found.week_users, found.contacts) == (rows, USERS, chosen_RA.sum())
    told = {each.name: each for each in found.amounts}
    assert set(told) == {"value", "subs", "days", "revenue", "won", "per_contact"}
    effects = dict(zip(("subs", "days"), parts.opinions.effect[VALUENET], strict=False))
    for name, metric in (("subs", "subs"), ("days", "days"), ("won", "subs")):
        promised, truth = ((chosen_RA * each[metric]).sum() * USERS / rows for each in (effects, parts.truth))
        assert told[name].promised == pytest.approx(promised, rel=1e-5)
        assert abs(told[name].realised.value - truth) < 3.5 * told[name].realised.stderr
        assert told[name].added == pytest.approx(told[name].realised.value - promised, rel=1e-4)
    rate = (chosen_RA * parts.truth["days"]).sum() / chosen_RA.sum()
    assert abs(told["per_contact"].realised.value - rate) < 3.5 * told["per_contact"].realised.stderr


def test_too_few_held_out_users_are_told_of(case: Case, composed: Callable[..., DictConfig], tmp_path: Path) -> None:
    logs = read_logs(case.settings.paths.logs)
    write_logs(tmp_path, logs.schema, logs.actions, [logs.frame.iloc[:200]])
    named = {"model": case.folder / "model", "logs": tmp_path, "policy": case.folder / "policy.yaml", "out": tmp_path}
    paths = [f"paths.{key}='{path}'" for key, path in (named | {"training": case.folder / "logs"}).items()]
    found = promises.rehearse(validated(RehearseSettings, composed(*paths, "fit.test_share=0.4")))
    assert found.amounts == ()
    assert "too few" in str(found.unavailable)


def test_what_is_written_is_what_is_returned(evaluation: HeldOutEvaluation, case: Case) -> None:
    out = case.folder / "evaluation"
    assert (out / "evaluation.json").read_text() == evaluation.text()
    again = HeldOutEvaluation.from_file(out / "evaluation.json")
    assert (again, again.text()) == (evaluation, evaluation.text())
    assert sorted(evaluation.left_out) == ["exploration", "fallback", "holdout"]
    assert evaluation.rows.judged == evaluation.rows.held_out < evaluation.rows.logged == 2 * USERS
    first = {r.estimator: r for r in evaluation.allocated.policies if (r.name, r.outcome) == (VALUENET, "objective")}
    assert first.keys() == {"IPS", "SNIPS", "DR", "SWITCH-DR"}
    assert evaluation.allocated.believed_gain_per_row[VALUENET] == pytest.approx(
        evaluation.promised[0].predicted, rel=1e-5
    )


def test_the_page_shows_every_part_and_needs_nothing_else(evaluation: HeldOutEvaluation, case: Case) -> None:
    page = (case.folder / "evaluation" / "evaluation.html").read_text()
    for title in (
        "What the policy would have brought",
        "At every budget",
        "Promised and realised",
        "Segments",
        "Choosing freely",
    ):
        assert f"<h2>{title}</h2>" in page
    charts = json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)[1])
    assert charts.keys() >= {
        "policies",
        "ahead",
        "budgets",
        "budgets-ahead",
        "groups",
        "slopes",
        "qini",
        "auuc",
        "segments",
        "free",
    }
    places = set(re.findall(r'id="chart-([\w-]+)"', page))
    assert places == charts.keys()
    assert not re.search(r'(?:src|href)="(?!#)', page.split('id="figures"')[0])
    assert "<script src" not in page
    assert "Left out of the policy: holdout, exploration, fallback." in page


@pytest.mark.slow
def test_the_page_says_which_scores_are_averages(evaluation: HeldOutEvaluation) -> None:
    def words(average: bool) -> str:
        told = tuple(record.model_copy(update={"average": average}) for record in evaluation.reliability)
        return str(page_of(evaluation.model_copy(update={"reliability": told})))

    assert "A score is no more than its action's average" in words(True)
    assert "A score is no more than its action's average" not in words(False)


def test_mlflow_has_the_values(evaluation: HeldOutEvaluation, case: Case) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{case.folder / 'runs' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("offermix").experiment_id])
    value = next(
        r.value
        for r in evaluation.allocated.policies
        if (r.name, r.outcome, r.estimator) == (VALUENET, "objective", "DR")
    )
    assert run.data.metrics["allocated/valuenet/objective/DR/value"] == pytest.approx(value)
    assert any(name.startswith("held_out_slope/subs/users") for name in run.data.metrics)
    assert {file.path for file in client.list_artifacts(run.info.run_id, "evaluate")} >= {
        "evaluate/evaluation.html",
        "evaluate/evaluation.json",
    }


def with_paths(case: Case, **paths: Path | None) -> EvaluateSettings:
    tracking = case.settings.tracking.model_copy(update={"enabled": False})
    changed = case.settings.paths.model_copy(update=paths)
    return case.settings.model_copy(update={"paths": changed, "tracking": tracking})


def test_without_a_policy_everybody_chooses_freely(case: Case) -> None:
    found = command.run(with_paths(case, policy=None, out=case.folder / "free"))
    assert found.allocated is None
    assert found.promised[0].outcome == "subs"
    assert "What choosing by the model would have brought" in (case.folder / "free" / "evaluation.html").read_text()


def test_who_trained_must_be_known(case: Case, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for file in (case.folder / "model").iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    elsewhere = tmp_path / "logs"
    elsewhere.mkdir()
    for file in (case.folder / "logs").iterdir():
        (elsewhere / file.name).write_bytes(file.read_bytes())
    logs = read_logs(elsewhere)
    assert evaluating.training_of(with_paths(case, model=model, logs=elsewhere), logs).logs is logs
    (elsewhere / "schema.json").write_text((elsewhere / "schema.json").read_text() + "\n")
    with pytest.raises(InputError, match="are not there; give training=DIR"):
        evaluating.training_of(with_paths(case, model=model, logs=elsewhere), logs)
    found = evaluating.training_of(with_paths(case, model=model, logs=elsewhere, training=case.folder / "logs"), logs)
    assert found.logs is not logs and found.test_share == 0.4
    with pytest.raises(InputError, match="did not train"):
        evaluating.training_of(with_paths(case, model=model, logs=elsewhere, training=elsewhere), logs)
    (model / "manifest.json").unlink()
    with pytest.raises(InputError, match="who trained the model is not known"):
        evaluating.training_of(with_paths(case, model=model, logs=elsewhere), logs)


def test_rules_that_nobody_can_keep_and_costs_that_nobody_has_are_told(case: Case) -> None:
    impossible = {"per_contact": {"min": 50.0}, "family": {"min": "30%"}}
    changed = with_paths(case, out=case.folder / "none").model_copy(update={"set": impossible})
    with pytest.raises(InputError, match="no allocation of the held-out rows keeps the rules"):
        command.run(changed)
    assert not (case.folder / "none").exists()
    options = case.settings.evaluate.model_copy(update={"cost": "price"})
    with pytest.raises(InputError, match="no action of the model has a number 'price'"):
        command.run(with_paths(case, policy=None, out=case.folder / "none").model_copy(update={"evaluate": options}))


def test_a_budget_can_pay_for_an_attribute(case: Case) -> None:
    options = replace_options(case, cost="discount")
    found = command.run(options)
    paid = next(r for r in found.budgets if (r.name, r.outcome) == (VALUENET, "subs"))
    assert paid.points[-1].spent <= 2.0
    assert paid.points[0].spent <= paid.points[0].budget * (1 + 1e-9)


def replace_options(case: Case, **changes: object) -> EvaluateSettings:
    options = case.settings.evaluate.model_copy(update=changes)
    return with_paths(case, policy=None, out=case.folder / "other").model_copy(update={"evaluate": options})
