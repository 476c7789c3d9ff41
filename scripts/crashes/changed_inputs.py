"""Input that changes while a week runs: tables, users, catalogue or policy, each at a few moments between the first and the last act."""

import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ranker import disk
from ranker.catalogue import CATALOGUE_FILE
from ranker.disk import Act
from scripts.cli.statuses import DONE, WRONG_INPUT
from scripts.crashes.called import called
from scripts.crashes.prepared import TinyWeeks, Week
from scripts.crashes.records import FaultFound, FaultRow, FaultSection
from scripts.crashes.resumed import FinishedWeek, Resumed
from scripts.crashes.tiny_week import SECOND
from scripts.formats.gates import GATES
from scripts.runs.published import current

INPUTS = ("policy.yaml", "tables/users", "tables/exposures", "tables/outcomes", "users", CATALOGUE_FILE)
MOMENTS = 3


@dataclass
class Counting:
    """A watcher that counts acts, and knows at which one publishing begins."""

    acts: int = 0
    publishing: int = 0

    def before(self, act: Act) -> None:
        self.acts += 1
        if act.kind == "write" and GATES in act.path.name and not self.publishing:
            self.publishing = self.acts

    def after(self, act: Act) -> None:
        pass


@dataclass
class Changing:
    """A watcher that adds bytes to a file before the n-th act."""

    file: Path
    n: int
    acts: int = 0

    def before(self, act: Act) -> None:
        self.acts += 1
        if self.acts == self.n:
            change(self.file)

    def after(self, act: Act) -> None:
        pass


def change(file: Path) -> None:
    """Another content of the same size, at the same place, with the time that it had: as a careless copy does."""
    held = file.stat()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    with file.open("r+b") as opened:
        opened.write(content)
    os.utime(file, ns=(held.st_atime_ns, held.st_mtime_ns))


def week_of_tables(weeks: TinyWeeks, source: Path) -> Week:
    """The second week from tables outside."""
    return weeks.changed({"weekly": {"tables": source, "policy": source / "policy.yaml", "run": "2026-W48"}})


def watch_tables(week: Week, runs: Path) -> tuple[Counting, FinishedWeek]:
    counting = Counting()

    def counted() -> None:
        with disk.watched(counting):
            week(runs, SECOND)

    if (ended := called(counted)).status != DONE:
        raise RuntimeError(f"the week that was watched ended in {ended.status}: {ended.said}")
    return counting, FinishedWeek.of(runs)


def change_during(
    week: Week, runs: Path, source: Path, name: str, n: int, late: bool, whole: FinishedWeek
) -> list[FaultFound]:
    """late: publishing had begun, so all that is published was made from what was there before."""
    file = next((each for each in sorted((source / name).rglob("*.parquet"))), source / name)
    kept = file.read_bytes()

    def changing() -> None:
        with disk.watched(Changing(file, n)):
            week(runs, SECOND)

    before = current(runs)
    ended = called(changing)
    faults = ended.faults((WRONG_INPUT, DONE) if late else (WRONG_INPUT,), *(() if late else _names(source, name)))
    if not late and current(runs) != before:
        faults.append(FaultFound("lost or half published", f"a week of {name} as it was and is now is published"))
    file.write_bytes(kept)
    seen = Resumed(runs)
    seen.check(partial(week, runs, SECOND), whole)
    shutil.rmtree(runs.parent)
    return faults + seen.faults


def _names(source: Path, name: str) -> Iterator[str]:
    yield str(source / name.split("/")[0])


def changed_inputs(weeks: TinyWeeks) -> FaultSection:
    """Changes each input at seeded moments."""
    started, place, generator = time.perf_counter(), weeks.place("inputs"), random.Random(weeks.wanted.first)
    week, runs = _copy(weeks, place / "whole")
    counting, whole = weeks.pool.submit(watch_tables, week, runs).result()
    tried = [
        (name, generator.randint(1 + number * counting.acts // MOMENTS, (number + 1) * counting.acts // MOMENTS))
        for name in INPUTS
        for number in range(MOMENTS)
    ][weeks.wanted.first % weeks.every :: weeks.every]
    going = []
    for number, (name, n) in enumerate(tried):
        week, runs = _copy(weeks, place / str(number))
        asked = (week, runs, runs.parent / "market", name, n, n >= counting.publishing, whole)
        going.append((f"{name} before act {n}", weeks.pool.submit(change_during, *asked)))
    faults = []
    for where, each in going:
        faults += [fault.at(where) for fault in each.result()]
        weeks.told()
    row = FaultRow("input changes during a run", len(tried), len(tried), tuple(faults), time.perf_counter() - started)
    remark = "settings of conf/ are read once, when a command starts: what changes there later is for the next call"
    return FaultSection("inputs", (row,), remark)


def _copy(weeks: TinyWeeks, place: Path) -> tuple[Week, Path]:
    """The week of a market's copy, and a folder of runs with the first week."""
    disk.make_folder(place)
    shutil.copytree(weeks.before, place / "runs")
    shutil.copytree(weeks.finished / "2026-W48" / "market", place / "market")
    shutil.copyfile(weeks.settings.weekly.policy, place / "market" / "policy.yaml")
    return week_of_tables(weeks, place / "market"), place / "runs"
