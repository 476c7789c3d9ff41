"""Two tiny weeks that every kind of fault begins from: the first one published, and the second one as it ends when nothing is wrong."""

import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib import import_module
from pathlib import Path

from ranker import disk
from scripts.cli.settings import FaultsOptions, Settings
from scripts.crashes.resumed import FinishedWeek, arithmetic_kept, quiet
from scripts.crashes.tiny_week import FIRST, SECOND, Changes, tiny_week

Week = Callable[[Path, date], object]
"""Runs the week of a snapshot in a folder of runs."""


@dataclass(frozen=True)
class TinyWeeks:
    """before: a folder of runs with the first week published; finished: with both; whole: what `finished` holds.

    pool: processes that check at once; each learns a week's model once. folder: for copies. told: is called after every check. every: of
    so many places of a kind of fault, one is tried.
    """

    settings: Settings
    wanted: FaultsOptions
    folder: Path
    before: Path
    finished: Path
    whole: FinishedWeek
    pool: ProcessPoolExecutor
    told: Callable[[], object]
    every: int = 1

    @property
    def week(self) -> Week:
        return partial(run_week, self.settings, self.wanted.users)

    def changed(self, changes: Changes) -> Week:
        """The week with other settings."""
        return partial(run_week, self.settings, self.wanted.users, changes=changes)

    def place(self, name: str) -> Path:
        """A new folder for copies."""
        made = self.folder / name
        disk.make_folder(made)
        return made


def prepare_weeks(
    settings: Settings,
    wanted: FaultsOptions,
    folder: Path,
    pool: ProcessPoolExecutor,
    told: Callable[[], object] = lambda: None,
) -> TinyWeeks:
    """Both weeks below an empty folder."""
    before, finished = folder / "before", folder / "finished"
    whole = pool.submit(_both, settings, wanted.users, before, finished).result()
    return TinyWeeks(settings, wanted, folder, before, finished, whole, pool, told)


def _both(settings: Settings, users: int, before: Path, finished: Path) -> FinishedWeek:
    with quiet():
        run_week(settings, users, before, FIRST)
        shutil.copytree(before, finished)
        run_week(settings, users, finished, SECOND)
    return FinishedWeek.of(finished)


def run_week(settings: Settings, users: int, runs: Path, snapshot: date, changes: Changes | None = None) -> object:
    with arithmetic_kept():
        return import_module("scripts.weekly").run(tiny_week(settings, users, runs, snapshot, changes))
