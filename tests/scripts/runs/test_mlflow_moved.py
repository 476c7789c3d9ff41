"""A runs folder that was moved or copied: its MLflow store reads and writes the artifacts that lie beside it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from omegaconf import DictConfig

from scripts.cli.entry import validated
from scripts.cli.settings import WeeklySettings
from scripts.runs.mlflow_moved import beside
from scripts.runs.mlflow_store import connect


@pytest.fixture(scope="module", autouse=True)
def no_server() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="module")
def connected(composed: Callable[..., DictConfig]) -> Callable[[Path], tuple[MlflowClient, str]]:
    """A client of the store in a folder of runs, and the experiment."""
    settings = validated(WeeklySettings, composed("tracking.experiment=weeks"))

    def of(runs: Path) -> tuple[MlflowClient, str]:
        return connect(settings.model_copy(update={"paths": settings.paths.model_copy(update={"runs": runs})}))

    return of


def record(connection: tuple[MlflowClient, str], text: str) -> str:
    """A run with one artifact; its id."""
    client, experiment = connection
    run = client.create_run(experiment).info.run_id
    client.log_text(run, text, "note.txt")
    return run


def note(client: MlflowClient, run: str) -> str:
    return Path(client.download_artifacts(run, "note.txt")).read_text()


def files(runs: Path) -> set[str]:
    return {path.relative_to(runs).as_posix() for path in (runs / "mlartifacts").rglob("*") if path.is_file()}


@pytest.fixture
def old(tmp_path: Path, connected: Callable) -> tuple[Path, str]:
    """A folder of runs with a blank in its path, and the run that it holds."""
    runs = tmp_path / "old place" / "runs"
    return runs, record(connected(runs), "first")


def test_a_copy_reads_and_writes_what_lies_beside_it(
    old: tuple[Path, str], tmp_path: Path, connected: Callable
) -> None:
    runs, first = old
    before, copy = files(runs), tmp_path / "new" / "runs"
    shutil.copytree(runs, copy)
    client, _ = there = connected(copy)
    second = record(there, "second")
    assert files(runs) == before, "nothing is written to the old place"
    assert files(copy) == {f"mlartifacts/{run}/artifacts/note.txt" for run in (first, second)}
    shutil.rmtree(runs.parent)
    assert (note(client, first), note(client, second)) == ("first", "second")
    assert {each.artifact_location for each in client.search_experiments()} == {
        (copy / "mlartifacts").as_uri(),
        str(copy / "mlartifacts" / "0"),
    }


def test_the_original_stays_as_it_was(old: tuple[Path, str], tmp_path: Path, connected: Callable) -> None:
    runs, first = old
    shutil.copytree(runs, tmp_path / "new")
    record(connected(tmp_path / "new"), "second")
    client, experiment = connected(runs)
    assert [run.info.run_id for run in client.search_runs([experiment])] == [first]
    assert note(client, first) == "first"


def test_a_moved_folder_moved_again(old: tuple[Path, str], tmp_path: Path, connected: Callable) -> None:
    runs, first = old
    for name in ("second", "third"):
        runs = Path(shutil.move(runs, tmp_path / name))
        client, _ = connected(runs)
        assert note(client, first) == "first"


@pytest.mark.slow
def test_artifacts_that_were_left_behind_are_read_where_they_are(
    old: tuple[Path, str], tmp_path: Path, connected: Callable
) -> None:
    runs, first = old
    (tmp_path / "new").mkdir()
    shutil.copy(runs / "mlflow.db", tmp_path / "new")
    client, _ = there = connected(tmp_path / "new")
    second = record(there, "second")
    assert (note(client, first), note(client, second)) == ("first", "second")
    assert files(tmp_path / "new") == {f"mlartifacts/{second}/artifacts/note.txt"}


@pytest.mark.slow
def test_an_experiment_with_a_place_of_its_own_keeps_it(
    old: tuple[Path, str], tmp_path: Path, connected: Callable
) -> None:
    runs, _ = old
    client, _ = connected(runs)
    own = (tmp_path / "models").as_uri()
    mine = client.create_experiment("mine", artifact_location=own)
    shutil.move(runs, tmp_path / "new")
    client, _ = connected(tmp_path / "new")
    assert client.get_experiment(mine).artifact_location == own


def test_another_name_of_the_same_folder_changes_nothing(
    old: tuple[Path, str], tmp_path: Path, connected: Callable
) -> None:
    runs, first = old
    (tmp_path / "link").symlink_to(runs)
    client, _ = connected(tmp_path / "link")
    assert client.get_run(first).info.artifact_uri.startswith((runs / "mlartifacts").as_uri())


@pytest.mark.parametrize(
    ("address", "moved"),
    [
        ("file:///a/mlartifacts", "file:///new%20runs/mlartifacts"),
        ("/a/mlartifacts/0", "/new runs/mlartifacts/0"),
        ("file:///mlartifacts/mlartifacts/1f/artifacts", "file:///new%20runs/mlartifacts/1f/artifacts"),
        ("file:///a/other", "file:///a/other"),
        ("mlflow-artifacts:/0", "mlflow-artifacts:/0"),
        ("s3://bucket/mlartifacts", "s3://bucket/mlartifacts"),
    ],
)
def test_addresses(address: str, moved: str) -> None:
    assert beside(address, Path("/new runs/mlartifacts")) == moved
