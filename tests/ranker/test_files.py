"""Whatever stands where a file belongs, and whatever a file holds, is told in one sentence; nothing is waited for.

Arrays in files are like those in memory, and a full disk is an error with words rather than a signal.
"""

import errno
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.files import (
    InputError,
    named,
    parquet_files,
    parquet_schema,
    read_bytes,
    read_json,
    some_parquet_files,
    unnamed,
)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[" * 100_000, "nests deeper than 64 levels"),
        (b"[" * 70 + b"]" * 70, "nests deeper than 64 levels"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "has more than 300 digits"),
        (b'"\\ud800"', "half a character"),
        (b'{"\\udfff": 1}', "half a character"),
        (b"\xff", "is not UTF-8 text"),
        (b"", "is not valid JSON"),
    ],
)
def test_json_that_nothing_of_ours_writes_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=told):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("content", [{"a": [1, 2.5, None, True]}, "\U0001f600", 10**200])
def test_other_json_is_read(tmp_path: Path, content: object) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert read_json(tmp_path / "a.json") == content


def test_what_is_no_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    told = {
        "pipe": "is a device, a socket or a pipe",
        "folder": "is a folder; a file is needed",
        "link": "is a link to a file that is not there",
        "none": "there is no such file",
        "x" * 300: "cannot be read",
    }
    for name, sentence in told.items():
        with pytest.raises(InputError, match=sentence):
            read_bytes(tmp_path / name, 10)
        with pytest.raises(InputError, match=sentence):
            parquet_schema(tmp_path / name)
    with pytest.raises(InputError, match="is a device"):
        read_json(Path("/dev/zero"))
    (tmp_path / "long").write_bytes(b"x" * (1 << 20) + b"x")
    with pytest.raises(InputError, match="is longer than 1 MiB"):
        read_bytes(tmp_path / "long", 1 << 20)


def test_hidden_files_are_not_read_and_columns_stand_once(tmp_path: Path) -> None:
    table = pa.table({"a": [1]})
    for name in ("b.parquet", ".a.parquet", "a.parquet", "a.txt"):
        pq.write_table(table, tmp_path / name)
    assert [file.name for file in parquet_files(tmp_path)] == ["a.parquet", "b.parquet"]
    assert parquet_files(tmp_path / "nowhere") == []
    for path, told in ((tmp_path / "nowhere", "no such directory"), (tmp_path / "a.txt", "is no directory")):
        with pytest.raises(InputError, match=told):
            some_parquet_files(path)
    pq.write_table(table.append_column("a", table["a"]), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="column a: stands 2 times"):
        parquet_schema(tmp_path / "a.parquet")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    array = named(tmp_path / "a.npy", (3, 2), np.float32)
    assert (array == 0).all()
    array[1] = 7.0
    array.flush()
    read = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert read.tolist() == [[0, 0], [7, 7], [0, 0]]
    assert read.dtype == np.float32
    nameless = unnamed((2, 2), np.int16, tmp_path)
    nameless[0, 1] = 5
    assert nameless.tolist() == [[0, 5], [0, 0]]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_space_is_taken_before_it_is_used(tmp_path: Path) -> None:
    named(tmp_path / "a.npy", (1 << 18,), np.float32)
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 1 << 20


def test_a_full_disk_is_told_with_the_folder_and_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left on device: 4,000 bytes are needed and [\d,]+ are free") as raised:
        unnamed((1_000,), np.float32, tmp_path)
    assert raised.value.filename == str(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="are needed"):
        named(tmp_path / "a.npy", (1_000,), np.float32)


def test_filesystems_that_promise_nothing_are_used_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", unable)
    assert named(tmp_path / "a.npy", (5,), np.float32).sum() == 0
    assert unnamed((5,), np.float32, tmp_path).sum() == 0


def test_what_is_wrong_comes_back_from_another_process_as_it_was() -> None:
    wrong = InputError(["a: is wrong", "b: too"])
    back = pickle.loads(pickle.dumps(wrong))
    assert (back.problems, str(back)) == (wrong.problems, str(wrong))
