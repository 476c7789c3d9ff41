"""Real processes of `python -m scripts.weekly`, ended by SIGKILL or SIGTERM within each stage, one after the other on one folder."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.cli.statuses import DONE, TERMINATED
from scripts.crashes.called import Called
from scripts.crashes.prepared import TinyWeeks
from scripts.crashes.records import FaultFound, FaultRow, FaultSection
from scripts.crashes.resumed import FinishedWeek, Resumed
from scripts.crashes.tiny_week import SECOND, overrides
from scripts.runs.digests import ROOT

SIGNALS = {signal.SIGKILL: ("kill -9 of a real process", -signal.SIGKILL), signal.SIGTERM: ("SIGTERM", TERMINATED)}
LONGEST = 300.0


@dataclass(frozen=True)
class KillMoment:
    """So many seconds after a line of the log; without one, after the process began."""

    line: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s after {self.line or 'the start'}"


STAGES = (
    ("", 3.0),
    ("make market ...", 0.2),
    ("prepare ...", 0.3),
    ("train ...", 4.0),
    ("Training:", 2.0),
    ("score ...", 0.2),
    ("allocate, audit ...", 0.4),
    ("rehearse ...", 0.2),
    ("drift ...", 0.2),
    ("report ...", 1.0),
    ("publish ...", 0.1),
)
"""Lines of the log, and about how long what they open takes."""


def moments(generator: random.Random) -> list[KillMoment]:
    """One within each stage."""
    return [KillMoment(line, generator.uniform(0, seconds)) for line, seconds in STAGES]


def kill_everywhere(
    runs: Path, number: int, when: Sequence[KillMoment], users: int, whole: FinishedWeek
) -> list[tuple[str, FaultFound]]:
    """Ends a process at each moment, reads what is published after each, and lets the last one finish."""
    found = []
    for moment in when:
        ended = _ended_at(runs, users, number, moment)
        seen = Resumed(runs)
        seen.read(whole)
        faults = [] if ended.status == DONE else ended.faults(_statuses(number, moment))
        found += [(str(moment), fault) for fault in (*faults, *seen.faults)]
    last = _ended_at(runs, users, number, None)
    seen = Resumed(runs)
    seen.read(whole)
    seen.compare(whole)
    left = [path for path in runs.rglob("*") if path.suffix in (".lock", ".new", ".old")]
    others = [FaultFound("left behind", f"{path.relative_to(runs)}") for path in left]
    return found + [("the last call", fault) for fault in (*last.faults((DONE,)), *seen.faults, *others)]


def _statuses(number: int, moment: KillMoment) -> tuple[int, ...]:
    """While a process still imports, the system ends it, which a shell tells as the same 143."""
    return (SIGNALS[signal.Signals(number)][1], *(() if moment.line else (-number,)))


def _ended_at(runs: Path, users: int, number: int, moment: KillMoment | None) -> Called:
    """How a process of the week ended that was told to at the moment, or left alone."""
    command = [sys.executable, "-m", "scripts.weekly", *overrides(users, runs, SECOND)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(_told(process, moment, number)), daemon=True)
        reader.start()
        try:
            process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
        reader.join(10)
    return Called(process.returncode, "\n".join(said[-3:]))


def _told(process: subprocess.Popen[str], moment: KillMoment | None, number: int) -> Iterator[str]:
    if moment is not None and not moment.line:
        _end_after(process, moment, number)
    for line in process.stderr or ():
        if moment is not None and moment.line and moment.line in line:
            _end_after(process, moment, number)
        yield line.strip()


def _end_after(process: subprocess.Popen[str], moment: KillMoment, number: int) -> None:
    time.sleep(moment.seconds)
    process.send_signal(number)


def killed_processes(weeks: TinyWeeks) -> FaultSection:
    """Two processes at once: one chain of kills, one of SIGTERM."""
    started, place, generator = time.perf_counter(), weeks.place("killed"), random.Random(weeks.wanted.first)
    chosen = {number: moments(generator)[weeks.wanted.first % weeks.every :: weeks.every] for number in SIGNALS}
    going = {}
    for number, when in chosen.items():
        runs = place / str(int(number))
        shutil.copytree(weeks.before, runs)
        going[number] = weeks.pool.submit(kill_everywhere, runs, int(number), when, weeks.wanted.users, weeks.whole)
    rows = []
    for number, asked in going.items():
        faults = tuple(fault.at(where) for where, fault in asked.result())
        weeks.told()
        row = FaultRow(SIGNALS[number][0], len(chosen[number]), 1, faults, time.perf_counter() - started)
        rows.append(row)
    return FaultSection(
        "kills", tuple(rows), "each process goes on where the one before was ended; the last one finishes"
    )
