"""Every state that a stop can leave behind: one run is watched, and before and after each of its writes the folder is copied.

A state is what a process that is killed there leaves; halfway through a write, with half of its file; or what the disk has after the power
went: what was synced alone, or all names with the contents that were synced. States that are equal byte for byte are kept once.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ranker.disk import Act
from scripts.crashes.kept_by_disk import KeptByDisk

SMALL = 1 << 17
"""Bytes; files that are written on, such as the history of publications, are smaller, and copied instead of linked."""
KILLED, HALFWAY = "killed between two writes", "killed halfway through a write"
UNSYNCED_LOST, CONTENTS_LOST = (
    "power lost, with all that was not synced",
    "power lost, names kept without their contents",
)
KINDS = (KILLED, HALFWAY, UNSYNCED_LOST, CONTENTS_LOST)


@dataclass(frozen=True)
class Stop:
    """kind: one of KINDS. where: before, after or halfway through which act."""

    kind: str
    where: str

    def __str__(self) -> str:
        return f"{self.kind}, {self.where}"


@dataclass(frozen=True)
class State:
    """folder: a copy of the runs folder. stops: every one that leads to it."""

    folder: Path
    stops: list[Stop]

    @property
    def kind(self) -> str:
        """That of the first stop that led there."""
        return self.stops[0].kind


@dataclass
class StopWatcher:
    """A watcher that copies `root` into `out` at every stop. disk: another one, which knows what was synced."""

    root: Path
    out: Path
    disk: KeptByDisk
    points: int = 0
    acts: int = 0
    states: dict[str, State] = field(default_factory=dict)
    _known: dict[tuple[int, int, int], str] = field(default_factory=dict)

    def before(self, act: Act) -> None:
        self.disk.before(act)
        self.acts += 1
        self._keep(f"before {self._told(act)}")

    def after(self, act: Act) -> None:
        self.disk.after(act)
        self._keep(f"after {self._told(act)}")
        if act.kind == "write" and act.path.is_relative_to(self.root):
            self._keep_halfway(act)

    def _told(self, act: Act) -> str:
        path = os.path.relpath(act.path, self.root)
        return f"{self.acts}: {act.kind} {path}"

    def _keep(self, point: str) -> None:
        """The state as a process leaves it, and as a disk without power does."""
        self.points += 1
        copy = self._copy()
        self._add(copy, KILLED, point)
        named = self._copy()
        self.disk.names_alone(self.root, named)
        self._add(named, CONTENTS_LOST, point)
        synced = self._next()
        self.disk.lost(synced)
        self._add(synced, UNSYNCED_LOST, point)

    def _keep_halfway(self, act: Act) -> None:
        self.points += 1
        copy = self._copy()
        file = copy / act.path.relative_to(self.root)
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content[: len(content) // 2])
        self._add(copy, HALFWAY, f"halfway through {self._told(act)}")

    def _next(self) -> Path:
        return self.out / f"{self.points:05d}-{len(os.listdir(self.out)):06d}"

    def _copy(self) -> Path:
        target = self._next()
        shutil.copytree(self.root, target, copy_function=_link_or_copy)
        return target

    def _add(self, folder: Path, kind: str, where: str) -> None:
        digest = self._digest(folder)
        if digest in self.states:
            self.states[digest].stops.append(Stop(kind, where))
            shutil.rmtree(folder)
        else:
            self.states[digest] = State(folder, [Stop(kind, where)])

    def _digest(self, folder: Path) -> str:
        total = hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            content = "folder" if path.is_dir() else self._content(path)
            total.update(f"{path.relative_to(folder)} {content}\n".encode())
        return total.hexdigest()

    def _content(self, path: Path) -> str:
        found = path.stat()
        if found.st_size <= SMALL:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        key = (found.st_ino, found.st_size, found.st_mtime_ns)
        if key not in self._known:
            self._known[key] = hashlib.sha256(path.read_bytes()).hexdigest()
        return self._known[key]


def _link_or_copy(source: str, target: str) -> None:
    if os.path.getsize(source) > SMALL:
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def in_order(states: dict[str, State]) -> Iterator[State]:
    """As they came to be."""
    yield from sorted(states.values(), key=lambda state: state.folder.name)
