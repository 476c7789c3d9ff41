"""All stops of a tiny week, each checked in a folder of its own, in a few processes at once."""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ranker import disk
from scripts.crashes.kept_by_disk import KeptByDisk
from scripts.crashes.prepared import TinyWeeks, Week
from scripts.crashes.records import FaultFound, FaultRow, Faults, FaultSection
from scripts.crashes.resumed import FinishedWeek, Resumed, quiet
from scripts.crashes.stopped import KINDS, State, StopWatcher
from scripts.crashes.tiny_week import FIRST, SECOND


@dataclass(frozen=True)
class Watched:
    """A week that was watched to its end: what its stops leave, what itself left, and its writes."""

    states: tuple[State, ...]
    whole: FinishedWeek
    acts: int


def enumerate_stops(weeks: TinyWeeks) -> FaultSection:
    """Stops a tiny week at every write and checks what is left."""
    started = time.perf_counter()
    watched = weeks.pool.submit(watch, weeks.week, weeks.place("stops")).result()
    chosen = watched.states[weeks.wanted.first % weeks.every :: weeks.every]
    found = check_states(weeks, chosen)
    return faults_of(watched, chosen, found, time.perf_counter() - started).section()


def check_states(weeks: TinyWeeks, states: Sequence[State]) -> list[list[FaultFound]]:
    """What is wrong with each."""
    checks = [weeks.pool.submit(check, weeks.week, state, weeks.whole) for state in states]
    found = []
    for each in checks:
        found.append(each.result())
        weeks.told()
    return found


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


def check(week: Week, state: State, whole: FinishedWeek) -> list[FaultFound]:
    """What is wrong with a state, before and after the second week is called again there."""
    found = Resumed(state.folder)
    found.check(partial(week, state.folder, SECOND), whole)
    shutil.rmtree(state.folder)
    return found.faults


def faults_of(watched: Watched, chosen: Sequence[State], found: Sequence[list[FaultFound]], seconds: float) -> Faults:
    """found: what is wrong with each of the chosen states."""
    kinds = tuple(_by_kind(watched.states, chosen, found))
    return Faults(watched.acts, len(watched.states), len(chosen), kinds, seconds)


def _by_kind(states: Sequence[State], chosen: Sequence[State], found: Sequence[list[FaultFound]]) -> Iterator[FaultRow]:
    """A state that stops of several kinds leave is one of each."""
    for kind in KINDS:
        wrong = [
            fault.at(str(stop))
            for state, faults in zip(chosen, found, strict=True)
            for stop in [each for each in state.stops if each.kind == kind][:1]
            for fault in faults
        ]
        yield FaultRow(
            kind,
            places=sum(each.kind == kind for state in states for each in state.stops),
            checked=sum(any(each.kind == kind for each in state.stops) for state in chosen),
            faults=tuple(wrong),
        )
