"""What a command writes is for the user who runs it, and for the group where the umask grants it."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from ranker import disk
from scripts.cli.statuses import guarded
from tests.conftest import ROOT


@pytest.mark.parametrize(("umask", "file"), [("000", 0o640), ("077", 0o600)])
def test_no_umask_lets_others_read_or_a_group_write(umask: str, file: int, tmp_path: Path) -> None:
    words = f"umask {umask}; exec {sys.executable} -m scripts.policy_schema out={tmp_path}/made/schema.json"
    called = subprocess.run(["bash", "-c", words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert called.returncode == 0, called.stderr
    assert (tmp_path / "made/schema.json").stat().st_mode & 0o777 == file
    assert (tmp_path / "made").stat().st_mode & 0o777 == file | (file & 0o444) >> 2


def test_a_copy_has_the_rights_of_a_new_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").chmod(0o666)
    kept = os.umask(0)
    try:
        disk.keep_from_others()
        disk.copy(tmp_path / "a", tmp_path / "b")
    finally:
        os.umask(kept)
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "b").stat().st_mtime_ns == (tmp_path / "a").stat().st_mtime_ns


@pytest.mark.parametrize("error", ["ValueError", "KeyError", "pa.ArrowInvalid"])
def test_what_a_library_quotes_of_the_data_stands_in_a_file_of_the_owner_alone(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def fails() -> int:
        raise {"ValueError": ValueError, "KeyError": KeyError, "pa.ArrowInvalid": pa.ArrowInvalid}[error]("listener-7")

    kept = os.umask(0)
    try:
        assert guarded("train", fails) == 1
    finally:
        os.umask(kept)
    told = capsys.readouterr().err
    (details,) = (tmp_path / "runs/errors").iterdir()
    assert "listener-7" not in told and details.name in told
    assert "listener-7" in details.read_text()
    assert details.stat().st_mode & 0o777 == 0o600
