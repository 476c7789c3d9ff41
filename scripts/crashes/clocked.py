"""Clocks that are wrong: set back between two weeks, or in the middle of one, also as the file system dates its files."""

import os
import random
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

from ranker import disk
from ranker.disk import Act
from scripts.cli.statuses import DONE
from scripts.crashes.called import called
from scripts.crashes.prepared import TinyWeeks, Week
from scripts.crashes.records import FaultFound, FaultRow, FaultSection
from scripts.crashes.resumed import FinishedWeek, Resumed
from scripts.crashes.tiny_week import SECOND
from scripts.runs import clock
from scripts.runs.published import published_before

BACK = (timedelta(seconds=2), timedelta(hours=1), timedelta(days=8), timedelta(days=400))
BETWEEN, DURING = "clock set back between two runs", "clock set back during a run"


@dataclass
class ClockSetBack:
    """A watcher that sets the clock back before the n-th act, and dates what is written from then on by it."""

    by: timedelta
    n: int
    held: ExitStack
    acts: int = 0

    def before(self, act: Act) -> None:
        self.acts += 1
        if self.acts == self.n:
            self.held.enter_context(clock.set_back(self.by))

    def after(self, act: Act) -> None:
        if act.kind == "write" and self.acts >= self.n and act.path.exists():
            then = time.time() - self.by.total_seconds()
            os.utime(act.path, (then, then))


def run_set_back(week: Week, runs: Path, by: timedelta, n: int, whole: FinishedWeek) -> list[FaultFound]:
    """The second week, with the clock set back before its n-th act, and what it leaves; and once more with the clock right again."""

    def run() -> None:
        with ExitStack() as held, disk.watched(ClockSetBack(by, n, held)):
            week(runs, SECOND)

    faults = called(run).faults((DONE,))
    for again in (run, partial(week, runs, SECOND)):
        seen = Resumed(runs)
        seen.compare(whole)
        faults += seen.faults
        faults += called(again).faults((DONE,))
    flips = published_before(runs)
    if any(later.previous != earlier.run for earlier, later in pairwise(flips)):
        faults.append(FaultFound("lost or half published", "the history of publications is no chain"))
    shutil.rmtree(runs)
    return faults


def clocks_set_back(weeks: TinyWeeks) -> FaultSection:
    """By a little and by much, before the first act and at seeded ones."""
    started, place, generator = time.perf_counter(), weeks.place("clock"), random.Random(weeks.wanted.first)
    tried = [(BETWEEN, by, 1) for by in BACK] + [(DURING, by, generator.randrange(2, 240)) for by in BACK]
    going = []
    for number, (kind, by, n) in enumerate(tried):
        runs = place / str(number)
        shutil.copytree(weeks.before, runs)
        going.append(
            (kind, f"{by} back before act {n}", weeks.pool.submit(run_set_back, weeks.week, runs, by, n, weeks.whole))
        )
    faults: dict[str, list[FaultFound]] = {BETWEEN: [], DURING: []}
    for kind, where, each in going:
        faults[kind] += [fault.at(where) for fault in each.result()]
        weeks.told()
    seconds = time.perf_counter() - started
    rows = [
        FaultRow(kind, len(BACK), len(BACK), tuple(faults[kind]), seconds if kind == BETWEEN else 0.0)
        for kind in (BETWEEN, DURING)
    ]
    remark = "a week of tables is named by the day on which it runs, unless `run=` names it"
    return FaultSection("clock", tuple(rows), remark)
