"""Everything that changes files and folders: each write, sync, rename, link and removal is one call here.

Readers of a finished folder see all of it or nothing, whenever a process dies and whatever a disk loses, because all writers keep one
order: write the files, `sync_tree`, rename, `sync_folder` of the folder that holds the name. What only lives as long as its process
(temporary folders, arrays in files without a name) is not asked to last and is not written here.

A watcher (`watched`) is told of every act before and after it: tests stop there, and know what a disk that loses power would have kept.
What the system refuses is raised with the path of the act, also where the system names none, as for a full disk or a failed sync.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FOR_OTHERS = 0o027
"""Rights that no new file or folder grants: none to others, none to write to the group."""

Kind = Literal["make folder", "write", "sync", "sync folder", "rename", "link", "remove"]


class Act(NamedTuple):
    """One change. path: what is changed, of a rename or a link the new name; source: the name or the file that it is made from."""

    kind: Kind
    path: Path
    source: Path | None = None


class Watcher(Protocol):
    """Is told of every act; what it raises ends the act's caller."""

    def before(self, act: Act) -> None: ...
    def after(self, act: Act) -> None: ...


_watchers: list[Watcher] = []


@contextlib.contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Within it the watcher is told of every act of this process."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


@contextlib.contextmanager
def _act(kind: Kind, path: Path, source: Path | None = None) -> Iterator[None]:
    act = Act(kind, path, source)
    with _naming(path):
        for watcher in _watchers:
            watcher.before(act)
        yield
        for watcher in _watchers:
            watcher.after(act)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """An error of the disk within it names the path."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = os.fspath(path)
        raise


def keep_from_others() -> None:
    """From here on nothing that this process makes can be read by others or written by its group; the umask may take more away.

    It holds for what libraries make too, as MLflow's database, and for processes that this one starts.
    """
    os.umask(os.umask(FOR_OTHERS) | FOR_OTHERS)


def close_to_others(folder: Path) -> None:
    """Takes from everything in a folder what no new file grants: a library copied it with the rights of its source."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & 0o777 & ~FOR_OTHERS)


def make_folder(path: Path, *, parents: bool = False, there: bool = False) -> None:
    """there: it may exist already."""
    if there and path.is_dir():
        return
    if parents and not path.parent.exists():
        make_folder(path.parent, parents=True, there=True)
    with _act("make folder", path):
        path.mkdir(exist_ok=there)


def write_text(path: Path, text: str) -> None:
    """A file of this text, in the place of one that is there. Lasts after `sync_file`; readers may see half of it: see `replace_whole`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    with _act("write", path):
        path.write_bytes(content)


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """As `write_bytes`, of what comes piece by piece."""
    with _act("write", path), path.open("wb") as file:
        file.writelines(pieces)


def write_for_owner(path: Path, text: str) -> None:
    """A new file that nobody but its owner can read, whatever the umask."""
    with (
        _act("write", path),
        open(path, "x", encoding="utf-8", opener=lambda name, how: os.open(name, how, 0o600)) as file,
    ):
        file.write(text)


def write_new(path: Path, text: str) -> None:
    """As `write_text`, and lasting; raises FileExistsError where the file is there already."""
    with _act("write", path), path.open("x", encoding="utf-8") as file:
        file.write(text)
    sync_file(path)
    sync_folder(path.parent)


@dataclass(frozen=True)
class ParquetTables:
    """A Parquet file that tables are written into. An error of the disk names it wherever a table is written."""

    path: Path
    writer: "pq.ParquetWriter"

    def write_table(self, table: "pa.Table", row_group_size: int | None = None) -> None:
        with _naming(self.path):
            self.writer.write_table(table, row_group_size=row_group_size)


@contextlib.contextmanager
def parquet(path: Path, schema: "pa.Schema", **options: object) -> Iterator[ParquetTables]:
    """A Parquet file to write tables into. options: as `pyarrow.parquet.ParquetWriter` takes them."""
    import pyarrow.parquet as pq

    with _act("write", path), pq.ParquetWriter(path, schema, **options) as writer:
        yield ParquetTables(path, writer)


def write_table(path: Path, table: "pa.Table", **options: object) -> None:
    """A Parquet file of one table."""
    with parquet(path, table.schema, **options) as writer:
        writer.write_table(table)


def replace_whole(path: Path, text: str) -> None:
    """The file with this text, lasting; readers see the old text or the new one."""
    beside = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.new"
    try:
        write_text(beside, text)
        sync_file(beside)
        rename(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def append(path: Path, text: str) -> None:
    """Text at the end of the file, lasting; where it cannot be, the file is as it was, so that nobody takes the text for kept."""
    before = path.stat().st_size if path.exists() else None
    try:
        with _act("write", path), path.open("a", encoding="utf-8") as file:
            file.write(text)
        sync_file(path)
        if before is None:
            sync_folder(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            _cut(path, before)
        raise


def _cut(path: Path, size: int | None) -> None:
    """Back to so many bytes; None: to no file."""
    if size is None:
        path.unlink(missing_ok=True)
    else:
        os.truncate(path, size)


def rename(source: Path, path: Path) -> None:
    """Takes the place of a file that has the new name; of a folder, only of an empty one."""
    with _act("rename", path, source):
        source.replace(path)


def link(source: Path, path: Path) -> None:
    """Another name of a file; a copy where the file system has no such links."""
    with _act("link", path, source):
        try:
            os.link(source, path)
            return
        except OSError:
            pass
    copy(source, path)


def copy(source: Path, path: Path) -> None:
    """With the source's times, but the rights of a new file: whoever may read the source may not read this."""
    with _act("write", path):
        shutil.copyfile(source, path)
        held = source.stat()
        os.utime(path, ns=(held.st_atime_ns, held.st_mtime_ns))


def link_tree(source: Path, path: Path) -> None:
    """A new folder of links to all files of another one."""
    make_folder(path)
    for entry in sorted(source.iterdir()):
        if entry.is_dir():
            link_tree(entry, path / entry.name)
        else:
            link(entry, path / entry.name)


def remove(path: Path) -> None:
    """A file, or a folder with everything in it, of which what cannot be removed stays; nothing where there is nothing."""
    with _act("remove", path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """What was written lasts, whatever happens to the machine; the file's name does after `sync_folder`."""
    with _act("sync", path):
        _sync(path, os.O_RDONLY)


def sync_folder(path: Path) -> None:
    """What was made, renamed, linked and removed in the folder lasts."""
    with _act("sync folder", path):
        _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def sync_tree(path: Path) -> None:
    """All files and names in a folder last; its own name does after `sync_folder` of the folder that it is in."""
    for entry in sorted(path.iterdir()):
        if entry.is_symlink():
            continue
        if entry.is_dir():
            sync_tree(entry)
        else:
            sync_file(entry)
    sync_folder(path)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
