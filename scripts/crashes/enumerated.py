"""All stops of a tiny week, each checked in a folder of its own, in a few processes at once."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib import import_module
from pathlib import Path

from ranker import disk
from scripts.cli.settings import FaultsOptions, Settings
from scripts.crashes.kept_by_disk import KeptByDisk
from scripts.crashes.records import Faults, KindOfStop
from scripts.crashes.resumed import FinishedWeek, Resumed, arithmetic_kept, quiet
from scripts.crashes.stopped import KINDS, State, StopWatcher
from scripts.crashes.tiny_week import FIRST, SECOND, tiny_week

FORKED = multiprocessing.get_context("fork")
"""Processes that have everything imported; nothing was computed before they part, so no thread is lost."""


Week = Callable[[Path, date], object]
"""Runs the week of a snapshot in a folder of runs."""


@dataclass(frozen=True)
class Watched:
    """A week that was watched to its end: what its stops leave, what itself left, and its writes."""

    states: tuple[State, ...]
    whole: FinishedWeek
    acts: int


def enumerate_stops(
    settings: Settings, wanted: FaultsOptions, folder: Path, told: Callable[[int], object] = lambda states: None
) -> Faults:
    """Stops a tiny week at every write and checks what is left.

    Args:
        settings: of the command; data, model and fit are made small.
        wanted: how many users, processes at once, and of how many states one is checked.
        folder: an empty one, for all copies.
        told: is called after every state that is checked, with how many there are.
    """
    started, week = time.perf_counter(), partial(_week, settings, wanted.users)
    with ProcessPoolExecutor(1, FORKED) as alone:
        watched = alone.submit(watch, week, folder).result()
    chosen = watched.states[:: wanted.every]
    with ProcessPoolExecutor(wanted.processes, FORKED) as pool:
        checks = [pool.submit(check, week, state, watched.whole) for state in chosen]
        found = []
        for each in checks:
            found.append(each.result())
            told(len(checks))
    return faults_of(watched, chosen, found, time.perf_counter() - started)


def _week(settings: Settings, users: int, runs: Path, snapshot: date) -> None:
    with arithmetic_kept():
        import_module("scripts.weekly").run(tiny_week(settings, users, runs, snapshot))


def watch(week: Week, folder: Path) -> Watched:
    """Runs two weeks below an empty folder and keeps every state that a stop of the second one can leave."""
    runs, aside, states = (folder / name for name in ("runs", "synced", "states"))
    for made in (aside, states):
        disk.make_folder(made)
    with quiet():
        week(runs, FIRST)
        watcher = StopWatcher(runs, states, KeptByDisk(runs, aside))
        with disk.watched(watcher):
            week(runs, SECOND)
    return Watched(tuple(watcher.states.values()), FinishedWeek.of(runs), watcher.acts)


def check(week: Week, state: State, whole: FinishedWeek) -> list[str]:
    """What is wrong with a state, before and after the second week is called again there."""
    found = Resumed(state.folder)
    found.check(partial(week, state.folder, SECOND), whole)
    return found.faults


def faults_of(watched: Watched, chosen: Sequence[State], found: Sequence[list[str]], seconds: float) -> Faults:
    """found: what is wrong with each of the chosen states."""
    kinds = tuple(_by_kind(watched.states, chosen, found))
    return Faults(watched.acts, len(watched.states), len(chosen), kinds, seconds)


def _by_kind(states: Sequence[State], chosen: Sequence[State], found: Sequence[list[str]]) -> Iterator[KindOfStop]:
    """A state that stops of several kinds leave is one of each."""
    for kind in KINDS:
        wrong = [
            f"{stop}: {fault}"
            for state, faults in zip(chosen, found, strict=True)
            for stop in [each for each in state.stops if each.kind == kind][:1]
            for fault in faults
        ]
        yield KindOfStop(
            kind,
            points=sum(each.kind == kind for state in states for each in state.stops),
            states=sum(any(each.kind == kind for each in state.stops) for state in chosen),
            faults=tuple(wrong),
        )
