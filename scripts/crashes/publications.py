"""Publications that a reader, a rival and stops come between, on a disk and on a local S3 server; a slow test tries more of them."""

from collections.abc import Iterable, Iterator

from scripts.crashes.flips import flips_under_a_reader
from scripts.crashes.prepared import TinyWeeks
from scripts.crashes.races import races
from scripts.crashes.records import FaultFound, FaultRow, FaultSection, Sort
from scripts.crashes.requests_stopped import stopped_at_every_request
from scripts.crashes.tiny_runs import BACKENDS

FLIPS, RACES = 100, 20


def publications(weeks: TinyWeeks) -> FaultSection:
    """All of them, one after the other, each with processes of its own."""
    return FaultSection("publications", tuple(_rows(weeks)))


def _rows(weeks: TinyWeeks) -> Iterator[FaultRow]:
    for backend in BACKENDS:
        seen = flips_under_a_reader(backend, _some(FLIPS, weeks), weeks.place(f"flips {backend}"))
        weeks.told()
        remark = f"{seen.reads:,} reads of {seen.versions:,} publications"
        yield _row(f"flips under a reader, {backend}", seen.flips, seen.faults, seen.seconds, remark)
    for backend in BACKENDS:
        run = races(backend, _some(RACES, weeks), weeks.place(f"rivals {backend}"))
        weeks.told()
        yield _row(f"two publishers, {backend}", run.races, run.faults, run.seconds, f"one won in {run.one_won:,}")
    stopped = stopped_at_every_request(weeks.place("requests"))
    weeks.told()
    remark = f"readers see the week before in {stopped.old:,}, the new one in {stopped.new:,}"
    yield _row("a publisher stopped around each request", stopped.points, stopped.faults, stopped.seconds, remark)


def _some(places: int, weeks: TinyWeeks) -> int:
    return max(1, places // weeks.every)


def _row(kind: str, places: int, faults: Iterable[str], seconds: float, remark: str) -> FaultRow:
    sort: Sort = "lost or half published"
    return FaultRow(kind, places, 0, tuple(FaultFound(sort, each) for each in faults), seconds, remark)
