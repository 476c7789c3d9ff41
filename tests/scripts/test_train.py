"""Training as a command: what the parts found out arrives in the model that is saved."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from allocator.report import charts
from allocator.report.page import calibration_rows, policy_rows
from allocator.report.records import Evaluation, read_record
from ranker.catalogue import Interference, Kept, Unidentified
from ranker.evaluate.records import InterferenceFigures, ModelEvaluation
from ranker.logs import write_logs
from ranker.market.world import write as write_market
from ranker.model import train as training
from ranker.model.artifact import load_model
from ranker.model.carryover import Carryover
from ranker.model.cross_outcome_pooling import LEAST_VARIANCE
from ranker.model.fatigue_and_cannibalisation import Estimated, grown
from ranker.model.fit import Fit
from ranker.model.settings import FitSettings, ModelSettings
from ranker.predict import predict
from ranker.scores import InputError, open_scores
from ranker.tables.prepare import prepare
from scripts import train
from scripts.cli.entry import validated
from scripts.cli.settings import Settings, TrainSettings
from scripts.pages.training import show_interference
from scripts.runs.metrics import evaluation_metrics
from tests.ranker.worlds import SCHEMA, make_world


def test_what_history_tells_is_in_the_model_and_no_longer_in_its_doubt(
    composed: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if streams were contacts, each of which leaves half of an effect: whatever the estimate says, training follows it."""
    world = make_world(800, np.random.default_rng(3))
    (tmp_path / "logs").mkdir()
    write_logs(tmp_path / "logs", SCHEMA, world.logs.actions, [world.logs.frame.assign(user_id=np.arange(800))])
    found = Estimated(Interference(28, Kept(0.5, 0.01), ()), Carryover("streams", 1.6, 0.5, ()), "product", ())
    made: list[Fit] = []

    def fitted(*given: object, **options: object) -> Fit:
        made.append(fit(*given, **options))
        return made[0]

    fit = training.fit
    monkeypatch.setattr(training, "fit", fitted)
    monkeypatch.setattr(training, "estimate", lambda *given: found)
    paths = [f"paths.{name}='{tmp_path / name}'" for name in ("model", "logs", "runs")]
    result = train.run(validated(TrainSettings, composed(*paths, "fit.max_epochs=1", "model.members=2")))
    pairs = [(target.name, action["id"]) for target in made[0].model.targets for action in world.logs.actions]
    told = {(each.outcome, each.action): each.reliability for each in result.evaluation.reliability}
    assert list(told) == pairs
    assert all(0 <= known < 1 for known in told.values())
    model, _ = load_model(tmp_path / "model")
    written = tmp_path / "model" / "evaluation.json"
    assert ModelEvaluation.from_file(written) == result.evaluation
    assert ModelEvaluation.from_file(written).text() == written.read_text()
    assert model.interference == found.interference
    assert model.carryover == found.carryover
    left_CA = model.within_variance_CA / made[0].model.within_variance_CA
    assert (left_CA > LEAST_VARIANCE - 1e-6).all()
    assert left_CA.mean() < 0.9


