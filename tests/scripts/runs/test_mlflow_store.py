"""The store of the runs folder: made whole, never replaced where it holds something, waited for with a limit."""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from omegaconf import DictConfig

from scripts.cli.entry import validated
from scripts.cli.settings import WeeklySettings
from scripts.runs import mlflow_store
from scripts.runs.locks import lock


@pytest.fixture(scope="module")
def settings(composed: Callable[..., DictConfig]) -> WeeklySettings:
    return validated(WeeklySettings, composed("tracking.experiment=a test"))


@pytest.fixture(scope="module", autouse=True)
def no_server() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


def _elsewhere(settings: WeeklySettings, runs: Path) -> WeeklySettings:
    return settings.model_copy(update={"paths": settings.paths.model_copy(update={"runs": runs})})


def test_a_store_that_a_full_disk_cut_off_is_made_anew(
    settings: WeeklySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = _elsewhere(settings, tmp_path)

    def cut_off(database: Path) -> None:
        database.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(mlflow_store, "_open", cut_off)
        mlflow_store.connect(here)
    assert list(tmp_path.iterdir()) == []
    mlflow_store._open(tmp_path / "whole.db")
    (tmp_path / "whole.db").rename(tmp_path / "mlflow.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as broken:
        broken.execute("DELETE FROM alembic_version")  # as an earlier program left it
        broken.commit()
    client, experiment = mlflow_store.connect(here)
    client.create_run(experiment)
    again, same = mlflow_store.connect(here)
    assert len(again.search_runs([same])) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_what_is_no_store_is_not_replaced(settings: WeeklySettings, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"years of other work, not a database at all")
    with pytest.raises(Exception, match="not a database"):
        mlflow_store.connect(_elsewhere(settings, tmp_path))
    assert (tmp_path / "mlflow.db").read_bytes().startswith(b"years of other work")


def test_waiting_for_another_run_has_a_limit(
    settings: WeeklySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_store, "LONGEST_WAIT", 0.1)
    with lock(tmp_path / ".mlflow.lock"), pytest.raises(TimeoutError, match="another run has held it"):
        mlflow_store.connect(_elsewhere(settings, tmp_path))
