"""Weeks on one registry: the champion scores the second where its challenger loses, and decides at its prices; the third one wins."""

import json
from datetime import timedelta
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from ranker.files import sha256_of
from scripts import weekly
from scripts.cli.settings import WeeklySettings
from scripts.crashes.tiny_week import FIRST, SECOND
from scripts.runs import champion
from scripts.runs.champion import CHALLENGER, CHAMPION, ChampionVerdict

NAME = "offermix-ranker"


def model_of(folder: Path) -> str:
    return json.loads((folder / "scores" / "catalogue.json").read_text())["model_id"]


def id_of(model: Path) -> str:
    return json.loads((model / "model.json").read_text())["id"]


@pytest.mark.slow
def test_a_champion_that_is_not_beaten_scores_the_next_week(
    tiny: WeeklySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    paths = tiny.paths.model_copy(update={"runs": tmp_path / "runs"})
    second = tiny.model_copy(update={"paths": paths})
    first = second.model_copy(update={"data": tiny.data.model_copy(update={"snapshot": FIRST})})
    before = weekly.run(first).folder
    client = MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    assert client.get_model_version_by_alias(NAME, CHAMPION).version == 1
    assert model_of(before) == id_of(before / "model")

    monkeypatch.setattr(champion, "verdict", lambda *each: ChampionVerdict(False, "the champion stays: a test says so"))
    after = weekly.run(second).folder
    assert model_of(after) == id_of(before / "model") == id_of(after / CHAMPION) != id_of(after / "model")
    stays, lost = (client.get_model_version_by_alias(NAME, alias) for alias in (CHAMPION, CHALLENGER))
    assert (stays.version, lost.version, stays.tags["champion_before"]) == (3, 2, "1")
    assert stays.tags["weights_sha256"] == client.get_model_version(NAME, "1").tags["weights_sha256"]
    assert "prices_sha256" not in lost.tags
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    users = pd.read_parquet(after / "market" / "users").drop(columns="as_of")
    found = mlflow.pyfunc.load_model(f"models:/{NAME}@champion").predict(users, params={"decide": True})
    written = pd.concat([pd.read_parquet(file) for file in (after / "allocation").glob("*.parquet")])
    given, again = (frame.groupby("user_id")["action"].agg(set) for frame in (written, found))
    assert sum(given.get(user) == again.get(user) for user in users["user_id"]) >= 0.95 * len(users)

    again_called = weekly.run(second)
    assert again_called.folder == after and all(each.skipped for each in again_called.ran[:-1])
    assert client.get_model_version_by_alias(NAME, CHAMPION).version == 3

    monkeypatch.setattr(champion, "verdict", lambda *each: ChampionVerdict(True, "the challenger takes over: the same"))
    later = second.data.model_copy(update={"snapshot": SECOND + timedelta(weeks=1)})
    third = weekly.run(second.model_copy(update={"data": later})).folder
    assert not (third / CHAMPION).exists(), "linked from the week before, whose challenger lost"
    assert model_of(third) == id_of(third / "model") != model_of(after)
    won = client.get_model_version_by_alias(NAME, CHAMPION)
    assert won.tags["weights_sha256"] == sha256_of(third / "model" / "weights.safetensors")
    asked = "tags.`offermix.kind` = 'week' and tags.`offermix.week` = '" + third.name + "'"
    (week,) = client.search_runs([client.get_experiment_by_name(second.tracking.experiment).experiment_id], asked)
    assert week.data.tags["offermix.scored_by"] == "the week's own model"