@pytest.mark.slow
def test_the_model_does_not_depend_on_the_threads_of_its_surroundings(
    composed: Callable[..., DictConfig], call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Here and in a process that has another number of them."""
    world = make_world(2_000, np.random.default_rng(3))
    (tmp_path / "logs").mkdir()
    write_logs(tmp_path / "logs", SCHEMA, world.logs.actions, [world.logs.frame.assign(user_id=np.arange(2_000))])
    options = ["fit.max_epochs=1", "model.members=2"]
    paths = [f"paths.model='{tmp_path}/here'", f"paths.logs='{tmp_path}/logs'", f"paths.runs='{tmp_path}/runs'"]
    train.run(validated(TrainSettings, composed(*paths, *options)))
    count = "1" if torch.get_num_threads() == 2 else "2"
    words = ["-m", "scripts.train", "debug=tiny", *options, f"logs={tmp_path}/logs", f"model={tmp_path}/there"]
    called = call(*words, OMP_NUM_THREADS=count, OPENBLAS_NUM_THREADS=count)
    assert called.returncode == 0, called.stderr
    for name in ("weights.safetensors", "model.json"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes(), name


def test_effects_that_the_logs_do_not_tell_are_named_wherever_they_are_used(
    composed: Callable[..., DictConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world(2_000, np.random.default_rng(3))
    frame = world.logs.frame.assign(user_id=np.arange(2_000))
    frame.loc[frame["action"] == "home/books", "propensity"] = 1.0
    (tmp_path / "logs").mkdir()
    write_logs(tmp_path / "logs", SCHEMA, world.logs.actions, [frame[frame["action"] != "push/student"]])
    paths = [f"paths.{name}='{tmp_path / name}'" for name in ("model", "logs", "runs")]
    result = train.run(validated(TrainSettings, composed(*paths, "fit.max_epochs=1", "model.members=2")))
    found = (Unidentified("home/books", "never at random"), Unidentified("push/student", "never shown"))
    assert result.evaluation.content()["unidentified"] == [each.to_json() for each in found]
    told = "effect of home/books (given wherever it was possible, never at random); push/student (not shown):"
    assert told in caplog.text
    model, _ = load_model(tmp_path / "model")
    assert model.unidentified == found
    (tmp_path / "users").mkdir()
    frame[["user_id", *SCHEMA.features]].to_parquet(tmp_path / "users" / "part.parquet")
    (tmp_path / "scores").mkdir()
    predict(model, "m", tmp_path / "users", tmp_path / "scores")
    assert open_scores(tmp_path / "scores").catalogue.unidentified == found
    assert evaluation_metrics(result.evaluation)["actions/unidentified"] == 2
    fewer = model.for_actions([*model.actions[1:], {"id": "home/new", "slot": "home_1"}])
    assert fewer.unidentified == (found[1], Unidentified("home/new", "never shown"))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (lambda frame: frame[frame["action"] != "none"], r"none of [\d,]+ rows to learn from shows 'none'.* keep a holdout"),
        (lambda frame: frame.assign(propensity=frame["propensity"].where(frame["action"] != "none", 1.0)),
         "is 1 in all [0-9,]+ rows that show 'none'.* keep a holdout"),
        (lambda frame: frame.assign(propensity=frame["propensity"].where(frame["action"] == "none", 1.0)),
         "is 1 in all [0-9,]+ rows that show an action, so no contact was left to chance"),
    ],
)  # fmt: skip
def test_without_anybody_left_to_chance_nothing_is_learned(changed: Callable, why: str) -> None:
    world = make_world(2_000, np.random.default_rng(3))
    logs = replace(world.logs, frame=changed(world.logs.frame).reset_index(drop=True))
    with pytest.raises(InputError, match=why):
        training.train(logs, ModelSettings(members=2), FitSettings(max_epochs=1), 0)


def test_what_is_wrong_with_logs_names_their_folder(composed: Callable[..., DictConfig], tmp_path: Path) -> None:
    world = make_world(300, np.random.default_rng(3))
    shown = world.logs.frame[world.logs.frame["action"] != "none"]
    (tmp_path / "logs").mkdir()
    write_logs(tmp_path / "logs", SCHEMA, world.logs.actions, [shown.assign(user_id=np.arange(len(shown)))])
    paths = [f"paths.{name}='{tmp_path / name}'" for name in ("model", "logs", "runs")]
    with pytest.raises(InputError) as raised:
        train.run(validated(TrainSettings, composed(*paths, "model.members=2")))
    [problem] = raised.value.problems
    assert problem.startswith(f"{tmp_path / 'logs'}: column action: none of ")
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
@pytest.mark.parametrize("users", [300, 100, 40])
def test_the_report_reads_what_is_written_of_few_listeners(
    composed: Callable[..., DictConfig], tmp_path: Path, users: int
) -> None:
    """Some estimates cannot be made: they are null, and their place on the page says so."""
    paths = [f"paths.{name}='{tmp_path / name}'" for name in ("model", "logs", "runs")]
    settings = composed(
        *paths, "fit.max_epochs=1", "model.members=2", "fit=fast", f"data.users={users}", "data.truth=false"
    )
    settings = validated(Settings, settings)
    (tmp_path / "market").mkdir()
    write_market(settings.data, 0, tmp_path / "market")
    (tmp_path / "logs").mkdir()
    prepare(tmp_path / "market" / "tables", tmp_path / "logs", settings.prepare)
    train.run(validated(TrainSettings, composed(*paths, "fit.max_epochs=1", "model.members=2", "fit=fast")))
    found = read_record(tmp_path / "model" / "evaluation.json", Evaluation)
    judged = [value.interval is not None for value in found.policies]
    assert 0 < sum(judged) < len(judged)
    assert {row["value"] == "not enough data" for row in policy_rows(found)} == {True, False}
    assert charts.policy_chart(found) is not None
    assert len(calibration_rows(found)) == len(found.calibration)


def test_what_contacts_add_is_printed_outcome_by_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    found = Estimated(Interference(28, Kept(0.82, 0.01), ()), None, "product", (), (grown("opt_out", 0.09, 0.03),))
    show_interference(InterferenceFigures.model_validate(found.to_json()))
    fatigue, growth = (line for line in capsys.readouterr().out.splitlines() if "±" in line)
    assert "82 % (± 1 %)" in fatigue
    assert growth.split()[0] == "opt_out"
    assert "+0.090 ± 0.030" in growth
    nothing = Estimated(Interference(28, None, ()), None, "product", ())
    show_interference(InterferenceFigures.model_validate(nothing.to_json()))
    assert "adds" not in capsys.readouterr().out
