"""A pointer flipped under a reader that never stops reading, in a process of its own: what it read was whole each time, or not."""

import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

from scripts.crashes.tiny_runs import Backend, Place, place_at, tiny_run, without_words

ANEW = multiprocessing.get_context("spawn")
"""Processes that begin anew: a store's connections do not survive a fork."""
FRESH = 10
"""Of so many flips one is to a run that was never published; the others go back and forth."""


@dataclass(frozen=True)
class FlipsSeen:
    """reads: of the reader, each of all files; versions: different publications among them; faults: of reads that were not whole."""

    backend: Backend
    flips: int
    reads: int
    versions: int
    faults: tuple[str, ...]
    seconds: float


def flips_under_a_reader(backend: Backend, flips: int, folder: Path) -> FlipsSeen:
    """Publishes and rolls back until the pointer moved `flips` times, while a reader reads in a loop.

    Args:
        backend: `local disk` or `local S3`.
        flips: how often the pointer moves.
        folder: an empty one.
    """
    started = time.perf_counter()
    with place_at(backend, folder) as place, without_words():
        place.publish(tiny_run(place.runs, "W0").name)
        stop, (theirs, ours) = ANEW.Event(), ANEW.Pipe(duplex=False)
        reader = ANEW.Process(target=_read_until, args=(place, stop, ours), daemon=True)
        reader.start()
        theirs.recv()  # it has begun
        try:
            for flip in range(1, flips + 1):
                _flip(place, flip)
            stop.set()
            reads, versions, faults = theirs.recv()
        finally:
            reader.kill() if not stop.is_set() else reader.join()
        faults += [f"the chain is broken: {fault}" for fault in place.chain().broken]
    return FlipsSeen(backend, flips, reads, versions, tuple(faults), time.perf_counter() - started)


def _flip(place: Place, flip: int) -> None:
    """To a fresh run, then back and forth between the last two."""
    fresh = flip - (flip - 1) % FRESH
    if flip == fresh:
        moved = place.publish(tiny_run(place.runs, f"W{flip}").name).moved
    else:
        back, forth = f"W{max(fresh - FRESH, 0)}", f"W{fresh}"
        moved = place.rollback(back if (flip - fresh) % 2 else forth).moved
    if not moved:
        raise RuntimeError(f"flip {flip} did not move the pointer")


def _read_until(place: Place, stop: Event, told: Connection) -> None:
    reads, versions, faults = 0, set[str | None](), list[str]()
    while not stop.is_set():
        try:
            pointer = place.read()
            versions.add(f"{pointer.number} {pointer.run}")
        except Exception as error:
            faults.append(f"{type(error).__name__}: {error}")
        reads += 1
        if reads == 1:
            told.send("begun")
    told.send((reads, len(versions), faults))
