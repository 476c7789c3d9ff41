"""Acts that the system refuses: a full disk, a failing sync, a file or folder that may not be written, each at every act of a week.

A week is run once. At each act the process parts: the copy finds its act refused, goes on to its end, and says how it ended; the other one
looks at what is left, puts the folder back, and goes on. Raised is what the system raises, which often names no path.
"""

import errno
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from unittest.mock import patch

from ranker import disk
from ranker.disk import Act, Kind
from scripts.cli.statuses import DONE, FAILED, WRONG_INPUT
from scripts.crashes.called import Called, called
from scripts.crashes.enumerated import check_states
from scripts.crashes.prepared import TinyWeeks, Week
from scripts.crashes.records import FaultFound, FaultRow, FaultSection
from scripts.crashes.resumed import FinishedWeek, Resumed
from scripts.crashes.stopped import State, Stop
from scripts.crashes.tiny_week import SECOND
from scripts.crashes.trees import TreeDigests, halve, put_back, tree_of, write_tree
from scripts.formats.pointer import HISTORY

LONGEST = 60.0
"""Seconds until a week that cannot write is taken for one that hangs."""
Moment = Literal["before", "halfway", "after"]


@dataclass(frozen=True)
class Refusal:
    """What the system refuses. kinds: of which acts; lasting: all that follow too, of `lasting`; moment: before the act, with half of what
    is written, or once it is done; statuses: with which a week may end."""

    row: str
    error: int
    kinds: frozenset[Kind]
    moment: Moment = "before"
    lasting: frozenset[Kind] = frozenset()
    statuses: tuple[int, ...] = (FAILED,)


NEEDS_ROOM: frozenset[Kind] = frozenset({"write", "make folder", "link"})
CHANGES: frozenset[Kind] = frozenset({"write", "make folder", "rename", "link"})
REFUSALS = (
    Refusal("disk full from an act on", errno.ENOSPC, NEEDS_ROOM, lasting=NEEDS_ROOM),
    Refusal(
        "disk full halfway through a write", errno.ENOSPC, frozenset({"write"}), moment="halfway", lasting=NEEDS_ROOM
    ),
    Refusal("a sync fails (EIO)", errno.EIO, frozenset({"sync", "sync folder"})),
    Refusal("a write fails halfway (EIO)", errno.EIO, frozenset({"write"}), moment="halfway"),
    Refusal("a rename or link fails (EIO)", errno.EIO, frozenset({"rename", "link"})),
    Refusal("a rename is done and told as failed (EIO)", errno.EIO, frozenset({"rename"}), moment="after"),
    Refusal("may not be written (EACCES)", errno.EACCES, CHANGES, statuses=(WRONG_INPUT,)),
    Refusal("read-only from an act on (EROFS)", errno.EROFS, CHANGES, lasting=CHANGES, statuses=(WRONG_INPUT,)),
)
THIRD = 3
"""Of so many acts one is tried: neighbours are of the same kind and stage. `first=` moves which."""


@dataclass(frozen=True)
class RefusedAct:
    """A refused act, how the week ended, and what was wrong with that. state: the digest of what it left."""

    row: str
    where: str
    state: str
    faults: tuple[FaultFound, ...]


