"""MLflow that is gone: a server that nobody answers for, a locked database, a place that cannot be written, and one that goes midway.

The week ends and publishes all the same, says that its record is missing, and the next call makes the record.
"""

import contextlib
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from scripts.cli.statuses import DONE
from scripts.crashes.called import called
from scripts.crashes.prepared import TinyWeeks, Week
from scripts.crashes.records import FaultFound, FaultRow, FaultSection
from scripts.crashes.tiny_week import FIRST, SECOND
from scripts.runs.mlflow_moved import ARTIFACTS
from scripts.runs.published import current

NOBODY = "http://127.0.0.1:9"
TRACKED = {"tracking": {"enabled": True}}
MISSING = "could not be recorded", "was not registered", "could not be asked"
MIDWAY = 4


@contextlib.contextmanager
def unreachable(runs: Path) -> Iterator[None]:
    with patch.dict(os.environ, {"MLFLOW_TRACKING_URI": NOBODY, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}):
        yield


@contextlib.contextmanager
def database_locked(runs: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        yield


@contextlib.contextmanager
def place_taken(runs: Path) -> Iterator[None]:
    """A file stands where the artifacts would, as a folder that may not be written refuses them; root may write to any folder."""
    artifacts, aside = runs / ARTIFACTS, runs.parent / "aside"
    artifacts.rename(aside)
    artifacts.write_text("")
    try:
        yield
    finally:
        artifacts.unlink()
        aside.rename(artifacts)


@dataclass
class Gone:
    """A client that answers only so many calls. called: how many there were."""

    after: int
    called: int = 0
    kept: dict[str, Any] = field(default_factory=dict)

    @contextlib.contextmanager
    def going(self, runs: Path) -> Iterator[None]:
        from mlflow import MlflowClient

        names = [
            name for name in vars(MlflowClient) if not name.startswith("_") and callable(getattr(MlflowClient, name))
        ]
        with contextlib.ExitStack() as held:
            for name in names:
                held.enter_context(patch.object(MlflowClient, name, self._counted(getattr(MlflowClient, name))))
            yield

    def _counted(self, method: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **named: object) -> object:
            self.called += 1
            if self.called > self.after:
                raise ConnectionError("the server went away")
            return method(*given, **named)

        return call


def record_first(week: Week, runs: Path) -> int:
    """Records the first week, so that there is a database; and how many calls of a client the second one takes."""
    if (ended := called(partial(week, runs, FIRST))).status != DONE or ended.said.count("MLflow"):
        raise RuntimeError(f"the first week was not recorded: {ended.status} {ended.said}")
    counted, copy = Gone(1 << 30), runs.parent / "counted"
    shutil.copytree(runs, copy)
    with counted.going(copy):
        called(partial(week, copy, SECOND))
    shutil.rmtree(copy)
    return counted.called


def without_mlflow(
    week: Week, runs: Path, gone: Callable[[Path], AbstractContextManager[None]], told: bool
) -> list[FaultFound]:
    """told: whether the fault cannot go unnoticed, whenever it happens."""
    with gone(runs):
        ended = called(partial(week, runs, SECOND))
    faults = ended.faults((DONE,), *(MISSING if told else ()))
    pointer = current(runs)
    if pointer is None or pointer.run != "2026-W48":
        faults.append(FaultFound("lost or half published", "the week is not published"))
    again = called(partial(week, runs, SECOND))
    faults += again.faults((DONE,))
    if (records := recorded(runs)) != 1:
        faults.append(
            FaultFound("not told", f"after the next call {records} finished records of the week: {again.said[-300:]}")
        )
    shutil.rmtree(runs.parent)
    return faults


def recorded(runs: Path) -> int:
    """Finished runs of the second week."""
    asked = (
        "SELECT count(*) FROM runs JOIN tags USING (run_uuid) WHERE tags.key = 'offermix.kind' AND tags.value = 'week' "
        "AND runs.name = '2026-W48' AND runs.status = 'FINISHED'"
    )
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
        return int(database.execute(asked).fetchone()[0])


def weeks_without_mlflow(weeks: TinyWeeks) -> FaultSection:
    """Each way in which it can be gone, and going away after so many of its answers."""
    started, place, generator = time.perf_counter(), weeks.place("mlflow"), random.Random(weeks.wanted.first)
    week, base = weeks.changed(TRACKED), place / "base"
    shutil.copytree(weeks.before, base)
    calls = weeks.pool.submit(record_first, week, base).result()
    midway = [generator.randrange(number * calls // MIDWAY, (number + 1) * calls // MIDWAY) for number in range(MIDWAY)]
    ways: list[tuple[str, Callable[[Path], AbstractContextManager[None]]]] = [
        ("a server that nobody answers for", unreachable),
        ("the database is locked", database_locked),
        ("artifacts cannot be written", place_taken),
        *((f"gone after {n} of {calls} calls", Gone(n).going) for n in midway),
    ]
    going = []
    for number, (name, gone) in enumerate(ways[weeks.wanted.first % weeks.every :: weeks.every]):
        runs = place / str(number) / "runs"
        shutil.copytree(base, runs)
        going.append((name, weeks.pool.submit(without_mlflow, week, runs, gone, True)))
    faults = []
    for name, each in going:
        faults += [fault.at(name) for fault in each.result()]
        weeks.told()
    row = FaultRow("MLflow is gone", len(going), len(going), tuple(faults), time.perf_counter() - started)
    return FaultSection(
        "mlflow", (row,), f"before a week, and after so many of the {calls} calls that its record takes"
    )
