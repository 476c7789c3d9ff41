"""A publisher stopped at every request to its store, before and after: readers see the old publication or the new one, the next call ends.

A store has no halves: a request is done whole or not at all. So what a stop can leave is enumerated by counting requests.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ranker import disk
from ranker.files import InputError
from scripts.crashes.local_s3 import local_s3
from scripts.crashes.tiny_runs import Place, tiny_run, without_words
from scripts.runs.published import chain_of, current
from scripts.stores import objects
from scripts.stores.objects import ObjectStore, Request

OLD, NEW = "W0", "W1"
MOST = 10_000


class PublisherStopped(BaseException):
    """Ends a publisher; nothing catches it."""


@dataclass
class _StopAt:
    """Point 0 stops before the first request, point 1 after it, point 2 before the second one, and so on."""

    point: int
    seen: int = 0
    one: threading.Lock = field(default_factory=threading.Lock)

    def before(self, request: Request) -> None:
        self._count()

    def after(self, request: Request) -> None:
        self._count()

    def _count(self) -> None:
        with self.one:
            self.seen += 1
        if self.seen > self.point:
            raise PublisherStopped


@dataclass(frozen=True)
class RequestsStopped:
    """points: stops that were tried; old, new: of them, after how many readers saw the old or the new publication."""

    points: int
    old: int
    new: int
    faults: tuple[str, ...]
    seconds: float


def stopped_at_every_request(folder: Path) -> RequestsStopped:
    """Publishes a run on a local S3 server, and another one that is stopped at each of its requests in turn. folder: an empty one."""
    with local_s3() as server:
        return stops_on(lambda point: ObjectStore(server.address(f"stop-{point}")), folder)


def stops_on(stores: Callable[[int], ObjectStore], folder: Path) -> RequestsStopped:
    """As `stopped_at_every_request`. stores: an empty one for every stop."""
    started, seen, faults = time.perf_counter(), list[str](), list[str]()
    with without_words():
        for point in range(MOST):
            place = Place(folder / f"runs-{point}", stores(point))
            disk.make_folder(place.runs)
            faults += [f"point {point}: {fault}" for fault in _tried(place, point, seen)]
            if len(seen) == point:  # it was not stopped any more
                break
    return RequestsStopped(len(seen), seen.count(OLD), seen.count(NEW), tuple(faults), time.perf_counter() - started)


def _tried(place: Place, point: int, seen: list[str]) -> Iterator[str]:
    """seen: gets what readers see after the stop, where there was one."""
    place.publish(tiny_run(place.runs, OLD).name)
    tiny_run(place.runs, NEW)
    try:
        with objects.watched(_StopAt(point)):
            place.publish(NEW)
    except PublisherStopped:
        seen.append(_read(place))
        if seen[-1] not in (OLD, NEW):
            yield f"readers see {seen[-1]}"
        place.publish(NEW)
    if _read(place) != NEW:
        yield f"the next call ends with {_read(place)}"
    here = current(place.runs)
    if here is None or here.run != NEW:
        yield "the folder of runs is behind"
    yield from place.chain().broken
    yield from chain_of(place.runs).broken


def _read(place: Place) -> str:
    """The run that readers see whole, or why there is none."""
    try:
        return place.read().run
    except InputError as error:
        return f"nothing whole: {error.problems[0]}"
