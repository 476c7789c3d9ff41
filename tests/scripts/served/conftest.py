"""A tiny week that is recorded in MLflow: what the tests of the registered model share."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from scripts import weekly
from scripts.cli.entry import validated
from scripts.cli.settings import Settings, WeeklySettings
from scripts.crashes.tiny_week import SECOND, tiny_week

USERS = 500


@pytest.fixture(scope="session")
def tiny(composed: Callable[..., DictConfig], tmp_path_factory: pytest.TempPathFactory) -> WeeklySettings:
    """The settings of the week, which is recorded beside its runs."""
    runs = tmp_path_factory.mktemp("served") / "runs"
    settings = tiny_week(validated(Settings, composed()), USERS, runs, SECOND)
    recorded = settings.tracking.model_copy(update={"enabled": True})
    return settings.model_copy(update={"tracking": recorded, "solve": settings.solve.model_copy(update={"gap": 1e-5})})


@pytest.fixture(scope="session")
def folder(tiny: WeeklySettings) -> Path:
    """The folder of the run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return weekly.run(tiny).folder


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the runs' own store, where MLflow's own functions look as well."""
    address = f"sqlite:///{folder.parent / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return address
