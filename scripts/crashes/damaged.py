"""Files that a disk gives back otherwise: of each file of a finished week a bit flips, or the end is gone.

What is published, and what is about to be, is asked for as people do: the week is called again, published by hand, and rolled back to.
"""

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts.cli.settings import PublishOptions
from scripts.cli.statuses import DONE, REFUSED, WRONG_INPUT
from scripts.crashes.called import called
from scripts.crashes.prepared import TinyWeeks, Week
from scripts.crashes.records import FaultFound, FaultRow, FaultSection
from scripts.crashes.resumed import FinishedWeek, Resumed, said_by
from scripts.crashes.tiny_week import ANSWERED, SECOND
from scripts.formats.gates import GATES
from scripts.formats.pointer import HISTORY, POINTER
from scripts.runs.pointer import publish, rollback
from scripts.runs.published import current

FLIP, CUT = "a bit flips", "the end is gone"
WEEK, EARLIER = "2026-W48", "2026-W47"
REFUSED_IT, MADE_AGAIN, ACCEPTED = "refused with the place named", "harmless or made again", "accepted by design"
ALONE = {
    GATES: "what gates found is for people; the pointer and its history say who answered for what",
    HISTORY: "a line that cannot be read is passed over; what is published stands in the pointer",
    POINTER: "when and why are for people, and have no digest of their own; run and allocation are checked by theirs",
}
"""Files that are accepted as they are, and why."""


@dataclass(frozen=True)
class Damage:
    """What was done to a file below the runs folder, and whether its week was published by then."""

    name: str
    how: str
    published: bool

    def __str__(self) -> str:
        return f"{self.name} of a week that {'was' if self.published else 'is to be'} published, {self.how}"


@dataclass(frozen=True)
class Looked:
    """What became of a damage. outcome: one of the three."""

    damage: Damage
    outcome: str
    faults: tuple[FaultFound, ...]


def damage(path: Path, how: str, generator: random.Random) -> None:
    """The file is made anew: other names of it stay whole."""
    content = bytearray(path.read_bytes())
    path.unlink()
    if how == CUT:
        path.write_bytes(content[: len(content) - max(1, generator.randrange(1, max(len(content), 2)))])
        return
    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    path.write_bytes(content)


def look(week: Week, runs: Path, done: Damage, seed: str, whole: FinishedWeek) -> Looked:
    """Damages a file and calls what reads it."""
    path = runs / done.name
    damage(path, done.how, random.Random(seed))
    hurt = path.read_bytes()
    faults = list(_by_hand(runs, done))
    ended = called(partial(week, runs, SECOND))
    if ended.status != DONE:
        outcome, faults = REFUSED_IT, [*faults, *ended.faults((WRONG_INPUT, REFUSED), *_names(runs, done.name))]
    elif path.exists() and path.read_bytes() == hurt and said_by(path) != whole.files[done.name]:
        outcome = ACCEPTED
        if path.name not in ALONE and not done.name.startswith(EARLIER):
            faults.append(FaultFound("not told", "is taken as it is"))
    else:
        outcome, faults = MADE_AGAIN, [*faults, *_as_before(runs, whole, done.name)]
    shutil.rmtree(runs)
    return Looked(done, outcome, tuple(faults))


def _by_hand(runs: Path, done: Damage) -> Iterator[FaultFound]:
    """Publishing and rolling back look at the allocation again."""
    week, _, file = done.name.partition("/allocation/")
    if not file:
        return
    before = current(runs)
    ended = called(lambda: rollback(runs, week) if done.published else publish(runs / week, PublishOptions(**ANSWERED)))
    if ended.status == DONE and current(runs) != before:
        yield FaultFound("lost or half published", "is published by hand, or rolled back to")
    yield from ended.faults((REFUSED, WRONG_INPUT), file)


def _names(runs: Path, name: str) -> Iterator[str]:
    """The file, or a folder that it is in."""
    path = runs / name
    yield path.name
    yield from (str(above) for above in path.parents if above.is_relative_to(runs) and above != runs)


def _as_before(runs: Path, whole: FinishedWeek, damaged: str) -> list[FaultFound]:
    """What is published is whole, and every other file is what it was."""
    seen, found = Resumed(runs), FinishedWeek.of(runs)
    seen.read(FinishedWeek(whole.files, found.published))
    return seen.faults + [
        FaultFound("other bytes", f"{name} has other bytes afterwards")
        for name, digest in whole.files.items()
        if found.files.get(name) != digest and name != damaged and Path(name).name not in ALONE
    ]


def damages(whole: FinishedWeek, generator: random.Random) -> list[Damage]:
    """Each file both ways; of a published week and of one that is to be published, by turns."""
    names = [name for name in whole.files if name.startswith((f"{WEEK}/", POINTER, HISTORY, f"{EARLIER}/allocation/"))]
    always = (POINTER, HISTORY, f"{EARLIER}/", f"{WEEK}/{GATES}")
    return [
        Damage(name, how, published=name.startswith(always) or generator.random() < 0.5)
        for how in (FLIP, CUT)
        for name in names
    ]


def not_yet_published(weeks: TinyWeeks, runs: Path) -> None:
    """Takes back the publication of the second week."""
    (runs / WEEK / GATES).unlink()
    for name in (POINTER, HISTORY):
        shutil.copyfile(weeks.before / name, runs / name)


def damaged_files(weeks: TinyWeeks) -> FaultSection:
    """Damages each file and looks at what becomes of it."""
    started, place = time.perf_counter(), weeks.place("damaged")
    first, every = weeks.wanted.first, weeks.every
    going = []
    for number, done in enumerate(damages(weeks.whole, random.Random(first))[first % every :: every]):
        runs = place / str(number)
        shutil.copytree(weeks.finished, runs)
        if not done.published:
            not_yet_published(weeks, runs)
        going.append(weeks.pool.submit(look, weeks.week, runs, done, f"{first} {done}", weeks.whole))
    found = []
    for each in going:
        found.append(each.result())
        weeks.told()
    rows = [_row(how, [each for each in found if each.damage.how == how]) for how in (FLIP, CUT)]
    seconds = time.perf_counter() - started
    timed = FaultRow(rows[0].kind, rows[0].places, rows[0].checked, rows[0].faults, seconds, rows[0].remark)
    return FaultSection("damaged", (timed, rows[1]), "; ".join(f"{name}: {why}" for name, why in ALONE.items()))


def _row(how: str, found: list[Looked]) -> FaultRow:
    faults = tuple(fault.at(str(each.damage)) for each in found for fault in each.faults)
    outcomes = Counter(each.outcome for each in found)
    remark = ", ".join(f"{outcomes[name]} {name}" for name in (REFUSED_IT, MADE_AGAIN, ACCEPTED))
    return FaultRow(f"a file of a finished week: {how}", len(found), len(found), faults, remark=remark)
