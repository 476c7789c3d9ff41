"""A real full disk: a small file system in memory, in a namespace of its own, on which a week runs out of room, gets more, and ends.

Run as a program within `unshare`, which needs no rights that a user lacks where the system lets users have namespaces.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from scripts.cli.settings import FaultsSettings
from scripts.cli.statuses import FAILED
from scripts.crashes.called import called
from scripts.crashes.prepared import TinyWeeks, run_week
from scripts.crashes.records import FaultFound, FaultRow, FaultSection
from scripts.crashes.resumed import FinishedWeek, Resumed, arithmetic_kept
from scripts.crashes.tiny_week import SECOND

ROOM = (0.02, 0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Parts of what the second week needs."""
PLENTY = 1 << 28
ROW = "disk full, a real file system of so many sizes"


def full_disks(weeks: TinyWeeks) -> FaultSection:
    """Asks a process in a namespace of its own; where the system gives none, the row says so."""
    started, place = time.perf_counter(), weeks.place("full")
    asked = place / "asked"
    asked.write_text(json.dumps({"files": dict(weeks.whole.files), "published": weeks.whole.published}))
    (place / "settings").write_text(weeks.settings.model_dump_json())
    command = ["unshare", "-rm", sys.executable, "-m", __name__, str(weeks.before), str(weeks.finished), str(place)]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        told = subprocess.CompletedProcess(command, 1, "", str(error))
    weeks.told()
    seconds = time.perf_counter() - started
    if told.returncode or not told.stdout:
        why = (told.stderr.strip().splitlines() or ["it cannot be mounted"])[-1]
        return FaultSection("full", (FaultRow(ROW, 0, 0, (), seconds, f"not tried: {why}"),))
    faults = tuple(FaultFound(**each) for each in json.loads(told.stdout.splitlines()[-1]))
    return FaultSection("full", (FaultRow(ROW, len(ROOM), len(ROOM), faults, seconds),), "on a mounted tmpfs")


def main(before: Path, finished: Path, place: Path) -> list[FaultFound]:
    settings = FaultsSettings.model_validate_json((place / "settings").read_text())
    whole = FinishedWeek(**json.loads((place / "asked").read_text()))
    whole = FinishedWeek(whole.files, tuple(whole.published))
    taken, needed = (_bytes_in(folder) for folder in (before, finished))
    disk_ = place / "disk"
    disk_.mkdir()
    week = partial(run_week, settings, settings.faults.users)
    with tempfile.TemporaryDirectory() as aside, arithmetic_kept():
        shutil.copytree(before, Path(aside) / "runs")
        called(partial(week, Path(aside) / "runs", SECOND))  # learns once, beside
    return [
        fault.at(f"room for {part:.0%} of the week")
        for part in ROOM
        for fault in _one(week, before, disk_, int(taken + part * (needed - taken)), whole)
    ]


def _one(week: partial[object], before: Path, place: Path, size: int, whole: FinishedWeek) -> list[FaultFound]:
    mount("-t", "tmpfs", "-o", f"size={size}", "none", str(place))
    try:
        runs = place / "runs"
        shutil.copytree(before, runs)
        ended = called(partial(week, runs, SECOND))
        faults = ended.faults((FAILED,), str(place))
        mount("-o", f"remount,size={PLENTY}", str(place))
        seen = Resumed(runs)
        seen.check(partial(week, runs, SECOND), whole)
        return faults + seen.faults
    finally:
        subprocess.run(["umount", str(place)], check=True)


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def _bytes_in(folder: Path) -> int:
    """In whole pages, as a file system in memory counts them; linked files once."""
    page, found = os.sysconf("SC_PAGE_SIZE"), {}
    for path in folder.rglob("*"):
        held = path.stat()
        found[held.st_ino] = -(-held.st_size // page) * page if path.is_file() else 0
    return sum(found.values())


if __name__ == "__main__":
    wrong = main(*map(Path, sys.argv[1:]))
    print(json.dumps([{"sort": each.sort, "sentence": each.sentence} for each in wrong]))
