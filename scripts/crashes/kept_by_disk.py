"""What a disk that loses power would have kept: contents as they were last synced, under the names that their folders had then.

The model is the least that POSIX promises: a file's content lasts once the file is synced, its name once its folder is, and neither says
anything of the other. File systems mostly keep more, such as names without their contents (`names_alone`).
"""

import shutil
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from ranker.disk import Act
from scripts.crashes.trees import Content, Tree


@dataclass
class KeptByDisk:
    """A watcher of writes below `root`. aside: an empty folder for contents that were synced.

    An id stands for a file or folder however it is called: inodes are used again, ids are not.
    """

    root: Path
    aside: Path
    ids: dict[int, int] = field(default_factory=dict)
    names: dict[int, dict[str, int]] = field(default_factory=dict)
    contents: dict[int, Path] = field(default_factory=dict)
    new: set[Path] = field(default_factory=set)
    next: count = field(default_factory=count)

    def __post_init__(self) -> None:
        self._everything(self.root)

    def before(self, act: Act) -> None:
        if not act.path.exists():
            self.new.add(act.path)

    def after(self, act: Act) -> None:
        if act.path.is_relative_to(self.root):
            self._after(act)
        self.new.discard(act.path)

    def _after(self, act: Act) -> None:
        if act.kind in ("write", "make folder") and act.path in self.new:
            self.ids[act.path.stat().st_ino] = next(self.next)
        elif act.kind == "sync":
            self._content(act.path)
        elif act.kind == "sync folder":
            self.names[self._id(act.path)] = self._named(act.path)

    def _named(self, folder: Path) -> dict[str, int]:
        """What is in the folder; locks, which are made beside this module's sight, need not last."""
        return {entry.name: self._id(entry) for entry in folder.iterdir() if entry.suffix != ".lock"}

    def lost(self) -> Tree:
        """The root as the disk would have kept it."""
        found: dict[str, Content | None] = {}
        self._kept(self._id(self.root), "", found)
        return found

    def names_alone(self, tree: Tree) -> Tree:
        """A tree of the root as it is, with nothing in the files that were not synced."""
        return {
            name: Content(None)
            if content is not None and content.source is not None and self._id(content.source) not in self.contents
            else content
            for name, content in tree.items()
        }

    def _everything(self, path: Path) -> None:
        """All that is there before anything is watched lasts."""
        if not path.is_dir():
            self._content(path)
            return
        for entry in path.iterdir():
            self._everything(entry)
        self.names[self._id(path)] = self._named(path)

    def _content(self, path: Path) -> None:
        kept = self.aside / f"{next(self.next)}"
        shutil.copyfile(path, kept)
        self.contents[self._id(path)] = kept

    def _id(self, path: Path) -> int:
        """Of what is there now."""
        return self.ids.setdefault(path.stat(follow_symlinks=False).st_ino, next(self.next))

    def _kept(self, folder: int, above: str, found: dict[str, Content | None]) -> None:
        for name, known in self.names[folder].items():
            if known in self.names:
                found[f"{above}{name}"] = None
                self._kept(known, f"{above}{name}/", found)
            else:
                found[f"{above}{name}"] = Content(self.contents.get(known))
