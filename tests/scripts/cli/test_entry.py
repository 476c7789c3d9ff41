"""A command as people call it: exit statuses, one message, no traceback where the input is at fault, sweeps, interruption."""

import contextlib
import fcntl
import logging
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ranker.files import InputError
from scripts.cli import entry
from scripts.cli.settings import TrainSettings
from tests.conftest import ROOT

BODY = """
import sys, types
from ranker.files import InputError
from scripts.cli import entry
from scripts.cli.settings import TrainSettings
from scripts.cli.settings import {settings}

def run(settings):
{run}

entry.main("{name}", {settings}, run)
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Path]:
    """program(run, name): a command whose run is this code."""

    def write(run: str, name: str = "train", settings: str = "TrainSettings") -> Path:
        path = tmp_path / "program.py"
        path.write_text(BODY.format(run=textwrap.indent(textwrap.dedent(run), "    "), name=name, settings=settings))
        return path

    return write


RAISES = {
    "InputError": (
        "from ranker.scores import InputError\nraise InputError(['a: is wrong', 'b: is wrong'])",
        2,
        "b: is wrong",
    ),
    "Infeasible": (
        "module = sys.modules['allocator.infeasible.diagnosis'] = types.ModuleType('allocator.infeasible.diagnosis')\n"
        "class Infeasible(Exception): pass\nmodule.Infeasible = Infeasible\nraise Infeasible('caps contradict')",
        3,
        "caps contradict",
    ),
    "Refused": (
        "module = sys.modules['scripts.runs.pointer'] = types.ModuleType('scripts.runs.pointer')\n"
        "class Refused(Exception): pass\nmodule.Refused = Refused\nraise Refused('gap too large')",
        4,
        "gap too large",
    ),
    "anything else": ("raise RuntimeError('the disk is on fire')", 1, "the disk is on fire"),
    "nothing": ("pass", 0, ""),
}


@pytest.mark.parametrize("case", RAISES)
def test_each_outcome_has_its_exit_status_and_no_traceback(
    case: str, program: Callable[..., Path], call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    code, status, message = RAISES[case]
    called = call(program(code), "logs=l", "model=m", cwd=tmp_path)
    assert called.returncode == status, called.stderr
    assert message in called.stderr
    assert "Traceback" not in called.stderr


def test_an_unexpected_failure_says_where_its_traceback_is(
    program: Callable[..., Path], call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    called = call(program("raise RuntimeError('the disk is on fire')"), "logs=l", "model=m", cwd=tmp_path)
    (written,) = (tmp_path / "runs" / "errors").glob("*.log")
    assert written.name in called.stderr
    assert "Traceback" in written.read_text()
    assert len(called.stderr.strip().splitlines()) == 1


def test_everything_wrong_with_a_call_is_said_at_once(
    program: Callable[..., Path], call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    words = [
        "fit.learning_rte=1",
        "fit=none_such",
        "seed=-1",
        "fit.batch_rows=many",
        "set.x.max=3",
        "+model.colour=blue",
    ]
    called = call(program("raise SystemExit(9)"), *words, cwd=tmp_path)
    assert called.returncode == 2
    expected = [
        "learning_rate",
        "none_such",
        "seed",
        "batch_rows",
        "takes no policy",
        "colour",
        "logs: is missing",
        "model: is missing",
    ]
    assert [part for part in expected if part not in called.stderr] == []
    assert "8 problems" in called.stderr


def test_hydra_leaves_nothing_behind(
    program: Callable[..., Path], call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    path = program("print(settings.paths.logs)")
    called = call(path, "logs=with space, comma=and ${seed}", "model=m", cwd=tmp_path)
    assert called.stdout.strip() == "with space, comma=and ${seed}"
    assert list(tmp_path.iterdir()) == [path]


def test_rules_of_a_policy_arrive_by_their_ids(
    program: Callable[..., Path], call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    path = program("print(dict(settings.set))", "allocate", "AllocateSettings")
    called = call(
        path, "scores=s", "policy=p", "out=o", "set.push.max=5%", "set.push.label=a, b", "set.mail.max=3", cwd=tmp_path
    )
    assert called.stdout.strip() == "{'push': {'max': '5%', 'label': 'a, b'}, 'mail': {'max': 3}}", called.stderr


def test_a_sweep_runs_each_value_apart_and_ends_with_the_first_failure(
    program: Callable[..., Path], call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    code = """
    from ranker.scores import InputError
    print(settings.paths.out, settings.set['push']['max'])
    if settings.set['push']['max'] == 2: raise InputError(['two is wrong'])
    """
    path = program(code, "allocate", "AllocateSettings")
    called = call(path, "scores=s", "policy=p", "out=o", "set.push.max=1,2,5%", "--multirun", cwd=tmp_path)
    assert called.stdout.splitlines()[:3] == ["o/0 1", "o/1 2", "o/2 5%"]
    assert called.returncode == 2
    assert "exit status 2" in called.stdout


@pytest.mark.slow
def test_experiments_and_cfg_and_help(
    program: Callable[..., Path], call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    path = program("print(settings.data.users, settings.model.members)")
    assert call(path, "logs=l", "model=m", "+debug=tiny", "data.users=77", cwd=tmp_path).stdout.split() == ["77", "2"]
    shown = call(path, "--cfg", "job", cwd=tmp_path)
    assert shown.returncode == 0
    assert "max_gap:" in shown.stdout
    helped = call(path, "--help", cwd=tmp_path)
    assert helped.returncode == 0
    assert "the logs to learn from" in helped.stdout


@pytest.mark.slow
def test_a_shell_can_complete_the_words(call: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    shell = call("-m", "scripts.allocate", "-sc", "install=bash")
    assert (shell.returncode, shell.stderr) == (0, "")
    assert "complete -o nospace" in shell.stdout
    words = call("-m", "scripts.allocate", "--shell-completion", "query=bash", COMP_LINE="allocate solve.no")
    assert (words.returncode, words.stdout.split()) == (0, ["solve.nodes="])


@pytest.mark.parametrize("words", [["query=bash"], ["install=nope"], ["install=bash", "query=bash"], []])
def test_a_completion_that_no_shell_asks_for_is_wrong_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.delenv("COMP_LINE", raising=False)
    assert entry.execute("train", TrainSettings, lambda settings: None, ["-sc", *words]) == 2
    assert "--shell-completion" in capsys.readouterr().err


def test_problems_name_the_folder_instead_of_its_key() -> None:
    with pytest.raises(InputError) as raised, entry.naming(logs=Path("some/logs"), model=None):
        raise InputError(["logs: column y: is wrong", "model: is missing", "logs are many"])
    assert raised.value.problems == ("some/logs: column y: is wrong", "model: is missing", "logs are many")


@pytest.mark.slow
def test_a_reader_who_leaves_early_is_no_failure(
    program: Callable[..., Path], call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """As `| head` does; the results are written all the same."""
    printing = program("import time; time.sleep(1); entry.show_table('t', ('a',), [('x' * 60,)] * 3_000)\nprint('end')")
    for words in ([printing, "logs=l", "model=m"], ["-m", "scripts.weekly", "--help"]):
        quoted = " ".join(shlex.quote(str(word)) for word in [sys.executable, *words])
        called = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"{quoted} | true"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (called.returncode, called.stderr) == (0, "")


def test_the_environment_cannot_be_read_into_the_settings(
    program: Callable[..., Path], call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    called = call(
        program("pass"), "logs=l", "model=m", "tracking.experiment=${oc.env:TOKEN}", cwd=tmp_path, TOKEN="hush"
    )
    assert called.returncode == 2
    assert "hush" not in called.stdout + called.stderr
    assert "not available" in called.stderr


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_an_interrupted_stage_leaves_nothing_half_written(
    number: int, status: int, program: Callable[..., Path], tmp_path: Path, root: Path
) -> None:
    code = """
    import time
    from scripts.runs import stage
    with stage.write(settings.paths.model, stage="train") as out:
        (out / "half").write_text("x")
        print("writing", flush=True)
        time.sleep(60)
    """
    path = program(code)
    process = subprocess.Popen(
        [sys.executable, str(path), "logs=l", "model=m"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    time.sleep(0.1)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == status
    assert len(stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_the_entry_of_every_command_starts_without_heavy_packages(
    call: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    code = (
        "import sys, scripts.cli.entry; print({'torch', 'mlflow', 'lightning', 'ortools', 'pandas'} & set(sys.modules))"
    )
    assert call("-c", code).stdout.strip() == "set()"


def test_progress_without_a_terminal_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(entry, "SECONDS_BETWEEN_LINES", 0.0)
    with caplog.at_level(logging.INFO, "offermix"), entry.progress("Listeners", 2_000) as advance:
        advance(1_000)
        advance(1_000, "done")
    assert [record.getMessage().strip() for record in caplog.records] == [
        "Listeners: 1,000 of 2,000",
        "Listeners: 2,000 of 2,000 done",
    ]


def test_a_watched_step_without_a_terminal_says_now_and_then_that_it_is_alive(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(entry, "SECONDS_BETWEEN_TELLING", 0.02)
    lines = iter(range(1_000))
    with caplog.at_level(logging.INFO, "offermix"), entry.watched(lambda: f"line {next(lines)}"):
        time.sleep(0.3)
    told = [record.getMessage() for record in caplog.records]
    assert told[:2] == ["line 0", "line 1"]
    time.sleep(0.1)
    assert len(caplog.records) == len(told), "it is quiet once the step is over"


def test_a_watched_step_changes_its_line_in_a_terminal_and_log_lines_stay(program: Callable[..., Path]) -> None:
    path = program(
        """
        import time
        state = ["reading"]
        with entry.watched(lambda: state[0]):
            time.sleep(0.6)
            entry.log.info("a line that stays")
            state[0] = "solving, about 40 s left"
            time.sleep(0.6)
        """
    )
    shown = in_terminal([sys.executable, str(path), "logs=l", "model=m"])
    assert shown.index("reading") < shown.index("a line that stays") < shown.index("solving, about 40 s left")
    (left,) = screen(shown)
    assert left.endswith("a line that stays"), "what changed in place is gone"


def in_terminal(words: list[str]) -> str:
    """Everything that a program writes to a terminal 100 columns wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(root)}
    process = subprocess.Popen(words, cwd=root, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # what reading gives once the program is gone
        while part := os.read(ours, 4_096):
            written += part
    os.close(ours)
    assert process.wait() == 0
    return written.decode()


def screen(written: str) -> list[str]:
    """The lines that are left to see, the cursor moved and lines erased as a terminal would."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if part == "\r":
            column = 0
        elif part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part == "\x1b[1A":
            row -= 1
        elif not part.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines if line.strip()]


def test_tables_write_numbers_as_people_do(capsys: pytest.CaptureFixture[str]) -> None:
    entry.show_table("Title", ("name", "count", "share"), [("a", 1_200_000, 0.123456), ("b", 3, 1.0)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["Title"] in lines
    assert ["a", "1,200,000", "0.1235"] in lines
