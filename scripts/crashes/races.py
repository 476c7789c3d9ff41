"""Two publishers at once, each a process of its own: exactly one wins, and the other says so.

On a disk both have the same folder of runs; whoever has its lock keeps it until the other was turned away. On a store each has a folder of
its own, as two machines have; both stand right before the conditional put of the pointer when it begins.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import NamedTuple

from ranker import disk
from ranker.disk import Act
from ranker.files import InputError
from scripts.crashes.flips import ANEW
from scripts.crashes.tiny_runs import Backend, Place, place_at, tiny_run, without_words
from scripts.formats.pointer import POINTER
from scripts.runs.pointer import LostRace
from scripts.stores import objects
from scripts.stores.objects import Request

PATIENCE = 60.0
"""Seconds after which a publisher does not wait for the other any longer."""


@dataclass(frozen=True)
class RacesRun:
    """one_won: of the races; faults: of the others, in sentences."""

    backend: Backend
    races: int
    one_won: int
    faults: tuple[str, ...]
    seconds: float


class _Told(NamedTuple):
    """What a publisher came to. words: of the loser."""

    won: bool
    words: str


@dataclass
class _Together:
    """Brings two publishers to the same moment. turned_away: whoever lost on a disk."""

    barrier: Barrier
    turned_away: Event
    arrived: bool = field(default=False, init=False)

    def before(self, step: Act | Request) -> None:
        if isinstance(step, Act) and not self.arrived:
            self.arrived = True
            self.turned_away.wait(PATIENCE)  # it has the lock
        elif isinstance(step, Request) and step == Request("swap", POINTER):
            self.barrier.wait(PATIENCE)

    def after(self, step: Act | Request) -> None:
        """What was done needs no company."""


def races(backend: Backend, count: int, folder: Path) -> RacesRun:
    """Lets two publishers publish a run each, `count` times, both beginning with the same publication.

    Args:
        backend: `local disk` or `local S3`.
        count: of races.
        folder: an empty one.
    """
    started = time.perf_counter()
    with place_at(backend, folder) as place, without_words():
        place.publish(tiny_run(place.runs, "W0").name)
        both = _places(place, folder)
        faults = list(_run(both, count))
        broken = [f"the chain is broken: {fault}" for fault in place.chain().broken]
    return RacesRun(backend, count, count - len(faults), tuple(faults + broken), time.perf_counter() - started)


def _places(place: Place, folder: Path) -> tuple[Place, Place]:
    if place.store is None:
        return place, place
    other = folder / "other"
    disk.make_folder(other)
    return place, Place(other, place.store)


def _run(places: tuple[Place, Place], count: int) -> Iterator[str]:
    """A sentence for every race that not exactly one won."""
    barrier, turned_away = ANEW.Barrier(2), ANEW.Event()
    pipes = [ANEW.Pipe() for _ in places]
    workers = [
        ANEW.Process(target=_publish_each, args=(place, theirs, barrier, turned_away), daemon=True)
        for place, (_, theirs) in zip(places, pipes, strict=True)
    ]
    for worker in workers:
        worker.start()
    try:
        for race in range(1, count + 1):
            turned_away.clear()
            names = [f"R{race}-{side}" for side in "ab"]
            for place, name, (ours, _) in zip(places, names, pipes, strict=True):
                tiny_run(place.runs, name)
                ours.send(name)
            told = [ours.recv() for ours, _ in pipes]
            if fault := _fault(places[0], names, told):
                yield f"race {race}: {fault}"
    finally:
        for worker in workers:
            worker.kill()


def _fault(place: Place, names: list[str], told: list[_Told]) -> str | None:
    winners = [name for name, each in zip(names, told, strict=True) if each.won]
    if len(winners) != 1:
        return f"{len(winners)} won: {[each.words for each in told]}"
    words = next(each.words for each in told if not each.won)
    expected = "is at it now" if place.store is None else f"another publisher was first: {winners[0]} "
    if expected not in words:
        return f"the loser says: {words}"
    found = place.read().run
    return None if found == winners[0] else f"{winners[0]} won, and {found} is published"


def _publish_each(place: Place, told: Connection, barrier: Barrier, turned_away: Event) -> None:
    """A publisher: publishes each run that it is sent, until it is ended."""
    with without_words():
        while True:
            told.send(_publish(place, told.recv(), _Together(barrier, turned_away)))


def _publish(place: Place, name: str, together: _Together) -> _Told:
    try:
        if place.store is None:
            with disk.watched(together):
                return _Told(place.publish(name).moved, "")
        with objects.watched(together):
            return _Told(place.publish(name).moved, "")
    except (InputError, LostRace) as error:
        together.turned_away.set()
        return _Told(False, str(error))
    except Exception as error:  # is told, and no win
        together.turned_away.set()
        return _Told(False, f"{type(error).__name__}: {error}")
