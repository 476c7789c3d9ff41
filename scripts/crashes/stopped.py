"""Every state that a stop can leave behind: one run is watched, and before and after each of its writes the folder is copied.

A state is what a process that is killed there leaves; halfway through a write, with half of its file; or what the disk has after the power
went: what was synced alone, or all names with the contents that were synced. States that are equal byte for byte are kept once.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from ranker.disk import Act
from scripts.crashes.kept_by_disk import KeptByDisk
from scripts.crashes.trees import Content, Tree, TreeDigests, tree_of, write_tree

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
    acts: int = 0
    states: dict[str, State] = field(default_factory=dict)
    digests: TreeDigests = field(default_factory=TreeDigests)

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

    def _keep(self, where: str) -> None:
        """The state as a process leaves it, and as a disk without power does."""
        there = tree_of(self.root)
        self._add(there, KILLED, where)
        self._add(self.disk.names_alone(there), CONTENTS_LOST, where)
        self._add(self.disk.lost(), UNSYNCED_LOST, where)

    def _keep_halfway(self, act: Act) -> None:
        half = {act.path.relative_to(self.root).as_posix(): Content(act.path, half=True)}
        self._add(tree_of(self.root) | half, HALFWAY, f"halfway through {self._told(act)}")

    def _add(self, tree: Tree, kind: str, where: str) -> None:
        digest = self.digests.of(tree)
        if digest not in self.states:
            folder = self.out / f"{len(self.states):06d}"
            write_tree(tree, folder)
            self.states[digest] = State(folder, [])
        self.states[digest].stops.append(Stop(kind, where))
