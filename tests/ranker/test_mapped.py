"""Arrays in files are like those in memory, and a full disk is an error with words rather than a signal."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from ranker import mapped


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    array = mapped.named(tmp_path / "a.npy", (3, 2), np.float32)
    assert (array == 0).all()
    array[1] = 7.0
    array.flush()
    read = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert read.tolist() == [[0, 0], [7, 7], [0, 0]]
    assert read.dtype == np.float32
    unnamed = mapped.unnamed((2, 2), np.int16, tmp_path)
    unnamed[0, 1] = 5
    assert unnamed.tolist() == [[0, 5], [0, 0]]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_space_is_taken_before_it_is_used(tmp_path: Path) -> None:
    mapped.named(tmp_path / "a.npy", (1 << 18,), np.float32)
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 1 << 20


def test_a_full_disk_is_told_with_the_folder_and_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left on device: 4,000 bytes are needed and [\d,]+ are free") as raised:
        mapped.unnamed((1_000,), np.float32, tmp_path)
    assert raised.value.filename == str(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="are needed"):
        mapped.named(tmp_path / "a.npy", (1_000,), np.float32)


def test_filesystems_that_promise_nothing_are_used_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", unable)
    assert mapped.named(tmp_path / "a.npy", (5,), np.float32).sum() == 0
    assert mapped.unnamed((5,), np.float32, tmp_path).sum() == 0
