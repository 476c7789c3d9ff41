"""Folders as they might be: every name with the content that it would have, told apart by a digest and written only where it is new."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SMALL = 1 << 17
"""Bytes; files that are written on, such as the history of publications, are smaller, and copied instead of linked."""


@dataclass(frozen=True)
class Content:
    """The content of `source`, or its first half; without a source, nothing."""

    source: Path | None
    half: bool = False


Tree = Mapping[str, Content | None]
"""By name below the root; None for a folder. Folders stand before what is in them."""


def tree_of(root: Path) -> dict[str, Content | None]:
    """As it is."""
    found = sorted(root.rglob("*"))
    return {path.relative_to(root).as_posix(): None if path.is_dir() else Content(path) for path in found}


@dataclass
class TreeDigests:
    """Digests of trees; a large file is read once."""

    known: dict[tuple[int, int, int], str] = field(default_factory=dict)

    def of(self, tree: Tree) -> str:
        """The same for trees whose names and contents are the same."""
        total = hashlib.sha256()
        for name in sorted(tree):
            content = tree[name]
            total.update(f"{name} {'folder' if content is None else self._content(content)}\n".encode())
        return total.hexdigest()

    def _content(self, content: Content) -> str:
        if content.source is None:
            return hashlib.sha256(b"").hexdigest()
        found = content.source.stat()
        if content.half or found.st_size <= SMALL:
            return hashlib.sha256(_read(content)).hexdigest()
        key = (found.st_ino, found.st_size, found.st_mtime_ns)
        if key not in self.known:
            self.known[key] = hashlib.sha256(_read(content)).hexdigest()
        return self.known[key]


def write_tree(tree: Tree, target: Path) -> None:
    """Makes the folder `target`."""
    target.mkdir()
    for name in sorted(tree):
        content, path = tree[name], target / name
        if content is None:
            path.mkdir()
        elif content.source is None or content.half:
            path.write_bytes(_read(content))
        elif os.path.getsize(content.source) > SMALL:
            os.link(content.source, path)
        else:
            shutil.copyfile(content.source, path)


def halve(path: Path) -> None:
    """Leaves the first half of a file; what is linked to it elsewhere stays whole."""
    half = _read(Content(path, half=True))
    path.unlink()
    path.write_bytes(half)


def put_back(snapshot: Path, root: Path) -> None:
    """Makes `root` what was kept of it."""
    shutil.rmtree(root)
    write_tree(tree_of(snapshot), root)


def _read(content: Content) -> bytes:
    if content.source is None:
        return b""
    held = content.source.read_bytes()
    return held[: len(held) // 2] if content.half else held