@dataclass
class PartingWatcher:
    """A watcher that lets a copy of its process find each act refused."""

    runs: Path
    aside: Path
    whole: FinishedWeek
    every: int = 1
    first: int = 0
    found: list[RefusedAct] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    digests: TreeDigests = field(default_factory=TreeDigests)
    refused: Refusal | None = None
    opened: int = 0
    acts: int = 0
    pipe: int = -1

    def before(self, act: Act) -> None:
        if self.refused is None:
            self.acts += 1
            self._part(act, "before")
            self.opened += act.kind == "write"
        elif act.kind in self.refused.lasting:
            self._refuse()

    def after(self, act: Act) -> None:
        if self.refused is None:
            self.opened -= act.kind == "write"
            self._part(act, "halfway")
            self._part(act, "after")

    def _part(self, act: Act, moment: Moment) -> None:
        """Not while a file is open: both processes would write on it."""
        wanted = [each for each in REFUSALS if act.kind in each.kinds and each.moment == moment]
        if not wanted or self.opened or not act.path.is_relative_to(self.runs) or self.acts % self.every != self.first:
            return
        snapshot = self.aside / "snapshot"
        write_tree(tree_of(self.runs), snapshot)
        for refusal in wanted:
            self._try(refusal, act)
            put_back(snapshot, self.runs)
        shutil.rmtree(snapshot)

    def _try(self, refusal: Refusal, act: Act) -> None:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            self.refused, self.pipe = refusal, writer
            if refusal.moment == "halfway":
                halve(act.path)
            self._refuse()
        os.close(writer)
        ended = _ended(child, reader)
        self._keep(refusal, act, ended)

    def _refuse(self) -> None:
        if self.refused is not None:
            raise OSError(self.refused.error, os.strerror(self.refused.error))

    def _keep(self, refusal: Refusal, act: Act, ended: Called) -> None:
        where = f"{self.acts}: {act.kind} {os.path.relpath(act.path, self.runs)}"
        told = act.path.name == HISTORY
        faults = ended.faults((DONE, *refusal.statuses) if told else refusal.statuses, *self._names(refusal, act))
        seen = Resumed(self.runs)
        seen.read(self.whole)
        tree = tree_of(self.runs)
        digest = self.digests.of(tree)
        if digest not in self.states:
            folder = self.aside / f"{len(self.states):06d}"
            write_tree(tree, folder)
            self.states[digest] = State(folder, [Stop(refusal.row, where)])
        self.found.append(RefusedAct(refusal.row, where, digest, (*faults, *seen.faults)))

    def _names(self, refusal: Refusal, act: Act) -> tuple[str, ...]:
        """Of which a message must say one: the path; where all that follows is refused too, a path."""
        return (str(self.runs),) if refusal.lasting else (str(act.path), str(act.source))


def _ended(child: int, reader: int) -> Called:
    """What the copy said, once it ended."""
    said, until = b"", time.monotonic() + LONGEST
    with os.fdopen(reader, "rb") as pipe:
        while select.select([pipe], [], [], max(until - time.monotonic(), 0))[0] and (more := os.read(reader, 1 << 16)):
            said += more
    if time.monotonic() >= until:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return Called(**json.loads(said)) if said else Called(-1, "it hangs, or ends without a word")


def refuse_every_act(
    week: Week, runs: Path, aside: Path, whole: FinishedWeek, every: int, first: int
) -> PartingWatcher:
    """Runs the second week below a folder with the first one."""
    watcher = PartingWatcher(runs, aside, whole, every, first % every)

    def parted() -> None:
        with disk.watched(watcher):
            week(runs, SECOND)

    with patch("ranker.disk.shutil.rmtree", watcher_removes(watcher, shutil.rmtree)):
        ended = called(parted)
    if watcher.pipe >= 0:
        os.write(watcher.pipe, json.dumps({"status": ended.status, "said": ended.said[-4_000:]}).encode())
        os._exit(0)
    if ended.status != DONE:
        raise RuntimeError(f"the week that was watched ended in {ended.status}: {ended.said}")
    return watcher


def watcher_removes(watcher: PartingWatcher, remove: object) -> object:
    """rmtree, which on a disk that is read-only leaves all and says nothing, as `disk.remove` asks it to."""

    def removes(path: Path, **options: object) -> None:
        if watcher.refused is None or watcher.refused.error != errno.EROFS:
            remove(path, **options)  # type: ignore[operator]

    return removes


def refused_acts(weeks: TinyWeeks) -> FaultSection:
    """Refuses the acts of a week, and calls it again where they left different folders."""
    started, place = time.perf_counter(), weeks.place("refused")
    shutil.copytree(weeks.before, place / "runs")
    asked = (weeks.week, place / "runs", place, weeks.whole, THIRD * weeks.every, weeks.wanted.first)
    watcher = weeks.pool.submit(refuse_every_act, *asked).result()
    states = list(watcher.states.items())
    again = dict(
        zip([digest for digest, _ in states], check_states(weeks, [state for _, state in states]), strict=True)
    )
    rows = list(_rows(watcher, again))
    timed = FaultRow(rows[0].kind, rows[0].places, rows[0].checked, rows[0].faults, time.perf_counter() - started)
    summary = f"{len(watcher.found):,} refused acts, {len(states):,} different folders left"
    return FaultSection("refused", (timed, *rows[1:]), summary)


def _rows(watcher: PartingWatcher, again: dict[str, list[FaultFound]]) -> Iterator[FaultRow]:
    for refusal in REFUSALS:
        found = [each for each in watcher.found if each.row == refusal.row]
        faults = [fault.at(each.where) for each in found for fault in (*each.faults, *again[each.state])]
        yield FaultRow(refusal.row, len(found), len({each.state for each in found}), tuple(faults))
