"""A full disk is an error with words rather than a signal."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from allocator.mapped import mapped


def test_a_full_disk_is_told_with_the_folder_and_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = mapped((2, 2), np.int16, tmp_path)
    array[0, 1] = 5
    assert array.tolist() == [[0, 5], [0, 0]]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left on device: 4,000 bytes are needed and [\d,]+ are free") as raised:
        mapped((1_000,), np.float32, tmp_path)
    assert raised.value.filename == str(tmp_path)
    assert list(tmp_path.iterdir()) == []
