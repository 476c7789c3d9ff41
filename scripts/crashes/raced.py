"""Two at once: the same week called twice, and a publisher against a rollback, while somebody reads what is published."""

import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from ranker.files import InputError
from scripts.cli.settings import PublishOptions
from scripts.cli.statuses import DONE, WRONG_INPUT
from scripts.crashes.called import Called, called
from scripts.crashes.damaged import EARLIER, WEEK, not_yet_published
from scripts.crashes.prepared import TinyWeeks, Week
from scripts.crashes.records import FaultFound, FaultRow, FaultSection
from scripts.crashes.resumed import FinishedWeek, Resumed, quiet
from scripts.crashes.tiny_week import ANSWERED, SECOND
from scripts.runs.pointer import publish, rollback
from scripts.runs.published import flips_written

WHOLE_WEEKS, PUBLISHING, FLIPS = 8, 24, 100
SOON = 0.3
"""Seconds from now at which both begin: more than it takes to reach both processes."""
BUSY = "another run is writing it now", "another publish or rollback is at it now"


@dataclass(frozen=True)
class Race:
    """kind: the row; runs: a folder of its own; late: by how many seconds the second one begins later."""

    kind: str
    runs: Path
    late: float


def run_at(week: Week, runs: Path, moment: float) -> Called:
    time.sleep(max(0.0, moment - time.time()))
    return called(partial(week, runs, SECOND))


def judged_race(week: Week, runs: Path, both: Sequence[Called], whole: FinishedWeek) -> list[FaultFound]:
    """One of both does the week; the other one does it after it, or says that it is at it."""
    faults = [fault for each in both for fault in each.faults((DONE, WRONG_INPUT))]
    if not any(each.status == DONE for each in both):
        faults.append(FaultFound("lost or half published", f"none of both ended: {both[0].said} {both[1].said}"))
    faults += [fault for each in both if each.status != DONE for fault in each.faults((WRONG_INPUT,), *BUSY)]
    seen = Resumed(runs)
    seen.read(whole)
    seen.compare(whole)
    seen.check(partial(week, runs, SECOND), whole)
    shutil.rmtree(runs)
    return faults + seen.faults


def flip_often(runs: Path, to: str, moment: float, between: float) -> list[str]:
    """Publishes, or rolls back to, a week, FLIPS times; what each call came to: `flipped`, `was there`, `busy`, or words."""
    answered = PublishOptions(**ANSWERED)
    flip: Callable[[], bool] = (
        (lambda: publish(runs / to, answered).moved) if to == WEEK else (lambda: rollback(runs, to).moved)
    )
    found = []
    with quiet():
        for number in range(FLIPS):
            time.sleep(max(0.0, moment + number * between - time.time()))
            found.append(_outcome(flip))
    return found


def _outcome(flip: Callable[[], bool]) -> str:
    try:
        return "flipped" if flip() else "was there"
    except InputError as error:
        return "busy" if BUSY[1] in str(error) else str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def races(weeks: TinyWeeks) -> FaultSection:
    """All of them."""
    place = weeks.place("races")
    return FaultSection("races", (*_of_weeks(weeks, place), _of_flips(weeks, place / "flips")))


def _of_weeks(weeks: TinyWeeks, place: Path) -> list[FaultRow]:
    generator = random.Random(weeks.wanted.first)
    kinds = (
        ("two runs of a week at once, from its beginning", WHOLE_WEEKS, 1.0),
        ("two runs of a week at once, when it only has to be published", PUBLISHING, 0.2),
    )
    rows = []
    for number, (kind, many, latest) in enumerate(kinds):
        started, faults = time.perf_counter(), list[FaultFound]()
        tried = range(weeks.wanted.first % weeks.every, many, weeks.every)
        for each in tried:
            runs = place / f"{number} {each}"
            shutil.copytree(weeks.finished if number else weeks.before, runs)
            if number:
                not_yet_published(weeks, runs)
            late = generator.uniform(0, latest)
            begin = time.time() + SOON
            both = [weeks.pool.submit(run_at, weeks.week, runs, moment) for moment in (begin, begin + late)]
            ended = [one.result() for one in both]
            wrong = weeks.pool.submit(judged_race, weeks.week, runs, ended, weeks.whole).result()
            faults += [fault.at(f"the second one {late:.2f} s later") for fault in wrong]
            weeks.told()
        rows.append(FaultRow(kind, len(tried), len(tried), tuple(faults), time.perf_counter() - started))
    return rows


def _of_flips(weeks: TinyWeeks, runs: Path) -> FaultRow:
    started = time.perf_counter()
    shutil.copytree(weeks.finished, runs)
    begin, seen, reads = time.time() + SOON, Resumed(runs), 0
    both = [weeks.pool.submit(flip_often, runs, to, begin, 0.05) for to in (WEEK, EARLIER)]
    while not all(each.done() for each in both):
        seen.read(weeks.whole)
        reads += 1
    outcomes = [outcome for each in both for outcome in each.result()]
    faults = [*seen.faults, *_wrong_flips(runs, outcomes)]
    remark = (
        f"{outcomes.count('flipped')} flips, {outcomes.count('busy')} told that another one was at it, {reads:,} reads"
    )
    seconds = time.perf_counter() - started
    return FaultRow("a publisher against a rollback", FLIPS, 1, tuple(faults), seconds, remark)


def _wrong_flips(runs: Path, outcomes: Sequence[str]) -> list[FaultFound]:
    known = ("flipped", "was there", "busy")
    faults = [FaultFound("not told", outcome) for outcome in outcomes if outcome not in known]
    written = flips_written(runs)
    if any(later.previous != earlier.run for earlier, later in pairwise(written)):
        faults.append(FaultFound("lost or half published", "the history of publications is no chain"))
    if len(written) != outcomes.count("flipped") + 2:
        faults.append(
            FaultFound(
                "lost or half published", f"{len(written)} flips are written of {outcomes.count('flipped')} and 2"
            )
        )
    return faults + [
        FaultFound("left behind", path.name) for path in runs.iterdir() if path.suffix in (".lock", ".new")
    ]
