"""The log of a run: everything that is said and printed, in lines that cannot be forged, in little room; and quiet calls."""

import logging
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.cli import logs
from scripts.cli.logs import run_log

log = logging.getLogger("offermix.test")
PROGRAM = """
import logging, os, warnings
os.environ.pop("PYTEST_CURRENT_TEST")  # by which warnings are left to pytest
from scripts.cli import entry
from scripts.cli.settings import TrainSettings

def run(settings):
    log = logging.getLogger("offermix.train")
    log.debug("how"); log.info("what"); log.warning("mind")
    warnings.warn("old", DeprecationWarning)
    print("result")

entry.main("train", TrainSettings, run)
"""


@pytest.fixture(autouse=True)
def ours_at_debug() -> Iterator[None]:
    ours = logging.getLogger("offermix")
    kept = ours.level
    ours.setLevel(logging.DEBUG)
    yield
    ours.setLevel(kept)


def test_a_log_has_what_is_said_and_printed_and_is_appended_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        with run_log(tmp_path / "weekly.log") as tell:
            log.debug("how %d", number)
            logging.getLogger("numba").debug("of others")
            logging.getLogger("py.warnings").warning("an old way")
            print("\x1b[1ma table\x1b[0m")
            tell("failed")
    written = (tmp_path / "weekly.log").read_text().splitlines()
    stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")
    assert [stamp.sub("", line) for line in written] == [
        line
        for number in (1, 2)
        for line in (
            f"DEBUG   offermix.test: how {number}",
            "WARNING py.warnings: an old way",
            "ERROR   offermix.console: failed",
            "INFO    offermix.console:",
            "    a table",
        )
    ]
    assert "a table" in capsys.readouterr().out
    log.error("after it")
    assert "after it" not in (tmp_path / "weekly.log").read_text()


def test_no_message_looks_like_another_line(tmp_path: Path) -> None:
    with run_log(tmp_path / "weekly.log"):
        log.info("one\n2026-11-30T00:00:00.000Z ERROR offermix: forged")
        log.info("x" * (logs.LONGEST + 500))
    first, second, long = (tmp_path / "weekly.log").read_text().splitlines()
    assert first.endswith("one") and second.startswith("    2026")
    assert "characters more" in long and len(long) < logs.LONGEST + 100


def test_a_log_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_BYTES", 2_000)
    with run_log(tmp_path / "weekly.log"):
        for number in range(200):
            log.info("line %d", number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["weekly.log", "weekly.log.1"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4_000
    assert "line 199" in (tmp_path / "weekly.log").read_text()


def test_a_log_that_cannot_be_written_ends_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with run_log(tmp_path / "gone" / "weekly.log") as tell:
        tell("nowhere")
    assert "cannot be written" in caplog.text
    with run_log(tmp_path / "weekly.log"):
        (handler,) = (each for each in logging.getLogger().handlers if isinstance(each, logs.RunLog))
        handler.stream.close()
        log.info("lost")
        log.info("nor is this one written")
    assert "cannot be written any more" in caplog.text


@pytest.mark.parametrize(
    ("flag", "told", "printed"),
    [("-q", ["mind"], ""), ("-v", ["how", "what", "mind", "DeprecationWarning: old"], "result\n")],
)
def test_a_command_is_as_loud_as_asked(
    flag: str,
    told: list[str],
    printed: str,
    call: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    called = call(tmp_path / "program.py", "logs=l", "model=m", flag, cwd=tmp_path)
    assert (called.returncode, called.stdout) == (0, printed), called.stderr
    lines = [line for line in called.stderr.splitlines() if re.match(r"\d\d:\d\d:\d\d ", line)]
    assert [line.endswith(words) for line, words in zip(lines, told, strict=True)] == [True] * len(told)
