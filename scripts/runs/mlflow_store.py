"""Where MLflow keeps its records: SQLite under the runs folder unless MLFLOW_TRACKING_URI names a server."""

import contextlib
import logging
import os
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ranker import disk
from scripts.cli.settings import Settings
from scripts.runs.locks import Held, lock
from scripts.runs.mlflow_moved import ARTIFACTS, follow
from scripts.runs.params import sanitised, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

LONGEST_WAIT = 60.0  # seconds; making the database takes a few
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # a server that is down, or swallows packets, costs seconds, not minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
}


def connect(settings: Settings) -> tuple["MlflowClient", str]:
    """A client and the experiment's id; database and experiment are made once, whoever comes first."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # costs two seconds, and only a finished run needs it

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)

    runs = Path(os.path.abspath(settings.paths.runs))
    server = os.environ.get("MLFLOW_TRACKING_URI")
    disk.make_folder(runs, parents=True, there=True)
    # several runs that start on a new SQLite file at once break it (seen: 7 of 8 failed), so they wait for one another
    with _locked(runs / ".mlflow.lock"):
        client = MlflowClient(server or _own_store(runs))
        name = sanitised(settings.tracking.experiment)
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            return client, experiment.experiment_id
        location = None if server else (runs / ARTIFACTS).as_uri()
        return client, client.create_experiment(name, artifact_location=location)


def _own_store(runs: Path) -> str:
    """The address of the runs' own store. A new one is made aside: one that was cut off (disk full) would stay unusable for all weeks."""
    database, beside = runs / "mlflow.db", runs / f".mlflow.db.{uuid.uuid4().hex[:8]}"
    for left in runs.glob(".mlflow.db.*"):
        disk.remove(left)
    try:
        if not database.exists() or (_holds_nothing(database) and not _opens(database, runs / f"{beside.name}.copy")):
            _open(beside)
            disk.rename(beside, database)
    finally:
        for left in runs.glob(f"{beside.stem}.*"):
            disk.remove(left)
    store = _store(database)
    follow(store, runs / ARTIFACTS)
    store.engine.dispose()
    return f"sqlite:///{database}"


def _holds_nothing(database: Path) -> bool:
    """Whether no run was ever recorded there. What is no database at all is not ours to judge."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        try:
            return connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is None
        except sqlite3.OperationalError as error:
            return "no such table" in str(error)


def _opens(database: Path, copy: Path) -> bool:
    """Tried on a copy: MLflow would keep its connection to a file that is replaced next."""
    disk.copy(database, copy)
    try:
        _open(copy)
    except Exception:
        return False
    return True


def _open(database: Path) -> None:
    """Makes the database's tables where they are missing."""
    _store(database).engine.dispose()


def _store(database: Path) -> "SqlAlchemyStore":
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    return SqlAlchemyStore(f"sqlite:///{database}", str(database.parent / ARTIFACTS))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock(path, LONGEST_WAIT))
        except Held:
            raise TimeoutError(f"{path}: another run has held it for {LONGEST_WAIT:g} seconds") from None
        yield


def where() -> str:
    """Where MLflow keeps its records, in words for people; a password in the address is left out."""
    server = os.environ.get("MLFLOW_TRACKING_URI")
    return without_password(server) if server else "SQLite in the runs folder"
