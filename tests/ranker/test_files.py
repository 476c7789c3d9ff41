"""Whatever stands where a file belongs, and whatever a file holds, is told in one sentence; nothing is waited for."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.files import InputError, parquet_files, parquet_schema, read_bytes, read_json, some_parquet_files


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
