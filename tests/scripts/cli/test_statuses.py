"""What a job came to, where it was told to end in the middle of somebody else's code, or where a disk fails."""

import contextlib
import errno
import os
import signal
from pathlib import Path

import pytest

from scripts.cli.statuses import FAILED, TERMINATED, guarded, heed_stop, terminated_like_interrupted


def ends_as_another_error() -> int:
    """As a compiler that wraps whatever comes out of it."""
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        raise RuntimeError("lowering failed") from None
    return 0


def lets_nothing_out() -> int:
    """As a callback of C, whose exceptions are printed and forgotten."""
    with contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    heed_stop()
    return 0


@pytest.mark.parametrize("job", [ends_as_another_error, lets_nothing_out])
def test_sigterm_ends_a_job_whatever_it_comes_out_as(job: object, capfd: pytest.CaptureFixture[str]) -> None:
    with terminated_like_interrupted():
        assert guarded("weekly", job) == TERMINATED
    assert capfd.readouterr().err == "weekly: stopped; nothing half-written is left.\n"
    heed_stop()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_is_one_line_with_the_path(capfd: pytest.CaptureFixture[str], number: int) -> None:
    def fails() -> int:
        raise OSError(number, os.strerror(number), str(Path("runs") / "W48"))

    assert guarded("weekly", fails) == FAILED
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "'runs/W48'" in said
    assert "details" not in said
