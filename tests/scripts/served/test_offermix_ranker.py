"""The registered model: loaded by alias it scores as `scripts.score` does and decides as the week did."""

import contextlib
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from ranker.files import InputError
from scripts.cli.settings import WeeklySettings
from scripts.runs import digests
from scripts.runs.mlflow_store import QUIET, connect

NAME = "offermix-ranker"
pytestmark = pytest.mark.slow


@pytest.fixture
def loaded(store: str, monkeypatch: pytest.MonkeyPatch) -> mlflow.pyfunc.PyFuncModel:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    mlflow.set_tracking_uri(store)
    return mlflow.pyfunc.load_model(f"models:/{NAME}@champion")


@pytest.fixture
def users(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "market" / "users").drop(columns="as_of")


def rows_of(folder: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(file) for file in sorted(folder.glob("*.parquet"))], ignore_index=True)


def test_the_scores_are_those_of_the_week_to_the_last_bit(
    loaded: mlflow.pyfunc.PyFuncModel, users: pd.DataFrame, folder: Path
) -> None:
    found, written = loaded.predict(users), rows_of(folder / "scores")
    assert list(found) == list(written)
    for name in written:
        assert [list(x) if hasattr(x, "tolist") else x for x in written[name]] == list(found[name]), name


def test_at_the_weeks_prices_users_get_what_they_got(
    loaded: mlflow.pyfunc.PyFuncModel, users: pd.DataFrame, folder: Path
) -> None:
    """But for the few in the core: at most one or two per rule whose bound binds."""
    found, written = loaded.predict(users, params={"decide": True}), rows_of(folder / "allocation")
    given, got = (frame.groupby("user_id")["action"].agg(set).to_dict() for frame in (written, found))
    same = sum(given.get(user) == got.get(user) for user in users["user_id"])
    rules = len(json.loads((folder / "allocation" / "certificate.json").read_text())["constraints"])
    assert same >= len(users) - 2 * rules
    both = written.merge(found, on=["user_id", "action"], suffixes=("", "_found"))
    assert (both["source"] == both["source_found"]).all()
    assert both["value_found"].to_numpy() == pytest.approx(both["value"].to_numpy())


def test_other_prices_decide_otherwise_and_those_of_another_policy_are_refused(
    loaded: mlflow.pyfunc.PyFuncModel, users: pd.DataFrame, folder: Path
) -> None:
    book = json.loads((folder / "allocation" / "prices.json").read_text())
    dear = {
        **book,
        "rows": [row | {"multiplier": 1e6 * (row["constraint"] == "email_capacity")} for row in book["rows"]],
    }
    found = loaded.predict(users, params={"decide": True, "prices": json.dumps(dear)})
    chosen = found[found["source"] == "optimised"]
    assert len(chosen) and not chosen["action"].str.startswith("email").any()
    with pytest.raises(InputError, match="another policy"):
        loaded.predict(users, params={"decide": True, "prices": json.dumps({**dear, "policy_digest": "other"})})
    with pytest.raises(InputError, match=r"not the text of a prices\.json"):
        loaded.predict(users, params={"decide": True, "prices": "{"})


def test_a_user_who_cannot_be_scored_is_told_with_all_that_is_wrong(loaded: mlflow.pyfunc.PyFuncModel) -> None:
    with pytest.raises(InputError, match="column age: is missing") as told:
        loaded.predict(pd.DataFrame({"user_id": [1]}))
    assert "column market: is missing" in str(told.value)


def test_what_is_registered_runs_none_of_its_files_but_one_of_ours(store: str, folder: Path, root: Path) -> None:
    client = MlflowClient(store)
    version = client.get_model_version_by_alias(NAME, "champion")
    place = Path(mlflow.artifacts.download_artifacts(f"models:/{NAME}@champion", tracking_uri=store))
    assert {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()} >= {
        "MLmodel", "requirements.txt", "input_example.json", "model_code.py", "artifacts/weights.safetensors",
        "artifacts/model.json", "artifacts/prices.json", "artifacts/policy.json", "artifacts/certificate.json",
    }  # fmt: skip
    assert not [path for path in place.rglob("*") if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".pt2")]
    assert (place / "model_code.py").read_text() == (root / "scripts" / "served" / "model_code.py").read_text()
    described = (place / "MLmodel").read_text()
    assert str(folder.parent.parent) not in described and str(root) not in described
    assert version.tags["weights_sha256"] in described


def test_a_file_that_was_changed_is_not_loaded(store: str, folder: Path, tmp_path: Path) -> None:
    place = Path(mlflow.artifacts.download_artifacts(f"models:/{NAME}@champion", tracking_uri=store))
    shutil.copytree(place, tmp_path / "model")
    mlflow.pyfunc.load_model(str(tmp_path / "model"))
    prices = tmp_path / "model" / "artifacts" / "prices.json"
    prices.write_text(prices.read_text().replace("0.", "1.", 1))
    with pytest.raises(InputError, match=r"prices\.json: is not the file that was registered"):
        mlflow.pyfunc.load_model(str(tmp_path / "model"))


def test_models_follow_a_runs_folder_that_was_copied(
    folder: Path, tiny: WeeklySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder.parent, copy)
    client, _ = connect(tiny.model_copy(update={"paths": tiny.paths.model_copy(update={"runs": copy})}))
    source = client.get_model_version_download_uri(NAME, client.get_model_version_by_alias(NAME, "champion").version)
    assert str(copy) in source and str(folder.parent) not in source
    model = client.get_model_version_by_alias(NAME, "champion").tags["model_id"]
    assert str(copy) in client.get_logged_model(model).artifact_location
    mlflow.set_tracking_uri(f"sqlite:///{copy / 'mlflow.db'}")
    assert mlflow.pyfunc.load_model(f"models:/{NAME}@champion").metadata.signature is not None


def cells_of(database: Path) -> Iterator[tuple[str, object]]:
    """Everything in a database, with the table that it is in; next to each other in the file, cells make numbers that are none."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                yield from ((table, cell) for cell in row)


def test_no_listener_stands_in_mlflow(folder: Path) -> None:
    """Ids of the market are ten digits; the input example has users who are made up."""
    ids = {str(user).encode() for user in pd.read_parquet(folder / "market" / "users")["user_id"]}
    assert len(ids) == 500 and min(map(len, ids)) == 10
    files = [path for path in (folder.parent / "mlartifacts").rglob("*") if path.is_file()]
    assert len(files) > 20
    for file in files:
        assert not ids & set(re.findall(rb"(?<!\w)\d{10}(?!\w)", file.read_bytes())), file
    for table, cell in cells_of(folder.parent / "mlflow.db"):
        assert not ids & set(re.findall(rb"(?<!\w)\d{10}(?!\w)", str(cell).encode())), table
    (example,) = (folder.parent / "mlartifacts").rglob("input_example.json")
    content = json.loads(example.read_text())
    assert [row[content["columns"].index("user_id")] for row in content["data"]] == [1, 2]


def test_the_models_metrics_are_tied_to_the_data_and_a_run_has_few(store: str, folder: Path) -> None:
    client = MlflowClient(store)
    version = client.get_model_version_by_alias(NAME, "champion")
    told = {metric.key: metric for metric in client.get_logged_model(version.tags["model_id"]).metrics}
    value = told["policy/valuenet/objective/DR/value"]
    assert (value.dataset_name, value.dataset_digest) == ("logs", digests.told_digest(folder / "logs")[:8])
    for run in client.search_runs([client.get_run(version.run_id).info.experiment_id]):
        assert len(run.data.metrics) < 150
