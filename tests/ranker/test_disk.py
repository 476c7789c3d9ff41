"""Writes, and what a watcher is told of them: the order in which a file that readers rely on comes to be."""

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker import disk
from ranker.disk import Act


@dataclass
class Seen:
    """A watcher that keeps what it is told. stop: before which act it stops, counted from 1."""

    acts: list[str] = field(default_factory=list)
    finished: int = 0
    stop: int = 0

    def before(self, act: Act) -> None:
        self.acts.append(f"{act.kind} {act.path.name}")
        if len(self.acts) == self.stop:
            raise KeyboardInterrupt

    def after(self, act: Act) -> None:
        self.finished += 1


def test_a_file_is_replaced_whole_and_lasts(tmp_path: Path) -> None:
    path, seen = tmp_path / "a.json", Seen()
    path.write_text("old")
    with disk.watched(seen):
        disk.replace_whole(path, "new")
    kinds = [act.split(" .")[0] for act in seen.acts]
    assert kinds == ["write", "sync", "rename a.json", f"sync folder {tmp_path.name}"]
    assert (path.read_text(), [each.name for each in tmp_path.iterdir()]) == ("new", ["a.json"])


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_file_that_was_not_replaced_is_what_it_was(tmp_path: Path, stop: int) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), disk.watched(Seen(stop=stop)):
        disk.replace_whole(path, "new")
    assert (path.read_text(), [each.name for each in tmp_path.iterdir()]) == ("old", ["a.json"])


def test_a_tree_lasts_with_all_its_names(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/one", "a/b/two"):
        (tmp_path / name).write_text(name)
    (tmp_path / "a" / "away").symlink_to(tmp_path)
    seen = Seen()
    with disk.watched(seen):
        disk.sync_tree(tmp_path / "a")
    assert seen.acts == ["sync two", "sync folder b", "sync one", "sync folder a"]
    assert seen.finished == 4


def test_a_folder_of_links_shares_its_files(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "two").write_text("2")
    disk.link_tree(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c" / "b" / "two").samefile(tmp_path / "a" / "b" / "two")


def test_lines_are_added_to_a_file_that_lasts(tmp_path: Path) -> None:
    seen = Seen()
    with disk.watched(seen):
        for line in ("one\n", "two\n"):
            disk.append(tmp_path / "lines", line)
    assert (tmp_path / "lines").read_text() == "one\ntwo\n"
    assert seen.acts == [
        "write lines",
        "sync lines",
        f"sync folder {tmp_path.name}",
        "write lines",
        "sync lines",
    ]


def test_nothing_is_written_over_what_must_be_new(tmp_path: Path) -> None:
    disk.write_new(tmp_path / "a", "first")
    with pytest.raises(FileExistsError):
        disk.write_new(tmp_path / "a", "second")
    assert (tmp_path / "a").read_text() == "first"


def test_tables_and_removals(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2]})
    disk.make_folder(tmp_path / "x" / "y", parents=True)
    disk.make_folder(tmp_path / "x" / "y", there=True)
    disk.write_table(tmp_path / "x" / "y" / "t.parquet", table)
    assert pq.read_table(tmp_path / "x" / "y" / "t.parquet") == table
    disk.remove(tmp_path / "x" / "y" / "t.parquet")
    disk.remove(tmp_path / "x")
    disk.remove(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def failing(number: int) -> OSError:
    """As the system raises it for a file that is open: without its path."""
    return OSError(number, os.strerror(number))


def test_an_error_names_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise failing(errno.EIO)

    monkeypatch.setattr(os, "fsync", fsync)
    (tmp_path / "a").write_text("a")
    with pytest.raises(OSError, match=f"Input/output error: '{tmp_path / 'a'}'"):
        disk.sync_file(tmp_path / "a")


@pytest.mark.parametrize("before", [None, "one\n"])
def test_a_line_that_cannot_be_kept_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    def fsync(descriptor: int) -> None:
        raise failing(errno.EIO)

    if before is not None:
        (tmp_path / "lines").write_text(before)
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="lines"):
        disk.append(tmp_path / "lines", "two\n")
    assert (tmp_path / "lines").exists() == (before is not None)
    assert before is None or (tmp_path / "lines").read_text() == before


def test_an_error_of_a_table_names_its_file_wherever_it_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers keep their files open from one table to the next."""

    def write_table(*given: object, **named: object) -> None:
        raise failing(errno.ENOSPC)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", write_table)
    table, caught = pa.table({"a": [1, 2]}), None
    with disk.parquet(tmp_path / "t.parquet", table.schema) as file:
        try:
            file.write_table(table)
        except OSError as error:
            caught = error.filename
    assert caught == str(tmp_path / "t.parquet")
